//! What a profile grants works, and what it may not grant is refused.

use std::fs;
use std::os::unix::fs::symlink;

use remit_model::{Network, SandboxHost, SandboxMechanism, SandboxNetwork};

use crate::{World, attempt, report, under, without_namespaces, words};

#[test]
fn a_server_that_means_well_works() {
    for before in [Vec::new(), without_namespaces().unwrap_or_default()] {
        let world = World::new();
        let ran_with = |words: &[String]| {
            let words: Vec<String> = before.iter().cloned().chain(under(&world, &world.profile(), words)).collect();
            world.command(&words).output().unwrap()
        };
        // Without namespaces there is no /tmp of its own.
        let own_tmp = report(&ran_with(&words(&["true"]))).holds(SandboxMechanism::Namespaces);
        let scratch = if own_tmp { "/tmp".to_owned() } else { world.path("granted").display().to_string() };
        let mut work = attempt(&world, "work");
        work.push(format!("scratch={scratch}"));
        let ran = ran_with(&work);
        assert!(ran.status.success(), "{ran:?}");
    }
}

#[test]
fn exit_codes_are_the_programs() {
    let world = World::new();
    for (script, code) in [("exit 0", 0), ("exit 7", 7), ("kill -9 $$", 137)] {
        let ran = world.command(&under(&world, &world.profile(), &words(&["sh", "-c", script]))).output().unwrap();
        assert_eq!(ran.status.code(), Some(code), "{ran:?}");
    }
}

#[test]
fn a_network_that_is_granted_is_there_and_still_not_raw() {
    let world = World::new();
    let mut profile = world.profile();
    profile.network = SandboxNetwork::Host;
    let expected = [
        ("connects to the machine's loopback", true),
        ("sends a datagram", true),
        ("opens a raw socket", false),
        ("opens a packet socket", false),
        ("opens a vsock socket", false),
        ("reads Remit's master key", false),
    ];
    for (name, works) in expected {
        let ran = world.command(&under(&world, &profile, &attempt(&world, name))).output().unwrap();
        assert_eq!(ran.status.success(), works, "{name}: {ran:?}");
    }
}

#[test]
fn named_hosts_open_no_other_way() {
    let world = World::new();
    let mut profile = world.profile();
    let host = SandboxHost { host: "localhost".to_owned(), port: 443, network: Network::Loopback };
    profile.network = SandboxNetwork::Egress(vec![host]);
    for name in [
        "connects to the machine's loopback",
        "connects to a socket in a file",
        "connects to an abstract socket",
        "opens a raw socket",
        "opens a packet socket",
        "opens a vsock socket",
    ] {
        let ran = world.command(&under(&world, &profile, &attempt(&world, name))).output().unwrap();
        let report = report(&ran);
        assert!(!ran.status.success(), "{name}: {ran:?}");
        // Without namespaces there is no such network: then nothing is started.
        assert_eq!(report.failed.is_some(), ran.status.code() == Some(125), "{report:?}");
    }
    let before = without_namespaces().unwrap_or_default();
    let words: Vec<String> = before.into_iter().chain(under(&world, &profile, &words(&["true"]))).collect();
    let ran = world.command(&words).output().unwrap();
    assert_eq!(ran.status.code(), Some(125), "{ran:?}");
    assert!(report(&ran).failed.unwrap().contains("a network of named hosts needs namespaces"), "{ran:?}");
}

#[test]
fn what_only_remit_may_touch_cant_be_granted() {
    let world = World::new();
    symlink(world.path("data"), world.path("link")).unwrap();
    fs::create_dir(world.path("data/below")).unwrap();
    let whole = world.path("").display().to_string();
    let whole = whole.trim_end_matches('/').to_owned();
    let paths =
        ["data", "data/master.key", "data/below", "link", "link/master.key"].map(|path| world.path(path).display().to_string());
    for path in paths.into_iter().chain([whole]) {
        for kind in 0..3 {
            let mut profile = world.profile();
            [&mut profile.read, &mut profile.write, &mut profile.execute][kind].push(path.clone());
            let ran = world.command(&under(&world, &profile, &words(&["true"]))).output().unwrap();
            assert_eq!(ran.status.code(), Some(125), "{path}: {ran:?}");
            let why = report(&ran).failed.unwrap();
            assert!(why.contains("which only Remit itself may touch"), "{why}");
        }
    }
}

#[test]
fn what_isnt_there_starts_nothing() {
    let world = World::new();
    let mut profile = world.profile();
    profile.read.push("/nowhere".to_owned());
    let ran = world.command(&under(&world, &profile, &words(&["true"]))).output().unwrap();
    assert_eq!(ran.status.code(), Some(125));
    assert!(report(&ran).failed.unwrap().contains("the profile grants `/nowhere`"), "{ran:?}");
}

#[test]
fn what_is_required_must_hold() {
    let world = World::new();
    let mut profile = world.profile();
    profile.require = vec![SandboxMechanism::Seccomp, SandboxMechanism::Namespaces];
    let before = without_namespaces().unwrap_or_default();
    let words: Vec<String> = before.into_iter().chain(under(&world, &profile, &words(&["true"]))).collect();
    let ran = world.command(&words).output().unwrap();
    assert_eq!(ran.status.code(), Some(125), "{ran:?}");
    let why = report(&ran).failed.unwrap();
    assert!(why.contains("the profile `hostile` requires namespaces, which this machine lacks"), "{why}");
}

/// Why nothing was started under a profile that grants these paths to be written.
fn refused(world: &World, before: &[String], write: &[&str]) -> String {
    let mut profile = world.profile();
    profile.write.extend(write.iter().map(|path| (*path).to_owned()));
    let words: Vec<String> = before.iter().cloned().chain(under(world, &profile, &words(&["true"]))).collect();
    let ran = world.command(&words).output().unwrap();
    assert_eq!(ran.status.code(), Some(125), "{write:?}: {ran:?}");
    report(&ran).failed.unwrap()
}

#[test]
fn a_link_that_a_server_planted_grants_nothing() {
    let world = World::new();
    let out = world.path("granted/out").display().to_string();
    fs::create_dir(&out).unwrap();
    let mut profile = world.profile();
    profile.write.push(out.clone());
    let script = format!("rmdir {out} && ln -s {} {out}", world.path("outside").display());
    let ran = world.command(&under(&world, &profile, &words(&["sh", "-c", &script]))).output().unwrap();
    assert!(ran.status.success(), "{ran:?}");
    // At the next start.
    let why = refused(&world, &[], &[&out]);
    assert!(why.contains("which lies in a folder that may be written"), "{why}");
    // The operator's own links lead where they lead, but not through what the server may change.
    symlink(world.path("granted/out"), world.path("link")).unwrap();
    let why = refused(&world, &[], &[&world.path("link").display().to_string()]);
    assert!(why.contains("which lies in a folder that may be written"), "{why}");
}

#[test]
fn the_kernel_s_own_files_cant_be_granted_by_another_name() {
    let world = World::new();
    symlink("/proc/sys", world.path("settings")).unwrap();
    symlink("/", world.path("all")).unwrap();
    for path in [
        "//proc/sys",
        "//dev",
        "/usr/..",
        &world.path("settings").display().to_string(),
        &world.path("all").display().to_string(),
    ] {
        let why = refused(&world, &[], &[path]);
        assert!(why.contains("that can't be granted"), "{path}: {why}");
    }
}

#[test]
fn what_only_remit_may_touch_is_known_by_another_name() {
    let world = World::new();
    fs::create_dir_all(world.path("alias/below")).unwrap();
    fs::create_dir(world.path("data/keys")).unwrap();
    let (data, alias) = (world.path("data").display().to_string(), world.path("alias/below").display().to_string());
    let script = |from: &str| format!("mount --bind {from} {alias} && exec \"$@\"");
    for from in [data.clone(), format!("{data}/keys")] {
        let before = words(&["unshare", "-rm", "sh", "-c", &script(&from), "sh"]);
        let tried = std::process::Command::new(&before[0]).args(&before[1..]).arg("true").output();
        if !tried.is_ok_and(|tried| tried.status.success()) {
            return;
        }
        for path in [&alias, &world.path("alias").display().to_string()] {
            let why = refused(&world, &before, &[path]);
            assert!(why.contains("which only Remit itself may touch"), "{why}");
        }
    }
}

#[test]
fn what_landlock_cant_hold_alone_isnt_promised() {
    let world = World::new();
    let before = without_namespaces().unwrap_or_default();
    fs::create_dir(world.path("readable/written")).unwrap();
    fs::create_dir(world.path("granted/read")).unwrap();
    // What may be written may lie in what may be read.
    let mut profile = world.profile();
    profile.write.push(world.path("readable/written").display().to_string());
    let ran = |profile: &remit_model::SandboxProfile| {
        let words: Vec<String> = before.iter().cloned().chain(under(&world, profile, &words(&["true"]))).collect();
        world.command(&words).output().unwrap()
    };
    assert!(ran(&profile).status.success());
    profile.read.push(world.path("granted/read").display().to_string());
    let why = report(&ran(&profile)).failed.unwrap();
    assert!(why.contains("without namespaces nothing keeps them apart"), "{why}");
}

#[test]
fn a_lack_of_memory_ends_the_server_first() {
    let world = World::new();
    for before in [Vec::new(), without_namespaces().unwrap_or_default()] {
        let script = "read score </proc/self/oom_score_adj; test $score = 1000";
        let words: Vec<String> =
            before.iter().cloned().chain(under(&world, &world.profile(), &words(&["sh", "-c", script]))).collect();
        let ran = world.command(&words).output().unwrap();
        assert!(ran.status.success(), "{ran:?}");
    }
}
