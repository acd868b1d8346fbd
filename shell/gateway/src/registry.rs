//! What snapshots are made of: the organization, and what is known of its servers.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;

use remit_kernel::Catalogue;
use remit_kernel::definitions::DefinitionFinding;
use remit_model::{Organization, ServerKey};

use crate::ServerState;
use crate::confine::SandboxStatus;
use crate::upstream::{Context, Upstream};

/// What snapshots are made of.
#[derive(Debug, Default)]
pub(crate) struct Registry {
    pub(crate) organization: Arc<Organization>,
    pub(crate) catalogue: Catalogue,
    pub(crate) registered: HashSet<ServerKey>,
    pub(crate) findings: Vec<String>,
    /// How servers that were started are confined, as it was told last.
    pub(crate) sandboxes: BTreeMap<ServerKey, SandboxStatus>,
    /// What the scan of definitions found, of all servers together.
    pub(crate) definitions: Vec<DefinitionFinding>,
    pub(crate) upstreams: HashMap<ServerKey, Arc<Upstream>>,
    pub(crate) states: BTreeMap<ServerKey, ServerState>,
    pub(crate) tasks: HashMap<ServerKey, tokio::task::AbortHandle>,
    pub(crate) version: u64,
    /// The digest of the configuration's files.
    pub(crate) configuration: String,
    /// How often the catalogue has changed, and how many of these changes are in the snapshot in effect.
    pub(crate) changes: u64,
    pub(crate) changes_compiled: u64,
}

impl Registry {
    /// Takes an organization over; answers the servers to start and the ones to stop.
    pub(crate) fn replace(
        &mut self,
        organization: Arc<Organization>,
        context: &Context,
    ) -> (Vec<Arc<Upstream>>, Vec<Arc<Upstream>>) {
        let mut started = Vec::new();
        let mut upstreams = HashMap::new();
        for (key, server) in &organization.servers {
            match self.upstreams.remove(key) {
                Some(same) if same.server == *server => {
                    upstreams.insert(key.clone(), same);
                }
                other => {
                    if let Some(old) = other {
                        self.upstreams.insert(key.clone(), old);
                    }
                    match Upstream::new(server.clone(), context) {
                        Ok(upstream) => {
                            let upstream = Arc::new(upstream);
                            self.states.insert(key.clone(), ServerState::Connecting);
                            started.push(Arc::clone(&upstream));
                            upstreams.insert(key.clone(), upstream);
                        }
                        Err(why) => {
                            self.states.insert(key.clone(), ServerState::Away(why));
                        }
                    }
                }
            }
        }
        let stopped: Vec<Arc<Upstream>> = std::mem::replace(&mut self.upstreams, upstreams).into_values().collect();
        for gone in &stopped {
            if !organization.servers.contains_key(&gone.key) {
                self.catalogue.servers.remove(&gone.key);
                self.states.remove(&gone.key);
            }
            if let Some(task) = self.tasks.remove(&gone.key) {
                task.abort();
            }
        }
        self.organization = organization;
        (started, stopped)
    }
}
