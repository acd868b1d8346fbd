//! A connection as it is kept: sealed by the store, opaque to everybody else.

use remit_identity::client::{AuthMethod, TokenResponse};
use serde_json::{Map, Value, json};
use zeroize::{Zeroize as _, Zeroizing};

/// What is known of a server's authorization. Holds secrets, and shows none.
#[derive(Clone, Default)]
pub(super) struct Kept {
    /// Remit's own registration, bound to the issuer that made it.
    pub(super) registration: Option<Registration>,
    /// What a person granted, bound to issuer and resource.
    pub(super) grant: Option<Grant>,
    /// Why there is no grant any more.
    pub(super) ended: Option<String>,
    /// Scopes that the server asked for beyond the grant's.
    pub(super) wanted_scope: Option<String>,
}

/// A client that registered itself.
#[derive(Clone)]
pub(super) struct Registration {
    pub(super) issuer: String,
    pub(super) redirect_uri: String,
    pub(super) client: Client,
    /// When its secret ends, in seconds since the epoch.
    pub(super) ends_secs: Option<u64>,
}

/// A client as an authorization server knows it.
#[derive(Clone, PartialEq)]
pub(super) struct Client {
    pub(super) id: String,
    /// The secret that a registration gave. One from the configuration is read where it is kept, each time.
    pub(super) secret: Option<Zeroizing<String>>,
    pub(super) method: AuthMethod,
    /// Whether an operator registered it.
    pub(super) configured: bool,
}

/// Tokens, and what they are bound to. Two are equal if they are the same grant in the same stage of its renewals.
#[derive(Clone, PartialEq)]
pub(super) struct Grant {
    pub(super) issuer: String,
    pub(super) token_endpoint: String,
    /// The server's address that the tokens are for.
    pub(super) url: String,
    /// The resource indicator (RFC 8707).
    pub(super) resource: String,
    pub(super) client: Client,
    pub(super) scope: Option<String>,
    pub(super) access_token: Zeroizing<String>,
    pub(super) refresh_token: Option<Zeroizing<String>>,
    pub(super) obtained_secs: u64,
    /// When the access token ends, if the server said so.
    pub(super) ends_secs: Option<u64>,
    /// Who asked for it.
    pub(super) by: String,
    pub(super) connected_secs: u64,
}

impl Grant {
    /// Takes what a token endpoint gave. What it doesn't repeat stays (RFC 6749 sections 5.1 and 6).
    pub(super) fn take(&mut self, token: TokenResponse, now_secs: u64) {
        self.access_token = token.access_token;
        self.obtained_secs = now_secs;
        self.ends_secs = token.expires_in_secs.map(|secs| now_secs.saturating_add(secs));
        if token.refresh_token.is_some() {
            self.refresh_token = token.refresh_token;
        }
        if token.scope.is_some() {
            self.scope = token.scope;
        }
    }
}

impl Kept {
    /// Whether this grant is the one that is kept.
    pub(super) fn holds(&self, grant: &Grant) -> bool {
        self.grant.as_ref() == Some(grant)
    }

    /// Forgets Remit's registration if it is of this client. `false` if it isn't.
    pub(super) fn unregister(&mut self, issuer: &str, client: &Client) -> bool {
        let same = self.registration.as_ref().is_some_and(|held| held.issuer == issuer && held.client == *client);
        if same {
            self.registration = None;
        }
        same
    }

    /// As bytes, for the sealed store.
    pub(super) fn to_bytes(&self) -> Zeroizing<Vec<u8>> {
        let mut value = json!({
            "registration": self.registration.as_ref().map(|registration| json!({
                "issuer": registration.issuer, "redirect_uri": registration.redirect_uri,
                "client": registration.client.to_json(), "ends_secs": registration.ends_secs,
            })),
            "grant": self.grant.as_ref().map(|grant| json!({
                "issuer": grant.issuer, "token_endpoint": grant.token_endpoint, "url": grant.url, "resource": grant.resource,
                "client": grant.client.to_json(), "scope": grant.scope, "access_token": grant.access_token.as_str(),
                "refresh_token": grant.refresh_token.as_ref().map(|token| token.as_str()), "obtained_secs": grant.obtained_secs,
                "ends_secs": grant.ends_secs, "by": grant.by, "connected_secs": grant.connected_secs,
            })),
            "ended": self.ended,
            "wanted_scope": self.wanted_scope,
        });
        let bytes = Zeroizing::new(value.to_string().into_bytes());
        wipe(&mut value);
        bytes
    }

    /// From such bytes; `None` if they are something else.
    pub(super) fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let mut value: Value = serde_json::from_slice(bytes).ok()?;
        let kept = Self::read(&value);
        wipe(&mut value);
        kept
    }

    fn read(value: &Value) -> Option<Self> {
        let part = |name: &str| value.get(name).filter(|part| !part.is_null());
        let registration = match part("registration") {
            None => None,
            Some(value) => Some(Registration {
                issuer: text(value, "issuer")?,
                redirect_uri: text(value, "redirect_uri")?,
                client: Client::read(value.get("client")?)?,
                ends_secs: number(value, "ends_secs"),
            }),
        };
        let grant = match part("grant") {
            None => None,
            Some(value) => Some(Grant {
                issuer: text(value, "issuer")?,
                token_endpoint: text(value, "token_endpoint")?,
                url: text(value, "url")?,
                resource: text(value, "resource")?,
                client: Client::read(value.get("client")?)?,
                scope: text(value, "scope"),
                access_token: Zeroizing::new(text(value, "access_token")?),
                refresh_token: text(value, "refresh_token").map(Zeroizing::new),
                obtained_secs: number(value, "obtained_secs")?,
                ends_secs: number(value, "ends_secs"),
                by: text(value, "by")?,
                connected_secs: number(value, "connected_secs")?,
            }),
        };
        Some(Self { registration, grant, ended: text(value, "ended"), wanted_scope: text(value, "wanted_scope") })
    }
}

impl Client {
    fn to_json(&self) -> Value {
        let secret = self.secret.as_ref().map(|secret| secret.as_str());
        json!({"id": self.id, "secret": secret, "method": self.method.as_str(), "configured": self.configured})
    }

    fn read(value: &Value) -> Option<Self> {
        Some(Self {
            id: text(value, "id")?,
            secret: text(value, "secret").map(Zeroizing::new),
            method: AuthMethod::parse(value.get("method")?.as_str()?)?,
            configured: value.get("configured")?.as_bool()?,
        })
    }
}

fn text(value: &Value, name: &str) -> Option<String> {
    value.get(name)?.as_str().map(str::to_owned)
}

fn number(value: &Value, name: &str) -> Option<u64> {
    value.get(name)?.as_u64()
}

/// Overwrites every text in a value.
fn wipe(value: &mut Value) {
    match value {
        Value::String(text) => text.zeroize(),
        Value::Array(list) => list.iter_mut().for_each(wipe),
        Value::Object(map) => wipe_map(map),
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}

fn wipe_map(map: &mut Map<String, Value>) {
    map.values_mut().for_each(wipe);
}

#[cfg(test)]
mod tests {
    use super::*;
    use remit_identity::client::SecretMethod;

    fn kept() -> Kept {
        let client = Client {
            id: "id".into(),
            secret: Some(Zeroizing::new("s\"ecret".into())),
            method: AuthMethod::Secret(SecretMethod::Post),
            configured: false,
        };
        Kept {
            registration: Some(Registration {
                issuer: "https://a".into(),
                redirect_uri: "http://127.0.0.1/cb".into(),
                client: client.clone(),
                ends_secs: Some(9),
            }),
            grant: Some(Grant {
                issuer: "https://a".into(),
                token_endpoint: "https://a/t".into(),
                url: "https://s/mcp".into(),
                resource: "https://s".into(),
                client,
                scope: None,
                access_token: Zeroizing::new("at".into()),
                refresh_token: Some(Zeroizing::new("rt".into())),
                obtained_secs: 1,
                ends_secs: None,
                by: "me".into(),
                connected_secs: 2,
            }),
            ended: None,
            wanted_scope: Some("more".into()),
        }
    }

    #[test]
    fn what_is_kept_comes_back_whole() {
        let bytes = kept().to_bytes();
        assert_eq!(Kept::from_bytes(&bytes).unwrap().to_bytes(), bytes);
        let empty = Kept::default().to_bytes();
        assert_eq!(Kept::from_bytes(&empty).unwrap().to_bytes(), empty);
    }

    #[test]
    fn what_is_cut_or_lacks_a_part_is_nothing() {
        let bytes = kept().to_bytes();
        assert!((0..bytes.len()).all(|end| Kept::from_bytes(&bytes[..end]).is_none()));
        let mut value: Value = serde_json::from_slice(&bytes).unwrap();
        for part in ["issuer", "url", "resource", "access_token", "token_endpoint"] {
            let mut lacking = value.clone();
            lacking["grant"].as_object_mut().unwrap().remove(part);
            assert!(Kept::from_bytes(lacking.to_string().as_bytes()).is_none(), "{part}");
        }
        value["grant"]["client"]["method"] = "tls_client_auth".into();
        assert!(Kept::from_bytes(value.to_string().as_bytes()).is_none());
    }

    #[test]
    fn a_renewal_replaces_what_it_names_and_nothing_else() {
        let mut grant = kept().grant.unwrap();
        let token = |refresh: Option<&str>, scope: Option<&str>| TokenResponse {
            access_token: Zeroizing::new("new".into()),
            expires_in_secs: Some(60),
            scope: scope.map(str::to_owned),
            refresh_token: refresh.map(|text| Zeroizing::new(text.into())),
        };
        grant.take(token(None, Some("a")), 100);
        assert_eq!((grant.access_token.as_str(), grant.ends_secs, grant.scope.as_deref()), ("new", Some(160), Some("a")));
        assert_eq!(grant.refresh_token.as_ref().unwrap().as_str(), "rt");
        grant.take(token(Some("rt2"), None), 100);
        assert_eq!((grant.refresh_token.as_ref().unwrap().as_str(), grant.scope.as_deref()), ("rt2", Some("a")));
    }
}
