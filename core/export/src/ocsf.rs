//! OCSF: class 6003, API Activity, with the profiles `security_control`, `ai_operation`, `trace` and, where an account is known, `cloud`.
//!
//! Attributes, their enumerations and which of them are required: the schema of OCSF 1.8.0, class `api_activity`. The profile
//! `record_integrity` came with 1.9.0; its one attribute, `attestation`, stands in `unmapped.attestation` as 1.9.0 defines it, so that nothing is
//! claimed of a version that events aren't held to. The place in the log is in `unmapped.log`. Hashes are lower-case hexadecimal.

use remit_mcp::canonical::{canonical, hex, sha256};
use serde_json::{Map, Value, json};

use crate::record::{Leaf, Record};

/// The version of the schema.
pub const OCSF_VERSION: &str = "1.8.0";
/// API Activity.
const CLASS: u64 = 6003;

/// A number of an enumeration with its caption.
type Named = (u64, &'static str);

/// A record as an event of OCSF.
pub fn ocsf(record: &Record) -> Value {
    let (activity, action, disposition) = (activity(record), action(record), disposition(record));
    let (status, severity) = (status(record), severity(record));
    let at_ms = record.at_ms();
    let mut event = Map::new();
    let mut set = |key: &str, value: Value| drop(event.insert(key.to_owned(), value));
    for (key, (id, caption)) in
        [("activity", activity), ("action", action), ("disposition", disposition), ("status", status), ("severity", severity)]
    {
        set(&format!("{key}_id"), json!(id));
        set(if key == "activity" { "activity_name" } else { key }, json!(caption));
    }
    set("category_uid", json!(6));
    set("category_name", json!("Application Activity"));
    set("class_uid", json!(CLASS));
    set("class_name", json!("API Activity"));
    set("type_uid", json!(CLASS * 100 + activity.0));
    set("type_name", json!(format!("API Activity: {}", activity.1)));
    set("time", json!(at_ms));
    set("start_time", json!(at_ms));
    if let Some(outcome) = &record.outcome {
        set("end_time", json!(outcome.at_ms()));
        set("duration", json!(outcome.number("latency_us").unwrap_or_default() / 1000));
    }
    if let Some((id, caption)) = risk(record) {
        set("risk_level_id", json!(id));
        set("risk_level", json!(caption));
    }
    set("message", json!(message(record)));
    set("status_code", json!(record.came_to().unwrap_or("under_way")));
    if let Some(statement) = record.statement() {
        set("status_detail", json!(statement));
    }
    set("actor", actor(record));
    set("api", api(record));
    set("src_endpoint", present([("ip", record.text("source_ip")), ("name", Some(record.agent()))]));
    set("resources", json!([resource(record)]));
    set("authorizations", record.layers().iter().map(authorization).collect());
    if let Some(line) = record.against() {
        let mut policy = policy(line);
        if let Some(policy) = policy.as_object_mut() {
            policy.insert("is_applied".to_owned(), json!(true));
        }
        set("policy", policy);
    }
    set("message_context", message_context(record));
    if let Some(trace) = record.text("trace_id") {
        set("trace", json!({"uid": trace}));
    }
    if let Some(account) = &record.account {
        let account = json!({"uid": account, "type_id": 10, "type": "AWS Account"});
        set("cloud", json!({"provider": "Remit", "account": account, "region": record.region}));
    }
    set("metadata", metadata(record));
    set("unmapped", unmapped(record));
    attested(record, Value::Object(event))
}

/// With an attestation of the event itself (OCSF 1.9.0, object `attestation`): a fingerprint of all of the event but the fingerprint, in RFC 8785's
/// form. No `prev_event`: what is exported is a selection, and the log's own chain is in `unmapped.log`.
fn attested(record: &Record, mut event: Value) -> Value {
    let attestation = json!({"uid": format!("{}#{}", record.origin, record.decision.index), "chain_uid": record.origin});
    let put = |attestation: Value, event: &mut Value| {
        if let Some(unmapped) = event.get_mut("unmapped").and_then(Value::as_object_mut) {
            unmapped.insert("attestation".to_owned(), attestation);
        }
    };
    put(attestation.clone(), &mut event);
    let value = hex(&sha256(canonical(&event).as_bytes()));
    let fingerprint = json!({"algorithm_id": 3, "algorithm": "SHA-256", "value": value});
    put(with(attestation, "fingerprint", Some(fingerprint)), &mut event);
    event
}

/// What the tool does, by its class.
fn activity(record: &Record) -> Named {
    match record.text("class") {
        Some("READ_ONLY") => (2, "Read"),
        Some("MUTATIVE") => (3, "Update"),
        Some("DESTRUCTIVE") => (4, "Delete"),
        _ => (0, "Unknown"),
    }
}

fn masked(record: &Record) -> bool {
    record.decision.masked() || record.outcome.as_ref().is_some_and(Leaf::masked)
}

fn withheld(record: &Record) -> bool {
    record.outcome.as_ref().is_some_and(|outcome| outcome.entry.get("withheld_by").is_some())
}

/// What the control did. A call that was held was not let through: the one that an approval lets through is a decision of its own.
fn action(record: &Record) -> Named {
    match record.verdict() {
        "ALLOW" if masked(record) || withheld(record) => (4, "Modified"),
        "ALLOW" => (1, "Allowed"),
        "DENY" | "HOLD" => (2, "Denied"),
        _ => (0, "Unknown"),
    }
}

fn disposition(record: &Record) -> Named {
    match record.verdict() {
        "ALLOW" if withheld(record) => (2, "Blocked"),
        "ALLOW" if masked(record) => (11, "Corrected"),
        "ALLOW" => (1, "Allowed"),
        // An attempt that an authorization check denied; what it is about stands in `authorizations`.
        "DENY" => (26, "Unauthorized"),
        "HOLD" => (14, "Delayed"),
        _ => (0, "Unknown"),
    }
}

fn status(record: &Record) -> Named {
    match (record.verdict(), record.outcome.as_ref().and_then(|outcome| outcome.text("outcome"))) {
        ("DENY", _) => (2, "Failure"),
        ("HOLD", _) => (99, "Held"),
        (_, Some("ok" | "task" | "answered" | "input_required")) => (1, "Success"),
        (_, None | Some("unknown")) => (0, "Unknown"),
        (_, Some(_)) => (2, "Failure"),
    }
}

fn severity(record: &Record) -> Named {
    match (record.verdict(), record.text("risk")) {
        ("DENY", Some("critical")) => (4, "High"),
        ("DENY", _) => (3, "Medium"),
        ("HOLD", _) => (2, "Low"),
        _ => (1, "Informational"),
    }
}

fn risk(record: &Record) -> Option<Named> {
    Some(match record.text("risk")? {
        "low" => (1, "Low"),
        "medium" => (2, "Medium"),
        "high" => (3, "High"),
        "critical" => (4, "Critical"),
        _ => return None,
    })
}

fn message(record: &Record) -> String {
    let who = record.text("user").map_or_else(|| record.agent().to_owned(), |user| format!("{} for {user}", record.agent()));
    let how = record.came_to().map(|how| format!(" ({how})")).unwrap_or_default();
    format!("{} {who} in {}: {}{how}", record.verdict(), record.text("space").unwrap_or_default(), record.tool())
}

/// An object of the texts that are there.
fn present<'a>(texts: impl IntoIterator<Item = (&'a str, Option<&'a str>)>) -> Value {
    let texts = texts.into_iter().filter_map(|(key, text)| Some((key.to_owned(), json!(text?))));
    Value::Object(texts.collect())
}

fn with(mut object: Value, key: &str, value: Option<Value>) -> Value {
    if let (Some(map), Some(value)) = (object.as_object_mut(), value) {
        map.insert(key.to_owned(), value);
    }
    object
}

fn actor(record: &Record) -> Value {
    let agent = record.agent();
    let user = match record.text("user") {
        Some(user) => json!({"uid": user, "name": user, "type_id": 1, "type": "User"}),
        None => json!({"uid": agent, "name": agent, "type_id": 4, "type": "Service"}),
    };
    let user = with(user, "uid_alt", record.text("principal_arn").map(Value::from));
    let session = present([("uid", record.text("session")), ("credential_uid", record.text("credential_id"))]);
    let session = session.as_object().is_some_and(|session| !session.is_empty()).then_some(session);
    with(json!({"app_name": agent, "app_uid": agent, "user": user}), "session", session)
}

fn api(record: &Record) -> Value {
    let service = record.text("server").map(|server| {
        let name = server.split_once('/').map_or(server, |(_, name)| name);
        json!({"name": name, "uid": server})
    });
    let response = match (record.verdict(), &record.outcome) {
        ("ALLOW", None) => None,
        ("ALLOW", Some(outcome)) => {
            let ended = outcome.text("outcome").unwrap_or_default();
            Some(if status(record).0 == 2 { json!({"error": ended}) } else { json!({"message": ended}) })
        }
        _ => Some(present([("error", record.text("reason")), ("error_message", record.statement())])),
    };
    let request = json!({"uid": record.text("id").unwrap_or_default()});
    let api = json!({"operation": record.text("method").unwrap_or("tools/call"), "request": request});
    let api = with(api, "version", record.text("protocol").map(Value::from));
    with(with(api, "service", service), "response", response)
}

fn resource(record: &Record) -> Value {
    let mut labels: Vec<Value> = record.text("class").map(Value::from).into_iter().collect();
    labels.extend(record.decision.entry.get("categories").and_then(Value::as_array).into_iter().flatten().cloned());
    let resource = json!({"name": record.tool(), "type": "MCP tool", "role_id": 1, "role": "Target", "region": record.region});
    let resource = with(resource, "uid", record.arn().map(Value::from));
    let resource = with(resource, "version", record.text("tool_digest").map(Value::from));
    with(resource, "labels", (!labels.is_empty()).then_some(Value::Array(labels)))
}

/// One layer's line.
fn authorization(line: &Value) -> Value {
    let decision = line.get("effect").and_then(Value::as_str).unwrap_or_default();
    json!({"decision": decision, "policy": policy(line)})
}

fn policy(line: &Value) -> Value {
    let text = |key: &str| line.get(key).and_then(Value::as_str);
    present([("name", text("statement")), ("type", text("checkType")), ("uid", text("origin"))])
}

fn message_context(record: &Record) -> Value {
    let space = record.text("space").unwrap_or_default();
    let context = json!({"ai_role_id": 4, "ai_role": "Agent", "application": {"name": space, "uid": space}});
    with(context, "uid", record.text("policy_session").or_else(|| record.text("session")).map(Value::from))
}

fn metadata(record: &Record) -> Value {
    let mut profiles = vec!["security_control", "ai_operation", "trace"];
    if record.account.is_some() {
        profiles.push("cloud");
    }
    let id = record.text("id").unwrap_or_default();
    let metadata = json!({
        "version": OCSF_VERSION, "profiles": profiles, "uid": id, "original_event_uid": id,
        "product": {"name": "Remit", "vendor_name": "Remit"},
        "log_name": record.origin, "log_provider": "Remit", "log_version": "1", "sequence": record.decision.index,
        "logged_time": record.outcome.as_ref().unwrap_or(&record.decision).at_ms(),
    });
    with(metadata, "correlation_uid", record.text("approval").map(Value::from))
}

/// What OCSF has no attribute for.
fn unmapped(record: &Record) -> Value {
    let hash = |leaf: &Leaf| leaf.hash.to_string();
    let mut log = json!({"origin": record.origin, "index": record.decision.index, "leaf_hash": hash(&record.decision)});
    if let Some(outcome) = &record.outcome {
        log = with(log, "outcome_index", Some(json!(outcome.index)));
        log = with(log, "outcome_leaf_hash", Some(json!(hash(outcome))));
    }
    log = with(log, "previous_leaf_hash", record.decision.previous.map(|hash| json!(hash.to_string())));
    let mut told = present([
        ("verdict", record.text("verdict")),
        ("reason", record.text("reason")),
        ("risk", record.text("risk")),
        ("class", record.text("class")),
        ("arguments_commitment", record.text("arguments_digest")),
        ("policy_flip", record.text("policy_flip")),
        ("source_identity", record.text("source_identity")),
        ("integrity", record.decision.entry.pointer("/labels/integrity").and_then(Value::as_str)),
        ("confidentiality", record.decision.entry.pointer("/labels/confidentiality").and_then(Value::as_str)),
    ]);
    told = with(told, "configuration", record.decision.number("snapshot").map(Value::from));
    if let Some(outcome) = &record.outcome {
        told = with(told, "result_commitment", outcome.text("result_commitment").map(Value::from));
        told = with(told, "result_bytes", outcome.number("result_bytes").map(Value::from));
        told = with(told, "upstream_us", outcome.number("upstream_us").map(Value::from));
    }
    json!({"log": log, "remit": told})
}
