//! The attempts, as one table.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::process::{Command, Stdio};
use std::sync::mpsc;
use std::time::Duration;

use remit_model::SandboxMechanism as M;
use remit_sandbox::Report;

use crate::{HOSTILE, LAUNCHER, World, attempt, line, report, under, without_namespaces, words};

/// What is tried, and which mechanisms stop it, any of them. Without any: it is stopped wherever anything is started at all.
const ATTEMPTS: &[(&str, &[M])] = &[
    ("reads Remit's master key", &[]),
    ("… by a path with dots", &[]),
    ("… through a link of its own", &[]),
    ("… through a hard link", &[]),
    ("… through /proc/self/root", &[]),
    ("… through /proc/1/root", &[]),
    ("… through another process's root", &[]),
    ("lists Remit's data directory", &[]),
    ("reads /etc/shadow", &[]),
    ("lists the home of root", &[]),
    ("lists /sys", &[]),
    ("reads another's environment", &[]),
    ("sees another process", &[M::Namespaces]),
    ("has Remit's environment", &[]),
    ("has a descriptor of Remit's", &[]),
    ("traces another process", &[]),
    ("traces a child", &[]),
    ("reads another's memory", &[]),
    ("opens another's /proc/…/mem", &[]),
    ("opens its parent's /proc/…/mem", &[]),
    ("signals another process", &[M::Namespaces, M::LandlockScopes]),
    ("attaches another's shared memory", &[]),
    ("connects to the machine's loopback", &[]),
    ("sends a datagram", &[]),
    ("listens on a port", &[]),
    ("connects to a socket in a file", &[]),
    ("connects to an abstract socket", &[]),
    ("opens a raw socket", &[]),
    ("opens a packet socket", &[]),
    ("opens a netlink socket", &[]),
    ("opens a socket of the crypto interface", &[]),
    ("opens a vsock socket", &[]),
    ("makes a socket of a kind that has no pairs", &[]),
    ("writes outside", &[]),
    ("overwrites a file outside", &[]),
    ("truncates a file outside", &[]),
    ("deletes a file outside", &[]),
    ("renames a file outside", &[]),
    ("makes a folder outside", &[]),
    ("changes a mode outside", &[]),
    ("changes the mode of the key", &[]),
    ("changes times outside", &[]),
    ("writes where it may only read", &[]),
    ("changes a mode where it may only read", &[]),
    ("runs a program that it wrote", &[]),
    ("… by the loader", &[M::Namespaces]),
    ("lends its rights to whoever runs its program", &[]),
    ("makes a device", &[]),
    ("mounts", &[]),
    ("makes a user namespace", &[]),
    ("… by clone", &[]),
    ("… by clone3", &[]),
    ("enters another's namespace", &[]),
    ("changes its root", &[]),
    ("names files by handles", &[]),
    ("loads BPF", &[]),
    ("counts the machine's events", &[]),
    ("uses the kernel's key rings", &[]),
    ("handles page faults", &[]),
    ("uses io_uring", &[]),
    ("loads a kernel module", &[]),
    ("boots another kernel", &[]),
    ("turns randomization off", &[]),
    ("types into a terminal", &[]),
    ("reads the kernel's log", &[]),
    ("names the host", &[]),
    ("changes a setting of the kernel", &[]),
    ("opens the kernel's emergency keys", &[]),
    ("becomes another user", &[]),
    ("gains rights by execution", &[]),
    ("has capabilities", &[]),
    ("fills memory", &[]),
    ("fills shared memory", &[]),
    ("fills memory files", &[]),
    ("fills the memory of a device", &[]),
    ("fills memory with semaphores", &[]),
    ("fills memory with messages", &[]),
    ("takes the machine's asynchronous requests", &[]),
    ("forks without end", &[M::ProcessLimit]),
    ("opens files without end", &[]),
    ("writes a huge file", &[]),
    ("fills /tmp", &[]),
    ("fills /tmp with empty files", &[]),
    ("uses the processor without end", &[]),
];

/// How one attempt ended without the sandbox, and in it.
struct Row {
    name: &'static str,
    control: bool,
    escaped: bool,
    /// Whether something that holds here stops it.
    stopped_by: bool,
    why: String,
}

fn table(before: &[String]) -> (Vec<Row>, Report) {
    let mut all = Report::default();
    let rows = ATTEMPTS.iter().map(|(name, by)| {
        let world = World::new();
        let tried = |before: &[String], words: Vec<String>| {
            let words: Vec<String> = before.iter().cloned().chain(words).collect();
            world.command(&words).output().unwrap()
        };
        let sandboxed = tried(before, under(&world, &world.profile(), &attempt(&world, name)));
        all = report(&sandboxed);
        assert!(all.failed.is_none(), "{name}: {all:?}");
        let control = tried(&[], attempt(&world, name));
        let why = String::from_utf8_lossy(&sandboxed.stdout).trim().to_owned();
        let stopped_by = by.is_empty() || by.iter().any(|one| all.holds(*one));
        Row { name, control: control.status.success(), escaped: sandboxed.status.success(), stopped_by, why }
    });
    let rows = rows.collect();
    (rows, all)
}

fn judged(title: &str, rows: &[Row], report: &Report) {
    println!("\n{title}\nholds: {:?}\nmissing: {}", report.held, report.shortfall().unwrap_or_else(|| "nothing".to_owned()));
    println!("{:<42} {:<12} {:<12} ", "attempt", "without", "sandboxed");
    let mut counted = 0;
    for row in rows {
        let control = if row.control { "succeeds" } else { "fails too" };
        let ended = match (row.escaped, row.stopped_by) {
            (true, false) => "OPEN HERE",
            (true, true) => "ESCAPED",
            (false, _) => "stopped",
        };
        counted += usize::from(row.control && !row.escaped);
        println!("{:<42} {control:<12} {ended:<12} {}", row.name, row.why);
    }
    println!("{counted} attempts that succeed without the sandbox are stopped by it, of {}", rows.len());
    let escaped: Vec<&str> = rows.iter().filter(|row| row.escaped && row.stopped_by).map(|row| row.name).collect();
    assert!(escaped.is_empty(), "escaped: {escaped:?}");
    assert!(counted >= 30, "only {counted} of the attempts succeed without the sandbox and fail in it");
}

#[test]
fn a_hostile_server_gets_nothing() {
    let (rows, report) = table(&[]);
    judged("a hostile server", &rows, &report);
}

#[test]
fn a_hostile_server_gets_nothing_without_namespaces() {
    // Where this can't be had, the machine gives no namespaces by itself: then the table above is of such a machine, and this one is the same.
    let before = without_namespaces().unwrap_or_default();
    let (rows, report) = table(&before);
    judged("a hostile server, where there are no namespaces", &rows, &report);
    assert!(!report.holds(M::Namespaces), "{report:?}");
    let said: BTreeSet<M> = report.held.iter().copied().chain(report.missing.iter().map(|missing| missing.mechanism)).collect();
    assert_eq!(said, M::ALL.into_iter().collect(), "every mechanism is told of");
}

/// Whether whoever holds the lock dies, within a time that is long.
fn dies(world: &World) -> bool {
    let file = File::open(world.path("granted/alive")).unwrap();
    let (sender, receiver) = mpsc::channel();
    std::thread::spawn(move || sender.send(file.lock().is_ok()));
    receiver.recv_timeout(Duration::from_secs(20)).unwrap_or(false)
}

#[test]
fn nothing_lingers() {
    // Without a sandbox it does: whoever is in a session of their own outlives a kill of the program and of its group.
    let world = World::new();
    let ran = world.command(&attempt(&world, "lingers")).output().unwrap();
    assert!(ran.status.success(), "{ran:?}");
    assert!(File::open(world.path("granted/alive")).unwrap().try_lock().is_err(), "the control died by itself");
    let pid = fs::read_to_string(world.path("granted/pid")).unwrap();
    assert!(Command::new("kill").args(["-9", &pid]).status().unwrap().success());
    assert!(dies(&world));

    let before = [Vec::new(), without_namespaces().unwrap_or_default()];
    for before in before {
        // The program ends.
        let world = World::new();
        let words: Vec<String> =
            before.iter().cloned().chain(under(&world, &world.profile(), &attempt(&world, "lingers"))).collect();
        let ran = world.command(&words).output().unwrap();
        assert!(ran.status.success() && dies(&world), "{ran:?}");
        // The launcher is killed while the program runs.
        let world = World::new();
        let mut stays = attempt(&world, "lingers");
        stays.push("stays=yes".to_owned());
        let words: Vec<String> = before.iter().cloned().chain(under(&world, &world.profile(), &stays)).collect();
        let mut child = world.command(&words).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
        assert_eq!(line(child.stdout.take().unwrap()), "ready");
        child.kill().unwrap();
        child.wait().unwrap();
        assert!(dies(&world), "it outlived its launcher");
    }
}

#[test]
fn nothing_outlives_remit() {
    // In the middle, as Remit is: a shell that starts the launcher's process as its child and is killed.
    let world = World::new();
    let spec_at = world.path("spec");
    let mut stays = attempt(&world, "lingers");
    stays.push("stays=yes".to_owned());
    let mut spec = remit_sandbox::Spec::new(&stays, Vec::new(), world.profile(), Vec::new(), HOSTILE.as_ref()).unwrap();
    // The shell's own id isn't known before it is there: it writes its frame when it has been told.
    let script = r#"echo $$; read go; "$1" sandbox-exec <"$0" 2>/dev/null & wait"#;
    let mut middle = Command::new("/bin/sh")
        .args(words(&["-c", script]))
        .arg(&spec_at)
        .arg(LAUNCHER)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    spec.parent = Some(middle.id());
    // Its input stays open: only Remit's end is left to end it.
    assert!(Command::new("mkfifo").arg(&spec_at).status().unwrap().success());
    use std::io::{BufRead as _, BufReader, Write as _};
    let mut said = BufReader::new(middle.stdout.take().unwrap()).lines();
    assert_eq!(said.next().unwrap().unwrap(), middle.id().to_string());
    middle.stdin.as_mut().unwrap().write_all(b"go\n").unwrap();
    let mut input = File::options().write(true).open(&spec_at).unwrap();
    spec.write(&mut input).unwrap();
    assert_eq!(said.next().unwrap().unwrap(), "ready");
    middle.kill().unwrap();
    middle.wait().unwrap();
    assert!(dies(&world), "it outlived Remit");
    drop(input);
}
