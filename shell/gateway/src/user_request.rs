//! How a user's request stands that comes with a call: on the client's word, signed by the program that the user talks to, or nobody's.
//!
//! A signature is good in the one session that it was first shown in, for as long as it lives; which that was is remembered. What was signed
//! before the gateway began may have been shown before, and is nobody's word.

use std::collections::HashMap;
use std::sync::Mutex;

use remit_identity::LEEWAY_SECS;
use remit_identity::jwk::JwkSet;
use remit_identity::user_request::{Shown, Signed, verify};
use remit_mcp::canonical::sha256;
use remit_mcp::{ErrorCode, Message, RpcError};
use remit_model::RequestStanding;

use crate::call::Caller;
use crate::session::lock;

/// Where a client says what its user has asked for.
const TEXT_META: &str = "remit/request";
/// Where its signature is.
const SIGNATURE_META: &str = "remit/request-signature";
/// The longest request of a user, in bytes.
const TEXT_BYTES_MAX: usize = 64 * 1024;
/// The most signatures that are remembered.
const SIGNATURES_MAX: usize = 100_000;
/// How many of them may be one agent's.
const SIGNATURES_OWN_MAX: usize = 10_000;

/// The user's request, and its signature as it came.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct UserRequest {
    pub(crate) text: String,
    signature: Option<String>,
}

impl UserRequest {
    /// What the user has asked for, as the client passes it.
    pub(crate) fn read(message: &Message) -> Result<Option<Self>, RpcError> {
        let Some(text) = message.inner("_meta", TEXT_META) else { return Ok(None) };
        let invalid = |what: &str| RpcError::new(ErrorCode::InvalidParams, format!("`_meta[\"{TEXT_META}\"]` {what}"));
        let text: String = serde_json::from_str(text).map_err(|_| invalid("is a text: what the user has asked for"))?;
        if text.len() > TEXT_BYTES_MAX {
            return Err(invalid("has at most 65,536 bytes"));
        }
        // What is no text is no signature, and isn't taken for none.
        let signature =
            message.inner("_meta", SIGNATURE_META).map(|signature| serde_json::from_str(signature).unwrap_or_default());
        Ok(Some(Self { text, signature }))
    }
}

/// The signatures that were shown and are alive.
#[derive(Debug)]
pub(crate) struct Signatures {
    began_secs: u64,
    shown: Mutex<HashMap<String, HashMap<String, Once>>>,
}

/// Where a signature was first shown, and until when that matters.
#[derive(Debug)]
struct Once {
    session: [u8; 32],
    until_secs: u64,
}

impl Signatures {
    /// None yet; `began_secs` is the time.
    pub(crate) fn new(began_secs: u64) -> Self {
        Self { began_secs, shown: Mutex::default() }
    }

    /// How a request stands that this caller shows in a session.
    pub(crate) fn standing(&self, caller: &Caller, session: &str, request: &UserRequest, now_secs: u64) -> RequestStanding {
        let organization = &caller.state.snapshot.organization;
        let agent = organization.agents.get(&caller.principal.agent);
        let Some(signature) = &request.signature else {
            let required =
                caller.space.space.signed_requests_required || agent.is_none_or(|agent| agent.signed_requests_required);
            return if required { RequestStanding::NotSigned } else { RequestStanding::Unsigned };
        };
        let keys = agent.and_then(|agent| agent.request_keys.as_ref()).and_then(|keys| JwkSet::parse(keys.as_bytes()).ok());
        let Some(keys) = keys else { return RequestStanding::UnknownKey };
        let (agent, space) = (caller.principal.agent.as_str(), caller.space.space.id.as_str());
        let audience = caller.gateway.space_address(space);
        let shown = Shown { agent, audience: &audience, session, text: &request.text };
        let signed = match verify(signature, &keys, &shown, now_secs) {
            Ok(signed) => signed,
            Err(standing) => return standing,
        };
        let whole = format!("remit signed request v1\n{space}\n{}\n{session}", caller.who);
        self.once(agent, signed, sha256(whole.as_bytes()), now_secs)
    }

    /// Whether a signature is in the session that it was first shown in.
    fn once(&self, agent: &str, signed: Signed, session: [u8; 32], now_secs: u64) -> RequestStanding {
        if signed.issued_at_secs < self.began_secs {
            return RequestStanding::Replayed;
        }
        let mut shown = lock(&self.shown);
        if let Some(once) = shown.get(agent).and_then(|own| own.get(&signed.jti)) {
            return if once.session == session { RequestStanding::Signed } else { RequestStanding::Replayed };
        }
        let crowded = |shown: &HashMap<String, HashMap<String, Once>>| {
            let own = shown.get(agent).map_or(0, HashMap::len);
            own >= SIGNATURES_OWN_MAX || shown.values().map(HashMap::len).sum::<usize>() >= SIGNATURES_MAX
        };
        if crowded(&shown) {
            shown.values_mut().for_each(|own| own.retain(|_, once| once.until_secs > now_secs));
            shown.retain(|_, own| !own.is_empty());
            if crowded(&shown) {
                return RequestStanding::TooMany;
            }
        }
        let until_secs = signed.expires_at_secs.saturating_add(LEEWAY_SECS);
        shown.entry(agent.to_owned()).or_default().insert(signed.jti, Once { session, until_secs });
        RequestStanding::Signed
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn signed(jti: usize, expires_at_secs: u64) -> Signed {
        Signed { jti: jti.to_string(), issued_at_secs: 1_000, expires_at_secs }
    }

    #[test]
    fn a_signature_is_good_in_one_session_and_what_can_not_be_remembered_is_not_good() {
        let signatures = Signatures::new(1_000);
        let once = |agent: &str, jti, session, now| signatures.once(agent, signed(jti, 1_100), [session; 32], now);
        assert_eq!(once("a", 0, 1, 1_000), RequestStanding::Signed);
        assert_eq!(once("a", 0, 1, 1_001), RequestStanding::Signed, "with every call of its session");
        assert_eq!(once("a", 0, 2, 1_001), RequestStanding::Replayed);
        assert_eq!(once("b", 0, 2, 1_001), RequestStanding::Signed, "ids of another agent's keys are others");
        for jti in 1..SIGNATURES_OWN_MAX {
            assert_eq!(once("a", jti, 1, 1_001), RequestStanding::Signed);
        }
        assert_eq!(once("a", SIGNATURES_OWN_MAX, 1, 1_129), RequestStanding::TooMany);
        assert_eq!(once("b", 1, 2, 1_129), RequestStanding::Signed, "one agent crowds out no other");
        assert_eq!(once("a", SIGNATURES_OWN_MAX, 1, 1_130), RequestStanding::Signed, "what has expired makes room");
        let later = Signatures::new(1_001);
        assert_eq!(later.once("a", signed(7, 1_100), [1; 32], 1_001), RequestStanding::Replayed, "it may have been shown before");
    }
}
