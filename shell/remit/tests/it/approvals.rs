//! Calls that wait for people, as agents, operators and the journal meet them.

use std::thread;

use serde_json::{Value, json};

use crate::client::{Client, Session, send};
use crate::gateway::{Place, Remit, config, remit, until};
use crate::upstream::{Era, Upstream};

const CLOSE: &str = "helpdesk___close_ticket";
const DONE: &str = r#"{"ticket_id":"TCK-1001","resolution":"done"}"#;

/// A help desk whose tickets are closed by people's leave.
fn placed(ask: &Value) -> Place {
    let place = Place::new();
    let mut whole = config(&[json!({"name": "helpdesk", "command": ["remit", "sample-server", "helpdesk"]})]);
    whole["approval_rules"] = json!([{"id": "closing", "hold": {"tools": [CLOSE]}, "ask": ask}]);
    whole["approvers"] = json!([{"id": "ann"}, {"id": "bob", "groups": ["leads"]}, {"id": "it@example.com"}]);
    place.write(&whole);
    place
}

fn up(place: Place) -> Remit {
    let remit = Remit::up_at(place, &[]);
    remit.until_server("helpdesk", "ready");
    remit
}

/// What a person says at the command line; the exit code and the answer.
fn say(remit: &Remit, args: &[&str]) -> (i32, Value) {
    let said = remit.place().cli(&[&["approvals"], args, &["--json"]].concat());
    let text = if said.out.trim().is_empty() { json!(said.err) } else { serde_json::from_str(&said.out).unwrap() };
    (said.code, text)
}

fn waiting(remit: &Remit) -> Vec<Value> {
    let said = remit.place().cli(&["approvals", "--json"]);
    assert_eq!(said.code, 0, "{said:?}");
    said.out.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// The one that waits.
fn only(remit: &Remit) -> Value {
    until("something waits", || waiting(remit).len() == 1);
    waiting(remit).remove(0)
}

fn id(approval: &Value) -> String {
    approval["id"].as_str().unwrap().to_owned()
}

fn text(answer: &Value) -> &str {
    answer.pointer("/result/content/0/text").and_then(Value::as_str).unwrap_or_else(|| panic!("{answer}"))
}

/// Whether the call was made, whatever the server said to it: a ticket that is closed can't be closed once more.
fn went(answer: &Value) -> bool {
    answer.get("result").is_some_and(|result| result.pointer("/_meta/remit~1approval").is_none())
}

fn approve(remit: &Remit, approval: &Value, by: &str) {
    let (code, said) = say(remit, &["approve", &id(approval), "--by", by]);
    assert_eq!((code, &said["state"]), (0, &json!("APPROVED")), "{said}");
}

#[test]
fn a_call_waits_is_approved_and_goes_and_a_later_one_goes_without_asking_twice() {
    let remit = up(placed(&json!({"wait_secs": 30})));
    let client = remit.client("agent-1", "helpdesk");
    // What nobody holds isn't held.
    assert!(went(&client.call("helpdesk___get_ticket", r#"{"ticket_id":"TCK-1001"}"#)));
    let call = {
        let client = client.clone();
        thread::spawn(move || client.call(CLOSE, DONE))
    };
    let approval = only(&remit);
    assert_eq!(approval["arguments"], serde_json::from_str::<Value>(DONE).unwrap());
    assert_eq!(
        (&approval["agent"], &approval["owner"], &approval["tool"]),
        (&json!("agent-1"), &json!("it@example.com"), &json!(CLOSE))
    );
    assert_eq!(approval["rules"][0]["id"], "closing");
    assert_eq!(approval["led_to"][0]["tool"], "helpdesk___get_ticket");
    assert_eq!(approval["led_to"].as_array().map(Vec::len), Some(1));
    approve(&remit, &approval, "ann");
    assert!(went(&call.join().unwrap()), "the call that waited went on");
    // It is used up: the same call is held again, and one that isn't waited for goes through once it was approved.
    let session = client.session("2025-06-18");
    let held = {
        let session = session.clone();
        thread::spawn(move || session.call(CLOSE, DONE))
    };
    let second = only(&remit);
    assert_ne!(id(&second), id(&approval));
    approve(&remit, &second, "ann");
    assert!(went(&held.join().unwrap()));
    let place = remit.stop();
    let kinds = |kind: &str| place.log_of(kind).len();
    assert_eq!((kinds("approval_requested"), kinds("approval_voted")), (2, 2));
    let decisions: Vec<String> = place
        .log_of("decision")
        .iter()
        .filter(|entry| entry["tool"] == CLOSE)
        .map(|entry| format!("{} {}", entry["verdict"].as_str().unwrap(), entry["approval"].as_str().unwrap_or("-")))
        .collect();
    let (first, then) = (id(&approval), id(&second));
    assert_eq!(decisions, ["HOLD -".to_owned(), format!("ALLOW {first}"), "HOLD -".to_owned(), format!("ALLOW {then}")]);
    place.verify();
    // The very decisions can be made again, with the approvals of then.
    let replayed = place.cli(&["replay", "--since", "1h"]);
    assert!(replayed.code == 0 && replayed.out.contains(" 0 otherwise"), "{replayed:?}");
}

#[test]
fn whoever_waits_too_long_is_told_and_comes_back_after_a_restart_too() {
    let remit = up(placed(&json!({"wait_secs": 1})));
    let client = remit.client("agent-1", "helpdesk");
    let answer = client.call(CLOSE, DONE);
    assert!(text(&answer).contains("waits for a person's approval") && !went(&answer), "{answer}");
    let told = &answer["result"]["_meta"]["remit/approval"];
    let approval = only(&remit);
    assert_eq!((&told["id"], &told["state"]), (&approval["id"], &json!("PENDING")));
    // The same call waits on the same approval, however it is spelled.
    let again = client.call(CLOSE, r#"{ "resolution": "d\u006fne", "ticket_id": "TCK-1001" }"#);
    assert_eq!(again["result"]["_meta"]["remit/approval"]["id"], approval["id"]);
    assert_eq!(waiting(&remit).len(), 1);
    // Nothing that waits is lost with the process, and what was agreed to isn't either.
    let remit = up(remit.kill());
    let kept = only(&remit);
    assert_eq!((&kept["id"], &kept["arguments_text"]), (&approval["id"], &json!(DONE)));
    approve(&remit, &kept, "ann");
    let remit = up(remit.kill());
    let client = remit.client("agent-1", "helpdesk");
    let other = client.call(CLOSE, r#"{"ticket_id":"TCK-1002","resolution":"done"}"#);
    assert!(!went(&other), "other arguments need another approval: {other}");
    assert!(went(&client.call(CLOSE, DONE)));
    assert!(!went(&client.call(CLOSE, DONE)), "once is once");
    // Another agent's yes is not mine.
    let shown = say(&remit, &["show", &id(&approval)]).1;
    assert_eq!((&shown["state"], shown["redeemed_by"].as_array().unwrap().len()), (&json!("REDEEMED"), 1));
}

#[test]
fn whoever_waits_when_the_gateway_stops_is_told_and_nothing_is_lost() {
    let remit = up(placed(&json!({"wait_secs": 600})));
    let client = remit.client("agent-1", "helpdesk");
    let call = thread::spawn(move || client.call(CLOSE, DONE));
    let approval = only(&remit);
    let remit = up(remit.stop());
    assert!(text(&call.join().unwrap()).contains("waits for a person's approval"));
    assert_eq!(id(&only(&remit)), id(&approval));
}

#[test]
fn people_reject_with_a_reason_and_the_wrong_people_are_refused() {
    let remit = up(placed(&json!({"wait_secs": 30, "approvers": ["leads", "it@example.com"], "owner_may": false})));
    let client = remit.client("agent-1", "helpdesk");
    let call = {
        let client = client.clone();
        thread::spawn(move || client.call(CLOSE, DONE))
    };
    let approval = only(&remit);
    let id = id(&approval);
    for (by, says) in [("ann", "no approver of rule"), ("it@example.com", "answers for the agent"), ("agent-1", "asks for it")] {
        let (code, said) = say(&remit, &["approve", &id, "--by", by]);
        assert!(code == 3 && said.as_str().unwrap().contains(says), "{said}");
    }
    assert_eq!(say(&remit, &["reject", &id, "--by", "bob"]).0, 3, "a rejection needs a reason");
    assert_eq!(say(&remit, &["approve", &id, "--by", "bob", "--ttl-secs", "60"]).0, 3, "the rule gives one call");
    let (code, said) = say(&remit, &["reject", &id, "--by", "bob", "--reason", "the customer has not agreed"]);
    assert_eq!((code, &said["state"]), (0, &json!("REJECTED")));
    let answer = call.join().unwrap();
    assert!(
        text(&answer).contains("bob rejected this call") && text(&answer).contains("the customer has not agreed"),
        "{answer}"
    );
    assert_eq!(say(&remit, &["approve", &id, "--by", "bob"]).0, 3, "it is over");
    assert_eq!(waiting(&remit).len(), 0);
    let place = remit.stop();
    assert_eq!(place.log_of("approval_ended")[0]["state"], "REJECTED");
}

#[test]
fn a_signature_proves_who_approves() {
    let place = Place::new();
    let key = place.root().join("ann.key");
    let made = remit(&["review-key", "ann", "--out", key.to_str().unwrap(), "--json"], None);
    let public = serde_json::from_str::<Value>(&made.out).unwrap()["public_key"].clone();
    let mut whole = config(&[json!({"name": "helpdesk", "command": ["remit", "sample-server", "helpdesk"]})]);
    let ask = json!({"wait_secs": 1, "approvers": ["ann"], "authentication": {"proven": true}, "grant_secs_max": 60});
    whole["approval_rules"] = json!([{"id": "closing", "hold": {"tools": [CLOSE]}, "ask": ask}]);
    whole["approvers"] = json!([{"id": "ann", "key": public}]);
    place.write(&whole);
    let remit = up(place);
    let client = remit.client("agent-1", "helpdesk");
    client.call(CLOSE, DONE);
    let approval = only(&remit);
    let (code, said) = say(&remit, &["approve", &id(&approval), "--by", "ann"]);
    assert!(code == 3 && said.as_str().unwrap().contains("nothing proves that it is ann"), "{said}");
    let (code, said) = say(&remit, &["approve", &id(&approval), "--key", key.to_str().unwrap(), "--ttl-secs", "60"]);
    assert_eq!((code, &said["state"], &said["votes"][0]["proof"]), (0, &json!("APPROVED"), &json!("KEY")), "{said}");
    // For a time, the same call goes again and again.
    assert!(went(&client.call(CLOSE, DONE)) && went(&client.call(CLOSE, DONE)));
    // Nobody else's signature, and none of another answer.
    client.call(CLOSE, r#"{"ticket_id":"TCK-1002","resolution":"done"}"#);
    let other = only(&remit);
    let forged = json!({"by": "ann", "note": "remit approval answer\napprove\n"});
    let (status, said) = remit.operator(&format!("POST /v1/approvals/{}/approve", id(&other)), &forged.to_string());
    assert!(status == 403 && said["detail"].as_str().unwrap().contains("not signed"), "{said}");
    let (code, _) = say(&remit, &["revoke", &id(&approval), "--reason", "enough"]);
    assert_eq!(code, 0);
    assert!(!went(&client.call(CLOSE, DONE)), "what was taken back lets nothing through");
}

#[test]
fn a_client_that_opens_pages_is_sent_to_one() {
    let remit = up(placed(&json!({"wait_secs": 30})));
    let client = remit.client("agent-1", "helpdesk").with(r#"{"elicitation":{"url":{}}}"#);
    let params = format!("{{\"name\":\"{CLOSE}\",\"arguments\":{DONE}}}");
    let answer = client.modern("tools/call", &params).message();
    let result = &answer["result"];
    assert_eq!(result["resultType"], "input_required", "{answer}");
    let asked = &result["inputRequests"]["approval"];
    let approval = only(&remit);
    assert_eq!(asked["method"], "elicitation/create");
    assert_eq!((&asked["params"]["mode"], &asked["params"]["elicitationId"]), (&json!("url"), &approval["id"]));
    assert!(asked["params"]["url"].as_str().unwrap().ends_with(&format!("/console/approvals/{}", id(&approval))));
    // It comes back and waits on; its state is good once, and for nobody else.
    let state = result["requestState"].as_str().unwrap().to_owned();
    let back = format!(
        "{{\"name\":\"{CLOSE}\",\"arguments\":{DONE},\"inputResponses\":{{\"approval\":{{\"action\":\"accept\"}}}},\"requestState\":\"{state}\"}}"
    );
    let other = remit.client("agent-2", "helpdesk").with(r#"{"elicitation":{"url":{}}}"#);
    let stolen = other.modern("tools/call", &back).message();
    assert_ne!(stolen["result"]["resultType"], "complete", "{stolen}");
    let waits = {
        let (client, back) = (client.clone(), back.clone());
        thread::spawn(move || client.modern("tools/call", &back).message())
    };
    approve(&remit, &approval, "ann");
    assert!(went(&waits.join().unwrap()));
    // In a session the page comes as a request on the call's own stream, and the answer to that is no approval.
    let session = client.session("2025-11-25");
    let mut stream = session.request("5", "tools/call", &format!("{{\"name\":\"{CLOSE}\",\"arguments\":{DONE}}}"));
    let asked = stream.next();
    assert_eq!((&asked["method"], &asked["params"]["mode"]), (&json!("elicitation/create"), &json!("url")), "{asked}");
    session.answer(&asked["id"], r#"{"action":"accept"}"#);
    let mine = waiting(&remit).into_iter().find(|approval| approval["agent"] == "agent-1").unwrap();
    approve(&remit, &mine, "ann");
    assert!(went(&stream.message()));
}

#[test]
fn a_client_that_knows_tasks_gets_one_and_it_outlives_a_restart() {
    let remit = up(placed(&json!({"wait_secs": 30})));
    let tasks = r#"{"extensions":{"io.modelcontextprotocol/tasks":{}}}"#;
    let client = remit.client("agent-1", "helpdesk").with(tasks);
    let answer = client.call(CLOSE, DONE);
    let task = &answer["result"];
    assert_eq!((&task["resultType"], &task["status"]), (&json!("task"), &json!("working")), "{answer}");
    let (approval, id) = (only(&remit), task["taskId"].as_str().unwrap().to_owned());
    assert_eq!(approval["id"], json!(id));
    let about = json!({"taskId": id}).to_string();
    let get = |client: &Client| client.modern("tasks/get", &about).message();
    assert_eq!(get(&client)["result"]["status"], "working");
    // Nobody else's, and nobody's who doesn't know tasks.
    assert_eq!(get(&remit.client("agent-2", "helpdesk").with(tasks))["error"]["message"], "no such task");
    assert_eq!(get(&remit.client("agent-1", "helpdesk"))["error"]["code"], -32021);
    let remit = up(remit.kill());
    approve(&remit, &approval, "ann");
    let client = remit.client("agent-1", "helpdesk").with(tasks);
    until("the task has come to its end", || get(&client)["result"]["status"] != "working");
    let ended = get(&client);
    assert_eq!(
        (&ended["result"]["status"], &ended["result"]["resultType"]),
        (&json!("completed"), &json!("complete")),
        "{ended}"
    );
    assert_eq!(ended["result"]["result"]["isError"], false, "{ended}");
    assert_eq!(say(&remit, &["show", &id]).1["state"], "REDEEMED");
    // A task that its caller cancels takes its approval with it; one that people reject fails.
    let other = client.call(CLOSE, r#"{"ticket_id":"TCK-1002","resolution":"done"}"#)["result"]["taskId"].clone();
    let cancelled = client.modern("tasks/cancel", &json!({"taskId": other}).to_string()).message();
    assert!(cancelled.get("result").is_some(), "{cancelled}");
    assert_eq!(client.modern("tasks/get", &json!({"taskId": other}).to_string()).message()["result"]["status"], "cancelled");
    let third = client.call(CLOSE, r#"{"ticket_id":"TCK-1003","resolution":"done"}"#)["result"]["taskId"].clone();
    say(&remit, &["reject", third.as_str().unwrap(), "--by", "bob", "--reason", "not now"]);
    let failed = client.modern("tasks/get", &json!({"taskId": third}).to_string()).message();
    assert_eq!(
        (&failed["result"]["status"], &failed["result"]["statusMessage"]),
        (&json!("failed"), &json!("not now")),
        "{failed}"
    );
}

/// A session's server that makes tasks of calls that ask for it, and whose tasks have ended when they are asked for.
fn maker_of_tasks() -> Upstream {
    let server = Upstream::start(Era::Legacy);
    server.on(|seen, reply| {
        let task = |status: &str| format!(r#""taskId":"t-7","status":"{status}","createdAt":"2026-01-01T00:00:00Z","ttl":60000"#);
        let answer = match seen.method().as_str() {
            "tools/call" if seen.params().get("task").is_some() => format!(r#"{{"task":{{{}}}}}"#, task("working")),
            "tools/call" => r#"{"content":[],"isError":false,"x":"plain"}"#.to_owned(),
            "tasks/get" | "tasks/cancel" => format!("{{{}}}", task("completed")),
            "tasks/result" => {
                r#"{"content":[],"isError":false,"x":"made","_meta":{"io.modelcontextprotocol/related-task":{"taskId":"t-7"}}}"#
                    .to_owned()
            }
            _ => return false,
        };
        reply.json(&seen.result(&answer));
        true
    });
    server
}

#[test]
fn a_session_that_asks_for_a_task_gets_one_while_people_decide() {
    let server = maker_of_tasks();
    let place = Place::new();
    let mut whole = config(&[server.server("a")]);
    whole["approval_rules"] = json!([{"id": "echoes", "hold": {"tools": ["a___echo"]}, "ask": {"wait_secs": 30}}]);
    whole["approvers"] = json!([{"id": "ann"}, {"id": "bob"}]);
    place.write(&whole);
    let remit = Remit::up_at(place, &[]);
    remit.until_server("a", "ready");
    let session = remit.client("agent-1", "a").session("2025-11-25");
    let hold = |n: u8| {
        let params = format!(r#"{{"name":"a___echo","arguments":{{"n":{n}}},"task":{{"ttl":60000}}}}"#);
        let created = session.request("1", "tools/call", &params).message();
        let task = &created["result"]["task"];
        assert_eq!((&task["status"], &task["pollInterval"]), (&json!("working"), &json!(2000)), "{created}");
        task["taskId"].as_str().unwrap().to_owned()
    };
    let ask =
        |session: &Session, method: &str, id: &str| session.request("2", method, &json!({"taskId": id}).to_string()).message();
    let first = hold(1);
    assert_eq!(id(&only(&remit)), first);
    assert_eq!(ask(&session, "tasks/get", &first)["result"]["status"], "working");
    let listed = session.request("3", "tasks/list", "{}").message();
    assert_eq!(listed["result"]["tasks"][0]["taskId"], json!(first), "{listed}");
    // To others there is no such task.
    let other = remit.client("agent-2", "a").session("2025-11-25");
    for method in ["tasks/get", "tasks/result", "tasks/cancel"] {
        assert_eq!(ask(&other, method, &first)["error"]["message"], "no such task");
    }
    assert_eq!(other.request("3", "tasks/list", "{}").message()["result"]["tasks"], json!([]));
    assert_eq!(server.calls(), 0, "nothing has gone to the server");
    // Whoever asks for the result waits for people, and then for the server's own task: under the id that it knows.
    let mut stream = session.request("4", "tasks/result", &json!({"taskId": first}).to_string());
    approve(&remit, &only(&remit), "ann");
    let result = stream.message();
    assert_eq!((&result["id"], &result["result"]["x"]), (&json!(4), &json!("made")), "{result}");
    let related = &result["result"]["_meta"]["io.modelcontextprotocol/related-task"]["taskId"];
    assert_eq!(related, &json!(first), "{result}");
    let ended = ask(&session, "tasks/get", &first);
    assert_eq!((&ended["result"]["taskId"], &ended["result"]["status"]), (&json!(first), &json!("completed")), "{ended}");
    let went = server.wait("the call", |seen| seen.calls("echo"));
    assert_eq!((&went.params()["arguments"], &went.params()["task"]), (&json!({"n": 1}), &json!({})));
    // Rejected, the result says so; cancelled, the approval is gone; and either only once.
    let second = hold(2);
    let mut stream = session.request("5", "tasks/result", &json!({"taskId": second}).to_string());
    say(&remit, &["reject", &second, "--by", "bob", "--reason", "not now"]);
    let rejected = stream.message();
    assert!(rejected["result"]["isError"] == true && text(&rejected).contains("not now"), "{rejected}");
    let failed = ask(&session, "tasks/get", &second);
    assert_eq!((&failed["result"]["status"], &failed["result"]["statusMessage"]), (&json!("failed"), &json!("not now")));
    assert_eq!(ask(&session, "tasks/cancel", &second)["error"]["code"], -32602);
    let third = hold(3);
    assert_eq!(ask(&session, "tasks/cancel", &third)["result"]["status"], "cancelled");
    assert_eq!(say(&remit, &["show", &third]).1["state"], "REVOKED");
    assert_eq!(ask(&session, "tasks/cancel", &third)["error"]["code"], -32602);
    assert_eq!(server.seen().iter().filter(|seen| seen.method() == "tools/call").count(), 1);
    // A restart loses the session, not the task.
    let fourth = hold(4);
    let remit = Remit::up_at(remit.kill(), &[]);
    remit.until_server("a", "ready");
    let session = remit.client("agent-1", "a").session("2025-11-25");
    approve(&remit, &only(&remit), "ann");
    let result = session.request("6", "tasks/result", &json!({"taskId": fourth}).to_string()).message();
    assert_eq!(result["result"]["x"], "made", "{result}");
    // A call that doesn't ask for a task, and one in a session of before, keep their streams.
    for version in ["2025-11-25", "2025-06-18"] {
        let session = remit.client("agent-1", "a").session(version);
        let task = if version == "2025-11-25" { "" } else { r#","task":{}"# };
        let params = format!("{{\"name\":\"a___echo\",\"arguments\":{{\"v\":\"{version}\"}}{task}}}");
        let mut stream = session.request("7", "tools/call", &params);
        approve(&remit, &only(&remit), "ann");
        assert!(stream.message().get("result").is_some());
    }
}

#[test]
fn two_calls_at_once_use_one_approval_once() {
    let remit = up(placed(&json!({"wait_secs": 1})));
    let client = remit.client("agent-1", "helpdesk");
    for _ in 0..5 {
        client.call(CLOSE, DONE);
        let approval = only(&remit);
        approve(&remit, &approval, "ann");
        let calls: Vec<_> = (0..6)
            .map(|_| {
                let client = client.clone();
                thread::spawn(move || went(&client.call(CLOSE, DONE)))
            })
            .collect();
        let gone = calls.into_iter().map(|call| call.join().unwrap()).filter(|went| *went).count();
        assert_eq!(gone, 1);
        let (code, _) = say(&remit, &["revoke", &id(&only(&remit)), "--reason", "next round"]);
        assert_eq!(code, 0);
    }
}

#[test]
fn what_is_stopped_loses_its_approvals_and_other_doors_hold_too() {
    let remit = up(placed(&json!({"wait_secs": 1})));
    let client = remit.client("agent-1", "helpdesk");
    client.call(CLOSE, DONE);
    approve(&remit, &only(&remit), "ann");
    client.call(CLOSE, r#"{"ticket_id":"TCK-1002","resolution":"done"}"#);
    let said = remit.place().cli(&["suspend", "agent", "agent-1", "--reason", "incident 7", "--by", "ann"]);
    assert_eq!(said.code, 0, "{said:?}");
    let revoked = remit.place().cli(&["approvals", "list", "--state", "REVOKED", "--json"]);
    assert_eq!((revoked.code, revoked.out.lines().count()), (0, 2), "{revoked:?}");
    assert_eq!(waiting(&remit).len(), 0);
    remit.place().cli(&["resume", "agent", "agent-1", "--reason", "over", "--by", "ann"]);
    assert!(!went(&client.call(CLOSE, DONE)), "what was agreed to before is gone");
    // Whoever only asks is told that it needs a person, and never that it may.
    let token = format!("Bearer {}", client.token);
    let question = json!({"tool_id": CLOSE}).to_string();
    let mut asked = send(remit.addr, "POST /authorize", &[("authorization", &token)], question.as_bytes());
    let told = asked.message();
    assert_eq!((asked.status, &told["approved"]), (403, &json!(false)), "{told}");
    let asked = remit.place().cli(&["explain", "--agent", "agent-1", "--tool", CLOSE, "--args", DONE, "--json"]);
    let told: Value = serde_json::from_str(&asked.out).unwrap();
    assert_eq!((asked.code, &told["verdict"], &told["denial"]["rules"]), (4, &json!("HOLD"), &json!(["closing"])), "{asked:?}");
}

fn answered(client: &Client) -> String {
    text(&client.call(CLOSE, DONE)).to_owned()
}

#[test]
fn nobody_asks_for_ever() {
    let remit = up(placed(&json!({"wait_secs": 1, "pending_secs": 1})));
    let client = remit.client("agent-1", "helpdesk");
    let said = answered(&client);
    assert!(said.contains("waits for a person's approval") || said.contains("is no more"), "{said}");
    until("it is over", || waiting(&remit).is_empty());
    let (_, all) = say(&remit, &["list", "--all"]);
    assert_eq!((&all["state"], &all["ended"]["reason"]), (&json!("EXPIRED"), &json!("nobody agreed in time")), "{all}");
}
