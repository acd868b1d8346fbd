//! What all pages share: the frame, the headers, and small pieces.

use http::header::{
    CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, HeaderName, LOCATION, REFERRER_POLICY, SET_COOKIE,
    STRICT_TRANSPORT_SECURITY,
};
use http::{HeaderValue, Response, StatusCode};
use maud::{DOCTYPE, Markup, html};
use remit_identity::sigv4::date_time;
use serde_json::Value;

use super::View;
use super::text::{shown, text};
use crate::operator;
use crate::reply::Reply;

/// What a page may load and do: its own script, style and pictures, and nothing that stands in it or comes from elsewhere.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; form-action 'self'; \
                      base-uri 'none'; frame-ancestors 'none'";
const OPENER: HeaderName = HeaderName::from_static("cross-origin-opener-policy");
const RESOURCE: HeaderName = HeaderName::from_static("cross-origin-resource-policy");
const PERMISSIONS: HeaderName = HeaderName::from_static("permissions-policy");
const FRAME: HeaderName = HeaderName::from_static("x-frame-options");

/// A section of the console: where it is, its name, the action that shows it.
pub(super) const SECTIONS: [(&str, &str, &str); 9] = [
    ("/console", "Overview", "remit:GetStatus"),
    ("/console/approvals", "Approvals", "remit:ListApprovals"),
    ("/console/decisions", "Decisions", "remit:SearchDecisions"),
    ("/console/organization", "Organization", "remit:GetOrganization"),
    ("/console/agents", "Agents", "remit:GetOrganization"),
    ("/console/servers", "Servers and tools", "remit:GetStatus"),
    ("/console/policies", "Policies", "remit:ListVersions"),
    ("/console/explain", "What if", "remit:Explain"),
    ("/console/journal", "Journal", "remit:GetJournal"),
];

/// Puts the headers of a page on an answer.
pub(super) fn guarded(mut response: Response<Reply>, secure: bool) -> Response<Reply> {
    let headers = response.headers_mut();
    let fixed = [
        (CONTENT_SECURITY_POLICY, POLICY),
        (REFERRER_POLICY, "no-referrer"),
        (OPENER, "same-origin"),
        (RESOURCE, "same-origin"),
        (FRAME, "DENY"),
        (PERMISSIONS, "camera=(), geolocation=(), microphone=()"),
    ];
    for (name, value) in fixed {
        headers.insert(name, HeaderValue::from_static(value));
    }
    if secure {
        headers.insert(STRICT_TRANSPORT_SECURITY, HeaderValue::from_static("max-age=31536000"));
    }
    if !headers.contains_key(CACHE_CONTROL) {
        headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    }
    response
}

/// Sends a browser on.
pub(super) fn redirect(to: &str, cookies: &[String]) -> Response<Reply> {
    let mut response = operator::text(StatusCode::SEE_OTHER, "text/plain", "");
    response.headers_mut().insert(LOCATION, HeaderValue::from_str(to).unwrap_or(HeaderValue::from_static("/console")));
    with_cookies(response, cookies)
}

/// Puts cookies on an answer.
pub(super) fn with_cookies(mut response: Response<Reply>, cookies: &[String]) -> Response<Reply> {
    for cookie in cookies {
        if let Ok(value) = HeaderValue::from_str(cookie) {
            response.headers_mut().append(SET_COOKIE, value);
        }
    }
    response
}

fn html_page(status: StatusCode, markup: &Markup) -> Response<Reply> {
    let mut response = operator::text(status, "text/html; charset=utf-8", markup.0.clone());
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("text/html; charset=utf-8"));
    response
}

fn head(title: &str) -> Markup {
    html! {
        meta charset="utf-8";
        meta name="viewport" content="width=device-width, initial-scale=1";
        meta name="color-scheme" content="light dark";
        title { (shown(title)) " · Remit" }
        link rel="stylesheet" href=(super::assets::style_path());
        link rel="icon" href="/console/assets/remit.svg" type="image/svg+xml";
        script src=(super::assets::script_path()) defer {}
    }
}

/// A page outside any session.
pub(super) fn outside(status: StatusCode, title: &str, body: &Markup) -> Response<Reply> {
    html_page(
        status,
        &html! {
            (DOCTYPE)
            html lang="en" {
                head { (head(title)) }
                body.outside { main id="main" { p.brand { "Remit" } h1 { (shown(title)) } (body) } }
            }
        },
    )
}

/// A page of a section.
pub(super) fn page(view: &View<'_>, section: &str, title: &str, body: &Markup) -> Response<Reply> {
    whole(view, StatusCode::OK, section, title, body)
}

/// A page that says what went wrong.
pub(super) fn failed(view: &View<'_>, section: &str, title: &str, failed: &crate::endpoints::Failed) -> Response<Reply> {
    let action = text(&failed.1, "action");
    let body = html! {
        div.notice.bad role="alert" {
            @if failed.0 == StatusCode::FORBIDDEN {
                p { strong { "Your role doesn't allow this." } " " (shown(failed.detail())) }
                @if !action.is_empty() { p { "The action is " code { (action) } "." } }
            } @else {
                p { (shown(failed.detail())) }
            }
        }
    };
    whole(view, failed.0, section, title, &body)
}

fn whole(view: &View<'_>, status: StatusCode, section: &str, title: &str, body: &Markup) -> Response<Reply> {
    let organization = &view.snapshot.organization.name;
    let person = &view.found.caller.person;
    let markup = html! {
        (DOCTYPE)
        html lang="en" {
            head { (head(title)) }
            body data-csrf=(view.found.csrf) data-events="/console/events" {
                a.skip href="#main" { "Skip to the content" }
                div.banner id="away" role="alert" hidden { "The gateway does not answer: what is shown may be old. Trying again…" }
                header.top {
                    a.brand href="/console" { "Remit" }
                    span.organization { (shown(organization)) }
                    span.grow {}
                    span.person title=(person.proof.as_str()) { (shown(&person.id)) }
                    @if view.found.holder.vouched.is_some() { a.role href="/console/roles" { (shown(&view.found.caller.role())) } }
                    @else { span.role { (view.found.caller.role()) } }
                    form method="post" action="/console/sign-out" { (view.csrf()) button.quiet type="submit" { "Sign out" } }
                }
                div.frame {
                    nav aria-label="Sections" {
                        ul {
                            @for (path, name, action) in SECTIONS {
                                @if view.may(action) {
                                    li { a href=(path) aria-current=[(path == section).then_some("page")] {
                                        (name)
                                        @if path == "/console/approvals" { span.count data-live="approvals" data-src="/console/approvals/count" { (view.waiting()) } }
                                    } }
                                }
                            }
                        }
                    }
                    main id="main" tabindex="-1" {
                        div.title { h1 { (shown(title)) } }
                        @if let Some(said) = view.said() { div.notice.good role="status" { p { (said) } } }
                        (body)
                    }
                }
            }
        }
    };
    html_page(status, &markup)
}

/// A part of a page, for the script to put in its place.
pub(super) fn part(markup: &Markup) -> Response<Reply> {
    html_page(StatusCode::OK, markup)
}

/// A time, in seconds since the epoch.
pub(super) fn time(secs: u64) -> Markup {
    let exact = date_time(secs);
    let short = exact.replace('T', " ");
    html! { time datetime=(exact) { (short.trim_end_matches('Z')) } }
}

/// How long until or since a time, for people.
pub(super) fn span(secs: u64) -> String {
    match secs {
        0..60 => format!("{secs} s"),
        60..3600 => format!("{} min", secs / 60),
        3600..172_800 => format!("{} h", secs / 3600),
        _ => format!("{} days", secs / 86_400),
    }
}

/// A verdict, an effect or a state as a badge.
pub(super) fn badge(word: &str) -> Markup {
    let kind = match word {
        "ALLOW" | "APPROVED" | "REDEEMED" | "intact" | "ready" | "APPROVE" | "approved" | "ok" | "request" | "trusted"
        | "declared" => "good",
        "DENY" | "EXPLICIT_DENY" | "IMPLICIT_DENY" | "REJECTED" | "REVOKED" | "REJECT" | "drifted" | "gone" | "suspended"
        | "critical" | "failed" | "ALARM" | "break-glass" | "untrusted" | "BLOCKED" => "bad",
        "HOLD" | "PENDING" | "PENDING_APPROVAL" | "DEPRECATED" | "new" | "high" | "waiting" | "starting" | "nowhere"
        | "named" | "secret" | "ANONYMIZED" => "hold",
        _ => "plain",
    };
    html! { span class={ "badge " (kind) } { (shown(&word.replace('_', " "))) } }
}

/// What is shown where there is nothing.
pub(super) fn nothing(what: &str, hint: &str) -> Markup {
    html! { div.nothing { p { strong { (what) } } p { (hint) } } }
}

/// A code, such as an ARN, that may be long.
pub(super) fn code(text: &str) -> Markup {
    html! { code { (shown(text)) } }
}

/// A link to the rest of a list.
pub(super) fn more(base: &str, query: &[(&str, &str)], cursor: Option<&Value>) -> Markup {
    let Some(cursor) = cursor.and_then(Value::as_str) else { return html! {} };
    let pairs = query.iter().filter(|(_, value)| !value.is_empty()).copied().chain([("cursor", cursor)]);
    let href = format!("{base}?{}", remit_identity::form::write(pairs));
    html! { p.more { a href=(href) rel="next" { "Older" } } }
}
