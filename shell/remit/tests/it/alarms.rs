//! Alarms over decisions as operators meet them: the seed's own, what is told and to whom, what is done to the agent; and the same decisions as
//! metrics for CloudWatch and as a log.

use serde_json::{Value, json};

use crate::channels::{States, receive, receiver, value};
use crate::gateway::{Place, Remit, config, until};

const UNKNOWN: &str = "helpdesk___drop_everything";

fn helpdesk() -> Value {
    config(&[json!({"name": "helpdesk", "command": ["remit", "sample-server", "helpdesk"]})])
}

fn denied(remit: &Remit, agent: &str, times: usize) {
    let client = remit.client(agent, "helpdesk");
    for _ in 0..times {
        let answer = client.call(UNKNOWN, "{}");
        assert!(answer.get("error").is_some() || answer["result"]["isError"] == true, "{answer}");
    }
}

/// How an alarm's group stands.
fn standing(remit: &Remit, group: &str) -> Value {
    let (status, told) = remit.operator("GET /v1/alarms", "");
    assert_eq!(status, 200, "{told}");
    let found = told["alarms"].as_array().unwrap().iter().find(|row| row["group"] == group).cloned();
    found.unwrap_or_default()["state"].clone()
}

/// The example of the guide.
fn seed() -> Value {
    let guide = include_str!("../../../../docs/guides/alarms.md");
    let yaml = guide.split("```yaml\n").nth(1).unwrap().split("```").next().unwrap();
    let files = [remit_config::SourceFile { path: "a.yaml".to_owned(), text: yaml.to_owned() }];
    let loaded = remit_config::read(&files).unwrap_or_else(|faults| panic!("{faults:?}"));
    let alarm = &loaded.organization.alarms[0];
    json!({"name": alarm.name, "metric": "denials", "threshold": 20, "period_secs": alarm.period_secs})
}

#[test]
fn the_seeds_alarm_goes_off_at_twenty_denials_in_300_seconds_and_cloudwatch_is_told_the_same() {
    let place = Place::new();
    let mut config = helpdesk();
    assert_eq!(seed()["period_secs"], 300);
    config["alarms"] = json!([seed()]);
    place.write(&config);
    let (emf, log) = (place.root().join("metrics.jsonl"), place.root().join("decisions.jsonl"));
    let remit = Remit::up_at(place, &["--emf", emf.to_str().unwrap(), "--decision-log", log.to_str().unwrap()]);
    remit.until_server("helpdesk", "ready");
    assert_eq!(standing(&remit, ""), "INSUFFICIENT_DATA");
    denied(&remit, "agent-1", 19);
    until("it is fine", || standing(&remit, "") == "OK");
    denied(&remit, "agent-2", 1);
    until("it goes off", || standing(&remit, "") == "ALARM");
    let said = remit.place().cli(&["alarms", "--state", "alarm"]);
    assert!(said.code == 0 && said.out.starts_with("ALARM") && said.out.contains("denials at least 20"), "{said:?}");
    let recorded = remit.place().log_of("alarm");
    let states: Vec<_> = recorded.iter().map(|entry| (entry["from"].clone(), entry["to"].clone())).collect();
    assert_eq!(states, [(json!("INSUFFICIENT_DATA"), json!("OK")), (json!("OK"), json!("ALARM"))]);
    assert_eq!(recorded[1]["datapoints"], json!([20.0]));
    // A restart goes on with it: nothing is told twice.
    let remit = Remit::up_at(remit.stop(), &[]);
    assert_eq!(standing(&remit, ""), "ALARM");
    let place = remit.stop();
    assert_eq!(place.log_of("alarm").len(), 2);

    let lines = |path: &std::path::Path| -> Vec<Value> {
        std::fs::read_to_string(path).unwrap().lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    };
    // What `aws cloudwatch put-metric-alarm` of the seed would see: its namespace, its metric, no dimensions.
    let metrics = lines(&emf);
    let sum = |set: Value| -> u64 {
        let of = |line: &&Value| {
            let directive = &line["_aws"]["CloudWatchMetrics"][0];
            directive["Namespace"] == "AgentGovernance" && directive["Dimensions"] == set
        };
        metrics.iter().filter(of).map(|line| line["PolicyDenied"].as_u64().unwrap_or_default()).sum()
    };
    assert_eq!((sum(json!([[]])), sum(json!([["agent_id"]])), sum(json!([["space"]]))), (20, 20, 20));
    let logged = lines(&log);
    assert_eq!(logged.len(), 20);
    for line in &logged {
        assert_eq!((&line["tool_id"], &line["policy_result"]), (&json!(UNKNOWN), &json!("DENY")), "{line}");
        assert!(line["agent_id"].as_str().unwrap().starts_with("agent-") && !line["reason"].as_str().unwrap().is_empty());
        assert_eq!(line["trace_id"].as_str().unwrap().len(), 32);
    }
}

#[test]
fn an_agent_that_is_denied_too_often_is_stopped_and_falls_and_pagerduty_hears_of_the_end() {
    let (url, received) = receiver();
    let place = Place::new();
    let mut config = helpdesk();
    config["trust"] = json!({"initial": "trusted", "demotions": {"incident": "probation"}});
    config["alarms"] = json!([{
        "name": "denied too often", "metric": "denials", "threshold": 3, "period_secs": 20, "group_by": "agent",
        "treat_missing_data": "not_breaching",
        "actions": [
            {"pagerduty": {"routing_key": {"secret": "pager-key"}, "severity": "critical", "endpoint": url, "network": "loopback"}},
            {"suspend": "agent"}, {"incident": "high"},
        ],
    }]);
    place.write(&config);
    let key = "0123456789abcdef0123456789abcdef";
    assert_eq!(place.cli_with(&["secret", "set", "pager-key"], Some(key)).code, 0);
    let remit = Remit::up_at(place, &[]);
    remit.until_server("helpdesk", "ready");
    denied(&remit, "agent-2", 2);
    denied(&remit, "agent-1", 3);
    // The receiver refuses the first try with 503.
    let (first, second) = (received.recv().unwrap(), received.recv().unwrap());
    assert_eq!(first.1, second.1, "the same event");
    assert!(second.0.iter().any(|line| line == "content-type: application/json"), "{:?}", second.0);
    let event: Value = serde_json::from_slice(&second.1).unwrap();
    assert_eq!((&event["event_action"], &event["routing_key"]), (&json!("trigger"), &json!(key)));
    let dedup_key = event["dedup_key"].as_str().unwrap();
    assert!((1..=255).contains(&dedup_key.len()), "{event}");
    let payload = &event["payload"];
    assert!((1..=1024).contains(&payload["summary"].as_str().unwrap().len()) && !payload["source"].as_str().unwrap().is_empty());
    assert_eq!((&payload["severity"], &payload["group"]), (&json!("critical"), &json!("agent-1")));
    assert_eq!(payload["custom_details"]["datapoints"], json!([3.0]));
    until("the agent is stopped", || remit.status()["suspended"]["agents"].get("agent-1").is_some());
    assert!(remit.status()["suspended"]["agents"].get("agent-2").is_none());
    let place = remit.place();
    until("it has fallen", || place.log_of("trust_demoted").iter().any(|entry| entry["agent"] == "agent-1"));
    assert_eq!(place.log_of("incident")[0]["by"], "alarm denied too often");
    assert_eq!(place.log_of("suspension")[0]["by"], "alarm denied too often");
    // Nobody is denied any more: it is over.
    let end: Value = serde_json::from_slice(&received.recv().unwrap().1).unwrap();
    assert_eq!((&end["event_action"], &end["dedup_key"]), (&json!("resolve"), &event["dedup_key"]));
    assert!(end.get("payload").is_none());
    until("all of it is recorded", || place.log_of("alarm_action").len() == 4);
    let done = place.log_of("alarm_action");
    let tries = |action: &str| {
        done.iter().filter(|entry| entry["action"] == action).map(|entry| entry["tries"].clone()).collect::<Vec<_>>()
    };
    assert_eq!((tries("pagerduty"), tries("suspend")), (vec![json!(2), json!(1)], vec![json!(1)]));
    let place = remit.stop();
    assert!(!place.log().iter().any(|entry| entry.to_string().contains(key)), "no key is recorded");
}

#[test]
fn a_topic_of_sns_gets_what_cloudwatch_would_have_sent_and_a_webhook_is_signed() {
    let states = States::start(1, 1);
    let told = states.aws(&["topic"]);
    let (url, received) = receiver();
    let place = Place::new();
    let mut config = helpdesk();
    let mut alarm = seed();
    alarm["threshold"] = json!(2);
    alarm["actions"] = json!([
        {"sns": {"topic": told["topic"], "endpoint": states.endpoint, "network": "loopback", "credentials": {"secret": "sns-key"}}},
        {"webhook": {"url": url, "network": "loopback", "secret": {"secret": "hook-key"}}},
    ]);
    config["alarms"] = json!([alarm]);
    place.write(&config);
    for (name, secret) in [("sns-key", "AKIAEXAMPLE:example"), ("hook-key", "a shared secret of some length")] {
        assert_eq!(place.cli_with(&["secret", "set", name], Some(secret)).code, 0);
    }
    let remit = Remit::up_at(place, &[]);
    remit.until_server("helpdesk", "ready");
    denied(&remit, "agent-1", 2);
    let envelope = states.aws(&["receive", told["queue"].as_str().unwrap()]);
    assert_eq!((&envelope["Type"], &envelope["TopicArn"]), (&json!("Notification"), &told["topic"]));
    assert_eq!(envelope["Subject"], format!("ALARM: \"{}\" in us-east-1", alarm["name"].as_str().unwrap()));
    let message: Value = serde_json::from_str(envelope["Message"].as_str().unwrap()).unwrap();
    assert_eq!(message["NewStateValue"], "ALARM");
    // Two denials that are read together go over what is between.
    assert!(["OK", "INSUFFICIENT_DATA"].contains(&message["OldStateValue"].as_str().unwrap()), "{message}");
    let trigger = &message["Trigger"];
    assert_eq!((&trigger["MetricName"], &trigger["Namespace"]), (&json!("PolicyDenied"), &json!("AgentGovernance")));
    assert_eq!((&trigger["Period"], &trigger["Threshold"], &trigger["Statistic"]), (&json!(300), &json!(2), &json!("SUM")));
    let (first, second) = (received.recv().unwrap(), received.recv().unwrap());
    assert_eq!(value(&first.0, "webhook-id"), value(&second.0, "webhook-id"), "the same message again");
    assert!(value(&second.0, "webhook-signature").starts_with("v1,"));
    let message: Value = serde_json::from_slice(&second.1).unwrap();
    assert_eq!((&message["type"], &message["data"]["state"]), (&json!("alarm.raised"), &json!("ALARM")));
    // Who can't be told is on record.
    let mut gone = alarm.clone();
    gone["name"] = json!("nobody hears");
    gone["threshold"] = json!(1);
    gone["actions"] = json!([{"webhook": {"url": url, "network": "loopback", "secret": {"secret": "no-such-key"}}}]);
    config["alarms"] = json!([gone]);
    remit.configure(&config);
    until("it is watched", || remit.operator("GET /v1/alarms", "").1["alarms"][0]["alarm"] == "nobody hears");
    denied(&remit, "agent-1", 1);
    until("it has failed", || !remit.place().log_of("alarm_action_failed").is_empty());
    let failed = remit.place().log_of("alarm_action_failed")[0].clone();
    assert!(failed["why"].as_str().unwrap().contains("no-such-key"), "{failed}");
}

#[test]
fn whoever_was_not_told_when_the_gateway_ended_is_told_when_it_begins_again() {
    // It takes connections, and nobody answers yet.
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/hook", listener.local_addr().unwrap());
    let place = Place::new();
    let mut config = helpdesk();
    let mut alarm = seed();
    alarm["threshold"] = json!(1);
    alarm["actions"] = json!([{"webhook": {"url": url, "network": "loopback", "secret": {"secret": "hook-key"}}}]);
    config["alarms"] = json!([alarm]);
    place.write(&config);
    assert_eq!(place.cli_with(&["secret", "set", "hook-key"], Some("a shared secret of some length")).code, 0);
    let remit = Remit::up_at(place, &[]);
    remit.until_server("helpdesk", "ready");
    denied(&remit, "agent-1", 1);
    until("it goes off", || standing(&remit, "") == "ALARM");
    let remit = Remit::up_at(remit.kill(), &[]);
    let received = receive(listener);
    let (first, second) = (received.recv().unwrap(), received.recv().unwrap());
    assert_eq!(value(&first.0, "webhook-id"), value(&second.0, "webhook-id"), "the same message");
    until("it is done", || !remit.place().log_of("alarm_action").is_empty());
    // Once it is done it is done.
    let remit = Remit::up_at(remit.stop(), &[]);
    assert_eq!(standing(&remit, ""), "ALARM");
    let place = remit.stop();
    assert_eq!((place.log_of("alarm").len(), place.log_of("alarm_action").len()), (1, 1));
}
