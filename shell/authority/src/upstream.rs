//! What Remit shows an upstream of itself: secrets, header values, and tokens of the upstream's authorization server.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use http::{HeaderName, HeaderValue, Request, StatusCode, header};
use http_body_util::Full;
use remit_identity::challenge::{self, Challenge};
use remit_identity::client::{
    ClientAuth, ClientError, ResourceMetadata, SecretMethod, ServerMetadata, TokenCall, TokenResponse, choose_scope,
    client_credentials, resource_metadata_urls, server_metadata_urls, token_call,
};
use remit_identity::jwk::{Algorithm, SigningKey};
use remit_model::{Credential, Network, OAuthClient, SecretRef, ServerKey, Transport};
use rustls::ClientConfig;
use zeroize::Zeroizing;

use crate::fetch::{FETCH_TIMEOUT, FetchError, document};
use crate::port::{Directory, SecretStore};
use crate::random;

/// A header that authenticates Remit to a server. Its value is marked sensitive.
pub type Header = (HeaderName, HeaderValue);

/// How long before its end a token is no longer used, in seconds.
const EARLY_SECS: u64 = 30;
/// The life of a token whose server doesn't say, in seconds.
const LIFETIME_DEFAULT_SECS: u64 = 5 * 60;
/// The longest life that is believed, in seconds.
const LIFETIME_MAX_SECS: u64 = 24 * 60 * 60;
/// The largest secret file, in bytes.
const FILE_BYTES_MAX: u64 = 64 * 1024;

/// Why a credential could not be had. Holds no part of it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CredentialError {
    /// The secret is not there.
    #[error("{0}")]
    Missing(String),
    /// The authorization server refused or could not be asked.
    #[error("{0}")]
    Refused(String),
}

impl From<ClientError> for CredentialError {
    fn from(error: ClientError) -> Self {
        Self::Refused(error.to_string())
    }
}

struct Held {
    header: HeaderValue,
    good_until_secs: u64,
    /// What it was asked for with: a changed registration makes it useless.
    client: OAuthClient,
    url: String,
}

#[derive(Default)]
struct Slot {
    held: Mutex<Option<Held>>,
    /// Counts the tokens that were fetched.
    fetched: std::sync::atomic::AtomicU64,
    flight: tokio::sync::Mutex<()>,
}

/// Upstream credentials, read where they are kept or fetched from authorization servers.
pub struct UpstreamCredentials {
    secrets: Arc<dyn SecretStore>,
    directory: Arc<dyn Directory>,
    tls: Arc<ClientConfig>,
    now_secs: Arc<dyn Fn() -> u64 + Send + Sync>,
    slots: Mutex<HashMap<ServerKey, Arc<Slot>>>,
}

impl std::fmt::Debug for UpstreamCredentials {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("UpstreamCredentials")
    }
}

impl UpstreamCredentials {
    /// Credentials with this store and clock. The directory says which network a server's authorization server may be on: the
    /// server's own.
    pub fn new(
        secrets: Arc<dyn SecretStore>,
        directory: Arc<dyn Directory>,
        tls: Arc<ClientConfig>,
        now_secs: Arc<dyn Fn() -> u64 + Send + Sync>,
    ) -> Self {
        Self { secrets, directory, tls, now_secs, slots: Mutex::default() }
    }

    /// The value of a secret. Errors name the reference, never the value. One line break at the end of a file is not part of it.
    pub fn secret(&self, reference: &SecretRef) -> Result<Zeroizing<String>, CredentialError> {
        let missing = |what: String| CredentialError::Missing(what);
        match reference {
            SecretRef::Plain(text) => Ok(Zeroizing::new(text.clone())),
            SecretRef::Stored(name) => match self.secrets.get(name) {
                Ok(Some(secret)) => Ok(secret),
                Ok(None) => Err(missing(format!("the secret `{name}` is not set"))),
                Err(error) => Err(missing(format!("the secret `{name}` could not be read: {error}"))),
            },
            SecretRef::Env(name) => match std::env::var(name) {
                Ok(value) if !value.is_empty() => Ok(Zeroizing::new(value)),
                _ => Err(missing(format!("the environment variable `{name}` is not set"))),
            },
            SecretRef::File(path) => file_secret(path).map_err(missing),
        }
    }

    /// The header for a server; `None` if it needs none. `challenge` is the `WWW-Authenticate` header that the last one earned:
    /// an answer from the cache won't do then.
    pub async fn header(
        &self,
        server: &ServerKey,
        url: &str,
        credential: &Credential,
        challenge: Option<&str>,
    ) -> Result<Option<Header>, CredentialError> {
        match credential {
            Credential::None => Ok(None),
            Credential::Bearer(reference) => {
                let secret = self.secret(reference)?;
                Ok(Some((header::AUTHORIZATION, bearer(&secret)?)))
            }
            Credential::ApiKey { header, value } => {
                let name = HeaderName::from_bytes(header.as_bytes())
                    .map_err(|_| CredentialError::Missing(format!("`{header}` is not a header name")))?;
                Ok(Some((name, sensitive(&self.secret(value)?)?)))
            }
            Credential::OAuth(client) => {
                let value = self.oauth(server, url, client, challenge).await?;
                Ok(Some((header::AUTHORIZATION, value)))
            }
        }
    }

    async fn oauth(
        &self,
        server: &ServerKey,
        url: &str,
        client: &OAuthClient,
        challenge: Option<&str>,
    ) -> Result<HeaderValue, CredentialError> {
        use std::sync::atomic::Ordering;
        let slot = self.slot(server);
        let before = slot.fetched.load(Ordering::Acquire);
        if challenge.is_none()
            && let Some(value) = self.held(&slot, url, client)
        {
            return Ok(value);
        }
        let _flight = slot.flight.lock().await;
        // Whoever waited here takes what the one before fetched, even after a challenge: that one is newer than what earned it.
        if (challenge.is_none() || slot.fetched.load(Ordering::Acquire) != before)
            && let Some(value) = self.held(&slot, url, client)
        {
            return Ok(value);
        }
        let network = self.network(server)?;
        let token = self.token(network, url, client, challenge).await?;
        let value = bearer(&token.access_token)?;
        let lifetime = token.expires_in_secs.unwrap_or(LIFETIME_DEFAULT_SECS).min(LIFETIME_MAX_SECS);
        let good_until_secs = (self.now_secs)().saturating_add(lifetime).saturating_sub(EARLY_SECS);
        if let Ok(mut held) = slot.held.lock() {
            *held = Some(Held { header: value.clone(), good_until_secs, client: client.clone(), url: url.to_owned() });
        }
        slot.fetched.fetch_add(1, Ordering::AcqRel);
        Ok(value)
    }

    fn slot(&self, server: &ServerKey) -> Arc<Slot> {
        match self.slots.lock() {
            Ok(mut slots) => Arc::clone(slots.entry(server.clone()).or_default()),
            Err(_) => Arc::default(),
        }
    }

    fn held(&self, slot: &Slot, url: &str, client: &OAuthClient) -> Option<HeaderValue> {
        let held = slot.held.lock().ok()?;
        let held = held.as_ref().filter(|held| held.client == *client && held.url == url)?;
        ((self.now_secs)() < held.good_until_secs).then(|| held.header.clone())
    }

    fn network(&self, server: &ServerKey) -> Result<Network, CredentialError> {
        match self.directory.organization().servers.get(server).map(|server| &server.transport) {
            Some(Transport::Http { network, .. }) => Ok(*network),
            _ => Err(CredentialError::Refused(format!("the server `{server}` is not registered over HTTP"))),
        }
    }

    async fn token(
        &self,
        network: Network,
        url: &str,
        client: &OAuthClient,
        challenge: Option<&str>,
    ) -> Result<TokenResponse, CredentialError> {
        // A challenge of another kind, or a broken one, says nothing: discovery goes on without.
        let challenge = challenge.and_then(|header| challenge::parse(header).ok());
        let found = match &client.token_endpoint {
            Some(endpoint) => Found { endpoint: endpoint.clone(), server: None, resource: None },
            None => self.discover(network, url, challenge.as_ref(), client.private_key_alg.is_none()).await?,
        };
        let scope = choose_scope(&client.scopes, challenge.as_ref(), found.resource.as_ref());
        let resource = found.resource.as_ref().map_or(url, |resource| resource.resource.as_str());
        let parameters = client_credentials(scope.as_deref(), resource);
        let call = self.call(client, &found, &parameters)?;
        self.send(network, call).await
    }

    fn call(&self, client: &OAuthClient, found: &Found, parameters: &[(&str, &str)]) -> Result<TokenCall, CredentialError> {
        let secret = self.secret(&client.secret)?;
        let refused = |what: &dyn std::fmt::Display| CredentialError::Refused(what.to_string());
        let Some(name) = &client.private_key_alg else {
            let method = found.server.as_ref().map_or(SecretMethod::Basic, ServerMetadata::secret_method);
            let auth = ClientAuth::Secret(method, &secret);
            return token_call(&found.endpoint, &client.client_id, auth, parameters).map_err(|error| refused(&error));
        };
        let algorithm = Algorithm::parse(name).ok_or_else(|| refused(&format!("the algorithm `{name}` is not known")))?;
        let key = SigningKey::from_pem(&secret, algorithm, None).map_err(|error| refused(&error))?;
        let auth = ClientAuth::PrivateKey {
            key: &key,
            audience: found.server.as_ref().map_or(&found.endpoint, |server| &server.issuer),
            now_secs: (self.now_secs)(),
            random: random().ok_or_else(|| refused(&"the system has no randomness to give"))?,
        };
        token_call(&found.endpoint, &client.client_id, auth, parameters).map_err(|error| refused(&error))
    }

    /// Finds the authorization server: the resource's metadata, then the server's (MCP 2025-11-25, "Authorization").
    async fn discover(
        &self,
        network: Network,
        url: &str,
        challenge: Option<&Challenge>,
        shared_secret: bool,
    ) -> Result<Found, CredentialError> {
        let body = self.first(network, resource_metadata_urls(url, challenge), "protected resource metadata").await?;
        let resource = ResourceMetadata::parse(&body, url)?;
        let issuer = resource.authorization_servers.first().cloned().unwrap_or_default();
        let body = self.first(network, server_metadata_urls(&issuer), "authorization server metadata").await?;
        let server = ServerMetadata::parse(&body, &issuer)?;
        // The server itself says who its authorization server is. A secret that anybody can replay goes no further than the
        // server's own host on its word; a signed assertion is bound to its audience and may.
        let host = |url: &str| url.parse::<http::Uri>().ok().and_then(|uri| uri.host().map(str::to_ascii_lowercase));
        if shared_secret && (host(&server.token_endpoint) != host(url) || host(url).is_none()) {
            let what = format!("the server names an authorization server elsewhere (`{issuer}`): register its `token_endpoint`");
            return Err(CredentialError::Refused(what));
        }
        Ok(Found { endpoint: server.token_endpoint.clone(), server: Some(server), resource: Some(resource) })
    }

    /// The first document that is there. One that is there and unfit is an error of its reader, not a reason to ask elsewhere.
    async fn first(&self, network: Network, urls: Vec<String>, what: &str) -> Result<Bytes, CredentialError> {
        let mut fault = format!("there is no place for {what}");
        for url in urls {
            match document(&url, network, &self.tls).await {
                Ok(body) => return Ok(body),
                Err(error @ FetchError::Status { status, .. }) if status.is_client_error() => {
                    fault = format!("no {what}: {error}");
                }
                Err(error) => return Err(CredentialError::Refused(format!("no {what}: {error}"))),
            }
        }
        Err(CredentialError::Refused(fault))
    }

    async fn send(&self, network: Network, call: TokenCall) -> Result<TokenResponse, CredentialError> {
        let mut request = Request::new(Full::new(Bytes::copy_from_slice(call.body.as_bytes())));
        *request.method_mut() = http::Method::POST;
        let headers = request.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/x-www-form-urlencoded"));
        headers.insert(header::ACCEPT, HeaderValue::from_static("application/json"));
        if let Some(authorization) = &call.authorization {
            headers.insert(header::AUTHORIZATION, sensitive(authorization)?);
        }
        let response = remit_egress::fetch(&call.url, network, &self.tls, FETCH_TIMEOUT, request)
            .await
            .map_err(|error| CredentialError::Refused(error.to_string()))?;
        let status = if response.status() == StatusCode::OK { 200 } else { response.status().as_u16() };
        Ok(TokenResponse::parse(status, response.body())?)
    }
}

/// What discovery found.
struct Found {
    endpoint: String,
    server: Option<ServerMetadata>,
    resource: Option<ResourceMetadata>,
}

fn file_secret(path: &str) -> Result<Zeroizing<String>, String> {
    use std::io::Read as _;
    let fault = |error: std::io::Error| format!("the file `{path}` could not be read: {error}");
    let file = std::fs::File::open(path).map_err(fault)?;
    let mut text = Zeroizing::new(String::new());
    file.take(FILE_BYTES_MAX + 1).read_to_string(&mut text).map_err(fault)?;
    if text.len() as u64 > FILE_BYTES_MAX {
        return Err(format!("the file `{path}` is too large for a secret"));
    }
    if text.ends_with('\n') {
        text.pop();
        if text.ends_with('\r') {
            text.pop();
        }
    }
    if text.is_empty() { Err(format!("the file `{path}` is empty")) } else { Ok(text) }
}

fn bearer(token: &str) -> Result<HeaderValue, CredentialError> {
    sensitive(&Zeroizing::new(format!("Bearer {token}")))
}

fn sensitive(text: &str) -> Result<HeaderValue, CredentialError> {
    let mut value =
        HeaderValue::from_str(text).map_err(|_| CredentialError::Missing("the secret holds what no header can".into()))?;
    value.set_sensitive(true);
    Ok(value)
}
