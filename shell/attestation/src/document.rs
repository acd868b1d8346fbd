//! The forms in which attestations are published, each turned into Sigstore's bundles.

use serde_json::{Value, json};
use thiserror::Error;

/// The most attestations of one document.
const ATTESTATIONS_MAX: usize = 32;
/// The type of a statement in an envelope; PEP 740 leaves it out, since there is no other.
pub(crate) const STATEMENT_TYPE: &str = "application/vnd.in-toto+json";
/// The media type that an attestation of PyPI's corresponds to: one certificate, and entries with inclusion proofs.
const BUNDLE_0_3: &str = "application/vnd.dev.sigstore.bundle.v0.3+json";

/// Why a document holds no attestations.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum Unreadable {
    /// It is no JSON.
    #[error("it isn't JSON: {0}")]
    Json(String),
    /// It is none of the forms.
    #[error(
        "it is neither a Sigstore bundle, nor npm's list of attestations, nor an attestation or provenance of PyPI's (PEP 740)"
    )]
    Form,
    /// It is a version of a form that isn't known.
    #[error("it is a version of PyPI's form that this Remit doesn't know")]
    Version,
    /// It holds none.
    #[error("it holds no attestation")]
    None,
    /// It holds too many.
    #[error("it holds more than {ATTESTATIONS_MAX} attestations")]
    Many,
}

/// The bundles of a document, in its order.
pub(crate) fn bundles(document: &str) -> Result<Vec<Value>, Unreadable> {
    let document: Value = serde_json::from_str(document).map_err(|error| Unreadable::Json(error.to_string()))?;
    let has = |name: &str| document.get(name).is_some();
    let bundles = if has("attestation_bundles") {
        pypi_provenance(&document)?
    } else if has("attestations") {
        listed(&document)?
    } else if has("verification_material") {
        vec![pypi_attestation(&document)?]
    } else if has("mediaType") {
        vec![document]
    } else {
        return Err(Unreadable::Form);
    };
    match bundles.len() {
        0 => Err(Unreadable::None),
        few if few <= ATTESTATIONS_MAX => Ok(bundles),
        _ => Err(Unreadable::Many),
    }
}

/// npm's answer to `/-/npm/v1/attestations/NAME@VERSION`, which GitHub's to `/repos/…/attestations/…` is like.
fn listed(document: &Value) -> Result<Vec<Value>, Unreadable> {
    let all = document.get("attestations").and_then(Value::as_array).ok_or(Unreadable::Form)?;
    all.iter().take(ATTESTATIONS_MAX + 1).map(|one| one.get("bundle").cloned().ok_or(Unreadable::Form)).collect()
}

/// A provenance object (PEP 740, "Provenance objects").
fn pypi_provenance(document: &Value) -> Result<Vec<Value>, Unreadable> {
    first_version(document)?;
    let mut bundles = Vec::new();
    for bundle in document.get("attestation_bundles").and_then(Value::as_array).ok_or(Unreadable::Form)? {
        for attestation in bundle.get("attestations").and_then(Value::as_array).ok_or(Unreadable::Form)? {
            if bundles.len() > ATTESTATIONS_MAX {
                return Err(Unreadable::Many);
            }
            bundles.push(pypi_attestation(attestation)?);
        }
    }
    Ok(bundles)
}

/// An attestation object (PEP 740, "Attestation objects").
fn pypi_attestation(attestation: &Value) -> Result<Value, Unreadable> {
    first_version(attestation)?;
    let part = |pointer: &str| attestation.pointer(pointer).ok_or(Unreadable::Form);
    Ok(json!({
        "mediaType": BUNDLE_0_3,
        "verificationMaterial": {
            "certificate": {"rawBytes": part("/verification_material/certificate")?},
            "tlogEntries": part("/verification_material/transparency_entries")?,
        },
        "dsseEnvelope": {
            "payload": part("/envelope/statement")?,
            "payloadType": STATEMENT_TYPE,
            "signatures": [{"sig": part("/envelope/signature")?, "keyid": ""}],
        },
    }))
}

fn first_version(of: &Value) -> Result<(), Unreadable> {
    if of.get("version").and_then(Value::as_u64) == Some(1) { Ok(()) } else { Err(Unreadable::Version) }
}
