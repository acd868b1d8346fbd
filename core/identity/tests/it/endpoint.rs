use std::cell::RefCell;
use std::collections::BTreeMap;
use std::sync::Arc;

use base64::Engine as _;
use remit_identity::access::{ACCESS_TYP, AccessClaims};
use remit_identity::form;
use remit_identity::jwt::parse;
use remit_identity::secret::{SecretDigest, client_secret};
use remit_identity::token::{
    ASSERTION_TYPE, GRANT_TOKEN_EXCHANGE, Grant, OAuthError, TYPE_ACCESS_TOKEN, TokenRequest, World, answer,
};
use serde_json::{Value, json};

use crate::{
    AGENT_SEED, ENDPOINT, IDP, IDP_SEED, ISSUER, NOW, OTHER_SPACE, OWN_SEED, SPACE, key, organization, set, spaces, token, with,
};

const JWT: &str = "urn:ietf:params:oauth:token-type:jwt";

/// What the endpoint remembers between requests.
#[derive(Default)]
struct Memory(RefCell<BTreeMap<String, u64>>);

fn ask(memory: &Memory, authorization: Option<&str>, body: &str) -> Result<Grant, OAuthError> {
    let (organization, spaces, own_keys) = (organization(), spaces(), set(OWN_SEED));
    let request = TokenRequest::parse(authorization, body.as_bytes())?;
    let world = World {
        issuer: ISSUER,
        token_endpoint: ENDPOINT,
        organization: &organization,
        spaces: &spaces,
        secret_digests: &|_| vec![SecretDigest::new("other", [0; 16]), SecretDigest::new("s3cret+", [7; 16])],
        own_keys: &own_keys,
        issuer_keys: &|name| (name == "corp").then(|| Arc::new(set(IDP_SEED))),
        first_use: &|id, until| memory.0.borrow_mut().insert(id.to_owned(), until).is_none(),
        now_secs: NOW,
        random: [5; 16],
    };
    answer(&request, &world)
}

fn outcome(authorization: Option<&str>, body: &str) -> String {
    match ask(&Memory::default(), authorization, body) {
        Ok(grant) => {
            let claims = grant.claims;
            let user = claims.user.map(|user| format!(" for {user}")).unwrap_or_default();
            let life = claims.expires_at_secs - NOW;
            format!("{}{user} {life}s {}", claims.agent, claims.scope.as_deref().unwrap_or("-"))
        }
        Err(error) => error.to_string(),
    }
}

fn basic(client: &str, secret: &str) -> String {
    format!("Basic {}", base64::engine::general_purpose::STANDARD.encode(format!("{client}:{}", form::encode(secret))))
}

fn body(pairs: &[(&str, &str)]) -> String {
    form::write(pairs.iter().copied())
}

#[test]
fn client_credentials() {
    let cc = ("grant_type", "client_credentials");
    let good = basic("deployer", "s3cret+");
    let space = ("resource", SPACE);
    let post = [("client_id", "deployer"), ("client_secret", "s3cret+")];
    let table: Vec<(Option<&str>, String, &str)> = vec![
        (Some(&good), body(&[cc, space]), "deployer 900s -"),
        (Some(&good), body(&[cc, ("audience", SPACE)]), "deployer 900s -"),
        (Some(&good), body(&[cc, space, ("audience", SPACE), ("client_id", "deployer")]), "deployer 900s -"),
        (Some(&good), body(&[cc, space, ("scope", "mcp:write mcp:read mcp:read")]), "deployer 900s mcp:write mcp:read"),
        (Some(&good), body(&[cc, space, ("scope", "")]), "deployer 900s -"),
        (None, body(&[cc, space, post[0], post[1]]), "deployer 900s -"),
        (Some(&good), body(&[cc, space, ("scope", "admin")]), "invalid_scope: a scope is not known"),
        (Some(&good), body(&[cc, space, ("scope", "mcp:read  mcp:write")]), "invalid_scope: a scope is not known"),
        (Some(&good), body(&[cc]), "invalid_target: `resource` is missing: it names the space's address"),
        (
            Some(&good),
            body(&[cc, ("resource", "https://remit.example/spaces/ops/mcp/")]),
            "invalid_target: `resource` is no space's address that the agent may enter",
        ),
        (
            Some(&good),
            body(&[cc, ("resource", OTHER_SPACE)]),
            "invalid_target: `resource` is no space's address that the agent may enter",
        ),
        (
            Some(&good),
            body(&[cc, space, ("audience", OTHER_SPACE)]),
            "invalid_target: `resource` and `audience` name different things",
        ),
        (Some(&good), body(&[cc, space, ("resource", OTHER_SPACE)]), "invalid_target: a token is for exactly one resource"),
        (Some(&good), body(&[cc, cc, space]), "invalid_request: `grant_type` is given more than once"),
        (
            Some(&good),
            body(&[cc, space, ("scope", ""), ("scope", "mcp:read")]),
            "invalid_request: `scope` is given more than once",
        ),
        (Some(&good), body(&[space]), "invalid_request: `grant_type` is missing"),
        (Some(&good), body(&[("grant_type", "password"), space]), "unsupported_grant_type: the grant is not offered"),
        (Some(&good), body(&[("grant_type", "authorization_code"), space]), "unsupported_grant_type: the grant is not offered"),
        (Some(&good), "grant_type=%zz".into(), "invalid_request: the body is no form of at most 65536 bytes"),
        (Some(&good), "grant_type=%ff".into(), "invalid_request: the body is no form of at most 65536 bytes"),
        (Some(&good), "x".repeat(65_537), "invalid_request: the body is no form of at most 65536 bytes"),
        (Some(&good), body(&[cc, space, post[0], post[1]]), "invalid_request: the client authenticates in more than one way"),
        (
            Some(&good),
            body(&[cc, space, ("client_id", "reader")]),
            "invalid_request: `client_id` is not the client that authenticates",
        ),
        (None, body(&[cc, space]), "invalid_client: the client did not authenticate"),
        (None, body(&[cc, space, post[0]]), "invalid_client: the client did not authenticate"),
        (None, body(&[cc, space, post[1]]), "invalid_request: `client_id` is missing"),
        (Some("Bearer x"), body(&[cc, space]), "invalid_client: the authorization is no client's"),
        (Some("Basic !!"), body(&[cc, space]), "invalid_client: the authorization is no client's"),
    ];
    for (authorization, body, expected) in table {
        assert_eq!(outcome(authorization, &body), expected, "{body}");
    }
    let wrong = "invalid_client: the client or its secret is not known";
    for (client, secret) in [("deployer", "wrong"), ("deployer", ""), ("nobody", "s3cret+"), ("reader", "s3cret+")] {
        assert_eq!(outcome(Some(&basic(client, secret)), &body(&[cc, space])), wrong, "{client} {secret}");
    }
    let asleep = outcome(Some(&basic("asleep", "s3cret+")), &body(&[cc, space]));
    assert_eq!(asleep, "unauthorized_client: the agent is suspended");
}

fn assertion(changes: &Value) -> String {
    let claims = json!({ "iss": "deployer", "sub": "deployer", "aud": ENDPOINT, "exp": NOW + 60, "jti": "a" });
    token(AGENT_SEED, "JWT", &with(claims, changes))
}

fn asserting(assertion: &str, more: &[(&str, &str)]) -> String {
    let mut pairs = vec![("grant_type", "client_credentials"), ("resource", SPACE)];
    pairs.extend([("client_assertion_type", ASSERTION_TYPE), ("client_assertion", assertion)]);
    pairs.extend(more);
    body(&pairs)
}

#[test]
fn private_key_jwt() {
    let table: Vec<(String, &str)> = vec![
        (assertion(&json!({})), "deployer 900s -"),
        (assertion(&json!({ "aud": ISSUER })), "deployer 900s -"),
        (assertion(&json!({ "aud": [ISSUER, ENDPOINT] })), "deployer 900s -"),
        (assertion(&json!({ "exp": NOW + 330 })), "deployer 900s -"),
        (assertion(&json!({ "exp": NOW + 331 })), "it expires more than 5 minutes ahead"),
        (assertion(&json!({ "exp": NOW - 30 })), "the token has expired"),
        (assertion(&json!({ "exp": null })), "the token has no `exp`"),
        (assertion(&json!({ "jti": null })), "the token has no `jti`"),
        (assertion(&json!({ "aud": [ISSUER, "https://evil.example"] })), "the token is for another audience"),
        (assertion(&json!({ "aud": SPACE })), "the token is for another audience"),
        (assertion(&json!({ "iss": "reader" })), "the token is from another issuer"),
        (assertion(&json!({ "sub": "reader" })), "the token's key is not known"),
        (assertion(&json!({ "sub": "nobody" })), "the token's key is not known"),
        (assertion(&json!({ "sub": null })), "the token has no `sub`"),
        (
            token(AGENT_SEED, ACCESS_TYP, &json!({ "iss": "deployer", "sub": "deployer" })),
            "the token's type is not accepted here",
        ),
        (token(IDP_SEED, "JWT", &json!({ "iss": "deployer", "sub": "deployer" })), "the token's key is not known"),
    ];
    for (assertion, expected) in table {
        let found = outcome(None, &asserting(&assertion, &[]));
        let refused = format!("invalid_client: the client assertion is refused: {expected}");
        assert!(found == expected || found == refused, "{found} is not {expected}");
    }
    let other = outcome(None, &asserting(&assertion(&json!({})), &[("client_id", "reader")]));
    assert_eq!(other, "invalid_client: `client_id` is not the client that authenticates");
    let memory = Memory::default();
    let form = asserting(&assertion(&json!({})), &[]);
    assert!(ask(&memory, None, &form).is_ok());
    assert_eq!(ask(&memory, None, &form).unwrap_err().description, "the client assertion is refused: it was used before");
}

fn subject(changes: &Value) -> String {
    let claims = json!({ "iss": IDP, "sub": "alice", "aud": "api://remit", "exp": NOW + 600 });
    token(IDP_SEED, "JWT", &with(claims, changes))
}

fn exchange(subject: &str, more: &[(&str, &str)]) -> String {
    let mut pairs = vec![("grant_type", GRANT_TOKEN_EXCHANGE), ("resource", SPACE)];
    pairs.extend([("subject_token_type", JWT), ("subject_token", subject)]);
    pairs.extend(more);
    body(&pairs)
}

fn own(agent: &str, user: Option<&str>, scope: Option<&str>) -> String {
    let claims = AccessClaims {
        issuer: ISSUER.into(),
        agent: remit_model::AgentId::new(agent).unwrap(),
        user: user.map(str::to_owned),
        audience: SPACE.into(),
        issued_at_secs: NOW,
        expires_at_secs: NOW + 300,
        id: "i".into(),
        scope: scope.map(str::to_owned),
    };
    claims.sign(&key(OWN_SEED)).unwrap()
}

/// Changes to the subject token, more parameters, and what comes out.
type Exchange = (Value, &'static [(&'static str, &'static str)], &'static str);

#[test]
fn token_exchange_by_the_client() {
    let client = basic("deployer", "s3cret+");
    let table: Vec<Exchange> = vec![
        (json!({}), &[], "deployer for corp/alice 600s -"),
        (json!({ "exp": NOW + 7200 }), &[], "deployer for corp/alice 900s -"),
        (json!({ "aud": SPACE, "scope": "openid" }), &[], "deployer for corp/alice 600s -"),
        (json!({ "scope": "openid mcp:read" }), &[], "deployer for corp/alice 600s mcp:read"),
        (json!({ "scope": "mcp:write" }), &[("scope", "mcp:read")], "deployer for corp/alice 600s mcp:read"),
        (
            json!({ "scope": "mcp:read" }),
            &[("scope", "mcp:write")],
            "invalid_scope: a scope reaches beyond the token that was shown",
        ),
        (json!({ "may_act": { "sub": "deployer" } }), &[], "deployer for corp/alice 600s -"),
        (json!({ "may_act": { "sub": "reader" } }), &[], "invalid_grant: the subject token names another actor in `may_act`"),
        (json!({ "may_act": "deployer" }), &[], "invalid_grant: the subject token names another actor in `may_act`"),
        (json!({ "act": { "sub": "x" } }), &[], "invalid_grant: the subject token is itself a delegation"),
        (
            json!({ "aud": "https://other.example" }),
            &[],
            "invalid_grant: the subject token is refused: the token is for another audience",
        ),
        (
            json!({ "iss": "https://evil.example" }),
            &[],
            "invalid_grant: the subject token is refused: the token is from another issuer",
        ),
        (
            json!({ "iss": "https://machines.example" }),
            &[],
            "temporarily_unavailable: the keys of issuer `machines` could not be had",
        ),
        (json!({ "exp": NOW - 31 }), &[], "invalid_grant: the subject token is refused: the token has expired"),
        (json!({ "exp": NOW }), &[], "invalid_grant: the token has expired"),
        (json!({ "sub": null }), &[], "invalid_grant: the subject token is refused: the token has no `sub`"),
        (json!({}), &[("actor_token", "x")], "invalid_request: `actor_token` and `actor_token_type` don't fit"),
        (json!({}), &[("actor_token_type", JWT)], "invalid_request: `actor_token` and `actor_token_type` don't fit"),
        (json!({}), &[("requested_token_type", "urn:x")], "invalid_request: `requested_token_type` is not offered"),
    ];
    for (changes, more, expected) in table {
        assert_eq!(outcome(Some(&client), &exchange(&subject(&changes), more)), expected, "{changes} {more:?}");
    }
    let missing = body(&[("grant_type", GRANT_TOKEN_EXCHANGE), ("resource", SPACE), ("subject_token_type", JWT)]);
    assert_eq!(outcome(Some(&client), &missing), "invalid_request: `subject_token` is missing");
    let logout = token(IDP_SEED, "logout+jwt", &json!({ "iss": IDP, "sub": "alice", "aud": "api://remit", "exp": NOW + 60 }));
    let refused = "invalid_grant: the subject token is refused: the token's type is not accepted here";
    assert_eq!(outcome(Some(&client), &exchange(&logout, &[])), refused);
    // Our own tokens name no user to delegate for.
    let refused = "invalid_grant: the subject token is refused: the token is from another issuer";
    assert_eq!(outcome(Some(&client), &exchange(&own("reader", None, None), &[])), refused);
}

#[test]
fn token_exchange_by_an_actor_token() {
    let acting = |token: &str| exchange(&subject(&json!({})), &[("actor_token", token), ("actor_token_type", TYPE_ACCESS_TOKEN)]);
    let external = subject(&json!({ "sub": "workload-d" }));
    let nobody = subject(&json!({ "sub": "someone" }));
    let table: Vec<(Option<String>, String, &str)> = vec![
        (None, own("deployer", None, None), "deployer for corp/alice 300s -"),
        (None, own("deployer", None, Some("mcp:read")), "deployer for corp/alice 300s mcp:read"),
        (None, external.clone(), "deployer for corp/alice 600s -"),
        (Some(basic("deployer", "s3cret+")), external, "deployer for corp/alice 600s -"),
        (
            Some(basic("deployer", "s3cret+")),
            own("reader", None, None),
            "invalid_grant: the actor is not the client that authenticates",
        ),
        (None, own("deployer", Some("corp/bob"), None), "invalid_grant: the actor token is itself a delegation"),
        (None, own("stranger", None, None), "invalid_grant: the actor is not known"),
        (None, own("asleep", None, None), "unauthorized_client: the agent is suspended"),
        (None, nobody, "invalid_grant: the actor token is refused: the token's claims fit no agent"),
        (None, "x".into(), "invalid_grant: the actor token is refused: the token is no signed JWT"),
    ];
    for (authorization, actor, expected) in table {
        assert_eq!(outcome(authorization.as_deref(), &acting(&actor)), expected);
    }
    assert_eq!(outcome(None, &exchange(&subject(&json!({})), &[])), "invalid_client: the client did not authenticate");
}

#[test]
fn answers() {
    let refused = ask(&Memory::default(), None, &body(&[("grant_type", "client_credentials")])).unwrap_err();
    assert_eq!((refused.code.status(), refused.www_authenticate()), (401, Some("Basic realm=\"remit\", charset=\"UTF-8\"")));
    let form = exchange(&subject(&json!({})), &[("scope", "mcp:read")]);
    let grant = ask(&Memory::default(), Some(&basic("deployer", "s3cret+")), &form).unwrap();
    let signed = grant.claims.sign(&key(OWN_SEED)).unwrap();
    let expected = json!({
        "access_token": signed, "token_type": "Bearer", "expires_in": 600, "issued_token_type": TYPE_ACCESS_TOKEN, "scope": "mcp:read",
    });
    assert_eq!(grant.body(&signed), expected);
    let read = AccessClaims::verify(parse(&signed).unwrap(), ISSUER, &set(OWN_SEED), NOW).unwrap();
    assert_eq!(read.user.as_deref(), Some("corp/alice"));
}

#[test]
fn secrets() {
    let secret = client_secret(&[3; 32]);
    let digest = SecretDigest::new(&secret, [1; 16]);
    assert!(digest.matches(&secret) && !digest.matches("rmt_") && !digest.matches(""));
    assert_eq!(SecretDigest::parse(&digest.to_text()), Some(digest.clone()));
    assert_eq!(SecretDigest::parse("v1.x.y"), None);
    assert_ne!(digest, SecretDigest::new(&secret, [2; 16]));
    assert!(!digest.to_text().contains(&secret[4..]) && format!("{digest:?}") == "SecretDigest");
}
