//! Measures the detectors on the files that `dev/guard/evaluate.py` writes: `evaluate <folder>` prints one JSON object.

#![allow(
    clippy::print_stdout,
    clippy::unwrap_used,
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    clippy::indexing_slicing,
    reason = "an example that measures"
)]

use std::{collections::BTreeMap, fs, path::Path};

use remit_guard::{
    Action, Content, Definition, Guardrail, Kind, Source,
    scan::{ServerDefinition, Severity, scan},
};
use serde_json::{Value, json};

fn main() {
    let folder = std::env::args().nth(1).unwrap();
    let folder = Path::new(&folder);
    let mut definition: Definition = serde_json::from_str(include_str!("always_on.json")).unwrap();
    let guardrail = Guardrail::compile(definition.clone()).unwrap();
    for kind in [remit_guard::PiiType::Name, remit_guard::PiiType::Address] {
        let action = Action::Anonymize;
        let entity = remit_guard::definition::PiiEntity { kind, action, input_action: None, output_action: None };
        definition.sensitive_information.pii_entities.push(entity);
    }
    let everything = Guardrail::compile(definition).unwrap();
    let report = json!({
        "attack": attack(&rows(folder, "agentdojo.jsonl")),
        "overdefence": overdefence(&rows(folder, "overdefence.jsonl")),
        "sensitive": sensitive(&everything, &rows(folder, "sensitive.jsonl")),
        "scan": definitions(&rows(folder, "bench.jsonl"), &rows(folder, "guardbench.jsonl")),
        "bench": bench(&guardrail, &rows(folder, "bench.jsonl")),
    });
    println!("{report}");
}

fn rows(folder: &Path, name: &str) -> Vec<Value> {
    fs::read_to_string(folder.join(name)).unwrap().lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

fn text(row: &Value) -> &str {
    row["text"].as_str().unwrap()
}

/// The score of a text as a person would read it: hidden text taken out.
fn score(text: &str) -> f32 {
    remit_guard::attack::score(&remit_guard::hidden::Normal::new(text).text)
}

/// AUC, and what is found with at most one harmless text in a hundred found; in all and per attack.
fn attack(rows: &[Value]) -> Value {
    let mut harmless: Vec<f32> = rows.iter().filter(|row| row["attack"] == false).map(|row| score(text(row))).collect();
    harmless.sort_by(f32::total_cmp);
    let mut groups: BTreeMap<&str, Vec<f32>> = BTreeMap::new();
    for row in rows.iter().filter(|row| row["attack"] == true) {
        groups.entry(row["group"].as_str().unwrap()).or_default().push(score(text(row)));
    }
    // Interpolated, as usual for a quantile of so few; and strictly: the score that at most 1 % of the harmless texts exceed.
    let place = (harmless.len() - 1) as f32 * 0.99;
    let (low, high) = (harmless[place.floor() as usize], harmless[place.ceil() as usize]);
    let interpolated = low + (high - low) * place.fract();
    let strict = harmless[harmless.len() - 1 - harmless.len() / 100];
    let measure = |scores: &[f32]| {
        let below = |score: f32| harmless.partition_point(|&other| other < score) as f64;
        let auc = scores.iter().map(|&score| below(score)).sum::<f64>() / (scores.len() * harmless.len()) as f64;
        let found = |least: f32| scores.iter().filter(|&&score| score > least).count() as f64 / scores.len() as f64;
        json!({ "texts": scores.len(), "auc": auc, "tpr_at_1_fpr": found(interpolated), "tpr_at_1_fpr_strict": found(strict), "tpr_at_medium": found(0.7), "tpr_at_low": found(0.5) })
    };
    let all: Vec<f32> = groups.values().flatten().copied().collect();
    let exceeding = |least: f32| harmless.iter().filter(|&&score| score >= least).count() as f64 / harmless.len() as f64;
    json!({
        "all": measure(&all),
        "harmless": harmless.len(),
        "fpr_at_medium": exceeding(0.7),
        "fpr_at_low": exceeding(0.5),
        "groups": groups.iter().map(|(group, scores)| ((*group).to_owned(), measure(scores))).collect::<serde_json::Map<_, _>>(),
    })
}

fn overdefence(rows: &[Value]) -> Value {
    let wrong =
        |least: f32| rows.iter().filter(|row| score(text(row)) >= least).map(|row| text(row).to_owned()).collect::<Vec<_>>();
    let accuracy = |least: f32| 1.0 - wrong(least).len() as f64 / rows.len() as f64;
    json!({ "texts": rows.len(), "accuracy_at_medium": accuracy(0.7), "accuracy_at_low": accuracy(0.5), "wrong_at_medium": wrong(0.7) })
}

/// Precision, recall and F1 of each type: a finding counts if it covers at least half of the value and the value half of it.
fn sensitive(guardrail: &Guardrail, rows: &[Value]) -> Value {
    let mut counts: BTreeMap<(String, String), [usize; 3]> = BTreeMap::new();
    for row in rows {
        let set = row["set"].as_str().unwrap().to_owned();
        let assessment = guardrail.inspect(&Content::new(Source::Output, text(row)));
        let mut wanted: Vec<(String, usize, usize, bool)> = row["spans"]
            .as_array()
            .unwrap()
            .iter()
            .map(|span| {
                (
                    span[0].as_str().unwrap().to_owned(),
                    span[1].as_u64().unwrap() as usize,
                    span[2].as_u64().unwrap() as usize,
                    false,
                )
            })
            .collect();
        for finding in
            assessment.findings.iter().filter(|f| matches!(f.kind, Kind::Pii(_) | Kind::Secret) && f.encoding.is_none())
        {
            let near = |start: usize, end: usize| {
                let shared = finding.range.end.min(end).saturating_sub(finding.range.start.max(start));
                shared * 2 >= end - start && shared * 2 >= finding.range.len()
            };
            // A first name alone and a full name are both a name.
            let within =
                |start: usize, end: usize| finding.name == "NAME" && finding.range.start >= start && finding.range.end <= end;
            let hit = wanted
                .iter_mut()
                .find(|(kind, start, end, seen)| !seen && *kind == finding.name && (near(*start, *end) || within(*start, *end)));
            let count = counts.entry((set.clone(), finding.name.clone())).or_default();
            match hit {
                Some(hit) => {
                    hit.3 = true;
                    count[0] += 1;
                }
                None => count[1] += 1,
            }
        }
        for (kind, _, _, seen) in wanted {
            counts.entry((set.clone(), kind)).or_default()[2] += usize::from(!seen);
        }
    }
    let measure = |[right, wrong, missed]: [usize; 3]| {
        let part = |of: usize| if right + of == 0 { 1.0 } else { right as f64 / (right + of) as f64 };
        let (precision, recall) = (part(wrong), part(missed));
        let f1 = if precision + recall == 0.0 { 0.0 } else { 2.0 * precision * recall / (precision + recall) };
        json!({ "values": right + missed, "precision": precision, "recall": recall, "f1": f1 })
    };
    let mut report = serde_json::Map::new();
    for ((set, kind), count) in counts {
        report.insert(format!("{set}/{kind}"), measure(count));
    }
    Value::Object(report)
}

/// The fixtures of mcp-defense-bench that are texts or definitions: caught, and the harmless ones that are.
fn bench(guardrail: &Guardrail, rows: &[Value]) -> Value {
    let (mut caught, mut missed, mut false_controls, mut false_benign, mut benign, mut controls) =
        (Vec::new(), Vec::new(), Vec::new(), Vec::new(), 0, 0);
    let (mut outside, mut outside_harmless) = (0, 0);
    for row in rows {
        let id = row["id"].as_str().unwrap().to_owned();
        let attack = row["attack"] == true;
        let Some(flagged) = judge(guardrail, row["type"].as_str().unwrap(), &row["fixture"]) else {
            if attack {
                outside += 1;
            } else {
                outside_harmless += 1;
            }
            continue;
        };
        match (attack, flagged, id.ends_with("#control")) {
            (true, true, _) => caught.push(id),
            (true, false, _) => missed.push(id),
            (false, flagged, true) => {
                controls += 1;
                if flagged {
                    false_controls.push(id);
                }
            }
            (false, flagged, false) => {
                benign += 1;
                if flagged {
                    false_benign.push(id);
                }
            }
        }
    }
    json!({
        "attacks": caught.len() + missed.len(), "caught": caught.len(), "missed": missed, "controls": controls, "false_controls": false_controls,
        "benign": benign, "false_benign": false_benign, "outside": outside, "outside_harmless": outside_harmless,
    })
}

/// Whether a fixture is flagged; none if its attack isn't in a text (pins, tokens, transports and identities are checked elsewhere).
fn judge(guardrail: &Guardrail, kind: &str, fixture: &Value) -> Option<bool> {
    let json = |source: Source, value: &Value| {
        let assessment = guardrail.inspect_json(source, &value.to_string(), true);
        let telling = |finding: &remit_guard::Finding| match finding.kind {
            Kind::Attack(_) | Kind::Content(_) => finding.action == Action::Block,
            Kind::Secret | Kind::HiddenText => true,
            Kind::Pii(kind) => matches!(kind, remit_guard::PiiType::AwsAccessKey | remit_guard::PiiType::AwsSecretKey),
            _ => false,
        };
        assessment.findings.iter().any(telling)
    };
    let server = |name: &str, tools: Vec<Value>| ServerDefinition { name: name.to_owned(), tools, ..ServerDefinition::default() };
    match kind {
        "malicious-tool-result" | "benign-tool-result" => Some(json(Source::Output, &fixture["result"])),
        "input-required-result" => Some(json(Source::Output, &fixture["result"])),
        "malicious-tool-definition" | "benign-tool-definition" | "tool-definition" => {
            Some(!scan(&[server("server", vec![fixture["tool"].clone()])], Severity::Medium).is_empty())
        }
        "multi-server-registry" => {
            let servers = fixture["servers"].as_array()?;
            let servers: Vec<_> = servers
                .iter()
                .map(|s| server(s["server"].as_str().unwrap_or("?"), s["tools"].as_array().cloned().unwrap_or_default()))
                .collect();
            Some(!scan(&servers, Severity::Medium).is_empty())
        }
        _ => None,
    }
}

/// Definitions: those of real servers that mcp-defense-bench collected, all of them together; and mcp-guardbench's.
fn definitions(bench: &[Value], guardbench: &[Value]) -> Value {
    let mut servers: BTreeMap<String, ServerDefinition> = BTreeMap::new();
    for row in
        bench.iter().filter(|row| row["attack"] == false && row["id"].as_str().unwrap().starts_with("benign/tool-definition/"))
    {
        let id = row["id"].as_str().unwrap().trim_start_matches("benign/tool-definition/");
        let name = id.split_once('-').map_or(id, |(_, rest)| rest).split("--").next().unwrap().to_owned();
        let server = servers.entry(name.clone()).or_insert_with(|| ServerDefinition { name, ..ServerDefinition::default() });
        server.tools.push(row["fixture"]["tool"].clone());
    }
    let servers: Vec<ServerDefinition> = servers.into_values().collect();
    let tools: usize = servers.iter().map(|server| server.tools.len()).sum();
    let mut flagged: Vec<String> = scan(&servers, Severity::Medium)
        .iter()
        .map(|finding| {
            format!(
                "{}/{} {} {}",
                finding.server,
                finding.tool.as_deref().unwrap_or_default(),
                finding.rule.name(),
                finding.reason
            )
        })
        .collect();
    flagged.dedup();
    let alone = |row: &Value| {
        let server =
            ServerDefinition { name: "server".to_owned(), tools: vec![row["tool"].clone()], ..ServerDefinition::default() };
        !scan(&[server], Severity::Medium).is_empty()
    };
    let part = |attack: bool| guardbench.iter().filter(|row| row["attack"] == attack).collect::<Vec<_>>();
    let (poisoned, harmless) = (part(true), part(false));
    json!({
        "real_servers": servers.len(), "real_tools": tools, "false_on_real": flagged,
        "guardbench_poisoned": poisoned.len(), "guardbench_found": poisoned.iter().filter(|row| alone(row)).count(),
        "guardbench_harmless": harmless.len(), "guardbench_false": harmless.iter().filter(|row| alone(row)).count(),
    })
}
