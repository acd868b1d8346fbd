//! Configuration as code: the texts of a directory in, an organization or every fault out.
//!
//! [`read`] never stops at the first fault: one run names all faults of all files, each with its place and how to mend it.
//! Nothing here touches a file, the network or the environment; a secret is only ever named, and a text that looks like one
//! is refused without being repeated.
//!
//! - [`yaml`]: text to a tree in which every node knows its place;
//! - [`item`]: typed reading of that tree, for what stands beside a configuration too;
//! - `iam`, `managed`, `server`, `access`, `approval`, `console`, `invariant`, `policy_set`, `retention`, `review`, `sandbox`, `trust`, `witness`, `secret`, `url`, `jwks`: the nouns;
//! - `check`, `tree`: what holds between them;
//! - [`outline`]: what two configurations say differently, for people;
//! - `schema`: the same shape for editors.

// One document of many definitions, written as one literal.
#![recursion_limit = "256"]

mod access;
mod alarm;
mod approval;
mod behaviour;
mod budget;
mod check;
mod cloudwatch;
mod console;
mod delivery;
mod draft;
mod fault;
mod guardrail;
mod iam;
mod invariant;
pub mod item;
mod jwks;
mod label;
mod managed;
pub mod outline;
mod path;
mod policy_set;
mod registry;
mod retention;
mod review;
mod sandbox;
mod schema;
mod secret;
mod server;
mod suggest;
mod tree;
mod trust;
mod url;
mod witness;
pub mod yaml;
mod zone;

pub use draft::read;
pub use fault::{Fault, Severity};
pub use iam::session_policy;
pub use path::{LOCK_FILE, TESTS_FOLDER, is_cases, is_source};
pub use schema::schema;
pub use suggest::did_you_mean;

use remit_model::Organization;

/// One file of the configuration directory.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct SourceFile {
    /// Its path below the directory, with `/` between the parts.
    pub path: String,
    /// Its text.
    pub text: String,
}

/// A configuration without a fault.
#[derive(Debug, Clone, PartialEq)]
pub struct Loaded {
    /// What it says.
    pub organization: Organization,
    /// What is allowed but probably not meant, in the order of the files.
    pub warnings: Vec<Fault>,
}
