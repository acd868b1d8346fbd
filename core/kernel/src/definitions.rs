//! What the scan of definitions finds in what servers offer: texts that are meant for a model and not for a person.
//!
//! A tool in which something grave is found isn't accepted at first sight: it stays in quarantine until a named person has looked at it.

use remit_guard::scan::{Finding, ServerDefinition, Severity, scan};
use remit_model::ServerKey;
use serde::Serialize;
use serde_json::Value;

use crate::catalogue::Catalogue;

/// Something found in a definition.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct DefinitionFinding {
    /// The server, by account and name.
    pub server: String,
    /// The tool, by the server's own name; none for what the server says of itself.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tool: Option<String>,
    /// `low`, `medium` or `high`.
    pub severity: &'static str,
    /// By which rule, such as `INSTRUCTION`.
    pub rule: &'static str,
    /// Where in the definition: a JSON pointer.
    pub pointer: String,
    /// Why, for a person.
    pub reason: String,
}

impl DefinitionFinding {
    /// Whether a named person has to look before it is accepted.
    pub fn is_grave(&self) -> bool {
        self.severity == "high"
    }

    /// In one line.
    pub fn told(&self) -> String {
        let of = self.tool.as_deref().map(|tool| format!(" tool `{tool}`")).unwrap_or_default();
        format!("server {}{of}: {} ({}) at `{}`: {}", self.server, self.rule, self.severity, self.pointer, self.reason)
    }
}

/// Scans what all servers offer, together: what one says of another is a finding. From `medium` up, the server's order kept.
pub fn findings(catalogue: &Catalogue) -> Vec<DefinitionFinding> {
    let read = |(key, live): (&ServerKey, &std::sync::Arc<crate::catalogue::ServerCatalogue>)| ServerDefinition {
        name: key.to_string(),
        instructions: live.instructions.clone(),
        tools: live.tools.iter().filter_map(|tool| serde_json::from_str::<Value>(tool).ok()).collect(),
    };
    let servers: Vec<ServerDefinition> = catalogue.servers.iter().map(read).collect();
    scan(&servers, Severity::Medium).into_iter().map(told).collect()
}

fn told(finding: Finding) -> DefinitionFinding {
    let severity = match finding.severity {
        Severity::Low => "low",
        Severity::Medium => "medium",
        Severity::High => "high",
    };
    let Finding { server, tool, pointer, reason, .. } = finding;
    DefinitionFinding { server, tool, severity, rule: finding.rule.name(), pointer, reason }
}
