//! What holds for a started process: said by the launcher before the program begins.

use remit_model::SandboxMechanism;
use serde::{Deserialize, Serialize};

/// A mechanism that doesn't hold.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Missing {
    /// Which.
    pub mechanism: SandboxMechanism,
    /// Why, and what that means, in plain English.
    pub why: String,
}

/// What holds and what doesn't.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Report {
    /// The mechanisms that hold.
    pub held: Vec<SandboxMechanism>,
    /// Those that don't.
    pub missing: Vec<Missing>,
    /// Why nothing was started. Then nothing else counts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failed: Option<String>,
}

impl Report {
    /// Why a set-up failed.
    pub fn failure(why: impl Into<String>) -> Self {
        Self { failed: Some(why.into()), ..Self::default() }
    }

    /// Reads what the launcher wrote: lines, of which the last that says something counts.
    ///
    /// A launcher that ended without a word started nothing.
    pub fn parse(text: &[u8]) -> Self {
        let lines = text.split(|byte| *byte == b'\n').filter(|line| !line.is_empty());
        let reports = lines.map(|line| {
            serde_json::from_slice::<Self>(line)
                .unwrap_or_else(|_| Self::failure(format!("the launcher said `{}`", String::from_utf8_lossy(line))))
        });
        reports
            .reduce(|first, last| if first.failed.is_some() { first } else { last })
            .unwrap_or_else(|| Self::failure("the launcher ended without a word"))
    }

    /// Whether a mechanism holds.
    pub fn holds(&self, mechanism: SandboxMechanism) -> bool {
        self.held.contains(&mechanism)
    }

    pub(crate) fn hold(&mut self, mechanism: SandboxMechanism) {
        self.held.push(mechanism);
    }

    pub(crate) fn miss(&mut self, mechanism: SandboxMechanism, why: impl Into<String>) {
        self.missing.push(Missing { mechanism, why: why.into() });
    }

    /// What is missing, as one sentence; nothing where nothing is.
    pub fn shortfall(&self) -> Option<String> {
        let said: Vec<String> = self.missing.iter().map(|missing| format!("{}: {}", missing.mechanism, missing.why)).collect();
        (!said.is_empty()).then(|| said.join("; "))
    }
}
