//! The ports: what this crate needs of the rest of Remit.

use std::collections::BTreeMap;
use std::sync::Arc;

use remit_identity::secret::{SecretDigest, client_secret};
use remit_model::{AgentId, Organization, ServerKey, SpaceId};
use zeroize::{Zeroize as _, Zeroizing};

use crate::random;

/// Why a port could not do what was asked; holds nothing secret.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct PortError(pub String);

/// Where the signing keys are kept: one value of opaque bytes, of a few hundred bytes, which is secret and is to be sealed.
///
/// `save` compares and swaps: it stores `new` only if what is stored is still `old` (`None`: nothing), and answers whether it
/// did. What it stored, durably, is what every later `load` answers, on every node. Both may block for some milliseconds: `save` is
/// called once a day, `load` at start and when a token comes whose key isn't known, at most once in ten seconds.
pub trait KeyStore: Send + Sync {
    /// What is stored.
    fn load(&self) -> Result<Option<Zeroizing<Vec<u8>>>, PortError>;

    /// Replaces what is stored.
    fn save(&self, old: Option<&[u8]>, new: &[u8]) -> Result<bool, PortError>;
}

/// The configuration as far as identity goes. Answers from memory: it is asked on every request that isn't in a cache. When an
/// answer changes, `Authenticator::invalidate` is to be called.
pub trait Directory: Send + Sync {
    /// The organization now.
    fn organization(&self) -> Arc<Organization>;

    /// The addresses of its spaces, as tokens must name them.
    fn space_addresses(&self) -> Arc<BTreeMap<SpaceId, String>>;

    /// The digests of an agent's client secrets; several while one replaces another, none if it has none.
    fn client_secret_digests(&self, agent: &AgentId) -> Vec<SecretDigest>;
}

/// Remit's sealed store of secrets.
pub trait SecretStore: Send + Sync {
    /// The secret of this name; `None` if there is none. Errors don't hold it.
    fn get(&self, name: &str) -> Result<Option<Zeroizing<String>>, PortError>;
}

/// Where connections to servers are kept: one value of opaque bytes a server, of a few kilobytes and at most 64 KiB, which is secret
/// and is to be sealed. What `save` stored, durably, is what every later `load` answers. They may block for some milliseconds, and are
/// called when a connection is made, renewed or used for the first time.
pub trait ConnectionStore: Send + Sync {
    /// What is stored for a server.
    fn load(&self, server: &ServerKey) -> Result<Option<Zeroizing<Vec<u8>>>, PortError>;

    /// Replaces what is stored for a server.
    fn save(&self, server: &ServerKey, value: Zeroizing<Vec<u8>>) -> Result<(), PortError>;
}

/// Makes a client secret: the secret, to be shown once, and the digest to be kept.
pub fn client_secret_new() -> Result<(Zeroizing<String>, SecretDigest), PortError> {
    let fault = || PortError("the system has no randomness to give".into());
    let mut bytes = random::<32>().ok_or_else(fault)?;
    let secret = client_secret(&bytes);
    bytes.zeroize();
    let digest = SecretDigest::new(&secret, random().ok_or_else(fault)?);
    Ok((secret, digest))
}
