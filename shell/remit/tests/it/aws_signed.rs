//! Requests under SigV4 that a test makes, signs, and then bends.

use remit_identity::sigv4::{self, Request};
use serde_json::Value;

use crate::client::{Answer, connect, request_text, send_raw};
use crate::gateway::Remit;

/// A call that reads logs.
pub(crate) const CALL: &str = r#"{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"observability___search_logs","arguments":{"query":"timeout"},"_meta":{"io.modelcontextprotocol/protocolVersion":"2026-07-28","io.modelcontextprotocol/clientCapabilities":{}}}}"#;

/// A request that is made, signed and then bent.
#[derive(Clone)]
pub(crate) struct Draft {
    pub(crate) method: String,
    pub(crate) path: String,
    pub(crate) query: String,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: String,
    pub(crate) id: String,
    pub(crate) secret: String,
    pub(crate) region: String,
    pub(crate) service: String,
}

impl Draft {
    pub(crate) fn new(remit: &Remit, pair: &Value, service: &str, path: &str, body: &str) -> Self {
        let text = |key: &str| pair[key].as_str().unwrap_or_default().to_owned();
        let now = remit_authority::system_now_secs();
        let mut draft = Self {
            method: "POST".into(),
            path: path.into(),
            query: String::new(),
            headers: vec![("host".into(), remit.addr.to_string()), ("x-amz-date".into(), sigv4::timestamp(now))],
            body: body.into(),
            id: text("AccessKeyId"),
            secret: text("SecretAccessKey"),
            region: "us-east-1".into(),
            service: service.into(),
        };
        if let Some(token) = pair["SessionToken"].as_str() {
            draft.headers.push(("x-amz-security-token".into(), token.into()));
        }
        draft
    }

    /// A call of a tool, as a client of 2026-07-28 sends it.
    pub(crate) fn call(remit: &Remit, pair: &Value, space: &str) -> Self {
        let draft = Self::new(remit, pair, "mcp", &format!("/spaces/{space}/mcp"), CALL);
        let draft = draft.header("content-type", "application/json").header("accept", "application/json, text/event-stream");
        let draft = draft.header("mcp-protocol-version", "2026-07-28").header("mcp-method", "tools/call");
        draft.header("mcp-name", "observability___search_logs")
    }

    pub(crate) fn header(mut self, name: &str, value: &str) -> Self {
        self.headers.retain(|(other, _)| other != name);
        self.headers.push((name.into(), value.into()));
        self
    }

    pub(crate) fn without(mut self, name: &str) -> Self {
        self.headers.retain(|(other, _)| other != name);
        self
    }

    /// Signed so many seconds from now.
    pub(crate) fn at(self, secs: i64) -> Self {
        let now = remit_authority::system_now_secs();
        self.header("x-amz-date", &sigv4::timestamp(now.checked_add_signed(secs).unwrap()))
    }

    pub(crate) fn with(mut self, change: impl FnOnce(&mut Self)) -> Self {
        change(&mut self);
        self
    }

    /// Signs all headers that it has.
    pub(crate) fn signed(self) -> Self {
        let this = self.without("authorization");
        let headers: Vec<(&str, &str)> = this.headers.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        let (path, query, body) = (this.path.as_str(), this.query.as_str(), this.body.as_bytes());
        let request = Request { method: &this.method, path, query, headers: &headers, body };
        let authorization = sigv4::sign(&request, (&this.id, &this.secret), (&this.region, &this.service)).unwrap();
        this.header("authorization", &authorization)
    }

    /// Changes the header that holds the signature.
    pub(crate) fn authorization(self, change: impl FnOnce(&str) -> String) -> Self {
        let (_, now) = self.headers.iter().find(|(name, _)| name == "authorization").unwrap().clone();
        self.header("authorization", &change(&now))
    }

    pub(crate) fn send(&self, remit: &Remit) -> Answer {
        let path = if self.query.is_empty() { self.path.clone() } else { format!("{}?{}", self.path, self.query) };
        let headers: Vec<(&str, &str)> = self.headers.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        let text = request_text(&format!("{} {path}", self.method), &headers, self.body.as_bytes());
        send_raw(Box::new(connect(remit.addr)), &text)
    }
}
