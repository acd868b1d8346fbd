//! Requests of users, signed by the program that the user talks to: who is believed, and who isn't.

use std::io::{BufRead as _, BufReader, Write as _};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::time::SystemTime;

use remit_identity::jwk::SigningKey;
use remit_identity::jwt;
use remit_identity::user_request::{TYP, request_sha256};
use serde_json::{Value, json};

use crate::client::Client;
use crate::gateway::Place;
use crate::provenance::{asks, mail, organization, to, up, with_meta};
use crate::real::Peers;
use crate::upstream::Era;

const RULES: &str = r#"
permit (principal, action, resource);
@id("what-the-user-asked-for")
forbid (principal, action == AgentCore::Action::"mail___send", resource) when { context.provenance.to != "request" };
"#;
const TEXT: &str = "Please write to ann@example.com";

fn now() -> u64 {
    SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap().as_secs()
}

/// What a good signature says; a test changes what it is about.
fn claims(address: &str, jti: &str) -> Value {
    let iat = now();
    json!({"sub": "agent-1", "aud": address, "iat": iat, "exp": iat + 300, "jti": jti, "request_sha256": request_sha256(TEXT)})
}

fn signed(key: &SigningKey, typ: &str, claims: &Value) -> Value {
    jwt::sign(key, typ, claims.as_object().unwrap()).unwrap().into()
}

/// After something was read, a call with a text that names ann, and this beside it.
fn sends_to_ann(client: &Client, session: &str, text: &str, signature: Option<Value>) -> Value {
    let mut meta = json!({"remit/request": text});
    if let Some(signature) = signature {
        meta["remit/request-signature"] = signature;
    }
    with_meta(client, session, &meta, "send", &to("ann@example.com"))
}

#[test]
fn only_what_is_signed_for_this_call_is_believed() {
    let upstream = mail(Era::Modern);
    let key = SigningKey::from_seed(&[7; 32]).unwrap();
    let mut whole = organization(&upstream);
    let keys = json!({"jwks_file": "keys/host.json"});
    for agent in whole["agents"].as_array_mut().unwrap() {
        agent["request_keys"] = keys.clone();
    }
    whole["agents"][0]["signed_requests"] = json!("required");
    let place = Place::new();
    std::fs::create_dir_all(place.config().join("keys")).unwrap();
    std::fs::write(place.config().join("keys/host.json"), json!({"keys": [key.public_jwk()]}).to_string()).unwrap();
    place.write(&whole);
    let remit = up(place);
    let (client, address) = (remit.client("agent-1", "mail"), remit.url("mail"));
    let sign = |claims: &Value| Some(signed(&key, TYP, claims));
    let with = |jti: &str, changed: &[(&str, Value)]| {
        let mut claims = claims(&address, jti);
        for (name, value) in changed {
            claims[*name] = value.clone();
        }
        sign(&claims)
    };

    // Signed: with every call of its session.
    let good = with("good", &[]);
    assert!(!asks(&with_meta(&client, "good", &json!({}), "read", &json!({}))));
    assert!(!asks(&sends_to_ann(&client, "good", TEXT, good.clone())));
    assert!(!asks(&sends_to_ann(&client, "good", TEXT, good.clone())));
    let named = with("named", &[("session", json!("named"))]);
    assert!(!asks(&sends_to_ann(&client, "named", TEXT, named)));
    // Nobody's word, each in a session that has read nothing: the request alone is what anybody could have written.
    let other_key = SigningKey::from_seed(&[8; 32]).unwrap();
    let mut broken = good.as_ref().unwrap().as_str().unwrap().to_owned();
    broken.insert_str(broken.rfind('.').unwrap() + 1, "AA");
    let refused = [
        ("not_signed", TEXT, None),
        ("replayed", TEXT, good),
        ("other_text", "Please write to ann@example.com and eve", with("t", &[])),
        ("other_agent", TEXT, with("a", &[("sub", json!("agent-2"))])),
        ("other_space", TEXT, with("s", &[("aud", json!(address.replace("mail", "else")))])),
        ("other_session", TEXT, with("o", &[("session", json!("good"))])),
        ("expired", TEXT, with("e", &[("iat", json!(now() - 300)), ("exp", json!(now() - 60))])),
        ("broken", TEXT, Some(broken.into())),
        ("broken", TEXT, Some(json!({"signature": "none"}))),
        ("broken", TEXT, with("l", &[("exp", json!(now() + 3600))])),
        ("broken", TEXT, with("j", &[("jti", json!(7))])),
        ("broken", TEXT, Some(signed(&key, "JWT", &claims(&address, "u")))),
        ("unknown_key", TEXT, Some(signed(&other_key, TYP, &claims(&address, "k")))),
    ];
    for (number, (standing, text, signature)) in refused.iter().enumerate() {
        let session = format!("refused-{number}");
        let answer = sends_to_ann(&client, &session, text, signature.clone());
        assert!(asks(&answer), "{standing}: {answer}");
        assert_eq!(answer["result"]["_meta"]["remit/approval"]["request"], *standing, "the client is told");
    }
    // The other agent need not sign; what it shows must be right nevertheless, and a key's signatures are for one agent.
    let other = remit.client("agent-2", "mail");
    assert!(!asks(&sends_to_ann(&other, "one", TEXT, None)));
    let mut of_other = claims(&address, "good");
    of_other["sub"] = json!("agent-2");
    assert!(!asks(&sends_to_ann(&other, "two", TEXT, sign(&of_other))));
    assert!(asks(&sends_to_ann(&other, "three", TEXT, with("x", &[]))), "agent-1's");
    // Where the space asks for it, everybody signs.
    whole["spaces"][0]["signed_requests"] = json!("required");
    remit.configure(&whole);
    assert!(asks(&sends_to_ann(&other, "four", TEXT, None)));
    // Policies read it as well, and whoever is denied is told.
    std::fs::write(remit.place().config().join("rules.cedar"), RULES).unwrap();
    whole["spaces"][0]["policy_set"] = json!({"mode": "ENFORCE", "policies": [{"file": "rules.cedar"}]});
    remit.configure(&whole);
    let denied = sends_to_ann(&other, "five", TEXT, None);
    assert_eq!(
        (&denied["error"]["data"]["reason"], &denied["error"]["data"]["request"]),
        (&json!("policy_set"), &json!("not_signed"))
    );

    let place = remit.stop();
    let decisions = place.log_of("decision");
    let standings: Vec<&str> = decisions.iter().filter_map(|entry| entry["request"].as_str()).collect();
    let expected: Vec<&str> =
        ["signed", "signed", "signed"].into_iter().chain(refused.iter().map(|(standing, ..)| *standing)).collect();
    assert_eq!(standings[..expected.len()], expected);
    assert_eq!(standings[expected.len()..], ["unsigned", "signed", "other_agent", "not_signed", "not_signed"]);
    let statements: Vec<&str> =
        decisions.iter().filter_map(|entry| entry["layers"].as_array()?.last()?["statement"].as_str()).collect();
    let told = "rule `strangers` asks for a person's approval: /to (destination) is untrusted, from the request, whose signature has expired";
    assert!(statements.contains(&told), "{statements:?}");
    place.verify();
    let replayed = place.cli(&["replay", "--since", "1h"]);
    assert!(replayed.code == 0 && replayed.out.contains(" 0 otherwise"), "{replayed:?}");

    // What was signed before a restart may have been shown before.
    let remit = up(place);
    let (client, address) = (remit.client("agent-1", "mail"), remit.url("mail"));
    let mut early = claims(&address, "early");
    early["iat"] = json!(now() - 60);
    let early = sends_to_ann(&client, "new", TEXT, sign(&early));
    assert_eq!(early["error"]["data"]["request"], "replayed", "{early}");
    let fresh = sends_to_ann(&client, "newer", TEXT, sign(&claims(&address, "fresh")));
    assert!(!asks(&fresh));
    remit.stop();
}

#[test]
fn an_agent_that_must_sign_needs_keys() {
    let upstream = mail(Era::Modern);
    let mut whole = organization(&upstream);
    whole["agents"][0]["signed_requests"] = json!("required");
    whole["agents"][1]["request_keys"] = json!({"jwks": {"keys": []}});
    let place = Place::new();
    place.write(&whole);
    let said = crate::gateway::remit(&["check", place.config().to_str().unwrap()], None);
    assert_ne!(said.code, 0, "{said:?}");
    let told = format!("{}{}", said.out, said.err);
    assert!(told.contains("there is no key with which its requests could be signed"), "{told}");
    assert!(told.contains("this is no key set with 1 to 20 keys"), "{told}");
}

/// A host with a key of its own, which signs with another implementation (PyJWT).
struct Host {
    process: Child,
    asked: ChildStdin,
    told: BufReader<ChildStdout>,
    key: Value,
}

impl Host {
    fn start(peers: &Peers, algorithm: &str) -> Self {
        let mut command = Command::new(peers.root.join("venv/bin/python"));
        command.arg(peers.root.join("sign_request.py")).arg(algorithm).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut process = command.spawn().unwrap();
        let (asked, told) = (process.stdin.take().unwrap(), BufReader::new(process.stdout.take().unwrap()));
        let mut host = Self { process, asked, told, key: Value::Null };
        host.key = serde_json::from_str(&host.line()).unwrap();
        host
    }

    fn line(&mut self) -> String {
        let mut line = String::new();
        self.told.read_line(&mut line).unwrap();
        line.trim().to_owned()
    }

    fn sign(&mut self, text: &str, claims: &Value) -> Value {
        writeln!(self.asked, "{}", json!({"text": text, "claims": claims})).unwrap();
        self.line().into()
    }
}

impl Drop for Host {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

#[test]
fn what_another_implementation_signs_is_believed() {
    let peers = Peers::installed();
    let upstream = mail(Era::Modern);
    for algorithm in ["ES256", "ES384", "EdDSA", "PS256", "RS256"] {
        let mut host = Host::start(&peers, algorithm);
        let mut whole = organization(&upstream);
        whole["agents"][0]["request_keys"] = json!({"jwks": {"keys": [host.key]}});
        whole["agents"][0]["signed_requests"] = json!("required");
        let place = Place::new();
        place.write(&whole);
        let remit = up(place);
        let (client, address) = (remit.client("agent-1", "mail"), remit.url("mail"));
        let iat = now();
        let claims = |jti: &str| json!({"sub": "agent-1", "aud": address, "iat": iat, "exp": iat + 300, "jti": jti});
        let text = "Bitte schreib an ann@example.com \u{2013} dr\u{e4}ngt";
        let good = host.sign(text, &claims("one"));
        let answer = sends_to_ann(&client, "one", text, Some(good.clone()));
        assert!(!asks(&answer), "{algorithm}: {answer}");
        let of_other = host.sign("Please write to eve@example.com", &claims("two"));
        let answer = sends_to_ann(&client, "two", text, Some(of_other));
        assert!(asks(&answer), "{algorithm}: {answer}");
        // Another key of the same name.
        let forged = Host::start(&peers, algorithm).sign(text, &claims("three"));
        let answer = sends_to_ann(&client, "three", text, Some(forged));
        assert_eq!(answer["result"]["_meta"]["remit/approval"]["request"], "broken", "{algorithm}: {answer}");
        remit.stop();
    }
}
