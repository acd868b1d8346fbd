//! What a started server may do: namespaces, Landlock, seccomp and limits, put on it before its first instruction.
//!
//! Remit starts itself again, with one argument ([`LAUNCHER`]), and sends a [`Spec`] through standard input. That process confines itself
//! and becomes the program ([`launch`]); what holds on this machine comes back as a [`Report`], and the program isn't started where what its
//! profile requires doesn't.
//!
//! - `spec`: what is sent; `report`: what comes back; `launch`: the processes in between;
//! - `grants`, `mounts`, `tree`: the files that are there; `rules`: Landlock; `filter`: seccomp; `sys`: system calls.

mod check;
mod filter;
mod grants;
mod launch;
mod mounts;
mod report;
mod rules;
mod spec;
mod sys;
mod tree;

use std::ffi::OsStr;
use std::io;
use std::net::TcpListener;
use std::os::fd::{AsFd as _, OwnedFd};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::{Child, Command, ExitCode, Stdio};

pub use check::{Check, check};
pub use launch::NOT_STARTED;
pub use report::{Missing, Report};
pub use spec::{PROXY_PORT, Spec};

/// The argument that makes a program of Remit's the launcher.
pub const LAUNCHER: &str = "sandbox-exec";

/// The longest report, in bytes.
const REPORT_BYTES_MAX: usize = 64 * 1024;

/// What the launcher's process does, if that is what these arguments ask for: to be called before anything else, while the process has one
/// thread.
pub fn launched() -> Option<ExitCode> {
    let mut arguments = std::env::args_os().skip(1);
    let first = arguments.next();
    (first.as_deref() == Some(OsStr::new(LAUNCHER)) && arguments.next().is_none()).then(launch::launcher)
}

/// From now on no other process of this one's user reads its memory, its environment or its open files, such as a server that was registered
/// without a sandbox, and none traces it (prctl(2), PR_SET_DUMPABLE). It leaves no core dump either. What it starts is not shielded.
pub fn shield() -> io::Result<()> {
    sys::prctl(libc::PR_SET_DUMPABLE, 0, 0).map(drop)
}

/// Runs a program with this process's input and output until it ends. `told` hears what holds before it is waited for, and gets the socket on
/// which the proxy to named hosts is asked, if there are any. Where nothing could be started the answer is [`NOT_STARTED`]. The process must
/// have one thread.
pub fn run(spec: &Spec, told: impl FnOnce(&Report, Option<TcpListener>)) -> io::Result<u8> {
    let (reader, writer) = UnixStream::pair()?;
    let started = launch::start(spec, OwnedFd::from(writer));
    let (report, listener) = hear(&reader);
    told(&report, listener);
    Ok(started.map_or(NOT_STARTED, |started| started.ended_with(None)))
}

/// Hears what a launcher says on its standard error, one end of a pair of which this is the other, until the program begins or there is
/// none; with it comes the socket on which the proxy to named hosts is asked. It waits: for a thread that may.
pub fn hear(from: &UnixStream) -> (Report, Option<TcpListener>) {
    let (mut text, mut listener, mut part) = (Vec::new(), None, [0; 4096]);
    loop {
        match sys::receive(from.as_fd(), &mut part) {
            Ok((0, _)) => break,
            Ok((got, fd)) if text.len() < REPORT_BYTES_MAX => {
                text.extend_from_slice(part.get(..got).unwrap_or_default());
                listener = listener.or(fd);
            }
            Ok(_) => return (Report::failure("the launcher says too much"), None),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return (Report::failure(error.to_string()), None),
        }
    }
    (Report::parse(&text), listener.map(TcpListener::from))
}

/// Starts a launcher's process with pipes, sends it what to start, and waits for its report: for whoever has a thread to spare.
pub fn start(launcher: &Path, spec: &Spec) -> io::Result<(Child, Report)> {
    let (reader, writer) = UnixStream::pair()?;
    let mut command = Command::new(launcher);
    command.arg(LAUNCHER).env_clear().stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(OwnedFd::from(writer));
    let mut child = command.spawn()?;
    // It holds the other end as well.
    drop(command);
    if let Some(stdin) = &mut child.stdin {
        spec.write(stdin)?;
    }
    Ok((child, hear(&reader).0))
}
