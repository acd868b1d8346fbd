//! The engine from outside: documents in, decisions out.

#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "a test's helpers fail as its assertions do")]

mod access;
mod corners;
mod faults;
mod hostile;
mod laws;
mod layers;
mod lint;
mod naive;

use std::sync::Arc;

use remit_iam::{Keys, Policy, PolicyKind, PolicySet, document};

/// A session and its role.
pub(crate) const SESSION: &str = "arn:aws:sts::111122223333:assumed-role/agent/one";
pub(crate) const ROLE: &str = "arn:aws:iam::111122223333:role/agent";
/// The account of the principals.
pub(crate) const ACCOUNT: &str = "111122223333";

/// A policy without a fault.
pub(crate) fn policy(kind: PolicyKind, text: &str) -> Arc<Policy> {
    let root = document::parse(text).unwrap_or_else(|faults| panic!("{text}: {faults:?}"));
    Arc::new(Policy::read(kind, "p", "p.json", &root).unwrap_or_else(|faults| panic!("{text}: {faults:#?}")))
}

/// A set of one policy whose statements are given.
pub(crate) fn set(keys: &mut Keys, kind: PolicyKind, statements: &str) -> PolicySet {
    let text = format!(r#"{{"Version":"2012-10-17","Statement":[{statements}]}}"#);
    PolicySet::compile(keys, &[policy(kind, &text)])
}
