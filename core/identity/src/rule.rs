//! Claim rules: which agent an external token speaks for.

use remit_model::{AgentCredential, AgentId, ClaimRule, ClaimTest, Organization};
use serde_json::{Map, Value};

/// Why a token speaks for no agent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum RuleError {
    /// No agent's rules hold.
    #[error("the token's claims fit no agent")]
    Nobody,
    /// The rules of several agents hold: which one is meant can't be said.
    #[error("the token's claims fit more than one agent")]
    Several,
}

/// The one agent whose rules for this issuer all hold. Rules that are empty never hold.
pub fn agent_of(organization: &Organization, issuer: &str, claims: &Map<String, Value>) -> Result<AgentId, RuleError> {
    let mut fitting = organization.agents.values().filter(|agent| {
        agent.credentials.iter().any(|credential| match credential {
            AgentCredential::External { issuer: name, rules } => {
                name == issuer && !rules.is_empty() && rules.iter().all(|rule| holds(rule, claims))
            }
            AgentCredential::ClientSecret | AgentCredential::Jwks(_) | AgentCredential::Role { .. } => false,
        })
    });
    let agent = fitting.next().ok_or(RuleError::Nobody)?;
    if fitting.next().is_some() { Err(RuleError::Several) } else { Ok(agent.id.clone()) }
}

/// Whether a rule holds.
pub fn holds(rule: &ClaimRule, claims: &Map<String, Value>) -> bool {
    let Some(value) = claim(claims, &rule.claim) else { return false };
    let has = |wanted: &String| value.as_array().is_some_and(|list| list.iter().any(|one| one.as_str() == Some(wanted)));
    match &rule.test {
        ClaimTest::Equals(wanted) => value.as_str() == Some(wanted),
        ClaimTest::Contains(wanted) => has(wanted),
        ClaimTest::ContainsAny(wanted) => wanted.iter().any(has),
    }
}

/// The claim with this name. A name that stands there as it is, such as `https://example.com/roles`, goes before descent.
fn claim<'a>(claims: &'a Map<String, Value>, name: &str) -> Option<&'a Value> {
    if let Some(value) = claims.get(name) {
        return Some(value);
    }
    let (first, rest) = name.split_once('.')?;
    claim(claims.get(first)?.as_object()?, rest)
}
