//! A call that waits for people.
//!
//! How its client learns of it depends on what it declared: a person is sent to the approval's page where the client can open one (URL
//! elicitation), a call of 2026-07-28 then ends with `input_required` and comes back; a client that knows tasks gets one
//! ([`held_task`](crate::held_task)); else the call is kept open for a time. Whoever waits
//! longer is told to call again with the same arguments: a call that was approved goes through without asking twice.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use http::header::CONTENT_TYPE;
use http::{Response, StatusCode};
use http_body_util::BodyExt as _;
use remit_kernel::approval::{Before, arguments_digest};
use remit_kernel::verdict::ApprovalRequest;
use remit_kernel::{Approval, ApprovalState, CallAsked, Principal, ToolView};
use remit_mcp::canonical::hex;
use remit_mcp::json::{Limits, quote};
use remit_mcp::splice::Splice;
use remit_mcp::{Era, ErrorCode, Message, RpcError, Version};
use serde_json::{Value, json};

use crate::approval::ApprovalError;
use crate::asked::declares_tasks;
use crate::body::{Body, EventLog};
use crate::call::{Arrival, Caller, Client};
use crate::clock::{now_ms, rfc3339};
use crate::held_task;
use crate::relay::{gave_up, what};
use crate::reply::{answer_rpc, events, json_status};
use crate::seal::{Bound, State};
use crate::space_key::Committed;

/// Where a caller says what it asks an approval for, and where it is told of one.
const META: &str = "remit/approval";
/// The most values to which a pattern is bound.
const PINS_MAX: usize = 64;
/// The largest event that is passed on, in bytes.
const EVENT_BYTES_MAX: usize = 64 * 1024 * 1024;

/// A held call.
pub(crate) struct Held {
    pub(crate) request: ApprovalRequest,
    pub(crate) tool: Arc<ToolView>,
    pub(crate) risk: remit_model::Risk,
    pub(crate) decision_id: String,
    pub(crate) at_ms: u64,
    /// Whether its client has come back to wait on.
    pub(crate) again: bool,
}

/// Whether a client of 2026-07-28 has come back with what it was given for a held call: then the request is the call without it.
pub(crate) fn resumed(caller: &Caller, message: Message) -> Result<(Message, bool), RpcError> {
    if caller.era() == Era::Legacy || message.method() != "tools/call" || message.param_span("requestState").is_none() {
        return Ok((message, false));
    }
    let Some(text) = message.param_str("requestState") else { return Ok((message, false)) };
    let (who, what) = (owner(caller), what(&message));
    let bound = Bound { who: &who, what: &what };
    if !matches!(caller.gateway.seal.open(&text, bound, now_ms() / 1000), Ok(State::Approval)) {
        return Ok((message, false));
    }
    let unfit = || RpcError::new(ErrorCode::InvalidParams, "`params` can't be read");
    let kept: Vec<String> = message
        .param_fields()
        .iter()
        .filter(|field| !matches!(&*message.key(field), "requestState" | "inputResponses"))
        .map(|field| format!("{}:{}", message.text(&field.key), message.text(&field.value)))
        .collect();
    let mut splice = Splice::new();
    splice.replace(message.params_span().ok_or_else(unfit)?, format!("{{{}}}", kept.join(",")));
    let body = splice.apply(message.body(), message.root());
    Ok((Message::parse(body.into(), Limits::default()).map_err(|_| unfit())?, true))
}

fn owner(caller: &Caller) -> String {
    format!("{}\napproval\n{}", caller.space.space.id, caller.who)
}

/// Asks for the approval, and answers the client as it can be answered.
pub(crate) async fn hold(arrival: &Arrival, caller: Caller, message: Message, held: Held) -> Response<Body> {
    let (era, id) = (caller.era(), message.id().unwrap_or("null").to_owned());
    let approval = match ask(&caller, &message, &held).await {
        Ok(approval) => approval,
        Err(error) => return answer_rpc(era, &id, &error),
    };
    let opens = opens_pages(caller.capabilities());
    if let (Client::Modern(_), true, false) = (&caller.client, opens, held.again)
        && let Some(answer) = input_required(&caller, &message, &approval)
    {
        return json_status(StatusCode::OK, remit_mcp::error::result_answer(&id, &answer));
    }
    let is_task = match &caller.client {
        Client::Modern(_) => !opens && declares_tasks(caller.capabilities()),
        Client::Legacy(session) => held_task::is_asked(session, &message),
    };
    if is_task {
        return json_status(
            StatusCode::OK,
            remit_mcp::error::result_answer(&id, &held_task::created(era, &approval).to_string()),
        );
    }
    let log = match &caller.client {
        Client::Legacy(session) => session.stream(),
        Client::Modern(_) => EventLog::new(None),
    };
    let response = events(&log, None);
    let wait = Duration::from_secs(held.request.wait_secs());
    let waiting = Waiting { arrival: arrival.clone(), caller, message, approval, opens, log };
    // It goes on though its connection is lost: a session's client may take the stream up again.
    tokio::spawn(waiting.run(wait));
    response
}

/// Puts the call into the book, or finds it there.
async fn ask(caller: &Caller, message: &Message, held: &Held) -> Result<Arc<Approval>, RpcError> {
    let arguments = message.param("arguments").unwrap_or("{}");
    let call = CallAsked {
        space: caller.space.space.id.as_str(),
        principal: &held.request.principal,
        tool: &held.tool.id,
        tool_digest: &held.tool.digest,
        arguments,
    };
    let pattern = pattern(message, &held.request)?;
    let organization = &caller.state.snapshot.organization;
    let owner = organization.agents.get(&caller.principal.agent).map(|agent| agent.owner.clone()).unwrap_or_default();
    let mut led_to = caller.gateway.approvals.led_to(&caller.space.space.id.shared(), &caller.who);
    led_to.retain(|before| before.decision != held.decision_id);
    let asked_at_secs = held.at_ms / 1000;
    let key = caller.gateway.recorder.keys().of(caller.space.space.id.as_str());
    let key = key.map_err(|error| RpcError::new(ErrorCode::Internal, error.to_string()))?;
    let arguments_salt = hex(&key.salt(Committed::Arguments, &held.decision_id));
    let make = |id: String| Approval {
        id,
        state: ApprovalState::Pending,
        decision: held.decision_id.clone(),
        asked_at_secs,
        expires_at_secs: asked_at_secs.saturating_add(held.request.pending_secs()),
        agent: caller.principal.agent.as_str().to_owned(),
        owner,
        user: caller.principal.user.clone(),
        requesters: requesters(&caller.principal),
        principal: held.request.principal.clone(),
        space: caller.space.space.id.as_str().to_owned(),
        server: held.tool.server.to_string(),
        tool: held.tool.id.to_string(),
        tool_digest: held.tool.digest.clone(),
        class: held.tool.class,
        risk: held.risk,
        categories: held.tool.categories.clone(),
        arguments: arguments.to_owned(),
        arguments_digest: arguments_digest(&arguments_salt, arguments),
        arguments_salt,
        origin: caller.provenance.known().and_then(|origin| origin.as_deref().cloned()),
        pattern,
        rules: held.request.rules.clone(),
        led_to,
        votes: Vec::new(),
        grant: None,
        redeemed_by: Vec::new(),
        ended: None,
        review: None,
        escalated: 0,
    };
    caller.gateway.approvals.ask(&call, make).await.map_err(|error| {
        let code = if matches!(error, ApprovalError::Busy(_)) { ErrorCode::Denied } else { ErrorCode::Internal };
        RpcError::new(code, format!("the call needs an approval, and none could be asked for: {error}"))
    })
}

/// Names under which whoever asks may be known where people sign in.
fn requesters(principal: &Principal) -> Vec<String> {
    let claims = ["sub", "email", "preferred_username", "upn"].into_iter().filter_map(|name| principal.claims.get(name));
    let session = principal.session.as_ref();
    let session = session.into_iter().flat_map(|session| session.source_identity.iter().chain(&session.user));
    let mut names: Vec<String> = claims.chain(session).cloned().collect();
    names.sort();
    names.dedup();
    names
}

/// The values to which the caller wants the approval bound, where it asks for more than this call.
fn pattern(message: &Message, request: &ApprovalRequest) -> Result<Option<BTreeMap<String, Value>>, RpcError> {
    let Some(text) = message.inner("_meta", META) else { return Ok(None) };
    let invalid = |what: &str| RpcError::new(ErrorCode::InvalidParams, format!("`_meta[\"{META}\"]`: {what}"));
    #[derive(serde::Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Wish {
        pattern: Vec<String>,
    }
    let wish: Wish = serde_json::from_str(text).map_err(|_| invalid("is `{\"pattern\": [JSON pointers]}`"))?;
    if request.rules.iter().any(|rule| rule.ask.grant_secs_max.is_none()) {
        return Err(invalid("the rules that hold this call let people agree to one call alone, not to a pattern"));
    }
    if wish.pattern.len() > PINS_MAX {
        return Err(invalid("a pattern is bound to at most 64 values"));
    }
    let arguments: Value = serde_json::from_str(message.param("arguments").unwrap_or("{}")).unwrap_or_default();
    let pin = |pointer: String| match arguments.pointer(&pointer) {
        Some(value) => Ok((pointer, value.clone())),
        None => Err(invalid("a pointer leads to nothing in the arguments")),
    };
    wish.pattern.into_iter().map(pin).collect::<Result<BTreeMap<_, _>, _>>().map(Some)
}

/// Whether a client can send its person to a page (2025-11-25, elicitation, "URL mode").
fn opens_pages(capabilities: &str) -> bool {
    let all: Value = serde_json::from_str(capabilities).unwrap_or_default();
    all.pointer("/elicitation/url").is_some_and(Value::is_object)
}

/// What a person is asked to open.
fn elicitation(caller: &Caller, approval: &Approval) -> Value {
    let rules: Vec<&str> = approval.rules.iter().map(|rule| rule.id.as_str()).collect();
    let message = format!(
        "{} wants to call {} and needs a person's approval ({}). Open the page to see the call, and who may approve it.",
        approval.agent,
        approval.tool,
        rules.join(", ")
    );
    json!({ "mode": "url", "message": message, "url": caller.gateway.approval_page(&approval.id), "elicitationId": approval.id })
}

fn input_required(caller: &Caller, message: &Message, approval: &Approval) -> Option<String> {
    let (who, what) = (owner(caller), what(message));
    let bound = Bound { who: &who, what: &what };
    let state = caller.gateway.seal.seal(State::Approval, bound, now_ms() / 1000)?;
    let asked = json!({ "approval": { "method": "elicitation/create", "params": elicitation(caller, approval) } });
    Some(format!(
        "{{\"resultType\":\"input_required\",\"inputRequests\":{asked},\"requestState\":{},\"_meta\":{{{}:{}}}}}",
        quote(&state),
        quote(META),
        told(caller, approval)
    ))
}

/// What a client is told of an approval.
fn told(caller: &Caller, approval: &Approval) -> Value {
    let mut told = json!({
        "id": approval.id, "state": approval.state.as_str(), "url": caller.gateway.approval_page(&approval.id),
        "expires_at": rfc3339(approval.expires_at_secs.saturating_mul(1000)),
        "rules": approval.rules.iter().map(|rule| &rule.id).collect::<Vec<_>>(),
    });
    // A client whose word isn't taken can sign again.
    let origin = caller.provenance.known().and_then(Option::as_deref);
    let standing = origin.and_then(|origin| origin.request).filter(|standing| standing.doubt().is_some());
    if let (Some(standing), Some(told)) = (standing, told.as_object_mut()) {
        told.insert("request".to_owned(), json!(standing));
    }
    told
}

/// A call that is kept open.
struct Waiting {
    arrival: Arrival,
    caller: Caller,
    message: Message,
    approval: Arc<Approval>,
    opens: bool,
    log: Arc<EventLog>,
}

impl Waiting {
    async fn run(mut self, wait: Duration) {
        let id = self.message.id().unwrap_or("null").to_owned();
        let cancel = match &self.caller.client {
            Client::Modern(_) => None,
            Client::Legacy(session) => {
                if session.version >= Version::V20251125 {
                    self.log.send(Some(1000), b"").await;
                }
                let Some(cancel) = session.call(&id) else {
                    let error = RpcError::new(ErrorCode::InvalidRequest, "a request with this id is under way in the session");
                    self.log.send(None, &error.answer(&id)).await;
                    return self.log.close();
                };
                Some(cancel)
            }
        };
        self.send_to_page();
        let book = Arc::clone(&self.arrival.gateway);
        let decided = tokio::select! {
            biased;
            // What was asked for goes on waiting: the client may call again.
            () = gave_up(cancel.as_ref(), &self.caller.client, &self.log) => return self.log.close(),
            decided = book.approvals.decided(&self.approval.id, wait) => decided,
        };
        drop(cancel);
        match decided {
            Some(approval) if approval.state == ApprovalState::Approved => {
                self.arrival.refresh().await;
                self.caller.refresh();
                let response = self.arrival.clone().target_again(self.caller, self.message).await;
                forward(response, &self.log).await;
            }
            Some(approval) => {
                let result = self.waits_on(&approval);
                self.log.send(None, &remit_mcp::error::result_answer(&id, &result)).await;
            }
            None => {
                let error = RpcError::new(ErrorCode::Internal, "the approval can't be looked up");
                self.log.send(None, &error.answer(&id)).await;
            }
        }
        self.log.close();
    }

    /// Sends the client's person to the approval's page, where the client can.
    fn send_to_page(&self) {
        let Client::Legacy(session) = &self.caller.client else { return };
        if !self.opens || session.version < Version::V20251125 {
            return;
        }
        let (session, log) = (Arc::clone(session), Arc::clone(&self.log));
        let params = elicitation(&self.caller, &self.approval).to_string();
        tokio::spawn(async move {
            let _ = session.ask(&log, "elicitation/create", Some(&params)).await;
        });
    }

    /// A result that says how it stands, and how to go on.
    fn waits_on(&self, approval: &Approval) -> String {
        let id = &approval.id;
        let why = approval.ended.as_ref().map(|ended| format!(": {}", ended.reason)).unwrap_or_default();
        let text = match approval.state {
            ApprovalState::Rejected => {
                let by = approval.ended.as_ref().map_or("a person", |ended| ended.by.as_str());
                format!("{by} rejected this call ({id}){why}. Don't try it again unless that has changed.")
            }
            ApprovalState::Pending => format!(
                "This call waits for a person's approval ({id}), which has been asked for. Go on with something else; once it is approved, call \
                 again with the same arguments, and it goes through. It can be approved until {}.",
                rfc3339(approval.expires_at_secs.saturating_mul(1000))
            ),
            _ => format!(
                "This call needs a person's approval, and the one that was asked for ({id}) is no more{why}. Call again to ask anew."
            ),
        };
        let result_type = if self.caller.era() == Era::Modern { "\"resultType\":\"complete\"," } else { "" };
        format!(
            "{{{result_type}\"isError\":true,\"content\":[{{\"type\":\"text\",\"text\":{}}}],\"_meta\":{{{}:{}}}}}",
            quote(&text),
            quote(META),
            told(&self.caller, approval)
        )
    }
}

/// Passes a response on into a stream that is open already.
async fn forward(response: Response<Body>, log: &Arc<EventLog>) {
    let events = response.headers().get(CONTENT_TYPE).is_some_and(|kind| kind.as_bytes().starts_with(b"text/event-stream"));
    let mut body = response.into_body();
    if !events {
        let Ok(whole) = body.collect().await;
        return log.send(None, &whole.to_bytes()).await;
    }
    let mut parser = remit_mcp::sse::Parser::new(EVENT_BYTES_MAX);
    while let Some(Ok(frame)) = body.frame().await {
        let mut parsed = Vec::new();
        let Some(data) = frame.data_ref() else { continue };
        if parser.feed(data, &mut parsed).is_err() {
            return;
        }
        for event in parsed.into_iter().filter(|event| !event.data.is_empty()) {
            log.send(None, &event.data).await;
        }
    }
}

/// A call as it is told to whoever is asked about a later one.
pub(crate) fn before(decision_id: &str, at_ms: u64, tool: &str, verdict: &str) -> Before {
    Before { decision: decision_id.to_owned(), at_ms, tool: tool.to_owned(), verdict: verdict.to_owned() }
}
