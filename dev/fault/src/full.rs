//! A small file system that fills up: appends are refused, nothing that was acknowledged is lost, and service resumes when there is room again.
//!
//! The file systems are mounted in a mount namespace of their own, so that nothing is left of them: `tmpfs` with a size, and ext4 on a loop
//! device where that is permitted. With `--remit PATH` the gateway itself is filled too, call by call.

mod gateway;

use std::fs;
use std::io::{BufRead as _, BufReader, Write as _};
use std::path::Path;
use std::process::{Command, Stdio};

use crate::oracle::Oracle;
use crate::random::Random;
use crate::report::{Tally, cannot, say};
use crate::workload::Plan;
use crate::{Mode, log};

const ROUNDS: u64 = 25;
const ROUNDS_SHORT: u64 = 3;
const SIZE_KIB: u64 = 8 * 1024;
const SEGMENT_BYTES: u64 = 32 * 1024;
const PRODUCERS: u64 = 4;
/// How many entries each producer appends when there is room again.
const ENTRIES_AFTER: u64 = 40;

/// Runs [`inside`] in a mount namespace.
pub(crate) fn run(mode: Mode) -> Result<Tally, String> {
    let remit = option("--remit");
    if remit.is_none() {
        say("without `--remit PATH` only the journal is tested, not the gateway over it");
    }
    let exe = std::env::current_exe().map_err(cannot("find this program"))?;
    let mut tally = Tally::default();
    // Who isn't root is root in a namespace of users.
    for namespaces in [&["--mount"][..], &["--mount", "--user", "--map-root-user"]] {
        let permitted = Command::new("unshare").args(namespaces).arg("true").stderr(Stdio::null()).status();
        if !permitted.map_err(cannot("start `unshare`"))?.success() {
            continue;
        }
        let mut command = Command::new("unshare");
        command.args(namespaces).arg(exe).arg("full-inside");
        command.args(mode.short.then_some("--short")).args(mode.faulty.then_some("--faulty"));
        command.args(remit.iter().flat_map(|path| ["--remit", path]));
        let output = command.stderr(Stdio::inherit()).output().map_err(cannot("start `unshare`"))?;
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        let mut lines: Vec<&str> = text.lines().collect();
        let told = lines.pop().unwrap_or_default();
        lines.iter().for_each(|line| say(line));
        let mut figures = told.split(", ").filter_map(|part| part.rsplit_once(' ')?.1.parse().ok());
        let (Some(injected), Some(lost)) = (figures.next(), figures.next()) else {
            return Err(format!("nothing was told: {}", output.status));
        };
        (tally.injected, tally.lost) = (injected, lost);
        if !output.status.success() {
            tally.broke("see above".to_owned());
        }
        return Ok(tally);
    }
    Err("no file system may be mounted here: neither as root nor in a namespace of users".to_owned())
}

/// Mounts the small file systems and fills them.
pub(crate) fn inside(mode: Mode) -> Result<Tally, String> {
    let place = tempfile::tempdir().map_err(cannot("make a directory"))?;
    let mut tally = Tally::default();
    let small = place.path().join("small");
    fs::create_dir(&small).map_err(cannot("make a directory"))?;
    let size = format!("size={SIZE_KIB}k");
    if !done(Command::new("mount").args(["-t", "tmpfs", "-o", &size, "none"]).arg(&small)) {
        return Err("`tmpfs` can't be mounted".to_owned());
    }
    fill("tmpfs", &small, mode, &mut tally)?;
    unmount(&small)?;
    let disk = place.path().join("disk");
    let sized = fs::File::create(&disk).and_then(|file| file.set_len(SIZE_KIB * 1024));
    sized.map_err(cannot("make a disk"))?;
    let formatted = done(Command::new("mkfs.ext4").args(["-q", "-F", "-m", "0"]).arg(&disk));
    if formatted && done(Command::new("mount").args(["-o", "loop"]).arg(&disk).arg(&small)) {
        fill("ext4 on a loop device", &small, mode, &mut tally)?;
        unmount(&small)?;
    } else {
        say("ext4 on a loop device: can't be mounted here, so only `tmpfs` was used");
    }
    if let Some(remit) = option("--remit") {
        gateway::fill(Path::new(&remit), &small, &mut tally)?;
    }
    Ok(tally)
}

/// The value of an option of this program.
fn option(name: &str) -> Option<String> {
    std::env::args().skip_while(|argument| argument != name).nth(1)
}

fn done(command: &mut Command) -> bool {
    command.stdout(Stdio::null()).stderr(Stdio::null()).status().is_ok_and(|status| status.success())
}

fn unmount(place: &Path) -> Result<(), String> {
    if done(Command::new("umount").arg(place)) { Ok(()) } else { Err("a file system can't be unmounted".to_owned()) }
}

/// What a workload came to.
#[derive(Default)]
struct Ended {
    acknowledged: u64,
    /// How many of its entries were refused because there is no room.
    no_room: u64,
    /// How many were refused for anything else, or taken after a refusal.
    otherwise: u64,
    code: Option<i32>,
}

/// Fills the file system again and again.
fn fill(what: &str, small: &Path, mode: Mode, tally: &mut Tally) -> Result<(), String> {
    let rounds = if mode.short { ROUNDS_SHORT } else { ROUNDS };
    let mut random = Random::new(10);
    let (mut acknowledged, mut refused, mut not_opened) = (0, 0, 0);
    for round in 0..rounds {
        let when = format!("{what}, round {round}");
        let dir = small.join("journal");
        let mut oracle = Oracle::default();
        // Some room is left for the journal to begin in.
        let room = 512 * 1024 + random.below(1024 * 1024);
        let ballast = small.join("ballast");
        ballast_make(&ballast, room)?;
        let full = work(&dir, 3 * round, 0, mode, &mut oracle, tally)?;
        tally.injected += full.no_room;
        if full.no_room < PRODUCERS || full.otherwise > 0 {
            tally.broke(format!("{when}: {} refused for want of room, {} otherwise", full.no_room, full.otherwise));
        }
        check(&dir, &oracle, &when, tally);
        // There is no room still: an opening that fails has promised nothing.
        ballast_make(&small.join("more"), 0)?;
        let still = work(&dir, 3 * round + 1, 1, mode, &mut oracle, tally)?;
        not_opened += u64::from(still.code == Some(4));
        tally.injected += still.no_room + u64::from(still.code == Some(4));
        check(&dir, &oracle, &when, tally);
        for file in [ballast, small.join("more")] {
            fs::remove_file(file).map_err(cannot("make room"))?;
        }
        let after = work(&dir, 3 * round + 2, ENTRIES_AFTER, mode, &mut oracle, tally)?;
        if after.acknowledged != PRODUCERS * ENTRIES_AFTER || after.code != Some(0) {
            tally.broke(format!("{when}: with room again only {} entries are acknowledged", after.acknowledged));
        }
        match log::open(&dir, SEGMENT_BYTES) {
            Ok((journal, entries)) => {
                journal.close();
                oracle.check(&entries, &when, tally);
                log::check_sound(&dir, &[], &when, tally)?;
            }
            Err(error) => tally.broke(format!("{when}: {error}")),
        }
        acknowledged += oracle.count();
        refused += full.no_room + still.no_room;
        fs::remove_dir_all(&dir).map_err(cannot("remove a journal"))?;
    }
    say(&format!(
        "{what}: filled {rounds} times, {acknowledged} entries acknowledged, {refused} refused, {not_opened} openings refused"
    ));
    Ok(())
}

/// Reads what is there, without an opening that would need room.
fn check(dir: &Path, oracle: &Oracle, when: &str, tally: &mut Tally) {
    match log::read(dir) {
        Ok(entries) => oracle.check(&entries, when, tally),
        Err(error) => tally.broke(format!("{when}: {error}")),
    }
}

/// Writes a file that takes all there is but `room` bytes.
fn ballast_make(path: &Path, room: u64) -> Result<(), String> {
    let mut file = fs::File::create(path).map_err(cannot("make a file"))?;
    let block = vec![1; 4096];
    let mut bytes = 0;
    while bytes < 2 * SIZE_KIB * 1024 && file.write_all(&block).is_ok() {
        bytes += block.len() as u64;
    }
    file.set_len(bytes.saturating_sub(room)).map_err(cannot("make some room"))?;
    // It is full where even this fails.
    let _ = file.sync_all();
    Ok(())
}

/// Runs a workload, whose producers end where they are refused.
fn work(dir: &Path, run: u64, entries: u64, mode: Mode, oracle: &mut Oracle, tally: &mut Tally) -> Result<Ended, String> {
    let mut command = Command::new(std::env::current_exe().map_err(cannot("find this program"))?);
    let plan = Plan { dir, run, producers: PRODUCERS, entries, segment_bytes: SEGMENT_BYTES, faulty: mode.faulty };
    plan.put(&mut command);
    let mut child = command.spawn().map_err(cannot("start a workload"))?;
    let mut ended = Ended::default();
    let lines = child.stdout.take().map(BufReader::new).ok_or("a workload has no output")?.lines();
    for line in lines.map_while(Result::ok) {
        if oracle.hear(&line, tally) {
            ended.acknowledged += 1;
        } else if line.starts_with("refused ") && line.contains("No space left on device") {
            ended.no_room += 1;
        } else {
            ended.otherwise += 1;
        }
    }
    ended.code = child.wait().map_err(cannot("wait for a workload"))?.code();
    Ok(ended)
}
