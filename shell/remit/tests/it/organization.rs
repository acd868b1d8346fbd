//! The organization's tree on the real gateway: control policies that come and go, lists that follow, and the answers to "why?".

use serde_json::{Value, json};

use crate::faults::verdict;
use crate::gateway::{Remit, config, remit};
use crate::upstream::{Era, Upstream};

const ACCOUNT: &str = "111122223333";

/// One space whose agents act in a role; `unit` is what is attached above the account.
fn governed(server: &Value, role_policies: &Value, unit: &Value) -> Value {
    let mut config = config(std::slice::from_ref(server));
    config["organization"] = json!({"id": "o-it", "root": "r-it", "owner": "security@example.com"});
    config["organizational_units"] =
        json!([{"id": "ou-it", "name": "It", "service_control_policies": unit}, {"id": "ou-free", "name": "Free"}]);
    config["accounts"][0]["organizational_unit"] = json!("ou-it");
    config["accounts"][0]["owner"] = json!("platform@example.com");
    config["policies"] = json!([{
        "name": "DenyMcp", "type": "SERVICE_CONTROL_POLICY",
        "document": {"Version": "2012-10-17", "Statement": [{
            "Sid": "DenyWhenAccessedViaMCP", "Effect": "Deny", "Action": "*", "Resource": "*",
            "Condition": {"Bool": {"aws:ViaAWSMCPService": "true"}}
        }]}
    }]);
    config["roles"] = json!([{
        "name": "it-role", "account": ACCOUNT, "policies": role_policies,
        "trust_policy": {"Version": "2012-10-17", "Statement": [{
            "Sid": "Space", "Effect": "Allow", "Principal": {"Service": "aidevops.amazonaws.com"}, "Action": "sts:AssumeRole",
            "Condition": {
                "StringEquals": {"aws:SourceAccount": ACCOUNT},
                "ArnEquals": {"aws:SourceArn": format!("arn:aws:aidevops:us-east-1:{ACCOUNT}:agentspace/a")}
            }
        }]}
    }]);
    config["spaces"][0]["role"] = json!("it-role");
    config
}

#[test]
fn a_control_policy_takes_effect_and_goes_with_the_account() {
    let a = Upstream::start(Era::Modern);
    let free = governed(&a.server("a"), &json!(["McpFullAccess"]), &json!(["FullAWSAccess"]));
    let denied = governed(&a.server("a"), &json!(["McpFullAccess"]), &json!(["FullAWSAccess", "DenyMcp"]));
    let remit = Remit::up(&free);
    let client = remit.client("agent-1", "a");
    let session = client.session("2025-11-25");
    assert_eq!(verdict(&client.call("a___echo", "{}")), "ok");
    let listed = |answer: Value| answer["result"]["tools"].as_array().map_or(0, Vec::len);
    let all = listed(client.modern("tools/list", "{}").message());
    assert!(all > 0);
    remit.configure(&denied);
    for answer in [client.call("a___echo", "{}"), session.call("a___echo", "{}")] {
        assert_eq!(verdict(&answer), "service_control_policy", "{answer}");
        let message = answer["error"]["message"].as_str().unwrap();
        assert!(message.starts_with(&format!("User: arn:aws:sts::{ACCOUNT}:assumed-role/it-role/agent-1 is not authorized to perform: mcp:CallTool on resource: arn:aws:mcp:us-east-1:{ACCOUNT}:server/a/tool/echo with an explicit deny in a service control policy")), "{message}");
    }
    assert_eq!(listed(client.modern("tools/list", "{}").message()), 0, "what can't be called isn't listed");
    let entry = remit.place().log_of("decision").pop().unwrap();
    assert_eq!(entry["principal_arn"], format!("arn:aws:sts::{ACCOUNT}:assumed-role/it-role/agent-1"));
    assert_eq!(entry["source_ip"], "127.0.0.1");
    // The account moves, and what it inherited stays behind.
    let mut moved = denied.clone();
    moved["accounts"][0]["organizational_unit"] = json!("ou-free");
    remit.configure(&moved);
    assert_eq!(verdict(&client.call("a___echo", "{}")), "ok");
    assert_eq!(listed(client.modern("tools/list", "{}").message()), all);
    remit.stop();
}

#[test]
fn why_and_what_would_have_to_change() {
    let a = Upstream::start(Era::Modern);
    let remit_up = Remit::up(&governed(&a.server("a"), &json!([]), &json!(["FullAWSAccess", "DenyMcp"])));
    let place = remit_up.place();
    let said = place.cli(&["explain", "--agent", "agent-1", "--tool", "a___echo", "--json"]);
    assert_eq!(said.code, 2);
    let said: Value = crate::client::json(&said.out);
    let remedies = said["remedies"].as_array().unwrap();
    let layers: Vec<&str> = remedies.iter().map(|remedy| remedy["layer"].as_str().unwrap()).collect();
    assert_eq!(layers, ["SERVICE_CONTROL_POLICY", "PRINCIPAL"]);
    assert!(
        remedies[0]["by"].as_str().unwrap().starts_with("security@example.com")
            && remedies[0]["at"].as_str().unwrap().starts_with("it.json:")
    );
    assert!(remedies[1]["by"].as_str().unwrap().starts_with("platform@example.com"));
    // The second remedy is a statement: with it, and without the Deny, the call is allowed.
    let change = remedies[1]["change"].as_str().unwrap();
    let statement: Value = crate::client::json(change.split_once(": ").unwrap().1);
    let mut mended = governed(&a.server("a"), &json!([]), &json!(["FullAWSAccess"]));
    mended["roles"][0]["inline_policies"] = json!({"mended": {"Version": "2012-10-17", "Statement": [statement]}});
    remit_up.configure(&mended);
    assert_eq!(verdict(&remit_up.client("agent-1", "a").call("a___echo", "{}")), "ok");
    assert_eq!(verdict(&remit_up.client("agent-1", "a").call("a___other", "{}")), "role_policy");
    remit_up.stop();
}

#[test]
fn who_can_and_what_reaches_a_space() {
    let a = Upstream::start(Era::Modern);
    let mut config = governed(&a.server("a"), &json!(["McpFullAccess"]), &json!(["FullAWSAccess"]));
    config["tool_policies"] = json!([{"agent": "agent-1", "tool": "a___*", "max_risk": "critical"}]);
    let remit_up = Remit::up(&config);
    let place = remit_up.place();
    let who = crate::client::json(&place.cli(&["iam", "who", "mcp:CallTool", "a___echo", "--json"]).out);
    let ways = who["ways"].as_array().unwrap();
    assert_eq!(ways.len(), 1, "{who}");
    assert_eq!((&ways[0]["who"], &ways[0]["path"][0]), (&json!("agent agent-1"), &json!("space a")));
    let arn = format!("arn:aws:mcp:us-east-1:{ACCOUNT}:server/a/tool/echo");
    let can = |who: &str, action: &str, resource: &str| place.cli(&["iam", "can", who, action, resource]).code;
    assert_eq!(can("agent-1", "mcp:CallTool", &arn), 0);
    assert_eq!(can("agent-2", "mcp:CallTool", &arn), 2);
    assert_eq!(can("nobody", "mcp:CallTool", &arn), 2);
    let effective = crate::client::json(&place.cli(&["iam", "effective", "a", "--json"]).out);
    assert_eq!(effective["path"], "o-it/r-it/ou-it/");
    let kinds: Vec<&str> =
        effective["policies"].as_array().unwrap().iter().map(|policy| policy["type"].as_str().unwrap()).collect();
    assert_eq!(kinds, ["SERVICE_CONTROL_POLICY", "TRUST_POLICY", "MANAGED_POLICY"]);
    remit_up.stop();
}

#[test]
fn the_sample_organization_is_clean_and_grants_nothing_more_than_itself() {
    let acme = concat!(env!("CARGO_MANIFEST_DIR"), "/../../examples/acme");
    assert_eq!(remit(&["iam", "lint", acme], None).code, 0);
    assert_eq!(remit(&["iam", "new-access", acme, acme], None).code, 0);
    assert_eq!(remit(&["check", acme], None).code, 0);
}

#[test]
fn policies_are_compared_and_linted_as_files() {
    let home = tempfile::tempdir().unwrap();
    let write = |name: &str, statement: &str| {
        let path = home.path().join(name);
        std::fs::write(&path, format!(r#"{{"Version":"2012-10-17","Statement":[{statement}]}}"#)).unwrap();
        path.to_str().unwrap().to_owned()
    };
    let narrow =
        write("narrow.json", r#"{"Effect":"Allow","Action":"mcp:CallTool","Resource":"arn:aws:mcp:*:*:server/a/tool/get_*"}"#);
    let wide = write("wide.json", r#"{"Effect":"Allow","Action":"mcp:CallTool","Resource":"arn:aws:mcp:*:*:server/a/tool/*"}"#);
    let broken = write("broken.json", r#"{"Effect":"Allow","Action":"mcp","Resource":"*"}"#);
    assert_eq!(remit(&["iam", "new-access", &wide, &narrow], None).code, 0);
    let said = remit(&["iam", "new-access", &narrow, &wide, "--json"], None);
    assert_eq!(said.code, 2);
    let answer = crate::client::json(&said.out);
    let resource = answer["answers"][0]["witness"]["resource"].as_str().unwrap();
    assert!(resource.contains(":server/a/tool/") && !resource.contains("/tool/get_"), "{resource}");
    let said = remit(&["iam", "new-access", &narrow, &broken], None);
    assert!(said.code == 3 && said.err.contains("broken.json:1:"), "{said:?}");
    let typo = write("typo.json", r#"{"Effect":"Allow","Action":"mcp:CallTools","Resource":"arn:aws:mcp:*:*:server/a/tool/x"}"#);
    let said = remit(&["iam", "lint", &typo, "--json"], None);
    assert_eq!(said.code, 1);
    assert_eq!(crate::client::json(&said.out)["findings"][0]["code"], "UNKNOWN_ACTION");
}

#[test]
fn cases_are_simulated_line_by_line() {
    let allow = json!({"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "s3:*", "Resource": "*"}]});
    let deny = json!({"Version": "2012-10-17", "Statement": [{"Effect": "Deny", "Action": "s3:Put*", "Resource": "*"}]});
    let case = |id: &str, action: &str, identity: Value| {
        json!({"id": id, "request": {"principal": format!("arn:aws:iam::{ACCOUNT}:user/u"), "action": action,
               "resource": {"resource": "arn:aws:s3:::a/b", "accountId": ACCOUNT}, "context": {}},
               "identityPolicies": identity})
        .to_string()
    };
    let named = |policy: &Value| json!([{"name": "p", "policy": policy}]);
    let input = [
        case("1", "s3:GetObject", named(&allow)),
        case("2", "s3:PutObject", json!([{"name": "p", "policy": allow}, {"name": "q", "policy": deny}])),
        case("3", "ec2:RunInstances", named(&allow)),
    ]
    .join("\n");
    let said = remit(&["iam", "simulate"], Some(&input));
    assert_eq!(said.code, 0, "{said:?}");
    let lines: Vec<&str> = said.out.lines().collect();
    assert_eq!(
        lines,
        [
            r#"{"id":"1","decision":"Allowed"}"#,
            r#"{"id":"2","decision":"ExplicitlyDenied"}"#,
            r#"{"id":"3","decision":"ImplicitlyDenied"}"#
        ]
    );
    assert_eq!(remit(&["iam", "simulate"], Some("{\"id\":\"4\"}\n")).code, 1);
}
