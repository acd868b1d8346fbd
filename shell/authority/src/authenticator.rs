//! Who calls.

use std::collections::BTreeMap;
use std::sync::Arc;

use remit_identity::access::AccessClaims;
use remit_identity::base64url_encode;
use remit_identity::jwt::{self, JwtError, Unverified};
use remit_identity::rule::agent_of;
use remit_identity::sigv4::{Claim, Request, SigError};
use remit_identity::token::{issuer_of, narrowing, verify_external};
use remit_kernel::{Fact, Identity, Principal, SessionOf};
use remit_model::{Agent, AgentCredential, AgentId, Organization, RoleKey};

use crate::authority::Authority;
use crate::issuers::KeysError;
use crate::keypair::KeyPairs;
use crate::verified::{TokenDigest, Verified, token_digest};

/// Turns what a caller shows into a principal.
#[derive(Debug)]
pub struct Authenticator {
    authority: Arc<Authority>,
    keys: Arc<KeyPairs>,
    verified: Verified,
}

/// The services for which a request to a space may be signed: as AWS's own MCP servers and AgentCore Gateway are.
const SIGNED_SERVICES: [&str; 3] = ["mcp", "aws-mcp", "bedrock-agentcore"];

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
    /// Takes tokens of this issuer and of the external issuers in its directory, and requests that are signed with these keys.
    pub fn new(authority: Arc<Authority>, keys: Arc<KeyPairs>) -> Self {
        Self { authority, keys, verified: Verified::default() }
    }

    /// Forgets what was verified: to be called whenever the organization changes.
    pub fn invalidate(&self) {
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
        if token.issuer() == Some(self.authority.issuer()) {
            self.own(token, now_secs)
        } else {
            self.external(token, digest, now_secs).await
        }
    }

    /// Whether a signed request names a key that was issued here and is alive; nothing is verified.
    pub fn has_key(&self, request: &Request<'_>, now_secs: u64) -> bool {
        let claim = Claim::read(request).ok().flatten();
        // Only sessions call spaces: a user's own key, which stands in journals, opens nothing here.
        claim
            .filter(|claim| claim.session_token.is_some())
            .is_some_and(|claim| claim.timely(now_secs).is_ok() && self.keys.session(&claim, now_secs).is_ok())
    }

    /// Who signed a request to the space at `audience`.
    pub fn signed(&self, request: &Request<'_>, audience: &str, now_secs: u64) -> Fact<Identity> {
        match self.signer(request, audience, now_secs) {
            Ok(principal) => Fact::Known(Identity::Authenticated(Arc::new(principal))),
            Err(what) => Fact::Known(Identity::Rejected(what)),
        }
    }

    fn signer(&self, request: &Request<'_>, audience: &str, now_secs: u64) -> Result<Principal, String> {
        let text = |error: SigError| format!("{}: {}", error.code, error.message);
        let claim = Claim::read(request).map_err(text)?.ok_or("the request is not signed")?;
        if claim.session_token.is_none() {
            return Err("an agent acts in a role: assume one first".to_owned());
        }
        if !SIGNED_SERVICES.contains(&claim.service.as_str()) {
            let services = SIGNED_SERVICES.join("`, `");
            return Err(format!("the request is signed for another service than `{services}`"));
        }
        let spaces = self.authority.directory.space_addresses();
        let organization = self.authority.directory.organization();
        let space = spaces.iter().find(|(_, address)| *address == audience).and_then(|(id, _)| organization.spaces.get(id));
        if space.is_none_or(|space| space.region.as_str() != claim.region) {
            return Err("the request is signed for another region than the space's".to_owned());
        }
        // A call takes effect, a stream tells: what was signed for one is good for one.
        let session = self.keys.verify(request, &claim, true, now_secs).map_err(text)?;
        let SessionOf::Role(role) = &session.who else {
            return Err("an agent acts in a role: assume one first".to_owned());
        };
        let agent = agent_in(&organization, role, &session.name)?;
        Ok(Principal {
            agent,
            user: session.user.clone(),
            credential_id: session.id.clone(),
            audiences: vec![audience.to_owned()],
            expires_at_secs: session.expires_at_secs,
            class_max: None,
            issued_at_secs: session.issued_at_secs,
            session: Some(session),
            claims: Arc::default(),
        })
    }

    fn own(&self, token: Unverified<'_>, now_secs: u64) -> Result<Principal, Refusal> {
        let keys = self.authority.keys_for(&token, now_secs).map_err(|error| Refusal::Unknown(error.to_string()))?;
        let claims = AccessClaims::verify(token, self.authority.issuer(), &keys.public, now_secs)?;
        let told = [
            ("iss", Some(claims.issuer.as_str())),
            ("sub", Some(claims.user.as_deref().unwrap_or(claims.agent.as_str()))),
            ("client_id", Some(claims.agent.as_str())),
            ("aud", Some(claims.audience.as_str())),
            ("scope", claims.scope.as_deref()),
        ];
        let told: BTreeMap<String, String> =
            told.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?.to_owned()))).collect();
        let principal = Principal {
            claims: Arc::new(told),
            class_max: claims.class_max(),
            agent: claims.agent,
            user: claims.user,
            credential_id: claims.id,
            audiences: vec![claims.audience],
            expires_at_secs: claims.expires_at_secs,
            issued_at_secs: claims.issued_at_secs,
            session: None,
        };
        Ok(principal)
    }

    async fn external(&self, token: Unverified<'_>, digest: &TokenDigest, now_secs: u64) -> Result<Principal, Refusal> {
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
            claims: Arc::new(texts(token.claims())),
            agent,
            user: None,
            credential_id: format!("{}/{id}", issuer.name),
            audiences,
            expires_at_secs: times.expires_at_secs,
            class_max: narrowing(&token)?,
            // Without `iat` a token may be older than any revocation.
            issued_at_secs: times.issued_at_secs.unwrap_or_default(),
            session: None,
        };
        Ok(principal)
    }
}

/// Claims as policy sets see them: texts, numbers and truth values; a list of texts is joined with spaces, as `scope` is. Others have no
/// text, and aren't there.
fn texts(claims: &serde_json::Map<String, serde_json::Value>) -> BTreeMap<String, String> {
    use serde_json::Value;
    let text = |value: &Value| match value {
        Value::String(text) => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        Value::Bool(yes) => Some(yes.to_string()),
        Value::Array(values) => values.iter().map(Value::as_str).collect::<Option<Vec<_>>>().map(|texts| texts.join(" ")),
        Value::Null | Value::Object(_) => None,
    };
    claims.iter().filter_map(|(name, value)| Some((name.clone(), text(value)?))).collect()
}

/// The agent that acts in a session of a role: the one that names this session, else the one that names the role.
pub(crate) fn agent_in(organization: &Organization, role: &RoleKey, session_name: &str) -> Result<AgentId, String> {
    let acts = |agent: &&Agent, named: bool| {
        agent.credentials.iter().any(|credential| match credential {
            AgentCredential::Role { role: own, session_name: Some(name) } => named && own == role && name == session_name,
            AgentCredential::Role { role: own, session_name: None } => !named && own == role,
            _ => false,
        })
    };
    for named in [true, false] {
        let mut agents = organization.agents.values().filter(|agent| acts(agent, named));
        match (agents.next(), agents.next()) {
            (Some(agent), None) => return Ok(agent.id.clone()),
            (Some(_), Some(_)) => return Err(format!("several agents act in role {role}")),
            (None, _) => {}
        }
    }
    Err(format!("no agent acts in role {role}"))
}
