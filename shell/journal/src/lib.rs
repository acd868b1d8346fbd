//! The embedded journal of one node: opaque entries in an append-only, signed Merkle log that survives a power cut.
//!
//! # What is promised
//!
//! - **Durable before acknowledged.** An [`Append`] resolves after the `fdatasync` that covers its entry and its signed
//!   checkpoint. Nothing acknowledged is lost, nothing is repeated.
//! - **One flush, one chance.** After the first failed write or flush nothing is acknowledged any more: pending and later
//!   appends fail at once, and the flush is never retried. Only opening the journal again resumes service; that also holds
//!   for a full disk.
//! - **Tamper evident.** Entries are leaves of an RFC 6962 tree; each batch ends with an Ed25519-signed C2SP checkpoint.
//!   [`verify`] recomputes everything from the files and the public key.
//!
//! # The directory
//!
//! | file | what |
//! |---|---|
//! | `<generation>.segment` | frames, zero-filled ahead of use; see `frame.rs` and `segment.rs` |
//! | `<generation>.preparing` | the next segment while it is being zero-filled; removed on opening |
//! | `durable` | the size of the tree that is known to be on disk, for readers and against truncation; not itself flushed |
//! | `lock`, `erasing` | held by the one writer, and by the one who erases |
//! | `<generation>.rewriting` | a full segment while it is written anew without entries that were erased; removed on opening |
//! | `reserve` | disk space given back when the journal stops, so that `stopped` can be written |
//! | `stopped` | why the journal stopped; reported by the next opening and removed by its first append |
//!
//! Beside it, if asked for, lie attachments: bytes that belong to an entry and are in no tree; see `attachment.rs`.
//!
//! # The life of an append
//!
//! ```text
//! caller: leaf hash ─► queue (group) ─► wait                                                       ─► acknowledged
//! writer:                    drain group ─► frames + root + signature ─► write ─► fdatasync ─► mark ─┘
//! ```
//!
//! Where several nodes have one log, a batch is where the others have it from ([`Replicate`]) before it is written here; a node that stands by
//! writes what it reads from there with a [`Follower`].
//!
//! While one group is being flushed the next one fills: the batch grows with the load, and no timer is needed.

mod append;
mod attachment;
mod erase;
mod files;
mod follow;
mod frame;
mod journal;
mod key;
mod mark;
mod prepare;
mod proof;
mod reader;
mod recover;
mod segment;
mod verify;
mod writer;

#[cfg(test)]
mod crash_test;

pub use append::{Append, AppendError, Appended};
pub use attachment::{ATTACHMENT_BYTES_MAX, AttachmentOptions, Attachments, erase_attachments};
pub use erase::{EraseError, Erased, Eraser, FullSegment, list_full_segments, read_full_segment};
pub use follow::{FollowError, Follower, Replicate};
pub use journal::{Health, Journal, Known, Options};
pub use key::SigningKey;
pub use mark::durable_entries;
pub use proof::{ProofError, inclusion_proof};
pub use reader::{Entry, ReadError, Reader, TreeLeaf};
pub use recover::{OpenError, Recovery};
pub use segment::SignedCheckpoint;
pub use verify::{Finding, Report, VerifyError, verify, verify_against};

/// The longest entry in bytes; a larger value belongs in a blob named by its digest.
pub const ENTRY_BYTES_MAX: usize = remit_tlog::bundle::ENTRY_BYTES_MAX;
