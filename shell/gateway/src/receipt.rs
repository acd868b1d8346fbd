//! Receipts: a caller that asks is told where the decision about its call stands in the journal, and by which signed checkpoint.
//!
//! It asks with `_meta["remit/receipt"]: true`, and gets the same key in the result's `_meta`: the decision's id, the index of its entry, the
//! salt with which it can be shown which arguments the entry committed to, the log's public key and a checkpoint that covers it. The proof itself is fetched when it is needed.

use std::sync::Arc;

use bytes::Bytes;
use remit_mcp::canonical::hex;
use remit_mcp::json::{Limits, quote};
use remit_mcp::splice::Splice;
use remit_mcp::{Kind, Message};

use crate::Inner;
use crate::call::Caller;
use crate::space_key::Committed;

/// The key in `_meta`.
pub(crate) const META: &str = "remit/receipt";

/// A receipt that was asked for.
pub(crate) struct Receipt {
    gateway: Arc<Inner>,
    decision: String,
    index: u64,
    /// The salt of what the entry says of the arguments, in hexadecimal.
    arguments_salt: Option<String>,
}

impl Receipt {
    /// The receipt of a call's decision, if the request asks for one.
    pub(crate) fn wanted(caller: &Caller, request: &Message, decision: &str) -> Option<Self> {
        let index = caller.recorded_at.filter(|_| request.inner("_meta", META) == Some("true"))?;
        let key = caller.gateway.recorder.keys().of(caller.space.space.id.as_str()).ok();
        let key = key.filter(|_| request.param("arguments").is_some());
        let arguments_salt = key.map(|key| hex(&key.salt(Committed::Arguments, decision)));
        Some(Self { gateway: Arc::clone(&caller.gateway), decision: decision.to_owned(), index, arguments_salt })
    }

    /// A response with it; what is no result stays as it is.
    pub(crate) fn put(receipt: Option<Self>, bytes: Bytes) -> Bytes {
        match receipt {
            Some(receipt) => with_receipt(&receipt, bytes),
            None => without(bytes),
        }
    }
}

/// What a server puts there under our name is no receipt of ours, asked or not.
fn without(bytes: Bytes) -> Bytes {
    if memchr::memmem::find(&bytes, META.as_bytes()).is_none() {
        return bytes;
    }
    let Ok(message) = Message::parse(bytes.clone(), Limits::default()) else { return bytes };
    let Some(span) = message.inner_span("_meta", META).filter(|_| message.kind() == Kind::Response) else { return bytes };
    let mut splice = Splice::new();
    splice.replace(span, b"null".to_vec());
    Bytes::from(splice.apply(message.body(), message.root()))
}

fn with_receipt(receipt: &Receipt, bytes: Bytes) -> Bytes {
    let Ok(message) = Message::parse(bytes.clone(), Limits::default()) else { return bytes };
    let Some(result) = message.params_span().filter(|_| message.kind() == Kind::Response) else { return bytes };
    let (checkpoint, vkey) = receipt.gateway.recorder.proved();
    let salt = receipt.arguments_salt.as_ref().map(|salt| format!("\"arguments_salt\":{},", quote(salt)));
    let receipt = format!(
        "{{\"decision\":{},\"index\":{},{}\"log\":{},\"checkpoint\":{}}}",
        quote(&receipt.decision),
        receipt.index,
        salt.unwrap_or_default(),
        quote(&vkey),
        quote(&checkpoint)
    );
    let field = format!("{}:{receipt}", quote(META));
    if message.param("_meta").is_some_and(|meta| !meta.starts_with('{')) {
        return bytes;
    }
    let mut splice = Splice::new();
    match (message.inner_span("_meta", META), message.param_span("_meta")) {
        // What a server puts there under our name is no receipt of ours.
        (Some(span), _) => {
            splice.replace(span, receipt.into_bytes());
        }
        (None, Some(span)) => {
            splice.insert_field(message.body(), &span, &field);
        }
        (None, None) => {
            splice.insert_field(message.body(), &result, &format!("\"_meta\":{{{field}}}"));
        }
    }
    Bytes::from(splice.apply(message.body(), message.root()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_server_puts_under_our_name_goes() {
        let text = r#"{"jsonrpc":"2.0","id":1,"result":{"content":[],"_meta":{"a":1,"remit/receipt":{"index":7}}}}"#;
        let left = without(Bytes::from_static(text.as_bytes()));
        assert_eq!(left, text.replace(r#"{"index":7}"#, "null").as_bytes());
        // A text that only speaks of it stays as it is.
        let text = r#"{"jsonrpc":"2.0","id":1,"result":{"content":[{"type":"text","text":"remit/receipt"}]}}"#;
        assert_eq!(without(Bytes::from_static(text.as_bytes())), text.as_bytes());
    }
}
