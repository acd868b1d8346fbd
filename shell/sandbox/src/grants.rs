//! The files and folders of a sandbox: those of the system that every program needs, and those that its profile names.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::fd::{AsRawFd as _, OwnedFd};
use std::os::unix::fs::{FileTypeExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use crate::spec::Spec;

/// What may be done with something.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Access {
    /// Its names may be listed, and those of all folders below.
    List,
    /// It may be read.
    Read,
    /// It may be read and executed.
    Execute,
    /// It may be read and changed, and below it things may be made, but not executed.
    Write,
}

/// A file or folder that is there in the sandbox.
#[derive(Debug)]
pub(crate) struct Grant {
    /// As it was written.
    pub(crate) shown: PathBuf,
    /// Where it really is, without links: read back from what was opened.
    pub(crate) real: PathBuf,
    /// The opened thing itself, so that nobody puts another in its place.
    pub(crate) fd: OwnedFd,
    pub(crate) access: Access,
    pub(crate) folder: bool,
    pub(crate) device: bool,
}

/// Programs and libraries.
const PROGRAMS: [&str; 7] = ["/usr", "/bin", "/sbin", "/lib", "/lib32", "/lib64", "/libx32"];
/// Of `/etc` what programs need to find libraries, names, times and certificates; nothing of it is secret.
const SETTINGS: [&str; 18] = [
    "/etc/alternatives",
    "/etc/ca-certificates",
    "/etc/gitconfig",
    "/etc/group",
    "/etc/host.conf",
    "/etc/hosts",
    "/etc/ld.so.cache",
    "/etc/ld.so.conf",
    "/etc/ld.so.conf.d",
    "/etc/localtime",
    "/etc/mime.types",
    "/etc/nsswitch.conf",
    "/etc/passwd",
    "/etc/pki/tls/certs",
    "/etc/protocols",
    "/etc/ssl/certs",
    "/etc/ssl/openssl.cnf",
    "/etc/timezone",
];
/// Needed only where there is a network.
const RESOLVER: [&str; 3] = ["/etc/resolv.conf", "/etc/gai.conf", "/etc/services"];
/// Devices without effect.
const DEVICES: [&str; 5] = ["/dev/null", "/dev/zero", "/dev/full", "/dev/random", "/dev/urandom"];
/// What a program may read of a `/proc` that isn't its own: itself, and what is said of the machine.
const PROC: [&str; 7] =
    ["/proc/cpuinfo", "/proc/filesystems", "/proc/loadavg", "/proc/meminfo", "/proc/stat", "/proc/uptime", "/proc/version"];

/// Opens everything that the profile grants. Whatever of a profile isn't there is an error; so is what no profile may grant.
pub(crate) fn gather(spec: &Spec) -> Result<Vec<Grant>, String> {
    let profile = &spec.profile;
    let mut grants = Vec::new();
    let mut system = |paths: &[&str], access: Access| -> Result<(), String> {
        for path in paths {
            match open(Path::new(path), access) {
                Ok(grant) => grants.push(grant),
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => return Err(format!("{path}: {error}")),
            }
        }
        Ok(())
    };
    system(&PROGRAMS, Access::Execute)?;
    system(&SETTINGS, Access::Read)?;
    system(&DEVICES, Access::Write)?;
    if profile.network != remit_model::SandboxNetwork::None {
        system(&RESOLVER, Access::Read)?;
    }
    let named = [(&profile.read, Access::Read), (&profile.execute, Access::Execute), (&profile.write, Access::Write)];
    for (paths, access) in named {
        for path in paths {
            grants.push(open(Path::new(path), access).map_err(|error| format!("the profile grants `{path}`: {error}"))?);
        }
    }
    let program = open(&spec.program, Access::Execute).map_err(|error| format!("`{}`: {error}", spec.program.display()))?;
    grants.push(program);
    for grant in &grants {
        for forbidden in &spec.forbidden {
            let forbidden = forbidden.canonicalize().unwrap_or_else(|_| forbidden.clone());
            if grant.real.starts_with(&forbidden) || forbidden.starts_with(&grant.real) {
                return Err(format!(
                    "`{}` would grant `{}`, which only Remit itself may touch",
                    grant.shown.display(),
                    forbidden.display()
                ));
            }
        }
    }
    // Whoever is read before whoever lies below: so mounts of the deeper ones come to lie on top.
    grants.sort_by_key(|grant| grant.real.components().count());
    Ok(grants)
}

/// What of the machine's own `/proc` may be read, where there can't be another.
pub(crate) fn of_proc(pid: i32) -> Vec<Grant> {
    let own = PathBuf::from(format!("/proc/{pid}"));
    let all = PROC.iter().map(PathBuf::from).chain([own]);
    all.filter_map(|path| open(&path, Access::Read).ok()).collect()
}

pub(crate) fn open(path: &Path, access: Access) -> io::Result<Grant> {
    let file: File = OpenOptions::new().read(true).custom_flags(libc::O_PATH | libc::O_CLOEXEC).open(path)?;
    let meta = file.metadata()?;
    let fd = OwnedFd::from(file);
    let real = std::fs::read_link(format!("/proc/self/fd/{}", fd.as_raw_fd()))?;
    let device = meta.file_type().is_char_device();
    Ok(Grant { shown: path.to_owned(), real, fd, access, folder: meta.is_dir(), device })
}
