//! A bucket, clocks and a network in memory: what happens next is drawn, and the same seed draws the same.

use std::collections::BTreeMap;
use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};

use bytes::Bytes;
use remit_cluster::{Clock, Condition, Objects, Refusal};

use crate::random::Random;

/// How long a write whose answer got lost may still be on its way.
const LATE_MAX_MS: u64 = 30_000;

type Tagged = (Bytes, String);

#[derive(Clone, Debug)]
enum Request {
    Put { key: String, body: Bytes, condition: Condition },
    Get { key: String },
    List { prefix: String },
    Delete { key: String },
}

#[derive(Clone, Debug)]
enum Answer {
    Put(Result<String, Refusal>),
    Get(Result<Option<Tagged>, Refusal>),
    List(Result<Vec<String>, Refusal>),
    Delete(Result<(), Refusal>),
}

/// Something that a node waits for.
struct Waiting {
    id: u64,
    node: usize,
    request: Request,
}

/// What is shared by all nodes, and by the one who draws.
pub(super) struct State {
    pub(super) random: Random,
    /// The true time.
    pub(super) now_ms: u64,
    pub(super) objects: BTreeMap<String, Tagged>,
    /// Each object of the log as it was first written, whatever became of it.
    pub(super) ever: BTreeMap<String, Bytes>,
    /// How many objects were deleted.
    pub(super) deleted: u64,
    waiting: Vec<Waiting>,
    answers: BTreeMap<u64, Answer>,
    /// When sleepers wake: by operation, with its node.
    sleeps: BTreeMap<u64, (usize, u64)>,
    /// Writes whose senders were told nothing, and that arrive later.
    late: Vec<(u64, Request)>,
    next_id: u64,
    etags: u64,
    /// Until when a node is stopped.
    pub(super) stopped_until_ms: Vec<u64>,
    pub(super) injected: u64,
    pub(super) faults_on: bool,
    /// The bucket doesn't keep its conditions: the test must find that.
    pub(super) careless: bool,
    /// Objects of the log that were written over.
    pub(super) overwritten: u64,
}

/// The shared world.
#[derive(Clone)]
pub(super) struct World(Arc<Mutex<State>>);

impl World {
    pub(super) fn new(seed: u64, nodes: usize, careless: bool) -> Self {
        Self(Arc::new(Mutex::new(State {
            random: Random::new(seed),
            now_ms: 1_000,
            objects: BTreeMap::new(),
            ever: BTreeMap::new(),
            deleted: 0,
            waiting: Vec::new(),
            answers: BTreeMap::new(),
            sleeps: BTreeMap::new(),
            late: Vec::new(),
            next_id: 0,
            etags: 0,
            stopped_until_ms: vec![0; nodes],
            injected: 0,
            faults_on: true,
            careless,
            overwritten: 0,
        })))
    }

    pub(super) fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The world as a node sees it. Its clock goes a little wrong.
    pub(super) fn seen_by(&self, node: usize) -> Seen {
        let rate = 950 + self.state().random.below(101);
        Seen { world: self.clone(), node, rate }
    }
}

impl State {
    /// Forgets what a node waits for: what it has sent may arrive all the same.
    pub(super) fn killed(&mut self, node: usize) {
        self.sleeps.retain(|_, (of, _)| *of != node);
        let mut sent = Vec::new();
        self.waiting.retain(|waiting| {
            let keeps = waiting.node != node;
            if !keeps && matches!(waiting.request, Request::Put { .. } | Request::Delete { .. }) {
                sent.push(waiting.request.clone());
            }
            keeps
        });
        for request in sent {
            if self.random.below(2) == 0 {
                let at = self.now_ms + self.random.below(LATE_MAX_MS);
                self.late.push((at, request));
            }
        }
    }

    /// Lets one thing happen and answers whom it wakes; `None` if nothing can.
    pub(super) fn step(&mut self) -> Option<usize> {
        self.arrive_late();
        let now_ms = self.now_ms;
        let runs = |stopped: &[u64], node: usize| stopped.get(node).is_none_or(|until| *until <= now_ms);
        let ready: Vec<usize> = (0..self.waiting.len())
            .filter(|place| self.waiting.get(*place).is_some_and(|waiting| runs(&self.stopped_until_ms, waiting.node)))
            .collect();
        if let Some(place) = self.random.of(&ready).copied() {
            let waiting = self.waiting.swap_remove(place);
            self.now_ms += self.random.below(20);
            let answer = self.answer(waiting.request);
            self.answers.insert(waiting.id, answer);
            return Some(waiting.node);
        }
        // Nothing is on its way: time goes on to the next that wakes.
        let wakes = |(node, at): &(usize, u64)| (*at).max(self.stopped_until_ms.get(*node).copied().unwrap_or(0));
        let (id, node, at) = self.sleeps.iter().map(|(id, sleep)| (*id, sleep.0, wakes(sleep))).min_by_key(|sleep| sleep.2)?;
        let stopped = self.waiting.iter().filter_map(|waiting| self.stopped_until_ms.get(waiting.node)).min().copied();
        if let Some(until) = stopped.filter(|until| *until < at) {
            self.now_ms = self.now_ms.max(until);
            return Some(usize::MAX);
        }
        self.now_ms = self.now_ms.max(at);
        self.sleeps.remove(&id);
        Some(node)
    }

    fn arrive_late(&mut self) {
        let now_ms = self.now_ms;
        let (due, later) = std::mem::take(&mut self.late).into_iter().partition(|(at, _)| *at <= now_ms);
        self.late = later;
        let due: Vec<(u64, Request)> = due;
        for (_, request) in due {
            let _ = self.perform(request);
        }
    }

    fn answer(&mut self, request: Request) -> Answer {
        let lost = |request: &Request, why: &str| {
            let unknown = Refusal::Unknown(why.to_owned());
            match request {
                Request::Put { .. } => Answer::Put(Err(unknown)),
                Request::Get { .. } => Answer::Get(Err(unknown)),
                Request::List { .. } => Answer::List(Err(unknown)),
                Request::Delete { .. } => Answer::Delete(Err(unknown)),
            }
        };
        let luck = if self.faults_on { self.random.below(100) } else { 100 };
        match luck {
            0..4 => {
                self.injected += 1;
                let answer = lost(&request, "the answer got lost");
                let _ = self.perform(request);
                answer
            }
            4..6 => {
                self.injected += 1;
                lost(&request, "503")
            }
            6..9 => {
                self.injected += 1;
                let answer = lost(&request, "no answer in time");
                if matches!(request, Request::Put { .. } | Request::Delete { .. }) {
                    let at = self.now_ms + self.random.below(LATE_MAX_MS);
                    self.late.push((at, request));
                }
                answer
            }
            9..12 if matches!(request, Request::Put { .. }) => {
                self.injected += 1;
                Answer::Put(Err(Refusal::Busy))
            }
            _ => self.perform(request),
        }
    }

    fn perform(&mut self, request: Request) -> Answer {
        match request {
            Request::Get { key } => Answer::Get(Ok(self.objects.get(&key).cloned())),
            Request::List { prefix } => {
                let listed = self.objects.range(prefix.clone()..).map(|(key, _)| key).take_while(|key| key.starts_with(&prefix));
                Answer::List(Ok(listed.cloned().collect()))
            }
            Request::Delete { key } => {
                self.deleted += u64::from(self.objects.remove(&key).is_some());
                Answer::Delete(Ok(()))
            }
            Request::Put { key, body, condition } => {
                let there = self.objects.get(&key).map(|(_, etag)| etag.as_str());
                let holds = match &condition {
                    Condition::None => true,
                    Condition::Absent => there.is_none(),
                    Condition::Is(etag) => there == Some(etag.as_str()),
                };
                let careless = self.careless && self.random.below(8) == 0;
                if !holds && !careless {
                    return Answer::Put(Err(Refusal::Condition));
                }
                self.overwritten += u64::from(key.contains("log/") && there.is_some());
                if key.contains("log/") {
                    self.ever.entry(key.clone()).or_insert_with(|| body.clone());
                }
                self.etags += 1;
                let etag = format!("\"{}\"", self.etags);
                self.objects.insert(key, (body, etag.clone()));
                Answer::Put(Ok(etag))
            }
        }
    }

    fn ask(&mut self, node: usize, request: Request) -> u64 {
        self.next_id += 1;
        self.waiting.push(Waiting { id: self.next_id, node, request });
        self.next_id
    }
}

/// The world as one node sees it.
#[derive(Clone)]
pub(super) struct Seen {
    world: World,
    node: usize,
    /// How many of its milliseconds go by in a second.
    rate: u64,
}

/// Something asked, until it is answered.
struct Asking {
    world: World,
    id: u64,
}

impl Future for Asking {
    type Output = Answer;

    fn poll(self: Pin<&mut Self>, _context: &mut Context<'_>) -> Poll<Answer> {
        // Whoever draws knows whom it answered, and polls that node.
        self.world.state().answers.remove(&self.id).map_or(Poll::Pending, Poll::Ready)
    }
}

struct Sleeping {
    world: World,
    id: u64,
}

impl Future for Sleeping {
    type Output = ();

    fn poll(self: Pin<&mut Self>, _context: &mut Context<'_>) -> Poll<()> {
        if self.world.state().sleeps.contains_key(&self.id) { Poll::Pending } else { Poll::Ready(()) }
    }
}

impl Objects for Seen {
    async fn put(&self, key: &str, body: Bytes, condition: &Condition) -> Result<String, Refusal> {
        let request = Request::Put { key: key.to_owned(), body, condition: condition.clone() };
        let id = self.world.state().ask(self.node, request);
        match (Asking { world: self.world.clone(), id }).await {
            Answer::Put(answer) => answer,
            _ => Err(another()),
        }
    }

    async fn get(&self, key: &str) -> Result<Option<Tagged>, Refusal> {
        let id = self.world.state().ask(self.node, Request::Get { key: key.to_owned() });
        match (Asking { world: self.world.clone(), id }).await {
            Answer::Get(answer) => answer,
            _ => Err(another()),
        }
    }

    async fn list(&self, prefix: &str, _count: usize) -> Result<Vec<String>, Refusal> {
        let id = self.world.state().ask(self.node, Request::List { prefix: prefix.to_owned() });
        match (Asking { world: self.world.clone(), id }).await {
            Answer::List(answer) => answer,
            _ => Err(another()),
        }
    }

    async fn delete(&self, key: &str) -> Result<(), Refusal> {
        let id = self.world.state().ask(self.node, Request::Delete { key: key.to_owned() });
        match (Asking { world: self.world.clone(), id }).await {
            Answer::Delete(answer) => answer,
            _ => Err(another()),
        }
    }
}

fn another() -> Refusal {
    Refusal::Refused("another question's answer".to_owned())
}

impl Clock for Seen {
    fn now_ms(&self) -> u64 {
        self.world.state().now_ms * self.rate / 1000
    }

    async fn sleep(&self, ms: u64) {
        let id = {
            let mut state = self.world.state();
            state.next_id += 1;
            let id = state.next_id;
            let at = state.now_ms + (ms * 1000 / self.rate).max(1);
            state.sleeps.insert(id, (self.node, at));
            id
        };
        Sleeping { world: self.world.clone(), id }.await;
    }
}
