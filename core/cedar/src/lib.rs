//! Policy sets in Cedar and Dogwood, in the vocabulary of AgentCore Policy.
//!
//! - [`Source`]: the texts of a set, read into [`Rule`]s with their places;
//! - [`Tool`] and the vocabulary that is made of tools' pinned schemas;
//! - [`PolicySet`]: rules compiled against a vocabulary and sliced by action: [`PolicySet::decide`] costs the same with ten rules as
//!   with ten thousand; [`PolicySet::possible`] asks whether any arguments could be allowed, [`PolicySet::openness`] whether
//!   anybody's could;
//! - [`PolicySet::question`]: whether any call that a condition means could be allowed, as data for symbolic analysis;
//! - [`History`]: what the temporal conditions of a set remember, per session, principal, agent or space.
//!
//! Parsing, type checking, Cedar's evaluation and the temporal monitors are those of the crates `cedar-policy`, `dogwood-language` and
//! `dogwood-local-engine`. What is ours: the vocabulary, the slices, what an error means (it denies), and whose history is whose.
//!
//! Times, facts and events are arguments; nothing here reads a clock or a file.

mod answer;
mod anybody;
mod check;
#[cfg(test)]
mod corpus;
#[cfg(test)]
mod documentation;
mod excerpt;
#[cfg(test)]
mod guide;
mod history;
#[cfg(test)]
mod law;
mod look;
mod memory;
mod name;
mod partial;
mod question;
mod reads;
mod relevance;
mod set;
mod shape;
mod source;
mod split;
mod vocabulary;

pub use answer::{Answer, Ask, Claims, ContextFacts, Effect, Judgement, PrincipalKind, RuleError, Who, datetime};
pub use anybody::Openness;
pub use history::{Bindings, EventKind, History, HistoryError, HistoryEvent, Scopes};
pub use name::{mangle, unmangle};
pub use question::{
    CONDITION_BYTES_MAX, ConditionFault, Known, Literals, Meant, Prover, Question, Reply, Supposed, read_condition,
};
pub use set::{Finding, PolicySet};
pub use source::{Fault, File, HistoryScope, Mode, Rule, RuleEffect, Source};
pub use vocabulary::Tool;

/// The namespace of the vocabulary.
pub const NAMESPACE: &str = "AgentCore";
