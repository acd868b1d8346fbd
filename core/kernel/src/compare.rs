//! What one snapshot grants and another doesn't: every agent in every space, for everything that is offered there, decided under both by
//! [`decide()`](crate::decide()) itself.
//!
//! Calls are tried without arguments, from an unknown address: what hangs on the address counts as no, under either snapshot alike; a change
//! of such a condition shows in the policies' own analysis (`remit_iam::access`). Where policies or rules of approvals about a tool differ, its
//! calls are tried with arguments, too: plain ones, and those near the values that the rules name. So a difference that is told is one, with
//! the call that shows it; and one that only arguments show which nobody names may be missed.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use remit_cedar::Literals;
use remit_model::{Agent, AgentCredential, AgentId, RoleKey, SpaceId};
use serde_json::Value;

use crate::approval::Hold;
use crate::decide::decide_in_general;
use crate::facts::{Arguments, Call, Facts, Session, SessionOf, Target};
use crate::invariant::example;
use crate::snapshot::{Snapshot, SpaceView};
use crate::verdict::{Decision, Layer, LayerLine, Verdict};

/// The most arguments that are tried with one tool.
const TRIALS_MAX: usize = 64;

/// One call that is decided differently.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Difference {
    /// Whether it is allowed now; it was denied then, or the other way round.
    pub allowed: bool,
    /// The space.
    pub space: String,
    /// The agent.
    pub agent: String,
    /// The role in which the agent signs; absent for a token, whose bearer acts in the space's role.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub signs_as: Option<String>,
    /// The tool, prompt or resource by its exposed name.
    pub target: String,
    /// What it is: `tool`, `prompt` or `resource`.
    pub kind: String,
    /// Arguments with which it is so, where it isn't so with any.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub arguments: Option<Value>,
    /// The layers that changed their mind, in order; the first one tells why.
    pub because: Vec<Because>,
}

/// A layer that says something else now.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Because {
    /// The layer.
    pub layer: Layer,
    /// What it says: of a grant the statement that lets it through now, of a denial the one against it.
    pub statement: String,
    /// Where that statement stands.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub at: Option<String>,
    /// What it said before.
    pub before: String,
    /// Where that stood.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub before_at: Option<String>,
}

/// What a comparison came to.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Compared {
    /// What is newly granted, the first of it.
    pub granted: Vec<Difference>,
    /// What is newly denied, the first of it.
    pub denied: Vec<Difference>,
    /// How much is newly granted in all.
    pub granted_count: u64,
    /// How much is newly denied in all.
    pub denied_count: u64,
    /// How many calls were decided under both.
    pub examined: u64,
    /// How many weren't, because there are too many.
    pub unexamined: u64,
}

/// How far a comparison goes.
#[derive(Debug, Clone, Copy)]
pub struct Bounds {
    /// The most calls that are decided.
    pub examined_max: u64,
    /// The most differences of either kind that are told one by one.
    pub told_max: usize,
}

/// Decides every call of both snapshots under both. `now_secs` is the time in seconds since the epoch.
pub fn compare(before: &Snapshot, after: &Snapshot, bounds: Bounds, now_secs: u64) -> Compared {
    let mut compared = Compared::default();
    let spaces: BTreeSet<&str> = before.spaces.keys().chain(after.spaces.keys()).map(String::as_str).collect();
    for space in spaces {
        let views = [before.spaces.get(space), after.spaces.get(space)].map(|view| view.map(Arc::as_ref));
        let targets: BTreeSet<Offered> = views.into_iter().flatten().flat_map(offered).collect();
        let trials: BTreeMap<&Offered, Vec<Value>> = targets.iter().map(|target| (target, trials(views, target))).collect();
        let agents: BTreeSet<&AgentId> = views.into_iter().flatten().flat_map(|view| &view.space.agents).collect();
        for agent in agents {
            for role in ways(agent, [before, after]) {
                let facts = facts(agent, role.as_ref(), now_secs);
                for target in &targets {
                    if compared.examined >= bounds.examined_max {
                        compared.unexamined += 1;
                        continue;
                    }
                    let signs_as = || role.as_ref().map(|role| arn(role, [after, before]));
                    let asked = Asked { snapshots: [before, after], facts: &facts, space, agent, target, now_secs };
                    compared.examine(&asked, None, bounds, signs_as);
                    // Each way that arguments turn it is told once.
                    let mut ways: BTreeSet<bool> = BTreeSet::new();
                    for arguments in trials.get(target).into_iter().flatten() {
                        if compared.examined < bounds.examined_max
                            && asked.turns(Some(arguments)).is_some_and(|allowed| ways.insert(allowed))
                            && asked.turns(None).is_none()
                        {
                            compared.examine(&asked, Some(arguments), bounds, signs_as);
                        }
                    }
                }
            }
        }
    }
    compared
}

/// A call that is decided under both snapshots.
struct Asked<'a> {
    snapshots: [&'a Snapshot; 2],
    facts: &'a Facts,
    space: &'a str,
    agent: &'a AgentId,
    target: &'a Offered,
    now_secs: u64,
}

impl Asked<'_> {
    fn decide(&self, arguments: Option<&Value>, explain: bool) -> [Decision; 2] {
        let text = arguments.map(Value::to_string);
        let arguments = text.as_deref().and_then(|text| Arguments::scan(text).ok());
        let target = match self.target.target() {
            Target::Tool { name, .. } => Target::Tool { name, arguments },
            other => other,
        };
        let call = Call { space: self.space, target, risk_requested: None, explain };
        self.snapshots.map(|snapshot| decide_in_general(snapshot, self.facts, &call, self.now_secs))
    }

    /// Whether it is decided otherwise, and which way: less than it was is a denial, though people may agree to it.
    fn turns(&self, arguments: Option<&Value>) -> Option<bool> {
        let [was, is] = self.decide(arguments, false).map(|decision| outcome(&decision));
        (was != is).then(|| is > was)
    }
}

impl Compared {
    /// Decides a call under both, and tells of it if it is decided otherwise.
    fn examine(&mut self, asked: &Asked<'_>, arguments: Option<&Value>, bounds: Bounds, signs_as: impl Fn() -> Option<String>) {
        self.examined += 1;
        let Some(allowed) = asked.turns(arguments) else { return };
        let (count, told) =
            if allowed { (&mut self.granted_count, &mut self.granted) } else { (&mut self.denied_count, &mut self.denied) };
        *count += 1;
        if told.len() < bounds.told_max {
            let [was, is] = asked.decide(arguments, true);
            told.push(Difference {
                allowed,
                space: asked.space.to_owned(),
                agent: asked.agent.as_str().to_owned(),
                signs_as: signs_as(),
                target: asked.target.name().to_owned(),
                kind: asked.target.kind().to_owned(),
                arguments: arguments.cloned(),
                because: because(&was, &is, allowed),
            });
        }
    }
}

/// Arguments that are worth trying with a tool, because rules that read arguments differ: plain ones, and those near the values that they name.
fn trials(views: [Option<&SpaceView>; 2], target: &Offered) -> Vec<Value> {
    let (Offered::Tool(name), [Some(was), Some(is)]) = (target, views) else { return Vec::new() };
    let (Some(tool), Some(_)) = (is.tools.get(name), was.tools.get(name)) else { return Vec::new() };
    let texts = |view: &SpaceView| {
        let set = view.policy_set.as_ref().map(|set| (set.mode(), set.source().files().to_vec()));
        let rules = view.holds.of(name).iter().map(|hold| hold.condition().unwrap_or_default().to_owned()).collect::<Vec<_>>();
        (set, rules)
    };
    if texts(was) == texts(is) {
        return Vec::new();
    }
    let mut literals = Literals::default();
    for view in [was, is] {
        let conditions = view.holds.of(name).iter().filter_map(Hold::condition).chain(["true"]);
        for set in view.policy_set.iter().chain(view.holds.vocabulary()) {
            for meant in conditions.clone().filter_map(|condition| set.meant(&tool.id, condition).ok()) {
                literals.add(set.literals(&meant));
            }
        }
    }
    let definition: Value = serde_json::from_str(&tool.definition).unwrap_or_default();
    let schema = definition.get("inputSchema").unwrap_or(&Value::Null);
    let plain = example::plain(schema);
    let mut all = vec![plain.clone()];
    for place in example::places(schema, &literals) {
        if place.path.last().is_none_or(|name| !literals.attributes.contains(name)) {
            continue;
        }
        for value in place.values {
            let mut tried = plain.clone();
            example::put(&mut tried, &place.path, value);
            if all.len() < TRIALS_MAX && !all.contains(&tried) {
                all.push(tried);
            }
        }
    }
    all
}

/// How far a call gets, the least first.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
enum Outcome {
    Denied,
    Held,
    Allowed,
}

fn outcome(decision: &Decision) -> Outcome {
    match &decision.verdict {
        Verdict::Allow(_) => Outcome::Allowed,
        Verdict::Hold(_) => Outcome::Held,
        Verdict::Deny(_) => Outcome::Denied,
    }
}

/// Servers whose tools a space admits and that have never answered: what they will offer is granted without having been compared.
pub fn unheard(after: &Snapshot, heard: impl Fn(&remit_model::ServerKey) -> bool) -> Vec<(SpaceId, String)> {
    let mut found: Vec<(SpaceId, String)> = Vec::new();
    for view in after.spaces.values() {
        for (server, _) in view.servers.iter().filter(|(server, _)| !heard(server)) {
            found.push((view.space.id.clone(), server.to_string()));
        }
    }
    found.sort();
    found
}

/// The layers whose word is another one, so that the call is decided the other way.
fn because(before: &Decision, after: &Decision, allowed: bool) -> Vec<Because> {
    let of = |decision: &Decision, layer: Layer| -> Option<LayerLine> {
        let lines = || decision.layers.iter().filter(|line| line.layer == layer);
        // Of a layer that is asked several times, the word against counts.
        lines().find(|line| !line.effect.agrees()).or_else(|| lines().next()).cloned()
    };
    let against = if allowed { before } else { after };
    let layers: BTreeSet<Layer> = against.layers.iter().filter(|line| !line.effect.agrees()).map(|line| line.layer).collect();
    let told = layers.into_iter().map(|layer| {
        let text = |line: &Option<LayerLine>| {
            line.as_ref().map_or_else(|| "nothing".to_owned(), |line| line.statement.as_str().to_owned())
        };
        let place = |line: &Option<LayerLine>| line.as_ref().and_then(|line| line.origin.as_deref()).map(str::to_owned);
        let (was, is) = (of(before, layer), of(after, layer));
        Because { layer, statement: text(&is), at: place(&is), before: text(&was), before_at: place(&was) }
    });
    told.collect()
}

/// By token in the space's role, and by signature in each role that is the agent's.
fn ways(agent: &AgentId, snapshots: [&Snapshot; 2]) -> Vec<Option<(RoleKey, String)>> {
    let known = snapshots.into_iter().filter_map(|snapshot| snapshot.organization.agents.get(agent));
    let signs = |agent: &Agent| -> Vec<(RoleKey, String)> {
        let roles = agent.credentials.iter().filter_map(|credential| match credential {
            AgentCredential::Role { role, session_name } => {
                Some((role.clone(), session_name.clone().unwrap_or_else(|| "session".to_owned())))
            }
            _ => None,
        });
        roles.collect()
    };
    let all: BTreeSet<(RoleKey, String)> = known.flat_map(signs).collect();
    std::iter::once(None).chain(all.into_iter().map(Some)).collect()
}

pub(crate) fn arn((role, _): &(RoleKey, String), snapshots: [&Snapshot; 2]) -> String {
    let found = snapshots.into_iter().find_map(|snapshot| {
        let known = snapshot.organization.roles.get(role)?;
        Some(known.arn(&snapshot.organization.partition))
    });
    found.unwrap_or_else(|| role.to_string())
}

pub(crate) fn facts(agent: &AgentId, role: Option<&(RoleKey, String)>, now_secs: u64) -> Facts {
    let session = role.map(|(role, name)| {
        Arc::new(Session {
            id: "ASIA".to_owned(),
            who: SessionOf::Role(role.clone()),
            name: name.clone(),
            issued_at_secs: now_secs,
            expires_at_secs: u64::MAX,
            chained: false,
            tags: Vec::new(),
            source_identity: None,
            policies: Vec::new(),
            policy_documents: Vec::new(),
            user: None,
            via: Vec::new(),
        })
    });
    Facts::supposed(agent, session, Arc::default())
}

/// Something that a space offers, by the name that clients use there.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
enum Offered {
    Tool(String),
    Prompt(String),
    Resource(String),
}

fn offered(view: &SpaceView) -> Vec<Offered> {
    let tools = view.tools_listed.iter().map(|tool| Offered::Tool(tool.exposed.as_str().to_owned()));
    let prompts = view.prompts.iter().map(|listed| Offered::Prompt(listed.exposed.clone()));
    let resources = view.resources.iter().map(|listed| Offered::Resource(listed.exposed.clone()));
    tools.chain(prompts).chain(resources).collect()
}

impl Offered {
    fn name(&self) -> &str {
        match self {
            Self::Tool(name) | Self::Prompt(name) | Self::Resource(name) => name,
        }
    }

    fn kind(&self) -> &'static str {
        match self {
            Self::Tool(_) => "tool",
            Self::Prompt(_) => "prompt",
            Self::Resource(_) => "resource",
        }
    }

    fn target(&self) -> Target<'_> {
        match self {
            Self::Tool(name) => Target::Tool { name, arguments: None },
            Self::Prompt(name) => Target::Prompt(name),
            Self::Resource(uri) => Target::Resource(uri),
        }
    }
}
