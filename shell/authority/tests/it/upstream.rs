use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use remit_authority::{CredentialError, PortError, SecretStore, UpstreamCredentials};
use remit_model::{
    AccountId, Credential, Network, OAuthClient, ProtocolChoice, SecretRef, Server as Registered, ServerKey, ServerLimits,
    ServerName, Transport,
};
use serde_json::json;
use zeroize::Zeroizing;

use crate::connection::MemoryConnections;
use crate::{NOW, Server, directory};

struct Secrets;

impl SecretStore for Secrets {
    fn get(&self, name: &str) -> Result<Option<Zeroizing<String>>, PortError> {
        match name {
            "client" => Ok(Some(Zeroizing::new("s3cret".into()))),
            "broken" => Ok(Some(Zeroizing::new("s3cret\r\nx: y".into()))),
            _ => Ok(None),
        }
    }
}

fn key() -> ServerKey {
    ServerKey { account: AccountId::new("111122223333").unwrap(), name: ServerName::new("git").unwrap() }
}

fn credentials(url: &str, now: &Arc<AtomicU64>) -> UpstreamCredentials {
    let directory = directory("http://127.0.0.1:1");
    let transport = Transport::Http {
        url: url.into(),
        credential: Credential::None,
        network: Network::Loopback,
        protocol: ProtocolChoice::Auto,
        launch: Vec::new(),
    };
    let server = Registered {
        account: key().account,
        name: key().name,
        transport,
        limits: ServerLimits::default(),
        tools: std::collections::BTreeMap::new(),
        results: remit_model::ResultWord::default(),
        tags: std::collections::BTreeMap::new(),
        resource_policy: None,
        service_principal: None,
        zone: None,
        status: remit_model::RegistryStatus::Approved,
        registration: String::new(),
        cost: None,
    };
    let mut organization = (**directory.organization.lock().unwrap()).clone();
    organization.servers.insert(key(), server);
    *directory.organization.lock().unwrap() = Arc::new(organization);
    let clock = Arc::clone(now);
    UpstreamCredentials::new(
        Arc::new(Secrets),
        Arc::new(MemoryConnections::default()),
        directory,
        remit_egress::tls_config(),
        Arc::new(move || clock.load(Ordering::SeqCst)),
        "http://127.0.0.1:1/oauth/callback",
    )
}

fn oauth(secret: &str) -> Credential {
    Credential::OAuth(OAuthClient {
        client_id: "remit".into(),
        secret: SecretRef::Stored(secret.into()),
        private_key_alg: None,
        token_endpoint: None,
        scopes: Vec::new(),
    })
}

/// A protected resource and its authorization server in one; tokens are numbered and carry the scope that was asked for.
async fn upstream(resource: &'static str) -> Server {
    let count = AtomicU64::new(0);
    Server::start(move |url| {
        Box::new(move |path, authorization, body| match path {
            "/.well-known/oauth-protected-resource/mcp" => {
                let body = json!({ "resource": format!("{url}{resource}"), "authorization_servers": [format!("{url}/as")] });
                (200, body.to_string())
            }
            "/as/.well-known/openid-configuration" => {
                let issuer = format!("{url}/as");
                (200, json!({ "issuer": issuer, "token_endpoint": format!("{url}/token") }).to_string())
            }
            "/token" if authorization == Some("Basic cmVtaXQ6czNjcmV0") => {
                let form = remit_identity::form::parse(body.as_bytes()).unwrap();
                assert_eq!(form["resource"], format!("{url}{resource}"));
                let scope = form.get("scope").cloned().unwrap_or_default();
                let token = format!("t{}-{scope}", count.fetch_add(1, Ordering::SeqCst));
                (200, json!({ "access_token": token, "token_type": "Bearer", "expires_in": 100 }).to_string())
            }
            "/token" => (401, json!({ "error": "invalid_client", "error_description": "s3cret" }).to_string()),
            _ => (404, String::new()),
        })
    })
    .await
}

#[tokio::test]
async fn tokens_are_found_kept_and_fetched_again() {
    let server = upstream("/mcp").await;
    let url = format!("{}/mcp", server.url);
    let now = Arc::new(AtomicU64::new(NOW));
    let credentials = Arc::new(credentials(&url, &now));
    let mut tasks = tokio::task::JoinSet::new();
    for _ in 0..10 {
        let (credentials, url) = (Arc::clone(&credentials), url.clone());
        tasks.spawn(async move { credentials.header(&key(), &url, &oauth("client"), None).await.unwrap().unwrap().1 });
    }
    for value in tasks.join_all().await {
        assert!(value.is_sensitive() && value == "Bearer t0-");
    }
    // Resource metadata, two places without the server's and one with, one token.
    assert_eq!(server.asked(), 5);
    let oauth_client = oauth("client");
    let header = async |challenge: Option<&str>| {
        let (_, value) = credentials.header(&key(), &url, &oauth_client, challenge).await.unwrap().unwrap();
        value.to_str().unwrap().to_owned()
    };
    now.store(NOW + 69, Ordering::SeqCst);
    assert_eq!(header(None).await, "Bearer t0-");
    now.store(NOW + 70, Ordering::SeqCst);
    assert_eq!(header(None).await, "Bearer t1-");
    assert_eq!(header(Some("Bearer error=\"insufficient_scope\", scope=\"files:write\"")).await, "Bearer t2-files:write");
    assert_eq!(header(None).await, "Bearer t2-files:write");
    let refused = credentials.header(&key(), &url, &oauth("missing"), None).await.unwrap_err();
    assert_eq!(refused, CredentialError::Missing("the secret `missing` is not set".into()));
    let refused = credentials.header(&key(), &url, &oauth("broken"), None).await.unwrap_err();
    assert_eq!(refused, CredentialError::Refused("the authorization server refused: `invalid_client`".into()));
    assert!(!format!("{credentials:?} {refused:?}").contains("s3cret"));
}

#[tokio::test]
async fn metadata_about_another_resource_is_refused() {
    let server = upstream("/other").await;
    let url = format!("{}/mcp", server.url);
    let credentials = credentials(&url, &Arc::new(AtomicU64::new(NOW)));
    let refused = credentials.header(&key(), &url, &oauth("client"), None).await.unwrap_err();
    let expected = format!("the protected resource metadata is about `{}/other`", server.url);
    assert_eq!(refused, CredentialError::Refused(expected));
}

#[tokio::test]
async fn a_secret_goes_to_no_host_that_the_server_names() {
    let server = Server::start(|url| {
        let elsewhere = url.replace("127.0.0.1", "localhost");
        Box::new(move |path, _, _| match path {
            "/.well-known/oauth-protected-resource/mcp" => {
                (200, json!({ "resource": format!("{url}/mcp"), "authorization_servers": [elsewhere] }).to_string())
            }
            "/.well-known/oauth-authorization-server" => {
                (200, json!({ "issuer": elsewhere, "token_endpoint": format!("{elsewhere}/token") }).to_string())
            }
            _ => (404, String::new()),
        })
    })
    .await;
    let url = format!("{}/mcp", server.url);
    let credentials = credentials(&url, &Arc::new(AtomicU64::new(NOW)));
    let refused = credentials.header(&key(), &url, &oauth("client"), None).await.unwrap_err().to_string();
    assert!(
        refused.contains("names an authorization server elsewhere") && refused.contains("register its `token_endpoint`"),
        "{refused}"
    );
    // The two documents, and no token.
    assert_eq!(server.asked(), 2);
}

#[tokio::test]
async fn secrets_and_plain_headers() {
    let credentials = credentials("http://127.0.0.1:1/", &Arc::new(AtomicU64::new(NOW)));
    let header = async |credential: Credential| credentials.header(&key(), "http://127.0.0.1:1/", &credential, None).await;
    assert_eq!(header(Credential::None).await, Ok(None));
    let (name, value) = header(Credential::Bearer(SecretRef::Stored("client".into()))).await.unwrap().unwrap();
    assert!(name == "authorization" && value == "Bearer s3cret" && value.is_sensitive());
    let api = |value| Credential::ApiKey { header: "X-Api-Key".into(), value };
    let (name, value) = header(api(SecretRef::Plain("p".into()))).await.unwrap().unwrap();
    assert!(name == "x-api-key" && value == "p" && value.is_sensitive());
    let broken = header(api(SecretRef::Stored("broken".into()))).await.unwrap_err();
    assert_eq!(broken, CredentialError::Missing("the secret holds what no header can".into()));
    let path = std::env::temp_dir().join(format!("remit-authority-{}", std::process::id()));
    std::fs::write(&path, "from a file\n").unwrap();
    let file = SecretRef::File(path.to_str().unwrap().to_owned());
    assert_eq!(credentials.secret(&file).unwrap().as_str(), "from a file");
    std::fs::remove_file(&path).unwrap();
    assert!(credentials.secret(&file).unwrap_err().to_string().contains("could not be read"));
    let unset = credentials.secret(&SecretRef::Env("REMIT_TEST_UNSET".into())).unwrap_err();
    assert_eq!(unset.to_string(), "the environment variable `REMIT_TEST_UNSET` is not set");
}
