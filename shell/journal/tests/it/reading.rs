//! Readers beside a writer.

use remit_journal::{ReadError, Reader};

use crate::{change, entry, find, open, segments, write};

#[test]
fn a_reader_starts_anywhere_and_goes_on_as_the_log_grows() {
    let dir = tempfile::tempdir().unwrap();
    assert_eq!(Reader::open(dir.path(), 0).unwrap().next().unwrap(), None);
    let (journal, ..) = open(dir.path()).unwrap();
    let mut late = Reader::open(dir.path(), 150).unwrap();
    let mut reader = Reader::open(dir.path(), 0).unwrap();
    for round in 0..10 {
        assert_eq!(late.next().unwrap(), None);
        assert_eq!(reader.next().unwrap(), None);
        write(&journal, round * 15..(round + 1) * 15);
        for number in round * 15..(round + 1) * 15 {
            let read = reader.next().unwrap().unwrap();
            assert_eq!((read.index, read.bytes), (number, entry(number)));
            assert_eq!(reader.checkpoint().unwrap().size, number + 1);
        }
    }
    write(&journal, 150..152);
    assert_eq!(late.next().unwrap().unwrap().index, 150);
    let mut middle = Reader::open(dir.path(), 70).unwrap();
    assert_eq!(middle.next().unwrap().unwrap().bytes, entry(70));
}

#[test]
fn a_reader_follows_a_live_writer() {
    let dir = tempfile::tempdir().unwrap();
    let (journal, ..) = open(dir.path()).unwrap();
    std::thread::scope(|scope| {
        let follower = scope.spawn(|| {
            let mut reader = Reader::open(dir.path(), 0).unwrap();
            for number in 0..400 {
                let read = reader
                    .follow(|| {
                        std::thread::yield_now();
                        true
                    })
                    .unwrap()
                    .unwrap();
                assert_eq!((read.index, read.bytes), (number, entry(number)));
                assert!(reader.checkpoint().unwrap().size > number);
            }
            reader.follow(|| false).unwrap()
        });
        for number in 0..400 {
            drop(journal.append(entry(number)));
            if number % 7 == 0 {
                journal.append_many(vec![]).wait().unwrap_err();
            }
        }
        assert_eq!(follower.join().unwrap(), None);
    });
}

#[test]
fn a_reader_stops_before_what_is_not_known_to_be_durable() {
    let dir = tempfile::tempdir().unwrap();
    write(&open(dir.path()).unwrap().0, 0..5);
    // As after a power cut: the mark is lost. All but the last batch are followed by another, so they were flushed.
    std::fs::remove_file(dir.path().join("durable")).unwrap();
    let mut reader = Reader::open(dir.path(), 0).unwrap();
    let read = std::iter::from_fn(|| reader.next().unwrap()).count();
    assert_eq!(read, 4);
    // Opening makes sure of the last one.
    drop(open(dir.path()).unwrap());
    assert_eq!(reader.next().unwrap().unwrap().bytes, entry(4));
    assert_eq!(reader.next().unwrap(), None);
}

#[test]
fn a_reader_reports_damage_and_a_forged_checkpoint() {
    let dir = tempfile::tempdir().unwrap();
    write(&open(dir.path()).unwrap().0, 0..5);
    change(&segments(dir.path())[0], |bytes| {
        let place = find(bytes, &entry(3));
        bytes[place] ^= 1;
    });
    let mut reader = Reader::open(dir.path(), 2).unwrap();
    assert_eq!(reader.next().unwrap().unwrap().index, 2);
    assert!(matches!(reader.next(), Err(ReadError::Damaged { .. })));
}
