//! What is sent without being asked for at that moment: subscriptions, log messages, changed lists.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use http::Response;
use remit_kernel::{Call, Principal, Target, decide};
use remit_mcp::json::quote;
use remit_mcp::splice::Splice;
use remit_mcp::version::meta;
use remit_mcp::{Era, ErrorCode, Kind, Message, RpcError};
use remit_model::ServerKey;

use crate::body::{Body, EventLog};
use crate::call::{Caller, Client, ModernClient};
use crate::guard;
use crate::record::{DecisionEntry, Pending, Trace, clip, fresh_id};
use crate::reply::{answer_rpc, events_while, json_status};
use crate::session::{SUBSCRIPTIONS_MAX, Session, lock, may_ask};
use crate::upstream::{Incoming, Link, Reply, Sending, Upstream, UpstreamError, legacy_request, modern_request};
use crate::{Inner, State};

/// The most streams that clients of 2026-07-28 hold open.
const LISTENERS_MAX: usize = 10_000;
/// The levels of RFC 5424 that MCP knows.
pub(crate) const LEVELS: [&str; 8] = ["debug", "info", "notice", "warning", "error", "critical", "alert", "emergency"];

/// A list that can change.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ListKind {
    Tools,
    Prompts,
    Resources,
}

impl ListKind {
    /// The list that a notification is about.
    pub(crate) fn of(method: &str) -> Option<Self> {
        match method {
            "notifications/tools/list_changed" => Some(Self::Tools),
            "notifications/prompts/list_changed" => Some(Self::Prompts),
            "notifications/resources/list_changed" => Some(Self::Resources),
            _ => None,
        }
    }

    fn method(self) -> &'static str {
        match self {
            Self::Tools => "notifications/tools/list_changed",
            Self::Prompts => "notifications/prompts/list_changed",
            Self::Resources => "notifications/resources/list_changed",
        }
    }
}

/// The streams of `subscriptions/listen`.
#[derive(Debug, Default)]
pub(crate) struct Listeners {
    next: AtomicU64,
    all: Mutex<HashMap<u64, Listener>>,
}

#[derive(Debug)]
struct Listener {
    space: String,
    principal: Arc<Principal>,
    log: Arc<EventLog>,
    /// The id of the request: JSON text.
    id: String,
    wants: Wants,
}

/// What a client asked to hear of.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
struct Wants {
    tools: bool,
    prompts: bool,
    resources: bool,
    uris: Vec<String>,
}

impl Wants {
    fn read(message: &Message) -> Result<Self, RpcError> {
        let bad = || RpcError::new(ErrorCode::InvalidParams, "`params.notifications` must be an object of filters");
        let filter: serde_json::Value =
            serde_json::from_str(message.param("notifications").ok_or_else(bad)?).map_err(|_| bad())?;
        let filter = filter.as_object().ok_or_else(bad)?;
        let flag = |key: &str| filter.get(key).and_then(serde_json::Value::as_bool).unwrap_or(false);
        let uris = filter.get("resourceSubscriptions").and_then(serde_json::Value::as_array);
        let uris: Vec<String> = uris.into_iter().flatten().filter_map(|uri| uri.as_str().map(str::to_owned)).collect();
        if uris.len() > SUBSCRIPTIONS_MAX {
            return Err(RpcError::new(ErrorCode::InvalidParams, format!("more than {SUBSCRIPTIONS_MAX} resources")));
        }
        Ok(Self {
            tools: flag("toolsListChanged"),
            prompts: flag("promptsListChanged"),
            resources: flag("resourcesListChanged"),
            uris,
        })
    }

    fn wants(&self, kind: ListKind) -> bool {
        match kind {
            ListKind::Tools => self.tools,
            ListKind::Prompts => self.prompts,
            ListKind::Resources => self.resources,
        }
    }

    fn json(&self) -> String {
        let mut fields = Vec::new();
        for (flag, name) in
            [(self.tools, "toolsListChanged"), (self.prompts, "promptsListChanged"), (self.resources, "resourcesListChanged")]
        {
            if flag {
                fields.push(format!("\"{name}\":true"));
            }
        }
        if !self.uris.is_empty() {
            fields.push(format!("\"resourceSubscriptions\":{}", serde_json::Value::from(self.uris.clone())));
        }
        format!("{{{}}}", fields.join(","))
    }
}

fn subscription_meta(id: &str) -> String {
    format!("\"_meta\":{{{}:{id}}}", quote(meta::SUBSCRIPTION_ID))
}

/// `subscriptions/listen`: the acknowledgement comes first, and nothing comes that wasn't asked for.
pub(crate) fn subscribe(caller: &Caller, message: &Message) -> Response<Body> {
    let id = message.id().unwrap_or("null").to_owned();
    let mut wants = match Wants::read(message) {
        Ok(wants) => wants,
        Err(error) => return answer_rpc(Era::Modern, &id, &error),
    };
    let gateway = Arc::clone(&caller.gateway);
    if lock(&gateway.listeners.all).len() >= LISTENERS_MAX {
        return answer_rpc(Era::Modern, &id, &RpcError::new(ErrorCode::Internal, "too many streams are open"));
    }
    let log = EventLog::new(None);
    let response = events_while(&caller.principal, &log);
    let caller = caller.clone();
    tokio::spawn(async move {
        let mut allowed = Vec::new();
        for uri in std::mem::take(&mut wants.uris) {
            if govern(&caller, &uri, "subscriptions/listen").await {
                allowed.push(uri);
            }
        }
        wants.uris = allowed;
        let honoured = wants.json();
        let text = format!(
            "{{\"jsonrpc\":\"2.0\",\"method\":\"notifications/subscriptions/acknowledged\",\"params\":{{{},\"notifications\":{honoured}}}}}",
            subscription_meta(&id)
        );
        log.send(None, text.as_bytes()).await;
        let number = gateway.listeners.next.fetch_add(1, Ordering::Relaxed);
        let listener = Listener {
            space: caller.space.space.id.as_str().to_owned(),
            principal: Arc::clone(&caller.principal),
            log: Arc::clone(&log),
            id: id.clone(),
            wants: wants.clone(),
        };
        lock(&gateway.listeners.all).insert(number, listener);
        // Whatever ends listeners has either seen this one, or is seen here.
        let now_secs = crate::clock::now_ms() / 1000;
        let snapshot = Arc::clone(&gateway.state.load().snapshot);
        if remit_kernel::enter(&snapshot, &caller.facts(), caller.space.space.id.as_str(), now_secs).is_err() {
            lock(&gateway.listeners.all).remove(&number);
            log.close();
            return;
        }
        let mut watches = tokio::task::JoinSet::new();
        for (server, uris) in by_server(&caller, &wants.uris) {
            if let Some(upstream) = caller.state.upstreams.get(&server).cloned() {
                watches.spawn(watch(caller.clone(), upstream, uris, Arc::clone(&log), Some(id.clone())));
            }
        }
        log.gone().await;
        lock(&gateway.listeners.all).remove(&number);
    });
    response
}

fn by_server(caller: &Caller, uris: &[String]) -> HashMap<ServerKey, Vec<String>> {
    let mut all: HashMap<ServerKey, Vec<String>> = HashMap::new();
    for uri in uris {
        if let Some(server) = caller.space.resource_server(uri) {
            all.entry(server.clone()).or_default().push(uri.clone());
        }
    }
    all
}

/// Decides and records whether the caller may hear of a resource. The outcome of what only listens is that it was answered.
async fn govern(caller: &Caller, uri: &str, method: &str) -> bool {
    let facts = caller.facts();
    let Ok((decision_id, at_ms)) = fresh_id() else { return false };
    let call =
        Call { space: caller.space.space.id.as_str(), target: Target::Resource(uri), risk_requested: None, explain: false };
    let decision = decide(&caller.state.snapshot, &facts, &call, at_ms / 1000);
    let trace = Trace::read(None, &decision_id);
    let (verdict, reason) = decision.word();
    let entry = DecisionEntry {
        agent: Some(caller.principal.agent.as_str()),
        user: caller.principal.user.as_deref(),
        credential_id: Some(&caller.principal.credential_id),
        session: None,
        acted_as: decision.acted_as.as_ref(),
        source_ip: facts.source_ip(),
        space: caller.space.space.id.as_str(),
        server: decision.server.as_ref(),
        tool: Some(clip(uri)),
        method,
        protocol: Some(caller.version().as_str()),
        arguments_commitment: None,
        tool_digest: None,
        risk: None,
        class: None,
        categories: &[],
        approval: None,
        verdict,
        reason: reason.map(remit_kernel::Reason::as_str),
        layers: &decision.layers,
        policy_flip: decision.policy_flip.as_deref(),
        guardrails: None,
        policy_session: None,
        labels: None,
        provenance: Vec::new(),
        requested: None,
        request: None,
        history: None,
        facts_digest: None,
        snapshot: caller.state.snapshot.version,
    };
    let recorder = &caller.gateway.recorder;
    let kept = caller.gateway.keep(&caller.state, &facts, &call, &decision_id, at_ms);
    if recorder.decision(&decision_id, &trace, at_ms, entry, kept).await.is_err() || !decision.allows() {
        return false;
    }
    let names = crate::record::Names {
        agent: Some(caller.principal.agent.clone()),
        space: caller.space.space.id.as_str().into(),
        tool: clip(uri).into(),
        server: decision.server.as_ref().map(|server| server.name.clone()),
        method: crate::record::method_name(method),
        protocol: caller.version().as_str(),
        session: None,
    };
    Pending::new(recorder, decision_id, trace, names, std::time::Instant::now()).finish("answered", None).await.is_ok()
}

/// Passes a server's `notifications/resources/updated` for these resources on, until it is aborted.
async fn watch(caller: Caller, upstream: Arc<Upstream>, uris: Vec<String>, log: Arc<EventLog>, subscription: Option<String>) {
    let Ok(Some(mut incoming)) = watch_opened(&caller, &upstream, &uris).await else { return };
    while let Ok(Some(message)) = incoming.next_patiently().await {
        let about = message.param_str("uri").is_some_and(|uri| {
            uris.iter().any(|own| uri.strip_prefix(own.as_str()).is_some_and(|rest| rest.is_empty() || rest.starts_with('/')))
        });
        if message.kind() == Kind::Notification && message.method() == "notifications/resources/updated" && about {
            let passed = guard::updated(&caller.gateway, caller.space.space.id.as_str(), &message).await;
            let Some(message) = passed else { continue };
            let sent = match &subscription {
                Some(id) => tagged(&message, id),
                None => untagged(&message),
            };
            log.try_send(&sent);
        }
    }
}

async fn watch_opened(caller: &Caller, upstream: &Arc<Upstream>, uris: &[String]) -> Result<Option<Incoming>, UpstreamError> {
    match upstream.era(caller.era()).await? {
        Era::Modern => {
            let wanted = serde_json::Value::from(uris.to_vec());
            let body = modern_request(
                "subscriptions/listen",
                "{}",
                &format!(",\"notifications\":{{\"resourceSubscriptions\":{wanted}}}"),
            );
            let sending = Sending { method: "subscriptions/listen", ..Sending::default() };
            match upstream.request(body, &sending).await? {
                Reply::Stream(incoming) => Ok(Some(incoming)),
                Reply::Whole(_) => Ok(None),
            }
        }
        Era::Legacy => {
            let owner = format!("{} {}", caller.space.space.id, caller.who);
            let link = upstream.link(&owner, "{}").await?;
            let incoming = upstream.listen(&link).await?;
            for uri in uris {
                let params = format!("{{\"uri\":{}}}", quote(uri));
                let sending = Sending { method: "resources/subscribe", link: Some(&link), ..Sending::default() };
                upstream.response(legacy_request(&link.next_id(), "resources/subscribe", &params), &sending).await?;
            }
            Ok(incoming)
        }
    }
}

/// A notification with the subscription that it belongs to.
fn tagged(message: &Message, id: &str) -> Vec<u8> {
    let mut splice = Splice::new();
    match (message.inner_span("_meta", meta::SUBSCRIPTION_ID), message.param_span("_meta"), message.params_span()) {
        (Some(span), ..) => {
            splice.replace(span, id.as_bytes().to_vec());
        }
        (None, Some(span), _) => {
            splice.insert_field(message.body(), &span, &format!("{}:{id}", quote(meta::SUBSCRIPTION_ID)));
        }
        (None, None, Some(span)) => {
            splice.insert_field(message.body(), &span, &subscription_meta(id));
        }
        (None, None, None) => {
            splice.insert_field(message.body(), &message.root(), &format!("\"params\":{{{}}}", subscription_meta(id)));
        }
    }
    splice.apply(message.body(), message.root())
}

/// A notification for a client that knows no subscriptions.
fn untagged(message: &Message) -> Vec<u8> {
    let mut splice = Splice::new();
    if let (Some(_), Some(span)) = (message.meta(meta::SUBSCRIPTION_ID), message.param_span("_meta")) {
        splice.replace(span, b"{}".to_vec());
    }
    splice.apply(message.body(), message.root())
}

/// Tells everybody in whose space this server meets that one of its lists has changed.
pub(crate) fn list_changed(gateway: &Inner, server: &ServerKey, kind: ListKind) {
    let state = gateway.state.load();
    let meets =
        |space: &str| state.snapshot.spaces.get(space).is_some_and(|space| space.servers.iter().any(|(key, _)| key == server));
    let plain = format!("{{\"jsonrpc\":\"2.0\",\"method\":{}}}", quote(kind.method()));
    for session in gateway.sessions.all() {
        if session.listening.load(Ordering::Relaxed) && meets(&session.space) {
            session.outbound.try_send(plain.as_bytes());
        }
    }
    for listener in lock(&gateway.listeners.all).values() {
        if listener.wants.wants(kind) && meets(&listener.space) {
            let text = format!(
                "{{\"jsonrpc\":\"2.0\",\"method\":{},\"params\":{{{}}}}}",
                quote(kind.method()),
                subscription_meta(&listener.id)
            );
            listener.log.try_send(text.as_bytes());
        }
    }
}

/// Ends streams in good order, by their space and agent: the subscription's own response is the last thing on each.
pub(crate) fn end_where(gateway: &Inner, ends: impl Fn(&str, &Principal) -> bool) {
    let mut all = lock(&gateway.listeners.all);
    let numbers: Vec<u64> =
        all.iter().filter(|(_, listener)| ends(&listener.space, &listener.principal)).map(|(number, _)| *number).collect();
    let ended: Vec<Listener> = numbers.iter().filter_map(|number| all.remove(number)).collect();
    drop(all);
    for listener in ended {
        let result = format!("{{\"resultType\":\"complete\",{}}}", subscription_meta(&listener.id));
        listener.log.try_send(&remit_mcp::error::result_answer(&listener.id, &result));
        listener.log.close();
    }
}

/// A client of the session era opened its stream: what its servers send there is passed on from now on.
pub(crate) fn session_listens(gateway: &Arc<Inner>, state: &State, session: &Arc<Session>) {
    if session.listening.swap(true, Ordering::AcqRel) {
        return;
    }
    for (key, link) in session.links() {
        if let Some(upstream) = state.upstreams.get(&key).cloned() {
            let (session, gateway) = (Arc::clone(session), Arc::clone(gateway));
            tokio::spawn(async move { link_listens(&gateway, &session, &upstream, &link).await });
        }
    }
}

impl Inner {
    /// The session's session with a server, with its log level told and its stream followed if the client follows.
    pub(crate) async fn session_link(
        self: &Arc<Self>,
        session: &Arc<Session>,
        upstream: &Arc<Upstream>,
    ) -> Result<Arc<Link>, UpstreamError> {
        let (link, fresh) = session.link(upstream).await?;
        if fresh {
            let level = lock(&session.log_level).clone();
            set_log_level(upstream, &link, level.as_deref()).await;
            if session.listening.load(Ordering::Acquire) {
                link_listens(self, session, upstream, &link).await;
            }
        }
        Ok(link)
    }
}

/// Opens the server's stream and passes on what comes on it, as long as the session lives.
async fn link_listens(gateway: &Arc<Inner>, session: &Arc<Session>, upstream: &Arc<Upstream>, link: &Arc<Link>) {
    let Ok(Some(mut incoming)) = upstream.listen(link).await else { return };
    let (weak, upstream, link) = (Arc::downgrade(session), Arc::clone(upstream), Arc::clone(link));
    let gateway = Arc::clone(gateway);
    let task = tokio::spawn(async move {
        while let Ok(Some(message)) = incoming.next_patiently().await {
            let Some(session) = weak.upgrade() else { return };
            stray(&gateway, &session, &upstream, &link, message).await;
        }
    });
    session.keep(task.abort_handle());
}

/// A message of a server that belongs to no request.
async fn stray(gateway: &Arc<Inner>, session: &Arc<Session>, upstream: &Arc<Upstream>, link: &Arc<Link>, message: Message) {
    let sending = Sending { link: Some(link), ..Sending::default() };
    match message.kind() {
        // The gateway's own watch tells of changed lists, once they have been looked at.
        Kind::Notification if ListKind::of(message.method()).is_some() => {}
        Kind::Notification => {
            if let Some(message) = guard::stray(gateway, session, &upstream.key, &message).await {
                session.outbound.try_send(message.body());
            }
        }
        Kind::Request => {
            let id = message.id().unwrap_or("null").to_owned();
            if message.method() == "ping" {
                let _ = upstream.tell(Bytes::from(remit_mcp::error::result_answer(&id, "{}")), &sending).await;
                return;
            }
            if !may_ask(&session.capabilities, message.method()) {
                let refused = RpcError::new(ErrorCode::MethodNotFound, "the client does not offer this");
                let _ = upstream.tell(Bytes::from(refused.answer(&id)), &sending).await;
                return;
            }
            let Some(message) = guard::stray(gateway, session, &upstream.key, &message).await else {
                let refused = RpcError::new(ErrorCode::Denied, "a guardrail keeps this from the client");
                let _ = upstream.tell(Bytes::from(refused.answer(&id)), &sending).await;
                return;
            };
            let (session, upstream, link) = (Arc::clone(session), Arc::clone(upstream), Arc::clone(link));
            let gateway = Arc::clone(gateway);
            tokio::spawn(async move {
                let answer = session.ask(&session.outbound, message.method(), message.params()).await;
                let sending = Sending { link: Some(&link), ..Sending::default() };
                // By what holds now, not when it was asked.
                let body = match guard::Answering::stray(&gateway, &session) {
                    Some(answering) => answering.answer(&id, answer).await,
                    None => RpcError::new(ErrorCode::Denied, "the space is gone").answer(&id).into(),
                };
                let _ = upstream.tell(body, &sending).await;
            });
        }
        Kind::Response | Kind::Error => {}
    }
}

/// Tells a server of the session era which log messages are wanted, if it doesn't know yet. That it can't is no reason to fail a call.
pub(crate) async fn set_log_level(upstream: &Arc<Upstream>, link: &Arc<Link>, level: Option<&str>) {
    let Some(level) = level else { return };
    {
        let mut told = lock(&link.log_level);
        if told.as_deref() == Some(level) {
            return;
        }
        *told = Some(level.to_owned());
    }
    let params = format!("{{\"level\":{}}}", quote(level));
    let sending = Sending { method: "logging/setLevel", link: Some(link), ..Sending::default() };
    let _ = upstream.response(legacy_request(&link.next_id(), "logging/setLevel", &params), &sending).await;
}

/// `logging/setLevel`.
pub(crate) async fn client_sets_level(caller: &Caller, session: &Arc<Session>, message: &Message) -> Result<String, RpcError> {
    let level = message.param_str("level").filter(|level| LEVELS.contains(&&**level));
    let level =
        level.ok_or_else(|| RpcError::new(ErrorCode::InvalidParams, "`level` must be one of the eight log levels"))?.into_owned();
    *lock(&session.log_level) = Some(level.clone());
    for (key, link) in session.links() {
        if let Some(upstream) = caller.state.upstreams.get(&key) {
            set_log_level(upstream, &link, Some(&level)).await;
        }
    }
    Ok("{}".to_owned())
}

/// A notification of a client of the session era.
pub(crate) async fn client_notifies(caller: &Caller, session: &Arc<Session>, message: &Message) {
    match message.method() {
        "notifications/cancelled" => {
            if let Some(id) = message.param("requestId") {
                session.cancel(id);
            }
        }
        "notifications/roots/list_changed" => {
            for (key, link) in session.links() {
                if let Some(upstream) = caller.state.upstreams.get(&key) {
                    let sending = Sending { link: Some(&link), ..Sending::default() };
                    let plain = br#"{"jsonrpc":"2.0","method":"notifications/roots/list_changed"}"#;
                    let _ = upstream.tell(Bytes::from_static(plain), &sending).await;
                }
            }
        }
        _ => {}
    }
}

/// `resources/subscribe` and `resources/unsubscribe`, once they are permitted.
pub(crate) async fn client_subscribes(
    caller: Caller,
    message: Message,
    pending: Pending,
    upstream: Arc<Upstream>,
) -> Response<Body> {
    let id = message.id().unwrap_or("null").to_owned();
    let Client::Legacy(session) = &caller.client else {
        return answer_rpc(Era::Modern, &id, &RpcError::new(ErrorCode::MethodNotFound, "use `subscriptions/listen`"));
    };
    let uri = message.param_str("uri").unwrap_or_default().into_owned();
    let done = match upstream.era(Era::Legacy).await {
        Ok(Era::Modern) => subscribe_session(&caller, session, &message, &upstream, &uri),
        Ok(Era::Legacy) => subscribe_link(&caller, session, &message, &upstream, &uri).await,
        Err(error) => Err(error),
    };
    let (outcome, answer) = match done {
        Ok(answer) => ("answered", answer),
        Err(error) => {
            let text = format!("server `{}`: {error}", upstream.key.name);
            (error.code(), RpcError::new(ErrorCode::Internal, text).answer(&id).into())
        }
    };
    match pending.finish(outcome, None).await {
        Ok(()) => json_status(http::StatusCode::OK, answer),
        Err(error) => crate::reply::unavailable(&id, &error.to_string()),
    }
}

async fn subscribe_link(
    caller: &Caller,
    session: &Arc<Session>,
    message: &Message,
    upstream: &Arc<Upstream>,
    uri: &str,
) -> Result<Bytes, UpstreamError> {
    session_listens(&caller.gateway, &caller.state, session);
    let link = caller.gateway.session_link(session, upstream).await?;
    let params = format!("{{\"uri\":{}}}", quote(uri));
    let sending = Sending { method: message.method(), link: Some(&link), ..Sending::default() };
    let answer = upstream.response(legacy_request(&link.next_id(), message.method(), &params), &sending).await?;
    Ok(crate::compose::response(&answer, message.id().unwrap_or("null"), Era::Legacy, Era::Legacy, false))
}

fn subscribe_session(
    caller: &Caller,
    session: &Arc<Session>,
    message: &Message,
    upstream: &Arc<Upstream>,
    uri: &str,
) -> Result<Bytes, UpstreamError> {
    let mut subscriptions = lock(&session.subscriptions);
    if let Some(task) = subscriptions.remove(uri) {
        task.abort();
    }
    if message.method() == "resources/subscribe" {
        if subscriptions.len() >= SUBSCRIPTIONS_MAX {
            return Err(UpstreamError::Busy);
        }
        // The watch must not hold the session that holds it.
        let client = Client::Modern(Arc::new(ModernClient { capabilities: "{}".to_owned(), log_level: None }));
        let caller = Caller { client, ..caller.clone() };
        let watch = watch(caller, Arc::clone(upstream), vec![uri.to_owned()], Arc::clone(&session.outbound), None);
        subscriptions.insert(uri.to_owned(), tokio::spawn(watch).abort_handle());
    }
    Ok(remit_mcp::error::result_answer(message.id().unwrap_or("null"), "{}").into())
}

#[cfg(test)]
mod tests {
    use super::*;
    use remit_mcp::json::Limits;

    fn message(text: &str) -> Message {
        Message::parse(Bytes::copy_from_slice(text.as_bytes()), Limits::default()).unwrap()
    }

    #[test]
    fn notifications_are_tagged_wherever_the_tag_belongs() {
        let tag = r#""io.modelcontextprotocol/subscriptionId":7"#;
        for text in [
            r#"{"jsonrpc":"2.0","method":"n"}"#,
            r#"{"jsonrpc":"2.0","method":"n","params":{"uri":"a"}}"#,
            r#"{"jsonrpc":"2.0","method":"n","params":{"uri":"a","_meta":{"x":1}}}"#,
            r#"{"jsonrpc":"2.0","method":"n","params":{"_meta":{"io.modelcontextprotocol/subscriptionId":3}}}"#,
        ] {
            let sent = String::from_utf8(tagged(&message(text), "7")).unwrap();
            assert!(sent.contains(tag), "{sent}");
            assert_eq!(message(&sent).meta(meta::SUBSCRIPTION_ID), Some("7"));
        }
    }
}
