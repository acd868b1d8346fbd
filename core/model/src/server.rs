//! MCP servers and what is said of their tools.

use std::collections::BTreeMap;
use std::fmt;

use crate::{AccountId, ArgumentRole, ResultWord, ServerName, ToolName};

/// What calling a tool may do, as AWS DevOps Agent classes tools. Ordered by how much it may change.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum ToolClass {
    /// Changes nothing.
    ReadOnly,
    /// Changes something that can be changed back.
    Mutative,
    /// May destroy.
    Destructive,
}

impl ToolClass {
    /// The class that a tool's own annotations state. MCP's defaults hold where one is absent: a tool that doesn't say
    /// `readOnlyHint` writes, and one that writes and doesn't say `destructiveHint` destroys (schema 2025-03-26,
    /// `ToolAnnotations`).
    pub fn from_annotations(read_only_hint: Option<bool>, destructive_hint: Option<bool>) -> Self {
        match (read_only_hint, destructive_hint) {
            (Some(true), _) => Self::ReadOnly,
            (_, Some(false)) => Self::Mutative,
            _ => Self::Destructive,
        }
    }

    /// The risk of a tool of this class when nobody has said another.
    pub fn risk_default(self) -> Risk {
        match self {
            Self::ReadOnly => Risk::Low,
            Self::Mutative => Risk::Medium,
            Self::Destructive => Risk::High,
        }
    }

    /// The word for it in configuration and in the journal.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::ReadOnly => "READ_ONLY",
            Self::Mutative => "MUTATIVE",
            Self::Destructive => "DESTRUCTIVE",
        }
    }
}

impl fmt::Display for ToolClass {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// How much harm a call can do, lowest first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Risk {
    /// Little: most reads.
    Low,
    /// Some: a change that is easily undone.
    Medium,
    /// Much.
    High,
    /// The most that there is.
    Critical,
}

impl Risk {
    /// Every risk, lowest first.
    pub const ALL: [Self; 4] = [Self::Low, Self::Medium, Self::High, Self::Critical];

    /// The word for it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Low => "low",
            Self::Medium => "medium",
            Self::High => "high",
            Self::Critical => "critical",
        }
    }

    /// The risk with this name.
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|risk| risk.as_str() == text)
    }
}

impl fmt::Display for Risk {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// An MCP server as it is registered, once, in its account.
#[derive(Debug, Clone, PartialEq)]
pub struct Server {
    /// The account that it belongs to.
    pub account: AccountId,
    /// Its name there, and the prefix of its tools.
    pub name: ServerName,
    /// How it is reached.
    pub transport: Transport,
    /// Limits on what it may cost.
    pub limits: ServerLimits,
    /// The operator's word on its tools, by the server's own tool name: it stands above what the server says.
    pub tools: BTreeMap<String, ToolOverride>,
    /// What its results are, where nothing else is said of a tool.
    pub results: ResultWord,
    /// Where its results say what they cost, if they do.
    pub cost: Option<crate::StatedCost>,
    /// Its tags: `aws:ResourceTag/…` of everything that it offers.
    pub tags: crate::Tags,
    /// The resource policy of everything that it offers.
    pub resource_policy: Option<std::sync::Arc<remit_iam::Policy>>,
    /// What `aws:CalledViaAWSMCP` is in calls of its tools, such as `eks-mcp.amazonaws.com`; its name where none is given.
    pub service_principal: Option<String>,
    /// The trust zone that it is of.
    pub zone: Option<String>,
    /// How it stands in the registry where nobody has said anything else of this registration.
    pub status: RegistryStatus,
    /// The digest of the registration, with the sandbox profile that it names: what a status is said of.
    pub registration: String,
}

impl Server {
    /// The secrets that it is given or shown.
    pub fn secrets(&self) -> Vec<&SecretRef> {
        let all: Vec<&SecretRef> = match &self.transport {
            Transport::Stdio { env, .. } => env.values().collect(),
            Transport::Http { credential, .. } => match credential {
                Credential::None => Vec::new(),
                Credential::Bearer(secret) | Credential::ApiKey { value: secret, .. } => vec![secret],
                Credential::OAuth(client) => vec![&client.secret],
                Credential::AuthorizationCode(client) => {
                    client.registered.iter().filter_map(|registered| registered.secret.as_ref()).collect()
                }
            },
        };
        all.into_iter().filter(|secret| !matches!(secret, SecretRef::Plain(_))).collect()
    }
}

/// How a server stands in the registry, in the words of AgentCore's registry.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum RegistryStatus {
    /// It is being written: nothing of it is started or asked.
    Draft,
    /// Somebody wants it approved: it is asked what it offers, so that it can be judged, and nobody can call it.
    PendingApproval,
    /// It is in use.
    #[default]
    Approved,
    /// It was refused: nothing of it is started or asked.
    Rejected,
    /// It is in use, and shouldn't be any more.
    Deprecated,
}

impl RegistryStatus {
    /// Every status.
    pub const ALL: [Self; 5] = [Self::Draft, Self::PendingApproval, Self::Approved, Self::Rejected, Self::Deprecated];

    /// The word for it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Draft => "DRAFT",
            Self::PendingApproval => "PENDING_APPROVAL",
            Self::Approved => "APPROVED",
            Self::Rejected => "REJECTED",
            Self::Deprecated => "DEPRECATED",
        }
    }

    /// The status of this name.
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|status| status.as_str() == text)
    }

    /// Whether what it offers can be seen and called.
    pub fn serves(self) -> bool {
        matches!(self, Self::Approved | Self::Deprecated)
    }

    /// Whether it is started and asked what it offers.
    pub fn is_asked(self) -> bool {
        !matches!(self, Self::Draft | Self::Rejected)
    }
}

impl fmt::Display for RegistryStatus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// How the registry is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct RegistryRules {
    /// Whether somebody else than who submitted a server has to approve it.
    pub second_person: bool,
}

/// How a server is reached.
#[derive(Debug, Clone, PartialEq)]
pub enum Transport {
    /// Streamable HTTP.
    Http {
        /// The endpoint, `http` or `https`.
        url: String,
        /// What Remit shows the server of itself.
        credential: Credential,
        /// Which addresses the endpoint's name may resolve to.
        network: Network,
        /// Which era Remit speaks to it.
        protocol: ProtocolChoice,
        /// A command that Remit starts and stops with itself. It must print one line of JSON with the `url` that it
        /// serves; `url` above is then empty.
        launch: Vec<String>,
    },
    /// A child process that speaks newline-delimited JSON-RPC on its standard input and output.
    Stdio {
        /// The program and its arguments; `remit` stands for the running program itself.
        command: Vec<String>,
        /// The child's whole environment: nothing is inherited.
        env: BTreeMap<String, SecretRef>,
        /// Which era Remit speaks to it.
        protocol: ProtocolChoice,
        /// What the child may reach on this machine.
        sandbox: crate::Sandbox,
    },
}

/// Which revision Remit speaks to a server.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum ProtocolChoice {
    /// Ask `server/discover` first, fall back to `initialize`.
    #[default]
    Auto,
    /// 2026-07-28, stateless.
    Modern,
    /// `initialize` and sessions.
    Legacy,
}

/// Which addresses a server's name may resolve to; checked on the address that is connected to, so a name that is rebound
/// gains nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Network {
    /// Only globally routable addresses.
    #[default]
    Public,
    /// Private ranges too (RFC 1918, RFC 4193, RFC 6598), but neither loopback nor link-local.
    Private,
    /// Loopback only.
    Loopback,
}

/// What Remit shows an upstream server. The agent's own token never is.
#[derive(Debug, Clone, PartialEq, Default)]
pub enum Credential {
    /// Nothing.
    #[default]
    None,
    /// `Authorization: Bearer`.
    Bearer(SecretRef),
    /// A named header.
    ApiKey {
        /// The header's name.
        header: String,
        /// Its value.
        value: SecretRef,
    },
    /// OAuth 2.1, by discovery from the server's protected-resource metadata unless a token endpoint is given.
    OAuth(OAuthClient),
    /// OAuth 2.1 with a person's consent, given once: the authorization code grant.
    AuthorizationCode(AuthorizationCodeClient),
}

impl Credential {
    /// Whether it is a token of an authorization server, which a challenge of the server may call into question.
    pub fn is_oauth(&self) -> bool {
        matches!(self, Self::OAuth(_) | Self::AuthorizationCode(_))
    }
}

/// Remit as an OAuth client of an upstream, with the client credentials grant (RFC 6749 section 4.4).
#[derive(Debug, Clone, PartialEq)]
pub struct OAuthClient {
    /// The client id.
    pub client_id: String,
    /// The client's secret, or its private key (PEM) for `private_key_jwt`.
    pub secret: SecretRef,
    /// Whether `secret` is a key for `private_key_jwt` (RFC 7523), and which algorithm it signs with.
    pub private_key_alg: Option<String>,
    /// The token endpoint; found by discovery (RFC 9728, RFC 8414) when absent.
    pub token_endpoint: Option<String>,
    /// The scopes to ask for.
    pub scopes: Vec<String>,
}

/// Remit as an OAuth client of an upstream, with the authorization code grant (RFC 6749 section 4.1) and PKCE.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct AuthorizationCodeClient {
    /// The client that an operator registered; without it Remit shows its metadata document or registers itself.
    pub registered: Option<RegisteredClient>,
    /// The issuer of the authorization server; without it the server's metadata says which.
    pub issuer: Option<String>,
    /// Where Remit's client metadata document is published, an `https` URL
    /// (draft-ietf-oauth-client-id-metadata-document).
    pub client_metadata_url: Option<String>,
    /// The scopes to ask for.
    pub scopes: Vec<String>,
}

/// A client that an operator registered with an authorization server.
#[derive(Debug, Clone, PartialEq)]
pub struct RegisteredClient {
    /// The client id.
    pub client_id: String,
    /// The client's secret, or its private key (PEM); a public client has neither.
    pub secret: Option<SecretRef>,
    /// Whether `secret` is a key for `private_key_jwt` (RFC 7523), and which algorithm it signs with.
    pub private_key_alg: Option<String>,
}

/// Where a secret is kept. Its value is never part of a configuration.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum SecretRef {
    /// In Remit's store under this name, sealed under the master key (`remit secret set NAME`).
    Stored(String),
    /// In an environment variable of the Remit process.
    Env(String),
    /// In a file.
    File(String),
    /// Not a secret: the text itself. Only allowed in a child's environment.
    Plain(String),
}

impl fmt::Display for SecretRef {
    /// Where it is kept, never what it is.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Stored(name) => write!(f, "secret {name}"),
            Self::Env(name) => write!(f, "variable {name}"),
            Self::File(path) => write!(f, "file {path}"),
            Self::Plain(_) => f.write_str("a text"),
        }
    }
}

/// Limits on one server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServerLimits {
    /// How long a connection may take, in milliseconds.
    pub connect_timeout_ms: u64,
    /// How long a call may take until its answer is complete, in milliseconds.
    pub call_timeout_ms: u64,
    /// The largest result that is passed on, in bytes.
    pub result_bytes_max: usize,
    /// How many calls may be under way at once.
    pub calls_max: usize,
}

impl Default for ServerLimits {
    fn default() -> Self {
        Self { connect_timeout_ms: 5_000, call_timeout_ms: 60_000, result_bytes_max: 4 * 1024 * 1024, calls_max: 1024 }
    }
}

/// What an operator says of one tool.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct ToolOverride {
    /// Its class.
    pub class: Option<ToolClass>,
    /// Its risk.
    pub risk: Option<Risk>,
    /// Its categories, such as `delete`, `transfer`, `publish`.
    pub categories: Vec<String>,
    /// The name to expose instead of the server's own, where that one is unfit or taken.
    pub expose_as: Option<ToolName>,
    /// What its results are.
    pub results: ResultWord,
    /// What its arguments do, where the schema doesn't say or says it wrong.
    pub arguments: BTreeMap<String, ArgumentRole>,
}
