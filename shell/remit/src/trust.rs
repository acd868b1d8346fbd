//! How far agents are trusted: the book of their records, kept in step with the journal; and the commands about it.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::path::Path;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};
use std::thread::JoinHandle;
use std::time::Duration;

use http::{Method, StatusCode};
use remit_gateway::{Gateway, Trust};
use remit_journal::{Known, Reader};
use remit_kernel::Fact;
use remit_kernel::alarm::States;
use remit_kernel::retention::Holds;
use remit_kernel::trust::{EVERY, Standing, Tiers};
use remit_model::{AgentId, Person, TrustRules};
use serde_json::{Value, json};
use tokio::runtime::Handle;

use crate::cli::{self, Incident, TrustOf};
use crate::commands::operator;
use crate::fields::{Refused, bad};
use crate::home::Home;
use crate::now_secs;
use crate::output::{Failure, Printer, warn};
use crate::recap::{Fold, Recap};
use crate::up::World;

/// How long the book waits before it looks for new entries.
const POLL: Duration = Duration::from_millis(20);
/// How long it waits before it reads again what could not be read.
const RETRY: Duration = Duration::from_secs(1);
/// How long an answer waits until the book has what was recorded for it.
const REACH_MAX: Duration = Duration::from_secs(5);
/// How many entries a start reads at most, and one segment's, where the end before was a crash.
const RECAP_ENTRIES: u64 = 200_000;
/// The longest name, or text that a person says, in bytes.
const SAID_BYTES_MAX: usize = 1024;

/// The records of all agents. Made again from the journal at every start, and kept in step with it.
#[derive(Debug, Default)]
pub(crate) struct Book {
    state: RwLock<State>,
    watch: Mutex<Watch>,
    /// The book has gone on, or is to stop.
    moved: Condvar,
}

#[derive(Debug, Default)]
struct State {
    fold: Fold,
    /// How many entries are in what was kept of it.
    kept: u64,
    /// Why it can't be kept in step: then nobody's tier is known.
    broken: Option<String>,
    /// Tiers that were answered, under these rules.
    answered: HashMap<String, Arc<Tiers>>,
    rules: Option<TrustRules>,
}

#[derive(Debug, Default)]
struct Watch {
    stop: bool,
    entries: u64,
}

impl Book {
    fn read(&self) -> RwLockReadGuard<'_, State> {
        self.state.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, State> {
        self.state.write().unwrap_or_else(PoisonError::into_inner)
    }

    fn watch(&self) -> MutexGuard<'_, Watch> {
        self.watch.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Begins with what the journal came to, of which this much is kept already.
    pub(crate) fn begin(&self, fold: Fold, kept: u64) {
        let mut state = self.write();
        (state.fold, state.kept) = (fold, kept);
    }

    /// The last segment of the journal that is archived.
    pub(crate) fn archived(&self) -> u64 {
        self.read().fold.archived
    }

    /// The legal holds, as far as it has come: whoever places one waits until it has.
    pub(crate) fn holds(&self) -> Holds {
        self.read().fold.holds.clone()
    }

    /// Whether the journal says of any entries that they were erased, as far as it has come.
    pub(crate) fn tells_of_erased(&self) -> bool {
        self.read().fold.erased
    }

    /// Calls that were allowed and have not ended, as far as it has come.
    pub(crate) fn open_calls(&self) -> HashSet<String> {
        self.read().fold.open.keys().cloned().collect()
    }

    /// The states of alarms, as far as it has come.
    pub(crate) fn alarms(&self) -> States {
        self.read().fold.alarms.clone()
    }

    /// Takes the entry with this index. Says whose standing it may have changed.
    fn take(&self, index: u64, entry: &[u8]) -> Option<String> {
        let mut state = self.write();
        let changed = state.fold.take(index, entry);
        if let Some(agent) = &changed {
            state.answered.remove(agent);
        }
        changed
    }

    /// Keeps what the journal comes to, if there is enough that isn't kept: a start reads what came after.
    fn remember(&self, recap: &Recap, reader: &Reader, entries_min: u64) {
        let state = self.read();
        let (size, kept) = (state.fold.entries, state.kept);
        // Only between two batches is there a root that was signed.
        let Some(checkpoint) = reader.checkpoint().filter(|checkpoint| checkpoint.size == size && size >= kept + entries_min)
        else {
            return;
        };
        let body = state.fold.to_json();
        drop(state);
        match recap.write(&body, Known { size, root: checkpoint.root }) {
            Ok(()) => self.write().kept = size,
            Err(error) => warn(&format!("the next start will read more of the journal: its recap can't be written: {error}")),
        }
    }

    /// Goes on with the journal's entries as they come, and records demotions, until what is given back is dropped.
    pub(crate) fn keep(self: &Arc<Self>, gateway: &Gateway, journal: &Path, recap: Recap) -> Result<Keeping, Failure> {
        let (book, gateway, journal, runtime) = (Arc::clone(self), gateway.clone(), journal.to_owned(), Handle::current());
        let thread = std::thread::Builder::new().name("trust".to_owned());
        let thread = thread
            .spawn(move || book.run(&gateway, &journal, &recap, &runtime))
            .map_err(|error| Failure::new(error.to_string()))?;
        Ok(Keeping { book: Arc::clone(self), thread: Some(thread) })
    }

    fn run(&self, gateway: &Gateway, journal: &Path, recap: &Recap, runtime: &Handle) {
        loop {
            let from = self.read().fold.entries;
            let failed = match Reader::open(journal, from).map(Reader::without_signatures) {
                Ok(reader) => self.follow(reader, gateway, recap, runtime).err(),
                Err(error) => Some(error),
            };
            let Some(error) = failed else { return };
            warn(&format!("how far agents are trusted is not known: {error}"));
            self.write().broken = Some(error.to_string());
            if !self.wait(RETRY) {
                return;
            }
        }
    }

    /// Follows the journal until it is told to stop.
    fn follow(
        &self,
        mut reader: Reader,
        gateway: &Gateway,
        recap: &Recap,
        runtime: &Handle,
    ) -> Result<(), remit_journal::ReadError> {
        // At first everybody may have fallen.
        let mut changed: BTreeSet<String> = self.read().fold.ledger.agents().map(str::to_owned).collect();
        let mut rules = None;
        loop {
            while let Some(entry) = reader.next()? {
                changed.extend(self.take(entry.index, &entry.bytes));
            }
            self.remember(recap, &reader, RECAP_ENTRIES);
            self.write().broken = None;
            let in_effect = gateway.snapshot().organization.trust.clone();
            if rules != in_effect {
                rules = in_effect;
                changed = self.read().fold.ledger.agents().map(str::to_owned).collect();
            }
            if let Some(rules) = &rules {
                for agent in std::mem::take(&mut changed) {
                    self.demote(rules, &agent, gateway, runtime);
                }
            }
            changed.clear();
            let entries = self.read().fold.entries;
            self.watch().entries = entries;
            self.moved.notify_all();
            if !self.wait(POLL) {
                self.remember(recap, &reader, 1);
                return Ok(());
            }
        }
    }

    /// Records the demotions of an agent that the journal doesn't have yet. They are in effect already.
    fn demote(&self, rules: &TrustRules, agent: &str, gateway: &Gateway, runtime: &Handle) {
        let demotions = self.read().fold.ledger.demotions(rules, agent, now_secs());
        for (category, demotion) in demotions {
            let event = json!({"agent": agent, "category": category, "from": demotion.from, "to": demotion.to, "because": demotion.because});
            if let Err(why) = runtime.block_on(gateway.record("trust_demoted", event)) {
                warn(&format!("the demotion of {agent} in {category} is in effect and could not be recorded: {why}"));
            }
        }
    }

    /// Waits for so long, or until it is told to stop; whether to go on.
    fn wait(&self, longest: Duration) -> bool {
        let goes_on = |watch: &mut Watch| !watch.stop;
        let watch = self.moved.wait_timeout_while(self.watch(), longest, goes_on).unwrap_or_else(PoisonError::into_inner).0;
        !watch.stop
    }

    /// Waits until the entry with this index is in it.
    fn reach(&self, index: u64) -> bool {
        let behind = |watch: &mut Watch| watch.entries <= index && !watch.stop;
        let watch = self.moved.wait_timeout_while(self.watch(), REACH_MAX, behind).unwrap_or_else(PoisonError::into_inner).0;
        watch.entries > index
    }
}

impl Trust for Book {
    fn tiers(&self, rules: &TrustRules, agent: &AgentId) -> Fact<Arc<Tiers>> {
        {
            let state = self.read();
            if let Some(why) = &state.broken {
                return Fact::Unknown(why.clone());
            }
            if let Some(known) = state.answered.get(agent.as_str()).filter(|_| state.rules.as_ref() == Some(rules)) {
                return Fact::Known(Arc::clone(known));
            }
        }
        let mut state = self.write();
        if state.rules.as_ref() != Some(rules) {
            state.answered.clear();
            state.rules = Some(rules.clone());
        }
        let tiers = Arc::new(state.fold.ledger.tiers(rules, agent.as_str(), now_secs()));
        state.answered.insert(agent.as_str().to_owned(), Arc::clone(&tiers));
        Fact::Known(tiers)
    }
}

/// The book is kept in step until this is dropped.
pub(crate) struct Keeping {
    book: Arc<Book>,
    thread: Option<JoinHandle<()>>,
}

impl Drop for Keeping {
    fn drop(&mut self) {
        self.book.watch().stop = true;
        self.book.moved.notify_all();
        if let Some(thread) = self.thread.take() {
            // It may be recording a demotion, for which the runtime must go on.
            let _ = tokio::task::block_in_place(|| thread.join());
        }
    }
}

type Answer = Result<Value, Refused>;

impl World {
    /// Answers what a person asks about trust.
    pub(crate) async fn answer_trust(&self, person: &Person, what: &str, request: Value) -> Answer {
        // With what is durable by now.
        self.reach(self.journal.checkpoint().size.saturating_sub(1)).await?;
        let Some(rules) = self.gateway.snapshot().organization.trust.clone() else {
            if what == "incident" {
                return self.incident(person, &request).await;
            }
            return Err((StatusCode::CONFLICT, "the configuration has no `trust`: nobody has a tier".to_owned()));
        };
        match what {
            "list" => Ok(json!({"initial": rules.initial, "agents": self.standings(&rules, None, None)})),
            "explain" => {
                let agent = self.agent(&request)?;
                let category = said(&request, "category")?;
                Ok(json!({"agent": agent, "initial": rules.initial, "agents": self.standings(&rules, Some(&agent), category)}))
            }
            "promote" => self.promote(&rules, person, &request).await,
            "incident" => self.incident(person, &request).await,
            _ => Err((StatusCode::NOT_FOUND, "no such endpoint".to_owned())),
        }
    }

    /// The standings of every agent, or of one, by category.
    fn standings(&self, rules: &TrustRules, only: Option<&str>, category: Option<&str>) -> Vec<Value> {
        let organization = Arc::clone(&self.gateway.snapshot().organization);
        let agents = organization.agents.keys().map(AgentId::as_str).filter(|agent| only.is_none_or(|only| only == *agent));
        let state = self.book.read();
        let mut told = Vec::new();
        for agent in agents {
            let mut standings = state.fold.ledger.standings(rules, agent, now_secs());
            if let Some(category) = category {
                let of = remit_kernel::trust::standing(rules, &state.fold.ledger.record(agent, category), now_secs());
                standings = std::iter::once((category.to_owned(), of)).collect();
            }
            for (category, standing) in standings {
                told.push(row(agent, &category, &standing));
            }
        }
        told
    }

    fn agent(&self, request: &Value) -> Result<String, Refused> {
        let agent = said(request, "agent")?.ok_or_else(|| bad("`agent` is missing"))?;
        if self.gateway.snapshot().organization.agents.contains_key(agent) {
            Ok(agent.to_owned())
        } else {
            Err((StatusCode::NOT_FOUND, format!("there is no agent `{}`", agent.chars().take(64).collect::<String>())))
        }
    }

    /// Signs a promotion: only the one that is proposed.
    async fn promote(&self, rules: &TrustRules, person: &Person, request: &Value) -> Answer {
        said(request, "by")?.ok_or_else(|| bad("`by` is missing: who is it?"))?;
        let agent = self.agent(request)?;
        let category = said(request, "category")?.ok_or_else(|| bad("`category` is missing"))?;
        let reason = said(request, "reason")?.ok_or_else(|| bad("`reason` is missing"))?;
        // One at a time, so that nobody signs what somebody else has just signed.
        let _signing = self.signing.lock().await;
        let standing = {
            let state = self.book.read();
            remit_kernel::trust::standing(rules, &state.fold.ledger.record(&agent, category), now_secs())
        };
        let Some(proposal) = standing.promotion().filter(|_| category != EVERY) else {
            let missing = standing.next.iter().flat_map(|next| &next.because).filter(|number| !number.met);
            let missing: Vec<String> =
                missing.map(|number| format!("{} {} of {}", number.rule, number.had, number.wanted)).collect();
            let why = if missing.is_empty() { "no rule leads up from here".to_owned() } else { missing.join(", ") };
            let what =
                format!("no promotion of `{agent}` in `{category}` is proposed, and only what is proposed can be signed: {why}");
            return Err((StatusCode::CONFLICT, what));
        };
        let event = json!({
            "agent": agent, "category": category, "from": standing.tier, "to": proposal.to, "by": person.id, "proof": person.proof,
            "reason": reason, "because": proposal.because,
        });
        self.recorded("trust_promoted", event).await?;
        Ok(json!({"agent": agent, "category": category, "from": standing.tier, "to": proposal.to}))
    }

    /// Records an incident: where a rule says so, the agent has fallen when this answers.
    async fn incident(&self, person: &Person, request: &Value) -> Answer {
        said(request, "by")?.ok_or_else(|| bad("`by` is missing: who is it?"))?;
        let agent = self.agent(request)?;
        let severity = said(request, "severity")?.filter(|word| remit_model::Risk::parse(word).is_some());
        let severity = severity.ok_or_else(|| bad("`severity` is low, medium, high or critical"))?;
        let reason = said(request, "reason")?.ok_or_else(|| bad("`reason` is missing"))?;
        let category = said(request, "category")?;
        let mut event = json!({"agent": agent, "severity": severity, "by": person.id, "proof": person.proof, "reason": reason});
        if let (Some(category), Some(event)) = (category, event.as_object_mut()) {
            event.insert("category".to_owned(), json!(category));
        }
        self.recorded("incident", event).await?;
        let rules = self.gateway.snapshot().organization.trust.clone();
        let standings = rules.map(|rules| self.standings(&rules, Some(&agent), category)).unwrap_or_default();
        Ok(json!({"agent": agent, "agents": standings}))
    }

    /// Records something, and answers when it is in effect.
    pub(crate) async fn recorded(&self, kind: &str, event: Value) -> Result<(), Refused> {
        let recorded = self.gateway.record(kind, event).await;
        self.reach(recorded.map_err(|why| (StatusCode::SERVICE_UNAVAILABLE, why))?).await
    }

    /// Waits until the book has the entry with this index.
    pub(crate) async fn reach(&self, index: u64) -> Result<(), Refused> {
        let book = Arc::clone(&self.book);
        match tokio::task::spawn_blocking(move || book.reach(index)).await {
            Ok(true) => Ok(()),
            _ => Err((StatusCode::SERVICE_UNAVAILABLE, "what was recorded is not in effect yet: ask again".to_owned())),
        }
    }
}

fn said<'a>(request: &'a Value, key: &str) -> Result<Option<&'a str>, Refused> {
    match request.get(key) {
        None | Some(Value::Null) => Ok(None),
        Some(Value::String(text)) if text.len() <= SAID_BYTES_MAX => Ok(Some(text.trim()).filter(|text| !text.is_empty())),
        Some(_) => Err(bad(format!("`{key}` is a text of at most {SAID_BYTES_MAX} bytes"))),
    }
}

fn row(agent: &str, category: &str, standing: &Standing) -> Value {
    let mut row = json!({"agent": agent, "category": category, "proposed": standing.promotion().is_some()});
    crate::change::merge(&mut row, json!(standing));
    row
}

/// `remit trust`.
pub(crate) async fn trust(options: &TrustOf) -> Result<(), Failure> {
    match &options.command {
        None => {
            let told = asked(&options.common.data, Method::GET, "/v1/trust", None).await?;
            print(&told, options.common.json, false)
        }
        Some(cli::Trust::Explain { common, agent, category }) => {
            let mut pairs = vec![("agent", agent.as_str())];
            pairs.extend(category.as_deref().map(|category| ("category", category)));
            let query = remit_identity::form::write(pairs);
            let told = asked(&common.data, Method::GET, &format!("/v1/trust/explain?{query}"), None).await?;
            print(&told, common.json, true)
        }
        Some(cli::Trust::Promote { agent, category, because }) => {
            let request = json!({"agent": agent, "category": category, "by": because.by, "reason": because.reason});
            let told = asked(&because.common.data, Method::POST, "/v1/trust/promote", Some(&request)).await?;
            let printer = Printer::new(because.common.json);
            if because.common.json {
                return printer.line(&told.to_string());
            }
            let text = |key: &str| told.get(key).and_then(Value::as_str).unwrap_or_default();
            printer.line(&format!("{agent} is {} in {category}, promoted from {}", text("to"), text("from")))
        }
    }
}

/// `remit incident`.
pub(crate) async fn incident(options: &Incident) -> Result<(), Failure> {
    let because = &options.because;
    let mut request = json!({"agent": options.agent, "severity": options.severity, "by": because.by, "reason": because.reason});
    if let (Some(category), Some(request)) = (&options.category, request.as_object_mut()) {
        request.insert("category".to_owned(), json!(category));
    }
    let told = asked(&because.common.data, Method::POST, "/v1/incidents", Some(&request)).await?;
    let printer = Printer::new(because.common.json);
    printer.say(&format!("recorded: an incident of {}", options.agent))?;
    print(&told, because.common.json, false)
}

async fn asked(data: &Path, method: Method, path: &str, request: Option<&Value>) -> Result<Value, Failure> {
    operator(&Home::existing(data)?, method, path, request).await
}

/// Standings as a table, or with every number.
fn print(told: &Value, json: bool, whole: bool) -> Result<(), Failure> {
    let printer = Printer::new(json);
    if json {
        return printer.line(&told.to_string());
    }
    let list = |value: &Value, path: &str| value.pointer(path).and_then(Value::as_array).cloned().unwrap_or_default();
    for one in list(told, "/agents") {
        let text = |key: &str| one.get(key).and_then(Value::as_str).unwrap_or_default();
        let number = |key: &str| one.pointer(key).and_then(Value::as_u64).unwrap_or_default();
        let step = match one.pointer("/next/to").and_then(Value::as_str) {
            Some(to) if one.get("proposed") == Some(&json!(true)) => format!("proposed: {to}"),
            Some(to) => {
                let missing = list(&one, "/next/because").into_iter().filter(|number| number.get("met") == Some(&json!(false)));
                format!("{to} lacks {}", missing.map(|number| numbers(&number)).collect::<Vec<_>>().join(", "))
            }
            None => String::new(),
        };
        printer.line(&format!(
            "{:<24} {:<14} {:<11} {:>5} ok {:>4} approved {:>4} rejected {:>4} denied {:>3} incidents  {step}",
            text("agent"),
            text("category"),
            text("tier"),
            number("/counted/calls_ok"),
            number("/counted/approved_unchanged"),
            number("/counted/rejections"),
            number("/counted/denials"),
            number("/counted/incidents"),
        ))?;
        if !whole {
            continue;
        }
        if let since @ 1.. = number("/since_secs") {
            printer.line(&format!("  in its tier since {}", remit_gateway::rfc3339(since.saturating_mul(1000))))?;
        }
        for (heading, path) in [("falls by", "/demotion/because"), ("rises by", "/next/because")] {
            for number in list(&one, path) {
                let mark = if number.get("met") == Some(&json!(true)) { "ok" } else { " -" };
                printer.line(&format!("  {mark} {heading} {}", numbers(&number)))?;
            }
        }
    }
    Ok(())
}

/// A rule's number in words.
fn numbers(number: &Value) -> String {
    let of = |key: &str| number.get(key).and_then(Value::as_u64).unwrap_or_default();
    let rule = number.get("rule").and_then(Value::as_str).unwrap_or_default();
    let days = number.get("days").and_then(Value::as_u64).map(|days| format!(" in {days} days")).unwrap_or_default();
    format!("{rule}: {} of {}{days}", of("had"), of("wanted"))
}
