//! Entries that are erased leave their hashes, and whoever knows the log up to a place begins there.

use std::path::Path;

use proptest::prelude::*;
use remit_journal::{
    EraseError, Eraser, Journal, Known, OpenError, Reader, inclusion_proof, read_full_segment, verify, verify_against,
};
use remit_tlog::{Frontier, leaf_hash, verify_inclusion};

use crate::{change, entry, find, key, open, options, segments, vkey, write};

/// Erases of all full segments what `goes` says; how many went.
fn erase(dir: &Path, goes: impl Fn(u64) -> bool) -> u64 {
    let eraser = Eraser::open(dir).unwrap();
    let mut gone = 0;
    for segment in eraser.full_segments().unwrap() {
        let told = |going: &[u64]| -> Result<(), EraseError> {
            assert!(going.iter().all(|index| (segment.first_index..segment.end_index).contains(index)));
            Ok(())
        };
        gone += eraser.erase(segment, |index, _| goes(index), told).unwrap().erased;
    }
    gone
}

fn known(size: u64) -> Known {
    let mut tree = Frontier::new();
    (0..size).for_each(|number| tree.append(leaf_hash(&entry(number))));
    Known { size, root: tree.root() }
}

#[test]
fn the_tree_and_every_proof_outlive_what_is_erased() {
    let dir = tempfile::tempdir().unwrap();
    let (journal, ..) = open(dir.path()).unwrap();
    write(&journal, 0..200);
    let saved = journal.checkpoint();
    let before = inclusion_proof(dir.path(), 101, 200).unwrap();
    let size = |dir: &Path| -> u64 { segments(dir).iter().map(|path| path.metadata().unwrap().len()).sum() };
    let bytes = size(dir.path());
    let full = Eraser::open(dir.path()).unwrap().full_segments().unwrap();
    let end = full.last().unwrap().end_index;
    assert!(full.len() > 3 && end > 120, "{full:?}");
    // All but one of the first hundred, and every third after.
    let goes = |index: u64| (index < 100 && index != 40) || (index > 110 && index.is_multiple_of(3));
    let erased = erase(dir.path(), goes);
    assert_eq!(erased, (0..end).filter(|index| goes(*index)).count() as u64);
    assert_eq!(erase(dir.path(), goes), 0, "nothing is erased twice");
    assert!(size(dir.path()) < bytes * 2 / 3, "{} of {bytes}", size(dir.path()));
    // The writer goes on, and so does everybody else.
    write(&journal, 200..205);
    let mut seen = Vec::new();
    let report =
        verify_against(dir.path(), &vkey(), &[saved.note], |_, _| {}, |index, bytes| seen.push((index, bytes.to_vec()))).unwrap();
    assert_eq!((report.entries, report.findings), (205, vec![]));
    let left: Vec<(u64, Vec<u8>)> =
        (0..205).filter(|index| !(goes(*index) && *index < end)).map(|index| (index, entry(index))).collect();
    assert_eq!(seen, left);
    assert_eq!(report.erased.iter().map(|range| range.end - range.start).sum::<u64>(), erased);
    assert_eq!((report.erased[0].clone(), report.erased[1].clone()), (0..40, 41..100));
    let mut reader = Reader::open(dir.path(), 30).unwrap();
    let read: Vec<(u64, Vec<u8>)> =
        std::iter::from_fn(|| reader.next().unwrap()).map(|entry| (entry.index, entry.bytes)).collect();
    assert_eq!(read, left.iter().filter(|(index, _)| *index >= 30).cloned().collect::<Vec<_>>());
    let mut reader = Reader::open(dir.path(), 0).unwrap();
    for index in 0..205 {
        let leaf = reader.next_leaf().unwrap().unwrap();
        assert_eq!((leaf.index, leaf.hash, leaf.bytes.is_none()), (index, leaf_hash(&entry(index)), goes(index) && index < end));
    }
    assert_eq!(inclusion_proof(dir.path(), 101, 200).unwrap(), before);
    verify_inclusion(&leaf_hash(&entry(101)), 101, 200, &before, &saved.root).unwrap();
    // What was erased can still be shown to have been there, by whoever has it.
    let gone = inclusion_proof(dir.path(), 50, 200).unwrap();
    verify_inclusion(&leaf_hash(&entry(50)), 50, 200, &gone, &saved.root).unwrap();
    journal.close();
    let mut replayed = Vec::new();
    let (journal, recovery) =
        Journal::open(options(dir.path()), key(), |index, entry| replayed.push((index, entry.to_vec()))).unwrap();
    assert_eq!((recovery.entries, replayed), (205, left));
    write(&journal, 205..207);
}

#[test]
fn what_isn_t_recorded_isn_t_erased_and_damage_is_kept_as_evidence() {
    let dir = tempfile::tempdir().unwrap();
    let (journal, ..) = open(dir.path()).unwrap();
    write(&journal, 0..200);
    journal.close();
    let eraser = Eraser::open(dir.path()).unwrap();
    assert!(matches!(Eraser::open(dir.path()), Err(EraseError::Locked(_))));
    let full = eraser.full_segments().unwrap();
    let bytes = std::fs::read(&segments(dir.path())[0]).unwrap();
    let refused = eraser.erase(full[0], |_, _| true, |going| Err(Refused(going.len())));
    assert_eq!(refused.unwrap_err().0, usize::try_from(full[0].end_index).unwrap());
    assert_eq!(std::fs::read(&segments(dir.path())[0]).unwrap(), bytes);
    // The segment that is being written isn't full.
    let live = remit_journal::FullSegment { generation: full.last().unwrap().generation + 1, ..full[0] };
    assert!(matches!(eraser.erase(live, |_, _| true, |_| Ok::<_, EraseError>(())), Err(EraseError::NotFull(_))));
    change(&segments(dir.path())[1], |bytes| bytes[5000] ^= 1);
    let told = eraser.erase(full[1], |_, _| true, |_| Ok::<_, EraseError>(())).unwrap_err();
    assert!(matches!(told, EraseError::Damaged { generation: 2, .. }), "{told}");
}

#[test]
fn what_was_archived_is_put_back_and_nothing_else_is() {
    let dir = tempfile::tempdir().unwrap();
    let (journal, ..) = open(dir.path()).unwrap();
    write(&journal, 0..200);
    journal.close();
    let full = Eraser::open(dir.path()).unwrap().full_segments().unwrap();
    let archived = read_full_segment(dir.path(), full[1]).unwrap();
    let of_second = |index: u64| (full[1].first_index..full[1].end_index).contains(&index);
    assert_eq!(erase(dir.path(), |index| index % 2 == 0), (0..full.last().unwrap().end_index).step_by(2).count() as u64);
    let eraser = Eraser::open(dir.path()).unwrap();
    let now = eraser.full_segments().unwrap();
    let half = read_full_segment(dir.path(), now[1]).unwrap();
    // Another segment's, or another log's, isn't taken.
    assert!(eraser.restore(now[0], &archived).is_err() && eraser.restore(now[2], &archived).is_err());
    let other = tempfile::tempdir().unwrap();
    let (stranger, ..) = open(other.path()).unwrap();
    for number in 0..200 {
        stranger.append(entry(number + 1)).wait().unwrap();
    }
    stranger.close();
    let theirs = Eraser::open(other.path()).unwrap();
    for segment in theirs.full_segments().unwrap().into_iter().filter(|segment| segment.generation == 2) {
        let foreign = read_full_segment(other.path(), segment).unwrap();
        assert!(eraser.restore(now[1], &foreign).is_err(), "its entries are others");
    }
    for bad in [&[][..], &archived[..100], b"nonsense"] {
        assert!(eraser.restore(now[1], bad).is_err() || eraser.restore(now[1], bad).unwrap() == 0);
    }
    assert_eq!(eraser.restore(now[1], &half).unwrap(), 0, "it has no more than what is there");
    let restored = eraser.restore(now[1], &archived).unwrap();
    assert_eq!(restored, (0..200).filter(|index| of_second(*index) && index % 2 == 0).count() as u64);
    let mut seen = Vec::new();
    let report = verify(dir.path(), &vkey(), |_, _| {}, |index, bytes| seen.push((index, bytes.to_vec()))).unwrap();
    assert_eq!(report.findings, vec![]);
    let end = full.last().unwrap().end_index;
    let left: Vec<_> = (0..200)
        .filter(|index| of_second(*index) || *index >= end || index % 2 == 1)
        .map(|index| (index, entry(index)))
        .collect();
    assert_eq!(seen, left);
}

#[derive(Debug)]
struct Refused(usize);

impl From<EraseError> for Refused {
    fn from(_: EraseError) -> Self {
        Self(usize::MAX)
    }
}

#[test]
fn a_forged_hash_in_the_place_of_an_entry_is_found() {
    let dir = tempfile::tempdir().unwrap();
    let (journal, ..) = open(dir.path()).unwrap();
    write(&journal, 0..200);
    journal.close();
    assert!(erase(dir.path(), |index| index < 20) > 0);
    // Another hash, with the frame's checksum made right: as whoever rewrites history would.
    change(&segments(dir.path())[0], |bytes| {
        let hash = leaf_hash(&entry(3));
        let at = find(bytes, hash.as_bytes());
        let first = find(bytes, leaf_hash(&entry(0)).as_bytes());
        let frame = first - 24;
        bytes[at] ^= 1;
        let length = usize::from(bytes[frame + 4]) | usize::from(bytes[frame + 5]) << 8;
        let end = (frame + 24 + length).next_multiple_of(8);
        let crc = crc32c::crc32c(&bytes[frame + 4..end]);
        bytes[frame..frame + 4].copy_from_slice(&crc.to_le_bytes());
    });
    let report = verify(dir.path(), &vkey(), |_, _| {}, |_, _| {}).unwrap();
    assert!(report.findings.iter().any(|finding| finding.what.contains("root of the entries")), "{:?}", report.findings);
    assert!(matches!(open(dir.path()), Err(OpenError::Damaged { .. })));
}

#[test]
fn what_is_known_is_not_read_again() {
    let dir = tempfile::tempdir().unwrap();
    let (journal, ..) = open(dir.path()).unwrap();
    write(&journal, 0..300);
    journal.close();
    for size in [0, 1, 17, 150, 151, 299, 300] {
        let mut read = Vec::new();
        let (journal, recovery) =
            Journal::open_after(options(dir.path()), key(), known(size), |index, bytes| read.push((index, bytes.to_vec())))
                .unwrap();
        assert_eq!(read, (size..300).map(|index| (index, entry(index))).collect::<Vec<_>>());
        assert_eq!(recovery.entries, 300);
        // At most a segment more than what isn't known.
        assert!(recovery.read <= 300 - size + 60, "{size}: {recovery:?}");
        assert_eq!(journal.checkpoint().size, 300);
        assert_eq!(journal.checkpoint().root, known(300).root);
    }
    // Another log's place, and one that isn't reached.
    for other in
        [Known { root: leaf_hash(b"x"), ..known(150) }, Known { size: 301, ..known(300) }, Known { size: u64::MAX, ..known(3) }]
    {
        let opened = Journal::open_after(options(dir.path()), key(), other, |_, _| {});
        assert!(matches!(opened, Err(OpenError::Unknown { size }) if size == other.size));
    }
    // A header that carries another tree isn't begun with, and is a finding.
    change(&segments(dir.path())[2], |bytes| {
        let length = usize::from(bytes[4]) | usize::from(bytes[5]) << 8;
        let text = String::from_utf8(bytes[24..24 + length].to_vec()).unwrap();
        let root = text.lines().nth(2).unwrap();
        let at = 24 + text.find(root).unwrap();
        bytes[at] = if bytes[at] == b'0' { b'1' } else { b'0' };
        let crc = crc32c::crc32c(&bytes[4..(24 + length).next_multiple_of(8)]);
        bytes[..4].copy_from_slice(&crc.to_le_bytes());
    });
    let first = Eraser::open(dir.path()).unwrap().full_segments().unwrap()[2].first_index;
    let opened = Journal::open_after(options(dir.path()), key(), known(first + 1), |_, _| {});
    assert!(matches!(opened, Err(OpenError::Unknown { .. })));
    let report = verify(dir.path(), &vkey(), |_, _| {}, |_, _| {}).unwrap();
    assert!(report.findings.iter().any(|finding| finding.what.contains("another tree")), "{:?}", report.findings);
    assert!(open(dir.path()).is_ok());
}

#[test]
fn what_is_known_up_to_a_batch_that_a_crash_tore_is_gone_on_from() {
    let dir = tempfile::tempdir().unwrap();
    let (journal, ..) = open(dir.path()).unwrap();
    write(&journal, 0..120);
    journal.close();
    // The last segment in use has its header and no whole batch yet: what a power cut leaves of the first write to it.
    let last = Eraser::open(dir.path()).unwrap().full_segments().unwrap().len();
    let files = segments(dir.path());
    let size = Eraser::open(dir.path()).unwrap().full_segments().unwrap().last().unwrap().end_index;
    change(&files[last], |bytes| {
        let length = usize::from(bytes[4]) | usize::from(bytes[5]) << 8;
        let end = (24 + length).next_multiple_of(8);
        bytes[end + 40..].fill(0);
    });
    std::fs::remove_file(dir.path().join("durable")).unwrap();
    let (journal, recovery) = Journal::open_after(options(dir.path()), key(), known(size), |_, _| {}).unwrap();
    assert_eq!((recovery.entries, journal.checkpoint().root), (size, known(size).root));
    write(&journal, size..size + 3);
    journal.close();
    let report = verify(dir.path(), &vkey(), |_, _| {}, |_, _| {}).unwrap();
    assert_eq!((report.entries, report.findings), (size + 3, vec![]));
    let (_, _, all) = open(dir.path()).unwrap();
    assert_eq!(all, (0..size + 3).map(entry).collect::<Vec<_>>());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn whatever_is_erased_in_whatever_order_the_tree_is_the_same(
        rounds in proptest::collection::vec(proptest::collection::vec(any::<bool>(), 120), 1..4),
        batch in 1_u64..9,
    ) {
        let dir = tempfile::tempdir().unwrap();
        let (journal, ..) = open(dir.path()).unwrap();
        for first in (0..120).step_by(usize::try_from(batch).unwrap()) {
            journal.append_many((first..(first + batch).min(120)).map(entry).collect()).wait().unwrap();
        }
        let root = journal.checkpoint().root;
        journal.close();
        let mut gone = [false; 120];
        let end = Eraser::open(dir.path()).unwrap().full_segments().unwrap().last().map_or(0, |last| last.end_index);
        for goes in &rounds {
            erase(dir.path(), |index| goes[usize::try_from(index).unwrap()]);
            (0..usize::try_from(end).unwrap()).for_each(|place| gone[place] |= goes[place]);
            let mut left = Vec::new();
            let report = verify(dir.path(), &vkey(), |_, _| {}, |index, _| left.push(index)).unwrap();
            prop_assert_eq!((report.root, report.findings), (root, vec![]));
            prop_assert_eq!(left, (0..120).filter(|index| !gone[usize::try_from(*index).unwrap()]).collect::<Vec<_>>());
        }
    }
}
