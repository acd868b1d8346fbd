//! Opening, appending, rotating, stopping and opening again.

use std::time::{Duration, Instant};

use proptest::prelude::*;
use remit_journal::{AppendError, ENTRY_BYTES_MAX, Health, Journal, OpenError, Options, SigningKey};

use crate::{change, entry, find, key, open, options, segments, vkey, write};

#[test]
fn entries_survive_reopening_and_rotation() {
    let dir = tempfile::tempdir().unwrap();
    let mut written = 0;
    for round in 1..=4 {
        let (journal, recovery, replayed) = open(dir.path()).unwrap();
        assert_eq!(replayed, (0..written).map(entry).collect::<Vec<_>>());
        assert_eq!((recovery.entries, recovery.torn_bytes, recovery.stopped), (written, 0, None));
        assert_eq!(journal.verifier_key(), vkey());
        write(&journal, written..written + 60);
        written += 60;
        assert_eq!(journal.checkpoint().size, written);
        journal.close();
        assert!(segments(dir.path()).len() > round);
    }
}

#[test]
fn a_new_log_begins_with_a_signed_empty_tree() {
    let dir = tempfile::tempdir().unwrap();
    let (journal, ..) = open(dir.path()).unwrap();
    assert_eq!(journal.checkpoint().size, 0);
    assert!(journal.checkpoint().note.starts_with("test.example/log\n0\n47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=\n\n"));
}

#[test]
fn entries_of_one_call_are_contiguous() {
    let dir = tempfile::tempdir().unwrap();
    let (journal, ..) = open(dir.path()).unwrap();
    let calls: Vec<_> = (0..50).map(|call| journal.append_many((0..3).map(|at| entry(call * 3 + at)).collect())).collect();
    let firsts: Vec<u64> = calls.into_iter().map(|call| call.wait().unwrap().index).collect();
    assert_eq!(firsts, (0..50).map(|call| call * 3).collect::<Vec<_>>());
    journal.close();
    let (_, _, replayed) = open(dir.path()).unwrap();
    assert_eq!(replayed, (0..150).map(entry).collect::<Vec<_>>());
}

#[test]
fn what_is_too_much_is_refused_and_nothing_else() {
    let dir = tempfile::tempdir().unwrap();
    let options = Options { segment_bytes: 1 << 20, queue_max: 4, ..options(dir.path()) };
    let (journal, _) = Journal::open(options, key(), |_, _| {}).unwrap();
    let too_large = AppendError::TooLarge { bytes: ENTRY_BYTES_MAX + 1, max: ENTRY_BYTES_MAX };
    assert_eq!(journal.append(vec![0; ENTRY_BYTES_MAX + 1]).wait(), Err(too_large));
    assert_eq!(journal.append_many(vec![entry(0); 5]).wait(), Err(AppendError::QueueFull));
    assert_eq!(journal.append_many(Vec::new()).wait(), Err(AppendError::Empty));
    assert!(matches!(journal.append_many(vec![vec![0; 60_000]; 20]).wait(), Err(AppendError::TooLarge { .. })));
    assert_eq!(journal.append(vec![0; ENTRY_BYTES_MAX]).wait().unwrap().index, 0);
    assert_eq!(journal.append(Vec::new()).wait().unwrap().index, 1);
    let clone = journal.clone();
    journal.close();
    assert_eq!(clone.append(entry(0)).wait(), Err(AppendError::Closed));
}

#[test]
fn closing_makes_what_waits_durable() {
    let dir = tempfile::tempdir().unwrap();
    let (journal, ..) = open(dir.path()).unwrap();
    let waiting: Vec<_> = (0..200).map(|number| journal.append(entry(number))).collect();
    journal.close();
    assert!(waiting.into_iter().all(|append| append.wait().is_ok()));
    assert_eq!(open(dir.path()).unwrap().1.entries, 200);
}

#[test]
fn many_producers_get_each_index_once() {
    let dir = tempfile::tempdir().unwrap();
    let (journal, ..) = open(dir.path()).unwrap();
    let mut indexes: Vec<u64> = std::thread::scope(|scope| {
        let producers: Vec<_> = (0..16)
            .map(|_| {
                scope.spawn(|| (0..50).map(|number| journal.append(entry(number)).wait().unwrap().index).collect::<Vec<_>>())
            })
            .collect();
        producers.into_iter().flat_map(|producer| producer.join().unwrap()).collect()
    });
    indexes.sort_unstable();
    assert_eq!(indexes, (0..800).collect::<Vec<_>>());
}

#[test]
fn a_second_writer_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let (journal, ..) = open(dir.path()).unwrap();
    assert!(matches!(open(dir.path()), Err(OpenError::Locked(_))));
    journal.close();
    open(dir.path()).unwrap();
}

#[test]
fn another_key_or_origin_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    write(&open(dir.path()).unwrap().0, 0..3);
    let other = Journal::open(options(dir.path()), SigningKey::generate().unwrap(), |_, _| {});
    assert!(matches!(other, Err(OpenError::WrongKey { .. })));
    let other = Journal::open(Options { origin: "other".to_owned(), ..options(dir.path()) }, key(), |_, _| {});
    assert!(matches!(other, Err(OpenError::WrongKey { .. })));
    let bad = Journal::open(Options { origin: "a b".to_owned(), ..options(dir.path()) }, key(), |_, _| {});
    assert!(matches!(bad, Err(OpenError::Origin(_))));
    assert_eq!(format!("{:?}", key()), "SigningKey(redacted)");
}

#[test]
fn a_torn_tail_is_removed() {
    let dir = tempfile::tempdir().unwrap();
    write(&open(dir.path()).unwrap().0, 0..5);
    let mark = std::fs::read(dir.path().join("durable")).unwrap();
    write(&open(dir.path()).unwrap().0, 5..6);
    // As a power cut would leave it: the last batch in part, and the mark of the one before.
    std::fs::write(dir.path().join("durable"), mark).unwrap();
    change(&segments(dir.path())[0], |bytes| {
        let last = find(bytes, &entry(5));
        bytes[last + 5..].fill(0);
    });
    let (journal, recovery, replayed) = open(dir.path()).unwrap();
    assert_eq!(replayed, (0..5).map(entry).collect::<Vec<_>>());
    assert!(recovery.torn_bytes > 20);
    write(&journal, 5..40);
    journal.close();
    assert_eq!(open(dir.path()).unwrap().1.entries, 40);
}

#[test]
fn a_damaged_middle_is_refused_and_left_alone() {
    let dir = tempfile::tempdir().unwrap();
    write(&open(dir.path()).unwrap().0, 0..120);
    std::fs::remove_file(dir.path().join("durable")).unwrap();
    let paths = segments(dir.path());
    for (path, number) in [(&paths[0], 3), (&paths[1], 90)] {
        let before = std::fs::read(path).unwrap();
        change(path, |bytes| {
            let place = find(bytes, &entry(number));
            bytes[place + 1] ^= 4;
        });
        let damaged = std::fs::read(path).unwrap();
        assert!(matches!(open(dir.path()), Err(OpenError::Damaged { .. })), "{number}");
        assert_eq!(std::fs::read(path).unwrap(), damaged);
        std::fs::write(path, before).unwrap();
    }
    std::fs::remove_file(&paths[1]).unwrap();
    assert!(matches!(open(dir.path()), Err(OpenError::Damaged { generation: 2, .. })));
}

#[test]
fn a_log_that_was_cut_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    write(&open(dir.path()).unwrap().0, 0..9);
    change(&segments(dir.path())[0], |bytes| {
        // The whole of the last batch goes: its frame begins 24 bytes before the entry.
        let last = find(bytes, &entry(8)) - 24;
        bytes[last..].fill(0);
    });
    assert!(matches!(open(dir.path()), Err(OpenError::RolledBack { durable: 9, found: 8 })));
}

#[test]
fn a_deleted_or_replaced_segment_stops_the_journal_within_a_second() {
    for replace in [false, true] {
        let dir = tempfile::tempdir().unwrap();
        let (journal, ..) = open(dir.path()).unwrap();
        write(&journal, 0..1);
        let path = &segments(dir.path())[0];
        let copy = std::fs::read(path).unwrap();
        std::fs::remove_file(path).unwrap();
        if replace {
            std::fs::write(path, copy).unwrap();
        }
        let start = Instant::now();
        while journal.health() == Health::Ok {
            assert!(start.elapsed() < Duration::from_secs(1));
            std::thread::yield_now();
        }
        assert!(matches!(journal.append(entry(1)).wait(), Err(AppendError::Stopped(_))));
        journal.close();
        assert!(dir.path().join("stopped").exists());
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(12))]
    #[test]
    fn anything_appended_is_replayed(batches in prop::collection::vec(
        prop::collection::vec(prop::collection::vec(any::<u8>(), 0..900), 1..6), 1..30)) {
        let dir = tempfile::tempdir().unwrap();
        for half in batches.chunks(batches.len().div_ceil(2)) {
            let (journal, ..) = open(dir.path()).unwrap();
            let waiting: Vec<_> = half.iter().map(|batch| journal.append_many(batch.clone())).collect();
            for append in waiting {
                append.wait().unwrap();
            }
        }
        let (journal, _, replayed) = open(dir.path()).unwrap();
        prop_assert_eq!(&replayed, &batches.concat());
        drop(journal);
        let report = remit_journal::verify(dir.path(), &vkey(), |_, _| {}, |_, _| {}).unwrap();
        prop_assert_eq!((report.entries, report.findings), (replayed.len() as u64, vec![]));
    }
}
