//! Sealed state: what a client carries for us and could tamper with.
//!
//! A `requestState` that leaves Remit is encrypted and bound to who got it, to the request that it belongs to and to a time, and is
//! good once (2026-07-28, multi-round-trip requests, "Security").

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use aws_lc_rs::aead::{AES_256_GCM, Aad, NONCE_LEN, Nonce, RandomizedNonceKey};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use remit_mcp::canonical::sha256;

/// How long a state is good, in seconds.
pub(crate) const STATE_TTL_SECS: u64 = 600;
/// How many used states are remembered.
const USED_MAX: usize = 100_000;

/// Seals and opens.
pub(crate) struct Seal {
    key: RandomizedNonceKey,
    /// Random in each life of the process: what was used in another one is remembered by nobody, so it opens nothing.
    life: [u8; 16],
    used: Mutex<HashMap<[u8; 16], u64>>,
}

impl std::fmt::Debug for Seal {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Seal")
    }
}

/// What a state is bound to.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Bound<'a> {
    /// Who: agent, user, space and server.
    pub(crate) who: &'a str,
    /// What: method, name and arguments.
    pub(crate) what: &'a [u8; 32],
}

/// What a state holds.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub(crate) enum State {
    /// The upstream's own state.
    Upstream(String),
    /// An exchange that waits here.
    Parked(u64),
    /// A call that waits for people.
    Approval,
}

#[derive(serde::Serialize, serde::Deserialize)]
struct Sealed {
    until: u64,
    once: [u8; 16],
    state: State,
}

/// Why a state was refused. Callers learn no more than that it was.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("`requestState` is not one that was given for this request, or has expired or been used")]
pub(crate) struct Refused;

impl Seal {
    /// Seals under this key.
    pub(crate) fn new(key: &[u8; 32]) -> Option<Self> {
        let key = RandomizedNonceKey::new(&AES_256_GCM, key).ok()?;
        let mut life = [0; 16];
        aws_lc_rs::rand::fill(&mut life).ok()?;
        Some(Self { key, life, used: Mutex::default() })
    }

    fn aad(&self, bound: Bound<'_>) -> Vec<u8> {
        let mut aad = sha256(bound.who.as_bytes()).to_vec();
        aad.extend_from_slice(bound.what);
        aad.extend_from_slice(&self.life);
        aad
    }

    /// Seals a state.
    pub(crate) fn seal(&self, state: State, bound: Bound<'_>, now_secs: u64) -> Option<String> {
        let mut once = [0; 16];
        aws_lc_rs::rand::fill(&mut once).ok()?;
        let sealed = Sealed { until: now_secs + STATE_TTL_SECS, once, state };
        let mut text = serde_json::to_vec(&sealed).ok()?;
        let nonce = self.key.seal_in_place_append_tag(Aad::from(self.aad(bound)), &mut text).ok()?;
        let mut whole = nonce.as_ref().to_vec();
        whole.append(&mut text);
        Some(URL_SAFE_NO_PAD.encode(whole))
    }

    /// Opens a state, once.
    pub(crate) fn open(&self, text: &str, bound: Bound<'_>, now_secs: u64) -> Result<State, Refused> {
        let whole = URL_SAFE_NO_PAD.decode(text).map_err(|_| Refused)?;
        let (nonce, sealed) = whole.split_at_checked(NONCE_LEN).ok_or(Refused)?;
        let nonce = Nonce::try_assume_unique_for_key(nonce).map_err(|_| Refused)?;
        let mut sealed = sealed.to_vec();
        let text = self.key.open_in_place(nonce, Aad::from(self.aad(bound)), &mut sealed).map_err(|_| Refused)?;
        let Sealed { until, once, state } = serde_json::from_slice(text).map_err(|_| Refused)?;
        if until <= now_secs {
            return Err(Refused);
        }
        let mut used = self.used.lock().unwrap_or_else(PoisonError::into_inner);
        if used.len() >= USED_MAX {
            used.retain(|_, until| *until > now_secs);
            if used.len() >= USED_MAX {
                return Err(Refused);
            }
        }
        match used.insert(once, until) {
            None => Ok(state),
            Some(_) => Err(Refused),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_state_is_good_once_for_its_owner_and_its_request() {
        let seal = Seal::new(&[7; 32]).unwrap();
        let (a, b) = ([1; 32], [2; 32]);
        let mine = Bound { who: "a", what: &a };
        let sealed = || seal.seal(State::Upstream("s".into()), mine, 100).unwrap();
        let text = sealed();
        assert_eq!(seal.open(&text, Bound { who: "b", what: &a }, 100), Err(Refused));
        assert_eq!(seal.open(&text, Bound { who: "a", what: &b }, 100), Err(Refused));
        assert_eq!(seal.open(&format!("{text}-TAMPERED"), mine, 100), Err(Refused));
        assert_eq!(seal.open(&text, mine, 100 + STATE_TTL_SECS), Err(Refused));
        assert_eq!(seal.open(&text, mine, 100), Ok(State::Upstream("s".into())));
        assert_eq!(seal.open(&text, mine, 100), Err(Refused));
        assert_ne!(sealed(), sealed());
        for cut in 0..text.len() {
            assert_eq!(seal.open(&text[..cut], mine, 100), Err(Refused));
        }
    }
}
