//! How many records a second become lines and rows: `cargo run --profile quick -p remit-delivery --example pace [RECORDS]`.
#![allow(clippy::print_stdout, clippy::unwrap_used, reason = "it measures and prints")]
#![allow(clippy::cast_precision_loss, reason = "a pace is no exact number")]

use std::time::Instant;

use remit_delivery::{Format, LakeFile, gzip, lines};
use remit_export::{Filter, Open, Pairing, Places, Record};
use serde_json::json;

fn main() {
    let count: u64 = std::env::args().nth(1).map_or(100_000, |count| count.parse().unwrap());
    let line = |layer: &str| json!({"checkType": layer, "effect": "ALLOW", "statement": format!("{layer} lets it through by statement 1"), "origin": "acme/policies.yaml:12"});
    let layers: Vec<_> =
        ["IDENTITY", "SPACE", "SERVICE_CONTROL_POLICY", "PRINCIPAL", "TOOL_POLICY", "ARGUMENT_SCHEMA"].map(line).into();
    let entry = |n: u64| {
        let id = format!("{n:032x}");
        let decision = json!({
            "v": 1, "type": "decision", "time": "2026-03-01T12:00:00.500Z", "id": id, "trace_id": id, "agent": format!("agent-{}", n % 200),
            "principal_arn": "arn:aws:sts::444455556666:assumed-role/SupportSpaceRole/agent-support-1", "source_ip": "10.1.2.3",
            "space": "support", "server": "444455556666/helpdesk", "tool": "helpdesk___search_kb", "method": "tools/call",
            "arguments_commitment": format!("sha256:{n:064x}"), "risk": "low", "class": "READ_ONLY", "verdict": "ALLOW", "layers": layers, "snapshot": 4,
        });
        let outcome = json!({
            "v": 1, "type": "outcome", "time": "2026-03-01T12:00:00.509Z", "decision": id, "outcome": "ok",
            "result_commitment": format!("sha256:{n:064x}"), "result_bytes": 405, "latency_us": 8898, "upstream_us": 507,
        });
        [decision.to_string().into_bytes(), outcome.to_string().into_bytes()]
    };
    let entries: Vec<Vec<u8>> = (0..count).flat_map(entry).collect();
    let pace = |what: &str, since: Instant, bytes: usize| {
        let took = since.elapsed().as_secs_f64();
        println!("{what}: {:.0} records a second, {:.0} bytes each", count as f64 / took, bytes as f64 / count as f64);
    };
    let mut pairing = Pairing::new("remit/journal", Filter::default(), Places::default(), Open::default());
    let since = Instant::now();
    let records: Vec<Record> = entries.iter().enumerate().filter_map(|(at, bytes)| pairing.take(at as u64, bytes)).collect();
    pace("read and paired", since, entries.iter().map(Vec::len).sum());
    for (name, format) in [("OCSF", Format::Ocsf), ("CloudTrail", Format::CloudTrail)] {
        let since = Instant::now();
        let text = lines(format, &records);
        pace(&format!("{name} lines"), since, text.len());
        let since = Instant::now();
        pace(&format!("{name} lines, compressed"), since, gzip(text.as_bytes()).unwrap().len());
    }
    let since = Instant::now();
    let mut file = LakeFile::new(Vec::new()).unwrap();
    records.iter().for_each(|record| file.push(record).unwrap());
    let bytes = file.finish().unwrap().len();
    pace("Parquet rows", since, bytes);
}
