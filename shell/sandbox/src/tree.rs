//! A tree of files that holds only what is granted, in a mount namespace of its own.

use std::fs::{self, File};
use std::io;
use std::os::fd::AsFd as _;
use std::os::unix::fs::{OpenOptionsExt as _, symlink};
use std::path::{Path, PathBuf};

use remit_model::SandboxLimits;

use crate::grants::{Access, Grant};
use crate::sys::{self, Forbids};

/// Where the tree is put together; it is there on every system, and hidden from then on.
const WORKSHOPS: [&str; 4] = ["/tmp", "/run", "/mnt", "/usr"];

/// The most files in `/tmp` for each MiB of it.
const FILES_PER_MIB: u64 = 256;

/// Why there is no tree.
#[derive(Debug)]
pub(crate) enum NoTree {
    /// The kernel doesn't let us: it can be done without.
    Unavailable(String),
    /// Something of the profile can't be had.
    Failed(String),
}

/// Cuts the namespace off, so that nothing that is mounted here is seen outside. The first thing that needs the right to mount.
pub(crate) fn cut_off() -> Result<(), NoTree> {
    sys::mount(None, Path::new("/"), libc::MS_REC | libc::MS_PRIVATE, "")
        .map_err(|error| NoTree::Unavailable(format!("nothing may be mounted: {error}")))
}

/// Builds the tree and makes it the root. Answers whether it has a `/proc` of its own, or why not.
pub(crate) fn build(grants: &[Grant], limits: &SandboxLimits) -> Result<Result<(), String>, NoTree> {
    let mut copies = Vec::new();
    for grant in grants.iter().filter(|grant| !covered(grant, grants)) {
        let taken = sys::copy_of_tree(grant.fd.as_fd()).and_then(|tree| {
            let mut what = Forbids::SETUID;
            if !grant.device {
                what = what.and(Forbids::DEVICES);
            }
            match grant.access {
                Access::Write => what = what.and(Forbids::EXECUTION),
                Access::List | Access::Read | Access::Execute => what = what.and(Forbids::WRITING),
            }
            sys::forbid(tree.as_fd(), what, true)?;
            Ok(tree)
        });
        match taken {
            Ok(tree) => copies.push((grant, tree)),
            Err(error) if error.raw_os_error() == Some(libc::ENOSYS) => {
                return Err(NoTree::Unavailable("the kernel is older than 5.12".to_owned()));
            }
            Err(error) => return Err(NoTree::Failed(format!("`{}` can't be mounted: {error}", grant.shown.display()))),
        }
    }
    let failed = |what: &str| {
        let what = what.to_owned();
        move |error: io::Error| NoTree::Failed(format!("{what}: {error}"))
    };
    let workshop = WORKSHOPS.iter().map(Path::new).find(|path| path.is_dir());
    let root = workshop.ok_or_else(|| NoTree::Failed("the machine has no folder to mount at".to_owned()))?;
    let plain = libc::MS_NOSUID | libc::MS_NODEV | libc::MS_NOEXEC;
    sys::mount(Some("tmpfs"), root, plain, "mode=755,size=1m").map_err(failed("the root"))?;
    for name in ["proc", "dev", "tmp"] {
        fs::create_dir(root.join(name)).map_err(failed(name))?;
    }
    // A file without content takes room as well.
    let size = format!("mode=1777,size={}m,nr_inodes={}", limits.tmp_mib, limits.tmp_mib.saturating_mul(FILES_PER_MIB));
    sys::mount(Some("tmpfs"), &root.join("tmp"), plain, &size).map_err(failed("/tmp"))?;
    // Where parts of the machine's /proc are covered, as in containers, the kernel refuses one that isn't.
    let proc = sys::mount(Some("proc"), &root.join("proc"), plain, "").map_err(|error| error.to_string());
    for (grant, tree) in copies {
        let at = inside(root, &grant.real);
        // What is granted is there already; a server that is running may put something else in its place, and nothing is made there.
        let made = if held(&grant.real, grants) { Ok(()) } else { make(&at, grant.folder) };
        made.and_then(|()| sys::attach(tree, &at)).map_err(failed(&grant.real.display().to_string()))?;
    }
    for grant in grants.iter().filter(|grant| grant.shown != grant.real && !held(&grant.shown, grants)) {
        let at = inside(root, &grant.shown);
        if at.symlink_metadata().is_err() {
            let made = at.parent().map_or(Ok(()), fs::create_dir_all).and_then(|()| symlink(&grant.real, &at));
            made.map_err(failed(&grant.shown.display().to_string()))?;
        }
    }
    std::env::set_current_dir(root).map_err(failed("the root"))?;
    sys::pivot().map_err(failed("the root"))?;
    std::env::set_current_dir("/").map_err(failed("the root"))?;
    Ok(proc)
}

/// Lets nothing more be written in the root and in `/proc`. Files in `/proc` let whoever has the user id of root rule the machine, without
/// any capability.
pub(crate) fn close() -> io::Result<()> {
    for path in ["/proc", "/"] {
        let opened = File::options().read(true).custom_flags(libc::O_PATH).open(path)?;
        sys::forbid(opened.as_fd(), Forbids::WRITING, false)?;
    }
    Ok(())
}

/// Whether another grant of the same kind brings it along.
fn covered(grant: &Grant, all: &[Grant]) -> bool {
    let above = |other: &&Grant| other.real != grant.real && grant.real.starts_with(&other.real);
    // What lies directly above decides: a folder that may be written can lie in one that may only be read.
    let next = all.iter().filter(above).max_by_key(|other| other.real.components().count());
    let twice = all.iter().find(|other| other.real == grant.real).is_some_and(|first| !std::ptr::eq(first, grant));
    next.is_some_and(|next| next.access == grant.access) || (twice && grant.access != Access::Write)
}

/// Whether a path lies in a folder that is granted.
fn held(path: &Path, grants: &[Grant]) -> bool {
    grants.iter().any(|other| other.folder && other.real != path && path.starts_with(&other.real))
}

fn inside(root: &Path, path: &Path) -> PathBuf {
    root.join(path.strip_prefix("/").unwrap_or(path))
}

/// Makes the place to mount at, where it isn't there yet.
fn make(at: &Path, folder: bool) -> io::Result<()> {
    if at.exists() {
        return Ok(());
    }
    if folder {
        return fs::create_dir_all(at);
    }
    at.parent().map_or(Ok(()), fs::create_dir_all)?;
    File::create(at).map(|_| ())
}
