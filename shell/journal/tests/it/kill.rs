//! A process killed in the middle of its work, with what it acknowledged noted outside of it.

use std::collections::BTreeMap;
use std::io::{BufRead as _, BufReader, Write as _};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicU64, Ordering};

use crate::{open, spawn, vkey};

/// Set for the child: the directory it writes to.
const CHILD_DIR: &str = "REMIT_JOURNAL_TEST_CHILD_DIR";
const PRODUCERS: usize = 8;
const KILLS: u64 = 10;

/// Not a test by itself: what the child of the next one runs. Without a directory it has nothing to do.
#[test]
fn child() {
    let Some(dir) = std::env::var_os(CHILD_DIR) else { return };
    let (journal, recovery, _) = open(dir.as_ref()).unwrap();
    let number = AtomicU64::new(recovery.entries);
    std::thread::scope(|scope| {
        for _ in 0..PRODUCERS {
            scope.spawn(|| {
                loop {
                    let text = format!("{}-{}", std::process::id(), number.fetch_add(1, Ordering::Relaxed));
                    let appended = journal.append(text.clone().into_bytes()).wait().unwrap();
                    writeln!(std::io::stdout(), "ack {} {text}", appended.index).unwrap();
                }
            });
        }
    });
}

#[test]
fn a_killed_process_loses_and_repeats_nothing_it_acknowledged() {
    let dir = tempfile::tempdir().unwrap();
    let mut acknowledged = BTreeMap::new();
    for kill in 1..=KILLS {
        let mut command = Command::new(std::env::current_exe().unwrap());
        command.args(["kill::child", "--exact", "--nocapture", "--test-threads=1"]).env(CHILD_DIR, dir.path());
        let mut child = spawn(command.stdout(Stdio::piped()));
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let mut left = 37 * kill;
        // The lines end when the child is gone: what it said before it died counts too.
        for line in lines.map_while(Result::ok) {
            let Some((index, text)) = line.strip_prefix("ack ").and_then(|rest| rest.split_once(' ')) else {
                continue;
            };
            let before = acknowledged.insert(index.parse::<usize>().unwrap(), text.to_owned());
            assert_eq!(before, None, "index {index} was given twice");
            left = left.saturating_sub(1);
            if left == 0 {
                child.kill().unwrap();
            }
        }
        child.wait().unwrap();
        let (journal, _, replayed) = open(dir.path()).unwrap();
        for (index, text) in &acknowledged {
            assert_eq!(replayed[*index], text.as_bytes(), "after kill {kill}");
        }
        let distinct: std::collections::BTreeSet<_> = replayed.iter().collect();
        assert_eq!(distinct.len(), replayed.len());
        journal.close();
        let report = remit_journal::verify(dir.path(), &vkey(), |_, _| {}, |_, _| {}).unwrap();
        assert_eq!(report.findings, vec![]);
    }
    assert!(acknowledged.len() > 1000);
}
