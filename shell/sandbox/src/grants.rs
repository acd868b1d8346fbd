//! The files and folders of a sandbox: those of the system that every program needs, and those that its profile names.

use std::collections::VecDeque;
use std::ffi::OsString;
use std::fs::File;
use std::io;
use std::os::fd::{AsRawFd as _, OwnedFd};
use std::os::unix::fs::FileTypeExt as _;
use std::path::{Component, Path, PathBuf};

use crate::mounts::Mounts;
use crate::spec::Spec;
use crate::sys;

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
    /// Where the links are that led there.
    links: Vec<PathBuf>,
    /// Whether the profile names it.
    named: bool,
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
const DEVICES: [&str; 4] = ["/dev/null", "/dev/full", "/dev/random", "/dev/urandom"];
/// Whoever may write to it maps memory that no limit counts.
const ZERO: [&str; 1] = ["/dev/zero"];
/// What a sandbox makes anew. Who writes to the machine's own `/proc/sys` rules the machine.
const OWN: [&str; 3] = ["/proc", "/dev", "/sys"];
/// The most links of a path.
const LINKS_MAX: usize = 40;
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
    // That it may only be read is for Landlock: a mount forbids no writing to a device.
    if sys::landlock_abi() > 0 {
        system(&ZERO, Access::Read)?;
    }
    if profile.network != remit_model::SandboxNetwork::None {
        system(&RESOLVER, Access::Read)?;
    }
    let named = [(&profile.read, Access::Read), (&profile.execute, Access::Execute), (&profile.write, Access::Write)];
    for (paths, access) in named {
        for path in paths {
            let grant = open(Path::new(path), access).map_err(|error| format!("the profile grants `{path}`: {error}"))?;
            if grant.real == Path::new("/") || OWN.iter().any(|own| grant.real.starts_with(own)) {
                return Err(format!("the profile grants `{path}`, which is `{}`: that can't be granted", grant.real.display()));
            }
            grants.push(Grant { named: true, ..grant });
        }
    }
    let program = open(&spec.program, Access::Execute).map_err(|error| format!("`{}`: {error}", spec.program.display()))?;
    grants.push(program);
    for grant in &grants {
        planted(grant, &grants)?;
    }
    if !spec.forbidden.is_empty() {
        let mounts = Mounts::read().map_err(|error| format!("the mounts of this machine can't be read: {error}"))?;
        for grant in &grants {
            for forbidden in &spec.forbidden {
                let forbidden = forbidden.canonicalize().unwrap_or_else(|_| forbidden.clone());
                if mounts.overlap(&grant.real, &forbidden) {
                    return Err(format!(
                        "`{}` would grant `{}`, which only Remit itself may touch",
                        grant.shown.display(),
                        forbidden.display()
                    ));
                }
            }
        }
    }
    // Whoever is read before whoever lies below: so mounts of the deeper ones come to lie on top.
    grants.sort_by_key(|grant| grant.real.components().count());
    Ok(grants)
}

/// Refuses a grant to which a link leads that a server may have put there: it would choose what it is granted at its next start.
fn planted(grant: &Grant, all: &[Grant]) -> Result<(), String> {
    let writable =
        |link: &&PathBuf| all.iter().any(|other| other.access == Access::Write && other.folder && link.starts_with(&other.real));
    match grant.links.iter().find(writable) {
        Some(link) => Err(format!(
            "the grant of `{}` leads through the link `{}`, which lies in a folder that may be written: name what it leads to",
            grant.shown.display(),
            link.display()
        )),
        None => Ok(()),
    }
}

/// Refuses what Landlock alone can't hold: its rules add up on the way down, and mounts are what takes rights away again.
pub(crate) fn without_mounts(grants: &[Grant]) -> Result<(), String> {
    let below = |grant: &Grant, other: &Grant| grant.real != other.real && grant.real.starts_with(&other.real);
    for writable in grants.iter().filter(|grant| grant.access == Access::Write && grant.folder) {
        let narrower = |other: &&Grant| {
            (other.named && other.access != Access::Write && below(other, writable))
                || (other.access == Access::Execute && below(writable, other))
        };
        if let Some(other) = grants.iter().find(narrower) {
            return Err(format!(
                "`{}` may be written, and `{}` means other rights there: without namespaces nothing keeps them apart",
                writable.shown.display(),
                other.shown.display()
            ));
        }
    }
    Ok(())
}

/// What of the machine's own `/proc` may be read, where there can't be another.
pub(crate) fn of_proc(pid: i32) -> Vec<Grant> {
    let own = PathBuf::from(format!("/proc/{pid}"));
    let all = PROC.iter().map(PathBuf::from).chain([own]);
    all.filter_map(|path| open(&path, Access::Read).ok()).collect()
}

pub(crate) fn open(path: &Path, access: Access) -> io::Result<Grant> {
    let (resolved, links) = resolve(path)?;
    let file = File::from(sys::open_without_links(&resolved)?);
    let meta = file.metadata()?;
    let fd = OwnedFd::from(file);
    let real = std::fs::read_link(format!("/proc/self/fd/{}", fd.as_raw_fd()))?;
    let device = meta.file_type().is_char_device();
    Ok(Grant { shown: path.to_owned(), real, fd, links, named: false, access, folder: meta.is_dir(), device })
}

/// A path without links, and where the links were that are followed.
fn resolve(path: &Path) -> io::Result<(PathBuf, Vec<PathBuf>)> {
    let (mut at, mut links) = (PathBuf::from("/"), Vec::new());
    let mut left: VecDeque<OsString> = parts(path);
    while let Some(part) = left.pop_front() {
        if part == ".." {
            at.pop();
            continue;
        }
        let next = at.join(&part);
        match std::fs::read_link(&next) {
            Ok(target) => {
                if links.len() >= LINKS_MAX {
                    return Err(io::Error::from_raw_os_error(libc::ELOOP));
                }
                links.push(next);
                if target.is_absolute() {
                    at = PathBuf::from("/");
                }
                let mut before = parts(&target);
                before.append(&mut left);
                left = before;
            }
            // It is no link.
            Err(error) if error.raw_os_error() == Some(libc::EINVAL) => at = next,
            Err(error) => return Err(error),
        }
    }
    Ok((at, links))
}

fn parts(path: &Path) -> VecDeque<OsString> {
    let part = |component: Component<'_>| match component {
        Component::Normal(name) => Some(name.to_owned()),
        Component::ParentDir => Some(OsString::from("..")),
        _ => None,
    };
    path.components().filter_map(part).collect()
}
