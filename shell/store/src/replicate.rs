//! One store on several nodes: what the active one shares of each write, and how the others take it over.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use rusqlite::Transaction;
use serde::{Deserialize, Serialize};
use std::sync::Arc;

use crate::contract::{Record, StoreError, check_name};
use crate::sqlite::{record_at, record_insert, secret_insert, secret_remove, unavailable};

/// Where other nodes have each change from. It is asked before a change is committed here.
pub trait Replicate: Send + Sync {
    /// Puts the change there for good, and then commits it here. It may be there after an error, too: the store takes no further write then.
    fn replicate(&self, change: &[u8], commit: &mut dyn FnMut() -> Result<(), StoreError>) -> Result<(), StoreError>;
}

/// How a store shares its changes.
#[derive(Default)]
pub(crate) struct Shared {
    pub(crate) replicate: Option<Arc<dyn Replicate>>,
    /// A change is elsewhere and may not be here: whatever is written now would not go on from it.
    apart: bool,
}

impl Shared {
    /// Shares what a transaction did, if it is to be, and commits it.
    pub(crate) fn commit(&mut self, transaction: Transaction<'_>, change: impl FnOnce() -> Change) -> Result<(), StoreError> {
        let Some(replicate) = &self.replicate else { return transaction.commit().map_err(unavailable) };
        if self.apart {
            let why = "an earlier write could not be shared with the other nodes: this one has to be started again";
            return Err(StoreError::Unavailable(why.to_owned()));
        }
        let bytes = change().encode()?;
        self.apart = true;
        let mut transaction = Some(transaction);
        replicate.replicate(&bytes, &mut || {
            transaction.take().map_or(Ok(()), |transaction| transaction.commit().map_err(unavailable))
        })?;
        self.apart = false;
        Ok(())
    }
}

/// What one write did. Secrets are in it as they are in the file: sealed under the master key, which all nodes have.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Change {
    Records(Vec<Record>),
    SecretPut { name: String, sealed: Vec<u8>, at_secs: u64 },
    SecretDelete { name: String },
}

#[derive(Serialize, Deserialize)]
#[serde(tag = "change", rename_all = "snake_case", deny_unknown_fields)]
enum Text {
    Records { records: Vec<RecordText> },
    SecretPut { name: String, sealed: String, at_secs: u64 },
    SecretDelete { name: String },
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct RecordText {
    kind: String,
    key: String,
    version: u64,
    body: String,
    deleted: bool,
    author: String,
    reason: String,
    at_secs: u64,
}

impl Change {
    fn encode(self) -> Result<Vec<u8>, StoreError> {
        let text = match self {
            Self::Records(records) => Text::Records { records: records.into_iter().map(RecordText::of).collect() },
            Self::SecretPut { name, sealed, at_secs } => Text::SecretPut { name, sealed: STANDARD.encode(sealed), at_secs },
            Self::SecretDelete { name } => Text::SecretDelete { name },
        };
        serde_json::to_vec(&text).map_err(|error| StoreError::Unavailable(error.to_string()))
    }

    pub(crate) fn parse(bytes: &[u8]) -> Result<Self, StoreError> {
        let fault =
            |what: &dyn std::fmt::Display| StoreError::Unavailable(format!("a change of another node can't be read: {what}"));
        let decode = |text: &str| STANDARD.decode(text).map_err(|error| fault(&error));
        Ok(match serde_json::from_slice(bytes).map_err(|error| fault(&error))? {
            Text::Records { records } => {
                let records = records.into_iter().map(|record| {
                    let RecordText { kind, key, version, body, deleted, author, reason, at_secs } = record;
                    Ok(Record { kind, key, version, body: decode(&body)?, deleted, author, reason, at_secs })
                });
                Self::Records(records.collect::<Result<_, StoreError>>()?)
            }
            Text::SecretPut { name, sealed, at_secs } => {
                check_name(&name)?;
                Self::SecretPut { name, sealed: decode(&sealed)?, at_secs }
            }
            Text::SecretDelete { name } => Self::SecretDelete { name },
        })
    }

    pub(crate) fn apply(&self, transaction: &Transaction<'_>) -> Result<(), StoreError> {
        match self {
            Self::Records(records) => records.iter().try_for_each(|record| match record_at(transaction, record)? {
                None => record_insert(transaction, record),
                Some(here) if here == *record => Ok(()),
                Some(_) => {
                    let Record { kind, key, version, .. } = record;
                    let what = format!("version {version} of `{kind}/{key}` is here already and says something else");
                    Err(StoreError::Unavailable(what))
                }
            }),
            Self::SecretPut { name, sealed, at_secs } => secret_insert(transaction, name, sealed, *at_secs),
            Self::SecretDelete { name } => secret_remove(transaction, name).map(drop),
        }
    }
}

impl RecordText {
    fn of(record: Record) -> Self {
        let Record { kind, key, version, body, deleted, author, reason, at_secs } = record;
        Self { kind, key, version, body: STANDARD.encode(body), deleted, author, reason, at_secs }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use zeroize::Zeroizing;

    use super::*;
    use crate::{MasterKey, Note, SqliteStore, Store as _, Write, conformance};

    #[derive(Default)]
    struct Sent(Mutex<(Vec<Vec<u8>>, bool)>);

    impl Replicate for Sent {
        fn replicate(&self, change: &[u8], commit: &mut dyn FnMut() -> Result<(), StoreError>) -> Result<(), StoreError> {
            let mut sent = self.0.lock().unwrap();
            if sent.1 {
                return Err(StoreError::Unavailable("the bucket is away".to_owned()));
            }
            sent.0.push(change.to_vec());
            commit()
        }
    }

    fn key() -> MasterKey {
        MasterKey::from_base64("BwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwc=").unwrap()
    }

    const NOTE: Note<'_> = Note { author: "ana", reason: "a test", now_secs: 7 };

    #[test]
    fn another_node_has_what_this_one_wrote() {
        let dir = tempfile::tempdir().unwrap();
        let open = |name: &str| SqliteStore::open(&dir.path().join(name), key()).unwrap();
        let (here, there, sent) = (open("here"), open("there"), Arc::new(Sent::default()));
        here.replicate(Arc::clone(&sent) as _);
        here.put("pin", "a", None, b"one", NOTE).unwrap();
        here.put("pin", "a", Some(1), b"two", NOTE).unwrap();
        let write = |key, body| Write { kind: "pin", key, expected: None, body };
        here.put_all(&[write("b", b"1"), write("c", b"2")], NOTE).unwrap();
        here.delete("pin", "b", 1, NOTE).unwrap();
        here.secret_put("token", &Zeroizing::new(b"hidden".to_vec()), 9).unwrap();
        here.secret_put("gone", &Zeroizing::new(b"hidden".to_vec()), 9).unwrap();
        here.secret_delete("gone").unwrap();
        let changes = sent.0.lock().unwrap().0.clone();
        // Some of it comes twice, as after a start.
        for change in changes.iter().take(3).chain(&changes) {
            there.apply(change).unwrap();
        }
        assert_eq!(there.list("pin").unwrap(), here.list("pin").unwrap());
        assert_eq!(there.history("pin", "a").unwrap(), here.history("pin", "a").unwrap());
        assert_eq!(there.secret_get("token").unwrap().unwrap().as_slice(), b"hidden");
        assert!(there.secret_get("gone").unwrap().is_none());
        assert!(changes.iter().all(|change| !change.windows(6).any(|part| part == b"hidden")));
        // A node that wrote by itself isn't brought to something else silently.
        let apart = open("apart");
        apart.put("pin", "a", None, b"mine", NOTE).unwrap();
        assert!(apart.apply(changes.first().unwrap()).unwrap_err().to_string().contains("says something else"));
        assert!(apart.apply(b"{}").is_err());
    }

    #[test]
    fn what_could_not_be_shared_is_not_here_and_ends_it() {
        let dir = tempfile::tempdir().unwrap();
        let (here, sent) = (SqliteStore::open(&dir.path().join("here"), key()).unwrap(), Arc::new(Sent::default()));
        here.replicate(Arc::clone(&sent) as _);
        sent.0.lock().unwrap().1 = true;
        assert!(here.put("pin", "a", None, b"one", NOTE).is_err());
        sent.0.lock().unwrap().1 = false;
        assert!(here.get("pin", "a").unwrap().is_none());
        assert!(here.put("pin", "a", None, b"one", NOTE).is_err(), "it may be there: only another start tells");
        assert!(here.reseal(key()).is_err());
    }

    #[test]
    fn a_store_that_shares_keeps_its_contract() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("store");
        conformance(|| {
            let store = SqliteStore::open(&path, key()).unwrap();
            store.replicate(Arc::new(Sent::default()));
            Box::new(store)
        })
        .unwrap();
    }
}
