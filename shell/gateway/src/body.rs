//! What is answered: a whole body, or a stream of events that a client may follow, lose and take up again.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use bytes::Bytes;
use http_body::{Frame, SizeHint};
use remit_mcp::sse;
use tokio::sync::Notify;
use tokio::time::Sleep;

/// How long a stream is silent before a comment keeps it alive.
const KEEP_ALIVE: Duration = Duration::from_secs(15);
/// How many bytes a stream holds for a client that doesn't read; the producer waits above it.
const UNSENT_BYTES_MAX: usize = 1024 * 1024;
/// How many sent events a resumable stream keeps for a client that comes back.
const KEPT_EVENTS_MAX: usize = 64;
/// How many bytes of them.
const KEPT_BYTES_MAX: usize = 256 * 1024;

/// A response body.
#[derive(Debug)]
pub enum Body {
    /// All of it.
    Full(Bytes),
    /// Events as they come.
    Events(Follower),
}

impl From<Vec<u8>> for Body {
    fn from(bytes: Vec<u8>) -> Self {
        Self::Full(bytes.into())
    }
}

impl http_body::Body for Body {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        match self.get_mut() {
            Self::Full(bytes) if bytes.is_empty() => Poll::Ready(None),
            Self::Full(bytes) => Poll::Ready(Some(Ok(Frame::data(std::mem::take(bytes))))),
            Self::Events(follower) => follower.poll(cx).map(|next| next.map(|bytes| Ok(Frame::data(bytes)))),
        }
    }

    fn is_end_stream(&self) -> bool {
        matches!(self, Self::Full(bytes) if bytes.is_empty())
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Full(bytes) => SizeHint::with_exact(bytes.len() as u64),
            Self::Events(_) => SizeHint::default(),
        }
    }
}

/// The events of one stream: a producer writes them, a follower sends them.
#[derive(Debug)]
pub(crate) struct EventLog {
    /// The name that prefixes event ids; `None` for a stream that can't be resumed.
    name: Option<String>,
    inner: Mutex<Inner>,
    /// Told when bytes were sent, and when the follower left.
    drained: Notify,
}

#[derive(Debug, Default)]
struct Inner {
    events: VecDeque<(u64, Bytes)>,
    next: u64,
    /// The number of the first event that has not been sent.
    unsent: u64,
    unsent_bytes: usize,
    kept_bytes: usize,
    closed: bool,
    /// Which follower is the one; a newer one takes the stream over.
    follower: u64,
    attached: bool,
    waker: Option<Waker>,
}

impl EventLog {
    /// A stream. With a name its events carry ids, and it survives its follower.
    pub(crate) fn new(name: Option<String>) -> Arc<Self> {
        Arc::new(Self { name, inner: Mutex::default(), drained: Notify::new() })
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Writes an event; waits while a client that is connected doesn't read.
    pub(crate) async fn send(&self, retry_ms: Option<u64>, data: &[u8]) {
        loop {
            let drained = self.drained.notified();
            {
                let mut inner = self.lock();
                if !(inner.attached && inner.unsent_bytes > UNSENT_BYTES_MAX) {
                    self.push(&mut inner, retry_ms, data);
                    return;
                }
            }
            drained.await;
        }
    }

    /// Writes an event without waiting; `false` if the client doesn't keep up and it was dropped.
    pub(crate) fn try_send(&self, data: &[u8]) -> bool {
        let mut inner = self.lock();
        if inner.closed || inner.unsent_bytes > UNSENT_BYTES_MAX {
            return false;
        }
        self.push(&mut inner, None, data);
        true
    }

    fn push(&self, inner: &mut Inner, retry_ms: Option<u64>, data: &[u8]) {
        let number = inner.next;
        let id = self.name.as_ref().map(|name| format!("{name}-{number}"));
        let bytes = Bytes::from(sse::write(id.as_deref(), retry_ms, data));
        inner.next += 1;
        inner.unsent_bytes += bytes.len();
        inner.kept_bytes += bytes.len();
        inner.events.push_back((number, bytes));
        while inner.events.len() > KEPT_EVENTS_MAX || inner.kept_bytes > KEPT_BYTES_MAX {
            let sent = inner.events.front().is_some_and(|(number, _)| *number < inner.unsent);
            let lost = !inner.attached && inner.unsent_bytes > UNSENT_BYTES_MAX;
            if !(sent || lost) || inner.events.len() <= 1 {
                break;
            }
            if let Some((number, bytes)) = inner.events.pop_front() {
                inner.kept_bytes -= bytes.len();
                if number >= inner.unsent {
                    inner.unsent = number + 1;
                    inner.unsent_bytes -= bytes.len();
                }
            }
        }
        if let Some(waker) = inner.waker.take() {
            waker.wake();
        }
    }

    /// Ends the stream once everything has been sent.
    pub(crate) fn close(&self) {
        let mut inner = self.lock();
        inner.closed = true;
        if let Some(waker) = inner.waker.take() {
            waker.wake();
        }
        drop(inner);
        self.drained.notify_waiters();
    }

    /// Whether the stream has ended and everything has been sent.
    pub(crate) fn finished(&self) -> bool {
        let inner = self.lock();
        inner.closed && inner.unsent >= inner.next
    }

    /// Follows from the first event that has not been sent, or from the one after `last`.
    pub(crate) fn follow(self: &Arc<Self>, last: Option<u64>) -> Follower {
        let mut inner = self.lock();
        inner.follower += 1;
        inner.attached = true;
        if let Some(waker) = inner.waker.take() {
            waker.wake();
        }
        if let Some(last) = last {
            inner.unsent = last.saturating_add(1).min(inner.next);
            let unsent = inner.unsent;
            inner.unsent_bytes = inner.events.iter().filter(|(number, _)| *number >= unsent).map(|(_, bytes)| bytes.len()).sum();
        }
        Follower { log: Arc::clone(self), me: inner.follower, keep_alive: None, until: None }
    }

    /// Waits until nobody follows.
    pub(crate) async fn gone(&self) {
        loop {
            let drained = self.drained.notified();
            if !self.lock().attached {
                return;
            }
            drained.await;
        }
    }

    /// The number in an event id of this stream.
    pub(crate) fn number(&self, id: &str) -> Option<u64> {
        id.strip_prefix(self.name.as_deref()?)?.strip_prefix('-')?.parse().ok()
    }
}

/// Sends a stream's events to one connection.
#[derive(Debug)]
pub struct Follower {
    log: Arc<EventLog>,
    me: u64,
    keep_alive: Option<Pin<Box<Sleep>>>,
    until: Option<Pin<Box<Sleep>>>,
}

impl Follower {
    /// The same, ending after this time: a stream that nothing ends by itself lives no longer than the credential that opened it.
    pub(crate) fn until(mut self, end: Duration) -> Self {
        self.until = Some(Box::pin(tokio::time::sleep(end)));
        self
    }

    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Option<Bytes>> {
        if self.until.as_mut().is_some_and(|until| until.as_mut().poll(cx).is_ready()) {
            return Poll::Ready(None);
        }
        {
            let mut inner = self.log.lock();
            if inner.follower != self.me {
                return Poll::Ready(None);
            }
            let unsent = inner.unsent;
            let next = inner.events.iter().find(|(number, _)| *number >= unsent).cloned();
            if let Some((number, bytes)) = next {
                inner.unsent = number + 1;
                inner.unsent_bytes = inner.unsent_bytes.saturating_sub(bytes.len());
                drop(inner);
                self.log.drained.notify_waiters();
                self.keep_alive = None;
                return Poll::Ready(Some(bytes));
            }
            if inner.closed {
                return Poll::Ready(None);
            }
            inner.waker = Some(cx.waker().clone());
        }
        let sleep = self.keep_alive.get_or_insert_with(|| Box::pin(tokio::time::sleep(KEEP_ALIVE)));
        match sleep.as_mut().poll(cx) {
            Poll::Ready(()) => {
                self.keep_alive = None;
                Poll::Ready(Some(Bytes::from_static(sse::KEEP_ALIVE)))
            }
            Poll::Pending => Poll::Pending,
        }
    }
}

impl Drop for Follower {
    fn drop(&mut self) {
        let mut inner = self.log.lock();
        if inner.follower == self.me {
            inner.attached = false;
            drop(inner);
            self.log.drained.notify_waiters();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use http_body_util::BodyExt;

    async fn next(body: &mut Body) -> Option<String> {
        let frame = body.frame().await?.unwrap();
        Some(String::from_utf8(frame.into_data().unwrap().to_vec()).unwrap())
    }

    #[tokio::test]
    async fn a_lost_stream_is_taken_up_where_it_was_left() {
        let log = EventLog::new(Some("s".into()));
        log.send(None, b"a").await;
        log.send(None, b"b").await;
        let mut first = Body::Events(log.follow(None));
        assert_eq!(next(&mut first).await.unwrap(), "id: s-0\ndata: a\n\n");
        let mut second = Body::Events(log.follow(log.number("s-0")));
        log.send(None, b"c").await;
        log.close();
        assert_eq!(next(&mut first).await, None);
        assert_eq!(next(&mut second).await.unwrap(), "id: s-1\ndata: b\n\n");
        assert_eq!(next(&mut second).await.unwrap(), "id: s-2\ndata: c\n\n");
        assert_eq!(next(&mut second).await, None);
        assert!(log.finished());
    }

    #[tokio::test(start_paused = true)]
    async fn a_stream_ends_with_the_credential_that_opened_it() {
        let log = EventLog::new(None);
        log.send(None, b"a").await;
        let mut body = Body::Events(log.follow(None).until(Duration::from_secs(5)));
        assert_eq!(next(&mut body).await.unwrap(), "data: a\n\n");
        assert_eq!(next(&mut body).await, None);
        drop(body);
        log.gone().await;
    }

    #[tokio::test]
    async fn nobody_listening_never_blocks_and_never_grows() {
        let log = EventLog::new(Some("s".into()));
        for _ in 0..100 {
            log.send(None, &vec![b'x'; 100_000]).await;
        }
        assert!(log.lock().kept_bytes <= UNSENT_BYTES_MAX + 200_000);
    }

    #[tokio::test]
    async fn a_client_that_does_not_read_holds_the_producer_back() {
        let log = EventLog::new(None);
        let body = Body::Events(log.follow(None));
        let flood = async {
            for _ in 0..100 {
                log.send(None, &vec![b'x'; 100_000]).await;
            }
        };
        let waited = tokio::time::timeout(Duration::from_millis(50), flood).await;
        assert!(waited.is_err());
        assert!(log.lock().unsent_bytes < UNSENT_BYTES_MAX + 200_000);
        drop(body);
        log.gone().await;
    }
}
