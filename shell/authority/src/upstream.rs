//! What Remit shows an upstream of itself: secrets, header values, and tokens of the upstream's authorization server.

mod connect;
mod connection;
mod exchange;
mod kept;

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use http::{HeaderName, HeaderValue, header};
use remit_identity::challenge;
use remit_identity::client::{
    AuthMethod, ClientError, SecretMethod, ServerMetadata, TokenResponse, choose_scope, client_credentials, same_origin,
};
use remit_model::{Credential, Network, OAuthClient, SecretRef, ServerKey, Transport};
use rustls::ClientConfig;
use zeroize::Zeroizing;

use crate::port::{ConnectionStore, Directory, SecretStore};
use connection::Connections;
use exchange::{Identity, Proof};

pub use connect::{ATTEMPT_SECS, Begun, Consent, Progress, RedirectError};
pub use connection::{ConnectionState, ConnectionStatus};

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
    connections: Connections,
}

impl std::fmt::Debug for UpstreamCredentials {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("UpstreamCredentials")
    }
}

impl UpstreamCredentials {
    /// Credentials with these stores and this clock. The directory says which network a server's authorization server may be on: the
    /// server's own. `redirect_uri` is where a person's browser brings the answer to a request for consent:
    /// [`UpstreamCredentials::redirected`].
    pub fn new(
        secrets: Arc<dyn SecretStore>,
        connections: Arc<dyn ConnectionStore>,
        directory: Arc<dyn Directory>,
        tls: Arc<ClientConfig>,
        now_secs: Arc<dyn Fn() -> u64 + Send + Sync>,
        redirect_uri: &str,
    ) -> Self {
        let connections = Connections::new(connections, redirect_uri);
        Self { secrets, directory, tls, now_secs, slots: Mutex::default(), connections }
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
            Credential::AuthorizationCode(client) => {
                let value = self.connected(server, url, client, challenge).await?;
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
        let (endpoint, server, resource) = if let Some(endpoint) = &client.token_endpoint {
            (endpoint.clone(), None, None)
        } else {
            let resource = self.resource(network, url, challenge.as_ref()).await?;
            let resource = resource.ok_or_else(|| refused("the server publishes no protected resource metadata"))?;
            let issuer = resource.authorization_servers.first().cloned().unwrap_or_default();
            let server = self.issuer(network, &issuer).await?;
            // The server itself says who its authorization server is. A secret that anybody can replay goes no further than the
            // server's own origin on its word; a signed assertion is bound to its audience and may.
            if client.private_key_alg.is_none() && !near(network, &server.token_endpoint, url) {
                let what = "the server names an authorization server elsewhere";
                return Err(refused(format!("{what} (`{issuer}`): register its `token_endpoint`")));
            }
            (server.token_endpoint.clone(), Some(server), Some(resource))
        };
        let scope = choose_scope(&client.scopes, challenge.as_ref(), resource.as_ref());
        let name = resource.as_ref().map_or(url, |resource| resource.resource.as_str());
        let parameters = client_credentials(scope.as_deref(), name);
        let method = match client.private_key_alg {
            Some(_) => AuthMethod::PrivateKey,
            None => AuthMethod::Secret(server.as_ref().map_or(SecretMethod::Basic, ServerMetadata::secret_method)),
        };
        let identity = Identity {
            client_id: &client.client_id,
            method,
            proof: Proof::Configured(&client.secret, client.private_key_alg.as_deref()),
            audience: server.as_ref().map_or(&endpoint, |server| &server.issuer),
        };
        self.ask(network, &endpoint, &identity, &parameters).await
    }
}

/// Whether an endpoint is so near to its server that a secret may go there on the server's word: on the same origin. On the loopback
/// network, where a server and its authorization server are two ports of one name, scheme and host must be the same.
fn near(network: Network, endpoint: &str, url: &str) -> bool {
    let place = |url: &str| {
        let uri: http::Uri = url.parse().ok()?;
        Some((uri.scheme_str()?.to_ascii_lowercase(), uri.host()?.to_ascii_lowercase()))
    };
    same_origin(endpoint, url) || (network == Network::Loopback && place(endpoint).is_some_and(|at| place(url) == Some(at)))
}

fn refused(what: impl Into<String>) -> CredentialError {
    CredentialError::Refused(what.into())
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_stays_on_the_origin_of_the_server() {
        let server = "https://mcp.example:443/mcp";
        for network in [Network::Public, Network::Private] {
            assert!(near(network, "https://MCP.example/token", server));
            for endpoint in
                ["https://mcp.example:8443/token", "http://mcp.example/token", "https://login.mcp.example/token", "/token"]
            {
                assert!(!near(network, endpoint, server), "{endpoint}");
            }
            assert!(!near(network, "http://127.0.0.1:9/token", "http://127.0.0.1:8/mcp"));
        }
        // On this machine an authorization server is a port of its own.
        assert!(near(Network::Loopback, "http://127.0.0.1:9/token", "http://127.0.0.1:8/mcp"));
        for endpoint in ["http://localhost:8/token", "https://127.0.0.1:8/token", "http://127.0.0.2:8/token", "/token"] {
            assert!(!near(Network::Loopback, endpoint, "http://127.0.0.1:8/mcp"), "{endpoint}");
        }
        assert!(!near(Network::Loopback, "/token", "/mcp"));
    }
}
