//! What is found in a set, and what alarms with a fixed number find in the same.

use std::collections::{BTreeMap, BTreeSet};

use remit_kernel::alarm::{self, Alarms, State};
use remit_kernel::behaviour::{Baseline, Event};
use remit_model::{Alarm, AlarmMetric, Behaviour, CallsCounted, GroupBy, MissingData, Statistic, Threshold};

use crate::anomaly::Anomaly;
use crate::random::real;
use crate::workload::{AGENTS, BEGIN_MS, DAY, DAYS, HOUR, JUDGED_FROM};
use crate::{Episode, Set};

/// What was told, and of what.
#[derive(Debug, Clone, Default)]
pub struct Measured {
    /// Episodes that were found, and all of them, by kind.
    pub episodes: BTreeMap<Anomaly, (u64, u64)>,
    /// Findings that are about an episode.
    pub right: u64,
    /// Findings that are about nothing.
    pub wrong: u64,
    /// The same before anything was injected, from the day on that anything is said.
    pub wrong_before: u64,
    /// Which expectations were broken in those that are about nothing.
    pub wrong_of: BTreeMap<&'static str, u64>,
    /// Which expectations found which kind.
    pub by: BTreeMap<(Anomaly, &'static str), u64>,
    /// Some of those that are about nothing, in words.
    pub told: Vec<String>,
}

impl Measured {
    /// The share of episodes that were found.
    pub fn recall(&self) -> f64 {
        let (found, all) = self.episodes.values().fold((0, 0), |sum, one| (sum.0 + one.0, sum.1 + one.1));
        real(found) / real(all.max(1))
    }

    /// The share of findings that are about an episode.
    pub fn precision(&self) -> f64 {
        real(self.right) / real((self.right + self.wrong).max(1))
    }

    /// Findings about nothing for an agent and a day, while things were injected.
    pub fn false_a_day(&self) -> f64 {
        real(self.wrong) / real(AGENTS.len() as u64 * (DAYS - JUDGED_FROM))
    }

    /// Adds another set's.
    pub fn add(&mut self, other: Self) {
        for (kind, (found, all)) in other.episodes {
            let sum = self.episodes.entry(kind).or_default();
            *sum = (sum.0 + found, sum.1 + all);
        }
        self.right += other.right;
        self.wrong += other.wrong;
        self.wrong_before += other.wrong_before;
        for (of, count) in other.wrong_of {
            *self.wrong_of.entry(of).or_default() += count;
        }
        for (by, count) in other.by {
            *self.by.entry(by).or_default() += count;
        }
        self.told.extend(other.told);
    }
}

/// The episode that something told is about: a call of it, or a call of its agent while it went on. What is told of a count may be told of a
/// later call in the window that was counted.
fn about(set: &Set, decision: Option<&str>, agent: &str, at_ms: u64, counted_ms: u64) -> Option<usize> {
    let labelled = decision.and_then(|decision| set.labels.get(decision)).copied();
    labelled.or_else(|| {
        let during = |episode: &Episode| {
            let ends_ms = episode.ends_ms - episode.ends_ms % counted_ms + counted_ms;
            episode.agent == agent && (episode.begins_ms..ends_ms).contains(&at_ms)
        };
        set.episodes.iter().position(during)
    })
}

/// Collects what is told.
struct Tally<'a> {
    set: &'a Set,
    measured: Measured,
    found: BTreeSet<usize>,
}

impl<'a> Tally<'a> {
    fn new(set: &'a Set) -> Self {
        Self { set, measured: Measured::default(), found: BTreeSet::new() }
    }

    /// Something was told. Which episode it is about.
    fn told(&mut self, decision: Option<&str>, agent: &str, at_ms: u64, counted_ms: u64) -> Option<usize> {
        let episode = about(self.set, decision, agent, at_ms, counted_ms);
        match episode {
            Some(episode) => {
                self.measured.right += 1;
                self.found.insert(episode);
            }
            None if at_ms >= BEGIN_MS + JUDGED_FROM * DAY => self.measured.wrong += 1,
            None => self.measured.wrong_before += 1,
        }
        episode
    }

    fn done(mut self) -> Measured {
        for (number, episode) in self.set.episodes.iter().enumerate() {
            let (found, all) = self.measured.episodes.entry(episode.kind).or_default();
            *found += u64::from(self.found.contains(&number));
            *all += 1;
        }
        self.measured
    }
}

/// What is found in a set.
pub fn behaviour(set: &Set, settings: &Behaviour) -> Measured {
    let mut baseline = Baseline::new([7; 16]);
    let mut tally = Tally::new(set);
    for entry in &set.entries {
        let Some(event) = Event::read(&entry.bytes) else { continue };
        let Some(finding) = baseline.observe(settings, &event, entry.arguments.as_deref()) else { continue };
        let first = finding.broken.first().map_or("", |broken| broken.expectation.as_str());
        let counted_ms = finding.broken.iter().filter_map(|broken| broken.window_secs).max().map_or(1, |secs| secs * 1000);
        match tally.told(Some(&finding.decision), &finding.agent, finding.at_ms, counted_ms) {
            Some(episode) => {
                let kind = set.episodes.get(episode).map_or(Anomaly::FirstUse, |episode| episode.kind);
                *tally.measured.by.entry((kind, first)).or_default() += 1;
            }
            None if finding.at_ms >= BEGIN_MS + JUDGED_FROM * DAY => {
                *tally.measured.wrong_of.entry(first).or_default() += 1;
                let broken: Vec<String> =
                    finding.broken.iter().map(|broken| format!("{:.1} {}", broken.bits, broken.told)).collect();
                let day = (finding.at_ms - BEGIN_MS) / DAY;
                tally.measured.told.push(format!("day {day} {:.1} {}", finding.score, broken.join("; ")));
            }
            None => {}
        }
    }
    tally.done()
}

/// What alarms with fixed numbers tell of a set: more than so many calls of an agent in an hour, or so many denials.
pub fn fixed(set: &Set, calls: u64, denials: u64) -> Measured {
    let alarm = |name: &str, metric, threshold| Alarm {
        name: name.to_owned(),
        metric,
        statistic: Statistic::Sum,
        calls: CallsCounted::default(),
        threshold: Threshold::AtLeast(threshold),
        period_secs: HOUR / 1000,
        evaluation_periods: 1,
        datapoints_to_alarm: 1,
        missing_data: MissingData::NotBreaching,
        group_by: Some(GroupBy::Agent),
        actions: Vec::new(),
    };
    let mut alarms = Alarms::default();
    let watched = [alarm("calls", AlarmMetric::Decisions, calls), alarm("denials", AlarmMetric::Denials, denials)];
    drop(alarms.configure(&watched, BEGIN_MS));
    let mut tally = Tally::new(set);
    for entry in &set.entries {
        let Some(event) = alarm::Event::read(&entry.bytes) else { continue };
        alarms.observe(&event);
        for change in alarms.evaluate(event.at_ms) {
            if change.to == State::Alarm {
                tally.told(None, &change.group, change.at_ms, HOUR);
            }
        }
    }
    tally.done()
}
