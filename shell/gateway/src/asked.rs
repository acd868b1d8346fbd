//! What a request with a target asks for, as its method says.

use remit_kernel::{Arguments, Target};
use remit_mcp::json::quote;
use remit_mcp::{Era, ErrorCode, Message, RpcError};

use crate::caller::Caller;
use crate::record::clip;
use crate::tasks::Task;

/// The extension that tasks are, since 2026-07-28 (SEP-2663).
const TASKS_EXTENSION: &str = "io.modelcontextprotocol/tasks";

/// What a request with a target asks for.
pub(crate) struct Asked {
    pub(crate) kind: AskedKind,
    pub(crate) name: String,
    pub(crate) task_id: Option<String>,
}

#[derive(Clone, Copy)]
pub(crate) enum AskedKind {
    Call,
    /// A tool in general: a task of its making is asked about.
    Tool,
    Prompt,
    Resource,
}

impl Asked {
    pub(crate) fn find(caller: &Caller, message: &Message) -> Result<Self, RpcError> {
        let missing = |field: &str| RpcError::new(ErrorCode::InvalidParams, format!("`params.{field}` is missing or no string"));
        let text = |field: &str| message.param_str(field).map(std::borrow::Cow::into_owned).ok_or_else(|| missing(field));
        let mut task_id = None;
        let (kind, name) = match message.method() {
            "tools/call" => (AskedKind::Call, text("name")?),
            "prompts/get" => (AskedKind::Prompt, text("name")?),
            "resources/read" | "resources/subscribe" | "resources/unsubscribe" => (AskedKind::Resource, text("uri")?),
            "completion/complete" => match message.inner_str("ref", "type").as_deref() {
                Some("ref/prompt") => {
                    (AskedKind::Prompt, message.inner_str("ref", "name").ok_or_else(|| missing("ref.name"))?.into_owned())
                }
                Some("ref/resource") => {
                    (AskedKind::Resource, message.inner_str("ref", "uri").ok_or_else(|| missing("ref.uri"))?.into_owned())
                }
                _ => return Err(missing("ref.type")),
            },
            "tasks/get" | "tasks/result" | "tasks/cancel" | "tasks/update" => {
                let id = text("taskId")?;
                let task = task(caller, &id)?;
                task_id = Some(id);
                (AskedKind::Tool, task.tool)
            }
            method => return Err(RpcError::new(ErrorCode::MethodNotFound, format!("unknown method `{}`", clip(method)))),
        };
        Ok(Self { kind, name, task_id })
    }

    pub(crate) fn target<'a>(&'a self, message: &'a Message) -> Target<'a> {
        match self.kind {
            AskedKind::Call => Target::Tool { name: &self.name, arguments: Some(Arguments::of(message)) },
            AskedKind::Tool => Target::Tool { name: &self.name, arguments: None },
            AskedKind::Prompt => Target::Prompt(&self.name),
            AskedKind::Resource => Target::Resource(&self.name),
        }
    }
}

/// The caller's own task of this id.
fn task(caller: &Caller, id: &str) -> Result<Task, RpcError> {
    tasks_declared(caller)?;
    let found = caller.gateway.tasks.get(caller.space.space.id.as_str(), id, &caller.who);
    found.ok_or_else(|| RpcError::new(ErrorCode::InvalidParams, "no such task"))
}

/// Whether a client of 2026-07-28 that asks about a task has declared that it knows tasks.
pub(crate) fn tasks_declared(caller: &Caller) -> Result<(), RpcError> {
    if caller.era() == Era::Legacy || declares_tasks(caller.capabilities()) {
        return Ok(());
    }
    let needed = format!("{{\"requiredCapabilities\":{{\"extensions\":{{{}:{{}}}}}}}}", quote(TASKS_EXTENSION));
    Err(RpcError::new(ErrorCode::MissingClientCapability, "the client did not declare the tasks extension").data(needed))
}

pub(crate) fn declares_tasks(capabilities: &str) -> bool {
    let all: serde_json::Value = serde_json::from_str(capabilities).unwrap_or_default();
    all.get("extensions").and_then(|extensions| extensions.get(TASKS_EXTENSION)).is_some()
}
