//! What the journal says that behaviour is judged by.

use std::borrow::Cow;

use remit_model::time_ms;
use serde::Deserialize;
use serde_json::value::RawValue;

/// An entry of the journal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Event<'a> {
    /// When, in milliseconds since the epoch.
    pub at_ms: u64,
    /// What happened.
    pub what: What<'a>,
}

/// What happened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum What<'a> {
    /// A call of a known agent was decided.
    Decided(Decided<'a>),
    /// An allowed call ended.
    Ended {
        /// Its decision.
        decision: Cow<'a, str>,
        /// The agent.
        agent: Cow<'a, str>,
        /// The space.
        space: Cow<'a, str>,
        /// The tool's name in policies.
        tool: Cow<'a, str>,
        /// Whether the tool itself answered that it can't.
        error: bool,
        /// How large the result was.
        result_bytes: Option<u64>,
    },
    /// Definitions of tools were accepted: their digests.
    Accepted(Vec<String>),
    /// A finding was recorded, about this decision.
    Found {
        /// The decision.
        decision: Cow<'a, str>,
    },
}

/// A call that was decided.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Decided<'a> {
    /// The decision.
    pub decision: Cow<'a, str>,
    /// The agent.
    pub agent: Cow<'a, str>,
    /// The client's session; empty where there is none.
    pub session: Cow<'a, str>,
    /// Where it came from; empty if nobody knows.
    pub source_ip: Cow<'a, str>,
    /// The space.
    pub space: Cow<'a, str>,
    /// The tool's name in policies, as it was called.
    pub tool: Cow<'a, str>,
    /// Whether the space knows the tool: else its name is whatever the caller typed.
    pub known: bool,
    /// Whether it was allowed.
    pub allowed: bool,
    /// Whether it was denied for something that the agent asked for.
    pub denied: bool,
    /// The digest of the tool's definition.
    pub tool_digest: Cow<'a, str>,
    /// The digest of the facts, where they were kept: the arguments are among them.
    pub facts_digest: Option<Cow<'a, str>>,
}

/// The fields that are read.
#[derive(Deserialize)]
struct Entry<'a> {
    #[serde(borrow, rename = "type")]
    kind: Cow<'a, str>,
    #[serde(borrow, default)]
    time: Cow<'a, str>,
    #[serde(borrow, default)]
    id: Cow<'a, str>,
    #[serde(borrow, default)]
    agent: Option<Cow<'a, str>>,
    #[serde(borrow, default)]
    session: Option<Cow<'a, str>>,
    #[serde(borrow, default)]
    source_ip: Option<Cow<'a, str>>,
    #[serde(borrow, default)]
    space: Option<Cow<'a, str>>,
    #[serde(borrow, default)]
    server: Option<Cow<'a, str>>,
    #[serde(borrow, default)]
    tool: Option<Cow<'a, str>>,
    #[serde(borrow, default)]
    verdict: Option<Cow<'a, str>>,
    #[serde(borrow, default)]
    reason: Option<Cow<'a, str>>,
    #[serde(borrow, default)]
    tool_digest: Option<Cow<'a, str>>,
    #[serde(borrow, default)]
    facts_digest: Option<Cow<'a, str>>,
    #[serde(borrow, default)]
    decision: Option<Cow<'a, str>>,
    #[serde(borrow, default)]
    outcome: Option<Cow<'a, str>>,
    #[serde(default)]
    result_bytes: Option<u64>,
    #[serde(borrow, default)]
    tools: Option<&'a RawValue>,
    #[serde(default)]
    digests: Vec<String>,
}

/// The most digests of one acceptance that are looked at.
const DIGESTS_MAX: usize = 1_000;

impl<'a> Event<'a> {
    /// Reads an entry of the journal; `None` if behaviour isn't judged by it.
    pub fn read(bytes: &'a [u8]) -> Option<Self> {
        let entry: Entry<'a> = serde_json::from_slice(bytes).ok()?;
        let at_ms = time_ms(&entry.time)?;
        let what = match &*entry.kind {
            "decision" => {
                let denied =
                    entry.verdict.as_deref() == Some("DENY") && entry.reason.as_deref().is_some_and(crate::trust::is_own_doing);
                What::Decided(Decided {
                    decision: entry.id,
                    agent: entry.agent?,
                    session: entry.session.unwrap_or_default(),
                    source_ip: entry.source_ip.unwrap_or_default(),
                    space: entry.space.unwrap_or_default(),
                    tool: entry.tool?,
                    known: entry.server.is_some(),
                    allowed: entry.verdict.as_deref() == Some("ALLOW"),
                    denied,
                    tool_digest: entry.tool_digest.unwrap_or_default(),
                    facts_digest: entry.facts_digest,
                })
            }
            "outcome" => What::Ended {
                decision: entry.decision?,
                agent: entry.agent?,
                space: entry.space.unwrap_or_default(),
                tool: entry.tool?,
                error: matches!(entry.outcome.as_deref(), Some("tool_error" | "error")),
                result_bytes: entry.result_bytes,
            },
            "tool_pin" => {
                #[derive(Deserialize)]
                struct First {
                    digest: String,
                }
                let first: Vec<First> = entry.tools.and_then(|tools| serde_json::from_str(tools.get()).ok()).unwrap_or_default();
                let digests = entry.digests.into_iter().chain(first.into_iter().map(|first| first.digest));
                What::Accepted(digests.take(DIGESTS_MAX).collect())
            }
            "behaviour_found" => What::Found { decision: entry.decision? },
            _ => return None,
        };
        Some(Self { at_ms, what })
    }
}
