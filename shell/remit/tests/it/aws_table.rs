//! The registry as a DynamoDB table, through AWS's own command line and a DynamoDB engine.

use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use serde_json::Value;

use crate::aws::{Peers, acme, said};
use crate::client::json;
use crate::gateway::{Place, Said, remit, until};
use crate::offline::example;

/// The table of "Governing MCP and agentic AI on AWS".
const TABLE: &str = "agent-governance-tool-policy";

/// MiniStack, which speaks DynamoDB, on a port of its own; ended with the test.
struct Engine {
    child: Child,
    port: u16,
    aws: PathBuf,
    home: tempfile::TempDir,
}

impl Engine {
    fn start() -> Self {
        let peers = Peers::installed();
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let home = tempfile::tempdir().unwrap();
        let mut command = Command::new(peers.bin("ministack"));
        command.env_clear().env("HOME", home.path()).env("TMPDIR", home.path()).env("PATH", std::env::var_os("PATH").unwrap());
        command.env("GATEWAY_PORT", port.to_string()).env("BIND_HOST", "127.0.0.1").env("SERVICES", "dynamodb");
        let child = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        let engine = Self { child, port, aws: peers.bin("aws"), home };
        until("the engine answers", || std::net::TcpStream::connect(("127.0.0.1", port)).is_ok());
        engine
    }

    /// A command of `aws dynamodb`.
    fn run(&self, arguments: &[&str]) -> Said {
        let mut command = Command::new(&self.aws);
        command.env_clear().env("HOME", self.home.path()).env("PATH", std::env::var_os("PATH").unwrap());
        command.env("AWS_ACCESS_KEY_ID", "test").env("AWS_SECRET_ACCESS_KEY", "test").env("AWS_DEFAULT_REGION", "us-east-1");
        command
            .env("AWS_PAGER", "")
            .args(["--endpoint-url", &format!("http://127.0.0.1:{}", self.port), "dynamodb"])
            .args(arguments);
        said(&mut command)
    }

    #[track_caller]
    fn ok(&self, arguments: &[&str]) -> String {
        let said = self.run(arguments);
        assert_eq!(said.code, 0, "{arguments:?}: {}", said.err);
        said.out
    }
}

impl Drop for Engine {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The registry of a directory, one row a line, sorted.
fn rows(directory: &Path) -> Vec<String> {
    let said = remit(&["tool-policies", "export", directory.to_str().unwrap(), "--format", "csv"], None);
    assert_eq!(said.code, 0, "{said:?}");
    let mut rows: Vec<String> = said.out.lines().skip(1).map(|line| line.trim().to_owned()).collect();
    rows.sort();
    rows
}

fn import(place: &Place, file: &Path, more: &[&str]) -> Said {
    let config = place.config();
    let fixed =
        ["tool-policies", "import", file.to_str().unwrap(), "--format", "dynamodb-json", "--into", config.to_str().unwrap()];
    remit(&[&fixed[..], more].concat(), None)
}

#[test]
fn the_registry_goes_into_a_table_and_comes_back() {
    let engine = Engine::start();
    engine.ok(&[
        "create-table",
        "--table-name",
        TABLE,
        "--attribute-definitions",
        "AttributeName=agent_id,AttributeType=S",
        "AttributeName=tool_id,AttributeType=S",
        "--key-schema",
        "AttributeName=agent_id,KeyType=HASH",
        "AttributeName=tool_id,KeyType=RANGE",
        "--billing-mode",
        "PAY_PER_REQUEST",
        "--sse-specification",
        "Enabled=true",
    ]);
    let requests = remit(&["tool-policies", "export", "--format", "dynamodb-json", "--table", TABLE], None);
    assert_eq!(requests.code, 0, "{requests:?}");
    for request in requests.out.lines() {
        let written = json(&engine.ok(&["batch-write-item", "--request-items", request]));
        assert_eq!(written["UnprocessedItems"], Value::Object(serde_json::Map::new()), "{written}");
    }
    let page = engine.ok(&[
        "query",
        "--table-name",
        TABLE,
        "--key-condition-expression",
        "agent_id = :a",
        "--expression-attribute-values",
        r#"{":a":{"S":"agent-ops-1"}}"#,
    ]);
    assert_eq!(json(&page)["Count"], 2, "{page}");

    // The whole table becomes the registry that it was.
    let place = acme(&[]);
    let scan = place.root().join("scan.json");
    std::fs::write(&scan, engine.ok(&["scan", "--table-name", TABLE])).unwrap();
    let said = import(&place, &scan, &[]);
    assert!(said.code == 3 && said.err.contains("is there already: --replace replaces it"), "{said:?}");
    let said = import(&place, &scan, &["--replace", "--json"]);
    assert_eq!((said.code, json(&said.out)["rows"].as_u64()), (0, Some(19)), "{said:?}");
    assert_eq!(rows(&place.config()), rows(&example()));
    // And what was decided by it is decided as before.
    let said = remit(&["test", place.config().to_str().unwrap(), "--filter", "risks.yaml"], None);
    assert_eq!(said.code, 0, "{}", said.out);

    // A part of it would silently take rows away.
    let before = std::fs::read_to_string(place.config().join("tool-policies.yaml")).unwrap();
    std::fs::write(&scan, engine.ok(&["scan", "--table-name", TABLE, "--max-items", "5"])).unwrap();
    let said = import(&place, &scan, &["--replace"]);
    assert!(said.code == 3 && said.out.contains("`NextToken` says that there are more rows than these"), "{said:?}");

    // One bad row, and nothing is written: told by its place in what was given.
    let bad = r#"{"agent_id":{"S":"agent-nobody"},"tool_id":{"S":"helpdesk___search_kb"},"max_risk":{"S":"low"}}"#;
    engine.ok(&["put-item", "--table-name", TABLE, "--item", bad]);
    std::fs::write(&scan, engine.ok(&["scan", "--table-name", TABLE])).unwrap();
    let said = import(&place, &scan, &["--replace"]);
    assert!(said.code == 3 && said.out.contains("there is no agent `agent-nobody`") && said.out.contains("row "), "{said:?}");
    assert_eq!(std::fs::read_to_string(place.config().join("tool-policies.yaml")).unwrap(), before);
}

#[test]
fn rows_that_name_tools_alone_get_their_servers() {
    let place = acme(&[]);
    let scan = place.root().join("rows.json");
    let row = |agent: &str, tool: &str, risk: &str| {
        format!("{{\"agent_id\":{{\"S\":\"{agent}\"}},\"tool_id\":{{\"S\":\"{tool}\"}},\"max_risk\":{{\"S\":\"{risk}\"}}}}\n")
    };
    let text = [
        row("agent-support-1", "search_kb", "medium"),
        row("agent-support-1", "get_ticket", "medium"),
        row("agent-ops-1", "search_logs", "high"),
        row("agent-ops-1", "open_incident", "high"),
    ];
    std::fs::write(&scan, text.concat()).unwrap();
    let said = import(&place, &scan, &["--replace"]);
    assert!(
        said.code == 3 && said.out.contains("rows.json:1:1: row 1: `search_kb` doesn't say which server's tool it is"),
        "{said:?}"
    );
    assert_eq!(rows(&place.config()).len(), 19);
    let said = import(&place, &scan, &["--replace", "--qualify"]);
    assert_eq!(said.code, 0, "{said:?}");
    assert_eq!(
        rows(&place.config()),
        [
            "agent-ops-1,observability___open_incident,true,high",
            "agent-ops-1,observability___search_logs,true,high",
            "agent-support-1,helpdesk___get_ticket,true,medium",
            "agent-support-1,helpdesk___search_kb,true,medium",
        ]
    );
}

#[test]
fn a_file_that_says_more_is_not_replaced_and_no_path_leads_out() {
    let place = acme(&[]);
    let csv = place.root().join("rows.csv");
    std::fs::write(&csv, "agent_id,tool_id,max_risk\nagent-ops-1,observability___get_metric,low\n").unwrap();
    let config = place.config();
    let import = |more: &[&str]| {
        let fixed = ["tool-policies", "import", csv.to_str().unwrap(), "--format", "csv"];
        remit(&[&fixed[..], more].concat(), None)
    };
    let into = ["--into", config.to_str().unwrap()];
    let said = import(&[&into[..], &["--as", "spaces.yaml", "--replace"]].concat());
    assert!(said.code == 3 && said.err.contains("says `spaces` too, which would be lost"), "{said:?}");
    for name in ["../x.yaml", ".x.yaml", "rows.csv", "tools.lock.json", "a/b.yaml"] {
        let said = import(&[&into[..], &["--as", name]].concat());
        assert!(said.code == 3 && said.err.contains("is no file of a configuration directory"), "{name}: {said:?}");
    }
    // Beside the registry that is there, under another name; a row that stands in both is a fault.
    assert_eq!(import(&[&into[..], &["--as", "more.yaml"]].concat()).code, 0);
    assert_eq!(rows(&config).len(), 20);
    std::fs::write(&csv, "agent_id,tool_id,max_risk\nagent-ops-1,observability___search_logs,low\n").unwrap();
    let said = import(&[&into[..], &["--as", "twice.yaml"]].concat());
    assert!(
        said.code == 3 && said.out.contains("agent-ops-1 has this row for `observability___search_logs` already"),
        "{said:?}"
    );
    assert!(!config.join("twice.yaml").exists());
    // Without a directory the YAML is printed.
    let said = import(&[]);
    assert_eq!(
        (said.code, said.out.as_str()),
        (0, "# From rows.csv.\ntool_policies:\n  - { agent: agent-ops-1, tool: observability___search_logs, max_risk: low }\n")
    );
    let said = remit(&["tool-policies", "import", "-", "--format", "csv"], Some("tool_id,agent_id,max_risk\na___b,abc,low\n"));
    assert_eq!(
        (said.code, said.out.as_str()),
        (0, "# From standard input.\ntool_policies:\n  - { agent: abc, tool: a___b, max_risk: low }\n")
    );
    assert_eq!(import(&["--replace"]).code, 3, "--replace goes with --into");
    assert_eq!(remit(&["tool-policies", "export", "--format", "xml"], None).code, 3);
}
