//! Several nodes that share a bucket: one is active, the others stand by, and whatever happens to it, one of them goes on where it was.

use std::io::{BufRead as _, BufReader};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Condvar, Mutex};

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::client::{Client, DEADLINE, send};
use crate::gateway::{config, holds, remit, signal, until};
use crate::seaweed::{CREDENTIALS, Seaweed};
use remit_bucket::Bucket;

const MASTER: &str = "QUJDREVGR0hJSktMTU5PUFFSU1RVVldYWVphYmNkZWY=";
const READ: &str = "helpdesk___get_ticket";
const TICKET: &str = r#"{"ticket_id":"TCK-1001"}"#;
const CLOSE: &str = "helpdesk___close_ticket";
const DONE: &str = r#"{"ticket_id":"TCK-1001","resolution":"done"}"#;

/// What a process has said.
#[derive(Default)]
struct Said(Mutex<String>, Condvar);

impl Said {
    fn follow(self: &Arc<Self>, stream: impl std::io::Read + Send + 'static) {
        let said = Arc::clone(self);
        std::thread::spawn(move || {
            for line in BufReader::new(stream).lines().map_while(Result::ok) {
                let mut text = said.0.lock().unwrap();
                text.push_str(&line);
                text.push('\n');
                said.1.notify_all();
            }
        });
    }

    fn until(&self, wanted: &str) -> String {
        let (said, _) = self.1.wait_timeout_while(self.0.lock().unwrap(), DEADLINE, |said| !said.contains(wanted)).unwrap();
        let said = said.clone();
        assert!(said.contains(wanted), "{wanted:?} was not said: {said}");
        said
    }

    fn has(&self, wanted: &str) -> bool {
        self.0.lock().unwrap().contains(wanted)
    }
}

/// What the nodes have in common.
struct Cluster {
    bucket: Seaweed,
    dir: TempDir,
    address: String,
}

struct Node {
    child: Child,
    address: String,
    data: PathBuf,
    addr: SocketAddr,
    control: SocketAddr,
    out: Arc<Said>,
    errors: Arc<Said>,
}

impl Cluster {
    fn new() -> Self {
        let bucket = Seaweed::start();
        bucket.make("cluster", false);
        let cluster = Self { bucket, dir: TempDir::new().unwrap(), address: "http://gateway.example:7480".to_owned() };
        let mut all = config(&[json!({"name": "helpdesk", "command": ["remit", "sample-server", "helpdesk"]})]);
        all["approval_rules"] = json!([{"id": "closing", "hold": {"tools": [CLOSE]}, "ask": {"wait_secs": 1}}]);
        all["approvers"] = json!([{"id": "ann"}]);
        std::fs::create_dir(cluster.dir.path().join("config")).unwrap();
        std::fs::write(cluster.dir.path().join("config/it.json"), all.to_string()).unwrap();
        cluster
    }

    fn command(&self, name: &str) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_remit"));
        let (id, secret) = CREDENTIALS.split_once(':').unwrap();
        command.args(["up", "--json", "--port", "0", "--control-port", "0"]);
        command.args([
            "--cluster",
            "s3://cluster/remit",
            "--cluster-endpoint",
            &self.bucket.endpoint(),
            "--cluster-lease-secs",
            "12",
        ]);
        command.args(["--address", &self.address]).arg("--config").arg(self.dir.path().join("config"));
        command.arg("--data").arg(self.dir.path().join(name));
        command.env("AWS_ACCESS_KEY_ID", id).env("AWS_SECRET_ACCESS_KEY", secret).env("REMIT_MASTER_KEY", MASTER);
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        command
    }

    fn start(&self, name: &str) -> Node {
        self.start_with(name, &[])
    }

    fn start_with(&self, name: &str, options: &[&str]) -> Node {
        self.started(name, self.command(name).args(options))
    }

    /// A Remit that shares nothing.
    fn alone(&self, name: &str) -> Node {
        let free = || std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let (addr, control) = (free(), free());
        let mut command = Command::new(env!("CARGO_BIN_EXE_remit"));
        command.args(["up", "--json", "--port", &addr.port().to_string(), "--control-port", &control.port().to_string()]);
        command.args(["--address", &self.address]).arg("--config").arg(self.dir.path().join("config"));
        command.arg("--data").arg(self.dir.path().join(name)).env("REMIT_MASTER_KEY", MASTER);
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let (child, out, errors) = spawned(&mut command);
        Node { child, address: self.address.clone(), data: self.dir.path().join(name), addr, control, out, errors }
    }

    /// Asks the bucket something.
    fn with_bucket<T>(&self, ask: impl AsyncFnOnce(&Bucket, u64) -> T) -> T {
        let options = remit_bucket::Options {
            bucket: "cluster".to_owned(),
            region: "us-east-1".to_owned(),
            endpoint: Some(self.bucket.endpoint()),
            network: remit_model::Network::Loopback,
            credentials: CREDENTIALS.to_owned().into(),
            timeout: std::time::Duration::from_secs(20),
        };
        let now_secs = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs();
        tokio::runtime::Runtime::new().unwrap().block_on(async {
            let bucket = Bucket::new(&options, &remit_egress::tls_config()).unwrap();
            ask(&bucket, now_secs).await
        })
    }

    fn started(&self, name: &str, command: &mut Command) -> Node {
        let (child, out, errors) = spawned(command);
        let said = errors.until("for other nodes at");
        let after = |what: &str| said.split_once(what).unwrap().1.split(',').next().unwrap().parse::<SocketAddr>().unwrap();
        let (addr, control) = (after("this node is at "), after("for operators at "));
        Node { child, address: self.address.clone(), data: self.dir.path().join(name), addr, control, out, errors }
    }
}

fn spawned(command: &mut Command) -> (Child, Arc<Said>, Arc<Said>) {
    let mut child = command.spawn().unwrap();
    let (out, errors) = (Arc::new(Said::default()), Arc::new(Said::default()));
    out.follow(child.stdout.take().unwrap());
    errors.follow(child.stderr.take().unwrap());
    (child, out, errors)
}

impl Node {
    fn active(self) -> Self {
        self.becomes_active();
        self
    }

    fn becomes_active(&self) {
        self.errors.until("this node is active");
        self.out.until("\"gateway\"");
        self.until_ready();
    }

    fn standing_by(self) -> Self {
        self.errors.until("this node stands by");
        self
    }

    /// An agent that asks this node, whoever decides.
    fn client(&self, secret: &str) -> Client {
        let resource = format!("{}/spaces/helpdesk/mcp", self.address).replace(':', "%3A").replace('/', "%2F");
        let form = format!("grant_type=client_credentials&client_id=agent-1&client_secret={secret}&resource={resource}");
        let headers = [("content-type", "application/x-www-form-urlencoded")];
        let answer = send(self.addr, "POST /oauth/token", &headers, form.as_bytes()).message();
        let token = answer["access_token"].as_str().unwrap_or_else(|| panic!("no token: {answer}")).to_owned();
        self.client_with(&token)
    }

    fn client_with(&self, token: &str) -> Client {
        Client {
            addr: self.addr,
            path: "/spaces/helpdesk/mcp".to_owned(),
            token: token.to_owned(),
            capabilities: "{}".to_owned(),
            meta: String::new(),
        }
    }

    /// The secret of the agent, which the node keeps that made it.
    fn secret(&self) -> String {
        std::fs::read_to_string(self.data.join("agents/agent-1.secret")).unwrap().trim().to_owned()
    }

    fn until_ready(&self) {
        until("the server is ready", || {
            let status = self.operator("GET /v1/status", &json!({})).1;
            status["servers"].as_array().is_some_and(|all| all.iter().all(|server| server["status"] == "ready"))
        });
    }

    fn operator(&self, head: &str, body: &Value) -> (u16, Value) {
        let token = std::fs::read_to_string(self.data.join("operator.token")).unwrap();
        let token = format!("Bearer {}", token.trim());
        let headers = [("authorization", token.as_str()), ("content-type", "application/json")];
        let mut answer = send(self.control, head, &headers, body.to_string().as_bytes());
        (answer.status, answer.message())
    }

    fn cli(&self, args: &[&str]) -> crate::gateway::Said {
        let data = self.data.to_str().unwrap().to_owned();
        remit(&[args, &["--data", &data]].concat(), None)
    }

    fn kill(mut self) -> PathBuf {
        signal("KILL", self.child.id());
        self.child.wait().unwrap();
        self.data.clone()
    }

    fn stop(mut self) -> PathBuf {
        signal("TERM", self.child.id());
        let code = self.child.wait().unwrap().code();
        assert_eq!(code, Some(0), "{}", self.errors.0.lock().unwrap());
        self.data.clone()
    }
}

/// How nodes begin that may not.
fn refused(cluster: &Cluster, name: &str, change: impl FnOnce(&mut Command)) -> String {
    let mut command = cluster.command(name);
    change(&mut command);
    let done = command.output().unwrap();
    assert_ne!(done.status.code(), Some(0));
    String::from_utf8(done.stderr).unwrap()
}

#[test]
fn a_node_that_does_not_belong_to_the_cluster_does_not_begin() {
    let cluster = Cluster::new();
    let one = cluster.start("one").active();
    let other_key = |command: &mut Command| {
        command.env("REMIT_MASTER_KEY", "MTIzNDU2Nzg5MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTI=");
    };
    let said = refused(&cluster, "two", other_key);
    assert!(said.contains("is not sealed under this cluster's key"), "{said}");
    let said = refused(&cluster, "three", |command| {
        command.env_remove("REMIT_MASTER_KEY");
    });
    assert!(said.contains("set REMIT_MASTER_KEY"), "{said}");
    let said = refused(&cluster, "four", |command| {
        command.env("AWS_SECRET_ACCESS_KEY", "another");
    });
    assert!(said.contains("403 SignatureDoesNotMatch"), "{said}");
    let said = refused(&cluster, "one", |_| {});
    assert!(said.contains("another Remit runs on"), "{said}");
    let said = refused(&cluster, "six", |command| {
        command.args(["--cluster-listen", "0.0.0.0:0"]);
    });
    assert!(said.contains("--cluster-address"), "{said}");
    // A directory of its own is no node's, nor a node's one's own.
    std::fs::create_dir_all(cluster.dir.path().join("five")).unwrap();
    std::fs::write(cluster.dir.path().join("five/remit.db"), "").unwrap();
    let said = refused(&cluster, "five", |_| {});
    assert!(said.contains("begins with an empty directory"), "{said}");
    assert_eq!(std::fs::read(cluster.dir.path().join("five/remit.db")).unwrap(), b"", "nothing of it was touched");
    let data = one.stop();
    let alone = remit(&["up", "--data", data.to_str().unwrap(), "--port", "0"], None);
    assert!(alone.err.contains("start it with --cluster"), "{alone:?}");
    // What only the active node may write, nobody writes beside it.
    let mut secret = Command::new(env!("CARGO_BIN_EXE_remit"));
    secret.args(["agent-secret", "agent-1", "--data"]).arg(&data).env("REMIT_MASTER_KEY", MASTER);
    let said = String::from_utf8(secret.output().unwrap().stderr).unwrap();
    assert!(said.contains("only the active node writes"), "{said}");
}

#[test]
fn a_node_whose_bucket_is_away_decides_nothing_and_goes_on_when_it_is_back() {
    let mut cluster = Cluster::new();
    let mut one = cluster.start("one").active();
    let secret = one.secret();
    let agent = one.client(&secret);
    assert_eq!(came_to(&agent.call(READ, TICKET)), "ok");
    cluster.bucket.stop();
    // It ends by itself: what it can't share it doesn't do.
    assert_eq!(one.child.wait().unwrap().code(), Some(1));
    one.errors.until("this node is not active any more");
    let told = decisions(&journal(&one.data)).len();
    cluster.bucket.start_again();
    let again = cluster.start("one").active();
    assert_eq!(came_to(&again.client(&secret).call(READ, TICKET)), "ok");
    assert_eq!(decisions(&entries(&again.data)).len(), told + 1);
}

impl Drop for Node {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        if std::thread::panicking() {
            eprintln!("{} said: {}", self.data.display(), self.errors.0.lock().unwrap());
        }
    }
}

/// What a call came to: `ok`, `held`, or why it came to nothing.
fn came_to(answer: &Value) -> String {
    if answer.pointer("/result/_meta/remit~1approval").is_some() {
        return "held".to_owned();
    }
    if answer.get("result").is_some() {
        return "ok".to_owned();
    }
    answer.pointer("/error/data/reason").and_then(Value::as_str).map_or_else(|| answer.to_string(), str::to_owned)
}

/// The journal of a directory, entry by entry, after it was proved.
fn journal(data: &Path) -> Vec<Value> {
    let proved = remit(&["verify", "--json", "--data", data.to_str().unwrap()], None);
    assert_eq!(proved.code, 0, "{proved:?}");
    entries(data)
}

/// The same of a node that was killed while it stood by: it may have a decision, and not have been told yet how the call ended.
fn begun(data: &Path) -> Vec<Value> {
    let proved = remit(&["verify", "--json", "--data", data.to_str().unwrap()], None);
    let said: Value = serde_json::from_str(&proved.out).unwrap();
    let findings = said["findings"].as_array().unwrap();
    assert!(findings.iter().all(|found| found.as_str().unwrap().ends_with("has no outcome")), "{proved:?}");
    entries(data)
}

/// The same while it is written: calls may be under way.
fn entries(data: &Path) -> Vec<Value> {
    let data = data.to_str().unwrap();
    let said = remit(&["log", "--json", "--data", data], None);
    assert_eq!(said.code, 0, "{said:?}");
    said.out.lines().map(|line| serde_json::from_str::<Value>(line).unwrap()["entry"].clone()).collect()
}

fn decisions(entries: &[Value]) -> Vec<&str> {
    entries.iter().filter(|entry| entry["type"] == "decision").map(|entry| entry["id"].as_str().unwrap()).collect()
}

#[test]
fn when_the_active_node_is_killed_another_goes_on_with_all_that_it_had() {
    let cluster = Cluster::new();
    let one = cluster.start("one").active();
    let (two, three) = (cluster.start("two").standing_by(), cluster.start("three").standing_by());
    let secret = one.secret();
    // Whichever node is asked, the active one decides.
    let agents = [one.client(&secret), two.client(&secret), three.client(&secret)];
    for agent in &agents {
        assert_eq!(came_to(&agent.call(READ, TICKET)), "ok");
    }
    // What a node that stands by says of itself.
    let (status, said) = {
        let mut answer = send(two.control, "GET /readyz", &[], b"");
        (answer.status, answer.message())
    };
    assert_eq!((status, &said["title"]), (503, &json!("This node stands by")));
    // A kill switch is in effect on every node with the next call.
    let switched = one.cli(&["suspend", "agent", "agent-1", "--reason", "incident 7", "--by", "ana", "--json"]);
    assert_eq!(switched.code, 0, "{switched:?}");
    for agent in &agents {
        assert_eq!(came_to(&agent.call(READ, TICKET)), "suspended");
    }
    assert_eq!(one.cli(&["resume", "agent", "agent-1", "--reason", "over", "--by", "ana", "--json"]).code, 0);
    let server = ["suspend", "tool", "111122223333/helpdesk", "search_kb", "--reason", "incident 8", "--by", "ana", "--json"];
    assert_eq!(one.cli(&server).code, 0);
    // Secrets are the active node's to write.
    let set = |node: &Node| remit(&["secret", "set", "probe", "--data", node.data.to_str().unwrap()], Some("a value"));
    assert_eq!(set(&one).code, 0);
    let refused = set(&two);
    assert!(refused.code != 0 && refused.err.contains("set REMIT_MASTER_KEY"), "{refused:?}");
    assert!(!two.data.join("master.key").exists());
    // A call waits for a person.
    assert_eq!(came_to(&agents[1].call(CLOSE, DONE)), "held");
    let told = decisions(&entries(&one.data)).len();
    let token = agents[1].token.clone();
    drop(agents);
    let first = one.kill();

    let (next, other) = loop_until_active(two, three);
    next.becomes_active();
    // Tokens, switches, secrets and approvals are those of before, and each call on record is there.
    for node in [&next, &other] {
        assert_eq!(came_to(&node.client_with(&token).call(READ, TICKET)), "ok");
        assert_eq!(came_to(&node.client_with(&token).call("helpdesk___search_kb", r#"{"query":"printer"}"#)), "suspended");
    }
    assert_eq!(came_to(&next.client(&secret).call(READ, TICKET)), "ok");
    assert!(next.cli(&["secret", "list", "--json"]).out.contains("probe"));
    let waiting = next.cli(&["approvals", "--json"]);
    let waiting: Value = serde_json::from_str(waiting.out.lines().next().unwrap_or_else(|| panic!("{waiting:?}"))).unwrap();
    let agreed = next.cli(&["approvals", "approve", waiting["id"].as_str().unwrap(), "--by", "ann", "--json"]);
    assert_eq!(agreed.code, 0, "{agreed:?}");
    assert_eq!(came_to(&other.client_with(&token).call(CLOSE, DONE)), "ok");
    assert!(decisions(&entries(&next.data)).len() > told);

    // The node that was killed comes back, stands by, and has what was written without it.
    let again = cluster.start("one").standing_by();
    assert_eq!(came_to(&again.client_with(&token).call(READ, TICKET)), "ok");
    // Stopped in good order, the active one leaves its place at once, and nothing is lost.
    let second = next.stop();
    let (third, last) = loop_until_active(other, again);
    third.becomes_active();
    assert_eq!(came_to(&last.client_with(&token).call(READ, TICKET)), "ok");
    let (third, last) = (third.stop(), last.kill());
    // One log: whoever wrote less has the beginning of what the others have.
    let whole = journal(&third);
    let ids = decisions(&whole);
    assert_eq!(ids.iter().collect::<std::collections::BTreeSet<_>>().len(), ids.len());
    for (data, had) in [(&first, begun(&first)), (&second, journal(&second)), (&last, begun(&last))] {
        assert!(whole.starts_with(&had), "{}", data.display());
    }
}

#[test]
fn a_node_that_was_stopped_for_longer_than_its_lease_decides_nothing_more() {
    let cluster = Cluster::new();
    let mut one = cluster.start("one").active();
    let two = cluster.start("two").standing_by();
    let secret = one.secret();
    let (through_one, through_two) = (one.client(&secret), two.client(&secret));
    assert_eq!(came_to(&through_two.call(READ, TICKET)), "ok");
    signal("STOP", one.child.id());
    // It reaches the one that was stopped when it goes on.
    let waiting = std::thread::spawn(move || through_one.call(READ, TICKET));
    two.becomes_active();
    assert_eq!(came_to(&through_two.call(READ, TICKET)), "ok");
    signal("CONT", one.child.id());
    assert_eq!(one.child.wait().unwrap().code(), Some(1));
    // A connection that was cut has no answer.
    let told = waiting.join();
    assert!(told.as_ref().map_or(true, |answer| answer.get("result").is_none()), "{told:?}");
    let again = cluster.start("one").standing_by();
    assert_eq!(came_to(&again.client(&secret).call(READ, TICKET)), "ok");
    let (had, whole) = (begun(&again.kill()), journal(&two.stop()));
    assert!(whole.starts_with(&had));
    assert_eq!(decisions(&whole).len(), 3, "{whole:#?}");
}

/// The keys in the bucket that begin with something.
fn keys(cluster: &Cluster, prefix: &str) -> Vec<String> {
    cluster.with_bucket(async |bucket, now_secs| {
        let listed = bucket.list(prefix, None, now_secs).await.unwrap();
        listed.objects.into_iter().map(|object| object.key).collect()
    })
}

#[test]
fn a_remit_that_was_alone_becomes_the_first_node_with_all_that_it_had() {
    let cluster = Cluster::new();
    let mut alone = cluster.alone("one");
    alone.out.until("\"gateway\"");
    alone.until_ready();
    let secret = alone.secret();
    let agent = alone.client(&secret);
    for _ in 0..3 {
        assert_eq!(came_to(&agent.call(READ, TICKET)), "ok");
    }
    assert_eq!(came_to(&agent.call(CLOSE, DONE)), "held");
    let token = agent.token.clone();
    signal("TERM", alone.child.id());
    assert_eq!(alone.child.wait().unwrap().code(), Some(0));
    let before = journal(&alone.data);
    let one = cluster.start("one").active();
    let two = cluster.start("two").standing_by();
    assert_eq!(came_to(&two.client_with(&token).call(READ, TICKET)), "ok", "tokens of before are good");
    drop(one.kill());
    two.becomes_active();
    assert_eq!(came_to(&two.client(&secret).call(READ, TICKET)), "ok");
    let waiting = two.cli(&["approvals", "--json"]);
    assert_eq!(waiting.out.lines().count(), 1, "what waited waits: {waiting:?}");
    let after = journal(&two.stop());
    assert!(after.starts_with(&before) && decisions(&after).len() == decisions(&before).len() + 2);
}

#[test]
fn a_new_node_begins_with_a_base_when_the_log_was_cut() {
    let cluster = Cluster::new();
    let one = cluster.start_with("one", &["--cluster-base-batches", "10"]).active();
    let two = cluster.start("two").standing_by();
    let agent = one.client(&one.secret());
    for _ in 0..10 {
        assert_eq!(came_to(&agent.call(READ, TICKET)), "ok");
    }
    until("a base is saved", || !keys(&cluster, "remit/base/").is_empty());
    let base: u64 = keys(&cluster, "remit/base/").last().unwrap().strip_prefix("remit/base/").unwrap().parse().unwrap();
    // Nodes that stand by are past it.
    for _ in 0..3 {
        assert_eq!(came_to(&agent.call(READ, TICKET)), "ok");
    }
    until("the other node has it, too", || decisions(&entries(&two.data)).len() == 13);
    // What an hour does.
    let cut: Vec<String> =
        keys(&cluster, "remit/log/").into_iter().filter(|key| *key <= format!("remit/log/{base:020}")).collect();
    assert_eq!(cut.len() as u64, base);
    cluster.with_bucket(async |bucket, now_secs| {
        for key in &cut {
            bucket.delete(key, None, now_secs).await.unwrap();
        }
    });
    let three = cluster.start("three").standing_by();
    until("the new node has all of it", || {
        three.data.join("journal.vkey").exists() && decisions(&entries(&three.data)).len() == 13
    });
    drop((one.kill(), two.kill()));
    three.becomes_active();
    assert_eq!(came_to(&three.client_with(&agent.token).call(READ, TICKET)), "ok");
    assert_eq!(decisions(&journal(&three.stop())).len(), 14);
}

#[test]
fn a_person_who_is_forgotten_is_forgotten_by_nodes_that_stand_by() {
    let cluster = Cluster::new();
    let small = ["--journal-segment-kib", "32"];
    // A node that was alone, with calls of a year ago.
    crate::retention::past(&cluster.dir.path().join("one"));
    let one = cluster.start_with("one", &small).active();
    let two = cluster.start_with("two", &small).standing_by();
    let agent = one.client(&one.secret());
    for _ in 0..30 {
        assert_eq!(came_to(&agent.call(READ, TICKET)), "ok");
    }
    let names = |data: &Path, person: &str| holds(&data.join("journal"), person);
    until("the other node has it", || names(&two.data, "ann@example.com") && decisions(&entries(&two.data)).len() == 230);
    let erased = one.cli(&["retention", "erase", "--user", "ann@example.com", "--reason", "asked for", "--by", "ana", "--json"]);
    assert_eq!(erased.code, 0, "{erased:?}");
    assert!(!names(&one.data, "ann@example.com"));
    until("the other node forgets her", || !names(&two.data, "ann@example.com"));
    assert!(names(&two.data, "ben@example.com"));
    drop(one.kill());
    two.becomes_active();
    assert_eq!(came_to(&two.client_with(&agent.token).call(READ, TICKET)), "ok");
    journal(&two.stop());
}

/// One of two nodes becomes the active one; it is the first of what is answered.
fn loop_until_active(one: Node, two: Node) -> (Node, Node) {
    until("a node takes over", || one.errors.has("this node is active") || two.errors.has("this node is active"));
    if one.errors.has("this node is active") { (one, two) } else { (two, one) }
}
