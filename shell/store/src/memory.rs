//! A store in memory, for tests and trials. Clones share one content.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard};

use zeroize::Zeroizing;

use crate::contract::{
    Note, Record, SecretInfo, Store, StoreError, Write, check_name, check_place, check_put, check_put_all, check_secret,
};

/// A store in memory. A clone is another opening of the same store.
#[derive(Clone, Default)]
pub struct MemoryStore(Arc<Mutex<Content>>);

#[derive(Default)]
struct Content {
    records: BTreeMap<(String, String), Vec<Record>>,
    secrets: BTreeMap<String, (SecretInfo, Zeroizing<Vec<u8>>)>,
}

impl MemoryStore {
    /// An empty store.
    pub fn new() -> Self {
        Self::default()
    }

    fn content(&self) -> MutexGuard<'_, Content> {
        // Every change is made in one step, so a panic elsewhere leaves nothing half done.
        self.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    fn write(&self, place: (&str, &str), expected: Option<u64>, body: Option<&[u8]>, note: Note<'_>) -> Result<u64, StoreError> {
        let (kind, key) = place;
        check_put(kind, key, body.unwrap_or_default(), note)?;
        let mut content = self.content();
        content.expect(place, expected)?;
        Ok(content.push(place, body, note))
    }
}

impl Content {
    fn expect(&self, place: (&str, &str), expected: Option<u64>) -> Result<(), StoreError> {
        let (kind, key) = (place.0.to_owned(), place.1.to_owned());
        let place = (kind, key);
        let last = self.records.get(&place).and_then(|versions| versions.last());
        let actual = last.filter(|last| !last.deleted).map(|last| last.version);
        let (kind, key) = place;
        if actual == expected { Ok(()) } else { Err(StoreError::Conflict { kind, key, expected, actual }) }
    }

    fn push(&mut self, (kind, key): (&str, &str), body: Option<&[u8]>, note: Note<'_>) -> u64 {
        let versions = self.records.entry((kind.to_owned(), key.to_owned())).or_default();
        let version = versions.last().map_or(0, |last| last.version) + 1;
        versions.push(Record::new((kind, key), version, body, note));
        version
    }
}

impl Store for MemoryStore {
    fn put(&self, kind: &str, key: &str, expected: Option<u64>, body: &[u8], note: Note<'_>) -> Result<u64, StoreError> {
        self.write((kind, key), expected, Some(body), note)
    }

    fn put_all(&self, writes: &[Write<'_>], note: Note<'_>) -> Result<Vec<u64>, StoreError> {
        check_put_all(writes, note)?;
        let mut content = self.content();
        for write in writes {
            content.expect((write.kind, write.key), write.expected)?;
        }
        Ok(writes.iter().map(|write| content.push((write.kind, write.key), Some(write.body), note)).collect())
    }

    fn delete(&self, kind: &str, key: &str, expected: u64, note: Note<'_>) -> Result<u64, StoreError> {
        self.write((kind, key), Some(expected), None, note)
    }

    fn get(&self, kind: &str, key: &str) -> Result<Option<Record>, StoreError> {
        let last = self.history(kind, key)?.pop();
        Ok(last.filter(|last| !last.deleted))
    }

    fn history(&self, kind: &str, key: &str) -> Result<Vec<Record>, StoreError> {
        check_place(kind, key)?;
        Ok(self.content().records.get(&(kind.to_owned(), key.to_owned())).cloned().unwrap_or_default())
    }

    fn versions(&self, kind: &str, key: &str, before: u64, count: usize) -> Result<Vec<Record>, StoreError> {
        let below = self.history(kind, key)?.into_iter().rev().filter(|record| record.version < before);
        Ok(below.take(count).collect())
    }

    fn list(&self, kind: &str) -> Result<Vec<Record>, StoreError> {
        check_place(kind, "-")?;
        let content = self.content();
        let last = content.records.iter().filter(|((of, _), _)| of == kind).filter_map(|(_, versions)| versions.last());
        Ok(last.filter(|last| !last.deleted).cloned().collect())
    }

    fn page(&self, kind: &str, before: Option<&str>, count: usize) -> Result<Vec<Record>, StoreError> {
        let mut all = self.list(kind)?;
        all.retain(|record| before.is_none_or(|before| *record.key < *before));
        all.reverse();
        all.truncate(count);
        Ok(all)
    }

    fn secret_put(&self, name: &str, value: &Zeroizing<Vec<u8>>, now_secs: u64) -> Result<(), StoreError> {
        check_secret(name, value, now_secs)?;
        let mut content = self.content();
        let created_at_secs = content.secrets.get(name).map_or(now_secs, |(info, _)| info.created_at_secs);
        let info = SecretInfo { name: name.to_owned(), created_at_secs, updated_at_secs: now_secs };
        content.secrets.insert(name.to_owned(), (info, value.clone()));
        Ok(())
    }

    fn secret_get(&self, name: &str) -> Result<Option<Zeroizing<Vec<u8>>>, StoreError> {
        check_name(name)?;
        Ok(self.content().secrets.get(name).map(|(_, value)| value.clone()))
    }

    fn secret_list(&self) -> Result<Vec<SecretInfo>, StoreError> {
        Ok(self.content().secrets.values().map(|(info, _)| info.clone()).collect())
    }

    fn secret_delete(&self, name: &str) -> Result<bool, StoreError> {
        check_name(name)?;
        Ok(self.content().secrets.remove(name).is_some())
    }
}
