//! The organization: the tree with what is attached and inherited, and for a space the policies that reach it.

use http::Response;
use maud::{Markup, html};
use serde_json::{Value, json};

use super::View;
use super::page::{self, badge, code, nothing};
use super::text::{is, list, literal, number, shown, text, texts};
use crate::reply::Reply;

const SECTION: &str = "/console/organization";
/// The deepest tree that is drawn: AWS Organizations has five levels of units.
const DEPTH_MAX: usize = 6;
/// The most accounts of one node that are drawn, and spaces of one account.
const CHILDREN_MAX: usize = 200;

/// The page.
pub(super) async fn page(view: &View<'_>) -> Response<Reply> {
    let tree = match view.ask("/v1/organization", json!({})).await {
        Ok(tree) => tree,
        Err(failed) => return page::failed(view, SECTION, "Organization", &failed),
    };
    let body = html! {
        p.hint { "What is attached to a node holds for everything below it: a call must be allowed at every level." }
        section.card aria-labelledby="tree" {
            h2 id="tree" { "Tree" }
            ul.tree {
                li {
                    div.node { strong { (shown(text(&tree, "name"))) } " " span.hint { (shown(text(&tree, "root"))) } (attached(tree.get("controls"))) }
                    (below(&tree, None, 0, &[]))
                }
            }
        }
        section.card aria-labelledby="roles" { h2 id="roles" { "Roles" } (roles(&tree)) }
    };
    page::page(view, SECTION, "Organization", &body)
}

fn attached(controls: Option<&Value>) -> Markup {
    let Some(controls) = controls else { return html! {} };
    let all = [("SCP", "service_control_policies", "FullAWSAccess"), ("RCP", "resource_control_policies", "RCPFullAWSAccess")];
    html! {
        @for (kind, key, default) in all {
            @for name in texts(controls, key).into_iter().filter(|name| *name != default) {
                span.policy title=(if kind == "SCP" { "service control policy" } else { "resource control policy" }) { (kind) " " (shown(name)) }
            }
            @if texts(controls, key).is_empty() { span.policy.bad { (kind) ": nothing is let through" } }
        }
    }
}

/// What is attached above a node: it holds there, too.
fn inherited(above: &[&str]) -> Markup {
    html! {
        @for name in above { span.policy.inherited title="inherited" { span.away { "inherits " } (shown(name)) } }
    }
}

/// The control policies of a node, without those that are attached everywhere.
fn own(node: &Value) -> Vec<&str> {
    let Some(controls) = node.get("controls") else { return Vec::new() };
    let all = [("service_control_policies", "FullAWSAccess"), ("resource_control_policies", "RCPFullAWSAccess")];
    all.into_iter().flat_map(|(key, default)| texts(controls, key).into_iter().filter(move |name| *name != default)).collect()
}

/// What is below a unit, or below the root. `above` is attached to what is above that.
fn below(tree: &Value, unit: Option<&str>, depth: usize, above: &[&str]) -> Markup {
    let of = |value: &Value, key: &str| value.get(key).and_then(Value::as_str).map(str::to_owned);
    let units: Vec<&Value> = list(tree, "units").iter().filter(|one| of(one, "parent").as_deref() == unit).collect();
    let accounts: Vec<&Value> = list(tree, "accounts").iter().filter(|one| of(one, "unit").as_deref() == unit).collect();
    let here = match unit {
        None => own(tree),
        Some(id) => list(tree, "units").iter().find(|one| text(one, "id") == id).map(own).unwrap_or_default(),
    };
    let above: Vec<&str> = above.iter().copied().chain(here).collect();
    if depth > DEPTH_MAX || (units.is_empty() && accounts.is_empty()) {
        return html! {};
    }
    html! {
        ul {
            @for one in &units {
                li {
                    div.node.unit { span.kind { "unit" } " " strong { (shown(text(one, "name"))) } " " span.hint { (shown(text(one, "id"))) } (attached(one.get("controls"))) }
                    (below(tree, Some(text(one, "id")), depth + 1, &above))
                }
            }
            @for one in accounts.iter().take(CHILDREN_MAX) {
                li {
                    div.node.account {
                        span.kind { "account" } " " strong { (shown(text(one, "name"))) } " " span.hint { (text(one, "id")) }
                        @if is(one, "management") { span.policy { "management account: no SCP applies" } } @else { (inherited(&above)) }
                        (attached(one.get("controls")))
                        @let boundary = text(one, "permissions_boundary");
                        @if !boundary.is_empty() { span.policy { "boundary " (shown(boundary)) } }
                    }
                    (spaces(tree, text(one, "id")))
                }
            }
            @if accounts.len() > CHILDREN_MAX { li { (accounts.len() - CHILDREN_MAX) " accounts more" } }
        }
    }
}

fn spaces(tree: &Value, account: &str) -> Markup {
    let own: Vec<&Value> = list(tree, "spaces").iter().filter(|space| text(space, "account") == account).collect();
    html! {
        @if !own.is_empty() {
            ul {
                @for space in own.iter().take(CHILDREN_MAX) {
                    li { div.node.space {
                        span.kind { "space" } " " a href={ "/console/spaces/" (text(space, "id")) } { strong { (shown(text(space, "id"))) } }
                        " " span.hint { (texts(space, "agents").len()) " agents, " (number(space, "tools")) " tools, at most " (text(space, "mandate").replace('_', " ").to_lowercase()) }
                    } }
                }
            }
        }
    }
}

fn roles(tree: &Value) -> Markup {
    let roles = list(tree, "roles");
    if roles.is_empty() {
        return nothing("There are no roles.", "Roles say who may act as what: add some under roles.");
    }
    html! {
        table {
            thead { tr { th scope="col" { "Role" } th scope="col" { "Account" } th scope="col" { "Policies" } th scope="col" { "Boundary" } } }
            tbody { @for role in roles.iter().take(CHILDREN_MAX) {
                tr {
                    th scope="row" { (shown(text(role, "name"))) span.hint { (shown(text(role, "description"))) } }
                    td { (text(role, "account")) }
                    td { @for name in texts(role, "policies") { span.policy { (shown(name)) } } }
                    td { (shown(text(role, "permissions_boundary"))) }
                }
            } }
        }
    }
}

/// One space: who meets what there, and which policies reach it.
pub(super) async fn space(view: &View<'_>, id: &str) -> Response<Reply> {
    let policies = match view.ask("/v1/effective", json!({"space": id})).await {
        Ok(policies) => policies,
        Err(failed) => return page::failed(view, SECTION, id, &failed),
    };
    let matrix = super::access::matrix(view, id).await;
    let body = html! {
        p.crumbs { a href=(SECTION) { "Organization" } " / " (shown(&path(&policies))) }
        p { (code(text(&policies, "arn"))) }
        section.card aria-labelledby="matrix" { h2 id="matrix" { "Who can call what" } (matrix) }
        section.card aria-labelledby="policies" {
            h2 id="policies" { "Policies that reach it, from the root down" }
            @for policy in list(&policies, "policies") { (reaching(policy)) }
            @if list(&policies, "policies").is_empty() { (nothing("No policy of IAM reaches it.", "Its tool policies and its policy set decide alone.")) }
        }
        @if view.may("remit:Suspend") { (super::agents::switch(view, "space", id, "", &format!("space {id}"))) }
    };
    page::page(view, SECTION, id, &body)
}

fn path(policies: &Value) -> String {
    match policies.get("path") {
        Some(Value::String(path)) => path.clone(),
        Some(Value::Array(parts)) => parts.iter().filter_map(Value::as_str).collect::<Vec<_>>().join(" / "),
        _ => String::new(),
    }
}

fn reaching(policy: &Value) -> Markup {
    let document = policy.get("document").and_then(Value::as_str).and_then(|text| serde_json::from_str::<Value>(text).ok());
    html! {
        details.policy-text {
            summary { (badge(text(policy, "type"))) " " strong { (shown(text(policy, "policy"))) } " " span.hint { "at " (shown(text(policy, "attached_to"))) } }
            table {
                thead { tr { th scope="col" { "Statement" } th scope="col" { "Effect" } th scope="col" { "Where" } } }
                tbody { @for statement in list(policy, "statements") {
                    tr { td { (shown(text(statement, "sid"))) } td { (badge(&text(statement, "effect").to_uppercase())) } td { (shown(text(statement, "origin"))) } }
                } }
            }
            @if let Some(document) = document { (literal(&document)) }
        }
    }
}
