//! The console's own script, style and sign: part of the binary, named by their digests, so that a browser keeps them as long as they are right.

use std::sync::LazyLock;

use http::header::CACHE_CONTROL;
use http::{HeaderValue, Response, StatusCode};
use remit_mcp::canonical::{hex, sha256};

use crate::operator::text;
use crate::reply::Reply;

const STYLE: &str = include_str!("console.css");
const SCRIPT: &str = include_str!("console.js");
const SIGN: &str = include_str!("remit.svg");

static STYLE_PATH: LazyLock<String> = LazyLock::new(|| named("css", STYLE));
static SCRIPT_PATH: LazyLock<String> = LazyLock::new(|| named("js", SCRIPT));

fn named(ending: &str, content: &str) -> String {
    let digest = hex(&sha256(content.as_bytes()));
    format!("/console/assets/{}.{ending}", digest.get(..16).unwrap_or_default())
}

pub(super) fn style_path() -> &'static str {
    &STYLE_PATH
}

pub(super) fn script_path() -> &'static str {
    &SCRIPT_PATH
}

/// One of them.
pub(super) fn answer(path: &str) -> Option<Response<Reply>> {
    let (kind, content, lasts) = match path {
        path if path == style_path() => ("text/css; charset=utf-8", STYLE, "public, max-age=31536000, immutable"),
        path if path == script_path() => ("text/javascript; charset=utf-8", SCRIPT, "public, max-age=31536000, immutable"),
        "/console/assets/remit.svg" => ("image/svg+xml", SIGN, "public, max-age=86400"),
        _ => return None,
    };
    let mut response = text(StatusCode::OK, kind, content);
    response.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static(lasts));
    Some(response)
}

#[cfg(test)]
mod tests {
    #[test]
    fn there_is_little_script() {
        assert!(super::SCRIPT.len() < 40_000);
    }
}
