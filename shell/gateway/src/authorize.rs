//! `POST /authorize`: the same question for callers that enforce elsewhere. The first seed's shape, with its trust turned round: the
//! agent comes from the token and the risk from the registry; what the body says of either can only make the answer stricter.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;
use http::header::{AUTHORIZATION, WWW_AUTHENTICATE};
use http::{HeaderMap, HeaderValue, Request, Response, StatusCode};
use hyper::body::Incoming;
use remit_kernel::verdict::Layer;
use remit_kernel::{
    Arguments, Call, Decision, Denial, Fact, Facts, Identity, Origin, Reason, SpaceView, Target, Verdict, decide,
};
use remit_mcp::json::{Limits, quote, scan};
use remit_model::{AgentId, Risk};
use serde_json::value::RawValue;

use crate::body::Body;
use crate::call::STRANGER_BYTES_MAX;
use crate::record::{DecisionEntry, Names, Pending, Trace, clip, fresh_id};
use crate::reply::{json_status, read, unavailable};
use crate::space_key::Committed;
use crate::{Inner, State};

/// What a caller may say.
#[derive(Debug, serde::Deserialize)]
#[serde(deny_unknown_fields)]
struct Question<'a> {
    tool_id: String,
    agent_id: Option<String>,
    requested_risk: Option<String>,
    /// Which space, where the token is good for several.
    space: Option<String>,
    #[serde(borrow)]
    arguments: Option<&'a RawValue>,
}

/// Answers one question.
pub(crate) async fn authorize(gateway: &Arc<Inner>, request: Request<Incoming>, origin: Origin) -> Response<Body> {
    let started = Instant::now();
    let (parts, body) = request.into_parts();
    let authorization = parts.headers.get(AUTHORIZATION).map(|value| value.to_str().unwrap_or("?"));
    let identity = gateway.authenticate(authorization, "").await;
    let known = matches!(identity, Fact::Known(Identity::Authenticated(_)));
    let bytes_max = if known { gateway.limits.body_bytes_max } else { STRANGER_BYTES_MAX };
    let body = match read(body, bytes_max, gateway.limits.body_timeout).await {
        Ok(body) => body,
        Err(refused) => return refused,
    };
    let question = match question(&body) {
        Ok(question) => question,
        Err(fault) => return invalid(&fault),
    };
    let risk_requested = match question.requested_risk.as_deref().map(Risk::parse) {
        None => None,
        Some(Some(risk)) => Some(risk),
        Some(None) => return invalid("`requested_risk` must be `low`, `medium`, `high` or `critical`"),
    };
    let space = match space(gateway, &identity, question.space.as_deref()) {
        Ok(space) => space,
        Err(fault) => return invalid(&fault),
    };
    let asked = Asked { question: &question, identity, origin, space, risk_requested };
    decided(gateway, &parts.headers, asked, started).await
}

fn question(body: &Bytes) -> Result<Question<'_>, String> {
    scan(body, Limits::default()).map_err(|error| format!("the body is not acceptable JSON: {error}"))?;
    serde_json::from_slice(body)
        .map_err(|error| format!("the body must be {{tool_id, agent_id?, requested_risk?, arguments?, space?}}: {error}"))
}

/// The space that the token is for.
fn space(gateway: &Inner, identity: &Fact<Identity>, said: Option<&str>) -> Result<String, String> {
    let Fact::Known(Identity::Authenticated(principal)) = identity else { return Ok(said.unwrap_or_default().to_owned()) };
    let state = gateway.state.load();
    let own = |space: &&String| principal.audiences.iter().any(|audience| **audience == *gateway.space_address(space));
    let mut spaces: Vec<&String> = state.snapshot.spaces.keys().filter(own).collect();
    spaces.sort();
    match (said, spaces.as_slice()) {
        (Some(said), _) => Ok(said.to_owned()),
        (None, [only]) => Ok((*only).clone()),
        (None, []) => Ok(String::new()),
        (None, _) => Err("the token is good for several spaces: name one as `space`".to_owned()),
    }
}

/// A question that was read.
struct Asked<'a> {
    question: &'a Question<'a>,
    identity: Fact<Identity>,
    origin: Origin,
    space: String,
    risk_requested: Option<Risk>,
}

async fn decided(gateway: &Arc<Inner>, headers: &HeaderMap, asked: Asked<'_>, started: Instant) -> Response<Body> {
    let Asked { question, identity, origin, space, risk_requested } = asked;
    let (decision_id, at_ms) = match fresh_id() {
        Ok(fresh) => fresh,
        Err(error) => return unavailable("null", &error.to_string()),
    };
    let state = gateway.state.load_full();
    let mut facts = gateway.facts(identity, gateway.space_address(&space), origin);
    let agent = match &facts.identity {
        Fact::Known(Identity::Authenticated(principal)) => Some(principal.agent.as_str().to_owned()),
        _ => None,
    };
    if let (Some(said), Some(agent)) = (&question.agent_id, &agent)
        && said != agent
    {
        facts.identity = Fact::Known(Identity::Rejected("`agent_id` is not the agent that the token names".to_owned()));
    }
    // Only what the space knows is counted: a count is kept by name.
    let known = state.snapshot.spaces.get(&space).is_some_and(|space| space.tools.contains_key(&question.tool_id));
    let place = agent.as_ref().filter(|_| known).and_then(|agent| {
        let place;
        (facts.quota, place) = gateway.quotas.take(&space, agent, &question.tool_id, at_ms);
        place
    });
    let arguments = match arguments(question, state.snapshot.spaces.get(&space)) {
        Ok(arguments) => arguments,
        Err(why) => return invalid(&why),
    };
    let target = Target::Tool { name: &question.tool_id, arguments };
    outside(gateway, &state, &space, &mut facts);
    let call = Call { space: &space, target, risk_requested, explain: true };
    Box::pin(crate::guard::gather(gateway, &state.snapshot, &mut facts, &call, at_ms / 1000)).await;
    let decision = decide(&state.snapshot, &facts, &call, at_ms / 1000);
    drop(place);
    let mismatched = agent.is_some() && matches!(facts.identity, Fact::Known(Identity::Rejected(_)));
    let trace = Trace::read(headers.get("traceparent").and_then(|value| value.to_str().ok()), &decision_id);
    let recorded = async {
        let asked = question.arguments.map(|arguments| arguments.get().as_bytes()).filter(|_| agent.is_some());
        let committed = gateway.recorder.committed(&state.snapshot, &space, Committed::Arguments, &decision_id, asked)?;
        let entry = entry(question, &decision, (agent.as_deref(), &space, facts.source_ip()), state.snapshot.version, committed);
        if agent.is_none() {
            return gateway.recorder.stranger(&decision_id, &trace, at_ms, entry).await;
        }
        let kept = gateway.keep(&state, &facts, &call, &decision_id, at_ms);
        gateway.recorder.decision(&decision_id, &trace, at_ms, entry, kept).await.map(Some)
    };
    let index = match recorded.await {
        Ok(index) => index,
        Err(error) => return unavailable("null", &error.to_string()),
    };
    let names = names(agent.as_deref(), &space, question, &decision);
    let fields = shared(&decision, &decision_id, index);
    match decision.verdict {
        Verdict::Allow(permit) => {
            // Whoever asked enforces: here nothing is sent, so the permit is given up.
            drop(permit);
            match Pending::new(&gateway.recorder, decision_id, trace, names, started).finish("answered", None).await {
                Ok(()) => json_status(StatusCode::OK, format!("{{\"approved\":true,{fields}}}")),
                Err(error) => unavailable("null", &error.to_string()),
            }
        }
        // Whoever asks here also makes the call: nobody could say later that this very one was made.
        Verdict::Hold(request) => {
            gateway.recorder.held(&names, &trace, started);
            let denial = Denial { reason: Reason::ApprovalRequired, layer: Layer::Approval, statement: request.statement };
            refused(&denial, mismatched, &fields)
        }
        Verdict::Deny(denial) => {
            gateway.recorder.refused(&names, &trace, started, denial.reason.as_str());
            refused(&denial, mismatched, &fields)
        }
    }
}

/// The arguments to judge. A policy set judges calls by their arguments; without any there are none, which is `{}`.
fn arguments<'a>(question: &Question<'a>, space: Option<&Arc<SpaceView>>) -> Result<Option<Arguments<'a>>, String> {
    let scanned = question.arguments.map(|arguments| Arguments::scan(arguments.get())).transpose();
    let scanned = scanned.map_err(|error| format!("`arguments` is not acceptable JSON: {error}"))?;
    let judged = space.is_some_and(|space| space.policy_set.is_some() || space.holds.may_hold(&question.tool_id));
    Ok(scanned.or_else(|| if judged { Arguments::scan("{}").ok() } else { None }))
}

/// Whoever asks here also makes the call, and doesn't tell how it ended: there is no history to look back on, nobody knows what was read, and
/// what is only asked about uses no budget up.
fn outside(gateway: &Inner, state: &State, space: &str, facts: &mut Facts) {
    let view = state.snapshot.spaces.get(space);
    if let (Fact::Known(Identity::Authenticated(principal)), Some(view)) = (&facts.identity, view) {
        facts.budgets = gateway.budgeted(&state.snapshot.organization.budgets, &view.space.id, principal).0;
    }
    facts.policy_session.bindings = Fact::Unknown("rules that look back are for calls through the space's endpoint".to_owned());
    if view.is_some_and(|space| space.traces) {
        facts.provenance = Fact::Unknown("where values come from is known of calls through the space's endpoint".to_owned());
    }
}

fn names(agent: Option<&str>, space: &str, question: &Question<'_>, decision: &Decision) -> Names {
    Names {
        agent: agent.and_then(|agent| AgentId::new(agent).ok()),
        space: clip(space).into(),
        tool: clip(&question.tool_id).into(),
        server: decision.server.as_ref().map(|server| server.name.clone()),
        method: "authorize".into(),
        protocol: "",
        session: None,
    }
}

/// The answer to a question that is denied; `fields` is what every answer carries.
fn refused(denial: &Denial, mismatched: bool, fields: &str) -> Response<Body> {
    let (status, detail) = match denial.reason {
        Reason::Unauthenticated if mismatched => (StatusCode::FORBIDDEN, Reason::UnknownAgent.sentence()),
        Reason::Unauthenticated | Reason::Audience | Reason::Revoked => (StatusCode::UNAUTHORIZED, denial.reason.sentence()),
        Reason::CouldNotDecide => (StatusCode::SERVICE_UNAVAILABLE, denial.reason.sentence()),
        // The seed knows one word for both.
        Reason::ToolNotListed => (StatusCode::FORBIDDEN, Reason::ToolNotPermitted.sentence()),
        _ => (StatusCode::FORBIDDEN, denial.sentence()),
    };
    let body = format!(
        "{{\"approved\":false,\"detail\":{},\"reason\":{},\"statement\":{},{fields}}}",
        quote(detail),
        quote(denial.reason.as_str()),
        quote(&denial.statement)
    );
    let mut response = json_status(status, body);
    if status == StatusCode::UNAUTHORIZED {
        response.headers_mut().insert(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer error=\"invalid_token\""));
    }
    response
}

fn entry<'a>(
    question: &'a Question<'_>,
    decision: &'a Decision,
    (agent, space, source_ip): (Option<&'a str>, &'a str, Option<IpAddr>),
    snapshot: u64,
    arguments_commitment: Option<String>,
) -> DecisionEntry<'a> {
    let (verdict, reason) = decision.word();
    DecisionEntry {
        agent,
        user: None,
        credential_id: None,
        session: None,
        acted_as: decision.acted_as.as_ref(),
        source_ip,
        space: clip(space),
        server: decision.server.as_ref(),
        tool: Some(decision.tool.as_ref().map_or(clip(&question.tool_id), |tool| &tool.id)),
        method: "authorize",
        protocol: None,
        arguments_commitment,
        tool_digest: decision.tool.as_ref().map(|tool| tool.digest.as_str()),
        risk: decision.risk.map(Risk::as_str),
        class: decision.tool.as_ref().map(|tool| tool.class.as_str()),
        categories: decision.tool.as_ref().map(|tool| tool.categories.as_slice()).unwrap_or_default(),
        approval: None,
        verdict,
        reason: reason.map(Reason::as_str),
        layers: &decision.layers,
        policy_flip: decision.policy_flip.as_deref(),
        guardrails: decision.guarded.as_deref(),
        policy_session: None,
        labels: None,
        provenance: Vec::new(),
        requested: None,
        request: None,
        history: None,
        facts_digest: None,
        snapshot,
    }
}

fn shared(decision: &Decision, decision_id: &str, index: Option<u64>) -> String {
    let layers = serde_json::to_string(&decision.layers).unwrap_or_else(|_| "[]".to_owned());
    let risk = decision.risk.map(|risk| format!(",\"risk\":\"{risk}\"")).unwrap_or_default();
    let index = index.map(|index| format!(",\"journal_index\":{index}")).unwrap_or_default();
    format!("\"decision_id\":{}{index}{risk},\"layers\":{layers}", quote(decision_id))
}

fn invalid(fault: &str) -> Response<Body> {
    json_status(StatusCode::BAD_REQUEST, format!("{{\"approved\":false,\"detail\":{}}}", quote(fault)))
}
