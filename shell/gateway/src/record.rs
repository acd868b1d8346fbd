//! Records: a decision is durable before the call goes upstream, its outcome before the reply. What can't be recorded isn't done.

use std::borrow::Cow;
use std::net::IpAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use remit_cedar::EventKind;
use remit_journal::{Append, AppendError, Journal};
use remit_kernel::budget::{Cost, Payer, counts};
use remit_kernel::{ActedAs, Guarded, LayerLine, Snapshot};
use remit_mcp::canonical::{hex, sha256};
use remit_model::{AgentId, Labels, RequestStanding, ServerKey, ServerName, StatedCost, ValueOrigin, decimal, plain_pointer};
use serde::Serialize;

use crate::budget::{self, Budgets};
use crate::clock::{id, now_ms, rfc3339};
use crate::history::{Told, Watched};
use crate::kept::Sealed;
use crate::observe::{Observed, Observer};
use crate::session::lock;
use crate::space_key::{Committed, SpaceKey, SpaceKeys, result_aad};

/// How many refusals of callers that nobody knows are recorded a second; the rest are counted into the next one.
const STRANGERS_PER_SEC: u64 = 50;
/// The longest text from a caller that an entry holds.
const TEXT_MAX: usize = 512;

/// Writes entries.
pub(crate) struct Recorder {
    journal: Journal,
    keys: Arc<SpaceKeys>,
    budgets: Arc<Budgets>,
    observer: Arc<dyn Observer>,
    strangers: AtomicU64,
    strangers_second: AtomicU64,
    strangers_suppressed: AtomicU64,
}

impl std::fmt::Debug for Recorder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Recorder")
    }
}

/// A decision as the journal holds it.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct DecisionEntry<'a> {
    pub(crate) agent: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) user: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) credential_id: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) session: Option<&'a str>,
    /// The role session, its source identity and its tags.
    #[serde(flatten, skip_serializing_if = "Option::is_none")]
    pub(crate) acted_as: Option<&'a ActedAs>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) source_ip: Option<IpAddr>,
    pub(crate) space: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[serde(serialize_with = "as_text")]
    pub(crate) server: Option<&'a ServerKey>,
    /// The tool's name in policies, or the prompt's or resource's.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) tool: Option<&'a str>,
    pub(crate) method: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) protocol: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    /// What the arguments are, salted: only who has the salt can tell.
    pub(crate) arguments_commitment: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) tool_digest: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) risk: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) class: Option<&'a str>,
    #[serde(skip_serializing_if = "<[String]>::is_empty")]
    pub(crate) categories: &'a [String],
    /// `ALLOW`, `DENY` or `HOLD`.
    pub(crate) verdict: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) reason: Option<&'a str>,
    /// The approval that lets it through.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) approval: Option<&'a str>,
    /// The digest of the facts, which are kept sealed beside the journal. It stands before the layers: who decides again reads so far.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) facts_digest: Option<String>,
    pub(crate) layers: &'a [LayerLine],
    /// What a policy set says that is only logged, where that is another verdict.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) policy_flip: Option<&'a str>,
    /// What guardrails found in the arguments, and what of them ran.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) guardrails: Option<&'a Guarded>,
    /// The policy session, where the space's policies look back.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) policy_session: Option<&'a str>,
    /// What the session had touched before, where a rule reads it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) labels: Option<Labels>,
    /// What stands behind the call's values, the worst first; never a value.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) provenance: Vec<ValueOrigin>,
    /// Whether the user's request names anything that the call does.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) requested: Option<bool>,
    /// How the user's request stands that came with the call.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) request: Option<RequestStanding>,
    /// What the history of the space needs of the call, sealed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) history: Option<String>,
    pub(crate) snapshot: u64,
}

#[derive(Serialize)]
struct Whole<'a, T: Serialize> {
    v: u32,
    #[serde(rename = "type")]
    kind: &'a str,
    time: String,
    #[serde(skip_serializing_if = "str::is_empty")]
    id: &'a str,
    #[serde(skip_serializing_if = "str::is_empty")]
    trace_id: &'a str,
    #[serde(flatten)]
    entry: T,
}

/// How a call ended, as the journal holds it.
#[derive(Debug, Clone, Serialize)]
struct OutcomeEntry<'a> {
    decision: &'a str,
    agent: &'a str,
    space: &'a str,
    tool: &'a str,
    /// `ok`, `tool_error`, `error`, `input_required`, `task`, `cancelled`, `answered`, or why the server could not be used.
    outcome: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    result_commitment: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    result_bytes: Option<usize>,
    latency_us: u64,
    upstream_us: u64,
    /// What the server says that it cost.
    #[serde(skip_serializing_if = "Option::is_none")]
    cost: Option<StatedAmount<'a>>,
    /// What keeps the result from the caller.
    #[serde(skip_serializing_if = "Option::is_none")]
    withheld_by: Option<&'a LayerLine>,
    /// What guardrails found in the result, and what of them ran.
    #[serde(skip_serializing_if = "Option::is_none")]
    guardrails: Option<&'a Guarded>,
    /// The same of what the client answered to questions of the server.
    #[serde(skip_serializing_if = "Option::is_none")]
    guardrails_answers: Option<Guarded>,
    /// What the outcome is to the history of the space: `response` or `error`.
    #[serde(skip_serializing_if = "Option::is_none")]
    history_event: Option<&'static str>,
    /// The result, where a condition reads it, sealed.
    #[serde(skip_serializing_if = "Option::is_none")]
    history_output: Option<String>,
    #[serde(skip_serializing_if = "is_zero")]
    history_at_ms: u64,
}

/// An amount of money: a decimal number.
#[derive(Debug, Clone, Serialize)]
struct StatedAmount<'a> {
    currency: &'a str,
    amount: String,
}

/// Why nothing could be recorded: the call is refused.
#[derive(Debug, Clone, thiserror::Error)]
#[error("the decision could not be recorded: {0}")]
pub(crate) struct Unrecorded(pub(crate) String);

impl From<AppendError> for Unrecorded {
    fn from(error: AppendError) -> Self {
        Self(error.to_string())
    }
}

/// What a decision leaves behind: the means to record its outcome, which is recorded even if nobody gets to do it.
#[derive(Debug)]
pub(crate) struct Pending {
    recorder: Arc<Recorder>,
    pub(crate) decision_id: String,
    pub(crate) trace: Trace,
    pub(crate) names: Names,
    started: Instant,
    upstream: Duration,
    done: bool,
    watched: Option<Watched>,
    withheld_by: Option<(LayerLine, &'static str)>,
    guarded: Option<Guarded>,
    answers: AnswersGuarded,
    /// Where the result says what it cost.
    cost_at: Option<StatedCost>,
    /// Whether the result is kept, sealed, beside the entry.
    keeps_result: bool,
}

/// Who and what, for the outcome and for observers.
#[derive(Debug, Clone)]
pub(crate) struct Names {
    pub(crate) agent: Option<AgentId>,
    pub(crate) space: Arc<str>,
    pub(crate) tool: Arc<str>,
    pub(crate) server: Option<ServerName>,
    pub(crate) method: Cow<'static, str>,
    pub(crate) protocol: &'static str,
    pub(crate) session: Option<Arc<str>>,
}

impl Names {
    /// The agent's id; empty if nobody knows who called.
    pub(crate) fn agent(&self) -> &str {
        self.agent.as_ref().map_or("", AgentId::as_str)
    }
}

/// A method's name, without an allocation where it is a known one.
pub(crate) fn method_name(method: &str) -> Cow<'static, str> {
    const KNOWN: [&str; 9] = [
        "tools/call",
        "prompts/get",
        "resources/read",
        "completion/complete",
        "resources/subscribe",
        "subscriptions/listen",
        "tasks/get",
        "tasks/update",
        "tasks/cancel",
    ];
    match KNOWN.iter().find(|known| **known == method) {
        Some(known) => Cow::Borrowed(known),
        None => Cow::Owned(clip(method).to_owned()),
    }
}

#[allow(clippy::trivially_copy_pass_by_ref, reason = "serde gives a reference")]
fn as_text<S: serde::Serializer>(server: &Option<&ServerKey>, serializer: S) -> Result<S::Ok, S::Error> {
    match server {
        Some(server) => serializer.collect_str(server),
        None => serializer.serialize_none(),
    }
}

/// An entry's bytes. Most fit into what is set aside at once.
fn encode(whole: &impl Serialize) -> Result<Vec<u8>, Unrecorded> {
    let mut bytes = Vec::with_capacity(1024);
    serde_json::to_writer(&mut bytes, whole).map_err(|error| Unrecorded(error.to_string()))?;
    Ok(bytes)
}

/// A W3C trace context.
#[derive(Debug, Clone, Default)]
pub(crate) struct Trace {
    pub(crate) trace_id: String,
    pub(crate) parent_id: Option<String>,
    pub(crate) span_id: String,
    pub(crate) sampled: bool,
}

impl Trace {
    /// Reads a `traceparent` (W3C Trace Context, section 3.2), or starts a trace under `fallback`.
    pub(crate) fn read(traceparent: Option<&str>, fallback: &str) -> Self {
        let hexadecimal = |text: &str, len: usize| {
            text.len() == len && text.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f')) && text.bytes().any(|b| b != b'0')
        };
        // The end of a fresh id is random, its start is time.
        let span_id = fallback.get(16..32).unwrap_or_default().to_owned();
        if let Some(mut parts) = traceparent.map(|text| text.split('-'))
            && let (Some(version), Some(trace), Some(parent), Some(flags)) =
                (parts.next(), parts.next(), parts.next(), parts.next())
            && version.len() == 2
            && version != "ff"
            && hexadecimal(trace, 32)
            && hexadecimal(parent, 16)
            && flags.len() == 2
        {
            let sampled = u8::from_str_radix(flags, 16).is_ok_and(|flags| flags & 1 == 1);
            return Self { trace_id: trace.to_owned(), parent_id: Some(parent.to_owned()), span_id, sampled };
        }
        Self { trace_id: fallback.to_owned(), parent_id: None, span_id, sampled: true }
    }

    /// The `traceparent` for what comes next.
    pub(crate) fn traceparent(&self) -> String {
        format!("00-{}-{}-{:02x}", self.trace_id, self.span_id, u8::from(self.sampled))
    }
}

impl Recorder {
    pub(crate) fn new(journal: Journal, observer: Arc<dyn Observer>, keys: Arc<SpaceKeys>) -> Self {
        Self {
            journal,
            keys,
            budgets: Arc::default(),
            observer,
            strangers: AtomicU64::new(0),
            strangers_second: AtomicU64::new(0),
            strangers_suppressed: AtomicU64::new(0),
        }
    }

    /// How many decisions' facts could not be kept.
    pub(crate) fn facts_lost(&self) -> u64 {
        self.journal.attachments_lost()
    }

    /// What calls use up.
    pub(crate) fn budgets(&self) -> &Arc<Budgets> {
        &self.budgets
    }

    /// The keys of spaces.
    pub(crate) fn keys(&self) -> &Arc<SpaceKeys> {
        &self.keys
    }

    /// What an entry of a decision commits to. Of spaces that there aren't nothing is kept, and so no key is made for them.
    pub(crate) fn committed(
        &self,
        snapshot: &Snapshot,
        space: &str,
        what: Committed,
        decision: &str,
        bytes: Option<&[u8]>,
    ) -> Result<Option<String>, Unrecorded> {
        let Some(bytes) = bytes.filter(|_| snapshot.spaces.contains_key(space)) else { return Ok(None) };
        let key = self.keys.of(space).map_err(|error| Unrecorded(error.to_string()))?;
        Ok(Some(key.commitment(what, decision, bytes)))
    }

    /// A signed checkpoint that covers everything that was acknowledged, and the key that it is signed with.
    pub(crate) fn proved(&self) -> (String, String) {
        (self.journal.checkpoint().note, self.journal.verifier_key())
    }

    pub(crate) fn observer(&self) -> &Arc<dyn Observer> {
        &self.observer
    }

    /// Records a decision. When it resolves well, the entry is durable.
    pub(crate) async fn decision(
        &self,
        decision_id: &str,
        trace: &Trace,
        at_ms: u64,
        entry: DecisionEntry<'_>,
        facts: Option<Sealed>,
    ) -> Result<u64, Unrecorded> {
        Ok(self.enqueue(decision_id, trace, at_ms, entry, facts)?.await?.index)
    }

    /// The same, and the entry has its place in the journal's order as soon as this returns.
    pub(crate) fn enqueue(
        &self,
        decision_id: &str,
        trace: &Trace,
        at_ms: u64,
        mut entry: DecisionEntry<'_>,
        facts: Option<Sealed>,
    ) -> Result<Append, Unrecorded> {
        let (facts_digest, attachment) = facts.map(|facts| (facts.digest, facts.bytes)).unzip();
        entry.facts_digest = facts_digest;
        if let (Some(agent), "ALLOW" | "DENY", true) = (entry.agent, entry.verdict, counts(entry.method)) {
            let user = entry.user.map(str::to_owned);
            let payer = Payer { space: entry.space.to_owned(), agent: agent.to_owned(), user };
            self.budgets.decided(at_ms, decision_id, &payer, entry.verdict == "ALLOW");
        }
        let whole = Whole { v: 1, kind: "decision", time: rfc3339(at_ms), id: decision_id, trace_id: &trace.trace_id, entry };
        let entry = encode(&whole)?;
        Ok(match attachment {
            Some(attachment) => self.journal.append_with(entry, attachment),
            None => self.journal.append(entry),
        })
    }

    /// Records that a caller whom nobody knows was refused, unless very many were within this second. `None`: not this one.
    pub(crate) async fn stranger(
        &self,
        decision_id: &str,
        trace: &Trace,
        at_ms: u64,
        entry: DecisionEntry<'_>,
    ) -> Result<Option<u64>, Unrecorded> {
        let second = at_ms / 1000;
        if self.strangers_second.swap(second, Ordering::Relaxed) != second {
            self.strangers.store(0, Ordering::Relaxed);
        }
        if self.strangers.fetch_add(1, Ordering::Relaxed) >= STRANGERS_PER_SEC {
            self.strangers_suppressed.fetch_add(1, Ordering::Relaxed);
            return Ok(None);
        }
        #[derive(Serialize)]
        struct Counted<'a> {
            #[serde(flatten)]
            entry: DecisionEntry<'a>,
            #[serde(skip_serializing_if = "is_zero")]
            refusals_suppressed: u64,
        }
        let counted = Counted { entry, refusals_suppressed: self.strangers_suppressed.swap(0, Ordering::Relaxed) };
        let whole =
            Whole { v: 1, kind: "decision", time: rfc3339(at_ms), id: decision_id, trace_id: &trace.trace_id, entry: counted };
        let bytes = encode(&whole)?;
        Ok(Some(self.journal.append(bytes).await?.index))
    }

    /// Records something that is no decision, such as a configuration that took effect.
    pub(crate) async fn event(&self, kind: &str, entry: impl Serialize) -> Result<u64, Unrecorded> {
        let whole = Whole { v: 1, kind, time: rfc3339(now_ms()), id: "", trace_id: "", entry };
        let bytes = encode(&whole)?;
        Ok(self.journal.append(bytes).await?.index)
    }

    /// Tells observers of a refusal.
    pub(crate) fn refused(&self, names: &Names, trace: &Trace, started: Instant, reason: &'static str) {
        self.not_sent(names, trace, started, ("DENY", "denied"), reason);
    }

    /// Tells observers of a call that waits for people.
    pub(crate) fn held(&self, names: &Names, trace: &Trace, started: Instant) {
        self.not_sent(names, trace, started, ("HOLD", "held"), remit_kernel::Reason::ApprovalRequired.as_str());
    }

    fn not_sent(
        &self,
        names: &Names,
        trace: &Trace,
        started: Instant,
        (verdict, outcome): (&'static str, &'static str),
        reason: &'static str,
    ) {
        self.observer.observed(&Observed {
            names,
            trace,
            verdict,
            reason: Some(reason),
            outcome,
            total: started.elapsed(),
            upstream: Duration::ZERO,
        });
    }
}

#[allow(clippy::trivially_copy_pass_by_ref, reason = "serde gives a reference")]
fn is_zero(number: &u64) -> bool {
    *number == 0
}

impl Pending {
    pub(crate) fn new(recorder: &Arc<Recorder>, decision_id: String, trace: Trace, names: Names, started: Instant) -> Self {
        Self {
            recorder: Arc::clone(recorder),
            decision_id,
            trace,
            names,
            started,
            upstream: Duration::ZERO,
            done: false,
            watched: None,
            withheld_by: None,
            guarded: None,
            answers: AnswersGuarded::default(),
            cost_at: None,
            keeps_result: false,
        }
    }

    /// The result is kept as well, sealed under the key of its space.
    pub(crate) fn keeping_result(mut self, keeps: bool) -> Self {
        self.keeps_result = keeps;
        self
    }

    /// The result says there what it cost.
    pub(crate) fn costed_by(mut self, cost_at: Option<StatedCost>) -> Self {
        self.cost_at = cost_at;
        self
    }

    /// A history waits for the outcome.
    pub(crate) fn watched_by(mut self, watched: Option<Watched>) -> Self {
        self.watched = watched;
        self
    }

    /// What guardrails found in the result.
    pub(crate) fn guarded(&mut self, guarded: Guarded) {
        self.guarded = Some(guarded);
    }

    /// Where it is gathered what guardrails find in what the client answers to the server.
    pub(crate) fn answers(&self) -> AnswersGuarded {
        self.answers.clone()
    }

    /// Counts time that an upstream took.
    pub(crate) fn upstream_took(&mut self, took: Duration) {
        self.upstream += took;
    }

    /// Records the outcome. When it resolves well, the entry is durable and the reply may go.
    pub(crate) async fn finish(self, outcome: &str, result: Option<&[u8]>) -> Result<(), Unrecorded> {
        self.end(outcome, result).await
    }

    /// The same for a result that the caller doesn't get: the record says which statement keeps it. To its history the call came to what
    /// it would have come to.
    pub(crate) async fn withhold(
        mut self,
        layer: &LayerLine,
        outcome: &'static str,
        result: Option<&[u8]>,
    ) -> Result<(), Unrecorded> {
        self.withheld_by = Some((layer.clone(), outcome));
        self.end("withheld", result).await
    }

    async fn end(mut self, outcome: &str, result: Option<&[u8]>) -> Result<(), Unrecorded> {
        self.done = true;
        let append = self.enqueue(outcome, result)?;
        self.observe(outcome);
        append.await?;
        Ok(())
    }

    /// Enqueues the outcome, in the order in which the history has it.
    fn enqueue(&self, outcome: &str, result: Option<&[u8]>) -> Result<Append, Unrecorded> {
        let at_ms = now_ms();
        // One key for both: another one may take its place meanwhile.
        let key = match result {
            Some(_) => Some(self.recorder.keys.of(&self.names.space).map_err(|error| Unrecorded(error.to_string()))?),
            None => None,
        };
        let result_of = result.zip(key.as_deref());
        let then = |told: Option<Told>| {
            let entry = self.encode(outcome, result_of, told, at_ms)?;
            Ok(match result_of.and_then(|(result, key)| self.kept(result, key)) {
                Some(sealed) => self.recorder.journal.append_with(entry, sealed),
                None => self.recorder.journal.append(entry),
            })
        };
        match &self.watched {
            Some(watched) => {
                let outcome = self.withheld_by.as_ref().map_or(outcome, |(_, came_to)| came_to);
                watched.ended(outcome, result, at_ms, then)
            }
            None => then(None),
        }
    }

    /// The result, sealed to be kept.
    fn kept(&self, result: &[u8], key: &SpaceKey) -> Option<Vec<u8>> {
        if !self.keeps_result {
            return None;
        }
        key.seal(result.to_vec(), &result_aad(&self.names.space, &self.decision_id))
    }

    fn encode(
        &self,
        outcome: &str,
        result: Option<(&[u8], &SpaceKey)>,
        told: Option<Told>,
        at_ms: u64,
    ) -> Result<Vec<u8>, Unrecorded> {
        let history_event = told.as_ref().map(|told| told.kind).map(EventKind::as_str);
        let (latency_us, upstream_us) = (micros(self.started.elapsed()), micros(self.upstream));
        let money = self.cost_at.as_ref().zip(result);
        let money = money.and_then(|(at, (answer, _))| Some((at.currency.as_str(), budget::stated(at, answer)?)));
        let cost = Cost {
            bytes: result.map_or(0, |(result, _)| result.len() as u64),
            upstream_us,
            latency_us,
            money: money.map(|(currency, amount)| (currency.to_owned(), amount)),
        };
        self.recorder.budgets.ended(at_ms, &self.decision_id, &cost);
        let result_commitment = result.map(|(result, key)| key.commitment(Committed::Result, &self.decision_id, result));
        let entry = OutcomeEntry {
            decision: &self.decision_id,
            agent: self.names.agent(),
            space: &self.names.space,
            tool: clip(&self.names.tool),
            outcome,
            result_commitment,
            result_bytes: result.map(|(result, _)| result.len()),
            latency_us,
            upstream_us,
            cost: money.map(|(currency, amount)| StatedAmount { currency, amount: decimal(amount) }),
            withheld_by: self.withheld_by.as_ref().map(|(layer, _)| layer),
            guardrails: self.guarded.as_ref(),
            guardrails_answers: self.answers.told(),
            history_event,
            history_at_ms: if told.is_some() { at_ms } else { 0 },
            history_output: told.and_then(|told| told.output),
        };
        let whole = Whole { v: 1, kind: "outcome", time: rfc3339(at_ms), id: "", trace_id: &self.trace.trace_id, entry };
        encode(&whole)
    }

    fn observe(&self, outcome: &str) {
        self.recorder.observer.observed(&Observed {
            names: &self.names,
            trace: &self.trace,
            verdict: "ALLOW",
            reason: None,
            outcome,
            total: self.started.elapsed(),
            upstream: self.upstream,
        });
    }
}

/// What guardrails found in what a client answers in the course of one call; it may do so while the call goes on.
#[derive(Debug, Clone, Default)]
pub(crate) struct AnswersGuarded(Arc<Mutex<Option<Guarded>>>);

impl AnswersGuarded {
    /// Another answer was looked at.
    pub(crate) fn add(&self, guarded: Guarded) {
        let mut all = lock(&self.0);
        match &mut *all {
            Some(all) => all.join(guarded),
            None => *all = Some(guarded),
        }
    }

    fn told(&self) -> Option<Guarded> {
        lock(&self.0).clone()
    }
}

impl Drop for Pending {
    /// A call that was given up leaves an outcome all the same: it is enqueued; nobody waits for it.
    fn drop(&mut self) {
        if self.done {
            return;
        }
        self.observe("cancelled");
        drop(self.enqueue("cancelled", None));
    }
}

/// A text from a caller, cut to what an entry may hold.
pub(crate) fn clip(text: &str) -> &str {
    let mut end = text.len().min(TEXT_MAX);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    text.get(..end).unwrap_or_default()
}

/// What an entry says of where values come from: the worst of them, and no more than an entry has room for. What an object is keyed by may be
/// data, and isn't told.
pub(crate) fn origins(values: &[ValueOrigin]) -> Vec<ValueOrigin> {
    const VALUES_MAX: usize = 32;
    let told = |value: &ValueOrigin| ValueOrigin { pointer: plain_pointer(&value.pointer), ..value.clone() };
    let mut worst: Vec<ValueOrigin> = values.iter().map(told).filter(|value| value.pointer.len() <= TEXT_MAX).collect();
    worst.sort_by_key(|value| std::cmp::Reverse(value.provenance));
    worst.truncate(VALUES_MAX);
    worst
}

/// The digest of what an entry doesn't hold itself.
pub(crate) fn digest(bytes: &[u8]) -> String {
    format!("sha256:{}", hex(&sha256(bytes)))
}

pub(crate) fn micros(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}

/// A fresh id for a decision, and its time.
pub(crate) fn fresh_id() -> Result<(String, u64), Unrecorded> {
    let at_ms = now_ms();
    let id = id(at_ms).ok_or_else(|| Unrecorded("no randomness".to_owned()))?;
    Ok((id, at_ms))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn traces_are_taken_up_or_started() {
        let given = Trace::read(Some("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"), &"a".repeat(32));
        assert_eq!(given.trace_id, "4bf92f3577b34da6a3ce929d0e0e4736");
        assert_eq!(given.traceparent(), format!("00-4bf92f3577b34da6a3ce929d0e0e4736-{}-01", "a".repeat(16)));
        for bad in [
            "",
            "00-zz-00f067aa0ba902b7-01",
            "ff-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
            "00-00000000000000000000000000000000-00f067aa0ba902b7-01",
        ] {
            assert_eq!(Trace::read(Some(bad), &"b".repeat(32)).trace_id, "b".repeat(32));
        }
    }
}
