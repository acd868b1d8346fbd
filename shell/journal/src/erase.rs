//! Erasing entries of segments that are full: their leaf hashes stay, so that the tree, every checkpoint and every proof of another entry stay
//! what they were.
//!
//! A segment is written anew beside the old one, flushed, and takes its name: at any time one or the other is there, whole. Batches between
//! which nothing is left are joined, and keep the last one's checkpoint. Nothing is decided here about what may go: whoever asks records that it was
//! erased, and why, before it is.

use std::any::Any;
use std::borrow::Cow;
use std::collections::HashMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Mutex;

use remit_tlog::{Hash, Verifier, leaf_hash};
use thiserror::Error;

use crate::ENTRY_BYTES_MAX;
use crate::files::{Files, Handle, Identity, OsFiles};
use crate::frame::{Kind, frame_encode};
use crate::segment::{Batch, Found, Header, Leaf, SegmentReader, segment_path, segments_list};

/// What the file is called that a segment is written anew to.
pub(crate) const REWRITING_SUFFIX: &str = ".rewriting";
/// How many hashes one frame holds.
const HASHES_MAX: usize = ENTRY_BYTES_MAX / Hash::BYTES;
/// The file whose lock makes an eraser the only one.
const LOCK_NAME: &str = "erasing";

/// Why nothing was erased.
#[derive(Debug, Error)]
pub enum EraseError {
    /// A file operation failed. The segment is as it was.
    #[error("cannot write a segment of the journal in `{}` anew", dir.display())]
    Io {
        /// The journal's directory.
        dir: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// Somebody else is erasing.
    #[error("another process is erasing entries of the journal in `{}`", .0.display())]
    Locked(PathBuf),
    /// The segment can't be followed: it is left as evidence.
    #[error("segment `{generation}` is damaged at byte `{offset}`: {what}; nothing of it is erased")]
    Damaged {
        /// The segment's number.
        generation: u64,
        /// Where in the segment.
        offset: u64,
        /// What is wrong.
        what: &'static str,
    },
    /// It is being written, or there is none of this number.
    #[error("segment `{0}` is not full")]
    NotFull(u64),
}

/// A segment that is full.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FullSegment {
    /// Its number.
    pub generation: u64,
    /// The index of its first entry.
    pub first_index: u64,
    /// The index after its last entry.
    pub end_index: u64,
    /// How large its file is.
    pub bytes: u64,
}

/// What became of a segment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Erased {
    /// How many entries were erased now.
    pub erased: u64,
    /// How many are left.
    pub kept: u64,
    /// How large its file was.
    pub bytes_before: u64,
    /// How large it is.
    pub bytes_after: u64,
}

/// Erases entries of the segments that are full. Only one at a time; the writer and readers go on beside it.
pub struct Eraser {
    dir: PathBuf,
    _lock: Mutex<Box<dyn Any + Send>>,
}

impl Eraser {
    /// For the journal in `dir`.
    pub fn open(dir: impl Into<PathBuf>) -> Result<Self, EraseError> {
        let dir = dir.into();
        match OsFiles.lock(&dir.join(LOCK_NAME)) {
            Ok(lock) => Ok(Self { dir, _lock: Mutex::new(lock) }),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Err(EraseError::Locked(dir)),
            Err(source) => Err(EraseError::Io { dir, source }),
        }
    }

    /// The segments that are full: all that have another one in use behind them.
    pub fn full_segments(&self) -> Result<Vec<FullSegment>, EraseError> {
        list_full_segments(&self.dir)
    }

    /// Writes a full segment anew without the entries for which `erase` says so. `before` gets the indexes of those once they are known, and
    /// nothing is written unless it says that all is well: it makes durable that they are erased.
    ///
    /// The whole segment is held to its own checkpoints first.
    pub fn erase<E: From<EraseError>>(
        &self,
        segment: FullSegment,
        mut erase: impl FnMut(u64, &[u8]) -> bool,
        before: impl FnOnce(&[u64]) -> Result<(), E>,
    ) -> Result<Erased, E> {
        let io = |source| EraseError::Io { dir: self.dir.clone(), source };
        if !self.full_segments()?.contains(&segment) {
            return Err(EraseError::NotFull(segment.generation).into());
        }
        let mut going = Vec::new();
        let (bytes, kept) = rewrite(&OsFiles, &self.dir, segment.generation, &mut |index, leaf| match leaf {
            Leaf::Entry(entry) if erase(index, entry) => {
                going.push(index);
                None
            }
            Leaf::Entry(entry) => Some(Cow::Borrowed(entry)),
            Leaf::Erased(_) => None,
        })?;
        let mut done = Erased { erased: 0, kept, bytes_before: segment.bytes, bytes_after: segment.bytes };
        if going.is_empty() {
            return Ok(done);
        }
        before(&going)?;
        replace(&OsFiles, &self.dir, segment.generation, &bytes).map_err(io)?;
        done.erased = going.len() as u64;
        done.bytes_after = bytes.len() as u64;
        Ok(done)
    }
}

impl Eraser {
    /// Puts entries back that were erased, from the bytes of the same segment as [`read_full_segment`] gave them before; how many. What the bytes
    /// hold and the log doesn't is refused, and what the log holds stays.
    pub fn restore(&self, segment: FullSegment, archived: &[u8]) -> Result<u64, EraseError> {
        if !self.full_segments()?.contains(&segment) {
            return Err(EraseError::NotFull(segment.generation));
        }
        let damaged = |what: &'static str| EraseError::Damaged { generation: segment.generation, offset: 0, what };
        let io = |source| EraseError::Io { dir: self.dir.clone(), source };
        let mut reader = SegmentReader::new(Box::new(Archived(archived.to_vec())), segment.generation);
        let Found::Some(header) = reader.header().map_err(io)? else {
            return Err(damaged("what was archived is no segment of this number"));
        };
        if header.first_index != segment.first_index {
            return Err(damaged("what was archived begins elsewhere"));
        }
        let mut entries: HashMap<u64, Vec<u8>> = HashMap::new();
        let (mut batch, mut next) = (Batch::default(), header.first_index);
        while let Found::Some(()) = reader.batch(next, &mut batch).map_err(io)? {
            for (index, leaf) in batch.leaves() {
                if let Leaf::Entry(entry) = leaf {
                    entries.insert(index, entry.to_vec());
                }
            }
            next += batch.len() as u64;
        }
        let (mut restored, mut foreign) = (0, false);
        let (bytes, _) = rewrite(&OsFiles, &self.dir, segment.generation, &mut |index, leaf| match leaf {
            Leaf::Entry(entry) => Some(Cow::Borrowed(entry)),
            Leaf::Erased(hash) => {
                let entry = entries.remove(&index)?;
                foreign |= leaf_hash(&entry) != hash;
                restored += 1;
                Some(Cow::Owned(entry))
            }
        })?;
        if foreign {
            return Err(damaged("what was archived is not what was erased: another hash stands in the tree"));
        }
        if restored > 0 {
            replace(&OsFiles, &self.dir, segment.generation, &bytes).map_err(io)?;
        }
        Ok(restored)
    }
}

/// The segments of the journal in `dir` that are full.
pub fn list_full_segments(dir: impl AsRef<Path>) -> Result<Vec<FullSegment>, EraseError> {
    let dir = dir.as_ref();
    full_segments(&OsFiles, dir).map_err(|source| EraseError::Io { dir: dir.to_owned(), source })
}

/// The bytes of a full segment, as far as it is used; it is held to its own checkpoints. For archives: nobody else is kept from anything.
pub fn read_full_segment(dir: impl AsRef<Path>, segment: FullSegment) -> Result<Vec<u8>, EraseError> {
    let dir = dir.as_ref();
    if !list_full_segments(dir)?.contains(&segment) {
        return Err(EraseError::NotFull(segment.generation));
    }
    Ok(rewrite(&OsFiles, dir, segment.generation, &mut |_, leaf| kept(leaf))?.0)
}

/// A leaf as it is.
fn kept(leaf: Leaf<'_>) -> Option<Cow<'_, [u8]>> {
    match leaf {
        Leaf::Entry(entry) => Some(Cow::Borrowed(entry)),
        Leaf::Erased(_) => None,
    }
}

/// A segment that was read from an archive.
struct Archived(Vec<u8>);

impl Handle for Archived {
    fn read_at(&self, bytes: &mut [u8], offset: u64) -> io::Result<usize> {
        let from = usize::try_from(offset).unwrap_or(usize::MAX).min(self.0.len());
        let rest = self.0.get(from..).unwrap_or_default();
        let count = rest.len().min(bytes.len());
        if let (Some(to), Some(from)) = (bytes.get_mut(..count), rest.get(..count)) {
            to.copy_from_slice(from);
        }
        Ok(count)
    }

    fn write_at(&self, _: &[u8], _: u64) -> io::Result<()> {
        Err(io::ErrorKind::ReadOnlyFilesystem.into())
    }

    fn sync(&self) -> io::Result<()> {
        Ok(())
    }

    fn length(&self) -> io::Result<u64> {
        Ok(self.0.len() as u64)
    }

    fn identity(&self) -> io::Result<Identity> {
        Err(io::ErrorKind::Unsupported.into())
    }
}

impl std::fmt::Debug for Eraser {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Eraser").field("dir", &self.dir).finish_non_exhaustive()
    }
}

/// The segments that have another one in use behind them.
pub(crate) fn full_segments(files: &dyn Files, dir: &Path) -> io::Result<Vec<FullSegment>> {
    let mut full: Vec<FullSegment> = Vec::new();
    let mut last: Option<(u64, u64, u64)> = None;
    for generation in segments_list(files, dir)? {
        let mut reader = SegmentReader::open(files, dir, generation)?;
        let bytes = reader.length()?;
        let Found::Some(Header { first_index, .. }) = reader.header()? else { break };
        if let Some((generation, begins, bytes)) = last {
            full.push(FullSegment { generation, first_index: begins, end_index: first_index, bytes });
        }
        last = Some((generation, first_index, bytes));
    }
    Ok(full)
}

/// Says what is to stand in a leaf's place: an entry's bytes, or its hash alone.
type Choose<'a> = dyn for<'l> FnMut(u64, Leaf<'l>) -> Option<Cow<'l, [u8]>> + 'a;

/// The bytes of a segment with other choices of which entries are there, and how many are.
pub(crate) fn rewrite(
    files: &dyn Files,
    dir: &Path,
    generation: u64,
    choose: &mut Choose<'_>,
) -> Result<(Vec<u8>, u64), EraseError> {
    let io = |source| EraseError::Io { dir: dir.to_owned(), source };
    let mut reader = SegmentReader::open(files, dir, generation).map_err(io)?;
    let damaged = |offset: u64, what: &'static str| EraseError::Damaged { generation, offset, what };
    let header = match reader.header().map_err(io)? {
        Found::Some(header) => header,
        Found::Nothing => return Err(EraseError::NotFull(generation)),
        Found::Damage(what) => return Err(damaged(0, what)),
    };
    let verifier = Verifier::parse(&header.vkey).map_err(|_| damaged(0, "the segment names no key"))?;
    let mut tree = header.edge.filter(|edge| edge.verify(&verifier)).map(|edge| edge.frontier);
    let mut writing =
        Writing { bytes: reader.first_frame().map_err(io)?, generation, hashes: Vec::new(), first: 0, checkpoint: None };
    let (mut batch, mut next, mut kept, mut last) = (Batch::default(), header.first_index, 0, (0, None));
    loop {
        let offset = reader.offset();
        match reader.batch(next, &mut batch).map_err(io)? {
            Found::Some(()) => {}
            Found::Nothing if reader.last_written().map_err(io)?.is_none() => break,
            Found::Nothing => return Err(damaged(offset, "bytes behind the end of the segment")),
            Found::Damage(what) => return Err(damaged(offset, what)),
        }
        let checkpoint = batch.checkpoint.as_ref().ok_or_else(|| damaged(offset, "the batch has no checkpoint"))?;
        if let Some(tree) = &mut tree {
            batch.leaves().for_each(|(_, leaf)| tree.append(leaf.hash()));
            if tree.root() != checkpoint.root {
                return Err(damaged(offset, "the checkpoint's root is not the root of the entries"));
            }
        }
        // Where the tree is known from the beginning, the last signature stands for all.
        if tree.is_none() && checkpoint.verify(&verifier).is_err() {
            return Err(damaged(offset, "the checkpoint's signature does not verify"));
        }
        last = (offset, Some(checkpoint.clone()));
        for (index, leaf) in batch.leaves() {
            match choose(index, leaf) {
                Some(entry) => {
                    writing.entry(index, &entry);
                    kept += 1;
                }
                None => writing.erased(index, leaf.hash()),
            }
        }
        next = checkpoint.size;
        writing.checkpoint = Some((checkpoint.size, checkpoint.note.clone()));
    }
    if let (offset, Some(checkpoint)) = last
        && checkpoint.verify(&verifier).is_err()
    {
        return Err(damaged(offset, "the checkpoint's signature does not verify"));
    }
    writing.end();
    Ok((writing.bytes, kept))
}

/// A segment being put together.
struct Writing {
    bytes: Vec<u8>,
    generation: u64,
    /// The hashes of the last entries, if they were erased, and the index of the first of them.
    hashes: Vec<u8>,
    first: u64,
    /// The checkpoint of the last batch, until something follows it that is no erased entry.
    checkpoint: Option<(u64, String)>,
}

impl Writing {
    fn entry(&mut self, index: u64, entry: &[u8]) {
        self.end();
        frame_encode(&mut self.bytes, Kind::Entry, self.generation, index, entry);
    }

    fn erased(&mut self, index: u64, hash: Hash) {
        if self.hashes.is_empty() {
            self.end();
            self.first = index;
        } else {
            // The batch before goes on in this one.
            self.checkpoint = None;
        }
        self.hashes.extend_from_slice(hash.as_bytes());
        if self.hashes.len() == HASHES_MAX * Hash::BYTES {
            self.flush();
        }
    }

    fn flush(&mut self) {
        if !self.hashes.is_empty() {
            frame_encode(&mut self.bytes, Kind::Erased, self.generation, self.first, &self.hashes);
            self.first += (self.hashes.len() / Hash::BYTES) as u64;
            self.hashes.clear();
        }
    }

    fn end(&mut self) {
        self.flush();
        if let Some((size, note)) = self.checkpoint.take() {
            frame_encode(&mut self.bytes, Kind::Checkpoint, self.generation, size, note.as_bytes());
        }
    }
}

/// Puts a segment in the place of another, durably.
pub(crate) fn replace(files: &dyn Files, dir: &Path, generation: u64, bytes: &[u8]) -> io::Result<()> {
    let path = segment_path(dir, generation);
    let rewriting = path.with_extension(REWRITING_SUFFIX.trim_start_matches('.'));
    let made = files.create(&rewriting).and_then(|file| {
        file.write_at(bytes, 0)?;
        file.sync()?;
        files.rename(&rewriting, &path)?;
        files.dir_sync(dir)
    });
    if made.is_err() {
        let _ = files.remove(&rewriting);
    }
    made
}
