//! The AWS endpoint in the binary: where its keys and revocations are kept, who answers it, and key pairs for whoever operates.

use std::net::SocketAddr;
use std::ops::RangeInclusive;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use http::header::CONTENT_TYPE;
use http::{HeaderName, HeaderValue, Request, Response, StatusCode};
use http_body_util::{BodyExt as _, Limited};
use hyper::body::Incoming;
use remit_authority::{
    AccessKey, AccessKeyStore, AwsRequest, InEffect, Issue, KeyPair, KeyPairs, PortError, TokenService, in_scope,
};
use remit_gateway::{AskGuardrails, Body, Edge, Gateway};
use remit_identity::sigv4::{self, Claim, SigError, date_time};
use remit_identity::sts::{AwsError, DURATION_MIN_SECS};
use remit_kernel::assume::OPERATOR_IAM_MAX_SECS;
use remit_kernel::operate::SERVICE;
use remit_kernel::{Ask, Clock, Revocations, Session, SessionOf, Snapshot};
use remit_model::{Organization, RoleKey, UserKey};
use remit_store::{Note, SqliteStore, Store as _};
use serde_json::{Value, json};
use zeroize::Zeroize as _;

use crate::fields::Fault;
use crate::now_secs;
use crate::output::Failure;

/// The store's kinds of record.
const ACCESS_KEY_KIND: &str = "access_key";
const REVOCATIONS_KIND: &str = "revocations";
/// The only record of revocations.
const REVOCATIONS_KEY: &str = "all";
/// The largest request of the AWS endpoint, in bytes: a form with two tokens of the largest size.
const BODY_BYTES_MAX: usize = 64 * 1024;
/// The largest request to a guardrail, in bytes: what a guardrail looks at in a moment.
const CONTENT_BYTES_MAX: usize = 1024 * 1024;
/// How long a body may take to come.
const BODY_TIMEOUT: std::time::Duration = std::time::Duration::from_secs(10);
/// The life of a user's own key, in seconds: an operator's shift.
const ACCESS_KEY_LIFE_SECS: u64 = 12 * 3600;
/// The life of a session that is asked for without one, in seconds.
const SESSION_SECS: u64 = 3600;
/// How long the id of a revoked credential is kept: an external issuer's token may live long.
const REVOKED_KEPT_SECS: u64 = 366 * 86_400;
/// The longest text that an operator says of a revocation, in bytes.
const SAID_BYTES_MAX: usize = 512;
/// How many refusals of strangers are recorded a second; the rest are counted into the next one.
const STRANGERS_PER_SEC: u64 = 50;
const ERROR_TYPE: HeaderName = HeaderName::from_static("x-amzn-errortype");
const REQUEST_ID: HeaderName = HeaderName::from_static("x-amzn-requestid");
const RETRY_AFTER: HeaderName = HeaderName::from_static("x-amz-retry-after");

/// Users' own keys, in the store.
pub(crate) struct StoredAccessKeys(pub(crate) Arc<SqliteStore>);

impl AccessKeyStore for StoredAccessKeys {
    fn get(&self, id: &str) -> Result<Option<AccessKey>, PortError> {
        let fault = |error: &dyn std::fmt::Display| PortError(error.to_string());
        let Some(record) = self.0.get(ACCESS_KEY_KIND, id).map_err(|error| fault(&error))? else { return Ok(None) };
        serde_json::from_slice(&record.body).map(Some).map_err(|error| fault(&error))
    }

    fn put(&self, id: &str, key: &AccessKey) -> Result<(), PortError> {
        let fault = |error: &dyn std::fmt::Display| PortError(error.to_string());
        let body = serde_json::to_vec(key).map_err(|error| fault(&error))?;
        let note = Note { author: "remit", reason: "access key of a user", now_secs: now_secs() };
        self.0.put(ACCESS_KEY_KIND, id, None, &body, note).map(|_| ()).map_err(|error| fault(&error))
    }
}

/// What is in effect: known once the gateway stands, which needs the endpoint's keys itself.
#[derive(Default)]
pub(crate) struct Now {
    gateway: OnceLock<(Gateway, Arc<dyn AskGuardrails>)>,
}

impl Now {
    pub(crate) fn set(&self, gateway: Gateway, asker: Arc<dyn AskGuardrails>) {
        let _ = self.gateway.set((gateway, asker));
    }
}

impl InEffect for Now {
    fn snapshot(&self) -> Arc<Snapshot> {
        let empty = || Arc::new(Snapshot::compile(0, Arc::default(), &remit_kernel::Catalogue::default()));
        self.gateway.get().map_or_else(empty, |(gateway, _)| gateway.snapshot())
    }

    fn revocations(&self) -> Arc<Revocations> {
        self.gateway.get().map(|(gateway, _)| gateway.revocations()).unwrap_or_default()
    }

    fn clock(&self) -> Clock {
        Clock(remit_gateway::monotonic_ns)
    }

    fn ask_guardrail<'a>(&'a self, ask: &'a Ask) -> remit_authority::Boxed<'a, Result<Vec<u8>, String>> {
        Box::pin(async move {
            let (_, asker) = self.gateway.get().ok_or("the gateway doesn't stand yet")?;
            asker.ask(std::slice::from_ref(ask)).await.pop().unwrap_or_else(|| Err("it was not asked".to_owned()))
        })
    }
}

/// The revocations that are kept.
pub(crate) fn revocations(store: &SqliteStore) -> Result<Revocations, Failure> {
    let fault = |error: &dyn std::fmt::Display| Failure::new(format!("the revocations can't be read: {error}"));
    let Some(record) = store.get(REVOCATIONS_KIND, REVOCATIONS_KEY).map_err(|error| fault(&error))? else {
        return Ok(Revocations::default());
    };
    serde_json::from_slice(&record.body).map_err(|error| fault(&error))
}

/// The endpoint, and what an operator does with its keys.
pub(crate) struct Aws {
    service: TokenService,
    keys: Arc<KeyPairs>,
    store: Arc<SqliteStore>,
    /// Under which names it is asked: what was signed for another host is no request to this one.
    edge: Edge,
    /// One change of revocations at a time.
    revoking: Mutex<()>,
    strangers: Mutex<Strangers>,
}

/// The refusals of callers that nobody knows: whoever can connect could fill the disk with them.
#[derive(Default)]
struct Strangers {
    second: u64,
    recorded: u64,
    suppressed: u64,
}

impl Strangers {
    /// Whether this one is recorded, and then how many before it weren't.
    fn record(&mut self, now_secs: u64) -> Option<u64> {
        if self.second != now_secs {
            (self.second, self.recorded) = (now_secs, 0);
        }
        if self.recorded >= STRANGERS_PER_SEC {
            self.suppressed += 1;
            return None;
        }
        self.recorded += 1;
        Some(std::mem::take(&mut self.suppressed))
    }
}

impl Aws {
    pub(crate) fn new(service: TokenService, keys: Arc<KeyPairs>, store: Arc<SqliteStore>, edge: Edge) -> Self {
        Self { service, keys, store, edge, revoking: Mutex::default(), strangers: Mutex::default() }
    }

    /// Whether a request is for this endpoint: the root of the gateway's address, which nothing else uses, and guardrails.
    pub(crate) fn serves(request: &Request<Incoming>) -> bool {
        let (path, query) = (request.uri().path(), request.uri().query());
        TokenService::serves(request.method(), path) || path == "/" && query.is_some_and(|query| query.contains("Action="))
    }

    /// Answers a request: what came of it is durable in the journal before the caller learns it.
    pub(crate) async fn answer(
        &self,
        gateway: &Gateway,
        request: Request<Incoming>,
        peer: SocketAddr,
        secure: bool,
    ) -> Response<Body> {
        let (parts, body) = request.into_parts();
        if let Some(status) = self.edge.refuses(&parts.uri, &parts.headers) {
            return plain(status);
        }
        let path = parts.uri.path();
        let bytes_max = if path == "/" { BODY_BYTES_MAX } else { CONTENT_BYTES_MAX };
        let read = tokio::time::timeout(BODY_TIMEOUT, Limited::new(body, bytes_max).collect()).await;
        let mut answer = match read {
            Ok(Ok(body)) => {
                let body = body.to_bytes();
                let asked = AwsRequest {
                    method: parts.method.as_str(),
                    path,
                    query: parts.uri.query().unwrap_or_default(),
                    headers: &parts.headers,
                    body: &body,
                    peer: peer.ip(),
                    secure_transport: secure,
                };
                self.service.answer(&asked, now_secs()).await
            }
            Ok(Err(_)) => {
                let what = format!("The request is larger than {bytes_max} bytes, or broke off.");
                self.service.refuse(AwsError::new(413, "RequestEntityTooLarge", what), path, peer.ip())
            }
            Err(_) => {
                let what = "The request took too long to come.";
                self.service.refuse(AwsError::new(408, "RequestTimeout", what), path, peer.ip())
            }
        };
        let recorded = if answer.known || answer.status == 200 {
            Some(0)
        } else {
            self.strangers.lock().unwrap_or_else(PoisonError::into_inner).record(now_secs())
        };
        if let Some(suppressed) = recorded {
            let mut record = answer.record.take();
            if suppressed > 0 {
                set(&mut record, "refusals_suppressed", suppressed);
            }
            if gateway.record("session", record).await.is_err() {
                return plain(StatusCode::SERVICE_UNAVAILABLE);
            }
        }
        let mut response = Response::new(Body::from(answer.body.as_bytes().to_vec()));
        answer.body.zeroize();
        *response.status_mut() = StatusCode::from_u16(answer.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(answer.content_type));
        if let Some(kind) = answer.error_type {
            response.headers_mut().insert(ERROR_TYPE, HeaderValue::from_static(kind));
        }
        if let Ok(id) = HeaderValue::from_str(&answer.request_id) {
            response.headers_mut().insert(REQUEST_ID, id);
        }
        if let Some(wait_ms) = answer.retry_after_ms {
            response.headers_mut().insert(RETRY_AFTER, HeaderValue::from(wait_ms));
        }
        response
    }

    /// The session whose key a request to the operator's interface names, if it was issued here and is alive; nothing is verified.
    pub(crate) fn claimed(&self, request: &sigv4::Request<'_>) -> Option<Arc<Session>> {
        let (claim, now) = (Claim::read(request).ok().flatten()?, now_secs());
        claim.timely(now).ok()?;
        self.keys.session(&claim, now).ok()
    }

    /// The session whose key signed such a request. It is signed for this service, and for a region where the organization is.
    pub(crate) fn signed(
        &self,
        organization: &Organization,
        request: &sigv4::Request<'_>,
        once: bool,
    ) -> Result<Arc<Session>, SigError> {
        let claim = Claim::read(request)?.ok_or_else(|| SigError::incomplete("the request is not signed"))?;
        in_scope(organization, &claim, SERVICE, true)?;
        if claim.expires_secs.is_some() {
            return Err(SigError::incomplete("This interface takes no presigned request: sign it in its headers."));
        }
        self.keys.verify(request, &claim, once, now_secs())
    }

    /// A key pair for a principal of the organization: a space, a role or a user. Whoever holds the operator's token may have any.
    pub(crate) async fn credentials(&self, gateway: &Gateway, asked: &Value) -> Result<Value, Fault> {
        let text = |key: &str| asked.get(key).and_then(Value::as_str);
        let principal = text("principal").ok_or("`principal` is missing: the ARN of a space, a role or a user")?;
        let by = text("by").unwrap_or("operator");
        if by.len() > SAID_BYTES_MAX {
            return Err(format!("`by` is longer than {SAID_BYTES_MAX} bytes").into());
        }
        let now = now_secs();
        let snapshot = gateway.snapshot();
        let organization = &*snapshot.organization;
        let said =
            asked.get("duration_secs").map(|secs| secs.as_u64().ok_or("`duration_secs` is no number of seconds")).transpose()?;
        if let Some(key) = UserKey::of_arn(principal) {
            let user = organization.users.get(&key).filter(|user| user.arn(&organization.partition) == principal);
            let user = user.ok_or_else(|| format!("there is no user {principal}"))?;
            let life = lifetime(said, ACCESS_KEY_LIFE_SECS, 1..=ACCESS_KEY_LIFE_SECS)?;
            let record = json!({"principal": principal, "by": by, "expires_at_secs": now + life});
            let key = AccessKey { user: user.key.clone(), issued_at_secs: now, expires_at_secs: now + life };
            return self.issued(gateway, record, || self.keys.issue_access_key(&key)).await;
        }
        let (role, name) = acting(organization, principal)?;
        let name = text("session_name").unwrap_or(&name).to_owned();
        let fits = (2..=64).contains(&name.len()) && name.bytes().all(|b| b.is_ascii_alphanumeric() || b"_+=,.@-".contains(&b));
        if !fits {
            return Err("a session name is 2 to 64 of letters, digits and `_+=,.@-`".into());
        }
        let longest = organization.roles.get(&role).map(|role| role.session_max_secs).ok_or("there is no such role")?;
        // Whoever operates a space has as long with keys from here as with keys of their own.
        let operator = organization.spaces.values().any(|space| space.operator_role.as_ref() == Some(&role));
        let longest = if operator { longest.min(OPERATOR_IAM_MAX_SECS) } else { longest };
        let life = lifetime(said, longest.min(SESSION_SECS), DURATION_MIN_SECS..=longest)?;
        let record = json!({"principal": principal, "role": role.to_string(), "session_name": name, "by": by, "expires_at_secs": now + life});
        let issue = Issue {
            who: SessionOf::Role(role),
            name,
            issued_at_secs: now,
            expires_at_secs: now + life,
            chained: false,
            tags: Vec::new(),
            source_identity: None,
            policies: Vec::new(),
            user: None,
            via: Vec::new(),
        };
        self.issued(gateway, record, || self.keys.issue(issue)).await
    }

    async fn issued(
        &self,
        gateway: &Gateway,
        mut record: Value,
        issue: impl FnOnce() -> Result<KeyPair, PortError>,
    ) -> Result<Value, Fault> {
        let pair = issue().map_err(Fault::away)?;
        set(&mut record, "access_key_id", pair.access_key_id.clone());
        gateway.record("credentials", record).await.map_err(Fault::away)?;
        let mut answer = json!({
            "Version": 1,
            "AccessKeyId": pair.access_key_id,
            "SecretAccessKey": pair.secret_access_key.as_str(),
            "Expiration": date_time(pair.expires_at_secs),
        });
        if let Some(token) = &pair.session_token {
            set(&mut answer, "SessionToken", token.as_str());
        }
        Ok(answer)
    }

    /// Revokes, durably and at once.
    pub(crate) async fn revoke(&self, gateway: &Gateway, asked: &Value) -> Result<Value, Fault> {
        let text = |key: &str| match asked.get(key).and_then(Value::as_str) {
            Some(text) if text.len() > SAID_BYTES_MAX => Err(format!("`{key}` is longer than {SAID_BYTES_MAX} bytes")),
            text => Ok(text.filter(|text| !text.is_empty())),
        };
        let (by, reason) = (text("by")?.ok_or("`by` is missing: who revokes?")?, text("reason")?.ok_or("`reason` is missing")?);
        let now = now_secs();
        let before = asked.get("before_secs").map(|secs| secs.as_u64().ok_or("`before_secs` is no time")).transpose()?;
        let before = before.unwrap_or(now);
        if before > now {
            return Err("what is issued later can't be revoked now".into());
        }
        let organization = Arc::clone(&gateway.snapshot().organization);
        let everything = asked.get("everything").and_then(Value::as_bool) == Some(true);
        let target = match (text("credential")?, text("agent")?, text("role")?, everything) {
            (Some(id), None, None, false) => Target::Credential(id.to_owned()),
            (None, Some(agent), None, false) if organization.agents.contains_key(agent) => Target::Agent(agent.to_owned()),
            (None, Some(agent), None, false) => return Err(format!("no agent `{agent}` is registered").into()),
            (None, None, Some(role), false) => {
                let known = RoleKey::of_arn(role).and_then(|key| organization.roles.get(&key));
                let known = known.filter(|known| known.arn(&organization.partition) == role);
                Target::Role(known.ok_or_else(|| format!("there is no role {role}"))?.key.clone())
            }
            (None, None, None, true) => Target::Everything,
            _ => return Err("name one of `credential`, `agent`, `role` and `everything`".into()),
        };
        let mut record = target.record();
        set(&mut record, "by", by);
        set(&mut record, "reason", reason);
        if !matches!(target, Target::Credential(_)) {
            set(&mut record, "before_secs", before);
        }
        // Recorded first: what is revoked can be explained, whatever happens next.
        gateway.record("revocation", record).await.map_err(Fault::away)?;
        let changed = self.change_revocations(gateway, by, reason, |all| target.revoke(all, before, now));
        serde_json::to_value(changed.map_err(Fault::away)?).map_err(Fault::away)
    }

    /// Changes what is taken away: durably, and in effect when this answers.
    pub(crate) fn change_revocations(
        &self,
        gateway: &Gateway,
        by: &str,
        reason: &str,
        change: impl FnOnce(&mut Revocations),
    ) -> Result<Revocations, String> {
        let now = now_secs();
        let _one = self.revoking.lock().unwrap_or_else(PoisonError::into_inner);
        let current = self.store.get(REVOCATIONS_KIND, REVOCATIONS_KEY).map_err(|error| error.to_string())?;
        let mut all: Revocations = match &current {
            Some(record) => serde_json::from_slice(&record.body).map_err(|error| error.to_string())?,
            None => Revocations::default(),
        };
        all.forget(now);
        change(&mut all);
        let body = serde_json::to_vec(&all).map_err(|error| error.to_string())?;
        let version = current.map(|record| record.version);
        let note = Note { author: by, reason, now_secs: now };
        self.store.put(REVOCATIONS_KIND, REVOCATIONS_KEY, version, &body, note).map_err(|error| error.to_string())?;
        // Within the lock: the later change is the one that stays in effect.
        gateway.revoke(all.clone());
        Ok(all)
    }
}

/// What is revoked.
enum Target {
    Credential(String),
    Agent(String),
    Role(RoleKey),
    Everything,
}

impl Target {
    fn record(&self) -> Value {
        match self {
            Self::Credential(id) => json!({"credential": id}),
            Self::Agent(agent) => json!({"agent": agent}),
            Self::Role(role) => json!({"role": role.to_string()}),
            Self::Everything => json!({"everything": true}),
        }
    }

    /// Adds it to what is revoked. A time never moves back: what was revoked stays so.
    fn revoke(self, all: &mut Revocations, before: u64, now: u64) {
        let later = |time: &mut u64| *time = before.max(*time);
        match self {
            Self::Credential(id) => drop(all.credentials.insert(id, now + REVOKED_KEPT_SECS)),
            Self::Agent(agent) => later(all.agents.entry(agent).or_default()),
            Self::Role(role) => later(all.roles.entry(role.to_string()).or_default()),
            Self::Everything => later(all.everything.get_or_insert_default()),
        }
    }
}

/// Sets a field of an object.
pub(crate) fn set(object: &mut Value, key: &str, value: impl Into<Value>) {
    if let Some(fields) = object.as_object_mut() {
        fields.insert(key.to_owned(), value.into());
    }
}

/// How long a key pair is good: as long as was said, if that is possible.
fn lifetime(said: Option<u64>, otherwise: u64, range: RangeInclusive<u64>) -> Result<u64, String> {
    match said {
        None => Ok(otherwise),
        Some(secs) if range.contains(&secs) => Ok(secs),
        Some(secs) => Err(format!("{secs} seconds are not within {} to {}", range.start(), range.end())),
    }
}

/// The role that a principal acts in, and the name of its session.
fn acting(organization: &Organization, principal: &str) -> Result<(RoleKey, String), String> {
    if let Some(key) = RoleKey::of_arn(principal) {
        return match organization.roles.get(&key) {
            Some(role) if role.arn(&organization.partition) == principal => Ok((key, "operator".to_owned())),
            Some(role) => Err(format!("the role's ARN is {}", role.arn(&organization.partition))),
            None => Err(format!("there is no role {principal}")),
        };
    }
    // AWS writes the kind in two ways.
    let normal = principal.replace(":agent-space/", ":agentspace/");
    let Some(space) = organization.spaces.values().find(|space| organization.space_arn(space) == normal) else {
        return Err(format!("{principal} is the ARN of no space, role or user here; the root user has no keys"));
    };
    let role = space.role.clone().ok_or_else(|| format!("space `{}` has no role to act in", space.id))?;
    Ok((role, space.id.as_str().to_owned()))
}

/// The policies that reach a space, each with where it comes from.
pub(crate) fn effective(snapshot: &Snapshot, space: &str) -> Result<Value, String> {
    let organization = &*snapshot.organization;
    let space = organization.spaces.get(space).ok_or_else(|| format!("there is no space `{space}`"))?;
    let mut policies = Vec::new();
    let mut add = |kind: &str, node: &str, policy: &remit_iam::Policy, document: Option<&str>| {
        let statements: Vec<Value> = policy
            .statements()
            .iter()
            .map(|statement| json!({"sid": statement.sid(), "effect": format!("{:?}", statement.effect()), "origin": &**statement.origin()}))
            .collect();
        policies.push(json!({"type": kind, "attached_to": node, "policy": &**policy.name(), "statements": statements, "document": document}));
    };
    for (node, controls) in organization.controls_above(&space.account) {
        for (kind, list) in
            [("SERVICE_CONTROL_POLICY", &controls.service_control), ("RESOURCE_CONTROL_POLICY", &controls.resource_control)]
        {
            for policy in list.iter().flatten() {
                add(kind, &node, policy, None);
            }
        }
    }
    let roles = [("role", &space.role), ("operator role", &space.operator_role)];
    let roles = roles.into_iter().filter_map(|(what, key)| Some((what.to_owned(), organization.roles.get(key.as_ref()?)?)));
    let elsewhere = space.servers.iter().filter_map(|entry| {
        let role = organization.roles.get(entry.role.as_ref()?)?;
        Some((format!("role towards server {}", entry.server), role))
    });
    for (what, role) in roles.chain(elsewhere) {
        let node = format!("{what} {}", role.arn(&organization.partition));
        add("TRUST_POLICY", &node, &role.trust, Some(&role.trust_document));
        for attached in &role.policies {
            let kind = if attached.arn.is_some() { "MANAGED_POLICY" } else { "INLINE_POLICY" };
            add(kind, &node, &attached.policy, Some(&attached.document));
        }
        if let Some(boundary) = &role.permissions_boundary {
            add("PERMISSIONS_BOUNDARY", &node, &boundary.policy, Some(&boundary.document));
        }
    }
    for entry in &space.servers {
        let key = Organization::server_key(space, entry);
        if let Some(policy) = organization.servers.get(&key).and_then(|server| server.resource_policy.as_ref()) {
            add("RESOURCE_POLICY", &format!("server {key}"), policy, None);
        }
    }
    Ok(json!({
        "space": space.id.as_str(), "arn": organization.space_arn(space), "path": organization.path(&space.account),
        "policies": policies,
    }))
}

fn plain(status: StatusCode) -> Response<Body> {
    let mut response = Response::new(Body::from(Vec::new()));
    *response.status_mut() = status;
    response
}
