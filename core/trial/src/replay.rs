//! Recorded calls decided again: one of them as it was, or many under another configuration.
//!
//! The journal's entry tells what was decided, its kept facts what it was decided from ([`remit_kernel::recorded`]). Under another
//! configuration temporal conditions look back on histories that are made again of the very calls: a call that is newly denied never
//! happened in them, and one that is newly allowed is done with a result that nobody knows.

mod head;

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use remit_cedar::{EventKind, History, HistoryError, HistoryEvent, PolicySet};
use remit_kernel::policy::{HISTORY_VALUE_BYTES_MAX, outcome_kind};
use remit_kernel::recorded::{Recorded, RecordedIdentity, Unusable};
use remit_kernel::{
    Arguments, Call, Decision, Fact, Facts, Identity, LayerLine, PolicyCaller, Principal, Reason, Snapshot, Target, Verdict,
    decide,
};
use remit_model::time_ms;
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// The most identities that are remembered.
const IDENTITIES_MAX: usize = 10_000;
/// The most groups of flips that are told one by one.
const GROUPS_MAX: usize = 1_000;
/// The most names that a group tells of each kind, and the most examples.
const NAMES_MAX: usize = 20;
/// The most tools of a space that are remembered by whose calls weren't kept.
const GAPS_MAX: usize = 1_000;
/// The most examples of a group.
const EXAMPLES_MAX: usize = 5;

/// A decision as its entry tells it.
#[derive(Debug, Clone, Deserialize)]
pub struct Past<'a> {
    /// The decision's id.
    #[serde(borrow)]
    pub id: Cow<'a, str>,
    /// When, as RFC 3339.
    #[serde(borrow)]
    pub time: Cow<'a, str>,
    /// Whose call, if anybody was identified.
    #[serde(borrow, default)]
    pub agent: Option<Cow<'a, str>>,
    /// The space.
    #[serde(borrow)]
    pub space: Cow<'a, str>,
    /// The tool's name in policies, or what else was asked for.
    #[serde(borrow, default)]
    pub tool: Option<Cow<'a, str>>,
    /// The method.
    #[serde(borrow)]
    pub method: Cow<'a, str>,
    /// The MCP session, by its short name, if there was one.
    #[serde(borrow, default)]
    pub session: Option<Cow<'a, str>>,
    #[serde(borrow)]
    verdict: Cow<'a, str>,
    /// Why it was denied.
    #[serde(borrow, default)]
    pub reason: Option<Cow<'a, str>>,
    /// The digest of its facts, if any were kept.
    #[serde(borrow, default)]
    pub facts_digest: Option<Cow<'a, str>>,
    /// The whole entry: its layers are read when somebody asks for them.
    #[serde(skip)]
    entry: &'a str,
}

/// What stands after all that a replay reads of most decisions, as Remit writes them. Within a text its quotation marks would be escaped.
const REST: &[u8] = b",\"layers\":[";

impl<'a> Past<'a> {
    /// Reads a decision's entry; `None` if it is none.
    pub fn read(entry: &'a str) -> Option<Self> {
        let head = memchr::memmem::find(entry.as_bytes(), REST).and_then(|end| Self::head(entry, end));
        head.or_else(|| serde_json::from_str(entry).ok().map(|past| Self { entry, ..past }))
    }

    /// The same from what stands before the layers: half of the entry is never looked at.
    fn head(entry: &'a str, end: usize) -> Option<Self> {
        let (text, rest) = entry.split_at_checked(end)?;
        let head = head::Head::read(text)?;
        let found = Self {
            id: head.id?.into(),
            time: head.time?.into(),
            agent: head.agent.map(Cow::Borrowed),
            space: head.space?.into(),
            tool: head.tool.map(Cow::Borrowed),
            method: head.method?.into(),
            session: head.session.map(Cow::Borrowed),
            verdict: head.verdict?.into(),
            reason: head.reason.map(Cow::Borrowed),
            facts_digest: head.facts_digest.map(Cow::Borrowed),
            entry,
        };
        // Entries of before have it at their end.
        let is_whole = found.facts_digest.is_some() || memchr::memmem::find(rest.as_bytes(), b"\"facts_digest\":").is_none();
        is_whole.then_some(found)
    }
}

/// An entry, as far as a replay reads it.
#[derive(Debug)]
pub enum Line<'a> {
    /// A decision.
    Decision(Box<Past<'a>>),
    /// How a call ended.
    Ended(Ended<'a>),
    /// Something else.
    Other,
}

/// How a call ended.
#[derive(Debug, Clone, Deserialize)]
pub struct Ended<'a> {
    /// The decision's id.
    #[serde(borrow)]
    pub decision: Cow<'a, str>,
    /// The space.
    #[serde(borrow)]
    pub space: Cow<'a, str>,
    /// The word for it.
    #[serde(borrow)]
    pub outcome: Cow<'a, str>,
    /// What it was to the history of then, where there was one.
    #[serde(borrow, default)]
    pub history_event: Option<Cow<'a, str>>,
    /// Its result, sealed, if a condition read it then.
    #[serde(borrow, default)]
    pub history_output: Option<Cow<'a, str>>,
    /// When it was put into the history, in milliseconds since the epoch; 0 where there was none.
    #[serde(default)]
    pub history_at_ms: u64,
    /// When it was recorded, as RFC 3339.
    #[serde(borrow, default)]
    pub time: Cow<'a, str>,
}

impl<'a> Line<'a> {
    /// Reads an entry of the journal. What isn't understood is something else, and so are the ends of calls unless `ends` asks for them.
    pub fn read(entry: &'a [u8], ends: bool) -> Self {
        #[derive(Deserialize)]
        struct Typed<'a> {
            #[serde(borrow, rename = "type")]
            kind: Cow<'a, str>,
        }
        // As Remit writes them; others are asked what they are.
        let starts =
            |kind: &str| entry.strip_prefix(b"{\"v\":1,\"type\":\"").is_some_and(|rest| rest.starts_with(kind.as_bytes()));
        let kind = if starts("decision\"") {
            Ok(Cow::Borrowed("decision"))
        } else if starts("outcome\"") {
            Ok(Cow::Borrowed("outcome"))
        } else {
            serde_json::from_slice::<Typed<'_>>(entry).map(|typed| typed.kind)
        };
        let text = || std::str::from_utf8(entry).ok();
        match kind.as_deref() {
            Ok("outcome") if !ends => Self::Other,
            // Looked at once, and not string by string.
            Ok("decision") => text().and_then(Past::read).map_or(Self::Other, |past| Self::Decision(Box::new(past))),
            Ok("outcome") => text().and_then(|text| serde_json::from_str(text).ok()).map_or(Self::Other, Self::Ended),
            _ => Self::Other,
        }
    }
}

/// A layer's word in an entry.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Said {
    /// The layer.
    #[serde(rename = "checkType")]
    pub layer: String,
    /// What it said.
    pub effect: String,
    /// The statement.
    pub statement: String,
    /// Where it stands.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub origin: Option<String>,
}

impl From<&LayerLine> for Said {
    fn from(line: &LayerLine) -> Self {
        Self {
            layer: line.layer.as_str().to_owned(),
            effect: line.effect.as_str().to_owned(),
            statement: line.statement.as_str().to_owned(),
            origin: line.origin.as_deref().map(str::to_owned),
        }
    }
}

impl Past<'_> {
    /// Whether it was allowed.
    pub fn allowed(&self) -> bool {
        self.verdict == "ALLOW"
    }

    /// What each layer said.
    pub fn layers(&self) -> Vec<Said> {
        #[derive(Deserialize)]
        struct Layers {
            layers: Vec<Said>,
        }
        serde_json::from_str(self.entry).map(|entry: Layers| entry.layers).unwrap_or_default()
    }

    /// The layer that denied.
    fn denied_by(&self) -> Option<Said> {
        self.layers().into_iter().find(|said| said.effect.ends_with("DENY"))
    }
}

/// What a decision of then comes to when it is made again from its own facts under its own configuration.
#[derive(Debug, Clone, Serialize)]
pub struct Reproduced {
    /// Whether all of it is the same.
    pub same: bool,
    /// The verdict.
    pub verdict: &'static str,
    /// Why it is denied.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<&'static str>,
    /// What each layer says.
    pub layers: Vec<Said>,
    /// What is otherwise than the entry says.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub differences: Vec<String>,
}

/// Makes one decision again, from everything that it was made from.
pub fn reproduce(snapshot: &Snapshot, past: &Past<'_>, recorded: &Recorded<'_>) -> Result<Reproduced, Unusable> {
    let facts = recorded.facts(RecordedIdentity::read(recorded.identity_text())?);
    let call = recorded.call(past.method == "authorize")?;
    let decision = decide(snapshot, &facts, &call, recorded.at_ms() / 1000);
    let (verdict, reason) = decision.word();
    let reason = reason.map(Reason::as_str);
    let layers: Vec<Said> = decision.layers.iter().map(Said::from).collect();
    let mut differences = Vec::new();
    if verdict != past.verdict || reason != past.reason.as_deref() {
        let told =
            |verdict: &str, reason: Option<&str>| reason.map_or(verdict.to_owned(), |reason| format!("{verdict} ({reason})"));
        differences.push(format!("it was {}, and is {}", told(&past.verdict, past.reason.as_deref()), told(verdict, reason)));
    }
    let was = past.layers();
    if was != layers {
        let told = |said: &[Said]| -> Vec<String> {
            said.iter().map(|said| format!("{} {}: {}", said.layer, said.effect, said.statement)).collect()
        };
        let (was, is) = (told(&was), told(&layers));
        differences.extend(was.iter().filter(|line| !is.contains(line)).map(|line| format!("then: {line}")));
        differences.extend(is.iter().filter(|line| !was.contains(line)).map(|line| format!("now: {line}")));
        if differences.is_empty() {
            differences.push("the layers spoke in another order, or their statements stand elsewhere".to_owned());
        }
    }
    Ok(Reproduced { same: differences.is_empty(), verdict, reason, layers, differences })
}

/// What becomes of a call under another configuration.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Flip {
    /// It was denied and would be allowed.
    NewlyAllowed,
    /// It was allowed and would be denied.
    NewlyDenied,
}

/// Calls that flip for the same cause.
#[derive(Debug, Clone, Serialize)]
pub struct Group {
    /// Which way.
    pub flip: Flip,
    /// The layer and its statement: the one that newly denies, or the one that denied and doesn't any more.
    #[serde(flatten)]
    pub cause: Said,
    /// How many calls.
    pub count: u64,
    /// The first and the last of them, as RFC 3339.
    pub first: String,
    /// The last of them.
    pub last: String,
    /// Whose calls, the first of their names.
    pub agents: BTreeSet<String>,
    /// Of which tools, the first of their names.
    pub tools: BTreeSet<String>,
    /// The first few.
    pub examples: Vec<Example>,
}

/// One call of a group.
#[derive(Debug, Clone, Serialize)]
pub struct Example {
    /// Its entry.
    pub index: u64,
    /// The decision's id.
    pub id: String,
    /// When, as RFC 3339.
    pub time: String,
    /// The agent.
    pub agent: String,
    /// The space.
    pub space: String,
    /// The tool.
    pub tool: String,
}

/// What a replay came to.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Tally {
    /// Decisions that were made again.
    pub decided: u64,
    /// Of those: the same verdict, for the same reason.
    pub same: u64,
    /// Denied as before, for another reason.
    pub denied_otherwise: u64,
    /// Denied before and allowed now.
    pub newly_allowed: u64,
    /// Allowed before and denied now.
    pub newly_denied: u64,
    /// Decisions that could not be made again, by why.
    pub undecided: BTreeMap<String, u64>,
    /// Flips whose cause is one of too many to be told.
    pub flips_untold: u64,
    #[serde(skip)]
    groups: HashMap<(Flip, Said), Group>,
}

impl Tally {
    /// The flips by their causes, the most frequent first.
    pub fn groups(&self) -> Vec<&Group> {
        let mut groups: Vec<&Group> = self.groups.values().collect();
        groups.sort_by(|a, b| b.count.cmp(&a.count).then_with(|| (a.flip, &a.cause).cmp(&(b.flip, &b.cause))));
        groups
    }

    /// A decision can't be made again.
    pub fn undecided(&mut self, why: &str) {
        match self.undecided.get_mut(why) {
            Some(count) => *count += 1,
            None => drop(self.undecided.insert(why.to_owned(), 1)),
        }
    }

    fn flip(&mut self, index: u64, past: &Past<'_>, flip: Flip, cause: Said) {
        match flip {
            Flip::NewlyAllowed => self.newly_allowed += 1,
            Flip::NewlyDenied => self.newly_denied += 1,
        }
        let key = (flip, cause);
        if self.groups.len() >= GROUPS_MAX && !self.groups.contains_key(&key) {
            self.flips_untold += 1;
            return;
        }
        let cause = key.1.clone();
        let group = self.groups.entry(key).or_insert_with(|| Group {
            flip,
            cause,
            count: 0,
            first: past.time.clone().into_owned(),
            last: String::new(),
            agents: BTreeSet::new(),
            tools: BTreeSet::new(),
            examples: Vec::new(),
        });
        group.count += 1;
        (*past.time).clone_into(&mut group.last);
        let agent = past.agent.as_deref().unwrap_or_default();
        let tool = past.tool.as_deref().unwrap_or_default();
        for (names, name) in [(&mut group.agents, agent), (&mut group.tools, tool)] {
            if names.len() < NAMES_MAX && !names.contains(name) {
                names.insert(name.to_owned());
            }
        }
        if group.examples.len() < EXAMPLES_MAX {
            group.examples.push(Example {
                index,
                id: past.id.clone().into_owned(),
                time: past.time.clone().into_owned(),
                agent: agent.to_owned(),
                space: past.space.clone().into_owned(),
                tool: tool.to_owned(),
            });
        }
    }
}

/// Recorded calls under another configuration, in the journal's order.
#[derive(Default)]
pub struct Replay {
    identities: HashMap<String, Fact<Identity>, foldhash::fast::RandomState>,
    histories: HashMap<String, History>,
    under_way: HashMap<String, UnderWay>,
    /// When a call of a tool of a space was last made whose facts aren't there, in milliseconds since the epoch; without a tool: of any.
    gaps: HashMap<String, HashMap<Option<String>, u64>>,
    tally: Tally,
}

impl std::fmt::Debug for Replay {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Replay").field("tally", &self.tally).finish_non_exhaustive()
    }
}

/// A call that a history knows, and whose end it waits for.
struct UnderWay {
    space: String,
    caller: PolicyCaller,
    session: Arc<str>,
    tool: Arc<str>,
    input: Value,
    at_ms: u64,
}

/// Why a call's history can't answer.
struct Missed {
    why: String,
    /// Whether a gateway might have known.
    is_open: bool,
    /// Whether the call is in the history all the same.
    is_in: bool,
}

impl UnderWay {
    fn event<'a>(&'a self, kind: EventKind, output: Option<&'a Value>, id: &'a str, at_ms: u64) -> HistoryEvent<'a> {
        HistoryEvent {
            kind,
            who: self.caller.who(),
            scopes: self.caller.scopes(&self.session),
            tool: &self.tool,
            input: &self.input,
            output,
            request_id: id,
            now_ms: at_ms,
        }
    }
}

impl Replay {
    /// What it came to so far.
    pub fn tally(&self) -> &Tally {
        &self.tally
    }

    /// Whether a history waits for the end of a call: else nobody needs to read how calls ended.
    pub fn waits(&self) -> bool {
        !self.under_way.is_empty()
    }

    /// The same, to count what can't be decided.
    pub fn tally_mut(&mut self) -> &mut Tally {
        &mut self.tally
    }

    /// A call can't be decided again, and so is in no history: what looks back on its tool isn't decided either, as long as it would see it.
    pub fn missing(&mut self, past: &Past<'_>) {
        // Of callers that are no agents of the space nothing was kept, and they are in no history.
        let is_in_one = past.method == "tools/call" && (past.allowed() || past.facts_digest.is_some());
        let Some(tool) = past.tool.as_deref().filter(|_| is_in_one) else { return };
        let Some(at_ms) = time_ms(&past.time) else { return };
        let gaps = self.gaps.entry(past.space.clone().into_owned()).or_default();
        let known = gaps.len() < GAPS_MAX || gaps.contains_key(&Some(tool.to_owned()));
        let last_ms = gaps.entry(known.then(|| tool.to_owned())).or_default();
        *last_ms = at_ms.max(*last_ms);
    }

    /// Whether a history of the space should hold a call that isn't there.
    fn lacks(&self, space: &str, set: &PolicySet, at_ms: u64) -> bool {
        let reach_ms = set.window_secs().saturating_mul(1000);
        self.gaps.get(space).into_iter().flatten().any(|(tool, last_ms)| {
            at_ms <= last_ms.saturating_add(reach_ms) && tool.as_deref().is_none_or(|tool| set.watches(tool))
        })
    }

    /// Decides a recorded call under `snapshot`; what comes of it is counted if `counts`, else it is only something to look back on.
    pub fn decide(
        &mut self,
        snapshot: &Snapshot,
        index: u64,
        past: &Past<'_>,
        recorded: &Recorded<'_>,
        counts: bool,
    ) -> Result<(), Unusable> {
        let mut facts = recorded.facts(self.identity(recorded.identity_text())?);
        let mut call = recorded.call(false)?;
        let space = snapshot.spaces.get(call.space);
        let set = space.and_then(|space| space.policy_set.as_ref());
        if let (Target::Tool { name, arguments: None }, "authorize") = (call.target, &*past.method)
            && space.is_some_and(|space| set.is_some() || space.holds.may_hold(name))
        {
            // As a gateway asks it where arguments decide: none are `{}`.
            call.target = Target::Tool { name, arguments: Arguments::scan("{}").ok() };
        }
        // Whoever only asks makes the call elsewhere: it has no history, and none of its own to leave.
        let looked_back = match set {
            Some(set) if past.method != "authorize" => self.look_back(snapshot, set, past, &call, &mut facts, recorded.at_ms()),
            _ => None,
        };
        let decision = decide(snapshot, &facts, &call, recorded.at_ms() / 1000);
        let could_not = matches!(&decision.verdict, Verdict::Deny(denial) if denial.reason == Reason::CouldNotDecide);
        let mut is_open = false;
        if let Some((set, under_way, missed)) = looked_back {
            is_open = could_not && missed.as_ref().is_some_and(|missed| missed.is_open);
            // What can't be decided is to whatever comes after it what it was then.
            let allowed = if is_open { past.allowed() } else { decision.allows() };
            let why = missed.filter(|missed| !missed.is_in).map(|missed| missed.why);
            self.goes_on(&set, past, under_way, why.as_deref(), allowed);
        }
        if counts {
            self.count(index, past, &decision, is_open);
        }
        Ok(())
    }

    fn identity(&mut self, text: &str) -> Result<Fact<Identity>, Unusable> {
        if let Some(known) = self.identities.get(text) {
            return Ok(known.clone());
        }
        let identity = RecordedIdentity::read(text)?;
        if self.identities.len() >= IDENTITIES_MAX {
            self.identities.clear();
        }
        self.identities.insert(text.to_owned(), identity.clone());
        Ok(identity)
    }

    /// Puts a call into the history that temporal conditions of `set` look back on, if any does, and the answer into the facts.
    fn look_back(
        &mut self,
        snapshot: &Snapshot,
        set: &Arc<PolicySet>,
        past: &Past<'_>,
        call: &Call<'_>,
        facts: &mut Facts,
        at_ms: u64,
    ) -> Option<(Arc<PolicySet>, UnderWay, Option<Missed>)> {
        facts.policy_session.bindings = Fact::Known(None);
        let Target::Tool { name, arguments: Some(arguments) } = call.target else { return None };
        let tool = Arc::clone(&snapshot.spaces.get(call.space)?.tools.get(name)?.id);
        if !set.needs_history(&tool) && !set.watches(&tool) {
            return None;
        }
        let Fact::Known(Identity::Authenticated(principal)) = &facts.identity else { return None };
        let input = visible(set, &tool, arguments.as_str());
        let under_way = UnderWay {
            space: call.space.to_owned(),
            caller: PolicyCaller::of(&snapshot.organization, principal),
            session: session(facts, principal, past),
            input: input.clone().unwrap_or_default(),
            tool,
            at_ms,
        };
        let history = self.histories.entry(under_way.space.clone()).or_insert_with(|| History::new(Arc::clone(set)));
        history.turn_to(set);
        let event = under_way.event(EventKind::Request, None, &past.id, at_ms);
        // What a gateway itself would refuse is known; what it knew and isn't here is open.
        let asked = if input.is_some() {
            history.request(&event).map_err(|error| Missed {
                is_open: matches!(error, HistoryError::Doubt(_) | HistoryError::Engine(_)),
                is_in: false,
                why: error.to_string(),
            })
        } else {
            let why = format!("the arguments are larger than the {HISTORY_VALUE_BYTES_MAX} bytes that a history holds");
            Err(Missed { is_open: false, is_in: false, why })
        };
        let asked = match asked {
            Ok(_) if set.needs_history(&under_way.tool) && self.lacks(call.space, set, at_ms) => {
                Err(Missed { is_open: true, is_in: true, why: "a call before it was not kept".to_owned() })
            }
            other => other,
        };
        let (bindings, missed) = match asked {
            Ok(bindings) => (Fact::Known(Some(Arc::new(bindings))), None),
            Err(missed) => (Fact::Unknown(missed.why.clone()), Some(missed)),
        };
        facts.policy_session.bindings = bindings;
        Some((Arc::clone(set), under_way, missed))
    }

    /// What the call is to its history from now on.
    fn goes_on(&mut self, set: &Arc<PolicySet>, past: &Past<'_>, call: UnderWay, missed: Option<&str>, allowed: bool) {
        let Some(history) = self.histories.get_mut(&call.space) else { return };
        if let Some(why) = missed {
            if allowed {
                let scopes = call.caller.scopes(&call.session);
                history.doubt(&call.tool, &scopes, &format!("a call of `{}`: {why}", call.tool), call.at_ms);
            }
            return;
        }
        if !set.watches(&call.tool) {
            return;
        }
        if !allowed {
            // A failure is in doubt by itself.
            let _ = history.outcome(&call.event(EventKind::Error, None, &past.id, call.at_ms));
        } else if past.allowed() {
            self.under_way.insert(past.id.clone().into_owned(), call);
        } else {
            // It never happened: what it would have answered nobody knows.
            end(history, &call, EventKind::Response, None, &past.id, call.at_ms);
        }
    }

    /// A call has ended. `output` is its result, as far as it was kept.
    pub fn ended(&mut self, ended: &Ended<'_>, output: Option<&Value>) {
        let Some(call) = self.under_way.remove(&*ended.decision) else { return };
        let kind = match ended.history_event.as_deref() {
            Some("response") => Some(EventKind::Response),
            Some("error") => Some(EventKind::Error),
            _ => outcome_kind(&ended.outcome),
        };
        let Some(kind) = kind else { return };
        let Some(history) = self.histories.get_mut(&call.space) else { return };
        // Where nothing looked back then, the end has no other time than its entry's.
        let ended_ms = Some(ended.history_at_ms).filter(|at_ms| *at_ms > 0).or_else(|| time_ms(&ended.time));
        let at_ms = ended_ms.unwrap_or_default().max(call.at_ms);
        end(history, &call, kind, output.filter(|_| kind == EventKind::Response), &ended.decision, at_ms);
    }

    fn count(&mut self, index: u64, past: &Past<'_>, decision: &Decision, is_open: bool) {
        let (_, reason) = decision.word();
        let by = || {
            let line = decision.layers.iter().find(|line| !line.effect.agrees());
            line.map_or_else(|| lost("no layer says why"), Said::from)
        };
        let tally = &mut self.tally;
        // What the candidate would look back on isn't known: that is no word against the call, and none for it.
        if is_open {
            tally.undecided("what came before, or a result that the candidate reads, was not kept");
            return;
        }
        match (past.allowed(), reason) {
            (true, None) => tally.same += 1,
            (false, Some(reason)) if past.reason.as_deref() == Some(reason.as_str()) => tally.same += 1,
            (false, Some(_)) => tally.denied_otherwise += 1,
            (true, Some(_)) => tally.flip(index, past, Flip::NewlyDenied, by()),
            (false, None) => {
                let cause = past.denied_by().unwrap_or_else(|| lost("the entry doesn't say which layer denied"));
                tally.flip(index, past, Flip::NewlyAllowed, cause);
            }
        }
        tally.decided += 1;
    }
}

fn lost(why: &str) -> Said {
    Said { layer: String::new(), effect: String::new(), statement: why.to_owned(), origin: None }
}

/// The policy session. Calls of a space that had no policy set then have none; it is what a gateway takes where the caller names none: the
/// MCP session, else the credential.
fn session(facts: &Facts, principal: &Principal, past: &Past<'_>) -> Arc<str> {
    let named = &facts.policy_session.id;
    if !named.is_empty() {
        return Arc::clone(named);
    }
    past.session.as_deref().unwrap_or(&principal.credential_id).into()
}

/// What the set sees of arguments; `None` if a history doesn't hold them.
fn visible(set: &PolicySet, tool: &str, arguments: &str) -> Option<Value> {
    let arguments: Value = serde_json::from_str(arguments).ok()?;
    let input = set.visible_input(tool, &arguments);
    (serde_json::to_vec(&input).ok()?.len() <= HISTORY_VALUE_BYTES_MAX).then_some(input)
}

fn end(history: &mut History, call: &UnderWay, kind: EventKind, output: Option<&Value>, id: &str, at_ms: u64) {
    let set = Arc::clone(history.set());
    if !set.watches(&call.tool) {
        return;
    }
    let event = call.event(kind, output, id, at_ms);
    if kind == EventKind::Response && output.is_none() && set.watches_output(&call.tool) {
        history.doubt(&call.tool, &event.scopes, &format!("a result of `{}` could not be seen", call.tool), at_ms);
    }
    let _ = history.outcome(&event);
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    /// A decision's entry as it might be written; `early`: its digest of facts stands before the layers.
    fn entry(texts: &[String; 4], has: [bool; 4], (early, pretty): (bool, bool), more_at: usize) -> String {
        let mut head = json!({"v": 1, "type": "decision", "time": "2026-01-01T00:00:00.000Z", "id": texts[0], "space": texts[1], "method": "m", "verdict": "DENY"});
        let object = head.as_object_mut().unwrap();
        for (at, key) in ["agent", "tool", "reason"].into_iter().enumerate().filter(|(at, _)| has[*at]) {
            object.insert(key.to_owned(), json!(texts[at]));
        }
        let more = [
            json!(7),
            json!(-1.5e3),
            json!(true),
            json!(null),
            json!([]),
            json!([texts[1], texts[2]]),
            json!({"a": [1]}),
            json!(texts[0]),
        ];
        object.insert("more".to_owned(), more[more_at].clone());
        let layers = json!([{"checkType": "SPACE", "effect": "IMPLICIT_DENY", "statement": texts[2], "origin": texts[3]}]);
        let digest = if has[3] { format!(",\"facts_digest\":{}", json!(texts[3])) } else { String::new() };
        let head = head.to_string();
        let head = head.strip_suffix('}').unwrap();
        let (before, after) = if early { (digest.as_str(), "") } else { ("", digest.as_str()) };
        let space = if pretty { " " } else { "" };
        format!("{head}{before},\"layers\":{space}{layers}{after},\"snapshot\":1}}")
    }

    proptest! {
        #[test]
        fn an_entry_says_the_same_however_it_is_read(
            texts in proptest::array::uniform4(prop_oneof![".{0,12}", Just(",\"layers\":[".to_owned()), Just("\"facts_digest\":".to_owned())]),
            has in any::<[bool; 4]>(),
            early in any::<bool>(),
            pretty in any::<bool>(),
            more_at in 0..8_usize,
        ) {
            let entry = entry(&texts, has, (early, pretty), more_at);
            let (quick, whole) = (Past::read(&entry).unwrap(), serde_json::from_str::<Past<'_>>(&entry).unwrap());
            let told = |past: &Past<'_>| {
                let texts = [&past.agent, &past.tool, &past.session, &past.reason, &past.facts_digest].map(|text| text.as_deref().map(str::to_owned));
                (past.id.to_string(), past.time.to_string(), past.space.to_string(), past.method.to_string(), past.allowed(), texts)
            };
            prop_assert_eq!(told(&quick), told(&whole));
            prop_assert_eq!(quick.layers().len(), 1);
            prop_assert_eq!(&quick.layers()[0].statement, &texts[2]);
        }
    }

    #[test]
    fn what_is_no_decision_s_entry_is_none() {
        for text in ["", "{", "[]", "{\"id\":1,\"layers\":[]}", "{\"id\":\"a\",\"layers\":[", "x,\"layers\":["] {
            assert!(Past::read(text).is_none(), "{text}");
        }
    }
}
