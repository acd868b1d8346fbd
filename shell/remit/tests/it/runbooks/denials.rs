//! A denial spike, of each of the three kinds.

use serde_json::{Value, json};

use super::{Count, Duty, Runbook};
use crate::client::send;
use crate::gateway::{Place, config, until};

pub(super) const SECTION: &str = "Denial spike";
const SEARCH: &str = "helpdesk___search_kb";
const SPIKE: usize = 20;

fn settings() -> Value {
    let mut whole = config(&[json!({"name": "helpdesk", "command": ["remit", "sample-server", "helpdesk"]})]);
    whole["alarms"] =
        json!([{"name": "denials", "metric": "denials", "threshold": SPIKE, "period_secs": 10, "group_by": "agent"}]);
    whole
}

fn search(duty: &Duty, agent: &str) -> Value {
    duty.remit().client(agent, "helpdesk").call(SEARCH, r#"{"query":"vpn"}"#)
}

fn goes_off(duty: &Duty) {
    until("it goes off", || duty.remit().place().cli(&["alarms", "--state", "alarm"]).out.starts_with("ALARM"));
}

#[test]
fn a_denial_spike() {
    let runbook = Runbook::of(SECTION);
    assert_eq!(runbook.count(), Count { commands: 13, judged: 3 });
    for branch in runbook.branches() {
        let place = Place::new();
        place.write(&settings());
        let mut duty = Duty::at(place, &[]);
        duty.remit().until_server("helpdesk", "ready");
        match branch {
            "A change took away too much" => {
                assert!(search(&duty, "agent-1").get("result").is_some());
                let mut less = settings();
                less["tool_policies"] = json!([{"agent": "agent-1", "tool": "helpdesk___get_ticket", "max_risk": "low"}]);
                duty.remit().configure(&less);
                for _ in 0..SPIKE {
                    assert_eq!(search(&duty, "agent-1")["error"]["data"]["reason"], "tool_not_permitted");
                }
                goes_off(&duty);
                // Which one was before is seen in the history.
                duty.knows("BEFORE", "1");
                duty.knows("SPACE", "helpdesk");
                duty.follow(&runbook, branch, |_, _| {});
                assert_eq!((duty.known("AGENT"), duty.known("TOOL"), duty.known("VERSION")), ("agent-1", SEARCH, "2"));
                assert!(search(&duty, "agent-1").get("result").is_some(), "what was taken away is there again");
            }
            "One agent tries around" => {
                let client = duty.remit().client("agent-2", "helpdesk");
                for number in 0..SPIKE {
                    assert!(client.call(&format!("helpdesk___drop_{number}"), "{}").get("error").is_some());
                }
                goes_off(&duty);
                duty.follow(&runbook, branch, |duty, commands| {
                    if commands.starts_with("remit suspend") {
                        assert_eq!(search(duty, "agent-2")["error"]["data"]["reason"], "suspended");
                    }
                });
                assert_eq!((duty.known("AGENT"), duty.known("REASON")), ("agent-2", "tool_not_listed"));
                let place = duty.remit().place();
                assert_eq!((place.log_of("suspension").len(), place.log_of("resumption").len()), (1, 1));
                assert_eq!(place.log_of("suspension")[0]["by"], super::ON_DUTY);
                assert!(search(&duty, "agent-2").get("result").is_some(), "it goes on");
            }
            "Callers whom nobody knows" => {
                for _ in 0..SPIKE {
                    let headers = [("authorization", "Bearer nobody"), ("content-type", "application/json")];
                    let answer = send(
                        duty.remit().addr,
                        "POST /spaces/helpdesk/mcp",
                        &headers,
                        br#"{"jsonrpc":"2.0","id":1,"method":"ping"}"#,
                    );
                    drop(answer.is(401));
                }
                goes_off(&duty);
                duty.follow(&runbook, branch, |_, _| {});
                assert_eq!((duty.known("AGENT"), duty.known("ADDRESS")), ("other", "127.0.0.1"));
            }
            other => panic!("{other}"),
        }
        duty.remit.unwrap().stop();
    }
}
