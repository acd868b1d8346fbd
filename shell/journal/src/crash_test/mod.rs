//! The journal on a disk that fails: nothing acknowledged is lost, nothing is repeated, and no crash looks like damage.

mod power_test;
mod sim;

use std::io::ErrorKind;
use std::path::Path;
use std::sync::Arc;

use sim::{Fault, Random, Sim};

use crate::append::{AppendError, Pending};
use crate::erase::{REWRITING_SUFFIX, full_segments, replace, rewrite};
use crate::files::Files as _;
use crate::frame::frame_bytes;
use crate::journal::{Health, Journal, Options, open_log};
use crate::key::SigningKey;
use crate::reader::Reader;
use crate::recover::{OpenError, Recovery};
use crate::segment::{Leaf, segment_path};
use crate::writer::Log;

const DIR: &str = "/journal";

fn options() -> Options {
    Options { segment_bytes: 6 * 1024, reserve_bytes: 1024, ..Options::new(DIR, "sim.example/log") }
}

/// What must not come of a crash.
#[derive(Debug)]
enum Broken {
    /// The journal is refused.
    TakenForDamage(String),
    /// Of what was durable only this much is there, or what is there was never written.
    Lost { durable: usize, kept: usize },
}

/// A disk with the history it must have.
struct Case {
    sim: Sim,
    random: Random,
    /// What is acknowledged, or was replayed by an opening: it must be there, in this order.
    durable: Vec<Vec<u8>>,
    /// What was being written when the world ended: there as a whole, or not at all.
    in_flight: Vec<Vec<u8>>,
    made: u64,
}

impl Case {
    fn new(seed: u64) -> Self {
        let (sim, random) = (Sim::new(), Random::new(seed + 1));
        Self { sim, random, durable: Vec::new(), in_flight: Vec::new(), made: 0 }
    }

    /// Opens the journal; `None` if the world ends meanwhile. Damage is a failure of the test.
    fn open(&mut self) -> Option<(Log, Recovery)> {
        self.reopen().unwrap_or_else(|broken| panic!("{broken:?}"))
    }

    /// The same, for who counts what does not hold.
    fn reopen(&mut self) -> Result<Option<(Log, Recovery)>, Broken> {
        let mut replayed = Vec::new();
        let key = SigningKey::from_seed(&[3; 32]);
        let mut sink = |index: u64, entry: &[u8]| {
            assert_eq!(index, replayed.len() as u64);
            replayed.push(entry.to_vec());
        };
        let opened = open_log(Arc::new(self.sim.clone()), &options(), &key, false, None, &mut sink);
        let (log, _, recovery) = match opened {
            Ok(opened) => opened,
            Err(OpenError::Io { .. } | OpenError::Start(_)) => return Ok(None),
            Err(error) => return Err(Broken::TakenForDamage(error.to_string())),
        };
        let whole = [self.durable.as_slice(), &self.in_flight].concat();
        if replayed != self.durable && replayed != whole {
            let kept = self.durable.iter().zip(&replayed).take_while(|(durable, found)| durable == found).count();
            return Err(Broken::Lost { durable: self.durable.len(), kept });
        }
        self.durable = replayed;
        self.in_flight.clear();
        Ok(Some((log, recovery)))
    }

    /// Commits a batch of random entries.
    fn commit(&mut self, log: &mut Log) -> Result<(), String> {
        let batch: Vec<Vec<u8>> = (0..=self.random.below(4)).map(|_| self.entry()).collect();
        let pending: Vec<Pending> = batch.iter().cloned().map(Pending::new).collect();
        let bytes = batch.iter().map(|entry| frame_bytes(entry.len())).sum();
        self.in_flight = batch;
        let checkpoint = log.commit(&pending, bytes)?;
        self.durable.append(&mut self.in_flight);
        assert_eq!(checkpoint.size, self.durable.len() as u64);
        Ok(())
    }

    fn entry(&mut self) -> Vec<u8> {
        self.made += 1;
        let mut entry = self.made.to_le_bytes().to_vec();
        let length = self.random.below(700);
        entry.extend((0..length).map(|place| u8::try_from(place % 251).unwrap()));
        entry
    }

    /// Opens and commits until the world ends or `batches` are done; whether it ended.
    fn live(&mut self, batches: u64) -> bool {
        let Some((mut log, _)) = self.open() else { return true };
        (0..batches).any(|_| self.commit(&mut log).is_err())
    }
}

#[test]
fn a_power_cut_at_any_operation_loses_nothing_acknowledged() {
    let mut cuts = 0;
    for seed in 0..40 {
        for at in 1.. {
            let mut case = Case::new(seed * 1000 + at);
            case.sim.world().fault = Some((at, Fault::PowerCut));
            if !case.live(12) {
                break;
            }
            cuts += 1;
            case.sim.power_cycle(&mut case.random);
            assert!(!case.live(2), "seed {seed} at {at}");
            case.sim.power_cycle(&mut case.random);
            assert!(!case.live(0), "seed {seed} at {at}");
        }
    }
    assert!(cuts > 2000, "only {cuts} cuts");
}

#[test]
fn power_cuts_during_recovery_lose_nothing_acknowledged() {
    for seed in 0..300 {
        let mut case = Case::new(90_000 + seed);
        for _ in 0..8 {
            let at = case.sim.world().operations + 1 + case.random.below(30);
            case.sim.world().fault = Some((at, Fault::PowerCut));
            if case.live(9) {
                case.sim.power_cycle(&mut case.random);
            } else {
                case.sim.process_restart();
            }
        }
        assert!(!case.live(1), "seed {seed}");
    }
}

#[test]
fn an_error_at_any_operation_loses_nothing_acknowledged() {
    for kind in [ErrorKind::Other, ErrorKind::StorageFull] {
        for at in 1.. {
            let mut case = Case::new(50_000 + at);
            case.sim.world().fault = Some((at, Fault::Error(kind)));
            case.live(12);
            if case.sim.world().operations < at {
                break;
            }
            // First the process alone: what a failed flush left in the page cache must be made durable again.
            case.sim.process_restart();
            assert!(!case.live(1), "at {at}");
            case.sim.power_cycle(&mut case.random);
            assert!(!case.live(1), "at {at}");
        }
    }
}

#[test]
fn a_process_killed_at_any_operation_loses_nothing_acknowledged() {
    for at in 1.. {
        let mut case = Case::new(70_000 + at);
        case.sim.world().fault = Some((at, Fault::PowerCut));
        if !case.live(12) {
            break;
        }
        case.sim.process_restart();
        assert!(!case.live(3), "at {at}");
    }
}

#[test]
fn a_full_disk_stops_the_journal_only_when_its_segment_is_full() {
    let mut case = Case::new(1);
    let (mut log, _) = case.open().unwrap();
    case.sim.world().space = 0;
    // The next segment is there already; the one after it cannot be prepared.
    let mut commits = 0;
    let error = loop {
        match case.commit(&mut log) {
            Ok(()) => commits += 1,
            Err(error) => break error,
        }
    };
    assert!(commits > 4, "{commits}");
    assert!(error.starts_with("cannot prepare the next segment"), "{error}");
    drop(log);
    case.sim.process_restart();
    let (mut log, recovery) = case.open().unwrap();
    assert_eq!(recovery.segments, 2);
    case.commit(&mut log).unwrap();
}

#[test]
fn space_that_returns_in_time_is_used() {
    let mut case = Case::new(1);
    let (mut log, _) = case.open().unwrap();
    case.sim.world().space = 0;
    while log.segment.generation == 1 {
        case.commit(&mut log).unwrap();
    }
    assert!(!case.sim.names().contains(&format!("{:020}.segment", 3)));
    case.sim.world().space = u64::MAX;
    log.look().unwrap();
    assert!(case.sim.names().contains(&format!("{:020}.segment", 3)));
    (0..20).for_each(|_| case.commit(&mut log).unwrap());
}

#[test]
fn a_full_disk_is_tried_less_and_less_often() {
    let mut case = Case::new(1);
    let (mut log, _) = case.open().unwrap();
    case.sim.world().space = 0;
    while log.segment.generation == 1 {
        case.commit(&mut log).unwrap();
    }
    let before = case.sim.world().operations;
    (0..400).for_each(|_| log.look().unwrap());
    // A try creates a file and removes it.
    let tries = (case.sim.world().operations - before) / 2;
    assert!((5..=14).contains(&tries), "{tries}");
    case.sim.world().space = u64::MAX;
    (0..70).for_each(|_| log.look().unwrap());
    assert!(case.sim.names().contains(&format!("{:020}.segment", 3)));
}

#[test]
fn after_a_failed_flush_nothing_is_acknowledged_or_flushed_again() {
    let sim = Sim::new();
    let key = SigningKey::from_seed(&[3; 32]);
    let (log, shared, _) = open_log(Arc::new(sim.clone()), &options(), &key, false, None, &mut |_, _| {}).unwrap();
    let journal = Journal::start(log, shared).unwrap();
    assert_eq!(journal.append(b"one".to_vec()).wait().unwrap().index, 0);
    assert_eq!(journal.health(), Health::Ok);
    // The next operations are the write and its flush.
    let flush = sim.world().operations + 2;
    sim.world().fault = Some((flush, Fault::Error(ErrorKind::Other)));
    let error = journal.append(b"two".to_vec()).wait().unwrap_err();
    assert!(matches!(&error, AppendError::Stopped(reason) if reason.starts_with("cannot flush a batch")), "{error}");
    let syncs = sim.world().segment_syncs;
    assert_eq!(journal.append(b"three".to_vec()).wait(), Err(error.clone()));
    assert_eq!(journal.append_many(vec![b"four".to_vec()]).wait(), Err(error));
    assert!(matches!(journal.health(), Health::Stopped { .. }));
    assert_eq!(journal.checkpoint().size, 1);
    journal.close();
    assert_eq!(sim.world().segment_syncs, syncs);
    assert!(!sim.names().contains(&"reserve".to_owned()));

    sim.process_restart();
    let (log, _, recovery) = open_log(Arc::new(sim.clone()), &options(), &key, false, None, &mut |_, _| {}).unwrap();
    assert!(recovery.stopped.unwrap().starts_with("cannot flush a batch"));
    drop(log);
}

#[test]
fn a_flipped_bit_is_never_taken_for_a_crash_once_the_mark_covers_it() {
    let mut random = Random::new(77);
    for _ in 0..300 {
        let mut case = Case::new(5);
        let (mut log, _) = case.open().unwrap();
        (0..12).for_each(|_| case.commit(&mut log).unwrap());
        drop(log);
        let generation = 1 + random.below(2);
        let path = segment_path(Path::new(DIR), generation);
        // Both segments are written at least this far.
        case.sim.flip(&path, usize::try_from(random.below(2048)).unwrap());
        let key = SigningKey::from_seed(&[3; 32]);
        let opened = open_log(Arc::new(case.sim.clone()), &options(), &key, false, None, &mut |_, _| {});
        assert!(matches!(opened, Err(OpenError::Damaged { .. } | OpenError::RolledBack { .. })));
    }
}

#[test]
fn a_power_cut_while_entries_are_erased_leaves_the_segment_as_it_was_or_as_it_will_be() {
    let (mut cuts, mut whole, mut erased) = (0, 0, 0);
    for seed in 0..40 {
        for at in 1.. {
            let mut case = Case::new(seed);
            let (mut log, _) = case.open().unwrap();
            (0..12).for_each(|_| case.commit(&mut log).unwrap());
            drop(log);
            let before = case.durable.clone();
            let full = full_segments(&case.sim, Path::new(DIR)).unwrap();
            let segment = full[0];
            let odd = |index: u64| index % 2 == 1;
            let (bytes, _) = rewrite(&case.sim, Path::new(DIR), 1, &mut |index, leaf| match leaf {
                Leaf::Entry(entry) if !odd(index) => Some(entry.into()),
                _ => None,
            })
            .unwrap();
            let operations = case.sim.world().operations;
            case.sim.world().fault = Some((operations + at, Fault::PowerCut));
            let done = replace(&case.sim, Path::new(DIR), 1, &bytes).is_ok();
            if !done {
                cuts += 1;
            }
            case.sim.world().fault = None;
            case.sim.power_cycle(&mut case.random);
            let mut found = Vec::new();
            let key = SigningKey::from_seed(&[3; 32]);
            let mut sink = |index: u64, entry: &[u8]| found.push((index, entry.to_vec()));
            drop(open_log(Arc::new(case.sim.clone()), &options(), &key, false, None, &mut sink).unwrap());
            assert!(!case.sim.names().iter().any(|name| name.ends_with(REWRITING_SUFFIX)));
            let all: Vec<(u64, Vec<u8>)> = (0..).zip(before).collect();
            let left: Vec<_> = all
                .iter()
                .filter(|(index, _)| !(segment.first_index..segment.end_index).contains(index) || !odd(*index))
                .cloned()
                .collect();
            assert!(found == all || found == left, "seed {seed} at {at}");
            assert!(!done || found == left, "what was done is undone: seed {seed} at {at}");
            *(if found == all { &mut whole } else { &mut erased }) += 1;
            if done {
                break;
            }
        }
    }
    assert!(cuts > 100 && whole > 40 && erased > 40, "{cuts} cuts: {whole} whole, {erased} erased");
}

#[test]
fn anything_in_a_segment_is_read_without_a_panic() {
    let mut random = Random::new(11);
    for round in 0..400 {
        let mut case = Case::new(5);
        let (mut log, _) = case.open().unwrap();
        (0..4).for_each(|_| case.commit(&mut log).unwrap());
        drop(log);
        let path = segment_path(Path::new(DIR), 1);
        let file = case.sim.open(&path, true).unwrap();
        let (start, length) = (random.below(4096), 1 + random.below(if round % 2 == 0 { 4 } else { 2048 }));
        let garbage: Vec<u8> = (0..length).map(|_| u8::try_from(random.below(256)).unwrap()).collect();
        file.write_at(&garbage, start).unwrap();
        let mut reader = Reader::open_with(Box::new(case.sim.clone()), Path::new(DIR), 0).unwrap();
        while let Ok(Some(_)) = reader.next() {}
        let key = SigningKey::from_seed(&[3; 32]);
        let _ = open_log(Arc::new(case.sim.clone()), &options(), &key, false, None, &mut |_, _| {});
    }
}
