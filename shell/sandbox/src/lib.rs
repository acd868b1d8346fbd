//! What a started server may do: namespaces, Landlock, seccomp and limits, put on it before its first instruction.
//!
//! Remit starts itself again, with one argument ([`LAUNCHER`]), and sends a [`Spec`] through standard input. That process confines itself
//! and becomes the program ([`launch`]); what holds on this machine comes back as a [`Report`], and the program isn't started where what its
//! profile requires doesn't.
//!
//! - `spec`: what is sent; `report`: what comes back; `launch`: the processes in between;
//! - `grants`, `tree`: the files that are there; `rules`: Landlock; `filter`: seccomp; `sys`: system calls.

mod check;
mod filter;
mod grants;
mod launch;
mod report;
mod rules;
mod spec;
mod sys;
mod tree;

use std::ffi::OsStr;
use std::fs::File;
use std::io::{self, Read as _};
use std::os::fd::OwnedFd;
use std::process::ExitCode;

pub use check::{Check, check};
pub use launch::NOT_STARTED;
pub use report::{Missing, Report};
pub use spec::Spec;

/// The argument that makes a program of Remit's the launcher.
pub const LAUNCHER: &str = "sandbox-exec";

/// What the launcher's process does, if that is what these arguments ask for: to be called before anything else, while the process has one
/// thread.
pub fn launched() -> Option<ExitCode> {
    let mut arguments = std::env::args_os().skip(1);
    let first = arguments.next();
    (first.as_deref() == Some(OsStr::new(LAUNCHER)) && arguments.next().is_none()).then(launch::launcher)
}

/// Runs a program with this process's input and output until it ends. `told` hears what holds, before it is waited for; whoever hears of a
/// failure gets [`NOT_STARTED`]. The process must have one thread.
pub fn run(spec: &Spec, told: impl FnOnce(&Report)) -> io::Result<u8> {
    let (mut reader, writer) = io::pipe()?;
    let started = launch::start(spec, OwnedFd::from(writer));
    let mut text = Vec::new();
    reader.read_to_end(&mut text)?;
    told(&Report::parse(&text));
    Ok(started.map_or(NOT_STARTED, |started| started.ended_with(None)))
}

/// Starts a launcher's process with pipes, sends it what to start, and waits for its report: for whoever has a thread to spare.
pub fn start(launcher: &std::path::Path, spec: &Spec) -> io::Result<(std::process::Child, Report)> {
    use std::process::{Command, Stdio};
    let mut command = Command::new(launcher);
    command.arg(LAUNCHER).env_clear().stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn()?;
    let mut text = Vec::new();
    if let Some(stdin) = &mut child.stdin {
        spec.write(stdin)?;
    }
    if let Some(stderr) = child.stderr.take() {
        File::from(OwnedFd::from(stderr)).read_to_end(&mut text)?;
    }
    Ok((child, Report::parse(&text)))
}
