//! Remit itself: the binary with a configuration and a data directory of its own, ended with the test.

use std::io::{BufRead as _, BufReader, Write as _};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Condvar, Mutex};
use std::time::Instant;

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::client::{Client, DEADLINE, send};

pub(crate) const ACCOUNT: &str = "111122223333";

/// A configuration: for each server a space of its name with all its tools, and two agents that may do everything there.
pub(crate) fn config(servers: &[Value]) -> Value {
    let names: Vec<&str> = servers.iter().map(|server| server["name"].as_str().unwrap()).collect();
    let agents = ["agent-1", "agent-2"];
    let space = |name: &&str| {
        json!({"id": name, "region": "us-east-1", "agents": agents, "mandate": "DESTRUCTIVE",
               "servers": [{"server": name, "tools": "all", "prompts": true, "resources": true}]})
    };
    let agent = |id: &&str| json!({"id": id, "owner": "it@example.com", "credentials": ["client_secret"]});
    let rows = agents.iter().flat_map(|agent| {
        names.iter().map(move |name| json!({"agent": agent, "tool": format!("{name}___*"), "max_risk": "critical"}))
    });
    json!({
        "accounts": [{"id": ACCOUNT, "name": "it"}],
        "servers": servers,
        "spaces": names.iter().map(space).collect::<Vec<_>>(),
        "agents": agents.iter().map(agent).collect::<Vec<_>>(),
        "tool_policies": rows.collect::<Vec<_>>(),
    })
}

/// Waits until something is so.
pub(crate) fn until(what: &str, mut is_so: impl FnMut() -> bool) {
    let started = Instant::now();
    while !is_so() {
        assert!(started.elapsed() < DEADLINE, "{what}: not in time");
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
}

/// Whether the files below a directory hold a text.
pub(crate) fn holds(dir: &Path, text: &str) -> bool {
    std::fs::read_dir(dir).unwrap().any(|file| {
        let path = file.unwrap().path();
        if path.is_dir() {
            holds(&path, text)
        } else {
            std::fs::read(path).unwrap().windows(text.len()).any(|w| w == text.as_bytes())
        }
    })
}

/// What a command printed and how it ended.
#[derive(Debug)]
pub(crate) struct Said {
    pub(crate) code: i32,
    pub(crate) out: String,
    pub(crate) err: String,
}

/// Runs a command of Remit.
pub(crate) fn remit(args: &[&str], input: Option<&str>) -> Said {
    let mut command = Command::new(env!("CARGO_BIN_EXE_remit"));
    command.args(args).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    let mut stdin = child.stdin.take().unwrap();
    if let Some(input) = input {
        // What is refused is refused before anything is read.
        let _ = stdin.write_all(input.as_bytes());
    }
    drop(stdin);
    let done = child.wait_with_output().unwrap();
    Said {
        code: done.status.code().unwrap_or(-1),
        out: String::from_utf8(done.stdout).unwrap(),
        err: String::from_utf8(done.stderr).unwrap(),
    }
}

/// Sends a signal to a process.
pub(crate) fn signal(name: &str, pid: u32) {
    assert!(Command::new("kill").args([format!("-{name}"), pid.to_string()]).status().unwrap().success());
}

/// Where a gateway keeps its files; they go when this goes.
pub(crate) struct Place {
    dir: TempDir,
}

impl Place {
    pub(crate) fn new() -> Self {
        Self::within(&std::env::temp_dir())
    }

    /// Within a directory.
    pub(crate) fn within(dir: &Path) -> Self {
        let place = Self { dir: TempDir::new_in(dir).unwrap() };
        std::fs::create_dir(place.config()).unwrap();
        place
    }

    pub(crate) fn root(&self) -> &Path {
        self.dir.path()
    }

    pub(crate) fn config(&self) -> PathBuf {
        self.root().join("config")
    }

    pub(crate) fn data(&self) -> PathBuf {
        self.root().join("data")
    }

    /// Writes the configuration in one step.
    pub(crate) fn write(&self, config: &Value) {
        self.write_text(&config.to_string());
    }

    pub(crate) fn write_text(&self, text: &str) {
        let draft = self.root().join("draft");
        std::fs::write(&draft, text).unwrap();
        std::fs::rename(&draft, self.config().join("it.json")).unwrap();
    }

    pub(crate) fn cli(&self, args: &[&str]) -> Said {
        self.cli_with(args, None)
    }

    /// Runs a command on the data directory.
    pub(crate) fn cli_with(&self, args: &[&str], input: Option<&str>) -> Said {
        let data = self.data();
        let mut all = args.to_vec();
        all.extend(["--data", data.to_str().unwrap()]);
        remit(&all, input)
    }

    /// Every entry of the journal.
    pub(crate) fn log(&self) -> Vec<Value> {
        let said = self.cli(&["log", "--json"]);
        assert_eq!(said.code, 0, "{said:?}");
        said.out.lines().map(|line| crate::client::json(line)["entry"].clone()).collect()
    }

    /// Entries of one type.
    pub(crate) fn log_of(&self, kind: &str) -> Vec<Value> {
        self.log().into_iter().filter(|entry| entry["type"] == kind).collect()
    }

    /// Proves the journal; it must be whole.
    pub(crate) fn verify(&self) -> Value {
        let said = self.cli(&["verify", "--json"]);
        let proof = crate::client::json(said.out.lines().last().unwrap_or_else(|| panic!("{said:?}")));
        assert_eq!(said.code, 0, "{proof}");
        assert_eq!(proof["allowed"], proof["outcomes"], "{proof}");
        proof
    }
}

/// A gateway that is up.
pub(crate) struct Remit {
    pub(crate) place: Option<Place>,
    pub(crate) ready: Value,
    pub(crate) addr: SocketAddr,
    pub(crate) control: SocketAddr,
    child: Child,
    errors: Arc<(Mutex<String>, Condvar)>,
}

impl Remit {
    /// Starts with a configuration.
    pub(crate) fn up(config: &Value) -> Self {
        let place = Place::new();
        place.write(config);
        Self::up_at(place, &[])
    }

    /// Starts where a configuration is already, with further options.
    pub(crate) fn up_at(place: Place, options: &[&str]) -> Self {
        let mut command = Command::new(env!("CARGO_BIN_EXE_remit"));
        command.args(["up", "--json", "--port", "0", "--control-port", "0", "--config"]).arg(place.config());
        command.arg("--data").arg(place.data()).args(options).env("REMIT_TEST_CANARY", "of-the-gateway");
        let mut child = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let errors = Arc::new((Mutex::new(String::new()), Condvar::new()));
        let (stderr, kept) = (child.stderr.take().unwrap(), Arc::clone(&errors));
        std::thread::spawn(move || {
            for line in BufReader::new(stderr).lines().map_while(Result::ok) {
                let mut text = kept.0.lock().unwrap();
                text.push_str(&line);
                text.push('\n');
                kept.1.notify_all();
            }
        });
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let ready: Value =
            serde_json::from_str(&line).unwrap_or_else(|_| panic!("not ready: {line:?} {}", errors.0.lock().unwrap()));
        let addr = |key: &str| ready[key].as_str().unwrap().split_once("://").unwrap().1.parse().unwrap();
        Self { addr: addr("gateway"), control: addr("control"), ready, place: Some(place), child, errors }
    }

    pub(crate) fn place(&self) -> &Place {
        self.place.as_ref().unwrap()
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    pub(crate) fn url(&self, space: &str) -> String {
        self.ready["spaces"][space].as_str().unwrap().to_owned()
    }

    /// An access token.
    pub(crate) fn token(&self, agent: &str, space: &str) -> String {
        self.token_scoped(agent, space, None)
    }

    pub(crate) fn token_scoped(&self, agent: &str, space: &str, scope: Option<&str>) -> String {
        let secret = std::fs::read_to_string(self.place().data().join(format!("agents/{agent}.secret"))).unwrap();
        let resource = self.url(space).replace(':', "%3A").replace('/', "%2F");
        let scope = scope.map(|scope| format!("&scope={}", scope.replace(' ', "+").replace(':', "%3A"))).unwrap_or_default();
        let form =
            format!("grant_type=client_credentials&client_id={agent}&client_secret={}&resource={resource}{scope}", secret.trim());
        let headers = [("content-type", "application/x-www-form-urlencoded")];
        let path = self.ready["token_endpoint"].as_str().unwrap().splitn(4, '/').nth(3).unwrap().to_owned();
        let answer = send(self.addr, &format!("POST /{path}"), &headers, form.as_bytes()).message();
        answer["access_token"].as_str().unwrap_or_else(|| panic!("no token: {answer}")).to_owned()
    }

    /// An agent in a space.
    pub(crate) fn client(&self, agent: &str, space: &str) -> Client {
        Client {
            addr: self.addr,
            path: format!("/spaces/{space}/mcp"),
            token: self.token(agent, space),
            capabilities: "{}".to_owned(),
            meta: String::new(),
        }
    }

    /// Asks the operator's interface.
    pub(crate) fn operator(&self, head: &str, body: &str) -> (u16, Value) {
        let token = std::fs::read_to_string(self.place().data().join("operator.token")).unwrap();
        let token = format!("Bearer {}", token.trim());
        let mut answer =
            send(self.control, head, &[("authorization", &token), ("content-type", "application/json")], body.as_bytes());
        (answer.status, answer.message())
    }

    pub(crate) fn status(&self) -> Value {
        self.operator("GET /v1/status", "").1
    }

    /// Waits until a server stands as it should.
    pub(crate) fn until_server(&self, name: &str, status: &str) {
        until(&format!("{name} {status}"), || {
            self.status()["servers"]
                .as_array()
                .unwrap()
                .iter()
                .any(|server| server["server"].as_str().unwrap().ends_with(&format!("/{name}")) && server["status"] == status)
        });
    }

    /// The pin of a tool of a server as calls are decided by it, which is a moment after it has become known.
    pub(crate) fn pin(&self, server: &str, tool: &str) -> String {
        let (status, exposed) = (self.status(), format!("{server}___{tool}"));
        let spaces = status["spaces"].as_array().unwrap().iter();
        let tool = spaces.flat_map(|space| space["tools"].as_array().unwrap()).find(|tool| tool["tool"] == exposed);
        tool.map(|tool| tool["pin"].as_str().unwrap().to_owned()).unwrap_or_default()
    }

    /// Puts another configuration into effect.
    pub(crate) fn configure(&self, config: &Value) {
        self.place().write(config);
        let (status, said) = self.operator("POST /v1/reload", "");
        assert_eq!(status, 200, "{said}");
    }

    /// Waits until something was said on standard error.
    pub(crate) fn until_said(&self, text: &str) {
        let (said, _) =
            self.errors.1.wait_timeout_while(self.errors.0.lock().unwrap(), DEADLINE, |said| !said.contains(text)).unwrap();
        assert!(said.contains(text), "{text:?} was not said: {said}");
    }

    /// What was said on standard error so far.
    pub(crate) fn said(&self) -> String {
        self.errors.0.lock().unwrap().clone()
    }

    /// Waits for the end; answers the exit code.
    pub(crate) fn wait(mut self) -> (Place, Option<i32>) {
        let code = self.child.wait().unwrap().code();
        (self.place.take().unwrap(), code)
    }

    /// Stops in good order and proves that every decision has its outcome.
    pub(crate) fn stop(self) -> Place {
        signal("TERM", self.pid());
        let (place, code) = self.wait();
        assert_eq!(code, Some(0));
        place.verify();
        place
    }

    /// Ends at once, as a crash would.
    pub(crate) fn kill(self) -> Place {
        signal("KILL", self.pid());
        self.wait().0
    }
}

impl Drop for Remit {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        if std::thread::panicking() {
            eprintln!("remit said: {}", self.errors.0.lock().unwrap());
        }
    }
}
