//! The writer: one thread that drains the queue, writes a batch, flushes it once, and wakes everyone.

use std::any::Any;
use std::fmt::Display;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use remit_tlog::{Checkpoint, Frontier, Signer};

use crate::append::{AppendError, Committed, Group, Pending};
use crate::attachment;
use crate::files::{Files, Handle, Identity};
use crate::follow::Replicate;
use crate::frame::{Kind, frame_bytes, frame_encode};
use crate::journal::{Next, Shared};
use crate::mark::Mark;
use crate::prepare::Preparer;
use crate::segment::{SignedCheckpoint, header_bytes_max, header_payload, segment_path};

/// How often the writer looks after its segment: twice a second, so that a loss is noticed within one.
pub(crate) const TICK: Duration = Duration::from_millis(500);
/// The lines of a signed checkpoint without its origin, which it has twice: at most 181 bytes.
const NOTE_BYTES_MAX: usize = 192;

/// How many bytes the checkpoint frame of a batch takes at most.
pub(crate) fn checkpoint_frame_bytes_max(origin: &str) -> usize {
    frame_bytes(NOTE_BYTES_MAX + 2 * origin.len())
}

/// How many bytes the header frame of a segment takes at most.
pub(crate) fn header_frame_bytes_max(vkey: &str, origin: &str) -> usize {
    frame_bytes(header_bytes_max(vkey, NOTE_BYTES_MAX + 2 * origin.len()))
}

/// The log being written: everything the writer owns.
pub(crate) struct Log {
    pub(crate) files: Arc<dyn Files>,
    pub(crate) attachments: Option<attachment::Writer>,
    pub(crate) replicate: Option<Arc<dyn Replicate>>,
    pub(crate) dir: PathBuf,
    pub(crate) signer: Signer,
    pub(crate) vkey: String,
    /// The last one that is durable.
    pub(crate) checkpoint: Option<SignedCheckpoint>,
    pub(crate) frontier: Frontier,
    pub(crate) segment: Active,
    pub(crate) preparer: Preparer,
    pub(crate) mark: Mark,
    pub(crate) buffer: Vec<u8>,
    /// Whether a `stopped` file of an earlier run is still to be removed.
    pub(crate) stale_stop: bool,
    /// Released last.
    pub(crate) _lock: Box<dyn Any + Send>,
}

/// The segment being written.
pub(crate) struct Active {
    pub(crate) generation: u64,
    file: Box<dyn Handle>,
    identity: Identity,
    offset: u64,
    capacity: u64,
}

impl Active {
    pub(crate) fn new(generation: u64, file: Box<dyn Handle>, offset: u64) -> io::Result<Self> {
        let (identity, capacity) = (file.identity()?, file.length()?);
        Ok(Self { generation, file, identity, offset, capacity })
    }
}

impl Log {
    /// Writes and flushes one batch, once it is where other nodes have it. After an error the log must not be used any more.
    pub(crate) fn commit(&mut self, entries: &[Pending], entry_bytes: usize) -> Result<SignedCheckpoint, String> {
        self.write(entries, entry_bytes, |log, first_index| {
            let checkpoint = log.checkpoint()?;
            if let Some(replicate) = log.replicate.as_ref().filter(|_| !entries.is_empty()) {
                let entries: Vec<&[u8]> = entries.iter().map(|entry| entry.bytes.as_slice()).collect();
                replicate.replicate(first_index, &checkpoint.note, &entries).map_err(said("cannot share a batch"))?;
            }
            Ok(checkpoint)
        })
    }

    /// Writes and flushes one batch with the checkpoint that `sign` gives for the tree that it makes.
    pub(crate) fn write(
        &mut self,
        entries: &[Pending],
        entry_bytes: usize,
        sign: impl FnOnce(&Self, u64) -> Result<SignedCheckpoint, String>,
    ) -> Result<SignedCheckpoint, String> {
        let origin = self.signer.verifier().name();
        let tail = checkpoint_frame_bytes_max(origin);
        let head = if self.segment.offset == 0 { header_frame_bytes_max(&self.vkey, origin) } else { 0 };
        if self.segment.offset + (head + entry_bytes + tail) as u64 > self.segment.capacity {
            self.rotate()?;
        }
        if let Some(attachments) = &mut self.attachments {
            attachments.write(self.frontier.size(), entries);
        }
        self.buffer.clear();
        let generation = self.segment.generation;
        if self.segment.offset == 0 {
            let header = header_payload(&self.vkey, &self.frontier, self.checkpoint.as_ref());
            frame_encode(&mut self.buffer, Kind::Header, generation, self.frontier.size(), header.as_bytes());
        }
        let first_index = self.frontier.size();
        for entry in entries {
            frame_encode(&mut self.buffer, Kind::Entry, generation, self.frontier.size(), &entry.bytes);
            self.frontier.append(entry.leaf);
        }
        let checkpoint = sign(self, first_index)?;
        frame_encode(&mut self.buffer, Kind::Checkpoint, generation, checkpoint.size, checkpoint.note.as_bytes());
        let segment = &mut self.segment;
        segment.file.write_at(&self.buffer, segment.offset).map_err(said("cannot write a batch"))?;
        segment.file.sync().map_err(said("cannot flush a batch"))?;
        segment.offset += self.buffer.len() as u64;
        self.checkpoint = Some(checkpoint.clone());
        self.mark.write(checkpoint.size).map_err(said("cannot write the mark"))?;
        if std::mem::take(&mut self.stale_stop) {
            let _ = self.files.remove(&stop_path(&self.dir));
        }
        Ok(checkpoint)
    }

    /// Signs the tree as it is.
    fn checkpoint(&self) -> Result<SignedCheckpoint, String> {
        let (size, root) = (self.frontier.size(), self.frontier.root());
        let text = Checkpoint::new(self.signer.verifier().name(), size, root).map_err(said("cannot make a checkpoint"))?;
        let note = self.signer.sign(&text.to_string()).map_err(said("cannot sign a checkpoint"))?;
        Ok(SignedCheckpoint { size, root, note: note.to_string() })
    }

    /// Goes on in the next segment, and prepares the one after it.
    fn rotate(&mut self) -> Result<(), String> {
        let generation = self.segment.generation + 1;
        let file = self.preparer.take(generation).map_err(said("cannot prepare the next segment"))?;
        self.segment = Active::new(generation, file, 0).map_err(said("cannot use the next segment"))?;
        self.preparer.start(generation + 1);
        Ok(())
    }

    /// Looks whether the segment still has its name: what is written to a deleted file is lost.
    pub(crate) fn look(&mut self) -> Result<(), String> {
        let path = segment_path(&self.dir, self.segment.generation);
        let identity = self.files.identity(&path).map_err(said("cannot find the live segment"))?;
        if identity != self.segment.identity {
            return Err("the live segment was replaced".to_owned());
        }
        self.preparer.tick(self.segment.generation + 1);
        Ok(())
    }

    /// Gives the disk reserve back and leaves a note of why the journal stopped; nothing more can be done if that fails.
    fn leave_stop(&self, reason: &str) {
        let _ = self.files.remove(&reserve_path(&self.dir));
        if let Ok(file) = self.files.create(&stop_path(&self.dir)) {
            let _ = file.write_at(reason.as_bytes(), 0).and_then(|()| file.sync());
            let _ = self.files.dir_sync(&self.dir);
        }
    }
}

/// Serves the queue until the journal is closed or stops.
pub(crate) fn run(mut log: Log, shared: &Shared) {
    let guard = StopOnPanic(shared);
    let (mut finished, mut looked) = (0, Instant::now());
    loop {
        let next = shared.next(finished, TICK);
        finished = 0;
        if let Next::Closed = next {
            // Readers lose nothing without it: the next opening writes it again.
            let _ = log.mark.sync();
            if let Some(attachments) = &mut log.attachments {
                attachments.close();
            }
            break;
        }
        let mut result = Ok(());
        if looked.elapsed() >= TICK {
            looked = Instant::now();
            result = log.look();
        }
        if let Next::Group(group) = &next {
            finished = group.entries.len();
            if result.is_ok() {
                result = log.commit(&group.entries, group.frame_bytes).map(|checkpoint| acknowledge(shared, group, checkpoint));
            }
        }
        if let Err(reason) = result {
            let written = if let Next::Group(group) = next { Some(group) } else { None };
            stop(shared, &reason, written);
            log.leave_stop(&reason);
            break;
        }
    }
    drop(log);
    std::mem::forget(guard);
}

fn acknowledge(shared: &Shared, group: &Group, checkpoint: SignedCheckpoint) {
    let tree_size = checkpoint.size;
    shared.publish(checkpoint);
    group.finish(Ok(Committed { first_index: tree_size - group.entries.len() as u64, tree_size }));
}

/// Refuses everything from now on: what was being written, what waits, and what comes.
fn stop(shared: &Shared, reason: &str, written: Option<Group>) {
    let reason: Arc<str> = reason.into();
    let waiting = shared.stop(&reason);
    for group in written.into_iter().chain(waiting) {
        group.finish(Err(AppendError::Stopped(Arc::clone(&reason))));
    }
}

/// Fails every caller if the writer's thread panics.
struct StopOnPanic<'a>(&'a Shared);

impl Drop for StopOnPanic<'_> {
    fn drop(&mut self) {
        stop(self.0, "the writer panicked", None);
    }
}

pub(crate) fn reserve_path(dir: &Path) -> PathBuf {
    dir.join("reserve")
}

pub(crate) fn stop_path(dir: &Path) -> PathBuf {
    dir.join("stopped")
}

/// A sentence for [`AppendError::Stopped`], with what the system said.
fn said<E: Display>(what: &'static str) -> impl FnOnce(E) -> String {
    move |error| format!("{what}: {error}")
}
