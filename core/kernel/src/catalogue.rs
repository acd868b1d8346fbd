//! What servers offer, and the pins that hold their tools to what was accepted.

use std::collections::BTreeMap;
use std::sync::Arc;

use remit_mcp::canonical::tool_digest;
use remit_mcp::header::{ParamHeader, param_headers};
use remit_mcp::json::{Limits, scan};
use remit_model::{FindingsAdmitted, RegistryStatus, Server, ServerKey, ToolClass};
use serde_json::Value;

use crate::definitions::{FIRST_REGISTRATION, Gravest, INSTRUCTIONS};
use crate::registry::{self, Record};
use crate::schema::ArgumentSchema;

/// The most tools of one server (AWS DevOps Agent's limit for a space).
pub const TOOLS_MAX: usize = 500;
/// The largest definition of one tool, in bytes.
pub const TOOL_BYTES_MAX: usize = 512 * 1024;

/// Which tool a pin holds.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PinKey {
    /// The server.
    pub server: ServerKey,
    /// The tool's own name.
    pub tool: String,
}

/// An accepted definition.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pin {
    /// The digest of its canonical form.
    pub digest: String,
    /// The definition as the server wrote it: JSON text.
    pub definition: String,
    /// Who accepted it: an operator, or `first-registration`.
    pub accepted_by: String,
    /// When, in seconds since the epoch.
    pub accepted_at_secs: u64,
}

/// How a live definition stands to its pin.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PinState {
    /// It is what was accepted.
    Intact,
    /// It differs; this is the definition that the server shows now.
    Drifted {
        /// The digest of the live definition.
        digest: String,
        /// The live definition: JSON text.
        definition: String,
    },
    /// Nobody has accepted it: it appeared after the server was registered, or more was found in it than is admitted at first sight.
    New,
    /// The server no longer offers it.
    Gone,
}

/// Something to tell an operator about a tool at registration.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct ToolFinding {
    /// The server.
    pub server: ServerKey,
    /// The tool's own name.
    pub tool: String,
    /// What is wrong and how to mend it.
    pub fault: String,
}

/// A tool whose definition could be read.
#[derive(Debug, Clone)]
pub struct ToolDefinition {
    /// The server's own name for it.
    pub name: String,
    /// The definition: JSON text, as the server wrote it.
    pub json: Arc<str>,
    /// The digest of its canonical form.
    pub digest: String,
    /// Its class by its own annotations.
    pub class: ToolClass,
    /// Its argument schema.
    pub schema: Arc<ArgumentSchema>,
    /// Parameters that travel in headers too.
    pub param_headers: Vec<ParamHeader>,
}

impl ToolDefinition {
    /// Reads one definition. The error says why the tool can't be offered.
    pub fn read(json: &str) -> Result<Self, String> {
        if json.len() > TOOL_BYTES_MAX {
            return Err("its definition is larger than 512 KiB".to_owned());
        }
        scan(json.as_bytes(), Limits::default()).map_err(|error| format!("its definition is no acceptable JSON: {error}"))?;
        let value: Value = serde_json::from_str(json).map_err(|error| format!("its definition can't be read: {error}"))?;
        let name = value.get("name").and_then(Value::as_str).filter(|name| !name.is_empty()).ok_or("it has no name")?.to_owned();
        if name == INSTRUCTIONS {
            return Err("its name is kept for the server's instructions".to_owned());
        }
        let input = value.get("inputSchema").filter(|schema| schema.is_object()).ok_or("it has no `inputSchema` object")?;
        let schema = ArgumentSchema::compile(input).map_err(|error| error.to_string())?;
        let hint = |key: &str| value.get("annotations").and_then(|all| all.get(key)).and_then(Value::as_bool);
        Ok(Self {
            name,
            digest: tool_digest(&value),
            class: ToolClass::from_annotations(hint("readOnlyHint"), hint("destructiveHint")),
            schema: Arc::new(schema),
            param_headers: param_headers(input)?,
            json: json.into(),
        })
    }
}

/// A prompt, resource or resource template: JSON text with the field that names it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listed {
    /// The name of a prompt, the URI of a resource, the URI template of a template.
    pub name: String,
    /// The whole entry as the server wrote it.
    pub json: Arc<str>,
}

/// What one server offered when it was last asked.
#[derive(Debug, Clone, Default)]
pub struct ServerCatalogue {
    /// Its tools as it wrote them, in its order.
    pub tools: Vec<Arc<str>>,
    /// Its prompts.
    pub prompts: Vec<Listed>,
    /// Its resources.
    pub resources: Vec<Listed>,
    /// Its resource templates.
    pub templates: Vec<Listed>,
    /// Its capabilities: JSON text of an object.
    pub capabilities: String,
    /// Its instructions to clients.
    pub instructions: Option<String>,
}

/// What all servers offered, and the pins.
#[derive(Debug, Clone, Default)]
pub struct Catalogue {
    /// By server; absent until it has answered once.
    pub servers: BTreeMap<ServerKey, Arc<ServerCatalogue>>,
    /// Every accepted definition.
    pub pins: BTreeMap<PinKey, Pin>,
    /// What was said of servers' standing in the registry.
    pub records: BTreeMap<ServerKey, Record>,
    /// What is found in them, as far as it decides whether they are admitted at first sight.
    pub gravest: BTreeMap<ServerKey, Gravest>,
}

/// One tool of a server, its pin compared with what the server shows.
#[derive(Debug, Clone)]
pub struct Pinned {
    /// The accepted definition; the live one where nothing has been accepted yet.
    pub definition: ToolDefinition,
    /// How the live one stands to it.
    pub state: PinState,
}

impl Catalogue {
    /// How a server stands in the registry.
    pub fn status(&self, server: &Server) -> RegistryStatus {
        if self.records.is_empty() {
            return server.status;
        }
        let key = ServerKey { account: server.account.clone(), name: server.name.clone() };
        registry::status(server, self.records.get(&key))
    }

    /// The tools of a server, each with the state of its pin, and what is wrong with the rest. `admitted` says with which findings what was
    /// accepted at first sight is.
    pub fn tools(&self, server: &Server, admitted: FindingsAdmitted) -> (Vec<Pinned>, Vec<ToolFinding>) {
        let key = ServerKey { account: server.account.clone(), name: server.name.clone() };
        let mut findings = Vec::new();
        let mut finding = |tool: &str, fault: String| {
            findings.push(ToolFinding { server: key.clone(), tool: tool.to_owned(), fault });
        };
        let Some(live) = self.servers.get(&key) else { return (Vec::new(), findings) };
        let mut tools: Vec<Pinned> = Vec::new();
        for json in live.tools.iter().take(TOOLS_MAX) {
            let shown = match ToolDefinition::read(json) {
                Ok(shown) => shown,
                Err(fault) => {
                    finding(&name_of(json), fault);
                    continue;
                }
            };
            if tools.iter().any(|tool| tool.definition.name == shown.name) {
                finding(&shown.name, "the server lists two tools of this name; only the first is offered".to_owned());
                continue;
            }
            let pin = self.pins.get(&PinKey { server: key.clone(), tool: shown.name.clone() });
            let pin = pin.filter(|pin| self.holds(&key, &shown.name, pin, admitted));
            tools.push(match pin {
                None => Pinned { definition: shown, state: PinState::New },
                Some(pin) if pin.digest == shown.digest => Pinned { definition: shown, state: PinState::Intact },
                Some(pin) => {
                    let state = PinState::Drifted { digest: shown.digest.clone(), definition: shown.json.to_string() };
                    Pinned { definition: ToolDefinition::read(&pin.definition).unwrap_or(shown), state }
                }
            });
        }
        if live.tools.len() > TOOLS_MAX {
            finding("*", format!("the server lists {} tools; only the first {TOOLS_MAX} are looked at", live.tools.len()));
        }
        for pinned in self.pins.iter().filter(|(pin, _)| pin.server == key) {
            if !tools.iter().any(|tool| tool.definition.name == pinned.0.tool)
                && let Ok(definition) = ToolDefinition::read(&pinned.1.definition)
            {
                tools.push(Pinned { definition, state: PinState::Gone });
            }
        }
        (tools, findings)
    }

    /// The pins to make for a server that is registered for the first time: one for every tool that can be read and is admitted at first
    /// sight.
    pub fn first_pins(
        server: &ServerKey,
        live: &ServerCatalogue,
        admits: &dyn Fn(&str) -> bool,
        now_secs: u64,
    ) -> Vec<(PinKey, Pin)> {
        let read = live.tools.iter().take(TOOLS_MAX).filter_map(|json| ToolDefinition::read(json).ok());
        read.filter(|tool| admits(&tool.name))
            .map(|tool| {
                let pin = Pin {
                    digest: tool.digest,
                    definition: tool.json.to_string(),
                    accepted_by: FIRST_REGISTRATION.to_owned(),
                    accepted_at_secs: now_secs,
                };
                (PinKey { server: server.clone(), tool: tool.name }, pin)
            })
            .collect()
    }
}

fn name_of(json: &str) -> String {
    let value: Value = serde_json::from_str(json).unwrap_or_default();
    value.get("name").and_then(Value::as_str).unwrap_or("(unnamed)").chars().take(128).collect()
}
