//! Remit as an OAuth client of an upstream's authorization server, as MCP 2025-11-25 and 2026-07-28 ask: discovery, its checks,
//! and the requests. Nothing is sent here.

use std::collections::BTreeMap;

use aws_lc_rs::digest::{SHA256, digest};
use base64::Engine as _;
use remit_mcp::json::{Limits, scan};
use serde_json::{Map, Value, json};
use zeroize::Zeroizing;

use crate::challenge::Challenge;
use crate::jwk::{KeyError, SigningKey};
use crate::metadata::{WELL_KNOWN_AUTHORIZATION_SERVER, WELL_KNOWN_OPENID, WELL_KNOWN_RESOURCE, origin_and_path, well_known};
use crate::token::ASSERTION_TYPE;
use crate::{base64url_encode, form, jwt};

mod connection;

pub use connection::{AuthMethod, authorization_base, choose_issuer, origin, refresh, same_origin, scope_covers, scope_union};

/// How long a client assertion of ours lives, in seconds.
const ASSERTION_SECS: u64 = 60;
/// The longest token that is taken, in bytes.
const TOKEN_BYTES_MAX: usize = 16 * 1024;
/// The longest client id, client secret or scope that is taken, in bytes.
const NAME_BYTES_MAX: usize = 4 * 1024;

/// Why what an authorization server says isn't accepted. Holds no credential.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ClientError {
    /// Not the JSON document that it should be.
    #[error("the {0} is malformed")]
    Document(&'static str),
    /// The metadata is about another resource (RFC 9728 section 3.3).
    #[error("the protected resource metadata is about `{0}`")]
    Resource(String),
    /// The metadata is another issuer's (RFC 8414 section 3.3).
    #[error("the authorization server metadata is of issuer `{0}`")]
    Issuer(String),
    /// An endpoint without TLS that an `https` document names, or no URL at all.
    #[error("the endpoint `{0}` is refused")]
    Endpoint(String),
    /// Consent would be asked for on the first origin, and the code be taken to the second, with no promise of an `iss`: see
    /// [`ServerMetadata::require_one_origin`].
    #[error("the authorization server asks for consent at `{0}`, takes codes at `{1}`, and promises no `iss`")]
    Apart(String, String),
    /// The server offers nothing that we can do.
    #[error("the authorization server does not offer {0}")]
    Unsupported(&'static str),
    /// The server refused, with this error code.
    #[error("the authorization server refused: `{0}`")]
    Refused(String),
    /// An answer to the redirect URI that isn't the one that was waited for.
    #[error("the authorization response is refused: {0}")]
    Response(&'static str),
}

fn cut(text: &str) -> String {
    text.chars().filter(|c| matches!(c, ' '..='~')).take(200).collect()
}

/// RFC 6749 appendix A: VSCHAR, at least one of it.
fn visible(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| matches!(byte, b' '..=b'~'))
}

pub(crate) fn document(body: &[u8], what: &'static str) -> Result<Value, ClientError> {
    scan(body, Limits { depth_max: 16, keys_max: 2000 }).map_err(|_| ClientError::Document(what))?;
    serde_json::from_slice(body).ok().filter(Value::is_object).ok_or(ClientError::Document(what))
}

fn texts(value: &Value, name: &str) -> Option<Vec<String>> {
    let list = value.get(name)?.as_array()?;
    Some(list.iter().filter_map(Value::as_str).map(str::to_owned).collect())
}

fn text(value: &Value, name: &str) -> Option<String> {
    value.get(name).and_then(Value::as_str).map(str::to_owned)
}

/// A URL that a document names must not lead from TLS to plain text.
fn endpoint(url: String, from: &str) -> Result<String, ClientError> {
    let downgrade = from.starts_with("https://") && !url.starts_with("https://");
    if downgrade || origin_and_path(&url).is_none() { Err(ClientError::Endpoint(cut(&url))) } else { Ok(url) }
}

/// Where the metadata of a protected resource may be, in the order in which to ask (MCP 2025-11-25, "Protected Resource Metadata
/// Discovery Requirements"): what the challenge says, then the well-known path with the resource's path, then at the root.
pub fn resource_metadata_urls(server_url: &str, challenge: Option<&Challenge>) -> Vec<String> {
    let named =
        challenge.and_then(|challenge| challenge.resource_metadata.clone()).and_then(|url| endpoint(url, server_url).ok());
    let root = origin_and_path(server_url).map(|(origin, _)| format!("{origin}{WELL_KNOWN_RESOURCE}"));
    let mut urls: Vec<String> = named.into_iter().chain(well_known(server_url, WELL_KNOWN_RESOURCE)).chain(root).collect();
    urls.dedup();
    urls
}

/// What a protected resource says of itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ResourceMetadata {
    /// Its identifier: the `resource` of a token request.
    pub resource: String,
    /// The issuers whose tokens it takes, at least one.
    pub authorization_servers: Vec<String>,
    /// The scopes that it knows.
    pub scopes_supported: Option<Vec<String>>,
}

impl ResourceMetadata {
    /// Reads the metadata of the server at a URL. It must be about that URL, or about a path above it on the same origin.
    pub fn parse(body: &[u8], server_url: &str) -> Result<Self, ClientError> {
        let value = document(body, "protected resource metadata")?;
        let resource = text(&value, "resource").ok_or(ClientError::Document("protected resource metadata"))?;
        // RFC 9728 section 1.2: an identifier has no fragment.
        if resource.contains('#') || !covers(&resource, server_url) {
            return Err(ClientError::Resource(cut(&resource)));
        }
        let servers = texts(&value, "authorization_servers").filter(|servers| !servers.is_empty());
        let servers = servers.ok_or(ClientError::Document("protected resource metadata"))?;
        let authorization_servers = servers.into_iter().map(|url| endpoint(url, server_url)).collect::<Result<_, _>>()?;
        Ok(Self { resource, authorization_servers, scopes_supported: texts(&value, "scopes_supported") })
    }
}

fn covers(resource: &str, server_url: &str) -> bool {
    let (Some((origin, path)), Some((server_origin, server_path))) = (origin_and_path(resource), origin_and_path(server_url))
    else {
        return false;
    };
    let path = path.trim_end_matches('/');
    origin == server_origin && server_path.strip_prefix(path).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

/// Where the metadata of an issuer may be, in the order in which to ask (MCP 2025-11-25, "Authorization Server Metadata
/// Discovery").
pub fn server_metadata_urls(issuer: &str) -> Vec<String> {
    let has_path = origin_and_path(issuer).is_some_and(|(_, path)| !path.trim_end_matches('/').is_empty());
    let inserted = [WELL_KNOWN_AUTHORIZATION_SERVER, WELL_KNOWN_OPENID].into_iter().filter_map(|path| well_known(issuer, path));
    let appended = has_path.then(|| format!("{}{WELL_KNOWN_OPENID}", issuer.trim_end_matches('/')));
    inserted.chain(appended).collect()
}

/// What an authorization server says of itself.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ServerMetadata {
    /// Its identifier.
    pub issuer: String,
    /// Where tokens are asked for.
    pub token_endpoint: String,
    /// Where a user is sent.
    pub authorization_endpoint: Option<String>,
    /// Where an access token tells who its person is (OpenID Connect Core 1.0, section 5.3).
    pub userinfo_endpoint: Option<String>,
    /// Where clients register themselves (RFC 7591).
    pub registration_endpoint: Option<String>,
    /// How clients may authenticate; absent means `client_secret_basic` (RFC 8414 section 2).
    pub auth_methods: Option<Vec<String>>,
    /// The transformations of PKCE.
    pub code_challenge_methods: Vec<String>,
    /// The scopes that it knows.
    pub scopes_supported: Vec<String>,
    /// Whether its authorization responses carry `iss` (RFC 9207 section 3).
    pub iss_in_responses: bool,
    /// Whether a client id may be the URL of a metadata document.
    pub client_id_documents: bool,
}

impl ServerMetadata {
    /// Reads the metadata that was asked for with this issuer: it must name the same, character by character.
    pub fn parse(body: &[u8], issuer: &str) -> Result<Self, ClientError> {
        const WHAT: &str = "authorization server metadata";
        let value = document(body, WHAT)?;
        let own = text(&value, "issuer").ok_or(ClientError::Document(WHAT))?;
        if own != issuer {
            return Err(ClientError::Issuer(cut(&own)));
        }
        let flag = |name: &str| value.get(name).and_then(Value::as_bool).unwrap_or_default();
        let optional = |name: &str| text(&value, name).map(|url| endpoint(url, issuer)).transpose();
        Ok(Self {
            token_endpoint: optional("token_endpoint")?.ok_or(ClientError::Document(WHAT))?,
            authorization_endpoint: optional("authorization_endpoint")?,
            userinfo_endpoint: optional("userinfo_endpoint")?,
            registration_endpoint: optional("registration_endpoint")?,
            auth_methods: texts(&value, "token_endpoint_auth_methods_supported"),
            code_challenge_methods: texts(&value, "code_challenge_methods_supported").unwrap_or_default(),
            scopes_supported: texts(&value, "scopes_supported").unwrap_or_default(),
            iss_in_responses: flag("authorization_response_iss_parameter_supported"),
            client_id_documents: flag("client_id_metadata_document_supported"),
            issuer: own,
        })
    }

    /// How a client with a secret authenticates here: Basic unless only the body is offered.
    pub fn secret_method(&self) -> SecretMethod {
        let offers = |method: &str| self.auth_methods.as_ref().is_none_or(|methods| methods.iter().any(|one| one == method));
        if !offers("client_secret_basic") && offers("client_secret_post") { SecretMethod::Post } else { SecretMethod::Basic }
    }
}

/// Where a client's secret stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SecretMethod {
    /// In the `Authorization` header.
    Basic,
    /// In the form.
    Post,
}

/// The scope to ask for: the challenge's, else all that the resource supports, else none (MCP 2025-11-25, "Scope Selection
/// Strategy"). What is configured is always asked for, and then stands in for what the resource supports.
pub fn choose_scope(configured: &[String], challenge: Option<&Challenge>, resource: Option<&ResourceMetadata>) -> Option<String> {
    let challenged = challenge.and_then(|challenge| challenge.scope.as_deref());
    let mut scopes: Vec<&str> = configured.iter().map(String::as_str).collect();
    scopes.extend(challenged.unwrap_or_default().split_ascii_whitespace());
    if scopes.is_empty() {
        scopes.extend(resource.and_then(|resource| resource.scopes_supported.as_ref()).into_iter().flatten().map(String::as_str));
    }
    let mut seen = std::collections::BTreeSet::new();
    scopes.retain(|scope| seen.insert(*scope));
    (!scopes.is_empty()).then(|| scopes.join(" "))
}

/// How Remit authenticates as a client.
#[derive(Clone, Copy)]
pub enum ClientAuth<'a> {
    /// A public client.
    None,
    /// With a secret.
    Secret(SecretMethod, &'a str),
    /// With a signed assertion (RFC 7523).
    PrivateKey {
        /// The key.
        key: &'a SigningKey,
        /// Whom the assertion is for: the issuer, or the token endpoint where the issuer isn't known.
        audience: &'a str,
        /// The time, in seconds since the epoch.
        now_secs: u64,
        /// Randomness for the assertion's id.
        random: [u8; 16],
    },
}

/// A request to a token endpoint, ready to be sent. Holds secrets, and shows none.
pub struct TokenCall {
    /// The endpoint.
    pub url: String,
    /// The `Authorization` header.
    pub authorization: Option<Zeroizing<String>>,
    /// The form.
    pub body: Zeroizing<String>,
}

impl std::fmt::Debug for TokenCall {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("TokenCall").field("url", &self.url).finish_non_exhaustive()
    }
}

/// A request for a token by any grant: `parameters` are the grant's own.
pub fn token_call(url: &str, client_id: &str, auth: ClientAuth<'_>, parameters: &[(&str, &str)]) -> Result<TokenCall, KeyError> {
    let mut pairs = parameters.to_vec();
    let assertion;
    let mut authorization = None;
    match auth {
        ClientAuth::None => pairs.push(("client_id", client_id)),
        ClientAuth::Secret(SecretMethod::Basic, secret) => {
            let both = Zeroizing::new(format!("{}:{}", form::encode(client_id), form::encode(secret)));
            let encoded = Zeroizing::new(base64::engine::general_purpose::STANDARD.encode(both.as_bytes()));
            authorization = Some(Zeroizing::new(format!("Basic {}", encoded.as_str())));
        }
        ClientAuth::Secret(SecretMethod::Post, secret) => pairs.extend([("client_id", client_id), ("client_secret", secret)]),
        ClientAuth::PrivateKey { key, audience, now_secs, random } => {
            let mut claims = Map::new();
            claims.insert("iss".into(), client_id.into());
            claims.insert("sub".into(), client_id.into());
            claims.insert("aud".into(), audience.into());
            claims.insert("iat".into(), now_secs.into());
            claims.insert("exp".into(), (now_secs + ASSERTION_SECS).into());
            claims.insert("jti".into(), base64url_encode(&random).into());
            assertion = Zeroizing::new(jwt::sign(key, "JWT", &claims)?);
            pairs.extend([("client_id", client_id), ("client_assertion_type", ASSERTION_TYPE)]);
            pairs.push(("client_assertion", assertion.as_str()));
        }
    }
    let body = Zeroizing::new(form::write(pairs));
    Ok(TokenCall { url: url.to_owned(), authorization, body })
}

/// The parameters of the client credentials grant.
pub fn client_credentials<'a>(scope: Option<&'a str>, resource: &'a str) -> Vec<(&'a str, &'a str)> {
    let mut parameters = vec![("grant_type", "client_credentials"), ("resource", resource)];
    parameters.extend(scope.map(|scope| ("scope", scope)));
    parameters
}

/// A token that was given to us.
pub struct TokenResponse {
    /// The token.
    pub access_token: Zeroizing<String>,
    /// For how long it is good, in seconds, if the server says so.
    pub expires_in_secs: Option<u64>,
    /// Its scope where it isn't what was asked for.
    pub scope: Option<String>,
    /// What a new one can be had with.
    pub refresh_token: Option<Zeroizing<String>>,
}

impl std::fmt::Debug for TokenResponse {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("TokenResponse").field("expires_in_secs", &self.expires_in_secs).finish_non_exhaustive()
    }
}

impl TokenResponse {
    /// Reads the answer of a token endpoint (RFC 6749 sections 5.1 and 5.2).
    pub fn parse(status: u16, body: &[u8]) -> Result<Self, ClientError> {
        const WHAT: &str = "token response";
        let value = document(body, WHAT);
        if status != 200 {
            // The code is a word of a closed grammar; a description could repeat what we sent.
            let code = value.ok().and_then(|value| text(&value, "error")).filter(|code| {
                code.len() <= 64 && code.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_-".contains(&byte))
            });
            return Err(ClientError::Refused(code.unwrap_or_else(|| format!("status {status}"))));
        }
        let value = value?;
        let bearer = text(&value, "token_type").is_some_and(|kind| kind.eq_ignore_ascii_case("bearer"));
        let token = text(&value, "access_token").map(Zeroizing::new);
        let fit = |token: &Zeroizing<String>| {
            (1..=TOKEN_BYTES_MAX).contains(&token.len()) && token.bytes().all(|byte| byte.is_ascii_graphic())
        };
        match token {
            Some(access_token) if bearer && fit(&access_token) => {
                let refresh_token = text(&value, "refresh_token").map(Zeroizing::new);
                let scope = text(&value, "scope").filter(|scope| !scope.trim().is_empty());
                if refresh_token.as_ref().is_some_and(|token| token.len() > TOKEN_BYTES_MAX || !visible(token))
                    || scope.as_ref().is_some_and(|scope| scope.len() > NAME_BYTES_MAX || !visible(scope))
                {
                    return Err(ClientError::Document(WHAT));
                }
                Ok(Self { access_token, expires_in_secs: value.get("expires_in").and_then(Value::as_u64), scope, refresh_token })
            }
            _ => Err(ClientError::Document(WHAT)),
        }
    }
}

/// The secret half of PKCE (RFC 7636), from 32 random bytes.
pub fn pkce_verifier(random: &[u8; 32]) -> Zeroizing<String> {
    Zeroizing::new(base64url_encode(random))
}

/// The public half, with S256.
pub fn pkce_challenge(verifier: &str) -> String {
    base64url_encode(digest(&SHA256, verifier.as_bytes()).as_ref())
}

/// A request for a user's authorization.
#[derive(Debug, Clone)]
pub struct AuthorizationRequest<'a> {
    /// The client id.
    pub client_id: &'a str,
    /// Where the answer goes.
    pub redirect_uri: &'a str,
    /// The scope.
    pub scope: Option<&'a str>,
    /// The resource (RFC 8707).
    pub resource: &'a str,
    /// A random text that ties the answer to the request.
    pub state: &'a str,
    /// The public half of PKCE.
    pub code_challenge: &'a str,
}

impl AuthorizationRequest<'_> {
    /// The address to which the user is sent. Without S256 there is none: MCP forbids to go on.
    pub fn url(&self, server: &ServerMetadata) -> Result<String, ClientError> {
        server.require_s256()?;
        let endpoint = server.authorization_endpoint.as_deref().ok_or(ClientError::Unsupported("an authorization endpoint"))?;
        let mut pairs = vec![
            ("response_type", "code"),
            ("client_id", self.client_id),
            ("redirect_uri", self.redirect_uri),
            ("resource", self.resource),
            ("state", self.state),
            ("code_challenge", self.code_challenge),
            ("code_challenge_method", "S256"),
        ];
        pairs.extend(self.scope.map(|scope| ("scope", scope)));
        // OpenID Connect Core section 11: a refresh token for offline use takes a consent.
        if self.scope.is_some_and(|scope| scope.split(' ').any(|one| one == "offline_access")) {
            pairs.push(("prompt", "consent"));
        }
        let joint = if endpoint.contains('?') { '&' } else { '?' };
        Ok(format!("{endpoint}{joint}{}", form::write(pairs)))
    }
}

/// The code in an authorization response, given the query of the redirect. `state` and `iss` are checked before anything else is
/// believed, an error included (RFC 9207 section 2.4).
pub fn authorization_code(query: &str, state: &str, server: &ServerMetadata) -> Result<Zeroizing<String>, ClientError> {
    let mut query: BTreeMap<String, String> =
        form::parse(query.as_bytes()).map_err(|_| ClientError::Response("malformed query"))?;
    if query.get("state").map(String::as_str) != Some(state) {
        return Err(ClientError::Response("another `state`"));
    }
    match query.get("iss") {
        Some(issuer) if *issuer != server.issuer => return Err(ClientError::Response("another `iss`")),
        None if server.iss_in_responses => return Err(ClientError::Response("no `iss`")),
        _ => {}
    }
    match query.get("error").map(String::as_str) {
        Some("access_denied") => return Err(ClientError::Response("access was denied")),
        Some(_) => return Err(ClientError::Response("the authorization server said no")),
        None => {}
    }
    query.remove("code").map(Zeroizing::new).ok_or(ClientError::Response("no code"))
}

/// The parameters of the authorization code grant.
pub fn code_exchange<'a>(code: &'a str, verifier: &'a str, redirect_uri: &'a str, resource: &'a str) -> Vec<(&'a str, &'a str)> {
    vec![
        ("grant_type", "authorization_code"),
        ("code", code),
        ("code_verifier", verifier),
        ("redirect_uri", redirect_uri),
        ("resource", resource),
    ]
}

/// A scope that asks for a refresh token too, where the authorization server knows of `offline_access`.
pub fn with_offline_access(scope: Option<String>, server: &ServerMetadata) -> Option<String> {
    let offered = server.scopes_supported.iter().any(|one| one == "offline_access");
    match scope {
        Some(scope) if offered && !scope.split(' ').any(|one| one == "offline_access") => Some(format!("{scope} offline_access")),
        None if offered => Some("offline_access".into()),
        scope => scope,
    }
}

/// How Remit is known to an authorization server with which nobody registered it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Registration {
    /// The client id is the URL of Remit's metadata document (draft-ietf-oauth-client-id-metadata-document).
    Document(String),
    /// Register at this endpoint (RFC 7591).
    Dynamic(String),
}

/// Which registration a server admits; a document goes before a registration of which the server keeps state.
pub fn registration(server: &ServerMetadata, document_url: Option<&str>) -> Result<Registration, ClientError> {
    match (document_url, &server.registration_endpoint) {
        (Some(url), _) if server.client_id_documents && url.starts_with("https://") => Ok(Registration::Document(url.to_owned())),
        (_, Some(endpoint)) => Ok(Registration::Dynamic(endpoint.clone())),
        _ => Err(ClientError::Unsupported("a registration that works without an operator")),
    }
}

/// Remit as a client: the body of a registration (RFC 7591 section 2), and with a `client_id` its metadata document.
pub fn client_metadata(client_id: Option<&str>, redirect_uri: &str, auth_method: &str, scope: Option<&str>) -> Value {
    // OpenID Connect Dynamic Client Registration section 2: a web client redirects to `https` and never to loopback.
    let application_type = if redirect_uri.starts_with("https://") { "web" } else { "native" };
    let mut value = json!({
        "client_name": "Remit",
        "redirect_uris": [redirect_uri],
        "grant_types": ["authorization_code", "refresh_token"],
        "response_types": ["code"],
        "token_endpoint_auth_method": auth_method,
        "application_type": application_type,
    });
    if let Some(object) = value.as_object_mut() {
        object.extend(client_id.map(|id| ("client_id".to_owned(), id.into())));
        object.extend(scope.map(|scope| ("scope".to_owned(), scope.into())));
    }
    value
}

/// A client that was registered.
pub struct Registered {
    /// Its id.
    pub client_id: String,
    /// Its secret, unless it is public.
    pub client_secret: Option<Zeroizing<String>>,
    /// How it authenticates, if the server said so.
    pub auth_method: Option<String>,
    /// When the secret ends, in seconds since the epoch; `None` if it doesn't.
    pub secret_ends_secs: Option<u64>,
}

impl std::fmt::Debug for Registered {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Registered").field("client_id", &self.client_id).finish_non_exhaustive()
    }
}

impl Registered {
    /// Reads the answer to a registration (RFC 7591 section 3.2.1).
    pub fn parse(status: u16, body: &[u8]) -> Result<Self, ClientError> {
        const WHAT: &str = "registration response";
        if !matches!(status, 200 | 201) {
            return Err(ClientError::Refused(format!("status {status}")));
        }
        let value = document(body, WHAT)?;
        let fit = |text: &String| text.len() <= NAME_BYTES_MAX && visible(text);
        let client_id = text(&value, "client_id").filter(fit).ok_or(ClientError::Document(WHAT))?;
        let client_secret = match text(&value, "client_secret") {
            Some(secret) if !fit(&secret) => return Err(ClientError::Document(WHAT)),
            secret => secret.map(Zeroizing::new),
        };
        Ok(Self {
            client_id,
            client_secret,
            auth_method: text(&value, "token_endpoint_auth_method"),
            secret_ends_secs: value.get("client_secret_expires_at").and_then(Value::as_u64).filter(|end| *end != 0),
        })
    }
}
