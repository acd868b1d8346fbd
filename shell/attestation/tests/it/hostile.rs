//! Whatever is changed in a real attestation, or taken from the trust root, it holds no more.

use serde_json::{Value, json};

use super::*;

pub(crate) fn built_in() -> String {
    std::fs::read_to_string(format!("{}/trust/trusted_root.json", env!("CARGO_MANIFEST_DIR"))).unwrap()
}

/// The built-in trust root, changed.
fn trusted(change: impl FnOnce(&mut Value)) -> TrustRoot {
    changed(&built_in(), change)
}

/// The trust root of the staging instance, changed.
pub(crate) fn staging(change: impl FnOnce(&mut Value)) -> TrustRoot {
    changed(&text("staging-trusted-root.json"), change)
}

fn changed(root: &str, change: impl FnOnce(&mut Value)) -> TrustRoot {
    let mut root = serde_json::from_str(root).unwrap();
    change(&mut root);
    TrustRoot::read("changed", &root.to_string()).unwrap()
}

/// The places of all texts in a document.
fn texts(value: &Value, at: &str, found: &mut Vec<String>) {
    match value {
        Value::Object(members) => members.iter().for_each(|(name, member)| texts(member, &format!("{at}/{name}"), found)),
        Value::Array(members) => members.iter().enumerate().for_each(|(n, member)| texts(member, &format!("{at}/{n}"), found)),
        Value::String(_) => found.push(at.to_owned()),
        _ => (),
    }
}

/// A text with its middle changed, to another of its kind.
fn bent(text: &str) -> String {
    let mut chars: Vec<char> = text.chars().collect();
    let middle = (chars.len() / 2..chars.len()).chain(0..chars.len()).find(|n| chars[*n].is_ascii_alphanumeric());
    let Some(middle) = middle else { return format!("{text}x") };
    chars[middle] = match chars[middle] {
        '9' => '8',
        c if c.is_ascii_digit() => char::from_u32(c as u32 + 1).unwrap(),
        'A' => 'B',
        _ => 'A',
    };
    chars.into_iter().collect()
}

#[test]
fn no_text_of_an_attestation_can_be_changed() {
    // What nobody signs, and nothing is taken from: a chain is built of the trust root's certificates, whatever comes with the first one.
    let free = ["/dsseEnvelope/signatures/0/keyid"];
    let chained = "/verificationMaterial/x509CertificateChain/certificates/";
    let is_free = |place: &str| free.contains(&place) || place.strip_prefix(chained).is_some_and(|rest| !rest.starts_with("0/"));
    let mail = |who| Expected::new(None, Some(who), Some("https://github.com/login/oauth")).unwrap();
    for (name, expected) in [
        ("npm-sigstore-2.0.0.json", of(SIGSTORE_JS)),
        ("npm-sigstore-5.0.0.json", of(SIGSTORE_JS)),
        ("npm-promise-alone.json", mail("brian@dehamer.com")),
    ] {
        let real = vector(name);
        let (sha256, sha512) = digests(&statement(&real));
        let mut places = Vec::new();
        texts(&real, "", &mut places);
        assert!(places.len() > 10, "{places:?}");
        let mut passed = Vec::new();
        for place in places.iter().filter(|place| !is_free(place)) {
            let text = real.pointer(place).and_then(Value::as_str).unwrap();
            for other in [bent(text), format!("{text}A"), String::new()].iter().filter(|other| *other != text) {
                // The name beside a tree head's signature is a word about the key; which key it is, the hint and the signature say.
                let other = &match text.split_once("\n\n") {
                    Some((head, signed)) if !other.is_empty() => format!("{}\n\n{signed}", bent(head)),
                    _ => other.clone(),
                };
                let mut changed = real.clone();
                *changed.pointer_mut(place).unwrap() = json!(other);
                let report = verify(&changed.to_string(), &Digests { sha256: &sha256, sha512: &sha512 }, &expected, &trust());
                if report.unwrap().outcome() == Outcome::Ok {
                    passed.push((place.clone(), other.clone()));
                }
            }
        }
        assert_eq!(passed, [], "{name}");
    }
}

/// The places of everything in a document.
fn places(value: &Value, at: &str, found: &mut Vec<String>) {
    let below: Vec<(String, &Value)> = match value {
        Value::Object(members) => members.iter().map(|(name, member)| (format!("{at}/{name}"), member)).collect(),
        Value::Array(members) => members.iter().enumerate().map(|(n, member)| (format!("{at}/{n}"), member)).collect(),
        _ => Vec::new(),
    };
    for (place, member) in below {
        places(member, &place, found);
        found.push(place);
    }
}

/// A document without one of its members.
fn without(document: &Value, place: &str) -> Value {
    let mut document = document.clone();
    let (above, name) = place.rsplit_once('/').unwrap();
    match document.pointer_mut(above).unwrap() {
        Value::Object(members) => drop(members.remove(name)),
        Value::Array(members) => drop(members.remove(name.parse().unwrap())),
        _ => (),
    }
    document
}

#[test]
fn nothing_can_be_left_out_or_be_of_another_kind() {
    for (name, can_go) in [
        // Nobody signs these; both are empty.
        ("npm-sigstore-5.0.0.json", &["/dsseEnvelope/signatures/0/keyid"][..]),
        ("npm-sigstore-2.0.0.json", &["/dsseEnvelope/signatures/0/keyid", "/verificationMaterial/timestampVerificationData"]),
    ] {
        let real = vector(name);
        let (sha256, sha512) = digests(&statement(&real));
        let holds = |document: &Value| {
            let report = verify(&document.to_string(), &Digests { sha256: &sha256, sha512: &sha512 }, &of(SIGSTORE_JS), &trust());
            report.is_ok_and(|report| report.outcome() == Outcome::Ok)
        };
        let mut all = Vec::new();
        places(&real, "", &mut all);
        let gone: Vec<&String> = all.iter().filter(|place| holds(&without(&real, place))).collect();
        let old = "/verificationMaterial/tlogEntries/0/inclusionProof";
        for place in gone {
            // A bundle v0.1 needs the log's promise, and a proof only if it has one: then that is told.
            let whole = place == old && name.contains("2.0.0");
            let empty = place.contains("timestampVerificationData");
            assert!(whole || empty || can_go.contains(&place.as_str()), "{name} holds without {place}");
        }
        for other in [Value::Null, json!(true), json!(7), json!("x"), json!([]), json!({}), json!([[]]), json!({"x": {}})] {
            for place in
                all.iter().filter(|place| !can_go.contains(&place.as_str()) && !place.contains("timestampVerificationData"))
            {
                let mut changed = real.clone();
                *changed.pointer_mut(place).unwrap() = other.clone();
                let as_if_absent = other.is_null() && place == old;
                assert!(as_if_absent || !holds(&changed), "{name} holds with {other} at {place}");
            }
        }
    }
}

#[test]
fn no_bit_of_a_certificate_a_signature_or_a_promise_can_be_flipped() {
    let real = vector("npm-sigstore-5.0.0.json");
    let (sha256, sha512) = digests(&statement(&real));
    let trust = trust();
    for place in [
        "/verificationMaterial/certificate/rawBytes",
        "/dsseEnvelope/signatures/0/sig",
        "/dsseEnvelope/payload",
        "/verificationMaterial/tlogEntries/0/inclusionPromise/signedEntryTimestamp",
        "/verificationMaterial/tlogEntries/0/canonicalizedBody",
    ] {
        let bytes = STANDARD.decode(real.pointer(place).and_then(Value::as_str).unwrap()).unwrap();
        // Every byte, each time another bit of it; of long texts some.
        for n in (0..bytes.len()).step_by(if bytes.len() > 2000 { 7 } else { 1 }) {
            let mut flipped = bytes.clone();
            flipped[n] ^= 1 << (n % 8);
            let mut changed = real.clone();
            *changed.pointer_mut(place).unwrap() = json!(STANDARD.encode(&flipped));
            let document = changed.to_string();
            let report = verify(&document, &Digests { sha256: &sha256, sha512: &sha512 }, &of(SIGSTORE_JS), &trust).unwrap();
            assert_ne!(report.outcome(), Outcome::Ok, "byte {n} of {place}");
        }
    }
}

#[test]
fn another_file_payload_signature_or_certificate_is_another() {
    let (real, other) = (vector("npm-sigstore-5.0.0.json"), vector("npm-sigstore-2.0.0.json"));
    let (sha256, sha512) = digests(&statement(&real));
    let with = |change: &dyn Fn(&mut Value)| {
        let mut bundle = real.clone();
        change(&mut bundle);
        one(verify(&bundle.to_string(), &Digests { sha256: &sha256, sha512: &sha512 }, &of(SIGSTORE_JS), &trust()).unwrap())
    };
    let (_, its) = digests(&statement(&other));
    let elsewhere = verify(&real.to_string(), &Digests { sha256: &sha256, sha512: &its }, &of(SIGSTORE_JS), &trust()).unwrap();
    assert_wrong(&elsewhere.attestations[0], "subject", Outcome::Failed, "about another file");
    // A statement about this file under a signature of another statement.
    let said = with(&|bundle| {
        let mut said = statement(&real);
        said["predicate"]["buildDefinition"]["externalParameters"]["workflow"]["repository"] =
            json!("https://github.com/acme/other");
        bundle["dsseEnvelope"]["payload"] = json!(STANDARD.encode(said.to_string()));
    });
    assert_wrong(&said, "signature", Outcome::Failed, "DSSE signature verification failed");
    let signed = with(&|bundle| bundle["dsseEnvelope"]["signatures"] = other["dsseEnvelope"]["signatures"].clone());
    assert_wrong(&signed, "signature", Outcome::Failed, "DSSE signature verification failed");
    let twice = with(&|bundle| {
        let one = bundle["dsseEnvelope"]["signatures"][0].clone();
        bundle["dsseEnvelope"]["signatures"].as_array_mut().unwrap().push(one);
    });
    assert_ne!(twice.outcome(), Outcome::Ok);
    let certified = with(&|bundle| {
        let whole = &other["verificationMaterial"]["x509CertificateChain"]["certificates"][0];
        bundle["verificationMaterial"]["certificate"] = whole.clone();
    });
    // Its minutes were others.
    assert_wrong(&certified, "certificate", Outcome::Failed, "Expired");
    // A subject of which one digest fits and another doesn't is no file at all.
    let both = with(&|bundle| {
        let mut said = statement(&real);
        said["subject"][0]["digest"]["sha256"] = json!(NOTHING.replace('0', "1"));
        bundle["dsseEnvelope"]["payload"] = json!(STANDARD.encode(said.to_string()));
    });
    assert_wrong(&both, "subject", Outcome::Failed, "about another file");
}

#[test]
fn what_the_trust_root_lacks_isn_t_trusted() {
    let npm = |trust: &TrustRoot| proved(&vector("npm-sigstore-5.0.0.json"), &of(SIGSTORE_JS), trust);
    let mail = Expected::new(None, Some("jku@goto.fi"), Some("https://github.com/login/oauth")).unwrap();
    let stamped = |trust: &TrustRoot| proved(&vector("conda-rekor2.json"), &mail, trust);
    let none = |kind: &str| trusted(|root| root[kind] = json!([]));
    assert_wrong(&npm(&none("tlogs")), "transparency log", Outcome::NotVerified, "doesn't know the log");
    assert_wrong(&npm(&none("certificateAuthorities")), "certificate", Outcome::NotVerified, "no trusted certificate authority");
    assert_wrong(&npm(&none("ctlogs")), "trust root", Outcome::NotVerified, "no CT log keys");
    let without = |kind: &str| staging(|root| root[kind] = json!([]));
    assert_wrong(&stamped(&without("timestampAuthorities")), "signing time", Outcome::Failed, "no timestamp authorities");
    assert_wrong(&stamped(&without("tlogs")), "transparency log", Outcome::NotVerified, "doesn't know the log");
    // Each for its time alone.
    let ended = json!({"start": "2021-01-01T00:00:00Z", "end": "2023-01-01T00:00:00Z"});
    let for_a_time = |pointer: &str| trusted(|root| *root.pointer_mut(pointer).unwrap() = ended.clone());
    assert_wrong(&npm(&for_a_time("/tlogs/0/publicKey/validFor")), "transparency log", Outcome::Failed, "No log key valid at");
    let authority = npm(&for_a_time("/certificateAuthorities/1/validFor"));
    assert_wrong(&authority, "certificate", Outcome::NotVerified, "no trusted certificate authority is valid at");
    assert_wrong(&npm(&for_a_time("/ctlogs/1/publicKey/validFor")), "certificate's log", Outcome::Failed, "not valid at");
    let outlived = staging(|root| root["timestampAuthorities"][0]["validFor"] = ended.clone());
    assert_wrong(&stamped(&outlived), "signing time", Outcome::Failed, "outside the validity period");
    // Another instance's root knows nothing of this one's.
    assert_ne!(npm(&staging(|_| ())).outcome(), Outcome::Ok);
    assert_wrong(&stamped(&trust()), "transparency log", Outcome::NotVerified, "doesn't know the log");
    // Keys of one kind don't do another's work.
    let swapped = trusted(|root| {
        let (rekor, ct) = (root["tlogs"][0].clone(), root["ctlogs"][1].clone());
        root["tlogs"][0] = ct;
        root["ctlogs"][1] = rekor;
    });
    assert_ne!(npm(&swapped).outcome(), Outcome::Ok);
    let posing = trusted(|root| {
        let id = root["ctlogs"][1]["logId"].clone();
        root["ctlogs"][1] = root["tlogs"][0].clone();
        root["ctlogs"][1]["logId"] = id;
    });
    assert_wrong(&npm(&posing), "certificate's log", Outcome::Failed, "SCT");
}
