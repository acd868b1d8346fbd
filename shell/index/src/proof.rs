//! Entries from the journal itself, and the proofs that they are in it.

use remit_journal::{Reader, SignedCheckpoint};
use remit_tlog::{Frontier, Hash, Node, ProofError, verify_inclusion};

use crate::IndexError;
use crate::page::{Index, signed};

/// How many entries a tile has.
pub(crate) const TILE: u64 = 256;

/// An entry, and where it stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Kept {
    /// Its index.
    pub index: u64,
    /// Its bytes, as they were recorded.
    pub bytes: Vec<u8>,
}

/// The proof that an entry is in the journal (RFC 6962): it was checked against the signed checkpoint when it was made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Proof {
    /// The entry's hash.
    pub leaf: Hash,
    /// The hashes from the leaf up.
    pub path: Vec<Hash>,
    /// The checkpoint to whose root they lead.
    pub checkpoint: SignedCheckpoint,
}

impl Index {
    /// The entry with this index, from the journal; `None` if it isn't durable yet. No index is needed.
    pub fn entry(&self, index: u64) -> Result<Option<Kept>, IndexError> {
        let found = Reader::open(&self.journal, index)?.without_signatures().next()?;
        Ok(found.filter(|entry| entry.index == index).map(|entry| Kept { index, bytes: entry.bytes }))
    }

    /// The proof that the entry with this index is in the journal, as far as the index has come; `None` if it hasn't come to it.
    pub fn proof(&self, index: u64) -> Result<Option<Proof>, IndexError> {
        self.read(|connection| {
            let size: i64 = connection.prepare_cached("SELECT entries FROM progress")?.query_row([], |row| row.get(0))?;
            let Some(size) = u64::try_from(size).ok().filter(|size| index < *size) else { return Ok(None) };
            let near = self.leaves(index / TILE, size)?.0;
            let (last, Some(checkpoint)) = self.leaves((size - 1) / TILE, size)? else { return Ok(None) };
            let Some(leaf) = usize::try_from(index % TILE).ok().and_then(|place| near.get(place)) else { return Ok(None) };
            let mut tile = connection.prepare_cached("SELECT root FROM tile WHERE id >= ?1 AND id < ?2 ORDER BY id")?;
            let mut read = |node: Node| -> Result<Hash, IndexError> {
                let (first, end) = (node.index << node.level, (node.index + 1) << node.level);
                let mut tree = Frontier::new();
                if node.level < 8 {
                    let leaves = if first / TILE == index / TILE { &near } else { &last };
                    let (from, to) = (first % TILE, end - first / TILE * TILE);
                    let range = usize::try_from(from).unwrap_or(usize::MAX)..usize::try_from(to).unwrap_or(usize::MAX);
                    leaves.get(range).unwrap_or_default().iter().for_each(|leaf| tree.append(*leaf));
                } else {
                    let mut rows = tile.query([signed(first / TILE), signed(end / TILE)])?;
                    while let Some(row) = rows.next()? {
                        tree.append(Hash(row.get(0)?));
                    }
                }
                Ok(tree.root())
            };
            let path = remit_tlog::inclusion_proof(index, size, |node| read(node).map_err(Unmade::Read));
            let path = match path {
                Ok(path) => path,
                Err(Unmade::Read(error)) => return Err(error),
                Err(Unmade::Proof) => return Ok(None),
            };
            if checkpoint.size != size || verify_inclusion(leaf, index, size, &path, &checkpoint.root).is_err() {
                return Err(IndexError::Foreign("its roots don't lead to the journal's checkpoint"));
            }
            Ok(Some(Proof { leaf: *leaf, path, checkpoint }))
        })
    }

    /// The hashes of a tile's entries within a tree of this size, and the checkpoint of the batch that the last of them is of.
    fn leaves(&self, tile: u64, size: u64) -> Result<(Vec<Hash>, Option<SignedCheckpoint>), IndexError> {
        let (first, end) = (tile * TILE, (tile + 1).saturating_mul(TILE).min(size));
        let mut reader = Reader::open(&self.journal, first)?.without_signatures();
        let mut leaves = Vec::with_capacity(256);
        for _ in first..end {
            let Some(leaf) = reader.next_leaf()? else { break };
            leaves.push(leaf.hash);
        }
        Ok((leaves, reader.checkpoint().cloned()))
    }
}

/// Why a proof was not made.
enum Unmade {
    Read(IndexError),
    Proof,
}

impl From<ProofError> for Unmade {
    fn from(_: ProofError) -> Self {
        Self::Proof
    }
}
