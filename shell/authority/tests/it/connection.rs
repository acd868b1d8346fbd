//! Connections that a person makes: consent, renewal, their ends, and servers that lie.

use std::collections::{BTreeMap, HashMap};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use remit_authority::{
    ATTEMPT_SECS, Begun, ConnectionState, ConnectionStore, CredentialError, PortError, Progress, RedirectError, SecretStore,
    UpstreamCredentials,
};
use remit_identity::client::pkce_challenge;
use remit_identity::form;
use remit_model::{
    AccountId, AuthorizationCodeClient, Credential, Network, ProtocolChoice, RegisteredClient, SecretRef, Server as Model,
    ServerKey, ServerLimits, ServerName, Transport,
};
use serde_json::{Value, json};
use zeroize::Zeroizing;

use crate::{Fixed, NOW, Server, directory};

const CALLBACK: &str = "http://127.0.0.1:7481/oauth/callback";

#[derive(Default)]
pub(crate) struct MemoryConnections {
    kept: Mutex<HashMap<ServerKey, Vec<u8>>>,
    broken: std::sync::atomic::AtomicBool,
}

impl ConnectionStore for MemoryConnections {
    fn load(&self, server: &ServerKey) -> Result<Option<Zeroizing<Vec<u8>>>, PortError> {
        Ok(self.kept.lock().unwrap().get(server).cloned().map(Zeroizing::new))
    }

    fn save(&self, server: &ServerKey, value: Zeroizing<Vec<u8>>) -> Result<(), PortError> {
        if self.broken.load(Ordering::SeqCst) {
            return Err(PortError("no room".into()));
        }
        self.kept.lock().unwrap().insert(server.clone(), value.to_vec());
        Ok(())
    }
}

struct Secrets;

impl SecretStore for Secrets {
    fn get(&self, name: &str) -> Result<Option<Zeroizing<String>>, PortError> {
        Ok((name == "client").then(|| Zeroizing::new("s3cret".into())))
    }
}

/// What the servers answer, and what they were asked.
#[derive(Default)]
struct Script {
    /// Members that stand in for those of the resource's metadata, or of the authorization servers'.
    resource: Value,
    metadata: Value,
    /// The answer of the token endpoint, where it isn't the usual one.
    token: Option<(u16, Value)>,
    registration: Value,
    /// What happens while the token endpoint thinks about its next answer.
    meanwhile: Option<Box<dyn FnOnce() + Send>>,
    seen: Vec<(String, Option<String>, BTreeMap<String, String>)>,
    tokens: u64,
}

type Shared = Arc<Mutex<Script>>;

fn merged(mut base: Value, over: &Value) -> Value {
    for (key, value) in over.as_object().into_iter().flatten() {
        base[key] = value.clone();
    }
    base
}

/// An MCP server that is its own protected resource, with the authorization servers `/one` and `/two`.
async fn serve(script: &Shared) -> Server {
    let script = Arc::clone(script);
    Server::start(move |url| {
        Box::new(move |path, authorization, body| {
            let mut script = script.lock().unwrap();
            let form = form::parse(body.as_bytes()).unwrap_or_default();
            script.seen.push((path.to_owned(), authorization.map(str::to_owned), form.clone()));
            let issuer = |name: &str| {
                json!({
                    "issuer": format!("{url}/{name}"), "authorization_endpoint": format!("{url}/{name}/authorize"),
                    "token_endpoint": format!("{url}/{name}/token"), "registration_endpoint": format!("{url}/{name}/register"),
                    "code_challenge_methods_supported": ["S256"], "authorization_response_iss_parameter_supported": true,
                    "scopes_supported": ["files", "offline_access"]
                })
            };
            match path {
                "/.well-known/oauth-protected-resource/mcp" => {
                    let base = json!({ "resource": format!("{url}/mcp"), "authorization_servers": [format!("{url}/one")] });
                    (200, merged(base, &script.resource).to_string())
                }
                "/.well-known/oauth-authorization-server/one" => (200, merged(issuer("one"), &script.metadata).to_string()),
                "/.well-known/oauth-authorization-server/two" => (200, merged(issuer("two"), &script.metadata).to_string()),
                "/one/register" | "/two/register" => {
                    let base = json!({ "client_id": format!("client-of{}", &path[..4]), "client_secret": "given" });
                    (201, merged(base, &script.registration).to_string())
                }
                "/one/token" | "/two/token" => {
                    if let Some(meanwhile) = script.meanwhile.take() {
                        meanwhile();
                    }
                    if let Some((status, body)) = &script.token {
                        return (*status, body.to_string());
                    }
                    script.tokens += 1;
                    let count = script.tokens;
                    let body = json!({
                        "access_token": format!("at{count}"), "token_type": "Bearer", "expires_in": 1000,
                        "refresh_token": format!("rt{count}")
                    });
                    (200, body.to_string())
                }
                "/mcp" => (401, String::new()),
                _ => (404, String::new()),
            }
        })
    })
    .await
}

fn key() -> ServerKey {
    ServerKey { account: AccountId::new("111122223333").unwrap(), name: ServerName::new("git").unwrap() }
}

/// Everything that a test needs.
struct World {
    script: Shared,
    server: Server,
    directory: Arc<Fixed>,
    store: Arc<MemoryConnections>,
    now: Arc<AtomicU64>,
    credentials: Arc<UpstreamCredentials>,
    client: AuthorizationCodeClient,
}

impl World {
    async fn new() -> Self {
        Self::with(AuthorizationCodeClient::default()).await
    }

    async fn with(client: AuthorizationCodeClient) -> Self {
        let script = Shared::default();
        let server = serve(&script).await;
        let directory = directory("http://127.0.0.1:1");
        let store = Arc::new(MemoryConnections::default());
        let now = Arc::new(AtomicU64::new(NOW));
        let credentials = Self::start(&directory, &store, &now);
        let world = Self { script, server, directory, store, now, credentials, client };
        world.register(&world.client, &world.url());
        world
    }

    fn start(directory: &Arc<Fixed>, store: &Arc<MemoryConnections>, now: &Arc<AtomicU64>) -> Arc<UpstreamCredentials> {
        let clock = Arc::clone(now);
        Arc::new(UpstreamCredentials::new(
            Arc::new(Secrets),
            Arc::clone(store) as _,
            Arc::clone(directory) as _,
            remit_egress::tls_config(),
            Arc::new(move || clock.load(Ordering::SeqCst)),
            CALLBACK,
        ))
    }

    fn restart(&mut self) {
        self.credentials = Self::start(&self.directory, &self.store, &self.now);
    }

    fn url(&self) -> String {
        format!("{}/mcp", self.server.url)
    }

    fn register(&self, client: &AuthorizationCodeClient, url: &str) {
        let transport = Transport::Http {
            url: url.to_owned(),
            credential: Credential::AuthorizationCode(client.clone()),
            network: Network::Loopback,
            protocol: ProtocolChoice::Auto,
            launch: Vec::new(),
        };
        let limits = ServerLimits::default();
        let server = Model {
            account: key().account,
            name: key().name,
            transport,
            limits,
            tools: BTreeMap::new(),
            results: remit_model::ResultWord::default(),
            tags: BTreeMap::new(),
            resource_policy: None,
            service_principal: None,
            zone: None,
            status: remit_model::RegistryStatus::Approved,
            registration: String::new(),
            cost: None,
        };
        let mut held = self.directory.organization.lock().unwrap();
        let mut organization = (**held).clone();
        organization.servers.insert(key(), server);
        *held = Arc::new(organization);
    }

    fn set(&self, change: impl FnOnce(&mut Script)) {
        change(&mut self.script.lock().unwrap());
    }

    /// What was sent to a path.
    fn sent(&self, path: &str) -> Vec<(Option<String>, BTreeMap<String, String>)> {
        let script = self.script.lock().unwrap();
        script.seen.iter().filter(|seen| seen.0 == path).map(|seen| (seen.1.clone(), seen.2.clone())).collect()
    }

    async fn begin(&self) -> Begun {
        self.credentials.connect(&key(), "ops").await.unwrap()
    }

    async fn refusal(&self) -> String {
        self.credentials.connect(&key(), "ops").await.unwrap_err().to_string()
    }

    async fn connected(&self) {
        let begun = self.begin().await;
        let consent = self.credentials.redirected(&answer(&begun)).await.unwrap();
        self.credentials.establish(consent).unwrap();
    }

    async fn header(&self, challenge: Option<&str>) -> Result<String, String> {
        let credential = Credential::AuthorizationCode(self.client.clone());
        let header = self.credentials.header(&key(), &self.url(), &credential, challenge).await;
        match header {
            Ok(found) => {
                let (name, value) = found.unwrap();
                assert!(name == "authorization" && value.is_sensitive());
                Ok(value.to_str().unwrap().to_owned())
            }
            Err(error) => Err(error.to_string()),
        }
    }

    /// Does this to the credentials while the token endpoint thinks about its next answer.
    fn meanwhile(&self, act: impl FnOnce(&UpstreamCredentials) + Send + 'static) {
        let credentials = Arc::clone(&self.credentials);
        self.set(|script| script.meanwhile = Some(Box::new(move || act(&credentials))));
    }

    /// What is kept in the store, as text.
    fn kept(&self) -> String {
        String::from_utf8(self.store.kept.lock().unwrap()[&key()].clone()).unwrap()
    }

    fn state(&self) -> ConnectionState {
        self.credentials.connections()[0].state
    }

    fn later(&self, secs: u64) {
        self.now.fetch_add(secs, Ordering::SeqCst);
    }
}

/// The query of a good answer.
fn answer(begun: &Begun) -> String {
    form::write([("code", "c0de"), ("state", &asked(begun)["state"]), ("iss", &begun.issuer)])
}

/// The parameters of the request for consent.
fn asked(begun: &Begun) -> BTreeMap<String, String> {
    form::parse(begun.authorization_url.split_once('?').unwrap().1.as_bytes()).unwrap()
}

#[tokio::test]
async fn a_consent_becomes_a_connection_that_outlives_a_restart() {
    let mut world = World::new().await;
    let told = world.header(None).await.unwrap_err();
    assert_eq!(told, "nobody has connected the server `111122223333/git` yet: `remit connect 111122223333/git`");
    assert_eq!(world.state(), ConnectionState::Missing);
    let begun = world.begin().await;
    let request = asked(&begun);
    assert_eq!(request["client_id"], "client-of/one");
    assert_eq!(request["redirect_uri"], CALLBACK);
    assert_eq!(request["resource"], world.url());
    assert_eq!(request["code_challenge_method"], "S256");
    assert_eq!(request["scope"], "offline_access");
    assert_eq!(request["prompt"], "consent");
    assert_eq!(world.credentials.progress(&begun.id, Duration::ZERO).await, Some(Progress::Waiting));
    let consent = world.credentials.redirected(&answer(&begun)).await.unwrap();
    // Nothing is in effect before it is established.
    assert!(world.header(None).await.is_err());
    assert_eq!((consent.issuer(), consent.by(), consent.scope()), (begun.issuer.as_str(), "ops", Some("offline_access")));
    assert!(!format!("{consent:?} {:?}", world.credentials).contains("at1"));
    world.credentials.establish(consent).unwrap();
    assert_eq!(world.credentials.progress(&begun.id, Duration::ZERO).await, Some(Progress::Connected));
    assert_eq!(world.header(None).await.unwrap(), "Bearer at1");
    assert_eq!(world.state(), ConnectionState::Connected);
    let (authorization, exchange) = world.sent("/one/token").remove(0);
    // `client-of/one:given`, each part encoded before they are joined.
    assert_eq!(authorization.as_deref(), Some("Basic Y2xpZW50LW9mJTJGb25lOmdpdmVu"));
    assert_eq!((exchange["code"].as_str(), exchange["resource"].as_str()), ("c0de", world.url().as_str()));
    assert_eq!(pkce_challenge(&exchange["code_verifier"]), request["code_challenge"]);
    let asked_before = world.server.asked();
    world.restart();
    assert_eq!(world.header(None).await.unwrap(), "Bearer at1");
    assert_eq!(world.server.asked(), asked_before);
    // The registration is kept, too, and is used again.
    world.begin().await;
    assert_eq!(world.sent("/one/register").len(), 1);
}

#[tokio::test]
async fn an_answer_is_good_once_and_only_if_it_is_the_one() {
    let world = World::new().await;
    for query in ["", "code=x", "code=x&state=", "state=unknown&code=x", "%zz", &"a".repeat(40_000)] {
        assert_eq!(world.credentials.redirected(query).await.unwrap_err(), RedirectError::Unknown, "{query:.20}");
    }
    let write = |begun: &Begun, more: &[(&str, &str)]| {
        let state = asked(begun)["state"].clone();
        form::write([("state", state.as_str())].into_iter().chain(more.iter().copied()))
    };
    let issuer = format!("{}/one", world.server.url);
    let wrong = format!("{issuer}/");
    for (more, why) in [
        (vec![("code", "c"), ("iss", wrong.as_str())], "the authorization response is refused: another `iss`"),
        (vec![("code", "c")], "the authorization response is refused: no `iss`"),
        (vec![("error", "access_denied"), ("iss", &issuer)], "the authorization response is refused: access was denied"),
        (vec![("error", "<b>"), ("iss", &issuer)], "the authorization response is refused: the authorization server said no"),
        (vec![("iss", issuer.as_str())], "the authorization response is refused: no code"),
    ] {
        let begun = world.begin().await;
        let query = write(&begun, &more);
        let refused = RedirectError::Refused { server: key(), by: "ops".into(), why: why.into() };
        assert_eq!(world.credentials.redirected(&query).await.unwrap_err(), refused);
        assert_eq!(world.credentials.progress(&begun.id, Duration::ZERO).await, Some(Progress::Failed(why.into())));
        // What was answered wrongly isn't answered again.
        assert_eq!(world.credentials.redirected(&answer(&begun)).await.unwrap_err(), RedirectError::Unknown);
    }
    assert!(world.sent("/one/token").is_empty());
    let begun = world.begin().await;
    let consent = world.credentials.redirected(&answer(&begun)).await.unwrap();
    assert_eq!(world.credentials.redirected(&answer(&begun)).await.unwrap_err(), RedirectError::Unknown);
    assert_eq!(world.sent("/one/token").len(), 1);
    world.credentials.abandon(&consent, "not recorded");
    assert_eq!(world.credentials.progress(&begun.id, Duration::ZERO).await, Some(Progress::Failed("not recorded".into())));
    // Too late, and replaced by a later attempt.
    let begun = world.begin().await;
    world.later(ATTEMPT_SECS);
    assert_eq!(world.credentials.redirected(&answer(&begun)).await.unwrap_err(), RedirectError::Unknown);
    assert!(matches!(world.credentials.progress(&begun.id, Duration::ZERO).await, Some(Progress::Failed(_))));
    let first = world.begin().await;
    world.begin().await;
    assert_eq!(world.credentials.redirected(&answer(&first)).await.unwrap_err(), RedirectError::Unknown);
    assert!(matches!(world.credentials.progress(&first.id, Duration::ZERO).await, Some(Progress::Failed(_))));
    assert_eq!(world.credentials.progress("unknown", Duration::ZERO).await, None);
    // Registered anew while the person thought about it.
    let begun = world.begin().await;
    world.register(&world.client, &format!("{}/mcp?other", world.server.url));
    assert!(matches!(world.credentials.redirected(&answer(&begun)).await.unwrap_err(), RedirectError::Refused { .. }));
    assert_eq!(world.sent("/one/token").len(), 1);
}

#[tokio::test]
async fn tokens_are_renewed_ahead_of_their_end_with_rotation_and_one_flight() {
    let mut world = World::new().await;
    world.connected().await;
    world.later(939);
    assert_eq!(world.header(None).await.unwrap(), "Bearer at1");
    world.later(1);
    let world_ref = &world;
    let all = async {
        let mut found = Vec::new();
        let (a, b, c) = tokio::join!(world_ref.header(None), world_ref.header(None), world_ref.header(None));
        found.extend([a, b, c]);
        found
    };
    for value in Box::pin(all).await {
        assert_eq!(value.unwrap(), "Bearer at2");
    }
    let renewal = world.sent("/one/token").remove(1).1;
    assert_eq!((renewal["grant_type"].as_str(), renewal["refresh_token"].as_str()), ("refresh_token", "rt1"));
    assert_eq!(renewal["resource"], world.url());
    assert_eq!(world.sent("/one/token").len(), 2);
    // The rotated token is the one that is kept.
    world.restart();
    world.later(1000);
    assert_eq!(world.header(None).await.unwrap(), "Bearer at3");
    assert_eq!(world.sent("/one/token")[2].1["refresh_token"], "rt2");
    // A failure that passes leaves what is still good in use, and the authorization server alone for a while.
    world.set(|script| script.token = Some((503, json!({}))));
    world.later(950);
    for _ in 0..5 {
        assert_eq!(world.header(None).await.unwrap(), "Bearer at3");
    }
    assert_eq!(world.sent("/one/token").len(), 4);
    world.later(60);
    assert_eq!(world.header(None).await.unwrap_err(), "the authorization server refused: `status 503`");
    assert_eq!(world.state(), ConnectionState::Connected);
    world.set(|script| script.token = None);
    world.later(10);
    assert_eq!(world.header(None).await.unwrap(), "Bearer at4");
    // What can't be stored is in use all the same: the old one is spent.
    world.store.broken.store(true, Ordering::SeqCst);
    world.later(1000);
    assert!(world.header(None).await.unwrap_err().ends_with("could not be kept: no room"));
    assert_eq!(world.header(None).await.unwrap(), "Bearer at5");
}

#[tokio::test]
async fn a_connection_that_was_revoked_ends_and_says_so() {
    let mut world = World::new().await;
    world.connected().await;
    world.later(1000);
    world.set(|script| script.token = Some((400, json!({"error": "invalid_grant"}))));
    let told = "the authorization server ended the connection to `111122223333/git` (`invalid_grant`): connect it again with \
                `remit connect 111122223333/git`";
    assert_eq!(world.header(None).await.unwrap_err(), told);
    assert_eq!(world.header(None).await.unwrap_err(), told);
    assert_eq!(world.sent("/one/token").len(), 2);
    world.restart();
    assert_eq!(world.header(None).await.unwrap_err(), told);
    assert_eq!((world.state(), world.credentials.connections()[0].detail.as_str()), (ConnectionState::Missing, told));
    let kept = world.kept();
    assert!(!kept.contains("at1") && !kept.contains("rt1"), "{kept}");
    world.set(|script| script.token = None);
    world.connected().await;
    assert_eq!(world.header(None).await.unwrap(), "Bearer at2");
    assert_eq!(world.sent("/one/register").len(), 1);
    // A client that isn't known any more registers anew.
    world.set(|script| script.token = Some((401, json!({"error": "invalid_client"}))));
    world.later(1000);
    assert!(world.header(None).await.unwrap_err().contains("(`invalid_client`)"));
    let begun = world.begin().await;
    assert!(world.credentials.redirected(&answer(&begun)).await.is_err());
    world.set(|script| script.token = None);
    world.connected().await;
    assert_eq!(world.sent("/one/register").len(), 3);
    // What is forgotten is gone from the store as well.
    assert!(world.credentials.disconnect(&key()).unwrap());
    assert!(!world.credentials.disconnect(&key()).unwrap());
    assert!(world.header(None).await.unwrap_err().contains("nobody has connected"));
    let kept = world.kept();
    assert!(!kept.contains("client-of") && !kept.contains("at3"), "{kept}");
}

#[tokio::test]
async fn a_refused_token_is_renewed_once_and_a_moved_server_loses_its_connection() {
    let world = World::new().await;
    world.connected().await;
    world.later(9);
    let hasty = world.header(Some("Bearer error=\"invalid_token\"")).await.unwrap_err();
    assert!(hasty.contains("refuses the token that its authorization server has just given"), "{hasty}");
    world.later(1);
    assert_eq!(world.header(Some("Bearer error=\"invalid_token\"")).await.unwrap(), "Bearer at2");
    assert_eq!(world.header(None).await.unwrap(), "Bearer at2");
    // Another authorization server: nothing of the first goes there.
    world.later(20);
    let two = format!("{}/two", world.server.url);
    world.set(|script| script.resource = json!({"authorization_servers": [two]}));
    assert_eq!(world.header(None).await.unwrap(), "Bearer at2");
    let moved = world.header(Some("Bearer")).await.unwrap_err();
    assert!(moved.contains("moved to another authorization server") && moved.contains("remit connect"), "{moved}");
    assert!(world.header(None).await.is_err());
    assert!(world.sent("/two/token").is_empty());
    let begun = world.begin().await;
    assert_eq!((begun.issuer.as_str(), asked(&begun)["client_id"].as_str()), (two.as_str(), "client-of/two"));
    world.connected().await;
    assert_eq!(world.header(None).await.unwrap(), "Bearer at3");
    let exchanged = world.sent("/two/token");
    assert!(exchanged.iter().all(|(_, form)| !form.values().any(|value| value.starts_with("rt") || value.contains("/one"))));
}

#[tokio::test]
async fn more_scope_takes_a_person_and_takes_nothing_away() {
    let world = World::new().await;
    world.set(|script| script.resource = json!({"scopes_supported": ["read"]}));
    world.connected().await;
    let challenge = "Bearer error=\"insufficient_scope\", scope=\"write\"";
    let told = world.header(Some(challenge)).await.unwrap_err();
    assert!(told.contains("(`write`)") && told.contains("`remit connect 111122223333/git`"), "{told}");
    // What the connection has goes on, and nobody is asked for anything in between.
    assert_eq!(world.header(None).await.unwrap(), "Bearer at1");
    assert_eq!(world.state(), ConnectionState::ScopeNeeded);
    assert_eq!(world.sent("/one/token").len(), 1);
    let begun = world.begin().await;
    assert_eq!(asked(&begun)["scope"], "read offline_access write");
    world.connected().await;
    assert_eq!((world.header(None).await.unwrap(), world.state()), ("Bearer at2".to_owned(), ConnectionState::Connected));
    // A server that asks for what it was given is told so, without end or loop.
    let told = world.header(Some(challenge)).await.unwrap_err();
    assert!(told.contains("already been given") && !told.contains("remit connect"), "{told}");
    assert_eq!(world.state(), ConnectionState::Connected);
    let hostile = format!("Bearer error=\"insufficient_scope\", scope=\"{}\"", "x ".repeat(3000));
    assert!(world.header(Some(&hostile)).await.unwrap_err().contains("does not say which"));
}

#[tokio::test]
async fn servers_that_lie_get_nothing() {
    let world = World::new().await;
    for registration in [
        json!({"client_id": ""}),
        json!({"client_id": "a\r\nb"}),
        json!({"client_secret": "s".repeat(5000)}),
        json!({"token_endpoint_auth_method": "private_key_jwt"}),
        json!({"token_endpoint_auth_method": "tls_client_auth"}),
    ] {
        world.set(|script| script.registration = registration.clone());
        assert!(world.credentials.connect(&key(), "ops").await.is_err(), "{registration}");
    }
    world.set(|script| script.registration = Value::Null);
    for (metadata, why) in [
        (json!({"issuer": "https://evil.example"}), "the authorization server metadata is of issuer `https://evil.example`"),
        (json!({"code_challenge_methods_supported": ["plain"]}), "the authorization server does not offer PKCE with S256"),
        (json!({"code_challenge_methods_supported": null}), "the authorization server does not offer PKCE with S256"),
        (json!({"authorization_endpoint": "javascript:alert(1)"}), "the endpoint `javascript:alert(1)` is refused"),
        (json!({"token_endpoint": "file:///etc/passwd"}), "the endpoint `file:///etc/passwd` is refused"),
        (json!({"authorization_endpoint": null}), "the authorization server does not offer an authorization endpoint"),
        (
            json!({"registration_endpoint": null}),
            "the authorization server does not offer a registration that works without an operator",
        ),
        (
            json!({"registration_endpoint": "http://169.254.169.254/latest"}),
            "`169.254.169.254` resolves to 169.254.169.254, which a server registered for the loopback network may not be",
        ),
    ] {
        world.set(|script| script.metadata = metadata.clone());
        assert_eq!(world.refusal().await, why, "{metadata}");
    }
    // A token endpoint where the registration may not go: the code goes nowhere.
    world.set(|script| script.metadata = json!({"token_endpoint": "http://10.0.0.1/token"}));
    let begun = world.begin().await;
    let refused = world.credentials.redirected(&answer(&begun)).await.unwrap_err().to_string();
    assert_eq!(refused, "`10.0.0.1` resolves to 10.0.0.1, which a server registered for the loopback network may not be");
    world.set(|script| script.metadata = Value::Null);
    for (resource, why) in [
        (json!({"resource": "https://evil.example/mcp"}), "the protected resource metadata is about `https://evil.example/mcp`"),
        (json!({"authorization_servers": []}), "the protected resource metadata is malformed"),
        (
            json!({"authorization_servers": ["http://10.0.0.1"]}),
            "no authorization server metadata: `10.0.0.1` resolves to 10.0.0.1, which a server registered for the loopback network may not be",
        ),
    ] {
        world.set(|script| script.resource = resource.clone());
        assert_eq!(world.refusal().await, why, "{resource}");
    }
    world.set(|script| script.resource = Value::Null);
    for token in [
        json!({"access_token": "a", "token_type": "DPoP"}),
        json!({"access_token": "a", "token_type": "Bearer", "refresh_token": "r".repeat(20_000)}),
        json!({"access_token": "a b", "token_type": "Bearer"}),
        json!([]),
    ] {
        world.set(|script| script.token = Some((200, token.clone())));
        let begun = world.begin().await;
        let refused = world.credentials.redirected(&answer(&begun)).await.unwrap_err().to_string();
        assert_eq!(refused, "the token response is malformed", "{token:.60}");
    }
    assert_eq!(world.state(), ConnectionState::Missing);
    assert!(world.header(None).await.is_err());
}

#[tokio::test]
async fn a_secret_of_the_operator_goes_to_its_issuer_alone() {
    let own =
        RegisteredClient { client_id: "own".into(), secret: Some(SecretRef::Stored("client".into())), private_key_alg: None };
    let client = AuthorizationCodeClient { registered: Some(own), ..AuthorizationCodeClient::default() };
    let world = World::with(client.clone()).await;
    // The server's own origin may have it without further words; another host or port may not.
    world.connected().await;
    assert_eq!(world.sent("/one/token")[0].0.as_deref(), Some("Basic b3duOnMzY3JldA=="));
    assert!(world.sent("/one/register").is_empty());
    for elsewhere in [world.server.url.replace("127.0.0.1", "localhost"), "http://127.0.0.1:1".to_owned()] {
        world.set(|script| script.metadata = json!({"token_endpoint": format!("{elsewhere}/one/token")}));
        let refused = world.refusal().await;
        assert!(refused.starts_with("the server names an authorization server elsewhere"), "{refused}");
        assert!(refused.ends_with("register it as the `issuer`"), "{refused}");
    }
    let named = AuthorizationCodeClient { issuer: Some(format!("{}/one", world.server.url)), ..client.clone() };
    world.register(&named, &world.url());
    world.begin().await;
    // An issuer that is required is the only one.
    let other = AuthorizationCodeClient { issuer: Some("https://corp.example".into()), ..client };
    world.register(&other, &world.url());
    assert!(world.refusal().await.starts_with("the authorization server metadata is of issuer"));
    // And a connection of another issuer, client or address is none.
    let credential = Credential::AuthorizationCode(other);
    let refused = world.credentials.header(&key(), &world.url(), &credential, None).await.unwrap_err();
    assert!(matches!(&refused, CredentialError::Missing(why) if why.contains("registered anew")), "{refused}");
    let credential = Credential::AuthorizationCode(world.client.clone());
    assert!(world.credentials.header(&key(), "http://127.0.0.1:9/mcp", &credential, None).await.is_err());
    let stranger = Credential::AuthorizationCode(AuthorizationCodeClient::default());
    assert!(world.credentials.header(&key(), &world.url(), &stranger, None).await.is_err());
}

#[tokio::test]
async fn a_client_is_known_as_the_server_offers() {
    let document = "https://remit.example/client.json";
    let client = AuthorizationCodeClient { client_metadata_url: Some(document.into()), ..AuthorizationCodeClient::default() };
    let world = World::with(client).await;
    assert_eq!(asked(&world.begin().await)["client_id"], "client-of/one");
    world.set(|script| script.metadata = json!({"client_id_metadata_document_supported": true}));
    let begun = world.begin().await;
    assert_eq!(asked(&begun)["client_id"], document);
    world.credentials.redirected(&answer(&begun)).await.unwrap();
    let (authorization, form) = world.sent("/one/token").remove(0);
    assert_eq!((authorization, form["client_id"].as_str()), (None, document));
    // By the methods that the server lists: the form where the header isn't, nothing where nothing else is.
    for (methods, secret) in [(json!(["client_secret_post"]), true), (json!(["none"]), false)] {
        let world = World::new().await;
        world.set(|script| script.metadata = json!({"token_endpoint_auth_methods_supported": methods}));
        world.connected().await;
        let (authorization, form) = world.sent("/one/token").remove(0);
        assert_eq!((authorization, form.contains_key("client_secret")), (None, secret), "{methods}");
        assert_eq!(form["client_id"], "client-of/one");
    }
}

#[tokio::test]
async fn a_code_goes_where_it_was_given() {
    let world = World::new().await;
    // An honest authorization server elsewhere, whose consent page a hostile one names as its own.
    let honest = serve(&Shared::default()).await;
    let consent = format!("{}/one/authorize", honest.url);
    let metadata = |iss: bool| json!({"authorization_endpoint": consent, "authorization_response_iss_parameter_supported": iss});
    world.set(|script| script.metadata = metadata(false));
    let why = format!(
        "the authorization server asks for consent at `{}`, takes codes at `{}`, and promises no `iss`: if that is right, register it as \
         the `issuer`",
        honest.url, world.server.url
    );
    assert_eq!(world.refusal().await, why);
    assert!(world.sent("/one/register").is_empty());
    // One that promises `iss` is held to it, and the honest one can't be made to say another's.
    world.set(|script| script.metadata = metadata(true));
    for (iss, why) in [(None, "no `iss`"), (Some(format!("{}/one", honest.url)), "another `iss`")] {
        let begun = world.begin().await;
        assert_eq!(
            (begun.consent_origin.as_str(), begun.token_origin.as_str()),
            (honest.url.as_str(), world.server.url.as_str())
        );
        assert_eq!(begun.server_origin, world.server.url);
        let state = asked(&begun)["state"].clone();
        let mut query = vec![("code", "c0de"), ("state", state.as_str())];
        query.extend(iss.as_deref().map(|iss| ("iss", iss)));
        let refused = world.credentials.redirected(&form::write(query)).await.unwrap_err().to_string();
        assert_eq!(refused, format!("the authorization response is refused: {why}"));
    }
    assert!(world.sent("/one/token").is_empty());
    // The operator's word on the issuer is enough.
    world.set(|script| script.metadata = metadata(false));
    let issuer = Some(format!("{}/one", world.server.url));
    world.register(&AuthorizationCodeClient { issuer, ..AuthorizationCodeClient::default() }, &world.url());
    assert_eq!(world.begin().await.consent_origin, honest.url);
}

#[tokio::test]
async fn what_is_forgotten_stays_forgotten() {
    let nobody = "nobody has connected the server `111122223333/git` yet: `remit connect 111122223333/git`";
    // While it is renewed: by an answer that is good, by one that fails while the old token still lives, and by a no.
    for answer in [None, Some((503, json!({}))), Some((400, json!({"error": "invalid_grant"})))] {
        let mut world = World::new().await;
        world.connected().await;
        world.later(945);
        world.set(|script| script.token = answer.clone());
        world.meanwhile(|credentials| assert!(credentials.disconnect(&key()).unwrap()));
        assert_eq!(world.header(None).await.unwrap_err(), nobody, "{answer:?}");
        assert_eq!(world.sent("/one/token").len(), 2);
        assert_eq!(world.credentials.ended(), []);
        assert!(!world.kept().contains("at1") && !world.kept().contains("at2"), "{}", world.kept());
        world.restart();
        assert_eq!(world.header(None).await.unwrap_err(), nobody, "{answer:?}");
    }
    // While its code is redeemed, and between that and the moment when it would be in effect.
    let mut world = World::new().await;
    let begun = world.begin().await;
    world.meanwhile(|credentials| assert!(credentials.disconnect(&key()).unwrap()));
    let refused = world.credentials.redirected(&answer(&begun)).await.unwrap_err().to_string();
    let why = "the attempt to connect `111122223333/git` has ended: the server was disconnected";
    assert_eq!((refused.as_str(), world.sent("/one/token").len()), (why, 1));
    let begun = world.begin().await;
    let consent = world.credentials.redirected(&answer(&begun)).await.unwrap();
    world.credentials.disconnect(&key()).unwrap();
    assert_eq!(world.credentials.establish(consent).unwrap_err().to_string(), why);
    let ended = Progress::Failed("the server was disconnected".into());
    assert_eq!(world.credentials.progress(&begun.id, Duration::ZERO).await, Some(ended));
    assert_eq!(world.header(None).await.unwrap_err(), nobody);
    world.restart();
    assert_eq!(world.header(None).await.unwrap_err(), nobody);
}

#[tokio::test]
async fn an_attempt_that_ended_establishes_nothing() {
    let world = World::new().await;
    let redeemed = async || {
        let begun = world.begin().await;
        world.credentials.redirected(&answer(&begun)).await.unwrap()
    };
    let why = |what: &str| format!("the attempt to connect `111122223333/git` has ended: {what}");
    let earlier = redeemed().await;
    let later = redeemed().await;
    let refused = world.credentials.establish(earlier).unwrap_err().to_string();
    assert_eq!(refused, why("a later attempt took its place"));
    world.credentials.abandon(&later, "not recorded");
    assert_eq!(world.credentials.establish(later).unwrap_err().to_string(), why("not recorded"));
    let late = redeemed().await;
    world.later(ATTEMPT_SECS);
    assert_eq!(world.credentials.establish(late).unwrap_err().to_string(), why("it was not finished in time"));
    assert_eq!(world.state(), ConnectionState::Missing);
    world.credentials.establish(redeemed().await).unwrap();
    assert_eq!(world.header(None).await.unwrap(), "Bearer at4");
}

#[tokio::test]
async fn a_new_consent_outlives_the_end_of_the_one_before() {
    for answered in [None, Some((400, json!({"error": "invalid_grant"}))), Some((401, json!({"error": "invalid_client"})))] {
        let mut world = World::new().await;
        world.connected().await;
        world.later(1000);
        let begun = world.begin().await;
        let consent = world.credentials.redirected(&answer(&begun)).await.unwrap();
        world.set(|script| script.token = answered.clone());
        // The old connection has ended and is renewed; meanwhile a person makes it anew.
        world.meanwhile(move |credentials| credentials.establish(consent).unwrap());
        assert_eq!(world.header(None).await.unwrap(), "Bearer at2", "{answered:?}");
        assert_eq!(world.sent("/one/token")[2].1["refresh_token"], "rt1");
        assert_eq!((world.state(), world.credentials.ended()), (ConnectionState::Connected, Vec::new()));
        world.restart();
        assert_eq!(world.header(None).await.unwrap(), "Bearer at2", "{answered:?}");
    }
}

#[tokio::test]
async fn a_client_that_one_issuer_disowns_stays_known_to_another() {
    let world = World::new().await;
    world.connected().await;
    let two = format!("{}/two", world.server.url);
    world.set(|script| script.resource = json!({"authorization_servers": [two]}));
    world.begin().await;
    world.later(1000);
    world.set(|script| script.token = Some((401, json!({"error": "invalid_client"}))));
    assert!(world.header(None).await.unwrap_err().contains("(`invalid_client`)"));
    world.begin().await;
    assert_eq!(world.sent("/two/register").len(), 1);
}
