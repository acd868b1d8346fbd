//! How much autonomy an agent has earned, and by which rules.

use std::collections::BTreeMap;

use crate::Risk;

/// An agent's trust tier in one category of tools, the least autonomous first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TrustTier {
    /// It has to show that it can be trusted with anything, or has lost what trust it had.
    Probation,
    /// People look over its shoulder.
    Supervised,
    /// It has a record.
    Trusted,
    /// It acts by itself.
    Autonomous,
}

impl TrustTier {
    /// Every tier, the least autonomous first.
    pub const ALL: &[Self] = &[Self::Probation, Self::Supervised, Self::Trusted, Self::Autonomous];

    /// The word for it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Probation => "probation",
            Self::Supervised => "supervised",
            Self::Trusted => "trusted",
            Self::Autonomous => "autonomous",
        }
    }

    /// The tier of this word.
    pub fn parse(word: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|tier| tier.as_str() == word)
    }
}

impl TrustTier {
    /// As a number, for policies: 1 is the least autonomous.
    pub fn level(self) -> i64 {
        i64::from(self as u8) + 1
    }

    /// The tier above this one.
    pub fn next(self) -> Option<Self> {
        Self::ALL.iter().copied().find(|tier| *tier > self)
    }
}

/// How agents earn autonomy and lose it: category by category of tools.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TrustRules {
    /// The tier that everybody begins in.
    pub initial: TrustTier,
    /// What a tier is limited to; one that isn't named has no limits of its own.
    pub tiers: BTreeMap<TrustTier, TierLimits>,
    /// What proposes the step up into a tier; one that isn't named is never proposed.
    pub promotions: BTreeMap<TrustTier, PromotionRule>,
    /// What brings an agent down, at once.
    pub demotions: DemotionRules,
}

/// The limits of a tier.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct TierLimits {
    /// The highest risk that it reaches.
    pub risk_max: Option<Risk>,
    /// How many calls of one tool in one space it reaches in a minute.
    pub calls_per_minute_max: Option<u32>,
}

/// What must have been for a promotion to be proposed. What speaks for the agent counts since it has been in its tier, what speaks against it
/// within the last days, whatever its tier was.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PromotionRule {
    /// At least so many approvals that were given as they were asked for, and used.
    pub approved_unchanged_min: u32,
    /// At least so many calls that ended well.
    pub calls_ok_min: u32,
    /// At least so many days in the tier.
    pub days_min: u32,
    /// At most so many rejections.
    pub rejections_max: Option<u32>,
    /// At most so many denials.
    pub denials_max: Option<u32>,
    /// At most so many calls that guardrails blocked.
    pub guardrail_hits_max: Option<u32>,
    /// At most so many incidents.
    pub incidents_max: Option<u32>,
    /// The last days that are looked at, today among them.
    pub window_days: u32,
}

/// What brings an agent down.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct DemotionRules {
    /// To this tier, by an incident.
    pub incident: Option<TrustTier>,
    /// To this tier, when the agent is suspended.
    pub suspension: Option<TrustTier>,
    /// By rejections.
    pub rejections: Option<DemotionRule>,
    /// By denials.
    pub denials: Option<DemotionRule>,
    /// By calls that guardrails blocked.
    pub guardrail_hits: Option<DemotionRule>,
}

/// So many of something within so many days.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DemotionRule {
    /// So many.
    pub count: u32,
    /// Within so many days in a row, since the agent was last promoted.
    pub within_days: u32,
    /// To this tier.
    pub to: TrustTier,
}

impl TrustRules {
    /// Whether some tier is limited in its calls: then calls must be counted.
    pub fn limits_calls(&self) -> bool {
        self.tiers.values().any(|limits| limits.calls_per_minute_max.is_some())
    }

    /// The limits of a tier.
    pub fn limits(&self, tier: TrustTier) -> TierLimits {
        self.tiers.get(&tier).copied().unwrap_or_default()
    }
}

impl std::fmt::Display for TrustTier {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.as_str())
    }
}
