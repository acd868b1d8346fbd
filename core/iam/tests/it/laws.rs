//! What holds for every document and every request.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::sync::Arc;

use proptest::prelude::*;
use proptest::sample::{Index, select};
use remit_iam::document::{self, Data, Entry, Node, Place};
use remit_iam::{
    CheckEffect, Context, Decision, Keys, Layers, Policy, PolicyKind, PolicySet, Principal, Request, Value, evaluate,
};

use crate::naive::{self, Documents, Fact, SCALE, World};
use crate::{ROLE, SESSION};

const USER: &str = "arn:aws:iam::111122223333:user/ann";

/// Text of statements, without `Effect` and `Principal`.
fn elements() -> impl Strategy<Value = String> {
    let actions = select(vec![
        r#""Action":"*""#,
        r#""Action":"mcp:*""#,
        r#""Action":"mcp:CallTool""#,
        r#""Action":["mcp:ListTools","mcp:call*"]"#,
        r#""Action":"MCP:?allTool""#,
        r#""NotAction":"mcp:CallTool""#,
        r#""NotAction":["s3:*","mcp:List*"]"#,
        r#""Action":"s3:GetObject""#,
    ]);
    (actions, resources(), prop::option::weighted(0.5, prop::collection::vec(condition(), 1..3))).prop_map(
        |(action, resource, conditions)| {
            let mut operators: BTreeMap<String, Vec<(String, String)>> = BTreeMap::new();
            for (operator, key, values) in conditions.unwrap_or_default() {
                let tests = operators.entry(operator).or_default();
                if !tests.iter().any(|(other, _)| *other == key) {
                    tests.push((key, values));
                }
            }
            let operators: Vec<String> = operators
                .into_iter()
                .map(|(operator, tests)| {
                    let tests: Vec<String> = tests.into_iter().map(|(key, values)| format!(r#""{key}":{values}"#)).collect();
                    format!(r#""{operator}":{{{}}}"#, tests.join(","))
                })
                .collect();
            if operators.is_empty() {
                format!("{action},{resource}")
            } else {
                format!(r#"{action},{resource},"Condition":{{{}}}"#, operators.join(","))
            }
        },
    )
}

fn resources() -> impl Strategy<Value = String> {
    let pattern = prop_oneof![
        3 => Just("*".to_owned()),
        6 => (
            select(vec!["aws", "*", "a?s"]),
            select(vec!["mcp", "mcp", "mcp", "*", "m?p", "s3"]),
            select(vec!["eu-west-1", "*", "eu-*", "e*1", ""]),
            select(vec!["111122223333", "*", "1*3", "444455556666", "1*b"]),
            select(vec![
                "server/files/tool/read", "server/files/tool/*", "server/files/*", "server/*/read", "server/f?les/tool/read",
                "server/git/tool/push", "*", "s*", "*/tool/read", "server/${aws:username}/tool/*", "read", "stream",
                "server/files/tool/${aws:missing}", "server/${aws:missing, 'files'}/tool/read", "server/files/tool/re${*}",
            ]),
        )
            .prop_map(|(partition, service, region, account, last)| format!("arn:{partition}:{service}:{region}:{account}:{last}")),
    ];
    (any::<prop::sample::Index>(), prop::collection::vec(pattern, 1..4)).prop_map(|(not, patterns)| {
        let key = if not.index(6) == 0 { "NotResource" } else { "Resource" };
        format!(r#""{key}":["{}"]"#, patterns.join(r#"",""#))
    })
}

/// An operator, a key and its values as JSON.
fn condition() -> impl Strategy<Value = (String, String, String)> {
    let texts = vec![
        "ann",
        "bob",
        "a*",
        "?nn",
        "${aws:username}",
        "${aws:missing}",
        "${aws:missing, 'ann'}",
        "${*}",
        "",
        "ANN",
        "x${aws:missing}",
    ];
    let text = (
        select(vec![
            "StringEquals",
            "StringNotEquals",
            "StringLike",
            "StringNotLike",
            "StringEqualsIgnoreCase",
            "StringNotEqualsIgnoreCase",
        ]),
        select(vec!["aws:username", "aws:TagKeys", "AWS:userid"]),
        prop::collection::vec(select(texts), 1..3),
    );
    let amounts: Vec<&str> = SCALE.iter().copied().flatten().copied().collect();
    let numbers: Vec<&str> = amounts
        .iter()
        .copied()
        .filter(|text| !text.contains("20") || text.len() > 12)
        .filter(|text| !text.contains('T'))
        .collect();
    let dates: Vec<&str> = vec!["946684800", "2000-01-01", "1769862600", "2026-01-31T12:30Z", "2026-01-31T12:30:00.000000001Z"];
    let number = (
        select(vec!["Equals", "NotEquals", "LessThan", "LessThanEquals", "GreaterThan", "GreaterThanEquals"])
            .prop_map(|op| format!("Numeric{op}")),
        select(vec!["mcp:Risk"]),
        prop::collection::vec(select(numbers), 1..3),
    );
    let date = (
        select(vec!["Equals", "NotEquals", "LessThan", "LessThanEquals", "GreaterThan", "GreaterThanEquals"])
            .prop_map(|op| format!("Date{op}")),
        select(vec!["aws:CurrentTime"]),
        prop::collection::vec(select(dates), 1..3),
    );
    let arn = (
        select(vec!["ArnLike", "ArnEquals", "ArnNotLike", "ArnNotEquals"]),
        select(vec!["aws:SourceArn", "aws:PrincipalArn"]),
        prop::collection::vec(
            select(vec![
                "arn:aws:iam::111122223333:role/agent",
                "arn:aws:iam::*:role/*",
                "arn:aws:sns:*:1*:t?pic",
                "arn:aws:iam::111122223333:user/${aws:username}",
            ]),
            1..3,
        ),
    );
    let address = (
        select(vec!["IpAddress", "NotIpAddress"]),
        select(vec!["aws:SourceIp"]),
        prop::collection::vec(
            select(vec!["10.0.0.0/8", "0.0.0.0/0", "203.0.113.7", "2001:db8::/32", "::/0", "10.1.2.3/31"]),
            1..3,
        ),
    );
    let other = prop_oneof![
        (Just("Bool"), Just("aws:MultiFactorAuthPresent"), prop::collection::vec(select(vec!["true", "false"]), 1..2)),
        (Just("BinaryEquals"), Just("mcp:Digest"), prop::collection::vec(select(vec!["QQ==", "Qg=="]), 1..3)),
    ];
    let own = |(operator, key, values): (&str, &str, Vec<&'static str>)| (operator.to_owned(), key.to_owned(), values);
    let any = prop_oneof![
        4 => text.prop_map(own),
        2 => number.prop_map(|(operator, key, values)| (operator, key.to_owned(), values)),
        2 => date.prop_map(|(operator, key, values)| (operator, key.to_owned(), values)),
        2 => arn.prop_map(own),
        2 => address.prop_map(own),
        1 => other.prop_map(own),
    ];
    let null = (select(vec!["aws:TagKeys", "aws:username", "mcp:Risk"]), select(vec!["true", "false"]))
        .prop_map(|(key, value)| ("Null".to_owned(), key.to_owned(), format!(r#""{value}""#)));
    let qualified = (select(vec!["", "", "", "ForAllValues:", "ForAnyValue:"]), any, prop::bool::weighted(0.2)).prop_map(
        |(set, (operator, key, values), if_exists)| {
            let suffix = if if_exists { "IfExists" } else { "" };
            (format!("{set}{operator}{suffix}"), key, format!(r#"["{}"]"#, values.join(r#"",""#)))
        },
    );
    prop_oneof![8 => qualified, 1 => null]
}

fn statement(deny: u32) -> impl Strategy<Value = String> {
    (prop::bool::weighted(f64::from(deny) / 100.0), elements())
        .prop_map(|(deny, elements)| format!(r#"{{"Effect":"{}",{elements}}}"#, if deny { "Deny" } else { "Allow" }))
}

/// A statement of a resource's policy.
fn resource_statement() -> impl Strategy<Value = String> {
    let names = vec![
        r#""*""#,
        r#"{"AWS":"*"}"#,
        r#"{"AWS":"111122223333"}"#,
        r#"{"AWS":["arn:aws:iam::111122223333:root","arn:aws:iam::111122223333:role/agent"]}"#,
        r#"{"AWS":"arn:aws:iam::111122223333:role/agent"}"#,
        r#"{"AWS":"arn:aws:sts::111122223333:assumed-role/agent/one"}"#,
        r#"{"AWS":["arn:aws:iam::111122223333:user/ann","444455556666"]}"#,
        r#"{"Service":"events.amazonaws.com"}"#,
    ];
    (prop::bool::weighted(0.3), select(names), prop::bool::weighted(0.4), elements()).prop_map(|(deny, name, not, elements)| {
        let key = if deny && not && !name.contains('*') { "NotPrincipal" } else { "Principal" };
        format!(r#"{{"Effect":"{}","{key}":{name},{elements}}}"#, if deny { "Deny" } else { "Allow" })
    })
}

/// The statements of a policy, or of several.
type Statements = Vec<String>;

/// All layers, as texts of statements.
#[derive(Debug, Clone)]
struct Texts {
    identity: Vec<Statements>,
    boundary: Option<Statements>,
    session: Option<Statements>,
    resource: Option<Statements>,
    service_control: Vec<Statements>,
    resource_control: Vec<Statements>,
}

const FULL: &str = r#"{"Effect":"Allow","Action":"*","Resource":"*"}"#;
const FULL_FOR_ALL: &str = r#"{"Effect":"Allow","Principal":"*","Action":"*","Resource":"*"}"#;

fn texts() -> impl Strategy<Value = Texts> {
    let some = |deny| prop::collection::vec(statement(deny), 1..4);
    let control = prop::collection::vec((prop::bool::weighted(0.8), some(50)), 0..3).prop_map(|levels| {
        let level = |(full, mut level): (bool, Statements)| {
            if full {
                level.push(FULL.to_owned());
            }
            level
        };
        levels.into_iter().map(level).collect::<Vec<_>>()
    });
    let denies = prop::collection::vec(elements().prop_filter("no such element", |text| !text.contains("NotAction")), 0..2);
    let resource_control = prop::collection::vec(denies, 0..3).prop_map(|levels| {
        let level = |level: Vec<String>| {
            let denies = level.iter().map(|elements| format!(r#"{{"Effect":"Deny","Principal":"*",{elements}}}"#));
            denies.chain([FULL_FOR_ALL.to_owned()]).collect()
        };
        levels.into_iter().map(level).collect::<Vec<Statements>>()
    });
    (
        prop::collection::vec(prop::collection::vec(statement(20), 1..14), 0..4),
        prop::option::weighted(0.3, some(15)),
        prop::option::weighted(0.3, some(15)),
        prop::option::weighted(0.6, prop::collection::vec(resource_statement(), 1..5)),
        control,
        resource_control,
    )
        .prop_map(|(identity, boundary, session, resource, service_control, resource_control)| Texts {
            identity,
            boundary,
            session,
            resource,
            service_control,
            resource_control,
        })
}

fn world() -> impl Strategy<Value = World> {
    let one = |texts: Vec<&'static str>| select(texts).prop_map(|text| Fact::One(text.to_owned()));
    let many = prop::collection::vec(select(vec!["ann", "bob", ""]), 0..3)
        .prop_map(|texts| Fact::Many(texts.into_iter().map(str::to_owned).collect()));
    let amounts = vec!["-1.5", "-1.00", "0", "0.3", "0.30000000000000004", "10.0", "9007199254740993", "many"];
    let dates =
        vec!["946684800", "2000-01-01T01:00:00+01:00", "2026-01-31T13:30:00.000+01:00", "2026-01-31T12:30:00.000000001Z", "soon"];
    let facts = (
        prop::option::weighted(
            0.7,
            prop_oneof![6 => one(vec!["ann", "bob", "files", "*", "", "ANN"]), 1 => many.clone(), 1 => Just(Fact::Unknown)],
        ),
        prop::option::weighted(0.7, prop_oneof![6 => many, 1 => one(vec!["ann", ""]), 1 => Just(Fact::Unknown)]),
        prop::option::weighted(0.7, one(vec!["ann", "x", "Ann"])),
        prop::option::weighted(0.7, one(amounts)),
        prop::option::weighted(0.7, one(dates)),
        prop::option::weighted(0.7, one(vec!["arn:aws:iam::111122223333:role/agent", "arn:aws:sns:r:111122223333:topic", "x"])),
        prop::option::weighted(0.7, one(vec!["10.1.2.3", "203.0.113.7", "2001:db8::1", "::1", "host"])),
        prop::option::weighted(0.7, one(vec!["true", "FALSE", "maybe"])),
        prop::option::weighted(0.7, one(vec!["QQ==", "Qg=="])),
    );
    (
        any::<bool>(),
        select(vec!["mcp:CallTool", "mcp:calltool", "mcp:ListTools", "s3:GetObject", "sqs:SendMessage"]),
        select(vec![
            "arn:aws:mcp:eu-west-1:111122223333:server/files/tool/read",
            "arn:aws:mcp:eu-west-1:111122223333:server/ann/tool/read",
            "arn:aws:mcp:eu-west-1:444455556666:server/files/tool/read",
            "arn:aws:mcp:eu-west-1:111122223333:server/files/tool/web:stream",
            "arn:aws:s3:::read",
            "arn:aws:sqs:eu-west-1:111122223333:stream",
            "*",
        ]),
        select(vec!["111122223333", "111122223333", "444455556666"]),
        facts,
    )
        .prop_map(|(is_session, action, resource, account, facts)| {
            let (username, tags, userid, risk, time, source, address, mfa, digest) = facts;
            let principal = if is_session { SESSION } else { USER };
            let arn = Fact::One(if is_session { ROLE } else { USER }.to_owned());
            let named = [
                ("aws:username", username),
                ("aws:tagkeys", tags),
                ("aws:userid", userid),
                ("mcp:risk", risk),
                ("aws:currenttime", time),
                ("aws:sourcearn", source),
                ("aws:sourceip", address),
                ("aws:multifactorauthpresent", mfa),
                ("mcp:digest", digest),
                ("aws:principalarn", Some(arn)),
            ];
            World {
                principal: principal.to_owned(),
                role: is_session.then(|| ROLE.to_owned()),
                action: action.to_owned(),
                resource: resource.to_owned(),
                account: account.to_owned(),
                facts: named.into_iter().filter_map(|(key, fact)| Some((key.to_owned(), fact?))).collect(),
            }
        })
}

fn parsed(statements: &[String]) -> Node {
    let text = format!(r#"{{"Version":"2012-10-17","Statement":[{}]}}"#, statements.join(","));
    document::parse(&text).unwrap_or_else(|faults| panic!("{text}: {faults:?}"))
}

fn documents(texts: &Texts) -> Documents {
    let one = |statements: &Option<Statements>| statements.as_ref().map(|statements| parsed(statements));
    let levels = |levels: &[Statements]| levels.iter().map(|level| vec![parsed(level)]).collect();
    Documents {
        identity: texts.identity.iter().map(|statements| parsed(statements)).collect(),
        boundary: one(&texts.boundary),
        session: one(&texts.session),
        resource: one(&texts.resource),
        service_control: levels(&texts.service_control),
        resource_control: levels(&texts.resource_control),
    }
}

fn read(kind: PolicyKind, node: &Node) -> Arc<Policy> {
    Arc::new(Policy::read(kind, "p", "p.json", node).unwrap_or_else(|faults| panic!("{}: {faults:#?}", node.to_json())))
}

/// Decides with the engine.
fn decide(world: &World, documents: &Documents) -> Decision {
    let mut keys = Keys::new();
    let mut set = |kind, nodes: &[&Node]| {
        let policies: Vec<Arc<Policy>> = nodes.iter().map(|node| read(kind, node)).collect();
        PolicySet::compile(&mut keys, &policies)
    };
    let identity = set(PolicyKind::Identity, &documents.identity.iter().collect::<Vec<_>>());
    let boundary = documents.boundary.as_ref().map(|node| set(PolicyKind::Boundary, &[node]));
    let session = documents.session.as_ref().map(|node| set(PolicyKind::Session, &[node]));
    let resource = documents.resource.as_ref().map(|node| set(PolicyKind::Resource, &[node]));
    let mut levels = |kind, levels: &[Vec<Node>]| -> Vec<PolicySet> {
        levels.iter().map(|level| set(kind, &level.iter().collect::<Vec<_>>())).collect()
    };
    let service_control = levels(PolicyKind::ServiceControl, &documents.service_control);
    let resource_control = levels(PolicyKind::ResourceControl, &documents.resource_control);
    let layers = Layers {
        service_control: &service_control.iter().collect::<Vec<_>>(),
        resource_control: &resource_control.iter().collect::<Vec<_>>(),
        boundary: boundary.as_ref(),
        session: session.as_ref(),
        resource: resource.as_ref(),
        ..Layers::of_identity(&identity)
    };
    let mut context = Context::new(&keys);
    let lists: BTreeMap<&String, Vec<Cow<'_, str>>> = world
        .facts
        .iter()
        .filter_map(|(key, fact)| {
            if let Fact::Many(texts) = fact {
                Some((key, texts.iter().map(|text| Cow::Borrowed(text.as_str())).collect()))
            } else {
                None
            }
        })
        .collect();
    for (key, fact) in &world.facts {
        let value = match fact {
            Fact::One(text) => Value::One(text),
            Fact::Many(_) => Value::Many(&lists[key]),
            Fact::Unknown => Value::Unknown,
        };
        if let Some(slot) = keys.slot(key) {
            context.set(slot, value);
        }
    }
    let principal = match &world.role {
        Some(role) => Principal::session(role, &world.principal),
        None => Principal::user(&world.principal),
    };
    let request = Request {
        principal: &principal.unwrap(),
        action: &world.action,
        resource: &world.resource,
        resource_account: Some(&world.account),
        context: &context,
    };
    agreed(&request, &layers)
}

/// Decides with and without explaining, and holds the two together.
fn agreed(request: &Request<'_>, layers: &Layers<'_>) -> Decision {
    let quick = evaluate(request, layers, false);
    let explained = evaluate(request, layers, true);
    assert_eq!(quick.decision(), explained.decision());
    assert_eq!(explained.details().len(), explained.lines().len());
    for ((line, detail), quick) in explained.lines().iter().zip(explained.details()).zip(quick.lines()) {
        assert_eq!((line.check, line.level, line.effect), (quick.check, quick.level, quick.effect));
        // What decides a layer is among what matched, found without the index.
        if let Some(statement) = line.statement {
            assert!(
                detail
                    .matched
                    .iter()
                    .any(|matched| matched.origin() == statement.origin() && matched.effect() == statement.effect())
            );
        }
        let denied = detail.matched.iter().any(|statement| statement.effect() == remit_iam::Effect::Deny);
        assert_eq!(line.effect == CheckEffect::ExplicitDeny, denied);
    }
    quick.decision()
}

fn allowed(world: &World, documents: &Documents) -> bool {
    decide(world, documents) == Decision::Allowed
}

fn shuffled<T: Clone>(list: &[T], order: &[Index]) -> Vec<T> {
    let mut left: Vec<T> = list.to_vec();
    let mut shuffled = Vec::new();
    for index in order.iter().cycle() {
        if left.is_empty() || order.is_empty() {
            break;
        }
        shuffled.push(left.remove(index.index(left.len())));
    }
    shuffled.extend(left);
    shuffled
}

/// The same statement with the values of its lists in another order.
fn reordered(node: &Node, order: &[Index]) -> Node {
    let data = match &node.data {
        Data::List(list) => Data::List(shuffled(list, order).iter().map(|node| reordered(node, order)).collect()),
        Data::Map(entries) => {
            let entry = |entry: &Entry| Entry { value: reordered(&entry.value, order), ..entry.clone() };
            Data::Map(shuffled(entries, order).iter().map(entry).collect())
        }
        other => other.clone(),
    };
    Node { place: node.place, data }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 3000, ..ProptestConfig::default() })]

    /// The engine decides as the naive one does.
    #[test]
    fn the_engine_is_the_naive_one(texts in texts(), world in world()) {
        let documents = documents(&texts);
        let expected = match naive::decide(&world, &documents) {
            Some(true) => Decision::Allowed,
            Some(false) => Decision::ImplicitlyDenied,
            None => Decision::ExplicitlyDenied,
        };
        prop_assert_eq!(decide(&world, &documents), expected);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 600, ..ProptestConfig::default() })]

    /// One more Deny, wherever it stands, never grants.
    #[test]
    fn a_deny_never_grants(texts in texts(), world in world(), elements in elements(), place in any::<Index>()) {
        let before = allowed(&world, &documents(&texts));
        let deny = format!(r#"{{"Effect":"Deny",{elements}}}"#);
        let mut more = texts.clone();
        match place.index(5) {
            0 => more.identity.push(vec![deny]),
            1 => more.boundary.get_or_insert_with(|| vec![FULL.to_owned()]).push(deny),
            2 => more.session.get_or_insert_with(|| vec![FULL.to_owned()]).push(deny),
            3 => more.service_control.push(vec![FULL.to_owned(), deny]),
            _ => {
                let deny = format!(r#"{{"Effect":"Deny","Principal":"*",{elements}}}"#);
                more.resource.get_or_insert_with(Vec::new).push(deny);
            }
        }
        prop_assert!(before || !allowed(&world, &documents(&more)));
    }

    /// A boundary, a session policy or one more level never widens.
    #[test]
    fn limits_never_widen(texts in texts(), world in world(), limit in prop::collection::vec(statement(20), 1..4)) {
        let before = allowed(&world, &documents(&texts));
        for place in 0..3 {
            let mut more = texts.clone();
            match place {
                0 if texts.boundary.is_none() => more.boundary = Some(limit.clone()),
                1 if texts.session.is_none() => more.session = Some(limit.clone()),
                2 => more.service_control.push(limit.clone()),
                _ => continue,
            }
            prop_assert!(before || !allowed(&world, &documents(&more)), "{place}");
        }
    }

    /// The order of levels, policies, statements, elements and values doesn't matter.
    #[test]
    fn order_never_matters(texts in texts(), world in world(), order in prop::collection::vec(any::<Index>(), 1..6)) {
        let before = documents(&texts);
        let all = |nodes: &[Node]| shuffled(nodes, &order).iter().map(|node| reordered(node, &order)).collect::<Vec<_>>();
        let one = |node: &Option<Node>| node.as_ref().map(|node| reordered(node, &order));
        let levels = |levels: &[Vec<Node>]| shuffled(levels, &order).iter().map(|level| all(level)).collect::<Vec<_>>();
        let after = Documents {
            identity: all(&before.identity),
            boundary: one(&before.boundary),
            session: one(&before.session),
            resource: one(&before.resource),
            service_control: levels(&before.service_control),
            resource_control: levels(&before.resource_control),
        };
        prop_assert_eq!(decide(&world, &before), decide(&world, &after));
    }

    /// A pattern matches as one that tries everything says.
    #[test]
    fn patterns(pattern in "[ab*?/:]{0,10}", text in "[ab/:é*]{0,12}") {
        let node = parsed(&[format!(r#"{{"Effect":"Allow","Action":"*","Resource":"*","Condition":{{"StringLike":{{"aws:username":"{pattern}"}}}}}}"#)]);
        let world = World {
            principal: USER.to_owned(),
            role: None,
            action: "mcp:CallTool".to_owned(),
            resource: "*".to_owned(),
            account: "111122223333".to_owned(),
            facts: [("aws:username".to_owned(), Fact::One(text.clone()))].into(),
        };
        let expected = naive::wild(&naive::plain(&pattern), &text);
        prop_assert_eq!(allowed(&world, &Documents { identity: vec![node], ..Documents::default() }), expected);
    }

    /// A document that is written reads back, and the policy with it.
    #[test]
    fn documents_read_back(texts in texts()) {
        for node in documents(&texts).identity {
            let again = document::parse(&node.to_json()).unwrap();
            prop_assert_eq!(again.to_json(), node.to_json());
            prop_assert_eq!(placeless(&again), placeless(&node));
            let labels = |node: &Node| read(PolicyKind::Identity, node).statements().iter().map(|s| s.label().clone()).collect::<Vec<_>>();
            prop_assert_eq!(labels(&again), labels(&node));
        }
    }

    /// Whatever the text is, reading it ends, and what it reads reads back.
    #[test]
    fn any_text_is_read_or_refused(text in r#"[ -~\n"\\{}\[\]:,u0-9e.tfn]{0,80}"#) {
        if let Ok(node) = document::parse(&text) {
            prop_assert_eq!(placeless(&document::parse(&node.to_json()).unwrap()), placeless(&node));
            for kind in [PolicyKind::Identity, PolicyKind::Trust, PolicyKind::ResourceControl] {
                let _ = Policy::read(kind, "p", "p.json", &node);
            }
        }
    }
}

fn placeless(node: &Node) -> Node {
    let data = match &node.data {
        Data::List(list) => Data::List(list.iter().map(placeless).collect()),
        Data::Map(entries) => Data::Map(
            entries
                .iter()
                .map(|entry| Entry { place: Place::START, key: entry.key.clone(), value: placeless(&entry.value) })
                .collect(),
        ),
        other => other.clone(),
    };
    Node { place: Place::START, data }
}
