//! Sandboxes: what a server that Remit starts may reach on its machine.

use std::fmt;
use std::sync::Arc;

/// How a server's process is confined.
#[derive(Debug, Clone, PartialEq)]
pub enum Sandbox {
    /// To what this profile grants.
    Profile(Arc<SandboxProfile>),
    /// Not at all, for this reason: it does whatever Remit's own user may do.
    Unconfined(String),
}

impl Default for Sandbox {
    fn default() -> Self {
        Self::Profile(Arc::default())
    }
}

/// What a process may do besides computing: everything that isn't here it may not.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct SandboxProfile {
    /// Its name; `default` for the built-in one, `inline` for one that stands in a server.
    pub name: String,
    /// Files and folders that may be read, besides those of the system.
    pub read: Vec<String>,
    /// Files and folders that may be read, changed and made.
    pub write: Vec<String>,
    /// Files and folders that may be read and executed.
    pub execute: Vec<String>,
    /// What it reaches over the network.
    pub network: SandboxNetwork,
    /// How much it may use.
    pub limits: SandboxLimits,
    /// What must hold on this machine for the process to be started at all.
    pub require: Vec<SandboxMechanism>,
}

impl Default for SandboxProfile {
    fn default() -> Self {
        Self {
            name: "default".to_owned(),
            read: Vec::new(),
            write: Vec::new(),
            execute: Vec::new(),
            network: SandboxNetwork::default(),
            limits: SandboxLimits::default(),
            require: Vec::new(),
        }
    }
}

/// What a sandboxed process reaches over the network.
#[derive(Debug, Clone, PartialEq, Eq, Default, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum SandboxNetwork {
    /// Nothing.
    #[default]
    None,
    /// These hosts, through Remit's proxy.
    Egress(Vec<SandboxHost>),
    /// Whatever the machine reaches, its own loopback included.
    Host,
}

/// A host that a sandboxed process may reach.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct SandboxHost {
    /// Its name, in lower case.
    pub host: String,
    /// The port.
    pub port: u16,
    /// Which addresses the name may resolve to.
    pub network: crate::Network,
}

/// How much a sandboxed process may use. Those of a process hold for each of its processes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct SandboxLimits {
    /// Memory that one process may write to, in MiB.
    pub memory_mib: u64,
    /// Processes and threads at once, all together.
    pub processes_max: u64,
    /// Files that one process may hold open.
    pub open_files_max: u64,
    /// The largest file that may be written, in MiB.
    pub file_mib_max: u64,
    /// The size of its own `/tmp`, in MiB.
    pub tmp_mib: u64,
    /// Processor time of one process, in seconds; without it as much as it wants.
    pub cpu_secs: Option<u64>,
}

impl Default for SandboxLimits {
    fn default() -> Self {
        Self { memory_mib: 1024, processes_max: 128, open_files_max: 1024, file_mib_max: 256, tmp_mib: 64, cpu_secs: None }
    }
}

/// A mechanism of the kernel that confines.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SandboxMechanism {
    /// A filter of system calls.
    Seccomp,
    /// Landlock's rules for files.
    Landlock,
    /// Landlock's scopes: no signals to, and no abstract sockets of, processes outside (ABI 6).
    LandlockScopes,
    /// Own user, mount, process, IPC, host name and, without network, network namespaces: a tree of files that holds only what is granted.
    Namespaces,
    /// A `/proc` that shows only its own processes.
    Proc,
    /// The limit on processes.
    ProcessLimit,
}

impl SandboxMechanism {
    /// Every mechanism.
    pub const ALL: [Self; 6] =
        [Self::Seccomp, Self::Landlock, Self::LandlockScopes, Self::Namespaces, Self::Proc, Self::ProcessLimit];

    /// The word for it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Seccomp => "seccomp",
            Self::Landlock => "landlock",
            Self::LandlockScopes => "landlock_scopes",
            Self::Namespaces => "namespaces",
            Self::Proc => "proc",
            Self::ProcessLimit => "process_limit",
        }
    }
}

impl fmt::Display for SandboxMechanism {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
