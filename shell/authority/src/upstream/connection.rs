//! Connections that a person has made: what they are good for, how they are renewed, and when they end.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use http::HeaderValue;
use remit_identity::challenge::{self, Challenge};
use remit_identity::client::{ClientError, authorization_base, choose_issuer, refresh, scope_covers, scope_union};
use remit_model::{AuthorizationCodeClient, Credential, Network, ServerKey, Transport};

use super::connect::{Attempt, unknown_client};
use super::exchange::{Identity, Proof};
use super::kept::{Client, Grant, Kept};
use super::{CredentialError, UpstreamCredentials, bearer, refused};
use crate::port::ConnectionStore;

/// How long before its end a token is renewed, at most, in seconds.
const AHEAD_SECS: u64 = 60;
/// How long to let an authorization server be after it failed, and a server after it refused a new token, in seconds.
const PAUSE_SECS: u64 = 10;
/// What a server may ask for in a message, in bytes.
const SHOWN_BYTES_MAX: usize = 200;
/// The longest list of scopes that is remembered for a later consent, in bytes.
const WANTED_BYTES_MAX: usize = 4 * 1024;

/// The most ends that wait to be taken note of.
const ENDED_MAX: usize = 1024;

/// Connections and attempts to make one.
pub(super) struct Connections {
    store: Arc<dyn ConnectionStore>,
    pub(super) redirect_uri: String,
    standing: Mutex<HashMap<ServerKey, Arc<Standing>>>,
    pub(super) attempts: Mutex<Vec<Attempt>>,
    /// What ended by itself and nobody has taken note of yet.
    ended: Mutex<Vec<(ServerKey, String)>>,
}

/// One server's connection.
#[derive(Default)]
struct Standing {
    /// What the store holds; `None` until it has been asked.
    kept: Mutex<Option<Arc<Kept>>>,
    /// One renewal at a time: a refresh token may be good once.
    flight: tokio::sync::Mutex<()>,
    /// Counts what changed.
    changes: AtomicU64,
    /// Until when the authorization server is let be, and why.
    pause: Mutex<Option<(u64, String)>>,
}

/// How a connection stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ConnectionState {
    /// Tokens are there, and good as far as is known.
    Connected,
    /// The server asks for scopes that a person hasn't granted yet.
    ScopeNeeded,
    /// A person has to connect it.
    Missing,
}

impl ConnectionState {
    /// The word for it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Connected => "connected",
            Self::ScopeNeeded => "scope_needed",
            Self::Missing => "missing",
        }
    }
}

/// A connection as an operator sees it. Holds no secret.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConnectionStatus {
    /// The server.
    pub server: ServerKey,
    /// How it stands.
    pub state: ConnectionState,
    /// What is to be done, or nothing.
    pub detail: String,
    /// Who issued the tokens.
    pub issuer: Option<String>,
    /// What was granted.
    pub scope: Option<String>,
    /// When the access token ends, in seconds since the epoch, if the issuer said so.
    pub ends_secs: Option<u64>,
    /// Whether it renews itself.
    pub renewable: bool,
    /// Who made it.
    pub by: Option<String>,
    /// When, in seconds since the epoch.
    pub connected_secs: Option<u64>,
}

/// What a connection has to show now.
enum Usable {
    Good(HeaderValue),
    /// To be renewed; meanwhile this may do.
    Due(Option<HeaderValue>),
    /// A person is needed, for this reason.
    Absent(String),
}

/// A server that is registered for connections.
#[derive(Clone, PartialEq)]
pub(super) struct Registered {
    pub(super) url: String,
    pub(super) network: Network,
    pub(super) client: AuthorizationCodeClient,
}

impl Connections {
    pub(super) fn new(store: Arc<dyn ConnectionStore>, redirect_uri: &str) -> Self {
        Self {
            store,
            redirect_uri: redirect_uri.to_owned(),
            standing: Mutex::default(),
            attempts: Mutex::default(),
            ended: Mutex::default(),
        }
    }

    fn standing(&self, server: &ServerKey) -> Arc<Standing> {
        let mut all = self.standing.lock().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(all.entry(server.clone()).or_default())
    }

    /// What is kept of a server.
    pub(super) fn kept(&self, server: &ServerKey) -> Result<Arc<Kept>, CredentialError> {
        let standing = self.standing(server);
        let mut held = standing.kept.lock().unwrap_or_else(PoisonError::into_inner);
        self.load(server, &mut held)
    }

    fn load(&self, server: &ServerKey, held: &mut Option<Arc<Kept>>) -> Result<Arc<Kept>, CredentialError> {
        if let Some(kept) = held {
            return Ok(Arc::clone(kept));
        }
        let fault = |why: &dyn std::fmt::Display| refused(format!("the connection to `{server}` could not be read: {why}"));
        let kept = match self.store.load(server).map_err(|error| fault(&error))? {
            None => Kept::default(),
            Some(bytes) => Kept::from_bytes(&bytes).ok_or_else(|| fault(&"it is damaged"))?,
        };
        Ok(Arc::clone(held.insert(Arc::new(kept))))
    }

    /// Changes what is kept, durably. What can't be stored is in effect all the same, and the caller hears of it: a rotated token that
    /// is thrown away would be a connection that is lost. What is kept may have changed since the caller read it: `change` looks again,
    /// and says whether it changed anything, as this does.
    pub(super) fn change(&self, server: &ServerKey, change: impl FnOnce(&mut Kept) -> bool) -> Result<bool, CredentialError> {
        let standing = self.standing(server);
        let mut held = standing.kept.lock().unwrap_or_else(PoisonError::into_inner);
        // What is damaged is replaced by what is new.
        let mut kept = self.load(server, &mut held).map(|kept| (*kept).clone()).unwrap_or_default();
        if !change(&mut kept) {
            return Ok(false);
        }
        let bytes = kept.to_bytes();
        *held = Some(Arc::new(kept));
        standing.changes.fetch_add(1, Ordering::AcqRel);
        *standing.pause.lock().unwrap_or_else(PoisonError::into_inner) = None;
        let fault = |error| refused(format!("the connection to `{server}` could not be kept: {error}"));
        self.store.save(server, bytes).map_err(fault)?;
        Ok(true)
    }
}

impl UpstreamCredentials {
    /// A server whose credential is a connection.
    pub(super) fn registered(&self, server: &ServerKey) -> Result<Registered, CredentialError> {
        match self.directory.organization().servers.get(server).map(|server| &server.transport) {
            Some(Transport::Http { url, network, credential: Credential::AuthorizationCode(client), .. }) => {
                Ok(Registered { url: url.clone(), network: *network, client: client.clone() })
            }
            Some(_) => Err(refused(format!("the server `{server}` is not registered with `grant: authorization_code`"))),
            None => Err(refused(format!("no server `{server}` is registered"))),
        }
    }

    /// How the connections stand, of every server that needs one.
    pub fn connections(&self) -> Vec<ConnectionStatus> {
        let organization = self.directory.organization();
        organization.servers.keys().filter_map(|server| Some(self.status(server, &self.registered(server).ok()?))).collect()
    }

    /// Connections that ended by themselves since this was asked last, with the reason: to be recorded.
    pub fn ended(&self) -> Vec<(ServerKey, String)> {
        std::mem::take(&mut *self.connections.ended.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn status(&self, server: &ServerKey, registered: &Registered) -> ConnectionStatus {
        let kept = self.connections.kept(server);
        let (state, detail) = match &kept {
            Err(error) => (ConnectionState::Missing, error.to_string()),
            Ok(kept) => match self.usable(server, kept, &registered.url, &registered.client) {
                Err(error) => (ConnectionState::Missing, error.to_string()),
                Ok(Usable::Absent(why)) => (ConnectionState::Missing, why),
                Ok(Usable::Good(_) | Usable::Due(_)) => match wanting(kept) {
                    Some(scope) => (ConnectionState::ScopeNeeded, scope_needed(server, &scope)),
                    None => (ConnectionState::Connected, String::new()),
                },
            },
        };
        let grant = kept.as_ref().ok().and_then(|kept| kept.grant.as_ref());
        ConnectionStatus {
            server: server.clone(),
            state,
            detail,
            issuer: grant.map(|grant| grant.issuer.clone()),
            scope: grant.and_then(|grant| grant.scope.clone()),
            ends_secs: grant.and_then(|grant| grant.ends_secs),
            renewable: grant.is_some_and(|grant| grant.refresh_token.is_some()),
            by: grant.map(|grant| grant.by.clone()),
            connected_secs: grant.map(|grant| grant.connected_secs),
        }
    }

    /// The header of a connection. `challenge` is what the last one earned.
    pub(super) async fn connected(
        &self,
        server: &ServerKey,
        url: &str,
        client: &AuthorizationCodeClient,
        challenge: Option<&str>,
    ) -> Result<HeaderValue, CredentialError> {
        let standing = self.connections.standing(server);
        let before = standing.changes.load(Ordering::Acquire);
        if challenge.is_none()
            && let Usable::Good(value) = self.usable(server, &*self.connections.kept(server)?, url, client)?
        {
            return Ok(value);
        }
        let _flight = standing.flight.lock().await;
        let kept = self.connections.kept(server)?;
        // Whoever waited here takes what the one before fetched, even after a challenge.
        let challenge = challenge.filter(|_| standing.changes.load(Ordering::Acquire) == before);
        let usable = self.usable(server, &kept, url, client)?;
        match (challenge, usable, &kept.grant) {
            (_, Usable::Absent(why), _) => Err(CredentialError::Missing(why)),
            (_, Usable::Due(_), None) => Err(CredentialError::Missing(connect_first(server))),
            (None, Usable::Good(value), _) => Ok(value),
            (None, Usable::Due(meanwhile), Some(grant)) => self.renew(server, &standing, client, grant, meanwhile).await,
            (Some(header), _, Some(grant)) => {
                let challenge = challenge::parse(header).unwrap_or_default();
                if challenge.error.as_deref() == Some("insufficient_scope") {
                    return Err(self.more_scope(server, grant, &challenge));
                }
                self.refused_token(server, &standing, url, client, grant, &challenge).await
            }
            (Some(_), Usable::Good(_), None) => Err(CredentialError::Missing(connect_first(server))),
        }
    }

    fn usable(
        &self,
        server: &ServerKey,
        kept: &Kept,
        url: &str,
        client: &AuthorizationCodeClient,
    ) -> Result<Usable, CredentialError> {
        let Some(grant) = &kept.grant else {
            return Ok(Usable::Absent(match &kept.ended {
                Some(why) => format!("{why}: connect it again with `remit connect {server}`"),
                None => connect_first(server),
            }));
        };
        let same_client = match &client.registered {
            Some(registered) => grant.client.configured && grant.client.id == registered.client_id,
            None => !grant.client.configured,
        };
        let same_issuer = client.issuer.as_ref().is_none_or(|issuer| *issuer == grant.issuer);
        if grant.url != url || !same_client || !same_issuer {
            let what = "was registered anew since it was connected";
            return Ok(Usable::Absent(format!("the server `{server}` {what}: `remit connect {server}`")));
        }
        let now_secs = (self.now_secs)();
        let Some(ends_secs) = grant.ends_secs else { return Ok(Usable::Good(bearer(&grant.access_token)?)) };
        let ahead = AHEAD_SECS.min(ends_secs.saturating_sub(grant.obtained_secs) / 10);
        let alive = now_secs < ends_secs;
        if now_secs < ends_secs.saturating_sub(ahead) || (alive && grant.refresh_token.is_none()) {
            return Ok(Usable::Good(bearer(&grant.access_token)?));
        }
        if grant.refresh_token.is_none() {
            let what = "has ended, and its authorization server gave nothing to renew it with";
            return Ok(Usable::Absent(format!("the connection to `{server}` {what}: `remit connect {server}`")));
        }
        Ok(Usable::Due(if alive { Some(bearer(&grant.access_token)?) } else { None }))
    }

    /// What a connection has to show that was forgotten or made anew while something was under way on behalf of the one before.
    fn replaced(&self, server: &ServerKey, url: &str, client: &AuthorizationCodeClient) -> Result<HeaderValue, CredentialError> {
        match self.usable(server, &*self.connections.kept(server)?, url, client)? {
            Usable::Good(value) | Usable::Due(Some(value)) => Ok(value),
            Usable::Due(None) => Err(refused(format!("the connection to `{server}` was replaced while it was renewed"))),
            Usable::Absent(why) => Err(CredentialError::Missing(why)),
        }
    }

    /// Fetches new tokens in place of those that end. Whatever the authorization server answers concerns this grant alone: one that
    /// was forgotten meanwhile stays forgotten, and a new one stays.
    async fn renew(
        &self,
        server: &ServerKey,
        standing: &Standing,
        client: &AuthorizationCodeClient,
        grant: &Grant,
        meanwhile: Option<HeaderValue>,
    ) -> Result<HeaderValue, CredentialError> {
        let now_secs = (self.now_secs)();
        let pause = standing.pause.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let answer = match pause {
            Some((until_secs, why)) if now_secs < until_secs => Err(refused(why)),
            _ => self.ask_anew(server, client, grant).await,
        };
        let failed = match answer {
            Ok(Ok(token)) => {
                let mut renewed = grant.clone();
                renewed.take(token, now_secs);
                let value = bearer(&renewed.access_token)?;
                let current = self.connections.change(server, |kept| {
                    let same = kept.holds(grant);
                    if same {
                        kept.grant = Some(renewed);
                    }
                    same
                })?;
                return if current { Ok(value) } else { self.replaced(server, &grant.url, client) };
            }
            // RFC 6749 section 5.2: the grant, or the client, is no longer good.
            Ok(Err(ClientError::Refused(code))) if code == "invalid_grant" || unknown_client(&code) => {
                if unknown_client(&code) {
                    self.connections.change(server, |kept| kept.unregister(&grant.issuer, &grant.client))?;
                }
                let why = format!("the authorization server ended the connection to `{server}` (`{code}`)");
                return self.end(server, client, grant, why);
            }
            Ok(Err(error)) => CredentialError::from(error),
            Err(error) => error,
        };
        if !self.connections.kept(server)?.holds(grant) {
            return self.replaced(server, &grant.url, client);
        }
        let mut pause = standing.pause.lock().unwrap_or_else(PoisonError::into_inner);
        if pause.as_ref().is_none_or(|(until_secs, _)| *until_secs <= now_secs) {
            *pause = Some((now_secs.saturating_add(PAUSE_SECS), failed.to_string()));
        }
        meanwhile.ok_or(failed)
    }

    async fn ask_anew(
        &self,
        server: &ServerKey,
        client: &AuthorizationCodeClient,
        grant: &Grant,
    ) -> Result<Result<remit_identity::client::TokenResponse, ClientError>, CredentialError> {
        let Some(refresh_token) = &grant.refresh_token else {
            return Ok(Err(ClientError::Refused("invalid_grant".into())));
        };
        let network = self.network(server)?;
        let identity = identity(&grant.client, client, &grant.issuer);
        self.try_ask(network, &grant.token_endpoint, &identity, &refresh(refresh_token, &grant.resource)).await
    }

    /// What to do when the server doesn't take a token: its authorization server may be another one by now.
    async fn refused_token(
        &self,
        server: &ServerKey,
        standing: &Standing,
        url: &str,
        client: &AuthorizationCodeClient,
        grant: &Grant,
        challenge: &Challenge,
    ) -> Result<HeaderValue, CredentialError> {
        let network = self.network(server)?;
        let (issuer, resource) = match self.resource(network, url, Some(challenge)).await? {
            Some(found) => (choose_issuer(&found, client.issuer.as_deref(), Some(&grant.issuer))?.to_owned(), found.resource),
            None => (authorization_base(url).unwrap_or_default(), url.to_owned()),
        };
        if issuer != grant.issuer || resource != grant.resource {
            let why = format!("the server `{server}` moved to another authorization server or identifier");
            return self.end(server, client, grant, why);
        }
        if (self.now_secs)().saturating_sub(grant.obtained_secs) < PAUSE_SECS {
            return Err(refused(format!("the server `{server}` refuses the token that its authorization server has just given")));
        }
        if grant.refresh_token.is_none() {
            let what = "refused its token, and there is nothing to renew it with";
            return self.end(server, client, grant, format!("the server `{server}` {what}"));
        }
        self.renew(server, standing, client, grant, None).await
    }

    /// Remembers the scopes that a server asks for: the next consent asks for them too. Only a person can grant them.
    fn more_scope(&self, server: &ServerKey, grant: &Grant, challenge: &Challenge) -> CredentialError {
        let Some(scope) = challenge.scope.as_deref().filter(|scope| scope.len() <= WANTED_BYTES_MAX) else {
            return refused(format!("the server `{server}` asks for more scope and does not say which"));
        };
        if scope_covers(grant.scope.as_deref(), scope) {
            let what = "asks for the scope that its connection has already been given";
            return refused(format!("the server `{server}` {what}: `{}`", shown(scope)));
        }
        let remembered = self.connections.change(server, |kept| {
            let wanted = scope_union(kept.wanted_scope.as_deref(), Some(scope));
            let new = wanted.filter(|all| all.len() <= WANTED_BYTES_MAX && kept.wanted_scope.as_deref() != Some(all));
            let changed = kept.holds(grant) && new.is_some();
            if changed {
                kept.wanted_scope = new;
            }
            changed
        });
        remembered.err().unwrap_or_else(|| CredentialError::Missing(scope_needed(server, scope)))
    }

    /// Ends the connection that this grant is. Its tokens are forgotten, the reason isn't. If it was replaced in the meantime, what
    /// replaced it stands.
    fn end(
        &self,
        server: &ServerKey,
        client: &AuthorizationCodeClient,
        grant: &Grant,
        why: String,
    ) -> Result<HeaderValue, CredentialError> {
        let ended = self.connections.change(server, |kept| {
            let same = kept.holds(grant);
            if same {
                kept.grant = None;
                kept.ended = Some(why.clone());
            }
            same
        });
        if ended == Ok(false) {
            return self.replaced(server, &grant.url, client);
        }
        let told = CredentialError::Missing(format!("{why}: connect it again with `remit connect {server}`"));
        let mut all = self.connections.ended.lock().unwrap_or_else(PoisonError::into_inner);
        if all.len() < ENDED_MAX {
            all.push((server.clone(), why));
        }
        Err(ended.err().unwrap_or(told))
    }
}

/// How Remit shows itself to a token endpoint as this client.
pub(super) fn identity<'a>(client: &'a Client, configured: &'a AuthorizationCodeClient, audience: &'a str) -> Identity<'a> {
    let proof = match (&client.secret, &configured.registered) {
        (None, Some(registered)) if client.configured => match &registered.secret {
            Some(secret) => Proof::Configured(secret, registered.private_key_alg.as_deref()),
            None => Proof::None,
        },
        (Some(secret), _) => Proof::Secret(secret),
        (None, _) => Proof::None,
    };
    Identity { client_id: &client.id, method: client.method, proof, audience }
}

/// The scopes that the server asked for and the grant hasn't.
fn wanting(kept: &Kept) -> Option<String> {
    let held = kept.grant.as_ref()?.scope.as_deref();
    kept.wanted_scope.clone().filter(|wanted| !scope_covers(held, wanted))
}

fn connect_first(server: &ServerKey) -> String {
    format!("nobody has connected the server `{server}` yet: `remit connect {server}`")
}

fn scope_needed(server: &ServerKey, scope: &str) -> String {
    let what = "asks for scopes that its connection was not given";
    format!("the server `{server}` {what} (`{}`): `remit connect {server}`", shown(scope))
}

fn shown(scope: &str) -> String {
    scope.chars().filter(|c| matches!(c, ' '..='~') && *c != '`').take(SHOWN_BYTES_MAX).collect()
}
