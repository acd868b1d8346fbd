//! Secrets while a gateway is up: it alone writes them, at once, on record, and their values are nowhere but where they are used.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use crate::aws::credentials;
use crate::aws_signed::Draft;
use crate::client::{connect, request_text, send, send_raw};
use crate::faults::verdict;
use crate::gateway::{ACCOUNT, Place, Remit, Said, config, holds};
use crate::upstream::{Era, Upstream};

/// What every value of these tests has in it.
const CANARY: &str = "canary-of-a-value";

fn set(place: &Place, name: &str, value: &str) -> Said {
    place.cli_with(&["secret", "set", name, "--json"], Some(value))
}

/// A server that wants a secret, and roles that may look and that may do everything.
fn placed(upstream: &Upstream) -> Place {
    let mut server = upstream.server("a");
    server["credential"] = json!({"bearer": {"secret": "for-a"}});
    let mut whole = config(&[server]);
    let user = format!("arn:aws:iam::{ACCOUNT}:user/riley");
    let trusted = json!({"Version": "2012-10-17", "Statement": {"Effect": "Allow", "Principal": {"AWS": user}, "Action": "sts:AssumeRole"}});
    let role =
        |name: &str, policy: &str| json!({"name": name, "account": ACCOUNT, "policies": [policy], "trust_policy": trusted});
    whole["users"] = json!([{"name": "riley", "account": ACCOUNT}]);
    whole["roles"] = json!([role("viewer", "RemitViewerAccess"), role("administrator", "RemitAdministratorAccess")]);
    whole["console"] = json!({"roles": [arn("viewer"), arn("administrator")]});
    let place = Place::new();
    place.write(&whole);
    place
}

fn arn(role: &str) -> String {
    format!("arn:aws:iam::{ACCOUNT}:role/{role}")
}

fn up(place: Place) -> Remit {
    let remit = Remit::up_at(place, &[]);
    remit.until_server("a", "ready");
    remit
}

/// Calls the server; the secret that it was shown.
fn shown(remit: &Remit, upstream: &Upstream) -> String {
    assert_eq!(verdict(&remit.client("agent-1", "a").call("a___echo", "{}")), "ok");
    let call = upstream.seen().into_iter().rfind(|seen| seen.calls("echo")).unwrap();
    call.header("authorization").unwrap().to_owned()
}

#[test]
fn a_value_is_in_effect_at_once_and_told_to_nobody_else() {
    let upstream = Upstream::start(Era::Modern);
    let place = placed(&upstream);
    let value = |which: &str| format!("{CANARY}-{which}");
    let kept = set(&place, "for-a", &value("one"));
    let remit = up(place);
    assert_eq!(shown(&remit, &upstream), format!("Bearer {}", value("one")));
    // The same command, now by the gateway.
    let again = set(remit.place(), "for-a", &format!("{}\n", value("two")));
    assert_eq!((kept.code, &kept.out), (0, &again.out), "{kept:?} {again:?}");
    assert_eq!(shown(&remit, &upstream), format!("Bearer {}", value("two")));
    let put = |asked: Value| remit.operator("POST /v1/secrets/put", &asked.to_string());
    let three = json!({"name": "for-a", "value": value("three"), "by": "ana"});
    assert_eq!(put(three), (200, json!({"name": "for-a"})));
    assert_eq!(shown(&remit, &upstream), format!("Bearer {}", value("three")));
    let bytes = [CANARY.as_bytes(), &[0xFF, 0]].concat();
    assert_eq!(put(json!({"name": "bytes", "value_base64": STANDARD.encode(&bytes), "by": "ana"})).0, 200);
    // Names and times, by either way.
    let (status, listed) = remit.operator("GET /v1/secrets", "");
    let of_a = listed["secrets"].as_array().unwrap().iter().find(|one| one["name"] == "for-a").unwrap();
    let (created, updated) = (of_a["created_at_secs"].as_u64().unwrap(), of_a["updated_at_secs"].as_u64().unwrap());
    assert!(status == 200 && created <= updated && of_a.as_object().unwrap().len() == 3, "{listed}");
    let names = |said: &Said| -> Vec<Value> {
        let lines = said.out.lines().map(crate::client::json);
        lines.map(|line| (line["age_secs"].is_u64(), line["secret"].clone())).filter(|one| one.0).map(|one| one.1).collect()
    };
    let list = remit.place().cli(&["secret", "list", "--json"]);
    assert!(names(&list).contains(&json!("for-a")) && names(&list).contains(&json!("bytes")), "{list:?}");
    assert!(!format!("{list:?} {listed}").contains(CANARY));
    // What is forgotten is of no more use.
    assert_eq!(remit.place().cli(&["secret", "delete", "for-a"]).code, 0);
    assert_eq!(remit.place().cli(&["secret", "delete", "for-a"]).code, 3, "it is gone");
    let called = remit.client("agent-1", "a").call("a___echo", "{}").to_string();
    assert!(called.contains("the secret `for-a` is not set"), "{called}");
    let said = remit.said();
    let place = remit.stop();
    let by_whom = |kind: &str| -> Vec<Value> {
        place.log_of(kind).iter().map(|entry| json!([entry["name"], entry["by"] == "ana", entry["proof"]])).collect()
    };
    let put = [json!(["for-a", false, "TOKEN"]), json!(["for-a", true, "TOKEN"]), json!(["bytes", true, "TOKEN"])];
    assert_eq!(by_whom("secret_put"), put, "what was put before the gateway was up is no entry");
    assert_eq!(by_whom("secret_deleted"), [json!(["for-a", false, "TOKEN"])]);
    // Without a gateway it is the same list.
    let after = place.cli(&["secret", "list", "--json"]);
    assert_eq!((names(&after).len(), after.code), (names(&list).len() - 1, 0), "{after:?}");
    let encoded = STANDARD.encode(&bytes);
    for trace in [CANARY, encoded.get(..12).unwrap()] {
        assert!(!holds(&place.data(), trace) && !said.contains(trace), "{trace} was written down: {said}");
    }
}

#[test]
fn a_server_that_lacks_its_secret_is_asked_as_soon_as_it_is_there() {
    let upstream = Upstream::start(Era::Modern);
    let remit = Remit::up_at(placed(&upstream), &[]);
    remit.until_server("a", "away");
    assert_eq!(set(remit.place(), "for-a", "late").code, 0);
    assert_ne!(remit.status()["servers"][0]["status"], "away", "it is asked by the time that the command ends");
    remit.until_server("a", "ready");
    assert_eq!(shown(&remit, &upstream), "Bearer late");
    remit.stop();
}

#[test]
fn what_is_no_secret_is_refused_alike_with_a_gateway_and_without() {
    let place = Place::new();
    place.write(&config(&[]));
    let large = format!("{CANARY}{}", "x".repeat(64 * 1024));
    let refused = |place: &Place| -> Vec<(i32, String)> {
        let of_set = [("remit.mine", CANARY), ("mine", ""), ("mine", "\n"), ("no name", CANARY), ("mine", large.as_str())];
        let all = of_set.iter().map(|(name, value)| set(place, name, value));
        let deleted = ["remit.mine", "no name", "nobody"].iter().map(|name| place.cli(&["secret", "delete", name]));
        let unnamed = [place.cli(&["agent-secret", "no agent"])];
        all.chain(deleted).chain(unnamed).inspect(|said| assert_eq!(said.out, "")).map(|said| (said.code, said.err)).collect()
    };
    let without = refused(&place);
    assert_eq!(without.iter().map(|one| one.0).collect::<Vec<_>>(), [3, 3, 3, 1, 1, 3, 1, 3, 3], "{without:?}");
    let remit = Remit::up_at(place, &[]);
    assert_eq!(refused(remit.place()), without);
    let unknown = remit.place().cli(&["agent-secret", "nobody"]);
    assert!(unknown.code == 3 && unknown.err.contains("no agent `nobody` is registered"), "{unknown:?}");
    for (path, asked, says) in [
        ("secrets/put", json!({"name": "remit.session-keys", "value": CANARY}), "Remit's own"),
        ("secrets/delete", json!({"name": "remit.session-keys"}), "Remit's own"),
        ("secrets/put", json!({"name": "mine"}), "is needed"),
        ("secrets/put", json!({"name": "mine", "value": CANARY, "value_base64": "AAAA"}), "is needed"),
        ("secrets/put", json!({"name": "mine", "value": ""}), "one byte"),
        ("secrets/put", json!({"name": "mine", "value_base64": format!("{CANARY}!")}), "is not base64"),
        ("secrets/put", json!({"name": "mine", "value": [CANARY]}), "`value` is a text"),
        ("secrets/put", json!({"name": "mine", "value": "ü".repeat(40_000)}), "64 KiB"),
        ("secrets/put", json!({"name": "mine", "value": large}), "`value` is a text"),
        ("secrets/put", json!({"name": "mine", "value_base64": STANDARD.encode(&large)}), "`value_base64` is a text"),
        ("secrets/put", json!({"value": CANARY}), "`name` is missing"),
    ] {
        let (status, said) = remit.operator(&format!("POST /v1/{path}"), &asked.to_string());
        let said = said.to_string();
        assert!(status == 400 && said.contains(says) && !said.contains(CANARY), "{says}: {status} {said}");
    }
    let fits = json!({"name": "mine", "value": "x".repeat(64 * 1024)}).to_string();
    assert_eq!(remit.operator("POST /v1/secrets/put", &fits).0, 200);
    assert_eq!(remit.operator("POST /v1/agents/secret", r#"{"agent":"nobody"}"#).0, 404);
    let said = remit.said();
    let place = remit.stop();
    assert_eq!((place.log_of("secret_put").len(), place.log_of("secret_deleted").len()), (1, 0), "what is refused is no change");
    assert!(place.log_of("agent_secret").is_empty() && !holds(&place.data(), CANARY) && !said.contains(CANARY), "{said}");
}

#[test]
fn only_a_role_that_may_changes_secrets() {
    let upstream = Upstream::start(Era::Modern);
    let place = placed(&upstream);
    assert_eq!(set(&place, "for-a", "any").code, 0);
    let remit = up(place);
    let ask = |pair: &Value, head: &str, body: &Value| -> (u16, Value) {
        let (method, path) = head.split_once(' ').unwrap();
        let body = if method == "GET" { String::new() } else { body.to_string() };
        let draft = Draft::new(&remit, pair, "remit", path, &body).with(|draft| draft.method = method.to_owned());
        let draft = draft.header("host", &remit.control.to_string()).header("content-type", "application/json").signed();
        let headers: Vec<(&str, &str)> = draft.headers.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        let mut answer = send_raw(Box::new(connect(remit.control)), &request_text(head, &headers, body.as_bytes()));
        (answer.status, answer.message())
    };
    let changes = [
        ("POST /v1/secrets/put", json!({"name": "for-a", "value": CANARY}), "remit:PutSecret", "secret_put"),
        ("POST /v1/agents/secret", json!({"agent": "agent-1"}), "remit:IssueAgentSecret", "agent_secret"),
        ("POST /v1/secrets/delete", json!({"name": "for-a"}), "remit:DeleteSecret", "secret_deleted"),
    ];
    let viewer = credentials(&remit, &arn("viewer"), &["--by", "it"]);
    assert_eq!(ask(&viewer, "GET /v1/secrets", &Value::Null).0, 200);
    for (head, body, action, _) in &changes {
        let (status, said) = ask(&viewer, head, body);
        assert_eq!((status, &said["action"]), (403, &json!(action)), "{said}");
        assert!(!said.to_string().contains(CANARY));
    }
    assert_eq!(shown(&remit, &upstream), "Bearer any", "nothing of it was done");
    let administrator = credentials(&remit, &arn("administrator"), &["--by", "it"]);
    for (head, body, _, _) in &changes {
        let (status, said) = ask(&administrator, head, body);
        assert_eq!(status, 200, "{said}");
    }
    let said = remit.said();
    let place = remit.stop();
    let refused = place.log_of("operation_refused");
    assert_eq!(refused.iter().map(|entry| &entry["action"]).collect::<Vec<_>>(), changes.each_ref().map(|one| one.2));
    assert_eq!(refused[1]["resource"], format!("arn:aws:remit::{ACCOUNT}:agent/agent-1"));
    for (_, _, _, kind) in &changes {
        let entries = place.log_of(kind);
        let [entry] = entries.as_slice() else { panic!("{entries:?}") };
        assert!(entry["by"].as_str().unwrap().contains(":assumed-role/administrator/"), "{entry}");
        assert_eq!((&entry["proof"], &entry["access_key_id"]), (&json!("SIGNATURE"), &administrator["AccessKeyId"]), "{entry}");
    }
    assert!(!holds(&place.data(), CANARY) && !said.contains(CANARY), "{said}");
}

fn secret_of(place: &Place, agent: &str) -> String {
    std::fs::read_to_string(place.data().join(format!("agents/{agent}.secret"))).unwrap().trim().to_owned()
}

/// With which status the token endpoint answers a secret.
fn opens(remit: &Remit, agent: &str, secret: &str) -> u16 {
    let form = format!("grant_type=client_credentials&client_id={agent}&client_secret={secret}&resource={}", remit.url("a"));
    send(remit.addr, "POST /oauth/token", &[("content-type", "application/x-www-form-urlencoded")], form.as_bytes()).status
}

#[test]
fn an_agents_new_secret_counts_at_once_and_none_before_it() {
    let upstream = Upstream::start(Era::Modern);
    let place = Place::new();
    place.write(&config(&[upstream.server("a")]));
    let remit = up(place);
    let (first, other) = (secret_of(remit.place(), "agent-1"), secret_of(remit.place(), "agent-2"));
    let under_way = remit.client("agent-1", "a");
    assert_eq!(opens(&remit, "agent-1", &first), 200);
    let snapshot = remit.status()["snapshot"].clone();
    let said = remit.place().cli(&["agent-secret", "agent-1"]);
    let second = secret_of(remit.place(), "agent-1");
    let file = remit.place().data().canonicalize().unwrap().join("agents/agent-1.secret");
    let told = json!({"agent": "agent-1", "client_id": "agent-1", "client_secret_file": file});
    assert_eq!((said.code, crate::client::json(&said.out)), (0, told), "{said:?}");
    assert_eq!((opens(&remit, "agent-1", &first), opens(&remit, "agent-1", &second)), (401, 200));
    assert_eq!(opens(&remit, "agent-2", &other), 200, "nobody else's is another");
    assert_eq!(verdict(&under_way.call("a___echo", "{}")), "ok", "a token that was issued ends when it says");
    // Under a key it is done once, and told as often as it is asked for.
    let token = std::fs::read_to_string(remit.place().data().join("operator.token")).unwrap();
    let token = format!("Bearer {}", token.trim());
    let headers =
        [("authorization", token.as_str()), ("content-type", "application/json"), ("idempotency-key", "once"), ("accept", "*/*")];
    let issue = || send(remit.control, "POST /v1/agents/secret", &headers, br#"{"agent":"agent-1","by":"ana"}"#);
    let (mut one, mut two) = (issue(), issue());
    assert_eq!((one.header("idempotency-replayed"), two.header("idempotency-replayed")), (None, Some("true")));
    assert_eq!((one.header("cache-control"), one.status), (Some("no-store"), 200));
    let told = one.message();
    assert_eq!(told, two.message());
    let third = told["client_secret"].as_str().unwrap().to_owned();
    assert_eq!((&told["agent"], &told["client_id"]), (&json!("agent-1"), &json!("agent-1")));
    assert_eq!(secret_of(remit.place(), "agent-1"), second, "what is asked for elsewhere is no file of this machine");
    let each = |remit: &Remit| [&first, &second, &third].map(|secret| opens(remit, "agent-1", secret));
    assert_eq!(each(&remit), [401, 401, 200]);
    // No configuration was put into effect for it, and one that is leaves it as it is.
    assert_eq!(remit.status()["snapshot"], snapshot);
    let mut whole = config(&[upstream.server("a")]);
    whole["agents"][1]["owner"] = json!("another@example.com");
    remit.configure(&whole);
    assert_eq!(each(&remit), [401, 401, 200]);
    let said = remit.said();
    let place = remit.stop();
    let issued = place.log_of("agent_secret");
    let by: Vec<(&Value, bool)> = issued.iter().map(|entry| (&entry["agent"], entry["by"] == "ana")).collect();
    assert_eq!(by, [(&json!("agent-1"), false), (&json!("agent-1"), true)]);
    assert!(!holds(&place.data(), &third) && !holds(&place.data().join("journal"), &second), "a secret was written down");
    assert!(!said.contains(&third) && !said.contains(&second), "{said}");
    // Without a gateway the command writes the store itself; with the next start it counts.
    assert_eq!(place.cli(&["agent-secret", "agent-1"]).code, 0);
    let fourth = secret_of(&place, "agent-1");
    let remit = up(place);
    assert_eq!((each(&remit), opens(&remit, "agent-1", &fourth)), ([401, 401, 401], 200));
    assert_eq!(remit.stop().log_of("agent_secret").len(), 2);
}
