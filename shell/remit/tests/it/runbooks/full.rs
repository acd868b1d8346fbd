//! A disk that something else has filled: a small file system, in a mount namespace of its own.

use std::path::Path;
use std::process::{Command, Stdio};

use serde_json::json;
use tempfile::TempDir;

use super::{Count, Duty, Runbook};
use crate::client::send;
use crate::gateway::{Place, config, until};

pub(super) const SECTION: &str = "Disk full";
/// Tells the test that runs within the namespace where its file system is to be.
const DISK: &str = "REMIT_TEST_SMALL_DISK";
const DISK_MIB: u64 = 256;

#[test]
fn a_full_disk() {
    if let Some(disk) = std::env::var_os(DISK) {
        return within(Path::new(&disk));
    }
    let dir = TempDir::new().unwrap();
    // Who isn't root is root in a namespace of users.
    let permitted = |namespaces: &&&[&str]| {
        let tried = Command::new("unshare").args(**namespaces).arg("true").stderr(Stdio::null()).status();
        tried.unwrap().success()
    };
    let namespaces = [&["--mount"][..], &["--mount", "--user", "--map-root-user"]];
    let namespaces = namespaces.iter().find(permitted).expect("no file system may be mounted here");
    let name = format!("{}::a_full_disk", module_path!().split_once("::").unwrap().1);
    let mut again = Command::new("unshare");
    again.args(*namespaces).arg(std::env::current_exe().unwrap()).args(["--exact", &name, "--nocapture"]);
    let done = again.env(DISK, dir.path()).output().unwrap();
    let said = format!("{}{}", String::from_utf8_lossy(&done.stdout), String::from_utf8_lossy(&done.stderr));
    assert!(done.status.success() && said.contains("1 passed"), "{said}");
}

fn within(disk: &Path) {
    let mount = |options: &str| {
        let done = Command::new("mount").args(["-t", "tmpfs", "-o", options, "none"]).arg(disk).status();
        assert!(done.unwrap().success(), "{options}");
    };
    mount(&format!("size={DISK_MIB}m"));
    let runbook = Runbook::of(SECTION);
    assert_eq!(runbook.count(), Count { commands: 6, judged: 1 });
    let place = Place::within(disk);
    place.write(&config(&[json!({"name": "helpdesk", "command": ["remit", "sample-server", "helpdesk"]})]));
    let mut duty = Duty::at(place, &["--journal-segment-kib", "256"]);
    duty.remit().until_server("helpdesk", "ready");
    let status = |duty: &Duty| {
        let client = duty.remit().client("agent-1", "helpdesk");
        client.modern("tools/call", r#"{"name":"helpdesk___search_kb","arguments":{"query":"vpn"}}"#).status
    };
    assert_eq!(status(&duty), 200);
    // Something that isn't Remit's takes what there is.
    let dump = disk.join("core.dump");
    let filled = std::io::copy(&mut std::io::repeat(1), &mut std::fs::File::create(&dump).unwrap()).unwrap_err();
    assert_eq!(filled.kind(), std::io::ErrorKind::StorageFull);
    let mut answered = 0;
    until("the journal is full", || {
        let made = status(&duty) == 200;
        answered += u32::from(made);
        !made
    });
    assert_eq!(status(&duty), 503);
    duty.follow(&runbook, "", |duty, commands| {
        if commands.starts_with("df ") {
            assert_eq!(status(duty), 503, "it stays so");
            std::fs::remove_file(&dump).unwrap();
            assert_eq!(status(duty), 503, "room alone resumes nothing");
            assert_eq!(send(duty.remit().control, "GET /readyz", &[], b"").status, 503);
        }
    });
    assert_eq!(status(&duty), 200);
    let place = duty.remit.unwrap().stop();
    let made = place.log_of("decision").len();
    assert!(made >= answered as usize + 2, "{made} of {answered}");
}
