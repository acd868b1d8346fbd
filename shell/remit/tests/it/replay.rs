//! Decisions made again: as they were, and under another configuration.

use serde_json::{Value, json};

use crate::client::Client;
use crate::gateway::{Place, Remit, config};

const RULES: &str = r#"@id("read")
permit (principal, action in [AgentCore::Action::"ledger___get_account", AgentCore::Action::"ledger___list_transactions"], resource);
@id("small")
permit (principal, action == AgentCore::Action::"ledger___transfer", resource) when { context.input.amount_cents <= 1000 };
@id("two-refunds")
permit (principal, action == AgentCore::Action::"ledger___refund", resource);
"#;

const LIMIT: &str = r#"def temporal refunds(?w) {
    count for ($q: String). where (formerly within ?w AgentCore::Action::"ledger___refund"::request{ requestId: $q }
        && !exists ($t: Timepoint). formerly within ?w (AgentCore::Action::"ledger___refund"::error{ requestId: $q } && tp($t)))
};
@id("few-refunds") @history("agent")
forbid (principal, action == AgentCore::Action::"ledger___refund", resource) when temporal { (refunds(1h)) > 2 };
"#;

fn ledger(rules: &str, max_risk: &str) -> (Value, String) {
    let mut config = config(&[json!({"name": "ledger", "command": ["remit", "sample-server", "ledger"]})]);
    config["spaces"][0]["policy_set"] = json!({"policies": [{"file": "rules.dw"}]});
    for row in config["tool_policies"].as_array_mut().unwrap() {
        row["max_risk"] = json!(max_risk);
    }
    (config, rules.to_owned())
}

fn write(place: &Place, (config, rules): &(Value, String)) {
    std::fs::write(place.config().join("rules.dw"), rules).unwrap();
    place.write(config);
}

/// A candidate's directory.
fn candidate(rules: &str, max_risk: &str) -> Place {
    let place = Place::new();
    write(&place, &ledger(rules, max_risk));
    place
}

fn replayed(place: &Place, args: &[&str]) -> (i32, Value) {
    let said = place.cli(&[&["replay", "--json"], args].concat());
    (said.code, serde_json::from_str(&said.out).unwrap_or_else(|_| panic!("{said:?}")))
}

fn transfer(client: &Client, cents: u32) -> Value {
    let arguments = json!({"from": "ACC-1003", "to": "ACC-1001", "amount_cents": cents, "memo": "the secret of the memo"});
    client.call("ledger___transfer", &arguments.to_string())
}

fn refund(client: &Client, number: u32) -> Value {
    client.call("ledger___refund", &json!({"transaction_id": format!("TXN-{}", 5001 + number)}).to_string())
}

/// Two agents at work: reading, six transfers of which two are too large, five refunds, and a forged token.
fn worked() -> Place {
    let place = Place::new();
    write(&place, &ledger(RULES, "critical"));
    let remit = Remit::up_at(place, &[]);
    remit.until_server("ledger", "ready");
    let (one, two) = (remit.client("agent-1", "ledger"), remit.client("agent-2", "ledger"));
    one.call("ledger___get_account", r#"{"account_id":"ACC-1003"}"#);
    for cents in [10, 20, 500, 1001, 2000] {
        transfer(&one, cents);
    }
    transfer(&two, 700);
    for number in 0..5 {
        refund(if number < 4 { &one } else { &two }, number);
    }
    let session = one.session("2025-11-25");
    session.call("ledger___list_transactions", r#"{"account_id":"ACC-1003"}"#);
    session.call("ledger___no_such_tool", "{}");
    Client { token: format!("{}x", one.token), ..one.clone() }.call("ledger___get_account", r#"{"account_id":"ACC-1003"}"#);
    // While it is up, and once more when it isn't.
    let (code, told) = replayed(remit.place(), &["--since", "1h"]);
    assert_eq!((code, &told["same"], &told["different"]), (0, &json!(14), &json!(0)), "{told}");
    remit.stop()
}

#[test]
fn every_decision_is_reproduced_from_what_is_kept() {
    let place = worked();
    let (code, told) = replayed(&place, &["--since", "1h"]);
    assert_eq!((code, &told["same"], &told["different"]), (0, &json!(14), &json!(0)), "{told}");
    assert_eq!(told["not_reproduced"], json!({"nobody was identified: of strangers no facts are kept": 1}));
    let lines = place.cli(&["log", "--json", "--type", "decision"]).out;
    let lines: Vec<Value> = lines.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    for line in lines.iter().filter(|line| line["entry"].get("facts_digest").is_some()) {
        let (code, told) = replayed(&place, &[&line["index"].to_string()]);
        let reproduced = &told["reproduced"];
        assert_eq!(
            (code, &reproduced["verdict"], &reproduced["layers"]),
            (0, &line["entry"]["verdict"], &line["entry"]["layers"])
        );
    }
    let denied = lines.iter().find(|line| line["entry"]["reason"] == "policy_set").unwrap();
    let by_id = place.cli(&["replay", denied["entry"]["id"].as_str().unwrap()]);
    assert!(
        by_id.code == 0 && by_id.out.contains("POLICY_SET") && by_id.out.contains("reproduced: the same verdict"),
        "{by_id:?}"
    );
    // What is kept is sealed.
    let mut kept = Vec::new();
    for folder in ["calls", "shared"] {
        for file in std::fs::read_dir(place.data().join("facts").join(folder)).unwrap() {
            kept.push(std::fs::read(file.unwrap().path()).unwrap());
        }
    }
    let has = |needle: &[u8]| kept.iter().any(|bytes| bytes.windows(needle.len()).any(|window| window == needle));
    assert!(kept.len() > 2 && !has(b"the secret of the memo") && !has(b"agent-1") && !has(b"ledger"));
}

#[test]
fn what_would_flip_is_told_by_what_causes_it() {
    let place = worked();
    let against = |candidate: &Place, args: &[&str]| {
        replayed(&place, &[&["--against", candidate.config().to_str().unwrap()], args].concat())
    };
    let (code, told) = against(&candidate(RULES, "critical"), &["--expect-same"]);
    assert_eq!(
        (code, &told["decided"], &told["same"], &told["groups"]),
        (1, &json!(14), &json!(14), &json!([])),
        "the stranger is not decided"
    );
    // A tighter limit, and a looser one.
    let (code, told) = against(&candidate(&RULES.replace("1000", "100"), "critical"), &[]);
    let groups = told["groups"].as_array().unwrap();
    assert_eq!((code, groups.len(), &told["newly_denied"], &told["newly_allowed"]), (0, 1, &json!(2), &json!(0)), "{told}");
    let group = &groups[0];
    assert_eq!(
        (&group["flip"], &group["checkType"], &group["agents"]),
        (&json!("newly_denied"), &json!("POLICY_SET"), &json!(["agent-1", "agent-2"]))
    );
    let (code, told) = against(&candidate(&RULES.replace("1000", "1500"), "critical"), &["--expect-same"]);
    assert_eq!((code, &told["newly_denied"], &told["newly_allowed"]), (1, &json!(0), &json!(1)), "{told}");
    let (_, told) = against(&candidate(&RULES.replace("1000", "1500"), "critical"), &["--agent", "agent-2"]);
    assert_eq!((&told["decided"], &told["newly_allowed"]), (&json!(2), &json!(0)), "{told}");
    // Another layer altogether, told with the row that does it.
    let (_, told) = against(&candidate(RULES, "medium"), &["--tool", "ledger___transfer"]);
    let group = &told["groups"][0];
    assert_eq!(
        (&group["checkType"], &group["count"], &told["newly_denied"], &told["denied_otherwise"]),
        (&json!("TOOL_POLICY"), &json!(3), &json!(4), &json!(2)),
        "{told}"
    );
    assert!(
        group["statement"].as_str().unwrap().contains("risk_max medium") && group["origin"].as_str().unwrap().contains("it.json"),
        "{group}"
    );
    // For people.
    let loose = candidate(&RULES.replace("1000", "1500"), "critical");
    let said = place.cli(&["replay", "--against", loose.config().to_str().unwrap()]);
    assert!(
        said.out.contains("+ 1 newly allowed, without POLICY_SET") && said.out.contains("agent-1 calling ledger___transfer"),
        "{said:?}"
    );
    // A plan tells it too.
    let plan = place.cli(&["plan", loose.config().to_str().unwrap(), "--json"]);
    let plan: Value = serde_json::from_str(&plan.out).unwrap();
    assert_eq!((&plan["replay"]["newly_allowed"], &plan["replay"]["decided"]), (&json!(1), &json!(14)), "{}", plan["replay"]);
}

#[test]
fn histories_are_made_again_of_the_very_calls() {
    let place = worked();
    let limited = candidate(&format!("{RULES}{LIMIT}"), "critical");
    let (_, told) = replayed(&place, &["--against", limited.config().to_str().unwrap()]);
    // Of the four refunds of agent-1 the third and the fourth are one too many: what is denied doesn't count against the next.
    let group = told["groups"].as_array().unwrap().first().unwrap_or_else(|| panic!("{told}"));
    assert_eq!(
        (&told["newly_denied"], &group["agents"], &group["tools"]),
        (&json!(2), &json!(["agent-1"]), &json!(["ledger___refund"])),
        "{told}"
    );
    // Only the last call is asked about, and it is one too many because of those before.
    let last =
        place.cli(&["log", "--json", "--type", "decision", "--tool", "ledger___refund", "--agent", "agent-1", "--last", "1"]);
    let last: Value = serde_json::from_str(&last.out).unwrap();
    let (_, told) = replayed(&place, &[&last["index"].to_string(), "--against", limited.config().to_str().unwrap()]);
    assert_eq!((&told["decided"], &told["newly_denied"]), (&json!(1), &json!(1)), "{told}");
}

#[test]
fn what_can_not_be_reproduced_is_said() {
    let place = Place::new();
    write(&place, &ledger(RULES, "critical"));
    let remit = Remit::up_at(place, &["--facts-days", "0"]);
    remit.until_server("ledger", "ready");
    transfer(&remit.client("agent-1", "ledger"), 10);
    let place = remit.stop();
    let (code, told) = replayed(&place, &[]);
    assert_eq!((code, &told["same"]), (0, &json!(0)));
    assert_eq!(told["not_reproduced"], json!({"the entry names no facts: none were kept": 1}));
    let index = place.log_of("decision").len();
    assert_eq!(index, 1);
    let remit = Remit::up_at(place, &[]);
    remit.until_server("ledger", "ready");
    transfer(&remit.client("agent-1", "ledger"), 10);
    let place = remit.stop();
    let (_, told) = replayed(&place, &[]);
    assert_eq!(told["same"], 1, "{told}");
    let lines = place.cli(&["log", "--json", "--type", "decision", "--last", "1"]).out;
    let line: Value = serde_json::from_str(&lines).unwrap();
    let entry = line["index"].to_string();
    let why = |place: &Place| {
        let (code, told) = replayed(place, &[&entry]);
        assert_eq!(code, 1);
        told["not_reproduced"].as_str().unwrap().to_owned()
    };
    // What servers offered is gone; then the facts; then the key is another one.
    let (shared, calls) = (place.data().join("facts/shared"), place.data().join("facts/calls"));
    std::fs::rename(&shared, place.data().join("aside")).unwrap();
    assert!(why(&place).contains("what servers offered then"), "{}", why(&place));
    std::fs::rename(place.data().join("aside"), &shared).unwrap();
    let key = std::fs::read_to_string(place.data().join("history.key")).unwrap();
    std::fs::write(place.data().join("history.key"), "07".repeat(32)).unwrap();
    assert!(why(&place).contains("`history.key` is not the one"), "{}", why(&place));
    std::fs::write(place.data().join("history.key"), key).unwrap();
    assert_eq!(replayed(&place, &[&entry]).0, 0, "all is back");
    std::fs::rename(&calls, place.data().join("aside")).unwrap();
    assert!(why(&place).contains("not there any more"));
    let none = place.cli(&["replay", "999999"]);
    assert!(none.code == 3 && none.err.contains("remit log"), "{none:?}");
    let started = place.cli(&["log", "--json", "--type", "started", "--last", "1"]).out;
    let started: Value = serde_json::from_str(&started).unwrap();
    let other = place.cli(&["replay", &started["index"].to_string()]);
    assert!(other.code == 3 && other.err.contains("is no decision"), "{other:?}");
    for bad in ["yesterday", "5w", "2026-1-1"] {
        let said = place.cli(&["replay", "--since", bad]);
        assert!(said.code == 3 && said.err.contains("30d"), "{said:?}");
    }
}
