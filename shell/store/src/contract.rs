//! The contract of a store.

use std::collections::BTreeSet;

use zeroize::Zeroizing;

/// The longest kind, in bytes.
pub(crate) const KIND_LEN_MAX: usize = 64;
/// The longest key, in bytes.
pub(crate) const KEY_LEN_MAX: usize = 512;
/// The largest body, in bytes.
pub(crate) const BODY_LEN_MAX: usize = 64 * 1024 * 1024;
/// The longest author or reason, in bytes.
pub(crate) const NOTE_LEN_MAX: usize = 4096;
/// The longest name of a secret, in bytes.
pub(crate) const NAME_LEN_MAX: usize = 64;
/// The largest secret, in bytes.
pub(crate) const SECRET_LEN_MAX: usize = 64 * 1024;

/// Who changes something, why and when.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Note<'a> {
    /// Who.
    pub author: &'a str,
    /// Why.
    pub reason: &'a str,
    /// When, in seconds since the epoch.
    pub now_secs: u64,
}

/// One version of a record. It never changes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Record {
    /// Its kind, such as `configuration` or `pin`.
    pub kind: String,
    /// Its key among those of its kind.
    pub key: String,
    /// Its version, from 1, without gaps.
    pub version: u64,
    /// What it says; empty in a tombstone.
    pub body: Vec<u8>,
    /// Whether this version is a tombstone: the record was deleted.
    pub deleted: bool,
    /// Who wrote this version.
    pub author: String,
    /// Why.
    pub reason: String,
    /// When, in seconds since the epoch.
    pub at_secs: u64,
}

impl Record {
    /// A version that a write makes; without a body a tombstone.
    pub(crate) fn new((kind, key): (&str, &str), version: u64, body: Option<&[u8]>, note: Note<'_>) -> Self {
        Self {
            kind: kind.to_owned(),
            key: key.to_owned(),
            version,
            body: body.unwrap_or_default().to_vec(),
            deleted: body.is_none(),
            author: note.author.to_owned(),
            reason: note.reason.to_owned(),
            at_secs: note.now_secs,
        }
    }
}

/// One of several writes that land together.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Write<'a> {
    /// The record's kind.
    pub kind: &'a str,
    /// The record's key.
    pub key: &'a str,
    /// The version that it must have; `None` for no live record.
    pub expected: Option<u64>,
    /// What it is to say.
    pub body: &'a [u8],
}

/// What may be told of a secret.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SecretInfo {
    /// Its name.
    pub name: String,
    /// When it was first put, in seconds since the epoch.
    pub created_at_secs: u64,
    /// When its value was last put, in seconds since the epoch.
    pub updated_at_secs: u64,
}

/// Why an operation could not be carried out.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum StoreError {
    /// Another version is the current one. Nothing was written.
    #[error("`{kind}/{key}` is at {}, not at {}", version(*.actual), version(*.expected))]
    Conflict {
        /// The record's kind.
        kind: String,
        /// The record's key.
        key: String,
        /// The version that the caller expected; `None` for no record.
        expected: Option<u64>,
        /// The version that is there; `None` for no record.
        actual: Option<u64>,
    },
    /// An argument is over a limit or empty. Nothing was written.
    #[error("{0}")]
    Invalid(&'static str),
    /// The master key doesn't open what is sealed: it is another one, it was rotated, or the file was tampered with.
    #[error("the master key does not open {0}")]
    Sealed(String),
    /// The store failed. A write may have landed or not: read to find out.
    #[error("the store failed: {0}")]
    Unavailable(String),
}

fn version(version: Option<u64>) -> String {
    version.map_or_else(|| "no version".to_owned(), |version| format!("version {version}"))
}

/// Versioned records with compare-and-swap, and secrets.
///
/// - **Atomic and durable.** When a write answers `Ok`, it survives a power cut, and every reader sees it. When it answers
///   [`StoreError::Conflict`] or [`StoreError::Invalid`], nothing was written. When it answers [`StoreError::Unavailable`], it
///   may have landed: the caller reads, and finds its own body and author or not.
/// - **Versions.** The first version of a key is 1, each write is the next one, and none ever changes or goes away. A deletion
///   is a version too (a tombstone), and what is put afterwards goes on counting.
/// - **Compare-and-swap.** `expected` is the version that the caller read with [`Store::get`]: `None` says that there was no
///   live record. Of several writers that expect the same version exactly one wins, across threads and processes.
/// - **Bounded.** A kind has 1 to 64 bytes, a key 1 to 512, a body at most 64 MiB, author and reason at most 4096 each, a
///   secret's name 1 to 64 of letters, digits, `_`, `.` and `-`, a secret at most 64 KiB.
pub trait Store: Send + Sync {
    /// Writes the next version of a record and answers it.
    fn put(&self, kind: &str, key: &str, expected: Option<u64>, body: &[u8], note: Note<'_>) -> Result<u64, StoreError>;

    /// Writes several records, all of them or none, and answers their versions. Each is to be of another place; one that conflicts or is
    /// invalid keeps all of them from being written.
    fn put_all(&self, writes: &[Write<'_>], note: Note<'_>) -> Result<Vec<u64>, StoreError>;

    /// Deletes a record, by a tombstone whose version is answered. `expected` must be its version.
    fn delete(&self, kind: &str, key: &str, expected: u64, note: Note<'_>) -> Result<u64, StoreError>;

    /// The current version; `None` if there is none or it was deleted.
    fn get(&self, kind: &str, key: &str) -> Result<Option<Record>, StoreError>;

    /// Every version, the oldest first, tombstones with them.
    fn history(&self, kind: &str, key: &str) -> Result<Vec<Record>, StoreError>;

    /// The versions below `before`, the newest first, tombstones with them, at most `count`: a part of what [`Store::history`] answers.
    fn versions(&self, kind: &str, key: &str, before: u64, count: usize) -> Result<Vec<Record>, StoreError>;

    /// The current versions of all live records of a kind, by key.
    fn list(&self, kind: &str) -> Result<Vec<Record>, StoreError>;

    /// The current versions of live records of a kind whose keys stand before `before`, from the last key on, at most `count`: a part of
    /// what [`Store::list`] answers, the other way round.
    fn page(&self, kind: &str, before: Option<&str>, count: usize) -> Result<Vec<Record>, StoreError>;

    /// Puts a secret in place of the one of this name. Its earlier value is gone.
    fn secret_put(&self, name: &str, value: &Zeroizing<Vec<u8>>, now_secs: u64) -> Result<(), StoreError>;

    /// The secret of this name. The bytes are wiped when they are dropped.
    fn secret_get(&self, name: &str) -> Result<Option<Zeroizing<Vec<u8>>>, StoreError>;

    /// Names and ages of all secrets, by name.
    fn secret_list(&self) -> Result<Vec<SecretInfo>, StoreError>;

    /// Removes a secret; `false` if there was none.
    fn secret_delete(&self, name: &str) -> Result<bool, StoreError>;
}

/// Checks the arguments of a write.
pub(crate) fn check_put(kind: &str, key: &str, body: &[u8], note: Note<'_>) -> Result<(), StoreError> {
    check_place(kind, key)?;
    if body.len() > BODY_LEN_MAX {
        return Err(StoreError::Invalid("a record's body is at most 64 MiB"));
    }
    if note.author.len() > NOTE_LEN_MAX || note.reason.len() > NOTE_LEN_MAX {
        return Err(StoreError::Invalid("an author and a reason have at most 4096 bytes each"));
    }
    if i64::try_from(note.now_secs).is_err() {
        return Err(StoreError::Invalid("the time is out of range"));
    }
    Ok(())
}

/// Checks the arguments of several writes.
pub(crate) fn check_put_all(writes: &[Write<'_>], note: Note<'_>) -> Result<(), StoreError> {
    let mut places = BTreeSet::new();
    for write in writes {
        check_put(write.kind, write.key, write.body, note)?;
        if !places.insert((write.kind, write.key)) {
            return Err(StoreError::Invalid("records that are written together are of different places"));
        }
    }
    Ok(())
}

/// Checks where a record is.
pub(crate) fn check_place(kind: &str, key: &str) -> Result<(), StoreError> {
    if !(1..=KIND_LEN_MAX).contains(&kind.len()) {
        return Err(StoreError::Invalid("a record's kind has 1 to 64 bytes"));
    }
    if !(1..=KEY_LEN_MAX).contains(&key.len()) {
        return Err(StoreError::Invalid("a record's key has 1 to 512 bytes"));
    }
    Ok(())
}

/// Checks a secret's name.
pub(crate) fn check_name(name: &str) -> Result<(), StoreError> {
    let fits = (1..=NAME_LEN_MAX).contains(&name.len())
        && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_.-".contains(&byte));
    if fits { Ok(()) } else { Err(StoreError::Invalid("a secret's name is 1 to 64 of letters, digits, `_`, `.` and `-`")) }
}

/// Checks a secret, as [`Store::secret_put`] does before it writes.
pub fn check_secret(name: &str, value: &[u8], now_secs: u64) -> Result<(), StoreError> {
    check_name(name)?;
    if value.len() > SECRET_LEN_MAX {
        return Err(StoreError::Invalid("a secret has at most 64 KiB"));
    }
    if i64::try_from(now_secs).is_err() {
        return Err(StoreError::Invalid("the time is out of range"));
    }
    Ok(())
}
