//! What if: one call decided, with every layer and the smallest changes that would let it pass. Nothing is called and nothing recorded.

use http::Response;
use maud::{Markup, html};
use serde_json::{Value, json};

use super::page::{self, badge, nothing};
use super::text::{list, shown, text};
use super::{View, given};
use crate::reply::Reply;

const SECTION: &str = "/console/explain";

/// The page.
pub(super) async fn page(view: &View<'_>) -> Response<Reply> {
    let (agent, tool) = (view.field("agent"), view.field("tool"));
    let answer = if agent.is_empty() || tool.is_empty() {
        nothing("Ask about a call.", "Nothing is called, and nothing is recorded.")
    } else {
        answered(view, agent, tool).await
    };
    let mut agents: Vec<&str> = view.snapshot.organization.agents.keys().map(remit_model::AgentId::as_str).take(500).collect();
    agents.sort_unstable();
    let mut tools: Vec<&str> =
        view.snapshot.spaces.values().flat_map(|space| &space.tools_listed).map(|tool| tool.exposed.as_str()).collect();
    tools.sort_unstable();
    tools.dedup();
    let body = html! {
        form.filters method="get" action=(SECTION) {
            div.broad { label for="agent" { "Agent" } input id="agent" name="agent" list="agents" value=(agent) required maxlength="255"; datalist id="agents" { @for agent in &agents { option value=(agent) {} } } }
            div.broad { label for="tool" { "Tool" } input id="tool" name="tool" list="tools" value=(tool) required maxlength="255"; datalist id="tools" { @for tool in tools.iter().take(1_000) { option value=(tool) {} } } }
            div { label for="space" { "Space" } input id="space" name="space" value=(view.field("space")) maxlength="63"; }
            div { label for="risk" { "Risk" } select id="risk" name="risk" { option value="" { "as registered" } @for risk in ["low", "medium", "high", "critical"] { option value=(risk) selected[view.field("risk") == risk] { (risk) } } } }
            div.wide { label for="arguments" { "Arguments, as JSON" } textarea id="arguments" name="arguments" rows="3" maxlength="65536" { (view.field("arguments")) } }
            div.do { button type="submit" { "Decide" } }
        }
        (answer)
    };
    page::page(view, SECTION, "What if", &body)
}

async fn answered(view: &View<'_>, agent: &str, tool: &str) -> Markup {
    let said = view.field("arguments");
    let arguments = match serde_json::from_str::<Value>(if said.is_empty() { "null" } else { said }) {
        Ok(arguments) => arguments,
        Err(error) => return html! { div.notice.bad role="alert" { p { "The arguments are not JSON: " (error) } } },
    };
    let question = json!({
        "agent": agent, "tool": tool, "space": given(view.field("space")), "risk": given(view.field("risk")), "arguments": arguments,
    });
    match view.ask("/v1/explain", question).await {
        Err(failed) => html! { div.notice.bad role="alert" { p { (shown(failed.detail())) } } },
        Ok(decision) => html! {
            div.columns.wide-left {
                section.card aria-labelledby="layers" { h2 id="layers" { (badge(text(&decision, "verdict"))) " Layers" } (super::decisions::ladder(view, list(&decision, "layers"), text(&decision, "verdict")).await) }
                section.card aria-labelledby="remedies" {
                    h2 id="remedies" { "What would allow it" }
                    @if list(&decision, "remedies").is_empty() { p.hint { @if text(&decision, "verdict") == "ALLOW" { "It is allowed." } @else { "Nothing that Remit knows of." } } }
                    ul.waits { @for remedy in list(&decision, "remedies") {
                        li { (shown(text(remedy, "change"))) br; span.hint { (shown(text(remedy, "at"))) " · by " (shown(text(remedy, "by"))) } }
                    } }
                }
            }
        },
    }
}
