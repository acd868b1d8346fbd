//! Signing in and out, and taking a role.

use std::collections::BTreeMap;

use http::request::Parts;
use http::{Method, Response, StatusCode};
use maud::{Markup, html};
use remit_kernel::Origin;
use remit_kernel::operate::{role_taken, roles_to_take};
use remit_model::{CONSOLE_SESSION_SECS_MAX, Person, Proof, RoleKey};
use serde_json::json;

use super::View;
use super::page::{outside, page, redirect, with_cookies};
use super::session::{Holder, SIGN_IN_SECS, cookie, digest, secret};
use super::text::shown;
use crate::operator::{Operator, SignedIn, problem};
use crate::reply::Reply;

/// Where a provider sends the browser back.
const CALLBACK: &str = "/console/sign-in/callback";

/// Answers what needs no session; `None` for everything else.
pub(super) async fn answer(
    operator: &Operator,
    parts: &Parts,
    fields: &BTreeMap<String, String>,
    origin: &Origin,
) -> Option<Response<Reply>> {
    Some(match (&parts.method, parts.uri.path()) {
        (&Method::GET, "/console/sign-in") => welcome(operator, StatusCode::OK, None),
        (&Method::GET, "/console/sign-in/start") => {
            start(operator, fields.get("again").is_some_and(|again| again == "yes")).await
        }
        (&Method::GET, CALLBACK) => came_back(operator, parts, origin).await,
        (&Method::GET, "/console/link") => outside(StatusCode::OK, "Open the console", &link_form(None)),
        (&Method::GET | &Method::POST, super::link::ANSWER_PATH) => super::link::answer(operator, parts, fields).await,
        (&Method::POST, "/console/link") => by_link(operator, parts, fields).await,
        _ => return None,
    })
}

/// Answers what only needs a session, whatever its role.
pub(super) async fn within(view: &View<'_>, parts: &Parts) -> Option<Response<Reply>> {
    match (&parts.method, parts.uri.path()) {
        (&Method::GET, "/console/roles") => Some(choose(view)),
        (&Method::POST, "/console/roles") => Some(take(view, parts).await),
        (&Method::POST, "/console/sign-out") => Some(sign_out(view, parts).await),
        // Whoever has taken no role has one thing to do.
        (&Method::GET, "/console" | "/") if matches!(view.found.holder.vouched, Some((_, None))) => Some(choose(view)),
        _ => None,
    }
}

fn welcome(operator: &Operator, status: StatusCode, problem: Option<&str>) -> Response<Reply> {
    let snapshot = operator.plane.snapshot();
    let sign_in = snapshot.organization.console.as_ref().and_then(|console| console.sign_in.as_ref());
    let body = html! {
        @if let Some(problem) = problem { div.notice.bad role="alert" { p { (shown(problem)) } } }
        @if let Some(sign_in) = sign_in {
            p { a.button href="/console/sign-in/start" { "Sign in with " (shown(sign_in.provider())) } }
            p.hint { "Your roles decide what you can see and do." }
        } @else {
            p { "Nobody signs people in here yet: the configuration has no " code { "console" } " with a " code { "sign_in" } "." }
        }
        p.hint { "On the machine itself, " code { "remit console" } " prints a link that opens the console as its administrator, once." }
    };
    outside(status, "Sign in", &body)
}

fn link_form(problem: Option<&str>) -> Markup {
    html! {
        @if let Some(problem) = problem { div.notice.bad role="alert" { p { (problem) } } }
        form method="post" action="/console/link" id="link" {
            label for="code" { "The code of the link: what follows " code { "#" } }
            input id="code" name="code" type="text" autocomplete="off" spellcheck="false" required;
            button type="submit" { "Open the console" }
        }
        p.hint { "A link is good once, within ten minutes. " code { "remit console" } " prints another one." }
    }
}

async fn by_link(operator: &Operator, parts: &Parts, fields: &BTreeMap<String, String>) -> Response<Reply> {
    let code = fields.get("code").map(|code| code.trim()).unwrap_or_default();
    let Some(by) = operator.console.link_used(code, (operator.now_secs)()) else {
        let body = link_form(Some("This link was used, is too old, or never was one."));
        return outside(StatusCode::FORBIDDEN, "Open the console", &body);
    };
    let holder = Holder { person: Person { id: by, proof: Proof::Token }, vouched: None };
    begin(operator, parts, holder, CONSOLE_SESSION_SECS_MAX, "link").await
}

async fn start(operator: &Operator, again: bool) -> Response<Reply> {
    let Some(browser) = secret() else { return problem(StatusCode::SERVICE_UNAVAILABLE, "the system has no randomness") };
    let redirect_uri = format!("{}{CALLBACK}", operator.edge.address());
    match operator.plane.sign_in(&redirect_uri, digest(&browser), again).await {
        Ok(address) => {
            let name = operator.console.sign_in_cookie_name();
            redirect(&address, &[operator.console.cookie_text(name, &browser, SIGN_IN_SECS)])
        }
        Err(why) => welcome(operator, StatusCode::BAD_GATEWAY, Some(&why)),
    }
}

async fn came_back(operator: &Operator, parts: &Parts, origin: &Origin) -> Response<Reply> {
    let name = operator.console.sign_in_cookie_name();
    let forget = operator.console.cookie_text(name, "", 0);
    let Some(browser) = cookie(&parts.headers, name) else {
        return welcome(operator, StatusCode::BAD_REQUEST, Some("this browser began no sign-in, or took too long: try again"));
    };
    let redirect_uri = format!("{}{CALLBACK}", operator.edge.address());
    let query = parts.uri.query().unwrap_or_default();
    let signed_in = match operator.plane.signed_in(&redirect_uri, query, digest(browser)).await {
        Ok(signed_in) => signed_in,
        Err(why) => return with_cookies(welcome(operator, StatusCode::FORBIDDEN, Some(&why)), &[forget]),
    };
    let SignedIn { person, identity } = signed_in;
    let snapshot = operator.plane.snapshot();
    let Some(console) = snapshot.organization.console.as_ref() else {
        return welcome(operator, StatusCode::FORBIDDEN, Some("the configuration has no console"));
    };
    let roles = roles_to_take(&snapshot, console, &identity, &person.id, origin, (operator.now_secs)());
    // One who can take one role has nothing to choose.
    let role = match roles.as_slice() {
        [only] => Some(only.role.clone()),
        _ => None,
    };
    let secs = console.session_secs_max;
    let holder = Holder { person, vouched: Some((identity, role)) };
    with_cookies(begin(operator, parts, holder, secs, "sign_in").await, &[forget])
}

/// Begins a session under a new id and ends the one that the browser had.
async fn begin(operator: &Operator, parts: &Parts, holder: Holder, secs_max: u64, way: &str) -> Response<Reply> {
    let role = holder.vouched.as_ref().and_then(|(_, role)| role.as_ref()).map(ToString::to_string);
    let event = json!({"state": "began", "way": way, "person": holder.person, "role": role});
    if operator.plane.record("console_session", event).await.is_err() {
        return problem(StatusCode::SERVICE_UNAVAILABLE, "the journal takes no entries: nobody can sign in");
    }
    operator.console.end(&parts.headers);
    match operator.console.begin(holder, secs_max, (operator.now_secs)()) {
        Some((id, secs)) => {
            let name = operator.console.cookie_name();
            redirect("/console?done=entered", &[operator.console.cookie_text(name, &id, secs)])
        }
        None => problem(StatusCode::SERVICE_UNAVAILABLE, "the system has no randomness"),
    }
}

fn choose(view: &View<'_>) -> Response<Reply> {
    let snapshot = &view.snapshot;
    let (console, vouched) = (snapshot.organization.console.as_ref(), view.found.holder.vouched.as_ref());
    let roles = match (console, vouched) {
        (Some(console), Some((identity, _))) => {
            let person = &view.found.caller.person.id;
            roles_to_take(snapshot, console, identity, person, &Origin::default(), view.now_secs)
        }
        _ => Vec::new(),
    };
    let body = html! {
        @if roles.is_empty() {
            div.notice.bad role="alert" {
                p { strong { "There is no role that you may take." } }
                p { "A role of the configuration's " code { "console.roles" } " must have a trust policy that lets you in." }
            }
        } @else {
            p { "A role decides what you can see and do. You can change it at any time." }
            form.choices method="post" action="/console/roles" {
                (view.csrf())
                @for granted in &roles {
                    @let role = snapshot.organization.roles.get(&granted.role);
                    button.choice type="submit" name="role" value=(granted.role.to_string()) {
                        strong { (shown(granted.role.name.as_str())) }
                        span { "account " (granted.role.account) }
                        @if let Some(role) = role { span { (shown(&role.description)) } }
                    }
                }
            }
        }
    };
    page(view, "", "Take a role", &body)
}

async fn take(view: &View<'_>, parts: &Parts) -> Response<Reply> {
    let operator = view.operator;
    let snapshot = &view.snapshot;
    let wanted = snapshot.organization.roles.keys().find(|key| key.to_string() == view.field("role"));
    let (Some(wanted), Some(console), Some((identity, _))) =
        (wanted, snapshot.organization.console.as_ref(), view.found.holder.vouched.as_ref())
    else {
        return problem(StatusCode::FORBIDDEN, "this role can't be taken");
    };
    let person = view.found.caller.person.clone();
    let wanted: RoleKey = wanted.clone();
    if role_taken(snapshot, console, &wanted, identity, &person.id, &Origin::default(), view.now_secs).is_none() {
        return problem(StatusCode::FORBIDDEN, "the role's trust policy doesn't let you in");
    }
    // Whoever changes roles goes on until the first session would have ended.
    let left = view.found.ends_secs.saturating_sub(view.now_secs);
    let holder = Holder { person, vouched: Some((identity.clone(), Some(wanted))) };
    begin(operator, parts, holder, left, "role").await
}

async fn sign_out(view: &View<'_>, parts: &Parts) -> Response<Reply> {
    let console = &view.operator.console;
    console.end(&parts.headers);
    let event = json!({"state": "ended", "person": view.found.caller.person});
    // The session has ended, whether or not that could be put on record.
    let _ = view.operator.plane.record("console_session", event).await;
    redirect("/console/sign-in", &[console.cookie_text(console.cookie_name(), "", 0)])
}
