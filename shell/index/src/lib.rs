//! An index of the journal's decisions, so that questions about millions of them are answered at once.
//!
//! # What it is
//!
//! Derived, and nothing else: a [`Follower`] reads the journal's entries in order, on a thread of its own, and writes rows in batches. It
//! goes on where it stopped, and begins anew where the index isn't of this journal or runs ahead of it: with every signed checkpoint that it
//! comes by, the root of the entries that it has seen must be the checkpoint's. Whoever deletes the directory loses nothing but the time to
//! make it again. The journal knows nothing of it and waits for nothing here.
//!
//! # How it is laid out
//!
//! What decisions have in common (agent, space, tool, verdict, reason, risk, and what the layers said) is a *kind*, kept once. A decision is a
//! row with its kind, its time, its user and its ids, and each kind has its decisions in order. A question picks the kinds that it is about and merges
//! their decisions, the newest first: it costs what the page costs, not what the journal holds. Where too many kinds are meant, decisions are looked
//! at one by one, so many a page and no more: a page may then be short, and its cursor goes on where it ended.
//!
//! Beside them lie the roots of every 256 entries, from which an entry's inclusion proof is made without reading the journal again.

mod counts;
mod entry;
mod follow;
mod page;
mod proof;
mod question;
mod rows;
mod tables;

use std::path::PathBuf;

use thiserror::Error;

pub use counts::{By, Count, Counts};
pub use follow::{Builder, Follower, Standing};
pub use page::{Bounds, Found, Index, Page};
pub use proof::{Kept, Proof};
pub use question::{LIMIT_MAX, Question, TEXT_BYTES_MAX, Verdict};

/// Why something was not answered, or not indexed.
#[derive(Debug, Error)]
pub enum IndexError {
    /// The question can't be answered as it was put.
    #[error("{0}")]
    Question(String),
    /// The index has not been made yet.
    #[error("the index is not there yet: it is being made")]
    Missing,
    /// The index is not of this journal, or runs ahead of it.
    #[error("the index is not of this journal: {0}")]
    Foreign(&'static str),
    /// The journal contradicts itself.
    #[error("the journal is damaged: {0}: `remit verify` says where")]
    Damaged(&'static str),
    /// Another process keeps the index.
    #[error("another process keeps the index")]
    Locked,
    /// A file operation failed.
    #[error("cannot keep the index in `{}`", dir.display())]
    Io {
        /// The index's directory.
        dir: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// The database failed.
    #[error("the index's database failed: {0}")]
    Database(#[from] rusqlite::Error),
    /// The journal could not be read.
    #[error("the journal cannot be read: {0}")]
    Journal(#[from] remit_journal::ReadError),
}

impl IndexError {
    /// Whether the index is spoilt: only making it again helps, and that helps.
    fn is_spoilt(&self) -> bool {
        use rusqlite::ErrorCode::{DatabaseCorrupt, NotADatabase};
        match self {
            Self::Foreign(_) => true,
            Self::Database(error) => matches!(error.sqlite_error_code(), Some(DatabaseCorrupt | NotADatabase)),
            _ => false,
        }
    }
}
