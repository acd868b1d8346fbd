//! Figures in CloudWatch's embedded metric format (User Guide, "Specification: Embedded metric format").

use serde_json::{Map, Value, json};

use crate::figures::{Datum, Group, NAMESPACE};

/// The most values of one metric in one line.
const ARRAY_MAX: usize = 100;
/// The most values of one metric and one dimension that are written.
const WRITTEN_MAX: usize = 10 * ARRAY_MAX;

/// Groups of figures in lines, at this time.
pub fn lines(groups: &[Group], at_ms: u64) -> Vec<String> {
    groups.iter().flat_map(|group| of(group, at_ms)).collect()
}

/// The lines of one group: what is an array goes on in lines of its own.
fn of(group: &Group, at_ms: u64) -> Vec<String> {
    let mut lines: Vec<Vec<(&Datum, Value)>> = vec![Vec::new()];
    for datum in &group.data {
        let all = datum.values.iter().flat_map(|(value, count)| (0..*count).map(|_| *value));
        let all: Vec<u64> = all.take(WRITTEN_MAX).collect();
        let (first, rest) = match all.as_slice() {
            [one] => (json!(one), &[][..]),
            many => (json!(many.get(..ARRAY_MAX).unwrap_or(many)), many.get(ARRAY_MAX..).unwrap_or_default()),
        };
        if let Some(line) = lines.first_mut() {
            line.push((datum, first));
        }
        lines.extend(rest.chunks(ARRAY_MAX).map(|some| vec![(datum, json!(some))]));
    }
    lines.into_iter().map(|metrics| line(at_ms, group.dimension.as_ref(), metrics)).collect()
}

fn line(at_ms: u64, dimension: Option<&(&'static str, String)>, metrics: Vec<(&Datum, Value)>) -> String {
    let named: Vec<Value> =
        metrics.iter().map(|(datum, _)| json!({"Name": datum.metric.cloudwatch_name(), "Unit": datum.unit()})).collect();
    let set: Vec<&str> = dimension.iter().map(|(name, _)| *name).collect();
    let mut root = Map::new();
    root.insert(
        "_aws".to_owned(),
        json!({"Timestamp": at_ms, "CloudWatchMetrics": [{"Namespace": NAMESPACE, "Dimensions": [set], "Metrics": named}]}),
    );
    root.extend(dimension.map(|(name, value)| ((*name).to_owned(), json!(value))));
    root.extend(metrics.into_iter().map(|(datum, value)| (datum.metric.cloudwatch_name().to_owned(), value)));
    Value::Object(root).to_string()
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test that can't go on fails")]
mod tests {
    use remit_kernel::alarm::{Event, OTHER};

    use super::*;
    use crate::figures::{Batch, VALUES_MAX};

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
        assert!(batch.take().is_empty());
        for (agent, verdict) in [("one", "DENY"), ("two", "DENY"), ("two", "ALLOW")] {
            batch.add(&Event::read(&decision(agent, "a___b", verdict)).unwrap());
        }
        let outcome = br#"{"v":1,"type":"outcome","time":"2026-03-01T00:00:00.000Z","decision":"d","agent":"two","space":"s","tool":"a___b","outcome":"ok","latency_us":41000}"#;
        for _ in 0..250 {
            batch.add(&Event::read(outcome).unwrap());
        }
        let lines: Vec<Value> = lines(&batch.take(), 7).iter().map(|line| held_to_the_specification(line)).collect();
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
        assert!(batch.take().is_empty());
    }

    #[test]
    fn names_fit_and_are_bounded() {
        let mut batch = Batch::default();
        for number in 0..3 * VALUES_MAX {
            batch.add(&Event::read(&decision(&format!("agent-{number}"), "ü", "DENY")).unwrap());
        }
        let lines: Vec<Value> = lines(&batch.take(), 7).iter().map(|line| held_to_the_specification(line)).collect();
        assert_eq!(lines.len(), 1 + VALUES_MAX + 1 + 1 + 1);
        assert!(lines.iter().any(|line| line["agent_id"] == OTHER && line["PolicyDenied"] == 2 * VALUES_MAX));
        assert!(lines.iter().any(|line| line["tool"] == "?"));
    }
}
