//! The crate against other implementations' vectors, and against its own laws.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test's helpers fail as its assertions do")]

mod formats;
mod merkle;
mod tree;
mod vectors;
mod witness;
