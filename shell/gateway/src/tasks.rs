//! Tasks: which principal a task belongs to, and which server and tool it came from. For anybody else it doesn't exist.

use std::collections::HashMap;
use std::sync::Mutex;

use remit_mcp::Message;
use remit_model::ServerKey;

use crate::clock::now_ms;
use crate::session::lock;

/// How long a task is remembered after it was last asked for, in milliseconds.
const TASK_TTL_MS: u64 = 24 * 60 * 60 * 1000;
/// How many tasks are remembered.
const TASKS_MAX: usize = 100_000;
/// How many of them may be one principal's.
const TASKS_OWN_MAX: usize = 1_000;
/// The longest task id.
const TASK_ID_MAX: usize = 256;

/// Whose a task is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Task {
    pub(crate) who: String,
    pub(crate) server: ServerKey,
    /// The exposed name of the tool that made it.
    pub(crate) tool: String,
    used_ms: u64,
}

/// All tasks, by space and id.
#[derive(Debug, Default)]
pub(crate) struct Tasks {
    all: Mutex<HashMap<(String, String), Task>>,
}

impl Tasks {
    /// Remembers a task before its id reaches anybody. `false`: the id is taken, or there are too many.
    pub(crate) fn bind(&self, space: &str, id: &str, who: &str, server: &ServerKey, tool: &str) -> bool {
        let now = now_ms();
        let mut all = lock(&self.all);
        if all.len() >= TASKS_MAX {
            all.retain(|_, task| task.used_ms + TASK_TTL_MS > now);
        }
        if all.len() >= TASKS_MAX || id.len() > TASK_ID_MAX {
            return false;
        }
        let own = all.values().filter(|task| task.who == who).count();
        let key = (space.to_owned(), id.to_owned());
        if own >= TASKS_OWN_MAX && !all.contains_key(&key) {
            return false;
        }
        let task = Task { who: who.to_owned(), server: server.clone(), tool: tool.to_owned(), used_ms: now };
        match all.get(&key) {
            Some(taken) if taken.who != task.who || taken.server != task.server => false,
            _ => {
                all.insert(key, task);
                true
            }
        }
    }

    /// The task of this id, if it is this principal's.
    pub(crate) fn get(&self, space: &str, id: &str, who: &str) -> Option<Task> {
        let now = now_ms();
        let mut all = lock(&self.all);
        let task = all.get_mut(&(space.to_owned(), id.to_owned()))?;
        if task.who != who || task.used_ms + TASK_TTL_MS <= now {
            return None;
        }
        task.used_ms = now;
        Some(task.clone())
    }

    /// The ids of a principal's tasks on one server, of the tools that are shown.
    pub(crate) fn ids(&self, space: &str, who: &str, server: &ServerKey, shown: impl Fn(&str) -> bool) -> Vec<String> {
        let all = lock(&self.all);
        let own = all
            .iter()
            .filter(|((in_space, _), task)| in_space == space && task.who == who && &task.server == server && shown(&task.tool));
        own.map(|((_, id), _)| id.clone()).collect()
    }
}

/// The id of the task that a result announces: `taskId` in 2026-07-28's extension, `task.taskId` in 2025-11-25.
pub(crate) fn announced(message: &Message) -> Option<String> {
    if message.param_str("resultType").as_deref() == Some("task") {
        return message.param_str("taskId").or_else(|| message.inner_str("task", "taskId")).map(std::borrow::Cow::into_owned);
    }
    message.inner_str("task", "taskId").map(std::borrow::Cow::into_owned)
}

#[cfg(test)]
mod tests {
    use super::*;
    use remit_model::{AccountId, ServerName};

    #[test]
    fn a_task_is_its_principals_alone() {
        let server = ServerKey { account: AccountId::new("111122223333").unwrap(), name: ServerName::new("s").unwrap() };
        let tasks = Tasks::default();
        assert!(tasks.bind("space", "t", "a", &server, "tool"));
        assert!(tasks.bind("space", "t", "a", &server, "tool"));
        assert!(!tasks.bind("space", "t", "b", &server, "tool"));
        assert!(tasks.get("space", "t", "a").is_some());
        assert!(tasks.get("space", "t", "b").is_none());
        assert!(tasks.get("other", "t", "a").is_none());
        assert_eq!(tasks.ids("space", "a", &server, |_| true), ["t"]);
    }
}
