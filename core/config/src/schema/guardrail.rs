//! The shape of guardrails and of the policies that attach them.

use serde_json::{Value, json};

use super::{object, refer, text};

fn document(description: &str) -> Value {
    let file = object("A file with the document.", &["file"], &json!({ "file": text("A .json file, relative to this one.") }));
    json!({ "description": description, "anyOf": [file, { "type": "object" }] })
}

/// One of `guardrails`.
pub(super) fn version() -> Value {
    object(
        "A version of a guardrail. A numbered one never changes: write the next.",
        &["id", "definition"],
        &json!({
            "id": { "type": "string", "pattern": "^[a-z0-9-]{1,64}$", "description": "Its id, unique in the organization." },
            "version": { "anyOf": [{ "const": "DRAFT" }, { "type": "integer", "minimum": 1, "maximum": 100_000 }], "default": "DRAFT" },
            "account": refer("account_id"), "description": text("What it is for."),
            "definition": document("What it says, in the words of Amazon Bedrock Guardrails (docs/reference/guardrails.md): the definition itself, or { file: … }."),
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
