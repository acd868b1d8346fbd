//! The auditor's check: everything recomputed from the files and a public key.

use std::collections::BTreeMap;
use std::io;
use std::ops::Range;
use std::path::{Path, PathBuf};

use remit_tlog::{Frontier, Hash, NoteError, Verifier};
use thiserror::Error;

use crate::files::{Files, OsFiles};
use crate::journal::LOCK_NAME;
use crate::mark::mark_read;
use crate::segment::{Batch, Found, Leaf, SegmentReader, SignedCheckpoint, segments_list};

/// Why a journal could not be verified. What is wrong with it is a [`Finding`] instead.
#[derive(Debug, Error)]
pub enum VerifyError {
    /// A file operation failed.
    #[error("cannot read the journal in `{}`", dir.display())]
    Io {
        /// The journal's directory.
        dir: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The public key is malformed.
    #[error("the verifier key is not usable")]
    VerifierKey(#[source] NoteError),
    /// A saved checkpoint is malformed.
    #[error("the saved checkpoint of place `{0}` is malformed")]
    Saved(usize),
}

/// Something that is not as it should be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// The segment and the byte, or the saved checkpoint.
    pub where_: String,
    /// What is wrong.
    pub what: String,
}

/// What a verification found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Report {
    /// How many entries were checked.
    pub entries: u64,
    /// The size of the tree that the last checkpoint covers.
    pub tree_size: u64,
    /// The recomputed root of that tree.
    pub root: Hash,
    /// How many signed checkpoints were checked.
    pub checkpoints: u64,
    /// The entries that were erased, in order: their hashes are in the tree. The log itself must say why; that is for whoever knows what its
    /// entries mean.
    pub erased: Vec<Range<u64>>,
    /// What is wrong; empty if the journal is sound. Checking ends where the log cannot be followed any further.
    pub findings: Vec<Finding>,
}

/// Recomputes the tree and checks every frame, index, root and signature.
///
/// `vkey` is the public key you trust. `progress` gets the bytes checked and the bytes there are; `entry` gets each entry
/// with its index. A live writer is not disturbed; what it is writing meanwhile is left out.
///
/// A log that was cut at a batch together with its mark is a sound, shorter log: only a checkpoint you have kept elsewhere
/// shows that, see [`verify_against`].
pub fn verify(
    dir: impl AsRef<Path>,
    vkey: &str,
    progress: impl FnMut(u64, u64),
    entry: impl FnMut(u64, &[u8]),
) -> Result<Report, VerifyError> {
    verify_against(dir, vkey, &[], progress, entry)
}

/// Like [`verify`], and also checks that the log still extends each of the `saved` checkpoints (signed notes).
pub fn verify_against(
    dir: impl AsRef<Path>,
    vkey: &str,
    saved: &[String],
    mut progress: impl FnMut(u64, u64),
    mut entry: impl FnMut(u64, &[u8]),
) -> Result<Report, VerifyError> {
    let verifier = Verifier::parse(vkey).map_err(VerifyError::VerifierKey)?;
    let dir = dir.as_ref();
    let mut check = Check::new(&verifier);
    for (place, note) in saved.iter().enumerate() {
        let checkpoint = SignedCheckpoint::parse(note).ok_or(VerifyError::Saved(place))?;
        check.save(place, &checkpoint);
    }
    check.log(&OsFiles, dir, &mut progress, &mut entry).map_err(|source| VerifyError::Io { dir: dir.to_owned(), source })?;
    Ok(check.report())
}

struct Check<'a> {
    verifier: &'a Verifier,
    vkey: String,
    frontier: Frontier,
    /// The size and root at the last checkpoint.
    covered: (u64, Hash),
    checkpoints: u64,
    /// Saved roots by tree size, still to be met.
    saved: BTreeMap<u64, Vec<(usize, Hash)>>,
    erased: Vec<Range<u64>>,
    findings: Vec<Finding>,
}

impl<'a> Check<'a> {
    fn new(verifier: &'a Verifier) -> Self {
        Self {
            verifier,
            vkey: verifier.to_string(),
            frontier: Frontier::new(),
            covered: (0, remit_tlog::empty_root()),
            checkpoints: 0,
            saved: BTreeMap::new(),
            erased: Vec::new(),
            findings: Vec::new(),
        }
    }

    fn save(&mut self, place: usize, checkpoint: &SignedCheckpoint) {
        if checkpoint.verify(self.verifier).is_err() {
            self.find(format!("saved checkpoint {place}"), "its signature does not verify");
        }
        self.saved.entry(checkpoint.size).or_default().push((place, checkpoint.root));
    }

    fn find(&mut self, where_: String, what: &str) {
        self.findings.push(Finding { where_, what: what.to_owned() });
    }

    fn find_at(&mut self, generation: u64, offset: u64, what: &str) {
        self.find(format!("segment {generation} at byte {offset}"), what);
    }

    fn log(
        &mut self,
        files: &dyn Files,
        dir: &Path,
        progress: &mut dyn FnMut(u64, u64),
        entry: &mut dyn FnMut(u64, &[u8]),
    ) -> io::Result<()> {
        // Read before the files: what the mark covers must be there.
        let durable = mark_read(files, dir)?;
        let live = is_live(dir)?;
        let generations = segments_list(files, dir)?;
        let mut total = 0;
        for generation in &generations {
            total += SegmentReader::open(files, dir, *generation)?.length()?;
        }
        let mut done = 0;
        let last = generations.last().copied().unwrap_or(0);
        for (generation, expected) in generations.into_iter().zip(1..) {
            if generation != expected {
                self.find_at(expected, 0, "the segment is missing");
                break;
            }
            let mut reader = SegmentReader::open(files, dir, generation)?;
            let length = reader.length()?;
            let mut step = |offset: u64| progress(done + offset.min(length), total);
            let end = self.segment(&mut reader, &mut step, entry)?;
            done += length;
            // What lies behind the mark of a live writer is being written.
            let unfinished = live && durable.is_some_and(|durable| self.frontier.size() >= durable);
            match end {
                End::Unused if generation < last && !rest_is_unused(files, dir, generation)? => {
                    self.find_at(generation, 0, "the segment is empty, but a later one is not");
                    break;
                }
                End::Used | End::Unused => {}
                End::Broken(_) if unfinished => break,
                End::Broken(what) => {
                    self.find_at(generation, reader.offset(), what);
                    break;
                }
            }
        }
        progress(total, total);
        if let Some(durable) = durable.filter(|durable| *durable > self.covered.0) {
            let what = format!("{durable} entries were durable, but {} can be followed", self.covered.0);
            self.find("the mark".to_owned(), &what);
        }
        Ok(())
    }

    fn segment(
        &mut self,
        reader: &mut SegmentReader,
        step: &mut dyn FnMut(u64),
        entry: &mut dyn FnMut(u64, &[u8]),
    ) -> io::Result<End> {
        match reader.header()? {
            Found::Some(header) => {
                if header.vkey != self.vkey {
                    self.find_at(reader.generation(), 0, &format!("the segment names the key {}", header.vkey));
                }
                // Whoever opens the log may begin with this tree.
                if header.edge.as_ref().is_some_and(|edge| edge.frontier != self.frontier || !edge.verify(self.verifier)) {
                    self.find_at(reader.generation(), 0, "the segment's header carries another tree");
                }
                if header.first_index != self.frontier.size() {
                    reader.rewind(0);
                    return Ok(End::Broken("the segment does not continue the one before"));
                }
            }
            Found::Nothing if reader.last_written()?.is_none() => return Ok(End::Unused),
            Found::Nothing => return Ok(End::Broken("the segment's header is missing")),
            Found::Damage(what) => return Ok(End::Broken(what)),
        }
        let mut batch = Batch::default();
        loop {
            match reader.batch(self.frontier.size(), &mut batch)? {
                Found::Some(()) => self.batch(reader.generation(), &batch, entry),
                Found::Nothing if reader.last_written()?.is_none() => return Ok(End::Used),
                Found::Nothing => return Ok(End::Broken("bytes behind the end of the segment")),
                Found::Damage(what) => return Ok(End::Broken(what)),
            }
            step(reader.offset());
        }
    }

    fn batch(&mut self, generation: u64, batch: &Batch, entry: &mut dyn FnMut(u64, &[u8])) {
        self.saved_check();
        for (index, leaf) in batch.leaves() {
            self.frontier.append(leaf.hash());
            self.saved_check();
            match leaf {
                Leaf::Entry(bytes) => entry(index, bytes),
                Leaf::Erased(_) => match self.erased.last_mut() {
                    Some(range) if range.end == index => range.end += 1,
                    _ => self.erased.push(index..index + 1),
                },
            }
        }
        let Some(checkpoint) = &batch.checkpoint else { return };
        let root = self.frontier.root();
        if checkpoint.root != root {
            self.find_at(generation, batch.place.start, "the checkpoint's root is not the root of the entries");
        }
        if checkpoint.verify(self.verifier).is_err() {
            self.find_at(generation, batch.place.start, "the checkpoint's signature does not verify");
        }
        self.covered = (self.frontier.size(), root);
        self.checkpoints += 1;
    }

    /// Compares the root with the checkpoints that were saved at this size.
    fn saved_check(&mut self) {
        let size = self.frontier.size();
        if self.saved.first_key_value().is_none_or(|(next, _)| *next != size) {
            return;
        }
        let root = self.frontier.root();
        for (place, saved) in self.saved.remove(&size).unwrap_or_default() {
            if saved != root {
                self.find(format!("saved checkpoint {place}"), "the log does not extend it: history was rewritten");
            }
        }
    }

    fn report(mut self) -> Report {
        for (size, saved) in std::mem::take(&mut self.saved) {
            for (place, _) in saved {
                let what = format!("it covers {size} entries, but the log has {}", self.covered.0);
                self.find(format!("saved checkpoint {place}"), &what);
            }
        }
        let (tree_size, root) = self.covered;
        let entries = self.frontier.size();
        Report { entries, tree_size, root, checkpoints: self.checkpoints, erased: self.erased, findings: self.findings }
    }
}

enum End {
    Used,
    Unused,
    Broken(&'static str),
}

/// Whether nothing is written in the segments after `generation`.
fn rest_is_unused(files: &dyn Files, dir: &Path, generation: u64) -> io::Result<bool> {
    for later in segments_list(files, dir)?.into_iter().filter(|later| *later > generation) {
        if SegmentReader::open(files, dir, later)?.last_written()?.is_some() {
            return Ok(false);
        }
    }
    Ok(true)
}

/// Whether a writer holds the lock. Nothing is created.
fn is_live(dir: &Path) -> io::Result<bool> {
    let file = match std::fs::File::open(dir.join(LOCK_NAME)) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
        other => other?,
    };
    match file.try_lock_shared() {
        Ok(()) => Ok(false),
        Err(std::fs::TryLockError::WouldBlock) => Ok(true),
        Err(std::fs::TryLockError::Error(error)) => Err(error),
    }
}
