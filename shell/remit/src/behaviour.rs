//! Behaviour: what is usual for agents, kept in step with the journal on a thread of its own; what isn't is recorded there; and
//! `remit behaviour`.
//!
//! What is usual and how surprising something is, is `kernel::behaviour`. What it comes to is kept beside the journal, signed with its key and
//! bound to the last entry that is in it: missing, spoilt or of another journal it is left aside, and learned from the last entries again.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use http::{Method, StatusCode};
use remit_gateway::{KeptFacts, rfc3339};
use remit_journal::Reader;
use remit_kernel::behaviour::{Baseline, Decided, Event, Finding, What};
use remit_kernel::recorded::Recorded;
use remit_model::{AgentId, Behaviour};
use remit_tlog::{Hash, leaf_hash};
use serde_json::{Value, json};
use tokio::runtime::Handle;

use crate::cli::BehaviourOf;
use crate::commands::operator;
use crate::follow::{Follow, Following};
use crate::home::Home;
use crate::output::{Failure, Printer, warn};
use crate::recap::Signed;
use crate::up::World;

/// The name of the key when it signs what is usual.
const NAME: &str = "remit/behaviour";
/// The first line of what is signed.
const MAGIC: &str = "remit-behaviour/1";
/// How many of the last entries a start learns from, where nothing was kept.
const RECALLED_MAX: u64 = 200_000;
/// After how many entries it is kept.
const KEPT_ENTRIES: u64 = 20_000;
/// The most findings of which it isn't known yet whether they were recorded.
const PENDING_MAX: usize = 1_000;

/// What is usual, for those who ask.
#[derive(Debug, Default)]
pub(crate) struct Watch(Mutex<Baseline>);

impl Watch {
    fn with<T>(&self, what: impl FnOnce(&mut Baseline) -> T) -> T {
        what(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// What was counted, in Prometheus' text format.
    pub(crate) fn prometheus(&self) -> String {
        let counts = self.with(|baseline| baseline.counts());
        let counters = [
            ("calls", "Calls that behaviour was judged by", counts.calls),
            ("arguments", "Of those, calls whose arguments were known", counts.arguments),
            ("findings", "Findings about behaviour", counts.findings),
            ("repeated", "Surprising calls of which the same had been found that day", counts.repeated),
            ("unwatched", "Calls of agents and tools for which there was no place", counts.unwatched),
        ];
        let line = |(name, help, count)| {
            format!(
                "# HELP remit_behaviour_{name}_total {help}\n# TYPE remit_behaviour_{name}_total counter\nremit_behaviour_{name}_total {count}\n"
            )
        };
        counters.map(line).concat()
    }
}

/// Keeps it in step.
struct Keeper {
    world: Arc<World>,
    runtime: Handle,
    facts: Option<KeptFacts>,
    file: Signed,
    /// `None`: nothing is watched.
    settings: Option<Behaviour>,
    /// The snapshot whose settings these are.
    snapshot: u64,
    /// How many entries are in it, and the last of them.
    entries: u64,
    last: Option<Hash>,
    /// How many are in what is kept.
    kept: u64,
    /// What is before this was there when the gateway began: it is learned from.
    begun: u64,
    /// Whether it goes on from what was kept: then what was found since, and isn't recorded, is.
    goes_on: bool,
    /// What was found in entries that were there.
    pending: BTreeMap<String, Finding>,
    found: Vec<Finding>,
}

/// Follows the journal until what is given back is dropped. Must be called on the runtime.
pub(crate) fn keep(world: &Arc<World>) -> Result<Following, Failure> {
    let home = &world.home;
    let snapshot = world.gateway.snapshot();
    let settings = snapshot.organization.behaviour.clone();
    let size = world.journal.checkpoint().size;
    let file = Signed::new(home.behaviour(), home.journal_key()?, NAME, MAGIC);
    let known = read(&file, home, size);
    let goes_on = known.is_some();
    let (baseline, from) = if let Some(known) = known {
        known
    } else {
        let mut salt = [0; 16];
        aws_lc_rs::rand::fill(&mut salt).map_err(|_| Failure::new("the system has no randomness"))?;
        (Baseline::new(salt), size.saturating_sub(RECALLED_MAX))
    };
    world.behaviour.with(|all| *all = baseline);
    // Where nothing is watched nothing is learned.
    let from = if settings.is_some() { from } else { size };
    let keys = world.gateway.space_keys();
    let facts = KeptFacts::with_keys(&*home.history_key()?, &home.facts(), &home.facts_shared(), keys);
    let keeper = Keeper {
        world: Arc::clone(world),
        runtime: Handle::current(),
        facts,
        file,
        settings,
        snapshot: snapshot.version,
        entries: from,
        last: None,
        kept: from,
        begun: size,
        goes_on,
        pending: BTreeMap::new(),
        found: Vec::new(),
    };
    Following::start("behaviour", &home.journal(), from, keeper)
}

/// What was kept, and how many entries are in it, if it is of this journal.
fn read(file: &Signed, home: &Home, size: u64) -> Option<(Baseline, u64)> {
    let (body, said) = file.read()?;
    let (entries, last) = said.split_once('\n')?;
    let (entries, last) = (entries.parse::<u64>().ok()?, Hash::from_hex(last)?);
    let index = entries.checked_sub(1).filter(|index| *index < size)?;
    let entry = Reader::open(home.journal(), index).ok()?.without_signatures().next().ok()??;
    let is_there = entry.index == index && leaf_hash(&entry.bytes) == last;
    is_there.then(|| serde_json::from_str(&body).ok().map(|baseline| (baseline, entries)))?
}

impl Follow for Keeper {
    fn take(&mut self, index: u64, entry: &[u8]) {
        self.entries = index + 1;
        let Some(settings) = self.settings.clone() else { return };
        self.last = Some(leaf_hash(entry));
        let Some(event) = Event::read(entry) else { return };
        if let What::Found { decision } = &event.what {
            self.pending.remove(&**decision);
        }
        let facts = match &event.what {
            What::Decided(decided) => self.facts_of(index, decided),
            _ => None,
        };
        let recorded = facts.as_deref().and_then(|text| Recorded::read(text).ok());
        let arguments = recorded.as_ref().and_then(Recorded::arguments_text);
        let found = self.world.behaviour.with(|baseline| baseline.observe(&settings, &event, arguments));
        match found {
            Some(finding) if index >= self.begun => self.found.push(finding),
            Some(finding) if self.goes_on && self.pending.len() < PENDING_MAX => {
                self.pending.insert(finding.decision.clone(), finding);
            }
            _ => {}
        }
    }

    fn turn(&mut self, last: bool) {
        if self.entries >= self.begun {
            self.found.extend(std::mem::take(&mut self.pending).into_values());
        }
        for finding in std::mem::take(&mut self.found) {
            self.record(&finding);
        }
        let snapshot = self.world.gateway.snapshot();
        if snapshot.version != self.snapshot {
            self.snapshot = snapshot.version;
            self.settings.clone_from(&snapshot.organization.behaviour);
        }
        if last || self.entries >= self.kept + KEPT_ENTRIES {
            self.keep();
        }
    }
}

impl Keeper {
    /// The facts of a decision, where they were kept.
    fn facts_of(&mut self, index: u64, decided: &Decided<'_>) -> Option<Vec<u8>> {
        let digest = decided.facts_digest.as_deref()?;
        self.facts.as_mut()?.facts(index, &decided.space, &decided.decision, digest).ok()
    }

    fn record(&self, finding: &Finding) {
        if let Err(why) = self.runtime.block_on(self.world.gateway.record("behaviour_found", json!(finding))) {
            warn(&format!(
                "what {} does isn't as usual (score {}), and that could not be recorded: {why}",
                finding.agent, finding.score
            ));
        }
    }

    /// Keeps what is usual: a start goes on from it.
    fn keep(&mut self) {
        let Some(last) = self.last.filter(|_| self.settings.is_some() && self.entries > self.kept) else { return };
        // Names, numbers and digests alone: nothing in it can't be written.
        let body = self.world.behaviour.with(|baseline| serde_json::to_string(baseline).unwrap_or_default());
        match self.file.write(&body, &format!("{}\n{last}", self.entries)) {
            Ok(()) => self.kept = self.entries,
            Err(error) => {
                // Not with every turn.
                self.kept = self.entries;
                warn(&format!("what is usual for agents can't be kept, and the next start learns it again: {error}"));
            }
        }
    }
}

impl World {
    /// What is usual for every agent, or in full for one, and what was found lately: `{agent?}` in.
    pub(crate) fn told_behaviour(&self, request: &Value) -> Result<Value, (StatusCode, String)> {
        let organization = Arc::clone(&self.gateway.snapshot().organization);
        let wanted = request.get("agent").and_then(Value::as_str);
        if let Some(agent) = wanted
            && !organization.agents.keys().map(AgentId::as_str).any(|id| id == agent)
        {
            return Err((StatusCode::NOT_FOUND, format!("there is no agent `{}`", agent.chars().take(64).collect::<String>())));
        }
        let settings = organization.behaviour.clone().unwrap_or_default();
        Ok(self.behaviour.with(|baseline| {
            let agents = baseline.agents().filter(|agent| wanted.is_none_or(|wanted| wanted == *agent));
            let agents = agents.filter_map(|agent| baseline.usual(&settings, agent));
            let agents: Vec<Value> = agents.map(|usual| usual_row(json!(usual), wanted.is_some())).collect();
            let findings = baseline.findings().filter(|finding| wanted.is_none_or(|wanted| finding.agent == wanted));
            let findings: Vec<Value> = findings.map(|finding| dated(json!(finding), &[("at_ms", "at")])).collect();
            json!({
                "watched": organization.behaviour.is_some(), "score": settings.score, "agents": agents, "findings": findings,
                "counts": baseline.counts(),
            })
        }))
    }
}

/// Times as people read them, and tools only where they are asked for.
fn usual_row(row: Value, whole: bool) -> Value {
    let mut row = dated(row, &[("first_ms", "first"), ("last_ms", "last")]);
    if !whole && let Some(map) = row.as_object_mut() {
        let tools = map.remove("tools").and_then(|tools| tools.as_array().map(Vec::len)).unwrap_or_default();
        map.insert("tools_used".to_owned(), json!(tools));
    }
    row
}

fn dated(mut row: Value, keys: &[(&str, &str)]) -> Value {
    if let Some(map) = row.as_object_mut() {
        for (from, to) in keys {
            let at = map.remove(*from).and_then(|at| at.as_u64()).map(rfc3339);
            map.insert((*to).to_owned(), json!(at));
        }
    }
    row
}

/// `remit behaviour`.
pub(crate) async fn run(options: &BehaviourOf) -> Result<(), Failure> {
    let query = options.agent.as_deref().map(|agent| remit_identity::form::write(vec![("agent", agent)]));
    let query = query.map(|query| format!("?{query}")).unwrap_or_default();
    let home = Home::existing(&options.common.data)?;
    let told = operator(&home, Method::GET, &format!("/v1/behaviour{query}"), None).await?;
    let printer = Printer::new(options.common.json);
    if options.common.json {
        return printer.line(&told.to_string());
    }
    if told.get("watched") != Some(&json!(true)) {
        printer.line("nothing is watched: write `behaviour: {}` into the configuration (docs/guides/behaviour.md)")?;
    }
    for agent in list(&told, "agents") {
        usual_lines(agent).iter().try_for_each(|line| printer.line(line))?;
    }
    for finding in list(&told, "findings") {
        let text = |key: &str| finding.get(key).and_then(Value::as_str).unwrap_or_default();
        let score = finding.get("score").and_then(Value::as_f64).unwrap_or_default();
        printer.line(&format!(
            "{}  {} {}  score {score}  decision {}",
            text("at"),
            text("agent"),
            text("tool"),
            text("decision")
        ))?;
        for broken in list(finding, "broken") {
            let text = |key: &str| broken.get(key).and_then(Value::as_str).unwrap_or_default();
            let bits = broken.get("bits").and_then(Value::as_f64).unwrap_or_default();
            printer.line(&format!("    {bits:>4} {:<15} {}", text("expectation"), text("told")))?;
        }
    }
    Ok(())
}

fn list<'a>(value: &'a Value, key: &str) -> &'a [Value] {
    value.get(key).and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default()
}

/// What is usual for an agent.
fn usual_lines(agent: &Value) -> Vec<String> {
    let text = |key: &str| agent.get(key).and_then(Value::as_str).unwrap_or_default();
    let number = |key: &str| agent.get(key).and_then(Value::as_u64).unwrap_or_default();
    let hours = |key: &str| {
        let hours: Vec<String> = list(agent, key).iter().map(ToString::to_string).collect();
        if hours.is_empty() { "never".to_owned() } else { hours.join(" ") }
    };
    let known = if agent.get("known") == Some(&json!(true)) { "known" } else { "still learning" };
    let mut lines = vec![format!(
        "{:<24} {known}: {} days, {} calls since {}; hours (UTC): {}; weekends: {}{}",
        text("agent"),
        number("days"),
        number("calls"),
        text("first"),
        hours("hours"),
        hours("weekend_hours"),
        usual(agent, "calls_an_hour", "calls an hour"),
    )];
    for tool in list(agent, "tools") {
        let name = tool.get("tool").and_then(Value::as_str).unwrap_or_default();
        let after: Vec<&str> = list(tool, "after").iter().filter_map(Value::as_str).collect();
        let after = if after.is_empty() { String::new() } else { format!("; after {}", after.join(", ")) };
        let (often, bytes) = (usual(tool, "calls_an_hour", "calls an hour"), usual(tool, "result_bytes", "bytes of a result"));
        lines.push(format!("  {name}{often}{bytes}{after}"));
        for argument in list(tool, "arguments") {
            let kinds: Vec<&str> = list(argument, "kinds").iter().filter_map(Value::as_str).collect();
            let different = argument.get("different").and_then(Value::as_u64);
            let different = different.map(|count| format!("; {count} different values")).unwrap_or_default();
            lines.push(format!(
                "    {} is {} in {} of {} calls{different}{}{}",
                argument.get("pointer").and_then(Value::as_str).unwrap_or_default(),
                kinds.join(" or "),
                argument.get("present").unwrap_or(&Value::Null),
                tool.get("calls").unwrap_or(&Value::Null),
                usual(argument, "numbers", ""),
                usual(argument, "characters", "characters"),
            ));
        }
    }
    lines
}

/// The middle and the edge of what is usual.
fn usual(of: &Value, key: &str, what: &str) -> String {
    let pair = list(of, key);
    match (pair.first().and_then(Value::as_f64), pair.get(1).and_then(Value::as_f64)) {
        (Some(middle), Some(edge)) => format!("; usually {middle} {what} (98 of 100 at most {edge})").replace("  ", " "),
        _ => String::new(),
    }
}
