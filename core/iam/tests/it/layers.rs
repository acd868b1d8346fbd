//! The layers: who limits whom, what every line says, and what is explained.

use remit_iam::{
    CheckEffect, CheckType, Context, Decision, Effect, Evaluation, Keys, Layers, Missing, PolicyKind, PolicySet, Principal,
    Request, Truth, Value, evaluate, trust,
};

use crate::{ACCOUNT, ROLE, SESSION, set};

const TOOL: &str = "arn:aws:mcp:eu-west-1:111122223333:server/files/tool/read";
const USER: &str = "arn:aws:iam::111122223333:user/ann";
const OTHER: &str = "444455556666";
const ALL: &str = r#"{"Effect":"Allow","Action":"*","Resource":"*"}"#;
const ALL_FOR_ALL: &str = r#"{"Effect":"Allow","Principal":"*","Action":"*","Resource":"*"}"#;
const NONE: &str = r#"{"Effect":"Allow","Action":"s3:GetObject","Resource":"*"}"#;
const DENY: &str = r#"{"Effect":"Deny","Action":"mcp:*","Resource":"*"}"#;

/// All layers as statements; empty text for a policy that isn't there.
#[derive(Clone, Copy)]
struct Given<'a> {
    principal: &'a str,
    account: &'a str,
    identity: &'a str,
    boundary: &'a str,
    session: &'a str,
    resource: &'a str,
    service_control: &'a [&'a str],
    resource_control: &'a [&'a str],
    exempt: bool,
}

const SESSION_AT_HOME: Given<'_> = Given {
    principal: SESSION,
    account: ACCOUNT,
    identity: "",
    boundary: "",
    session: "",
    resource: "",
    service_control: &[],
    resource_control: &[],
    exempt: false,
};

fn principal(name: &str) -> Principal<'_> {
    match name {
        SESSION => Principal::session(ROLE, name),
        name if name.ends_with(":root") => Principal::root(name),
        name if name.contains(":user/") => Principal::user(name),
        name if name.ends_with(".amazonaws.com") => Principal::service(name),
        name => Principal::federated(name),
    }
    .unwrap()
}

/// Decides, and hands every line to `look`.
fn with<T>(given: Given<'_>, action: &str, look: impl Fn(&Evaluation<'_>) -> T) -> (Decision, T) {
    let mut keys = Keys::new();
    let mut of = |kind, statements: &str| (!statements.is_empty()).then(|| set(&mut keys, kind, statements));
    let is_trust = action.starts_with("sts:");
    let identity = of(PolicyKind::Identity, given.identity).unwrap_or_default();
    let boundary = of(PolicyKind::Boundary, given.boundary);
    let session = of(PolicyKind::Session, given.session);
    let resource = of(if is_trust { PolicyKind::Trust } else { PolicyKind::Resource }, given.resource);
    let mut levels =
        |kind, levels: &[&str]| -> Vec<PolicySet> { levels.iter().map(|level| of(kind, level).unwrap_or_default()).collect() };
    let service_control = levels(PolicyKind::ServiceControl, given.service_control);
    let resource_control = levels(PolicyKind::ResourceControl, given.resource_control);
    let context = Context::new(&keys);
    let layers = Layers {
        service_control: &service_control.iter().collect::<Vec<_>>(),
        service_control_exempt: given.exempt,
        resource_control: &resource_control.iter().collect::<Vec<_>>(),
        resource_control_exempt: given.exempt,
        identity: &identity,
        boundary: boundary.as_ref(),
        session: session.as_ref(),
        resource: resource.as_ref(),
    };
    let principal = principal(given.principal);
    let role = "arn:aws:iam::111122223333:role/target".replace(ACCOUNT, given.account);
    let tool = TOOL.replace(ACCOUNT, given.account);
    let request = Request {
        principal: &principal,
        action,
        resource: if is_trust { &role } else { &tool },
        resource_account: Some(given.account),
        context: &context,
    };
    let decide = |explain| if is_trust { trust(&request, &layers, explain) } else { evaluate(&request, &layers, explain) };
    let explained = decide(true);
    assert_eq!(explained.decision(), decide(false).decision());
    (explained.decision(), look(&explained))
}

fn allowed(given: Given<'_>) -> bool {
    with(given, "mcp:CallTool", |_| ()).0 == Decision::Allowed
}

fn effects(evaluation: &Evaluation<'_>) -> Vec<(CheckType, usize, CheckEffect)> {
    evaluation.lines().iter().map(|line| (line.check, line.level, line.effect)).collect()
}

fn to(principals: &str) -> String {
    format!(r#"{{"Effect":"Allow","Principal":{principals},"Action":"*","Resource":"*"}}"#)
}

/// How AWS enforcement code logic evaluates requests: an explicit deny in any policy wins.
#[test]
fn a_deny_in_any_layer_wins() {
    let whole = Given {
        identity: ALL,
        boundary: ALL,
        session: ALL,
        resource: ALL_FOR_ALL,
        service_control: &[ALL, ALL],
        resource_control: &[ALL_FOR_ALL],
        ..SESSION_AT_HOME
    };
    assert!(allowed(whole));
    let deny = format!("{ALL},{DENY}");
    let deny_all = format!(r#"{ALL_FOR_ALL},{{"Effect":"Deny","Principal":"*","Action":"mcp:*","Resource":"*"}}"#);
    for given in [
        Given { identity: &deny, ..whole },
        Given { boundary: &deny, ..whole },
        Given { session: &deny, ..whole },
        Given { resource: &deny_all, ..whole },
        Given { service_control: &[&deny, ALL], ..whole },
        Given { service_control: &[ALL, &deny], ..whole },
        Given { resource_control: &[&deny_all], ..whole },
    ] {
        assert_eq!(with(given, "mcp:CallTool", |_| ()).0, Decision::ExplicitlyDenied);
    }
}

/// SCP evaluation: "there must be an explicit Allow statement at every level from the root through each OU in the direct path to
/// the account (including the target account itself)".
#[test]
fn every_level_must_allow() {
    let given = Given { identity: ALL, ..SESSION_AT_HOME };
    assert!(allowed(given));
    assert!(allowed(Given { service_control: &[ALL, ALL, ALL], ..given }));
    assert!(!allowed(Given { service_control: &[ALL, NONE, ALL], ..given }));
    assert!(!allowed(Given { service_control: &[NONE], ..given }));
    assert!(!allowed(Given { service_control: &[ALL, ""], ..given }), "a level without policies denies");
    assert!(!allowed(Given { resource_control: &[ALL_FOR_ALL, ""], ..given }));
    // "SCPs don't affect users or roles in the management account", RCPs not its resources.
    assert!(allowed(Given { service_control: &[DENY, NONE], resource_control: &[""], exempt: true, ..given }));
    let (decision, lines) = with(Given { service_control: &[ALL, NONE], ..given }, "mcp:CallTool", effects);
    assert_eq!(decision, Decision::ImplicitlyDenied);
    assert_eq!(
        lines[..2],
        [(CheckType::ServiceControl, 0, CheckEffect::Allow), (CheckType::ServiceControl, 1, CheckEffect::ImplicitDeny),]
    );
    // Neither grants.
    assert!(!allowed(Given { service_control: &[ALL], resource_control: &[ALL_FOR_ALL], ..SESSION_AT_HOME }));
}

/// Policy evaluation for requests within a single account: the union of identity and resource policies, and which of the
/// latter's grants an implicit deny elsewhere limits.
#[test]
fn within_an_account() {
    let own = to(&format!(r#"{{"AWS":"{SESSION}"}}"#));
    let role = to(&format!(r#"{{"AWS":"{ROLE}"}}"#));
    let account = to(&format!(r#"{{"AWS":"{ACCOUNT}"}}"#));
    let root = to(r#"{"AWS":"arn:aws:iam::111122223333:root"}"#);
    let everyone = to(r#""*""#);
    let by_arn = format!(
        r#"{{"Effect":"Allow","Principal":"*","Action":"*","Resource":"*","Condition":{{"ArnLike":{{"aws:Principalarn":"{ROLE}"}}}}}}"#
    );
    let home = SESSION_AT_HOME;
    assert!(!allowed(home));
    assert!(allowed(Given { identity: ALL, ..home }));
    assert!(!allowed(Given { identity: ALL, boundary: NONE, ..home }));
    assert!(!allowed(Given { identity: ALL, session: NONE, ..home }));
    // Grants to the session itself are limited by nothing, grants to its role by boundary and session policy.
    for (resource, alone, in_boundary, in_session) in [
        (&own, true, true, true),
        (&role, true, false, false),
        (&everyone, true, false, false),
        (&account, false, false, false),
        (&root, false, false, false),
    ] {
        assert_eq!(allowed(Given { resource, ..home }), alone, "{resource}");
        assert_eq!(allowed(Given { resource, boundary: NONE, ..home }), in_boundary, "{resource}");
        assert_eq!(allowed(Given { resource, session: NONE, ..home }), in_session, "{resource}");
        assert!(allowed(Given { resource, identity: ALL, ..home }), "{resource}");
    }
    // "… do not limit permissions granted using the aws:PrincipalArn condition key with a wildcard": the key isn't bound here.
    assert!(!allowed(Given { resource: &by_arn, boundary: NONE, ..home }));
    // "Resource-based policies that grant permissions to an IAM user ARN … are not limited by an implicit deny in an
    // identity-based policy or permissions boundary."
    let user = Given { principal: USER, ..home };
    let named = to(&format!(r#"{{"AWS":"{USER}"}}"#));
    assert!(allowed(Given { resource: &named, boundary: NONE, ..user }));
    assert!(!allowed(Given { resource: &named, session: NONE, ..user }));
    // The root user has no rights of its own.
    let root_user = Given { principal: "arn:aws:iam::111122223333:root", ..home };
    assert!(!allowed(root_user));
    assert!(!allowed(Given { resource: &root, ..root_user }));
    assert!(allowed(Given { identity: ALL, ..root_user }));
    // A service needs to be named, by name or as everyone.
    let service = Given { principal: "events.amazonaws.com", ..home };
    assert!(allowed(Given { resource: &to(r#"{"Service":"events.amazonaws.com"}"#), ..service }));
    assert!(allowed(Given { resource: &everyone, ..service }));
    assert!(!allowed(Given { resource: &to(r#"{"Service":"lambda.amazonaws.com"}"#), ..service }));
    assert!(!allowed(Given { identity: ALL, ..service }));
}

/// "Identity-based policy types, such as permissions boundaries or session policies, do not limit permissions granted using the
/// aws:PrincipalArn condition key with a wildcard(*) in the Principal element" (Principal).
#[test]
fn everyone_by_arn() {
    let session = Principal::session(ROLE, SESSION).unwrap();
    for (operator, expected) in [
        ("ArnLike", true),
        ("ArnEquals", true),
        ("StringLike", true),
        ("StringEquals", true),
        ("StringNotEquals", false),
        ("ArnLikeIfExists", false),
        ("ForAllValues:ArnLike", false),
    ] {
        let mut keys = Keys::new();
        let value = if operator == "StringNotEquals" { "nobody" } else { ROLE };
        let resource = format!(
            r#"{{"Effect":"Allow","Principal":"*","Action":"*","Resource":"*","Condition":{{"{operator}":{{"aws:PrincipalArn":"{value}"}}}}}}"#
        );
        let resource = set(&mut keys, PolicyKind::Resource, &resource);
        let limit = set(&mut keys, PolicyKind::Boundary, NONE);
        let nothing = PolicySet::default();
        let mut context = Context::new(&keys);
        context.set(keys.slot("aws:principalarn").unwrap(), Value::One(ROLE));
        let request = Request {
            principal: &session,
            action: "mcp:CallTool",
            resource: TOOL,
            resource_account: Some(ACCOUNT),
            context: &context,
        };
        let layers =
            Layers { boundary: Some(&limit), session: Some(&limit), resource: Some(&resource), ..Layers::of_identity(&nothing) };
        let decision = evaluate(&request, &layers, false).decision();
        assert_eq!(decision == Decision::Allowed, expected, "{operator}");
    }
}

/// Cross-account policy evaluation logic: "The request is allowed only if both evaluations return a decision of Allow."
#[test]
fn across_accounts() {
    let away = Given { account: OTHER, identity: ALL, ..SESSION_AT_HOME };
    let own = to(&format!(r#"{{"AWS":"{SESSION}"}}"#));
    let account = to(&format!(r#"{{"AWS":"{ACCOUNT}"}}"#));
    assert!(!allowed(away));
    for resource in [&own, &account, &to(r#""*""#), &to(&format!(r#"{{"AWS":"{ROLE}"}}"#))] {
        assert!(allowed(Given { resource, ..away }), "{resource}");
        for given in [
            Given { resource, identity: "", ..away },
            Given { resource, boundary: NONE, ..away },
            Given { resource, session: NONE, ..away },
        ] {
            assert!(!allowed(given), "{resource}");
        }
    }
    assert!(!allowed(Given { resource: &to(&format!(r#"{{"AWS":"{OTHER}"}}"#)), ..away }));
    // An owner that isn't known is another account.
    let mut keys = Keys::new();
    let identity = set(&mut keys, PolicyKind::Identity, ALL);
    let context = Context::new(&keys);
    let session = Principal::session(ROLE, SESSION).unwrap();
    let request =
        Request { principal: &session, action: "mcp:CallTool", resource: TOOL, resource_account: None, context: &context };
    assert_eq!(evaluate(&request, &Layers::of_identity(&identity), false).decision(), Decision::ImplicitlyDenied);
}

/// NotPrincipal: "you must also specify the account ARN of the not-denied principal"; Permissions boundaries: it "will always
/// deny any IAM principal that has a permissions boundary policy attached".
#[test]
fn not_principal() {
    let except = |named: &str| format!(r#"{{"Effect":"Deny","NotPrincipal":{{"AWS":[{named}]}},"Action":"*","Resource":"*"}}"#);
    let account = format!(r#""{ACCOUNT}""#);
    let root = r#""arn:aws:iam::111122223333:root""#;
    let given = Given { identity: ALL, ..SESSION_AT_HOME };
    for (named, expected) in [
        (format!(r#"{account},"{ROLE}""#), true),
        (format!(r#"{root},"{ROLE}","{SESSION}""#), true),
        (format!(r#""{ROLE}""#), false),
        (format!(r#"{root},"{SESSION}""#), false),
        (account.clone(), false),
        (r#""arn:aws:iam::111122223333:role/other","111122223333""#.to_owned(), false),
    ] {
        assert_eq!(allowed(Given { resource: &except(&named), ..given }), expected, "{named}");
        assert!(!allowed(Given { resource: &except(&named), boundary: ALL, ..given }), "{named}");
    }
    let user = Given { principal: USER, ..given };
    assert!(allowed(Given { resource: &except(&format!(r#"{root},"{USER}""#)), ..user }));
    assert!(!allowed(Given { resource: &except(&format!(r#""{USER}""#)), ..user }));
}

/// Principal: names are exact, "the user name part of the ARN is case sensitive"; a role that differs in case only can't be told.
#[test]
fn names() {
    let deny = |named: &str| format!(r#"{{"Effect":"Deny","Principal":{named},"Action":"*","Resource":"*"}}"#);
    let session = Given { identity: ALL, ..SESSION_AT_HOME };
    let upper = r#"{"AWS":"arn:aws:iam::111122223333:role/AGENT"}"#;
    assert!(!allowed(Given { resource: &deny(upper), ..session }));
    assert!(!allowed(Given { resource: &to(upper), ..SESSION_AT_HOME }));
    assert!(allowed(Given { resource: &deny(r#"{"AWS":"arn:aws:iam::111122223333:role/path/agent"}"#), ..session }));
    assert!(allowed(Given {
        resource: &deny(r#"{"CanonicalUser":"79a59df900b949e55d96a1e698fbacedfd6e09d98eacf8f8d5218e7cd47ef2be"}"#),
        ..session
    }));
    let user = Given { principal: USER, ..session };
    assert!(allowed(Given { resource: &deny(r#"{"AWS":"arn:aws:iam::111122223333:user/Ann"}"#), ..user }));
    for (role, name) in [
        (ROLE, "arn:aws:sts::444455556666:assumed-role/agent/one"),
        (ROLE, "arn:aws:sts::111122223333:assumed-role/other/one"),
        (ROLE, "arn:aws:sts::111122223333:assumed-role/agent"),
        (ROLE, "arn:aws:sts::111122223333:assumed-role/agent/"),
        (ROLE, "arn:aws:sts::111122223333:assumed-role/agent/a/b"),
        (ROLE, "arn:aws-cn:sts::111122223333:assumed-role/agent/one"),
        ("arn:aws:iam::111122223333:user/agent", SESSION),
        ("arn:aws:iam::1111:role/agent", "arn:aws:sts::1111:assumed-role/agent/one"),
        ("", ""),
    ] {
        assert!(Principal::session(role, name).is_err(), "{role} {name}");
    }
    let path = Principal::session("arn:aws:iam::111122223333:role/team/a/agent", SESSION).unwrap();
    assert_eq!(
        (path.account(), path.name(), path.role()),
        (Some(ACCOUNT), SESSION, Some("arn:aws:iam::111122223333:role/team/a/agent"))
    );
    assert!(Principal::user("arn:aws:iam::111122223333:role/ann").is_err());
    assert!(Principal::root(USER).is_err());
    assert!(Principal::service("events").is_err());
    assert!(Principal::federated("arn:aws:iam::111122223333:role/x").is_err());
}

/// "IAM role trust policies … must explicitly allow access for principals"; AssumeRoleWithWebIdentity "does not require the use
/// of AWS security credentials".
#[test]
fn trust_policies() {
    let trusts = |principal: &str, action: &str| format!(r#"{{"Effect":"Allow","Principal":{principal},"Action":"{action}"}}"#);
    let ask = |given: Given<'_>, action: &str| with(given, action, |_| ()).0 == Decision::Allowed;
    let home = SESSION_AT_HOME;
    let by_name = trusts(&format!(r#"{{"AWS":"{SESSION}"}}"#), "sts:AssumeRole");
    let by_role = trusts(&format!(r#"{{"AWS":"{ROLE}"}}"#), "sts:AssumeRole");
    let by_account = trusts(&format!(r#"{{"AWS":"{ACCOUNT}"}}"#), "sts:AssumeRole");
    let everyone = trusts(r#""*""#, "sts:*");
    assert!(!ask(Given { identity: ALL, ..home }, "sts:AssumeRole"), "without a trust policy nobody is trusted");
    for resource in [&by_name, &by_role] {
        assert!(ask(Given { resource, ..home }, "sts:AssumeRole"));
        assert!(!ask(Given { resource, ..home }, "sts:TagSession"));
        assert!(!ask(Given { resource, boundary: NONE, ..home }, "sts:AssumeRole"));
        assert!(!ask(Given { resource, session: NONE, ..home }, "sts:AssumeRole"));
        assert!(!ask(
            Given { resource, identity: r#"{"Effect":"Deny","Action":"sts:*","Resource":"*"}"#, ..home },
            "sts:AssumeRole"
        ));
        // Across accounts whoever asks must be allowed to ask.
        assert!(!ask(Given { resource, account: OTHER, ..home }, "sts:AssumeRole"));
        assert!(ask(Given { resource, account: OTHER, identity: ALL, ..home }, "sts:AssumeRole"));
    }
    for resource in [&by_account, &everyone] {
        assert!(!ask(Given { resource, ..home }, "sts:AssumeRole"));
        assert!(ask(Given { resource, identity: ALL, ..home }, "sts:AssumeRole"));
    }
    let idp = Given { principal: "accounts.google.com", ..home };
    let federated = trusts(r#"{"Federated":"accounts.google.com"}"#, "sts:*");
    assert!(ask(Given { resource: &federated, ..idp }, "sts:AssumeRoleWithWebIdentity"));
    assert!(ask(Given { resource: &federated, ..idp }, "sts:TagSession"));
    assert!(!ask(Given { resource: &federated, ..idp }, "sts:AssumeRole"));
    assert!(!ask(Given { resource: &everyone, ..idp }, "sts:AssumeRoleWithWebIdentity"));
    assert!(!ask(Given { resource: &everyone, identity: ALL, ..home }, "sts:AssumeRoleWithWebIdentity"));
    let other = trusts(r#"{"Federated":"idp.example.com/realm"}"#, "sts:*");
    assert!(!ask(Given { resource: &other, ..idp }, "sts:AssumeRoleWithWebIdentity"));
    let service = Given { principal: "events.amazonaws.com", ..home };
    assert!(ask(
        Given { resource: &trusts(r#"{"Service":"events.amazonaws.com"}"#, "sts:AssumeRole"), ..service },
        "sts:AssumeRole"
    ));
    assert!(!ask(Given { resource: &by_account, identity: ALL, ..service }, "sts:AssumeRole"));
}

/// Every layer answers, with AWS's names, the statement that decided, and what the decision didn't hang on.
#[test]
fn lines() {
    let own = to(&format!(r#"{{"AWS":"{SESSION}"}}"#));
    let given = Given {
        resource: &own,
        boundary: NONE,
        session: NONE,
        service_control: &[ALL],
        resource_control: &[ALL_FOR_ALL],
        ..SESSION_AT_HOME
    };
    let (decision, lines) = with(given, "mcp:CallTool", |evaluation| {
        let line = |line: &remit_iam::Line<'_>| {
            (line.check.name(), line.effect.name(), line.statement.map(|statement| statement.origin().to_string()))
        };
        evaluation.lines().iter().map(line).collect::<Vec<_>>()
    });
    let at = Some("p.json:1".to_owned());
    assert_eq!(decision, Decision::Allowed);
    assert_eq!(
        lines,
        [
            ("SERVICE_CONTROL_POLICY", "ALLOW", at.clone()),
            ("RESOURCE_CONTROL_POLICY", "ALLOW", at.clone()),
            ("RESOURCE", "ALLOW", at),
            ("PRINCIPAL", "NO_IMPACT", None),
            ("PERMISSIONS_BOUNDARY", "NO_IMPACT", None),
            ("SESSION", "NO_IMPACT", None),
        ]
    );
    let role = to(&format!(r#"{{"AWS":"{ROLE}"}}"#));
    let (_, lines) = with(Given { resource: &role, ..given }, "mcp:CallTool", effects);
    assert_eq!(
        lines[2..],
        [
            (CheckType::Resource, 0, CheckEffect::Allow),
            (CheckType::Principal, 0, CheckEffect::NoImpact),
            (CheckType::Boundary, 0, CheckEffect::ImplicitDeny),
            (CheckType::Session, 0, CheckEffect::ImplicitDeny),
        ]
    );
    let (_, lines) = with(Given { identity: DENY, ..SESSION_AT_HOME }, "mcp:CallTool", effects);
    assert_eq!(
        lines,
        [
            (CheckType::Resource, 0, CheckEffect::NoImpact),
            (CheckType::Principal, 0, CheckEffect::ExplicitDeny),
            (CheckType::Boundary, 0, CheckEffect::NoImpact),
            (CheckType::Session, 0, CheckEffect::NoImpact),
        ]
    );
}

/// What matched, and what nearly did, with the reason.
#[test]
fn near_misses() {
    let identity = r#"
        {"Sid":"Elsewhere","Effect":"Allow","Action":"mcp:CallTool","Resource":"arn:aws:mcp:*:*:server/git/*"},
        {"Sid":"Red","Effect":"Allow","Action":"mcp:*","Resource":"*","Condition":{"StringEquals":{"aws:PrincipalTag/team":"red"},"Bool":{"aws:MultiFactorAuthPresent":"true"}}},
        {"Sid":"Dark","Effect":"Deny","Action":"mcp:CallTool","Resource":"*","Condition":{"IpAddress":{"aws:SourceIp":"10.0.0.0/8"}}},
        {"Sid":"Other","Effect":"Allow","Action":"mcp:ListTools","Resource":"*"},
        {"Sid":"Far","Effect":"Allow","Action":"mcp:CallTool","Resource":"arn:aws:s3:::b","Condition":{"Bool":{"aws:MultiFactorAuthPresent":"true"}}}"#;
    let mut keys = Keys::new();
    let identity = set(&mut keys, PolicyKind::Identity, identity);
    let resource = set(&mut keys, PolicyKind::Resource, &to(r#"{"AWS":"444455556666"}"#));
    let mut context = Context::new(&keys);
    context.set(keys.slot("aws:principaltag/team").unwrap(), Value::Unknown);
    context.set(keys.slot("aws:sourceip").unwrap(), Value::One("203.0.113.7"));
    let session = Principal::session(ROLE, SESSION).unwrap();
    let request = Request {
        principal: &session,
        action: "mcp:CallTool",
        resource: TOOL,
        resource_account: Some(ACCOUNT),
        context: &context,
    };
    let layers = Layers { resource: Some(&resource), ..Layers::of_identity(&identity) };
    let evaluation = evaluate(&request, &layers, true);
    assert_eq!(evaluation.decision(), Decision::ImplicitlyDenied);
    let [of_resource, of_identity, of_boundary, of_session] = evaluation.details() else { panic!("four layers") };
    assert!(matches!(of_resource.near.as_slice(), [near] if matches!(near.missing, Missing::Principal)));
    assert!(of_boundary.near.is_empty() && of_session.matched.is_empty());
    let near: Vec<(&str, Effect)> =
        of_identity.near.iter().map(|near| (near.statement.sid().unwrap(), near.statement.effect())).collect();
    assert_eq!(near, [("Dark", Effect::Deny), ("Elsewhere", Effect::Allow), ("Red", Effect::Allow)]);
    let Missing::Conditions(unmet) = &of_identity.near[2].missing else { panic!("conditions are missing") };
    let unmet: Vec<(&str, &str, Vec<&str>, Truth)> = unmet
        .iter()
        .map(|unmet| (unmet.condition.operator(), unmet.condition.key(), unmet.condition.values().collect(), unmet.truth))
        .collect();
    assert_eq!(
        unmet,
        [
            ("StringEquals", "aws:PrincipalTag/team", vec!["red"], Truth::Maybe),
            ("Bool", "aws:MultiFactorAuthPresent", vec!["true"], Truth::No),
        ]
    );
    assert_eq!(&**of_identity.near[2].statement.label(), "p: Red");
    assert_eq!(&**of_identity.near[2].statement.origin(), "p.json:3");
    assert!(evaluate(&request, &layers, false).details().is_empty());
}

/// What can't be read is denied, without a line.
#[test]
fn requests_that_cannot_be_read() {
    let mut keys = Keys::new();
    let identity = set(&mut keys, PolicyKind::Identity, ALL);
    let context = Context::new(&keys);
    let session = Principal::session(ROLE, SESSION).unwrap();
    let long = format!("arn:aws:s3:::{}", "x".repeat(2048));
    let decide = |action: &str, resource: &str, levels: usize| {
        let all = vec![&identity; levels];
        let request = Request { principal: &session, action, resource, resource_account: Some(ACCOUNT), context: &context };
        let layers = Layers { service_control: &all, ..Layers::of_identity(&identity) };
        let evaluation = evaluate(&request, &layers, true);
        (evaluation.decision(), evaluation.lines().len())
    };
    assert_eq!(decide("mcp:CallTool", TOOL, 8), (Decision::Allowed, 12));
    for (action, resource, levels) in [
        ("", TOOL, 0),
        ("mcp", TOOL, 0),
        ("mcp:", TOOL, 0),
        (":CallTool", TOOL, 0),
        ("mcp:Call:Tool", TOOL, 0),
        ("mcp:Call*", TOOL, 0),
        ("m_p:CallTool", TOOL, 0),
        ("mcp:CallTöol", TOOL, 0),
        ("mcp:Call Tool", TOOL, 0),
        (&format!("mcp:{}", "x".repeat(128)), TOOL, 0),
        ("mcp:CallTool", "", 0),
        ("mcp:CallTool", "tool", 0),
        ("mcp:CallTool", "arn:aws:mcp:eu-west-1:111122223333", 0),
        ("mcp:CallTool", "arn:aws:mcp:eu-west-1:111122223333:", 0),
        ("mcp:CallTool", "arn:AWS:mcp:eu-west-1:111122223333:x", 0),
        ("mcp:CallTool", &long, 0),
        ("mcp:CallTool", TOOL, 9),
    ] {
        assert_eq!(decide(action, resource, levels), (Decision::ImplicitlyDenied, 0), "{action} {resource} {levels}");
    }
}
