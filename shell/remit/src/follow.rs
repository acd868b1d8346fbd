//! Those who follow the journal's entries, each on a thread of its own: no call ever waits for one.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use remit_journal::{ReadError, Reader};

use crate::output::{Failure, warn};

/// How long is waited before new entries are looked for.
const POLL: Duration = Duration::from_millis(50);
/// How long is waited before what could not be read is read again.
const RETRY: Duration = Duration::from_secs(1);

/// Follows the journal.
pub(crate) trait Follow: Send + 'static {
    /// Takes the next entry, which has this index.
    fn take(&mut self, index: u64, entry: &[u8]);

    /// All that is durable by now was taken. `last`: nothing more comes.
    fn turn(&mut self, last: bool);
}

/// Goes on until this is dropped; what is durable by then is taken first.
pub(crate) struct Following {
    stop: Arc<(Mutex<bool>, Condvar)>,
    thread: Option<JoinHandle<()>>,
}

impl Following {
    /// Follows a journal from the entry with this index on.
    pub(crate) fn start(name: &'static str, journal: &Path, from: u64, follow: impl Follow) -> Result<Self, Failure> {
        let stop = Arc::new((Mutex::new(false), Condvar::new()));
        let run = Run { name, journal: journal.to_owned(), next: from, stop: Arc::clone(&stop), follow };
        let thread = std::thread::Builder::new().name(name.to_owned()).spawn(move || run.run());
        Ok(Self { stop, thread: Some(thread.map_err(|error| Failure::new(format!("{name}: no thread: {error}")))?) })
    }
}

impl Drop for Following {
    fn drop(&mut self) {
        *self.stop.0.lock().unwrap_or_else(PoisonError::into_inner) = true;
        self.stop.1.notify_all();
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

struct Run<F> {
    name: &'static str,
    journal: PathBuf,
    next: u64,
    stop: Arc<(Mutex<bool>, Condvar)>,
    follow: F,
}

impl<F: Follow> Run<F> {
    fn run(mut self) {
        while let Err(error) = self.through() {
            warn(&format!("{}: the journal can't be followed: {error}", self.name));
            if self.wait(RETRY) {
                return;
            }
        }
    }

    /// Goes through the journal until it is told to stop.
    fn through(&mut self) -> Result<(), ReadError> {
        let mut reader = Reader::open(&self.journal, self.next)?.without_signatures();
        loop {
            // Asked first: what was durable before it was told to stop is taken.
            let last = self.wait(POLL);
            while let Some(entry) = reader.next()? {
                self.follow.take(entry.index, &entry.bytes);
                self.next = entry.index + 1;
            }
            self.follow.turn(last);
            if last {
                return Ok(());
            }
        }
    }

    /// Waits for so long, or until it is told to stop; whether it was.
    fn wait(&self, longest: Duration) -> bool {
        let stop = self.stop.0.lock().unwrap_or_else(PoisonError::into_inner);
        let goes_on = |stop: &mut bool| !*stop;
        *self.stop.1.wait_timeout_while(stop, longest, goes_on).unwrap_or_else(PoisonError::into_inner).0
    }
}
