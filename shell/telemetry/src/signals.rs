//! Metrics and logs over OTLP/HTTP, beside the spans: with the names of OpenTelemetry's conventions for MCP and GenAI, and a log record a decision.
//!
//! Recording is in memory and never waits: metrics are sent every minute, logs in batches from a bounded queue of the SDK's.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use opentelemetry::logs::{AnyValue, LogRecord as _, Logger as _, LoggerProvider as _, Severity};
use opentelemetry::metrics::{Counter, Histogram, MeterProvider as _};
use opentelemetry::trace::{SpanId, TraceFlags, TraceId};
use opentelemetry::{InstrumentationScope, KeyValue};
use opentelemetry_otlp::{LogExporter, MetricExporter, Protocol, WithExportConfig, WithHttpConfig};
use opentelemetry_sdk::logs::{SdkLogger, SdkLoggerProvider};
use opentelemetry_sdk::metrics::SdkMeterProvider;
use remit_gateway::{Observed, SessionEnded};
use remit_model::Network;
use rustls::ClientConfig;

use crate::spans::{EXPORT_TIMEOUT, Out, SpanError, error_type, resource};

/// The boundaries that the conventions for MCP give durations, in seconds.
const BOUNDARIES: [f64; 14] = [0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0];

/// Exports metrics and logs.
#[derive(Debug)]
pub(crate) struct Signals {
    meters: SdkMeterProvider,
    loggers: SdkLoggerProvider,
    logger: SdkLogger,
    server: Histogram<f64>,
    client: Histogram<f64>,
    server_session: Histogram<f64>,
    client_session: Histogram<f64>,
    decisions: Counter<u64>,
}

impl Signals {
    /// Exports to a collector's base address. Must be called on the runtime.
    pub(crate) fn new(endpoint: &str, network: Network, tls: &Arc<ClientConfig>) -> Result<Self, SpanError> {
        let fault = |error: &dyn std::fmt::Display| SpanError(error.to_string());
        let base = endpoint.trim_end_matches('/');
        let metrics = MetricExporter::builder()
            .with_http()
            .with_http_client(Out::new(network, tls))
            .with_protocol(Protocol::HttpBinary)
            .with_endpoint(format!("{base}/v1/metrics"))
            .with_timeout(EXPORT_TIMEOUT)
            .build()
            .map_err(|error| fault(&error))?;
        let logs = LogExporter::builder()
            .with_http()
            .with_http_client(Out::new(network, tls))
            .with_protocol(Protocol::HttpBinary)
            .with_endpoint(format!("{base}/v1/logs"))
            .with_timeout(EXPORT_TIMEOUT)
            .build()
            .map_err(|error| fault(&error))?;
        let meters = SdkMeterProvider::builder().with_periodic_exporter(metrics).with_resource(resource()).build();
        let loggers = SdkLoggerProvider::builder().with_batch_exporter(logs).with_resource(resource()).build();
        let scope = InstrumentationScope::builder("remit").with_version(env!("CARGO_PKG_VERSION")).build();
        let meter = meters.meter_with_scope(scope.clone());
        let duration = |name: &'static str, what: &'static str| {
            meter.f64_histogram(name).with_unit("s").with_description(what).with_boundaries(BOUNDARIES.to_vec()).build()
        };
        let (server, client) = (
            duration("mcp.server.operation.duration", "From a request's head to its reply"),
            duration("mcp.client.operation.duration", "What the upstream server took of it"),
        );
        let (server_session, client_session) = (
            duration("mcp.server.session.duration", "How long sessions of clients lasted"),
            duration("mcp.client.session.duration", "How long sessions with servers lasted"),
        );
        let decisions = meter.u64_counter("remit.decisions").with_unit("{decision}").with_description("Calls by their verdict");
        let decisions = decisions.build();
        let logger = loggers.logger_with_scope(scope);
        Ok(Self { meters, loggers, logger, server, client, server_session, client_session, decisions })
    }

    pub(crate) fn observed(&self, call: &Observed<'_>) {
        // As for Prometheus: what a stranger types is no attribute of a metric.
        let known = !call.server().is_empty();
        let mut operation =
            vec![KeyValue::new("mcp.method.name", if known { call.method().to_owned() } else { "other".to_owned() })];
        if known && call.method() == "tools/call" {
            operation.push(KeyValue::new("gen_ai.operation.name", "execute_tool"));
            operation.push(KeyValue::new("gen_ai.tool.name", call.tool().to_owned()));
        }
        if !call.protocol().is_empty() {
            operation.push(KeyValue::new("mcp.protocol.version", call.protocol().to_owned()));
        }
        operation.extend(error_type(call).map(|error| KeyValue::new("error.type", error.to_owned())));
        self.server.record(call.total.as_secs_f64(), &operation);
        if call.upstream > Duration::ZERO {
            self.client.record(call.upstream.as_secs_f64(), &operation);
        }
        let named = |name: &str| if known { name.to_owned() } else { "other".to_owned() };
        self.decisions.add(
            1,
            &[
                KeyValue::new("remit.verdict", call.verdict.to_owned()),
                KeyValue::new("remit.reason", call.reason.unwrap_or_default().to_owned()),
                KeyValue::new("remit.space", named(call.space())),
                KeyValue::new("gen_ai.agent.id", call.agent().to_owned()),
                KeyValue::new("gen_ai.tool.name", named(call.tool())),
            ],
        );
        self.log(call);
    }

    pub(crate) fn session_ended(&self, ended: &SessionEnded<'_>) {
        let mut attributes = vec![
            KeyValue::new("mcp.protocol.version", ended.version.to_owned()),
            KeyValue::new("network.transport", ended.transport.to_owned()),
        ];
        if ended.transport == "tcp" {
            attributes.push(KeyValue::new("network.protocol.name", "http"));
        }
        attributes.extend(ended.error.map(|error| KeyValue::new("error.type", error.to_owned())));
        attributes.extend(ended.server.map(|server| KeyValue::new("remit.server", server.to_owned())));
        let histogram = if ended.server.is_some() { &self.client_session } else { &self.server_session };
        histogram.record(ended.lasted.as_secs_f64(), &attributes);
    }

    /// The decision as a log record: what the decision log has, in the trace of the call.
    fn log(&self, call: &Observed<'_>) {
        let mut record = self.logger.create_log_record();
        record.set_event_name("remit.decision");
        record.set_timestamp(SystemTime::now());
        let (severity, word) = if call.verdict == "DENY" { (Severity::Warn, "WARN") } else { (Severity::Info, "INFO") };
        record.set_severity_number(severity);
        record.set_severity_text(word);
        record.set_body(AnyValue::from(format!("{} {} by {}", call.verdict, call.tool(), call.agent())));
        let attributes = [
            ("agent_id", call.agent()),
            ("tool_id", call.tool()),
            ("policy_result", call.verdict),
            ("reason", call.reason.unwrap_or_default()),
            ("remit.space", call.space()),
            ("remit.outcome", call.outcome),
        ];
        record.add_attributes(attributes.map(|(name, value)| (name, AnyValue::from(value.to_owned()))));
        let (trace_id, span_id, _, sampled) = call.trace();
        if let (Ok(trace_id), Ok(span_id)) = (TraceId::from_hex(trace_id), SpanId::from_hex(span_id)) {
            let flags = if sampled { TraceFlags::SAMPLED } else { TraceFlags::NOT_SAMPLED };
            record.set_trace_context(trace_id, span_id, Some(flags));
        }
        self.logger.emit(record);
    }

    pub(crate) fn flush(&self) {
        let _ = self.meters.force_flush();
        let _ = self.loggers.force_flush();
    }
}
