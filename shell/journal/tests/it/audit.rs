//! What the auditor sees, and what a forger cannot hide.

use proptest::prelude::*;
use remit_journal::{Finding, ProofError, Report, inclusion_proof, verify, verify_against};
use remit_tlog::{leaf_hash, verify_inclusion};

use crate::{change, entry, find, no_child_starts, open, segments, vkey, write};

fn check(dir: &std::path::Path) -> Report {
    let _guard = no_child_starts();
    verify(dir, &vkey(), |_, _| {}, |_, _| {}).unwrap()
}

fn whats(report: &Report) -> Vec<&str> {
    report.findings.iter().map(|finding| finding.what.as_str()).collect()
}

#[test]
fn a_sound_log_has_no_findings_even_while_it_is_written() {
    let dir = tempfile::tempdir().unwrap();
    let (journal, ..) = open(dir.path()).unwrap();
    write(&journal, 0..100);
    let (mut entries, mut last) = (0, (0, 0));
    let report = verify(
        dir.path(),
        &vkey(),
        |done, total| last = (done, total),
        |index, bytes| {
            assert_eq!((index, bytes), (entries, entry(entries).as_slice()));
            entries += 1;
        },
    )
    .unwrap();
    assert_eq!((report.entries, report.tree_size, report.checkpoints), (100, 100, 101));
    assert_eq!(report.root, journal.checkpoint().root);
    assert_eq!((entries, report.findings), (100, vec![]));
    assert!(last.0 == last.1 && last.0 > 0);
}

#[test]
fn verifying_beside_a_busy_writer_finds_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let (journal, ..) = open(dir.path()).unwrap();
    std::thread::scope(|scope| {
        let writer = scope.spawn(|| write(&journal, 0..600));
        while !writer.is_finished() {
            assert_eq!(check(dir.path()).findings, vec![]);
        }
    });
}

#[test]
fn another_key_is_a_finding() {
    let dir = tempfile::tempdir().unwrap();
    write(&open(dir.path()).unwrap().0, 0..2);
    let other = remit_journal::SigningKey::from_seed(&[1; 32]).verifier_key("test.example/log").unwrap();
    let report = verify(dir.path(), &other, |_, _| {}, |_, _| {}).unwrap();
    assert!(whats(&report).contains(&"the checkpoint's signature does not verify"));
    assert!(verify(dir.path(), "nonsense", |_, _| {}, |_, _| {}).is_err());
}

#[test]
fn a_cut_log_is_a_finding() {
    let dir = tempfile::tempdir().unwrap();
    let (journal, ..) = open(dir.path()).unwrap();
    write(&journal, 0..9);
    let saved = journal.checkpoint().note;
    journal.close();
    assert_eq!(verify_against(dir.path(), &vkey(), std::slice::from_ref(&saved), |_, _| {}, |_, _| {}).unwrap().findings, vec![]);
    change(&segments(dir.path())[0], |bytes| {
        let last = find(bytes, &entry(8)) - 24;
        bytes[last..].fill(0);
    });
    assert_eq!(whats(&check(dir.path())), ["9 entries were durable, but 8 can be followed"]);
    // Who also forges the mark is betrayed by a checkpoint kept elsewhere.
    std::fs::remove_file(dir.path().join("durable")).unwrap();
    assert_eq!(check(dir.path()).findings, vec![]);
    let report = verify_against(dir.path(), &vkey(), &[saved], |_, _| {}, |_, _| {}).unwrap();
    assert_eq!(whats(&report), ["it covers 9 entries, but the log has 8"]);
}

#[test]
fn a_rewritten_history_is_a_finding_even_with_the_key() {
    let (dir, forged) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let (journal, ..) = open(dir.path()).unwrap();
    write(&journal, 0..5);
    let (journal_forged, ..) = open(forged.path()).unwrap();
    for number in 1..10 {
        journal_forged.append(entry(number)).wait().unwrap();
    }
    let saved = journal.checkpoint().note;
    let report = verify_against(forged.path(), &vkey(), &[saved], |_, _| {}, |_, _| {}).unwrap();
    let where_ = "saved checkpoint 0".to_owned();
    let what = "the log does not extend it: history was rewritten".to_owned();
    assert_eq!(report.findings, [Finding { where_, what }]);
}

#[test]
fn swapped_entries_are_a_finding_even_with_good_checksums() {
    let dir = tempfile::tempdir().unwrap();
    let (journal, ..) = open(dir.path()).unwrap();
    journal.append_many(vec![b"first entry of all".to_vec(), b"other entry of all".to_vec()]).wait().unwrap();
    journal.close();
    change(&segments(dir.path())[0], |bytes| {
        let (one, two) = (find(bytes, b"first entry"), find(bytes, b"other entry"));
        bytes[one..one + 5].copy_from_slice(b"other");
        bytes[two..two + 5].copy_from_slice(b"first");
        for payload in [one, two] {
            let frame = payload - 24..payload + 18 + 6;
            let crc = crc32c::crc32c(&bytes[frame.start + 4..frame.end]).to_le_bytes();
            bytes[frame.start..frame.start + 4].copy_from_slice(&crc);
        }
    });
    assert_eq!(whats(&check(dir.path())), ["the checkpoint's root is not the root of the entries"]);
    assert!(open(dir.path()).is_err());
}

#[test]
fn receipts_verify_against_the_signed_root() {
    let dir = tempfile::tempdir().unwrap();
    let (journal, ..) = open(dir.path()).unwrap();
    write(&journal, 0..75);
    let checkpoint = journal.checkpoint();
    for index in [0, 1, 31, 32, 63, 64, 73, 74] {
        let proof = inclusion_proof(dir.path(), index, 75).unwrap();
        verify_inclusion(&leaf_hash(&entry(index)), index, 75, &proof, &checkpoint.root).unwrap();
    }
    assert!(matches!(inclusion_proof(dir.path(), 0, 76), Err(ProofError::Size { size: 76, found: 75 })));
    assert!(matches!(inclusion_proof(dir.path(), 75, 75), Err(ProofError::Proof(_))));
    assert_eq!(inclusion_proof(dir.path(), 0, 1).unwrap(), vec![]);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]
    #[test]
    fn any_flipped_bit_of_a_segment_is_found(place: usize, bit in 0u8..8) {
        let dir = tempfile::tempdir().unwrap();
        write(&open(dir.path()).unwrap().0, 0..70);
        let paths = segments(dir.path());
        let path = &paths[place % paths.len()];
        change(path, |bytes| {
            let place = place / paths.len() % bytes.len();
            bytes[place] ^= 1 << bit;
        });
        prop_assert!(!check(dir.path()).findings.is_empty());
        prop_assert!(open(dir.path()).is_err() || check(dir.path()).findings.is_empty());
    }
}
