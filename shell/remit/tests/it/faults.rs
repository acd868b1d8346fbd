//! The faults of the best of the other gateways, each as a test that Remit doesn't share it.

use serde_json::{Value, json};

use crate::child::Script;
use crate::client::{names, send};
use crate::gateway::{Place, Remit, config};
use crate::upstream::{Era, Upstream, tool};

/// What a call came to: `ok`, or the reason of the denial.
pub(crate) fn verdict(answer: &Value) -> &str {
    match (answer.get("result"), answer.pointer("/error/data/reason")) {
        (Some(_), _) => "ok",
        (None, Some(reason)) => reason.as_str().unwrap(),
        (None, None) => panic!("neither a result nor a denial: {answer}"),
    }
}

#[test]
fn a_forged_session_is_nobodys_and_goes_nowhere() {
    let a = Upstream::start(Era::Legacy);
    let remit = Remit::up(&config(&[a.server("a")]));
    let mut session = remit.client("agent-1", "a").session("2025-11-25");
    assert_eq!(verdict(&session.call("a___echo", "{}")), "ok");
    let own = session.id.clone();
    let theirs = a.wait("the call", |seen| seen.calls("echo")).header("mcp-session-id").unwrap().to_owned();
    assert!(!own.contains(&theirs), "the upstream's session must not show");
    let calls = a.calls();
    for forged in
        [theirs.as_str(), "dXBzdHJlYW0tc2Vzc2lvbi0x", "00000000000000000000000000000000", &own[..31], &format!("{own}0"), "../x"]
    {
        session.id = forged.to_owned();
        session.request("1", "tools/call", r#"{"name":"a___echo","arguments":{}}"#).is(404);
        assert_eq!(session.listen(None).status, 404);
        assert_eq!(session.end(), 404);
    }
    assert_eq!(a.calls(), calls);
    assert!(
        !a.seen().iter().any(|seen| seen.headers.iter().any(|(_, value)| value.contains(&own))),
        "our session must not go upstream"
    );
    remit.stop();
}

#[test]
fn a_session_is_its_principals_alone() {
    let (a, b) = (Upstream::start(Era::Legacy), Upstream::start(Era::Legacy));
    let remit = Remit::up(&config(&[a.server("a"), b.server("b")]));
    let session = remit.client("agent-1", "a").session("2025-11-25");
    let mut stolen = session.clone();
    for (agent, space) in [("agent-2", "a"), ("agent-1", "b"), ("agent-2", "b")] {
        stolen.client = remit.client(agent, space);
        assert_eq!(stolen.request("1", "tools/list", "{}").status, 404, "{agent} in {space}");
        assert_eq!(stolen.listen(None).status, 404);
        assert_eq!(stolen.tell(r#"{"jsonrpc":"2.0","method":"notifications/cancelled","params":{"requestId":1}}"#), 404);
        assert_eq!(stolen.end(), 404);
    }
    assert_eq!(verdict(&session.call("a___echo", "{}")), "ok");
    assert_eq!(session.end(), 200);
    assert_eq!(session.request("1", "tools/list", "{}").status, 404);
    remit.stop();
}

#[test]
fn a_reload_holds_for_sessions_that_are_open() {
    let a = Upstream::start(Era::Legacy);
    let mut config = config(&[a.server("a")]);
    let remit = Remit::up(&config);
    let session = remit.client("agent-1", "a").session("2025-11-25");
    assert_eq!(verdict(&session.call("a___echo", "{}")), "ok");
    config["tool_policies"].as_array_mut().unwrap().push(json!({"agent": "agent-1", "tool": "a___echo", "allowed": false}));
    remit.configure(&config);
    assert_eq!(verdict(&session.call("a___echo", "{}")), "tool_not_permitted");
    let listed = session.request("2", "tools/list", "{}").message();
    assert_eq!(names(&listed, "tools", "name"), ["a___other"]);
    config["spaces"][0]["agents"] = json!(["agent-2"]);
    remit.configure(&config);
    let mut answer = session.request("3", "tools/list", "{}");
    let status = answer.status;
    assert_eq!((status, verdict(&answer.message())), (403, "not_in_space"));
    remit.stop();
}

#[test]
fn every_page_of_a_server_is_served_and_ours_can_be_turned() {
    let (a, b) = (Upstream::start(Era::Legacy), Upstream::start(Era::Modern));
    a.set_page(2);
    a.set_tools((0..7).map(|n| tool(&format!("t{n}"))).collect());
    // More bytes than one page of ours holds.
    let big = |n| tool(&format!("t{n:03}")).replace("\"description\":\"", &format!("\"description\":\"{}", "x".repeat(20_000)));
    b.set_page(100);
    b.set_tools((0..300).map(big).collect());
    let remit = Remit::up(&config(&[a.server("a"), b.server("b")]));
    ["a", "b"].iter().for_each(|server| remit.until_server(server, "ready"));
    assert_eq!(remit.client("agent-1", "a").tools(), (0..7).map(|n| format!("a___t{n}")).collect::<Vec<_>>());
    let client = remit.client("agent-1", "b");
    let (mut all, mut pages, mut params) = (Vec::new(), 0, "{}".to_owned());
    loop {
        let page = client.modern("tools/list", &params).message();
        all.extend(names(&page, "tools", "name"));
        pages += 1;
        match page["result"]["nextCursor"].as_str() {
            Some(cursor) => params = json!({"cursor": cursor}).to_string(),
            None => break,
        }
    }
    assert!(pages > 1, "one page of 6 MB");
    assert_eq!(all, (0..300).map(|n| format!("b___t{n:03}")).collect::<Vec<_>>());
    let refused = client.modern("tools/list", r#"{"cursor":"made up"}"#).message();
    assert_eq!(refused["error"]["code"], -32602);
    remit.stop();
}

#[test]
fn what_nobody_knows_is_kept_to_the_byte() {
    let unknown = r#""x-unknown" : {"b":1, "a":12345678901234567890123, "f":1.10, "e":"\u00e9"}"#;
    for era in [Era::Legacy, Era::Modern] {
        let a = Upstream::start(era);
        a.set_tools(vec![tool("echo").replace("\"description\"", &format!("{unknown},\"description\""))]);
        let remit = Remit::up(&config(&[a.server("a")]));
        let client = remit.client("agent-1", "a");
        let listed = client.modern("tools/list", "{}").text();
        assert!(listed.contains(unknown), "{listed}");
        let arguments = r#"{ "n":12345678901234567890123, "x" : [1.0, 1e400, -0], "s":"\u00e9\/" }"#;
        let answer = client.modern("tools/call", &format!(r#"{{"name":"a___echo","arguments":{arguments}}}"#)).text();
        // A number that no number type holds can't be checked against the schema: refused, never rounded.
        assert!(answer.contains("could_not_decide"), "{answer}");
        let arguments = arguments.replace("1e400", "1e2");
        let params = format!(r#"{{"name":"a___echo","arguments":{arguments}}}"#);
        let answers = [
            client.modern("tools/call", &params).text(),
            client.session("2025-06-18").request("1", "tools/call", &params).text(),
        ];
        for answer in answers {
            assert!(
                answer.contains(&format!("\"x-given\":{arguments},\"x-unknown\":{{\"b\":1,\"a\":12345678901234567890123}}")),
                "{answer}"
            );
        }
        assert!(a.seen().iter().filter(|seen| seen.method() == "tools/call").all(|seen| seen.arguments() == arguments));
        remit.stop();
    }
}

#[test]
fn nothing_is_open_because_a_rule_is_missing_or_broken() {
    let a = Upstream::start(Era::Modern);
    let unreadable = [
        r#"{"name":"remote","inputSchema":{"$ref":"http://127.0.0.1:1/schema"}}"#,
        r#"{"name":"pattern","inputSchema":{"type":"object","properties":{"a":{"pattern":"("}}}}"#,
        r#"{"name":"kind","inputSchema":{"type":"nonsense"}}"#,
        r#"{"name":"none"}"#,
    ];
    a.set_tools(unreadable.iter().map(|text| (*text).to_owned()).chain([tool("echo")]).collect());
    let mut config = config(&[a.server("a")]);
    let remit = Remit::up(&config);
    let client = remit.client("agent-1", "a");
    assert_eq!(client.tools(), ["a___echo"]);
    for name in ["remote", "pattern", "kind", "none"] {
        assert_eq!(verdict(&client.call(&format!("a___{name}"), "{}")), "tool_not_listed", "{name}");
    }
    assert_eq!(remit.status()["findings"].as_array().unwrap().len(), 4);
    config["tool_policies"] = json!([]);
    remit.configure(&config);
    assert_eq!(verdict(&client.call("a___echo", "{}")), "unknown_agent");
    assert!(client.tools().is_empty());
    config["tool_policies"] = json!([{"agent": "agent-1", "tool": "a___other", "max_risk": "critical"}]);
    remit.configure(&config);
    assert_eq!(verdict(&client.call("a___echo", "{}")), "tool_not_permitted");
    assert_eq!(a.calls(), 0);
    remit.stop();
}

#[test]
fn a_denial_looks_like_one() {
    let a = Upstream::start(Era::Modern);
    let mut config = config(&[a.server("a")]);
    config["servers"][0]["tools"] = json!({"echo": {"risk": "critical"}});
    config["tool_policies"] = json!([{"agent": "agent-1", "tool": "a___*", "max_risk": "high"}]);
    let remit = Remit::up(&config);
    let client = remit.client("agent-1", "a");
    let params = r#"{"name":"a___echo","arguments":{}}"#;
    let mut modern = client.modern("tools/call", params);
    assert_eq!(modern.status, 200);
    let session = client.session("2025-11-25");
    for denied in [modern.message(), session.request("1", "tools/call", params).message()] {
        let error = &denied["error"];
        assert_eq!(
            (&error["code"], &error["data"]["reason"], &error["data"]["layer"]),
            (&json!(-32003), &json!("risk_exceeds_policy"), &json!("TOOL_POLICY"))
        );
        let layers: Vec<&str> =
            error["data"]["layers"].as_array().unwrap().iter().map(|layer| layer["effect"].as_str().unwrap()).collect();
        assert_eq!(layers, ["ALLOW", "ALLOW", "NO_IMPACT", "NO_IMPACT", "EXPLICIT_DENY"], "{error}");
        assert!(!error["message"].as_str().unwrap().to_lowercase().contains("unknown tool"));
        let index = usize::try_from(error["data"]["journal_index"].as_u64().unwrap()).unwrap();
        let entry = remit.place().log().swap_remove(index);
        assert_eq!(
            (&entry["id"], &entry["verdict"], &entry["tool"]),
            (&error["data"]["decision_id"], &json!("DENY"), &json!("a___echo"))
        );
    }
    assert_eq!(a.calls(), 0);
    remit.stop();
}

#[test]
fn one_name_is_decided_and_that_tool_is_called() {
    let a = Upstream::start(Era::Modern);
    let mut config = config(&[a.server("a")]);
    config["servers"][0]["tools"] = json!({"echo": {"expose_as": "renamed"}});
    config["tool_policies"] = json!([
        {"agent": "agent-1", "tool": "a___*", "max_risk": "low"},
        {"agent": "agent-1", "tool": "a___other", "allowed": false},
    ]);
    let remit = Remit::up(&config);
    let client = remit.client("agent-1", "a");
    assert_eq!(client.tools(), ["a___renamed"]);
    assert_eq!(verdict(&client.call("a___other", "{}")), "tool_not_permitted");
    let session = client.session("2025-11-25");
    for second in ["a___echo", "echo", "renamed", "A___renamed", "a___renamed ", "a___a___renamed", "other", ""] {
        assert_eq!(verdict(&session.call(second, "{}")), "tool_not_listed", "{second:?}");
    }
    assert_eq!(verdict(&client.call("a___echo", "{}")), "tool_not_listed");
    assert_eq!(a.calls(), 0);
    assert_eq!(verdict(&client.call("a___renamed", "{}")), "ok");
    let call = a.wait("the call", |seen| seen.method() == "tools/call");
    assert_eq!(
        (call.params()["name"].as_str(), call.header("mcp-name"), call.header("mcp-method")),
        (Some("echo"), Some("echo"), Some("tools/call"))
    );
    remit.stop();
}

#[test]
fn sessions_keep_elicitation_sampling_and_roots() {
    let a = Upstream::start(Era::Legacy);
    let watcher = a.watcher();
    a.on(move |seen, reply| {
        if !seen.calls("echo") {
            return false;
        }
        reply.stream();
        let mut given = Vec::new();
        for (n, method) in ["elicitation/create", "sampling/createMessage", "roots/list"].iter().enumerate() {
            reply.event(&format!(
                "{{\"jsonrpc\":\"2.0\",\"id\":\"up-{n}\",\"method\":\"{method}\",\"params\":{{\"x\":12345678901234567890123}}}}"
            ));
            let answer = watcher.wait(method, |seen| seen.id() == format!("\"up-{n}\""));
            given.push(answer.json().get("result").or(answer.json().get("error")).unwrap().to_string());
        }
        reply.event(&seen.result(&format!("{{\"content\":[],\"x-given\":[{}]}}", given.join(","))));
        true
    });
    let remit = Remit::up(&config(&[a.server("a")]));
    let client = remit.client("agent-1", "a").with(r#"{"elicitation":{},"sampling":{},"roots":{"listChanged":true}}"#);
    for version in ["2025-11-25", "2025-06-18", "2025-03-26"] {
        let session = client.session(version);
        let mut stream = session.request("1", "tools/call", r#"{"name":"a___echo","arguments":{}}"#);
        for method in ["elicitation/create", "sampling/createMessage", "roots/list"] {
            let asked = stream.next();
            assert_eq!(asked["method"], method);
            assert!(asked["id"] != "up-0", "our ids are ours");
            session.answer(&asked["id"], &format!("{{\"of\":\"{method}\"}}"));
        }
        let done = stream.next();
        assert_eq!(
            done["result"]["x-given"],
            json!([{"of": "elicitation/create"}, {"of": "sampling/createMessage"}, {"of": "roots/list"}])
        );
        // What the server was told that its client can do is what this client said.
        let opened: Vec<_> = a.seen().into_iter().filter(|seen| seen.method() == "initialize").collect();
        assert!(opened.iter().any(|seen| seen.params()["capabilities"]["sampling"].is_object()));
        session.end();
        a.wait("the end of the session", |seen| seen.head.starts_with("DELETE"));
        a.forget();
    }
    // A client that offers nothing is asked for nothing.
    let session = remit.client("agent-1", "a").session("2025-11-25");
    let done = session.call("a___echo", "{}");
    assert!(done["result"]["x-given"].as_array().unwrap().iter().all(|given| given["code"] == -32601), "{done}");
    remit.stop();
}

#[test]
fn what_can_not_be_recorded_is_not_done() {
    let a = Upstream::start(Era::Modern);
    let remit = Remit::up(&config(&[a.server("a")]));
    let client = remit.client("agent-1", "a");
    assert_eq!(verdict(&client.call("a___echo", "{}")), "ok");
    let session = client.session("2025-11-25");
    let calls = a.calls();
    for file in std::fs::read_dir(remit.place().data().join("journal")).unwrap() {
        let path = file.unwrap().path();
        if path.file_name().unwrap() != "lock" {
            std::fs::remove_file(path).unwrap();
        }
    }
    // It is seen at the next look, or when something is written: from then on nothing is done.
    crate::gateway::until("the journal stops", || send(remit.control, "GET /readyz", &[], b"").status == 503);
    let params = r#"{"name":"a___echo","arguments":{}}"#;
    for _ in 0..3 {
        client.modern("tools/call", params).is(503);
        assert_eq!(session.request("1", "tools/call", params).status, 503);
        assert_eq!(client.modern("resources/read", r#"{"uri":"test://one"}"#).status, 503);
    }
    let denied = client.modern("tools/call", r#"{"name":"nothing","arguments":{}}"#);
    assert_eq!(denied.status, 503, "a denial is a decision too");
    assert_eq!(a.calls(), calls);
    for (addr, path) in [(remit.control, "GET /readyz"), (remit.addr, "GET /readyz")] {
        assert_eq!(send(addr, path, &[], b"").status, 503);
    }
    assert_eq!(send(remit.control, "GET /healthz", &[], b"").status, 200);
    assert!(send(remit.control, "GET /metrics", &[], b"").body().contains("remit_journal_healthy 0"));
}

#[test]
fn a_child_inherits_nothing() {
    let place = Place::new();
    let script = Script::write(place.root());
    place.write(&config(&[script.server("sh")]));
    let remit = Remit::up_at(place, &[]);
    let client = remit.client("agent-1", "sh");
    let answer = client.call("sh___environment", "{}");
    let text = answer["result"]["content"][0]["text"].as_str().unwrap_or_else(|| panic!("{answer}"));
    let mut names: Vec<&str> = text.split('|').filter_map(|pair| pair.split_once('=')).map(|(name, _)| name).collect();
    names.sort_unstable();
    assert_eq!(names, ["MODE", "PIDS"], "{text}");
    assert!(!text.contains("of-the-gateway"));
    remit.stop();
}

#[test]
fn two_agents_never_share_a_session_of_the_server() {
    let a = Upstream::start(Era::Legacy);
    let remit = Remit::up(&config(&[a.server("a")]));
    let mut used = Vec::new();
    for agent in ["agent-1", "agent-2"] {
        let client = remit.client(agent, "a");
        let sessions = [client.session("2025-11-25"), client.session("2025-06-18")];
        a.forget();
        assert_eq!(verdict(&client.call("a___echo", "{}")), "ok");
        assert_eq!(verdict(&client.call("a___echo", "{}")), "ok");
        for session in &sessions {
            assert_eq!(verdict(&session.call("a___echo", "{}")), "ok");
        }
        let calls = a.seen().into_iter().filter(|seen| seen.method() == "tools/call");
        let mut own: Vec<String> = calls.map(|seen| seen.header("mcp-session-id").unwrap().to_owned()).collect();
        own.dedup();
        assert_eq!(own.len(), 3, "one for each session, and one for what has none");
        used.extend(own);
    }
    used.sort();
    used.dedup();
    assert_eq!(used.len(), 6);
    remit.stop();
}

#[test]
fn a_reload_ends_the_streams_of_those_who_are_out() {
    for (key, value) in [("/agents/0/suspended", json!(true)), ("/spaces/0/agents", json!(["agent-2"]))] {
        let a = Upstream::start(Era::Legacy);
        let mut config = config(&[a.server("a")]);
        config["agents"][0]["suspended"] = json!(false);
        let remit = Remit::up(&config);
        let wanted = r#"{"notifications":{"toolsListChanged":true,"resourceSubscriptions":["test://one"]}}"#;
        let [mut out, mut stays] = ["agent-1", "agent-2"].map(|agent| {
            let client = remit.client(agent, "a");
            let session = client.session("2025-11-25");
            let stream = session.listen(None);
            let mut listener = client.modern("subscriptions/listen", wanted);
            assert_eq!(listener.next()["method"], "notifications/subscriptions/acknowledged");
            [stream, listener]
        });
        *config.pointer_mut(key).unwrap() = value;
        remit.configure(&config);
        // Two who subscribed, the session of each, and the gateway itself.
        a.push("notifications/resources/updated", r#"{"uri":"test://one"}"#);
        for stream in &mut out {
            while let Some(event) = stream.event() {
                assert!(event.data.is_empty() || event.data.contains("\"resultType\":\"complete\""), "{key}: {event:?}");
            }
        }
        a.set_tools(vec![tool("echo")]);
        a.push("notifications/tools/list_changed", "{}");
        for stream in &mut stays {
            while stream.next()["method"] != "notifications/tools/list_changed" {}
        }
        remit.stop();
    }
}
