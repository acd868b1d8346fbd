//! `registry`: how the registry of servers is kept; and what a status in it is said of.

use remit_mcp::canonical::{canonical, hex, sha256};
use remit_model::{RegistryRules, RegistryStatus};
use serde_json::Value;

use crate::item::{Item, Object};
use crate::yaml::Node;

/// The words for how a server stands where nobody has said anything else.
pub(crate) const DECLARED: [(&str, RegistryStatus); 3] =
    [("DRAFT", RegistryStatus::Draft), ("APPROVED", RegistryStatus::Approved), ("DEPRECATED", RegistryStatus::Deprecated)];

/// Reads it: once in all files.
pub(crate) fn registry(roots: &[Object<'_>]) -> RegistryRules {
    let found: Vec<_> = roots.iter().filter_map(|root| root.get("registry")).collect();
    for more in found.iter().skip(1) {
        more.error("the registry is described twice", "keep one `registry`");
    }
    let object = found.first().and_then(|item| item.object("a registry", &["second_person"]));
    let second_person = object.and_then(|object| object.get("second_person")).and_then(|flag| flag.flag());
    RegistryRules { second_person: second_person.unwrap_or_default() }
}

/// The digest of a registration: of everything that it says but its status, of the sandbox profile that it names, and of its trust zone with
/// the profile that this names, in whatever order.
pub(crate) fn registration(server: &Item<'_>, profiles: &[Item<'_>], zones: &[Item<'_>]) -> String {
    let zone = find(zones, server.node.get("zone"));
    let named = server.node.get("sandbox").or_else(|| zone?.get("sandbox"));
    let profile = find(profiles, named).map_or(Value::Null, json);
    let mut said = json(server.node);
    if let Some(fields) = said.as_object_mut() {
        fields.remove("status");
    }
    let mut whole = serde_json::json!({"server": said, "sandbox": profile});
    if let (Some(zone), Some(whole)) = (zone, whole.as_object_mut()) {
        whole.insert("zone".to_owned(), json(zone));
    }
    let text = canonical(&whole);
    format!("sha256:{}", hex(&sha256(text.as_bytes())))
}

/// The item of a list that a node names.
fn find<'a>(list: &[Item<'a>], name: Option<&Node>) -> Option<&'a Node> {
    let name = text(name)?;
    list.iter().find(|item| text(item.node.get("name")) == Some(name)).map(|item| item.node)
}

fn text(node: Option<&Node>) -> Option<&str> {
    match &node?.value {
        crate::yaml::Value::Text(text) => Some(text),
        _ => None,
    }
}

fn json(node: &Node) -> Value {
    let text = crate::iam::node(node).to_json();
    serde_json::from_str(&text).unwrap_or(Value::String(text))
}
