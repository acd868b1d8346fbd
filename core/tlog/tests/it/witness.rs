//! Proofs that stand alone, and what witnesses say of checkpoints.

use proptest::prelude::*;
use remit_tlog::witness::{AddCheckpoint, Latest, Refusal};
use remit_tlog::{
    Checkpoint, Cosigner, Frontier, Hash, Node, Note, ProofError, Signer, TlogProof, TlogProofError, WitnessKey,
    consistency_proof, inclusion_proof, leaf_hash,
};

fn entry(number: u64) -> Vec<u8> {
    format!("entry {number}").into_bytes()
}

fn root(first: u64, end: u64) -> Hash {
    let mut tree = Frontier::new();
    (first..end).for_each(|number| tree.append(leaf_hash(&entry(number))));
    tree.root()
}

/// A node of the tree of all entries.
fn node(node: Node) -> Hash {
    root(node.index << node.level, (node.index + 1) << node.level)
}

fn included(index: u64, size: u64) -> Vec<Hash> {
    inclusion_proof(index, size, |at| Ok::<_, ProofError>(node(at))).unwrap()
}

fn extended(older: u64, newer: u64) -> Vec<Hash> {
    consistency_proof(older, newer, |at| Ok::<_, ProofError>(node(at))).unwrap()
}

fn log() -> Signer {
    Signer::from_seed("log.example/a", &[1; 32]).unwrap()
}

fn signed(size: u64) -> String {
    let checkpoint = Checkpoint::new("log.example/a", size, root(0, size)).unwrap();
    log().sign(&checkpoint.to_string()).unwrap().to_string()
}

fn proof(index: u64, size: u64) -> TlogProof {
    TlogProof { extra: Some(entry(index)), index, path: included(index, size), note: signed(size) }
}

#[test]
fn a_proof_stands_alone_and_has_the_form_of_the_specification() {
    let proof = proof(5, 11);
    let text = proof.to_string();
    let lines: Vec<&str> = text.lines().collect();
    assert_eq!(lines[..3], ["c2sp.org/tlog-proof@v1", "extra ZW50cnkgNQ==", "index 5"]);
    assert_eq!(lines[3 + proof.path.len()..][..3], ["", "log.example/a", "11"]);
    let read: TlogProof = text.parse().unwrap();
    assert_eq!(read, proof);
    assert_eq!(read.verify(&entry(5), log().verifier()).unwrap().size, 11);
    assert_eq!(read.verify(&entry(6), log().verifier()), Err(TlogProofError::Inclusion));
    let other = Signer::from_seed("log.example/a", &[2; 32]).unwrap();
    assert!(matches!(read.verify(&entry(5), other.verifier()), Err(TlogProofError::Note(_))));
    // Another log's name with the same key is another log.
    let renamed = Signer::from_seed("log.example/b", &[1; 32]).unwrap();
    assert!(read.verify(&entry(5), renamed.verifier()).is_err());
    let bad = [
        text.replacen("@v1", "@v2", 1),
        text.replacen("index 5", "index 05", 1),
        text.replacen("index 5", "index -5", 1),
        text.replacen("extra ", "extras ", 1),
        text.replacen("ZW50cnkgNQ==", "ZW50cnkgNQ", 1),
        text.replacen("\n\n", "\nAAAA\n\n", 1),
        text.replace('\n', "\r\n"),
        String::new(),
        lines[..4].join("\n"),
    ];
    for bad in bad {
        assert!(bad.parse::<TlogProof>().is_err(), "{bad}");
    }
}

proptest! {
    #[test]
    fn a_proof_of_any_entry_holds_and_no_other_does(size in 1_u64..80, index in 0_u64..80, other in 0_u64..80, flip in 0_usize..64) {
        let index = index % size;
        let one = proof(index, size);
        prop_assert_eq!(one.verify(&entry(index), log().verifier()).unwrap().size, size);
        let moved = TlogProof { index: other, ..one.clone() };
        prop_assert_eq!(moved.verify(&entry(index), log().verifier()).is_ok(), other == index);
        if !one.path.is_empty() {
            let mut bent = one.clone();
            let at = flip % bent.path.len();
            bent.path[at].0[flip % 32] ^= 1;
            prop_assert_eq!(bent.verify(&entry(index), log().verifier()), Err(TlogProofError::Inclusion));
        }
        let text = one.to_string();
        prop_assert_eq!(text.parse::<TlogProof>().unwrap().to_string(), text);
    }

    #[test]
    fn what_is_no_proof_is_refused_without_a_panic(text in "(c2sp.org/tlog-proof@v1\n)?(extra [A-Za-z=]{0,9}\n)?(index [0-9]{0,22}\n)?[A-Za-z0-9+/=\n]{0,200}") {
        let _ = text.parse::<TlogProof>();
        let _ = text.parse::<AddCheckpoint>();
    }

    #[test]
    fn a_witness_cosigns_what_extends_and_nothing_else(from in 0_u64..40, more in 0_u64..40, claimed in 0_u64..80, bend in any::<bool>()) {
        let to = from + more;
        let latest = Latest { size: from, root: root(0, from) };
        let keys = [log().verifier().clone()];
        let asked = AddCheckpoint { old_size: from, proof: extended(from, to), note: signed(to) };
        prop_assert_eq!(asked.to_string().parse::<AddCheckpoint>().unwrap(), asked.clone());
        prop_assert!(asked.judge(&keys, latest).is_ok());
        let other = AddCheckpoint { old_size: claimed, ..asked.clone() };
        let expected = match claimed {
            claimed if claimed > to => Err(Refusal::Malformed),
            claimed if claimed != from => Err(Refusal::Conflict(from)),
            _ => Ok(()),
        };
        prop_assert_eq!(other.judge(&keys, latest).map(|_| ()), expected);
        // Another history of the same length.
        let mut rewritten = latest;
        rewritten.root.0[0] ^= 1;
        let refused = asked.judge(&keys, rewritten).map(|_| ());
        prop_assert!(matches!(refused, Err(Refusal::Inconsistent | Refusal::Conflict(_))), "{:?}", refused);
        if bend && !asked.proof.is_empty() {
            let mut bent = asked.clone();
            bent.proof[0].0[3] ^= 1;
            prop_assert_eq!(bent.judge(&keys, latest).map(|_| ()), Err(Refusal::Inconsistent));
        }
    }
}

#[test]
fn a_witness_knows_its_logs_and_says_when() {
    let witness = Cosigner::from_seed("witness.example/w1", &[7; 32]).unwrap();
    let key = WitnessKey::parse(&witness.key().to_string()).unwrap();
    assert_eq!(&key, witness.key());
    assert!(WitnessKey::parse(&log().verifier().to_string()).is_err(), "a log's key is no witness's");
    let asked = AddCheckpoint { old_size: 0, proof: Vec::new(), note: signed(9) };
    assert_eq!(asked.origin().unwrap(), "log.example/a");
    assert_eq!(asked.judge(&[], Latest::default()).map(|_| ()), Err(Refusal::UnknownLog));
    let stranger = Signer::from_seed("log.example/a", &[3; 32]).unwrap();
    assert_eq!(asked.judge(&[stranger.verifier().clone()], Latest::default()).map(|_| ()), Err(Refusal::Unsigned));
    let (text, checkpoint) = asked.judge(&[log().verifier().clone()], Latest::default()).unwrap();
    assert_eq!(checkpoint.size, 9);
    let mut note = Note::parse(&asked.note).unwrap();
    assert_eq!(key.cosigned_at(&note), Ok(None));
    note.add([witness.cosign(&text, 1_790_000_000)]);
    let note = Note::parse(&note.to_string()).unwrap();
    assert_eq!(key.cosigned_at(&note), Ok(Some(1_790_000_000)));
    // The log's own signature still holds, and a proof carries both.
    let proof = TlogProof { note: note.to_string(), ..proof(3, 9) };
    assert_eq!(proof.verify(&entry(3), log().verifier()).unwrap().size, 9);
    // A cosignature of another time or another tree isn't one.
    let mut forged = note.signatures()[1].clone();
    forged.bytes[7] ^= 1;
    let mut note = Note::parse(&asked.note).unwrap();
    note.add([forged]);
    assert!(key.cosigned_at(&note).is_err());
    let mut other = Note::parse(&signed(8)).unwrap();
    other.add([witness.cosign(&text, 1_790_000_000)]);
    assert!(key.cosigned_at(&other).is_err());
    for (refusal, status) in [
        (Refusal::Malformed, 400),
        (Refusal::Unsigned, 403),
        (Refusal::UnknownLog, 404),
        (Refusal::Conflict(3), 409),
        (Refusal::Inconsistent, 422),
    ] {
        assert_eq!(refusal.status(), status);
    }
}
