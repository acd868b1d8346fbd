//! Attachments: opaque bytes that belong to an entry and lie beside the log, to be given up some day without touching it.
//!
//! An entry that wants to be held to its attachment carries a digest of it. Attachments are written before their entry's flush and are not
//! flushed with it: after a power cut the last ones may be missing, and what can't be kept is given up and counted. Nothing waits for them,
//! and nothing that was decided hangs on them.
//!
//! A file is named `<first index>.<seconds since the epoch>.attachments` and holds a first line and records: length, index and CRC-32C, each
//! little endian, then the bytes. A process only ever writes to files that it made: a torn tail stays what it is.

use std::collections::BTreeSet;
use std::fmt;
use std::io;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use crate::append::Pending;
use crate::files::{Files, Handle, OsFiles, read_fully};

const SUFFIX: &str = ".attachments";
const MAGIC: &[u8] = b"remit-attachments/1\n";
/// Length, index and checksum.
const HEAD_BYTES: usize = 16;
/// The largest attachment.
pub const ATTACHMENT_BYTES_MAX: usize = 8 * 1024 * 1024;
/// How long no attachment is tried after a failure.
const REST: Duration = Duration::from_secs(5);
/// How much is read at a time.
const READ_BYTES: usize = 256 * 1024;

/// Where attachments are kept, and for how long.
#[derive(Clone, Debug)]
pub struct AttachmentOptions {
    /// The directory, created if it is missing; nothing else may be in it.
    pub dir: PathBuf,
    /// A file takes this many bytes, or a day, before the next one is begun.
    pub file_bytes: u64,
    /// All of them together: the oldest files go first.
    pub bytes_max: u64,
    /// Files whose last attachment is older than this go.
    pub keep_secs: u64,
}

impl AttachmentOptions {
    /// The options for `dir`, with files of 64 MiB, 16 GiB in all, 90 days.
    pub fn new(dir: impl Into<PathBuf>) -> Self {
        Self { dir: dir.into(), file_bytes: 64 * 1024 * 1024, bytes_max: 16 * 1024 * 1024 * 1024, keep_secs: 90 * DAY_SECS }
    }
}

const DAY_SECS: u64 = 24 * 3600;

/// The name of a file says what it begins with.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Named {
    first_index: u64,
    at_secs: u64,
}

impl Named {
    fn parse(name: &str) -> Option<Self> {
        let (index, at) = name.strip_suffix(SUFFIX)?.split_once('.')?;
        Some(Self { first_index: index.parse().ok()?, at_secs: at.parse().ok()? })
    }

    fn path(self, dir: &Path) -> PathBuf {
        dir.join(format!("{:020}.{}{SUFFIX}", self.first_index, self.at_secs))
    }
}

/// The files in `dir`, in order.
fn list(files: &dyn Files, dir: &Path) -> io::Result<Vec<Named>> {
    let mut all: Vec<Named> = files.dir_list(dir)?.iter().filter_map(|name| Named::parse(name)).collect();
    all.sort_unstable();
    Ok(all)
}

/// Writes attachments, in the writer's thread.
pub(crate) struct Writer {
    files: Arc<dyn Files>,
    options: AttachmentOptions,
    active: Option<Active>,
    /// Since when nothing is tried.
    failed: Option<Instant>,
    buffer: Vec<u8>,
    lost: Arc<AtomicU64>,
}

struct Active {
    file: Box<dyn Handle>,
    named: Named,
    offset: u64,
}

impl Writer {
    pub(crate) fn new(files: Arc<dyn Files>, options: AttachmentOptions, lost: Arc<AtomicU64>) -> Self {
        Self { files, options, active: None, failed: None, buffer: Vec::new(), lost }
    }

    /// Writes the attachments of a batch whose first entry gets `first_index`. What can't be written is given up.
    pub(crate) fn write(&mut self, first_index: u64, entries: &[Pending]) {
        self.buffer.clear();
        let mut count = 0;
        for (index, entry) in (first_index..).zip(entries) {
            let Some(bytes) = &entry.attachment else { continue };
            let Ok(length) = u32::try_from(bytes.len()) else { continue };
            count += 1;
            self.buffer.extend_from_slice(&length.to_le_bytes());
            self.buffer.extend_from_slice(&index.to_le_bytes());
            self.buffer.extend_from_slice(&checksum(index, bytes).to_le_bytes());
            self.buffer.extend_from_slice(bytes);
        }
        if count == 0 {
            return;
        }
        if self.failed.is_some_and(|failed| failed.elapsed() < REST) || self.try_write(first_index).is_err() {
            self.failed.get_or_insert_with(Instant::now);
            self.active = None;
            self.lost.fetch_add(count, Ordering::Relaxed);
            if self.failed.is_some_and(|failed| failed.elapsed() >= REST) {
                self.failed = Some(Instant::now());
            }
        } else {
            self.failed = None;
        }
    }

    fn try_write(&mut self, first_index: u64) -> io::Result<()> {
        let now_secs = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |now| now.as_secs());
        let full = |active: &Active| {
            active.offset + self.buffer.len() as u64 > self.options.file_bytes || active.named.at_secs + DAY_SECS <= now_secs
        };
        if self.active.as_ref().is_some_and(full) {
            // Not flushed here: a whole file takes a while, and decisions wait for this thread.
            self.active = None;
        }
        if self.active.is_none() {
            self.files.dir_create(&self.options.dir)?;
            self.prune(now_secs)?;
            let named = Named { first_index, at_secs: now_secs };
            let file = self.files.create(&named.path(&self.options.dir))?;
            file.write_at(MAGIC, 0)?;
            self.active = Some(Active { file, named, offset: MAGIC.len() as u64 });
        }
        let Some(active) = &mut self.active else { return Ok(()) };
        active.file.write_at(&self.buffer, active.offset)?;
        active.offset += self.buffer.len() as u64;
        Ok(())
    }

    /// Removes what is too old or too much.
    fn prune(&self, now_secs: u64) -> io::Result<()> {
        let dir = &self.options.dir;
        let all = list(self.files.as_ref(), dir)?;
        let mut sizes = Vec::with_capacity(all.len());
        for named in &all {
            sizes.push(self.files.open(&named.path(dir), false)?.length()?);
        }
        // Room for the file that is about to be made is made now.
        let mut total: u64 = sizes.iter().sum::<u64>() + self.options.file_bytes;
        for (place, named) in all.iter().enumerate() {
            // A file ends where the next one begins, and the last one not later than a day after it began.
            let ended_secs = all.get(place + 1).map_or(named.at_secs.saturating_add(DAY_SECS), |next| next.at_secs);
            if ended_secs.saturating_add(self.options.keep_secs) > now_secs && total <= self.options.bytes_max {
                break;
            }
            self.files.remove(&named.path(dir))?;
            total = total.saturating_sub(sizes.get(place).copied().unwrap_or(0));
        }
        Ok(())
    }

    /// Ends the file being written, on disk as far as it can be.
    pub(crate) fn close(&mut self) {
        if let Some(active) = self.active.take() {
            let _ = active.file.sync();
        }
    }
}

fn checksum(index: u64, bytes: &[u8]) -> u32 {
    crc32c::crc32c_append(crc32c::crc32c(&index.to_le_bytes()), bytes)
}

/// Reads attachments by their entries' indexes. Needs no lock and writes nothing; going forward is cheap, going back opens a file again.
pub struct Attachments {
    files: Box<dyn Files>,
    dir: PathBuf,
    open: Option<Open>,
}

struct Open {
    file: Box<dyn Handle>,
    named: Named,
    /// Where the file after it begins.
    until: Option<u64>,
    /// Whether nothing more can be read, though more should be there.
    ended: bool,
    offset: u64,
    ahead: Vec<u8>,
    /// Where `ahead` begins in the file.
    ahead_at: u64,
    /// The lowest index that the next record may have.
    next_index: u64,
}

impl fmt::Debug for Attachments {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Attachments").field("dir", &self.dir).finish_non_exhaustive()
    }
}

impl Attachments {
    /// Those in `dir`, which need not exist.
    pub fn open(dir: impl Into<PathBuf>) -> Self {
        Self { files: Box::new(OsFiles), dir: dir.into(), open: None }
    }

    /// The attachment of the entry with this index; `None` if none is kept.
    pub fn get(&mut self, index: u64) -> io::Result<Option<Vec<u8>>> {
        let holds = |open: &Open| open.next_index <= index && open.until.is_none_or(|until| index < until);
        if !self.open.as_ref().is_some_and(holds) && !self.seek(index)? {
            return Ok(None);
        }
        let Some(open) = &mut self.open else { return Ok(None) };
        match open.find(index)? {
            // The file that was the last one may not be so any more.
            None if open.until.is_none() => {
                let named = open.named;
                let all = list(self.files.as_ref(), &self.dir)?;
                // Else its place is kept: to begin anew for each that is missing would be to read the whole file each time.
                if !all.iter().any(|newer| *newer > named && newer.first_index <= index) || !self.seek(index)? {
                    return Ok(None);
                }
                self.open.as_mut().map_or(Ok(None), |open| open.find(index))
            }
            found => Ok(found),
        }
        // What was erased is zeros.
        .map(|found| found.filter(|bytes| bytes.iter().any(|byte| *byte != 0)))
    }

    /// Opens the last file that begins at or before `index`; whether there is one.
    fn seek(&mut self, index: u64) -> io::Result<bool> {
        self.open = None;
        let all = match list(self.files.as_ref(), &self.dir) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
            other => other?,
        };
        let Some(place) = all.iter().rposition(|named| named.first_index <= index) else { return Ok(false) };
        let Some(named) = all.get(place).copied() else { return Ok(false) };
        let file = match self.files.open(&named.path(&self.dir), false) {
            // It went while it was looked for.
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
            other => other?,
        };
        let mut magic = vec![0; MAGIC.len()];
        if read_fully(file.as_ref(), &mut magic, 0)? < MAGIC.len() || magic != MAGIC {
            return Ok(false);
        }
        self.open = Some(Open {
            file,
            named,
            until: all.get(place + 1).map(|next| next.first_index),
            ended: false,
            offset: MAGIC.len() as u64,
            ahead: Vec::new(),
            ahead_at: 0,
            next_index: named.first_index,
        });
        Ok(true)
    }
}

/// Overwrites the attachments of these entries with zeros, in the directory `dir`, and answers how many there were. Whoever asks for one of
/// them afterwards finds none.
pub fn erase_attachments(dir: impl AsRef<Path>, indexes: &BTreeSet<u64>) -> io::Result<u64> {
    let dir = dir.as_ref();
    let all = match list(&OsFiles, dir) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(0),
        other => other?,
    };
    let mut erased = 0;
    for (place, named) in all.iter().enumerate() {
        let until = all.get(place + 1).map(|next| next.first_index);
        if indexes.range(named.first_index..).next().is_none_or(|first| until.is_some_and(|until| *first >= until)) {
            continue;
        }
        let file = match OsFiles.open(&named.path(dir), true) {
            // Its time was over meanwhile.
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            other => other?,
        };
        let ahead = Vec::new();
        let offset = MAGIC.len() as u64;
        let mut open =
            Open { file, named: *named, until, ended: false, offset, ahead, ahead_at: 0, next_index: named.first_index };
        let before = erased;
        loop {
            let at = open.offset;
            let Some((index, place)) = open.record()? else { break };
            if indexes.contains(&index) {
                let zeros = vec![0; place.len()];
                let mut record = Vec::with_capacity(HEAD_BYTES + zeros.len());
                record.extend_from_slice(&u32::try_from(zeros.len()).unwrap_or(0).to_le_bytes());
                record.extend_from_slice(&index.to_le_bytes());
                record.extend_from_slice(&checksum(index, &zeros).to_le_bytes());
                record.extend_from_slice(&zeros);
                open.file.write_at(&record, at)?;
                erased += 1;
            }
        }
        if erased > before {
            open.file.sync()?;
        }
    }
    Ok(erased)
}

impl Open {
    /// The attachment with this index, which isn't before the last one that was asked for.
    fn find(&mut self, index: u64) -> io::Result<Option<Vec<u8>>> {
        while !self.ended {
            let at = self.offset;
            let Some((found, place)) = self.record()? else {
                // The tail of a file that is being written may be there the next time.
                self.ended = self.until.is_some();
                self.offset = at;
                self.ahead.clear();
                self.next_index = index;
                return Ok(None);
            };
            if found == index {
                self.next_index = index + 1;
                return Ok(self.ahead.get(place).map(<[u8]>::to_vec));
            }
            if found > index {
                self.offset = at;
                self.next_index = index + 1;
                return Ok(None);
            }
        }
        Ok(None)
    }

    /// The index of the next record, and where it lies in what was read ahead; `None` at the end of what can be read.
    fn record(&mut self) -> io::Result<Option<(u64, Range<usize>)>> {
        let Some(head) = self.take(HEAD_BYTES)? else { return Ok(None) };
        let Some(head) = self.ahead.get(head).and_then(<[u8]>::first_chunk::<HEAD_BYTES>) else { return Ok(None) };
        let [l0, l1, l2, l3, i0, i1, i2, i3, i4, i5, i6, i7, s0, s1, s2, s3] = *head;
        let length = usize::try_from(u32::from_le_bytes([l0, l1, l2, l3])).unwrap_or(usize::MAX);
        let index = u64::from_le_bytes([i0, i1, i2, i3, i4, i5, i6, i7]);
        let sum = u32::from_le_bytes([s0, s1, s2, s3]);
        // Nothing was written here, or not all of it.
        if length > ATTACHMENT_BYTES_MAX || index < self.named.first_index {
            return Ok(None);
        }
        let Some(place) = self.take(length)? else { return Ok(None) };
        let whole = checksum(index, self.ahead.get(place.clone()).unwrap_or_default()) == sum;
        Ok(whole.then_some((index, place)))
    }

    /// Reads so many bytes, and goes past them: where they lie in what was read ahead.
    fn take(&mut self, length: usize) -> io::Result<Option<Range<usize>>> {
        let start = usize::try_from(self.offset.saturating_sub(self.ahead_at)).unwrap_or(usize::MAX);
        if self.offset < self.ahead_at || start.saturating_add(length) > self.ahead.len() {
            self.ahead.resize(READ_BYTES.max(length), 0);
            let count = read_fully(self.file.as_ref(), &mut self.ahead, self.offset)?;
            self.ahead.truncate(count);
            self.ahead_at = self.offset;
        }
        let start = usize::try_from(self.offset - self.ahead_at).unwrap_or(usize::MAX);
        let place = start..start.saturating_add(length);
        if place.end > self.ahead.len() {
            return Ok(None);
        }
        self.offset += length as u64;
        Ok(Some(place))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A file whose flush is told.
    struct Told(Arc<AtomicU64>);

    impl Handle for Told {
        fn read_at(&self, _: &mut [u8], _: u64) -> io::Result<usize> {
            Ok(0)
        }
        fn write_at(&self, _: &[u8], _: u64) -> io::Result<()> {
            Ok(())
        }
        fn sync(&self) -> io::Result<()> {
            self.0.fetch_add(1, Ordering::Relaxed);
            Ok(())
        }
        fn length(&self) -> io::Result<u64> {
            Ok(0)
        }
        fn identity(&self) -> io::Result<crate::files::Identity> {
            Err(io::ErrorKind::Unsupported.into())
        }
    }

    #[test]
    fn the_next_file_waits_for_no_flush() {
        let dir = tempfile::tempdir().unwrap();
        let flushed = Arc::new(AtomicU64::new(0));
        let mut writer = Writer::new(Arc::new(OsFiles), AttachmentOptions::new(dir.path()), Arc::default());
        let active = |offset: u64| {
            let now_secs = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs();
            Some(Active {
                file: Box::new(Told(Arc::clone(&flushed))),
                named: Named { first_index: 0, at_secs: now_secs },
                offset,
            })
        };
        writer.active = active(writer.options.file_bytes);
        writer.write(7, &[Pending { attachment: Some(vec![1; 10]), ..Pending::new(vec![0]) }]);
        assert_eq!(Attachments::open(dir.path()).get(7).unwrap(), Some(vec![1; 10]), "in the next file");
        assert_eq!(flushed.load(Ordering::Relaxed), 0);
        // At the end nobody waits, and all of it goes to disk.
        writer.active = active(100);
        writer.close();
        assert_eq!(flushed.load(Ordering::Relaxed), 1);
    }

    #[test]
    fn what_is_missing_costs_no_second_reading() {
        let dir = tempfile::tempdir().unwrap();
        let options = AttachmentOptions::new(dir.path());
        let mut writer = Writer::new(Arc::new(OsFiles), options, Arc::default());
        let attached = |bytes: usize| Pending { attachment: Some(vec![1; bytes]), ..Pending::new(vec![0]) };
        // Two hundred that were given up, behind what takes a while to read.
        writer.write(0, &[attached(1000), attached(500_000)]);
        writer.write(202, &[attached(1000)]);
        let mut reader = Attachments::open(dir.path());
        assert_eq!(reader.get(1).unwrap().map(|bytes| bytes.len()), Some(500_000));
        for index in 2..202 {
            assert_eq!(reader.get(index).unwrap(), None);
            assert!(reader.open.as_ref().unwrap().offset > 500_000, "{index}: it began anew");
        }
        assert!(reader.get(202).unwrap().is_some());
        // A file that is begun meanwhile is found.
        writer.close();
        let mut next = Writer::new(Arc::new(OsFiles), AttachmentOptions::new(dir.path()), Arc::default());
        next.write(205, &[attached(10)]);
        assert_eq!(reader.get(204).unwrap(), None);
        assert_eq!(reader.get(205).unwrap().map(|bytes| bytes.len()), Some(10));
    }
}
