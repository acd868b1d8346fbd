//! A log of one's own, trusted beside Sigstore's: what it vouches for is signed well, so that each lie fails for itself alone.

use aws_lc_rs::digest::{SHA256, digest};
use aws_lc_rs::encoding::AsDer as _;
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_ASN1_SIGNING, EcdsaKeyPair, KeyPair as _};
use remit_tlog::{Hash, leaf_hash, node_hash};
use serde_json::{Value, json};

use super::*;

/// When the certificate of the bundle began and ended (2026-06-01T21:02:50Z, ten minutes).
const BEGAN: i64 = 1_780_347_770;
const ENDED: i64 = BEGAN + 600;

/// A log: its key, and what it is known by.
struct Log {
    pair: EcdsaKeyPair,
    spki: Vec<u8>,
}

impl Log {
    fn new() -> Self {
        let pair = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_ASN1_SIGNING).unwrap();
        let spki = pair.public_key().as_der().unwrap().as_ref().to_vec();
        Self { pair, spki }
    }

    fn id(&self) -> Vec<u8> {
        digest(&SHA256, &self.spki).as_ref().to_vec()
    }

    fn sign(&self, message: &[u8]) -> Vec<u8> {
        self.pair.sign(&SystemRandom::new(), message).unwrap().as_ref().to_vec()
    }

    /// The built-in trust root, with this log in the place of Rekor, trusted from then on.
    fn trusted(&self, start: &str) -> TrustRoot {
        self.trusted_as(&self.id(), start)
    }

    fn trusted_as(&self, id: &[u8], start: &str) -> TrustRoot {
        let mut root: Value = serde_json::from_str(&super::hostile::built_in()).unwrap();
        root["tlogs"][0]["publicKey"]["rawBytes"] = json!(STANDARD.encode(&self.spki));
        root["tlogs"][0]["publicKey"]["validFor"] = json!({"start": start});
        root["tlogs"][0]["logId"]["keyId"] = json!(STANDARD.encode(id));
        TrustRoot::read("own", &root.to_string()).unwrap()
    }

    /// Rekor's promise: a signature of the entry's canonical JSON (RFC 8785).
    fn promise(&self, entry: &mut Value) {
        let number = |name: &str| entry[name].as_str().unwrap().parse::<i64>().unwrap();
        let id: String = self.id().iter().map(|byte| format!("{byte:02x}")).collect();
        let (body, time, index) = (entry["canonicalizedBody"].as_str().unwrap(), number("integratedTime"), number("logIndex"));
        let signed = format!(r#"{{"body":"{body}","integratedTime":{time},"logID":"{id}","logIndex":{index}}}"#);
        entry["inclusionPromise"]["signedEntryTimestamp"] = json!(STANDARD.encode(self.sign(signed.as_bytes())));
    }

    /// A tree head, as Rekor signs it.
    fn head(&self, size: u64, root: &Hash) -> String {
        let text = format!("own.example - 1\n{size}\n{}\n", root.to_base64());
        let signature = [&self.id()[..4], &self.sign(text.as_bytes())].concat();
        format!("{text}\n\u{2014} own.example {}\n", STANDARD.encode(signature))
    }

    /// Puts an entry into a tree of two, beside another one.
    fn include(&self, entry: &mut Value) {
        let (own, other) = (leaf_hash(&body(entry)), leaf_hash(b"another"));
        let root = node_hash(&other, &own);
        entry["logId"]["keyId"] = json!(STANDARD.encode(self.id()));
        entry["inclusionProof"] = json!({
            "logIndex": "1", "treeSize": "2", "rootHash": root.to_base64(), "hashes": [other.to_base64()],
            "checkpoint": {"envelope": self.head(2, &root)},
        });
    }
}

fn body(entry: &Value) -> Vec<u8> {
    STANDARD.decode(entry["canonicalizedBody"].as_str().unwrap()).unwrap()
}

fn entry_of(bundle: &mut Value) -> &mut Value {
    &mut bundle["verificationMaterial"]["tlogEntries"][0]
}

/// The real attestation, its entry changed, and then logged all anew in a log of one's own.
fn logged(log: &Log, change: impl FnOnce(&mut Value)) -> Value {
    let mut bundle = vector("npm-sigstore-5.0.0.json");
    let entry = entry_of(&mut bundle);
    change(entry);
    log.include(entry);
    log.promise(entry);
    bundle
}

fn of_sigstore(bundle: &Value, trust: &TrustRoot) -> Attestation {
    proved(bundle, &of(SIGSTORE_JS), trust)
}

const SINCE: &str = "2021-01-12T11:53:27Z";

#[test]
fn what_the_own_log_vouches_for_holds() {
    let log = Log::new();
    let bundle = logged(&log, |_| ());
    let attestation = of_sigstore(&bundle, &log.trusted(SINCE));
    assert_eq!(attestation.outcome(), Outcome::Ok, "without this, nothing else here says anything: {attestation:#?}");
    for other in [trust(), Log::new().trusted(SINCE)] {
        assert_wrong(&of_sigstore(&bundle, &other), "transparency log", Outcome::NotVerified, "doesn't know the log");
    }
    // The log's own name, and another's key under it.
    let posing = Log::new();
    let posing = posing.trusted_as(&log.id(), SINCE);
    assert_wrong(&of_sigstore(&bundle, &posing), "transparency log", Outcome::Failed, "SET verification failed");
}

#[test]
fn a_certificate_counts_for_its_minutes_alone() {
    let log = Log::new();
    let at =
        |time: i64| of_sigstore(&logged(&log, |entry| entry["integratedTime"] = json!(time.to_string())), &log.trusted(SINCE));
    for within in [BEGAN, BEGAN + 1, ENDED] {
        assert_eq!(at(within).outcome(), Outcome::Ok, "{within}");
    }
    for without in [BEGAN - 1, ENDED + 1, ENDED + 86_400, 1_620_000_000] {
        let attestation = at(without);
        assert_wrong(&attestation, "certificate", Outcome::Failed, "");
    }
    assert_wrong(&at(4_000_000_000), "transparency log", Outcome::Failed, "is in the future");
    // A log speaks for the time that it is trusted for.
    let later = of_sigstore(&logged(&log, |_| ()), &log.trusted("2026-06-02T00:00:00Z"));
    assert_wrong(&later, "transparency log", Outcome::Failed, "No log key valid at integrated time");
}

#[test]
fn an_entry_is_of_this_very_envelope() {
    let log = Log::new();
    let with_body = |change: &dyn Fn(&mut Value)| {
        let bundle = logged(&log, |entry| {
            let mut inner: Value = serde_json::from_slice(&body(entry)).unwrap();
            change(&mut inner);
            entry["canonicalizedBody"] = json!(STANDARD.encode(inner.to_string()));
        });
        of_sigstore(&bundle, &log.trusted(SINCE))
    };
    assert_eq!(with_body(&|_| ()).outcome(), Outcome::Ok);
    // An entry that is a good one, of somebody else's signature.
    let other = vector("npm-promise-alone.json")["verificationMaterial"]["tlogEntries"][0].clone();
    let whole = logged(&log, |entry| {
        entry["canonicalizedBody"] = other["canonicalizedBody"].clone();
        entry["kindVersion"] = other["kindVersion"].clone();
    });
    assert_wrong(&of_sigstore(&whole, &log.trusted(SINCE)), "transparency log", Outcome::Failed, "does not match");
    // Each of what ties it to the envelope: the payload, the signature, the certificate.
    let sig = vector("npm-promise-alone.json")["dsseEnvelope"]["signatures"][0]["sig"].clone();
    let cases: [(&str, Value, &str); 3] = [
        ("/spec/payloadHash/value", json!(NOTHING), "payload hash mismatch"),
        ("/spec/signatures/0/signature", sig, "does not match any signature"),
        ("/spec/signatures/0/verifier", json!(STANDARD.encode(pem("npm-sigstore-2.0.0.json"))), "does not match any signature"),
    ];
    for (pointer, to, why) in cases {
        let attestation = with_body(&|inner| *inner.pointer_mut(pointer).unwrap() = to.clone());
        assert_wrong(&attestation, "transparency log", Outcome::Failed, why);
    }
    let twice = with_body(&|inner| {
        let one = inner["spec"]["signatures"][0].clone();
        inner["spec"]["signatures"].as_array_mut().unwrap().push(one);
    });
    assert_wrong(&twice, "transparency log", Outcome::Failed, "count mismatch");
}

/// The certificate of another attestation, as PEM.
fn pem(name: &str) -> String {
    let der =
        vector(name)["verificationMaterial"]["x509CertificateChain"]["certificates"][0]["rawBytes"].as_str().unwrap().to_owned();
    format!("-----BEGIN CERTIFICATE-----\n{der}\n-----END CERTIFICATE-----\n")
}

#[test]
fn an_entry_is_in_the_tree_whose_head_the_log_signed() {
    let (log, other) = (Log::new(), Log::new());
    let with = |change: &dyn Fn(&mut Value)| {
        let mut bundle = logged(&log, |_| ());
        change(entry_of(&mut bundle));
        of_sigstore(&bundle, &log.trusted(SINCE))
    };
    let head = |log: &Log, entry: &Value, size| {
        let root = Hash::from_base64(entry["inclusionProof"]["rootHash"].as_str().unwrap()).unwrap();
        json!(log.head(size, &root))
    };
    assert_eq!(with(&|_| ()).outcome(), Outcome::Ok);
    let foreign = with(&|entry| entry["inclusionProof"]["checkpoint"]["envelope"] = head(&other, entry, 2));
    assert_wrong(&foreign, "transparency log", Outcome::Failed, "No matching Rekor key");
    // Another log's signature under this one's hint.
    let posing = with(&|entry| {
        let forged = head(&other, entry, 2).as_str().unwrap().to_owned();
        let (text, signature) = forged.trim_end().rsplit_once(' ').unwrap();
        let signature = STANDARD.decode(signature).unwrap();
        let posing = STANDARD.encode([&log.id()[..4], &signature[4..]].concat());
        entry["inclusionProof"]["checkpoint"]["envelope"] = json!(format!("{text} {posing}\n"));
    });
    assert_wrong(&posing, "transparency log", Outcome::Failed, "No valid Rekor signature");
    // A head of a tree that the log did sign, and that this entry isn't in.
    let elsewhere = with(&|entry| {
        let root = leaf_hash(b"another");
        entry["inclusionProof"]["rootHash"] = json!(root.to_base64());
        entry["inclusionProof"]["checkpoint"]["envelope"] = json!(log.head(2, &root));
    });
    assert_wrong(&elsewhere, "transparency log", Outcome::Failed, "inclusion proof");
    let sibling = with(&|entry| entry["inclusionProof"]["hashes"] = json!([leaf_hash(b"a third").to_base64()]));
    assert_wrong(&sibling, "transparency log", Outcome::Failed, "inclusion proof");
    let place = with(&|entry| entry["inclusionProof"]["logIndex"] = json!("0"));
    assert_wrong(&place, "transparency log", Outcome::Failed, "inclusion proof");
    let unproved = with(&|entry| {
        entry.as_object_mut().unwrap().remove("inclusionProof");
    });
    assert_wrong(&unproved, "bundle", Outcome::Failed, "inclusion proof");
}

#[test]
fn a_time_is_what_the_log_promised() {
    let (log, other) = (Log::new(), Log::new());
    let with = |change: &dyn Fn(&mut Value)| {
        let mut bundle = logged(&log, |_| ());
        change(entry_of(&mut bundle));
        of_sigstore(&bundle, &log.trusted(SINCE))
    };
    let moved = with(&|entry| entry["integratedTime"] = json!((BEGAN + 1).to_string()));
    assert_wrong(&moved, "transparency log", Outcome::Failed, "SET verification failed");
    let renumbered = with(&|entry| entry["logIndex"] = json!("7"));
    assert_wrong(&renumbered, "transparency log", Outcome::Failed, "SET verification failed");
    let another_s = with(&|entry| {
        other.promise(entry);
    });
    assert_wrong(&another_s, "transparency log", Outcome::Failed, "SET verification failed");
    let unpromised = with(&|entry| {
        entry.as_object_mut().unwrap().remove("inclusionPromise");
    });
    assert_wrong(&unpromised, "signing time", Outcome::Failed, "no verified timestamp");
    // Beside one that is proved, another that nothing proves.
    let mut beside = logged(&log, |_| ());
    let mut second = entry_of(&mut beside).clone();
    let members = second.as_object_mut().unwrap();
    members.retain(|name, _| name != "inclusionProof" && name != "inclusionPromise");
    beside["verificationMaterial"]["tlogEntries"].as_array_mut().unwrap().push(second);
    assert_wrong(&of_sigstore(&beside, &log.trusted(SINCE)), "transparency log", Outcome::Failed, "has a proof or a promise");
    let mut nowhere = vector("npm-sigstore-5.0.0.json");
    nowhere["verificationMaterial"]["tlogEntries"] = json!([]);
    assert_wrong(&of_sigstore(&nowhere, &trust()), "bundle", Outcome::Failed, "");
}
