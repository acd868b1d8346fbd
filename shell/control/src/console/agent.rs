//! One agent: how far it is trusted and by which numbers, the promotion that waits for a signature, what harm it did.

use http::Response;
use maud::{Markup, html};
use serde_json::{Value, json};

use super::page::{self, badge, nothing, time};
use super::text::{is, list, number, shown, text, texts};
use super::{View, agents, given};
use crate::reply::Reply;

const SECTION: &str = "/console/agents";
/// How bad an incident can be.
const SEVERITIES: [&str; 4] = ["low", "medium", "high", "critical"];

/// The page of an agent.
pub(super) async fn page(view: &View<'_>, id: &str) -> Response<Reply> {
    whole(view, id, None).await
}

async fn whole(view: &View<'_>, id: &str, problem: Option<&str>) -> Response<Reply> {
    let organization = match view.ask("/v1/organization", json!({})).await {
        Ok(organization) => organization,
        Err(failed) => return page::failed(view, SECTION, "Agent", &failed),
    };
    let Some(agent) = list(&organization, "agents").iter().find(|agent| text(agent, "id") == id) else {
        let failed = super::Failed::new(http::StatusCode::NOT_FOUND, "There is no such agent.");
        return page::failed(view, SECTION, "Agent", &failed);
    };
    let status = view.ask("/v1/status", json!({})).await.unwrap_or_default();
    let stopped = is(agent, "suspended") || agents::suspended(&status).iter().any(|one| one.is("agents", id));
    // Without rules of trust nobody has a tier: that is no failure of the page.
    let trust = view.ask("/v1/trust/explain", json!({"agent": id})).await;
    let body = html! {
        p.crumbs { a href=(SECTION) { "Agents" } " / " (shown(id)) }
        @if let Some(problem) = problem { div.notice.bad role="alert" { p { (shown(problem)) } } }
        section.card aria-labelledby="who" {
            h2 id="who" { (badge(if stopped { "suspended" } else { "active" })) " " (shown(id)) }
            dl.facts {
                dt { "Owner" } dd { (shown(text(agent, "owner"))) }
                dt { "Account" } dd { (shown(text(agent, "account"))) }
                dt { "Spaces" } dd { @for space in texts(agent, "spaces") { a.policy href={ "/console/spaces/" (space) } { (shown(space)) } " " } }
                dt { "More" } dd {
                    a href={ "/console/access?" (remit_identity::form::write([("agent", id)])) } { "What it can call" } " · "
                    a href={ "/console/decisions?" (remit_identity::form::write([("agent", id)])) } { "Its decisions" }
                }
            }
        }
        section.card aria-labelledby="trust" {
            h2 id="trust" { "Trust" }
            @match &trust {
                Ok(told) if list(told, "agents").is_empty() => (nothing("It has done nothing yet.", "A tier is earned by category, from what the journal says.")),
                Ok(told) => @for standing in list(told, "agents") { (earned(view, id, standing)) },
                Err(failed) => p { (shown(failed.detail())) "." },
            }
        }
        @if view.may("remit:RecordIncident") { (incident(view, id)) }
        @if !stopped && view.may("remit:Suspend") { (agents::switch(view, "agent", id, "", id)) }
    };
    page::page(view, SECTION, id, &body)
}

/// How far it is trusted in one category.
fn earned(view: &View<'_>, id: &str, standing: &Value) -> Markup {
    let category = text(standing, "category");
    let since = number(standing, "since_secs");
    let next = standing.get("next").filter(|next| next.is_object());
    let demotion = standing.get("demotion").filter(|demotion| demotion.is_object());
    html! {
        h3 { (shown(if category == "*" { "every category" } else { category })) ": " (badge(text(standing, "tier"))) @if since > 0 { " " span.hint { "since " (time(since)) } } }
        @if let Some(demotion) = demotion { p { "It has fallen by:" } (numbers(demotion)) }
        @if let Some(next) = next {
            p { @if is(standing, "proposed") { "Proposed: " } @else { "The way to " } strong { (shown(text(next, "to"))) } }
            (numbers(next))
            @if is(standing, "proposed") && view.may("remit:PromoteAgent") {
                form.inline method="post" action={ "/console/agents/" (id) "/promote" } {
                    (view.csrf())
                    input type="hidden" name="category" value=(category);
                    input type="text" name="reason" aria-label={ "Reason to promote it in " (category) } placeholder="Reason" required maxlength="500";
                    button.good type="submit" { "Sign the promotion" }
                }
            }
        } @else { p.hint { "No rule leads up from here." } }
    }
}

/// What rules ask for and what there is, number by number.
fn numbers(step: &Value) -> Markup {
    html! {
        table {
            thead { tr { th scope="col" { "Rule" } th scope="col" { "Asks for" } th scope="col" { "There is" } th scope="col" { "Within" } th scope="col" { "Met" } } }
            tbody { @for number_of in list(step, "because") {
                @let days = number_of.get("days").and_then(Value::as_u64);
                tr {
                    th scope="row" { code { (shown(text(number_of, "rule"))) } }
                    td { (number(number_of, "wanted")) } td { (number(number_of, "had")) }
                    td { @if let Some(days) = days { (days) " days" } @else { "its time in the tier" } }
                    td { @if is(number_of, "met") { "yes" } @else { "no" } }
                }
            } }
        }
    }
}

fn incident(view: &View<'_>, id: &str) -> Markup {
    html! {
        section.card aria-labelledby="incident" {
            h2 id="incident" { "It did harm" }
            form.inline method="post" action={ "/console/agents/" (id) "/incident" } {
                (view.csrf())
                label for="severity" { "Severity" }
                select id="severity" name="severity" { @for severity in SEVERITIES { option { (severity) } } }
                label for="category" { "Category" }
                input id="category" name="category" maxlength="64" placeholder="all of them";
                label for="incident-reason" { "What happened" }
                input id="incident-reason" name="reason" required maxlength="500";
                button.bad type="submit" { "Record the incident" }
            }
            p.hint { "It goes on the agent's record; where a rule says so, the agent falls at once." }
        }
    }
}

/// Signs a promotion or records an incident, with the endpoint that programs use.
pub(super) async fn act(view: &View<'_>, id: &str, verb: &str) -> Response<Reply> {
    let mut request = json!({"agent": id, "category": given(view.field("category")), "reason": given(view.field("reason"))});
    let (path, done) = if verb == "promote" { ("/v1/trust/promote", "promoted") } else { ("/v1/incidents", "recorded") };
    if verb == "incident"
        && let Some(fields) = request.as_object_mut()
    {
        fields.insert("severity".to_owned(), given(view.field("severity")));
    }
    match view.ask(path, request).await {
        Ok(_) => page::redirect(&format!("{SECTION}/{id}?done={done}"), &[]),
        Err(failed) if failed.0 == http::StatusCode::FORBIDDEN => page::failed(view, SECTION, "Agent", &failed),
        Err(failed) => whole(view, id, Some(failed.detail())).await,
    }
}
