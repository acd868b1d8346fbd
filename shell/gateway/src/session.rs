//! Sessions of clients of the session era. A session is bound to the principal that opened it: for anybody else it doesn't exist.

use std::collections::{BTreeSet, HashMap, VecDeque};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use bytes::Bytes;
use remit_kernel::Principal;
use remit_mcp::json::quote;
use remit_mcp::{Kind, Message, Version};
use remit_model::ServerKey;
use tokio::sync::{Notify, OnceCell, oneshot};

use crate::body::EventLog;
use crate::clock::{now_ms, random};
use crate::observe::{SessionEnded, Watcher};
use crate::upstream::{Link, Upstream, UpstreamError};

/// How many policy sessions one session's calls may name and be told of what servers say of their own accord.
const POLICY_SESSIONS_MAX: usize = 1_000;
/// How long a session lives without being used, in milliseconds.
const IDLE_MAX_MS: u64 = 30 * 60 * 1000;
/// How many sessions an agent holds in a space that doesn't say.
const SESSIONS_OF_AGENT_MAX: usize = 1_000;
/// How many streams a session keeps for a client that comes back.
const STREAMS_MAX: usize = 16;
/// How many requests of servers a session holds open.
const ASKS_MAX: usize = 32;
/// How long a client has to answer a request of a server: a person may have to think.
pub(crate) const ANSWER_MAX: Duration = Duration::from_mins(10);
/// How many resources a session may be subscribed to.
pub(crate) const SUBSCRIPTIONS_MAX: usize = 256;

/// One session.
#[derive(Debug)]
pub(crate) struct Session {
    pub(crate) id: String,
    /// The beginning of the id, which names it in records without giving it away.
    pub(crate) short_id: Arc<str>,
    pub(crate) space: Arc<str>,
    /// Who opened it.
    pub(crate) who: String,
    pub(crate) agent: String,
    /// The credential that opened it.
    pub(crate) principal: Arc<Principal>,
    pub(crate) version: Version,
    /// What the client declared: JSON text.
    pub(crate) capabilities: String,
    pub(crate) client_info: String,
    pub(crate) log_level: Mutex<Option<String>>,
    links: Mutex<HashMap<ServerKey, Arc<OnceCell<Arc<Link>>>>>,
    /// What belongs to no request: the stream that a GET follows.
    pub(crate) outbound: Arc<EventLog>,
    /// Whether a client has ever asked for that stream.
    pub(crate) listening: AtomicBool,
    streams: Mutex<VecDeque<Arc<EventLog>>>,
    stream_next: AtomicU64,
    asks: Mutex<HashMap<String, oneshot::Sender<Message>>>,
    ask_next: AtomicU64,
    calls: Mutex<HashMap<String, Arc<Notify>>>,
    pub(crate) subscriptions: Mutex<HashMap<String, tokio::task::AbortHandle>>,
    tasks: Mutex<Vec<tokio::task::AbortHandle>>,
    begun: Instant,
    used_ms: AtomicU64,
    /// The policy sessions that its calls have named, besides its own.
    policy_sessions: Mutex<BTreeSet<Arc<str>>>,
}

/// What a session is opened with.
#[derive(Debug)]
pub(crate) struct Opening {
    pub(crate) space: Arc<str>,
    pub(crate) who: String,
    pub(crate) agent: String,
    pub(crate) principal: Arc<Principal>,
    pub(crate) version: Version,
    pub(crate) capabilities: String,
    pub(crate) client_info: String,
}

impl Session {
    /// A call names a policy session: what servers say of their own accord is read in it, too.
    pub(crate) fn names(&self, policy_session: &Arc<str>) {
        let mut named = lock(&self.policy_sessions);
        if *policy_session != self.short_id && named.len() < POLICY_SESSIONS_MAX {
            named.insert(Arc::clone(policy_session));
        }
    }

    /// The policy sessions that its calls are in.
    pub(crate) fn policy_sessions(&self) -> Vec<Arc<str>> {
        let named = lock(&self.policy_sessions);
        std::iter::once(&self.short_id).chain(named.iter()).cloned().collect()
    }

    fn new(id: String, opening: Opening) -> Self {
        let outbound = EventLog::new(Some(format!("{}-out", id.get(..8).unwrap_or_default())));
        Self {
            outbound,
            short_id: id.get(..8).unwrap_or_default().into(),
            id,
            space: opening.space,
            who: opening.who,
            agent: opening.agent,
            principal: opening.principal,
            version: opening.version,
            capabilities: opening.capabilities,
            client_info: opening.client_info,
            log_level: Mutex::default(),
            links: Mutex::default(),
            listening: AtomicBool::new(false),
            streams: Mutex::default(),
            stream_next: AtomicU64::new(0),
            asks: Mutex::default(),
            ask_next: AtomicU64::new(0),
            calls: Mutex::default(),
            subscriptions: Mutex::default(),
            tasks: Mutex::default(),
            begun: Instant::now(),
            used_ms: AtomicU64::new(now_ms()),
            policy_sessions: Mutex::default(),
        }
    }

    /// The session with a server; opened on first use. What is declared to the server is what this client declared.
    pub(crate) async fn link(&self, upstream: &Arc<Upstream>) -> Result<(Arc<Link>, bool), UpstreamError> {
        let cell = Arc::clone(lock(&self.links).entry(upstream.key.clone()).or_default());
        let mut fresh = false;
        let link = cell
            .get_or_try_init(|| async {
                fresh = true;
                Link::open(upstream, &self.bridged_capabilities()).await
            })
            .await?;
        link.touch();
        Ok((Arc::clone(link), fresh))
    }

    /// The sessions with servers that are open.
    pub(crate) fn links(&self) -> Vec<(ServerKey, Arc<Link>)> {
        lock(&self.links).iter().filter_map(|(key, cell)| Some((key.clone(), Arc::clone(cell.get()?)))).collect()
    }

    /// Drops the session with a server that has ended it.
    pub(crate) fn unlink(&self, server: &ServerKey) {
        lock(&self.links).remove(server);
    }

    fn bridged_capabilities(&self) -> String {
        bridged(&self.capabilities)
    }

    /// A stream for one request, with a name if this client can take it up again.
    pub(crate) fn stream(&self) -> Arc<EventLog> {
        let number = self.stream_next.fetch_add(1, Ordering::Relaxed);
        let log = EventLog::new(Some(format!("{}-{number}", self.id.get(..8).unwrap_or_default())));
        let mut streams = lock(&self.streams);
        if streams.len() >= STREAMS_MAX {
            if let Some(done) = streams.iter().position(|stream| stream.finished()) {
                streams.remove(done);
            } else {
                streams.pop_front();
            }
        }
        streams.push_back(Arc::clone(&log));
        log
    }

    /// The stream and the number of an event id that a client brings back.
    pub(crate) fn find_stream(&self, event_id: &str) -> Option<(Arc<EventLog>, u64)> {
        let streams = lock(&self.streams);
        let all = streams.iter().chain(std::iter::once(&self.outbound));
        all.into_iter().find_map(|stream| Some((Arc::clone(stream), stream.number(event_id)?)))
    }

    /// Sends the client a request of a server and waits for its answer. The message that comes back is the client's own.
    pub(crate) async fn ask(&self, stream: &EventLog, method: &str, params: Option<&str>) -> Option<Message> {
        let id = format!("remit-{}", self.ask_next.fetch_add(1, Ordering::Relaxed));
        let (sender, answer) = oneshot::channel();
        {
            let mut asks = lock(&self.asks);
            if asks.len() >= ASKS_MAX {
                return None;
            }
            asks.insert(quote(&id), sender);
        }
        let params = params.map(|params| format!(",\"params\":{params}")).unwrap_or_default();
        let text = format!("{{\"jsonrpc\":\"2.0\",\"id\":{},\"method\":{}{params}}}", quote(&id), quote(method));
        stream.send(None, text.as_bytes()).await;
        let answered = tokio::time::timeout(ANSWER_MAX, answer).await;
        lock(&self.asks).remove(&quote(&id));
        answered.ok()?.ok()
    }

    /// Takes a client's answer to a request of a server. `false` if nobody asked.
    pub(crate) fn answered(&self, message: Message) -> bool {
        let asked = message.id().and_then(|id| lock(&self.asks).remove(id));
        asked.is_some_and(|sender| sender.send(message).is_ok())
    }

    /// Remembers a call so that it can be cancelled; an id that is in use already is refused.
    pub(crate) fn call(self: &Arc<Self>, id: &str) -> Option<Cancel> {
        let notify = Arc::new(Notify::new());
        let mut calls = lock(&self.calls);
        if calls.contains_key(id) {
            return None;
        }
        calls.insert(id.to_owned(), Arc::clone(&notify));
        Some(Cancel { session: Arc::clone(self), id: id.to_owned(), notify })
    }

    /// Cancels a call (`notifications/cancelled`).
    pub(crate) fn cancel(&self, id: &str) {
        if let Some(notify) = lock(&self.calls).get(id) {
            notify.notify_one();
        }
    }

    /// Keeps a task alive as long as the session.
    pub(crate) fn keep(&self, task: tokio::task::AbortHandle) {
        let mut tasks = lock(&self.tasks);
        tasks.retain(|task| !task.is_finished());
        tasks.push(task);
    }

    /// Ends what would go on by itself. Calls under way finish.
    fn hush(&self) {
        for task in lock(&self.tasks).drain(..) {
            task.abort();
        }
        for (_, task) in lock(&self.subscriptions).drain() {
            task.abort();
        }
        self.outbound.close();
    }

    fn end(&self) {
        self.hush();
        for call in lock(&self.calls).values() {
            call.notify_one();
        }
        lock(&self.links).clear();
        lock(&self.asks).clear();
    }

    fn touch(&self) {
        self.used_ms.store(now_ms(), Ordering::Relaxed);
    }
}

/// A call that can be cancelled; forgotten when it is dropped.
#[derive(Debug)]
pub(crate) struct Cancel {
    session: Arc<Session>,
    id: String,
    notify: Arc<Notify>,
}

impl Cancel {
    /// Resolves when the client cancels.
    pub(crate) async fn cancelled(&self) {
        self.notify.notified().await;
    }
}

impl Drop for Cancel {
    fn drop(&mut self) {
        lock(&self.session.calls).remove(&self.id);
    }
}

/// All sessions.
#[derive(Debug)]
pub(crate) struct Sessions {
    all: Mutex<HashMap<String, Arc<Session>>>,
    sessions_max: usize,
    watcher: Watcher,
}

/// Why no session could be opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum NoSession {
    /// The gateway holds as many as it may.
    Full,
    /// The agent holds as many as its space allows.
    Quota,
    /// There is no randomness for an id.
    Random,
}

impl Sessions {
    pub(crate) fn new(sessions_max: usize, watcher: Watcher) -> Self {
        Self { all: Mutex::default(), sessions_max, watcher }
    }

    /// Tells of sessions that are no more, and why, where neither side ended them.
    fn over(&self, sessions: &[Arc<Session>], error: Option<&str>) {
        for session in sessions {
            let (version, lasted) = (session.version.as_str(), session.begun.elapsed());
            self.watcher.0.session_ended(SessionEnded { server: None, version, transport: "tcp", error, lasted });
        }
    }

    /// Opens a session.
    pub(crate) fn open(&self, opening: Opening, per_agent_max: Option<u32>) -> Result<Arc<Session>, NoSession> {
        let id = random::<16>().map(|bytes| remit_mcp::canonical::hex(&bytes)).ok_or(NoSession::Random)?;
        let mut all = lock(&self.all);
        if all.len() >= self.sessions_max {
            return Err(NoSession::Full);
        }
        let own = |session: &&Arc<Session>| session.agent == opening.agent && session.space == opening.space;
        let held = all.values().filter(own).count();
        match per_agent_max {
            Some(max) if held >= usize::try_from(max).unwrap_or(usize::MAX) => return Err(NoSession::Quota),
            // Clients that never end their sessions leave them behind: the one that was unused for longest makes room.
            None if held >= SESSIONS_OF_AGENT_MAX => {
                let unused = all.values().filter(own).filter(|session| Arc::strong_count(session) == 1);
                let oldest =
                    unused.min_by_key(|session| session.used_ms.load(Ordering::Relaxed)).map(|session| session.id.clone());
                let ended: Vec<Arc<Session>> = all.remove(&oldest.ok_or(NoSession::Full)?).into_iter().collect();
                ended.iter().for_each(|session| session.end());
                self.over(&ended, Some("displaced"));
            }
            _ => {}
        }
        let session = Arc::new(Session::new(id.clone(), opening));
        all.insert(id, Arc::clone(&session));
        Ok(session)
    }

    /// The session of this id, if it is this principal's and of this space.
    pub(crate) fn get(&self, id: &str, who: &str, space: &str) -> Option<Arc<Session>> {
        let session = lock(&self.all).get(id).filter(|session| session.who == who && &*session.space == space).cloned()?;
        session.touch();
        Some(session)
    }

    /// Ends a session.
    pub(crate) fn end(&self, session: &Arc<Session>) {
        let ended: Vec<Arc<Session>> = lock(&self.all).remove(&session.id).into_iter().collect();
        ended.iter().for_each(|session| session.end());
        self.over(&ended, None);
    }

    /// Ends sessions that have not been used for long; answers how many are left.
    pub(crate) fn sweep(&self) -> usize {
        let now = now_ms();
        let mut all = lock(&self.all);
        let idle: Vec<String> = all
            .iter()
            .filter(|(_, session)| session.used_ms.load(Ordering::Relaxed) + IDLE_MAX_MS < now && Arc::strong_count(session) == 1)
            .map(|(id, _)| id.clone())
            .collect();
        let ended: Vec<Arc<Session>> = idle.iter().filter_map(|id| all.remove(id)).collect();
        let left = all.len();
        drop(all);
        ended.iter().for_each(|session| session.end());
        self.over(&ended, Some("timeout"));
        left
    }

    /// Forgets the sessions of those who may no longer use them. Their calls under way finish.
    pub(crate) fn evict(&self, is_out: impl Fn(&Session) -> bool) {
        let mut all = lock(&self.all);
        let ids: Vec<String> = all.iter().filter(|(_, session)| is_out(session)).map(|(id, _)| id.clone()).collect();
        let out: Vec<Arc<Session>> = ids.iter().filter_map(|id| all.remove(id)).collect();
        drop(all);
        out.iter().for_each(|session| session.hush());
        self.over(&out, Some("evicted"));
    }

    /// Every session.
    pub(crate) fn all(&self) -> Vec<Arc<Session>> {
        lock(&self.all).values().cloned().collect()
    }

    /// Ends every session.
    pub(crate) fn end_all(&self) {
        let all: Vec<Arc<Session>> = lock(&self.all).drain().map(|(_, session)| session).collect();
        all.iter().for_each(|session| session.end());
        self.over(&all, None);
    }
}

/// Of a client's capabilities those that a server may make use of through Remit: JSON text.
pub(crate) fn bridged(capabilities: &str) -> String {
    // Known flags only: what a client adds of its own would make every one of its requests a session of another kind.
    const BRIDGED: [(&str, &[&str]); 3] =
        [("sampling", &["tools", "context"]), ("elicitation", &["form", "url"]), ("roots", &["listChanged"])];
    let Ok(all) = serde_json::from_str::<serde_json::Map<String, serde_json::Value>>(capabilities) else {
        return "{}".to_owned();
    };
    let flags = |value: &serde_json::Value, known: &[&str]| {
        let flag = |name: &&str| {
            let value = value.get(name)?;
            let flag = if value.is_object() { serde_json::json!({}) } else { serde_json::json!(value.as_bool()?) };
            Some(((*name).to_owned(), flag))
        };
        known.iter().filter_map(flag).collect::<serde_json::Map<_, _>>()
    };
    let kept = BRIDGED.iter().filter_map(|(name, known)| Some(((*name).to_owned(), flags(all.get(*name)?, known).into())));
    serde_json::Value::Object(kept.collect()).to_string()
}

/// Whether the capabilities let a server ask for this method.
pub(crate) fn may_ask(capabilities: &str, method: &str) -> bool {
    let needed = match method {
        "sampling/createMessage" => "sampling",
        "elicitation/create" => "elicitation",
        "roots/list" => "roots",
        _ => return false,
    };
    serde_json::from_str::<serde_json::Map<String, serde_json::Value>>(capabilities).is_ok_and(|all| all.contains_key(needed))
}

/// The answer to a server's request that is made of what the client answered: the same result or error under the server's own id.
pub(crate) fn answer_for(id: &str, answer: Option<&Message>) -> Bytes {
    let Some(answer) = answer else {
        let message = "\"the client did not answer\"";
        return Bytes::from(format!("{{\"jsonrpc\":\"2.0\",\"id\":{id},\"error\":{{\"code\":-32603,\"message\":{message}}}}}"));
    };
    let mut splice = remit_mcp::splice::Splice::new();
    if let Some(span) = answer.id_span() {
        splice.replace(span, id.as_bytes().to_vec());
    }
    debug_assert!(matches!(answer.kind(), Kind::Response | Kind::Error), "an answer is a response");
    Bytes::from(splice.apply(answer.body(), answer.root()))
}

pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
