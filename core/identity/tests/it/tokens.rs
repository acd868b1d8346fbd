use aws_lc_rs::encoding::{AsDer, Pkcs8V1Der};
use aws_lc_rs::rsa::KeySize;
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED_SIGNING, ECDSA_P384_SHA384_FIXED_SIGNING, EcdsaKeyPair, KeyPair as _, RsaKeyPair,
};
use base64::Engine as _;
use remit_identity::access::{ACCESS_TYP, AccessClaims};
use remit_identity::base64url_encode;
use remit_identity::jwk::{Algorithm, JwkSet, PublicKey, SigningKey};
use remit_identity::jwt::{self, parse};
use remit_identity::rule::{RuleError, agent_of, holds};
use remit_model::{AgentId, ClaimTest, ToolClass};
use serde_json::{Value, json};

use crate::{ISSUER, NOW, OWN_SEED, SPACE, agent, external, key, organization, raw, rule, set, token, with};

fn good() -> Value {
    json!({ "iss": ISSUER, "sub": "deployer", "client_id": "deployer", "aud": SPACE, "iat": NOW, "exp": NOW + 900, "jti": "x" })
}

fn refusal(token: &str) -> String {
    match parse(token).and_then(|token| AccessClaims::verify(token, ISSUER, &set(OWN_SEED), NOW)) {
        Ok(_) => "accepted".into(),
        Err(error) => error.to_string(),
    }
}

#[test]
fn a_token_reads_back() {
    let claims = AccessClaims {
        issuer: ISSUER.into(),
        agent: AgentId::new("deployer").unwrap(),
        user: Some("corp/alice".into()),
        audience: SPACE.into(),
        issued_at_secs: NOW,
        expires_at_secs: NOW + 900,
        id: "id".into(),
        scope: Some("mcp:read mcp:write".into()),
    };
    let token = claims.sign(&key(OWN_SEED)).unwrap();
    let read = AccessClaims::verify(parse(&token).unwrap(), ISSUER, &set(OWN_SEED), NOW).unwrap();
    assert_eq!(read, claims);
    assert_eq!(read.class_max(), Some(ToolClass::Mutative));
}

#[test]
fn hostile_claims_are_refused() {
    let table: &[(Value, &str)] = &[
        (json!({}), "accepted"),
        (json!({ "exp": NOW - 29 }), "accepted"),
        (json!({ "exp": 1_800_000_000.5 }), "accepted"),
        (json!({ "exp": NOW - 30 }), "the token has expired"),
        (json!({ "exp": null }), "the token has no `exp`"),
        (json!({ "exp": "never" }), "the token's `exp` is malformed"),
        (json!({ "exp": -1 }), "the token's `exp` is malformed"),
        (json!({ "exp": 1e300 }), "the token's `exp` is malformed"),
        (json!({ "exp": [NOW + 900] }), "the token's `exp` is malformed"),
        (json!({ "nbf": NOW + 30 }), "accepted"),
        (json!({ "nbf": NOW + 31 }), "the token is not valid yet"),
        (json!({ "nbf": true }), "the token's `nbf` is malformed"),
        (json!({ "iat": NOW + 31 }), "the token was issued in the future"),
        (json!({ "iat": null }), "the token has no `iat`"),
        (json!({ "iss": "https://remit.example/" }), "the token is from another issuer"),
        (json!({ "iss": "HTTPS://remit.example" }), "the token is from another issuer"),
        (json!({ "iss": null }), "the token has no `iss`"),
        (json!({ "iss": [ISSUER] }), "the token's `iss` is malformed"),
        (json!({ "aud": null }), "the token has no `aud`"),
        (json!({ "aud": [SPACE, "https://evil.example"] }), "the token's `aud` is malformed"),
        (json!({ "aud": [] }), "the token's `aud` is malformed"),
        (json!({ "aud": [1] }), "the token's `aud` is malformed"),
        (json!({ "jti": null }), "the token has no `jti`"),
        (json!({ "sub": null }), "the token has no `sub`"),
        (json!({ "sub": "alice" }), "the token's `sub` is malformed"),
        (json!({ "client_id": null }), "the token has no `client_id`"),
        (json!({ "client_id": "a b" }), "the token's `client_id` is malformed"),
        (json!({ "sub": "alice", "act": { "sub": "reader" } }), "the token's `act` is malformed"),
        (json!({ "sub": "alice", "act": { "sub": "deployer", "act": { "sub": "reader" } } }), "the token's `act` is malformed"),
        (json!({ "sub": "alice", "act": "deployer" }), "the token's `act` is malformed"),
        (json!({ "scope": "admin" }), "the token's `scope` is malformed"),
        (json!({ "scope": ["mcp:read"] }), "the token's `scope` is malformed"),
    ];
    for (changes, expected) in table {
        assert_eq!(refusal(&token(OWN_SEED, ACCESS_TYP, &with(good(), changes))), *expected, "{changes}");
    }
}

#[test]
fn hostile_forms_are_refused() {
    let kid = key(OWN_SEED).kid().unwrap().to_owned();
    let payload = good().to_string();
    let header = |text: &str| raw(OWN_SEED, &text.replace("KID", &kid), &payload);
    let plain = header(r#"{"alg":"EdDSA","kid":"KID","typ":"at+jwt"}"#);
    let (signed, _) = plain.rsplit_once('.').unwrap();
    let other = raw([9; 32], &format!(r#"{{"alg":"EdDSA","kid":"{kid}","typ":"at+jwt"}}"#), &payload);
    let doubled = payload.replacen('{', r#"{"sub":"root","#, 1);
    let escaped = payload.replacen('{', "{\"\\u0073ub\":\"root\",", 1);
    let with_payload = |payload: &str| raw(OWN_SEED, &format!(r#"{{"alg":"EdDSA","kid":"{kid}","typ":"at+jwt"}}"#), payload);
    let embedded = format!(r#"{{"alg":"EdDSA","typ":"at+jwt","jwk":{}}}"#, key([9; 32]).public_jwk().unwrap());
    let table: Vec<(String, &str)> = vec![
        (plain.clone(), "accepted"),
        (header(r#"{"alg":"EdDSA","kid":"KID","typ":"application/AT+jwt"}"#), "accepted"),
        (header(r#"{"alg":"EdDSA","typ":"at+jwt"}"#), "accepted"),
        (header(r#"{"alg":"EdDSA","kid":"KID","typ":"JWT"}"#), "the token's type is not accepted here"),
        (header(r#"{"alg":"EdDSA","kid":"KID"}"#), "the token's type is not accepted here"),
        (header(r#"{"alg":"EdDSA","kid":"other","typ":"at+jwt"}"#), "the token's key is not known"),
        (header(r#"{"alg":"EdDSA","kid":7,"typ":"at+jwt"}"#), "the token's `kid` is malformed"),
        (header(r#"{"alg":"none","kid":"KID","typ":"at+jwt"}"#), "the token's algorithm is not accepted"),
        (header(r#"{"alg":"None","kid":"KID","typ":"at+jwt"}"#), "the token's algorithm is not accepted"),
        (header(r#"{"alg":"HS256","kid":"KID","typ":"at+jwt"}"#), "the token's algorithm is not accepted"),
        (header(r#"{"alg":"eddsa","kid":"KID","typ":"at+jwt"}"#), "the token's algorithm is not accepted"),
        (header(r#"{"alg":["EdDSA"],"kid":"KID","typ":"at+jwt"}"#), "the token's algorithm is not accepted"),
        (header(r#"{"kid":"KID","typ":"at+jwt"}"#), "the token's algorithm is not accepted"),
        (header(r#"{"alg":"RS256","kid":"KID","typ":"at+jwt"}"#), "the token's key is not known"),
        (header(r#"{"alg":"EdDSA","kid":"KID","typ":"at+jwt","crit":["exp"]}"#), "the token has critical header parameters"),
        (header(r#"{"alg":"EdDSA","kid":"KID","typ":"at+jwt","crit":[]}"#), "the token has critical header parameters"),
        (
            header(r#"{"alg":"none","alg":"EdDSA","kid":"KID","typ":"at+jwt"}"#),
            "the token's header is refused: duplicate key at byte 14",
        ),
        (header(r#"["EdDSA"]"#), "the token's header is not an object"),
        (header(r#"{"alg":"EdDSA"} x"#), "the token's header is refused: invalid JSON at byte 16"),
        (with_payload(&doubled), "duplicate"),
        (with_payload(&escaped), "duplicate"),
        (with_payload("[1]"), "the token's payload is not an object"),
        (with_payload("null"), "the token's payload is not an object"),
        (with_payload(&"[".repeat(40)), "the token's payload is refused: nested too deeply at byte 16"),
        (raw([9; 32], &embedded, &payload), "the token's signature is wrong"),
        (other, "the token's signature is wrong"),
        (format!("{signed}.{}", base64url_encode(&[0; 64])), "the token's signature is wrong"),
        (format!("{signed}.{}", base64url_encode(&[0; 10])), "the token's signature is wrong"),
        (format!("{signed}."), "the token is no signed JWT"),
        (format!("{plain}="), "the token is no signed JWT"),
        (format!("{plain}.x"), "the token is no signed JWT"),
        (format!(" {plain}"), "the token is no signed JWT"),
        (String::new(), "the token is no signed JWT"),
        ("opaque".into(), "the token is no signed JWT"),
        ("a.b.c.d.e".into(), "the token is no signed JWT"),
        ("x".repeat(16 * 1024 + 1), "the token is larger than 16384 bytes"),
    ];
    for (token, expected) in table {
        let found = refusal(&token);
        assert!(
            found == expected || (expected == "duplicate" && found.contains("duplicate key")),
            "{expected}: {found}: {token}"
        );
    }
}

fn pem(der: &[u8]) -> String {
    let body = base64::engine::general_purpose::STANDARD.encode(der);
    format!("-----BEGIN PRIVATE KEY-----\n{body}\n-----END PRIVATE KEY-----\n")
}

#[test]
fn every_algorithm_signs_and_verifies_and_no_key_serves_another() {
    let rng = aws_lc_rs::rand::SystemRandom::new();
    let p256 = EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &rng).unwrap();
    let p384 = EcdsaKeyPair::generate_pkcs8(&ECDSA_P384_SHA384_FIXED_SIGNING, &rng).unwrap();
    let rsa = RsaKeyPair::generate(KeySize::Rsa2048).unwrap();
    let rsa_der = AsDer::<Pkcs8V1Der<'_>>::as_der(&rsa).unwrap();
    let public = rsa.public_key();
    let part = |bytes: &[u8]| base64url_encode(bytes);
    let rsa_jwk = json!({ "kty": "RSA", "n": part(&public.as_ref()[9..265]), "e": "AQAB" });
    let pems = [
        (Algorithm::Rs256, pem(rsa_der.as_ref())),
        (Algorithm::Ps256, pem(rsa_der.as_ref())),
        (Algorithm::Es256, pem(p256.as_ref())),
        (Algorithm::Es384, pem(p384.as_ref())),
    ];
    let mut keys: Vec<SigningKey> =
        pems.iter().map(|(algorithm, pem)| SigningKey::from_pem(pem, *algorithm, None).unwrap()).collect();
    keys.push(key(OWN_SEED));
    let publics: Vec<Value> = keys.iter().map(|key| key.public_jwk().unwrap_or_else(|| rsa_jwk.clone())).collect();
    for (at, signing) in keys.iter().enumerate() {
        let token = jwt::sign(signing, "JWT", json!({ "a": 1 }).as_object().unwrap()).unwrap();
        for (other, public) in publics.iter().enumerate() {
            let set = JwkSet::parse(json!({ "keys": [public] }).to_string().as_bytes()).unwrap();
            let verified = parse(&token).unwrap().verify(&set);
            let same = at == other || (at < 2 && other < 2);
            assert_eq!(verified.is_ok(), same, "{:?} {public}", signing.algorithm());
        }
    }
    assert!(SigningKey::from_pem(&pem(p256.as_ref()), Algorithm::Es384, None).is_err());
    assert!(SigningKey::from_pem("no key", Algorithm::Es256, None).is_err());
    assert!(!format!("{:?}", key(OWN_SEED)).contains("seed"));
}

#[test]
fn keys_that_are_no_use_are_left_out() {
    let good = key(OWN_SEED).public_jwk().unwrap();
    let keys = [
        json!({ "kty": "oct", "k": "AAAA" }),
        with(good.clone(), &json!({ "d": "AAAA" })),
        with(good.clone(), &json!({ "use": "enc" })),
        with(good.clone(), &json!({ "key_ops": ["sign"] })),
        with(good.clone(), &json!({ "alg": "HS256" })),
        with(good.clone(), &json!({ "x": "AAAA" })),
        json!({ "kty": "EC", "crv": "secp256k1", "x": "AA", "y": "AA" }),
        json!({ "kty": "RSA", "n": base64url_encode(&[255; 128]), "e": "AQAB" }),
        json!(7),
    ];
    for jwk in &keys {
        assert!(PublicKey::from_jwk(jwk).is_none(), "{jwk}");
    }
    assert!(JwkSet::parse(json!({ "keys": keys }).to_string().as_bytes()).unwrap().is_empty());
    assert!(JwkSet::parse(b"{\"keys\":[],\"keys\":[]}").is_err());
    // Two keys and no `kid`: the token may not choose.
    let two = json!({ "keys": [good, key([8; 32]).public_jwk()] }).to_string();
    let token = raw(OWN_SEED, r#"{"alg":"EdDSA","typ":"at+jwt"}"#, "{}");
    let refused = parse(&token).unwrap().verify(&JwkSet::parse(two.as_bytes()).unwrap()).unwrap_err();
    assert_eq!(refused.to_string(), "the token names no key, and several fit");
}

#[test]
fn claim_rules() {
    let claims = json!({
        "sub": "a", "n": 1, "groups": ["x", "y"], "realm": { "roles": ["admin"], "a.b": "c" },
        "https://example.com/roles": ["ops"], "scope": "x y",
    });
    let claims = claims.as_object().unwrap();
    let equals = |claim: &str, text: &str| holds(&rule(claim, ClaimTest::Equals(text.into())), claims);
    let contains = |claim: &str, text: &str| holds(&rule(claim, ClaimTest::Contains(text.into())), claims);
    assert!(equals("sub", "a") && equals("realm.a.b", "c"));
    assert!(!equals("sub", "A") && !equals("n", "1") && !equals("groups", "x") && !equals("none", ""));
    assert!(contains("groups", "y") && contains("realm.roles", "admin") && contains("https://example.com/roles", "ops"));
    assert!(!contains("scope", "x") && !contains("sub", "a") && !contains("realm", "roles"));
    assert!(holds(&rule("groups", ClaimTest::ContainsAny(vec!["q".into(), "x".into()])), claims));
    assert!(!holds(&rule("groups", ClaimTest::ContainsAny(vec![])), claims));
}

#[test]
fn exactly_one_agent_fits() {
    let mut organization = organization();
    let claims = json!({ "sub": "workload-d" });
    let claims = claims.as_object().unwrap();
    assert_eq!(agent_of(&organization, "corp", claims).unwrap().as_str(), "deployer");
    assert_eq!(agent_of(&organization, "machines", claims), Err(RuleError::Nobody));
    let twin = agent("twin", vec![external(vec![rule("sub", ClaimTest::Equals("workload-d".into()))])]);
    organization.agents.insert(twin.id.clone(), twin);
    assert_eq!(agent_of(&organization, "corp", claims), Err(RuleError::Several));
    let anyone = agent("anyone", vec![external(vec![])]);
    organization.agents = [(anyone.id.clone(), anyone)].into();
    assert_eq!(agent_of(&organization, "corp", claims), Err(RuleError::Nobody));
}
