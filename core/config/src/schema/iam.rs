//! The part of the schema that describes the tree, policies, roles and users.

use serde_json::{Value, json};

use super::{object, refer, text};

const NAME: &str = "^[A-Za-z0-9_+=,.@-]{1,64}$";
const PATH: &str = "^/([!-)+->@-~]*/)?$";

pub(super) fn unit() -> Value {
    let id = json!({ "type": "string", "pattern": "^ou-[a-z0-9]([a-z0-9-]{0,63}[a-z0-9])?$" });
    object(
        "An organizational unit.",
        &["id", "name"],
        &json!({
            "id": id, "name": text("Its name, for people."),
            "parent": { "type": "string", "pattern": "^ou-[a-z0-9-]{1,65}$", "description": "The unit above it; below the root without one." },
            "service_control_policies": refer("policy_names"), "resource_control_policies": refer("policy_names"), "findings_admitted": refer("findings_admitted"),
        }),
    )
}

pub(super) fn policy() -> Value {
    let kinds = json!(["MANAGED_POLICY", "SERVICE_CONTROL_POLICY", "RESOURCE_CONTROL_POLICY"]);
    object(
        "A policy, by its name.",
        &["name", "document"],
        &json!({
            "name": { "type": "string", "pattern": "^[A-Za-z0-9_+=,.@-]{1,128}$" },
            "type": { "enum": kinds, "default": "MANAGED_POLICY", "description": "Where it may be attached." },
            "description": text("What it is for."), "document": refer("document"),
        }),
    )
}

/// A file, or a policy document. What a document may hold is told by `remit check`, with the place.
pub(super) fn document() -> Value {
    let file = object("A file with the document.", &["file"], &json!({ "file": text("A .json file, relative to this one.") }));
    let properties = json!({
        "Version": { "const": "2012-10-17" }, "Id": { "type": "string" },
        "Statement": { "anyOf": [{ "type": "object" }, { "type": "array", "items": { "type": "object" } }] },
    });
    let inline = object("An IAM policy document.", &["Version", "Statement"], &properties);
    json!({ "description": "An IAM policy: the document itself, or { file: … }.", "anyOf": [file, inline] })
}

pub(super) fn policy_names() -> Value {
    json!({
        "type": ["array", "null"], "uniqueItems": true, "items": { "type": "string", "minLength": 1 },
        "description": "Policies by name. Left out, FullAWSAccess alone; an empty list lets nothing through.",
    })
}

pub(super) fn tags() -> Value {
    let value = json!({ "type": "string", "maxLength": 256 });
    json!({ "type": "object", "maxProperties": 50, "additionalProperties": value, "description": "Tags, key and value." })
}

pub(super) fn role_name() -> Value {
    json!({ "type": "string", "minLength": 1, "description": "A role's name in the same account, or its ARN." })
}

pub(super) fn acting() -> Value {
    let session = json!({ "type": "string", "pattern": "^[A-Za-z0-9_+=,.@-]{2,64}$", "description": "Only this session of it." });
    let properties = json!({ "arn": text("The role's ARN."), "session_name": session });
    object("Requests that are signed in a session of a role.", &["arn"], &properties)
}

fn holder(description: &str, required: &[&str], more: &Value) -> Value {
    let mut properties = json!({
        "name": { "type": "string", "pattern": NAME }, "account": refer("account_id"),
        "path": { "type": "string", "pattern": PATH, "maxLength": 512, "default": "/" },
        "policies": { "type": ["array", "null"], "uniqueItems": true, "maxItems": 20, "items": { "type": "string", "minLength": 1 }, "description": "Managed policies, by name or ARN." },
        "inline_policies": { "type": "object", "additionalProperties": refer("document"), "description": "Policies of its own, by name." },
        "permissions_boundary": text("A managed policy: what it may do at most."), "tags": refer("tags"),
    });
    if let (Some(properties), Some(more)) = (properties.as_object_mut(), more.as_object()) {
        properties.extend(more.clone());
    }
    object(description, required, &properties)
}

pub(super) fn role() -> Value {
    let longest = json!({ "type": "integer", "minimum": 3600, "maximum": 43_200, "default": 3600, "description": "The longest session, in seconds." });
    let more = json!({
        "trust_policy": refer("document"), "description": text("What it is for."), "max_session_duration_secs": longest,
        "zone": refer("trust_zone_name"),
    });
    holder("A role.", &["name", "trust_policy"], &more)
}

pub(super) fn user() -> Value {
    holder("A user: it signs requests with keys of its own.", &["name"], &json!({}))
}
