//! What the shell gathered before a decision. A fact that could not be gathered is [`Fact::Unknown`].

use std::collections::BTreeMap;
use std::sync::Arc;

use remit_cedar::{Bindings, Claims};
use remit_mcp::Message;
use remit_mcp::json::{self, JsonError, Limits};
use remit_model::{AgentId, CallOrigin, Risk, RoleKey, ServerKey, ToolClass, TrustTier, UserKey};

use crate::approval::Approval;
use crate::context::Origin;
use crate::guardrail::Answers;
use crate::suspension::Suspensions;
use crate::trust::Tiers;
use crate::verdict::{Denial, Layer, Reason};

/// Something that had to be found out.
#[derive(Debug, Clone, PartialEq)]
pub enum Fact<T> {
    /// It is so.
    Known(T),
    /// It could not be found out, and why: the kernel denies.
    Unknown(String),
}

impl<T> Fact<T> {
    /// What it is, as far as it is known: for whoever only tells it, or where another layer denies what isn't.
    pub fn known(&self) -> Option<&T> {
        match self {
            Self::Known(what) => Some(what),
            Self::Unknown(_) => None,
        }
    }
}

/// Who calls, proved.
#[derive(Debug, Clone, PartialEq)]
pub struct Principal {
    /// The agent.
    pub agent: AgentId,
    /// The user for whom it acts, if the token names one.
    pub user: Option<String>,
    /// The id of the credential (`jti`), for the journal and for revocation.
    pub credential_id: String,
    /// The audiences that the credential is for: addresses of spaces.
    pub audiences: Vec<String>,
    /// Until when the credential is good, in seconds since the epoch.
    pub expires_at_secs: u64,
    /// The highest class of tool that the credential's scopes reach; `None` if it isn't narrowed.
    pub class_max: Option<ToolClass>,
    /// When the credential was issued, in seconds since the epoch.
    pub issued_at_secs: u64,
    /// The session whose key pair signed the request; `None` for tokens, whose bearer acts in the space's role.
    pub session: Option<Arc<Session>>,
    /// What the token claims, for policy sets: texts, numbers and truth values by name, lists joined with spaces. Empty for signers.
    pub claims: Arc<Claims>,
}

impl Principal {
    /// The ids by which its credential can be revoked: its own, and for a session those of the keys that it was got with.
    pub fn credential_ids(&self) -> Vec<&str> {
        let via = self.session.as_ref().map(|session| session.via.as_slice()).unwrap_or_default();
        std::iter::once(self.credential_id.as_str()).chain(via.iter().map(String::as_str)).collect()
    }

    /// The role that it acts in: its session's, and without a session `own`, the role of the space.
    pub fn role<'a>(&'a self, own: Option<&'a RoleKey>) -> Option<&'a RoleKey> {
        self.session.as_ref().map_or(own, |session| session.role())
    }
}

/// A session of a role or of a user: short-lived credentials, and what was said when they were issued.
#[derive(Debug, Clone, PartialEq)]
pub struct Session {
    /// The id of its access key, by which it is revoked.
    pub id: String,
    /// Whose session it is.
    pub who: SessionOf,
    /// Its name (`RoleSessionName`); a user's session bears the user's name.
    pub name: String,
    /// When it began, in seconds since the epoch.
    pub issued_at_secs: u64,
    /// When it ends.
    pub expires_at_secs: u64,
    /// Whether it was assumed from another session: from here on an hour is the longest.
    pub chained: bool,
    /// Its tags.
    pub tags: Vec<remit_identity::sts::Tag>,
    /// Who is behind it, whatever roles are assumed on the way.
    pub source_identity: Option<String>,
    /// Its session policies: all of them together limit it as one.
    pub policies: Vec<Arc<remit_iam::Policy>>,
    /// The documents that those were read from, in their order: JSON text, so that a decision can be kept whole. Empty where nobody keeps any.
    pub policy_documents: Vec<Arc<str>>,
    /// The user whom an identity provider vouched for when the session was issued.
    pub user: Option<String>,
    /// The ids of the keys that it was got with, the first first: revoking one of them ends it too.
    pub via: Vec<String>,
}

impl Session {
    /// The role whose session it is; none of a user's.
    pub fn role(&self) -> Option<&RoleKey> {
        match &self.who {
            SessionOf::Role(role) => Some(role),
            SessionOf::User(_) => None,
        }
    }
}

/// Whose a session is.
#[derive(Debug, Clone, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SessionOf {
    /// A role's.
    Role(RoleKey),
    /// A user's: long-term keys, or what GetSessionToken gave for them.
    User(UserKey),
}

/// What has been revoked. A credential that was issued at the very second of a revocation is revoked too.
#[derive(Debug, Clone, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(default)]
pub struct Revocations {
    /// Single credentials, by the token's or the access key's id, with the time until which they must be remembered.
    pub credentials: BTreeMap<String, u64>,
    /// Agents: what was issued up to this time is revoked. Times are in seconds since the epoch.
    pub agents: BTreeMap<String, u64>,
    /// Roles, by account and name, likewise.
    pub roles: BTreeMap<String, u64>,
    /// Everything, likewise.
    pub everything: Option<u64>,
    /// What is stopped until somebody lets it go on.
    #[serde(skip_serializing_if = "Suspensions::is_empty")]
    pub suspended: Suspensions,
}

impl Revocations {
    /// Why a credential is revoked, or nothing. `credential_ids` are its own and those that it was got with, `role` the role that is
    /// acted in.
    pub fn find(
        &self,
        credential_ids: &[&str],
        agent: Option<&str>,
        role: Option<&RoleKey>,
        issued_at_secs: u64,
    ) -> Option<&'static str> {
        let up_to = |time: Option<&u64>| time.is_some_and(|time| issued_at_secs <= *time);
        if !self.credentials.is_empty() && credential_ids.iter().any(|id| self.credentials.contains_key(*id)) {
            return Some("the credential was revoked");
        }
        if up_to(self.everything.as_ref()) {
            return Some("everything that was issued up to then was revoked");
        }
        if agent.is_some_and(|agent| up_to(self.agents.get(agent))) {
            return Some("the agent's credentials were revoked");
        }
        if role.is_some_and(|role| !self.roles.is_empty() && up_to(self.roles.get(&role.to_string()))) {
            return Some("the role's sessions were revoked");
        }
        None
    }

    /// Why a call that is under way is cut, if it is: who calls, or what is called, has been revoked or suspended since it was let
    /// through. `own` is the role of its space; `tool` the server's own name for it.
    pub fn cuts(
        &self,
        principal: &Principal,
        own: Option<&RoleKey>,
        space: &str,
        server: &ServerKey,
        tool: Option<&str>,
    ) -> Option<Denial> {
        let (role, agent) = (principal.role(own), principal.agent.as_str());
        let denial = |reason, layer, statement: String| Some(Denial { reason, layer, statement });
        if let Some(why) = self.find(&principal.credential_ids(), Some(agent), role, principal.issued_at_secs) {
            return denial(Reason::Revoked, Layer::Identity, why.to_owned());
        }
        if self.suspended.is_empty() {
            return None;
        }
        if let Some(why) = self.suspended.caller(agent, principal.user.as_deref()) {
            return denial(Reason::Suspended, Layer::Identity, why);
        }
        let why = self.suspended.space(space).or_else(|| self.suspended.offered(server, tool))?;
        denial(Reason::Suspended, Layer::Space, why)
    }

    /// What of them could concern this caller, in whatever role it acts.
    pub(crate) fn about(&self, identity: &Fact<Identity>) -> Self {
        let Fact::Known(Identity::Authenticated(principal)) = identity else { return Self::default() };
        let of = |all: &BTreeMap<String, u64>, ids: &[&str]| {
            ids.iter().filter_map(|id| all.get_key_value(*id)).map(|(id, until)| (id.clone(), *until)).collect()
        };
        Self {
            credentials: of(&self.credentials, &principal.credential_ids()),
            agents: of(&self.agents, &[principal.agent.as_str()]),
            roles: self.roles.clone(),
            everything: self.everything,
            suspended: self.suspended.clone(),
        }
    }

    /// Forgets credentials that are dead anyhow.
    pub fn forget(&mut self, now_secs: u64) {
        self.credentials.retain(|_, until| *until >= now_secs);
    }
}

/// Whether the caller could be authenticated.
#[derive(Debug, Clone, PartialEq)]
pub enum Identity {
    /// It is this principal.
    Authenticated(Arc<Principal>),
    /// It showed nothing, or something that isn't valid; the text says what, without the credential.
    Rejected(String),
}

/// What one agent uses of one tool right now, this call counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct QuotaUse {
    /// Calls under way.
    pub calls_concurrent: u32,
    /// Calls started in the last minute.
    pub calls_per_minute: u32,
}

/// Everything that a decision needs besides the configuration and the call.
#[derive(Debug, Clone, PartialEq)]
pub struct Facts {
    /// Who calls.
    pub identity: Fact<Identity>,
    /// The address of the space, as tokens must name it.
    pub audience: Arc<str>,
    /// What is used of the space's quotas.
    pub quota: Fact<QuotaUse>,
    /// What was used up of the budgets that the call counts against; nothing where it counts against none.
    pub budgets: Fact<Vec<crate::budget::BudgetUse>>,
    /// From where the request came.
    pub origin: Origin,
    /// What has been revoked.
    pub revocations: Fact<Arc<Revocations>>,
    /// The policy session, and what its history says.
    pub policy_session: PolicySession,
    /// How far the agent is trusted, as far as it differs from how everybody begins; nothing where trust isn't configured.
    pub trust: Fact<Arc<Tiers>>,
    /// Approvals that this caller has of this tool, in the order in which they are to be used; none where no rule asks for any.
    pub approvals: Fact<Vec<Arc<Approval>>>,
    /// What the session has touched, and what stands behind the values of the call; nothing where no rule reads it.
    pub provenance: Fact<Option<Arc<CallOrigin>>>,
    /// What guardrails of Amazon Bedrock answered of the call's arguments; what they were not asked can't be decided.
    pub guardrails: Arc<Answers>,
}

/// The session that temporal conditions look back on.
#[derive(Debug, Clone, PartialEq)]
pub struct PolicySession {
    /// Its id, as the caller named it.
    pub id: Arc<str>,
    /// What temporal conditions came to; `None` if nobody asked, because no rule about the tool has one.
    pub bindings: Fact<Option<Arc<Bindings>>>,
}

impl Default for PolicySession {
    fn default() -> Self {
        Self { id: "".into(), bindings: Fact::Known(None) }
    }
}

impl Facts {
    /// Of an agent's first call here with a new credential, from an unknown address: what is asked of agents in general.
    pub(crate) fn supposed(agent: &AgentId, session: Option<Arc<Session>>, revocations: Arc<Revocations>) -> Self {
        let principal = Principal {
            agent: agent.clone(),
            user: None,
            credential_id: String::new(),
            audiences: vec![String::new()],
            expires_at_secs: u64::MAX,
            class_max: None,
            // A new credential: whoever was revoked up to now may get one.
            issued_at_secs: u64::MAX,
            session,
            claims: Arc::default(),
        };
        Self {
            identity: Fact::Known(Identity::Authenticated(Arc::new(principal))),
            audience: "".into(),
            quota: Fact::Known(QuotaUse { calls_concurrent: 1, calls_per_minute: 1 }),
            budgets: Fact::Known(Vec::new()),
            origin: Origin::default(),
            revocations: Fact::Known(revocations),
            policy_session: PolicySession::default(),
            // Trust is earned: what could be is asked here.
            trust: Fact::Known(Arc::new(Tiers::every(TrustTier::Autonomous))),
            approvals: Fact::Known(Vec::new()),
            // A session that has touched nothing yet.
            provenance: Fact::Known(Some(Arc::default())),
            guardrails: Arc::default(),
        }
    }

    /// What is stopped, as far as it is known; where it isn't, the first layer denies.
    pub(crate) fn suspended(&self) -> Option<&Suspensions> {
        self.revocations.known().map(|revocations| &revocations.suspended)
    }

    /// What the session has touched and what stands behind the values of the call, if it is known and a rule reads it.
    pub fn known_origin(&self) -> Option<&CallOrigin> {
        self.provenance.known()?.as_deref()
    }

    /// The caller's address, if it is known.
    pub fn source_ip(&self) -> Option<std::net::IpAddr> {
        self.origin.source_ip.known().copied()
    }
}

/// Arguments that are known to be strict JSON: no duplicate key anywhere, so that nobody behind us reads other arguments than these.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Arguments<'a>(&'a str);

impl<'a> Arguments<'a> {
    /// The arguments of a message: it was scanned when it was read. A call without arguments has none, which is `{}`.
    pub fn of(message: &'a Message) -> Self {
        Self(message.param("arguments").unwrap_or("{}"))
    }

    /// Scans a text that came another way.
    pub fn scan(text: &'a str) -> Result<Self, JsonError> {
        json::scan(text.as_bytes(), Limits::default()).map(|_| Self(text))
    }

    /// JSON text.
    pub fn as_str(self) -> &'a str {
        self.0
    }
}

/// What is asked for.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Target<'a> {
    /// A tool by its exposed name, with its arguments as JSON text; no arguments are `{}`.
    Tool {
        /// The exposed name.
        name: &'a str,
        /// The arguments. `None` asks about the tool in general: the schema layer then has nothing to say.
        arguments: Option<Arguments<'a>>,
    },
    /// A prompt by its exposed name.
    Prompt(&'a str),
    /// A resource by its URI.
    Resource(&'a str),
}

/// One call to be decided.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Call<'a> {
    /// The space's id.
    pub space: &'a str,
    /// What is asked for.
    pub target: Target<'a>,
    /// A risk that the caller states. It can only make the decision stricter.
    pub risk_requested: Option<Risk>,
    /// Whether every layer is asked even after one has denied.
    pub explain: bool,
}
