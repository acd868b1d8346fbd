//! Whether the headers of a request of 2026-07-28 and its body say the same, checked before any policy looks at the call.

use http::{HeaderMap, HeaderName, Response};
use remit_kernel::ToolView;
use remit_mcp::version::meta;
use remit_mcp::{Era, ErrorCode, Message, RpcError, Version, header};

use crate::body::Body;
use crate::call::unsupported_version;
use crate::reply::answer_rpc;

const MCP_METHOD: HeaderName = HeaderName::from_static("mcp-method");
const MCP_NAME: HeaderName = HeaderName::from_static("mcp-name");

fn text<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Option<&'a str> {
    headers.get(name).and_then(|value| value.to_str().ok())
}

/// The headers that repeat the body: checked before any policy looks at the call.
pub(crate) fn headers(shown: &HeaderMap, message: &Message) -> Result<(), RpcError> {
    let mismatch = |what: String| RpcError::new(ErrorCode::HeaderMismatch, what);
    match text(shown, &MCP_METHOD).map(str::trim) {
        Some(method) if method == message.method() => {}
        Some(_) => return Err(mismatch("`Mcp-Method` contradicts the body's `method`".to_owned())),
        None => return Err(mismatch("`Mcp-Method` is missing".to_owned())),
    }
    let Some(name) = header::name(message) else { return Ok(()) };
    let shown = text(shown, &MCP_NAME).ok_or_else(|| mismatch("`Mcp-Name` is missing".to_owned()))?;
    match header::decode(shown) {
        Some(shown) if shown == name => Ok(()),
        Some(_) => Err(mismatch("`Mcp-Name` contradicts the body".to_owned())),
        None => Err(mismatch("`Mcp-Name` can't be decoded".to_owned())),
    }
}

/// `Mcp-Param-*` against the arguments, for a tool whose schema marks some.
pub(crate) fn params(shown_headers: &HeaderMap, tool: &ToolView, message: &Message) -> Result<(), RpcError> {
    let mismatch = |what: String| RpcError::new(ErrorCode::HeaderMismatch, what);
    if tool.param_headers.is_empty() {
        return Ok(());
    }
    let arguments: serde_json::Value =
        message.param("arguments").and_then(|text| serde_json::from_str(text).ok()).unwrap_or_default();
    for mark in &tool.param_headers {
        let value = mark.value(&arguments).filter(|value| !value.is_null()).map(ToString::to_string);
        let name = format!("Mcp-Param-{}", mark.header);
        match (shown_headers.get(&name), value) {
            (None, None) => {}
            (None, Some(_)) => return Err(mismatch(format!("`{name}` is missing"))),
            (Some(_), None) => return Err(mismatch(format!("`{name}` names an argument that the body doesn't have"))),
            (Some(shown), Some(value)) => {
                let decoded = shown.to_str().ok().and_then(header::decode);
                if !decoded.is_some_and(|shown| header::param_agrees(&shown, &value)) {
                    return Err(mismatch(format!("`{name}` contradicts the body or can't be decoded")));
                }
            }
        }
    }
    Ok(())
}

/// What 2026-07-28 demands of `_meta`, in the order in which it is to be reported.
pub(crate) fn meta_of(message: &Message, header: Option<&str>, said: Option<&str>) -> Option<Response<Body>> {
    let id = message.id().unwrap_or("null");
    let Some(said) = said else {
        let error = RpcError::new(ErrorCode::InvalidParams, format!("`params._meta` must hold `{}`", meta::PROTOCOL_VERSION));
        return Some(answer_rpc(Era::Modern, id, &error));
    };
    if header != Some(said) {
        let error = RpcError::new(ErrorCode::HeaderMismatch, "`MCP-Protocol-Version` contradicts the body, or is missing");
        return Some(answer_rpc(Era::Modern, id, &error));
    }
    if Version::parse(said).is_none_or(|version| version.era() == Era::Legacy) {
        return Some(unsupported_version(id, said));
    }
    if !message.meta(meta::CLIENT_CAPABILITIES).is_some_and(|text| text.starts_with('{')) {
        let error = RpcError::new(
            ErrorCode::InvalidParams,
            format!("`params._meta` must hold `{}`, an object", meta::CLIENT_CAPABILITIES),
        );
        return Some(answer_rpc(Era::Modern, id, &error));
    }
    None
}
