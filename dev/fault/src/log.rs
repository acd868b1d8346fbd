//! The journals that are tested: how they are opened, read and verified.

use std::path::Path;

use remit_journal::{Journal, Options, Reader, Report, SigningKey};

use crate::report::{Tally, cannot};

/// The origin of every log here.
pub(crate) const ORIGIN: &str = "fault.example/log";

/// A key that is always the same.
pub(crate) fn key() -> SigningKey {
    SigningKey::from_seed(&[23; SigningKey::SEED_BYTES])
}

pub(crate) fn vkey() -> Result<String, String> {
    key().verifier_key(ORIGIN).map_err(cannot("name the key"))
}

/// The options for `dir` with segments of `segment_bytes`.
pub(crate) fn options(dir: &Path, segment_bytes: u64) -> Options {
    Options { segment_bytes, reserve_bytes: 4096, ..Options::new(dir, ORIGIN) }
}

/// A directory in memory, where there is one: for what asks nothing of a disk.
pub(crate) fn scratch() -> Result<tempfile::TempDir, String> {
    tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir()).map_err(cannot("make a directory"))
}

/// Opens a journal; gives it with all that it replays.
pub(crate) fn open(dir: &Path, segment_bytes: u64) -> Result<(Journal, Vec<Vec<u8>>), String> {
    let mut replayed = Vec::new();
    let mut gap = None;
    let (journal, _) = Journal::open(options(dir, segment_bytes), key(), |index, entry| {
        if index != replayed.len() as u64 {
            gap.get_or_insert(index);
        }
        replayed.push(entry.to_vec());
    })
    .map_err(cannot("open the journal"))?;
    gap.map_or(Ok((journal, replayed)), |index| Err(format!("an opening replays the wrong entry as {index}")))
}

/// Reads a journal beside whoever writes it, and repairs nothing.
pub(crate) fn read(dir: &Path) -> Result<Vec<Vec<u8>>, String> {
    let mut reader = Reader::open(dir, 0).map_err(cannot("read the journal"))?;
    let mut entries = Vec::new();
    while let Some(entry) = reader.next().map_err(cannot("read the journal"))? {
        if entry.index != entries.len() as u64 {
            return Err(format!("a reader yields {} in the place of {}", entry.index, entries.len()));
        }
        entries.push(entry.bytes);
    }
    Ok(entries)
}

/// What an auditor finds who holds the checkpoints `saved`.
pub(crate) fn verify(dir: &Path, saved: &[String]) -> Result<Report, String> {
    remit_journal::verify_against(dir, &vkey()?, saved, |_, _| {}, |_, _| {}).map_err(cannot("verify the journal"))
}

/// Notes whatever an auditor finds in a journal that should be sound.
pub(crate) fn check_sound(dir: &Path, saved: &[String], when: &str, tally: &mut Tally) -> Result<(), String> {
    for finding in verify(dir, saved)?.findings {
        tally.broke(format!("{when}: {}: {}", finding.where_, finding.what));
    }
    Ok(())
}
