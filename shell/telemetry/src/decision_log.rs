//! Decisions as a log: a line of JSON each, for whatever collects logs. The journal is the record; this is a copy of what it says.

use remit_gateway::rfc3339;
use remit_kernel::alarm::{Event, What};
use serde_json::json;

/// A decision's line; `None` of anything else. `tool_id`, `agent_id`, `policy_result`, `reason` and `trace_id` are what governance on AWS logs.
pub fn line(event: &Event<'_>) -> Option<String> {
    let What::Decided { verdict, reason, .. } = &event.what else { return None };
    let some = |text: &str| if text.is_empty() { None } else { Some(text.to_owned()) };
    let line = json!({
        "time": rfc3339(event.at_ms), "agent_id": some(&event.agent), "tool_id": some(&event.tool), "policy_result": verdict,
        "reason": some(reason), "trace_id": event.trace_id, "space": event.space, "decision_id": event.decision,
    });
    Some(line.to_string())
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test that can't go on fails")]
mod tests {
    use super::*;

    #[test]
    fn a_line_has_the_fields_and_no_line_feed() {
        let entry = br#"{"v":1,"type":"decision","time":"2026-03-01T00:00:00.000Z","id":"d1","trace_id":"t1","agent":null,"space":"s","tool":"a\nb","verdict":"DENY","reason":"unauthenticated"}"#;
        let told = line(&Event::read(entry).unwrap()).unwrap();
        assert!(!told.contains('\n'));
        let told: serde_json::Value = serde_json::from_str(&told).unwrap();
        let expected = json!({"time": "2026-03-01T00:00:00.000Z", "agent_id": null, "tool_id": "a\nb", "policy_result": "DENY",
            "reason": "unauthenticated", "trace_id": "t1", "space": "s", "decision_id": "d1"});
        assert_eq!(told, expected);
        let outcome = br#"{"v":1,"type":"outcome","time":"2026-03-01T00:00:00.000Z","outcome":"ok"}"#;
        assert_eq!(line(&Event::read(outcome).unwrap()), None);
    }
}
