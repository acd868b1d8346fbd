//! What lies beside the log: there as long as it may be, and never in the log's way.

use remit_journal::{ATTACHMENT_BYTES_MAX, AttachmentOptions, Attachments, Journal, Options};

use crate::{change, entry, key, options};

fn attachment(number: u64) -> Vec<u8> {
    format!("attachment {number} {}", "y".repeat(200 + usize::try_from(number % 400).unwrap())).into_bytes()
}

/// Small files, so that a test goes through several.
fn attached(dir: &std::path::Path) -> Options {
    let attachments = AttachmentOptions { file_bytes: 4096, ..AttachmentOptions::new(dir.join("attachments")) };
    Options { attachments: Some(attachments), ..options(&dir.join("journal")) }
}

fn open(options: Options) -> Journal {
    Journal::open(options, key(), |_, _| {}).unwrap().0
}

/// Every third entry has one.
fn write(journal: &Journal, numbers: std::ops::Range<u64>) {
    for number in numbers {
        let append = match number % 3 {
            0 => journal.append_with(entry(number), attachment(number)),
            _ => journal.append(entry(number)),
        };
        assert_eq!(append.wait().unwrap().index, number);
    }
}

fn files(dir: &std::path::Path) -> Vec<std::path::PathBuf> {
    let mut all: Vec<_> = std::fs::read_dir(dir.join("attachments")).unwrap().map(|entry| entry.unwrap().path()).collect();
    all.sort();
    all
}

#[test]
fn they_are_read_in_any_order_and_while_they_are_written() {
    let dir = tempfile::tempdir().unwrap();
    let mut reader = Attachments::open(dir.path().join("attachments"));
    assert_eq!(reader.get(0).unwrap(), None, "the directory isn't there yet");
    for life in 0..3 {
        let journal = open(attached(dir.path()));
        write(&journal, life * 100..life * 100 + 100);
        assert_eq!(journal.attachments_lost(), 0);
        let wanted = |number: u64| number.is_multiple_of(3).then(|| attachment(number));
        for number in (0..life * 100 + 100).chain((0..life * 100 + 100).rev()).chain([5, 6, 99, 100, 102]) {
            let wanted = wanted(number).filter(|_| number < life * 100 + 100);
            assert_eq!(reader.get(number).unwrap(), wanted, "{number}");
        }
        assert_eq!(reader.get(life * 100 + 102).unwrap(), None, "not written yet");
        journal.close();
    }
    assert!(files(dir.path()).len() > 6);
    for file in files(dir.path()) {
        use std::os::unix::fs::PermissionsExt as _;
        assert_eq!(std::fs::metadata(file).unwrap().permissions().mode() & 0o077, 0);
    }
}

#[test]
fn what_is_damaged_is_missing_and_nothing_else() {
    let dir = tempfile::tempdir().unwrap();
    let journal = open(attached(dir.path()));
    write(&journal, 0..240);
    journal.close();
    let all = files(dir.path());
    // A byte within the second file, and the third one torn off.
    change(&all[1], |bytes| {
        let middle = bytes.len() / 2;
        bytes[middle] ^= 1;
    });
    change(&all[2], |bytes| bytes.truncate(bytes.len() / 2));
    let mut reader = Attachments::open(dir.path().join("attachments"));
    let (mut there, mut missing) = (0, 0);
    for number in (0..240).step_by(3) {
        match reader.get(number).unwrap() {
            Some(found) => {
                assert_eq!(found, attachment(number), "what is there is what was written");
                there += 1;
            }
            None => missing += 1,
        }
    }
    assert!(there > 15 && missing > 3, "{there} there, {missing} missing");
    assert_eq!(reader.get(0).unwrap(), Some(attachment(0)));
    assert_eq!(reader.get(237).unwrap(), Some(attachment(237)));
}

#[test]
fn the_log_goes_on_where_they_can_not_be_kept() {
    let dir = tempfile::tempdir().unwrap();
    // A file is in the directory's place.
    std::fs::write(dir.path().join("attachments"), "").unwrap();
    let journal = open(attached(dir.path()));
    write(&journal, 0..9);
    assert_eq!(journal.attachments_lost(), 3);
    assert!(journal.append_with(entry(9), vec![0; ATTACHMENT_BYTES_MAX + 1]).wait().is_ok());
    assert_eq!(journal.attachments_lost(), 4);
    journal.close();
    let none = Options { attachments: None, ..attached(dir.path()) };
    let journal = open(none);
    assert_eq!(journal.append_with(entry(10), attachment(10)).wait().unwrap().index, 10);
    assert_eq!(journal.attachments_lost(), 0, "none were asked for");
}

#[test]
fn the_oldest_go_when_they_are_too_many_or_too_old() {
    let dir = tempfile::tempdir().unwrap();
    let mut options = attached(dir.path());
    options.attachments.as_mut().unwrap().bytes_max = 3 * 4096;
    let journal = open(options.clone());
    write(&journal, 0..200);
    journal.close();
    let total: u64 = files(dir.path()).iter().map(|file| std::fs::metadata(file).unwrap().len()).sum();
    assert!(total <= 3 * 4096, "{total}");
    let mut reader = Attachments::open(dir.path().join("attachments"));
    assert_eq!((reader.get(0).unwrap(), reader.get(198).unwrap()), (None, Some(attachment(198))));
    // As if the files had been begun long ago: each ends where the next one begins, and the last one a day after it began.
    for file in files(dir.path()) {
        let name = file.file_name().unwrap().to_str().unwrap().to_owned();
        let (index, _) = name.split_once('.').unwrap();
        std::fs::rename(&file, file.with_file_name(format!("{index}.1000.attachments"))).unwrap();
    }
    let journal = open(options);
    assert!(journal.append_with(entry(200), attachment(200)).wait().is_ok());
    assert_eq!(files(dir.path()).len(), 1, "only the new one");
}
