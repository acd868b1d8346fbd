//! The proof that an entry is in the log.

use std::collections::BTreeMap;
use std::path::Path;

use remit_tlog::{Frontier, Hash, Node};
use thiserror::Error;

use crate::reader::{ReadError, Reader};

/// Why there is no proof.
#[derive(Debug, Error)]
pub enum ProofError {
    /// The log could not be read.
    #[error("the log cannot be read")]
    Read(#[from] ReadError),
    /// The entry is not in a tree of that size.
    #[error("the entry is not in a tree of that size")]
    Proof(#[from] remit_tlog::ProofError),
    /// The log is not that large yet.
    #[error("the log has `{found}` durable entries, fewer than `{size}`")]
    Size {
        /// The size that was asked for.
        size: u64,
        /// How many there are.
        found: u64,
    },
}

/// The inclusion proof of entry `index` in the tree of `size` entries, from the leaf up.
///
/// Reads the log up to `size` once; memory grows with the length of the proof only.
pub fn inclusion_proof(dir: impl AsRef<Path>, index: u64, size: u64) -> Result<Vec<Hash>, ProofError> {
    let mut wanted = Vec::new();
    remit_tlog::inclusion_proof(index, size, |node| {
        wanted.push(node);
        Ok::<_, ProofError>(Hash([0; Hash::BYTES]))
    })?;
    wanted.sort_unstable_by_key(|node| node.index << node.level);
    let mut reader = Reader::open(dir, 0)?;
    let mut hashes: BTreeMap<Node, Hash> = BTreeMap::new();
    let mut nodes = wanted.into_iter();
    let (mut node, mut subtree, mut found) = (nodes.next(), Frontier::new(), 0);
    while found < size {
        let Some(leaf) = reader.next_leaf()? else {
            return Err(ProofError::Size { size, found });
        };
        found = leaf.index + 1;
        // The wanted subtrees do not overlap and leave out only the leaf itself.
        let Some(current) = node.filter(|node| leaf.index >> node.level == node.index) else {
            continue;
        };
        subtree.append(leaf.hash);
        if subtree.size() == 1 << current.level {
            hashes.insert(current, std::mem::take(&mut subtree).root());
            node = nodes.next();
        }
    }
    remit_tlog::inclusion_proof(index, size, |node| hashes.get(&node).copied().ok_or(ProofError::Size { size, found }))
}
