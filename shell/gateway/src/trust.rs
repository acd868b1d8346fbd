//! How far agents are trusted: a fact that somebody else keeps.

use std::sync::Arc;

use remit_kernel::trust::Tiers;
use remit_kernel::{Fact, Identity};
use remit_model::{AgentId, TrustRules};

use crate::Inner;

/// Who knows how far agents are trusted. It is asked before every decision where trust is configured, and answers at once.
pub trait Trust: Send + Sync {
    /// The tiers of an agent under these rules; unknown if they can't be told, and then nothing is allowed.
    fn tiers(&self, rules: &TrustRules, agent: &AgentId) -> Fact<Arc<Tiers>>;
}

impl Inner {
    /// The tiers of who calls, where trust is configured.
    pub(crate) fn trusted(&self, identity: &Fact<Identity>) -> Fact<Arc<Tiers>> {
        match (&self.state.load().snapshot.organization.trust, identity) {
            (Some(rules), Fact::Known(Identity::Authenticated(principal))) => self.trust.tiers(rules, &principal.agent),
            _ => Fact::Known(Arc::default()),
        }
    }
}
