//! The system calls that no crate of the workspace wraps: the only file here with `unsafe`.
//!
//! Each function passes the kernel what it demands and nothing that outlives the call; what the kernel answers becomes an `io::Result`.
#![allow(unsafe_code, reason = "system calls without a safe wrapper; each is explained where it is made")]

use std::ffi::{CString, c_char, c_int, c_long, c_uint, c_ulong};
use std::io;
use std::os::fd::{AsFd, AsRawFd as _, BorrowedFd, FromRawFd as _, OwnedFd, RawFd};
use std::path::Path;

/// A process id.
pub(crate) type Pid = c_int;

fn checked(answer: c_long) -> io::Result<c_long> {
    if answer < 0 { Err(io::Error::last_os_error()) } else { Ok(answer) }
}

fn text(path: &Path) -> io::Result<CString> {
    use std::os::unix::ffi::OsStrExt as _;
    CString::new(path.as_os_str().as_bytes()).map_err(|_| io::Error::from(io::ErrorKind::InvalidInput))
}

/// Forks, into the new namespaces of `flags`. `None` is the child.
///
/// The caller has one thread: so the child may do whatever its parent could.
pub(crate) fn fork(flags: c_int) -> io::Result<Option<Pid>> {
    // A stack of zero means a copy of the caller's, as fork has; no other pointer is passed, so the order of the arguments, which
    // differs between architectures, doesn't matter.
    let flags = c_long::from(flags | libc::SIGCHLD);
    // SAFETY: without CLONE_VM the child has its own copy of all memory; nothing is shared but descriptors.
    let pid = checked(unsafe { libc::syscall(libc::SYS_clone, flags, 0_usize, 0_usize, 0_usize, 0_usize) })?;
    Ok((pid != 0).then(|| Pid::try_from(pid).unwrap_or(-1)))
}

/// A session of its own, without a terminal. Whoever leads one already stays.
pub(crate) fn new_session() {
    // SAFETY: no arguments; it fails only where the caller leads a group, which is fine.
    unsafe { libc::setsid() };
}

/// `prctl` with up to two numbers.
pub(crate) fn prctl(option: c_int, first: c_ulong, second: c_ulong) -> io::Result<c_int> {
    // SAFETY: the options that this crate uses take numbers, no pointers.
    let answer = unsafe { libc::prctl(option, first, second, 0_usize, 0_usize) };
    checked(c_long::from(answer)).map(|_| answer)
}

/// A descriptor for a process, readable once it has ended.
pub(crate) fn pidfd(pid: Pid) -> io::Result<OwnedFd> {
    // SAFETY: numbers only; the descriptor that comes back is ours alone.
    let fd = checked(unsafe { libc::syscall(libc::SYS_pidfd_open, pid, 0_usize) })?;
    owned(fd)
}

fn owned(fd: c_long) -> io::Result<OwnedFd> {
    let fd = RawFd::try_from(fd).map_err(|_| io::Error::from(io::ErrorKind::InvalidData))?;
    // SAFETY: the kernel just made this descriptor for us.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

/// Waits until one of two descriptors is ready and answers which.
pub(crate) fn either(one: &OwnedFd, two: &OwnedFd) -> io::Result<(bool, bool)> {
    let watch = |fd: &OwnedFd| libc::pollfd { fd: fd.as_raw_fd(), events: libc::POLLIN, revents: 0 };
    let mut all = [watch(one), watch(two)];
    loop {
        // SAFETY: the array is ours and has two members.
        let answer = unsafe { libc::poll(all.as_mut_ptr(), 2, -1) };
        match checked(c_long::from(answer)) {
            Ok(_) => return Ok((all[0].revents != 0, all[1].revents != 0)),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
}

/// Waits for a child, or for any (`-1`): who it was and how it ended, as a shell says it. `None`: there is no child.
pub(crate) fn wait(pid: Pid) -> io::Result<Option<(Pid, u8)>> {
    let mut status: c_int = 0;
    loop {
        // SAFETY: the status is ours.
        let ended = unsafe { libc::waitpid(pid, &raw mut status, 0) };
        if ended >= 0 {
            let code = if libc::WIFEXITED(status) { libc::WEXITSTATUS(status) } else { 128 + libc::WTERMSIG(status) };
            return Ok(Some((ended, u8::try_from(code).unwrap_or(u8::MAX))));
        }
        match io::Error::last_os_error() {
            error if error.kind() == io::ErrorKind::Interrupted => {}
            error if error.raw_os_error() == Some(libc::ECHILD) => return Ok(None),
            error => return Err(error),
        }
    }
}

/// Children that have ended by now, without waiting.
pub(crate) fn ended() -> Option<(Pid, u8)> {
    let mut status: c_int = 0;
    // SAFETY: the status is ours.
    let ended = unsafe { libc::waitpid(-1, &raw mut status, libc::WNOHANG) };
    let code = if libc::WIFEXITED(status) { libc::WEXITSTATUS(status) } else { 128 + libc::WTERMSIG(status) };
    (ended > 0).then(|| (ended, u8::try_from(code).unwrap_or(u8::MAX)))
}

/// Kills a process.
pub(crate) fn kill(pid: Pid) {
    // SAFETY: numbers only. A process that is gone is what was wanted.
    unsafe { libc::kill(pid, libc::SIGKILL) };
}

/// Holds SIGCHLD and SIGTERM back for [`next_signal`].
pub(crate) fn hold_signals() -> io::Result<()> {
    let set = signals();
    // SAFETY: the set is ours; the old one isn't asked for.
    checked(c_long::from(unsafe { libc::sigprocmask(libc::SIG_BLOCK, &raw const set, std::ptr::null_mut()) })).map(|_| ())
}

/// The next of the signals that are held back.
pub(crate) fn next_signal() -> io::Result<c_int> {
    let set = signals();
    loop {
        // SAFETY: the set is ours; what is known of the signal isn't asked for.
        let signal = unsafe { libc::sigwaitinfo(&raw const set, std::ptr::null_mut()) };
        match checked(c_long::from(signal)) {
            Ok(_) => return Ok(signal),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
}

fn signals() -> libc::sigset_t {
    // SAFETY: a set of signals is plain memory, and `sigemptyset` makes it a valid one.
    unsafe {
        let mut set = std::mem::zeroed();
        libc::sigemptyset(&raw mut set);
        libc::sigaddset(&raw mut set, libc::SIGCHLD);
        libc::sigaddset(&raw mut set, libc::SIGTERM);
        set
    }
}

/// Sets both the soft and the hard limit, never above the hard limit that there is.
pub(crate) fn limit(resource: libc::__rlimit_resource_t, most: u64) -> io::Result<()> {
    let mut now = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: the struct is ours.
    checked(c_long::from(unsafe { libc::getrlimit(resource, &raw mut now) }))?;
    let most = most.min(now.rlim_max);
    let then = libc::rlimit { rlim_cur: most, rlim_max: most };
    // SAFETY: the struct is ours.
    checked(c_long::from(unsafe { libc::setrlimit(resource, &raw const then) })).map(|_| ())
}

/// Closes every descriptor from `first` on.
pub(crate) fn close_from(first: c_uint) -> io::Result<()> {
    // SAFETY: the caller goes on with descriptors below `first` only, and executes a program next.
    checked(unsafe { libc::syscall(libc::SYS_close_range, first, c_uint::MAX, 0_usize) }).map(|_| ())
}

/// Opens a path of which no part is a link, for its place alone: whoever puts one there meanwhile gets an error.
pub(crate) fn open_without_links(path: &Path) -> io::Result<OwnedFd> {
    let path = text(path)?;
    // SAFETY: zeros are a valid value of this struct.
    let mut how: libc::open_how = unsafe { std::mem::zeroed() };
    how.flags = u64::from((libc::O_PATH | libc::O_CLOEXEC).unsigned_abs());
    how.resolve = libc::RESOLVE_NO_SYMLINKS;
    // SAFETY: string and struct live until the call is over, and the struct has the size that is said.
    owned(checked(unsafe { libc::syscall(libc::SYS_openat2, libc::AT_FDCWD, path.as_ptr(), &raw const how, size_of_val(&how)) })?)
}

/// Puts a descriptor at a number, open after an execution or not.
pub(crate) fn place(fd: BorrowedFd<'_>, at: RawFd, kept: bool) -> io::Result<()> {
    let flags = if kept { 0 } else { libc::O_CLOEXEC };
    if fd.as_raw_fd() == at {
        return Ok(());
    }
    // SAFETY: what was at that number is of no more use to the caller.
    checked(c_long::from(unsafe { libc::dup3(fd.as_raw_fd(), at, flags) })).map(|_| ())
}

/// Takes the descriptor at a number, which the caller put there.
pub(crate) fn take(at: RawFd) -> OwnedFd {
    // SAFETY: `place` put it there and nothing else in this process knows of it.
    unsafe { OwnedFd::from_raw_fd(at) }
}

/// A classic mount.
pub(crate) fn mount(kind: Option<&str>, at: &Path, flags: c_ulong, data: &str) -> io::Result<()> {
    let at = text(at)?;
    let kind = kind.map(CString::new).transpose().map_err(|_| io::Error::from(io::ErrorKind::InvalidInput))?;
    let data = CString::new(data).map_err(|_| io::Error::from(io::ErrorKind::InvalidInput))?;
    let kind = kind.as_ref().map_or(std::ptr::null(), |kind| kind.as_ptr());
    // SAFETY: every pointer is to a string that lives until the call is over, or null where null is allowed.
    checked(c_long::from(unsafe { libc::mount(kind, at.as_ptr(), kind, flags, data.as_ptr().cast()) })).map(|_| ())
}

/// A copy of the mounts below an opened file or folder, attached nowhere.
pub(crate) fn copy_of_tree(fd: BorrowedFd<'_>) -> io::Result<OwnedFd> {
    /// linux/mount.h
    const OPEN_TREE_CLONE: c_int = 1;
    let flags = OPEN_TREE_CLONE | libc::O_CLOEXEC | libc::AT_EMPTY_PATH | libc::AT_RECURSIVE;
    // SAFETY: an empty string and numbers; the descriptor that comes back is ours alone.
    owned(checked(unsafe { libc::syscall(libc::SYS_open_tree, fd.as_raw_fd(), c"".as_ptr(), flags) })?)
}

/// What a mount forbids: linux/mount.h, `MOUNT_ATTR_*`.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Forbids(u64);

impl Forbids {
    /// Nothing is written.
    pub(crate) const WRITING: Self = Self(1);
    /// No program gains rights.
    pub(crate) const SETUID: Self = Self(2);
    /// Device files are none.
    pub(crate) const DEVICES: Self = Self(4);
    /// Nothing is executed or mapped as code.
    pub(crate) const EXECUTION: Self = Self(8);

    pub(crate) fn and(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }
}

/// `struct mount_attr` of linux/mount.h.
#[repr(C)]
struct MountAttr {
    set: u64,
    clear: u64,
    propagation: u64,
    userns_fd: u64,
}

/// Forbids something on a mount, and on those below it.
pub(crate) fn forbid(mount: BorrowedFd<'_>, what: Forbids, below: bool) -> io::Result<()> {
    let attr = MountAttr { set: what.0, clear: 0, propagation: 0, userns_fd: 0 };
    let flags = libc::AT_EMPTY_PATH | if below { libc::AT_RECURSIVE } else { 0 };
    let (fd, size) = (mount.as_raw_fd(), size_of::<MountAttr>());
    // SAFETY: the struct is ours, has the size that is said, and lives until the call is over.
    checked(unsafe { libc::syscall(libc::SYS_mount_setattr, fd, c"".as_ptr(), flags, &raw const attr, size) }).map(|_| ())
}

/// Attaches a copy of mounts at a place, to which no link leads.
pub(crate) fn attach(tree: impl AsFd, at: &Path) -> io::Result<()> {
    /// linux/mount.h
    const MOVE_MOUNT_F_EMPTY_PATH: c_int = 4;
    /// linux/mount.h
    const MOVE_MOUNT_T_EMPTY_PATH: c_int = 0x40;
    let at = open_without_links(at)?;
    let (from, flags) = (tree.as_fd().as_raw_fd(), MOVE_MOUNT_F_EMPTY_PATH | MOVE_MOUNT_T_EMPTY_PATH);
    // SAFETY: constant strings and numbers.
    checked(unsafe { libc::syscall(libc::SYS_move_mount, from, c"".as_ptr(), at.as_raw_fd(), c"".as_ptr(), flags) }).map(|_| ())
}

/// Makes the working folder the root, and lets go of the old one.
pub(crate) fn pivot() -> io::Result<()> {
    let here: *const c_char = c".".as_ptr();
    // SAFETY: constant strings. With both the same, the old root is stacked on the new one (pivot_root(2)), and detached next.
    checked(unsafe { libc::syscall(libc::SYS_pivot_root, here, here) })?;
    // SAFETY: a constant string.
    checked(c_long::from(unsafe { libc::umount2(here, libc::MNT_DETACH) })).map(|_| ())
}

/// Names the machine, in a namespace of its own.
pub(crate) fn name_host(name: &str) -> io::Result<()> {
    // SAFETY: the pointer and its length are of one string.
    checked(c_long::from(unsafe { libc::sethostname(name.as_ptr().cast(), name.len()) })).map(|_| ())
}

/// Leaves every supplementary group.
pub(crate) fn leave_groups() -> io::Result<()> {
    // SAFETY: a length of zero needs no list.
    checked(c_long::from(unsafe { libc::setgroups(0, std::ptr::null()) })).map(|_| ())
}

/// The effective user and group.
pub(crate) fn ids() -> (u32, u32) {
    // SAFETY: no arguments, can't fail.
    unsafe { (libc::geteuid(), libc::getegid()) }
}

/// This process and its parent.
pub(crate) fn pids() -> (Pid, Pid) {
    // SAFETY: no arguments, can't fail.
    unsafe { (libc::getpid(), libc::getppid()) }
}

/// Gives up every capability, so that no execution brings one back.
pub(crate) fn drop_capabilities() -> io::Result<()> {
    /// linux/capability.h
    #[repr(C)]
    struct Header {
        version: u32,
        pid: c_int,
    }
    #[repr(C)]
    #[derive(Clone, Copy)]
    struct Data {
        effective: u32,
        permitted: u32,
        inheritable: u32,
    }
    const VERSION_3: u32 = 0x2008_0522;
    /// `SECBIT_NOROOT`, `SECBIT_NO_SETUID_FIXUP`, `SECBIT_NO_CAP_AMBIENT_RAISE`, each with its lock.
    const SECURE: c_ulong = 0b1111 | 0b1100_0000;
    for capability in 0..64 {
        match prctl(libc::PR_CAPBSET_DROP, capability, 0) {
            Ok(_) => {}
            // After the last capability of this kernel.
            Err(error) if error.raw_os_error() == Some(libc::EINVAL) => break,
            // Without CAP_SETPCAP the set stays, and no_new_privs makes it worth nothing.
            Err(error) if error.raw_os_error() == Some(libc::EPERM) => break,
            Err(error) => return Err(error),
        }
    }
    match prctl(libc::PR_SET_SECUREBITS, SECURE, 0) {
        Err(error) if error.raw_os_error() != Some(libc::EPERM) => return Err(error),
        _ => {}
    }
    prctl(libc::PR_CAP_AMBIENT, c_ulong::try_from(libc::PR_CAP_AMBIENT_CLEAR_ALL).unwrap_or_default(), 0)?;
    let header = Header { version: VERSION_3, pid: 0 };
    let none = [Data { effective: 0, permitted: 0, inheritable: 0 }; 2];
    // SAFETY: version 3 takes two members of this layout.
    checked(unsafe { libc::syscall(libc::SYS_capset, &raw const header, none.as_ptr()) }).map(|_| ())
}

/// Room for one descriptor beside a message, aligned as the kernel wants it.
#[repr(C)]
union Beside {
    _aligned: libc::cmsghdr,
    bytes: [u8; 64],
}

/// Sends a descriptor over a Unix socket, beside an empty line.
pub(crate) fn send_descriptor(over: BorrowedFd<'_>, fd: BorrowedFd<'_>) -> io::Result<()> {
    let (mut line, mut beside) = (*b"\n", Beside { bytes: [0; 64] });
    let mut part = libc::iovec { iov_base: line.as_mut_ptr().cast(), iov_len: 1 };
    let size = c_uint::try_from(size_of::<RawFd>()).unwrap_or_default();
    // SAFETY: a message of zeros is one without anything; the pointers that are put into it live until the call is over. The room is larger
    // than one descriptor with its head needs, so the first head and its data lie in it.
    checked(unsafe {
        let mut message: libc::msghdr = std::mem::zeroed();
        message.msg_iov = &raw mut part;
        message.msg_iovlen = 1;
        message.msg_control = (&raw mut beside).cast();
        message.msg_controllen = libc::CMSG_SPACE(size) as _;
        let head = libc::CMSG_FIRSTHDR(&raw const message);
        (*head).cmsg_level = libc::SOL_SOCKET;
        (*head).cmsg_type = libc::SCM_RIGHTS;
        (*head).cmsg_len = libc::CMSG_LEN(size) as _;
        libc::CMSG_DATA(head).cast::<RawFd>().write_unaligned(fd.as_raw_fd());
        libc::sendmsg(over.as_raw_fd(), &raw const message, libc::MSG_NOSIGNAL) as c_long
    })
    .map(|_| ())
}

/// Receives bytes from a Unix socket, and the descriptor beside them, if there is one. No bytes: the other end is closed.
pub(crate) fn receive(over: BorrowedFd<'_>, into: &mut [u8]) -> io::Result<(usize, Option<OwnedFd>)> {
    let mut beside = Beside { bytes: [0; 64] };
    let mut part = libc::iovec { iov_base: into.as_mut_ptr().cast(), iov_len: into.len() };
    // SAFETY: as above; the kernel writes no more than the room that is said. What it says to have written there is read by its own macros.
    unsafe {
        let mut message: libc::msghdr = std::mem::zeroed();
        message.msg_iov = &raw mut part;
        message.msg_iovlen = 1;
        message.msg_control = (&raw mut beside).cast();
        message.msg_controllen = size_of::<Beside>() as _;
        let got = checked(libc::recvmsg(over.as_raw_fd(), &raw mut message, libc::MSG_CMSG_CLOEXEC) as c_long)?;
        let head = libc::CMSG_FIRSTHDR(&raw const message);
        let rights = !head.is_null() && (*head).cmsg_level == libc::SOL_SOCKET && (*head).cmsg_type == libc::SCM_RIGHTS;
        let fd = rights.then(|| OwnedFd::from_raw_fd(libc::CMSG_DATA(head).cast::<RawFd>().read_unaligned()));
        Ok((usize::try_from(got).unwrap_or_default(), fd))
    }
}

/// Brings the loopback of a network namespace of its own up.
pub(crate) fn loopback_up() -> io::Result<()> {
    let socket = std::net::UdpSocket::bind("0.0.0.0:0")?;
    // SAFETY: a request of zeros is a valid one; the name is shorter than its place, and the kernel reads and writes the struct only.
    unsafe {
        let mut request: libc::ifreq = std::mem::zeroed();
        for (to, from) in request.ifr_name.iter_mut().zip(c"lo".to_bytes_with_nul()) {
            *to = c_char::from_ne_bytes([*from]);
        }
        let fd = socket.as_raw_fd();
        checked(c_long::from(libc::ioctl(fd, libc::SIOCGIFFLAGS as _, &raw mut request)))?;
        request.ifr_ifru.ifru_flags |= i16::try_from(libc::IFF_UP).unwrap_or_default();
        checked(c_long::from(libc::ioctl(fd, libc::SIOCSIFFLAGS as _, &raw mut request))).map(|_| ())
    }
}

/// The version of Landlock that this kernel has, 0 without.
pub(crate) fn landlock_abi() -> i32 {
    /// linux/landlock.h
    const LANDLOCK_CREATE_RULESET_VERSION: c_uint = 1;
    // SAFETY: with this flag the kernel wants no rules, and makes nothing.
    let abi = unsafe { libc::syscall(libc::SYS_landlock_create_ruleset, 0_usize, 0_usize, LANDLOCK_CREATE_RULESET_VERSION) };
    i32::try_from(abi).unwrap_or_default().max(0)
}
