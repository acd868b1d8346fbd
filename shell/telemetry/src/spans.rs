//! One span a call, with the names of OpenTelemetry's conventions for MCP and GenAI, over OTLP/HTTP.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::Full;
use opentelemetry::trace::{SpanContext, SpanId, SpanKind, Status, TraceFlags, TraceId, TraceState};
use opentelemetry::{InstrumentationScope, KeyValue};
use opentelemetry_http::{HttpClient, HttpError};
use opentelemetry_otlp::{Protocol, SpanExporter, WithExportConfig, WithHttpConfig};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::trace::{BatchSpanProcessor, SpanData, SpanEvents, SpanLinks, SpanProcessor};
use remit_gateway::{Observed, SessionEnded};
use remit_model::Network;
use rustls::ClientConfig;

use crate::signals::Signals;

/// How long one export may take.
pub(crate) const EXPORT_TIMEOUT: Duration = Duration::from_secs(10);

/// Why nothing can be exported.
#[derive(Debug, thiserror::Error)]
#[error("the exporter to the collector could not be made: {0}")]
pub struct SpanError(pub(crate) String);

/// Exports spans, and metrics and logs with them.
#[derive(Debug)]
pub struct Spans {
    processor: BatchSpanProcessor,
    signals: Signals,
    scope: InstrumentationScope,
}

/// Sends over Remit's own way out, on the runtime: the SDK's thread has none.
#[derive(Debug)]
pub(crate) struct Out {
    runtime: tokio::runtime::Handle,
    network: Network,
    tls: Arc<ClientConfig>,
}

impl Out {
    pub(crate) fn new(network: Network, tls: &Arc<ClientConfig>) -> Self {
        Self { runtime: tokio::runtime::Handle::current(), network, tls: Arc::clone(tls) }
    }
}

/// Who exports.
pub(crate) fn resource() -> Resource {
    let attributes = [KeyValue::new("service.name", "remit"), KeyValue::new("service.version", env!("CARGO_PKG_VERSION"))];
    Resource::builder_empty().with_attributes(attributes).build()
}

#[async_trait::async_trait]
impl HttpClient for Out {
    async fn send_bytes(&self, request: Request<Bytes>) -> Result<Response<Bytes>, HttpError> {
        let (network, tls, url) = (self.network, Arc::clone(&self.tls), request.uri().to_string());
        let request = request.map(Full::new);
        let sent = self.runtime.spawn(async move { remit_egress::fetch(&url, network, &tls, EXPORT_TIMEOUT, request).await });
        Ok(sent.await??)
    }
}

impl Spans {
    /// Exports to a collector's base address, such as `http://127.0.0.1:4318`. Must be called on the runtime.
    pub fn new(endpoint: &str, network: Network, tls: &Arc<ClientConfig>) -> Result<Self, SpanError> {
        let fault = |error: &dyn std::fmt::Display| SpanError(error.to_string());
        let exporter = SpanExporter::builder()
            .with_http()
            .with_http_client(Out::new(network, tls))
            .with_protocol(Protocol::HttpBinary)
            .with_endpoint(format!("{}/v1/traces", endpoint.trim_end_matches('/')))
            .with_timeout(EXPORT_TIMEOUT)
            .build()
            .map_err(|error| fault(&error))?;
        let mut processor = BatchSpanProcessor::builder(exporter).build();
        processor.set_resource(&resource());
        let signals = Signals::new(endpoint, network, tls)?;
        Ok(Self {
            processor,
            signals,
            scope: InstrumentationScope::builder("remit").with_version(env!("CARGO_PKG_VERSION")).build(),
        })
    }

    pub(crate) fn observed(&self, call: &Observed<'_>) {
        self.signals.observed(call);
        let (trace_id, span_id, parent_id, sampled) = call.trace();
        let (Ok(trace_id), Ok(span_id)) = (TraceId::from_hex(trace_id), SpanId::from_hex(span_id)) else { return };
        if !sampled {
            return;
        }
        let parent = parent_id.and_then(|parent| SpanId::from_hex(parent).ok());
        let end_time = SystemTime::now();
        let name = if call.tool().is_empty() { call.method().to_owned() } else { format!("{} {}", call.method(), call.tool()) };
        self.processor.on_end(SpanData {
            span_context: SpanContext::new(trace_id, span_id, TraceFlags::SAMPLED, false, TraceState::default()),
            parent_span_id: parent.unwrap_or(SpanId::INVALID),
            parent_span_is_remote: parent.is_some(),
            span_kind: SpanKind::Server,
            name: name.into(),
            start_time: end_time.checked_sub(call.total).unwrap_or(end_time),
            end_time,
            attributes: attributes(call),
            dropped_attributes_count: 0,
            events: SpanEvents::default(),
            links: SpanLinks::default(),
            status: status(call),
            instrumentation_scope: self.scope.clone(),
        });
    }

    pub(crate) fn session_ended(&self, ended: &SessionEnded<'_>) {
        self.signals.session_ended(ended);
    }

    pub(crate) fn flush(&self) {
        let _ = self.processor.force_flush();
        self.signals.flush();
    }
}

fn status(call: &Observed<'_>) -> Status {
    match (call.reason, call.outcome) {
        (Some(reason), _) => Status::error(reason.to_owned()),
        (None, "ok" | "input_required" | "task" | "answered" | "cancelled") => Status::Unset,
        (None, outcome) => Status::error(outcome.to_owned()),
    }
}

/// Why it was denied or held, or how it ended if not well.
pub(crate) fn error_type<'a>(call: &Observed<'a>) -> Option<&'a str> {
    call.reason.or(Some(call.outcome).filter(|_| !matches!(status(call), Status::Unset)))
}

fn attributes(call: &Observed<'_>) -> Vec<KeyValue> {
    let mut all = vec![
        KeyValue::new("mcp.method.name", call.method().to_owned()),
        KeyValue::new("remit.space", call.space().to_owned()),
        KeyValue::new("remit.verdict", call.verdict.to_owned()),
        KeyValue::new("remit.outcome", call.outcome.to_owned()),
        KeyValue::new("remit.upstream.duration_ms", i64::try_from(call.upstream.as_millis()).unwrap_or(i64::MAX)),
    ];
    if !call.agent().is_empty() {
        all.push(KeyValue::new("gen_ai.agent.id", call.agent().to_owned()));
    }
    if call.method() == "tools/call" {
        all.push(KeyValue::new("gen_ai.operation.name", "execute_tool"));
        all.push(KeyValue::new("gen_ai.tool.name", call.tool().to_owned()));
    }
    if !call.protocol().is_empty() {
        all.push(KeyValue::new("mcp.protocol.version", call.protocol().to_owned()));
    }
    if let Some(session) = call.session() {
        all.push(KeyValue::new("mcp.session.id", session.to_owned()));
    }
    if let Some(error) = error_type(call) {
        all.push(KeyValue::new("error.type", error.to_owned()));
    }
    all
}
