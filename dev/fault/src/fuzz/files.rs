//! Segments, frames, marks and attachments: a journal's files with changes in them, read, verified and opened.

use std::fs;
use std::path::{Path, PathBuf};

use remit_journal::{AttachmentOptions, Attachments, Journal, Options, Reader, inclusion_proof};
use remit_tlog::{Hash, leaf_hash, verify_inclusion};

use super::checked;
use crate::log;
use crate::mutate::{change, flip, seal};
use crate::random::Random;
use crate::report::{Tally, cannot, progress};

const SEGMENT_BYTES: u64 = 8 * 1024;
const ENTRIES: u64 = 50;
const CHANGES_MAX: u64 = 3;
const MARK: &str = "durable";

struct Sound {
    files: Vec<(PathBuf, Vec<u8>)>,
    entries: Vec<Vec<u8>>,
    attachments: Vec<(PathBuf, Vec<u8>)>,
    /// The root of all entries.
    root: Hash,
}

fn attachment(number: u64) -> Vec<u8> {
    format!("attachment {number}").repeat(3).into_bytes()
}

fn contents(dir: &Path) -> Result<Vec<(PathBuf, Vec<u8>)>, String> {
    let mut all = Vec::new();
    for entry in fs::read_dir(dir).map_err(cannot("list a directory"))? {
        let path = entry.map_err(cannot("list a directory"))?.path();
        if path.is_file() {
            let bytes = fs::read(&path).map_err(cannot("read a file"))?;
            all.push((path, bytes));
        }
    }
    all.sort();
    Ok(all)
}

fn write(dir: &Path) -> Result<Sound, String> {
    let beside = dir.join("attachments");
    let attachments = AttachmentOptions { file_bytes: 1024, ..AttachmentOptions::new(&beside) };
    let options = Options { attachments: Some(attachments), ..log::options(&dir.join("journal"), SEGMENT_BYTES) };
    let (journal, _) = Journal::open(options, log::key(), |_, _| {}).map_err(cannot("open the journal"))?;
    let mut entries = Vec::new();
    for number in 0..ENTRIES {
        let entry = format!("entry {number} {}", "z".repeat(usize::try_from(number * 53 % 300).unwrap_or(0))).into_bytes();
        entries.push(entry.clone());
        journal.append_with(entry, attachment(number)).wait().map_err(cannot("append"))?;
    }
    let root = journal.checkpoint().root;
    journal.close();
    Ok(Sound { root, files: contents(&dir.join("journal"))?, entries, attachments: contents(&beside)? })
}

/// Changes `count` journals; how many could still be opened.
pub(super) fn feed(count: u64, tally: &mut Tally) -> Result<u64, String> {
    let dir = log::scratch()?;
    let sound = write(dir.path())?;
    let mut random = Random::new(9);
    let (mut opened, mut refused) = (0, 0);
    for done in 1..=count {
        tally.injected += 1;
        match checked(|| one(dir.path(), &sound, &mut random)) {
            Ok(true) => opened += 1,
            Ok(false) => refused += 1,
            Err(what) => {
                tally.lost += 1;
                tally.broke(format!("journal {done}: {what}"));
            }
        }
        progress("changed", done, count);
    }
    if opened == 0 || refused == 0 {
        tally.broke(format!("{opened} journals were opened and {refused} refused: this tests nothing"));
    }
    Ok(opened)
}

/// What a change left as it was.
struct Changed {
    /// The checksums agree with what was changed: whoever reads without looking at the tree believes it.
    sealed: bool,
    /// The mark is as it was.
    marked: bool,
}

/// Changes a journal and looks at it in every way there is; whether it can be opened.
fn one(dir: &Path, sound: &Sound, random: &mut Random) -> Result<bool, String> {
    let journal = dir.join("journal");
    fs::remove_dir_all(&journal).map_err(cannot("clear a directory"))?;
    fs::create_dir(&journal).map_err(cannot("make a directory"))?;
    let changed = put(sound, random)?;
    if let Ok(read) = log::read(&journal)
        && !changed.sealed
        && !sound.entries.starts_with(&read)
    {
        return Err("a reader yields an entry that was never written".to_owned());
    }
    let index = random.below(ENTRIES);
    from(&journal, index, &changed, sound)?;
    let mut verified = Vec::new();
    let vkey = log::vkey()?;
    let report = remit_journal::verify(&journal, &vkey, |_, _| {}, |_, entry| verified.push(entry.to_vec()));
    if report.is_ok_and(|report| report.findings.is_empty()) && !sound.entries.starts_with(&verified) {
        return Err("a forged journal verifies".to_owned());
    }
    attachments(dir, sound, random)?;
    let Ok((opened, replayed)) = log::open(&journal, SEGMENT_BYTES) else { return Ok(false) };
    opened.close();
    if !sound.entries.starts_with(&replayed) {
        return Err("an opening replays an entry that was never written".to_owned());
    }
    if changed.marked && replayed.len() < sound.entries.len() {
        return Err(format!("an opening takes {} entries for all, though the mark says more", replayed.len()));
    }
    Ok(true)
}

/// Reads from the middle on, and proves an entry: what is yielded stands in its place, and what is proved is in the tree that was signed.
fn from(journal: &Path, index: u64, changed: &Changed, sound: &Sound) -> Result<(), String> {
    if let Ok(mut reader) = Reader::open(journal, index) {
        while let Ok(Some(entry)) = reader.next() {
            let there = usize::try_from(entry.index).ok().and_then(|index| sound.entries.get(index));
            if entry.index < index || !changed.sealed && there != Some(&entry.bytes) {
                return Err(format!("a reader from {index} on yields another entry as {}", entry.index));
            }
        }
    }
    let entry = usize::try_from(index).ok().and_then(|index| sound.entries.get(index)).ok_or("there is no such entry")?;
    if let Ok(proof) = inclusion_proof(journal, index, ENTRIES)
        && !changed.sealed
    {
        verify_inclusion(&leaf_hash(entry), index, ENTRIES, &proof, &sound.root)
            .map_err(cannot("verify a proof that was given"))?;
    }
    Ok(())
}

/// Writes the journal's files with changes in some of them.
fn put(sound: &Sound, random: &mut Random) -> Result<Changed, String> {
    let all: Vec<Vec<u8>> = sound.files.iter().map(|(_, bytes)| bytes.clone()).collect();
    let sealed = random.below(2) == 0;
    let mut marked = true;
    let segments = sound.files.iter().filter(|(path, _)| path.extension().is_some()).count();
    let target = random.place(segments);
    let touched = random.below(4) == 0;
    let mut segment = 0;
    for (path, bytes) in &sound.files {
        let mut bytes = bytes.clone();
        if path.extension().is_some() {
            if segment == target {
                segment_change(&mut bytes, &all, random);
                if sealed {
                    seal(&mut bytes);
                }
            }
            segment += 1;
        } else if path.file_name().is_some_and(|name| name == MARK) && touched {
            marked = false;
            if random.below(2) == 0 {
                continue;
            }
            flip(&mut bytes, random);
        }
        fs::write(path, bytes).map_err(cannot("write a file"))?;
    }
    Ok(Changed { sealed, marked })
}

/// Changes a segment where it is written, mostly: what lies behind is zeros.
fn segment_change(bytes: &mut Vec<u8>, all: &[Vec<u8>], random: &mut Random) {
    let written = bytes.iter().rposition(|byte| *byte != 0).map_or(0, |place| place + 1);
    match random.below(4) {
        // Everything from some place on was never written.
        0 => {
            let from = random.place(written + 1);
            bytes.iter_mut().skip(from).for_each(|byte| *byte = 0);
        }
        1 => {
            for _ in 0..=random.below(CHANGES_MAX) {
                flip(bytes.get_mut(..written).unwrap_or_default(), random);
            }
        }
        // The length stays as it is.
        2 => {
            let length = bytes.len();
            change(bytes, all, random);
            bytes.resize(length, 0);
        }
        _ => change(bytes, all, random),
    }
}

/// Changes a file of attachments: each is what it was, or is missing.
fn attachments(dir: &Path, sound: &Sound, random: &mut Random) -> Result<(), String> {
    let (path, bytes) = random.of(&sound.attachments).ok_or("there are no attachments")?;
    let all: Vec<Vec<u8>> = sound.attachments.iter().map(|(_, bytes)| bytes.clone()).collect();
    let mut changed = bytes.clone();
    change(&mut changed, &all, random);
    fs::write(path, changed).map_err(cannot("write a file"))?;
    let mut reader = Attachments::open(dir.join("attachments"));
    for number in 0..ENTRIES {
        if let Ok(Some(found)) = reader.get(number)
            && found != attachment(number)
        {
            return Err(format!("the attachment of entry {number} is another one"));
        }
    }
    fs::write(path, bytes).map_err(cannot("write a file"))
}
