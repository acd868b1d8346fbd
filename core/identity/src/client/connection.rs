//! A standing authorization towards a server: which authorization server gives it, with which scopes, and how it is renewed.

use super::{ClientError, ResourceMetadata, SecretMethod, ServerMetadata, cut};
use crate::metadata::origin_and_path;

/// The most scopes that one authorization holds.
const SCOPES_MAX: usize = 256;

/// How a client authenticates at a token endpoint (the registry of RFC 8414 section 2).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AuthMethod {
    /// `none`: a public client.
    None,
    /// A secret, in the header or in the form.
    Secret(SecretMethod),
    /// `private_key_jwt` (RFC 7523).
    PrivateKey,
}

impl AuthMethod {
    /// The method's registered name.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Secret(SecretMethod::Basic) => "client_secret_basic",
            Self::Secret(SecretMethod::Post) => "client_secret_post",
            Self::PrivateKey => "private_key_jwt",
        }
    }

    /// The method with this name, if it is one of ours.
    pub fn parse(name: &str) -> Option<Self> {
        let all = [Self::None, Self::Secret(SecretMethod::Basic), Self::Secret(SecretMethod::Post), Self::PrivateKey];
        all.into_iter().find(|method| method.as_str() == name)
    }
}

impl ServerMetadata {
    /// The method to register with: a secret where one can be had, since Remit can keep one.
    pub fn method_to_register(&self) -> Result<AuthMethod, ClientError> {
        // RFC 8414 section 2: without a list, `client_secret_basic` it is.
        let Some(methods) = &self.auth_methods else { return Ok(AuthMethod::Secret(SecretMethod::Basic)) };
        [AuthMethod::Secret(SecretMethod::Basic), AuthMethod::Secret(SecretMethod::Post), AuthMethod::None]
            .into_iter()
            .find(|method| methods.iter().any(|offered| offered == method.as_str()))
            .ok_or(ClientError::Unsupported("a way for a client to authenticate that Remit can register"))
    }

    /// The metadata demands PKCE with S256: MCP forbids to go on without (2025-11-25, "Authorization Code Protection").
    pub fn require_s256(&self) -> Result<(), ClientError> {
        if self.code_challenge_methods.iter().any(|method| method == "S256") {
            Ok(())
        } else {
            Err(ClientError::Unsupported("PKCE with S256"))
        }
    }

    /// The metadata demands that codes go to the origin where they are given, unless every answer names its issuer in `iss`, which
    /// [`authorization_code`](super::authorization_code) then checks. Otherwise a hostile server could name the consent page of an honest
    /// one next to a token endpoint of its own, and be brought the code and the PKCE verifier (mix-up: RFC 9700 section 4.4). For
    /// metadata of an issuer that nobody vouches for; the demand is stricter than RFC 9700's.
    ///
    /// # Errors
    ///
    /// [`ClientError::Apart`], or [`ClientError::Unsupported`] without an authorization endpoint.
    pub fn require_one_origin(&self) -> Result<(), ClientError> {
        let authorization =
            self.authorization_endpoint.as_deref().ok_or(ClientError::Unsupported("an authorization endpoint"))?;
        if self.iss_in_responses || same_origin(authorization, &self.token_endpoint) {
            return Ok(());
        }
        let shown = |url: &str| cut(&origin(url).unwrap_or_default());
        Err(ClientError::Apart(shown(authorization), shown(&self.token_endpoint)))
    }
}

/// The parameters of a renewal (RFC 6749 section 6). No scope is asked for, so that it stays what was granted.
pub fn refresh<'a>(refresh_token: &'a str, resource: &'a str) -> Vec<(&'a str, &'a str)> {
    vec![("grant_type", "refresh_token"), ("refresh_token", refresh_token), ("resource", resource)]
}

/// The issuer to go to, of those that the resource names: the one that is required, else the one that was used before, else the
/// first. Issuers are compared character by character (RFC 8414 section 3.3).
pub fn choose_issuer<'a>(
    resource: &'a ResourceMetadata,
    required: Option<&str>,
    before: Option<&str>,
) -> Result<&'a str, ClientError> {
    let named = |issuer: &str| resource.authorization_servers.iter().find(|one| *one == issuer).map(String::as_str);
    match required {
        Some(issuer) => named(issuer)
            .ok_or_else(|| ClientError::Issuer(resource.authorization_servers.first().map(|one| cut(one)).unwrap_or_default())),
        None => before
            .and_then(named)
            .or_else(|| resource.authorization_servers.first().map(String::as_str))
            .ok_or(ClientError::Document("protected resource metadata")),
    }
}

/// The issuer of a server that publishes no metadata of itself: its own origin (MCP 2025-03-26, "Authorization Base URL"). No later
/// revision has that rule, but servers from then are still in use, and a server may always be its own authorization server.
pub fn authorization_base(server_url: &str) -> Option<String> {
    origin(server_url)
}

/// The origin of a URL: scheme, host in lower case, and port unless it is the scheme's own (RFC 6454 sections 4 and 6.2). `None` if it
/// isn't an `http` or `https` URL.
pub fn origin(url: &str) -> Option<String> {
    origin_and_path(url).map(|(origin, _)| origin)
}

/// Whether two URLs have the same origin (RFC 6454 section 5). Two without any haven't.
pub fn same_origin(one: &str, other: &str) -> bool {
    origin(one).is_some_and(|one| origin(other).is_some_and(|other| one == other))
}

/// All scopes of both, each once, in order: what a step-up asks for, so that it takes nothing away (MCP 2026-07-28, "Step-Up
/// Authorization Flow").
pub fn scope_union(held: Option<&str>, more: Option<&str>) -> Option<String> {
    let mut scopes: Vec<&str> = Vec::new();
    for scope in [held, more].into_iter().flatten().flat_map(str::split_ascii_whitespace) {
        if !scopes.contains(&scope) && scopes.len() < SCOPES_MAX {
            scopes.push(scope);
        }
    }
    (!scopes.is_empty()).then(|| scopes.join(" "))
}

/// Whether every scope that is wanted is held.
pub fn scope_covers(held: Option<&str>, wanted: &str) -> bool {
    let held: Vec<&str> = held.unwrap_or_default().split_ascii_whitespace().collect();
    wanted.split_ascii_whitespace().all(|scope| held.contains(&scope))
}
