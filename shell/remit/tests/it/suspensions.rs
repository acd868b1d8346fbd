//! Kill switches: in effect with the next call, whatever the configuration says, until somebody lets it go on.

use serde_json::{Value, json};

use crate::client::{Client, send};
use crate::gateway::{Place, Remit, config};

fn up(place: Place) -> Remit {
    let remit = Remit::up_at(place, &[]);
    remit.until_server("ledger", "ready");
    remit.until_server("helpdesk", "ready");
    remit
}

fn placed() -> Place {
    let place = Place::new();
    let server = |name: &str| json!({"name": name, "command": ["remit", "sample-server", name]});
    place.write(&config(&[server("ledger"), server("helpdesk")]));
    place
}

fn switch(remit: &Remit, args: &[&str]) -> Value {
    let said = remit.place().cli(&[args, &["--reason", "incident 7", "--by", "ana", "--json"]].concat());
    assert_eq!(said.code, 0, "{said:?}");
    serde_json::from_str(&said.out).unwrap()
}

/// `ok`, or the reason of the denial.
fn read(client: &Client, tool: &str) -> String {
    let arguments = if tool.starts_with("ledger") { r#"{"account_id":"ACC-1003"}"# } else { r#"{"ticket_id":"TCK-1001"}"# };
    let answer = client.call(tool, arguments);
    answer.pointer("/error/data/reason").and_then(Value::as_str).map_or_else(|| "ok".to_owned(), str::to_owned)
}

const ACCOUNT: &str = "ledger___get_account";
const TICKET: &str = "helpdesk___get_ticket";

#[test]
fn whatever_is_stopped_is_stopped_at_once_and_goes_on_as_deliberately() {
    let remit = up(placed());
    let (one, two) = (remit.client("agent-1", "ledger"), remit.client("agent-2", "ledger"));
    let desk = remit.client("agent-1", "helpdesk");
    let reads = || [read(&one, ACCOUNT), read(&two, ACCOUNT), read(&desk, TICKET)];
    assert_eq!(reads(), ["ok", "ok", "ok"]);
    let server = "111122223333/ledger";
    for (what, stopped) in [
        (&["agent", "agent-1"][..], ["suspended", "ok", "suspended"]),
        (&["space", "ledger"], ["suspended", "suspended", "ok"]),
        (&["server", server], ["suspended", "suspended", "ok"]),
        (&["tool", server, "get_account"], ["suspended", "suspended", "ok"]),
        (&["tool", server, "transfer"], ["ok", "ok", "ok"]),
        (&["user", "somebody"], ["ok", "ok", "ok"]),
    ] {
        let all = switch(&remit, &[&["suspend"], what].concat());
        assert_eq!(all.as_object().unwrap().len(), 1, "{all}");
        assert_eq!(reads(), stopped, "{what:?}");
        assert_eq!(switch(&remit, &[&["resume"], what].concat()), json!({}));
        assert_eq!(reads(), ["ok", "ok", "ok"], "{what:?}");
    }
    // Lists show what can be called.
    switch(&remit, &["suspend", "tool", server, "get_account"]);
    let tools = one.tools();
    assert!(!tools.iter().any(|tool| tool == ACCOUNT) && tools.len() > 2, "{tools:?}");
    switch(&remit, &["suspend", "server", server]);
    assert_eq!(one.tools(), Vec::<String>::new());
    assert_eq!(read(&desk, TICKET), "ok");
    // The other way to ask says the same.
    let token = format!("Bearer {}", one.token);
    let question = json!({"tool_id": ACCOUNT, "arguments": {"account_id": "ACC-1003"}}).to_string();
    let mut asked = send(remit.addr, "POST /authorize", &[("authorization", &token)], question.as_bytes());
    assert_eq!(asked.message()["reason"], "suspended");
    // Who, why and what are shown and recorded; a decision under it can be made again.
    let status = remit.place().cli(&["status"]);
    assert!(
        status.out.contains("! SUSPENDED server 111122223333/ledger") && status.out.contains("by ana: incident 7"),
        "{status:?}"
    );
    let place = remit.stop();
    assert_eq!((place.log_of("suspension").len(), place.log_of("resumption").len()), (8, 6));
    let denied = place.log_of("decision").into_iter().rfind(|entry| entry["reason"] == "suspended").unwrap();
    let why = denied["layers"].as_array().unwrap().iter().find(|line| line["effect"] == "EXPLICIT_DENY").unwrap();
    assert_eq!(why["statement"], "server `111122223333/ledger` was suspended by ana: incident 7");
    let replayed = place.cli(&["replay", "--since", "1h"]);
    assert!(replayed.code == 0 && replayed.out.contains(" 0 otherwise"), "{replayed:?}");
    // A restart forgets nothing.
    let remit = up(place);
    assert_eq!(read(&remit.client("agent-1", "ledger"), ACCOUNT), "suspended");
    switch(&remit, &["resume", "server", server]);
    switch(&remit, &["resume", "tool", server, "get_account"]);
    assert_eq!(read(&remit.client("agent-1", "ledger"), ACCOUNT), "ok");
}

#[test]
fn sessions_end_with_whoever_is_stopped() {
    let remit = up(placed());
    let client = remit.client("agent-1", "ledger");
    let session = client.session("2025-11-25");
    assert!(session.call(ACCOUNT, r#"{"account_id":"ACC-1003"}"#).get("result").is_some());
    switch(&remit, &["suspend", "agent", "agent-1"]);
    switch(&remit, &["resume", "agent", "agent-1"]);
    let after = session.call(ACCOUNT, r#"{"account_id":"ACC-1003"}"#);
    assert!(after.get("result").is_none(), "the session of then is gone: {after}");
    assert_eq!(read(&client, ACCOUNT), "ok");
}

#[test]
fn what_is_not_there_can_not_be_stopped_nor_go_on() {
    let remit = up(placed());
    for (args, says) in [
        (&["suspend", "agent", "nobody"][..], "there is no agent `nobody`"),
        (&["suspend", "space", "nowhere"], "there is no space `nowhere`"),
        (&["suspend", "server", "ledger"], "there is no server `ledger`: name it by account and name"),
        (&["suspend", "tool", "111122223333/ledger", "nothing"], "there is no tool `nothing`"),
        (&["resume", "agent", "agent-1"], "agent `agent-1` is not suspended"),
    ] {
        let said = remit.place().cli(&[args, &["--reason", "r"]].concat());
        assert!(said.code != 0 && said.err.contains(says), "{args:?}: {said:?}");
    }
    let status: Value = remit.status();
    assert_eq!(status["suspended"], json!({}));
    let place = remit.stop();
    assert_eq!(place.log_of("suspension").len() + place.log_of("resumption").len(), 0, "what was refused is no change");
}
