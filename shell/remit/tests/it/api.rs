//! The operator's interface as others' programs meet it: schemathesis holds it to its document, botocore signs for it, and a command whose
//! connection breaks asks once more.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::{Value, json};

use crate::aws::{Boto, Lines, credentials, isolated, python_environment};
use crate::client::json;
use crate::gateway::{ACCOUNT, Place, Remit, config};

const CLOSE: &str = "helpdesk___close_ticket";
const READ: &str = "ledger___get_account";
/// The address in every console role's list, and the one that no console has.
const ROLES: [(&str, &str); 3] =
    [("viewer", "RemitViewerAccess"), ("administrator", "RemitAdministratorAccess"), ("elsewhere", "RemitAdministratorAccess")];

/// schemathesis and botocore, installed once into the target folder.
fn peers() -> PathBuf {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../dev/peers/api");
    let root = Path::new(env!("CARGO_TARGET_TMPDIR")).join("peers-api");
    std::fs::create_dir_all(&root).unwrap();
    let lock = std::fs::File::create(root.join("lock")).unwrap();
    lock.lock().unwrap();
    for name in ["hooks.py", "schemathesis.toml", "signer.py"] {
        // Renamed into place: another test may be running it.
        let draft = root.join(format!("{name}.draft"));
        std::fs::copy(source.join(name), &draft).unwrap();
        std::fs::rename(draft, root.join(name)).unwrap();
    }
    python_environment(&root, &source.join("requirements.txt"), &["--no-deps"]);
    root
}

fn role(name: &str) -> String {
    format!("arn:aws:iam::{ACCOUNT}:role/{name}")
}

/// A ledger, a help desk whose tickets people must close, trust, and roles for whoever signs.
fn configured() -> Value {
    let server = |name: &str| json!({"name": name, "command": ["remit", "sample-server", name]});
    let mut whole = config(&[server("ledger"), server("helpdesk")]);
    let user = format!("arn:aws:iam::{ACCOUNT}:user/riley");
    let trusted = json!({"Version": "2012-10-17", "Statement": {"Effect": "Allow", "Principal": {"AWS": user}, "Action": "sts:AssumeRole"}});
    let role_of =
        |(name, policy): &(&str, &str)| json!({"name": name, "account": ACCOUNT, "policies": [policy], "trust_policy": trusted});
    whole["roles"] = ROLES.iter().map(role_of).collect();
    let may = json!({"Version": "2012-10-17", "Statement": {"Effect": "Allow", "Action": "sts:AssumeRole", "Resource": "*"}});
    whole["users"] = json!([{"name": "riley", "account": ACCOUNT, "inline_policies": {"may": may}}]);
    whole["console"] = json!({"roles": [role("viewer"), role("administrator")]});
    whole["approval_rules"] = json!([{"id": "closing", "hold": {"tools": [CLOSE]}, "ask": {"wait_secs": 30}}]);
    whole["approvers"] = json!([{"id": "operator"}, {"id": "ann"}]);
    whole["trust"] = json!({
        "initial": "probation", "promotions": {"supervised": {"calls_ok_min": 1, "window_days": 30}}, "demotions": {"incident": "probation"},
    });
    whole
}

fn up() -> Remit {
    let place = Place::new();
    place.write(&configured());
    let remit = Remit::up_at(place, &[]);
    remit.until_server("ledger", "ready");
    remit.until_server("helpdesk", "ready");
    remit
}

/// Calls that are allowed and held, so that there is something to ask about; and what schemathesis may know of all this.
fn lived_in(remit: &Remit) -> Value {
    let ledger = remit.client("agent-1", "ledger");
    assert!(ledger.call(READ, r#"{"account_id":"ACC-1003"}"#).get("result").is_some());
    let desk = remit.client("agent-1", "helpdesk").with(r#"{"extensions":{"io.modelcontextprotocol/tasks":{}}}"#);
    for ticket in 1001..1006 {
        let held = desk.call(CLOSE, &json!({"ticket_id": format!("TCK-{ticket}"), "resolution": "done"}).to_string());
        assert_eq!(held["result"]["resultType"], "task", "{held}");
    }
    let ids = |head: &str, list: &str| -> Vec<Value> {
        let found = remit.operator(head, "").1;
        found[list].as_array().unwrap().iter().map(|one| one["id"].clone()).collect()
    };
    let mut id = ids("GET /v1/approvals", "approvals");
    assert_eq!(id.len(), 5);
    let decisions = ids("GET /v1/decisions", "decisions");
    id.extend(decisions.iter().cloned());
    json!({
        "id": id, "entry": decisions, "agent": ["agent-1", "agent-2"], "space": ["ledger", "helpdesk"], "tool": [READ, CLOSE, "get_account"],
        "server": [format!("{ACCOUNT}/ledger"), format!("{ACCOUNT}/nobody")], "path": ["it.json"], "name": ["one", "two"], "category": ["read"],
        "principal": [role("viewer"), format!("arn:aws:iam::{ACCOUNT}:user/riley")], "action": ["mcp:CallTool", "remit:Suspend"],
        "severity": ["low", "critical"],
    })
}

fn document() -> Value {
    json(&std::fs::read_to_string(document_path()).unwrap())
}

fn document_path() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/reference/openapi.json")
}

/// The operations of the document, and whether whoever shows the token says by whom each is asked for.
fn operations() -> Vec<(String, bool)> {
    let document = document();
    let of_path = |(path, methods): (&String, &Value)| -> Vec<(String, bool)> {
        let one = |(method, operation): (&String, &Value)| {
            let fields = &operation["requestBody"]["content"]["application/json"]["schema"]["properties"];
            (format!("{} {path}", method.to_uppercase()), fields["by"].is_object())
        };
        methods.as_object().unwrap().iter().map(one).collect()
    };
    document["paths"].as_object().unwrap().iter().flat_map(of_path).collect()
}

/// Which statuses each operation was answered with.
type Answers = BTreeMap<String, BTreeSet<u64>>;

/// Runs schemathesis over the document in the tree. It must find nothing.
fn schemathesis(remit: &Remit, what: &str, known: &Value, authorized: impl FnOnce(&mut Command)) -> Answers {
    let root = peers();
    let report = root.join(format!("{what}.ndjson"));
    let named: Vec<String> = operations().into_iter().filter(|(_, named)| *named).map(|(label, _)| label).collect();
    let mut command = isolated(&root.join("venv/bin/schemathesis"), remit);
    command.current_dir(&root).env("SCHEMATHESIS_HOOKS", "hooks").env("PYTHONDONTWRITEBYTECODE", "1");
    command.env("REMIT_KNOWN", known.to_string()).env("REMIT_NAMED", json!(named).to_string()).arg("run").arg(document_path());
    command.args(["--url", &format!("http://{}", remit.control), "--phases", "coverage,fuzzing", "--max-examples", "15"]);
    command.args(["--seed", "20", "--workers", "1", "--generation-database", "none", "--no-color", "--report", "ndjson"]);
    command.arg("--report-ndjson-path").arg(&report);
    // Whether a request that the document allows is one that can be done depends on what there is.
    command.args(["--checks", "all", "--exclude-checks", "positive_data_acceptance", "--continue-on-failure"]);
    authorized(&mut command);
    let done = command.output().unwrap();
    let out = String::from_utf8_lossy(&done.stdout);
    assert!(done.status.success(), "{out}\n{}", String::from_utf8_lossy(&done.stderr));
    let mut answers = Answers::new();
    for line in std::fs::read_to_string(report).unwrap().lines() {
        let recorder = &json(line)["ScenarioFinished"]["recorder"];
        for (id, interaction) in recorder["interactions"].as_object().into_iter().flatten() {
            let case = &recorder["cases"][id]["value"];
            let label = format!("{} {}", case["method"].as_str().unwrap(), case["path"].as_str().unwrap());
            answers.entry(label).or_default().extend(interaction["response"]["status_code"].as_u64());
        }
    }
    answers
}

/// Operations whose end no made-up request is sure to come to: they need what another one was told. It may only shrink.
const UNREACHED: [&str; 18] = [
    // Nobody's registration is a draft there.
    "POST /v1/servers/submit",
    "POST /v1/servers/status",
    "POST /v1/revoke",
    "POST /v1/pins/accept",
    "POST /v1/connections",
    "GET /v1/connections/{id}",
    "POST /v1/configuration/plan",
    "POST /v1/configuration/apply",
    "POST /v1/configuration/review",
    "POST /v1/configuration/withdraw",
    "POST /v1/configuration/diff",
    "POST /v1/approvals/{id}/approve",
    "POST /v1/approvals/{id}/reject",
    "POST /v1/approvals/{id}/revoke",
    "POST /v1/approvals/{id}/review",
    "POST /v1/trust/promote",
    // It needs a bucket with what was archived: the tests of retention have one.
    "POST /v1/archive/restore",
    // A hold that was placed before it stands against it.
    "POST /v1/space-keys/destroy",
];

#[test]
fn the_interface_is_what_its_document_says() {
    let remit = up();
    let known = lived_in(&remit);
    let token = std::fs::read_to_string(remit.place().data().join("operator.token")).unwrap();
    let answers = schemathesis(&remit, "token", &known, |command| {
        command.args(["--header", &format!("Authorization: Bearer {}", token.trim())]);
    });
    let done = |label: &str| answers.get(label).is_some_and(|statuses| statuses.iter().any(|status| (200..300).contains(status)));
    let missed = |label: &String| !done(label) && !UNREACHED.contains(&label.as_str());
    let missed: Vec<String> = operations().into_iter().map(|(label, _)| label).filter(missed).collect();
    assert!(missed.is_empty(), "{missed:?}: {answers:?}");
    // Without the token nothing is answered, and the checks have tried: as far as they had anything to compare with.
    assert!(answers["GET /v1/status"].contains(&401) && answers["PUT /v1/status"].contains(&405), "{answers:?}");
    // It is up still, and everything that was recorded is whole.
    assert_eq!(remit.operator("GET /v1/status", "").0, 200);
    remit.stop();
}

#[test]
fn a_viewer_sees_and_changes_nothing() {
    let remit = up();
    let known = lived_in(&remit);
    let before = (remit.status()["configuration"].clone(), remit.operator("GET /v1/approvals", "").1["approvals"].clone());
    let pair = credentials(&remit, &role("viewer"), &["--by", "it"]);
    let answers = schemathesis(&remit, "viewer", &known, |command| {
        command.env("REMIT_KEYS", pair.to_string());
    });
    for (label, changes) in operations() {
        let statuses = &answers[&label];
        let done = statuses.iter().any(|status| (200..300).contains(status));
        if changes {
            // What is no JSON at all is not looked at, nor what was signed twice in a second; whatever can be read is refused.
            let others: Vec<&u64> = statuses.iter().filter(|status| ![401, 403, 415, 429].contains(*status)).collect();
            assert!(statuses.contains(&403) && others.is_empty(), "{label}: {statuses:?}");
        } else {
            assert!(!statuses.contains(&403) && (done || UNREACHED.contains(&label.as_str())), "{label}: {statuses:?}");
        }
    }
    let after = (remit.status()["configuration"].clone(), remit.operator("GET /v1/approvals", "").1["approvals"].clone());
    assert_eq!((&before.0, before.1.as_array().unwrap().len()), (&after.0, after.1.as_array().unwrap().len()));
    assert_eq!(remit.status()["suspended"], json!({}));
    let place = remit.stop();
    for kind in [
        "suspension",
        "revocation",
        "configuration_rollback",
        "incident",
        "trust_promoted",
        "console_link",
        "secret_put",
        "agent_secret",
    ] {
        assert!(place.log_of(kind).is_empty(), "{kind}");
    }
    assert!(
        place
            .log_of("operation_refused")
            .iter()
            .all(|entry| entry["person"]["id"].as_str().unwrap().contains(":assumed-role/viewer/"))
    );
}

/// A signer of requests.
fn signer(remit: &Remit) -> Lines {
    let root = peers();
    let mut command = isolated(&root.join("venv/bin/python"), remit);
    Lines::start(command.arg(root.join("signer.py")).arg(format!("http://{}", remit.control)))
}

#[test]
fn a_signature_is_good_for_its_request_and_its_role() {
    let remit = up();
    let mut signer = signer(&remit);
    let mut boto = Boto::start(&remit);
    let riley = credentials(&remit, &format!("arn:aws:iam::{ACCOUNT}:user/riley"), &[]);
    let mut taken =
        |name: &str| boto.assume(&riley, &json!({"RoleArn": role(name), "RoleSessionName": "riley"}))["Credentials"].take();
    let (viewer, administrator, elsewhere) = (taken("viewer"), taken("administrator"), taken("elsewhere"));
    let stop = json!({"agent": "agent-1", "reason": "a drill"}).to_string();
    let mut ask = |pair: &Value, head: &str, body: &str, more: Value| -> (u64, Value) {
        let (method, path) = head.split_once(' ').unwrap();
        let mut asked = json!({"method": method, "path": path, "body": body, "credentials": pair});
        asked.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        let answer = signer.ask(&asked);
        (answer["status"].as_u64().unwrap(), serde_json::from_str(answer["body"].as_str().unwrap()).unwrap_or_default())
    };
    let plain = || json!({});
    // Each may what their role may.
    assert_eq!(ask(&viewer, "GET /v1/decisions?limit=5&agent=agent-1", "", plain()).0, 200);
    let (status, said) = ask(&viewer, "POST /v1/suspend", &stop, plain());
    assert_eq!((status, &said["action"]), (403, &json!("remit:Suspend")), "{said}");
    // A question that changes nothing may be asked twice in a second.
    assert_eq!(ask(&viewer, "GET /v1/status", "", json!({"again": true})).0, 200);
    // Nobody operates as a user, nor in a role that isn't the console's.
    for (pair, why) in [(&riley, "assume one first"), (&elsewhere, "`console.roles`")] {
        let (status, said) = ask(pair, "GET /v1/status", "", plain());
        assert!(status == 403 && said["detail"].as_str().unwrap().contains(why), "{said}");
    }
    // What isn't this request, this service, this key or this time is nobody's.
    let other = json!({"agent": "agent-2", "reason": "a drill"}).to_string();
    for (more, code) in [
        (json!({"sent_body": other}), "SignatureDoesNotMatch"),
        (json!({"sent_path": "/v1/revoke"}), "SignatureDoesNotMatch"),
        (json!({"late_secs": 301}), "SignatureDoesNotMatch"),
        (json!({"late_secs": -400}), "SignatureDoesNotMatch"),
        (json!({"secret": riley["SecretAccessKey"]}), "SignatureDoesNotMatch"),
        (json!({"service": "sts"}), "SignatureDoesNotMatch"),
        (json!({"service": "mcp"}), "SignatureDoesNotMatch"),
        (json!({"region": "mars-east-1"}), "SignatureDoesNotMatch"),
        (json!({"more": {"x-amz-target": "x"}}), "SignatureDoesNotMatch"),
        (json!({"more": {"X-Amz-Date": "20260101T000000Z"}}), "SignatureDoesNotMatch"),
    ] {
        let (status, said) = ask(&administrator, "POST /v1/suspend", &stop, more.clone());
        // A key that is out of its time isn't looked at any closer.
        let codes = [code, "InvalidClientTokenId"];
        assert!(status == 401 && codes.contains(&said["code"].as_str().unwrap_or_default()), "{more}: {status} {said}");
    }
    let unknown = json!({"AccessKeyId": "AKIANOBODYNOBODYNOBO", "SecretAccessKey": "none"});
    assert_eq!(ask(&unknown, "GET /v1/status", "", plain()).1["code"], "InvalidClientTokenId");
    let mut borrowed = viewer.clone();
    borrowed["SessionToken"] = administrator["SessionToken"].clone();
    assert_eq!(ask(&borrowed, "POST /v1/suspend", &stop, plain()).0, 401, "a token is its key's own");
    assert_eq!(remit.status()["suspended"], json!({}), "nothing of it was done");
    // What changes something is signed once for each time, and done by whom the record says.
    let (status, said) = ask(&administrator, "POST /v1/suspend", &stop, json!({"again": true}));
    assert_eq!((status, &said["code"]), (429, &json!("Throttling")), "{said}");
    let stopped = remit.status()["suspended"]["agents"]["agent-1"].clone();
    let arn = format!("arn:aws:sts::{ACCOUNT}:assumed-role/administrator/riley");
    assert_eq!(stopped["by"], arn, "{stopped}");
    // Keys that were taken away open nothing any more, nor those that were got with them.
    let gone =
        remit.place().cli(&["revoke", "session", riley["AccessKeyId"].as_str().unwrap(), "--reason", "over", "--by", "it"]);
    assert_eq!(gone.code, 0, "{gone:?}");
    assert_eq!(ask(&administrator, "GET /v1/status", "", plain()).1["code"], "ExpiredToken");
    let place = remit.stop();
    let entry = place.log_of("suspension").pop().unwrap();
    assert_eq!(place.log_of("suspension").len(), 1, "of the same request sent twice");
    assert_eq!((&entry["proof"], &entry["access_key_id"]), (&json!("SIGNATURE"), &administrator["AccessKeyId"]), "{entry}");
}

#[test]
fn a_command_whose_connection_breaks_asks_once_more_and_it_is_done_once() {
    let remit = up();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let (between, control) = (listener.local_addr().unwrap(), remit.control);
    // The first answer is lost on its way, the second comes through.
    let relay = std::thread::spawn(move || {
        let mut heads = Vec::new();
        for lost in [true, false] {
            let mut client = listener.accept().unwrap().0;
            let mut server = TcpStream::connect(control).unwrap();
            let (mut request, mut piece) = (Vec::new(), [0; 4096]);
            let whole = |request: &[u8]| {
                let text = String::from_utf8_lossy(request).into_owned();
                let (head, body) = text.split_once("\r\n\r\n")?;
                let length =
                    head.lines().find_map(|line| line.to_ascii_lowercase().strip_prefix("content-length: ")?.parse().ok());
                (body.len() >= length.unwrap_or(0)).then(|| head.to_owned())
            };
            let head = loop {
                let read = client.read(&mut piece).unwrap();
                request.extend_from_slice(&piece[..read]);
                if let Some(head) = whole(&request) {
                    break head;
                }
            };
            heads.push(head);
            server.write_all(&request).unwrap();
            let read = server.read(&mut piece).unwrap();
            assert!(read > 0);
            if !lost {
                client.write_all(&piece[..read]).unwrap();
            }
        }
        heads
    });
    let path = remit.place().data().join("run.json");
    let mut running = json(&std::fs::read_to_string(&path).unwrap());
    running["control"] = json!(format!("http://{between}"));
    std::fs::write(&path, running.to_string()).unwrap();
    let said = remit.place().cli(&["incident", "agent-1", "--severity", "low", "--reason", "a drill", "--by", "it"]);
    assert_eq!(said.code, 0, "{said:?}");
    let key =
        |head: &String| head.lines().find(|line| line.to_ascii_lowercase().starts_with("idempotency-key: ")).map(str::to_owned);
    let heads = relay.join().unwrap();
    assert!(key(&heads[0]).is_some() && key(&heads[0]) == key(&heads[1]), "{heads:?}");
    let place = remit.stop();
    assert_eq!(place.log_of("incident").len(), 1);
}
