//! What a caller may try so that one thing is decided and another is done.

use serde_json::json;

use crate::client::{connect, modern_headers, request_text, send, send_raw};
use crate::faults::verdict;
use crate::gateway::{Place, Remit, config};
use crate::upstream::{Era, Upstream, tool};

const CALL: &str = r#"{"name":"a___echo","arguments":{}}"#;

fn pairs(headers: &[(String, String)]) -> Vec<(&str, &str)> {
    headers.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect()
}

#[test]
fn a_key_stands_once() {
    let a = Upstream::start(Era::Modern);
    let remit = Remit::up(&config(&[a.server("a")]));
    let client = remit.client("agent-1", "a");
    let session = client.session("2025-11-25");
    let whole = client.modern_body("tools/call", CALL);
    let twice = [
        whole.replace(r#""name":"a___echo""#, r#""name":"a___other","name":"a___echo""#),
        whole.replace(r#""name":"a___echo""#, r#""na\u006de":"a___other","name":"a___echo""#),
        whole.replace(r#""name":"a___echo""#, r#""name":"a___echo","\u006e\u0061\u006d\u0065":"a___other""#),
        whole.replace(r#""arguments":{}"#, r#""arguments":{},"arguments":{"a":1}"#),
        whole.replace(r#""arguments":{}"#, r#""arguments":{"a":1,"\u0061":2}"#),
        whole.replace(r#""arguments":{}"#, r#""arguments":{"a":[{"b":{"c":1,"c":2}}]}"#),
        whole.replace(r#""method":"tools/call""#, r#""method":"tools/list","method":"tools/call""#),
        whole.replace(r#""id":"q""#, r#""id":"q","id":1"#),
        whole.replace(r#""_meta":{"#, r#""_meta":{},"_meta":{"#),
        whole.replace(r#""_meta":{"#, r#""_meta":{"x":1,"x":2,"#),
        format!("{whole}{whole}"),
        whole.replace("}}", "}}\u{0}"),
    ];
    for body in twice {
        assert_ne!(body, whole);
        let said = client.post(&pairs(&modern_headers("tools/call", CALL)), body.as_bytes()).is(400);
        assert!(said.contains("-32700") || said.contains("-32600"), "{said}");
        session.post(&body).is(400);
    }
    assert_eq!(a.calls(), 0);
    remit.stop();
}

#[test]
fn headers_agree_with_the_body() {
    let a = Upstream::start(Era::Modern);
    let marked = r#"{"name":"echo","annotations":{"readOnlyHint":true},"inputSchema":{"type":"object","properties":{"region":{"type":"string","x-mcp-header":"Region"}}}}"#;
    a.set_tools(vec![marked.to_owned(), tool("other")]);
    let remit = Remit::up(&config(&[a.server("a")]));
    let client = remit.client("agent-1", "a");
    let with = |params: &str, change: &[(&str, Option<&str>)]| {
        let mut headers = modern_headers("tools/call", params);
        for (name, value) in change {
            headers.retain(|(given, _)| given != name);
            headers.extend(value.map(|value| ((*name).to_owned(), value.to_owned())));
        }
        client.post(&pairs(&headers), client.modern_body("tools/call", params).as_bytes())
    };
    let lies: [&[(&str, Option<&str>)]; 9] = [
        &[("mcp-name", Some("a___other"))],
        &[("mcp-name", None)],
        &[("mcp-name", Some("=?base64?YV9fX290aGVy?="))],
        &[("mcp-name", Some("=?base64?!?="))],
        &[("mcp-method", Some("tools/list"))],
        &[("mcp-method", None)],
        &[("mcp-protocol-version", Some("2025-11-25"))],
        &[("mcp-protocol-version", None)],
        &[("mcp-param-region", Some("eu"))],
    ];
    for lie in lies {
        let said = with(CALL, lie).is(400);
        assert!(said.contains("-32020"), "{lie:?}: {said}");
    }
    let region = r#"{"name":"a___echo","arguments":{"region":"eu"}}"#;
    for lie in [None, Some("us"), Some("EU"), Some("=?base64?dXM=?=")] {
        let said = with(region, &[("mcp-param-region", lie)]).is(400);
        assert!(said.contains("-32020"), "{lie:?}: {said}");
    }
    assert_eq!(a.calls(), 0);
    with(CALL, &[("mcp-name", Some("=?base64?YV9fX2VjaG8=?="))]).is(200);
    with(region, &[("mcp-param-region", Some("eu"))]).is(200);
    let call = a.wait("the call", |seen| seen.header("mcp-param-region").is_some());
    assert_eq!(
        (call.header("mcp-param-region"), call.header("mcp-name"), call.header("mcp-protocol-version")),
        (Some("eu"), Some("echo"), Some("2026-07-28"))
    );
    remit.stop();
}

#[test]
fn hosts_and_origins_are_ours() {
    let a = Upstream::start(Era::Modern);
    let remit = Remit::up_at(
        {
            let place = Place::new();
            place.write(&config(&[a.server("a")]));
            place
        },
        &["--origin", "https://console.example.com"],
    );
    let client = remit.client("agent-1", "a");
    let body = client.modern_body("tools/call", CALL);
    let own = modern_headers("tools/call", CALL);
    let with = |change: &[(&str, &str)]| {
        let mut headers = pairs(&own);
        headers.extend_from_slice(change);
        client.post(&headers, body.as_bytes()).status
    };
    let host = remit.addr.to_string();
    assert_eq!(with(&[("host", &host), ("host", &host)]), 400);
    assert_eq!(with(&[("host", &host), ("host", "evil.example.com")]), 400);
    for evil in
        ["evil.example.com", "127.0.0.1.evil.example.com", "localhost.evil.example.com:80", "169.254.169.254", "0.0.0.0", ""]
    {
        assert_eq!(with(&[("host", evil)]), 403, "{evil}");
        assert_eq!(send(remit.addr, "POST /authorize", &[("host", evil)], b"{}").status, 403);
    }
    for evil in [
        "https://evil.example.com",
        "null",
        "file://",
        "http://127.0.0.1.evil.example.com",
        "https://console.example.com.evil.com",
    ] {
        assert_eq!(with(&[("origin", evil)]), 403, "{evil}");
    }
    assert_eq!(with(&[("origin", "https://console.example.com"), ("origin", "https://evil.example.com")]), 403);
    assert_eq!(a.calls(), 0);
    for good in
        [&[("origin", "https://console.example.com")][..], &[("origin", "http://localhost:3000")], &[("host", "localhost")]]
    {
        assert_eq!(with(good), 200, "{good:?}");
    }
    // An absolute target names its host too.
    let absolute = request_text("POST http://evil.example.com/spaces/a/mcp", &[("host", &host)], b"{}");
    assert_eq!(send_raw(Box::new(connect(remit.addr)), &absolute).status, 400);
    remit.stop();
}

#[test]
fn bodies_keep_their_limits() {
    let a = Upstream::start(Era::Modern);
    let remit = Remit::up(&config(&[a.server("a")]));
    let client = remit.client("agent-1", "a");
    let headers = modern_headers("tools/call", CALL);
    let sized =
        |bytes: usize| client.modern_body("tools/call", &CALL.replace("{}", &format!("{{\"x\":\"{}\"}}", "x".repeat(bytes))));
    let deep = |depth: usize| {
        client.modern_body("tools/call", &CALL.replace("{}", &format!("{{\"x\":{}{}}}", "[".repeat(depth), "]".repeat(depth))))
    };
    client.post(&pairs(&headers), sized(4 * 1024 * 1024).as_bytes()).is(413);
    client.post(&pairs(&headers), deep(10_000).as_bytes()).is(400);
    client.post(&pairs(&headers), deep(100).as_bytes()).is(400);
    let chunked = |body: &str| {
        let mut headers = pairs(&headers);
        headers.push(("transfer-encoding", "chunked"));
        let chunks: String = body
            .as_bytes()
            .chunks(65_000)
            .map(|chunk| format!("{:x}\r\n{}\r\n", chunk.len(), std::str::from_utf8(chunk).unwrap()))
            .collect();
        client.post(&headers, format!("{chunks}0\r\n\r\n").as_bytes())
    };
    chunked(&sized(4 * 1024 * 1024)).is(413);
    // Both lengths at once is the oldest of all tricks.
    let mut both = pairs(&headers);
    both.extend([("transfer-encoding", "chunked"), ("content-length", "5")]);
    let answer = client.post(&both, b"0\r\n\r\n");
    assert_eq!(answer.status, 400);
    client.post(&[("content-type", "text/plain")], deep(1).as_bytes()).is(415);
    client.post(&pairs(&headers), b"").is(400);
    client.post(&pairs(&headers), b"[]").is(400);
    assert_eq!(a.calls(), 0);
    client.post(&pairs(&headers), sized(1024 * 1024).as_bytes()).is(200);
    client.post(&pairs(&headers), deep(40).as_bytes()).is(200);
    chunked(&sized(200_000)).is(200);
    assert_eq!(a.calls(), 3);
    // A stranger may not send much at all.
    let mut stranger = client.clone();
    stranger.token = "nobody".to_owned();
    stranger.post(&pairs(&headers), sized(100_000).as_bytes()).is(413);
    remit.stop();
}

#[test]
fn a_token_is_for_one_space_and_one_agent() {
    let (a, b) = (Upstream::start(Era::Modern), Upstream::start(Era::Modern));
    let mut config = config(&[a.server("a"), b.server("b")]);
    config["spaces"][1]["agents"] = json!(["agent-2"]);
    let remit = Remit::up(&config);
    let mut client = remit.client("agent-1", "a");
    let good = client.token.clone();
    client.path = "/spaces/b/mcp".to_owned();
    let answer = client.modern("tools/call", &CALL.replace("a___", "b___"));
    let challenge = answer.header("www-authenticate").unwrap().to_owned();
    assert!(
        challenge.contains("/.well-known/oauth-protected-resource/spaces/b/mcp") && challenge.contains("invalid_token"),
        "{challenge}"
    );
    answer.is(401);
    client.path = "/spaces/a/mcp".to_owned();
    let (head, signature) = good.rsplit_once('.').unwrap();
    let (header, payload) = head.split_once('.').unwrap();
    let other = remit.token("agent-2", "a");
    let none = "eyJhbGciOiJub25lIiwidHlwIjoiYXQrand0In0";
    let forged = [
        String::new(),
        "x".to_owned(),
        format!("{header}.{payload}."),
        format!("{none}.{payload}."),
        format!("{none}.{payload}.{signature}"),
        format!("{header}.{}.{signature}", other.split('.').nth(1).unwrap()),
        format!("{good}A"),
        format!("{good}, {other}"),
        "x".repeat(20_000),
    ];
    for token in forged {
        client.token = token;
        client.modern("tools/call", CALL).is(401);
    }
    let none = send(
        remit.addr,
        "POST /spaces/a/mcp",
        &[("content-type", "application/json")],
        client.modern_body("tools/call", CALL).as_bytes(),
    );
    assert!(!none.header("www-authenticate").unwrap().contains("error="));
    none.is(401);
    assert_eq!(a.calls() + b.calls(), 0);
    client.token = good;
    client.modern("tools/call", CALL).is(200);
    // Suspended: what was given out before is of no more use, and nothing new is given.
    config["agents"][0]["suspended"] = json!(true);
    remit.configure(&config);
    assert_eq!(verdict(&client.call("a___echo", "{}")), "agent_suspended");
    let said = remit.place().cli(&["token", "--agent", "agent-1", "--space", "a"]);
    assert_eq!(said.code, 2, "{said:?}");
    remit.stop();
}

#[test]
fn an_expired_token_is_none() {
    use remit_identity::jwk::SigningKey;
    let (a, issuer) = (Upstream::start(Era::Modern), Upstream::start(Era::Modern));
    let key = SigningKey::from_seed(&[7; 32]).unwrap();
    let url = format!("http://{}", issuer.addr);
    let metadata =
        json!({"issuer": url, "jwks_uri": format!("{url}/jwks"), "token_endpoint": format!("{url}/token")}).to_string();
    let jwks = json!({"keys": [key.public_jwk()]}).to_string();
    issuer.on(move |seen, reply| {
        reply.json(if seen.head.contains("/jwks") { &jwks } else { &metadata });
        true
    });
    let mut config = config(&[a.server("a")]);
    config["issuers"] = json!([{"name": "idp", "url": url, "audiences": ["api://remit"], "network": "loopback"}]);
    config["agents"][0]["credentials"] =
        json!([{"external": {"issuer": "idp", "rules": [{"claim": "sub", "equals": "workload-1"}]}}]);
    let remit = Remit::up(&config);
    let mut client = remit.client("agent-2", "a");
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs();
    let space = remit.url("a");
    let sign = |claims: serde_json::Value| remit_identity::jwt::sign(&key, "at+jwt", claims.as_object().unwrap()).unwrap();
    let claims = |exp: u64, aud: &serde_json::Value, sub: &str| json!({"iss": url, "aud": aud, "sub": sub, "iat": exp - 600, "exp": exp, "jti": "j"});
    let audiences = json!([space, "api://remit"]);
    client.token = sign(claims(now + 300, &audiences, "workload-1"));
    client.modern("tools/call", CALL).is(200);
    for (exp, aud, sub) in [
        (now - 120, audiences.clone(), "workload-1"),
        (now + 300, json!("api://other"), "workload-1"),
        (now + 300, audiences.clone(), "workload-2"),
    ] {
        client.token = sign(claims(exp, &aud, sub));
        client.modern("tools/call", CALL).is(401);
    }
    let other = SigningKey::from_seed(&[8; 32]).unwrap();
    client.token =
        remit_identity::jwt::sign(&other, "at+jwt", claims(now + 300, &audiences, "workload-1").as_object().unwrap()).unwrap();
    client.modern("tools/call", CALL).is(401);
    assert_eq!(a.calls(), 1);
    remit.stop();
}

#[test]
fn scopes_that_do_not_reach_are_named_at_once() {
    let a = Upstream::start(Era::Modern);
    let destroys = r#"{"name":"destroy","inputSchema":{"type":"object"}}"#;
    a.set_tools(vec![tool("echo"), destroys.to_owned()]);
    let remit = Remit::up(&config(&[a.server("a")]));
    let mut client = remit.client("agent-1", "a");
    client.token = remit.token_scoped("agent-1", "a", Some("mcp:read"));
    let call = r#"{"name":"a___destroy","arguments":{}}"#;
    let answer = client.modern("tools/call", call);
    let challenge = answer.header("www-authenticate").unwrap().to_owned();
    assert!(
        challenge.contains("insufficient_scope") && challenge.contains("scope=\"mcp:read mcp:write mcp:destroy\""),
        "{challenge}"
    );
    assert!(challenge.contains("resource_metadata="), "{challenge}");
    assert!(answer.is(403).contains("insufficient_scope"));
    client.modern("tools/call", CALL).is(200);
    assert_eq!(client.tools(), ["a___echo"]);
    assert!(!a.seen().iter().any(|seen| seen.calls("destroy")));
    client.token = remit.token("agent-1", "a");
    client.modern("tools/call", call).is(200);
    remit.stop();
}

#[test]
fn credentials_stay_on_their_side() {
    let (a, b) = (Upstream::start(Era::Modern), Upstream::start(Era::Legacy));
    let place = Place::new();
    let (mut bearer, mut key) = (a.server("a"), b.server("b"));
    bearer["credential"] = json!({"bearer": {"secret": "for-a"}});
    key["credential"] = json!({"api_key": {"header": "x-api-key", "value": {"secret": "for-b"}}});
    place.write(&config(&[bearer, key]));
    for (name, value) in [("for-a", "upstream-secret-a\n"), ("for-b", "upstream-secret-b")] {
        let said = place.cli_with(&["secret", "set", name], Some(value));
        assert_eq!(said.code, 0, "{said:?}");
    }
    let remit = Remit::up_at(place, &[]);
    for (name, upstream) in [("a", &a), ("b", &b)] {
        let client = remit.client("agent-1", name);
        assert_eq!(verdict(&client.call(&format!("{name}___echo"), "{}")), "ok");
        assert_eq!(verdict(&client.session("2025-06-18").call(&format!("{name}___echo"), "{}")), "ok");
        let token = client.token;
        for seen in upstream.seen() {
            let text = format!("{:?} {}", seen.headers, seen.body);
            assert!(!text.contains(&token), "the agent's token went upstream: {text}");
            match name {
                "a" => assert_eq!(seen.header("authorization"), Some("Bearer upstream-secret-a"), "{text}"),
                _ => assert_eq!(
                    (seen.header("x-api-key"), seen.header("authorization")),
                    (Some("upstream-secret-b"), None),
                    "{text}"
                ),
            }
            assert!(!text.contains("x-forwarded") && seen.header("cookie").is_none());
        }
    }
    let place = remit.stop();
    let listed = place.cli(&["secret", "list"]);
    assert!(listed.out.contains("for-a") && !listed.out.contains("upstream-secret"), "{listed:?}");
    let journal: String = place.log().iter().map(ToString::to_string).collect();
    assert!(!journal.contains("upstream-secret"));
}
