//! A real MCP client behind `mcp-proxy-for-aws`: calls under SigV4, what the journal says of them, and how they end when they are revoked.

use serde_json::{Value, json};

use crate::aws::{self, Boto, Lines, Peers, RILEY, SPACE_ROLE, acme, credentials, isolated};
use crate::aws_signed::Draft;
use crate::gateway::{Remit, until};

const TOOL: &str = "observability___search_logs";

/// The space's role, which riley may act in as well, as whom it is and with tags.
fn trust() -> String {
    let service = json!({
        "Sid": "OnlyThisSpace", "Effect": "Allow", "Principal": {"Service": "aidevops.amazonaws.com"}, "Action": "sts:AssumeRole",
        "Condition": {"StringEquals": {"aws:SourceAccount": "111122223333"}, "ArnEquals": {"aws:SourceArn": aws::SPACE_ARN}}
    });
    let actions = ["sts:AssumeRole", "sts:TagSession", "sts:SetSourceIdentity"];
    let riley = json!({"Sid": "Riley", "Effect": "Allow", "Principal": {"AWS": RILEY}, "Action": actions});
    json!({"Version": "2012-10-17", "Statement": [service, riley]}).to_string()
}

/// A fresh session of the space's role, once one is issued later than what was revoked: times are in whole seconds.
fn session(remit: &Remit, boto: &mut Boto) -> Value {
    let asked = json!({
        "RoleArn": SPACE_ROLE, "RoleSessionName": "incident-42", "SourceIdentity": "riley@acme",
        "Tags": [{"Key": "incident", "Value": "42"}]
    });
    let mut fresh = Value::Null;
    until("a session is alive", || {
        let riley = credentials(remit, RILEY, &[]);
        let call = json!({"service": "sts", "operation": "assume_role", "parameters": asked, "credentials": riley});
        fresh = boto.call(&call)["answer"]["Credentials"].clone();
        fresh.is_object() && called(remit, &fresh) == 200
    });
    fresh
}

/// The status of a signed call of the tool.
fn called(remit: &Remit, pair: &Value) -> u16 {
    Draft::call(remit, pair, "prod-sre").signed().send(remit).status
}

/// The proxy with a client before it, that has listed the tools.
fn proxy(remit: &Remit, peers: &Peers, pair: &Value) -> Lines {
    let mut command = isolated(&peers.bin("python"), remit);
    command.arg(peers.script("proxy.py")).arg(peers.bin("mcp-proxy-for-aws")).arg(remit.url("prod-sre"));
    let mut client = Lines::start(command.envs(aws::environment(pair)));
    let listed = client.read();
    let tools: Vec<&str> = listed["tools"].as_array().unwrap().iter().map(|tool| tool.as_str().unwrap()).collect();
    assert!(tools.contains(&TOOL) && !tools.contains(&"deployments___apply"), "{tools:?}");
    client
}

#[test]
fn the_proxy_calls_and_is_revoked_at_once() {
    let peers = Peers::installed();
    let remit = Remit::up_at(acme(&[("policies/trust-prod-sre.json", trust())]), &[]);
    for server in ["observability", "deployments"] {
        remit.until_server(server, "ready");
    }
    let mut boto = Boto::start(&remit);
    let call = json!({"tool": TOOL, "arguments": {"query": "timeout"}});
    let mut revoked = Vec::new();
    for what in ["session", "agent", "role", "everything"] {
        let pair = session(&remit, &mut boto);
        let id = pair["AccessKeyId"].as_str().unwrap();
        let mut client = proxy(&remit, &peers, &pair);
        let answer = client.ask(&call);
        assert!(answer["call"]["content"].to_string().contains("payments.authorize"), "{what}: {answer}");
        let entry = remit.place().log_of("decision").pop().unwrap();
        assert_eq!((&entry["verdict"], &entry["agent"], &entry["tool"]), (&"ALLOW".into(), &"agent-ops-1".into(), &TOOL.into()));
        assert_eq!(entry["principal_arn"], "arn:aws:sts::111122223333:assumed-role/DevOpsAgentSpaceRole/incident-42");
        assert_eq!((entry["credential_id"].as_str(), &entry["source_identity"]), (Some(id), &"riley@acme".into()), "{entry}");
        assert_eq!(entry["session_tags"], json!([["incident", "42"]]), "{entry}");
        let target = match what {
            "session" => vec![id],
            "agent" => vec!["agent-ops-1"],
            "role" => vec![SPACE_ROLE],
            _ => vec![],
        };
        let arguments = [&["revoke", what][..], &target, &["--reason", "it", "--by", "lead@acme"]].concat();
        let said = remit.place().cli(&arguments);
        assert_eq!(said.code, 0, "{said:?}");
        // The very next one, in the session that is open, is refused.
        let answer = client.ask(&call);
        assert!(answer["error"].is_string() || answer["call"]["isError"] == true, "{what}: {answer}");
        assert!(!answer.to_string().contains("payments.authorize"), "{what}: {answer}");
        let entry = remit.place().log_of("decision").pop().unwrap();
        assert_eq!((&entry["verdict"], &entry["reason"]), (&"DENY".into(), &"revoked".into()), "{what}: {entry}");
        let entry = remit.place().log_of("revocation").pop().unwrap();
        assert_eq!((&entry["by"], &entry["reason"]), (&"lead@acme".into(), &"it".into()), "{entry}");
        // Nor does it give another session.
        let (error, _) = boto.refused(&pair, ("sts", "get_caller_identity"), &json!({}));
        assert_eq!(error[1], "ExpiredToken", "{what}");
        revoked.push(pair);
    }
    let alive = session(&remit, &mut boto);
    // A key that is revoked takes along what was got with it.
    let riley = credentials(&remit, RILEY, &[]);
    let mut child = boto.assume(&riley, &json!({"RoleArn": SPACE_ROLE, "RoleSessionName": "child"}));
    let child = child["Credentials"].take();
    assert_eq!(called(&remit, &child), 200);
    let key = riley["AccessKeyId"].as_str().unwrap();
    assert_eq!(remit.place().cli(&["revoke", "session", key, "--reason", "it"]).code, 0);
    assert_eq!(called(&remit, &child), 401);
    for pair in &revoked {
        assert_eq!(called(&remit, pair), 401, "{pair}");
    }
    let place = remit.stop();
    let remit = Remit::up_at(place, &[]);
    remit.until_server("observability", "ready");
    for pair in &revoked {
        assert_eq!(called(&remit, pair), 401, "revocations outlive the process");
    }
    assert_eq!(called(&remit, &child), 401);
    // What wasn't revoked goes on as well: sessions are sealed under a key that is kept.
    until("signed after the start", || called(&remit, &alive) == 200);
    remit.stop();
}

#[test]
fn what_can_not_be_revoked_is_said() {
    let remit = Remit::up_at(acme(&[]), &[]);
    for arguments in [
        &["revoke", "agent", "nobody", "--reason", "it"][..],
        &["revoke", "role", "arn:aws:iam::111122223333:role/Nobody", "--reason", "it"],
        &["revoke", "role", "DevOpsAgentSpaceRole", "--reason", "it"],
        &["revoke", "everything", "--before-secs", "99999999999", "--reason", "it"],
        &["revoke", "everything"],
        &["credentials", "--principal", "arn:aws:iam::111122223333:root"],
        &["credentials", "--principal", "arn:aws:iam::111122223333:role/Nobody"],
        &["credentials", "--principal", "arn:aws:aidevops:us-east-1:111122223333:agentspace/nowhere"],
        &["credentials", "--principal", SPACE_ROLE, "--session-name", "two words"],
        &["credentials", "--principal", SPACE_ROLE, "--duration-secs", "899"],
        &["credentials", "--principal", SPACE_ROLE, "--duration-secs", "3601"],
        &["credentials", "--principal", aws::OPERATOR_ROLE, "--duration-secs", "1801"],
        &["credentials", "--principal", RILEY, "--duration-secs", "43201"],
    ] {
        let said = remit.place().cli(arguments);
        assert_eq!(said.code, 3, "{arguments:?}: {said:?}");
    }
    assert!(remit.place().log_of("revocation").is_empty());
    remit.stop();
}
