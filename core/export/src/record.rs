//! One decision with how it ended, and its place in the log.

use std::collections::BTreeMap;

use remit_model::time_ms;
use remit_tlog::Hash;
use serde_json::Value;

/// An entry and its place in the log.
#[derive(Debug, Clone, PartialEq)]
pub struct Leaf {
    /// The entry's index.
    pub index: u64,
    /// Its leaf hash (RFC 6962, section 2.1).
    pub hash: Hash,
    /// The leaf hash of the entry before it, where it was read.
    pub previous: Option<Hash>,
    /// The entry.
    pub entry: Value,
}

impl Leaf {
    pub(crate) fn text(&self, key: &str) -> Option<&str> {
        self.entry.get(key).and_then(Value::as_str).filter(|text| !text.is_empty())
    }

    pub(crate) fn number(&self, key: &str) -> Option<u64> {
        self.entry.get(key).and_then(Value::as_u64)
    }

    /// When it was recorded, in milliseconds since the epoch.
    pub(crate) fn at_ms(&self) -> u64 {
        self.text("time").and_then(time_ms).unwrap_or_default()
    }

    /// Whether a guardrail masked something of what it is about.
    pub(crate) fn masked(&self) -> bool {
        let found = self.entry.pointer("/guardrails/found").and_then(Value::as_array);
        found.is_some_and(|found| found.iter().any(|one| one.get("action").and_then(Value::as_str) == Some("ANONYMIZED")))
    }
}

/// Where a space stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    /// Its account.
    pub account: String,
    /// Its region.
    pub region: String,
}

/// Where spaces stand: entries name the space only.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Places {
    /// The spaces that are known.
    pub spaces: BTreeMap<String, Place>,
    /// The region of what happens in any other space.
    pub region: String,
}

/// A decision, how it ended, and its place in the log.
#[derive(Debug, Clone, PartialEq)]
pub struct Record {
    /// The log's origin, as its checkpoints name it.
    pub origin: String,
    /// The decision.
    pub decision: Leaf,
    /// Its outcome: what was allowed has one, unless it is under way.
    pub outcome: Option<Leaf>,
    /// The account that it is counted to; `None` where nothing says one, as for callers that nobody knows.
    pub account: Option<String>,
    /// The region.
    pub region: String,
}

impl Record {
    /// A record of a decision.
    pub fn new(origin: &str, places: &Places, decision: Leaf, outcome: Option<Leaf>) -> Self {
        let place = decision.text("space").and_then(|space| places.spaces.get(space));
        let of_server = || decision.text("server")?.split_once('/').map(|(account, _)| account.to_owned());
        let of_principal = || decision.text("principal_arn")?.split(':').nth(4).map(str::to_owned);
        let account = of_server().or_else(of_principal).or_else(|| place.map(|place| place.account.clone()));
        // What is written into a path of a data lake must be an account.
        let account = account.filter(|account| account.len() == 12 && account.bytes().all(|byte| byte.is_ascii_digit()));
        let region = place.map_or(&places.region, |place| &place.region).clone();
        Self { origin: origin.to_owned(), decision, outcome, account, region }
    }

    /// When it was decided, in milliseconds since the epoch.
    pub fn at_ms(&self) -> u64 {
        self.decision.at_ms()
    }

    pub(crate) fn text(&self, key: &str) -> Option<&str> {
        self.decision.text(key)
    }

    /// `ALLOW`, `DENY` or `HOLD`.
    pub(crate) fn verdict(&self) -> &str {
        self.text("verdict").unwrap_or_default()
    }

    /// Who called, in words: an agent, or somebody whom nobody knows.
    pub(crate) fn agent(&self) -> &str {
        self.text("agent").unwrap_or("unknown")
    }

    /// What was asked for, by its name in policies.
    pub(crate) fn tool(&self) -> &str {
        self.text("tool").unwrap_or_default()
    }

    /// How it came out, in one word: the outcome of what was allowed, the reason for what was not.
    pub(crate) fn came_to(&self) -> Option<&str> {
        self.outcome.as_ref().and_then(|outcome| outcome.text("outcome")).or_else(|| self.text("reason"))
    }

    /// The tool's resource name, where its server is known: the one that policies name.
    pub fn arn(&self) -> Option<String> {
        let (account, server) = self.text("server")?.split_once('/')?;
        let tool = self.tool().split_once("___").map_or(self.tool(), |(_, tool)| tool);
        let partition = self.text("principal_arn").and_then(|arn| arn.split(':').nth(1)).unwrap_or("aws");
        Some(format!("arn:{partition}:mcp:{}:{account}:server/{server}/tool/{tool}", self.region))
    }

    /// The layers' lines.
    pub(crate) fn layers(&self) -> &[Value] {
        self.decision.entry.get("layers").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default()
    }

    /// The line that decided against it.
    pub(crate) fn against(&self) -> Option<&Value> {
        if let Some(withheld) = self.outcome.as_ref().and_then(|outcome| outcome.entry.get("withheld_by")) {
            return Some(withheld);
        }
        let against = |line: &&Value| !matches!(line.get("effect").and_then(Value::as_str), Some("ALLOW" | "NO_IMPACT"));
        self.layers().iter().rev().find(against).filter(|_| self.verdict() != "ALLOW")
    }

    /// The statement that decided against it.
    pub(crate) fn statement(&self) -> Option<&str> {
        self.against()?.get("statement").and_then(Value::as_str)
    }
}
