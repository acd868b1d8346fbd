//! ID tokens of every kind of forger, and the request that they answer.

use remit_identity::client::ServerMetadata;
use remit_identity::jwt::{JwtError, parse};
use remit_identity::openid::{AuthenticationRequest, Vouched, access_token, id_token, verify};
use serde_json::{Value, json};

use crate::{IDP, IDP_SEED, NOW, OWN_SEED, set, token, with};

const CLIENT: &str = "console";
const NONCE: &str = "a nonce of this sign-in";

fn claims() -> Value {
    json!({
        "iss": IDP, "sub": "00u1", "aud": CLIENT, "exp": NOW + 300, "iat": NOW, "nonce": NONCE, "email": "Ana@Acme.example",
        "email_verified": true, "groups": ["platform", 7], "amr": ["pwd", "otp"], "acr": "phr", "auth_time": NOW - 5,
    })
}

fn read(seed: [u8; 32], typ: &str, claims: &Value) -> Result<Vouched, JwtError> {
    verify(parse(&token(seed, typ, claims))?, IDP, CLIENT, NONCE, &set(IDP_SEED), NOW)
}

#[test]
fn who_is_vouched_for_is_told() {
    let ana = read(IDP_SEED, "JWT", &claims()).unwrap();
    assert_eq!((ana.subject.as_str(), ana.email.as_deref()), ("00u1", Some("ana@acme.example")));
    assert_eq!((ana.acr.as_deref(), ana.auth_time_secs), (Some("phr"), Some(NOW - 5)));
    let of = |name: &str| ana.claims.iter().find(|(claim, _)| *claim == name).map(|(_, values)| values.clone());
    assert_eq!(of("groups"), Some(vec!["platform".to_owned()]));
    assert_eq!(of("amr"), Some(vec!["pwd".to_owned(), "otp".to_owned()]));
    assert_eq!(of("email"), Some(vec!["ana@acme.example".to_owned()]));
    assert_eq!((of("sub"), of("aud")), (Some(vec!["00u1".to_owned()]), Some(vec![CLIENT.to_owned()])));
    // Several audiences need the one for whom it is.
    let several = with(claims(), &json!({"aud": ["other", CLIENT], "azp": CLIENT}));
    assert_eq!(read(IDP_SEED, "JWT", &several).unwrap().claims.last().unwrap().1, [CLIENT]);
}

#[test]
fn an_address_counts_once_it_is_verified() {
    for changes in [
        json!({"email_verified": false}),
        json!({"email_verified": null}),
        json!({"email_verified": "true"}),
        json!({"email": null}),
        json!({"email": "nobody"}),
        json!({"email": "ana@acme.example\nbob@acme.example"}),
    ] {
        let found = read(IDP_SEED, "JWT", &with(claims(), &changes)).unwrap();
        assert_eq!(found.email, None, "{changes}");
        assert!(!found.claims.iter().any(|(claim, _)| *claim == "email"), "{changes}");
    }
}

#[test]
fn what_the_token_is_silent_about_is_told_elsewhere_and_nothing_else_is() {
    let silent = with(claims(), &json!({"email": null, "email_verified": null, "groups": null}));
    let silent = read(IDP_SEED, "JWT", &silent).unwrap();
    assert_eq!((silent.missing.as_slice(), silent.email.as_deref()), (&["email", "groups"][..], None));
    let of =
        |vouched: &Vouched, name: &str| vouched.claims.iter().find(|(claim, _)| *claim == name).map(|(_, values)| values.clone());
    let told = |vouched: &Vouched, answer: &Value| {
        let mut vouched = vouched.clone();
        vouched.complete(answer.to_string().as_bytes()).map(|()| vouched)
    };
    let answer = json!({"sub": "00u1", "email": "Ana@Acme.example", "email_verified": true, "groups": ["platform"], "amr": ["hwk"], "acr": "x"});
    let whole = told(&silent, &answer).unwrap();
    assert_eq!((whole.email.as_deref(), whole.missing.len()), (Some("ana@acme.example"), 0));
    assert_eq!(
        (of(&whole, "groups"), of(&whole, "email")),
        (Some(vec!["platform".into()]), Some(vec!["ana@acme.example".into()]))
    );
    // How the person authenticated is the token's word alone.
    assert_eq!((of(&whole, "amr"), whole.acr.as_deref()), (of(&silent, "amr"), Some("phr")));
    // What the token says stands, also that an address isn't verified.
    let spoken = read(IDP_SEED, "JWT", &claims()).unwrap();
    let other = json!({"sub": "00u1", "email": "bob@acme.example", "email_verified": true, "groups": ["root"]});
    assert_eq!(told(&spoken, &other).unwrap(), spoken);
    let unverified = read(IDP_SEED, "JWT", &with(claims(), &json!({"email_verified": false}))).unwrap();
    assert_eq!(told(&unverified, &other).unwrap().email, None);
    let loose = told(&silent, &json!({"sub": "00u1", "email": "ana@acme.example", "groups": "platform"})).unwrap();
    assert_eq!((&loose.email, of(&loose, "groups")), (&None, Some(vec![])));
    // Of somebody else, or of nobody, nothing is believed.
    for sub in [json!("00u2"), json!("00U1"), json!(""), json!(null), json!(["00u1"])] {
        let mut answer = answer.clone();
        answer["sub"] = sub;
        assert!(told(&silent, &answer).is_err(), "{answer}");
    }
    let mut vouched = silent.clone();
    for answer in ["", "[]", "null", r#"{"sub":"00u1","sub":"00u1"}"#] {
        assert!(vouched.complete(answer.as_bytes()).is_err(), "{answer}");
    }
    assert_eq!(vouched, silent);
}

#[test]
fn an_access_token_is_a_bearers() {
    let of = |answer: Value| access_token(answer.to_string().as_bytes()).map(|token| token.to_string());
    assert_eq!(of(json!({"access_token": "t", "token_type": "bearer"})), Some("t".into()));
    for none in [
        json!({"access_token": "t"}),
        json!({"access_token": "t", "token_type": "DPoP"}),
        json!({"token_type": "Bearer"}),
        json!([]),
    ] {
        assert_eq!(of(none), None);
    }
}

#[test]
fn what_is_forged_or_for_somebody_else_is_refused() {
    for (changes, why) in [
        (json!({"nonce": "another"}), JwtError::Claim("nonce")),
        (json!({"nonce": null}), JwtError::Missing("nonce")),
        (json!({"aud": "other"}), JwtError::Audience),
        (json!({"aud": ["other", CLIENT]}), JwtError::Missing("azp")),
        (json!({"azp": "other"}), JwtError::Audience),
        (json!({"iss": "https://evil.example"}), JwtError::Issuer),
        (json!({"exp": NOW - 60}), JwtError::Expired),
        (json!({"exp": null}), JwtError::Missing("exp")),
        (json!({"iat": NOW + 3_600}), JwtError::Future),
        (json!({"sub": null}), JwtError::Missing("sub")),
        (json!({"sub": "x".repeat(256)}), JwtError::Claim("sub")),
        (json!({"sub": "a\u{0}b"}), JwtError::Claim("sub")),
    ] {
        assert_eq!(read(IDP_SEED, "JWT", &with(claims(), &changes)), Err(why), "{changes}");
    }
    assert_eq!(read(OWN_SEED, "JWT", &claims()), Err(JwtError::Key), "another's key");
    assert_eq!(read(IDP_SEED, "at+jwt", &claims()), Err(JwtError::Type), "an access token is no ID token");
}

#[test]
fn a_request_ties_the_answer_to_itself() {
    let server = ServerMetadata {
        authorization_endpoint: Some("https://idp.example/authorize?tenant=1".into()),
        ..ServerMetadata::default()
    };
    let request = AuthenticationRequest {
        client_id: CLIENT,
        redirect_uri: "http://127.0.0.1:7481/console/sign-in/callback",
        scope: "openid email",
        state: "s",
        nonce: "n",
        code_challenge: "c",
        max_age_secs: 600,
    };
    let url = request.url(&server).unwrap();
    assert!(
        url.starts_with(
            "https://idp.example/authorize?tenant=1&max_age=600&response_type=code&client_id=console&redirect_uri=http%3A"
        ),
        "{url}"
    );
    for part in ["state=s", "nonce=n", "code_challenge=c", "code_challenge_method=S256", "scope=openid+email"] {
        assert!(url.replace("%20", "+").contains(part), "{part}: {url}");
    }
    assert!(request.url(&ServerMetadata::default()).is_err());
    assert!(id_token(br#"{"access_token":"a","token_type":"Bearer"}"#).is_err() && id_token(b"no").is_err());
    assert_eq!(id_token(br#"{"id_token":"t"}"#).unwrap().as_str(), "t");
}
