//! "Can they?" and "who can?": the same decisions, asked for everybody, with the path on which each gets there.
//!
//! What depends on something that isn't known beforehand (an address, a claim) counts as no: Remit would refuse it too until it is known.

use remit_identity::sts::AssumeRole;
use remit_model::{Agent, AgentCredential, AgentId, Organization, Role, RoleKey};
use std::sync::Arc;

use crate::assume::{Caller, assume_role, authorize, caller_identity};
use crate::context::Origin;
use crate::decide::decide;
use crate::facts::{Call, Facts, Revocations, Session, SessionOf, Target};
use crate::snapshot::{Snapshot, SpaceView};
use crate::verdict::{LayerLine, Verdict};

/// The most sessions that are tried in a chain: space to role, role to role.
const EXTERNAL_IDS_MAX: usize = 16;

/// One way in which somebody reaches something.
#[derive(Debug, Clone, PartialEq, serde::Serialize)]
pub struct Access {
    /// Who: `agent <id>`, `user <ARN>`, `role <ARN>` or `space <ARN>`.
    pub who: String,
    /// As which principal in the end.
    pub acts_as: String,
    /// Step by step.
    pub path: Vec<String>,
    /// What each layer says.
    pub layers: Vec<LayerLine>,
    /// Whether it is allowed.
    pub allowed: bool,
}

/// Every way in which anybody could try an action on a resource, allowed or not. `mcp:` actions are tried as agents would call, others as
/// users and roles would. Times are in seconds since the epoch.
pub fn ways(snapshot: &Snapshot, action: &str, resource: &str, revocations: &Revocations, now_secs: u64) -> Vec<Access> {
    let asked = Asked { snapshot, action, resource, revocations, now_secs };
    let mut ways = match action.to_ascii_lowercase().as_str() {
        "mcp:calltool" | "mcp:getprompt" | "mcp:readresource" => asked.calls(),
        "sts:assumerole" => asked.assumptions(),
        _ => asked.others(),
    };
    ways.sort_by(|a, b| b.allowed.cmp(&a.allowed).then_with(|| (&a.who, &a.path).cmp(&(&b.who, &b.path))));
    ways
}

/// Whether `who` is the one that a way is of: an agent's id, or an ARN of a user, a role, a role's session or a space.
pub fn is_of(way: &Access, who: &str) -> bool {
    let (_, named) = way.who.split_once(' ').unwrap_or(("", &way.who));
    named == who || way.acts_as == who || way.path.iter().any(|step| step.split(' ').any(|part| part == who))
}

struct Asked<'a> {
    snapshot: &'a Snapshot,
    action: &'a str,
    resource: &'a str,
    revocations: &'a Revocations,
    now_secs: u64,
}

impl Asked<'_> {
    fn organization(&self) -> &Organization {
        &self.snapshot.organization
    }

    /// Agents, in every space that offers what the ARN names: by token in the space's role, by signature in a role of theirs.
    fn calls(&self) -> Vec<Access> {
        let mut ways = Vec::new();
        let mut spaces: Vec<&SpaceView> = self.snapshot.spaces.values().map(Arc::as_ref).collect();
        spaces.sort_by(|a, b| a.space.id.cmp(&b.space.id));
        for space in spaces {
            for name in self.offered(space) {
                for agent in space.space.agents.iter().filter_map(|id| self.organization().agents.get(id)) {
                    let sessions = std::iter::once(None).chain(self.sessions(agent).into_iter().map(Some));
                    ways.extend(sessions.map(|session| self.call(space, &name, agent, session)));
                }
            }
        }
        ways
    }

    /// The names under which a space offers what an ARN names.
    fn offered(&self, space: &SpaceView) -> Vec<Offered> {
        let tools = space.tools_listed.iter().filter(|tool| tool.arn == self.resource);
        let tools = tools.map(|tool| Offered::Tool(tool.exposed.as_str().to_owned()));
        let arn = |kind: &str, listed: &crate::snapshot::ListedView| {
            self.organization().offered_arn(&space.space, &listed.server, kind, &listed.name) == self.resource
        };
        let prompts = space.prompts.iter().filter(|listed| arn("prompt", listed));
        let resources = space.resources.iter().filter(|listed| arn("resource", listed));
        tools
            .chain(prompts.map(|listed| Offered::Prompt(listed.exposed.clone())))
            .chain(resources.map(|listed| Offered::Resource(listed.exposed.clone())))
            .collect()
    }

    /// The sessions in which an agent may sign its requests.
    fn sessions(&self, agent: &Agent) -> Vec<Session> {
        let roles = agent.credentials.iter().filter_map(|credential| match credential {
            AgentCredential::Role { role, session_name } => Some((role, session_name)),
            _ => None,
        });
        let known = roles.filter(|(role, _)| self.organization().roles.contains_key(*role));
        known.map(|(role, name)| self.session(SessionOf::Role(role.clone()), name.as_deref().unwrap_or("session"))).collect()
    }

    fn session(&self, who: SessionOf, name: &str) -> Session {
        Session {
            id: "ASIA".to_owned(),
            who,
            name: name.to_owned(),
            issued_at_secs: self.now_secs,
            expires_at_secs: u64::MAX,
            chained: false,
            tags: Vec::new(),
            source_identity: None,
            policies: Vec::new(),
            policy_documents: Vec::new(),
            user: None,
            via: Vec::new(),
        }
    }

    fn call(&self, space: &SpaceView, name: &Offered, agent: &Agent, session: Option<Session>) -> Access {
        let signed = session.as_ref().and_then(|session| match &session.who {
            SessionOf::Role(role) => self.organization().roles.get(role),
            SessionOf::User(_) => None,
        });
        let mut path = vec![format!("space {}", space.space.id)];
        let own = space.space.role.as_ref().and_then(|key| self.organization().roles.get(key));
        let arn = |role: &Role| role.arn(&self.organization().partition);
        match (signed, own) {
            (Some(role), _) => path.push(format!("signs as role {}", arn(role))),
            (None, Some(role)) => path.push(format!("role {}", arn(role))),
            (None, None) => path.push("no role".to_owned()),
        }
        let entry =
            space.servers.iter().find(|(key, _)| self.resource.contains(&format!(":{}:server/{}/", key.account, key.name)));
        let theirs = entry.and_then(|(_, entry)| self.organization().roles.get(entry.role.as_ref()?));
        path.extend(theirs.map(|role| format!("assumes role {}", arn(role))));
        let facts = self.facts(&agent.id, session);
        let call = Call { space: space.space.id.as_str(), target: name.target(), risk_requested: None, explain: true };
        let decision = decide(self.snapshot, &facts, &call, self.now_secs);
        Access {
            who: format!("agent {}", agent.id),
            acts_as: decision.acted_as.as_ref().map_or_else(String::new, |acted| acted.principal_arn.clone()),
            path,
            allowed: matches!(decision.verdict, Verdict::Allow(_)),
            layers: decision.layers,
        }
    }

    fn facts(&self, agent: &AgentId, session: Option<Session>) -> Facts {
        Facts::supposed(agent, session.map(Arc::new), Arc::new(self.revocations.clone()))
    }

    /// Users and roles, and spaces for the roles that they are configured to act in.
    fn assumptions(&self) -> Vec<Access> {
        let Some(role) = RoleKey::of_arn(self.resource).and_then(|key| self.organization().roles.get(&key)) else {
            return Vec::new();
        };
        let ids = role.trust.statements().iter().flat_map(|statement| statement.conditions());
        let ids = ids.filter(|condition| condition.key().eq_ignore_ascii_case("sts:externalid"));
        let ids: Vec<String> = ids.flat_map(|condition| condition.values().map(str::to_owned).collect::<Vec<_>>()).collect();
        let tries: Vec<Option<String>> = std::iter::once(None).chain(ids.into_iter().take(EXTERNAL_IDS_MAX).map(Some)).collect();
        let sessions = self.everybody().into_iter().filter(|session| session.who != SessionOf::Role(role.key.clone()));
        sessions.map(|session| self.assumption(role, &session, &tries)).collect()
    }

    /// A session of each user and each role.
    fn everybody(&self) -> Vec<Session> {
        let users = self.organization().users.keys();
        let users = users.map(|key| self.session(SessionOf::User(key.clone()), key.name.as_str()));
        let roles = self.organization().roles.keys().map(|key| self.session(SessionOf::Role(key.clone()), "session"));
        users.chain(roles).collect()
    }

    /// With the first external id that helps, if one does.
    fn assumption(&self, role: &Role, session: &Session, external_ids: &[Option<String>]) -> Access {
        let attempt = |external_id: &Option<String>| {
            let asked = AssumeRole {
                role_arn: self.resource.to_owned(),
                session_name: "session".to_owned(),
                duration_secs: None,
                policy: None,
                policy_arns: Vec::new(),
                tags: Vec::new(),
                external_id: external_id.clone(),
                source_identity: None,
            };
            let done = assume_role(self.snapshot, Caller::Session(session), &asked, &Origin::default(), self.now_secs);
            (external_id.clone(), done)
        };
        let mut tried: Vec<_> = external_ids.iter().map(attempt).collect();
        let found = tried.iter().position(|(_, done)| done.outcome.is_ok()).unwrap_or(0);
        let (external_id, done) = tried.swap_remove(found);
        let mut path: Vec<String> = external_id.map(|id| format!("with the external id {id}")).into_iter().collect();
        path.push(format!("role {}", role.arn(&self.organization().partition)));
        let (who, acts_as) = self.named(session);
        let acts_as = done.outcome.as_ref().map_or(acts_as, |granted| granted.arn.clone());
        Access { who, acts_as, path, layers: done.layers, allowed: done.outcome.is_ok() }
    }

    fn named(&self, session: &Session) -> (String, String) {
        let arn = caller_identity(self.organization(), session).map(|(arn, ..)| arn).unwrap_or_default();
        match &session.who {
            SessionOf::User(_) => (format!("user {arn}"), arn),
            SessionOf::Role(key) => {
                let role = self.organization().roles.get(key).map(|role| role.arn(&self.organization().partition));
                (format!("role {}", role.unwrap_or_default()), arn)
            }
        }
    }

    /// Users and roles, by their own policies.
    fn others(&self) -> Vec<Access> {
        let account = self.resource.split(':').nth(4).and_then(|account| remit_model::AccountId::new(account).ok());
        let ways = self.everybody().into_iter().map(|session| {
            let (who, acts_as) = self.named(&session);
            let own = match &session.who {
                SessionOf::User(key) => &key.account,
                SessionOf::Role(key) => &key.account,
            };
            let account = account.as_ref().unwrap_or(own);
            let resource = (self.resource, account, None);
            let (allowed, layers) = authorize(self.snapshot, &session, self.action, resource, &Origin::default(), self.now_secs);
            Access { who, acts_as, path: Vec::new(), layers, allowed: allowed.is_ok() }
        });
        ways.collect()
    }
}

/// Something that a space offers, by the name that clients use there.
enum Offered {
    Tool(String),
    Prompt(String),
    Resource(String),
}

impl Offered {
    fn target(&self) -> Target<'_> {
        match self {
            Self::Tool(name) => Target::Tool { name, arguments: None },
            Self::Prompt(name) => Target::Prompt(name),
            Self::Resource(uri) => Target::Resource(uri),
        }
    }
}
