//! C2SP tlog-proof: a file that shows, to whoever has the log's key, that something is in the log.

use std::fmt;
use std::str::FromStr;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use thiserror::Error;

use crate::checkpoint::{Checkpoint, parse_decimal};
use crate::hash::{Hash, leaf_hash};
use crate::note::{Note, NoteError, Verifier};
use crate::proof::verify_inclusion;

const MAGIC: &str = "c2sp.org/tlog-proof@v1";
/// More hashes than a tree of 2^64 leaves could need are refused.
const HASHES_MAX: usize = 64;

/// Why a proof was refused.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum TlogProofError {
    /// It is no proof of this form.
    #[error("line {0} of the proof is malformed: it should be {1}")]
    Line(usize, &'static str),
    /// Its checkpoint isn't signed as it must be.
    #[error("the checkpoint: {0}")]
    Note(#[from] NoteError),
    /// Its checkpoint is no checkpoint, or of another log.
    #[error("the checkpoint is not one of this log")]
    Checkpoint,
    /// The hashes don't lead from the entry to the root.
    #[error("the entry is not in the log at this index: the hashes don't lead to the checkpoint's root")]
    Inclusion,
}

/// An inclusion proof with the checkpoint that it leads to. `Display` writes it and `FromStr` reads it, each in the one spelling allowed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TlogProof {
    /// What the application adds; not authenticated by itself. Here: the entry.
    pub extra: Option<Vec<u8>>,
    /// The entry's index.
    pub index: u64,
    /// The hashes from the leaf's sibling up.
    pub path: Vec<Hash>,
    /// The signed checkpoint.
    pub note: String,
}

impl TlogProof {
    /// Checks that `entry` is at the index in the log that `verifier` signs, and gives the checkpoint.
    pub fn verify(&self, entry: &[u8], verifier: &Verifier) -> Result<Checkpoint, TlogProofError> {
        let note = Note::parse(&self.note)?;
        let checkpoint: Checkpoint = note.verify(verifier)?.parse().map_err(|_| TlogProofError::Checkpoint)?;
        if checkpoint.origin != verifier.name() {
            return Err(TlogProofError::Checkpoint);
        }
        verify_inclusion(&leaf_hash(entry), self.index, checkpoint.size, &self.path, &checkpoint.root)
            .map_err(|_| TlogProofError::Inclusion)?;
        Ok(checkpoint)
    }
}

impl fmt::Display for TlogProof {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{MAGIC}")?;
        if let Some(extra) = &self.extra {
            writeln!(f, "extra {}", STANDARD.encode(extra))?;
        }
        writeln!(f, "index {}", self.index)?;
        self.path.iter().try_for_each(|hash| writeln!(f, "{}", hash.to_base64()))?;
        write!(f, "\n{}", self.note)
    }
}

impl FromStr for TlogProof {
    type Err = TlogProofError;

    fn from_str(text: &str) -> Result<Self, TlogProofError> {
        let (head, note) =
            text.split_once("\n\n").ok_or(TlogProofError::Line(1, "followed by an empty line and a checkpoint"))?;
        let mut lines = (1..).zip(head.split('\n')).peekable();
        if lines.next().is_none_or(|(_, line)| line != MAGIC) {
            return Err(TlogProofError::Line(1, "c2sp.org/tlog-proof@v1"));
        }
        let mut extra = None;
        if let Some((number, line)) = lines.peek().copied()
            && let Some(encoded) = line.strip_prefix("extra ")
        {
            lines.next();
            extra = Some(STANDARD.decode(encoded).map_err(|_| TlogProofError::Line(number, "`extra` and base64"))?);
        }
        let index = lines.next().and_then(|(_, line)| parse_decimal(line.strip_prefix("index ")?));
        let index = index.ok_or(TlogProofError::Line(2 + usize::from(extra.is_some()), "`index` and a number"))?;
        let mut path = Vec::new();
        for (number, line) in lines {
            if path.len() == HASHES_MAX {
                return Err(TlogProofError::Line(number, "the last: there are too many hashes"));
            }
            path.push(Hash::from_base64(line).ok_or(TlogProofError::Line(number, "a hash in base64"))?);
        }
        Ok(Self { extra, index, path, note: note.to_owned() })
    }
}
