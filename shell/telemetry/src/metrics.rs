//! Figures for Prometheus. Label values are bounded: a name that no configuration holds is `other`.

use prometheus::{HistogramOpts, HistogramVec, IntCounterVec, IntGauge, Opts, Registry, TextEncoder};
use remit_gateway::{Gauge, Observed, PolicyFlip, SessionEnded};

/// The boundaries that OpenTelemetry's conventions for MCP give durations, in seconds, with finer ones below.
const BOUNDARIES: [f64; 17] =
    [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 30.0, 60.0, 120.0];

/// Those of sessions: coarser ones above.
const SESSION_BOUNDARIES: [f64; 19] =
    [0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0, 900.0, 1_800.0, 3_600.0, 14_400.0, 86_400.0];

#[derive(Debug)]
pub(crate) struct Metrics {
    registry: Registry,
    calls: IntCounterVec,
    denials: IntCounterVec,
    policy_flips: IntCounterVec,
    guardrails: IntCounterVec,
    duration: HistogramVec,
    upstream: HistogramVec,
    server_session: HistogramVec,
    client_session: HistogramVec,
    sessions: IntGauge,
    snapshot: IntGauge,
    quarantined: IntGauge,
    sandboxes: IntGauge,
    facts_lost: IntGauge,
    approvals: IntGauge,
    emergencies: IntGauge,
}

impl Metrics {
    pub(crate) fn new() -> prometheus::Result<Self> {
        let counter = |name: &str, help: &str, labels: &[&str]| IntCounterVec::new(Opts::new(name, help), labels);
        let histogram = |name: &str, help: &str, labels: &[&str]| {
            HistogramVec::new(HistogramOpts::new(name, help).buckets(BOUNDARIES.to_vec()), labels)
        };
        let session = |name: &str, help: &str, labels: &[&str]| {
            HistogramVec::new(HistogramOpts::new(name, help).buckets(SESSION_BOUNDARIES.to_vec()), labels)
        };
        let metrics = Self {
            registry: Registry::new(),
            calls: counter(
                "remit_calls_total",
                "Calls that were permitted, by how they ended",
                &["space", "agent", "tool", "outcome"],
            )?,
            denials: counter("remit_denials_total", "Calls that were denied, by reason", &["space", "agent", "tool", "reason"])?,
            policy_flips: counter(
                "remit_policy_flips_total",
                "Calls that would have been decided otherwise if what is only logged were enforced",
                &["space", "tool", "verdict"],
            )?,
            guardrails: counter(
                "remit_guardrail_requests_total",
                "Requests to guardrails of Amazon Bedrock, by whether they were answered",
                &["outcome"],
            )?,
            duration: histogram(
                "mcp_server_operation_duration_seconds",
                "From a request's head to its reply",
                &["mcp_method_name", "space", "outcome"],
            )?,
            upstream: histogram(
                "mcp_client_operation_duration_seconds",
                "What the upstream server took of it",
                &["mcp_method_name", "server"],
            )?,
            server_session: session(
                "mcp_server_session_duration_seconds",
                "How long sessions of clients lasted",
                &["mcp_protocol_version", "error_type"],
            )?,
            client_session: session(
                "mcp_client_session_duration_seconds",
                "How long sessions with servers lasted",
                &["server", "mcp_protocol_version", "error_type"],
            )?,
            sessions: IntGauge::new("remit_sessions", "Client sessions that are open")?,
            snapshot: IntGauge::new("remit_snapshot_version", "The version of the snapshot in effect")?,
            quarantined: IntGauge::new("remit_tools_quarantined", "Tools whose definition is not the accepted one")?,
            sandboxes: IntGauge::new(
                "remit_sandboxes_degraded",
                "Started servers without a sandbox, or in one that lacks something",
            )?,
            facts_lost: IntGauge::new("remit_facts_lost", "Facts of decisions that could not be kept since the start")?,
            approvals: IntGauge::new("remit_approvals_pending", "Calls that wait for people")?,
            emergencies: IntGauge::new("remit_break_glass_unreviewed", "Emergencies that nobody has looked at yet")?,
        };
        // From nothing on: what appears with its first failure is no increase.
        for outcome in ["answered", "failed"] {
            metrics.guardrails.with_label_values(&[outcome]);
        }
        metrics.register()?;
        Ok(metrics)
    }

    fn register(&self) -> prometheus::Result<()> {
        for counter in [&self.calls, &self.denials, &self.policy_flips, &self.guardrails] {
            self.registry.register(Box::new(counter.clone()))?;
        }
        for histogram in [&self.duration, &self.upstream, &self.server_session, &self.client_session] {
            self.registry.register(Box::new(histogram.clone()))?;
        }
        let gauges = [
            &self.sessions,
            &self.snapshot,
            &self.quarantined,
            &self.sandboxes,
            &self.facts_lost,
            &self.approvals,
            &self.emergencies,
        ];
        for gauge in gauges {
            self.registry.register(Box::new(gauge.clone()))?;
        }
        Ok(())
    }

    pub(crate) fn observed(&self, call: &Observed<'_>) {
        // A server is only named where the space knows the tool: so what a stranger types never becomes a label.
        let known = !call.server().is_empty();
        let tool = if known { call.tool() } else { "other" };
        let (space, agent) = match (known, call.agent()) {
            (_, "") => ("other", ""),
            (true, agent) => (call.space(), agent),
            (false, agent) => ("other", agent),
        };
        let method = if known { call.method() } else { "other" };
        if let Some(reason) = call.reason.filter(|_| call.verdict == "DENY") {
            self.denials.with_label_values(&[space, agent, tool, reason]).inc();
        } else {
            self.calls.with_label_values(&[space, agent, tool, call.outcome]).inc();
            self.upstream.with_label_values(&[method, call.server()]).observe(call.upstream.as_secs_f64());
        }
        self.duration.with_label_values(&[method, space, call.outcome]).observe(call.total.as_secs_f64());
    }

    pub(crate) fn session_ended(&self, ended: &SessionEnded<'_>) {
        let (error, secs) = (ended.error.unwrap_or_default(), ended.lasted.as_secs_f64());
        match ended.server {
            Some(server) => self.client_session.with_label_values(&[server, ended.version, error]).observe(secs),
            None => self.server_session.with_label_values(&[ended.version, error]).observe(secs),
        }
    }

    pub(crate) fn policy_flip(&self, flip: PolicyFlip<'_>) {
        let verdict = if flip.allowed { "ALLOW" } else { "DENY" };
        self.policy_flips.with_label_values(&[flip.space, flip.tool, verdict]).inc();
    }

    pub(crate) fn guardrail_asked(&self, answered: bool) {
        self.guardrails.with_label_values(&[if answered { "answered" } else { "failed" }]).inc();
    }

    pub(crate) fn gauge(&self, gauge: Gauge) {
        let whole = |number: usize| i64::try_from(number).unwrap_or(i64::MAX);
        match gauge {
            Gauge::Sessions(number) => self.sessions.set(whole(number)),
            Gauge::Snapshot(version) => self.snapshot.set(i64::try_from(version).unwrap_or(i64::MAX)),
            Gauge::Quarantined(number) => self.quarantined.set(whole(number)),
            Gauge::SandboxesDegraded(number) => self.sandboxes.set(whole(number)),
            Gauge::ApprovalsPending(number) => self.approvals.set(whole(number)),
            Gauge::EmergenciesUnreviewed(number) => self.emergencies.set(whole(number)),
            Gauge::FactsLost(number) => self.facts_lost.set(i64::try_from(number).unwrap_or(i64::MAX)),
        }
    }

    pub(crate) fn text(&self) -> Result<String, String> {
        TextEncoder::new().encode_to_string(&self.registry.gather()).map_err(|error| error.to_string())
    }
}
