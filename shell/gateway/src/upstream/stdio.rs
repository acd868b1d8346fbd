//! A server that is a child process: newline-delimited JSON-RPC on its standard input and output.
//!
//! One child serves everybody who asks for nothing back. A client that takes requests from servers (sampling, elicitation, roots) gets
//! a child of its own: over stdio nothing else says whose request a request is.

use std::collections::{BTreeMap, HashMap};
use std::process::Stdio;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use remit_mcp::json::{Limits, quote};
use remit_mcp::splice::Splice;
use remit_mcp::version::meta;
use remit_mcp::{Kind, Message};
use remit_model::{SecretRef, ServerKey, ServerLimits};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::process::{ChildStdin, ChildStdout, Command};
use tokio::sync::{OnceCell, mpsc};

use super::{Context, Incoming, Link, Reply, Sending, Source, UpstreamError};

/// The most children of one server.
const CHILDREN_MAX: usize = 32;
/// How many messages wait for one exchange before the reader waits.
const WAITING_MAX: usize = 256;

/// How a server's children are started, and the shared one.
pub(crate) struct StdioUpstream {
    key: ServerKey,
    command: Vec<String>,
    env: BTreeMap<String, SecretRef>,
    limits: ServerLimits,
    ctx: Context,
    shared: Mutex<Option<Arc<Child>>>,
    own: Mutex<Vec<std::sync::Weak<Child>>>,
}

impl std::fmt::Debug for StdioUpstream {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("StdioUpstream").field("key", &self.key).finish_non_exhaustive()
    }
}

/// A running child.
#[derive(Debug)]
pub(crate) struct Child {
    /// Whether several principals use it: then what names no exchange is nobody's.
    shared: bool,
    stdin: tokio::sync::Mutex<ChildStdin>,
    routes: Mutex<Routes>,
    next_id: AtomicU64,
    initialized: OnceCell<(String, String)>,
    dead: AtomicBool,
    process: Mutex<Option<tokio::process::Child>>,
    write_max: Duration,
}

#[derive(Debug, Default)]
struct Routes {
    /// Exchanges by the id of their request.
    exchanges: HashMap<String, mpsc::Sender<Message>>,
    /// The token that a client gave, and the exchange, by the token that the server was given.
    progress: HashMap<String, (String, String)>,
    /// Who hears what belongs to no exchange.
    strays: Option<mpsc::Sender<Message>>,
}

/// One request under way.
#[derive(Debug)]
pub(crate) struct Exchange {
    child: Option<Arc<Child>>,
    id: String,
    token: Option<String>,
    messages: mpsc::Receiver<Message>,
    done: bool,
}

impl Exchange {
    /// The next message.
    pub(crate) async fn next(&mut self) -> Result<Option<Message>, UpstreamError> {
        match self.messages.recv().await {
            Some(message) => {
                self.done |= matches!(message.kind(), Kind::Response | Kind::Error) && message.id() == Some(&self.id);
                Ok(Some(message))
            }
            None if self.done => Ok(None),
            None => {
                self.done = true;
                Err(UpstreamError::Unreachable("the server's process ended".to_owned()))
            }
        }
    }
}

impl Drop for Exchange {
    /// Nobody waits any more: the server is told so (utilities, cancellation).
    fn drop(&mut self) {
        let Some(child) = self.child.take() else { return };
        {
            let mut routes = child.routes();
            routes.exchanges.remove(&self.id);
            if let Some(token) = &self.token {
                routes.progress.remove(token);
            }
        }
        if self.done || child.dead.load(Ordering::Relaxed) {
            return;
        }
        let id = std::mem::take(&mut self.id);
        if let Ok(runtime) = tokio::runtime::Handle::try_current() {
            runtime.spawn(async move {
                let text = format!(
                    "{{\"jsonrpc\":\"2.0\",\"method\":\"notifications/cancelled\",\"params\":{{\"requestId\":{id},\"reason\":\"nobody waits any more\"}}}}"
                );
                let _ = child.write(text.as_bytes()).await;
            });
        }
    }
}

impl StdioUpstream {
    pub(crate) fn new(
        key: &ServerKey,
        command: Vec<String>,
        env: BTreeMap<String, SecretRef>,
        limits: ServerLimits,
        ctx: &Context,
    ) -> Self {
        Self { key: key.clone(), command, env, limits, ctx: ctx.clone(), shared: Mutex::default(), own: Mutex::default() }
    }

    /// A child for a session that declares these capabilities.
    pub(crate) fn child(&self, capabilities: &str) -> Result<Arc<Child>, UpstreamError> {
        if capabilities == "{}" {
            return self.shared();
        }
        let mut own = self.own.lock().unwrap_or_else(PoisonError::into_inner);
        own.retain(|child| child.strong_count() > 0);
        if own.len() >= CHILDREN_MAX {
            return Err(UpstreamError::Busy);
        }
        let child = self.start(false)?;
        own.push(Arc::downgrade(&child));
        Ok(child)
    }

    fn shared(&self) -> Result<Arc<Child>, UpstreamError> {
        let mut shared = self.shared.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(child) = shared.as_ref().filter(|child| !child.dead.load(Ordering::Acquire)) {
            return Ok(Arc::clone(child));
        }
        let child = self.start(true)?;
        *shared = Some(Arc::clone(&child));
        Ok(child)
    }

    fn start(&self, shared: bool) -> Result<Arc<Child>, UpstreamError> {
        let (program, arguments) =
            self.command.split_first().ok_or_else(|| UpstreamError::Unreachable("no command".to_owned()))?;
        let mut command = match program.as_str() {
            "remit" => Command::new(&*self.ctx.program),
            other => Command::new(other),
        };
        command.args(arguments).env_clear().stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null()).kill_on_drop(true);
        command.process_group(0);
        for (name, reference) in &self.env {
            command.env(name, self.ctx.credentials.secret(reference)?.as_str());
        }
        let mut process =
            command.spawn().map_err(|error| UpstreamError::Unreachable(format!("`{program}` could not be started: {error}")))?;
        let (Some(stdin), Some(stdout)) = (process.stdin.take(), process.stdout.take()) else {
            return Err(UpstreamError::Unreachable("the process has no pipes".to_owned()));
        };
        let child = Arc::new(Child {
            shared,
            stdin: tokio::sync::Mutex::new(stdin),
            routes: Mutex::default(),
            next_id: AtomicU64::new(1),
            initialized: OnceCell::new(),
            dead: AtomicBool::new(false),
            process: Mutex::new(Some(process)),
            write_max: Duration::from_millis(self.limits.call_timeout_ms),
        });
        tokio::spawn(read(Arc::downgrade(&child), stdout, self.limits.result_bytes_max));
        Ok(child)
    }

    fn of(&self, sending: &Sending<'_>) -> Result<Arc<Child>, UpstreamError> {
        match sending.link.and_then(|link| link.child.clone()) {
            Some(child) if child.dead.load(Ordering::Acquire) => Err(UpstreamError::SessionGone),
            Some(child) => Ok(child),
            None => self.shared(),
        }
    }

    pub(crate) async fn request(&self, body: Bytes, sending: &Sending<'_>) -> Result<Reply, UpstreamError> {
        let exchange = self.of(sending)?.exchange(body).await?;
        Ok(Reply::Stream(Incoming::new(Source::Stdio(exchange), Duration::from_millis(self.limits.call_timeout_ms))))
    }

    pub(crate) async fn tell(&self, body: Bytes, sending: &Sending<'_>) -> Result<(), UpstreamError> {
        self.of(sending)?.write(&body).await
    }

    /// What belongs to no exchange of this session's child.
    pub(crate) fn listen(&self, link: &Arc<Link>) -> Option<Incoming> {
        let child = Arc::clone(link.child.as_ref()?);
        let (sender, messages) = mpsc::channel(WAITING_MAX);
        {
            let mut routes = child.routes();
            // Of a shared child only one listens, the gateway's own watch: it begins before anybody else can.
            if child.shared && routes.strays.as_ref().is_some_and(|strays| !strays.is_closed()) {
                return None;
            }
            routes.strays = Some(sender);
        }
        let exchange = Exchange { child: None, id: String::new(), token: None, messages, done: true };
        Some(Incoming::new(Source::Stdio(exchange), Duration::from_millis(self.limits.call_timeout_ms)))
    }

    /// An id for a request to the shared child.
    pub(crate) fn next_id(&self) -> Result<String, UpstreamError> {
        Ok(self.shared()?.next_id().to_string())
    }

    /// Ends every child.
    pub(crate) fn stop(&self) {
        let mut all: Vec<Arc<Child>> =
            self.own.lock().unwrap_or_else(PoisonError::into_inner).drain(..).filter_map(|child| child.upgrade()).collect();
        all.extend(self.shared.lock().unwrap_or_else(PoisonError::into_inner).take());
        for child in all {
            child.dead.store(true, Ordering::Release);
            child.process.lock().unwrap_or_else(PoisonError::into_inner).take();
        }
    }
}

impl Child {
    fn routes(&self) -> MutexGuard<'_, Routes> {
        self.routes.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A request id that was not used on this child.
    pub(crate) fn next_id(&self) -> u64 {
        self.next_id.fetch_add(1, Ordering::Relaxed)
    }

    /// `initialize`, once in the child's life: the revision and the whole result, as JSON text.
    pub(crate) async fn initialize(self: &Arc<Self>, body: Bytes) -> Result<(String, String), UpstreamError> {
        let initialized = self.initialized.get_or_try_init(|| async {
            let mut exchange = self.exchange(body).await?;
            loop {
                let Some(message) = exchange.next().await? else {
                    return Err(UpstreamError::Protocol("no answer to `initialize`".to_owned()));
                };
                match message.kind() {
                    Kind::Response => {
                        self.write(br#"{"jsonrpc":"2.0","method":"notifications/initialized"}"#).await?;
                        let version = message.param_str("protocolVersion").unwrap_or_default().into_owned();
                        return Ok((version, message.params().unwrap_or("{}").to_owned()));
                    }
                    Kind::Error => return Err(UpstreamError::Protocol("`initialize` was refused".to_owned())),
                    Kind::Request | Kind::Notification => {}
                }
            }
        });
        initialized.await.cloned()
    }

    async fn exchange(self: &Arc<Self>, body: Bytes) -> Result<Exchange, UpstreamError> {
        let message = Message::parse(body, Limits::default()).map_err(|error| UpstreamError::Protocol(error.to_string()))?;
        let id = message.id().unwrap_or_default().to_owned();
        let mut splice = Splice::new();
        let token = message.inner_span("_meta", "progressToken").map(|span| {
            let own = quote(&format!("remit-{id}"));
            splice.replace(span.clone(), own.clone().into_bytes());
            (own, message.text(&span).to_owned())
        });
        let (sender, messages) = mpsc::channel(WAITING_MAX);
        {
            let mut routes = self.routes();
            routes.exchanges.insert(id.clone(), sender);
            if let Some((own, given)) = &token {
                routes.progress.insert(own.clone(), (given.clone(), id.clone()));
            }
        }
        let exchange = Exchange { child: Some(Arc::clone(self)), id, token: token.map(|(own, _)| own), messages, done: false };
        self.write(&splice.apply(message.body(), message.root())).await?;
        Ok(exchange)
    }

    /// Writes one message. A message that holds a line break is written without it: white space between tokens means nothing, and
    /// inside a string it is always escaped.
    async fn write(&self, message: &[u8]) -> Result<(), UpstreamError> {
        let mut line: Vec<u8> = message.iter().map(|byte| if matches!(byte, b'\n' | b'\r') { b' ' } else { *byte }).collect();
        line.push(b'\n');
        let written = async {
            let mut stdin = self.stdin.lock().await;
            stdin.write_all(&line).await?;
            stdin.flush().await
        };
        match tokio::time::timeout(self.write_max, written).await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(_)) => Err(UpstreamError::SessionGone),
            Err(_) => {
                // Half a line may have been written: the pipe is of no more use.
                self.die();
                Err(UpstreamError::Timeout)
            }
        }
    }

    fn die(&self) {
        self.dead.store(true, Ordering::Release);
        let mut routes = self.routes();
        routes.exchanges.clear();
        routes.progress.clear();
        routes.strays = None;
        drop(routes);
        self.process.lock().unwrap_or_else(PoisonError::into_inner).take();
    }

    /// Finds whose message this is.
    fn route(&self, message: Message) -> Option<(mpsc::Sender<Message>, Message)> {
        let mut routes = self.routes();
        match message.kind() {
            Kind::Response | Kind::Error => {
                let sender = routes.exchanges.remove(message.id()?)?;
                Some((sender, message))
            }
            Kind::Notification if message.method() == "notifications/progress" => {
                let (given, id) = routes.progress.get(message.param("progressToken")?)?.clone();
                let sender = routes.exchanges.get(&id)?.clone();
                drop(routes);
                let mut splice = Splice::new();
                splice.replace(message.param_span("progressToken")?, given.into_bytes());
                let body = Bytes::from(splice.apply(message.body(), message.root()));
                Some((sender, Message::parse(body, Limits::default()).ok()?))
            }
            Kind::Notification if message.meta(meta::SUBSCRIPTION_ID).is_some() => {
                let sender = routes.exchanges.get(message.meta(meta::SUBSCRIPTION_ID)?)?.clone();
                Some((sender, message))
            }
            Kind::Notification | Kind::Request if self.shared => {
                // It may hold what one principal asked for: it reaches nobody, unless it says no more than that a list changed.
                let changed = message.kind() == Kind::Notification && message.method().ends_with("/list_changed");
                let sender = routes.strays.clone().filter(|_| changed)?;
                Some((sender, message))
            }
            Kind::Notification | Kind::Request => {
                let only = if routes.exchanges.len() == 1 { routes.exchanges.values().next().cloned() } else { None };
                Some((only.or_else(|| routes.strays.clone())?, message))
            }
        }
    }
}

/// Reads a child's output until it ends.
async fn read(child: std::sync::Weak<Child>, mut stdout: ChildStdout, message_bytes_max: usize) {
    let mut buffer: Vec<u8> = Vec::new();
    let mut searched = 0;
    loop {
        let read = stdout.read_buf(&mut buffer).await;
        let Some(child) = child.upgrade() else { return };
        if !matches!(read, Ok(read) if read > 0) {
            child.die();
            return;
        }
        let mut start = 0;
        while let Some(offset) = buffer.get(searched..).and_then(|rest| rest.iter().position(|byte| *byte == b'\n')) {
            let end = searched + offset;
            let line = Bytes::copy_from_slice(buffer.get(start..end).unwrap_or_default());
            start = end + 1;
            searched = start;
            if !line.iter().all(u8::is_ascii_whitespace) {
                take(&child, line).await;
            }
        }
        buffer.drain(..start);
        searched = buffer.len();
        if buffer.len() > message_bytes_max {
            child.die();
            return;
        }
    }
}

async fn take(child: &Arc<Child>, line: Bytes) {
    // What is no message is a server's stray print: it can't be anybody's answer.
    let Ok(message) = Message::parse(line, Limits::default()) else { return };
    let unanswerable = (message.kind() == Kind::Request).then(|| message.id().unwrap_or("null").to_owned());
    if message.method() == "ping" {
        let pong = remit_mcp::error::result_answer(unanswerable.as_deref().unwrap_or("null"), "{}");
        let _ = child.write(&pong).await;
        return;
    }
    match child.route(message) {
        Some((sender, message)) => {
            // Nobody's slowness is another's: who doesn't take its messages loses the exchange.
            let id = message.id().map(str::to_owned);
            if sender.try_send(message).is_err() {
                child.routes().exchanges.retain(|key, route| Some(key) != id.as_ref() && !route.same_channel(&sender));
            }
        }
        None => {
            if let Some(id) = unanswerable {
                let text = format!(
                    "{{\"jsonrpc\":\"2.0\",\"id\":{id},\"error\":{{\"code\":-32601,\"message\":\"nobody is there to answer\"}}}}"
                );
                let _ = child.write(text.as_bytes()).await;
            }
        }
    }
}
