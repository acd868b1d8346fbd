//! A configuration directory: every source file below it, read whole and within limits.

use std::path::{Path, PathBuf};

use remit_config::{Fault, Loaded, SourceFile};
use remit_mcp::canonical::{hex, sha256};

/// The most files.
const FILES_MAX: usize = 10_000;
/// The largest file, in bytes.
const FILE_BYTES_MAX: u64 = 16 * 1024 * 1024;
/// The deepest directory.
const DEPTH_MAX: usize = 16;

/// A configuration as it was read.
#[derive(Debug, Clone)]
pub struct Source {
    /// What it says, without a fault.
    pub loaded: Loaded,
    /// The digest of all its files: `sha256:…`.
    pub digest: String,
    /// Its files, by path.
    pub files: Vec<SourceFile>,
}

impl Source {
    /// Reads the texts of files: all of them, or every fault that they have.
    pub fn of(mut files: Vec<SourceFile>) -> Result<Self, DirectoryError> {
        files.sort();
        let digest = digest(&files);
        let loaded = remit_config::read(&files).map_err(DirectoryError::Faults)?;
        Ok(Self { loaded, digest, files })
    }
}

/// The digest of files, which are sorted by path: SHA-256 over each path and text, each with its length in bytes before it.
pub fn digest(files: &[SourceFile]) -> String {
    let mut all = Vec::new();
    for file in files {
        for part in [&file.path, &file.text] {
            all.extend_from_slice(&(part.len() as u64).to_be_bytes());
            all.extend_from_slice(part.as_bytes());
        }
    }
    format!("sha256:{}", hex(&sha256(&all)))
}

/// Why a directory could not be taken.
#[derive(Debug, thiserror::Error)]
pub enum DirectoryError {
    /// A file or directory could not be read.
    #[error("`{path}` can't be read: {source}")]
    Io {
        /// Which one.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// It is over a limit.
    #[error("`{path}`: {limit}")]
    Limit {
        /// Which file or directory.
        path: PathBuf,
        /// Which limit.
        limit: &'static str,
    },
    /// It has faults.
    #[error("the configuration has {} faults", .0.len())]
    Faults(Vec<Fault>),
}

/// Reads a directory: all of it, or every fault that it has.
pub fn read(directory: &Path) -> Result<Source, DirectoryError> {
    Source::of(texts(directory)?)
}

/// The files of a directory as they are, by path.
pub fn texts(directory: &Path) -> Result<Vec<SourceFile>, DirectoryError> {
    let mut files = Vec::new();
    collect(directory, directory, 0, &mut files)?;
    files.sort();
    Ok(files)
}

fn collect(root: &Path, directory: &Path, depth: usize, files: &mut Vec<SourceFile>) -> Result<(), DirectoryError> {
    let io = |path: &Path, source| DirectoryError::Io { path: path.to_owned(), source };
    if depth > DEPTH_MAX {
        return Err(DirectoryError::Limit { path: directory.to_owned(), limit: "nested deeper than 16 directories" });
    }
    let entries = std::fs::read_dir(directory).map_err(|error| io(directory, error))?;
    for entry in entries {
        let entry = entry.map_err(|error| io(directory, error))?;
        let path = entry.path();
        // What begins with a dot is an editor's or a tool's, and so is a link out of the directory.
        if entry.file_name().to_string_lossy().starts_with('.') {
            continue;
        }
        let kind = entry.file_type().map_err(|error| io(&path, error))?;
        if kind.is_dir() {
            // A gateway's data directory that somebody put here: what it keeps there is no configuration.
            if path.join("journal.vkey").is_file() {
                continue;
            }
            collect(root, &path, depth + 1, files)?;
            continue;
        }
        let below = path.strip_prefix(root).unwrap_or(&path).to_string_lossy().replace('\\', "/");
        if !remit_config::is_source(&below) {
            continue;
        }
        let meta = std::fs::metadata(&path).map_err(|error| io(&path, error))?;
        if meta.len() > FILE_BYTES_MAX {
            return Err(DirectoryError::Limit { path, limit: "larger than 16 MiB" });
        }
        if files.len() >= FILES_MAX {
            return Err(DirectoryError::Limit { path: root.to_owned(), limit: "more than 10,000 files" });
        }
        let text = std::fs::read_to_string(&path).map_err(|error| io(&path, error))?;
        files.push(SourceFile { path: below, text });
    }
    Ok(())
}
