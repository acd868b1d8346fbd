//! Appends in flight: a group of entries that is flushed together, and the future each caller holds.

use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::task::{Context, Poll, Wake, Waker};
use std::thread::{self, Thread};

use remit_tlog::{Hash, leaf_hash};
use thiserror::Error;

/// Where an entry is, durably.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Appended {
    /// The position of the (first) entry in the log.
    pub index: u64,
    /// The size of the tree whose signed checkpoint first covers it.
    pub tree_size: u64,
}

/// Why an entry was not acknowledged. After `Stopped` it may still be found in the log when it is opened again.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum AppendError {
    /// Too many entries wait to be written; nothing was enqueued.
    #[error("the journal's queue is full")]
    QueueFull,
    /// An entry, or the batch of an `append_many`, is too large; nothing was enqueued.
    #[error("`{bytes}` bytes exceed the journal's limit of `{max}`")]
    TooLarge {
        /// How many bytes were given.
        bytes: usize,
        /// How many are allowed.
        max: usize,
    },
    /// `append_many` was given nothing.
    #[error("no entry was given")]
    Empty,
    /// The journal was closed.
    #[error("the journal is closed")]
    Closed,
    /// The journal stopped after an error and must be opened again.
    #[error("the journal stopped: {0}")]
    Stopped(Arc<str>),
}

/// An append in flight: a future that any executor can poll, or [`Append::wait`] for a thread.
///
/// Dropping it does not take the entry back.
#[must_use = "the entry is durable only when this resolves"]
pub struct Append(State);

enum State {
    Failed(AppendError),
    Waiting(Ticket),
}

/// A place in a group.
pub(crate) struct Ticket {
    done: Arc<Done>,
    /// The place of the caller's first entry within the group.
    offset: u64,
    /// The caller's waker slot.
    slot: usize,
}

impl Append {
    pub(crate) fn failed(error: AppendError) -> Self {
        Self(State::Failed(error))
    }

    pub(crate) fn waiting(ticket: Ticket) -> Self {
        Self(State::Waiting(ticket))
    }

    /// Blocks the thread until the entry is durable or refused.
    pub fn wait(mut self) -> Result<Appended, AppendError> {
        let waker = Waker::from(Arc::new(Unpark(thread::current())));
        let mut context = Context::from_waker(&waker);
        loop {
            match Pin::new(&mut self).poll(&mut context) {
                Poll::Ready(result) => return result,
                Poll::Pending => thread::park(),
            }
        }
    }
}

struct Unpark(Thread);

impl Wake for Unpark {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }
}

impl Future for Append {
    type Output = Result<Appended, AppendError>;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let ticket = match &self.0 {
            State::Failed(error) => return Poll::Ready(Err(error.clone())),
            State::Waiting(ticket) => ticket,
        };
        if let Some(outcome) = ticket.done.outcome.get() {
            return Poll::Ready(ticket.appended(outcome));
        }
        let mut wakers = ticket.done.wakers();
        // Looked at again under the lock: the writer sets the outcome before it takes the wakers.
        if let Some(outcome) = ticket.done.outcome.get() {
            return Poll::Ready(ticket.appended(outcome));
        }
        if wakers.len() <= ticket.slot {
            wakers.resize(ticket.slot + 1, None);
        }
        match wakers.get_mut(ticket.slot) {
            Some(Some(waker)) => waker.clone_from(context.waker()),
            Some(empty) => *empty = Some(context.waker().clone()),
            None => {}
        }
        Poll::Pending
    }
}

impl Ticket {
    fn appended(&self, outcome: &Outcome) -> Result<Appended, AppendError> {
        let committed = outcome.as_ref().map_err(Clone::clone)?;
        Ok(Appended { index: committed.first_index + self.offset, tree_size: committed.tree_size })
    }
}

/// What became of a group.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Committed {
    pub(crate) first_index: u64,
    pub(crate) tree_size: u64,
}

type Outcome = Result<Committed, AppendError>;

#[derive(Default)]
struct Done {
    outcome: OnceLock<Outcome>,
    wakers: Mutex<Vec<Option<Waker>>>,
}

impl Done {
    fn wakers(&self) -> MutexGuard<'_, Vec<Option<Waker>>> {
        self.wakers.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// An entry with its leaf hash, which the caller's thread has computed.
pub(crate) struct Pending {
    pub(crate) leaf: Hash,
    pub(crate) bytes: Vec<u8>,
    /// What belongs to it beside the log.
    pub(crate) attachment: Option<Vec<u8>>,
}

impl Pending {
    pub(crate) fn new(bytes: Vec<u8>) -> Self {
        Self { leaf: leaf_hash(&bytes), bytes, attachment: None }
    }
}

/// Entries that will be flushed together. A group that is dropped fails its callers: nobody waits for ever.
#[derive(Default)]
pub(crate) struct Group {
    pub(crate) entries: Vec<Pending>,
    /// How many bytes the frames of the entries take.
    pub(crate) frame_bytes: usize,
    /// How many bytes their attachments take.
    pub(crate) attachment_bytes: usize,
    callers: usize,
    done: Arc<Done>,
}

impl Group {
    /// Adds the entries of one caller, whose frames take `frame_bytes`.
    pub(crate) fn push(&mut self, entries: impl IntoIterator<Item = Pending>, frame_bytes: usize) -> Ticket {
        let ticket = Ticket { done: Arc::clone(&self.done), offset: self.entries.len() as u64, slot: self.callers };
        let before = self.entries.len();
        self.entries.extend(entries);
        let attached = self.entries.iter().skip(before).filter_map(|entry| entry.attachment.as_ref());
        self.attachment_bytes += attached.map(Vec::len).sum::<usize>();
        self.frame_bytes += frame_bytes;
        self.callers += 1;
        ticket
    }

    /// Tells every caller; the first telling counts.
    pub(crate) fn finish(&self, outcome: Outcome) {
        if self.done.outcome.set(outcome).is_err() {
            return;
        }
        let wakers = std::mem::take(&mut *self.done.wakers());
        wakers.into_iter().flatten().for_each(Waker::wake);
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        self.finish(Err(AppendError::Closed));
    }
}
