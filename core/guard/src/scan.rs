//! The scan of servers' definitions: what in a tool's name, description, schema, annotations or icons is meant for the model and not for
//! the person, and what one server says or copies of another.
//!
//! A description may tell how to use its tool; it may not tell what to do besides. The rules look for the second. No rule reads minds: a
//! harmful tool with an honest description is not found here, and drift from a pinned definition is found by its digest.

mod across;
mod said;
mod within;

use serde_json::Value;

/// The longest string and the most strings of one server that are scanned; what is beyond is a finding.
pub const STRING_BYTES_MAX: usize = 256 << 10;
/// The most strings of one server.
pub const STRINGS_MAX: usize = 50_000;

/// How grave a finding is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// Worth knowing.
    Low,
    /// Worth a look before the server is admitted.
    Medium,
    /// Not to be admitted without a named person's acceptance.
    High,
}

impl Severity {
    /// Its name in reports.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Low => "low",
            Self::Medium => "medium",
            Self::High => "high",
        }
    }
}

/// What found it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Rule {
    /// Hidden characters.
    HiddenText,
    /// Instructions to the model.
    Instruction,
    /// Instructions that are encoded.
    Encoded,
    /// Speaks of another server's tool as if it could change it.
    Shadowing,
    /// The same tool under another server.
    Duplicate,
    /// Asks to be preferred to others.
    Preference,
    /// A parameter that takes what is none of the tool's business.
    ExfiltrationParameter,
    /// Annotations that contradict the name.
    Annotation,
    /// A name that is nearly another's.
    LookAlike,
    /// An icon that isn't a plain image.
    Icon,
    /// Pieces over several tools that belong together.
    Split,
    /// Too long or too large to scan.
    Undecided,
}

impl Rule {
    /// Its name in reports.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::HiddenText => "HIDDEN_TEXT",
            Self::Instruction => "INSTRUCTION",
            Self::Encoded => "ENCODED",
            Self::Shadowing => "SHADOWING",
            Self::Duplicate => "DUPLICATE",
            Self::Preference => "PREFERENCE",
            Self::ExfiltrationParameter => "EXFILTRATION_PARAMETER",
            Self::Annotation => "ANNOTATION",
            Self::LookAlike => "LOOK_ALIKE",
            Self::Icon => "ICON",
            Self::Split => "SPLIT",
            Self::Undecided => "UNDECIDED",
        }
    }
}

/// One server as it describes itself.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ServerDefinition {
    /// The account that it is registered in; findings name it, and nothing is read into it.
    pub account: String,
    /// The name under which it is registered there.
    pub name: String,
    /// What `initialize` says in `instructions`.
    pub instructions: Option<String>,
    /// Its tools as it lists them.
    pub tools: Vec<Value>,
}

impl ServerDefinition {
    /// What findings call it: its account and name, or its name where there is no account.
    #[must_use]
    pub fn id(&self) -> String {
        if self.account.is_empty() { self.name.clone() } else { format!("{}/{}", self.account, self.name) }
    }

    fn is(&self, other: &Self) -> bool {
        self.name == other.name && self.account == other.account
    }
}

/// One thing found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// How grave.
    pub severity: Severity,
    /// By which rule.
    pub rule: Rule,
    /// Which server.
    pub server: String,
    /// Which tool; none for the server's instructions.
    pub tool: Option<String>,
    /// Where in the tool's definition, as a JSON pointer.
    pub pointer: String,
    /// Why, for a person.
    pub reason: String,
}

/// A tool with its strings, read once.
pub(crate) struct Tool<'a> {
    server: &'a ServerDefinition,
    value: &'a Value,
    name: &'a str,
    description: &'a str,
}

/// Scans servers that an agent space would see together. Findings come in the servers' order.
#[must_use]
pub fn scan(servers: &[ServerDefinition], least: Severity) -> Vec<Finding> {
    let mut findings = Vec::new();
    let tools: Vec<Tool<'_>> = servers
        .iter()
        .flat_map(|server| {
            server.tools.iter().map(move |value| {
                let text = |key: &str| value.get(key).and_then(Value::as_str).unwrap_or_default();
                Tool { server, value, name: text("name"), description: text("description") }
            })
        })
        .collect();
    for server in servers {
        within::instructions(server, &mut findings);
    }
    for tool in &tools {
        within::tool(tool, &mut findings);
    }
    within::split(servers, &mut findings);
    across::all(servers, &tools, &mut findings);
    let ids: Vec<String> = servers.iter().map(ServerDefinition::id).collect();
    let place = |finding: &Finding| ids.iter().position(|id| *id == finding.server);
    findings.retain(|finding| finding.severity >= least);
    findings.sort_by_key(|finding| (place(finding), std::cmp::Reverse(finding.severity)));
    findings.dedup_by(|a, b| a.rule == b.rule && a.server == b.server && a.tool == b.tool && a.pointer == b.pointer);
    findings
}
