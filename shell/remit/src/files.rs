//! Files that commands read and write for people: read within limits, written whole or not at all.

use std::fs::{self, OpenOptions};
use std::io::{Read, Write as _};
use std::path::{Path, PathBuf};

use crate::output::Failure;

/// Reads a text of at most so many bytes.
pub(crate) fn read(path: &Path, bytes_max: usize) -> Result<String, Failure> {
    let fault = |error: std::io::Error| Failure::invalid(format!("`{}`: {error}", path.display()));
    whole(fs::File::open(path).map_err(fault)?, path, bytes_max)
}

/// The same, where `-` stands for standard input.
pub(crate) fn read_or_stdin(path: &Path, bytes_max: usize) -> Result<String, Failure> {
    if path == Path::new("-") { whole(std::io::stdin().lock(), path, bytes_max) } else { read(path, bytes_max) }
}

fn whole(from: impl Read, path: &Path, bytes_max: usize) -> Result<String, Failure> {
    let mut text = String::new();
    let most = u64::try_from(bytes_max).unwrap_or(u64::MAX);
    let read = from.take(most.saturating_add(1)).read_to_string(&mut text);
    read.map_err(|error| Failure::invalid(format!("`{}`: {error}", path.display())))?;
    if text.len() > bytes_max {
        return Err(Failure::invalid(format!("`{}` is larger than {} MiB", path.display(), bytes_max / 1024 / 1024)));
    }
    Ok(text)
}

/// Writes a text: to a draft beside it, then renamed into place, so that nobody ever sees half of it. What was there keeps its mode.
pub(crate) fn write(path: &Path, text: &str) -> Result<(), Failure> {
    let fault = |error: std::io::Error| Failure::io(path, &error);
    // What a link points at is written, and the link stays.
    let path = path.canonicalize().unwrap_or_else(|_| path.to_owned());
    let draft = draft(&path)?;
    let written = OpenOptions::new().write(true).create_new(true).open(&draft).and_then(|mut file| {
        if let Ok(meta) = fs::metadata(&path) {
            file.set_permissions(meta.permissions())?;
        }
        file.write_all(text.as_bytes())?;
        file.sync_all()?;
        fs::rename(&draft, &path)
    });
    written.map_err(|error| {
        let _ = fs::remove_file(&draft);
        fault(error)
    })
}

fn draft(path: &Path) -> Result<PathBuf, Failure> {
    let name = path.file_name().ok_or_else(|| Failure::invalid(format!("`{}` is no file", path.display())))?;
    let mut draft = std::ffi::OsString::from(".");
    draft.push(name);
    draft.push(format!(".{}.draft", std::process::id()));
    Ok(path.with_file_name(draft))
}
