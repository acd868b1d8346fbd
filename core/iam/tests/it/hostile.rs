//! Documents and requests made to hurt: all end soon, none panics, and what can't be told denies.

use std::sync::Arc;
use std::time::{Duration, Instant};

use remit_iam::document::{FAULTS_MAX, parse};
use remit_iam::simulate::simulate_line;
use remit_iam::{Context, Decision, Keys, Layers, Policy, PolicyKind, PolicySet, Principal, Request, Value, evaluate};

use crate::{ACCOUNT, ROLE, SESSION, set};

/// Longer than any of these takes, by far, even on a busy machine.
const SOON: Duration = Duration::from_secs(20);

#[test]
fn documents() {
    let started = Instant::now();
    for text in [
        "[".repeat(1_000_000),
        "[".repeat(200_000),
        "{\"a\":".repeat(50_000),
        format!("{}{}", "[".repeat(33), "]".repeat(33)),
        format!("[{}]", "0,".repeat(100_000) + "0"),
        format!("{{{}}}", (0..60_000).map(|key| format!("\"{key}\":0")).collect::<Vec<_>>().join(",")),
        format!("\"{}", "\\u0000".repeat(40_000)),
        format!("\"{}\"", "\\".repeat(99_999)),
        "9".repeat(200_000),
        format!("{}1", " ".repeat(262_143)),
        "\u{feff}{}".to_owned(),
        "\0".to_owned(),
    ] {
        if let Ok(node) = parse(&text) {
            assert!(Policy::read(PolicyKind::Identity, "p", "p.json", &node).is_err());
        }
    }
    // As many faults as there may be, and no more.
    let many = format!(r#"{{"Version":"2012-10-17","Statement":[{}]}}"#, vec!["{}"; 400].join(","));
    let faults = Policy::read(PolicyKind::Resource, "p", "p.json", &parse(&many).unwrap()).unwrap_err();
    assert_eq!(faults.len(), FAULTS_MAX);
    let twice = format!("{{{}\"a\":0}}", "\"a\":0,".repeat(5_000));
    assert_eq!(parse(&twice).unwrap_err().len(), FAULTS_MAX);
    assert!(started.elapsed() < SOON);
}

#[test]
fn long_values_are_not_repeated_whole() {
    let long = "x".repeat(100_000);
    let text = format!(
        r#"{{"Version":"2012-10-17","Statement":[{{"Effect":"{long}","Action":"{long}","Resource":"{long}","{long}":1,"Condition":{{"{long}":{{"{long}":"{long}"}}}}}}]}}"#
    );
    let faults = match parse(&text) {
        Ok(node) => Policy::read(PolicyKind::Identity, "p", "p.json", &node).unwrap_err(),
        Err(faults) => faults,
    };
    assert!(faults.iter().all(|fault| fault.what.len() < 1_000 && fault.mend.len() < 1_000));
}

/// Decides with `StringLike` of this pattern and this value; how long it took, too.
fn like(pattern: &str, value: &str) -> Decision {
    let mut keys = Keys::new();
    let identity = set(
        &mut keys,
        PolicyKind::Identity,
        &format!(r#"{{"Effect":"Allow","Action":"*","Resource":"*","Condition":{{"StringLike":{{"aws:k":"{pattern}"}}}}}}"#),
    );
    let mut context = Context::new(&keys);
    context.set(keys.slot("aws:k").unwrap(), Value::One(value));
    let session = Principal::session(ROLE, SESSION).unwrap();
    let request = Request {
        principal: &session,
        action: "mcp:CallTool",
        resource: "*",
        resource_account: Some(ACCOUNT),
        context: &context,
    };
    evaluate(&request, &Layers::of_identity(&identity), false).decision()
}

#[test]
fn patterns() {
    let started = Instant::now();
    let text = "a".repeat(8_000);
    assert_eq!(like(&format!("{}b", "*a".repeat(1_000)), &text), Decision::ImplicitlyDenied);
    assert_eq!(like(&format!("{}*", "*a".repeat(1_000)), &text), Decision::Allowed);
    assert_eq!(like(&format!("*{}b", "a".repeat(2_000)), &text), Decision::ImplicitlyDenied);
    assert_eq!(like(&format!("*{}b*", "a?".repeat(1_000)), &text), Decision::ImplicitlyDenied);
    assert_eq!(like(&"*?".repeat(1_000), &text), Decision::Allowed);
    assert_eq!(like(&"*".repeat(2_000), &text), Decision::Allowed);
    assert_eq!(like("é*😀", &format!("é{}😀", "é".repeat(2_000))), Decision::Allowed);
    // A million stars are no policy.
    let stars = "*".repeat(1_000_000);
    assert!(parse(&format!(r#"{{"x":"{stars}"}}"#)).is_err());
    assert!(started.elapsed() < SOON);
}

#[test]
fn resources_with_wildcards_in_every_part() {
    let started = Instant::now();
    let last = "*a".repeat(900);
    let mut keys = Keys::new();
    let pattern = format!("arn:*?*w*s:m*?c*p:*e*-*u?:*1*?*1:{last}");
    let identity = set(&mut keys, PolicyKind::Identity, &format!(r#"{{"Effect":"Deny","Action":"*","Resource":"{pattern}"}}"#));
    let context = Context::new(&keys);
    let session = Principal::session(ROLE, SESSION).unwrap();
    let resource = format!("arn:aws:mcp:eu-eu1:11111:{}:{}b", "a:".repeat(400), "a/".repeat(500));
    let request =
        Request { principal: &session, action: "mcp:CallTool", resource: &resource, resource_account: None, context: &context };
    assert_eq!(evaluate(&request, &Layers::of_identity(&identity), false).decision(), Decision::ImplicitlyDenied);
    assert!(started.elapsed() < SOON);
}

#[test]
fn many_policies() {
    let started = Instant::now();
    let mut keys = Keys::new();
    let policies: Vec<Arc<Policy>> = (0..4_000)
        .map(|index| {
            let text = format!(
                r#"{{"Version":"2012-10-17","Statement":[
                    {{"Effect":"Allow","Action":"mcp:Call{index}","Resource":"arn:aws:mcp:*:*:server/s{index}/*"}},
                    {{"Effect":"Deny","Action":"mcp:CallTool","Resource":"arn:aws:mcp:eu-west-1:111122223333:server/s{index}/tool/*",
                      "Condition":{{"StringEquals":{{"aws:PrincipalTag/t{index}":"x"}}}}}},
                    {{"Effect":"Allow","Action":"mcp:CallTool","Resource":"arn:aws:mcp:eu-west-1:111122223333:server/s{index}/tool/read"}}]}}"#
            );
            Arc::new(Policy::read(PolicyKind::Identity, "p", "p.json", &parse(&text).unwrap()).unwrap())
        })
        .collect();
    let identity = PolicySet::compile(&mut keys, &policies);
    assert_eq!((identity.len(), keys.len()), (12_000, 4_000));
    let mut context = Context::new(&keys);
    context.set(keys.slot("aws:PrincipalTag/T7").unwrap(), Value::One("x"));
    let session = Principal::session(ROLE, SESSION).unwrap();
    let decide = |server: &str| {
        let resource = format!("arn:aws:mcp:eu-west-1:111122223333:server/{server}/tool/read");
        let request = Request {
            principal: &session,
            action: "mcp:CallTool",
            resource: &resource,
            resource_account: Some(ACCOUNT),
            context: &context,
        };
        let decision = evaluate(&request, &Layers::of_identity(&identity), false).decision();
        assert_eq!(decision, evaluate(&request, &Layers::of_identity(&identity), true).decision());
        decision
    };
    assert_eq!(decide("s6"), Decision::Allowed);
    assert_eq!(decide("s7"), Decision::ExplicitlyDenied);
    assert_eq!(decide("s4000"), Decision::ImplicitlyDenied);
    assert!(started.elapsed() < SOON);
}

const VALUES: [&str; 35] = [
    "",
    " ",
    "\0",
    "-",
    "--1",
    "1e",
    "1e+",
    "e1",
    "1e999999999999",
    "-1e-9999",
    "0e0",
    "-0.0",
    "1_0",
    "١",
    "NaN",
    "inf",
    "9999999999999",
    "0000-00-00",
    "2026-01-01T",
    "2026-01-01T00:00:00.0000000000Z",
    "2026-01-01T00:00:00+24:00",
    "-0001-01-01",
    "256.1.1.1",
    ":::",
    "1:2:3:4:5:6:7:8:9",
    "10.0.0.1/8",
    "arn:::::",
    "arn:aws:iam::",
    "arn:aws:iam:::::::",
    "====",
    "Q===",
    "=Q==",
    "\u{10ffff}",
    "é",
    "ǅ",
];

#[test]
fn values_of_requests() {
    let mut keys = Keys::new();
    let families = [
        ("NumericLessThan", "5"),
        ("DateLessThan", "2026-01-01"),
        ("IpAddress", "10.0.0.0/8"),
        ("ArnLike", "arn:aws:iam::*:role/x"),
        ("Bool", "true"),
        ("BinaryEquals", "QQ=="),
        ("StringLike", "*x*"),
        ("StringEqualsIgnoreCase", "${aws:other}x"),
    ];
    let allow: Vec<String> = families
        .iter()
        .map(|(operator, value)| {
            format!(r#"{{"Effect":"Allow","Action":"*","Resource":"*","Condition":{{"{operator}":{{"aws:k":"{value}"}}}}}}"#)
        })
        .collect();
    let identity = set(&mut keys, PolicyKind::Identity, &allow.join(","));
    let session = Principal::session(ROLE, SESSION).unwrap();
    let long = "9".repeat(100_000);
    for value in VALUES.into_iter().chain([long.as_str()]) {
        for kind in [Value::One(value), Value::Many(&[value.into(), value.into()])] {
            let mut context = Context::new(&keys);
            context.set(keys.slot("aws:k").unwrap(), kind);
            let request = Request {
                principal: &session,
                action: "mcp:CallTool",
                resource: "*",
                resource_account: Some(ACCOUNT),
                context: &context,
            };
            let decision = evaluate(&request, &Layers::of_identity(&identity), true).decision();
            let number = matches!((value, kind), ("-0.0", Value::One(_)));
            assert_eq!(decision == Decision::Allowed, number, "{value:?}");
        }
    }
}

#[test]
fn cases() {
    for (line, expected) in [
        ("", "null"),
        ("{", "null"),
        ("[]", "null"),
        (r#"{"id":7}"#, "7"),
        (r#"{"id":"a\"b","request":{}}"#, r#""a\"b""#),
        (r#"{"id":1,"request":{"principal":"x","action":"a:b","resource":"*"},"extra":1}"#, "1"),
        (
            r#"{"id":1,"request":{"principal":"arn:aws:iam::111122223333:user/a","action":"a:b","resource":"*","context":{"aws:k":{}}}}"#,
            "1",
        ),
        (r#"{"id":1,"request":{"principal":"arn:aws:iam::111122223333:user/a","action":"ab","resource":"*"}}"#, "1"),
        (
            r#"{"id":1,"request":{"principal":"arn:aws:iam::111122223333:user/a","action":"a:b","resource":"*"},"identityPolicies":[{}]}"#,
            "1",
        ),
        (
            r#"{"id":1,"request":{"principal":"arn:aws:iam::111122223333:user/a","action":"a:b","resource":"*"},"identityPolicies":{}}"#,
            "1",
        ),
        (
            r#"{"id":1,"request":{"principal":"arn:aws:iam::111122223333:user/a","action":"a:b","resource":"*"},"permissionBoundaries":[]}"#,
            "1",
        ),
    ] {
        let failure = simulate_line(line).unwrap_err();
        assert!(failure.starts_with(&format!(r#"{{"id":{expected},"error":""#)), "{line}: {failure}");
        assert!(parse(&failure).is_ok(), "{failure}");
    }
    let policy = r#"{"Version":"2012-10-17","Statement":{"Effect":"Allow","Action":"mcp:*","Resource":"*","Condition":{"StringEquals":{"aws:username":"ann"},"ForAnyValue:NumericEquals":{"mcp:Risk":"2"}}}}"#;
    for (context, decision) in [
        (r#"{"AWS:username":"ann","mcp:Risk":[1,2]}"#, "Allowed"),
        (r#"{"AWS:username":"ann","mcp:Risk":2,"other:key":null}"#, "Allowed"),
        (r#"{"AWS:username":null,"mcp:Risk":2}"#, "ImplicitlyDenied"),
        (r#"{"mcp:Risk":2}"#, "ImplicitlyDenied"),
    ] {
        for (identity, boundary) in [
            (format!(r#"[{{"name":"n","policy":{policy}}}]"#), "permissionBoundaryPolicies"),
            (format!("[{policy}]"), "permissionBoundaries"),
        ] {
            let line = format!(
                r#"{{"id":"c","request":{{"principal":"{SESSION}","role":"{ROLE}","action":"mcp:CallTool","resource":{{"resource":"arn:aws:s3:::b","accountId":"{ACCOUNT}"}},"contextVariables":{context}}},"identityPolicies":{identity},"{boundary}":[{policy}],"sessionPolicy":null,"serviceControlPolicies":[{{"orgIdentifier":"r","policies":{identity}}},{identity}]}}"#
            );
            assert_eq!(simulate_line(&line), Ok(format!(r#"{{"id":"c","decision":"{decision}"}}"#)), "{context}");
        }
    }
}
