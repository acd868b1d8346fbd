//! Policy sets end to end: rules on arguments and on what came before, at real servers, over restarts and changes.

use std::sync::Barrier;

use serde_json::{Value, json};

use crate::client::{Client, json as read};
use crate::gateway::{Place, Remit, config, remit};

const RULES: &str = r#"// What agents may do with the ledger.
@id("read")
permit (principal, action in [AgentCore::Action::"ledger___get_account", AgentCore::Action::"ledger___list_transactions"], resource);

@id("known-account")
permit (principal is AgentCore::OAuthUser, action == AgentCore::Action::"ledger___transfer", resource)
when { context.input.amount_cents <= 1000 }
when temporal { formerly within 1h AgentCore::Action::"ledger___get_account"::response{ output.id: context.input.from } };

def temporal refunds(?w) {
    count for ($q: String). where (formerly within ?w AgentCore::Action::"ledger___refund"::request{ requestId: $q }
        && !exists ($t: Timepoint). formerly within ?w (AgentCore::Action::"ledger___refund"::error{ requestId: $q } && tp($t)))
};
@id("one-refund") @history("principal")
permit (principal, action == AgentCore::Action::"ledger___refund", resource) when temporal { (refunds(1h)) <= 1 };

@id("trial") @mode("LOG_ONLY")
forbid (principal, action == AgentCore::Action::"ledger___list_transactions", resource) when { context.input.account_id == "ACC-1003" };
"#;

fn ledger(mode: &str) -> Value {
    let mut config = config(&[json!({"name": "ledger", "command": ["remit", "sample-server", "ledger"]})]);
    config["spaces"][0]["policy_set"] = json!({"mode": mode, "policies": [{"file": "rules.dw"}]});
    config
}

fn place(mode: &str, rules: &str) -> Place {
    let place = Place::new();
    std::fs::write(place.config().join("rules.dw"), rules).unwrap();
    place.write(&ledger(mode));
    place
}

fn up(place: Place) -> Remit {
    let remit = Remit::up_at(place, &[]);
    remit.until_server("ledger", "ready");
    remit
}

/// What a call came to: the reason of the denial, `failed` if the tool failed, else `ok`. A transfer that the user has to confirm went
/// through to the server.
fn verdict(answer: &Value) -> &str {
    if let Some(reason) = answer.pointer("/error/data/reason") {
        return reason.as_str().unwrap();
    }
    let confirm = answer["error"]["code"] == -32021;
    assert!(answer.get("result").is_some() || confirm, "neither a result nor a denial: {answer}");
    if answer["result"]["isError"] == true { "failed" } else { "ok" }
}

/// A call in a policy session of this name.
fn call_in(client: &Client, session: &str, tool: &str, arguments: &Value) -> Value {
    let params = json!({"name": tool, "arguments": arguments}).to_string();
    let body = client.modern_body("tools/call", &params);
    let mut headers = crate::client::modern_headers("tools/call", &params);
    headers.push(("x-amzn-bedrock-agentcore-policy-session-id".to_owned(), session.to_owned()));
    let headers: Vec<(&str, &str)> = headers.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
    client.post(&headers, body.as_bytes()).message()
}

fn transfer(from: &str, cents: u32) -> Value {
    json!({"from": from, "to": "ACC-1001", "amount_cents": cents, "memo": "the secret of the memo"})
}

#[test]
fn only_an_account_that_was_looked_up_in_this_session() {
    let remit = up(place("ENFORCE", RULES));
    let client = remit.client("agent-1", "ledger");
    assert_eq!(
        client.tools(),
        ["ledger___get_account", "ledger___list_transactions", "ledger___refund", "ledger___transfer"],
        "no arguments could make `close_account` allowed"
    );
    let at = |session: &str, arguments: Value| call_in(&client, session, "ledger___transfer", &arguments);
    let denied = at("s-1", transfer("ACC-1003", 10));
    assert_eq!(verdict(&denied), "policy_set");
    assert_eq!(verdict(&call_in(&client, "s-1", "ledger___get_account", &json!({"account_id": "ACC-1003"}))), "ok");
    assert_eq!(verdict(&at("s-1", transfer("ACC-1003", 10))), "ok");
    assert_eq!(verdict(&at("s-1", transfer("ACC-1003", 1001))), "policy_set", "too much");
    assert_eq!(verdict(&at("s-1", transfer("ACC-1002", 10))), "policy_set", "another account");
    assert_eq!(verdict(&at("s-2", transfer("ACC-1003", 10))), "policy_set", "another session");
    let other = remit.client("agent-2", "ledger");
    assert_eq!(verdict(&call_in(&other, "s-1", "ledger___transfer", &transfer("ACC-1003", 10))), "policy_set", "another agent");
    // In a session of the session era the policy session is that session.
    let session = client.session("2025-11-25");
    assert_eq!(verdict(&session.call("ledger___transfer", &transfer("ACC-1003", 10).to_string())), "policy_set");
    assert_eq!(verdict(&session.call("ledger___get_account", r#"{"account_id":"ACC-1003"}"#)), "ok");
    let bad = call_in(&client, "not a name", "ledger___get_account", &json!({"account_id": "ACC-1003"}));
    assert_eq!(bad["error"]["code"], -32600, "{bad}");
    // Whoever only asks has no history to show.
    let token = format!("Bearer {}", client.token);
    let question = json!({"tool_id": "ledger___transfer", "arguments": transfer("ACC-1003", 10)}).to_string();
    let mut asked = crate::client::send(remit.addr, "POST /authorize", &[("authorization", &token)], question.as_bytes());
    assert_eq!(asked.message()["approved"], false);
    let place = remit.stop();
    let denied = place.log_of("decision").into_iter().find(|entry| entry["reason"] == "policy_set").unwrap();
    let line = denied["layers"].as_array().unwrap().last().unwrap().clone();
    assert_eq!((line["checkType"].as_str(), line["effect"].as_str()), (Some("POLICY_SET"), Some("IMPLICIT_DENY")), "{line}");
    let all = place.cli(&["log", "--json"]).out;
    assert!(!all.contains("secret of the memo") && !all.contains("ACC-1003"), "arguments are sealed");
}

#[test]
fn of_calls_at_once_a_limit_that_admits_one_admits_one() {
    let remit = up(place("ENFORCE", RULES));
    let client = remit.client("agent-1", "ledger");
    let start = Barrier::new(16);
    let verdicts: Vec<String> = std::thread::scope(|scope| {
        let calls: Vec<_> = (0..16)
            .map(|number| {
                let (client, start) = (&client, &start);
                scope.spawn(move || {
                    start.wait();
                    let done = call_in(client, &format!("s-{number}"), "ledger___refund", &json!({"transaction_id": "TXN-5001"}));
                    verdict(&done).to_owned()
                })
            })
            .collect();
        calls.into_iter().map(|call| call.join().unwrap()).collect()
    });
    assert_eq!(verdicts.iter().filter(|verdict| *verdict == "ok").count(), 1, "{verdicts:?}");
    assert!(verdicts.iter().all(|verdict| verdict == "ok" || verdict == "policy_set"), "{verdicts:?}");
    remit.stop();
}

#[test]
fn history_survives_a_crash_and_is_nothing_without_its_key() {
    let remit = up(place("ENFORCE", RULES));
    let client = remit.client("agent-1", "ledger");
    let refund =
        |client: &Client| verdict(&call_in(client, "s-1", "ledger___refund", &json!({"transaction_id": "TXN-5001"}))).to_owned();
    assert_eq!(verdict(&call_in(&client, "s-1", "ledger___get_account", &json!({"account_id": "ACC-1003"}))), "ok");
    assert_eq!(refund(&client), "ok");
    assert_eq!(refund(&client), "policy_set");
    let remit = up(remit.kill());
    let client = remit.client("agent-1", "ledger");
    assert_eq!(refund(&client), "policy_set", "the refund before the crash counts");
    assert_eq!(verdict(&call_in(&client, "s-1", "ledger___transfer", &transfer("ACC-1003", 10))), "ok", "so does the look-up");
    assert_eq!(verdict(&call_in(&client, "s-2", "ledger___transfer", &transfer("ACC-1003", 10))), "policy_set");
    let place = remit.stop();
    std::fs::write(place.data().join("history.key"), "07".repeat(32)).unwrap();
    let data = place.data();
    let said = crate::gateway::remit(
        &[
            "up",
            "--json",
            "--port",
            "0",
            "--control-port",
            "0",
            "--config",
            place.config().to_str().unwrap(),
            "--data",
            data.to_str().unwrap(),
        ],
        None,
    );
    assert_eq!(said.code, 1, "{said:?}");
    assert!(said.err.contains("history.key") && said.err.contains("--forget-history"), "{said:?}");
    let remit = Remit::up_at(place, &["--forget-history"]);
    remit.until_server("ledger", "ready");
    let client = remit.client("agent-1", "ledger");
    assert_eq!(
        verdict(&call_in(&client, "s-1", "ledger___transfer", &transfer("ACC-1003", 10))),
        "policy_set",
        "it was forgotten"
    );
    let remit = up(remit.stop());
    assert_eq!(refund(&remit.client("agent-1", "ledger")), "ok", "and stays so");
    remit.stop();
}

#[test]
fn a_change_keeps_what_unchanged_rules_had_gathered_and_a_bad_one_changes_nothing() {
    let remit = up(place("ENFORCE", RULES));
    let client = remit.client("agent-1", "ledger");
    let refund =
        |client: &Client| verdict(&call_in(client, "s-1", "ledger___refund", &json!({"transaction_id": "TXN-5001"}))).to_owned();
    assert_eq!(refund(&client), "ok");
    let rules = remit.place().config().join("rules.dw");
    let change = |text: &str| {
        std::fs::write(&rules, text).unwrap();
        remit.operator("POST /v1/reload", "")
    };
    let more = format!(
        "@id(\"before\") forbid (principal, action == AgentCore::Action::\"ledger___close_account\", resource);\n{RULES}"
    );
    assert_eq!(change(&more).0, 200);
    assert_eq!(refund(&client), "policy_set", "it counts on");
    let (status, said) = change("permit (principal, action, resource)\nwhen { context. };\n");
    assert_eq!(status, 422, "{said}");
    assert!(said.to_string().contains("rules.dw") && said.to_string().contains("\"line\":2"), "{said}");
    assert_eq!(refund(&client), "policy_set", "the one before is in effect");
    assert_eq!(change(&more.replace("<= 1 }", "<= 2 }")).0, 200);
    assert_eq!(refund(&client), "failed", "a rule that says something else begins anew; this one was refunded already");
    remit.stop();
}

#[test]
fn what_is_only_logged_is_counted() {
    let remit = up(place("ENFORCE", RULES));
    let client = remit.client("agent-1", "ledger");
    for account in ["ACC-1001", "ACC-1003", "ACC-1003"] {
        assert_eq!(verdict(&client.call("ledger___list_transactions", &json!({"account_id": account}).to_string())), "ok");
    }
    let metrics = crate::client::send(remit.control, "GET /metrics", &[], b"").is(200);
    let line = r#"remit_policy_flips_total{space="ledger",tool="ledger___list_transactions",verdict="ALLOW"} 2"#;
    assert!(metrics.contains(line), "{metrics}");
    std::fs::write(remit.place().config().join("rules.dw"), "forbid (principal, action, resource);").unwrap();
    remit.configure(&ledger("LOG_ONLY"));
    let closed = client.call("ledger___close_account", r#"{"account_id":"ACC-1002"}"#);
    assert_eq!(verdict(&closed), "failed", "a set that is only logged lets it through, and the account isn't empty");
    let place = remit.stop();
    let flips: Vec<Value> =
        place.log_of("decision").into_iter().map(|entry| entry["policy_flip"].clone()).filter(Value::is_string).collect();
    assert_eq!(flips[..2], ["EXPLICIT_DENY: policy `trial` forbids", "EXPLICIT_DENY: policy `trial` forbids"]);
    assert_eq!(flips[2], "EXPLICIT_DENY: policy `rules#1` forbids");
}

#[test]
fn acmes_money_moves_as_its_rules_say() {
    let place = crate::aws::acme(&[]);
    assert_eq!(place.cli_with(&["secret", "set", "ledger-api-key"], Some("any")).code, 0);
    // What the rules of the policy set say of money, where no person is asked besides.
    std::fs::remove_file(place.config().join("approvals.yaml")).unwrap();
    let remit = Remit::up_at(place, &[]);
    remit.until_server("ledger", "ready");
    let client = remit.client("agent-finance-1", "finance");
    let transfer = |cents: u32| {
        let arguments = json!({"from": "ACC-1001", "to": "ACC-1002", "amount_cents": cents, "memo": "x"});
        verdict(&client.call("ledger___transfer", &arguments.to_string())).to_owned()
    };
    assert_eq!(transfer(100), "policy_set", "the account was not looked up");
    assert_eq!(verdict(&client.call("ledger___get_account", r#"{"account_id":"ACC-1001"}"#)), "ok");
    assert_eq!(transfer(100), "ok");
    assert_eq!(transfer(5_000_001), "policy_set");
    let refund = |id: &str| verdict(&client.call("ledger___refund", &json!({"transaction_id": id}).to_string())).to_owned();
    assert_eq!(refund("TXN-5001"), "ok");
    assert_eq!(refund("TXN-5001"), "failed", "what failed doesn't count");
    assert_eq!((refund("TXN-5002").as_str(), refund("TXN-5003").as_str()), ("ok", "ok"));
    assert_eq!(refund("TXN-5004"), "policy_set");
    remit.stop();
}

#[test]
fn a_result_that_a_policy_forbids_is_withheld() {
    let rules = "permit (principal, action, resource);\n@id(\"poor\")\nforbid (principal, action == AgentCore::Action::\"ledger___get_account\", resource)\nwhen { context has output && context.output.balance_cents > 1000000 };\n";
    let remit = up(place("ENFORCE", rules));
    let client = remit.client("agent-1", "ledger");
    let get = |account: &str| client.call("ledger___get_account", &json!({"account_id": account}).to_string());
    assert_eq!(get("ACC-1003")["result"]["structuredContent"]["balance_cents"], 220_050);
    let kept = get("ACC-1001");
    assert_eq!(verdict(&kept), "policy_set");
    assert!(!kept.to_string().contains("12500000") && kept["error"]["message"].as_str().unwrap().contains("`poor`"), "{kept}");
    let session = client.session("2025-11-25");
    assert_eq!(verdict(&session.call("ledger___get_account", r#"{"account_id":"ACC-1001"}"#)), "policy_set");
    let place = remit.stop();
    let outcomes = place.log_of("outcome");
    let withheld: Vec<&Value> = outcomes.iter().filter(|entry| entry["outcome"] == "withheld").collect();
    assert_eq!(withheld.len(), 2);
    assert_eq!(withheld[0]["withheld_by"]["origin"], "rules.dw:3");
}

#[test]
fn what_a_failed_call_says_is_withheld_where_a_rule_reads_results() {
    let reads = "@id(\"reads\")\nforbid (principal, action == AgentCore::Action::\"ledger___get_account\", resource)\nwhen { context has output && context.output.balance_cents > 1000000000 };\n";
    let limit = "@id(\"limit\")\nforbid (principal, action == AgentCore::Action::\"ledger___close_account\", resource)\nwhen temporal { formerly within 1h AgentCore::Action::\"ledger___get_account\"::error{} };\n";
    let remit = up(place("ENFORCE", &format!("permit (principal, action, resource);\n{reads}{limit}")));
    let client = remit.client("agent-1", "ledger");
    let call = |tool: &str, account: &str| {
        let arguments = json!({"account_id": account});
        call_in(&client, "s-1", tool, &arguments)
    };
    assert_eq!(verdict(&call("ledger___list_transactions", "ACC-9999")), "failed", "no rule reads what this one says");
    assert_eq!(verdict(&call("ledger___get_account", "ACC-1001")), "ok");
    assert_ne!(verdict(&call("ledger___close_account", "ACC-1001")), "policy_set");
    let kept = call("ledger___get_account", "ACC-9999");
    assert_eq!(verdict(&kept), "could_not_decide", "{kept}");
    assert!(!kept.to_string().contains("ACC-9999"), "{kept}");
    assert_eq!(verdict(&call("ledger___close_account", "ACC-1001")), "policy_set", "it failed, whatever the caller was told");
    let place = remit.stop();
    assert_eq!(place.log_of("outcome").iter().filter(|entry| entry["outcome"] == "withheld").count(), 1);
}

#[test]
fn faults_are_told_where_they_are() {
    let place = place("ENFORCE", "permit (principal, action, resource)\nwhen { context. };\n");
    let said = remit(&["check", place.config().to_str().unwrap(), "--json"], None);
    assert_eq!(said.code, 3, "{said:?}");
    let told = read(&said.out);
    assert_eq!((told["faults"][0]["file"].as_str(), told["faults"][0]["line"].as_u64()), (Some("rules.dw"), Some(2)), "{told}");
    // What doesn't fit the tools is told by whoever knows them.
    let text = format!(
        "{RULES}\n@id(\"odd\")\nforbid (principal, action == AgentCore::Action::\"ledger___get_account\", resource)\nwhen {{ context.input.amount > 5 }};\n"
    );
    std::fs::write(place.config().join("rules.dw"), &text).unwrap();
    assert_eq!(remit(&["check", place.config().to_str().unwrap()], None).code, 0);
    let remit = up(place);
    let finding = remit.status()["policy_findings"][0].clone();
    let line = 1 + text.lines().position(|line| line.contains("amount > 5")).unwrap();
    assert_eq!((finding["policy"].as_str(), finding["line"].as_u64()), (Some("odd"), Some(line as u64)), "{finding}");
    let client = remit.client("agent-1", "ledger");
    assert_eq!(
        verdict(&client.call("ledger___get_account", r#"{"account_id":"ACC-1001"}"#)),
        "policy_set",
        "it forbids its scope"
    );
    remit.stop();
}
