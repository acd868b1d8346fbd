//! Files that commands read and write for people: read within limits, written whole or not at all.

use std::fs::{self, OpenOptions};
use std::io::Write as _;
use std::path::{Path, PathBuf};

use crate::output::Failure;

/// Reads a text of at most so many bytes.
pub(crate) fn read(path: &Path, bytes_max: usize) -> Result<String, Failure> {
    let fault = |error: std::io::Error| Failure::invalid(format!("`{}`: {error}", path.display()));
    let length = fs::metadata(path).map_err(fault)?.len();
    if length > u64::try_from(bytes_max).unwrap_or(u64::MAX) {
        return Err(Failure::invalid(format!("`{}` is larger than {} MiB", path.display(), bytes_max / 1024 / 1024)));
    }
    fs::read_to_string(path).map_err(fault)
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
