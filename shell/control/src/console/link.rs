//! The page of a one-time link, which a channel was given: it decides one approval, without a sign-in. Looking at it decides nothing, so
//! whoever previews links in a chat does no harm.

use std::collections::BTreeMap;

use http::request::Parts;
use http::{Method, Response, StatusCode};
use maud::html;

use super::page::{guarded, outside};
use super::text::{shown, text, verbatim};
use crate::operator::Operator;
use crate::reply::Reply;

/// Where one-time links lead; the token is the query's `token`.
pub const ANSWER_PATH: &str = "/console/answer";

/// Shows what a link decides, or decides it.
pub(super) async fn answer(operator: &Operator, parts: &Parts, fields: &BTreeMap<String, String>) -> Response<Reply> {
    let field = |name: &str| fields.get(name).map(String::as_str).unwrap_or_default();
    let token = field("token");
    let done = if parts.method == Method::POST {
        operator.plane.link_used(token, field("reason")).await.map(|state| {
            let body = html! { p { "The approval is now " strong { (state) } "." } p.hint { "You can close this window." } };
            outside(StatusCode::OK, "Answered", &body)
        })
    } else {
        operator.plane.link_shown(token).map(|asked| {
            let approves = asked.get("approves").and_then(serde_json::Value::as_bool) == Some(true);
            let (verb, class) = if approves { ("Approve", "good") } else { ("Reject", "bad") };
            let body = html! {
                p { strong { (shown(text(&asked, "agent"))) } " wants to call " strong { (shown(text(&asked, "tool"))) } " with" }
                (verbatim(text(&asked, "arguments"), &serde_json::Value::Null))
                form method="post" action=(ANSWER_PATH) {
                    input type="hidden" name="token" value=(token);
                    label for="reason" { "Why" @if approves { " (if you like)" } }
                    input id="reason" name="reason" maxlength="1000" autocomplete="off" required[!approves];
                    button class=(class) type="submit" { (verb) " this call" }
                }
                p.hint { "This link is good once. Approval " code { (shown(text(&asked, "id"))) } " is " (shown(text(&asked, "state"))) "." }
            };
            outside(StatusCode::OK, &format!("{verb} a call"), &body)
        })
    };
    let response = done.unwrap_or_else(|why| {
        let body = html! { div.notice.bad role="alert" { p { (shown(&why)) } } };
        outside(StatusCode::BAD_REQUEST, "Not answered", &body)
    });
    guarded(response, operator.console.secure)
}
