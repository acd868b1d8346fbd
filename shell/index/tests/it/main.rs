//! The index, held against the journals that it was made of.

#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "a test that can't go on fails")]

mod laws;
mod lives;
mod log;
