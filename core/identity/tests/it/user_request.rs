//! Signed requests of users: every claim is held against what is shown.

use remit_identity::jwk::{JwkSet, SigningKey};
use remit_identity::jwt;
use remit_identity::user_request::{LIFE_SECS_MAX, Shown, Signed, TYP, request_sha256, verify};
use remit_model::RequestStanding;
use serde_json::{Map, Value, json};

const NOW: u64 = 1_790_000_000;
const SHOWN: Shown<'_> = Shown { agent: "a", audience: "https://s", session: "one", text: "t" };

fn claims() -> Map<String, Value> {
    let digest = request_sha256("t");
    let claims = json!({"sub": "a", "aud": ["x", "https://s"], "iat": NOW, "exp": NOW + LIFE_SECS_MAX, "jti": "1", "request_sha256": digest});
    claims.as_object().unwrap().clone()
}

fn key() -> (SigningKey, JwkSet) {
    let key = SigningKey::from_seed(&[7; 32]).unwrap();
    let mut keys = JwkSet::default();
    keys.add(&key);
    (key, keys)
}

fn checked(claims: &Map<String, Value>, now: u64) -> Result<Signed, RequestStanding> {
    let (key, keys) = key();
    verify(&jwt::sign(&key, TYP, claims).unwrap(), &keys, &SHOWN, now)
}

#[test]
fn every_claim_must_be_there_and_fit() {
    let good = Signed { jti: "1".to_owned(), issued_at_secs: NOW, expires_at_secs: NOW + LIFE_SECS_MAX };
    assert_eq!(checked(&claims(), NOW), Ok(good));
    for missing in ["sub", "aud", "iat", "exp", "jti", "request_sha256"] {
        let mut claims = claims();
        claims.remove(missing);
        assert_eq!(checked(&claims, NOW), Err(RequestStanding::Broken), "{missing}");
    }
    let changed = [
        ("sub", json!("b"), RequestStanding::OtherAgent),
        ("aud", json!("x"), RequestStanding::OtherSpace),
        ("session", json!("two"), RequestStanding::OtherSession),
        ("session", json!(1), RequestStanding::Broken),
        ("request_sha256", json!(request_sha256("t ")), RequestStanding::OtherText),
        ("exp", json!(NOW + LIFE_SECS_MAX + 1), RequestStanding::Broken),
        ("iat", json!(NOW + 60), RequestStanding::Broken),
        ("jti", json!("x".repeat(129)), RequestStanding::Broken),
    ];
    for (name, value, standing) in changed {
        let mut claims = claims();
        claims.insert(name.to_owned(), value);
        assert_eq!(checked(&claims, NOW), Err(standing), "{name}");
    }
    let mut named = claims();
    named.insert("session".to_owned(), json!("one"));
    assert!(checked(&named, NOW).is_ok());
    assert_eq!(checked(&claims(), NOW + LIFE_SECS_MAX + remit_identity::LEEWAY_SECS), Err(RequestStanding::Expired));
}

#[test]
fn another_token_of_the_key_is_no_request() {
    let (key, keys) = key();
    for typ in ["JWT", "at+jwt", "client-authentication+jwt"] {
        let token = jwt::sign(&key, typ, &claims()).unwrap();
        assert_eq!(verify(&token, &keys, &SHOWN, NOW), Err(RequestStanding::Broken));
    }
    let token = jwt::sign(&key, TYP, &claims()).unwrap();
    assert_eq!(verify(&token, &JwkSet::default(), &SHOWN, NOW), Err(RequestStanding::UnknownKey));
}
