//! Measures the scan of definitions, through the catalogue that the gateway keeps: `definitions <folder>` prints one JSON object.
//!
//! The fixtures are those of the tests; the folder holds what `dev/guard` gets: `guardbench.jsonl`, `bench.jsonl`, `servers.jsonl`.

#![allow(clippy::print_stdout, clippy::unwrap_used, clippy::indexing_slicing, reason = "an example that measures")]

#[path = "../tests/it/fixtures.rs"]
mod fixtures;

use std::collections::BTreeMap;
use std::path::Path;

use remit_kernel::Catalogue;
use remit_kernel::definitions::{DefinitionFinding, Severity, findings};
use serde_json::{Value, json};

use crate::fixtures::{HELD_OUT, found, is_found, key, kinds, live};

fn main() {
    let folder = std::env::args().nth(1).unwrap();
    let folder = Path::new(&folder);
    let bench = rows(folder, "bench.jsonl");
    let report = json!({
        "kinds": of_kinds(),
        "guardbench": alone(&rows(folder, "guardbench.jsonl"), |row| Some(row["tool"].clone())),
        "bench": of_bench(&bench),
        "servers": of_servers(&bench, &rows(folder, "servers.jsonl")),
    });
    println!("{report}");
}

fn rows(folder: &Path, name: &str) -> Vec<Value> {
    std::fs::read_to_string(folder.join(name)).unwrap().lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

fn of_kinds() -> Value {
    let of_kind = |(kind, pairs): &(String, Vec<Value>)| {
        let missed: Vec<&Value> =
            pairs.iter().filter(|pair| !is_found(pair, &found(&pair["poisoned"]))).map(|pair| &pair["name"]).collect();
        let wrong: Vec<Value> = pairs
            .iter()
            .filter(|pair| !found(&pair["twin"]).is_empty())
            .map(|pair| json!({"name": pair["name"], "found": found(&pair["twin"])}))
            .collect();
        json!({"kind": kind, "held_out": kind == HELD_OUT, "poisoned": pairs.len(), "found": pairs.len() - missed.len(), "missed": missed, "twins": pairs.len(), "false": wrong})
    };
    kinds().iter().map(of_kind).collect()
}

/// Tools that are scanned one by one: those that are attacks and are found, and the others that are.
fn alone(rows: &[Value], tool: impl Fn(&Value) -> Option<Value>) -> Value {
    let (mut attacks, mut harmless, mut missed, mut wrong) = (0, 0, Vec::new(), Vec::new());
    for row in rows {
        let Some(tool) = tool(row) else { continue };
        let found = found(&json!({"servers": [{"name": "server", "tools": [tool]}]}));
        let name = row.get("id").unwrap_or(&tool["name"]).clone();
        if row["attack"] == true {
            attacks += 1;
            if found.is_empty() {
                missed.push(name);
            }
        } else {
            harmless += 1;
            if !found.is_empty() {
                wrong.push(json!({"name": name, "found": found}));
            }
        }
    }
    json!({"attacks": attacks, "found": attacks - missed.len(), "missed": missed, "harmless": harmless, "false": wrong})
}

/// mcp-defense-bench's fixtures that are definitions: of one tool, of several servers, or of a tool that changed.
fn of_bench(bench: &[Value]) -> Value {
    let (mut attacks, mut harmless, mut missed, mut wrong) = (0, 0, Vec::new(), Vec::new());
    for row in bench {
        let Some(side) = side(row["type"].as_str().unwrap(), &row["fixture"]) else { continue };
        let found = found(&side);
        match (row["attack"] == true, found.is_empty()) {
            (true, empty) => {
                attacks += 1;
                missed.extend(empty.then(|| row["id"].clone()));
            }
            (false, empty) => {
                harmless += 1;
                wrong.extend((!empty).then(|| json!({"name": row["id"], "found": found})));
            }
        }
    }
    json!({"attacks": attacks, "found": attacks - missed.len(), "missed": missed, "harmless": harmless, "false": wrong})
}

fn side(kind: &str, fixture: &Value) -> Option<Value> {
    let one = |tool: &Value| json!([{"name": "server", "tools": [tool]}]);
    match kind {
        "malicious-tool-definition" | "benign-tool-definition" | "tool-definition" => {
            Some(json!({"servers": one(&fixture["tool"])}))
        }
        "multi-server-registry" => {
            let server =
                |server: &Value| json!({"name": server["server"].as_str().unwrap_or("unnamed"), "tools": server["tools"]});
            Some(json!({"servers": fixture["servers"].as_array()?.iter().map(server).collect::<Value>()}))
        }
        _ => None,
    }
}

/// The definitions of real servers, those that mcp-defense-bench collected and those that were started here, all of them together: what is
/// found there is false.
fn of_servers(bench: &[Value], started: &[Value]) -> Value {
    const OF_BENCH: &str = "benign/tool-definition/";
    let mut tools: BTreeMap<String, Vec<Value>> = BTreeMap::new();
    for row in bench.iter().filter(|row| row["attack"] == false) {
        let Some(id) = row["id"].as_str().unwrap().strip_prefix(OF_BENCH) else { continue };
        let name = id.split_once('-').map_or(id, |(_, rest)| rest).split("--").next().unwrap();
        tools.entry(name.to_owned()).or_default().push(row["fixture"]["tool"].clone());
    }
    let mut servers: BTreeMap<String, Value> = tools.into_iter().map(|(name, tools)| (name, json!({"tools": tools}))).collect();
    for row in started {
        // A server that was collected and started counts once, as it is now.
        let package = row["server"].as_str().unwrap();
        let package = package.trim_start_matches('@').split(['@', '=']).next().unwrap().replace(['/', '.'], "-");
        let name = package.trim_start_matches("modelcontextprotocol-").to_owned();
        servers.remove(&format!("{}-mcp", name.trim_end_matches("-mcp-server").trim_start_matches("awslabs-")));
        servers.insert(name, row.clone());
    }
    let offered = servers.iter().map(|(name, server)| (key(&name[..name.len().min(40)]), live(server))).collect();
    let catalogue = Catalogue { servers: offered, ..Catalogue::default() };
    let count: usize = catalogue.servers.values().map(|live| live.tools.len()).sum();
    let all = findings(&catalogue);
    let told = |least: Severity| all.iter().filter(|one| one.severity >= least).map(DefinitionFinding::told).collect::<Vec<_>>();
    let places: std::collections::BTreeSet<_> =
        all.iter().filter(|one| one.severity >= Severity::Medium).map(|one| (one.server.clone(), one.tool.clone())).collect();
    json!({
        "servers": servers.len(), "started": started.len(), "tools": count, "with_instructions": servers.values().filter(|one| one["instructions"].is_string()).count(),
        "tools_false": places.len(), "findings": told(Severity::Medium), "low": told(Severity::Low).len() - told(Severity::Medium).len(),
        "names": servers.keys().collect::<Vec<_>>(),
    })
}
