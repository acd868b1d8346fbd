//! For how long records are kept: `remit retention`, and what it does in the gateway.
//!
//! What goes is recorded first (`entries_erased`, durable), then its segment is written anew, then what is kept beside it goes. Holds are what
//! the journal says of them (`legal_hold`, `legal_hold_released`): a restart forgets none, and one that is answered keeps whatever isn't gone.

use std::collections::{BTreeSet, HashSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use http::{Method, StatusCode};
use remit_journal::{EraseError, Eraser, FullSegment, Reader, erase_attachments};
use remit_kernel::retention::{Hold, Holds, Sweep, Why};
use remit_model::{Person, Proof, Retention as Rules, RetentionRule};
use serde_json::{Value, json};
use tokio::runtime::Handle;

use crate::cli::{self, RetentionOf};
use crate::commands::operator;
use crate::fields::{Refused, away, bad};
use crate::home::Home;
use crate::now_ms;
use crate::output::{Failure, HELD, Printer, warn};
use crate::recap::Fold;
use crate::up::World;

/// The most holds at a time.
const HOLDS_MAX: usize = 1_000;
/// The longest text that is said, in bytes.
const SAID_BYTES_MAX: usize = 1024;
/// How many ranges one entry tells.
const RANGES_MAX: usize = 1_500;

/// Where records lie, and that one thing at a time becomes of them.
#[derive(Debug)]
pub(crate) struct Retention {
    pub(crate) journal: PathBuf,
    facts: PathBuf,
    /// Held while a segment is gone through, and while a hold comes or goes.
    pub(crate) turn: tokio::sync::Mutex<()>,
    /// Why nothing is archived now.
    pub(crate) unarchived: std::sync::Mutex<Option<String>>,
}

impl Retention {
    pub(crate) fn new(home: &Home) -> Self {
        Self {
            journal: home.journal(),
            facts: home.facts(),
            turn: tokio::sync::Mutex::default(),
            unarchived: std::sync::Mutex::default(),
        }
    }
}

/// What a sweep is for.
#[derive(Debug, Clone)]
enum Aim {
    Retention(Rules),
    User(String),
}

/// What it came to.
#[derive(Debug, Clone, Copy, Default, serde::Serialize)]
struct Swept {
    dry_run: bool,
    erased: u64,
    kept_by_holds: u64,
    /// How many segments were written anew.
    segments: u64,
    bytes_freed: u64,
    /// How many would go, but for the segment that they are in: it is being written.
    not_yet: u64,
}

type Answer = Result<Value, Refused>;

impl World {
    /// Answers what a person asks about retention.
    pub(crate) async fn answer_retention(self: &World, person: &Person, what: &str, request: Value) -> Answer {
        let said = |key: &str| match request.get(key).and_then(Value::as_str).map(str::trim).filter(|text| !text.is_empty()) {
            Some(text) if text.len() > SAID_BYTES_MAX => Err(bad(format!("`{key}` is longer than {SAID_BYTES_MAX} bytes"))),
            text => Ok(text.map(str::to_owned)),
        };
        let need = |key: &str| said(key)?.ok_or_else(|| bad(format!("`{key}` is missing")));
        let dry_run = request.get("dry_run").and_then(Value::as_bool) == Some(true);
        match what {
            "get" => Ok(self.retained()),
            "archive" => self.archive_standing().await,
            "restore" => {
                let segment = request.get("segment").and_then(Value::as_u64).ok_or_else(|| bad("`segment` is missing"))?;
                self.restore(segment, person, &need("reason")?).await
            }
            "sweep" => {
                let aim = Aim::Retention(self.gateway.snapshot().organization.retention.clone());
                self.sweep(&aim, person, &need("reason")?, dry_run).await.and_then(told)
            }
            "reveal" => self.reveal(person, &need("entry")?, &need("reason")?).await,
            "destroy" => self.destroy_space_key(person, &need("space")?, &need("reason")?).await,
            "erase" => {
                let user = need("user")?;
                if !dry_run {
                    self.gateway.forget_user(&user);
                }
                self.sweep(&Aim::User(user), person, &need("reason")?, dry_run).await.and_then(told)
            }
            "hold" => {
                let (name, reason) = (need("name")?, need("reason")?);
                let fields = ["agent", "user", "space", "tool", "since_secs", "until_secs"];
                let named: serde_json::Map<String, Value> = fields
                    .iter()
                    .filter_map(|key| Some(((*key).to_owned(), request.get(*key).filter(|value| !value.is_null())?.clone())))
                    .collect();
                let hold: Hold =
                    serde_json::from_value(named.into()).map_err(|error| bad(format!("this is no hold: {error}")))?;
                let _turn = self.retention.turn.lock().await;
                let holds = self.holds().await?;
                if holds.contains_key(&name) {
                    return Err((
                        StatusCode::CONFLICT,
                        format!("there is a hold `{name}` already: release it first, or take another name"),
                    ));
                }
                if holds.len() >= HOLDS_MAX {
                    return Err((StatusCode::CONFLICT, format!("there are {HOLDS_MAX} holds already: release some")));
                }
                let event = json!({"name": name, "hold": hold, "reason": reason, "by": person.id, "proof": person.proof});
                self.recorded("legal_hold", event).await?;
                Ok(json!({"holds": self.book.holds()}))
            }
            "release" => {
                let (name, reason) = (need("name")?, need("reason")?);
                let _turn = self.retention.turn.lock().await;
                if !self.holds().await?.contains_key(&name) {
                    return Err((StatusCode::NOT_FOUND, format!("there is no hold `{name}`: `remit retention` lists them")));
                }
                let event = json!({"name": name, "reason": reason, "by": person.id, "proof": person.proof});
                self.recorded("legal_hold_released", event).await?;
                Ok(json!({"holds": self.book.holds()}))
            }
            _ => Err((StatusCode::NOT_FOUND, "no such endpoint".to_owned())),
        }
    }

    fn retained(&self) -> Value {
        let snapshot = self.gateway.snapshot();
        let rules = &snapshot.organization.retention;
        let rule = |rule: &RetentionRule| json!({"spaces": rule.spaces, "classes": rule.classes, "days": rule.days});
        json!({"days": rules.days, "rules": rules.rules.iter().map(rule).collect::<Vec<_>>(), "holds": self.book.holds()})
    }

    /// Erases what is over, if the configuration says that anything ever is.
    pub(crate) async fn sweep_when_due(&self) {
        let rules = self.gateway.snapshot().organization.retention.clone();
        if rules.days.is_none() && rules.rules.is_empty() && !self.book.tells_of_erased() {
            return;
        }
        let nobody = Person { id: "remit".to_owned(), proof: Proof::Token };
        if let Err((_, why)) = self.sweep(&Aim::Retention(rules), &nobody, "their time is over", false).await {
            warn(&format!("records whose time is over are still there: {why}"));
        }
    }

    /// Goes through every segment that is full.
    async fn sweep(&self, aim: &Aim, person: &Person, reason: &str, dry_run: bool) -> Result<Swept, Refused> {
        let journal = self.retention.journal.clone();
        let eraser = Eraser::open(&journal).map_err(|error| match &error {
            EraseError::Locked(_) => (StatusCode::CONFLICT, error.to_string()),
            _ => away(error),
        })?;
        let eraser = Arc::new(eraser);
        if !dry_run {
            self.finish(&eraser).await?;
        }
        let full = eraser.full_segments().map_err(away)?;
        let mut swept = Swept { dry_run, ..Swept::default() };
        let waits = Arc::new(self.waits(full.last().map_or(0, |last| last.end_index)).await?);
        let mut said = Said { aim: aim.clone(), reason: reason.to_owned(), person: person.clone(), dry_run };
        // A call's decision may be in one segment and its outcome in the next: what was said of it goes along.
        let mut open = None;
        for segment in &full {
            if let Aim::Retention(rules) = aim
                && (!is_due(&journal, *segment, rules) || rules.archive.is_some() && segment.generation > self.book.archived())
            {
                continue;
            }
            let _turn = self.retention.turn.lock().await;
            let holds = self.holds().await?;
            let (eraser, waits, segment) = (Arc::clone(&eraser), Arc::clone(&waits), *segment);
            let (gateway, facts) = (self.gateway.clone(), self.retention.facts.clone());
            let runtime = Handle::current();
            let work = move || -> Result<_, String> {
                let mut sweep = Sweep::new(said.why(), &holds, now_ms()).with_open(open).waiting_for(&waits);
                let done = said.segment(&eraser, segment, &mut sweep, &gateway, &runtime, &facts)?;
                let waiting = sweep.waiting();
                let (kept, open) = sweep.end();
                Ok((done, kept, waiting, open, said))
            };
            let done = tokio::task::spawn_blocking(work).await.map_err(away)?;
            let (done, kept, waiting, left, again) = done.map_err(away)?;
            (open, said) = (Some(left), again);
            swept.not_yet += waiting;
            swept.erased += done.0;
            swept.bytes_freed += done.1;
            swept.segments += u64::from(done.0 > 0);
            swept.kept_by_holds += kept;
        }
        // What is in the segment that is being written.
        let from = full.last().map_or(0, |last| last.end_index);
        let holds = self.holds().await?;
        let rest = move || -> Result<u64, String> {
            let mut sweep = Sweep::new(said.why(), &holds, now_ms()).with_open(open);
            let mut reader = Reader::open(journal, from).map_err(|error| error.to_string())?.without_signatures();
            let mut count = 0;
            while let Some(entry) = reader.next().map_err(|error| error.to_string())? {
                count += u64::from(sweep.goes(&entry.bytes));
            }
            Ok(count + sweep.waiting())
        };
        let rest = tokio::task::spawn_blocking(rest).await.map_err(away)?;
        swept.not_yet += rest.map_err(away)?;
        Ok(swept)
    }

    /// Erases what the journal says is erased and isn't, unless a hold keeps it by now: a crash or a full disk came between the one and the other.
    async fn finish(&self, eraser: &Arc<Eraser>) -> Result<(), Refused> {
        let _turn = self.retention.turn.lock().await;
        let holds = self.holds().await?;
        if !self.book.tells_of_erased() {
            return Ok(());
        }
        let (eraser, journal, facts) = (Arc::clone(eraser), self.retention.journal.clone(), self.retention.facts.clone());
        let work = move || erase_told(&eraser, &journal, &facts, &holds);
        tokio::task::spawn_blocking(work).await.map_err(away)?.map_err(away)
    }

    /// The legal holds of everything that is durable. While that isn't known nothing is erased: a hold may have been recorded that isn't in
    /// effect yet.
    pub(crate) async fn holds(&self) -> Result<Holds, Refused> {
        self.reach(self.journal.checkpoint().size.saturating_sub(1)).await?;
        Ok(self.book.holds())
    }

    /// Decisions that have no outcome before the entry `from`: it comes later, or is in the segment that is being written. To erase such a
    /// decision would leave its outcome alone, and nothing could tell any more whose it is.
    async fn waits(&self, from: u64) -> Result<HashSet<String>, Refused> {
        // First those that have none, then what came: one that comes meanwhile is in the one or the other.
        self.reach(self.journal.checkpoint().size.saturating_sub(1)).await?;
        let mut waits = self.book.open_calls();
        let journal = self.retention.journal.clone();
        let read = move || -> Result<HashSet<String>, String> {
            #[derive(serde::Deserialize)]
            struct Outcome {
                #[serde(rename = "type")]
                kind: String,
                #[serde(default)]
                decision: String,
            }
            let mut reader = Reader::open(journal, from).map_err(|error| error.to_string())?.without_signatures();
            while let Some(entry) = reader.next().map_err(|error| error.to_string())? {
                let outcome = serde_json::from_slice::<Outcome>(&entry.bytes).ok().filter(|entry| entry.kind == "outcome");
                waits.extend(outcome.map(|outcome| outcome.decision));
            }
            Ok(waits)
        };
        tokio::task::spawn_blocking(read).await.map_err(away)?.map_err(away)
    }
}

/// Erases what the journal says is erased and isn't, but for what a hold keeps.
fn erase_told(eraser: &Eraser, journal: &Path, facts: &Path, holds: &Holds) -> Result<(), String> {
    let told = told_of(journal)?;
    let is_told = |index: u64| {
        let before = told.partition_point(|[first, _]| *first <= index);
        before.checked_sub(1).and_then(|place| told.get(place)).is_some_and(|[_, end]| index < *end)
    };
    let mut open = None;
    for segment in eraser.full_segments().map_err(|error| error.to_string())? {
        if !told.iter().any(|[first, end]| *first < segment.end_index && *end > segment.first_index) {
            continue;
        }
        let mut sweep = Sweep::new(Why::Told, holds, now_ms()).with_open(open);
        let before = |going: &[u64]| -> Result<(), Stopped> {
            let gone = going.iter().copied().collect();
            erase_attachments(facts, &gone).map(drop).map_err(|error| Stopped::Unrecorded(error.to_string()))
        };
        match eraser.erase(segment, |index, entry| sweep.goes(entry) && is_told(index), before) {
            Ok(_) | Err(Stopped::Dry) => {}
            Err(Stopped::Erase(error)) => return Err(error.to_string()),
            Err(Stopped::Unrecorded(why)) => return Err(why),
        }
        open = Some(sweep.end().1);
    }
    Ok(())
}

/// The same on a node that stands by: what the active one erased goes here, too. It reads the whole journal.
pub(crate) fn erase_on_standby(home: &Home) -> Result<(), String> {
    let eraser = Eraser::open(home.journal()).map_err(|error| error.to_string())?;
    let mut fold = Fold::default();
    let mut reader = Reader::open(home.journal(), 0).map_err(|error| error.to_string())?.without_signatures();
    while let Some(entry) = reader.next().map_err(|error| error.to_string())? {
        drop(fold.take(entry.index, &entry.bytes));
    }
    if !fold.erased {
        return Ok(());
    }
    erase_told(&eraser, &home.journal(), &home.facts(), &fold.holds)
}

/// Whether an entry says that others were erased.
pub(crate) fn tells_of_erased(entry: &[u8]) -> bool {
    const KIND: &[u8] = b"\"type\":\"entries_erased\"";
    entry.windows(KIND.len()).any(|window| window == KIND)
}

/// What the journal says is erased: ranges in their order, none of which touches another.
fn told_of(journal: &Path) -> Result<Vec<[u64; 2]>, String> {
    #[derive(serde::Deserialize)]
    struct Erased {
        #[serde(rename = "type")]
        kind: String,
        ranges: Vec<[u64; 2]>,
    }
    const KIND: &str = "entries_erased";
    let mut all: Vec<[u64; 2]> = Vec::new();
    let mut reader = Reader::open(journal, 0).map_err(|error| error.to_string())?.without_signatures();
    while let Some(entry) = reader.next().map_err(|error| error.to_string())? {
        // Most entries are told apart without reading them.
        if entry.bytes.windows(KIND.len()).any(|window| window == KIND.as_bytes())
            && let Ok(erased) = serde_json::from_slice::<Erased>(&entry.bytes)
            && erased.kind == KIND
        {
            all.extend(erased.ranges);
        }
    }
    all.sort_unstable();
    let mut told: Vec<[u64; 2]> = Vec::new();
    for [first, end] in all {
        match told.last_mut() {
            Some([_, last]) if first <= *last => *last = end.max(*last),
            _ => told.push([first, end]),
        }
    }
    Ok(told)
}

/// Whether anything of a segment may be over: what it begins with is older than the shortest time.
fn is_due(journal: &Path, segment: FullSegment, rules: &Rules) -> bool {
    let Some(days) = rules.rules.iter().map(|rule| rule.days).chain(rules.days).min() else { return false };
    let first = Reader::open(journal, segment.first_index).map(Reader::without_signatures).and_then(|mut reader| reader.next());
    let Ok(Some(entry)) = first else { return true };
    let value: Value = serde_json::from_slice(&entry.bytes).unwrap_or_default();
    let at_ms = value.get("time").and_then(Value::as_str).and_then(remit_model::time_ms).unwrap_or_default();
    entry.index >= segment.end_index || at_ms.saturating_add(u64::from(days) * 86_400_000) <= now_ms()
}

fn told(swept: Swept) -> Answer {
    serde_json::to_value(swept).map_err(|error| (StatusCode::INTERNAL_SERVER_ERROR, error.to_string()))
}

/// What is said of what goes.
struct Said {
    aim: Aim,
    reason: String,
    person: Person,
    dry_run: bool,
}

/// Why nothing of a segment was erased.
enum Stopped {
    Erase(EraseError),
    /// Nothing was to be.
    Dry,
    Unrecorded(String),
}

impl From<EraseError> for Stopped {
    fn from(error: EraseError) -> Self {
        Self::Erase(error)
    }
}

impl Said {
    fn why(&self) -> Why<'_> {
        match &self.aim {
            Aim::Retention(rules) => Why::Retention(rules),
            Aim::User(user) => Why::User(user),
        }
    }

    /// Goes through one segment: how many went, and how many bytes with them.
    fn segment(
        &self,
        eraser: &Eraser,
        segment: FullSegment,
        sweep: &mut Sweep<'_>,
        gateway: &remit_gateway::Gateway,
        runtime: &Handle,
        facts: &std::path::Path,
    ) -> Result<(u64, u64), String> {
        let mut gone = BTreeSet::new();
        let before = |going: &[u64]| -> Result<(), Stopped> {
            gone.extend(going);
            if self.dry_run {
                return Err(Stopped::Dry);
            }
            for ranges in ranges(going).chunks(RANGES_MAX) {
                // Whom it was about is what must not be left behind.
                let why = if matches!(self.aim, Aim::User(_)) { "erasure" } else { "retention" };
                let count: u64 = ranges.iter().map(|[first, end]| end - first).sum();
                let event = json!({
                    "ranges": ranges, "count": count, "why": why, "reason": self.reason, "by": self.person.id, "proof": self.person.proof,
                });
                runtime.block_on(gateway.record("entries_erased", event)).map_err(Stopped::Unrecorded)?;
            }
            // What is kept beside an entry goes first: once the entry is gone nobody would look for it.
            erase_attachments(facts, &gone).map(drop).map_err(|error| Stopped::Unrecorded(error.to_string()))
        };
        match eraser.erase(segment, |_, entry| sweep.goes(entry), before) {
            Ok(done) => Ok((done.erased, done.bytes_before.saturating_sub(done.bytes_after))),
            Err(Stopped::Dry) => Ok((gone.len() as u64, 0)),
            Err(Stopped::Erase(error)) => Err(error.to_string()),
            Err(Stopped::Unrecorded(why)) => Err(why),
        }
    }
}

/// Indexes in their order as ranges: the first of each, and the one after its last.
fn ranges(indexes: &[u64]) -> Vec<[u64; 2]> {
    let mut ranges: Vec<[u64; 2]> = Vec::new();
    for index in indexes {
        match ranges.last_mut() {
            Some([_, end]) if end == index => *end += 1,
            _ => ranges.push([*index, index + 1]),
        }
    }
    ranges
}

/// `remit retention`.
pub(crate) async fn run(options: &RetentionOf) -> Result<(), Failure> {
    let (common, path, request) = match &options.command {
        None => {
            let told = operator(&Home::existing(&options.common.data)?, Method::GET, "/v1/retention", None).await?;
            return standing(&told, Printer::new(options.common.json));
        }
        Some(cli::Retention::Sweep { dry_run, because }) => {
            (&because.common, "/v1/retention/sweep", json!({"dry_run": dry_run, "by": because.by, "reason": because.reason}))
        }
        Some(cli::Retention::Erase { user, dry_run, because }) => {
            let request = json!({"user": user, "dry_run": dry_run, "by": because.by, "reason": because.reason});
            (&because.common, "/v1/retention/erase", request)
        }
        Some(cli::Retention::Destroy { space, because }) => {
            let request = json!({"space": space, "by": because.by, "reason": because.reason});
            (&because.common, "/v1/space-keys/destroy", request)
        }
        Some(cli::Retention::Hold { name, agent, user, space, tool, since, until, because }) => {
            let mut request = json!({"name": name, "by": because.by, "reason": because.reason});
            if let Some(request) = request.as_object_mut() {
                for (key, value) in [("agent", agent), ("user", user), ("space", space), ("tool", tool)] {
                    request.extend(value.as_ref().map(|value| (key.to_owned(), json!(value))));
                }
                for (key, time) in [("since_secs", since), ("until_secs", until)] {
                    let Some(time) = time else { continue };
                    let at_ms = remit_model::time_ms(&crate::replay::since(time)?).unwrap_or_default();
                    request.insert(key.to_owned(), json!(at_ms / 1000));
                }
            }
            (&because.common, "/v1/retention/holds", request)
        }
        Some(cli::Retention::Release { name, because }) => {
            (&because.common, "/v1/retention/release", json!({"name": name, "by": because.by, "reason": because.reason}))
        }
    };
    let told = operator(&Home::existing(&common.data)?, Method::POST, path, Some(&request)).await?;
    let printer = Printer::new(common.json);
    let number = |key: &str| told.get(key).and_then(Value::as_u64).unwrap_or_default();
    if printer.json {
        printer.line(&told.to_string())?;
    } else if told.get("holds").is_some() {
        holds(&told, printer)?;
    } else if let Some(space) = told.get("space").and_then(Value::as_str) {
        printer
            .line(&format!("the key of `{space}` is destroyed: what was kept of its calls until now can't be opened any more"))?;
    } else {
        let verb = if told.get("dry_run") == Some(&json!(true)) { "would be erased" } else { "erased" };
        printer.line(&format!("{} entries {verb}, {} kept by holds", number("erased"), number("kept_by_holds")))?;
        if number("bytes_freed") > 0 {
            printer.line(&format!("{} segments written anew, {} KiB freed", number("segments"), number("bytes_freed") / 1024))?;
        }
        if number("not_yet") > 0 {
            let rest = "are in the segment that is being written: ask again when it is full";
            printer.line(&format!("{} more {rest}", number("not_yet")))?;
        }
    }
    let waits = path == "/v1/retention/erase" && number("not_yet") > 0 && request.get("dry_run") != Some(&json!(true));
    if waits { Err(Failure::said(HELD)) } else { Ok(()) }
}

fn standing(told: &Value, printer: Printer) -> Result<(), Failure> {
    if printer.json {
        return printer.line(&told.to_string());
    }
    let words = |value: &Value| {
        let words: Vec<&str> = value.as_array().into_iter().flatten().filter_map(Value::as_str).collect();
        if words.is_empty() { "all".to_owned() } else { words.join(", ") }
    };
    for rule in told.get("rules").and_then(Value::as_array).into_iter().flatten() {
        let of = |key: &str| words(rule.get(key).unwrap_or(&Value::Null));
        printer.line(&format!("{:>6} days  spaces {}, classes {}", rule["days"], of("spaces"), of("classes")))?;
    }
    match told.get("days").and_then(Value::as_u64) {
        Some(days) => printer.line(&format!("{days:>6} days  whatever else is called"))?,
        None => printer.line("  for ever  whatever else is called")?,
    }
    holds(told, printer)
}

fn holds(told: &Value, printer: Printer) -> Result<(), Failure> {
    let holds = told.get("holds").and_then(Value::as_object);
    for (name, hold) in holds.into_iter().flatten() {
        let named: Vec<String> = hold
            .as_object()
            .into_iter()
            .flatten()
            .map(|(key, value)| format!("{key} {}", value.as_str().map_or_else(|| value.to_string(), str::to_owned)))
            .collect();
        let what = if named.is_empty() { "everything".to_owned() } else { named.join(", ") };
        printer.line(&format!("hold {name}: {what}"))?;
    }
    if holds.is_none_or(serde_json::Map::is_empty) { printer.line("no legal holds") } else { Ok(()) }
}
