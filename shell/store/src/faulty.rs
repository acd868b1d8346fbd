//! A store that fails on purpose, the same way for the same seed.

use std::sync::atomic::{AtomicU64, Ordering};

use zeroize::Zeroizing;

use crate::contract::{Note, Record, SecretInfo, Store, StoreError, Write};

/// Wraps a store and makes some of its operations fail: before they happen, or, worse, after they did, so that the write
/// landed and the caller saw an error. Which ones follows from the seed and the number of the operation alone.
pub struct FaultyStore {
    inner: Box<dyn Store>,
    seed: u64,
    one_in: u64,
    operations: AtomicU64,
}

enum Fate {
    Fine,
    Before,
    After,
}

impl FaultyStore {
    /// Breaks one in `one_in` operations of `inner`; none, if that is 0.
    pub fn new(inner: Box<dyn Store>, seed: u64, one_in: u64) -> Self {
        Self { inner, seed, one_in, operations: AtomicU64::new(0) }
    }

    fn fate(&self) -> Fate {
        let n = self.operations.fetch_add(1, Ordering::Relaxed);
        let drawn = splitmix(self.seed.wrapping_add(splitmix(n)));
        match drawn.checked_rem(self.one_in) {
            Some(0) if drawn & (1 << 63) == 0 => Fate::Before,
            Some(0) => Fate::After,
            _ => Fate::Fine,
        }
    }

    fn run<T>(&self, operation: impl FnOnce(&dyn Store) -> Result<T, StoreError>) -> Result<T, StoreError> {
        let fault = || Err(StoreError::Unavailable("injected".to_owned()));
        match self.fate() {
            Fate::Fine => operation(&*self.inner),
            Fate::Before => fault(),
            Fate::After => {
                operation(&*self.inner)?;
                fault()
            }
        }
    }
}

/// SplitMix64: one step of a small generator (Steele, Lea, Flood 2014).
fn splitmix(n: u64) -> u64 {
    let mut z = n.wrapping_add(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

impl Store for FaultyStore {
    fn put(&self, kind: &str, key: &str, expected: Option<u64>, body: &[u8], note: Note<'_>) -> Result<u64, StoreError> {
        self.run(|store| store.put(kind, key, expected, body, note))
    }

    fn put_all(&self, writes: &[Write<'_>], note: Note<'_>) -> Result<Vec<u64>, StoreError> {
        self.run(|store| store.put_all(writes, note))
    }

    fn delete(&self, kind: &str, key: &str, expected: u64, note: Note<'_>) -> Result<u64, StoreError> {
        self.run(|store| store.delete(kind, key, expected, note))
    }

    fn get(&self, kind: &str, key: &str) -> Result<Option<Record>, StoreError> {
        self.run(|store| store.get(kind, key))
    }

    fn history(&self, kind: &str, key: &str) -> Result<Vec<Record>, StoreError> {
        self.run(|store| store.history(kind, key))
    }

    fn versions(&self, kind: &str, key: &str, before: u64, count: usize) -> Result<Vec<Record>, StoreError> {
        self.run(|store| store.versions(kind, key, before, count))
    }

    fn list(&self, kind: &str) -> Result<Vec<Record>, StoreError> {
        self.run(|store| store.list(kind))
    }

    fn page(&self, kind: &str, before: Option<&str>, count: usize) -> Result<Vec<Record>, StoreError> {
        self.run(|store| store.page(kind, before, count))
    }

    fn secret_put(&self, name: &str, value: &Zeroizing<Vec<u8>>, now_secs: u64) -> Result<(), StoreError> {
        self.run(|store| store.secret_put(name, value, now_secs))
    }

    fn secret_get(&self, name: &str) -> Result<Option<Zeroizing<Vec<u8>>>, StoreError> {
        self.run(|store| store.secret_get(name))
    }

    fn secret_list(&self) -> Result<Vec<SecretInfo>, StoreError> {
        self.run(|store| store.secret_list())
    }

    fn secret_delete(&self, name: &str) -> Result<bool, StoreError> {
        self.run(|store| store.secret_delete(name))
    }
}
