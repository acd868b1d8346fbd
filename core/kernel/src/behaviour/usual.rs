//! What is usual for an agent, for people.

use remit_model::Behaviour;
use serde::Serialize;

use super::agent::{Agent, Tool};
use super::place::Place;
use super::surprise::{item, tenth};
use super::tail::{Tail, level_count, level_size};

/// What is usual for an agent.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Usual {
    /// The agent.
    pub agent: String,
    /// When it was first there, in milliseconds since the epoch.
    pub first_ms: u64,
    /// When it was last there.
    pub last_ms: u64,
    /// On how many days it was there.
    pub days: u32,
    /// How many calls it made.
    pub calls: u64,
    /// Whether enough is known for anything to be said of it.
    pub known: bool,
    /// The hours (UTC) at which it is there on days of the week.
    pub hours: Vec<u8>,
    /// The same of weekends.
    pub weekend_hours: Vec<u8>,
    /// Calls in an hour: the middle, and what 98 of 100 hours don't exceed.
    pub calls_an_hour: Option<(f64, f64)>,
    /// Its tools.
    pub tools: Vec<UsualTool>,
}

/// What is usual for one of its tools.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct UsualTool {
    /// The tool's name in policies.
    pub tool: String,
    /// Calls whose arguments are known.
    pub calls: u64,
    /// Calls in an hour with any: the middle, and what 98 of 100 don't exceed.
    pub calls_an_hour: Option<(f64, f64)>,
    /// Bytes of a result, likewise.
    pub result_bytes: Option<(f64, f64)>,
    /// The tools that it follows.
    pub after: Vec<String>,
    /// Its arguments.
    pub arguments: Vec<UsualArgument>,
}

/// What is usual for an argument.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct UsualArgument {
    /// Where it is.
    pub pointer: String,
    /// In how many calls it was there.
    pub present: u64,
    /// Of which kinds it is.
    pub kinds: Vec<&'static str>,
    /// How many different values there were; absent: too many to tell them apart, or none that are.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub different: Option<usize>,
    /// Numbers, rounded up to a quarter of an octave: the middle, and what 98 of 100 don't exceed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub numbers: Option<(f64, f64)>,
    /// Characters of texts, likewise.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub characters: Option<(f64, f64)>,
}

fn levels(tail: &Tail, level: fn(f64) -> f64) -> Option<(f64, f64)> {
    tail.usual().map(|(middle, edge)| (tenth(level(middle)), tenth(level(edge))))
}

impl Agent {
    /// What is usual for it.
    pub(super) fn usual(&self, settings: &Behaviour, agent: &str) -> Usual {
        let [hours, weekend_hours] = self.hours.usual();
        Usual {
            agent: agent.to_owned(),
            first_ms: self.first_ms,
            last_ms: self.last_ms,
            days: self.days,
            calls: self.calls,
            known: self.is_known(settings),
            hours,
            weekend_hours,
            calls_an_hour: levels(&self.hour.past, level_count),
            tools: self.tools.iter().map(|(name, tool)| self.usual_tool(name, tool)).collect(),
        }
    }

    fn usual_tool(&self, name: &str, tool: &Tool) -> UsualTool {
        let this = item(&[name], 0);
        let after = self.next.iter().filter(|(before, next)| !before.is_empty() && next.knows(this));
        UsualTool {
            tool: name.to_owned(),
            calls: tool.calls,
            calls_an_hour: levels(&tool.hour.past, level_count),
            result_bytes: levels(&tool.results, level_size),
            after: after.map(|(before, _)| before.clone()).collect(),
            arguments: tool.places.iter().map(|(pointer, place)| place.usual(pointer)).collect(),
        }
    }
}

impl Place {
    fn usual(&self, pointer: &str) -> UsualArgument {
        UsualArgument {
            pointer: pointer.to_owned(),
            present: self.present,
            kinds: self.known_kinds(),
            different: self.values.different().filter(|different| *different > 0),
            numbers: levels(&self.numbers, f64::exp2),
            characters: levels(&self.lengths, level_size),
        }
    }
}
