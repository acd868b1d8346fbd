//! The store from outside: the conformance suite over every backend, the file and its key, and a second process.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test's helpers fail as its assertions do"
)]

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::Command;

use remit_store::{FaultyStore, KeyError, MasterKey, MemoryStore, Note, SqliteStore, Store, StoreError, conformance};
use zeroize::Zeroizing;

const NOTE: Note<'static> = Note { author: "anna", reason: "test", now_secs: 7 };

fn key() -> MasterKey {
    MasterKey::generate().unwrap()
}

fn secret(text: &str) -> Zeroizing<Vec<u8>> {
    Zeroizing::new(text.as_bytes().to_vec())
}

fn mode(path: &Path) -> u32 {
    fs::metadata(path).unwrap().permissions().mode() & 0o777
}

#[test]
fn memory_conforms() {
    let store = MemoryStore::new();
    conformance(|| Box::new(store.clone())).unwrap();
}

#[test]
fn sqlite_conforms() {
    let directory = tempfile::tempdir().unwrap();
    let (path, key) = (directory.path().join("remit.db"), key());
    conformance(|| Box::new(SqliteStore::open(&path, key.clone()).unwrap())).unwrap();
}

#[test]
fn what_fails_now_and_then_conforms_whatever_the_seed() {
    for seed in 0..40 {
        let store = MemoryStore::new();
        let told = conformance(|| Box::new(FaultyStore::new(Box::new(store.clone()), seed, 4)));
        assert!(told.is_ok(), "seed {seed}: {told:?}");
    }
    let directory = tempfile::tempdir().unwrap();
    let (path, key) = (directory.path().join("remit.db"), key());
    conformance(|| Box::new(FaultyStore::new(Box::new(SqliteStore::open(&path, key.clone()).unwrap()), 1, 5))).unwrap();
}

#[test]
fn faults_follow_from_the_seed() {
    let told = |seed| {
        let store = FaultyStore::new(Box::new(MemoryStore::new()), seed, 3);
        (0..64).map(|n| store.put("k", &n.to_string(), None, b"", NOTE).is_ok()).collect::<Vec<bool>>()
    };
    assert_eq!(told(1), told(1));
    assert_ne!(told(1), told(2));
}

/// A store that breaks its contract is found out: the suite isn't empty words.
#[test]
fn the_suite_finds_a_store_that_forgets() {
    let told = conformance(|| Box::new(MemoryStore::new()));
    assert!(told.unwrap_err().starts_with("reopening"));
}

#[test]
fn the_file_holds_no_secret_and_is_its_owners() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("remit.db");
    let store = SqliteStore::open(&path, key()).unwrap();
    let needle = "correct horse battery staple";
    for n in 0..50 {
        store.secret_put(&format!("name-{n}"), &secret(needle), n).unwrap();
        store.secret_put(&format!("name-{n}"), &secret(&format!("{needle}{n}")), n).unwrap();
    }
    store.put("configuration", "current", None, b"visible body", NOTE).unwrap();
    let look = || {
        let mut all = Vec::new();
        for entry in fs::read_dir(directory.path()).unwrap() {
            let entry = entry.unwrap();
            assert_eq!(mode(&entry.path()), 0o600, "{:?}", entry.path());
            all.extend(fs::read(entry.path()).unwrap());
        }
        all
    };
    let holds = |all: &[u8], text: &str| all.windows(text.len()).any(|window| window == text.as_bytes());
    let open = look();
    drop(store);
    for all in [open, look()] {
        assert!(!holds(&all, "correct horse"));
        assert!(holds(&all, "name-7"), "the test looks at the right bytes");
        assert!(holds(&all, "visible body"));
    }
}

#[test]
fn a_sealed_value_cannot_be_moved_changed_or_opened_with_another_key() {
    let directory = tempfile::tempdir().unwrap();
    let (path, key) = (directory.path().join("remit.db"), key());
    let store = SqliteStore::open(&path, key.clone()).unwrap();
    store.secret_put("a", &secret("of a"), 1).unwrap();
    store.secret_put("b", &secret("of b"), 1).unwrap();
    let raw = rusqlite::Connection::open(&path).unwrap();
    raw.execute("UPDATE secret SET sealed = (SELECT sealed FROM secret WHERE name = 'a') WHERE name = 'b'", []).unwrap();
    assert_eq!(store.secret_get("b"), Err(StoreError::Sealed("the secret `b`".into())));
    assert_eq!(store.secret_get("a").unwrap().unwrap().as_slice(), b"of a");
    raw.execute("UPDATE secret SET sealed = x'00'", []).unwrap();
    assert!(matches!(store.secret_get("a"), Err(StoreError::Sealed(_))));
    assert!(raw.execute("UPDATE record SET body = x'00'", []).is_ok(), "there is no record yet");
    store.put("k", "k", None, b"", NOTE).unwrap();
    assert!(raw.execute("UPDATE record SET body = x'00'", []).is_err(), "versions never change");
    assert!(raw.execute("DELETE FROM record", []).is_err(), "versions never go away");
    let other = SqliteStore::open(&path, self::key()).err().unwrap();
    assert_eq!(other.to_string(), "the master key does not open this store");
}

#[test]
fn rotation_reseals_everything_and_survives_a_crash_at_each_step() {
    let directory = tempfile::tempdir().unwrap();
    let (path, key_path) = (directory.path().join("remit.db"), directory.path().join("master.key"));
    let next = directory.path().join("master.key.next");
    let store = SqliteStore::open_with_key_file(&path, &key_path).unwrap();
    store.secret_put("a", &secret("kept"), 1).unwrap();
    let stale = SqliteStore::open_with_key_file(&path, &key_path).unwrap();
    let before = fs::read(&key_path).unwrap();
    store.rotate_key_file(&key_path).unwrap();
    assert_ne!(fs::read(&key_path).unwrap(), before);
    assert_eq!((mode(&key_path), next.exists()), (0o600, false));
    assert_eq!(store.secret_get("a").unwrap().unwrap().as_slice(), b"kept");
    assert!(matches!(stale.secret_get("a"), Err(StoreError::Sealed(_))));
    assert!(
        matches!(stale.secret_put("b", &secret("lost"), 1), Err(StoreError::Sealed(_))),
        "nothing is sealed under the old key"
    );
    drop(store);
    // The crash came before the store was resealed: the old key still counts.
    key().create(&next).unwrap();
    assert!(SqliteStore::open_with_key_file(&path, &key_path).is_ok());
    fs::remove_file(&next).unwrap();
    // The crash came after: the new key counts, and takes its place.
    let new = key();
    new.create(&next).unwrap();
    SqliteStore::open(&path, MasterKey::open(&key_path).unwrap()).unwrap().reseal(new).unwrap();
    let store = SqliteStore::open_with_key_file(&path, &key_path).unwrap();
    assert_eq!(store.secret_get("a").unwrap().unwrap().as_slice(), b"kept");
    assert!(!next.exists());
}

#[test]
fn key_files_are_their_owners_alone() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("master.key");
    MasterKey::open_or_create(&path).unwrap();
    let text = fs::read_to_string(&path).unwrap();
    assert_eq!((mode(&path), text.trim().len()), (0o600, 44));
    assert!(MasterKey::from_base64(&text).is_ok());
    assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 1, "no draft is left");
    fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).unwrap();
    let refused = MasterKey::open_or_create(&path).unwrap_err();
    assert!(matches!(refused, KeyError::Mode { mode: 0o640, .. }), "{refused}");
    assert!(refused.to_string().ends_with("has mode 640; only its owner may read it: `chmod 600` it"));
    fs::write(&path, "short").unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
    assert!(matches!(MasterKey::open_or_create(&path), Err(KeyError::Malformed)), "a damaged key is never replaced");
    assert_eq!(format!("{:?}", key()), "MasterKey(redacted)");
}

const CHILD: &str = "REMIT_STORE_TEST_CHILD";

/// What the second process does; nothing when the tests run by themselves.
#[test]
fn child() {
    let Some(path) = std::env::var_os(CHILD) else { return };
    let path = Path::new(&path);
    let store = SqliteStore::open_with_key_file(path, &path.with_extension("key")).unwrap();
    let mut won = 0;
    while won < 100 {
        let version = store.get("count", "er").unwrap().map(|record| record.version);
        match store.put("count", "er", version, b"", NOTE) {
            Ok(_) => won += 1,
            Err(StoreError::Conflict { .. }) => {}
            Err(error) => panic!("{error}"),
        }
    }
    assert_eq!(store.secret_get("shared").unwrap().unwrap().as_slice(), b"between processes");
}

#[test]
fn two_processes_never_lose_a_write() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("remit.db");
    let store = SqliteStore::open_with_key_file(&path, &path.with_extension("key")).unwrap();
    store.secret_put("shared", &secret("between processes"), 1).unwrap();
    let start = || Command::new(std::env::current_exe().unwrap()).args(["--exact", "child"]).env(CHILD, &path).output();
    let outputs = std::thread::scope(|scope| {
        let threads = [scope.spawn(start), scope.spawn(start)];
        threads.map(|thread| thread.join().unwrap().unwrap())
    });
    for output in outputs {
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
    }
    let versions: Vec<u64> = store.history("count", "er").unwrap().iter().map(|record| record.version).collect();
    assert_eq!(versions, (1..=200).collect::<Vec<u64>>());
}
