//! Calls that wait for people: nobody answers, or nobody can.

use std::time::{SystemTime, UNIX_EPOCH};

use serde_json::{Value, json};

use super::{Count, Duty, Runbook};
use crate::gateway::{Place, config, remit};

pub(super) const ESCALATION: &str = "Escalation";
pub(super) const LOST: &str = "Lost approver";
const CLOSE: &str = "helpdesk___close_ticket";
const DONE: &str = r#"{"ticket_id":"TCK-1001","resolution":"done"}"#;

fn settings(ask: &Value) -> Value {
    let mut whole = config(&[json!({"name": "helpdesk", "command": ["remit", "sample-server", "helpdesk"]})]);
    whole["approval_rules"] = json!([{"id": "closing", "hold": {"tools": [CLOSE]}, "ask": ask}]);
    whole
}

/// Makes a key of a person; answers its public half.
fn key(place: &Place, file: &str, name: &str) -> String {
    let file = place.root().join(file);
    let made = remit(&["review-key", name, "--out", file.to_str().unwrap(), "--json"], None);
    crate::client::json(&made.out)["public_key"].as_str().unwrap().to_owned()
}

/// What becomes of a call.
fn call(duty: &Duty) -> String {
    let answer = duty.remit().client("agent-1", "helpdesk").call(CLOSE, DONE);
    match answer["result"].pointer("/_meta/remit~1approval") {
        Some(approval) => approval["state"].as_str().unwrap().to_owned(),
        None if answer.get("result").is_some() => "made".to_owned(),
        None => answer.to_string(),
    }
}

fn until_iso(days: u64) -> String {
    let now = u64::try_from(SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_millis()).unwrap();
    remit_gateway::rfc3339(now + days * 86_400_000).split('T').next().unwrap().to_owned()
}

#[test]
fn an_escalation() {
    let runbook = Runbook::of(ESCALATION);
    assert_eq!(runbook.count(), Count { commands: 7, judged: 2 });
    for branch in runbook.branches() {
        let place = Place::new();
        let escalate = json!([{"after_secs": 1, "approvers": [super::ON_DUTY]}]);
        let mut whole = settings(&json!({"wait_secs": 1, "approvers": ["ann"], "escalate": escalate}));
        let (first, second) = (key(&place, "FIRST.key", "maria"), key(&place, "SECOND.key", "jo"));
        whole["approvers"] =
            json!([{"id": "ann"}, {"id": super::ON_DUTY}, {"id": "maria", "key": first}, {"id": "jo", "key": second}]);
        place.write(&whole);
        let mut duty = Duty::at(place, &[]);
        duty.remit().until_server("helpdesk", "ready");
        // Ann doesn't answer.
        assert_eq!(call(&duty), "PENDING");
        duty.follow(&runbook, branch, |_, _| {});
        assert_eq!((duty.known("AGENT"), duty.known("TOOL"), duty.known("RULE")), ("agent-1", CLOSE, "closing"));
        let becomes = call(&duty);
        match branch {
            "It is right" => assert_eq!(becomes, "made"),
            "It isn't right" => assert_ne!(becomes, "made"),
            "It can't wait and whoever may decide is away" => {
                assert_eq!(becomes, "made");
                let broken = duty.remit().place().log_of("break_glass");
                assert!(!broken.is_empty(), "it is on record");
                let metrics = crate::client::send(duty.remit().control, "GET /metrics", &[], b"").body();
                assert!(metrics.contains("remit_break_glass_unreviewed 0"), "and was looked at");
            }
            other => panic!("{other}"),
        }
        duty.remit.unwrap().stop();
    }
}

#[test]
fn a_lost_approver() {
    let runbook = Runbook::of(LOST);
    assert_eq!(runbook.count(), Count { commands: 11, judged: 0 });
    for branch in runbook.branches() {
        let place = Place::new();
        let (ann, bob) = (key(&place, "ann.key", "ann"), key(&place, "bob.key", "bob"));
        let ask = json!({"wait_secs": 1, "approvers": ["ann"], "authentication": {"proven": true}});
        place.write(&settings(&ask));
        let approvers = json!({"approvers": [{"id": "ann", "key": ann}, {"id": "bob", "key": bob}]});
        std::fs::write(place.config().join("approvers.yaml"), approvers.to_string()).unwrap();
        let mut duty = Duty::at(place, &[]);
        duty.remit().until_server("helpdesk", "ready");
        duty.knows("BOB", &bob);
        match branch {
            "The approver is away" => {
                duty.knows("ANN", &ann);
                duty.knows("UNTIL", &until_iso(7));
            }
            // It is printed where it is made.
            "The key is lost" => {}
            other => panic!("{other}"),
        }
        assert_eq!(call(&duty), "PENDING");
        duty.follow(&runbook, branch, |_, _| {});
        assert_eq!(call(&duty), "made");
        let place = duty.remit.unwrap().stop();
        let voted = place.log_of("approval_voted");
        assert_eq!(voted.len(), 1, "{voted:?}");
        assert_eq!(voted[0]["by"], if branch == "The key is lost" { "ann" } else { "bob" });
    }
}
