//! What came before a case: the events that temporal conditions look back on.

use remit_cedar::{Bindings, EventKind, History, HistoryEvent, PolicySet};
use remit_config::item::{Item, shown};
use remit_config::{did_you_mean, yaml::Value as Yaml};
use remit_kernel::{Fact, Facts, Identity, PolicyCaller, Principal, Snapshot, SpaceView};
use remit_model::{AgentId, CallOrigin, Organization, ToolClass};
use remit_provenance::{Flow, Reading};
use serde_json::Value;
use std::sync::Arc;

use super::facts::json;
use super::{Case, Wanted};

/// The most events before one case.
const EVENTS_MAX: usize = 1_000;
/// The keys of an event.
pub(crate) const EVENT: &[&str] = &["tool", "arguments", "result", "ended", "ago", "agent", "policy_session"];
/// How a call ended.
const ENDINGS: [(&str, Ended); 3] = [("done", Ended::Done), ("error", Ended::Error), ("in_flight", Ended::InFlight)];

/// How a call ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Ended {
    Done,
    Error,
    InFlight,
}

/// A call that came before.
#[derive(Debug, Clone, PartialEq)]
pub struct Before {
    tool: String,
    arguments: Value,
    result: Option<Value>,
    ended: Ended,
    ago_secs: u64,
    agent: Option<AgentId>,
    policy_session: Option<String>,
}

/// Reads the list. `knows_tool` tells a fault of a name that no tool has.
pub(super) fn after(
    item: &Item<'_>,
    organization: &Organization,
    knows_tool: impl Fn(&str, &Item<'_>) -> bool,
) -> Option<Vec<Before>> {
    let list = item.list("calls that came before");
    if list.len() > EVENTS_MAX {
        item.error(format!("there are more than {EVENTS_MAX} calls before a case"), "keep those that the rules look for");
        return None;
    }
    let mut all = Vec::new();
    let mut last_secs = u64::MAX;
    for (at, item) in list.iter().enumerate() {
        let object = item.object("a call that came before", EVENT)?;
        let tool = object.need("tool")?;
        let name = tool.text()?;
        if !knows_tool(name, &tool) {
            return None;
        }
        // Without a time, a second apart, up to the case.
        let near_secs = u64::try_from(list.len() - at).unwrap_or(1);
        let ago_secs = match object.get("ago") {
            Some(ago) => span(&ago)?,
            None => near_secs.min(last_secs),
        };
        if ago_secs > last_secs {
            item.error("this call stands after one that came later", "write the calls in the order in which they happened");
            return None;
        }
        last_secs = ago_secs;
        let ended = object.get("ended").map_or(Some(Ended::Done), |ended| ended.choice(&ENDINGS))?;
        let result = object.get("result").map_or(Some(None), |result| mapping(&result).map(Some))?;
        if result.is_some() && ended != Ended::Done {
            item.error("only a call that is done has a result", "leave `result` or `ended` out");
            return None;
        }
        let text = |key: &str| object.get(key).map_or(Some(None), |item| item.text().map(|text| Some(text.to_owned())));
        all.push(Before {
            tool: name.to_owned(),
            arguments: object.get("arguments").map_or(Some(Value::Object(serde_json::Map::new())), |item| mapping(&item))?,
            result,
            ended,
            ago_secs,
            agent: object.get("agent").map_or(Some(None), |item| agent(&item, organization).map(Some))?,
            policy_session: text("policy_session")?,
        });
    }
    Some(all)
}

fn agent(item: &Item<'_>, organization: &Organization) -> Option<AgentId> {
    let name = item.text()?;
    let known = AgentId::new(name).ok().filter(|id| organization.agents.contains_key(id));
    if known.is_none() {
        let near = did_you_mean(name, organization.agents.keys().map(AgentId::as_str));
        item.error(format!("there is no agent {}{near}", shown(name)), "name an agent of this configuration");
    }
    known
}

/// A mapping as JSON.
fn mapping(item: &Item<'_>) -> Option<Value> {
    if !matches!(item.node.value, Yaml::Map(_)) {
        item.error("this is no mapping", "write `{ name: value, … }`");
        return None;
    }
    let mut text = String::new();
    json(item, item.node, &mut text)?;
    serde_json::from_str(&text).ok()
}

/// A span of time: `90s`, `10m`, `2h`, `3d`, in seconds.
fn span(item: &Item<'_>) -> Option<u64> {
    let text = item.text()?;
    let units = [("s", 1), ("m", 60), ("h", 3600), ("d", 86_400)];
    let read =
        units.iter().find_map(|(unit, secs)| text.strip_suffix(unit)?.parse::<u32>().ok().map(|count| u64::from(count) * secs));
    if read.is_none() {
        item.error(format!("{} is no span of time", shown(text)), "write it as 90s, 10m, 2h or 3d");
    }
    read
}

/// What the session has touched before a case, and what stands behind its arguments.
fn traced(view: &SpaceView, case: &Case) -> CallOrigin {
    // Nobody attacks a case: its words may hash alike every time.
    let mut flow = Flow::new([0; 16]);
    case.request.iter().for_each(|request| flow.asked(request));
    for before in case.after.iter() {
        let Some(tool) = view.tools.get(&before.tool) else { continue };
        let origin = flow.judge(&tool.roles, &before.arguments);
        flow.passed(&before.arguments, &origin);
        if before.ended == Ended::InFlight {
            continue;
        }
        let changes = tool.class != ToolClass::ReadOnly;
        flow.read(&Reading { tool: &tool.id, labels: tool.results, changes, structured: before.result.as_ref(), texts: &[] });
    }
    let (Wanted::Tool { name, arguments: Some(text) }, labels) = (&case.wanted, flow.labels()) else {
        return CallOrigin { labels: flow.labels(), ..CallOrigin::default() };
    };
    match (view.tools.get(name), serde_json::from_str(text)) {
        (Some(tool), Ok(arguments)) => flow.judge(&tool.roles, &arguments),
        _ => CallOrigin { labels, ..CallOrigin::default() },
    }
}

/// The facts of a case, with what its history says.
pub(crate) fn looked_back(snapshot: &Snapshot, case: &Case) -> Result<Facts, String> {
    let mut facts = case.facts.clone();
    let view = snapshot.spaces.get(&case.space);
    if let Some(view) = view {
        facts.provenance = Fact::Known(Some(Arc::new(traced(view, case))));
    }
    let set = view.and_then(|view| view.policy_set.as_ref());
    let Fact::Known(Identity::Authenticated(principal)) = &case.facts.identity else { return Ok(facts) };
    let Some((view, set)) = view.zip(set) else {
        return if case.after.is_empty() || view.is_some_and(|view| view.traces) {
            Ok(facts)
        } else {
            Err(format!("space `{}` has no policy set that could look back", case.space))
        };
    };
    let now_ms = case.now_secs.saturating_mul(1000);
    let mut history = History::new(Arc::clone(set));
    let id_of = |exposed: &str| {
        let found = view.tools.get(exposed).map(|tool| Arc::clone(&tool.id));
        found.ok_or_else(|| format!("space `{}` has no tool `{exposed}`, so nothing of it came before", case.space))
    };
    for (number, before) in case.after.iter().enumerate() {
        let who = match &before.agent {
            Some(agent) => Principal { agent: agent.clone(), session: None, claims: Arc::default(), ..(**principal).clone() },
            None => (**principal).clone(),
        };
        let caller = PolicyCaller::of(&snapshot.organization, &who);
        let session = before.policy_session.as_deref().unwrap_or(&facts.policy_session.id);
        let (tool, request_id) = (id_of(&before.tool)?, format!("before-{number}"));
        let at_ms = now_ms.saturating_sub(before.ago_secs.saturating_mul(1000));
        let input = set.visible_input(&tool, &before.arguments);
        let event = |kind| HistoryEvent {
            kind,
            who: caller.who(),
            scopes: caller.scopes(session),
            tool: &tool,
            input: &input,
            output: before.result.as_ref(),
            request_id: &request_id,
            now_ms: at_ms,
        };
        let told = |error: remit_cedar::HistoryError| format!("the call of `{}` that came before: {error}", before.tool);
        history.request(&event(EventKind::Request)).map_err(told)?;
        match before.ended {
            Ended::Done => history.outcome(&event(EventKind::Response)).map_err(told)?,
            Ended::Error => history.outcome(&event(EventKind::Error)).map_err(told)?,
            Ended::InFlight => {}
        }
    }
    facts.policy_session.bindings = match asked(snapshot, case, principal, set, &mut history, id_of) {
        None => return Ok(facts),
        Some(Ok(bindings)) => Fact::Known(Some(Arc::new(bindings))),
        Some(Err(error)) => Fact::Unknown(error),
    };
    Ok(facts)
}

/// What the history says of the case's own call; nothing if no rule about its tool looks back.
fn asked(
    snapshot: &Snapshot,
    case: &Case,
    principal: &Principal,
    set: &PolicySet,
    history: &mut History,
    id_of: impl Fn(&str) -> Result<Arc<str>, String>,
) -> Option<Result<Bindings, String>> {
    let Wanted::Tool { name, arguments: Some(arguments) } = &case.wanted else { return None };
    let tool = id_of(name).ok().filter(|tool| set.needs_history(tool) || set.watches(tool))?;
    let input: Value = match serde_json::from_str(arguments) {
        Ok(input) => input,
        Err(error) => return Some(Err(error.to_string())),
    };
    let (input, caller) = (set.visible_input(&tool, &input), PolicyCaller::of(&snapshot.organization, principal));
    let event = HistoryEvent {
        kind: EventKind::Request,
        who: caller.who(),
        scopes: caller.scopes(&case.facts.policy_session.id),
        tool: &tool,
        input: &input,
        output: None,
        request_id: "case",
        now_ms: case.now_secs.saturating_mul(1000),
    };
    Some(history.request(&event).map_err(|error| error.to_string()))
}
