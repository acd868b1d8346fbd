//! Approvals: what waits for a person, literally as it would be sent, and what became of what was asked before.

use http::Response;
use maud::{Markup, html};
use serde_json::{Map, Value, json};

use super::page::{self, badge, nothing, span, time};
use super::text::{list, literal, number, shown, text, texts, verbatim};
use super::{COUNTED_MAX, ROWS, View, given};
use crate::reply::Reply;

const SECTION: &str = "/console/approvals";
/// The states that can be looked at.
const STATES: [(&str, &str); 6] = [
    ("PENDING", "Waiting"),
    ("APPROVED", "Approved"),
    ("REDEEMED", "Used"),
    ("REJECTED", "Rejected"),
    ("REVOKED", "Taken back"),
    ("EXPIRED", "Expired"),
];
/// The most people that are named where somebody else must agree.
const WHO_MAX: usize = 12;
/// The most arguments for which a page offers to narrow them.
const NARROWED_MAX: usize = 24;

/// How many wait, as the menu says it.
pub(super) async fn waiting(view: &View<'_>) -> String {
    let found = view.ask("/v1/approvals", json!({"state": "PENDING", "limit": COUNTED_MAX})).await.unwrap_or_default();
    let more = if found.get("next_cursor").is_some_and(Value::is_string) { "+" } else { "" };
    match list(&found, "approvals").len() {
        0 => String::new(),
        count => format!("{count}{more}"),
    }
}

fn state<'a>(view: &'a View<'_>) -> &'a str {
    STATES.iter().map(|(state, _)| *state).find(|state| *state == view.field("state")).unwrap_or("PENDING")
}

/// The queue.
pub(super) async fn page(view: &View<'_>) -> Response<Reply> {
    let state = state(view);
    let src =
        format!("/console/approvals/queue?{}", remit_identity::form::write([("state", state), ("cursor", view.field("cursor"))]));
    let rows = match rows(view, state).await {
        Ok(rows) => rows,
        Err(failed) => return page::failed(view, SECTION, "Approvals", &failed),
    };
    let body = html! {
        p.segments {
            @for (key, label) in STATES {
                a href={ "/console/approvals?state=" (key) } aria-current=[(key == state).then_some("true")] { (label) }
            }
        }
        div #queue data-live="approvals" data-src=(src) aria-live="polite" { (rows) }
        p.hint.keys { kbd { "j" } " " kbd { "k" } " next, previous · " kbd { "Enter" } " open" }
    };
    page::page(view, SECTION, "Approvals", &body)
}

/// The queue alone, for the script to put in its place.
pub(super) async fn queue(view: &View<'_>) -> Response<Reply> {
    match rows(view, state(view)).await {
        Ok(rows) => page::part(&rows),
        Err(failed) => page::failed(view, SECTION, "Approvals", &failed),
    }
}

async fn rows(view: &View<'_>, state: &str) -> Result<Markup, crate::endpoints::Failed> {
    let asked = json!({"state": state, "limit": ROWS, "cursor": given(view.field("cursor"))});
    let found = view.ask("/v1/approvals", asked).await?;
    let approvals = list(&found, "approvals");
    if approvals.is_empty() {
        let (what, hint) = match state {
            "PENDING" => ("Nobody waits for a decision.", "A call that a rule holds for a person appears here at once."),
            _ => ("There are none.", "What was decided before stands here."),
        };
        return Ok(nothing(what, hint));
    }
    Ok(html! {
        table.list {
            thead { tr {
                th scope="col" { "Tool" } th scope="col" { "Agent" } th scope="col" { "Space" } th scope="col" { "Risk" }
                th scope="col" { "Approvals" } th scope="col" { "Asked" } th scope="col" { @if state == "PENDING" { "Expires in" } @else { "State" } }
            } }
            tbody {
                @for approval in approvals {
                    @let left = number(approval, "expires_at_secs").saturating_sub(view.now_secs);
                    tr data-row {
                        th scope="row" {
                            a href={ "/console/approvals/" (text(approval, "id")) } { (shown(text(approval, "tool"))) }
                            span.hint { (shown(&summary(approval.get("arguments").unwrap_or(&Value::Null)))) }
                        }
                        td { (shown(text(approval, "agent"))) @let user = text(approval, "user"); @if !user.is_empty() { span.hint { "for " (shown(user)) } } }
                        td { (shown(text(approval, "space"))) }
                        td { (badge(text(approval, "risk"))) }
                        td { (votes(approval)) }
                        td { (time(number(approval, "asked_at_secs"))) }
                        td { @if state == "PENDING" { span.soon[left < 120] { (span(left)) } } @else { (badge(text(approval, "state"))) } }
                    }
                }
            }
        }
        (page::more(SECTION, &[("state", state)], found.get("next_cursor")))
    })
}

/// The arguments in one line.
fn summary(arguments: &Value) -> String {
    let all = arguments.to_string();
    let short: String = all.chars().take(90).collect();
    if short.len() < all.len() { format!("{short}…") } else { short }
}

fn votes(approval: &Value) -> String {
    let sum = |key: &str| list(approval, "rules").iter().map(|rule| number(rule, key)).sum::<u64>();
    format!("{} of {}", sum("approvals_got"), sum("approvals_needed"))
}

/// One approval.
pub(super) async fn one(view: &View<'_>, id: &str) -> Response<Reply> {
    let approval = match view.ask("/v1/approvals/{id}", json!({"id": id})).await {
        Ok(approval) => approval,
        Err(failed) => return page::failed(view, SECTION, "Approval", &failed),
    };
    let problem = view.field("problem").to_owned();
    shown_whole(view, id, &approval, (!problem.is_empty()).then_some(problem.as_str()))
}

fn shown_whole(view: &View<'_>, id: &str, approval: &Value, problem: Option<&str>) -> Response<Reply> {
    let pending = text(approval, "state") == "PENDING";
    let standing = pending || text(approval, "state") == "APPROVED";
    let arguments = approval.get("arguments").cloned().unwrap_or_default();
    let body = html! {
        p.crumbs { a href=(SECTION) { "Approvals" } " / " (code_short(id)) }
        @if let Some(problem) = problem { div.notice.bad role="alert" { p { (shown(problem)) } } }
        div.columns.wide-left {
            section.card aria-labelledby="call" {
                h2 id="call" { (badge(text(approval, "state"))) " What would be sent" }
                (facts(view, approval))
                @if let Some(pattern) = approval.get("pattern").filter(|pattern| !pattern.is_null()) { h3 { "Every call that fits" } (literal(pattern)) }
                h3 { "Arguments" }
                (verbatim(text(approval, "arguments_text"), &arguments))
                @let digest = text(approval, "arguments_digest");
                @if !digest.is_empty() { p.hint { "Digest " (page::code(digest)) } }
                @if let Some(origin) = approval.get("origin") { (origins(origin, list(origin, "values"), &arguments)) }
                (led_to(approval))
            }
            div {
                @if standing && view.may("remit:DecideApproval") {
                    @if let Some(why) = barred(approval) { div.notice {
                        p { "You can't agree to it: " (shown(why)) "." }
                        (way_out(view, approval))
                    } }
                    (decision_form(view, id, &arguments, pending))
                }
                @else if standing { div.notice { p { "Your role lets you look, not decide." } } }
                @if super::text::is(approval, "awaits_review") && view.may("remit:DecideApproval") { (review_form(view, id)) }
                section.card aria-labelledby="rules" { h2 id="rules" { "Who must agree" } (rules(approval)) (history(approval)) }
            }
        }
    };
    page::page(view, SECTION, text(approval, "tool"), &body)
}

/// Why whoever looks can't agree, where the rules say so.
fn barred(approval: &Value) -> Option<&str> {
    approval.pointer("/you/why").and_then(Value::as_str)
}

/// What whoever can't agree can do: prove better who they are, where that helps, else find somebody who may.
fn way_out(view: &View<'_>, approval: &Value) -> Markup {
    let you = approval.get("you").unwrap_or(&Value::Null);
    let console = view.snapshot.organization.console.as_ref();
    let signs_in = console.is_some_and(|console| console.sign_in.is_some());
    let who = texts(you, "who_may");
    html! {
        @if super::text::is(you, "sign_in_helps") {
            @if signs_in { p { a href="/console/sign-in/start?again=yes" { @if view.found.holder.vouched.is_some() { "Sign in again" } @else { "Sign in" } } } }
        } @else if you.get("who_may").is_some_and(Value::is_array) {
            @if who.is_empty() { p { "Nobody whom the configuration names may agree to it." } }
            @else { p { "Who may: " @for (n, id) in who.iter().take(WHO_MAX).enumerate() { @if n > 0 { ", " } strong { (shown(id)) } } @if who.len() > WHO_MAX { " and " (who.len() - WHO_MAX) " others" } "." } }
        } @else { p { "Somebody else may, whose role lets them decide." } }
    }
}

fn code_short(id: &str) -> Markup {
    let short: String = id.chars().take(16).collect();
    html! { code { (shown(&short)) } }
}

fn facts(view: &View<'_>, approval: &Value) -> Markup {
    let user = text(approval, "user");
    html! {
        dl.facts {
            dt { "Tool" } dd { (page::code(text(approval, "tool"))) }
            dt { "Agent" } dd { (shown(text(approval, "agent"))) span.hint { "owned by " (shown(text(approval, "owner"))) } }
            @if !user.is_empty() { dt { "For" } dd { (shown(user)) } }
            dt { "Space" } dd { (shown(text(approval, "space"))) }
            dt { "Class, risk" } dd { (badge(text(approval, "class"))) " " (badge(text(approval, "risk"))) @for category in texts(approval, "categories") { " " (badge(category)) } }
            dt { "Asked" } dd { (time(number(approval, "asked_at_secs"))) }
            dt { "Expires" } dd { (time(number(approval, "expires_at_secs"))) span.hint { "in " (span(number(approval, "expires_at_secs").saturating_sub(view.now_secs))) } }
        }
    }
}

/// Where the values of a call come from, the worst first, and what its session had read before.
pub(super) fn origins(told: &Value, values: &[Value], arguments: &Value) -> Markup {
    let rank = |value: &&Value| match text(value, "provenance") {
        "untrusted" => 0,
        "nowhere" => 1,
        "named" => 2,
        _ => 3,
    };
    let mut values: Vec<&Value> = values.iter().collect();
    values.sort_by_key(rank);
    html! {
        h3 { "Where the values come from" }
        @if let Some(labels) = told.get("labels") { p.hint {
            "The session had read what is " (badge(text(labels, "integrity"))) " and " (badge(text(labels, "confidentiality"))) " before. "
            @if told.get("requested") != Some(&Value::Bool(true)) { "The user's request names nothing that this call does." }
        } }
        @if !values.is_empty() {
            table {
                thead { tr { th scope="col" { "Value" } th scope="col" { "Role" } th scope="col" { "From" } } }
                tbody { @for value in values {
                    @let pointer = text(value, "pointer");
                    tr {
                        th scope="row" {
                            (page::code(pointer))
                            @if let Some(found) = arguments.pointer(pointer) { span.hint { (shown(&summary(found))) } }
                        }
                        td { (shown(text(value, "role"))) }
                        td {
                            (badge(text(value, "provenance")))
                            @let source = text(value, "source");
                            @if !source.is_empty() { span.hint { (shown(source)) } }
                        }
                    }
                } }
            }
        }
    }
}

fn led_to(approval: &Value) -> Markup {
    let steps = list(approval, "led_to");
    html! {
        @if !steps.is_empty() {
            h3 { "What led to it" }
            table {
                thead { tr { th scope="col" { "When" } th scope="col" { "Tool" } th scope="col" { "Verdict" } } }
                tbody { @for step in steps {
                    tr {
                        td { (time(number(step, "at_ms") / 1000)) }
                        td { a href={ "/console/decisions/" (text(step, "decision")) } { (shown(text(step, "tool"))) } } td { (badge(text(step, "verdict"))) }
                    }
                } }
            }
        }
    }
}

fn rules(approval: &Value) -> Markup {
    html! {
        ul.waits { @for rule in list(approval, "rules") {
            li {
                strong { (shown(text(rule, "id"))) } ": " (number(rule, "approvals_got")) " of " (number(rule, "approvals_needed"))
                @let approvers = texts(rule, "approvers");
                @if approvers.is_empty() { p.hint { "Anybody whose role may decide." } }
                @else { p.hint { @for (n, who) in approvers.iter().enumerate() { @if n > 0 { ", " } (shown(who)) } } }
                @if let Some(asked) = authentication(rule) { p.hint { (shown(&asked)) } }
                @let at = text(rule, "at");
                @if !at.is_empty() { p.hint { (super::decisions::place(at)) } }
            }
        } }
    }
}

/// How whoever agrees must have proved who they are, in words.
fn authentication(rule: &Value) -> Option<String> {
    let asked = rule.get("authentication")?;
    let acr = texts(asked, "acr");
    let age = asked.get("age_secs_max").and_then(Value::as_u64);
    let mut words = Vec::new();
    if super::text::is(asked, "proven") {
        words.push("only after a sign-in, or with a key".to_owned());
    }
    if !acr.is_empty() {
        words.push(format!("authenticated as strongly as {}", acr.join(" or ")));
    }
    words.extend(age.map(|secs| format!("within the last {}", span(secs))));
    (!words.is_empty()).then(|| words.join(", "))
}

fn history(approval: &Value) -> Markup {
    let votes = list(approval, "votes");
    let grant = approval.get("grant").filter(|grant| grant.is_object());
    let ended = approval.get("ended").filter(|ended| ended.is_object());
    html! {
        @if !votes.is_empty() || ended.is_some() { h3 { "History" } }
        ul.waits {
            @for vote in votes {
                li { (badge(text(vote, "verdict"))) " " (shown(text(vote, "by"))) @if super::text::is(vote, "break_glass") { " " (badge("break-glass")) } " " span.hint { (shown(text(vote, "proof"))) " · " (time(number(vote, "at_secs"))) } @if !text(vote, "reason").is_empty() { br; (shown(text(vote, "reason"))) } }
            }
            @if let Some(grant) = grant {
                li { "Granted until " (time(number(grant, "until_secs"))) @if super::text::is(grant, "single_use") { ", for one call" } @if let Some(pins) = grant.get("pins").filter(|pins| !pins.is_null()) { (literal(pins)) } }
            }
            @if let Some(ended) = ended { li { "Ended by " (shown(text(ended, "by"))) ", " (time(number(ended, "at_secs"))) ": " (shown(text(ended, "reason"))) } }
            @for used in texts(approval, "redeemed_by") { li { "Used by decision " a href={ "/console/decisions/" (used) } { (code_short(used)) } } }
        }
    }
}

fn decision_form(view: &View<'_>, id: &str, arguments: &Value, pending: bool) -> Markup {
    let fields: Vec<(&String, &Value)> =
        arguments.as_object().into_iter().flatten().filter(|(_, value)| !value.is_object() && !value.is_array()).collect();
    html! {
        section.card aria-labelledby="decide" {
            h2 id="decide" { "Decide" }
            @if pending {
                form #approve method="post" action={ "/console/approvals/" (id) "/approve" } {
                    (view.csrf())
                    label for="approve-reason" { "Reason" }
                    textarea id="approve-reason" name="reason" rows="2" maxlength="1000" {}
                    fieldset {
                        legend { "For" }
                        label.check { input type="radio" name="for" value="call" checked; " this one call" }
                        label.check { input type="radio" name="for" value="time"; " all such calls for " input.short type="number" name="ttl_minutes" aria-label="Minutes" min="1" max="240" value="15"; " minutes" }
                    }
                    @if !fields.is_empty() {
                        details {
                            summary { "Narrow: only with these arguments" }
                            @for (name, value) in fields.iter().take(NARROWED_MAX) {
                                label.check { input type="checkbox" name={ "pin:" (name) } value="yes"; " " code { (shown(name)) } " = " code { (shown(&value.to_string())) } }
                            }
                        }
                    }
                    button.good type="submit" data-key="a" { "Approve " kbd { "a" } }
                }
                form #reject method="post" action={ "/console/approvals/" (id) "/reject" } {
                    (view.csrf())
                    label for="reject-reason" { "Reason to reject" }
                    textarea id="reject-reason" name="reason" rows="2" maxlength="1000" required {}
                    button.bad type="submit" data-key="r" { "Reject " kbd { "r" } }
                }
                details {
                    summary { "In an emergency" }
                    form #break-glass method="post" action={ "/console/approvals/" (id) "/approve" } {
                        (view.csrf())
                        input type="hidden" name="break_glass" value="yes";
                        p.hint { "Two people who have proved who they are break the glass together, whoever the rules name. It raises an alarm, and somebody else must review it." }
                        label for="glass-reason" { "What the emergency is" }
                        textarea id="glass-reason" name="reason" rows="2" maxlength="1000" required {}
                        button.bad type="submit" { "Break the glass" }
                    }
                }
            } @else {
                form method="post" action={ "/console/approvals/" (id) "/revoke" } {
                    (view.csrf())
                    label for="revoke-reason" { "Reason to take it back" }
                    textarea id="revoke-reason" name="reason" rows="2" maxlength="1000" required {}
                    button.bad type="submit" { "Take back" }
                }
            }
        }
    }
}

/// What an emergency was, said afterwards by somebody else.
fn review_form(view: &View<'_>, id: &str) -> Markup {
    html! {
        section.card aria-labelledby="review" {
            h2 id="review" { "This was an emergency" }
            form method="post" action={ "/console/approvals/" (id) "/review" } {
                (view.csrf())
                label for="review-reason" { "What you found" }
                textarea id="review-reason" name="reason" rows="2" maxlength="1000" required {}
                button.good type="submit" { "Reviewed" }
            }
        }
    }
}

/// Decides, with the endpoint that programs use.
pub(super) async fn decide(view: &View<'_>, id: &str, verb: &str) -> Response<Reply> {
    let mut request = json!({"id": id, "reason": given(view.field("reason"))});
    if verb == "approve" {
        let for_a_time = view.field("for") == "time";
        let secs = view.field("ttl_minutes").parse::<u64>().ok().map(|minutes| minutes.saturating_mul(60));
        let pins = match pinned(view, id).await {
            Ok(pins) => pins,
            Err(failed) => return page::failed(view, SECTION, "Approval", &failed),
        };
        if let Some(fields) = request.as_object_mut() {
            if for_a_time {
                fields.insert("ttl_secs".to_owned(), secs.into());
            } else {
                fields.insert("single_use".to_owned(), true.into());
            }
            if !pins.is_empty() {
                fields.insert("pins".to_owned(), pins.into());
            }
            if view.field("break_glass") == "yes" {
                fields.insert("break_glass".to_owned(), true.into());
            }
        }
    }
    let (path, done) = match verb {
        "approve" => ("/v1/approvals/{id}/approve", "approved"),
        "reject" => ("/v1/approvals/{id}/reject", "rejected"),
        "review" => ("/v1/approvals/{id}/review", "reviewed"),
        _ => ("/v1/approvals/{id}/revoke", "revoked"),
    };
    match view.ask(path, request).await {
        Ok(after) => {
            let waits = verb == "approve" && text(&after, "state") == "PENDING";
            page::redirect(&format!("/console/approvals/{id}?done={}", if waits { "agreed" } else { done }), &[])
        }
        Err(failed) => match view.ask("/v1/approvals/{id}", json!({"id": id})).await {
            // What was asked for is still there: say why not, beside it.
            Ok(approval) => shown_whole(view, id, &approval, Some(failed.detail())),
            Err(_) => page::failed(view, SECTION, "Approval", &failed),
        },
    }
}

/// The arguments that a form pins, each with the value that the call has.
async fn pinned(view: &View<'_>, id: &str) -> Result<Map<String, Value>, crate::endpoints::Failed> {
    let names: Vec<&str> = view.fields.keys().filter_map(|key| key.strip_prefix("pin:")).collect();
    if names.is_empty() {
        return Ok(Map::new());
    }
    let approval = view.ask("/v1/approvals/{id}", json!({"id": id})).await?;
    let arguments = approval.get("arguments").and_then(Value::as_object);
    let pin = |name: &&str| {
        let value = arguments?.get(*name)?;
        // A JSON Pointer (RFC 6901).
        Some((format!("/{}", name.replace('~', "~0").replace('/', "~1")), value.clone()))
    };
    Ok(names.iter().filter_map(pin).collect())
}
