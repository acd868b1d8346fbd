//! AWS's policy language (IAM JSON, version 2012-10-17): strict at load, evaluated as AWS documents, explained to the statement.
//!
//! - [`document`]: a tree with places, from JSON text or built by hand; [`Policy::read`] reads a policy from it, or tells
//!   every fault;
//! - [`PolicySet::compile`]: the policies of one layer, bound to [`Keys`] and indexed;
//! - [`Context`]: the facts of a request, by slot; [`Principal`]: who asks;
//! - [`evaluate`] and [`trust`]: the decision over all [`Layers`], and with `explain` every statement that matched or nearly did;
//! - [`access`]: whether a change grants anything new;
//! - [`lint`]: what is allowed in a policy and probably not meant;
//! - [`simulate`]: a case in, a decision out, for the command line and for comparing engines.
//!
//! Where AWS's documentation is silent, what is asked is denied; those places are listed in `docs/reference/iam-deviations.md`.

pub mod access;
pub mod document;

mod bytes;
mod condition;
mod evaluate;
mod explain;
mod glob;
mod index;
mod keys;
pub mod lint;
mod policy;
mod principal;
mod read;
mod scalar;
mod set;
pub mod simulate;
mod target;
mod truth;

pub use condition::Condition;
pub use evaluate::{
    CheckEffect, CheckType, Decision, Evaluation, LEVELS_MAX, Layers, Line, RESOURCE_BYTES_MAX, Request, evaluate, trust,
};
pub use explain::{Detail, Missing, NearMiss, Unmet};
pub use keys::{Context, Keys, Slot, Source, Value};
pub use policy::{Effect, Policy, PolicyKind, Statement};
pub use principal::{NotAPrincipal, Principal, PrincipalKind};
pub use scalar::moment_secs;
pub use set::PolicySet;
pub use truth::Truth;
