//! The store in one SQLite file: write-ahead log, synced at every commit, readable by its owner only.

use std::fs::{self, OpenOptions, Permissions};
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use rusqlite::{Connection, OptionalExtension as _, Params, Row, Transaction, TransactionBehavior, params};
use zeroize::Zeroizing;

use crate::contract::{
    Note, Record, SecretInfo, Store, StoreError, Write, check_name, check_place, check_put, check_put_all, check_secret,
};
use crate::key::{KeyError, MasterKey};
use crate::replicate::{Change, Replicate, Shared};

/// How long a writer waits for another one.
const BUSY_TIMEOUT: Duration = Duration::from_secs(10);
/// The format of the file.
const FORMAT: i64 = 1;
/// What the key check seals, and under which name: no secret can be called so.
const CHECK: (&str, &[u8]) = ("/key", b"remit");

const TABLES: &str = "
CREATE TABLE IF NOT EXISTS record (
    kind TEXT NOT NULL, key TEXT NOT NULL, version INTEGER NOT NULL, body BLOB NOT NULL, deleted INTEGER NOT NULL,
    author TEXT NOT NULL, reason TEXT NOT NULL, at_secs INTEGER NOT NULL,
    PRIMARY KEY (kind, key, version)
) STRICT, WITHOUT ROWID;
CREATE TRIGGER IF NOT EXISTS record_kept BEFORE UPDATE ON record BEGIN SELECT RAISE(ABORT, 'a version never changes'); END;
CREATE TRIGGER IF NOT EXISTS record_stays BEFORE DELETE ON record BEGIN SELECT RAISE(ABORT, 'a version never goes away'); END;
CREATE TABLE IF NOT EXISTS secret (
    name TEXT NOT NULL PRIMARY KEY, sealed BLOB NOT NULL, created_at_secs INTEGER NOT NULL, updated_at_secs INTEGER NOT NULL
) STRICT;
CREATE TABLE IF NOT EXISTS key_check (id INTEGER NOT NULL PRIMARY KEY CHECK (id = 1), sealed BLOB NOT NULL) STRICT;
";

const COLUMNS: &str = "kind, key, version, body, deleted, author, reason, at_secs";

/// The store in one SQLite file.
pub struct SqliteStore {
    open: Mutex<Open>,
}

struct Open {
    connection: Connection,
    key: MasterKey,
    shared: Shared,
}

impl SqliteStore {
    /// Opens the file, or makes it. Refuses a key that doesn't open what the file holds.
    pub fn open(path: &Path, key: MasterKey) -> Result<Self, StoreError> {
        let made = OpenOptions::new().write(true).create(true).truncate(false).mode(0o600).open(path);
        made.and_then(|_| fs::set_permissions(path, Permissions::from_mode(0o600)))
            .map_err(|error| StoreError::Unavailable(format!("`{}`: {error}", path.display())))?;
        let mut connection = Connection::open(path).map_err(unavailable)?;
        connection.busy_timeout(BUSY_TIMEOUT).map_err(unavailable)?;
        for (name, value) in
            [("journal_mode", "WAL"), ("synchronous", "FULL"), ("secure_delete", "ON"), ("trusted_schema", "OFF")]
        {
            connection.pragma_update(None, name, value).map_err(unavailable)?;
        }
        let transaction = begin(&mut connection)?;
        let format: i64 = transaction.pragma_query_value(None, "user_version", |row| row.get(0)).map_err(unavailable)?;
        if format > FORMAT {
            let what = format!("the file has format {format}, and this program knows {FORMAT}: use a newer one");
            return Err(StoreError::Unavailable(what));
        }
        transaction.execute_batch(TABLES).map_err(unavailable)?;
        transaction.pragma_update(None, "user_version", FORMAT).map_err(unavailable)?;
        if key_check(&transaction)?.is_none() {
            let sealed = seal(&key, CHECK.0, CHECK.1)?;
            transaction.execute("INSERT INTO key_check (id, sealed) VALUES (1, ?1)", params![sealed]).map_err(unavailable)?;
        }
        key_fits(&transaction, &key)?;
        transaction.commit().map_err(unavailable)?;
        Ok(Self { open: Mutex::new(Open { connection, key, shared: Shared::default() }) })
    }

    /// Opens the file with the key of a key file, which is made where there is none. Completes a rotation that a crash
    /// interrupted.
    pub fn open_with_key_file(path: &Path, key_path: &Path) -> Result<Self, StoreError> {
        let key = MasterKey::open_or_create(key_path).map_err(|error| key_failed(&error))?;
        match Self::open(path, key) {
            Err(error @ StoreError::Sealed(_)) => {
                // Either the rotation stopped before its last step, or it ended just now.
                let next_path = next(key_path);
                let again = MasterKey::open(&next_path).or_else(|_| MasterKey::open(key_path));
                let store = Self::open(path, again.map_err(|_| error)?)?;
                replace(&next_path, key_path)?;
                Ok(store)
            }
            opened => opened,
        }
    }

    /// Makes a new master key, seals everything under it, and puts it into the key file. A crash at any point leaves a store
    /// that [`Self::open_with_key_file`] opens.
    pub fn rotate_key_file(&self, key_path: &Path) -> Result<(), StoreError> {
        let next_path = next(key_path);
        let new = MasterKey::generate().map_err(|error| key_failed(&error))?;
        // The new key is on disk before anything is sealed under it, and only while no other rotation can run.
        self.reseal_after(new.clone(), || {
            let _ = fs::remove_file(&next_path);
            new.create(&next_path).map_err(|error| key_failed(&error))
        })?;
        replace(&next_path, key_path)
    }

    /// Seals every secret under a new master key, all of them or none. Other openings of the file must be opened again.
    pub fn reseal(&self, new: MasterKey) -> Result<(), StoreError> {
        self.reseal_after(new, || Ok(()))
    }

    fn reseal_after(&self, new: MasterKey, first: impl FnOnce() -> Result<(), StoreError>) -> Result<(), StoreError> {
        let mut open = self.lock();
        let Open { connection, key, shared } = &mut *open;
        if shared.replicate.is_some() {
            return Err(StoreError::Invalid(
                "the nodes of a cluster have one master key: it is changed while none of them is up",
            ));
        }
        let transaction = begin(connection)?;
        key_fits(&transaction, key)?;
        first()?;
        let secrets: Vec<(String, Vec<u8>)> = {
            let mut statement = transaction.prepare("SELECT name, sealed FROM secret").map_err(unavailable)?;
            let rows = statement.query_map([], |row| Ok((row.get(0)?, row.get(1)?))).map_err(unavailable)?;
            rows.collect::<Result<_, _>>().map_err(unavailable)?
        };
        for (name, sealed) in secrets {
            let value = key.open_sealed(&name, &sealed).ok_or_else(|| StoreError::Sealed(format!("the secret `{name}`")))?;
            let sealed = seal(&new, &name, &value)?;
            transaction.execute("UPDATE secret SET sealed = ?2 WHERE name = ?1", params![name, sealed]).map_err(unavailable)?;
        }
        let sealed = seal(&new, CHECK.0, CHECK.1)?;
        transaction.execute("UPDATE key_check SET sealed = ?1", params![sealed]).map_err(unavailable)?;
        transaction.commit().map_err(unavailable)?;
        *key = new;
        Ok(())
    }

    /// From now on nothing is written here before `replicate` has it.
    pub fn replicate(&self, replicate: Arc<dyn Replicate>) {
        self.lock().shared.replicate = Some(replicate);
    }

    /// Writes a copy of the whole file as it is at this moment, to a path where nothing is.
    pub fn copy_to(&self, path: &Path) -> Result<(), StoreError> {
        let text = path.to_str().ok_or(StoreError::Invalid("the path is not UTF-8"))?;
        self.lock().connection.execute("VACUUM INTO ?1", params![text]).map_err(unavailable)?;
        fs::set_permissions(path, Permissions::from_mode(0o600))
            .map_err(|error| StoreError::Unavailable(format!("`{}`: {error}", path.display())))
    }

    /// Takes over a change that another node made. One that is here already is compared.
    pub fn apply(&self, change: &[u8]) -> Result<(), StoreError> {
        let change = Change::parse(change)?;
        let mut open = self.lock();
        let transaction = begin(&mut open.connection)?;
        change.apply(&transaction)?;
        transaction.commit().map_err(unavailable)
    }

    fn lock(&self) -> MutexGuard<'_, Open> {
        // A transaction that a panic interrupted was rolled back when it was dropped.
        self.open.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    fn write(&self, place: (&str, &str), expected: Option<u64>, body: Option<&[u8]>, note: Note<'_>) -> Result<u64, StoreError> {
        let (kind, key) = place;
        check_put(kind, key, body.unwrap_or_default(), note)?;
        let mut open = self.lock();
        let Open { connection, shared, .. } = &mut *open;
        let transaction = begin(connection)?;
        let record = insert(&transaction, (kind, key), expected, body, note)?;
        let version = record.version;
        shared.commit(transaction, || Change::Records(vec![record]))?;
        Ok(version)
    }

    fn records(&self, query: &str, arguments: impl Params) -> Result<Vec<Record>, StoreError> {
        let open = self.lock();
        let mut statement = open.connection.prepare(query).map_err(unavailable)?;
        let rows = statement.query_map(arguments, record).map_err(unavailable)?;
        rows.collect::<Result<_, _>>().map_err(unavailable)
    }
}

impl Store for SqliteStore {
    fn put(&self, kind: &str, key: &str, expected: Option<u64>, body: &[u8], note: Note<'_>) -> Result<u64, StoreError> {
        self.write((kind, key), expected, Some(body), note)
    }

    fn put_all(&self, writes: &[Write<'_>], note: Note<'_>) -> Result<Vec<u64>, StoreError> {
        check_put_all(writes, note)?;
        let mut open = self.lock();
        let Open { connection, shared, .. } = &mut *open;
        let transaction = begin(connection)?;
        let records = writes.iter().map(|write| {
            let Write { kind, key, expected, body } = *write;
            insert(&transaction, (kind, key), expected, Some(body), note)
        });
        let records = records.collect::<Result<Vec<Record>, _>>()?;
        let versions = records.iter().map(|record| record.version).collect();
        shared.commit(transaction, || Change::Records(records))?;
        Ok(versions)
    }

    fn delete(&self, kind: &str, key: &str, expected: u64, note: Note<'_>) -> Result<u64, StoreError> {
        self.write((kind, key), Some(expected), None, note)
    }

    fn get(&self, kind: &str, key: &str) -> Result<Option<Record>, StoreError> {
        check_place(kind, key)?;
        let query = format!("SELECT {COLUMNS} FROM record WHERE kind = ?1 AND key = ?2 ORDER BY version DESC LIMIT 1");
        Ok(self.records(&query, params![kind, key])?.pop().filter(|record| !record.deleted))
    }

    fn history(&self, kind: &str, key: &str) -> Result<Vec<Record>, StoreError> {
        check_place(kind, key)?;
        self.records(&format!("SELECT {COLUMNS} FROM record WHERE kind = ?1 AND key = ?2 ORDER BY version"), params![kind, key])
    }

    fn versions(&self, kind: &str, key: &str, before: u64, count: usize) -> Result<Vec<Record>, StoreError> {
        check_place(kind, key)?;
        let before = i64::try_from(before).unwrap_or(i64::MAX);
        let count = i64::try_from(count).unwrap_or(i64::MAX);
        let below = "kind = ?1 AND key = ?2 AND version < ?3 ORDER BY version DESC LIMIT ?4";
        self.records(&format!("SELECT {COLUMNS} FROM record WHERE {below}"), params![kind, key, before, count])
    }

    fn list(&self, kind: &str) -> Result<Vec<Record>, StoreError> {
        check_place(kind, "-")?;
        let newest = "version = (SELECT MAX(version) FROM record AS r WHERE r.kind = record.kind AND r.key = record.key)";
        self.records(
            &format!("SELECT {COLUMNS} FROM record WHERE kind = ?1 AND {newest} AND deleted = 0 ORDER BY key"),
            params![kind],
        )
    }

    fn page(&self, kind: &str, before: Option<&str>, count: usize) -> Result<Vec<Record>, StoreError> {
        check_place(kind, "-")?;
        let newest = "version = (SELECT MAX(version) FROM record AS r WHERE r.kind = record.kind AND r.key = record.key)";
        let older = "kind = ?1 AND (?2 IS NULL OR key < ?2)";
        let count = i64::try_from(count).unwrap_or(i64::MAX);
        self.records(
            &format!("SELECT {COLUMNS} FROM record WHERE {older} AND {newest} AND deleted = 0 ORDER BY key DESC LIMIT ?3"),
            params![kind, before, count],
        )
    }

    fn secret_put(&self, name: &str, value: &Zeroizing<Vec<u8>>, now_secs: u64) -> Result<(), StoreError> {
        check_secret(name, value, now_secs)?;
        let mut open = self.lock();
        let Open { connection, key, shared } = &mut *open;
        let transaction = begin(connection)?;
        key_fits(&transaction, key)?;
        let sealed = seal(key, name, value)?;
        secret_insert(&transaction, name, &sealed, now_secs)?;
        shared.commit(transaction, || Change::SecretPut { name: name.to_owned(), sealed, at_secs: now_secs })
    }

    fn secret_get(&self, name: &str) -> Result<Option<Zeroizing<Vec<u8>>>, StoreError> {
        check_name(name)?;
        let open = self.lock();
        let query = "SELECT sealed FROM secret WHERE name = ?1";
        let sealed: Option<Vec<u8>> =
            open.connection.query_row(query, params![name], |row| row.get(0)).optional().map_err(unavailable)?;
        let Some(sealed) = sealed else { return Ok(None) };
        let value = open.key.open_sealed(name, &sealed);
        value.map(Some).ok_or_else(|| StoreError::Sealed(format!("the secret `{name}`")))
    }

    fn secret_list(&self) -> Result<Vec<SecretInfo>, StoreError> {
        let open = self.lock();
        let query = "SELECT name, created_at_secs, updated_at_secs FROM secret ORDER BY name";
        let mut statement = open.connection.prepare(query).map_err(unavailable)?;
        let rows = statement.query_map([], |row| {
            Ok(SecretInfo { name: row.get(0)?, created_at_secs: unsigned(row, 1)?, updated_at_secs: unsigned(row, 2)? })
        });
        rows.and_then(Iterator::collect).map_err(unavailable)
    }

    fn secret_delete(&self, name: &str) -> Result<bool, StoreError> {
        check_name(name)?;
        let mut open = self.lock();
        let Open { connection, shared, .. } = &mut *open;
        let transaction = begin(connection)?;
        let gone = secret_remove(&transaction, name)?;
        if gone {
            shared.commit(transaction, || Change::SecretDelete { name: name.to_owned() })?;
        }
        Ok(gone)
    }
}

#[expect(clippy::needless_pass_by_value, reason = "used as a function in map_err")]
pub(crate) fn unavailable(error: rusqlite::Error) -> StoreError {
    StoreError::Unavailable(error.to_string())
}

fn key_failed(error: &KeyError) -> StoreError {
    StoreError::Unavailable(error.to_string())
}

/// Starts a transaction that writes: it waits for other writers now, not at its first write.
fn begin(connection: &mut Connection) -> Result<Transaction<'_>, StoreError> {
    connection.transaction_with_behavior(TransactionBehavior::Immediate).map_err(unavailable)
}

fn seal(key: &MasterKey, name: &str, value: &[u8]) -> Result<Vec<u8>, StoreError> {
    key.seal(name, value).ok_or_else(|| StoreError::Unavailable("the system gave no random bytes".to_owned()))
}

fn key_check(transaction: &Transaction<'_>) -> Result<Option<Vec<u8>>, StoreError> {
    transaction.query_row("SELECT sealed FROM key_check", [], |row| row.get(0)).optional().map_err(unavailable)
}

/// Refuses a key that isn't the one under which this file's secrets are sealed.
fn key_fits(transaction: &Transaction<'_>, key: &MasterKey) -> Result<(), StoreError> {
    let opened = key_check(transaction)?.and_then(|sealed| key.open_sealed(CHECK.0, &sealed));
    if opened.is_some_and(|opened| opened.as_slice() == CHECK.1) {
        Ok(())
    } else {
        Err(StoreError::Sealed("this store".to_owned()))
    }
}

fn last(transaction: &Transaction<'_>, kind: &str, key: &str) -> Result<Option<(u64, bool)>, StoreError> {
    let query = "SELECT version, deleted FROM record WHERE kind = ?1 AND key = ?2 ORDER BY version DESC LIMIT 1";
    let mut query = transaction.prepare(query).map_err(unavailable)?;
    query.query_row(params![kind, key], |row| Ok((unsigned(row, 0)?, row.get(1)?))).optional().map_err(unavailable)
}

/// Writes the next version of a record within a transaction.
fn insert(
    transaction: &Transaction<'_>,
    (kind, key): (&str, &str),
    expected: Option<u64>,
    body: Option<&[u8]>,
    note: Note<'_>,
) -> Result<Record, StoreError> {
    let last = last(transaction, kind, key)?;
    let actual = last.filter(|(_, deleted)| !deleted).map(|(version, _)| version);
    if actual != expected {
        return Err(StoreError::Conflict { kind: kind.to_owned(), key: key.to_owned(), expected, actual });
    }
    let version = last.map_or(0, |(version, _)| version) + 1;
    let record = Record::new((kind, key), version, body, note);
    record_insert(transaction, &record)?;
    Ok(record)
}

/// Writes a version as it is.
pub(crate) fn record_insert(transaction: &Transaction<'_>, record: &Record) -> Result<(), StoreError> {
    let Record { kind, key, version, body, deleted, author, reason, at_secs } = record;
    let insert = format!("INSERT INTO record ({COLUMNS}) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)");
    let (version, at_secs) = (signed(*version)?, signed(*at_secs)?);
    let mut insert = transaction.prepare(&insert).map_err(unavailable)?;
    insert.execute(params![kind, key, version, body, deleted, author, reason, at_secs]).map_err(unavailable)?;
    Ok(())
}

/// The version of a record that is there.
pub(crate) fn record_at(transaction: &Transaction<'_>, of: &Record) -> Result<Option<Record>, StoreError> {
    let query = format!("SELECT {COLUMNS} FROM record WHERE kind = ?1 AND key = ?2 AND version = ?3");
    let version = signed(of.version)?;
    transaction.query_row(&query, params![of.kind, of.key, version], record).optional().map_err(unavailable)
}

/// Puts a sealed secret in place of the one of this name.
pub(crate) fn secret_insert(transaction: &Transaction<'_>, name: &str, sealed: &[u8], at_secs: u64) -> Result<(), StoreError> {
    let upsert = "INSERT INTO secret (name, sealed, created_at_secs, updated_at_secs) VALUES (?1, ?2, ?3, ?3)
        ON CONFLICT (name) DO UPDATE SET sealed = excluded.sealed, updated_at_secs = excluded.updated_at_secs";
    transaction.execute(upsert, params![name, sealed, signed(at_secs)?]).map(drop).map_err(unavailable)
}

/// Removes a secret; `false` if there was none.
pub(crate) fn secret_remove(transaction: &Transaction<'_>, name: &str) -> Result<bool, StoreError> {
    let gone = transaction.execute("DELETE FROM secret WHERE name = ?1", params![name]).map_err(unavailable)?;
    Ok(gone > 0)
}

fn record(row: &Row<'_>) -> rusqlite::Result<Record> {
    Ok(Record {
        kind: row.get(0)?,
        key: row.get(1)?,
        version: unsigned(row, 2)?,
        body: row.get(3)?,
        deleted: row.get(4)?,
        author: row.get(5)?,
        reason: row.get(6)?,
        at_secs: unsigned(row, 7)?,
    })
}

fn unsigned(row: &Row<'_>, column: usize) -> rusqlite::Result<u64> {
    let number: i64 = row.get(column)?;
    u64::try_from(number).map_err(|_| rusqlite::Error::IntegralValueOutOfRange(column, number))
}

fn signed(number: u64) -> Result<i64, StoreError> {
    i64::try_from(number).map_err(|_| StoreError::Invalid("the number is out of range"))
}

/// Where a rotation keeps the new key until the store is sealed under it.
fn next(key_path: &Path) -> PathBuf {
    let mut name = key_path.as_os_str().to_owned();
    name.push(".next");
    name.into()
}

/// Puts the new key in the old one's place.
fn replace(from: &Path, to: &Path) -> Result<(), StoreError> {
    let failed = |error| StoreError::Unavailable(format!("`{}`: {error}", to.display()));
    match fs::rename(from, to) {
        // Another opening has done it.
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(()),
        done => done.map_err(failed)?,
    }
    let directory = to.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    fs::File::open(directory).and_then(|directory| directory.sync_all()).map_err(failed)
}
