//! Sandboxes: the profiles, and what a server says of its own.

use std::collections::BTreeMap;
use std::sync::Arc;

use remit_model::{Network, Sandbox, SandboxHost, SandboxLimits, SandboxMechanism, SandboxNetwork, SandboxProfile};

use crate::item::{Item, Object, shown};
use crate::server::NETWORKS as ADDRESSES;

/// The words for a network.
const NETWORKS: [(&str, bool); 2] = [("none", false), ("host", true)];
/// The most hosts.
const HOSTS_MAX: usize = 256;
/// The port of a host that names none.
const PORT: u16 = 443;
/// The profile that is always there.
const BUILT_IN: &str = "default";
/// The word for no sandbox.
const NONE: &str = "none";
/// What a sandbox makes anew: nothing of the machine's can be granted there.
const OWN: [&str; 3] = ["/proc", "/dev", "/sys"];
/// The most paths of a list.
const PATHS_MAX: usize = 256;

/// The profiles, by name.
pub(crate) type Profiles = BTreeMap<String, Arc<SandboxProfile>>;

/// Reads a profile of the list.
pub(crate) fn profile(item: &Item<'_>) -> Option<SandboxProfile> {
    let object = item.object("a sandbox profile", &["name", "read", "write", "execute", "network", "limits", "require"])?;
    let name = object.need("name")?;
    let text = called(&name, "a profile")?;
    if [BUILT_IN, NONE].contains(&text) {
        name.error(format!("`{text}` has a meaning of its own"), "choose another name");
        return None;
    }
    Some(grants(&object, text))
}

/// The name of something that a configuration makes up.
pub(crate) fn called<'a>(name: &Item<'a>, of: &str) -> Option<&'a str> {
    let text = name.text()?;
    let fits = (1..=64).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte));
    if !fits {
        name.error(format!("{} is no name of {of}", shown(text)), "1 to 64 letters, digits, `-`, `_` and `.`");
    }
    fits.then_some(text)
}

/// Reads what a server says of its sandbox; the built-in one where it says nothing.
pub(crate) fn sandbox(item: Option<&Item<'_>>, profiles: &Profiles, complete: bool) -> Sandbox {
    let Some(item) = item else { return Sandbox::default() };
    if let Some(name) = item.as_text() {
        return named(item, name, profiles, complete);
    }
    let keys = &["profile", "reason", "read", "write", "execute", "network", "limits", "require"];
    let Some(object) = item.object("a sandbox", keys) else { return Sandbox::default() };
    let Some(profile) = object.get("profile") else {
        if let Some(reason) = object.get("reason") {
            reason.error("`reason` is for `profile: none`", "leave it out");
        }
        return Sandbox::Profile(Arc::new(grants(&object, "inline")));
    };
    for key in object.present(&["read", "write", "execute", "network", "limits", "require"]) {
        if let Some(more) = object.get(key) {
            more.error(format!("`{key}` says what a profile says, and there is a `profile`"), "keep one of them");
        }
    }
    let Some(name) = profile.text() else { return Sandbox::default() };
    let reason = object.get("reason");
    if name != NONE {
        if let Some(reason) = reason {
            reason.error("`reason` is for `profile: none`", "leave it out");
        }
        return named(&profile, name, profiles, complete);
    }
    match reason.as_ref().and_then(Item::text).map(str::trim) {
        Some(why) if !why.is_empty() => Sandbox::Unconfined(why.to_owned()),
        Some(_) => {
            item.error("the reason says nothing", "say why this server may do whatever Remit may");
            Sandbox::default()
        }
        None if reason.is_some() => Sandbox::default(),
        None => {
            without_reason(item);
            Sandbox::default()
        }
    }
}

fn without_reason(item: &Item<'_>) {
    item.error(
        "a server without a sandbox may do whatever Remit may, and nothing says why",
        "write `sandbox: { profile: none, reason: … }`, or grant what it needs",
    );
}

fn named(item: &Item<'_>, name: &str, profiles: &Profiles, complete: bool) -> Sandbox {
    match (name, profiles.get(name)) {
        (BUILT_IN, _) => {}
        (NONE, _) => without_reason(item),
        (_, Some(profile)) => return Sandbox::Profile(Arc::clone(profile)),
        (_, None) if complete => {
            let known: Vec<&str> = [BUILT_IN].into_iter().chain(profiles.keys().map(String::as_str)).collect();
            item.error(
                format!("there is no sandbox profile {}", shown(name)),
                format!("name one of {}, or add it to `sandbox_profiles`", known.join(", ")),
            );
        }
        (_, None) => {}
    }
    Sandbox::default()
}

fn grants(object: &Object<'_>, name: &str) -> SandboxProfile {
    let mechanisms = SandboxMechanism::ALL.map(|mechanism| (mechanism.as_str(), mechanism));
    let require = object.get("require").map(|list| list.texts("mechanisms")).unwrap_or_default();
    SandboxProfile {
        name: name.to_owned(),
        read: paths(object, "read"),
        write: paths(object, "write"),
        execute: paths(object, "execute"),
        network: object.get("network").map(|network| self::network(&network)).unwrap_or_default(),
        limits: object.get("limits").map_or_else(SandboxLimits::default, |limits| self::limits(&limits)),
        require: require.iter().filter_map(|(_, item)| item.choice(&mechanisms)).collect(),
    }
}

fn paths(object: &Object<'_>, key: &str) -> Vec<String> {
    let Some(list) = object.get(key) else { return Vec::new() };
    let all = list.texts("paths");
    if all.len() > PATHS_MAX {
        list.error(format!("there are more than {PATHS_MAX} paths"), "name folders that hold them");
    }
    let mut paths = Vec::new();
    for (path, item) in all {
        let parts = || path.split('/').skip(1);
        // Several slashes in a row mean one.
        let plain: String = parts().filter(|part| !part.is_empty()).flat_map(|part| ["/", part]).collect();
        if !path.starts_with('/') || parts().any(|part| matches!(part, "." | "..")) || path.contains('\0') {
            item.error(format!("{} is no whole path", shown(path)), "write it from the root, without `.` and `..`");
        } else if parts().all(str::is_empty) {
            item.error("`/` is everything, Remit's keys too", "name the folders that the server needs");
        } else if OWN.iter().any(|own| plain.strip_prefix(own).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))) {
            item.error(format!("{} can't be granted", shown(path)), "a sandbox has its own /proc and /dev, and no /sys");
        } else {
            paths.push(path.to_owned());
        }
    }
    paths
}

fn network(item: &Item<'_>) -> SandboxNetwork {
    if item.as_text().is_some() {
        let whole = item.choice(&NETWORKS) == Some(true);
        return if whole { SandboxNetwork::Host } else { SandboxNetwork::None };
    }
    let Some(object) = item.object("a network", &["hosts"]) else { return SandboxNetwork::None };
    let Some(list) = object.need("hosts") else { return SandboxNetwork::None };
    let all = list.list("hosts");
    if all.is_empty() || all.len() > HOSTS_MAX {
        list.error(format!("it names {} hosts", all.len()), format!("name 1 to {HOSTS_MAX}, or write `network: none`"));
    }
    let mut hosts: Vec<SandboxHost> = Vec::new();
    for item in all {
        let Some(host) = host(&item) else { continue };
        if hosts.iter().any(|known| (&known.host, known.port) == (&host.host, host.port)) {
            item.error(format!("`{}:{}` is there already", host.host, host.port), "name each host once");
        }
        hosts.push(host);
    }
    SandboxNetwork::Egress(hosts)
}

fn host(item: &Item<'_>) -> Option<SandboxHost> {
    let (named, network) = if item.as_text().is_some() {
        (item.clone(), Network::Public)
    } else {
        let object = item.object("a host", &["host", "network"])?;
        let network = object.get("network").and_then(|network| network.choice(&ADDRESSES)).unwrap_or_default();
        (object.need("host")?, network)
    };
    let text = named.text()?;
    let (name, port) = match text.rsplit_once(':') {
        Some((name, port)) => (name, port.parse().ok().filter(|port| *port > 0)),
        None => (text, Some(PORT)),
    };
    let label = |label: &str| {
        (1..=63).contains(&label.len()) && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte))
    };
    let fits = (1..=253).contains(&name.len()) && name.split('.').all(label);
    let Some(port) = port.filter(|_| fits) else {
        named.error(
            format!("{} is no host", shown(text)),
            "write its whole name, with a port unless that is 443: `api.example.com:8443`",
        );
        return None;
    };
    Some(SandboxHost { host: name.to_ascii_lowercase(), port, network })
}

fn limits(item: &Item<'_>) -> SandboxLimits {
    let keys = &["memory_mib", "processes_max", "open_files_max", "file_mib_max", "tmp_mib", "cpu_secs"];
    let default = SandboxLimits::default();
    let Some(object) = item.object("limits", keys) else { return default };
    let count = |key: &str, max: u64| object.get(key).and_then(|item| item.count(max));
    SandboxLimits {
        memory_mib: count("memory_mib", 1_048_576).unwrap_or(default.memory_mib),
        processes_max: count("processes_max", 100_000).unwrap_or(default.processes_max),
        open_files_max: count("open_files_max", 1_000_000).unwrap_or(default.open_files_max),
        file_mib_max: count("file_mib_max", 1_048_576).unwrap_or(default.file_mib_max),
        tmp_mib: count("tmp_mib", 65_536).unwrap_or(default.tmp_mib),
        cpu_secs: count("cpu_secs", 31_536_000),
    }
}
