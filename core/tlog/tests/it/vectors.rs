//! Values that others computed: Certificate Transparency's reference tree, Go's `sumdb/note`, the C2SP texts.

use remit_tlog::{
    Frontier, Hash, Note, NoteError, Verifier, consistency_proof, empty_root, inclusion_proof, leaf_hash, verify_consistency,
    verify_inclusion,
};

use crate::tree::Tree;

pub(crate) const LEAVES: [&[u8]; 8] = [
    &[],
    &[0x00],
    &[0x10],
    &[0x20, 0x21],
    &[0x30, 0x31],
    &[0x40, 0x41, 0x42, 0x43],
    &[0x50, 0x51, 0x52, 0x53, 0x54, 0x55, 0x56, 0x57],
    &[0x60, 0x61, 0x62, 0x63, 0x64, 0x65, 0x66, 0x67, 0x68, 0x69, 0x6a, 0x6b, 0x6c, 0x6d, 0x6e, 0x6f],
];

const ROOTS: [&str; 9] = [
    "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
    "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
    "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
    "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
    "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
    "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
    "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
    "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
    "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
];

fn hash(hex: &str) -> Hash {
    let bytes: Vec<u8> = (0..64).step_by(2).map(|at| u8::from_str_radix(&hex[at..at + 2], 16).unwrap()).collect();
    Hash(bytes.try_into().unwrap())
}

#[test]
fn roots_are_those_of_certificate_transparency() {
    let mut frontier = Frontier::new();
    assert_eq!(empty_root(), hash(ROOTS[0]));
    for (leaf, root) in LEAVES.iter().zip(&ROOTS[1..]) {
        frontier.append(leaf_hash(leaf));
        assert_eq!(frontier.root(), hash(root));
    }
}

#[test]
fn inclusion_proofs_are_those_of_certificate_transparency() {
    check_inclusion(0, 1, &[]);
    check_inclusion(
        0,
        8,
        &[
            "96a296d224f285c67bee93c30f8a309157f0daa35dc5b87e410b78630a09cfc7",
            "5f083f0a1a33ca076a95279832580db3e0ef4584bdff1f54c8a360f50de3031e",
            "6b47aaf29ee3c2af9af889bc1fb9254dabd31177f16232dd6aab035ca39bf6e4",
        ],
    );
    check_inclusion(
        5,
        8,
        &[
            "bc1a0643b12e4d2d7c77918f44e0f4f79a838b6cf9ec5b5c283e1f4d88599e6b",
            "ca854ea128ed050b41b35ffc1b87b8eb2bde461e9e3b5596ece6b9d5975a0ae0",
            "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
        ],
    );
    check_inclusion(2, 3, &["fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125"]);
    check_inclusion(
        1,
        5,
        &[
            "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
            "5f083f0a1a33ca076a95279832580db3e0ef4584bdff1f54c8a360f50de3031e",
            "bc1a0643b12e4d2d7c77918f44e0f4f79a838b6cf9ec5b5c283e1f4d88599e6b",
        ],
    );
}

fn check_inclusion(index: u64, size: u64, expected: &[&str]) {
    let tree = Tree::of(LEAVES);
    let proof = inclusion_proof(index, size, tree.reader()).unwrap();
    assert_eq!(proof, expected.iter().map(|hex| hash(hex)).collect::<Vec<_>>());
    let (leaf, root) = (leaf_hash(LEAVES[usize::try_from(index).unwrap()]), tree.root(size));
    verify_inclusion(&leaf, index, size, &proof, &root).unwrap();
}

#[test]
fn consistency_proofs_are_those_of_certificate_transparency() {
    check_consistency(1, 1, &[]);
    check_consistency(
        1,
        8,
        &[
            "96a296d224f285c67bee93c30f8a309157f0daa35dc5b87e410b78630a09cfc7",
            "5f083f0a1a33ca076a95279832580db3e0ef4584bdff1f54c8a360f50de3031e",
            "6b47aaf29ee3c2af9af889bc1fb9254dabd31177f16232dd6aab035ca39bf6e4",
        ],
    );
    check_consistency(
        6,
        8,
        &[
            "0ebc5d3437fbe2db158b9f126a1d118e308181031d0a949f8dededebc558ef6a",
            "ca854ea128ed050b41b35ffc1b87b8eb2bde461e9e3b5596ece6b9d5975a0ae0",
            "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
        ],
    );
    check_consistency(
        2,
        5,
        &[
            "5f083f0a1a33ca076a95279832580db3e0ef4584bdff1f54c8a360f50de3031e",
            "bc1a0643b12e4d2d7c77918f44e0f4f79a838b6cf9ec5b5c283e1f4d88599e6b",
        ],
    );
}

fn check_consistency(older: u64, newer: u64, expected: &[&str]) {
    let tree = Tree::of(LEAVES);
    let proof = consistency_proof(older, newer, tree.reader()).unwrap();
    assert_eq!(proof, expected.iter().map(|hex| hash(hex)).collect::<Vec<_>>());
    verify_consistency((older, &tree.root(older)), (newer, &tree.root(newer)), &proof).unwrap();
}

const PETER: &str = "PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW";
const PETER_NOTE: &str = "If you think cryptography is the answer to your problem,\n\
    then you don't know what your problem is.\n\n\
    — PeterNeumann x08go/ZJkuBS9UG/SffcvIAQxVBtiFupLLr8pAcElZInNIuGUgYN1FFYC2pZSNXgKvqfqdngotpRZb6KE6RyyBwJnAM=\n";

#[test]
fn a_note_of_go_verifies() {
    let verifier = Verifier::parse(PETER).unwrap();
    assert_eq!((verifier.name(), verifier.key_id()), ("PeterNeumann", [0xc7, 0x4f, 0x20, 0xa3]));
    assert_eq!(verifier.to_string(), PETER);
    let note = Note::parse(PETER_NOTE).unwrap();
    assert!(note.verify(&verifier).unwrap().starts_with("If you think"));
    assert_eq!(note.to_string(), PETER_NOTE);
    let forged = Note::parse(&PETER_NOTE.replace("your problem is", "you are doing")).unwrap();
    assert_eq!(forged.verify(&verifier), Err(NoteError::Invalid("PeterNeumann".to_owned())));
}
