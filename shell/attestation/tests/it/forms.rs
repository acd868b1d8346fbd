//! The forms in which attestations are published, and what is none of them.

use remit_attestation::Unreadable;
use serde_json::{Value, json};

use super::*;

/// An attestation of PyPI's as the bundle that `pypi-attestations` makes of it.
pub(crate) fn bundle(attestation: &Value) -> Value {
    json!({
        "mediaType": "application/vnd.dev.sigstore.bundle+json;version=0.3",
        "verificationMaterial": {
            "certificate": {"rawBytes": attestation["verification_material"]["certificate"]},
            "tlogEntries": attestation["verification_material"]["transparency_entries"],
        },
        "dsseEnvelope": {
            "payload": attestation["envelope"]["statement"],
            "payloadType": "application/vnd.in-toto+json",
            "signatures": [{"sig": attestation["envelope"]["signature"]}],
        },
    })
}

fn report(document: &Value, sha256: &str, sha512: &str, expected: &Expected) -> Result<Report, Unreadable> {
    verify(&document.to_string(), &Digests { sha256, sha512 }, expected, &trust())
}

#[test]
fn npm_s_list_is_read_and_its_own_record_of_publishing_proves_nothing_and_spoils_nothing() {
    let provenance = vector("npm-sigstore-5.0.0.json");
    let (sha256, sha512) = digests(&statement(&provenance));
    // As npm signs it: with a key that is named by a hint, over a statement of its own kind.
    let mut publish = provenance.clone();
    let mut said = statement(&publish);
    said["predicateType"] = json!("https://github.com/npm/attestation/tree/main/specs/publish/v0.1");
    publish["dsseEnvelope"]["payload"] = json!(STANDARD.encode(said.to_string()));
    publish["verificationMaterial"].as_object_mut().unwrap().remove("certificate");
    publish["verificationMaterial"]["publicKey"] = json!({"hint": "SHA256:jl3bwswu80PjjokCgh0o2w5c2U4LhQAE57gj9cz1kzA"});
    let list = |both: &[&Value]| {
        let all: Vec<Value> = both.iter().map(|bundle| json!({"predicateType": "any", "bundle": bundle})).collect();
        json!({"attestations": all})
    };
    let both = report(&list(&[&publish, &provenance]), &sha256, &sha512, &of(SIGSTORE_JS)).unwrap();
    assert_eq!(both.outcome(), Outcome::Ok, "{both:#?}");
    let first = &both.attestations[0];
    assert_eq!(first.outcome(), Outcome::NotVerified);
    assert!(check(first, "signature").1.contains("SHA256:jl3bwswu80PjjokCgh0o2w5c2U4LhQAE57gj9cz1kzA"), "{first:#?}");
    let alone = report(&list(&[&publish]), &sha256, &sha512, &of(SIGSTORE_JS)).unwrap();
    assert_eq!(alone.outcome(), Outcome::NotVerified);
    // One that is wrong makes the whole wrong, whatever stands beside it.
    let mut wrong = provenance.clone();
    wrong["dsseEnvelope"]["signatures"][0]["sig"] =
        vector("npm-sigstore-2.0.0.json")["dsseEnvelope"]["signatures"][0]["sig"].clone();
    let spoilt = report(&list(&[&provenance, &wrong]), &sha256, &sha512, &of(SIGSTORE_JS)).unwrap();
    assert_eq!(spoilt.outcome(), Outcome::Failed);
}

#[test]
fn pypi_s_provenance_and_attestations_are_read() {
    let own = of("https://github.com/trailofbits/pypi-attestations");
    for name in ["pypi-attestations-0.0.19.provenance.json", "pypi-attestations-0.0.19.slsa.json"] {
        let whole = vector(name);
        let one = whole.pointer("/attestation_bundles/0/attestations/0").unwrap_or(&whole);
        let (sha256, sha512) = digests(&statement(&bundle(one)));
        let read = report(&whole, &sha256, &sha512, &own).unwrap();
        assert_eq!(read.outcome(), Outcome::Ok, "{name}: {read:#?}");
        let other = report(&whole, NOTHING, &sha512, &own).unwrap();
        assert_wrong(&other.attestations[0], "subject", Outcome::Failed, "about another file");
    }
    let mut newer = vector("pypi-attestations-0.0.19.provenance.json");
    newer["version"] = json!(2);
    assert_eq!(report(&newer, NOTHING, NOTHING, &own), Err(Unreadable::Version));
    newer["version"] = json!(1);
    newer["attestation_bundles"][0]["attestations"][0]["version"] = json!(2);
    assert_eq!(report(&newer, NOTHING, NOTHING, &own), Err(Unreadable::Version));
}

#[test]
fn what_is_no_attestation_is_told_from_one_that_is_wrong() {
    let said = |text: &str| verify(text, &Digests { sha256: NOTHING, sha512: NOTHING }, &Expected::default(), &trust()).err();
    assert!(matches!(said("no"), Some(Unreadable::Json(_))));
    for form in [
        "{}",
        "[]",
        "1",
        r#"{"attestations": 1}"#,
        r#"{"attestations": [{"x": 1}]}"#,
        r#"{"version":1,"verification_material":{}}"#,
    ] {
        assert_eq!(said(form), Some(Unreadable::Form), "{form}");
    }
    assert_eq!(said(r#"{"attestations": []}"#), Some(Unreadable::None));
    assert_eq!(said(r#"{"version": 1, "attestation_bundles": []}"#), Some(Unreadable::None));
    let many = json!({"attestations": vec![json!({"bundle": {}}); 33]});
    assert_eq!(said(&many.to_string()), Some(Unreadable::Many));
    let pypi = vector("pypi-gitlab.json");
    let many = json!({"version": 1, "attestation_bundles": [{"attestations": vec![pypi; 33]}]});
    assert_eq!(said(&many.to_string()), Some(Unreadable::Many));
}

#[test]
fn bundles_that_aren_t_known_are_not_verified() {
    let real = vector("npm-sigstore-5.0.0.json");
    let changed = |pointer: &str, to: Value| {
        let mut bundle = real.clone();
        *bundle.pointer_mut(pointer).unwrap() = to;
        let (sha256, sha512) = digests(&statement(&real));
        one(report(&bundle, &sha256, &sha512, &of(SIGSTORE_JS)).unwrap())
    };
    let newer = json!("application/vnd.dev.sigstore.bundle.v0.4+json");
    assert_wrong(&changed("/mediaType", newer), "bundle", Outcome::NotVerified, "no form of a bundle that this Remit knows");
    assert_wrong(&changed("/mediaType", json!("\u{1b}[2J\n")), "bundle", Outcome::NotVerified, "`\\u{1b}[2J\\u{a}`");
    let other = changed("/dsseEnvelope/payloadType", json!("text/plain"));
    assert_wrong(&other, "bundle", Outcome::NotVerified, "holds `text/plain`, and no statement");
    let unknown = json!({"kind": "rekord", "version": "0.0.1"});
    assert_ne!(changed("/verificationMaterial/tlogEntries/0/kindVersion", unknown).outcome(), Outcome::Ok);
    let message = one(report(&vector("message-signature.json"), NOTHING, NOTHING, &of(SIGSTORE_JS)).unwrap());
    assert_wrong(&message, "bundle", Outcome::NotVerified, "states nothing of where that is from");
    let mut typed = statement(&real);
    typed["_type"] = json!("https://in-toto.io/Statement/v2");
    let payload = json!(STANDARD.encode(typed.to_string()));
    assert_wrong(&changed("/dsseEnvelope/payload", payload), "bundle", Outcome::NotVerified, "Statement/v2` is no type");
    let entry = real["verificationMaterial"]["tlogEntries"][0].clone();
    let long = changed("/verificationMaterial/tlogEntries", json!(vec![entry; 17]));
    assert_wrong(&long, "bundle", Outcome::Failed, "longer than any honest bundle's");
    let long = changed("/verificationMaterial/tlogEntries/0/inclusionProof/hashes", json!(vec!["AAAA"; 65]));
    assert_wrong(&long, "bundle", Outcome::Failed, "longer than any tree needs");
}
