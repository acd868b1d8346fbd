//! The operator's interface as OpenAPI 3.1 says it: made of the table of endpoints, so that it can't say anything else.

use http::Method;
use serde_json::{Map, Value, json};

use crate::endpoints::{ENDPOINTS, Endpoint};

/// What an endpoint is asked with, apart from its path: names and the JSON type of each; one that ends in `!` is needed.
fn asked(path: &str) -> &'static [(&'static str, &'static str)] {
    match path {
        "/v1/explain" => {
            &[("agent!", "string"), ("tool!", "string"), ("space", "string"), ("risk", "string"), ("arguments", "object")]
        }
        "/v1/ways" => &[("action!", "string"), ("resource!", "string"), ("who", "string")],
        "/v1/effective" => &[("space!", "string")],
        "/v1/credentials" => {
            &[("principal!", "string"), ("session_name", "string"), ("duration_secs", "integer"), ("by", "string")]
        }
        "/v1/revoke" => &[
            ("credential", "string"),
            ("agent", "string"),
            ("role", "string"),
            ("everything", "boolean"),
            ("before_secs", "integer"),
            ("reason!", "string"),
            ("by", "string"),
        ],
        "/v1/suspend" => &[
            ("agent", "string"),
            ("space", "string"),
            ("server", "string"),
            ("tool", "string"),
            ("user", "string"),
            ("resume", "boolean"),
            ("reason!", "string"),
            ("by", "string"),
        ],
        "/v1/pins/accept" => &[("server!", "string"), ("tool", "string"), ("by", "string")],
        "/v1/connections" | "/v1/connections/forget" => &[("server!", "string"), ("by", "string")],
        "/v1/configuration/plan" => &[("files!", "array"), ("source", "string"), ("by", "string"), ("reason", "string")],
        "/v1/configuration/apply" => &[
            ("files", "array"),
            ("plan", "string"),
            ("expect", "string"),
            ("source", "string"),
            ("reason", "string"),
            ("by", "string"),
        ],
        "/v1/configuration/rollback" => &[("version!", "integer"), ("base", "integer"), ("reason!", "string"), ("by", "string")],
        "/v1/configuration/plans" => &[("plan", "string")],
        "/v1/configuration/review" => &[("plan!", "string"), ("note!", "string")],
        "/v1/configuration/withdraw" => &[("plan!", "string"), ("by", "string")],
        "/v1/configuration/history" => &[("before", "integer"), ("count", "integer"), ("agent", "string"), ("tool", "string")],
        "/v1/configuration/diff" => &[("from!", "integer"), ("to!", "integer")],
        "/v1/configuration/files" => &[("path!", "string")],
        path => asked_of_records(path),
    }
}

/// The same for approvals, decisions and the console.
fn asked_of_records(path: &str) -> &'static [(&'static str, &'static str)] {
    match path {
        "/v1/approvals" => &[("state", "string"), ("limit", "integer"), ("cursor", "string")],
        "/v1/approvals/{id}/approve" => &[
            ("reason", "string"),
            ("single_use", "boolean"),
            ("ttl_secs", "integer"),
            ("pins", "object"),
            ("break_glass", "boolean"),
            ("note", "string"),
            ("by", "string"),
        ],
        "/v1/approvals/{id}/reject" => &[("reason!", "string"), ("note", "string"), ("by", "string")],
        "/v1/approvals/{id}/revoke" | "/v1/approvals/{id}/review" => &[("reason!", "string"), ("by", "string")],
        "/v1/decisions" => &[
            ("agent", "string"),
            ("user", "string"),
            ("space", "string"),
            ("tool", "string"),
            ("verdict", "string"),
            ("reason", "string"),
            ("statement", "string"),
            ("layer", "string"),
            ("trace_id", "string"),
            ("approval", "string"),
            ("since_secs", "integer"),
            ("until_secs", "integer"),
            ("limit", "integer"),
            ("cursor", "string"),
        ],
        "/v1/decisions/counts" => {
            &[("since_secs!", "integer"), ("until_secs!", "integer"), ("step_secs!", "integer"), ("by", "string")]
        }
        "/v1/console/link" => &[("by", "string")],
        _ => &[],
    }
}

/// The document.
pub fn document() -> Value {
    let mut paths: Map<String, Value> = Map::new();
    for endpoint in &ENDPOINTS {
        let path = paths.entry(endpoint.path).or_insert_with(|| json!({}));
        if let Some(methods) = path.as_object_mut() {
            methods.insert(endpoint.method.as_str().to_lowercase(), operation(endpoint));
        }
    }
    json!({
        "openapi": "3.1.0",
        "info": {
            "title": "Remit: the operator's interface", "version": "v1", "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
            "description": "Every operation has an action of the service `remit`, which the caller's role must allow. `by` is taken from whoever shows the operator's token, and from nobody else.",
        },
        "servers": [{"url": "http://127.0.0.1:7481"}],
        "security": [{"token": []}, {"session": [], "csrf": []}],
        "paths": paths,
        "components": {
            "securitySchemes": {
                "token": {"type": "http", "scheme": "bearer", "description": "The operator's token: the machine's administrator."},
                "session": {"type": "apiKey", "in": "cookie", "name": "remit_console", "description": "A session of the console."},
                "csrf": {"type": "apiKey", "in": "header", "name": "x-remit-csrf", "description": "What the session's pages carry; for whatever isn't a GET, with the page's own `Origin`."},
            },
            "schemas": {"Problem": {
                "type": "object", "description": "RFC 9457", "required": ["title", "status", "detail"],
                "properties": {"title": {"type": "string"}, "status": {"type": "integer"}, "detail": {"type": "string"}, "action": {"type": "string", "description": "The action that the role doesn't allow."}},
            }},
            "responses": {"Problem": {
                "description": "Why not", "content": {"application/problem+json": {"schema": {"$ref": "#/components/schemas/Problem"}}},
            }},
        },
    })
}

fn operation(endpoint: &Endpoint) -> Value {
    let fields = asked(endpoint.path);
    let inside = endpoint.path.split('/').filter_map(|part| part.strip_prefix('{')?.strip_suffix('}'));
    let mut parameters: Vec<Value> =
        inside.map(|name| json!({"name": name, "in": "path", "required": true, "schema": {"type": "string"}})).collect();
    let get = endpoint.method == Method::GET;
    if get {
        let parameter = |(name, kind): &(&str, &str)| json!({"name": name.trim_end_matches('!'), "in": "query", "required": name.ends_with('!'), "schema": {"type": kind}});
        parameters.extend(fields.iter().map(parameter));
    }
    let mut responses = json!({
        "200": {"description": endpoint.about, "content": {"application/json": {"schema": {"type": "object"}}}},
        "default": {"$ref": "#/components/responses/Problem"},
    });
    let mut operation = json!({
        "operationId": operation_id(endpoint), "summary": endpoint.about, "x-remit-action": endpoint.action,
    });
    let (Some(operation_fields), Some(response_fields)) = (operation.as_object_mut(), responses.as_object_mut()) else {
        return Value::Null;
    };
    if get {
        response_fields.insert("304".to_owned(), json!({"description": "It is what `If-None-Match` names"}));
    } else {
        let properties: Map<String, Value> =
            fields.iter().map(|(name, kind)| (name.trim_end_matches('!').to_owned(), json!({"type": kind}))).collect();
        let required: Vec<&str> = fields.iter().filter_map(|(name, _)| name.strip_suffix('!')).collect();
        let schema = json!({"type": "object", "properties": properties, "required": required});
        operation_fields.insert("requestBody".to_owned(), json!({"content": {"application/json": {"schema": schema}}}));
    }
    if !parameters.is_empty() {
        operation_fields.insert("parameters".to_owned(), parameters.into());
    }
    operation_fields.insert("responses".to_owned(), responses);
    operation
}

/// `approvals_approve` of `POST /v1/approvals/{id}/approve`.
fn operation_id(endpoint: &Endpoint) -> String {
    let parts = endpoint.path.split('/').filter(|part| !matches!(*part, "" | "v1"));
    let words: Vec<&str> = parts.map(|part| if part.starts_with('{') { "get" } else { part }).collect();
    let last = words.len().saturating_sub(1);
    let kept = words.iter().enumerate().filter(|(n, word)| **word != "get" || *n == last);
    kept.map(|(_, word)| *word).collect::<Vec<_>>().join("_")
}
