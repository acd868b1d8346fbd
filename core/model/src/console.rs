//! The console: who signs people in, and which roles they may take there.

use crate::{Network, RoleKey, SecretRef};

/// The longest session of the console, in seconds: a shift.
pub const CONSOLE_SESSION_SECS_MAX: u64 = 12 * 3600;

/// How people come to the console.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Console {
    /// Who signs them in; `None`: the console is opened by the links that Remit makes on its own machine, and by nothing else.
    pub sign_in: Option<SignIn>,
    /// The roles that may be taken there. Each one's trust policy says by whom.
    pub roles: Vec<RoleKey>,
    /// How long a session lasts at most, in seconds.
    pub session_secs_max: u64,
}

/// An OpenID provider, and how Remit is known there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SignIn {
    /// Its identifier.
    pub issuer: String,
    /// The client id that Remit was given.
    pub client_id: String,
    /// The client's secret; `None` for a public client.
    pub client_secret: Option<SecretRef>,
    /// The scopes that are asked for, `openid` among them.
    pub scopes: Vec<String>,
    /// Which addresses its name may resolve to.
    pub network: Network,
}

impl SignIn {
    /// The provider as trust policies name it: the issuer without its scheme.
    pub fn provider(&self) -> &str {
        self.issuer.split_once("://").map_or(self.issuer.as_str(), |(_, rest)| rest).trim_end_matches('/')
    }
}
