//! The data plane: one MCP endpoint per space.
//!
//! [`call`] is the life of a request in one file; [`relay`] carries a permitted call out, across eras; [`upstream`] is how servers are
//! reached; [`discovery`] keeps true what is known of them. State is one immutable snapshot that is swapped whole.

mod agree;
mod approval;
mod asked;
mod authorize;
mod body;
mod budget;
mod call;
mod caller;
mod clock;
mod compile;
mod compose;
mod confine;
mod detach;
mod discovery;
mod edge;
mod flow;
mod guard;
mod held_task;
mod history;
mod hold;
mod kept;
mod list;
mod listen;
mod observe;
mod parked;
mod pins;
mod quota;
mod receipt;
mod record;
mod registry;
mod relay;
mod reply;
mod seal;
mod session;
mod settle;
mod signed;
mod space_key;
mod standing;
mod stop;
mod tasks;
mod trust;
mod upstream;
mod user_request;

use std::collections::{HashMap, HashSet};
use std::future::Future;
use std::net::IpAddr;
use std::path::PathBuf;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use crate::kept::{Keeper, Sealed};
use arc_swap::ArcSwap;
use http::{Request, Response, StatusCode};
use hyper::body::Incoming;
use remit_journal::Journal;
use remit_kernel::reach::{Access, ways};
use remit_kernel::registry::Record;
use remit_kernel::remedy::{Remedy, remedies};
use remit_kernel::{
    Answers, Arguments, Ask, Call, Catalogue, Clock, Decision, Fact, Facts, Identity, Origin, Pin, PinKey, PolicySession,
    Principal, QuotaUse, Revocations, Snapshot, Target, decide_in_general,
};
use remit_mcp::{Era, ErrorCode, RpcError};
use remit_model::{AgentId, Organization, Risk, ServerKey};

pub use approval::{ApprovalError, ApprovalEvent, Approvals};
pub use budget::{Total, Usage};
pub use kept::{KeptFacts, NotKept};
pub use observe::{Gauge, Observed, Observer, PolicyFlip, SessionEnded};
pub use pins::{ServerStatus, ToolStatus};
pub use signed::SignedRequest;
pub use space_key::{Committed, NoKey, SALT_BYTES, ShareFile, SpaceKeys, commitment, overwrite};
pub use standing::{RegistryStanding, StatusError};
pub use trust::Trust;
pub use upstream::{CredentialError, Credentials, Header};
pub use {body::Body, clock::monotonic_ns, clock::rfc3339, confine::SandboxStatus, edge::Edge, flow::Touched};

use record::Recorder;
use registry::Registry;
use session::{Sessions, lock};
use upstream::{Context, Upstream};

/// Proves who calls.
pub trait Authenticate: Send + Sync {
    /// Who shows this `Authorization` header. What can't be found out is [`Fact::Unknown`]; errors never hold the credential.
    fn authenticate<'a>(&'a self, authorization: Option<&'a str>, now_secs: u64) -> Boxed<'a, Fact<Identity>>;
    /// Whether a signed request names a key that was issued and is alive; nothing is verified.
    fn has_key(&self, request: &SignedRequest<'_>, now_secs: u64) -> bool;
    /// Who signed this request. The signature covers host and path, so it is good for the space that it was sent to.
    fn signed(&self, request: &SignedRequest<'_>, now_secs: u64) -> Fact<Identity>;
}

/// A boxed future.
pub type Boxed<'a, T> = std::pin::Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// Every pin that is kept, and every server that was ever registered.
pub type KeptPins = (Vec<(PinKey, Pin)>, Vec<ServerKey>);

/// Keeps accepted tool definitions, and how servers stand in the registry.
pub trait Pins: Send + Sync {
    /// Every pin, and every server that was ever registered.
    fn load(&self) -> Result<KeptPins, String>;
    /// Keeps pins durably, all or none.
    fn save(&self, pins: &[(PinKey, Pin)]) -> Result<(), String>;
    /// Remembers that a server has been registered: what it offers later is new.
    fn registered(&self, server: &ServerKey) -> Result<(), String>;
    /// What was said of servers' standing in the registry.
    fn records(&self) -> Result<Vec<(ServerKey, Record)>, String>;
    /// Keeps what was said of a server, durably.
    fn save_record(&self, server: &ServerKey, record: &Record) -> Result<(), String>;
}

/// Asks guardrails of Amazon Bedrock.
pub trait AskGuardrails: Send + Sync {
    /// What came of each request, in their order: the response's body, or why there is none, which holds nothing of text or secret. It takes no
    /// longer than each guardrail says.
    fn ask<'a>(&'a self, asks: &'a [Ask]) -> Boxed<'a, Vec<Result<Vec<u8>, String>>>;
}

/// Limits of the whole gateway.
#[derive(Debug, Clone)]
pub struct Limits {
    /// The largest request body, in bytes.
    pub body_bytes_max: usize,
    /// How long a body may take to come.
    pub body_timeout: Duration,
    /// Client sessions of the session era at once.
    pub sessions_max: usize,
    /// How often a server without a stream of changes is asked for its lists.
    pub poll: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            body_bytes_max: 4 * 1024 * 1024,
            body_timeout: Duration::from_secs(30),
            sessions_max: 10_000,
            poll: Duration::from_mins(1),
        }
    }
}

/// What a gateway is made of.
pub struct Options {
    /// The address under which clients reach it, such as `https://remit.example.com`, without a slash at the end.
    pub address: String,
    /// Limits.
    pub limits: Limits,
    /// Where every decision and outcome goes.
    pub journal: Journal,
    /// Who watches.
    pub observer: Arc<dyn Observer>,
    /// Who proves identities.
    pub authenticate: Arc<dyn Authenticate>,
    /// Where upstream credentials come from.
    pub credentials: Arc<dyn Credentials>,
    /// Where pins are kept.
    pub pins: Arc<dyn Pins>,
    /// Where approvals are kept.
    pub approvals: Arc<dyn Approvals>,
    /// The address of an approval's page without its id, for people.
    pub approval_pages: String,
    /// The key under which the journal keeps what temporal conditions look back on. It must be the same at every start.
    pub history_key: zeroize::Zeroizing<[u8; 32]>,
    /// Where what decisions share is kept, for those who decide again; their own facts go into the journal's attachments, under the same key as
    /// the history. Without it none are kept.
    pub facts_dir: Option<PathBuf>,
    /// Where the key of each space is kept, sealed under the history key: under it lies what is kept of the space's calls.
    pub space_keys_dir: PathBuf,
    /// Where other nodes have those from, if there are any.
    pub share_space_keys: Option<ShareFile>,
    /// The key under which state that clients carry is sealed.
    pub seal_key: zeroize::Zeroizing<[u8; 32]>,
    /// What `remit` stands for in a server's command; it also is the launcher of sandboxes (`remit_sandbox::launched`).
    pub program: PathBuf,
    /// What no sandbox may grant: the data directory, and where the configuration is.
    pub forbidden: Vec<PathBuf>,
    /// TLS towards servers.
    pub tls: Arc<rustls::ClientConfig>,
    /// Which hosts and origins are let in.
    pub edge: Edge,
    /// For tests on loopback only: everybody is this agent.
    pub anonymous_agent: Option<AgentId>,
    /// What has been revoked so far.
    pub revocations: Revocations,
    /// Who knows how far agents are trusted.
    pub trust: Arc<dyn Trust>,
    /// Who asks guardrails of Amazon Bedrock.
    pub ask_guardrails: Arc<dyn AskGuardrails>,
}

/// The data plane. Cheap to clone.
#[derive(Clone)]
pub struct Gateway {
    inner: Arc<Inner>,
}

impl std::fmt::Debug for Gateway {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Gateway")
    }
}

/// How a server stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ServerState {
    /// It has not answered yet.
    Connecting,
    /// It answers.
    Ready(Era),
    /// It could not be reached, and why.
    Away(String),
}

/// The gateway's shared state.
pub(crate) struct Inner {
    pub(crate) address: String,
    pub(crate) limits: Limits,
    pub(crate) state: ArcSwap<State>,
    pub(crate) registry: Mutex<Registry>,
    /// One server at a time is taken in.
    pub(crate) learning: tokio::sync::Mutex<()>,
    compiler: compile::Compiler,
    pub(crate) recorder: Arc<Recorder>,
    pub(crate) sessions: Sessions,
    pub(crate) seal: seal::Seal,
    pub(crate) histories: Arc<history::Histories>,
    pub(crate) flows: flow::Flows,
    pub(crate) signatures: user_request::Signatures,
    keeper: Arc<Keeper>,
    pub(crate) quotas: quota::Quotas,
    pub(crate) parked: parked::ParkingLot,
    pub(crate) tasks: tasks::Tasks,
    pub(crate) listeners: listen::Listeners,
    pub(crate) pins: Arc<dyn Pins>,
    pub(crate) approvals: approval::Book,
    pub(crate) held_tasks: held_task::HeldTasks,
    approval_pages: String,
    /// Told when a server begins to answer, or fails.
    server_changed: tokio::sync::Notify,
    authenticate: Arc<dyn Authenticate>,
    context: Context,
    edge: Edge,
    anonymous_agent: Option<AgentId>,
    revocations: ArcSwap<Revocations>,
    /// Told when they have changed: calls under way look again.
    revoked: tokio::sync::watch::Sender<()>,
    trust: Arc<dyn Trust>,
    pub(crate) ask_guardrails: Arc<dyn AskGuardrails>,
    /// What is known of a call before any guardrail of Amazon Bedrock was asked.
    pub(crate) nobody_asked: Arc<Answers>,
}

impl std::fmt::Debug for Inner {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Inner")
    }
}

/// What one request sees: a configuration, and the servers of that configuration.
#[derive(Debug)]
pub(crate) struct State {
    pub(crate) snapshot: Arc<Snapshot>,
    pub(crate) upstreams: HashMap<ServerKey, Arc<Upstream>>,
    /// The addresses of the spaces.
    addresses: HashMap<String, Arc<str>>,
    /// The digest of what decisions under it share; `None` if it isn't kept.
    basis: Option<Arc<str>>,
}

impl Gateway {
    /// A gateway with an empty organization: everything is denied until one is applied.
    pub fn new(options: Options) -> Result<Self, String> {
        let (pins, registered) = options.pins.load()?;
        let registry = Registry {
            catalogue: Catalogue {
                pins: pins.into_iter().collect(),
                records: options.pins.records()?.into_iter().collect(),
                ..Catalogue::default()
            },
            registered: registered.into_iter().collect(),
            ..Registry::default()
        };
        let snapshot = Snapshot::compile(0, Arc::default(), &registry.catalogue);
        let keys = SpaceKeys::new(&options.history_key, options.space_keys_dir).ok_or("the history key is not fit")?;
        let keys = keys.shared_by(options.share_space_keys);
        let keys = Arc::new(keys);
        let watcher = observe::Watcher(Arc::clone(&options.observer));
        let recorder = Arc::new(Recorder::new(options.journal, options.observer, Arc::clone(&keys)));
        let inner = Inner {
            address: options.address,
            state: ArcSwap::from_pointee(State {
                snapshot: Arc::new(snapshot),
                upstreams: HashMap::new(),
                addresses: HashMap::new(),
                basis: None,
            }),
            registry: Mutex::new(registry),
            learning: tokio::sync::Mutex::default(),
            compiler: compile::Compiler::default(),
            approvals: approval::Book::new(options.approvals, Arc::clone(&keys), Arc::clone(&recorder))?,
            held_tasks: held_task::HeldTasks::default(),
            approval_pages: options.approval_pages,
            recorder,
            sessions: Sessions::new(options.limits.sessions_max, watcher.clone()),
            seal: seal::Seal::new(&options.seal_key).ok_or("the sealing key is not fit")?,
            flows: flow::Flows::default(),
            signatures: user_request::Signatures::new(clock::now_ms() / 1000),
            histories: Arc::new(history::Histories::new(Arc::clone(&keys))),
            keeper: Arc::new(Keeper::new(&options.history_key, keys, options.facts_dir).ok_or("the history key is not fit")?),
            quotas: quota::Quotas::default(),
            parked: parked::ParkingLot::default(),
            tasks: tasks::Tasks::default(),
            listeners: listen::Listeners::default(),
            pins: options.pins,
            server_changed: tokio::sync::Notify::new(),
            authenticate: options.authenticate,
            context: Context {
                tls: options.tls,
                credentials: options.credentials,
                secrets: Arc::default(),
                program: options.program.into(),
                forbidden: options.forbidden.into(),
                watcher,
            },
            edge: options.edge,
            anonymous_agent: options.anonymous_agent,
            revocations: ArcSwap::from_pointee(options.revocations),
            revoked: tokio::sync::watch::Sender::default(),
            trust: options.trust,
            ask_guardrails: options.ask_guardrails,
            nobody_asked: Arc::new(Answers::timed(Clock(clock::monotonic_ns))),
            limits: options.limits,
        };
        Ok(Self { inner: Arc::new(inner) })
    }

    /// Puts an organization into effect: it is compiled while calls go on, `event`, which says what it is and whose, is durable in the
    /// journal, then all of it takes effect at once. `taken` runs right before that, when nothing can be refused any more: for what must change along with it. Calls under
    /// way finish under the one that they started with. Servers whose registration didn't change keep their connections.
    pub async fn apply(
        &self,
        organization: Organization,
        event: serde_json::Value,
        taken: impl FnOnce() + Send,
    ) -> Result<u64, String> {
        let configuration = event.get("digest").and_then(serde_json::Value::as_str).unwrap_or_default().to_owned();
        let organization = Arc::new(organization);
        let compiled = self.inner.compiled(Arc::clone(&organization), &configuration).await?;
        self.inner.recorder.event("configuration", event).await.map_err(|error| error.to_string())?;
        let (started, stopped, version) = {
            let mut registry = lock(&self.inner.registry);
            let (started, stopped) = registry.replace(organization, &self.inner.context);
            registry.configuration = configuration;
            (started, stopped, self.inner.swap(&mut registry, compiled, taken))
        };
        self.evict();
        for upstream in stopped {
            tokio::spawn(async move {
                upstream.drain().await;
                upstream.stop();
            });
        }
        for upstream in started {
            let key = upstream.key.clone();
            let task = tokio::spawn(discovery::run(Arc::clone(&self.inner), upstream));
            if let Some(old) = lock(&self.inner.registry).tasks.insert(key, task.abort_handle()) {
                old.abort();
            }
        }
        Ok(version)
    }

    /// Gives sessions before a restart the labels that the journal says they have. To be called once, after the first configuration took
    /// effect and before anything is served. Answers how many sessions there were.
    pub fn recall_touched(&self, touched: Touched) -> usize {
        self.inner.flows.recall(&self.snapshot().organization, touched)
    }

    /// Makes the histories that temporal conditions look back on, of what the journal holds: entries in its order. To be called once,
    /// after the first configuration took effect and before anything is served. Answers how many events there were.
    pub fn recall<'a>(&self, entries: impl Iterator<Item = &'a [u8]>) -> Result<usize, String> {
        self.inner.histories.recall(&self.snapshot(), entries)
    }

    /// What has been revoked.
    pub fn revocations(&self) -> Arc<Revocations> {
        self.inner.revocations.load_full()
    }

    /// Puts revocations into effect: from here on no call of theirs is let through, and what they hold open ends.
    pub fn revoke(&self, revocations: Revocations) {
        let revocations = Arc::new(revocations);
        let before = self.inner.revocations.swap(Arc::clone(&revocations));
        self.inner.revoked.send_replace(());
        let snapshot = self.snapshot();
        let is_out = |space: &str, principal: &Principal| {
            let suspended = &revocations.suspended;
            if suspended.space(space).is_some() || suspended.caller(principal.agent.as_str(), principal.user.as_deref()).is_some()
            {
                return true;
            }
            let space = snapshot.spaces.get(space);
            let own = space.and_then(|space| space.space.role.as_ref());
            let role = principal.role(own);
            let agent = Some(principal.agent.as_str());
            let elsewhere = space.into_iter().flat_map(|space| &space.space.servers).filter_map(|entry| entry.role.as_ref());
            let (ids, issued) = (principal.credential_ids(), principal.issued_at_secs);
            role.into_iter()
                .chain(elsewhere)
                .map(Some)
                .chain([None])
                .any(|role| revocations.find(&ids, agent, role, issued).is_some())
        };
        self.inner.sessions.evict(|session| is_out(&session.space, &session.principal));
        listen::end_where(&self.inner, is_out);
        // What is stopped, or goes on, is in lists no more, or again.
        let (was, is) = (&before.suspended, &revocations.suspended);
        if (&was.servers, &was.tools) != (&is.servers, &is.tools) {
            for server in snapshot.organization.servers.keys() {
                for kind in [listen::ListKind::Tools, listen::ListKind::Prompts, listen::ListKind::Resources] {
                    listen::list_changed(&self.inner, server, kind);
                }
            }
        }
    }

    /// Ends the sessions and streams of agents that may no longer enter their space.
    fn evict(&self) {
        let snapshot = self.snapshot();
        let agents = snapshot.organization.agents.values().filter(|agent| !agent.suspended);
        let active: HashSet<&str> = agents.map(|agent| agent.id.as_str()).collect();
        let is_out = |space: &str, principal: &Principal| {
            let agent = principal.agent.as_str();
            let members = snapshot.spaces.get(space).map(|view| &view.space.agents);
            !active.contains(agent) || !members.is_some_and(|members| members.iter().any(|member| member.as_str() == agent))
        };
        self.inner.sessions.evict(|session| is_out(&session.space, &session.principal));
        listen::end_where(&self.inner, is_out);
    }

    /// Whether a path is of the data plane.
    pub fn serves(&self, path: &str) -> bool {
        path == "/authorize" || space_of(path).is_some()
    }

    /// Answers a request to the data plane.
    ///
    /// `peer` is the address that the request came from.
    pub async fn handle(&self, request: Request<Incoming>, peer: IpAddr) -> Response<Body> {
        if let Some(status) = self.inner.edge.refuses(request.uri(), request.headers()) {
            let refused = RpcError::new(ErrorCode::InvalidRequest, "this host or origin is not let in");
            return reply::json_status(status, refused.answer("null"));
        }
        let origin =
            Origin { source_ip: Fact::Known(peer.to_canonical()), secure_transport: self.inner.address.starts_with("https:") };
        match space_of(request.uri().path()).map(str::to_owned) {
            Some(space) => call::serve(&self.inner, &space, request, origin).await,
            None if request.method() == http::Method::POST && request.uri().path() == "/authorize" => {
                authorize::authorize(&self.inner, request, origin).await
            }
            None => reply::empty(StatusCode::NOT_FOUND),
        }
    }

    /// The snapshot in effect.
    pub fn snapshot(&self) -> Arc<Snapshot> {
        Arc::clone(&self.inner.state.load().snapshot)
    }

    /// What servers offer, as far as it is known, and what of it was accepted.
    pub fn catalogue(&self) -> Catalogue {
        lock(&self.inner.registry).catalogue.clone()
    }

    /// The address of a space: what tokens must name as their audience.
    pub fn space_address(&self, space: &str) -> String {
        self.inner.space_address(space).to_string()
    }

    /// Asks a server anew what it offers, now: its credential changed.
    pub fn ask_again(&self, server: &ServerKey) {
        let Some(upstream) = lock(&self.inner.registry).upstreams.get(server).cloned() else { return };
        upstream.forget();
        self.inner.server_state(server, ServerState::Connecting);
        let task = tokio::spawn(discovery::run(Arc::clone(&self.inner), upstream));
        if let Some(old) = lock(&self.inner.registry).tasks.insert(server.clone(), task.abort_handle()) {
            old.abort();
        }
    }

    /// Secrets have changed: what was made of them is made again with the next request, and servers that are away are asked now.
    pub fn secrets_changed(&self) {
        self.inner.context.secrets.fetch_add(1, Ordering::Release);
        let away = |(key, state): (&ServerKey, &ServerState)| matches!(state, ServerState::Away(_)).then(|| key.clone());
        let away: Vec<ServerKey> = lock(&self.inner.registry).states.iter().filter_map(away).collect();
        away.iter().for_each(|key| self.ask_again(key));
    }

    /// Waits until every server has answered or failed once, but not for longer than this.
    pub async fn settled(&self, timeout: Duration) {
        let settled = async {
            loop {
                let changed = self.inner.server_changed.notified();
                let waiting = self.inner.has_unheard();
                if !waiting {
                    return;
                }
                changed.await;
            }
        };
        let _ = tokio::time::timeout(timeout, settled).await;
    }

    /// Decides as if an authenticated agent asked, with every layer and with what would have to change, and records nothing: for
    /// `remit explain`.
    pub fn explain(
        &self,
        space: &str,
        agent: &AgentId,
        tool: &str,
        arguments: Option<Arguments<'_>>,
        risk_requested: Option<Risk>,
    ) -> (Decision, Vec<Remedy>) {
        let audience = self.inner.space_address(space);
        let principal = Arc::new(Principal {
            agent: agent.clone(),
            user: None,
            credential_id: "explain".to_owned(),
            audiences: vec![audience.to_string()],
            expires_at_secs: u64::MAX,
            class_max: None,
            issued_at_secs: u64::MAX,
            session: None,
            claims: Arc::default(),
        });
        let facts = self.inner.facts(Fact::Known(Identity::Authenticated(principal)), audience, Origin::default());
        let mut facts = facts;
        // In a session that has touched nothing yet.
        facts.provenance = Fact::Known(Some(Arc::default()));
        facts.policy_session.bindings =
            Fact::Unknown("rules that look back need a session's history, and this is no session".to_owned());
        let call = Call { space, target: Target::Tool { name: tool, arguments }, risk_requested, explain: true };
        let snapshot = self.snapshot();
        let decision = decide_in_general(&snapshot, &facts, &call, clock::now_ms() / 1000);
        let remedies = remedies(&snapshot, &facts, &call, &decision);
        (decision, remedies)
    }

    /// Every way in which anybody could try an action on a resource: an ARN, or a tool's exposed name. Nothing is recorded.
    pub fn ways(&self, action: &str, resource: &str) -> Vec<Access> {
        let snapshot = self.snapshot();
        let now_secs = clock::now_ms() / 1000;
        let tools = snapshot.spaces.values().filter_map(|space| space.tools.get(resource));
        let mut resources: Vec<&str> = tools.map(|tool| tool.arn.as_str()).collect();
        resources.sort_unstable();
        resources.dedup();
        if resources.is_empty() {
            resources.push(resource);
        }
        let revocations = self.revocations();
        resources.into_iter().flat_map(|resource| ways(&snapshot, action, resource, &revocations, now_secs)).collect()
    }

    /// Ends what has been idle for too long. To be called every now and then.
    pub fn sweep(&self) {
        self.inner.parked.sweep(clock::now_ms() / 1000);
        let sessions = self.inner.sessions.sweep();
        self.inner.recorder.observer().gauge(Gauge::Sessions(sessions));
        let lost = self.inner.recorder.facts_lost() + self.inner.keeper.lost();
        self.inner.recorder.observer().gauge(Gauge::FactsLost(lost));
    }

    /// Ends the streams that would never end by themselves, so that connections can close once their calls have finished.
    pub fn close_streams(&self) {
        self.inner.approvals.close();
        listen::end_where(&self.inner, |_, _| true);
        for session in self.inner.sessions.all() {
            session.outbound.close();
        }
    }

    /// Ends sessions and children. Calls under way are the server's to drain before.
    pub fn stop(&self) {
        self.close_streams();
        self.inner.sessions.end_all();
        let mut registry = lock(&self.inner.registry);
        registry.tasks.drain().for_each(|(_, task)| task.abort());
        for upstream in registry.upstreams.values() {
            upstream.stop();
        }
    }

    /// Records an event that is no decision.
    pub async fn record(&self, kind: &str, event: serde_json::Value) -> Result<u64, String> {
        self.inner.recorder.event(kind, event).await.map_err(|error| error.to_string())
    }
}

/// The space whose endpoint a path is.
fn space_of(path: &str) -> Option<&str> {
    path.strip_prefix("/spaces/")?.strip_suffix("/mcp").filter(|space| !space.contains('/'))
}

impl Inner {
    /// The address of a space.
    pub(crate) fn space_address(&self, space: &str) -> Arc<str> {
        match self.state.load().addresses.get(space) {
            Some(address) => Arc::clone(address),
            None => format!("{}/spaces/{space}/mcp", self.address).into(),
        }
    }

    /// Where a space's protected-resource metadata is (RFC 9728, section 3.1).
    pub(crate) fn resource_metadata_address(&self, space: &str) -> String {
        format!("{}/.well-known/oauth-protected-resource/spaces/{space}/mcp", self.address)
    }

    /// The facts about a caller, before quotas are counted.
    pub(crate) fn facts(&self, identity: Fact<Identity>, audience: Arc<str>, origin: Origin) -> Facts {
        let quota = Fact::Known(QuotaUse { calls_concurrent: 0, calls_per_minute: 0 });
        let trust = self.trusted(&identity);
        Facts {
            trust,
            identity,
            audience,
            quota,
            budgets: Fact::Known(Vec::new()),
            origin,
            revocations: Fact::Known(self.revocations.load_full()),
            policy_session: PolicySession::default(),
            approvals: Fact::Known(Vec::new()),
            provenance: Fact::Known(None),
            guardrails: Arc::clone(&self.nobody_asked),
        }
    }

    /// The address of an approval's page.
    pub(crate) fn approval_page(&self, id: &str) -> String {
        format!("{}{id}", self.approval_pages)
    }

    /// The facts of a decision, sealed to be kept; `None` if they aren't or can't be.
    pub(crate) fn keep(&self, state: &State, facts: &Facts, call: &Call<'_>, decision_id: &str, at_ms: u64) -> Option<Sealed> {
        // Of spaces that there aren't nothing is kept, and so no key is made for them.
        state.snapshot.spaces.get(call.space)?;
        self.keeper.seal(state.basis.as_deref()?, facts, call, decision_id, at_ms)
    }

    /// Who calls.
    pub(crate) async fn authenticate(&self, authorization: Option<&str>, audience: &str) -> Fact<Identity> {
        if let Some(agent) = &self.anonymous_agent {
            return Fact::Known(Identity::Authenticated(Arc::new(Principal {
                agent: agent.clone(),
                user: None,
                credential_id: "anonymous".to_owned(),
                audiences: vec![audience.to_owned()],
                expires_at_secs: u64::MAX,
                class_max: None,
                issued_at_secs: u64::MAX,
                session: None,
                claims: Arc::default(),
            })));
        }
        self.authenticate.authenticate(authorization, clock::now_ms() / 1000).await
    }

    /// Whether some server has neither answered nor failed yet.
    fn has_unheard(&self) -> bool {
        let registry = lock(&self.registry);
        registry.organization.servers.keys().any(|key| matches!(registry.states.get(key), Some(ServerState::Connecting)))
    }

    /// Notes how a server stands.
    pub(crate) fn server_state(&self, server: &ServerKey, state: ServerState) {
        lock(&self.registry).states.insert(server.clone(), state);
        self.server_changed.notify_waiters();
    }
}
