//! Questions about recorded decisions: answered by the index of the journal, by the running gateway or from its files.

use std::sync::Arc;
use std::time::Duration;

use http::{Method, StatusCode};
use remit_gateway::rfc3339;
use remit_index::{Builder, By, Counts, Follower, Found, Index, IndexError, LIMIT_MAX, Question, Verdict};
use remit_journal::{Journal, SignedCheckpoint};
use serde_json::{Map, Value, json};
use tokio::sync::Semaphore;

use crate::audit;
use crate::cli::{IndexOf, Log};
use crate::commands::operator;
use crate::fields::{Refused, bad, text};
use crate::home::Home;
use crate::output::{Failure, Printer, warn};

/// How long an answer waits until the index has what was recorded when it was asked for.
const REACH_MAX: Duration = Duration::from_secs(3);
/// How many receipts are made at a time: the others wait.
const RECEIPTS_MAX: usize = 4;
/// The most decisions that a command prints.
const PRINTED_MAX: usize = 100_000;

/// What a question came to.
type Answer = Result<Value, Refused>;

/// The index of the gateway's journal, and who keeps it.
#[derive(Debug)]
pub(crate) struct Decisions {
    index: Arc<Index>,
    follower: Option<Arc<Follower>>,
    /// Receipts that are made at a time.
    receipts: Arc<Semaphore>,
}

impl Decisions {
    /// Begins to follow the journal. What goes wrong here is nothing that a call waits for.
    pub(crate) fn follow(home: &Home) -> Self {
        let follower = Follower::start(home.index(), home.journal());
        if let Err(error) = &follower {
            warn(&format!("the index of decisions is not kept: {error}"));
        }
        let index = Arc::new(Index::new(home.index(), home.journal()));
        Self { index, follower: follower.ok().map(Arc::new), receipts: Arc::new(Semaphore::new(RECEIPTS_MAX)) }
    }

    /// The receipt of an entry, as far as the index has it.
    ///
    /// It leads to the checkpoint that witnesses cosigned, if that covers it. `None`: the index doesn't have it, or can't say; `Some(None)`: it
    /// was erased, or isn't to be shown.
    pub(crate) async fn receipt(
        &self,
        durable: u64,
        at: u64,
        cosigned: Option<SignedCheckpoint>,
        is_shown: impl FnOnce(&[u8]) -> bool + Send + 'static,
    ) -> Option<Option<Receipt>> {
        let (index, follower) = (Arc::clone(&self.index), self.follower.clone()?);
        // Threads that many of them take are missing elsewhere.
        let turn = Arc::clone(&self.receipts).acquire_owned().await.ok()?;
        let found = tokio::task::spawn_blocking(move || {
            let _turn = turn;
            // Whose it is is asked first: a proof for a stranger would cost most.
            let Some(entry) = index.entry(at).ok()?.filter(|entry| is_shown(&entry.bytes)) else { return Some(None) };
            follower.reach(durable, REACH_MAX);
            let cosigned = cosigned.filter(|checkpoint| at < checkpoint.size);
            let cosigned = cosigned.and_then(|checkpoint| index.proof_to(at, checkpoint).ok().flatten());
            let proof = match cosigned {
                Some(proof) => proof,
                None => index.proof(at).ok().flatten()?,
            };
            Some(Some(Receipt { bytes: entry.bytes, proof }))
        });
        found.await.ok().flatten()
    }

    /// The checkpoint that the index has come to.
    pub(crate) async fn checkpoint(&self) -> Option<SignedCheckpoint> {
        let index = Arc::clone(&self.index);
        tokio::task::spawn_blocking(move || index.checkpoint().ok().flatten()).await.ok().flatten()
    }

    /// The proof that the tree of a checkpoint extends the one of `older` entries.
    pub(crate) async fn consistency(&self, older: u64, checkpoint: &SignedCheckpoint) -> Option<Vec<remit_tlog::Hash>> {
        let (index, checkpoint) = (Arc::clone(&self.index), checkpoint.clone());
        tokio::task::spawn_blocking(move || index.consistency(older, &checkpoint).ok().flatten()).await.ok().flatten()
    }

    /// Answers `search`, `get`, `counts`, `standing` or `rebuild`, with what is durable by now.
    pub(crate) async fn answer(&self, journal: &Journal, what: &str, request: Value) -> Answer {
        let (index, follower, what) = (Arc::clone(&self.index), self.follower.clone(), what.to_owned());
        let durable = journal.checkpoint().size;
        let answered = tokio::task::spawn_blocking(move || {
            let Some(follower) = follower else { return answered(&index, &what, &request) };
            if what == "rebuild" {
                follower.rebuild();
                return Ok(json!({"rebuilding": true, "entries": durable}));
            }
            let standing = follower.reach(durable, REACH_MAX);
            if what == "standing" {
                return Ok(json!({"entries": standing.entries, "durable": durable, "broken": standing.broken}));
            }
            let mut told = answered(&index, &what, &request);
            if let (Err((StatusCode::SERVICE_UNAVAILABLE, why)), Some(broken)) = (&mut told, &standing.broken) {
                why.push_str(&format!(": {broken}"));
            }
            if let (Ok(Value::Object(told)), true) = (&mut told, standing.entries < durable) {
                told.insert("behind".to_owned(), json!(durable - standing.entries));
            }
            told
        });
        answered.await.unwrap_or_else(|_| Err((StatusCode::INTERNAL_SERVER_ERROR, "the request failed".to_owned())))
    }
}

/// An entry, byte for byte, with the proof that it is in the log.
pub(crate) struct Receipt {
    pub(crate) bytes: Vec<u8>,
    pub(crate) proof: remit_index::Proof,
}

/// Answers from the index as it is.
fn answered(index: &Index, what: &str, request: &Value) -> Answer {
    match what {
        "search" => search(index, &Asked::of(request)?),
        "counts" => counts(index, &Asked::of(request)?),
        "get" => get(index, &Asked::of(request)?),
        _ => Err((StatusCode::NOT_FOUND, "no such endpoint".to_owned())),
    }
}

fn failed(error: &IndexError) -> Refused {
    let status = match error {
        IndexError::Question(_) => StatusCode::BAD_REQUEST,
        _ => StatusCode::SERVICE_UNAVAILABLE,
    };
    (status, error.to_string())
}

/// The fields of a request: texts, or numbers that may be written as texts.
struct Asked<'a>(&'a Map<String, Value>);

impl<'a> Asked<'a> {
    fn of(request: &'a Value) -> Result<Self, Refused> {
        request.as_object().map(Self).ok_or_else(|| bad("a question is an object"))
    }

    /// Refuses fields that nobody reads: a filter that is misspelt must not look like one that held.
    fn only(&self, known: &[&str]) -> Result<(), Refused> {
        match self.0.keys().find(|key| !known.contains(&key.as_str())) {
            None => Ok(()),
            Some(key) => Err(bad(format!("there is no `{}` here", key.chars().take(64).collect::<String>()))),
        }
    }

    fn text(&self, key: &str) -> Result<Option<String>, Refused> {
        text(self.0.get(key), key).map(|text| text.map(str::to_owned))
    }

    fn number(&self, key: &str) -> Result<Option<u64>, Refused> {
        let number = match self.0.get(key) {
            None | Some(Value::Null) => return Ok(None),
            Some(Value::String(text)) if text.is_empty() => return Ok(None),
            Some(Value::String(text)) => text.parse().ok(),
            Some(value) => value.as_u64(),
        };
        number.map(Some).ok_or_else(|| bad(format!("`{key}` is a whole number")))
    }

    fn needed(&self, key: &str) -> Result<u64, Refused> {
        self.number(key)?.ok_or_else(|| bad(format!("`{key}` is missing")))
    }
}

/// The fields of a search.
const SEARCHED: [&str; 15] = [
    "agent",
    "user",
    "space",
    "tool",
    "verdict",
    "reason",
    "statement",
    "layer",
    "trace_id",
    "approval",
    "decision",
    "since_secs",
    "until_secs",
    "limit",
    "cursor",
];

fn question(asked: &Asked<'_>) -> Result<Question, Refused> {
    asked.only(&SEARCHED)?;
    let verdict = asked.text("verdict")?.map(|verdict| verdict.to_ascii_uppercase());
    let unknown = || bad("`verdict` is ALLOW, DENY or HOLD");
    let ms = |key: &str| Ok(asked.number(key)?.map(|secs| secs.saturating_mul(1000)));
    let limit = asked.number("limit")?.map_or(Ok(0), usize::try_from);
    Ok(Question {
        agent: asked.text("agent")?,
        user: asked.text("user")?,
        space: asked.text("space")?,
        tool: asked.text("tool")?,
        verdict: verdict.map(|verdict| Verdict::parse(&verdict).ok_or_else(unknown)).transpose()?,
        reason: asked.text("reason")?,
        statement: asked.text("statement")?,
        layer: asked.text("layer")?.map(|layer| layer.to_ascii_uppercase()),
        trace_id: asked.text("trace_id")?,
        approval: asked.text("approval")?,
        decision: asked.text("decision")?,
        since_ms: ms("since_secs")?,
        until_ms: ms("until_secs")?,
        limit: limit.map_err(|_| bad("`limit` is too large"))?,
        cursor: asked.text("cursor")?,
    })
}

fn search(index: &Index, asked: &Asked<'_>) -> Answer {
    let page = index.search(&question(asked)?).map_err(|error| failed(&error))?;
    let decisions: Vec<Value> = page.decisions.iter().map(row).collect();
    let mut told = json!({"decisions": decisions});
    if let (Some(cursor), Some(told)) = (page.next_cursor, told.as_object_mut()) {
        told.insert("next_cursor".to_owned(), json!(cursor));
    }
    Ok(told)
}

/// A decision as it is told.
fn row(found: &Found) -> Value {
    let mut row = Map::new();
    let mut set = |key: &str, value: Value| drop(row.insert(key.to_owned(), value));
    set("index", json!(found.index));
    set("id", json!(found.id));
    set("time", json!(rfc3339(found.at_ms)));
    set("agent", json!(found.agent));
    set("space", json!(found.space));
    set("tool", json!(found.tool));
    set("verdict", json!(found.verdict.as_str()));
    set("trace_id", json!(found.trace_id));
    for (key, value) in [
        ("user", &found.user),
        ("reason", &found.reason),
        ("risk", &found.risk),
        ("outcome", &found.outcome),
        ("approval", &found.approval),
    ] {
        if let Some(value) = value {
            set(key, json!(value));
        }
    }
    Value::Object(row)
}

fn counts(index: &Index, asked: &Asked<'_>) -> Answer {
    asked.only(&["since_secs", "until_secs", "step_secs", "by"])?;
    let by = asked.text("by")?;
    let unknown = || bad("`by` is space, agent, tool or verdict");
    let counts = Counts {
        since_secs: asked.needed("since_secs")?,
        until_secs: asked.needed("until_secs")?,
        step_secs: asked.needed("step_secs")?,
        by: by.map(|by| By::parse(&by).ok_or_else(unknown)).transpose()?,
    };
    let counted = index.counts(&counts).map_err(|error| failed(&error))?;
    let point = |one: &remit_index::Count| json!({"at_secs": one.at_secs, "key": one.key, "allow": one.allow, "deny": one.deny, "hold": one.hold});
    Ok(json!({"series": counted.iter().map(point).collect::<Vec<_>>()}))
}

/// One entry, read from the journal itself: `{id}`, of a decision, or the index of any entry.
fn get(index: &Index, asked: &Asked<'_>) -> Answer {
    asked.only(&["id"])?;
    let id = asked.text("id")?.ok_or_else(|| bad("`id` is missing"))?;
    let none = || (StatusCode::NOT_FOUND, "there is no such entry".to_owned());
    // Ids of decisions are longer than any index.
    let at = if id.len() < 20 { id.parse::<u64>().ok() } else { None };
    let (at, outcome_at) = match at {
        Some(at) => (at, index.places_at(at).ok().flatten().and_then(|(_, outcome)| outcome)),
        None => index.places(&id).map_err(|error| failed(&error))?.ok_or_else(none)?,
    };
    let read = |at: u64| -> Result<Option<Value>, Refused> {
        let kept = index.entry(at).map_err(|error| failed(&error))?;
        Ok(kept.map(|kept| serde_json::from_slice(&kept.bytes).unwrap_or_default()))
    };
    let entry = read(at)?.ok_or_else(none)?;
    let mut told = json!({"index": at, "entry": entry});
    if let (Some(outcome), Some(told)) = (outcome_at.map(read).transpose()?.flatten(), told.as_object_mut()) {
        told.insert("outcome".to_owned(), outcome);
        told.insert("outcome_index".to_owned(), json!(outcome_at));
    }
    // Without a whole index there is no proof, but there is the entry.
    let proof = index.proof(at).ok().flatten().map(|proof| {
        let path: Vec<String> = proof.path.iter().map(remit_tlog::Hash::to_base64).collect();
        json!({"leaf": proof.leaf.to_base64(), "path": path, "size": proof.checkpoint.size, "root": proof.checkpoint.root.to_base64(), "checkpoint": proof.checkpoint.note})
    });
    if let Some(told) = told.as_object_mut() {
        told.insert("proof".to_owned(), json!(proof));
    }
    Ok(told)
}

/// Who answers a command: the gateway, if one is up, or the files.
enum Source<'a> {
    Gateway(&'a Home),
    Files(Box<Index>),
}

impl<'a> Source<'a> {
    fn of(home: &'a Home) -> Result<Self, Failure> {
        if home.running().is_ok() {
            return Ok(Self::Gateway(home));
        }
        match Builder::open(home.index(), home.journal()).and_then(|mut builder| builder.catch_up()) {
            // A gateway is starting: it answers as far as it has come.
            Ok(()) | Err(IndexError::Locked) => Ok(Self::Files(Box::new(Index::new(home.index(), home.journal())))),
            Err(error) => Err(Failure::new(error.to_string())),
        }
    }

    async fn search(&self, asked: &Map<String, Value>) -> Result<Value, Failure> {
        match self {
            Self::Gateway(home) => {
                let texts: Vec<(String, String)> = asked.iter().map(|(key, value)| (key.clone(), plain(value))).collect();
                let query = remit_identity::form::write(texts.iter().map(|(key, value)| (key.as_str(), value.as_str())));
                operator(home, Method::GET, &format!("/v1/decisions?{query}"), None).await
            }
            Self::Files(index) => answered(index, "search", &Value::Object(asked.clone())).map_err(|(status, why)| {
                if status == StatusCode::BAD_REQUEST { Failure::invalid(why) } else { Failure::new(why) }
            }),
        }
    }
}

fn plain(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

/// What a `remit log` asks of the index; `None` if it reads the journal from end to end.
fn filters(options: &Log) -> Result<Option<Map<String, Value>>, Failure> {
    let mut asked = Map::new();
    for (key, text) in [
        ("agent", &options.agent),
        ("user", &options.user),
        ("space", &options.space),
        ("tool", &options.tool),
        ("verdict", &options.verdict),
        ("reason", &options.reason),
        ("statement", &options.statement),
        ("layer", &options.layer),
        ("trace_id", &options.trace),
        ("approval", &options.approval),
    ] {
        if let Some(text) = text {
            asked.insert(key.to_owned(), json!(text));
        }
    }
    for (key, time) in [("since_secs", &options.since), ("until_secs", &options.until)] {
        if let Some(time) = time {
            let at = crate::replay::since(time)?;
            let at_ms = remit_model::time_ms(&at).ok_or_else(|| Failure::invalid(format!("`{time}` is no time")))?;
            asked.insert(key.to_owned(), json!(at_ms / 1000));
        }
    }
    let reads = options.follow
        || options.from.is_some()
        || options.last.is_some()
        || options.kind.is_some()
        || options.decision.is_some();
    Ok((!reads && (!asked.is_empty() || options.limit.is_some())).then_some(asked))
}

/// Answers a `remit log` that asks for decisions of some kind, the newest first. `false` if it asks for entries in their order.
pub(crate) async fn log(home: &Home, options: &Log) -> Result<bool, Failure> {
    let Some(mut asked) = filters(options)? else { return Ok(false) };
    let printer = Printer::new(options.common.json);
    let source = Source::of(home)?;
    let mut left = options.limit.unwrap_or(50).min(PRINTED_MAX);
    while left > 0 {
        asked.insert("limit".to_owned(), json!(left.min(LIMIT_MAX)));
        let page = source.search(&asked).await?;
        let decisions = page.get("decisions").and_then(Value::as_array).cloned().unwrap_or_default();
        for decision in &decisions {
            left = left.saturating_sub(1);
            printer.line(&if options.common.json { decision.to_string() } else { line(decision) })?;
        }
        match page.get("next_cursor") {
            Some(cursor) => asked.insert("cursor".to_owned(), cursor.clone()),
            None => return Ok(true),
        };
    }
    printer.say("… there may be more: see --limit and --until")?;
    Ok(true)
}

/// One decision as one line for people.
fn line(decision: &Value) -> String {
    let mut entry = decision.clone();
    if let Some(entry) = entry.as_object_mut() {
        entry.insert("type".to_owned(), json!("decision"));
        entry.insert("method".to_owned(), json!("→"));
    }
    let index = decision.get("index").and_then(Value::as_u64).unwrap_or_default();
    let outcome = decision.get("outcome").and_then(Value::as_str).map(|outcome| format!("  {outcome}")).unwrap_or_default();
    format!("{}{outcome}", audit::line(index, &entry))
}

/// `remit index`.
pub(crate) async fn index(command: &IndexOf) -> Result<(), Failure> {
    let fault = |error: IndexError| Failure::new(error.to_string());
    let (IndexOf::Status(common) | IndexOf::Rebuild(common)) = command;
    let home = Home::existing(&common.data)?;
    let printer = Printer::new(common.json);
    let told = match (command, home.running().is_ok()) {
        (IndexOf::Status(_), true) => operator(&home, Method::GET, "/v1/decisions/standing", None).await?,
        (IndexOf::Rebuild(_), true) => operator(&home, Method::POST, "/v1/decisions/rebuild", None).await?,
        (_, false) => {
            if matches!(command, IndexOf::Rebuild(_)) {
                Builder::wipe(home.index()).map_err(fault)?;
            }
            let mut builder = Builder::open(home.index(), home.journal()).map_err(fault)?;
            builder.catch_up().map_err(fault)?;
            json!({"entries": builder.entries(), "durable": builder.entries()})
        }
    };
    if common.json {
        return printer.line(&told.to_string());
    }
    let number = |key: &str| told.get(key).and_then(Value::as_u64).unwrap_or_default();
    if told.get("rebuilding").is_some() {
        return printer.line(&format!(
            "the index is made anew, of {} entries: `remit index status` tells how far it is",
            number("entries")
        ));
    }
    let broken = told.get("broken").and_then(Value::as_str).map(|why| format!("; it doesn't go on: {why}")).unwrap_or_default();
    printer.line(&format!("{} of {} entries are indexed{broken}", number("entries"), number("durable")))
}
