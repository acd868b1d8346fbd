//! Every corner of the language, with the page of AWS's that says so: which statements apply, of those that allow and of those
//! that deny. Where AWS says nothing, an Allow must not apply and a Deny must.

use std::borrow::Cow::Borrowed;

use remit_iam::Value::{Absent, Many, One, Unknown};
use remit_iam::{Context, Decision, Keys, Layers, PolicyKind, Principal, Request, Value, evaluate};

use crate::{ACCOUNT, ROLE, SESSION, set};

const TOOL: &str = "arn:aws:mcp:eu-west-1:111122223333:server/files/tool/read";
/// It holds, it doesn't, and it can't be told.
const YES: (bool, bool) = (true, true);
const NO: (bool, bool) = (false, false);
const MAYBE: (bool, bool) = (false, true);

type Facts<'a> = &'a [(&'a str, Value<'a>)];

/// Whether an Allow and a Deny with these elements apply to an action on a resource.
fn statement(elements: &str, action: &str, resource: &str, facts: Facts<'_>) -> (bool, bool) {
    let session = Principal::session(ROLE, SESSION).unwrap();
    let decide = |statements: &str| {
        let mut keys = Keys::new();
        let identity = set(&mut keys, PolicyKind::Identity, statements);
        let mut context = Context::new(&keys);
        for (key, value) in facts {
            if let Some(slot) = keys.slot(key) {
                context.set(slot, *value);
            }
        }
        let request = Request { principal: &session, action, resource, resource_account: Some(ACCOUNT), context: &context };
        let quick = evaluate(&request, &Layers::of_identity(&identity), false);
        let explained = evaluate(&request, &Layers::of_identity(&identity), true);
        assert_eq!(quick.decision(), explained.decision());
        assert!(!quick.lines().is_empty(), "the request can't be read: {action} {resource}");
        quick.decision()
    };
    let with = |effect: &str| format!(r#"{{"Effect":"{effect}",{elements}}}"#);
    let all = r#"{"Effect":"Allow","Action":"*","Resource":"*"}"#;
    let allows = decide(&with("Allow")) == Decision::Allowed;
    let denies = decide(&format!("{all},{}", with("Deny"))) == Decision::ExplicitlyDenied;
    (allows, denies)
}

fn condition(condition: &str, facts: Facts<'_>) -> (bool, bool) {
    statement(&format!(r#""Action":"*","Resource":"*","Condition":{{{condition}}}"#), "mcp:CallTool", TOOL, facts)
}

fn resource(element: &str, resource: &str, facts: Facts<'_>) -> (bool, bool) {
    statement(&format!(r#""Action":"*",{element}"#), "mcp:CallTool", resource, facts)
}

/// Checks a table of conditions on the key `aws:k`.
fn table(rows: &[(&str, Value<'_>, (bool, bool))]) {
    for (text, value, expected) in rows {
        assert_eq!(condition(text, &[("aws:k", *value)]), *expected, "{text} with {value:?}");
    }
}

/// Condition operators: "If the key that you specify in a policy condition is not present in the request context, the values
/// do not match and the condition is false. If the policy condition requires that the key is not matched, … the condition is
/// true."
#[test]
fn missing_keys() {
    table(&[
        (r#""StringEquals":{"aws:k":"a"}"#, Absent, NO),
        (r#""StringLike":{"aws:k":"*"}"#, Absent, NO),
        (r#""NumericLessThan":{"aws:k":"5"}"#, Absent, NO),
        (r#""DateGreaterThan":{"aws:k":"2020-01-01"}"#, Absent, NO),
        (r#""Bool":{"aws:k":"false"}"#, Absent, NO),
        (r#""BinaryEquals":{"aws:k":"QQ=="}"#, Absent, NO),
        (r#""IpAddress":{"aws:k":"0.0.0.0/0"}"#, Absent, NO),
        (r#""ArnLike":{"aws:k":"arn:*:*:*:*:*"}"#, Absent, NO),
        (r#""StringNotEquals":{"aws:k":"a"}"#, Absent, YES),
        (r#""StringNotLike":{"aws:k":"*"}"#, Absent, YES),
        (r#""NumericNotEquals":{"aws:k":"5"}"#, Absent, YES),
        (r#""DateNotEquals":{"aws:k":"2020-01-01"}"#, Absent, YES),
        (r#""NotIpAddress":{"aws:k":"0.0.0.0/0"}"#, Absent, YES),
        (r#""ArnNotEquals":{"aws:k":"arn:aws:iam::111122223333:root"}"#, Absent, YES),
        // "…IfExists": "If the key is not present, evaluate the condition element as true."
        (r#""StringEqualsIfExists":{"aws:k":"a"}"#, Absent, YES),
        (r#""StringNotEqualsIfExists":{"aws:k":"a"}"#, Absent, YES),
        (r#""StringEqualsIfExists":{"aws:k":"a"}"#, One("b"), NO),
        (r#""NumericLessThanIfExists":{"aws:k":"5"}"#, One("4"), YES),
    ]);
}

/// Single-valued vs. multivalued context keys, and "Evaluation logic for multiple context keys or values": several values of a
/// policy are joined with OR, of a negated operator with NOR, several keys and operators with AND.
#[test]
fn several_values() {
    table(&[
        (r#""StringEquals":{"aws:k":["a","b"]}"#, One("b"), YES),
        (r#""StringNotEquals":{"aws:k":["a","b"]}"#, One("b"), NO),
        (r#""StringNotEquals":{"aws:k":["a","b"]}"#, One("c"), YES),
        (r#""NumericGreaterThan":{"aws:k":["10","3"]}"#, One("5"), YES),
        (r#""StringEquals":{"aws:k":"a","aws:other":"x"}"#, One("a"), NO),
        (r#""StringEquals":{"aws:k":"a"},"StringNotEquals":{"aws:other":"x"}"#, One("a"), YES),
        // "Multivalued context keys require a condition set operator."
        (r#""StringEquals":{"aws:k":"a"}"#, Many(&[Borrowed("a")]), MAYBE),
        (r#""StringNotEquals":{"aws:k":"a"}"#, Many(&[Borrowed("b")]), MAYBE),
        (r#""StringEqualsIfExists":{"aws:k":"a"}"#, Many(&[]), MAYBE),
    ]);
}

/// Single-valued vs. multivalued context keys: "ForAllValues … also returns true if there are no context keys in the request,
/// or if the context key value resolves to a null dataset, such as an empty string"; "ForAnyValue … for no matching context key
/// or if the key doesn't exist, the condition returns false".
#[test]
fn set_operators() {
    table(&[
        (r#""ForAllValues:StringEquals":{"aws:k":["a","b"]}"#, Many(&[Borrowed("a"), Borrowed("b")]), YES),
        (r#""ForAllValues:StringEquals":{"aws:k":["a","b"]}"#, Many(&[Borrowed("a"), Borrowed("c")]), NO),
        (r#""ForAllValues:StringEquals":{"aws:k":"a"}"#, Absent, YES),
        (r#""ForAllValues:StringEquals":{"aws:k":"a"}"#, Many(&[]), YES),
        (r#""ForAllValues:StringNotEquals":{"aws:k":["a"]}"#, Many(&[Borrowed("b"), Borrowed("c")]), YES),
        (r#""ForAllValues:StringNotEquals":{"aws:k":["a"]}"#, Many(&[Borrowed("a"), Borrowed("c")]), NO),
        (r#""ForAnyValue:StringEquals":{"aws:k":["a","b"]}"#, Many(&[Borrowed("c"), Borrowed("b")]), YES),
        (r#""ForAnyValue:StringEquals":{"aws:k":["a","b"]}"#, Many(&[Borrowed("c")]), NO),
        (r#""ForAnyValue:StringEquals":{"aws:k":"a"}"#, Absent, NO),
        (r#""ForAnyValue:StringEquals":{"aws:k":"a"}"#, Many(&[]), NO),
        (r#""ForAnyValue:StringNotEquals":{"aws:k":"a"}"#, Absent, NO),
        (r#""ForAnyValue:StringNotEquals":{"aws:k":"a"}"#, Many(&[Borrowed("a"), Borrowed("b")]), YES),
        (r#""ForAllValues:StringLike":{"aws:k":"a*"}"#, One("ab"), YES),
        (r#""ForAnyValue:NumericLessThan":{"aws:k":"5"}"#, Many(&[Borrowed("7"), Borrowed("4")]), YES),
        (r#""ForAllValues:StringEqualsIfExists":{"aws:k":"a"}"#, Absent, YES),
        // Of both together AWS says nothing.
        (r#""ForAnyValue:StringEqualsIfExists":{"aws:k":"a"}"#, Absent, MAYBE),
        (r#""ForAnyValue:StringEqualsIfExists":{"aws:k":"a"}"#, Many(&[Borrowed("a")]), YES),
        // An empty text is a null dataset, and a text.
        (r#""ForAllValues:StringEquals":{"aws:k":"a"}"#, One(""), MAYBE),
        (r#""ForAllValues:StringEquals":{"aws:k":""}"#, One(""), YES),
        (r#""ForAnyValue:StringEquals":{"aws:k":""}"#, One(""), MAYBE),
        (r#""ForAnyValue:StringEquals":{"aws:k":"a"}"#, Many(&[Borrowed("")]), NO),
    ]);
}

/// Condition operators, Null: "use either true (the key doesn't exist — it is null) or false (the key exists and its value is
/// not null)".
#[test]
fn null() {
    table(&[
        (r#""Null":{"aws:k":"true"}"#, Absent, YES),
        (r#""Null":{"aws:k":"true"}"#, One("a"), NO),
        (r#""Null":{"aws:k":"false"}"#, Absent, NO),
        (r#""Null":{"aws:k":false}"#, One("a"), YES),
        (r#""Null":{"aws:k":"false"}"#, One(""), YES),
        (r#""Null":{"aws:k":"true"}"#, Many(&[]), YES),
        (r#""Null":{"aws:k":"false"}"#, Many(&[]), NO),
        (r#""Null":{"aws:k":["true","false"]}"#, Absent, YES),
        // So that `ForAllValues` with an Allow can be closed.
        (r#""ForAllValues:StringEquals":{"aws:k":"a"},"Null":{"aws:k":"false"}"#, Many(&[]), NO),
    ]);
}

/// Condition: "Condition key names are not case-sensitive"; String condition operators: "Exact matching, case sensitive";
/// Action: "The prefix and the action name are case insensitive"; Resource: "the IAM user name is case sensitive".
#[test]
fn case() {
    assert_eq!(condition(r#""StringEquals":{"AWS:UserName":"ann"}"#, &[("aws:username", One("ann"))]), YES);
    assert_eq!(condition(r#""StringEquals":{"aws:username":"Ann"}"#, &[("aws:username", One("ann"))]), NO);
    let act = |pattern: &str, action: &str| statement(&format!(r#""Action":"{pattern}","Resource":"*""#), action, TOOL, &[]);
    assert_eq!(act("MCP:calltool", "mcp:CallTool"), YES);
    assert_eq!(act("mcp:Call*", "mcp:CALLTOOL"), YES);
    assert_eq!(act("mcp:List*", "mcp:CallTool"), NO);
    let upper = "arn:aws:mcp:eu-west-1:111122223333:server/Files/tool/read";
    assert_eq!(resource(&format!(r#""Resource":"{upper}""#), TOOL, &[]), NO);
    table(&[
        (r#""StringEqualsIgnoreCase":{"aws:k":"aNN"}"#, One("Ann"), YES),
        (r#""StringNotEqualsIgnoreCase":{"aws:k":"aNN"}"#, One("Ann"), NO),
        (r#""StringEqualsIgnoreCase":{"aws:k":"anna"}"#, One("Ann"), NO),
        (r#""StringEqualsIgnoreCase":{"aws:k":"ÄB"}"#, One("äb"), MAYBE),
        (r#""StringEqualsIgnoreCase":{"aws:k":"ÄB"}"#, One("Äb"), YES),
    ]);
}

/// Action: "You can use multi-character match wildcards (*) and single-character match wildcards (?) anywhere"; NotAction:
/// "matches everything except the specified list of actions".
#[test]
fn actions() {
    let act = |element: &str| statement(&format!(r#"{element},"Resource":"*""#), "mcp:CallTool", TOOL, &[]);
    for (element, expected) in [
        (r#""Action":"*""#, YES),
        (r#""Action":"mcp:*""#, YES),
        (r#""Action":"mcp:*Tool""#, YES),
        (r#""Action":"mcp:C?llTool""#, YES),
        (r#""Action":"mcp:CallTool?""#, NO),
        (r#""Action":"s3:*""#, NO),
        (r#""Action":["s3:*","mcp:CallTool"]"#, YES),
        (r#""NotAction":"s3:*""#, YES),
        (r#""NotAction":["s3:*","mcp:Call*"]"#, NO),
        (r#""NotAction":"*""#, NO),
    ] {
        assert_eq!(act(element), expected, "{element}");
    }
}

/// Condition operators, ARN: "Case-sensitive matching of the ARN. Each of the six colon-delimited components of the ARN is
/// checked separately … The ArnEquals and ArnLike condition operators behave identically."
#[test]
fn arns() {
    let long = "arn:aws:someservice:us-east-2:999999999999:store/abc:111122223333:finance/document.txt";
    for (operator, expected) in [("ArnLike", YES), ("ArnEquals", YES), ("ArnNotLike", NO), ("ArnNotEquals", NO)] {
        for arn in ["arn:aws:iam::111122223333:role/a", "arn:aws:iam::111122223333:role/x/a:b"] {
            let text = format!(r#""{operator}":{{"aws:k":"arn:aws:iam::1111*:role/*"}}"#);
            assert_eq!(condition(&text, &[("aws:k", One(arn))]), expected, "{operator} {arn}");
        }
    }
    table(&[
        (r#""ArnLike":{"aws:k":"arn:aws:someservice:*:111122223333:finance/*"}"#, One(long), NO),
        (r#""StringLike":{"aws:k":"arn:aws:someservice:*:111122223333:finance/*"}"#, One(long), YES),
        (r#""ArnLike":{"aws:k":"arn:aws:s3:::Bucket"}"#, One("arn:aws:s3:::bucket"), NO),
        (r#""ArnLike":{"aws:k":"arn:aws:sns:*:*:a?c"}"#, One("arn:aws:sns:r:1:abc"), YES),
        (r#""ArnLike":{"aws:k":"arn:aws:sns:*:*:*"}"#, One("arn:aws:sns:r"), MAYBE),
        (r#""ArnNotLike":{"aws:k":"arn:aws:sns:*:*:*"}"#, One("topic"), MAYBE),
    ]);
    let facts: Facts<'_> =
        &[("aws:k", One("arn:aws:iam::111122223333:role/ann")), ("aws:username", One("ann")), ("aws:colon", One("::"))];
    assert_eq!(condition(r#""ArnLike":{"aws:k":"arn:aws:iam::111122223333:role/${aws:username}"}"#, facts), YES);
    assert_eq!(condition(r#""ArnLike":{"aws:k":"arn:aws:iam:${aws:colon}:111122223333:role/ann"}"#, facts), NO);
}

/// Resource: "If the * wildcard is the last character of a resource ARN segment, it can expand to match beyond the colon
/// boundaries", and it "can expand to replace everything within a segment, including characters such as a forward slash".
#[test]
fn resources() {
    let deep = "arn:aws:logs:eu-west-1:111122223333:log-group:/app/web:stream";
    let object = "arn:aws:s3:::bucket/home/ann/x:y";
    for (element, name, expected) in [
        (r#""Resource":"*""#, TOOL, YES),
        (r#""Resource":"arn:aws:mcp:*:*:server/files/tool/*""#, TOOL, YES),
        (r#""Resource":"arn:aws:mcp:*:*:server/*""#, TOOL, YES),
        (r#""Resource":"arn:aws:mcp:*:*:server/*/read""#, TOOL, YES),
        (r#""Resource":"arn:aws:mcp:*:*:*""#, TOOL, YES),
        (r#""Resource":"arn:*:mcp:*:*:*""#, TOOL, YES),
        (r#""Resource":"arn:aws:mcp:*:444455556666:*""#, TOOL, NO),
        (r#""Resource":["arn:aws:s3:::x","arn:aws:mcp:*:*:server/f?les/*"]"#, TOOL, YES),
        (r#""Resource":"arn:aws:logs:eu-west-1:*:log-group:*""#, deep, YES),
        (r#""Resource":"arn:aws:s3:::b*/ann/*""#, object, YES),
        (r#""Resource":"arn:aws:s3:::bucket/*:y""#, object, YES),
        // A star that ends its part goes beyond the colon, one within it doesn't, as far as AWS says.
        (r#""Resource":"arn:aws:logs:eu-west-1:*:stream""#, deep, YES),
        (r#""Resource":"arn:aws:logs:eu-west-1:1*b:stream""#, deep, MAYBE),
        // "You can't use a wildcard in the service segment": a Deny isn't ignored for it.
        (r#""Resource":"arn:aws:*:eu-west-1:111122223333:server/*""#, TOOL, MAYBE),
        (r#""Resource":"arn:*:*:*:*:*""#, TOOL, MAYBE),
        (r#""NotResource":"arn:aws:m?p:*:*:server/files/*""#, TOOL, MAYBE),
        (r#""NotResource":"arn:aws:mcp:*:*:server/git/*""#, TOOL, YES),
        (r#""NotResource":"arn:aws:mcp:*:*:server/files/*""#, TOOL, NO),
        (r#""NotResource":"arn:aws:logs:eu-west-1:1*b:stream""#, deep, MAYBE),
        // IAM ARNs: "Don't use a wildcard in the user/, group/, or policy part of the ARN."
        (r#""Resource":"arn:aws:mcp:*:*:s*/files/tool/read""#, TOOL, MAYBE),
        (r#""Resource":"arn:aws:mcp:*:*:s*""#, TOOL, MAYBE),
        (r#""NotResource":"arn:aws:mcp:*:*:s*""#, TOOL, MAYBE),
        // An action without a resource is about `*`.
        (r#""Resource":"*""#, "*", YES),
        (r#""Resource":"arn:aws:mcp:*:*:server/*""#, "*", NO),
        (r#""NotResource":"arn:aws:mcp:*:*:server/*""#, "*", YES),
    ] {
        assert_eq!(resource(element, name, &[]), expected, "{element} on {name}");
    }
}

/// Variables and tags: substituted values are literal; "Specifying default values"; "Special characters".
#[test]
fn variables() {
    let facts: Facts<'_> = &[
        ("aws:username", One("ann")),
        ("aws:star", One("*")),
        ("aws:empty", One("")),
        ("aws:list", Many(&[Borrowed("ann")])),
        ("aws:unknown", Unknown),
        ("aws:k", One("ann")),
        ("aws:special", One("a*?$")),
    ];
    for (text, expected) in [
        (r#""StringEquals":{"aws:k":"${aws:username}"}"#, YES),
        (r#""StringEquals":{"aws:k":"${AWS:UserName}"}"#, YES),
        (r#""StringLike":{"aws:k":"${aws:username}*"}"#, YES),
        (r#""StringLike":{"aws:k":"${aws:star}"}"#, NO),
        (r#""StringEquals":{"aws:k":"${aws:missing, 'ann'}"}"#, YES),
        (r#""StringLike":{"aws:k":"${aws:missing, '*'}"}"#, NO),
        (r#""StringEquals":{"aws:k":"${aws:username, 'bob'}"}"#, YES),
        (r#""StringEquals":{"aws:special":"a${*}${?}${$}"}"#, YES),
        (r#""StringLike":{"aws:special":"a${*}??"}"#, YES),
        (r#""StringLike":{"aws:k":"a${*}"}"#, NO),
        (r#""StringEquals":{"aws:k":"a*"}"#, NO),
        (r#""StringEqualsIgnoreCase":{"aws:k":"${aws:username}"}"#, YES),
        // Without a value: an Allow does not match, a Deny does.
        (r#""StringEquals":{"aws:k":"${aws:missing}"}"#, MAYBE),
        (r#""StringNotEquals":{"aws:k":"${aws:missing}"}"#, MAYBE),
        (r#""StringLike":{"aws:k":"${aws:missing}*"}"#, MAYBE),
        (r#""StringNotLike":{"aws:k":"x${aws:missing}"}"#, MAYBE),
        (r#""StringEquals":{"aws:k":"${aws:empty}"}"#, MAYBE),
        (r#""StringEquals":{"aws:k":"${aws:list}"}"#, MAYBE),
        (r#""StringEquals":{"aws:k":"${aws:list, 'ann'}"}"#, MAYBE),
        (r#""StringEquals":{"aws:k":"${aws:unknown, 'ann'}"}"#, MAYBE),
        (r#""StringEqualsIgnoreCase":{"aws:k":"${aws:missing}"}"#, MAYBE),
        // Another value decides, or no value of the variable could.
        (r#""StringEquals":{"aws:k":["${aws:missing}","ann"]}"#, YES),
        (r#""StringNotEquals":{"aws:k":["${aws:missing}","ann"]}"#, NO),
        (r#""StringEquals":{"aws:k":"bob-${aws:missing}"}"#, NO),
    ] {
        assert_eq!(condition(text, facts), expected, "{text}");
    }
    let home = "arn:aws:s3:::bucket/home/ann/x";
    for (element, expected) in [
        (r#""Resource":"arn:aws:s3:::bucket/home/${aws:username}/*""#, YES),
        (r#""Resource":"arn:aws:s3:::bucket/home/${aws:star}/x""#, NO),
        (r#""Resource":"arn:aws:s3:::bucket/home/${aws:missing, 'ann'}/*""#, YES),
        (r#""Resource":"arn:aws:s3:::bucket/home/${aws:missing}/*""#, MAYBE),
        (r#""Resource":"arn:aws:s3:::other/${aws:missing}/*""#, NO),
        (r#""NotResource":"arn:aws:s3:::bucket/home/${aws:username}/*""#, NO),
        (r#""NotResource":"arn:aws:s3:::other/${aws:missing}/*""#, MAYBE),
    ] {
        assert_eq!(resource(element, home, facts), expected, "{element}");
    }
}

/// Numeric condition operators: "comparing a key to an integer or decimal value"; exactly, not as floating point numbers.
#[test]
fn numbers() {
    table(&[
        (r#""NumericEquals":{"aws:k":"10"}"#, One("10.0"), YES),
        (r#""NumericEquals":{"aws:k":10}"#, One("010"), YES),
        (r#""NumericEquals":{"aws:k":"9007199254740993"}"#, One("9007199254740992"), NO),
        (r#""NumericEquals":{"aws:k":"0.3"}"#, One("0.30000000000000004"), NO),
        (r#""NumericEquals":{"aws:k":"-0"}"#, One("0.000"), YES),
        (r#""NumericNotEquals":{"aws:k":"1"}"#, One("1.00"), NO),
        (r#""NumericLessThan":{"aws:k":"-1"}"#, One("-1.5"), YES),
        (r#""NumericLessThan":{"aws:k":"0.1"}"#, One("0.09999999999999999999999999"), YES),
        (r#""NumericLessThanEquals":{"aws:k":"5"}"#, One("5"), YES),
        (r#""NumericGreaterThan":{"aws:k":"99999999999999999999"}"#, One("100000000000000000000"), YES),
        (r#""NumericGreaterThanEquals":{"aws:k":"0.0010"}"#, One("0.001"), YES),
        (r#""NumericGreaterThan":{"aws:k":"5"}"#, One("1e1"), MAYBE),
        (r#""NumericEquals":{"aws:k":"5"}"#, One("5 "), MAYBE),
        (r#""NumericNotEquals":{"aws:k":"5"}"#, One("five"), MAYBE),
        (r#""NumericEquals":{"aws:k":"5"}"#, One(""), MAYBE),
        (r#""NumericEquals":{"aws:k":"5"}"#, One("+5"), MAYBE),
    ]);
}

/// Date condition operators: "one of the W3C implementations of the ISO 8601 date formats or in epoch (UNIX) time".
#[test]
fn dates() {
    table(&[
        (r#""DateEquals":{"aws:k":"2026-01-31T12:30:00Z"}"#, One("1769862600"), YES),
        (r#""DateEquals":{"aws:k":1769862600}"#, One("2026-01-31T13:30:00+01:00"), YES),
        (r#""DateEquals":{"aws:k":"2026-01-31T07:00:00-05:30"}"#, One("2026-01-31T12:30Z"), YES),
        (r#""DateEquals":{"aws:k":"2026-02"}"#, One("2026-02-01T00:00:00Z"), YES),
        (r#""DateNotEquals":{"aws:k":"2026-02-01"}"#, One("2026-02"), NO),
        (r#""DateLessThan":{"aws:k":"2026-01-31T12:30:00.5Z"}"#, One("2026-01-31T12:30:00.499999999Z"), YES),
        (r#""DateGreaterThan":{"aws:k":"2024-02-29"}"#, One("2024-03-01"), YES),
        (r#""DateLessThanEquals":{"aws:k":"1970-01-01"}"#, One("0"), YES),
        (r#""DateLessThan":{"aws:k":"1970-01-01"}"#, One("1969-12-31T23:59:59Z"), YES),
        (r#""DateGreaterThanEquals":{"aws:k":"2000-01-01"}"#, One("946684800"), YES),
        (r#""DateGreaterThan":{"aws:k":"2020-01-01"}"#, One("2023-02-29"), MAYBE),
        (r#""DateGreaterThan":{"aws:k":"2020-01-01"}"#, One("2023-01-01T00:00:00"), MAYBE),
        (r#""DateGreaterThan":{"aws:k":"2020-01-01"}"#, One("2023"), MAYBE),
        (r#""DateGreaterThan":{"aws:k":"2020-01-01"}"#, One("1769862600000"), MAYBE),
        (r#""DateNotEquals":{"aws:k":"2020-01-01"}"#, One("yesterday"), MAYBE),
    ]);
}

/// IP address condition operators: "The value must be in the standard CIDR format"; an IPv4 address alone is a /32.
#[test]
fn addresses() {
    table(&[
        (r#""IpAddress":{"aws:k":"203.0.113.0/24"}"#, One("203.0.113.255"), YES),
        (r#""IpAddress":{"aws:k":"203.0.113.0/24"}"#, One("203.0.114.0"), NO),
        (r#""IpAddress":{"aws:k":"203.0.113.77/24"}"#, One("203.0.113.1"), YES),
        (r#""IpAddress":{"aws:k":"203.0.113.7"}"#, One("203.0.113.7"), YES),
        (r#""IpAddress":{"aws:k":"203.0.113.7"}"#, One("203.0.113.8"), NO),
        (r#""IpAddress":{"aws:k":"0.0.0.0/0"}"#, One("8.8.8.8"), YES),
        (r#""IpAddress":{"aws:k":"0.0.0.0/0"}"#, One("2001:db8::1"), NO),
        (r#""IpAddress":{"aws:k":"::/0"}"#, One("2001:db8::1"), YES),
        (r#""IpAddress":{"aws:k":"::/0"}"#, One("8.8.8.8"), NO),
        (r#""IpAddress":{"aws:k":"2001:DB8:1234:5678::/64"}"#, One("2001:db8:1234:5678:0:0:0:1"), YES),
        (r#""IpAddress":{"aws:k":["10.0.0.0/8","2001:db8::/32"]}"#, One("2001:db8::1"), YES),
        (r#""NotIpAddress":{"aws:k":["10.0.0.0/8","192.168.0.0/16"]}"#, One("192.168.1.1"), NO),
        (r#""NotIpAddress":{"aws:k":"10.0.0.0/8"}"#, One("::1"), YES),
        // The same node, in two notations.
        (r#""IpAddress":{"aws:k":"10.0.0.0/8"}"#, One("::ffff:10.1.2.3"), MAYBE),
        (r#""NotIpAddress":{"aws:k":"10.0.0.0/8"}"#, One("::ffff:10.1.2.3"), MAYBE),
        (r#""IpAddress":{"aws:k":"10.0.0.0/8"}"#, One("::ffff:11.1.2.3"), NO),
        (r#""IpAddress":{"aws:k":["10.0.0.0/8","::/0"]}"#, One("::ffff:10.1.2.3"), YES),
        (r#""IpAddress":{"aws:k":"10.0.0.0/8"}"#, One("10.1.2"), MAYBE),
        (r#""IpAddress":{"aws:k":"10.0.0.0/8"}"#, One("010.1.2.3"), MAYBE),
        (r#""NotIpAddress":{"aws:k":"10.0.0.0/8"}"#, One("fe80::1%eth0"), MAYBE),
    ]);
}

/// Boolean condition operators, and Binary: "byte for byte against a base-64 encoded representation".
#[test]
fn truth_values_and_bytes() {
    table(&[
        (r#""Bool":{"aws:k":"true"}"#, One("true"), YES),
        (r#""Bool":{"aws:k":true}"#, One("TRUE"), YES),
        (r#""Bool":{"aws:k":"true"}"#, One("false"), NO),
        (r#""BoolIfExists":{"aws:k":"true"}"#, Absent, YES),
        (r#""Bool":{"aws:k":"false"}"#, One("0"), MAYBE),
        (r#""BinaryEquals":{"aws:k":"QmluYXJ5VmFsdWVJbkJhc2U2NA=="}"#, One("QmluYXJ5VmFsdWVJbkJhc2U2NA=="), YES),
        (r#""BinaryEquals":{"aws:k":"QQ=="}"#, One("Qg=="), NO),
        (r#""BinaryEquals":{"aws:k":"QQ=="}"#, One("QR=="), MAYBE),
        (r#""BinaryEquals":{"aws:k":"QQ=="}"#, One("A"), MAYBE),
    ]);
}

/// A fact that could not be found out: nothing that depends on it allows, everything that does denies.
#[test]
fn unknown_facts() {
    for text in [
        r#""StringEquals":{"aws:k":"a"}"#,
        r#""StringNotEquals":{"aws:k":"a"}"#,
        r#""StringEqualsIfExists":{"aws:k":"a"}"#,
        r#""ForAllValues:StringEquals":{"aws:k":"a"}"#,
        r#""ForAnyValue:StringEquals":{"aws:k":"a"}"#,
        r#""Null":{"aws:k":"true"}"#,
        r#""Null":{"aws:k":"false"}"#,
        r#""IpAddress":{"aws:k":"0.0.0.0/0"}"#,
    ] {
        assert_eq!(condition(text, &[("aws:k", Unknown)]), MAYBE, "{text}");
        // What is false anyway doesn't depend on it.
        let both = format!(r#"{text},"Bool":{{"aws:other":"true"}}"#);
        assert_eq!(condition(&both, &[("aws:k", Unknown)]), NO, "{both}");
    }
}

/// Slots of other keys than the context's are unknown, and a value longer than is looked at can't be told.
#[test]
fn what_is_out_of_bounds() {
    let long = "a".repeat(9000);
    assert_eq!(condition(r#""StringLike":{"aws:k":"a*b"}"#, &[("aws:k", One(&long))]), MAYBE);
    assert_eq!(condition(r#""StringNotLike":{"aws:k":"b*"}"#, &[("aws:k", One(&long))]), MAYBE);
    let mut keys = Keys::new();
    let identity = set(
        &mut keys,
        PolicyKind::Identity,
        r#"{"Effect":"Allow","Action":"*","Resource":"*","Condition":{"StringNotEquals":{"aws:k":"a"}}}"#,
    );
    let none = Context::new(&Keys::new());
    let session = Principal::session(ROLE, SESSION).unwrap();
    let request =
        Request { principal: &session, action: "mcp:CallTool", resource: TOOL, resource_account: Some(ACCOUNT), context: &none };
    assert_eq!(evaluate(&request, &Layers::of_identity(&identity), false).decision(), Decision::ImplicitlyDenied);
}
