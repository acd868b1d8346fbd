//! Trust: how much autonomy agents have earned, category by category of tools, as a pure function of the journal.
//!
//! [`Ledger::fold`] takes the journal's events in their order; [`Record`] is what it keeps of one agent in one category; [`standing`] says
//! which tier that is under the rules, number by number. A tier rises only by an event that a person signed. It falls as soon as a rule says so:
//! the event that records a demotion only makes it stay when what caused it is long ago.

mod event;
mod ledger;
mod record;

use std::collections::BTreeMap;

use remit_model::{Risk, TrustRules, TrustTier};

use crate::facts::Fact;

pub(crate) use event::is_own_doing;
pub use event::{Event, What};
pub use ledger::Ledger;
pub use record::{Counts, Demotion, Number, Proposal, Record, Standing, standing};

/// The category of tools that have none.
pub const OTHER: &str = "other";
/// What stands for every category, and for those that an agent has no record in yet.
pub const EVERY: &str = "*";

/// The tiers of one agent.
#[derive(Debug, Clone, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Tiers {
    /// By category.
    pub of: BTreeMap<String, TrustTier>,
    /// In every other one; `None` is the tier that everybody begins in.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rest: Option<TrustTier>,
}

impl Tiers {
    /// The same tier in every category.
    pub fn every(tier: TrustTier) -> Self {
        Self { of: BTreeMap::new(), rest: Some(tier) }
    }

    /// The lowest tier over a tool's categories, and the category that it is of.
    pub fn lowest<'a>(&self, rules: &TrustRules, categories: &'a [String]) -> (TrustTier, &'a str) {
        let tier = |category: &str| self.of.get(category).copied().or(self.rest).unwrap_or(rules.initial);
        let lowest = categories.iter().map(|category| (tier(category), category.as_str())).min();
        lowest.unwrap_or_else(|| (tier(OTHER), OTHER))
    }
}

/// What trust refuses of a call.
pub(crate) enum Refused {
    /// Nobody knows how far the agent is trusted.
    Unknown(String),
    /// The risk is above the tier's.
    Risk(String),
    /// The tier's calls are used up.
    Calls(String),
}

/// Holds a call against the limits of its agent's tier. `calls_per_minute` is what is used with it.
pub(crate) fn judge(
    rules: &TrustRules,
    tiers: &Fact<std::sync::Arc<Tiers>>,
    categories: &[String],
    risk: Option<Risk>,
    calls_per_minute: u32,
) -> Result<(), Refused> {
    let tiers = match tiers {
        Fact::Unknown(why) => {
            return Err(Refused::Unknown(format!("how far the agent is trusted could not be found out: {why}")));
        }
        Fact::Known(tiers) => tiers,
    };
    let (tier, category) = tiers.lowest(rules, categories);
    let limits = rules.limits(tier);
    if let (Some(max), Some(risk)) = (limits.risk_max, risk)
        && risk > max
    {
        return Err(Refused::Risk(format!(
            "risk {risk} is above risk_max {max} of tier {tier}, in which the agent is for `{category}`"
        )));
    }
    match limits.calls_per_minute_max {
        Some(max) if calls_per_minute > max => {
            let what =
                format!("more than {max} calls of this tool in a minute, and the agent is in tier {tier} for `{category}`");
            Err(Refused::Calls(what))
        }
        _ => Ok(()),
    }
}
