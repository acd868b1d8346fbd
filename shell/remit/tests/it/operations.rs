//! Reloading, crashing, stopping; certificates; what commands answer; `/authorize`.

use std::path::Path;
use std::process::Command;
use std::sync::{Arc, Mutex, mpsc};
use std::thread::JoinHandle;

use serde_json::{Value, json};

use crate::child::Script;
use crate::client::{Answer, Client, connect, modern_headers, request_text, send, send_raw};
use crate::faults::verdict;
use crate::gateway::{Place, Remit, config, remit, signal, until};
use crate::upstream::{Era, Upstream};

/// A server whose calls of `echo` wait until the test lets one go on.
fn slow(era: Era) -> (Upstream, mpsc::Sender<()>) {
    let a = Upstream::start(era);
    let (open, opened) = mpsc::channel();
    let opened = Mutex::new(opened);
    a.on(move |seen, reply| {
        if !seen.calls("echo") {
            return false;
        }
        if opened.lock().unwrap().recv_timeout(crate::client::DEADLINE).is_err() {
            reply.raw(b"");
            return true;
        }
        reply.json(&seen.result(r#"{"resultType":"complete","content":[],"x":"late"}"#));
        true
    });
    (a, open)
}

/// Calls `echo` in the background, and comes back when the call has reached the server.
fn under_way(a: &Upstream, call: impl FnOnce() -> Value + Send + 'static) -> JoinHandle<Value> {
    let before = a.calls();
    let call = std::thread::spawn(call);
    until("the call is under way", || a.calls() > before);
    call
}

#[test]
fn a_bad_configuration_replaces_nothing() {
    let a = Upstream::start(Era::Modern);
    let good = config(&[a.server("a")]);
    let remit = Remit::up(&good);
    let client = remit.client("agent-1", "a");
    let snapshot = remit.status()["snapshot"].clone();
    let mut unknown_server = good.clone();
    unknown_server["spaces"][0]["servers"][0]["server"] = json!("nowhere");
    let mut unknown_key = good.clone();
    unknown_key["tool_polices"] = json!([]);
    let twice = good.to_string().replacen("{\"accounts\"", "{\"accounts\":[],\"accounts\"", 1);
    for bad in [unknown_server.to_string(), unknown_key.to_string(), twice, "{".to_owned(), String::new()] {
        remit.place().write_text(&bad);
        let (status, said) = remit.operator("POST /v1/reload", "");
        assert_eq!(status, 422, "{bad}: {said}");
        assert!(!said["faults"].as_array().unwrap().is_empty(), "{said}");
        assert_eq!(verdict(&client.call("a___echo", "{}")), "ok");
    }
    // A server that can't be started leaves everything as it was, too.
    let mut no_start = good.clone();
    no_start["servers"].as_array_mut().unwrap().push(json!({"name": "b", "launch": ["/bin/false"]}));
    no_start["tool_policies"] = json!([]);
    remit.place().write(&no_start);
    assert_eq!(remit.operator("POST /v1/reload", "").0, 422);
    assert_eq!(verdict(&client.call("a___echo", "{}")), "ok");
    assert_eq!(remit.status()["snapshot"], snapshot);
    // What is written is seen without being told.
    let refused = remit.place().log_of("configuration_refused").len();
    assert!(refused >= 6);
    remit.place().write_text("[");
    remit.until_said("the configuration was refused");
    until("the refusal is recorded", || remit.place().log_of("configuration_refused").len() > refused);
    assert!(remit.status()["last_reload"]["refused"].is_object());
    let mut closed = good.clone();
    closed["tool_policies"] = json!([{"agent": "agent-1", "tool": "a___*", "allowed": false}]);
    remit.place().write(&closed);
    until("the good one is taken", || verdict(&client.call("a___echo", "{}")) == "tool_not_permitted");
    // As is a signal.
    signal("HUP", remit.pid());
    let place = remit.stop();
    let entries = place.log_of("configuration_refused");
    assert!(entries.iter().any(|entry| entry["faults"].to_string().contains("nowhere")), "{entries:?}");
}

#[test]
fn a_reload_drops_no_call() {
    let (a, open) = slow(Era::Modern);
    let b = Upstream::start(Era::Modern);
    let both = config(&[a.server("a"), b.server("b")]);
    let remit = Remit::up(&both);
    let (client, session) = (remit.client("agent-1", "a"), remit.client("agent-1", "a").session("2025-11-25"));
    let mut away = config(&[b.server("b")]);
    away["tool_policies"] = json!([]);
    for next in [both.clone(), away] {
        let (client, session) = (client.clone(), session.clone());
        let calls = [under_way(&a, move || client.call("a___echo", "{}")), under_way(&a, move || session.call("a___echo", "{}"))];
        remit.configure(&next);
        for call in calls {
            open.send(()).unwrap();
            assert_eq!(call.join().unwrap_or_default()["result"]["x"], "late");
        }
    }
    assert_eq!(client.modern("tools/list", "{}").status, 403, "the space is gone");
    remit.stop();
}

#[test]
fn a_crash_leaves_no_decision_without_its_outcome() {
    let (a, _open) = slow(Era::Modern);
    let remit = Remit::up(&config(&[a.server("a")]));
    let client = remit.client("agent-1", "a");
    assert_eq!(verdict(&client.call("a___other", "{}")), "ok");
    let session = client.session("2025-11-25");
    let calls = [
        under_way(&a, move || std::panic::catch_unwind(|| client.call("a___echo", "{}")).unwrap_or_default()),
        under_way(&a, move || std::panic::catch_unwind(|| session.call("a___echo", "{}")).unwrap_or_default()),
    ];
    let place = remit.kill();
    for call in calls {
        assert_eq!(call.join().unwrap(), Value::Null, "no answer can have come");
    }
    // Before anybody has looked after it, the journal is whole, and says what is open.
    assert_eq!(place.log_of("outcome").len(), 1);
    let remit = Remit::up_at(place, &[]);
    let unknown: Vec<Value> = remit.place().log_of("outcome").into_iter().filter(|entry| entry["outcome"] == "unknown").collect();
    assert_eq!(unknown.len(), 2);
    assert!(
        unknown.iter().all(|entry| entry["tool"] == "a___echo" && entry["agent"] == "agent-1" && entry["space"] == "a"),
        "{unknown:?}"
    );
    assert_eq!(remit.place().log_of("started").last().unwrap()["recovered_unknown"], 2);
    assert_eq!(verdict(&remit.client("agent-1", "a").call("a___other", "{}")), "ok");
    let place = remit.kill();
    let remit = Remit::up_at(place, &[]);
    assert_eq!(remit.place().log_of("started").last().unwrap()["recovered_unknown"], 0);
    remit.stop();
}

#[test]
fn a_start_reads_what_came_after_the_last_and_all_of_it_where_it_can_not_trust_what_was_kept() {
    let (a, _open) = slow(Era::Modern);
    let remit = Remit::up(&config(&[a.server("a")]));
    let client = remit.client("agent-1", "a");
    for _ in 0..20 {
        assert_eq!(verdict(&client.call("a___other", "{}")), "ok");
    }
    let standing = |place: &Place| -> Value {
        let told = place.log_of("started").last().unwrap().clone();
        json!([told["entries_read"], told["recovered_unknown"]])
    };
    let mut place = remit.stop();
    let recap = place.data().join("journal.recap");
    assert!(recap.exists());
    let again = |place: Place| -> Place {
        let remit = Remit::up_at(place, &[]);
        assert_eq!(verdict(&remit.client("agent-1", "a").call("a___other", "{}")), "ok");
        remit.stop()
    };
    // A segment is entered at its beginning, and this is the first.
    place = again(place);
    let entries = place.log().len();
    let before = std::fs::read(&recap).unwrap();
    // Another word in it, another key, nothing at all: it is left aside.
    let spoilt = String::from_utf8(before.clone()).unwrap().replacen("agent-1", "agent-2", 1);
    let (_, note) = spoilt.split_once('\n').unwrap();
    for text in [spoilt.clone(), String::new(), format!("{{}}\n{note}"), "nonsense".to_owned()] {
        std::fs::write(&recap, text).unwrap();
        place = again(place);
        assert_eq!(place.verify()["findings"], json!([]));
    }
    assert!(place.log().len() > entries);
    // One that runs ahead of a journal that was restored: the journal is read whole.
    let journal = place.data().join("journal");
    let saved = place.data().join("saved");
    let copy = |from: &std::path::Path, to: &std::path::Path| {
        let _ = std::fs::remove_dir_all(to);
        std::fs::create_dir(to).unwrap();
        for file in std::fs::read_dir(from).unwrap() {
            let file = file.unwrap();
            std::fs::copy(file.path(), to.join(file.file_name())).unwrap();
        }
    };
    copy(&journal, &saved);
    place = again(place);
    copy(&saved, &journal);
    place = again(place);
    assert_eq!(place.verify()["findings"], json!([]));
    // After a crash it begins at the last that was kept.
    let remit = Remit::up_at(place, &[]);
    let place = remit.kill();
    let place = again(place);
    assert_eq!(standing(&place)[1], 0);
}

#[test]
fn a_stop_lets_calls_finish() {
    for era in [Era::Modern, Era::Legacy] {
        let (a, open) = slow(era);
        let remit = Remit::up(&config(&[a.server("a")]));
        let client = remit.client("agent-1", "a");
        let session = client.session("2025-11-25");
        let mut stream = session.listen(None);
        let mut listener = client.modern("subscriptions/listen", r#"{"notifications":{"toolsListChanged":true}}"#);
        assert_eq!(listener.next()["method"], "notifications/subscriptions/acknowledged");
        let calls = [under_way(&a, move || client.call("a___echo", "{}")), under_way(&a, move || session.call("a___echo", "{}"))];
        signal("TERM", remit.pid());
        // Streams that would never end are ended: that is how we know that it is stopping.
        assert_eq!(listener.next()["result"]["resultType"], "complete");
        assert!(listener.event().is_none());
        assert!(stream.event().is_none());
        for call in calls {
            open.send(()).unwrap();
            let answer = call.join().unwrap();
            assert_eq!(answer["result"]["x"], "late", "{era:?}: {answer}");
        }
        let (place, code) = remit.wait();
        assert_eq!(code, Some(0));
        place.verify();
        assert!(place.log_of("outcome").iter().all(|entry| entry["outcome"] == "ok"));
        assert_eq!(place.log_of("stopped").len(), 1);
        assert!(!place.data().join("run.json").exists());
    }
}

/// A certificate authority and certificates for this machine, made by `openssl`.
pub(crate) fn certificates(folder: &Path) {
    let run = |args: &[&str]| {
        let done = Command::new("openssl").args(args).current_dir(folder).output().unwrap();
        assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    };
    let key = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2"];
    let ca = [&["req", "-x509", "-keyout", "ca.key", "-out", "ca.pem", "-subj", "/CN=it authority"][..], &key].concat();
    run(&ca);
    for name in ["first", "second"] {
        let (key_file, file, subject) = (format!("{name}.key"), format!("{name}.pem"), format!("/CN={name}"));
        let leaf = ["req", "-x509", "-CA", "ca.pem", "-CAkey", "ca.key", "-keyout", &key_file, "-out", &file, "-subj", &subject];
        let more = ["-addext", "subjectAltName=IP:127.0.0.1", "-addext", "basicConstraints=critical,CA:FALSE"];
        run(&[&leaf[..], &more, &key].concat());
    }
}

/// A connection under TLS, and the certificate that was shown.
fn secure(
    folder: &Path,
    addr: std::net::SocketAddr,
) -> (rustls::StreamOwned<rustls::ClientConnection, std::net::TcpStream>, Vec<u8>) {
    use rustls::pki_types::pem::PemObject as _;
    let mut roots = rustls::RootCertStore::empty();
    roots.add(rustls::pki_types::CertificateDer::from_pem_file(folder.join("ca.pem")).unwrap()).unwrap();
    let builder = rustls::ClientConfig::builder_with_provider(Arc::new(rustls::crypto::aws_lc_rs::default_provider()));
    let tls = builder.with_safe_default_protocol_versions().unwrap().with_root_certificates(roots).with_no_client_auth();
    let mut connection = rustls::ClientConnection::new(Arc::new(tls), "127.0.0.1".try_into().unwrap()).unwrap();
    let mut stream = connect(addr);
    connection.complete_io(&mut stream).unwrap();
    let shown = connection.peer_certificates().unwrap()[0].to_vec();
    (rustls::StreamOwned::new(connection, stream), shown)
}

#[test]
fn certificates_are_taken_when_they_change() {
    use rustls::pki_types::pem::PemObject as _;
    let place = Place::new();
    let folder = place.root().to_owned();
    certificates(&folder);
    let der = |name: &str| rustls::pki_types::CertificateDer::from_pem_file(folder.join(name)).unwrap().to_vec();
    let put = |name: &str| {
        for kind in ["pem", "key"] {
            std::fs::copy(folder.join(format!("{name}.{kind}")), folder.join(format!("draft.{kind}"))).unwrap();
            std::fs::rename(folder.join(format!("draft.{kind}")), folder.join(format!("live.{kind}"))).unwrap();
        }
    };
    put("first");
    let a = Upstream::start(Era::Modern);
    place.write(&config(&[a.server("a")]));
    let (cert, key) = (folder.join("live.pem"), folder.join("live.key"));
    let remit = Remit::up_at(place, &["--tls-cert", cert.to_str().unwrap(), "--tls-key", key.to_str().unwrap()]);
    assert!(remit.url("a").starts_with("https://"));
    let ask = |head: &str, headers: &[(&str, &str)], body: &[u8]| -> Answer {
        let host = remit.addr.to_string();
        let mut all = vec![("host", host.as_str())];
        all.extend_from_slice(headers);
        send_raw(Box::new(secure(&folder, remit.addr).0), &request_text(head, &all, body))
    };
    let secret = std::fs::read_to_string(remit.place().data().join("agents/agent-1.secret")).unwrap();
    let form =
        format!("grant_type=client_credentials&client_id=agent-1&client_secret={}&resource={}", secret.trim(), remit.url("a"));
    let form = form.replace("https://", "https%3A%2F%2F");
    let token = ask("POST /oauth/token", &[("content-type", "application/x-www-form-urlencoded")], form.as_bytes()).message();
    let token = token["access_token"].as_str().unwrap_or_else(|| panic!("{token}")).to_owned();
    let client = Client { addr: remit.addr, path: "/spaces/a/mcp".into(), token, capabilities: "{}".into(), meta: String::new() };
    let call = || {
        let params = r#"{"name":"a___echo","arguments":{}}"#;
        let bearer = format!("Bearer {}", client.token);
        let own = modern_headers("tools/call", params);
        let mut headers = vec![("authorization", bearer.as_str()), ("content-type", "application/json")];
        headers.extend(own.iter().map(|(name, value)| (name.as_str(), value.as_str())));
        ask("POST /spaces/a/mcp", &headers, client.modern_body("tools/call", params).as_bytes()).message()
    };
    assert_eq!(verdict(&call()), "ok");
    assert_eq!(secure(&folder, remit.addr).1, der("first.pem"));
    let ends = || {
        let text = send(remit.control, "GET /metrics", &[], b"").body();
        text.lines().find_map(|line| line.strip_prefix("remit_tls_certificate_expiry_timestamp_seconds ")).unwrap().to_owned()
    };
    let by_openssl = |name: &str| {
        let told = "openssl x509 -noout -enddate -in $0 | cut -d= -f2 | xargs -I{} date -d '{}' +%s";
        let done = Command::new("sh").args(["-c", told, name]).current_dir(&folder).output().unwrap();
        String::from_utf8(done.stdout).unwrap().trim().to_owned()
    };
    assert_eq!(ends(), by_openssl("first.pem"));
    // A certificate without its key replaces nothing.
    std::fs::copy(folder.join("second.pem"), folder.join("live.pem")).unwrap();
    remit.until_said("the certificate was not taken");
    assert_eq!(secure(&folder, remit.addr).1, der("first.pem"));
    put("second");
    until("the new certificate", || secure(&folder, remit.addr).1 == der("second.pem"));
    assert_eq!(ends(), by_openssl("second.pem"));
    assert_eq!(verdict(&call()), "ok");
    remit.stop();
}

#[test]
fn check_names_every_fault() {
    let place = Place::new();
    let directory = place.config();
    let directory = directory.to_str().unwrap();
    std::fs::write(
        place.config().join("a.yaml"),
        "accounts:\n  - { id: 111122223333, name: x }\nservers:\n  - { name: s, url: \"http://example.com/\", colour: red }\n",
    )
    .unwrap();
    std::fs::write(
        place.config().join("b.yaml"),
        "spaces:\n  - { id: Bad_Name, region: us-east-1, agents: [nobody] }\nspaces: []\n",
    )
    .unwrap();
    std::fs::write(place.config().join("c.yaml"), "agents:\n  - { id: agent-1, owner: x, credentials: [magic] }\n").unwrap();
    let said = remit(&["check", directory], None);
    assert_eq!(said.code, 3, "{said:?}");
    for part in ["a.yaml:2:", "a.yaml:4:", "colour", "b.yaml:3:", "c.yaml:2:", "mend:"] {
        assert!(said.out.contains(part), "{part} is missing: {}", said.out);
    }
    let said = remit(&["check", directory, "--json"], None);
    assert_eq!(said.code, 3);
    let all: Value = crate::client::json(&said.out);
    assert!(all["ok"] == false && all["faults"].as_array().unwrap().len() >= 4, "{all}");
    let said = remit(&["up", "--port", "0", "--config", directory, "--data", place.data().to_str().unwrap()], None);
    assert_eq!(said.code, 3);
    assert!(said.err.contains("nothing was started"), "{}", said.err);
    assert_eq!(remit(&["check", "/does/not/exist"], None).code, 3);
    let examples = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples");
    for example in ["acme", "first-server"] {
        let said = remit(&["check", examples.join(example).to_str().unwrap()], None);
        assert_eq!(said.code, 0, "{said:?}");
    }
}

#[test]
fn commands_end_with_the_code_that_they_promise() {
    let a = Upstream::start(Era::Modern);
    let mut config = config(&[a.server("a")]);
    config["tool_policies"].as_array_mut().unwrap().push(json!({"agent": "agent-2", "tool": "a___echo", "allowed": false}));
    let remit_up = Remit::up(&config);
    let place = remit_up.place();
    let code = |args: &[&str]| place.cli(args).code;
    assert_eq!(code(&["explain", "--agent", "agent-1", "--tool", "a___echo", "--args", "{}"]), 0);
    assert_eq!(code(&["explain", "--agent", "agent-2", "--tool", "a___echo"]), 2);
    assert_eq!(code(&["explain", "--agent", "agent-1", "--tool", "a___echo", "--args", "{"]), 3);
    assert_eq!(code(&["explain", "--agent", "nobody-at-all", "--tool", "a___echo"]), 3);
    assert_eq!(code(&["token", "--agent", "agent-1", "--space", "a"]), 0);
    assert_eq!(code(&["token", "--agent", "agent-1", "--space", "elsewhere"]), 2);
    assert_eq!(code(&["token", "--agent", "agent-9", "--space", "a"]), 3);
    assert_eq!(code(&["status"]), 0);
    assert_eq!(code(&["log"]), 0);
    assert_eq!(code(&["verify"]), 0);
    assert_eq!(place.cli_with(&["secret", "set", "remit.mine"], Some("x")).code, 3);
    assert_eq!(place.cli_with(&["secret", "set", "mine"], Some("")).code, 3);
    // Two on one data directory would be two writers of one journal.
    let directory = place.config();
    let second = place.cli(&["up", "--port", "0", "--control-port", "0", "--config", directory.to_str().unwrap()]);
    assert_eq!(second.code, 1, "{second:?}");
    let taken = remit_up.addr.port().to_string();
    let other = Place::new();
    let third = other.cli(&["up", "--port", &taken, "--control-port", "0", "--config", directory.to_str().unwrap()]);
    assert_eq!(third.code, 1, "{third:?}");
    assert!(third.err.contains("--port"), "{}", third.err);
    assert_eq!(remit(&["log", "--data", "/does/not/exist"], None).code, 3);
    assert_ne!(remit(&["no-such-command"], None).code, 0);
    // A new secret: the old one is of no more use.
    let before = std::fs::read_to_string(place.data().join("agents/agent-1.secret")).unwrap();
    assert_eq!(code(&["agent-secret", "agent-1"]), 0);
    assert_ne!(before, std::fs::read_to_string(place.data().join("agents/agent-1.secret")).unwrap());
    let form =
        format!("grant_type=client_credentials&client_id=agent-1&client_secret={}&resource={}", before.trim(), remit_up.url("a"));
    let path = "POST /oauth/token";
    assert_eq!(send(remit_up.addr, path, &[("content-type", "application/x-www-form-urlencoded")], form.as_bytes()).status, 401);
    assert_eq!(verdict(&remit_up.client("agent-1", "a").call("a___echo", "{}")), "ok");
    let place = remit_up.stop();
    // One byte of the journal is changed.
    let segment = std::fs::read_dir(place.data().join("journal")).unwrap().map(|file| file.unwrap().path());
    let segment = segment
        .filter(|path| std::fs::read(path).is_ok_and(|bytes| bytes.windows(9).any(|part| part == b"a___echo\"")))
        .min()
        .unwrap();
    let mut bytes = std::fs::read(&segment).unwrap();
    let at = bytes.windows(9).position(|part| part == b"a___echo\"").unwrap();
    bytes[at] = b'b';
    std::fs::write(&segment, bytes).unwrap();
    let said = place.cli(&["verify"]);
    assert_eq!(said.code, 1, "{said:?}");
}

#[test]
fn authorize_answers_as_the_first_seed_asks() {
    let a = Upstream::start(Era::Modern);
    let mut config = config(&[a.server("a"), a.server("b")]);
    config["servers"][0]["tools"] = json!({"echo": {"risk": "medium"}, "other": {"risk": "critical"}});
    config["tool_policies"] = json!([{"agent": "agent-1", "tool": "a___*", "max_risk": "high"}, {"agent": "agent-1", "tool": "b___*", "allowed": false}]);
    let remit = Remit::up(&config);
    let token = format!("Bearer {}", remit.token("agent-1", "a"));
    let other = format!("Bearer {}", remit.token("agent-2", "a"));
    let ask = |token: &str, body: Value| {
        let mut answer = send(
            remit.addr,
            "POST /authorize",
            &[("authorization", token), ("content-type", "application/json")],
            body.to_string().as_bytes(),
        );
        (answer.status, answer.message())
    };
    let (status, said) = ask(&token, json!({"agent_id": "agent-1", "tool_id": "a___echo", "requested_risk": "low"}));
    assert_eq!((status, &said["approved"], &said["risk"]), (200, &json!(true), &json!("medium")), "{said}");
    let index = usize::try_from(said["journal_index"].as_u64().unwrap()).unwrap();
    let log = remit.place().log();
    assert_eq!(log[index]["id"], said["decision_id"]);
    assert!(log.iter().any(|entry| entry["decision"] == said["decision_id"] && entry["outcome"] == "answered"));
    for (token, body, detail) in [
        (&other, json!({"tool_id": "a___echo"}), "Unknown agent"),
        (&token, json!({"tool_id": "a___echo", "agent_id": "agent-2"}), "Unknown agent"),
        (&token, json!({"tool_id": "a___echo", "agent_id": "nobody"}), "Unknown agent"),
        (&token, json!({"tool_id": "a___nothing"}), "Tool not permitted"),
        (&token, json!({"tool_id": "b___echo"}), "Tool not permitted"),
        (&token, json!({"tool_id": "a___echo", "requested_risk": "critical"}), "Risk exceeds policy"),
        (&token, json!({"tool_id": "a___other", "requested_risk": "low"}), "Risk exceeds policy"),
        (&token, json!({"tool_id": "a___other"}), "Risk exceeds policy"),
    ] {
        let (status, said) = ask(token, body.clone());
        assert_eq!((status, &said["approved"], &said["detail"]), (403, &json!(false), &json!(detail)), "{body}: {said}");
        assert!(!said["layers"].as_array().unwrap().is_empty());
    }
    assert_eq!(ask(&token, json!({"tool_id": "a___echo", "requested_risk": "high"})).0, 200);
    for bad in [
        json!({}),
        json!({"tool_id": "a___echo", "requested_risk": "none"}),
        json!({"tool_id": 1}),
        json!({"tool_id": "a___echo", "risk": "low"}),
        json!([]),
    ] {
        assert_eq!(ask(&token, bad.clone()).0, 400, "{bad}");
    }
    let twice = br#"{"tool_id":"a___nothing","tool_\u0069d":"a___echo"}"#;
    assert_eq!(send(remit.addr, "POST /authorize", &[("authorization", &token)], twice).status, 400);
    assert_eq!(ask("Bearer nobody", json!({"tool_id": "a___echo"})).0, 401);
    assert_eq!(ask(&token, json!({"tool_id": "a___echo", "space": "b"})).0, 401, "the token is for another space");
    assert_eq!(a.calls(), 0, "whoever asks enforces");
    remit.stop();
}

/// Remit in front of a script, with a call of its tool that waits until the test writes to the file.
fn child_under_way() -> (Remit, Client, JoinHandle<Value>, std::fs::File) {
    let place = Place::new();
    let script = Script::write(place.root());
    place.write(&config(&[script.server("sh")]));
    let gate = place.root().join("gate");
    assert!(Command::new("mkfifo").arg(&gate).status().unwrap().success());
    let remit = Remit::up_at(place, &[]);
    let client = remit.client("agent-1", "sh");
    let (at, arguments) = (client.clone(), json!({"wait": gate}).to_string());
    let call = std::thread::spawn(move || at.call("sh___wait", &arguments));
    // Opening it for writing waits until the script reads from it.
    let open = std::fs::OpenOptions::new().write(true).open(&gate).unwrap();
    (remit, client, call, open)
}

#[test]
fn a_reload_lets_a_child_finish() {
    let (remit, client, call, mut open) = child_under_way();
    let b = Upstream::start(Era::Modern);
    remit.configure(&config(&[b.server("b")]));
    assert_eq!(client.modern("tools/list", "{}").status, 403, "the space is gone");
    std::io::Write::write_all(&mut open, b"go on\n").unwrap();
    assert_eq!(verdict(&call.join().unwrap()), "ok");
    remit.stop();
}

#[test]
fn a_stop_lets_a_child_finish() {
    let (remit, client, call, mut open) = child_under_way();
    let mut listener = client.modern("subscriptions/listen", r#"{"notifications":{"toolsListChanged":true}}"#);
    listener.next();
    signal("TERM", remit.pid());
    assert_eq!(listener.next()["result"]["resultType"], "complete");
    std::io::Write::write_all(&mut open, b"go on\n").unwrap();
    assert_eq!(verdict(&call.join().unwrap()), "ok");
    let (place, code) = remit.wait();
    assert_eq!(code, Some(0));
    place.verify();
}
