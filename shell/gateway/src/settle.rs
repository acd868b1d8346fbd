//! Decide and record in one step: a decision has its place in the journal's order, and in its history's, before anything else happens.

use std::sync::Arc;

use http::{HeaderMap, HeaderName};
use remit_cedar::PolicySet;
use remit_journal::Append;
use remit_kernel::{Call, Decision, Fact, Facts, PolicyCaller, Reason, ToolView, decide};
use remit_mcp::{Era, ErrorCode, Message, RpcError};

use crate::agree;
use crate::call::{Asked, AskedKind};
use crate::caller::{Caller, Client};
use crate::history::{self, Called, Watched};
use crate::kept::Sealed;
use crate::record::{DecisionEntry, Trace, Unrecorded, clip};
use crate::space_key::Committed;

/// As AgentCore Gateway names it.
pub(crate) const POLICY_SESSION_ID: HeaderName = HeaderName::from_static("x-amzn-bedrock-agentcore-policy-session-id");

/// How often another approval is looked for when somebody else used one up meanwhile.
const REDEEM_TRIES_MAX: usize = 3;

/// The policy session: the one that the caller names, as AgentCore's clients do; else its MCP session; else its credential.
pub(crate) fn policy_session(headers: &HeaderMap, caller: &Caller) -> Result<Arc<str>, RpcError> {
    if caller.space.policy_set.is_none() && !caller.space.traces {
        return Ok("".into());
    }
    if let Some(named) = headers.get(&POLICY_SESSION_ID) {
        let named = named.to_str().unwrap_or_default();
        let fits = (1..=128).contains(&named.len()) && named.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-');
        return if fits {
            Ok(named.into())
        } else {
            let what = format!("`{POLICY_SESSION_ID}` is 1 to 128 letters, digits and hyphens");
            Err(RpcError::new(ErrorCode::InvalidRequest, what))
        };
    }
    Ok(match &caller.client {
        Client::Legacy(session) => Arc::clone(&session.short_id),
        Client::Modern(_) => caller.principal.credential_id.as_str().into(),
    })
}

/// Decides, and enqueues the decision for the journal. Where temporal conditions read the tool, both happen under the lock of the
/// space's history, with the call in it: two calls at once can't both pass a limit that admits one.
pub(crate) fn settle(
    headers: &HeaderMap,
    caller: &mut Caller,
    asked: &Asked,
    message: &Message,
    facts: &mut Facts,
    stamp: &Stamp<'_>,
) -> Result<Settled, RpcError> {
    let space_id = caller.space.space.id.clone();
    let histories = Arc::clone(&caller.gateway.histories);
    let shared = looks_back(caller, asked).map(|_| histories.of(space_id.as_str()));
    let mut history = shared.as_deref().map(history::locked);
    let (mut taken, mut missed) = (None, None);
    if let Some(history) = &mut history {
        // Histories go with configurations in their order: under the lock nobody has an older one than who was here before.
        caller.refresh();
        if let Some((set, tool)) = looks_back(caller, asked) {
            let found = take(caller, &set, &tool, message, &facts.policy_session.id, stamp);
            facts.policy_session.bindings = match found.map(|(call, sealed)| (history.request(&set, &call), call, sealed)) {
                Ok((Ok(bindings), call, sealed)) => {
                    taken = Some((call, sealed));
                    Fact::Known(Some(Arc::new(bindings)))
                }
                Ok((Err(why), call, sealed)) => {
                    missed = Some((set, call, sealed, why.clone()));
                    Fact::Unknown(why)
                }
                Err(why) => Fact::Unknown(why),
            };
        }
    }
    let call = Call { space: space_id.as_str(), target: asked.target(message), risk_requested: None, explain: false };
    let contradiction = match (caller.space.tools.get(&asked.name), caller.era(), asked.kind) {
        (Some(tool), Era::Modern, AskedKind::Call) => agree::params(headers, tool, message).err(),
        _ => None,
    };
    let decision = decided(caller, asked, facts, &call, stamp, contradiction.is_none());
    let contradiction = contradiction.filter(|_| decision.allows());
    let (known, mut sealed) = taken.map_or((None, None), |(call, sealed)| (Some(call), sealed));
    // A set that is only logged lets a call go on that its history could not take in: history and journal know that it is missing.
    if let (Some(history), Some((set, call, own, why)), true) = (&mut history, missed, decision.allows()) {
        history.missed(&set, &call, &why);
        sealed = own;
    }
    let recorded = match contradiction {
        None => {
            let kept = caller.gateway.keep(&caller.state, facts, &call, stamp.decision_id, stamp.at_ms);
            Ok(enqueue(caller, asked, message, &decision, facts, sealed, kept, stamp))
        }
        Some(error) => Err(error),
    };
    let goes_on = decision.allows() && matches!(recorded, Ok(Ok(_)));
    if let (Some(history), Some(call), false) = (&mut history, &known, goes_on) {
        history.failed(call, stamp.at_ms);
    }
    drop(history);
    let watched = known.filter(|_| goes_on);
    let watched = watched.map(|called| Watched { histories, space: space_id.as_str().into(), called });
    Ok(Settled { decision, recorded: recorded?, watched })
}

/// Decides. Where rules ask for people, with the approvals that the caller has; one that lets the call through is used up before anything
/// else happens. `goes` says whether a call that is allowed will be sent.
fn decided(caller: &Caller, asked: &Asked, facts: &mut Facts, call: &Call<'_>, stamp: &Stamp<'_>, goes: bool) -> Decision {
    let (snapshot, now_secs) = (&caller.state.snapshot, stamp.at_ms / 1000);
    let tool = caller.space.tools.get(&asked.name).filter(|_| matches!(asked.kind, AskedKind::Call));
    let Some(tool) = tool.filter(|tool| caller.space.holds.may_hold(tool.exposed.as_str())) else {
        return decide(snapshot, facts, call, now_secs);
    };
    let book = &caller.gateway.approvals;
    let principal = PolicyCaller::of(&snapshot.organization, &caller.principal).principal;
    for _ in 0..REDEEM_TRIES_MAX {
        facts.approvals = Fact::Known(book.usable(call.space, &principal, &tool.id));
        let decision = decide(snapshot, facts, call, now_secs);
        let Some(approval) = decision.approval.as_ref().filter(|_| goes) else { return decision };
        match book.redeem(&approval.id, stamp.decision_id) {
            Ok(true) => return decision,
            // Somebody was faster: perhaps there is another one.
            Ok(false) => {}
            Err(why) => {
                facts.approvals = Fact::Unknown(why);
                return decide(snapshot, facts, call, now_secs);
            }
        }
    }
    facts.approvals = Fact::Unknown("others use them up faster".to_owned());
    decide(snapshot, facts, call, now_secs)
}

#[allow(clippy::too_many_arguments, reason = "each is one part of the entry")]
fn enqueue(
    caller: &Caller,
    asked: &Asked,
    message: &Message,
    decision: &Decision,
    facts: &Facts,
    history: Option<String>,
    kept: Option<Sealed>,
    stamp: &Stamp<'_>,
) -> Result<Append, Unrecorded> {
    let (verdict, reason) = decision.word();
    let session = match &caller.client {
        // A session's id is a capability of its holder: the record names it without giving it away.
        Client::Legacy(session) => Some(&*session.short_id),
        Client::Modern(_) => None,
    };
    let tool = decision.tool.as_ref();
    let origin = facts.known_origin();
    let recorder = &caller.gateway.recorder;
    let arguments = message.param("arguments").map(str::as_bytes);
    let (snapshot, space) = (&caller.state.snapshot, caller.space.space.id.as_str());
    let entry = DecisionEntry {
        agent: Some(caller.principal.agent.as_str()),
        user: caller.principal.user.as_deref(),
        credential_id: Some(&caller.principal.credential_id),
        session,
        acted_as: decision.acted_as.as_ref(),
        source_ip: facts.source_ip(),
        space: caller.space.space.id.as_str(),
        server: decision.server.as_ref(),
        tool: Some(tool.map_or(clip(&asked.name), |tool| &tool.id)),
        method: message.method(),
        protocol: Some(caller.version().as_str()),
        arguments_commitment: recorder.committed(snapshot, space, Committed::Arguments, stamp.decision_id, arguments)?,
        tool_digest: tool.map(|tool| tool.digest.as_str()),
        risk: decision.risk.map(remit_model::Risk::as_str),
        class: tool.map(|tool| tool.class.as_str()),
        categories: tool.map(|tool| tool.categories.as_slice()).unwrap_or_default(),
        approval: decision.approval.as_ref().map(|approval| approval.id.as_str()),
        verdict,
        reason: reason.map(Reason::as_str),
        layers: &decision.layers,
        policy_flip: decision.policy_flip.as_deref(),
        guardrails: decision.guarded.as_deref(),
        policy_session: (history.is_some() || origin.is_some()).then_some(&*facts.policy_session.id),
        labels: origin.map(|origin| origin.labels),
        provenance: origin.map(|origin| crate::record::origins(&origin.values)).unwrap_or_default(),
        requested: origin.map(|origin| origin.requested),
        request: origin.and_then(|origin| origin.request),
        history,
        facts_digest: None,
        snapshot: caller.state.snapshot.version,
    };
    recorder.enqueue(stamp.decision_id, stamp.trace, stamp.at_ms, entry, kept)
}

/// What tells one decision from all others.
pub(crate) struct Stamp<'a> {
    pub(crate) decision_id: &'a str,
    pub(crate) trace: &'a Trace,
    pub(crate) at_ms: u64,
}

/// A decision that has its place in the journal's order.
pub(crate) struct Settled {
    pub(crate) decision: Decision,
    pub(crate) recorded: Result<Append, Unrecorded>,
    /// What waits for the outcome.
    pub(crate) watched: Option<Watched>,
}

/// The set and the tool, if temporal conditions read the tool or decide about it.
fn looks_back(caller: &Caller, asked: &Asked) -> Option<(Arc<PolicySet>, Arc<ToolView>)> {
    let set = caller.space.policy_set.as_ref().filter(|_| matches!(asked.kind, AskedKind::Call))?;
    let tool = caller.space.tools.get(&asked.name)?;
    (set.needs_history(&tool.id) || set.watches(&tool.id)).then(|| (Arc::clone(set), Arc::clone(tool)))
}

/// The call as its history knows it, and sealed for the journal where something looks back on it.
fn take(
    caller: &Caller,
    set: &PolicySet,
    tool: &ToolView,
    message: &Message,
    session: &str,
    stamp: &Stamp<'_>,
) -> Result<(Called, Option<String>), String> {
    let arguments: Option<serde_json::Value> = serde_json::from_str(message.param("arguments").unwrap_or("{}")).ok();
    let who = PolicyCaller::of(&caller.state.snapshot.organization, &caller.principal);
    let input = arguments.map(|arguments| set.visible_input(&tool.id, &arguments));
    let call = Called::new(who, session, &tool.id, stamp.decision_id, stamp.at_ms, input);
    if !set.watches(&tool.id) {
        return Ok((call, None));
    }
    let sealed = caller.gateway.histories.seal(&call, caller.space.space.id.as_str(), stamp.decision_id);
    sealed.map(|sealed| (call, Some(sealed))).ok_or_else(|| "the call can't be sealed for the journal".to_owned())
}
