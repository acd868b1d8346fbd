//! Signing people in with an OpenID provider (OpenID Connect Core 1.0, the authorization code flow with PKCE): the request, and what is
//! believed of the answer.

use serde_json::{Map, Value};
use zeroize::Zeroizing;

use crate::client::{self, ClientError, ServerMetadata};
use crate::form;
use crate::jwk::JwkSet;
use crate::jwt::{JwtError, Token, Unverified};

/// The types of an ID token: most providers name none.
const TYPS: [Option<&str>; 2] = [None, Some("JWT")];
/// The longest subject (OpenID Connect Core, section 2), and the longest address.
const NAME_BYTES_MAX: usize = 255;
/// The most values of one claim that conditions may name.
const VALUES_MAX: usize = 256;

/// A request for a person's authentication.
#[derive(Debug, Clone)]
pub struct AuthenticationRequest<'a> {
    /// The client id.
    pub client_id: &'a str,
    /// Where the answer goes.
    pub redirect_uri: &'a str,
    /// The scopes, `openid` among them.
    pub scope: &'a str,
    /// A random text that ties the answer to the request.
    pub state: &'a str,
    /// A random text that ties the ID token to the request.
    pub nonce: &'a str,
    /// The public half of PKCE.
    pub code_challenge: &'a str,
    /// How long ago the person may have authenticated, in seconds; 0: now. It makes providers say when that was (`auth_time`).
    pub max_age_secs: u64,
}

impl AuthenticationRequest<'_> {
    /// The address to which the person is sent.
    pub fn url(&self, server: &ServerMetadata) -> Result<String, ClientError> {
        let endpoint = server.authorization_endpoint.as_deref().ok_or(ClientError::Unsupported("an authorization endpoint"))?;
        let max_age = self.max_age_secs.to_string();
        let pairs = [
            ("max_age", max_age.as_str()),
            ("response_type", "code"),
            ("client_id", self.client_id),
            ("redirect_uri", self.redirect_uri),
            ("scope", self.scope),
            ("state", self.state),
            ("nonce", self.nonce),
            ("code_challenge", self.code_challenge),
            ("code_challenge_method", "S256"),
        ];
        let joint = if endpoint.contains('?') { '&' } else { '?' };
        Ok(format!("{endpoint}{joint}{}", form::write(pairs)))
    }
}

/// The parameters of the authorization code grant.
pub fn code_exchange<'a>(code: &'a str, verifier: &'a str, redirect_uri: &'a str) -> [(&'a str, &'a str); 4] {
    [("grant_type", "authorization_code"), ("code", code), ("code_verifier", verifier), ("redirect_uri", redirect_uri)]
}

/// The ID token in a token endpoint's answer.
pub fn id_token(answer: &[u8]) -> Result<Zeroizing<String>, ClientError> {
    let value: Value = serde_json::from_slice(answer).map_err(|_| ClientError::Document("token response"))?;
    let token =
        value.get("id_token").and_then(Value::as_str).ok_or(ClientError::Document("token response without an ID token"))?;
    Ok(Zeroizing::new(token.to_owned()))
}

/// What an ID token says of a person.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Vouched {
    /// The provider's name for the person.
    pub subject: String,
    /// The person's address, if the provider has verified it: lower case, since people write it as they like.
    pub email: Option<String>,
    /// How strongly the person authenticated.
    pub acr: Option<String>,
    /// When, in seconds since the epoch.
    pub auth_time_secs: Option<u64>,
    /// What conditions of trust policies may name, by the claim's name.
    pub claims: Vec<(&'static str, Vec<String>)>,
    /// The claims of [`TOLD_ELSEWHERE`] of which it says nothing at all.
    pub missing: Vec<&'static str>,
}

/// The claims that a provider may tell at its UserInfo endpoint instead.
pub const TOLD_ELSEWHERE: [&str; 2] = ["email", "groups"];

impl Vouched {
    /// Takes from a UserInfo endpoint's answer what the ID token was silent about. It must be about the same person, else nothing of it may
    /// be believed (OpenID Connect Core 1.0, section 5.3.2).
    pub fn complete(&mut self, answer: &[u8]) -> Result<(), ClientError> {
        const WHAT: &str = "answer of the UserInfo endpoint";
        let told = client::document(answer, WHAT)?;
        let told = told.as_object().ok_or(ClientError::Document(WHAT))?;
        if told.get("sub").and_then(Value::as_str) != Some(&self.subject) {
            return Err(ClientError::Document("answer of the UserInfo endpoint: it is about somebody else"));
        }
        for (name, values) in claims_of(told) {
            if !self.missing.contains(&name) || values.is_empty() {
                continue;
            }
            if name == "email" {
                self.email = values.first().cloned();
            }
            self.claims.retain(|(known, _)| *known != name);
            self.claims.insert(0, (name, values));
        }
        self.missing.retain(|name| !told.contains_key(*name));
        Ok(())
    }
}

/// The access token in a token endpoint's answer, if there is one that whoever has it may use.
pub fn access_token(answer: &[u8]) -> Option<Zeroizing<String>> {
    let value: Value = serde_json::from_slice(answer).ok()?;
    let kind = value.get("token_type").and_then(Value::as_str)?;
    let token = value.get("access_token").and_then(Value::as_str)?;
    kind.eq_ignore_ascii_case("bearer").then(|| Zeroizing::new(token.to_owned()))
}

/// Verifies an ID token that answers a request (OpenID Connect Core, section 3.1.3.7).
pub fn verify(
    token: Unverified<'_>,
    issuer: &str,
    client_id: &str,
    nonce: &str,
    keys: &JwkSet,
    now_secs: u64,
) -> Result<Vouched, JwtError> {
    let token = token.verify(keys)?;
    token.typ_is(&TYPS)?;
    token.issuer_is(issuer)?;
    token.times(now_secs)?;
    let audiences = token.audiences()?;
    if !audiences.contains(&client_id) {
        return Err(JwtError::Audience);
    }
    // A token for several says for whom it was issued.
    match token.text_if_any("azp")? {
        Some(party) if party != client_id => return Err(JwtError::Audience),
        None if audiences.len() > 1 => return Err(JwtError::Missing("azp")),
        _ => {}
    }
    if token.text("nonce")? != nonce {
        return Err(JwtError::Claim("nonce"));
    }
    vouched(&token, client_id)
}

fn fit(text: &str) -> bool {
    (1..=NAME_BYTES_MAX).contains(&text.len()) && !text.chars().any(char::is_control)
}

fn is_address(text: &str) -> bool {
    fit(text) && text.contains('@')
}

fn vouched(token: &Token, client_id: &str) -> Result<Vouched, JwtError> {
    let subject = token.text("sub")?;
    if !fit(subject) {
        return Err(JwtError::Claim("sub"));
    }
    let verified = token.claims().get("email_verified").and_then(Value::as_bool) == Some(true);
    let email = token.text_if_any("email")?.filter(|email| verified && is_address(email)).map(str::to_ascii_lowercase);
    let acr = token.text_if_any("acr")?.filter(|acr| fit(acr)).map(str::to_owned);
    let auth_time_secs = token.claims().get("auth_time").and_then(Value::as_u64);
    let mut claims = claims(token);
    claims.push(("sub", vec![subject.to_owned()]));
    claims.push(("aud", vec![client_id.to_owned()]));
    let missing = TOLD_ELSEWHERE.into_iter().filter(|name| !token.claims().contains_key(*name)).collect();
    Ok(Vouched { subject: subject.to_owned(), email, acr, auth_time_secs, claims, missing })
}

/// The claims besides subject and audience that conditions may name: `amr`, `groups`, and `email` once it is verified.
pub fn claims(token: &Token) -> Vec<(&'static str, Vec<String>)> {
    claims_of(token.claims())
}

fn claims_of(told: &Map<String, Value>) -> Vec<(&'static str, Vec<String>)> {
    let texts = |name: &'static str| {
        let values = told.get(name).and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
        (name, values.iter().filter_map(Value::as_str).take(VALUES_MAX).map(str::to_owned).collect::<Vec<_>>())
    };
    let verified = told.get("email_verified").and_then(Value::as_bool) == Some(true);
    let email = told.get("email").and_then(Value::as_str).filter(|email| verified && is_address(email));
    let mut claims = vec![texts("amr"), texts("groups")];
    claims.extend(email.map(|email| ("email", vec![email.to_ascii_lowercase()])));
    claims
}
