//! The operator's interface as OpenAPI 3.1 says it: made of the tables of endpoints and of their fields, so that it can't say anything else.

use http::Method;
use serde_json::{Map, Value, json};

use crate::asked;
use crate::endpoints::{ENDPOINTS, Endpoint};
use crate::told;

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
            "description": "Every operation has an action of the service `remit`, which the caller's role must allow. `by` is taken from whoever shows the operator's token, and from nobody else. A field or a parameter that an operation doesn't have is refused.",
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
            "parameters": {"IdempotencyKey": {
                "name": "Idempotency-Key", "in": "header", "required": false,
                "description": "A name of this one request (draft-ietf-httpapi-idempotency-key-header), in quotation marks or bare. Sent again with the same method, path and body by the same caller, within an hour and the life of the process, it is answered as it was the first time (`Idempotency-Replayed: true`) and done once; while the first is under way it waits, at last with 409. With anything else it is refused with 422. What was refused as the caller's fault (4xx) changed nothing, and may be asked again.",
                "schema": {"type": "string", "minLength": 1, "maxLength": 255, "pattern": "^[!#-\\[\\]-~]+$"},
            }},
            "headers": {
                "Allow": {"description": "The methods of this path.", "required": true, "schema": {"type": "string"}},
                "Challenge": {"description": "How to say who you are.", "required": true, "schema": {"type": "string"}},
                "ETag": {"description": "What `If-None-Match` names this answer by.", "required": true, "schema": {"type": "string"}},
                "Replayed": {"description": "`true` on an answer that was given before.", "schema": {"type": "string", "enum": ["true"]}},
            },
            "schemas": {"Problem": {
                "type": "object", "description": "RFC 9457", "required": ["title", "status", "detail"],
                "properties": {"title": {"type": "string"}, "status": {"type": "integer"}, "detail": {"type": "string"}, "action": {"type": "string", "description": "The action that the role doesn't allow."}},
            }},
            "responses": responses(),
        },
    })
}

/// What an operation may be answered with besides what it is for: the status, and why.
const REFUSALS: [(&str, &str); 14] = [
    ("400", "The question can't be read or isn't one for this operation"),
    ("401", "Nobody is known by what was shown"),
    ("403", "The caller's role doesn't allow it, or what else must be proved isn't"),
    ("404", "What it is about isn't there"),
    ("405", "The path has other methods"),
    ("409", "What is in effect doesn't allow it now"),
    ("413", "The body is too large"),
    ("415", "The body is said to be something else than JSON"),
    ("421", "The request was made to another name than this interface's"),
    ("422", "It was understood, and has faults"),
    ("429", "There is so much of this that there can't be more now"),
    ("500", "A fault of Remit's"),
    ("502", "Somebody else, whom it needs, failed"),
    ("503", "It can't be answered now, or the journal takes nothing"),
];

fn responses() -> Value {
    let one = |(status, why): &(&str, &str)| {
        let mut response = json!({
            "description": why, "content": {"application/problem+json": {"schema": {"$ref": "#/components/schemas/Problem"}}},
        });
        if let Some(header) = match *status {
            "401" => Some(("WWW-Authenticate", "Challenge")),
            "405" => Some(("Allow", "Allow")),
            _ => None,
        } && let Some(response) = response.as_object_mut()
        {
            response.insert("headers".to_owned(), json!({header.0: {"$ref": format!("#/components/headers/{}", header.1)}}));
        }
        (format!("Problem{status}"), response)
    };
    Value::Object(REFUSALS.iter().map(one).collect())
}

/// With which of them an operation is refused.
fn refused_with(endpoint: &Endpoint) -> Vec<&'static str> {
    let path = endpoint.path;
    let mut statuses = vec!["400", "401", "403", "405", "421", "500", "503"];
    if endpoint.method == Method::POST {
        // A key that was used for something else, or is in use.
        statuses.extend(["409", "413", "415", "422", "429"]);
    }
    const OF_ONE: [&str; 7] = [
        "/v1/agents/secret",
        "/v1/behaviour",
        "/v1/incidents",
        "/v1/retention/release",
        "/v1/archive/restore",
        "/v1/reveal",
        "/v1/space-keys/destroy",
    ];
    let of_one = OF_ONE.contains(&path);
    if of_one || path.contains('{') || path.starts_with("/v1/trust") || path.starts_with("/v1/configuration") {
        statuses.push("404");
    }
    if path.starts_with("/v1/trust") {
        statuses.push("409");
    }
    if path.starts_with("/v1/connections") {
        statuses.push("502");
    }
    statuses.sort_unstable();
    statuses.dedup();
    statuses
}

fn operation(endpoint: &Endpoint) -> Value {
    let fields = asked::fields(endpoint);
    let inside = endpoint.path.split('/').filter_map(|part| part.strip_prefix('{')?.strip_suffix('}'));
    let of_path = |name: &str| {
        let kind =
            if name == "index" { json!({"type": "integer", "minimum": 0}) } else { json!({"type": "string", "minLength": 1}) };
        json!({"name": name, "in": "path", "required": true, "schema": kind})
    };
    let mut parameters: Vec<Value> = inside.map(of_path).collect();
    let get = endpoint.method == Method::GET;
    let mut operation = json!({
        "operationId": operation_id(endpoint), "summary": endpoint.about, "x-remit-action": endpoint.action,
    });
    let Some(said) = operation.as_object_mut() else { return Value::Null };
    if get {
        for (field, kind) in &fields {
            let (name, needed) = asked::name(field);
            let schema = kind.schema(needed, false);
            parameters.push(json!({"name": name, "in": "query", "required": needed, "schema": schema}));
        }
    } else {
        parameters.push(json!({"$ref": "#/components/parameters/IdempotencyKey"}));
        let named = fields.iter().map(|(field, kind)| (asked::name(field), kind));
        let properties: Map<String, Value> =
            named.clone().map(|((name, needed), kind)| (name.to_owned(), kind.schema(needed, true))).collect();
        let required: Vec<&str> = named.filter(|((_, needed), _)| *needed).map(|((name, _), _)| name).collect();
        let schema = json!({"type": "object", "properties": properties, "required": required, "additionalProperties": false});
        let needed = !endpoint.may_be_empty();
        said.insert("requestBody".to_owned(), json!({"required": needed, "content": {"application/json": {"schema": schema}}}));
    }
    if !parameters.is_empty() {
        said.insert("parameters".to_owned(), parameters.into());
    }
    let mut responses: Map<String, Value> = Map::new();
    let content = json!({"application/json": {"schema": told::schema(endpoint.path)}});
    let header = if get { ("ETag", "ETag") } else { ("Idempotency-Replayed", "Replayed") };
    let headers = json!({header.0: {"$ref": format!("#/components/headers/{}", header.1)}});
    for status in endpoint.succeeds_with() {
        responses.insert((*status).to_owned(), json!({"description": endpoint.about, "headers": headers, "content": content}));
    }
    if get {
        responses.insert("304".to_owned(), json!({"description": "It is what `If-None-Match` names", "headers": headers}));
    }
    for status in refused_with(endpoint) {
        responses.insert(status.to_owned(), json!({"$ref": format!("#/components/responses/Problem{status}")}));
    }
    said.insert("responses".to_owned(), responses.into());
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
