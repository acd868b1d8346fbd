//! `remit usage`: what calls use up, how budgets stand, and what governance itself takes and spares.

use http::Method;
use remit_gateway::{Gateway, Usage, rfc3339};
use remit_kernel::budget::{Limit, Spent, Standing};
use remit_model::{TimeUnit, decimal};
use serde_json::{Value, json};

use crate::cli::UsageOf;
use crate::commands::operator;
use crate::home::Home;
use crate::output::{Failure, Printer};

/// What is told of it: amounts as decimal numbers, times as RFC 3339.
pub(crate) fn told(gateway: &Gateway, request: &Value) -> Value {
    let time_unit = match request.get("time_unit").and_then(Value::as_str) {
        Some("DAILY") => TimeUnit::Daily,
        _ => TimeUnit::Monthly,
    };
    let Usage { budgets, totals } = gateway.usage(time_unit);
    let totals: Vec<Value> = totals
        .iter()
        .map(|total| {
            let whose = json!({"space": total.payer.space, "agent": total.payer.agent, "user": total.payer.user});
            merged(whose, spent(&total.spent))
        })
        .collect();
    json!({
        "time_unit": time_unit.as_str(),
        "budgets": budgets.iter().map(standing).collect::<Vec<_>>(),
        "totals": totals,
    })
}

fn merged(mut one: Value, other: Value) -> Value {
    crate::change::merge(&mut one, other);
    one
}

/// What was used up; what a denied call spared is foretold from those that were let through.
fn spent(spent: &Spent) -> Value {
    let secs = |us: u64| json!(f64::from(u32::try_from(us / 1000).unwrap_or(u32::MAX)) / 1000.0);
    let spared = |whole: u64| {
        let spared = u128::from(whole) * u128::from(spent.denied) / u128::from(spent.calls.max(1));
        u64::try_from(spared).unwrap_or(u64::MAX)
    };
    let money = |of: &dyn Fn(u64) -> u64| -> Value {
        spent
            .money_micros
            .iter()
            .map(|(currency, micros)| (currency.clone(), json!(decimal(of(*micros)))))
            .collect::<serde_json::Map<_, _>>()
            .into()
    };
    json!({
        "calls": spent.calls, "denied": spent.denied, "bytes": spent.bytes, "upstream_secs": secs(spent.upstream_us),
        "own_us_per_call": spent.own_us / spent.calls.max(1), "money": money(&|micros| micros),
        "spared": {"bytes": spared(spent.bytes), "upstream_secs": secs(spared(spent.upstream_us)), "money": money(&spared)},
    })
}

fn standing(standing: &Standing) -> Value {
    json!({
        "budget": standing.budget, "per": standing.per, "of": standing.of, "time_unit": standing.time_unit,
        "from": rfc3339(standing.from_ms), "until": rfc3339(standing.until_ms), "exceeded": standing.is_exceeded,
        "log_only": standing.is_log_only, "limits": standing.limits.iter().map(limit).collect::<Vec<_>>(),
    })
}

fn limit(limit: &Limit) -> Value {
    let amount = |amount: u64| match limit.name {
        "money" => json!(decimal(amount)),
        "upstream_secs" => json!(amount / 1_000_000),
        _ => json!(amount),
    };
    json!({
        "name": limit.name, "currency": limit.currency, "max": amount(limit.max), "used": amount(limit.used),
        "forecast": limit.forecast.map(amount), "exhausted_at": limit.exhausted_at_ms.map(rfc3339),
    })
}

/// `remit usage`.
pub(crate) async fn run(options: &UsageOf) -> Result<(), Failure> {
    let home = Home::existing(&options.common.data)?;
    let told = operator(&home, Method::GET, &format!("/v1/usage?time_unit={}", options.time_unit.as_str()), None).await?;
    let printer = Printer::new(options.common.json);
    if options.common.json {
        return printer.line(&told.to_string());
    }
    lines(&told).iter().try_for_each(|line| printer.line(line))
}

fn list<'a>(value: &'a Value, key: &str) -> &'a [Value] {
    value.get(key).and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default()
}

fn text<'a>(value: &'a Value, key: &str) -> &'a str {
    value.get(key).and_then(Value::as_str).unwrap_or_default()
}

/// A number or a text as it is read.
fn plain(value: Option<&Value>) -> String {
    match value {
        Some(Value::String(text)) => text.clone(),
        Some(Value::Null) | None => "-".to_owned(),
        Some(other) => other.to_string(),
    }
}

/// Amounts of money, one after the other.
fn amounts(value: Option<&Value>) -> String {
    let all = value.and_then(Value::as_object).into_iter().flatten();
    let all: Vec<String> = all.map(|(currency, amount)| format!("{} {currency}", plain(Some(amount)))).collect();
    if all.is_empty() { "-".to_owned() } else { all.join(", ") }
}

fn lines(told: &Value) -> Vec<String> {
    let mut lines = Vec::new();
    let budgets = list(told, "budgets");
    if budgets.is_empty() {
        lines.push("no budget has been touched in its period (docs/guides/budgets.md)".to_owned());
    }
    for budget in budgets {
        let state = match (budget.get("exceeded"), budget.get("log_only")) {
            (Some(Value::Bool(true)), Some(Value::Bool(true))) => "USED UP (only told of)",
            (Some(Value::Bool(true)), _) => "USED UP: calls are denied",
            _ => "within",
        };
        lines.push(format!(
            "{}  {} {}  {} until {}  {state}",
            text(budget, "budget"),
            text(budget, "per"),
            text(budget, "of"),
            text(budget, "time_unit"),
            text(budget, "until")
        ));
        for limit in list(budget, "limits") {
            let currency =
                limit.get("currency").and_then(Value::as_str).map(|currency| format!(" {currency}")).unwrap_or_default();
            let exhausted = limit.get("exhausted_at").and_then(Value::as_str);
            let exhausted = exhausted.map(|at| format!(", used up at {at} if it goes on so")).unwrap_or_default();
            lines.push(format!(
                "    {:<14} {} of {}{currency}, forecast {}{exhausted}",
                text(limit, "name"),
                plain(limit.get("used")),
                plain(limit.get("max")),
                plain(limit.get("forecast"))
            ));
        }
    }
    let period = if text(told, "time_unit") == "DAILY" { "this day" } else { "this month" };
    lines.push(format!("{period} (UTC), by space, agent and user:"));
    for total in list(told, "totals") {
        let user = total.get("user").and_then(Value::as_str).map(|user| format!(" for {user}")).unwrap_or_default();
        lines.push(format!(
            "  {} {}{user}: {} calls, {} denied, {} bytes, {} s of servers, {} µs a call of Remit itself, {}",
            text(total, "space"),
            text(total, "agent"),
            plain(total.get("calls")),
            plain(total.get("denied")),
            plain(total.get("bytes")),
            plain(total.get("upstream_secs")),
            plain(total.get("own_us_per_call")),
            amounts(total.get("money"))
        ));
        let spared = total.get("spared");
        if total.get("denied").and_then(Value::as_u64) > Some(0) {
            lines.push(format!(
                "    what was denied would have taken some {} bytes, {} s and {}",
                plain(spared.and_then(|spared| spared.get("bytes"))),
                plain(spared.and_then(|spared| spared.get("upstream_secs"))),
                amounts(spared.and_then(|spared| spared.get("money")))
            ));
        }
    }
    lines
}
