//! Every system call of a run fails once, as `strace` has it: with EIO, with ENOSPC, or by SIGKILL.
//!
//! A run opens a journal that is there, appends through several segments, one entry after the other, and closes it. Its calls are counted
//! once, thread by thread; then one run is made for each call and each way to fail. `futex` is only killed at: the kernel never refuses it
//! so, and a wake-up that is swallowed leaves a program that waits for ever, which says nothing about a journal.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::Command;

use crate::oracle::Oracle;
use crate::random::Random;
use crate::report::{Tally, cannot, progress, say};
use crate::workload::Plan;
use crate::{Mode, log};

const SEGMENT_BYTES: u64 = 8 * 1024;
/// How many entries are there before, and how many a run appends.
const ENTRIES_BEFORE: u64 = 12;
const ENTRIES: u64 = 40;
/// How many faults a short test injects.
const SHORT: usize = 50;
/// What isn't counted: the program isn't running yet, or not any more.
const OUTSIDE: [&str; 3] = ["execve", "exit", "exit_group"];
/// What only takes SIGKILL.
const KILLED_ONLY: [&str; 1] = ["futex"];

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Way {
    Eio,
    Enospc,
    Kill,
}

impl Way {
    const ALL: [Self; 3] = [Self::Eio, Self::Enospc, Self::Kill];

    fn option(self) -> &'static str {
        match self {
            Self::Eio => "error=EIO",
            Self::Enospc => "error=ENOSPC",
            Self::Kill => "signal=KILL",
        }
    }
}

/// One fault: the call, which one of a thread's, and how it fails.
#[derive(Clone, Debug)]
struct Case {
    call: String,
    when: u64,
    way: Way,
}

/// Sweeps over all calls, or some of them.
pub(crate) fn run(mode: Mode) -> Result<Tally, String> {
    let base = tempfile::tempdir().map_err(cannot("make a directory"))?;
    let (journal, _) = log::open(base.path(), SEGMENT_BYTES)?;
    for number in 0..ENTRIES_BEFORE {
        journal.append(format!("before-{number} ").into_bytes()).wait().map_err(cannot("append"))?;
    }
    journal.close();
    let counts = count(base.path(), mode)?;
    let all = cases(&counts);
    let calls: u64 = counts.values().sum();
    say(&format!("{} system calls of {} kinds, {} faults", calls, counts.len(), all.len()));
    let all = if mode.short { some(all) } else { all };
    let (mut tally, mut sweep) = (Tally::default(), Sweep::default());
    for (done, case) in (1..).zip(&all) {
        one(base.path(), case, mode, &mut sweep, &mut tally)?;
        progress("injected", done, all.len() as u64);
    }
    say(&format!(
        "{} runs were hit, in {} the call didn't come again; {} writes or flushes of entries failed; {} entries were acknowledged",
        tally.injected, sweep.missed, sweep.flushes, sweep.acknowledged
    ));
    if sweep.flushes == 0 || sweep.acknowledged == 0 {
        tally.broke("no flush failed, or nothing was acknowledged: this tests nothing".to_owned());
    }
    Ok(tally)
}

#[derive(Default)]
struct Sweep {
    /// How many runs ended before the call came.
    missed: u64,
    /// In how many a write or a flush of entries failed.
    flushes: u64,
    acknowledged: u64,
}

/// A run's faults, by their call.
fn cases(counts: &BTreeMap<String, u64>) -> Vec<Case> {
    let mut all = Vec::new();
    for (call, count) in counts {
        let ways = Way::ALL.into_iter().filter(|way| *way == Way::Kill || !KILLED_ONLY.contains(&call.as_str()));
        for way in ways {
            all.extend((1..=*count).map(|when| Case { call: call.clone(), when, way }));
        }
    }
    all
}

/// A choice that is always the same: half of it writes and flushes.
fn some(all: Vec<Case>) -> Vec<Case> {
    let mut random = Random::new(4);
    let (writes, others): (Vec<Case>, Vec<Case>) =
        all.into_iter().partition(|case| ["fdatasync", "fsync", "pwrite64"].contains(&case.call.as_str()));
    let mut chosen = Vec::new();
    for of in [&writes, &others] {
        chosen.extend((0..SHORT / 2).filter_map(|_| random.of(of).cloned()));
    }
    chosen
}

/// A copy of a journal's directory.
fn copy(from: &Path) -> Result<tempfile::TempDir, String> {
    let to = tempfile::tempdir().map_err(cannot("make a directory"))?;
    for entry in fs::read_dir(from).map_err(cannot("list a directory"))? {
        let entry = entry.map_err(cannot("list a directory"))?;
        fs::copy(entry.path(), to.path().join(entry.file_name())).map_err(cannot("copy a file"))?;
    }
    Ok(to)
}

/// Runs a workload under `strace` with `options`; gives what it acknowledged and what `strace` wrote down.
fn traced(dir: &Path, options: &[String], mode: Mode, tally: &mut Tally) -> Result<(Oracle, String), String> {
    let trace = tempfile::NamedTempFile::new().map_err(cannot("make a file"))?;
    let mut command = Command::new("strace");
    command.args(["-f", "-q", "-y", "-s", "16", "-o"]).arg(trace.path()).args(options);
    command.arg(std::env::current_exe().map_err(cannot("find this program"))?);
    let plan = Plan { dir, run: 1, producers: 1, entries: ENTRIES, segment_bytes: SEGMENT_BYTES, faulty: mode.faulty };
    plan.put(&mut command);
    let mut child = command.spawn().map_err(cannot("start `strace`: Debian's package has its name"))?;
    let mut oracle = Oracle::default();
    let lines = child.stdout.take().map(BufReader::new).ok_or("a workload has no output")?.lines();
    for line in lines.map_while(Result::ok) {
        oracle.hear(&line, tally);
    }
    child.wait().map_err(cannot("wait for `strace`"))?;
    let bytes = fs::read(trace.path()).map_err(cannot("read what `strace` wrote"))?;
    Ok((oracle, String::from_utf8_lossy(&bytes).into_owned()))
}

/// How often each call is made, by the thread that makes it most.
fn count(base: &Path, mode: Mode) -> Result<BTreeMap<String, u64>, String> {
    let dir = copy(base)?;
    let (oracle, trace) = traced(dir.path(), &[], mode, &mut Tally::default())?;
    if oracle.count() != ENTRIES {
        return Err(format!("a run without a fault acknowledges {} entries", oracle.count()));
    }
    let mut threads: BTreeMap<(&str, &str), u64> = BTreeMap::new();
    for (thread, event) in events(&trace) {
        let name = event.split_once('(').map_or("", |(name, _)| name);
        if !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_') && !OUTSIDE.contains(&name) {
            *threads.entry((thread, name)).or_default() += 1;
        }
    }
    let mut counts: BTreeMap<String, u64> = BTreeMap::new();
    for ((_, name), count) in threads {
        let most = counts.entry(name.to_owned()).or_default();
        *most = count.max(*most);
    }
    Ok(counts)
}

/// The lines of a trace: the thread, and what it did.
fn events(trace: &str) -> impl Iterator<Item = (&str, &str)> {
    trace.lines().filter_map(|line| line.split_once(' ')).map(|(thread, event)| (thread, event.trim_start()))
}

/// Injects one fault and holds the journal to what was acknowledged.
fn one(base: &Path, case: &Case, mode: Mode, sweep: &mut Sweep, tally: &mut Tally) -> Result<(), String> {
    let dir = copy(base)?;
    let when = format!("{} {} of `{}`", case.way.option(), case.when, case.call);
    // Only what is judged is written down.
    let mut traced_calls = BTreeSet::from(["write", "pwrite64", "fdatasync"]);
    traced_calls.insert(&case.call);
    let calls: Vec<&str> = traced_calls.into_iter().collect();
    let inject = format!("inject={}:{}:when={}", case.call, case.way.option(), case.when);
    let options = ["-e".to_owned(), format!("trace={}", calls.join(",")), "-e".to_owned(), inject];
    let (oracle, trace) = traced(dir.path(), &options, mode, tally)?;
    let judged = judge(&trace);
    if judged.hit || trace.contains("killed by SIGKILL") {
        tally.injected += 1;
    } else {
        sweep.missed += 1;
    }
    sweep.flushes += u64::from(judged.flush_failed);
    sweep.acknowledged += oracle.count();
    if judged.acknowledged_after > 0 {
        tally.broke(format!("{when}: {} entries were acknowledged after the first error of a flush", judged.acknowledged_after));
    }
    match log::open(dir.path(), SEGMENT_BYTES) {
        Ok((journal, entries)) => {
            journal.close();
            oracle.check(&entries, &when, tally);
            log::check_sound(dir.path(), &[], &when, tally)
        }
        Err(error) => {
            tally.broke(format!("{when}: afterwards: {error}"));
            Ok(())
        }
    }
}

/// What a trace says.
#[derive(Debug, Default, PartialEq, Eq)]
struct Judged {
    /// Whether the fault came.
    hit: bool,
    /// Whether it was a write or a flush of entries.
    flush_failed: bool,
    /// How many acknowledgements were begun after that.
    acknowledged_after: u64,
}

fn judge(trace: &str) -> Judged {
    let mut judged = Judged::default();
    // What a thread had begun when another one's event came.
    let mut begun: BTreeMap<&str, &str> = BTreeMap::new();
    for (thread, event) in events(trace) {
        if event.ends_with("<unfinished ...>") {
            begun.insert(thread, event);
        }
        let call = if event.starts_with("<... ") { begun.get(thread).copied().unwrap_or_default() } else { event };
        if event.contains("(INJECTED)") {
            judged.hit = true;
            // What is being prepared has another name: nobody's entries are in it.
            let entries = call.contains(".segment>");
            judged.flush_failed |= entries && (call.starts_with("fdatasync(") || call.starts_with("pwrite64("));
        } else if judged.flush_failed && event.starts_with("write(1<") && event.contains("\"ack ") {
            judged.acknowledged_after += 1;
        }
    }
    judged
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_acknowledgement_after_a_failed_flush_is_seen() {
        let failed = "7 fdatasync(5</tmp/d/0001.segment> <unfinished ...>\n\
            6 write(1<pipe:[9]>, \"ack 3 1-0-3\\n\", 12) = 12\n\
            7 <... fdatasync resumed>) = -1 EIO (Input/output error) (INJECTED)\n";
        assert_eq!(judge(failed), Judged { hit: true, flush_failed: true, acknowledged_after: 0 });
        let after = format!("{failed}6 write(1<pipe:[9]>, \"ack 4 1-0-4\\n\", 12) = 12\n");
        assert_eq!(judge(&after).acknowledged_after, 1);
        let preparing = "7 fdatasync(5</tmp/d/0002.preparing>) = -1 EIO (Input/output error) (INJECTED)\n\
            6 write(1<pipe:[9]>, \"ack 4 1-0-4\\n\", 12) = 12\n";
        assert_eq!(judge(preparing), Judged { hit: true, flush_failed: false, acknowledged_after: 0 });
    }
}
