//! The life of a request.
//!
//! ```text
//! receive ─► authenticate ─► read ─► era ─► [ gather ─► decide ─► record ─► enforce ─► record ─► ] reply
//!  edge.rs    authenticate    message  below     quota      kernel    journal   relay.rs   journal
//! ```
//!
//! What has a target (a tool, a prompt, a resource, a task) takes the whole road. What has none (opening a session, listing, pinging)
//! is answered here once the caller may enter the space, and never reaches a server on the caller's behalf.

use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;
use http::header::{ALLOW, CONTENT_TYPE, WWW_AUTHENTICATE};
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, Response, StatusCode};
use hyper::body::Incoming;
use remit_identity::access::class_scopes;
use remit_identity::challenge;
use remit_kernel::verdict::LayerLine;
use remit_kernel::{
    Call, Decision, Denial, Fact, Facts, Identity, Origin, Permit, PolicySession, Principal, Reason, Target, Verdict, enter,
};
use remit_mcp::json::{Limits, quote};
use remit_mcp::version::meta;
use remit_mcp::{Era, ErrorCode, Kind, Message, MessageError, RpcError, Version};

pub(crate) use crate::asked::{Asked, AskedKind};
use crate::body::Body;
pub(crate) use crate::caller::{Caller, Client, ModernClient};
use crate::detach::detached;
use crate::held_task;
use crate::history::Watched;
use crate::hold::{self, Held as HeldCall, hold};
use crate::quota::Place;
use crate::record::{DecisionEntry, Names, Pending, Trace, Unrecorded, clip, fresh_id, method_name};
use crate::relay::{Held, Relay};
use crate::reply::{
    answer_rpc, denial_error, empty, events, events_while, json_status, last_message, read, refusal, unavailable, unreadable,
};
use crate::session::Opening;
use crate::settle::{self, Settled, Stamp, settle};
use crate::signed::Signed;
use crate::{Inner, State, agree, guard, list, listen};

/// How much a client may say of itself, in bytes: a session keeps it.
const CLIENT_BYTES_MAX: usize = 16 * 1024;
/// How many messages one batch of 2025-03-26 may hold.
const BATCH_MAX: usize = 32;
/// The largest body of a caller that nobody knows, in bytes: enough for a record of what was tried.
pub(crate) const STRANGER_BYTES_MAX: usize = 64 * 1024;

pub(crate) const SESSION_ID: HeaderName = HeaderName::from_static("mcp-session-id");
const PROTOCOL_VERSION: HeaderName = HeaderName::from_static("mcp-protocol-version");
const LAST_EVENT_ID: HeaderName = HeaderName::from_static("last-event-id");
const TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");

/// A request that came in, before anybody looked at its body.
#[derive(Clone)]
pub(crate) struct Arrival {
    pub(crate) gateway: Arc<Inner>,
    state: Arc<State>,
    space_id: String,
    facts: Facts,
    token_shown: bool,
    /// What a signed request is verified with, once its body is there.
    signed: Option<Signed>,
    pub(crate) headers: HeaderMap,
    started: Instant,
}

/// Answers one request to a space's endpoint.
pub(crate) async fn serve(gateway: &Arc<Inner>, space_id: &str, request: Request<Incoming>, origin: Origin) -> Response<Body> {
    let started = Instant::now();
    let (parts, body) = request.into_parts();
    let state = gateway.state.load_full();
    let audience = gateway.space_address(space_id);
    let authorization = parts.headers.get(http::header::AUTHORIZATION).map(|value| value.to_str().unwrap_or("?"));
    let signed =
        authorization.filter(|_| gateway.anonymous_agent.is_none()).and_then(|value| Signed::of(value, &parts, &audience));
    let identity = match &signed {
        // Verified as soon as the body is there; until then nobody's.
        Some(signed) => signed.verify(gateway, &parts.headers, None),
        None => gateway.authenticate(authorization, &audience).await,
    };
    let arrival = Arrival {
        gateway: Arc::clone(gateway),
        state,
        space_id: space_id.to_owned(),
        facts: gateway.facts(identity, audience, origin),
        token_shown: authorization.is_some(),
        signed,
        headers: parts.headers,
        started,
    };
    match parts.method {
        Method::POST => arrival.post(body).await,
        Method::GET => arrival.get().await,
        Method::DELETE => arrival.delete().await,
        _ => {
            let mut response = json_status(
                StatusCode::METHOD_NOT_ALLOWED,
                RpcError::new(ErrorCode::InvalidRequest, "POST, GET or DELETE").answer("null"),
            );
            response.headers_mut().insert(ALLOW, HeaderValue::from_static("POST, GET, DELETE"));
            response
        }
    }
}

impl Arrival {
    fn known(&self) -> bool {
        matches!(self.facts.identity, Fact::Known(Identity::Authenticated(_)))
    }

    /// Looks again at what may have changed since the request began. Who was proven under another configuration is proven anew.
    pub(crate) async fn refresh(&mut self) {
        let before = std::mem::replace(&mut self.state, self.gateway.state.load_full());
        self.facts.revocations = Fact::Known(self.gateway.revocations.load_full());
        let same = Arc::ptr_eq(&before.snapshot.organization, &self.state.snapshot.organization);
        if !same && self.signed.is_none() {
            let authorization = self.headers.get(http::header::AUTHORIZATION).map(|value| value.to_str().unwrap_or("?"));
            self.facts.identity = self.gateway.authenticate(authorization, &self.facts.audience).await;
        }
    }

    fn header(&self, name: &HeaderName) -> Option<&str> {
        self.headers.get(name).and_then(|value| value.to_str().ok())
    }

    async fn post(mut self, body: Incoming) -> Response<Body> {
        let json = self.headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
        if !json.split(';').next().unwrap_or_default().trim().eq_ignore_ascii_case("application/json") {
            let error = RpcError::new(ErrorCode::InvalidRequest, "`Content-Type` must be application/json");
            return json_status(StatusCode::UNSUPPORTED_MEDIA_TYPE, error.answer("null"));
        }
        let has_key = self.signed.as_ref().is_some_and(|signed| signed.has_key(&self.gateway, &self.headers));
        let bytes_max = if self.known() || has_key { self.gateway.limits.body_bytes_max } else { STRANGER_BYTES_MAX };
        let body = match read(body, bytes_max, self.gateway.limits.body_timeout).await {
            Ok(body) => body,
            Err(refused) => return refused,
        };
        // A body may be long in coming: what was revoked or changed meanwhile holds for it.
        self.refresh().await;
        if let Some(signed) = &self.signed {
            self.facts.identity = signed.verify(&self.gateway, &self.headers, Some(&body));
        }
        if let Some(batch) = remit_mcp::message::batch(&body, BATCH_MAX, Limits::default()) {
            return Box::pin(self.batch(batch)).await;
        }
        let message = match Message::parse(body, Limits::default()) {
            Ok(message) => message,
            Err(error) => return unreadable(&error),
        };
        self.message(message).await
    }

    /// A batch (2025-03-26 only): its requests are answered together, in order.
    async fn batch(mut self, batch: Result<Vec<Message>, MessageError>) -> Response<Body> {
        let messages = match batch {
            Ok(messages) => messages,
            Err(error) => return unreadable(&error),
        };
        let caller = match self.enter("batch").await {
            Ok(principal) => self.session(principal),
            Err(refused) => return *refused,
        };
        match caller {
            Ok(caller) if caller.version() == Version::V20250326 => {}
            Ok(_) => {
                let error = RpcError::new(ErrorCode::InvalidRequest, "batches were removed from the protocol in 2025-06-18");
                return json_status(StatusCode::BAD_REQUEST, error.answer("null"));
            }
            Err(refused) => return *refused,
        }
        let mut answers: Vec<Bytes> = Vec::new();
        for message in messages {
            let is_request = message.kind() == Kind::Request;
            // Each is a call of its own: the ones before it may have taken long.
            self.refresh().await;
            let caller = match self.enter("batch").await {
                Ok(principal) => self.session(principal),
                Err(refused) => Err(refused),
            };
            let response = match caller {
                Ok(caller) => self.legacy(caller, message).await,
                Err(refused) => *refused,
            };
            if !is_request {
                continue;
            }
            answers.extend(last_message(response).await);
        }
        if answers.is_empty() {
            return empty(StatusCode::ACCEPTED);
        }
        let all: Vec<&str> = answers.iter().filter_map(|answer| std::str::from_utf8(answer).ok()).collect();
        json_status(StatusCode::OK, format!("[{}]", all.join(",")).into_bytes())
    }

    /// Finds the era (2026-07-28, "Backward compatibility"): what a request says of itself decides, not what it asks for.
    async fn message(self, message: Message) -> Response<Body> {
        let header = self.header(&PROTOCOL_VERSION).map(str::to_owned);
        let said = message.inner_str("_meta", meta::PROTOCOL_VERSION).map(std::borrow::Cow::into_owned);
        let legacy_header = header.as_deref().and_then(Version::parse).is_some_and(|version| version.era() == Era::Legacy);
        let in_session = self.headers.contains_key(SESSION_ID);
        let opens = message.kind() == Kind::Request && message.method() == "initialize";
        let modern = said.is_some() || header.as_deref() == Some(Version::V20260728.as_str());
        if modern && !(in_session && legacy_header) {
            return self.modern(message, header.as_deref(), said.as_deref()).await;
        }
        if let Some(header) = header.as_deref().filter(|header| Version::parse(header).is_none() && *header != "2024-11-05") {
            return unsupported_version(message.id().unwrap_or("null"), header);
        }
        if opens && !in_session {
            return Box::pin(self.initialize(&message)).await;
        }
        let principal = match self.enter_for(&message).await {
            Ok(principal) => principal,
            Err(refused) => return *refused,
        };
        match self.session(principal) {
            Ok(caller) => self.legacy(caller, message).await,
            Err(refused) => *refused,
        }
    }

    /// The caller in the session that the request names.
    fn session(&self, principal: Arc<Principal>) -> Result<Caller, Box<Response<Body>>> {
        let who = who(&principal);
        let Some(id) = self.header(&SESSION_ID) else {
            let error = RpcError::new(
                ErrorCode::InvalidRequest,
                "`Mcp-Session-Id` is missing: open a session with `initialize`, or speak 2026-07-28",
            );
            return Err(Box::new(json_status(StatusCode::BAD_REQUEST, error.answer("null"))));
        };
        let Some(session) = self.gateway.sessions.get(id, &who, &self.space_id) else {
            let error = RpcError::new(ErrorCode::InvalidRequest, "no such session");
            return Err(Box::new(json_status(StatusCode::NOT_FOUND, error.answer("null"))));
        };
        self.caller(principal, Client::Legacy(session))
    }

    fn caller(&self, principal: Arc<Principal>, client: Client) -> Result<Caller, Box<Response<Body>>> {
        let Some(space) = self.state.snapshot.spaces.get(&self.space_id).cloned() else {
            return Err(Box::new(json_status(
                StatusCode::NOT_FOUND,
                RpcError::new(ErrorCode::InvalidRequest, "no such space").answer("null"),
            )));
        };
        let who = who(&principal);
        Ok(Caller {
            gateway: Arc::clone(&self.gateway),
            state: Arc::clone(&self.state),
            space,
            principal,
            who,
            client,
            origin: self.facts.origin.clone(),
            policy_session: PolicySession::default(),
            approved_by: None,
            provenance: Fact::Known(None),
            traced: None,
            recorded_at: None,
            task_id: None,
        })
    }

    /// Lets the caller in, or records and answers why not.
    async fn enter(&self, method: &str) -> Result<Arc<Principal>, Box<Response<Body>>> {
        let now_secs = crate::clock::now_ms() / 1000;
        match enter(&self.state.snapshot, &self.facts, &self.space_id, now_secs) {
            Ok(principal) => Ok(Arc::clone(principal)),
            Err((denial, layers)) => Err(Box::new(self.shut_out(method, None, &denial, &layers).await)),
        }
    }

    /// The same for a message. A stranger's call of a tool is decided as one, so that the record says which tool was tried.
    async fn enter_for(&self, message: &Message) -> Result<Arc<Principal>, Box<Response<Body>>> {
        let now_secs = crate::clock::now_ms() / 1000;
        match enter(&self.state.snapshot, &self.facts, &self.space_id, now_secs) {
            Ok(principal) => Ok(Arc::clone(principal)),
            Err((denial, layers)) => Err(Box::new(self.shut_out(message.method(), Some(message), &denial, &layers).await)),
        }
    }

    async fn shut_out(&self, method: &str, message: Option<&Message>, denial: &Denial, layers: &[LayerLine]) -> Response<Body> {
        let id = message.and_then(Message::id).unwrap_or("null");
        let agent = match &self.facts.identity {
            Fact::Known(Identity::Authenticated(principal)) => Some(principal.agent.as_str()),
            _ => None,
        };
        let tool = message.and_then(|message| message.param_str("name").or_else(|| message.param_str("uri")));
        let answer = match fresh_id() {
            Err(error) => return unavailable(id, &error.to_string()),
            Ok((decision_id, at_ms)) => {
                let trace = Trace::read(self.header(&TRACEPARENT), &decision_id);
                let entry = DecisionEntry {
                    agent,
                    user: None,
                    credential_id: None,
                    session: None,
                    acted_as: None,
                    source_ip: self.facts.source_ip(),
                    space: clip(&self.space_id),
                    server: None,
                    tool: tool.as_deref().map(clip),
                    method: clip(method),
                    protocol: None,
                    arguments_commitment: None,
                    tool_digest: None,
                    risk: None,
                    class: None,
                    categories: &[],
                    approval: None,
                    verdict: "DENY",
                    reason: Some(denial.reason.as_str()),
                    layers,
                    policy_flip: None,
                    guardrails: None,
                    policy_session: None,
                    labels: None,
                    provenance: Vec::new(),
                    requested: None,
                    request: None,
                    history: None,
                    facts_digest: None,
                    snapshot: self.state.snapshot.version,
                };
                let recorded = self.gateway.recorder.stranger(&decision_id, &trace, at_ms, entry).await;
                let names = self.names(tool.as_deref().unwrap_or_default(), method);
                self.gateway.recorder.refused(&names, &trace, self.started, denial.reason.as_str());
                match recorded {
                    Ok(index) => denial_error(denial, layers, &decision_id, index),
                    Err(error) => return unavailable(id, &error.to_string()),
                }
            }
        };
        self.challenge(denial.reason, &[], json_status(StatusCode::FORBIDDEN, answer.answer(id)))
    }

    fn names(&self, tool: &str, method: &str) -> Names {
        let agent = match &self.facts.identity {
            Fact::Known(Identity::Authenticated(principal)) => Some(principal.agent.clone()),
            _ => None,
        };
        Names {
            agent,
            space: self.space_id.as_str().into(),
            tool: clip(tool).into(),
            server: None,
            method: method_name(method),
            protocol: "",
            session: None,
        }
    }

    /// Gives a refusal the status and the challenge that its reason demands (RFC 6750, RFC 9728).
    fn challenge(&self, reason: Reason, scopes: &[&str], mut response: Response<Body>) -> Response<Body> {
        let metadata = self.gateway.resource_metadata_address(&self.space_id);
        let text = match reason {
            Reason::Unauthenticated | Reason::Audience | Reason::Revoked => {
                *response.status_mut() = StatusCode::UNAUTHORIZED;
                challenge::unauthorized(&metadata, self.token_shown)
            }
            Reason::InsufficientScope => {
                *response.status_mut() = StatusCode::FORBIDDEN;
                challenge::insufficient_scope(&metadata, scopes)
            }
            Reason::CouldNotDecide => {
                *response.status_mut() = StatusCode::SERVICE_UNAVAILABLE;
                return response;
            }
            _ => return response,
        };
        if let Ok(value) = HeaderValue::from_str(&text) {
            response.headers_mut().insert(WWW_AUTHENTICATE, value);
        }
        response
    }

    /// Follows what belongs to no request, or takes up a stream that was lost.
    async fn get(self) -> Response<Body> {
        let principal = match self.enter("GET").await {
            Ok(principal) => principal,
            Err(refused) => return *refused,
        };
        if self.header(&PROTOCOL_VERSION) == Some(Version::V20260728.as_str()) {
            let mut response = empty(StatusCode::METHOD_NOT_ALLOWED);
            response.headers_mut().insert(ALLOW, HeaderValue::from_static("POST"));
            return response;
        }
        let caller = match self.session(principal) {
            Ok(caller) => caller,
            Err(refused) => return *refused,
        };
        let Client::Legacy(session) = &caller.client else { return empty(StatusCode::BAD_REQUEST) };
        if let Some(last) = self.header(&LAST_EVENT_ID) {
            return match session.find_stream(last) {
                Some((stream, number)) => events(&stream, Some(number)),
                None => {
                    json_status(StatusCode::NOT_FOUND, RpcError::new(ErrorCode::InvalidRequest, "no such event").answer("null"))
                }
            };
        }
        listen::session_listens(&caller.gateway, &caller.state, session);
        events_while(&caller.principal, &session.outbound)
    }

    async fn delete(self) -> Response<Body> {
        let principal = match self.enter("DELETE").await {
            Ok(principal) => principal,
            Err(refused) => return *refused,
        };
        match self.session(principal) {
            Ok(Caller { client: Client::Legacy(session), gateway, .. }) => {
                gateway.sessions.end(&session);
                empty(StatusCode::OK)
            }
            Ok(_) => empty(StatusCode::METHOD_NOT_ALLOWED),
            Err(refused) => *refused,
        }
    }

    /// Opens a session.
    async fn initialize(self, message: &Message) -> Response<Body> {
        let id = message.id().unwrap_or("null");
        let principal = match self.enter_for(message).await {
            Ok(principal) => principal,
            Err(refused) => return *refused,
        };
        let Some(requested) = message.param_str("protocolVersion") else {
            return answer_rpc(Era::Legacy, id, &RpcError::new(ErrorCode::InvalidParams, "`protocolVersion` is missing"));
        };
        let Some(space) = self.state.snapshot.spaces.get(&self.space_id) else { return empty(StatusCode::NOT_FOUND) };
        let version = Version::negotiate(&requested);
        let object = |text: Option<&str>| text.filter(|text| text.starts_with('{')).unwrap_or("{}").to_owned();
        let said = message.param("capabilities").map_or(0, str::len) + message.param("clientInfo").map_or(0, str::len);
        if said > CLIENT_BYTES_MAX {
            let what = format!("`capabilities` and `clientInfo` are larger than {CLIENT_BYTES_MAX} bytes");
            return answer_rpc(Era::Legacy, id, &RpcError::new(ErrorCode::InvalidParams, what));
        }
        let opening = Opening {
            space: self.space_id.as_str().into(),
            who: who(&principal),
            agent: principal.agent.as_str().to_owned(),
            principal: Arc::clone(&principal),
            version,
            capabilities: object(message.param("capabilities")),
            client_info: object(message.param("clientInfo")),
        };
        let session = match self.gateway.sessions.open(opening, space.space.quotas.sessions_max) {
            Ok(session) => session,
            Err(why) => {
                let error = RpcError::new(ErrorCode::Internal, format!("no session could be opened: {why:?}"));
                return json_status(StatusCode::SERVICE_UNAVAILABLE, error.answer(id));
            }
        };
        let result = list::initialize(&self.gateway, &self.state, space, version);
        let mut response = json_status(StatusCode::OK, remit_mcp::error::result_answer(id, &result));
        if let Ok(value) = HeaderValue::from_str(&session.id) {
            response.headers_mut().insert(SESSION_ID, value);
        }
        response
    }

    /// A message of the session era.
    async fn legacy(&self, caller: Caller, message: Message) -> Response<Body> {
        let Client::Legacy(session) = caller.client.clone() else { return empty(StatusCode::BAD_REQUEST) };
        match message.kind() {
            Kind::Response | Kind::Error => {
                session.answered(message);
                empty(StatusCode::ACCEPTED)
            }
            Kind::Notification => {
                Box::pin(listen::client_notifies(&caller, &session, &message)).await;
                empty(StatusCode::ACCEPTED)
            }
            Kind::Request => {
                if held_task::is_about(&message) {
                    return Box::pin(held_task::answer(self, caller, message)).await;
                }
                let id = message.id().unwrap_or("null").to_owned();
                let local = match message.method() {
                    "ping" => Some(Ok("{}".to_owned())),
                    "logging/setLevel" => Some(Box::pin(listen::client_sets_level(&caller, &session, &message)).await),
                    "tasks/list" => Some(Box::pin(list::tasks(&caller, &message)).await),
                    method => list::answer(&caller, method, &message),
                };
                match local {
                    Some(Ok(result)) => json_status(StatusCode::OK, remit_mcp::error::result_answer(&id, &result)),
                    Some(Err(error)) => answer_rpc(Era::Legacy, &id, &error),
                    None => self.target(caller, message).await,
                }
            }
        }
    }

    /// A message of 2026-07-28.
    async fn modern(self, message: Message, header: Option<&str>, said: Option<&str>) -> Response<Body> {
        let id = message.id().unwrap_or("null").to_owned();
        let principal = match self.enter_for(&message).await {
            Ok(principal) => principal,
            Err(refused) => return *refused,
        };
        match message.kind() {
            Kind::Request => {}
            Kind::Notification => return empty(StatusCode::ACCEPTED),
            Kind::Response | Kind::Error => {
                let error = RpcError::new(
                    ErrorCode::InvalidRequest,
                    "2026-07-28 has no requests from server to client: nothing waits for a response",
                );
                return json_status(StatusCode::BAD_REQUEST, error.answer("null"));
            }
        }
        if let Some(refused) = agree::meta_of(&message, header, said) {
            return refused;
        }
        if !list::MODERN_METHODS.contains(&message.method()) {
            return answer_rpc(
                Era::Modern,
                &id,
                &RpcError::new(ErrorCode::MethodNotFound, format!("unknown method `{}`", clip(message.method()))),
            );
        }
        if let Err(error) = agree::headers(&self.headers, &message) {
            return Box::pin(self.contradicted(&principal, &message, &error)).await;
        }
        let client = ModernClient {
            capabilities: message.meta(meta::CLIENT_CAPABILITIES).unwrap_or("{}").to_owned(),
            log_level: message
                .inner_str("_meta", meta::LOG_LEVEL)
                .filter(|level| listen::LEVELS.contains(&&**level))
                .map(std::borrow::Cow::into_owned),
        };
        let caller = match self.caller(principal, Client::Modern(Arc::new(client))) {
            Ok(caller) => caller,
            Err(refused) => return *refused,
        };
        if held_task::is_about(&message) {
            return Box::pin(held_task::answer(&self, caller, message)).await;
        }
        if message.method() == "subscriptions/listen" {
            return listen::subscribe(&caller, &message);
        }
        match list::answer(&caller, message.method(), &message) {
            Some(Ok(result)) => json_status(StatusCode::OK, remit_mcp::error::result_answer(&id, &result)),
            Some(Err(error)) => answer_rpc(Era::Modern, &id, &error),
            None => self.target(caller, message).await,
        }
    }

    /// Refuses a request whose headers say something else than its body. Whoever sends one may be trying to be seen as another call:
    /// the record says so.
    async fn contradicted(&self, principal: &Principal, message: &Message, error: &RpcError) -> Response<Body> {
        let id = message.id().unwrap_or("null");
        let tool = message.param_str("name").or_else(|| message.param_str("uri")).unwrap_or_default();
        let event = serde_json::json!({
            "agent": principal.agent, "user": principal.user, "space": self.space_id, "method": clip(message.method()),
            "tool": clip(&tool), "verdict": "DENY", "reason": "header_mismatch", "statement": error.message,
        });
        match self.gateway.recorder.event("request_refused", event).await {
            Ok(_) => answer_rpc(Era::Modern, id, error),
            Err(unrecorded) => unavailable(id, &unrecorded.to_string()),
        }
    }

    /// The whole road: gather, decide, record, enforce.
    async fn target(&self, mut caller: Caller, message: Message) -> Response<Body> {
        let era = caller.era();
        let id = message.id().unwrap_or("null").to_owned();
        // Gather.
        let (message, again) = match hold::resumed(&caller, message) {
            Ok(resumed) => resumed,
            Err(error) => return answer_rpc(era, &id, &error),
        };
        let asked = match Asked::find(&caller, &message) {
            Ok(asked) => asked,
            Err(error) => return answer_rpc(era, &id, &error),
        };
        caller.task_id = asked.task_id.clone();
        let mut facts = self.facts.clone();
        facts.policy_session.id = match settle::policy_session(&self.headers, &caller) {
            Ok(session) => session,
            Err(error) => return answer_rpc(era, &id, &error),
        };
        let traced = match caller.gateway.flows.judge(&caller, &asked, &message, &facts.policy_session.id) {
            Ok(judged) => {
                facts.provenance = judged.provenance;
                judged.traced
            }
            Err(error) => return answer_rpc(era, &id, &error),
        };
        let place = self.take_place(&caller, &asked, &mut facts);
        let (decision_id, at_ms) = match fresh_id() {
            Ok(fresh) => fresh,
            Err(error) => return unavailable(&id, &error.to_string()),
        };
        let traceparent = message.inner_str("_meta", "traceparent");
        let trace = Trace::read(traceparent.as_deref().or_else(|| self.header(&TRACEPARENT)), &decision_id);
        self.ask_guardrails(&caller, asked.target(&message), &mut facts, at_ms).await;
        // Decide, and record.
        let stamp = Stamp { decision_id: &decision_id, trace: &trace, at_ms };
        let deciding = caller.count(message.method(), &mut facts);
        let settled = settle(&self.headers, &mut caller, &asked, &message, &mut facts, &stamp);
        // From here on its entry counts.
        drop(deciding);
        let Settled { decision, recorded, watched } = match settled {
            Ok(settled) => settled,
            Err(error) => return Box::pin(self.contradicted(&caller.principal, &message, &error)).await,
        };
        caller.policy_session = facts.policy_session;
        caller.provenance = facts.provenance;
        // What isn't sent passes nothing on, and what comes back is read.
        caller.traced = traced.filter(|_| decision.allows());
        if let (Some(traced), Fact::Known(Some(origin))) = (&caller.traced, &caller.provenance) {
            traced.passed(message.param("arguments").unwrap_or("{}"), origin);
        }
        caller.approved_by.clone_from(&decision.approval);
        let names = caller_names(&caller, &asked, &decision, message.method());
        if matches!(asked.kind, AskedKind::Call) && !caller.space.holds.is_empty() {
            let before = hold::before(&decision_id, at_ms, &names.tool, decision.word().0);
            caller.gateway.approvals.came(&names.space, &caller.who, before);
        }
        caller.flipped(&names, &decision);
        let recorded = match recorded {
            Ok(append) => append.await.map_err(Unrecorded::from),
            Err(error) => Err(error),
        };
        let index = match recorded {
            Ok(appended) => appended.index,
            Err(error) => {
                if let Some(watched) = watched {
                    watched.ended("busy", None, at_ms, drop);
                }
                return unavailable(&id, &error.to_string());
            }
        };
        let recorded = Recorded { decision_id, at_ms, index, trace, names, watched, place, again };
        self.enforced(caller, message, decision, recorded).await
    }

    /// Does what was decided, now that it is durable.
    async fn enforced(&self, mut caller: Caller, message: Message, decision: Decision, recorded: Recorded) -> Response<Body> {
        let Recorded { decision_id, at_ms, index, trace, names, watched, place, again } = recorded;
        let Decision { verdict, tool, risk, layers, server, .. } = decision;
        match verdict {
            Verdict::Deny(denial) => {
                caller.gateway.recorder.refused(&names, &trace, self.started, denial.reason.as_str());
                let scopes = tool.as_ref().map(|tool| class_scopes(tool.class)).unwrap_or_default();
                let refused = refusal(&caller, &message, &denial, &layers, &decision_id, index);
                self.challenge(denial.reason, scopes, refused)
            }
            Verdict::Hold(request) => {
                drop(place);
                caller.gateway.recorder.held(&names, &trace, self.started);
                let (Some(tool), Some(risk)) = (tool, risk) else {
                    return unavailable(message.id().unwrap_or("null"), "a call of no tool is held");
                };
                let held = HeldCall { request, tool, risk, decision_id, at_ms, again };
                Box::pin(hold(self, caller, message, held)).await
            }
            Verdict::Allow(permit) => {
                caller.recorded_at = Some(index);
                let cost_at = server.and_then(|server| caller.state.snapshot.organization.servers.get(&server)?.cost.clone());
                let pending = Pending::new(&caller.gateway.recorder, decision_id, trace, names, self.started)
                    .watched_by(watched)
                    .costed_by(cost_at)
                    .keeping_result(caller.space.space.keep_results);
                Box::pin(enforce(caller, message, permit, pending, place)).await
            }
        }
    }

    /// The same once more, for a call that waited.
    pub(crate) fn target_again(self, caller: Caller, message: Message) -> crate::Boxed<'static, Response<Body>> {
        Box::pin(async move { self.target(caller, message).await })
    }

    async fn ask_guardrails(&self, caller: &Caller, target: Target<'_>, facts: &mut Facts, at_ms: u64) {
        let call = Call { space: &self.space_id, target, risk_requested: None, explain: false };
        Box::pin(guard::gather(&caller.gateway, &caller.state.snapshot, facts, &call, at_ms / 1000)).await;
    }

    fn take_place(&self, caller: &Caller, asked: &Asked, facts: &mut Facts) -> Option<crate::quota::Place> {
        let quotas = &caller.space.space.quotas;
        // Only what the space knows is counted: a count is kept by name.
        let known = match asked.kind {
            AskedKind::Call | AskedKind::Tool => caller.space.tools.contains_key(&asked.name),
            AskedKind::Prompt => caller.space.prompt(&asked.name).is_some(),
            AskedKind::Resource => asked.name.len() <= 2048,
        };
        if !known {
            return None;
        }
        let tiers_limit = caller.state.snapshot.organization.trust.as_ref().is_some_and(remit_model::TrustRules::limits_calls);
        if quotas.calls_concurrent_max.is_none() && quotas.calls_per_minute_max.is_none() && !tiers_limit {
            return None;
        }
        let (fact, place) =
            caller.gateway.quotas.take(&self.space_id, caller.principal.agent.as_str(), &asked.name, crate::clock::now_ms());
        facts.quota = fact;
        place
    }
}

/// A decision's place in the journal, and what goes with it.
struct Recorded {
    decision_id: String,
    at_ms: u64,
    index: u64,
    trace: Trace,
    names: Names,
    watched: Option<Watched>,
    place: Option<Place>,
    /// Whether a held call's client has come back to wait on.
    again: bool,
}

/// Sends a permitted call to its server.
async fn enforce(caller: Caller, message: Message, permit: Permit, pending: Pending, place: Option<Place>) -> Response<Body> {
    let (era, id) = (caller.era(), message.id().unwrap_or("null").to_owned());
    let dispatch = permit.redeem();
    let message = match dispatch.masked.as_deref().map(|arguments| guard::masked(&message, arguments)) {
        None => message,
        Some(Ok(masked)) => masked,
        Some(Err(error)) => {
            return match pending.finish("error", None).await {
                Ok(()) => answer_rpc(era, &id, &error),
                Err(error) => unavailable(&id, &error.to_string()),
            };
        }
    };
    let Some(upstream) = caller.state.upstreams.get(&dispatch.server).cloned() else {
        let error = RpcError::new(ErrorCode::Internal, format!("server `{}` is not there", dispatch.server.name));
        return match pending.finish("unreachable", None).await {
            Ok(()) => answer_rpc(era, &id, &error),
            Err(error) => unavailable(&id, &error.to_string()),
        };
    };
    if matches!(message.method(), "resources/subscribe" | "resources/unsubscribe") {
        return Box::pin(listen::client_subscribes(caller, message, pending, upstream)).await;
    }
    let held = Held { quota: place, slot: None };
    let Client::Legacy(session) = caller.client.clone() else {
        return Box::pin(Relay { caller, message, dispatch, pending, held, cancel: None, upstream }.run()).await;
    };
    let Some(cancel) = session.call(&id) else {
        let error = RpcError::new(ErrorCode::InvalidRequest, "a request with this id is under way in the session");
        return match pending.finish("error", None).await {
            Ok(()) => answer_rpc(era, &id, &error),
            Err(error) => unavailable(&id, &error.to_string()),
        };
    };
    // A session outlives its connections, and so do its calls.
    detached(Relay { caller, message, dispatch, pending, held, cancel: Some(cancel), upstream }.run()).await
}

pub(crate) fn unsupported_version(id: &str, requested: &str) -> Response<Body> {
    let all: Vec<String> = Version::ALL.iter().rev().map(|version| quote(version.as_str())).collect();
    let data = format!("{{\"requested\":{},\"supported\":[{}]}}", quote(clip(requested)), all.join(","));
    answer_rpc(
        Era::Modern,
        id,
        &RpcError::new(ErrorCode::UnsupportedVersion, "this protocol version is not spoken here").data(data),
    )
}

/// Agent and user in one text.
pub(crate) fn who(principal: &Principal) -> String {
    let user = principal.user.as_deref().unwrap_or_default();
    match &principal.session {
        None => format!("{}\u{1f}{user}", principal.agent),
        // Another role is another caller, though it be the same agent.
        Some(session) => format!("{}\u{1f}{user}\u{1f}{:?}\u{1f}{}", principal.agent, session.who, session.name),
    }
}

fn caller_names(caller: &Caller, asked: &Asked, decision: &Decision, method: &str) -> Names {
    Names {
        agent: Some(caller.principal.agent.clone()),
        space: caller.space.space.id.shared(),
        tool: decision.tool.as_ref().map_or_else(|| clip(&asked.name).into(), |tool| Arc::clone(&tool.id)),
        server: decision.server.as_ref().map(|server| server.name.clone()),
        method: method_name(method),
        protocol: caller.version().as_str(),
        session: match &caller.client {
            Client::Legacy(session) => Some(Arc::clone(&session.short_id)),
            Client::Modern(_) => None,
        },
    }
}
