//! Client secrets: 256 random bits, shown once, kept as a salted digest.
//!
//! A digest without a work factor is enough because nobody can guess 256 bits; the salt keeps equal secrets apart.

use aws_lc_rs::constant_time::verify_slices_are_equal;
use aws_lc_rs::digest::{Context, SHA256};
use zeroize::Zeroizing;

use crate::{base64url, base64url_encode};

/// What every secret starts with, so that scanners of source code find one that leaked.
const PREFIX: &str = "rmt_";

/// The salted digest of a client secret.
#[derive(Clone, PartialEq, Eq)]
pub struct SecretDigest {
    salt: [u8; 16],
    digest: [u8; 32],
}

impl std::fmt::Debug for SecretDigest {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("SecretDigest")
    }
}

/// A new secret from 32 random bytes.
pub fn client_secret(random: &[u8; 32]) -> Zeroizing<String> {
    Zeroizing::new(format!("{PREFIX}{}", base64url_encode(random)))
}

impl SecretDigest {
    /// The digest of a secret under a random salt.
    pub fn new(secret: &str, salt: [u8; 16]) -> Self {
        let mut context = Context::new(&SHA256);
        context.update(b"remit client secret v1\0");
        context.update(&salt);
        context.update(secret.as_bytes());
        let mut digest = [0; 32];
        digest.copy_from_slice(context.finish().as_ref());
        Self { salt, digest }
    }

    /// Whether this is the secret, in constant time.
    pub fn matches(&self, secret: &str) -> bool {
        let other = Self::new(secret, self.salt);
        verify_slices_are_equal(&self.digest, &other.digest).is_ok()
    }

    /// The form that is stored.
    pub fn to_text(&self) -> String {
        format!("v1.{}.{}", base64url_encode(&self.salt), base64url_encode(&self.digest))
    }

    /// Reads the form that is stored.
    pub fn parse(text: &str) -> Option<Self> {
        let (salt, digest) = text.strip_prefix("v1.")?.split_once('.')?;
        Some(Self { salt: base64url(salt)?.try_into().ok()?, digest: base64url(digest)?.try_into().ok()? })
    }
}
