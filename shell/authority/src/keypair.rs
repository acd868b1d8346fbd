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
/// The most signatures that are remembered against being used twice: five minutes of 3,000 a second.
const USES_MAX: usize = 1 << 20;
/// How long after its first use a signature may still be somebody's honest second one, in seconds: clients sign whole seconds.
const SAME_SECOND_SECS: u64 = 2;
/// The longest wait that such a client is told, in milliseconds: what botocore listens to.
const RETRY_AFTER_MAX_MS: u64 = 5000;
/// The most keys that a session may have been got with, one after the other.
const VIA_MAX: usize = 16;
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
    /// When this memory of signatures begins: what was signed before may have been used before.
    since_secs: u64,
    uses: Mutex<Uses>,
}

/// The signatures that were used, as long as they are good, by their first sixteen bytes.
#[derive(Default)]
struct Uses {
    seen: HashMap<[u8; 16], Use>,
    swept_at_secs: u64,
}

/// The first use of a signature.
struct Use {
    at_secs: u64,
    until_secs: u64,
    /// How often it came again.
    again: u64,
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
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    via: Vec<String>,
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
    /// The ids of the keys that it was got with, the first one first ([`lineage`]): it ends with any of them.
    pub via: Vec<String>,
}

impl KeyPairs {
    /// With the key that the store keeps; the first time one is made.
    pub fn new(store: &dyn KeyStore, access_keys: Arc<dyn AccessKeyStore>) -> Result<Self, PortError> {
        let fault = |what: &str| PortError(what.to_owned());
        let master = if let Some(master) = store.load()? {
            master
        } else {
            let mut fresh = random::<32>().ok_or_else(|| fault("the system has no randomness to give"))?;
            let made = Zeroizing::new(fresh.to_vec());
            fresh.zeroize();
            if store.save(None, &made)? { made } else { store.load()?.ok_or_else(|| fault("the session key is gone"))? }
        };
        if master.len() != 32 {
            return Err(fault("the stored session key is damaged"));
        }
        let master = hmac::Key::new(hmac::HMAC_SHA256, &master);
        let derived = |purpose: &str| hmac::sign(&master, purpose.as_bytes());
        let sealing = RandomizedNonceKey::new(&AES_256_GCM, derived("remit session token").as_ref());
        let secrets = hmac::Key::new(hmac::HMAC_SHA256, derived("remit secret access key").as_ref());
        let sealing = sealing.map_err(|_| fault("the session key is not fit"))?;
        let since_secs = crate::system_now_secs();
        Ok(Self { sealing, secrets, access_keys, open: Mutex::default(), since_secs, uses: Mutex::default() })
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
            via: issue.via,
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

    /// The session whose key signed a request. `once` is for requests that take effect: those are signed in their headers, and a
    /// signature is good for one of them.
    pub fn verify(&self, request: &Request<'_>, claim: &Claim, once: bool, now_secs: u64) -> Result<Arc<Session>, SigError> {
        let session = self.session(claim, now_secs)?;
        claim.verify(request, &self.secret(&claim.access_key_id), now_secs)?;
        if once {
            self.first_use(claim, now_secs)?;
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
        if let Some(known) = self.open.lock().unwrap_or_else(PoisonError::into_inner).get(&key) {
            return Ok(Arc::clone(known));
        }
        let known = Arc::new(self.unseal(id, token).ok_or_else(SigError::unknown_key)?);
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        if open.len() >= OPEN_MAX {
            open.clear();
        }
        open.insert(key, Arc::clone(&known));
        Ok(known)
    }

    fn unseal(&self, id: &str, token: &str) -> Option<Session> {
        let mut bytes = STANDARD.decode(token).ok()?;
        let (nonce, sealed) = bytes.split_at_mut_checked(NONCE_LEN)?;
        let nonce = Nonce::try_assume_unique_for_key(nonce).ok()?;
        let plain = self.sealing.open_in_place(nonce, Aad::from(id.as_bytes()), sealed).ok()?;
        let carried: Carried = serde_json::from_slice(plain).ok()?;
        let policies = carried.policies.iter().map(|text| session_policy(text).ok()).collect::<Option<_>>()?;
        let tag = |(key, value, transitive)| Tag { key, value, transitive };
        let session = Session {
            id: id.to_owned(),
            who: carried.who,
            name: carried.name,
            issued_at_secs: carried.issued,
            expires_at_secs: carried.expires,
            chained: carried.chained,
            tags: carried.tags.into_iter().map(tag).collect(),
            source_identity: carried.source_identity,
            policies,
            policy_documents: carried.policies.into_iter().map(Into::into).collect(),
            user: carried.user,
            via: carried.via,
        };
        Some(session)
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
            policy_documents: Vec::new(),
            user: None,
            via: Vec::new(),
        }))
    }

    fn secret(&self, id: &str) -> Zeroizing<String> {
        let tag = hmac::sign(&self.secrets, id.as_bytes());
        Zeroizing::new(STANDARD.encode(tag.as_ref().get(..30).unwrap_or_default()))
    }

    /// Refuses a signature that was used, or that may have been.
    fn first_use(&self, claim: &Claim, now_secs: u64) -> Result<(), SigError> {
        if claim.expires_secs.is_some() {
            return Err(SigError::incomplete("This operation takes no presigned request: sign it in its headers."));
        }
        if claim.signed_at_secs < self.since_secs {
            return Err(SigError::again("This request was signed before the gateway started: sign it anew.", 1000));
        }
        let [id, _] = claim.signature.as_chunks::<16>().0 else { return Err(SigError::unknown_key()) };
        let mut uses = self.uses.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(first) = uses.seen.get_mut(id) {
            first.again += 1;
            if now_secs.saturating_sub(first.at_secs) > SAME_SECOND_SECS {
                return Err(SigError::mismatch("This signature was used before: sign the request anew."));
            }
            // Each of several that collide is sent to a second of its own.
            let wait_ms = (first.again * 1000).min(RETRY_AFTER_MAX_MS);
            return Err(SigError::again("An equal request was signed in the same second: sign it anew.", wait_ms));
        }
        if uses.seen.len() >= USES_MAX && uses.swept_at_secs < now_secs {
            uses.swept_at_secs = now_secs;
            uses.seen.retain(|_, first| first.until_secs >= now_secs);
        }
        if uses.seen.len() >= USES_MAX {
            return Err(SigError::again("More requests are signed than can be told from repeated ones.", RETRY_AFTER_MAX_MS));
        }
        let until_secs = claim.signed_at_secs + remit_identity::sigv4::SKEW_MAX_SECS;
        uses.seen.insert(*id, Use { at_secs: now_secs, until_secs, again: 0 });
        Ok(())
    }
}

/// The keys that a session was got with and its own, for what is got with it in turn; `None` if they are too many.
pub(crate) fn lineage(session: &Session) -> Option<Vec<String>> {
    let via: Vec<String> = session.via.iter().chain(std::iter::once(&session.id)).cloned().collect();
    (via.len() <= VIA_MAX).then_some(via)
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
