//! `trust`: how agents earn autonomy, and lose it.

use std::collections::BTreeMap;

use remit_model::{DemotionRule, DemotionRules, PromotionRule, Risk, TierLimits, TrustRules, TrustTier};

use crate::item::{Item, Object};
use crate::server::RISKS;

/// The highest number of anything that a rule counts.
const COUNT_MAX: u64 = 1_000_000;
/// The longest time that a rule looks back, in days.
const DAYS_MAX: u64 = 365;
/// The words for tiers.
const TIERS: [(&str, TrustTier); 4] = [
    ("probation", TrustTier::Probation),
    ("supervised", TrustTier::Supervised),
    ("trusted", TrustTier::Trusted),
    ("autonomous", TrustTier::Autonomous),
];

/// Reads it: once in all files.
pub(crate) fn trust(roots: &[Object<'_>]) -> Option<TrustRules> {
    let found: Vec<_> = roots.iter().filter_map(|root| root.get("trust")).collect();
    for more in found.iter().skip(1) {
        more.error("trust is described twice", "keep one `trust`");
    }
    let object = found.first()?.object("trust", &["initial", "tiers", "promotions", "demotions"])?;
    let initial = object.get("initial").and_then(|tier| tier.choice(&TIERS)).unwrap_or(TrustTier::Probation);
    let tiers: BTreeMap<_, _> = by_tier(&object, "tiers").into_iter().map(|(tier, item)| (tier, limits(&item))).collect();
    if let Some(item) = object.get("tiers") {
        rising(&item, &tiers);
    }
    let mut promotions = BTreeMap::new();
    for (tier, item) in by_tier(&object, "promotions") {
        if tier == TrustTier::Probation {
            item.error("nobody is promoted to probation", "name the tier that is reached: supervised, trusted or autonomous");
        } else if let Some(rule) = promotion(&item) {
            promotions.insert(tier, rule);
        }
    }
    Some(TrustRules { initial, tiers, promotions, demotions: demotions(&object) })
}

/// The members of a mapping whose keys are tiers.
fn by_tier<'a>(object: &Object<'a>, key: &str) -> Vec<(TrustTier, Item<'a>)> {
    let keys = &["probation", "supervised", "trusted", "autonomous"];
    let Some(object) = object.get(key).and_then(|item| item.object("a mapping of tiers", keys)) else { return Vec::new() };
    TIERS.iter().filter_map(|(word, tier)| Some((*tier, object.get(word)?))).collect()
}

fn limits(item: &Item<'_>) -> TierLimits {
    let Some(object) = item.object("a tier", &["risk_max", "calls_per_minute_max"]) else { return TierLimits::default() };
    let calls = object.get("calls_per_minute_max").and_then(|count| count.count(COUNT_MAX));
    TierLimits {
        risk_max: object.get("risk_max").and_then(|risk| risk.choice(&RISKS)),
        calls_per_minute_max: calls.and_then(|calls| u32::try_from(calls).ok()),
    }
}

/// A tier reaches what the tier below it reaches.
fn rising(item: &Item<'_>, tiers: &BTreeMap<TrustTier, TierLimits>) {
    let of = |tier: TrustTier| tiers.get(&tier).copied().unwrap_or_default();
    for (below, above) in TrustTier::ALL.iter().zip(TrustTier::ALL.iter().skip(1)) {
        let (low, high) = (of(*below), of(*above));
        let (risk, calls) = (
            |limits: TierLimits| limits.risk_max.unwrap_or(Risk::Critical),
            |limits: TierLimits| limits.calls_per_minute_max.unwrap_or(u32::MAX),
        );
        if risk(high) < risk(low) || calls(high) < calls(low) {
            item.error(
                format!("`{above}` is limited to less than `{below}`, which is below it"),
                "let no tier reach less than the tier below it; what isn't limited reaches everything",
            );
        }
    }
}

fn promotion(item: &Item<'_>) -> Option<PromotionRule> {
    let keys = &[
        "approved_unchanged_min",
        "calls_ok_min",
        "days_min",
        "rejections_max",
        "denials_max",
        "guardrail_hits_max",
        "incidents_max",
        "window_days",
    ];
    let object = item.object("a promotion", keys)?;
    let whole =
        |key: &str, max: u64| object.get(key).and_then(|item| item.whole(0, max)).and_then(|count| u32::try_from(count).ok());
    let rule = PromotionRule {
        approved_unchanged_min: whole("approved_unchanged_min", COUNT_MAX).unwrap_or(0),
        calls_ok_min: whole("calls_ok_min", COUNT_MAX).unwrap_or(0),
        days_min: whole("days_min", DAYS_MAX).unwrap_or(0),
        rejections_max: whole("rejections_max", COUNT_MAX),
        denials_max: whole("denials_max", COUNT_MAX),
        guardrail_hits_max: whole("guardrail_hits_max", COUNT_MAX),
        incidents_max: whole("incidents_max", COUNT_MAX),
        window_days: object
            .get("window_days")
            .and_then(|days| days.count(DAYS_MAX))
            .map_or(30, |days| u32::try_from(days).unwrap_or(30)),
    };
    if rule.approved_unchanged_min == 0 && rule.calls_ok_min == 0 {
        item.error(
            "this promotion asks for nothing that the agent has done",
            "ask for `calls_ok_min` or `approved_unchanged_min`, of 1 or more",
        );
    }
    Some(rule)
}

fn demotions(object: &Object<'_>) -> DemotionRules {
    let keys = &["incident", "suspension", "rejections", "denials", "guardrail_hits"];
    let Some(object) = object.get("demotions").and_then(|item| item.object("demotions", keys)) else {
        return DemotionRules::default();
    };
    let tier = |key: &str| object.get(key).and_then(|tier| tier.choice(&TIERS));
    let rule = |key: &str| {
        let object = object.get(key)?.object("a demotion", &["count", "within_days", "to"])?;
        let count = object.need("count").and_then(|count| count.count(COUNT_MAX));
        let days = object.need("within_days").and_then(|days| days.count(DAYS_MAX));
        let to = object.need("to").and_then(|to| to.choice(&TIERS));
        Some(DemotionRule { count: u32::try_from(count?).ok()?, within_days: u32::try_from(days?).ok()?, to: to? })
    };
    DemotionRules {
        incident: tier("incident"),
        suspension: tier("suspension"),
        rejections: rule("rejections"),
        denials: rule("denials"),
        guardrail_hits: rule("guardrail_hits"),
    }
}
