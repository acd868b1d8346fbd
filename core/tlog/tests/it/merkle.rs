//! Every vector of transparency-dev/merkle: 195 proofs, of which 13 are right.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use remit_tlog::{Hash, ProofError, leaf_hash, verify_consistency, verify_inclusion};
use serde_json::Value;

const INCLUSION: &str = include_str!("../vectors/inclusion.json");
const CONSISTENCY: &str = include_str!("../vectors/consistency.json");
/// Its roots are 12 bytes of text: the vector says only that equal roots of two empty trees agree. Here a tree without leaves has one root.
const EMPTY_WITH_ANY_ROOT: &str = "consistency/additional/sizes-are-equal-and-proof-is-not-empty-where-both-sizes-are-zero.json";

fn vectors(text: &str) -> Vec<Value> {
    serde_json::from_str(text).unwrap()
}

/// What a vector says of `key`, as a hash. What isn't 32 bytes long can't be one, and another hash stands here for it that nobody expects.
fn hash(vector: &Value, key: &str) -> Hash {
    hash_of(&vector[key], key.trim_end_matches(['1', '2']))
}

fn hash_of(value: &Value, what: &str) -> Hash {
    let text = value.as_str().unwrap();
    let bytes = STANDARD.decode(text).unwrap();
    let read = Hash::from_base64(text);
    assert_eq!(read.is_some(), bytes.len() == Hash::BYTES);
    read.unwrap_or_else(|| leaf_hash(&[what.as_bytes(), b" that is no hash: ", &bytes].concat()))
}

fn proof(vector: &Value) -> Vec<Hash> {
    vector["proof"].as_array().into_iter().flatten().map(|value| hash_of(value, "proof")).collect()
}

/// Holds every vector to what it says it comes to; how many there are, and how many are right.
fn check(text: &str, verify: impl Fn(&Value) -> Result<(), ProofError>) -> (usize, usize) {
    let vectors = vectors(text);
    let mut right = 0;
    for vector in &vectors {
        let file = vector["file"].as_str().unwrap();
        let wanted = !vector["wantErr"].as_bool().unwrap();
        right += usize::from(wanted);
        assert_eq!(verify(vector).is_ok(), wanted && file != EMPTY_WITH_ANY_ROOT, "{file}");
    }
    (vectors.len(), right)
}

fn number(vector: &Value, key: &str) -> u64 {
    vector[key].as_u64().unwrap()
}

#[test]
fn every_inclusion_vector_comes_to_what_it_says() {
    let verify = |vector: &Value| {
        let (index, size) = (number(vector, "leafIdx"), number(vector, "treeSize"));
        verify_inclusion(&hash(vector, "leafHash"), index, size, &proof(vector), &hash(vector, "root"))
    };
    assert_eq!(check(INCLUSION, verify), (98, 6));
}

#[test]
fn every_consistency_vector_comes_to_what_it_says() {
    let verify = |vector: &Value| {
        let (older, newer) = (hash(vector, "root1"), hash(vector, "root2"));
        verify_consistency((number(vector, "size1"), &older), (number(vector, "size2"), &newer), &proof(vector))
    };
    assert_eq!(check(CONSISTENCY, verify), (97, 7));
}
