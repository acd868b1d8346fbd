//! The book of approvals: what waits for people, kept durably, recorded before anything comes of it, and used at most as often as it says.
//!
//! One writer at a time changes an approval; using one is a single step under the book's own lock. What is kept is sealed: an approval holds
//! the literal arguments of a call.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use remit_kernel::approval::{Answer, Before, Refusal, Review};
use remit_kernel::{Approval, ApprovalState, CallAsked};
use remit_model::{Approvals as Rules, Person};
use serde_json::{Value, json};
use tokio::sync::{broadcast, watch};

use crate::clock::{id, now_ms};
use crate::record::Recorder;
use crate::session::lock;
use crate::space_key::{SpaceKeys, Unopened};

/// The most approvals that are open at once.
const OPEN_MAX: usize = 10_000;
/// How many of them may be one caller's.
const OPEN_OWN_MAX: usize = 100;
/// The largest arguments that people are asked about, in bytes.
const ARGUMENTS_BYTES_MAX: usize = 64 * 1024;
/// The most bytes of arguments that are open at once.
const OPEN_BYTES_MAX: usize = 256 * 1024 * 1024;
/// How many that have ended are at hand.
const ENDED_KEPT_MAX: usize = 1_000;
/// How many calls before a held one are told.
const BEFORE_MAX: usize = 8;
/// Of how many callers the last calls are remembered.
const CALLERS_MAX: usize = 10_000;
/// The longest text that a person says, in bytes.
const SAID_BYTES_MAX: usize = 2_000;
/// How many events a slow listener may be behind.
const EVENTS_MAX: usize = 1_024;
/// The most approvals of one page.
const PAGE_MAX: usize = 200;

/// Keeps approvals durably, by id; ids grow with time. What is kept is opaque.
pub trait Approvals: Send + Sync {
    /// All that haven't ended.
    fn open(&self) -> Result<Vec<(String, Vec<u8>)>, String>;
    /// Keeps one in place of what was kept of it. One that has ended is never changed again but for its review.
    fn save(&self, id: &str, body: &[u8], ended: bool) -> Result<(), String>;
    /// One of them.
    fn get(&self, id: &str) -> Result<Option<Vec<u8>>, String>;
    /// Those that have ended and are older than `before`, the newest first.
    fn ended(&self, before: Option<&str>, count: usize) -> Result<Vec<(String, Vec<u8>)>, String>;
}

/// What happened to an approval.
#[derive(Debug, Clone)]
pub struct ApprovalEvent {
    /// `requested`, `voted`, `ended`, `escalated` or `reviewed`.
    pub kind: &'static str,
    /// How it stands now.
    pub approval: Arc<Approval>,
}

/// Why something could not be done to an approval.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ApprovalError {
    /// There is none of this id.
    #[error("there is no approval `{0}`")]
    Absent(String),
    /// The answer doesn't count.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// It can't be done as it stands.
    #[error("{0}")]
    Conflict(String),
    /// Too many are open.
    #[error("{0}")]
    Busy(String),
    /// It could not be recorded or kept: nothing was changed.
    #[error("{0}")]
    Unavailable(String),
}

/// An approval that isn't ended, and whether somebody is changing it.
struct Open {
    approval: Arc<Approval>,
    /// It is being changed: until that is durable it lets nothing through.
    busy: bool,
}

#[derive(Default)]
struct Pages {
    open: BTreeMap<String, Open>,
    /// Ids of open ones, by space, caller and tool.
    by_call: HashMap<(String, String, String), Vec<String>>,
    ended: BTreeMap<String, Arc<Approval>>,
}

/// The last calls of callers, by space and caller, the newest first.
type LastCalls = HashMap<(Arc<str>, String), VecDeque<Before>>;

/// The book.
pub(crate) struct Book {
    store: Arc<dyn Approvals>,
    keys: Arc<SpaceKeys>,
    recorder: Arc<Recorder>,
    pages: Mutex<Pages>,
    /// One change at a time.
    changing: tokio::sync::Mutex<()>,
    before: Mutex<LastCalls>,
    changed: watch::Sender<u64>,
    /// Whether nobody is to wait any longer: the gateway stops.
    closing: AtomicBool,
    events: broadcast::Sender<ApprovalEvent>,
}

impl std::fmt::Debug for Book {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Book")
    }
}

fn place(approval: &Approval) -> (String, String, String) {
    (approval.space.clone(), approval.principal.clone(), approval.tool.clone())
}

fn aad(id: &str) -> Vec<u8> {
    format!("remit approval v1\n{id}").into_bytes()
}

fn now_secs() -> u64 {
    now_ms() / 1000
}

impl Pages {
    fn put(&mut self, approval: &Arc<Approval>) {
        let id = approval.id.clone();
        if approval.state.has_ended() {
            self.open.remove(&id);
            if let Some(ids) = self.by_call.get_mut(&place(approval)) {
                ids.retain(|other| *other != id);
                if ids.is_empty() {
                    self.by_call.remove(&place(approval));
                }
            }
            self.ended.insert(id, Arc::clone(approval));
            while self.ended.len() > ENDED_KEPT_MAX {
                self.ended.pop_first();
            }
            return;
        }
        let ids = self.by_call.entry(place(approval)).or_default();
        if !ids.contains(&id) {
            ids.push(id.clone());
        }
        self.open.insert(id, Open { approval: Arc::clone(approval), busy: false });
    }

    fn of_call(&self, space: &str, principal: &str, tool: &str) -> impl Iterator<Item = &Open> {
        let ids = self.by_call.get(&(space.to_owned(), principal.to_owned(), tool.to_owned()));
        ids.into_iter().flatten().filter_map(|id| self.open.get(id))
    }
}

impl Book {
    /// Opens the book: what had not ended is open again.
    pub(crate) fn new(store: Arc<dyn Approvals>, keys: Arc<SpaceKeys>, recorder: Arc<Recorder>) -> Result<Self, String> {
        let book = Self {
            keys,
            recorder,
            pages: Mutex::default(),
            changing: tokio::sync::Mutex::default(),
            before: Mutex::default(),
            changed: watch::Sender::new(0),
            closing: AtomicBool::new(false),
            events: broadcast::Sender::new(EVENTS_MAX),
            store,
        };
        for (id, body) in book.store.open()? {
            if let Some(approval) = book.read(&id, &body)? {
                lock(&book.pages).put(&Arc::new(approval));
            }
        }
        for (id, body) in book.store.ended(None, ENDED_KEPT_MAX)? {
            if let Some(approval) = book.read(&id, &body)? {
                lock(&book.pages).put(&Arc::new(approval));
            }
        }
        Ok(book)
    }

    /// What is kept: the space, whose key it is sealed under, a line feed, and the rest sealed. `None`: that key was destroyed.
    fn read(&self, id: &str, body: &[u8]) -> Result<Option<Approval>, String> {
        let fault = |why: &str| format!("approval {id} can't be opened: {why}");
        let end = body.iter().position(|byte| *byte == b'\n').ok_or_else(|| fault("it names no space"))?;
        let (space, sealed) = body.split_at(end);
        let space = std::str::from_utf8(space).map_err(|_| fault("it names no space"))?;
        let key = self.keys.existing(space).map_err(|error| fault(&error.to_string()))?;
        let key = key.ok_or_else(|| fault("the key of its space is missing"))?;
        let opened = match key.open(sealed.get(1..).unwrap_or_default().to_vec(), &aad(id)) {
            Ok(opened) => opened,
            Err(Unopened::Destroyed) => return Ok(None),
            Err(Unopened::Foreign) => return Err(fault("the key of its space is not the one that sealed it")),
        };
        serde_json::from_slice(&opened).map(Some).map_err(|error| format!("approval {id} can't be read: {error}"))
    }

    /// Nothing is asked for or changed while this is held. It blocks: not for the runtime's own threads.
    pub(crate) fn still(&self) -> tokio::sync::MutexGuard<'_, ()> {
        self.changing.blocking_lock()
    }

    /// How many approvals of a space may still be decided or used.
    pub(crate) fn open_in(&self, space: &str) -> usize {
        lock(&self.pages).open.values().filter(|open| open.approval.space == space).count()
    }

    /// Forgets what has ended in a space: the key under which it is kept is destroyed.
    pub(crate) fn forget(&self, space: &str) {
        lock(&self.pages).ended.retain(|_, approval| approval.space != space);
        lock(&self.before).retain(|(of, _), _| **of != *space);
    }

    fn keep(&self, approval: &Approval) -> Result<(), String> {
        let text = serde_json::to_vec(approval).map_err(|error| error.to_string())?;
        let key = self.keys.of(&approval.space).map_err(|error| error.to_string())?;
        let sealed = key.seal(text, &aad(&approval.id)).ok_or("the system has no random bytes")?;
        let kept = [approval.space.as_bytes(), b"\n", &sealed].concat();
        self.store.save(&approval.id, &kept, approval.state.has_ended())
    }

    fn tell(&self, kind: &'static str, approval: &Arc<Approval>) {
        self.changed.send_modify(|number| *number += 1);
        let _ = self.events.send(ApprovalEvent { kind, approval: Arc::clone(approval) });
    }

    /// Tells whenever something has changed.
    pub(crate) fn changes(&self) -> watch::Receiver<u64> {
        self.changed.subscribe()
    }

    /// Everything that happens from now on.
    pub(crate) fn events(&self) -> broadcast::Receiver<ApprovalEvent> {
        self.events.subscribe()
    }

    /// Approvals that this caller has of this tool: those that could be used.
    pub(crate) fn usable(&self, space: &str, principal: &str, tool: &str) -> Vec<Arc<Approval>> {
        let pages = lock(&self.pages);
        let open = pages.of_call(space, principal, tool).filter(|open| !open.busy);
        open.filter(|open| open.approval.state == ApprovalState::Approved).map(|open| Arc::clone(&open.approval)).collect()
    }

    /// Uses an approval for a decision: `false` if somebody was faster, or it can't be used any more. Durable when it answers.
    pub(crate) fn redeem(&self, id: &str, decision: &str) -> Result<bool, String> {
        let approval = {
            let mut pages = lock(&self.pages);
            let Some(open) = pages.open.get_mut(id).filter(|open| !open.busy) else { return Ok(false) };
            let mut approval = Approval::clone(&open.approval);
            if !approval.redeem(decision, now_secs()) {
                return Ok(false);
            }
            let approval = Arc::new(approval);
            pages.put(&approval);
            approval
        };
        // In memory it is used up whatever becomes of this: it errs on the side of asking again.
        self.keep(&approval)?;
        if approval.state.has_ended() {
            self.record_later(ended(&approval));
            self.tell("ended", &approval);
        }
        Ok(true)
    }

    /// Records an event whose cause is recorded already.
    fn record_later(&self, event: Value) {
        let Ok(runtime) = tokio::runtime::Handle::try_current() else { return };
        let recorder = Arc::clone(&self.recorder);
        runtime.spawn(async move {
            let _ = recorder.event("approval_ended", event).await;
        });
    }

    /// Asks for an approval; whoever has asked for the same already waits for that one. `make` is given an id.
    pub(crate) async fn ask(
        &self,
        call: &CallAsked<'_>,
        make: impl FnOnce(String) -> Approval + Send,
    ) -> Result<Arc<Approval>, ApprovalError> {
        let _one = self.changing.lock().await;
        let now = now_secs();
        {
            let pages = lock(&self.pages);
            let pending = |open: &&Open| open.approval.state == ApprovalState::Pending && now < open.approval.expires_at_secs;
            let same = pages.of_call(call.space, call.principal, call.tool).filter(pending);
            if let Some(open) = same.into_iter().find(|open| open.approval.asks_for(call)) {
                return Ok(Arc::clone(&open.approval));
            }
            if pages.open.len() >= OPEN_MAX {
                return Err(ApprovalError::Busy(format!("{OPEN_MAX} calls wait for people already")));
            }
            let bytes: usize = pages.open.values().map(|open| open.approval.arguments.len()).sum();
            if call.arguments.len() > ARGUMENTS_BYTES_MAX || bytes + call.arguments.len() > OPEN_BYTES_MAX {
                let what = format!(
                    "arguments of more than {ARGUMENTS_BYTES_MAX} bytes can't be shown to a person, nor too many at once"
                );
                return Err(ApprovalError::Busy(what));
            }
            let own = pages.open.values().filter(|open| open.approval.principal == call.principal).count();
            if own >= OPEN_OWN_MAX {
                return Err(ApprovalError::Busy(format!("{OPEN_OWN_MAX} calls of this caller wait for people already")));
            }
        }
        let id = id(now_ms()).ok_or_else(|| ApprovalError::Unavailable("the system has no random bytes".to_owned()))?;
        let approval = Arc::new(make(format!("apr-{id}")));
        self.record("approval_requested", requested(&approval)).await?;
        self.keep(&approval).map_err(ApprovalError::Unavailable)?;
        lock(&self.pages).put(&approval);
        self.tell("requested", &approval);
        Ok(approval)
    }

    async fn record(&self, kind: &str, event: Value) -> Result<u64, ApprovalError> {
        self.recorder.event(kind, event).await.map_err(|error| ApprovalError::Unavailable(error.to_string()))
    }

    /// Changes an approval: `change` is tried, recorded, kept, and only then seen by anybody.
    async fn change<T>(
        &self,
        id: &str,
        kind: &'static str,
        change: impl FnOnce(&mut Approval) -> Result<(T, Vec<(&'static str, Value)>), ApprovalError>,
    ) -> Result<(T, Arc<Approval>), ApprovalError> {
        let _one = self.changing.lock().await;
        let before = self.get(id)?.ok_or_else(|| ApprovalError::Absent(id.to_owned()))?;
        let _busy = Busy::begin(self, id);
        // Nobody uses it from here on: what it is now is what is changed.
        let before = self.get(id)?.unwrap_or(before);
        let mut approval = Approval::clone(&before);
        let (said, events) = change(&mut approval)?;
        for (kind, event) in events {
            self.record(kind, event).await?;
        }
        self.keep(&approval).map_err(ApprovalError::Unavailable)?;
        let approval = Arc::new(approval);
        lock(&self.pages).put(&approval);
        self.tell(kind, &approval);
        Ok((said, approval))
    }

    /// Takes a person's answer.
    pub(crate) async fn answer(&self, id: &str, answer: Answer, rules: &Rules) -> Result<Arc<Approval>, ApprovalError> {
        let now = now_secs();
        let change = |approval: &mut Approval| {
            let state = approval.answer(answer, rules, now)?;
            let mut events = vec![("approval_voted", voted(approval))];
            if approval.votes.last().is_some_and(|vote| vote.break_glass) {
                events.push(("break_glass", voted(approval)));
            }
            if state.has_ended() {
                events.push(("approval_ended", ended(approval)));
            }
            Ok(((), events))
        };
        Ok(self.change(id, "voted", change).await?.1)
    }

    /// Takes an approval back.
    pub(crate) async fn revoke(&self, id: &str, by: &Person, reason: &str) -> Result<Arc<Approval>, ApprovalError> {
        let now = now_secs();
        if reason.trim().is_empty() || reason.len() > SAID_BYTES_MAX {
            return Err(ApprovalError::Conflict(format!("a reason of 1 to {SAID_BYTES_MAX} bytes is needed")));
        }
        let change = |approval: &mut Approval| {
            approval.expire(now);
            let state = approval.state;
            if !approval.revoke(&by.id, reason, now) {
                return Err(Refusal::NotPending(state).into());
            }
            Ok(((), vec![("approval_ended", ended(approval))]))
        };
        Ok(self.change(id, "ended", change).await?.1)
    }

    /// Says that an emergency was looked at. Whoever broke the glass can't.
    pub(crate) async fn review(&self, id: &str, by: &Person, reason: &str) -> Result<Arc<Approval>, ApprovalError> {
        let now = now_secs();
        if reason.trim().is_empty() || reason.len() > SAID_BYTES_MAX {
            return Err(ApprovalError::Conflict(format!("a finding of 1 to {SAID_BYTES_MAX} bytes is needed")));
        }
        let change = |approval: &mut Approval| {
            if !approval.awaits_review() {
                return Err(ApprovalError::Conflict("the approval is no emergency that waits for its review".to_owned()));
            }
            if approval.votes.iter().any(|vote| vote.by.id == by.id) {
                return Err(ApprovalError::Conflict(format!("{} took part in it: somebody else has to look at it", by.id)));
            }
            approval.review = Some(Review { by: by.clone(), reason: reason.to_owned(), at_secs: now });
            let event = json!({"approval": approval.id, "by": by.id, "proof": by.proof.as_str(), "reason": reason});
            Ok(((), vec![("break_glass_reviewed", event)]))
        };
        Ok(self.change(id, "reviewed", change).await?.1)
    }

    /// Takes back all open ones of which this is true: how many. What can't be recorded stays, and is told.
    pub(crate) async fn revoke_where(
        &self,
        by: &Person,
        reason: &str,
        is: impl Fn(&Approval) -> bool,
    ) -> Result<usize, ApprovalError> {
        let ids: Vec<String> = {
            let pages = lock(&self.pages);
            pages.open.values().filter(|open| is(&open.approval)).map(|open| open.approval.id.clone()).collect()
        };
        let mut count = 0;
        for id in ids {
            match self.revoke(&id, by, reason).await {
                Ok(_) => count += 1,
                Err(ApprovalError::Refused(_) | ApprovalError::Absent(_)) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(count)
    }

    /// Ends what is over, and asks further people where nobody has answered. To be called every now and then.
    pub(crate) async fn tick(&self) {
        let now = now_secs();
        let due: Vec<(String, bool)> = {
            let pages = lock(&self.pages);
            let due = |approval: &Approval| {
                let over = Approval::clone(approval).expire(now);
                let escalates = approval.state == ApprovalState::Pending && escalations(approval, now) > approval.escalated;
                (over || escalates).then_some((approval.id.clone(), over))
            };
            pages.open.values().filter_map(|open| due(&open.approval)).collect()
        };
        for (id, over) in due {
            let change = |approval: &mut Approval| {
                if over && approval.expire(now) {
                    return Ok(((), vec![("approval_ended", ended(approval))]));
                }
                approval.escalated = escalations(approval, now);
                let event = json!({"approval": approval.id, "agent": approval.agent, "escalated": approval.escalated});
                Ok(((), vec![("approval_escalated", event)]))
            };
            // What can't be recorded is tried again the next time; nothing is let through meanwhile.
            let _ = self.change(&id, if over { "ended" } else { "escalated" }, change).await;
        }
    }

    /// One of them, open or not.
    pub(crate) fn get(&self, id: &str) -> Result<Option<Arc<Approval>>, ApprovalError> {
        {
            let pages = lock(&self.pages);
            let known = pages.open.get(id).map(|open| &open.approval).or_else(|| pages.ended.get(id));
            if let Some(known) = known {
                return Ok(Some(Arc::clone(known)));
            }
        }
        let Some(body) = self.store.get(id).map_err(ApprovalError::Unavailable)? else { return Ok(None) };
        Ok(self.read(id, &body).map_err(ApprovalError::Unavailable)?.map(Arc::new))
    }

    /// Those in these states (none: in any), the newest first, older than `before`; and whether there are more.
    pub(crate) fn page(
        &self,
        states: &[ApprovalState],
        before: Option<&str>,
        count: usize,
    ) -> Result<(Vec<Arc<Approval>>, bool), ApprovalError> {
        let count = count.clamp(1, PAGE_MAX);
        let wanted = |approval: &Arc<Approval>| states.is_empty() || states.contains(&approval.state);
        let older = |id: &str| before.is_none_or(|before| id < before);
        let mut found: Vec<Arc<Approval>> = {
            let pages = lock(&self.pages);
            let open = pages.open.values().map(|open| &open.approval).filter(|approval| older(&approval.id) && wanted(approval));
            open.cloned().collect()
        };
        if states.is_empty() || states.iter().any(|state| state.has_ended()) {
            let mut cursor = before.map(str::to_owned);
            let mut ended = 0;
            while ended <= count {
                let stored = self.store.ended(cursor.as_deref(), PAGE_MAX).map_err(ApprovalError::Unavailable)?;
                let Some((last, _)) = stored.last() else { break };
                cursor = Some(last.clone());
                let full = stored.len() == PAGE_MAX;
                for (id, body) in stored {
                    let approval = self.read(&id, &body).map_err(ApprovalError::Unavailable)?.map(Arc::new);
                    if let Some(approval) = approval.filter(wanted) {
                        ended += 1;
                        found.push(approval);
                    }
                }
                if !full {
                    break;
                }
            }
        }
        found.sort_by(|a, b| b.id.cmp(&a.id));
        found.dedup_by(|a, b| a.id == b.id);
        let more = found.len() > count;
        found.truncate(count);
        Ok((found, more))
    }

    /// How many wait, and how many emergencies wait for their review.
    pub(crate) fn waiting(&self) -> (usize, usize) {
        let pages = lock(&self.pages);
        let pending = pages.open.values().filter(|open| open.approval.state == ApprovalState::Pending).count();
        let open = pages.open.values().map(|open| &open.approval);
        let emergencies = open.chain(pages.ended.values()).filter(|approval| approval.awaits_review()).count();
        (pending, emergencies)
    }

    /// Waits until an approval is no longer pending, or the time is over; how it stands then.
    pub(crate) async fn decided(&self, id: &str, at_most: Duration) -> Option<Arc<Approval>> {
        let mut changes = self.changes();
        let end = tokio::time::Instant::now() + at_most;
        loop {
            changes.borrow_and_update();
            let now = self.get(id).ok().flatten()?;
            if now.state != ApprovalState::Pending || self.closing() {
                return Some(now);
            }
            if tokio::time::timeout_at(end, changes.changed()).await.is_err() {
                return Some(now);
            }
        }
    }

    /// Those of a space and a principal that aren't over: they wait for people, or for the call.
    pub(crate) fn open_of(&self, space: &str, principal: &str) -> Vec<Arc<Approval>> {
        let pages = lock(&self.pages);
        let own = |approval: &&Arc<Approval>| approval.space == space && approval.principal == principal;
        let mut own: Vec<Arc<Approval>> = pages.open.values().map(|open| &open.approval).filter(own).cloned().collect();
        own.sort_by(|a, b| a.id.cmp(&b.id));
        own
    }

    /// Whether nobody is to wait any longer.
    pub(crate) fn closing(&self) -> bool {
        self.closing.load(Ordering::Acquire)
    }

    /// Lets nobody wait any longer; what waits for people goes on waiting.
    pub(crate) fn close(&self) {
        self.closing.store(true, Ordering::Release);
        self.changed.send_modify(|number| *number += 1);
    }

    /// Remembers a call, for whoever is asked about a later one.
    pub(crate) fn came(&self, space: &Arc<str>, who: &str, before: Before) {
        let mut all = lock(&self.before);
        if all.len() >= CALLERS_MAX && !all.contains_key(&(Arc::clone(space), who.to_owned())) {
            // Whoever called the longest ago is forgotten first.
            let oldest =
                all.iter().min_by_key(|(_, calls)| calls.front().map_or(0, |call| call.at_ms)).map(|(key, _)| key.clone());
            oldest.map(|key| all.remove(&key));
        }
        let calls = all.entry((Arc::clone(space), who.to_owned())).or_default();
        calls.push_front(before);
        calls.truncate(BEFORE_MAX);
    }

    /// The last calls of a caller, the newest first.
    pub(crate) fn led_to(&self, space: &Arc<str>, who: &str) -> Vec<Before> {
        lock(&self.before).get(&(Arc::clone(space), who.to_owned())).into_iter().flatten().cloned().collect()
    }
}

/// An approval that is being changed: until it is dropped, however that comes about, it lets nothing through.
struct Busy<'a> {
    book: &'a Book,
    id: &'a str,
}

impl<'a> Busy<'a> {
    fn begin(book: &'a Book, id: &'a str) -> Self {
        let busy = Self { book, id };
        busy.set(true);
        busy
    }

    fn set(&self, busy: bool) {
        if let Some(open) = lock(&self.book.pages).open.get_mut(self.id) {
            open.busy = busy;
        }
    }
}

impl Drop for Busy<'_> {
    fn drop(&mut self) {
        self.set(false);
    }
}

/// How many escalations are due.
fn escalations(approval: &Approval, now: u64) -> usize {
    let waited = now.saturating_sub(approval.asked_at_secs);
    let due = approval.rules.iter().flat_map(|rule| &rule.ask.escalations).filter(|escalation| escalation.after_secs <= waited);
    due.count()
}

fn about(approval: &Approval) -> Value {
    let mut event = json!({
        "approval": approval.id, "agent": approval.agent, "space": approval.space, "server": approval.server, "tool": approval.tool,
        "categories": approval.categories, "class": approval.class.as_str(), "risk": approval.risk.as_str(),
    });
    if let (Some(user), Some(map)) = (&approval.user, event.as_object_mut()) {
        map.insert("user".to_owned(), user.as_str().into());
    }
    event
}

fn with(mut event: Value, more: Value) -> Value {
    if let (Some(map), Value::Object(more)) = (event.as_object_mut(), more) {
        map.extend(more);
    }
    event
}

fn requested(approval: &Approval) -> Value {
    let rules: Vec<&str> = approval.rules.iter().map(|rule| rule.id.as_str()).collect();
    let more = json!({
        "decision": approval.decision, "rules": rules, "arguments_digest": approval.arguments_digest,
        "expires_at_secs": approval.expires_at_secs, "pattern": approval.pattern.as_ref().map(|pins| pins.keys().collect::<Vec<_>>()),
    });
    with(about(approval), more)
}

fn voted(approval: &Approval) -> Value {
    let Some(vote) = approval.votes.last() else { return about(approval) };
    let more = json!({
        "by": vote.by.id, "proof": vote.by.proof, "verdict": if vote.approves { "APPROVE" } else { "REJECT" }, "reason": vote.reason,
        "narrowed": !vote.terms.pins.is_empty(), "ttl_secs": vote.terms.ttl_secs, "pins": vote.terms.pins.keys().collect::<Vec<_>>(),
        "break_glass": vote.break_glass, "state": approval.state.as_str(), "arguments_digest": approval.arguments_digest,
    });
    with(about(approval), more)
}

fn ended(approval: &Approval) -> Value {
    let more = json!({
        "state": approval.state.as_str(), "by": approval.ended.as_ref().map(|ended| &ended.by),
        "reason": approval.ended.as_ref().map(|ended| &ended.reason), "redeemed_by": approval.redeemed_by.last(),
    });
    with(about(approval), more)
}

impl crate::Gateway {
    /// Approvals in these states (none: in any), the newest first, older than the one of id `before`; and whether there are more. At most 200
    /// at a time.
    pub fn approvals(
        &self,
        states: &[ApprovalState],
        before: Option<&str>,
        count: usize,
    ) -> Result<(Vec<Arc<Approval>>, bool), ApprovalError> {
        self.inner.approvals.page(states, before, count)
    }

    /// One approval.
    pub fn approval(&self, id: &str) -> Result<Arc<Approval>, ApprovalError> {
        self.inner.approvals.get(id)?.ok_or_else(|| ApprovalError::Absent(id.to_owned()))
    }

    /// Takes a person's answer to an approval, under the rules in effect.
    pub async fn approval_answer(&self, id: &str, answer: Answer) -> Result<Arc<Approval>, ApprovalError> {
        let organization = Arc::clone(&self.snapshot().organization);
        self.inner.approvals.answer(id, answer, &organization.approvals).await
    }

    /// Takes an approval back.
    pub async fn approval_revoke(&self, id: &str, by: &Person, reason: &str) -> Result<Arc<Approval>, ApprovalError> {
        self.inner.approvals.revoke(id, by, reason).await
    }

    /// Takes back every open approval of which this is true: how many.
    pub async fn approvals_revoke(
        &self,
        by: &Person,
        reason: &str,
        is: impl Fn(&Approval) -> bool + Send,
    ) -> Result<usize, ApprovalError> {
        self.inner.approvals.revoke_where(by, reason, is).await
    }

    /// Says what came of looking at an emergency.
    pub async fn approval_review(&self, id: &str, by: &Person, reason: &str) -> Result<Arc<Approval>, ApprovalError> {
        self.inner.approvals.review(id, by, reason).await
    }

    /// Ends approvals whose time is over, and asks further people. To be called every now and then.
    pub async fn approvals_tick(&self) {
        self.inner.approvals.tick().await;
        let (pending, emergencies) = self.inner.approvals.waiting();
        let observer = self.inner.recorder.observer();
        observer.gauge(crate::Gauge::ApprovalsPending(pending));
        observer.gauge(crate::Gauge::EmergenciesUnreviewed(emergencies));
    }

    /// Tells whenever an approval has changed.
    pub fn approvals_changed(&self) -> watch::Receiver<u64> {
        self.inner.approvals.changes()
    }

    /// What happens to approvals from now on.
    pub fn approval_events(&self) -> broadcast::Receiver<ApprovalEvent> {
        self.inner.approvals.events()
    }

    /// The address of an approval's page, for people.
    pub fn approval_page(&self, id: &str) -> String {
        self.inner.approval_page(id)
    }
}
