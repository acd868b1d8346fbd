//! The organization: everything that one configuration directory says.

use std::collections::BTreeMap;

use crate::{
    AccountId, Agent, AgentId, Alarm, Approvals, Attached, Behaviour, Budget, CloudWatch, Console, Controls, Delivery,
    FindingsAdmitted, GuardrailTarget, Guardrails, Invariant, Issuer, OrganizationalUnit, OuId, RegistryRules, Retention, Role,
    RoleKey, Server, ServerName, Space, SpaceId, Tags, ToolPolicy, TrustRules, User, UserKey, Witnessing,
};

/// A server's place: its account and its name there.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, serde::Serialize, serde::Deserialize)]
pub struct ServerKey {
    /// The account.
    pub account: AccountId,
    /// The name in it.
    pub name: ServerName,
}

impl std::fmt::Display for ServerKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}/{}", self.account, self.name)
    }
}

/// An account of the organization.
#[derive(Debug, Clone, PartialEq)]
pub struct Account {
    /// Its id.
    pub id: AccountId,
    /// Its name, for people.
    pub name: String,
    /// Who administers it, such as an address.
    pub owner: Option<String>,
    /// The unit that it is in; `None` puts it directly below the root.
    pub unit: Option<OuId>,
    /// What is attached to it.
    pub controls: Controls,
    /// The boundary of every role and user of the account that names none: what its administrators can hand out at most.
    pub permissions_boundary: Option<Attached>,
    /// Its tags.
    pub tags: Tags,
}

/// Who has to agree to a change of the configuration.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct ChangeReview {
    /// Whether a change takes effect only once it was approved.
    pub required: bool,
    /// How many different reviewers must approve; the author is never one of them.
    pub approvals: u32,
    /// The reviewers' public keys, as C2SP signed notes write them: `<name>+<key id>+<base64>`; no two of one name.
    pub reviewers: Vec<String>,
}

impl ChangeReview {
    /// The name in a reviewer's key.
    pub fn name_of(key: &str) -> &str {
        key.split_once('+').map_or(key, |(name, _)| name)
    }
}

/// One organization, checked: every name that is mentioned exists.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Organization {
    /// Its id, such as `o-acme`.
    pub id: String,
    /// Its name, for people.
    pub name: String,
    /// The partition of its ARNs, normally `aws`.
    pub partition: String,
    /// Who administers it, such as an address.
    pub owner: Option<String>,
    /// The id of the root of its tree, such as `r-acme`.
    pub root: String,
    /// The management account: service control policies don't apply to it, as in AWS Organizations.
    pub management_account: Option<AccountId>,
    /// What is attached to the root.
    pub controls: Controls,
    /// The organizational units.
    pub units: BTreeMap<OuId, OrganizationalUnit>,
    /// Managed policies by name, with those that Remit ships: what a session may be limited to.
    pub policies: BTreeMap<String, Attached>,
    /// The roles of all accounts.
    pub roles: BTreeMap<RoleKey, Role>,
    /// The users of all accounts.
    pub users: BTreeMap<UserKey, User>,
    /// Its accounts.
    pub accounts: BTreeMap<AccountId, Account>,
    /// The servers registered in them.
    pub servers: BTreeMap<ServerKey, Server>,
    /// The spaces.
    pub spaces: BTreeMap<SpaceId, Space>,
    /// The agents.
    pub agents: BTreeMap<AgentId, Agent>,
    /// External issuers by name.
    pub issuers: BTreeMap<String, Issuer>,
    /// The tool policy registry.
    pub tool_policies: Vec<ToolPolicy>,
    /// Who has to agree to a change of all this; `None`: nobody.
    pub change_review: Option<ChangeReview>,
    /// Which calls wait for people, and for whom.
    pub approvals: Approvals,
    /// Guardrails, and where they are attached.
    pub guardrails: Guardrails,
    /// What must never be possible, whatever else all this says.
    pub invariants: Vec<Invariant>,
    /// How agents earn autonomy; `None`: nobody has a tier.
    pub trust: Option<TrustRules>,
    /// How long records of calls are kept.
    pub retention: Retention,
    /// Who cosigns the log's checkpoints.
    pub witnessing: Option<Witnessing>,
    /// The sandbox profiles, by name; those that servers name are theirs, too.
    pub sandbox_profiles: BTreeMap<String, std::sync::Arc<crate::SandboxProfile>>,
    /// The trust zones, by name.
    pub trust_zones: BTreeMap<String, crate::TrustZone>,
    /// Where records of decisions are delivered.
    pub deliveries: Vec<Delivery>,
    /// What is watched in the decisions, and what is done when it is too much.
    pub alarms: Vec<Alarm>,
    /// How much of what calls cost may be used up.
    pub budgets: Vec<Budget>,
    /// How the behaviour of agents is watched; `None`: it isn't.
    pub behaviour: Option<Behaviour>,
    /// Where metrics of decisions are put; `None`: nowhere.
    pub cloudwatch: Option<CloudWatch>,
    /// How people come to the console.
    pub console: Option<Console>,
    /// How the registry of servers is kept.
    pub registry: RegistryRules,
}

/// The most units between the root and an account (AWS Organizations: five levels below the root).
const DEPTH_MAX: usize = 5;

impl Organization {
    /// The places above a space and itself, from the root down: where a policy that attaches guardrails can stand.
    pub fn guardrail_path(&self, space: &Space) -> Vec<GuardrailTarget> {
        let mut units = Vec::new();
        let mut next = self.accounts.get(&space.account).and_then(|account| account.unit.clone());
        while let Some(id) = next.filter(|id| !units.contains(id)) {
            next = self.units.get(&id).and_then(|unit| unit.parent.clone());
            units.push(id);
        }
        let units = units.into_iter().rev().map(GuardrailTarget::Unit);
        let own = [GuardrailTarget::Account(space.account.clone()), GuardrailTarget::Space(space.id.clone())];
        std::iter::once(GuardrailTarget::Root).chain(units).chain(own).collect()
    }

    /// The units above an account, the highest first. A parent that doesn't exist, a ring and a sixth level end it: those are
    /// refused when a configuration is read.
    pub fn units_above(&self, account: &AccountId) -> Vec<&OrganizationalUnit> {
        let mut above = Vec::new();
        let mut next = self.accounts.get(account).and_then(|account| account.unit.as_ref());
        while let Some(unit) = next.and_then(|id| self.units.get(id)).filter(|_| above.len() < DEPTH_MAX) {
            above.push(unit);
            next = unit.parent.as_ref();
        }
        above.reverse();
        above
    }

    /// An account's path as `aws:PrincipalOrgPaths` has it: `o-acme/r-acme/ou-a/ou-b/`.
    pub fn path(&self, account: &AccountId) -> String {
        let units = self.units_above(account).into_iter().map(|unit| format!("{}/", unit.id));
        format!("{}/{}/{}", self.id, self.root, units.collect::<String>())
    }

    /// What is attached on the way from the root to an account, root first, each with the name of its node.
    pub fn controls_above(&self, account: &AccountId) -> Vec<(String, &Controls)> {
        let mut levels = vec![(format!("root {}", self.root), &self.controls)];
        let units = self.units_above(account).into_iter();
        levels.extend(units.map(|unit| (format!("organizational unit {}", unit.id), &unit.controls)));
        levels.extend(self.accounts.get(account).map(|found| (format!("account {account}"), &found.controls)));
        levels
    }

    /// With which findings tools of an account's servers are admitted at first sight: the strictest of what is said from the root down.
    pub fn findings_admitted(&self, account: &AccountId) -> FindingsAdmitted {
        let said = self.controls_above(account).into_iter().filter_map(|(_, controls)| controls.findings_admitted);
        said.min().unwrap_or_default()
    }

    /// The account of a server that a space uses: the space's own unless the entry names another.
    pub fn server_key(space: &Space, entry: &crate::SpaceServer) -> ServerKey {
        let account = entry.account.as_ref().unwrap_or(&space.account);
        ServerKey { account: account.clone(), name: entry.server.clone() }
    }

    /// The ARN of a space: `arn:aws:aidevops:<region>:<account>:agentspace/<id>`.
    pub fn space_arn(&self, space: &Space) -> String {
        format!("arn:{}:aidevops:{}:{}:agentspace/{}", self.partition, space.region, space.account, space.id)
    }

    /// The ARN of what a server offers as a space sees it: `arn:aws:mcp:<region>:<account>:server/<server>/<kind>/<name>` with the
    /// kinds `tool`, `prompt` and `resource`.
    pub fn offered_arn(&self, space: &Space, server: &ServerKey, kind: &str, name: &str) -> String {
        format!("arn:{}:mcp:{}:{}:server/{}/{kind}/{name}", self.partition, space.region, server.account, server.name)
    }
}
