//! The control plane through its public face: versions in stores that fail, reviews of every kind of forger, and who may do
//! what as an operator.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "a test that can't go on fails")]

mod console;
mod operators;
mod plan;
mod plane;
mod repeat;
mod review;
mod versions;

use remit_config::SourceFile;
use remit_control::versions::{Candidate, Origin};

fn file(path: &str, text: &str) -> SourceFile {
    SourceFile { path: path.to_owned(), text: text.to_owned() }
}

fn candidate(by: &str, files: &[SourceFile]) -> Candidate {
    Candidate {
        files: files.to_vec(),
        review: None,
        origin: Origin::Apply,
        source: "here".to_owned(),
        again: None,
        by: by.to_owned(),
        reason: "to see".to_owned(),
        plan: None,
    }
}
