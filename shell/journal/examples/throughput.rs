//! How many appends a second, and at what cost: `cargo run --release -p remit-journal --example throughput [DIR] [SECONDS]`.
//!
//! Each row is a number of producers, each of which appends 1 KiB, waits until it is durable, and appends again. Beside the journal stand two
//! that write the same bytes to a zero-filled file and flush it, without checksums, trees and signatures: a bare writer with the same
//! producers, which takes into a batch what waits, as the journal does; and the disk alone, all producers' bytes in one batch with nobody to
//! wake: what the machine can do at best. The three take turns within a row, so that whatever else the machine does falls on all of them.

#![allow(clippy::cast_precision_loss, reason = "figures for people")]

use std::collections::VecDeque;
use std::error::Error;
use std::fs::{File, read_to_string};
use std::future::Future as _;
use std::io::Write as _;
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::task::{Context, Poll, Wake, Waker};
use std::thread::{self, Thread};
use std::time::{Duration, Instant};

use remit_journal::{Journal, Options, SigningKey};

const ENTRY_BYTES: usize = 1024;
const TURNS: usize = 5;
const BARE_FILE_BYTES: usize = 64 * 1024 * 1024;

fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    let dir = arguments.next().map_or_else(|| std::env::temp_dir().join("remit-throughput"), PathBuf::from);
    let seconds = arguments.next().map_or(Ok(2), |text| text.parse())?;
    let time = Duration::from_secs(seconds);
    std::fs::create_dir_all(&dir)?;
    let mut out = std::io::stdout();
    writeln!(
        out,
        "CPU in us per append, user + system; the medians of {TURNS} turns of {seconds} s each\n\
         producers  journal/s     CPU        entries/flush  bare writer/s     CPU        entries/flush  journal : bare      disk/s  flush us"
    )?;
    for producers in [1, 16, 64] {
        let (mut journals, mut bares, mut disks) = (Vec::new(), Vec::new(), Vec::new());
        for _ in 0..TURNS {
            journals.push(journal(&dir, producers, time)?);
            bares.push(bare(&dir, producers, time)?);
            disks.push(disk(&dir, producers, time)?);
        }
        let (journal, bare, disk) = (median(journals), median(bares), median(disks));
        let (Some(journal), Some(bare), Some(disk)) = (journal, bare, disk) else { continue };
        writeln!(
            out,
            "{producers:9}  {:9.0}  {:5.2}+{:5.2}  {:13.1}  {:13.0}  {:5.2}+{:5.2}  {:13.1}  {:13.0}%  {:10.0}  {:8.1}",
            journal.per_second,
            journal.user_us,
            journal.system_us,
            journal.batch,
            bare.per_second,
            bare.user_us,
            bare.system_us,
            bare.batch,
            100.0 * journal.per_second / bare.per_second,
            disk.per_second,
            1e6 * producers as f64 / disk.per_second,
        )?;
    }
    std::fs::remove_dir_all(&dir)?;
    Ok(())
}

struct Figures {
    per_second: f64,
    user_us: f64,
    system_us: f64,
    /// How many entries shared a flush.
    batch: f64,
}

/// The one in the middle by its speed.
fn median(mut all: Vec<Figures>) -> Option<Figures> {
    all.sort_by(|a, b| a.per_second.total_cmp(&b.per_second));
    let middle = all.len() / 2;
    all.into_iter().nth(middle)
}

/// Runs `step`, which gives how many entries became durable, until the time is over.
fn measure(time: Duration, mut step: impl FnMut() -> Result<u64, Box<dyn Error>>) -> Result<Figures, Box<dyn Error>> {
    let (start, cpu_start, mut count) = (Instant::now(), cpu_seconds()?, 0);
    while start.elapsed() < time {
        count += step()?;
    }
    let (elapsed, cpu, count) = (start.elapsed().as_secs_f64(), cpu_seconds()?, count as f64);
    let ([user, system], [user_start, system_start]) = (cpu, cpu_start);
    let (user_us, system_us) = (1e6 * (user - user_start) / count, 1e6 * (system - system_start) / count);
    Ok(Figures { per_second: count / elapsed, user_us, system_us, batch: 0.0 })
}

/// What waits to be written.
#[derive(Default)]
struct Waiting {
    entries: Vec<(usize, Vec<u8>)>,
    done: bool,
}

/// A writer with producers and nothing else: batches of what waits, written and flushed.
fn bare(dir: &Path, producers: usize, time: Duration) -> Result<Figures, Box<dyn Error>> {
    let file = File::options().read(true).write(true).create(true).truncate(true).open(dir.join("bare"))?;
    file.write_all_at(&vec![0; BARE_FILE_BYTES], 0)?;
    file.sync_all()?;
    let ready = Arc::new(Ready { queue: Mutex::new((0..producers).collect()), thread: thread::current() });
    let shared = Arc::new((Mutex::new(Waiting::default()), Condvar::new()));
    let writer = {
        let (ready, shared) = (Arc::clone(&ready), Arc::clone(&shared));
        thread::spawn(move || -> std::io::Result<(u64, u64)> {
            let (mut offset, mut buffer, mut entries, mut flushes) = (0, Vec::new(), 0, 0);
            loop {
                let batch = {
                    let mut waiting = shared.0.lock().unwrap_or_else(PoisonError::into_inner);
                    while waiting.entries.is_empty() && !waiting.done {
                        waiting = shared.1.wait(waiting).unwrap_or_else(PoisonError::into_inner);
                    }
                    if waiting.done {
                        return Ok((entries, flushes));
                    }
                    std::mem::take(&mut waiting.entries)
                };
                buffer.clear();
                batch.iter().for_each(|(_, bytes)| buffer.extend_from_slice(bytes));
                if offset + buffer.len() > BARE_FILE_BYTES {
                    offset = 0;
                }
                file.write_all_at(&buffer, offset as u64)?;
                file.sync_data()?;
                offset += buffer.len();
                entries += batch.len() as u64;
                flushes += 1;
                batch.into_iter().for_each(|(id, _)| ready.push(id));
            }
        })
    };
    let entry = vec![b'x'; ENTRY_BYTES];
    let mut begun = vec![false; producers];
    let mut figures = measure(time, || {
        let Some(id) = ready.pop() else {
            thread::park();
            return Ok(0);
        };
        // The first time it has nothing that was written.
        let finished = begun.get_mut(id).is_some_and(|begun| std::mem::replace(begun, true));
        shared.0.lock().unwrap_or_else(PoisonError::into_inner).entries.push((id, entry.clone()));
        shared.1.notify_one();
        Ok(u64::from(finished))
    })?;
    shared.0.lock().unwrap_or_else(PoisonError::into_inner).done = true;
    shared.1.notify_one();
    let (entries, flushes) = writer.join().map_err(|_| "the bare writer panicked")??;
    figures.batch = entries as f64 / flushes as f64;
    Ok(figures)
}

/// The disk alone.
fn disk(dir: &Path, producers: usize, time: Duration) -> Result<Figures, Box<dyn Error>> {
    let file = File::options().read(true).write(true).create(true).truncate(true).open(dir.join("bare"))?;
    file.write_all_at(&vec![0; BARE_FILE_BYTES], 0)?;
    file.sync_all()?;
    let batch = vec![b'x'; producers * ENTRY_BYTES];
    let mut offset = 0;
    measure(time, || {
        if offset + batch.len() > BARE_FILE_BYTES {
            offset = 0;
        }
        file.write_all_at(&batch, offset as u64)?;
        file.sync_data()?;
        offset += batch.len();
        Ok(producers as u64)
    })
}

fn journal(dir: &Path, producers: usize, time: Duration) -> Result<Figures, Box<dyn Error>> {
    let dir = dir.join(format!("journal-{producers}"));
    let key = SigningKey::generate().ok_or("no randomness")?;
    let vkey = key.verifier_key("throughput.example/log")?;
    let (journal, _) = Journal::open(Options::new(&dir, "throughput.example/log"), key, |_, _| {})?;
    let ready = Arc::new(Ready { queue: Mutex::new(VecDeque::new()), thread: thread::current() });
    let entry = vec![b'x'; ENTRY_BYTES];
    let wakers: Vec<Waker> = (0..producers).map(|id| Waker::from(Arc::new(Producer { id, ready: Arc::clone(&ready) }))).collect();
    let mut appends = Vec::new();
    for waker in &wakers {
        appends.push(journal.append(entry.clone()));
        waker.wake_by_ref();
    }
    let mut figures = measure(time, || {
        let Some(id) = ready.pop() else {
            thread::park();
            return Ok(0);
        };
        let (Some(append), Some(waker)) = (appends.get_mut(id), wakers.get(id)) else {
            return Ok(0);
        };
        let mut context = Context::from_waker(waker);
        let mut finished = 0;
        while let Poll::Ready(result) = Pin::new(&mut *append).poll(&mut context) {
            result?;
            finished += 1;
            *append = journal.append(entry.clone());
        }
        Ok(finished)
    })?;
    journal.close();
    let report = remit_journal::verify(&dir, &vkey, |_, _| {}, |_, _| {})?;
    if !report.findings.is_empty() {
        return Err(format!("{:?}", report.findings).into());
    }
    std::fs::remove_dir_all(&dir)?;
    figures.batch = report.entries as f64 / report.checkpoints as f64;
    Ok(figures)
}

/// The producers that can go on, and the one thread that runs them all.
struct Ready {
    queue: Mutex<VecDeque<usize>>,
    thread: Thread,
}

impl Ready {
    fn pop(&self) -> Option<usize> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner).pop_front()
    }

    fn push(&self, id: usize) {
        let mut queue = self.queue.lock().unwrap_or_else(PoisonError::into_inner);
        queue.push_back(id);
        if queue.len() == 1 {
            self.thread.unpark();
        }
    }
}

struct Producer {
    id: usize,
    ready: Arc<Ready>,
}

impl Wake for Producer {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.ready.push(self.id);
    }
}

/// The CPU time of this process, in user and in system mode.
fn cpu_seconds() -> Result<[f64; 2], Box<dyn Error>> {
    const TICKS_PER_SECOND: f64 = 100.0;
    let stat = read_to_string("/proc/self/stat")?;
    let after_name = stat.rsplit_once(") ").ok_or("/proc/self/stat is malformed")?.1;
    let mut ticks = after_name.split(' ').skip(11).map(str::parse::<f64>);
    let mut next = || ticks.next().ok_or("/proc/self/stat is malformed");
    Ok([next()?? / TICKS_PER_SECOND, next()?? / TICKS_PER_SECOND])
}
