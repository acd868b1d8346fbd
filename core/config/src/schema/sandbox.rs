//! The shape of sandboxes.

use remit_model::{SandboxLimits, SandboxMechanism};
use serde_json::{Value, json};

use super::{object, refer, text};

fn grants() -> Value {
    let paths = |description: &str| json!({ "type": "array", "uniqueItems": true, "maxItems": 256, "items": { "type": "string", "pattern": "^/.*[^/]" }, "description": description });
    let mechanisms = SandboxMechanism::ALL.map(SandboxMechanism::as_str);
    let default = SandboxLimits::default();
    let limit = |description: &str, max: u64, default: Option<u64>| {
        let mut limit = super::count(description, max);
        if let (Some(map), Some(default)) = (limit.as_object_mut(), default) {
            map.insert("default".to_owned(), default.into());
        }
        limit
    };
    json!({
        "read": paths("Files and folders that may be read, besides those of the system."),
        "write": paths("Files and folders that may be read, changed and made; nothing there is executed."),
        "execute": paths("Files and folders that may be read and executed; its own program always may."),
        "network": {
            "description": "What it reaches: nothing, whatever this machine does, its loopback included, or these hosts through Remit's proxy.",
            "default": "none",
            "oneOf": [{ "enum": ["none", "host"] }, hosts()],
        },
        "limits": object("How much it may use.", &[], &json!({
            "memory_mib": limit("Memory that one of its processes may write to, in MiB.", 1_048_576, Some(default.memory_mib)),
            "processes_max": limit("Processes and threads, all together.", 100_000, Some(default.processes_max)),
            "open_files_max": limit("Files that one process may hold open.", 1_000_000, Some(default.open_files_max)),
            "file_mib_max": limit("The largest file that it may write, in MiB.", 1_048_576, Some(default.file_mib_max)),
            "tmp_mib": limit("The size of its own /tmp, in MiB.", 65_536, Some(default.tmp_mib)),
            "cpu_secs": limit("Processor time of one process; without it as much as it wants.", 31_536_000, None),
        })),
        "require": { "type": "array", "uniqueItems": true, "items": { "enum": mechanisms }, "description": "What this machine must have for the server to be started at all." },
    })
}

fn hosts() -> Value {
    let host = json!({ "type": "string", "pattern": "^[A-Za-z0-9_.-]{1,253}(:[0-9]{1,5})?$", "description": "Its whole name, and the port unless that is 443." });
    let with_network = object("A host that isn't public.", &["host"], &json!({ "host": host, "network": refer("network") }));
    let items = json!({ "oneOf": [host, with_network] });
    object(
        "Named hosts, by HTTP CONNECT; the server finds the proxy in HTTPS_PROXY.",
        &["hosts"],
        &json!({ "hosts": { "type": "array", "minItems": 1, "maxItems": 256, "items": items, "description": "The hosts." } }),
    )
}

/// A profile of the list.
pub(super) fn profile() -> Value {
    let mut properties = grants();
    if let Some(map) = properties.as_object_mut() {
        let name =
            json!({ "type": "string", "pattern": "^(?!(default|none)$)[A-Za-z0-9._-]{1,64}$", "description": "Its name." });
        map.insert("name".to_owned(), name);
    }
    object("What a server that Remit starts may reach on this machine. What isn't granted isn't there.", &["name"], &properties)
}

/// What a server says of its own.
pub(super) fn sandbox() -> Value {
    let none = object(
        "No sandbox: the server may do whatever Remit may.",
        &["profile", "reason"],
        &json!({ "profile": { "const": "none" }, "reason": text("Why.") }),
    );
    let named = object("A profile by its name.", &["profile"], &json!({ "profile": refer("sandbox_profile_name") }));
    json!({
        "description": "For a `command`: what it may reach on this machine. Without it the built-in profile `default`: the system's programs and libraries, a /tmp of its own, no network.",
        "oneOf": [refer("sandbox_profile_name"), none, named, object("A profile that stands here.", &[], &grants())],
    })
}

/// A name of a profile.
pub(super) fn profile_name() -> Value {
    json!({ "type": "string", "pattern": "^(?!none$)[A-Za-z0-9._-]{1,64}$", "description": "A profile of `sandbox_profiles`, or `default`." })
}

/// A trust zone.
pub(super) fn zone() -> Value {
    object(
        "Servers that are trusted alike.",
        &["name"],
        &json!({
            "name": { "type": "string", "pattern": "^[A-Za-z0-9._-]{1,64}$", "description": "The zone's name." },
            "sandbox": refer("sandbox"),
        }),
    )
}

pub(super) fn zone_name() -> Value {
    json!({ "type": "string", "pattern": "^[A-Za-z0-9._-]{1,64}$", "description": "A zone of `trust_zones`: its servers are called in its roles, and its roles call no others." })
}
