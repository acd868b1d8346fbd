//! The journal: how large it is, the checkpoint that signs it and who cosigned it, the key to check that with; how long what stands in it is
//! kept, what is held, and how far it is archived.

use http::Response;
use maud::{Markup, html};
use serde_json::{Value, json};

use super::page::{self, badge, code};
use super::text::{is, list, number, shown, text, texts};
use super::{View, given};
use crate::reply::Reply;

const SECTION: &str = "/console/journal";

/// What a hold can name.
const NAMED: [(&str, &str); 4] = [("agent", "Agent"), ("user", "User"), ("space", "Space"), ("tool", "Tool")];

/// The page.
pub(super) async fn page(view: &View<'_>) -> Response<Reply> {
    whole(view, None).await
}

/// Places a legal hold, or lets go of one, with the endpoint that programs use.
pub(super) async fn act(view: &View<'_>, verb: &str) -> Response<Reply> {
    let mut request = json!({"name": given(view.field("name")), "reason": given(view.field("reason"))});
    let path = if verb == "hold" { "/v1/retention/holds" } else { "/v1/retention/release" };
    if verb == "hold"
        && let Some(fields) = request.as_object_mut()
    {
        fields.extend(NAMED.iter().map(|(key, _)| ((*key).to_owned(), given(view.field(key)))));
    }
    match view.ask(path, request).await {
        Ok(_) => page::redirect(&format!("{SECTION}?done={verb}"), &[]),
        Err(failed) if failed.0 == http::StatusCode::FORBIDDEN => page::failed(view, SECTION, "Journal", &failed),
        Err(failed) => whole(view, Some(failed.detail())).await,
    }
}

async fn whole(view: &View<'_>, fault: Option<&str>) -> Response<Reply> {
    let found = match view.ask("/v1/journal", json!({})).await {
        Ok(found) => found,
        Err(failed) => return page::failed(view, SECTION, "Journal", &failed),
    };
    let size = number(&found, "size");
    let retention = view.ask("/v1/retention", json!({})).await.ok();
    let archive = view.ask("/v1/archive", json!({})).await.ok();
    let body = html! {
        @if let Some(fault) = fault { div.notice.bad role="alert" { p { (shown(fault)) } } }
        div.columns {
            section.card aria-labelledby="log" {
                h2 id="log" { "Log" }
                dl.facts {
                    dt { "State" } dd { (badge(text(&found, "health"))) " " (shown(text(&found, "stopped"))) }
                    dt { "Entries" } dd { (size) }
                    dt { "Root" } dd { (code(text(&found, "root"))) }
                    dt { "Public key" } dd { (code(text(&found, "key"))) }
                }
                p.hint { "Everything that was decided stands in it, in an order that nobody can change. Keep the key elsewhere, and check with " code { "remit verify" } "." }
            }
            section.card aria-labelledby="checkpoint" { h2 id="checkpoint" { "Signed checkpoint" } pre.literal { (shown(text(&found, "checkpoint"))) } }
            @if !text(&found, "cosigned").is_empty() {
                section.card aria-labelledby="cosigned" {
                    h2 id="cosigned" { "Cosigned by witnesses" }
                    pre.literal { (shown(text(&found, "cosigned"))) }
                }
            }
        }
        @if let Some(retention) = &retention { (kept(view, retention, archive.as_ref())) }
        @if size > 0 {
            section.card aria-labelledby="verify" {
                h2 id="verify" { "Verify the newest entry" }
                div data-proof={ "/v1/journal/" (size - 1) } {
                    p { "Your browser computes the path from entry " (size - 1) " to the checkpoint, and checks the signature with the key above." }
                    p { button type="button" data-verify { "Verify in this browser" } }
                    div role="status" aria-live="polite" data-result {}
                }
            }
        }
    };
    page::page(view, SECTION, "Journal", &body)
}

/// For how long, what is held, and how far it is archived.
fn kept(view: &View<'_>, retention: &Value, archive: Option<&Value>) -> Markup {
    let days = |days: Option<u64>| days.map_or_else(|| "for ever".to_owned(), |days| format!("{days} days"));
    let all = |texts: Vec<&str>| if texts.is_empty() { "all".to_owned() } else { texts.join(", ") };
    let holds = retention.get("holds").and_then(Value::as_object);
    html! {
        div.columns {
            section.card aria-labelledby="kept" {
                h2 id="kept" { "How long calls are kept" }
                table {
                    thead { tr { th scope="col" { "Spaces" } th scope="col" { "Classes" } th scope="col" { "Kept" } } }
                    tbody {
                        @for rule in list(retention, "rules") {
                            tr {
                                td { (shown(&all(texts(rule, "spaces")))) }
                                td { (shown(&all(texts(rule, "classes")))) }
                                td { (days(rule.get("days").and_then(Value::as_u64))) }
                            }
                        }
                        tr { td { "all others" } td { "all" } td { (days(retention.get("days").and_then(Value::as_u64))) } }
                    }
                }
                @if let Some(archive) = archive {
                    @let segments = list(archive, "segments");
                    @let archived = segments.iter().filter(|segment| is(segment, "archived")).count();
                    p { (archived) " of " (segments.len()) " full segments are archived." }
                    @if !text(archive, "failed").is_empty() { div.notice.bad { p { (shown(text(archive, "failed"))) } } }
                }
            }
            section.card aria-labelledby="holds" {
                h2 id="holds" { "Legal holds" }
                @if holds.is_none_or(serde_json::Map::is_empty) { p { "None: whatever is over goes." } }
                @for (name, hold) in holds.into_iter().flatten() {
                    @let named: Vec<String> = hold.as_object().into_iter().flatten()
                        .map(|(key, value)| format!("{key} {}", value.as_str().map_or_else(|| value.to_string(), str::to_owned))).collect();
                    p { strong { (shown(name)) } ": " (shown(&if named.is_empty() { "everything".to_owned() } else { named.join(", ") })) }
                    @if view.may("remit:ReleaseHold") {
                        form.inline method="post" action="/console/journal/release" {
                            (view.csrf())
                            input type="hidden" name="name" value=(name);
                            label { "Why it is let go " input name="reason" required maxlength="500"; }
                            button type="submit" { "Release" }
                        }
                    }
                }
                @if view.may("remit:PlaceHold") {
                    form.inline method="post" action="/console/journal/hold" {
                        (view.csrf())
                        label { "Name " input name="name" required maxlength="200"; }
                        @for (key, label) in NAMED { label { (label) " " input name=(key) maxlength="200" placeholder="any"; } }
                        label { "Why " input name="reason" required maxlength="500"; }
                        button type="submit" { "Hold" }
                    }
                    p.hint { "Nothing that it names is erased, however old it is, until it is released. Both stand in the journal." }
                }
            }
        }
    }
}
