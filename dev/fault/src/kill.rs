//! A process that is killed in the middle of its work, again and again.

use std::io::{BufRead as _, BufReader};
use std::process::Command;

use tempfile::TempDir;

use crate::oracle::Oracle;
use crate::random::Random;
use crate::report::{Tally, cannot, progress, say};
use crate::workload::Plan;
use crate::{Mode, log};

const KILLS: u64 = 500;
const KILLS_SHORT: u64 = 12;
const PRODUCERS: u64 = 64;
/// How many lives a journal has before a new one is begun: each life opens and reads what the earlier ones wrote.
const LIVES: u64 = 25;
/// How many acknowledgements a life has at most.
const ACKNOWLEDGED_MAX: u64 = 3000;
const SEGMENT_BYTES: u64 = 256 * 1024;

/// Kills workloads, and holds the journal to what they acknowledged.
pub(crate) fn run(mode: Mode) -> Result<Tally, String> {
    let kills = if mode.short { KILLS_SHORT } else { KILLS };
    let mut random = Random::new(2);
    let (mut tally, mut acknowledged) = (Tally::default(), 0);
    let mut place = None;
    for kill in 1..=kills {
        let (dir, mut oracle) = match place.take() {
            Some(place) => place,
            None => (tempfile::tempdir().map_err(cannot("make a directory"))?, Oracle::default()),
        };
        life(&dir, &mut oracle, kill, mode, &mut random, &mut tally)?;
        check(&dir, &oracle, kill, &mut tally);
        if kill.is_multiple_of(LIVES) || kill == kills {
            acknowledged += oracle.count();
            log::check_sound(dir.path(), &[], &format!("after kill {kill}"), &mut tally)?;
        } else {
            place = Some((dir, oracle));
        }
        progress("killed", kill, kills);
    }
    say(&format!("{acknowledged} entries were acknowledged by {PRODUCERS} producers"));
    if acknowledged < kills {
        tally.broke(format!("only {acknowledged} entries were acknowledged: this tests nothing"));
    }
    Ok(tally)
}

/// One life of a workload: its end comes after some acknowledgements, or at once, while it still opens.
fn life(dir: &TempDir, oracle: &mut Oracle, kill: u64, mode: Mode, random: &mut Random, tally: &mut Tally) -> Result<(), String> {
    let exe = std::env::current_exe().map_err(cannot("find this program"))?;
    let plan =
        Plan { dir: dir.path(), run: kill, producers: PRODUCERS, entries: 0, segment_bytes: SEGMENT_BYTES, faulty: mode.faulty };
    let mut command = Command::new(exe);
    plan.put(&mut command);
    let mut child = command.spawn().map_err(cannot("start a workload"))?;
    let mut left = if random.below(10) == 0 { 0 } else { 1 + random.below(ACKNOWLEDGED_MAX) };
    if left == 0 {
        child.kill().map_err(cannot("kill a workload"))?;
    }
    let lines = child.stdout.take().map(BufReader::new).ok_or("a workload has no output")?.lines();
    // They end when the process is gone: what it said before it died counts too.
    for line in lines.map_while(Result::ok) {
        if oracle.hear(&line, tally) && left > 0 {
            left -= 1;
            if left == 0 {
                child.kill().map_err(cannot("kill a workload"))?;
            }
        }
    }
    let status = child.wait().map_err(cannot("wait for a workload"))?;
    if status.code().is_some() {
        tally.broke(format!("workload {kill} ended by itself: {status}"));
    }
    tally.injected += 1;
    Ok(())
}

/// What the journal has now: read as it was left, or, every other time, as an opening repairs it.
fn check(dir: &TempDir, oracle: &Oracle, kill: u64, tally: &mut Tally) {
    let when = format!("after kill {kill}");
    let entries = if kill.is_multiple_of(2) {
        log::open(dir.path(), SEGMENT_BYTES).map(|(journal, entries)| {
            journal.close();
            entries
        })
    } else {
        log::read(dir.path())
    };
    match entries {
        Ok(entries) => oracle.check(&entries, &when, tally),
        Err(error) => tally.broke(format!("{when}: {error}")),
    }
}
