//! The operator's HTTP interface: health and metrics for machines; for people the console, and the endpoints of [`crate::endpoints`], each
//! of which somebody's role must allow.

use std::future::Future;
use std::net::IpAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use aws_lc_rs::constant_time::verify_slices_are_equal;
use bytes::Bytes;
use http::header::{
    ALLOW, AUTHORIZATION, CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, ETAG, HeaderName, IF_NONE_MATCH, REFERRER_POLICY,
    WWW_AUTHENTICATE, X_CONTENT_TYPE_OPTIONS,
};
use http::request::Parts;
use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode};
use http_body::Body;
use http_body_util::{BodyExt, LengthLimitError, Limited};
use remit_identity::sigv4::{self, SigError};
use remit_kernel::assume::WebIdentity;
use remit_kernel::{Fact, Origin, Revocations, Session, Snapshot};
use remit_mcp::canonical::{hex, sha256};
use remit_model::Person;
use serde_json::{Value, json};
use tokio::sync::watch;

use crate::asked;
use crate::caller::Caller;
use crate::console::{self, Console};
use crate::edge::Edge;
use crate::endpoints::{self, CHANGES, Endpoint, Failed, Unfound};
use crate::repeat::{self, Answers, Claimed, Told};
use crate::reply::Reply;
use crate::signed;
use crate::wiped::Question;

/// The largest request, in bytes.
const BODY_BYTES_MAX: usize = 1024 * 1024;
/// The largest request that carries a configuration, in bytes: 64 MiB of texts, as JSON.
const CONFIGURATION_BYTES_MAX: usize = 192 * 1024 * 1024;
/// How long a request may take to come.
const BODY_TIMEOUT: Duration = Duration::from_secs(10);
/// How long one that carries a configuration may take.
const CONFIGURATION_TIMEOUT: Duration = Duration::from_mins(2);
/// Where a session of the console shows that it meant the request.
const CSRF: HeaderName = HeaderName::from_static("x-remit-csrf");

/// Where an authorization server sends a person's browser back: the path of Remit's redirect URI.
pub const CALLBACK_PATH: &str = "/oauth/callback";

/// Somebody whom the console's provider vouched for.
#[derive(Debug, Clone)]
pub struct SignedIn {
    /// The person, as records name them.
    pub person: Person,
    /// What trust policies are held against.
    pub identity: WebIdentity,
}

/// A boxed future.
pub type Boxed<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// The data plane, as far as an operator reaches into it.
pub trait Plane: Send + Sync {
    /// Why it doesn't serve, if it doesn't.
    fn ready(&self) -> Result<(), String>;
    /// Prometheus' text format.
    fn metrics(&self) -> Result<String, String>;
    /// The snapshot in effect, spaces, servers, tools.
    fn status(&self) -> Value;
    /// One decision with every layer: the question's fields in, the decision out.
    fn explain(&self, question: &Value) -> Result<Value, String>;
    /// Accepts what a server shows now: `{server, tool?}` in, the tools out.
    fn accept<'a>(&'a self, request: &'a Value) -> Boxed<'a, Result<Value, String>>;
    /// Issues a key pair: `{principal, session_name?, duration_secs?, by}` in, the pair in the form of `credential_process` out.
    fn credentials<'a>(&'a self, request: &'a Value) -> Boxed<'a, Result<Value, (StatusCode, String)>>;
    /// Secrets: the `list` of names and times, and in a person's name `put` of `{name, value | value_base64}`, `delete` of `{name}`, and
    /// for an `agent`, `{agent}`, a new client secret, which is told this once.
    fn secrets<'a>(&'a self, person: &'a Person, what: &'a str, request: Value)
    -> Boxed<'a, Result<Value, (StatusCode, String)>>;
    /// Revokes: `{credential | agent | role | everything, by, reason}` in, what is revoked now out.
    fn revoke<'a>(&'a self, request: &'a Value) -> Boxed<'a, Result<Value, (StatusCode, String)>>;
    /// Stops something, or lets it go on: `{agent | space | server | server, tool | user, by, reason, resume?}` in, all that is stopped out.
    fn suspend<'a>(&'a self, request: &'a Value) -> Boxed<'a, Result<Value, (StatusCode, String)>>;
    /// How servers stand in the registry: `list`, `submit` or `status`, and the question in; the servers, or how the one stands out.
    fn registry<'a>(
        &'a self,
        person: &'a Person,
        what: &'a str,
        request: Value,
    ) -> Boxed<'a, Result<Value, (StatusCode, String)>>;
    /// The policies that reach a space, each with where it comes from: `{space}` in.
    fn effective(&self, question: &Value) -> Result<Value, String>;
    /// Who can do something: `{action, resource, who?}` in, every way that was tried out.
    fn ways(&self, question: &Value) -> Result<Value, String>;
    /// Reads the configuration again.
    fn reload(&self) -> Boxed<'_, Result<Value, Value>>;
    /// Plans, applies, reviews and looks back at changes of the configuration: what is asked for, such as `plan`, and the question in, the
    /// status and the answer out. `None` if there is no such thing.
    fn change<'a>(&'a self, what: &'a str, request: Value) -> Boxed<'a, Option<(StatusCode, Value)>>;
    /// Begins to connect a server: `{server, by}` in, the attempt and the address for the person's browser out. The status says whose
    /// fault it is that there is none: the question's or somebody else's.
    fn connect<'a>(&'a self, request: &'a Value) -> Boxed<'a, Result<Value, (StatusCode, String)>>;
    /// Forgets a connection: `{server, by}` in, the server and whether there was one out.
    fn disconnect<'a>(&'a self, request: &'a Value) -> Boxed<'a, Result<Value, (StatusCode, String)>>;
    /// How an attempt goes, as soon as it has come to something, or after some seconds; `None` if there is no such attempt.
    fn attempt<'a>(&'a self, id: &'a str) -> Boxed<'a, Option<Value>>;
    /// Approvals: what is asked for (`list`, `get`, `approve`, `reject`, `revoke`, `review`) and by whom, and the question in; the answer out. The
    /// status says whose fault it is that there is none.
    fn approvals<'a>(
        &'a self,
        person: &'a Person,
        what: &'a str,
        request: &'a Value,
    ) -> Boxed<'a, Result<Value, (StatusCode, String)>>;
    /// What a one-time link is about: the approval, and whether the link agrees. The error is a sentence for the person.
    fn link_shown(&self, token: &str) -> Result<Value, String>;
    /// Decides by a one-time link; the approval's new state.
    fn link_used<'a>(&'a self, token: &'a str, reason: &'a str) -> Boxed<'a, Result<String, String>>;
    /// Tells whenever an approval has changed.
    fn approvals_changed(&self) -> watch::Receiver<u64>;
    /// Answers from the record: `search`, `get` by id or index, `counts`, and `standing` or `rebuild` of what answers. The status says whose fault
    /// it is that there is no answer.
    fn decisions<'a>(&'a self, what: &'a str, request: Value) -> Boxed<'a, Result<Value, (StatusCode, String)>>;
    /// How far agents are trusted: `list`, `explain` of `{agent, category?}`, and in a person's name `promote` of `{agent, category, reason, by}`
    /// and `incident` of `{agent, category?, severity, reason, by}`.
    fn trust<'a>(&'a self, person: &'a Person, what: &'a str, request: Value) -> Boxed<'a, Result<Value, (StatusCode, String)>>;
    /// How long records are kept: `get`, and in a person's name `sweep` of `{reason, dry_run?}`, `hold` of `{name, reason}` and what it names,
    /// `release` of `{name, reason}`, `erase` of `{user, reason, dry_run?}`, `reveal` of `{entry, reason}`,
    /// `destroy` of `{space, reason}`, `archive`, and `restore` of `{segment, reason}`.
    fn retention<'a>(
        &'a self,
        person: &'a Person,
        what: &'a str,
        request: Value,
    ) -> Boxed<'a, Result<Value, (StatusCode, String)>>;
    /// How alarms over decisions stand, every group by itself: `{state?}`.
    fn alarms(&self, request: &Value) -> Value;
    /// What calls used up on this day or in this month, and how budgets stand: `{time_unit?}`.
    fn usage(&self, request: &Value) -> Value;
    /// What is usual for every agent, or in full for one, and what was found lately that isn't: `{agent?}`.
    fn behaviour(&self, request: &Value) -> Result<Value, (StatusCode, String)>;
    /// The journal: its public key, its size, its checkpoint; with `{index}` the entry there, byte for byte, and the proof that it is in.
    fn journal<'a>(&'a self, request: &'a Value) -> Boxed<'a, Result<Value, (StatusCode, String)>>;
    /// Records what an operator did or was refused.
    fn record<'a>(&'a self, kind: &'a str, event: Value) -> Boxed<'a, Result<(), String>>;
    /// The session whose key a signed request (SigV4) names, if it was issued here and is alive; nothing is verified.
    fn claimed(&self, request: &sigv4::Request<'_>) -> Option<Arc<Session>>;
    /// The session whose key signed a request, body and all. `once`: the signature is good for this one request.
    fn signed(&self, request: &sigv4::Request<'_>, once: bool) -> Result<Arc<Session>, SigError>;
    /// What is in effect.
    fn snapshot(&self) -> Arc<Snapshot>;
    /// What has been taken away.
    fn revocations(&self) -> Arc<Revocations>;
    /// Begins a sign-in at the console's provider: where the answer is to go, the digest of what only the person's browser has, and whether the
    /// person must authenticate once more, in; the address for the browser out.
    fn sign_in<'a>(&'a self, redirect_uri: &'a str, browser: [u8; 32], again: bool) -> Boxed<'a, Result<String, String>>;
    /// Takes the query with which the browser came back. Nothing of the query is in the answer.
    fn signed_in<'a>(&'a self, redirect_uri: &'a str, query: &'a str, browser: [u8; 32]) -> Boxed<'a, Result<SignedIn, String>>;
    /// Takes the query of a redirect. Answers the server that is connected, or a sentence for the person; nothing of the query is in
    /// either.
    fn redirected(&self, query: String) -> Boxed<'_, Result<String, String>>;
}

/// Where and for whom the interface is.
#[derive(Debug, Clone)]
pub struct Options {
    /// The address that people open, such as `http://127.0.0.1:7481`: `https` if a proxy in front ends TLS.
    pub address: String,
    /// The time, in seconds since the epoch.
    pub now_secs: fn() -> u64,
}

/// The interface.
#[derive(Clone)]
pub struct Operator {
    pub(crate) plane: Arc<dyn Plane>,
    /// The digest of the token: the token itself is nowhere in memory.
    token_digest: [u8; 32],
    pub(crate) edge: Arc<Edge>,
    pub(crate) console: Arc<Console>,
    answers: Arc<Answers>,
    pub(crate) now_secs: fn() -> u64,
}

impl std::fmt::Debug for Operator {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Operator")
    }
}

impl Operator {
    /// An interface; whoever holds this token is the machine's administrator.
    pub fn new(plane: Arc<dyn Plane>, token: &str, options: &Options) -> Self {
        let edge = Arc::new(Edge::new(&options.address));
        let console = Arc::new(Console::new(options.address.starts_with("https://")));
        let answers = Arc::default();
        Self { plane, token_digest: sha256(token.as_bytes()), edge, console, answers, now_secs: options.now_secs }
    }

    /// Answers one request.
    pub async fn handle<B>(&self, request: Request<B>, peer: IpAddr) -> Response<Reply>
    where
        B: Body<Data = Bytes> + Send,
        B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
    {
        let (parts, body) = request.into_parts();
        if let Some(response) = self.for_machines(&parts).await {
            return response;
        }
        // A page that had its name rebound to our address shows its own host.
        if !self.edge.is_asked(&parts.uri, &parts.headers) {
            return problem(StatusCode::MISDIRECTED_REQUEST, "this is not a name of this interface");
        }
        let (bytes_max, timeout) = match parts.uri.path() {
            path if path.starts_with(CHANGES) => (CONFIGURATION_BYTES_MAX, CONFIGURATION_TIMEOUT),
            _ => (BODY_BYTES_MAX, BODY_TIMEOUT),
        };
        let origin = Origin { source_ip: Fact::Known(peer.to_canonical()), secure_transport: self.console.secure };
        // Who asks is known before anything of the body is read.
        let for_people = console::is_console(parts.uri.path());
        let signed = !for_people && signed::is_signed(&parts.headers);
        let bytes_max = match signed.then(|| signed::claimed_role(self, &parts)) {
            None | Some(Some(true)) => bytes_max,
            // Of whoever may operate nothing no configuration is read.
            Some(Some(false)) => bytes_max.min(BODY_BYTES_MAX),
            Some(None) => return signed::refused(&SigError::unknown_key()),
        };
        let caller = if for_people || signed { Ok(None) } else { self.caller(&parts, &origin).map(Some) };
        let caller = match caller {
            Ok(caller) => caller,
            Err(refused) => return *refused,
        };
        let body = match tokio::time::timeout(timeout, Limited::new(body, bytes_max).collect()).await {
            Ok(Ok(body)) => body.to_bytes(),
            Ok(Err(error)) if error.is::<LengthLimitError>() => {
                return problem(StatusCode::PAYLOAD_TOO_LARGE, &format!("the body is larger than {bytes_max} bytes"));
            }
            _ => return problem(StatusCode::BAD_REQUEST, "the body is too slow or broke off"),
        };
        match caller {
            Some(caller) => self.answer(&parts, &body, caller).await,
            None if signed => match signed::signer(self, &parts, &body, &origin) {
                Ok(caller) => self.answer(&parts, &body, caller).await,
                Err(refused) => *refused,
            },
            None => console::answer(self, &parts, &body, &origin).await,
        }
    }

    /// What needs nobody's permission: whether it is alive, and where an authorization server sends a person's browser back.
    async fn for_machines(&self, parts: &Parts) -> Option<Response<Reply>> {
        let answer = match (&parts.method, parts.uri.path()) {
            (&Method::GET, "/healthz") => text(StatusCode::OK, "text/plain", "ok\n"),
            (&Method::GET, "/readyz") => match self.plane.ready() {
                Ok(()) => text(StatusCode::OK, "text/plain", "ready\n"),
                Err(why) => text(StatusCode::SERVICE_UNAVAILABLE, "text/plain", format!("{why}\n")),
            },
            (&Method::GET, "/metrics") => match self.plane.metrics() {
                Ok(metrics) => text(StatusCode::OK, "text/plain; version=0.0.4", metrics),
                Err(why) => problem(StatusCode::INTERNAL_SERVER_ERROR, &why),
            },
            // A browser comes here, which has no token: what it may do stands in the `state` that it brings.
            (&Method::GET, CALLBACK_PATH) => {
                match self.plane.redirected(parts.uri.query().unwrap_or_default().to_owned()).await {
                    Ok(server) => page(StatusCode::OK, "Connected", &format!("Remit is connected to {server}.")),
                    Err(why) => page(StatusCode::BAD_REQUEST, "Not connected", &why),
                }
            }
            _ => return None,
        };
        Some(answer)
    }

    /// Who asks an endpoint: whoever shows the operator's token, or a session of the console that meant it. Who signs is known with the body.
    fn caller(&self, parts: &Parts, origin: &Origin) -> Result<Caller, Box<Response<Reply>>> {
        if let Some(header) = parts.headers.get(AUTHORIZATION) {
            return if self.authorized(header) { Ok(Caller::machine()) } else { Err(Box::new(unauthorized())) };
        }
        let found = self.console.caller(self, &parts.headers, origin).ok_or_else(|| Box::new(unauthorized()))?;
        let meant = parts.method == Method::GET
            || parts.headers.get(CSRF).is_some_and(|shown| found.csrf_is(shown.as_bytes())) && self.edge.is_own(&parts.headers);
        if !meant || Edge::is_foreign(&parts.headers) {
            let why = "the request comes from elsewhere, or without the session's `x-remit-csrf`";
            return Err(Box::new(problem(StatusCode::FORBIDDEN, why)));
        }
        Ok(found.caller)
    }

    async fn answer(&self, parts: &Parts, body: &Bytes, mut caller: Caller) -> Response<Reply> {
        let (endpoint, path_parts) = match endpoints::find(&parts.method, parts.uri.path()) {
            Ok(found) => found,
            Err(unfound) => return unfound_answer(&unfound),
        };
        if !body.is_empty() && !is_json(&parts.headers) {
            let why = "the body is JSON, and `content-type` says something else than `application/json`";
            return problem(StatusCode::UNSUPPORTED_MEDIA_TYPE, why);
        }
        let asked = endpoints::question(endpoint, parts.uri.query(), body).map(Question);
        let (key, unfit) = match repeat::key_of(parts) {
            Ok(key) => (key, None),
            Err(why) => (None, Some(why)),
        };
        let fault = match &asked {
            Ok(question) => asked::check(endpoint, &question.0).err().or(unfit),
            Err(why) => Some(why.clone()),
        };
        let asked = asked.ok().filter(|asked| asked.0.is_object());
        let mut request = asked.unwrap_or_else(|| Question(json!({})));
        // A name that nothing proves: whoever holds the token may go by any.
        let by = request.0.get("by").and_then(Value::as_str).filter(|by| endpoint.changes && !by.trim().is_empty());
        if let Some(by) = by.filter(|_| fault.is_none()) {
            caller.go_by(by);
        }
        // What is null isn't there.
        if let Some(fields) = request.0.as_object_mut() {
            fields.retain(|_, value| !value.is_null());
        }
        if !endpoints::identify(&mut request.0, &path_parts) {
            return problem(StatusCode::BAD_REQUEST, "the path is malformed");
        }
        // Whoever may not ask isn't told what is wrong with the question.
        if let Some(fault) = fault {
            return match self.permitted(&caller, endpoint, &request.0).await {
                Ok(()) => problem(StatusCode::BAD_REQUEST, &fault),
                Err(Failed(status, said)) => text(status, "application/problem+json", said.to_string()),
            };
        }
        if parts.method == Method::GET {
            return match self.perform(&caller, endpoint, request.take()).await {
                Ok((status, said)) => tagged(status, &said, &parts.headers),
                Err(Failed(status, said)) => text(status, "application/problem+json", said.to_string()),
            };
        }
        let key = key.map(|key| (key, repeat::request_digest(parts, body)));
        // What was begun goes on to its end, whether or not its caller still waits for it.
        let operator = self.clone();
        let done = tokio::spawn(async move { operator.once(&caller, endpoint, request, key).await }).await;
        let Ok((told, replayed)) = done else { return Self::failed() };
        let kind = if told.problem { "application/problem+json" } else { "application/json" };
        let mut response = text(told.status, kind, told.body);
        response.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
        if replayed {
            response.headers_mut().insert(repeat::REPLAYED, HeaderValue::from_static("true"));
        }
        response
    }

    /// Does what an endpoint does once for a key, if the request shows one; and whether the answer was given before. The caller's role is
    /// asked each time: what was told to somebody who may no longer have it isn't told again.
    async fn once(
        &self,
        caller: &Caller,
        endpoint: &Endpoint,
        mut request: Question,
        key: Option<(String, [u8; 32])>,
    ) -> (Told, bool) {
        if let Err(refused) = self.permitted(caller, endpoint, &request.0).await {
            return (Told::of(Err(refused)), false);
        }
        endpoints::sign(endpoint, &mut request.0, caller);
        let Some((key, digest)) = key else {
            return (Told::of(endpoints::run(self, caller, endpoint, request.take()).await), false);
        };
        let whose = caller.repeats_as();
        loop {
            match self.answers.claim((&whose, &key), digest, endpoint.changes, self.now_secs) {
                Claimed::First(ticket) => {
                    let told = Told::of(endpoints::run(self, caller, endpoint, request.take()).await);
                    ticket.keep(&told);
                    return (told, false);
                }
                Claimed::Told(told, replayed) => return (told, replayed),
                Claimed::Wait(waiting) => {
                    if let Some((told, replayed)) = waiting.told().await {
                        return (told, replayed);
                    }
                }
            }
        }
    }

    /// Does what an endpoint does, if the caller's role allows its action: the only way to it, for programs and for pages alike.
    pub(crate) async fn perform(
        &self,
        caller: &Caller,
        endpoint: &Endpoint,
        mut request: Value,
    ) -> Result<(StatusCode, Value), Failed> {
        self.permitted(caller, endpoint, &request).await?;
        endpoints::sign(endpoint, &mut request, caller);
        endpoints::run(self, caller, endpoint, request).await
    }

    /// Whether the caller's role allows an endpoint's action. Who isn't let to change something is recorded.
    async fn permitted(&self, caller: &Caller, endpoint: &Endpoint, request: &Value) -> Result<(), Failed> {
        let snapshot = self.plane.snapshot();
        let resource = endpoints::resource(self, &snapshot, caller, endpoint, request).await;
        let decided = caller.may(&snapshot, endpoint.action, &resource, (self.now_secs)());
        if !decided.allowed {
            if endpoint.changes {
                let refused = json!({
                    "person": caller.person, "action": endpoint.action, "resource": resource, "statement": decided.statement,
                });
                self.plane.record("operation_refused", refused).await.map_err(Failed::unavailable)?;
            }
            return Err(Failed::new(StatusCode::FORBIDDEN, &decided.statement).with("action", endpoint.action.into()));
        }
        Ok(())
    }

    /// What is answered when an answer could not be made: a fault of ours.
    pub fn failed() -> Response<Reply> {
        problem(StatusCode::INTERNAL_SERVER_ERROR, "the request failed")
    }

    /// Ends the streams of events that browsers hold open.
    pub fn close_streams(&self) {
        self.console.close_streams();
    }

    /// A link that opens the console as the machine's administrator: once, within ten minutes.
    pub fn console_link(&self, by: &str) -> Option<String> {
        let code = self.console.link(by, (self.now_secs)())?;
        Some(format!("{}/console/link#{}", self.edge.address(), code.as_str()))
    }

    fn authorized(&self, header: &HeaderValue) -> bool {
        let shown = header.to_str().ok().and_then(|value| value.strip_prefix("Bearer "));
        shown.is_some_and(|token| verify_slices_are_equal(&sha256(token.trim().as_bytes()), &self.token_digest).is_ok())
    }
}

fn unauthorized() -> Response<Reply> {
    let mut response = problem(StatusCode::UNAUTHORIZED, "the operator's token is needed: `Authorization: Bearer …`");
    response.headers_mut().insert(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
    response
}

/// Whether a body is said to be JSON, or nothing is said of it.
fn is_json(headers: &HeaderMap) -> bool {
    let kind = headers.get(CONTENT_TYPE).map(|kind| kind.to_str().unwrap_or_default());
    kind.is_none_or(|kind| kind.split(';').next().unwrap_or_default().trim().eq_ignore_ascii_case("application/json"))
}

/// RFC 9110, sections 15.5.5 and 15.5.6.
fn unfound_answer(unfound: &Unfound) -> Response<Reply> {
    match unfound {
        Unfound::Path => problem(StatusCode::NOT_FOUND, "no such endpoint"),
        Unfound::Method(allowed) => {
            let mut response = problem(StatusCode::METHOD_NOT_ALLOWED, "the endpoint is asked with another method");
            if let Ok(allowed) = HeaderValue::from_str(&allowed.join(", ")) {
                response.headers_mut().insert(ALLOW, allowed);
            }
            response
        }
    }
}

pub(crate) fn text(status: StatusCode, kind: &'static str, body: impl Into<Bytes>) -> Response<Reply> {
    let mut response = Response::new(Reply::whole(body));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(kind));
    response.headers_mut().insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    response
}

/// An answer to a GET: whoever has it already, and says so, isn't sent it again (RFC 9110, section 13.1.2).
fn tagged(status: StatusCode, body: &Value, headers: &HeaderMap) -> Response<Reply> {
    let text = body.to_string();
    let tag = format!("\"{}\"", hex(&sha256(text.as_bytes())).get(..32).unwrap_or_default());
    let shown = headers.get_all(IF_NONE_MATCH).iter().filter_map(|value| value.to_str().ok());
    let known = shown.flat_map(|value| value.split(',')).any(|one| one.trim().trim_start_matches("W/") == tag);
    let mut response = if known {
        self::text(StatusCode::NOT_MODIFIED, "application/json", "")
    } else {
        self::text(status, "application/json", text)
    };
    let headers = response.headers_mut();
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("private, no-cache"));
    if let Ok(tag) = HeaderValue::from_str(&tag) {
        headers.insert(ETAG, tag);
    }
    response
}

/// A page for a person: text and nothing else, that is neither kept nor framed and takes the code out of no further address.
fn page(status: StatusCode, title: &str, sentence: &str) -> Response<Reply> {
    let plain = |text: &str| text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;");
    let (title, sentence) = (plain(title), plain(sentence));
    let mut response = text(
        status,
        "text/html; charset=utf-8",
        format!("<!doctype html><title>{title}</title><h1>{title}</h1><p>{sentence}</p><p>You can close this window.</p>\n"),
    );
    let headers = response.headers_mut();
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
    headers.insert(CONTENT_SECURITY_POLICY, HeaderValue::from_static("default-src 'none'; frame-ancestors 'none'"));
    response
}

/// An error as RFC 9457 writes it.
pub(crate) fn problem(status: StatusCode, detail: &str) -> Response<Reply> {
    text(status, "application/problem+json", Failed::new(status, detail).1.to_string())
}
