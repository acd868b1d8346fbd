//! Recorded decisions in the words of others: held to OCSF's published schema, read back from Parquet, led back to a proof; and delivered to
//! a collector over HTTPS, to rsyslog over TLS and to a bucket, which go away and come back.

use std::collections::BTreeSet;
use std::io::Read as _;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use remit_bucket::{Bucket, Options};
use serde_json::{Value, json};

use crate::aws::python_environment;
use crate::gateway::{Place, Remit, config, until};
use crate::operations::certificates;
use crate::seaweed::{CREDENTIALS, Seaweed};

/// Stands in an argument of every call, and nowhere in what leaves.
const CANARY: &str = "canary-of-the-arguments";

/// Python with OCSF's published schema and a reader of Parquet.
fn python() -> (PathBuf, PathBuf) {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../dev/peers/export");
    let root = Path::new(env!("CARGO_TARGET_TMPDIR")).join("peers-export");
    std::fs::create_dir_all(&root).unwrap();
    let lock = std::fs::File::create(root.join("lock")).unwrap();
    lock.lock().unwrap();
    python_environment(&root, &source.join("requirements.txt"), &["--no-deps"]);
    (root.join("venv/bin/python"), source)
}

/// What the script that checks exports says.
fn check(args: &[&str]) -> String {
    let (python, source) = python();
    let done = Command::new(python).arg(source.join("check.py")).args(args).output().unwrap();
    assert!(done.status.success(), "{args:?}: {}", String::from_utf8_lossy(&done.stderr));
    String::from_utf8(done.stdout).unwrap()
}

fn whole(deliveries: &Value) -> Value {
    let mut whole = config(&[json!({"name": "ledger", "command": ["remit", "sample-server", "ledger"]})]);
    whole["approval_rules"] = json!([{"id": "transfers", "hold": {"tools": ["ledger___transfer"]}, "ask": {"wait_secs": 1}}]);
    whole["deliveries"] = deliveries.clone();
    whole
}

fn up(place: Place, options: &[&str]) -> Remit {
    let remit = Remit::up_at(place, options);
    remit.until_server("ledger", "ready");
    remit
}

/// Allowed, denied by schema and by the space, held, and by nobody.
fn calls(remit: &Remit) {
    let one = remit.client("agent-1", "ledger");
    for _ in 0..3 {
        one.call("ledger___get_account", r#"{"account_id":"ACC-1003"}"#);
    }
    one.call("ledger___get_account", &json!({"account_id": CANARY}).to_string());
    one.call("ledger___no_such_tool", &json!({"x": CANARY}).to_string());
    remit.client("agent-2", "ledger").call("ledger___get_account", r#"{"account_id":"ACC-1003"}"#);
    let transfer = json!({"from": "ACC-1001", "to": "ACC-1003", "amount_cents": 100, "memo": CANARY});
    one.call("ledger___transfer", &transfer.to_string());
    let mut nobody = remit.client("agent-1", "ledger");
    "no.such.token".clone_into(&mut nobody.token);
    nobody.modern("tools/call", &json!({"name": "ledger___get_account", "arguments": {}}).to_string());
}

/// Decisions of the journal, each with its index.
fn decisions(place: &Place) -> Vec<(u64, Value)> {
    let said = place.cli(&["log", "--json"]);
    let entries = said.out.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    let decisions = entries.filter(|one| one["entry"]["type"] == "decision");
    decisions.map(|one| (one["index"].as_u64().unwrap(), one["entry"].clone())).collect()
}

fn indexes(place: &Place) -> BTreeSet<u64> {
    decisions(place).into_iter().map(|(index, _)| index).collect()
}

fn lines(text: &str) -> Vec<Value> {
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

fn export(place: &Place, args: &[&str]) -> Vec<Value> {
    let said = place.cli(&[&["export"], args].concat());
    assert_eq!(said.code, 0, "{said:?}");
    lines(&said.out)
}

/// The index that an event of OCSF names.
fn place_of(event: &Value) -> u64 {
    event["unmapped"]["log"]["index"].as_u64().unwrap()
}

#[test]
fn what_is_exported_keeps_the_published_schema_and_leads_back_to_a_proof() {
    let place = Place::new();
    place.write(&whole(&json!([])));
    let remit = up(place, &[]);
    calls(&remit);
    let place = remit.place();
    let (file, lake) = (place.root().join("events.jsonl"), place.root().join("lake"));
    let (file, lake) = (file.to_str().unwrap(), lake.to_str().unwrap());
    let said = place.cli(&["export", "--format", "ocsf", "--output", file]);
    assert_eq!(said.code, 0, "{said:?}");
    let events = lines(&std::fs::read_to_string(file).unwrap());
    assert_eq!(events.iter().map(place_of).collect::<BTreeSet<u64>>(), indexes(place));
    // The schema as it was published, and the rows of Parquet, which are the very events.
    let checked: Value = serde_json::from_str(&check(&["ocsf", file])).unwrap();
    assert_eq!((&checked["checked"], &checked["version"]), (&json!(events.len()), &json!("1.8.0")));
    assert_eq!(checked["attested"], json!(events.len()), "each event's fingerprint is of that very event");
    assert_eq!(checked["profiles"], json!(["ai_operation", "cloud", "security_control", "trace"]));
    assert_eq!(place.cli(&["export", "--format", "parquet", "--output", lake]).code, 0);
    let same: Value = serde_json::from_str(&check(&["same", file, lake])).unwrap();
    assert_eq!(same["rows"], json!(events.len()));
    let path = same["files"][0].as_str().unwrap();
    let day = decisions(place)[0].1["time"].as_str().unwrap()[..10].replace('-', "");
    assert!(path.starts_with(&format!("region=us-east-1/accountId=111122223333/eventDay={day}/remit-")), "{path}");
    // What each came to.
    let told = |event: &Value| (event["action_id"].as_u64().unwrap(), event["status"].as_str().unwrap().to_owned());
    let count = |action: u64, status: &str| events.iter().filter(|event| told(event) == (action, status.to_owned())).count();
    assert_eq!((count(1, "Success"), count(2, "Failure"), count(2, "Held")), (4, 3, 1), "{events:#?}");
    // An exported record leads back to the proof of its entry, and of its outcome's.
    let allowed = events.iter().find(|event| event["action_id"] == 1).unwrap();
    let log = &allowed["unmapped"]["log"];
    for (index, leaf) in [(&log["index"], &log["leaf_hash"]), (&log["outcome_index"], &log["outcome_leaf_hash"])] {
        let (status, got) = remit.operator(&format!("GET /v1/decisions/{index}"), "");
        assert_eq!(status, 200, "{got}");
        let hash = |value: &Value| remit_tlog::Hash::from_base64(value.as_str().unwrap()).unwrap();
        let (proof, index) = (&got["proof"], index.as_u64().unwrap());
        let path: Vec<remit_tlog::Hash> = proof["path"].as_array().unwrap().iter().map(hash).collect();
        let (own, root) = (hash(&proof["leaf"]), hash(&proof["root"]));
        assert_eq!(json!(own.to_string()), *leaf);
        assert!(remit_tlog::verify_inclusion(&own, index, proof["size"].as_u64().unwrap(), &path, &root).is_ok(), "{proof}");
        assert!(proof["checkpoint"].as_str().unwrap().starts_with(log["origin"].as_str().unwrap()), "{proof}");
    }
    // Records are a chain: each names the entry before it.
    let (status, before) = remit.operator(&format!("GET /v1/decisions/{}", place_of(allowed) - 1), "");
    let leaf = remit_tlog::Hash::from_base64(before["proof"]["leaf"].as_str().unwrap()).unwrap().to_string();
    assert_eq!((status, &allowed["unmapped"]["log"]["previous_leaf_hash"]), (200, &json!(leaf)));
    // In CloudTrail's words.
    let records = export(place, &["--format", "cloudtrail"]);
    assert_eq!(records.len(), events.len());
    for record in &records {
        for key in ["eventVersion", "userIdentity", "eventTime", "eventSource", "eventName", "awsRegion", "sourceIPAddress"] {
            assert!(!record[key].is_null(), "{key}: {record}");
        }
        let denied = record["additionalEventData"]["verdict"] == "DENY";
        assert_eq!(record["errorCode"] == "AccessDenied", denied, "{record}");
        assert_eq!(record["eventID"].as_str().unwrap().split('-').map(str::len).collect::<Vec<_>>(), [8, 4, 4, 4, 12]);
    }
    let filters: [(&[&str], usize); 6] = [
        (&["--agent", "agent-2"], 1),
        (&["--agent", "agent-1", "--verdict", "allow"], 3),
        (&["--verdict", "deny", "--verdict", "hold"], 4),
        (&["--tool", "ledger___transfer", "--since", "1h"], 1),
        (&["--until", "1h"], 0),
        (&["--reason", "tool_not_listed"], 1),
    ];
    for (filters, count) in filters {
        assert_eq!(export(place, filters).len(), count, "{filters:?}");
    }
    // Nothing of arguments leaves; and the files alone say the same as with the gateway.
    let text = format!("{}{records:?}", std::fs::read_to_string(file).unwrap());
    assert!(!text.contains(CANARY), "{text}");
    assert_eq!(place.cli(&["export", "--format", "parquet"]).code, 3);
    let place = remit.stop();
    let again: Vec<Value> = export(&place, &[]);
    assert_eq!(again, events);
}

/// What is ended with the test.
struct Process(Child);

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn free() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

fn listens(port: u16) {
    until("it listens", || std::net::TcpStream::connect(("127.0.0.1", port)).is_ok());
}

/// The collector, on its port.
fn collector(folder: &Path, port: u16) -> Process {
    let (python, source) = python();
    let mut command = Command::new(python);
    command.arg(source.join("receive.py")).args([&port.to_string(), "first.pem", "first.key", "collected.jsonl", "the-token"]);
    let child = Process(command.current_dir(folder).stdin(Stdio::null()).stdout(Stdio::null()).spawn().unwrap());
    listens(port);
    child
}

/// rsyslog with TLS, on its port: it writes what it understood of each message.
fn rsyslog(folder: &Path, port: u16) -> Process {
    let path = |name: &str| folder.join(name).display().to_string();
    let text = format!(
        r#"global(workDirectory="{work}" maxMessageSize="64k" defaultNetstreamDriver="ossl" defaultNetstreamDriverCAFile="{ca}"
    defaultNetstreamDriverCertFile="{cert}" defaultNetstreamDriverKeyFile="{key}")
module(load="imtcp" streamDriver.name="ossl" streamDriver.mode="1" streamDriver.authMode="anon")
template(name="understood" type="string" string="%syslogfacility-text% %syslogseverity-text% %app-name% %msgid% %structured-data% %msg%\n")
ruleset(name="kept") {{ action(type="omfile" file="{out}" template="understood") }}
input(type="imtcp" address="127.0.0.1" port="{port}" ruleset="kept")
"#,
        work = folder.display(),
        ca = path("ca.pem"),
        cert = path("first.pem"),
        key = path("first.key"),
        out = path("syslog.txt"),
    );
    std::fs::write(folder.join("rsyslog.conf"), text).unwrap();
    let mut command = Command::new("rsyslogd");
    command.args(["-n", "-f", &path("rsyslog.conf"), "-i", &path("rsyslog.pid")]);
    let log = std::fs::File::options().create(true).append(true).open(folder.join("rsyslog.log")).unwrap();
    let child = Process(command.stdin(Stdio::null()).stdout(log.try_clone().unwrap()).stderr(log).spawn().unwrap());
    listens(port);
    child
}

/// What each destination has, by the indexes of the log.
struct Taken {
    https: BTreeSet<u64>,
    syslog: BTreeSet<u64>,
    s3: BTreeSet<u64>,
    lake: BTreeSet<u64>,
}

/// What is in the bucket; nothing while it isn't ready to say.
fn objects(server: &Seaweed, prefix: &str) -> Option<Vec<(String, Vec<u8>)>> {
    let options = Options {
        bucket: "evidence".to_owned(),
        region: "us-east-1".to_owned(),
        endpoint: Some(server.endpoint()),
        network: remit_model::Network::Loopback,
        credentials: CREDENTIALS.to_owned().into(),
        timeout: std::time::Duration::from_secs(20),
    };
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(async {
        let now = || std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs();
        let bucket = Bucket::new(&options, &remit_egress::tls_config()).unwrap();
        let mut found = Vec::new();
        for object in bucket.list(prefix, None, now()).await.ok()?.objects {
            let body = bucket.get(&object.key, None, 64 * 1024 * 1024, now()).await.ok()??;
            found.push((object.key, body.to_vec()));
        }
        Some(found)
    })
}

fn taken(folder: &Path, server: &Seaweed) -> Taken {
    // A line that is still being written isn't one yet.
    let read = |name: &str| {
        let text = std::fs::read_to_string(folder.join(name)).unwrap_or_default();
        text.rsplit_once('\n').map(|(whole, _)| format!("{whole}\n")).unwrap_or_default()
    };
    let https = lines(&read("collected.jsonl")).iter().map(place_of).collect();
    let messages = read("syslog.txt");
    let syslog = messages.lines().map(|line| {
        // What rsyslog took for facility, severity, application, message id and structured data, and then the event.
        let (head, event) = line.split_once("] ").unwrap_or_else(|| panic!("{line}"));
        let event: Value = serde_json::from_str(event.trim_start()).unwrap_or_else(|error| panic!("{error}: {line}"));
        let (index, verdict) = (place_of(&event), event["unmapped"]["remit"]["verdict"].as_str().unwrap().to_owned());
        let severity = if verdict == "DENY" {
            "warning"
        } else if verdict == "HOLD" {
            "notice"
        } else {
            "info"
        };
        let wanted =
            format!("audit {severity} remit {verdict} [remit@32473 origin=\"remit/journal\" index=\"{index}\" leafHash=\"");
        assert!(head.starts_with(&wanted), "{head}");
        index
    });
    let unzipped = |bytes: Vec<u8>| {
        let mut text = String::new();
        flate2::read::GzDecoder::new(bytes.as_slice()).read_to_string(&mut text).unwrap();
        text
    };
    let s3 = objects(server, "lines/").unwrap_or_default().into_iter().flat_map(|(_, body)| lines(&unzipped(body)));
    let s3 = s3.map(|record| record["additionalEventData"]["entryIndex"].as_u64().unwrap()).collect();
    let mut lake = BTreeSet::new();
    for (number, (key, body)) in objects(server, "ext/").unwrap_or_default().into_iter().enumerate() {
        assert!(key.starts_with("ext/remit/region=us-east-1/accountId=111122223333/eventDay="), "{key}");
        let file = folder.join(format!("object-{number}.parquet"));
        std::fs::write(&file, body).unwrap();
        lake.extend(lines(&check(&["lake", file.to_str().unwrap()])).iter().map(place_of));
    }
    Taken { https, syslog: syslog.collect(), s3, lake }
}

fn until_taken(remit: &Remit, folder: &Path, server: &Seaweed) {
    let wanted = indexes(remit.place());
    until("every record is at every destination", || {
        let taken = taken(folder, server);
        [&taken.https, &taken.syslog, &taken.s3, &taken.lake].iter().all(|found| wanted.is_subset(found))
    });
}

fn status(place: &Place) -> Vec<Value> {
    let said = place.cli(&["export", "status", "--json"]);
    assert_eq!(said.code, 0, "{said:?}");
    serde_json::from_str::<Value>(&said.out).unwrap()["deliveries"].as_array().unwrap().clone()
}

#[test]
fn deliveries_lose_nothing_while_destinations_and_the_gateway_go_away_and_come_back() {
    let place = Place::new();
    let folder = place.root().to_owned();
    certificates(&folder);
    let mut bucket = Seaweed::start();
    bucket.make("evidence", false);
    let (https, syslog) = (free(), free());
    let s3 = |prefix: &str| json!({"bucket": "evidence", "region": "us-east-1", "prefix": prefix, "endpoint": bucket.endpoint(), "network": "loopback", "credentials": {"secret": "bucket"}});
    let deliveries = json!([
        {"name": "siem", "https": {"url": format!("https://127.0.0.1:{https}/events"), "network": "loopback", "bearer": {"secret": "siem"}}},
        {"name": "soc", "syslog": {"address": format!("127.0.0.1:{syslog}"), "network": "loopback"}},
        {"name": "trail", "s3": s3("lines/"), "format": "cloudtrail", "gather_secs": 1},
        {"name": "lake", "s3": s3("ext/remit/"), "format": "parquet", "gather_secs": 1},
    ]);
    place.write(&whole(&deliveries));
    for (name, secret) in [("siem", "the-token"), ("bucket", CREDENTIALS)] {
        assert_eq!(place.cli_with(&["secret", "set", name], Some(secret)).code, 0);
    }
    let ca = folder.join("ca.pem").display().to_string();
    let options = ["--ca", ca.as_str()];
    let receivers = (collector(&folder, https), rsyslog(&folder, syslog));
    let remit = up(place, &options);
    calls(&remit);
    until_taken(&remit, &folder, &bucket);
    for one in status(remit.place()) {
        assert!(one["trouble"].is_null() && one["records"].as_u64().unwrap() >= 8, "{one}");
    }
    // All destinations are away: calls go on, and each delivery says what is wrong, and no secret.
    drop(receivers);
    bucket.stop();
    calls(&remit);
    until("each has trouble", || {
        status(remit.place()).iter().all(|one| one["trouble"]["tries"].as_u64().is_some_and(|tries| tries > 1))
    });
    let shown = status(remit.place());
    assert!(shown.iter().all(|one| one["behind"].as_u64().unwrap() > 0), "{shown:?}");
    assert!(!format!("{shown:?}").contains("the-token") && !format!("{shown:?}").contains("a-secret-of-the-test"), "{shown:?}");
    let metrics = crate::client::send(remit.control, "GET /metrics", &[], b"").is(200);
    assert!(
        metrics.contains("remit_delivery_behind{delivery=\"lake\"}")
            && !metrics.contains("remit_delivery_failures_total{delivery=\"siem\"} 0"),
        "{metrics}"
    );
    // The gateway is killed, starts again, and goes on deciding.
    let remit = up(remit.kill(), &options);
    calls(&remit);
    bucket.start_again();
    let _receivers = (collector(&folder, https), rsyslog(&folder, syslog));
    calls(&remit);
    until_taken(&remit, &folder, &bucket);
    until("all trouble is over", || status(remit.place()).iter().all(|one| one["trouble"].is_null()));
    // In order, and what was delivered is what an export says.
    let place = remit.stop();
    let collected = lines(&std::fs::read_to_string(folder.join("collected.jsonl")).unwrap());
    let exported: Vec<Value> = export(&place, &[]);
    for event in &exported {
        assert!(collected.contains(event), "{event}");
    }
    assert!(!format!("{collected:?}").contains(CANARY));
}
