//! Prometheus itself (Debian's package): it takes the rules, scrapes a gateway that is up, and one goes off; and the dashboard asks for nothing
//! that isn't there.

use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::client::send;
use crate::gateway::{Place, Remit, config, until};

fn deploy(file: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../deploy").join(file).canonicalize().unwrap()
}

fn promtool(args: &[&str]) -> String {
    let done = Command::new("promtool").args(args).output().unwrap();
    let said = format!("{}{}", String::from_utf8_lossy(&done.stdout), String::from_utf8_lossy(&done.stderr));
    assert!(done.status.success(), "{args:?}: {said}");
    said
}

/// A Prometheus with the rules, which scrapes gateways every second.
struct Prometheus {
    child: Child,
    addr: SocketAddr,
    _dir: TempDir,
}

impl Drop for Prometheus {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Prometheus {
    fn up(targets: &[SocketAddr]) -> Self {
        let dir = TempDir::new().unwrap();
        let file = dir.path().join("prometheus.yml");
        // JSON is YAML, and every path and address in it is whole.
        let settings = json!({
            "global": {"scrape_interval": "1s", "scrape_timeout": "1s", "evaluation_interval": "1s"},
            "rule_files": [deploy("prometheus/remit.rules.yml")],
            "scrape_configs": [{"job_name": "remit", "static_configs": [{"targets": targets}]}],
        });
        std::fs::write(&file, settings.to_string()).unwrap();
        let addr = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let child = Command::new("prometheus")
            .arg(format!("--config.file={}", file.display()))
            .arg(format!("--storage.tsdb.path={}", dir.path().join("data").display()))
            .arg(format!("--web.listen-address={addr}"))
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let prometheus = Self { child, addr, _dir: dir };
        until("Prometheus listens", || std::net::TcpStream::connect(addr).is_ok());
        until("it is ready", || send(addr, "GET /-/ready", &[], b"").status == 200);
        prometheus
    }

    fn ask(&self, path: &str) -> Value {
        let mut answer = send(self.addr, &format!("GET {path}"), &[], b"");
        let told = answer.message();
        assert_eq!(told["status"], "success", "{path}: {told}");
        told["data"].clone()
    }

    fn query(&self, expression: &str) -> Value {
        let plain = |byte: u8| byte.is_ascii_alphanumeric();
        let encoded: String = expression
            .bytes()
            .map(|byte| if plain(byte) { (byte as char).to_string() } else { format!("%{byte:02X}") })
            .collect();
        self.ask(&format!("/api/v1/query?query={encoded}"))["result"].clone()
    }

    fn firing(&self, name: &str) -> Option<Value> {
        let alerts = self.ask("/api/v1/alerts")["alerts"].clone();
        let firing = |alert: &&Value| alert["labels"]["alertname"] == name && alert["state"] == "firing";
        alerts.as_array().unwrap().iter().find(firing).cloned()
    }
}

/// What a dashboard's panels and an expression's selectors name.
fn metrics_in(expression: &str) -> Vec<String> {
    let word = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == ':';
    expression
        .split(|c| !word(c))
        .filter(|word| ["remit_", "remit:", "mcp_"].iter().any(|begins| word.starts_with(begins)))
        .map(str::to_owned)
        .collect()
}

#[test]
fn the_rules_hold_and_a_denial_spike_goes_off_in_prometheus() {
    assert!(promtool(&["check", "rules", deploy("prometheus/remit.rules.yml").to_str().unwrap()]).contains("SUCCESS"));
    promtool(&["check", "config", deploy("prometheus/prometheus.yml").to_str().unwrap()]);
    promtool(&["test", "rules", deploy("prometheus/remit.rules.test.yml").to_str().unwrap()]);

    let mut whole = config(&[json!({"name": "helpdesk", "command": ["remit", "sample-server", "helpdesk"]})]);
    whole["alarms"] = json!([{"name": "any denial", "metric": "denials", "threshold": 1, "period_secs": 60}]);
    let remit = Remit::up(&whole);
    remit.until_server("helpdesk", "ready");
    // Another one speaks TLS, with a certificate that ends in two days.
    let place = Place::new();
    let folder = place.root().to_owned();
    crate::operations::certificates(&folder);
    place.write(&config(&[json!({"name": "helpdesk", "command": ["remit", "sample-server", "helpdesk"]})]));
    let (chain, key) = (folder.join("first.pem"), folder.join("first.key"));
    let secure = Remit::up_at(place, &["--tls-cert", chain.to_str().unwrap(), "--tls-key", key.to_str().unwrap()]);
    let prometheus = Prometheus::up(&[remit.control, secure.control]);
    until("it was scraped", || prometheus.query("remit_journal_healthy")[0]["value"][1] == "1");
    assert_eq!(prometheus.firing("RemitDenialSpike"), None);
    let client = remit.client("agent-1", "helpdesk");
    let allowed = client.call("helpdesk___search_kb", r#"{"query":"vpn"}"#);
    assert!(allowed.get("error").is_none(), "{allowed}");
    for _ in 0..20 {
        client.call("helpdesk___drop_everything", "{}");
    }
    until("the spike goes off", || prometheus.firing("RemitDenialSpike").is_some());
    let alert = prometheus.firing("RemitDenialSpike").unwrap();
    assert_eq!(alert["annotations"]["summary"], "20 calls were denied within five minutes", "{alert}");
    let runbook = alert["annotations"]["runbook"].as_str().unwrap();
    assert!(runbook.ends_with("#denial-spike"), "{runbook}");
    until("the agent's goes off", || {
        prometheus.firing("RemitAgentDenied").is_some_and(|alert| alert["labels"]["agent"] == "agent-1")
    });
    until("Remit's own is shown", || prometheus.firing("RemitAlarm").is_some());
    until("the certificate's goes off", || prometheus.firing("RemitCertificateEnds").is_some());
    assert_eq!(prometheus.firing("RemitCertificateEnds").unwrap()["labels"]["instance"], secure.control.to_string());
    for quiet in ["RemitJournalStopped", "RemitDown", "RemitSuspectedInjection", "RemitHeldTooLong"] {
        assert_eq!(prometheus.firing(quiet), None, "{quiet}");
    }

    // Every metric that rules and dashboard name is one that is scraped; every question of the dashboard can be asked.
    let rules = prometheus.ask("/api/v1/rules");
    let rules = rules["groups"].as_array().unwrap().iter().flat_map(|group| group["rules"].as_array().unwrap());
    let mut asked: Vec<String> = rules.clone().map(|rule| rule["query"].as_str().unwrap().to_owned()).collect();
    for rule in rules {
        assert_eq!(rule["health"], "ok", "{rule}");
        if let Some(runbook) = rule["annotations"]["runbook"].as_str() {
            has_heading(runbook);
        }
    }
    let dashboard: Value = serde_json::from_str(&std::fs::read_to_string(deploy("grafana/remit.json")).unwrap()).unwrap();
    let targets = dashboard["panels"].as_array().unwrap().iter().flat_map(|panel| panel["targets"].as_array().unwrap());
    for target in targets {
        let expression = target["expr"].as_str().unwrap().replace("$instance", ".*");
        // There is traffic of every kind, so every panel has something to show.
        let shows = |expression: &str| {
            assert!(client.call("helpdesk___search_kb", r#"{"query":"vpn"}"#).get("result").is_some());
            client.session("2025-11-25").end();
            let result = prometheus.query(expression);
            result.as_array().unwrap().iter().any(|one| one["value"][1] != "NaN")
        };
        until(&expression, || shows(&expression));
        asked.push(expression);
    }
    let known: Vec<String> = {
        let names = prometheus.ask("/api/v1/label/__name__/values");
        names.as_array().unwrap().iter().map(|name| name.as_str().unwrap().to_owned()).collect()
    };
    for name in asked.iter().flat_map(|expression| metrics_in(expression)) {
        assert!(known.contains(&name), "{name} is no metric: {known:?}");
    }
}

/// Whether a document in the tree has the heading that is linked to.
fn has_heading(link: &str) {
    let (file, anchor) = link.split_once('#').unwrap();
    let text = std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").join(file)).unwrap();
    let slug = |line: &str| line.trim_start_matches(['#', ' ']).to_lowercase().replace(' ', "-");
    assert!(text.lines().any(|line| line.starts_with('#') && slug(line) == anchor), "{link}");
}
