//! Behaviour: what is expected of agents, and when it is told that they do something else.

use serde::{Deserialize, Serialize};

use crate::AgentId;

/// What is expected of an agent, from what it has done so far.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Expectation {
    /// It uses the tools that it has used before.
    FirstUse,
    /// It calls about as often.
    Rate,
    /// It is there at the hours at which it usually is.
    TimeOfDay,
    /// Its calls come from where they came from.
    Origin,
    /// Tools follow each other as they did.
    Sequence,
    /// Arguments have the names and types that they had.
    ArgumentShape,
    /// Numbers are about as large.
    ArgumentRange,
    /// Where there are a few values only, it is one of them.
    ArgumentValue,
    /// Texts look as they did: how long, without a blank for how long, of which characters.
    ArgumentText,
    /// A tool is pointed at about as many different things.
    Targets,
    /// It is denied about as often.
    Denials,
    /// Its tools fail about as often.
    Errors,
    /// Results are about as large, each and together.
    ResultSize,
}

impl Expectation {
    /// Every one.
    pub const ALL: [Self; 13] = [
        Self::FirstUse,
        Self::Rate,
        Self::TimeOfDay,
        Self::Origin,
        Self::Sequence,
        Self::ArgumentShape,
        Self::ArgumentRange,
        Self::ArgumentValue,
        Self::ArgumentText,
        Self::Targets,
        Self::Denials,
        Self::Errors,
        Self::ResultSize,
    ];

    /// The word for it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::FirstUse => "first_use",
            Self::Rate => "rate",
            Self::TimeOfDay => "time_of_day",
            Self::Origin => "origin",
            Self::Sequence => "sequence",
            Self::ArgumentShape => "argument_shape",
            Self::ArgumentRange => "argument_range",
            Self::ArgumentValue => "argument_value",
            Self::ArgumentText => "argument_text",
            Self::Targets => "targets",
            Self::Denials => "denials",
            Self::Errors => "errors",
            Self::ResultSize => "result_size",
        }
    }
}

/// How the behaviour of agents is watched.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Behaviour {
    /// From which score on something is found, in bits.
    pub score: u32,
    /// On how many days an agent must have been there before anything is said of it.
    pub learning_days: u32,
    /// On how many days something must have been found before it counts as usual.
    pub accepted_after_days: u32,
    /// Of these agents; empty: of all.
    pub agents: Vec<AgentId>,
    /// What isn't looked at.
    pub ignored: Vec<Expectation>,
}

impl Default for Behaviour {
    fn default() -> Self {
        Self { score: Self::SCORE, learning_days: 7, accepted_after_days: 3, agents: Vec::new(), ignored: Vec::new() }
    }
}

impl Behaviour {
    /// The score where nobody says another one: it was chosen on the tuning seeds of `cargo xtask behaviour`.
    pub const SCORE: u32 = 4;
}
