//! How many appends a second, and at what cost: `cargo run --release -p remit-journal --example throughput [DIR] [SECONDS]`.
//!
//! Each row is a number of producers, each of which appends 1 KiB, waits until it is durable, and appends again. The bare
//! writer does nothing but write the same bytes to a zero-filled file and flush it, all producers in one batch: what the
//! machine can do at best.

#![allow(clippy::cast_precision_loss, reason = "figures for people")]

use std::collections::VecDeque;
use std::error::Error;
use std::fs::{File, read_to_string};
use std::future::Future as _;
use std::io::Write as _;
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, Wake, Waker};
use std::thread::{self, Thread};
use std::time::{Duration, Instant};

use remit_journal::{Journal, Options, SigningKey};

const ENTRY_BYTES: usize = 1024;
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
        "CPU in us per append, user + system\nproducers  journal/s     CPU        entries/flush     bare/s     CPU       flush us"
    )?;
    for producers in [1, 16, 64] {
        let bare = bare(&dir, producers, time)?;
        let (journal, batches) = journal(&dir, producers, time)?;
        let flush_us = 1e6 * producers as f64 / bare.per_second;
        writeln!(
            out,
            "{producers:9}  {:9.0}  {:5.2}+{:5.2}  {batches:13.1}  {:9.0}  {:5.2}+{:5.2}  {flush_us:8.1}",
            journal.per_second, journal.user_us, journal.system_us, bare.per_second, bare.user_us, bare.system_us
        )?;
    }
    std::fs::remove_dir_all(&dir)?;
    Ok(())
}

struct Figures {
    per_second: f64,
    user_us: f64,
    system_us: f64,
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
    Ok(Figures { per_second: count / elapsed, user_us, system_us })
}

fn bare(dir: &Path, producers: usize, time: Duration) -> Result<Figures, Box<dyn Error>> {
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

/// The journal's figures, and how many entries shared a flush.
fn journal(dir: &Path, producers: usize, time: Duration) -> Result<(Figures, f64), Box<dyn Error>> {
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
    let figures = measure(time, || {
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
    Ok((figures, report.entries as f64 / report.checkpoints as f64))
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
        let mut queue = self.ready.queue.lock().unwrap_or_else(PoisonError::into_inner);
        queue.push_back(self.id);
        if queue.len() == 1 {
            self.ready.thread.unpark();
        }
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
