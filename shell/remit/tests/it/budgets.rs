//! What calls use up, and budgets: as agents, operators and the journal meet them.

use std::thread;

use serde_json::{Value, json};

use crate::gateway::{Place, Remit, config};
use crate::upstream::{Era, Upstream};

/// A server whose results say that they cost as many dollars as they are asked for.
fn dear() -> Upstream {
    let server = Upstream::start(Era::Modern);
    server.on(|seen, reply| {
        if !seen.calls("echo") {
            return false;
        }
        let usd = seen.params()["arguments"]["usd"].clone();
        reply.json(&seen.result(&format!(r#"{{"content":[],"isError":false,"_meta":{{"cost":{{"usd":{usd}}}}}}}"#)));
        true
    });
    server
}

fn placed(server: &Upstream, budgets: &Value) -> Place {
    let place = Place::new();
    let mut registered = server.server("a");
    registered["cost"] = json!({"pointer": "/_meta/cost/usd", "currency": "USD"});
    let mut whole = config(&[registered]);
    whole["budgets"] = budgets.clone();
    place.write(&whole);
    place
}

fn up(place: Place) -> Remit {
    let remit = Remit::up_at(place, &[]);
    remit.until_server("a", "ready");
    remit
}

/// Why a call is denied; `ok` if it isn't.
fn call(remit: &Remit, agent: &str, usd: &str) -> String {
    let answer = remit.client(agent, "a").call("a___echo", &format!(r#"{{"usd":{usd}}}"#));
    match answer.pointer("/error/data/reason") {
        Some(reason) => reason.as_str().unwrap().to_owned(),
        None => answer.get("result").map_or_else(|| panic!("{answer}"), |_| "ok".to_owned()),
    }
}

fn usage(remit: &Remit) -> Value {
    let said = remit.place().cli(&["usage", "--time-unit", "daily", "--json"]);
    assert_eq!(said.code, 0, "{said:?}");
    serde_json::from_str(&said.out).unwrap()
}

#[test]
fn what_is_used_up_is_denied_and_a_restart_forgets_nothing() {
    let server = dear();
    let remit = up(placed(
        &server,
        &json!([
            {"id": "calls", "per": "agent", "agent": "agent-1", "time_unit": "DAILY", "limits": {"calls_max": 3}},
            {"id": "dollars", "per": "space", "space": "a", "time_unit": "MONTHLY",
             "limits": {"money_max": {"amount": "1.00", "currency": "USD"}}},
            {"id": "watched", "per": "space", "time_unit": "DAILY", "limits": {"calls_max": 1}, "mode": "LOG_ONLY"},
        ]),
    ));
    for _ in 0..3 {
        assert_eq!(call(&remit, "agent-1", "\"0.10\""), "ok");
    }
    let sent = server.calls();
    let denied = remit.client("agent-1", "a").call("a___echo", r#"{"usd":"0.10"}"#);
    let data = &denied["error"]["data"];
    assert_eq!((&data["reason"], &data["layer"]), (&json!("budget_exceeded"), &json!("SPACE")), "{denied}");
    assert_eq!(server.calls(), sent, "nothing of it went to the server");
    // The budget is the agent's; what the server says that it costs adds up for the space.
    assert_eq!(call(&remit, "agent-2", "0.5"), "ok");
    let remit = up(remit.kill());
    assert_eq!(call(&remit, "agent-1", "\"0.10\""), "budget_exceeded");
    assert_eq!(call(&remit, "agent-2", "\"0.2000001\""), "ok");
    assert_eq!(call(&remit, "agent-2", "\"0.10\""), "budget_exceeded");
    // What it came to is told, and so is the budget that denies nothing.
    let told = usage(&remit);
    let budget = |id: &str| told["budgets"].as_array().unwrap().iter().find(|budget| budget["budget"] == id).unwrap().clone();
    let (calls, dollars, watched) = (budget("calls"), budget("dollars"), budget("watched"));
    assert_eq!((&calls["exceeded"], &calls["limits"][0]["used"], &calls["of"]), (&json!(true), &json!(3), &json!("agent-1")));
    assert_eq!((&dollars["limits"][0]["used"], &dollars["limits"][0]["max"]), (&json!("1.000001"), &json!("1.00")));
    assert_eq!(
        (&watched["exceeded"], &watched["log_only"], &watched["limits"][0]["used"]),
        (&json!(true), &json!(true), &json!(5))
    );
    let of = |agent: &str| told["totals"].as_array().unwrap().iter().find(|total| total["agent"] == agent).unwrap().clone();
    let (one, two) = (of("agent-1"), of("agent-2"));
    assert_eq!((&one["calls"], &one["denied"], &one["money"]["USD"]), (&json!(3), &json!(2), &json!("0.30")), "{one}");
    assert_eq!((&one["spared"]["money"]["USD"], &two["money"]["USD"]), (&json!("0.20"), &json!("0.700001")), "{told}");
    assert!(one["bytes"].as_u64().unwrap() > 100 && one["own_us_per_call"].as_u64().unwrap() > 0, "{one}");
    let people = remit.place().cli(&["usage"]);
    assert!(
        people.out.contains("calls  agent agent-1  DAILY until") && people.out.contains("USED UP: calls are denied"),
        "{people:?}"
    );
    assert!(people.out.contains("USED UP (only told of)"), "{people:?}");
    // The journal says what was said, and the decision comes out the same when it is made again.
    let place = remit.stop();
    let stated: Vec<Value> = place.log_of("outcome").into_iter().filter_map(|entry| entry.get("cost").cloned()).collect();
    assert_eq!(stated.len(), 5);
    assert_eq!(stated[4], json!({"currency": "USD", "amount": "0.200001"}));
    let replayed = place.cli(&["replay", "--since", "1d", "--json"]);
    let replayed: Value = serde_json::from_str(&replayed.out).unwrap_or_else(|_| panic!("{replayed:?}"));
    assert_eq!((&replayed["same"], &replayed["different"]), (&json!(8), &json!(0)), "{replayed}");
}

#[test]
fn two_at_once_dont_share_the_last_call() {
    let server = dear();
    let remit = up(placed(&server, &json!([{"id": "calls", "per": "space", "time_unit": "DAILY", "limits": {"calls_max": 10}}])));
    let remit = std::sync::Arc::new(remit);
    let calls: Vec<_> = (0..24)
        .map(|number| {
            let remit = std::sync::Arc::clone(&remit);
            thread::spawn(move || call(&remit, if number % 2 == 0 { "agent-1" } else { "agent-2" }, "0"))
        })
        .collect();
    let answers: Vec<String> = calls.into_iter().map(|call| call.join().unwrap()).collect();
    // While others are being decided one may be refused for a place that then nobody takes: never one too many.
    let went = answers.iter().filter(|answer| *answer == "ok").count();
    assert!(went <= 10 && server.calls() == went, "{answers:?}");
    let mut rest = 0;
    while call(&remit, "agent-1", "0") == "ok" {
        rest += 1;
    }
    assert_eq!(went + rest, 10, "{answers:?}");
}

#[test]
fn a_budget_that_can_mean_nothing_is_refused() {
    let server = dear();
    let place = placed(
        &server,
        &json!([
            {"id": "a b", "per": "agent", "time_unit": "DAILY", "limits": {"calls_max": 3}},
            {"id": "x", "per": "team", "time_unit": "WEEKLY", "limits": {}},
            {"id": "y", "per": "agent", "agent": "agent-9", "time_unit": "DAILY", "limits": {"money_max": {"amount": "1,5", "currency": "usd"}}},
        ]),
    );
    let said = crate::gateway::remit(&["check", place.config().to_str().unwrap()], None);
    assert_eq!(said.code, 3, "{said:?}");
    for what in [
        "is no name of a budget",
        "`team` is none",
        "`WEEKLY` is none",
        "limits nothing",
        "agent-9",
        "no amount of money",
        "no currency",
    ] {
        assert!(said.out.contains(what) || said.err.contains(what), "{what}: {said:?}");
    }
}
