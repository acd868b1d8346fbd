//! Real attestations, and what becomes of them where something is changed.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, reason = "a test's helpers fail as its assertions do")]

mod forms;
mod hostile;
mod identity;
mod log;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use remit_attestation::{Attestation, Digests, Expected, Outcome, Report, TrustRoot, verify};
use serde_json::Value;

const GITHUB: &str = "https://token.actions.githubusercontent.com";
const SIGSTORE_JS: &str = "https://github.com/sigstore/sigstore-js";
const NOTHING: &str = "0000000000000000000000000000000000000000000000000000000000000000";

/// A file of `vectors`.
fn text(name: &str) -> String {
    std::fs::read_to_string(format!("{}/tests/vectors/{name}", env!("CARGO_MANIFEST_DIR"))).unwrap()
}

fn vector(name: &str) -> Value {
    serde_json::from_str(&text(name)).unwrap()
}

/// The statement in a bundle's envelope.
fn statement(bundle: &Value) -> Value {
    serde_json::from_slice(&STANDARD.decode(bundle["dsseEnvelope"]["payload"].as_str().unwrap()).unwrap()).unwrap()
}

/// The digests of the file that a statement names.
fn digests(statement: &Value) -> (String, String) {
    let said = |kind: &str, none: &str| statement["subject"][0]["digest"][kind].as_str().unwrap_or(none).to_owned();
    (said("sha256", NOTHING), said("sha512", &NOTHING.repeat(2)))
}

/// What a bundle proves of the file that it names itself.
fn proved(bundle: &Value, expected: &Expected, trust: &TrustRoot) -> Attestation {
    let (sha256, sha512) = digests(&statement(bundle));
    one(verify(&bundle.to_string(), &Digests { sha256: &sha256, sha512: &sha512 }, expected, trust).unwrap())
}

fn one(report: Report) -> Attestation {
    let outcome = report.outcome();
    let [attestation] = <[Attestation; 1]>::try_from(report.attestations).unwrap();
    assert_eq!(outcome, attestation.outcome());
    attestation
}

/// How one check came out, and why.
fn check<'a>(attestation: &'a Attestation, what: &str) -> (Outcome, &'a str) {
    let found = attestation.checks.iter().find(|check| check.what == what);
    let found = found.unwrap_or_else(|| panic!("nothing of {what}: {attestation:#?}"));
    (found.outcome, &found.why)
}

/// That a check didn't hold, so neither does the whole, and nothing of what was signed is repeated.
#[track_caller]
fn assert_wrong(attestation: &Attestation, what: &str, outcome: Outcome, why: &str) {
    let (is, said) = check(attestation, what);
    assert!(is == outcome && said.contains(why), "{what} isn't {outcome:?} for `{why}`: {attestation:#?}");
    assert_ne!(attestation.outcome(), Outcome::Ok);
    assert!(attestation.signer.is_none() && attestation.claims.is_empty(), "{attestation:#?}");
}

fn of(source: &str) -> Expected {
    Expected::new(Some(source), None, None).unwrap()
}

fn trust() -> TrustRoot {
    TrustRoot::built_in().unwrap()
}
