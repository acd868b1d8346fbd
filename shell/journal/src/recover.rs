//! Opening a directory: replay what is there, or what follows a known place, repair a torn tail, refuse everything else.
//!
//! A batch is flushed before the next one is written. So at most one batch, the last, may be torn, and nothing intact can
//! lie behind it; anything else is damage and not a crash, and the directory is refused.

use std::io;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use remit_tlog::{CheckpointError, Frontier, NoteError, Verifier};
use thiserror::Error;

use crate::erase::REWRITING_SUFFIX;
use crate::files::{Files, Handle, read_fully};
use crate::journal::Known;
use crate::mark::mark_read;
use crate::prepare::{PREPARING_SUFFIX, zeros_write};
use crate::segment::{Batch, Edge, Found, Header, Leaf, SegmentReader, SignedCheckpoint, segment_path, segments_list};

/// Why a journal was not opened.
#[derive(Debug, Error)]
pub enum OpenError {
    /// A file operation failed.
    #[error("cannot {action} in the journal's directory `{}`", dir.display())]
    Io {
        /// What was tried.
        action: &'static str,
        /// The journal's directory.
        dir: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// Another process, or another `Journal` of this one, writes here.
    #[error("another writer holds the journal in `{}`", .0.display())]
    Locked(PathBuf),
    /// The journal was written with another key or under another origin.
    #[error("the journal belongs to key `{found}`, not to `{expected}`")]
    WrongKey {
        /// The vkey of the key that was given.
        expected: String,
        /// The vkey that the journal names.
        found: String,
    },
    /// Something other than a torn tail is wrong. The files are untouched.
    #[error("segment `{generation}` is damaged at byte `{offset}`: {what}")]
    Damaged {
        /// The segment's number.
        generation: u64,
        /// Where in the segment.
        offset: u64,
        /// What is wrong.
        what: &'static str,
    },
    /// Fewer entries are there than were known to be durable: the journal was cut or replaced by an older copy.
    #[error("the journal ends after `{found}` entries, but `{durable}` were durable")]
    RolledBack {
        /// How many entries were durable.
        durable: u64,
        /// How many are there.
        found: u64,
    },
    /// The log doesn't go through the place that was said to be known.
    #[error("the journal doesn't go on from the `{size}` entries that are known")]
    Unknown {
        /// How many entries were said to be known.
        size: u64,
    },
    /// An option is out of range.
    #[error("the journal cannot be opened with this {0}")]
    Options(&'static str),
    /// The origin cannot name a key.
    #[error("the origin is not usable as the name of a key")]
    Origin(#[source] NoteError),
    /// The origin cannot stand in a checkpoint.
    #[error("the origin is not usable in a checkpoint")]
    Checkpoint(#[source] CheckpointError),
    /// The first batch, or the writer's thread, could not be started.
    #[error("the journal cannot be started: {0}")]
    Start(Arc<str>),
}

/// What an opening found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Recovery {
    /// How many entries there are.
    pub entries: u64,
    /// How many of them were read.
    pub read: u64,
    /// How many segments hold them.
    pub segments: u64,
    /// How many bytes of an unfinished batch were removed; they were never acknowledged.
    pub torn_bytes: u64,
    /// Why the journal stopped the last time, if it could still be written.
    pub stopped: Option<String>,
}

/// Says what was tried when a file operation fails.
pub(crate) fn io_error(dir: &Path, action: &'static str) -> impl FnOnce(io::Error) -> OpenError + use<> {
    let dir = dir.to_owned();
    move |source| OpenError::Io { action, dir, source }
}

/// The state at the end of the log.
pub(crate) struct Recovered {
    pub(crate) frontier: Frontier,
    pub(crate) checkpoint: Option<SignedCheckpoint>,
    /// The segment that is written next, and where.
    pub(crate) active: Option<(u64, u64)>,
    /// A prepared segment after that, never used.
    pub(crate) spare: Option<Box<dyn Handle>>,
    /// How many entries were read.
    pub(crate) read: u64,
    pub(crate) torn_bytes: u64,
}

/// Where a segment ends.
struct SegmentEnd {
    generation: u64,
    /// The end of the last batch; 0 if the segment was not used.
    offset: u64,
    /// The end of an unfinished batch behind it.
    torn_end: Option<u64>,
    what: &'static str,
}

impl SegmentEnd {
    fn damaged(&self) -> OpenError {
        OpenError::Damaged { generation: self.generation, offset: self.offset, what: self.what }
    }
}

pub(crate) struct Recoverer<'a> {
    pub(crate) files: &'a dyn Files,
    pub(crate) dir: &'a Path,
    pub(crate) verifier: &'a Verifier,
    pub(crate) segment_bytes: u64,
}

#[derive(Default)]
struct Replay {
    frontier: Frontier,
    checkpoint: Option<SignedCheckpoint>,
    /// The last batch: it may have been written and not flushed.
    last: Option<(u64, Range<u64>)>,
    /// The place that must be met, and is not to be read again.
    known: Option<Known>,
    known_size: u64,
    read: u64,
}

impl Recoverer<'_> {
    fn io(&self, action: &'static str) -> impl FnOnce(io::Error) -> OpenError {
        io_error(self.dir, action)
    }

    pub(crate) fn recover(&self, known: Option<Known>, sink: &mut dyn FnMut(u64, &[u8])) -> Result<Recovered, OpenError> {
        let generations = segments_list(self.files, self.dir).map_err(self.io("list the segments"))?;
        if let Some((_, expected)) = generations.iter().zip(1..).find(|(generation, expected)| *generation != expected) {
            return Err(OpenError::Damaged { generation: expected, offset: 0, what: "the segment is missing" });
        }
        let known = known.filter(|known| known.size > 0);
        let mut replay = Replay { known, known_size: known.map_or(0, |known| known.size), ..Replay::default() };
        let first = match known {
            Some(known) => self.enter(known, &generations, &mut replay)?,
            None => 0,
        };
        let mut ends = Vec::new();
        for generation in generations.into_iter().skip(first) {
            ends.push(self.segment(generation, &mut replay, sink)?);
        }
        if let Some(known) = replay.known {
            return Err(OpenError::Unknown { size: known.size });
        }
        if let Some(checkpoint) = &replay.checkpoint
            && checkpoint.verify(self.verifier).is_err()
        {
            let (generation, place) = replay.last.clone().unwrap_or_default();
            let what = "the last checkpoint's signature does not verify";
            return Err(OpenError::Damaged { generation, offset: place.start, what });
        }
        let used = ends.iter().rposition(|end| end.offset > 0).map_or(0, |place| place + 1);
        let torn = self.check(&ends, used, replay.frontier.size())?;
        let torn_bytes = torn.map_or(0, |end| end.torn_end.unwrap_or(end.offset) - end.offset);
        self.repair(torn, &replay).map_err(self.io("repair the tail"))?;
        let spare = self.spare(ends.get(used..).unwrap_or_default()).map_err(self.io("tidy up unused segments"))?;
        let active = ends.get(..used).and_then(|used| used.last()).map(|end| (end.generation, end.offset));
        let Replay { frontier, checkpoint, read, .. } = replay;
        Ok(Recovered { frontier, checkpoint, active, spare, read, torn_bytes })
    }

    /// The place among the segments of the last one that begins before the known place, with the tree as it was then.
    ///
    /// One that begins at it may hold nothing but what a crash tore: the log would seem to have no segment to go on in.
    fn enter(&self, known: Known, generations: &[u64], replay: &mut Replay) -> Result<usize, OpenError> {
        let unknown = || OpenError::Unknown { size: known.size };
        let header = |generation: u64| -> Result<Option<Header>, OpenError> {
            let read = || self.io("read a segment's header");
            let mut reader = SegmentReader::open(self.files, self.dir, generation).map_err(read())?;
            Ok(match reader.header().map_err(read())? {
                Found::Some(header) => Some(header),
                Found::Nothing | Found::Damage(_) => None,
            })
        };
        // Generations rise with the indexes they begin at; what was never used stands at the end.
        let (mut low, mut high) = (0, generations.len());
        while low < high {
            let middle = low + (high - low) / 2;
            let generation = generations.get(middle).copied().unwrap_or_default();
            let begins = header(generation)?.is_some_and(|header| header.first_index < known.size);
            if begins { low = middle + 1 } else { high = middle }
        }
        let place = low.checked_sub(1).ok_or_else(unknown)?;
        let header = generations.get(place).map(|generation| header(*generation)).transpose()?.flatten().ok_or_else(unknown)?;
        let edge = header.edge.filter(|edge: &Edge| edge.verify(self.verifier)).ok_or_else(unknown)?;
        replay.frontier = edge.frontier;
        replay.checkpoint = edge.checkpoint;
        replay.meet()?;
        Ok(place)
    }

    /// Replays one segment up to its end, or to what is torn.
    fn segment(&self, generation: u64, replay: &mut Replay, sink: &mut dyn FnMut(u64, &[u8])) -> Result<SegmentEnd, OpenError> {
        let read = || self.io("read a segment");
        let mut reader = SegmentReader::open(self.files, self.dir, generation).map_err(read())?;
        let mut what = "bytes behind the end of the segment";
        match reader.header().map_err(read())? {
            Found::Some(header) => {
                if header.vkey != self.verifier.to_string() {
                    return Err(OpenError::WrongKey { expected: self.verifier.to_string(), found: header.vkey });
                }
                if header.first_index != replay.frontier.size() {
                    let what = "the segment does not continue the one before";
                    return Err(OpenError::Damaged { generation, offset: 0, what });
                }
                what = self.batches(&mut reader, replay, sink)?.unwrap_or(what);
            }
            Found::Nothing => {}
            Found::Damage(damage) => {
                reader.rewind(0);
                what = damage;
            }
        }
        let torn_end = reader.last_written().map_err(read())?;
        let end = SegmentEnd { generation, offset: reader.offset(), torn_end, what };
        if torn_end.is_some() && reader.has_later_batch(replay.frontier.size(), self.verifier).map_err(read())? {
            return Err(end.damaged());
        }
        Ok(end)
    }

    /// Replays the batches behind the header; says what is wrong behind the last one.
    fn batches(
        &self,
        reader: &mut SegmentReader,
        replay: &mut Replay,
        sink: &mut dyn FnMut(u64, &[u8]),
    ) -> Result<Option<&'static str>, OpenError> {
        let mut batch = Batch::default();
        // The header was written with the first batch.
        let mut start = 0;
        let damage = loop {
            match reader.batch(replay.frontier.size(), &mut batch).map_err(self.io("read a segment"))? {
                Found::Some(()) => {
                    replay.accept(reader.generation(), start, &batch, sink)?;
                    start = reader.offset();
                }
                Found::Nothing => break None,
                Found::Damage(damage) => break Some(damage),
            }
        };
        reader.rewind(start);
        Ok(damage)
    }

    /// Checks that at most one batch is torn, that it is the last, and that nothing durable is missing.
    fn check<'e>(&self, ends: &'e [SegmentEnd], used: usize, size: u64) -> Result<Option<&'e SegmentEnd>, OpenError> {
        let mut torn = None;
        for (place, end) in ends.iter().enumerate() {
            let last = place + 1 >= used && place <= used;
            if end.torn_end.is_some() && (!last || torn.is_some()) || end.offset == 0 && place < used {
                return Err(end.damaged());
            }
            torn = torn.or(end.torn_end.is_some().then_some(end));
        }
        let durable = mark_read(self.files, self.dir).map_err(self.io("read the mark"))?.unwrap_or(0);
        match torn {
            Some(end) if durable > size => Err(end.damaged()),
            None if durable > size => Err(OpenError::RolledBack { durable, found: size }),
            _ => Ok(torn),
        }
    }

    /// Zeroes what is torn, and writes and flushes the last batch again: after a failed flush the page cache may show what
    /// the disk does not have.
    fn repair(&self, torn: Option<&SegmentEnd>, replay: &Replay) -> io::Result<()> {
        if let Some((end, torn_end)) = torn.filter(|end| end.offset > 0).and_then(|end| Some((end, end.torn_end?))) {
            let file = self.files.open(&segment_path(self.dir, end.generation), true)?;
            zeros_write(file.as_ref(), end.offset, torn_end)?;
            file.sync()?;
        }
        if let Some((generation, place)) = &replay.last {
            let file = self.files.open(&segment_path(self.dir, *generation), true)?;
            let mut bytes = vec![0; usize::try_from(place.end - place.start).map_err(io::Error::other)?];
            if read_fully(file.as_ref(), &mut bytes, place.start)? != bytes.len() {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            file.write_at(&bytes, place.start)?;
            file.sync()?;
        }
        Ok(())
    }

    /// Keeps the first unused segment if it is as it should be, and removes what else was never used.
    fn spare(&self, unused: &[SegmentEnd]) -> io::Result<Option<Box<dyn Handle>>> {
        let (mut spare, mut removed) = (None, false);
        // The last is removed first: a crash meanwhile must not leave a gap.
        for (place, end) in unused.iter().enumerate().rev() {
            let path = segment_path(self.dir, end.generation);
            let file = self.files.open(&path, true)?;
            if place == 0 && end.torn_end.is_none() && file.length()? == self.segment_bytes {
                spare = Some(file);
            } else {
                self.files.remove(&path)?;
                removed = true;
            }
        }
        for name in self.files.dir_list(self.dir)? {
            if name.ends_with(PREPARING_SUFFIX) || name.ends_with(REWRITING_SUFFIX) {
                self.files.remove(&self.dir.join(name))?;
                removed = true;
            }
        }
        if removed {
            self.files.dir_sync(self.dir)?;
        }
        Ok(spare)
    }
}

impl Replay {
    /// Takes over a batch whose root is right.
    fn accept(&mut self, generation: u64, start: u64, batch: &Batch, sink: &mut dyn FnMut(u64, &[u8])) -> Result<(), OpenError> {
        for (_, leaf) in batch.leaves() {
            self.frontier.append(leaf.hash());
            self.meet()?;
        }
        if batch.checkpoint.as_ref().map(|checkpoint| checkpoint.root) != Some(self.frontier.root()) {
            let what = "the checkpoint's root is not the root of the entries";
            return Err(OpenError::Damaged { generation, offset: batch.place.start, what });
        }
        self.read += batch.len() as u64;
        for (index, leaf) in batch.leaves().filter(|(index, _)| *index >= self.known_size) {
            if let Leaf::Entry(entry) = leaf {
                sink(index, entry);
            }
        }
        self.checkpoint.clone_from(&batch.checkpoint);
        self.last = Some((generation, start..batch.place.end));
        Ok(())
    }

    /// Holds the tree to the known place when it is there.
    fn meet(&mut self) -> Result<(), OpenError> {
        let Some(known) = self.known.filter(|known| known.size == self.frontier.size()) else { return Ok(()) };
        if self.frontier.root() != known.root {
            return Err(OpenError::Unknown { size: known.size });
        }
        self.known = None;
        Ok(())
    }
}
