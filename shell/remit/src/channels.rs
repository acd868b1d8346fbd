//! Telling people elsewhere of what waits for them, and following what a state machine decides.
//!
//! Whatever waits when the gateway starts is told again: a receiver knows a message by its id, a state machine's execution by its name. A
//! channel that is away delays nobody: other approvers go on deciding, and the call goes on waiting.

use std::collections::{BTreeSet, HashMap};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use remit_channel::ChannelError;
use remit_channel::step_functions::{Decided, Execution, Machine};
use remit_channel::webhook::{self, Target};
use remit_control::ANSWER_PATH;
use remit_control::approval::told;
use remit_gateway::rfc3339;
use remit_kernel::approval::{Answer, Terms};
use remit_kernel::{Approval, ApprovalState};
use remit_mcp::canonical::sha256;
use remit_model::{Channel, Person, Proof};
use rustls::ClientConfig;
use serde_json::{Value, json};
use tokio::sync::broadcast::error::RecvError;

use crate::now_secs;
use crate::up::World;

/// How often a delivery is tried.
const TRIES_MAX: u32 = 8;
/// How long is waited before the second try; twice as long before each further one.
const PAUSE: Duration = Duration::from_secs(1);
/// How often an execution is asked how it stands.
const POLL: Duration = Duration::from_secs(2);
/// The most one-time links that are good at once.
const LINKS_MAX: usize = 20_000;

/// One-time links: the digest of each, with what it decides.
#[derive(Default)]
pub(crate) struct Links(Mutex<HashMap<[u8; 32], Link>>);

/// What a one-time link decides.
#[derive(Debug, Clone)]
pub(crate) struct Link {
    approval: String,
    approves: bool,
    by: String,
    until_secs: u64,
}

impl Links {
    /// A new link's token; `None` if the system has no randomness or there are too many.
    fn make(&self, link: Link) -> Option<String> {
        let mut random = [0; 32];
        aws_lc_rs::rand::fill(&mut random).ok()?;
        let token = remit_mcp::canonical::hex(&random);
        let mut links = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let now = now_secs();
        links.retain(|_, link| link.until_secs > now);
        if links.len() >= LINKS_MAX {
            return None;
        }
        links.insert(sha256(token.as_bytes()), link);
        Some(token)
    }

    /// What a token decides, as long as it is good.
    fn look(&self, token: &str) -> Option<Link> {
        let links = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        links.get(&sha256(token.as_bytes())).filter(|link| link.until_secs > now_secs()).cloned()
    }

    /// The same, and all links of its approval on this channel are good no more.
    fn take(&self, token: &str) -> Option<Link> {
        let found = self.look(token)?;
        let mut links = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        links.remove(&sha256(token.as_bytes()))?;
        links.retain(|_, link| link.approval != found.approval || link.by != found.by);
        Some(found)
    }
}

/// Tells of what happens from now on, until the gateway ends.
pub(crate) async fn tell(world: Arc<World>, tls: Arc<ClientConfig>) {
    let mut events = world.gateway.approval_events();
    let mut known: BTreeSet<String> = BTreeSet::new();
    pending(&world, &tls, &mut known);
    loop {
        match events.recv().await {
            Ok(event) if event.kind == "requested" => {
                if known.insert(event.approval.id.clone()) {
                    send(&world, &tls, &event.approval, "requested", asked_first(&event.approval));
                }
            }
            Ok(event) if event.kind == "escalated" => {
                send(&world, &tls, &event.approval, "escalated", escalated(&event.approval));
            }
            Ok(event) => {
                if event.approval.state.has_ended() {
                    known.remove(&event.approval.id);
                }
            }
            // Too far behind to know each: whatever waits and wasn't told is told.
            Err(RecvError::Lagged(_)) => pending(&world, &tls, &mut known),
            Err(RecvError::Closed) => return,
        }
    }
}

fn pending(world: &Arc<World>, tls: &Arc<ClientConfig>, known: &mut BTreeSet<String>) {
    let mut before: Option<String> = None;
    while let Ok((waiting, more)) = world.gateway.approvals(&[ApprovalState::Pending], before.as_deref(), 200) {
        for approval in &waiting {
            if known.insert(approval.id.clone()) {
                send(world, tls, approval, "requested", asked_first(approval));
            }
        }
        before = waiting.last().map(|last| last.id.clone());
        if !more {
            return;
        }
    }
}

/// The channels that are told at once.
fn asked_first(approval: &Approval) -> BTreeSet<String> {
    approval.rules.iter().flat_map(|rule| rule.ask.channels.iter().cloned()).collect()
}

/// Those that are told when nobody has answered.
fn escalated(approval: &Approval) -> BTreeSet<String> {
    let waited = now_secs().saturating_sub(approval.asked_at_secs);
    let due = approval.rules.iter().flat_map(|rule| &rule.ask.escalations).filter(|escalation| escalation.after_secs <= waited);
    due.flat_map(|escalation| escalation.channels.iter().cloned()).collect()
}

fn send(world: &Arc<World>, tls: &Arc<ClientConfig>, approval: &Arc<Approval>, kind: &'static str, channels: BTreeSet<String>) {
    let organization = Arc::clone(&world.gateway.snapshot().organization);
    for name in channels {
        let Some(channel) = organization.approvals.channels.get(&name).cloned() else { continue };
        let one = One { world: Arc::clone(world), tls: Arc::clone(tls), approval: Arc::clone(approval), kind, name };
        tokio::spawn(async move { one.send(channel).await });
    }
}

/// One approval for one channel.
struct One {
    world: Arc<World>,
    tls: Arc<ClientConfig>,
    approval: Arc<Approval>,
    kind: &'static str,
    name: String,
}

/// One thing that is asked of a channel.
enum Step<'a> {
    /// That people are told, or that a state machine starts.
    Tell(&'a Value),
    /// How the state machine's execution stands.
    Describe,
    /// That it stops.
    Stop,
}

impl One {
    async fn send(self, channel: Channel) {
        match &channel {
            Channel::Webhook { approver, .. } => {
                let message = self.message(approver.as_deref());
                self.tell(&channel, &message).await;
            }
            Channel::StepFunctions { approver, .. } => {
                let input = json!({"approval": self.shown()});
                if self.tell(&channel, &input).await {
                    self.follow(&channel, approver).await;
                }
            }
        }
    }

    /// Makes one request.
    async fn attempt(&self, channel: &Channel, step: &Step<'_>) -> Result<Execution, ChannelError> {
        let now = now_secs();
        match channel {
            Channel::Webhook { url, secret, network, .. } => {
                let secret = self.secret(secret)?;
                let target = Target { url, network: *network, secret: &secret };
                if let Step::Tell(message) = step {
                    let id = format!("{}-{}", self.approval.id, self.kind);
                    webhook::deliver(&self.tls, &target, &id, now, message).await?;
                }
                Ok(Execution::Running)
            }
            Channel::StepFunctions { state_machine, endpoint, credentials, network, .. } => {
                let credentials = self.secret(credentials)?;
                let endpoint = endpoint.as_deref();
                let machine = Machine { arn: state_machine, endpoint, network: *network, credentials: &credentials };
                let id = &self.approval.id;
                match step {
                    Step::Tell(input) => machine.start(&self.tls, id, input, now).await.map(|()| Execution::Running),
                    Step::Describe => machine.describe(&self.tls, id, now).await,
                    Step::Stop => {
                        let stopped = machine.stop(&self.tls, id, "it was decided elsewhere", now).await;
                        stopped.map(|()| Execution::Running)
                    }
                }
            }
        }
    }

    fn secret(&self, reference: &remit_model::SecretRef) -> Result<zeroize::Zeroizing<String>, ChannelError> {
        self.world.secret(reference).map_err(ChannelError::Invalid)
    }

    fn shown(&self) -> Value {
        let organization = Arc::clone(&self.world.gateway.snapshot().organization);
        let page = self.world.gateway.approval_page(&self.approval.id);
        let mut shown = told(&self.approval, &organization.approvals, None, &page, now_secs());
        if let Some(map) = shown.as_object_mut() {
            map.insert("asked_at".to_owned(), rfc3339(self.approval.asked_at_secs.saturating_mul(1000)).into());
            map.insert("expires_at".to_owned(), rfc3339(self.approval.expires_at_secs.saturating_mul(1000)).into());
        }
        shown
    }

    fn message(&self, approver: Option<&str>) -> Value {
        let mut message = json!({
            "type": format!("approval.{}", self.kind), "timestamp": rfc3339(now_secs().saturating_mul(1000)),
            "data": {"approval": self.shown()},
        });
        if let (Some(by), Some(data)) = (approver, message.pointer_mut("/data").and_then(Value::as_object_mut)) {
            let link = |approves: bool| {
                let (approval, until_secs) = (self.approval.id.clone(), self.approval.expires_at_secs);
                let token = self.world.links.make(Link { approval, approves, by: by.to_owned(), until_secs })?;
                Some(format!("{}{ANSWER_PATH}?token={token}", self.world.control_address))
            };
            data.insert("links".to_owned(), json!({"approve": link(true), "reject": link(false)}));
        }
        message
    }

    /// Tells, until that succeeds, can't succeed, or nobody needs it any more; whether it has succeeded.
    async fn tell(&self, channel: &Channel, message: &Value) -> bool {
        let mut pause = PAUSE;
        let mut last = String::new();
        for _ in 0..TRIES_MAX {
            if !self.waits() {
                return false;
            }
            match self.attempt(channel, &Step::Tell(message)).await {
                Ok(_) => return true,
                Err(error) => {
                    last = error.to_string();
                    if !error.may_pass() {
                        break;
                    }
                }
            }
            tokio::time::sleep(pause).await;
            pause *= 2;
        }
        self.failed(&last).await;
        false
    }

    fn waits(&self) -> bool {
        self.world.gateway.approval(&self.approval.id).is_ok_and(|now| now.state == ApprovalState::Pending)
    }

    async fn failed(&self, why: &str) {
        crate::output::warn(&format!("channel `{}` was not told of approval {}: {why}", self.name, self.approval.id));
        let event = json!({"channel": self.name, "approval": self.approval.id, "why": why});
        let _ = self.world.gateway.record("channel_failed", event).await;
    }

    /// Follows an execution to its end; what it comes to is an answer. Once the approval is decided elsewhere it is stopped.
    async fn follow(&self, channel: &Channel, approver: &str) {
        while self.waits() {
            match self.attempt(channel, &Step::Describe).await {
                Ok(Execution::Running) => {}
                Ok(Execution::Decided(decided)) => return self.decided(approver, decided).await,
                Ok(Execution::Failed(why)) => return self.failed(&why).await,
                Err(error) if error.may_pass() => {}
                Err(error) => return self.failed(&error.to_string()).await,
            }
            tokio::time::sleep(POLL).await;
        }
        let _ = self.attempt(channel, &Step::Stop).await;
    }

    async fn decided(&self, approver: &str, decided: Decided) {
        let Decided { approves, by, reason, ttl_secs } = decided;
        // What the state machine says of who it was is told, and proved by nothing but its being the one that the configuration names.
        let mut said = if by.is_empty() { reason } else { format!("{by}: {reason}") };
        if said.trim().is_empty() {
            said = format!("channel {}", self.name);
        }
        let by = Person { id: approver.to_owned(), proof: Proof::Channel };
        let terms = Terms { ttl_secs, ..Terms::default() };
        let answer = Answer { by, approves, reason: said, terms, break_glass: false };
        if let Err(error) = self.world.gateway.approval_answer(&self.approval.id, answer).await {
            self.failed(&error.to_string()).await;
        }
    }
}

impl World {
    /// What a one-time link is about, for the page that asks once more: the approval and whether the link agrees.
    pub(crate) fn link_shown(&self, token: &str) -> Result<Value, String> {
        let gone = || "this link has been used, has expired, or never was one".to_owned();
        let link = self.links.look(token).ok_or_else(gone)?;
        let approval = self.gateway.approval(&link.approval).map_err(|error| error.to_string())?;
        Ok(json!({
            "approves": link.approves, "id": approval.id, "agent": approval.agent, "tool": approval.tool,
            "arguments": approval.arguments, "expires_at_secs": approval.expires_at_secs, "state": approval.state.as_str(),
        }))
    }

    /// Decides by a one-time link.
    pub(crate) async fn link_used(&self, token: &str, reason: &str) -> Result<String, String> {
        let gone = || "this link has been used, has expired, or never was one".to_owned();
        let link = self.links.take(token).ok_or_else(gone)?;
        let reason = if reason.trim().is_empty() { "by a one-time link".to_owned() } else { reason.to_owned() };
        let by = Person { id: link.by, proof: Proof::Channel };
        let answer = Answer { by, approves: link.approves, reason, terms: Terms::default(), break_glass: false };
        let done = self.gateway.approval_answer(&link.approval, answer).await.map_err(|error| error.to_string())?;
        Ok(done.state.as_str().to_owned())
    }
}
