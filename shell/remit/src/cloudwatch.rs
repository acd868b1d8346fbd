//! Metrics of decisions for CloudWatch: counted along the journal, put every ten seconds from a bounded queue.
//!
//! No call waits for any of it: the journal is followed by a thread, and requests are made by a task. While CloudWatch can't be reached the
//! newest are kept, and what had to be given up is counted and told.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use remit_channel::ChannelError;
use remit_channel::cloudwatch::{Metrics, is_final};
use remit_gateway::rfc3339;
use remit_kernel::alarm::Event;
use remit_model::CloudWatch;
use remit_telemetry::cloudwatch::{Request, requests};
use remit_telemetry::figures::Batch;
use tokio::sync::{Notify, watch};

use crate::follow::{Follow, Following};
use crate::output::{Failure, warn};
use crate::up::World;
use crate::{now_ms, now_secs};

/// How often metrics are put.
const INTERVAL: Duration = Duration::from_secs(10);
/// How many bytes wait at most.
const WAITING_BYTES_MAX: usize = 16 * 1024 * 1024;
/// How long is waited before what failed is tried again; twice as long after each further failure.
const PAUSE: Duration = Duration::from_secs(1);
/// The longest that is waited.
const PAUSE_MAX: Duration = Duration::from_mins(1);
/// How long the end of the gateway waits for what is left.
const END: Duration = Duration::from_secs(5);

/// What waits to be put.
#[derive(Debug, Default)]
pub(crate) struct Outbox {
    waiting: Mutex<VecDeque<Request>>,
    come: Notify,
    put: AtomicU64,
    lost: AtomicU64,
}

impl Outbox {
    fn waiting(&self) -> std::sync::MutexGuard<'_, VecDeque<Request>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes requests; the oldest give way.
    fn add(&self, more: Vec<Request>) {
        let mut waiting = self.waiting();
        waiting.extend(more);
        let mut bytes: usize = waiting.iter().map(|request| request.body.len()).sum();
        while bytes > WAITING_BYTES_MAX
            && let Some(oldest) = waiting.pop_front()
        {
            bytes -= oldest.body.len();
            self.lose(oldest.data);
        }
        drop(waiting);
        self.come.notify_one();
    }

    fn lose(&self, data: usize) {
        self.lost.fetch_add(data as u64, Ordering::Relaxed);
    }

    /// What is put next, which stays in its place until it was.
    fn next(&self) -> Option<Request> {
        self.waiting().front().cloned()
    }

    /// Takes the first away, unless it gave way meanwhile.
    fn done(&self, request: &Request, taken: bool) {
        let mut waiting = self.waiting();
        let still = waiting.front() == Some(request);
        if still {
            waiting.pop_front();
        }
        // What gave way was counted then.
        match (taken, still) {
            (true, _) => drop(self.put.fetch_add(request.data as u64, Ordering::Relaxed)),
            (false, true) => self.lose(request.data),
            (false, false) => {}
        }
    }

    /// Gives up what waits: nobody wants it any more.
    fn give_up(&self) -> usize {
        let data = self.waiting().drain(..).map(|request| request.data).sum();
        self.lose(data);
        data
    }

    /// The figures as Prometheus reads them.
    pub(crate) fn prometheus(&self) -> String {
        let (put, lost) = (self.put.load(Ordering::Relaxed), self.lost.load(Ordering::Relaxed));
        let waiting: usize = self.waiting().iter().map(|request| request.data).sum();
        format!(
            "# HELP remit_cloudwatch_data_total Data of metrics that CloudWatch took\n# TYPE remit_cloudwatch_data_total counter\n\
             remit_cloudwatch_data_total {put}\n\
             # HELP remit_cloudwatch_lost_total Data of metrics that were given up\n# TYPE remit_cloudwatch_lost_total counter\n\
             remit_cloudwatch_lost_total {lost}\n\
             # HELP remit_cloudwatch_waiting Data of metrics that wait to be put\n# TYPE remit_cloudwatch_waiting gauge\n\
             remit_cloudwatch_waiting {waiting}\n"
        )
    }
}

/// Counts along the journal.
struct Counting {
    world: Arc<World>,
    batch: Batch,
    begun: Instant,
    /// Whether the configuration in effect asks for it.
    wanted: bool,
}

fn wanted(world: &World) -> bool {
    world.gateway.snapshot().organization.cloudwatch.is_some()
}

impl Follow for Counting {
    fn take(&mut self, _index: u64, entry: &[u8]) {
        if self.wanted
            && let Some(event) = Event::read(entry)
        {
            self.batch.add(&event);
        }
    }

    fn turn(&mut self, last: bool) {
        self.wanted = wanted(&self.world);
        if !last && self.begun.elapsed() < INTERVAL {
            return;
        }
        self.begun = Instant::now();
        let requests = requests(&self.batch.take(), &rfc3339(now_ms()));
        if !requests.is_empty() {
            self.world.cloudwatch.add(requests);
        }
    }
}

/// Counts and puts until it is ended.
pub(crate) struct Putting {
    counting: Following,
    world: Arc<World>,
    task: tokio::task::JoinHandle<()>,
    ending: watch::Sender<bool>,
}

/// Begins with the entry of this index. Must be called on the runtime.
pub(crate) fn keep(world: &Arc<World>, from: u64) -> Result<Putting, Failure> {
    let counting = Counting { world: Arc::clone(world), batch: Batch::default(), begun: Instant::now(), wanted: wanted(world) };
    let counting = Following::start("metrics put to CloudWatch", &world.home.journal(), from, counting)?;
    let (ending, ends) = watch::channel(false);
    let task = tokio::spawn(put(Arc::clone(world), ends));
    Ok(Putting { counting, world: Arc::clone(world), task, ending })
}

impl Putting {
    /// Counts what is durable by now, puts what is left if that goes, and ends.
    pub(crate) async fn end(self) {
        drop(self.counting);
        let _ = self.ending.send(true);
        let abort = self.task.abort_handle();
        if tokio::time::timeout(END, self.task).await.is_err() {
            abort.abort();
        }
        let left = self.world.cloudwatch.give_up();
        if left > 0 {
            warn(&format!("CloudWatch: {left} data of metrics were not put before the end; the journal has everything"));
        }
    }
}

/// Puts one after the other, and says once that it can't or is refused, and once that it can again. At the end what is left is put, unless that fails.
async fn put(world: Arc<World>, mut ends: watch::Receiver<bool>) {
    let (mut pause, mut away, mut refused) = (PAUSE, false, false);
    let outbox = &world.cloudwatch;
    loop {
        let ending = *ends.borrow();
        let Some(request) = outbox.next() else {
            if ending {
                return;
            }
            tokio::select! {
                () = outbox.come.notified() => {}
                _ = ends.wait_for(|ends| *ends) => {}
            }
            continue;
        };
        let Err(error) = attempt(&world, &request).await else {
            outbox.done(&request, true);
            pause = PAUSE;
            if std::mem::take(&mut away) | std::mem::take(&mut refused) {
                let lost = outbox.lost.load(Ordering::Relaxed);
                warn(&format!("CloudWatch takes metrics again; {lost} data were given up since the start"));
            }
            continue;
        };
        if is_final(&error) {
            outbox.done(&request, false);
            if !std::mem::replace(&mut refused, true) {
                warn(&format!("CloudWatch refuses metrics, which are given up: {error}; the journal has everything"));
            }
            continue;
        }
        if !std::mem::replace(&mut away, true) {
            warn(&format!("metrics can't be put to CloudWatch: {error}; it is tried again, and the journal has everything"));
        }
        if ending {
            return;
        }
        tokio::select! {
            () = tokio::time::sleep(pause) => {}
            _ = ends.wait_for(|ends| *ends) => {}
        }
        pause = (2 * pause).min(PAUSE_MAX);
    }
}

/// Puts one request where the configuration in effect says.
async fn attempt(world: &World, request: &Request) -> Result<(), ChannelError> {
    let organization = Arc::clone(&world.gateway.snapshot().organization);
    let Some(CloudWatch { region, endpoint, credentials, network }) = &organization.cloudwatch else {
        // It was taken out of the configuration meanwhile.
        world.cloudwatch.give_up();
        return Ok(());
    };
    let credentials = world.secret(credentials).map_err(ChannelError::Invalid)?;
    let metrics = Metrics { region, endpoint: endpoint.as_deref(), network: *network, credentials: &credentials };
    metrics.put(&world.tls, request.body.clone(), now_secs()).await
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(bytes: usize, data: usize) -> Request {
        Request { body: "x".repeat(bytes), data }
    }

    #[test]
    fn what_waits_is_bounded_and_the_oldest_are_given_up_and_counted() {
        let outbox = Outbox::default();
        let size = WAITING_BYTES_MAX / 8;
        outbox.add((1..=8).map(|data| request(size, data)).collect());
        let first = outbox.next();
        assert_eq!(first.as_ref().map(|first| first.data), Some(1));
        // The one that is under way gives way to the newest two, and what comes of it is no loss twice.
        outbox.add(vec![request(size, 9), request(size, 10)]);
        assert!(outbox.prometheus().contains("remit_cloudwatch_lost_total 3\n"));
        first.iter().for_each(|first| outbox.done(first, false));
        assert!(outbox.prometheus().contains("remit_cloudwatch_lost_total 3\n"));
        assert_eq!(outbox.next().map(|next| next.data), Some(3));
        for _ in 0..2 {
            outbox.next().iter().for_each(|next| outbox.done(next, true));
        }
        assert!(outbox.prometheus().contains("remit_cloudwatch_data_total 7\n"));
        outbox.next().iter().for_each(|next| outbox.done(next, false));
        assert!(outbox.prometheus().contains("remit_cloudwatch_lost_total 8\n"));
        assert_eq!(outbox.give_up(), 6 + 7 + 8 + 9 + 10);
        assert!(outbox.next().is_none() && outbox.prometheus().contains("remit_cloudwatch_waiting 0\n"));
    }
}
