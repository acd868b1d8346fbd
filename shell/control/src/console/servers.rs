//! Servers and their tools: how each stands, and for one that shows something else than was accepted, the difference.

use http::Response;
use maud::{Markup, html};
use serde_json::{Value, json};

use super::View;
use super::page::{self, badge, code, nothing};
use super::text::{list, shown, text, unseen};
use crate::console::policies::differing;
use crate::reply::Reply;

const SECTION: &str = "/console/servers";
/// The most tools of one page.
const TOOLS_MAX: usize = 500;

/// The page.
pub(super) async fn page(view: &View<'_>) -> Response<Reply> {
    let status = match view.ask("/v1/status", json!({})).await {
        Ok(status) => status,
        Err(failed) => return page::failed(view, SECTION, "Servers and tools", &failed),
    };
    let servers = list(&status, "servers");
    let count = |server: &Value, pin: &str| list(server, "tools").iter().filter(|tool| text(tool, "pin") == pin).count();
    let body = html! {
        @if servers.is_empty() { (nothing("There are no servers.", "Register one under servers in the configuration.")) }
        @else {
            table.list {
                thead { tr { th scope="col" { "Server" } th scope="col" { "State" } th.number scope="col" { "Tools" } th scope="col" { "Changed" } } }
                tbody { @for server in servers {
                    tr data-row {
                        th scope="row" { a href={ "/console/servers/" (text(server, "server")) } { (shown(text(server, "server"))) } }
                        td {
                            @let registry = server.pointer("/registry/status").and_then(Value::as_str).unwrap_or_default();
                            @if !matches!(registry, "" | "APPROVED") { (badge(registry)) " " }
                            (badge(text(server, "status"))) " " span.hint { (shown(text(server, "detail"))) }
                        }
                        td.number { (list(server, "tools").len()) }
                        td {
                            @for pin in ["drifted", "new", "gone"] {
                                @let count = count(server, pin);
                                @if count > 0 { (badge(pin)) " " (count) " " }
                            }
                        }
                    }
                } }
            }
        }
        @for finding in list(&status, "findings") { div.notice.bad { p { (shown(text(finding, "server"))) " " (shown(text(finding, "tool"))) ": " (shown(text(finding, "fault"))) } } }
    };
    page::page(view, SECTION, "Servers and tools", &body)
}

/// One server.
pub(super) async fn one(view: &View<'_>, key: &str) -> Response<Reply> {
    let status = match view.ask("/v1/status", json!({})).await {
        Ok(status) => status,
        Err(failed) => return page::failed(view, SECTION, key, &failed),
    };
    let Some(server) = list(&status, "servers").iter().find(|server| text(server, "server") == key) else {
        let none = crate::endpoints::Failed::new(http::StatusCode::NOT_FOUND, "There is no such server.");
        return page::failed(view, SECTION, "Server", &none);
    };
    let tools = list(server, "tools");
    let changed: Vec<&Value> = tools.iter().filter(|tool| text(tool, "pin") != "intact").collect();
    let acceptable = changed.iter().any(|tool| matches!(text(tool, "pin"), "drifted" | "new"));
    let body = html! {
        p.crumbs { a href=(SECTION) { "Servers and tools" } " / " (shown(key)) }
        p { (badge(text(server, "status"))) " " (shown(text(server, "detail"))) }
        (standing(view, key, server))
        @if let Some(sandbox) = server.get("sandbox") {
            @if sandbox.get("reason").is_some() { div.notice.bad { p { "It runs without a sandbox: " (shown(text(sandbox, "reason"))) } } }
            @for one in list(sandbox, "missing") { div.notice.bad { p { "Its sandbox lacks " (shown(text(one, "mechanism"))) ": " (shown(text(one, "why"))) } } }
        }
        @if !changed.is_empty() {
            section.card aria-labelledby="changed" {
                h2 id="changed" { "Changed since it was accepted" }
                p { "These tools can't be called until somebody has looked at the difference and accepts it." }
                @for tool in &changed { (difference(view, key, tool)) }
                @if acceptable && view.may("remit:AcceptPin") {
                    form.inline method="post" action="/console/accept" { (view.csrf()) input type="hidden" name="server" value=(key); button.good type="submit" { "Accept all of them" } }
                }
            }
        }
        section.card aria-labelledby="tools" {
            h2 id="tools" { "Tools" }
            table {
                thead { tr { th scope="col" { "Tool" } th scope="col" { "Pin" } th scope="col" { "Digest" } th scope="col" { "Access" } } }
                tbody { @for tool in tools.iter().take(TOOLS_MAX) {
                    @let exposed = format!("{}___{}", key.rsplit('/').next().unwrap_or_default(), text(tool, "tool"));
                    tr {
                        th scope="row" { (shown(text(tool, "tool"))) }
                        td { (badge(text(tool, "pin"))) }
                        td { code { (text(tool, "digest").chars().take(23).collect::<String>()) } }
                        td { a href={ "/console/access?" (remit_identity::form::write([("tool", exposed.as_str())])) } { "Who can call it" span.away { ": " (text(tool, "tool")) } } }
                    }
                } }
            }
        }
        @if view.may("remit:Suspend") {
            (super::agents::switch(view, "server", key, "", &format!("server {key}")))
            (stop_one(view, key, tools))
        }
    };
    page::page(view, SECTION, key, &body)
}

/// How a server stands in the registry, and the forms that change it: each names the registration that was looked at.
fn standing(view: &View<'_>, key: &str, server: &Value) -> Markup {
    let registry = server.get("registry").unwrap_or(&Value::Null);
    let (status, said) = (text(registry, "status"), registry.get("said").unwrap_or(&Value::Null));
    let submits = matches!(status, "DRAFT" | "REJECTED") && view.may("remit:SubmitServerForApproval");
    let decides = view.may("remit:UpdateServerStatus");
    let form = |to: &str, class: &str, label: &str| {
        html! {
            form.inline method="post" action="/console/server-status" {
                (view.csrf())
                input type="hidden" name="server" value=(key);
                input type="hidden" name="registration" value=(text(registry, "registration"));
                input type="hidden" name="status" value=(to);
                label for={ "registry-" (to) } { "Reason" }
                input id={ "registry-" (to) } name="reason" required maxlength="255";
                button class=(class) type="submit" { (label) }
            }
        }
    };
    html! {
        section.card aria-labelledby="registry" {
            h2 id="registry" { "In the registry" }
            p { (badge(status)) @if said.is_object() { " by " (shown(text(said, "by"))) ": " (shown(text(said, "reason"))) } }
            @if !text(said, "submitted_by").is_empty() { p { "Submitted by " (shown(text(said, "submitted_by"))) } }
            @if submits { (form("SUBMIT", "", "Submit for approval")) }
            @if decides && status == "PENDING_APPROVAL" { (form("APPROVED", "good", "Approve")) (form("REJECTED", "bad", "Reject")) }
            @if decides && status == "APPROVED" { (form("DEPRECATED", "", "Deprecate")) }
        }
    }
}

/// Changes how a server stands, with the endpoints that programs use.
pub(super) async fn change_status(view: &View<'_>) -> Response<Reply> {
    let (server, status) = (view.field("server"), view.field("status"));
    let mut asked =
        json!({"server": server, "registration": super::given(view.field("registration")), "reason": view.field("reason")});
    let path = if status == "SUBMIT" { "/v1/servers/submit" } else { "/v1/servers/status" };
    if let Some(fields) = asked.as_object_mut().filter(|_| status != "SUBMIT") {
        fields.insert("status".to_owned(), status.into());
    }
    match view.ask(path, asked).await {
        Ok(_) => page::redirect(&format!("/console/servers/{server}?done=status"), &[]),
        Err(failed) => page::failed(view, SECTION, "Registry", &failed),
    }
}

/// The form that stops one tool.
fn stop_one(view: &View<'_>, server: &str, tools: &[Value]) -> Markup {
    html! {
        section.card aria-labelledby="stop-one" {
            h2 id="stop-one" { "Stop one tool" }
            form.inline method="post" action="/console/suspend" {
                (view.csrf())
                input type="hidden" name="kind" value="server";
                input type="hidden" name="id" value=(server);
                label for="stop-tool" { "Tool" }
                select.short id="stop-tool" name="tool" { @for tool in tools.iter().take(TOOLS_MAX) { option { (text(tool, "tool")) } } }
                label for="stop-tool-reason" { "Reason" }
                input id="stop-tool-reason" name="reason" required maxlength="500";
                button.bad type="submit" { "Stop this tool" }
            }
        }
    }
}

fn difference(view: &View<'_>, server: &str, tool: &Value) -> Markup {
    let pretty = |key: &str| {
        let value: Value = serde_json::from_str(text(tool, key)).unwrap_or_default();
        if value.is_null() { String::new() } else { serde_json::to_string_pretty(&value).unwrap_or_default() }
    };
    let (accepted, now) = (pretty("accepted"), pretty("shown"));
    let name = text(tool, "tool");
    html! {
        div.difference {
            h3 { (badge(text(tool, "pin"))) " " (code(name)) }
            @if unseen(&now) > unseen(&accepted) { p.warning { "The new definition holds characters that can't be seen: they are shown by their code." } }
            (differing(&accepted, &now))
            @if text(tool, "pin") != "gone" && view.may("remit:AcceptPin") {
                form.inline method="post" action="/console/accept" {
                    (view.csrf())
                    input type="hidden" name="server" value=(server);
                    input type="hidden" name="tool" value=(name);
                    button type="submit" { "Accept " (shown(name)) }
                }
            }
        }
    }
}

/// Accepts what a server shows, with the endpoint that programs use.
pub(super) async fn accept(view: &View<'_>) -> Response<Reply> {
    let (server, tool) = (view.field("server"), view.field("tool"));
    match view.ask("/v1/pins/accept", json!({"server": server, "tool": super::given(tool)})).await {
        Ok(_) => page::redirect(&format!("/console/servers/{server}?done=accepted"), &[]),
        Err(failed) => page::failed(view, SECTION, "Accept", &failed),
    }
}
