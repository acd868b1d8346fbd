//! What must survive between the rounds of one call in 2026-07-28: it travels through the client, so it is signed, expires, is
//! bound to the call that it was made for, and is good for one use.

use std::collections::BTreeSet;
use std::sync::{Mutex, PoisonError};
use std::time::{SystemTime, UNIX_EPOCH};

use aws_lc_rs::{digest, hmac, rand};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use remit_mcp::canonical::canonical;
use serde_json::{Value, json};

/// How long the user may think, in seconds.
const TTL_SECS: u64 = 600;

/// Makes and checks states.
pub(crate) struct Seal {
    key: hmac::Key,
    /// States that were used, by their expiry.
    used: Mutex<BTreeSet<(u64, String)>>,
}

impl Seal {
    /// With a new key. `None` if the system has no random bytes.
    pub(crate) fn new() -> Option<Self> {
        let mut bytes = [0_u8; 32];
        rand::fill(&mut bytes).ok()?;
        Some(Self { key: hmac::Key::new(hmac::HMAC_SHA256, &bytes), used: Mutex::default() })
    }

    /// The state of a call that waits for the user.
    pub(crate) fn make(&self, tool: &str, arguments: &Value) -> Option<String> {
        let payload =
            json!({ "call": call_digest(tool, arguments), "expires": now_secs() + TTL_SECS, "nonce": random_id()? }).to_string();
        let tag = hmac::sign(&self.key, payload.as_bytes());
        Some(format!("{}.{}", URL_SAFE_NO_PAD.encode(&payload), URL_SAFE_NO_PAD.encode(tag)))
    }

    /// Whether the state is ours, of this call, not expired and not used; it is used then.
    pub(crate) fn take(&self, state: &str, tool: &str, arguments: &Value) -> bool {
        let Some(payload) = self.verified(state) else { return false };
        let of_call = payload.get("call").and_then(Value::as_str) == Some(call_digest(tool, arguments).as_str());
        let expires = payload.get("expires").and_then(Value::as_u64).unwrap_or_default();
        let nonce = payload.get("nonce").and_then(Value::as_str).unwrap_or_default();
        let now = now_secs();
        if !of_call || expires <= now {
            return false;
        }
        let mut used = self.used.lock().unwrap_or_else(PoisonError::into_inner);
        used.retain(|(until, _)| *until > now);
        used.insert((expires, nonce.to_owned()))
    }

    fn verified(&self, state: &str) -> Option<Value> {
        let (payload, tag) = state.split_once('.')?;
        let (payload, tag) = (URL_SAFE_NO_PAD.decode(payload).ok()?, URL_SAFE_NO_PAD.decode(tag).ok()?);
        hmac::verify(&self.key, &payload, &tag).ok()?;
        serde_json::from_slice(&payload).ok()
    }
}

/// 128 random bits as text.
pub(crate) fn random_id() -> Option<String> {
    let mut bytes = [0_u8; 16];
    rand::fill(&mut bytes).ok()?;
    Some(URL_SAFE_NO_PAD.encode(bytes))
}

fn call_digest(tool: &str, arguments: &Value) -> String {
    let text = format!("{tool}\0{}", canonical(arguments));
    URL_SAFE_NO_PAD.encode(digest::digest(&digest::SHA256, text.as_bytes()))
}

fn now_secs() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_state_is_good_once_for_its_own_call() {
        let seal = Seal::new().unwrap();
        let state = seal.make("transfer", &json!({"a": 1, "b": 2})).unwrap();
        assert!(!seal.take(&state, "transfer", &json!({"a": 2, "b": 2})));
        assert!(!seal.take(&state, "refund", &json!({"a": 1, "b": 2})));
        assert!(!seal.take(&format!("A{state}"), "transfer", &json!({"a": 1, "b": 2})));
        assert!(seal.take(&state, "transfer", &json!({"b": 2, "a": 1})));
        assert!(!seal.take(&state, "transfer", &json!({"a": 1, "b": 2})));
        assert!(!Seal::new().unwrap().take(&state, "transfer", &json!({"a": 1, "b": 2})));
    }
}
