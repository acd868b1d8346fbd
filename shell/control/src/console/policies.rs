//! The configuration: its versions, what they changed, plans that wait and who must agree, and the texts that statements stand in.

use http::Response;
use maud::{Markup, html};
use serde_json::{Value, json};

use super::View;
use super::page::{self, badge, nothing, time};
use super::text::{is, list, number, shown, text, texts};
use crate::endpoints::Failed;
use crate::reply::Reply;

const SECTION: &str = "/console/policies";
/// How many versions a page has.
const VERSIONS: u64 = 40;
/// The most lines of a list.
const LINES_MAX: usize = 200;
/// The longest texts that are compared line by line.
const COMPARED_LINES_MAX: usize = 1_500;
/// How many lines stand around one that decided.
const AROUND: usize = 4;

/// The page.
pub(super) async fn page(view: &View<'_>) -> Response<Reply> {
    let before = view.field("before").parse::<u64>().ok();
    let found = match view.ask("/v1/configuration/history", json!({"count": VERSIONS, "before": before})).await {
        Ok(found) => found,
        Err(failed) => return page::failed(view, SECTION, "Policies", &failed),
    };
    let versions = list(&found, "versions");
    let plans = view.ask("/v1/configuration/plans", json!({})).await.unwrap_or_default();
    let oldest = versions.last().map(|version| number(version, "version"));
    let body = html! {
        section.card aria-labelledby="plans" {
            h2 id="plans" { "Plans that wait" }
            @if list(&plans, "plans").is_empty() { (nothing("No plan waits.", "With change_review, a plan waits here until its reviewers have signed it.")) }
            @else { ul.waits { @for plan in list(&plans, "plans") { (waiting(plan)) } } }
        }
        section.card aria-labelledby="versions" {
            h2 id="versions" { "Versions" }
            table.list {
                thead { tr { th scope="col" { "Version" } th scope="col" { "When" } th scope="col" { "By" } th scope="col" { "Why" } th scope="col" { "Agreed" } } }
                tbody { @for version in versions {
                    tr data-row {
                        th scope="row" { a href={ "/console/policies/versions/" (number(version, "version")) } { (number(version, "version")) } }
                        td { (time(number(version, "at_secs"))) }
                        td { (shown(text(version, "by"))) }
                        td { (shown(text(version, "reason"))) @if let Some(again) = version.get("again").and_then(Value::as_u64) { span.hint { "as version " (again) } } }
                        td { (shown(&texts(version, "reviewers").join(", "))) }
                    }
                } }
            }
            @if is(&found, "more") && let Some(oldest) = oldest { p.more { a rel="next" href={ "/console/policies?before=" (oldest) } { "Older" } } }
        }
    };
    page::page(view, SECTION, "Policies", &body)
}

fn waiting(plan: &Value) -> Markup {
    let review = plan.get("review").cloned().unwrap_or_default();
    html! {
        li {
            a href={ "/console/policies/plans/" (text(plan, "plan")) } { "Plan " (short(text(plan, "plan"))) }
            " by " (shown(text(plan, "by"))) ", " (time(number(plan, "at_secs"))) " "
            (badge(if is(&review, "approved") { "approved" } else { "waiting" }))
            br; (shown(text(plan, "reason")))
        }
    }
}

fn short(digest: &str) -> String {
    let digits = digest.rsplit(':').next().unwrap_or_default();
    digits.chars().take(12).collect()
}

/// What a version changed.
pub(super) async fn version(view: &View<'_>, number_said: &str) -> Response<Reply> {
    let Ok(to) = number_said.parse::<u64>() else {
        return page::failed(view, SECTION, "Version", &Failed::new(http::StatusCode::NOT_FOUND, "There is no such version."));
    };
    let from = view.field("from").parse::<u64>().unwrap_or_else(|_| to.saturating_sub(1));
    let title = format!("Version {to}");
    if from == 0 {
        let body = html! { p.crumbs { a href=(SECTION) { "Policies" } " / " (title) } (nothing("This is the first version.", "There is nothing before it to compare with.")) };
        return page::page(view, SECTION, &title, &body);
    }
    let told = match view.ask("/v1/configuration/diff", json!({"from": from, "to": to})).await {
        Ok(told) => told,
        Err(failed) => return page::failed(view, SECTION, &title, &failed),
    };
    let made = told.get("to").cloned().unwrap_or_default();
    let body = html! {
        p.crumbs { a href=(SECTION) { "Policies" } " / " (title) }
        p { "By " (shown(text(&made, "by"))) ", " (time(number(&made, "at_secs"))) ": " (shown(text(&made, "reason"))) span.hint { "compared with version " (from) } }
        (report(&told))
    };
    page::page(view, SECTION, &title, &body)
}

/// A plan that waits.
pub(super) async fn plan(view: &View<'_>, digest: &str) -> Response<Reply> {
    let told = match view.ask("/v1/configuration/plans", json!({"plan": digest})).await {
        Ok(told) => told,
        Err(failed) => return page::failed(view, SECTION, "Plan", &failed),
    };
    let plan = told.get("waiting").cloned().unwrap_or_default();
    let review = told.get("review").cloned().unwrap_or_default();
    let digest = text(&plan, "plan").to_owned();
    let title = format!("Plan {}", short(&digest));
    let body = html! {
        p.crumbs { a href=(SECTION) { "Policies" } " / " (title) }
        p { "By " (shown(text(&plan, "by"))) ", " (time(number(&plan, "at_secs"))) ": " (shown(text(&plan, "reason"))) }
        section.card aria-labelledby="review" {
            h2 id="review" { "Review " (badge(if is(&review, "approved") { "approved" } else { "waiting" })) }
            p { (number(&review, "needed")) " must approve." @if !texts(&review, "missing").is_empty() { " Nothing was said by " (shown(&texts(&review, "missing").join(", "))) "." } }
            ul.waits { @for one in list(&review, "reviews") { li { (badge(&text(one, "answer").to_uppercase())) " " (shown(text(one, "reviewer"))) ": " (shown(text(one, "comment"))) } } }
            p.hint { "A review is a signature with the reviewer's own key, which no browser has: " code { "remit review " (short(&digest)) " --approve" } }
            div.row {
                @if is(&review, "approved") && view.may("remit:ApplyChange") {
                    form method="post" action={ "/console/policies/plans/" (digest) "/apply" } { (view.csrf()) button.good type="submit" { "Apply" } }
                }
                @if view.may("remit:WithdrawChange") {
                    form method="post" action={ "/console/policies/plans/" (digest) "/withdraw" } { (view.csrf()) button type="submit" { "Withdraw" } }
                }
            }
        }
        (report(&told))
    };
    page::page(view, SECTION, &title, &body)
}

/// Applies or withdraws a plan, with the endpoints that programs use.
pub(super) async fn act(view: &View<'_>, digest: &str, verb: &str) -> Response<Reply> {
    let (path, done) = match verb {
        "apply" => ("/v1/configuration/apply", "applied"),
        _ => ("/v1/configuration/withdraw", "withdrawn"),
    };
    match view.ask(path, json!({"plan": digest})).await {
        Ok(_) => page::redirect(&format!("{SECTION}?done={done}"), &[]),
        Err(failed) => page::failed(view, SECTION, "Plan", &failed),
    }
}

/// What a change makes of what was before.
fn report(told: &Value) -> Markup {
    html! {
        @if is(told, "reviewers_change") { div.notice.bad { p { "This changes who has to agree to changes." } } }
        @if is(told, "operators_change") { div.notice.bad { p { "This changes who signs people in to the console, or which roles they may take there." } } }
        div.columns {
            (calls(told, "grants", "Newly allowed", "good"))
            (calls(told, "denials", "Newly denied", "bad"))
        }
        section.card aria-labelledby="said" {
            h2 id="said" { "What is said differently" }
            @if list(told, "changes").is_empty() { (nothing("Nothing.", "The texts may differ in comments alone.")) }
            @for change in list(told, "changes").iter().take(LINES_MAX) {
                div.change {
                    p { (badge(text(change, "verb"))) " " strong { (shown(text(change, "noun"))) " " (shown(text(change, "name"))) } " " span.hint { (shown(text(change, "at"))) } }
                    @for field in list(change, "fields").iter().take(LINES_MAX) {
                        div.field { span.name { (shown(text(field, "field"))) }
                            @for gone in texts(field, "before") { del { (shown(gone)) } }
                            @for new in texts(field, "after") { ins { (shown(new)) } }
                        }
                    }
                }
            }
        }
    }
}

fn calls(told: &Value, key: &str, title: &str, kind: &str) -> Markup {
    let (found, count) = (list(told, key), number(told, &format!("{key}_count")));
    html! {
        section.card aria-labelledby=(key) {
            h2 id=(key) { (title) " " span class={ "badge " (kind) } { (count) } }
            @if found.is_empty() { p.hint { "Nothing." } }
            ul.waits { @for one in found.iter().take(LINES_MAX) {
                li {
                    strong { (shown(text(one, "agent"))) } " in " (shown(text(one, "space"))) ": " (shown(text(one, "target")))
                    @for because in list(one, "because") { br; span.hint { "by " (shown(text(because, "statement"))) " " (shown(text(because, "at"))) } }
                }
            } }
        }
    }
}

/// The text of a file of the version in effect.
pub(super) async fn source(view: &View<'_>) -> Response<Reply> {
    let path = view.field("path");
    let line = view.field("line").parse::<usize>().ok();
    let found = match view.ask("/v1/configuration/files", json!({"path": path})).await {
        Ok(found) => found,
        Err(failed) => return page::failed(view, SECTION, path, &failed),
    };
    let body = html! {
        p.crumbs { a href=(SECTION) { "Policies" } " / version " (number(&found, "version")) " / " (shown(path)) }
        (numbered(text(&found, "text"), 1, line))
    };
    page::page(view, SECTION, path, &body)
}

fn numbered(source: &str, first: usize, marked: Option<usize>) -> Markup {
    html! {
        div.scroll tabindex="0" role="region" aria-label="Text" {
            ol.source start=(first) {
                @for (n, line) in (first..).zip(source.lines()) {
                    li id={ "line-" (n) } class=[(marked == Some(n)).then_some("marked")] value=(n) { code { (shown(line)) } }
                }
            }
        }
    }
}

/// The lines around a statement that decided, where its text is one of the configuration's.
pub(super) async fn excerpt(view: &View<'_>, origin: &str) -> Option<Markup> {
    let (path, line) = origin.rsplit_once(':')?;
    let line = line.parse::<usize>().ok().filter(|_| !origin.starts_with("arn:"))?;
    if !view.may("remit:GetConfiguration") {
        return None;
    }
    let found = view.ask("/v1/configuration/files", json!({"path": path})).await.ok()?;
    let first = line.saturating_sub(AROUND).max(1);
    let lines: Vec<&str> = text(&found, "text").lines().skip(first - 1).take(2 * AROUND + 1).collect();
    (!lines.is_empty()).then(|| numbered(&lines.join("\n"), first, Some(line)))
}

/// Two texts, line by line.
pub(super) fn differing(before: &str, after: &str) -> Markup {
    let (old, new): (Vec<&str>, Vec<&str>) = (before.lines().collect(), after.lines().collect());
    let lines = compared(&old, &new);
    html! {
        div.scroll tabindex="0" role="region" aria-label="Difference" {
            pre.diff { @for (mark, line) in lines {
                @match mark {
                    '-' => del { "- " (shown(line)) },
                    '+' => ins { "+ " (shown(line)) },
                    _ => span { "  " (shown(line)) },
                }
                "\n"
            } }
        }
    }
}

/// The shortest way from one text to another, in lines that stay, go and come; of texts that are too long the one and then the other.
fn compared<'a>(old: &[&'a str], new: &[&'a str]) -> Vec<(char, &'a str)> {
    let whole = || old.iter().map(|line| ('-', *line)).chain(new.iter().map(|line| ('+', *line))).collect();
    if old.len() > COMPARED_LINES_MAX || new.len() > COMPARED_LINES_MAX {
        return whole();
    }
    // The length of the longest common subsequence of what follows.
    let width = new.len() + 1;
    let mut common = vec![0_u16; (old.len() + 1) * width];
    let at = |common: &[u16], i: usize, j: usize| common.get(i * width + j).copied().unwrap_or_default();
    for (i, before) in old.iter().enumerate().rev() {
        for (j, after) in new.iter().enumerate().rev() {
            let longest =
                if before == after { at(&common, i + 1, j + 1) + 1 } else { at(&common, i + 1, j).max(at(&common, i, j + 1)) };
            if let Some(cell) = common.get_mut(i * width + j) {
                *cell = longest;
            }
        }
    }
    let (mut i, mut j, mut lines) = (0, 0, Vec::new());
    loop {
        match (old.get(i), new.get(j)) {
            (Some(before), Some(after)) if before == after => {
                lines.push((' ', *before));
                (i, j) = (i + 1, j + 1);
            }
            (Some(before), after) if after.is_none() || at(&common, i + 1, j) >= at(&common, i, j + 1) => {
                lines.push(('-', *before));
                i += 1;
            }
            (_, Some(after)) => {
                lines.push(('+', *after));
                j += 1;
            }
            _ => return lines,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::compared;

    #[test]
    fn lines_stay_go_and_come() {
        let told = |old: &[&str], new: &[&str]| -> String {
            compared(old, new).into_iter().map(|(mark, line)| format!("{mark}{line} ")).collect()
        };
        assert_eq!(told(&["a", "b", "c"], &["a", "x", "c"]), " a -b +x  c ");
        assert_eq!(told(&[], &["a"]), "+a ");
        assert_eq!(told(&["a"], &[]), "-a ");
        assert_eq!(told(&["a", "a"], &["a"]), " a -a ");
        let long = vec!["x"; 2_000];
        assert_eq!(compared(&long, &["y"]).len(), 2_001);
    }
}
