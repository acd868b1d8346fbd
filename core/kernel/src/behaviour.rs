//! Behaviour: what is usual for an agent and its tools, and how surprising what it does is, as a pure function of the journal.
//!
//! Every expectation is a small model: a tail (how large, how often), a set of values, or the hours of the week. Each answers with how
//! surprising something is, in bits: the negative logarithm of how likely what was seen before makes it on a day of the agent. Five bits are
//! what chance brings once in 32 days. It says nothing where too little was seen. Of expectations that go together (how much, which tool,
//! which arguments, when, from where) the largest surprise counts, no more than [`BITS_MAX`] and no fewer than [`BITS_MIN`]; together they
//! are the score of a call.
//!
//! What was found isn't learned, until it was found on so many days as the settings say: whoever wants to be taken for usual is told of that
//! often. What stays below the score is learned at once, so that slow drift is followed and not found.
//!
//! Memory is bounded whatever callers do. What finds no place isn't watched, and that is counted. No value of an argument is kept or told:
//! digests under a salt are kept, and a number is told as the power of two that it is above.

mod agent;
mod arguments;
mod event;
mod novelty;
mod place;
mod surprise;
mod tail;
mod usual;

use std::collections::{BTreeMap, VecDeque};

use remit_model::{Behaviour, Expectation};
use serde::{Deserialize, Serialize};

use agent::{Agent, Taken};

pub use event::{Decided, Event, What};
pub use usual::{Usual, UsualArgument, UsualTool};

/// The most agents that are watched.
pub const AGENTS_MAX: usize = 1_000;
/// The most tools of all agents together.
pub const TOOLS_MAX: usize = 4_096;
/// The most places of arguments, of all tools of all agents together.
pub const PLACES_MAX: usize = 8_192;
/// The most bits that one expectation adds to a score.
pub const BITS_MAX: f64 = 16.0;
/// What is less surprising than this adds nothing.
pub const BITS_MIN: f64 = 3.0;
/// The most findings that are kept for those who ask.
const FINDINGS_MAX: usize = 200;
/// The most accepted definitions that are remembered.
const ACCEPTED_MAX: usize = 4_096;
/// How long an agent must have been away before it makes room for another one, in milliseconds.
const AWAY_MS: u64 = 30 * DAY_MS;
const HOUR_MS: u64 = 3_600_000;
const DAY_MS: u64 = 24 * HOUR_MS;

/// An expectation that was broken.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Broken {
    /// Which.
    pub expectation: Expectation,
    /// How surprising that is.
    pub bits: f64,
    /// Which argument it is about.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pointer: Option<String>,
    /// Over how long it is counted, where it is a count.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub window_secs: Option<u64>,
    /// What was seen and what is usual, for people.
    pub told: String,
}

/// Something that isn't as usual.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Finding {
    /// When, in milliseconds since the epoch.
    pub at_ms: u64,
    /// The decision that it is about.
    pub decision: String,
    /// The agent.
    pub agent: String,
    /// The space.
    pub space: String,
    /// The tool.
    pub tool: String,
    /// How surprising it is altogether, in bits.
    pub score: f64,
    /// The expectations that were broken, the most surprising first.
    pub broken: Vec<Broken>,
}

/// What was counted.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Counts {
    /// Calls that were looked at.
    pub calls: u64,
    /// Of those, calls whose arguments were known.
    pub arguments: u64,
    /// Findings.
    pub findings: u64,
    /// Calls that were as surprising, for something that had been told on the same day.
    pub repeated: u64,
    /// Calls of agents and tools that found no place.
    pub unwatched: u64,
}

/// What is usual, for every agent.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Baseline {
    /// Without it nobody guesses values from their digests.
    salt: [u8; 16],
    agents: BTreeMap<String, Agent>,
    /// What all of them take.
    taken: Taken,
    /// When definitions of tools were accepted, by their digests.
    accepted: BTreeMap<String, u64>,
    findings: VecDeque<Finding>,
    counts: Counts,
}

impl Baseline {
    /// Nothing is known yet. `salt` is random.
    pub fn new(salt: [u8; 16]) -> Self {
        Self { salt, ..Self::default() }
    }

    /// Takes the next entry of the journal, with the call's arguments (JSON text) where they are known. Answers what isn't as usual, unless
    /// the same was told on the same day.
    pub fn observe(&mut self, settings: &Behaviour, event: &Event<'_>, arguments: Option<&str>) -> Option<Finding> {
        let watched = |agent: &str| settings.agents.is_empty() || settings.agents.iter().any(|id| id.as_str() == agent);
        let finding = match &event.what {
            What::Decided(decided) if watched(&decided.agent) => self.decided(settings, event.at_ms, decided, arguments),
            What::Ended { agent, .. } if watched(agent) => {
                let known = self.agents.get_mut(&**agent)?;
                known.ended(settings, event, &mut self.counts)
            }
            What::Accepted(digests) => {
                for digest in digests {
                    if self.accepted.len() < ACCEPTED_MAX || self.forget_accepted() {
                        self.accepted.insert(digest.clone(), event.at_ms);
                    }
                }
                None
            }
            _ => None,
        }?;
        self.counts.findings += 1;
        if self.findings.len() >= FINDINGS_MAX {
            self.findings.pop_front();
        }
        self.findings.push_back(finding.clone());
        Some(finding)
    }

    fn decided(&mut self, settings: &Behaviour, at_ms: u64, decided: &Decided<'_>, arguments: Option<&str>) -> Option<Finding> {
        self.counts.calls += 1;
        if !self.agents.contains_key(&*decided.agent) {
            if self.agents.len() >= AGENTS_MAX && !self.forget_agent(at_ms) {
                self.counts.unwatched += 1;
                return None;
            }
            self.agents.insert(decided.agent.clone().into_owned(), Agent::new(at_ms));
        }
        let seen = arguments.and_then(|text| arguments::look(&self.salt, text));
        self.counts.arguments += u64::from(seen.is_some());
        let accepted_ms = self.accepted.get(&*decided.tool_digest).copied();
        let agent = self.agents.get_mut(&*decided.agent)?;
        agent.decided(settings, at_ms, (decided, seen.as_deref(), accepted_ms), &mut self.taken, &mut self.counts)
    }

    /// Forgets the agent that has been away for longest, if that is long.
    fn forget_agent(&mut self, now_ms: u64) -> bool {
        let oldest = self.agents.iter().min_by_key(|(_, agent)| agent.last_ms()).map(|(id, agent)| (id.clone(), agent.last_ms()));
        match oldest {
            Some((id, last_ms)) if now_ms.saturating_sub(last_ms) >= AWAY_MS => {
                let gone = self.agents.remove(&id).map(|agent| agent.takes()).unwrap_or_default();
                self.taken.free(gone);
                true
            }
            _ => false,
        }
    }

    fn forget_accepted(&mut self) -> bool {
        let oldest = self.accepted.iter().min_by_key(|(_, at_ms)| **at_ms).map(|(digest, _)| digest.clone());
        oldest.is_some_and(|digest| self.accepted.remove(&digest).is_some())
    }

    /// The agents of which something is known.
    pub fn agents(&self) -> impl Iterator<Item = &str> {
        self.agents.keys().map(String::as_str)
    }

    /// What is usual for an agent.
    pub fn usual(&self, settings: &Behaviour, agent: &str) -> Option<Usual> {
        self.agents.get(agent).map(|known| known.usual(settings, agent))
    }

    /// The last findings, the latest first.
    pub fn findings(&self) -> impl Iterator<Item = &Finding> {
        self.findings.iter().rev()
    }

    /// What was counted.
    pub fn counts(&self) -> Counts {
        self.counts
    }
}
