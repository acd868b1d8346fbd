//! The active node's thread: what waits goes into one batch, and the lease is kept fresh between batches.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::mpsc::{SyncSender, sync_channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use tokio::runtime::Runtime;
use tokio::sync::{mpsc, watch};

use crate::batch::Content;
use crate::log::{Place, Writer, WriterError};
use crate::objects::{Clock, Objects};

/// A batch is closed when it has this many bytes.
const BATCH_BYTES_MAX: usize = 8 * 1024 * 1024;
/// A batch is closed when it has this many contents.
const BATCH_CONTENTS_MAX: usize = 4096;

/// The shared log, on the one node that writes it. Clones share it; when the last is dropped the lease is given back.
#[derive(Clone)]
pub struct Active {
    owner: Arc<Owner>,
}

struct Owner {
    term: u64,
    places: Arc<Mutex<Places>>,
    asked: Mutex<Option<mpsc::UnboundedSender<Asked>>>,
    ended: watch::Receiver<Option<WriterError>>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

struct Asked {
    content: Content,
    answer: SyncSender<Result<Place, WriterError>>,
}

impl Active {
    /// Starts the thread, with the runtime that the writer has been on: the thread alone drives it, so that the log goes on whatever waits for
    /// it elsewhere.
    pub fn start<O: Objects + 'static, C: Clock + 'static>(writer: Writer<O, C>, runtime: Runtime) -> std::io::Result<Self> {
        let (asked, waiting) = mpsc::unbounded_channel();
        let (tell, ended) = watch::channel(None);
        let places = Arc::new(Mutex::new(Places { last: writer.place(), open: BTreeMap::new() }));
        let (term, landing) = (writer.term(), Arc::clone(&places));
        let thread = thread::Builder::new().name("cluster-write".to_owned()).spawn(move || {
            runtime.block_on(run(writer, waiting, &tell, &landing));
        })?;
        Ok(Self {
            owner: Arc::new(Owner { term, places, asked: Mutex::new(Some(asked)), ended, thread: Mutex::new(Some(thread)) }),
        })
    }

    /// Puts a content into the log, and blocks until it is there for good. After the first error nothing is ever taken again.
    ///
    /// The caller says with [`Self::applied`] when it is on this node's disk, too.
    pub fn append(&self, content: Content) -> Result<Place, WriterError> {
        let (answer, answered) = sync_channel(1);
        let over = || self.owner.ended.borrow().clone().unwrap_or(WriterError::LeaseLost);
        let sent = match self.owner.asked.lock().unwrap_or_else(PoisonError::into_inner).as_ref() {
            Some(asked) => asked.send(Asked { content, answer }).is_ok(),
            None => false,
        };
        if !sent {
            return Err(over());
        }
        answered.recv().unwrap_or_else(|_| Err(over()))
    }

    /// The term that this node is active in.
    pub fn term(&self) -> u64 {
        self.owner.term
    }

    /// What was appended in this place is on this node's disk.
    pub fn applied(&self, place: Place) {
        self.owner.places().applied(place);
    }

    /// Before this place all is on this node's disk: it may go on from there when it starts again.
    pub fn place(&self) -> Place {
        self.owner.places().safe()
    }

    /// Resolves when this node may not write any more, with why.
    pub async fn ended(&self) -> WriterError {
        let mut ended = self.owner.ended.clone();
        match ended.wait_for(Option::is_some).await {
            Ok(why) => why.clone().unwrap_or(WriterError::LeaseLost),
            Err(_) => WriterError::LeaseLost,
        }
    }

    /// Whether this node may not write any more.
    pub fn is_over(&self) -> bool {
        self.owner.ended.borrow().is_some() || self.owner.asked.lock().unwrap_or_else(PoisonError::into_inner).is_none()
    }

    /// Ends, and gives the lease back. What is asked for afterwards is refused.
    pub fn release(&self) {
        self.owner.release();
    }
}

impl fmt::Debug for Active {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Active").finish_non_exhaustive()
    }
}

/// What is in the log, and not known to be on this node's disk.
struct Places {
    last: Place,
    /// By number: the place before it, and how many of its contents are still to be applied.
    open: BTreeMap<u64, (Place, usize)>,
}

impl Places {
    fn landed(&mut self, place: Place, contents: usize) {
        self.open.insert(place.number, (self.last, contents));
        self.last = place;
    }

    fn applied(&mut self, place: Place) {
        if let Some((_, contents)) = self.open.get_mut(&place.number) {
            *contents -= 1;
            if *contents == 0 {
                self.open.remove(&place.number);
            }
        }
    }

    fn safe(&self) -> Place {
        self.open.first_key_value().map_or(self.last, |(_, (before, _))| *before)
    }
}

impl Owner {
    fn places(&self) -> MutexGuard<'_, Places> {
        self.places.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn release(&self) {
        drop(self.asked.lock().unwrap_or_else(PoisonError::into_inner).take());
        let thread = self.thread.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(thread) = thread {
            // A panic of the thread has failed its callers already.
            let _ = thread.join();
        }
    }
}

impl Drop for Owner {
    fn drop(&mut self) {
        self.release();
    }
}

async fn run<O: Objects, C: Clock>(
    mut writer: Writer<O, C>,
    mut waiting: mpsc::UnboundedReceiver<Asked>,
    tell: &watch::Sender<Option<WriterError>>,
    places: &Mutex<Places>,
) {
    loop {
        let due = Duration::from_millis(writer.renewal_due_in_ms());
        let done = match tokio::time::timeout(due, waiting.recv()).await {
            // Everybody who could ask is gone.
            Ok(None) => return writer.release().await,
            Ok(Some(first)) => append(&mut writer, first, &mut waiting, places).await,
            Err(_) => Ok(()),
        };
        let done = match done {
            Ok(()) if writer.renewal_due_in_ms() == 0 => writer.renew().await,
            done => done,
        };
        if let Err(why) = done {
            tell.send_replace(Some(why.clone()));
            waiting.close();
            while let Some(asked) = waiting.recv().await {
                let _ = asked.answer.send(Err(why.clone()));
            }
            return;
        }
    }
}

/// Writes what waits as one batch.
async fn append<O: Objects, C: Clock>(
    writer: &mut Writer<O, C>,
    first: Asked,
    waiting: &mut mpsc::UnboundedReceiver<Asked>,
    places: &Mutex<Places>,
) -> Result<(), WriterError> {
    let mut bytes = first.content.bytes();
    let (mut contents, mut answers) = (vec![first.content], vec![first.answer]);
    while bytes < BATCH_BYTES_MAX && contents.len() < BATCH_CONTENTS_MAX {
        let Ok(next) = waiting.try_recv() else { break };
        bytes += next.content.bytes();
        contents.push(next.content);
        answers.push(next.answer);
    }
    let done = writer.append(contents).await;
    if let Ok(place) = &done {
        // Before anybody can say that it is applied.
        places.lock().unwrap_or_else(PoisonError::into_inner).landed(*place, answers.len());
    }
    for answer in answers {
        let _ = answer.send(done.clone());
    }
    done.map(drop)
}
