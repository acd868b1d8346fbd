//! What temporal conditions remember.
//!
//! Each session, principal, agent or space has monitors of its own for the conditions that see its history. They are those of
//! `dogwood-local-engine`; which events they must see is told by [`crate::relevance`]. Nothing is forgotten that a window still reaches:
//! when there is no room for another history, the call can't be decided, and is denied.

use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};
use std::sync::Arc;

use dogwood_language::{Event, ExtensionId, TemporalEngine, TemporalField, Value as Term};
use dogwood_local_engine::{LeafState, LocalTemporalEngine, PolicyId, TickRate};
use serde_json::Value;

use crate::NAMESPACE;
use crate::answer::Who;
use crate::relevance::{Relevance, Watched};
use crate::set::PolicySet;
use crate::shape::Unheld;
use crate::source::{HistoryScope, Mode};

/// The most histories of one space.
const HISTORIES_MAX: usize = 100_000;
/// The most histories of one principal: so many policy sessions may be open.
const HISTORIES_OF_PRINCIPAL_MAX: usize = 1_000;
/// The most events in the window of one history whose conditions count or sum: each of them is gone through for every decision.
const COUNTED_MAX: usize = 1_000;
/// The most events in the window of one history.
const EVENTS_MAX: usize = 20_000;
/// The most bytes of arguments and results in the window of one history.
const HISTORY_BYTES_MAX: usize = 8 * 1024 * 1024;
/// The most bytes of all histories of a space.
const BYTES_MAX: usize = 256 * 1024 * 1024;
/// Ticks are milliseconds.
const TICKS_PER_SEC: i64 = 1_000;
/// How many histories are looked at for being over, on each event.
const SWEPT_AT_ONCE: usize = 4;

/// What temporal conditions came to, by their ids.
pub type Bindings = BTreeMap<ExtensionId, bool>;

/// What happened, in AgentCore's words.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EventKind {
    /// A call is asked for: it is decided now, and is in flight until one of the others.
    Request,
    /// A call was permitted and has completed.
    Response,
    /// A call was denied, or the tool failed.
    Error,
}

impl EventKind {
    /// The word for it in conditions.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Request => "request",
            Self::Response => "response",
            Self::Error => "error",
        }
    }
}

/// Whose histories an event is part of. A principal is named so that no two are named alike.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Scopes<'a> {
    /// The policy session, as its caller named it; it is the principal's own.
    pub session: &'a str,
    /// The agent and, in a delegation, the user for whom it acts.
    pub principal: &'a str,
    /// The agent.
    pub agent: &'a str,
}

impl Scopes<'_> {
    fn key(&self, scope: HistoryScope) -> String {
        match scope {
            // The length keeps two pairs apart.
            HistoryScope::Session => format!("{}:{}{}", self.principal.len(), self.principal, self.session),
            HistoryScope::Principal => self.principal.to_owned(),
            HistoryScope::Agent => self.agent.to_owned(),
            HistoryScope::Space => String::new(),
        }
    }
}

/// Something that happened.
#[derive(Debug, Clone, Copy)]
pub struct HistoryEvent<'a> {
    /// What.
    pub kind: EventKind,
    /// Who called.
    pub who: Who<'a>,
    /// Whose histories it is part of.
    pub scopes: Scopes<'a>,
    /// The tool's name in policies.
    pub tool: &'a str,
    /// The arguments.
    pub input: &'a Value,
    /// The structured result, of a response.
    pub output: Option<&'a Value>,
    /// The call's id.
    pub request_id: &'a str,
    /// Milliseconds since the epoch.
    pub now_ms: u64,
}

/// Why a history can't answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum HistoryError {
    /// There are too many histories.
    Full(String),
    /// A value of the call has no type in the vocabulary.
    Unheld(String),
    /// Something that a condition reads happened and could not be understood: it says what. Until it is out of every window, nothing is
    /// allowed that depends on it.
    Doubt(String),
    /// The monitors failed.
    Engine(String),
}

impl std::fmt::Display for HistoryError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Full(what) => write!(f, "{what}"),
            Self::Unheld(at) => write!(f, "{}", Unheld(at.clone())),
            Self::Doubt(what) => write!(f, "the history of this caller is in doubt: {what}"),
            Self::Engine(what) => write!(f, "the history could not be evaluated: {what}"),
        }
    }
}

impl std::error::Error for HistoryError {}

/// Temporal conditions that see the same histories and the same events.
#[derive(Debug)]
pub(crate) struct Group {
    pub(crate) scope: HistoryScope,
    pub(crate) watched: Watched,
    /// Whether nothing is decided by it now: its rules are only logged, or don't fit the tools for a while and are watched so that they
    /// know what happened when they do again. What goes wrong with them denies nothing, and is in doubt.
    is_quiet: bool,
    /// The most events that its window may hold.
    events_max: usize,
    pub(crate) window_secs: u64,
    /// Under ids that the engine's own keys are made of: `r_<rule of this group>__temporal_<n>`.
    leaves: Vec<TemporalField>,
    /// Their ids in policies, in the same order.
    ids: Vec<ExtensionId>,
    /// What keeps a rule's state apart from another's when rules change: a number of its name.
    rules: Vec<PolicyId>,
}

/// What a temporal condition's rule is to it.
pub(crate) struct OfRule {
    pub(crate) number: usize,
    /// By which it is known when rules change.
    pub(crate) name: String,
    pub(crate) scope: HistoryScope,
    pub(crate) mode: Mode,
    /// Whether it fits the tools: else nothing is decided by it.
    pub(crate) fits: bool,
}

/// The temporal conditions of a set.
#[derive(Debug, Default)]
pub(crate) struct Conditions {
    pub(crate) groups: Vec<Group>,
    group_of: HashMap<ExtensionId, usize>,
    outputs: BTreeSet<String>,
}

impl Conditions {
    /// `rule` tells a leaf's rule. `is_action` tells actions from groups of actions, and of names that are neither what they are to a rule
    /// that fits the tools, or doesn't.
    pub(crate) fn of(
        leaves: impl Iterator<Item = TemporalField>,
        rule: impl Fn(&str) -> Option<OfRule>,
        is_action: &dyn Fn(&str, bool) -> bool,
    ) -> Self {
        type Leaf = (TemporalField, usize, String, u64);
        let mut sorted: BTreeMap<(HistoryScope, Watched, bool), Vec<Leaf>> = BTreeMap::new();
        let mut counting = BTreeSet::new();
        let mut outputs = BTreeSet::new();
        for leaf in leaves {
            let unknown = || OfRule {
                number: usize::MAX,
                name: String::new(),
                scope: HistoryScope::Session,
                mode: Mode::Active,
                fits: true,
            };
            let OfRule { number, name, scope, mode, fits } = rule(&leaf.id).unwrap_or_else(unknown);
            let relevance = Relevance::of(&leaf.condition.condition, &|action| is_action(action, fits));
            outputs.extend(relevance.outputs);
            let kind = (scope, relevance.watched, mode == Mode::LogOnly || !fits);
            if relevance.counts {
                counting.insert(kind.clone());
            }
            sorted.entry(kind).or_default().push((leaf, number, name, relevance.window_secs));
        }
        let mut conditions = Self { outputs, ..Self::default() };
        for (kind, of_group) in sorted {
            let events_max = if counting.contains(&kind) { COUNTED_MAX } else { EVENTS_MAX };
            let (scope, watched, is_quiet) = kind;
            let at = conditions.groups.len();
            let mut group = Group {
                scope,
                watched,
                is_quiet,
                events_max,
                window_secs: 0,
                leaves: Vec::new(),
                ids: Vec::new(),
                rules: Vec::new(),
            };
            let mut numbers: Vec<usize> = Vec::new();
            for (mut leaf, number, name, window_secs) in of_group {
                let local = numbers.iter().position(|known| *known == number).unwrap_or_else(|| {
                    numbers.push(number);
                    group.rules.push(PolicyId(stable(&name)));
                    numbers.len() - 1
                });
                let ordinal = leaf.id.rsplit_once("__temporal_").map_or("0", |(_, ordinal)| ordinal).to_owned();
                conditions.group_of.insert(leaf.id.clone(), at);
                group.ids.push(std::mem::replace(&mut leaf.id, format!("r_{local}__temporal_{ordinal}")));
                group.window_secs = group.window_secs.max(window_secs);
                group.leaves.push(leaf);
            }
            conditions.groups.push(group);
        }
        conditions
    }

    /// The groups that these conditions are in.
    pub(crate) fn asked(&self, wanted: &BTreeSet<&ExtensionId>) -> BTreeSet<usize> {
        wanted.iter().filter_map(|leaf| self.group_of.get(*leaf).copied()).collect()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.groups.is_empty()
    }

    pub(crate) fn watches(&self, action: &str) -> bool {
        self.groups.iter().any(|group| group.watched.has(action))
    }

    pub(crate) fn watches_output(&self, action: &str) -> bool {
        self.outputs.contains(action)
    }

    pub(crate) fn window_secs(&self) -> u64 {
        self.groups.iter().map(|group| group.window_secs).max().unwrap_or_default()
    }

    /// What the monitors say against a group: nothing, unless a condition can't be compiled.
    pub(crate) fn faults(&self) -> Vec<(ExtensionId, String)> {
        let mut faults = Vec::new();
        for group in &self.groups {
            for (leaf, id) in group.leaves.iter().zip(&group.ids) {
                if let Err(error) = prepared(std::slice::from_ref(leaf), &[]) {
                    faults.push((id.clone(), error));
                }
            }
        }
        faults
    }
}

/// A number of a rule's name (FNV-1a). Two names that share it also need the same condition to share a history.
fn stable(name: &str) -> u64 {
    name.bytes().fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3))
}

fn prepared(leaves: &[TemporalField], rules: &[PolicyId]) -> Result<LocalTemporalEngine, String> {
    let mut engine = LocalTemporalEngine::new().with_tick_rate(TickRate::per_second(TICKS_PER_SEC));
    // Of the schema the engine wants the actions that decide; each leaf names its own.
    let schema = dogwood_language::cedar::Schema::from_cedarschema_str("").map_err(|error| error.to_string())?.0;
    engine.prepare(leaves, &schema, &[]).map_err(|error| error.to_string())?;
    engine.set_policy_ids(rules);
    Ok(engine)
}

/// One history under one group's conditions.
struct Live {
    engine: LocalTemporalEngine,
    last_ms: u64,
    principal: String,
    doubt: Option<(String, u64)>,
    /// When each event of the window was, and how many bytes it has.
    events: VecDeque<(u64, usize)>,
    bytes: usize,
}

impl Live {
    /// Lets go of the events that no window reaches any more; answers their bytes.
    fn forget(&mut self, now_ms: u64, window_secs: u64) -> usize {
        let since_ms = now_ms.saturating_sub(window_secs.saturating_mul(1_000));
        let mut freed = 0;
        while let Some((_, gone)) = self.events.front().copied().filter(|(at_ms, _)| *at_ms < since_ms) {
            self.events.pop_front();
            freed += gone;
        }
        self.bytes = self.bytes.saturating_sub(freed);
        freed
    }

    /// Why there is no room for another event of so many bytes, where all histories hold so many; `None` if there is.
    fn full(&self, group: &Group, bytes: usize, all: usize) -> Option<String> {
        if self.events.len() >= group.events_max {
            let most = group.events_max;
            return Some(format!(
                "this history holds {most} events, and there is no room for another until some are out of its window"
            ));
        }
        (self.bytes + bytes > HISTORY_BYTES_MAX || all + bytes > BYTES_MAX)
            .then(|| "the history has no room for these arguments until some are out of its window".to_owned())
    }
}

/// The histories of a space.
pub struct History {
    set: Arc<PolicySet>,
    live: HashMap<(usize, String), Live>,
    /// The same by their last event.
    ages: BTreeSet<(u64, usize, String)>,
    of_principal: HashMap<String, usize>,
    bytes: usize,
    /// What could not even be put in doubt in its own history.
    doubt: Option<(String, u64)>,
    now_ms: u64,
}

impl std::fmt::Debug for History {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("History").field("live", &self.live.len()).field("now_ms", &self.now_ms).finish_non_exhaustive()
    }
}

impl History {
    /// No history yet.
    pub fn new(set: Arc<PolicySet>) -> Self {
        Self { set, live: HashMap::new(), ages: BTreeSet::new(), of_principal: HashMap::new(), bytes: 0, doubt: None, now_ms: 0 }
    }

    /// The set whose conditions it serves.
    pub fn set(&self) -> &Arc<PolicySet> {
        &self.set
    }

    /// How many histories there are.
    pub fn len(&self) -> usize {
        self.live.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.live.is_empty()
    }

    /// Turns to another set. A condition that says what it said, in a rule of the same name with the same scope, keeps what it gathered;
    /// others begin anew.
    pub fn turn_to(&mut self, set: &Arc<PolicySet>) {
        if Arc::ptr_eq(&self.set, set) {
            return;
        }
        let mut states: BTreeMap<(HistoryScope, String), Kept> = BTreeMap::new();
        for ((group, key), live) in self.live.drain() {
            let Some((scope, is_quiet)) = self.set.conditions.groups.get(group).map(|group| (group.scope, group.is_quiet)) else {
                continue;
            };
            let kept = states.entry((scope, key)).or_default();
            kept.last_ms = kept.last_ms.max(live.last_ms);
            kept.principal = live.principal;
            let of_group = Arc::new(OfGroup { doubt: live.doubt, events: live.events, bytes: live.bytes });
            if !is_quiet {
                kept.doubt = later(kept.doubt.take(), of_group.doubt.as_ref());
            }
            let entries = live.engine.share_leaf_state().unwrap_or_default();
            kept.entries.extend(entries.into_iter().map(|(leaf, state)| (leaf, (state, Arc::clone(&of_group)))));
        }
        self.ages.clear();
        self.of_principal.clear();
        self.bytes = 0;
        self.set = Arc::clone(set);
        for ((scope, key), kept) in states {
            for (at, group) in set.conditions.groups.iter().enumerate().filter(|(_, group)| group.scope == scope) {
                let Ok(mut engine) = prepared(&group.leaves, &group.rules) else { continue };
                let keys = engine.composite_leaf_keys();
                let found: Vec<(&String, &(LeafState, Arc<OfGroup>))> =
                    keys.iter().filter_map(|key| kept.entries.get_key_value(key)).collect();
                if found.is_empty() && kept.doubt.is_none() {
                    continue;
                }
                let entries: Vec<(String, LeafState)> =
                    found.iter().map(|(key, (state, _))| ((*key).clone(), state.clone())).collect();
                let of_groups = || found.iter().map(|(_, (_, of_group))| of_group);
                let most = of_groups().max_by_key(|of_group| of_group.events.len());
                if engine.adopt_leaf_state(&entries).is_err() {
                    continue;
                }
                let live = Live {
                    engine,
                    last_ms: kept.last_ms,
                    principal: kept.principal.clone(),
                    doubt: of_groups().fold(kept.doubt.clone(), |doubt, of_group| later(doubt, of_group.doubt.as_ref())),
                    events: most.map(|of_group| of_group.events.clone()).unwrap_or_default(),
                    bytes: most.map(|of_group| of_group.bytes).unwrap_or_default(),
                };
                self.insert(at, key.clone(), live);
            }
        }
    }

    /// A call is asked for: it becomes part of the histories, and the conditions that a decision about it reads are told.
    pub fn request(&mut self, event: &HistoryEvent<'_>) -> Result<Bindings, HistoryError> {
        let set = Arc::clone(&self.set);
        let action = action(event.tool);
        let wanted: BTreeSet<&ExtensionId> =
            set.slice_of(event.tool).map(|slice| slice.leaves.iter().chain(&slice.shadow_leaves).collect()).unwrap_or_default();
        let asked = set.conditions.asked(&wanted);
        let happened = self.event(event)?;
        // What can't be told isn't asked: a request that is refused here is in no history, and so has no end to wait for.
        let bytes = bytes(event.input);
        self.ready(&action, &event.scopes, &asked, bytes, event.now_ms)?;
        self.observe(&happened, &action, &event.scopes, &asked, bytes, event.now_ms)?;
        self.told(&event.scopes, &asked, &wanted, event.now_ms)
    }

    /// A call that was asked for has come to its end.
    pub fn outcome(&mut self, event: &HistoryEvent<'_>) -> Result<(), HistoryError> {
        let happened = match self.event(event) {
            Ok(happened) => happened,
            Err(error) => {
                self.doubt(event.tool, &event.scopes, &format!("a result of `{}`: {error}", event.tool), event.now_ms);
                return Err(error);
            }
        };
        let bytes = bytes(event.input) + event.output.map_or(0, bytes_of);
        self.observe(&happened, &action(event.tool), &event.scopes, &BTreeSet::new(), bytes, event.now_ms)
    }

    /// Something of a tool that conditions read has happened, and is not known.
    pub fn doubt(&mut self, tool: &str, scopes: &Scopes<'_>, what: &str, now_ms: u64) {
        let set = Arc::clone(&self.set);
        let name = action(tool);
        for (at, group) in set.conditions.groups.iter().enumerate().filter(|(_, group)| group.watched.has(&name)) {
            let until_ms = now_ms.saturating_add(group.window_secs.saturating_mul(1_000));
            self.now_ms = self.now_ms.max(now_ms);
            let (at_ms, key) = (self.now_ms, scopes.key(group.scope));
            match self.live(at, group, scopes) {
                Ok(live) => {
                    live.doubt = Some((what.to_owned(), until_ms));
                    let before_ms = std::mem::replace(&mut live.last_ms, at_ms);
                    self.aged(at, key, before_ms);
                }
                // There is no room to remember whose it is: it is everybody's.
                Err(_) => self.doubt = Some((what.to_owned(), until_ms)),
            }
        }
    }

    /// Nobody knows what has happened until now: no condition is decided until its window doesn't reach back so far.
    pub fn doubt_all(&mut self, what: &str, now_ms: u64) {
        let until_ms = now_ms.saturating_add(self.set.window_secs().saturating_mul(1_000));
        self.now_ms = self.now_ms.max(now_ms);
        if self.doubt.as_ref().is_none_or(|(_, until)| *until < until_ms) {
            self.doubt = Some((what.to_owned(), until_ms));
        }
    }

    /// The event for the monitors.
    fn event(&self, event: &HistoryEvent<'_>) -> Result<Event, HistoryError> {
        let unknown = || HistoryError::Engine("the tool is not in the vocabulary of the policy set".to_owned());
        let known = self.set.vocabulary.actions.get(event.tool).ok_or_else(unknown)?;
        let unheld = |Unheld(at): Unheld| HistoryError::Unheld(at);
        let kind = event.who.kind.type_name();
        let gateway = format!("{NAMESPACE}::Gateway");
        let entity = |ty: &str, id: &str| Term::Entity { ty: ty.to_owned(), id: id.to_owned() };
        let input = Term::Object(known.input.terms(event.input, "/input").map_err(unheld)?);
        let id = Term::String(event.who.id.to_owned());
        let mut builder = Event::builder_for(&[NAMESPACE, "Action"], event.tool, event.kind.as_str())
            .timestamp(i64::try_from(self.now_ms.max(event.now_ms)).unwrap_or(i64::MAX))
            .principal_for(&kind, event.who.id)
            .resource_for(&gateway, &self.set.gateway)
            .entity_for(&kind, event.who.id, [("id", id)])
            .logged_field("eventPrincipal", entity(&kind, event.who.id))
            .logged_field("eventResource", entity(&gateway, &self.set.gateway))
            .logged_field("requestId", Term::String(event.request_id.to_owned()))
            .logged_field("sessionId", Term::String(event.scopes.session.to_owned()))
            .logged_field("input", input.clone());
        if event.kind == EventKind::Request {
            builder = builder.request_context_field("input", input);
        }
        if let (EventKind::Response, Some(output)) = (event.kind, event.output) {
            builder = builder.logged_field("output", Term::Object(known.output.terms(output, "/output").map_err(unheld)?));
        }
        Ok(builder.build())
    }

    /// Steps the monitors that the event matters to, and those that are asked now.
    pub(crate) fn observe(
        &mut self,
        event: &Event,
        action: &str,
        scopes: &Scopes<'_>,
        asked: &BTreeSet<usize>,
        bytes: usize,
        now_ms: u64,
    ) -> Result<(), HistoryError> {
        let set = Arc::clone(&self.set);
        self.now_ms = self.now_ms.max(now_ms);
        self.sweep();
        for (at, group) in set.conditions.groups.iter().enumerate() {
            if group.watched.has(action) || asked.contains(&at) {
                let now_ms = self.now_ms;
                // Of others it was found out before the call was decided.
                if group.is_quiet && !self.has_room(at, group, scopes, bytes) {
                    continue;
                }
                let live = self.live(at, group, scopes)?;
                live.engine.observe(event);
                live.events.push_back((now_ms, bytes));
                live.bytes += bytes;
                let before_ms = std::mem::replace(&mut live.last_ms, now_ms);
                self.aged(at, scopes.key(group.scope), before_ms);
                self.bytes += bytes;
            }
        }
        Ok(())
    }

    /// Whether a request can be put into every history that it is part of, and every history that is asked can answer.
    fn ready(
        &mut self,
        action: &str,
        scopes: &Scopes<'_>,
        asked: &BTreeSet<usize>,
        bytes: usize,
        now_ms: u64,
    ) -> Result<(), HistoryError> {
        let set = Arc::clone(&self.set);
        self.now_ms = self.now_ms.max(now_ms);
        self.sweep();
        let now_ms = self.now_ms;
        if let Some((what, until_ms)) = &self.doubt {
            if now_ms <= *until_ms {
                return Err(HistoryError::Doubt(what.clone()));
            }
            self.doubt = None;
        }
        for (at, group) in set.conditions.groups.iter().enumerate().filter(|(_, group)| !group.is_quiet) {
            if !group.watched.has(action) && !asked.contains(&at) {
                continue;
            }
            self.forget(at, group, scopes)?;
            let all = self.bytes;
            let live = self.live(at, group, scopes)?;
            if let Some((what, until_ms)) = live.doubt.clone().filter(|_| asked.contains(&at)) {
                if now_ms <= until_ms {
                    return Err(HistoryError::Doubt(what));
                }
                live.doubt = None;
            }
            if let Some(why) = live.full(group, bytes, all) {
                return Err(HistoryError::Full(why));
            }
        }
        Ok(())
    }

    /// Whether a history that decides nothing now has room for an event; else it is in doubt.
    fn has_room(&mut self, at: usize, group: &Group, scopes: &Scopes<'_>, bytes: usize) -> bool {
        // What isn't begun for want of room knows nothing, and so does what it is asked later.
        if self.forget(at, group, scopes).is_err() {
            return false;
        }
        let (now_ms, all) = (self.now_ms, self.bytes);
        let Ok(live) = self.live(at, group, scopes) else { return false };
        let why = live.full(group, bytes, all);
        let until_ms = now_ms.saturating_add(group.window_secs.saturating_mul(1_000));
        live.doubt = why.clone().map(|why| (why, until_ms)).or(live.doubt.take());
        why.is_none()
    }

    /// Lets go of the events of a history that no window reaches any more.
    fn forget(&mut self, at: usize, group: &Group, scopes: &Scopes<'_>) -> Result<(), HistoryError> {
        let now_ms = self.now_ms;
        let freed = self.live(at, group, scopes)?.forget(now_ms, group.window_secs);
        self.bytes = self.bytes.saturating_sub(freed);
        Ok(())
    }

    /// What the asked groups say of the wanted conditions.
    pub(crate) fn told(
        &mut self,
        scopes: &Scopes<'_>,
        asked: &BTreeSet<usize>,
        wanted: &BTreeSet<&ExtensionId>,
        now_ms: u64,
    ) -> Result<Bindings, HistoryError> {
        let set = Arc::clone(&self.set);
        let mut bindings = Bindings::new();
        for at in asked {
            let Some(group) = set.conditions.groups.get(*at) else { continue };
            let live = match self.live(*at, group, scopes) {
                Ok(live) if !group.is_quiet || live.doubt.as_ref().is_none_or(|(_, until_ms)| now_ms > *until_ms) => live,
                Err(error) if !group.is_quiet => return Err(error),
                // Of rules that are only logged nothing is told then.
                _ => continue,
            };
            let told = live.engine.evaluate().map_err(HistoryError::Engine)?;
            for (leaf, id) in group.leaves.iter().zip(&group.ids).filter(|(_, id)| wanted.contains(id)) {
                let holds = told.get(&leaf.id).ok_or_else(|| HistoryError::Engine(format!("`{id}` was not evaluated")))?;
                bindings.insert(id.clone(), *holds);
            }
        }
        Ok(bindings)
    }

    /// The history of a caller under a group, begun if there is none.
    fn live(&mut self, at: usize, group: &Group, scopes: &Scopes<'_>) -> Result<&mut Live, HistoryError> {
        let key = (at, scopes.key(group.scope));
        if !self.live.contains_key(&key) {
            let of_principal = self.of_principal.get(scopes.principal).copied().unwrap_or_default();
            if self.live.len() >= HISTORIES_MAX {
                return Err(HistoryError::Full(format!(
                    "the space remembers {HISTORIES_MAX} histories, and there is no room for another"
                )));
            }
            if of_principal >= HISTORIES_OF_PRINCIPAL_MAX {
                return Err(HistoryError::Full(format!(
                    "{HISTORIES_OF_PRINCIPAL_MAX} histories of this caller are open: end some policy sessions"
                )));
            }
            let engine = prepared(&group.leaves, &group.rules).map_err(HistoryError::Engine)?;
            let principal = scopes.principal.to_owned();
            let live = Live { engine, last_ms: self.now_ms, principal, doubt: None, events: VecDeque::new(), bytes: 0 };
            self.insert(at, key.1.clone(), live);
        }
        self.live.get_mut(&key).ok_or_else(|| HistoryError::Engine("a history is gone".to_owned()))
    }

    /// Something happened now in a history whose last event was then.
    fn aged(&mut self, at: usize, key: String, before_ms: u64) {
        let mut age = (before_ms, at, key);
        self.ages.remove(&age);
        age.0 = self.now_ms;
        self.ages.insert(age);
    }

    fn insert(&mut self, at: usize, key: String, live: Live) {
        *self.of_principal.entry(live.principal.clone()).or_default() += 1;
        self.bytes += live.bytes;
        self.ages.insert((live.last_ms, at, key.clone()));
        self.live.insert((at, key), live);
    }

    /// Forgets the oldest histories of which no window reaches anything any more.
    fn sweep(&mut self) {
        for _ in 0..SWEPT_AT_ONCE {
            let Some((last_ms, at, key)) = self.ages.first().cloned() else { return };
            let window_secs = self.set.conditions.groups.get(at).map_or(0, |group| group.window_secs);
            if last_ms.saturating_add(window_secs.saturating_mul(1_000)) >= self.now_ms {
                return;
            }
            self.ages.pop_first();
            let Some(live) = self.live.remove(&(at, key)) else { continue };
            self.bytes = self.bytes.saturating_sub(live.bytes);
            if let Some(count) = self.of_principal.get_mut(&live.principal) {
                *count = count.saturating_sub(1);
                if *count == 0 {
                    self.of_principal.remove(&live.principal);
                }
            }
        }
    }
}

/// What one history gathered under a set that is given up.
#[derive(Default)]
struct Kept {
    last_ms: u64,
    principal: String,
    doubt: Option<(String, u64)>,
    entries: HashMap<String, (LeafState, Arc<OfGroup>)>,
}

/// What the conditions of one group had in common.
struct OfGroup {
    doubt: Doubt,
    events: VecDeque<(u64, usize)>,
    bytes: usize,
}

/// What is in doubt, and until when.
type Doubt = Option<(String, u64)>;

fn later(one: Doubt, other: Option<&(String, u64)>) -> Doubt {
    one.into_iter().chain(other.cloned()).max_by_key(|(_, until_ms)| *until_ms)
}

/// About how many bytes a value takes.
fn bytes_of(value: &Value) -> usize {
    match value {
        Value::String(text) => text.len() + 24,
        Value::Array(values) => 24 + values.iter().map(bytes_of).sum::<usize>(),
        Value::Object(map) => 24 + map.iter().map(|(name, value)| name.len() + 24 + bytes_of(value)).sum::<usize>(),
        Value::Null | Value::Bool(_) | Value::Number(_) => 16,
    }
}

fn bytes(value: &Value) -> usize {
    // Names and places of the event itself.
    bytes_of(value) + 512
}

/// The qualified name of a tool's action.
pub(crate) fn action(tool: &str) -> String {
    format!("{NAMESPACE}::Action::{tool}")
}
