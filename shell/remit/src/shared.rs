//! What is in effect, for those who ask from memory: the organization, the spaces' addresses, the digests of agents' secrets. And the
//! adapters that bind the ports of the other crates to the store and to each other.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use arc_swap::ArcSwap;
use remit_authority::{
    Authenticator, ConnectionStore, Directory, KeyStore, PortError, SecretStore, UpstreamCredentials, client_secret_new,
};
use remit_gateway::{Authenticate, Boxed, CredentialError, Credentials, Header, SignedRequest};
use remit_identity::secret::SecretDigest;
use remit_identity::sigv4;
use remit_kernel::{Fact, Identity};
use remit_model::{AgentCredential, AgentId, Credential, Organization, SecretRef, ServerKey, SpaceId, Transport};
use remit_store::{Note, SqliteStore, Store};
use rustls::ClientConfig;
use zeroize::Zeroizing;

use crate::home::Home;
use crate::now_secs;
use crate::output::Failure;

/// The store's kind of record for the digests of agents' secrets.
const AGENT_SECRET_KIND: &str = "agent_secret";
/// The secret under which the issuer's signing keys are sealed.
const ISSUER_KEYS: &str = "remit.issuer-keys";
/// What a stored secret's name begins with when it is Remit's own.
pub(crate) const RESERVED: &str = "remit.";
/// The secrets under which connections to servers are sealed: `remit.cx.ACCOUNT.NAME`, which a name of 64 bytes has room for.
const CONNECTION: &str = "remit.cx.";
/// The secret under which the key of sessions is kept.
const SESSION_KEYS: &str = "remit.session-keys";

/// What is in effect.
pub(crate) struct Shared {
    address: String,
    pub(crate) store: Arc<SqliteStore>,
    /// One change of secrets at a time: their entries come in the order of what they tell.
    pub(crate) turn: tokio::sync::Mutex<()>,
    organization: ArcSwap<Organization>,
    addresses: ArcSwap<BTreeMap<SpaceId, String>>,
    digests: ArcSwap<HashMap<String, Vec<SecretDigest>>>,
}

impl Shared {
    pub(crate) fn new(address: &str, store: Arc<SqliteStore>) -> Self {
        Self {
            address: address.to_owned(),
            store,
            turn: tokio::sync::Mutex::default(),
            organization: ArcSwap::default(),
            addresses: ArcSwap::default(),
            digests: ArcSwap::default(),
        }
    }

    /// Makes ready what identity is to know of an organization; nothing is in effect yet. Agents that prove themselves by a secret and have
    /// none get one, kept in the data directory.
    pub(crate) fn prepare(&self, organization: &Organization, home: &Home) -> Result<Prepared, Failure> {
        for agent in organization.agents.values() {
            let by_secret = agent.credentials.contains(&AgentCredential::ClientSecret);
            if by_secret && stored_digests(&self.store, agent.id.as_str())?.is_empty() {
                agent_secret_new(&self.store, home, agent.id.as_str())?;
            }
        }
        let mut digests = HashMap::new();
        for agent in organization.agents.keys() {
            digests.insert(agent.as_str().to_owned(), stored_digests(&self.store, agent.as_str())?);
        }
        let addresses =
            organization.spaces.keys().map(|space| (space.clone(), format!("{}/spaces/{space}/mcp", self.address))).collect();
        let organization = Arc::new(organization.clone());
        Ok(Prepared { organization, addresses: Arc::new(addresses), digests: Arc::new(digests) })
    }

    /// Puts what was made ready into effect. It can't fail.
    pub(crate) fn replace(&self, prepared: Prepared) {
        self.digests.store(prepared.digests);
        self.addresses.store(prepared.addresses);
        self.organization.store(prepared.organization);
    }

    /// Keeps an agent's secret, which counts from now on, and none before it. The caller holds `World::reloading`: a change of the
    /// configuration that is being made ready has the digest of before.
    pub(crate) fn replace_secret(&self, agent: &AgentId, digest: &SecretDigest, author: &str) -> Result<(), Failure> {
        agent_digest_put(&self.store, agent.as_str(), digest, author)?;
        self.digests.rcu(|before| {
            let mut digests = HashMap::clone(before);
            digests.insert(agent.as_str().to_owned(), vec![digest.clone()]);
            digests
        });
        Ok(())
    }
}

/// What identity is to know of an organization.
pub(crate) struct Prepared {
    organization: Arc<Organization>,
    addresses: Arc<BTreeMap<SpaceId, String>>,
    digests: Arc<HashMap<String, Vec<SecretDigest>>>,
}

fn store_fault(error: &dyn std::fmt::Display) -> Failure {
    Failure::new(format!("the store failed: {error}"))
}

fn stored_digests(store: &SqliteStore, agent: &str) -> Result<Vec<SecretDigest>, Failure> {
    let Some(record) = store.get(AGENT_SECRET_KIND, agent).map_err(|error| store_fault(&error))? else { return Ok(Vec::new()) };
    let text = String::from_utf8(record.body).map_err(|error| store_fault(&error))?;
    Ok(SecretDigest::parse(&text).into_iter().collect())
}

/// Makes a new secret for an agent: its digest goes to the store, the secret to a file of the data directory. Answers where.
pub(crate) fn agent_secret_new(store: &SqliteStore, home: &Home, agent: &str) -> Result<std::path::PathBuf, Failure> {
    let (secret, digest) = client_secret_new().map_err(|error| Failure::new(error.to_string()))?;
    // What can't be written leaves the file of the secret that counts.
    agent_digest_put(store, agent, &digest, "remit")?;
    home.keep_agent_secret(agent, &secret)
}

fn agent_digest_put(store: &SqliteStore, agent: &str, digest: &SecretDigest, author: &str) -> Result<(), Failure> {
    let current = store.get(AGENT_SECRET_KIND, agent).map_err(|error| store_fault(&error))?;
    let note = Note { author, reason: "new client secret", now_secs: now_secs() };
    let version = current.map(|record| record.version);
    let put = store.put(AGENT_SECRET_KIND, agent, version, digest.to_text().as_bytes(), note);
    put.map(drop).map_err(|error| store_fault(&error))
}

/// For the sample organization: the secrets that its servers need are made up, since its servers are ours.
pub(crate) fn sample_secrets(store: &SqliteStore, organization: &Organization) -> Result<(), Failure> {
    for server in organization.servers.values() {
        let Transport::Http { credential: Credential::Bearer(secret) | Credential::ApiKey { value: secret, .. }, .. } =
            &server.transport
        else {
            continue;
        };
        let SecretRef::Stored(name) = secret else { continue };
        if store.secret_get(name).map_err(|error| store_fault(&error))?.is_none() {
            let (value, _) = client_secret_new().map_err(|error| Failure::new(error.to_string()))?;
            let value = Zeroizing::new(value.as_bytes().to_vec());
            store.secret_put(name, &value, now_secs()).map_err(|error| store_fault(&error))?;
        }
    }
    Ok(())
}

impl Directory for Shared {
    fn organization(&self) -> Arc<Organization> {
        self.organization.load_full()
    }

    fn space_addresses(&self) -> Arc<BTreeMap<SpaceId, String>> {
        self.addresses.load_full()
    }

    fn client_secret_digests(&self, agent: &AgentId) -> Vec<SecretDigest> {
        self.digests.load().get(agent.as_str()).cloned().unwrap_or_default()
    }
}

/// The issuer's signing keys, sealed in the store.
pub(crate) struct IssuerKeys(pub(crate) Arc<SqliteStore>);

/// The key under which sessions are sealed, itself sealed in the store.
pub(crate) struct SessionKeys(pub(crate) Arc<SqliteStore>);

impl KeyStore for SessionKeys {
    fn load(&self) -> Result<Option<Zeroizing<Vec<u8>>>, PortError> {
        kept(&self.0, SESSION_KEYS)
    }

    fn save(&self, old: Option<&[u8]>, new: &[u8]) -> Result<bool, PortError> {
        keep(&self.0, SESSION_KEYS, old, new)
    }
}

fn kept(store: &SqliteStore, name: &str) -> Result<Option<Zeroizing<Vec<u8>>>, PortError> {
    store.secret_get(name).map_err(|error| PortError(error.to_string()))
}

/// The data directory has one writer, the gateway that holds its journal's lock: comparing and then writing is enough here.
fn keep(store: &SqliteStore, name: &str, old: Option<&[u8]>, new: &[u8]) -> Result<bool, PortError> {
    if kept(store, name)?.as_ref().map(|bytes| bytes.as_slice()) != old {
        return Ok(false);
    }
    let new = Zeroizing::new(new.to_vec());
    store.secret_put(name, &new, now_secs()).map_err(|error| PortError(error.to_string()))?;
    Ok(true)
}

impl KeyStore for IssuerKeys {
    fn load(&self) -> Result<Option<Zeroizing<Vec<u8>>>, PortError> {
        kept(&self.0, ISSUER_KEYS)
    }

    fn save(&self, old: Option<&[u8]>, new: &[u8]) -> Result<bool, PortError> {
        keep(&self.0, ISSUER_KEYS, old, new)
    }
}

/// Secrets of servers, from the store.
struct StoredSecrets(Arc<SqliteStore>);

impl SecretStore for StoredSecrets {
    fn get(&self, name: &str) -> Result<Option<Zeroizing<String>>, PortError> {
        // What Remit keeps for itself is no server's secret.
        if name.starts_with(RESERVED) {
            return Ok(None);
        }
        let fault = |error: &dyn std::fmt::Display| PortError(error.to_string());
        let Some(bytes) = self.0.secret_get(name).map_err(|error| fault(&error))? else { return Ok(None) };
        let text = std::str::from_utf8(&bytes).map_err(|_| PortError(format!("the secret `{name}` is not text")))?;
        Ok(Some(Zeroizing::new(text.to_owned())))
    }
}

/// Connections to servers, sealed in the store.
struct StoredConnections(Arc<SqliteStore>);

fn connection_name(server: &ServerKey) -> String {
    format!("{CONNECTION}{}.{}", server.account, server.name)
}

impl ConnectionStore for StoredConnections {
    fn load(&self, server: &ServerKey) -> Result<Option<Zeroizing<Vec<u8>>>, PortError> {
        self.0.secret_get(&connection_name(server)).map_err(|error| PortError(error.to_string()))
    }

    fn save(&self, server: &ServerKey, value: Zeroizing<Vec<u8>>) -> Result<(), PortError> {
        self.0.secret_put(&connection_name(server), &value, now_secs()).map_err(|error| PortError(error.to_string()))
    }
}

/// Upstream credentials over the store. `redirect_uri` is where a person's browser comes back to.
pub(crate) fn upstream_credentials(
    store: &Arc<SqliteStore>,
    directory: Arc<Shared>,
    tls: Arc<ClientConfig>,
    redirect_uri: &str,
) -> Arc<UpstreamCredentials> {
    let secrets = Arc::new(StoredSecrets(Arc::clone(store)));
    let connections = Arc::new(StoredConnections(Arc::clone(store)));
    Arc::new(UpstreamCredentials::new(secrets, connections, directory, tls, Arc::new(now_secs), redirect_uri))
}

/// The authenticator behind the data plane's port.
pub(crate) struct Identities(pub(crate) Arc<Authenticator>);

impl Authenticate for Identities {
    fn authenticate<'a>(&'a self, authorization: Option<&'a str>, now_secs: u64) -> Boxed<'a, Fact<Identity>> {
        Box::pin(self.0.authenticate(authorization, now_secs))
    }

    fn has_key(&self, request: &SignedRequest<'_>, now_secs: u64) -> bool {
        with_headers(request, |request| self.0.has_key(request, now_secs)).unwrap_or(false)
    }

    fn signed(&self, request: &SignedRequest<'_>, now_secs: u64) -> Fact<Identity> {
        let signed = with_headers(request, |signed| self.0.signed(signed, request.audience, now_secs));
        signed.unwrap_or_else(|| Fact::Known(Identity::Rejected("a header is not text".to_owned())))
    }
}

/// A signed request with its headers as texts; `None` if one is no text.
fn with_headers<T>(request: &SignedRequest<'_>, then: impl FnOnce(&sigv4::Request<'_>) -> T) -> Option<T> {
    let texts = request.headers.iter().map(|(name, value)| Some((name.as_str(), std::str::from_utf8(value.as_bytes()).ok()?)));
    let headers: Vec<(&str, &str)> = texts.collect::<Option<_>>()?;
    let SignedRequest { method, path, query, body, .. } = *request;
    Some(then(&sigv4::Request { method, path, query, headers: &headers, body }))
}

/// Upstream credentials behind the data plane's port.
pub(crate) struct ServerCredentials(pub(crate) Arc<UpstreamCredentials>);

fn credential_error(error: remit_authority::CredentialError) -> CredentialError {
    match error {
        remit_authority::CredentialError::Missing(what) => CredentialError::Missing(what),
        remit_authority::CredentialError::Refused(what) => CredentialError::Refused(what),
    }
}

impl Credentials for ServerCredentials {
    fn secret(&self, reference: &SecretRef) -> Result<Zeroizing<String>, CredentialError> {
        self.0.secret(reference).map_err(credential_error)
    }

    fn header<'a>(
        &'a self,
        server: &'a ServerKey,
        url: &'a str,
        credential: &'a Credential,
        challenge: Option<&'a str>,
    ) -> Boxed<'a, Result<Option<Header>, CredentialError>> {
        Box::pin(async move { self.0.header(server, url, credential, challenge).await.map_err(credential_error) })
    }
}
