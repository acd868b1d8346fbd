//! Decisions as metrics of CloudWatch, in its embedded metric format (User Guide, "Specification: Embedded metric format").
//!
//! An alarm that names no dimensions sees only what was sent with none: so every figure is sent with the empty set of dimensions as well as by
//! agent, by space and by tool.

use std::collections::BTreeMap;

use remit_kernel::alarm::{Event, OTHER, What};
use remit_model::AlarmMetric;
use serde_json::{Map, Value, json};

/// The namespace of all of them.
pub const NAMESPACE: &str = "AgentGovernance";
/// The most values of one dimension; what comes after counts for [`OTHER`].
const VALUES_MAX: usize = 1_000;
/// The most values of one metric in one line.
const ARRAY_MAX: usize = 100;
/// The most durations of one dimension's value that are kept until they are sent.
const LATENCIES_MAX: usize = 10 * ARRAY_MAX;
/// The longest value of a dimension, in characters.
const DIMENSION_CHARS_MAX: usize = 1_024;

/// Figures of one set of dimensions.
#[derive(Debug, Clone, Default)]
struct Figures {
    decisions: u64,
    denials: u64,
    holds: u64,
    risky: u64,
    ended: u64,
    errors: u64,
    latencies_ms: Vec<u64>,
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
                if self.latencies_ms.len() < LATENCIES_MAX {
                    self.latencies_ms.push(*latency_ms);
                }
            }
            What::Found { score } => {
                self.findings += 1;
                self.score_max = self.score_max.max(*score);
            }
        }
    }

    /// The metrics with their values. A count is sent as 0 where there was something that it could have counted.
    fn lines(&self, at_ms: u64, dimension: Option<(&str, &str)>) -> Vec<String> {
        let mut first: Vec<(AlarmMetric, Value)> = Vec::new();
        if self.decisions > 0 {
            first.extend([
                (AlarmMetric::Decisions, json!(self.decisions)),
                (AlarmMetric::Denials, json!(self.denials)),
                (AlarmMetric::Holds, json!(self.holds)),
                (AlarmMetric::RiskyAttempts, json!(self.risky)),
            ]);
        }
        if self.ended > 0 {
            first.push((AlarmMetric::Errors, json!(self.errors)));
        }
        if self.findings > 0 {
            first.extend([(AlarmMetric::Findings, json!(self.findings)), (AlarmMetric::FindingScore, json!(self.score_max))]);
        }
        let mut arrays = self.latencies_ms.chunks(ARRAY_MAX).map(|some| (AlarmMetric::LatencyMs, json!(some)));
        first.extend(arrays.next());
        let mut lines = vec![first];
        lines.extend(arrays.map(|more| vec![more]));
        lines.into_iter().filter(|metrics| !metrics.is_empty()).map(|metrics| line(at_ms, dimension, metrics)).collect()
    }
}

fn line(at_ms: u64, dimension: Option<(&str, &str)>, metrics: Vec<(AlarmMetric, Value)>) -> String {
    let unit = |metric: AlarmMetric| match metric {
        AlarmMetric::LatencyMs => "Milliseconds",
        AlarmMetric::FindingScore => "None",
        _ => "Count",
    };
    let named: Vec<Value> =
        metrics.iter().map(|(metric, _)| json!({"Name": metric.cloudwatch_name(), "Unit": unit(*metric)})).collect();
    let set: Vec<&str> = dimension.iter().map(|(name, _)| *name).collect();
    let mut root = Map::new();
    root.insert(
        "_aws".to_owned(),
        json!({"Timestamp": at_ms, "CloudWatchMetrics": [{"Namespace": NAMESPACE, "Dimensions": [set], "Metrics": named}]}),
    );
    root.extend(dimension.map(|(name, value)| (name.to_owned(), fitting(value).into())));
    root.extend(metrics.into_iter().map(|(metric, value)| (metric.cloudwatch_name().to_owned(), value)));
    Value::Object(root).to_string()
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

    /// All of it in lines, at this time; then it begins anew. Nothing, where nothing has happened.
    pub fn take(&mut self, at_ms: u64) -> Vec<String> {
        let batch = std::mem::take(self);
        let mut lines = batch.all.lines(at_ms, None);
        for (dimension, values) in &batch.by {
            lines.extend(values.iter().flat_map(|(value, figures)| figures.lines(at_ms, Some((dimension, value)))));
        }
        lines
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test that can't go on fails")]
mod tests {
    use super::*;

    fn decision(agent: &str, tool: &str, verdict: &str) -> Vec<u8> {
        json!({"v": 1, "type": "decision", "time": "2026-03-01T00:00:00.000Z", "id": "d", "trace_id": "t", "agent": agent, "space": "s",
            "server": "1/a", "tool": tool, "verdict": verdict, "risk": "high"})
        .to_string()
        .into_bytes()
    }

    /// The rules of the specification, as far as they are about what is written here.
    fn held_to_the_specification(line: &str) -> Value {
        let root: Value = serde_json::from_str(line).unwrap();
        assert!(line.len() <= 1024 * 1024 && root["_aws"]["Timestamp"].is_u64());
        for directive in root["_aws"]["CloudWatchMetrics"].as_array().unwrap() {
            assert_eq!(directive["Namespace"], NAMESPACE);
            let sets = directive["Dimensions"].as_array().unwrap();
            assert!(!sets.is_empty());
            for key in sets.iter().flat_map(|set| set.as_array().unwrap()) {
                let value = root[key.as_str().unwrap()].as_str().unwrap();
                assert!(value.is_ascii() && !value.trim().is_empty() && value.len() <= 1024);
            }
            assert!(sets.iter().all(|set| set.as_array().unwrap().len() <= 30));
            let metrics = directive["Metrics"].as_array().unwrap();
            assert!((1..=100).contains(&metrics.len()));
            for metric in metrics {
                assert!(["Count", "Milliseconds"].contains(&metric["Unit"].as_str().unwrap()));
                let value = &root[metric["Name"].as_str().unwrap()];
                let fits = value.is_number() || value.as_array().is_some_and(|all| (1..=100).contains(&all.len()));
                assert!(fits, "{metric}: {value}");
            }
        }
        root
    }

    #[test]
    fn what_the_seeds_alarm_watches_is_sent_without_dimensions_and_by_agent_space_and_tool() {
        let mut batch = Batch::default();
        assert!(batch.take(7).is_empty());
        for (agent, verdict) in [("one", "DENY"), ("two", "DENY"), ("two", "ALLOW")] {
            batch.add(&Event::read(&decision(agent, "a___b", verdict)).unwrap());
        }
        let outcome = br#"{"v":1,"type":"outcome","time":"2026-03-01T00:00:00.000Z","decision":"d","agent":"two","space":"s","tool":"a___b","outcome":"ok","latency_us":41000}"#;
        for _ in 0..250 {
            batch.add(&Event::read(outcome).unwrap());
        }
        let lines: Vec<Value> = batch.take(7).iter().map(|line| held_to_the_specification(line)).collect();
        let of = |set: Value| {
            lines.iter().filter(|line| line["_aws"]["CloudWatchMetrics"][0]["Dimensions"] == set).cloned().collect::<Vec<_>>()
        };
        let all = of(json!([[]]));
        assert_eq!(all.len(), 3, "250 durations are three arrays");
        assert_eq!(
            (&all[0]["PolicyDenied"], &all[0]["PolicyDecisions"], &all[0]["RiskyAttempts"]),
            (&json!(2), &json!(3), &json!(3))
        );
        assert_eq!(all.iter().map(|line| line["CallLatency"].as_array().unwrap().len()).sum::<usize>(), 250);
        let agents = of(json!([["agent_id"]]));
        let denied = |agent: &str| agents.iter().find(|line| line["agent_id"] == agent).unwrap()["PolicyDenied"].clone();
        assert_eq!((denied("one"), denied("two")), (json!(1), json!(1)));
        assert!(!of(json!([["space"]])).is_empty() && !of(json!([["tool"]])).is_empty());
        assert!(batch.take(8).is_empty());
    }

    #[test]
    fn names_fit_and_are_bounded() {
        let mut batch = Batch::default();
        for number in 0..3 * VALUES_MAX {
            batch.add(&Event::read(&decision(&format!("agent-{number}"), "ü", "DENY")).unwrap());
        }
        let lines: Vec<Value> = batch.take(7).iter().map(|line| held_to_the_specification(line)).collect();
        assert_eq!(lines.len(), 1 + VALUES_MAX + 1 + 1 + 1);
        assert!(lines.iter().any(|line| line["agent_id"] == OTHER && line["PolicyDenied"] == 2 * VALUES_MAX));
        assert!(lines.iter().any(|line| line["tool"] == "?"));
    }
}
