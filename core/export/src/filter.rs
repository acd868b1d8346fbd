//! Which decisions are told.

use remit_model::time_ms;
use serde_json::Value;

/// Which decisions are told: all that each list and each bound that is given lets through.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Filter {
    /// Of these agents.
    pub agents: Vec<String>,
    /// In these spaces.
    pub spaces: Vec<String>,
    /// Of these tools, by their names in policies; a `*` at the end stands for any rest.
    pub tools: Vec<String>,
    /// On behalf of these users.
    pub users: Vec<String>,
    /// With these verdicts: `ALLOW`, `DENY`, `HOLD`.
    pub verdicts: Vec<String>,
    /// For these reasons.
    pub reasons: Vec<String>,
    /// Of this time on, in milliseconds since the epoch.
    pub since_ms: Option<u64>,
    /// Before this time.
    pub until_ms: Option<u64>,
}

impl Filter {
    /// Whether a decision is told.
    pub fn tells(&self, decision: &Value) -> bool {
        let text = |key: &str| decision.get(key).and_then(Value::as_str).unwrap_or_default();
        let one_of = |wanted: &[String], key: &str| wanted.is_empty() || wanted.iter().any(|one| one == text(key));
        let at_ms = || time_ms(text("time")).unwrap_or_default();
        one_of(&self.agents, "agent")
            && one_of(&self.spaces, "space")
            && (self.tools.is_empty() || self.tools.iter().any(|wanted| named(wanted, text("tool"))))
            && one_of(&self.users, "user")
            && one_of(&self.verdicts, "verdict")
            && one_of(&self.reasons, "reason")
            && self.since_ms.is_none_or(|since| at_ms() >= since)
            && self.until_ms.is_none_or(|until| at_ms() < until)
    }
}

fn named(wanted: &str, tool: &str) -> bool {
    wanted.strip_suffix('*').map_or(wanted == tool, |start| tool.starts_with(start))
}
