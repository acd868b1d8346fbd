//! Whether any arguments could be allowed.

use cedar_policy::{Authorizer, Context, Decision, RestrictedExpression};

use crate::answer::Ask;
use crate::set::{PolicySet, Slice};
use crate::source::{Mode, RuleEffect};

impl PolicySet {
    /// Whether some arguments, in some session, at some time, after some history, could be allowed to this caller: what of `ask` speaks of those isn't
    /// read. It errs on the side of yes: a tool is hidden from `tools/list` only where no call of it could pass.
    pub fn possible(&self, ask: &Ask<'_>) -> bool {
        if self.source.mode == Mode::LogOnly {
            return true;
        }
        let Some(slice) = self.slice_of(ask.tool) else { return false };
        if !slice.broken.is_empty() {
            return false;
        }
        // What can't be told here isn't hidden: the call itself is decided.
        self.possible_of(ask, slice).unwrap_or(true)
    }

    fn possible_of(&self, ask: &Ask<'_>, slice: &Slice) -> Result<bool, String> {
        let unknown = |name: &str| (name.to_owned(), RestrictedExpression::new_unknown(name));
        let ask = Ask { output: None, ..*ask };
        let mut pairs: Vec<(String, RestrictedExpression)> =
            Self::context(&ask, false, None).into_iter().filter(|(name, _)| name != "system").collect();
        pairs.extend([unknown("input"), unknown("system"), unknown("provenance")]);
        pairs.extend(slice.leaves.iter().chain(&slice.shadow_leaves).map(|leaf| unknown(leaf)));
        let context = Context::from_pairs(pairs).map_err(|error| error.to_string())?;
        let (request, entities) = self.put(&ask, Some(slice), context)?;
        let response = Authorizer::new().is_authorized_partial(&request, &slice.active, &entities);
        let forbids = |id: &cedar_policy::PolicyId| {
            self.rule_of
                .get(id)
                .and_then(|rule| self.source.rules.get(*rule))
                .is_none_or(|rule| rule.effect == RuleEffect::Forbid)
        };
        let fails = response.definitely_errored().any(forbids);
        Ok(!fails && response.decision() != Some(Decision::Deny))
    }
}
