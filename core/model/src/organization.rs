//! The organization: everything that one configuration directory says.

use std::collections::BTreeMap;

use crate::{AccountId, Agent, AgentId, Issuer, Server, ServerName, Space, SpaceId, ToolPolicy};

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
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Account {
    /// Its id.
    pub id: AccountId,
    /// Its name, for people.
    pub name: String,
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
}

impl Organization {
    /// The ARN of a space: `arn:aws:aidevops:<region>:<account>:agentspace/<id>`.
    pub fn space_arn(&self, space: &Space) -> String {
        format!("arn:{}:aidevops:{}:{}:agentspace/{}", self.partition, space.region, space.account, space.id)
    }

    /// The ARN of a server's tool as a space sees it: `arn:aws:mcp:<region>:<account>:server/<server>/tool/<tool>`.
    pub fn tool_arn(&self, space: &Space, server: &ServerName, tool: &str) -> String {
        format!("arn:{}:mcp:{}:{}:server/{}/tool/{}", self.partition, space.region, space.account, server, tool)
    }
}
