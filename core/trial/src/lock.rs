//! `tools.lock.json`: pins as code. For each server the tools' accepted definitions, so that a configuration directory can be checked and
//! tried without starting any server.
//!
//! ```json
//! { "version": 1, "servers": { "111122223333/observability": { "search_logs": { "digest": "sha256:…", "definition": { … } } } } }
//! ```
//!
//! Only what works offline reads it: a running gateway's own pins are the truth there.

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Arc;

use remit_config::{Fault, LOCK_FILE, Severity};
use remit_kernel::catalogue::{TOOLS_MAX, ToolDefinition};
use remit_kernel::definitions::INSTRUCTIONS;
use remit_kernel::{Catalogue, Pin, PinKey, ServerCatalogue, ToolFinding};
use remit_mcp::json::{JsonError, Limits, Spans, scan, string};
use remit_model::{AccountId, Organization, ServerKey, ServerName};
use serde_json::{Value, json};

/// The largest file, in bytes.
pub const BYTES_MAX: usize = 16 * 1024 * 1024;
/// What the file says of its own form.
const VERSION: u64 = 1;
/// How to mend nearly everything: nobody writes this file by hand.
const MEND: &str = "write it again from a gateway that accepted these tools: `remit pins --export tools.lock.json`";

/// The accepted definitions of servers' tools.
#[derive(Debug, Clone, Default)]
pub struct Lock {
    servers: BTreeMap<ServerKey, Locked>,
}

/// One server's.
#[derive(Debug, Clone, Default)]
struct Locked {
    /// The line on which it stands, from 1.
    line: usize,
    tools: BTreeMap<String, ToolDefinition>,
}

/// With the keys of every object in order.
fn sorted(value: Value) -> Value {
    match value {
        Value::Object(map) => {
            let ordered: BTreeMap<String, Value> = map.into_iter().map(|(key, value)| (key, sorted(value))).collect();
            Value::Object(ordered.into_iter().collect())
        }
        Value::Array(values) => Value::Array(values.into_iter().map(sorted).collect()),
        other => other,
    }
}

impl Lock {
    /// Reads the file's text, or names every fault in it. `path` is what faults call it.
    pub fn read(path: &str, text: &str) -> Result<Self, Vec<Fault>> {
        let mut reader = Reader { path, text, faults: Vec::new() };
        let lock = reader.lock().unwrap_or_default();
        if reader.faults.is_empty() { Ok(lock) } else { Err(reader.faults) }
    }

    /// What was accepted, as the store of pins keeps it. The error names a definition that can't be read, or isn't what its digest says.
    pub fn of(pins: impl IntoIterator<Item = (PinKey, Pin)>) -> Result<Self, String> {
        let mut servers: BTreeMap<ServerKey, Locked> = BTreeMap::new();
        for (PinKey { server, tool }, pin) in pins {
            // A lock is of tools.
            if tool == INSTRUCTIONS {
                continue;
            }
            let read = ToolDefinition::read(&pin.definition).map_err(|why| format!("{server} {tool}: {why}"))?;
            if read.digest != pin.digest {
                return Err(format!("{server} {tool}: the definition isn't the one that was accepted"));
            }
            servers.entry(server).or_default().tools.insert(tool, read);
        }
        Ok(Self { servers })
    }

    /// The file's text: sorted, so that a change shows as what it is.
    pub fn to_text(&self) -> String {
        let tool = |tool: &ToolDefinition| {
            let definition: Value = serde_json::from_str(&tool.json).unwrap_or_default();
            json!({ "digest": tool.digest, "definition": definition })
        };
        let servers = self.servers.iter().map(|(key, locked)| {
            let tools: serde_json::Map<String, Value> =
                locked.tools.iter().map(|(name, definition)| (name.clone(), tool(definition))).collect();
            (key.to_string(), Value::Object(tools))
        });
        let servers: serde_json::Map<String, Value> = servers.collect();
        format!("{:#}\n", sorted(json!({ "version": VERSION, "servers": servers })))
    }

    /// How many servers and tools it holds.
    pub fn counts(&self) -> (usize, usize) {
        (self.servers.len(), self.servers.values().map(|locked| locked.tools.len()).sum())
    }

    /// Every tool, with its server.
    pub fn tools(&self) -> impl Iterator<Item = (&ServerKey, &str)> {
        self.servers.iter().flat_map(|(key, locked)| locked.tools.keys().map(move |name| (key, name.as_str())))
    }

    /// What a snapshot is compiled with: every server offers exactly what was accepted.
    pub fn catalogue(&self) -> Catalogue {
        let mut catalogue = Catalogue::default();
        for (server, locked) in &self.servers {
            let tools = locked.tools.values().map(|tool| Arc::clone(&tool.json)).collect();
            let offered = ServerCatalogue { tools, capabilities: "{}".to_owned(), ..ServerCatalogue::default() };
            catalogue.servers.insert(server.clone(), Arc::new(offered));
            for (name, tool) in &locked.tools {
                let key = PinKey { server: server.clone(), tool: name.clone() };
                let (digest, definition) = (tool.digest.clone(), tool.json.to_string());
                let pin = Pin { digest, definition, accepted_by: LOCK_FILE.to_owned(), accepted_at_secs: 0 };
                catalogue.pins.insert(key, pin);
            }
        }
        catalogue
    }

    /// What is allowed but probably not meant, once the directory is known: servers that it doesn't have, and what a snapshot would tell
    /// an operator of the tools.
    pub fn warnings(&self, path: &str, organization: &Organization, findings: &[ToolFinding]) -> Vec<Fault> {
        let warning = |line: usize, what: String, mend: &str| Fault {
            severity: Severity::Warning,
            file: path.to_owned(),
            line: line.max(1),
            column: 1,
            pointer: String::new(),
            what,
            mend: mend.to_owned(),
        };
        let stray = self.servers.iter().filter(|(key, _)| !organization.servers.contains_key(*key));
        let stray = stray.map(|(key, locked)| {
            warning(
                locked.line,
                format!("the directory has no server {key}"),
                "register it in `servers`, or export the lock again",
            )
        });
        let missing = organization
            .servers
            .keys()
            .filter(|key| !self.servers.contains_key(*key))
            .map(|key| warning(1, format!("server {key} is not in here: nothing offline knows its tools"), MEND));
        let found = findings.iter().map(|finding| {
            let line = self.servers.get(&finding.server).map_or(1, |locked| locked.line);
            let what = format!("{} {}: {}", finding.server, finding.tool, finding.fault);
            warning(line, what, "correct the directory, or export the lock again")
        });
        stray.chain(missing).chain(found).collect()
    }
}

struct Reader<'a> {
    path: &'a str,
    text: &'a str,
    faults: Vec<Fault>,
}

impl Reader<'_> {
    fn fault(&mut self, offset: usize, pointer: &[&str], what: impl Into<String>, mend: &str) {
        let before = self.text.get(..offset).unwrap_or(self.text);
        let line = before.matches('\n').count() + 1;
        let column = before.rsplit('\n').next().unwrap_or_default().chars().count() + 1;
        let pointer = pointer.iter().map(|part| format!("/{}", part.replace('~', "~0").replace('/', "~1"))).collect();
        let (file, what, mend) = (self.path.to_owned(), what.into(), mend.to_owned());
        self.faults.push(Fault { severity: Severity::Error, file, line, column, pointer, what, mend });
    }

    fn lock(&mut self) -> Option<Lock> {
        if self.text.len() > BYTES_MAX {
            self.fault(0, &[], format!("the file is larger than {} MiB", BYTES_MAX / 1024 / 1024), "lock fewer servers");
            return None;
        }
        let spans = match scan(self.text.as_bytes(), Limits { keys_max: 1_000_000, ..Limits::default() }) {
            Ok(spans) => spans,
            Err(JsonError { fault, offset }) => {
                self.fault(offset, &[], format!("this is no acceptable JSON: {fault}"), MEND);
                return None;
            }
        };
        let root = spans.root.clone();
        for (key, value) in self.fields(&spans, &root, 1, &[])? {
            if !matches!(key.as_str(), "$schema" | "version" | "servers") {
                self.fault(value.start, &[&key], format!("a lock has no key `{key}`"), "its keys are version, servers");
            }
        }
        let version = spans.get(self.text.as_bytes(), &root, 1, "version").and_then(|span| self.text.get(span));
        if version != Some("1") {
            let what = format!("this is no lock of version {VERSION}");
            self.fault(root.start, &["version"], what, MEND);
            return None;
        }
        let Some(servers) = spans.get(self.text.as_bytes(), &root, 1, "servers") else {
            self.fault(root.start, &["servers"], "a lock needs `servers`", MEND);
            return None;
        };
        let mut lock = Lock::default();
        for (name, span) in self.fields(&spans, &servers, 2, &["servers"])? {
            let pointer = ["servers", name.as_str()];
            let key = name.split_once('/').and_then(|(account, name)| {
                Some(ServerKey { account: AccountId::new(account).ok()?, name: ServerName::new(name).ok()? })
            });
            let Some(key) = key else {
                self.fault(span.start, &pointer, "this is no server", "write `account/name`, such as `111122223333/helpdesk`");
                continue;
            };
            let line = self.text.get(..span.start).unwrap_or_default().matches('\n').count() + 1;
            let Some(tools) = self.tools(&spans, &span, &pointer) else { continue };
            lock.servers.insert(key, Locked { line, tools });
        }
        Some(lock)
    }

    /// The keys and values of an object.
    fn fields(
        &mut self,
        spans: &Spans,
        object: &Range<usize>,
        depth: usize,
        pointer: &[&str],
    ) -> Option<Vec<(String, Range<usize>)>> {
        if !self.text.get(object.clone()).is_some_and(|text| text.starts_with('{')) {
            self.fault(object.start, pointer, "an object is expected here", MEND);
            return None;
        }
        let key = |span: &Range<usize>| string(self.text.as_bytes(), span).map(std::borrow::Cow::into_owned);
        let fields = spans.fields(object, depth).filter_map(|field| Some((key(&field.key)?, field.value.clone())));
        Some(fields.collect())
    }

    fn tools(&mut self, spans: &Spans, server: &Range<usize>, pointer: &[&str]) -> Option<BTreeMap<String, ToolDefinition>> {
        let mut tools = BTreeMap::new();
        let fields = self.fields(spans, server, 3, pointer)?;
        if fields.len() > TOOLS_MAX {
            self.fault(server.start, pointer, format!("the server has more than {TOOLS_MAX} tools"), "lock fewer");
        }
        for (name, span) in fields {
            let pointer = [pointer, &[name.as_str()]].concat();
            if let Some(tool) = self.tool(spans, &span, &name, &pointer) {
                tools.insert(name, tool);
            }
        }
        Some(tools)
    }

    fn tool(&mut self, spans: &Spans, span: &Range<usize>, name: &str, pointer: &[&str]) -> Option<ToolDefinition> {
        let (mut digest, mut definition) = (None, None);
        for (key, value) in self.fields(spans, span, 4, pointer)? {
            match key.as_str() {
                "digest" => digest = Some(value),
                "definition" => definition = Some(value),
                _ => self.fault(
                    value.start,
                    pointer,
                    format!("a locked tool has no key `{key}`"),
                    "its keys are digest, definition",
                ),
            }
        }
        let (Some(digest), Some(definition)) = (digest, definition) else {
            self.fault(span.start, pointer, "a locked tool needs `digest` and `definition`", MEND);
            return None;
        };
        let place = digest.start;
        let said = string(self.text.as_bytes(), &digest).map(std::borrow::Cow::into_owned);
        let read = ToolDefinition::read(self.text.get(definition.clone()).unwrap_or_default());
        let tool = match read {
            Ok(tool) => tool,
            Err(why) => {
                self.fault(definition.start, pointer, format!("the tool can't be offered: {why}"), MEND);
                return None;
            }
        };
        if tool.name != name {
            self.fault(definition.start, pointer, format!("it stands under `{name}` and names itself otherwise"), MEND);
            return None;
        }
        if said.as_deref() != Some(tool.digest.as_str()) {
            let what = format!("the digest doesn't fit the definition, whose digest is {}", tool.digest);
            self.fault(place, pointer, what, MEND);
            return None;
        }
        Some(tool)
    }
}

#[cfg(test)]
mod tests;
