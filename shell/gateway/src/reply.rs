//! What is answered: bodies, statuses, challenges' bodies, and the shape of a refusal.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::header::{CACHE_CONTROL, CONTENT_TYPE};
use http::{HeaderValue, Response, StatusCode};
use http_body_util::{BodyExt, LengthLimitError, Limited};
use hyper::body::Incoming;
use remit_kernel::verdict::{Layer, LayerLine};
use remit_kernel::{Denial, Principal, Reason};
use remit_mcp::json::quote;
use remit_mcp::{Era, ErrorCode, Message, MessageError, RpcError, Version};

use crate::body::{Body, EventLog, Follower};
use crate::call::Caller;

/// The largest answer to a member of a batch, in bytes.
const BATCH_MEMBER_BYTES_MAX: usize = 8 * 1024 * 1024;
/// The longest life of a stream, in seconds.
const STREAM_SECS_MAX: u64 = 24 * 60 * 60;

/// A denial as the error that the caller sees: why, which layer, and the entry that proves it.
pub(crate) fn denial_error(denial: &Denial, layers: &[LayerLine], decision_id: &str, index: Option<u64>) -> RpcError {
    let code = if denial.reason == Reason::ToolNotListed { ErrorCode::InvalidParams } else { ErrorCode::Denied };
    let layers = serde_json::to_string(layers).unwrap_or_else(|_| "[]".to_owned());
    let index = index.map(|index| format!(",\"journal_index\":{index}")).unwrap_or_default();
    let data = format!(
        "{{\"reason\":{},\"layer\":{},\"decision_id\":{}{index},\"layers\":{layers}}}",
        quote(denial.reason.as_str()),
        quote(denial.layer.as_str()),
        quote(decision_id)
    );
    let message = if denial.layer.is_iam() {
        denial.statement.clone()
    } else {
        format!("{}: {}", denial.reason.sentence(), denial.statement)
    };
    RpcError::new(code, message).data(data)
}

/// What a denied caller gets. Broken arguments are for the model to mend, since 2025-11-25 (SEP-1303): a result that says so.
pub(crate) fn refusal(
    caller: &Caller,
    message: &Message,
    denial: &Denial,
    layers: &[LayerLine],
    decision_id: &str,
    index: u64,
) -> Response<Body> {
    let id = message.id().unwrap_or("null");
    let mut error = denial_error(denial, layers, decision_id, Some(index));
    // A client whose word isn't taken can sign again.
    let standing = caller.provenance.known().and_then(Option::as_deref).and_then(|origin| origin.request);
    if let (Some(doubt), Some(data)) = (standing.filter(|standing| standing.doubt().is_some()), &mut error.data)
        && let (Ok(word), Some(end)) = (serde_json::to_string(&doubt), data.rfind('}'))
    {
        data.insert_str(end, &format!(",\"request\":{word}"));
    }
    if denial.layer == Layer::ArgumentSchema && denial.reason == Reason::ArgumentsInvalid {
        if caller.version() >= Version::V20251125 {
            let result_type = if caller.era() == Era::Modern { "\"resultType\":\"complete\"," } else { "" };
            let data = error.data.unwrap_or_default();
            let text = quote(&error.message);
            let result = format!(
                "{{{result_type}\"isError\":true,\"content\":[{{\"type\":\"text\",\"text\":{text}}}],\"_meta\":{{\"remit/denial\":{data}}}}}"
            );
            return json_status(StatusCode::OK, remit_mcp::error::result_answer(id, &result));
        }
        error.code = ErrorCode::InvalidParams;
    }
    if denial.reason == Reason::ToolNotListed && message.method() == "resources/read" {
        let uri = message.param("uri").unwrap_or("null");
        error = RpcError::new(
            if caller.era() == Era::Modern { ErrorCode::InvalidParams } else { ErrorCode::ResourceNotFound },
            "no such resource",
        )
        .data(format!("{{\"uri\":{uri}}}"));
    }
    answer_rpc(caller.era(), id, &error)
}

/// Reads a body within its limits.
pub(crate) async fn read(body: Incoming, bytes_max: usize, timeout: std::time::Duration) -> Result<Bytes, Response<Body>> {
    let refused = |status, what: String| json_status(status, RpcError::new(ErrorCode::InvalidRequest, what).answer("null"));
    match tokio::time::timeout(timeout, Limited::new(body, bytes_max).collect()).await {
        Ok(Ok(body)) => Ok(body.to_bytes()),
        Ok(Err(error)) if error.is::<LengthLimitError>() => {
            Err(refused(StatusCode::PAYLOAD_TOO_LARGE, format!("the body is larger than {bytes_max} bytes")))
        }
        Ok(Err(_)) => Err(refused(StatusCode::BAD_REQUEST, "the body broke off".to_owned())),
        Err(_) => Err(refused(StatusCode::REQUEST_TIMEOUT, "the body did not come in time".to_owned())),
    }
}

pub(crate) fn unreadable(error: &MessageError) -> Response<Body> {
    let code = match error {
        MessageError::Json(_) => ErrorCode::Parse,
        MessageError::Shape(_) => ErrorCode::InvalidRequest,
    };
    json_status(StatusCode::BAD_REQUEST, RpcError::new(code, error.to_string()).answer("null"))
}

/// Nothing is done that can't be recorded.
pub(crate) fn unavailable(id: &str, why: &str) -> Response<Body> {
    json_status(StatusCode::SERVICE_UNAVAILABLE, RpcError::new(ErrorCode::Internal, format!("refused: {why}")).answer(id))
}

/// An error under the status that its era gives it.
pub(crate) fn answer_rpc(era: Era, id: &str, error: &RpcError) -> Response<Body> {
    let status = match (era, error.code) {
        (_, ErrorCode::Parse | ErrorCode::InvalidRequest) => StatusCode::BAD_REQUEST,
        (Era::Modern, ErrorCode::MethodNotFound) => StatusCode::NOT_FOUND,
        (
            Era::Modern,
            ErrorCode::InvalidParams
            | ErrorCode::HeaderMismatch
            | ErrorCode::MissingClientCapability
            | ErrorCode::UnsupportedVersion,
        ) => StatusCode::BAD_REQUEST,
        _ => StatusCode::OK,
    };
    json_status(status, error.answer(id))
}

/// A JSON body under a status.
pub(crate) fn json_status(status: StatusCode, body: impl Into<Bytes>) -> Response<Body> {
    let mut response = Response::new(Body::Full(body.into()));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}

/// The events of a request: they end with its response.
pub(crate) fn events(log: &Arc<EventLog>, last: Option<u64>) -> Response<Body> {
    streamed(log.follow(last))
}

/// Events that nothing ends but the credential's own end.
pub(crate) fn events_while(principal: &Principal, log: &Arc<EventLog>) -> Response<Body> {
    let left = principal.expires_at_secs.saturating_sub(crate::clock::now_ms() / 1000);
    // A timer can't hold the end of time, which is when an anonymous test agent's credential ends.
    streamed(log.follow(None).until(Duration::from_secs(left.min(STREAM_SECS_MAX))))
}

fn streamed(follower: Follower) -> Response<Body> {
    let mut response = Response::new(Body::Events(follower));
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("text/event-stream"));
    response.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

/// A status alone.
pub(crate) fn empty(status: StatusCode) -> Response<Body> {
    let mut response = Response::new(Body::Full(Bytes::new()));
    *response.status_mut() = status;
    response
}

/// The response in what was answered to a member of a batch: the body, or the last event of the stream.
pub(crate) async fn last_message(response: Response<Body>) -> Option<Bytes> {
    let events = response.headers().get(CONTENT_TYPE).is_some_and(|kind| kind.as_bytes().starts_with(b"text/event-stream"));
    let mut body = response.into_body();
    if !events {
        return Some(body.collect().await.ok()?.to_bytes());
    }
    // Event by event: only the last is kept.
    let (mut parser, mut last) = (remit_mcp::sse::Parser::new(BATCH_MEMBER_BYTES_MAX), None);
    while let Some(Ok(frame)) = body.frame().await {
        let mut parsed = Vec::new();
        parser.feed(frame.data_ref()?, &mut parsed).ok()?;
        last = parsed.into_iter().rev().map(|event| event.data).find(|data| !data.is_empty()).or(last);
    }
    last
}
