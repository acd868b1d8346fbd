//! What a decision over six layers costs, alone and with the binding of its context, beside the plain evaluation of the tests and
//! the same engine without its index: `cargo bench -p remit-iam`.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a benchmark that can't be set up fails")]

#[allow(dead_code, unreachable_pub, reason = "the tests need more of it")]
#[path = "../tests/it/naive.rs"]
mod naive;

use std::hint::black_box;
use std::io::Write;
use std::sync::Arc;
use std::time::Instant;

use naive::{Documents, Fact, World};
use remit_iam::document::{self, Node};
use remit_iam::{Context, Decision, Keys, Layers, Policy, PolicyKind, PolicySet, Principal, Request, Slot, Value, evaluate};

/// How many measurements.
const MEASUREMENTS: usize = 400;
/// How long a measurement takes, about, in nanoseconds.
const MEASURED_NANOS: u128 = 500_000;

const ROLE: &str = "arn:aws:iam::111122223333:role/agent";
const SESSION: &str = "arn:aws:sts::111122223333:assumed-role/agent/one";
const ACCOUNT: &str = "111122223333";
const FACTS: [(&str, &str); 6] = [
    ("aws:PrincipalTag/team", "red"),
    ("aws:PrincipalOrgID", "o-exampleorg"),
    ("aws:SourceIp", "10.1.2.3"),
    ("aws:CurrentTime", "2026-01-31T12:30:00Z"),
    ("aws:MultiFactorAuthPresent", "true"),
    ("mcp:Risk", "2"),
];

/// What tells the statements of a layer apart.
#[derive(Clone, Copy, PartialEq)]
enum Apart {
    /// Each is about an action of its own.
    Actions,
    /// All are about the same action, each on resources of its own.
    Resources,
}

/// The statements of a layer: one applies, under a condition, in the identity policies under two; every fifth denies.
fn layer(kind: PolicyKind, apart: Apart, count: usize) -> Node {
    let statement = |index: usize| {
        let wanted = index == count / 2;
        let effect = if index % 5 == 1 && !wanted { "Deny" } else { "Allow" };
        let principal = if kind == PolicyKind::ResourceControl { r#""Principal":"*","# } else { "" };
        let second = if kind == PolicyKind::Identity { r#","NumericLessThanEquals":{"mcp:Risk":"3"}"# } else { "" };
        let (action, resource) = match (apart, wanted) {
            (Apart::Actions, true) => ("mcp:CallTool".to_owned(), "arn:aws:mcp:*:111122223333:server/files/*".to_owned()),
            (Apart::Actions, false) => (format!("svc{}:Action{index}", index % 40), "*".to_owned()),
            (Apart::Resources, true) => {
                ("mcp:CallTool".to_owned(), "arn:aws:mcp:eu-west-1:111122223333:server/files/tool/*".to_owned())
            }
            (Apart::Resources, false) => {
                ("mcp:CallTool".to_owned(), format!("arn:aws:mcp:eu-west-1:111122223333:server/s{index}/tool/*"))
            }
        };
        format!(
            r#"{{"Effect":"{effect}",{principal}"Action":"{action}","Resource":"{resource}","Condition":{{"StringEquals":{{"aws:PrincipalTag/team":["blue","red"]}}{second}}}}}"#
        )
    };
    let mut statements: Vec<String> = (0..count).map(statement).collect();
    if kind == PolicyKind::ResourceControl {
        // It allows all, and denies in places.
        for statement in &mut statements {
            *statement = statement.replace(r#""Effect":"Allow""#, r#""Effect":"Deny""#).replace("files", "secrets");
        }
        statements.push(r#"{"Effect":"Allow","Principal":"*","Action":"*","Resource":"*"}"#.to_owned());
    }
    document::parse(&format!(r#"{{"Version":"2012-10-17","Statement":[{}]}}"#, statements.join(","))).unwrap()
}

/// A policy of so many statements, in documents of AWS's sizes.
fn policies(kind: PolicyKind, node: &Node) -> Vec<Arc<Policy>> {
    let document::Data::List(statements) = &node.get("Statement").unwrap().data else { return Vec::new() };
    let read = |chunk: &[Node]| {
        let text: Vec<String> = chunk.iter().map(Node::to_json).collect();
        let text = format!(r#"{{"Version":"2012-10-17","Statement":[{}]}}"#, text.join(","));
        Arc::new(Policy::read(kind, "p", "p.json", &document::parse(&text).unwrap()).unwrap())
    };
    statements.chunks(5).map(read).collect()
}

/// The least of many measurements: whatever else the machine does only adds.
fn measured(mut part: impl FnMut()) -> f64 {
    let started = Instant::now();
    part();
    let once = started.elapsed().as_nanos().max(1);
    let times = u32::try_from((MEASURED_NANOS / once).clamp(1, 1_000)).unwrap();
    let figures = (0..MEASUREMENTS).map(|_| {
        let started = Instant::now();
        for _ in 0..times {
            part();
        }
        started.elapsed().as_secs_f64() * 1e9 / f64::from(times)
    });
    figures.fold(f64::MAX, f64::min)
}

fn main() {
    let mut output = std::io::stdout();
    writeln!(output, "six layers, ns a decision         decision with context  linear    naive  naive/with context").unwrap();
    for apart in [Apart::Actions, Apart::Resources] {
        for count in [10, 100, 1_000] {
            let [alone, engine, linear, naive] = compare(apart, count);
            let shape = if apart == Apart::Actions { "actions" } else { "resources" };
            let ratio = naive / engine;
            writeln!(
                output,
                "{count:>5} statements, by {shape:<10} {alone:>8.0} {engine:>12.0} {linear:>8.0} {naive:>8.0} {ratio:>8.0}"
            )
            .unwrap();
        }
    }
}

/// Nanoseconds of the decision alone, with its context bound, without the index, and of the plain evaluation.
fn compare(apart: Apart, count: usize) -> [f64; 4] {
    let node = |kind| layer(kind, apart, count);
    let documents = Documents {
        identity: vec![node(PolicyKind::Identity)],
        boundary: Some(node(PolicyKind::Boundary)),
        session: Some(node(PolicyKind::Session)),
        resource: None,
        service_control: vec![vec![node(PolicyKind::ServiceControl)], vec![node(PolicyKind::ServiceControl)]],
        resource_control: vec![vec![node(PolicyKind::ResourceControl)]],
    };
    let mut keys = Keys::new();
    let mut set = |kind, node: &Node| PolicySet::compile(&mut keys, &policies(kind, node));
    let identity = set(PolicyKind::Identity, &documents.identity[0]);
    let boundary = set(PolicyKind::Boundary, documents.boundary.as_ref().unwrap());
    let session = set(PolicyKind::Session, documents.session.as_ref().unwrap());
    let levels = [0, 1].map(|level| set(PolicyKind::ServiceControl, &documents.service_control[level][0]));
    let resource_control = set(PolicyKind::ResourceControl, &documents.resource_control[0][0]);
    let layers = Layers {
        service_control: &[&levels[0], &levels[1]],
        resource_control: &[&resource_control],
        boundary: Some(&boundary),
        session: Some(&session),
        ..Layers::of_identity(&identity)
    };
    let resource = "arn:aws:mcp:eu-west-1:111122223333:server/files/tool/read_text_file";
    // Which keys some policy names, and where each comes from, is known once a snapshot.
    let bound: Vec<(Slot, &str)> = FACTS.iter().filter_map(|(key, value)| Some((keys.slot(key)?, *value))).collect();
    let decide = |explain: bool| {
        let principal = Principal::session(black_box(ROLE), black_box(SESSION)).unwrap();
        let mut context = Context::new(&keys);
        for (slot, value) in &bound {
            context.set(*slot, Value::One(value));
        }
        let request = Request {
            principal: &principal,
            action: black_box("mcp:CallTool"),
            resource: black_box(resource),
            resource_account: Some(ACCOUNT),
            context: &context,
        };
        evaluate(&request, &layers, explain).decision()
    };
    let world = World {
        principal: SESSION.to_owned(),
        role: Some(ROLE.to_owned()),
        action: "mcp:CallTool".to_owned(),
        resource: resource.to_owned(),
        account: ACCOUNT.to_owned(),
        facts: FACTS.iter().map(|(key, value)| (key.to_lowercase(), Fact::One((*value).to_owned()))).collect(),
    };
    assert_eq!(decide(false), Decision::Allowed);
    assert_eq!(decide(true), Decision::Allowed);
    // The naive engine knows only the numbers of its scale.
    let mut plain = world.clone();
    plain.facts.insert("mcp:risk".to_owned(), Fact::One("0".to_owned()));
    let principal = Principal::session(ROLE, SESSION).unwrap();
    let mut context = Context::new(&keys);
    bound.iter().for_each(|(slot, value)| context.set(*slot, Value::One(value)));
    let request =
        Request { principal: &principal, action: "mcp:CallTool", resource, resource_account: Some(ACCOUNT), context: &context };
    let alone = measured(|| {
        black_box(evaluate(black_box(&request), black_box(&layers), false).decision());
    });
    let engine = measured(|| {
        black_box(decide(false));
    });
    let linear = measured(|| {
        black_box(decide(true));
    });
    let naive = measured(|| {
        black_box(naive::decide(&plain, &documents));
    });
    [alone, engine, linear, naive]
}
