//! Events for PagerDuty (Events API v2: `POST /v2/enqueue`, event actions `trigger` and `resolve`, the Common Event Format).

use std::sync::Arc;

use http::Request;
use http::header::CONTENT_TYPE;
use http_body_util::Full;
use remit_egress::fetch;
use remit_model::Network;
use rustls::ClientConfig;
use serde_json::{Value, json};

use crate::{ChannelError, TIMEOUT, beginning};

/// PagerDuty's own endpoint.
pub const ENDPOINT: &str = "https://events.pagerduty.com/v2/enqueue";
/// The longest `summary`, in characters.
const SUMMARY_CHARS_MAX: usize = 1024;
/// The longest `dedup_key`, in characters.
const DEDUP_KEY_CHARS_MAX: usize = 255;
/// The largest event, in bytes.
const EVENT_BYTES_MAX: usize = 512 * 1024;

/// An integration of a service.
#[derive(Clone, Copy)]
pub struct Integration<'a> {
    /// The endpoint; `None` is PagerDuty's own.
    pub endpoint: Option<&'a str>,
    /// Which addresses the endpoint may resolve to.
    pub network: Network,
    /// The integration's routing key.
    pub routing_key: &'a str,
}

impl std::fmt::Debug for Integration<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Integration").field("endpoint", &self.endpoint).finish_non_exhaustive()
    }
}

/// What is told.
#[derive(Debug, Clone)]
pub struct Trouble<'a> {
    /// What has happened, in a sentence.
    pub summary: &'a str,
    /// Where.
    pub source: &'a str,
    /// `critical`, `error`, `warning` or `info`.
    pub severity: &'a str,
    /// When: ISO 8601.
    pub timestamp: &'a str,
    /// What kind of trouble it is.
    pub class: &'a str,
    /// Whose.
    pub group: &'a str,
    /// More.
    pub details: Value,
}

impl Integration<'_> {
    /// Tells that something is wrong, or again: one `dedup_key` is one incident.
    pub async fn trigger(&self, tls: &Arc<ClientConfig>, dedup_key: &str, trouble: &Trouble<'_>) -> Result<(), ChannelError> {
        let mut payload = json!({
            "summary": first(trouble.summary, SUMMARY_CHARS_MAX), "source": trouble.source, "severity": trouble.severity,
            "timestamp": trouble.timestamp, "component": "remit", "class": trouble.class, "custom_details": trouble.details,
        });
        if let (Some(payload), false) = (payload.as_object_mut(), trouble.group.is_empty()) {
            payload.insert("group".to_owned(), trouble.group.into());
        }
        self.send(tls, "trigger", dedup_key, Some(payload)).await
    }

    /// Tells that it is over.
    pub async fn resolve(&self, tls: &Arc<ClientConfig>, dedup_key: &str) -> Result<(), ChannelError> {
        self.send(tls, "resolve", dedup_key, None).await
    }

    async fn send(
        &self,
        tls: &Arc<ClientConfig>,
        action: &str,
        dedup_key: &str,
        payload: Option<Value>,
    ) -> Result<(), ChannelError> {
        let mut event = json!({
            "routing_key": self.routing_key.trim(), "event_action": action, "dedup_key": first(dedup_key, DEDUP_KEY_CHARS_MAX),
        });
        if let (Some(event), Some(payload)) = (event.as_object_mut(), payload) {
            event.insert("payload".to_owned(), payload);
            event.insert("client".to_owned(), "Remit".into());
        }
        let body = event.to_string().into_bytes();
        if body.len() > EVENT_BYTES_MAX {
            return Err(ChannelError::Invalid("the event is larger than 512 KiB".to_owned()));
        }
        let request = Request::post("/").header(CONTENT_TYPE, "application/json").body(Full::new(body.into()));
        let request = request.map_err(|error| ChannelError::Invalid(error.to_string()))?;
        let answer = fetch(self.endpoint.unwrap_or(ENDPOINT), self.network, tls, TIMEOUT, request).await?;
        if answer.status().is_success() {
            return Ok(());
        }
        Err(ChannelError::Refused { status: answer.status().as_u16(), said: beginning(answer.body()) })
    }
}

fn first(text: &str, chars: usize) -> String {
    text.chars().take(chars).collect()
}
