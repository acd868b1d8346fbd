//! A call as the journal holds it: the entries of its decision and its outcome.

use remit_mcp::canonical::{hex, sha256};
use serde_json::{Value, json};

/// The configuration's statement about a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// Allowed.
    Allow,
    /// Denied for this reason.
    Deny(&'static str),
}

/// A call.
#[derive(Debug, Clone)]
pub struct Call {
    /// When, in milliseconds since the epoch.
    pub at_ms: u64,
    /// The agent.
    pub agent: &'static str,
    /// The client's session.
    pub session: u64,
    /// From where.
    pub source_ip: &'static str,
    /// The tool's name in policies.
    pub tool: String,
    /// The arguments.
    pub arguments: Value,
    /// What was decided.
    pub verdict: Verdict,
    /// Whether the tool says that it can't.
    pub error: bool,
    /// How large the result is.
    pub result_bytes: u64,
    /// Which definition of the tool it is.
    pub definition: u32,
    /// The episode that it is of; `None`: all is as it should be.
    pub episode: Option<usize>,
}

/// An entry of the journal.
#[derive(Debug, Clone)]
pub struct Labelled {
    /// When, in milliseconds since the epoch.
    pub at_ms: u64,
    /// Its bytes.
    pub bytes: Vec<u8>,
    /// The arguments that are kept beside it.
    pub arguments: Option<String>,
}

/// The id of the decision about the call of this number.
pub fn decision_id(number: usize) -> String {
    format!("{number:032x}")
}

/// The digest of a definition of a tool.
pub fn tool_digest(tool: &str, definition: u32) -> String {
    digest(format!("{tool} {definition}").as_bytes())
}

fn digest(bytes: &[u8]) -> String {
    format!("sha256:{}", hex(&sha256(bytes)))
}

/// The entries of a call with this number: its decision, and its outcome if it was allowed.
pub fn entries(number: usize, call: &Call) -> Vec<Labelled> {
    let arguments = call.arguments.to_string();
    let known = !call.tool.ends_with("___unknown");
    let (verdict, reason) = match call.verdict {
        Verdict::Allow => ("ALLOW", None),
        Verdict::Deny(reason) => ("DENY", Some(reason)),
    };
    let trace = decision_id(number);
    let (server, _) = call.tool.split_once("___").unwrap_or_default();
    let mut decision = json!({
        "v": 1, "type": "decision", "time": rfc3339(call.at_ms), "id": decision_id(number), "trace_id": trace, "agent": call.agent,
        "session": format!("{:08x}", call.session), "source_ip": call.source_ip, "space": space(call.agent), "tool": call.tool,
        "method": "tools/call", "protocol": "2025-11-25", "arguments_digest": digest(arguments.as_bytes()),
        "tool_digest": tool_digest(&call.tool, call.definition), "risk": "medium", "class": "MUTATIVE", "verdict": verdict,
        "layers": [{"checkType": "TOOL_POLICY", "effect": verdict, "statement": "row"}],
        "facts_digest": digest(trace.as_bytes()), "snapshot": 1,
    });
    if let Some(decision) = decision.as_object_mut() {
        decision.extend(known.then(|| ("server".to_owned(), json!(format!("111122223333/{server}")))));
        decision.extend(reason.map(|reason| ("reason".to_owned(), json!(reason))));
    }
    let mut all = vec![Labelled { at_ms: call.at_ms, bytes: decision.to_string().into_bytes(), arguments: Some(arguments) }];
    if call.verdict == Verdict::Allow {
        let at_ms = call.at_ms + 80;
        let outcome = json!({
            "v": 1, "type": "outcome", "time": rfc3339(at_ms), "trace_id": trace, "decision": decision_id(number), "agent": call.agent,
            "space": space(call.agent), "tool": call.tool, "outcome": if call.error { "tool_error" } else { "ok" },
            "result_digest": digest(trace.as_bytes()), "result_bytes": call.result_bytes, "latency_us": 80_000, "upstream_us": 70_000,
        });
        all.push(Labelled { at_ms, bytes: outcome.to_string().into_bytes(), arguments: None });
    }
    all
}

/// The entry that says that a definition was accepted.
pub fn accepted(at_ms: u64, tool: &str, definition: u32) -> Labelled {
    let entry = json!({"v": 1, "type": "tool_pin", "time": rfc3339(at_ms), "server": "111122223333/any", "by": "operator",
        "tools": [tool], "digests": [tool_digest(tool, definition)]});
    Labelled { at_ms, bytes: entry.to_string().into_bytes(), arguments: None }
}

fn space(agent: &str) -> &'static str {
    match agent.split('-').nth(1) {
        Some("support") => "support",
        Some("finance") => "finance",
        _ => "prod-sre",
    }
}

/// RFC 3339, after Howard Hinnant's algorithm.
fn rfc3339(at_ms: u64) -> String {
    let (days, ms) = (at_ms / 86_400_000 + 719_468, at_ms % 86_400_000);
    let (era, of_era) = (days / 146_097, days % 146_097);
    let year = (of_era - of_era / 1_460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year + year / 4 - year / 100);
    let shifted = (5 * of_year + 2) / 153;
    let (day, month) = (of_year - (153 * shifted + 2) / 5 + 1, if shifted < 10 { shifted + 3 } else { shifted - 9 });
    let year = year + era * 400 + u64::from(month <= 2);
    let (secs, ms) = (ms / 1000, ms % 1000);
    format!("{year:04}-{month:02}-{day:02}T{:02}:{:02}:{:02}.{ms:03}Z", secs / 3600, secs / 60 % 60, secs % 60)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_those_that_are_read() {
        for at_ms in [0, 951_782_399_999, 1_767_571_200_123, 1_772_323_200_000] {
            assert_eq!(remit_model::time_ms(&rfc3339(at_ms)), Some(at_ms));
        }
    }
}
