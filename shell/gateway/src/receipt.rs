//! Receipts: a caller that asks is told where the decision about its call stands in the journal, and by which signed checkpoint.
//!
//! It asks with `_meta["remit/receipt"]: true`, and gets the same key in the result's `_meta`: the decision's id, the index of its entry, the
//! log's public key and a checkpoint that covers it. The proof itself is fetched when it is needed.

use std::sync::Arc;

use bytes::Bytes;
use remit_mcp::json::{Limits, quote};
use remit_mcp::splice::Splice;
use remit_mcp::{Kind, Message};

use crate::Inner;
use crate::call::Caller;
use crate::record::Recorder;

/// The key in `_meta`.
pub(crate) const META: &str = "remit/receipt";

/// A receipt that was asked for.
pub(crate) struct Receipt {
    gateway: Arc<Inner>,
    decision: String,
    index: u64,
}

impl Receipt {
    /// The receipt of a call's decision, if the request asks for one.
    pub(crate) fn wanted(caller: &Caller, request: &Message, decision: &str) -> Option<Self> {
        let index = caller.recorded_at.filter(|_| request.inner("_meta", META) == Some("true"))?;
        Some(Self { gateway: Arc::clone(&caller.gateway), decision: decision.to_owned(), index })
    }

    /// A response with it; what is no result stays as it is.
    pub(crate) fn put(receipt: Option<Self>, bytes: Bytes) -> Bytes {
        match receipt {
            Some(Self { gateway, decision, index }) => with_receipt(&gateway.recorder, &decision, index, bytes),
            None => bytes,
        }
    }
}

fn with_receipt(recorder: &Recorder, decision: &str, index: u64, bytes: Bytes) -> Bytes {
    let Ok(message) = Message::parse(bytes.clone(), Limits::default()) else { return bytes };
    let Some(result) = message.params_span().filter(|_| message.kind() == Kind::Response) else { return bytes };
    let (checkpoint, vkey) = recorder.proved();
    let receipt = format!(
        "{{\"decision\":{},\"index\":{index},\"log\":{},\"checkpoint\":{}}}",
        quote(decision),
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
