//! Guardrails on what comes back: a result passes as it is, masked, or not at all. And what guardrails of Amazon Bedrock answer, for both ways.

use std::ops::Range;
use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;
use http::Response;
use remit_guard::Source;
use remit_kernel::{
    Answers, Arguments, Ask, Call, Denial, Effect, Facts, Guarded, Layer, LayerLine, Reason, Snapshot, SpaceView, Target, decide,
    withheld,
};
use remit_mcp::json::Limits;
use remit_mcp::splice::Splice;
use remit_mcp::{ErrorCode, Message, RpcError};
use remit_model::{Risk, ServerKey};

use crate::Inner;
use crate::body::Body;
use crate::clock::now_ms;
use crate::record::AnswersGuarded;
use crate::relay::Relay;
use crate::reply::{answer_rpc, denial_error};
use crate::session::{Session, answer_for};
use crate::upstream::UpstreamError;

/// What guardrails make of what a server says, and what passes instead, where they mask something.
pub(crate) struct Passed {
    pub(crate) guarded: Guarded,
    pub(crate) instead: Option<Bytes>,
}

/// How often guardrails are asked about one text: each sees what the one before it has left.
const ROUNDS_MAX: usize = 16;

/// Asks guardrails of Amazon Bedrock what they weren't asked yet.
async fn answered(gateway: &Inner, asks: &[Ask], answers: &mut Answers) {
    let started = Instant::now();
    let came = gateway.ask_guardrails.ask(asks).await;
    answers.waited(started.elapsed());
    for (ask, came) in asks.iter().zip(came) {
        answers.add(ask, came);
        gateway.recorder.observer().guardrail_asked(answers.knows(ask));
    }
}

/// What guardrails of Amazon Bedrock say of a call's arguments, if it comes to them.
pub(crate) async fn gather(gateway: &Inner, snapshot: &Snapshot, facts: &mut Facts, call: &Call<'_>, now_secs: u64) {
    let asks_any = snapshot.spaces.get(call.space).is_some_and(|space| space.guards.asks_bedrock());
    if !asks_any || !matches!(call.target, Target::Tool { arguments: Some(_), .. }) {
        return;
    }
    // As it will be decided, so that nobody is told of a call that other layers refuse.
    let call = Call { explain: false, ..*call };
    for _ in 0..ROUNDS_MAX {
        let asks = match decide(snapshot, facts, &call, now_secs).guarded {
            Some(guarded) if !guarded.asks.is_empty() => guarded.asks.clone(),
            _ => return,
        };
        let mut answers = (*facts.guardrails).clone();
        answered(gateway, &asks, &mut answers).await;
        facts.guardrails = Arc::new(answers);
    }
}

/// Inspects a message of a server: its result, its error or its parameters. `None` where no guardrail holds.
pub(crate) async fn inspect(gateway: &Inner, space: &SpaceView, risk: Risk, message: &Message) -> Option<Passed> {
    if space.guards.is_empty() {
        return None;
    }
    // What a server keeps for itself in a client's hands is opaque, and nobody reads it.
    // A result that holds anything else is looked at as a whole.
    let only_asks = message.param_str("resultType").as_deref() == Some("input_required")
        && message
            .param_fields()
            .iter()
            .all(|field| matches!(&*message.key(field), "resultType" | "inputRequests" | "requestState"));
    let asks = message.param_span("inputRequests").filter(|_| only_asks);
    let span = asks.or_else(|| message.params_span())?;
    let mut guarded = Box::pin(inspect_text(gateway, space, risk, Source::Output, message.text(&span))).await;
    let instead = guarded.masked.take().map(|masked| replaced(message, span, &masked));
    Some(Passed { guarded, instead })
}

/// A message with another text in the place of one of its parts.
fn replaced(message: &Message, span: Range<usize>, text: &str) -> Bytes {
    let mut splice = Splice::new();
    splice.replace(span, text.as_bytes().to_vec());
    splice.apply(message.body(), message.root()).into()
}

/// Inspects JSON text, and asks whoever has to be asked.
async fn inspect_text(gateway: &Inner, space: &SpaceView, risk: Risk, source: Source, text: &str) -> Guarded {
    let mut answers = (*gateway.nobody_asked).clone();
    let mut guarded = space.guards.inspect(source, text, risk, &answers);
    for _ in 0..ROUNDS_MAX {
        if guarded.asks.is_empty() {
            break;
        }
        Box::pin(answered(gateway, &guarded.asks, &mut answers)).await;
        guarded = space.guards.inspect(source, text, risk, &answers);
    }
    guarded
}

/// Looks at what a client answers to what a server asks in the middle of a call: it leaves the client as arguments do.
#[derive(Debug, Clone)]
pub(crate) struct Answering {
    gateway: Arc<Inner>,
    space: Arc<SpaceView>,
    risk: Risk,
    found: AnswersGuarded,
}

impl Answering {
    /// Of what a server asks outside of any call; what is found there is in no record.
    pub(crate) fn stray(gateway: &Arc<Inner>, session: &Session) -> Option<Self> {
        let state = gateway.state.load_full();
        let space = Arc::clone(state.snapshot.spaces.get(&*session.space)?);
        Some(Self { gateway: Arc::clone(gateway), space, risk: Risk::High, found: AnswersGuarded::default() })
    }

    /// An answer as it passes. An error is what the server gets instead.
    pub(crate) async fn passed(&self, answer: Option<Message>) -> Result<Option<Message>, RpcError> {
        let Some(answer) = answer else { return Ok(None) };
        // The result, or what an error says.
        let Some(span) = answer.params_span() else { return Ok(Some(answer)) };
        match self.inspected(&answer, span).await {
            Ok(instead) => Ok(Some(instead.unwrap_or(answer))),
            Err(_) => Err(RpcError::new(ErrorCode::Denied, "a guardrail keeps the answer from the server")),
        }
    }

    /// What a server gets for its question of this id: JSON text.
    pub(crate) async fn answer(&self, id: &str, answer: Option<Message>) -> Bytes {
        match self.passed(answer).await {
            Ok(answer) => answer_for(id, answer.as_ref()),
            Err(refused) => refused.answer(id).into(),
        }
    }

    /// Inspects a part of a message: what passes instead, if anything is masked, or why nothing does.
    async fn inspected(&self, message: &Message, span: Range<usize>) -> Result<Option<Message>, (Denial, LayerLine)> {
        if self.space.guards.is_empty() {
            return Ok(None);
        }
        let text = message.text(&span);
        let mut guarded = Box::pin(inspect_text(&self.gateway, &self.space, self.risk, Source::Input, text)).await;
        let masked = guarded.masked.take();
        let denial = guarded.denial();
        self.found.add(guarded);
        if let Some(denial) = denial {
            return Err(denial);
        }
        let Some(masked) = masked else { return Ok(None) };
        Message::parse(replaced(message, span, &masked), Limits::default()).map(Some).map_err(|_| {
            let statement = "what a guardrail masks can't be cut out of the answer".to_owned();
            let (layer, effect, origin) = (Layer::Guardrail, Effect::ExplicitDeny, None);
            let line = LayerLine { layer, effect, statement: statement.clone().into(), origin };
            (Denial { reason: Reason::CouldNotDecide, layer, statement }, line)
        })
    }
}

/// A message as it passes; `None` if it doesn't.
pub(crate) async fn passed(gateway: &Inner, space: &SpaceView, risk: Risk, message: &Message) -> Option<Message> {
    let Some(Passed { guarded, instead }) = inspect(gateway, space, risk, message).await else { return Some(message.clone()) };
    match (guarded.blocked, instead) {
        (Some(_), _) => None,
        (None, Some(body)) => Message::parse(body, Limits::default()).ok(),
        (None, None) => Some(message.clone()),
    }
}

/// A notification of a resource's change, as it passes what holds in the space now. `None` if it doesn't.
pub(crate) async fn updated(gateway: &Inner, space: &str, message: &Message) -> Option<Message> {
    let state = gateway.state.load_full();
    passed(gateway, state.snapshot.spaces.get(space)?, Risk::Low, message).await
}

/// A message that a server sends of its own accord, as it passes; it is read in the session before anybody sees it. `None` if it doesn't.
pub(crate) async fn stray(gateway: &Inner, session: &Session, server: &ServerKey, message: &Message) -> Option<Message> {
    let state = gateway.state.load_full();
    let space = state.snapshot.spaces.get(&*session.space)?;
    let message = passed(gateway, space, Risk::Low, message).await?;
    let read = !space.traces || gateway.flows.stray(&state.snapshot.organization, session, server, message.body());
    read.then_some(message)
}

/// A call with the arguments that guardrails have left.
pub(crate) fn masked(message: &Message, arguments: &str) -> Result<Message, RpcError> {
    let unfit = || RpcError::new(ErrorCode::Internal, "what a guardrail masks can't be cut out of the request");
    let span = message.param_span("arguments").ok_or_else(unfit)?;
    Message::parse(replaced(message, span, arguments), Limits::default()).map_err(|_| unfit())
}

impl Relay {
    /// The risk that says how closely guardrails look.
    pub(crate) fn risk(&self) -> Risk {
        self.dispatch.tool.as_ref().map_or(Risk::Low, |tool| tool.risk)
    }

    /// What the server says meanwhile, as it passes; `None` if it doesn't.
    pub(crate) async fn passed(&self, message: &Message) -> Option<Message> {
        Box::pin(passed(&self.caller.gateway, &self.caller.space, self.risk(), message)).await
    }

    /// Who looks at what the client answers to the server.
    pub(crate) fn answering(&self) -> Answering {
        let (gateway, space) = (Arc::clone(&self.caller.gateway), Arc::clone(&self.caller.space));
        Answering { gateway, space, risk: self.risk(), found: self.pending.answers() }
    }

    /// Looks at what a client says besides a tool's arguments, at which the decision has looked: the answers that come with a retry
    /// (2026-07-28), and what it asks prompts and completions with. It is masked in place, or the call goes no further.
    pub(crate) async fn guard_answers(&mut self) -> Result<(), (Denial, LayerLine)> {
        let said: &[&str] = match self.message.method() {
            "prompts/get" => &["inputResponses", "arguments"],
            "completion/complete" => &["argument", "context"],
            _ => &["inputResponses"],
        };
        for key in said {
            let Some(span) = self.message.param_span(key) else { continue };
            if let Some(masked) = self.answering().inspected(&self.message, span).await? {
                self.message = masked;
            }
        }
        Ok(())
    }

    /// The answers don't pass: the server isn't asked again, the record says why, and the caller learns it.
    pub(crate) async fn withhold_answers(self, (denial, line): (Denial, LayerLine)) -> Response<Body> {
        let (id, era) = (self.message.id().unwrap_or("null").to_owned(), self.caller.era());
        let error = denial_error(&denial, std::slice::from_ref(&line), &self.pending.decision_id, None);
        let error = match self.pending.withhold(&line, "error", None).await {
            Ok(()) => error,
            Err(unrecorded) => RpcError::new(ErrorCode::Internal, unrecorded.to_string()),
        };
        answer_rpc(era, &id, &error)
    }

    /// What guardrails leave of an answer, and why it is kept from the caller, if it is.
    pub(crate) async fn guarded(&mut self, answer: Bytes) -> Result<(Bytes, Option<(Denial, LayerLine)>), UpstreamError> {
        if self.caller.space.guards.is_empty() {
            return Ok((answer, None));
        }
        let message =
            Message::parse(answer.clone(), Limits::default()).map_err(|error| UpstreamError::Protocol(error.to_string()))?;
        let inspected = inspect(&self.caller.gateway, &self.caller.space, self.risk(), &message).await;
        let Some(passed) = inspected else { return Ok((answer, None)) };
        // Whoever's word it is: what looks like an attack is no trusted text.
        if passed.guarded.attack_percent() > 0
            && let Some(traced) = &mut self.caller.traced
        {
            traced.distrust();
        }
        let denial = passed.guarded.denial();
        self.pending.guarded(passed.guarded);
        Ok((passed.instead.unwrap_or(answer), denial))
    }

    /// What a server says is part of what the session has touched.
    pub(crate) fn reads(&self, said: &[u8]) {
        if let Some(traced) = &self.caller.traced {
            traced.read(&self.caller.gateway.flows, said);
        }
    }

    /// Why the space's policy set keeps a result from the caller, if it does. It is asked again only where a rule reads results.
    pub(crate) fn withheld(&self, answer: &[u8], outcome: &str) -> Option<(Denial, Option<Arc<str>>)> {
        // What a failed call says is of the server too: its text may hold what a result may not.
        let tool = self.dispatch.tool.as_ref().filter(|_| matches!(outcome, "ok" | "tool_error" | "error"))?;
        self.caller.space.policy_set.as_ref().filter(|set| set.reads_output(&tool.id))?;
        let structured = crate::history::structured(answer);
        // A task's result comes without the arguments of the call that it is of.
        let arguments = (self.message.method() == "tools/call").then(|| Arguments::of(&self.message));
        let target = Target::Tool { name: tool.exposed.as_str(), arguments };
        let call = Call { space: self.caller.space.space.id.as_str(), target, risk_requested: None, explain: false };
        withheld(&self.caller.state.snapshot, &self.caller.facts(), &call, structured.as_ref(), now_ms() / 1000)
    }
}
