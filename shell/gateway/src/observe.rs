//! What the data plane shows to those who watch it. Telemetry implements [`Observer`]; it can't change anything, and nothing waits for it.

use std::sync::Arc;
use std::time::Duration;

use crate::record::{Names, Trace};

/// One call that has ended.
#[derive(Debug)]
pub struct Observed<'a> {
    pub(crate) names: &'a Names,
    pub(crate) trace: &'a Trace,
    /// `ALLOW` or `DENY`.
    pub verdict: &'a str,
    /// Why it was denied.
    pub reason: Option<&'a str>,
    /// How it ended, in the journal's words.
    pub outcome: &'a str,
    /// How long it took, from the request's head to the reply.
    pub total: Duration,
    /// How much of that the upstream took.
    pub upstream: Duration,
}

impl Observed<'_> {
    /// The agent; empty if nobody knows it.
    pub fn agent(&self) -> &str {
        self.names.agent()
    }

    /// The space.
    pub fn space(&self) -> &str {
        &self.names.space
    }

    /// The tool's name in policies.
    pub fn tool(&self) -> &str {
        &self.names.tool
    }

    /// The server's name in its account; empty if the space knows no such tool.
    pub fn server(&self) -> &str {
        self.names.server.as_ref().map_or("", remit_model::ServerName::as_str)
    }

    /// The MCP method.
    pub fn method(&self) -> &str {
        &self.names.method
    }

    /// The revision that the client speaks.
    pub fn protocol(&self) -> &str {
        self.names.protocol
    }

    /// The client's session, in the session era.
    pub fn session(&self) -> Option<&str> {
        self.names.session.as_deref()
    }

    /// The trace, this span and its parent, in hexadecimal, and whether the trace is sampled.
    pub fn trace(&self) -> (&str, &str, Option<&str>, bool) {
        (&self.trace.trace_id, &self.trace.span_id, self.trace.parent_id.as_deref(), self.trace.sampled)
    }
}

/// What changes rarely and is worth a figure.
#[derive(Debug, Clone, Copy)]
pub enum Gauge {
    /// Client sessions that are open.
    Sessions(usize),
    /// The version of the snapshot in effect.
    Snapshot(u64),
    /// Tools that are quarantined.
    Quarantined(usize),
    /// Servers that Remit started without a sandbox, or in one that lacks something.
    SandboxesDegraded(usize),
    /// Facts of decisions that could not be kept since the start.
    FactsLost(u64),
    /// Calls that wait for people.
    ApprovalsPending(usize),
    /// Emergencies that nobody has looked at yet.
    EmergenciesUnreviewed(usize),
}

/// A session of the session era that is over, as one of its sides saw it. 2026-07-28 has none.
#[derive(Debug, Clone, Copy)]
pub struct SessionEnded<'a> {
    /// The server's name in its account, where Remit was its client; `None`: Remit was the server.
    pub server: Option<&'a str>,
    /// The revision that was agreed on.
    pub version: &'a str,
    /// `tcp`, or `pipe` with a server that speaks on standard input and output.
    pub transport: &'a str,
    /// Why it ended, where neither side ended it.
    pub error: Option<&'a str>,
    /// How long it lasted.
    pub lasted: Duration,
}

/// An observer in what can be shown.
#[derive(Clone)]
pub(crate) struct Watcher(pub(crate) Arc<dyn Observer>);

impl std::fmt::Debug for Watcher {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Watcher")
    }
}

/// Where a policy set that is, wholly or in part, only logged would have said otherwise.
#[derive(Debug, Clone, Copy)]
pub struct PolicyFlip<'a> {
    /// The space.
    pub space: &'a str,
    /// The tool's name in policies.
    pub tool: &'a str,
    /// Whether the call was allowed, and would have been denied; or the other way round.
    pub allowed: bool,
}

/// Watches the data plane.
pub trait Observer: Send + Sync {
    /// A call has ended. Must return at once.
    fn observed(&self, call: &Observed<'_>);

    /// A session is over. Must return at once.
    fn session_ended(&self, ended: SessionEnded<'_>);

    /// A figure has changed.
    fn gauge(&self, gauge: Gauge);

    /// What is only logged would have decided otherwise.
    fn policy_flip(&self, flip: PolicyFlip<'_>);

    /// A guardrail of Amazon Bedrock was asked behind the name of one of ours, and answered or not.
    fn guardrail_asked(&self, answered: bool);

    /// Whether spans are exported: only then is `_meta.traceparent` changed on its way upstream.
    fn traces(&self) -> bool;
}
