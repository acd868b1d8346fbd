//! A held call as a task (2026-07-28, the tasks extension, SEP-2663), for clients that declare it: the task is the approval, by its id. Once
//! people have agreed, the call is made when its client asks how it stands; its result is kept for it.
//!
//! The approval outlives a restart, and so does the task; only a result that its client didn't fetch before is lost.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Response, StatusCode};
use remit_kernel::{Approval, ApprovalState, PolicyCaller};
use remit_mcp::json::{Limits, quote};
use remit_mcp::version::meta;
use remit_mcp::{Era, ErrorCode, Message, RpcError, Version};
use remit_model::{Person, Proof};
use serde_json::{Value, json};

use crate::body::Body;
use crate::call::{Arrival, Caller};
use crate::clock::{now_ms, rfc3339};
use crate::relay::param_headers;
use crate::reply::{answer_rpc, json_status, last_message};
use crate::session::lock;
use crate::settle::POLICY_SESSION_ID;

/// How the ids of approvals begin.
pub(crate) const ID_START: &str = "apr-";
/// How many calls of tasks are under way, or their results kept.
const KEPT_MAX: usize = 10_000;
/// How long a result is kept, in milliseconds.
const KEPT_MS: u64 = 60 * 60 * 1000;
/// The largest result that is kept, in bytes.
const RESULT_BYTES_MAX: usize = 8 * 1024 * 1024;
/// How often a client should ask, in milliseconds.
const POLL_MS: u64 = 2_000;

/// The calls of tasks, by the approval's id.
#[derive(Debug, Default)]
pub(crate) struct HeldTasks(Mutex<HashMap<String, Made>>);

#[derive(Debug, Clone)]
struct Made {
    /// What it answered; `None` while it is under way.
    answer: Option<Bytes>,
    at_ms: u64,
}

impl HeldTasks {
    fn get(&self, id: &str) -> Option<Made> {
        lock(&self.0).get(id).cloned()
    }

    /// Begins a call; `false` if it has begun already, or there are too many.
    fn begin(&self, id: &str) -> bool {
        let now = now_ms();
        let mut all = lock(&self.0);
        if all.len() >= KEPT_MAX {
            all.retain(|_, made| made.answer.is_none() || made.at_ms + KEPT_MS > now);
        }
        if all.len() >= KEPT_MAX || all.contains_key(id) {
            return false;
        }
        all.insert(id.to_owned(), Made { answer: None, at_ms: now });
        true
    }

    fn ended(&self, id: &str, answer: Bytes) {
        lock(&self.0).insert(id.to_owned(), Made { answer: Some(answer), at_ms: now_ms() });
    }
}

/// What a held call answers a client that declared tasks.
pub(crate) fn created(approval: &Approval) -> Value {
    with(task(approval, "working", Some("waits for a person's approval")), "resultType", "task".into())
}

fn task(approval: &Approval, status: &str, message: Option<&str>) -> Value {
    let left_secs = approval.grant.as_ref().map_or(approval.expires_at_secs, |grant| grant.until_secs);
    let task = json!({
        "resultType": "complete", "taskId": approval.id, "status": status, "pollIntervalMs": POLL_MS,
        "createdAt": rfc3339(approval.asked_at_secs.saturating_mul(1000)), "lastUpdatedAt": rfc3339(now_ms()),
        "ttlMs": left_secs.saturating_sub(approval.asked_at_secs).saturating_mul(1000),
    });
    match message {
        Some(message) => with(task, "statusMessage", message.into()),
        None => task,
    }
}

/// Whether a request is about a held call's task.
pub(crate) fn is_about(message: &Message) -> bool {
    message.method().starts_with("tasks/") && message.param_str("taskId").is_some_and(|id| id.starts_with(ID_START))
}

/// Answers a request about a held call's task: only its caller's own.
pub(crate) async fn answer(arrival: &Arrival, caller: Caller, message: &Message) -> Response<Body> {
    let id = message.id().unwrap_or("null").to_owned();
    let refused = |error: RpcError| answer_rpc(Era::Modern, &id, &error);
    if let Err(error) = crate::asked::tasks_declared(&caller) {
        return refused(error);
    }
    let task_id = message.param_str("taskId").unwrap_or_default().into_owned();
    let own = PolicyCaller::of(&caller.state.snapshot.organization, &caller.principal).principal;
    let found = match caller.gateway.approvals.get(&task_id) {
        Ok(found) => found,
        Err(error) => return refused(RpcError::new(ErrorCode::Internal, error.to_string())),
    };
    let is_own = |approval: &&Arc<Approval>| approval.principal == own && approval.space == caller.space.space.id.as_str();
    let Some(approval) = found.as_ref().filter(is_own).cloned() else {
        return refused(RpcError::new(ErrorCode::InvalidParams, "no such task"));
    };
    let result = match message.method() {
        "tasks/get" => standing(arrival, caller, &approval),
        "tasks/cancel" => {
            let by = Person { id: approval.agent.clone(), proof: Proof::Token };
            // One that has ended stays as it is: a cancellation comes too late, and that is no error.
            let _ = caller.gateway.approvals.revoke(&approval.id, &by, "its caller cancelled the task").await;
            json!({"resultType": "complete"})
        }
        _ => return refused(RpcError::new(ErrorCode::InvalidParams, "this task asks its caller for nothing")),
    };
    json_status(StatusCode::OK, remit_mcp::error::result_answer(&id, &result.to_string()))
}

/// How a task stands. A call that people have agreed to is made now.
fn standing(arrival: &Arrival, caller: Caller, approval: &Arc<Approval>) -> Value {
    let gateway = Arc::clone(&caller.gateway);
    if let Some(made) = gateway.held_tasks.get(&approval.id) {
        return match made.answer {
            None => task(approval, "working", Some("the call is under way")),
            Some(answer) => ended(approval, &answer),
        };
    }
    let why = approval.ended.as_ref().map(|ended| ended.reason.as_str());
    match approval.state {
        ApprovalState::Pending => task(approval, "working", Some("waits for a person's approval")),
        ApprovalState::Approved => {
            if let Some((message, headers)) = call(&caller, approval)
                && gateway.held_tasks.begin(&approval.id)
            {
                let (mut arrival, id) = (arrival.clone(), approval.id.clone());
                // The call belongs to the session in which it was asked for.
                let session = arrival.headers.remove(POLICY_SESSION_ID);
                arrival.headers = headers;
                arrival.headers.extend(session.map(|session| (POLICY_SESSION_ID, session)));
                tokio::spawn(async move {
                    let response = arrival.target_again(caller, message).await;
                    let answer = last_message(response).await.filter(|answer| answer.len() <= RESULT_BYTES_MAX);
                    gateway.held_tasks.ended(&id, answer.unwrap_or_default());
                });
                return task(approval, "working", Some("approved: the call is under way"));
            }
            failed(approval, "the call can't be made any more: its tool is gone, or too many calls are under way")
        }
        ApprovalState::Redeemed => failed(approval, "the call was made, and its result is not here any more"),
        ApprovalState::Revoked => task(approval, "cancelled", why),
        ApprovalState::Rejected | ApprovalState::Expired => failed(approval, why.unwrap_or("nobody agreed")),
    }
}

fn failed(approval: &Approval, why: &str) -> Value {
    let word = approval.state.as_str();
    with(task(approval, "failed", Some(why)), "error", json!({"code": -32003, "message": format!("approval {word}: {why}")}))
}

fn with(mut task: Value, key: &str, value: Value) -> Value {
    if let Some(map) = task.as_object_mut() {
        map.insert(key.to_owned(), value);
    }
    task
}

/// The task of a call that was made.
fn ended(approval: &Approval, answer: &[u8]) -> Value {
    let answer: Value = serde_json::from_slice(answer).unwrap_or_default();
    match (answer.get("result"), answer.get("error")) {
        (Some(result), _) if result.get("resultType").is_none_or(|kind| kind == "complete") => {
            with(task(approval, "completed", None), "result", result.clone())
        }
        (None, Some(error)) => with(task(approval, "failed", None), "error", error.clone()),
        _ => {
            failed(approval, "the server asked for more than a task can ask its caller for, or answered nothing that can be kept")
        }
    }
}

/// The call once more, as its caller made it, and the headers that go with it; `None` if the space has its tool no more.
fn call(caller: &Caller, approval: &Approval) -> Option<(Message, HeaderMap)> {
    let tool = caller.space.tools_listed.iter().find(|tool| *tool.id == approval.tool)?;
    let body = format!(
        "{{\"jsonrpc\":\"2.0\",\"id\":{},\"method\":\"tools/call\",\"params\":{{\"name\":{},\"arguments\":{},\"_meta\":{{{}:{},{}:{{}}}}}}}}",
        quote(&approval.id),
        quote(tool.exposed.as_str()),
        approval.arguments,
        quote(meta::PROTOCOL_VERSION),
        quote(Version::V20260728.as_str()),
        quote(meta::CLIENT_CAPABILITIES),
    );
    let message = Message::parse(body.into(), Limits::default()).ok()?;
    let mut headers = HeaderMap::new();
    for (name, value) in param_headers(&message, &tool.param_headers) {
        headers.insert(HeaderName::try_from(name).ok()?, HeaderValue::try_from(value).ok()?);
    }
    Some((message, headers))
}
