//! Trust zones: servers that are trusted alike, the profile that they run in, and what is held apart between zones.

use std::collections::BTreeMap;

use remit_model::{Organization, Sandbox, SecretRef, Server, Transport, TrustZone};

use crate::draft::Draft;
use crate::item::{Item, Object, shown};
use crate::sandbox::called;
use crate::suggest::did_you_mean;

/// The zones, by name.
pub(crate) type Zones = BTreeMap<String, TrustZone>;

/// Reads a zone of the list.
pub(crate) fn zone(item: &Item<'_>, sandbox: impl Fn(Option<&Item<'_>>) -> Sandbox) -> Option<TrustZone> {
    let object = item.object("a trust zone", &["name", "sandbox"])?;
    let name = called(&object.need("name")?, "a trust zone")?.to_owned();
    let sandbox = object.get("sandbox").map(|said| sandbox(Some(&said)));
    Some(TrustZone { name, sandbox, origin: item.origin() })
}

/// The zone that a server or a role says that it is of.
pub(crate) fn named(object: &Object<'_>) -> Option<String> {
    object.get("zone").and_then(|zone| zone.text()).map(str::to_owned)
}

/// Puts a server in its zone: what the zone says of the sandbox is the server's.
pub(crate) fn entered(server: &mut Server, object: &Object<'_>, zones: &Zones) {
    let zone = server.zone.as_ref().and_then(|zone| zones.get(zone));
    let (Some(zone), Transport::Stdio { sandbox, .. }) = (zone, &mut server.transport) else { return };
    let Some(of_zone) = &zone.sandbox else { return };
    if let Some(own) = object.get("sandbox") {
        own.error(format!("trust zone `{}` says what its servers run in", zone.name), "leave it out, or the zone's `sandbox`");
    }
    *sandbox = of_zone.clone();
}

/// Checks what zones hold apart.
pub(crate) fn check(draft: &Draft<'_>) {
    let zones = &draft.organization.trust_zones;
    let unknown = |item: &Item<'_>, zone: &str| {
        let near = did_you_mean(zone, zones.keys().map(String::as_str));
        item.error(format!("there is no trust zone {}", shown(zone)), format!("add it to `trust_zones`{near}"));
    };
    if draft.complete {
        let servers = draft.servers.values().filter_map(|(server, item)| Some((item, server.zone.as_ref()?)));
        let roles = draft.roles.values().filter_map(|role| Some((&role.item, role.role.zone.as_ref()?)));
        for (item, zone) in servers.chain(roles).filter(|(_, zone)| !zones.contains_key(*zone)) {
            unknown(item, zone);
        }
    }
    secrets_apart(draft);
    files_apart(draft);
    roles_apart(draft);
}

/// A secret of two zones would let whoever takes one over speak for the other.
fn secrets_apart(draft: &Draft<'_>) {
    let mut of = BTreeMap::new();
    for (server, item) in draft.servers.values() {
        for secret in server.secrets().into_iter().map(plain) {
            let (zone, first) = of.entry(secret.clone()).or_insert((&server.zone, &server.name));
            if **zone != server.zone {
                let named =
                    |zone: &Option<String>| zone.as_ref().map_or("no trust zone".to_owned(), |zone| format!("zone `{zone}`"));
                item.error(
                    format!(
                        "`{}` of {} and `{first}` of {} have a secret in common ({secret})",
                        server.name,
                        named(&server.zone),
                        named(zone)
                    ),
                    "give each zone credentials of its own",
                );
            }
        }
    }
}

/// Where a secret is kept, however its path is written.
fn plain(secret: &SecretRef) -> SecretRef {
    let SecretRef::File(path) = secret else { return secret.clone() };
    let mut parts: Vec<&str> = Vec::new();
    for part in path.split('/').filter(|part| !matches!(*part, "" | ".")) {
        match part {
            ".." if parts.last().is_some_and(|last| *last != "..") => drop(parts.pop()),
            part => parts.push(part),
        }
    }
    let root = if path.starts_with('/') { "/" } else { "" };
    SecretRef::File(format!("{root}{}", parts.join("/")))
}

/// A sandbox that grants the file of another zone's secret keeps nothing from it.
fn files_apart(draft: &Draft<'_>) {
    for (server, item) in draft.servers.values() {
        let Transport::Stdio { sandbox: Sandbox::Profile(profile), .. } = &server.transport else { continue };
        let grants: Vec<&String> = profile.read.iter().chain(&profile.write).chain(&profile.execute).collect();
        for (other, _) in draft.servers.values().filter(|(other, _)| other.zone != server.zone) {
            for secret in other.secrets().into_iter().map(plain) {
                let SecretRef::File(file) = &secret else { continue };
                let within = |grant: &&&String| {
                    file.strip_prefix(grant.trim_end_matches('/')).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
                };
                if let Some(grant) = grants.iter().find(within) {
                    item.error(
                        format!(
                            "its sandbox grants `{grant}`, where a secret of server `{}` of another trust zone is kept",
                            other.name
                        ),
                        "grant less, or keep the secret elsewhere",
                    );
                }
            }
        }
    }
}

/// What a space lists of another zone than that of the role that it acts in is never called: that is told.
fn roles_apart(draft: &Draft<'_>) {
    for space in draft.spaces.values() {
        for (entry, place) in space.space.servers.iter().zip(&space.servers) {
            let Some((server, _)) = draft.servers.get(&Organization::server_key(&space.space, entry)) else { continue };
            let role = entry.role.as_ref().or(space.space.role.as_ref());
            // A role that isn't there is told of elsewhere.
            let zone = match role {
                Some(role) => match draft.roles.get(role) {
                    Some(role) => role.role.zone.as_ref(),
                    None => continue,
                },
                None => None,
            };
            if server.zone.as_ref() == zone {
                continue;
            }
            let role =
                role.map_or("the space acts in no role".to_owned(), |role| format!("role {role} is {}", TrustZone::told(zone)));
            place.name.warn(
                format!(
                    "server `{}` is {}, and {role}: agents with tokens can't call it",
                    server.name,
                    TrustZone::told(server.zone.as_ref())
                ),
                "give the space a role of the server's zone, or a space of its own to the zone",
            );
        }
    }
}
