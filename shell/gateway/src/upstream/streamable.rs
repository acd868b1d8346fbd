//! A server that is reached by Streamable HTTP.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use arc_swap::ArcSwapOption;
use bytes::{Bytes, BytesMut};
use http::header::{ACCEPT, CONTENT_TYPE, WWW_AUTHENTICATE};
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, Response, StatusCode};
use http_body_util::{BodyExt, Full};
use remit_egress::{Client, EgressError, Fetched};
use remit_mcp::json::Limits;
use remit_mcp::{Era, Message, Version, header, sse};
use remit_model::{Credential, Network, ServerKey, ServerLimits};

use super::credential::Header;
use super::{Context, Incoming, Link, Reply, Sending, Source, UpstreamError};

const PROTOCOL_VERSION: HeaderName = HeaderName::from_static("mcp-protocol-version");
const SESSION_ID: HeaderName = HeaderName::from_static("mcp-session-id");
const MCP_METHOD: HeaderName = HeaderName::from_static("mcp-method");
const MCP_NAME: HeaderName = HeaderName::from_static("mcp-name");
const LAST_EVENT_ID: HeaderName = HeaderName::from_static("last-event-id");

/// How often a stream that broke off is taken up again in one exchange.
const RESUMES_MAX: u32 = 16;
/// The longest time to wait before that, whatever the server asks for.
const RETRY_MAX: Duration = Duration::from_secs(30);

/// The connection to one server.
#[derive(Debug)]
pub(crate) struct HttpUpstream {
    key: ServerKey,
    client: Client,
    credential: Credential,
    credentials: Handle,
    header: ArcSwapOption<Made>,
    secrets: Arc<AtomicU64>,
    result_bytes_max: usize,
    silence_max: Duration,
}

/// The header that was made last, if the server needs one.
#[derive(Debug)]
struct Made {
    header: Option<Header>,
    /// How often secrets had changed by then.
    secrets: u64,
}

/// The port, without a debug form.
struct Handle(Arc<dyn super::Credentials>);

impl std::fmt::Debug for Handle {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Credentials")
    }
}

impl HttpUpstream {
    pub(crate) fn new(
        key: &ServerKey,
        url: &str,
        network: Network,
        credential: Credential,
        limits: &ServerLimits,
        ctx: &Context,
    ) -> Result<Self, EgressError> {
        Ok(Self {
            key: key.clone(),
            client: Client::new(url, network, &ctx.tls, Duration::from_millis(limits.connect_timeout_ms))?,
            credential,
            credentials: Handle(Arc::clone(&ctx.credentials)),
            header: ArcSwapOption::empty(),
            secrets: Arc::clone(&ctx.secrets),
            result_bytes_max: limits.result_bytes_max,
            silence_max: Duration::from_millis(limits.call_timeout_ms),
        })
    }

    /// Sends a request and reads the head of its answer.
    pub(crate) async fn request(&self, body: Bytes, sending: &Sending<'_>) -> Result<Reply, UpstreamError> {
        let fetched = self.send(Method::POST, body, sending, None).await?;
        let status = fetched.response.status();
        let kind = content_kind(fetched.response.headers());
        match (status, kind) {
            (StatusCode::NOT_FOUND, ContentKind::Other | ContentKind::Json) if in_session(sending) => {
                Err(UpstreamError::SessionGone)
            }
            (_, ContentKind::Json) => {
                let bytes = self.whole(fetched).await?;
                match Message::parse(bytes, Limits::default()) {
                    Ok(message) => Ok(Reply::Whole(message)),
                    Err(_) if !status.is_success() => Err(UpstreamError::Status(status.as_u16())),
                    Err(error) => Err(UpstreamError::Protocol(error.to_string())),
                }
            }
            (status, ContentKind::Events) if status.is_success() => {
                let resume = sending.link.map(|link| Resume {
                    link: Arc::clone(link),
                    last: None,
                    retry: Duration::from_secs(1),
                    left: RESUMES_MAX,
                });
                let stream = EventStream::new(self, fetched, resume);
                Ok(Reply::Stream(Incoming::new(Source::Http(Box::new(stream)), self.silence_max)))
            }
            (status, _) if status.is_success() => {
                Err(UpstreamError::Protocol("the answer is neither JSON nor an event stream".to_owned()))
            }
            (status, _) => Err(UpstreamError::Status(status.as_u16())),
        }
    }

    /// Sends something that has no response.
    pub(crate) async fn tell(&self, body: Bytes, sending: &Sending<'_>) -> Result<(), UpstreamError> {
        let fetched = self.send(Method::POST, body, sending, None).await?;
        let status = fetched.response.status();
        if status == StatusCode::NOT_FOUND && in_session(sending) {
            return Err(UpstreamError::SessionGone);
        }
        // An event stream may follow a notification too; nothing in it belongs to anybody.
        if content_kind(fetched.response.headers()) != ContentKind::Events {
            self.whole(fetched).await?;
        }
        if status.is_success() { Ok(()) } else { Err(UpstreamError::Status(status.as_u16())) }
    }

    /// Opens the stream of what belongs to no exchange.
    pub(crate) async fn listen(&self, link: &Arc<Link>) -> Result<Option<Incoming>, UpstreamError> {
        let sending = Sending { link: Some(link), ..Sending::default() };
        let fetched = self.send(Method::GET, Bytes::new(), &sending, None).await?;
        match (fetched.response.status(), content_kind(fetched.response.headers())) {
            (StatusCode::OK, ContentKind::Events) => {
                let stream = EventStream::new(self, fetched, None);
                Ok(Some(Incoming::new(Source::Http(Box::new(stream)), self.silence_max)))
            }
            // A server without such a stream may not even know the method: that says nothing of the session.
            _ => Ok(None),
        }
    }

    /// Ends a session.
    pub(crate) async fn delete(&self, link: &Arc<Link>) {
        let sending = Sending { link: Some(link), ..Sending::default() };
        if let Ok(fetched) = self.send(Method::DELETE, Bytes::new(), &sending, None).await {
            let _ = self.whole(fetched).await;
        }
    }

    async fn whole(&self, fetched: Fetched) -> Result<Bytes, UpstreamError> {
        whole(fetched, self.result_bytes_max).await
    }

    async fn send(
        &self,
        method: Method,
        body: Bytes,
        sending: &Sending<'_>,
        last_event: Option<&str>,
    ) -> Result<Fetched, UpstreamError> {
        let fetched = self.send_once(&method, body.clone(), sending, last_event, None).await?;
        let challenge = match challenge(&fetched.response) {
            Some(challenge) if self.credential.is_oauth() => challenge,
            _ => return Ok(fetched),
        };
        drop(fetched);
        self.send_once(&method, body, sending, last_event, Some(&challenge)).await
    }

    async fn send_once(
        &self,
        method: &Method,
        body: Bytes,
        sending: &Sending<'_>,
        last_event: Option<&str>,
        challenge: Option<&str>,
    ) -> Result<Fetched, UpstreamError> {
        let mut request = Request::new(Full::new(body));
        *request.method_mut() = method.clone();
        *request.uri_mut() = self.client.path().clone();
        let headers = request.headers_mut();
        headers.reserve(8);
        if *method == Method::POST {
            headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
            headers.insert(ACCEPT, HeaderValue::from_static("application/json, text/event-stream"));
        } else {
            headers.insert(ACCEPT, HeaderValue::from_static("text/event-stream"));
        }
        mcp_headers(headers, sending, last_event);
        if let Some((name, value)) = &self.credential_header(challenge).await?.header {
            headers.insert(name.clone(), value.clone());
        }
        Ok(self.client.send(request).await?)
    }

    async fn credential_header(&self, challenge: Option<&str>) -> Result<Arc<Made>, UpstreamError> {
        // Looked at before the secret is read: one that changes meanwhile is read again by the next request.
        let secrets = self.secrets.load(Ordering::Acquire);
        if challenge.is_none()
            && !self.credential.is_oauth()
            && let Some(made) = self.header.load_full().filter(|made| made.secrets == secrets)
        {
            return Ok(made);
        }
        let header = self.credentials.0.header(&self.key, self.client.url(), &self.credential, challenge).await?;
        let made = Arc::new(Made { header, secrets });
        self.header.store(Some(Arc::clone(&made)));
        Ok(made)
    }
}

/// What calls the token into question: a 401, with its challenge if it has one, and a 403 that says that the scope is too narrow. Any
/// other 403 is a denial, which another token changes nothing about (RFC 6750 section 3.1).
fn challenge(response: &Response<hyper::body::Incoming>) -> Option<String> {
    // RFC 9110 section 5.3: several fields of a name are one list.
    let fields: Vec<&str> = response.headers().get_all(WWW_AUTHENTICATE).iter().filter_map(|value| value.to_str().ok()).collect();
    let header = fields.join(", ");
    let narrow = || {
        let parsed = remit_identity::challenge::parse(&header).ok();
        parsed.is_some_and(|challenge| challenge.error.as_deref() == Some("insufficient_scope"))
    };
    match response.status() {
        StatusCode::UNAUTHORIZED => Some(header),
        StatusCode::FORBIDDEN if narrow() => Some(header),
        _ => None,
    }
}

/// Whether what is sent names a session: only then does 404 say that it is gone.
fn in_session(sending: &Sending<'_>) -> bool {
    sending.link.is_some_and(|link| link.session_id().is_some())
}

fn mcp_headers(headers: &mut HeaderMap, sending: &Sending<'_>, last_event: Option<&str>) {
    let text = |text: &str| HeaderValue::from_str(&header::encode(text)).ok();
    if let Some(link) = sending.link {
        if let Some(version) = link.version() {
            headers.insert(PROTOCOL_VERSION, HeaderValue::from_static(version.as_str()));
        }
        if let Some(id) = link.session_id() {
            headers.insert(SESSION_ID, id.clone());
        }
    } else {
        headers.insert(PROTOCOL_VERSION, HeaderValue::from_static(Version::V20260728.as_str()));
        if let Some(method) = text(sending.method) {
            headers.insert(MCP_METHOD, method);
        }
        if let Some(name) = sending.name.and_then(text) {
            headers.insert(MCP_NAME, name);
        }
        for (name, value) in &sending.params {
            if let (Ok(name), Some(value)) = (HeaderName::try_from(format!("mcp-param-{name}")), text(value)) {
                headers.insert(name, value);
            }
        }
    }
    if let Some(last) = last_event.and_then(|last| HeaderValue::from_str(last).ok()) {
        headers.insert(LAST_EVENT_ID, last);
    }
}

/// Reads a whole body of at most `bytes_max`.
async fn whole(fetched: Fetched, bytes_max: usize) -> Result<Bytes, UpstreamError> {
    let (response, lease) = fetched.into_parts();
    let mut body = response.into_body();
    let mut first: Option<Bytes> = None;
    let mut rest = BytesMut::new();
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|error| UpstreamError::Unreachable(super::chain(&error)))?;
        let Ok(data) = frame.into_data() else { continue };
        if first.as_ref().map_or(0, Bytes::len) + rest.len() + data.len() > bytes_max {
            return Err(UpstreamError::TooLarge(bytes_max));
        }
        match &first {
            None => first = Some(data),
            Some(_) => rest.extend_from_slice(&data),
        }
    }
    lease.finish();
    match first {
        Some(first) if rest.is_empty() => Ok(first),
        Some(first) => {
            let mut all = BytesMut::with_capacity(first.len() + rest.len());
            all.extend_from_slice(&first);
            all.extend_from_slice(&rest);
            Ok(all.freeze())
        }
        None => Ok(Bytes::new()),
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum ContentKind {
    Json,
    Events,
    Other,
}

fn content_kind(headers: &HeaderMap) -> ContentKind {
    let text = headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let kind = text.split(';').next().unwrap_or_default().trim();
    if kind.eq_ignore_ascii_case("application/json") {
        ContentKind::Json
    } else if kind.eq_ignore_ascii_case("text/event-stream") {
        ContentKind::Events
    } else {
        ContentKind::Other
    }
}

/// How a stream of the session era is taken up again (2025-11-25, "Resumability and Redelivery").
#[derive(Debug)]
struct Resume {
    link: Arc<Link>,
    last: Option<String>,
    retry: Duration,
    left: u32,
}

/// An event stream from a server.
#[derive(Debug)]
pub(crate) struct EventStream {
    response: Option<Response<hyper::body::Incoming>>,
    lease: Option<remit_egress::Lease>,
    parser: sse::Parser,
    ready: std::collections::VecDeque<sse::Event>,
    resume: Option<Resume>,
    client: Client,
    header: Option<Arc<Made>>,
    event_bytes_max: usize,
}

impl EventStream {
    fn new(upstream: &HttpUpstream, fetched: Fetched, resume: Option<Resume>) -> Self {
        let (response, lease) = fetched.into_parts();
        Self {
            response: Some(response),
            lease: Some(lease),
            parser: sse::Parser::new(upstream.result_bytes_max),
            ready: std::collections::VecDeque::new(),
            resume,
            client: upstream.client.clone(),
            header: upstream.header.load_full(),
            event_bytes_max: upstream.result_bytes_max,
        }
    }

    /// The next message.
    pub(crate) async fn next(&mut self) -> Result<Option<Message>, UpstreamError> {
        loop {
            while let Some(event) = self.ready.pop_front() {
                if let Some(resume) = &mut self.resume {
                    if event.id.is_some() {
                        resume.last.clone_from(&event.id);
                    }
                    if let Some(retry) = event.retry_ms {
                        resume.retry = Duration::from_millis(retry).min(RETRY_MAX);
                    }
                }
                if event.data.iter().all(u8::is_ascii_whitespace) || event.event.as_deref().is_some_and(|kind| kind != "message")
                {
                    continue;
                }
                let message =
                    Message::parse(event.data, Limits::default()).map_err(|error| UpstreamError::Protocol(error.to_string()))?;
                return Ok(Some(message));
            }
            if !self.fill().await? && !self.take_up().await? {
                return Ok(None);
            }
        }
    }

    /// Reads more; `false` at the end of the stream.
    async fn fill(&mut self) -> Result<bool, UpstreamError> {
        let Some(response) = &mut self.response else { return Ok(false) };
        match response.body_mut().frame().await {
            Some(Ok(frame)) => {
                if let Some(data) = frame.data_ref() {
                    let mut events = Vec::new();
                    self.parser.feed(data, &mut events).map_err(|error| UpstreamError::TooLarge(error.0))?;
                    self.ready.extend(events);
                }
                Ok(true)
            }
            Some(Err(_)) if self.resume.as_ref().is_some_and(|resume| resume.last.is_some()) => Ok(false),
            Some(Err(error)) => Err(UpstreamError::Unreachable(super::chain(&error))),
            None => {
                if let Some(lease) = self.lease.take() {
                    lease.finish();
                }
                Ok(false)
            }
        }
    }

    /// Asks for the rest of a stream that broke off after an event with an id; `false` if that can't be done.
    async fn take_up(&mut self) -> Result<bool, UpstreamError> {
        let Some(resume) = &mut self.resume else { return Ok(false) };
        let Some(last) = resume.last.clone() else { return Ok(false) };
        if resume.left == 0 {
            return Ok(false);
        }
        resume.left -= 1;
        tokio::time::sleep(resume.retry).await;
        let mut request = Request::new(Full::new(Bytes::new()));
        *request.uri_mut() = self.client.path().clone();
        let sending = Sending { link: Some(&resume.link), ..Sending::default() };
        request.headers_mut().insert(ACCEPT, HeaderValue::from_static("text/event-stream"));
        mcp_headers(request.headers_mut(), &sending, Some(&last));
        if let Some((name, value)) = self.header.as_ref().and_then(|made| made.header.as_ref()) {
            request.headers_mut().insert(name.clone(), value.clone());
        }
        let fetched = self.client.send(request).await?;
        if fetched.response.status() != StatusCode::OK || content_kind(fetched.response.headers()) != ContentKind::Events {
            return Err(UpstreamError::Protocol("the stream broke off and can't be taken up".to_owned()));
        }
        let (response, lease) = fetched.into_parts();
        self.response = Some(response);
        self.lease = Some(lease);
        self.parser = sse::Parser::new(self.event_bytes_max);
        Ok(true)
    }
}

/// Whether this upstream keeps sessions, for callers that hold only the header.
pub(crate) fn session_id(response: &Response<hyper::body::Incoming>) -> Option<HeaderValue> {
    response.headers().get(SESSION_ID).cloned()
}

/// Opens a session: `initialize` with its headers. Answers the response and the session's id.
pub(crate) async fn initialize(
    upstream: &HttpUpstream,
    body: Bytes,
    pending: &Arc<Link>,
) -> Result<(Message, Option<HeaderValue>), UpstreamError> {
    let sending = Sending { method: "initialize", link: Some(pending), ..Sending::default() };
    let fetched = upstream.send(Method::POST, body, &sending, None).await?;
    let status = fetched.response.status();
    let id = session_id(&fetched.response);
    let message = match content_kind(fetched.response.headers()) {
        ContentKind::Json => {
            let bytes = whole(fetched, upstream.result_bytes_max).await?;
            Message::parse(bytes, Limits::default()).map_err(|_| UpstreamError::Status(status.as_u16()))?
        }
        ContentKind::Events if status.is_success() => {
            let mut stream = EventStream::new(upstream, fetched, None);
            stream.next().await?.ok_or_else(|| UpstreamError::Protocol("no answer to `initialize`".to_owned()))?
        }
        _ => return Err(UpstreamError::Status(status.as_u16())),
    };
    Ok((message, id))
}

/// The era's name, for diagnostics.
pub(crate) fn era_name(era: Era) -> &'static str {
    match era {
        Era::Legacy => "session era",
        Era::Modern => "2026-07-28",
    }
}
