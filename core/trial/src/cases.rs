//! An organization's own cases: who calls what, and what must be said of it. A directory holds them in `tests/*.yaml`.
//!
//! ```yaml
//! defaults: { space: support, agent: agent-support-1 }
//! cases:
//!   - name: the knowledge base is searched
//!     tool: helpdesk___search_kb
//!     arguments: { query: password }
//!     expect: allow
//!   - name: what this agent may not do
//!     each:
//!       - { tool: helpdesk___delete_ticket, expect: tool_not_listed }
//!       - { tool: helpdesk___close_ticket, expect: { reason: risk_exceeds_policy, at: tool-policies.yaml } }
//! ```
//!
//! `after` are the calls that came before, for policies that look back.
//!
//! A case is decided by the kernel itself, as the gateway would, with the facts that it names. What it doesn't name is as it is for a call
//! that nothing speaks against: a good credential, a first call, a connection that is encrypted; the caller's address is unknown, and the
//! time is always the same.

mod after;
mod expect;
mod facts;
mod read;
mod suppose;

use std::sync::Arc;

use remit_kernel::{Arguments, Call, Facts, Target};
use remit_mcp::json::JsonError;
use remit_model::Risk;

pub use after::Before;
pub(crate) use after::looked_back;
pub use expect::{Expect, Expected};
pub use read::{Known, read};
pub use suppose::Suppose;

/// The largest file of cases, in bytes.
pub const BYTES_MAX: usize = 1024 * 1024;
/// The most cases of one run, tables written out.
pub const CASES_MAX: usize = 100_000;
/// The most different suppositions of one run: each is a configuration of its own.
pub const SUPPOSITIONS_MAX: usize = 1000;
/// When a case happens that names no time, in seconds since the epoch: 2026-01-15T12:00:00Z, a Thursday.
pub const NOW_SECS: u64 = 1_768_478_400;

/// The keys under which something is said of a case, after those of its place.
macro_rules! keys {
    ($($first:literal),*) => {
        &[
            $($first,)*
            "space", "agent", "user", "claims", "credential", "session", "policy_session", "tool", "prompt", "resource", "arguments", "risk", "request", "source_ip",
            "secure_transport", "at", "quota", "budgets_used_up", "unknown", "trust", "after", "approved", "suppose", "expect",
        ]
    };
}

/// What `defaults` may say. A row stands above its case, and that above these.
pub(crate) const DEFAULTS: &[&str] = keys!();
/// What a row may say.
pub(crate) const ROW: &[&str] = keys!("name");
/// What a case may say.
pub(crate) const CASE: &[&str] = keys!("name", "each");

/// One case, its row and lists written out.
#[derive(Debug, Clone)]
pub struct Case {
    /// The file that it stands in.
    pub file: String,
    /// The line on which it, or its row, stands, from 1.
    pub line: usize,
    /// Its name; for one of a table what tells it from the others is added in brackets.
    pub name: String,
    /// The space.
    pub space: String,
    /// What is asked for.
    pub wanted: Wanted,
    /// What is known of the caller and the request.
    pub facts: Facts,
    /// What came before, for rules that look back; a case without it is the first call of its session.
    pub after: Arc<Vec<Before>>,
    /// What the user has asked for, as the client passes it.
    pub request: Option<Arc<str>>,
    /// A risk that the caller states.
    pub risk: Option<Risk>,
    /// Whether people agree to it, where a rule asks for them.
    pub approved: bool,
    /// What is supposed to be otherwise than the configuration says.
    pub suppose: Option<Arc<Suppose>>,
    /// When it happens, in seconds since the epoch.
    pub now_secs: u64,
    /// What must be said of it.
    pub expect: Arc<Expect>,
}

/// What a case asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Wanted {
    /// A tool, by the name under which the space exposes it.
    Tool {
        /// The name.
        name: String,
        /// The arguments, JSON text. Without them the case is about the tool in general: its argument schema isn't asked.
        arguments: Option<Arc<str>>,
    },
    /// A prompt, by its exposed name.
    Prompt(String),
    /// A resource, by its URI.
    Resource(String),
}

impl Wanted {
    /// Its name or URI.
    pub fn name(&self) -> &str {
        match self {
            Self::Tool { name, .. } | Self::Prompt(name) | Self::Resource(name) => name,
        }
    }
}

impl Case {
    /// The call, with an answer from every layer. The error can't come of a case that was read: its arguments were scanned.
    pub fn call(&self) -> Result<Call<'_>, JsonError> {
        let target = match &self.wanted {
            Wanted::Tool { name, arguments } => {
                let arguments = arguments.as_deref().map(Arguments::scan).transpose()?;
                Target::Tool { name, arguments }
            }
            Wanted::Prompt(name) => Target::Prompt(name),
            Wanted::Resource(uri) => Target::Resource(uri),
        };
        Ok(Call { space: &self.space, target, risk_requested: self.risk, explain: true })
    }
}
