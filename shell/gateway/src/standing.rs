//! How servers stand in the registry: changed by people, one change at a time, durable and on record before it is in effect.

use remit_kernel::registry::{Asked, Record, changed};
use remit_model::{RegistryStatus, ServerKey};
use serde_json::json;

use crate::listen::{ListKind, list_changed};
use crate::session::lock;
use crate::{Gateway, Inner, ServerState, clock};

/// How a server stands, for an operator's eyes.
#[derive(Debug, Clone, serde::Serialize)]
pub struct RegistryStanding {
    /// The status in effect.
    pub status: RegistryStatus,
    /// The registration that it is said of.
    pub registration: String,
    /// Who said so, why and when; absent where it is as the configuration declares it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub said: Option<Record>,
}

/// Why a status wasn't changed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum StatusError {
    /// There is no such server.
    Unknown(String),
    /// It isn't to be: who asks, or what is asked for, doesn't fit.
    Refused(String),
    /// It couldn't be recorded or kept.
    Away(String),
}

impl Gateway {
    /// Changes how a server stands.
    pub async fn change_status(&self, server: &ServerKey, asked: &Asked<'_>) -> Result<RegistryStanding, StatusError> {
        let inner = &self.inner;
        // What servers offer isn't taken in meanwhile, and no other change is made.
        let _learning = inner.learning.lock().await;
        let now_secs = clock::now_ms() / 1000;
        let (from, record) = {
            let registry = lock(&inner.registry);
            let Some(registered) = registry.organization.servers.get(server) else {
                return Err(StatusError::Unknown(format!("no server `{server}` is registered")));
            };
            let (before, rules) = (registry.catalogue.records.get(server), &registry.organization.registry);
            let record = changed(registered, before, rules, asked, now_secs).map_err(StatusError::Refused)?;
            (registry.catalogue.status(registered), record)
        };
        let own = server.to_string();
        let findings: Vec<String> = {
            let registry = lock(&inner.registry);
            let of = registry.definitions.iter().filter(|finding| finding.server == own);
            of.map(remit_kernel::definitions::DefinitionFinding::what).collect()
        };
        let event = json!({
            "server": own, "from": from, "to": record.status, "registration": record.registration, "by": record.by, "proof": record.proof,
            "reason": record.reason, "submitted_by": record.submitted_by, "findings": findings,
        });
        inner.recorder.event("server_status", event).await.map_err(|error| StatusError::Away(error.to_string()))?;
        inner.pins.save_record(server, &record).map_err(StatusError::Away)?;
        let status = record.status;
        lock(&inner.registry).catalogue.records.insert(server.clone(), record.clone());
        inner.rebuild().await;
        if from.is_asked() != status.is_asked() {
            self.ask_again(server);
        }
        for kind in [ListKind::Tools, ListKind::Prompts, ListKind::Resources] {
            list_changed(inner, server, kind);
        }
        Ok(RegistryStanding { status, registration: record.registration.clone(), said: Some(record) })
    }
}

impl crate::registry::Registry {
    /// How a server of the organization stands.
    pub(crate) fn standing(&self, key: &ServerKey, server: &remit_model::Server) -> RegistryStanding {
        let said = self.catalogue.records.get(key).filter(|record| record.registration == server.registration);
        let (status, registration) = (self.catalogue.status(server), server.registration.clone());
        RegistryStanding { status, registration, said: said.cloned() }
    }
}

impl Inner {
    /// Whether a server may be started and asked what it offers; where it may not, that is how it stands.
    pub(crate) fn is_asked(&self, key: &ServerKey) -> bool {
        let status = {
            let registry = lock(&self.registry);
            registry.organization.servers.get(key).map(|server| registry.catalogue.status(server))
        };
        match status {
            Some(status) if !status.is_asked() => {
                self.server_state(key, ServerState::Away(format!("it is {status} in the registry: nothing of it is started")));
                false
            }
            _ => true,
        }
    }
}
