//! What operations sees of the data plane: metrics in Prometheus' text format, and spans, metrics and logs over OTLP; and of the journal: [`figures`] for
//! CloudWatch in its embedded format ([`emf`]) and as requests ([`cloudwatch`]), and decisions as a log ([`decision_log`]).
//!
//! Nothing here can fail a call or make one wait: spans go into a bounded queue of the SDK's and are dropped, and counted by it, when
//! nobody takes them.

pub mod cloudwatch;
pub mod decision_log;
pub mod emf;
pub mod figures;
mod metrics;
mod signals;
mod spans;

use std::sync::Arc;

use remit_gateway::{Gauge, Observed, Observer, PolicyFlip, SessionEnded};

pub use spans::{SpanError, Spans};

/// Metrics; and spans, metrics and logs for a collector if one is named.
pub struct Telemetry {
    metrics: metrics::Metrics,
    spans: Option<Spans>,
}

impl std::fmt::Debug for Telemetry {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Telemetry")
    }
}

impl Telemetry {
    /// Metrics alone, or with spans.
    pub fn new(spans: Option<Spans>) -> Result<Arc<Self>, String> {
        Ok(Arc::new(Self { metrics: metrics::Metrics::new().map_err(|error| error.to_string())?, spans }))
    }

    /// The metrics in Prometheus' text format. `extra` are further lines of that format, from whoever else has figures.
    pub fn prometheus(&self, extra: &str) -> Result<String, String> {
        Ok(self.metrics.text()? + extra)
    }

    /// Sends what is left of the spans.
    pub fn flush(&self) {
        if let Some(spans) = &self.spans {
            spans.flush();
        }
    }
}

impl Observer for Telemetry {
    fn observed(&self, call: &Observed<'_>) {
        self.metrics.observed(call);
        if let Some(spans) = &self.spans {
            spans.observed(call);
        }
    }

    fn session_ended(&self, ended: SessionEnded<'_>) {
        self.metrics.session_ended(&ended);
        if let Some(spans) = &self.spans {
            spans.session_ended(&ended);
        }
    }

    fn guardrail_asked(&self, answered: bool) {
        self.metrics.guardrail_asked(answered);
    }

    fn policy_flip(&self, flip: PolicyFlip<'_>) {
        self.metrics.policy_flip(flip);
    }

    fn gauge(&self, gauge: Gauge) {
        self.metrics.gauge(gauge);
    }

    fn traces(&self) -> bool {
        self.spans.is_some()
    }
}
