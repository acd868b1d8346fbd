//! Records shaped like AWS CloudTrail's ("CloudTrail record contents for management, data, and network activity events", eventVersion 1.11).
//!
//! They say by `eventSource` and `eventType` that they are not AWS's own. The place in the log stands in `additionalEventData`; hashes are
//! lower-case hexadecimal.

use serde_json::{Map, Value, json};

use crate::record::Record;

/// The version of the record's shape.
const EVENT_VERSION: &str = "1.11";

/// A record as CloudTrail has it.
pub fn cloudtrail(record: &Record) -> Value {
    let mut event = Map::new();
    let mut set = |key: &str, value: Value| drop(event.insert(key.to_owned(), value));
    set("eventVersion", json!(EVENT_VERSION));
    set("userIdentity", identity(record));
    set("eventTime", json!(seconds(record.text("time").unwrap_or_default())));
    set("eventSource", json!("mcp.remit"));
    set("eventName", json!(name(record.text("method").unwrap_or("tools/call"))));
    set("awsRegion", json!(record.region));
    set("sourceIPAddress", json!(record.text("source_ip").unwrap_or("unknown")));
    set("userAgent", json!(record.agent()));
    if let Some((code, message)) = error(record) {
        set("errorCode", json!(code));
        set("errorMessage", json!(message));
    }
    set("requestParameters", parameters(record));
    set("responseElements", response(record));
    set("additionalEventData", additional(record));
    set("requestID", json!(record.text("trace_id").unwrap_or_default()));
    set("eventID", json!(uuid(record.text("id").unwrap_or_default())));
    set("readOnly", json!(record.text("class") == Some("READ_ONLY")));
    if let Some(arn) = record.arn() {
        let mut resource = json!({"ARN": arn, "type": "AWS::MCP::Tool"});
        if let (Some(resource), Some(account)) = (resource.as_object_mut(), &record.account) {
            resource.insert("accountId".to_owned(), json!(account));
        }
        set("resources", json!([resource]));
    }
    set("eventType", json!("RemitToolCall"));
    set("managementEvent", json!(false));
    if let Some(account) = &record.account {
        set("recipientAccountId", json!(account));
    }
    set("eventCategory", json!("Data"));
    Value::Object(event)
}

/// Who called ("CloudTrail userIdentity element").
fn identity(record: &Record) -> Value {
    let Some(agent) = record.text("agent") else { return json!({"type": "Unknown"}) };
    let name = record.text("user").unwrap_or(agent);
    let mut identity = Map::new();
    let mut set = |key: &str, value: Value| drop(identity.insert(key.to_owned(), value));
    match record.text("principal_arn") {
        Some(arn) if arn.contains(":assumed-role/") => {
            set("type", json!("AssumedRole"));
            set("arn", json!(arn));
            if let Some(identity) = record.text("source_identity") {
                set("sessionContext", json!({"sourceIdentity": identity}));
            }
        }
        Some(arn) => {
            set("type", json!(if arn.contains(":user/") { "IAMUser" } else { "Unknown" }));
            set("arn", json!(arn));
        }
        None => set("type", json!("WebIdentityUser")),
    }
    set("principalId", json!(agent));
    set("userName", json!(name));
    if let Some(account) = &record.account {
        set("accountId", json!(account));
    }
    if let Some(credential) = record.text("credential_id") {
        set("credentialId", json!(credential));
    }
    Value::Object(identity)
}

/// The method as CloudTrail names operations: `tools/call` is `ToolsCall`.
fn name(method: &str) -> String {
    let words = method.split(|c: char| !c.is_ascii_alphanumeric()).map(|word| {
        let mut chars = word.chars();
        chars.next().map(|first| first.to_ascii_uppercase()).into_iter().chain(chars).collect::<String>()
    });
    words.collect()
}

/// The time without its fraction, as `eventTime` is.
fn seconds(time: &str) -> String {
    time.split_once('.').map_or_else(|| time.to_owned(), |(whole, _)| format!("{whole}Z"))
}

/// An id as a GUID is written, if it is one.
fn uuid(id: &str) -> String {
    let parts = [id.get(..8), id.get(8..12), id.get(12..16), id.get(16..20), id.get(20..32)];
    match parts.into_iter().collect::<Option<Vec<_>>>() {
        Some(parts) if id.len() == 32 => parts.join("-"),
        _ => id.to_owned(),
    }
}

fn error(record: &Record) -> Option<(&str, String)> {
    let statement = || record.statement().unwrap_or_default().to_owned();
    match record.verdict() {
        "DENY" => Some(("AccessDenied", statement())),
        "HOLD" => Some(("ApprovalRequired", statement())),
        _ => match record.outcome.as_ref()?.text("outcome")? {
            "ok" | "task" | "answered" | "input_required" | "unknown" => None,
            "withheld" => Some(("AccessDenied", statement())),
            other => Some((other, String::new())),
        },
    }
}

fn parameters(record: &Record) -> Value {
    let mut asked = Map::new();
    for (key, from) in [
        ("space", "space"),
        ("server", "server"),
        ("tool", "tool"),
        ("method", "method"),
        ("argumentsCommitment", "arguments_commitment"),
        ("toolDigest", "tool_digest"),
        ("protocolVersion", "protocol"),
    ] {
        if let Some(text) = record.text(from) {
            asked.insert(key.to_owned(), json!(text));
        }
    }
    Value::Object(asked)
}

fn response(record: &Record) -> Value {
    let Some(outcome) = &record.outcome else { return Value::Null };
    json!({
        "outcome": outcome.text("outcome"), "resultCommitment": outcome.text("result_commitment"), "resultBytes": outcome.number("result_bytes"),
        "latencyMicros": outcome.number("latency_us"),
    })
}

fn additional(record: &Record) -> Value {
    let mut more = Map::new();
    let mut set = |key: &str, value: Value| drop(more.insert(key.to_owned(), value));
    set("logOrigin", json!(record.origin));
    set("entryIndex", json!(record.decision.index));
    set("leafHash", json!(record.decision.hash.to_string()));
    if let Some(outcome) = &record.outcome {
        set("outcomeEntryIndex", json!(outcome.index));
        set("outcomeLeafHash", json!(outcome.hash.to_string()));
    }
    for (key, from) in [
        ("verdict", "verdict"),
        ("reason", "reason"),
        ("risk", "risk"),
        ("toolClass", "class"),
        ("approval", "approval"),
        ("policyFlip", "policy_flip"),
        ("session", "session"),
    ] {
        if let Some(text) = record.text(from) {
            set(key, json!(text));
        }
    }
    set("layers", json!(record.layers()));
    Value::Object(more)
}
