//! Figures as CloudWatch's `PutMetricData` takes them (API reference; query protocol 2010-08-01).

use remit_identity::form;

use crate::figures::{Datum, Group, NAMESPACE};

/// The most data of one request.
const DATA_MAX: usize = 1_000;
/// The largest request, in bytes: 1 MB, and what HTTP takes of it.
const BYTES_MAX: usize = 1_000_000 - 16 * 1024;
/// The most different values of one datum.
const VALUES_MAX: usize = 150;

/// One request's body, and how many data it has.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Request {
    /// The form.
    pub body: String,
    /// How many data.
    pub data: usize,
}

impl Request {
    fn begin() -> Self {
        let fields = [("Action", "PutMetricData"), ("Version", "2010-08-01"), ("Namespace", NAMESPACE)];
        Self { body: form::write(fields), data: 0 }
    }
}

/// Groups of figures in requests, at this time. None, where nothing has happened.
pub fn requests(groups: &[Group], at: &str) -> Vec<Request> {
    let mut requests: Vec<Request> = Vec::new();
    for group in groups {
        let data = group.data.iter().flat_map(|datum| datum.values.chunks(VALUES_MAX).map(move |values| (datum, values)));
        for (datum, values) in data {
            let fields = |number: usize| fields(number, group, datum, values, at);
            let place = requests.last().map_or(0, |last| last.data) + 1;
            let more = fields(place);
            match requests.last_mut() {
                Some(last) if place <= DATA_MAX && last.body.len() + more.len() < BYTES_MAX => {
                    last.body.push('&');
                    last.body.push_str(&more);
                    last.data = place;
                }
                _ => {
                    let mut request = Request::begin();
                    request.body.push('&');
                    request.body.push_str(&fields(1));
                    request.data = 1;
                    requests.push(request);
                }
            }
        }
    }
    requests
}

/// One datum of a request, at its place.
fn fields(number: usize, group: &Group, datum: &Datum, values: &[(u64, u64)], at: &str) -> String {
    let key = |name: &str| format!("MetricData.member.{number}.{name}");
    let mut fields = vec![
        (key("MetricName"), datum.metric.cloudwatch_name().to_owned()),
        (key("Timestamp"), at.to_owned()),
        (key("Unit"), datum.unit().to_owned()),
    ];
    if let Some((name, value)) = &group.dimension {
        fields.push((key("Dimensions.member.1.Name"), (*name).to_owned()));
        fields.push((key("Dimensions.member.1.Value"), value.clone()));
    }
    match values {
        [(value, 1)] => fields.push((key("Value"), value.to_string())),
        many => {
            for (place, (value, count)) in (1..).zip(many) {
                fields.push((key(&format!("Values.member.{place}")), value.to_string()));
                fields.push((key(&format!("Counts.member.{place}")), count.to_string()));
            }
        }
    }
    form::write(fields.iter().map(|(key, value)| (key.as_str(), value.as_str())))
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test that can't go on fails")]
mod tests {
    use std::collections::BTreeMap;

    use remit_model::AlarmMetric;

    use super::*;

    fn read(body: &str) -> BTreeMap<String, String> {
        let pairs = body.split('&').map(|pair| pair.split_once('=').unwrap());
        pairs.map(|(key, value)| (form::decode(key).unwrap(), form::decode(value).unwrap())).collect()
    }

    fn group(value: &str, values: Vec<(u64, u64)>) -> Group {
        let dimension = Some(("agent_id", value.to_owned()));
        Group { dimension, data: vec![Datum { metric: AlarmMetric::LatencyMs, values }] }
    }

    #[test]
    fn one_without_dimensions_names_none_and_many_values_have_their_counts() {
        let groups = [
            Group { dimension: None, data: vec![Datum { metric: AlarmMetric::Denials, values: vec![(20, 1)] }] },
            group("one & all", vec![(7, 3), (9, 1)]),
        ];
        let requests = requests(&groups, "2026-03-01T00:00:00.000Z");
        assert_eq!((requests.len(), requests[0].data), (1, 2));
        let fields = read(&requests[0].body);
        let field = |key: &str| fields.get(key).map(String::as_str);
        assert_eq!((field("Action"), field("Namespace")), (Some("PutMetricData"), Some("AgentGovernance")));
        assert_eq!(
            (field("MetricData.member.1.MetricName"), field("MetricData.member.1.Value")),
            (Some("PolicyDenied"), Some("20"))
        );
        assert_eq!(field("MetricData.member.1.Dimensions.member.1.Name"), None);
        assert_eq!(field("MetricData.member.2.Dimensions.member.1.Value"), Some("one & all"));
        assert_eq!(
            (field("MetricData.member.2.Values.member.1"), field("MetricData.member.2.Counts.member.1")),
            (Some("7"), Some("3"))
        );
        assert_eq!(field("MetricData.member.2.Unit"), Some("Milliseconds"));
    }

    #[test]
    fn no_request_is_larger_than_it_may_be_and_nothing_is_left_out() {
        // As many as there can be, with the longest names, and more values than a datum holds.
        let groups: Vec<Group> = (0..2_500)
            .map(|number| {
                group(&format!("{number:0>1024}"), (0..if number == 0 { 400 } else { 1 }).map(|value| (value, 2)).collect())
            })
            .collect();
        let requests = requests(&groups, "2026-03-01T00:00:00.000Z");
        assert!(requests.iter().all(|request| request.data <= DATA_MAX && request.body.len() < BYTES_MAX));
        assert_eq!(requests.iter().map(|request| request.data).sum::<usize>(), 2_499 + 3);
        let small: Vec<Group> = (0..2_500).map(|number| group(&number.to_string(), vec![(1, 1)])).collect();
        let requests = super::requests(&small, "2026-03-01T00:00:00.000Z");
        assert_eq!(requests.iter().map(|request| request.data).collect::<Vec<_>>(), [1_000, 1_000, 500]);
        for request in requests {
            let fields = read(&request.body);
            let values = fields.keys().filter(|key| key.ends_with(".Value") && !key.contains("Dimensions")).count();
            assert_eq!(values, request.data);
        }
    }
}
