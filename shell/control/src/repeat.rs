//! Requests that are sent again: under one `Idempotency-Key` a thing is done once, and told as often as it is asked for
//! (draft-ietf-httpapi-idempotency-key-header).
//!
//! A key is its caller's own, and stands for one request: method, path, query and body. What was answered is in memory alone, under the
//! key's digest, and ends with the process: answers may bear what must be written down nowhere, and are wiped when they are forgotten. What was refused as the caller's fault
//! changed nothing and isn't kept, so it may be asked again under its key.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use http::request::Parts;
use http::{HeaderName, StatusCode};
use remit_mcp::canonical::sha256;
use serde_json::Value;
use tokio::sync::watch;

use crate::endpoints::Failed;
use crate::wiped;

/// What names a request.
pub(crate) const KEY: HeaderName = HeaderName::from_static("idempotency-key");
/// What an answer says that was given before.
pub(crate) const REPLAYED: HeaderName = HeaderName::from_static("idempotency-replayed");
/// The longest key, in bytes.
const KEY_BYTES_MAX: usize = 255;
/// How long a key is remembered after its answer, in seconds.
pub(crate) const KEPT_SECS: u64 = 60 * 60;
/// The most keys at once, and the most of one caller.
const KEYS_MAX: usize = 16_384;
const KEYS_OF_ONE_MAX: usize = 4_096;
/// The most bytes of all answers, and of one.
const BYTES_MAX: usize = 64 * 1024 * 1024;
const BYTES_OF_ONE_MAX: usize = 4 * 1024 * 1024;
/// How long a request waits for the first one of its key.
const WAIT: Duration = Duration::from_secs(20);

type Digest = [u8; 32];

/// What came of a request, as it is told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Told {
    pub(crate) status: StatusCode,
    /// Whether it is an error as RFC 9457 writes it.
    pub(crate) problem: bool,
    pub(crate) body: Bytes,
}

impl Told {
    pub(crate) fn of(done: Result<(StatusCode, Value), Failed>) -> Self {
        match done {
            Ok((status, said)) => Self { status, problem: false, body: wiped::answer(said) },
            Err(Failed(status, said)) => Self { status, problem: true, body: wiped::answer(said) },
        }
    }

    fn problem(status: StatusCode, detail: &str) -> Self {
        Self::of(Err(Failed::new(status, detail)))
    }
}

/// What has become of a key.
#[derive(Debug, Clone)]
enum State {
    UnderWay,
    Done(Told),
    /// Nothing was done, and the key is free again.
    Free,
}

#[derive(Debug)]
struct Entry {
    caller: Digest,
    request: Digest,
    /// Whether doing it twice would change something twice.
    changes: bool,
    state: watch::Receiver<State>,
    bytes: usize,
    ends_secs: u64,
}

impl Entry {
    fn is_under_way(&self) -> bool {
        matches!(*self.state.borrow(), State::UnderWay)
    }
}

#[derive(Debug, Default)]
struct Kept {
    entries: HashMap<Digest, Entry>,
    bytes: usize,
}

impl Kept {
    fn remove(&mut self, key: &Digest) {
        if let Some(entry) = self.entries.remove(key) {
            self.bytes = self.bytes.saturating_sub(entry.bytes);
        }
    }

    /// Makes room for one more key of a caller; answers whether there is any. What has ended goes first, then answers to questions that
    /// changed nothing: asking those twice does no harm.
    fn room(&mut self, caller: &Digest, now_secs: u64) -> bool {
        self.drop_where(|entry| entry.ends_secs <= now_secs);
        let of_caller = |kept: &Self| kept.entries.values().filter(|entry| entry.caller == *caller).count();
        let full = |kept: &Self| kept.entries.len() >= KEYS_MAX || kept.bytes >= BYTES_MAX;
        if of_caller(self) >= KEYS_OF_ONE_MAX {
            self.drop_where(|entry| !entry.changes && entry.caller == *caller);
        }
        if full(self) {
            self.drop_where(|entry| !entry.changes);
        }
        !full(self) && of_caller(self) < KEYS_OF_ONE_MAX
    }

    fn drop_where(&mut self, which: impl Fn(&Entry) -> bool) {
        let gone: Vec<Digest> =
            self.entries.iter().filter(|(_, entry)| which(entry) && !entry.is_under_way()).map(|(key, _)| *key).collect();
        gone.iter().for_each(|key| self.remove(key));
    }
}

/// The answers that were given under keys.
#[derive(Debug, Default)]
pub(crate) struct Answers(Mutex<Kept>);

/// What a key says of a request.
pub(crate) enum Claimed {
    /// It is the first one: it is to be done, and the ticket told what came of it.
    First(Ticket),
    /// It was done before, or is refused.
    Told(Told, bool),
    /// It is under way.
    Wait(Waiting),
}

/// A request that is under way under its key.
pub(crate) struct Waiting(watch::Receiver<State>);

/// The right to do what a key stands for. If it is dropped, nobody knows whether that was done.
pub(crate) struct Ticket {
    answers: Arc<Answers>,
    key: Digest,
    now_secs: fn() -> u64,
    tell: watch::Sender<State>,
}

/// The key that a request shows, if it shows one.
pub(crate) fn key_of(parts: &Parts) -> Result<Option<String>, String> {
    let mut shown = parts.headers.get_all(&KEY).iter();
    let (Some(value), None) = (shown.next(), shown.next()) else {
        return if parts.headers.contains_key(&KEY) { Err("`Idempotency-Key` stands twice".to_owned()) } else { Ok(None) };
    };
    let unfit = || format!("`Idempotency-Key` is a text of 1 to {KEY_BYTES_MAX} visible characters, in quotation marks or bare");
    let text = value.to_str().map_err(|_| unfit())?.trim();
    // A String of RFC 9651; many clients send what is in it.
    let text = match text.strip_prefix('"') {
        Some(rest) => rest.strip_suffix('"').filter(|rest| !rest.is_empty()).ok_or_else(unfit)?,
        None => text,
    };
    let fits =
        (1..=KEY_BYTES_MAX).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_graphic() && !b"\"\\".contains(&byte));
    if fits { Ok(Some(text.to_owned())) } else { Err(unfit()) }
}

/// What a request is known by.
pub(crate) fn request_digest(parts: &Parts, body: &[u8]) -> Digest {
    let head = format!("{}\n{}\n{}\n", parts.method, parts.uri.path(), parts.uri.query().unwrap_or_default());
    sha256(&[&sha256(head.as_bytes())[..], &sha256(body)[..]].concat())
}

impl Answers {
    fn lock(&self) -> MutexGuard<'_, Kept> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Claims a key of a caller for a request.
    pub(crate) fn claim(
        self: &Arc<Self>,
        (caller, key): (&str, &str),
        request: Digest,
        changes: bool,
        now_secs: fn() -> u64,
    ) -> Claimed {
        let caller = sha256(caller.as_bytes());
        let key = sha256(&[&caller[..], key.as_bytes()].concat());
        let now = now_secs();
        let mut kept = self.lock();
        if let Some(entry) = kept.entries.get(&key).filter(|entry| entry.is_under_way() || now < entry.ends_secs) {
            if entry.request != request {
                let why = "this `Idempotency-Key` was used for another request: each needs its own";
                return Claimed::Told(Told::problem(StatusCode::UNPROCESSABLE_ENTITY, why), false);
            }
            let state = entry.state.borrow().clone();
            return match state {
                State::Done(told) => Claimed::Told(told, true),
                State::UnderWay | State::Free => Claimed::Wait(Waiting(entry.state.clone())),
            };
        }
        kept.remove(&key);
        if !kept.room(&caller, now) {
            let why = "too many requests are remembered by their `Idempotency-Key`: nothing was done";
            return Claimed::Told(Told::problem(StatusCode::TOO_MANY_REQUESTS, why), false);
        }
        let (tell, state) = watch::channel(State::UnderWay);
        let entry = Entry { caller, request, changes, state, bytes: 0, ends_secs: u64::MAX };
        kept.entries.insert(key, entry);
        Claimed::First(Ticket { answers: Arc::clone(self), key, now_secs, tell })
    }
}

impl Waiting {
    /// What the first request of the key came to; `None` if to nothing, so that this one is to try. Who waits too long is told so.
    pub(crate) async fn told(mut self) -> Option<(Told, bool)> {
        let done = tokio::time::timeout(WAIT, self.0.wait_for(|state| !matches!(state, State::UnderWay))).await;
        match done.map(|state| state.map(|state| state.clone())) {
            Ok(Ok(State::Done(told))) => Some((told, true)),
            Ok(Ok(State::Free)) => None,
            _ => {
                let why = "a request with this `Idempotency-Key` is under way: send it again in a while";
                Some((Told::problem(StatusCode::CONFLICT, why), false))
            }
        }
    }
}

impl Ticket {
    /// Keeps what the request came to, unless that is the caller's own fault.
    pub(crate) fn keep(self, told: &Told) {
        if told.status.is_client_error() {
            self.answers.lock().remove(&self.key);
            self.tell.send_replace(State::Free);
            return;
        }
        self.done(told.clone());
    }

    fn done(&self, mut told: Told) {
        let mut kept = self.answers.lock();
        if told.body.len() > BYTES_OF_ONE_MAX || kept.bytes + told.body.len() > BYTES_MAX {
            let why = "this was done before, and its answer was too large to be kept";
            told = Told::problem(StatusCode::CONFLICT, why);
        }
        if let Some(entry) = kept.entries.get_mut(&self.key) {
            entry.bytes = told.body.len();
            entry.ends_secs = (self.now_secs)().saturating_add(KEPT_SECS);
            kept.bytes += told.body.len();
        }
        self.tell.send_replace(State::Done(told));
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        if matches!(*self.tell.borrow(), State::UnderWay) {
            let why = "the request failed, and whether it took effect is not known: look before you send it under another key";
            self.done(Told::problem(StatusCode::INTERNAL_SERVER_ERROR, why));
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU64, Ordering};

    use super::*;

    fn still() -> u64 {
        1_000
    }

    fn told(status: u16, body: &str) -> Told {
        Told { status: StatusCode::from_u16(status).unwrap(), problem: status >= 400, body: Bytes::from(body.to_owned()) }
    }

    fn first(answers: &Arc<Answers>, key: &str, changes: bool) -> Ticket {
        match answers.claim(("ana", key), [0; 32], changes, still) {
            Claimed::First(ticket) => ticket,
            Claimed::Told(told, _) => panic!("{told:?}"),
            Claimed::Wait(_) => panic!("it waits"),
        }
    }

    fn again(answers: &Arc<Answers>, key: &str, now_secs: fn() -> u64) -> Option<(Told, bool)> {
        match answers.claim(("ana", key), [0; 32], true, now_secs) {
            Claimed::Told(told, replayed) => Some((told, replayed)),
            _ => None,
        }
    }

    #[test]
    fn a_key_is_text_in_quotation_marks_or_bare() {
        let of = |values: &[&str]| {
            let mut request = http::Request::builder();
            for value in values {
                request = request.header(&KEY, *value);
            }
            key_of(&request.body(()).unwrap().into_parts().0)
        };
        assert_eq!(of(&[]), Ok(None));
        let long = "x".repeat(KEY_BYTES_MAX);
        for (shown, key) in [("\"a-1\"", "a-1"), ("a-1", "a-1"), (long.as_str(), long.as_str())] {
            assert_eq!(of(&[shown]), Ok(Some(key.to_owned())), "{shown}");
        }
        let longer = format!("{long}x");
        for unfit in ["", "\"\"", "\"", "\"a", "a\"", "two words", "\"a\";b=1", "a\\b", &longer] {
            assert!(of(&[unfit]).is_err(), "{unfit}");
        }
        assert!(of(&["a", "a"]).is_err() && of(&["a", "b"]).is_err());
    }

    #[test]
    fn an_answer_ends_after_its_time_and_never_while_it_is_made() {
        static NOW: AtomicU64 = AtomicU64::new(0);
        fn now() -> u64 {
            NOW.load(Ordering::SeqCst)
        }
        let answers = Arc::<Answers>::default();
        let Claimed::First(ticket) = answers.claim(("ana", "k"), [0; 32], true, now) else { panic!("it is new") };
        NOW.store(10 * KEPT_SECS, Ordering::SeqCst);
        assert!(matches!(answers.claim(("ana", "k"), [0; 32], true, now), Claimed::Wait(_)));
        ticket.keep(&told(200, "done"));
        NOW.store(11 * KEPT_SECS - 1, Ordering::SeqCst);
        assert_eq!(again(&answers, "k", now), Some((told(200, "done"), true)));
        NOW.store(11 * KEPT_SECS, Ordering::SeqCst);
        assert!(matches!(answers.claim(("ana", "k"), [1; 32], true, now), Claimed::First(_)), "it is anybody's again");
    }

    #[test]
    fn nobody_knows_what_became_of_one_that_broke_off() {
        let answers = Arc::<Answers>::default();
        drop(first(&answers, "k", true));
        let (told, replayed) = again(&answers, "k", still).unwrap();
        assert!(told.status == 500 && told.problem && replayed, "{told:?}");
    }

    #[test]
    fn a_refusal_frees_its_key_and_a_fault_of_ours_does_not() {
        let answers = Arc::<Answers>::default();
        first(&answers, "k", true).keep(&told(409, "not now"));
        first(&answers, "k", true).keep(&told(503, "away"));
        assert_eq!(again(&answers, "k", still), Some((told(503, "away"), true)));
    }

    #[test]
    fn what_changes_something_is_never_forgotten_for_room() {
        let answers = Arc::<Answers>::default();
        for n in 0..KEYS_OF_ONE_MAX {
            first(&answers, &format!("k{n}"), n != 7).keep(&told(200, "done"));
        }
        // The one question makes room, and nothing else does.
        first(&answers, "more", true).keep(&told(200, "done"));
        assert!(matches!(answers.claim(("ana", "k7"), [0; 32], true, still), Claimed::Told(told, false) if told.status == 429));
        assert_eq!(again(&answers, "k8", still), Some((told(200, "done"), true)));
        assert!(matches!(answers.claim(("bob", "k7"), [0; 32], true, still), Claimed::First(_)), "another's keys are his own");
    }

    #[test]
    fn an_answer_that_is_too_large_is_not_kept_nor_done_again() {
        let answers = Arc::<Answers>::default();
        first(&answers, "k", true).keep(&told(200, &"x".repeat(BYTES_OF_ONE_MAX + 1)));
        assert_eq!(again(&answers, "k", still).unwrap().0.status, 409);
        let large = "x".repeat(BYTES_OF_ONE_MAX);
        for n in 0..BYTES_MAX / BYTES_OF_ONE_MAX + 2 {
            match answers.claim(("ana", &format!("l{n}")), [0; 32], true, still) {
                Claimed::First(ticket) => ticket.keep(&told(200, &large)),
                Claimed::Told(told, replayed) => assert!(told.status == 429 && !replayed),
                Claimed::Wait(_) => panic!("it waits"),
            }
        }
        assert!(answers.lock().bytes <= BYTES_MAX);
    }
}
