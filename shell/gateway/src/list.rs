//! What is answered from the snapshot: who we are, and what there is for this principal. No list is ever shared between principals, and
//! the same function that decides a call decides what is listed.

use remit_kernel::snapshot::ListedView;
use remit_kernel::{SpaceView, Target, visible};
use remit_mcp::json::quote;
use remit_mcp::version::meta;
use remit_mcp::{Era, ErrorCode, Message, RpcError, Version};
use remit_model::ServerKey;
use serde_json::{Map, Value};

use crate::call::{Caller, Client};
use crate::held_task;
use crate::session::lock;
use crate::upstream::{IMPLEMENTATION, Sending, legacy_request};
use crate::{Inner, State};

/// The methods of 2026-07-28 and of its tasks extension.
pub(crate) const MODERN_METHODS: [&str; 13] = [
    "server/discover",
    "tools/list",
    "tools/call",
    "prompts/list",
    "prompts/get",
    "resources/list",
    "resources/templates/list",
    "resources/read",
    "completion/complete",
    "subscriptions/listen",
    "tasks/get",
    "tasks/update",
    "tasks/cancel",
];
/// How many entries one page holds.
const PAGE_ENTRIES_MAX: usize = 500;
/// How many bytes of entries one page holds.
const PAGE_BYTES_MAX: usize = 2 * 1024 * 1024;
/// How long a client may keep a list, in milliseconds: a policy that changes should be seen soon.
const LIST_TTL_MS: u64 = 5_000;

/// Answers a method that needs no server; `None` for one that does.
pub(crate) fn answer(caller: &Caller, method: &str, message: &Message) -> Option<Result<String, RpcError>> {
    let space = &caller.space;
    let (facts, now_secs) = (caller.facts(), crate::clock::now_ms() / 1000);
    let shown = |target: Target<'_>| visible(&caller.state.snapshot, &facts, space, &caller.principal, target, now_secs);
    Some(match method {
        "server/discover" => Ok(discover(&caller.gateway, &caller.state, space)),
        "tools/list" => {
            let tools = space.tools_listed.iter();
            let tools = tools.filter(|tool| shown(Target::Tool { name: tool.exposed.as_str(), arguments: None }));
            page(caller, message, "tools", tools.filter_map(|tool| Some((tool.exposed.as_str(), tool.shown.as_deref()?))))
        }
        "prompts/list" => {
            let prompts = space.prompts.iter().filter(|prompt| shown(Target::Prompt(&prompt.exposed)));
            page(caller, message, "prompts", prompts.filter_map(entry))
        }
        "resources/list" => {
            let resources = space.resources.iter().filter(|resource| shown(Target::Resource(&resource.exposed)));
            page(caller, message, "resources", resources.filter_map(entry))
        }
        "resources/templates/list" => {
            let templates = space.templates.iter().filter(|template| shown(Target::Resource(&template.exposed)));
            page(caller, message, "resourceTemplates", templates.filter_map(entry))
        }
        _ => return None,
    })
}

fn entry(listed: &ListedView) -> Option<(&str, &str)> {
    Some((&listed.exposed, listed.json.as_deref()?))
}

/// One page. The cursor is the name of the last entry: it stays right when entries before it come or go.
fn page<'a>(
    caller: &Caller,
    message: &Message,
    key: &str,
    entries: impl Iterator<Item = (&'a str, &'a str)>,
) -> Result<String, RpcError> {
    let cursor = match message.param_span("cursor") {
        None => None,
        Some(_) => Some(
            message.param_str("cursor").ok_or_else(|| RpcError::new(ErrorCode::InvalidParams, "`cursor` must be a string"))?,
        ),
    };
    let mut entries = entries.peekable();
    if let Some(cursor) = &cursor {
        let found = entries.by_ref().any(|(name, _)| name == cursor);
        if !found {
            return Err(RpcError::new(ErrorCode::InvalidParams, "no such cursor"));
        }
    }
    let mut list = String::new();
    let mut count = 0;
    let mut next = None;
    while let Some((name, json)) = entries.next() {
        if count > 0 {
            list.push(',');
        }
        list.push_str(json);
        count += 1;
        if (count >= PAGE_ENTRIES_MAX || list.len() >= PAGE_BYTES_MAX) && entries.peek().is_some() {
            next = Some(name);
            break;
        }
    }
    let next = next.map(|name| format!(",\"nextCursor\":{}", quote(name))).unwrap_or_default();
    let modern = match caller.era() {
        Era::Modern => {
            format!(",\"resultType\":\"complete\",\"ttlMs\":{LIST_TTL_MS},\"cacheScope\":\"private\",{}", server_info())
        }
        Era::Legacy => String::new(),
    };
    Ok(format!("{{\"{key}\":[{list}]{next}{modern}}}"))
}

fn server_info() -> String {
    format!("\"_meta\":{{{}:{IMPLEMENTATION}}}", quote(meta::SERVER_INFO))
}

/// The result of `initialize`.
pub(crate) fn initialize(gateway: &Inner, state: &State, space: &SpaceView, version: Version) -> String {
    let capabilities = capabilities(gateway, state, space, Era::Legacy);
    let instructions = instructions(gateway, space);
    format!(
        "{{\"protocolVersion\":{},\"capabilities\":{capabilities},\"serverInfo\":{IMPLEMENTATION}{instructions}}}",
        quote(version.as_str())
    )
}

/// The result of `server/discover`.
fn discover(gateway: &Inner, state: &State, space: &SpaceView) -> String {
    let versions: Vec<String> = Version::ALL.iter().rev().map(|version| quote(version.as_str())).collect();
    let capabilities = capabilities(gateway, state, space, Era::Modern);
    let instructions = instructions(gateway, space);
    format!(
        "{{\"resultType\":\"complete\",\"supportedVersions\":[{}],\"capabilities\":{capabilities}{instructions},\"ttlMs\":{LIST_TTL_MS},\"cacheScope\":\"private\",{}}}",
        versions.join(","),
        server_info()
    )
}

/// What the servers of a space can do together, as far as it is admitted here.
fn capabilities(gateway: &Inner, state: &State, space: &SpaceView, era: Era) -> Value {
    let registry = lock(&gateway.registry);
    let mut all = Map::new();
    let mut extensions = Map::new();
    all.insert("tools".to_owned(), serde_json::json!({"listChanged": true}));
    for (key, entry) in &space.servers {
        let Some(live) = registry.catalogue.servers.get(key) else { continue };
        let of: Map<String, Value> = serde_json::from_str(&live.capabilities).unwrap_or_default();
        let same_era = state.upstreams.get(key).is_some_and(|upstream| upstream.speaks(era));
        for (name, value) in of {
            match name.as_str() {
                "prompts" if entry.prompts => {
                    all.insert(name, serde_json::json!({"listChanged": true}));
                }
                "resources" if entry.resources => {
                    all.insert(name, serde_json::json!({"listChanged": true, "subscribe": true}));
                }
                "completions" => {
                    all.insert(name, Value::Object(Map::new()));
                }
                "logging" => {
                    all.insert(name, Value::Object(Map::new()));
                }
                // What only one era knows is offered where client and server are of that era.
                "tasks" if era == Era::Legacy && same_era => {
                    all.entry(name).or_insert(value);
                }
                "extensions" if same_era => {
                    for (name, value) in value.as_object().cloned().unwrap_or_default() {
                        extensions.entry(name).or_insert(value);
                    }
                }
                "experimental" if same_era && space.servers.len() == 1 => {
                    all.insert(name, value);
                }
                _ => {}
            }
        }
    }
    if !extensions.is_empty() {
        all.insert("extensions".to_owned(), Value::Object(extensions));
    }
    Value::Object(all)
}

/// The servers' instructions, each under its name where there are several; with the comma before it.
fn instructions(gateway: &Inner, space: &SpaceView) -> String {
    let registry = lock(&gateway.registry);
    // What was accepted of them, whatever a server says now.
    let accepted = |key: &ServerKey| {
        let admitted = registry.organization.findings_admitted(&key.account);
        registry.catalogue.instructions(key, admitted)?.accepted
    };
    let all: Vec<(&str, String)> = space
        .servers
        .iter()
        .filter(|(key, _)| space.unserved(key).is_none())
        .filter_map(|(key, _)| Some((key.name.as_str(), accepted(key)?)))
        .collect();
    let text = match all.as_slice() {
        [] => return String::new(),
        [(_, only)] => only.clone(),
        several => several.iter().map(|(name, text)| format!("{name}: {text}")).collect::<Vec<_>>().join("\n\n"),
    };
    // What guardrails let agents see of them, or nothing.
    let shown = space.guards.shown(&quote(&text).into(), &[]);
    shown.map(|shown| format!(",\"instructions\":{shown}")).unwrap_or_default()
}

/// `tasks/list` of 2025-11-25: of each server's list what is this principal's.
pub(crate) async fn tasks(caller: &Caller, message: &Message) -> Result<String, RpcError> {
    if message.param_span("cursor").is_some() {
        return Err(RpcError::new(ErrorCode::InvalidParams, "no such cursor"));
    }
    let Client::Legacy(session) = &caller.client else {
        return Err(RpcError::new(ErrorCode::MethodNotFound, "unknown method `tasks/list`"));
    };
    let mut list = held_task::listed(caller);
    let (facts, now_secs) = (caller.facts(), crate::clock::now_ms() / 1000);
    for (key, _) in &caller.space.servers {
        // What may no longer be called has no tasks to show either.
        let shown = |tool: &str| {
            let target = Target::Tool { name: tool, arguments: None };
            visible(&caller.state.snapshot, &facts, &caller.space, &caller.principal, target, now_secs)
        };
        let own = caller.gateway.tasks.ids(caller.space.space.id.as_str(), &caller.who, key, shown);
        let (false, Some(upstream)) = (own.is_empty(), caller.state.upstreams.get(key)) else { continue };
        let Ok(link) = caller.gateway.session_link(session, upstream).await else { continue };
        let sending = Sending { method: "tasks/list", link: Some(&link), ..Sending::default() };
        let Ok(answer) = upstream.response(legacy_request(&link.next_id(), "tasks/list", "{}"), &sending).await else { continue };
        let all: Vec<Value> = answer.param("tasks").and_then(|tasks| serde_json::from_str(tasks).ok()).unwrap_or_default();
        let is_own = |task: &Value| task.get("taskId").and_then(Value::as_str).is_some_and(|id| own.iter().any(|own| own == id));
        list.extend(all.into_iter().filter(is_own).map(|task| task.to_string()));
    }
    Ok(format!("{{\"tasks\":[{}]}}", list.join(",")))
}
