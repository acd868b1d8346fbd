//! What calls cost, and budgets for it.
//!
//! [`Spending`] adds up what the journal's entries say, or what a gateway sees as it happens: the two come to the same. It keeps this day and the
//! one before, this month and the one before, by the calendar in UTC, and for each the sums that a budget may ask for: what a call costs to
//! decide doesn't depend on how many callers there are. A call is counted against its budgets before it is let through, so that two at
//! once can't both take the last one; bytes, time and money are known only afterwards: a budget of those ends with the call that uses it up.

use std::collections::{BTreeMap, HashMap};

use remit_mcp::canonical::{hex, sha256};
use remit_model::{AgentId, Budget, BudgetPer, Organization, SpaceId, TimeUnit, decimal, time_ms};
use serde::{Deserialize, Serialize};

const DAY_MS: u64 = 86_400_000;
/// How many days and how many months are kept: this one and the one before.
const PERIODS_MAX: usize = 2;
/// The most of agents with spaces and users that are told apart in a day or a month.
const PAYERS_MAX: usize = 50_000;
/// The most calls that are under way, and the most whose end was never recorded.
const OPEN_MAX: usize = 100_000;
/// The shortest part of a period from which the rest is foretold, in milliseconds.
const FORECAST_MS_MIN: u64 = 60 * 60 * 1000;

/// Whose call it is.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Payer {
    /// The space.
    pub space: String,
    /// The agent.
    pub agent: String,
    /// The user for whom it acts; in what a [`Spending`] tells, what stands there for them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user: Option<String>,
}

/// What was used up.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Spent {
    /// Calls that were let through.
    #[serde(default)]
    pub calls: u64,
    /// Calls that were denied.
    #[serde(default)]
    pub denied: u64,
    /// Bytes of results.
    #[serde(default)]
    pub bytes: u64,
    /// What servers took, in microseconds.
    #[serde(default)]
    pub upstream_us: u64,
    /// What Remit itself took, in microseconds: whatever of a call its server didn't.
    #[serde(default)]
    pub own_us: u64,
    /// What servers said that it cost, in millionths, by currency: as many as servers are registered with.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub money_micros: BTreeMap<String, u64>,
}

impl Spent {
    fn add(&mut self, other: &Self) {
        self.calls = self.calls.saturating_add(other.calls);
        self.denied = self.denied.saturating_add(other.denied);
        self.bytes = self.bytes.saturating_add(other.bytes);
        self.upstream_us = self.upstream_us.saturating_add(other.upstream_us);
        self.own_us = self.own_us.saturating_add(other.own_us);
        for (currency, micros) in &other.money_micros {
            let sum = self.money_micros.entry(currency.clone()).or_default();
            *sum = sum.saturating_add(*micros);
        }
    }

    /// What of it a budget of this currency counts.
    fn money(&self, budget: &Budget) -> u64 {
        let currency = budget.limits.money_max.as_ref().map(|money| money.currency.as_str());
        currency.and_then(|currency| self.money_micros.get(currency)).copied().unwrap_or_default()
    }
}

/// What was used up of a budget before a call, and the call itself among the calls: a fact of its decision.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BudgetUse {
    /// The budget's name.
    pub id: String,
    /// Calls, with this one and all that are being decided.
    pub calls: u64,
    /// Bytes of results.
    pub bytes: u64,
    /// What servers took, in microseconds.
    pub upstream_us: u64,
    /// Money in the budget's currency, in millionths.
    pub money_micros: u64,
}

/// How a call ended, as far as it costs something.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Cost {
    /// Bytes of the result.
    pub bytes: u64,
    /// What the server took, in microseconds.
    pub upstream_us: u64,
    /// How long the whole call took, in microseconds.
    pub latency_us: u64,
    /// What the server said: currency and millionths.
    pub money: Option<(String, u64)>,
}

/// What was used up, by day and by month. Users are kept as digests under a salt of this spending's own ([`Spending::user`]): what is written
/// down of it names nobody, and outlives no erasure with a name.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Spending {
    salt: [u8; 16],
    /// By day since the epoch.
    days: BTreeMap<u64, Period>,
    /// By the month's first day since the epoch.
    months: BTreeMap<u64, Period>,
    /// Whose calls have been let through and not ended.
    #[serde(default)]
    open: BTreeMap<String, Payer>,
}

/// What was used up in a day or in a month.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
struct Period {
    /// Serialized as a list: JSON's keys are texts.
    #[serde(with = "pairs")]
    payers: HashMap<Payer, Spent>,
    /// What they come to for those who share a budget, for each look that a budget has asked for: derived.
    #[serde(skip)]
    sums: HashMap<Look, HashMap<Share, Spent>>,
    /// Whether there were more payers than could be told apart.
    overflown: bool,
}

/// What of payers' names a budget looks at.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
struct Look {
    by_space: bool,
    by_agent: bool,
    by_user: bool,
}

/// Those names: they that agree in them share the budget.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Share {
    space: Option<String>,
    agent: Option<String>,
    user: Option<String>,
}

impl Look {
    fn of(budget: &Budget) -> Self {
        Self {
            by_space: budget.per == BudgetPer::Space || budget.space.is_some(),
            by_agent: budget.per == BudgetPer::Agent || budget.agent.is_some(),
            by_user: budget.per == BudgetPer::User,
        }
    }

    fn share(self, payer: &Payer) -> Share {
        Share {
            space: self.by_space.then(|| payer.space.clone()),
            agent: self.by_agent.then(|| payer.agent.clone()),
            user: payer.user.clone().filter(|_| self.by_user),
        }
    }
}

impl Period {
    fn count(&mut self, payer: &Payer, used: &Spent) {
        let is_full = self.payers.len() >= PAYERS_MAX;
        match self.payers.get_mut(payer) {
            Some(spent) => spent.add(used),
            None if is_full => {
                self.overflown = true;
                return;
            }
            None => drop(self.payers.insert(payer.clone(), used.clone())),
        }
        for (look, sums) in &mut self.sums {
            sums.entry(look.share(payer)).or_default().add(used);
        }
    }

    /// What they come to who share a budget of this look with `payer`: added up when it is first asked for, and kept from then on.
    fn sum(&mut self, look: Look, payer: &Payer) -> Spent {
        let payers = &self.payers;
        let sums = self.sums.entry(look).or_insert_with(|| {
            let mut sums: HashMap<Share, Spent> = HashMap::new();
            payers.iter().for_each(|(payer, spent)| sums.entry(look.share(payer)).or_default().add(spent));
            sums
        });
        sums.get(&look.share(payer)).cloned().unwrap_or_default()
    }
}

mod pairs {
    use std::collections::HashMap;

    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    use super::{Payer, Spent};

    pub(super) fn serialize<S: Serializer>(payers: &HashMap<Payer, Spent>, serializer: S) -> Result<S::Ok, S::Error> {
        // Equal spending is equal text.
        let mut pairs: Vec<_> = payers.iter().collect();
        pairs.sort_unstable_by_key(|(payer, _)| *payer);
        pairs.serialize(serializer)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<HashMap<Payer, Spent>, D::Error> {
        Ok(Vec::<(Payer, Spent)>::deserialize(deserializer)?.into_iter().collect())
    }
}

impl Spending {
    /// Nothing was used up yet. `salt` is random.
    pub fn new(salt: [u8; 16]) -> Self {
        Self { salt, ..Self::default() }
    }

    /// What stands here for a user.
    pub fn user(&self, name: &str) -> String {
        let mut bytes = self.salt.to_vec();
        bytes.extend_from_slice(name.as_bytes());
        let digest = hex(&sha256(&bytes));
        format!("user-{}", digest.get(..24).unwrap_or(&digest))
    }

    fn veiled(&self, payer: &Payer) -> Payer {
        Payer { user: payer.user.as_deref().map(|name| self.user(name)), ..payer.clone() }
    }

    /// A call was decided. `decision` is its id.
    pub fn decided(&mut self, at_ms: u64, decision: &str, payer: &Payer, allowed: bool) {
        let payer = self.veiled(payer);
        let used = if allowed { Spent { calls: 1, ..Spent::default() } } else { Spent { denied: 1, ..Spent::default() } };
        self.count(at_ms, &payer, &used);
        if allowed && self.open.len() < OPEN_MAX {
            self.open.insert(decision.to_owned(), payer);
        }
    }

    /// A call that was let through has ended. What it cost counts for the day on which it ended.
    pub fn ended(&mut self, at_ms: u64, decision: &str, cost: &Cost) {
        let Some(payer) = self.open.remove(decision) else { return };
        let used = Spent {
            bytes: cost.bytes,
            upstream_us: cost.upstream_us,
            own_us: cost.latency_us.saturating_sub(cost.upstream_us),
            money_micros: cost.money.clone().into_iter().collect(),
            ..Spent::default()
        };
        self.count(at_ms, &payer, &used);
    }

    /// Takes an entry of the journal.
    pub fn take(&mut self, entry: &[u8]) {
        #[derive(Deserialize)]
        struct Entry<'a> {
            #[serde(borrow, rename = "type")]
            kind: std::borrow::Cow<'a, str>,
            #[serde(borrow, default)]
            time: std::borrow::Cow<'a, str>,
            #[serde(borrow, default)]
            id: std::borrow::Cow<'a, str>,
            #[serde(borrow, default)]
            decision: std::borrow::Cow<'a, str>,
            #[serde(borrow, default)]
            verdict: std::borrow::Cow<'a, str>,
            #[serde(borrow, default)]
            method: std::borrow::Cow<'a, str>,
            #[serde(default)]
            agent: Option<String>,
            #[serde(default)]
            space: Option<String>,
            #[serde(default)]
            user: Option<String>,
            #[serde(default)]
            result_bytes: u64,
            #[serde(default)]
            latency_us: u64,
            #[serde(default)]
            upstream_us: u64,
            #[serde(default)]
            cost: Option<Stated>,
        }
        #[derive(Deserialize)]
        struct Stated {
            currency: String,
            amount: String,
        }
        // Most entries are neither, and are not read.
        let head = entry.get(..40).unwrap_or(entry);
        let of = |kind: &str| head.windows(kind.len()).any(|part| part == kind.as_bytes());
        if !of("\"decision\"") && !of("\"outcome\"") {
            return;
        }
        let Ok(read) = serde_json::from_slice::<Entry<'_>>(entry) else { return };
        let Some(at_ms) = time_ms(&read.time) else { return };
        match (&*read.kind, read.agent, read.space) {
            ("decision", Some(agent), Some(space)) if counts(&read.method) => {
                let payer = Payer { space, agent, user: read.user };
                match &*read.verdict {
                    "ALLOW" => self.decided(at_ms, &read.id, &payer, true),
                    "DENY" => self.decided(at_ms, &read.id, &payer, false),
                    _ => {}
                }
            }
            ("outcome", ..) => {
                let money = read.cost.and_then(|cost| Some((cost.currency, remit_model::micros(&cost.amount)?)));
                let cost = Cost { bytes: read.result_bytes, upstream_us: read.upstream_us, latency_us: read.latency_us, money };
                self.ended(at_ms, &read.decision, &cost);
            }
            _ => {}
        }
    }

    fn count(&mut self, at_ms: u64, payer: &Payer, used: &Spent) {
        for unit in [TimeUnit::Daily, TimeUnit::Monthly] {
            let (from, _) = period(unit, at_ms);
            let periods = self.periods(unit);
            periods.entry(from).or_default().count(payer, used);
            while periods.len() > PERIODS_MAX {
                periods.pop_first();
            }
        }
    }

    /// The day or the month of this time, if anything was used up in it.
    fn period(&self, unit: TimeUnit, now_ms: u64) -> Option<&Period> {
        let (from, _) = period(unit, now_ms);
        match unit {
            TimeUnit::Daily => self.days.get(&from),
            TimeUnit::Monthly => self.months.get(&from),
        }
    }

    /// All of these.
    fn periods(&mut self, unit: TimeUnit) -> &mut BTreeMap<u64, Period> {
        match unit {
            TimeUnit::Daily => &mut self.days,
            TimeUnit::Monthly => &mut self.months,
        }
    }

    /// What `payer`, veiled, has used up of a budget in the period of this time; an error if it can't be told.
    fn of(&mut self, budget: &Budget, payer: &Payer, now_ms: u64) -> Result<Spent, String> {
        let (from, _) = period(budget.time_unit, now_ms);
        let Some(period) = self.periods(budget.time_unit).get_mut(&from) else { return Ok(Spent::default()) };
        if period.overflown {
            return Err(format!(
                "budget `{}` can't be counted: more than {PAYERS_MAX} agents with spaces and users called in its period",
                budget.id
            ));
        }
        Ok(period.sum(Look::of(budget), payer))
    }

    /// What was used up of every budget that a call of `payer` counts against; `under_way` says how many of its calls of a budget are being
    /// decided, this one among them.
    pub fn uses(
        &mut self,
        budgets: &[Budget],
        payer: &Payer,
        now_ms: u64,
        under_way: impl Fn(&Budget) -> u64,
    ) -> Result<Vec<BudgetUse>, String> {
        let veiled = self.veiled(payer);
        let own = budgets.iter().filter(|budget| payer.counts_for(budget));
        own.map(|budget| {
            let spent = self.of(budget, &veiled, now_ms)?;
            Ok(BudgetUse {
                id: budget.id.clone(),
                calls: spent.calls.saturating_add(under_way(budget)),
                bytes: spent.bytes,
                upstream_us: spent.upstream_us,
                money_micros: spent.money(budget),
            })
        })
        .collect()
    }

    /// How every budget stands, for everybody who has used some of it in the period of this time.
    pub fn standing(&self, budgets: &[Budget], now_ms: u64) -> Vec<Standing> {
        let mut all = Vec::new();
        for budget in budgets {
            let (from, until) = period(budget.time_unit, now_ms);
            let mut by: BTreeMap<String, (Payer, Spent)> = BTreeMap::new();
            let period = self.period(budget.time_unit, now_ms);
            for (payer, spent) in period.into_iter().flat_map(|period| &period.payers) {
                if let Some(whose) = payer.whose(budget) {
                    by.entry(whose.to_owned()).or_insert_with(|| (payer.clone(), Spent::default())).1.add(spent);
                }
            }
            let (from_ms, until_ms) = (from * DAY_MS, until * DAY_MS);
            all.extend(by.into_iter().map(|(whose, (_, spent))| Standing::of(budget, whose, spent, from_ms, until_ms, now_ms)));
        }
        all
    }

    /// What everybody has used up in the month or on the day of this time.
    pub fn totals(&self, time_unit: TimeUnit, now_ms: u64) -> Vec<(Payer, Spent)> {
        let period = self.period(time_unit, now_ms);
        let payers = period.into_iter().flat_map(|period| &period.payers);
        let mut all: Vec<_> = payers.map(|(payer, spent)| (payer.clone(), spent.clone())).collect();
        all.sort_unstable_by(|(one, _), (other, _)| one.cmp(other));
        all
    }
}

/// Whether requests of this method are calls that cost something. Whoever asks about a task, or whether a call would be allowed, makes none.
pub fn counts(method: &str) -> bool {
    matches!(method, "tools/call" | "prompts/get" | "resources/read")
}

impl Payer {
    /// Whose call it is.
    pub fn new(space: &SpaceId, agent: &AgentId, user: Option<&str>) -> Self {
        Self { space: space.as_str().to_owned(), agent: agent.as_str().to_owned(), user: user.map(str::to_owned) }
    }

    /// Whether its calls count for a budget.
    pub fn counts_for(&self, budget: &Budget) -> bool {
        budget.space.as_ref().is_none_or(|space| space.as_str() == self.space)
            && budget.agent.as_ref().is_none_or(|agent| agent.as_str() == self.agent)
            && (budget.per != BudgetPer::User || self.user.is_some())
    }

    /// Whose budget its calls count for; `None` if for nobody's.
    fn whose(&self, budget: &Budget) -> Option<&str> {
        self.counts_for(budget).then_some(())?;
        match budget.per {
            BudgetPer::Agent => Some(&self.agent),
            BudgetPer::Space => Some(&self.space),
            BudgetPer::User => self.user.as_deref(),
        }
    }

    /// Whether its calls count for the same budget as another's.
    pub fn is_with(&self, other: &Self, budget: &Budget) -> bool {
        let whose = self.whose(budget);
        whose.is_some() && whose == other.whose(budget)
    }
}

/// The days of a period, in days since the epoch: from the first to the one after the last.
fn period(unit: TimeUnit, now_ms: u64) -> (u64, u64) {
    let day = now_ms / DAY_MS;
    match unit {
        TimeUnit::Daily => (day, day + 1),
        TimeUnit::Monthly => {
            let first = day - u64::from(day_of_month(day) - 1);
            // The first day of the next month is at most 31 days on, and it is one's first.
            let next = (28..=31).map(|days| first + days).find(|day| day_of_month(*day) == 1);
            (first, next.unwrap_or(first + 31))
        }
    }
}

/// The day of the month (1 to 31) of a day since the epoch, after Howard Hinnant's `civil_from_days`.
fn day_of_month(day: u64) -> u32 {
    let day_of_era = (day + 719_468) % 146_097;
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month = (5 * day_of_year + 2) / 153;
    u32::try_from(day_of_year - (153 * month + 2) / 5 + 1).unwrap_or(1)
}

/// How a budget stands for one agent, space or user.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Standing {
    /// The budget's name.
    pub budget: String,
    /// Whose use is counted together: `agent`, `space` or `user`.
    pub per: &'static str,
    /// The agent, space or user.
    pub of: String,
    /// `DAILY` or `MONTHLY`.
    pub time_unit: &'static str,
    /// When the period began, in milliseconds since the epoch.
    pub from_ms: u64,
    /// When it ends.
    pub until_ms: u64,
    /// What was used up.
    pub spent: Spent,
    /// What of each limit was used up.
    pub limits: Vec<Limit>,
    /// Whether calls are denied now.
    pub is_exceeded: bool,
    /// Whether it is only told of.
    pub is_log_only: bool,
}

/// One limit of a budget.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Limit {
    /// `calls`, `bytes`, `upstream_secs` or `money`.
    pub name: &'static str,
    /// In which currency, if it is money.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub currency: Option<String>,
    /// How much it is; money in millionths, time in microseconds.
    pub max: u64,
    /// How much was used up.
    pub used: u64,
    /// How much it will be at the end of the period, if it goes on as it has; none in the first hour.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub forecast: Option<u64>,
    /// When it will be used up, if that is within the period, in milliseconds since the epoch.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub exhausted_at_ms: Option<u64>,
}

/// The limits of a budget with what they count, of its use: name, limit, used, currency.
fn limits<'a>(budget: &'a Budget, used: &BudgetUse) -> Vec<(&'static str, u64, u64, Option<&'a str>)> {
    let limits = &budget.limits;
    let money = limits.money_max.as_ref();
    [
        ("calls", limits.calls_max, used.calls, None),
        ("bytes", limits.bytes_max, used.bytes, None),
        ("upstream_secs", limits.upstream_secs_max.map(|secs| secs.saturating_mul(1_000_000)), used.upstream_us, None),
        ("money", money.map(|money| money.amount_micros), used.money_micros, money.map(|money| money.currency.as_str())),
    ]
    .into_iter()
    .filter_map(|(name, max, used, currency)| Some((name, max?, used, currency)))
    .collect()
}

impl Standing {
    fn of(budget: &Budget, of: String, spent: Spent, from_ms: u64, until_ms: u64, now_ms: u64) -> Self {
        let used = BudgetUse {
            id: budget.id.clone(),
            calls: spent.calls,
            bytes: spent.bytes,
            upstream_us: spent.upstream_us,
            money_micros: spent.money(budget),
        };
        let (elapsed, whole) = (now_ms.saturating_sub(from_ms), until_ms - from_ms);
        let rated = |amount: u64, by: u64, to: u64| {
            u64::try_from(u128::from(amount) * u128::from(by) / u128::from(to.max(1))).unwrap_or(u64::MAX)
        };
        let limits = limits(budget, &used).into_iter().map(|(name, max, used, currency)| {
            let forecast = (elapsed >= FORECAST_MS_MIN).then(|| rated(used, whole, elapsed));
            let exhausted_at_ms = forecast.filter(|forecast| used < max && *forecast >= max);
            Limit {
                name,
                currency: currency.map(str::to_owned),
                max,
                used,
                forecast,
                exhausted_at_ms: exhausted_at_ms.map(|_| from_ms + rated(max, elapsed, used)),
            }
        });
        let limits: Vec<Limit> = limits.collect();
        Self {
            budget: budget.id.clone(),
            per: budget.per.as_str(),
            of,
            time_unit: budget.time_unit.as_str(),
            from_ms,
            until_ms,
            is_exceeded: limits.iter().any(|limit| limit.used >= limit.max),
            spent,
            limits,
            is_log_only: budget.log_only,
        }
    }
}

/// Why a call may not be made: what of which budget is used up. A budget that the facts say nothing of is one that no use is known of:
/// that is so where recorded calls are decided again under a budget that is new.
pub(crate) fn exceeded<'a>(organization: &'a Organization, uses: &[BudgetUse]) -> Option<(String, &'a str)> {
    organization.budgets.iter().filter(|budget| !budget.log_only).find_map(|budget| {
        let own = uses.iter().find(|own| own.id == budget.id)?;
        let excess = limits(budget, own).into_iter().find(|(name, max, used, _)| match *name {
            // This call is among them.
            "calls" => used > max,
            _ => used >= max,
        })?;
        let per = budget.per.as_str();
        let period = match budget.time_unit {
            TimeUnit::Daily => "of this day",
            TimeUnit::Monthly => "of this month",
        };
        let what = match excess {
            ("calls", max, ..) => format!("{max} calls"),
            ("bytes", max, ..) => format!("{max} bytes of results"),
            ("upstream_secs", max, ..) => format!("{} seconds of servers' time", max / 1_000_000),
            (_, max, _, currency) => format!("{} {}", decimal(max), currency.unwrap_or_default()),
        };
        Some((format!("budget `{}` of the {per} is used up: {what} {period} (UTC)", budget.id), budget.origin.as_str()))
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use remit_model::{BudgetLimits, Money};

    use super::*;

    fn budget(per: BudgetPer, time_unit: TimeUnit, limits: BudgetLimits) -> Budget {
        Budget { id: "b".into(), per, space: None, agent: None, time_unit, limits, log_only: false, origin: "b.yaml:1".into() }
    }

    fn payer(space: &str, agent: &str, user: Option<&str>) -> Payer {
        Payer { space: space.into(), agent: agent.into(), user: user.map(str::to_owned) }
    }

    fn at(text: &str) -> u64 {
        time_ms(text).unwrap()
    }

    #[test]
    fn periods_are_the_calendars() {
        for (now, first, next) in [
            ("2026-02-28T23:59:59Z", "2026-02-01T00:00:00Z", "2026-03-01T00:00:00Z"),
            ("2028-02-29T00:00:00Z", "2028-02-01T00:00:00Z", "2028-03-01T00:00:00Z"),
            ("2026-12-31T12:00:00Z", "2026-12-01T00:00:00Z", "2027-01-01T00:00:00Z"),
            ("2026-04-01T00:00:00Z", "2026-04-01T00:00:00Z", "2026-05-01T00:00:00Z"),
        ] {
            assert_eq!(period(TimeUnit::Monthly, at(now)), (at(first) / DAY_MS, at(next) / DAY_MS), "{now}");
        }
        assert_eq!(period(TimeUnit::Daily, DAY_MS * 3 + 5), (3, 4));
    }

    #[test]
    fn each_has_its_own_and_only_what_counts_is_counted() {
        let now = at("2026-11-29T12:00:00Z");
        let mut spending = Spending::default();
        let calls = [("s1", "a1", Some("u1")), ("s2", "a1", None), ("s1", "a2", Some("u1")), ("s1", "a1", Some("u2"))];
        for (number, (space, agent, user)) in calls.into_iter().enumerate() {
            spending.decided(now, &format!("d{number}"), &payer(space, agent, user), true);
        }
        spending.decided(now, "d9", &payer("s1", "a1", None), false);
        let one = payer("s1", "a1", Some("u1"));
        let mut used =
            |budget: &Budget| spending.uses(std::slice::from_ref(budget), &one, now, |_| 1).unwrap().pop().map(|used| used.calls);
        let limits = BudgetLimits { calls_max: Some(1), ..BudgetLimits::default() };
        let per = |per| budget(per, TimeUnit::Daily, limits.clone());
        assert_eq!(
            [BudgetPer::Agent, BudgetPer::Space, BudgetPer::User].map(|word| used(&per(word))),
            [Some(4), Some(4), Some(3)]
        );
        let within = Budget { space: Some(SpaceId::new("s1").unwrap()), ..per(BudgetPer::Agent) };
        assert_eq!(used(&within), Some(3));
        let elsewhere = Budget { space: Some(SpaceId::new("s2").unwrap()), ..per(BudgetPer::Agent) };
        assert_eq!(used(&elsewhere), None);
        // Whoever acts for nobody has no user's budget.
        let nobody = spending.uses(&[per(BudgetPer::User)], &payer("s1", "a1", None), now, |_| 1).unwrap();
        assert!(nobody.is_empty());
    }

    #[test]
    fn what_is_used_up_is_denied_and_what_is_coming_is_foretold() {
        let now = at("2026-11-29T12:00:00Z");
        let usd = Money { currency: "USD".into(), amount_micros: 3_000_000 };
        let limits = BudgetLimits { calls_max: Some(3), money_max: Some(usd), ..BudgetLimits::default() };
        let organization =
            Organization { budgets: vec![budget(BudgetPer::Agent, TimeUnit::Daily, limits)], ..Organization::default() };
        let mut spending = Spending::default();
        let one = payer("s", "a", None);
        let why = |spending: &mut Spending| {
            let uses = spending.uses(&organization.budgets, &one, now, |_| 1).unwrap();
            exceeded(&organization, &uses).map(|(why, _)| why)
        };
        for number in 0..2 {
            assert_eq!(why(&mut spending), None);
            let id = format!("d{number}");
            spending.decided(now, &id, &one, true);
            let cost = Cost { money: Some(("USD".into(), 1_000_000)), upstream_us: 3, latency_us: 5, bytes: 7 };
            spending.ended(now, &id, &cost);
            // Once.
            spending.ended(now, &id, &cost);
        }
        assert_eq!(why(&mut spending), None);
        let standing = spending.standing(&organization.budgets, now).pop().unwrap();
        assert!(!standing.is_exceeded);
        assert_eq!((standing.spent.bytes, standing.spent.upstream_us, standing.spent.own_us), (14, 6, 4));
        // Half of the day is over.
        let forecasts: Vec<_> = standing.limits.iter().map(|limit| (limit.name, limit.forecast, limit.exhausted_at_ms)).collect();
        let evening = Some(at("2026-11-29T18:00:00Z"));
        assert_eq!(forecasts, [("calls", Some(4), evening), ("money", Some(4_000_000), evening)]);
        spending.decided(now, "d2", &one, true);
        assert_eq!(why(&mut spending).unwrap(), "budget `b` of the agent is used up: 3 calls of this day (UTC)");
        // Another currency is not this one.
        let mut other = Spending::default();
        other.decided(now, "d", &one, true);
        other.ended(now, "d", &Cost { money: Some(("EUR".into(), 9_000_000)), ..Cost::default() });
        assert_eq!(why(&mut other), None);
        other.decided(now, "e", &one, true);
        other.ended(now, "e", &Cost { money: Some(("USD".into(), 3_000_000)), ..Cost::default() });
        assert_eq!(why(&mut other).unwrap(), "budget `b` of the agent is used up: 3.00 USD of this day (UTC)");
    }

    #[test]
    fn more_than_can_be_told_apart_is_no_leave() {
        let now = at("2026-11-29T12:00:00Z");
        let limits = BudgetLimits { calls_max: Some(10), ..BudgetLimits::default() };
        let budget = budget(BudgetPer::Agent, TimeUnit::Daily, limits);
        let mut spending = Spending::default();
        for number in 0..=PAYERS_MAX {
            let who = payer("s", &format!("a{number}"), None);
            spending.decided(now, &format!("d{number}"), &who, true);
        }
        let asked = spending.uses(std::slice::from_ref(&budget), &payer("s", "a1", None), now, |_| 1);
        assert!(asked.unwrap_err().contains("can't be counted"));
        assert!(spending.uses(&[budget], &payer("s", "a1", None), now + DAY_MS, |_| 1).is_ok(), "a new day");
    }

    proptest! {
        /// What the journal says comes to what was seen, and it outlives being written down.
        #[test]
        fn entries_come_to_what_was_seen(calls in proptest::collection::vec((0..3u8, 0..3u8, 0..3u8, any::<bool>(), 0..3_000_000u64, 0..40u64), 0..60)) {
            let (mut seen, mut read) = (Spending::default(), Spending::default());
            for (number, (space, agent, user, allowed, cost, day)) in calls.iter().enumerate() {
                let at_ms = at("2026-10-20T08:00:00Z") + day * DAY_MS;
                let user = (*user > 0).then(|| format!("u{user}"));
                let one = payer(&format!("s{space}"), &format!("agent-{agent}"), user.as_deref());
                let id = format!("d{number}");
                let time = rfc3339(at_ms);
                let decision = serde_json::json!({"v": 1, "type": "decision", "time": time, "id": id, "agent": one.agent,
                    "user": one.user, "space": one.space, "method": "tools/call", "verdict": if *allowed { "ALLOW" } else { "DENY" }});
                read.take(decision.to_string().as_bytes());
                seen.decided(at_ms, &id, &one, *allowed);
                let cost = Cost { bytes: *cost, upstream_us: cost / 2, latency_us: *cost, money: Some(("USD".into(), *cost)) };
                let outcome = serde_json::json!({"v": 1, "type": "outcome", "time": time, "decision": id, "result_bytes": cost.bytes,
                    "latency_us": cost.latency_us, "upstream_us": cost.upstream_us,
                    "cost": {"currency": "USD", "amount": decimal(cost.bytes)}});
                read.take(outcome.to_string().as_bytes());
                seen.ended(at_ms, &id, &cost);
            }
            prop_assert_eq!(&read, &seen);
            // What is summed up for a budget is what its payers come to.
            let (now, mut asked) = (at("2026-11-29T08:00:00Z"), seen.clone());
            for per in [BudgetPer::Agent, BudgetPer::Space, BudgetPer::User] {
                for (space, agent) in [(None, None), (Some("s1"), None), (None, Some("agent-1")), (Some("s1"), Some("agent-1"))] {
                    let (space, agent) = (space.map(|id| SpaceId::new(id).unwrap()), agent.map(|id| AgentId::new(id).unwrap()));
                    let budget = Budget { space, agent, ..budget(per, TimeUnit::Monthly, BudgetLimits::default()) };
                    for one in [payer("s1", "agent-1", Some("u1")), payer("s0", "agent-1", None), payer("s1", "agent-2", Some("u2"))] {
                        let one = seen.veiled(&one);
                        let mut whole = Spent::default();
                        let all = seen.totals(TimeUnit::Monthly, now);
                        all.iter().filter(|(other, _)| other.is_with(&one, &budget)).for_each(|(_, spent)| whole.add(spent));
                        if one.counts_for(&budget) {
                            prop_assert_eq!(asked.of(&budget, &one, now).unwrap(), whole);
                        }
                    }
                }
            }
            let text = serde_json::to_string(&seen).unwrap();
            prop_assert!(!text.contains("\"u1\"") && !text.contains("\"u2\""), "no user's name is written down");
            prop_assert_eq!(serde_json::from_str::<Spending>(&text).unwrap(), seen);
        }
    }

    fn rfc3339(ms: u64) -> String {
        remit_cedar::datetime(ms)
    }
}
