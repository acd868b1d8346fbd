//! OpenTelemetry over OTLP/HTTP: spans, metrics and logs of the same calls, as a collector decodes them.

use std::collections::HashMap;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpListener;
use std::sync::{Arc, Mutex};
use std::thread;

use opentelemetry_proto::tonic::collector::logs::v1::ExportLogsServiceRequest;
use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::{KeyValue, any_value};
use opentelemetry_proto::tonic::metrics::v1::metric::Data;
use prost::Message as _;
use serde_json::{Value, json};

use crate::gateway::{Place, Remit, config};

/// What was sent, by path.
type Sent = Arc<Mutex<HashMap<String, Vec<Vec<u8>>>>>;

/// A collector that takes everything.
fn collector() -> (String, Sent) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = format!("http://{}", listener.local_addr().unwrap());
    let sent = Sent::default();
    let kept = Arc::clone(&sent);
    thread::spawn(move || {
        for stream in listener.incoming().map_while(Result::ok) {
            let kept = Arc::clone(&kept);
            thread::spawn(move || {
                let mut stream = BufReader::new(stream);
                let (mut path, mut length, mut line) = (String::new(), 0, String::new());
                while stream.read_line(&mut line).is_ok_and(|read| read > 2) {
                    if path.is_empty() {
                        line.split(' ').nth(1).unwrap_or_default().clone_into(&mut path);
                    }
                    if let Some(value) = line.to_ascii_lowercase().strip_prefix("content-length:") {
                        length = value.trim().parse().unwrap();
                    }
                    line.clear();
                }
                let mut body = vec![0; length];
                stream.read_exact(&mut body).unwrap();
                kept.lock().unwrap().entry(path).or_default().push(body);
                let _ = write!(stream.get_mut(), "HTTP/1.1 200 OK\r\ncontent-length: 0\r\nconnection: close\r\n\r\n");
            });
        }
    });
    (address, sent)
}

fn read(attributes: &[KeyValue]) -> Value {
    let value = |one: &KeyValue| match one.value.as_ref().and_then(|value| value.value.as_ref()) {
        Some(any_value::Value::StringValue(text)) => json!(text),
        Some(any_value::Value::IntValue(number)) => json!(number),
        _ => Value::Null,
    };
    attributes.iter().map(|one| (one.key.clone(), value(one))).collect::<serde_json::Map<_, _>>().into()
}

#[test]
fn a_collector_gets_spans_metrics_and_logs_of_the_same_calls() {
    let (address, sent) = collector();
    let place = Place::new();
    place.write(&config(&[json!({"name": "helpdesk", "command": ["remit", "sample-server", "helpdesk"]})]));
    let remit = Remit::up_at(place, &["--otlp", &address]);
    remit.until_server("helpdesk", "ready");
    let client = remit.client("agent-1", "helpdesk");
    for _ in 0..3 {
        client.call("helpdesk___search_kb", r#"{"query":"vpn"}"#);
    }
    client.call("helpdesk___drop_everything", "{}");
    // What isn't sent yet is sent at the end.
    let place = remit.stop();
    let decisions = place.log_of("decision");
    let sent = sent.lock().unwrap();
    let of =
        |path: &str| sent.get(path).unwrap_or_else(|| panic!("nothing at {path}: {:?}", sent.keys())).iter().map(Vec::as_slice);

    let spans: Vec<_> = of("/v1/traces")
        .flat_map(|body| ExportTraceServiceRequest::decode(body).unwrap().resource_spans)
        .flat_map(|resource| resource.scope_spans)
        .flat_map(|scope| scope.spans)
        .collect();
    let allowed = spans.iter().filter(|span| span.name == "tools/call helpdesk___search_kb").count();
    assert_eq!(allowed, 3, "{:?}", spans.iter().map(|span| &span.name).collect::<Vec<_>>());

    let records: Vec<_> = of("/v1/logs")
        .flat_map(|body| ExportLogsServiceRequest::decode(body).unwrap().resource_logs)
        .flat_map(|resource| resource.scope_logs)
        .flat_map(|scope| scope.log_records)
        .collect();
    let denied: Vec<_> = records.iter().filter(|record| read(&record.attributes)["policy_result"] == "DENY").collect();
    assert_eq!(denied.len(), 1);
    let told = read(&denied[0].attributes);
    assert_eq!((&told["agent_id"], &told["tool_id"]), (&json!("agent-1"), &json!("helpdesk___drop_everything")));
    let recorded = decisions.iter().find(|entry| entry["verdict"] == "DENY").unwrap();
    assert_eq!(told["reason"], recorded["reason"]);
    let hex: String = denied[0].trace_id.iter().map(|byte| format!("{byte:02x}")).collect();
    assert_eq!(recorded["trace_id"], hex, "the trace of the journal");
    assert!(spans.iter().any(|span| span.trace_id == denied[0].trace_id), "and of the span");
    assert_eq!((denied[0].event_name.as_str(), denied[0].severity_text.as_str()), ("remit.decision", "WARN"));

    // Cumulative: the last that was sent has everything.
    let metrics: Vec<_> = of("/v1/metrics")
        .next_back()
        .map(|body| ExportMetricsServiceRequest::decode(body).unwrap().resource_metrics)
        .unwrap()
        .into_iter()
        .flat_map(|resource| resource.scope_metrics)
        .flat_map(|scope| scope.metrics)
        .collect();
    let named = |name: &str| metrics.iter().find(|metric| metric.name == name).unwrap_or_else(|| panic!("no {name}"));
    let server = named("mcp.server.operation.duration");
    assert_eq!(server.unit, "s");
    let Some(Data::Histogram(histogram)) = &server.data else { panic!("no histogram: {server:?}") };
    let tool = json!("helpdesk___search_kb");
    let points: Vec<_> =
        histogram.data_points.iter().filter(|point| read(&point.attributes)["gen_ai.tool.name"] == tool).collect();
    assert_eq!(points.iter().map(|point| point.count).sum::<u64>(), 3);
    let attributes = read(&points[0].attributes);
    assert_eq!(
        (&attributes["mcp.method.name"], &attributes["gen_ai.operation.name"]),
        (&json!("tools/call"), &json!("execute_tool"))
    );
    assert_eq!(points[0].explicit_bounds.first(), Some(&0.01));
    let Some(Data::Sum(sum)) = &named("remit.decisions").data else { panic!("no sum") };
    let of_denied = sum.data_points.iter().map(|point| read(&point.attributes)).find(|point| point["remit.verdict"] == "DENY");
    // What a stranger types is no attribute of a metric.
    assert_eq!(of_denied.unwrap()["gen_ai.tool.name"], "other");
}
