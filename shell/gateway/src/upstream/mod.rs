//! Servers behind the gateway: how one is reached, which era it speaks, and one exchange with it.
//!
//! - [`streamable`]: Streamable HTTP; [`stdio`]: a child process;
//! - [`link`]: a session with a server of the session era.

pub(crate) mod credential;
pub(crate) mod link;
pub(crate) mod stdio;
pub(crate) mod streamable;

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use crate::observe::Watcher;
use bytes::Bytes;
use remit_egress::EgressError;
use remit_mcp::json::quote;
use remit_mcp::version::meta;
use remit_mcp::{Era, Kind, Message, Version};
use remit_model::{ProtocolChoice, Server, ServerKey, Transport};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

pub use credential::{CredentialError, Credentials, Header};
pub(crate) use link::Link;

/// Remit as a client: `clientInfo` and `serverInfo`, as JSON text.
pub(crate) const IMPLEMENTATION: &str = concat!("{\"name\":\"remit\",\"version\":\"", env!("CARGO_PKG_VERSION"), "\"}");

/// The most messages that one exchange may bring before its response.
const MESSAGES_MAX: usize = 10_000;

/// Why an upstream could not be used. The text goes to the caller and the journal: it holds no secret.
#[derive(Debug, thiserror::Error)]
pub(crate) enum UpstreamError {
    /// Nothing could be sent, or the answer broke off.
    #[error("the server can't be reached: {0}")]
    Unreachable(String),
    /// The connection was refused by policy.
    #[error("{0}")]
    Egress(EgressError),
    /// Nothing came in time.
    #[error("the server did not answer in time")]
    Timeout,
    /// It answered with this status and nothing that is MCP.
    #[error("the server answered HTTP {0}")]
    Status(u16),
    /// The session is gone.
    #[error("the server ended the session")]
    SessionGone,
    /// What came is not the protocol.
    #[error("the server broke the protocol: {0}")]
    Protocol(String),
    /// The answer is over the registered limit.
    #[error("the server's answer is larger than {0} bytes")]
    TooLarge(usize),
    /// Too many calls are under way on this server.
    #[error("too many calls are under way on the server")]
    Busy,
    /// The credential for the server could not be had.
    #[error("the credential for the server could not be had: {0}")]
    Credential(#[from] CredentialError),
}

impl UpstreamError {
    /// The word for it in the journal and in metrics.
    pub(crate) fn code(&self) -> &'static str {
        match self {
            Self::Unreachable(_) => "unreachable",
            Self::Egress(_) => "egress_refused",
            Self::Timeout => "timeout",
            Self::Status(_) => "status",
            Self::SessionGone => "session_gone",
            Self::Protocol(_) => "protocol",
            Self::TooLarge(_) => "result_too_large",
            Self::Busy => "busy",
            Self::Credential(_) => "credential",
        }
    }
}

impl From<EgressError> for UpstreamError {
    fn from(error: EgressError) -> Self {
        match error {
            EgressError::Refused { .. } => Self::Egress(error),
            EgressError::Timeout(_) => Self::Timeout,
            other => Self::Unreachable(chain(&other)),
        }
    }
}

/// An error with its causes.
fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        let cause_text = cause.to_string();
        if !text.ends_with(&cause_text) {
            text.push_str(": ");
            text.push_str(&cause_text);
        }
        source = cause.source();
    }
    text
}

/// One registered server.
#[derive(Debug)]
pub(crate) struct Upstream {
    pub(crate) key: ServerKey,
    pub(crate) server: Server,
    kind: KindOf,
    eras: Mutex<Option<Eras>>,
    calls: Arc<Semaphore>,
    /// Sessions that no client's own session holds, by owner.
    links: Mutex<std::collections::HashMap<String, Arc<Link>>>,
    watcher: Watcher,
}

#[derive(Debug)]
enum KindOf {
    Http(streamable::HttpUpstream),
    Stdio(stdio::StdioUpstream),
}

/// The eras that a server speaks; at least one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Eras {
    modern: bool,
    legacy: bool,
}

impl Eras {
    const MODERN: Self = Self { modern: true, legacy: false };
    const LEGACY: Self = Self { modern: false, legacy: true };

    /// The era to speak to the server for a client of this era: the client's own if the server knows it, so that nothing has to be
    /// bridged that need not be.
    fn for_client(self, client: Era) -> Era {
        match (client, self.modern, self.legacy) {
            (Era::Modern, true, _) | (Era::Legacy, true, false) => Era::Modern,
            _ => Era::Legacy,
        }
    }

    fn speaks(self, era: Era) -> bool {
        match era {
            Era::Modern => self.modern,
            Era::Legacy => self.legacy,
        }
    }
}

/// What is sent besides the body.
#[derive(Debug, Default)]
pub(crate) struct Sending<'a> {
    /// The method, for `Mcp-Method`.
    pub(crate) method: &'a str,
    /// `Mcp-Name`, not yet encoded.
    pub(crate) name: Option<&'a str>,
    /// `Mcp-Param-*`: header and value, not yet encoded.
    pub(crate) params: Vec<(String, String)>,
    /// The session, for a server of the session era.
    pub(crate) link: Option<&'a Arc<Link>>,
}

/// What came back for a request.
#[derive(Debug)]
pub(crate) enum Reply {
    /// The response itself.
    Whole(Message),
    /// Messages, the response among them.
    Stream(Incoming),
}

/// The messages of one exchange, up to its response.
#[derive(Debug)]
pub(crate) struct Incoming {
    source: Source,
    messages: usize,
    silence_max: Duration,
}

#[derive(Debug)]
enum Source {
    Http(Box<streamable::EventStream>),
    Stdio(stdio::Exchange),
}

impl Incoming {
    fn new(source: Source, silence_max: Duration) -> Self {
        Self { source, messages: 0, silence_max }
    }

    /// The next message; `None` when the stream ended without a response.
    pub(crate) async fn next(&mut self) -> Result<Option<Message>, UpstreamError> {
        self.messages += 1;
        if self.messages > MESSAGES_MAX {
            return Err(UpstreamError::Protocol(format!("more than {MESSAGES_MAX} messages in one exchange")));
        }
        let next = async {
            match &mut self.source {
                Source::Http(stream) => stream.next().await,
                Source::Stdio(exchange) => exchange.next().await,
            }
        };
        tokio::time::timeout(self.silence_max, next).await.map_err(|_| UpstreamError::Timeout)?
    }

    /// The same without a limit on silence, for subscriptions.
    pub(crate) async fn next_patiently(&mut self) -> Result<Option<Message>, UpstreamError> {
        match &mut self.source {
            Source::Http(stream) => stream.next().await,
            Source::Stdio(exchange) => exchange.next().await,
        }
    }
}

impl Upstream {
    /// An upstream for a registration. Nothing is connected yet.
    pub(crate) fn new(server: Server, ctx: &Context) -> Result<Self, String> {
        let key = ServerKey { account: server.account.clone(), name: server.name.clone() };
        let (kind, protocol) = match &server.transport {
            Transport::Http { url, credential, network, protocol, .. } => {
                let upstream = streamable::HttpUpstream::new(&key, url, *network, credential.clone(), &server.limits, ctx)
                    .map_err(|error| error.to_string())?;
                (KindOf::Http(upstream), *protocol)
            }
            Transport::Stdio { command, env, protocol, sandbox } => {
                let started = stdio::Started { command: command.clone(), env: env.clone(), sandbox: sandbox.clone() };
                (KindOf::Stdio(stdio::StdioUpstream::new(&key, started, server.limits.clone(), ctx)), *protocol)
            }
        };
        let eras = match protocol {
            ProtocolChoice::Auto => None,
            ProtocolChoice::Modern => Some(Eras::MODERN),
            ProtocolChoice::Legacy => Some(Eras::LEGACY),
        };
        Ok(Self {
            calls: Arc::new(Semaphore::new(server.limits.calls_max)),
            watcher: ctx.watcher.clone(),
            key,
            server,
            kind,
            eras: Mutex::new(eras),
            links: Mutex::default(),
        })
    }

    /// The id to send a request under; `None` where the client's own will do: each request of 2026-07-28 over HTTP stands alone.
    pub(crate) fn request_id(&self, link: Option<&Arc<Link>>) -> Result<Option<String>, UpstreamError> {
        match link {
            Some(link) => Ok(Some(link.next_id())),
            None => self.fresh_id(),
        }
    }

    /// An id that no other request to this server bears, where that matters.
    pub(crate) fn fresh_id(&self) -> Result<Option<String>, UpstreamError> {
        match &self.kind {
            KindOf::Http(_) => Ok(None),
            KindOf::Stdio(stdio) => stdio.next_id().map(Some),
        }
    }

    /// The longest silence in an exchange.
    pub(crate) fn silence_max(&self) -> Duration {
        Duration::from_millis(self.server.limits.call_timeout_ms)
    }

    /// Takes one of the places for calls under way. A server that holds all its calls hurts nobody else.
    pub(crate) fn slot(&self) -> Result<OwnedSemaphorePermit, UpstreamError> {
        Arc::clone(&self.calls).try_acquire_owned().map_err(|_| UpstreamError::Busy)
    }

    /// Waits until no call is under way, but not for longer than one may be silent.
    pub(crate) async fn drain(&self) {
        let all = u32::try_from(self.server.limits.calls_max).unwrap_or(u32::MAX);
        let _ = tokio::time::timeout(self.silence_max(), self.calls.acquire_many(all)).await;
    }

    /// Sends a request and waits for the head of the answer.
    pub(crate) async fn request(&self, body: Bytes, sending: &Sending<'_>) -> Result<Reply, UpstreamError> {
        let reply = async {
            match &self.kind {
                KindOf::Http(http) => http.request(body, sending).await,
                KindOf::Stdio(stdio) => stdio.request(body, sending).await,
            }
        };
        tokio::time::timeout(self.silence_max(), reply).await.map_err(|_| UpstreamError::Timeout)?
    }

    /// Sends a request and waits for its response, passing over everything else.
    pub(crate) async fn response(&self, body: Bytes, sending: &Sending<'_>) -> Result<Message, UpstreamError> {
        match self.request(body, sending).await? {
            Reply::Whole(message) => Ok(message),
            Reply::Stream(mut incoming) => loop {
                match incoming.next().await? {
                    Some(message) if matches!(message.kind(), Kind::Response | Kind::Error) => return Ok(message),
                    Some(_) => {}
                    None => return Err(UpstreamError::Protocol("the stream ended without a response".to_owned())),
                }
            },
        }
    }

    /// Sends a notification or a response.
    pub(crate) async fn tell(&self, body: Bytes, sending: &Sending<'_>) -> Result<(), UpstreamError> {
        let told = async {
            match &self.kind {
                KindOf::Http(http) => http.tell(body, sending).await,
                KindOf::Stdio(stdio) => stdio.tell(body, sending).await,
            }
        };
        tokio::time::timeout(self.silence_max(), told).await.map_err(|_| UpstreamError::Timeout)?
    }

    /// Listens to what a server of the session era sends outside of any exchange. `None` if it offers no such stream.
    pub(crate) async fn listen(&self, link: &Arc<Link>) -> Result<Option<Incoming>, UpstreamError> {
        match &self.kind {
            KindOf::Http(http) => http.listen(link).await,
            KindOf::Stdio(stdio) => Ok(stdio.listen(link)),
        }
    }

    /// The era to speak for a client of this era. What the server speaks is asked once, and again after [`Self::forget`].
    pub(crate) async fn era(&self, client: Era) -> Result<Era, UpstreamError> {
        if let Some(eras) = *self.eras.lock().unwrap_or_else(PoisonError::into_inner) {
            return Ok(eras.for_client(client));
        }
        let eras = match self.discover().await {
            Ok(about) => {
                let legacy =
                    Version::ALL.iter().any(|version| version.era() == Era::Legacy && about.contains(&quote(version.as_str())));
                Eras { modern: true, legacy }
            }
            Err(UpstreamError::Unreachable(why)) if !matches!(self.kind, KindOf::Stdio(_)) => {
                return Err(UpstreamError::Unreachable(why));
            }
            Err(error @ (UpstreamError::Egress(_) | UpstreamError::Credential(_) | UpstreamError::Busy)) => return Err(error),
            // Whatever else a server of the session era says to a request that it can't know.
            Err(_) => Eras::LEGACY,
        };
        *self.eras.lock().unwrap_or_else(PoisonError::into_inner) = Some(eras);
        Ok(eras.for_client(client))
    }

    /// The same, if it has been asked already.
    pub(crate) fn era_known(&self, client: Era) -> Option<Era> {
        self.eras.lock().unwrap_or_else(PoisonError::into_inner).map(|eras| eras.for_client(client))
    }

    /// Whether the server is known to speak this era.
    pub(crate) fn speaks(&self, era: Era) -> bool {
        self.eras.lock().unwrap_or_else(PoisonError::into_inner).is_some_and(|eras| eras.speaks(era))
    }

    /// `server/discover` (2026-07-28): the result as JSON text.
    pub(crate) async fn discover(&self) -> Result<String, UpstreamError> {
        let sending = Sending { method: "server/discover", ..Sending::default() };
        let ask = async || {
            let body = modern_request("server/discover", "{}", "");
            let answered = tokio::time::timeout(Duration::from_secs(10), self.response(body, &sending)).await;
            answered.map_err(|_| UpstreamError::Timeout)?
        };
        let mut message = ask().await?;
        // 2026-07-28, "Protocol Version Header": a client goes on with a revision that the refusal names as supported, and there is one
        // that we speak of this era.
        let unsupported = message.kind() == Kind::Error && message.param("code") == Some("-32022");
        if unsupported && message.inner("data", "supported").is_some_and(|all| all.contains(&quote(Version::V20260728.as_str())))
        {
            message = ask().await?;
        }
        match message.kind() {
            Kind::Response if message.param("supportedVersions").is_some_and(|all| all.contains(Version::V20260728.as_str())) => {
                Ok(message.params().unwrap_or("{}").to_owned())
            }
            _ => Err(UpstreamError::Protocol("it does not speak 2026-07-28".to_owned())),
        }
    }

    /// Forgets the era that was found, and every session that nobody holds.
    pub(crate) fn forget(&self) {
        if let Transport::Http { protocol: ProtocolChoice::Auto, .. } | Transport::Stdio { protocol: ProtocolChoice::Auto, .. } =
            &self.server.transport
        {
            *self.eras.lock().unwrap_or_else(PoisonError::into_inner) = None;
        }
        self.links.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }

    /// The session of an owner with these capabilities; opened if there is none.
    pub(crate) async fn link(self: &Arc<Self>, owner: &str, capabilities: &str) -> Result<Arc<Link>, UpstreamError> {
        let key = format!("{owner}\n{capabilities}");
        if let Some(link) = self.links.lock().unwrap_or_else(PoisonError::into_inner).get(&key) {
            link.touch();
            return Ok(Arc::clone(link));
        }
        let link = Link::open(self, capabilities).await?;
        let mut links = self.links.lock().unwrap_or_else(PoisonError::into_inner);
        link::make_room(&mut links);
        Ok(Arc::clone(links.entry(key).or_insert(link)))
    }

    /// Drops a session that the server has ended.
    pub(crate) fn unlink(&self, gone: &Arc<Link>) {
        self.links.lock().unwrap_or_else(PoisonError::into_inner).retain(|_, link| !Arc::ptr_eq(link, gone));
    }

    fn stdio(&self) -> Option<&stdio::StdioUpstream> {
        match &self.kind {
            KindOf::Stdio(stdio) => Some(stdio),
            KindOf::Http(_) => None,
        }
    }

    fn http(&self) -> Option<&streamable::HttpUpstream> {
        match &self.kind {
            KindOf::Http(http) => Some(http),
            KindOf::Stdio(_) => None,
        }
    }

    /// How it is confined, if it is one that is started.
    pub(crate) fn sandbox(&self) -> Option<crate::confine::SandboxStatus> {
        let report = self.stdio()?.report();
        crate::confine::SandboxStatus::new(&self.server.transport, report.as_ref())
    }

    /// Ends what was started for this server.
    pub(crate) fn stop(&self) {
        self.links.lock().unwrap_or_else(PoisonError::into_inner).clear();
        if let Some(stdio) = self.stdio() {
            stdio.stop();
        }
    }
}

/// What upstreams share.
#[derive(Clone)]
pub(crate) struct Context {
    pub(crate) tls: Arc<rustls::ClientConfig>,
    pub(crate) credentials: Arc<dyn Credentials>,
    /// How often secrets have changed: what was read before is read again.
    pub(crate) secrets: Arc<AtomicU64>,
    pub(crate) program: Arc<std::path::Path>,
    pub(crate) forbidden: Arc<[std::path::PathBuf]>,
    pub(crate) watcher: Watcher,
}

/// The `_meta` fields that 2026-07-28 demands of every request, as `"key":value` pairs.
pub(crate) fn modern_meta(capabilities: &str, client_info: &str, log_level: Option<&str>) -> String {
    let version = quote(Version::V20260728.as_str());
    let mut text = format!(
        "{}:{version},{}:{client_info},{}:{capabilities}",
        quote(meta::PROTOCOL_VERSION),
        quote(meta::CLIENT_INFO),
        quote(meta::CLIENT_CAPABILITIES)
    );
    if let Some(level) = log_level {
        text.push_str(&format!(",{}:{}", quote(meta::LOG_LEVEL), quote(level)));
    }
    text
}

/// A request of Remit's own in 2026-07-28. `fields` are further fields of `params`, with a leading comma.
///
/// Its id is no other's: on one pipe, ids say whose an answer is.
pub(crate) fn modern_request(method: &str, capabilities: &str, fields: &str) -> Bytes {
    static NEXT: AtomicU64 = AtomicU64::new(1);
    let number = NEXT.fetch_add(1, Ordering::Relaxed);
    let meta = modern_meta(capabilities, IMPLEMENTATION, None);
    Bytes::from(format!(
        "{{\"jsonrpc\":\"2.0\",\"id\":\"remit-{number}\",\"method\":{},\"params\":{{\"_meta\":{{{meta}}}{fields}}}}}",
        quote(method)
    ))
}

/// A request of Remit's own in the session era.
pub(crate) fn legacy_request(id: &str, method: &str, params: &str) -> Bytes {
    Bytes::from(format!("{{\"jsonrpc\":\"2.0\",\"id\":{id},\"method\":{},\"params\":{params}}}", quote(method)))
}
