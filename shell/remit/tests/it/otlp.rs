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
use opentelemetry_proto::tonic::metrics::v1::Metric;
use opentelemetry_proto::tonic::metrics::v1::metric::Data;
use prost::Message as _;
use serde_json::{Value, json};

use crate::client::send;
use crate::gateway::{Place, Remit, config};
use crate::upstream::{Era, Upstream};

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

/// Cumulative: the last that was sent has everything.
fn metrics(sent: &HashMap<String, Vec<Vec<u8>>>) -> Vec<Metric> {
    let last = sent["/v1/metrics"].last().unwrap();
    let resources = ExportMetricsServiceRequest::decode(last.as_slice()).unwrap().resource_metrics;
    let scopes = resources.into_iter().flat_map(|resource| resource.scope_metrics);
    scopes.flat_map(|scope| scope.metrics).collect()
}

/// The points of a histogram: what each is about, and how many there were.
fn counted(metrics: &[Metric], name: &str) -> Vec<(Value, u64)> {
    let metric = metrics.iter().find(|metric| metric.name == name).unwrap_or_else(|| panic!("no {name}"));
    let Some(Data::Histogram(histogram)) = &metric.data else { panic!("no histogram: {metric:?}") };
    assert_eq!(metric.unit, "s");
    for point in &histogram.data_points {
        // As the conventions for MCP say.
        let bounds = [0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0];
        assert_eq!(point.explicit_bounds, bounds);
    }
    histogram.data_points.iter().map(|point| (read(&point.attributes), point.count)).collect()
}

#[test]
fn sessions_have_a_duration_on_both_sides_and_2026_07_28_has_none() {
    let (address, sent) = collector();
    let (old, new) = (Upstream::start(Era::Legacy), Upstream::start(Era::Modern));
    let place = Place::new();
    place.write(&config(&[old.server("old"), new.server("new")]));
    let remit = Remit::up_at(place, &["--otlp", &address]);
    ["old", "new"].iter().for_each(|server| remit.until_server(server, "ready"));
    for space in ["old", "new"] {
        assert!(remit.client("agent-1", space).call(&format!("{space}___echo"), "{}").get("result").is_some());
    }
    let ended = remit.client("agent-1", "new").session("2025-11-25");
    assert!(ended.call("new___echo", "{}").get("result").is_some());
    assert_eq!(ended.end(), 200);
    let _open = remit.client("agent-1", "new").session("2025-03-26");
    let _out = remit.client("agent-2", "new").session("2025-06-18");
    assert_eq!(remit.place().cli(&["suspend", "agent", "agent-2", "--reason", "it", "--by", "it"]).code, 0);
    let text = send(remit.control, "GET /metrics", &[], b"").body();
    for line in [
        r#"mcp_server_session_duration_seconds_count{error_type="",mcp_protocol_version="2025-11-25"} 1"#,
        r#"mcp_server_session_duration_seconds_count{error_type="evicted",mcp_protocol_version="2025-06-18"} 1"#,
    ] {
        assert!(text.contains(line), "{line} isn't in {text}");
    }
    assert!(!text.contains(r#"session_duration_seconds_count{error_type="",mcp_protocol_version="2026-07-28"}"#));
    remit.stop();
    let sent = sent.lock().unwrap();
    let metrics = metrics(&sent);
    let mut of_clients: Vec<Value> = counted(&metrics, "mcp.server.session.duration")
        .into_iter()
        .map(|(of, count)| {
            json!([of["mcp.protocol.version"], of.get("error.type"), of["network.transport"], of["network.protocol.name"], count])
        })
        .collect();
    of_clients.sort_by_key(Value::to_string);
    let expected = [
        json!(["2025-03-26", null, "tcp", "http", 1]),
        json!(["2025-06-18", "evicted", "tcp", "http", 1]),
        json!(["2025-11-25", null, "tcp", "http", 1]),
    ];
    assert_eq!(of_clients, expected);
    let with_servers = counted(&metrics, "mcp.client.session.duration");
    assert!(!with_servers.is_empty());
    for (of, _) in with_servers {
        assert_eq!((&of["remit.server"], &of["mcp.protocol.version"]), (&json!("old"), &json!("2025-11-25")), "{of}");
    }
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

    let metrics = metrics(&sent);
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
