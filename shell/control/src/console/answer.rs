//! The page of a link that decides one approval, once, for whoever has it: what it is about, and a button. A link alone decides nothing, since
//! programs that look at messages follow links.

use std::collections::BTreeMap;

use http::request::Parts;
use http::{Method, Response, StatusCode};
use maud::html;
use serde_json::Value;

use super::page::{badge, outside};
use super::text::{is, shown, text, verbatim};
use crate::operator::{Operator, problem};
use crate::reply::Reply;

/// Where such links lead.
pub(crate) const PATH: &str = "/approvals/answer";
/// The longest token that is looked at, in bytes.
const TOKEN_BYTES_MAX: usize = 128;

/// Answers it; `None` for every other path.
pub(super) async fn answer(operator: &Operator, parts: &Parts, fields: &BTreeMap<String, String>) -> Option<Response<Reply>> {
    if parts.uri.path() != PATH {
        return None;
    }
    let token = fields.get("token").map(String::as_str).unwrap_or_default();
    if token.len() > TOKEN_BYTES_MAX {
        return Some(problem(StatusCode::BAD_REQUEST, "this is no link"));
    }
    if parts.method == Method::GET {
        return Some(asked(operator, token));
    }
    let reason = fields.get("reason").map(|reason| reason.trim()).unwrap_or_default();
    Some(match operator.plane.approval_link_used(token, reason).await {
        Ok(state) => {
            let body = html! { div.notice.good role="status" { p { "Your answer was taken. The approval is " (badge(&state)) "." } } p.hint { "You can close this window." } };
            outside(StatusCode::OK, "Answered", &body)
        }
        Err(why) => refused(&why),
    })
}

fn refused(why: &str) -> Response<Reply> {
    outside(StatusCode::FORBIDDEN, "Not answered", &html! { div.notice.bad role="alert" { p { (shown(why)) } } })
}

fn asked(operator: &Operator, token: &str) -> Response<Reply> {
    let approval = match operator.plane.approval_link(token) {
        Ok(approval) => approval,
        Err(why) => return refused(&why),
    };
    let approves = is(&approval, "approves");
    let body = html! {
        dl.facts {
            dt { "Tool" } dd { code { (shown(text(&approval, "tool"))) } }
            dt { "Agent" } dd { (shown(text(&approval, "agent"))) }
            dt { "State" } dd { (badge(text(&approval, "state"))) }
        }
        h2 { "Arguments" }
        (verbatim(text(&approval, "arguments"), &Value::Null))
        form method="post" action=(PATH) {
            input type="hidden" name="token" value=(token);
            label for="reason" { "Reason" }
            textarea id="reason" name="reason" rows="2" maxlength="1000" {}
            @if approves { button.good type="submit" { "Approve" } } @else { button.bad type="submit" { "Reject" } }
        }
        p.hint { "The link is good once." }
    };
    outside(StatusCode::OK, if approves { "Approve this call?" } else { "Reject this call?" }, &body)
}
