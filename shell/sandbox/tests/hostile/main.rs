//! A hostile server: `hostile ATTEMPT key=value…` tries one thing and exits with 0 if it got it, with 1 if it didn't.
#![allow(unsafe_code, reason = "it does what a hostile program does")]
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, clippy::print_stdout, reason = "a test's program")]
#![allow(clippy::cast_sign_loss, clippy::cast_possible_truncation, clippy::cast_possible_wrap, reason = "system calls by number")]
#![allow(clippy::too_many_lines, reason = "one arm an attempt")]

use std::collections::HashMap;
use std::ffi::CString;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read as _, Write as _};
use std::net::{TcpListener, TcpStream, UdpSocket};
use std::os::fd::{AsRawFd as _, FromRawFd as _};
use std::os::linux::net::SocketAddrExt as _;
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _, symlink};
use std::os::unix::net::{SocketAddr, UnixListener, UnixStream};
use std::path::Path;
use std::process::{Command, Stdio, exit};

const MIB: usize = 1024 * 1024;

fn main() {
    let mut arguments = std::env::args().skip(1);
    let attempt = arguments.next().unwrap();
    let said: HashMap<String, String> =
        arguments.filter_map(|one| one.split_once('=').map(|(key, value)| (key.to_owned(), value.to_owned()))).collect();
    match attempted(&attempt, &said) {
        Ok(true) => exit(0),
        Ok(false) => exit(1),
        Err(error) => {
            println!("{error}");
            exit(1)
        }
    }
}

fn call(number: libc::c_long, arguments: [usize; 5]) -> io::Result<i64> {
    let [a, b, c, d, e] = arguments;
    // A system call by its number, as an exploit makes it.
    let answer = unsafe { libc::syscall(number, a, b, c, d, e, 0_usize) };
    if answer < 0 { Err(io::Error::last_os_error()) } else { Ok(answer) }
}

/// Whether a system call gets as far as the code of the kernel that does it: anything but a flat refusal.
fn reaches(number: libc::c_long, arguments: [usize; 5]) -> bool {
    match call(number, arguments) {
        Ok(_) => true,
        Err(error) => !matches!(error.raw_os_error(), Some(libc::EPERM | libc::EACCES | libc::ENOSYS)),
    }
}

fn socket(domain: i32, kind: i32, protocol: i32) -> io::Result<bool> {
    call(libc::SYS_socket, [domain as usize, kind as usize, protocol as usize, 0, 0]).map(|_| true)
}

fn holds_secret(path: impl AsRef<Path>) -> io::Result<bool> {
    Ok(String::from_utf8_lossy(&fs::read(path)?).contains("canary"))
}

fn victim_shm_key(pid: &str) -> usize {
    0x5eed_0000 + pid.parse::<usize>().unwrap()
}

/// Takes memory and writes to it.
fn take_memory(flags: i32, size: usize) -> io::Result<bool> {
    let protection = (libc::PROT_READ | libc::PROT_WRITE) as usize;
    let at = call(libc::SYS_mmap, [0, size, protection, (flags | libc::MAP_ANONYMOUS) as usize, usize::MAX])? as usize;
    for page in (0..size).step_by(4096) {
        unsafe { *((at + page) as *mut u8) = 1 };
    }
    Ok(true)
}

fn attempted(attempt: &str, said: &HashMap<String, String>) -> io::Result<bool> {
    let of = |key: &str| said.get(key).unwrap_or_else(|| panic!("no {key}")).clone();
    let (key, outside, granted, victim) = (of("key"), of("outside"), of("granted"), of("victim"));
    let (outside, granted) = (Path::new(&outside), Path::new(&granted));
    let victim_pid = victim.parse::<usize>().unwrap_or_default();
    Ok(match attempt {
        // What a server that means well does: everything of this must work under the sandbox.
        "work" => {
            fs::write(granted.join("made"), "by the server")?;
            fs::rename(granted.join("made"), granted.join("kept"))?;
            fs::write(Path::new(&of("scratch")).join("own"), "scratch")?;
            let ran = Command::new("/bin/sh").args(["-c", "echo fine"]).output()?.stdout == b"fine\n";
            let thread = std::thread::spawn(|| 7).join().unwrap() == 7;
            let proc = fs::read_to_string("/proc/self/status")?.contains("hostile");
            ran && thread && proc && fs::read_to_string(granted.join("kept"))? == "by the server"
        }
        "victim" => {
            let shared = call(libc::SYS_shmget, [victim_shm_key(&std::process::id().to_string()), 4096, 0o1666, 0, 0])?;
            let address = SocketAddr::from_abstract_name(format!("remit-victim-{}", std::process::id()))?;
            let listener = UnixListener::bind_addr(&address)?;
            println!("ready");
            let _ = io::stdin().read(&mut [0]);
            drop(listener);
            call(libc::SYS_shmctl, [shared as usize, libc::IPC_RMID as usize, 0, 0, 0])?;
            true
        }
        "reads Remit's master key" => holds_secret(&key)?,
        "… by a path with dots" => holds_secret(format!("/tmp/../../..{key}"))?,
        "… through a link of its own" => {
            let link = granted.join("link");
            let _ = fs::remove_file(&link);
            symlink(&key, &link)?;
            holds_secret(link)?
        }
        "… through a hard link" => {
            let link = granted.join("hard");
            let _ = fs::remove_file(&link);
            fs::hard_link(&key, &link)?;
            holds_secret(link)?
        }
        "… through /proc/self/root" => holds_secret(format!("/proc/self/root{key}"))?,
        "… through /proc/1/root" => holds_secret(format!("/proc/1/root{key}"))?,
        "… through another process's root" => holds_secret(format!("/proc/{victim}/root{key}"))?,
        "lists Remit's data directory" => fs::read_dir(Path::new(&key).parent().unwrap())?.count() > 0,
        "reads /etc/shadow" => fs::read("/etc/shadow")?.len() > 1,
        "lists the home of root" => fs::read_dir("/root").map(|_| true)?,
        "lists /sys" => fs::read_dir("/sys")?.count() > 0,
        "reads another's environment" => holds_secret(format!("/proc/{victim}/environ"))?,
        "sees another process" => Path::new(&format!("/proc/{victim}/status")).exists() && victim_pid > 0,
        "has Remit's environment" => std::env::var("REMIT_SECRET").is_ok(),
        "has a descriptor of Remit's" => {
            let mut text = String::new();
            unsafe { File::from_raw_fd(9) }.read_to_string(&mut text)?;
            text.contains("canary")
        }
        "traces another process" => {
            call(libc::SYS_ptrace, [libc::PTRACE_SEIZE as usize, victim_pid, 0, 0, 0])?;
            true
        }
        "traces a child" => reaches(libc::SYS_ptrace, [libc::PTRACE_TRACEME as usize, 0, 0, 0, 0]),
        "reads another's memory" => {
            let mut byte = [0_u8; 1];
            let own = libc::iovec { iov_base: byte.as_mut_ptr().cast(), iov_len: 1 };
            let remote = libc::iovec { iov_base: std::ptr::null_mut(), iov_len: 1 };
            // EFAULT: it may, and there is nothing at zero.
            reaches(libc::SYS_process_vm_readv, [victim_pid, &raw const own as usize, 1, &raw const remote as usize, 1])
                && Path::new(&format!("/proc/{victim}")).exists()
        }
        "opens another's /proc/…/mem" => File::open(format!("/proc/{victim}/mem")).map(|_| true)?,
        "opens its parent's /proc/…/mem" => {
            File::open(format!("/proc/{}/mem", std::os::unix::process::parent_id())).map(|_| true)?
        }
        "signals another process" => call(libc::SYS_kill, [victim_pid, libc::SIGCONT as usize, 0, 0, 0]).map(|_| true)?,
        "attaches another's shared memory" => {
            let id = call(libc::SYS_shmget, [victim_shm_key(&victim), 0, 0, 0, 0])?;
            call(libc::SYS_shmat, [id as usize, 0, 0, 0, 0]).map(|_| true)?
        }
        "connects to the machine's loopback" => TcpStream::connect(of("tcp")).map(|_| true)?,
        "sends a datagram" => UdpSocket::bind("127.0.0.1:0")?.send_to(b"x", of("udp")).map(|_| true)?,
        "listens on a port" => TcpListener::bind("0.0.0.0:0").map(|_| true)?,
        "connects to a socket in a file" => UnixStream::connect(of("unix")).map(|_| true)?,
        "connects to an abstract socket" => {
            let address = SocketAddr::from_abstract_name(format!("remit-victim-{victim}"))?;
            UnixStream::connect_addr(&address).map(|_| true)?
        }
        "opens a raw socket" => socket(libc::AF_INET, libc::SOCK_RAW, libc::IPPROTO_ICMP)?,
        "opens a packet socket" => socket(libc::AF_PACKET, libc::SOCK_RAW, 0)?,
        "opens a netlink socket" => socket(libc::AF_NETLINK, libc::SOCK_RAW, libc::NETLINK_ROUTE)?,
        "opens a socket of the crypto interface" => socket(libc::AF_ALG, libc::SOCK_SEQPACKET, 0)?,
        "opens a vsock socket" => socket(libc::AF_VSOCK, libc::SOCK_STREAM, 0)?,
        "makes a socket of a kind that has no pairs" => {
            reaches(libc::SYS_socketpair, [libc::AF_NETLINK as usize, libc::SOCK_STREAM as usize, 0, 0, 0])
        }
        "writes outside" => fs::write(outside.join("new"), "x").map(|()| true)?,
        "overwrites a file outside" => OpenOptions::new().write(true).open(outside.join("file"))?.write(b"x").map(|_| true)?,
        "truncates a file outside" => {
            let path = CString::new(outside.join("file").to_str().unwrap())?;
            call(libc::SYS_truncate, [path.as_ptr() as usize, 0, 0, 0, 0]).map(|_| true)?
        }
        "deletes a file outside" => fs::remove_file(outside.join("delete")).map(|()| true)?,
        "renames a file outside" => fs::rename(outside.join("rename"), outside.join("renamed")).map(|()| true)?,
        "makes a folder outside" => fs::create_dir(outside.join("folder")).map(|()| true)?,
        "changes a mode outside" => {
            fs::set_permissions(outside.join("file"), fs::Permissions::from_mode(0o777)).map(|()| true)?
        }
        "changes the mode of the key" => fs::set_permissions(&key, fs::Permissions::from_mode(0o666)).map(|()| true)?,
        "changes times outside" => {
            File::open(outside)?.set_modified(std::time::SystemTime::UNIX_EPOCH)?;
            true
        }
        "writes where it may only read" => fs::write(Path::new(&of("readable")).join("new"), "x").map(|()| true)?,
        "changes a mode where it may only read" => {
            fs::set_permissions(Path::new(&of("readable")).join("file"), fs::Permissions::from_mode(0o777)).map(|()| true)?
        }
        "runs a program that it wrote" => {
            let program = granted.join("program");
            fs::copy("/bin/true", &program)?;
            Command::new(&program).status()?.success()
        }
        "… by the loader" => {
            let (program, loader) = (granted.join("program"), ["/lib64/ld-linux-x86-64.so.2", "/lib/ld-linux-aarch64.so.1"]);
            fs::copy("/bin/true", &program)?;
            let loader = loader.iter().find(|path| Path::new(path).exists()).unwrap();
            Command::new(loader).arg(&program).stderr(Stdio::null()).status()?.success()
        }
        "lends its rights to whoever runs its program" => {
            let lent = granted.join("lent");
            drop(OpenOptions::new().write(true).create_new(true).mode(0o6755).open(&lent));
            drop(File::create(&lent)?);
            let _ = fs::set_permissions(&lent, fs::Permissions::from_mode(0o4755));
            fs::metadata(&lent)?.permissions().mode() & 0o6000 != 0
        }
        "makes a device" => {
            let path = CString::new(granted.join("device").to_str().unwrap())?;
            call(
                libc::SYS_mknodat,
                [libc::AT_FDCWD as usize, path.as_ptr() as usize, (libc::S_IFBLK | 0o600) as usize, 0x0800, 0],
            )
            .map(|_| true)?
        }
        "mounts" => {
            let (kind, at) = (c"tmpfs".as_ptr() as usize, CString::new(granted.to_str().unwrap())?);
            call(libc::SYS_mount, [kind, at.as_ptr() as usize, kind, 0, 0])?;
            call(libc::SYS_umount2, [at.as_ptr() as usize, 0, 0, 0, 0]).map(|_| true)?
        }
        "makes a user namespace" => call(libc::SYS_unshare, [libc::CLONE_NEWUSER as usize, 0, 0, 0, 0]).map(|_| true)?,
        "… by clone" => {
            let child = call(libc::SYS_clone, [(libc::CLONE_NEWUSER | libc::SIGCHLD) as usize, 0, 0, 0, 0])?;
            if child == 0 {
                exit(0);
            }
            true
        }
        "… by clone3" => {
            let mut clone: [u64; 11] = [0; 11];
            (clone[0], clone[4]) = (libc::CLONE_NEWUSER as u64, libc::SIGCHLD as u64);
            let child = call(libc::SYS_clone3, [clone.as_ptr() as usize, 88, 0, 0, 0])?;
            if child == 0 {
                exit(0);
            }
            true
        }
        "enters another's namespace" => {
            let file = File::open(format!("/proc/{victim}/ns/net"))?;
            use std::os::fd::AsRawFd as _;
            call(libc::SYS_setns, [file.as_raw_fd() as usize, libc::CLONE_NEWNET as usize, 0, 0, 0]).map(|_| true)?
        }
        "changes its root" => call(libc::SYS_chroot, [c"/".as_ptr() as usize, 0, 0, 0, 0]).map(|_| true)?,
        "names files by handles" => {
            let mut handle = [0_u64; 32];
            handle[0] = 128;
            let (mut mount, at) = (0_i32, c"/usr".as_ptr() as usize);
            let (handle, mount) = (handle.as_mut_ptr() as usize, &raw mut mount as usize);
            call(libc::SYS_name_to_handle_at, [libc::AT_FDCWD as usize, at, handle, mount, 0]).map(|_| true)?
        }
        "loads BPF" => {
            // BPF_MAP_CREATE of an array with one member.
            let map: [u32; 18] = [2, 4, 8, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
            call(libc::SYS_bpf, [0, map.as_ptr() as usize, 72, 0, 0]).map(|_| true)?
        }
        "counts the machine's events" => {
            // PERF_TYPE_SOFTWARE, PERF_COUNT_SW_CPU_CLOCK.
            let mut event = [0_u32; 28];
            (event[0], event[1]) = (1, 112);
            call(libc::SYS_perf_event_open, [event.as_ptr() as usize, 0, usize::MAX, usize::MAX, 0]).map(|_| true)?
        }
        "uses the kernel's key rings" => {
            let (kind, name) = (c"user".as_ptr() as usize, c"remit".as_ptr() as usize);
            call(libc::SYS_add_key, [kind, name, name, 5, (-2_isize) as usize]).map(|_| true)?
        }
        "handles page faults" => call(libc::SYS_userfaultfd, [1, 0, 0, 0, 0]).map(|_| true)?,
        "uses io_uring" => {
            let mut parameters = [0_u32; 30];
            call(libc::SYS_io_uring_setup, [2, parameters.as_mut_ptr() as usize, 0, 0, 0]).map(|_| true)?
        }
        "loads a kernel module" => reaches(libc::SYS_init_module, [c"".as_ptr() as usize, 1, c"".as_ptr() as usize, 0, 0]),
        "boots another kernel" => reaches(libc::SYS_kexec_load, [0, usize::MAX, 0, 0, 0]),
        "turns randomization off" => call(libc::SYS_personality, [0x0004_0000, 0, 0, 0, 0]).map(|_| true)?,
        "types into a terminal" => reaches(libc::SYS_ioctl, [0, libc::TIOCSTI as usize, c"x".as_ptr() as usize, 0, 0]),
        "reads the kernel's log" => call(libc::SYS_syslog, [10, 0, 0, 0, 0]).map(|_| true)?,
        "names the host" => {
            let name = fs::read_to_string("/proc/sys/kernel/hostname")?;
            let name = name.trim();
            call(libc::SYS_sethostname, [name.as_ptr() as usize, name.len(), 0, 0, 0]).map(|_| true)?
        }
        "changes a setting of the kernel" => {
            let path = "/proc/sys/vm/overcommit_memory";
            let now = fs::read_to_string(path)?;
            OpenOptions::new().write(true).open(path)?.write(now.as_bytes()).map(|_| true)?
        }
        "opens the kernel's emergency keys" => OpenOptions::new().write(true).open("/proc/sysrq-trigger").map(|_| true)?,
        "becomes another user" => call(libc::SYS_setuid, [65534, 0, 0, 0, 0]).map(|_| true)?,
        "gains rights by execution" => unsafe { libc::prctl(libc::PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0) == 0 },
        "has capabilities" => {
            let status = fs::read_to_string("/proc/self/status")?;
            status.lines().filter_map(|line| line.strip_prefix("CapEff:")).any(|set| u64::from_str_radix(set.trim(), 16) != Ok(0))
        }
        "fills memory" => take_memory(libc::MAP_PRIVATE, 300 * MIB)?,
        "fills shared memory" => take_memory(libc::MAP_SHARED, 300 * MIB)?,
        "fills memory files" => {
            let fd = call(libc::SYS_memfd_create, [c"x".as_ptr() as usize, 0, 0, 0, 0])?;
            let mut file = unsafe { File::from_raw_fd(fd as i32) };
            (0..300).try_for_each(|_| file.write_all(&vec![1; MIB])).map(|()| true)?
        }
        "fills the memory of a device" => {
            let zero = OpenOptions::new().read(true).write(true).open("/dev/zero")?;
            let protection = (libc::PROT_READ | libc::PROT_WRITE) as usize;
            let (shared, fd) = (libc::MAP_SHARED as usize, zero.as_raw_fd() as usize);
            let at = call(libc::SYS_mmap, [0, 300 * MIB, protection, shared, fd])? as usize;
            (0..300 * MIB).step_by(4096).for_each(|page| unsafe { *((at + page) as *mut u8) = 1 });
            true
        }
        "fills memory with semaphores" => {
            let id = call(libc::SYS_semget, [libc::IPC_PRIVATE as usize, 32_000, 0o600, 0, 0])? as usize;
            call(libc::SYS_semctl, [id, 0, libc::IPC_RMID as usize, 0, 0]).map(|_| true)?
        }
        "fills memory with messages" => {
            let id = call(libc::SYS_msgget, [libc::IPC_PRIVATE as usize, 0o600, 0, 0, 0])? as usize;
            call(libc::SYS_msgctl, [id, libc::IPC_RMID as usize, 0, 0, 0]).map(|_| true)?
        }
        "takes the machine's asynchronous requests" => reaches(libc::SYS_io_setup, [60_000, 0, 0, 0, 0]),
        "forks without end" => {
            let mut children = Vec::new();
            for _ in 0..400 {
                match call(libc::SYS_clone, [libc::SIGCHLD as usize, 0, 0, 0, 0]) {
                    Ok(0) => loop {
                        unsafe { libc::pause() };
                    },
                    Ok(child) => children.push(child),
                    Err(_) => break,
                }
            }
            for child in &children {
                unsafe { libc::kill(*child as i32, libc::SIGKILL) };
            }
            children.len() == 400
        }
        "opens files without end" => {
            let opened: Vec<File> = (0..200).map_while(|_| File::open("/dev/null").ok()).collect();
            opened.len() == 200
        }
        "writes a huge file" => {
            unsafe { libc::signal(libc::SIGXFSZ, libc::SIG_IGN) };
            let path = granted.join("huge");
            let mut file = File::create(&path)?;
            let written = (0..40).try_for_each(|_| file.write_all(&vec![1; MIB]));
            fs::remove_file(&path)?;
            written.map(|()| true)?
        }
        "fills /tmp" => {
            let folder = std::env::temp_dir().join(format!("hostile-{}", std::process::id()));
            fs::create_dir(&folder)?;
            let written = (0..20).try_for_each(|at| fs::write(folder.join(at.to_string()), vec![1; 2 * MIB]));
            fs::remove_dir_all(&folder)?;
            written.map(|()| true)?
        }
        "fills /tmp with empty files" => {
            let folder = std::env::temp_dir().join(format!("hostile-{}", std::process::id()));
            fs::create_dir(&folder)?;
            let made = (0..5_000).try_for_each(|at| File::create(folder.join(at.to_string())).map(drop));
            fs::remove_dir_all(&folder)?;
            made.map(|()| true)?
        }
        "uses the processor without end" => {
            let used = || {
                let mut spent = unsafe { std::mem::zeroed::<libc::timespec>() };
                unsafe { libc::clock_gettime(libc::CLOCK_PROCESS_CPUTIME_ID, &raw mut spent) };
                spent.tv_sec * 1000 + spent.tv_nsec / 1_000_000
            };
            while used() < 1500 {}
            true
        }
        // Not an attempt of its own: a process that holds a lock for as long as it lives, in a session of its own, deaf to signals.
        "lingers" => {
            let alive = File::create(granted.join("alive"))?;
            alive.lock()?;
            if call(libc::SYS_clone, [libc::SIGCHLD as usize, 0, 0, 0, 0])? == 0 {
                unsafe { libc::setsid() };
                if call(libc::SYS_clone, [libc::SIGCHLD as usize, 0, 0, 0, 0])? != 0 {
                    exit(0);
                }
                for signal in 1..32 {
                    unsafe { libc::signal(signal, libc::SIG_IGN) };
                }
                // What it was started with it lets go of: nothing but the lock says that it lives.
                for fd in 0..3 {
                    unsafe { libc::close(fd) };
                }
                fs::write(granted.join("pid"), std::process::id().to_string())?;
                loop {
                    unsafe { libc::pause() };
                }
            }
            while !granted.join("pid").exists() {
                std::thread::yield_now();
            }
            println!("ready");
            if said.contains_key("stays") {
                let _ = io::stdin().read(&mut [0]);
            }
            true
        }
        other => panic!("no attempt {other}"),
    })
}
