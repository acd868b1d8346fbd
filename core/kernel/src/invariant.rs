//! Whether an organization's invariants hold: that nobody whom one names can ever make a call that it names.
//!
//! Every agent, space, tool and way to come (by token, or signing in a role) is judged with everything left open that a caller or the
//! weather chooses: arguments, address, time, user, claims, session, tags of a session, history. What is denied even so is denied always;
//! if nothing else is left, the invariant holds. What is left is tried as ordinary calls by [`decide`] itself: one that is allowed is the
//! counterexample. What is neither is told as open, never as held.
//!
//! An invariant may have a condition over the call (`when`): then arguments matter, and what no other layer denies is asked of the space's
//! policy set by symbolic analysis, if somebody is given who can do that ([`remit_cedar::Prover`]).
//!
//! It speaks of the configuration and of the definitions that servers show now: a tool that appears later is quarantined until somebody
//! accepts it, and then it is asked again.

pub(crate) mod example;
mod when;

use std::cell::Cell;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;

use remit_cedar::{Openness, Prover};
use remit_model::{AgentCredential, AgentId, Invariant, Organization, RoleKey, ServerKey, TOOL_SEPARATOR, ToolAdmission};
use serde_json::Value;

use crate::catalogue::PinState;
use crate::compare::{arn, facts};
use crate::context::Origin;
use crate::decide::{conceivable, decide};
use crate::facts::{Call, Fact, Facts, Identity, Principal, Session, Target};
use crate::snapshot::{RowMatch, Snapshot, SpaceView, ToolView};
use crate::tree::Tree;
use crate::verdict::{Decision, Layer, Verdict};

/// How many calls with arguments are tried in one check of all invariants.
const TRIALS_MAX: u64 = 100_000;
/// How many open questions of one invariant are told one by one.
const OPEN_MAX: usize = 10;
/// The name of a session that no policy speaks of.
const SESSION: &str = "session";

/// How an invariant stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Standing {
    /// No call that it names can be allowed.
    Holds,
    /// One is.
    Violated,
    /// It can't be shown either way: see what is open.
    Unknown,
}

/// What was found of an invariant.
#[derive(Debug, Clone, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct Checked {
    /// Its name.
    pub invariant: String,
    /// Where it stands: `file:line`.
    pub at: String,
    /// Its condition over the call, if it has one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub when: Option<String>,
    /// How it stands.
    pub standing: Standing,
    /// How many combinations of agent, way, space and tool it speaks of.
    pub examined: u64,
    /// How many of them were ruled out by symbolic analysis of a policy set; the others needed none.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub proved: u64,
    /// A call that is allowed, if it is violated.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub counterexample: Option<Counterexample>,
    /// What could not be shown, the first of it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub open: Vec<Unshown>,
    /// How much of that there is.
    pub open_count: u64,
}

#[allow(clippy::trivially_copy_pass_by_ref, reason = "serde asks so")]
fn is_zero(count: &u64) -> bool {
    *count == 0
}

/// A call that must not be possible and is allowed.
#[derive(Debug, Clone, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct Counterexample {
    /// The agent.
    pub agent: String,
    /// The role in which it signs; absent for a token, whose bearer acts in the space's role.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub signs_as: Option<String>,
    /// The space.
    pub space: String,
    /// The tool, by the name that clients use there.
    pub tool: String,
    /// Its arguments, where the invariant's condition speaks of them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub arguments: Option<Value>,
    /// What its token claims, or the tags of its session.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub claims: BTreeMap<String, String>,
    /// What else was supposed of the call, such as its caller's address. Empty: nothing.
    pub supposing: Vec<String>,
    /// The statements that let it through, each with its layer and place.
    pub because: Vec<Allowing>,
}

/// A statement that lets a call through.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Allowing {
    /// The layer.
    pub layer: Layer,
    /// What it says.
    pub statement: String,
    /// Where that stands.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub at: Option<String>,
}

/// A call of which it can't be shown that it is always denied.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Unshown {
    /// The agent.
    pub agent: String,
    /// The space.
    pub space: String,
    /// The tool by the name that policies use; `server___*` for all of a server.
    pub tool: String,
    /// Why it is open.
    pub why: String,
}

/// Checks every invariant of a snapshot's organization. `heard` says of which servers it is known what they offer; at most `examined_max`
/// combinations are looked at for each, and what is beyond is open. `prover` answers by symbolic analysis. `now_secs` is the time in seconds
/// since the epoch, for the calls that are tried.
pub fn check(
    snapshot: &Snapshot,
    heard: impl Fn(&ServerKey) -> bool,
    prover: &Prover<'_>,
    examined_max: u64,
    now_secs: u64,
) -> Vec<Checked> {
    let organization = &snapshot.organization;
    let trials = Cell::new(TRIALS_MAX);
    let checked = organization.invariants.iter().map(|invariant| {
        let mut check = Check {
            snapshot,
            invariant,
            prover,
            now_secs,
            examined: 0,
            examined_max,
            proved: 0,
            trials: &trials,
            asked: HashMap::new(),
            open: Vec::new(),
            open_count: 0,
        };
        let counterexample = check.run(&heard);
        let standing = match (&counterexample, check.open_count) {
            (Some(_), _) => Standing::Violated,
            (None, 0) => Standing::Holds,
            (None, _) => Standing::Unknown,
        };
        let Check { examined, proved, open, open_count, .. } = check;
        let (name, at, when) = (invariant.name.clone(), invariant.origin.clone(), invariant.when.clone());
        Checked { invariant: name, at, when, standing, proved, examined, counterexample, open, open_count }
    });
    checked.collect()
}

/// One invariant that is being checked.
struct Check<'a> {
    snapshot: &'a Snapshot,
    invariant: &'a Invariant,
    prover: &'a Prover<'a>,
    now_secs: u64,
    examined: u64,
    examined_max: u64,
    proved: u64,
    /// How many calls with arguments may still be tried.
    trials: &'a Cell<u64>,
    /// Tools by space and exposed name, with the condition read against each.
    asked: HashMap<(String, String), Result<when::Asked, String>>,
    open: Vec<Unshown>,
    open_count: u64,
}

type Way = Option<(RoleKey, String)>;

impl Check<'_> {
    fn run(&mut self, heard: &impl Fn(&ServerKey) -> bool) -> Option<Counterexample> {
        let (snapshot, invariant) = (self.snapshot, self.invariant);
        let organization = &snapshot.organization;
        let mut spaces: Vec<&Arc<SpaceView>> = snapshot.spaces.values().collect();
        spaces.sort_by(|a, b| a.space.id.cmp(&b.space.id));
        let spaces = spaces.into_iter().filter(|view| invariant.speaks_of_space(&view.space.id));
        for view in spaces {
            let meant = |agent: &&AgentId| invariant.speaks_of_agent(organization, agent);
            let agents: BTreeSet<&AgentId> = view.space.agents.iter().filter(meant).collect();
            for agent in &agents {
                self.unheard(view, agent, heard);
                for way in ways(organization, agent) {
                    for tool in &view.tools_listed {
                        if !invariant.speaks_of_tool(&tool.id, tool.class, &tool.categories) {
                            continue;
                        }
                        if self.examined >= self.examined_max {
                            self.leave(agent, view, &tool.id, "there are too many calls to look at all of them".to_owned());
                            continue;
                        }
                        self.examined += 1;
                        if let Some(found) = self.judge(view, agent, &way, tool) {
                            return Some(found);
                        }
                    }
                }
            }
        }
        None
    }

    fn leave(&mut self, agent: &AgentId, view: &SpaceView, tool: &str, why: String) {
        self.open_count += 1;
        let unshown = Unshown { agent: agent.to_string(), space: view.space.id.to_string(), tool: tool.to_owned(), why };
        if self.open.len() < OPEN_MAX && !self.open.contains(&unshown) {
            self.open.push(unshown);
        }
    }

    /// Servers whose tools aren't known: what the configuration itself says of them may be enough to rule a call out.
    fn unheard(&mut self, view: &SpaceView, agent: &AgentId, heard: &impl Fn(&ServerKey) -> bool) {
        let organization = &self.snapshot.organization;
        for entry in &view.space.servers {
            let key = Organization::server_key(&view.space, entry);
            if heard(&key) {
                continue;
            }
            let server = entry.server.as_str();
            let why = |what: &str| format!("{what} of server {key} aren't known: it has not answered, and no lock tells");
            let ToolAdmission::Listed(names) = &entry.tools else {
                if self.invariant.may_speak_of_server(server) {
                    self.leave(agent, view, &format!("{server}{TOOL_SEPARATOR}*"), why("the tools"));
                }
                continue;
            };
            let said = organization.servers.get(&key).map(|server| &server.tools);
            for name in names {
                let said = said.and_then(|tools| tools.get(name));
                let base = said.and_then(|said| said.expose_as.as_ref()).map_or(name.as_str(), |name| name.as_str());
                let id = format!("{server}{TOOL_SEPARATOR}{base}");
                let categories = said.map(|said| said.categories.as_slice()).unwrap_or_default();
                let class = said.and_then(|said| said.class);
                let meant = match class {
                    Some(class) => self.invariant.speaks_of_tool(&id, class, categories),
                    // Of a class that isn't known it could be any.
                    None => {
                        [remit_model::ToolClass::ReadOnly, remit_model::ToolClass::Mutative, remit_model::ToolClass::Destructive]
                            .into_iter()
                            .any(|class| self.invariant.speaks_of_tool(&id, class, categories))
                    }
                };
                let row = matches!(self.snapshot.row(agent, &id), RowMatch::Row(row) if row.allowed);
                if meant && row {
                    self.leave(agent, view, &id, why("definition and class"));
                }
            }
        }
    }

    /// Judges one combination: a counterexample, or nothing, with what is open put down.
    fn judge(&mut self, view: &SpaceView, agent: &AgentId, way: &Way, tool: &Arc<ToolView>) -> Option<Counterexample> {
        let (snapshot, now_secs) = (self.snapshot, self.now_secs);
        let base = facts(agent, way.as_ref(), now_secs);
        let Fact::Known(Identity::Authenticated(principal)) = &base.identity else { return None };
        if !conceivable(snapshot, &base, view, principal, tool, now_secs) {
            return None;
        }
        if self.invariant.without_approval && view.holds.certainly(tool.exposed.as_str(), agent, tool.risk).is_some() {
            return None;
        }
        let at = when::At { view, agent, way, tool, base: &base, principal };
        let openness = view.policy_set.as_ref().map_or(Openness::Always, |set| set.openness(&tool.id));
        match (openness, &self.invariant.when) {
            (Openness::Never, _) => None,
            (Openness::Always, Some(condition)) => self.judge_when(condition, &[], &at),
            // Every call is meant; which of them the policy set lets through is to be found.
            (Openness::Depends(rules), condition) => self.judge_when(condition.as_deref().unwrap_or("true"), &rules, &at),
            // Whether a rule holds a call may hang on its arguments.
            (Openness::Always, None) if self.invariant.without_approval && view.holds.may_hold(tool.exposed.as_str()) => {
                self.judge_when("true", &[], &at)
            }
            (Openness::Always, None) => {
                let mut first: Option<Decision> = None;
                for (facts, supposing) in tried(&base, principal) {
                    let target = Target::Tool { name: tool.exposed.as_str(), arguments: None };
                    let call = Call { space: view.space.id.as_str(), target, risk_requested: None, explain: true };
                    let decision = decide(snapshot, &facts, &call, now_secs);
                    if decision.may_become() {
                        return Some(self.counterexample(view, agent, way, tool, supposing, &decision));
                    }
                    first.get_or_insert(decision);
                }
                let why = self.why(way, tool, first.as_ref());
                self.leave(agent, view, &tool.id, why);
                None
            }
        }
    }

    fn why(&self, way: &Way, tool: &ToolView, decision: Option<&Decision>) -> String {
        if tool.pin != PinState::Intact {
            return "the tool is in quarantine, and could be called once it is accepted".to_owned();
        }
        let said = match decision.map(|decision| &decision.verdict) {
            Some(Verdict::Deny(denial)) => denial.statement.clone(),
            _ => "it was not tried".to_owned(),
        };
        let keys = self.snapshot.tree.left_open(way.is_some()).join(", ");
        format!(
            "it is denied as it was tried ({said}), and could be allowed with other values of what policies ask of a call: {keys}"
        )
    }

    fn counterexample(
        &self,
        view: &SpaceView,
        agent: &AgentId,
        way: &Way,
        tool: &ToolView,
        supposing: Vec<String>,
        decision: &Decision,
    ) -> Counterexample {
        let says = decision.layers.iter().filter(|line| {
            matches!(line.layer, Layer::Principal | Layer::ToolPolicy | Layer::PolicySet | Layer::Resource)
                && line.effect == crate::verdict::Effect::Allow
        });
        let because = says.map(|line| Allowing {
            layer: line.layer,
            statement: line.statement.as_str().to_owned(),
            at: line.origin.as_deref().map(str::to_owned),
        });
        Counterexample {
            agent: agent.to_string(),
            signs_as: way.as_ref().map(|role| arn(role, [self.snapshot, self.snapshot])),
            space: view.space.id.to_string(),
            tool: tool.exposed.to_string(),
            arguments: None,
            claims: BTreeMap::new(),
            supposing,
            because: because.collect(),
        }
    }
}

/// By token in the space's role, and by signature in each role that is the agent's, under every name that policies tell apart.
fn ways(organization: &Organization, agent: &AgentId) -> Vec<Way> {
    let mut ways: BTreeSet<(RoleKey, String)> = BTreeSet::new();
    let credentials = organization.agents.get(agent).map(|agent| agent.credentials.as_slice()).unwrap_or_default();
    for credential in credentials {
        let AgentCredential::Role { role, session_name } = credential else { continue };
        if let Some(name) = session_name {
            ways.insert((role.clone(), name.clone()));
        } else {
            let named = Tree::sessions_named(organization, role);
            let mut other = std::iter::successors(Some(SESSION.to_owned()), |name| Some(format!("{name}x")));
            ways.extend(other.find(|name| !named.contains(name)).map(|name| (role.clone(), name)));
            ways.extend(named.into_iter().map(|name| (role.clone(), name)));
        }
    }
    std::iter::once(None).chain(ways.into_iter().map(Some)).collect()
}

/// Ordinary calls, the plainest first, each with what is supposed of it.
fn tried(base: &Facts, principal: &Arc<Principal>) -> Vec<(Facts, Vec<String>)> {
    let mut all = Vec::new();
    for user in [None, Some("somebody")] {
        for secure_transport in [false, true] {
            for ip in [None, Some(Ipv4Addr::new(198, 51, 100, 7)), Some(Ipv4Addr::new(10, 0, 0, 1))] {
                let mut supposing = Vec::new();
                let mut facts = base.clone();
                if let Some(ip) = ip {
                    supposing.push(format!("it comes from {ip}"));
                }
                if secure_transport {
                    supposing.push("it comes over TLS".to_owned());
                }
                let source_ip = ip.map_or_else(|| base.origin.source_ip.clone(), |ip| Fact::Known(IpAddr::V4(ip)));
                facts.origin = Origin { source_ip, secure_transport };
                if let Some(user) = user {
                    supposing.push(format!("it is made for a user `{user}`"));
                    let mut principal = Principal::clone(principal);
                    let session = |session: &Arc<Session>| {
                        let name = || Some(user.to_owned());
                        Arc::new(Session { source_identity: name(), user: name(), ..Session::clone(session) })
                    };
                    principal.session = principal.session.as_ref().map(session);
                    principal.user = Some(user.to_owned());
                    facts.identity = Fact::Known(Identity::Authenticated(Arc::new(principal)));
                }
                all.push((facts, supposing));
            }
        }
    }
    all
}
