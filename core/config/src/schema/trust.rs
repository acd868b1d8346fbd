//! The shape of `trust`.

use serde_json::{Value, json};

use super::{count, object, refer};

/// How agents earn autonomy.
pub(super) fn trust() -> Value {
    let tier =
        |description: &str| json!({ "enum": ["probation", "supervised", "trusted", "autonomous"], "description": description });
    let whole =
        |description: &str, max: u64| json!({ "type": "integer", "minimum": 0, "maximum": max, "description": description });
    let each = |tiers: &[&str], of: &Value, description: &str| {
        let properties: Value = tiers.iter().map(|tier| ((*tier).to_owned(), of.clone())).collect();
        object(description, &[], &properties)
    };
    let limits = object(
        "What the tier is limited to.",
        &[],
        &json!({
            "risk_max": refer("risk"),
            "calls_per_minute_max": count("How many calls of one tool in one space the agent may make in a minute.", 1_000_000),
        }),
    );
    let promotion = object(
        "What must have been for the step up into this tier to be proposed. A person signs it.",
        &[],
        &json!({
            "approved_unchanged_min": whole("At least so many approvals given as they were asked for, and used, since the agent has been in its tier.", 1_000_000),
            "calls_ok_min": whole("At least so many calls that ended well, since the agent has been in its tier.", 1_000_000),
            "days_min": whole("At least so many days in its tier.", 365),
            "rejections_max": whole("At most so many rejections within the window.", 1_000_000),
            "denials_max": whole("At most so many denials within the window.", 1_000_000),
            "guardrail_hits_max": whole("At most so many calls that guardrails blocked within the window.", 1_000_000),
            "incidents_max": whole("At most so many incidents within the window.", 1_000_000),
            "window_days": { "type": "integer", "minimum": 1, "maximum": 365, "default": 30, "description": "The last days that are looked at." },
        }),
    );
    let demotion = |what: &str| {
        object(
            what,
            &["count", "within_days", "to"],
            &json!({ "count": count("So many.", 1_000_000), "within_days": count("Within so many days.", 365), "to": tier("To this tier.") }),
        )
    };
    object(
        "How agents earn autonomy, category by category of tools; at most one in all files. Without it nobody has a tier.",
        &[],
        &json!({
            "initial": { "enum": ["probation", "supervised", "trusted", "autonomous"], "default": "probation", "description": "The tier that everybody begins in." },
            "tiers": each(&["probation", "supervised", "trusted", "autonomous"], &limits, "What tiers are limited to; none may reach less than the tier below it."),
            "promotions": each(&["supervised", "trusted", "autonomous"], &promotion, "By the tier that is reached; the step into one that isn't named is never proposed."),
            "demotions": object(
                "What brings an agent down, at once.",
                &[],
                &json!({
                    "incident": tier("To this tier, by an incident."),
                    "suspension": tier("To this tier, when the agent is suspended."),
                    "rejections": demotion("By people's rejections."),
                    "denials": demotion("By denials."),
                    "guardrail_hits": demotion("By calls that guardrails blocked."),
                }),
            ),
        }),
    )
}
