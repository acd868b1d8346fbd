//! A journal that somebody changes: bits are flipped, the end is cut off, an older copy is put in its place, history is written anew.
//!
//! Whatever is flipped must be found from the files and the public key. Who cuts a log at a batch, together with its mark, leaves a sound and
//! shorter log, and who has the key can write another one: what finds these is a checkpoint that was kept elsewhere.

use std::fs;
use std::path::{Path, PathBuf};

use remit_journal::Journal;

use crate::mutate::{flip, seal};
use crate::random::Random;
use crate::report::{Tally, cannot, progress, say};
use crate::{Mode, log};

const FAULTS: u64 = 10_000;
const FAULTS_SHORT: u64 = 400;
const SEGMENT_BYTES: u64 = 8 * 1024;
const BATCHES: u64 = 48;
/// The file that says how much is durable.
const MARK: &str = "durable";

/// The files of a journal, as they were at some time.
type Files = Vec<(PathBuf, Vec<u8>)>;

/// How a journal is changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Flip,
    Cut,
    Rollback,
    Rewrite,
}

/// Changes a journal in many ways; each must be found.
pub(crate) fn run(mode: Mode) -> Result<Tally, String> {
    let faults = if mode.short { FAULTS_SHORT } else { FAULTS };
    let mut random = Random::new(6);
    let mut tally = Tally::default();
    let dir = log::scratch()?;
    let written = write(dir.path(), 0, &mut random)?;
    let forged = log::scratch()?;
    let rewritten = write(forged.path(), 1, &mut random)?;
    // An auditor without a checkpoint is the one who must miss something.
    let saved = if mode.faulty { Vec::new() } else { vec![written.saved.clone()] };
    log::check_sound(dir.path(), std::slice::from_ref(&written.saved), "untouched", &mut tally)?;
    let (mut counts, mut by_tree) = ([0_u64; 4], 0);
    for fault in 1..=faults {
        let kind = match random.below(10) {
            0..=5 => Kind::Flip,
            6 | 7 => Kind::Cut,
            8 => Kind::Rollback,
            _ => Kind::Rewrite,
        };
        let what = change(dir.path(), kind, &written, &rewritten, &mut random)?;
        let report = log::verify(dir.path(), &saved)?;
        tally.injected += 1;
        if let Some(count) = counts.get_mut(kind as usize) {
            *count += 1;
        }
        let found = |what: &str| report.findings.iter().any(|finding| finding.what.contains(what));
        by_tree += u64::from(kind == Kind::Flip && (found("root") || found("signature")));
        if report.findings.is_empty() {
            tally.lost += 1;
            tally.broke(format!("nobody found this: {what}"));
        }
        put(dir.path(), written.states.last().ok_or("nothing was written")?)?;
        progress("changed", fault, faults);
    }
    // It is as it was: what was found was found because of the changes.
    log::check_sound(dir.path(), &[written.saved], "restored", &mut tally)?;
    let [flips, cuts, rollbacks, rewrites] = counts;
    if by_tree == 0 {
        tally.broke("no forged checksum came as far as the tree: this tests nothing".to_owned());
    }
    say(&format!(
        "{flips} bits flipped, {by_tree} of them shown by the tree or a signature alone, {cuts} ends cut off, {rollbacks} older copies, {rewrites} other histories"
    ));
    Ok(tally)
}

/// A journal, at the end of each batch.
struct Written {
    states: Vec<Files>,
    /// The checkpoint that somebody kept.
    saved: String,
}

/// Writes a journal of batches; those of another `history` have one other entry.
fn write(dir: &Path, history: u64, random: &mut Random) -> Result<Written, String> {
    let (journal, _) = log::open(dir, SEGMENT_BYTES)?;
    let mut states = Vec::new();
    let differs = random.below(BATCHES);
    for batch in 0..BATCHES {
        append(&journal, batch, if batch == differs { history } else { 0 })?;
        states.push(files(dir)?);
    }
    let saved = journal.checkpoint().note;
    journal.close();
    states.push(files(dir)?);
    Ok(Written { states, saved })
}

fn append(journal: &Journal, batch: u64, history: u64) -> Result<(), String> {
    let entries = (0..=batch % 4).map(|place| {
        let length = usize::try_from((batch * 131 + place * 37) % 400).unwrap_or(0);
        format!("{batch}.{place}.{history} {}", "y".repeat(length)).into_bytes()
    });
    journal.append_many(entries.collect()).wait().map(drop).map_err(cannot("append"))
}

fn is_segment(path: &Path) -> bool {
    path.extension().is_some_and(|extension| extension == "segment")
}

/// The files that are evidence: the segments and the mark.
fn files(dir: &Path) -> Result<Files, String> {
    let mut all = Vec::new();
    for entry in fs::read_dir(dir).map_err(cannot("list a directory"))? {
        let path = entry.map_err(cannot("list a directory"))?.path();
        if is_segment(&path) || path.file_name().is_some_and(|name| name == MARK) {
            let bytes = fs::read(&path).map_err(cannot("read a file"))?;
            all.push((path, bytes));
        }
    }
    all.sort();
    Ok(all)
}

/// Puts `files` in the place of what is in `dir`, under their names.
fn put(dir: &Path, files: &Files) -> Result<(), String> {
    for entry in fs::read_dir(dir).map_err(cannot("list a directory"))? {
        let path = entry.map_err(cannot("list a directory"))?.path();
        let kept = files.iter().any(|(other, _)| other.file_name() == path.file_name());
        if is_segment(&path) && !kept {
            fs::remove_file(path).map_err(cannot("remove a file"))?;
        }
    }
    for (path, bytes) in files {
        let name = path.file_name().ok_or("a file has no name")?;
        fs::write(dir.join(name), bytes).map_err(cannot("write a file"))?;
    }
    Ok(())
}

/// Changes the journal in `dir`, which is as it was written; says what was done.
fn change(dir: &Path, kind: Kind, written: &Written, rewritten: &Written, random: &mut Random) -> Result<String, String> {
    let last = written.states.last().ok_or("nothing was written")?;
    match kind {
        Kind::Flip => flip_one(last, random),
        Kind::Cut => cut(dir, last, random),
        Kind::Rollback => {
            let before = random.place(written.states.len() - 2);
            put(dir, written.states.get(before).ok_or("there is no older copy")?)?;
            Ok(format!("put back to batch {before}"))
        }
        Kind::Rewrite => {
            // As it was written, or some batches before its end.
            let state = random.place(rewritten.states.len());
            put(dir, rewritten.states.get(state).ok_or("there is no other history")?)?;
            Ok(format!("another history up to batch {state}"))
        }
    }
}

/// Flips a bit of a segment. Every other time the checksums are made to agree, so that only the tree and the signatures show it.
fn flip_one(last: &Files, random: &mut Random) -> Result<String, String> {
    let segments: Vec<_> = last.iter().filter(|(path, _)| is_segment(path)).collect();
    loop {
        let (path, bytes) = random.of(&segments).ok_or("there is no segment")?;
        let sealed = random.below(2) == 0;
        // What is sealed is flipped where something is written.
        let written = bytes.iter().rposition(|byte| *byte != 0).map_or(0, |place| place + 1);
        let mut changed = bytes.clone();
        flip(changed.get_mut(..if sealed { written } else { bytes.len() }).unwrap_or_default(), random);
        if sealed {
            seal(&mut changed);
        }
        // A checksum that was flipped agrees again.
        if changed != *bytes {
            let differs = bytes.iter().zip(&changed).rposition(|(one, other)| one != other).unwrap_or(0);
            fs::write(path, changed).map_err(cannot("write a file"))?;
            let how = if sealed { ", with checksums that agree" } else { "" };
            return Ok(format!("a bit flipped in byte {differs} of {}{how}", path.display()));
        }
    }
}

/// Cuts the log somewhere, in one of three ways, and takes the mark away that says so.
fn cut(dir: &Path, last: &Files, random: &mut Random) -> Result<String, String> {
    let used: Vec<_> = last.iter().filter(|(path, bytes)| is_segment(path) && bytes.iter().any(|byte| *byte != 0)).collect();
    let which = random.place(used.len());
    let (path, bytes) = used.get(which).ok_or("there is no segment")?;
    let written = bytes.iter().rposition(|byte| *byte != 0).map_or(0, |place| place + 1);
    let place = random.place(written);
    fs::remove_file(dir.join(MARK)).map_err(cannot("remove the mark"))?;
    let way = random.below(3);
    match way {
        // The file ends there.
        0 => fs::write(path, bytes.get(..place).unwrap_or_default()),
        // Nothing was ever written there.
        1 => fs::write(path, [bytes.get(..place).unwrap_or_default(), &vec![0; bytes.len() - place]].concat()),
        // The whole segment is gone.
        _ => fs::remove_file(path),
    }
    .map_err(cannot("change a segment"))?;
    for (later, _) in used.iter().skip(which + 1) {
        fs::remove_file(later).map_err(cannot("remove a segment"))?;
    }
    Ok(format!("cut at byte {place} of {}, in way {way}", path.display()))
}
