//! What becomes of an index: it goes on, is made anew, and never troubles the journal.

use std::time::Duration;

use remit_index::{Builder, Follower, IndexError, Question};
use remit_journal::{Journal, Options, SigningKey};
use serde_json::json;

use crate::log::{Log, all, append_to};

const LONGEST: Duration = Duration::from_mins(1);

fn decision(number: usize) -> Vec<u8> {
    json!({"v": 1, "type": "decision", "time": "2026-03-01T00:00:00.000Z", "id": format!("{number:032x}"), "trace_id": format!("{number:032x}"), "agent": format!("agent-{}", number % 3), "space": "s", "tool": format!("tool-{number}"), "verdict": "ALLOW", "layers": [{"checkType": "SPACE", "effect": "ALLOW", "statement": format!("statement {number}")}]})
        .to_string()
        .into_bytes()
}

fn decisions(range: std::ops::Range<usize>) -> Vec<Vec<u8>> {
    range.map(decision).collect()
}

fn whole(log: &Log) {
    let question = Question { limit: 500, ..Question::default() };
    assert_eq!(all(&log.index(), &question), log.filtered(&question));
}

#[test]
fn it_goes_on_where_it_stopped() {
    let mut log = Log::new();
    for (end, batch) in [(1, 1), (255, 9), (256, 1), (257, 1), (300, 3), (1024, 50), (1025, 7)] {
        let from = log.entries.len();
        log.append(&decisions(from..end), batch);
        log.caught_up();
        whole(&log);
    }
}

#[test]
fn a_batch_that_broke_off_is_read_again_and_none_of_it_stays() {
    let mut log = Log::new();
    log.append(&decisions(0..300), 10);
    log.caught_up();
    log.append(&decisions(300..900), 10);
    let database = log.place().join("decisions.db");
    // Another connection holds on to the file: the batch can't be written.
    let holding = rusqlite::Connection::open(&database).unwrap();
    holding.execute_batch("BEGIN IMMEDIATE; INSERT INTO word (text) VALUES ('half a batch')").unwrap();
    let mut builder = Builder::open(log.place(), log.journal());
    let failed = match &mut builder {
        Ok(builder) => builder.catch_up().unwrap_err(),
        Err(_) => builder.unwrap_err(),
    };
    assert!(matches!(failed, IndexError::Database(_)), "{failed:?}");
    assert_eq!(log.index().size().unwrap(), (300, 300));
    drop(holding);
    // A full disk breaks a batch off in its middle.
    let mut builder = Builder::open(log.place(), log.journal()).unwrap();
    builder
        .pages_max(
            rusqlite::Connection::open(&database).unwrap().pragma_query_value(None, "page_count", |row| row.get(0)).unwrap(),
        )
        .unwrap();
    let failed = builder.catch_up().unwrap_err();
    assert!(failed.to_string().contains("full"), "{failed}");
    drop(builder);
    assert_eq!(log.index().size().unwrap(), (300, 300));
    log.caught_up();
    whole(&log);
    let half = Question { tool: Some("half a batch".to_owned()), ..Question::default() };
    assert_eq!(all(&log.index(), &half), []);
}

#[test]
fn an_index_of_another_journal_is_made_anew() {
    let mut log = Log::new();
    log.append(&decisions(0..400), 20);
    log.caught_up();
    // The same number of entries, of which one is another.
    std::fs::remove_dir_all(log.journal()).unwrap();
    let mut others = decisions(0..400);
    others[3] = decision(9_999);
    log.entries.clear();
    log.append(&others, 20);
    log.caught_up();
    whole(&log);
}

#[test]
fn an_index_that_runs_ahead_is_made_anew() {
    let mut log = Log::new();
    log.append(&decisions(0..400), 20);
    log.caught_up();
    std::fs::remove_dir_all(log.journal()).unwrap();
    log.entries.clear();
    log.append(&decisions(0..100), 20);
    log.caught_up();
    whole(&log);
    std::fs::remove_dir_all(log.journal()).unwrap();
    log.entries.clear();
    log.caught_up();
    whole(&log);
}

#[test]
fn what_is_spoilt_or_gone_is_made_anew() {
    let mut log = Log::new();
    log.append(&decisions(0..50), 20);
    log.caught_up();
    let index = log.index();
    for spoil in
        [&b"no database at all, and longer than a head of one would be: one hundred bytes are enough for it. Yes."[..], b""]
    {
        std::fs::remove_file(log.place().join("decisions.db-wal")).ok();
        std::fs::write(log.place().join("decisions.db"), spoil).unwrap();
        log.caught_up();
        whole(&log);
    }
    std::fs::remove_dir_all(log.place()).unwrap();
    assert!(matches!(index.search(&Question::default()), Err(IndexError::Missing)));
    log.caught_up();
    whole(&log);
    // Who asked before asks the new one.
    assert_eq!(index.size().unwrap(), (50, 50));
    let other_form = rusqlite::Connection::open(log.place().join("decisions.db")).unwrap();
    other_form.pragma_update(None, "user_version", 99).unwrap();
    drop(other_form);
    assert!(matches!(log.index().size(), Err(IndexError::Missing)));
    log.caught_up();
    whole(&log);
}

#[test]
fn one_at_a_time_makes_it() {
    let mut log = Log::new();
    log.append(&decisions(0..5), 5);
    let first = Builder::open(log.place(), log.journal()).unwrap();
    assert!(matches!(Builder::open(log.place(), log.journal()), Err(IndexError::Locked)));
    assert!(matches!(Builder::wipe(log.place()), Err(IndexError::Locked)));
    drop(first);
    Builder::wipe(log.place()).unwrap();
    assert!(matches!(log.index().size(), Err(IndexError::Missing)));
}

#[test]
fn a_follower_follows_a_journal_that_is_written_and_notices_that_its_file_is_gone() {
    let log = Log::new();
    let options = Options { segment_bytes: 64 * 1024, reserve_bytes: 4096, ..Options::new(log.journal(), "index.test/log") };
    let (journal, _) = Journal::open(options, SigningKey::from_seed(&[7; 32]), |_, _| {}).unwrap();
    let follower = Follower::start(log.place(), log.journal()).unwrap();
    let index = log.index();
    let newest = |count: usize| {
        let standing = follower.reach(count as u64, LONGEST);
        assert_eq!((standing.entries, standing.broken), (count as u64, None));
        index.search(&Question { limit: 1, ..Question::default() }).unwrap().decisions[0].index
    };
    for count in 1..=20 {
        journal.append(decision(count)).wait().unwrap();
        assert_eq!(newest(count), count as u64 - 1);
    }
    // Its file goes away under it; the journal doesn't notice.
    std::fs::remove_file(log.place().join("decisions.db")).unwrap();
    journal.append(decision(21)).wait().unwrap();
    assert_eq!(newest(21), 20);
    follower.rebuild();
    assert_eq!(newest(21), 20);
    assert_eq!(index.size().unwrap(), (21, 21));
}

#[test]
fn a_follower_that_can_not_write_says_so_and_the_journal_goes_on() {
    let log = Log::new();
    // Something that is no directory lies in its place.
    std::fs::write(log.place(), "in the way").unwrap();
    let follower = Follower::start(log.place(), log.journal()).unwrap();
    append_to(&log.journal(), &decisions(0..30), 3);
    let standing = follower.reach(30, LONGEST);
    assert!(standing.broken.is_some_and(|why| why.contains("cannot keep the index")), "it must say so");
    assert!(matches!(log.index().search(&Question::default()), Err(IndexError::Missing)));
    // What needs no index is answered all the same.
    assert_eq!(log.index().entry(7).unwrap().unwrap().bytes, decision(7));
}
