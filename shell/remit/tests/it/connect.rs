//! Servers that want a person's consent: `remit connect`, what comes back, and how long it lasts.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{BufRead as _, BufReader};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};

use serde_json::{Value, json};

use crate::client::{Answer, json, send};
use crate::gateway::{ACCOUNT, Place, Remit, Said, config, remit, until};
use crate::upstream::{Era, Reply, Seen, Upstream};

/// An authorization server: what it has given, and how it behaves.
#[derive(Default)]
struct Issuer {
    /// Members that stand in for those of its metadata.
    metadata: Value,
    /// Members of the redirect instead of `code` and `iss`.
    redirect: Option<Vec<(&'static str, String)>>,
    lifetime_secs: u64,
    revoked: bool,
    /// Codes and refresh tokens that were used: none is good twice.
    used: BTreeSet<String>,
    access: Option<String>,
    consents: usize,
    renewals: usize,
    given: u64,
    challenge: String,
}

type Shared = Arc<Mutex<Issuer>>;

fn parameters(text: &str) -> BTreeMap<String, String> {
    let decode = |text: &str| {
        let mut bytes = Vec::new();
        let mut rest = text.bytes();
        while let Some(byte) = rest.next() {
            bytes.push(match byte {
                b'%' => {
                    let hex = [rest.next().unwrap(), rest.next().unwrap()];
                    u8::from_str_radix(std::str::from_utf8(&hex).unwrap(), 16).unwrap()
                }
                b'+' => b' ',
                byte => byte,
            });
        }
        String::from_utf8(bytes).unwrap()
    };
    text.split('&').filter_map(|pair| pair.split_once('=')).map(|(name, value)| (decode(name), decode(value))).collect()
}

fn encode(text: &str) -> String {
    text.bytes()
        .map(|byte| if byte.is_ascii_alphanumeric() { char::from(byte).to_string() } else { format!("%{byte:02X}") })
        .collect()
}

/// An MCP server that takes the tokens of the authorization server on its own origin.
fn protected(issuer: &Shared) -> Upstream {
    let server = Upstream::start(Era::Modern);
    let origin = format!("http://{}", server.addr);
    let issuer = Arc::clone(issuer);
    server.on(move |seen, reply| answer(&mut issuer.lock().unwrap(), &origin, seen, reply));
    server
}

fn answer(issuer: &mut Issuer, origin: &str, seen: &Seen, reply: &mut Reply) -> bool {
    let target = seen.head.split(' ').nth(1).unwrap();
    let (path, query) = target.split_once('?').unwrap_or((target, ""));
    let body = match path {
        "/mcp" => {
            let shown = seen.header("authorization").and_then(|value| value.strip_prefix("Bearer "));
            if shown.is_some() && shown == issuer.access.as_deref() {
                return false;
            }
            let challenge = format!("Bearer {}", issuer.challenge);
            reply.answer(401, &[("www-authenticate", &challenge)], "");
            return true;
        }
        "/.well-known/oauth-protected-resource/mcp" => {
            json!({"resource": format!("{origin}/mcp"), "authorization_servers": [origin], "scopes_supported": ["read"]})
        }
        "/.well-known/oauth-authorization-server" => {
            let mut metadata = json!({
                "issuer": origin, "authorization_endpoint": format!("{origin}/authorize"), "token_endpoint": format!("{origin}/token"),
                "registration_endpoint": format!("{origin}/register"), "code_challenge_methods_supported": ["S256"],
                "authorization_response_iss_parameter_supported": true
            });
            for (key, value) in issuer.metadata.as_object().into_iter().flatten() {
                metadata[key] = value.clone();
            }
            metadata
        }
        "/register" => {
            reply.answer(
                201,
                &[("content-type", "application/json")],
                r#"{"client_id":"remit-client","client_secret":"reg-s3cret"}"#,
            );
            return true;
        }
        "/authorize" => {
            let asked = parameters(query);
            issuer.consents += 1;
            let code = format!("code-s3cret-{}", issuer.consents);
            let usual = || vec![("code", code), ("iss", origin.to_owned())];
            let mut location = format!("{}?state={}", asked["redirect_uri"], encode(&asked["state"]));
            for (name, value) in issuer.redirect.clone().unwrap_or_else(usual) {
                location.push_str(&format!("&{name}={}", encode(&value)));
            }
            reply.answer(302, &[("location", &location)], "");
            return true;
        }
        "/token" => {
            let form = parameters(&seen.body);
            let (kind, spent) = match form["grant_type"].as_str() {
                "authorization_code" => ("code", form["code"].clone()),
                other => (other, form["refresh_token"].clone()),
            };
            assert_eq!(form["resource"], format!("{origin}/mcp"));
            if issuer.revoked || !issuer.used.insert(spent) {
                reply.answer(400, &[("content-type", "application/json")], r#"{"error":"invalid_grant"}"#);
                return true;
            }
            issuer.renewals += usize::from(kind == "refresh_token");
            issuer.given += 1;
            let access = format!("access-s3cret-{}", issuer.given);
            issuer.access = Some(access.clone());
            json!({
                "access_token": access, "token_type": "Bearer", "expires_in": issuer.lifetime_secs,
                "refresh_token": format!("refresh-s3cret-{}", issuer.given)
            })
        }
        _ => {
            reply.answer(404, &[], "");
            return true;
        }
    };
    reply.json(&body.to_string());
    true
}

/// The configuration with such a server, called `a`.
fn consenting(server: &Upstream) -> Value {
    let mut registered = server.server("a");
    registered["credential"] = json!({"oauth": {"grant": "authorization_code"}});
    config(&[registered])
}

/// Where the browser would go.
fn get(url: &str) -> Answer {
    let (host, path) = url.strip_prefix("http://").unwrap().split_once('/').unwrap();
    send(host.parse().unwrap(), &format!("GET /{path}"), &[], b"")
}

/// `remit connect`, waiting for the person.
struct Connecting {
    child: Child,
    lines: std::io::Lines<BufReader<std::process::ChildStdout>>,
    begun: Value,
}

impl Connecting {
    fn begin(place: &Place) -> Self {
        let mut command = Command::new(env!("CARGO_BIN_EXE_remit"));
        command.args(["connect", &format!("{ACCOUNT}/a"), "--by", "ops@example.com", "--json", "--data"]).arg(place.data());
        let mut child = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let begun = json(&lines.next().unwrap().unwrap());
        Self { child, lines, begun }
    }

    /// Where the person is sent, and from there the address that brings the browser back.
    fn consent(&self) -> String {
        let answer = get(self.begun["authorization_url"].as_str().unwrap());
        assert_eq!(answer.status, 302);
        answer.header("location").unwrap().to_owned()
    }

    /// What the command said at its end, and its exit code.
    fn end(mut self) -> (Value, i32) {
        let last = json(&self.lines.next().unwrap().unwrap());
        (last, self.child.wait().unwrap().code().unwrap())
    }
}

fn connect(remit: &Remit) {
    let connecting = Connecting::begin(remit.place());
    assert_eq!(get(&connecting.consent()).status, 200);
    let (said, code) = connecting.end();
    assert_eq!((code, said["state"].as_str()), (0, Some("connected")), "{said}");
    remit.until_server("a", "ready");
}

/// What a call of the server's tool came to: `ok`, or the sentence that it failed with.
fn call(remit: &Remit) -> String {
    let answer = remit.client("agent-1", "a").call("a___echo", "{}");
    if answer.get("result").is_some() { "ok".to_owned() } else { answer["error"]["message"].as_str().unwrap().to_owned() }
}

fn connection(remit: &Remit) -> Value {
    remit.status()["connections"][0].clone()
}

/// No file of the gateway shows any of what must not be shown.
fn nothing_leaked(place: &Place) {
    let mut folders = vec![place.root().to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
                continue;
            }
            let bytes = std::fs::read(&path).unwrap();
            assert!(!bytes.windows(7).any(|window| window == b"-s3cret"), "{}", path.display());
        }
    }
}

#[test]
fn a_person_connects_a_server_once() {
    let issuer = Shared::new(Mutex::new(Issuer { lifetime_secs: 3600, ..Issuer::default() }));
    let server = protected(&issuer);
    let remit = Remit::up(&consenting(&server));
    let mend = format!("`remit connect {ACCOUNT}/a`");
    let away = remit.status()["servers"][0].clone();
    assert!(away["status"] == "away" && away["detail"].as_str().unwrap().contains(&mend), "{away}");
    assert_eq!(connection(&remit)["state"], "missing");
    assert!(remit.place().cli(&["status"]).out.contains(&mend));
    connect(&remit);
    assert_eq!(call(&remit), "ok");
    let stands = connection(&remit);
    assert_eq!((stands["state"].as_str(), stands["scope"].as_str()), (Some("connected"), Some("read")));
    assert_eq!((stands["renewable"].as_bool(), stands["by"].as_str()), (Some(true), Some("ops@example.com")));
    let entries = remit.place().log_of("connection");
    let states: Vec<&str> = entries.iter().map(|entry| entry["state"].as_str().unwrap_or_default()).collect();
    assert_eq!(states, ["requested", "connected"], "{entries:?}");
    let place = remit.stop();
    nothing_leaked(&place);
    // It outlives a restart: nobody is asked again.
    let remit = Remit::up_at(place, &[]);
    remit.until_server("a", "ready");
    assert_eq!(call(&remit), "ok");
    assert_eq!(issuer.lock().unwrap().consents, 1);
    // And can be forgotten, with what was registered for it.
    let registered = || server.seen().iter().filter(|seen| seen.head.contains("/register")).count();
    assert_eq!(registered(), 1);
    let said = remit.place().cli(&["connect", &format!("{ACCOUNT}/a"), "--by", "ops", "--forget", "--json"]);
    assert_eq!((said.code, json(&said.out)["forgotten"].as_bool()), (0, Some(true)), "{said:?}");
    assert!(call(&remit).contains(&mend), "{}", call(&remit));
    remit.until_server("a", "away");
    connect(&remit);
    assert_eq!((call(&remit).as_str(), registered()), ("ok", 2));
    let last = remit.place().log_of("connection");
    assert_eq!(last[last.len() - 3]["state"], "forgotten");
    remit.stop();
}

#[test]
fn the_person_is_told_where_to_consent_and_who_gets_what() {
    let issuer = Shared::new(Mutex::new(Issuer { lifetime_secs: 3600, ..Issuer::default() }));
    issuer.lock().unwrap().metadata = json!({"authorization_endpoint": "http://127.0.0.2:9/authorize"});
    let server = protected(&issuer);
    let remit = Remit::up(&consenting(&server));
    let origin = format!("http://{}", server.addr);
    let mut connecting = Connecting::begin(remit.place());
    let begun = &connecting.begun;
    assert_eq!(begun["consent_origin"], "http://127.0.0.2:9");
    assert_eq!((begun["token_origin"].as_str(), begun["server_origin"].as_str()), (Some(origin.as_str()), Some(origin.as_str())));
    connecting.child.kill().unwrap();
    connecting.child.wait().unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_remit"));
    command.args(["connect", &format!("{ACCOUNT}/a"), "--by", "ops", "--data"]).arg(remit.place().data());
    let mut child = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
    let told = BufReader::new(child.stderr.take().unwrap()).lines().next().unwrap().unwrap();
    child.kill().unwrap();
    child.wait().unwrap();
    let sentence = format!(
        "Consent only where the browser shows http://127.0.0.2:9; {origin} then gives the tokens, and Remit shows them to {origin}."
    );
    assert!(told.contains(&sentence), "{told}");
    let requested = remit.place().log_of("connection");
    assert!(
        requested.iter().all(|entry| entry["consent_origin"] == "http://127.0.0.2:9" && entry["token_origin"] == origin),
        "{requested:?}"
    );
    remit.stop();
}

#[test]
fn tokens_rotate_until_they_are_revoked() {
    let issuer = Shared::new(Mutex::new(Issuer { lifetime_secs: 1, ..Issuer::default() }));
    let server = protected(&issuer);
    let remit = Remit::up(&consenting(&server));
    connect(&remit);
    let renewals = || issuer.lock().unwrap().renewals;
    until("two renewals", || call(&remit) == "ok" && renewals() >= 2);
    // A crash loses no rotated token: the next one is good, or the authorization server would say so.
    let before = renewals();
    let remit = Remit::up_at(remit.kill(), &[]);
    remit.until_server("a", "ready");
    until("another renewal", || call(&remit) == "ok" && renewals() > before);
    issuer.lock().unwrap().revoked = true;
    until("the end", || call(&remit) != "ok" && connection(&remit)["state"] == "missing");
    let told = connection(&remit)["detail"].as_str().unwrap().to_owned();
    let mend = format!("connect it again with `remit connect {ACCOUNT}/a`");
    assert!(told.contains("(`invalid_grant`)") && told.ends_with(&mend), "{told}");
    assert!(call(&remit).contains(&mend), "{}", call(&remit));
    assert_eq!(connection(&remit)["issuer"], Value::Null);
    issuer.lock().unwrap().revoked = false;
    connect(&remit);
    assert_eq!(call(&remit), "ok");
    let place = remit.stop();
    nothing_leaked(&place);
    let ended: Vec<Value> = place.log_of("connection").into_iter().filter(|entry| entry["state"] == "ended").collect();
    assert!(ended.len() == 1 && ended[0]["why"].as_str().unwrap().contains("`invalid_grant`"), "{ended:?}");
}

#[test]
fn what_comes_back_wrong_connects_nothing() {
    let issuer = Shared::new(Mutex::new(Issuer { lifetime_secs: 3600, ..Issuer::default() }));
    let server = protected(&issuer);
    let remit = Remit::up(&consenting(&server));
    let callback = format!("http://{}/oauth/callback", remit.control);
    let origin = format!("http://{}", server.addr);
    for query in ["", "?state=guess&code=x", "?code=x", "?error=access_denied", "?state=%zz"] {
        let mut answer = get(&format!("{callback}{query}"));
        let policy = answer.header("content-security-policy").unwrap().to_owned();
        assert!(answer.status == 400 && policy.contains("default-src 'none'") && !answer.text().contains("guess"), "{query}");
    }
    for (redirect, why) in [
        (vec![("code", "code-s3cret".to_owned()), ("iss", format!("{origin}/"))], "another `iss`"),
        (vec![("code", "code-s3cret".to_owned())], "no `iss`"),
        (vec![("error", "access_denied".to_owned()), ("iss", origin.clone())], "access was denied"),
    ] {
        issuer.lock().unwrap().redirect = Some(redirect);
        let connecting = Connecting::begin(remit.place());
        let back = connecting.consent();
        assert_eq!(get(&back).status, 400);
        let (said, code) = connecting.end();
        assert_eq!((code, said["state"].as_str()), (1, Some("failed")));
        assert!(said["detail"].as_str().unwrap().ends_with(why), "{said}");
        // A second time it isn't even looked at.
        assert!(get(&back).text().contains("Nobody waits for this answer"));
    }
    issuer.lock().unwrap().redirect = None;
    let tokens = || server.seen().iter().filter(|seen| seen.head.contains("/token")).count();
    assert_eq!((tokens(), connection(&remit)["state"].as_str()), (0, Some("missing")));
    // A good answer is good once.
    let connecting = Connecting::begin(remit.place());
    let back = connecting.consent();
    assert_eq!((get(&back).status, get(&back).status), (200, 400));
    assert_eq!(connecting.end().1, 0);
    assert_eq!(tokens(), 1);
    let failed = remit.place().log_of("connection").into_iter().filter(|entry| entry["state"] == "failed").count();
    assert_eq!(failed, 3);
    // Nobody begins without the operator's token, nobody answers with another method.
    let unasked = send(remit.control, "POST /v1/connections", &[("content-type", "application/json")], b"{}");
    assert_eq!(unasked.status, 401);
    assert_eq!(send(remit.control, "POST /oauth/callback?state=x", &[], b"").status, 401);
    nothing_leaked(&remit.stop());
}

#[test]
fn a_connection_that_cannot_begin_says_why() {
    let issuer = Shared::new(Mutex::new(Issuer { lifetime_secs: 3600, ..Issuer::default() }));
    let server = protected(&issuer);
    let plain = Upstream::start(Era::Modern);
    let mut all = config(&[server.server("a"), plain.server("plain")]);
    all["servers"][0]["credential"] = json!({"oauth": {"grant": "authorization_code"}});
    let place = Place::new();
    place.write(&all);
    let connect = |place: &Place, server: &str| -> Said { place.cli(&["connect", server, "--by", "ops", "--json"]) };
    let gateway = Remit::up_at(place, &[]);
    for (server, code, why) in [
        ("a", 3, "ACCOUNT/NAME"),
        ("111122223333/nowhere", 3, "no server `111122223333/nowhere` is registered"),
        ("111122223333/plain", 3, "has no `grant: authorization_code`"),
    ] {
        let said = connect(gateway.place(), server);
        assert!(said.code == code && said.err.contains(why), "{said:?}");
    }
    for (metadata, why) in [
        (json!({"issuer": "https://evil.example"}), "the authorization server metadata is of issuer `https://evil.example`"),
        (json!({"code_challenge_methods_supported": []}), "PKCE with S256"),
        (json!({"registration_endpoint": "http://169.254.169.254/register"}), "169.254.169.254"),
        (
            json!({"authorization_endpoint": "http://127.0.0.2/authorize", "authorization_response_iss_parameter_supported": false}),
            "promises no `iss`",
        ),
    ] {
        issuer.lock().unwrap().metadata = metadata;
        let said = connect(gateway.place(), "111122223333/a");
        assert!(said.code == 1 && said.err.contains(why) && said.out.is_empty(), "{said:?}");
    }
    assert_eq!(issuer.lock().unwrap().consents, 0);
    let place = gateway.stop();
    let said = connect(&place, "111122223333/a");
    assert!(said.code == 1 && said.err.contains("no gateway is up"), "{said:?}");
    assert_eq!(remit(&["connect"], None).code, 3);
}
