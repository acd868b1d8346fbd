//! The journal: how large it is, the checkpoint that signs it, and the key to check that with.

use http::Response;
use maud::html;
use serde_json::json;

use super::View;
use super::page::{self, badge, code};
use super::text::{number, shown, text};
use crate::reply::Reply;

const SECTION: &str = "/console/journal";

/// The page.
pub(super) async fn page(view: &View<'_>) -> Response<Reply> {
    let found = match view.ask("/v1/journal", json!({})).await {
        Ok(found) => found,
        Err(failed) => return page::failed(view, SECTION, "Journal", &failed),
    };
    let size = number(&found, "size");
    let body = html! {
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
        }
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
