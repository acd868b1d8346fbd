//! What a case supposes to be otherwise than the configuration says: guardrails are for what somebody may change one day.

use std::collections::BTreeSet;

use remit_config::did_you_mean;
use remit_config::item::{Item, shown};
use remit_model::{Organization, OuId, Region, RoleKey, SpaceId, TOOL_SEPARATOR, ToolAdmission, ToolClass};

use super::expect::one_or_many;
use super::read::Known;

/// The keys of a supposition.
const KEYS: &[&str] = &["region", "mandate", "organizational_unit", "role", "external_id", "tools"];
/// The words for a mandate.
const CLASSES: [(&str, ToolClass); 3] =
    [("READ_ONLY", ToolClass::ReadOnly), ("MUTATIVE", ToolClass::Mutative), ("DESTRUCTIVE", ToolClass::Destructive)];

/// A space as it would be.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Suppose {
    /// Whose space it is.
    pub(crate) space: SpaceId,
    region: Option<Region>,
    mandate: Option<ToolClass>,
    unit: Option<OuId>,
    role: Option<RoleKey>,
    /// What goes with assuming roles of other accounts.
    external_id: Option<String>,
    /// Servers by their place among the space's, and their own tools, listed too.
    tools: BTreeSet<(usize, String)>,
}

impl Suppose {
    /// The organization, changed so, with this space and its servers alone: the others are compiled without the supposition.
    pub(crate) fn applied(&self, organization: &Organization) -> Organization {
        let mut changed = organization.clone();
        changed.spaces.retain(|id, _| *id == self.space);
        let used: Vec<_> = changed
            .spaces
            .values()
            .flat_map(|space| space.servers.iter().map(|entry| Organization::server_key(space, entry)))
            .collect();
        changed.servers.retain(|key, _| used.contains(key));
        let Some(space) = changed.spaces.get_mut(&self.space) else { return changed };
        if let Some(region) = &self.region {
            space.region = region.clone();
        }
        if let Some(mandate) = self.mandate {
            space.class_max = mandate;
        }
        if let Some(role) = &self.role {
            space.role = Some(role.clone());
        }
        for entry in space.servers.iter_mut().filter(|entry| entry.role.is_some() && self.external_id.is_some()) {
            entry.external_id.clone_from(&self.external_id);
        }
        for (place, tool) in &self.tools {
            if let Some(ToolAdmission::Listed(tools)) = space.servers.get_mut(*place).map(|entry| &mut entry.tools) {
                tools.push(tool.clone());
            }
        }
        let account = space.account.clone();
        if let Some((unit, account)) = self.unit.as_ref().zip(changed.accounts.get_mut(&account)) {
            account.unit = Some(unit.clone());
        }
        changed
    }

    /// Reads what is supposed of a space.
    pub(super) fn read(item: &Item<'_>, space: &str, known: &Known<'_>) -> Option<Self> {
        let organization = known.organization;
        let object = item.object("a supposition", KEYS)?;
        let found = organization.spaces.get(space)?;
        let unit = match object.get("organizational_unit") {
            None => None,
            Some(item) => {
                let id = item.id(OuId::new)?;
                if !organization.units.contains_key(&id) {
                    let near = did_you_mean(id.as_str(), organization.units.keys().map(OuId::as_str));
                    item.error(format!("there is no organizational unit `{id}`{near}"), "name one of this configuration");
                    return None;
                }
                Some(id)
            }
        };
        let role = match object.get("role") {
            None => None,
            Some(item) => {
                let text = item.text()?;
                let key = RoleKey::of_arn(text).filter(|key| organization.roles.contains_key(key));
                if key.is_none() {
                    let arns: Vec<String> = organization.roles.values().map(|role| role.arn(&organization.partition)).collect();
                    let near = did_you_mean(text, arns.iter().map(String::as_str));
                    item.error(
                        format!("{} is no role's ARN here{near}", shown(text)),
                        "write `arn:aws:iam::<account>:role/<name>`",
                    );
                }
                Some(key?)
            }
        };
        let mut tools = BTreeSet::new();
        for (name, item) in object.get("tools").map(|list| one_or_many(&list, "tools")).unwrap_or_default() {
            tools.insert(tool(known, found, name, &item)?);
        }
        Some(Self {
            space: found.id.clone(),
            region: object.get("region").map_or(Some(None), |item| item.id(Region::new).map(Some))?,
            mandate: object.get("mandate").map_or(Some(None), |item| item.choice(&CLASSES).map(Some))?,
            unit,
            role,
            external_id: object.get("external_id").map_or(Some(None), |item| external_id(&item, found).map(Some))?,
            tools,
        })
    }
}

/// An external id, for a space that assumes a role with one.
fn external_id(item: &Item<'_>, space: &remit_model::Space) -> Option<String> {
    if !space.servers.iter().any(|entry| entry.role.is_some()) {
        item.error(format!("space `{}` assumes no role of another account", space.id), "leave `external_id` out");
        return None;
    }
    item.text().map(str::to_owned)
}

/// A tool that a server of the space has and the space doesn't list.
fn tool(known: &Known<'_>, space: &remit_model::Space, name: &str, item: &Item<'_>) -> Option<(usize, String)> {
    let own = name.split_once(TOOL_SEPARATOR);
    let place = own.and_then(|(server, _)| space.servers.iter().position(|entry| entry.server.as_str() == server));
    let Some(((_, base), place)) = own.zip(place) else {
        let servers: Vec<&str> = space.servers.iter().map(|entry| entry.server.as_str()).collect();
        let mend = format!("write `server{TOOL_SEPARATOR}tool` with one of {}", servers.join(", "));
        item.error(format!("{} is no tool of a server of space `{}`", shown(name), space.id), mend);
        return None;
    };
    let entry = space.servers.get(place)?;
    let server = Organization::server_key(space, entry);
    let Some(own) = known.own_name(&server, base) else {
        let names = known.names(&server);
        let near = did_you_mean(base, names.iter().map(String::as_str));
        item.error(format!("server {server} has no tool {}{near}", shown(base)), "name one that is in `tools.lock.json`");
        return None;
    };
    let listed = match &entry.tools {
        ToolAdmission::All => true,
        ToolAdmission::Listed(tools) => tools.contains(&own),
    };
    if listed {
        item.error(format!("space `{}` lists {} already", space.id, shown(name)), "leave it out");
        return None;
    }
    Some((place, own))
}
