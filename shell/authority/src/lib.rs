//! The I/O around `remit-identity`.
//!
//! - [`Authority`]: Remit as an issuer of access tokens: signing keys, the token endpoint, metadata;
//! - [`Authenticator`]: who calls: tokens of ours and of external issuers become a [`remit_kernel::Principal`];
//! - [`KeyPairs`] and [`TokenService`]: short-lived sessions of roles, and the AWS endpoint that issues them;
//! - [`SignIns`]: people who come to the console, vouched for by its OpenID provider;
//! - [`UpstreamCredentials`]: what Remit shows an upstream of itself: secrets, headers, OAuth tokens.
//!
//! What it needs of the rest of Remit stands in tiny ports: [`KeyStore`], [`Directory`], [`SecretStore`], [`ConnectionStore`].

mod apply_guardrail;
mod authenticator;
mod authority;
mod fetch;
mod issuers;
mod keypair;
mod keyring;
mod port;
mod sign_in;
mod sts;
mod upstream;
mod verified;

pub use authenticator::Authenticator;
pub use authority::{Authority, JWKS_PATH, TOKEN_PATH};
pub use issuers::{IssuerKeys, KeysError};
pub use keypair::{AccessKey, AccessKeyStore, Issue, KeyPair, KeyPairs};
pub use keyring::{KEY_ROTATION_SECS, KeyringError};
pub use port::{ConnectionStore, Directory, KeyStore, PortError, SecretStore, client_secret_new};
pub use sign_in::{SignInError, SignIns};
pub use sts::{AwsAnswer, AwsRequest, Boxed, InEffect, TokenService, in_scope};
pub use upstream::{
    ATTEMPT_SECS, Begun, ConnectionState, ConnectionStatus, Consent, CredentialError, Header, Progress, RedirectError,
    UpstreamCredentials,
};

/// The system's clock, in seconds since the epoch: the one that callers without one of their own pass on.
pub fn system_now_secs() -> u64 {
    std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).map_or(0, |since| since.as_secs())
}

/// Random bytes; `None` if the system has none to give.
pub(crate) fn random<const LEN: usize>() -> Option<[u8; LEN]> {
    let mut bytes = [0; LEN];
    aws_lc_rs::rand::fill(&mut bytes).ok()?;
    Some(bytes)
}
