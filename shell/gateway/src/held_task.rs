//! A held call as a task, for clients that know tasks: they declare it (2026-07-28, the tasks extension, SEP-2663), or ask that the call
//! become one (2025-11-25, "Tasks"). The task is the approval, by its id. Once people have agreed, the call is made when its client asks how
//! it stands; its result is kept for it. A server that then makes a task of the call itself goes on under the same id.
//!
//! The approval outlives a restart, and so does the task; only a result that its client didn't fetch before is lost.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Response, StatusCode};
use remit_kernel::{Approval, ApprovalState, PolicyCaller};
use remit_mcp::json::{Limits, quote};
use remit_mcp::version::meta;
use remit_mcp::{Era, ErrorCode, Message, RpcError, Version};
use remit_model::{Person, Proof};
use serde_json::{Value, json};
use tokio::sync::Notify;

use crate::body::{Body, EventLog};
use crate::call::Arrival;
use crate::caller::{Caller, Client};
use crate::clock::{now_ms, rfc3339};
use crate::relay::{gave_up, param_headers};
use crate::reply::{answer_rpc, events, json_status, last_message};
use crate::session::{Session, lock};
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

/// How long `tasks/result` waits at a time for something to change.
const WAIT: Duration = Duration::from_mins(1);
/// By what a message says of which task it is (2025-11-25).
const RELATED_TASK: &str = "io.modelcontextprotocol/related-task";

/// The calls of tasks, by the approval's id.
#[derive(Debug, Default)]
pub(crate) struct HeldTasks {
    made: Mutex<HashMap<String, Made>>,
    ended: Notify,
}

#[derive(Debug, Clone)]
struct Made {
    /// What it answered; `None` while it is under way.
    answer: Option<Bytes>,
    at_ms: u64,
}

impl HeldTasks {
    fn get(&self, id: &str) -> Option<Made> {
        lock(&self.made).get(id).cloned()
    }

    /// Begins a call; `false` if it has begun already, or there are too many.
    fn begin(&self, id: &str) -> bool {
        let now = now_ms();
        let mut all = lock(&self.made);
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
        lock(&self.made).insert(id.to_owned(), Made { answer: Some(answer), at_ms: now_ms() });
        self.ended.notify_waiters();
    }
}

/// How a task stands.
enum Standing {
    Working(&'static str),
    /// What the call answered: JSON-RPC.
    Answered(Bytes),
    Cancelled(Option<String>),
    Failed(String),
}

/// Whether a call asks to become a task, in a session of 2025-11-25.
pub(crate) fn is_asked(session: &Session, message: &Message) -> bool {
    session.version >= Version::V20251125 && message.param("task").is_some_and(|task| task.starts_with('{'))
}

/// What a held call answers a client that knows tasks.
pub(crate) fn created(era: Era, approval: &Approval) -> Value {
    let task = task(era, approval, "working", Some("waits for a person's approval"));
    match era {
        Era::Modern => with(task, "resultType", "task".into()),
        Era::Legacy => json!({ "task": task }),
    }
}

fn task(era: Era, approval: &Approval, status: &str, message: Option<&str>) -> Value {
    let left_secs = approval.grant.as_ref().map_or(approval.expires_at_secs, |grant| grant.until_secs);
    let ttl_ms = left_secs.saturating_sub(approval.asked_at_secs).saturating_mul(1000);
    let task = json!({
        "taskId": approval.id, "status": status,
        "createdAt": rfc3339(approval.asked_at_secs.saturating_mul(1000)), "lastUpdatedAt": rfc3339(now_ms()),
    });
    let more = match era {
        Era::Modern => json!({"resultType": "complete", "pollIntervalMs": POLL_MS, "ttlMs": ttl_ms}),
        Era::Legacy => json!({"pollInterval": POLL_MS, "ttl": ttl_ms}),
    };
    let more = more.as_object().cloned().unwrap_or_default();
    let task = more.into_iter().fold(task, |task, (key, value)| with(task, &key, value));
    match message {
        Some(message) => with(task, "statusMessage", message.into()),
        None => task,
    }
}

/// Whether a request is about a held call's task.
pub(crate) fn is_about(message: &Message) -> bool {
    message.method().starts_with("tasks/") && message.param_str("taskId").is_some_and(|id| id.starts_with(ID_START))
}

/// The caller's own approval of this id.
fn own(caller: &Caller, id: &str) -> Result<Arc<Approval>, RpcError> {
    crate::asked::tasks_declared(caller)?;
    let own = PolicyCaller::of(&caller.state.snapshot.organization, &caller.principal).principal;
    let found = caller.gateway.approvals.get(id).map_err(|error| RpcError::new(ErrorCode::Internal, error.to_string()))?;
    found
        .filter(|approval| approval.principal == own && approval.space == caller.space.space.id.as_str())
        .ok_or_else(|| RpcError::new(ErrorCode::InvalidParams, "no such task"))
}

/// The tasks of a session's caller that still wait for people or for the call, as `tasks/list` shows them.
pub(crate) fn listed(caller: &Caller) -> Vec<String> {
    let own = PolicyCaller::of(&caller.state.snapshot.organization, &caller.principal).principal;
    let open = caller.gateway.approvals.open_of(caller.space.space.id.as_str(), &own);
    let working = |approval: &Arc<Approval>| task(Era::Legacy, approval, "working", None).to_string();
    open.iter().map(working).collect()
}

/// Answers a request about a held call's task: only its caller's own.
pub(crate) async fn answer(arrival: &Arrival, caller: Caller, message: Message) -> Response<Body> {
    let (era, id) = (caller.era(), message.id().unwrap_or("null").to_owned());
    let task_id = message.param_str("taskId").unwrap_or_default().into_owned();
    let approval = match own(&caller, &task_id) {
        Ok(approval) => approval,
        Err(error) => return answer_rpc(era, &id, &error),
    };
    let result = match (message.method(), &caller.client) {
        ("tasks/get" | "tasks/cancel" | "tasks/result", Client::Legacy(session)) => {
            let session = Arc::clone(session);
            return of_session(arrival, caller, session, message, approval).await;
        }
        ("tasks/get", Client::Modern(_)) => told(era, &approval, standing(arrival, &caller, &approval)),
        ("tasks/cancel", Client::Modern(_)) => {
            // One that has ended stays as it is: a cancellation comes too late, and that is no error.
            let _ = cancel(&caller, &approval).await;
            json!({"resultType": "complete"})
        }
        _ => return answer_rpc(era, &id, &RpcError::new(ErrorCode::InvalidParams, "this task asks its caller for nothing")),
    };
    json_status(StatusCode::OK, remit_mcp::error::result_answer(&id, &result.to_string()))
}

async fn cancel(caller: &Caller, approval: &Approval) -> Option<Arc<Approval>> {
    let by = Person { id: approval.agent.clone(), proof: Proof::Token };
    caller.gateway.approvals.revoke(&approval.id, &by, "its caller cancelled the task").await.ok()
}

/// Answers in a session of 2025-11-25.
async fn of_session(
    arrival: &Arrival,
    caller: Caller,
    session: Arc<Session>,
    message: Message,
    approval: Arc<Approval>,
) -> Response<Body> {
    let id = message.id().unwrap_or("null").to_owned();
    let answered = |result: &str| json_status(StatusCode::OK, remit_mcp::error::result_answer(&id, result));
    match message.method() {
        "tasks/result" => {
            let log = session.stream();
            let response = events(&log, None);
            // It goes on though its connection is lost: the client may take the stream up again.
            tokio::spawn(result(arrival.clone(), caller, session, message, approval.id.clone(), log));
            response
        }
        "tasks/cancel" if matches!(approval.state, ApprovalState::Pending) => match cancel(&caller, &approval).await {
            Some(cancelled) => answered(&told(Era::Legacy, &cancelled, standing(arrival, &caller, &cancelled)).to_string()),
            None => answer_rpc(Era::Legacy, &id, &RpcError::new(ErrorCode::InvalidParams, "the task has ended already")),
        },
        method => {
            let standing = standing(arrival, &caller, &approval);
            let theirs = if let Standing::Answered(answer) = &standing { upstream_task(answer) } else { None };
            match (theirs, method) {
                (Some(theirs), _) => json_status(StatusCode::OK, pass(arrival, caller, &message, &theirs, &approval.id).await),
                (None, "tasks/cancel") => {
                    let error =
                        RpcError::new(ErrorCode::InvalidParams, "the task can't be cancelled any more: the call was made");
                    answer_rpc(Era::Legacy, &id, &error)
                }
                (None, _) => answered(&told(Era::Legacy, &approval, standing).to_string()),
            }
        }
    }
}

/// The task that the server made of the call, if it did.
fn upstream_task(answer: &[u8]) -> Option<String> {
    let answer: Value = serde_json::from_slice(answer).ok()?;
    answer.pointer("/result/task/taskId").and_then(Value::as_str).map(str::to_owned)
}

/// Asks the server about the task that it made, and answers under the id that the client knows.
async fn pass(arrival: &Arrival, caller: Caller, message: &Message, theirs: &str, ours: &str) -> Bytes {
    let id = message.id().unwrap_or("null");
    let body = format!(
        "{{\"jsonrpc\":\"2.0\",\"id\":{id},\"method\":{},\"params\":{{\"taskId\":{}}}}}",
        quote(message.method()),
        quote(theirs)
    );
    let failed = || RpcError::new(ErrorCode::Internal, "the server answered nothing about its task").answer(id);
    let Ok(about) = Message::parse(body.into(), Limits::default()) else { return failed().into() };
    let response = arrival.clone().target_again(caller, about).await;
    let Some(last) = last_message(response).await.filter(|last| last.len() <= RESULT_BYTES_MAX) else { return failed().into() };
    let Ok(mut answer) = serde_json::from_slice::<Value>(&last) else { return failed().into() };
    for place in ["/result/taskId", "/result/_meta/io.modelcontextprotocol~1related-task/taskId"] {
        if let Some(found) = answer.pointer_mut(place).filter(|found| found.as_str() == Some(theirs)) {
            *found = ours.into();
        }
    }
    answer.to_string().into()
}

/// `tasks/result`: waits until the task has come to its end, and answers what the call would have answered.
async fn result(
    mut arrival: Arrival,
    mut caller: Caller,
    session: Arc<Session>,
    message: Message,
    approval_id: String,
    log: Arc<EventLog>,
) {
    let id = message.id().unwrap_or("null").to_owned();
    log.send(Some(1000), b"").await;
    let Some(cancel) = session.call(&id) else {
        let error = RpcError::new(ErrorCode::InvalidRequest, "a request with this id is under way in the session");
        log.send(None, &error.answer(&id)).await;
        return log.close();
    };
    let (gateway, client) = (Arc::clone(&caller.gateway), caller.client.clone());
    let waited = async {
        loop {
            let Some(approval) = gateway.approvals.decided(&approval_id, WAIT).await else {
                return Err(RpcError::new(ErrorCode::Internal, "the approval can't be looked up"));
            };
            arrival.refresh().await;
            caller.refresh();
            let ended = gateway.held_tasks.ended.notified();
            tokio::pin!(ended);
            // From here on nothing that ends is missed.
            ended.as_mut().enable();
            match standing(&arrival, &caller, &approval) {
                Standing::Working(_) if gateway.approvals.closing() => {
                    return Err(RpcError::new(ErrorCode::Internal, "the gateway stops; ask for the result again"));
                }
                Standing::Working(_) if approval.state == ApprovalState::Pending => {}
                Standing::Working(_) => {
                    let _ = tokio::time::timeout(WAIT, ended).await;
                }
                end => return Ok((approval, end)),
            }
        }
    };
    let waited = tokio::select! {
        biased;
        () = gave_up(Some(&cancel), &client, &log) => return log.close(),
        waited = waited => waited,
    };
    drop(cancel);
    let last = match waited {
        Err(error) => error.answer(&id).into(),
        Ok((_, Standing::Answered(answer))) => match upstream_task(&answer) {
            Some(theirs) => pass(&arrival, caller, &message, &theirs, &approval_id).await,
            None => related(&answer, &id, &approval_id),
        },
        Ok((approval, standing)) => {
            let why = match standing {
                Standing::Failed(why) => why,
                _ => approval.ended.as_ref().map_or("it was cancelled", |ended| ended.reason.as_str()).to_owned(),
            };
            let text = format!("This call was not made ({approval_id}, {}): {why}", approval.state.as_str());
            let result = json!({
                "isError": true, "content": [{"type": "text", "text": text}], "_meta": {RELATED_TASK: {"taskId": approval_id}},
            });
            remit_mcp::error::result_answer(&id, &result.to_string()).into()
        }
    };
    log.send(None, &last).await;
    log.close();
}

/// What a call answered, as the answer to a request with this id about its task.
fn related(answer: &[u8], id: &str, task_id: &str) -> Bytes {
    let mut answer: Value = serde_json::from_slice(answer).unwrap_or_default();
    if let Some(result) = answer.get_mut("result").and_then(Value::as_object_mut) {
        let meta = result.entry("_meta").or_insert_with(|| json!({}));
        if let Some(meta) = meta.as_object_mut() {
            meta.insert(RELATED_TASK.to_owned(), json!({"taskId": task_id}));
        }
        return remit_mcp::error::result_answer(id, &Value::Object(std::mem::take(result)).to_string()).into();
    }
    let nothing = || json!({"code": ErrorCode::Internal.number(), "message": "the call answered nothing that could be kept"});
    let error = answer.get("error").cloned().unwrap_or_else(nothing);
    format!("{{\"jsonrpc\":\"2.0\",\"id\":{id},\"error\":{error}}}").into()
}

/// How a task stands. A call that people have agreed to is made now.
fn standing(arrival: &Arrival, caller: &Caller, approval: &Arc<Approval>) -> Standing {
    let gateway = Arc::clone(&caller.gateway);
    if let Some(made) = gateway.held_tasks.get(&approval.id) {
        return made.answer.map_or(Standing::Working("the call is under way"), Standing::Answered);
    }
    let why = approval.ended.as_ref().map(|ended| ended.reason.clone());
    match approval.state {
        ApprovalState::Pending => Standing::Working("waits for a person's approval"),
        ApprovalState::Approved => {
            if let Some((message, headers)) = call(caller, approval)
                && gateway.held_tasks.begin(&approval.id)
            {
                let (mut arrival, id) = (arrival.clone(), approval.id.clone());
                // The call belongs to the session in which it was asked for.
                let session = arrival.headers.remove(POLICY_SESSION_ID);
                arrival.headers = headers;
                arrival.headers.extend(session.map(|session| (POLICY_SESSION_ID, session)));
                let caller = caller.clone();
                tokio::spawn(async move {
                    let response = arrival.target_again(caller, message).await;
                    let answer = last_message(response).await.filter(|answer| answer.len() <= RESULT_BYTES_MAX);
                    gateway.held_tasks.ended(&id, answer.unwrap_or_default());
                });
                return Standing::Working("approved: the call is under way");
            }
            Standing::Failed("the call can't be made any more: its tool is gone, or too many calls are under way".to_owned())
        }
        ApprovalState::Redeemed => Standing::Failed("the call was made, and its result is not here any more".to_owned()),
        ApprovalState::Revoked => Standing::Cancelled(why),
        ApprovalState::Rejected | ApprovalState::Expired => Standing::Failed(why.unwrap_or_else(|| "nobody agreed".to_owned())),
    }
}

/// The task, as its client is told of it. What a session's client gets of its end comes by `tasks/result`.
fn told(era: Era, approval: &Approval, standing: Standing) -> Value {
    match (standing, era) {
        (Standing::Working(message), _) => task(era, approval, "working", Some(message)),
        (Standing::Cancelled(why), _) => task(era, approval, "cancelled", why.as_deref()),
        (Standing::Failed(why), Era::Modern) => failed(approval, &why),
        (Standing::Failed(why), Era::Legacy) => task(era, approval, "failed", Some(&why)),
        (Standing::Answered(answer), Era::Modern) => ended(approval, &answer),
        (Standing::Answered(answer), Era::Legacy) => {
            let answer: Value = serde_json::from_slice(&answer).unwrap_or_default();
            // 2025-11-25: a result with `isError` is a failed task too.
            let went = answer.get("result").is_some_and(|result| result.get("isError") != Some(&Value::Bool(true)));
            task(era, approval, if went { "completed" } else { "failed" }, None)
        }
    }
}

fn failed(approval: &Approval, why: &str) -> Value {
    let word = approval.state.as_str();
    let task = task(Era::Modern, approval, "failed", Some(why));
    with(task, "error", json!({"code": -32003, "message": format!("approval {word}: {why}")}))
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
            with(task(Era::Modern, approval, "completed", None), "result", result.clone())
        }
        (None, Some(error)) => with(task(Era::Modern, approval, "failed", None), "error", error.clone()),
        _ => {
            failed(approval, "the server asked for more than a task can ask its caller for, or answered nothing that can be kept")
        }
    }
}

/// The call once more, as its caller made it, and the headers that go with it; `None` if the space has its tool no more.
fn call(caller: &Caller, approval: &Approval) -> Option<(Message, HeaderMap)> {
    let tool = caller.space.tools_listed.iter().find(|tool| *tool.id == approval.tool)?;
    let more = match caller.era() {
        Era::Modern => format!(
            "\"_meta\":{{{}:{},{}:{{}}}}",
            quote(meta::PROTOCOL_VERSION),
            quote(Version::V20260728.as_str()),
            quote(meta::CLIENT_CAPABILITIES)
        ),
        // What its client asked for is asked of the server too.
        Era::Legacy => "\"task\":{}".to_owned(),
    };
    let body = format!(
        "{{\"jsonrpc\":\"2.0\",\"id\":{},\"method\":\"tools/call\",\"params\":{{\"name\":{},\"arguments\":{},{more}}}}}",
        quote(&approval.id),
        quote(tool.exposed.as_str()),
        approval.arguments,
    );
    let message = Message::parse(body.into(), Limits::default()).ok()?;
    let mut headers = HeaderMap::new();
    for (name, value) in param_headers(&message, &tool.param_headers) {
        headers.insert(HeaderName::try_from(name).ok()?, HeaderValue::try_from(value).ok()?);
    }
    Some((message, headers))
}
