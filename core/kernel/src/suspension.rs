//! Kill switches: what an operator has stopped until somebody lets it go on, whatever the configuration says.

use std::collections::BTreeMap;

use remit_model::ServerKey;
use serde::{Deserialize, Serialize};

/// What can be stopped.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Suspended {
    /// An agent, by its id: all of its calls, in every space.
    Agent(String),
    /// A space, by its id: nobody enters it.
    Space(String),
    /// A server: nothing of it is listed or called.
    Server(ServerKey),
    /// A tool, by its server and the server's own name for it.
    Tool(ServerKey, String),
    /// A user, as tokens name them: no agent acts for them any more.
    User(String),
}

impl std::fmt::Display for Suspended {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Agent(id) => write!(f, "agent `{id}`"),
            Self::Space(id) => write!(f, "space `{id}`"),
            Self::Server(key) => write!(f, "server `{key}`"),
            Self::Tool(key, name) => write!(f, "tool `{name}` of server `{key}`"),
            Self::User(user) => write!(f, "delegations of user `{user}`"),
        }
    }
}

/// Who stopped something, why and when.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Suspension {
    /// Who.
    pub by: String,
    /// Why.
    pub reason: String,
    /// When, in seconds since the epoch.
    pub at_secs: u64,
}

/// Everything that is stopped.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Suspensions {
    /// Agents by id.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub agents: BTreeMap<String, Suspension>,
    /// Spaces by id.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub spaces: BTreeMap<String, Suspension>,
    /// Servers by account and name: `111122223333/helpdesk`.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub servers: BTreeMap<String, Suspension>,
    /// Tools by server and name: `111122223333/helpdesk/close_ticket`.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub tools: BTreeMap<String, Suspension>,
    /// Users on whose behalf nobody may act.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub users: BTreeMap<String, Suspension>,
}

impl Suspensions {
    /// Whether nothing is stopped.
    pub fn is_empty(&self) -> bool {
        self.agents.is_empty()
            && self.spaces.is_empty()
            && self.servers.is_empty()
            && self.tools.is_empty()
            && self.users.is_empty()
    }

    /// How many things are stopped.
    pub fn len(&self) -> usize {
        self.agents.len() + self.spaces.len() + self.servers.len() + self.tools.len() + self.users.len()
    }

    /// Stops something. What is stopped already stays so, as it was said first.
    pub fn suspend(&mut self, what: &Suspended, suspension: Suspension) {
        let (of_its_kind, key) = self.place(what);
        of_its_kind.entry(key).or_insert(suspension);
    }

    /// Lets something go on; what was said when it was stopped, if it was.
    pub fn resume(&mut self, what: &Suspended) -> Option<Suspension> {
        let (of_its_kind, key) = self.place(what);
        of_its_kind.remove(&key)
    }

    fn place(&mut self, what: &Suspended) -> (&mut BTreeMap<String, Suspension>, String) {
        match what {
            Suspended::Agent(id) => (&mut self.agents, id.clone()),
            Suspended::Space(id) => (&mut self.spaces, id.clone()),
            Suspended::Server(key) => (&mut self.servers, key.to_string()),
            Suspended::Tool(key, name) => (&mut self.tools, format!("{key}/{name}")),
            Suspended::User(user) => (&mut self.users, user.clone()),
        }
    }

    /// Why a caller is stopped: its agent, or the user for whom it acts.
    pub fn caller(&self, agent: &str, user: Option<&str>) -> Option<String> {
        let agent = self.agents.get(agent).map(|said| told(&Suspended::Agent(agent.to_owned()), said));
        agent.or_else(|| user.and_then(|user| self.users.get(user).map(|said| told(&Suspended::User(user.to_owned()), said))))
    }

    /// Why a space is stopped.
    pub fn space(&self, space: &str) -> Option<String> {
        self.spaces.get(space).map(|said| told(&Suspended::Space(space.to_owned()), said))
    }

    /// Why a server, or one of its tools, is stopped.
    pub fn offered(&self, server: &ServerKey, tool: Option<&str>) -> Option<String> {
        if self.servers.is_empty() && self.tools.is_empty() {
            return None;
        }
        let key = server.to_string();
        if let Some(said) = self.servers.get(&key) {
            return Some(told(&Suspended::Server(server.clone()), said));
        }
        let tool = tool.filter(|_| !self.tools.is_empty())?;
        let said = self.tools.get(&format!("{key}/{tool}"))?;
        Some(told(&Suspended::Tool(server.clone(), tool.to_owned()), said))
    }
}

fn told(what: &Suspended, said: &Suspension) -> String {
    format!("{what} was suspended by {}: {}", said.by, said.reason)
}
