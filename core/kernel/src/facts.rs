//! What the shell gathered before a decision. A fact that could not be gathered is [`Fact::Unknown`].

use std::sync::Arc;

use remit_mcp::Message;
use remit_mcp::json::{self, JsonError, Limits};
use remit_model::{AgentId, Risk, ToolClass};

/// Something that had to be found out.
#[derive(Debug, Clone, PartialEq)]
pub enum Fact<T> {
    /// It is so.
    Known(T),
    /// It could not be found out, and why: the kernel denies.
    Unknown(String),
}

/// Who calls, proved.
#[derive(Debug, Clone, PartialEq, Eq)]
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
}

/// Whether the caller could be authenticated.
#[derive(Debug, Clone, PartialEq, Eq)]
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
