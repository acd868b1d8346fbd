//! The operator's HTTP interface: health and metrics for machines; servers, pins, connections and explanations for whoever holds the
//! operator's token; and the place to which an authorization server sends a person's browser back.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use aws_lc_rs::constant_time::verify_slices_are_equal;
use bytes::Bytes;
use http::header::{
    AUTHORIZATION, CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, REFERRER_POLICY, WWW_AUTHENTICATE,
    X_CONTENT_TYPE_OPTIONS,
};
use http::{HeaderValue, Method, Request, Response, StatusCode};
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Incoming;
use remit_identity::form;
use remit_mcp::canonical::sha256;
use remit_model::{Person, Proof};
use serde_json::{Value, json};

/// The largest request, in bytes.
const BODY_BYTES_MAX: usize = 1024 * 1024;
/// The largest request that carries a configuration, in bytes: 64 MiB of texts, as JSON.
const CONFIGURATION_BYTES_MAX: usize = 192 * 1024 * 1024;
/// How long a request may take to come.
const BODY_TIMEOUT: Duration = Duration::from_secs(10);
/// How long one that carries a configuration may take.
const CONFIGURATION_TIMEOUT: Duration = Duration::from_mins(2);
/// What the paths of changes begin with.
const CHANGES: &str = "/v1/configuration/";
/// The longest name of a person, in bytes.
const NAME_BYTES_MAX: usize = 256;
/// Where recorded decisions are asked about.
const DECISIONS: &str = "/v1/decisions";
/// The path of approvals.
const APPROVALS: &str = "/v1/approvals";

/// Where an authorization server sends a person's browser back: the path of Remit's redirect URI.
pub const CALLBACK_PATH: &str = "/oauth/callback";

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
    fn credentials<'a>(&'a self, request: &'a Value) -> Boxed<'a, Result<Value, String>>;
    /// Revokes: `{credential | agent | role | everything, by, reason}` in, what is revoked now out.
    fn revoke<'a>(&'a self, request: &'a Value) -> Boxed<'a, Result<Value, String>>;
    /// Stops something, or lets it go on: `{agent | space | server | server, tool | user, by, reason, resume?}` in, all that is stopped out.
    fn suspend<'a>(&'a self, request: &'a Value) -> Boxed<'a, Result<Value, String>>;
    /// Approvals: what is asked for (`list`, `get`, `approve`, `reject`, `revoke`, `review`) and by whom, and the question in; the answer out. The
    /// status says whose fault it is that there is none.
    fn approvals<'a>(
        &'a self,
        person: &'a Person,
        what: &'a str,
        request: &'a Value,
    ) -> Boxed<'a, Result<Value, (StatusCode, String)>>;
    /// Tells whenever an approval has changed.
    fn approvals_changed(&self) -> tokio::sync::watch::Receiver<u64>;
    /// The policies that reach a space, each with where it comes from: `{space}` in.
    fn effective(&self, question: &Value) -> Result<Value, String>;
    /// Who can do something: `{action, resource, who?}` in, every way that was tried out.
    fn ways(&self, question: &Value) -> Result<Value, String>;
    /// Answers from the record: `search`, `get` by id or index, `counts`, and `standing` or `rebuild` of what answers. The status says whose fault
    /// it is that there is no answer.
    fn decisions<'a>(&'a self, what: &'a str, request: Value) -> Boxed<'a, Result<Value, (StatusCode, String)>>;
    /// How far agents are trusted: `list`, `explain` of `{agent, category?}`, and in a person's name `promote` of `{agent, category, reason}` and
    /// `incident` of `{agent, category?, severity, reason}`.
    fn trust<'a>(&'a self, person: &'a Person, what: &'a str, request: Value) -> Boxed<'a, Result<Value, (StatusCode, String)>>;
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
    /// Takes the query of a redirect. Answers the server that is connected, or a sentence for the person; nothing of the query is in
    /// either.
    fn redirected(&self, query: String) -> Boxed<'_, Result<String, String>>;
}

/// The interface.
#[derive(Clone)]
pub struct Operator {
    plane: Arc<dyn Plane>,
    /// The digest of the token: the token itself is nowhere in memory.
    token_digest: [u8; 32],
}

impl std::fmt::Debug for Operator {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Operator")
    }
}

impl Operator {
    /// An interface for whoever holds this token.
    pub fn new(plane: Arc<dyn Plane>, token: &str) -> Self {
        Self { plane, token_digest: sha256(token.as_bytes()) }
    }

    /// Answers one request.
    pub async fn handle(&self, request: Request<Incoming>) -> Response<Full<Bytes>> {
        let (parts, body) = request.into_parts();
        match (parts.method.clone(), parts.uri.path()) {
            (Method::GET, "/healthz") => return text(StatusCode::OK, "text/plain", "ok\n"),
            (Method::GET, "/readyz") => {
                return match self.plane.ready() {
                    Ok(()) => text(StatusCode::OK, "text/plain", "ready\n"),
                    Err(why) => text(StatusCode::SERVICE_UNAVAILABLE, "text/plain", format!("{why}\n")),
                };
            }
            (Method::GET, "/metrics") => {
                return match self.plane.metrics() {
                    Ok(metrics) => text(StatusCode::OK, "text/plain; version=0.0.4", metrics),
                    Err(why) => problem(StatusCode::INTERNAL_SERVER_ERROR, &why),
                };
            }
            // A browser comes here, which has no token: what it may do stands in the `state` that it brings.
            (Method::GET, CALLBACK_PATH) => {
                return match self.plane.redirected(parts.uri.query().unwrap_or_default().to_owned()).await {
                    Ok(server) => page(StatusCode::OK, "Connected", &format!("Remit is connected to {server}.")),
                    Err(why) => page(StatusCode::BAD_REQUEST, "Not connected", &why),
                };
            }
            _ => {}
        }
        if !self.authorized(parts.headers.get(AUTHORIZATION)) {
            let mut response = problem(StatusCode::UNAUTHORIZED, "the operator's token is needed: `Authorization: Bearer …`");
            response.headers_mut().insert(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
            return response;
        }
        let (bytes_max, timeout) = match parts.uri.path() {
            path if path.starts_with(CHANGES) => (CONFIGURATION_BYTES_MAX, CONFIGURATION_TIMEOUT),
            _ => (BODY_BYTES_MAX, BODY_TIMEOUT),
        };
        let body = match tokio::time::timeout(timeout, Limited::new(body, bytes_max).collect()).await {
            Ok(Ok(body)) => body.to_bytes(),
            _ => return problem(StatusCode::BAD_REQUEST, "the body is too large, too slow or broke off"),
        };
        if let Some(what) = trust_asked(&parts.method, parts.uri.path()) {
            return self.trust(what, parts.uri.query().unwrap_or_default(), &body).await;
        }
        if let Some(what) = parts.uri.path().strip_prefix(DECISIONS) {
            return self.decisions(&parts.method, what, parts.uri.query().unwrap_or_default()).await;
        }
        match parts.uri.path().strip_prefix(CHANGES) {
            Some(what) if parts.method == Method::POST => self.change(what, &body).await,
            _ => self.answer(&parts.method, parts.uri.path(), parts.uri.query(), &body).await,
        }
    }

    /// `GET /v1/trust`, `GET /v1/trust/explain?agent=…&category=…`, `POST /v1/trust/promote` and `POST /v1/incidents`, each with `by`.
    async fn trust(&self, what: &str, query: &str, body: &Bytes) -> Response<Full<Bytes>> {
        let signs = matches!(what, "promote" | "incident");
        let asked = if signs {
            serde_json::from_slice::<Value>(body).map_err(|error| format!("the body is not JSON: {error}"))
        } else {
            form::parse(query.as_bytes()).map(|asked| json!(asked)).map_err(|error| error.to_string())
        };
        let asked = match asked {
            Ok(asked) => asked,
            Err(why) => return problem(StatusCode::BAD_REQUEST, &why),
        };
        let by = asked.get("by").and_then(Value::as_str).map(str::trim).unwrap_or_default().to_owned();
        if signs && (by.is_empty() || by.len() > NAME_BYTES_MAX) {
            return problem(StatusCode::BAD_REQUEST, "`by` is missing or too long: who is it?");
        }
        let person = Person { id: by, proof: Proof::Token };
        match self.plane.trust(&person, what, asked).await {
            Ok(said) => answer(StatusCode::OK, &said),
            Err((status, why)) => problem(status, &why),
        }
    }

    async fn decisions(&self, method: &Method, what: &str, query: &str) -> Response<Full<Bytes>> {
        let asked = match form::parse(query.as_bytes()) {
            Ok(asked) => json!(asked),
            Err(error) => return problem(StatusCode::BAD_REQUEST, &error.to_string()),
        };
        let answered = match (method, what) {
            (&Method::GET, "") => self.plane.decisions("search", asked).await,
            (&Method::GET, "/counts") => self.plane.decisions("counts", asked).await,
            (&Method::GET, "/standing") => self.plane.decisions("standing", asked).await,
            (&Method::POST, "/rebuild") => self.plane.decisions("rebuild", asked).await,
            (&Method::GET, id) => match id.strip_prefix('/').and_then(form::decode) {
                Some(id) => self.plane.decisions("get", json!({"id": id})).await,
                None => return problem(StatusCode::NOT_FOUND, "no such endpoint"),
            },
            _ => return problem(StatusCode::NOT_FOUND, "no such endpoint"),
        };
        match answered {
            Ok(said) => answer(StatusCode::OK, &said),
            Err((status, why)) => problem(status, &why),
        }
    }

    async fn change(&self, what: &str, body: &Bytes) -> Response<Full<Bytes>> {
        let question = match serde_json::from_slice(body) {
            Ok(question) => question,
            Err(error) => return problem(StatusCode::BAD_REQUEST, &format!("the body is not JSON: {error}")),
        };
        match self.plane.change(what, question).await {
            Some((status, said)) => answer(status, &said),
            None => problem(StatusCode::NOT_FOUND, "no such endpoint"),
        }
    }

    /// What is answered when an answer could not be made: a fault of ours.
    pub fn failed() -> Response<Full<Bytes>> {
        problem(StatusCode::INTERNAL_SERVER_ERROR, "the request failed")
    }

    async fn answer(&self, method: &Method, path: &str, query: Option<&str>, body: &Bytes) -> Response<Full<Bytes>> {
        let question = || serde_json::from_slice::<Value>(body).map_err(|error| format!("the body is not JSON: {error}"));
        match (method, path) {
            (&Method::GET, "/v1/status") => answer(StatusCode::OK, &self.plane.status()),
            (&Method::POST, "/v1/explain") => match question().and_then(|question| self.plane.explain(&question)) {
                Ok(decision) => answer(StatusCode::OK, &decision),
                Err(why) => problem(StatusCode::BAD_REQUEST, &why),
            },
            (&Method::POST, "/v1/ways") => match question().and_then(|question| self.plane.ways(&question)) {
                Ok(ways) => answer(StatusCode::OK, &ways),
                Err(why) => problem(StatusCode::BAD_REQUEST, &why),
            },
            (&Method::POST, "/v1/effective") => match question().and_then(|question| self.plane.effective(&question)) {
                Ok(policies) => answer(StatusCode::OK, &policies),
                Err(why) => problem(StatusCode::BAD_REQUEST, &why),
            },
            (&Method::POST, "/v1/credentials" | "/v1/revoke" | "/v1/suspend") => {
                let question = match question() {
                    Ok(question) => question,
                    Err(why) => return problem(StatusCode::BAD_REQUEST, &why),
                };
                let done = match path {
                    "/v1/revoke" => self.plane.revoke(&question).await,
                    "/v1/suspend" => self.plane.suspend(&question).await,
                    _ => self.plane.credentials(&question).await,
                };
                match done {
                    Ok(done) => answer(StatusCode::OK, &done),
                    Err(why) => problem(StatusCode::BAD_REQUEST, &why),
                }
            }
            (_, path) if path == APPROVALS || path.starts_with("/v1/approvals/") => {
                let question = match question() {
                    Ok(question) => question,
                    Err(_) if body.is_empty() => json!({}),
                    Err(why) => return problem(StatusCode::BAD_REQUEST, &why),
                };
                self.approvals(method, path, query, question).await
            }
            (&Method::POST, "/v1/pins/accept") => {
                let question = match question() {
                    Ok(question) => question,
                    Err(why) => return problem(StatusCode::BAD_REQUEST, &why),
                };
                match self.plane.accept(&question).await {
                    Ok(accepted) => answer(StatusCode::OK, &accepted),
                    Err(why) => problem(StatusCode::CONFLICT, &why),
                }
            }
            (&Method::POST, "/v1/reload") => match self.plane.reload().await {
                Ok(applied) => answer(StatusCode::OK, &applied),
                Err(faults) => answer(StatusCode::UNPROCESSABLE_ENTITY, &faults),
            },
            (&Method::POST, "/v1/connections" | "/v1/connections/forget") => {
                let question = match question() {
                    Ok(question) => question,
                    Err(why) => return problem(StatusCode::BAD_REQUEST, &why),
                };
                let done = if path == "/v1/connections" {
                    self.plane.connect(&question).await.map(|begun| (StatusCode::CREATED, begun))
                } else {
                    self.plane.disconnect(&question).await.map(|forgotten| (StatusCode::OK, forgotten))
                };
                match done {
                    Ok((status, said)) => answer(status, &said),
                    Err((status, why)) => problem(status, &why),
                }
            }
            (&Method::GET, path) if path.starts_with("/v1/connections/") => {
                match self.plane.attempt(path.trim_start_matches("/v1/connections/")).await {
                    Some(attempt) => answer(StatusCode::OK, &attempt),
                    None => problem(StatusCode::NOT_FOUND, "no such attempt"),
                }
            }
            _ => problem(StatusCode::NOT_FOUND, "no such endpoint"),
        }
    }

    /// `GET /v1/approvals?state=…&limit=…&cursor=…`, `GET /v1/approvals/ID`, `POST /v1/approvals/ID/approve` and its like.
    async fn approvals(&self, method: &Method, path: &str, query: Option<&str>, mut request: Value) -> Response<Full<Bytes>> {
        let rest = path.strip_prefix(APPROVALS).unwrap_or_default().trim_start_matches('/');
        let (id, what) = rest.split_once('/').map_or((rest, None), |(id, what)| (id, Some(what)));
        let what = match (method, id, what) {
            (&Method::GET, "", None) => "list",
            (&Method::GET, _, None) => "get",
            (&Method::POST, _, Some(what @ ("approve" | "reject" | "revoke" | "review"))) if !id.is_empty() => what,
            _ => return problem(StatusCode::NOT_FOUND, "no such endpoint"),
        };
        let Some(map) = request.as_object_mut() else {
            return problem(StatusCode::BAD_REQUEST, "the body is no JSON object");
        };
        if what == "list" {
            match form::parse(query.unwrap_or_default().as_bytes()) {
                Ok(pairs) => map.extend(pairs.into_iter().map(|(key, value)| (key, value.into()))),
                Err(error) => return problem(StatusCode::BAD_REQUEST, &error.to_string()),
            }
        } else {
            map.insert("id".to_owned(), id.into());
        }
        let by = map.get("by").and_then(Value::as_str).unwrap_or("operator").to_owned();
        let person = Person { id: by, proof: Proof::Token };
        match self.plane.approvals(&person, what, &request).await {
            Ok(said) => answer(StatusCode::OK, &said),
            Err((status, why)) => problem(status, &why),
        }
    }

    fn authorized(&self, header: Option<&HeaderValue>) -> bool {
        let shown = header.and_then(|value| value.to_str().ok()).and_then(|value| value.strip_prefix("Bearer "));
        shown.is_some_and(|token| verify_slices_are_equal(&sha256(token.trim().as_bytes()), &self.token_digest).is_ok())
    }
}

/// What is asked about trust, if anything is.
fn trust_asked(method: &Method, path: &str) -> Option<&'static str> {
    match (method, path) {
        (&Method::GET, "/v1/trust") => Some("list"),
        (&Method::GET, "/v1/trust/explain") => Some("explain"),
        (&Method::POST, "/v1/trust/promote") => Some("promote"),
        (&Method::POST, "/v1/incidents") => Some("incident"),
        _ => None,
    }
}

fn text(status: StatusCode, kind: &'static str, body: impl Into<Bytes>) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(body.into()));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(kind));
    response
}

fn answer(status: StatusCode, body: &Value) -> Response<Full<Bytes>> {
    text(status, "application/json", body.to_string())
}

/// A page for a person: text and nothing else, that is neither kept nor framed and takes the code out of no further address.
fn page(status: StatusCode, title: &str, sentence: &str) -> Response<Full<Bytes>> {
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
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    response
}

/// An error as RFC 9457 writes it.
fn problem(status: StatusCode, detail: &str) -> Response<Full<Bytes>> {
    let body = json!({"title": status.canonical_reason().unwrap_or_default(), "status": status.as_u16(), "detail": detail});
    text(status, "application/problem+json", body.to_string())
}
