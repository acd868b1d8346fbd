//! What the nodes share, and time: as traits, so that a test can put a world of its own there.

use std::future::Future;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use remit_bucket::{Bucket, BucketError, Put};

pub use remit_bucket::Condition;

/// The largest object that is read back.
pub(crate) const OBJECT_BYTES_MAX: usize = 128 * 1024 * 1024;

/// Why an object was not written or read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Refusal {
    /// The condition doesn't hold (412). What is there may be one's own write whose answer was lost.
    Condition,
    /// Another write is under way (409): nothing is known, and it may be tried again.
    Busy,
    /// No answer, or one that says nothing: a write may have landed, may land later, or never.
    Unknown(String),
    /// It was refused, and would be again.
    Refused(String),
}

/// Objects that are written under conditions. A write that answered is read by everybody who asks afterwards, as with Amazon S3 ("Amazon S3 data
/// consistency model").
pub trait Objects: Send + Sync {
    /// Writes an object whole, and answers its entity tag.
    fn put(&self, key: &str, body: Bytes, condition: &Condition) -> impl Future<Output = Result<String, Refusal>> + Send;

    /// Reads an object with its entity tag; `None` if there is none.
    fn get(&self, key: &str) -> impl Future<Output = Result<Option<(Bytes, String)>, Refusal>> + Send;

    /// The first keys that begin with `prefix`, in order: about `count`, or all.
    fn list(&self, prefix: &str, count: usize) -> impl Future<Output = Result<Vec<String>, Refusal>> + Send;

    /// Deletes an object; one that isn't there is deleted.
    fn delete(&self, key: &str) -> impl Future<Output = Result<(), Refusal>> + Send;
}

/// Time that never goes back, and goes on while the process is stopped.
pub trait Clock: Send + Sync {
    /// Milliseconds since some moment.
    fn now_ms(&self) -> u64;

    /// Waits.
    fn sleep(&self, ms: u64) -> impl Future<Output = ()> + Send;
}

/// The objects of a bucket.
#[derive(Debug, Clone)]
pub struct BucketObjects(pub Bucket);

impl Objects for BucketObjects {
    async fn put(&self, key: &str, body: Bytes, condition: &Condition) -> Result<String, Refusal> {
        let put = Put { condition: condition.clone(), content_type: Some("application/octet-stream"), ..Put::default() };
        self.0.put(key, body, &put, wall_secs()).await.map(|written| written.etag).map_err(|error| refusal(&error))
    }

    async fn get(&self, key: &str) -> Result<Option<(Bytes, String)>, Refusal> {
        self.0.get_tagged(key, OBJECT_BYTES_MAX, wall_secs()).await.map_err(|error| refusal(&error))
    }

    async fn list(&self, prefix: &str, count: usize) -> Result<Vec<String>, Refusal> {
        let (mut names, mut next) = (Vec::new(), None::<String>);
        loop {
            let page = self.0.list(prefix, next.as_deref(), wall_secs()).await.map_err(|error| refusal(&error))?;
            names.extend(page.objects.into_iter().map(|object| object.key));
            next = page.next;
            if next.is_none() || names.len() >= count {
                return Ok(names);
            }
        }
    }

    async fn delete(&self, key: &str) -> Result<(), Refusal> {
        self.0.delete(key, None, wall_secs()).await.map_err(|error| refusal(&error))
    }
}

fn refusal(error: &BucketError) -> Refusal {
    match error {
        BucketError::Precondition { .. } => Refusal::Condition,
        BucketError::Conflict { .. } => Refusal::Busy,
        error if error.may_pass() => Refusal::Unknown(error.to_string()),
        error => Refusal::Refused(error.to_string()),
    }
}

/// Seconds since the epoch, which signatures name.
fn wall_secs() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
}

/// The most that the system's time may run ahead of the time that goes by before the machine is taken to have slept.
const SLEPT: Duration = Duration::from_mins(1);

/// The system's own clock. What measures time stands still while a machine sleeps, or is stopped by its host: a jump of the time of day counts.
#[derive(Debug, Clone)]
pub struct SystemClock(Arc<Mutex<Passed>>);

#[derive(Debug)]
struct Passed {
    all: Duration,
    at: (Instant, SystemTime),
}

impl Passed {
    fn look(&mut self, now: (Instant, SystemTime)) -> Duration {
        let measured = now.0.saturating_duration_since(self.at.0);
        let told = now.1.duration_since(self.at.1).unwrap_or_default();
        self.all += if told > measured + SLEPT { told } else { measured };
        self.at = now;
        self.all
    }
}

impl SystemClock {
    /// A clock that begins now.
    pub fn start() -> Self {
        Self(Arc::new(Mutex::new(Passed { all: Duration::ZERO, at: (Instant::now(), SystemTime::now()) })))
    }
}

impl Clock for SystemClock {
    fn now_ms(&self) -> u64 {
        let mut passed = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let all = passed.look((Instant::now(), SystemTime::now()));
        u64::try_from(all.as_millis()).unwrap_or(u64::MAX)
    }

    async fn sleep(&self, ms: u64) {
        tokio::time::sleep(Duration::from_millis(ms)).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_machine_that_slept_knows_it_and_a_clock_that_is_set_right_matters_little() {
        let (began, day) = (Instant::now(), SystemTime::now());
        let after = |measured: u64, told: u64| (began + Duration::from_secs(measured), day + Duration::from_secs(told));
        let mut passed = Passed { all: Duration::ZERO, at: (began, day) };
        assert_eq!(passed.look(after(2, 2)).as_secs(), 2);
        assert_eq!(passed.look(after(3, 33)).as_secs(), 3, "it was set");
        assert_eq!(passed.look(after(4, 7_234)).as_secs(), 3 + 7_201, "it slept");
        assert_eq!(passed.look(after(5, 0)).as_secs(), 3 + 7_202, "it was set back");
    }
}
