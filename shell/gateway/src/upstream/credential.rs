//! What Remit shows an upstream of itself. The agent's own credential never gets here.

use std::future::Future;
use std::pin::Pin;

use http::{HeaderName, HeaderValue};
use remit_model::{Credential, SecretRef, ServerKey};
use zeroize::Zeroizing;

/// A header that authenticates Remit to a server. Its value is marked sensitive, so no debug output shows it.
pub type Header = (HeaderName, HeaderValue);

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

/// Where upstream credentials come from.
pub trait Credentials: Send + Sync {
    /// The value of a secret. Errors name the reference, never the value.
    fn secret(&self, reference: &SecretRef) -> Result<Zeroizing<String>, CredentialError>;

    /// The header for a server; `None` if it needs none. `challenge` is the `WWW-Authenticate` header of a 401 or 403 that the last
    /// one earned: an answer from a cache won't do then.
    fn header<'a>(
        &'a self,
        server: &'a ServerKey,
        url: &'a str,
        credential: &'a Credential,
        challenge: Option<&'a str>,
    ) -> Pin<Box<dyn Future<Output = Result<Option<Header>, CredentialError>> + Send + 'a>>;
}
