//! The organization as the operator's interface tells it: the tree with what is attached, spaces, agents, servers and roles.

use std::sync::Arc;

use remit_iam::Policy;
use remit_kernel::Snapshot;
use remit_model::{Attached, Controls, Organization, RoleKey};
use serde_json::{Value, json};

fn names(attached: &[Attached]) -> Vec<&str> {
    attached.iter().map(|policy| policy.name.as_str()).collect()
}

/// What is attached to a node. A node that says nothing has what AWS Organizations attaches to every one.
fn controls(controls: &Controls) -> Value {
    let names = |attached: &Option<Vec<Arc<Policy>>>, default: &str| match attached {
        None => vec![default.to_owned()],
        Some(policies) => policies.iter().map(|policy| policy.name().to_string()).collect(),
    };
    json!({
        "service_control_policies": names(&controls.service_control, "FullAWSAccess"),
        "resource_control_policies": names(&controls.resource_control, "RCPFullAWSAccess"),
    })
}

/// All of it.
pub(crate) fn told(snapshot: &Snapshot) -> Value {
    let organization = &*snapshot.organization;
    let partition = &organization.partition;
    let arn = |key: &RoleKey| organization.roles.get(key).map(|role| role.arn(partition));
    let units: Vec<Value> = organization
        .units
        .values()
        .map(|unit| json!({"id": unit.id, "name": unit.name, "parent": unit.parent, "controls": controls(&unit.controls)}))
        .collect();
    let accounts: Vec<Value> = organization
        .accounts
        .values()
        .map(|account| {
            json!({
                "id": account.id, "name": account.name, "owner": account.owner, "unit": account.unit,
                "controls": controls(&account.controls), "management": organization.management_account.as_ref() == Some(&account.id),
                "permissions_boundary": account.permissions_boundary.as_ref().map(|policy| policy.name.as_str()),
            })
        })
        .collect();
    let mut spaces: Vec<Value> = Vec::new();
    for space in organization.spaces.values() {
        let view = snapshot.spaces.get(space.id.as_str());
        spaces.push(json!({
            "id": space.id.as_str(), "account": space.account, "region": space.region.as_str(), "arn": view.map(|view| &view.arn),
            "mandate": space.class_max, "agents": space.agents, "role": space.role.as_ref().and_then(arn),
            "tools": view.map_or(0, |view| view.tools_listed.len()), "policy_set": space.policy_set.is_some(),
        }));
    }
    json!({
        "id": organization.id, "name": organization.name, "partition": partition, "root": organization.root,
        "owner": organization.owner, "controls": controls(&organization.controls), "units": units, "accounts": accounts,
        "spaces": spaces, "agents": agents(organization), "roles": roles(organization), "servers": servers(organization),
        "snapshot": snapshot.version,
    })
}

fn agents(organization: &Organization) -> Vec<Value> {
    let one = |agent: &remit_model::Agent| {
        let spaces: Vec<&str> = organization
            .spaces
            .values()
            .filter(|space| space.agents.contains(&agent.id))
            .map(|space| space.id.as_str())
            .collect();
        json!({
            "id": agent.id.as_str(), "account": agent.account, "owner": agent.owner, "suspended": agent.suspended, "spaces": spaces,
        })
    };
    organization.agents.values().map(one).collect()
}

fn roles(organization: &Organization) -> Vec<Value> {
    let one = |role: &remit_model::Role| {
        let boundary = role.permissions_boundary.as_ref().map(|policy| policy.name.as_str());
        json!({
            "arn": role.arn(&organization.partition), "account": role.key.account, "name": role.key.name.as_str(),
            "description": role.description, "policies": names(&role.policies), "permissions_boundary": boundary,
        })
    };
    organization.roles.values().map(one).collect()
}

fn servers(organization: &Organization) -> Vec<Value> {
    let one =
        |key: &remit_model::ServerKey| json!({"server": key.to_string(), "account": key.account, "name": key.name.as_str()});
    organization.servers.keys().map(one).collect()
}
