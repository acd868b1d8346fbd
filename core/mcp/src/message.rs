//! A JSON-RPC message over its own bytes.

use std::borrow::Cow;
use std::ops::Range;

use bytes::Bytes;

use crate::json::{self, JsonError, Limits, Spans};

/// A message: the bytes as they came, and where its parts stand in them.
#[derive(Debug, Clone)]
pub struct Message {
    body: Bytes,
    spans: Spans,
    kind: Kind,
    id: Option<Range<usize>>,
    method: Option<String>,
    params: Option<Range<usize>>,
}

/// What a message is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Has a method and an id.
    Request,
    /// Has a method and no id.
    Notification,
    /// Has a result.
    Response,
    /// Has an error.
    Error,
}

/// Why a body is not a message.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum MessageError {
    /// Not the JSON that we accept.
    #[error("the body is not acceptable JSON: {0}")]
    Json(JsonError),
    /// JSON, but no JSON-RPC 2.0 message.
    #[error("not a JSON-RPC message: {0}")]
    Shape(&'static str),
}

impl Message {
    /// Reads one message.
    pub fn parse(body: Bytes, limits: Limits) -> Result<Self, MessageError> {
        let spans = json::scan(&body, limits).map_err(MessageError::Json)?;
        Self::from_spans(body, spans)
    }

    fn from_spans(body: Bytes, spans: Spans) -> Result<Self, MessageError> {
        let root = spans.root.clone();
        if body.get(root.start) != Some(&b'{') {
            return Err(MessageError::Shape("an object is expected"));
        }
        let get = |key| spans.get(&body, &root, 1, key);
        let text = |span: &Range<usize>| json::string(&body, span);
        if get("jsonrpc").as_ref().and_then(text).as_deref() != Some("2.0") {
            return Err(MessageError::Shape("`jsonrpc` must be \"2.0\""));
        }
        let id = get("id");
        if let Some(span) = &id
            && !matches!(body.get(span.start), Some(b'"' | b'-' | b'0'..=b'9'))
            && get("error").is_none()
        {
            return Err(MessageError::Shape("`id` must be a string or a number"));
        }
        let method = match get("method") {
            Some(span) => Some(text(&span).ok_or(MessageError::Shape("`method` must be a string"))?.into_owned()),
            None => None,
        };
        let (result, error) = (get("result"), get("error"));
        let kind = match (&method, &id, &result, &error) {
            (Some(_), Some(_), None, None) => Kind::Request,
            (Some(_), None, None, None) => Kind::Notification,
            (None, Some(_), Some(_), None) => Kind::Response,
            (None, _, None, Some(_)) => Kind::Error,
            _ => return Err(MessageError::Shape("it is neither a request, a notification nor a response")),
        };
        let params = match kind {
            Kind::Request | Kind::Notification => get("params"),
            Kind::Response => result,
            Kind::Error => error,
        };
        if matches!(kind, Kind::Request | Kind::Notification)
            && let Some(span) = &params
            && body.get(span.start) != Some(&b'{')
        {
            return Err(MessageError::Shape("`params` must be an object"));
        }
        Ok(Self { body, spans, kind, id, method, params })
    }

    /// What it is.
    pub fn kind(&self) -> Kind {
        self.kind
    }

    /// The bytes as they came.
    pub fn body(&self) -> &Bytes {
        &self.body
    }

    /// The span of the message in [`Self::body`], without white space around it.
    pub fn root(&self) -> Range<usize> {
        self.spans.root.clone()
    }

    /// The id as JSON text.
    pub fn id(&self) -> Option<&str> {
        self.id.as_ref().map(|span| self.text(span))
    }

    /// The span of the id.
    pub fn id_span(&self) -> Option<Range<usize>> {
        self.id.clone()
    }

    /// The method; empty for a response.
    pub fn method(&self) -> &str {
        self.method.as_deref().unwrap_or_default()
    }

    /// The JSON text of a span.
    pub fn text(&self, span: &Range<usize>) -> &str {
        self.body.get(span.clone()).and_then(|bytes| std::str::from_utf8(bytes).ok()).unwrap_or_default()
    }

    /// The span of `params`, or of the result or the error in a response.
    pub fn params_span(&self) -> Option<Range<usize>> {
        self.params.clone()
    }

    /// `params`, or the result or the error in a response, as JSON text.
    pub fn params(&self) -> Option<&str> {
        self.params.as_ref().map(|span| self.text(span))
    }

    /// The span of a field of `params`.
    pub fn param_span(&self, key: &str) -> Option<Range<usize>> {
        self.spans.get(&self.body, self.params.as_ref()?, 2, key)
    }

    /// A field of `params` as JSON text.
    pub fn param(&self, key: &str) -> Option<&str> {
        self.param_span(key).map(|span| self.text(&span))
    }

    /// A field of `params` that is a string, unescaped.
    pub fn param_str(&self, key: &str) -> Option<Cow<'_, str>> {
        json::string(&self.body, &self.param_span(key)?)
    }

    /// The span of a field of a field of `params`, such as `_meta` and one of its keys.
    pub fn inner_span(&self, outer: &str, key: &str) -> Option<Range<usize>> {
        self.spans.get(&self.body, &self.param_span(outer)?, 3, key)
    }

    /// A field of a field of `params` as JSON text.
    pub fn inner(&self, outer: &str, key: &str) -> Option<&str> {
        self.inner_span(outer, key).map(|span| self.text(&span))
    }

    /// The same, if it is a string, unescaped.
    pub fn inner_str(&self, outer: &str, key: &str) -> Option<Cow<'_, str>> {
        json::string(&self.body, &self.inner_span(outer, key)?)
    }

    /// The fields of `params`, with the spans of key and value.
    pub fn param_fields(&self) -> Vec<json::Field> {
        self.params.as_ref().map(|span| self.spans.fields(span, 2).cloned().collect()).unwrap_or_default()
    }

    /// The fields of a field of `params`, with the spans of key and value.
    pub fn inner_fields(&self, outer: &str) -> Vec<json::Field> {
        self.param_span(outer).map(|span| self.spans.fields(&span, 3).cloned().collect()).unwrap_or_default()
    }

    /// A key's text.
    pub fn key(&self, field: &json::Field) -> Cow<'_, str> {
        json::string(&self.body, &field.key).unwrap_or_default()
    }

    /// Whether a field of `_meta` exists.
    pub fn meta(&self, key: &str) -> Option<&str> {
        self.inner("_meta", key)
    }
}

/// Splits a batch (2025-03-26, section "Batching") into its messages. `None` if the body is no array.
pub fn batch(body: &Bytes, count_max: usize, limits: Limits) -> Option<Result<Vec<Message>, MessageError>> {
    if body.iter().find(|byte| !byte.is_ascii_whitespace()) != Some(&b'[') {
        return None;
    }
    // The scan rejects duplicates inside the members; `RawValue` then splits without rewriting.
    if let Err(error) = json::scan(body, limits) {
        return Some(Err(MessageError::Json(error)));
    }
    let Ok(members) = serde_json::from_slice::<Vec<&serde_json::value::RawValue>>(body) else {
        return Some(Err(MessageError::Shape("the batch can't be read")));
    };
    if members.is_empty() {
        return Some(Err(MessageError::Shape("an empty batch")));
    }
    if members.len() > count_max {
        return Some(Err(MessageError::Shape("too many messages in one batch")));
    }
    Some(members.iter().map(|member| Message::parse(body.slice_ref(member.get().as_bytes()), limits)).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &'static str) -> Result<Message, MessageError> {
        Message::parse(Bytes::from_static(text.as_bytes()), Limits::default())
    }

    #[test]
    fn kinds() {
        assert_eq!(parse(r#"{"jsonrpc":"2.0","id":1,"method":"ping"}"#).unwrap().kind(), Kind::Request);
        assert_eq!(parse(r#"{"jsonrpc":"2.0","method":"notifications/x"}"#).unwrap().kind(), Kind::Notification);
        assert_eq!(parse(r#"{"jsonrpc":"2.0","id":"a","result":{}}"#).unwrap().kind(), Kind::Response);
        assert_eq!(parse(r#"{"jsonrpc":"2.0","id":null,"error":{"code":1,"message":""}}"#).unwrap().kind(), Kind::Error);
        assert!(parse(r#"{"jsonrpc":"2.0","id":null,"method":"ping"}"#).is_err());
        assert!(parse(r#"{"jsonrpc":"2.0","id":1,"method":"a","result":{}}"#).is_err());
        assert!(parse(r#"{"id":1,"method":"a"}"#).is_err());
        assert!(parse(r#"{"jsonrpc":"2.0","id":1,"method":"a","params":[]}"#).is_err());
        assert!(parse(r#"{"jsonrpc":"2.0","id":1,"method":"a","method":"b"}"#).is_err());
    }

    #[test]
    fn parts() {
        let message =
            parse(r#"{"jsonrpc":"2.0","id":"q","method":"tools/call","params":{"name":"a","arguments":{"n":1e999},"_meta":{"progressToken":4}}}"#)
                .unwrap();
        assert_eq!(message.id(), Some("\"q\""));
        assert_eq!(message.param_str("name").as_deref(), Some("a"));
        assert_eq!(message.param("arguments"), Some(r#"{"n":1e999}"#));
        assert_eq!(message.meta("progressToken"), Some("4"));
    }

    #[test]
    fn batches_are_split_without_rewriting() {
        let body = Bytes::from_static(br#" [{"jsonrpc":"2.0","id":1,"method":"ping"}, {"jsonrpc":"2.0","method":"n"}]"#);
        let messages = batch(&body, 10, Limits::default()).unwrap().unwrap();
        assert_eq!(messages.len(), 2);
        assert_eq!(&messages[1].body()[..], br#"{"jsonrpc":"2.0","method":"n"}"#);
        assert!(batch(&body, 1, Limits::default()).unwrap().is_err());
        assert!(batch(&Bytes::from_static(b"{}"), 1, Limits::default()).is_none());
    }
}
