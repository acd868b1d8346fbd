//! `budgets`: how much of what calls cost may be used up, and `cost` of a server: where its results say what they cost.

use remit_model::{Budget, BudgetLimits, BudgetPer, Money, StatedCost, TimeUnit, micros};

use crate::draft::Draft;
use crate::invariant::{agent_ids, spaces};
use crate::item::{Item, shown};

/// The most budgets: each is looked at before every call.
const BUDGETS_MAX: usize = 64;
/// The longest name, in bytes.
const ID_BYTES_MAX: usize = 64;
/// The most of anything that is counted.
const COUNT_MAX: u64 = 1_000_000_000_000_000;
/// The longest pointer, in bytes.
const POINTER_BYTES_MAX: usize = 256;

const PER: [(&str, BudgetPer); 3] = [("agent", BudgetPer::Agent), ("space", BudgetPer::Space), ("user", BudgetPer::User)];
const UNITS: [(&str, TimeUnit); 2] = [("DAILY", TimeUnit::Daily), ("MONTHLY", TimeUnit::Monthly)];
/// Whether it is only told of.
const MODES: [(&str, bool); 2] = [("ENFORCE", false), ("LOG_ONLY", true)];

/// Reads them. Agents and spaces are known by then.
pub(crate) fn budgets(items: &[Item<'_>], draft: &Draft<'_>) -> Vec<Budget> {
    let mut budgets: Vec<Budget> = Vec::new();
    for item in items {
        let Some(budget) = budget(item, draft) else { continue };
        if budgets.iter().any(|other| other.id == budget.id) {
            item.error(format!("there is already a budget {}", shown(&budget.id)), "rename one of the two");
        }
        budgets.push(budget);
    }
    if let (true, Some(item)) = (budgets.len() > BUDGETS_MAX, items.get(BUDGETS_MAX)) {
        item.error(format!("there are more than {BUDGETS_MAX} budgets"), "keep fewer; `per` gives each agent, space or user one");
    }
    budgets
}

fn budget(item: &Item<'_>, draft: &Draft<'_>) -> Option<Budget> {
    let object = item.object("a budget", &["id", "per", "space", "agent", "time_unit", "limits", "mode"])?;
    let id = object.need("id").and_then(|item| {
        let text = item.text()?;
        let fits = (1..=ID_BYTES_MAX).contains(&text.len())
            && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_.-".contains(&byte));
        if !fits {
            item.error(format!("{} is no name of a budget", shown(text)), "1 to 64 of letters, digits, `_`, `.` and `-`");
        }
        fits.then(|| text.to_owned())
    });
    let per = object.need("per").and_then(|item| item.choice(&PER));
    let time_unit = object.need("time_unit").and_then(|item| item.choice(&UNITS));
    let space = object.get("space").and_then(|item| Some((item.text()?, item)));
    let agent = object.get("agent").and_then(|item| Some((item.text()?, item)));
    let limits = object.need("limits").and_then(|item| limits(&item));
    Some(Budget {
        space: space.and_then(|space| spaces(vec![space], draft).pop()),
        agent: agent.and_then(|agent| agent_ids(vec![agent], draft).pop()),
        log_only: object.get("mode").and_then(|item| item.choice(&MODES)).unwrap_or(false),
        origin: item.origin(),
        id: id?,
        per: per?,
        time_unit: time_unit?,
        limits: limits?,
    })
}

fn limits(item: &Item<'_>) -> Option<BudgetLimits> {
    let keys = &["calls_max", "bytes_max", "upstream_secs_max", "money_max"];
    let object = item.object("the limits of a budget", keys)?;
    if object.present(keys).is_empty() {
        item.error(
            "a budget without any limit limits nothing",
            "write one of calls_max, bytes_max, upstream_secs_max, money_max",
        );
        return None;
    }
    let count = |key: &'static str| object.get(key).and_then(|item| item.count(COUNT_MAX));
    Some(BudgetLimits {
        calls_max: count("calls_max"),
        bytes_max: count("bytes_max"),
        upstream_secs_max: count("upstream_secs_max"),
        money_max: object.get("money_max").and_then(|item| money(&item)),
    })
}

fn money(item: &Item<'_>) -> Option<Money> {
    let object = item.object("an amount of money", &["amount", "currency"])?;
    let amount = object.need("amount").and_then(|item| {
        let text = item.text()?;
        let amount = micros(text).filter(|amount| *amount > 0);
        if amount.is_none() {
            item.error(format!("{} is no amount of money", shown(text)), "write a decimal number such as `\"25.00\"`");
        }
        amount
    });
    let currency = object.need("currency").and_then(|item| currency(&item));
    Some(Money { amount_micros: amount?, currency: currency? })
}

fn currency(item: &Item<'_>) -> Option<String> {
    let text = item.text()?;
    let fits = text.len() == 3 && text.bytes().all(|byte| byte.is_ascii_uppercase());
    if !fits {
        item.error(format!("{} is no currency", shown(text)), "three capital letters (ISO 4217), such as `USD`");
    }
    fits.then(|| text.to_owned())
}

/// Where a server's results say what they cost.
pub(crate) fn stated(item: &Item<'_>) -> Option<StatedCost> {
    let object = item.object("what results say of their cost", &["pointer", "currency"])?;
    let pointer = object.need("pointer").and_then(|item| {
        let text = item.text()?;
        let fits = text.starts_with('/') && text.len() <= POINTER_BYTES_MAX;
        if !fits {
            item.error(format!("{} is no pointer into a result", shown(text)), "such as `/_meta/cost/usd` (RFC 6901)");
        }
        fits.then(|| text.to_owned())
    });
    let currency = object.need("currency").and_then(|item| currency(&item));
    Some(StatedCost { pointer: pointer?, currency: currency? })
}
