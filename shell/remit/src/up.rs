//! `remit up`: everything is put together here, and nowhere else.

use std::io::IsTerminal as _;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use http::header::CONTENT_TYPE;
use http::{HeaderValue, Method, Request, Response, StatusCode};
use http_body_util::BodyExt as _;
use hyper::body::Incoming;
use remit_authority::{
    Authenticator, Authority, Directory as _, JWKS_PATH, KeyPairs, SignIns, TOKEN_PATH, TokenService, UpstreamCredentials,
};
use remit_control::versions::Versions;
use remit_control::{CALLBACK_PATH, Operator, Plane, SignedIn};
use remit_gateway::{Body, Edge, Gateway, Limits, Options};
use remit_identity::sigv4;
use remit_journal::{AttachmentOptions, Health, Journal};
use remit_kernel::reach::is_of;
use remit_kernel::{Revocations, Session, Snapshot};
use remit_model::{AgentId, Network, Person, ServerKey, SpaceId};
use remit_telemetry::{Spans, Telemetry};
use rustls::ClientConfig;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::sync::watch;

use crate::alarms::{self, Board};
use crate::approvals::StoredApprovals;
use crate::aws::{self, Aws, Now, StoredAccessKeys};
use crate::bedrock::Asker;
use crate::change::{Beginning, Standing};
use crate::channels::Links;
use crate::cli::Up;
use crate::cluster::{self, Joined};
use crate::decisions::Decisions;
use crate::explain::{explain, parse_server};
use crate::home::{Home, Running, StoredPins};
use crate::launch::Launched;
use crate::output::{Failure, Printer, warn};
use crate::receipt::RECEIPTS_PATH;
use crate::retention::Retention;
use crate::serve::{Certificate, serve};
use crate::shared::{Identities, IssuerKeys, ServerCredentials, SessionKeys, Shared, upstream_credentials};
use crate::standby::Forwarding;
use crate::trust::Book;
use crate::upkeep::{Stops, keep, watch_config};
use crate::{
    audit, behaviour, channels, cloudwatch, connect, console, deliveries, kept, lines, now_secs, secrets, servers, witness,
};

/// How long the greeting waits for servers to answer for the first time.
const SERVERS_MAX: Duration = Duration::from_secs(5);
/// How long a form may take to come.
const FORM_TIMEOUT: Duration = Duration::from_secs(10);
/// Where the pages of approvals are, at the operator's address.
const APPROVAL_PAGES: &str = "/console/approvals/";
/// The largest form of the token endpoint, in bytes.
const FORM_BYTES_MAX: usize = 64 * 1024;

/// The gateway that runs.
pub(crate) struct World {
    pub(crate) gateway: Gateway,
    aws: Aws,
    secure: bool,
    pub(crate) authority: Arc<Authority>,
    pub(crate) authenticator: Arc<Authenticator>,
    pub(crate) shared: Arc<Shared>,
    pub(crate) credentials: Arc<UpstreamCredentials>,
    sign_ins: SignIns,
    pub(crate) journal: Journal,
    pub(crate) decisions: Decisions,
    pub(crate) book: Arc<Book>,
    /// How alarms stand.
    pub(crate) alarms: Board,
    /// What is usual for agents.
    pub(crate) behaviour: behaviour::Watch,
    /// Metrics that wait to be put to CloudWatch.
    pub(crate) cloudwatch: cloudwatch::Outbox,
    telemetry: Arc<Telemetry>,
    pub(crate) home: Home,
    pub(crate) config: Option<PathBuf>,
    pub(crate) program: PathBuf,
    pub(crate) launched: tokio::sync::Mutex<Launched>,
    /// What the last attempt to read the configuration came to.
    pub(crate) last_reload: Mutex<Value>,
    /// One change at a time: the later one is the one in effect.
    pub(crate) reloading: tokio::sync::Mutex<()>,
    /// One promotion at a time.
    pub(crate) signing: tokio::sync::Mutex<()>,
    pub(crate) retention: Retention,
    pub(crate) witnessed: witness::Standing,
    pub(crate) versions: Versions,
    /// The version in effect.
    pub(crate) standing: Mutex<Standing>,
    /// One-time links that decide approvals.
    pub(crate) links: Links,
    pub(crate) delivered: deliveries::Told,
    /// What is shown to clients, where Remit speaks TLS.
    certificate: Option<Arc<Certificate>>,
    /// The address of the operator's interface.
    pub(crate) control_address: String,
    pub(crate) tls: Arc<ClientConfig>,
}

/// Starts, serves until it is told to stop, and lets calls finish.
#[allow(clippy::too_many_lines, reason = "everything is started here, in the order that it needs")]
pub(crate) async fn up(options: Up) -> Result<(), Failure> {
    let printer = Printer::new(options.common.json);
    if options.anonymous_agent.is_some() && !options.host.is_loopback() {
        return Err(Failure::invalid("--anonymous-agent is for tests on loopback only"));
    }
    let home = Home::create(&options.common.data)?;
    let certificate = match (&options.tls_cert, &options.tls_key) {
        (Some(chain), Some(key)) => Some(Certificate::read(chain, key).map_err(Failure::invalid)?),
        _ => None,
    };
    // Read before anything starts: what has a fault starts nothing. A node of several reads it when it has what the others wrote.
    let alone = options.cluster.cluster.is_none();
    let mut heard = (!alone).then(Stops::hear);
    if alone && home.cluster_place().exists() {
        return Err(Failure::invalid("this directory is a node's of a cluster: start it with --cluster"));
    }
    let mut beginning = if alone { Some(Beginning::choose(&home, options.config.as_deref(), printer)?) } else { None };
    let listener = bind(options.host, options.port).await?;
    let address = listener.local_addr().map_err(|error| Failure::new(error.to_string()))?;
    let control_port = options.control_port.unwrap_or_else(|| if options.port == 0 { 0 } else { options.port.saturating_add(1) });
    let control = bind(IpAddr::V4(Ipv4Addr::LOCALHOST), control_port).await?;
    let control_address = control.local_addr().map_err(|error| Failure::new(error.to_string()))?;
    let tls = options.ca.as_deref().map_or_else(|| Ok(remit_egress::tls_config()), trusting)?;
    let mut joined = None;
    if !alone {
        let stops = heard.get_or_insert_with(Stops::hear);
        joined = cluster::join(&options, &home, (&listener, &control), &tls, stops).await?;
        if joined.is_none() {
            // What it follows on a thread of its own may end at any moment, as in a crash.
            std::process::exit(0);
        }
    }
    let (forwarded, bases) = joined.map(|Joined { forwarded, forwarding, bases }| ((forwarded, forwarding), bases)).unzip();
    let beginning = match beginning.take() {
        Some(beginning) => beginning,
        None => Beginning::choose(&home, options.config.as_deref(), printer)?,
    };
    let public = public_address(&options, address, certificate.is_some());
    let (world, mut recovered) = assemble(&options, &home, &public, control_address, certificate.clone(), tls, printer)?;
    let world = Arc::new(world);
    world.begin(beginning).await?;
    look_back(&world, std::mem::take(&mut recovered.past), options.forget_history).await?;
    world.gateway.recall_touched(std::mem::take(&mut recovered.touched));
    world.gateway.recall_spending(std::mem::take(&mut recovered.spending));
    let keeping = world.book.keep(&world.gateway, &home.journal(), audit::home_recap(&home)?)?;
    let alarms = alarms::keep(&world, Arc::clone(&world.tls))?;
    let watching = behaviour::keep(&world)?;
    let begins = world.journal.checkpoint().size;
    let lines = lines::write(&options, &home, begins)?;
    let putting = cloudwatch::keep(&world, begins)?;

    let (stop, stopping) = watch::channel(false);
    let reached = remit_control::Options { address: control_url(&options, control_address), now_secs };
    let operator = Operator::new(Arc::clone(&world) as Arc<dyn Plane>, &home.operator_token()?, &reached);
    let running = Running {
        gateway: public.clone(),
        control: format!("http://{control_address}"),
        token_endpoint: format!("{public}{TOKEN_PATH}"),
        pid: std::process::id(),
        ca: options.ca.as_ref().or(options.tls_cert.as_ref()).and_then(|path| path.canonicalize().ok()),
    };
    home.set_running(&running)?;
    let served = tokio::spawn(serve_public(listener, certificate.clone(), None, Arc::clone(&world), stopping.clone()));
    let passed_on = forwarded.map(|(listener, forwarding)| {
        tokio::spawn(serve_public(listener, certificate.clone(), Some(forwarding), Arc::clone(&world), stopping.clone()))
    });
    let console = operator.clone();
    let operated = tokio::spawn(serve_operator(control, operator, stopping.clone()));
    let changes = watch_config(options.config.as_deref())?;
    tokio::spawn(deliveries::keep(Arc::clone(&world), stopping.clone()));
    let stopping_too = stopping.clone();
    tokio::spawn(keep(Arc::clone(&world), certificate, changes, stopping));
    tokio::spawn(Arc::clone(&world).keep_witnessed(stopping_too));
    tokio::spawn(channels::tell(Arc::clone(&world), Arc::clone(&world.tls)));
    world.gateway.settled(SERVERS_MAX).await;
    world
        .record(
            "started",
            json!({
                "version": env!("CARGO_PKG_VERSION"), "recovered_unknown": recovered.unknown, "entries_read": recovered.read,
                "had_stopped": recovered.stopped, "cluster_term": home.shared().map(remit_cluster::Active::term),
            }),
        )
        .await?;
    crate::sandbox::warn_of(&world);
    // Whoever reads that it is up may stop it at once.
    let mut stops = heard.unwrap_or_else(Stops::hear);
    crate::greet::greet(&world, &running, &recovered, link(&console, printer).as_deref(), printer)?;

    tokio::select! {
        () = stops.stopped() => {}
        why = cluster::keep(&home, &world.journal, bases) => {
            warn(&format!("cluster: this node is not active any more and ends, to stand by when it is started again: {why}"));
            std::process::exit(1);
        }
    }
    printer.say("stopping: calls under way may finish")?;
    let _ = stop.send(true);
    world.gateway.close_streams();
    console.close_streams();
    let _ = served.await;
    if let Some(passed_on) = passed_on {
        let _ = passed_on.await;
    }
    world.gateway.stop();
    let _ = operated.await;
    connect::record_ended(&world.credentials, &world.gateway).await;
    // What it finds last is an alarm's, too.
    drop(watching);
    drop((alarms, lines));
    putting.end().await;
    world.record("stopped", json!({})).await?;
    drop(keeping);
    world.telemetry.flush();
    world.journal.clone().close();
    cluster::release(&home)?;
    home.clear_running();
    Ok(())
}

/// The address under which clients reach the gateway.
fn public_address(options: &Up, address: SocketAddr, secure: bool) -> String {
    let public = options.address.clone().unwrap_or_else(|| {
        let mut named = address;
        if named.ip().is_unspecified() {
            warn("clients on other machines need to know the gateway by a name: give it with --address; until then only this one can call");
            named.set_ip(IpAddr::V4(Ipv4Addr::LOCALHOST));
        }
        format!("{}://{named}", if secure { "https" } else { "http" })
    });
    public.trim_end_matches('/').to_owned()
}

/// TLS that trusts the authorities in a PEM file as well.
pub(crate) fn trusting(path: &Path) -> Result<Arc<ClientConfig>, Failure> {
    let authorities: Vec<CertificateDer<'static>> = CertificateDer::pem_file_iter(path)
        .and_then(Iterator::collect)
        .map_err(|error| Failure::invalid(format!("`{}`: {error}", path.display())))?;
    Ok(remit_egress::tls_config_with_ca(&authorities))
}

async fn bind(host: IpAddr, port: u16) -> Result<TcpListener, Failure> {
    TcpListener::bind(SocketAddr::new(host, port)).await.map_err(|error| {
        let mend = if error.kind() == std::io::ErrorKind::AddrInUse {
            ": something listens there already; choose another with --port"
        } else {
            ""
        };
        Failure::new(format!("{host}:{port}: {error}{mend}"))
    })
}

#[allow(clippy::too_many_lines, reason = "everything is put together here, and nowhere else")]
fn assemble(
    options: &Up,
    home: &Home,
    public: &str,
    control: SocketAddr,
    certificate: Option<Arc<Certificate>>,
    tls: Arc<ClientConfig>,
    printer: Printer,
) -> Result<(World, audit::Recovered), Failure> {
    let fault = |error: &dyn std::fmt::Display| Failure::new(error.to_string());
    let telemetry = telemetry(options.otlp.as_deref(), &tls)?;
    let book = Arc::new(Book::default());
    let (journal, recovered) = audit::open(home, options, facts(options, home).as_ref(), &book)?;
    kept::keys_checked(home, options.forget_history)?;
    if recovered.read > 100_000 {
        printer.say(&format!("journal: {} of {} entries read again and found whole", recovered.read, recovered.entries))?;
    }
    let store = home.store()?;
    let shared = Arc::new(Shared::new(public, Arc::clone(&store)));
    let keys = Arc::new(IssuerKeys(Arc::clone(&store)));
    let authority =
        Authority::new(public, keys, Arc::clone(&shared) as _, Arc::clone(&tls), now_secs()).map_err(|error| fault(&error))?;
    let authority = Arc::new(authority);
    let keys = KeyPairs::new(&SessionKeys(Arc::clone(&store)), Arc::new(StoredAccessKeys(Arc::clone(&store))));
    let keys = Arc::new(keys.map_err(|error| fault(&error))?);
    let authenticator = Arc::new(Authenticator::new(Arc::clone(&authority), Arc::clone(&keys)));
    let now = Arc::new(Now::default());
    let service = TokenService::new(Arc::clone(&authority), Arc::clone(&keys), Arc::clone(&now) as _);
    let redirect_uri = format!("http://{control}{CALLBACK_PATH}");
    let credentials = upstream_credentials(&store, Arc::clone(&shared), Arc::clone(&tls), &redirect_uri);
    let upstream_tls = Arc::clone(&tls);
    let asker = Arc::new(Asker::new(Arc::clone(&tls), Arc::clone(&credentials)));
    let program = std::env::current_exe().map_err(|error| fault(&error))?;
    let anonymous_agent = anonymous(options)?;
    let edge = edge(options, public);
    let sign_ins = SignIns::new(Arc::clone(&tls));
    let aws = Aws::new(service, keys, Arc::clone(&store), edge.clone());
    let versions = Versions::new(Arc::clone(&store) as _);
    let gateway = Gateway::new(Options {
        address: public.to_owned(),
        limits: Limits::default(),
        journal: journal.clone(),
        observer: Arc::clone(&telemetry) as _,
        authenticate: Arc::new(Identities(Arc::clone(&authenticator))),
        credentials: Arc::new(ServerCredentials(Arc::clone(&credentials))),
        pins: Arc::new(StoredPins(Arc::clone(&store))),
        approvals: Arc::new(StoredApprovals(Arc::clone(&store))),
        approval_pages: format!("{}{APPROVAL_PAGES}", control_url(options, control)),
        history_key: home.history_key()?,
        facts_dir: facts(options, home).map(|_| home.facts_shared()),
        space_keys_dir: home.space_keys(),
        share_space_keys: home.shared().cloned().map(cluster::share_space_keys),
        seal_key: home.seal_key()?,
        program: program.clone(),
        forbidden: kept_from_servers(options, home),
        tls,
        edge,
        anonymous_agent,
        revocations: aws::revocations(&store)?,
        trust: Arc::clone(&book) as _,
        ask_guardrails: Arc::clone(&asker) as _,
    })
    .map_err(Failure::new)?;
    now.set(gateway.clone(), asker);
    Ok((
        World {
            gateway,
            aws,
            secure: public.starts_with("https://"),
            authority,
            authenticator,
            shared,
            credentials,
            sign_ins,
            journal,
            decisions: Decisions::follow(home),
            book,
            alarms: Board::default(),
            behaviour: behaviour::Watch::default(),
            cloudwatch: cloudwatch::Outbox::default(),
            telemetry,
            home: home.clone(),
            config: options.config.clone(),
            program,
            launched: tokio::sync::Mutex::default(),
            last_reload: Mutex::default(),
            reloading: tokio::sync::Mutex::default(),
            signing: tokio::sync::Mutex::default(),
            retention: Retention::new(home),
            witnessed: witness::Standing::new(home),
            standing: Mutex::default(),
            links: Links::default(),
            delivered: deliveries::Told::default(),
            certificate,
            control_address: control_url(options, control),
            tls: upstream_tls,
            versions,
        },
        recovered,
    ))
}

/// What no sandbox of a server may grant: who writes the configuration decides what Remit allows.
fn kept_from_servers(options: &Up, home: &Home) -> Vec<PathBuf> {
    let config = options.config.as_ref().and_then(|config| config.canonicalize().ok());
    [home.root().to_owned()].into_iter().chain(config).collect()
}

/// A link that opens the console, for a person at a terminal: what is printed elsewhere is kept in logs.
fn link(operator: &Operator, printer: Printer) -> Option<String> {
    (std::io::stdout().is_terminal() && !printer.json).then(|| operator.console_link("operator")).flatten()
}

/// The address under which people reach the operator's interface.
fn control_url(options: &Up, control: SocketAddr) -> String {
    let said = options.control_address.as_deref().map(|said| said.trim_end_matches('/').to_owned());
    said.unwrap_or_else(|| format!("http://{control}"))
}

/// Which hosts and origins are let in.
fn edge(options: &Up, public: &str) -> Edge {
    Edge {
        hosts: vec![public.split_once("://").map(|(_, rest)| rest.to_ascii_lowercase()).unwrap_or_default()],
        origins: options.origin.clone(),
        loopback: options.host.is_loopback() || options.host.is_unspecified(),
    }
}

/// The agent that everybody is, for tests.
fn anonymous(options: &Up) -> Result<Option<AgentId>, Failure> {
    options.anonymous_agent.as_deref().map(AgentId::new).transpose().map_err(|error| Failure::invalid(error.to_string()))
}

/// How the facts of decisions are kept, if they are.
fn facts(options: &Up, home: &Home) -> Option<AttachmentOptions> {
    let bytes_max = options.facts_max_gib.saturating_mul(1024 * 1024 * 1024);
    let keep_secs = options.facts_days.saturating_mul(24 * 3600);
    (bytes_max > 0 && keep_secs > 0).then(|| AttachmentOptions { bytes_max, keep_secs, ..AttachmentOptions::new(home.facts()) })
}

/// Makes the histories of temporal conditions again, before anything is served.
async fn look_back(world: &World, past: Vec<Vec<u8>>, forget: bool) -> Result<(), Failure> {
    if forget {
        let event = json!({"entries": past.len()});
        return world.gateway.record("history_forgotten", event).await.map(drop).map_err(Failure::new);
    }
    let mend = "put the key back, or start with --forget-history: then nothing before counts for rules that look back";
    let recalled = world.gateway.recall(past.iter().map(Vec::as_slice));
    recalled.map(drop).map_err(|why| Failure::new(format!("{why}; {mend}")))
}

/// Metrics, and spans to a collector if one is named.
fn telemetry(otlp: Option<&str>, tls: &Arc<ClientConfig>) -> Result<Arc<Telemetry>, Failure> {
    let fault = |error: &dyn std::fmt::Display| Failure::new(error.to_string());
    let spans = |endpoint: &str| {
        let here = endpoint.contains("127.0.0.1") || endpoint.contains("localhost");
        Spans::new(endpoint, if here { Network::Loopback } else { Network::Private }, tls)
    };
    let spans = otlp.map(spans).transpose().map_err(|error| fault(&error))?;
    Telemetry::new(spans).map_err(|error| fault(&error))
}

impl World {
    /// The value of a secret that the configuration names.
    pub(crate) fn secret(&self, reference: &remit_model::SecretRef) -> Result<zeroize::Zeroizing<String>, String> {
        self.credentials.secret(reference).map_err(|error| error.to_string())
    }

    async fn record(&self, kind: &str, event: Value) -> Result<(), Failure> {
        self.gateway.record(kind, event).await.map(|_| ()).map_err(Failure::new)
    }

    /// Answers what is public and not of the data plane: the token endpoint and the documents that lead clients to it.
    async fn public(&self, request: Request<Incoming>) -> Response<Body> {
        let path = request.uri().path().to_owned();
        let get = matches!(*request.method(), Method::GET | Method::HEAD);
        if request.method() == Method::POST && path == TOKEN_PATH {
            let (parts, body) = request.into_parts();
            let read = http_body_util::Limited::new(body, FORM_BYTES_MAX).collect();
            let body = match tokio::time::timeout(FORM_TIMEOUT, read).await {
                Ok(Ok(body)) => body,
                Ok(Err(_)) => return status(StatusCode::PAYLOAD_TOO_LARGE),
                Err(_) => return status(StatusCode::REQUEST_TIMEOUT),
            };
            let response = self.authority.token(&parts.headers, &body.to_bytes(), now_secs()).await;
            return response.map(Body::Full);
        }
        if !get {
            return status(StatusCode::NOT_FOUND);
        }
        match path.as_str() {
            "/.well-known/oauth-authorization-server" | "/.well-known/openid-configuration" => {
                document(&self.authority.metadata())
            }
            JWKS_PATH => document(&self.authority.jwks()),
            _ if path.starts_with(RECEIPTS_PATH) => {
                self.receipt(path.get(RECEIPTS_PATH.len()..).unwrap_or_default(), request.headers()).await
            }
            "/healthz" => text("ok\n"),
            "/readyz" => match self.ready() {
                Ok(()) => text("ready\n"),
                Err(_) => status(StatusCode::SERVICE_UNAVAILABLE),
            },
            _ => {
                let space =
                    path.strip_prefix("/.well-known/oauth-protected-resource/spaces/").and_then(|rest| rest.strip_suffix("/mcp"));
                let space = space.and_then(|space| SpaceId::new(space).ok());
                match space.and_then(|space| self.authority.protected_resource(&space)) {
                    Some(found) => document(&found),
                    None => status(StatusCode::NOT_FOUND),
                }
            }
        }
    }
}

impl Plane for World {
    fn ready(&self) -> Result<(), String> {
        match self.journal.health() {
            Health::Ok => Ok(()),
            Health::Stopped { reason } => Err(format!("the journal stopped: {reason}")),
        }
    }

    fn metrics(&self) -> Result<String, String> {
        let size = self.journal.checkpoint().size;
        let healthy = u8::from(self.ready().is_ok());
        let mut delivered = self.delivered.metrics(size);
        if let Some(ends) = self.certificate.as_ref().and_then(|certificate| certificate.ends_secs()) {
            let name = "remit_tls_certificate_expiry_timestamp_seconds";
            let help = "When the first certificate of the chain that clients are shown ends";
            delivered.push_str(&format!("# HELP {name} {help}\n# TYPE {name} gauge\n{name} {ends}\n"));
        }
        delivered.push_str(&cluster::metrics(true, self.home.shared().map_or(0, |active| active.place().number)));
        self.telemetry.prometheus(&format!(
            "{delivered}# HELP remit_journal_entries Entries in the journal\n# TYPE remit_journal_entries counter\nremit_journal_entries {size}\n# HELP remit_journal_healthy Whether the journal accepts entries\n# TYPE remit_journal_healthy gauge\nremit_journal_healthy {healthy}\n{}{}{}",
            self.alarms.prometheus(),
            self.behaviour.prometheus(),
            self.cloudwatch.prometheus()
        ))
    }

    fn status(&self) -> Value {
        let snapshot = self.gateway.snapshot();
        let mut spaces: Vec<Value> = snapshot.spaces.values().map(|space| self.space_status(space)).collect();
        spaces.sort_by_key(|space| space.get("space").map(ToString::to_string));
        let told = |server: &str, tool: Option<&str>, fault: &str| json!({"server": server, "tool": tool, "fault": fault});
        let unfit = snapshot.findings.iter();
        let mut findings: Vec<Value> =
            unfit.map(|finding| told(&finding.server.to_string(), Some(&finding.tool), &finding.fault)).collect();
        findings.extend(
            self.gateway.definition_findings().iter().map(|found| told(&found.server, found.tool.as_deref(), &found.what())),
        );
        let mut policy_findings: Vec<Value> = Vec::new();
        for (space, view) in snapshot.spaces.iter().collect::<std::collections::BTreeMap<_, _>>() {
            policy_findings.extend(view.policy_set.iter().flat_map(|set| set.findings()).map(|finding| {
                let fault = &finding.fault;
                json!({"space": space, "policy": finding.rule, "file": fault.path, "line": fault.line, "column": fault.column, "what": fault.what, "mend": fault.mend})
            }));
        }
        let agents: Vec<&str> = snapshot.organization.agents.keys().map(AgentId::as_str).collect();
        let last = self.last_reload.lock().unwrap_or_else(PoisonError::into_inner).clone();
        json!({"snapshot": snapshot.version, "organization": snapshot.organization.name, "agents": agents, "spaces": spaces, "servers": self.gateway.servers(), "connections": connect::standing(&self.credentials), "findings": findings, "policy_findings": policy_findings, "suspended": self.gateway.revocations().suspended, "last_reload": last, "configuration": self.configuration_status()})
    }

    fn explain(&self, question: &Value) -> Result<Value, String> {
        explain(&self.gateway, &self.shared.organization(), question)
    }

    fn accept<'a>(&'a self, request: &'a Value) -> remit_control::operator::Boxed<'a, Result<Value, String>> {
        Box::pin(async move {
            let text = |key: &str| request.get(key).and_then(Value::as_str);
            let server: ServerKey = parse_server(text("server").ok_or("`server` is missing")?)?;
            let by = text("by").ok_or("`by` is missing: who accepts?")?;
            let tools = self.gateway.accept(&server, text("tool"), by).await?;
            Ok(json!({"server": server.to_string(), "accepted": tools}))
        })
    }

    fn credentials<'a>(&'a self, request: &'a Value) -> remit_control::operator::Boxed<'a, Result<Value, (StatusCode, String)>> {
        Box::pin(async move { self.aws.credentials(&self.gateway, request).await.map_err(|fault| fault.0) })
    }

    fn revoke<'a>(&'a self, request: &'a Value) -> remit_control::operator::Boxed<'a, Result<Value, (StatusCode, String)>> {
        Box::pin(async move { self.aws.revoke(&self.gateway, request).await.map_err(|fault| fault.0) })
    }

    fn secrets<'a>(&'a self, by: &'a Person, what: &'a str, asked: Value) -> remit_control::operator::Boxed<'a, secrets::Answer> {
        Box::pin(self.answer_secrets(by, what, asked))
    }

    fn suspend<'a>(&'a self, request: &'a Value) -> remit_control::operator::Boxed<'a, Result<Value, (StatusCode, String)>> {
        Box::pin(async move { self.aws.suspend(&self.gateway, request).await.map_err(|fault| fault.0) })
    }

    fn approvals<'a>(
        &'a self,
        person: &'a Person,
        what: &'a str,
        request: &'a Value,
    ) -> remit_control::operator::Boxed<'a, Result<Value, (StatusCode, String)>> {
        Box::pin(self.answer_approvals(person, what, request))
    }

    fn link_shown(&self, token: &str) -> Result<Value, String> {
        World::link_shown(self, token)
    }

    fn link_used<'a>(&'a self, token: &'a str, reason: &'a str) -> remit_control::operator::Boxed<'a, Result<String, String>> {
        Box::pin(World::link_used(self, token, reason))
    }

    fn approvals_changed(&self) -> watch::Receiver<u64> {
        self.gateway.approvals_changed()
    }

    fn ways(&self, question: &Value) -> Result<Value, String> {
        let text = |key: &str| question.get(key).and_then(Value::as_str);
        let (action, resource) = (text("action").ok_or("`action` is missing")?, text("resource").ok_or("`resource` is missing")?);
        let mut ways = self.gateway.ways(action, resource);
        ways.retain(|way| text("who").is_none_or(|who| is_of(way, who)));
        Ok(json!({"action": action, "resource": resource, "ways": ways}))
    }

    fn effective(&self, question: &Value) -> Result<Value, String> {
        let space = question.get("space").and_then(Value::as_str).ok_or("`space` is missing")?;
        aws::effective(&self.gateway.snapshot(), space)
    }

    fn trust<'a>(
        &'a self,
        person: &'a Person,
        what: &'a str,
        request: Value,
    ) -> remit_control::operator::Boxed<'a, Result<Value, (StatusCode, String)>> {
        Box::pin(self.answer_trust(person, what, request))
    }

    fn retention<'a>(
        &'a self,
        person: &'a Person,
        what: &'a str,
        request: Value,
    ) -> remit_control::operator::Boxed<'a, Result<Value, (StatusCode, String)>> {
        Box::pin(self.answer_retention(person, what, request))
    }

    fn usage(&self, request: &Value) -> Value {
        crate::usage::told(&self.gateway, request)
    }

    fn behaviour(&self, request: &Value) -> Result<Value, (StatusCode, String)> {
        self.told_behaviour(request)
    }

    fn registry<'a>(
        &'a self,
        person: &'a Person,
        what: &'a str,
        request: Value,
    ) -> remit_control::operator::Boxed<'a, Result<Value, (StatusCode, String)>> {
        Box::pin(servers::registry(&self.gateway, person, what, request))
    }

    fn alarms(&self, request: &Value) -> Value {
        self.alarms.told(request)
    }

    fn decisions<'a>(
        &'a self,
        what: &'a str,
        request: Value,
    ) -> remit_control::operator::Boxed<'a, Result<Value, (StatusCode, String)>> {
        Box::pin(self.decisions.answer(&self.journal, what, request))
    }

    fn reload(&self) -> remit_control::operator::Boxed<'_, Result<Value, Value>> {
        Box::pin(self.reload_now())
    }

    fn change<'a>(&'a self, what: &'a str, request: Value) -> remit_control::operator::Boxed<'a, Option<(StatusCode, Value)>> {
        Box::pin(self.answer_change(what, request))
    }

    fn connect<'a>(&'a self, request: &'a Value) -> remit_control::operator::Boxed<'a, Result<Value, (StatusCode, String)>> {
        Box::pin(connect::begin(&self.credentials, &self.gateway, request))
    }

    fn disconnect<'a>(&'a self, request: &'a Value) -> remit_control::operator::Boxed<'a, Result<Value, (StatusCode, String)>> {
        Box::pin(connect::forget(&self.credentials, &self.gateway, request))
    }

    fn attempt<'a>(&'a self, id: &'a str) -> remit_control::operator::Boxed<'a, Option<Value>> {
        Box::pin(connect::attempt(&self.credentials, id))
    }

    fn journal<'a>(&'a self, request: &'a Value) -> remit_control::operator::Boxed<'a, Result<Value, (StatusCode, String)>> {
        Box::pin(console::journal(&self.journal, self.home.journal(), &self.decisions, self.cosigned(), request))
    }

    fn record<'a>(&'a self, kind: &'a str, event: Value) -> remit_control::operator::Boxed<'a, Result<(), String>> {
        Box::pin(async move { self.gateway.record(kind, event).await.map(drop) })
    }

    fn claimed(&self, request: &sigv4::Request<'_>) -> Option<Arc<Session>> {
        self.aws.claimed(request)
    }

    fn signed(&self, request: &sigv4::Request<'_>, once: bool) -> Result<Arc<Session>, sigv4::SigError> {
        self.aws.signed(&self.gateway.snapshot().organization, request, once)
    }

    fn snapshot(&self) -> Arc<Snapshot> {
        self.gateway.snapshot()
    }

    fn revocations(&self) -> Arc<Revocations> {
        self.gateway.revocations()
    }

    fn sign_in<'a>(
        &'a self,
        redirect_uri: &'a str,
        browser: [u8; 32],
        again: bool,
    ) -> remit_control::operator::Boxed<'a, Result<String, String>> {
        Box::pin(console::sign_in(&self.sign_ins, &self.gateway, redirect_uri, browser, again))
    }

    fn signed_in<'a>(
        &'a self,
        redirect_uri: &'a str,
        query: &'a str,
        browser: [u8; 32],
    ) -> remit_control::operator::Boxed<'a, Result<SignedIn, String>> {
        Box::pin(console::signed_in(&self.sign_ins, &self.credentials, &self.gateway, redirect_uri, (query, browser)))
    }

    fn redirected(&self, query: String) -> remit_control::operator::Boxed<'_, Result<String, String>> {
        Box::pin(connect::redirected(Arc::clone(&self.credentials), self.gateway.clone(), query))
    }
}

impl World {
    fn space_status(&self, space: &remit_kernel::SpaceView) -> Value {
        let tools: Vec<Value> = space
            .tools_listed
            .iter()
            .map(|tool| {
                let pin = match &tool.pin {
                    remit_kernel::PinState::Intact => "intact",
                    remit_kernel::PinState::Drifted { .. } => "drifted",
                    remit_kernel::PinState::New => "new",
                    remit_kernel::PinState::Gone => "gone",
                };
                json!({"tool": tool.exposed.as_str(), "class": tool.class, "risk": tool.risk, "categories": tool.categories, "pin": pin, "arn": tool.arn})
            })
            .collect();
        let agents: Vec<&str> = space.space.agents.iter().map(AgentId::as_str).collect();
        json!({
            "space": space.space.id.as_str(), "arn": space.arn, "endpoint": self.gateway.space_address(space.space.id.as_str()),
            "mandate": space.space.class_max, "agents": agents, "tools": tools
        })
    }
}

async fn serve_public(
    listener: TcpListener,
    certificate: Option<Arc<Certificate>>,
    forwarding: Option<Arc<Forwarding>>,
    world: Arc<World>,
    stop: watch::Receiver<bool>,
) -> Result<(), String> {
    let handle = move |request: Request<Incoming>, peer: SocketAddr| {
        let world = Arc::clone(&world);
        // Boxed once: the future of a call is large, and every layer that holds it by value would copy it.
        Box::pin(async move {
            if world.gateway.serves(request.uri().path()) {
                world.gateway.handle(request, peer.ip()).await
            } else if Aws::serves(&request) {
                world.aws.answer(&world.gateway, request, peer, world.secure).await
            } else {
                world.public(request).await
            }
        })
    };
    serve(listener, certificate, forwarding, handle, stop).await
}

async fn serve_operator(listener: TcpListener, operator: Operator, stop: watch::Receiver<bool>) -> Result<(), String> {
    let handle = move |request: Request<Incoming>, peer: SocketAddr| {
        let operator = operator.clone();
        // On its own: whoever asks may hang up, and what was begun is brought to its end all the same.
        let answered = tokio::spawn(async move { operator.handle(request, peer.ip()).await });
        async move { answered.await.unwrap_or_else(|_| Operator::failed()) }
    };
    serve(listener, None, None, handle, stop).await
}

fn document(value: &Value) -> Response<Body> {
    let mut response = Response::new(Body::Full(Bytes::from(value.to_string())));
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}

fn text(text: &'static str) -> Response<Body> {
    Response::new(Body::Full(Bytes::from_static(text.as_bytes())))
}

fn status(status: StatusCode) -> Response<Body> {
    let mut response = Response::new(Body::Full(Bytes::new()));
    *response.status_mut() = status;
    response
}
