//! What goes upstream is made of the client's own bytes: only what must differ is cut out and put in.

use bytes::Bytes;
use remit_mcp::json::{Field, quote};
use remit_mcp::splice::Splice;
use remit_mcp::{Era, Message};

use crate::upstream::modern_meta;

/// What differs between what a client sent and what a server gets.
#[derive(Debug, Default)]
pub(crate) struct Changes<'a> {
    /// Another request id: JSON text.
    pub(crate) id: Option<&'a str>,
    /// The server's own name for the tool or prompt.
    pub(crate) name: Option<&'a str>,
    /// The server's own name of the prompt that a completion refers to.
    pub(crate) reference: Option<&'a str>,
    /// Another `traceparent`.
    pub(crate) traceparent: Option<String>,
    /// What `requestState` becomes: JSON text.
    pub(crate) request_state: Option<String>,
    /// From one era to the other.
    pub(crate) bridge: Option<Bridge<'a>>,
}

/// A step from one era to the other.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Bridge<'a> {
    /// A client of the session era, a server of 2026-07-28: what the session knows goes into every request.
    ToModern { capabilities: &'a str, client_info: &'a str, log_level: Option<&'a str> },
    /// A client of 2026-07-28, a server of the session era: what the session says is left out of the request.
    ToLegacy,
}

/// Fields of `params` that only 2026-07-28 knows.
const MODERN_PARAMS: [&str; 2] = ["inputResponses", "requestState"];
/// How the keys of `_meta` begin that only 2026-07-28 knows.
const MODERN_META: &str = "io.modelcontextprotocol/";

/// Makes the body for the server.
pub(crate) fn compose(message: &Message, changes: &Changes<'_>) -> Bytes {
    let mut splice = Splice::new();
    if let (Some(id), Some(span)) = (changes.id, message.id_span()) {
        splice.replace(span, id.as_bytes().to_vec());
    }
    match changes.bridge {
        None => within_era(message, changes, &mut splice),
        Some(bridge) => {
            let params = bridged_params(message, changes, bridge);
            match message.params_span() {
                Some(span) => splice.replace(span, params),
                None => splice.insert_field(message.body(), &message.root(), &format!("\"params\":{params}")),
            };
        }
    }
    if splice.is_empty() && message.root().len() == message.body().len() {
        return message.body().clone();
    }
    Bytes::from(splice.apply(message.body(), message.root()))
}

fn within_era(message: &Message, changes: &Changes<'_>, splice: &mut Splice) {
    if let (Some(name), Some(span)) = (changes.name, message.param_span("name")) {
        splice.replace(span, quote(name));
    }
    if let (Some(name), Some(span)) = (changes.reference, message.inner_span("ref", "name")) {
        splice.replace(span, quote(name));
    }
    if let (Some(state), Some(span)) = (&changes.request_state, message.param_span("requestState")) {
        splice.replace(span, state.clone());
    }
    if let Some(traceparent) = &changes.traceparent {
        let field = quote(traceparent);
        match (message.inner_span("_meta", "traceparent"), message.param_span("_meta")) {
            (Some(span), _) => {
                splice.replace(span, field);
            }
            (None, Some(span)) => {
                splice.insert_field(message.body(), &span, &format!("\"traceparent\":{field}"));
            }
            (None, None) => {
                if let Some(params) = message.params_span() {
                    splice.insert_field(message.body(), &params, &format!("\"_meta\":{{\"traceparent\":{field}}}"));
                }
            }
        }
    }
}

/// `params` for the other era: each value as it came, but for what has to go, to come, or to be called otherwise.
fn bridged_params(message: &Message, changes: &Changes<'_>, bridge: Bridge<'_>) -> String {
    let mut fields: Vec<String> = Vec::new();
    for field in message.param_fields() {
        let key = message.key(&field);
        let value = message.text(&field.value);
        let value = match (&*key, bridge) {
            ("_meta", _) => continue,
            // A client of the session era has no such thing to say, and another's server doesn't know it.
            (modern, _) if MODERN_PARAMS.contains(&modern) => continue,
            // A server of 2026-07-28 decides itself what becomes a task (SEP-2663).
            ("task", Bridge::ToModern { .. }) => continue,
            ("name", _) => changes.name.map_or_else(|| value.to_owned(), quote),
            ("ref", _) => reference(message, changes.reference).unwrap_or_else(|| value.to_owned()),
            _ => value.to_owned(),
        };
        fields.push(format!("{}:{value}", message.text(&field.key)));
    }
    let meta = bridged_meta(message, changes, bridge);
    if !meta.is_empty() {
        fields.push(format!("\"_meta\":{{{meta}}}"));
    }
    format!("{{{}}}", fields.join(","))
}

fn bridged_meta(message: &Message, changes: &Changes<'_>, bridge: Bridge<'_>) -> String {
    let kept = |field: &Field| {
        let key = message.key(field);
        !key.starts_with(MODERN_META) && (key != "traceparent" || changes.traceparent.is_none())
    };
    let mut fields: Vec<String> = message
        .inner_fields("_meta")
        .iter()
        .filter(|field| kept(field))
        .map(|field| format!("{}:{}", message.text(&field.key), message.text(&field.value)))
        .collect();
    if let Some(traceparent) = &changes.traceparent {
        fields.push(format!("\"traceparent\":{}", quote(traceparent)));
    }
    if let Bridge::ToModern { capabilities, client_info, log_level } = bridge {
        fields.push(modern_meta(capabilities, client_info, log_level));
    }
    fields.join(",")
}

fn reference(message: &Message, name: Option<&str>) -> Option<String> {
    let name = name?;
    let fields = message.inner_fields("ref").into_iter().map(|field| match &*message.key(&field) {
        "name" => format!("\"name\":{}", quote(name)),
        _ => format!("{}:{}", message.text(&field.key), message.text(&field.value)),
    });
    Some(format!("{{{}}}", fields.collect::<Vec<_>>().join(",")))
}

/// The retry of a multi-round-trip request: the body that was sent, under a new id, with what the client answered.
pub(crate) fn retry(sent: &Message, id: &str, input_responses: &str, request_state: Option<&str>) -> Bytes {
    let mut splice = Splice::new();
    if let Some(span) = sent.id_span() {
        splice.replace(span, id.as_bytes().to_vec());
    }
    let fields: Vec<String> = sent
        .param_fields()
        .iter()
        .filter(|field| !MODERN_PARAMS.contains(&&*sent.key(field)))
        .map(|field| format!("{}:{}", sent.text(&field.key), sent.text(&field.value)))
        .chain([format!("\"inputResponses\":{input_responses}")])
        .chain(request_state.map(|state| format!("\"requestState\":{state}")))
        .collect();
    if let Some(span) = sent.params_span() {
        splice.replace(span, format!("{{{}}}", fields.join(",")));
    }
    Bytes::from(splice.apply(sent.body(), sent.root()))
}

/// A response for the client: under the client's id, with what its era demands of a result, and every other byte as it came.
pub(crate) fn response(message: &Message, id: &str, client: Era, server: Era, cacheable: bool) -> Bytes {
    let mut splice = Splice::new();
    if message.id() != Some(id)
        && let Some(span) = message.id_span()
    {
        splice.replace(span, id.as_bytes().to_vec());
    }
    if let (Era::Modern, Era::Legacy, remit_mcp::Kind::Response, Some(span)) =
        (client, server, message.kind(), message.params_span())
    {
        let mut added = Vec::new();
        if message.param_span("resultType").is_none() {
            added.push("\"resultType\":\"complete\"");
        }
        if cacheable && message.param_span("ttlMs").is_none() {
            added.push("\"ttlMs\":0,\"cacheScope\":\"private\"");
        }
        if !added.is_empty() {
            splice.insert_field(message.body(), &span, &added.join(","));
        }
    }
    if splice.is_empty() && message.root().len() == message.body().len() {
        return message.body().clone();
    }
    Bytes::from(splice.apply(message.body(), message.root()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use remit_mcp::json::Limits;

    fn message(text: &str) -> Message {
        Message::parse(Bytes::copy_from_slice(text.as_bytes()), Limits::default()).unwrap()
    }

    fn text(bytes: &Bytes) -> &str {
        std::str::from_utf8(bytes).unwrap()
    }

    const CALL: &str = r#"{ "jsonrpc":"2.0", "id":"a", "method":"tools/call", "params":{ "name":"s___t", "x":1, "arguments":{ "n" : 12345678901234567890.10 }, "_meta":{"progressToken":1,"io.modelcontextprotocol/protocolVersion":"2026-07-28"}, "inputResponses":{} } }"#;

    #[test]
    fn within_an_era_only_what_must_differ_differs() {
        let call = message(CALL);
        let sent = compose(&call, &Changes { id: Some("7"), name: Some("t"), ..Changes::default() });
        assert_eq!(text(&sent), CALL.replace("\"a\"", "7").replace("s___t", "t"));
        let same = compose(&call, &Changes::default());
        assert_eq!(same.as_ptr(), call.body().as_ptr());
    }

    #[test]
    fn arguments_cross_eras_untouched() {
        let call = message(CALL);
        let sent = compose(&call, &Changes { name: Some("t"), bridge: Some(Bridge::ToLegacy), ..Changes::default() });
        let sent = message(text(&sent));
        assert_eq!(sent.param("arguments"), call.param("arguments"));
        assert_eq!(sent.param("name"), Some("\"t\""));
        assert_eq!(sent.param("x"), Some("1"));
        assert_eq!(sent.param("_meta"), Some(r#"{"progressToken":1}"#));
        assert_eq!(sent.param("inputResponses"), None);
        let bridge = Bridge::ToModern { capabilities: "{}", client_info: "{}", log_level: Some("info") };
        let back = compose(&sent, &Changes { bridge: Some(bridge), ..Changes::default() });
        let back = message(text(&back));
        assert_eq!(back.param("arguments"), call.param("arguments"));
        assert_eq!(back.meta("io.modelcontextprotocol/protocolVersion"), Some("\"2026-07-28\""));
        assert_eq!(back.meta("io.modelcontextprotocol/logLevel"), Some("\"info\""));
    }

    #[test]
    fn a_request_without_params_gets_them() {
        let ping = message(r#"{"jsonrpc":"2.0","id":1,"method":"x"}"#);
        let bridge = Bridge::ToModern { capabilities: "{}", client_info: "{}", log_level: None };
        let sent = compose(&ping, &Changes { bridge: Some(bridge), ..Changes::default() });
        assert!(message(text(&sent)).meta("io.modelcontextprotocol/clientCapabilities").is_some());
    }

    #[test]
    fn a_result_gets_what_the_newer_era_demands() {
        let answer = message(r#"{"jsonrpc":"2.0","id":7,"result":{"content":[],"big":123456789012345678901}}"#);
        let sent = response(&answer, "\"q\"", Era::Modern, Era::Legacy, true);
        assert_eq!(
            text(&sent),
            r#"{"jsonrpc":"2.0","id":"q","result":{"resultType":"complete","ttlMs":0,"cacheScope":"private","content":[],"big":123456789012345678901}}"#
        );
        let exact = response(&answer, "7", Era::Modern, Era::Modern, false);
        assert_eq!(exact.as_ptr(), answer.body().as_ptr());
    }

    #[test]
    fn a_retry_carries_the_answers() {
        let sent = message(r#"{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"t","requestState":"old"}}"#);
        let retried = message(text(&retry(&sent, "2", r#"{"k":{}}"#, Some("\"new\""))));
        assert_eq!(
            (retried.id(), retried.param("requestState"), retried.param("inputResponses")),
            (Some("2"), Some("\"new\""), Some(r#"{"k":{}}"#))
        );
    }
}
