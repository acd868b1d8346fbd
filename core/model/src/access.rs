//! Spaces, agents and the rows that say which agent may call which tool.

use crate::{AccountId, AgentId, Region, Risk, RoleKey, ServerName, SpaceId, Tags, ToolClass};

/// An agent space: a logical security boundary inside an account, with one MCP endpoint.
#[derive(Debug, Clone, PartialEq)]
pub struct Space {
    /// Its id, unique in the organization: the endpoint is `/spaces/<id>/mcp`.
    pub id: SpaceId,
    /// The account that it belongs to.
    pub account: AccountId,
    /// The region that it stands in.
    pub region: Region,
    /// The agents that may enter.
    pub agents: Vec<AgentId>,
    /// The servers that meet here, in order.
    pub servers: Vec<SpaceServer>,
    /// The highest class of tool that may be called here; `ReadOnly` is the read-only mandate.
    pub class_max: ToolClass,
    /// Its quotas.
    pub quotas: Quotas,
    /// The role that its agents act in. Without one no identity policy limits them here, and service control policies see the
    /// space itself as the principal.
    pub role: Option<RoleKey>,
    /// The role that people act in when they operate the space.
    pub operator_role: Option<RoleKey>,
    /// Its policy set, in Cedar and Dogwood. Without one, none judges its calls; one without policies permits nothing.
    pub policy_set: Option<PolicyTexts>,
    /// Whether what tools answered is kept, sealed, beside the journal, as arguments are.
    pub keep_results: bool,
    /// Whether a user's request that isn't signed is nobody's word here, whichever agent shows it.
    pub signed_requests_required: bool,
}

/// The texts of a policy set.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct PolicyTexts {
    /// Whether the whole set is asked and recorded only.
    pub log_only: bool,
    /// Its files.
    pub files: Vec<PolicyFile>,
}

/// A file of policies.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PolicyFile {
    /// Its path in the configuration.
    pub path: String,
    /// Its text.
    pub text: String,
    /// Whether its policies are asked and recorded only, if they don't state it.
    pub log_only: bool,
}

/// One server in a space.
#[derive(Debug, Clone, PartialEq)]
pub struct SpaceServer {
    /// The server.
    pub server: ServerName,
    /// The account that it is registered in; `None` is the space's own.
    pub account: Option<AccountId>,
    /// The role in that account in which the space's agents call it: the space's role assumes it, and it decides.
    pub role: Option<RoleKey>,
    /// The external id that goes with assuming it; the space's ARN if it is left out.
    pub external_id: Option<String>,
    /// The tools that are admitted.
    pub tools: ToolAdmission,
    /// Whether its prompts are admitted.
    pub prompts: bool,
    /// Whether its resources and resource templates are admitted.
    pub resources: bool,
    /// Whether names carry the server's prefix. At most one server of a space may go without.
    pub prefix: bool,
}

/// Which of a server's tools a space admits.
#[derive(Debug, Clone, PartialEq)]
pub enum ToolAdmission {
    /// These, by the server's own names.
    Listed(Vec<String>),
    /// Every tool that is pinned.
    All,
}

/// Quotas of a space. Absent means without limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Quotas {
    /// Calls under way at once, per agent and tool.
    pub calls_concurrent_max: Option<u32>,
    /// Calls started in a sliding minute, per agent and tool.
    pub calls_per_minute_max: Option<u32>,
    /// Sessions and streams held open at once, per agent.
    pub sessions_max: Option<u32>,
}

/// A workload identity.
#[derive(Debug, Clone, PartialEq)]
pub struct Agent {
    /// Its id.
    pub id: AgentId,
    /// The account that it belongs to.
    pub account: AccountId,
    /// Who answers for it, such as an address.
    pub owner: String,
    /// How it proves who it is.
    pub credentials: Vec<AgentCredential>,
    /// Whether it has been suspended: it may do nothing then.
    pub suspended: bool,
    /// Its tags: in a session they are session tags (`aws:PrincipalTag/…`).
    pub tags: Tags,
    /// The keys with which its users' requests are signed: a JSON Web Key Set (RFC 7517), as JSON text.
    pub request_keys: Option<String>,
    /// Whether a request of its user that isn't signed is nobody's word.
    pub signed_requests_required: bool,
}

/// One way in which an agent proves who it is.
#[derive(Debug, Clone, PartialEq)]
pub enum AgentCredential {
    /// A client secret that Remit made; its salted digest is in the store.
    ClientSecret,
    /// `private_key_jwt` with one of these keys: a JSON Web Key Set (RFC 7517), as JSON text.
    Jwks(String),
    /// A token of an external issuer whose claims pass the rules.
    External {
        /// The issuer's name in this configuration.
        issuer: String,
        /// All of these must hold.
        rules: Vec<ClaimRule>,
    },
    /// Requests that are signed (SigV4) in a session of this role.
    Role {
        /// The role.
        role: RoleKey,
        /// The session's name; `None` admits every session of the role.
        session_name: Option<String>,
    },
}

/// A rule on one claim of an external token, in the words of AgentCore's custom claims.
#[derive(Debug, Clone, PartialEq)]
pub struct ClaimRule {
    /// The claim's name; dots descend into objects.
    pub claim: String,
    /// What it must be.
    pub test: ClaimTest,
}

/// What a claim must be.
#[derive(Debug, Clone, PartialEq)]
pub enum ClaimTest {
    /// The claim is this text.
    Equals(String),
    /// The claim is a list that holds this text.
    Contains(String),
    /// The claim is a list that holds one of these texts.
    ContainsAny(Vec<String>),
}

/// An external OpenID Connect issuer that is trusted to authenticate agents or users.
#[derive(Debug, Clone, PartialEq)]
pub struct Issuer {
    /// Its name in this configuration.
    pub name: String,
    /// The issuer identifier: its discovery document is at `<url>/.well-known/openid-configuration`.
    pub url: String,
    /// The audiences that are accepted besides the space's own address.
    pub audiences: Vec<String>,
    /// Whether loopback and private addresses may be asked for its documents.
    pub network: crate::Network,
    /// Whether its tokens may name the user in a delegation (RFC 8693 subject tokens).
    pub users: bool,
}

/// One row of the tool policy registry: the first seed's table with its attributes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ToolPolicy {
    /// The agent.
    pub agent: AgentId,
    /// An exposed tool name; `server___prompts/<name>` and `server___resources/<uri>` name the other primitives. A trailing
    /// `*` stands for any rest.
    pub tool: String,
    /// Whether it may be called at all. A row that says no stands above every row that says yes.
    pub allowed: bool,
    /// The highest risk at which it may be called.
    pub risk_max: Risk,
    /// Where the row stands: file and line.
    pub origin: String,
}
