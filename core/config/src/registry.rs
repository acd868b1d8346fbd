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

/// The digest of a registration: of everything that it says but its status, and of the sandbox profile that it names, in whatever order.
pub(crate) fn registration(server: &Item<'_>, profiles: &[Item<'_>]) -> String {
    let text = |node: Option<&Node>| match node.map(|node| &node.value) {
        Some(crate::yaml::Value::Text(text)) => Some(text.clone()),
        _ => None,
    };
    let named = text(server.node.get("sandbox"));
    let is_named = |profile: &&Item<'_>| named.is_some() && text(profile.node.get("name")) == named;
    let profile = profiles.iter().find(is_named).map_or(Value::Null, |profile| json(profile.node));
    let mut said = json(server.node);
    if let Some(fields) = said.as_object_mut() {
        fields.remove("status");
    }
    let text = canonical(&serde_json::json!({"server": said, "sandbox": profile}));
    format!("sha256:{}", hex(&sha256(text.as_bytes())))
}

fn json(node: &Node) -> Value {
    let text = crate::iam::node(node).to_json();
    serde_json::from_str(&text).unwrap_or(Value::String(text))
}
