//! Streamable HTTP on this machine, both eras on one path.

use std::collections::HashMap;
use std::convert::Infallible;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};

use bytes::Bytes;
use http::{HeaderMap, Method, Request, Response, StatusCode};
use http_body_util::{BodyExt as _, Limited};
use hyper::body::{Body, Frame, Incoming};
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use remit_mcp::error::result_answer;
use remit_mcp::json::Limits;
use remit_mcp::version::{Version, meta};
use remit_mcp::{Era, ErrorCode, Kind, Message, RpcError, header, message, sse};
use serde_json::Value;
use tokio::net::TcpListener;
use tokio::sync::mpsc;

use crate::UnknownServer;
use crate::service::{Client, Pending, Reply, Service, unsupported};
use crate::state::random_id;
use crate::world::Answer;

/// The one path that is served.
const PATH: &str = "/mcp";
/// The largest body of a request, in bytes.
const BODY_BYTES_MAX: usize = 4 * 1024 * 1024;
/// The most messages of a batch.
const BATCH_MAX: usize = 100;
/// The most sessions; the oldest goes first.
const SESSIONS_MAX: usize = 1024;
/// The header of a session.
const SESSION: &str = "mcp-session-id";
/// The header of the revision.
const VERSION: &str = "mcp-protocol-version";

/// Who may call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Access {
    /// Everybody on this machine.
    Open,
    /// Whoever shows this key, as `Authorization: Bearer` or as `x-api-key`.
    Key(String),
    /// Whoever shows a key: the first one that is shown becomes the key. For trials, where nobody has told the server.
    FirstKey,
}

/// A sample server that listens on 127.0.0.1.
pub struct HttpServer {
    listener: TcpListener,
    state: Arc<State>,
}

impl HttpServer {
    /// Starts to listen; port 0 picks a free one.
    pub async fn bind(name: &str, port: u16, access: Access) -> io::Result<Self> {
        let service = Service::new(name).map_err(|error: UnknownServer| io::Error::new(io::ErrorKind::InvalidInput, error))?;
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, port)).await?;
        let state = State { service, access: Mutex::new(access), sessions: Mutex::default() };
        Ok(Self { listener, state: Arc::new(state) })
    }

    /// The address that it serves.
    pub fn url(&self) -> io::Result<String> {
        let address: SocketAddr = self.listener.local_addr()?;
        Ok(format!("http://{address}{PATH}"))
    }

    /// Serves until the listener fails; drop the future to stop.
    pub async fn serve(self) -> io::Result<()> {
        loop {
            let (stream, _) = self.listener.accept().await?;
            stream.set_nodelay(true)?;
            let state = Arc::clone(&self.state);
            tokio::spawn(async move {
                let answer = service_fn(move |request| {
                    let state = Arc::clone(&state);
                    async move { Ok::<_, Infallible>(answer(&state, request).await) }
                });
                // A client that goes away ends its connection with an error, which is its right.
                let _ = hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), answer).await;
            });
        }
    }
}

struct State {
    service: Service,
    access: Mutex<Access>,
    sessions: Mutex<Sessions>,
}

#[derive(Default)]
struct Sessions {
    open: HashMap<String, Session>,
    /// Their ids, the oldest first.
    order: std::collections::VecDeque<String>,
}

struct Session {
    client: Client,
    asked: u64,
    pending: HashMap<String, (Pending, mpsc::UnboundedSender<Bytes>)>,
}

/// A whole body, or events as they come.
enum Payload {
    Whole(Option<Bytes>),
    Events(mpsc::UnboundedReceiver<Bytes>),
}

impl Body for Payload {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        match &mut *self {
            Self::Whole(bytes) => Poll::Ready(bytes.take().map(|bytes| Ok(Frame::data(bytes)))),
            Self::Events(events) => events.poll_recv(context).map(|bytes| bytes.map(|bytes| Ok(Frame::data(bytes)))),
        }
    }
}

fn response(status: StatusCode, headers: &[(&'static str, &str)], body: Payload) -> Response<Payload> {
    let mut response = Response::new(body);
    *response.status_mut() = status;
    for (name, value) in headers {
        if let Ok(value) = http::HeaderValue::from_str(value) {
            response.headers_mut().insert(*name, value);
        }
    }
    response
}

fn empty(status: StatusCode) -> Response<Payload> {
    response(status, &[], Payload::Whole(None))
}

fn json(status: StatusCode, body: Vec<u8>) -> Response<Payload> {
    response(status, &[("content-type", "application/json")], Payload::Whole(Some(body.into())))
}

fn refused(status: StatusCode, code: ErrorCode, text: &str) -> Response<Payload> {
    json(status, RpcError::new(code, text).answer("null"))
}

async fn answer(state: &State, request: Request<Incoming>) -> Response<Payload> {
    if request.uri().path() != PATH {
        return empty(StatusCode::NOT_FOUND);
    }
    if !from_here(request.headers()) {
        return refused(StatusCode::FORBIDDEN, ErrorCode::InvalidRequest, "Only this machine may call");
    }
    if !state.admits(request.headers()) {
        return response(StatusCode::UNAUTHORIZED, &[("www-authenticate", "Bearer")], Payload::Whole(None));
    }
    match *request.method() {
        Method::POST => {}
        Method::DELETE => {
            let id = header_text(request.headers(), SESSION).unwrap_or_default();
            let gone = state.sessions().open.remove(id).is_some();
            return empty(if gone { StatusCode::NO_CONTENT } else { StatusCode::NOT_FOUND });
        }
        _ => return response(StatusCode::METHOD_NOT_ALLOWED, &[("allow", "POST, DELETE")], Payload::Whole(None)),
    }
    let (parts, body) = request.into_parts();
    let Ok(body) = Limited::new(body, BODY_BYTES_MAX).collect().await else { return empty(StatusCode::PAYLOAD_TOO_LARGE) };
    let body = body.to_bytes();
    if let Some(batch) = message::batch(&body, BATCH_MAX, Limits::default()) {
        return state.batch(&parts.headers, batch);
    }
    match Message::parse(body, Limits::default()) {
        Ok(message) => state.message(&parts.headers, &message),
        Err(error) => refused(StatusCode::BAD_REQUEST, ErrorCode::Parse, &error.to_string()),
    }
}

fn header_text<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    headers.get(name).and_then(|value| value.to_str().ok())
}

/// Whether host and origin are this machine: a web page elsewhere must not reach us through its visitor's browser.
fn from_here(headers: &HeaderMap) -> bool {
    let local = |authority: &str| {
        let host =
            authority.rsplit_once(':').map_or(authority, |(host, port)| if port.ends_with(']') { authority } else { host });
        matches!(host, "127.0.0.1" | "localhost" | "[::1]")
    };
    let host = header_text(headers, "host").is_some_and(local);
    let origin = headers.get("origin").map(|origin| origin.to_str().unwrap_or_default());
    host && origin.is_none_or(|origin| origin.split_once("://").is_some_and(|(_, authority)| local(authority)))
}

/// The params of a message as a value.
fn params(message: &Message) -> Value {
    message.params().and_then(|text| serde_json::from_str(text).ok()).unwrap_or_default()
}

impl State {
    fn sessions(&self) -> MutexGuard<'_, Sessions> {
        self.sessions.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn admits(&self, headers: &HeaderMap) -> bool {
        let bearer = header_text(headers, "authorization").and_then(|value| value.strip_prefix("Bearer "));
        let shown = bearer.or_else(|| header_text(headers, "x-api-key")).filter(|key| !key.is_empty());
        let mut access = self.access.lock().unwrap_or_else(PoisonError::into_inner);
        match (&*access, shown) {
            (Access::Open, _) => true,
            (Access::Key(key), Some(shown)) => {
                aws_lc_rs::constant_time::verify_slices_are_equal(key.as_bytes(), shown.as_bytes()).is_ok()
            }
            (Access::FirstKey, Some(shown)) => {
                *access = Access::Key(shown.to_owned());
                true
            }
            (_, None) => false,
        }
    }

    fn message(&self, headers: &HeaderMap, message: &Message) -> Response<Payload> {
        let modern_header =
            header_text(headers, VERSION).and_then(Version::parse).is_some_and(|version| version.era() == Era::Modern);
        if modern_header || message.meta(meta::PROTOCOL_VERSION).is_some() || message.method() == "server/discover" {
            return self.modern(headers, message);
        }
        if let Some(version) = header_text(headers, VERSION).filter(|version| Version::parse(version).is_none()) {
            return json(StatusCode::BAD_REQUEST, unsupported(version).answer(message.id().unwrap_or("null")));
        }
        if message.method() == "initialize" {
            return self.initialize(message);
        }
        let Some(id) = header_text(headers, SESSION) else {
            return refused(StatusCode::BAD_REQUEST, ErrorCode::InvalidRequest, "`Mcp-Session-Id` is missing");
        };
        let Some(client) = self.sessions().open.get(id).map(|session| session.client) else {
            return refused(StatusCode::NOT_FOUND, ErrorCode::InvalidRequest, "There is no such session");
        };
        match message.kind() {
            Kind::Request => self.request(client, Some(id), message),
            Kind::Notification => empty(StatusCode::ACCEPTED),
            Kind::Response | Kind::Error => {
                self.answered(id, message);
                empty(StatusCode::ACCEPTED)
            }
        }
    }

    fn initialize(&self, message: &Message) -> Response<Payload> {
        let params = params(message);
        let client = Client::legacy(params.get("capabilities"));
        let Some(id) = random_id() else { return empty(StatusCode::INTERNAL_SERVER_ERROR) };
        let mut sessions = self.sessions();
        sessions.open.insert(id.clone(), Session { client, asked: 0, pending: HashMap::new() });
        sessions.order.push_back(id.clone());
        if sessions.order.len() > SESSIONS_MAX
            && let Some(oldest) = sessions.order.pop_front()
        {
            sessions.open.remove(&oldest);
        }
        drop(sessions);
        let mut response = self.request(client, None, message);
        if let Ok(value) = http::HeaderValue::from_str(&id) {
            response.headers_mut().insert(SESSION, value);
        }
        response
    }

    /// A request of the session era. The user is asked on the stream that answers it.
    fn request(&self, client: Client, session: Option<&str>, message: &Message) -> Response<Payload> {
        let id = message.id().unwrap_or("null");
        match self.service.request(client, id, message.method(), &params(message)) {
            Ok(Reply::Result(result)) => json(StatusCode::OK, result_answer(id, &result.to_string())),
            Err(error) => json(StatusCode::OK, error.answer(id)),
            Ok(Reply::Ask(pending)) => {
                let mut sessions = self.sessions();
                let Some(session) = session.and_then(|id| sessions.open.get_mut(id)) else { return empty(StatusCode::NOT_FOUND) };
                session.asked += 1;
                let ask = format!("ask-{}", session.asked);
                let (sender, receiver) = mpsc::unbounded_channel();
                let _ = sender.send(sse::write(None, None, pending.ask(&ask).to_string().as_bytes()).into());
                session.pending.insert(ask, (pending, sender));
                let headers = [("content-type", "text/event-stream"), ("cache-control", "no-store")];
                response(StatusCode::OK, &headers, Payload::Events(receiver))
            }
        }
    }

    /// The user has answered: the call goes on, and its result ends its stream.
    fn answered(&self, session: &str, message: &Message) {
        let id: Option<String> = message.id().and_then(|id| serde_json::from_str(id).ok());
        let pending = self.sessions().open.get_mut(session).zip(id).and_then(|(session, id)| session.pending.remove(&id));
        let Some((pending, sender)) = pending else { return };
        let answer = if message.kind() == Kind::Response { Answer::read(&params(message)) } else { Answer::Refused };
        let result = result_answer(&pending.id, &self.service.resume(&pending, &answer).to_string());
        let _ = sender.send(sse::write(None, None, &result).into());
    }

    /// A batch (2025-03-26). Nobody is asked in one.
    fn batch(&self, headers: &HeaderMap, batch: Result<Vec<Message>, message::MessageError>) -> Response<Payload> {
        let messages = match batch {
            Ok(messages) => messages,
            Err(error) => return refused(StatusCode::BAD_REQUEST, ErrorCode::InvalidRequest, &error.to_string()),
        };
        if !header_text(headers, SESSION).is_some_and(|id| self.sessions().open.contains_key(id)) {
            return refused(StatusCode::NOT_FOUND, ErrorCode::InvalidRequest, "There is no such session");
        }
        let client = Client { era: Era::Legacy, elicits: false };
        let requests = messages.iter().filter(|message| message.kind() == Kind::Request);
        let answers: Vec<String> = requests
            .map(|message| {
                let id = message.id().unwrap_or("null");
                let answer = match self.service.request(client, id, message.method(), &params(message)) {
                    Ok(Reply::Result(result)) => result_answer(id, &result.to_string()),
                    Ok(Reply::Ask(_)) => RpcError::new(ErrorCode::Internal, "Nobody is asked in a batch").answer(id),
                    Err(error) => error.answer(id),
                };
                String::from_utf8(answer).unwrap_or_default()
            })
            .collect();
        if answers.is_empty() {
            empty(StatusCode::ACCEPTED)
        } else {
            json(StatusCode::OK, format!("[{}]", answers.join(",")).into_bytes())
        }
    }

    /// A message of 2026-07-28: it stands alone, and its headers must say what its body says.
    fn modern(&self, headers: &HeaderMap, message: &Message) -> Response<Payload> {
        let id = message.id().unwrap_or("null");
        match message.kind() {
            Kind::Request => {}
            Kind::Notification => return empty(StatusCode::ACCEPTED),
            Kind::Response | Kind::Error => {
                return refused(StatusCode::BAD_REQUEST, ErrorCode::InvalidRequest, "Only requests are answered");
            }
        }
        let params = params(message);
        let outcome = Self::modern_checked(headers, message).and_then(|()| {
            let client = Client::modern(&params)?;
            self.service.request(client, id, message.method(), &params)
        });
        match outcome {
            Ok(Reply::Result(result)) => json(StatusCode::OK, result_answer(id, &result.to_string())),
            Ok(Reply::Ask(_)) => json(StatusCode::OK, RpcError::new(ErrorCode::Internal, "Internal error").answer(id)),
            Err(error) => {
                let status = match error.code {
                    ErrorCode::HeaderMismatch | ErrorCode::UnsupportedVersion | ErrorCode::MissingClientCapability => {
                        StatusCode::BAD_REQUEST
                    }
                    ErrorCode::MethodNotFound => StatusCode::NOT_FOUND,
                    _ => StatusCode::OK,
                };
                json(status, error.answer(id))
            }
        }
    }

    fn modern_checked(headers: &HeaderMap, message: &Message) -> Result<(), RpcError> {
        let mismatch =
            |name: &str| Err(RpcError::new(ErrorCode::HeaderMismatch, format!("Header `{name}` contradicts the body")));
        let stated = message.inner_str("_meta", meta::PROTOCOL_VERSION);
        if stated.as_deref().is_some_and(|version| Version::parse(version).is_none()) {
            return Err(unsupported(stated.as_deref().unwrap_or_default()));
        }
        if header_text(headers, VERSION) != stated.as_deref() {
            return mismatch("MCP-Protocol-Version");
        }
        if header_text(headers, "mcp-method") != Some(message.method()) {
            return mismatch("Mcp-Method");
        }
        let name = headers.get("mcp-name").map(|value| value.to_str().ok().and_then(header::decode));
        match (name, header::name(message)) {
            (None, None) => Ok(()),
            (Some(Some(shown)), Some(said)) if shown == said => Ok(()),
            _ => mismatch("Mcp-Name"),
        }
    }
}
