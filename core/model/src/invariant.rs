//! Invariants: what must never be possible, whatever else a configuration says.

use crate::{AccountId, AgentId, Organization, SpaceId, ToolClass};

/// The agents that an invariant speaks of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AgentsMeant {
    /// Every agent.
    All,
    /// These.
    Only(Vec<AgentId>),
    /// All but these.
    Except(Vec<AgentId>),
    /// Those that none of these spaces lists.
    OutsideSpaces(Vec<SpaceId>),
    /// Those that are of none of these accounts.
    OutsideAccounts(Vec<AccountId>),
}

/// "None of these agents can ever call one of these tools", or not with such arguments.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Invariant {
    /// Its name, unique in the configuration.
    pub name: String,
    /// Where it stands: `file:line`.
    pub origin: String,
    /// Who must never call.
    pub agents: AgentsMeant,
    /// Tools by id, `server___tool`, or by the beginning of one with `*` for the rest. Empty: of any name.
    pub tools: Vec<String>,
    /// Categories, one of which a tool has. Empty: of any.
    pub categories: Vec<String>,
    /// Classes, one of which is the tool's. Empty: of any.
    pub classes: Vec<ToolClass>,
    /// Where they must not be called. Empty: in no space.
    pub spaces: Vec<SpaceId>,
    /// A condition of Cedar over the call: the calls of which it is true are meant. `None`: every call.
    pub when: Option<String>,
    /// Whether calls that people must agree to are not meant: what must never be possible without a person.
    pub without_approval: bool,
}

impl Invariant {
    /// Whether it speaks of an agent.
    pub fn speaks_of_agent(&self, organization: &Organization, agent: &AgentId) -> bool {
        match &self.agents {
            AgentsMeant::All => true,
            AgentsMeant::Only(agents) => agents.contains(agent),
            AgentsMeant::Except(agents) => !agents.contains(agent),
            AgentsMeant::OutsideSpaces(spaces) => {
                !spaces.iter().any(|space| organization.spaces.get(space).is_some_and(|space| space.agents.contains(agent)))
            }
            AgentsMeant::OutsideAccounts(accounts) => {
                !organization.agents.get(agent).is_some_and(|agent| accounts.contains(&agent.account))
            }
        }
    }

    /// Whether it speaks of a space.
    pub fn speaks_of_space(&self, space: &SpaceId) -> bool {
        self.spaces.is_empty() || self.spaces.contains(space)
    }

    /// Whether it speaks of a tool: `id` is its name everywhere, `server___tool`.
    pub fn speaks_of_tool(&self, id: &str, class: ToolClass, categories: &[String]) -> bool {
        let named = |pattern: &String| match pattern.strip_suffix('*') {
            Some(prefix) => id.starts_with(prefix),
            None => id == pattern,
        };
        (self.tools.is_empty() || self.tools.iter().any(named))
            && (self.categories.is_empty() || self.categories.iter().any(|category| categories.contains(category)))
            && (self.classes.is_empty() || self.classes.contains(&class))
    }

    /// Whether it could speak of a tool of this server, of which nothing else is known: `server` is its name.
    pub fn may_speak_of_server(&self, server: &str) -> bool {
        let prefix = format!("{server}{}", crate::TOOL_SEPARATOR);
        let named = |pattern: &String| match pattern.strip_suffix('*') {
            Some(start) => start.starts_with(&prefix) || prefix.starts_with(start),
            None => pattern.starts_with(&prefix),
        };
        self.tools.is_empty() || self.tools.iter().any(named)
    }
}
