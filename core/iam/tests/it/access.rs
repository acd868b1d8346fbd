//! What a change grants: proofs, witnesses, and that neither is wrong.

use std::borrow::Cow;
use std::sync::Arc;

use proptest::prelude::*;
use remit_iam::access::{Access, Answer, Witness, new_access, new_trust};
use remit_iam::{Context, Decision, Keys, Layers, Policy, PolicyKind, PolicySet, Principal, Request, Value, document, evaluate};

fn policy(kind: PolicyKind, statements: &str) -> Arc<Policy> {
    let text = format!(r#"{{"Version":"2012-10-17","Statement":[{statements}]}}"#).replace(r#","Condition":{}"#, "");
    let node = document::parse(&text).unwrap_or_else(|faults| panic!("{text}: {faults:?}"));
    Arc::new(Policy::read(kind, "p", "p.json", &node).unwrap_or_else(|faults| panic!("{text}: {faults:?}")))
}

fn access(statements: &str) -> Access {
    let identity = if statements.is_empty() { Vec::new() } else { vec![policy(PolicyKind::Identity, statements)] };
    Access { identity, ..Access::default() }
}

fn compare(old: &str, new: &str) -> Answer {
    new_access(&access(old), &access(new), "111122223333")
}

fn witness(old: &str, new: &str) -> Witness {
    match compare(old, new) {
        Answer::Grants(witness) => *witness,
        other => panic!("{other:?}\n{old}\n{new}"),
    }
}

fn is_nothing(old: &str, new: &str) -> bool {
    matches!(compare(old, new), Answer::Nothing { .. })
}

fn allow(action: &str, resource: &str, condition: &str) -> String {
    format!(r#"{{"Effect":"Allow","Action":{action},"Resource":{resource},"Condition":{condition}}}"#)
}

fn deny(action: &str, resource: &str, condition: &str) -> String {
    allow(action, resource, condition).replace("Allow", "Deny")
}

#[test]
fn what_is_narrower_grants_nothing() {
    let wide = allow(r#""s3:*""#, r#""arn:aws:s3:::a*""#, "{}");
    for narrow in [
        wide.clone(),
        allow(r#"["s3:Get*","s3:PutObject"]"#, r#""arn:aws:s3:::ab/*""#, "{}"),
        allow(r#""s3:*""#, r#""arn:aws:s3:::a*""#, r#"{"StringEquals":{"aws:PrincipalTag/team":"sre"}}"#),
        format!("{wide},{}", deny(r#""s3:Delete*""#, r#""*""#, "{}")),
        String::new(),
    ] {
        assert!(is_nothing(&wide, &narrow), "{narrow}");
    }
    assert!(is_nothing("", ""));
}

#[test]
fn what_is_wider_is_shown() {
    let found = witness("", &allow(r#""s3:GetObject""#, r#""arn:aws:s3:::a""#, "{}"));
    assert_eq!((found.action.as_str(), found.resource.as_str(), found.context.len()), ("s3:getobject", "arn:aws:s3:::a", 0));
    assert_eq!(found.by, "p: statement 1 at p.json:1");
    let old = allow(r#""s3:Get*""#, r#""arn:aws:s3:::a/*""#, "{}");
    let found = witness(&old, &allow(r#""s3:*""#, r#""arn:aws:s3:::a/*""#, "{}"));
    assert!(found.action.starts_with("s3:") && !found.action.starts_with("s3:get"), "{found:?}");
    let found = witness(&old, &allow(r#""s3:Get*""#, r#""arn:aws:s3:::*""#, "{}"));
    assert!(!found.resource.starts_with("arn:aws:s3:::a/"), "{found:?}");
    // A Deny that goes away grants what it denied.
    let denied = deny(r#""s3:GetObject""#, r#""arn:aws:s3:::a/secret""#, "{}");
    let found = witness(&format!("{old},{denied}"), &old);
    assert_eq!((found.action.as_str(), found.resource.as_str()), ("s3:getobject", "arn:aws:s3:::a/secret"));
}

#[test]
fn conditions_are_compared_value_by_value() {
    let with = |condition: &str| allow(r#""mcp:CallTool""#, r#""*""#, condition);
    let cases = [
        // old, new, the key whose value the witness shows (none: nothing is granted)
        (
            r#"{"StringEquals":{"mcp:ToolClass":["READ_ONLY","MUTATIVE"]}}"#,
            r#"{"StringEquals":{"mcp:ToolClass":"READ_ONLY"}}"#,
            None,
        ),
        (
            r#"{"StringEquals":{"mcp:ToolClass":"READ_ONLY"}}"#,
            r#"{"StringEquals":{"mcp:ToolClass":["READ_ONLY","MUTATIVE"]}}"#,
            Some(("mcp:toolclass", "MUTATIVE")),
        ),
        (r#"{"StringLike":{"mcp:Tool":"get_*"}}"#, r#"{"StringLike":{"mcp:Tool":"get_t*"}}"#, None),
        (r#"{"StringLike":{"mcp:Tool":"get_t*"}}"#, r#"{"StringLike":{"mcp:Tool":"get_*"}}"#, Some(("mcp:tool", "get_"))),
        (r#"{"StringEquals":{"mcp:Tool":"a"}}"#, r#"{"StringEqualsIgnoreCase":{"mcp:Tool":"a"}}"#, Some(("mcp:tool", "A"))),
        (r#"{"StringEqualsIgnoreCase":{"mcp:Tool":"a"}}"#, r#"{"StringEquals":{"mcp:Tool":"A"}}"#, None),
        (
            r#"{"StringEquals":{"aws:PrincipalTag/t":"x"}}"#,
            r#"{"StringEqualsIfExists":{"aws:PrincipalTag/t":"x"}}"#,
            Some(("", "")),
        ),
        (r#"{"StringNotEquals":{"mcp:Tool":"a"}}"#, r#"{"StringNotEquals":{"mcp:Tool":["a","b"]}}"#, None),
        (r#"{"StringNotEquals":{"mcp:Tool":["a","b"]}}"#, r#"{"StringNotEquals":{"mcp:Tool":"a"}}"#, Some(("mcp:tool", "b"))),
        (r#"{"NumericLessThan":{"x:n":"10"}}"#, r#"{"NumericLessThan":{"x:n":"9.5"}}"#, None),
        (r#"{"NumericLessThan":{"x:n":"9.5"}}"#, r#"{"NumericLessThan":{"x:n":"10"}}"#, Some(("x:n", "9.5"))),
        (r#"{"NumericLessThan":{"x:n":"1"}}"#, r#"{"NumericLessThanEquals":{"x:n":"1"}}"#, Some(("x:n", "1"))),
        (r#"{"DateLessThan":{"aws:CurrentTime":"2026-02-01"}}"#, r#"{"DateLessThan":{"aws:CurrentTime":"2026-01-01"}}"#, None),
        (
            r#"{"DateLessThan":{"aws:CurrentTime":"2026-01-01"}}"#,
            r#"{"DateLessThan":{"aws:CurrentTime":"2026-02-01"}}"#,
            Some(("aws:currenttime", "1767225600")),
        ),
        (r#"{"IpAddress":{"aws:SourceIp":"10.0.0.0/8"}}"#, r#"{"IpAddress":{"aws:SourceIp":"10.1.0.0/16"}}"#, None),
        (
            r#"{"IpAddress":{"aws:SourceIp":"10.1.0.0/16"}}"#,
            r#"{"IpAddress":{"aws:SourceIp":"10.0.0.0/8"}}"#,
            Some(("aws:sourceip", "10.0.0.0")),
        ),
        (
            r#"{"Bool":{"aws:SecureTransport":"true"}}"#,
            r#"{"Bool":{"aws:SecureTransport":["true","false"]}}"#,
            Some(("aws:securetransport", "false")),
        ),
        (
            r#"{"ArnLike":{"aws:PrincipalArn":"arn:aws:iam::111122223333:role/a*"}}"#,
            r#"{"ArnLike":{"aws:PrincipalArn":"arn:aws:iam::111122223333:role/ab"}}"#,
            None,
        ),
        (
            r#"{"ForAnyValue:StringEquals":{"mcp:ToolCategories":"plan"}}"#,
            r#"{"ForAllValues:StringEquals":{"mcp:ToolCategories":"plan"}}"#,
            Some(("", "")),
        ),
        (
            r#"{"ForAllValues:StringEquals":{"mcp:ToolCategories":["a","b"]}}"#,
            r#"{"ForAllValues:StringEquals":{"mcp:ToolCategories":["a"]}}"#,
            None,
        ),
        (r#"{"Null":{"aws:PrincipalTag/t":"false"}}"#, r#"{"StringEquals":{"aws:PrincipalTag/t":"x"}}"#, None),
    ];
    for (old, new, expected) in cases {
        match (expected, compare(&with(old), &with(new))) {
            (None, Answer::Nothing { .. }) => {}
            (Some(("", _)), Answer::Grants(found)) => assert!(found.context.is_empty(), "{old} {new}: {found:?}"),
            (Some((key, value)), Answer::Grants(found)) => {
                assert_eq!(found.context.get(key).map(Vec::as_slice), Some(&[value.to_owned()][..]), "{old} {new}");
            }
            (_, other) => panic!("{old} {new}: {other:?}"),
        }
    }
}

#[test]
fn variables_are_values_of_their_keys() {
    let home = allow(r#""s3:*""#, r#""arn:aws:s3:::home/${aws:username}/*""#, "{}");
    assert!(is_nothing(&home, &home));
    assert!(is_nothing(&allow(r#""s3:*""#, r#""arn:aws:s3:::home/*""#, "{}"), &home));
    let found = witness(&home, &allow(r#""s3:*""#, r#""arn:aws:s3:::home/*""#, "{}"));
    assert!(found.resource.starts_with("arn:aws:s3:::home/"), "{found:?}");
    witness(&home, &allow(r#""s3:*""#, r#""arn:aws:s3:::home/${aws:PrincipalTag/name}/*""#, "{}"));
}

#[test]
fn boundaries_and_control_policies_count() {
    let much = allow(r#""s3:*""#, r#""*""#, "{}");
    let little = policy(PolicyKind::Identity, &allow(r#""s3:Get*""#, r#""*""#, "{}"));
    let mut old = access(&allow(r#""s3:Get*""#, r#""*""#, "{}"));
    let mut new = Access { boundary: Some(Arc::clone(&little)), ..access(&much) };
    assert!(matches!(new_access(&old, &new, "111122223333"), Answer::Nothing { .. }));
    new.boundary = None;
    assert!(matches!(new_access(&old, &new, "111122223333"), Answer::Grants(_)));
    let control = policy(
        PolicyKind::ServiceControl,
        r#"{"Effect":"Allow","Action":"*","Resource":"*"},{"Effect":"Deny","Action":"s3:Put*","Resource":"*"}"#,
    );
    old = Access { service_control: vec![vec![control]], ..access(&much) };
    let found = match new_access(&old, &access(&much), "111122223333") {
        Answer::Grants(found) => found,
        other => panic!("{other:?}"),
    };
    assert!(found.action.starts_with("s3:put"), "{found:?}");
}

#[test]
fn trust_is_compared_by_who_is_let_in() {
    let trust = |principal: &str, condition: &str| {
        policy(
            PolicyKind::Trust,
            &format!(r#"{{"Effect":"Allow","Principal":{principal},"Action":"sts:AssumeRole","Condition":{condition}}}"#),
        )
    };
    let role = "arn:aws:iam::111122223333:role/r";
    let ask = |old: &Arc<Policy>, new: &Arc<Policy>| new_trust(Some(old), new, role);
    let id = trust(r#"{"AWS":"arn:aws:iam::444455556666:role/a"}"#, r#"{"StringEquals":{"sts:ExternalId":"x"}}"#);
    let open = trust(r#"{"AWS":"arn:aws:iam::444455556666:role/a"}"#, r#"{"StringLike":{"sts:ExternalId":"x*"}}"#);
    let account = trust(r#"{"AWS":"444455556666"}"#, r#"{"StringEquals":{"sts:ExternalId":"x"}}"#);
    assert!(matches!(ask(&id, &id), Answer::Nothing { .. }));
    assert!(matches!(ask(&open, &id), Answer::Nothing { .. }));
    let Answer::Grants(found) = ask(&id, &open) else { panic!("an external id more") };
    assert!(found.context["sts:externalid"][0].starts_with('x') && found.context["sts:externalid"][0] != "x");
    let Answer::Grants(found) = ask(&id, &account) else { panic!("an account is more than a role of it") };
    assert!(found.principal.as_deref().is_some_and(|arn| arn.contains("444455556666") && arn.contains("somebody")), "{found:?}");
    assert!(matches!(new_trust(None, &id, role), Answer::Grants(_)));
}

/// Statements over few actions, resources and keys, so that they meet.
fn statement() -> impl Strategy<Value = String> {
    let pick = |of: &'static [&'static str]| proptest::sample::select(of);
    let effects = pick(&["Allow", "Allow", "Deny"]);
    let actions = pick(&[r#""s3:*""#, r#""s3:Get*""#, r#"["s3:GetObject","s3:Put*"]"#, r#""s3:*Object""#, r#""*""#]);
    let resources = pick(&[r#""*""#, r#""arn:aws:s3:::a*""#, r#""arn:aws:s3:::ab""#, r#"["arn:aws:s3:::*b","arn:aws:s3:::c"]"#]);
    let conditions = pick(&[
        "{}",
        r#"{"StringEquals":{"x:a":"1"}}"#,
        r#"{"StringLike":{"x:a":["1*","*2"]}}"#,
        r#"{"StringNotEquals":{"x:a":"1"}}"#,
        r#"{"StringEqualsIfExists":{"x:a":"2"}}"#,
        r#"{"NumericGreaterThan":{"x:n":"5"}}"#,
        r#"{"NumericLessThan":{"x:n":"5.5"},"Null":{"x:a":"true"}}"#,
        r#"{"ForAnyValue:StringEquals":{"x:m":["p","q"]}}"#,
        r#"{"ForAllValues:StringLike":{"x:m":"p*"}}"#,
        r#"{"Null":{"x:a":"false"}}"#,
    ]);
    let not = pick(&["Action", "Action", "Action", "NotAction"]);
    (effects, actions, resources, conditions, not).prop_map(|(effect, action, resource, condition, not)| {
        format!(r#"{{"Effect":"{effect}","{not}":{action},"Resource":{resource},"Condition":{condition}}}"#)
    })
}

/// The decision of a policy about one request.
fn allowed(statements: &str, action: &str, resource: &str, context: &[(&str, Vec<&str>, bool)]) -> bool {
    let mut keys = Keys::new();
    let set = PolicySet::compile(&mut keys, &[policy(PolicyKind::Identity, statements)]);
    let mut bound = Context::new(&keys);
    let many: Vec<Vec<Cow<'_, str>>> =
        context.iter().map(|(_, values, _)| values.iter().map(|value| Cow::Borrowed(*value)).collect()).collect();
    for ((key, values, several), many) in context.iter().zip(&many) {
        if let Some(slot) = keys.slot(key) {
            bound.set(slot, if *several { Value::Many(many) } else { Value::One(values[0]) });
        }
    }
    let principal = Principal::user("arn:aws:iam::111122223333:user/u").unwrap();
    let request = Request { principal: &principal, action, resource, resource_account: Some("111122223333"), context: &bound };
    evaluate(&request, &Layers::of_identity(&set), false).decision() == Decision::Allowed
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(150))]

    /// A witness is allowed by the new policy and not by the old; where there is none, no request of a dense sample is newly allowed.
    #[test]
    fn answers_hold(old in proptest::collection::vec(statement(), 1..4), new in proptest::collection::vec(statement(), 1..4)) {
        let (old, new) = (old.join(","), new.join(","));
        match compare(&old, &new) {
            Answer::Grants(found) => {
                let context: Vec<(&str, Vec<&str>, bool)> = found
                    .context
                    .iter()
                    .map(|(key, values)| (key.as_str(), values.iter().map(String::as_str).collect(), key == "x:m"))
                    .collect();
                prop_assert!(allowed(&new, &found.action, &found.resource, &context), "{found:?}");
                prop_assert!(!allowed(&old, &found.action, &found.resource, &context), "{found:?}");
            }
            Answer::Nothing { .. } => {
                for action in ["s3:GetObject", "s3:GetBucket", "s3:PutObject", "s3:List", "ec2:GetObject", "ec2:Run"] {
                    for resource in ["arn:aws:s3:::a", "arn:aws:s3:::ab", "arn:aws:s3:::b", "arn:aws:s3:::c", "arn:aws:s3:::d"] {
                        for a in [None, Some("1"), Some("2"), Some("12"), Some("3")] {
                            for n in [None, Some("5"), Some("5.2"), Some("6")] {
                                for m in [None, Some(vec![]), Some(vec!["p"]), Some(vec!["p", "z"]), Some(vec!["z"])] {
                                    let mut context = Vec::new();
                                    context.extend(a.map(|a| ("x:a", vec![a], false)));
                                    context.extend(n.map(|n| ("x:n", vec![n], false)));
                                    context.extend(m.map(|m| ("x:m", m, true)));
                                    let newly = allowed(&new, action, resource, &context) && !allowed(&old, action, resource, &context);
                                    prop_assert!(!newly, "{action} {resource} {context:?}\n{old}\n{new}");
                                }
                            }
                        }
                    }
                }
            }
            Answer::Unknown { why, .. } => prop_assert!(false, "{why}"),
        }
    }
}
