//! The overview: what agents did, what waits for somebody, what changed.

use std::collections::BTreeMap;

use http::Response;
use maud::{Markup, html};
use serde_json::{Value, json};

use super::View;
use super::chart::{Count, bars, spark};
use super::page::{self, nothing, time};
use super::text::{list, number, shown, text};
use crate::reply::Reply;

/// The spans of time that can be looked at: a name, how long, and the step of its chart, in seconds.
const SPANS: [(&str, &str, u64, u64); 3] =
    [("hour", "Last hour", 3_600, 60), ("day", "Last 24 hours", 86_400, 1_800), ("week", "Last 7 days", 604_800, 10_800)];
/// The most rows of a table.
const ROWS: usize = 12;

/// The page.
pub(super) async fn page(view: &View<'_>) -> Response<Reply> {
    let status = match view.ask("/v1/status", json!({})).await {
        Ok(status) => status,
        Err(failed) => return page::failed(view, "/console", "Overview", &failed),
    };
    let chosen = SPANS.iter().find(|(name, ..)| *name == view.field("span")).or(SPANS.get(1));
    let Some(chosen) = chosen else { return page::page(view, "/console", "Overview", &html! {}) };
    let (name, _, span_secs, step_secs) = *chosen;
    let body = html! {
        div.columns {
            section.card aria-labelledby="waits" {
                h2 id="waits" { "Waits for somebody" }
                div data-live="approvals configuration" data-src="/console/overview/waiting" { (waits(view, &status).await) }
            }
            section.card aria-labelledby="changed" { h2 id="changed" { "What changed" } (changed(view).await) }
        }
        section.card aria-labelledby="calls" {
            div.row {
                h2 id="calls" { "Calls" }
                p.segments {
                    @for (key, label, ..) in SPANS {
                        a href={ "/console?span=" (key) } aria-current=[(key == name).then_some("true")] { (label) }
                    }
                }
            }
            (calls(view, span_secs, step_secs).await)
        }
    };
    page::page(view, "/console", "Overview", &body)
}

/// What waits, for the script to put in its place.
pub(super) async fn waiting(view: &View<'_>) -> Response<Reply> {
    match view.ask("/v1/status", json!({})).await {
        Ok(status) => page::part(&waits(view, &status).await),
        Err(failed) => page::failed(view, "/console", "Overview", &failed),
    }
}

async fn waits(view: &View<'_>, status: &Value) -> Markup {
    // What the role doesn't allow is left out.
    let approvals = view.ask("/v1/approvals", json!({"state": "PENDING", "limit": 5})).await.ok();
    let pending = approvals.as_ref().map(|found| list(found, "approvals")).unwrap_or_default();
    let plans = view.ask("/v1/configuration/plans", json!({})).await.ok();
    let plans = plans.as_ref().map(|found| list(found, "plans")).unwrap_or_default();
    let mut tools = Vec::new();
    for server in list(status, "servers") {
        let changed = list(server, "tools").iter().filter(|tool| matches!(text(tool, "pin"), "drifted" | "new" | "gone"));
        let count = changed.count();
        if count > 0 {
            tools.push((text(server, "server"), count));
        }
    }
    let suspended = super::agents::suspended(status);
    let alarms = view.ask("/v1/alarms", json!({"state": "ALARM"})).await.ok();
    let alarms = alarms.as_ref().map(|found| list(found, "alarms")).unwrap_or_default();
    let findings = list(status, "findings").len() + list(status, "policy_findings").len();
    let reload = status.pointer("/last_reload/error").and_then(Value::as_str);
    let quiet = pending.is_empty()
        && plans.is_empty()
        && tools.is_empty()
        && suspended.is_empty()
        && alarms.is_empty()
        && reload.is_none();
    html! {
        @if quiet && findings == 0 { (nothing("Nothing waits.", "Approvals, plans to review and tools that changed would stand here.")) }
        ul.waits {
            @for alarm in alarms.iter().take(ROWS) {
                li {
                    (page::badge("ALARM")) " " (shown(text(alarm, "alarm")))
                    @let group = text(alarm, "group");
                    @if !group.is_empty() { " of " (text(alarm, "group_by")) " " (shown(group)) }
                    ", since " (shown(text(alarm, "since"))) ": " (shown(text(alarm, "reason")))
                }
            }
            @for approval in pending {
                li {
                    (page::badge("PENDING")) " "
                    a href={ "/console/approvals/" (text(approval, "id")) } { (shown(text(approval, "tool"))) }
                    " by " (shown(text(approval, "agent"))) " in " (shown(text(approval, "space")))
                    ", until " (time(number(approval, "expires_at_secs")))
                }
            }
            @for plan in plans {
                li { (page::badge("waiting")) " " a href={ "/console/policies/plans/" (text(plan, "plan")) } { "A plan of " (shown(text(plan, "by"))) } ": " (shown(text(plan, "reason"))) }
            }
            @for (server, count) in &tools {
                li { (page::badge("drifted")) " " a href={ "/console/servers/" (server) } { (count) @if *count == 1 { " tool of " } @else { " tools of " } (shown(server)) } " changed, and can't be called" }
            }
            @for one in &suspended {
                li { (page::badge("suspended")) " " (shown(&one.what)) ", by " (shown(&one.by)) ": " (shown(&one.reason)) }
            }
            @if let Some(error) = reload { li { (page::badge("failed")) " The configuration directory has faults, and what was in effect stays: " (shown(error)) } }
            @if findings > 0 { li { (page::badge("plain")) " " (findings) " findings about tools and policies" } }
        }
    }
}

async fn changed(view: &View<'_>) -> Markup {
    if !view.may("remit:ListVersions") {
        return nothing("Not for this role.", "Versions of the configuration are shown to roles that may list them.");
    }
    let Ok(found) = view.ask("/v1/configuration/history", json!({"count": 6})).await else {
        return nothing("Not to be had.", "The versions can't be read now.");
    };
    html! {
        ul.waits {
            @for version in list(&found, "versions") {
                li {
                    a href={ "/console/policies/versions/" (number(version, "version")) } { "Version " (number(version, "version")) }
                    " by " (shown(text(version, "by"))) ", " (time(number(version, "at_secs")))
                    @let reason = text(version, "reason");
                    @if !reason.is_empty() { br; span.hint { (shown(reason)) } }
                }
            }
        }
    }
}

/// Counts by key, each with a count for every step of the time that is looked at.
async fn counted(
    view: &View<'_>,
    by: Option<&str>,
    since_secs: u64,
    steps: u64,
    step_secs: u64,
) -> Option<BTreeMap<String, Vec<Count>>> {
    let until_secs = since_secs.saturating_add(steps.saturating_mul(step_secs));
    let asked = json!({"since_secs": since_secs, "until_secs": until_secs, "step_secs": step_secs, "by": by});
    let found = view.ask("/v1/decisions/counts", asked).await.ok()?;
    let mut all: BTreeMap<String, Vec<Count>> = BTreeMap::new();
    for count in list(&found, "series") {
        let at_secs = number(count, "at_secs");
        let counts = all.entry(text(count, "key").to_owned()).or_insert_with(|| {
            (0..steps).map(|n| Count { at_secs: since_secs.saturating_add(n * step_secs), ..Count::default() }).collect()
        });
        let slot =
            at_secs.checked_sub(since_secs).map(|secs| secs / step_secs.max(1)).and_then(|slot| usize::try_from(slot).ok());
        if let Some(slot) = slot.and_then(|slot| counts.get_mut(slot)) {
            slot.allow = slot.allow.saturating_add(number(count, "allow"));
            slot.deny = slot.deny.saturating_add(number(count, "deny"));
            slot.hold = slot.hold.saturating_add(number(count, "hold"));
        }
    }
    Some(all)
}

async fn calls(view: &View<'_>, span_secs: u64, step_secs: u64) -> Markup {
    if !view.may("remit:SearchDecisions") {
        return nothing("Not for this role.", "Decisions are shown to roles that may search them.");
    }
    let until_secs = (view.now_secs / step_secs + 1) * step_secs;
    let (since_secs, steps) = (until_secs.saturating_sub(span_secs), span_secs / step_secs);
    let spaces = counted(view, Some("space"), since_secs, steps, step_secs).await;
    let agents = counted(view, Some("agent"), since_secs, steps, step_secs).await;
    let (Some(spaces), Some(agents)) = (spaces, agents) else {
        return nothing("Not to be had.", "The decisions can't be counted now.");
    };
    let mut all: Vec<Count> =
        (0..steps).map(|n| Count { at_secs: since_secs.saturating_add(n * step_secs), ..Count::default() }).collect();
    for counts in spaces.values() {
        for (sum, count) in all.iter_mut().zip(counts) {
            sum.allow += count.allow;
            sum.deny += count.deny;
            sum.hold += count.hold;
        }
    }
    if all.iter().all(|count| count.total() == 0) {
        return nothing("No calls in this time.", "Point an MCP client at a space, or run remit try.");
    }
    html! {
        p.legend {
            span.key.good { "allowed" } span.key.hold { "held" } span.key.bad { "denied" }
            @if let Some(blocked) = blocked(view, since_secs).await { " · " a href="/console/decisions?reason=guardrail" { (blocked) " blocked by guardrails" } }
        }
        (bars(&all, step_secs))
        div.columns { (table("Space", "space", &spaces)) (table("Agent", "agent", &agents)) }
    }
}

/// How many calls guardrails have blocked since a time; `None`: none, or nobody can say.
async fn blocked(view: &View<'_>, since_secs: u64) -> Option<String> {
    const MOST: usize = 100;
    let found = view.ask("/v1/decisions", json!({"reason": "guardrail", "since_secs": since_secs, "limit": MOST})).await.ok()?;
    match list(&found, "decisions").len() {
        0 => None,
        MOST.. => Some(format!("{MOST} or more")),
        count => Some(count.to_string()),
    }
}

fn table(title: &str, parameter: &str, all: &BTreeMap<String, Vec<Count>>) -> Markup {
    let sum = |counts: &[Count], of: fn(&Count) -> u64| counts.iter().map(of).sum::<u64>();
    let mut rows: Vec<(&String, &Vec<Count>)> = all.iter().collect();
    rows.sort_by_key(|(_, counts)| std::cmp::Reverse(sum(counts, Count::total)));
    let href = |key: &str| format!("/console/decisions?{}", remit_identity::form::write([(parameter, key)]));
    html! {
        table {
            thead { tr { th scope="col" { (title) } th.number scope="col" { "allowed" } th.number scope="col" { "held" } th.number scope="col" { "denied" } th.picture scope="col" { "over time" } } }
            tbody {
                @for (key, counts) in rows.iter().take(ROWS) {
                    tr {
                        th scope="row" { @if key.is_empty() { span.aside { "nobody known" } } @else { a href=(href(key)) { (shown(key)) } } }
                        td.number { (sum(counts, |count| count.allow)) }
                        td.number { (sum(counts, |count| count.hold)) }
                        td.number { (sum(counts, |count| count.deny)) }
                        td { (spark(counts)) }
                    }
                }
            }
        }
    }
}
