//! Key sets of agents (RFC 7517): public keys only.

use serde_json::Value as Json;

use crate::item::Item;
use crate::yaml::{Node, Value};

/// The most keys of one set.
const KEYS_MAX: usize = 20;

/// A key set that stands in the configuration.
pub(crate) fn inline(item: &Item<'_>) -> Option<String> {
    let set = json(item.node);
    checked(&set, item).then(|| set.to_string())
}

/// A key set that stands in a file.
pub(crate) fn of_file(item: &Item<'_>, path: &str, text: &str) -> Option<String> {
    if let Err(error) = remit_mcp::json::scan(text.as_bytes(), remit_mcp::json::Limits::default()) {
        item.error(format!("`{path}` is no acceptable JSON: {error}"), "write a JSON Web Key Set: `{\"keys\": [ … ]}`");
        return None;
    }
    let set: Json = serde_json::from_str(text).unwrap_or_default();
    checked(&set, item).then(|| set.to_string())
}

fn checked(set: &Json, item: &Item<'_>) -> bool {
    let Some(keys) = set.get("keys").and_then(Json::as_array).filter(|keys| (1..=KEYS_MAX).contains(&keys.len())) else {
        item.error(
            format!("this is no key set with 1 to {KEYS_MAX} keys"),
            "write a JSON Web Key Set: `{\"keys\": [ … ]}` (RFC 7517)",
        );
        return false;
    };
    let mut fits = true;
    for (n, key) in keys.iter().enumerate() {
        let has = |names: &[&str]| names.iter().all(|name| key.get(name).is_some_and(Json::is_string));
        if ["d", "p", "q", "dp", "dq", "qi", "oth", "k"].iter().any(|name| key.get(name).is_some()) {
            item.error(
                format!("key {} of the set holds a private key", n + 1),
                "keep it with the agent and publish only its public half",
            );
            fits = false;
            continue;
        }
        let complete = match key.get("kty").and_then(Json::as_str) {
            Some("EC") => has(&["crv", "x", "y"]),
            Some("RSA") => has(&["n", "e"]),
            Some("OKP") => has(&["crv", "x"]),
            _ => false,
        };
        if !complete {
            item.error(format!("key {} of the set is no complete EC, RSA or OKP key", n + 1), "export the public key as a JWK");
            fits = false;
        }
    }
    fits
}

fn json(node: &Node) -> Json {
    match &node.value {
        Value::Null | Value::Broken => Json::Null,
        Value::Bool(flag) => Json::Bool(*flag),
        Value::Number(text) => serde_json::from_str(text).unwrap_or_else(|_| Json::String(text.clone())),
        Value::Text(text) => Json::String(text.clone()),
        Value::List(nodes) => Json::Array(nodes.iter().map(json).collect()),
        Value::Map(entries) => Json::Object(entries.iter().map(|entry| (entry.key.clone(), json(&entry.value))).collect()),
    }
}
