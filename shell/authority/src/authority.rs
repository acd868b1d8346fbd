//! Remit's own issuer.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Response, StatusCode, header};
use remit_identity::jwk::JwkSet;
use remit_identity::token::{ErrorCode, Grant, OAuthError, TokenRequest, World, answer, issuer_of};
use remit_identity::{jwt, metadata};
use remit_model::{AgentCredential, SpaceId};
use rustls::ClientConfig;
use serde_json::Value;
use zeroize::Zeroizing;

use crate::issuers::{IssuerKeys, KeysError};
use crate::keyring::{Keyring, KeyringError, Keys};
use crate::port::{Directory, KeyStore};
use crate::random;

/// Where the token endpoint stands under the issuer's URL.
pub const TOKEN_PATH: &str = "/oauth/token";
/// Where the keys stand under the issuer's URL.
pub const JWKS_PATH: &str = "/oauth/jwks";
/// The most client assertions that are remembered; all of them were signed by registered keys and live 6 minutes at most.
const ASSERTIONS_MAX: usize = 100_000;

/// Remit as an issuer of access tokens.
pub struct Authority {
    issuer: String,
    token_endpoint: String,
    jwks_uri: String,
    keyring: Keyring,
    pub(crate) directory: Arc<dyn Directory>,
    pub(crate) issuer_keys: IssuerKeys,
    /// Ids of client assertions, until when each could be shown again.
    assertions: Mutex<HashMap<String, u64>>,
}

impl std::fmt::Debug for Authority {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Authority").field("issuer", &self.issuer).finish_non_exhaustive()
    }
}

impl Authority {
    /// Opens the issuer with this identifier: a URL without a slash at its end. The first key is made if none is stored.
    pub fn new(
        issuer: &str,
        store: Arc<dyn KeyStore>,
        directory: Arc<dyn Directory>,
        tls: Arc<ClientConfig>,
        now_secs: u64,
    ) -> Result<Self, KeyringError> {
        let issuer = issuer.trim_end_matches('/').to_owned();
        Ok(Self {
            token_endpoint: format!("{issuer}{TOKEN_PATH}"),
            jwks_uri: format!("{issuer}{JWKS_PATH}"),
            issuer,
            keyring: Keyring::open(store, now_secs)?,
            directory,
            issuer_keys: IssuerKeys::new(tls),
            assertions: Mutex::default(),
        })
    }

    /// The issuer identifier.
    pub fn issuer(&self) -> &str {
        &self.issuer
    }

    /// The metadata of the authorization server (RFC 8414).
    pub fn metadata(&self) -> Value {
        metadata::authorization_server(&self.issuer, &self.token_endpoint, &self.jwks_uri)
    }

    /// The keys that verify its tokens, as a JWK set.
    pub fn jwks(&self) -> Value {
        self.keyring.keys().document.clone()
    }

    /// The metadata of a space (RFC 9728), with the external issuers whose tokens its agents show. `None` if there is no such
    /// space.
    pub fn protected_resource(&self, space: &SpaceId) -> Option<Value> {
        let organization = self.directory.organization();
        let addresses = self.directory.space_addresses();
        let (address, found) = (addresses.get(space)?, organization.spaces.get(space)?);
        let agents = found.agents.iter().filter_map(|id| organization.agents.get(id));
        let mut servers = vec![self.issuer.as_str()];
        for credential in agents.flat_map(|agent| &agent.credentials) {
            if let AgentCredential::External { issuer, .. } = credential
                && let Some(issuer) = organization.issuers.get(issuer)
                && !servers.contains(&issuer.url.as_str())
            {
                servers.push(&issuer.url);
            }
        }
        Some(metadata::protected_resource(address, &servers, found.id.as_str()))
    }

    /// The address of a space's metadata: what challenges name. `None` if there is no such space.
    pub fn protected_resource_url(&self, space: &SpaceId) -> Option<String> {
        metadata::well_known(self.directory.space_addresses().get(space)?, metadata::WELL_KNOWN_RESOURCE)
    }

    /// Makes a new signing key if it is time; whether the keys changed. Issuing does this too, so that a schedule is welcome but
    /// not needed.
    pub fn rotate_if_due(&self, now_secs: u64) -> Result<bool, KeyringError> {
        self.keyring.rotate_if_due(now_secs)
    }

    /// Our keys that verify this token. One that isn't known may have been made by another node.
    pub(crate) fn keys_for(&self, token: &jwt::Unverified<'_>, now_secs: u64) -> Result<Arc<Keys>, KeyringError> {
        let keys = self.keyring.keys();
        if !token.key_in(&keys.public) && self.keyring.reload(now_secs)? {
            return Ok(self.keyring.keys());
        }
        Ok(keys)
    }

    /// The token endpoint. Every answer is JSON and is not to be stored (RFC 6749 section 5.1).
    pub async fn token(&self, headers: &HeaderMap, body: &[u8], now_secs: u64) -> Response<Bytes> {
        match self.grant(headers, body, now_secs).await {
            Ok((grant, token)) => respond(StatusCode::OK, &grant.body(&token), None),
            Err(error) => {
                let status = StatusCode::from_u16(error.code.status()).unwrap_or(StatusCode::BAD_REQUEST);
                respond(status, &error.body(), error.www_authenticate())
            }
        }
    }

    async fn grant(&self, headers: &HeaderMap, body: &[u8], now_secs: u64) -> Result<(Grant, String), OAuthError> {
        let invalid = |what: &str| OAuthError::new(ErrorCode::InvalidRequest, what);
        let kind = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
        let kind = kind.split_once(';').map_or(kind, |(kind, _)| kind).trim();
        if !kind.eq_ignore_ascii_case("application/x-www-form-urlencoded") {
            return Err(invalid("the body is not application/x-www-form-urlencoded"));
        }
        let mut shown = headers.get_all(header::AUTHORIZATION).iter();
        let text = |value: &HeaderValue| value.to_str().map(str::to_owned).map_err(|_| invalid("the authorization is malformed"));
        let authorization = shown.next().map(text).transpose()?.map(Zeroizing::new);
        if shown.next().is_some() {
            return Err(invalid("the authorization is given more than once"));
        }
        let request = TokenRequest::parse(authorization.as_ref().map(|text| text.as_str()), body)?;
        self.grant_request(&request, now_secs).await
    }

    async fn grant_request(&self, request: &TokenRequest, now_secs: u64) -> Result<(Grant, String), OAuthError> {
        let busy = |error: &dyn std::fmt::Display| OAuthError::new(ErrorCode::TemporarilyUnavailable, error.to_string());
        let organization = self.directory.organization();
        let spaces = self.directory.space_addresses();
        let issuer_keys = self.gather(request, &organization, now_secs).await?;
        // A store that is away doesn't stop the issuer: the old key goes on signing.
        let _ = self.keyring.rotate_if_due(now_secs);
        let keys = self.keyring.keys();
        let world = World {
            issuer: &self.issuer,
            token_endpoint: &self.token_endpoint,
            organization: &organization,
            spaces: &spaces,
            secret_digests: &|agent| self.directory.client_secret_digests(agent),
            own_keys: &keys.public,
            issuer_keys: &|name| issuer_keys.get(name).cloned(),
            first_use: &|id, until_secs| self.first_use(id, until_secs, now_secs),
            now_secs,
            random: random().ok_or_else(|| busy(&"no randomness"))?,
        };
        let grant = answer(request, &world)?;
        let token = grant.claims.sign(&keys.signing).map_err(|error| busy(&error))?;
        Ok((grant, token))
    }

    /// The keys of the issuers of the tokens in the request.
    async fn gather(
        &self,
        request: &TokenRequest,
        organization: &remit_model::Organization,
        now_secs: u64,
    ) -> Result<BTreeMap<String, Arc<JwkSet>>, OAuthError> {
        let mut gathered = BTreeMap::new();
        for token in request.tokens() {
            let Ok(token) = jwt::parse(token) else { continue };
            if token.issuer() == Some(&self.issuer) {
                // Another node may have signed it with a key that we haven't seen.
                let _ = self.keys_for(&token, now_secs);
                continue;
            }
            let Some(issuer) = token.issuer().and_then(|url| issuer_of(organization, url)) else { continue };
            match self.issuer_keys.keys_for(issuer, &token, now_secs).await {
                Ok(keys) => drop(gathered.insert(issuer.name.clone(), keys)),
                // The kernel of the endpoint finds no key in an empty set and says so.
                Err(KeysError::NoSuchKey) => drop(gathered.insert(issuer.name.clone(), Arc::default())),
                Err(error @ KeysError::Away { .. }) => {
                    return Err(OAuthError::new(ErrorCode::TemporarilyUnavailable, error.to_string()));
                }
            }
        }
        Ok(gathered)
    }

    fn first_use(&self, id: &str, until_secs: u64, now_secs: u64) -> bool {
        let Ok(mut assertions) = self.assertions.lock() else { return false };
        if assertions.len() >= ASSERTIONS_MAX {
            assertions.retain(|_, until| *until > now_secs);
        }
        // Full of live ones: refusing is the safe side.
        if assertions.len() >= ASSERTIONS_MAX || assertions.get(id).is_some_and(|until| *until > now_secs) {
            return false;
        }
        assertions.insert(id.to_owned(), until_secs);
        true
    }
}

fn respond(status: StatusCode, body: &Value, challenge: Option<&'static str>) -> Response<Bytes> {
    let mut response = Response::new(Bytes::from(body.to_string()));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(header::PRAGMA, HeaderValue::from_static("no-cache"));
    if let Some(challenge) = challenge {
        headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static(challenge));
    }
    response
}
