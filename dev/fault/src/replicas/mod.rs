//! Eight nodes that share a log in a bucket, as the product has it: its own code of standing by, taking over and writing, in a world that is
//! drawn. Answers get lost, writes arrive late, conditions collide (409), the bucket is away (503), clocks go differently; nodes are stopped
//! for longer than a lease lives, killed, and begin with an empty disk.
//!
//! What was acknowledged is noted outside of the nodes. In the end the log is read from the bucket by an auditor that shares no code with its
//! writers but the opening of what is sealed: numbers without gaps, digests that chain, terms that rise; each acknowledged record is there
//! once; each node's own record is the log's, as far as it goes.

mod world;

use std::collections::{BTreeMap, BTreeSet};
use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

use remit_cluster::{
    BaseFile, Clock as _, Content, JoinError, Key, Lease, NodeId, Options, Place, Pruner, Replica, join, objects_of, save,
};
use remit_tlog::leaf_hash;
use zeroize::Zeroizing;

use crate::Mode;
use crate::random::Random;
use crate::report::{Tally, progress};
use world::{Seen, World};

const NODES: usize = 8;
const PREFIX: &str = "cluster/";
const TTL_MS: u64 = 10_000;
/// How long something has to be unneeded before it is deleted.
const UNNEEDED_MS: u64 = 61_000;
/// How many things happen in a run before it is left in peace.
const STEPS: usize = 12_000;
/// How many more until somebody must have written.
const STEPS_IN_PEACE: usize = 60_000;

type Running = Pin<Box<dyn Future<Output = ()>>>;

/// What one node has on its disk.
#[derive(Default)]
struct Disk {
    /// The records that it has taken over, in order.
    records: Vec<u64>,
    known: BTreeSet<u64>,
    /// How far it says it is: written down less often than records are.
    place: Option<Place>,
}

/// What is noted outside of the nodes.
#[derive(Default)]
struct Notes {
    next_record: u64,
    acknowledged: Vec<u64>,
    takeovers: u64,
    bases: u64,
    restored: u64,
    /// Why nodes could not take part: nothing of that should be.
    refused: Vec<String>,
    /// Whether every writer goes on.
    last_round: bool,
    finished: bool,
}

struct Shared<T>(Arc<Mutex<T>>);

impl<T> Clone for Shared<T> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<T> Shared<T> {
    fn new(value: T) -> Self {
        Self(Arc::new(Mutex::new(value)))
    }

    fn get(&self) -> MutexGuard<'_, T> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A node's disk, as the log's reader writes to it.
struct OnDisk {
    disk: Shared<Disk>,
    notes: Shared<Notes>,
    place: Place,
    reached: u64,
    restored: Option<Vec<u8>>,
}

impl OnDisk {
    fn take(&self, content: &Content) -> Result<(), String> {
        let Content::Change(bytes) = content else { return Err("a content that nobody wrote".to_owned()) };
        let record = bytes.first_chunk().map(|bytes| u64::from_le_bytes(*bytes)).ok_or("a record that nobody wrote")?;
        let mut disk = self.disk.get();
        // It may come again when the node had not written down how far it was.
        if disk.known.insert(record) {
            disk.records.push(record);
        }
        Ok(())
    }
}

impl Replica for OnDisk {
    fn place(&self) -> Place {
        self.place
    }

    fn apply(&mut self, contents: Vec<Content>) -> Result<(), String> {
        contents.iter().try_for_each(|content| self.take(content))
    }

    fn is_alone(&self) -> bool {
        false
    }

    fn own(&mut self) -> Result<Vec<BaseFile>, String> {
        Ok(Vec::new())
    }

    fn restore(&mut self, _name: &str, length: u64, at: u64, bytes: &[u8]) -> Result<(), String> {
        // It counts when all of it is there.
        let restored = self.restored.get_or_insert_default();
        restored.resize(usize::try_from(length).unwrap_or(0), 0);
        let at = usize::try_from(at).unwrap_or(0);
        if let Some(place) = restored.get_mut(at..at + bytes.len()) {
            place.copy_from_slice(bytes);
        }
        Ok(())
    }

    fn reached(&mut self, place: Place) -> Result<(), String> {
        if let Some(restored) = self.restored.take() {
            let mut disk = self.disk.get();
            let records = restored.chunks_exact(8).filter_map(|record| record.first_chunk());
            disk.records = records.map(|record| u64::from_le_bytes(*record)).collect();
            disk.known = disk.records.iter().copied().collect();
            self.notes.get().restored += 1;
        }
        self.place = place;
        self.reached += 1;
        if self.reached.is_multiple_of(3) {
            self.disk.get().place = Some(place);
        }
        Ok(())
    }

    fn stands_by(&mut self, _lease: &Lease) {}

    fn troubled(&mut self, _what: &str) {}
}

/// One run of one node: it stands by, takes over, writes records, and ends when it may not write any more.
async fn node(seen: Seen, options: Options, disk: Shared<Disk>, notes: Shared<Notes>, mut random: Random) {
    let place = disk.get().place.unwrap_or(Place::START);
    let mut replica = OnDisk { disk: disk.clone(), notes: notes.clone(), place, reached: 0, restored: None };
    let mut writer = match join((seen.clone(), seen.clone()), &options, &mut replica).await {
        Ok(writer) => writer,
        // What an operator does then.
        Err(JoinError::Away(_)) => return *disk.get() = Disk::default(),
        Err(error) => return notes.get().refused.push(error.to_string()),
    };
    notes.get().takeovers += 1;
    let mut pruner = Pruner::new(UNNEEDED_MS);
    loop {
        let count = 1 + random.below(4);
        let records: Vec<u64> = {
            let mut notes = notes.get();
            let first = notes.next_record;
            notes.next_record += count;
            (first..first + count).collect()
        };
        let contents: Vec<Content> = records.iter().map(|record| Content::Change(record.to_le_bytes().to_vec())).collect();
        let Ok(place) = writer.append(contents.clone()).await else { return };
        {
            let mut notes = notes.get();
            notes.acknowledged.extend(&records);
            notes.finished |= notes.last_round;
        }
        let applied = replica.apply(contents).and_then(|()| replica.reached(place));
        if let Err(error) = applied {
            return notes.get().refused.push(error);
        }
        if random.below(15) == 0 {
            // What a base holds may be ahead of its place, and never behind.
            let bytes: Vec<u8> = disk.get().records.iter().flat_map(|record| record.to_le_bytes()).collect();
            let files: Vec<BaseFile> = vec![("records".to_owned(), Box::new(std::io::Cursor::new(bytes)))];
            let keyed = (options.prefix.as_str(), &options.key);
            if save((&seen, &seen), keyed, place, files).await.is_ok() {
                notes.get().bases += 1;
            }
        }
        if random.below(8) == 0 {
            let keyed = (options.prefix.as_str(), &options.key);
            let _ = pruner.prune((&seen, &seen), keyed, || writer.holds()).await;
        }
        // Sometimes for longer than it should.
        let rest_ms = if random.below(20) == 0 { TTL_MS } else { 400 };
        seen.sleep(random.below(rest_ms)).await;
        if writer.renewal_due_in_ms() == 0 && writer.renew().await.is_err() {
            return;
        }
    }
}

struct Nodes {
    world: World,
    key: Key,
    disks: Vec<Shared<Disk>>,
    running: Vec<Running>,
    notes: Shared<Notes>,
    starts: u64,
}

impl Nodes {
    fn new(seed: u64, careless: bool) -> Self {
        let world = World::new(seed, NODES, careless);
        let mut nodes = Self {
            world,
            key: Key::new(Zeroizing::new([7; 32])),
            disks: (0..NODES).map(|_| Shared::new(Disk::default())).collect(),
            running: Vec::new(),
            notes: Shared::new(Notes::default()),
            starts: 0,
        };
        nodes.running = (0..NODES).map(|place| nodes.start(place)).collect();
        nodes
    }

    fn start(&mut self, place: usize) -> Running {
        self.starts += 1;
        let mut id = [0; 16];
        for (byte, from) in id.iter_mut().zip(self.starts.to_le_bytes().into_iter().chain((place as u64).to_le_bytes())) {
            *byte = from;
        }
        let options = Options {
            prefix: PREFIX.to_owned(),
            key: self.key.clone(),
            node: NodeId(id),
            address: format!("node-{place}"),
            ttl_ms: TTL_MS,
        };
        let seen = self.world.seen_by(place);
        let random = Random::new(self.world.state().random.next());
        let disk = self.disks.get(place).cloned().unwrap_or_else(|| Shared::new(Disk::default()));
        Box::pin(node(seen, options, disk, self.notes.clone(), random))
    }

    /// A node begins again, with its disk or with an empty one.
    fn restart(&mut self, place: usize, emptied: bool) {
        self.world.state().killed(place);
        if let Some(disk) = self.disks.get(place).filter(|_| emptied) {
            *disk.get() = Disk::default();
        }
        let started = self.start(place);
        if let Some(running) = self.running.get_mut(place) {
            *running = started;
        }
        self.poll(place);
    }

    fn poll(&mut self, place: usize) {
        let mut context = Context::from_waker(Waker::noop());
        let ended = self.running.get_mut(place).is_some_and(|running| running.as_mut().poll(&mut context) == Poll::Ready(()));
        if ended {
            self.restart(place, false);
        }
    }

    /// Nodes are stopped and killed now and then.
    fn disturb(&mut self) {
        let (luck, place) = {
            let mut state = self.world.state();
            (state.random.below(400), state.random.place(NODES))
        };
        match luck {
            0..2 => {
                let mut state = self.world.state();
                state.injected += 1;
                // Sometimes for longer than what nobody needs is kept.
                let longest = if state.random.below(8) == 0 { 4 * UNNEEDED_MS } else { 4 * TTL_MS };
                let until = state.now_ms + state.random.below(longest);
                if let Some(stopped) = state.stopped_until_ms.get_mut(place) {
                    *stopped = until;
                }
            }
            2 => {
                self.world.state().injected += 1;
                self.restart(place, false);
            }
            3 => {
                let emptied = self.world.state().random.below(3) == 0;
                self.world.state().injected += 1;
                self.restart(place, emptied);
            }
            _ => {}
        }
    }

    fn step(&mut self) -> bool {
        let woken = self.world.state().step();
        match woken {
            None => return false,
            Some(place) if place < NODES => self.poll(place),
            Some(_) => {}
        }
        true
    }

    fn run(&mut self) -> Result<(), String> {
        (0..NODES).for_each(|place| self.poll(place));
        for _ in 0..STEPS {
            if !self.step() {
                return Err("nothing can happen any more".to_owned());
            }
            self.disturb();
            if !self.notes.get().refused.is_empty() {
                break;
            }
        }
        {
            let mut state = self.world.state();
            state.faults_on = false;
            state.stopped_until_ms.fill(0);
        }
        self.notes.get().last_round = true;
        for _ in 0..STEPS_IN_PEACE {
            if self.notes.get().finished || !self.notes.get().refused.is_empty() {
                return Ok(());
            }
            if !self.step() {
                return Err("nothing can happen any more".to_owned());
            }
        }
        Err("left in peace, no node wrote any more".to_owned())
    }

    /// Reads the log from the bucket.
    fn audit(&self) -> Result<Vec<u64>, String> {
        let state = self.world.state();
        let mut records = Vec::new();
        let (mut before, mut term, mut writer) = ([0; 32], 0, NodeId([0; 16]));
        for number in 1.. {
            let Some(object) = state.ever.get(&objects_of(PREFIX, number).1) else { break };
            let batch = self.key.open(number, object).map_err(|error| error.to_string())?;
            if batch.before.0 != before {
                return Err(format!("batch {number} does not name the one before it"));
            }
            before = leaf_hash(object).0;
            if batch.contents.is_empty() {
                if batch.term <= term {
                    return Err(format!("batch {number} begins a term that is over"));
                }
                (term, writer) = (batch.term, batch.node);
            } else if (batch.term, batch.node) != (term, writer) {
                return Err(format!("batch {number} is of a writer whose term it is not"));
            }
            for content in batch.contents {
                let Content::Change(bytes) = content else { return Err("a content that nobody wrote".to_owned()) };
                records.push(bytes.first_chunk().map(|bytes| u64::from_le_bytes(*bytes)).ok_or("a short record")?);
            }
        }
        Ok(records)
    }

    fn judge(&self, seed: u64, tally: &mut Tally) {
        let notes = self.notes.get();
        for refused in &notes.refused {
            tally.broke(format!("run {seed}: a node could not take part: {refused}"));
        }
        let overwritten = self.world.state().overwritten;
        if overwritten > 0 {
            tally.lost += overwritten;
            tally.broke(format!("run {seed}: {overwritten} batches were written over"));
        }
        let records = match self.audit() {
            Ok(records) => records,
            Err(error) => return tally.broke(format!("run {seed}: {error}")),
        };
        let mut times: BTreeMap<u64, u64> = BTreeMap::new();
        records.iter().for_each(|record| *times.entry(*record).or_default() += 1);
        let twice = times.values().filter(|times| **times > 1).count() as u64;
        let missing = notes.acknowledged.iter().filter(|record| !times.contains_key(record)).count() as u64;
        tally.lost += twice + missing;
        for (place, disk) in self.disks.iter().enumerate() {
            let disk = disk.get();
            if !records.starts_with(&disk.records) {
                tally.broke(format!("run {seed}: node {place} has another log than the bucket"));
            }
        }
        if notes.acknowledged.is_empty() || notes.takeovers < 2 {
            tally.broke(format!("run {seed}: nothing happened"));
        }
    }
}

/// Runs the test.
#[expect(clippy::unnecessary_wraps, reason = "it runs as the other tests do")]
pub(crate) fn run(mode: Mode) -> Result<Tally, String> {
    let runs = if mode.short { 40 } else { 2_000 };
    let mut tally = Tally::default();
    let (mut acknowledged, mut takeovers, mut bases, mut restored, mut deleted) = (0, 0, 0, 0, 0);
    for seed in 0..runs {
        progress("replicas", seed, runs);
        let mut nodes = Nodes::new(seed, mode.faulty);
        if let Err(error) = nodes.run() {
            tally.broke(format!("run {seed}: {error}"));
        }
        nodes.judge(seed, &mut tally);
        tally.injected += nodes.world.state().injected;
        acknowledged += nodes.notes.get().acknowledged.len();
        takeovers += nodes.notes.get().takeovers;
        bases += nodes.notes.get().bases;
        restored += nodes.notes.get().restored;
        deleted += nodes.world.state().deleted;
    }
    let did =
        format!("{acknowledged} records acknowledged, {takeovers} takeovers, {bases} bases, {restored} nodes begun with one");
    crate::report::say(&format!("replicas: {runs} runs of {NODES} nodes, {did}, {deleted} objects deleted"));
    Ok(tally)
}
