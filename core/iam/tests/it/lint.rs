//! Every rule of the linter, with a policy that breaks it and one that doesn't.

use remit_iam::{Policy, PolicyKind, document, lint::lint};

fn codes(kind: PolicyKind, statements: &str) -> Vec<&'static str> {
    let text = format!(r#"{{"Version":"2012-10-17","Statement":[{statements}]}}"#);
    let node = document::parse(&text).unwrap_or_else(|faults| panic!("{text}: {faults:?}"));
    let policy = Policy::read(kind, "p", "p.json", &node).unwrap_or_else(|faults| panic!("{text}: {faults:?}"));
    lint(&policy).into_iter().map(|finding| finding.code).collect()
}

/// A statement of an identity policy about one tool.
fn with(effect: &str, condition: &str) -> String {
    format!(r#"{{"Effect":"{effect}","Action":"mcp:CallTool","Resource":"arn:aws:mcp:*:*:server/*","Condition":{condition}}}"#)
}

#[test]
fn conditions() {
    let cases = [
        ("Allow", r#"{"ForAllValues:StringEquals":{"mcp:ToolCategories":"plan"}}"#, &["ALLOW_FORALLVALUES_WITHOUT_NULL"][..]),
        ("Allow", r#"{"ForAllValues:StringEquals":{"mcp:ToolCategories":"plan"},"Null":{"mcp:ToolCategories":"false"}}"#, &[]),
        ("Deny", r#"{"ForAnyValue:StringNotEquals":{"mcp:ToolCategories":"plan"}}"#, &["DENY_FORANYVALUE_WITHOUT_NULL"]),
        ("Deny", r#"{"ForAnyValue:StringEquals":{"mcp:ToolCategories":"plan"}}"#, &[]),
        ("Allow", r#"{"ForAnyValue:StringEquals":{"mcp:ToolClass":"READ_ONLY"}}"#, &["SET_OPERATOR_ON_SINGLE_VALUE"]),
        ("Deny", r#"{"StringEquals":{"mcp:ToolCategories":"plan"}}"#, &["SINGLE_OPERATOR_ON_SEVERAL_VALUES"]),
        ("Allow", r#"{"StringEqualsIfExists":{"aws:PrincipalOrgID":"o-a"}}"#, &["IF_EXISTS_WEAKENS"]),
        ("Deny", r#"{"StringNotEqualsIfExists":{"aws:PrincipalOrgID":"o-a"}}"#, &[]),
        ("Allow", r#"{"StringEquals":{"aws:PrincpalOrgID":"o-a"}}"#, &["UNKNOWN_KEY"]),
        ("Allow", r#"{"StringEquals":{"aws:PrincipalTag/team":"sre"}}"#, &[]),
        ("Allow", r#"{"StringEquals":{"s3:prefix":"a"}}"#, &[]),
        ("Allow", r#"{"StringEquals":{"aws:SourceIp":"10.0.0.0/8"}}"#, &["TYPE_MISMATCH"]),
        ("Allow", r#"{"NumericEquals":{"mcp:ToolClass":"1"}}"#, &["TYPE_MISMATCH"]),
        ("Allow", r#"{"StringEquals":{"aws:SecureTransport":"true"}}"#, &["TYPE_MISMATCH"]),
        ("Allow", r#"{"Bool":{"aws:SecureTransport":"true"}}"#, &[]),
        ("Allow", r#"{"DateLessThan":{"aws:CurrentTime":"2026-01-01T00:00:00Z"}}"#, &[]),
        ("Allow", r#"{"StringEquals":{"mcp:Tool":"get_*"}}"#, &["WILDCARD_TAKEN_LITERALLY"]),
        ("Allow", r#"{"StringLike":{"mcp:Tool":"get_*"}}"#, &[]),
        ("Allow", r#"{"StringLike":{"mcp:Tool":"*"}}"#, &["EVERY_VALUE"]),
        ("Allow", r#"{"IpAddress":{"aws:SourceIp":"0.0.0.0/0"}}"#, &["EVERY_ADDRESS"]),
        ("Allow", r#"{"StringEquals":{"mcp:Tool":["a","a"]}}"#, &["DUPLICATE_VALUE"]),
        ("Deny", r#"{"Bool":{"aws:MultiFactorAuthPresent":"false"}}"#, &["MFA_KEY_MISSING"]),
        ("Deny", r#"{"BoolIfExists":{"aws:MultiFactorAuthPresent":"false"}}"#, &[]),
        ("Allow", r#"{"Bool":{"aws:MultiFactorAuthPresent":"false"}}"#, &["ALLOW_WITHOUT_MFA"]),
        ("Deny", r#"{"StringNotEquals":{"aws:RequestedRegion":"us-east-1","mcp:Agent":"a"}}"#, &["DENY_NEEDS_ALL_CARVE_OUTS"]),
    ];
    for (effect, condition, expected) in cases {
        assert_eq!(codes(PolicyKind::Identity, &with(effect, condition)), expected, "{effect} {condition}");
    }
}

#[test]
fn statements() {
    let identity = |statements: &str| codes(PolicyKind::Identity, statements);
    assert_eq!(identity(r#"{"Effect":"Allow","Action":"*","Resource":"*"}"#), ["ALLOW_EVERYTHING"]);
    assert_eq!(identity(r#"{"Effect":"Allow","Action":"mcp:*","Resource":"*"}"#), ["ALLOW_WHOLE_SERVICE"]);
    assert_eq!(identity(r#"{"Effect":"Allow","NotAction":"iam:*","Resource":"*"}"#), ["ALLOW_WITH_NOT_ACTION"]);
    assert_eq!(
        identity(r#"{"Effect":"Allow","Action":"s3:GetObject","NotResource":"arn:aws:s3:::a/*"}"#),
        ["ALLOW_WITH_NOT_RESOURCE"]
    );
    assert_eq!(identity(r#"{"Effect":"Deny","NotAction":"iam:*","Resource":"*"}"#), Vec::<&str>::new());
    assert_eq!(identity(r#"{"Effect":"Allow","Action":"sts:AssumeRole","Resource":"*"}"#), ["ASSUME_ANY_ROLE"]);
    assert_eq!(
        identity(r#"{"Effect":"Allow","Action":"sts:AssumeRole","Resource":"arn:aws:iam::111122223333:role/a"}"#),
        Vec::<&str>::new()
    );
    assert_eq!(
        identity(r#"{"Effect":"Allow","Action":["s3:Get*","s3:GetObject"],"Resource":"arn:aws:s3:::a"}"#),
        ["REDUNDANT_ACTION"]
    );
    assert_eq!(
        identity(r#"{"Effect":"Allow","Action":"s3:GetObject","Resource":["arn:aws:s3:::a/*","arn:aws:s3:::a/b/*"]}"#),
        ["REDUNDANT_RESOURCE"]
    );
    assert_eq!(
        identity(r#"{"Effect":"Allow","Action":"mcp:CalTool","Resource":"arn:aws:mcp:*:*:server/a"}"#),
        ["UNKNOWN_ACTION"]
    );
    assert_eq!(identity(r#"{"Effect":"Allow","Action":"mcp:CallTool","Resource":"arn:aws:s3:::a"}"#), ["RESOURCE_MISMATCH"]);
    let twice = r#"{"Effect":"Allow","Action":"s3:GetObject","Resource":"arn:aws:s3:::a"}"#;
    assert_eq!(identity(&format!("{twice},{twice}")), ["DUPLICATE_STATEMENT"]);
    let denied = r#"{"Effect":"Deny","Action":"s3:*","Resource":"*"}"#;
    assert_eq!(identity(&format!("{twice},{denied}")), ["ALLOW_THAT_IS_DENIED"]);
    let condition = r#"{"Effect":"Deny","Action":"s3:*","Resource":"*","Condition":{"Bool":{"aws:SecureTransport":"false"}}}"#;
    assert_eq!(identity(&format!("{twice},{condition}")), Vec::<&str>::new());
    let control = r#"{"Effect":"Allow","Action":"*","Resource":"*"}"#;
    assert_eq!(codes(PolicyKind::ServiceControl, control), Vec::<&str>::new());
}

#[test]
fn principals() {
    let trust = |principal: &str, condition: &str| {
        codes(
            PolicyKind::Trust,
            &format!(r#"{{"Effect":"Allow","Principal":{principal},"Action":"sts:AssumeRole","Condition":{condition}}}"#),
        )
    };
    let none = r#"{"StringEquals":{"sts:RoleSessionName":"a"}}"#;
    assert_eq!(trust(r#""*""#, none), ["WILDCARD_PRINCIPAL"]);
    assert_eq!(trust(r#""*""#, r#"{"StringEquals":{"aws:PrincipalOrgID":"o-a"}}"#), Vec::<&str>::new());
    assert_eq!(trust(r#"{"Service":"aidevops.amazonaws.com"}"#, none), ["CONFUSED_DEPUTY"]);
    assert_eq!(
        trust(r#"{"Service":"aidevops.amazonaws.com"}"#, r#"{"StringEquals":{"aws:SourceAccount":"111122223333"}}"#),
        Vec::<&str>::new()
    );
    assert_eq!(
        trust(r#"{"Service":"aidevops.amazonaws.com"}"#, r#"{"StringEqualsIfExists":{"aws:SourceAccount":"111122223333"}}"#),
        ["CONFUSED_DEPUTY", "IF_EXISTS_WEAKENS"]
    );
    assert_eq!(trust(r#"{"AWS":"111122223333"}"#, none), ["WHOLE_ACCOUNT_TRUSTED"]);
    assert_eq!(trust(r#"{"AWS":"111122223333"}"#, r#"{"StringEquals":{"sts:ExternalId":"id"}}"#), Vec::<&str>::new());
    let not = r#"{"Effect":"Deny","NotPrincipal":{"AWS":"111122223333"},"Action":"s3:*","Resource":"arn:aws:s3:::a"}"#;
    assert_eq!(codes(PolicyKind::Resource, not), ["DENY_WITH_NOT_PRINCIPAL"]);
}

#[test]
fn findings_have_their_place() {
    let text = "{\n \"Version\":\"2012-10-17\",\n \"Statement\":[\n  {\"Sid\":\"One\",\"Effect\":\"Allow\",\"Action\":\"s3:Get*\",\"Resource\":\"*\",\n   \"Condition\":{\"StringEquals\":{\n     \"aws:SourceIp\":\"10.0.0.1\"}}}]}";
    let policy = Policy::read(PolicyKind::Identity, "p", "p.json", &document::parse(text).unwrap()).unwrap();
    let found = lint(&policy);
    assert_eq!(found.len(), 1);
    assert_eq!((found[0].place.line, found[0].place.column, found[0].label.as_str()), (6, 6, "p: One"));
}
