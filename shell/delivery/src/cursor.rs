//! How far a delivery is: a file of its own, written whole or not at all, and flushed before anybody relies on it.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use remit_export::Open;
use serde::{Deserialize, Serialize};

use crate::DeliveryError;

/// The largest cursor that is read, in bytes: every decision that may be open, by its index.
const BYTES_MAX: u64 = 1024 * 1024;

/// How far a delivery is.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cursor {
    /// What the destination has taken everything before.
    #[serde(flatten)]
    pub open: Open,
    /// The leaf hash of the entry before `next`: a journal that has another one there is another journal.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub leaf: Option<String>,
    /// How many records it has taken; more than there are where some were delivered twice.
    pub records: u64,
    /// When it last took some, in seconds since the epoch; 0 is never.
    pub delivered_at_secs: u64,
}

/// What went wrong last; gone once a batch was taken.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Trouble {
    /// What.
    pub error: String,
    /// Since when, in seconds since the epoch.
    pub since_secs: u64,
    /// How often it was tried since then.
    pub tries: u64,
}

/// A delivery's files in the data directory.
#[derive(Debug, Clone)]
pub struct Kept {
    cursor: PathBuf,
    trouble: PathBuf,
    dir: PathBuf,
}

impl Kept {
    /// The files of the delivery called `name`, which the configuration has checked, in `dir`.
    pub fn new(dir: &Path, name: &str) -> Self {
        let file = |end: &str| dir.join(format!("{name}.{end}"));
        Self { cursor: file("cursor.json"), trouble: file("trouble.json"), dir: dir.to_owned() }
    }

    /// How far it is; the beginning if nothing was delivered yet. A file that can't be read is no beginning.
    pub fn cursor(&self) -> Result<Cursor, DeliveryError> {
        match read(&self.cursor) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Cursor::default()),
            Err(source) => Err(DeliveryError::Cursor { path: self.cursor.clone(), source }),
            Ok(text) => serde_json::from_str(&text)
                .map_err(|error| DeliveryError::Cursor { path: self.cursor.clone(), source: error.into() }),
        }
    }

    /// Keeps how far it is. When this returns well, it survives a power cut.
    pub(crate) fn keep(&self, cursor: &Cursor) -> Result<(), DeliveryError> {
        let fault = |source: io::Error| DeliveryError::Cursor { path: self.cursor.clone(), source };
        fs::DirBuilder::new().recursive(true).mode(0o700).create(&self.dir).map_err(fault)?;
        let text = serde_json::to_string(cursor).map_err(|error| fault(error.into()))?;
        replace(&self.cursor, text.as_bytes(), true).map_err(fault)?;
        File::open(&self.dir).and_then(|dir| dir.sync_all()).map_err(fault)
    }

    /// What went wrong last, if anything is wrong.
    pub fn trouble(&self) -> Option<Trouble> {
        serde_json::from_str(&read(&self.trouble).ok()?).ok()
    }

    /// Remembers what went wrong, for whoever asks; nothing hangs on it.
    pub(crate) fn troubled(&self, trouble: Option<&Trouble>) {
        let _ = match trouble {
            None => fs::remove_file(&self.trouble),
            Some(trouble) => fs::DirBuilder::new().recursive(true).mode(0o700).create(&self.dir).and_then(|()| {
                let text = serde_json::to_string(trouble)?;
                replace(&self.trouble, text.as_bytes(), false)
            }),
        };
    }
}

fn read(path: &Path) -> io::Result<String> {
    let mut text = String::new();
    File::open(path)?.take(BYTES_MAX).read_to_string(&mut text)?;
    Ok(text)
}

fn replace(path: &Path, bytes: &[u8], flush: bool) -> io::Result<()> {
    let draft = path.with_extension("draft");
    let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&draft)?;
    file.write_all(bytes)?;
    if flush {
        file.sync_all()?;
    }
    fs::rename(&draft, path)
}
