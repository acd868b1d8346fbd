//! The shape of guardrails and of the policies that attach them.

use serde_json::{Value, json};

use super::{object, refer, text};

fn document(description: &str) -> Value {
    let file = object("A file with the document.", &["file"], &json!({ "file": text("A .json file, relative to this one.") }));
    json!({ "description": description, "anyOf": [file, { "type": "object" }] })
}

/// One of `guardrails`.
pub(super) fn version() -> Value {
    let mut version = object(
        "A version of a guardrail. A numbered one never changes: write the next.",
        &["id"],
        &json!({
            "id": { "type": "string", "pattern": "^[a-z0-9-]{1,64}$", "description": "Its id, unique in the organization." },
            "version": { "anyOf": [{ "const": "DRAFT" }, { "type": "integer", "minimum": 1, "maximum": 100_000 }], "default": "DRAFT" },
            "account": refer("account_id"), "description": text("What it is for."),
            "definition": document("What it says, in the words of Amazon Bedrock Guardrails (docs/reference/guardrails.md): the definition itself, or { file: … }."),
            "bedrock": bedrock(),
        }),
    );
    if let Some(map) = version.as_object_mut() {
        map.insert("anyOf".to_owned(), json!([{ "required": ["definition"] }, { "required": ["bedrock"] }]));
    }
    version
}

/// The guardrail of Amazon Bedrock behind one.
fn bedrock() -> Value {
    object(
        "A guardrail of Amazon Bedrock that is asked as well (ApplyGuardrail), after the definition if there is one.",
        &["identifier", "credentials"],
        &json!({
            "identifier": text("Its id or its ARN, without a version."),
            "version": { "anyOf": [{ "const": "DRAFT" }, { "type": "integer", "minimum": 1, "maximum": 100_000 }], "default": "DRAFT" },
            "region": text("The region that it is in; an ARN says it."), "credentials": refer("secret"),
            "endpoint": text("Another endpoint than AWS's own of the region."), "network": refer("network"),
            "timeout_ms": { "type": "integer", "minimum": 100, "maximum": 30_000, "default": 5000, "description": "How long one request may take." },
            "risk_min": { "$ref": "#/$defs/risk", "default": "low", "description": "The least risk of a tool whose texts it sees; resources, prompts and what servers say of their own accord count as low." },
        }),
    )
}

/// One of `bedrock_policies`.
pub(super) fn policy() -> Value {
    object(
        "A policy that attaches guardrails, with @@assign, @@append, @@remove and @@operators_allowed_for_child_policies.",
        &["name", "targets", "document"],
        &json!({
            "name": text("Its name."),
            "targets": { "type": "array", "uniqueItems": true, "minItems": 1, "items": { "type": "string", "minLength": 1 }, "description": "The root, units, accounts and spaces that it is attached to, by id." },
            "document": document("The policy: { bedrock: { guardrail_inference: { <region>: … } } }, or { file: … }."),
        }),
    )
}
