//! Entries from the journal itself, and the proofs that they are in it.

use std::collections::HashMap;

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
        let Some(checkpoint) = self.checkpoint()? else { return Ok(None) };
        self.proof_to(index, checkpoint)
    }

    /// The same in the tree of an earlier checkpoint of the journal, such as one that witnesses cosigned; `None` if it doesn't cover the entry,
    /// or isn't covered by the index.
    pub fn proof_to(&self, index: u64, checkpoint: SignedCheckpoint) -> Result<Option<Proof>, IndexError> {
        let size = checkpoint.size;
        if index >= size || size > self.size()?.0 {
            return Ok(None);
        }
        let near = self.leaves(index / TILE, size)?.0;
        let Some(leaf) = usize::try_from(index % TILE).ok().and_then(|place| near.get(place)).copied() else { return Ok(None) };
        let mut nodes = Nodes::new(self, size);
        nodes.tiles.insert(index / TILE, near);
        let path = nodes.gather(|read| remit_tlog::inclusion_proof(index, size, read))?;
        let Some(path) = path else { return Ok(None) };
        if verify_inclusion(&leaf, index, size, &path, &checkpoint.root).is_err() {
            return Err(IndexError::Foreign("its roots don't lead to the journal's checkpoint"));
        }
        Ok(Some(Proof { leaf, path, checkpoint }))
    }

    /// The proof that the tree of the checkpoint's size extends the one of `older` entries (RFC 6962); `None` if the index isn't that far.
    pub fn consistency(&self, older: u64, checkpoint: &SignedCheckpoint) -> Result<Option<Vec<Hash>>, IndexError> {
        if older > checkpoint.size || checkpoint.size > self.size()?.0 {
            return Ok(None);
        }
        Nodes::new(self, checkpoint.size).gather(|read| remit_tlog::consistency_proof(older, checkpoint.size, read))
    }

    /// The checkpoint that the index has come to; `None` before the first entry.
    pub fn checkpoint(&self) -> Result<Option<SignedCheckpoint>, IndexError> {
        let size = self.size()?.0;
        let Some(last) = size.checked_sub(1) else { return Ok(None) };
        Ok(self.leaves(last / TILE, size)?.1.filter(|checkpoint| checkpoint.size == size))
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
        Ok((leaves, reader.checkpoint()))
    }
}

/// The nodes of a tree: whole tiles from the index, what is smaller from the journal's entries.
struct Nodes<'a> {
    index: &'a Index,
    size: u64,
    tiles: HashMap<u64, Vec<Hash>>,
}

impl<'a> Nodes<'a> {
    fn new(index: &'a Index, size: u64) -> Self {
        Self { index, size, tiles: HashMap::new() }
    }

    /// The hashes of a proof; `None` if there is no such proof.
    fn gather(
        mut self,
        proof: impl FnOnce(&mut dyn FnMut(Node) -> Result<Hash, Unmade>) -> Result<Vec<Hash>, Unmade>,
    ) -> Result<Option<Vec<Hash>>, IndexError> {
        match proof(&mut |node| self.read(node).map_err(Unmade::Read)) {
            Ok(path) => Ok(Some(path)),
            Err(Unmade::Read(error)) => Err(error),
            Err(Unmade::Proof) => Ok(None),
        }
    }

    fn read(&mut self, node: Node) -> Result<Hash, IndexError> {
        let (first, end) = (node.index << node.level, (node.index + 1) << node.level);
        let mut tree = Frontier::new();
        if node.level < 8 {
            let tile = first / TILE;
            if !self.tiles.contains_key(&tile) {
                let leaves = self.index.leaves(tile, self.size)?.0;
                self.tiles.insert(tile, leaves);
            }
            let place = |index: u64| usize::try_from(index - tile * TILE).unwrap_or(usize::MAX);
            let leaves = self.tiles.get(&tile).and_then(|leaves| leaves.get(place(first)..place(end)));
            leaves.unwrap_or_default().iter().for_each(|leaf| tree.append(*leaf));
            return Ok(tree.root());
        }
        self.index.read(|connection| {
            let mut tiles = connection.prepare_cached("SELECT root FROM tile WHERE id >= ?1 AND id < ?2 ORDER BY id")?;
            let mut rows = tiles.query([signed(first / TILE), signed(end / TILE)])?;
            while let Some(row) = rows.next()? {
                tree.append(Hash(row.get(0)?));
            }
            Ok(tree.root())
        })
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
