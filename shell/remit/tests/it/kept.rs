//! What is kept of calls: sealed under the key of its space, shown to who may see it, and gone with that key; the journal stays provable.

use serde_json::{Value, json};

use crate::client::Client;
use crate::gateway::{Place, Remit, config, holds, remit};

const RULES: &str = r#"@id("read")
permit (principal, action in [AgentCore::Action::"ledger___get_account", AgentCore::Action::"ledger___list_transactions"], resource);
@id("refund")
permit (principal, action == AgentCore::Action::"ledger___refund", resource);
def temporal refunds(?w) {
    count for ($q: String). where (formerly within ?w AgentCore::Action::"ledger___refund"::request{ requestId: $q }
        && !exists ($t: Timepoint). formerly within ?w (AgentCore::Action::"ledger___refund"::error{ requestId: $q } && tp($t)))
};
@id("few-refunds") @history("agent")
forbid (principal, action == AgentCore::Action::"ledger___refund", resource) when temporal { (refunds(1h)) > 3 };
"#;
const BECAUSE: [&str; 4] = ["--reason", "case 4711", "--by", "ana"];

fn up() -> Remit {
    let mut config = config(&[
        json!({"name": "ledger", "command": ["remit", "sample-server", "ledger"]}),
        json!({"name": "helpdesk", "command": ["remit", "sample-server", "helpdesk"]}),
    ]);
    for space in config["spaces"].as_array_mut().unwrap() {
        if space["id"] == "ledger" {
            space["policy_set"] = json!({"policies": [{"file": "rules.dw"}]});
            space["keep_results"] = json!(true);
        }
    }
    for row in config["tool_policies"].as_array_mut().unwrap() {
        row["max_risk"] = json!("critical");
    }
    let place = Place::new();
    std::fs::write(place.config().join("rules.dw"), RULES).unwrap();
    place.write(&config);
    let remit = Remit::up_at(place, &[]);
    remit.until_server("ledger", "ready");
    remit.until_server("helpdesk", "ready");
    remit
}

fn revealed(place: &Place, entry: &str, code: i32) -> Value {
    let said = place.cli(&[&["reveal", entry, "--json"], &BECAUSE[..]].concat());
    assert_eq!(said.code, code, "{said:?}");
    serde_json::from_str(&said.out).unwrap()
}

/// The last decision about a tool: its index and its entry.
fn last(remit: &Remit, tool: &str) -> (String, Value) {
    let found = remit.operator(&format!("GET /v1/decisions?tool={tool}&limit=1"), "").1;
    let index = found["decisions"][0]["index"].to_string();
    let told = remit.operator(&format!("GET /v1/decisions/{index}"), "").1;
    (index, told["entry"].clone())
}

fn refund(client: &Client, number: u32) -> Value {
    client.call("ledger___refund", &json!({"transaction_id": format!("TXN-{}", 5001 + number)}).to_string())
}

#[test]
fn what_is_kept_is_what_the_journal_committed_to_and_goes_with_its_key() {
    let running = up();
    let agent = running.client("agent-1", "ledger");
    let arguments = r#"{ "account_id" : "ACC-1003" }"#;
    let answer = agent.call("ledger___get_account", arguments);
    assert!(answer["result"]["isError"] != true, "{answer}");
    running.client("agent-1", "helpdesk").call("helpdesk___search_kb", r#"{"query":"the refund canary"}"#);
    for number in 0..2 {
        assert!(refund(&agent, number)["result"]["isError"] != true);
    }
    let place = running.place();
    let (index, entry) = last(&running, "ledger___get_account");
    let (elsewhere, other) = last(&running, "helpdesk___search_kb");

    let told = revealed(place, &index, 0);
    assert_eq!((&told["arguments"]["text"], &told["arguments"]["committed"]), (&json!(arguments), &json!(true)), "{told}");
    assert_eq!(told["arguments"]["commitment"], entry["arguments_commitment"]);
    assert_eq!(told["result"]["committed"], true, "{told}");
    let result: Value = serde_json::from_str(told["result"]["text"].as_str().unwrap()).unwrap();
    assert_eq!(result["result"]["structuredContent"], answer["result"]["structuredContent"]);
    // By the decision's id as well; a space that keeps no results has none.
    let told = revealed(place, other["id"].as_str().unwrap(), 0);
    assert_eq!(told["arguments"]["committed"], true, "{told}");
    assert!(told["result"]["missing"].as_str().unwrap().contains("keeps no results"), "{told}");
    let seen = place.log_of("revealed");
    assert_eq!(seen.len(), 2);
    assert_eq!((&seen[0]["decision"], &seen[0]["by"], &seen[0]["reason"]), (&entry["id"], &json!("ana"), &json!("case 4711")));
    // Two calls that are alike can't be told to be.
    agent.call("ledger___get_account", arguments);
    assert_ne!(last(&running, "ledger___get_account").1["arguments_commitment"], entry["arguments_commitment"]);
    for text in ["the refund canary", "ACC-1003"] {
        assert!(!holds(&place.data(), text), "{text}");
    }

    // A hold keeps it; then it goes.
    let destroy = |code: i32| {
        let said = place.cli(&[&["retention", "destroy", "--space", "ledger"], &BECAUSE[..]].concat());
        assert_eq!(said.code, code, "{said:?}");
        format!("{}{}", said.out, said.err)
    };
    assert_eq!(place.cli(&[&["retention", "hold", "case-7", "--agent", "agent-1"], &BECAUSE[..]].concat()).code, 0);
    assert!(destroy(3).contains("case-7"));
    assert_eq!(revealed(place, &index, 0)["arguments"]["committed"], true);
    assert_eq!(place.cli(&[&["retention", "release", "case-7"], &BECAUSE[..]].concat()).code, 0);
    let key = std::fs::read(place.data().join("keys").join("ledger.key")).unwrap();
    assert!(destroy(0).contains("can't be opened any more"));
    assert!(!holds(&place.data(), std::str::from_utf8(&key).unwrap()));
    assert_eq!(place.log_of("space_key_destroyed").len(), 1);
    let gone = |told: &Value| {
        for what in ["arguments", "result"] {
            let why = told[what]["missing"].as_str().unwrap_or_else(|| panic!("{told}"));
            assert!(why.contains("the key of their space was destroyed since"), "{told}");
        }
    };
    gone(&revealed(place, &index, 0));
    assert_eq!(revealed(place, &elsewhere, 0)["arguments"]["committed"], true, "another space's stays");
    // What is forgotten isn't held for nothing: rules that look back on it deny, and others go on.
    let denied = refund(&agent, 2);
    assert_eq!(last(&running, "ledger___refund").1["reason"], "could_not_decide", "{denied}");
    let fresh = agent.call("ledger___get_account", arguments);
    assert!(fresh["result"]["isError"] != true, "{fresh}");
    let (later, _) = last(&running, "ledger___get_account");
    assert_eq!(revealed(place, &later, 0)["arguments"]["committed"], true, "what comes after is kept under the next key");

    // The next start knows it too.
    let running = Remit::up_at(running.stop(), &[]);
    running.until_server("ledger", "ready");
    let place = running.place();
    gone(&revealed(place, &index, 0));
    assert_eq!(revealed(place, &later, 0)["result"]["committed"], true);
    refund(&running.client("agent-1", "ledger"), 3);
    assert_eq!(last(&running, "ledger___refund").1["reason"], "could_not_decide");
    let told = place.verify();
    assert_eq!(told["findings"], json!([]), "{told}");
    let said = place.cli(&["replay", "--since", "1h", "--json"]);
    let told: Value = serde_json::from_str(&said.out).unwrap();
    let why = told["not_reproduced"].as_object().unwrap();
    assert!(why.keys().all(|why| why.contains("was destroyed since")) && told["same"].as_u64() >= Some(3), "{told}");
    assert_eq!(place.cli(&[&["retention", "destroy", "--space", "nowhere"], &BECAUSE[..]].concat()).code, 3);
    assert!(!place.data().join("keys").join("nowhere.key").exists());
}

#[test]
fn a_receipt_shows_which_arguments_it_is_about_to_who_has_them() {
    let running = up();
    let mut agent = running.client("agent-1", "ledger");
    r#","remit/receipt":true"#.clone_into(&mut agent.meta);
    let arguments = r#"{"account_id":"ACC-1003"}"#;
    let answer = agent.call("ledger___get_account", arguments);
    let receipt = &answer["result"]["_meta"]["remit/receipt"];
    let place = running.place();
    let (file, given) = (place.root().join("call.tlog-proof"), place.root().join("arguments.json"));
    let said = place.cli(&["receipt", &receipt["index"].to_string(), "--output", file.to_str().unwrap()]);
    assert_eq!(said.code, 0, "{said:?}");
    let salt = receipt["arguments_salt"].as_str().unwrap();
    let verified = |arguments: &str, salt: &str| {
        std::fs::write(&given, format!("{arguments}\n")).unwrap();
        let (file, given) = (file.to_str().unwrap(), given.to_str().unwrap());
        let key = std::fs::read_to_string(place.data().join("journal.vkey")).unwrap();
        let opening = ["--key", &key, "--arguments", given, "--salt", salt];
        remit(&[&["verify", "--data", "/nowhere", "--receipt", file][..], &opening].concat(), None)
    };
    let said = verified(arguments, salt);
    assert!(said.code == 0 && said.out.contains("had these arguments, byte for byte"), "{said:?}");
    for (arguments, salt) in [(r#"{"account_id":"ACC-1004"}"#, salt), (arguments, &"0".repeat(32)[..])] {
        let said = verified(arguments, salt);
        assert!(said.code == 1 && said.out.contains("NOT PROVED"), "{said:?}");
    }
    assert_eq!(verified(arguments, "00").code, 3);
    running.stop();
}
