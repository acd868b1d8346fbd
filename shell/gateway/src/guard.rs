//! Guardrails on what comes back: a result passes as it is, masked, or not at all.

use bytes::Bytes;
use remit_guard::Source;
use remit_kernel::Guarded;
use remit_mcp::json::Limits;
use remit_mcp::splice::Splice;
use remit_mcp::{ErrorCode, Message, RpcError};
use remit_model::Risk;

use crate::call::Caller;

/// What guardrails make of what a server says, and what passes instead, where they mask something.
pub(crate) struct Passed {
    pub(crate) guarded: Guarded,
    pub(crate) instead: Option<Bytes>,
}

/// Inspects a message of a server: its result, its error or its parameters. `None` where no guardrail holds.
pub(crate) fn inspect(caller: &Caller, risk: Risk, message: &Message) -> Option<Passed> {
    if caller.space.guards.is_empty() {
        return None;
    }
    // What a server keeps for itself in a client's hands is opaque, and nobody reads it.
    let asks = message.param_span("inputRequests").filter(|_| message.param_span("requestState").is_some());
    let span = asks.or_else(|| message.params_span())?;
    let mut guarded = caller.space.guards.inspect(Source::Output, message.text(&span), risk);
    let instead = guarded.masked.take().map(|masked| {
        let mut splice = Splice::new();
        splice.replace(span, masked.as_bytes().to_vec());
        Bytes::from(splice.apply(message.body(), message.root()))
    });
    Some(Passed { guarded, instead })
}

/// A message as it passes; `None` if it doesn't.
pub(crate) fn passed(caller: &Caller, risk: Risk, message: &Message) -> Option<Message> {
    let Some(Passed { guarded, instead }) = inspect(caller, risk, message) else { return Some(message.clone()) };
    match (guarded.blocked, instead) {
        (Some(_), _) => None,
        (None, Some(body)) => Message::parse(body, Limits::default()).ok(),
        (None, None) => Some(message.clone()),
    }
}

/// A call with the arguments that guardrails have left.
pub(crate) fn masked(message: &Message, arguments: &str) -> Result<Message, RpcError> {
    let unfit = || RpcError::new(ErrorCode::Internal, "what a guardrail masks can't be cut out of the request");
    let mut splice = Splice::new();
    splice.replace(message.param_span("arguments").ok_or_else(unfit)?, arguments.as_bytes().to_vec());
    let body = splice.apply(message.body(), message.root());
    Message::parse(body.into(), Limits::default()).map_err(|_| unfit())
}
