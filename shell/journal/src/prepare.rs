//! Zero-filled segments, made ahead of use so that rotation costs nothing and a full disk is met early.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread::{self, JoinHandle};

use crate::files::{Files, Handle, is_full};
use crate::segment::segment_path;

/// How many looks are let pass between tries on a full disk, in the end: half a minute.
const LOOKS_BETWEEN_MAX: u32 = 64;
const CHUNK_BYTES: usize = 1024 * 1024;
pub(crate) const PREPARING_SUFFIX: &str = ".preparing";

/// Makes a zero-filled file at `path` with `bytes` bytes, durable but for its name.
pub(crate) fn zeros_create(files: &dyn Files, path: &Path, bytes: u64) -> io::Result<Box<dyn Handle>> {
    let file = files.create(path)?;
    zeros_write(file.as_ref(), 0, bytes)?;
    file.sync()?;
    Ok(file)
}

/// Writes zeros over `start .. end`.
pub(crate) fn zeros_write(file: &dyn Handle, start: u64, end: u64) -> io::Result<()> {
    let zeros = vec![0; CHUNK_BYTES];
    let mut offset = start;
    while offset < end {
        let count = usize::try_from(end - offset).unwrap_or(CHUNK_BYTES).min(CHUNK_BYTES);
        file.write_at(zeros.get(..count).unwrap_or_default(), offset)?;
        offset += count as u64;
    }
    Ok(())
}

/// Makes the segment of `generation`, under its name and durable.
fn segment_prepare(files: &dyn Files, dir: &Path, generation: u64, bytes: u64) -> io::Result<Box<dyn Handle>> {
    let path = segment_path(dir, generation);
    let preparing = path.with_extension(PREPARING_SUFFIX.trim_start_matches('.'));
    let made = zeros_create(files, &preparing, bytes).and_then(|file| {
        files.rename(&preparing, &path)?;
        files.dir_sync(dir)?;
        Ok(file)
    });
    if made.is_err() {
        // Space is what is short; the next opening removes what cannot be removed now.
        let _ = files.remove(&preparing);
    }
    made
}

/// The next segment: being prepared, ready, or failed.
pub(crate) struct Preparer {
    files: Arc<dyn Files>,
    dir: PathBuf,
    segment_bytes: u64,
    /// A test prepares on the writer's thread, so that the order of file operations is always the same.
    background: bool,
    next: Next,
    /// How many looks are let pass after the next failure on a full disk, and how many are left of those after the last.
    looks_between: u32,
    looks_left: u32,
}

enum Next {
    Idle,
    Running(JoinHandle<io::Result<Box<dyn Handle>>>),
    Ready(io::Result<Box<dyn Handle>>),
}

impl Preparer {
    pub(crate) fn new(files: Arc<dyn Files>, dir: &Path, segment_bytes: u64, background: bool) -> Self {
        Self { files, dir: dir.to_owned(), segment_bytes, background, next: Next::Idle, looks_between: 0, looks_left: 0 }
    }

    /// Takes a segment that an earlier run has prepared and not used.
    pub(crate) fn adopt(&mut self, spare: Box<dyn Handle>) {
        self.next = Next::Ready(Ok(spare));
    }

    /// Begins to prepare the segment of `generation`.
    pub(crate) fn start(&mut self, generation: u64) {
        let (files, dir, bytes) = (Arc::clone(&self.files), self.dir.clone(), self.segment_bytes);
        let work = move || segment_prepare(files.as_ref(), &dir, generation, bytes);
        self.next = if self.background {
            match thread::Builder::new().name("journal-prepare".to_owned()).spawn(work) {
                Ok(handle) => Next::Running(handle),
                Err(error) => Next::Ready(Err(error)),
            }
        } else {
            Next::Ready(work())
        };
    }

    /// Tries again after a full disk, so that space freed in time is used before it is needed. Less and less often: each try takes what little
    /// there is from everybody else who writes to that disk, for as long as it lasts. When the segment is needed it is tried at once.
    pub(crate) fn tick(&mut self, generation: u64) {
        if matches!(&self.next, Next::Running(handle) if handle.is_finished()) {
            self.next = Next::Ready(self.wait(generation));
        }
        match &self.next {
            Next::Ready(Err(error)) if is_full(error) && self.looks_left > 0 => self.looks_left -= 1,
            Next::Ready(Err(error)) if is_full(error) => {
                self.looks_left = self.looks_between;
                self.looks_between = LOOKS_BETWEEN_MAX.min(2 * self.looks_between + 1);
                self.start(generation);
            }
            Next::Ready(Ok(_)) => (self.looks_between, self.looks_left) = (0, 0),
            Next::Ready(Err(_)) | Next::Running(_) | Next::Idle => {}
        }
    }

    /// The segment of `generation`, waiting for it if it must; after a full disk it is tried once more.
    pub(crate) fn take(&mut self, generation: u64) -> io::Result<Box<dyn Handle>> {
        match self.wait(generation) {
            Err(error) if is_full(&error) => segment_prepare(self.files.as_ref(), &self.dir, generation, self.segment_bytes),
            other => other,
        }
    }

    fn wait(&mut self, generation: u64) -> io::Result<Box<dyn Handle>> {
        match std::mem::replace(&mut self.next, Next::Idle) {
            Next::Idle => segment_prepare(self.files.as_ref(), &self.dir, generation, self.segment_bytes),
            Next::Running(handle) => handle.join().unwrap_or_else(|_| Err(io::Error::other("preparing panicked"))),
            Next::Ready(result) => result,
        }
    }
}

impl Drop for Preparer {
    /// Nothing is written to the directory once its lock is released.
    fn drop(&mut self) {
        if let Next::Running(handle) = std::mem::replace(&mut self.next, Next::Idle) {
            let _ = handle.join();
        }
    }
}
