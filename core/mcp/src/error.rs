//! JSON-RPC error codes of MCP and the answers that carry them.

use crate::json::quote;

/// An error code, with the HTTP status that carries it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ErrorCode {
    /// -32700: the body is not JSON.
    Parse,
    /// -32600: not a JSON-RPC message that can be answered here.
    InvalidRequest,
    /// -32601: unknown method.
    MethodNotFound,
    /// -32602: unknown tool, prompt or resource, or unfit arguments.
    InvalidParams,
    /// -32603: the call could not be carried out.
    Internal,
    /// -32002: resource not found, before 2026-07-28.
    ResourceNotFound,
    /// -32020: a header contradicts the body (2026-07-28).
    HeaderMismatch,
    /// -32021: the client lacks a capability that this needs (2026-07-28).
    MissingClientCapability,
    /// -32022: the revision is not spoken here (2026-07-28).
    UnsupportedVersion,
    /// -32003: the policy says no. In the range that JSON-RPC leaves to servers, and used by no revision.
    Denied,
}

impl ErrorCode {
    /// The number.
    pub fn number(self) -> i64 {
        match self {
            Self::Parse => -32700,
            Self::InvalidRequest => -32600,
            Self::MethodNotFound => -32601,
            Self::InvalidParams => -32602,
            Self::Internal => -32603,
            Self::ResourceNotFound => -32002,
            Self::HeaderMismatch => -32020,
            Self::MissingClientCapability => -32021,
            Self::UnsupportedVersion => -32022,
            Self::Denied => -32003,
        }
    }
}

/// An error to answer with.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct RpcError {
    /// The code.
    pub code: ErrorCode,
    /// One sentence for the caller.
    pub message: String,
    /// `data`, as JSON text.
    pub data: Option<String>,
}

impl RpcError {
    /// An error without data.
    pub fn new(code: ErrorCode, message: impl Into<String>) -> Self {
        Self { code, message: message.into(), data: None }
    }

    /// The same error with data: JSON text.
    #[must_use]
    pub fn data(mut self, json: String) -> Self {
        self.data = Some(json);
        self
    }

    /// The whole answer. `id` is JSON text, `null` when the request's could not be read.
    pub fn answer(&self, id: &str) -> Vec<u8> {
        let data = self.data.as_ref().map(|data| format!(",\"data\":{data}")).unwrap_or_default();
        let (code, message) = (self.code.number(), quote(&self.message));
        format!("{{\"jsonrpc\":\"2.0\",\"id\":{id},\"error\":{{\"code\":{code},\"message\":{message}{data}}}}}").into_bytes()
    }
}

/// A successful answer around a result that is JSON text already.
pub fn result_answer(id: &str, result: &str) -> Vec<u8> {
    format!("{{\"jsonrpc\":\"2.0\",\"id\":{id},\"result\":{result}}}").into_bytes()
}
