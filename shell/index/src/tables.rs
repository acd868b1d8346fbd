//! The database's tables, and how it is opened.

use std::fs::{self, DirBuilder, OpenOptions};
use std::io;
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::time::Duration;

use rusqlite::{Connection, OpenFlags};

use crate::IndexError;

/// The form of the tables: an index of another form is made again.
const FORMAT: i64 = 1;
/// How long a connection waits for another one.
const BUSY_TIMEOUT: Duration = Duration::from_secs(5);
/// How much of the database a writer holds in memory, in KiB.
const WRITER_CACHE_KIB: i64 = 128 * 1024;
/// After how many pages, of 4 KiB each, the log beside the database is written back.
const WAL_PAGES: i64 = 8_192;
/// How much a reader holds.
const READER_CACHE_KIB: i64 = 32 * 1024;
/// How many decisions' indexes a block spans.
pub(crate) const BLOCK: i64 = 1024;

/// Ids are kept as 16 bytes where they are 32 hexadecimal digits, else as they are: hence `ANY`. 0 is no word. A decision whose trace is its
/// own id has no trace. `last` is the newest decision of a kind.
const TABLES: &str = "
CREATE TABLE IF NOT EXISTS progress (
    id INTEGER NOT NULL PRIMARY KEY CHECK (id = 1), entries INTEGER NOT NULL, decisions INTEGER NOT NULL
) STRICT;
CREATE TABLE IF NOT EXISTS word (id INTEGER PRIMARY KEY, text TEXT NOT NULL UNIQUE) STRICT;
CREATE TABLE IF NOT EXISTS statement (
    id INTEGER PRIMARY KEY, layer TEXT NOT NULL, text TEXT NOT NULL, UNIQUE (layer, text)
) STRICT;
CREATE VIRTUAL TABLE IF NOT EXISTS statement_text USING fts5(text, content='', tokenize='trigram case_sensitive 1');
CREATE TABLE IF NOT EXISTS path (id INTEGER PRIMARY KEY, statements TEXT NOT NULL UNIQUE) STRICT;
CREATE TABLE IF NOT EXISTS path_line (
    statement INTEGER NOT NULL, path INTEGER NOT NULL, PRIMARY KEY (statement, path)
) STRICT, WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS kind (
    id INTEGER PRIMARY KEY, agent INTEGER NOT NULL, space INTEGER NOT NULL, tool INTEGER NOT NULL, verdict INTEGER NOT NULL,
    reason INTEGER NOT NULL, risk INTEGER NOT NULL, path INTEGER NOT NULL, last INTEGER NOT NULL,
    UNIQUE (agent, space, tool, verdict, reason, risk, path)
) STRICT;
CREATE INDEX IF NOT EXISTS kind_tool ON kind (tool);
CREATE INDEX IF NOT EXISTS kind_reason ON kind (reason) WHERE reason > 0;
CREATE INDEX IF NOT EXISTS kind_path ON kind (path);
CREATE TABLE IF NOT EXISTS decision (
    at INTEGER PRIMARY KEY, kind INTEGER NOT NULL, time_ms INTEGER NOT NULL, id ANY, trace ANY, approval ANY, user INTEGER,
    outcome INTEGER, outcome_at INTEGER
) STRICT;
CREATE INDEX IF NOT EXISTS decision_kind ON decision (kind);
CREATE INDEX IF NOT EXISTS decision_user ON decision (user) WHERE user IS NOT NULL;
CREATE INDEX IF NOT EXISTS decision_id ON decision (id);
CREATE INDEX IF NOT EXISTS decision_trace ON decision (trace) WHERE trace IS NOT NULL;
CREATE INDEX IF NOT EXISTS decision_approval ON decision (approval) WHERE approval IS NOT NULL;
CREATE TABLE IF NOT EXISTS block (id INTEGER PRIMARY KEY, first_ms INTEGER NOT NULL, last_ms INTEGER NOT NULL) STRICT;
CREATE TABLE IF NOT EXISTS tally (
    step_secs INTEGER NOT NULL, by INTEGER NOT NULL, at_secs INTEGER NOT NULL, key INTEGER NOT NULL,
    allow INTEGER NOT NULL, deny INTEGER NOT NULL, hold INTEGER NOT NULL, PRIMARY KEY (step_secs, by, at_secs, key)
) STRICT, WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS tile (id INTEGER PRIMARY KEY, root BLOB NOT NULL) STRICT;
INSERT OR IGNORE INTO progress (id, entries, decisions) VALUES (1, 0, 0);
";

/// The file of the index in `dir`.
pub(crate) fn file(dir: &Path) -> PathBuf {
    dir.join("decisions.db")
}

pub(crate) fn io_error(dir: &Path) -> impl FnOnce(io::Error) -> IndexError {
    let dir = dir.to_owned();
    move |source| IndexError::Io { dir, source }
}

/// Which file it is, so that another one in its place is noticed.
pub(crate) fn identity(dir: &Path) -> Option<(u64, u64)> {
    fs::metadata(file(dir)).ok().map(|found| (found.dev(), found.ino()))
}

/// The lock that makes a writer the only one, while it is held.
pub(crate) fn lock(dir: &Path) -> Result<fs::File, IndexError> {
    DirBuilder::new().recursive(true).mode(0o700).create(dir).map_err(io_error(dir))?;
    let opened = OpenOptions::new().write(true).create(true).truncate(false).mode(0o600).open(dir.join("lock"));
    let file = opened.map_err(io_error(dir))?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(fs::TryLockError::WouldBlock) => Err(IndexError::Locked),
        Err(fs::TryLockError::Error(error)) => Err(io_error(dir)(error)),
    }
}

/// Removes what was indexed.
pub(crate) fn wipe(dir: &Path) -> Result<(), IndexError> {
    // The database goes first: without it, what is left beside it is nothing.
    for name in ["decisions.db", "decisions.db-wal", "decisions.db-shm"] {
        match fs::remove_file(dir.join(name)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(io_error(dir)(error)),
            _ => {}
        }
    }
    Ok(())
}

/// Opens the index for writing; made if it isn't there.
pub(crate) fn open_writer(dir: &Path) -> Result<Connection, IndexError> {
    let made = OpenOptions::new().write(true).create(true).truncate(false).mode(0o600).open(file(dir));
    made.map_err(io_error(dir))?;
    let connection = Connection::open(file(dir))?;
    connection.busy_timeout(BUSY_TIMEOUT)?;
    // A crash may lose the last batches, which are read again; it leaves no broken file.
    for (name, value) in [
        ("journal_mode", "WAL"),
        ("synchronous", "NORMAL"),
        ("trusted_schema", "OFF"),
        ("temp_store", "MEMORY"),
        ("secure_delete", "ON"),
    ] {
        connection.pragma_update(None, name, value)?;
    }
    connection.pragma_update(None, "cache_size", -WRITER_CACHE_KIB)?;
    connection.pragma_update(None, "wal_autocheckpoint", WAL_PAGES)?;
    connection.set_prepared_statement_cache_capacity(64);
    let format: i64 = connection.pragma_query_value(None, "user_version", |row| row.get(0))?;
    if format != 0 && format != FORMAT {
        return Err(IndexError::Foreign("it has another form"));
    }
    connection.execute_batch(&format!("BEGIN IMMEDIATE;{TABLES}PRAGMA user_version = {FORMAT};COMMIT;"))?;
    Ok(connection)
}

/// Opens the index for reading.
pub(crate) fn open_reader(dir: &Path) -> Result<Connection, IndexError> {
    if !file(dir).exists() {
        return Err(IndexError::Missing);
    }
    // It is opened for writing because the log beside it can only be read by who may write; the next line sees to it that nothing is written.
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(file(dir), flags)?;
    connection.busy_timeout(BUSY_TIMEOUT)?;
    connection.pragma_update(None, "query_only", "ON")?;
    connection.pragma_update(None, "cache_size", -READER_CACHE_KIB)?;
    connection.set_prepared_statement_cache_capacity(64);
    let format: i64 = connection.pragma_query_value(None, "user_version", |row| row.get(0))?;
    if format == FORMAT { Ok(connection) } else { Err(IndexError::Missing) }
}

/// An id as it is kept: half as long where it is 32 hexadecimal digits.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) enum Id {
    Bytes([u8; 16]),
    Text(String),
}

impl Id {
    pub(crate) fn of(text: &str) -> Self {
        let plain = text.len() == 32 && text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
        match u128::from_str_radix(text, 16) {
            Ok(number) if plain => Self::Bytes(number.to_be_bytes()),
            _ => Self::Text(text.to_owned()),
        }
    }

    pub(crate) fn text(self) -> String {
        match self {
            Self::Bytes(bytes) => format!("{:032x}", u128::from_be_bytes(bytes)),
            Self::Text(text) => text,
        }
    }
}

impl rusqlite::ToSql for Id {
    fn to_sql(&self) -> rusqlite::Result<rusqlite::types::ToSqlOutput<'_>> {
        match self {
            Self::Bytes(bytes) => Ok(bytes.as_slice().into()),
            Self::Text(text) => Ok(text.as_str().into()),
        }
    }
}

impl rusqlite::types::FromSql for Id {
    fn column_result(value: rusqlite::types::ValueRef<'_>) -> rusqlite::types::FromSqlResult<Self> {
        match value {
            rusqlite::types::ValueRef::Blob(bytes) => {
                bytes.try_into().map(Self::Bytes).map_err(|_| rusqlite::types::FromSqlError::InvalidType)
            }
            _ => value.as_str().map(|text| Self::Text(text.to_owned())),
        }
    }
}
