//! Decisions: the newest as they come, searched, and each as the ladder of its layers, with its proof.

use http::Response;
use maud::{Markup, html};
use serde_json::{Value, json};

use super::page::{self, badge, nothing};
use super::text::{list, literal, number, shown, text};
use super::{ROWS, View, given};
use crate::endpoints::Failed;
use crate::reply::Reply;

const SECTION: &str = "/console/decisions";
/// What can be searched for: the parameter, its name for people.
const FILTERS: [(&str, &str); 7] = [
    ("agent", "Agent"),
    ("user", "User"),
    ("space", "Space"),
    ("tool", "Tool"),
    ("reason", "Reason"),
    ("statement", "Statement"),
    ("trace_id", "Trace"),
];
const VERDICTS: [&str; 3] = ["ALLOW", "DENY", "HOLD"];

fn asked<'a>(view: &'a View<'_>) -> Vec<(&'static str, &'a str)> {
    let names = FILTERS.iter().map(|(name, _)| *name).chain(["verdict"]);
    names.map(|name| (name, view.field(name))).filter(|(_, value)| !value.is_empty()).collect()
}

/// The search.
pub(super) async fn page(view: &View<'_>) -> Response<Reply> {
    let rows = match rows(view).await {
        Ok(rows) => rows,
        // A question that makes no sense can be corrected where it was asked.
        Err(failed) if failed.0 == http::StatusCode::BAD_REQUEST => {
            html! { div.notice.bad role="alert" { p { (shown(failed.detail())) } } }
        }
        Err(failed) => return page::failed(view, SECTION, "Decisions", &failed),
    };
    let asked = asked(view);
    let live = view.field("cursor").is_empty();
    let src = format!("/console/decisions/rows?{}", remit_identity::form::write(asked.iter().copied()));
    let body = html! {
        form.filters method="get" action=(SECTION) role="search" {
            @for (name, label) in FILTERS {
                div { label for={ "f-" (name) } { (label) } input id={ "f-" (name) } name=(name) value=(view.field(name)) maxlength="256" autocomplete="off"; }
            }
            div {
                label for="f-verdict" { "Verdict" }
                select id="f-verdict" name="verdict" {
                    option value="" { "any" }
                    @for verdict in VERDICTS { option value=(verdict) selected[view.field("verdict") == verdict] { (verdict) } }
                }
            }
            div.do { button type="submit" { "Search" } @if !asked.is_empty() { " " a href=(SECTION) { "Clear" } } }
        }
        @if live {
            div #tail data-live="decisions" data-src=(src) { (rows) }
        } @else {
            div #tail { (rows) }
            p { a href={ "/console/decisions?" (remit_identity::form::write(asked.iter().copied())) } { "Back to the newest" } }
        }
    };
    page::page(view, SECTION, "Decisions", &body)
}

/// The rows alone, for the script to put in their place.
pub(super) async fn rows_alone(view: &View<'_>) -> Response<Reply> {
    match rows(view).await {
        Ok(rows) => page::part(&rows),
        Err(failed) => page::failed(view, SECTION, "Decisions", &failed),
    }
}

async fn rows(view: &View<'_>) -> Result<Markup, Failed> {
    let asked = asked(view);
    let mut request = json!({"limit": ROWS, "cursor": given(view.field("cursor"))});
    if let Some(fields) = request.as_object_mut() {
        fields.extend(asked.iter().map(|(name, value)| ((*name).to_owned(), json!(value))));
    }
    let found = view.ask("/v1/decisions", request).await?;
    let decisions = list(&found, "decisions");
    if decisions.is_empty() {
        let hint = if asked.is_empty() { "The first call of an agent appears here at once." } else { "Search for less." };
        return Ok(nothing("No decision fits.", hint));
    }
    Ok(html! {
        table.list {
            thead { tr {
                th scope="col" { "Time" } th scope="col" { "Verdict" } th scope="col" { "Tool" } th scope="col" { "Agent" }
                th scope="col" { "Space" } th scope="col" { "Reason" } th scope="col" { "Outcome" }
            } }
            tbody { @for decision in decisions { (row(decision)) } }
        }
        (page::more(SECTION, &asked, found.get("next_cursor")))
    })
}

fn row(decision: &Value) -> Markup {
    let (time, user, agent) = (text(decision, "time"), text(decision, "user"), text(decision, "agent"));
    let short = time.replace('T', " ");
    html! {
        tr data-row {
            th scope="row" { a href={ "/console/decisions/" (text(decision, "id")) } { time datetime=(time) { (short.trim_end_matches('Z')) } } }
            td { (badge(text(decision, "verdict"))) }
            td { (shown(text(decision, "tool"))) @let risk = text(decision, "risk"); @if !risk.is_empty() { span.aside { (risk) } } }
            td { @if agent.is_empty() { span.hint { "nobody known" } } @else { (shown(agent)) } @if !user.is_empty() { span.aside { "for " (shown(user)) } } }
            td { (shown(text(decision, "space"))) }
            td { (shown(&text(decision, "reason").replace('_', " "))) }
            td { (shown(text(decision, "outcome"))) }
        }
    }
}

/// One decision.
pub(super) async fn one(view: &View<'_>, id: &str) -> Response<Reply> {
    let found = match view.ask("/v1/decisions/{id}", json!({"id": id})).await {
        Ok(found) => found,
        Err(failed) => return page::failed(view, SECTION, "Decision", &failed),
    };
    let entry = found.get("entry").cloned().unwrap_or_default();
    let index = number(&found, "index");
    let body = html! {
        p.crumbs { a href=(SECTION) { "Decisions" } " / " code { (index) } }
        div.columns.wide-left {
            section.card aria-labelledby="ladder" {
                h2 id="ladder" { (badge(verdict(&entry))) " Layers" }
                (ladder(view, list(&entry, "layers"), verdict(&entry)).await)
                (guarded("What guardrails found in the arguments", entry.get("guardrails")))
                (guarded("What guardrails found in the result", found.pointer("/outcome/guardrails")))
                @if entry.get("labels").is_some() { (super::approvals::origins(&entry, list(&entry, "provenance"), &Value::Null)) }
            }
            div {
                section.card aria-labelledby="what" { h2 id="what" { "The call" } (facts(&entry, &found)) }
                (proof(view, index))
            }
        }
        details.card { summary { "The whole entry" } (literal(&entry)) }
    };
    let tool = text(&entry, "tool");
    page::page(view, SECTION, if tool.is_empty() { "Decision" } else { tool }, &body)
}

/// What guardrails found; never the text that it was found in.
fn guarded(title: &str, guarded: Option<&Value>) -> Markup {
    let found = guarded.map(|guarded| list(guarded, "found")).unwrap_or_default();
    html! {
        @if !found.is_empty() {
            h3 { (title) }
            table {
                thead { tr { th scope="col" { "What" } th scope="col" { "Where" } th scope="col" { "Sure" } th scope="col" { "Done" } th scope="col" { "Guardrail" } } }
                tbody { @for one in found {
                    tr {
                        th scope="row" { (shown(&text(one, "policy").replace('_', " ").to_lowercase())) " " (page::code(text(one, "name"))) }
                        td { (page::code(text(one, "pointer"))) }
                        td { (number(one, "score_percent")) " %" }
                        td { (badge(text(one, "action"))) }
                        td { (page::code(text(one, "guardrail"))) }
                    }
                } }
            }
        }
    }
}

fn verdict(entry: &Value) -> &str {
    let verdict = text(entry, "verdict");
    if verdict.is_empty() { text(entry, "decision") } else { verdict }
}

fn facts(entry: &Value, found: &Value) -> Markup {
    let all = ["time", "agent", "user", "space", "tool", "target", "risk", "reason", "acted_as", "trace_id", "snapshot", "id"];
    let outcome = found.get("outcome").filter(|outcome| !outcome.is_null());
    html! {
        dl.facts {
            @for key in all {
                @if let Some(value) = entry.get(key).filter(|value| !value.is_null()) {
                    dt { (key.replace('_', " ")) }
                    dd { @match value { Value::String(said) => (shown(said)), other => (shown(&other.to_string())) } }
                }
            }
            @if let Some(outcome) = outcome {
                dt { "outcome" }
                dd { @match outcome { Value::String(said) => (shown(said)), other => (shown(text(other, "outcome"))) } }
            }
        }
    }
}

/// The layers in their order; the one that decided stands out, with the text that it stands in.
pub(super) async fn ladder(view: &View<'_>, layers: &[Value], verdict: &str) -> Markup {
    let denies = |layer: &&Value| text(layer, "effect").ends_with("_DENY");
    let decided = layers.iter().find(denies);
    let stopped = verdict != "ALLOW";
    let mut steps = Vec::new();
    for layer in layers {
        let deciding = stopped && decided.is_some_and(|decided| std::ptr::eq(decided, layer));
        let source = if deciding { super::policies::excerpt(view, text(layer, "origin")).await } else { None };
        steps.push((layer, deciding, source));
    }
    html! {
        ol.ladder {
            @for (layer, deciding, source) in &steps {
                li class={ (effect(text(layer, "effect"))) @if *deciding { " deciding" } } {
                    div.row { strong { (shown(&text(layer, "checkType").replace('_', " ").to_lowercase())) } " " (badge(text(layer, "effect"))) @if *deciding { span.badge.bad { "decided" } } }
                    p { (shown(text(layer, "statement"))) }
                    @let origin = text(layer, "origin");
                    @if !origin.is_empty() { p.hint { (place(origin)) } }
                    @if let Some(source) = source { (source) }
                }
            }
        }
        @if layers.is_empty() { (nothing("No layer spoke.", "The call was refused before anybody was asked.")) }
    }
}

/// Where a statement stands, as a link to its text.
pub(super) fn place(origin: &str) -> Markup {
    match origin.rsplit_once(':') {
        Some((path, line)) if !origin.starts_with("arn:") && line.bytes().all(|byte| byte.is_ascii_digit()) => {
            let href =
                format!("/console/policies/text?{}#line-{line}", remit_identity::form::write([("path", path), ("line", line)]));
            html! { a href=(href) { (shown(origin)) } }
        }
        _ => shown(origin),
    }
}

fn effect(effect: &str) -> &'static str {
    match effect {
        "ALLOW" => "allows",
        "NO_IMPACT" => "silent",
        _ => "denies",
    }
}

fn proof(view: &View<'_>, index: u64) -> Markup {
    html! {
        section.card aria-labelledby="proof" {
            h2 id="proof" { "Proof" }
            @if view.may("remit:GetJournal") {
                div #receipt data-proof={ "/v1/journal/" (index) } {
                    p { "Entry " (index) " of the journal. " span.hint { "Your browser computes the path from this entry to the signed checkpoint, and checks the signature." } }
                    p { button type="button" data-verify { "Verify in this browser" } }
                    div role="status" aria-live="polite" data-result {}
                }
            } @else {
                p { "Entry " (index) " of the journal. Your role doesn't show its proof." }
            }
        }
    }
}
