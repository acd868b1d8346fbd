//! The durable mark: how large the tree is that is known to be on disk.
//!
//! Written after each flush and before the acknowledgement, into the page cache only. So it survives a killed process
//! exactly, and a power cut with an older value at worst: it is never ahead of the truth. Readers stop at it, and an opening
//! that finds fewer entries than it says refuses the directory.

use std::io;
use std::path::{Path, PathBuf};

use crate::files::{Files, Handle, read_fully};

const MARK_BYTES: usize = 16;
const MAGIC: u32 = 0x524d_4b31;

/// The mark of an open journal.
pub(crate) struct Mark {
    file: Box<dyn Handle>,
}

impl Mark {
    /// Opens or creates the mark; its value is unchanged.
    pub(crate) fn open(files: &dyn Files, dir: &Path) -> io::Result<Self> {
        let path = mark_path(dir);
        let file = match files.open(&path, true) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => files.create(&path)?,
            other => other?,
        };
        Ok(Self { file })
    }

    /// Says that the tree of `size` leaves is durable.
    pub(crate) fn write(&self, size: u64) -> io::Result<()> {
        let mut bytes = Vec::with_capacity(MARK_BYTES);
        bytes.extend_from_slice(&size.to_le_bytes());
        bytes.extend_from_slice(&MAGIC.to_le_bytes());
        bytes.extend_from_slice(&crc32c::crc32c(&bytes).to_le_bytes());
        self.file.write_at(&bytes, 0)
    }

    /// Flushes the mark, so that an orderly close survives a power cut exactly.
    pub(crate) fn sync(&self) -> io::Result<()> {
        self.file.sync()
    }
}

/// The mark in `dir`; `None` if it is absent or not intact.
pub(crate) fn mark_read(files: &dyn Files, dir: &Path) -> io::Result<Option<u64>> {
    let file = match files.open(&mark_path(dir), false) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        other => other?,
    };
    let mut bytes = [0; MARK_BYTES];
    let count = read_fully(file.as_ref(), &mut bytes, 0)?;
    Ok(if count == MARK_BYTES { mark_parse(&bytes) } else { None })
}

/// How many entries of the journal in `dir` are known to be on disk; 0 where there is no journal yet. After a power cut it may be fewer than
/// there are, until the next append.
pub fn durable_entries(dir: impl AsRef<Path>) -> Result<u64, crate::ReadError> {
    let dir = dir.as_ref();
    let mark = mark_read(&crate::files::OsFiles, dir);
    Ok(mark.map_err(|source| crate::ReadError::Io { dir: dir.to_owned(), source })?.unwrap_or(0))
}

fn mark_parse(bytes: &[u8; MARK_BYTES]) -> Option<u64> {
    let (covered, crc) = bytes.split_at_checked(12)?;
    let (size, magic) = covered.split_first_chunk::<8>()?;
    let intact = magic == MAGIC.to_le_bytes() && crc == crc32c::crc32c(covered).to_le_bytes();
    intact.then_some(u64::from_le_bytes(*size))
}

fn mark_path(dir: &Path) -> PathBuf {
    dir.join("durable")
}
