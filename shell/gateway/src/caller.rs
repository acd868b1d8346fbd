//! Who calls: the principal with its client, space and configuration, fixed for the life of one request.

use std::sync::Arc;

use remit_kernel::{Approval, Decision, Fact, Facts, Identity, Origin, PolicySession, Principal, SpaceView};
use remit_mcp::{Era, Version};
use remit_model::CallOrigin;

use crate::budget::Deciding;
use crate::flow::Traced;
use crate::observe::PolicyFlip;
use crate::record::Names;
use crate::session::Session;
use crate::{Inner, State};

/// Who calls, from where, under which configuration: fixed for the life of one request.
#[derive(Debug, Clone)]
pub(crate) struct Caller {
    pub(crate) gateway: Arc<Inner>,
    pub(crate) state: Arc<State>,
    pub(crate) space: Arc<SpaceView>,
    pub(crate) principal: Arc<Principal>,
    /// Agent and user in one text: what sessions, tasks and states are bound to.
    pub(crate) who: String,
    pub(crate) client: Client,
    /// From where the request came.
    pub(crate) origin: Origin,
    /// The policy session, and what its history said of the call.
    pub(crate) policy_session: PolicySession,
    /// The approval that lets the call through.
    pub(crate) approved_by: Option<Arc<Approval>>,
    /// What stands behind the call's values.
    pub(crate) provenance: Fact<Option<Arc<CallOrigin>>>,
    /// The call's place in what its session touches.
    pub(crate) traced: Option<Traced>,
    /// Where the decision about the call stands in the journal, once it does.
    pub(crate) recorded_at: Option<u64>,
    /// The task that a request is about.
    pub(crate) task_id: Option<String>,
}

/// The client, as its era has it.
#[derive(Debug, Clone)]
pub(crate) enum Client {
    /// A session.
    Legacy(Arc<Session>),
    /// What the request itself says.
    Modern(Arc<ModernClient>),
}

/// What a request of 2026-07-28 says of its client.
#[derive(Debug)]
pub(crate) struct ModernClient {
    /// JSON text.
    pub(crate) capabilities: String,
    pub(crate) log_level: Option<String>,
}

impl Caller {
    /// Goes over to the configuration that is in effect now. A space that is no more keeps its last shape: the decision finds it gone.
    pub(crate) fn refresh(&mut self) {
        self.state = self.gateway.state.load_full();
        if let Some(space) = self.state.snapshot.spaces.get(self.space.space.id.as_str()) {
            self.space = Arc::clone(space);
        }
    }

    /// What its budgets say to a call; until what is returned is dropped, it counts.
    pub(crate) fn count(&self, method: &str, facts: &mut Facts) -> Option<Deciding> {
        if !remit_kernel::budget::counts(method) {
            return None;
        }
        let budgets = &self.state.snapshot.organization.budgets;
        let (uses, deciding) = self.gateway.budgeted(budgets, &self.space.space.id, &self.principal);
        facts.budgets = uses;
        deciding
    }

    /// Counts a decision that policies in LOG_ONLY would have turned.
    pub(crate) fn flipped(&self, names: &Names, decision: &Decision) {
        if decision.policy_flip.is_some() {
            let flip = PolicyFlip { space: &names.space, tool: &names.tool, allowed: decision.allows() };
            self.gateway.recorder.observer().policy_flip(flip);
        }
    }

    /// The facts of this caller, with no quota used.
    pub(crate) fn facts(&self) -> Facts {
        let identity = Fact::Known(Identity::Authenticated(Arc::clone(&self.principal)));
        let facts = self.gateway.facts(identity, self.gateway.space_address(self.space.space.id.as_str()), self.origin.clone());
        let approvals = Fact::Known(self.approved_by.iter().cloned().collect());
        let provenance = self.provenance.clone();
        Facts { policy_session: self.policy_session.clone(), approvals, provenance, ..facts }
    }

    pub(crate) fn era(&self) -> Era {
        match &self.client {
            Client::Legacy(_) => Era::Legacy,
            Client::Modern(_) => Era::Modern,
        }
    }

    pub(crate) fn version(&self) -> Version {
        match &self.client {
            Client::Legacy(session) => session.version,
            Client::Modern(_) => Version::V20260728,
        }
    }

    pub(crate) fn capabilities(&self) -> &str {
        match &self.client {
            Client::Legacy(session) => &session.capabilities,
            Client::Modern(modern) => &modern.capabilities,
        }
    }
}
