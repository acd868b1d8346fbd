//! Inclusion and consistency proofs: made over a reader of stored nodes, verified with nothing but hashes.

use thiserror::Error;

use crate::hash::{Hash, empty_root, node_hash};

/// A perfect subtree: it spans the leaves `index << level .. (index + 1) << level`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Node {
    /// The height; 0 is a leaf.
    pub level: u8,
    /// The position among the nodes of its level, from the left.
    pub index: u64,
}

/// Why a proof was not made, or does not convince.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum ProofError {
    /// The leaf is not in a tree of that size, or the older tree is the larger.
    #[error("position `{0}` is outside of a tree of size `{1}`")]
    Range(u64, u64),
    /// The proof has too few or too many hashes.
    #[error("the proof has the wrong length")]
    Length,
    /// The hashes do not lead to the root.
    #[error("the proof does not lead to the root")]
    Mismatch,
}

/// The audit path of leaf `index` in the tree of `size` leaves, from the leaf up (RFC 6962 §2.1.1).
///
/// `read` gives the hash of a perfect subtree; its errors are passed on.
pub fn inclusion_proof<E: From<ProofError>>(
    index: u64,
    size: u64,
    mut read: impl FnMut(Node) -> Result<Hash, E>,
) -> Result<Vec<Hash>, E> {
    if index >= size {
        return Err(ProofError::Range(index, size).into());
    }
    let (mut low, mut high, mut path) = (0, size, Vec::new());
    while high - low > 1 {
        let middle = low + split(high - low);
        if index < middle {
            path.push(range_root(middle, high, &mut read)?);
            high = middle;
        } else {
            path.push(range_root(low, middle, &mut read)?);
            low = middle;
        }
    }
    path.reverse();
    Ok(path)
}

/// The proof that the tree of `newer` leaves extends the tree of `older` leaves (RFC 6962 §2.1.2).
///
/// Empty when the sizes are equal or the older tree is empty.
pub fn consistency_proof<E: From<ProofError>>(
    older: u64,
    newer: u64,
    mut read: impl FnMut(Node) -> Result<Hash, E>,
) -> Result<Vec<Hash>, E> {
    if older > newer {
        return Err(ProofError::Range(older, newer).into());
    }
    let mut path = Vec::new();
    if older == 0 {
        return Ok(path);
    }
    let (mut low, mut high) = (0, newer);
    while high != older {
        let middle = low + split(high - low);
        if older <= middle {
            path.push(range_root(middle, high, &mut read)?);
            high = middle;
        } else {
            path.push(range_root(low, middle, &mut read)?);
            low = middle;
        }
    }
    if low != 0 {
        path.push(range_root(low, high, &mut read)?);
    }
    path.reverse();
    Ok(path)
}

/// Checks an inclusion proof (RFC 9162 §2.1.3.2).
pub fn verify_inclusion(leaf: &Hash, index: u64, size: u64, proof: &[Hash], root: &Hash) -> Result<(), ProofError> {
    if index >= size {
        return Err(ProofError::Range(index, size));
    }
    let mut walk = Walk { node: index, last: size - 1 };
    let mut hash = *leaf;
    for sibling in proof {
        hash = match walk.up()? {
            Side::Left => node_hash(sibling, &hash),
            Side::Right => node_hash(&hash, sibling),
        };
    }
    walk.finish()?;
    equal(&hash, root)
}

/// Checks a consistency proof (RFC 9162 §2.1.4.2).
pub fn verify_consistency(
    (older, older_root): (u64, &Hash),
    (newer, newer_root): (u64, &Hash),
    proof: &[Hash],
) -> Result<(), ProofError> {
    if older > newer {
        return Err(ProofError::Range(older, newer));
    }
    if older == newer || older == 0 {
        if !proof.is_empty() {
            return Err(ProofError::Length);
        }
        if older == newer {
            equal(older_root, newer_root)?;
        }
        return if older == 0 { equal(older_root, &empty_root()) } else { Ok(()) };
    }
    let mut walk = Walk { node: older - 1, last: newer - 1 };
    while walk.node & 1 == 1 {
        walk.shift();
    }
    let mut hashes = proof.iter();
    let seed = if older.is_power_of_two() { older_root } else { hashes.next().ok_or(ProofError::Length)? };
    let (mut old, mut new) = (*seed, *seed);
    for sibling in hashes {
        match walk.up()? {
            Side::Left => {
                old = node_hash(sibling, &old);
                new = node_hash(sibling, &new);
            }
            Side::Right => new = node_hash(&new, sibling),
        }
    }
    walk.finish()?;
    equal(&old, older_root)?;
    equal(&new, newer_root)
}

enum Side {
    Left,
    Right,
}

/// A climb from a node to the root beside the last node of each level.
struct Walk {
    node: u64,
    last: u64,
}

impl Walk {
    /// Climbs past one sibling and says on which side it stood.
    fn up(&mut self) -> Result<Side, ProofError> {
        if self.last == 0 {
            return Err(ProofError::Length);
        }
        let left = self.node & 1 == 1 || self.node == self.last;
        if left {
            // A node without a right sibling rises unchanged until it is a right child.
            while self.node & 1 == 0 && self.node != 0 {
                self.shift();
            }
        }
        self.shift();
        Ok(if left { Side::Left } else { Side::Right })
    }

    fn shift(&mut self) {
        self.node >>= 1;
        self.last >>= 1;
    }

    fn finish(&self) -> Result<(), ProofError> {
        if self.last == 0 { Ok(()) } else { Err(ProofError::Length) }
    }
}

fn equal(got: &Hash, expected: &Hash) -> Result<(), ProofError> {
    if got == expected { Ok(()) } else { Err(ProofError::Mismatch) }
}

/// The largest power of two below `size`, which is at least 2.
fn split(size: u64) -> u64 {
    1 << (size - 1).ilog2()
}

/// The Merkle tree hash of the leaves `low .. high`, where `low` is a multiple of the range's first perfect subtree.
fn range_root<E>(low: u64, high: u64, read: &mut impl FnMut(Node) -> Result<Hash, E>) -> Result<Hash, E> {
    let mut parts = Vec::new();
    let mut start = low;
    while start < high {
        let level = (high - start).ilog2();
        let level_byte = u8::try_from(level).unwrap_or(u8::MAX);
        parts.push(read(Node { level: level_byte, index: start >> level })?);
        start += 1 << level;
    }
    let mut right_to_left = parts.iter().rev();
    let last = right_to_left.next().copied().unwrap_or_else(empty_root);
    Ok(right_to_left.fold(last, |right, left| node_hash(left, &right)))
}
