//! The journal through its public face, on real files.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test's helpers fail as its assertions do")]

mod attachments;
mod audit;
mod erasing;
mod kill;
mod lifecycle;
mod outside;
mod reading;

use std::path::Path;
use std::process::{Child, Command};
use std::sync::{PoisonError, RwLock, RwLockReadGuard};

use remit_journal::{Journal, OpenError, Options, Recovery, SigningKey};

/// Between its fork and its exec a child holds whatever locks this process holds: a journal that was closed meanwhile looks as if it were open.
static CHILDREN: RwLock<()> = RwLock::new(());

/// Starts a child while nobody opens or verifies a journal.
fn spawn(command: &mut Command) -> Child {
    let _alone = CHILDREN.write().unwrap_or_else(PoisonError::into_inner);
    command.spawn().unwrap()
}

/// No child is between its fork and its exec as long as this lives.
fn no_child_starts() -> RwLockReadGuard<'static, ()> {
    CHILDREN.read().unwrap_or_else(PoisonError::into_inner)
}

/// A key that is always the same.
fn key() -> SigningKey {
    SigningKey::from_seed(&[9; 32])
}

fn vkey() -> String {
    key().verifier_key("test.example/log").unwrap()
}

/// Small segments, so that a test rotates.
fn options(dir: &Path) -> Options {
    Options { segment_bytes: 16 * 1024, reserve_bytes: 4096, ..Options::new(dir, "test.example/log") }
}

/// Opens the journal and gives what was replayed.
fn open(dir: &Path) -> Result<(Journal, Recovery, Vec<Vec<u8>>), OpenError> {
    let _guard = no_child_starts();
    let mut replayed = Vec::new();
    let (journal, recovery) = Journal::open(options(dir), key(), |index, entry| {
        assert_eq!(index, replayed.len() as u64);
        replayed.push(entry.to_vec());
    })?;
    Ok((journal, recovery, replayed))
}

fn entry(number: u64) -> Vec<u8> {
    format!("{{\"entry\":{number},\"text\":\"{}\"}}", "x".repeat(usize::try_from(number % 300).unwrap())).into_bytes()
}

/// Writes the entries of `numbers`, one batch each.
fn write(journal: &Journal, numbers: std::ops::Range<u64>) {
    for number in numbers {
        let appended = journal.append(entry(number)).wait().unwrap();
        assert_eq!((appended.index, appended.tree_size), (number, number + 1));
    }
}

/// The segments of a closed journal that are in use, in order.
fn segments(dir: &Path) -> Vec<std::path::PathBuf> {
    let mut paths: Vec<_> = std::fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path()).collect();
    paths.retain(|path| path.extension().is_some_and(|extension| extension == "segment"));
    paths.retain(|path| std::fs::read(path).unwrap().iter().any(|byte| *byte != 0));
    paths.sort();
    paths
}

fn change(path: &Path, change: impl FnOnce(&mut Vec<u8>)) {
    let mut bytes = std::fs::read(path).unwrap();
    change(&mut bytes);
    std::fs::write(path, bytes).unwrap();
}

fn find(bytes: &[u8], needle: &[u8]) -> usize {
    bytes.windows(needle.len()).position(|window| window == needle).unwrap()
}
