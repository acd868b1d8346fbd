//! A server that is a child process: newline-delimited JSON-RPC on its standard input and output.
//!
//! One child serves everybody who asks for nothing back. A client that takes requests from servers (sampling, elicitation, roots) gets
//! a child of its own: over stdio nothing else says whose request a request is.

use std::collections::{BTreeMap, HashMap};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::process::Stdio;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use remit_egress::Hosts;
use remit_mcp::json::{Limits, quote};
use remit_mcp::splice::Splice;
use remit_mcp::version::meta;
use remit_mcp::{Kind, Message};
use remit_model::{Sandbox, SandboxNetwork, SandboxProfile, SecretRef, ServerKey, ServerLimits};
use remit_sandbox::{Report, Spec};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio::process::{ChildStdin, ChildStdout, Command};
use tokio::sync::{OnceCell, mpsc, watch};

use super::{Context, Incoming, Link, Reply, Sending, Source, UpstreamError};

/// The most children of one server.
const CHILDREN_MAX: usize = 32;
/// How many messages wait for one exchange before the reader waits.
const WAITING_MAX: usize = 256;

/// How a server's children are started, and the shared one.
pub(crate) struct StdioUpstream {
    key: ServerKey,
    started: Started,
    limits: ServerLimits,
    ctx: Context,
    shared: Mutex<Option<Arc<Child>>>,
    own: Mutex<Vec<std::sync::Weak<Child>>>,
    /// What the launcher said last.
    report: Arc<Mutex<Option<Report>>>,
}

/// What is started, and under what.
#[derive(Debug)]
pub(crate) struct Started {
    pub(crate) command: Vec<String>,
    pub(crate) env: BTreeMap<String, SecretRef>,
    pub(crate) sandbox: Sandbox,
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
    /// Whether the program has begun, or why it couldn't be started; nothing before the launcher has said so.
    begun: watch::Sender<Option<Result<(), String>>>,
    /// Serves the hosts that it may reach, as long as it lives.
    proxy: Mutex<Option<Proxy>>,
}

/// A process, its input, and what its launcher says, if it has one.
type Spawned = (tokio::process::Child, Option<ChildStdin>, Option<UnixStream>);

/// A task that ends with the process that it serves.
#[derive(Debug)]
struct Proxy(tokio::task::JoinHandle<()>);

impl Drop for Proxy {
    fn drop(&mut self) {
        self.0.abort();
    }
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
    pub(crate) fn new(key: &ServerKey, started: Started, limits: ServerLimits, ctx: &Context) -> Self {
        Self {
            key: key.clone(),
            started,
            limits,
            ctx: ctx.clone(),
            shared: Mutex::default(),
            own: Mutex::default(),
            report: Arc::default(),
        }
    }

    /// What holds for the child that was started last.
    pub(crate) fn report(&self) -> Option<Report> {
        self.report.lock().unwrap_or_else(PoisonError::into_inner).clone()
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
        let mut env = Vec::new();
        for (name, reference) in &self.started.env {
            env.push((name.clone(), self.ctx.credentials.secret(reference)?.as_str().to_owned()));
        }
        let (mut process, stdin, said) = match &self.started.sandbox {
            Sandbox::Unconfined(_) => self.start_unconfined(env)?,
            Sandbox::Profile(profile) => self.start_confined(profile, env)?,
        };
        let (Some(stdin), Some(stdout)) = (stdin, process.stdout.take()) else {
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
            begun: watch::Sender::new(said.is_none().then_some(Ok(()))),
            proxy: Mutex::default(),
        });
        let (weak, most) = (Arc::downgrade(&child), self.limits.result_bytes_max);
        let (report, hosts) = (Arc::clone(&self.report), self.hosts());
        let connect_timeout = Duration::from_millis(self.limits.connect_timeout_ms);
        tokio::spawn(async move {
            if let Some(said) = said {
                begin(&weak, said, &report, hosts, connect_timeout).await;
            }
            read(weak, stdout, most).await;
        });
        Ok(child)
    }

    /// The hosts that the profile names.
    fn hosts(&self) -> Hosts {
        let Sandbox::Profile(profile) = &self.started.sandbox else { return Hosts::new() };
        let SandboxNetwork::Egress(hosts) = &profile.network else { return Hosts::new() };
        hosts.iter().map(|host| ((host.host.clone(), host.port), host.network)).collect()
    }

    fn start_unconfined(&self, env: Vec<(String, String)>) -> Result<Spawned, UpstreamError> {
        let (program, arguments) =
            self.started.command.split_first().ok_or_else(|| UpstreamError::Unreachable("no command".to_owned()))?;
        let mut command = match program.as_str() {
            "remit" => Command::new(&*self.ctx.program),
            other => Command::new(other),
        };
        command.args(arguments).env_clear().envs(env).stdin(Stdio::piped()).stderr(Stdio::null());
        let mut process = spawned(&mut command, program)?;
        let stdin = process.stdin.take();
        Ok((process, stdin, None))
    }

    /// Starts the launcher, which confines itself and becomes the program. What it is to do goes before the program's input; what holds
    /// comes on its standard error, which ends when the program begins.
    fn start_confined(&self, profile: &SandboxProfile, env: Vec<(String, String)>) -> Result<Spawned, UpstreamError> {
        let failed = |error: std::io::Error| UpstreamError::Unreachable(format!("the sandbox could not be set up: {error}"));
        let (forbidden, program) = (self.ctx.forbidden.to_vec(), &self.ctx.program);
        let spec =
            Spec::new(&self.started.command, env, profile.clone(), forbidden, program).map_err(UpstreamError::Unreachable)?;
        let (input, mut output) = std::io::pipe().map_err(failed)?;
        let (said, says) = UnixStream::pair().map_err(failed)?;
        let mut command = Command::new(&**program);
        command.arg(remit_sandbox::LAUNCHER).env_clear().stdin(input).stderr(OwnedFd::from(says));
        let process = spawned(&mut command, "remit")?;
        // It holds the other ends as well, and would keep them open when the launcher is gone.
        drop(command);
        spec.write(&mut output).map_err(failed)?;
        let stdin = std::process::ChildStdin::from(OwnedFd::from(output));
        let stdin = ChildStdin::from_std(stdin).map_err(failed)?;
        Ok((process, Some(stdin), Some(said)))
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

    /// Waits until the program has begun.
    async fn begun(&self) -> Result<(), UpstreamError> {
        let mut begun = self.begun.subscribe();
        let said = tokio::time::timeout(self.write_max, begun.wait_for(Option::is_some)).await;
        match said.map(|said| said.map(|said| said.clone())) {
            Ok(Ok(Some(Err(why)))) => Err(UpstreamError::Unreachable(why)),
            Ok(Ok(_)) => Ok(()),
            Ok(Err(_)) => Err(UpstreamError::SessionGone),
            Err(_) => Err(UpstreamError::Timeout),
        }
    }

    async fn exchange(self: &Arc<Self>, body: Bytes) -> Result<Exchange, UpstreamError> {
        self.begun().await?;
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
        self.proxy.lock().unwrap_or_else(PoisonError::into_inner).take();
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

fn spawned(command: &mut Command, program: &str) -> Result<tokio::process::Child, UpstreamError> {
    command.stdout(Stdio::piped()).kill_on_drop(true).process_group(0);
    command.spawn().map_err(|error| UpstreamError::Unreachable(format!("`{program}` could not be started: {error}")))
}

/// Hears what the launcher says, until the program begins or there is none, and serves the hosts that it may reach.
async fn begin(
    child: &std::sync::Weak<Child>,
    said: UnixStream,
    report: &Mutex<Option<Report>>,
    hosts: Hosts,
    connect_timeout: Duration,
) {
    let heard = tokio::task::spawn_blocking(move || remit_sandbox::hear(&said)).await;
    let (said, listener) = heard.unwrap_or_else(|error| (Report::failure(error.to_string()), None));
    let begun = said.failed.as_ref().map_or(Ok(()), |why| Err(format!("it was not started: {why}")));
    *report.lock().unwrap_or_else(PoisonError::into_inner) = Some(said);
    let Some(child) = child.upgrade() else { return };
    if let Some(listener) = listener
        && listener.set_nonblocking(true).is_ok()
        && let Ok(listener) = TcpListener::from_std(listener)
    {
        let task = tokio::spawn(async move {
            let _ = remit_egress::proxy(listener, hosts, connect_timeout).await;
        });
        *child.proxy.lock().unwrap_or_else(PoisonError::into_inner) = Some(Proxy(task));
    }
    child.begun.send_replace(Some(begun));
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
