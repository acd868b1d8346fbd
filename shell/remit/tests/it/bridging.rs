//! Clients and servers of different revisions meet in Remit, and neither notices.

use std::sync::Mutex;
use std::sync::mpsc;

use serde_json::{Value, json};

use crate::child::Script;
use crate::client::{Answer, Client, Session, modern_headers};
use crate::faults::verdict;
use crate::gateway::{Place, Remit, config};
use crate::upstream::{Era, Upstream, tool};

const CALL: &str = r#"{"name":"a___echo","arguments":{"n":12345678901234567890123}}"#;
const OLD: [&str; 3] = ["2025-11-25", "2025-06-18", "2025-03-26"];

fn with_state(state: &str, responses: &str) -> String {
    format!(
        "{{\"name\":\"a___echo\",\"arguments\":{{\"n\":12345678901234567890123}},\"inputResponses\":{responses},\"requestState\":{}}}",
        json!(state)
    )
}

/// A gate that a test opens for a hook.
fn gate() -> (mpsc::Sender<()>, impl Fn() + Send + Sync) {
    let (open, opened) = mpsc::channel();
    let opened = Mutex::new(opened);
    (open, move || opened.lock().unwrap().recv_timeout(crate::client::DEADLINE).unwrap())
}

#[test]
fn modern_client_old_server_progress_and_logs() {
    let a = Upstream::start(Era::Legacy);
    a.on(|seen, reply| {
        if !seen.calls("echo") {
            return false;
        }
        reply.stream();
        let token = seen.params()["_meta"]["progressToken"].clone();
        for n in 1..=3 {
            reply.event(&format!(
                r#"{{"jsonrpc":"2.0","method":"notifications/progress","params":{{"progressToken":{token},"progress":{n}}}}}"#
            ));
        }
        reply.event(r#"{"jsonrpc":"2.0","method":"notifications/message","params":{"level":"info","data":"x"}}"#);
        reply.event(&seen.result(&format!("{{\"content\":[],\"x-given\":{}}}", seen.arguments())));
        true
    });
    let remit = Remit::up(&config(&[a.server("a")]));
    let mut client = remit.client("agent-1", "a");
    client.meta = r#","progressToken":"p-1""#.to_owned();
    let mut quiet = client.modern("tools/call", CALL);
    client.meta = r#","progressToken":"p-1","io.modelcontextprotocol/logLevel":"info""#.to_owned();
    let mut loud = client.modern("tools/call", CALL);
    for n in 1..=3 {
        for stream in [&mut quiet, &mut loud] {
            let progress = stream.next();
            assert_eq!((&progress["params"]["progressToken"], &progress["params"]["progress"]), (&json!("p-1"), &json!(n)));
        }
    }
    assert_eq!(loud.next()["method"], "notifications/message");
    for stream in [&mut quiet, &mut loud] {
        let done = stream.event().unwrap().data;
        assert!(
            done.contains(r#""x-given":{"n":12345678901234567890123}"#) && done.contains(r#""resultType":"complete""#),
            "{done}"
        );
        assert!(stream.event().is_none(), "the response is the last");
    }
    assert_eq!(a.wait("the level", |seen| seen.method() == "logging/setLevel").params()["level"], "info");
    let call = a.wait("the call", |seen| seen.method() == "tools/call");
    assert!(!call.body.contains("io.modelcontextprotocol") && call.header("mcp-method").is_none(), "{}", call.body);
    // The rest of what a client of its time does.
    assert_eq!(client.modern("resources/read", r#"{"uri":"test://one"}"#).message()["result"]["contents"][0]["text"], "the one");
    assert_eq!(
        client.modern("prompts/get", r#"{"name":"a___greet"}"#).message()["result"]["messages"][0]["content"]["text"],
        "hello"
    );
    let about = client.modern("server/discover", "{}").message();
    assert!(about["result"]["supportedVersions"].to_string().contains("2026-07-28"), "{about}");
    remit.stop();
}

/// An exchange that asks for input; `ask` starts it and answers the state to come back with.
fn state_is_sealed(remit: &Remit, client: &Client, key: &str) {
    let ask = || {
        let asked = client.modern("tools/call", CALL).message();
        assert_eq!(asked["result"]["resultType"], "input_required", "{asked}");
        assert_eq!(asked["result"]["inputRequests"][key]["method"], "elicitation/create", "{asked}");
        asked["result"]["requestState"].as_str().unwrap().to_owned()
    };
    let responses = format!("{{\"{key}\":{{\"action\":\"accept\",\"content\":{{\"big\":12345678901234567890123}}}}}}");
    let state = ask();
    assert!(!state.contains("upstream-state"));
    let bent = match state.strip_suffix('A') {
        Some(rest) => format!("{rest}B"),
        None => format!("{}A", &state[..state.len() - 1]),
    };
    let refused = |answer: &Value| assert_eq!(answer["error"]["code"], -32602, "{answer}");
    refused(&client.modern("tools/call", &with_state(&bent, &responses)).message());
    refused(&client.modern("tools/call", &with_state("upstream-state", &responses)).message());
    refused(&client.modern("tools/call", &with_state(&state, &responses).replace("\"n\":1", "\"n\":2")).message());
    refused(&client.modern("tools/call", &with_state(&state, &responses).replace("a___echo", "a___other")).message());
    let other = remit.client("agent-2", "a").with(&client.capabilities);
    refused(&other.modern("tools/call", &with_state(&state, &responses)).message());
    // Whoever it is for can still use it, once.
    let done = client.modern("tools/call", &with_state(&state, &responses)).text();
    assert!(done.contains("12345678901234567890123") && done.contains("accept"), "{done}");
    refused(&client.modern("tools/call", &with_state(&state, &responses)).message());
}

#[test]
fn modern_client_old_server_elicitation() {
    let a = Upstream::start(Era::Legacy);
    let watcher = a.watcher();
    a.on(move |seen, reply| {
        if !seen.calls("echo") {
            return false;
        }
        let own = format!("\"e-{}\"", seen.id());
        reply.stream();
        reply.event(&format!(r#"{{"jsonrpc":"2.0","id":{own},"method":"elicitation/create","params":{{"message":"sure?"}}}}"#));
        let answer = watcher.wait("the answer", |seen| seen.id() == own);
        let given = answer.body.split_once("\"result\":").unwrap().1;
        reply.event(&seen.result(&format!("{{\"content\":[],\"x-given\":{}}}", given.strip_suffix('}').unwrap())));
        true
    });
    let remit = Remit::up(&config(&[a.server("a")]));
    let client = remit.client("agent-1", "a").with(r#"{"elicitation":{}}"#);
    state_is_sealed(&remit, &client, "input");
    assert_eq!(a.calls(), 1, "a retry is no second call");
    remit.stop();
}

#[test]
fn modern_client_modern_server_elicitation() {
    let a = Upstream::start(Era::Modern);
    a.on(|seen, reply| {
        if !seen.calls("echo") {
            return false;
        }
        let params = seen.params();
        if params["requestState"] == "upstream-state" {
            let given = seen.body.split_once("\"inputResponses\":").unwrap().1.split(",\"requestState\"").next().unwrap();
            reply.json(&seen.result(&format!("{{\"resultType\":\"complete\",\"content\":[],\"x-given\":{given}}}")));
        } else {
            reply.json(&seen.result(
                r#"{"resultType":"input_required","inputRequests":{"k-1":{"method":"elicitation/create","params":{"message":"sure?"}}},"requestState":"upstream-state"}"#,
            ));
        }
        true
    });
    let remit = Remit::up(&config(&[a.server("a")]));
    let client = remit.client("agent-1", "a").with(r#"{"elicitation":{}}"#);
    state_is_sealed(&remit, &client, "k-1");
    remit.stop();
}

#[test]
fn old_client_modern_server() {
    let a = Upstream::start(Era::Modern);
    a.on(|seen, reply| {
        if !seen.calls("echo") {
            return false;
        }
        let params = seen.params();
        reply.stream();
        let token = &params["_meta"]["progressToken"];
        reply.event(&format!(
            r#"{{"jsonrpc":"2.0","method":"notifications/progress","params":{{"progressToken":{token},"progress":1}}}}"#
        ));
        if params["requestState"] == "st" {
            reply.event(
                &seen.result(&format!("{{\"resultType\":\"complete\",\"content\":[],\"x-given\":{}}}", params["inputResponses"])),
            );
        } else {
            let ask = |what: &str| format!(r#"{{"method":"elicitation/create","params":{{"message":"{what}"}}}}"#);
            reply.event(&seen.result(&format!(
                r#"{{"resultType":"input_required","inputRequests":{{"one":{},"two":{}}},"requestState":"st"}}"#,
                ask("one"),
                ask("two")
            )));
        }
        true
    });
    let remit = Remit::up(&config(&[a.server("a")]));
    let client = remit.client("agent-1", "a").with(r#"{"elicitation":{}}"#);
    for version in OLD {
        let session = client.session(version);
        let params = r#"{"name":"a___echo","arguments":{},"_meta":{"progressToken":7}}"#;
        let mut stream = session.request("\"c-1\"", "tools/call", params);
        assert_eq!(stream.next()["params"]["progressToken"], 7);
        for what in ["one", "two"] {
            let asked = stream.next();
            assert_eq!((&asked["method"], &asked["params"]["message"]), (&json!("elicitation/create"), &json!(what)), "{asked}");
            session.answer(&asked["id"], &format!(r#"{{"action":"accept","content":{{"of":"{what}"}}}}"#));
        }
        assert_eq!(stream.next()["method"], "notifications/progress");
        let done = stream.next();
        assert_eq!(done["id"], "c-1");
        assert_eq!(done["result"]["x-given"]["two"], json!({"action": "accept", "content": {"of": "two"}}));
        let call = a.wait("the call", |seen| seen.method() == "tools/call");
        let meta = &call.params()["_meta"];
        assert_eq!(meta["io.modelcontextprotocol/clientCapabilities"], json!({"elicitation": {}}));
        assert_eq!(call.header("mcp-session-id"), None);
        let read = session.request("2", "resources/read", r#"{"uri":"test://one"}"#).message();
        assert_eq!(read["result"]["contents"][0]["text"], "the one");
        let got = session.request("3", "prompts/get", r#"{"name":"a___greet"}"#).message();
        assert_eq!(got["result"]["messages"][0]["role"], "user");
    }
    // A client that can't be asked gets an error, and the server is not kept waiting.
    let plain = remit.client("agent-1", "a").session("2025-11-25");
    let refused = plain.call("a___echo", "{}");
    assert_eq!(refused["error"]["code"], -32603, "{refused}");
    remit.stop();
}

/// Waits for a notification on a stream.
fn hears(stream: &mut Answer, method: &str) -> Value {
    loop {
        let next = stream.next();
        if next["method"] == method {
            return next;
        }
    }
}

#[test]
fn changes_are_told_in_every_combination() {
    for era in [Era::Modern, Era::Legacy] {
        let a = Upstream::start(era);
        let mut config = config(&[a.server("a")]);
        config["tool_policies"]
            .as_array_mut()
            .unwrap()
            .push(json!({"agent": "agent-1", "tool": "a___resources/other://*", "allowed": false}));
        let remit = Remit::up(&config);
        let client = remit.client("agent-1", "a");
        let own = client.session("2025-11-25");
        assert_eq!(verdict(&own.call("a___echo", "{}")), "ok");
        let mut old = own.listen(None);
        assert_eq!(old.status, 200);
        let said = own.request("1", "resources/subscribe", r#"{"uri":"test://one"}"#).message();
        assert_eq!(said["result"], json!({}), "{said}");
        let wanted = r#"{"notifications":{"toolsListChanged":true,"resourceSubscriptions":["test://one","other://refused"]}}"#;
        let mut new = client.modern("subscriptions/listen", wanted);
        let first = new.next();
        assert_eq!(first["method"], "notifications/subscriptions/acknowledged");
        assert_eq!(first["params"]["notifications"], json!({"toolsListChanged": true, "resourceSubscriptions": ["test://one"]}));
        // Gateway's own, the old client's, the modern client's.
        match era {
            Era::Modern => a.wait_streams(3),
            Era::Legacy => {
                crate::gateway::until("both subscriptions", || {
                    a.seen().iter().filter(|seen| seen.method() == "resources/subscribe").count() == 2
                });
                a.wait_streams(3);
            }
        }
        a.push("notifications/resources/updated", r#"{"uri":"test://one","x-unknown":12345678901234567890123}"#);
        let updated = hears(&mut old, "notifications/resources/updated");
        assert_eq!(updated["params"]["uri"], "test://one");
        assert!(!updated.to_string().contains("subscriptionId"), "{updated}");
        let updated = hears(&mut new, "notifications/resources/updated");
        assert_eq!(updated["params"]["_meta"]["io.modelcontextprotocol/subscriptionId"], "q", "{updated}");
        a.set_tools(vec![tool("echo")]);
        a.push("notifications/tools/list_changed", "{}");
        hears(&mut old, "notifications/tools/list_changed");
        let changed = hears(&mut new, "notifications/tools/list_changed");
        assert_eq!(changed["params"]["_meta"]["io.modelcontextprotocol/subscriptionId"], "q", "{changed}");
        assert_eq!(client.tools(), ["a___echo"]);
        remit.stop();
    }
}

#[test]
fn batches_are_for_those_who_knew_them() {
    let a = Upstream::start(Era::Modern);
    let remit = Remit::up(&config(&[a.server("a")]));
    let client = remit.client("agent-1", "a");
    let batch = format!(
        r#"[{{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{CALL}}},{{"jsonrpc":"2.0","method":"notifications/x"}},{{"jsonrpc":"2.0","id":"two","method":"ping"}},{{"jsonrpc":"2.0","id":3,"method":"tools/call","params":{{"name":"nothing"}}}}]"#
    );
    let text = client.session("2025-03-26").post(&batch).is(200);
    assert!(text.contains(r#""x-given":{"n":12345678901234567890123}"#), "{text}");
    let answers: Vec<Value> = serde_json::from_str(&text).unwrap();
    assert_eq!(answers.iter().map(|answer| answer["id"].clone()).collect::<Vec<_>>(), [json!(1), json!("two"), json!(3)]);
    assert_eq!(answers[2]["error"]["data"]["reason"], "tool_not_listed");
    for version in ["2025-06-18", "2025-11-25"] {
        client.session(version).post(&batch).is(400);
    }
    client.post(&[("mcp-protocol-version", "2026-07-28")], batch.as_bytes()).is(400);
    assert_eq!(a.calls(), 1);
    remit.stop();
}

/// A server that takes calls of `echo` and says nothing, at once or after an event, until it is cancelled.
fn silent(era: Era, streams: bool) -> (Upstream, mpsc::Receiver<()>) {
    let a = Upstream::start(era);
    let (gone, has_gone) = mpsc::channel();
    let gone = Mutex::new(gone);
    a.on(move |seen, reply| {
        if !seen.calls("echo") {
            return false;
        }
        if streams {
            reply.stream();
            reply.event(r#"{"jsonrpc":"2.0","method":"notifications/progress","params":{"progressToken":1,"progress":1}}"#);
        }
        reply.hold();
        let _ = gone.lock().unwrap().send(());
        true
    });
    (a, has_gone)
}

/// What a server of an era sees of a cancellation.
fn sees_the_end(a: &Upstream, era: Era, gone: &mpsc::Receiver<()>) {
    let call = a.wait("the call", |seen| seen.calls("echo"));
    if era == Era::Legacy {
        let cancelled = a.wait("the cancellation", |seen| seen.method() == "notifications/cancelled");
        assert_eq!(cancelled.params()["requestId"].to_string(), call.id());
        assert_eq!(cancelled.header("mcp-session-id"), call.header("mcp-session-id"));
    }
    gone.recv_timeout(crate::client::DEADLINE).expect("the exchange went on");
}

fn ended_as_cancelled(remit: &Remit) {
    crate::gateway::until("the outcome", || remit.place().log_of("outcome").iter().any(|entry| entry["outcome"] == "cancelled"));
}

#[test]
fn a_session_cancels_with_a_notification_and_not_by_leaving() {
    for (era, streams) in [(Era::Legacy, true), (Era::Modern, true), (Era::Legacy, false), (Era::Modern, false)] {
        let (a, gone) = silent(era, streams);
        let remit = Remit::up(&config(&[a.server("a")]));
        let session = remit.client("agent-1", "a").session("2025-11-25");
        let (at, other) = (session.clone(), remit.client("agent-2", "a").session("2025-11-25"));
        let call = std::thread::spawn(move || {
            drop(at.request("\"c\"", "tools/call", r#"{"name":"a___echo","arguments":{},"_meta":{"progressToken":1}}"#));
        });
        a.wait("the call", |seen| seen.calls("echo"));
        if streams {
            // The head was read and the connection dropped: the call goes on.
            call.join().unwrap();
            assert!(gone.try_recv().is_err());
        }
        let cancel = r#"{"jsonrpc":"2.0","method":"notifications/cancelled","params":{"requestId":"c"}}"#;
        assert_eq!(other.tell(cancel), 202);
        assert_eq!(verdict(&session.call("a___other", "{}")), "ok");
        assert!(gone.try_recv().is_err(), "another session's call was cancelled");
        assert_eq!(session.tell(cancel), 202);
        sees_the_end(&a, era, &gone);
        ended_as_cancelled(&remit);
        remit.stop();
    }
}

#[test]
fn a_modern_client_cancels_by_leaving() {
    for (era, streams) in [(Era::Legacy, true), (Era::Modern, true), (Era::Modern, false), (Era::Legacy, false)] {
        let (a, gone) = silent(era, streams);
        let remit = Remit::up(&config(&[a.server("a")]));
        let client = remit.client("agent-1", "a");
        let mut wire = crate::client::connect(remit.addr);
        let body = client.modern_body("tools/call", CALL);
        let token = format!("Bearer {}", client.token);
        let host = remit.addr.to_string();
        let own = modern_headers("tools/call", CALL);
        let mut headers = vec![("host", host.as_str()), ("authorization", &token), ("content-type", "application/json")];
        headers.extend(own.iter().map(|(name, value)| (name.as_str(), value.as_str())));
        std::io::Write::write_all(
            &mut wire,
            &crate::client::request_text(&format!("POST {}", client.path), &headers, body.as_bytes()),
        )
        .unwrap();
        a.wait("the call", |seen| seen.calls("echo"));
        drop(wire);
        sees_the_end(&a, era, &gone);
        ended_as_cancelled(&remit);
        remit.stop();
    }
}

#[test]
fn a_lost_stream_is_taken_up() {
    for era in [Era::Legacy, Era::Modern] {
        let a = Upstream::start(era);
        let (open, opened) = gate();
        a.on(move |seen, reply| {
            if !seen.calls("echo") {
                return false;
            }
            reply.stream();
            for n in 1..=3 {
                reply.event(&format!(
                    r#"{{"jsonrpc":"2.0","method":"notifications/progress","params":{{"progressToken":1,"progress":{n}}}}}"#
                ));
            }
            opened();
            reply.event(&seen.result(r#"{"content":[],"x":"done"}"#));
            true
        });
        let remit = Remit::up(&config(&[a.server("a")]));
        let session = remit.client("agent-1", "a").session("2025-11-25");
        let mut stream = session.request("1", "tools/call", r#"{"name":"a___echo","arguments":{},"_meta":{"progressToken":1}}"#);
        let priming = stream.event().unwrap();
        assert!(priming.id.is_some() && priming.data.is_empty(), "2025-11-25 begins with an event that only has an id");
        let first = stream.event().unwrap();
        assert!(first.data.contains("\"progress\":1"), "{first:?}");
        drop(stream);
        let foreign: Session = remit.client("agent-2", "a").session("2025-11-25");
        assert_eq!(foreign.listen(first.id.as_deref()).status, 404, "another session's stream");
        assert_eq!(session.listen(Some("made-up-7")).status, 404);
        let mut again = session.listen(first.id.as_deref());
        for n in 2..=3 {
            assert_eq!(again.next()["params"]["progress"], n);
        }
        open.send(()).unwrap();
        assert_eq!(again.next()["result"]["x"], "done");
        assert!(again.event().is_none());
        remit.stop();
    }
}

#[test]
fn a_stream_that_the_server_breaks_off_is_taken_up() {
    let a = Upstream::start(Era::Legacy);
    a.on(|seen, reply| {
        if seen.calls("echo") {
            reply.stream();
            reply.raw(format!("id: {}-1\nretry: 10\ndata:\n\n", seen.id()).as_bytes());
            return true;
        }
        match seen.header("last-event-id") {
            Some(last) => {
                let id = last.strip_suffix("-1").unwrap();
                reply.stream();
                reply.event(&format!("{{\"jsonrpc\":\"2.0\",\"id\":{id},\"result\":{{\"content\":[],\"x\":\"resumed\"}}}}"));
                true
            }
            None => false,
        }
    });
    let remit = Remit::up(&config(&[a.server("a")]));
    let client = remit.client("agent-1", "a");
    assert_eq!(client.call("a___echo", "{}")["result"]["x"], "resumed");
    assert_eq!(client.session("2025-11-25").call("a___echo", "{}")["result"]["x"], "resumed");
    remit.stop();
}

#[test]
fn tasks_are_their_principals_alone() {
    let a = Upstream::start(Era::Modern);
    a.on(|seen, reply| match seen.method().as_str() {
        "tools/call" => {
            reply.json(&seen.result(r#"{"resultType":"task","taskId":"t-1","status":"working","ttlMs":60000}"#));
            true
        }
        "tasks/get" | "tasks/cancel" => {
            reply.json(&seen.result(r#"{"resultType":"complete","taskId":"t-1","status":"completed"}"#));
            true
        }
        _ => false,
    });
    let b = Upstream::start(Era::Legacy);
    b.on(|seen, reply| match seen.method().as_str() {
        "tools/call" => {
            reply.json(&seen.result(r#"{"task":{"taskId":"t-9","status":"working"}}"#));
            true
        }
        "tasks/get" | "tasks/cancel" | "tasks/result" => {
            reply.json(&seen.result(r#"{"taskId":"t-9","status":"completed"}"#));
            true
        }
        "tasks/list" => {
            reply.json(
                &seen.result(r#"{"tasks":[{"taskId":"t-9","status":"working"},{"taskId":"t-of-another","status":"working"}]}"#),
            );
            true
        }
        _ => false,
    });
    let remit = Remit::up(&config(&[a.server("a"), b.server("b")]));
    let capable = r#"{"extensions":{"io.modelcontextprotocol/tasks":{}}}"#;
    let (mine, other) = (remit.client("agent-1", "a").with(capable), remit.client("agent-2", "a").with(capable));
    assert_eq!(mine.call("a___echo", "{}")["result"]["taskId"], "t-1");
    for method in ["tasks/get", "tasks/cancel", "tasks/update"] {
        let refused = other.modern(method, r#"{"taskId":"t-1"}"#).message();
        assert_eq!(refused["error"]["code"], -32602, "{refused}");
        assert_eq!(mine.modern(method, r#"{"taskId":"t-2"}"#).message()["error"]["code"], -32602);
    }
    assert_eq!(remit.client("agent-1", "a").modern("tasks/get", r#"{"taskId":"t-1"}"#).message()["error"]["code"], -32021);
    assert!(!a.seen().iter().any(|seen| seen.method().starts_with("tasks/")), "nothing of that went upstream");
    assert_eq!(mine.modern("tasks/get", r#"{"taskId":"t-1"}"#).message()["result"]["status"], "completed");
    assert_eq!(a.wait("the question", |seen| seen.method() == "tasks/get").header("mcp-name"), Some("t-1"));
    let (mine, other) = (remit.client("agent-1", "b").session("2025-11-25"), remit.client("agent-2", "b").session("2025-11-25"));
    assert_eq!(mine.call("b___echo", "{}")["result"]["task"]["taskId"], "t-9");
    assert_eq!(other.request("1", "tasks/get", r#"{"taskId":"t-9"}"#).message()["error"]["code"], -32602);
    assert_eq!(other.request("1", "tasks/list", "{}").message()["result"]["tasks"], json!([]));
    assert_eq!(mine.request("1", "tasks/list", "{}").message()["result"]["tasks"].as_array().unwrap().len(), 1);
    assert_eq!(mine.request("1", "tasks/get", r#"{"taskId":"t-9"}"#).message()["result"]["status"], "completed");
    remit.stop();
}

#[test]
fn a_child_hears_that_nobody_waits() {
    let place = Place::new();
    let script = Script::write(place.root());
    place.write(&config(&[script.server("sh")]));
    let gate = place.root().join("gate");
    assert!(std::process::Command::new("mkfifo").arg(&gate).status().unwrap().success());
    let remit = Remit::up_at(place, &[]);
    let client = remit.client("agent-1", "sh");
    let session = client.session("2025-11-25");
    let params = format!("{{\"name\":\"sh___wait\",\"arguments\":{{\"wait\":{}}}}}", json!(gate));
    for (cancelled, modern) in [(1, true), (2, false)] {
        let stream = if modern { client.modern("tools/call", &params) } else { session.request("\"c\"", "tools/call", &params) };
        // The script reads nothing else while it reads from this.
        let mut open = std::fs::OpenOptions::new().write(true).open(&gate).unwrap();
        if modern {
            drop(stream);
        } else {
            assert_eq!(session.tell(r#"{"jsonrpc":"2.0","method":"notifications/cancelled","params":{"requestId":"c"}}"#), 202);
        }
        // Only what is still under way can be cancelled.
        let ended = || remit.place().log_of("outcome").iter().filter(|entry| entry["outcome"] == "cancelled").count();
        crate::gateway::until("the outcome", || ended() == cancelled);
        std::io::Write::write_all(&mut open, b"go on\n").unwrap();
        crate::gateway::until("the cancellation", || script.cancelled() == cancelled);
        assert_eq!(verdict(&client.call("sh___environment", "{}")), "ok");
    }
    remit.stop();
}

#[test]
fn a_server_that_takes_too_long_is_told() {
    for streams in [true, false] {
        let (a, gone) = silent(Era::Legacy, streams);
        let mut server = a.server("a");
        server["limits"] = json!({"call_timeout_ms": 1000});
        let remit = Remit::up(&config(&[server]));
        let answer = remit.client("agent-1", "a").call("a___echo", "{}");
        assert!(answer["error"]["message"].as_str().unwrap().contains("did not answer in time"), "{answer}");
        sees_the_end(&a, Era::Legacy, &gone);
        remit.stop();
    }
}

#[test]
fn a_completion_names_the_servers_own_prompt() {
    for era in [Era::Legacy, Era::Modern] {
        let a = Upstream::start(era);
        a.on(move |seen, reply| {
            if seen.method() != "completion/complete" {
                return false;
            }
            let complete = if era == Era::Modern { "\"resultType\":\"complete\"," } else { "" };
            reply.json(&seen.result(&format!("{{{complete}\"completion\":{{\"values\":[{}]}}}}", seen.params()["ref"]["name"])));
            true
        });
        let remit = Remit::up(&config(&[a.server("a")]));
        let client = remit.client("agent-1", "a");
        let params = |name: &str| {
            format!("{{\"ref\":{{\"type\":\"ref/prompt\",\"name\":\"{name}\"}},\"argument\":{{\"name\":\"x\",\"value\":\"y\"}}}}")
        };
        let session = client.session("2025-11-25");
        for ask in [
            |client: &Client, _: &Session, params: &str| client.modern("completion/complete", params),
            |_: &Client, session: &Session, params: &str| session.request("1", "completion/complete", params),
        ] {
            assert_eq!(
                ask(&client, &session, &params("a___greet")).message()["result"]["completion"]["values"],
                json!(["greet"])
            );
            assert_eq!(verdict(&ask(&client, &session, &params("greet")).message()), "tool_not_listed");
        }
        remit.stop();
    }
}

#[test]
fn whoever_is_stopped_has_no_call_under_way() {
    for (era, streams) in [(Era::Legacy, true), (Era::Modern, true), (Era::Legacy, false), (Era::Modern, false)] {
        let (a, gone) = silent(era, streams);
        let remit = Remit::up(&config(&[a.server("a")]));
        let client = remit.client("agent-1", "a");
        for session in [Some(client.session("2025-11-25")), None] {
            let (calls, asks) = (a.calls(), client.clone());
            let call = std::thread::spawn(move || {
                let params = r#"{"name":"a___echo","arguments":{},"_meta":{"progressToken":1}}"#;
                match session {
                    Some(session) => session.request("\"c\"", "tools/call", params).message(),
                    None => asks.call("a___echo", "{}"),
                }
            });
            crate::gateway::until("the call is under way", || a.calls() > calls);
            let switch = |verb: &str| {
                let said = remit.place().cli(&[verb, "agent", "agent-1", "--reason", "incident 7", "--by", "ana"]);
                assert_eq!(said.code, 0, "{said:?}");
            };
            switch("suspend");
            let answer = call.join().unwrap();
            assert_eq!(verdict(&answer), "suspended", "{answer}");
            assert!(answer.to_string().contains("was suspended by ana: incident 7"), "{answer}");
            gone.recv_timeout(crate::client::DEADLINE).expect("the exchange went on");
            switch("resume");
        }
        let place = remit.stop();
        let cut = place.log_of("outcome").iter().filter(|entry| entry["outcome"] == "cancelled").count();
        assert_eq!(cut, 2);
    }
}
