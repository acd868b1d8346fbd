//! Trust: earned by what the journal says, signed by a person, and lost at once.

use serde_json::{Value, json};

use crate::client::Client;
use crate::gateway::{Place, Remit, config, until};

const READ: &str = "ledger___get_account";
const RISKY: &str = "ledger___refund";

/// A ledger whose refunds are as risky as only a supervised agent may be.
fn placed(trust: Option<Value>) -> Place {
    let place = Place::new();
    let tools =
        json!({"get_account": {"risk": "low", "categories": ["money"]}, "refund": {"risk": "high", "categories": ["money"]}});
    let server = json!({"name": "ledger", "command": ["remit", "sample-server", "ledger"], "tools": tools});
    let mut config = config(&[server]);
    if let Some(trust) = trust {
        config["trust"] = trust;
    }
    place.write(&config);
    place
}

fn rules() -> Value {
    json!({
        "initial": "probation",
        "tiers": {"probation": {"risk_max": "low", "calls_per_minute_max": 8}},
        "promotions": {"supervised": {"calls_ok_min": 3, "incidents_max": 0, "window_days": 30}},
        "demotions": {"incident": "probation", "denials": {"count": 1000, "within_days": 1, "to": "probation"}},
    })
}

fn up(place: Place) -> Remit {
    let remit = Remit::up_at(place, &[]);
    remit.until_server("ledger", "ready");
    remit
}

/// `ok`, or the reason of the denial.
fn call(client: &Client, tool: &str, arguments: &str) -> String {
    let answer = client.call(tool, arguments);
    answer.pointer("/error/data/reason").and_then(Value::as_str).map_or_else(|| "ok".to_owned(), str::to_owned)
}

fn read(client: &Client) -> String {
    call(client, READ, r#"{"account_id":"ACC-1003"}"#)
}

/// A refund without arguments: the server refuses it, if it gets there.
fn risky(client: &Client) -> String {
    call(client, RISKY, "{}")
}

fn standing(place: &Place, agent: &str) -> Value {
    let said = place.cli(&["trust", "explain", agent, "money", "--json"]);
    assert_eq!(said.code, 0, "{said:?}");
    let told: Value = serde_json::from_str(&said.out).unwrap();
    told["agents"][0].clone()
}

const PROMOTE: [&str; 8] = ["trust", "promote", "agent-1", "money", "--reason", "a good week", "--by", "ana"];

#[test]
fn trust_is_earned_signed_and_lost_at_once_and_a_crash_forgets_nothing() {
    let remit = up(placed(Some(rules())));
    let (one, two) = (remit.client("agent-1", "ledger"), remit.client("agent-2", "ledger"));
    assert!(!one.tools().contains(&RISKY.to_owned()), "what the tier doesn't reach is not listed");
    assert_eq!((read(&one), read(&one), risky(&one)), ("ok".into(), "ok".into(), "trust_tier".into()));
    let place = remit.place();
    let now = standing(place, "agent-1");
    assert_eq!(
        (&now["tier"], &now["counted"]["calls_ok"], &now["proposed"]),
        (&json!("probation"), &json!(2), &json!(false)),
        "{now}"
    );
    // What isn't proposed can't be signed.
    let early = place.cli(&PROMOTE);
    assert!(early.code == 3 && early.err.contains("calls_ok_min 2 of 3"), "{early:?}");
    assert_eq!(read(&one), "ok");
    let now = standing(place, "agent-1");
    // A denial for its own tier isn't held against it.
    assert_eq!(
        (&now["tier"], &now["proposed"], &now["counted"]["denials"]),
        (&json!("probation"), &json!(true), &json!(0)),
        "{now}"
    );
    assert_eq!(risky(&one), "trust_tier", "proposed is not promoted");
    let signed = place.cli(&PROMOTE);
    assert!(signed.code == 0 && signed.out.contains("agent-1 is supervised in money"), "{signed:?}");
    assert_eq!((risky(&one), risky(&two)), ("ok".into(), "trust_tier".into()));
    assert!(one.tools().contains(&RISKY.to_owned()));
    assert_eq!(place.cli(&PROMOTE).code, 3, "nobody is promoted twice for the same");
    let table = place.cli(&["trust"]).out;
    assert!(table.contains("supervised") && table.contains("supervised lacks calls_ok_min: 0 of 3 in 30 days"), "{table}");
    // An incident is felt by the next call.
    let incident = ["incident", "agent-1", "--severity", "high", "--category", "money", "--reason", "paid twice", "--by", "ana"];
    assert_eq!(place.cli(&incident).code, 0);
    assert_eq!(risky(&one), "trust_tier");
    until("the demotion is recorded", || place.log_of("trust_demoted").len() == 1);
    let demoted = place.log_of("trust_demoted").remove(0);
    assert_eq!(
        (&demoted["from"], &demoted["to"], &demoted["because"][0]["rule"]),
        (&json!("supervised"), &json!("probation"), &json!("incident"))
    );
    let promoted = place.log_of("trust_promoted").remove(0);
    assert_eq!((&promoted["by"], &promoted["reason"]), (&json!("ana"), &json!("a good week")), "{promoted}");
    // Good calls alone don't make up for it.
    assert_eq!((read(&one), read(&one), read(&one)), ("ok".into(), "ok".into(), "ok".into()));
    let late = place.cli(&PROMOTE);
    assert!(late.code == 3 && late.err.contains("incidents_max 1 of 0"), "{late:?}");
    // The book is the journal's, after a crash too.
    let before = standing(place, "agent-1");
    let remit = up(remit.kill());
    assert_eq!(standing(remit.place(), "agent-1"), before);
    assert_eq!(risky(&remit.client("agent-1", "ledger")), "trust_tier");
    let place = remit.stop();
    assert_eq!((place.log_of("trust_demoted").len(), place.log_of("incident").len()), (1, 1));
    let replayed = place.cli(&["replay", "--since", "1h"]);
    assert!(replayed.code == 0 && replayed.out.contains(" 0 otherwise"), "{replayed:?}");
}

#[test]
fn a_tier_limits_calls_and_suspensions_count() {
    let mut rules = rules();
    rules["initial"] = json!("supervised");
    rules["demotions"]["suspension"] = json!("probation");
    let remit = up(placed(Some(rules)));
    let one = remit.client("agent-1", "ledger");
    for _ in 0..10 {
        assert_eq!(read(&one), "ok");
    }
    for what in ["suspend", "resume"] {
        assert_eq!(remit.place().cli(&[what, "agent", "agent-1", "--reason", "r", "--by", "ana"]).code, 0);
    }
    until("the tier has fallen", || standing(remit.place(), "agent-1")["tier"] == "probation");
    let one = remit.client("agent-1", "ledger");
    assert_eq!(read(&one), "quota_exceeded");
    assert_eq!(read(&remit.client("agent-2", "ledger")), "ok");
}

#[test]
fn without_rules_nobody_has_a_tier_and_what_happened_counts_once_there_are_some() {
    let remit = up(placed(None));
    let one = remit.client("agent-1", "ledger");
    assert_eq!((read(&one), risky(&one)), ("ok".into(), "ok".into()));
    let none = remit.place().cli(&["trust"]);
    assert!(none.code == 3 && none.err.contains("nobody has a tier"), "{none:?}");
    let incident = |agent: &str, severity: &str| remit.place().cli(&["incident", agent, "--severity", severity, "--reason", "r"]);
    assert_eq!(incident("agent-1", "low").code, 0);
    assert_eq!((incident("nobody", "low").code, incident("agent-1", "enormous").code), (3, 3));
    let mut rules = rules();
    rules["initial"] = json!("supervised");
    let tools =
        json!({"get_account": {"risk": "low", "categories": ["money"]}, "refund": {"risk": "high", "categories": ["money"]}});
    let mut with = config(&[json!({"name": "ledger", "command": ["remit", "sample-server", "ledger"], "tools": tools})]);
    with["trust"] = rules;
    remit.configure(&with);
    assert_eq!((risky(&one), risky(&remit.client("agent-2", "ledger"))), ("trust_tier".into(), "ok".into()));
}
