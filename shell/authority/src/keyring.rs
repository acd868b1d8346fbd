//! Remit's signing keys: one signs, those before it verify until their last token is dead.

use std::sync::{Arc, Mutex};

use arc_swap::ArcSwap;
use remit_identity::LEEWAY_SECS;
use remit_identity::access::ACCESS_LIFETIME_SECS;
use remit_identity::jwk::{JwkSet, SigningKey};
use serde_json::{Value, json};
use zeroize::{Zeroize as _, Zeroizing};

use crate::port::{KeyStore, PortError};
use crate::random;

/// How long a key signs, in seconds.
pub const KEY_ROTATION_SECS: u64 = 24 * 60 * 60;
/// How long a key verifies after its successor was made: the last token's life, both clocks' leeway, and a node that is slow to
/// learn of the successor.
const OVERLAP_SECS: u64 = ACCESS_LIFETIME_SECS + 2 * LEEWAY_SECS + 5 * 60;
/// How often the store is asked for a key that isn't known, in seconds.
const RELOAD_INTERVAL_SECS: u64 = 10;

/// Why there are no keys.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum KeyringError {
    /// The store failed.
    #[error("the signing keys could not be kept: {0}")]
    Store(PortError),
    /// What is stored isn't what we stored.
    #[error("the stored signing keys are damaged")]
    Damaged,
    /// No randomness, or the library refused.
    #[error("no signing key could be made")]
    Make,
}

/// The keys at one time.
pub(crate) struct Keys {
    /// The one that signs.
    pub(crate) signing: SigningKey,
    /// Those that verify.
    pub(crate) public: JwkSet,
    /// Those that verify, as a JWK set.
    pub(crate) document: Value,
    made_at_secs: u64,
}

pub(crate) struct Keyring {
    store: Arc<dyn KeyStore>,
    keys: ArcSwap<Keys>,
    /// When the store was last asked; held while it is asked.
    asked_at_secs: Mutex<u64>,
}

struct Stored {
    seed: Zeroizing<[u8; 32]>,
    made_at_secs: u64,
}

impl Keyring {
    pub(crate) fn open(store: Arc<dyn KeyStore>, now_secs: u64) -> Result<Self, KeyringError> {
        let keys = current(&*store, now_secs)?;
        Ok(Self { store, keys: ArcSwap::from_pointee(keys), asked_at_secs: Mutex::new(now_secs) })
    }

    pub(crate) fn keys(&self) -> Arc<Keys> {
        self.keys.load_full()
    }

    /// Makes a new key if the current one is old enough; whether the keys changed. Keys that are due but can't be kept go on
    /// signing: a store that is away for a while must not stop the issuer.
    pub(crate) fn rotate_if_due(&self, now_secs: u64) -> Result<bool, KeyringError> {
        if now_secs.saturating_sub(self.keys.load().made_at_secs) < KEY_ROTATION_SECS {
            return Ok(false);
        }
        self.reload(now_secs)
    }

    /// Asks the store whether another node has made a key; whether the keys changed. At most once in ten seconds.
    pub(crate) fn reload(&self, now_secs: u64) -> Result<bool, KeyringError> {
        let Ok(mut asked_at_secs) = self.asked_at_secs.lock() else { return Ok(false) };
        if now_secs.saturating_sub(*asked_at_secs) < RELOAD_INTERVAL_SECS {
            return Ok(false);
        }
        *asked_at_secs = now_secs;
        let keys = current(&*self.store, now_secs)?;
        let changed = keys.document != self.keys.load().document;
        if changed {
            self.keys.store(Arc::new(keys));
        }
        Ok(changed)
    }
}

/// The stored keys, after a new one was made if that was due.
fn current(store: &dyn KeyStore, now_secs: u64) -> Result<Keys, KeyringError> {
    // Whoever loses the swap finds the winner's key on the second round.
    for _ in 0..4 {
        let old = store.load().map_err(KeyringError::Store)?;
        let mut stored = old.as_ref().map_or(Ok(Vec::new()), |bytes| read(bytes))?;
        let due = stored.first().is_none_or(|newest| now_secs.saturating_sub(newest.made_at_secs) >= KEY_ROTATION_SECS);
        if !due {
            return keys(&stored);
        }
        // A key dies when its successor is old enough, so the newest always stays.
        let mut successor_at_secs = now_secs;
        stored.retain(|key| {
            let lives = now_secs.saturating_sub(successor_at_secs) < OVERLAP_SECS;
            successor_at_secs = key.made_at_secs;
            lives
        });
        let seed = Zeroizing::new(random::<32>().ok_or(KeyringError::Make)?);
        stored.insert(0, Stored { seed, made_at_secs: now_secs });
        if store.save(old.as_ref().map(|bytes| bytes.as_slice()), &write(&stored)).map_err(KeyringError::Store)? {
            return keys(&stored);
        }
    }
    Err(KeyringError::Store(PortError("another node keeps changing them".into())))
}

fn keys(stored: &[Stored]) -> Result<Keys, KeyringError> {
    let mut public = JwkSet::default();
    let mut documents = Vec::new();
    let mut signing = None;
    for key in stored {
        let pair = SigningKey::from_seed(&key.seed).map_err(|_| KeyringError::Make)?;
        public.add(&pair);
        documents.extend(pair.public_jwk());
        if signing.is_none() {
            signing = Some((pair, key.made_at_secs));
        }
    }
    let (signing, made_at_secs) = signing.ok_or(KeyringError::Damaged)?;
    Ok(Keys { signing, public, document: json!({ "keys": documents }), made_at_secs })
}

/// A version byte, then 40 bytes a key: when it was made, and its seed. The newest comes first.
fn write(stored: &[Stored]) -> Zeroizing<Vec<u8>> {
    let mut bytes = Zeroizing::new(Vec::with_capacity(1 + stored.len() * 40));
    bytes.push(1);
    for key in stored {
        bytes.extend_from_slice(&key.made_at_secs.to_be_bytes());
        bytes.extend_from_slice(&*key.seed);
    }
    bytes
}

fn read(bytes: &[u8]) -> Result<Vec<Stored>, KeyringError> {
    let (version, rest) = bytes.split_first().ok_or(KeyringError::Damaged)?;
    if *version != 1 || rest.is_empty() || rest.len() % 40 != 0 {
        return Err(KeyringError::Damaged);
    }
    let one = |chunk: &[u8]| {
        let (made_at, secret) = chunk.split_first_chunk::<8>()?;
        let mut seed: [u8; 32] = secret.try_into().ok()?;
        let stored = Stored { seed: Zeroizing::new(seed), made_at_secs: u64::from_be_bytes(*made_at) };
        seed.zeroize();
        Some(stored)
    };
    rest.chunks(40).map(|chunk| one(chunk).ok_or(KeyringError::Damaged)).collect()
}
