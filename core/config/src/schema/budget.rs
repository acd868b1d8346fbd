//! The shape of `budgets`, and of a server's `cost`.

use serde_json::{Value, json};

use super::{object, refer};

fn currency() -> Value {
    json!({ "type": "string", "pattern": "^[A-Z]{3}$", "description": "Three capital letters (ISO 4217), such as USD." })
}

fn count(description: &str) -> Value {
    json!({ "type": "integer", "minimum": 1, "maximum": 1_000_000_000_000_000_u64, "description": description })
}

/// A budget.
pub(super) fn budget() -> Value {
    let amount = json!({ "type": "string", "pattern": "^[0-9]+(\\.[0-9]+)?$", "description": "A decimal number, in quotes." });
    let money = object(
        "Money that servers say their results cost; servers without `cost` say nothing.",
        &["amount", "currency"],
        &json!({ "amount": amount, "currency": currency() }),
    );
    let limits = object(
        "What may be used up; at least one.",
        &[],
        &json!({
            "calls_max": count("Calls that are let through."),
            "bytes_max": count("Bytes of results."),
            "upstream_secs_max": count("Time that servers take, in seconds."),
            "money_max": money,
        }),
    );
    object(
        "A budget. What is used up is denied until the period is over (`budget_exceeded`).",
        &["id", "per", "time_unit", "limits"],
        &json!({
            "id": { "type": "string", "pattern": "^[A-Za-z0-9_.-]{1,64}$", "description": "Its name." },
            "per": { "enum": ["agent", "space", "user"], "description": "Whose use is counted together: each has the whole budget for itself." },
            "space": { "type": "string", "description": "Only calls in this space count." },
            "agent": refer("agent_id"),
            "time_unit": { "enum": ["DAILY", "MONTHLY"], "description": "A day or a month of the calendar, in UTC." },
            "limits": limits,
            "mode": { "enum": ["ENFORCE", "LOG_ONLY"], "default": "ENFORCE", "description": "LOG_ONLY: it is counted and told of, and denies nothing." },
        }),
    )
}

/// Where a server's results say what they cost.
pub(super) fn stated() -> Value {
    object(
        "Where its results say what they cost.",
        &["pointer", "currency"],
        &json!({
            "pointer": { "type": "string", "pattern": "^/", "maxLength": 256, "description": "A JSON pointer into the result, to a number or a decimal text." },
            "currency": currency(),
        }),
    )
}
