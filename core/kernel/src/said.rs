//! What IAM has said of callers and tools, for those who decide very many calls: equal questions have equal answers.
//!
//! Whatever its policies read of a call hangs on the caller, the tool and where the request came from, but for the time. Where a policy may
//! read the time, or anything is revoked, nothing is remembered.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};

use crate::facts::{Fact, Facts, Principal, Revocations};
use crate::snapshot::{Snapshot, SpaceView, ToolView};
use crate::tree::Judged;
use crate::verdict::ActedAs;

/// The most answers that are remembered; then it begins anew.
const ANSWERS_MAX: usize = 10_000;

/// What IAM says of a call.
pub(crate) type Said = (Vec<Judged>, Option<ActedAs>);

/// What is remembered of one snapshot.
#[derive(Debug, Default)]
pub(crate) struct Memory(Mutex<HashMap<Question, Known>>);

/// Space, tool and caller by their places in memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Question {
    space: usize,
    tool: usize,
    principal: usize,
    source_ip: IpAddr,
    secure_transport: bool,
}

/// An answer, and whom it is about: as long as that is kept, nobody else takes their place in memory.
#[derive(Debug)]
struct Known {
    said: Said,
    _about: (Arc<Principal>, Arc<ToolView>),
}

impl Question {
    /// What is asked of a call; `None` if the answer isn't to be remembered.
    pub(crate) fn of(
        snapshot: &Snapshot,
        facts: &Facts,
        space: &SpaceView,
        principal: &Principal,
        tool: &ToolView,
    ) -> Option<Self> {
        let (Fact::Known(source_ip), Fact::Known(revocations)) = (&facts.origin.source_ip, &facts.revocations) else {
            return None;
        };
        // A session's own policies name keys of their own.
        let has_policies = principal.session.as_ref().is_some_and(|session| !session.policies.is_empty());
        if has_policies || snapshot.tree.reads_time() || **revocations != Revocations::default() {
            return None;
        }
        Some(Self {
            space: std::ptr::from_ref(space).addr(),
            tool: std::ptr::from_ref(tool).addr(),
            principal: std::ptr::from_ref(principal).addr(),
            source_ip: *source_ip,
            secure_transport: facts.origin.secure_transport,
        })
    }
}

impl Memory {
    /// The answer to a question about these two, from memory or by `say`.
    pub(crate) fn answer(
        &self,
        question: Question,
        about: (&Arc<Principal>, &Arc<ToolView>),
        say: impl FnOnce() -> Said,
    ) -> Said {
        let known = || self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = known().get(&question) {
            return known.said.clone();
        }
        let said = say();
        let mut known = known();
        if known.len() >= ANSWERS_MAX {
            known.clear();
        }
        known.insert(question, Known { said: said.clone(), _about: (Arc::clone(about.0), Arc::clone(about.1)) });
        said
    }
}
