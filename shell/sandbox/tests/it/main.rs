//! A hostile program in a sandbox, each attempt beside a control without one; and what a sandbox grants and refuses.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, clippy::print_stdout, reason = "tests")]
#![allow(missing_docs, reason = "tests")]

mod attempts;
mod profiles;

use std::fs;
use std::io::{BufRead as _, BufReader};
use std::net::{TcpListener, UdpSocket};
use std::os::unix::net::UnixListener;
use std::path::PathBuf;
use std::process::{Child, ChildStdout, Command, Output, Stdio};

use remit_model::{SandboxLimits, SandboxProfile};
use remit_sandbox::Report;
use tempfile::TempDir;

pub(crate) const LAUNCHER: &str = env!("CARGO_BIN_EXE_remit-sandbox");
pub(crate) const HOSTILE: &str = env!("CARGO_BIN_EXE_hostile");

/// Real things to attack.
pub(crate) struct World {
    root: TempDir,
    tcp: TcpListener,
    udp: UdpSocket,
    _unix: UnixListener,
    victim: Child,
}

impl World {
    pub(crate) fn new() -> Self {
        let root = TempDir::new().unwrap();
        for folder in ["data", "outside", "granted", "readable"] {
            fs::create_dir(root.path().join(folder)).unwrap();
        }
        fs::write(root.path().join("data/master.key"), "canary: the master key").unwrap();
        for file in ["outside/file", "outside/delete", "outside/rename", "readable/file"] {
            fs::write(root.path().join(file), "of somebody else").unwrap();
        }
        let unix = UnixListener::bind(root.path().join("outside/socket")).unwrap();
        let mut victim = Command::new(HOSTILE)
            .args(["victim", "key=-", "outside=-", "granted=-", "victim=-"])
            .env("PASSWORD", "canary")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        line(victim.stdout.take().unwrap());
        let (tcp, udp) = (TcpListener::bind("127.0.0.1:0").unwrap(), UdpSocket::bind("127.0.0.1:0").unwrap());
        Self { root, tcp, udp, _unix: unix, victim }
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.root.path().join(name)
    }

    /// What the hostile program is told of the world.
    pub(crate) fn told(&self) -> Vec<String> {
        let of = |key: &str, path: &str| format!("{key}={}", self.path(path).display());
        vec![
            of("key", "data/master.key"),
            of("outside", "outside"),
            of("granted", "granted"),
            of("readable", "readable"),
            of("unix", "outside/socket"),
            format!("victim={}", self.victim.id()),
            format!("tcp={}", self.tcp.local_addr().unwrap()),
            format!("udp={}", self.udp.local_addr().unwrap()),
        ]
    }

    /// The profile that the attempts are made under: one folder to write, one to read, and small limits.
    pub(crate) fn profile(&self) -> SandboxProfile {
        SandboxProfile {
            name: "hostile".to_owned(),
            read: vec![self.path("readable").display().to_string()],
            write: vec![self.path("granted").display().to_string()],
            limits: SandboxLimits {
                memory_mib: 256,
                processes_max: 64,
                open_files_max: 64,
                file_mib_max: 10,
                tmp_mib: 16,
                cpu_secs: Some(1),
            },
            ..SandboxProfile::default()
        }
    }

    /// A command of these words, with a descriptor and a variable left open that it shouldn't have.
    pub(crate) fn command(&self, words: &[String]) -> Command {
        let mut command = Command::new("/bin/sh");
        command.args(["-c", "exec 9<\"$0\"; exec \"$@\""]).arg(self.path("data/master.key")).args(words);
        command.env("REMIT_SECRET", "canary").stdin(Stdio::null());
        command
    }
}

impl Drop for World {
    fn drop(&mut self) {
        drop(self.victim.stdin.take());
        let _ = self.victim.wait();
    }
}

/// The words of an attempt.
pub(crate) fn attempt(world: &World, name: &str) -> Vec<String> {
    [HOSTILE.to_owned(), name.to_owned()].into_iter().chain(world.told()).collect()
}

/// The words that run others under a profile.
pub(crate) fn under(world: &World, profile: &SandboxProfile, words: &[String]) -> Vec<String> {
    let (profile, data) = (serde_json::to_string(profile).unwrap(), world.path("data").display().to_string());
    [LAUNCHER.to_owned(), "run".to_owned(), profile, data].into_iter().chain(words.iter().cloned()).collect()
}

/// What the launcher said held.
pub(crate) fn report(output: &Output) -> Report {
    let said = String::from_utf8_lossy(&output.stderr);
    let line = said.lines().find(|line| line.starts_with("{\"held\"")).unwrap_or_else(|| panic!("no report: {output:?}"));
    serde_json::from_str(line).unwrap()
}

/// Waits for the first line.
pub(crate) fn line(from: ChildStdout) -> String {
    let mut line = String::new();
    BufReader::new(from).read_line(&mut line).unwrap();
    line.trim().to_owned()
}

/// A place without namespaces: in a user namespace that allows no further one, without capabilities. `None` where not even that can be had.
pub(crate) fn without_namespaces() -> Option<Vec<String>> {
    let script = "echo 0 > /proc/sys/user/max_user_namespaces && exec setpriv --bounding-set=-all --inh-caps=-all \"$@\"";
    let words: Vec<String> = ["unshare", "-Ur", "sh", "-c", script, "sh"].map(str::to_owned).to_vec();
    let tried = Command::new(&words[0]).args(&words[1..]).arg("true").output();
    tried.is_ok_and(|output| output.status.success()).then_some(words)
}

/// A program by its path.
pub(crate) fn words(all: &[&str]) -> Vec<String> {
    all.iter().map(|word| (*word).to_owned()).collect()
}
