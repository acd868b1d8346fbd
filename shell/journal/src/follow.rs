//! One log on several nodes: what the active one shares, and how one that stands by takes it over.

use std::fmt::Debug;
use std::sync::Arc;

use remit_tlog::Verifier;

use crate::ENTRY_BYTES_MAX;
use crate::append::Pending;
use crate::files::OsFiles;
use crate::frame::frame_bytes;
use crate::journal::{Options, group_bytes_max, open_log};
use crate::key::SigningKey;
use crate::recover::OpenError;
use crate::segment::SignedCheckpoint;
use crate::writer::Log;

/// Where other nodes have each batch from. It is asked before a batch is written here, so that nothing is here alone that was acknowledged, or
/// that a later start would go on from.
pub trait Replicate: Debug + Send + Sync {
    /// Answers when the batch is there for good. After an error the journal stops, as after a failed flush: the batch may be there or not, and
    /// only another opening, after following what is there, tells.
    fn replicate(&self, first_index: u64, note: &str, entries: &[&[u8]]) -> Result<(), String>;
}

/// Why a batch could not be taken over. The follower must not be used any more.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FollowError {
    /// The batch doesn't begin where this log ends.
    #[error("a batch begins at entry {found}, and this log has {size}")]
    Gap {
        /// Where it begins.
        found: u64,
        /// How many entries this log has.
        size: u64,
    },
    /// The checkpoint isn't that of the tree with these entries, or isn't signed by the log's key.
    #[error("the checkpoint at {size} entries is not one of this log: {what}")]
    Checkpoint {
        /// How many entries it says the tree has.
        size: u64,
        /// What is wrong.
        what: &'static str,
    },
    /// An entry or the batch is larger than this log takes.
    #[error("a batch is larger than a segment of this node takes: give it the segment size of the others")]
    TooLarge,
    /// It could not be written.
    #[error("{0}")]
    Write(String),
}

/// A journal that another node writes: it takes over batches with their checkpoints, byte for byte what the other one has.
pub struct Follower {
    log: Log,
    verifier: Verifier,
    group_bytes_max: usize,
}

impl Debug for Follower {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Follower").field("size", &self.size()).finish_non_exhaustive()
    }
}

impl Follower {
    /// Opens the journal, or creates it. Its lock is held until it is dropped.
    #[expect(clippy::needless_pass_by_value, reason = "as an open journal it owns its key and its options")]
    pub fn open(options: Options, key: SigningKey) -> Result<Self, OpenError> {
        let (log, _, _) = open_log(Arc::new(OsFiles), &options, &key, true, None, &mut |_, _| {})?;
        let verifier = log.signer.verifier().clone();
        let group_bytes_max = group_bytes_max(&options, &log.vkey)?;
        Ok(Self { log, verifier, group_bytes_max })
    }

    /// How many entries there are.
    pub fn size(&self) -> u64 {
        self.log.frontier.size()
    }

    /// Takes over a batch: its checkpoint has to be that of the tree with its entries, signed by the log's key. A batch that is here already is
    /// compared as far as its checkpoint can be.
    pub fn append(&mut self, first_index: u64, note: &str, entries: Vec<Vec<u8>>) -> Result<(), FollowError> {
        let wrong = |size, what| FollowError::Checkpoint { size, what };
        let checkpoint = SignedCheckpoint::parse(note).ok_or_else(|| wrong(first_index, "it can't be read"))?;
        if checkpoint.verify(&self.verifier).is_err() {
            return Err(wrong(checkpoint.size, "its signature does not verify"));
        }
        if first_index + entries.len() as u64 != checkpoint.size {
            return Err(wrong(checkpoint.size, "its size is not that of the batch"));
        }
        let size = self.size();
        if checkpoint.size <= size {
            let same = checkpoint.size < size || checkpoint.root == self.log.frontier.root();
            return if same { Ok(()) } else { Err(wrong(size, "this log has other entries")) };
        }
        if first_index != size {
            return Err(FollowError::Gap { found: first_index, size });
        }
        let bytes = entries.iter().map(|entry| frame_bytes(entry.len())).sum();
        if bytes > self.group_bytes_max || entries.iter().any(|entry| entry.len() > ENTRY_BYTES_MAX) {
            return Err(FollowError::TooLarge);
        }
        let pending: Vec<Pending> = entries.into_iter().map(Pending::new).collect();
        let mut fits = true;
        let written = self.log.write(&pending, bytes, |log, _| {
            fits = log.frontier.root() == checkpoint.root;
            if fits { Ok(checkpoint.clone()) } else { Err(String::new()) }
        });
        match written {
            Ok(_) => Ok(()),
            Err(_) if !fits => Err(wrong(checkpoint.size, "its root is not that of the entries")),
            Err(error) => Err(FollowError::Write(error)),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;
    use std::sync::Mutex;

    use super::*;
    use crate::{Journal, verify};

    type Batch = (u64, String, Vec<Vec<u8>>);

    #[derive(Debug, Default)]
    struct Bucket(Mutex<(Vec<Batch>, bool)>);

    impl Replicate for Bucket {
        fn replicate(&self, first_index: u64, note: &str, entries: &[&[u8]]) -> Result<(), String> {
            let mut bucket = self.0.lock().unwrap();
            if bucket.1 {
                return Err("the bucket is away".to_owned());
            }
            bucket.0.push((first_index, note.to_owned(), entries.iter().map(|entry| entry.to_vec()).collect()));
            Ok(())
        }
    }

    fn key() -> SigningKey {
        SigningKey::from_seed(&[9; 32])
    }

    fn options(dir: &Path, replicate: Option<Arc<dyn Replicate>>) -> Options {
        Options { segment_bytes: 16 * 1024, replicate, ..Options::new(dir, "follow.example/log") }
    }

    #[test]
    fn a_follower_has_the_other_s_log_and_can_write_it_on() {
        let (here, there) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let bucket = Arc::new(Bucket::default());
        let (journal, _) = Journal::open(options(here.path(), Some(Arc::clone(&bucket) as _)), key(), |_, _| {}).unwrap();
        for n in 0..200_u32 {
            journal.append(format!("entry {n} {}", "x".repeat(100)).into_bytes()).wait().unwrap();
        }
        let checkpoint = journal.checkpoint();
        let batches = bucket.0.lock().unwrap().0.clone();
        let mut follower = Follower::open(options(there.path(), None), key()).unwrap();
        for (first, note, entries) in batches.iter().take(150) {
            follower.append(*first, note, entries.clone()).unwrap();
        }
        // It starts again, and is told some of it again.
        drop(follower);
        let mut follower = Follower::open(options(there.path(), None), key()).unwrap();
        for (first, note, entries) in batches.iter().skip(100) {
            follower.append(*first, note, entries.clone()).unwrap();
        }
        drop(follower);
        let (mut read, mut other) = (Vec::new(), Vec::new());
        let (next, _) = Journal::open(options(there.path(), None), key(), |_, entry| read.push(entry.to_vec())).unwrap();
        assert_eq!(next.checkpoint(), checkpoint);
        next.append(b"on".to_vec()).wait().unwrap();
        next.close();
        journal.close();
        drop(Journal::open(options(here.path(), None), key(), |_, entry| other.push(entry.to_vec())).unwrap());
        assert_eq!(read, other);
        let vkey = key().verifier_key("follow.example/log").unwrap();
        let report = verify(there.path(), &vkey, |_, _| {}, |_, _| {}).unwrap();
        assert_eq!((report.entries, report.findings.len()), (201, 0));
    }

    #[test]
    fn what_is_not_the_log_s_is_refused() {
        let (here, there) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let bucket = Arc::new(Bucket::default());
        let (journal, _) = Journal::open(options(here.path(), Some(Arc::clone(&bucket) as _)), key(), |_, _| {}).unwrap();
        for n in 0..3_u8 {
            journal.append(vec![n]).wait().unwrap();
        }
        let batches = bucket.0.lock().unwrap().0.clone();
        let (first, note, entries) = batches.first().unwrap().clone();
        let mut follower = Follower::open(options(there.path(), None), key()).unwrap();
        let (later, later_note, later_entries) = batches.get(1).unwrap().clone();
        assert!(matches!(
            follower.append(later, &later_note, later_entries.clone()),
            Err(FollowError::Gap { found: 1, size: 0 })
        ));
        let forged = note.replace("follow.example/log", "another.example/log");
        assert!(matches!(follower.append(first, &forged, entries.clone()), Err(FollowError::Checkpoint { .. })));
        assert!(matches!(follower.append(first, &note, vec![vec![7]]), Err(FollowError::Checkpoint { .. })));
        drop(follower);
        let mut follower = Follower::open(options(there.path(), None), key()).unwrap();
        assert_eq!(follower.size(), 0);
        follower.append(first, &note, entries.clone()).unwrap();
        follower.append(first, &note, entries).unwrap();
        follower.append(later, &later_note, later_entries).unwrap();
        assert_eq!(follower.size(), 2);
    }

    #[test]
    fn what_could_not_be_shared_is_not_acknowledged_and_not_here() {
        let here = tempfile::tempdir().unwrap();
        let bucket = Arc::new(Bucket::default());
        let (journal, _) = Journal::open(options(here.path(), Some(Arc::clone(&bucket) as _)), key(), |_, _| {}).unwrap();
        journal.append(b"shared".to_vec()).wait().unwrap();
        bucket.0.lock().unwrap().1 = true;
        assert!(journal.append(b"alone".to_vec()).wait().is_err());
        bucket.0.lock().unwrap().1 = false;
        assert!(journal.append(b"later".to_vec()).wait().is_err(), "only another opening resumes");
        journal.close();
        let mut read = Vec::new();
        drop(Journal::open(options(here.path(), None), key(), |_, entry| read.push(entry.to_vec())).unwrap());
        assert_eq!(read, [b"shared".to_vec()]);
    }
}
