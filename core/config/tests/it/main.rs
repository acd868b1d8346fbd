//! Configuration from outside: the corpus of faults, the examples, the schema and the laws of reading.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test's helpers fail as its assertions do"
)]

mod corpus;
mod examples;
mod laws;

use std::fmt::Write as _;

use remit_config::{Fault, SourceFile};

/// One file of this text.
fn file(path: &str, text: &str) -> SourceFile {
    SourceFile { path: path.to_owned(), text: text.to_owned() }
}

/// The faults as a person reads them.
fn told(faults: &[Fault]) -> String {
    faults.iter().fold(String::new(), |mut all, fault| {
        writeln!(all, "{fault}").unwrap();
        all
    })
}
