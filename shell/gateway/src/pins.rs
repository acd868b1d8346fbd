//! What servers offer held to what was accepted of it: how each stands, what is wrong with it, and a named person's acceptance.

use remit_kernel::catalogue::Pinned;
use remit_kernel::definitions::{DefinitionFinding, INSTRUCTIONS, Instructions, instructions_pin};
use remit_kernel::{Pin, PinKey, PinState};
use remit_model::{RegistryStatus, ServerKey};
use serde_json::json;

use crate::confine::SandboxStatus;
use crate::observe::Gauge;
use crate::session::lock;
use crate::upstream::streamable::era_name;
use crate::{Gateway, Inner, RegistryStanding, ServerState, clock, listen};

/// A server for an operator's eyes.
#[derive(Debug, Clone, serde::Serialize)]
pub struct ServerStatus {
    /// Its account and name.
    pub server: String,
    /// `connecting`, `ready` or `away`.
    pub status: &'static str,
    /// The era that it speaks, or why it is away.
    pub detail: String,
    /// How it stands in the registry.
    pub registry: RegistryStanding,
    /// How it is confined, for one that Remit starts and speaks to over stdio.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sandbox: Option<SandboxStatus>,
    /// Its tools: name, pin state, class, risk, by space; and its instructions, if it has any, as `(instructions)`.
    pub tools: Vec<ToolStatus>,
}

/// A tool for an operator's eyes.
#[derive(Debug, Clone, serde::Serialize)]
pub struct ToolStatus {
    /// The server's own name for it.
    pub tool: String,
    /// `intact`, `drifted`, `new` or `gone`.
    pub pin: &'static str,
    /// The digest of the accepted definition.
    pub digest: String,
    /// The definition that was accepted; absent for a new tool.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub accepted: Option<String>,
    /// The definition that the server shows now, where it differs.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub shown: Option<String>,
}

impl Gateway {
    /// Every server and how it stands.
    pub fn servers(&self) -> Vec<ServerStatus> {
        let registry = lock(&self.inner.registry);
        let told = |(key, server): (&ServerKey, &remit_model::Server)| {
            let (status, detail) = match registry.states.get(key) {
                Some(ServerState::Ready(era)) => ("ready", era_name(*era).to_owned()),
                Some(ServerState::Away(why)) => ("away", why.clone()),
                Some(ServerState::Connecting) | None => ("connecting", String::new()),
            };
            let admitted = registry.organization.findings_admitted(&key.account);
            let mut tools: Vec<ToolStatus> = registry.catalogue.tools(server, admitted).0.into_iter().map(tool_status).collect();
            tools.extend(registry.catalogue.instructions(key, admitted).and_then(instructions_status));
            let sandbox = registry.upstreams.get(key).and_then(|upstream| upstream.sandbox());
            let standing = registry.standing(key, server);
            ServerStatus { server: key.to_string(), status, detail, registry: standing, sandbox, tools }
        };
        registry.organization.servers.iter().map(told).collect()
    }

    /// What the scan of servers' definitions found: what is worth a look, and whatever keeps a tool out.
    pub fn definition_findings(&self) -> Vec<DefinitionFinding> {
        self.inner.definition_findings()
    }

    /// Accepts what a server shows now for a tool, or for all of its tools and its instructions, whatever is found in it: a named person's
    /// decision, kept and recorded.
    pub async fn accept(&self, server: &ServerKey, tool: Option<&str>, by: &str) -> Result<Vec<String>, String> {
        let (pins, found) = {
            let registry = lock(&self.inner.registry);
            let Some(registered) = registry.organization.servers.get(server) else {
                return Err(format!("no server `{server}` is registered"));
            };
            let now_secs = clock::now_ms() / 1000;
            let admitted = registry.organization.findings_admitted(&server.account);
            let meant = |name: &str| tool.is_none_or(|tool| tool == name);
            let waits = registry.catalogue.tools(registered, admitted).0.into_iter();
            let mut pins: Vec<(PinKey, Pin)> = waits
                .filter(|found| meant(&found.definition.name))
                .filter_map(|found| accepted(server, found, by, now_secs))
                .collect();
            if let Some(own) = registry.catalogue.instructions(server, admitted).filter(|_| meant(INSTRUCTIONS))
                && own.state != PinState::Intact
            {
                let key = PinKey { server: server.clone(), tool: INSTRUCTIONS.to_owned() };
                pins.push((key, instructions_pin(own.shown.as_deref(), by, now_secs)));
            }
            let own = server.to_string();
            let of =
                |finding: &&DefinitionFinding| finding.server == own && meant(finding.tool.as_deref().unwrap_or(INSTRUCTIONS));
            let found: Vec<String> = registry.definitions.iter().filter(of).map(DefinitionFinding::what).collect();
            (pins, found)
        };
        if pins.is_empty() {
            return Err("no tool of that name waits to be accepted".to_owned());
        }
        let names: Vec<String> = pins.iter().map(|(key, _)| key.tool.clone()).collect();
        let digests: Vec<&str> = pins.iter().map(|(_, pin)| pin.digest.as_str()).collect();
        let event = json!({"server": server.to_string(), "by": by, "tools": names, "digests": digests, "findings": found});
        self.inner.recorder.event("tool_pin", event).await.map_err(|error| error.to_string())?;
        self.inner.pins.save(&pins)?;
        lock(&self.inner.registry).catalogue.pins.extend(pins);
        self.inner.rebuild().await;
        listen::list_changed(&self.inner, server, listen::ListKind::Tools);
        Ok(names)
    }
}

fn accepted(server: &ServerKey, found: Pinned, by: &str, now_secs: u64) -> Option<(PinKey, Pin)> {
    let (digest, definition) = match found.state {
        PinState::Drifted { digest, definition } => (digest, definition),
        PinState::New => (found.definition.digest.clone(), found.definition.json.to_string()),
        PinState::Intact | PinState::Gone => return None,
    };
    let pin = Pin { digest, definition, accepted_by: by.to_owned(), accepted_at_secs: now_secs };
    Some((PinKey { server: server.clone(), tool: found.definition.name }, pin))
}

fn tool_status(found: Pinned) -> ToolStatus {
    let json = found.definition.json.to_string();
    let (pin, accepted, shown) = match found.state {
        PinState::Intact => ("intact", None, None),
        PinState::Drifted { definition, .. } => ("drifted", Some(json), Some(definition)),
        PinState::New => ("new", None, Some(json)),
        PinState::Gone => ("gone", Some(json), None),
    };
    ToolStatus { tool: found.definition.name, pin, digest: found.definition.digest, accepted, shown }
}

/// A server's instructions, told as one of its tools; `None` where there are none and never were.
fn instructions_status(own: Instructions) -> Option<ToolStatus> {
    if own.shown.is_none() && own.accepted.is_none() {
        return None;
    }
    let pin = |text: Option<&str>| instructions_pin(text, "", 0);
    let (state, accepted, shown) = match own.state {
        PinState::Intact => ("intact", own.accepted, None),
        PinState::New => ("new", None, own.shown),
        PinState::Drifted { .. } | PinState::Gone => ("drifted", own.accepted, own.shown),
    };
    let digest = pin(accepted.as_deref().or(shown.as_deref())).digest;
    let differs = state != "intact";
    let told = |text: Option<String>| text.filter(|_| differs).map(|text| pin(Some(&text)).definition);
    Some(ToolStatus { tool: INSTRUCTIONS.to_owned(), pin: state, digest, accepted: told(accepted), shown: told(shown) })
}

impl Inner {
    /// What the scan of definitions found, as far as it is told.
    pub(crate) fn definition_findings(&self) -> Vec<DefinitionFinding> {
        let registry = lock(&self.registry);
        let admitted = |finding: &DefinitionFinding| {
            let account = finding.server.split('/').next().unwrap_or_default();
            let key = registry.organization.accounts.keys().find(|id| id.as_str() == account);
            key.map(|account| registry.organization.findings_admitted(account)).unwrap_or_default()
        };
        registry.definitions.iter().filter(|finding| finding.is_told(admitted(finding))).cloned().collect()
    }

    /// What is wrong with tools, for people: unfit ones and quarantined ones, and those whose definitions speak to models.
    pub(crate) fn quarantine(&self) -> Vec<String> {
        let state = self.state.load();
        let mut all: Vec<String> = state
            .snapshot
            .findings
            .iter()
            .map(|finding| format!("{} `{}`: {}", finding.server, finding.tool, finding.fault))
            .collect();
        let mut quarantined = 0;
        for space in state.snapshot.spaces.values() {
            for tool in &space.tools_listed {
                let why = match &tool.pin {
                    PinState::Intact => continue,
                    PinState::Drifted { digest, .. } => format!("drifted from {} to {digest}", tool.digest),
                    PinState::New => "waits to be accepted".to_owned(),
                    PinState::Gone => "is gone".to_owned(),
                };
                quarantined += 1;
                all.push(format!("{} `{}` in space `{}` {why}", tool.server, tool.name, space.space.id));
            }
        }
        self.recorder.observer().gauge(Gauge::Quarantined(quarantined));
        for space in state.snapshot.spaces.values() {
            let findings = space.policy_set.iter().flat_map(|set| set.findings());
            all.extend(findings.map(|finding| {
                let fault = &finding.fault;
                format!(
                    "space `{}`: {}:{}: {}: the policy permits nothing, or forbids all of its scope",
                    space.space.id, fault.path, fault.line, fault.what
                )
            }));
        }
        let known = |finding: &&DefinitionFinding| state.upstreams.keys().any(|key| key.to_string() == finding.server);
        all.extend(self.definition_findings().iter().filter(known).map(DefinitionFinding::told));
        all.extend(self.instructions_withheld());
        all.extend(self.unserved());
        all.sort();
        all.dedup();
        all
    }

    /// Servers that stand in the registry as anything but approved.
    fn unserved(&self) -> Vec<String> {
        let registry = lock(&self.registry);
        let servers = registry.organization.servers.iter().map(|(key, server)| (key, registry.catalogue.status(server)));
        servers
            .filter(|(_, status)| *status != RegistryStatus::Approved)
            .map(|(key, status)| format!("server {key} is {status} in the registry"))
            .collect()
    }

    /// Servers whose instructions nobody is shown, or not as they are now.
    fn instructions_withheld(&self) -> Vec<String> {
        let registry = lock(&self.registry);
        let why = |key: &ServerKey| {
            let own = registry.catalogue.instructions(key, registry.organization.findings_admitted(&key.account))?;
            match own.state {
                PinState::New if own.shown.is_some() => Some(format!("the instructions of {key} wait to be accepted")),
                PinState::Drifted { digest, .. } => Some(format!("the instructions of {key} drifted to {digest}")),
                _ => None,
            }
        };
        registry.organization.servers.keys().filter_map(why).collect()
    }
}
