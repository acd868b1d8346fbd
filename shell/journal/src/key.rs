//! The key that signs the journal's checkpoints.

use std::fmt;

use aws_lc_rs::rand;
use remit_tlog::{NoteError, Signer};
use zeroize::Zeroizing;

/// An Ed25519 seed: wiped from memory when dropped, never shown. Where it is kept (a 0600 file) is the caller's business.
#[derive(Clone)]
pub struct SigningKey {
    seed: Zeroizing<[u8; SigningKey::SEED_BYTES]>,
}

impl SigningKey {
    /// The length of a seed in bytes.
    pub const SEED_BYTES: usize = 32;

    /// The key of a stored seed.
    pub fn from_seed(seed: &[u8; Self::SEED_BYTES]) -> Self {
        Self { seed: Zeroizing::new(*seed) }
    }

    /// A new key from the system's random source; `None` if that fails.
    pub fn generate() -> Option<Self> {
        let mut seed = Zeroizing::new([0; Self::SEED_BYTES]);
        rand::fill(seed.as_mut()).ok()?;
        Some(Self { seed })
    }

    /// The seed, to be stored.
    pub fn seed(&self) -> &[u8; Self::SEED_BYTES] {
        &self.seed
    }

    /// The public half as a vkey under the name `origin`.
    pub fn verifier_key(&self, origin: &str) -> Result<String, NoteError> {
        self.signer(origin).map(|signer| signer.verifier().to_string())
    }

    pub(crate) fn signer(&self, origin: &str) -> Result<Signer, NoteError> {
        Signer::from_seed(origin, &self.seed)
    }
}

impl fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SigningKey(redacted)")
    }
}
