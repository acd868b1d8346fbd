//! How servers that Remit starts are confined, for operators' eyes: in the status, the journal and a figure.

use remit_model::{Sandbox, Transport};
use remit_sandbox::{Missing, Report};
use serde::Serialize;

use crate::Inner;
use crate::observe::Gauge;
use crate::session::lock;
use crate::upstream::Upstream;

/// The sandbox of a server.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct SandboxStatus {
    /// The profile's name; `none` without a sandbox.
    pub profile: String,
    /// Why there is none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// What holds, since it was started.
    pub held: Vec<&'static str>,
    /// What this machine lacks, and what that means.
    pub missing: Vec<Missing>,
}

impl SandboxStatus {
    /// Of a server, with what its launcher said last; `None` for one that isn't started here.
    pub(crate) fn new(transport: &Transport, report: Option<&Report>) -> Option<Self> {
        let Transport::Stdio { sandbox, .. } = transport else { return None };
        let report = report.filter(|report| report.failed.is_none());
        Some(match sandbox {
            Sandbox::Unconfined(reason) => {
                Self { profile: "none".to_owned(), reason: Some(reason.clone()), held: Vec::new(), missing: Vec::new() }
            }
            Sandbox::Profile(profile) => Self {
                profile: profile.name.clone(),
                reason: None,
                held: report.map(|report| report.held.iter().map(|one| one.as_str()).collect()).unwrap_or_default(),
                missing: report.map(|report| report.missing.clone()).unwrap_or_default(),
            },
        })
    }

    /// Whether less holds than could.
    pub fn is_degraded(&self) -> bool {
        self.reason.is_some() || !self.missing.is_empty()
    }
}

impl Inner {
    /// Records how a server that was started is confined, where that is less than it could be and wasn't said yet, and counts those servers.
    pub(crate) async fn note_sandbox(&self, upstream: &Upstream) {
        let key = upstream.key.to_string();
        let status = upstream.sandbox();
        let fresh = {
            let mut registry = lock(&self.registry);
            let before = match &status {
                Some(status) => registry.sandboxes.insert(upstream.key.clone(), status.clone()),
                None => registry.sandboxes.remove(&upstream.key),
            };
            let organization = std::sync::Arc::clone(&registry.organization);
            registry.sandboxes.retain(|key, _| organization.servers.contains_key(key));
            let degraded = registry.sandboxes.values().filter(|status| status.is_degraded()).count();
            self.recorder.observer().gauge(Gauge::SandboxesDegraded(degraded));
            before != status
        };
        if let Some(status) = status.filter(|status| fresh && status.is_degraded()) {
            let _ = self.recorder.event("sandbox_degraded", serde_json::json!({"server": key, "sandbox": status})).await;
        }
    }
}
