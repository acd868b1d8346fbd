//! Key pairs that Remit issues: an id, a secret, and for sessions a token that carries the session itself.
//!
//! Nothing is stored for a session: its token is sealed (AES-256-GCM) under a key of the store and bound to the key's id, its secret is a
//! keyed digest of that id. What ends a session early is a revocation, which every decision looks at.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use aws_lc_rs::aead::{AES_256_GCM, Aad, NONCE_LEN, Nonce, RandomizedNonceKey};
use aws_lc_rs::{digest, hmac};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use remit_identity::sigv4::{Claim, Request, SigError};
use remit_identity::sts::Tag;
use remit_kernel::assume::session_policy;
use remit_kernel::{Session, SessionOf};
use remit_model::UserKey;
use serde::{Deserialize, Serialize};
use zeroize::{Zeroize as _, Zeroizing};

use crate::port::{KeyStore, PortError};
use crate::random;

/// The most sessions that are kept open, so that a token is unsealed once.
const OPEN_MAX: usize = 4096;
/// The most signatures that are remembered against being used twice.
const REPLAYS_MAX: usize = 100_000;
/// The prefix of temporary keys, and of a user's own (IAM identifiers).
const TEMPORARY: &str = "ASIA";
const LONG_TERM: &str = "AKIA";

/// A user's own access key, as it is kept.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AccessKey {
    /// Whose it is.
    pub user: UserKey,
    /// When it was made, in seconds since the epoch.
    pub issued_at_secs: u64,
    /// When it ends.
    pub expires_at_secs: u64,
}

/// Where users' own access keys are kept. Their secrets aren't: those follow from the key's id.
pub trait AccessKeyStore: Send + Sync {
    /// The key of this id.
    fn get(&self, id: &str) -> Result<Option<AccessKey>, PortError>;

    /// Keeps a key durably.
    fn put(&self, id: &str, key: &AccessKey) -> Result<(), PortError>;
}

/// A key pair, to be shown to its holder once.
pub struct KeyPair {
    /// Its id.
    pub access_key_id: String,
    /// Its secret.
    pub secret_access_key: Zeroizing<String>,
    /// The session's token; a user's own key has none.
    pub session_token: Option<Zeroizing<String>>,
    /// When it ends, in seconds since the epoch.
    pub expires_at_secs: u64,
}

impl std::fmt::Debug for KeyPair {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("KeyPair").field("access_key_id", &self.access_key_id).finish_non_exhaustive()
    }
}

/// Issues key pairs and knows them again.
pub struct KeyPairs {
    sealing: RandomizedNonceKey,
    secrets: hmac::Key,
    access_keys: Arc<dyn AccessKeyStore>,
    open: Mutex<HashMap<[u8; 32], Arc<Session>>>,
    used: Mutex<HashMap<[u8; 32], u64>>,
}

impl std::fmt::Debug for KeyPairs {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("KeyPairs")
    }
}

/// What a session's token carries.
#[derive(Serialize, Deserialize)]
struct Carried {
    who: SessionOf,
    name: String,
    issued: u64,
    expires: u64,
    chained: bool,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    tags: Vec<(String, String, bool)>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    source_identity: Option<String>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    policies: Vec<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    user: Option<String>,
}

/// A session to be issued.
#[derive(Debug, Clone)]
pub struct Issue {
    /// Whose it is.
    pub who: SessionOf,
    /// Its name.
    pub name: String,
    /// When it begins, in seconds since the epoch.
    pub issued_at_secs: u64,
    /// When it ends.
    pub expires_at_secs: u64,
    /// Whether it was assumed from another session.
    pub chained: bool,
    /// Its tags.
    pub tags: Vec<Tag>,
    /// Who is behind it.
    pub source_identity: Option<String>,
    /// The documents of its session policies.
    pub policies: Vec<String>,
    /// The user whom an identity provider vouched for.
    pub user: Option<String>,
}

impl KeyPairs {
    /// With the key that the store keeps; the first time one is made.
    pub fn new(store: &dyn KeyStore, access_keys: Arc<dyn AccessKeyStore>) -> Result<Self, PortError> {
        let fault = |what: &str| PortError(what.to_owned());
        let master = match store.load()? {
            Some(master) => master,
            None => {
                let mut fresh = random::<32>().ok_or_else(|| fault("the system has no randomness to give"))?;
                let made = Zeroizing::new(fresh.to_vec());
                fresh.zeroize();
                if store.save(None, &made)? { made } else { store.load()?.ok_or_else(|| fault("the session key is gone"))? }
            }
        };
        if master.len() != 32 {
            return Err(fault("the stored session key is damaged"));
        }
        let master = hmac::Key::new(hmac::HMAC_SHA256, &master);
        let derived = |purpose: &str| hmac::sign(&master, purpose.as_bytes());
        let sealing = RandomizedNonceKey::new(&AES_256_GCM, derived("remit session token").as_ref());
        let secrets = hmac::Key::new(hmac::HMAC_SHA256, derived("remit secret access key").as_ref());
        let sealing = sealing.map_err(|_| fault("the session key is not fit"))?;
        Ok(Self { sealing, secrets, access_keys, open: Mutex::default(), used: Mutex::default() })
    }

    /// Issues a session.
    pub fn issue(&self, issue: Issue) -> Result<KeyPair, PortError> {
        let access_key_id = fresh_id(TEMPORARY)?;
        let expires_at_secs = issue.expires_at_secs;
        let carried = Carried {
            who: issue.who,
            name: issue.name,
            issued: issue.issued_at_secs,
            expires: expires_at_secs,
            chained: issue.chained,
            tags: issue.tags.into_iter().map(|tag| (tag.key, tag.value, tag.transitive)).collect(),
            source_identity: issue.source_identity,
            policies: issue.policies,
            user: issue.user,
        };
        let mut sealed = serde_json::to_vec(&carried).map_err(|error| PortError(error.to_string()))?;
        let nonce = self
            .sealing
            .seal_in_place_append_tag(Aad::from(access_key_id.as_bytes()), &mut sealed)
            .map_err(|_| PortError("the session token could not be sealed".into()))?;
        let mut token = nonce.as_ref().to_vec();
        token.append(&mut sealed);
        let session_token = Some(Zeroizing::new(STANDARD.encode(token)));
        let secret_access_key = self.secret(&access_key_id);
        Ok(KeyPair { access_key_id, secret_access_key, session_token, expires_at_secs })
    }

    /// Issues a key of a user's own.
    pub fn issue_access_key(&self, key: &AccessKey) -> Result<KeyPair, PortError> {
        let access_key_id = fresh_id(LONG_TERM)?;
        self.access_keys.put(&access_key_id, key)?;
        let secret_access_key = self.secret(&access_key_id);
        Ok(KeyPair { access_key_id, secret_access_key, session_token: None, expires_at_secs: key.expires_at_secs })
    }

    /// The session whose key signed a request. `once` refuses a signature that was seen before.
    pub fn verify(&self, request: &Request<'_>, claim: &Claim, once: bool, now_secs: u64) -> Result<Arc<Session>, SigError> {
        let session = self.session(claim, now_secs)?;
        claim.verify(request, &self.secret(&claim.access_key_id), now_secs)?;
        if once && !self.first_use(claim, now_secs) {
            return Err(SigError::mismatch("This signature was used before: sign the request anew."));
        }
        Ok(session)
    }

    /// The session that a request's key is of, before its signature is looked at.
    pub fn session(&self, claim: &Claim, now_secs: u64) -> Result<Arc<Session>, SigError> {
        let session = match &claim.session_token {
            Some(token) if claim.access_key_id.starts_with(TEMPORARY) => self.unsealed(&claim.access_key_id, token)?,
            None if claim.access_key_id.starts_with(LONG_TERM) => self.long_term(&claim.access_key_id)?,
            _ => return Err(SigError::unknown_key()),
        };
        if session.expires_at_secs <= now_secs {
            return Err(SigError::expired());
        }
        Ok(session)
    }

    fn unsealed(&self, id: &str, token: &str) -> Result<Arc<Session>, SigError> {
        let mut hash = digest::Context::new(&digest::SHA256);
        hash.update(id.as_bytes());
        hash.update(b"\0");
        hash.update(token.as_bytes());
        let mut key = [0; 32];
        key.copy_from_slice(hash.finish().as_ref());
        if let Some(session) = self.open.lock().unwrap_or_else(PoisonError::into_inner).get(&key) {
            return Ok(Arc::clone(session));
        }
        let session = Arc::new(self.unseal(id, token).ok_or_else(SigError::unknown_key)?);
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        if open.len() >= OPEN_MAX {
            open.clear();
        }
        open.insert(key, Arc::clone(&session));
        Ok(session)
    }

    fn unseal(&self, id: &str, token: &str) -> Option<Session> {
        let mut bytes = STANDARD.decode(token).ok()?;
        let (nonce, sealed) = bytes.split_at_mut_checked(NONCE_LEN)?;
        let nonce = Nonce::try_assume_unique_for_key(nonce).ok()?;
        let plain = self.sealing.open_in_place(nonce, Aad::from(id.as_bytes()), sealed).ok()?;
        let carried: Carried = serde_json::from_slice(plain).ok()?;
        let policies = carried.policies.iter().map(|text| session_policy(text).ok()).collect::<Option<_>>()?;
        let tag = |(key, value, transitive)| Tag { key, value, transitive };
        Some(Session {
            id: id.to_owned(),
            who: carried.who,
            name: carried.name,
            issued_at_secs: carried.issued,
            expires_at_secs: carried.expires,
            chained: carried.chained,
            tags: carried.tags.into_iter().map(tag).collect(),
            source_identity: carried.source_identity,
            policies,
            user: carried.user,
        })
    }

    fn long_term(&self, id: &str) -> Result<Arc<Session>, SigError> {
        // A store that is away denies: nobody is known then.
        let key = self.access_keys.get(id).ok().flatten().ok_or_else(SigError::unknown_key)?;
        Ok(Arc::new(Session {
            id: id.to_owned(),
            name: key.user.name.as_str().to_owned(),
            who: SessionOf::User(key.user),
            issued_at_secs: key.issued_at_secs,
            expires_at_secs: key.expires_at_secs,
            chained: false,
            tags: Vec::new(),
            source_identity: None,
            policies: Vec::new(),
            user: None,
        }))
    }

    fn secret(&self, id: &str) -> Zeroizing<String> {
        let tag = hmac::sign(&self.secrets, id.as_bytes());
        Zeroizing::new(STANDARD.encode(tag.as_ref().get(..30).unwrap_or_default()))
    }

    /// Whether a signature is seen for the first time while it is good. With no room to remember it, it isn't.
    fn first_use(&self, claim: &Claim, now_secs: u64) -> bool {
        let until = claim.signed_at_secs + claim.expires_secs.unwrap_or(0) + 2 * remit_identity::sigv4::SKEW_MAX_SECS;
        let mut used = self.used.lock().unwrap_or_else(PoisonError::into_inner);
        if used.len() >= REPLAYS_MAX {
            used.retain(|_, until| *until >= now_secs);
        }
        used.len() < REPLAYS_MAX && used.insert(claim.signature, until).is_none()
    }
}

/// Whether a key's id is one of a session.
pub(crate) fn is_temporary(id: &str) -> bool {
    id.starts_with(TEMPORARY)
}

/// A key's id: four letters that say its kind, and sixteen of base 32.
fn fresh_id(prefix: &str) -> Result<String, PortError> {
    const ALPHABET: &[u8; 32] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";
    let random = random::<16>().ok_or_else(|| PortError("the system has no randomness to give".into()))?;
    let letters = random.iter().filter_map(|byte| ALPHABET.get(usize::from(byte % 32))).map(|letter| char::from(*letter));
    Ok(prefix.chars().chain(letters).collect())
}
