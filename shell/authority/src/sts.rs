//! The AWS endpoint: STS, and of IAM what reads roles and policies, in the Query protocol (`POST /`, form in, XML out); and guardrails.

use std::net::IpAddr;
use std::sync::Arc;

use http::HeaderMap;
use remit_identity::form;
use remit_identity::openid;
use remit_identity::sigv4::{self, Claim, Request, SigError};
use remit_identity::sts::{self, Answer, AssumeRole, AwsError, Query, Service};
use remit_identity::token::{issuer_of, verify_external};
use remit_identity::{jwt, jwt::JwtError};
use remit_kernel::assume::{Assumption, Caller, Granted, WebIdentity, assume_role, authorize, caller_identity};
use remit_kernel::{Ask, Clock, Fact, Origin, Revocations, Session, SessionOf, Snapshot};
use remit_model::{AccountId, AgentId, Attached, Organization, Role, RoleKey, RoleName, Tags};
use serde_json::{Map, Value, json};
use zeroize::Zeroizing;

use crate::apply_guardrail::{self, Compiled};
use crate::authenticator::agent_in;
use crate::authority::Authority;
use crate::issuers::KeysError;
use crate::keypair::{Issue, KeyPair, KeyPairs, is_temporary, lineage};
use crate::random;

/// The region that a global service is signed for.
const GLOBAL_REGION: &str = "us-east-1";
/// The life of a user's session that asks for none, in seconds (GetSessionToken).
const USER_DURATION_DEFAULT_SECS: u64 = 43_200;
/// The longest text of a caller's that a record holds, in characters.
const TEXT_MAX: usize = 128;
/// The longest name and the longest ARN of IAM, in characters.
const NAME_CHARS_MAX: usize = 128;
const ARN_CHARS_MAX: usize = 2048;
/// When what the configuration holds was made, as far as clients ask: it has no dates of its own.
const CREATE_DATE: &str = "2026-01-01T00:00:00Z";

/// A boxed future.
pub type Boxed<'a, T> = std::pin::Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// What is in effect while a request is answered.
pub trait InEffect: Send + Sync {
    /// The snapshot.
    fn snapshot(&self) -> Arc<Snapshot>;

    /// What has been revoked.
    fn revocations(&self) -> Arc<Revocations>;

    /// What the stages of guardrails are measured by.
    fn clock(&self) -> Clock;

    /// What a guardrail of Amazon Bedrock answers: the response's body, or why there is none, which holds nothing of text or secret.
    fn ask_guardrail<'a>(&'a self, ask: &'a Ask) -> Boxed<'a, Result<Vec<u8>, String>>;
}

/// The endpoint.
pub struct TokenService {
    authority: Arc<Authority>,
    keys: Arc<KeyPairs>,
    pub(crate) in_effect: Arc<dyn InEffect>,
    pub(crate) compiled: Compiled,
}

impl std::fmt::Debug for TokenService {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("TokenService")
    }
}

/// A request as it came.
#[derive(Debug, Clone, Copy)]
pub struct AwsRequest<'a> {
    /// The method.
    pub method: &'a str,
    /// The path.
    pub path: &'a str,
    /// The query.
    pub query: &'a str,
    /// The headers.
    pub headers: &'a HeaderMap,
    /// The body.
    pub body: &'a [u8],
    /// The address that it came from.
    pub peer: IpAddr,
    /// Whether the connection was encrypted.
    pub secure_transport: bool,
}

/// An answer, and what is to be recorded before it is given.
#[derive(Debug)]
pub struct AwsAnswer {
    /// The status.
    pub status: u16,
    /// The body: XML, or JSON.
    pub body: Zeroizing<String>,
    /// What the body is.
    pub content_type: &'static str,
    /// The type of an error where the body doesn't say it (`x-amzn-errortype`).
    pub error_type: Option<&'static str>,
    /// The id of the request.
    pub request_id: String,
    /// After how many milliseconds the request, signed anew, may be tried again.
    pub retry_after_ms: Option<u64>,
    /// Whether the caller was authenticated: what strangers ask need not all be recorded.
    pub known: bool,
    /// The record: who asked what, and what came of it. It holds no secret.
    pub record: Value,
}

/// What was done, for the record.
#[derive(Default)]
pub(crate) struct Done {
    pub(crate) action: String,
    pub(crate) caller: Option<String>,
    /// The access key that the request names, whether or not it signed it.
    pub(crate) access_key: Option<String>,
    pub(crate) detail: Map<String, Value>,
    pub(crate) layers: Value,
}

impl Done {
    pub(crate) fn detail(&mut self, key: &str, value: impl Into<Value>) {
        self.detail.insert(key.to_owned(), value.into());
    }
}

/// Who signed a request, and what was in effect then.
pub(crate) struct Signer {
    pub(crate) session: Arc<Session>,
    pub(crate) snapshot: Arc<Snapshot>,
    pub(crate) arn: String,
    pub(crate) user_id: String,
    pub(crate) account: AccountId,
}

impl TokenService {
    /// An endpoint that issues these key pairs.
    pub fn new(authority: Arc<Authority>, keys: Arc<KeyPairs>, in_effect: Arc<dyn InEffect>) -> Self {
        Self { authority, keys, in_effect, compiled: Compiled::default() }
    }

    /// Answers a request, under an id that is in the answer and in the record.
    pub async fn answer(&self, request: &AwsRequest<'_>, now_secs: u64) -> AwsAnswer {
        let mut done = Done::default();
        if let Some(named) = apply_guardrail::named(request.path) {
            let answered = Box::pin(self.apply_guardrail(request, named, &mut done, now_secs)).await;
            return finish(answered.map(Said::Json), Spoken::Json, &done, request.peer);
        }
        let mut service = Service::Sts;
        let answered = self.answered(request, &mut service, &mut done, now_secs).await;
        finish(answered.map(Said::Xml), Spoken::Xml(service), &done, request.peer)
    }

    /// Whether a request with this method and path is for this endpoint, whatever else it says.
    pub fn serves(method: &http::Method, path: &str) -> bool {
        *method == http::Method::POST && (path == "/" || apply_guardrail::named(path).is_some())
    }

    /// Refuses a request to this path that can't be read.
    pub fn refuse(&self, error: AwsError, path: &str, peer: IpAddr) -> AwsAnswer {
        let spoken = if apply_guardrail::named(path).is_some() { Spoken::Json } else { Spoken::Xml(Service::Sts) };
        finish(Err(error), spoken, &Done::default(), peer)
    }

    async fn answered(
        &self,
        request: &AwsRequest<'_>,
        service: &mut Service,
        done: &mut Done,
        now_secs: u64,
    ) -> Result<Answer, AwsError> {
        let headers = header_list(request.headers)?;
        let signed =
            Request { method: request.method, path: request.path, query: request.query, headers: &headers, body: request.body };
        let mut query = read_query(request)?;
        *service = query.service;
        done.action.clone_from(&query.action);
        let origin = Origin { source_ip: Fact::Known(request.peer.to_canonical()), secure_transport: request.secure_transport };
        if (query.service, query.action.as_str()) == (Service::Sts, "AssumeRoleWithWebIdentity") {
            return self.web_identity(&mut query, &origin, done, now_secs).await;
        }
        let claim = claimed(&signed, done)?;
        self.in_scope(&claim, query.service.as_str(), query.service == Service::Sts)?;
        let issues = matches!(query.action.as_str(), "AssumeRole" | "GetSessionToken");
        let Signer { session, snapshot, arn, user_id, account } = self.signer(&signed, &claim, issues, done, now_secs)?;
        match (query.service, query.action.as_str()) {
            (Service::Sts, "GetCallerIdentity") => {
                query.done()?;
                let mut answer = Answer::new(Service::Sts, "GetCallerIdentity");
                answer.text("Arn", &arn).text("UserId", &user_id).text("Account", account.as_str());
                Ok(answer)
            }
            (Service::Sts, "AssumeRole") => {
                let asked = AssumeRole::read(&mut query)?;
                let assumption = assume_role(&snapshot, Caller::Session(&session), &asked, &origin, now_secs);
                let granted = granted(assumption, &asked, done)?;
                let pair = self.issue(&granted, session.user.clone(), got_with(&session)?, now_secs)?;
                done.detail("access_key_id", pair.access_key_id.clone());
                let mut answer = Answer::new(Service::Sts, "AssumeRole");
                session_elements(&mut answer, &granted, &pair);
                Ok(answer)
            }
            (Service::Sts, "GetSessionToken") => {
                let via = got_with(&session)?;
                self.session_token(&mut query, &session, via, done, now_secs)
            }
            (Service::Iam, _) => {
                let (snapshot, session, account, origin) = (&*snapshot, &*session, &account, &origin);
                Reader { snapshot, session, account, origin, done, now_secs }.answer(&mut query)
            }
            (Service::Sts, action) => {
                let shown: String = action.chars().take(80).collect();
                let message = format!("Could not find operation {shown} for version {}", sts::STS_VERSION);
                Err(AwsError::new(400, "InvalidAction", message))
            }
        }
    }

    /// Who signed a request with a key that is good. `once` is for requests that take effect.
    pub(crate) fn signer(
        &self,
        signed: &Request<'_>,
        claim: &Claim,
        once: bool,
        done: &mut Done,
        now_secs: u64,
    ) -> Result<Signer, AwsError> {
        let session = self.keys.verify(signed, claim, once, now_secs)?;
        self.alive(&session)?;
        let snapshot = self.in_effect.snapshot();
        let unknown = || AwsError::new(403, "InvalidClientTokenId", "The security token included in the request is invalid.");
        let (arn, user_id, account) = caller_identity(&snapshot.organization, &session).ok_or_else(unknown)?;
        done.caller = Some(arn.clone());
        Ok(Signer { session, snapshot, arn, user_id, account })
    }

    pub(crate) fn in_scope(&self, claim: &Claim, service: &str, regional: bool) -> Result<(), AwsError> {
        Ok(in_scope(&self.authority.directory.organization(), claim, service, regional)?)
    }

    fn alive(&self, session: &Session) -> Result<(), AwsError> {
        let role = session.role();
        // A revoked agent gets no fresh session with the one that was revoked.
        let organization = self.authority.directory.organization();
        let agent = role.and_then(|role| agent_in(&organization, role, &session.name).ok());
        if agent.as_ref().and_then(|agent| organization.agents.get(agent)).is_some_and(|agent| agent.suspended) {
            return Err(AwsError::denied("The agent whose session this is has been suspended."));
        }
        let agent = agent.as_ref().map(AgentId::as_str);
        let ids: Vec<&str> = std::iter::once(session.id.as_str()).chain(session.via.iter().map(String::as_str)).collect();
        match self.in_effect.revocations().find(&ids, agent, role, session.issued_at_secs) {
            None => Ok(()),
            Some(_) => Err(SigError::expired().into()),
        }
    }

    /// The keys with which whatever is issued now was got.
    fn issue(&self, granted: &Granted, user: Option<String>, via: Vec<String>, now_secs: u64) -> Result<KeyPair, AwsError> {
        let issue = Issue {
            who: SessionOf::Role(granted.role.clone()),
            name: granted.name.clone(),
            issued_at_secs: now_secs,
            expires_at_secs: granted.expires_at_secs,
            chained: granted.chained,
            tags: granted.tags.clone(),
            source_identity: granted.source_identity.clone(),
            policies: granted.policies.clone(),
            user,
            via,
        };
        let pair = self.keys.issue(issue).map_err(|error| failure(&error))?;
        if packed_percent(&pair) > 100 {
            let message = "The session policies and tags together are larger than a session token can carry.";
            return Err(AwsError::new(400, "PackedPolicyTooLarge", message));
        }
        Ok(pair)
    }

    fn session_token(
        &self,
        query: &mut Query,
        session: &Session,
        via: Vec<String>,
        done: &mut Done,
        now_secs: u64,
    ) -> Result<Answer, AwsError> {
        let duration = sts::duration(query.take("DurationSeconds"), sts::USER_DURATION_MAX_SECS)?;
        if query.take("SerialNumber").is_some() | query.take("TokenCode").is_some() {
            return Err(AwsError::denied("MultiFactorAuthentication failed: no MFA device is known to Remit."));
        }
        query.done()?;
        if is_temporary(&session.id) {
            return Err(AwsError::denied("Cannot call GetSessionToken with session credentials"));
        }
        // A session outlives no key that it was got with.
        let secs = duration.unwrap_or(USER_DURATION_DEFAULT_SECS);
        let issue = Issue {
            who: session.who.clone(),
            name: session.name.clone(),
            issued_at_secs: now_secs,
            expires_at_secs: now_secs.saturating_add(secs).min(session.expires_at_secs),
            chained: false,
            tags: Vec::new(),
            source_identity: None,
            policies: Vec::new(),
            user: None,
            via,
        };
        let pair = self.keys.issue(issue).map_err(|error| failure(&error))?;
        done.detail("access_key_id", pair.access_key_id.as_str());
        done.detail("expires_at_secs", pair.expires_at_secs);
        let mut answer = Answer::new(Service::Sts, "GetSessionToken");
        credentials(&mut answer, &pair);
        Ok(answer)
    }

    async fn web_identity(&self, query: &mut Query, origin: &Origin, done: &mut Done, now_secs: u64) -> Result<Answer, AwsError> {
        let (asked, token) = AssumeRole::read_web_identity(query)?;
        let identity = self.vouched(&token, now_secs).await?;
        done.caller = Some(format!("{}#{}", identity.provider, identity.subject));
        let snapshot = self.in_effect.snapshot();
        let assumption = assume_role(&snapshot, Caller::WebIdentity(&identity), &asked, origin, now_secs);
        let granted = granted(assumption, &asked, done)?;
        let pair = self.issue(&granted, Some(identity.subject.clone()), Vec::new(), now_secs)?;
        done.detail("access_key_id", pair.access_key_id.clone());
        done.detail("user", identity.subject.clone());
        let mut answer = Answer::new(Service::Sts, "AssumeRoleWithWebIdentity");
        answer.text("SubjectFromWebIdentityToken", &identity.subject).text("Audience", &identity.audience);
        answer.text("Provider", &identity.provider);
        session_elements(&mut answer, &granted, &pair);
        Ok(answer)
    }

    /// What an identity provider says of a person.
    async fn vouched(&self, token: &str, now_secs: u64) -> Result<WebIdentity, AwsError> {
        let invalid = |what: String| AwsError::new(400, "InvalidIdentityToken", what);
        let refused = |error: JwtError| match error {
            JwtError::Expired => AwsError::new(400, "ExpiredTokenException", "Token expired"),
            error => invalid(error.to_string()),
        };
        let organization = self.authority.directory.organization();
        let unverified = jwt::parse(token).map_err(refused)?;
        let known = unverified.issuer().and_then(|url| issuer_of(&organization, url)).filter(|issuer| issuer.users);
        let Some(issuer) = known else {
            return Err(invalid("No OpenIDConnect provider found in your account for the token's issuer".to_owned()));
        };
        let keys = self.authority.issuer_keys.keys_for(issuer, &unverified, now_secs).await.map_err(|error| match error {
            KeysError::NoSuchKey => invalid("Couldn't retrieve verification key from your identity provider".to_owned()),
            KeysError::Away { .. } => AwsError::new(400, "IDPCommunicationError", "The identity provider can't be reached."),
        })?;
        let token = verify_external(unverified, issuer, &keys, now_secs).map_err(refused)?;
        let audiences: Vec<String> = token.audiences().map_err(refused)?.into_iter().map(str::to_owned).collect();
        let audience = audiences.iter().find(|audience| issuer.audiences.contains(audience)).cloned();
        let Some(audience) = audience else { return Err(invalid("Incorrect token audience".to_owned())) };
        let Ok(Some(subject)) = token.text_if_any("sub").map(|subject| subject.map(str::to_owned)) else {
            return Err(invalid("The token names no subject".to_owned()));
        };
        let provider =
            issuer.url.split_once("://").map_or(issuer.url.as_str(), |(_, rest)| rest).trim_end_matches('/').to_owned();
        let mut claims: Vec<(String, Vec<String>)> =
            openid::claims(&token).into_iter().map(|(claim, values)| (format!("{provider}:{claim}"), values)).collect();
        claims.push((format!("{provider}:sub"), vec![subject.clone()]));
        claims.push((format!("{provider}:aud"), vec![audience.clone()]));
        Ok(WebIdentity { provider, subject, audience, claims })
    }
}

/// What a request says of its signature, which it must have.
pub(crate) fn claimed(signed: &Request<'_>, done: &mut Done) -> Result<Claim, AwsError> {
    let Some(claim) = Claim::read(signed)? else {
        return Err(AwsError::new(403, "MissingAuthenticationToken", "Request is missing Authentication Token"));
    };
    done.access_key = Some(claim.access_key_id.clone());
    Ok(claim)
}

/// Whether a signature's scope names the service that is asked and, if the service is of regions, one where the organization is.
pub fn in_scope(organization: &Organization, claim: &Claim, service: &str, regional: bool) -> Result<(), SigError> {
    if claim.service != service {
        return Err(SigError::mismatch(format!("Credential should be scoped to correct service: '{service}'.")));
    }
    let here = organization.spaces.values().any(|space| space.region.as_str() == claim.region) && regional;
    if claim.region != GLOBAL_REGION && !here {
        return Err(SigError::mismatch(format!("Credential should be scoped to a valid region, not '{}'.", claim.region)));
    }
    Ok(())
}

/// What was decided of a request for a session, kept for the record.
fn granted(assumption: Assumption, asked: &AssumeRole, done: &mut Done) -> Result<Granted, AwsError> {
    done.layers = serde_json::to_value(&assumption.layers).unwrap_or_default();
    let tags: Vec<Value> = asked.tags.iter().map(|tag| json!({"key": tag.key, "value": tag.value})).collect();
    done.detail("role_arn", asked.role_arn.as_str());
    done.detail("session_name", asked.session_name.as_str());
    done.detail("source_identity", asked.source_identity.clone());
    done.detail("tags", tags);
    done.detail("session_policies", asked.policy_arns.len() + usize::from(asked.policy.is_some()));
    done.detail("external_id_given", asked.external_id.is_some());
    let granted = assumption.outcome?;
    done.detail("expires_at_secs", granted.expires_at_secs);
    done.detail("source_identity", granted.source_identity.clone());
    Ok(granted)
}

/// An answer that isn't a refusal.
enum Said {
    Xml(Answer),
    Json(String),
}

/// What is spoken with a caller.
#[derive(Clone, Copy)]
enum Spoken {
    /// The Query protocol of a service.
    Xml(Service),
    /// REST-JSON, with Bedrock Runtime.
    Json,
}

fn finish(answered: Result<Said, AwsError>, spoken: Spoken, done: &Done, peer: IpAddr) -> AwsAnswer {
    let request_id = request_id();
    let (status, body, error, error_type) = match (answered, spoken) {
        (Ok(Said::Xml(answer)), _) => (200, answer.xml(&request_id), None, None),
        (Ok(Said::Json(answer)), _) => (200, answer, None, None),
        (Err(error), Spoken::Xml(service)) => (error.status, error.xml(service, &request_id), Some(error), None),
        (Err(error), Spoken::Json) => {
            let (kind, body) = apply_guardrail::error(&error);
            (error.status, body, Some(error), Some(kind))
        }
    };
    let (service, content_type) = match spoken {
        Spoken::Xml(service) => (service.as_str(), "text/xml"),
        Spoken::Json => (apply_guardrail::SERVICE, "application/json"),
    };
    let record = json!({
        "request_id": request_id,
        "service": service,
        "action": done.action.chars().take(TEXT_MAX).collect::<String>(),
        "caller": done.caller,
        "credential_id": done.access_key,
        "source_ip": peer.to_canonical().to_string(),
        "error": error.as_ref().map(|error| json!({"code": error.code, "message": error.message})),
        "detail": done.detail,
        "layers": done.layers,
    });
    let retry_after_ms = error.and_then(|error| error.retry_after_ms);
    let (body, known) = (Zeroizing::new(body), done.caller.is_some());
    AwsAnswer { status, body, content_type, error_type, request_id, retry_after_ms, known, record }
}

/// A random id in the form of a UUID (version 4).
fn request_id() -> String {
    let bits = u128::from_be_bytes(random::<16>().unwrap_or_default());
    let bits = (bits & !(0xf << 76) & !(0x3 << 62)) | (0x4 << 76) | (0x2 << 62);
    let hex = format!("{bits:032x}");
    let part = |from: usize, to: usize| hex.get(from..to).unwrap_or_default();
    format!("{}-{}-{}-{}-{}", part(0, 8), part(8, 12), part(12, 16), part(16, 20), part(20, 32))
}

/// The headers as text. One that isn't can't have been signed by anybody.
pub(crate) fn header_list(headers: &HeaderMap) -> Result<Vec<(&str, &str)>, AwsError> {
    let text = |value: &http::HeaderValue| std::str::from_utf8(value.as_bytes()).is_ok();
    if !headers.values().all(text) {
        return Err(AwsError::new(400, "IncompleteSignature", "A header is not text."));
    }
    Ok(headers.iter().filter_map(|(name, value)| Some((name.as_str(), std::str::from_utf8(value.as_bytes()).ok()?))).collect())
}

/// The parameters: of the body in a POST, of the query in a GET; never of both.
fn read_query(request: &AwsRequest<'_>) -> Result<Query, AwsError> {
    let malformed = |error: form::FormError| AwsError::new(400, "MalformedQueryString", error.to_string());
    let parameters = match request.method {
        "POST" => {
            let kind = request.headers.get(http::header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
            let kind = kind.split(';').next().unwrap_or_default().trim();
            if !kind.eq_ignore_ascii_case("application/x-www-form-urlencoded") {
                return Err(AwsError::new(400, "MalformedQueryString", "the body must be application/x-www-form-urlencoded"));
            }
            if !request.query.is_empty() {
                return Err(AwsError::new(400, "MalformedQueryString", "a POST has its parameters in the body alone"));
            }
            form::parse(request.body).map_err(malformed)?
        }
        "GET" if request.body.is_empty() => {
            let mut parameters = form::parse(request.query.as_bytes()).map_err(malformed)?;
            // Of the signature, and read with it.
            parameters.retain(|name, _| !name.starts_with("X-Amz-"));
            parameters
        }
        _ => return Err(AwsError::new(405, "InvalidAction", "POST, or GET without a body")),
    };
    Query::read(parameters)
}

/// The keys with which whatever is issued in a session is got.
fn got_with(session: &Session) -> Result<Vec<String>, AwsError> {
    lineage(session)
        .ok_or_else(|| AwsError::denied("The session was assumed from too many others: begin with a key of your own."))
}

fn session_elements(answer: &mut Answer, granted: &Granted, pair: &KeyPair) {
    credentials(answer, pair);
    answer.element("AssumedRoleUser", |answer| {
        answer.text("AssumedRoleId", &granted.unique_id).text("Arn", &granted.arn);
    });
    if !granted.policies.is_empty() || !granted.tags.is_empty() {
        answer.text("PackedPolicySize", &packed_percent(pair).to_string());
    }
    if let Some(identity) = &granted.source_identity {
        answer.text("SourceIdentity", identity);
    }
}

/// How much of the largest session token a session's takes, in percent, rounded up.
fn packed_percent(pair: &KeyPair) -> usize {
    pair.session_token.as_ref().map_or(0, |token| (token.len() * 100).div_ceil(sigv4::TOKEN_BYTES_MAX))
}

fn credentials(answer: &mut Answer, pair: &KeyPair) {
    answer.element("Credentials", |answer| {
        answer.text("AccessKeyId", &pair.access_key_id).text("SecretAccessKey", &pair.secret_access_key);
        answer.text("SessionToken", pair.session_token.as_ref().map_or("", |token| token.as_str()));
        answer.text("Expiration", &sigv4::date_time(pair.expires_at_secs));
    });
}

fn failure(error: &dyn std::fmt::Display) -> AwsError {
    AwsError::new(503, "ServiceUnavailable", error.to_string())
}

/// Reading roles and policies, each allowed by the caller's own policies.
struct Reader<'a> {
    snapshot: &'a Snapshot,
    session: &'a Session,
    account: &'a AccountId,
    origin: &'a Origin,
    done: &'a mut Done,
    now_secs: u64,
}

impl<'a> Reader<'a> {
    fn answer(mut self, query: &mut Query) -> Result<Answer, AwsError> {
        let partition = &self.snapshot.organization.partition;
        let action = query.action.clone();
        let mut answer = Answer::new(Service::Iam, &action);
        match action.as_str() {
            "GetRole" => {
                let role = self.role(query)?;
                query.done()?;
                answer.element("Role", |answer| role_elements(answer, role, partition));
            }
            "ListRoles" => {
                let under = paged(query)?;
                self.may("ListRoles", &format!("arn:{partition}:iam::{}:role/", self.account), None)?;
                let roles = self.snapshot.organization.roles.values().filter(|role| role.key.account == *self.account);
                let roles = roles.filter(|role| role.path.starts_with(&under));
                members(&mut answer, "Roles", roles, |answer, role| role_elements(answer, role, partition));
            }
            "ListAttachedRolePolicies" => {
                let role = self.role(query)?;
                // Every managed policy has the path `/`.
                let any = paged(query)? == "/";
                let policies = role.policies.iter().filter(|_| any).filter_map(|policy| Some((policy, policy.arn.as_deref()?)));
                members(&mut answer, "AttachedPolicies", policies, |answer, (policy, arn)| {
                    answer.text("PolicyName", policy.name.as_str()).text("PolicyArn", arn);
                });
            }
            "ListRolePolicies" => {
                let role = self.role(query)?;
                paged(query)?;
                answer.element("PolicyNames", |answer| {
                    for policy in role.policies.iter().filter(|policy| policy.arn.is_none()) {
                        answer.text("member", policy.name.as_str());
                    }
                });
                answer.text("IsTruncated", "false");
            }
            "GetRolePolicy" => {
                let name = named(query, "PolicyName", NAME_CHARS_MAX)?;
                let role = self.role(query)?;
                query.done()?;
                let inline = role.policies.iter().find(|policy| policy.arn.is_none() && policy.name.as_str() == name);
                let inline = inline.ok_or_else(|| no_entity(format!("The role policy with name {name} cannot be found.")))?;
                answer.text("RoleName", role.key.name.as_str()).text("PolicyName", inline.name.as_str());
                answer.text("PolicyDocument", &form::encode(&inline.document));
            }
            "GetPolicy" | "GetPolicyVersion" => self.policy(query, &mut answer)?,
            _ => {
                let shown: String = action.chars().take(80).collect();
                let message = format!("Could not find operation {shown} for version {}", sts::IAM_VERSION);
                return Err(AwsError::new(400, "InvalidAction", message));
            }
        }
        Ok(answer)
    }

    /// Whether the caller may do this to a resource of its account.
    fn may(&mut self, operation: &str, resource: &str, tags: Option<&Tags>) -> Result<(), AwsError> {
        let asked = (resource, self.account, tags);
        let action = format!("iam:{operation}");
        let (allowed, layers) = authorize(self.snapshot, self.session, &action, asked, self.origin, self.now_secs);
        self.done.layers = serde_json::to_value(&layers).unwrap_or_default();
        self.done.detail("resource", resource);
        allowed
    }

    /// The role that a request names, for somebody who may ask.
    fn role(&mut self, query: &mut Query) -> Result<&'a Role, AwsError> {
        let name = named(query, "RoleName", NAME_CHARS_MAX)?;
        let (organization, account) = (&self.snapshot.organization, self.account);
        let partition = &organization.partition;
        let key = RoleName::new(&name).ok().map(|name| RoleKey { account: account.clone(), name });
        let found = key.and_then(|key| organization.roles.get(&key));
        let arn = found.map_or_else(|| format!("arn:{partition}:iam::{account}:role/{name}"), |role| role.arn(partition));
        self.may(&query.action, &arn, found.map(|role| &role.tags))?;
        found.ok_or_else(|| no_entity(format!("The role with name {name} cannot be found.")))
    }

    /// A managed policy: one that Remit ships, or one of the organization's as the caller's account has it.
    fn policy(&mut self, query: &mut Query, answer: &mut Answer) -> Result<(), AwsError> {
        let arn = named(query, "PolicyArn", ARN_CHARS_MAX)?;
        let version = query.take("VersionId");
        query.done()?;
        self.may(&query.action, &arn, None)?;
        let (partition, account) = (&self.snapshot.organization.partition, self.account);
        let policy = arn.rsplit_once(":policy/").and_then(|(_, name)| self.snapshot.organization.policies.get(name));
        let policy = policy.filter(|policy| match &policy.arn {
            Some(shipped) => *shipped == arn,
            None => arn == format!("arn:{partition}:iam::{account}:policy/{}", policy.name),
        });
        let policy = policy.filter(|_| version.as_deref().is_none_or(|version| version == "v1"));
        let policy = policy.ok_or_else(|| no_entity("Policy does not exist or is not attachable.".to_owned()))?;
        if query.action == "GetPolicy" {
            answer.element("Policy", |answer| policy_elements(answer, policy, &arn));
        } else {
            answer.element("PolicyVersion", |answer| {
                answer.text("Document", &form::encode(&policy.document)).text("VersionId", "v1");
                answer.text("IsDefaultVersion", "true").text("CreateDate", CREATE_DATE);
            });
        }
        Ok(())
    }
}

/// A list that is whole.
fn members<T>(answer: &mut Answer, name: &str, all: impl Iterator<Item = T>, one: impl Fn(&mut Answer, T)) {
    answer.element(name, |answer| {
        for item in all {
            answer.element("member", |answer| one(answer, item));
        }
    });
    answer.text("IsTruncated", "false");
}

fn no_entity(what: String) -> AwsError {
    AwsError::new(404, "NoSuchEntity", what)
}

/// A name of limited length.
fn named(query: &mut Query, parameter: &'static str, chars_max: usize) -> Result<String, AwsError> {
    let name = query.need(parameter)?;
    if name.chars().count() > chars_max {
        let message = format!("1 validation error detected: {parameter} must have length less than or equal to {chars_max}");
        return Err(AwsError::validation(message));
    }
    Ok(name)
}

/// Takes what pages an answer, all of which fits into one; answers the path under which is looked.
fn paged(query: &mut Query) -> Result<String, AwsError> {
    query.take("MaxItems");
    let under = query.take("PathPrefix").unwrap_or_else(|| "/".to_owned());
    if query.take("Marker").is_some() {
        return Err(AwsError::validation("There is no such marker: answers are whole."));
    }
    query.done()?;
    Ok(under)
}

fn role_elements(answer: &mut Answer, role: &Role, partition: &str) {
    answer.text("Path", &role.path).text("RoleName", role.key.name.as_str()).text("RoleId", &role.unique_id());
    answer.text("Arn", &role.arn(partition)).text("CreateDate", CREATE_DATE);
    answer.text("AssumeRolePolicyDocument", &form::encode(&role.trust_document));
    answer.text("MaxSessionDuration", &role.session_max_secs.to_string());
    if !role.description.is_empty() {
        answer.text("Description", &role.description);
    }
    if let Some(boundary) = &role.permissions_boundary {
        answer.element("PermissionsBoundary", |answer| {
            answer.text("PermissionsBoundaryType", "Policy");
            answer.text("PermissionsBoundaryArn", boundary.arn.as_deref().unwrap_or_default());
        });
    }
    if !role.tags.is_empty() {
        answer.element("Tags", |answer| {
            for (key, value) in &role.tags {
                answer.element("member", |answer| {
                    answer.text("Key", key).text("Value", value);
                });
            }
        });
    }
}

fn policy_elements(answer: &mut Answer, policy: &Attached, arn: &str) {
    answer.text("PolicyName", policy.name.as_str()).text("Arn", arn).text("Path", "/").text("DefaultVersionId", "v1");
    answer.text("IsAttachable", "true").text("CreateDate", CREATE_DATE).text("UpdateDate", CREATE_DATE);
}
