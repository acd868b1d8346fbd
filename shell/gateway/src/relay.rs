//! Enforcement: a permitted call goes upstream, and what comes back goes to the client, across eras where they differ.
//!
//! | client \ server | session era | 2026-07-28 |
//! |---|---|---|
//! | session era | requests of the server go to the client and its answers back, under ids of ours | `input_required` becomes requests to the client, its answers a retry |
//! | 2026-07-28 | a request of the server parks the exchange and becomes `input_required`; the retry takes it up | passed through, `requestState` sealed |

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;
use http::{Response, StatusCode};
use remit_kernel::verdict::Dispatch;
use remit_kernel::{Denial, Effect, LayerLine};
use remit_mcp::canonical::sha256;
use remit_mcp::json::quote;
use remit_mcp::{Era, ErrorCode, Kind, Message, RpcError, header};
use tokio::sync::OwnedSemaphorePermit;

use crate::body::{Body, EventLog};
use crate::call::{Caller, Client};
use crate::compose::{Bridge, Changes, compose, response, retry};
use crate::parked::Parked;
use crate::quota::Place;
use crate::receipt::Receipt;
use crate::record::Pending;
use crate::reply::{answer_rpc, denial_error, events, json_status};
use crate::seal::{Bound, STATE_TTL_SECS, State};
use crate::session::{Cancel, bridged, lock, may_ask};
use crate::stop::{Cut, Stop, Unanswered, cancellation};
use crate::tasks::announced;
use crate::upstream::{Incoming, Link, Reply, Sending, Upstream, UpstreamError};

/// How many rounds one request may take.
const ROUNDS_MAX: usize = 16;
/// A permitted call on its way.
#[derive(Debug)]
pub(crate) struct Relay {
    pub(crate) caller: Caller,
    pub(crate) message: Message,
    pub(crate) dispatch: Dispatch,
    pub(crate) pending: Pending,
    pub(crate) held: Held,
    pub(crate) cancel: Option<Cancel>,
    pub(crate) upstream: Arc<Upstream>,
}

/// Places that a call holds and gives back when it ends.
#[derive(Debug, Default)]
#[allow(dead_code, reason = "held, not read")]
pub(crate) struct Held {
    /// Among the calls of agent and tool.
    pub(crate) quota: Option<Place>,
    /// Among the calls of the server.
    pub(crate) slot: Option<OwnedSemaphorePermit>,
}

/// A request that has been sent, and what is needed to go on with it.
#[derive(Debug)]
pub(crate) struct Sent {
    /// The id that it was sent under: JSON text.
    id: String,
    /// The body that was sent; kept where a further round may need it.
    body: Option<Message>,
    link: Option<Arc<Link>>,
    server_era: Era,
}

/// What to go on with: a call yet to be sent, or one that waits.
enum Start {
    Fresh(Option<String>),
    Again(Box<Parked>),
}

impl Relay {
    /// Carries the call out.
    pub(crate) async fn run(mut self) -> Response<Body> {
        let started = Instant::now();
        // A server that holds all its calls under way gets no more of them.
        match self.upstream.slot() {
            Ok(slot) => self.held.slot = Some(slot),
            Err(error) => return self.fail(&error).await,
        }
        if let Err(denial) = Box::pin(self.guard_answers()).await {
            return Box::pin(self.withhold_answers(denial)).await;
        }
        let mut stop = Stop::of(&self.caller, &self.upstream, self.dispatch.tool.as_ref());
        let begun = match self.start() {
            Ok(Start::Fresh(state)) => match self.send_unless_cut(state, &mut stop).await {
                Ok(begun) => begun,
                Err(Cut::Cancelled) => {
                    let error = RpcError::new(ErrorCode::Internal, "the request was cancelled");
                    return self.refuse("cancelled", error).await;
                }
                Err(Cut::Stopped(denial)) => {
                    let error = denial_error(&denial, &[], &self.pending.decision_id, None);
                    return self.refuse("cancelled", error).await;
                }
            },
            Ok(Start::Again(parked)) => Box::pin(self.resume(*parked)).await,
            Err(error) => return self.refuse("error", error).await,
        };
        self.pending.upstream_took(started.elapsed());
        match begun {
            Err(error) => self.fail(&error).await,
            Ok((sent, Reply::Whole(message))) if self.asks_legacy_client(&sent, &message) => {
                let (log, response) = self.open_stream();
                tokio::spawn(self.pump(sent, None, Some(message), log, stop));
                response
            }
            Ok((sent, Reply::Whole(message))) => self.whole(&sent, message).await,
            Ok((sent, Reply::Stream(incoming))) => {
                let (log, response) = self.open_stream();
                tokio::spawn(self.pump(sent, Some(incoming), None, log, stop));
                response
            }
        }
    }

    fn start(&self) -> Result<Start, RpcError> {
        let refused = || RpcError::new(ErrorCode::InvalidParams, crate::seal::Refused.to_string());
        if self.caller.era() == Era::Legacy || self.message.param_span("requestState").is_none() {
            return Ok(Start::Fresh(None));
        }
        let text = self.message.param_str("requestState").ok_or_else(refused)?;
        let what = what(&self.message);
        let who = self.owner();
        let bound = Bound { who: &who, what: &what };
        match self.caller.gateway.seal.open(&text, bound, now_secs()).map_err(|_| refused())? {
            State::Upstream(state) => Ok(Start::Fresh(Some(quote(&state)))),
            // Bound to another owner than this: it isn't opened here.
            State::Approval => Err(refused()),
            State::Parked(number) => {
                let parked = self.caller.gateway.parked.take(number, &who, &what).ok_or_else(refused)?;
                if parked.upstream.key != self.upstream.key {
                    return Err(refused());
                }
                Ok(Start::Again(Box::new(parked)))
            }
        }
    }

    /// Sends, unless the client of a session cancels, or the call is stopped, before the server begins to answer.
    async fn send_unless_cut(
        &mut self,
        request_state: Option<String>,
        stop: &mut Stop,
    ) -> Result<Result<(Sent, Reply), UpstreamError>, Cut> {
        let cancel = self.cancel.take();
        let begun = tokio::select! {
            biased;
            () = cancelled(cancel.as_ref()) => Err(Cut::Cancelled),
            denial = stop.stopped() => Err(Cut::Stopped(Box::new(denial))),
            begun = self.send(request_state) => Ok(begun),
        };
        self.cancel = cancel;
        begun
    }

    /// Composes and sends, and sends once more on a new session if the server had ended the one that was used.
    async fn send(&mut self, request_state: Option<String>) -> Result<(Sent, Reply), UpstreamError> {
        let upstream = Arc::clone(&self.upstream);
        let era = match upstream.era_known(self.caller.era()) {
            Some(era) => era,
            None => Box::pin(upstream.era(self.caller.era())).await?,
        };
        let mut tries = 0;
        loop {
            let link = match era {
                Era::Modern => None,
                Era::Legacy => Some(Box::pin(self.link(&upstream)).await?),
            };
            let id = upstream.request_id(link.as_ref())?;
            let body = self.compose(era, id.as_deref(), request_state.clone());
            let sending = self.sending(era, link.as_ref());
            let unanswered = Unanswered { upstream: Arc::clone(&upstream), sent: link.clone().zip(id.clone()) };
            let reply = upstream.request(body.clone(), &sending).await;
            if !matches!(reply, Err(UpstreamError::Timeout)) {
                unanswered.answered();
            }
            match reply {
                Err(UpstreamError::SessionGone) if tries == 0 => {
                    tries += 1;
                    if let Some(link) = &link {
                        self.unlink(&upstream, link);
                    }
                }
                Err(error) => return Err(error),
                Ok(reply) => {
                    let id = id.unwrap_or_else(|| self.message.id().unwrap_or("null").to_owned());
                    let keep = era == Era::Modern && self.caller.era() == Era::Legacy;
                    let body = keep.then(|| Message::parse(body, remit_mcp::json::Limits::default()).ok()).flatten();
                    return Ok((Sent { id, body, link, server_era: era }, reply));
                }
            }
        }
    }

    async fn link(&self, upstream: &Arc<Upstream>) -> Result<Arc<Link>, UpstreamError> {
        match &self.caller.client {
            Client::Legacy(session) => self.caller.gateway.session_link(session, upstream).await,
            Client::Modern(modern) => {
                let owner = format!("{} {}", self.caller.space.space.id, self.caller.who);
                let link = upstream.link(&owner, &bridged(&modern.capabilities)).await?;
                crate::listen::set_log_level(upstream, &link, modern.log_level.as_deref()).await;
                Ok(link)
            }
        }
    }

    fn unlink(&self, upstream: &Arc<Upstream>, link: &Arc<Link>) {
        link.lose();
        match &self.caller.client {
            Client::Legacy(session) => session.unlink(&upstream.key),
            Client::Modern(_) => upstream.unlink(link),
        }
    }

    fn compose(&self, era: Era, id: Option<&str>, request_state: Option<String>) -> Bytes {
        let log_level;
        let bridge = match (&self.caller.client, era) {
            (Client::Legacy(session), Era::Modern) => {
                log_level = lock(&session.log_level).clone();
                let (capabilities, client_info) = (session.capabilities.as_str(), session.client_info.as_str());
                Some(Bridge::ToModern { capabilities, client_info, log_level: log_level.as_deref() })
            }
            (Client::Modern(_), Era::Legacy) => Some(Bridge::ToLegacy),
            _ => None,
        };
        let own = Some(self.dispatch.name.as_str());
        let named = matches!(self.message.method(), "tools/call" | "prompts/get");
        let same = self.message.param_str("name").as_deref() == own;
        let changes = Changes {
            id,
            name: own.filter(|_| named && !same),
            reference: own
                .filter(|_| self.message.method() == "completion/complete" && self.message.inner("ref", "name").is_some()),
            traceparent: self.caller.gateway.recorder.observer().traces().then(|| self.pending.trace.traceparent()),
            request_state,
            bridge,
        };
        compose(&self.message, &changes)
    }

    fn sending<'a>(&'a self, era: Era, link: Option<&'a Arc<Link>>) -> Sending<'a> {
        let name = match self.message.method() {
            "tools/call" | "prompts/get" | "resources/read" => Some(self.dispatch.name.as_str()),
            method if method.starts_with("tasks/") => self.caller.task_id.as_deref(),
            _ => None,
        };
        let params = match (&self.dispatch.tool, era) {
            (Some(tool), Era::Modern) if !tool.param_headers.is_empty() => param_headers(&self.message, &tool.param_headers),
            _ => Vec::new(),
        };
        Sending { method: self.message.method(), name, params, link }
    }

    /// Takes up an exchange that waited for its client.
    async fn resume(&mut self, parked: Parked) -> Result<(Sent, Reply), UpstreamError> {
        let Parked { sent, incoming, asked, upstream, .. } = parked;
        let sending = Sending { link: sent.link.as_ref(), ..Sending::default() };
        let answers = self.message.inner_fields("inputResponses");
        for (key, id) in asked {
            let answer = answers.iter().find(|field| self.message.key(field) == key).map(|field| self.message.text(&field.value));
            let body = match answer {
                Some(result) => format!("{{\"jsonrpc\":\"2.0\",\"id\":{id},\"result\":{result}}}"),
                None => {
                    format!(
                        "{{\"jsonrpc\":\"2.0\",\"id\":{id},\"error\":{{\"code\":-32603,\"message\":\"the client did not answer\"}}}}"
                    )
                }
            };
            upstream.tell(Bytes::from(body), &sending).await?;
        }
        Ok((sent, Reply::Stream(incoming)))
    }

    /// A stream for this request. One of the session era outlives its connection; one of 2026-07-28 ends with it.
    fn open_stream(&self) -> (Arc<EventLog>, Response<Body>) {
        let log = match &self.caller.client {
            Client::Legacy(session) => session.stream(),
            Client::Modern(_) => EventLog::new(None),
        };
        let response = events(&log, None);
        (log, response)
    }

    /// Passes messages on until the response has been.
    async fn pump(
        mut self,
        mut sent: Sent,
        mut incoming: Option<Incoming>,
        mut first: Option<Message>,
        log: Arc<EventLog>,
        mut stop: Stop,
    ) {
        if matches!(&self.caller.client, Client::Legacy(session) if session.version >= remit_mcp::Version::V20251125) {
            log.send(Some(1000), b"").await;
        }
        for _ in 0..ROUNDS_MAX {
            let response = match first.take() {
                Some(message) => Ok(Step::Response(message)),
                None => self.until_response(&sent, &mut incoming, &log, &mut stop).await,
            };
            match response {
                Err(error @ UpstreamError::Timeout) => {
                    self.tell_cancelled(&sent).await;
                    return self.fail_on(&log, &error).await;
                }
                Err(error) => return self.fail_on(&log, &error).await,
                Ok(Step::Cut(Cut::Cancelled)) => return self.cancelled(&sent, &log).await,
                Ok(Step::Cut(Cut::Stopped(denial))) => return self.stopped(&sent, &log, &denial).await,
                Ok(Step::Asked(request)) => {
                    if let Some(incoming) = incoming {
                        return self.park(sent, incoming, &request, &log).await;
                    }
                    return log.close();
                }
                Ok(Step::Response(message)) if self.asks_legacy_client(&sent, &message) => {
                    let next = tokio::select! {
                        biased;
                        denial = stop.stopped() => return self.stopped(&sent, &log, &denial).await,
                        next = self.another_round(&mut sent, &message, &log) => next,
                    };
                    match next {
                        Ok(Reply::Whole(message)) => first = Some(message),
                        Ok(Reply::Stream(next)) => incoming = Some(next),
                        Err(error) => return self.fail_on(&log, &error).await,
                    }
                }
                Ok(Step::Response(message)) => {
                    let bytes = self.conclude(&sent, message).await;
                    log.send(None, &bytes).await;
                    return log.close();
                }
            }
        }
        self.fail_on(&log, &UpstreamError::Protocol(format!("more than {ROUNDS_MAX} rounds of input"))).await;
    }

    /// Passes on what comes before the response.
    async fn until_response(
        &mut self,
        sent: &Sent,
        incoming: &mut Option<Incoming>,
        log: &Arc<EventLog>,
        stop: &mut Stop,
    ) -> Result<Step, UpstreamError> {
        let Some(incoming) = incoming.as_mut() else {
            return Err(UpstreamError::Protocol("the exchange ended without a response".to_owned()));
        };
        loop {
            let waiting = Instant::now();
            let next = tokio::select! {
                biased;
                () = gave_up(self.cancel.as_ref(), &self.caller.client, log) => return Ok(Step::Cut(Cut::Cancelled)),
                denial = stop.stopped() => return Ok(Step::Cut(Cut::Stopped(Box::new(denial)))),
                next = incoming.next() => next?,
            };
            self.pending.upstream_took(waiting.elapsed());
            let Some(message) = next else {
                return Err(UpstreamError::Protocol("the stream ended without a response".to_owned()));
            };
            match message.kind() {
                Kind::Response | Kind::Error => return Ok(Step::Response(message)),
                Kind::Notification => {
                    if self.wanted(&message)
                        && let Some(message) = self.passed(&message).await
                    {
                        self.reads(message.body());
                        // A client that doesn't read holds its own call up, and not for ever.
                        let passed = tokio::time::timeout(self.upstream.silence_max(), log.send(None, message.body()));
                        if passed.await.is_err() {
                            return Ok(Step::Cut(Cut::Cancelled));
                        }
                    }
                }
                Kind::Request => {
                    if let Some(step) = self.server_asks(sent, message, log).await? {
                        return Ok(step);
                    }
                }
            }
        }
    }

    /// Whether a notification on this exchange is the client's. In 2026-07-28 nothing comes that wasn't asked for.
    fn wanted(&self, message: &Message) -> bool {
        match (&self.caller.client, message.method()) {
            (_, "notifications/cancelled" | "notifications/initialized") => false,
            (Client::Legacy(_), _) => true,
            (Client::Modern(modern), "notifications/message") => modern.log_level.is_some(),
            (Client::Modern(_), method) => !method.ends_with("/list_changed") && method != "notifications/resources/updated",
        }
    }

    /// A server of the session era asks its client for something in the middle of a call.
    async fn server_asks(&mut self, sent: &Sent, message: Message, log: &Arc<EventLog>) -> Result<Option<Step>, UpstreamError> {
        let sending = Sending { link: sent.link.as_ref(), ..Sending::default() };
        let id = message.id().unwrap_or("null").to_owned();
        if message.method() == "ping" {
            let pong = Bytes::from(remit_mcp::error::result_answer(&id, "{}"));
            self.upstream.tell(pong, &sending).await?;
            return Ok(None);
        }
        if !may_ask(self.caller.capabilities(), message.method()) {
            let refused = RpcError::new(ErrorCode::MethodNotFound, "the client does not offer this");
            self.upstream.tell(Bytes::from(refused.answer(&id)), &sending).await?;
            return Ok(None);
        }
        let Some(message) = self.passed(&message).await else {
            let refused = RpcError::new(ErrorCode::Denied, "a guardrail keeps this from the client");
            self.upstream.tell(Bytes::from(refused.answer(&id)), &sending).await?;
            return Ok(None);
        };
        self.reads(message.body());
        match &self.caller.client {
            Client::Modern(_) => Ok(Some(Step::Asked(message))),
            Client::Legacy(session) => {
                let (session, upstream, link, log) =
                    (Arc::clone(session), Arc::clone(&self.upstream), sent.link.clone(), Arc::clone(log));
                let answering = self.answering();
                tokio::spawn(async move {
                    let answer = session.ask(&log, message.method(), message.params()).await;
                    let sending = Sending { link: link.as_ref(), ..Sending::default() };
                    let _ = upstream.tell(answering.answer(&id, answer).await, &sending).await;
                });
                Ok(None)
            }
        }
    }

    /// Whether this response is a server's wish for input that a client of the session era has to be asked for.
    fn asks_legacy_client(&self, sent: &Sent, message: &Message) -> bool {
        matches!(self.caller.client, Client::Legacy(_))
            && sent.server_era == Era::Modern
            && message.kind() == Kind::Response
            && message.param_str("resultType").as_deref() == Some("input_required")
    }

    /// Asks a client of the session era for what a server of 2026-07-28 needs, and sends the request once more with the answers.
    async fn another_round(&mut self, sent: &mut Sent, message: &Message, log: &Arc<EventLog>) -> Result<Reply, UpstreamError> {
        let Client::Legacy(session) = &self.caller.client else {
            return Err(UpstreamError::Protocol("a round for no session".to_owned()));
        };
        let passed = self.passed(message).await;
        let message =
            passed.ok_or_else(|| UpstreamError::Protocol("a guardrail keeps its question from the client".to_owned()))?;
        self.reads(message.body());
        let mut answers = Vec::new();
        for field in message.inner_fields("inputRequests") {
            let request: serde_json::Value = serde_json::from_str(message.text(&field.value)).unwrap_or_default();
            let method = request.get("method").and_then(serde_json::Value::as_str).unwrap_or_default();
            if !may_ask(&session.capabilities, method) {
                return Err(UpstreamError::Protocol(format!(
                    "the server needs `{}`, which the client does not offer",
                    crate::record::clip(method)
                )));
            }
            // The parameters as the server wrote them: `RawValue` keeps every byte.
            let raw: HashMap<String, &serde_json::value::RawValue> =
                serde_json::from_str(message.text(&field.value)).unwrap_or_default();
            let params = raw.get("params").map(|params| params.get());
            let answer = self.answering().passed(session.ask(log, method, params).await).await;
            let answer = answer.map_err(|refused| UpstreamError::Protocol(refused.message.clone()))?;
            let result = match &answer {
                Some(answer) if answer.kind() == Kind::Response => answer.params().unwrap_or("{}").to_owned(),
                _ if method == "elicitation/create" => "{\"action\":\"cancel\"}".to_owned(),
                _ => return Err(UpstreamError::Protocol(format!("the client did not answer `{method}`"))),
            };
            answers.push(format!("{}:{result}", message.text(&field.key)));
        }
        let Some(before) = sent.body.take() else {
            return Err(UpstreamError::Protocol("the request is not at hand for another round".to_owned()));
        };
        let id = quote(&format!("remit-{}", crate::clock::id(crate::clock::now_ms()).unwrap_or_default()));
        let id = self.upstream.fresh_id()?.unwrap_or(id);
        let state = message.param("requestState");
        let body = retry(&before, &id, &format!("{{{}}}", answers.join(",")), state);
        sent.body = Message::parse(body.clone(), remit_mcp::json::Limits::default()).ok();
        sent.id = id;
        let started = Instant::now();
        let reply = self.upstream.request(body, &self.sending(Era::Modern, None)).await;
        self.pending.upstream_took(started.elapsed());
        reply
    }

    /// Parks an exchange and asks a client of 2026-07-28 for what the server needs.
    async fn park(mut self, sent: Sent, incoming: Incoming, request: &Message, log: &Arc<EventLog>) {
        let (what, who) = (what(&self.message), self.owner());
        let held = std::mem::take(&mut self.held);
        let caller = &self.caller;
        let now_secs = now_secs();
        let key = "input";
        let asked = HashMap::from([(key.to_owned(), request.id().unwrap_or("null").to_owned())]);
        let until_secs = now_secs + STATE_TTL_SECS;
        let upstream = Arc::clone(&self.upstream);
        let parked = Parked { sent, incoming, asked, upstream, until_secs, who: who.clone(), what, held };
        let bound = Bound { who: &who, what: &what };
        let state = caller
            .gateway
            .parked
            .park(parked, now_secs)
            .and_then(|number| caller.gateway.seal.seal(State::Parked(number), bound, now_secs));
        let id = self.message.id().unwrap_or("null").to_owned();
        let Some(state) = state else {
            let busy = RpcError::new(ErrorCode::Internal, "too many requests wait for their client");
            let _ = self.pending.finish("unfinished", None).await;
            log.send(None, &busy.answer(&id)).await;
            return log.close();
        };
        let params = request.params().map(|params| format!(",\"params\":{params}")).unwrap_or_default();
        let result = format!(
            "{{\"resultType\":\"input_required\",\"inputRequests\":{{\"{key}\":{{\"method\":{}{params}}}}},\"requestState\":{}}}",
            quote(request.method()),
            quote(&state)
        );
        let bytes = remit_mcp::error::result_answer(&id, &result);
        let bytes = match self.pending.finish("input_required", Some(&bytes)).await {
            Ok(()) => bytes,
            Err(error) => RpcError::new(ErrorCode::Internal, error.to_string()).answer(&id),
        };
        log.send(None, &bytes).await;
        log.close();
    }

    /// The client has gone or cancelled: the server is told, and the record says so.
    async fn cancelled(self, sent: &Sent, log: &Arc<EventLog>) {
        self.tell_cancelled(sent).await;
        let _ = self.pending.finish("cancelled", None).await;
        log.close();
    }

    /// An operator has stopped who calls, or what is called: the server is told, the record says so, and the caller learns why.
    async fn stopped(self, sent: &Sent, log: &Arc<EventLog>, denial: &Denial) {
        self.tell_cancelled(sent).await;
        let id = self.message.id().unwrap_or("null").to_owned();
        let error = denial_error(denial, &[], &self.pending.decision_id, None);
        let answer = match self.pending.finish("cancelled", None).await {
            Ok(()) => error.answer(&id),
            Err(unrecorded) => RpcError::new(ErrorCode::Internal, unrecorded.to_string()).answer(&id),
        };
        log.send(None, &answer).await;
        log.close();
    }

    /// Tells a server of the session era that nobody waits any more. A child learns of it from its own exchange.
    async fn tell_cancelled(&self, sent: &Sent) {
        if let Some(link) = sent.link.as_ref().filter(|link| link.child.is_none()) {
            let sending = Sending { link: Some(link), ..Sending::default() };
            let _ = self.upstream.tell(cancellation(&sent.id), &sending).await;
        }
    }

    /// Makes the client's response of the server's, records the outcome, and only then lets it go.
    async fn conclude(mut self, sent: &Sent, message: Message) -> Bytes {
        let id = self.message.id().unwrap_or("null").to_owned();
        let adapted = match self.adapt(sent, &message, &id) {
            Ok((bytes, outcome)) => Box::pin(self.guarded(bytes)).await.map(|(bytes, blocked)| (bytes, outcome, blocked)),
            Err(error) => Err(error),
        };
        // It is read before anybody sees it: what comes after can't be earlier.
        self.reads(message.body());
        let (adapted, blocked) = match adapted {
            Ok((bytes, outcome, blocked)) => (Ok((bytes, outcome)), blocked),
            Err(error) => (Err(error), None),
        };
        let kept = blocked
            .map(|(denial, line)| (denial, line.origin))
            .or_else(|| adapted.as_ref().ok().and_then(|(bytes, outcome)| self.withheld(bytes, outcome)));
        let receipt = Receipt::wanted(&self.caller, &self.message, &self.pending.decision_id);
        match (adapted, kept) {
            (Ok((bytes, outcome)), Some((denial, origin))) => {
                let layer = LayerLine {
                    layer: denial.layer,
                    effect: Effect::ExplicitDeny,
                    statement: denial.statement.clone().into(),
                    origin,
                };
                let answer = denial_error(&denial, std::slice::from_ref(&layer), &self.pending.decision_id, None).answer(&id);
                match self.pending.withhold(&layer, outcome, Some(&bytes)).await {
                    Ok(()) => answer.into(),
                    Err(error) => RpcError::new(ErrorCode::Internal, error.to_string()).answer(&id).into(),
                }
            }
            (Ok((bytes, outcome)), None) => match self.pending.finish(outcome, Some(&bytes)).await {
                Ok(()) => Receipt::put(receipt, bytes),
                Err(error) => RpcError::new(ErrorCode::Internal, error.to_string()).answer(&id).into(),
            },
            (Err(error), _) => {
                let answer = server_error(&self.upstream, &error).answer(&id);
                match self.pending.finish(error.code(), None).await {
                    Ok(()) => answer.into(),
                    Err(error) => RpcError::new(ErrorCode::Internal, error.to_string()).answer(&id).into(),
                }
            }
        }
    }

    fn adapt(&self, sent: &Sent, message: &Message, id: &str) -> Result<(Bytes, &'static str), UpstreamError> {
        if message.id() != Some(&sent.id) && message.kind() != Kind::Error {
            return Err(UpstreamError::Protocol("it answered a request that was not asked".to_owned()));
        }
        let outcome = outcome(message);
        if outcome == "task" {
            let bound = announced(message).is_some_and(|task| {
                let tool = self.dispatch.tool.as_ref().map(|tool| tool.exposed.as_str()).unwrap_or_default();
                let space = self.caller.space.space.id.as_str();
                self.caller.gateway.tasks.bind(space, &task, &self.caller.who, &self.upstream.key, tool)
            });
            if !bound {
                return Err(UpstreamError::Protocol("its task could not be bound to the caller".to_owned()));
            }
        }
        let cacheable = self.message.method() == "resources/read";
        let bytes = response(message, id, self.caller.era(), sent.server_era, cacheable);
        let upstream_state =
            (outcome == "input_required" && sent.server_era == Era::Modern).then(|| message.param_str("requestState")).flatten();
        let Some(state) = upstream_state else { return Ok((bytes, outcome)) };
        let what = what(&self.message);
        let who = self.owner();
        let bound = Bound { who: &who, what: &what };
        let sealed = self.caller.gateway.seal.seal(State::Upstream(state.into_owned()), bound, now_secs());
        let sealed = sealed.ok_or_else(|| UpstreamError::Protocol("its state could not be sealed".to_owned()))?;
        let answer = Message::parse(bytes, remit_mcp::json::Limits::default())
            .map_err(|error| UpstreamError::Protocol(error.to_string()))?;
        let mut splice = remit_mcp::splice::Splice::new();
        if let Some(span) = answer.param_span("requestState") {
            splice.replace(span, quote(&sealed));
        }
        Ok((Bytes::from(splice.apply(answer.body(), answer.root())), outcome))
    }

    async fn whole(self, sent: &Sent, message: Message) -> Response<Body> {
        let era = self.caller.era();
        let bytes = self.conclude(sent, message).await;
        json_status(status_of(era, &bytes), bytes)
    }

    async fn fail(self, error: &UpstreamError) -> Response<Body> {
        let rpc = server_error(&self.upstream, error);
        self.refuse(error.code(), rpc).await
    }

    async fn refuse(self, outcome: &'static str, error: RpcError) -> Response<Body> {
        let (id, era) = (self.message.id().unwrap_or("null").to_owned(), self.caller.era());
        let error = match self.pending.finish(outcome, None).await {
            Ok(()) => error,
            Err(unrecorded) => RpcError::new(ErrorCode::Internal, unrecorded.to_string()),
        };
        answer_rpc(era, &id, &error)
    }

    async fn fail_on(self, log: &Arc<EventLog>, error: &UpstreamError) {
        let id = self.message.id().unwrap_or("null").to_owned();
        let answer = server_error(&self.upstream, error).answer(&id);
        let answer = match self.pending.finish(error.code(), None).await {
            Ok(()) => answer,
            Err(unrecorded) => RpcError::new(ErrorCode::Internal, unrecorded.to_string()).answer(&id),
        };
        log.send(None, &answer).await;
        log.close();
    }
}

impl Relay {
    /// Whose a state is: the principal, in this space, towards this server.
    fn owner(&self) -> String {
        format!("{}\n{}\n{}", self.caller.space.space.id, self.upstream.key, self.caller.who)
    }
}

fn now_secs() -> u64 {
    crate::clock::now_ms() / 1000
}

/// What a client's state is bound to: the digest of method, name and arguments.
pub(crate) fn what(message: &Message) -> [u8; 32] {
    let name = message.param("name").or_else(|| message.param("uri")).unwrap_or_default();
    sha256(format!("{}\n{name}\n{}", message.method(), message.param("arguments").unwrap_or_default()).as_bytes())
}

/// What an exchange came to.
enum Step {
    Response(Message),
    Asked(Message),
    Cut(Cut),
}

/// Resolves when nobody wants the answer any more. In the session era a lost connection says nothing; in 2026-07-28 it says so.
pub(crate) async fn gave_up(cancel: Option<&Cancel>, client: &Client, log: &Arc<EventLog>) {
    match client {
        Client::Modern(_) => log.gone().await,
        Client::Legacy(_) => cancelled(cancel).await,
    }
}

/// Resolves when the client of a session cancels, if it can.
async fn cancelled(cancel: Option<&Cancel>) {
    match cancel {
        Some(cancel) => cancel.cancelled().await,
        None => std::future::pending().await,
    }
}

/// The word for how a call ended.
fn outcome(message: &Message) -> &'static str {
    if message.kind() == Kind::Error {
        return "error";
    }
    match message.param_str("resultType").as_deref() {
        Some("input_required") => "input_required",
        Some("task") => "task",
        _ if message.param("isError") == Some("true") => "tool_error",
        _ if message.inner("task", "taskId").is_some() => "task",
        _ => "ok",
    }
}

fn server_error(upstream: &Upstream, error: &UpstreamError) -> RpcError {
    RpcError::new(ErrorCode::Internal, format!("server `{}`: {error}", upstream.key.name))
}

/// The HTTP status of a JSON-RPC response (2026-07-28, Streamable HTTP, "Error responses"); the session era knows only 200.
fn status_of(era: Era, bytes: &Bytes) -> StatusCode {
    if era == Era::Legacy || !bytes.windows(8).take(256).any(|window| window == b"\"error\":") {
        return StatusCode::OK;
    }
    let Ok(message) = Message::parse(bytes.clone(), remit_mcp::json::Limits::default()) else { return StatusCode::OK };
    if message.kind() != Kind::Error {
        return StatusCode::OK;
    }
    match message.param("code").and_then(|code| code.parse::<i64>().ok()) {
        Some(-32601) => StatusCode::NOT_FOUND,
        Some(-32700 | -32600 | -32602 | -32020 | -32021 | -32022) => StatusCode::BAD_REQUEST,
        _ => StatusCode::OK,
    }
}

/// `Mcp-Param-*` for the server, from the very arguments that are sent.
pub(crate) fn param_headers(message: &Message, marked: &[header::ParamHeader]) -> Vec<(String, String)> {
    let arguments: serde_json::Value =
        message.param("arguments").and_then(|text| serde_json::from_str(text).ok()).unwrap_or_default();
    let value = |mark: &header::ParamHeader| {
        let value = mark.value(&arguments)?;
        Some((mark.header.clone(), header::param_text(&value.to_string())?.into_owned()))
    };
    marked.iter().filter_map(value).collect()
}
