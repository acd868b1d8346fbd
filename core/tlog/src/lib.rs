//! A transparency log's mathematics: RFC 6962 hashing, proofs, and the C2SP formats built on them.
//!
//! Nothing here reads a file, a clock or a source of randomness, and nothing here knows what an entry means. Parsers
//! are strict (one spelling of each value) and total: any input gives a value or an error, never a panic.
//!
//! | module | specification |
//! |---|---|
//! | [`hash`], [`frontier`], [`proof`] | RFC 6962 §2.1, RFC 9162 §2.1 |
//! | [`note`] | C2SP signed-note, Ed25519 only |
//! | [`checkpoint`] | C2SP tlog-checkpoint |
//! | [`tile`], [`bundle`] | C2SP tlog-tiles |
//! | [`tlog_proof`] | C2SP tlog-proof |
//! | [`cosignature`], [`witness`] | C2SP tlog-cosignature (Ed25519), tlog-witness |

pub mod bundle;
pub mod checkpoint;
pub mod cosignature;
pub mod frontier;
pub mod hash;
pub mod note;
pub mod proof;
pub mod tile;
pub mod tlog_proof;
pub mod witness;

pub use checkpoint::{Checkpoint, CheckpointError};
pub use cosignature::{Cosigner, WitnessKey};
pub use frontier::Frontier;
pub use hash::{Hash, empty_root, leaf_hash, node_hash};
pub use note::{Note, NoteError, Signer, Verifier};
pub use proof::{Node, ProofError, consistency_proof, inclusion_proof, verify_consistency, verify_inclusion};
pub use tile::{TileKind, TilePath, TilePathError};
pub use tlog_proof::{TlogProof, TlogProofError};
