//! What goes over the wire to authorization servers: their documents, registrations, requests for tokens.

use bytes::Bytes;
use http::{HeaderValue, Request, header};
use http_body_util::Full;
use remit_identity::challenge::Challenge;
use remit_identity::client::{
    AuthMethod, ClientAuth, ClientError, Registered, ResourceMetadata, ServerMetadata, TokenResponse, client_metadata,
    resource_metadata_urls, server_metadata_urls, token_call,
};
use remit_identity::jwk::{Algorithm, SigningKey};
use remit_model::{Network, SecretRef};
use zeroize::Zeroizing;

use super::{CredentialError, UpstreamCredentials, refused, sensitive};
use crate::fetch::{FETCH_TIMEOUT, FetchError, document};
use crate::random;

/// What a client proves itself with.
pub(super) enum Proof<'a> {
    /// Nothing.
    None,
    /// A secret or, with an algorithm, a key: what the configuration names.
    Configured(&'a SecretRef, Option<&'a str>),
    /// A secret that a registration gave.
    Secret(&'a str),
}

/// Remit as it shows itself to one token endpoint.
pub(super) struct Identity<'a> {
    pub(super) client_id: &'a str,
    pub(super) method: AuthMethod,
    pub(super) proof: Proof<'a>,
    /// Whom an assertion is for.
    pub(super) audience: &'a str,
}

impl UpstreamCredentials {
    /// The metadata of the server as a protected resource (RFC 9728); `None` if it publishes none.
    pub(super) async fn resource(
        &self,
        network: Network,
        url: &str,
        challenge: Option<&Challenge>,
    ) -> Result<Option<ResourceMetadata>, CredentialError> {
        match self.first(network, resource_metadata_urls(url, challenge), "protected resource metadata").await? {
            Ok(body) => Ok(Some(ResourceMetadata::parse(&body, url)?)),
            // A challenge that names a document promises it.
            Err(fault) if challenge.is_some_and(|challenge| challenge.resource_metadata.is_some()) => Err(refused(fault)),
            Err(_) => Ok(None),
        }
    }

    /// The metadata of an authorization server (RFC 8414).
    pub(super) async fn issuer(&self, network: Network, issuer: &str) -> Result<ServerMetadata, CredentialError> {
        let body = self.first(network, server_metadata_urls(issuer), "authorization server metadata").await?;
        Ok(ServerMetadata::parse(&body.map_err(refused)?, issuer)?)
    }

    /// The first document that is there; within it, that there is none. One that is there and unfit is an error of its reader, not a
    /// reason to ask elsewhere.
    async fn first(&self, network: Network, urls: Vec<String>, what: &str) -> Result<Result<Bytes, String>, CredentialError> {
        let mut fault = format!("there is no place for {what}");
        for url in urls {
            match document(&url, network, &self.tls).await {
                Ok(body) => return Ok(Ok(body)),
                Err(error @ FetchError::Status { status, .. }) if status.is_client_error() => {
                    fault = format!("no {what}: {error}");
                }
                Err(error) => return Err(refused(format!("no {what}: {error}"))),
            }
        }
        Ok(Err(fault))
    }

    /// Registers Remit as a client (RFC 7591).
    pub(super) async fn register(
        &self,
        network: Network,
        endpoint: &str,
        redirect_uri: &str,
        method: AuthMethod,
    ) -> Result<Registered, CredentialError> {
        let body = client_metadata(None, redirect_uri, method.as_str(), None).to_string();
        let mut request = post(Bytes::from(body));
        request.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
        let (status, answer) = self.fetch(network, endpoint, request).await?;
        Ok(Registered::parse(status, &answer)?)
    }

    /// Asks a token endpoint for a token.
    pub(super) async fn ask(
        &self,
        network: Network,
        endpoint: &str,
        identity: &Identity<'_>,
        parameters: &[(&str, &str)],
    ) -> Result<TokenResponse, CredentialError> {
        Ok(self.try_ask(network, endpoint, identity, parameters).await??)
    }

    /// The same, with the authorization server's own no set apart from everything else that can go wrong.
    pub(super) async fn try_ask(
        &self,
        network: Network,
        endpoint: &str,
        identity: &Identity<'_>,
        parameters: &[(&str, &str)],
    ) -> Result<Result<TokenResponse, ClientError>, CredentialError> {
        let configured;
        let (secret, algorithm): (Option<&str>, Option<&str>) = match identity.proof {
            Proof::None => (None, None),
            Proof::Secret(secret) => (Some(secret), None),
            Proof::Configured(reference, algorithm) => {
                configured = self.secret(reference)?;
                (Some(&configured), algorithm)
            }
        };
        let key;
        let auth = match (identity.method, secret) {
            (AuthMethod::None, _) => ClientAuth::None,
            (AuthMethod::Secret(method), Some(secret)) => ClientAuth::Secret(method, secret),
            (AuthMethod::PrivateKey, Some(pem)) => {
                let name = algorithm.unwrap_or_default();
                let algorithm = Algorithm::parse(name).ok_or_else(|| refused(format!("the algorithm `{name}` is not known")))?;
                key = SigningKey::from_pem(pem, algorithm, None).map_err(|error| refused(error.to_string()))?;
                let random = random().ok_or_else(|| refused("the system has no randomness to give"))?;
                ClientAuth::PrivateKey { key: &key, audience: identity.audience, now_secs: (self.now_secs)(), random }
            }
            (_, None) => return Err(refused("the client has nothing to authenticate with")),
        };
        let call = token_call(endpoint, identity.client_id, auth, parameters).map_err(|error| refused(error.to_string()))?;
        let mut request = post(Bytes::copy_from_slice(call.body.as_bytes()));
        let headers = request.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/x-www-form-urlencoded"));
        if let Some(authorization) = &call.authorization {
            headers.insert(header::AUTHORIZATION, sensitive(authorization)?);
        }
        let (status, answer) = self.fetch(network, &call.url, request).await?;
        let answer = Zeroizing::new(answer.to_vec());
        Ok(TokenResponse::parse(status, &answer))
    }

    /// The challenge that the server makes to who shows nothing; `None` if it makes none.
    pub(super) async fn probe(&self, network: Network, url: &str) -> Result<Option<String>, CredentialError> {
        // Every server must refuse this without a token, if it takes tokens at all.
        const DISCOVER: &str = concat!(
            r#"{"jsonrpc":"2.0","id":"remit-probe","method":"server/discover","params":{"_meta":{"#,
            r#""io.modelcontextprotocol/protocolVersion":"2026-07-28","io.modelcontextprotocol/clientCapabilities":{}}}}"#
        );
        let mut request = post(Bytes::from_static(DISCOVER.as_bytes()));
        let headers = request.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
        headers.insert(header::ACCEPT, HeaderValue::from_static("application/json, text/event-stream"));
        headers.insert("mcp-protocol-version", HeaderValue::from_static("2026-07-28"));
        headers.insert("mcp-method", HeaderValue::from_static("server/discover"));
        let response = remit_egress::fetch(url, network, &self.tls, FETCH_TIMEOUT, request)
            .await
            .map_err(|error| refused(error.to_string()))?;
        let fields = response.headers().get_all(header::WWW_AUTHENTICATE).iter().filter_map(|value| value.to_str().ok());
        let challenge = fields.collect::<Vec<_>>().join(", ");
        Ok((response.status() == http::StatusCode::UNAUTHORIZED).then_some(challenge))
    }

    async fn fetch(&self, network: Network, url: &str, request: Request<Full<Bytes>>) -> Result<(u16, Bytes), CredentialError> {
        let response = remit_egress::fetch(url, network, &self.tls, FETCH_TIMEOUT, request)
            .await
            .map_err(|error| refused(error.to_string()))?;
        Ok((response.status().as_u16(), response.into_body()))
    }
}

fn post(body: Bytes) -> Request<Full<Bytes>> {
    let mut request = Request::new(Full::new(body));
    *request.method_mut() = http::Method::POST;
    request.headers_mut().insert(header::ACCEPT, HeaderValue::from_static("application/json"));
    request
}
