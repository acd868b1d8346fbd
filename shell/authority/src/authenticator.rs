//! Who calls.

use std::collections::HashMap;
use std::sync::{Arc, RwLock};

use remit_identity::access::AccessClaims;
use remit_identity::base64url_encode;
use remit_identity::jwt::{self, JwtError, Unverified};
use remit_identity::rule::agent_of;
use remit_identity::token::{issuer_of, narrowing, verify_external};
use remit_kernel::{Fact, Identity, Principal};
use remit_model::AgentId;

use crate::authority::Authority;
use crate::issuers::KeysError;
use crate::verified::{TokenDigest, Verified, token_digest};

/// The most revocations that are remembered; what is revoked is also dead after its token's life.
const REVOKED_MAX: usize = 100_000;

/// Turns what a caller shows into a principal.
#[derive(Debug)]
pub struct Authenticator {
    authority: Arc<Authority>,
    verified: Verified,
    revoked: RwLock<Revoked>,
}

#[derive(Debug, Default)]
struct Revoked {
    ids: HashMap<String, u64>,
    /// Tokens of the agent that were issued before this time are dead.
    agents: HashMap<AgentId, u64>,
}

/// Why a token was refused: known to be bad, or not to be judged.
enum Refusal {
    Rejected(String),
    Unknown(String),
}

impl From<JwtError> for Refusal {
    fn from(error: JwtError) -> Self {
        Self::Rejected(error.to_string())
    }
}

impl Authenticator {
    /// Takes tokens of this issuer and of the external issuers in its directory.
    pub fn new(authority: Arc<Authority>) -> Self {
        Self { authority, verified: Verified::default(), revoked: RwLock::default() }
    }

    /// Forgets what was verified: to be called whenever the organization changes.
    pub fn invalidate(&self) {
        self.verified.clear();
    }

    /// Refuses one token from now on; its id is the principal's `credential_id`. Held in memory until the token is dead.
    pub fn revoke_token(&self, credential_id: &str, expires_at_secs: u64, now_secs: u64) {
        if let Ok(mut revoked) = self.revoked.write() {
            if revoked.ids.len() >= REVOKED_MAX {
                revoked.ids.retain(|_, until| *until + remit_identity::LEEWAY_SECS > now_secs);
            }
            revoked.ids.insert(credential_id.to_owned(), expires_at_secs);
        }
        self.verified.clear();
    }

    /// Refuses every token of an agent that was issued before a time.
    pub fn revoke_agent(&self, agent: &AgentId, before_secs: u64) {
        if let Ok(mut revoked) = self.revoked.write() {
            let before = revoked.agents.entry(agent.clone()).or_default();
            *before = before_secs.max(*before);
        }
        self.verified.clear();
    }

    /// Who shows this `Authorization` header.
    pub async fn authenticate(&self, authorization: Option<&str>, now_secs: u64) -> Fact<Identity> {
        let rejected = |what: &str| Fact::Known(Identity::Rejected(what.to_owned()));
        let Some(authorization) = authorization else { return rejected("no credential was shown") };
        let Some((scheme, token)) = authorization.split_once(' ') else { return rejected("the credential is no bearer token") };
        let token = token.trim_matches(' ');
        if !scheme.eq_ignore_ascii_case("bearer") || token.is_empty() {
            return rejected("the credential is no bearer token");
        }
        if token.len() > jwt::TOKEN_BYTES_MAX {
            return rejected(&JwtError::TooLarge.to_string());
        }
        let digest = token_digest(token);
        if let Some(principal) = self.verified.get(&digest, now_secs) {
            return Fact::Known(Identity::Authenticated(principal));
        }
        let generation = self.verified.generation();
        match self.verify(token, &digest, now_secs).await {
            Ok(principal) => {
                let principal = Arc::new(principal);
                self.verified.put(digest, Arc::clone(&principal), generation, now_secs);
                Fact::Known(Identity::Authenticated(principal))
            }
            Err(Refusal::Rejected(what)) => Fact::Known(Identity::Rejected(what)),
            Err(Refusal::Unknown(what)) => Fact::Unknown(what),
        }
    }

    async fn verify(&self, token: &str, digest: &TokenDigest, now_secs: u64) -> Result<Principal, Refusal> {
        let token = jwt::parse(token)?;
        let (principal, issued_at_secs) = if token.issuer() == Some(self.authority.issuer()) {
            self.own(token, now_secs)?
        } else {
            self.external(token, digest, now_secs).await?
        };
        let revoked = self.revoked.read().map_err(|_| Refusal::Unknown("the revocations are lost".into()))?;
        let before = revoked.agents.get(&principal.agent);
        if revoked.ids.contains_key(&principal.credential_id) || before.is_some_and(|before| issued_at_secs < *before) {
            return Err(Refusal::Rejected("the token was revoked".into()));
        }
        Ok(principal)
    }

    fn own(&self, token: Unverified<'_>, now_secs: u64) -> Result<(Principal, u64), Refusal> {
        let keys = self.authority.keys_for(&token, now_secs).map_err(|error| Refusal::Unknown(error.to_string()))?;
        let claims = AccessClaims::verify(token, self.authority.issuer(), &keys.public, now_secs)?;
        let principal = Principal {
            class_max: claims.class_max(),
            agent: claims.agent,
            user: claims.user,
            credential_id: claims.id,
            audiences: vec![claims.audience],
            expires_at_secs: claims.expires_at_secs,
        };
        Ok((principal, claims.issued_at_secs))
    }

    async fn external(&self, token: Unverified<'_>, digest: &TokenDigest, now_secs: u64) -> Result<(Principal, u64), Refusal> {
        let organization = self.authority.directory.organization();
        let issuer = token.issuer().and_then(|url| issuer_of(&organization, url)).ok_or(JwtError::Issuer)?;
        let keys = self.authority.issuer_keys.keys_for(issuer, &token, now_secs).await.map_err(|error| match error {
            KeysError::NoSuchKey => Refusal::from(JwtError::Key),
            KeysError::Away { .. } => Refusal::Unknown(error.to_string()),
        })?;
        let token = verify_external(token, issuer, &keys, now_secs)?;
        let agent =
            agent_of(&organization, &issuer.name, token.claims()).map_err(|error| Refusal::Rejected(error.to_string()))?;
        let spaces = self.authority.directory.space_addresses();
        let mut audiences: Vec<String> = token.audiences()?.into_iter().map(str::to_owned).collect();
        if audiences.iter().any(|audience| issuer.audiences.contains(audience)) {
            audiences.extend(spaces.values().cloned());
        } else if !audiences.iter().any(|audience| spaces.values().any(|address| address == audience)) {
            return Err(JwtError::Audience.into());
        }
        let times = token.times(now_secs)?;
        // Ids are unique in their issuer only; a token without one goes by its digest.
        let id = token.text_if_any("jti")?.map_or_else(|| base64url_encode(digest), str::to_owned);
        let principal = Principal {
            agent,
            user: None,
            credential_id: format!("{}/{id}", issuer.name),
            audiences,
            expires_at_secs: times.expires_at_secs,
            class_max: narrowing(&token)?,
        };
        // Without `iat` a token may be older than any revocation.
        Ok((principal, times.issued_at_secs.unwrap_or_default()))
    }
}
