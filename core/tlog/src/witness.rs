//! C2SP tlog-witness: what a log asks of a witness, and what the witness must answer.

use std::fmt;
use std::str::FromStr;

use thiserror::Error;

use crate::checkpoint::{Checkpoint, parse_decimal};
use crate::hash::{Hash, empty_root};
use crate::note::{Note, Verifier};
use crate::proof::verify_consistency;

/// The most hashes of a consistency proof.
const HASHES_MAX: usize = 63;

/// The body of `add-checkpoint`. `Display` writes it and `FromStr` reads it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AddCheckpoint {
    /// The size of the tree that the witness has cosigned last, as far as the log knows.
    pub old_size: u64,
    /// The consistency proof from that size on (RFC 6962, section 2.1.2).
    pub proof: Vec<Hash>,
    /// The signed checkpoint.
    pub note: String,
}

impl fmt::Display for AddCheckpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "old {}", self.old_size)?;
        self.proof.iter().try_for_each(|hash| writeln!(f, "{}", hash.to_base64()))?;
        write!(f, "\n{}", self.note)
    }
}

impl FromStr for AddCheckpoint {
    type Err = Refusal;

    fn from_str(text: &str) -> Result<Self, Refusal> {
        let (head, note) = text.split_once("\n\n").ok_or(Refusal::Malformed)?;
        let mut lines = head.split('\n');
        let old_size = lines.next().and_then(|line| parse_decimal(line.strip_prefix("old ")?)).ok_or(Refusal::Malformed)?;
        let proof: Vec<Hash> =
            lines.take(HASHES_MAX + 1).map(|line| Hash::from_base64(line).ok_or(Refusal::Malformed)).collect::<Result<_, _>>()?;
        if proof.len() > HASHES_MAX {
            return Err(Refusal::Malformed);
        }
        Ok(Self { old_size, proof, note: note.to_owned() })
    }
}

/// Why a witness doesn't cosign.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum Refusal {
    /// The request can't be read, or its old size is larger than the checkpoint's.
    #[error("the request is malformed")]
    Malformed,
    /// No log of this origin is known.
    #[error("no log of this origin is known")]
    UnknownLog,
    /// No signature of a key that is known for the log.
    #[error("the checkpoint isn't signed by the log")]
    Unsigned,
    /// Another size was cosigned last.
    #[error("the checkpoint cosigned last has {0} entries")]
    Conflict(u64),
    /// The checkpoint doesn't extend the one that was cosigned last: the log was rewritten.
    #[error("the checkpoint doesn't extend the one that was cosigned last")]
    Inconsistent,
}

impl Refusal {
    /// The HTTP status that says so.
    pub fn status(&self) -> u16 {
        match self {
            Self::Malformed => 400,
            Self::Unsigned => 403,
            Self::UnknownLog => 404,
            Self::Conflict(_) => 409,
            Self::Inconsistent => 422,
        }
    }
}

/// The checkpoint that a witness cosigned last for a log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Latest {
    /// How many entries it has; 0 if there was none.
    pub size: u64,
    /// The root of its tree; that of the empty tree if there was none.
    pub root: Hash,
}

impl Default for Latest {
    fn default() -> Self {
        Self { size: 0, root: empty_root() }
    }
}

impl AddCheckpoint {
    /// The checkpoint's origin, unverified: by it the log's keys and what was cosigned last are looked up.
    pub fn origin(&self) -> Result<String, Refusal> {
        let note = Note::parse(&self.note).map_err(|_| Refusal::Malformed)?;
        let checkpoint: Checkpoint = note.text().parse().map_err(|_| Refusal::Malformed)?;
        Ok(checkpoint.origin)
    }

    /// The text to cosign and its checkpoint, if a witness that knows these keys of the log and cosigned `latest` last may cosign it. What is
    /// cosigned then must be kept before it is told.
    pub fn judge(&self, keys: &[Verifier], latest: Latest) -> Result<(String, Checkpoint), Refusal> {
        let note = Note::parse(&self.note).map_err(|_| Refusal::Malformed)?;
        let checkpoint: Checkpoint = note.text().parse().map_err(|_| Refusal::Malformed)?;
        let mut known = keys.iter().filter(|key| key.name() == checkpoint.origin).peekable();
        if known.peek().is_none() {
            return Err(Refusal::UnknownLog);
        }
        if !known.any(|key| note.verify(key).is_ok()) {
            return Err(Refusal::Unsigned);
        }
        if self.old_size > checkpoint.size {
            return Err(Refusal::Malformed);
        }
        if self.old_size != latest.size {
            return Err(Refusal::Conflict(latest.size));
        }
        if self.old_size == checkpoint.size && latest.root != checkpoint.root {
            return Err(Refusal::Conflict(latest.size));
        }
        let (older, newer) = ((latest.size, &latest.root), (checkpoint.size, &checkpoint.root));
        verify_consistency(older, newer, &self.proof).map_err(|_| Refusal::Inconsistent)?;
        Ok((note.text().to_owned(), checkpoint))
    }
}
