//! What the kernel of this machine offers.

use std::io;
use std::path::Path;

use remit_model::{SandboxMechanism, SandboxProfile};
use serde::Serialize;

use crate::{Report, Spec};

/// What this machine offers to sandboxes.
#[derive(Debug, Clone, Serialize)]
pub struct Check {
    /// The kernel's release.
    pub kernel: String,
    /// The version of Landlock, 0 without.
    pub landlock_abi: i32,
    /// The controllers of cgroups v2 that there are. Remit uses none: limits are those of processes.
    pub cgroup_controllers: Vec<String>,
    /// Whether this process is root's.
    pub root: bool,
    /// What held for a process that was started under the built-in profile.
    pub report: Report,
}

/// Looks what the machine offers, by starting something in a sandbox: `program`, which must know [`crate::launched`], with `arguments` that
/// do nothing.
pub fn check(program: &Path, arguments: &[&str]) -> io::Result<Check> {
    let read = |path: &str| std::fs::read_to_string(path).unwrap_or_default().trim().to_owned();
    let controllers = read("/sys/fs/cgroup/cgroup.controllers");
    let command: Vec<String> = std::iter::once("remit").chain(arguments.iter().copied()).map(str::to_owned).collect();
    let spec = Spec::new(&command, Vec::new(), SandboxProfile::default(), Vec::new(), program).map_err(io::Error::other)?;
    let (mut child, report) = crate::start(program, &spec)?;
    drop((child.stdin.take(), child.stdout.take()));
    child.wait()?;
    Ok(Check {
        kernel: read("/proc/sys/kernel/osrelease"),
        landlock_abi: crate::sys::landlock_abi(),
        cgroup_controllers: controllers.split_whitespace().map(str::to_owned).collect(),
        root: crate::sys::ids().0 == 0,
        report,
    })
}

impl Check {
    /// It in plain English, line by line.
    pub fn lines(&self) -> Vec<String> {
        let mut lines = vec![format!("kernel {}, Landlock ABI {}", self.kernel, self.landlock_abi)];
        if let Some(why) = &self.report.failed {
            lines.push(format!("nothing can be started in a sandbox here: {why}"));
        }
        lines.extend(self.report.held.iter().map(|one| format!("holds    {one}: {}", meaning(*one))));
        lines.extend(self.report.missing.iter().map(|one| format!("MISSING  {}: {}", one.mechanism, one.why)));
        if self.root {
            lines.push("Remit runs as root here: a user of its own is safer, sandbox or not".to_owned());
        }
        let controllers = if self.cgroup_controllers.is_empty() { "none".to_owned() } else { self.cgroup_controllers.join(", ") };
        lines.push(format!("controllers of cgroups v2: {controllers}; limits are those of processes and don't need them"));
        lines
    }
}

fn meaning(mechanism: SandboxMechanism) -> &'static str {
    match mechanism {
        SandboxMechanism::Seccomp => "system calls of attackers are refused",
        SandboxMechanism::Landlock => "files are touched only as granted",
        SandboxMechanism::LandlockScopes => "no signals to other processes, no abstract sockets of theirs",
        SandboxMechanism::Namespaces => "own processes, files, network, IPC and host name",
        SandboxMechanism::Proc => "/proc shows its own processes only",
        SandboxMechanism::ProcessLimit => "processes and threads are counted",
    }
}
