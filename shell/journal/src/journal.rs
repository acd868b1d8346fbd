//! The journal's face: open, append, close.

use std::any::Any;
use std::collections::VecDeque;
use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use remit_tlog::{Checkpoint, Hash, empty_root};

use crate::ENTRY_BYTES_MAX;
use crate::append::{Append, AppendError, Group, Pending};
use crate::attachment::{self, ATTACHMENT_BYTES_MAX, AttachmentOptions};
use crate::files::{Files, OsFiles, read_fully};
use crate::follow::Replicate;
use crate::frame::frame_bytes;
use crate::key::SigningKey;
use crate::mark::Mark;
use crate::prepare::{Preparer, zeros_create};
use crate::recover::{self, OpenError, Recovered, Recoverer, Recovery};
use crate::segment::{SignedCheckpoint, segment_path};
use crate::writer::{self, Active, Log, checkpoint_frame_bytes_max, header_frame_bytes_max, reserve_path, stop_path};

/// A group grows to this many bytes; the entries of one `append_many` too.
const GROUP_BYTES_MAX: usize = 4 * 1024 * 1024;
/// How many bytes of attachments may wait to be written.
const ATTACHMENTS_WAITING_BYTES_MAX: usize = 64 * 1024 * 1024;
/// The smallest segment.
const SEGMENT_BYTES_MIN: u64 = 6 * 1024;
/// How much of a `stopped` file is read.
const STOP_BYTES_MAX: usize = 4 * 1024;
/// The name of the file whose lock makes a writer the only one.
pub(crate) const LOCK_NAME: &str = "lock";

/// How to open a journal.
#[derive(Clone, Debug)]
pub struct Options {
    /// The directory, created if it is missing; nothing else may be in it.
    pub dir: PathBuf,
    /// The log's identity: the origin of its checkpoints and the name of its key.
    pub origin: String,
    /// The size of a segment file; segments that exist keep theirs.
    pub segment_bytes: u64,
    /// How many entries may wait to become durable; more are refused with [`AppendError::QueueFull`].
    pub queue_max: usize,
    /// Disk space held back, and released when the journal stops, so that the reason can still be written.
    pub reserve_bytes: u64,
    /// Where attachments are kept; without it none are.
    pub attachments: Option<AttachmentOptions>,
    /// Where other nodes have each batch from, before it is acknowledged.
    pub replicate: Option<Arc<dyn Replicate>>,
}

impl Options {
    /// The options for `dir` and `origin` with segments of 64 MiB, 16,384 waiting entries and 1 MiB in reserve.
    pub fn new(dir: impl Into<PathBuf>, origin: impl Into<String>) -> Self {
        Self {
            dir: dir.into(),
            origin: origin.into(),
            segment_bytes: 64 * 1024 * 1024,
            queue_max: 16 * 1024,
            reserve_bytes: 1024 * 1024,
            attachments: None,
            replicate: None,
        }
    }
}

/// A place in a log that somebody has read up to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Known {
    /// How many entries are before it.
    pub size: u64,
    /// The root of their tree.
    pub root: Hash,
}

/// Whether the journal accepts entries.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Health {
    /// It does.
    Ok,
    /// It never will again; open it anew when the cause is gone.
    Stopped {
        /// Why.
        reason: Arc<str>,
    },
}

/// An open journal; clones share it. The last one dropped closes it.
#[derive(Clone)]
pub struct Journal {
    owner: Arc<Owner>,
}

struct Owner {
    shared: Arc<Shared>,
    writer: Mutex<Option<JoinHandle<()>>>,
}

impl Journal {
    /// Opens the journal, or creates it, and gives every entry with its index to `recover`, in order.
    ///
    /// A torn tail is removed: it was never acknowledged. Everything else that is wrong refuses the directory.
    #[expect(clippy::needless_pass_by_value, reason = "an open journal owns its key and its options")]
    pub fn open(options: Options, key: SigningKey, mut recover: impl FnMut(u64, &[u8])) -> Result<(Self, Recovery), OpenError> {
        let (log, shared, recovery) = open_log(Arc::new(OsFiles), &options, &key, true, None, &mut recover)?;
        Ok((Self::start(log, shared)?, recovery))
    }

    /// The same for who knows the log up to a place: only what follows is read, and given to `recover`. What lies before is as it is;
    /// [`crate::verify`] reads all of it.
    ///
    /// [`OpenError::Unknown`] if the log doesn't go through that place, or can't be entered near it: then it is to be opened whole.
    #[expect(clippy::needless_pass_by_value, reason = "an open journal owns its key and its options")]
    pub fn open_after(
        options: Options,
        key: SigningKey,
        known: Known,
        mut recover: impl FnMut(u64, &[u8]),
    ) -> Result<(Self, Recovery), OpenError> {
        let (log, shared, recovery) = open_log(Arc::new(OsFiles), &options, &key, true, Some(known), &mut recover)?;
        Ok((Self::start(log, shared)?, recovery))
    }

    pub(crate) fn start(log: Log, shared: Shared) -> Result<Self, OpenError> {
        let shared = Arc::new(shared);
        let serving = Arc::clone(&shared);
        let writer = thread::Builder::new()
            .name("journal-write".to_owned())
            .spawn(move || writer::run(log, &serving))
            .map_err(|error| OpenError::Start(error.to_string().into()))?;
        Ok(Self { owner: Arc::new(Owner { shared, writer: Mutex::new(Some(writer)) }) })
    }

    /// Enqueues one entry of at most [`ENTRY_BYTES_MAX`] bytes. It is durable when the result resolves.
    pub fn append(&self, entry: Vec<u8>) -> Append {
        self.owner.shared.append([entry])
    }

    /// The same, with an attachment of at most [`ATTACHMENT_BYTES_MAX`] bytes: it is written before the entry is durable and isn't itself
    /// flushed. One that is too large, or that comes while too many wait, is given up and counted; the entry isn't.
    pub fn append_with(&self, entry: Vec<u8>, attachment: Vec<u8>) -> Append {
        self.owner.shared.append_with(entry, attachment)
    }

    /// How many attachments were given up since the journal was opened.
    pub fn attachments_lost(&self) -> u64 {
        self.owner.shared.attachments_lost.load(Ordering::Relaxed)
    }

    /// Enqueues entries that get consecutive indexes and become durable together, or not at all.
    ///
    /// The result has the index of the first.
    pub fn append_many(&self, entries: Vec<Vec<u8>>) -> Append {
        self.owner.shared.append(entries)
    }

    /// Whether the journal accepts entries.
    pub fn health(&self) -> Health {
        match &self.owner.shared.queue().state {
            State::Stopped(reason) => Health::Stopped { reason: Arc::clone(reason) },
            State::Open | State::Closing => Health::Ok,
        }
    }

    /// The latest signed checkpoint. It covers every acknowledged entry.
    pub fn checkpoint(&self) -> SignedCheckpoint {
        self.owner.shared.checkpoint.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The public key of the log in the vkey encoding.
    pub fn verifier_key(&self) -> String {
        self.owner.shared.vkey.clone()
    }

    /// Refuses further entries, makes the waiting ones durable, and releases the directory.
    pub fn close(self) {
        self.owner.close();
    }
}

impl fmt::Debug for Journal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Journal").field("vkey", &self.owner.shared.vkey).finish_non_exhaustive()
    }
}

impl Owner {
    fn close(&self) {
        self.shared.close();
        let writer = self.writer.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(writer) = writer {
            // A panic of the writer has failed its callers already.
            let _ = writer.join();
        }
    }
}

impl Drop for Owner {
    fn drop(&mut self) {
        self.close();
    }
}

/// What callers and the writer share.
pub(crate) struct Shared {
    queue: Mutex<Queue>,
    wake: Condvar,
    checkpoint: Mutex<SignedCheckpoint>,
    vkey: String,
    queue_max: usize,
    group_bytes_max: usize,
    attached: bool,
    attachments_lost: Arc<AtomicU64>,
}

struct Queue {
    groups: VecDeque<Group>,
    /// How many entries are in the groups or being written.
    entries: usize,
    /// How many bytes the attachments in the groups take.
    attachment_bytes: usize,
    writer_sleeps: bool,
    state: State,
}

enum State {
    Open,
    Closing,
    Stopped(Arc<str>),
}

/// What the writer does next.
pub(crate) enum Next {
    Group(Group),
    Tick,
    Closed,
}

impl Shared {
    fn new(checkpoint: SignedCheckpoint, vkey: String, options: &Options, group_bytes_max: usize, lost: Arc<AtomicU64>) -> Self {
        let queue = Queue { groups: VecDeque::new(), entries: 0, attachment_bytes: 0, writer_sleeps: false, state: State::Open };
        Self {
            queue: Mutex::new(queue),
            wake: Condvar::new(),
            checkpoint: Mutex::new(checkpoint),
            vkey,
            queue_max: options.queue_max,
            group_bytes_max,
            attached: options.attachments.is_some(),
            attachments_lost: lost,
        }
    }

    fn append_with(&self, entry: Vec<u8>, attachment: Vec<u8>) -> Append {
        if !self.attached {
            return self.append([entry]);
        }
        let bytes = frame_bytes(entry.len());
        if let Err(error) = self.fits(entry.len(), bytes) {
            return Append::failed(error);
        }
        let mut pending = Pending::new(entry);
        if attachment.len() > ATTACHMENT_BYTES_MAX {
            self.attachments_lost.fetch_add(1, Ordering::Relaxed);
        } else {
            pending.attachment = Some(attachment);
        }
        self.enqueue([pending], 1, bytes)
    }

    fn fits(&self, longest: usize, total: usize) -> Result<(), AppendError> {
        for (bytes, max) in [(longest, ENTRY_BYTES_MAX), (total, self.group_bytes_max)] {
            if bytes > max {
                return Err(AppendError::TooLarge { bytes, max });
            }
        }
        Ok(())
    }

    fn queue(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn append<E: AsRef<[Vec<u8>]> + IntoIterator<Item = Vec<u8>>>(&self, entries: E) -> Append {
        let count = entries.as_ref().len();
        if count == 0 {
            return Append::failed(AppendError::Empty);
        }
        let lengths = || entries.as_ref().iter().map(Vec::len);
        let longest = lengths().max().unwrap_or(0);
        let total = lengths().map(frame_bytes).sum();
        if let Err(error) = self.fits(longest, total) {
            return Append::failed(error);
        }
        let mut pending = entries.into_iter().map(Pending::new);
        let first = pending.next();
        let rest: Vec<Pending> = pending.collect();
        self.enqueue(first.into_iter().chain(rest), count, total)
    }

    fn enqueue(&self, entries: impl IntoIterator<Item = Pending>, count: usize, bytes: usize) -> Append {
        let mut queue = self.queue();
        match &queue.state {
            State::Open => {}
            State::Closing => return Append::failed(AppendError::Closed),
            State::Stopped(reason) => return Append::failed(AppendError::Stopped(Arc::clone(reason))),
        }
        if queue.entries + count > self.queue_max {
            return Append::failed(AppendError::QueueFull);
        }
        queue.entries += count;
        let room = ATTACHMENTS_WAITING_BYTES_MAX.saturating_sub(queue.attachment_bytes);
        let mut taken = 0;
        let entries = entries.into_iter().map(|mut entry| {
            match entry.attachment.as_ref().map(Vec::len) {
                Some(bytes) if taken + bytes > room => {
                    entry.attachment = None;
                    self.attachments_lost.fetch_add(1, Ordering::Relaxed);
                }
                bytes => taken += bytes.unwrap_or(0),
            }
            entry
        });
        let fits = |group: &&mut Group| group.frame_bytes + bytes <= self.group_bytes_max;
        let ticket = if let Some(group) = queue.groups.back_mut().filter(fits) {
            group.push(entries, bytes)
        } else {
            let mut group = Group::default();
            let ticket = group.push(entries, bytes);
            queue.groups.push_back(group);
            ticket
        };
        queue.attachment_bytes += taken;
        let wake = std::mem::take(&mut queue.writer_sleeps);
        drop(queue);
        if wake {
            self.wake.notify_one();
        }
        Append::waiting(ticket)
    }

    /// Waits for work, at most for `tick`; `finished` entries are no longer in flight.
    pub(crate) fn next(&self, finished: usize, tick: Duration) -> Next {
        let mut queue = self.queue();
        queue.entries = queue.entries.saturating_sub(finished);
        if queue.groups.is_empty() && matches!(queue.state, State::Open) {
            queue.writer_sleeps = true;
            queue = self.wake.wait_timeout(queue, tick).unwrap_or_else(PoisonError::into_inner).0;
            queue.writer_sleeps = false;
        }
        match queue.groups.pop_front() {
            Some(group) => {
                queue.attachment_bytes = queue.attachment_bytes.saturating_sub(group.attachment_bytes);
                Next::Group(group)
            }
            None if matches!(queue.state, State::Open) => Next::Tick,
            None => Next::Closed,
        }
    }

    /// Refuses everything from now on, and gives what still waits.
    pub(crate) fn stop(&self, reason: &Arc<str>) -> VecDeque<Group> {
        let mut queue = self.queue();
        queue.state = State::Stopped(Arc::clone(reason));
        std::mem::take(&mut queue.groups)
    }

    pub(crate) fn publish(&self, checkpoint: SignedCheckpoint) {
        *self.checkpoint.lock().unwrap_or_else(PoisonError::into_inner) = checkpoint;
    }

    fn close(&self) {
        let mut queue = self.queue();
        if matches!(queue.state, State::Open) {
            queue.state = State::Closing;
        }
        drop(queue);
        self.wake.notify_one();
    }
}

/// Opens the directory up to the point where the writer's thread starts.
pub(crate) fn open_log(
    files: Arc<dyn Files>,
    options: &Options,
    key: &SigningKey,
    background: bool,
    known: Option<Known>,
    sink: &mut dyn FnMut(u64, &[u8]),
) -> Result<(Log, Shared, Recovery), OpenError> {
    let signer = key.signer(&options.origin).map_err(OpenError::Origin)?;
    Checkpoint::new(&options.origin, 0, empty_root()).map_err(OpenError::Checkpoint)?;
    let vkey = signer.verifier().to_string();
    let group_bytes_max = group_bytes_max(options, &vkey)?;
    let dir = options.dir.as_path();
    let io = |action| recover::io_error(dir, action);
    let lock = dir_lock(files.as_ref(), dir)?;
    let verifier = signer.verifier();
    let recoverer = Recoverer { files: files.as_ref(), dir, verifier, segment_bytes: options.segment_bytes };
    let mut state = recoverer.recover(known, sink)?;
    reserve_make(files.as_ref(), dir, options.reserve_bytes).map_err(io("make the reserve"))?;
    let stopped = stop_read(files.as_ref(), dir).map_err(io("read why it stopped"))?;
    let preparer = Preparer::new(Arc::clone(&files), dir, options.segment_bytes, background);
    let (segment, preparer) = segment_choose(files.as_ref(), dir, &mut state, preparer).map_err(io("open a segment"))?;
    let recovery = Recovery {
        entries: state.frontier.size(),
        read: state.read,
        segments: segment.generation,
        torn_bytes: state.torn_bytes,
        stopped,
    };
    let mark = Mark::open(files.as_ref(), dir).map_err(io("open the mark"))?;
    let lost = Arc::new(AtomicU64::new(0));
    let attachments = options.attachments.clone();
    let attachments = attachments.map(|options| attachment::Writer::new(Arc::clone(&files), options, Arc::clone(&lost)));
    let mut log = Log {
        files,
        attachments,
        replicate: options.replicate.clone(),
        dir: dir.to_owned(),
        vkey: vkey.clone(),
        checkpoint: state.checkpoint.clone(),
        signer,
        frontier: state.frontier,
        segment,
        preparer,
        mark,
        buffer: Vec::new(),
        stale_stop: false,
        _lock: lock,
    };
    let checkpoint = match state.checkpoint {
        Some(checkpoint) => {
            log.mark.write(checkpoint.size).map_err(io("write the mark"))?;
            checkpoint
        }
        // A new log begins with the signed root of the empty tree.
        None => log.commit(&[], 0).map_err(|reason| OpenError::Start(reason.into()))?,
    };
    log.stale_stop = recovery.stopped.is_some();
    Ok((log, Shared::new(checkpoint, vkey, options, group_bytes_max, lost), recovery))
}

/// The segment to write to, and the preparer at work on the next one.
fn segment_choose(
    files: &dyn Files,
    dir: &Path,
    recovered: &mut Recovered,
    mut preparer: Preparer,
) -> io::Result<(Active, Preparer)> {
    let mut spare = recovered.spare.take();
    let segment = if let Some((generation, offset)) = recovered.active {
        Active::new(generation, files.open(&segment_path(dir, generation), true)?, offset)?
    } else {
        let first = spare.take().map_or_else(|| preparer.take(1), Ok)?;
        Active::new(1, first, 0)?
    };
    match spare {
        Some(spare) => preparer.adopt(spare),
        None => preparer.start(segment.generation + 1),
    }
    Ok((segment, preparer))
}

/// How large a group may be, so that it always fits into a new segment.
pub(crate) fn group_bytes_max(options: &Options, vkey: &str) -> Result<usize, OpenError> {
    if options.segment_bytes < SEGMENT_BYTES_MIN {
        return Err(OpenError::Options("segment size: it is below 6 KiB"));
    }
    if options.queue_max == 0 {
        return Err(OpenError::Options("queue: it has no place"));
    }
    let segment = usize::try_from(options.segment_bytes).unwrap_or(usize::MAX);
    let overhead = header_frame_bytes_max(vkey, &options.origin) + checkpoint_frame_bytes_max(&options.origin);
    let rest = segment.checked_sub(overhead).filter(|rest| *rest >= frame_bytes(0));
    rest.map(|rest| rest.min(GROUP_BYTES_MAX)).ok_or(OpenError::Options("origin: it is too long for the segment size"))
}

fn dir_lock(files: &dyn Files, dir: &Path) -> Result<Box<dyn Any + Send>, OpenError> {
    files.dir_create(dir).map_err(recover::io_error(dir, "create the directory"))?;
    files.lock(&dir.join(LOCK_NAME)).map_err(|source| match source.kind() {
        io::ErrorKind::WouldBlock => OpenError::Locked(dir.to_owned()),
        _ => recover::io_error(dir, "take the lock")(source),
    })
}

/// Makes the disk reserve, unless it has the right size already.
fn reserve_make(files: &dyn Files, dir: &Path, bytes: u64) -> io::Result<()> {
    let path = reserve_path(dir);
    match files.open(&path, false).and_then(|file| file.length()) {
        Ok(length) if length == bytes => Ok(()),
        _ => zeros_create(files, &path, bytes).map(drop),
    }
}

fn stop_read(files: &dyn Files, dir: &Path) -> io::Result<Option<String>> {
    let file = match files.open(&stop_path(dir), false) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        other => other?,
    };
    let mut bytes = vec![0; STOP_BYTES_MAX];
    let count = read_fully(file.as_ref(), &mut bytes, 0)?;
    bytes.truncate(count);
    Ok(Some(String::from_utf8_lossy(&bytes).into_owned()))
}
