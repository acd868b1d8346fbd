//! C2SP checkpoints: what a log signs. The origin, the size and the root, each on a line.

use std::fmt;
use std::str::FromStr;

use thiserror::Error;

use crate::hash::Hash;

/// Why a text is not a checkpoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum CheckpointError {
    /// The text does not end with a newline, or has fewer than three lines.
    #[error("checkpoint lacks a line")]
    Lines,
    /// The origin is empty or has a control character.
    #[error("checkpoint origin is malformed")]
    Origin,
    /// The size is not a decimal number without leading zeros.
    #[error("checkpoint size is malformed")]
    Size,
    /// The root is not 32 bytes in standard base64.
    #[error("checkpoint root is malformed")]
    Root,
    /// An extension line is empty or has a control character.
    #[error("checkpoint extension is malformed")]
    Extension,
}

/// The body of a checkpoint; `Display` writes it and `FromStr` reads it, each in the one spelling allowed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Checkpoint {
    /// The log's identity: one line, never empty.
    pub origin: String,
    /// How many leaves the tree has.
    pub size: u64,
    /// The root of the tree.
    pub root: Hash,
    /// Further lines, opaque here and discouraged by the specification.
    pub extensions: Vec<String>,
}

impl Checkpoint {
    /// A checkpoint without extension lines.
    pub fn new(origin: &str, size: u64, root: Hash) -> Result<Self, CheckpointError> {
        if !is_line(origin) {
            return Err(CheckpointError::Origin);
        }
        Ok(Self { origin: origin.to_owned(), size, root, extensions: Vec::new() })
    }
}

impl fmt::Display for Checkpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}\n{}\n{}\n", self.origin, self.size, self.root.to_base64())?;
        self.extensions.iter().try_for_each(|line| writeln!(f, "{line}"))
    }
}

impl FromStr for Checkpoint {
    type Err = CheckpointError;

    fn from_str(text: &str) -> Result<Self, CheckpointError> {
        let mut lines = text.strip_suffix('\n').ok_or(CheckpointError::Lines)?.split('\n');
        let mut next = || lines.next().ok_or(CheckpointError::Lines);
        let (origin, size, root) = (next()?, next()?, next()?);
        let size = parse_decimal(size).ok_or(CheckpointError::Size)?;
        let root = Hash::from_base64(root).ok_or(CheckpointError::Root)?;
        let mut checkpoint = Self::new(origin, size, root)?;
        for line in lines {
            if !is_line(line) {
                return Err(CheckpointError::Extension);
            }
            checkpoint.extensions.push(line.to_owned());
        }
        Ok(checkpoint)
    }
}

fn is_line(line: &str) -> bool {
    !line.is_empty() && !line.bytes().any(|byte| byte < b' ')
}

/// A decimal number in its one spelling: digits only, no leading zero.
pub(crate) fn parse_decimal(text: &str) -> Option<u64> {
    let canonical = text.bytes().all(|byte| byte.is_ascii_digit()) && (text == "0" || !text.starts_with('0'));
    if canonical { text.parse().ok() } else { None }
}
