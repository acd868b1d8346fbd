//! Signing people in with the console's OpenID provider: a person's browser goes there and comes back once.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use aws_lc_rs::constant_time::verify_slices_are_equal;
use aws_lc_rs::digest::{SHA256, digest};
use bytes::Bytes;
use http::{HeaderValue, Request, header};
use http_body_util::Full;
use remit_identity::client::{
    ClientAuth, ClientError, ServerMetadata, authorization_code, pkce_challenge, pkce_verifier, token_call,
};
use remit_identity::openid::{self, AuthenticationRequest, Vouched};
use remit_identity::{LEEWAY_SECS, base64url_encode, form, jwt, metadata::WELL_KNOWN_OPENID};
use remit_kernel::assume::WebIdentity;
use remit_model::{Issuer, Person, Proof, SignIn};
use rustls::ClientConfig;
use zeroize::Zeroizing;

use crate::fetch::{FETCH_TIMEOUT, document};
use crate::issuers::IssuerKeys;
use crate::random;

/// How long a person may take, in seconds.
const ATTEMPT_SECS: u64 = 10 * 60;
/// The most attempts that are remembered: of more the oldest is forgotten.
const ATTEMPTS_MAX: usize = 256;
/// The largest query of a redirect, in bytes.
const QUERY_BYTES_MAX: usize = 32 * 1024;

/// Why nobody was signed in. Holds nothing secret.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SignInError {
    /// The provider could not be asked, or says what can't be.
    #[error("the sign-in at {provider} failed: {fault}")]
    Provider {
        /// The provider.
        provider: String,
        /// What went wrong.
        fault: String,
    },
    /// Nobody waits for this answer.
    #[error("nobody waits for this answer: it was used before, came too late, or another browser began; try again")]
    Unknown,
    /// The system has no randomness to give.
    #[error("the system has no randomness to give")]
    Randomness,
}

struct Attempt {
    /// The digest of what only the browser has that began.
    browser: [u8; 32],
    provider: SignIn,
    metadata: ServerMetadata,
    state: Zeroizing<String>,
    nonce: Zeroizing<String>,
    verifier: Zeroizing<String>,
    max_age_secs: u64,
    began_secs: u64,
}

/// The sign-ins that are under way.
pub struct SignIns {
    tls: Arc<ClientConfig>,
    keys: IssuerKeys,
    /// By the digest of `state`: looking it up tells nobody anything.
    attempts: Mutex<HashMap<[u8; 32], Attempt>>,
}

impl std::fmt::Debug for SignIns {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("SignIns")
    }
}

fn sha256(text: &str) -> [u8; 32] {
    let mut bytes = [0; 32];
    bytes.copy_from_slice(digest(&SHA256, text.as_bytes()).as_ref());
    bytes
}

fn text() -> Result<Zeroizing<String>, SignInError> {
    random::<32>().map(|bytes| Zeroizing::new(base64url_encode(&bytes))).ok_or(SignInError::Randomness)
}

fn failed(provider: &SignIn, fault: impl std::fmt::Display) -> SignInError {
    SignInError::Provider { provider: provider.provider().to_owned(), fault: format!("{fault}") }
}

impl SignIns {
    /// None yet.
    pub fn new(tls: Arc<ClientConfig>) -> Self {
        Self { keys: IssuerKeys::new(Arc::clone(&tls)), tls, attempts: Mutex::default() }
    }

    /// Begins: the address for the person's browser. `browser` is the digest of what only that browser will have; `max_age_secs` how long ago
    /// the person may have authenticated.
    pub async fn begin(
        &self,
        provider: &SignIn,
        redirect_uri: &str,
        browser: [u8; 32],
        max_age_secs: u64,
        now_secs: u64,
    ) -> Result<String, SignInError> {
        let url = format!("{}{WELL_KNOWN_OPENID}", provider.issuer.trim_end_matches('/'));
        let found = document(&url, provider.network, &self.tls).await.map_err(|error| failed(provider, error))?;
        let metadata = ServerMetadata::parse(&found, &provider.issuer).map_err(|error| failed(provider, error))?;
        let (state, nonce) = (text()?, text()?);
        let verifier = pkce_verifier(&random::<32>().ok_or(SignInError::Randomness)?);
        let address = AuthenticationRequest {
            client_id: &provider.client_id,
            redirect_uri,
            scope: &provider.scopes.join(" "),
            state: &state,
            nonce: &nonce,
            code_challenge: &pkce_challenge(&verifier),
            max_age_secs,
        };
        let address = address.url(&metadata).map_err(|error| failed(provider, error))?;
        let key = sha256(&state);
        let attempt =
            Attempt { browser, provider: provider.clone(), metadata, state, nonce, verifier, max_age_secs, began_secs: now_secs };
        let mut attempts = self.attempts();
        attempts.retain(|_, attempt| now_secs < attempt.began_secs.saturating_add(ATTEMPT_SECS));
        if attempts.len() >= ATTEMPTS_MAX
            && let Some(oldest) = attempts.iter().min_by_key(|(_, attempt)| attempt.began_secs).map(|(key, _)| *key)
        {
            attempts.remove(&oldest);
        }
        attempts.insert(key, attempt);
        Ok(address)
    }

    /// Ends with the query that the browser brought back: who it is. `provider` is the one in effect, `secret` the client's. Where the ID token
    /// says nothing of the claims of `needed`, the provider's UserInfo endpoint is asked, if it has one.
    pub async fn end(
        &self,
        (provider, needed): (&SignIn, &[&str]),
        secret: Option<&str>,
        redirect_uri: &str,
        query: &str,
        browser: [u8; 32],
        now_secs: u64,
    ) -> Result<(Person, WebIdentity), SignInError> {
        let attempt = self.taken(query, browser, now_secs)?;
        // The configuration may have changed while the person was away.
        if attempt.provider != *provider {
            return Err(SignInError::Unknown);
        }
        let fault = |error: ClientError| failed(provider, error);
        let code = authorization_code(query, &attempt.state, &attempt.metadata).map_err(fault)?;
        let answer = self.exchanged(&attempt, secret, redirect_uri, &code).await?;
        let token = openid::id_token(&answer).map_err(fault)?;
        let fault = |error: jwt::JwtError| failed(provider, error);
        let unverified = jwt::parse(&token).map_err(fault)?;
        let issuer = Issuer {
            name: provider.provider().to_owned(),
            url: provider.issuer.clone(),
            audiences: Vec::new(),
            network: provider.network,
            users: true,
        };
        let keys = self.keys.keys_for(&issuer, &unverified, now_secs).await.map_err(|error| failed(provider, error))?;
        let vouched = openid::verify(unverified, &provider.issuer, &provider.client_id, &attempt.nonce, &keys, now_secs);
        let mut vouched = vouched.map_err(fault)?;
        // Who doesn't say when it was can't be held to it; whoever asks for a time later on sees that there is none.
        let oldest = attempt.began_secs.saturating_sub(attempt.max_age_secs).saturating_sub(LEEWAY_SECS);
        if vouched.auth_time_secs.is_some_and(|at| at < oldest) {
            return Err(failed(provider, "it let in somebody who authenticated too long ago"));
        }
        if let Some(url) = attempt.metadata.userinfo_endpoint.as_deref()
            && vouched.missing.iter().any(|claim| needed.contains(claim))
        {
            let told = self.user_info(provider, url, &answer).await?;
            vouched.complete(&told).map_err(|error| failed(provider, error))?;
        }
        Ok(known(provider, vouched))
    }

    /// What the UserInfo endpoint says to the access token of a token endpoint's answer. A provider that has one and doesn't answer lets nobody
    /// in: without it a person could go by another name than at other times.
    async fn user_info(&self, provider: &SignIn, url: &str, answer: &[u8]) -> Result<Bytes, SignInError> {
        let token =
            openid::access_token(answer).ok_or_else(|| failed(provider, "it gave no bearer token for its UserInfo endpoint"))?;
        let mut request = Request::new(Full::default());
        let headers = request.headers_mut();
        headers.insert(header::ACCEPT, HeaderValue::from_static("application/json"));
        let bearer = Zeroizing::new(format!("Bearer {}", token.as_str()));
        let mut value = HeaderValue::from_str(&bearer).map_err(|_| failed(provider, "its access token can't be sent"))?;
        value.set_sensitive(true);
        headers.insert(header::AUTHORIZATION, value);
        let response = remit_egress::fetch(url, provider.network, &self.tls, FETCH_TIMEOUT, request).await;
        let response = response.map_err(|error| failed(provider, error))?;
        let kind = response.headers().get(header::CONTENT_TYPE).and_then(|kind| kind.to_str().ok()).unwrap_or_default();
        let json = kind.split(';').next().unwrap_or_default().trim().eq_ignore_ascii_case("application/json");
        match response.status().as_u16() {
            200 if json => Ok(response.into_body()),
            200 => Err(failed(provider, "its UserInfo endpoint answered something else than JSON")),
            status => Err(failed(provider, format!("its UserInfo endpoint answered {status}"))),
        }
    }

    fn attempts(&self) -> MutexGuard<'_, HashMap<[u8; 32], Attempt>> {
        self.attempts.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The attempt that an answer belongs to; it can't be answered again.
    fn taken(&self, query: &str, browser: [u8; 32], now_secs: u64) -> Result<Attempt, SignInError> {
        if query.len() > QUERY_BYTES_MAX {
            return Err(SignInError::Unknown);
        }
        let parameters = form::parse(query.as_bytes()).map_err(|_| SignInError::Unknown)?;
        let state = parameters.get("state").ok_or(SignInError::Unknown)?;
        let attempt = self.attempts().remove(&sha256(state)).ok_or(SignInError::Unknown)?;
        let alive = now_secs < attempt.began_secs.saturating_add(ATTEMPT_SECS);
        let own = verify_slices_are_equal(&attempt.browser, &browser).is_ok();
        if alive && own { Ok(attempt) } else { Err(SignInError::Unknown) }
    }

    /// Exchanges the code for the answer that has the ID token.
    async fn exchanged(
        &self,
        attempt: &Attempt,
        secret: Option<&str>,
        redirect_uri: &str,
        code: &str,
    ) -> Result<Zeroizing<Vec<u8>>, SignInError> {
        let (provider, metadata) = (&attempt.provider, &attempt.metadata);
        let auth = secret.map_or(ClientAuth::None, |secret| ClientAuth::Secret(metadata.secret_method(), secret));
        let parameters = openid::code_exchange(code, &attempt.verifier, redirect_uri);
        let call = token_call(&metadata.token_endpoint, &provider.client_id, auth, &parameters);
        let call = call.map_err(|error| failed(provider, error))?;
        let mut request = Request::new(Full::new(Bytes::copy_from_slice(call.body.as_bytes())));
        *request.method_mut() = http::Method::POST;
        let headers = request.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/x-www-form-urlencoded"));
        headers.insert(header::ACCEPT, HeaderValue::from_static("application/json"));
        if let Some(authorization) = &call.authorization {
            let mut value = HeaderValue::from_str(authorization).map_err(|_| failed(provider, "its secret can't be sent"))?;
            value.set_sensitive(true);
            headers.insert(header::AUTHORIZATION, value);
        }
        let response = remit_egress::fetch(&call.url, provider.network, &self.tls, FETCH_TIMEOUT, request).await;
        let response = response.map_err(|error| failed(provider, error))?;
        let (status, answer) = (response.status().as_u16(), Zeroizing::new(response.into_body().to_vec()));
        if status != 200 {
            let error = remit_identity::client::TokenResponse::parse(status, &answer).err();
            return Err(failed(provider, error.map_or_else(|| format!("status {status}"), |error| error.to_string())));
        }
        Ok(answer)
    }
}

/// The person, as records name them, and what trust policies are held against.
fn known(provider: &SignIn, vouched: Vouched) -> (Person, WebIdentity) {
    let name = provider.provider().to_owned();
    // Without an address that was verified the provider's own name for the person is the only one that nobody else has.
    let id = vouched.email.clone().unwrap_or_else(|| format!("{}#{}", provider.issuer, vouched.subject));
    let claims = vouched.claims.into_iter().map(|(claim, values)| (format!("{name}:{claim}"), values)).collect();
    let identity = WebIdentity { provider: name, subject: vouched.subject.clone(), audience: provider.client_id.clone(), claims };
    let proof = Proof::SignIn {
        issuer: provider.issuer.clone(),
        subject: vouched.subject,
        acr: vouched.acr,
        auth_time_secs: vouched.auth_time_secs,
    };
    (Person { id, proof }, identity)
}
