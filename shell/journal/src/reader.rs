//! Reading a journal while another process may be writing it.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

use remit_tlog::{Hash, Verifier};
use thiserror::Error;

use crate::files::{Files, OsFiles};
use crate::mark::mark_read;
use crate::segment::{Batch, Found, Header, Leaf, SegmentReader, SignedCheckpoint, segments_list};

/// One entry of the log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Its position in the log.
    pub index: u64,
    /// What was appended.
    pub bytes: Vec<u8>,
}

/// One leaf of the log's tree.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TreeLeaf {
    /// Its position in the log.
    pub index: u64,
    /// Its hash.
    pub hash: Hash,
    /// What was appended; `None` if it was erased.
    pub bytes: Option<Vec<u8>>,
}

/// Why reading ended.
#[derive(Debug, Error)]
pub enum ReadError {
    /// A file operation failed.
    #[error("cannot read the journal in `{}`", dir.display())]
    Io {
        /// The journal's directory.
        dir: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// Something durable is not as it was written.
    #[error("segment `{generation}` is damaged at byte `{offset}`: {what}")]
    Damaged {
        /// The segment's number.
        generation: u64,
        /// Where in the segment.
        offset: u64,
        /// What is wrong.
        what: &'static str,
    },
}

/// Reads entries in order. Needs no lock and writes nothing.
///
/// An entry is yielded only if a signed checkpoint covers it and that checkpoint is known to be on disk: the writer has
/// marked it, or has begun the batch after it. Signatures are checked with the key the segment names; [`crate::verify`]
/// checks them, and the whole tree, with a key you trust.
pub struct Reader {
    files: Box<dyn Files>,
    dir: PathBuf,
    segment: Option<(SegmentReader, Verifier)>,
    batch: Batch,
    /// The note of the checkpoint of the batch that the last entry came from.
    note: String,
    /// The place within the batch of the next entry.
    place: usize,
    /// The index of the next entry to read from the files.
    next_index: u64,
    /// Entries before this one are skipped.
    from: u64,
    durable: u64,
    /// Whether the checkpoints' signatures are checked.
    signatures: bool,
}

impl Reader {
    /// Reads the journal in `dir` from the entry with index `from`; it need not exist yet.
    pub fn open(dir: impl AsRef<Path>, from: u64) -> Result<Self, ReadError> {
        Self::open_with(Box::new(OsFiles), dir.as_ref(), from)
    }

    pub(crate) fn open_with(files: Box<dyn Files>, dir: &Path, from: u64) -> Result<Self, ReadError> {
        let mut reader = Self {
            files,
            dir: dir.to_owned(),
            segment: None,
            batch: Batch::default(),
            note: String::new(),
            place: 0,
            next_index: 0,
            from,
            durable: 0,
            signatures: true,
        };
        reader.seek().map_err(|error| reader.io(error))?;
        Ok(reader)
    }

    /// The same without checking signatures, which costs more than all the rest: for who reads very much, and proves it with [`crate::verify`]
    /// where it must be proved. Checksums are checked.
    #[must_use]
    pub fn without_signatures(mut self) -> Self {
        self.signatures = false;
        self.segment = self.segment.map(|(segment, verifier)| (segment.without_checkpoints(), verifier));
        self
    }

    /// The next entry that wasn't erased; `None` at the end of what is durable now. Call it again later.
    #[expect(clippy::should_implement_trait, reason = "an iterator that ends must not go on, and this one may")]
    pub fn next(&mut self) -> Result<Option<Entry>, ReadError> {
        Ok(self.next_lent()?.map(|(index, bytes)| Entry { index, bytes: bytes.to_vec() }))
    }

    /// The same, lent until the next one is asked for: index and bytes.
    pub fn next_lent(&mut self) -> Result<Option<(u64, &[u8])>, ReadError> {
        loop {
            let Some((index, place)) = self.next_place()? else { return Ok(None) };
            if self.batch.is_entry(place) {
                return Ok(self.batch.bytes_of(place).map(|bytes| (index, bytes)));
            }
        }
    }

    /// The next leaf of the tree, erased or not: every index once. `None` at the end of what is durable now.
    pub fn next_leaf(&mut self) -> Result<Option<TreeLeaf>, ReadError> {
        let Some((index, place)) = self.next_place()? else { return Ok(None) };
        Ok(self.batch.leaf(place).map(|leaf| {
            let bytes = if let Leaf::Entry(bytes) = leaf { Some(bytes.to_vec()) } else { None };
            TreeLeaf { index, hash: leaf.hash(), bytes }
        }))
    }

    /// The index of the next leaf, and its place within the batch.
    fn next_place(&mut self) -> Result<Option<(u64, usize)>, ReadError> {
        loop {
            if self.place < self.batch.len() {
                let (index, place) = (self.batch.first_index + self.place as u64, self.place);
                self.place += 1;
                if index >= self.from {
                    return Ok(Some((index, place)));
                }
            } else if !self.advance()? {
                return Ok(None);
            }
        }
    }

    /// The next entry, calling `wait` at the end of what is durable for as long as it says `true`.
    ///
    /// `wait` sleeps, or watches the directory; `None` means that it said `false`.
    pub fn follow(&mut self, mut wait: impl FnMut() -> bool) -> Result<Option<Entry>, ReadError> {
        loop {
            if let Some(entry) = self.next()? {
                return Ok(Some(entry));
            }
            if !wait() {
                return Ok(None);
            }
        }
    }

    /// The checkpoint of the batch that the last entry came from.
    pub fn checkpoint(&self) -> Option<SignedCheckpoint> {
        SignedCheckpoint::parse(&self.note)
    }

    fn io(&self, source: io::Error) -> ReadError {
        ReadError::Io { dir: self.dir.clone(), source }
    }

    fn damaged(&self, what: &'static str) -> ReadError {
        let (generation, offset) = self.segment.as_ref().map_or((1, 0), |(segment, _)| (segment.generation(), segment.offset()));
        ReadError::Damaged { generation, offset, what }
    }

    /// Goes to the last segment that begins at or before `from`.
    fn seek(&mut self) -> io::Result<()> {
        let generations = match segments_list(self.files.as_ref(), &self.dir) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Vec::new(),
            other => other?,
        };
        for generation in generations.into_iter().rev() {
            if let Some((segment, header)) = self.segment_open(generation)?
                && (header.first_index <= self.from || generation == 1)
                && let Ok(verifier) = Verifier::parse(&header.vkey)
            {
                self.next_index = header.first_index;
                self.segment = Some((segment, verifier));
                break;
            }
        }
        Ok(())
    }

    /// The segment of `generation`, if it is in use.
    fn segment_open(&self, generation: u64) -> io::Result<Option<(SegmentReader, Header)>> {
        let mut segment = match SegmentReader::open(self.files.as_ref(), &self.dir, generation) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            other => other?,
        };
        if !self.signatures {
            segment = segment.without_checkpoints();
        }
        match segment.header()? {
            Found::Some(header) => Ok(Some((segment, header))),
            Found::Nothing | Found::Damage(_) => Ok(None),
        }
    }

    /// Loads the next durable batch; `false` if there is none yet.
    fn advance(&mut self) -> Result<bool, ReadError> {
        // What was read ahead may be older than the mark; only what is read again counts as damage.
        let mut again = false;
        loop {
            // The mark is read before the files: what it covers must be there.
            if self.durable <= self.next_index {
                let mark = mark_read(self.files.as_ref(), &self.dir).map_err(|error| self.io(error))?;
                self.durable = self.durable.max(mark.unwrap_or(0));
            }
            let Some((segment, verifier)) = &mut self.segment else {
                self.seek().map_err(|error| self.io(error))?;
                if self.segment.is_none() {
                    return if self.durable > 0 { Err(self.damaged("the first segment is missing")) } else { Ok(false) };
                }
                continue;
            };
            let found = segment.batch(self.next_index, &mut self.batch);
            self.place = 0;
            match found.map_err(|source| ReadError::Io { dir: self.dir.clone(), source })? {
                Found::Some(()) => {
                    let checkpoint = self.batch.checkpoint.as_ref();
                    let size = self.batch.next_index();
                    let skipped = size <= self.from;
                    if self.signatures && !skipped && checkpoint.is_none_or(|checkpoint| checkpoint.verify(verifier).is_err()) {
                        return Err(self.damaged("the checkpoint's signature does not verify"));
                    }
                    if !self.is_durable(size)? {
                        return Ok(false);
                    }
                    std::mem::swap(&mut self.note, &mut self.batch.note);
                    self.next_index = size;
                    return Ok(true);
                }
                Found::Nothing if self.segment_next()? => {}
                // Being written, or torn and not repaired yet.
                _ if self.durable <= self.next_index => return Ok(false),
                _ if !again => again = true,
                Found::Nothing => return Err(self.damaged("durable entries are missing")),
                Found::Damage(what) => return Err(self.damaged(what)),
            }
        }
    }

    /// Goes on in the next segment, if it is in use.
    fn segment_next(&mut self) -> Result<bool, ReadError> {
        let generation = self.segment.as_ref().map_or(1, |(segment, _)| segment.generation() + 1);
        let Some((segment, header)) = self.segment_open(generation).map_err(|error| self.io(error))? else {
            return Ok(false);
        };
        if header.first_index != self.next_index {
            return Err(self.damaged("the next segment does not continue this one"));
        }
        let verifier = Verifier::parse(&header.vkey).map_err(|_| self.damaged("the segment names no key"))?;
        self.segment = Some((segment, verifier));
        Ok(true)
    }

    /// Whether the batch just read, which makes the tree `size` large, is on disk. If not, it is read again next time.
    fn is_durable(&mut self, size: u64) -> Result<bool, ReadError> {
        if size <= self.durable {
            return Ok(true);
        }
        let mark = mark_read(self.files.as_ref(), &self.dir).map_err(|error| self.io(error))?;
        self.durable = self.durable.max(mark.unwrap_or(0));
        let Some((segment, _)) = &mut self.segment else {
            return Ok(false);
        };
        let (start, generation) = (self.batch.place.start, segment.generation());
        let mut durable = size <= self.durable;
        if !durable {
            let followed = segment.peek().map_err(|source| ReadError::Io { dir: self.dir.clone(), source })?;
            durable = followed || self.segment_open(generation + 1).map_err(|error| self.io(error))?.is_some();
        }
        if !durable && let Some((segment, _)) = &mut self.segment {
            segment.rewind(start);
            self.batch = Batch::default();
        }
        Ok(durable)
    }
}

impl fmt::Debug for Reader {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Reader").field("dir", &self.dir).field("next_index", &self.next_index).finish_non_exhaustive()
    }
}
