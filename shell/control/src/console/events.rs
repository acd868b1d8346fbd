//! What pages hear of while they are open: that something changed, never what. The script then asks for the part of the page again, and so
//! shows what its person's role allows at that moment.

use std::time::Duration;

use bytes::Bytes;
use http::header::CACHE_CONTROL;
use http::{HeaderValue, Response, StatusCode};
use serde_json::{Value, json};
use tokio::sync::mpsc;
use tokio::time::{Instant, interval};

use crate::operator::{Operator, problem, text};
use crate::reply::Reply;

/// How often it is looked whether something changed that nobody tells of.
const LOOK: Duration = Duration::from_secs(1);
/// How often a stream says that it is alive.
const ALIVE: Duration = Duration::from_secs(5);
/// How long a stream lasts; a browser opens another one, for which its session is looked at again.
const STREAM: Duration = Duration::from_mins(5);
/// How many events wait for a browser that is slow.
const WAITING_MAX: usize = 16;
/// The most streams at once.
pub(super) const STREAMS_MAX: usize = 512;

/// A stream of events.
pub(super) fn stream(operator: &Operator) -> Response<Reply> {
    let Some(place) = operator.console.stream_place() else {
        return problem(StatusCode::SERVICE_UNAVAILABLE, "too many pages are open");
    };
    let (sender, receiver) = mpsc::channel(WAITING_MAX);
    let operator = operator.clone();
    tokio::spawn(async move {
        tell(operator, sender).await;
        drop(place);
    });
    let mut response = text(StatusCode::OK, "text/event-stream", "");
    *response.body_mut() = Reply::stream(receiver);
    response.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

/// That something happened; how much of it there is, is nobody's business who may not see it.
fn event(name: &str) -> Bytes {
    Bytes::from(format!("event: {name}\ndata: changed\n\n"))
}

async fn tell(operator: Operator, sender: mpsc::Sender<Bytes>) {
    let mut approvals = operator.plane.approvals_changed();
    let mut closing = operator.console.closing();
    let (began, mut told) = (Instant::now(), Instant::now());
    let mut look = interval(LOOK);
    let mut journal = journal_size(&operator).await;
    let mut snapshot = operator.plane.snapshot().version;
    // A browser's parser waits for the first bytes before it says that the stream is open.
    let mut say = vec![Bytes::from_static(b"retry: 2000\n\n"), event("alive")];
    let mut watched = true;
    loop {
        for bytes in say.drain(..) {
            if sender.send(bytes).await.is_err() {
                return;
            }
            told = Instant::now();
        }
        tokio::select! {
            () = async { drop(closing.wait_for(|closing| *closing).await) } => return,
            () = sender.closed() => return,
            changed = approvals.changed(), if watched => match changed {
                Ok(()) => say.push(event("approvals")),
                Err(_) => watched = false,
            },
            _ = look.tick() => {
                if began.elapsed() > STREAM {
                    return;
                }
                let size = journal_size(&operator).await;
                if size != journal {
                    journal = size;
                    say.push(event("decisions"));
                }
                let version = operator.plane.snapshot().version;
                if version != snapshot {
                    snapshot = version;
                    say.push(event("configuration"));
                }
                if say.is_empty() && told.elapsed() >= ALIVE {
                    say.push(event("alive"));
                }
            }
        }
    }
}

async fn journal_size(operator: &Operator) -> u64 {
    let said = operator.plane.journal(&json!({})).await.unwrap_or_default();
    said.get("size").and_then(Value::as_u64).unwrap_or_default()
}
