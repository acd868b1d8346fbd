//! Metadata documents of Remit: the authorization server (RFC 8414) and each space as a protected resource (RFC 9728).

use serde_json::{Value, json};

use crate::access::SCOPES;
use crate::jwk::Algorithm;
use crate::token::{GRANT_CLIENT_CREDENTIALS, GRANT_TOKEN_EXCHANGE};

/// Where an authorization server's metadata stands under its origin.
pub const WELL_KNOWN_AUTHORIZATION_SERVER: &str = "/.well-known/oauth-authorization-server";
/// Where an OpenID provider's metadata stands.
pub const WELL_KNOWN_OPENID: &str = "/.well-known/openid-configuration";
/// Where a protected resource's metadata stands under its origin.
pub const WELL_KNOWN_RESOURCE: &str = "/.well-known/oauth-protected-resource";

/// The metadata of Remit as an authorization server (RFC 8414 section 2).
pub fn authorization_server(issuer: &str, token_endpoint: &str, jwks_uri: &str) -> Value {
    let algorithms: Vec<&str> = Algorithm::ALL.into_iter().map(Algorithm::as_str).collect();
    json!({
        "issuer": issuer,
        "token_endpoint": token_endpoint,
        "jwks_uri": jwks_uri,
        // There is no authorization endpoint, but the member is required.
        "response_types_supported": [],
        "grant_types_supported": [GRANT_CLIENT_CREDENTIALS, GRANT_TOKEN_EXCHANGE],
        "token_endpoint_auth_methods_supported": ["client_secret_basic", "client_secret_post", "private_key_jwt"],
        "token_endpoint_auth_signing_alg_values_supported": algorithms,
        "scopes_supported": SCOPES,
    })
}

/// The metadata of a space (RFC 9728 section 2). The first authorization server is Remit's own.
pub fn protected_resource(address: &str, authorization_servers: &[&str], name: &str) -> Value {
    json!({
        "resource": address,
        "authorization_servers": authorization_servers,
        "bearer_methods_supported": ["header"],
        "scopes_supported": SCOPES,
        "resource_name": name,
    })
}

/// A URL with a well-known path put between its origin and its own path (RFC 8414 section 3.1, RFC 9728 section 3.1). `None`
/// if it isn't an `http` or `https` URL.
pub fn well_known(url: &str, path: &str) -> Option<String> {
    let (origin, own) = origin_and_path(url)?;
    let own = own.trim_end_matches('/');
    Some(format!("{origin}{path}{own}"))
}

/// The origin of a URL, normalized, and its path, without query and fragment.
pub(crate) fn origin_and_path(url: &str) -> Option<(String, String)> {
    let url = url.split_once('#').map_or(url, |(before, _)| before);
    let uri: http::Uri = url.parse().ok()?;
    let scheme = uri.scheme_str().filter(|scheme| matches!(*scheme, "http" | "https"))?;
    let authority = uri.authority()?;
    // Credentials in a URL are nobody's business here.
    if authority.as_str().contains('@') || authority.host().is_empty() {
        return None;
    }
    let port = match (scheme, authority.port_u16()) {
        ("http", Some(80)) | ("https", Some(443)) | (_, None) => String::new(),
        (_, Some(port)) => format!(":{port}"),
    };
    Some((format!("{scheme}://{}{port}", authority.host().to_ascii_lowercase()), uri.path().to_owned()))
}
