//! Tokens that were verified, by their SHA-256, so that a token is verified once.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, RwLock};

use aws_lc_rs::digest::{SHA256, digest};
use remit_kernel::Principal;

/// How many shards, so that many threads rarely meet.
const SHARDS: usize = 16;
/// The most tokens of one shard.
const SHARD_TOKENS_MAX: usize = 4096;

/// The digest of a token.
pub(crate) type TokenDigest = [u8; 32];

#[derive(Debug, Default)]
pub(crate) struct Verified {
    shards: [RwLock<HashMap<TokenDigest, Arc<Principal>>>; SHARDS],
    generation: AtomicU64,
}

pub(crate) fn token_digest(token: &str) -> TokenDigest {
    let mut bytes = [0; 32];
    bytes.copy_from_slice(digest(&SHA256, token.as_bytes()).as_ref());
    bytes
}

impl Verified {
    fn shard(&self, key: &TokenDigest) -> Option<&RwLock<HashMap<TokenDigest, Arc<Principal>>>> {
        let [first, ..] = key;
        self.shards.get(usize::from(*first) % SHARDS)
    }

    pub(crate) fn get(&self, key: &TokenDigest, now_secs: u64) -> Option<Arc<Principal>> {
        let shard = self.shard(key)?.read().ok()?;
        shard.get(key).filter(|principal| now_secs < principal.expires_at_secs).cloned()
    }

    /// Names the present, for [`Self::put`].
    pub(crate) fn generation(&self) -> u64 {
        self.generation.load(Ordering::Acquire)
    }

    /// Keeps what was verified, unless everything was dropped since: it was then verified against what no longer holds.
    pub(crate) fn put(&self, key: TokenDigest, principal: Arc<Principal>, generation: u64, now_secs: u64) {
        let Some(Ok(mut shard)) = self.shard(&key).map(RwLock::write) else { return };
        // Looked at under the lock that `clear` takes after it has counted up.
        if self.generation() != generation {
            return;
        }
        if shard.len() >= SHARD_TOKENS_MAX {
            shard.retain(|_, principal| now_secs < principal.expires_at_secs);
        }
        if shard.len() >= SHARD_TOKENS_MAX {
            shard.clear();
        }
        shard.insert(key, principal);
    }

    pub(crate) fn clear(&self) {
        self.generation.fetch_add(1, Ordering::AcqRel);
        for shard in &self.shards {
            if let Ok(mut shard) = shard.write() {
                shard.clear();
            }
        }
    }
}
