//! What the journal says that alarms, and metrics, count.

use std::borrow::Cow;

use remit_model::{Alarm, AlarmMetric, GroupBy, time_ms};
use serde::Deserialize;

use super::OTHER;

/// A call that was decided, that ended, or that isn't as usual.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Event<'a> {
    /// When, in milliseconds since the epoch.
    pub at_ms: u64,
    /// The agent; empty if nobody knows who called.
    pub agent: Cow<'a, str>,
    /// The space that was called.
    pub space: Cow<'a, str>,
    /// The tool's name in policies, as it was called.
    pub tool: Cow<'a, str>,
    /// Whether the space knows the tool: else its name is whatever a stranger typed.
    pub known: bool,
    /// The trace that it is in.
    pub trace_id: Cow<'a, str>,
    /// The id of the decision.
    pub decision: Cow<'a, str>,
    /// What happened.
    pub what: What<'a>,
}

/// What happened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum What<'a> {
    /// It was decided.
    Decided {
        /// `ALLOW`, `DENY` or `HOLD`.
        verdict: Cow<'a, str>,
        /// Why it was denied or held; empty if it was allowed.
        reason: Cow<'a, str>,
        /// Whether the tool's risk is high or critical.
        risky: bool,
    },
    /// An allowed call ended.
    Ended {
        /// Whether it ended otherwise than well.
        error: bool,
        /// How long it took, in milliseconds.
        latency_ms: u64,
    },
    /// Something isn't as usual.
    Found {
        /// How surprising it is, in whole bits.
        score: u64,
    },
}

/// The fields that are read.
#[derive(Debug, Deserialize)]
struct Entry<'a> {
    #[serde(borrow, rename = "type")]
    kind: Cow<'a, str>,
    #[serde(borrow, default)]
    time: Cow<'a, str>,
    #[serde(borrow, default)]
    id: Cow<'a, str>,
    #[serde(borrow, default)]
    trace_id: Cow<'a, str>,
    #[serde(borrow, default)]
    agent: Option<Cow<'a, str>>,
    #[serde(borrow, default)]
    space: Option<Cow<'a, str>>,
    #[serde(borrow, default)]
    server: Option<Cow<'a, str>>,
    #[serde(borrow, default)]
    tool: Option<Cow<'a, str>>,
    #[serde(borrow, default)]
    verdict: Cow<'a, str>,
    #[serde(borrow, default)]
    reason: Option<Cow<'a, str>>,
    #[serde(borrow, default)]
    risk: Option<Cow<'a, str>>,
    #[serde(borrow, default)]
    decision: Cow<'a, str>,
    #[serde(borrow, default)]
    outcome: Cow<'a, str>,
    #[serde(default)]
    latency_us: u64,
    #[serde(default)]
    score: f64,
}

/// How calls end when nothing went wrong.
const WELL: [&str; 5] = ["ok", "input_required", "task", "answered", "cancelled"];

/// A score that was recorded, in whole bits.
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a cast ends at the bounds")]
fn whole(score: f64) -> u64 {
    score as u64
}

impl<'a> Event<'a> {
    /// Reads an entry of the journal; `None` if it is no decision, no outcome and no finding.
    pub fn read(bytes: &'a [u8]) -> Option<Self> {
        let entry: Entry<'a> = serde_json::from_slice(bytes).ok()?;
        let (what, decision, known) = match &*entry.kind {
            "decision" => {
                let risky = matches!(entry.risk.as_deref(), Some("high" | "critical"));
                let what = What::Decided { verdict: entry.verdict, reason: entry.reason.unwrap_or_default(), risky };
                (what, entry.id, entry.server.is_some())
            }
            // Only what was allowed ends, and what was allowed was known.
            "outcome" => {
                let error = !WELL.contains(&&*entry.outcome);
                (What::Ended { error, latency_ms: entry.latency_us / 1000 }, entry.decision, true)
            }
            "behaviour_found" => (What::Found { score: whole(entry.score) }, entry.decision, true),
            _ => return None,
        };
        Some(Self {
            at_ms: time_ms(&entry.time)?,
            agent: entry.agent.unwrap_or_default(),
            space: entry.space.unwrap_or_default(),
            tool: entry.tool.unwrap_or_default(),
            known,
            trace_id: entry.trace_id,
            decision,
            what,
        })
    }

    /// The space for who keeps a figure for each: a stranger's is whatever they typed.
    pub fn space_known(&self) -> &str {
        if self.known || !self.agent.is_empty() { &self.space } else { OTHER }
    }

    /// The tool for who keeps a figure for each.
    pub fn tool_known(&self) -> &str {
        if self.known { &self.tool } else { OTHER }
    }

    /// The agent for who keeps a figure for each.
    pub fn agent_known(&self) -> &str {
        if self.agent.is_empty() { OTHER } else { &self.agent }
    }

    /// The group that it is of.
    pub(super) fn group(&self, by: Option<GroupBy>) -> &str {
        match by {
            None => "",
            Some(GroupBy::Agent) => self.agent_known(),
            Some(GroupBy::Space) => self.space_known(),
            Some(GroupBy::Tool) => self.tool_known(),
        }
    }

    /// Whether it counts for an alarm that is about it, and with which value; `None`: it isn't about it.
    pub(super) fn counted(&self, alarm: &Alarm) -> Option<(bool, u64)> {
        let calls = &alarm.calls;
        let named = |tool: &String| tool.strip_suffix('*').map_or(*tool == self.tool, |begins| self.tool.starts_with(begins));
        let meant = (calls.agents.is_empty() || calls.agents.iter().any(|id| id.as_str() == self.agent))
            && (calls.spaces.is_empty() || calls.spaces.iter().any(|id| id.as_str() == self.space))
            && (calls.tools.is_empty() || calls.tools.iter().any(named));
        if !meant {
            return None;
        }
        match (&self.what, alarm.metric) {
            (What::Ended { error, .. }, AlarmMetric::Errors) => Some((*error, 1)),
            (What::Ended { latency_ms, .. }, AlarmMetric::LatencyMs) => Some((true, *latency_ms)),
            (What::Found { .. }, AlarmMetric::Findings) => Some((true, 1)),
            (What::Found { score }, AlarmMetric::FindingScore) => Some((true, *score)),
            (What::Decided { verdict, reason, risky }, metric) if metric.is_of_decisions() => {
                let for_reason = calls.reasons.is_empty() || calls.reasons.iter().any(|wanted| wanted == reason);
                let counts = match metric {
                    AlarmMetric::Denials => verdict == "DENY",
                    AlarmMetric::Holds => verdict == "HOLD",
                    AlarmMetric::RiskyAttempts => *risky,
                    _ => true,
                };
                Some((counts && for_reason, 1))
            }
            _ => None,
        }
    }
}
