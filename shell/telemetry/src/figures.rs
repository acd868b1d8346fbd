//! What has happened since it was last sent, in figures: over all, by agent, by space and by tool.
//!
//! An alarm that names no dimensions sees only what was sent with none: so every figure is there without dimensions as well.

use std::collections::BTreeMap;

use remit_kernel::alarm::{Event, OTHER, What};
use remit_model::AlarmMetric;

/// The namespace of all of them.
pub const NAMESPACE: &str = "AgentGovernance";
/// The most values of one dimension; what comes after counts for [`OTHER`].
pub(crate) const VALUES_MAX: usize = 1_000;
/// The most different durations of one dimension's value that are told apart; what comes after counts for the nearest below.
const LATENCIES_MAX: usize = 1_000;
/// The longest value of a dimension, in characters.
const DIMENSION_CHARS_MAX: usize = 1_024;

/// The values of one metric with one dimension, or none.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Datum {
    /// What is measured.
    pub metric: AlarmMetric,
    /// Each value, and how often it was there.
    pub values: Vec<(u64, u64)>,
}

impl Datum {
    /// Its unit, in CloudWatch's word.
    pub fn unit(&self) -> &'static str {
        match self.metric {
            AlarmMetric::LatencyMs => "Milliseconds",
            AlarmMetric::FindingScore => "None",
            _ => "Count",
        }
    }
}

/// What was measured with one dimension, or none.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Group {
    /// The dimension's name, and its value as CloudWatch takes it.
    pub dimension: Option<(&'static str, String)>,
    /// The metrics.
    pub data: Vec<Datum>,
}

/// Figures of one set of dimensions.
#[derive(Debug, Clone, Default)]
struct Figures {
    decisions: u64,
    denials: u64,
    holds: u64,
    risky: u64,
    ended: u64,
    errors: u64,
    /// How often each duration was there.
    latencies_ms: BTreeMap<u64, u64>,
    findings: u64,
    score_max: u64,
}

impl Figures {
    fn add(&mut self, what: &What<'_>) {
        match what {
            What::Decided { verdict, risky, .. } => {
                self.decisions += 1;
                self.denials += u64::from(verdict == "DENY");
                self.holds += u64::from(verdict == "HOLD");
                self.risky += u64::from(*risky);
            }
            What::Ended { error, latency_ms } => {
                self.ended += 1;
                self.errors += u64::from(*error);
                let full = self.latencies_ms.len() >= LATENCIES_MAX;
                let near = || self.latencies_ms.range(..=latency_ms).next_back().or(self.latencies_ms.first_key_value());
                let at = if full { near().map_or(*latency_ms, |(near, _)| *near) } else { *latency_ms };
                *self.latencies_ms.entry(at).or_default() += 1;
            }
            What::Found { score } => {
                self.findings += 1;
                self.score_max = self.score_max.max(*score);
            }
        }
    }

    /// The metrics. A count is there as 0 where there was something that it could have counted.
    fn data(&self) -> Vec<Datum> {
        let one = |metric: AlarmMetric, value: u64| Datum { metric, values: vec![(value, 1)] };
        let mut data = Vec::new();
        if self.decisions > 0 {
            data.extend([
                one(AlarmMetric::Decisions, self.decisions),
                one(AlarmMetric::Denials, self.denials),
                one(AlarmMetric::Holds, self.holds),
                one(AlarmMetric::RiskyAttempts, self.risky),
            ]);
        }
        if self.ended > 0 {
            data.push(one(AlarmMetric::Errors, self.errors));
            let values = self.latencies_ms.iter().map(|(value, count)| (*value, *count)).collect();
            data.push(Datum { metric: AlarmMetric::LatencyMs, values });
        }
        if self.findings > 0 {
            data.extend([one(AlarmMetric::Findings, self.findings), one(AlarmMetric::FindingScore, self.score_max)]);
        }
        data
    }
}

/// A value as CloudWatch takes it: of ASCII, with something in it.
fn fitting(value: &str) -> String {
    let plain = |c: char| if c.is_ascii_graphic() || c == ' ' { c } else { '?' };
    let fits: String = value.chars().take(DIMENSION_CHARS_MAX).map(plain).collect();
    // A colon at the beginning is CloudWatch's own.
    if fits.trim().is_empty() || fits.starts_with(':') { OTHER.to_owned() } else { fits }
}

/// What has happened since it was last sent.
#[derive(Debug, Default)]
pub struct Batch {
    all: Figures,
    /// By dimension and its value.
    by: BTreeMap<&'static str, BTreeMap<String, Figures>>,
}

impl Batch {
    /// Takes what has happened.
    pub fn add(&mut self, event: &Event<'_>) {
        self.all.add(&event.what);
        let dimensions = [("agent_id", event.agent_known()), ("space", event.space_known()), ("tool", event.tool_known())];
        for (dimension, value) in dimensions {
            // A call of something else than a tool has none.
            if value.is_empty() {
                continue;
            }
            let values = self.by.entry(dimension).or_default();
            let full = values.len() >= VALUES_MAX && !values.contains_key(value);
            let value = if full { OTHER } else { value };
            match values.get_mut(value) {
                Some(figures) => figures.add(&event.what),
                None => values.entry(value.to_owned()).or_default().add(&event.what),
            }
        }
    }

    /// All of it; then it begins anew. Nothing, where nothing has happened.
    pub fn take(&mut self) -> Vec<Group> {
        let batch = std::mem::take(self);
        let by = batch.by.iter().flat_map(|(dimension, values)| {
            values.iter().map(|(value, figures)| Group { dimension: Some((dimension, fitting(value))), data: figures.data() })
        });
        let all = Group { dimension: None, data: batch.all.data() };
        std::iter::once(all).chain(by).filter(|group| !group.data.is_empty()).collect()
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test that can't go on fails")]
mod tests {
    use super::*;

    #[test]
    fn however_many_durations_there_are_every_call_counts() {
        let mut batch = Batch::default();
        let ended = |latency_ms: u64| Event {
            at_ms: 0,
            agent: "one".into(),
            space: "s".into(),
            tool: "a___b".into(),
            known: true,
            trace_id: "t".into(),
            decision: "d".into(),
            what: What::Ended { error: false, latency_ms },
        };
        for latency_ms in 0..3 * LATENCIES_MAX as u64 {
            batch.add(&ended(3 * LATENCIES_MAX as u64 - latency_ms));
        }
        let groups = batch.take();
        assert_eq!(groups.len(), 4);
        for group in groups {
            let latency = group.data.iter().find(|datum| datum.metric == AlarmMetric::LatencyMs).unwrap();
            assert_eq!(latency.values.len(), LATENCIES_MAX);
            assert_eq!(latency.values.iter().map(|(_, count)| count).sum::<u64>(), 3 * LATENCIES_MAX as u64);
        }
    }
}
