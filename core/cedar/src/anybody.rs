//! Whether a set lets anybody call a tool at all, and whether it lets everybody.

use cedar_policy::{Authorizer, Decision, Entities, EntityUid, Request};

use crate::NAMESPACE;
use crate::set::{PolicySet, Slice, action_uid};
use crate::shape::quote;
use crate::source::Mode;

/// What a set says of a tool before it is known who calls, with what, when and after what.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Openness {
    /// It permits no call of it.
    Never,
    /// It permits every call, or only records what it would have said.
    Always,
    /// It depends; these rules have a say, by name.
    Depends(Vec<String>),
}

impl PolicySet {
    /// What the set says of a tool, whoever calls, with whatever arguments, claims and history. [`Openness::Never`] and [`Openness::Always`]
    /// are sure; what can't be told is [`Openness::Depends`].
    pub fn openness(&self, tool: &str) -> Openness {
        if self.mode() == Mode::LogOnly {
            return Openness::Always;
        }
        let Some(slice) = self.slice_of(tool) else { return Openness::Never };
        if !slice.broken.is_empty() {
            return Openness::Never;
        }
        self.openness_of(tool, slice).unwrap_or_else(|| Openness::Depends(Vec::new()))
    }

    fn openness_of(&self, tool: &str, slice: &Slice) -> Option<Openness> {
        let resource: EntityUid = format!("{NAMESPACE}::Gateway::{}", quote(&self.gateway)).parse().ok()?;
        // Principal and context are left out: unknown. So is everything about entities that aren't given.
        let request = Request::builder().action(action_uid(tool)?).resource(resource).build();
        let entities = Entities::from_entities(slice.entities.iter().cloned(), None).ok()?.partial();
        let response = Authorizer::new().is_authorized_partial(&request, &slice.active, &entities);
        Some(match response.decision() {
            Some(Decision::Deny) => Openness::Never,
            // A rule that may fail denies if it forbids, and one that was skipped because it fails isn't known to.
            Some(Decision::Allow) if response.definitely_errored().next().is_none() => Openness::Always,
            _ => {
                let known =
                    response.nontrivial_residuals().filter_map(|policy| self.rules().get(*self.rule_of.get(policy.id())?));
                let mut names: Vec<String> = known.map(|rule| rule.id.clone()).collect();
                names.sort();
                Openness::Depends(names)
            }
        })
    }
}
