//! Making a connection: a person is sent to the authorization server, and the answer comes back once.

use std::sync::PoisonError;
use std::time::Duration;

use aws_lc_rs::constant_time::verify_slices_are_equal;
use aws_lc_rs::digest::{SHA256, digest};
use remit_identity::client::{
    AuthMethod, AuthorizationRequest, ClientError, Registration as Road, ServerMetadata, authorization_base, authorization_code,
    choose_issuer, choose_scope, code_exchange, origin, pkce_challenge, pkce_verifier, registration, same_origin, scope_union,
    with_offline_access,
};
use remit_identity::{base64url_encode, challenge, form};
use remit_model::ServerKey;
use tokio::sync::watch;
use zeroize::Zeroizing;

use super::connection::{Registered, identity};
use super::kept::{Client, Grant, Kept, Registration};
use super::{CredentialError, UpstreamCredentials, refused};
use crate::random;

/// How long a person may take, in seconds.
pub const ATTEMPT_SECS: u64 = 10 * 60;
/// The most attempts that are remembered.
const ATTEMPTS_MAX: usize = 64;
/// The longest scope that is asked for, in bytes.
const SCOPE_BYTES_MAX: usize = 8 * 1024;
/// The largest query of a redirect, in bytes.
const QUERY_BYTES_MAX: usize = 32 * 1024;

/// An attempt that a person must go on with.
#[derive(Debug, Clone)]
pub struct Begun {
    /// What the attempt is asked after with.
    pub id: String,
    /// Where the person's browser is to go.
    pub authorization_url: String,
    /// The authorization server.
    pub issuer: String,
    /// The origin where the person consents: of the authorization endpoint.
    pub consent_origin: String,
    /// The origin that gets the code and gives the tokens: of the token endpoint.
    pub token_origin: String,
    /// The origin that the tokens are shown to: of the server.
    pub server_origin: String,
    /// The scopes that are asked for.
    pub scope: Option<String>,
    /// The client id that Remit shows.
    pub client_id: String,
    /// For how long the answer is waited for, in seconds.
    pub expires_in_secs: u64,
}

/// How an attempt goes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Progress {
    /// The person hasn't answered yet.
    Waiting,
    /// The connection stands.
    Connected,
    /// It came to nothing, for this reason.
    Failed(String),
}

/// Why a redirect is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RedirectError {
    /// Nobody waits for it: it was answered before, it is too late, or nobody asked.
    #[error("nobody waits for this answer")]
    Unknown,
    /// It ends the attempt.
    #[error("{why}")]
    Refused {
        /// The server that was to be connected.
        server: ServerKey,
        /// Who began.
        by: String,
        /// What was wrong. Holds nothing secret.
        why: String,
    },
}

/// What a person granted: tokens that aren't in effect yet. See [`UpstreamCredentials::establish`].
pub struct Consent {
    id: String,
    server: ServerKey,
    grant: Grant,
}

impl std::fmt::Debug for Consent {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Consent").field("server", &self.server).finish_non_exhaustive()
    }
}

impl Consent {
    /// The server that it is for.
    pub fn server(&self) -> &ServerKey {
        &self.server
    }

    /// Who issued the tokens.
    pub fn issuer(&self) -> &str {
        &self.grant.issuer
    }

    /// The client that they were issued to.
    pub fn client_id(&self) -> &str {
        &self.grant.client.id
    }

    /// What was granted.
    pub fn scope(&self) -> Option<&str> {
        self.grant.scope.as_deref()
    }

    /// Who began.
    pub fn by(&self) -> &str {
        &self.grant.by
    }
}

/// Whether a token endpoint says that it doesn't know the client (RFC 6749 section 5.2).
pub(super) fn unknown_client(code: &str) -> bool {
    matches!(code, "invalid_client" | "unauthorized_client")
}

/// An attempt.
pub(super) struct Attempt {
    id: String,
    server: ServerKey,
    ends_secs: u64,
    /// The digest of its `state`: looking it up tells nobody anything.
    state_digest: [u8; 32],
    /// What the answer is checked with; taken by the first answer.
    waiting: Option<Box<Waiting>>,
    progress: watch::Sender<Progress>,
}

struct Waiting {
    by: String,
    registered: Registered,
    metadata: ServerMetadata,
    resource: String,
    scope: Option<String>,
    client: Client,
    verifier: Zeroizing<String>,
    state: Zeroizing<String>,
}

impl Attempt {
    fn end(&mut self, progress: Progress) {
        self.waiting = None;
        self.progress.send_if_modified(|held| {
            let open = *held == Progress::Waiting;
            if open {
                *held = progress;
            }
            open
        });
    }
}

fn sha256(text: &str) -> [u8; 32] {
    let mut bytes = [0; 32];
    bytes.copy_from_slice(digest(&SHA256, text.as_bytes()).as_ref());
    bytes
}

/// The attempt with this id, if it can still come to something; else why it can't.
fn open<'a>(attempts: &'a mut [Attempt], id: &str, now_secs: u64) -> Result<&'a mut Attempt, String> {
    let attempt = attempts.iter_mut().find(|attempt| attempt.id == id).ok_or("it was not finished in time")?;
    let progress = attempt.progress.borrow().clone();
    match progress {
        Progress::Waiting if now_secs < attempt.ends_secs => Ok(attempt),
        Progress::Waiting => Err("it was not finished in time".into()),
        Progress::Connected => Err("it was established before".into()),
        Progress::Failed(why) => Err(why),
    }
}

fn no_longer(server: &ServerKey, why: &str) -> CredentialError {
    refused(format!("the attempt to connect `{server}` has ended: {why}"))
}

/// The origins of consent, of tokens and of the server, if they may go together.
fn origins(registered: &Registered, metadata: &ServerMetadata) -> Result<[String; 3], CredentialError> {
    let consent = metadata.authorization_endpoint.as_deref().ok_or(ClientError::Unsupported("an authorization endpoint"))?;
    // An issuer in the registration is the operator's word that its endpoints are its own.
    if registered.client.issuer.is_none() {
        metadata.require_one_origin().map_err(|error| match error {
            ClientError::Apart(..) => refused(format!("{error}: if that is right, register it as the `issuer`")),
            error => error.into(),
        })?;
    }
    let origin = |url: &str| origin(url).ok_or_else(|| refused("an address has no origin"));
    Ok([origin(consent)?, origin(&metadata.token_endpoint)?, origin(&registered.url)?])
}

impl UpstreamCredentials {
    /// Begins to connect a server: finds its authorization server, makes Remit known there, and says where the person is to go. `by` is
    /// who asks, for the record. An earlier attempt for the same server ends.
    pub async fn connect(&self, server: &ServerKey, by: &str) -> Result<Begun, CredentialError> {
        let registered = self.registered(server)?;
        let Registered { url, network, client } = &registered;
        let header = self.probe(*network, url).await?;
        let challenge = header.as_deref().and_then(|header| challenge::parse(header).ok());
        // What is damaged must not keep anybody from connecting again.
        let kept = self.connections.kept(server).unwrap_or_default();
        let before = kept.grant.as_ref().filter(|grant| grant.url == *url);
        let found = self.resource(*network, url, challenge.as_ref()).await?;
        let issuer = if let Some(found) = &found {
            choose_issuer(found, client.issuer.as_deref(), before.map(|grant| grant.issuer.as_str()))?.to_owned()
        } else {
            let base = authorization_base(url).ok_or_else(|| refused("the server's address has no origin"))?;
            if client.issuer.as_ref().is_some_and(|issuer| *issuer != base) {
                return Err(refused("the server publishes no metadata that names the `issuer` of its registration"));
            }
            base
        };
        let metadata = self.issuer(*network, &issuer).await?;
        // Before Remit makes itself known there: it would be for nothing.
        metadata.require_s256()?;
        let [consent_origin, token_origin, server_origin] = origins(&registered, &metadata)?;
        let known = self.identify(server, &registered, &metadata, &kept).await?;
        let mut scope = choose_scope(&client.scopes, challenge.as_ref(), found.as_ref());
        // A step-up takes nothing away; what another issuer granted or withheld says nothing here.
        if let Some(wanted) = kept.wanted_scope.as_deref().filter(|_| before.is_some_and(|grant| grant.issuer == issuer)) {
            scope = scope_union(
                before.and_then(|grant| grant.scope.as_deref()),
                scope_union(scope.as_deref(), Some(wanted)).as_deref(),
            );
        }
        let scope = with_offline_access(scope, &metadata);
        if scope.as_ref().is_some_and(|scope| scope.len() > SCOPE_BYTES_MAX) {
            return Err(refused("the server asks for more scopes than can be asked for"));
        }
        let resource = found.map_or_else(|| url.clone(), |found| found.resource);

        let fault = || refused("the system has no randomness to give");
        let state = Zeroizing::new(base64url_encode(&*Zeroizing::new(random::<32>().ok_or_else(fault)?)));
        let verifier = pkce_verifier(&Zeroizing::new(random::<32>().ok_or_else(fault)?));
        let id = base64url_encode(&random::<16>().ok_or_else(fault)?);
        let request = AuthorizationRequest {
            client_id: &known.id,
            redirect_uri: &self.connections.redirect_uri,
            scope: scope.as_deref(),
            resource: &resource,
            state: &state,
            code_challenge: &pkce_challenge(&verifier),
        };
        let begun = Begun {
            id: id.clone(),
            authorization_url: request.url(&metadata)?,
            issuer,
            consent_origin,
            token_origin,
            server_origin,
            scope: scope.clone(),
            client_id: known.id.clone(),
            expires_in_secs: ATTEMPT_SECS,
        };
        let state_digest = sha256(&state);
        let waiting = Waiting { by: by.to_owned(), registered, metadata, resource, scope, client: known, verifier, state };
        self.wait_for(server, id, state_digest, waiting);
        Ok(begun)
    }

    fn wait_for(&self, server: &ServerKey, id: String, state_digest: [u8; 32], waiting: Waiting) {
        let now_secs = (self.now_secs)();
        let mut attempts = self.connections.attempts.lock().unwrap_or_else(PoisonError::into_inner);
        for old in attempts.iter_mut().filter(|old| old.server == *server) {
            old.end(Progress::Failed("a later attempt took its place".into()));
        }
        attempts.retain(|old| now_secs < old.ends_secs);
        if attempts.len() >= ATTEMPTS_MAX {
            attempts.remove(0).end(Progress::Failed("too many attempts are under way".into()));
        }
        attempts.push(Attempt {
            id,
            server: server.clone(),
            ends_secs: now_secs.saturating_add(ATTEMPT_SECS),
            state_digest,
            waiting: Some(Box::new(waiting)),
            progress: watch::channel(Progress::Waiting).0,
        });
    }

    /// Which client Remit is to an authorization server: the one that an operator registered, its metadata document, or one that it
    /// registers itself and keeps. Credentials of one issuer are never shown to another.
    async fn identify(
        &self,
        server: &ServerKey,
        registered: &Registered,
        metadata: &ServerMetadata,
        kept: &Kept,
    ) -> Result<Client, CredentialError> {
        let Registered { url, network, client } = registered;
        if let Some(own) = &client.registered {
            let method = match (&own.secret, &own.private_key_alg) {
                (_, Some(_)) => AuthMethod::PrivateKey,
                (Some(_), None) => AuthMethod::Secret(metadata.secret_method()),
                (None, None) => AuthMethod::None,
            };
            // On the server's own word, a secret that anybody can replay goes no further than the server's own origin.
            let shared = matches!(method, AuthMethod::Secret(_)) && client.issuer.is_none();
            if shared && !same_origin(&metadata.token_endpoint, url) {
                let what = "the server names an authorization server elsewhere";
                return Err(refused(format!("{what} (`{}`): register it as the `issuer`", metadata.issuer)));
            }
            return Ok(Client { id: own.client_id.clone(), secret: None, method, configured: true });
        }
        let endpoint = match registration(metadata, client.client_metadata_url.as_deref())? {
            Road::Document(id) => return Ok(Client { id, secret: None, method: AuthMethod::None, configured: false }),
            Road::Dynamic(endpoint) => endpoint,
        };
        let redirect_uri = &self.connections.redirect_uri;
        let alive = |ends_secs: Option<u64>| ends_secs.is_none_or(|end| (self.now_secs)().saturating_add(ATTEMPT_SECS) < end);
        if let Some(held) = &kept.registration
            && held.issuer == metadata.issuer
            && held.redirect_uri == *redirect_uri
            && alive(held.ends_secs)
        {
            return Ok(held.client.clone());
        }
        let asked = metadata.method_to_register()?;
        let answer = self.register(*network, &endpoint, redirect_uri, asked).await?;
        let method = match &answer.auth_method {
            None => asked,
            Some(name) => AuthMethod::parse(name)
                .filter(|method| *method != AuthMethod::PrivateKey)
                .ok_or_else(|| refused("the authorization server registered a way to authenticate that was not asked for"))?,
        };
        let secret = answer.client_secret.filter(|_| method != AuthMethod::None);
        let method = if secret.is_some() { method } else { AuthMethod::None };
        let client = Client { id: answer.client_id, secret, method, configured: false };
        let new = Registration {
            issuer: metadata.issuer.clone(),
            redirect_uri: redirect_uri.clone(),
            client: client.clone(),
            ends_secs: answer.secret_ends_secs,
        };
        self.connections.change(server, |kept| {
            kept.registration = Some(new);
            true
        })?;
        Ok(client)
    }

    /// Takes the answer that a browser brought: the query of the redirect. It is good once, whatever comes of it. What it grants isn't in
    /// effect until [`Self::establish`], so that it can be recorded first. An attempt that ended while the code was redeemed is refused.
    pub async fn redirected(&self, query: &str) -> Result<Consent, RedirectError> {
        let (id, server, waiting) = self.answered(query).ok_or(RedirectError::Unknown)?;
        let by = waiting.by.clone();
        let redeemed = self.redeem(query, &server, *waiting).await.and_then(|grant| {
            let mut attempts = self.connections.attempts.lock().unwrap_or_else(PoisonError::into_inner);
            match open(&mut attempts, &id, (self.now_secs)()) {
                Ok(_) => Ok(grant),
                Err(why) => Err(no_longer(&server, &why)),
            }
        });
        match redeemed {
            Ok(grant) => Ok(Consent { id, server, grant }),
            Err(error) => {
                let why = error.to_string();
                self.finish(&id, Progress::Failed(why.clone()));
                Err(RedirectError::Refused { server, by, why })
            }
        }
    }

    /// The attempt that an answer belongs to. Its `state` is used up.
    fn answered(&self, query: &str) -> Option<(String, ServerKey, Box<Waiting>)> {
        if query.len() > QUERY_BYTES_MAX {
            return None;
        }
        let state = Zeroizing::new(form::parse(query.as_bytes()).ok()?.remove("state")?);
        let given = sha256(&state);
        let now_secs = (self.now_secs)();
        let mut attempts = self.connections.attempts.lock().unwrap_or_else(PoisonError::into_inner);
        let attempt = attempts
            .iter_mut()
            .filter(|attempt| now_secs < attempt.ends_secs)
            .find(|attempt| verify_slices_are_equal(&attempt.state_digest, &given).is_ok())?;
        Some((attempt.id.clone(), attempt.server.clone(), attempt.waiting.take()?))
    }

    async fn redeem(&self, query: &str, server: &ServerKey, waiting: Waiting) -> Result<Grant, CredentialError> {
        let Waiting { by, registered, metadata, resource, scope, client, verifier, state } = waiting;
        let code = authorization_code(query, &state, &metadata)?;
        if self.registered(server)? != registered {
            return Err(refused(format!("the server `{server}` was registered anew in the meantime")));
        }
        let parameters = code_exchange(&code, &verifier, &self.connections.redirect_uri, &resource);
        let identity = identity(&client, &registered.client, &metadata.issuer);
        let token = self.try_ask(registered.network, &metadata.token_endpoint, &identity, &parameters).await?;
        if let Err(ClientError::Refused(code)) = &token
            && unknown_client(code)
        {
            // The next attempt registers anew.
            self.connections.change(server, |kept| kept.unregister(&metadata.issuer, &client))?;
        }
        let token = token?;
        let now_secs = (self.now_secs)();
        let mut grant = Grant {
            issuer: metadata.issuer.clone(),
            token_endpoint: metadata.token_endpoint.clone(),
            url: registered.url,
            resource,
            client,
            scope,
            access_token: Zeroizing::default(),
            refresh_token: None,
            obtained_secs: now_secs,
            ends_secs: None,
            by,
            connected_secs: now_secs,
        };
        grant.take(token, now_secs);
        Ok(grant)
    }

    /// Puts a consent into effect and keeps it, if its attempt hasn't ended: by a later one, by [`Self::disconnect`], by
    /// [`Self::abandon`], or because it took too long.
    ///
    /// # Errors
    ///
    /// The attempt has ended, and nothing has changed; or the connection couldn't be stored.
    pub fn establish(&self, consent: Consent) -> Result<(), CredentialError> {
        let Consent { id, server, grant } = consent;
        let now_secs = (self.now_secs)();
        // Held until the grant stands: whatever ends the attempt comes wholly before or wholly after.
        let mut attempts = self.connections.attempts.lock().unwrap_or_else(PoisonError::into_inner);
        let attempt = open(&mut attempts, &id, now_secs).map_err(|why| no_longer(&server, &why))?;
        let done = self.connections.change(&server, |kept| {
            if kept.grant.as_ref().is_some_and(|old| old.issuer != grant.issuer) {
                kept.wanted_scope = None;
            }
            kept.grant = Some(grant);
            kept.ended = None;
            true
        });
        attempt.end(match &done {
            Ok(_) => Progress::Connected,
            Err(error) => Progress::Failed(error.to_string()),
        });
        done.map(|_| ())
    }

    /// Forgets a server's connection and Remit's registration for it, and ends every attempt to connect it: what is still under way for
    /// any of them brings nothing back. `false` if there was neither.
    pub fn disconnect(&self, server: &ServerKey) -> Result<bool, CredentialError> {
        let mut attempts = self.connections.attempts.lock().unwrap_or_else(PoisonError::into_inner);
        for old in attempts.iter_mut().filter(|old| old.server == *server) {
            old.end(Progress::Failed("the server was disconnected".into()));
        }
        let mut was = false;
        self.connections.change(server, |kept| {
            was = kept.grant.is_some() || kept.registration.is_some();
            *kept = Kept::default();
            true
        })?;
        Ok(was)
    }

    /// Lets a consent go, for this reason: it could not be recorded.
    pub fn abandon(&self, consent: &Consent, why: &str) {
        self.finish(&consent.id, Progress::Failed(why.to_owned()));
    }

    fn finish(&self, id: &str, progress: Progress) {
        let mut attempts = self.connections.attempts.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(attempt) = attempts.iter_mut().find(|attempt| attempt.id == id) {
            attempt.end(progress);
        }
    }

    /// How an attempt goes, once it has come to something or this much time has passed; `None` if there is no such attempt.
    pub async fn progress(&self, id: &str, patience: Duration) -> Option<Progress> {
        let (mut progress, left_secs) = {
            let attempts = self.connections.attempts.lock().unwrap_or_else(PoisonError::into_inner);
            let attempt = attempts.iter().find(|attempt| attempt.id == id)?;
            (attempt.progress.subscribe(), attempt.ends_secs.saturating_sub((self.now_secs)()))
        };
        let patience = patience.min(Duration::from_secs(left_secs));
        let ended = tokio::time::timeout(patience, progress.wait_for(|progress| *progress != Progress::Waiting)).await;
        Some(match ended {
            Ok(Ok(progress)) => progress.clone(),
            _ if left_secs == 0 => Progress::Failed("nobody answered in time".into()),
            _ => Progress::Waiting,
        })
    }
}
