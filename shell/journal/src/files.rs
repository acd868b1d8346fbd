//! The file operations the journal needs, and no more: a test replaces them with a disk that tears, drops and fails.

use std::any::Any;
use std::fs::{DirBuilder, File, OpenOptions, TryLockError};
use std::io;
use std::os::unix::fs::{DirBuilderExt as _, FileExt as _, MetadataExt as _, OpenOptionsExt as _};
use std::path::Path;

/// How often a lock is tried: a verifier takes it for an instant, to see whether there is a writer.
const LOCK_TRIES: usize = 64;

/// Which file a path or a handle means, whatever its name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Identity {
    pub(crate) device: u64,
    pub(crate) inode: u64,
}

/// A directory of files.
pub(crate) trait Files: Send + Sync + 'static {
    /// Creates the directory and its parents if they are missing, durably.
    fn dir_create(&self, dir: &Path) -> io::Result<()>;
    /// The names in `dir`, in any order.
    fn dir_list(&self, dir: &Path) -> io::Result<Vec<String>>;
    /// Makes creations, renames and removals in `dir` durable.
    fn dir_sync(&self, dir: &Path) -> io::Result<()>;
    /// Opens an existing file.
    fn open(&self, path: &Path, writable: bool) -> io::Result<Box<dyn Handle>>;
    /// Creates an empty file, readable by its owner only, or empties an existing one.
    fn create(&self, path: &Path) -> io::Result<Box<dyn Handle>>;
    /// Renames a file, replacing another.
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()>;
    /// Removes a file.
    fn remove(&self, path: &Path) -> io::Result<()>;
    /// Which file `path` names now.
    fn identity(&self, path: &Path) -> io::Result<Identity>;
    /// Takes the exclusive lock of `path` until the result is dropped; `WouldBlock` if another holds it.
    fn lock(&self, path: &Path) -> io::Result<Box<dyn Any + Send>>;
}

/// An open file.
pub(crate) trait Handle: Send + Sync {
    /// Reads at `offset`; 0 at the end of the file.
    fn read_at(&self, bytes: &mut [u8], offset: u64) -> io::Result<usize>;
    /// Writes all of `bytes` at `offset`.
    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<()>;
    /// Makes the contents durable.
    fn sync(&self) -> io::Result<()>;
    /// The length in bytes.
    fn length(&self) -> io::Result<u64>;
    /// Which file this is.
    fn identity(&self) -> io::Result<Identity>;
}

/// The operating system's files.
pub(crate) struct OsFiles;

impl Files for OsFiles {
    fn dir_create(&self, dir: &Path) -> io::Result<()> {
        let missing: Vec<&Path> = dir.ancestors().take_while(|path| !path.exists()).collect();
        DirBuilder::new().recursive(true).mode(0o700).create(dir)?;
        for parent in missing.into_iter().filter_map(Path::parent) {
            let parent = if parent.as_os_str().is_empty() { Path::new(".") } else { parent };
            self.dir_sync(parent)?;
        }
        Ok(())
    }

    fn dir_list(&self, dir: &Path) -> io::Result<Vec<String>> {
        std::fs::read_dir(dir)?.map(|entry| Ok(entry?.file_name().to_string_lossy().into_owned())).collect()
    }

    fn dir_sync(&self, dir: &Path) -> io::Result<()> {
        File::open(dir)?.sync_all()
    }

    fn open(&self, path: &Path, writable: bool) -> io::Result<Box<dyn Handle>> {
        Ok(Box::new(OpenOptions::new().read(true).write(writable).open(path)?))
    }

    fn create(&self, path: &Path) -> io::Result<Box<dyn Handle>> {
        let mut options = OpenOptions::new();
        options.read(true).write(true).create(true).truncate(true).mode(0o600);
        Ok(Box::new(options.open(path)?))
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        std::fs::rename(from, to)
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        std::fs::remove_file(path)
    }

    fn identity(&self, path: &Path) -> io::Result<Identity> {
        std::fs::metadata(path).map(|meta| Identity { device: meta.dev(), inode: meta.ino() })
    }

    fn lock(&self, path: &Path) -> io::Result<Box<dyn Any + Send>> {
        let file = OpenOptions::new().write(true).create(true).truncate(false).mode(0o600).open(path)?;
        for _ in 0..LOCK_TRIES {
            match file.try_lock() {
                Ok(()) => return Ok(Box::new(file)),
                Err(TryLockError::WouldBlock) => std::thread::yield_now(),
                Err(TryLockError::Error(error)) => return Err(error),
            }
        }
        Err(io::ErrorKind::WouldBlock.into())
    }
}

impl Handle for File {
    fn read_at(&self, bytes: &mut [u8], offset: u64) -> io::Result<usize> {
        std::os::unix::fs::FileExt::read_at(self, bytes, offset)
    }

    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
        self.write_all_at(bytes, offset)
    }

    fn sync(&self) -> io::Result<()> {
        self.sync_data()
    }

    fn length(&self) -> io::Result<u64> {
        self.metadata().map(|meta| meta.len())
    }

    fn identity(&self) -> io::Result<Identity> {
        self.metadata().map(|meta| Identity { device: meta.dev(), inode: meta.ino() })
    }
}

/// Reads from `offset` until `bytes` is full or the file ends; gives how many were read.
pub(crate) fn read_fully(file: &dyn Handle, bytes: &mut [u8], offset: u64) -> io::Result<usize> {
    let mut done = 0;
    while let Some(rest) = bytes.get_mut(done..).filter(|rest| !rest.is_empty()) {
        match file.read_at(rest, offset + done as u64) {
            Ok(0) => break,
            Ok(count) => done += count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(done)
}

/// Whether `error` says that the disk, or a quota, is full.
pub(crate) fn is_full(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded)
}
