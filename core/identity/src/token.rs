//! The token endpoint as a pure function: a form and what is known go in, an access token's claims or an OAuth error come out.
//!
//! Grants: client credentials (RFC 6749 section 4.4) and token exchange (RFC 8693). `resource` (RFC 8707) must name one space.

use std::collections::BTreeMap;

use base64::Engine as _;
use remit_model::{Agent, AgentCredential, AgentId, Issuer, Organization, SpaceId, ToolClass};
use serde_json::{Value, json};
use zeroize::Zeroizing;

use crate::access::{ACCESS_LIFETIME_SECS, ACCESS_TYP, AccessClaims, class_scopes, scope_class, scope_class_max};
use crate::form::{self, FormError};
use crate::jwk::JwkSet;
use crate::jwt::{self, JwtError, Token};
use crate::rule::agent_of;
use crate::secret::SecretDigest;
use crate::{LEEWAY_SECS, base64url_encode};

/// `grant_type` of client credentials.
pub const GRANT_CLIENT_CREDENTIALS: &str = "client_credentials";
/// `grant_type` of token exchange (RFC 8693 section 2.1).
pub const GRANT_TOKEN_EXCHANGE: &str = "urn:ietf:params:oauth:grant-type:token-exchange";
/// `client_assertion_type` of `private_key_jwt` (RFC 7523 section 2.2).
pub const ASSERTION_TYPE: &str = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";
/// The type of an access token (RFC 8693 section 3).
pub const TYPE_ACCESS_TOKEN: &str = "urn:ietf:params:oauth:token-type:access_token";
const TYPE_ID_TOKEN: &str = "urn:ietf:params:oauth:token-type:id_token";
const TYPE_JWT: &str = "urn:ietf:params:oauth:token-type:jwt";
/// How far ahead a client assertion may expire, in seconds.
pub const ASSERTION_LIFETIME_SECS: u64 = 5 * 60;
/// Types of external tokens that we take: a token made for something else, such as a logout token, is none (RFC 8725 section 3.11).
pub const EXTERNAL_TYPS: [Option<&str>; 3] = [None, Some("JWT"), Some(ACCESS_TYP)];

/// An error code of the token endpoint (RFC 6749 section 5.2, RFC 8707 section 2).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ErrorCode {
    /// Malformed, or a parameter is missing or twice.
    InvalidRequest,
    /// The client didn't authenticate.
    InvalidClient,
    /// The subject's or the actor's token isn't good for this.
    InvalidGrant,
    /// The client may not.
    UnauthorizedClient,
    /// A grant that isn't offered.
    UnsupportedGrantType,
    /// `resource` names no space that the client may ask for.
    InvalidTarget,
    /// A scope that doesn't exist or would widen.
    InvalidScope,
    /// Something that is needed can't be asked now.
    TemporarilyUnavailable,
}

impl ErrorCode {
    /// The word in the answer.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::InvalidRequest => "invalid_request",
            Self::InvalidClient => "invalid_client",
            Self::InvalidGrant => "invalid_grant",
            Self::UnauthorizedClient => "unauthorized_client",
            Self::UnsupportedGrantType => "unsupported_grant_type",
            Self::InvalidTarget => "invalid_target",
            Self::InvalidScope => "invalid_scope",
            Self::TemporarilyUnavailable => "temporarily_unavailable",
        }
    }

    /// The HTTP status that carries it.
    pub fn status(self) -> u16 {
        match self {
            Self::InvalidClient => 401,
            Self::TemporarilyUnavailable => 503,
            _ => 400,
        }
    }
}

/// An answer of the token endpoint that isn't a token.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{}: {description}", code.as_str())]
pub struct OAuthError {
    /// The code.
    pub code: ErrorCode,
    /// What is wrong, for the client's developer; never a credential.
    pub description: String,
}

impl OAuthError {
    /// An error.
    pub fn new(code: ErrorCode, description: impl Into<String>) -> Self {
        Self { code, description: description.into() }
    }

    /// The JSON body. The description keeps to the characters that RFC 6749 section 5.2 admits.
    pub fn body(&self) -> Value {
        let plain: String =
            self.description.chars().map(|c| if matches!(c, ' '..='~') && c != '"' && c != '\\' { c } else { '?' }).collect();
        json!({ "error": self.code.as_str(), "error_description": plain })
    }

    /// The `WWW-Authenticate` header that goes with it, if any.
    pub fn www_authenticate(&self) -> Option<&'static str> {
        (self.code == ErrorCode::InvalidClient).then_some("Basic realm=\"remit\", charset=\"UTF-8\"")
    }
}

use ErrorCode::{
    InvalidClient, InvalidGrant, InvalidRequest, InvalidScope, InvalidTarget, TemporarilyUnavailable, UnauthorizedClient,
    UnsupportedGrantType,
};

fn refuse<T>(code: ErrorCode, description: impl Into<String>) -> Result<T, OAuthError> {
    Err(OAuthError::new(code, description))
}

/// How the client says who it is.
enum Proof {
    None,
    Secret { client: String, secret: Zeroizing<String> },
    Assertion { client: Option<String>, assertion: Zeroizing<String> },
}

/// A request to the token endpoint, read but not judged.
pub struct TokenRequest {
    form: BTreeMap<String, String>,
    proof: Proof,
}

impl std::fmt::Debug for TokenRequest {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("TokenRequest").field("grant_type", &self.form.get("grant_type")).finish_non_exhaustive()
    }
}

impl TokenRequest {
    /// Reads the `Authorization` header and the form.
    pub fn parse(authorization: Option<&str>, body: &[u8]) -> Result<Self, OAuthError> {
        let mut form = form::parse(body).map_err(|error| match &error {
            FormError::Duplicate(name) if matches!(name.as_str(), "resource" | "audience") => {
                OAuthError::new(InvalidTarget, "a token is for exactly one resource")
            }
            _ => OAuthError::new(InvalidRequest, error.to_string()),
        })?;
        let proof = proof(authorization, &mut form)?;
        Ok(Self { form, proof })
    }

    /// The tokens of others that it carries, whose issuers' keys must be gathered before it can be answered.
    pub fn tokens(&self) -> impl Iterator<Item = &str> {
        ["subject_token", "actor_token"].into_iter().filter_map(|name| self.get(name))
    }

    fn get(&self, name: &str) -> Option<&str> {
        self.form.get(name).map(String::as_str)
    }

    fn require(&self, name: &'static str) -> Result<&str, OAuthError> {
        self.get(name).ok_or_else(|| OAuthError::new(InvalidRequest, format!("`{name}` is missing")))
    }
}

/// A client authenticates in one way only (RFC 6749 section 2.3).
fn proof(authorization: Option<&str>, form: &mut BTreeMap<String, String>) -> Result<Proof, OAuthError> {
    let client = form.get("client_id").cloned();
    let secret = form.remove("client_secret").map(Zeroizing::new);
    let assertion = form.remove("client_assertion").map(Zeroizing::new);
    let ways = [authorization.is_some(), secret.is_some(), assertion.is_some()];
    if ways.into_iter().filter(|way| *way).count() > 1 {
        return refuse(InvalidRequest, "the client authenticates in more than one way");
    }
    if let Some(authorization) = authorization {
        let (id, secret) =
            basic(authorization).ok_or_else(|| OAuthError::new(InvalidClient, "the authorization is no client's"))?;
        if client.is_some_and(|client| client != id) {
            return refuse(InvalidRequest, "`client_id` is not the client that authenticates");
        }
        return Ok(Proof::Secret { client: id, secret });
    }
    if let Some(secret) = secret {
        let client = client.ok_or_else(|| OAuthError::new(InvalidRequest, "`client_id` is missing"))?;
        return Ok(Proof::Secret { client, secret });
    }
    match (assertion, form.get("client_assertion_type").map(String::as_str)) {
        (Some(assertion), Some(ASSERTION_TYPE)) => Ok(Proof::Assertion { client, assertion }),
        (None, None) => Ok(Proof::None),
        _ => refuse(InvalidRequest, "`client_assertion` and `client_assertion_type` don't fit"),
    }
}

/// Reads HTTP Basic (RFC 7617) whose parts are form-encoded (RFC 6749 section 2.3.1).
fn basic(authorization: &str) -> Option<(String, Zeroizing<String>)> {
    let (scheme, encoded) = authorization.split_once(' ')?;
    if !scheme.eq_ignore_ascii_case("basic") {
        return None;
    }
    let decoded = Zeroizing::new(base64::engine::general_purpose::STANDARD.decode(encoded.trim()).ok()?);
    let (client, secret) = std::str::from_utf8(&decoded).ok()?.split_once(':')?;
    Some((form::decode(client)?, Zeroizing::new(form::decode(secret)?)))
}

/// What is known when a request is answered.
pub struct World<'a> {
    /// Remit's issuer identifier.
    pub issuer: &'a str,
    /// The address of the token endpoint.
    pub token_endpoint: &'a str,
    /// The organization.
    pub organization: &'a Organization,
    /// The addresses of its spaces.
    pub spaces: &'a BTreeMap<SpaceId, String>,
    /// The digests of an agent's client secrets; several while one replaces another.
    pub secret_digests: &'a dyn Fn(&AgentId) -> Vec<SecretDigest>,
    /// Remit's own keys.
    pub own_keys: &'a JwkSet,
    /// The keys of external issuers by their names; an issuer whose keys couldn't be had is absent.
    pub issuer_keys: &'a dyn Fn(&str) -> Option<std::sync::Arc<JwkSet>>,
    /// Notes a client assertion's id until a time; whether it is new (RFC 7523 section 3).
    pub first_use: &'a dyn Fn(&str, u64) -> bool,
    /// The time, in seconds since the epoch.
    pub now_secs: u64,
    /// Randomness for the token's id.
    pub random: [u8; 16],
}

/// A request that is granted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Grant {
    /// What the access token says.
    pub claims: AccessClaims,
    /// Whether it answers a token exchange.
    pub exchange: bool,
}

impl Grant {
    /// The body of the answer, with the token signed (RFC 6749 section 5.1, RFC 8693 section 2.2.1).
    pub fn body(&self, token: &str) -> Value {
        let lifetime = self.claims.expires_at_secs.saturating_sub(self.claims.issued_at_secs);
        let mut body = json!({ "access_token": token, "token_type": "Bearer", "expires_in": lifetime });
        if let Some(object) = body.as_object_mut() {
            if self.exchange {
                object.insert("issued_token_type".into(), TYPE_ACCESS_TOKEN.into());
            }
            if let Some(scope) = &self.claims.scope {
                object.insert("scope".into(), scope.as_str().into());
            }
        }
        body
    }
}

/// Answers a request.
pub fn answer(request: &TokenRequest, world: &World<'_>) -> Result<Grant, OAuthError> {
    let exchange = match request.require("grant_type")? {
        GRANT_CLIENT_CREDENTIALS => false,
        GRANT_TOKEN_EXCHANGE => true,
        _ => return refuse(UnsupportedGrantType, "the grant is not offered"),
    };
    let client = client(request, world)?;
    let mut limits = Limits { expires_at_secs: world.now_secs + ACCESS_LIFETIME_SECS, class_max: None };
    let (agent, user) = if exchange {
        delegation(request, world, client, &mut limits)?
    } else {
        (client.ok_or_else(|| OAuthError::new(InvalidClient, "the client did not authenticate"))?, None)
    };
    if agent.suspended {
        return refuse(UnauthorizedClient, "the agent is suspended");
    }
    if limits.expires_at_secs <= world.now_secs {
        return refuse(InvalidGrant, JwtError::Expired.to_string());
    }
    let audience = target(request, world, &agent.id)?;
    let scope = scope(request.get("scope"), limits.class_max)?;
    let claims = AccessClaims {
        issuer: world.issuer.to_owned(),
        agent: agent.id.clone(),
        user,
        audience,
        issued_at_secs: world.now_secs,
        expires_at_secs: limits.expires_at_secs,
        id: base64url_encode(&world.random),
        scope,
    };
    Ok(Grant { claims, exchange })
}

/// How far the tokens that were shown reach.
struct Limits {
    expires_at_secs: u64,
    class_max: Option<ToolClass>,
}

impl Limits {
    fn narrow(&mut self, expires_at_secs: u64, class_max: Option<ToolClass>) {
        self.expires_at_secs = self.expires_at_secs.min(expires_at_secs);
        self.class_max = match (self.class_max, class_max) {
            (Some(a), Some(b)) => Some(a.min(b)),
            (a, b) => a.or(b),
        };
    }
}

/// The space that the token is for. One that the agent isn't admitted to is told from one that doesn't exist by nobody.
fn target(request: &TokenRequest, world: &World<'_>, agent: &AgentId) -> Result<String, OAuthError> {
    let wanted = match (request.get("resource"), request.get("audience")) {
        (Some(resource), Some(audience)) if resource != audience => {
            return refuse(InvalidTarget, "`resource` and `audience` name different things");
        }
        (Some(one), _) | (None, Some(one)) => one,
        (None, None) => return refuse(InvalidTarget, "`resource` is missing: it names the space's address"),
    };
    let admitted = |id: &SpaceId| world.organization.spaces.get(id).is_some_and(|space| space.agents.contains(agent));
    let known = world.spaces.iter().any(|(id, address)| address == wanted && admitted(id));
    if known { Ok(wanted.to_owned()) } else { refuse(InvalidTarget, "`resource` is no space's address that the agent may enter") }
}

/// The scope of the token: what was asked for, which may not reach beyond the limit.
fn scope(asked: Option<&str>, limit: Option<ToolClass>) -> Result<Option<String>, OAuthError> {
    let Some(asked) = asked else { return Ok(limit.map(|class| class_scopes(class).join(" "))) };
    let mut scopes = Vec::new();
    for scope in asked.split(' ') {
        let Some(class) = scope_class(scope) else { return refuse(InvalidScope, "a scope is not known") };
        if limit.is_some_and(|limit| class > limit) {
            return refuse(InvalidScope, "a scope reaches beyond the token that was shown");
        }
        if !scopes.contains(&scope) {
            scopes.push(scope);
        }
    }
    Ok(Some(scopes.join(" ")))
}

/// The agent that authenticates as the client, if one tries to.
fn client<'a>(request: &TokenRequest, world: &World<'a>) -> Result<Option<&'a Agent>, OAuthError> {
    match &request.proof {
        Proof::None => Ok(None),
        Proof::Secret { client, secret } => secret_client(client, secret, world).map(Some),
        Proof::Assertion { client, assertion } => assertion_client(client.as_deref(), assertion, world).map(Some),
    }
}

fn secret_client<'a>(client: &str, secret: &str, world: &World<'a>) -> Result<&'a Agent, OAuthError> {
    let agent = world.organization.agents.get(client).filter(|agent| agent.credentials.contains(&AgentCredential::ClientSecret));
    let digests = agent.map(|agent| (world.secret_digests)(&agent.id)).unwrap_or_default();
    // Somebody who isn't there costs the same work as somebody who is: the time doesn't tell who exists.
    let decoy = SecretDigest::new("", [0; 16]).matches(secret);
    let matched = digests.iter().fold(false, |matched, digest| digest.matches(secret) | matched);
    match agent {
        Some(agent) if matched && !decoy => Ok(agent),
        _ => refuse(InvalidClient, "the client or its secret is not known"),
    }
}

/// `private_key_jwt` (RFC 7523 section 3).
fn assertion_client<'a>(client: Option<&str>, assertion: &str, world: &World<'a>) -> Result<&'a Agent, OAuthError> {
    let fault = |error: JwtError| OAuthError::new(InvalidClient, format!("the client assertion is refused: {error}"));
    let unverified = jwt::parse(assertion).map_err(fault)?;
    let subject = unverified.subject().ok_or_else(|| fault(JwtError::Missing("sub")))?.to_owned();
    let agent = world.organization.agents.get(subject.as_str());
    let sets = agent.into_iter().flat_map(|agent| &agent.credentials).filter_map(|credential| match credential {
        AgentCredential::Jwks(text) => JwkSet::parse(text.as_bytes()).ok(),
        AgentCredential::ClientSecret | AgentCredential::External { .. } | AgentCredential::Role { .. } => None,
    });
    // A key of an agent is in one of its sets; one without any is like an agent that isn't there.
    let keys = sets.into_iter().find(|set| unverified.key_in(set)).ok_or_else(|| fault(JwtError::Key))?;
    let agent = agent.ok_or_else(|| fault(JwtError::Key))?;
    let token = unverified.verify(&keys).map_err(fault)?;
    token.typ_is(&[None, Some("JWT"), Some("client-authentication+jwt")]).map_err(fault)?;
    token.issuer_is(&subject).map_err(fault)?;
    if client.is_some_and(|client| client != subject) {
        return refuse(InvalidClient, "`client_id` is not the client that authenticates");
    }
    // Every audience must be ours: an assertion that is good elsewhere too could be replayed there (RFC 7523bis).
    let ours = |audience: &&str| *audience == world.issuer || *audience == world.token_endpoint;
    if !token.audiences().map_err(fault)?.iter().all(ours) {
        return Err(fault(JwtError::Audience));
    }
    let times = token.times(world.now_secs).map_err(fault)?;
    if times.expires_at_secs > world.now_secs + ASSERTION_LIFETIME_SECS + LEEWAY_SECS {
        return refuse(InvalidClient, "the client assertion is refused: it expires more than 5 minutes ahead");
    }
    let id = token.text("jti").map_err(fault)?;
    if !(world.first_use)(&format!("{subject}\n{id}"), times.expires_at_secs + LEEWAY_SECS) {
        return refuse(InvalidClient, "the client assertion is refused: it was used before");
    }
    Ok(agent)
}

/// Token exchange: who acts, and for whom.
fn delegation<'a>(
    request: &TokenRequest,
    world: &World<'a>,
    client: Option<&'a Agent>,
    limits: &mut Limits,
) -> Result<(&'a Agent, Option<String>), OAuthError> {
    let known = [TYPE_ACCESS_TOKEN, TYPE_JWT, TYPE_ID_TOKEN];
    if request.get("requested_token_type").is_some_and(|asked| asked != TYPE_ACCESS_TOKEN && asked != TYPE_JWT) {
        return refuse(InvalidRequest, "`requested_token_type` is not offered");
    }
    let actor = match (request.get("actor_token"), request.get("actor_token_type")) {
        (None, None) => None,
        (Some(token), Some(kind)) if known.contains(&kind) => Some(actor(token, world, limits)?),
        _ => return refuse(InvalidRequest, "`actor_token` and `actor_token_type` don't fit"),
    };
    let agent = match (client, actor) {
        (Some(client), Some(actor)) if client.id != actor.id => {
            return refuse(InvalidGrant, "the actor is not the client that authenticates");
        }
        (Some(agent), _) | (None, Some(agent)) => agent,
        (None, None) => return refuse(InvalidClient, "the client did not authenticate"),
    };
    let subject = request.require("subject_token")?;
    if !known.contains(&request.require("subject_token_type")?) {
        return refuse(InvalidRequest, "`subject_token_type` is not taken");
    }
    let (issuer, token) = external(subject, world, "subject")?;
    if !issuer.users {
        return refuse(InvalidGrant, "the subject token's issuer may not name users");
    }
    let fault = |error: JwtError| OAuthError::new(InvalidGrant, format!("the subject token is refused: {error}"));
    // Who may act can be said in the subject's token (RFC 8693 section 4.4).
    if let Some(allowed) = token.claims().get("may_act")
        && allowed.get("sub").and_then(Value::as_str) != Some(agent.id.as_str())
    {
        return refuse(InvalidGrant, "the subject token names another actor in `may_act`");
    }
    limits.narrow(token.times(world.now_secs).map_err(fault)?.expires_at_secs, narrowing(&token).map_err(fault)?);
    // A subject is unique only together with its issuer (OpenID Connect Core section 5.7).
    let user = format!("{}/{}", issuer.name, token.text("sub").map_err(fault)?);
    Ok((agent, Some(user)))
}

/// The agent that an actor token speaks for: a token of ours, or an external one whose claims fit the agent.
fn actor<'a>(token: &str, world: &World<'a>, limits: &mut Limits) -> Result<&'a Agent, OAuthError> {
    let fault = |error: JwtError| OAuthError::new(InvalidGrant, format!("the actor token is refused: {error}"));
    let unverified = jwt::parse(token).map_err(fault)?;
    let id = if unverified.issuer() == Some(world.issuer) {
        let claims = AccessClaims::verify(unverified, world.issuer, world.own_keys, world.now_secs).map_err(fault)?;
        if claims.user.is_some() {
            return refuse(InvalidGrant, "the actor token is itself a delegation");
        }
        limits.narrow(claims.expires_at_secs, claims.class_max());
        claims.agent
    } else {
        let (issuer, token) = external(token, world, "actor")?;
        limits.narrow(token.times(world.now_secs).map_err(fault)?.expires_at_secs, narrowing(&token).map_err(fault)?);
        agent_of(world.organization, &issuer.name, token.claims())
            .map_err(|error| OAuthError::new(InvalidGrant, format!("the actor token is refused: {error}")))?
    };
    world.organization.agents.get(&id).ok_or_else(|| OAuthError::new(InvalidGrant, "the actor is not known"))
}

/// The scopes of ours in an external token's `scope`; one of other words doesn't narrow.
pub fn narrowing(token: &Token) -> Result<Option<ToolClass>, JwtError> {
    Ok(token.text_if_any("scope")?.and_then(scope_class_max))
}

/// The issuer of this organization with this identifier.
pub fn issuer_of<'a>(organization: &'a Organization, url: &str) -> Option<&'a Issuer> {
    organization.issuers.values().find(|issuer| issuer.url == url)
}

/// Verifies an external token: signature, type, issuer, times, and that nobody acts in it already.
pub fn verify_external(token: jwt::Unverified<'_>, issuer: &Issuer, keys: &JwkSet, now_secs: u64) -> Result<Token, JwtError> {
    let token = token.verify(keys)?;
    token.typ_is(&EXTERNAL_TYPS)?;
    token.issuer_is(&issuer.url)?;
    token.times(now_secs)?;
    // An actor inside would make a chain, or an agent's claims would be taken from a token that is about a user.
    if token.claims().contains_key("act") {
        return Err(JwtError::Claim("act"));
    }
    Ok(token)
}

fn external<'a>(token: &str, world: &World<'a>, part: &str) -> Result<(&'a Issuer, Token), OAuthError> {
    let fault = |error: JwtError| OAuthError::new(InvalidGrant, format!("the {part} token is refused: {error}"));
    let unverified = jwt::parse(token).map_err(fault)?;
    let issuer = unverified.issuer().and_then(|url| issuer_of(world.organization, url)).ok_or_else(|| fault(JwtError::Issuer))?;
    let Some(keys) = (world.issuer_keys)(&issuer.name) else {
        return refuse(TemporarilyUnavailable, format!("the keys of issuer `{}` could not be had", issuer.name));
    };
    let token = verify_external(unverified, issuer, &keys, world.now_secs).map_err(|error| match error {
        JwtError::Claim("act") => OAuthError::new(InvalidGrant, format!("the {part} token is itself a delegation")),
        error => fault(error),
    })?;
    let ours = |audience: &&str| {
        *audience == world.issuer
            || *audience == world.token_endpoint
            || issuer.audiences.iter().any(|one| one == audience)
            || world.spaces.values().any(|one| one == audience)
    };
    if !token.audiences().map_err(fault)?.iter().any(ours) {
        return Err(fault(JwtError::Audience));
    }
    Ok((issuer, token))
}
