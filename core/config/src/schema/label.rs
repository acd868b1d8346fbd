//! The shape of labels.

use remit_model::{ArgumentRole, Confidentiality, Provenance};
use serde_json::{Map, Value, json};

use super::object;

fn confidentiality(description: &str) -> Value {
    json!({ "enum": Confidentiality::ALL.map(Confidentiality::as_str), "description": description })
}

/// What results are.
pub(super) fn results() -> Value {
    object(
        "What results are: who could have written them, and how secret they are. Where nothing is said they are untrusted and internal.",
        &[],
        &json!({
            "integrity": { "enum": ["trusted", "untrusted"], "description": "untrusted: anybody could have written them, such as a mail or a page." },
            "confidentiality": confidentiality("How secret they are."),
            "identifiers": { "enum": ["own", "foreign"], "description": "own: the ids of records in structured results are the server's making, whoever wrote the rest." },
            "records": { "enum": ["own", "foreign"], "description": "own: strangers write texts of records at most, and make none: what the user calls a record by is that record. Never of a mailbox." },
        }),
    )
}

/// What an argument does.
pub(super) fn argument_role() -> Value {
    json!({ "enum": ArgumentRole::ALL.map(ArgumentRole::as_str), "description": "What an argument does in a call." })
}

/// The keys of a rule that speak of labels, to be put beside its others.
pub(super) fn meant() -> Map<String, Value> {
    let origins = json!({
        "type": "array", "uniqueItems": true, "minItems": 1,
        "items": { "enum": Provenance::ALL.map(Provenance::as_str) },
    });
    let roles: Map<String, Value> = ArgumentRole::ALL.iter().map(|role| (role.as_str().to_owned(), origins.clone())).collect();
    let provenance = object("With a value of one of these roles behind which stands one of these.", &[], &Value::Object(roles));
    let requested = json!({
        "type": "boolean",
        "description": "false: of which the user's request names nothing: neither whom it reaches nor what it acts on, lets in, when, nor a whole content.",
    });
    let integrity =
        json!({ "enum": ["trusted", "untrusted"], "description": "In sessions that have read what is at least this." });
    Map::from_iter([
        ("integrity".to_owned(), integrity),
        ("confidentiality_min".to_owned(), confidentiality("In sessions that have read what is at least this secret.")),
        ("provenance".to_owned(), provenance),
        ("requested".to_owned(), requested),
    ])
}
