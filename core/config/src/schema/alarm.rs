//! The shape of `alarms`.

use remit_model::REASONS;
use serde_json::{Value, json};

use super::{count, object, one_of, refer, text, texts};

/// An alarm over decisions.
pub(super) fn alarm() -> Value {
    let of = object(
        "Of which calls; every key that is given narrows it.",
        &[],
        &json!({
            "agents": texts("By these agents."),
            "spaces": texts("In these spaces."),
            "tools": texts("Of these tools by name, server___tool, or by the beginning of one with * for the rest."),
            "reasons": { "type": "array", "uniqueItems": true, "items": { "enum": REASONS }, "description": "Denied or held for one of these reasons." },
        }),
    );
    let ratio = object(
        "Breaching: so many percent of all there was, or more.",
        &["percent", "of_at_least"],
        &json!({
            "percent": count("The share, in percent.", 100),
            "of_at_least": count("Where there was so much at least: of few, every share is chance.", 1_000_000_000),
        }),
    );
    let alarm = object(
        "What is watched in the decisions, in CloudWatch's words, and what is done when it is too much.",
        &["name", "metric", "period_secs"],
        &json!({
            "name": { "type": "string", "minLength": 1, "maxLength": 255, "pattern": "^[ -~]+$", "description": "Its name." },
            "metric": { "enum": ["decisions", "denials", "holds", "risky_attempts", "errors", "latency_ms", "findings", "finding_score"], "description": "What is counted. risky_attempts: calls of tools of high or critical risk, however they were decided. errors and latency_ms are of allowed calls. findings and finding_score are of what `behaviour` finds." },
            "statistic": { "enum": ["sum", "average", "maximum"], "description": "Counts are added up (sum); of latency_ms and finding_score it is average, or maximum." },
            "of": of,
            "threshold": count("Breaching: so much in a period, or more.", 1_000_000_000),
            "fewer_than": count("Breaching: less than this in a period.", 1_000_000_000),
            "ratio": ratio,
            "period_secs": { "type": "integer", "minimum": 10, "maximum": 86400, "description": "How long a period is: 10, 20, 30 or a multiple of 60. It slides, in twentieths of itself." },
            "evaluation_periods": { "type": "integer", "minimum": 1, "maximum": 24, "default": 1, "description": "How many of the last periods are looked at: a day together at most." },
            "datapoints_to_alarm": count("How many of them must be breaching; without it all.", 24),
            "treat_missing_data": { "enum": ["missing", "ignore", "breaching", "not_breaching"], "description": "What a period without any call is: missing, or breaching where fewer_than is given." },
            "group_by": { "enum": ["agent", "space", "tool"], "description": "Each has a state of its own." },
            "actions": { "type": "array", "maxItems": 5, "items": refer("alarm_action"), "description": "What is done when it goes off." },
        }),
    );
    one_of(alarm, &["threshold", "fewer_than", "ratio"])
}

/// What is done when an alarm goes off.
pub(super) fn action() -> Value {
    let webhook = object(
        "A signed request (Standard Webhooks), and another one when it is over.",
        &["url", "secret"],
        &json!({ "url": text("The address."), "secret": refer("secret"), "network": refer("network") }),
    );
    let sns = object(
        "A message to a topic of Amazon SNS as CloudWatch would send it, and another one when it is over.",
        &["topic", "credentials"],
        &json!({
            "topic": { "type": "string", "pattern": "^arn:[^:]+:sns:[^:]+:[0-9]{12}:[^:]+$", "description": "The topic's ARN." },
            "credentials": refer("secret"), "endpoint": text("Another endpoint than AWS's own of the region."), "network": refer("network"),
        }),
    );
    let pagerduty = object(
        "An event for PagerDuty (Events API v2), resolved when it is over.",
        &["routing_key"],
        &json!({
            "routing_key": refer("secret"),
            "severity": { "enum": ["critical", "error", "warning", "info"], "default": "error" },
            "endpoint": text("Another endpoint than https://events.pagerduty.com/v2/enqueue."), "network": refer("network"),
        }),
    );
    let action = object(
        "What is done.",
        &[],
        &json!({
            "webhook": webhook, "sns": sns, "pagerduty": pagerduty,
            "suspend": { "enum": ["agent"], "description": "The agent is suspended until somebody lets it go on; with group_by: agent." },
            "incident": { "$ref": "#/$defs/risk", "description": "An incident of the agent, of this severity: where `trust` says so it falls to a lower tier; with group_by: agent." },
        }),
    );
    one_of(action, &["webhook", "sns", "pagerduty", "suspend", "incident"])
}
