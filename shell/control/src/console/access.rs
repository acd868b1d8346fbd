//! Who can call a tool, and what an agent can do: the gateway's own decisions, asked for everybody.

use std::collections::BTreeMap;

use http::Response;
use maud::{Markup, html};
use serde_json::{Value, json};

use super::View;
use super::page::{self, badge, nothing};
use super::text::{is, list, shown, text};
use crate::reply::Reply;

/// The most tools of one matrix: each is a decision for every agent.
const TOOLS_MAX: usize = 60;
/// The most agents of one matrix.
const AGENTS_MAX: usize = 40;

/// The page: `?tool=…` or `?agent=…`.
pub(super) async fn page(view: &View<'_>) -> Response<Reply> {
    let (tool, agent) = (view.field("tool"), view.field("agent"));
    let body = match (tool.is_empty(), agent.is_empty()) {
        (false, _) => ways(view, tool).await,
        (true, false) => reach(view, agent).await,
        (true, true) => Ok(nothing("Whose access?", "Come here from an agent or a tool.")),
    };
    let title = if tool.is_empty() { format!("What {agent} can call") } else { format!("Who can call {tool}") };
    match body {
        Ok(body) => page::page(view, "/console/agents", &title, &body),
        Err(failed) => page::failed(view, "/console/agents", "Access", &failed),
    }
}

/// The first layer that is against a way.
fn against(way: &Value) -> Option<&Value> {
    list(way, "layers").iter().find(|layer| text(layer, "effect").ends_with("_DENY"))
}

async fn ways(view: &View<'_>, tool: &str) -> Result<Markup, crate::endpoints::Failed> {
    let found = view.ask("/v1/ways", json!({"action": "mcp:CallTool", "resource": tool})).await?;
    let ways = list(&found, "ways");
    if ways.is_empty() {
        return Ok(nothing("Nobody could try it.", "No space lists this tool."));
    }
    Ok(html! {
        table.list {
            thead { tr { th scope="col" { "Who" } th scope="col" { "May" } th scope="col" { "On which path" } th scope="col" { "What is against it" } } }
            tbody { @for way in ways {
                tr {
                    th scope="row" { (shown(text(way, "who"))) }
                    td { (badge(if is(way, "allowed") { "ALLOW" } else { "DENY" })) }
                    td { @for step in list(way, "path") { div { (shown(step.as_str().unwrap_or_default())) } } }
                    td { @if let Some(layer) = against(way) { (shown(text(layer, "statement"))) span.hint { (shown(text(layer, "origin"))) } } }
                }
            } }
        }
    })
}

/// The tools of the spaces that an agent is in.
fn tools_of(view: &View<'_>, spaces: impl Fn(&remit_kernel::SpaceView) -> bool) -> Vec<(String, String)> {
    let mut found: Vec<(String, String)> = Vec::new();
    let mut all: Vec<_> = view.snapshot.spaces.values().filter(|space| spaces(space)).collect();
    all.sort_by(|a, b| a.space.id.cmp(&b.space.id));
    for space in all {
        found
            .extend(space.tools_listed.iter().map(|tool| (space.space.id.as_str().to_owned(), tool.exposed.as_str().to_owned())));
    }
    found
}

async fn reach(view: &View<'_>, agent: &str) -> Result<Markup, crate::endpoints::Failed> {
    let tools = tools_of(view, |space| space.space.agents.iter().any(|id| id.as_str() == agent));
    if tools.is_empty() {
        return Ok(nothing("It reaches nothing.", "The agent is in no space that offers a tool."));
    }
    let mut rows = Vec::new();
    for (space, tool) in tools.iter().take(TOOLS_MAX) {
        let asked = json!({"action": "mcp:CallTool", "resource": tool, "who": agent});
        let found = view.ask("/v1/ways", asked).await?;
        let here = format!("space {space}");
        let mut ways: Vec<Value> = list(&found, "ways").to_vec();
        ways.retain(|way| list(way, "path").first().and_then(Value::as_str) == Some(here.as_str()));
        let allowed = ways.iter().any(|way| is(way, "allowed"));
        let why = ways.iter().find_map(|way| against(way).cloned()).filter(|_| !allowed);
        rows.push((space, tool, allowed, why));
    }
    Ok(html! {
        table.list {
            thead { tr { th scope="col" { "Space" } th scope="col" { "Tool" } th scope="col" { "May" } th scope="col" { "What is against it" } } }
            tbody { @for (space, tool, allowed, why) in &rows {
                tr {
                    td { a href={ "/console/spaces/" (space) } { (shown(space)) } }
                    th scope="row" { a href={ "/console/access?" (remit_identity::form::write([("tool", tool.as_str())])) } { (shown(tool)) } }
                    td { (badge(if *allowed { "ALLOW" } else { "DENY" })) }
                    td { @if let Some(layer) = why { (shown(text(layer, "statement"))) span.hint { (shown(text(layer, "origin"))) } } }
                }
            } }
        }
        @if tools.len() > TOOLS_MAX { p.hint { (tools.len() - TOOLS_MAX) " tools more: " code { "remit iam can" } " asks for any one." } }
    })
}

/// A space's agents and tools: who may call what.
pub(super) async fn matrix(view: &View<'_>, space: &str) -> Markup {
    if !view.may("remit:ListAccess") {
        return nothing("Not for this role.", "Access is shown to roles that may list it.");
    }
    let tools = tools_of(view, |one| one.space.id.as_str() == space);
    let agents: Vec<String> = view
        .snapshot
        .spaces
        .get(space)
        .map(|view| view.space.agents.iter().map(|agent| agent.as_str().to_owned()).collect())
        .unwrap_or_default();
    if tools.is_empty() || agents.is_empty() {
        return nothing("Nothing meets here yet.", "The space has no agents, or its servers have shown no tools.");
    }
    let here = format!("space {space}");
    let mut rows: Vec<(&str, BTreeMap<String, bool>)> = Vec::new();
    for (_, tool) in tools.iter().take(TOOLS_MAX) {
        let found = view.ask("/v1/ways", json!({"action": "mcp:CallTool", "resource": tool})).await.unwrap_or_default();
        let mut may: BTreeMap<String, bool> = BTreeMap::new();
        for way in
            list(&found, "ways").iter().filter(|way| list(way, "path").first().and_then(Value::as_str) == Some(here.as_str()))
        {
            let agent = text(way, "who").trim_start_matches("agent ").to_owned();
            *may.entry(agent).or_default() |= is(way, "allowed");
        }
        rows.push((tool, may));
    }
    let one = |agent: &str, tool: &str| remit_identity::form::write([("agent", agent), ("tool", tool), ("space", space)]);
    html! {
        div.scroll tabindex="0" role="region" aria-label="Agents and tools" {
            table.matrix {
                thead { tr { th scope="col" { "Tool" } @for agent in agents.iter().take(AGENTS_MAX) { th scope="col" { (shown(agent)) } } } }
                tbody { @for (tool, may) in &rows {
                    tr {
                        th scope="row" { (shown(tool)) }
                        @for agent in agents.iter().take(AGENTS_MAX) {
                            @let allowed = may.get(agent).copied().unwrap_or_default();
                            td class=(if allowed { "yes" } else { "no" }) {
                                a href={ "/console/explain?" (one(agent, tool)) } { @if allowed { "yes" } @else { "no" } span.away { ": " (agent) ", " (tool) } }
                            }
                        }
                    }
                } }
            }
        }
        @if tools.len() > TOOLS_MAX || agents.len() > AGENTS_MAX { p.hint { "The first " (TOOLS_MAX) " tools and " (AGENTS_MAX) " agents." } }
    }
}
