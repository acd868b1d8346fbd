//! The launcher: it confines itself and becomes the program.
//!
//! Three processes, each the parent of the next. The **launcher** stays outside, so that Remit has somebody to kill, and ends when Remit
//! does. The **keeper** is the first process of the new namespaces; when the launcher ends or the program does, it ends all that is left.
//! The **program** has rules and filter on itself and nothing else of ours.
//!
//! What was asked for comes through standard input, before the program's own; what holds is said on a descriptor that the program's start
//! closes. Neither is seen in arguments or environment.

use std::fs::File;
use std::io::{self, PipeReader, PipeWriter, Read as _, Write as _};
use std::net::{Ipv4Addr, TcpListener};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Command, ExitCode};

use remit_model::{SandboxMechanism, SandboxNetwork};

use crate::grants::{self, Access, Grant};
use crate::report::Report;
use crate::spec::{PROXY_PORT, Spec};
use crate::sys::{self, Pid};
use crate::tree::{self, NoTree};
use crate::{filter, rules};

/// The exit code where nothing was started: as `env` and `timeout` have it.
pub const NOT_STARTED: u8 = 125;

/// Where the report's descriptor is in the program's process, until it is the program.
const REPORT_AT: i32 = 3;
/// Every namespace but that of the network.
const NAMESPACES: i32 = libc::CLONE_NEWUSER
    | libc::CLONE_NEWNS
    | libc::CLONE_NEWPID
    | libc::CLONE_NEWIPC
    | libc::CLONE_NEWUTS
    | libc::CLONE_NEWCGROUP;
const MIB: u64 = 1024 * 1024;

/// A program that was started.
#[derive(Debug)]
pub(crate) struct Started {
    keeper: Pid,
}

/// Reads from standard input what to start, and starts it; answers how it ended.
pub(crate) fn launcher() -> ExitCode {
    let taken = || -> io::Result<(Spec, OwnedFd)> {
        let report = io::stderr().as_fd().try_clone_to_owned()?;
        sys::place(null()?.as_fd(), 2, true)?;
        let spec = Spec::read(&mut File::from(io::stdin().as_fd().try_clone_to_owned()?))?;
        Ok((spec, report))
    };
    let Ok((spec, report)) = taken() else { return ExitCode::from(NOT_STARTED) };
    let parent = spec.parent;
    let Some(started) = start(&spec, report) else { return ExitCode::from(NOT_STARTED) };
    drop(spec);
    ExitCode::from(started.ended_with(parent))
}

/// Starts it. Whatever happens is said in `report`; `None` means that there is no process.
pub(crate) fn start(spec: &Spec, report: OwnedFd) -> Option<Started> {
    let mut report = File::from(report);
    match attempt(spec, &mut report) {
        Ok(started) => started,
        Err(why) => {
            say(&mut report, &Report::failure(why));
            None
        }
    }
}

fn attempt(spec: &Spec, report: &mut File) -> Result<Option<Started>, String> {
    // Who may not leave them isn't root, and has the groups that its operator gave it.
    match sys::leave_groups() {
        Err(error) if error.raw_os_error() != Some(libc::EPERM) => return Err(format!("leaving groups: {error}")),
        _ => {}
    }
    let network = if spec.profile.network == SandboxNetwork::Host { 0 } else { libc::CLONE_NEWNET };
    let mut none = String::new();
    let ids = sys::ids();
    for flags in [NAMESPACES | network, (NAMESPACES | network) & !libc::CLONE_NEWUSER, 0] {
        let piped = || -> io::Result<_> { Ok((io::pipe()?, io::pipe()?)) };
        let ((mut heard, tell), (go, let_go)) = piped().map_err(|error| error.to_string())?;
        match sys::fork(flags) {
            Err(error) if flags == 0 => return Err(format!("no process can be made: {error}")),
            Err(error) => {
                if none.is_empty() {
                    none = format!("the kernel gives none: {error}");
                }
            }
            Ok(None) => {
                drop((heard, let_go));
                // Its own `/proc/self` is root's otherwise, and its ids can't be mapped; it is shielded again before the program begins.
                let _ = sys::prctl(libc::PR_SET_DUMPABLE, 1, 0);
                let kept = Keeper { spec, flags, ids, none, tell, report };
                std::process::exit(i32::from(kept.run(go)));
            }
            Ok(Some(keeper)) => {
                drop((tell, go));
                let word = answer(let_go, &mut heard);
                match word.split_once(' ') {
                    Some(("again", why)) if flags != 0 => {
                        why.clone_into(&mut none);
                        let _ = sys::wait(keeper);
                    }
                    Some(("running", _)) => return Ok(Some(Started { keeper })),
                    // It said itself what went wrong.
                    _ => {
                        let _ = sys::wait(keeper);
                        return Ok(None);
                    }
                }
            }
        }
    }
    Err(none)
}

/// Lets the keeper begin, and hears how far it came.
fn answer(mut let_go: PipeWriter, heard: &mut PipeReader) -> String {
    let mut word = String::new();
    if let_go.write_all(b"g").is_ok() {
        let _ = heard.read_to_string(&mut word);
    }
    word
}

impl Started {
    /// Waits for the end, of the program or of the process that it belongs to.
    pub(crate) fn ended_with(&self, parent: Option<u32>) -> u8 {
        let parent = parent.and_then(|parent| Pid::try_from(parent).ok());
        let waited = || -> io::Result<u8> {
            // Nothing of the program's input and output is kept open here.
            for at in [0, 1] {
                sys::place(null()?.as_fd(), at, true)?;
            }
            if let Some(parent) = parent {
                let watched = sys::pidfd(parent)?;
                if sys::pids().1 != parent {
                    return Ok(NOT_STARTED);
                }
                let keeper = sys::pidfd(self.keeper)?;
                if !sys::either(&keeper, &watched)?.0 {
                    // The end of this process is the keeper's sign.
                    return Ok(NOT_STARTED);
                }
            }
            Ok(sys::wait(self.keeper)?.map_or(NOT_STARTED, |(_, code)| code))
        };
        waited().unwrap_or_else(|_| {
            sys::kill(self.keeper);
            NOT_STARTED
        })
    }
}

fn null() -> io::Result<OwnedFd> {
    File::options().read(true).write(true).open("/dev/null").map(OwnedFd::from)
}

fn say(to: &mut File, report: &Report) {
    if let Ok(mut line) = serde_json::to_vec(report) {
        line.push(b'\n');
        // Nobody listening is no reason to do otherwise.
        let _ = to.write_all(&line);
    }
}

/// The first process of the sandbox.
struct Keeper<'a> {
    spec: &'a Spec,
    /// The namespaces that it is in.
    flags: i32,
    /// Who the launcher is: in a new namespace there are no ids until they are mapped.
    ids: (u32, u32),
    /// Why there are none.
    none: String,
    /// Where the launcher hears of it.
    tell: PipeWriter,
    report: &'a mut File,
}

impl Keeper<'_> {
    fn own_processes(&self) -> bool {
        self.flags & libc::CLONE_NEWPID != 0
    }

    fn run(mut self, mut go: PipeReader) -> u8 {
        match self.set_up(&mut go) {
            Ok((_, Some(code))) => code,
            Ok((program, None)) => {
                let code = self.keep(program);
                // Descriptors are closed that values here still name: none of them may be let go of.
                std::process::exit(i32::from(code))
            }
            Err(NoTree::Unavailable(why)) => {
                let _ = write!(self.tell, "again {why}");
                NOT_STARTED
            }
            Err(NoTree::Failed(why)) => {
                say(self.report, &Report::failure(why));
                NOT_STARTED
            }
        }
    }

    /// Everything up to the program's own process. With a code: the launcher is gone, and so is the reason for all this.
    fn set_up(&mut self, go: &mut PipeReader) -> Result<(Pid, Option<u8>), NoTree> {
        let failed = |what: &'static str| move |error: io::Error| NoTree::Failed(format!("{what}: {error}"));
        // Where the kernel ends all processes of a namespace with its first, that one is killed; otherwise it must do it itself.
        let sign = if self.own_processes() { libc::SIGKILL } else { libc::SIGTERM };
        if !self.own_processes() {
            sys::hold_signals().map_err(failed("signals"))?;
            sys::prctl(libc::PR_SET_CHILD_SUBREAPER, 1, 0).map_err(failed("orphans"))?;
        }
        sys::prctl(libc::PR_SET_PDEATHSIG, u64::from(sign.unsigned_abs()), 0).map_err(failed("the parent's end"))?;
        if !matches!(go.read(&mut [0]), Ok(1)) {
            return Ok((0, Some(NOT_STARTED)));
        }
        // Memory that a process may still read is in no limit of it: whoever takes too much ends before Remit does.
        std::fs::write("/proc/self/oom_score_adj", "1000").map_err(failed("its place among what a lack of memory ends"))?;
        let mut report = Report::default();
        let named = matches!(self.spec.profile.network, SandboxNetwork::Egress(_));
        if named && self.flags == 0 {
            return Err(NoTree::Failed(format!("a network of named hosts needs namespaces: {}", self.none)));
        }
        let (grants, own_tree) = if self.flags == 0 {
            let what = format!("{}; it sees the machine's processes and has no /tmp", self.none);
            report.miss(SandboxMechanism::Namespaces, what);
            report.miss(SandboxMechanism::Proc, "it needs namespaces");
            report.miss(SandboxMechanism::ProcessLimit, "it needs namespaces");
            let grants = grants::gather(self.spec).and_then(|grants| grants::without_mounts(&grants).map(|()| grants));
            (grants.map_err(NoTree::Failed)?, false)
        } else {
            (self.namespaced(&mut report)?, true)
        };
        if named {
            // The socket stays in this network wherever it is accepted on: Remit has it, and nothing leads out of here but what it does.
            sys::loopback_up().map_err(failed("the loopback"))?;
            let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, PROXY_PORT)).map_err(failed("the proxy"))?;
            sys::send_descriptor(self.report.as_fd(), listener.as_fd()).map_err(failed("the proxy"))?;
        }
        sys::prctl(libc::PR_SET_DUMPABLE, 0, 0).map_err(failed("its memory"))?;
        sys::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0).map_err(failed("no_new_privs"))?;
        sys::drop_capabilities().map_err(failed("capabilities"))?;
        let program = sys::fork(0).map_err(failed("no process can be made"))?;
        let Some(program) = program else {
            let why = become_program(self.spec, grants, own_tree, report, self.report);
            say(self.report, &Report::failure(why));
            std::process::exit(i32::from(NOT_STARTED));
        };
        // The program alone holds its input, its output and the report.
        for at in [0, 1, 2] {
            sys::place(null().map_err(failed("/dev/null"))?.as_fd(), at, true).map_err(failed("/dev/null"))?;
        }
        Ok((program, None))
    }

    /// What is done in new namespaces: ids, the tree, `/proc`.
    fn namespaced(&self, report: &mut Report) -> Result<Vec<Grant>, NoTree> {
        let user = self.flags & libc::CLONE_NEWUSER != 0;
        if user {
            let (uid, gid) = self.ids;
            let map = |file: &str, text: &str| {
                std::fs::write(format!("/proc/self/{file}"), text)
                    .map_err(|error| NoTree::Unavailable(format!("user ids can't be mapped: {error}")))
            };
            map("setgroups", "deny")?;
            map("uid_map", &format!("{uid} {uid} 1"))?;
            map("gid_map", &format!("{gid} {gid} 1"))?;
        }
        tree::cut_off()?;
        let grants = grants::gather(self.spec).map_err(NoTree::Failed)?;
        let proc = tree::build(&grants, &self.spec.profile.limits)?;
        report.hold(SandboxMechanism::Namespaces);
        match proc {
            Ok(()) => report.hold(SandboxMechanism::Proc),
            Err(why) => report.miss(SandboxMechanism::Proc, format!("it has none at all: {why}")),
        }
        if !user {
            report.miss(SandboxMechanism::ProcessLimit, "it needs a user namespace");
        } else if self.ids.0 != 0 {
            report.hold(SandboxMechanism::ProcessLimit);
        } else {
            match limit_pids(self.spec.profile.limits.processes_max) {
                Ok(()) => report.hold(SandboxMechanism::ProcessLimit),
                Err(why) => report.miss(SandboxMechanism::ProcessLimit, why),
            }
        }
        let failed = |what: &'static str| move |error: io::Error| NoTree::Failed(format!("{what}: {error}"));
        tree::close().map_err(failed("the root"))?;
        sys::name_host("sandbox").map_err(failed("the host's name"))?;
        Ok(grants)
    }

    /// Waits for the program, and for whoever lost its parent; answers how the program ended, with nothing left of it.
    fn keep(&mut self, program: Pid) -> u8 {
        let _ = self.tell.write_all(b"running ");
        let own = self.own_processes();
        // The report ends when the program begins: whoever reads it must not wait for this process.
        if sys::close_from(3).is_err() {
            return NOT_STARTED;
        }
        if own {
            loop {
                match sys::wait(-1) {
                    Ok(Some((pid, code))) if pid == program => return code,
                    Ok(Some(_)) => {}
                    Ok(None) | Err(_) => return NOT_STARTED,
                }
            }
        }
        loop {
            while let Some((pid, code)) = sys::ended() {
                if pid == program {
                    sweep();
                    return code;
                }
            }
            if !matches!(sys::next_signal(), Ok(libc::SIGCHLD)) {
                sweep();
                return NOT_STARTED;
            }
        }
    }
}

/// Kills every child, and those who become children by it, until there is none.
fn sweep() {
    loop {
        let children = std::fs::read_to_string("/proc/thread-self/children").unwrap_or_default();
        let mut any = false;
        for pid in children.split_whitespace().filter_map(|pid| pid.parse().ok()) {
            any = true;
            sys::kill(pid);
        }
        match sys::wait(-1) {
            Ok(Some(_)) => {}
            Ok(None) | Err(_) if !any => return,
            Ok(None) | Err(_) => {}
        }
    }
}

/// The most processes of this namespace, for the user id of root, of which the kernel counts none: since Linux 6.14 each namespace of
/// processes has its own highest number, of at least 301.
fn limit_pids(most: u64) -> Result<(), String> {
    let release = std::fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    let mut numbers = release.split(['.', '-']).map(|part| part.parse::<u32>().unwrap_or_default());
    let version = (numbers.next().unwrap_or_default(), numbers.next().unwrap_or_default());
    // On an older kernel the number is the whole machine's, and root's own file.
    if version < (6, 14) {
        return Err("Remit runs as root, whose processes the kernel counts only since 6.14: run it as another user".to_owned());
    }
    std::fs::write("/proc/sys/kernel/pid_max", most.saturating_add(2).max(301).to_string())
        .map_err(|error| format!("Remit runs as root, and the namespace takes no limit: {error}"))
}

/// The last steps, in the program's own process; comes back only with what went wrong.
fn become_program(spec: &Spec, mut grants: Vec<Grant>, own_tree: bool, mut report: Report, to: &File) -> String {
    let mut done = || -> Result<io::Error, String> {
        let failed = |what: &'static str| move |error: io::Error| format!("{what}: {error}");
        sys::new_session();
        let profile = &spec.profile;
        std::env::set_current_dir(if own_tree { "/tmp" } else { "/" }).map_err(failed("its working folder"))?;
        if own_tree {
            for (path, access) in [("/", Access::List), ("/proc", Access::Read), ("/tmp", Access::Write)] {
                grants.push(grants::open(Path::new(path), access).map_err(failed("its folders"))?);
            }
        } else {
            grants.extend(grants::of_proc(sys::pids().0));
        }
        limits(spec, own_tree).map_err(failed("limits"))?;
        rules::restrict(&grants, &profile.network, &mut report)?;
        filter::restrict(&profile.network, own_tree)?;
        report.hold(SandboxMechanism::Seccomp);
        if !own_tree && !report.holds(SandboxMechanism::Landlock) {
            return Err(format!("nothing keeps it from the files here: {}", report.shortfall().unwrap_or_default()));
        }
        let lacking: Vec<String> = profile.require.iter().filter(|one| !report.holds(**one)).map(ToString::to_string).collect();
        if !lacking.is_empty() {
            let (lacking, why) = (lacking.join(", "), report.shortfall().unwrap_or_default());
            return Err(format!("the profile `{}` requires {lacking}, which this machine lacks ({why})", profile.name));
        }
        let mut to = to.try_clone().map_err(failed("the report"))?;
        say(&mut to, &report);
        sys::place(to.as_fd(), REPORT_AT, false).map_err(failed("the report"))?;
        sys::close_from(REPORT_AT.unsigned_abs() + 1).map_err(failed("descriptors"))?;
        let name = spec.arguments.first().map_or("", String::as_str);
        let mut program = Command::new(&spec.program);
        program.arg0(name).args(spec.arguments.iter().skip(1)).env_clear();
        if matches!(profile.network, SandboxNetwork::Egress(_)) {
            let proxy = format!("http://127.0.0.1:{PROXY_PORT}");
            // Node looks for the variable only when it is told to.
            program.env("HTTPS_PROXY", &proxy).env("https_proxy", &proxy).env("NODE_USE_ENV_PROXY", "1");
        }
        program.envs(spec.env.iter().map(|(key, value)| (key, value)));
        let error = program.exec();
        say(&mut File::from(sys::take(REPORT_AT)), &Report::failure(format!("`{}`: {error}", spec.program.display())));
        // As above.
        std::process::exit(i32::from(NOT_STARTED));
    };
    match done() {
        Ok(error) => error.to_string(),
        Err(why) => why,
    }
}

fn limits(spec: &Spec, own_processes: bool) -> io::Result<()> {
    let limits = &spec.profile.limits;
    sys::limit(libc::RLIMIT_DATA, limits.memory_mib.saturating_mul(MIB))?;
    sys::limit(libc::RLIMIT_NOFILE, limits.open_files_max)?;
    sys::limit(libc::RLIMIT_FSIZE, limits.file_mib_max.saturating_mul(MIB))?;
    sys::limit(libc::RLIMIT_CORE, 0)?;
    sys::limit(libc::RLIMIT_MEMLOCK, 64 * 1024)?;
    sys::limit(libc::RLIMIT_MSGQUEUE, 0)?;
    if own_processes {
        // Counted in the namespace, the keeper among them. Outside it would count all of Remit's own user.
        sys::limit(libc::RLIMIT_NPROC, limits.processes_max.saturating_add(1))?;
    }
    if let Some(secs) = limits.cpu_secs {
        sys::limit(libc::RLIMIT_CPU, secs)?;
    }
    Ok(())
}
