//! The record of one agent in one category, and what the rules make of it.

use std::collections::BTreeMap;

use remit_model::{TrustRules, TrustTier};

const DAY_SECS: u64 = 86_400;
/// How many days a record reaches back: no rule looks further.
const DAYS_MAX: usize = 366;

/// How often something happened.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Counts {
    /// Approvals that were given as they were asked for, and used.
    pub approved_unchanged: u64,
    /// Calls that ended well.
    pub calls_ok: u64,
    /// Rejections by people.
    pub rejections: u64,
    /// Denials.
    pub denials: u64,
    /// Calls that guardrails blocked: denials, too.
    pub guardrail_hits: u64,
    /// Incidents.
    pub incidents: u64,
    /// Suspensions.
    pub suspensions: u64,
}

/// One of the counts.
type Counted = fn(&Counts) -> u64;

/// One thing that happened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Mark {
    ApprovedUnchanged,
    CallOk,
    Rejection,
    Denial,
    GuardrailHit,
    Incident,
    Suspension,
    Promoted { from: TrustTier, to: TrustTier },
    Demoted { from: TrustTier, to: TrustTier },
}

impl Counts {
    fn add(&mut self, mark: Mark) {
        let count = match mark {
            Mark::ApprovedUnchanged => &mut self.approved_unchanged,
            Mark::CallOk => &mut self.calls_ok,
            Mark::Rejection => &mut self.rejections,
            Mark::Denial => &mut self.denials,
            Mark::GuardrailHit => &mut self.guardrail_hits,
            Mark::Incident => &mut self.incidents,
            Mark::Suspension => &mut self.suspensions,
            Mark::Promoted { .. } | Mark::Demoted { .. } => return,
        };
        *count += 1;
    }
}

/// Counts by day, and all together.
#[derive(Debug, Clone, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
struct Days {
    of: BTreeMap<u64, Counts>,
    total: Counts,
}

impl Days {
    fn add(&mut self, at_secs: u64, mark: Mark) {
        let day = at_secs / DAY_SECS;
        self.of.entry(day).or_default().add(mark);
        self.total.add(mark);
        // The newest days are kept.
        while self.of.len() > DAYS_MAX {
            self.of.pop_first();
        }
    }

    /// The sum over the last `days`, today among them.
    fn last(&self, days: u64, now_secs: u64, of: Counted) -> u64 {
        let today = now_secs / DAY_SECS;
        let first = (today + 1).saturating_sub(days);
        self.of.range(first..).map(|(_, counts)| of(counts)).sum()
    }

    /// The most that there was within any `days` in a row: what was once too much stays so.
    fn most(&self, days: u64, of: Counted) -> u64 {
        let sum = |last: &u64| self.of.range((last + 1).saturating_sub(days)..=*last).map(|(_, counts)| of(counts)).sum();
        self.of.keys().map(sum).max().unwrap_or_default()
    }
}

/// What is kept of one agent in one category.
#[derive(Debug, Clone, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Record {
    /// The tier of the last promotion; `None`: the one that everybody begins in.
    tier: Option<TrustTier>,
    /// The lowest tier that demotions led to since the last promotion: whatever everybody begins in, it is no higher.
    ceiling: Option<TrustTier>,
    /// Since when the agent has been in its tier, in seconds since the epoch.
    since_secs: u64,
    /// Everything within the last year.
    all: Days,
    /// What happened since the agent has been in its tier.
    since: Days,
    /// What happened since it was last promoted: a demotion forgives nothing.
    risen: Days,
}

impl Record {
    /// A record that begins now, with what holds for all categories of the agent.
    pub(super) fn beginning(&self, at_secs: u64) -> Self {
        let begun = self.tier.is_some() || self.ceiling.is_some();
        Self { since_secs: if begun { self.since_secs } else { at_secs }, ..self.clone() }
    }

    pub(super) fn fold(&mut self, at_secs: u64, mark: Mark) {
        match mark {
            // One step up, from where the agent was: what says anything else is no promotion.
            Mark::Promoted { from, to } if from.next() == Some(to) && self.recorded(from) == from => {
                self.change(at_secs);
                (self.tier, self.ceiling) = (Some(to), None);
                self.risen = Days::default();
            }
            Mark::Promoted { .. } => {}
            Mark::Demoted { from, to } if to < self.recorded(from) => {
                self.change(at_secs);
                self.ceiling = Some(to);
            }
            Mark::Demoted { .. } => {}
            mark => {
                self.all.add(at_secs, mark);
                self.since.add(at_secs, mark);
                self.risen.add(at_secs, mark);
            }
        }
    }

    /// The tier that the journal says, where everybody begins in this one.
    fn recorded(&self, initial: TrustTier) -> TrustTier {
        let tier = self.tier.unwrap_or(initial);
        self.ceiling.map_or(tier, |ceiling| ceiling.min(tier))
    }

    fn change(&mut self, at_secs: u64) {
        self.since_secs = at_secs;
        self.since = Days::default();
    }
}

/// A number that a rule asks for.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct Number {
    /// The rule, as the configuration names it.
    pub rule: &'static str,
    /// What it asks for.
    pub wanted: u64,
    /// What there is.
    pub had: u64,
    /// Within how many days; `None`: since the agent has been in its tier.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub days: Option<u64>,
    /// Whether that is what the rule wants.
    pub met: bool,
}

/// A demotion that the rules say, and the journal has not recorded yet.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct Demotion {
    /// From the tier that was recorded.
    pub from: TrustTier,
    /// To this one.
    pub to: TrustTier,
    /// The rules that say so.
    pub because: Vec<Number>,
}

/// A step up: proposed where every number is met. A person signs it.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct Proposal {
    /// The tier that would be reached.
    pub to: TrustTier,
    /// What it takes, with what there is.
    pub because: Vec<Number>,
}

impl Proposal {
    /// Whether everything is met.
    pub fn is_met(&self) -> bool {
        self.because.iter().all(|number| number.met)
    }
}

/// How far an agent is trusted in one category, and why.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct Standing {
    /// The tier.
    pub tier: TrustTier,
    /// Since when, in seconds since the epoch; 0 if nothing was recorded.
    pub since_secs: u64,
    /// What was counted since then.
    pub counted: Counts,
    /// A demotion that is yet to be recorded; `tier` is where it leads already.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub demotion: Option<Demotion>,
    /// The step up that the rules know, whether or not it is met yet.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next: Option<Proposal>,
}

impl Standing {
    /// The promotion that is proposed: the only one that can be signed.
    pub fn promotion(&self) -> Option<&Proposal> {
        self.next.as_ref().filter(|next| next.is_met())
    }
}

/// What the rules make of a record at a time, in seconds since the epoch.
pub fn standing(rules: &TrustRules, record: &Record, now_secs: u64) -> Standing {
    let recorded = record.recorded(rules.initial);
    let fallen = fallen(rules, record);
    let tier = fallen.iter().map(|(to, _)| *to).min().map_or(recorded, |to| to.min(recorded));
    let because: Vec<Number> = fallen.into_iter().filter(|(to, _)| *to < recorded).map(|(_, number)| number).collect();
    let demotion = (tier < recorded).then_some(Demotion { from: recorded, to: tier, because });
    // Whoever is falling doesn't rise.
    let next = if demotion.is_some() { None } else { next(rules, record, tier, now_secs) };
    Standing { tier, since_secs: record.since_secs, counted: record.since.total, demotion, next }
}

/// The rules that bring the agent down, each with where to.
fn fallen(rules: &TrustRules, record: &Record) -> Vec<(TrustTier, Number)> {
    let demotions = &rules.demotions;
    let since = &record.risen;
    let mut fallen = Vec::new();
    let once: [(_, _, Counted); 2] = [
        ("incident", demotions.incident, |counts| counts.incidents),
        ("suspension", demotions.suspension, |counts| counts.suspensions),
    ];
    for (rule, to, of) in once {
        let had = of(&since.total);
        if let (Some(to), 1..) = (to, had) {
            fallen.push((to, Number { rule, wanted: 1, had, days: None, met: true }));
        }
    }
    let often: [(_, _, Counted); 3] = [
        ("rejections", demotions.rejections, |counts| counts.rejections),
        ("denials", demotions.denials, |counts| counts.denials),
        ("guardrail_hits", demotions.guardrail_hits, |counts| counts.guardrail_hits),
    ];
    for (rule, demotion, of) in often {
        let Some(demotion) = demotion else { continue };
        let days = u64::from(demotion.within_days);
        let (wanted, had) = (u64::from(demotion.count), since.most(days, of));
        if had >= wanted {
            fallen.push((demotion.to, Number { rule, wanted, had, days: Some(days), met: true }));
        }
    }
    fallen
}

/// The step up from a tier, with every number that it takes.
fn next(rules: &TrustRules, record: &Record, tier: TrustTier, now_secs: u64) -> Option<Proposal> {
    let to = tier.next()?;
    let rule = rules.promotions.get(&to)?;
    let days = u64::from(rule.window_days);
    let mut because = Vec::new();
    let least: [(_, _, Counted); 2] = [
        ("approved_unchanged_min", rule.approved_unchanged_min, |counts| counts.approved_unchanged),
        ("calls_ok_min", rule.calls_ok_min, |counts| counts.calls_ok),
    ];
    for (rule, wanted, of) in least {
        let (wanted, had) = (u64::from(wanted), record.since.last(days, now_secs, of));
        if wanted > 0 {
            because.push(Number { rule, wanted, had, days: Some(days), met: had >= wanted });
        }
    }
    if rule.days_min > 0 {
        let known = record.since_secs > 0;
        let had = if known { now_secs.saturating_sub(record.since_secs) / DAY_SECS } else { 0 };
        let wanted = u64::from(rule.days_min);
        because.push(Number { rule: "days_min", wanted, had, days: None, met: had >= wanted });
    }
    let most: [(_, _, Counted); 4] = [
        ("rejections_max", rule.rejections_max, |counts| counts.rejections),
        ("denials_max", rule.denials_max, |counts| counts.denials),
        ("guardrail_hits_max", rule.guardrail_hits_max, |counts| counts.guardrail_hits),
        ("incidents_max", rule.incidents_max, |counts| counts.incidents),
    ];
    for (rule, wanted, of) in most {
        if let Some(wanted) = wanted {
            let (wanted, had) = (u64::from(wanted), record.all.last(days, now_secs, of));
            because.push(Number { rule, wanted, had, days: Some(days), met: had <= wanted });
        }
    }
    Some(Proposal { to, because })
}
