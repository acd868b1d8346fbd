//! The keys of external issuers: found by discovery, cached, and refreshed by one at a time.

use std::collections::HashMap;
use std::sync::{Arc, RwLock};

use remit_identity::client::ServerMetadata;
use remit_identity::jwk::JwkSet;
use remit_identity::jwt::Unverified;
use remit_identity::metadata::WELL_KNOWN_OPENID;
use remit_model::Issuer;
use rustls::ClientConfig;
use serde_json::Value;

use crate::fetch::document;

/// How long after an attempt the next one may come, in seconds: nobody can make us hammer an issuer with made-up key ids.
const ATTEMPT_INTERVAL_SECS: u64 = 10;
/// When known keys are asked for again, in seconds.
const REFRESH_SECS: u64 = 60 * 60;
/// For how long known keys serve while the issuer is away, in seconds.
const KEEP_SECS: u64 = 24 * 60 * 60;

/// Why there is no key for a token.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum KeysError {
    /// The issuer was asked, and has no such key.
    #[error("the token's key is not known")]
    NoSuchKey,
    /// The issuer could not be asked.
    #[error("the keys of issuer `{issuer}` could not be had: {fault}")]
    Away {
        /// The issuer's name.
        issuer: String,
        /// What went wrong.
        fault: String,
    },
}

#[derive(Debug, Clone, Default)]
struct Known {
    keys: Arc<JwkSet>,
    fetched_at_secs: Option<u64>,
    attempted_at_secs: Option<u64>,
    fault: Option<String>,
}

#[derive(Debug, Default)]
struct Entry {
    known: RwLock<Known>,
    flight: tokio::sync::Mutex<()>,
}

impl Entry {
    fn known(&self) -> Known {
        self.known.read().map(|known| known.clone()).unwrap_or_default()
    }
}

/// The keys of all external issuers.
#[derive(Debug)]
pub struct IssuerKeys {
    tls: Arc<ClientConfig>,
    /// By URL and network, so that an issuer whose registration changes starts afresh.
    entries: RwLock<HashMap<String, Arc<Entry>>>,
}

impl IssuerKeys {
    /// No keys yet.
    pub fn new(tls: Arc<ClientConfig>) -> Self {
        Self { tls, entries: RwLock::default() }
    }

    /// Keys of the issuer among which the token's is.
    pub async fn keys_for(&self, issuer: &Issuer, token: &Unverified<'_>, now_secs: u64) -> Result<Arc<JwkSet>, KeysError> {
        let entry = self.entry(issuer);
        let known = entry.known();
        let age = known.fetched_at_secs.map(|at| now_secs.saturating_sub(at));
        let serves = |known: &Known| {
            let age = known.fetched_at_secs.map(|at| now_secs.saturating_sub(at));
            age.is_some_and(|age| age < KEEP_SECS) && token.key_in(&known.keys)
        };
        let guard = if serves(&known) {
            if age.is_some_and(|age| age < REFRESH_SECS) {
                return Ok(known.keys);
            }
            // Stale but good: one caller asks again, nobody waits for it.
            match entry.flight.try_lock() {
                Ok(guard) => guard,
                Err(_) => return Ok(known.keys),
            }
        } else {
            entry.flight.lock().await
        };
        let known = entry.known();
        let recent = known.attempted_at_secs.is_some_and(|at| now_secs.saturating_sub(at) < ATTEMPT_INTERVAL_SECS);
        let known = if recent { known } else { self.refresh(issuer, &entry, now_secs).await };
        drop(guard);
        match (serves(&known), known.fault) {
            (true, _) => Ok(known.keys),
            (false, None) => Err(KeysError::NoSuchKey),
            (false, Some(fault)) => Err(KeysError::Away { issuer: issuer.name.clone(), fault }),
        }
    }

    fn entry(&self, issuer: &Issuer) -> Arc<Entry> {
        let key = format!("{:?} {}", issuer.network, issuer.url);
        if let Ok(entries) = self.entries.read()
            && let Some(entry) = entries.get(&key)
        {
            return Arc::clone(entry);
        }
        let Ok(mut entries) = self.entries.write() else { return Arc::default() };
        Arc::clone(entries.entry(key).or_default())
    }

    async fn refresh(&self, issuer: &Issuer, entry: &Entry, now_secs: u64) -> Known {
        // The attempt counts from its start: a caller that goes away in the middle of it doesn't make it free.
        if let Ok(mut known) = entry.known.write() {
            known.attempted_at_secs = Some(now_secs);
            known.fault = Some("it is being asked".into());
        }
        let fetched = self.fetch(issuer).await;
        let Ok(mut known) = entry.known.write() else { return Known::default() };
        match fetched {
            Ok(keys) => {
                known.keys = Arc::new(keys);
                known.fetched_at_secs = Some(now_secs);
                known.fault = None;
            }
            Err(fault) => known.fault = Some(fault),
        }
        known.clone()
    }

    async fn fetch(&self, issuer: &Issuer) -> Result<JwkSet, String> {
        let url = format!("{}{WELL_KNOWN_OPENID}", issuer.url.trim_end_matches('/'));
        let metadata = document(&url, issuer.network, &self.tls).await.map_err(|error| error.to_string())?;
        let jwks_uri = jwks_uri(&metadata, &issuer.url)?;
        let keys = document(&jwks_uri, issuer.network, &self.tls).await.map_err(|error| error.to_string())?;
        JwkSet::parse(&keys).map_err(|error| error.to_string())
    }
}

/// The address of the keys, from metadata that names the issuer that was asked (OpenID Connect Discovery section 4.3).
fn jwks_uri(metadata: &[u8], issuer: &str) -> Result<String, String> {
    // An issuer that only signs may lack a token endpoint: then only `issuer` is held against what was asked.
    let value: Value = serde_json::from_slice(metadata).map_err(|_| "its metadata is no JSON".to_owned())?;
    if value.get("token_endpoint").is_some() {
        ServerMetadata::parse(metadata, issuer).map_err(|error| error.to_string())?;
    } else if value.get("issuer").and_then(Value::as_str) != Some(issuer) {
        return Err("its metadata is another issuer's".to_owned());
    }
    let url = value.get("jwks_uri").and_then(Value::as_str).ok_or("its metadata names no keys")?;
    if issuer.starts_with("https://") && !url.starts_with("https://") {
        return Err("its metadata names keys without TLS".to_owned());
    }
    Ok(url.to_owned())
}
