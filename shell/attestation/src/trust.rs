//! Whom to trust, and for when: Sigstore's `trusted_root.json`.

use serde_json::Value;
use sigstore_verify::Verifier;
use sigstore_verify::trust_root::TrustedRoot;
use thiserror::Error;

use crate::plain;

/// Sigstore's public-good trust root; `trust/README.md` says where it is from.
const BUILT_IN: &str = include_str!("../trust/trusted_root.json");
/// The day that the built-in trust root was the current one.
pub const BUILT_IN_DATE: &str = "2026-10-23";
/// The media types of a trusted root (Sigstore protobuf specification, `sigstore_trustroot.proto`).
const MEDIA_TYPES: [&str; 2] =
    ["application/vnd.dev.sigstore.trustedroot+json;version=0.1", "application/vnd.dev.sigstore.trustedroot.v0.2+json"];
/// The most authorities or logs of one kind, and the most certificates of one chain.
const LIST_MAX: usize = 64;

/// Why a trust root can't be used.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum TrustRootError {
    /// It can't be read.
    #[error("it isn't a Sigstore trusted root: {0}")]
    Unreadable(String),
    /// It has more of something than is looked at.
    #[error("it has more than {LIST_MAX} of `{0}`")]
    Many(&'static str),
}

/// Certificate authorities, logs and timestamp authorities, ready to verify with.
pub struct TrustRoot {
    pub(crate) verifier: Verifier,
    /// The identifiers of its transparency logs.
    logs: Vec<Vec<u8>>,
    name: String,
}

impl TrustRoot {
    /// The one that is built in: Sigstore's public-good instance, as of [`BUILT_IN_DATE`].
    pub fn built_in() -> Result<Self, TrustRootError> {
        Self::read(&format!("Sigstore's public-good instance as of {BUILT_IN_DATE}, built in"), BUILT_IN)
    }

    /// Reads a `trusted_root.json`. `name` is what it is called when it is told of.
    pub fn read(name: &str, text: &str) -> Result<Self, TrustRootError> {
        let unreadable = |error: &dyn std::fmt::Display| TrustRootError::Unreadable(plain(&error.to_string()));
        let root: Value = serde_json::from_str(text).map_err(|error| unreadable(&error))?;
        let media_type = root.get("mediaType").and_then(Value::as_str).unwrap_or_default();
        if !MEDIA_TYPES.contains(&media_type) {
            return Err(unreadable(&format!("its media type is `{media_type}`")));
        }
        let mut newest = "";
        for kind in ["certificateAuthorities", "tlogs", "ctlogs", "timestampAuthorities"] {
            let all = root.get(kind).and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
            let chain = |one: &Value| one.pointer("/certChain/certificates").and_then(Value::as_array).map_or(0, Vec::len);
            if all.len() > LIST_MAX || all.iter().any(|one| chain(one) > LIST_MAX) {
                return Err(TrustRootError::Many(kind));
            }
            // In UTC and of one form, so the later of two is the greater text.
            let starts =
                all.iter().filter_map(|one| one.pointer("/validFor/start").or_else(|| one.pointer("/publicKey/validFor/start")));
            newest = starts.filter_map(Value::as_str).chain([newest]).max().unwrap_or_default();
        }
        let day = newest.split('T').next().map(plain).unwrap_or_default();
        let name = if day.is_empty() { plain(name) } else { format!("{}; its newest key is of {day}", plain(name)) };
        let root = TrustedRoot::from_json(&root.to_string()).map_err(|error| unreadable(&error))?;
        let verifier = Verifier::new(&root).map_err(|error| unreadable(&error))?;
        let logs = root.tlogs.iter().map(|log| log.log_id.key_id.as_bytes().to_vec()).collect();
        Ok(Self { verifier, logs, name })
    }

    /// Whether it knows a transparency log, at any time.
    pub(crate) fn knows_log(&self, id: &[u8]) -> bool {
        self.logs.iter().any(|log| log == id)
    }

    /// What it is called, and how new it is.
    pub fn name(&self) -> &str {
        &self.name
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test that can't go on fails")]
mod tests {
    use sigstore_verify::trust_root::SIGSTORE_PRODUCTION_TRUSTED_ROOT;

    use super::*;

    #[test]
    fn the_built_in_root_is_the_one_that_the_library_ships() {
        let (own, library): (Value, Value) =
            (serde_json::from_str(BUILT_IN).unwrap(), serde_json::from_str(SIGSTORE_PRODUCTION_TRUSTED_ROOT).unwrap());
        assert_eq!(own, library, "the library knows of a newer one: renew it as trust/README.md says");
        let root = TrustRoot::built_in().unwrap();
        assert_eq!(root.name(), "Sigstore's public-good instance as of 2026-10-23, built in; its newest key is of 2025-09-23");
    }

    #[test]
    fn what_is_no_trust_root_is_refused() {
        for text in ["", "{}", "[]", r#"{"mediaType":"application/json"}"#, "{\"mediaType\":1}"] {
            assert!(matches!(TrustRoot::read("it", text), Err(TrustRootError::Unreadable(_))), "{text}");
        }
        let mut many: Value = serde_json::from_str(BUILT_IN).unwrap();
        let log = many["tlogs"][0].clone();
        many["tlogs"] = Value::Array(vec![log; LIST_MAX + 1]);
        assert_eq!(TrustRoot::read("it", &many.to_string()).err(), Some(TrustRootError::Many("tlogs")));
    }
}
