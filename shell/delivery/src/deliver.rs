//! The deliveries of a gateway: each on a thread of its own, which reads the journal's files like anybody else. No call waits for one, and a
//! destination that is away holds back nothing but its own cursor.
//!
//! At least once: the cursor moves after the destination has taken a batch, so that what was sent when a gateway ended is sent again.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use remit_export::{Filter, Pairing, Places, Record};
use remit_journal::{Reader, TreeLeaf};
use remit_model::Delivery;
use remit_tlog::Hash;
use tokio::sync::watch;

use crate::cursor::{Cursor, Kept, Trouble};
use crate::{DeliveryError, Way};

/// How long is waited before the journal is looked at again.
const POLL: Duration = Duration::from_millis(200);
/// The most records of a batch.
const RECORDS_MAX: usize = 2_000;
/// The most bytes of entries in a batch.
const BYTES_MAX: usize = 8 * 1024 * 1024;
/// How long is waited before the second try; twice as long before each further one.
const PAUSE: Duration = Duration::from_millis(500);
/// The longest pause between tries.
const PAUSE_MAX: Duration = Duration::from_mins(1);
/// How often a cursor moves over entries of which no record is made.
const IDLE: Duration = Duration::from_secs(5);

/// How a delivery stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Standing {
    /// Its name.
    pub name: String,
    /// How many entries it has read to the end of, in the destination's hands.
    pub next: u64,
    /// How often a batch could not be delivered since it was begun.
    pub failures: u64,
    /// What is wrong now.
    pub error: Option<String>,
}

/// The deliveries of a gateway.
#[derive(Debug)]
pub struct Deliveries {
    journal: PathBuf,
    dir: PathBuf,
    origin: String,
    way: Way,
    running: Vec<Running>,
}

#[derive(Debug)]
struct Running {
    delivery: Delivery,
    places: Places,
    stop: watch::Sender<bool>,
    thread: Option<JoinHandle<()>>,
    standing: Arc<Mutex<Standing>>,
}

impl Running {
    /// Tells the thread to end; whoever drops it waits for it.
    fn stop(&self) {
        let _ = self.stop.send(true);
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.stop();
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

impl Deliveries {
    /// Deliveries of the journal in `journal`, whose checkpoints bear `origin`; how far each is stands in `dir`.
    pub fn new(journal: &Path, dir: &Path, origin: &str, way: Way) -> Self {
        let (journal, dir) = (journal.to_owned(), dir.to_owned());
        Self { journal, dir, origin: origin.to_owned(), way, running: Vec::new() }
    }

    /// Runs these from now on: those that are as they were go on, others end first. Waits for what is being sent to end.
    pub fn run(&mut self, deliveries: &[Delivery], places: &Places) -> Result<(), DeliveryError> {
        let stays = |running: &Running| deliveries.contains(&running.delivery) && running.places == *places;
        self.running.iter().filter(|running| !stays(running)).for_each(Running::stop);
        self.running.retain(stays);
        for delivery in deliveries {
            if self.running.iter().all(|running| running.delivery != *delivery) {
                let running = self.start(delivery.clone(), places.clone())?;
                self.running.push(running);
            }
        }
        Ok(())
    }

    fn start(&self, delivery: Delivery, places: Places) -> Result<Running, DeliveryError> {
        let (stop, stopping) = watch::channel(false);
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(DeliveryError::Thread)?;
        let standing = Standing { name: delivery.name.clone(), next: 0, failures: 0, error: None };
        let standing = Arc::new(Mutex::new(standing));
        let worker = Worker {
            journal: self.journal.clone(),
            kept: Kept::new(&self.dir, &delivery.name),
            origin: self.origin.clone(),
            way: self.way.clone(),
            delivery: delivery.clone(),
            places: places.clone(),
            standing: Arc::clone(&standing),
            records_max: RECORDS_MAX,
        };
        let name = format!("deliver-{}", delivery.name);
        let thread = std::thread::Builder::new().name(name).spawn(move || runtime.block_on(worker.run(stopping)));
        let thread = Some(thread.map_err(DeliveryError::Thread)?);
        Ok(Running { delivery, places, stop, thread, standing })
    }

    /// How each stands.
    pub fn standings(&self) -> Vec<Standing> {
        let of = |running: &Running| running.standing.lock().unwrap_or_else(PoisonError::into_inner).clone();
        self.running.iter().map(of).collect()
    }
}

/// One delivery.
struct Worker {
    journal: PathBuf,
    kept: Kept,
    origin: String,
    way: Way,
    delivery: Delivery,
    places: Places,
    standing: Arc<Mutex<Standing>>,
    /// The most records of a batch: fewer where the destination takes no more at once.
    records_max: usize,
}

/// A journal that is being read on from a cursor.
struct Reading {
    reader: Reader,
    pairing: Pairing,
    cursor: Cursor,
    batch: Vec<Record>,
    bytes: usize,
    /// When the first record of the batch came.
    since: Option<Instant>,
    /// The leaf hash of the last entry that was read.
    leaf: Option<Hash>,
    kept_at: Instant,
}

impl Worker {
    async fn run(mut self, mut stop: watch::Receiver<bool>) {
        let mut trouble: Option<Trouble> = None;
        let mut reading: Option<Reading> = None;
        let mut pause = PAUSE;
        loop {
            let stepped = tokio::select! {
                _ = stop.wait_for(|stop| *stop) => return,
                stepped = self.step(&mut reading) => stepped,
            };
            let wait = match stepped {
                Ok(again) => {
                    let sent_all = reading.as_ref().is_none_or(|reading| reading.batch.is_empty());
                    if sent_all && trouble.take().is_some() {
                        self.kept.troubled(None);
                        self.stands(|standing| standing.error = None);
                    }
                    if sent_all {
                        pause = PAUSE;
                    }
                    if again { Duration::ZERO } else { POLL }
                }
                Err(error) => {
                    let said = error.to_string();
                    let mut now =
                        trouble.take().unwrap_or_else(|| Trouble { error: String::new(), since_secs: now_secs(), tries: 0 });
                    now.tries += 1;
                    now.error.clone_from(&said);
                    self.kept.troubled(Some(&now));
                    trouble = Some(now);
                    self.stands(|standing| {
                        standing.failures += 1;
                        standing.error = Some(said);
                    });
                    // What was read is read again: only what is on disk counts.
                    reading = None;
                    let wait = jittered(pause);
                    pause = (pause * 2).min(PAUSE_MAX);
                    wait
                }
            };
            if wait > Duration::ZERO {
                tokio::select! {
                    _ = stop.wait_for(|stop| *stop) => return,
                    () = tokio::time::sleep(wait) => {}
                }
            }
        }
    }

    fn stands(&self, change: impl FnOnce(&mut Standing)) {
        change(&mut self.standing.lock().unwrap_or_else(PoisonError::into_inner));
    }

    /// Reads on, and sends what is due. Says whether there may be more at once.
    async fn step(&mut self, reading: &mut Option<Reading>) -> Result<bool, DeliveryError> {
        let reading = match reading {
            Some(reading) => reading,
            none => none.insert(self.open()?),
        };
        let whole = reading.read(self.records_max)?;
        let gathered = Duration::from_secs(self.delivery.gather_secs);
        let due = whole || reading.since.is_some_and(|since| since.elapsed() >= gathered);
        if reading.batch.is_empty() {
            if reading.kept_at.elapsed() >= IDLE && reading.pairing.standing() != reading.cursor.open {
                self.keep(reading, 0)?;
            }
            return Ok(whole);
        }
        if !due {
            return Ok(false);
        }
        let sent = self.way.send(&self.delivery, reading.cursor.open.next, &reading.batch, now_secs()).await;
        if matches!(sent, Err(DeliveryError::TooLarge)) && reading.batch.len() > 1 {
            self.records_max = reading.batch.len() / 2;
        }
        sent?;
        let records = reading.batch.len() as u64;
        self.keep(reading, records)?;
        Ok(true)
    }

    fn keep(&self, reading: &mut Reading, records: u64) -> Result<(), DeliveryError> {
        let mut cursor = reading.cursor.clone();
        cursor.open = reading.pairing.standing();
        cursor.leaf = reading.leaf.map(|leaf| leaf.to_string());
        cursor.records += records;
        if records > 0 {
            cursor.delivered_at_secs = now_secs();
        }
        self.kept.keep(&cursor)?;
        self.stands(|standing| standing.next = cursor.open.next);
        reading.cursor = cursor;
        reading.batch.clear();
        reading.bytes = 0;
        reading.since = None;
        reading.kept_at = Instant::now();
        Ok(())
    }

    /// Opens the journal where the cursor is, and makes sure that it is the same journal.
    fn open(&self) -> Result<Reading, DeliveryError> {
        let cursor = self.kept.cursor()?;
        self.stands(|standing| standing.next = cursor.open.next);
        let filter = Filter {
            agents: self.delivery.agents.clone(),
            spaces: self.delivery.spaces.clone(),
            tools: self.delivery.tools.clone(),
            verdicts: self.delivery.verdicts.clone(),
            ..Filter::default()
        };
        let mut pairing = Pairing::new(&self.origin, filter, self.places.clone(), cursor.open.clone());
        let mut reader = Reader::open(&self.journal, cursor.open.from())?;
        let mut leaf = None;
        while cursor.open.next > 0 && leaf.is_none() {
            let Some(entry) = reader.next_leaf()? else { return Err(DeliveryError::Foreign { next: cursor.open.next }) };
            // Of what was told before, only open decisions count: nothing can come of it yet.
            let _ = paired(&mut pairing, &entry);
            // It is there even if the entry was erased.
            leaf = (entry.index + 1 == cursor.open.next).then_some(entry.hash);
        }
        if let (Some(wanted), Some(found)) = (&cursor.leaf, &leaf)
            && *wanted != found.to_string()
        {
            return Err(DeliveryError::Foreign { next: cursor.open.next });
        }
        let (batch, bytes, since, kept_at) = (Vec::new(), 0, None, Instant::now());
        Ok(Reading { reader, pairing, cursor, batch, bytes, since, leaf, kept_at })
    }
}

impl Reading {
    /// Reads on to the end of what is durable, or until the batch is whole; says whether it is.
    fn read(&mut self, records_max: usize) -> Result<bool, DeliveryError> {
        while self.batch.len() < records_max && self.bytes < BYTES_MAX {
            let Some(entry) = self.reader.next_leaf()? else { return Ok(false) };
            self.leaf = Some(entry.hash);
            if let Some(record) = paired(&mut self.pairing, &entry) {
                self.bytes += entry.bytes.as_ref().map_or(0, Vec::len);
                self.batch.push(record);
                self.since.get_or_insert_with(Instant::now);
            }
        }
        Ok(true)
    }
}

/// The record that a leaf of the journal completes, if it does.
fn paired(pairing: &mut Pairing, leaf: &TreeLeaf) -> Option<Record> {
    if let Some(bytes) = &leaf.bytes {
        return pairing.take(leaf.index, bytes);
    }
    pairing.pass(leaf.index, leaf.hash);
    None
}

/// Between half of a pause and all of it: many that wait for the same destination don't come back at once.
fn jittered(pause: Duration) -> Duration {
    let mut random = [0; 2];
    let _ = aws_lc_rs::rand::fill(&mut random);
    pause.mul_f64(0.5 + f64::from(u16::from_le_bytes(random)) / f64::from(u16::MAX) / 2.0)
}

fn now_secs() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
}
