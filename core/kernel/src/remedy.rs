//! What would have to change for a denied call to be allowed: for every layer that denies the smallest change, where it stands, and who
//! may make it.
//!
//! A remedy is a proposal for a person, never something that happens by itself. Where a statement nearly allowed, that one is named;
//! where one denies by name, only its author can say whether an exception is meant.

use std::sync::Arc;

use remit_model::{AccountId, Organization, TOOL_SEPARATOR, ToolAdmission};

use crate::facts::{Call, Fact, Facts, Identity, Principal, Target};
use crate::snapshot::{Snapshot, SpaceView};
use crate::tree::{Missing, Near};
use crate::verdict::{Decision, Effect, Layer, LayerLine};

/// One change.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct Remedy {
    /// The layer that denies without it.
    pub layer: Layer,
    /// What to change.
    pub change: String,
    /// Where: file and line, as far as something stands there already.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub at: Option<Arc<str>>,
    /// Who may make it.
    pub by: String,
}

/// The changes that would let a call pass, one for each layer that denies it. The decision must have been explained; none if it allows.
pub fn remedies(snapshot: &Snapshot, facts: &Facts, call: &Call<'_>, decision: &Decision) -> Vec<Remedy> {
    let space = snapshot.spaces.get(call.space).map(Arc::as_ref);
    let principal = match &facts.identity {
        Fact::Known(Identity::Authenticated(principal)) => Some(&**principal),
        _ => None,
    };
    let asked = Asked { organization: &snapshot.organization, space, principal, call, decision };
    // Without a tool there are no arguments to speak of.
    let unknown = matches!(call.target, Target::Tool { .. }) && decision.tool.is_none();
    let denying = decision.layers.iter().filter(|line| !line.effect.agrees());
    denying.filter(|line| !(unknown && line.layer == Layer::ArgumentSchema)).map(|line| asked.remedy(line)).collect()
}

struct Asked<'a> {
    organization: &'a Organization,
    space: Option<&'a SpaceView>,
    principal: Option<&'a Principal>,
    call: &'a Call<'a>,
    decision: &'a Decision,
}

impl Asked<'_> {
    fn remedy(&self, line: &LayerLine) -> Remedy {
        let at = line.origin.clone();
        let (change, at, by) = match line.layer {
            Layer::Identity => {
                ("show a credential that is good, or have the agent let in again".to_owned(), at, self.agent_owner())
            }
            Layer::Space => (self.space_change(line), at, self.account_owner()),
            Layer::ToolPolicy => (self.row_change(line), at, self.account_owner()),
            Layer::ArgumentSchema => (format!("call with other arguments: {}", line.statement.as_str()), at, self.agent_owner()),
            Layer::PolicySet => (self.set_change(line), at, self.account_owner()),
            Layer::Guardrail => (
                "leave out of the arguments what the guardrail blocks, or change what it says, in its next version".to_owned(),
                at,
                self.organization_owner(),
            ),
            Layer::Approval => (
                "make the call: it waits for the approval, which `remit approvals` shows to those who may give it".to_owned(),
                at,
                self.account_owner(),
            ),
            Layer::ServiceControlPolicy | Layer::ResourceControlPolicy => {
                (self.control_change(line), at, self.organization_owner())
            }
            Layer::RoleTrust if line.statement.as_str().contains(" trust zone") => {
                let change = format!(
                    "let space `{}` act in a role of the server's trust zone, or call the server in a space that does",
                    self.call.space
                );
                (change, at, self.account_owner())
            }
            Layer::RoleTrust | Layer::Principal | Layer::PermissionsBoundary | Layer::Session | Layer::Resource => {
                let (change, near) = self.policy_change(line);
                (change, at.or(near), self.role_owner(line.layer))
            }
        };
        Remedy { layer: line.layer, change, at, by }
    }

    fn name(&self) -> &str {
        match self.call.target {
            Target::Tool { name, .. } | Target::Prompt(name) | Target::Resource(name) => name,
        }
    }

    fn agent(&self) -> &str {
        self.principal.map_or("the agent", |principal| principal.agent.as_str())
    }

    fn space_change(&self, line: &LayerLine) -> String {
        let Some(space) = self.space else { return format!("add a space `{}`", self.call.space) };
        if let Some(tool) = &self.decision.tool {
            if line.statement.as_str().starts_with("budget `") {
                return "wait until its period is over, or raise the budget's limit in `budgets`".to_owned();
            }
            if line.statement.as_str().contains("quota") || line.statement.as_str().contains("more than") {
                return "wait, or raise the space's `quotas`".to_owned();
            }
            if tool.class > space.space.class_max {
                return format!("raise the `mandate` of space `{}` to {}", space.space.id, tool.class);
            }
            if tool.pin != crate::PinState::Intact {
                return format!("look at what changed and accept it: `remit pins accept {} {}`", tool.server, tool.name);
            }
        }
        if self.principal.is_some_and(|principal| !space.space.agents.contains(&principal.agent)) {
            return format!("add `{}` to the `agents` of space `{}`", self.agent(), space.space.id);
        }
        let own = self.name().split_once(TOOL_SEPARATOR);
        let entry = own.and_then(|(server, _)| space.space.servers.iter().find(|entry| entry.server.as_str() == server));
        match (own, entry) {
            (Some((server, tool)), Some(entry)) if matches!(entry.tools, ToolAdmission::Listed(_)) => {
                format!("add `{tool}` to the `tools` of server `{server}` in space `{}`, if the server offers it", space.space.id)
            }
            (Some((server, _)), None) => format!("add server `{server}` to the `servers` of space `{}`", space.space.id),
            _ => format!("no server of space `{}` offers `{}`: name one that it has", space.space.id, self.name()),
        }
    }

    fn row_change(&self, line: &LayerLine) -> String {
        let risk = self.decision.risk.map_or("low", remit_model::Risk::as_str);
        match line.effect {
            Effect::ExplicitDeny if line.statement.as_str().contains("is above risk_max") => {
                format!("raise `max_risk` of the row to {risk}, or have the tool's risk lowered")
            }
            Effect::ExplicitDeny => "remove the row that forbids it".to_owned(),
            _ => {
                let name = self.decision.tool.as_ref().map_or(self.name(), |tool| &tool.id);
                format!("add the row {{ agent: {}, tool: {name}, max_risk: {risk} }} to `tool_policies`", self.agent())
            }
        }
    }

    fn set_change(&self, line: &LayerLine) -> String {
        let space = self.space.map_or(self.call.space, |space| space.space.id.as_str());
        if line.effect == Effect::ExplicitDeny {
            return format!("call with other arguments, or make an exception in the policy of space `{space}` that forbids it");
        }
        let tool = self.decision.tool.as_ref().map_or(self.name(), |tool| &tool.id);
        format!("call with other arguments, or let a policy of space `{space}` permit AgentCore::Action::\"{tool}\"")
    }

    fn control_change(&self, line: &LayerLine) -> String {
        match line.effect {
            Effect::ExplicitDeny => "make an exception for this call in the statement that denies it (a condition, or `NotResource`), or move the account to where the policy isn't attached".to_owned(),
            _ => format!("let a policy that is attached there allow {}", self.action()),
        }
    }

    fn action(&self) -> &'static str {
        match self.call.target {
            Target::Tool { .. } => "mcp:CallTool",
            Target::Prompt(_) => "mcp:GetPrompt",
            Target::Resource(_) => "mcp:ReadResource",
        }
    }

    /// What to change in a policy of a role: in the statement that nearly allows, if there is one.
    fn policy_change(&self, line: &LayerLine) -> (String, Option<Arc<str>>) {
        let document = match line.layer {
            Layer::RoleTrust => "the role's trust policy",
            Layer::PermissionsBoundary => "the permissions boundary",
            Layer::Session => "the session's policy",
            Layer::Resource => "the server's `resource_policy`",
            _ => "the role's policies",
        };
        if line.effect == Effect::ExplicitDeny {
            return (format!("make an exception for this call in the statement of {document} that denies it"), None);
        }
        let (action, resource) = asked_of(line.statement.as_str()).unwrap_or((self.action(), "*"));
        let near = self.decision.near.iter().filter(|(layer, _)| *layer == line.layer).map(|(_, near)| near);
        let Some(near) = near.min_by_key(|near| cost(near)) else {
            let statement = format!(r#"{{"Effect":"Allow","Action":"{action}","Resource":"{resource}"}}"#);
            return (format!("add a statement to {document}: {statement}"), None);
        };
        let change = match &near.missing {
            Missing::Resource => format!("add {resource} to the `Resource` of {}", near.label),
            Missing::Principal => format!("add the caller to the `Principal` of {}", near.label),
            Missing::Conditions(unmet) => format!("{} would allow it if this held: {}", near.label, unmet.join(" and ")),
        };
        (change, Some(Arc::clone(&near.origin)))
    }

    fn agent_owner(&self) -> String {
        let agent = self.principal.and_then(|principal| self.organization.agents.get(&principal.agent));
        agent.map_or_else(|| "the owner of the agent".to_owned(), |agent| format!("{}, who owns agent {}", agent.owner, agent.id))
    }

    fn account_owner(&self) -> String {
        self.space.map_or_else(|| self.organization_owner(), |space| self.owner_of(&space.space.account))
    }

    fn owner_of(&self, id: &AccountId) -> String {
        let account = self.organization.accounts.get(id);
        let name = account.map(|account| format!(" ({})", account.name)).unwrap_or_default();
        match account.and_then(|account| account.owner.as_ref()) {
            Some(owner) => format!("{owner}, who administers account {id}{name}"),
            None => format!("an administrator of account {id}{name}"),
        }
    }

    /// A role belongs to the account in which it is, as its session's name says.
    fn role_owner(&self, layer: Layer) -> String {
        let of_server = self.decision.server.as_ref().map(|server| &server.account);
        let acted = self.decision.acted_as.as_ref().and_then(|acted| acted.principal_arn.split(':').nth(4));
        match (layer, of_server, acted.and_then(|account| AccountId::new(account).ok())) {
            (Layer::Resource, Some(account), _) => self.owner_of(account),
            (Layer::PermissionsBoundary, ..) => self.organization_owner(),
            (_, _, Some(account)) => self.owner_of(&account),
            _ => self.account_owner(),
        }
    }

    fn organization_owner(&self) -> String {
        match &self.organization.owner {
            Some(owner) => format!("{owner}, who administers organization {}", self.organization.id),
            None => format!("an administrator of organization {}", self.organization.id),
        }
    }
}

/// Less is changed by a name in a list than by a condition.
fn cost(near: &Near) -> usize {
    match &near.missing {
        Missing::Resource | Missing::Principal => 0,
        Missing::Conditions(unmet) => unmet.len(),
    }
}

/// Action and resource in AWS's sentence.
fn asked_of(statement: &str) -> Option<(&str, &str)> {
    let (_, rest) = statement.split_once(" is not authorized to perform: ")?;
    let (action, rest) = rest.split_once(" on resource: ")?;
    Some((action, rest.split(' ').next()?))
}
