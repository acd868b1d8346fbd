use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU8, Ordering};

use remit_identity::jwk::SigningKey;
use remit_kernel::Fact;
use serde_json::{Value, json};

use crate::{NOW, SPACE, Server, ask, authenticator, authority, directory, principal, rejection, signed};

/// An issuer whose key and presence can be changed.
#[derive(Default)]
struct Switches {
    away: AtomicBool,
    seed: AtomicU8,
    lies: AtomicBool,
}

async fn issuer(switches: &Arc<Switches>) -> Server {
    let switches = Arc::clone(switches);
    Server::start(|url| {
        Box::new(move |path, _, _| {
            if switches.away.load(Ordering::SeqCst) {
                return (503, String::new());
            }
            let name = if switches.lies.load(Ordering::SeqCst) { "https://evil.example" } else { &url };
            match path {
                "/.well-known/openid-configuration" => {
                    (200, json!({ "issuer": name, "jwks_uri": format!("{url}/jwks") }).to_string())
                }
                "/jwks" => {
                    let key = SigningKey::from_seed(&[switches.seed.load(Ordering::SeqCst); 32]).unwrap();
                    (200, json!({ "keys": [key.public_jwk()] }).to_string())
                }
                _ => (404, String::new()),
            }
        })
    })
    .await
}

fn claims(issuer: &str, now: u64) -> Value {
    json!({ "iss": issuer, "sub": "workload", "aud": SPACE, "iat": now, "exp": now + 600, "jti": "j" })
}

fn shown(seed: u8, claims: &Value) -> String {
    format!("Bearer {}", signed(seed, claims))
}

#[tokio::test]
async fn keys_are_fetched_once_and_again_only_when_there_is_reason() {
    let switches = Arc::default();
    let server = issuer(&switches).await;
    let authenticator = Arc::new(authenticator(authority(directory(&server.url), Arc::default(), NOW)));
    // Twenty different tokens at once: one discovery, one fetch of the keys.
    let mut tasks = tokio::task::JoinSet::new();
    for n in 0..20 {
        let mut claims = claims(&server.url, NOW);
        claims["jti"] = json!(n.to_string());
        let (authenticator, shown) = (Arc::clone(&authenticator), shown(0, &claims));
        tasks.spawn(async move { principal(authenticator.authenticate(Some(&shown), NOW).await).credential_id });
    }
    let ids = tasks.join_all().await;
    assert!(ids.contains(&"corp/7".to_owned()));
    assert_eq!(server.asked(), 2);
    // Made-up keys ask again at most once in ten seconds.
    let unknown = shown(9, &claims(&server.url, NOW));
    for _ in 0..5 {
        assert_eq!(rejection(authenticator.authenticate(Some(&unknown), NOW + 5).await), "the token's key is not known");
    }
    assert_eq!(server.asked(), 2);
    rejection(authenticator.authenticate(Some(&unknown), NOW + 10).await);
    rejection(authenticator.authenticate(Some(&unknown), NOW + 11).await);
    assert_eq!(server.asked(), 4);
    // A new key is found.
    switches.seed.store(9, Ordering::SeqCst);
    principal(authenticator.authenticate(Some(&unknown), NOW + 20).await);
    assert_eq!(server.asked(), 6);
    // Known keys are asked for again after an hour.
    let later = NOW + 20 + 3600;
    principal(authenticator.authenticate(Some(&shown(9, &claims(&server.url, later))), later).await);
    assert_eq!(server.asked(), 8);
}

#[tokio::test]
async fn an_issuer_that_is_away_is_unknown_and_its_keys_serve_for_a_day() {
    let switches = Arc::<Switches>::default();
    let server = issuer(&switches).await;
    let authenticator = authenticator(authority(directory(&server.url), Arc::default(), NOW));
    switches.away.store(true, Ordering::SeqCst);
    let unknown = authenticator.authenticate(Some(&shown(0, &claims(&server.url, NOW))), NOW).await;
    assert!(matches!(&unknown, Fact::Unknown(what) if what.contains("`corp`") && what.contains("503")), "{unknown:?}");
    switches.away.store(false, Ordering::SeqCst);
    let start = NOW + 10;
    principal(authenticator.authenticate(Some(&shown(0, &claims(&server.url, start))), start).await);
    switches.away.store(true, Ordering::SeqCst);
    let last = start + 24 * 3600 - 1;
    principal(authenticator.authenticate(Some(&shown(0, &claims(&server.url, last))), last).await);
    let after = last + 1;
    let unknown = authenticator.authenticate(Some(&shown(0, &claims(&server.url, after))), after).await;
    assert!(matches!(unknown, Fact::Unknown(_)), "{unknown:?}");
}

#[tokio::test]
async fn what_an_external_token_must_say() {
    let switches = Arc::<Switches>::default();
    let server = issuer(&switches).await;
    let directory = directory(&server.url);
    let authenticator = authenticator(authority(Arc::clone(&directory), Arc::default(), NOW));
    let table: &[(Value, &str)] = &[
        (json!({ "aud": "https://other.example" }), "the token is for another audience"),
        (json!({ "aud": null }), "the token's `aud` is malformed"),
        (json!({ "iss": "https://evil.example" }), "the token is from another issuer"),
        (json!({ "sub": "stranger" }), "the token's claims fit no agent"),
        (json!({ "act": { "sub": "x" } }), "the token's `act` is malformed"),
        (json!({ "exp": NOW - 30 }), "the token has expired"),
        (json!({ "scope": ["mcp:read"] }), "the token's `scope` is malformed"),
    ];
    for (changes, expected) in table {
        let mut claims = claims(&server.url, NOW);
        claims.as_object_mut().unwrap().extend(changes.as_object().unwrap().clone());
        assert_eq!(rejection(authenticator.authenticate(Some(&shown(0, &claims)), NOW).await), *expected, "{changes}");
    }
    let mut wide = claims(&server.url, NOW);
    wide["aud"] = json!(["api://remit", "x"]);
    let found = principal(authenticator.authenticate(Some(&shown(0, &wide)), NOW).await);
    assert_eq!(found.audiences, ["api://remit", "x", SPACE]);
    // Somebody else's signature under the known key's id.
    let good = signed(0, &wide);
    let (_, signature) =
        signed(0, &claims(&server.url, NOW)).rsplit_once('.').map(|(a, b)| (a.to_owned(), b.to_owned())).unwrap();
    let forged = format!("Bearer {}.{signature}", good.rsplit_once('.').unwrap().0);
    assert_eq!(rejection(authenticator.authenticate(Some(&forged), NOW).await), "the token's signature is wrong");
    // The cache doesn't outlive the configuration.
    let mut organization = (**directory.organization.lock().unwrap()).clone();
    organization.agents.clear();
    *directory.organization.lock().unwrap() = Arc::new(organization);
    principal(authenticator.authenticate(Some(&format!("Bearer {good}")), NOW).await);
    authenticator.invalidate();
    let gone = rejection(authenticator.authenticate(Some(&format!("Bearer {good}")), NOW).await);
    assert_eq!(gone, "the token's claims fit no agent");
}

#[tokio::test]
async fn metadata_of_another_issuer_is_not_believed() {
    let switches = Arc::<Switches>::default();
    switches.lies.store(true, Ordering::SeqCst);
    let server = issuer(&switches).await;
    let authenticator = authenticator(authority(directory(&server.url), Arc::default(), NOW));
    let unknown = authenticator.authenticate(Some(&shown(0, &claims(&server.url, NOW))), NOW).await;
    assert!(matches!(&unknown, Fact::Unknown(what) if what.contains("another issuer's")), "{unknown:?}");
}

#[tokio::test]
async fn a_user_is_delegated_for() {
    let switches = Arc::default();
    let server = issuer(&switches).await;
    let authority = authority(directory(&server.url), Arc::default(), NOW);
    let mut claims = claims(&server.url, NOW);
    claims["sub"] = json!("alice");
    let form = |token: &str| {
        let grant = remit_identity::token::GRANT_TOKEN_EXCHANGE;
        let kind = remit_identity::token::TYPE_ACCESS_TOKEN;
        let pairs = [("grant_type", grant), ("subject_token_type", kind), ("subject_token", token), ("resource", SPACE)];
        remit_identity::form::write(pairs)
    };
    let (status, body) = ask(&authority, &form(&signed(0, &claims)), NOW).await;
    assert_eq!((status, &body["expires_in"]), (200, &json!(600)), "{body}");
    let shown = format!("Bearer {}", body["access_token"].as_str().unwrap());
    let found = principal(authenticator(Arc::clone(&authority)).authenticate(Some(&shown), NOW).await);
    assert_eq!((found.agent.as_str(), found.user.as_deref()), ("deployer", Some("corp/alice")));
    let (status, body) = ask(&authority, &form(&signed(4, &claims)), NOW).await;
    assert_eq!((status, &body["error"]), (400, &json!("invalid_grant")));
    switches.away.store(true, Ordering::SeqCst);
    let (status, body) = ask(&authority, &form(&signed(4, &claims)), NOW + 10).await;
    assert_eq!((status, &body["error"]), (503, &json!("temporarily_unavailable")));
}
