//! What calls use up: counted as decisions and outcomes get their place in the journal's order, so that a start that reads the journal comes
//! to the same.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex};

use remit_kernel::budget::{BudgetUse, Cost, Payer, Spending, Spent, Standing};
use remit_kernel::{Fact, Principal};
use remit_model::{Budget, BudgetPer, SpaceId, StatedCost, TimeUnit, micros};
use serde_json::Value;

use crate::clock::now_ms;
use crate::session::lock;
use crate::{Gateway, Inner};

/// The longest amount that is read, in bytes.
const AMOUNT_BYTES_MAX: usize = 40;

/// The most users whose names are known.
const NAMES_MAX: usize = 50_000;

/// What was used up, and whose calls are being decided.
#[derive(Debug, Default)]
pub(crate) struct Budgets(Mutex<Counted>);

#[derive(Debug, Default)]
struct Counted {
    spending: Spending,
    deciding: HashMap<Payer, u64>,
    /// The users who have called since the start: what is kept of the spending names none.
    names: HashSet<String>,
}

/// A call that is being decided: until this is dropped it counts, so that two at once can't both take the last one.
#[derive(Debug)]
pub(crate) struct Deciding {
    budgets: Arc<Budgets>,
    payer: Payer,
}

impl Counted {
    /// Users by what stands for them in the spending, where that is known.
    fn named(&self) -> HashMap<String, &str> {
        self.names.iter().map(|name| (self.spending.user(name), name.as_str())).collect()
    }
}

impl Budgets {
    /// A call is to be decided: what was used up of the budgets that it counts against.
    fn begin(self: &Arc<Self>, budgets: &[Budget], payer: Payer) -> (Fact<Vec<BudgetUse>>, Deciding) {
        let mut counted = lock(&self.0);
        let Counted { spending, deciding, .. } = &mut *counted;
        let own = deciding.entry(payer.clone()).or_default();
        *own = own.saturating_add(1);
        let under_way = |budget: &Budget| {
            let with = deciding.iter().filter(|(other, _)| other.is_with(&payer, budget));
            with.map(|(_, count)| *count).sum()
        };
        let uses = spending.uses(budgets, &payer, now_ms(), under_way);
        let uses = uses.map_or_else(Fact::Unknown, Fact::Known);
        (uses, Deciding { budgets: Arc::clone(self), payer })
    }

    /// A call was decided, and its entry has its place.
    pub(crate) fn decided(&self, at_ms: u64, decision: &str, payer: &Payer, allowed: bool) {
        let mut counted = lock(&self.0);
        counted.spending.decided(at_ms, decision, payer, allowed);
        if let Some(name) = &payer.user {
            if counted.names.len() >= NAMES_MAX {
                counted.names.clear();
            }
            if !counted.names.contains(name) {
                counted.names.insert(name.clone());
            }
        }
    }

    fn forget(&self, name: &str) {
        lock(&self.0).names.remove(name);
    }

    /// A call has ended.
    pub(crate) fn ended(&self, at_ms: u64, decision: &str, cost: &Cost) {
        lock(&self.0).spending.ended(at_ms, decision, cost);
    }
}

impl Drop for Deciding {
    fn drop(&mut self) {
        let mut counted = lock(&self.budgets.0);
        if let Some(count) = counted.deciding.get_mut(&self.payer) {
            *count -= 1;
            if *count == 0 {
                counted.deciding.remove(&self.payer);
            }
        }
    }
}

/// What a server says that an answer cost, in millionths; `None` if it says nothing that can be read.
pub(crate) fn stated(cost: &StatedCost, answer: &[u8]) -> Option<u64> {
    let answer: Value = serde_json::from_slice(answer).ok()?;
    match answer.get("result")?.pointer(&cost.pointer)? {
        Value::String(text) if text.len() <= AMOUNT_BYTES_MAX => micros(text),
        // Display of a float has no exponent.
        Value::Number(number) => number
            .as_u64()
            .map(|whole| whole.to_string())
            .or_else(|| Some(number.as_f64()?.to_string()))
            .and_then(|text| micros(&text)),
        _ => None,
    }
}

impl Inner {
    /// A call is to be decided. Where there are no budgets nothing is known of any.
    pub(crate) fn budgeted(
        &self,
        budgets: &[Budget],
        space: &SpaceId,
        principal: &Principal,
    ) -> (Fact<Vec<BudgetUse>>, Option<Deciding>) {
        if budgets.is_empty() {
            return (Fact::Known(Vec::new()), None);
        }
        let payer = Payer::new(space, &principal.agent, principal.user.as_deref());
        let (uses, deciding) = self.recorder.budgets().begin(budgets, payer);
        (uses, Some(deciding))
    }
}

/// What was used up.
#[derive(Debug, Clone, serde::Serialize)]
pub struct Usage {
    /// How every budget stands, for everybody who has used some of it.
    pub budgets: Vec<Standing>,
    /// What each agent used up in each space, and for whom.
    pub totals: Vec<Total>,
}

/// What an agent used up in a space.
#[derive(Debug, Clone, serde::Serialize)]
pub struct Total {
    /// Whose calls.
    #[serde(flatten)]
    pub payer: Payer,
    /// What they used up.
    #[serde(flatten)]
    pub spent: Spent,
}

impl Gateway {
    /// Begins with what the journal says was used up, before anything is decided.
    pub fn recall_spending(&self, spending: Spending) {
        lock(&self.inner.recorder.budgets().0).spending = spending;
    }

    /// Forgets a user's name: what the user used up stays, and is nobody's in particular.
    pub fn forget_user(&self, name: &str) {
        self.inner.recorder.budgets().forget(name);
    }

    /// What was used up on this day or in this month (UTC), and how budgets stand. Users who haven't called since the start go without a name.
    pub fn usage(&self, time_unit: TimeUnit) -> Usage {
        let state = self.inner.state.load_full();
        let now = now_ms();
        let counted = lock(&self.inner.recorder.budgets().0);
        let known = counted.named();
        let named = |user: String| known.get(&user).map_or(user, |name| (*name).to_owned());
        let totals = counted.spending.totals(time_unit, now).into_iter().map(|(payer, spent)| {
            let payer = Payer { user: payer.user.map(named), ..payer };
            Total { payer, spent }
        });
        let budgets = counted.spending.standing(&state.snapshot.organization.budgets, now).into_iter().map(|standing| {
            let of = if standing.per == BudgetPer::User.as_str() { named(standing.of) } else { standing.of };
            Standing { of, ..standing }
        });
        Usage { budgets: budgets.collect(), totals: totals.collect() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn costs_are_read_where_they_stand() {
        let cost = StatedCost { pointer: "/_meta/cost/usd".into(), currency: "USD".into() };
        for (usd, is) in [
            ("\"0.0021\"", Some(2_100)),
            ("0.25", Some(250_000)),
            ("3", Some(3_000_000)),
            ("-1", None),
            ("1e9", Some(1_000_000_000_000_000)),
            ("1e-5", Some(10)),
            ("1e300", None),
            ("\"1 USD\"", None),
            ("null", None),
            ("[1]", None),
        ] {
            let answer = format!(r#"{{"jsonrpc":"2.0","id":1,"result":{{"content":[],"_meta":{{"cost":{{"usd":{usd}}}}}}}}}"#);
            assert_eq!(stated(&cost, answer.as_bytes()), is, "{usd}");
        }
        assert_eq!(stated(&cost, br#"{"error":{}}"#), None);
    }

    #[test]
    fn users_have_names_until_they_are_forgotten() {
        let budgets = Budgets::default();
        lock(&budgets.0).spending = Spending::new([7; 16]);
        let ann = Payer { space: "s".into(), agent: "a".into(), user: Some("ann@example.com".into()) };
        budgets.decided(now_ms(), "d1", &ann, true);
        let user = || {
            let counted = lock(&budgets.0);
            let (payer, spent) = counted.spending.totals(TimeUnit::Monthly, now_ms()).pop().unwrap();
            let user = payer.user.unwrap();
            (counted.named().get(&user).map_or(user, |name| (*name).to_owned()), spent.calls)
        };
        assert_eq!(user(), ("ann@example.com".to_owned(), 1));
        budgets.forget("ben@example.com");
        assert_eq!(user().0, "ann@example.com");
        budgets.forget("ann@example.com");
        let (nobody, calls) = user();
        assert!(nobody.starts_with("user-") && !nobody.contains("ann") && calls == 1, "{nobody}");
    }

    #[test]
    fn a_call_counts_while_it_is_decided_and_no_longer() {
        let budgets = Arc::new(Budgets::default());
        let limits = remit_model::BudgetLimits { calls_max: Some(2), ..Default::default() };
        let budget = Budget {
            id: "b".into(),
            per: remit_model::BudgetPer::Space,
            space: None,
            agent: None,
            time_unit: TimeUnit::Daily,
            limits,
            log_only: false,
            origin: String::new(),
        };
        let payer = |agent: &str| Payer { space: "s".into(), agent: agent.into(), user: None };
        let calls = |fact: &Fact<Vec<BudgetUse>>| match fact {
            Fact::Known(uses) => uses.first().map(|used| used.calls),
            Fact::Unknown(why) => panic!("{why}"),
        };
        let budget = [budget];
        let (first, one) = budgets.begin(&budget, payer("a"));
        let (second, two) = budgets.begin(&budget, payer("b"));
        assert_eq!((calls(&first), calls(&second)), (Some(1), Some(2)), "of one space, two agents'");
        budgets.decided(now_ms(), "d1", &payer("a"), true);
        drop(one);
        let (third, three) = budgets.begin(&budget, payer("a"));
        assert_eq!(calls(&third), Some(3), "one made, two being decided");
        drop((two, three));
        assert_eq!(calls(&budgets.begin(&budget, payer("a")).0), Some(2));
    }
}
