//! Remit's own access tokens: JWTs of RFC 9068, with the actor of RFC 8693 in a delegation.

use remit_model::{AgentId, ToolClass};
use serde_json::{Map, Value, json};

use crate::jwk::{JwkSet, KeyError, SigningKey};
use crate::jwt::{self, JwtError, Unverified};

/// The type of an access token (RFC 9068 section 2.1).
pub const ACCESS_TYP: &str = "at+jwt";
/// How long an access token lives at most, in seconds.
pub const ACCESS_LIFETIME_SECS: u64 = 15 * 60;
/// Every scope there is, lowest first.
pub const SCOPES: [&str; 3] = ["mcp:read", "mcp:write", "mcp:destroy"];

/// The class of tool that a scope reaches.
pub fn scope_class(scope: &str) -> Option<ToolClass> {
    match scope {
        "mcp:read" => Some(ToolClass::ReadOnly),
        "mcp:write" => Some(ToolClass::Mutative),
        "mcp:destroy" => Some(ToolClass::Destructive),
        _ => None,
    }
}

/// The scopes that calling a tool of this class takes, all of them at once.
pub fn class_scopes(class: ToolClass) -> &'static [&'static str] {
    match class {
        ToolClass::ReadOnly => &["mcp:read"],
        ToolClass::Mutative => &["mcp:read", "mcp:write"],
        ToolClass::Destructive => &SCOPES,
    }
}

/// The highest class that a `scope` text reaches; `None` if none of its scopes is one of ours, and so doesn't narrow anything.
pub fn scope_class_max(scope: &str) -> Option<ToolClass> {
    scope.split(' ').filter_map(scope_class).max()
}

/// What an access token says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AccessClaims {
    /// Remit's issuer identifier.
    pub issuer: String,
    /// The agent.
    pub agent: AgentId,
    /// The user for whom it acts, in a delegation.
    pub user: Option<String>,
    /// The address of the space.
    pub audience: String,
    /// When it is issued, in seconds since the epoch.
    pub issued_at_secs: u64,
    /// Until when it is good.
    pub expires_at_secs: u64,
    /// Its id.
    pub id: String,
    /// Its scopes, apart by spaces; `None` if it isn't narrowed.
    pub scope: Option<String>,
}

impl AccessClaims {
    /// The token.
    pub fn sign(&self, key: &SigningKey) -> Result<String, KeyError> {
        let mut claims = Map::new();
        claims.insert("iss".into(), self.issuer.as_str().into());
        claims.insert("sub".into(), self.user.as_deref().unwrap_or(self.agent.as_str()).into());
        if self.user.is_some() {
            claims.insert("act".into(), json!({ "sub": self.agent.as_str() }));
        }
        claims.insert("client_id".into(), self.agent.as_str().into());
        claims.insert("aud".into(), self.audience.as_str().into());
        claims.insert("iat".into(), self.issued_at_secs.into());
        claims.insert("exp".into(), self.expires_at_secs.into());
        claims.insert("jti".into(), self.id.as_str().into());
        if let Some(scope) = &self.scope {
            claims.insert("scope".into(), scope.as_str().into());
        }
        jwt::sign(key, ACCESS_TYP, &claims)
    }

    /// Verifies a token of ours. The audience is the caller's to compare.
    pub fn verify(token: Unverified<'_>, issuer: &str, keys: &JwkSet, now_secs: u64) -> Result<Self, JwtError> {
        let token = token.verify(keys)?;
        token.typ_is(&[Some(ACCESS_TYP)])?;
        token.issuer_is(issuer)?;
        let times = token.times(now_secs)?;
        let client = token.text("client_id")?;
        let agent = AgentId::new(client).map_err(|_| JwtError::Claim("client_id"))?;
        let subject = token.text("sub")?;
        let user = match token.claims().get("act") {
            None if subject == client => None,
            None => return Err(JwtError::Claim("sub")),
            Some(Value::Object(act)) if act.len() == 1 && act.get("sub").and_then(Value::as_str) == Some(client) => {
                Some(subject.to_owned())
            }
            Some(_) => return Err(JwtError::Claim("act")),
        };
        let audience = match token.audiences()?.as_slice() {
            [one] => (*one).to_owned(),
            _ => return Err(JwtError::Claim("aud")),
        };
        let scope = token.text_if_any("scope")?.map(str::to_owned);
        // A token of ours whose scopes we don't know must not pass for one that isn't narrowed.
        if scope.as_deref().is_some_and(|scope| scope_class_max(scope).is_none()) {
            return Err(JwtError::Claim("scope"));
        }
        Ok(Self {
            issuer: issuer.to_owned(),
            agent,
            user,
            audience,
            issued_at_secs: times.issued_at_secs.ok_or(JwtError::Missing("iat"))?,
            expires_at_secs: times.expires_at_secs,
            id: token.text("jti")?.to_owned(),
            scope,
        })
    }

    /// The highest class of tool that its scopes reach; `None` if it isn't narrowed.
    pub fn class_max(&self) -> Option<ToolClass> {
        self.scope.as_deref().and_then(scope_class_max)
    }
}
