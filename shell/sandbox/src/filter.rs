//! The filter of system calls: everything is allowed but what a server has no use for and an attacker has.

use std::collections::BTreeMap;

use remit_model::SandboxNetwork;
use seccompiler::{
    BpfProgram, SeccompAction, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition, SeccompFilter, SeccompRule, TargetArch,
    sock_filter,
};

/// Refused whatever its arguments are.
const REFUSED: &[i64] = &[
    // Other processes.
    libc::SYS_ptrace,
    libc::SYS_process_vm_readv,
    libc::SYS_process_vm_writev,
    libc::SYS_process_madvise,
    libc::SYS_kcmp,
    libc::SYS_pidfd_getfd,
    // Mounts and namespaces.
    libc::SYS_mount,
    libc::SYS_umount2,
    libc::SYS_pivot_root,
    libc::SYS_chroot,
    libc::SYS_open_tree,
    libc::SYS_move_mount,
    libc::SYS_fsopen,
    libc::SYS_fsconfig,
    libc::SYS_fsmount,
    libc::SYS_fspick,
    libc::SYS_mount_setattr,
    libc::SYS_unshare,
    libc::SYS_setns,
    // Files by what isn't their path.
    libc::SYS_name_to_handle_at,
    libc::SYS_open_by_handle_at,
    libc::SYS_fanotify_init,
    libc::SYS_quotactl,
    libc::SYS_acct,
    libc::SYS_swapon,
    libc::SYS_swapoff,
    // Parts of the kernel with much to attack.
    libc::SYS_bpf,
    libc::SYS_perf_event_open,
    libc::SYS_userfaultfd,
    libc::SYS_io_uring_setup,
    libc::SYS_io_uring_enter,
    libc::SYS_io_uring_register,
    libc::SYS_add_key,
    libc::SYS_request_key,
    libc::SYS_keyctl,
    libc::SYS_mbind,
    libc::SYS_set_mempolicy,
    libc::SYS_migrate_pages,
    libc::SYS_move_pages,
    // The machine itself.
    libc::SYS_kexec_load,
    libc::SYS_kexec_file_load,
    libc::SYS_init_module,
    libc::SYS_finit_module,
    libc::SYS_delete_module,
    libc::SYS_reboot,
    libc::SYS_syslog,
    libc::SYS_sethostname,
    libc::SYS_setdomainname,
    libc::SYS_settimeofday,
    libc::SYS_clock_settime,
    libc::SYS_clock_adjtime,
    libc::SYS_adjtimex,
    libc::SYS_vhangup,
    // Memory that no limit of a process counts.
    libc::SYS_memfd_create,
    libc::SYS_memfd_secret,
    libc::SYS_shmget,
    libc::SYS_semget,
    libc::SYS_msgget,
    // Of these the machine has so many for everybody.
    libc::SYS_io_setup,
];

/// Refused too where the architecture has it.
#[cfg(target_arch = "x86_64")]
const REFUSED_HERE: &[i64] = &[libc::SYS_iopl, libc::SYS_ioperm, libc::SYS_modify_ldt, libc::SYS_uselib, libc::SYS_ustat];
#[cfg(not(target_arch = "x86_64"))]
const REFUSED_HERE: &[i64] = &[];

/// Changes of what belongs to a file besides its content. Landlock doesn't know them: without a tree of its own a server could change those
/// of every file of its user.
const ATTRIBUTES: &[i64] = &[
    libc::SYS_fchmod,
    libc::SYS_fchmodat,
    /* fchmodat2 */ 452,
    libc::SYS_fchown,
    libc::SYS_fchownat,
    libc::SYS_utimensat,
    libc::SYS_setxattr,
    libc::SYS_lsetxattr,
    libc::SYS_fsetxattr,
    libc::SYS_removexattr,
    libc::SYS_lremovexattr,
    libc::SYS_fremovexattr,
    /* setxattrat, removexattrat, file_setattr */ 463,
    466,
    469,
];
#[cfg(target_arch = "x86_64")]
const ATTRIBUTES_HERE: &[i64] =
    &[libc::SYS_chmod, libc::SYS_chown, libc::SYS_lchown, libc::SYS_utime, libc::SYS_utimes, libc::SYS_futimesat];
#[cfg(not(target_arch = "x86_64"))]
const ATTRIBUTES_HERE: &[i64] = &[];

/// What gives a file its mode: the call, which argument the mode is, and which one the flags by which it makes a file, if it has any.
const MODES: &[(i64, u8, Option<u8>)] = &[
    (libc::SYS_fchmod, 1, None),
    (libc::SYS_fchmodat, 2, None),
    (/* fchmodat2 */ 452, 2, None),
    (libc::SYS_mkdirat, 2, None),
    (libc::SYS_mknodat, 2, None),
    (libc::SYS_openat, 3, Some(2)),
];
#[cfg(target_arch = "x86_64")]
const MODES_HERE: &[(i64, u8, Option<u8>)] = &[
    (libc::SYS_chmod, 1, None),
    (libc::SYS_mkdir, 1, None),
    (libc::SYS_mknod, 1, None),
    (libc::SYS_creat, 1, None),
    (libc::SYS_open, 2, Some(1)),
];
#[cfg(not(target_arch = "x86_64"))]
const MODES_HERE: &[(i64, u8, Option<u8>)] = &[];
/// `O_TMPFILE` without `O_DIRECTORY`, which is a part of it.
const TMPFILE: i32 = libc::O_TMPFILE & !libc::O_DIRECTORY;

/// `CLONE_NEWTIME`, which shares its value with a part of the signal in `clone`, is left out there.
const NAMESPACES: [i32; 7] = [
    libc::CLONE_NEWUSER,
    libc::CLONE_NEWNS,
    libc::CLONE_NEWPID,
    libc::CLONE_NEWNET,
    libc::CLONE_NEWIPC,
    libc::CLONE_NEWUTS,
    libc::CLONE_NEWCGROUP,
];

/// The old way to raw packets, which `libc` calls deprecated.
const SOCK_PACKET: i32 = 10;

type Rules = BTreeMap<i64, Vec<SeccompRule>>;

/// Puts the filter on this process for good. `own_tree`: whether it has its own tree of files.
pub(crate) fn restrict(network: &SandboxNetwork, own_tree: bool) -> Result<(), String> {
    let said = |error: seccompiler::Error| format!("seccomp: {error}");
    for program in programs(network, own_tree).map_err(|error| format!("seccomp: {error}"))? {
        seccompiler::apply_filter(&program).map_err(said)?;
    }
    Ok(())
}

fn programs(network: &SandboxNetwork, own_tree: bool) -> Result<Vec<BpfProgram>, seccompiler::BackendError> {
    let arch = TargetArch::try_from(std::env::consts::ARCH)?;
    let filter = |rules: Rules, errno: i32| -> Result<BpfProgram, seccompiler::BackendError> {
        let errno = SeccompAction::Errno(errno.unsigned_abs());
        SeccompFilter::new(rules, SeccompAction::Allow, errno, arch)?.try_into()
    };
    // The C library knows what ENOSYS means: it does with `clone`, whose flags can be seen.
    // The mode of `openat2` can't be seen either: whoever uses it knows older kernels.
    let absent = Rules::from([(libc::SYS_clone3, Vec::new()), (libc::SYS_openat2, Vec::new())]);
    Ok(vec![other_abi(), filter(absent, libc::ENOSYS)?, filter(refused(network, own_tree)?, libc::EPERM)?])
}

fn refused(network: &SandboxNetwork, own_tree: bool) -> Result<Rules, seccompiler::BackendError> {
    let mut rules: Rules = REFUSED.iter().chain(REFUSED_HERE).map(|call| (*call, Vec::new())).collect();
    // A program of Remit's user with these bits gives its rights to whoever else is on the machine.
    for (call, mode, flags) in MODES.iter().chain(MODES_HERE) {
        let mut refused = Vec::new();
        for set in [libc::S_ISUID, libc::S_ISGID].map(u32::cast_signed) {
            let set = bits(*mode, set, set)?;
            match flags {
                None => refused.push(all(&[set])?),
                // Without these the mode is whatever stands there.
                Some(flags) => {
                    for makes in [libc::O_CREAT, TMPFILE] {
                        refused.push(all(&[set.clone(), bits(*flags, makes, makes)?])?);
                    }
                }
            }
        }
        rules.insert(*call, refused);
    }
    if !own_tree {
        rules.extend(ATTRIBUTES.iter().chain(ATTRIBUTES_HERE).map(|call| (*call, Vec::new())));
    }
    let clone = NAMESPACES.iter().map(|flag| all(&[bits(0, *flag, *flag)?]));
    rules.insert(libc::SYS_clone, clone.collect::<Result<_, _>>()?);
    // Characters pushed into a terminal are commands of whoever sits there.
    let terminal = [libc::TIOCSTI, libc::TIOCLINUX];
    let terminal = terminal.iter().map(|call| all(&[is(1, i64::try_from(*call).unwrap_or_default())?]));
    rules.insert(libc::SYS_ioctl, terminal.collect::<Result<_, _>>()?);
    // Asking for the personality is fine.
    rules.insert(libc::SYS_personality, vec![all(&[not(0, 0xffff_ffff)?])?]);
    // Shared memory without a file: no limit of a process counts it.
    let shared = libc::MAP_SHARED | libc::MAP_ANONYMOUS;
    rules.insert(libc::SYS_mmap, vec![all(&[bits(3, shared, shared)?])?]);
    rules.insert(libc::SYS_socket, sockets(network, own_tree)?);
    // A pair of any other kind is made, or its module loaded, before the kernel finds that there are no pairs of it.
    rules.insert(libc::SYS_socketpair, vec![all(&[not(0, i64::from(libc::AF_UNIX))?])?]);
    Ok(rules)
}

/// Which sockets are refused. An empty list refuses all.
fn sockets(network: &SandboxNetwork, own_tree: bool) -> Result<Vec<SeccompRule>, seccompiler::BackendError> {
    let domain = |domain: i32| not(0, i64::from(domain));
    Ok(match (network, own_tree) {
        // Sockets in the machine's own files: some of them lead far, and Landlock knows them only since its ninth version.
        (SandboxNetwork::None, false) => Vec::new(),
        (SandboxNetwork::None, true) => vec![all(&[domain(libc::AF_UNIX)?])?],
        (SandboxNetwork::Egress(_) | SandboxNetwork::Host, _) => vec![
            all(&[domain(libc::AF_UNIX)?, domain(libc::AF_INET)?, domain(libc::AF_INET6)?, domain(libc::AF_NETLINK)?])?,
            all(&[is(0, i64::from(libc::AF_INET))?, bits(1, 0xf, libc::SOCK_RAW)?])?,
            all(&[is(0, i64::from(libc::AF_INET6))?, bits(1, 0xf, libc::SOCK_RAW)?])?,
            all(&[bits(1, 0xf, SOCK_PACKET)?])?,
            // The routing table may be asked, as resolvers do; nothing else of the kernel.
            all(&[is(0, i64::from(libc::AF_NETLINK))?, not(2, i64::from(libc::NETLINK_ROUTE))?])?,
        ],
    })
}

/// Refuses system calls of x32, whose numbers aren't those of this filter: `seccompiler` checks the architecture, which is the same.
fn other_abi() -> BpfProgram {
    /// linux/filter.h, linux/seccomp.h
    const LOAD_NUMBER: sock_filter = sock_filter { code: 0x20, jt: 0, jf: 0, k: 0 };
    const X32_BIT: u32 = 0x4000_0000;
    let refuse = 0x0005_0000 | libc::ENOSYS.unsigned_abs();
    vec![
        LOAD_NUMBER,
        sock_filter { code: 0x35, jt: 0, jf: 1, k: X32_BIT },
        sock_filter { code: 0x06, jt: 0, jf: 0, k: refuse },
        sock_filter { code: 0x06, jt: 0, jf: 0, k: 0x7fff_0000 },
    ]
}

/// All of these together.
fn all(conditions: &[SeccompCondition]) -> Result<SeccompRule, seccompiler::BackendError> {
    SeccompRule::new(conditions.to_vec())
}

fn is(argument: u8, value: i64) -> Result<SeccompCondition, seccompiler::BackendError> {
    SeccompCondition::new(argument, SeccompCmpArgLen::Dword, SeccompCmpOp::Eq, value.unsigned_abs())
}

fn not(argument: u8, value: i64) -> Result<SeccompCondition, seccompiler::BackendError> {
    SeccompCondition::new(argument, SeccompCmpArgLen::Dword, SeccompCmpOp::Ne, value.unsigned_abs())
}

/// Whether these bits of an argument are those of the value.
fn bits(argument: u8, mask: i32, value: i32) -> Result<SeccompCondition, seccompiler::BackendError> {
    let mask = SeccompCmpOp::MaskedEq(u64::from(mask.unsigned_abs()));
    SeccompCondition::new(argument, SeccompCmpArgLen::Dword, mask, u64::from(value.unsigned_abs()))
}
