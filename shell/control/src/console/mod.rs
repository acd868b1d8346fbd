//! The console: pages for people who operate Remit, made on the server, over the same endpoints that programs use.
//!
//! - [`session`]: sessions, links, who a browser is; [`enter`]: signing in and out, and taking a role;
//! - [`page`]: the frame of every page; [`text`]: strangers' text as text; [`chart`]: pictures; [`events`]: what pages hear of;
//! - `overview`, `approvals`, `decisions`, `organization`, `access`, `agents`, `agent`, `servers`, `policies`, `explain`, `journal`: the pages.
//!
//! A page shows and does what its person's role allows: everything goes through [`Operator::perform`].

mod access;
mod agent;
mod agents;
mod approvals;
mod assets;
mod chart;
mod decisions;
mod enter;
mod events;
mod explain;
mod journal;
mod link;
mod organization;
mod overview;
mod page;
mod policies;
mod servers;
mod session;
mod text;

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;
use http::header::CONTENT_TYPE;
use http::request::Parts;
use http::{Method, Response, StatusCode};
use maud::{Markup, html};
use remit_identity::form;
use remit_kernel::operate::organization_arn;
use remit_kernel::{Origin, Snapshot};
use serde_json::{Value, json};

use crate::edge::Edge;
use crate::endpoints::{self, Failed};
use crate::operator::{Operator, problem};
use crate::reply::Reply;

pub use link::ANSWER_PATH;
pub(crate) use session::{Console, Found, LINK_SECS};

/// The largest form of a page, in bytes.
const FORM_BYTES_MAX: usize = 256 * 1024;
/// How many rows a page has.
const ROWS: u64 = 50;
/// The most approvals that are counted for the menu.
const COUNTED_MAX: u64 = 100;

/// Whether a path is the console's.
pub(crate) fn is_console(path: &str) -> bool {
    path == "/" || path == "/console" || path.starts_with("/console/")
}

/// One request of somebody who has a session.
pub(super) struct View<'a> {
    pub(super) operator: &'a Operator,
    pub(super) found: &'a Found,
    pub(super) snapshot: Arc<Snapshot>,
    pub(super) now_secs: u64,
    /// The query's parameters; of a form its fields.
    pub(super) fields: BTreeMap<String, String>,
    /// How many approvals wait, as the menu says.
    waiting: String,
}

impl View<'_> {
    /// Asks an endpoint of the table, as the person.
    pub(super) async fn ask(&self, path: &str, request: Value) -> Result<Value, Failed> {
        let endpoint = endpoints::named(path).ok_or_else(|| Failed::new(StatusCode::NOT_FOUND, "no such endpoint"))?;
        self.operator.perform(&self.found.caller, endpoint, request).await.map(|(_, said)| said)
    }

    /// Whether the person's role allows an action on the organization: for what a page offers, never for what it does.
    pub(super) fn may(&self, action: &str) -> bool {
        let resource = organization_arn(&self.snapshot.organization);
        self.found.caller.may(&self.snapshot, action, &resource, self.now_secs).allowed
    }

    /// A parameter or a field.
    pub(super) fn field(&self, name: &str) -> &str {
        self.fields.get(name).map(|text| text.trim()).unwrap_or_default()
    }

    /// What a form of this session carries.
    pub(super) fn csrf(&self) -> Markup {
        html! { input type="hidden" name="csrf" value=(self.found.csrf); }
    }

    pub(super) fn waiting(&self) -> &str {
        &self.waiting
    }

    /// What was done before this page, in words that stand here.
    pub(super) fn said(&self) -> Option<&'static str> {
        Some(match self.fields.get("done").map(String::as_str)? {
            "approved" => "Approved.",
            "agreed" => "Your approval counts. Others have to agree as well.",
            "rejected" => "Rejected.",
            "revoked" => "Taken back.",
            "reviewed" => "Reviewed.",
            "suspended" => "Suspended. It is in effect.",
            "resumed" => "It goes on.",
            "status" => "It is on record, and in effect.",
            "accepted" => "Accepted. The tools can be called again.",
            "applied" => "Applied. The new version is in effect.",
            "withdrawn" => "The plan was withdrawn.",
            "promoted" => "Signed. The new tier is in effect.",
            "recorded" => "Recorded.",
            "entered" => "You are signed in.",
            _ => return None,
        })
    }
}

/// Answers a request of a browser.
pub(crate) async fn answer(operator: &Operator, parts: &Parts, body: &Bytes, origin: &Origin) -> Response<Reply> {
    let response = answered(operator, parts, body, origin).await;
    page::guarded(response, operator.console.secure)
}

async fn answered(operator: &Operator, parts: &Parts, body: &Bytes, origin: &Origin) -> Response<Reply> {
    let path = parts.uri.path();
    if let Some(asset) = assets::answer(path).filter(|_| parts.method == Method::GET) {
        return asset;
    }
    // A page of ours is asked for by a person, by a link, or by our own script; a form comes from our own pages alone.
    let posted = parts.method == Method::POST;
    if posted && (!operator.edge.is_own(&parts.headers) || Edge::is_foreign(&parts.headers)) {
        return problem(StatusCode::FORBIDDEN, "the form comes from another page");
    }
    let fields = match fields(parts, body) {
        Ok(fields) => fields,
        Err(why) => return problem(StatusCode::BAD_REQUEST, why),
    };
    if let Some(response) = enter::answer(operator, parts, &fields, origin).await {
        return response;
    }
    let Some(found) = operator.console.caller(operator, &parts.headers, origin) else {
        return if path == "/console/events" {
            problem(StatusCode::UNAUTHORIZED, "the session has ended")
        } else {
            page::redirect("/console/sign-in", &[])
        };
    };
    if posted && !fields.get("csrf").is_some_and(|shown| found.csrf_is(shown.as_bytes())) {
        return problem(StatusCode::FORBIDDEN, "the form is of another session: open the page again");
    }
    if path == "/console/events" && parts.method == Method::GET {
        return events::stream(operator).await;
    }
    let snapshot = operator.plane.snapshot();
    let now_secs = (operator.now_secs)();
    let mut view = View { operator, found: &found, snapshot, now_secs, fields, waiting: String::new() };
    if view.may("remit:ListApprovals") {
        view.waiting = approvals::waiting(&view).await;
    }
    if let Some(response) = enter::within(&view, parts).await {
        return response;
    }
    if posted { did(&view, path).await } else { shown(&view, &parts.method, path).await }
}

/// The parameters of a query, or the fields of a form.
fn fields(parts: &Parts, body: &Bytes) -> Result<BTreeMap<String, String>, &'static str> {
    let text = match parts.method {
        Method::GET => parts.uri.query().unwrap_or_default().as_bytes(),
        Method::POST => {
            let kind = parts.headers.get(CONTENT_TYPE).and_then(|kind| kind.to_str().ok()).unwrap_or_default();
            if !kind.split(';').next().unwrap_or_default().trim().eq_ignore_ascii_case("application/x-www-form-urlencoded") {
                return Err("a form is application/x-www-form-urlencoded");
            }
            if body.len() > FORM_BYTES_MAX {
                return Err("the form is too large");
            }
            body
        }
        _ => return Err("pages are asked for with GET, forms sent with POST"),
    };
    form::parse(text).map_err(|_| "the parameters are malformed")
}

/// The page at a path.
async fn shown(view: &View<'_>, method: &Method, path: &str) -> Response<Reply> {
    if *method != Method::GET {
        return problem(StatusCode::METHOD_NOT_ALLOWED, "pages are asked for with GET");
    }
    let parts: Vec<&str> = path.trim_start_matches('/').split('/').collect();
    match parts.as_slice() {
        [""] | ["console", ""] => page::redirect("/console", &[]),
        ["console"] => overview::page(view).await,
        ["console", "overview", "waiting"] => overview::waiting(view).await,
        ["console", "approvals"] => approvals::page(view).await,
        ["console", "approvals", "queue"] => approvals::queue(view).await,
        ["console", "approvals", "count"] => page::part(&html! { (view.waiting()) }),
        ["console", "approvals", id] => approvals::one(view, id).await,
        ["console", "decisions"] => decisions::page(view).await,
        ["console", "decisions", "rows"] => decisions::rows_alone(view).await,
        ["console", "decisions", id] => decisions::one(view, id).await,
        ["console", "organization"] => organization::page(view).await,
        ["console", "spaces", id] => organization::space(view, id).await,
        ["console", "access"] => access::page(view).await,
        ["console", "agents"] => agents::page(view).await,
        ["console", "agents", id] => agent::page(view, id).await,
        ["console", "servers"] => servers::page(view).await,
        ["console", "servers", account, name] => servers::one(view, &format!("{account}/{name}")).await,
        ["console", "policies"] => policies::page(view).await,
        ["console", "policies", "versions", number] => policies::version(view, number).await,
        ["console", "policies", "plans", digest] => policies::plan(view, digest).await,
        ["console", "policies", "text"] => policies::source(view).await,
        ["console", "explain"] => explain::page(view).await,
        ["console", "journal"] => journal::page(view).await,
        _ => page::failed(view, "", "Not found", &Failed::new(StatusCode::NOT_FOUND, "There is no such page.")),
    }
}

/// What a form does.
async fn did(view: &View<'_>, path: &str) -> Response<Reply> {
    let parts: Vec<&str> = path.trim_start_matches('/').split('/').collect();
    match parts.as_slice() {
        ["console", "approvals", id, verb @ ("approve" | "reject" | "revoke" | "review")] => {
            approvals::decide(view, id, verb).await
        }
        ["console", "agents", id, verb @ ("promote" | "incident")] => agent::act(view, id, verb).await,
        ["console", "journal", verb @ ("hold" | "release")] => journal::act(view, verb).await,
        ["console", "suspend"] => agents::suspend(view).await,
        ["console", "server-status"] => servers::change_status(view).await,
        ["console", "accept"] => servers::accept(view).await,
        ["console", "policies", "plans", digest, verb @ ("apply" | "withdraw")] => policies::act(view, digest, verb).await,
        _ => page::failed(view, "", "Not found", &Failed::new(StatusCode::NOT_FOUND, "There is no such form.")),
    }
}

/// A form's field, as an endpoint's question has it: nothing where nothing was written.
fn given(text: &str) -> Value {
    if text.is_empty() { Value::Null } else { json!(text) }
}
