//! What the scan of definitions finds in what servers offer: texts that are meant for a model and not for a person.
//!
//! A tool in which more is found than its account admits isn't accepted at first sight, and one that was is accepted no more: it stays in
//! quarantine until a named person has looked at it. So do a server's instructions.

use std::collections::BTreeMap;
use std::sync::Arc;

use remit_guard::scan::{Finding, ServerDefinition, scan};
use remit_mcp::canonical::{hex, sha256};
use remit_model::{FindingsAdmitted, ServerKey};
use serde::Serialize;
use serde_json::Value;

pub use remit_guard::scan::Severity;

use crate::catalogue::{Catalogue, Pin, PinKey, PinState, ServerCatalogue};

/// What a server's instructions are called among its tools: no tool may have this name.
pub const INSTRUCTIONS: &str = "(instructions)";
/// Who accepted what was accepted at first sight.
pub const FIRST_REGISTRATION: &str = "first-registration";

/// Something found in a definition.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct DefinitionFinding {
    /// The server, by account and name.
    pub server: String,
    /// The tool, by the server's own name; none for what the server says of itself.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tool: Option<String>,
    /// How grave.
    pub severity: Severity,
    /// By which rule, such as `INSTRUCTION`.
    pub rule: &'static str,
    /// Where in the definition: a JSON pointer.
    pub pointer: String,
    /// Why, for a person.
    pub reason: String,
}

impl DefinitionFinding {
    /// In one line.
    pub fn told(&self) -> String {
        let of = self.tool.as_deref().map(|tool| format!(" tool `{tool}`")).unwrap_or_default();
        format!("server {}{of}: {}", self.server, self.what())
    }

    /// The same without whose it is.
    pub fn what(&self) -> String {
        format!("{} ({}) at `{}`: {}", self.rule, self.severity.name(), self.pointer, self.reason)
    }

    /// Whether it is told where nobody asks for more than is admitted: what is only worth knowing is told where it keeps tools out.
    pub fn is_told(&self, admitted: FindingsAdmitted) -> bool {
        self.severity >= Severity::Medium || !admits(admitted, Some(self.severity))
    }
}

/// Whether a tool with such a finding is admitted at first sight.
fn admits(admitted: FindingsAdmitted, gravest: Option<Severity>) -> bool {
    match (gravest, admitted) {
        (None, _) => true,
        (Some(Severity::Low), admitted) => admitted >= FindingsAdmitted::Low,
        (Some(Severity::Medium), admitted) => admitted >= FindingsAdmitted::Medium,
        (Some(Severity::High), _) => false,
    }
}

/// The gravest finding of a server as a whole, and of each of its tools.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Gravest {
    pub(crate) whole: Option<Severity>,
    pub(crate) tools: BTreeMap<String, Severity>,
}

impl Gravest {
    /// Of each server that something is found in.
    pub fn of_all<'a>(servers: impl Iterator<Item = &'a ServerKey>, findings: &[DefinitionFinding]) -> BTreeMap<ServerKey, Self> {
        let keys: BTreeMap<String, &ServerKey> = servers.map(|key| (key.to_string(), key)).collect();
        let mut all: BTreeMap<ServerKey, Self> = BTreeMap::new();
        for finding in findings {
            let Some(key) = keys.get(&finding.server) else { continue };
            let of = all.entry((*key).clone()).or_default();
            match &finding.tool {
                None => of.whole = of.whole.max(Some(finding.severity)),
                // What has no name can't be offered.
                Some(tool) if tool.is_empty() => {}
                Some(tool) => {
                    let gravest = of.tools.entry(tool.clone()).or_insert(finding.severity);
                    *gravest = finding.severity.max(*gravest);
                }
            }
        }
        all
    }

    /// Whether a tool is admitted at first sight; of the server's instructions what is found in the server as a whole counts alone.
    pub fn admits(&self, admitted: FindingsAdmitted, tool: &str) -> bool {
        admits(admitted, self.whole.max(self.tools.get(tool).copied()))
    }
}

/// Scans what all servers offer, together: what one says of another is a finding. Of two that are alike the one that was accepted later is
/// told of, whatever their names.
pub fn findings(catalogue: &Catalogue) -> Vec<DefinitionFinding> {
    let read = |(key, live): (&ServerKey, &Arc<ServerCatalogue>)| ServerDefinition {
        account: key.account.to_string(),
        name: key.name.to_string(),
        instructions: live.instructions.clone(),
        tools: live.tools.iter().filter_map(|tool| serde_json::from_str::<Value>(tool).ok()).collect(),
    };
    let mut since: BTreeMap<&ServerKey, u64> = BTreeMap::new();
    for (key, pin) in &catalogue.pins {
        let first = since.entry(&key.server).or_insert(pin.accepted_at_secs);
        *first = pin.accepted_at_secs.min(*first);
    }
    let mut servers: Vec<(&ServerKey, &Arc<ServerCatalogue>)> = catalogue.servers.iter().collect();
    servers.sort_by_key(|(key, _)| since.get(key).copied().unwrap_or(u64::MAX));
    let servers: Vec<ServerDefinition> = servers.into_iter().map(read).collect();
    scan(&servers, Severity::Low).into_iter().map(told).collect()
}

fn told(finding: Finding) -> DefinitionFinding {
    let Finding { severity, rule, server, tool, pointer, reason } = finding;
    DefinitionFinding { server, tool, severity, rule: rule.name(), pointer, reason }
}

/// A server's instructions, held to what was accepted of them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Instructions {
    /// What was accepted; `None`: nothing, or that there are none.
    pub accepted: Option<String>,
    /// What the server says now.
    pub shown: Option<String>,
    /// How that stands to what was accepted.
    pub state: PinState,
}

/// The pin of instructions: JSON text, and its digest.
pub fn instructions_pin(shown: Option<&str>, by: &str, now_secs: u64) -> Pin {
    let definition = Value::from(shown).to_string();
    let digest = format!("sha256:{}", hex(&sha256(definition.as_bytes())));
    Pin { digest, definition, accepted_by: by.to_owned(), accepted_at_secs: now_secs }
}

impl Catalogue {
    /// What a server says to clients of itself, and what of it may be shown to them. `None` until it has answered.
    pub fn instructions(&self, server: &ServerKey, admitted: FindingsAdmitted) -> Option<Instructions> {
        let shown = self.servers.get(server)?.instructions.clone();
        let pin = self.pins.get(&PinKey { server: server.clone(), tool: INSTRUCTIONS.to_owned() });
        let pin = pin.filter(|pin| self.holds(server, INSTRUCTIONS, pin, admitted));
        let Some(pin) = pin else { return Some(Instructions { accepted: None, shown, state: PinState::New }) };
        let accepted: Option<String> = serde_json::from_str(&pin.definition).unwrap_or_default();
        let live = instructions_pin(shown.as_deref(), "", 0);
        let state = if live.digest == pin.digest {
            PinState::Intact
        } else {
            PinState::Drifted { digest: live.digest, definition: live.definition }
        };
        Some(Instructions { accepted, shown, state })
    }

    /// Whether a pin counts: what was accepted at first sight does for as long as no more is found than is admitted.
    pub(crate) fn holds(&self, server: &ServerKey, tool: &str, pin: &Pin, admitted: FindingsAdmitted) -> bool {
        pin.accepted_by != FIRST_REGISTRATION || self.gravest.get(server).is_none_or(|gravest| gravest.admits(admitted, tool))
    }
}
