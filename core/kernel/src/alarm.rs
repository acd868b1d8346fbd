//! Alarms over decisions: the journal's entries and the time in, changes of state out.
//!
//! States, periods and data points are CloudWatch's (User Guide, "Alarm evaluation"): of the last `evaluation_periods` periods at least
//! `datapoints_to_alarm` must be breaching. Periods slide, as CloudWatch's do, here in twentieths: whatever falls together into one window that
//! begins at a twentieth is seen together, and an alarm goes off with the very entry that makes it too much.
//!
//! Memory is bounded whatever callers do: groups and the parts of their windows have a largest number. What finds no place counts for
//! [`OTHER`].

mod event;
mod states;
mod window;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use remit_model::{Alarm, GroupBy, MissingData, Threshold};
use serde::{Deserialize, Serialize};

pub use event::{Event, What};
pub use states::{Kept, States};
use window::Window;

/// The most groups of an alarm.
pub const GROUPS_MAX: usize = 1_000;
/// The most groups of all alarms together.
pub const GROUPS_ALL_MAX: usize = 10_000;
/// The group of what has none of its own: tools that nobody lists, and what came when there were too many groups.
pub const OTHER: &str = "other";

/// How an alarm stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub enum State {
    /// It is within its threshold.
    #[serde(rename = "OK")]
    Ok,
    /// It isn't.
    #[serde(rename = "ALARM")]
    Alarm,
    /// Nobody knows: nothing has happened yet, or for long.
    #[default]
    #[serde(rename = "INSUFFICIENT_DATA")]
    InsufficientData,
}

impl State {
    /// CloudWatch's word.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Ok => "OK",
            Self::Alarm => "ALARM",
            Self::InsufficientData => "INSUFFICIENT_DATA",
        }
    }
}

/// A change of state.
#[derive(Debug, Clone, PartialEq)]
pub struct Change {
    /// The alarm as it is, or was when it was taken away.
    pub alarm: Arc<Alarm>,
    /// Which group; empty where it isn't told apart.
    pub group: String,
    /// From this state.
    pub from: State,
    /// To this one.
    pub to: State,
    /// When, in milliseconds since the epoch.
    pub at_ms: u64,
    /// Why, for people.
    pub reason: String,
    /// What the periods came to, the latest first; `None`: nothing happened in it.
    pub datapoints: Vec<Option<f64>>,
}

/// How one group stands.
#[derive(Debug, Clone, PartialEq)]
pub struct Standing {
    /// The alarm.
    pub alarm: Arc<Alarm>,
    /// Which group; empty where it isn't told apart.
    pub group: String,
    /// The state.
    pub state: State,
    /// Since when, in milliseconds since the epoch; 0: since ever.
    pub since_ms: u64,
    /// Why, for people.
    pub reason: String,
}

/// One group of an alarm.
#[derive(Debug, Default)]
struct Group {
    window: Window,
    state: State,
    since_ms: u64,
    reason: String,
    /// The part of the window that it was last evaluated in, unless something has come since.
    evaluated: Option<u64>,
    /// It is there before anything happened: what is expected of it can be missed.
    expected: bool,
}

/// One alarm with all of its groups.
#[derive(Debug)]
struct Watched {
    alarm: Arc<Alarm>,
    groups: BTreeMap<String, Group>,
    /// Since when it is watched: what was before may not be known.
    watched_ms: u64,
}

/// What a period is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Datapoint {
    Breaching,
    NotBreaching,
    Missing,
    /// It began before anybody looked.
    Unknown,
}

/// All alarms of an organization.
#[derive(Debug, Default)]
pub struct Alarms {
    watched: BTreeMap<String, Watched>,
}

impl Alarms {
    /// Watches these from now on. What was watched already keeps its state, and what it has seen as long as the same is counted. An alarm that
    /// is taken away is over.
    pub fn configure(&mut self, alarms: &[Alarm], now_ms: u64) -> Vec<Change> {
        let mut before = std::mem::take(&mut self.watched);
        for alarm in alarms {
            let watched = match before.remove(&alarm.name) {
                Some(mut watched) => {
                    if !counts_the_same(&watched.alarm, alarm) {
                        watched.groups.values_mut().for_each(|group| group.window = Window::default());
                        watched.watched_ms = now_ms;
                    }
                    if watched.alarm.group_by != alarm.group_by {
                        self.watched.insert(alarm.name.clone(), Watched::new(alarm, now_ms));
                        before.insert(alarm.name.clone(), watched);
                        continue;
                    }
                    watched.groups.values_mut().for_each(|group| group.evaluated = None);
                    watched.alarm = Arc::new(alarm.clone());
                    watched.expect();
                    watched
                }
                None => Watched::new(alarm, now_ms),
            };
            self.watched.insert(alarm.name.clone(), watched);
        }
        let gone = before.into_values().flat_map(|watched| {
            let alarm = watched.alarm;
            watched.groups.into_iter().filter(|(_, group)| group.state == State::Alarm).map(move |(name, group)| Change {
                alarm: Arc::clone(&alarm),
                group: name,
                from: group.state,
                to: State::InsufficientData,
                at_ms: now_ms,
                reason: "the alarm is no longer in the configuration".to_owned(),
                datapoints: Vec::new(),
            })
        });
        gone.collect()
    }

    /// Goes on with the states that were recorded. Answers the last change of each group, with the numbers of the actions that were done about
    /// it: what else there is to be done may have been under way.
    pub fn restore(&mut self, states: &States) -> Vec<(Change, BTreeSet<u64>)> {
        let mut last = Vec::new();
        let mut all = 0;
        for watched in self.watched.values_mut() {
            let alarm = Arc::clone(&watched.alarm);
            for (name, kept) in states.of(&alarm.name) {
                if alarm.group_by.is_some() == name.is_empty() {
                    continue;
                }
                all += 1;
                if let Some(group) = watched.group(name, all) {
                    (group.state, group.since_ms) = (kept.state, kept.since_ms);
                    group.reason.clone_from(&kept.reason);
                }
                let change = Change {
                    alarm: Arc::clone(&alarm),
                    group: name.to_owned(),
                    from: kept.from,
                    to: kept.state,
                    at_ms: kept.since_ms,
                    reason: kept.reason.clone(),
                    datapoints: Vec::new(),
                };
                last.push((change, kept.done.clone()));
            }
        }
        last
    }

    /// How long the longest window looks back, in seconds.
    pub fn window_secs(&self) -> u64 {
        let of = |watched: &Watched| watched.alarm.period_secs.saturating_mul(watched.alarm.evaluation_periods);
        self.watched.values().map(of).max().unwrap_or_default()
    }

    /// Takes what has happened.
    pub fn observe(&mut self, event: &Event<'_>) {
        let mut all: usize = self.watched.values().map(|watched| watched.groups.len()).sum();
        for watched in self.watched.values_mut() {
            let Some((counts, value)) = event.counted(&watched.alarm) else { continue };
            let name = event.group(watched.alarm.group_by);
            let (alarm, before) = (Arc::clone(&watched.alarm), watched.groups.len());
            let Some(group) = watched.group(name, all) else { continue };
            group.window.add(&alarm, event.at_ms, counts, value);
            group.evaluated = None;
            all += watched.groups.len() - before;
        }
    }

    /// How everything stands now: the changes since it was last asked.
    pub fn evaluate(&mut self, now_ms: u64) -> Vec<Change> {
        let mut changes = Vec::new();
        for watched in self.watched.values_mut() {
            let (alarm, watched_ms) = (Arc::clone(&watched.alarm), watched.watched_ms);
            let part = window::part(&alarm, now_ms);
            for (name, group) in &mut watched.groups {
                if group.evaluated == Some(part) {
                    continue;
                }
                group.evaluated = Some(part);
                changes.extend(group.evaluate(&alarm, name, watched_ms, now_ms));
            }
            // Whatever has been silent for so long that nothing is known of it is forgotten.
            watched
                .groups
                .retain(|_, group| group.expected || group.state != State::InsufficientData || !group.window.is_empty());
        }
        changes
    }

    /// How every group stands.
    pub fn standings(&self) -> impl Iterator<Item = Standing> {
        self.watched.values().flat_map(|watched| {
            watched.groups.iter().map(|(name, group)| Standing {
                alarm: Arc::clone(&watched.alarm),
                group: name.clone(),
                state: group.state,
                since_ms: group.since_ms,
                reason: group.reason.clone(),
            })
        })
    }
}

/// Whether windows of one alarm say what those of the other would.
fn counts_the_same(one: &Alarm, other: &Alarm) -> bool {
    (one.metric, &one.calls, one.period_secs, one.evaluation_periods, one.group_by)
        == (other.metric, &other.calls, other.period_secs, other.evaluation_periods, other.group_by)
}

impl Watched {
    fn new(alarm: &Alarm, now_ms: u64) -> Self {
        let mut watched = Self { alarm: Arc::new(alarm.clone()), groups: BTreeMap::new(), watched_ms: now_ms };
        watched.expect();
        watched
    }

    /// The groups that are there before anything happens: those that the alarm names.
    fn expect(&mut self) {
        let calls = &self.alarm.calls;
        let names: Vec<String> = match self.alarm.group_by {
            None => vec![String::new()],
            Some(GroupBy::Agent) => calls.agents.iter().map(|id| id.as_str().to_owned()).collect(),
            Some(GroupBy::Space) => calls.spaces.iter().map(|id| id.as_str().to_owned()).collect(),
            Some(GroupBy::Tool) => calls.tools.iter().filter(|tool| !tool.ends_with('*')).cloned().collect(),
        };
        self.groups.values_mut().for_each(|group| group.expected = false);
        for name in names.into_iter().take(GROUPS_MAX) {
            self.groups.entry(name).or_default().expected = true;
        }
    }

    /// The group of this name; where there are too many, that of all others.
    fn group(&mut self, name: &str, all: usize) -> Option<&mut Group> {
        let full = (self.groups.len() >= GROUPS_MAX || all >= GROUPS_ALL_MAX) && !self.groups.contains_key(name);
        let name = if full { OTHER } else { name };
        if !self.groups.contains_key(name) {
            self.groups.insert(name.to_owned(), Group::default());
        }
        self.groups.get_mut(name)
    }
}

impl Group {
    fn evaluate(&mut self, alarm: &Arc<Alarm>, name: &str, watched_ms: u64, now_ms: u64) -> Option<Change> {
        self.window.forget(alarm, now_ms);
        let mut datapoints = Vec::new();
        let mut points = Vec::new();
        for number in 0..alarm.evaluation_periods {
            let period = self.window.period(alarm, number, now_ms);
            let point = match period.value {
                Some(_) if period.breaching => Datapoint::Breaching,
                Some(_) => Datapoint::NotBreaching,
                None => Datapoint::Missing,
            };
            // What ought to happen may have happened before anybody looked.
            let absence = matches!(alarm.threshold, Threshold::FewerThan(_)) && point != Datapoint::NotBreaching;
            points.push(if absence && period.begins_ms < watched_ms { Datapoint::Unknown } else { point });
            datapoints.push(period.value);
        }
        let count = |wanted: Datapoint| points.iter().filter(|point| **point == wanted).count() as u64;
        let (missing, unknown) = (count(Datapoint::Missing), count(Datapoint::Unknown));
        let mut breaching = count(Datapoint::Breaching);
        if alarm.missing_data == MissingData::Breaching {
            breaching += missing;
        }
        let silent = missing + unknown == alarm.evaluation_periods;
        let to = match alarm.missing_data {
            _ if breaching >= alarm.datapoints_to_alarm => State::Alarm,
            _ if unknown > 0 && silent => self.state,
            MissingData::Missing if silent => State::InsufficientData,
            MissingData::Ignore if silent => self.state,
            _ => State::Ok,
        };
        if to == self.state {
            return None;
        }
        let from = std::mem::replace(&mut self.state, to);
        (self.since_ms, self.reason) = (now_ms, reason(alarm, to, breaching, &datapoints));
        let (alarm, group, reason) = (Arc::clone(alarm), name.to_owned(), self.reason.clone());
        Some(Change { alarm, group, from, to, at_ms: now_ms, reason, datapoints })
    }
}

fn reason(alarm: &Alarm, to: State, breaching: u64, datapoints: &[Option<f64>]) -> String {
    let (periods, secs) = (alarm.evaluation_periods, alarm.period_secs);
    if to == State::InsufficientData {
        return format!("nothing happened in {periods} periods of {secs} s");
    }
    let metric = alarm.metric.as_str();
    let rule = match alarm.threshold {
        Threshold::AtLeast(threshold) => format!("{} of {metric} at least {threshold}", alarm.statistic.as_str()),
        Threshold::FewerThan(threshold) => format!("{} of {metric} less than {threshold}", alarm.statistic.as_str()),
        Threshold::Ratio { percent, of_at_least } => {
            format!("{metric} at least {percent} percent of all, where there are {of_at_least}")
        }
    };
    let told: Vec<String> =
        datapoints.iter().map(|point| point.map_or_else(|| "nothing".to_owned(), |value| format!("{value}"))).collect();
    format!(
        "{breaching} of {periods} periods of {secs} s breaching ({} make an alarm): {rule}; the latest first: {}",
        alarm.datapoints_to_alarm,
        told.join(", ")
    )
}
