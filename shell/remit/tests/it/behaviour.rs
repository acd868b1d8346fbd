//! Behaviour as operators meet it: learned from the journal, found where it isn't as usual, told by the command, the alarm and the metrics, and
//! not forgotten by a restart.

use std::time::{SystemTime, UNIX_EPOCH};

use remit_gateway::rfc3339;
use remit_journal::{Journal, Options, SigningKey};
use serde_json::{Value, json};

use crate::gateway::{Place, Remit, config, until};

const HOUR_MS: u64 = 3_600_000;

pub(crate) fn settings() -> Value {
    let mut config = config(&[json!({"name": "helpdesk", "command": ["remit", "sample-server", "helpdesk"]})]);
    config["behaviour"] = json!({"learning_days": 7});
    config["alarms"] = json!([{
        "name": "not as usual", "metric": "findings", "threshold": 1, "period_secs": 60, "group_by": "agent",
        "treat_missing_data": "ignore", "actions": [{"suspend": "agent"}],
    }]);
    config
}

/// Makes a journal of thirty days, in which an agent searched once an hour, from one address.
pub(crate) fn past(place: &Place) {
    std::fs::create_dir_all(place.data()).unwrap();
    // The key that such a gateway would have made.
    let key = place.data().join("journal.key");
    std::fs::write(&key, "07".repeat(32)).unwrap();
    std::fs::set_permissions(&key, std::os::unix::fs::PermissionsExt::from_mode(0o600)).unwrap();
    let options = Options::new(place.data().join("journal"), "remit/journal");
    let (journal, _) = Journal::open(options, SigningKey::from_seed(&[7; 32]), |_, _| {}).unwrap();
    let now = u64::try_from(SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_millis()).unwrap();
    let mut last = None;
    for number in 0..30 * 24 {
        let at = now - (30 * 24 - number) * HOUR_MS;
        let id = format!("{number:032x}");
        let decision = json!({
            "v": 1, "type": "decision", "time": rfc3339(at), "id": id, "trace_id": id, "agent": "agent-1", "space": "helpdesk",
            "source_ip": "10.0.0.9", "server": "111122223333/helpdesk", "tool": "helpdesk___search_kb", "method": "tools/call",
            "risk": "low", "class": "READ_ONLY", "verdict": "ALLOW", "layers": [],
        });
        let outcome = json!({
            "v": 1, "type": "outcome", "time": rfc3339(at + 50), "decision": id, "agent": "agent-1", "space": "helpdesk",
            "tool": "helpdesk___search_kb", "outcome": "ok", "result_bytes": 900 + number % 50,
        });
        for entry in [decision, outcome] {
            last = Some(journal.append(entry.to_string().into_bytes()));
        }
    }
    last.unwrap().wait().unwrap();
    journal.close();
}

fn told(remit: &Remit, agent: &str) -> Value {
    let (status, told) = remit.operator(&format!("GET /v1/behaviour?agent={agent}"), "");
    assert_eq!(status, 200, "{told}");
    told
}

#[test]
fn a_call_from_elsewhere_is_found_recorded_and_its_agent_stopped() {
    let place = Place::new();
    place.write(&settings());
    past(&place);
    let remit = Remit::up_at(place, &[]);
    remit.until_server("helpdesk", "ready");
    // What was there is learned from, and nothing is said of it.
    until("it has learned", || told(&remit, "agent-1")["counts"]["calls"] == 30 * 24);
    let known = told(&remit, "agent-1");
    let agent = &known["agents"][0];
    assert!(agent["known"] == true && agent["days"].as_u64().unwrap() >= 30, "{known}");
    assert_eq!(agent["hours"].as_array().unwrap().len(), 24, "{known}");
    assert_eq!((agent["tools"][0]["tool"].clone(), known["findings"].clone()), (json!("helpdesk___search_kb"), json!([])));

    // Somebody whom nobody knows yet does as they like.
    let stranger = remit.client("agent-2", "helpdesk");
    for query in ["hunter2 one", "hunter2 two"] {
        assert!(stranger.call("helpdesk___search_kb", &json!({ "query": query }).to_string()).get("result").is_some());
    }
    // The known one calls from an address that it never called from.
    assert!(remit.client("agent-1", "helpdesk").call("helpdesk___search_kb", r#"{"query":"hunter2"}"#).get("result").is_some());
    until("the agent is stopped", || remit.status()["suspended"]["agents"].get("agent-1").is_some());
    assert!(remit.status()["suspended"]["agents"].get("agent-2").is_none());
    let place = remit.place();
    let found = place.log_of("behaviour_found");
    assert_eq!(found.len(), 1, "{found:?}");
    assert_eq!((&found[0]["agent"], &found[0]["broken"][0]["expectation"]), (&json!("agent-1"), &json!("origin")), "{found:?}");
    assert!(found[0]["score"].as_f64().unwrap() >= 4.0 && found[0]["space"] == "helpdesk", "{found:?}");
    let decision = found[0]["decision"].as_str().unwrap();
    assert!(place.log_of("decision").iter().any(|entry| entry["id"] == decision && entry["agent"] == "agent-1"));
    assert_eq!(place.log_of("suspension")[0]["by"], "alarm not as usual");
    // The arguments of calls are learned from what is kept beside the journal, and none is told.
    until("arguments are learned", || told(&remit, "agent-2")["counts"]["arguments"].as_u64().unwrap() >= 3);
    let other = told(&remit, "agent-2");
    let argument = &other["agents"][0]["tools"][0]["arguments"][0];
    assert_eq!((&argument["pointer"], &argument["present"]), (&json!("/query"), &json!(2)), "{other}");
    assert!(other["agents"][0]["known"] == false && other["findings"] == json!([]), "{other}");
    let said = place.cli(&["behaviour", "agent-1"]);
    assert!(
        said.code == 0 && said.out.contains("an address that it never called from") && said.out.contains("known: 3"),
        "{said:?}"
    );
    let all = place.cli(&["behaviour"]);
    assert!(all.out.contains("agent-2") && all.out.contains("still learning"), "{all:?}");
    assert!(!format!("{} {} {:?}", said.out, all.out, place.log()).contains("hunter2"));
    assert_eq!(remit.operator("GET /v1/behaviour?agent=nobody", "").0, 404);
    let calls = known["counts"]["calls"].as_u64().unwrap() + 3;

    // A restart goes on with what it knows, and tells nothing twice.
    let place = remit.stop();
    let kept = std::fs::read(place.data().join("journal.behaviour")).unwrap();
    assert!(!kept.windows(7).any(|some| some == b"hunter2"));
    let remit = Remit::up_at(place, &[]);
    let again = told(&remit, "agent-1");
    assert!(again["counts"]["calls"].as_u64().unwrap() >= calls, "{again}");
    assert_eq!(again["findings"].as_array().unwrap().len(), 1);
    let place = remit.stop();
    assert_eq!(place.log_of("behaviour_found").len(), 1);
    // What somebody has changed is left aside, and learned again from the journal.
    let mut spoilt = kept;
    spoilt[10] ^= 1;
    std::fs::write(place.data().join("journal.behaviour"), spoilt).unwrap();
    let remit = Remit::up_at(place, &[]);
    until("it has learned again", || told(&remit, "agent-1")["counts"]["calls"].as_u64().unwrap() >= calls);
    let place = remit.stop();
    assert_eq!(place.log_of("behaviour_found").len(), 1);
}

#[test]
fn nothing_is_watched_where_nobody_asks() {
    let mut config = settings();
    config.as_object_mut().unwrap().remove("behaviour");
    let remit = Remit::up(&config);
    remit.until_server("helpdesk", "ready");
    assert!(remit.client("agent-1", "helpdesk").call("helpdesk___search_kb", r#"{"query":"x"}"#).get("result").is_some());
    let said = remit.place().cli(&["behaviour"]);
    assert!(said.out.starts_with("nothing is watched"), "{said:?}");
    let place = remit.stop();
    assert!(!place.data().join("journal.behaviour").exists());
}
