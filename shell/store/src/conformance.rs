//! One suite for every store.

use std::sync::Barrier;

use zeroize::Zeroizing;

use crate::contract::{Note, Record, SecretInfo, Store, StoreError, Write};

/// How often an operation is tried while the store is unavailable.
const TRIES_MAX: usize = 100;
const AUTHOR: &str = "conformance";

/// Holds a store to its contract. Each call of `make` must open the same store once more; it is empty at first. A store that
/// is unavailable now and then passes too, if what it does then is what the contract allows. The error says what is broken.
pub fn conformance(make: impl Fn() -> Box<dyn Store>) -> Result<(), String> {
    let open = || Steady(make());
    versions(&open()).map_err(|error| format!("versions: {error}"))?;
    conflicts(&open()).map_err(|error| format!("conflicts: {error}"))?;
    together(&open()).map_err(|error| format!("writes together: {error}"))?;
    tombstones(&open()).map_err(|error| format!("tombstones: {error}"))?;
    lists(&open()).map_err(|error| format!("lists: {error}"))?;
    limits(&open()).map_err(|error| format!("limits: {error}"))?;
    secrets(&open()).map_err(|error| format!("secrets: {error}"))?;
    reopened(&open).map_err(|error| format!("reopening: {error}"))?;
    race(&open(), None).map_err(|error| format!("race of threads: {error}"))?;
    race(&open(), Some(&open())).map_err(|error| format!("race of two openings: {error}"))
}

/// Tries again while the store is unavailable, and finds out by reading whether a write landed.
struct Steady(Box<dyn Store>);

impl Steady {
    fn tried<T>(&self, operation: impl Fn(&dyn Store) -> Result<T, StoreError>) -> Result<T, StoreError> {
        let mut last = operation(&*self.0);
        for _ in 0..TRIES_MAX {
            if !matches!(last, Err(StoreError::Unavailable(_))) {
                break;
            }
            last = operation(&*self.0);
        }
        last
    }

    fn put(&self, kind: &str, key: &str, expected: Option<u64>, body: &[u8]) -> Result<u64, StoreError> {
        let mine = |record: &&Record| record.body == body && !record.deleted && Some(record.version) > expected;
        let mut uncertain = false;
        for _ in 0..TRIES_MAX {
            match self.0.put(kind, key, expected, body, note(1)) {
                Err(StoreError::Unavailable(_)) => uncertain = true,
                Err(error @ StoreError::Conflict { .. }) if uncertain => {
                    let history = self.history(kind, key)?;
                    return history.iter().find(mine).map(|record| record.version).ok_or(error);
                }
                done => return done,
            }
        }
        Err(StoreError::Unavailable("it never recovered".to_owned()))
    }

    fn delete(&self, kind: &str, key: &str, expected: u64) -> Result<u64, StoreError> {
        let mut uncertain = false;
        for _ in 0..TRIES_MAX {
            match self.0.delete(kind, key, expected, note(2)) {
                Err(StoreError::Unavailable(_)) => uncertain = true,
                Err(error @ StoreError::Conflict { .. }) if uncertain => {
                    let history = self.history(kind, key)?;
                    let mine = history.iter().find(|record| record.deleted && record.version > expected);
                    return mine.map(|record| record.version).ok_or(error);
                }
                done => return done,
            }
        }
        Err(StoreError::Unavailable("it never recovered".to_owned()))
    }

    fn get(&self, kind: &str, key: &str) -> Result<Option<Record>, StoreError> {
        self.tried(|store| store.get(kind, key))
    }

    fn history(&self, kind: &str, key: &str) -> Result<Vec<Record>, StoreError> {
        self.tried(|store| store.history(kind, key))
    }
}

fn note(now_secs: u64) -> Note<'static> {
    Note { author: AUTHOR, reason: "to see", now_secs }
}

fn check(holds: bool, what: &str) -> Result<(), String> {
    if holds { Ok(()) } else { Err(what.to_owned()) }
}

fn text<T>(result: Result<T, StoreError>) -> Result<T, String> {
    result.map_err(|error| error.to_string())
}

fn versions(store: &Steady) -> Result<(), String> {
    check(text(store.get("v", "k"))?.is_none(), "a key that was never written has no record")?;
    check(text(store.history("v", "k"))?.is_empty(), "and no history")?;
    check(text(store.put("v", "k", None, b"one"))? == 1, "the first version is 1")?;
    check(text(store.put("v", "k", Some(1), b"two\0\xff"))? == 2, "the next is 2")?;
    let record = text(store.get("v", "k"))?.ok_or("a record that was written is there")?;
    check(record.version == 2 && record.body == b"two\0\xff", "the newest version is current, byte for byte")?;
    check(record.author == AUTHOR && record.reason == "to see" && record.at_secs == 1, "it keeps author, reason and time")?;
    let history = text(store.history("v", "k"))?;
    let bodies: Vec<&[u8]> = history.iter().map(|record| record.body.as_slice()).collect();
    check(bodies == [b"one".as_slice(), b"two\0\xff"], "history has every version, the oldest first")?;
    check(text(store.put("v", "empty", None, b""))? == 1, "an empty body is a body")?;
    check(text(store.get("v", "empty"))?.is_some_and(|record| !record.deleted), "and no tombstone")
}

fn conflicts(store: &Steady) -> Result<(), String> {
    let conflict = |result: Result<u64, StoreError>, actual: Option<u64>| matches!(result, Err(StoreError::Conflict { actual: found, .. }) if found == actual);
    check(conflict(store.put("c", "k", Some(1), b"x"), None), "a version is expected of nothing")?;
    text(store.put("c", "k", None, b"one"))?;
    check(conflict(store.put("c", "k", None, b"x"), Some(1)), "nothing is expected of a version")?;
    check(conflict(store.put("c", "k", Some(2), b"x"), Some(1)), "a version of the future is expected")?;
    text(store.put("c", "k", Some(1), b"two"))?;
    check(conflict(store.put("c", "k", Some(1), b"x"), Some(2)), "a version of the past is expected")?;
    check(conflict(store.delete("c", "k", 1), Some(2)), "a deletion expects the past")?;
    check(text(store.history("c", "k"))?.len() == 2, "a conflict writes nothing")
}

fn together(store: &Steady) -> Result<(), String> {
    let write = |key: &'static str, expected: Option<u64>| Write { kind: "p", key, expected, body: key.as_bytes() };
    let put_all = |writes: &[Write<'_>]| {
        let mut uncertain = false;
        for _ in 0..TRIES_MAX {
            match store.0.put_all(writes, note(3)) {
                Err(StoreError::Unavailable(_)) => uncertain = true,
                // It may have landed: then every one of them did.
                Err(StoreError::Conflict { .. }) if uncertain => {
                    let landed = |write: &Write<'_>| {
                        let record = store.get(write.kind, write.key)?;
                        Ok(record.filter(|record| record.body == write.body).map(|record| record.version).unwrap_or_default())
                    };
                    return writes.iter().map(landed).collect();
                }
                done => return done,
            }
        }
        Err(StoreError::Unavailable("it never recovered".to_owned()))
    };
    check(text(put_all(&[write("a", None), write("b", None)]))? == [1, 1], "both are written")?;
    let refused = |writes: &[Write<'_>]| store.tried(|store| store.put_all(writes, note(3))).is_err();
    check(refused(&[write("c", None), write("a", None)]), "one that conflicts keeps all from being written")?;
    check(refused(&[write("c", None), write("", None)]), "so does one that is invalid")?;
    check(refused(&[write("c", None), write("c", None)]), "and one place named twice")?;
    check(text(store.history("p", "c"))?.is_empty(), "then none is there")?;
    check(text(put_all(&[write("a", Some(1)), write("c", None)]))? == [2, 1], "each has its own version")?;
    text(store.put("p", "a", Some(2), b"three"))?;
    let newest = text(store.tried(|store| store.versions("p", "a", u64::MAX, 2)))?;
    check(newest.iter().map(|record| record.version).eq([3, 2]), "the newest versions come first, so many as are asked for")?;
    let older = text(store.tried(|store| store.versions("p", "a", 3, 10)))?;
    check(older.iter().map(|record| record.version).eq([2, 1]), "and those below a version")
}

fn tombstones(store: &Steady) -> Result<(), String> {
    text(store.put("t", "k", None, b"one"))?;
    check(text(store.delete("t", "k", 1))? == 2, "a tombstone is the next version")?;
    check(text(store.get("t", "k"))?.is_none(), "what was deleted is not current")?;
    check(store.delete("t", "k", 2).is_err(), "what was deleted can't be deleted again")?;
    check(
        matches!(store.put("t", "k", Some(2), b"x"), Err(StoreError::Conflict { actual: None, .. })),
        "a tombstone is no live version",
    )?;
    check(text(store.put("t", "k", None, b"three"))? == 3, "versions go on after a tombstone")?;
    let history = text(store.history("t", "k"))?;
    let deleted: Vec<bool> = history.iter().map(|record| record.deleted).collect();
    check(deleted == [false, true, false], "history keeps the tombstone")
}

fn lists(store: &Steady) -> Result<(), String> {
    for key in ["b", "a", "c", "ä", "A"] {
        text(store.put("l", key, None, key.as_bytes()))?;
    }
    text(store.put("l", "b", Some(1), b"b2"))?;
    text(store.delete("l", "c", 1))?;
    text(store.put("l2", "other", None, b""))?;
    let listed = text(store.tried(|store| store.list("l")))?;
    let keys: Vec<(&str, u64)> = listed.iter().map(|record| (record.key.as_str(), record.version)).collect();
    check(
        keys == [("A", 1), ("a", 1), ("b", 2), ("ä", 1)],
        "a list has the current versions of one kind, by key, in byte order",
    )?;
    check(text(store.tried(|store| store.list("none")))?.is_empty(), "an unknown kind is empty")
}

fn limits(store: &Steady) -> Result<(), String> {
    let invalid = |result: Result<u64, StoreError>| matches!(result, Err(StoreError::Invalid(_)));
    check(invalid(store.put("", "k", None, b"")), "an empty kind is refused")?;
    check(invalid(store.put("m", "", None, b"")), "an empty key is refused")?;
    check(invalid(store.put("m", &"x".repeat(513), None, b"")), "a long key is refused")?;
    check(text(store.put("m", &"x".repeat(512), None, b""))? == 1, "the longest key is accepted")?;
    let named = |name: &str| store.tried(|store| store.secret_put(name, &Zeroizing::new(vec![1]), 1));
    check(matches!(named("a/b"), Err(StoreError::Invalid(_))), "an unfit name of a secret is refused")?;
    let large = store.tried(|store| store.secret_put("large", &Zeroizing::new(vec![1; 64 * 1024 + 1]), 1));
    check(matches!(large, Err(StoreError::Invalid(_))), "a large secret is refused")
}

fn secrets(store: &Steady) -> Result<(), String> {
    let get = |name: &str| text(store.tried(|store| store.secret_get(name)));
    let put = |name: &str, value: &[u8], at: u64| {
        text(store.tried(|store| store.secret_put(name, &Zeroizing::new(value.to_vec()), at)))
    };
    check(get("token")?.is_none(), "an unknown secret is none")?;
    put("token", b"first", 10)?;
    put("token", b"\0second\xff", 20)?;
    put("empty", b"", 30)?;
    check(get("token")?.is_some_and(|value| value.as_slice() == b"\0second\xff"), "the last value counts, byte for byte")?;
    check(get("empty")?.is_some_and(|value| value.is_empty()), "an empty secret is a secret")?;
    let listed = text(store.tried(|store| store.secret_list()))?;
    let info =
        |name: &str, created_at_secs, updated_at_secs| SecretInfo { name: name.to_owned(), created_at_secs, updated_at_secs };
    check(listed == [info("empty", 30, 30), info("token", 10, 20)], "the list tells names and ages")?;
    text(store.tried(|store| store.secret_delete("token")))?;
    check(get("token")?.is_none(), "a removed secret is gone")?;
    check(!text(store.tried(|store| store.secret_delete("token")))?, "and can't be removed again")
}

fn reopened(open: &impl Fn() -> Steady) -> Result<(), String> {
    let first = open();
    text(first.put("r", "k", None, b"one"))?;
    text(first.tried(|store| store.secret_put("kept", &Zeroizing::new(b"secret".to_vec()), 1)))?;
    let second = open();
    check(text(second.get("r", "k"))?.is_some_and(|record| record.body == b"one"), "a second opening sees what was written")?;
    text(second.put("r", "k", Some(1), b"two"))?;
    check(text(first.get("r", "k"))?.is_some_and(|record| record.version == 2), "the first opening sees it too")?;
    check(first.put("r", "k", Some(1), b"x").is_err(), "and conflicts with it")?;
    drop((first, second));
    let third = open();
    check(text(third.history("r", "k"))?.len() == 2, "what was written outlives the opening")?;
    let secret = text(third.tried(|store| store.secret_get("kept")))?;
    check(secret.is_some_and(|secret| secret.as_slice() == b"secret"), "so does a secret")
}

/// Eight threads write one key at the same version, again and again: exactly one wins each time.
fn race(store: &Steady, other: Option<&Steady>) -> Result<(), String> {
    const THREADS: usize = 8;
    let key = if other.is_some() { "two" } else { "one" };
    for round in 0..5_u64 {
        let expected = (round > 0).then_some(round);
        let barrier = Barrier::new(THREADS);
        let results: Vec<Result<u64, StoreError>> = std::thread::scope(|scope| {
            let threads: Vec<_> = (0..THREADS)
                .map(|n| {
                    let store = if n % 2 == 0 { store } else { other.unwrap_or(store) };
                    let barrier = &barrier;
                    scope.spawn(move || {
                        barrier.wait();
                        store.put("race", key, expected, format!("{round}/{n}").as_bytes())
                    })
                })
                .collect();
            let lost = || Err(StoreError::Unavailable("a thread died".to_owned()));
            threads.into_iter().map(|thread| thread.join().unwrap_or_else(|_| lost())).collect()
        });
        let won = results.iter().filter(|result| **result == Ok(round + 1)).count();
        let lost = results.iter().filter(|result| matches!(result, Err(StoreError::Conflict { .. }))).count();
        check(won == 1 && lost == THREADS - 1, &format!("exactly one writer wins, and the others conflict: {results:?}"))?;
    }
    let versions: Vec<u64> = text(store.history("race", key))?.iter().map(|record| record.version).collect();
    check(versions == [1, 2, 3, 4, 5], "no version is lost or made twice")
}
