//! The operator's interface as others' programs meet it: schemathesis holds it to its document, botocore signs for it, and a command whose
//! connection breaks asks once more.

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
    for name in ["hooks.py", "signer.py"] {
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
    id.extend(ids("GET /v1/decisions", "decisions"));
    json!({
        "id": id, "agent": ["agent-1", "agent-2"], "space": ["ledger", "helpdesk"], "tool": [READ, CLOSE, "get_account"],
        "server": [format!("{ACCOUNT}/ledger"), format!("{ACCOUNT}/nobody")], "path": ["it.json"], "category": ["read"],
        "principal": [role("viewer"), format!("arn:aws:iam::{ACCOUNT}:user/riley")], "action": ["mcp:CallTool", "remit:Suspend"],
        "severity": ["low", "critical"],
    })
}

/// Runs schemathesis over the document in the tree; what it says, if it found anything.
fn schemathesis(remit: &Remit, what: &str, known: &Value, authorized: impl FnOnce(&mut Command)) -> Value {
    let root = peers();
    let document = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/reference/openapi.json");
    let report = root.join(format!("{what}.ndjson"));
    let mut command = isolated(&root.join("venv/bin/schemathesis"), remit);
    command.current_dir(&root).env("SCHEMATHESIS_HOOKS", "hooks").env("REMIT_KNOWN", known.to_string()).arg("run").arg(document);
    command.args(["--url", &format!("http://{}", remit.control), "--phases", "coverage,fuzzing", "--max-examples", "15"]);
    command.args(["--seed", "20", "--workers", "1", "--generation-database", "none", "--no-color", "--report", "ndjson"]);
    command.arg("--report-ndjson-path").arg(&report);
    // Whether a request that the document allows is one that can be done depends on what there is.
    command.args(["--checks", "all", "--exclude-checks", "positive_data_acceptance", "--continue-on-failure"]);
    authorized(&mut command);
    let done = command.output().unwrap();
    let out = String::from_utf8_lossy(&done.stdout);
    assert!(done.status.success(), "{out}\n{}", String::from_utf8_lossy(&done.stderr));
    assert!(out.contains("Tested: ") && !out.contains("Tested: 0"), "{out}");
    json!(std::fs::read_to_string(report).unwrap())
}

#[test]
fn the_interface_is_what_its_document_says() {
    let remit = up();
    let known = lived_in(&remit);
    let token = std::fs::read_to_string(remit.place().data().join("operator.token")).unwrap();
    schemathesis(&remit, "token", &known, |command| {
        command.args(["--header", &format!("Authorization: Bearer {}", token.trim())]);
    });
    // It is up still, and everything that was recorded is whole.
    assert_eq!(remit.operator("GET /v1/status", "").0, 200);
    remit.stop();
}
