//! An agent that calls from where it never was.

use super::{Count, Duty, Runbook};
use crate::behaviour::{past, settings};
use crate::gateway::{Place, until};

pub(super) const SECTION: &str = "Not as usual";

#[test]
fn not_as_usual() {
    let runbook = Runbook::of(SECTION);
    assert_eq!(runbook.count(), Count { commands: 10, judged: 2 });
    for branch in runbook.branches() {
        let place = Place::new();
        place.write(&settings());
        past(&place);
        let mut duty = Duty::at(place, &[]);
        duty.remit().until_server("helpdesk", "ready");
        let known = |duty: &Duty| duty.remit().operator("GET /v1/behaviour?agent=agent-1", "").1["counts"]["calls"].clone();
        until("it has learned", || known(&duty) == 30 * 24);
        let call = |duty: &Duty| duty.remit().client("agent-1", "helpdesk").call("helpdesk___search_kb", r#"{"query":"vpn"}"#);
        assert!(call(&duty).get("result").is_some());
        let stopped = |duty: &Duty| duty.remit().status()["suspended"]["agents"].get("agent-1").is_some();
        until("the alarm has stopped it", || stopped(&duty));
        let before = duty.remit().token("agent-1", "helpdesk");
        let secret = || std::fs::read_to_string(duty.root.join(".remit/agents/agent-1.secret")).unwrap();
        let first = secret();
        match branch {
            "It isn't its work" => {
                duty.follow(&runbook, branch, |_, _| {});
                let mut stolen = duty.remit().client("agent-1", "helpdesk");
                stolen.token = before;
                assert_eq!(stolen.modern("tools/list", "{}").status, 401, "what it held is good no more");
                assert_ne!(std::fs::read_to_string(duty.root.join(".remit/agents/agent-1.secret")).unwrap(), first);
            }
            "It is new work" => duty.follow(&runbook, branch, |_, _| {}),
            other => panic!("{other}"),
        }
        assert_eq!((duty.known("AGENT"), duty.known("ADDRESS")), ("agent-1", "127.0.0.1"));
        assert!(!stopped(&duty));
        // A token of the very second of the revocation is none, either.
        until("it goes on", || call(&duty).get("result").is_some());
        duty.remit.unwrap().stop();
    }
}
