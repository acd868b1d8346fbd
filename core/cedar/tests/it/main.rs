//! Policy sets as a gateway uses them.

#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, clippy::expect_used, reason = "tests")]

mod decisions;
mod histories;
mod hostile;
mod world;
