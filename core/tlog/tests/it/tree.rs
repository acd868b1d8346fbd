//! Laws of the tree: for every pair of sizes the proofs verify, and nothing else does.

use proptest::prelude::*;
use remit_tlog::{
    Frontier, Hash, Node, ProofError, consistency_proof, inclusion_proof, leaf_hash, node_hash, verify_consistency,
    verify_inclusion,
};

/// A tree with all of its leaves, hashed by RFC 6962's recursion and by nothing of the crate's own shortcuts.
pub(crate) struct Tree(Vec<Hash>);

impl Tree {
    pub(crate) fn of<'a>(leaves: impl IntoIterator<Item = &'a [u8]>) -> Self {
        Self(leaves.into_iter().map(leaf_hash).collect())
    }

    fn numbered(size: u64) -> Self {
        Self((0..size).map(|index| leaf_hash(&index.to_be_bytes())).collect())
    }

    pub(crate) fn root(&self, size: u64) -> Hash {
        mth(&self.0[..usize::try_from(size).unwrap()])
    }

    pub(crate) fn reader(&self) -> impl FnMut(Node) -> Result<Hash, ProofError> {
        |node| {
            let (start, count) = (usize::try_from(node.index).unwrap() << node.level, 1 << node.level);
            Ok(mth(&self.0[start..start + count]))
        }
    }
}

fn mth(leaves: &[Hash]) -> Hash {
    match leaves {
        [] => remit_tlog::empty_root(),
        [leaf] => *leaf,
        _ => {
            let split = leaves.len().next_power_of_two() / 2;
            node_hash(&mth(&leaves[..split]), &mth(&leaves[split..]))
        }
    }
}

const SIZE_MAX: u64 = 70;

#[test]
fn the_frontier_has_the_root_of_the_recursion() {
    let tree = Tree::numbered(SIZE_MAX);
    let mut frontier = Frontier::new();
    for size in 0..SIZE_MAX {
        assert_eq!((frontier.size(), frontier.root()), (size, tree.root(size)));
        frontier.append(leaf_hash(&size.to_be_bytes()));
    }
}

#[test]
fn every_inclusion_proof_verifies_and_only_for_its_place() {
    let tree = Tree::numbered(SIZE_MAX);
    for size in 1..=SIZE_MAX {
        let root = tree.root(size);
        for index in 0..size {
            let leaf = leaf_hash(&index.to_be_bytes());
            let proof = inclusion_proof(index, size, tree.reader()).unwrap();
            assert_eq!(verify_inclusion(&leaf, index, size, &proof, &root), Ok(()), "{index} in {size}");
            let other = leaf_hash(b"other");
            assert!(verify_inclusion(&other, index, size, &proof, &root).is_err());
            if size > 1 {
                assert!(verify_inclusion(&leaf, (index + 1) % size, size, &proof, &root).is_err());
                assert!(verify_inclusion(&leaf, index, size, &proof[1..], &root).is_err());
            }
            let longer: Vec<Hash> = proof.iter().copied().chain([other]).collect();
            assert!(verify_inclusion(&leaf, index, size, &longer, &root).is_err());
        }
        let outside = inclusion_proof(size, size, tree.reader());
        assert_eq!(outside, Err(ProofError::Range(size, size)));
    }
}

#[test]
fn every_consistency_proof_verifies_and_only_for_its_sizes() {
    let tree = Tree::numbered(SIZE_MAX);
    for newer in 0..=SIZE_MAX {
        let new = tree.root(newer);
        for older in 0..=newer {
            let old = tree.root(older);
            let proof = consistency_proof(older, newer, tree.reader()).unwrap();
            assert_eq!(verify_consistency((older, &old), (newer, &new), &proof), Ok(()), "{older} in {newer}");
            let other = leaf_hash(b"other");
            assert!(verify_consistency((older, &other), (newer, &new), &proof).is_err());
            if older > 0 {
                assert!(verify_consistency((older, &old), (newer, &other), &proof).is_err());
            }
            if !proof.is_empty() {
                assert!(verify_consistency((older, &old), (newer, &new), &proof[1..]).is_err());
                assert!(verify_consistency((older, &old), (newer, &new), &proof[..proof.len() - 1]).is_err());
            }
            let longer: Vec<Hash> = proof.iter().copied().chain([other]).collect();
            assert!(verify_consistency((older, &old), (newer, &new), &longer).is_err());
        }
    }
}

proptest! {
    #[test]
    fn a_flipped_bit_of_a_proof_is_noticed(size in 2u64..SIZE_MAX, at: u64, place: usize, bit in 0usize..256) {
        let tree = Tree::numbered(size);
        let index = at % size;
        let (leaf, root) = (leaf_hash(&index.to_be_bytes()), tree.root(size));
        let mut proof = inclusion_proof(index, size, tree.reader()).unwrap();
        let place = place % proof.len();
        proof[place].0[bit / 8] ^= 1 << (bit % 8);
        prop_assert_eq!(verify_inclusion(&leaf, index, size, &proof, &root), Err(ProofError::Mismatch));

        let older = 1 + at % (size - 1);
        let mut proof = consistency_proof(older, size, tree.reader()).unwrap();
        let place = place % proof.len();
        proof[place].0[bit / 8] ^= 1 << (bit % 8);
        let verdict = verify_consistency((older, &tree.root(older)), (size, &root), &proof);
        prop_assert_eq!(verdict, Err(ProofError::Mismatch));
    }

    #[test]
    fn verification_of_anything_ends_without_a_panic(index: u64, size: u64, length in 0usize..80) {
        let hash = leaf_hash(b"anything");
        let proof = vec![hash; length];
        prop_assert!(verify_inclusion(&hash, index, size, &proof, &hash).is_err() || size == 1);
        let _ = verify_consistency((index, &hash), (size, &hash), &proof);
    }

    #[test]
    fn proofs_of_huge_trees_ask_for_few_nodes(index: u64, size: u64) {
        let mut asked = 0;
        let _ = inclusion_proof(index, size, |_| { asked += 1; Ok::<_, ProofError>(leaf_hash(b"")) });
        let _ = consistency_proof(index, size, |_| { asked += 1; Ok::<_, ProofError>(leaf_hash(b"")) });
        prop_assert!(asked <= 2 * 2 * 64);
    }
}
