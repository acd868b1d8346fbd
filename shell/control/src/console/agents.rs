//! Agents, and the switch that stops an agent, a space, a server or a tool.

use http::Response;
use maud::{Markup, html};
use serde_json::{Value, json};

use super::View;
use super::page::{self, badge, nothing};
use super::text::{is, list, number, shown, text, texts};
use crate::reply::Reply;

const SECTION: &str = "/console/agents";
/// How many agents a page has.
const PAGE: usize = 100;

/// Something that is stopped.
pub(super) struct Stopped {
    /// Its kind and name, as the interface keeps it: `agents`, `agent-1`.
    kind: String,
    id: String,
    /// The same for people.
    pub(super) what: String,
    pub(super) by: String,
    pub(super) reason: String,
    at_secs: u64,
}

impl Stopped {
    /// Whether it is this one.
    pub(super) fn is(&self, kind: &str, id: &str) -> bool {
        self.kind == kind && self.id == id
    }
}

/// Everything that is stopped.
pub(super) fn suspended(status: &Value) -> Vec<Stopped> {
    let kinds = status.get("suspended").and_then(Value::as_object).into_iter().flatten();
    let all = kinds.flat_map(|(kind, all)| all.as_object().into_iter().flatten().map(move |(id, said)| (kind, id, said)));
    let one = |(kind, id, said): (&String, &String, &Value)| Stopped {
        what: format!("{} {id}", kind.trim_end_matches('s')),
        by: text(said, "by").to_owned(),
        reason: text(said, "reason").to_owned(),
        at_secs: number(said, "at_secs"),
        kind: kind.clone(),
        id: id.clone(),
    };
    all.map(one).collect()
}

/// The page.
pub(super) async fn page(view: &View<'_>) -> Response<Reply> {
    let organization = match view.ask("/v1/organization", json!({})).await {
        Ok(organization) => organization,
        Err(failed) => return page::failed(view, SECTION, "Agents", &failed),
    };
    let status = view.ask("/v1/status", json!({})).await.unwrap_or_default();
    let stopped = suspended(&status);
    let sought = view.field("q").to_lowercase();
    let fits = |agent: &&Value| {
        sought.is_empty() || [text(agent, "id"), text(agent, "owner")].iter().any(|text| text.to_lowercase().contains(&sought))
    };
    let agents: Vec<&Value> = list(&organization, "agents").iter().filter(fits).collect();
    let from = view.field("from").parse::<usize>().unwrap_or_default();
    let body = html! {
        @if !stopped.is_empty() {
            section.card aria-labelledby="stopped" {
                h2 id="stopped" { "Stopped" }
                ul.waits { @for one in &stopped { li { (badge("suspended")) " " (shown(&one.what)) " by " (shown(&one.by)) ", " (page::time(one.at_secs)) ": " (shown(&one.reason)) (resume(view, one)) } }
                }
            }
        }
        form.filters method="get" action=(SECTION) role="search" {
            div { label for="q" { "Agent or owner" } input id="q" name="q" value=(view.field("q")) maxlength="128"; }
            div.do { button type="submit" { "Search" } }
        }
        @if agents.is_empty() { (nothing("No agent fits.", "Agents stand in the configuration under agents.")) }
        @else {
            table.list {
                thead { tr { th scope="col" { "Agent" } th scope="col" { "Owner" } th scope="col" { "Spaces" } th scope="col" { "State" } th scope="col" { "Access" } } }
                tbody { @for agent in agents.iter().skip(from).take(PAGE) { (row(agent, &stopped)) } }
            }
            @if agents.len() > from + PAGE { p.more { a rel="next" href={ "/console/agents?" (remit_identity::form::write([("q", view.field("q")), ("from", &(from + PAGE).to_string())])) } { "More" } } }
        }
        @if view.may("remit:Suspend") { (switch(view, "agent", "", "", "an agent")) }
    };
    page::page(view, SECTION, "Agents", &body)
}

fn row(agent: &Value, stopped: &[Stopped]) -> Markup {
    let id = text(agent, "id");
    let held = is(agent, "suspended") || stopped.iter().any(|one| one.is("agents", id));
    html! {
        tr data-row {
            th scope="row" { a href={ "/console/agents/" (id) } { (shown(id)) } }
            td { (shown(text(agent, "owner"))) }
            td { @for space in texts(agent, "spaces") { a.policy href={ "/console/spaces/" (space) } { (shown(space)) } " " } }
            td { (badge(if held { "suspended" } else { "active" })) }
            td { a href={ "/console/access?" (remit_identity::form::write([("agent", id)])) } { "What it can call" } }
        }
    }
}

/// What is hidden in a form that stops something, or lets it go on.
fn named(kind: &str, id: &str, tool: &str) -> Markup {
    html! {
        input type="hidden" name="kind" value=(kind);
        @if !id.is_empty() { input type="hidden" name="id" value=(id); }
        @if !tool.is_empty() { input type="hidden" name="tool" value=(tool); }
    }
}

fn resume(view: &View<'_>, one: &Stopped) -> Markup {
    if !view.may("remit:Suspend") {
        return html! {};
    }
    let (kind, id, tool) = match one.kind.as_str() {
        "tools" => {
            let (server, tool) = split_tool(&one.id);
            ("server", server, tool)
        }
        kind => (kind.trim_end_matches('s'), one.id.as_str(), ""),
    };
    html! {
        form.inline method="post" action="/console/suspend" {
            (view.csrf()) (named(kind, id, tool))
            input type="hidden" name="resume" value="yes";
            input type="text" name="reason" aria-label={ "Reason to let " (one.what) " go on" } placeholder="Reason" required maxlength="500";
            button type="submit" { "Let it go on" }
        }
    }
}

/// A tool as it is kept: `ACCOUNT/SERVER/TOOL`.
fn split_tool(id: &str) -> (&str, &str) {
    let end = id.match_indices('/').nth(1).map_or(id.len(), |(at, _)| at);
    (id.get(..end).unwrap_or_default(), id.get(end + 1..).unwrap_or_default())
}

/// The form that stops something. Without an id it is asked for.
pub(super) fn switch(view: &View<'_>, kind: &str, id: &str, tool: &str, what: &str) -> Markup {
    let field = format!("stop-{kind}");
    html! {
        section.card aria-labelledby="stop" {
            h2 id="stop" { "Stop " (shown(what)) }
            form.inline method="post" action="/console/suspend" {
                (view.csrf()) (named(kind, id, tool))
                @if id.is_empty() { label for=(field) { "Which" } input id=(field) name="id" required maxlength="255"; }
                label for={ (field) "-reason" } { "Reason" }
                input id={ (field) "-reason" } name="reason" required maxlength="500";
                button.bad type="submit" { "Stop it now" }
            }
            p.hint { "It is in effect with the next call, until somebody lets it go on." }
        }
    }
}

/// Stops something, or lets it go on, with the endpoint that programs use.
pub(super) async fn suspend(view: &View<'_>) -> Response<Reply> {
    let (kind, id, tool) = (view.field("kind"), view.field("id"), view.field("tool"));
    let resume = view.field("resume") == "yes";
    let mut request = json!({"reason": view.field("reason"), "resume": resume});
    let (back, key) = match kind {
        "agent" => (SECTION.to_owned(), "agent"),
        "space" => (format!("/console/spaces/{id}"), "space"),
        "user" => (SECTION.to_owned(), "user"),
        _ => (format!("/console/servers/{id}"), "server"),
    };
    if let Some(fields) = request.as_object_mut() {
        fields.insert(key.to_owned(), id.into());
        if !tool.is_empty() {
            fields.insert("tool".to_owned(), tool.into());
        }
    }
    match view.ask("/v1/suspend", request).await {
        Ok(_) => page::redirect(&format!("{back}?done={}", if resume { "resumed" } else { "suspended" }), &[]),
        Err(failed) => page::failed(view, SECTION, "Stop", &failed),
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn a_tool_is_its_servers() {
        assert_eq!(super::split_tool("111122223333/helpdesk/close_ticket"), ("111122223333/helpdesk", "close_ticket"));
        assert_eq!(super::split_tool("111122223333/helpdesk/a/b"), ("111122223333/helpdesk", "a/b"));
        assert_eq!(super::split_tool("x"), ("x", ""));
    }
}
