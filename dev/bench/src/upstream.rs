//! A trivial MCP server of both eras: one tool, answered at once.

use std::convert::Infallible;

use bytes::Bytes;
use http::{HeaderValue, Method, Request, Response, StatusCode};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::server::conn::http1::Builder;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use tokio::net::TcpListener;

/// The tool's definition.
pub(crate) fn tool() -> Value {
    json!({
        "name": "echo", "description": "Answers what it was given",
        "inputSchema": {"type": "object", "properties": {"message": {"type": "string"}}, "required": ["message"]},
        "annotations": {"readOnlyHint": true}
    })
}

/// Serves on a free port of loopback and prints it.
pub(crate) fn serve() -> Result<(), String> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(|error| error.to_string())?;
    runtime.block_on(async {
        let listener = TcpListener::bind("127.0.0.1:0").await.map_err(|error| error.to_string())?;
        let port = listener.local_addr().map_err(|error| error.to_string())?.port();
        crate::report::say(&json!({"url": format!("http://127.0.0.1:{port}/mcp")}).to_string());
        loop {
            let (stream, _) = listener.accept().await.map_err(|error| error.to_string())?;
            let _ = stream.set_nodelay(true);
            tokio::spawn(async move { Builder::new().serve_connection(TokioIo::new(stream), service_fn(answer)).await });
        }
    })
}

async fn answer(request: Request<Incoming>) -> Result<Response<Full<Bytes>>, Infallible> {
    if request.method() != Method::POST {
        return Ok(status(StatusCode::METHOD_NOT_ALLOWED));
    }
    let Ok(body) = request.into_body().collect().await else { return Ok(status(StatusCode::BAD_REQUEST)) };
    let message: Value = serde_json::from_slice(&body.to_bytes()).unwrap_or_default();
    let Some(id) = message.get("id").cloned() else { return Ok(status(StatusCode::ACCEPTED)) };
    let modern = message.pointer("/params/_meta/io.modelcontextprotocol~1protocolVersion").is_some();
    let cached = |mut result: Value| {
        if let (true, Some(map)) = (modern, result.as_object_mut()) {
            map.insert("resultType".into(), "complete".into());
            map.insert("ttlMs".into(), 0.into());
            map.insert("cacheScope".into(), "private".into());
        }
        result
    };
    let result = match message.get("method").and_then(Value::as_str) {
        Some("initialize") => {
            json!({"protocolVersion": "2025-11-25", "capabilities": {"tools": {}}, "serverInfo": {"name": "bench", "version": "1"}})
        }
        Some("server/discover") => cached(json!({"supportedVersions": ["2026-07-28"], "capabilities": {"tools": {}}})),
        Some("tools/list") => cached(json!({"tools": [tool()]})),
        Some("tools/call") => {
            let text = message.pointer("/params/arguments/message").cloned().unwrap_or_default();
            let mut result = json!({"content": [{"type": "text", "text": text}]});
            if let (true, Some(map)) = (modern, result.as_object_mut()) {
                map.insert("resultType".into(), "complete".into());
            }
            result
        }
        _ => {
            let body = json!({"jsonrpc": "2.0", "id": id, "error": {"code": -32601, "message": "unknown method"}});
            return Ok(json_body(if modern { StatusCode::NOT_FOUND } else { StatusCode::OK }, &body));
        }
    };
    let mut response = json_body(StatusCode::OK, &json!({"jsonrpc": "2.0", "id": id, "result": result}));
    if message.get("method").and_then(Value::as_str) == Some("initialize") {
        response.headers_mut().insert("mcp-session-id", HeaderValue::from_static("bench"));
    }
    Ok(response)
}

fn json_body(status: StatusCode, body: &Value) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(Bytes::from(body.to_string())));
    *response.status_mut() = status;
    response.headers_mut().insert("content-type", HeaderValue::from_static("application/json"));
    response
}

fn status(status: StatusCode) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::default());
    *response.status_mut() = status;
    response
}
