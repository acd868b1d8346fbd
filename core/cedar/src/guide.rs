//! What Dogwood's published guide names, by examples of our own: no published crate holds the guide's. Each states its verdicts by what
//! the guide says of the construct, and the reference interpreter is asked as well.
//!
//! The guide: <https://dogwood-policy.github.io/dogwood/>, chapters 2 (policies), 3 (event schemas), 4 (temporal expressions), 6 and 9
//! (macros). What is left out: providers (chapters 5 and 10; there are none here), groups of entities and attributes of principals (no
//! trace holds them), the command line and the interface in Rust (chapters 7 and 12).

use std::sync::Arc;

use dogwood_language::{DEFAULT_EVENT_SCHEMA, DEFAULT_MACROS, ParsedPolicySet, PolicySchema, Validator};

use crate::corpus::{Tally, Trace, service};
use crate::set::PolicySet;
use crate::source::{File, Mode, Source};
use crate::vocabulary::Tool;

const SCHEMA: &str = r#"namespace Desk {
  type Input = { user: String, item: String, amount: Long };
  type Output = { ok: Bool, amount: Long };
  entity Person;
  entity Room;
  action "Open", "Shut", "Read", "Write", "Pay" appliesTo {
    principal: [Person], resource: [Room], context: { input: Input, output?: Output }
  };
}"#;

/// Writes out what the examples abbreviate: `#Open` is the event of a request, `#Open!` that of its response, `#=Open` the action.
fn written(text: &str, namespace: &str) -> String {
    let mut parts = text.split('#');
    let mut whole = parts.next().unwrap().to_owned();
    for part in parts {
        let (is_action, part) = part.strip_prefix('=').map_or((false, part), |part| (true, part));
        let end = part.find(|char: char| !char.is_ascii_alphabetic()).unwrap_or(part.len());
        let (name, rest) = part.split_at(end);
        whole.push_str(&format!("{namespace}::Action::\"{name}\""));
        match (is_action, rest.strip_prefix('!')) {
            (true, _) => whole.push_str(rest),
            (false, Some(rest)) => whole.push_str(&format!("::response{rest}")),
            (false, None) if rest.starts_with("::") => whole.push_str(rest),
            (false, None) => whole.push_str(&format!("::request{rest}")),
        }
    }
    whole
}

/// The events of lines like `10 Pay ann a 5`: when, what (`Pay!` its response, `Pay:error` another kind), who, with what, how much; then,
/// for a response, whether it went well and its own amount.
fn events(lines: &[&str]) -> String {
    let mut log = String::new();
    for (number, line) in lines.iter().enumerate() {
        let words: Vec<&str> = line.split(' ').collect();
        let (at, what, user, item, amount) = (words[0], words[1], words[2], words[3], words[4]);
        let (action, kind) = match (what.strip_suffix('!'), what.split_once(':')) {
            (Some(action), _) => (action, "response"),
            (None, Some((action, kind))) => (action, kind),
            (None, None) => (what, "request"),
        };
        let input = format!("input: {{ user: \"{user}\", item: \"{item}\", amount: {amount} }}");
        let output = words.get(5).map(|ok| format!("output: {{ ok: {ok}, amount: {} }}, ", words[6])).unwrap_or_default();
        let context = if matches!(kind, "request" | "attempt") { format!("request_context({input}) ") } else { String::new() };
        let (principal, resource) = (format!("Desk::Person::\"{user}\""), "Desk::Room::\"r\"");
        let reserved = match kind {
            "attempt" | "outcome" => format!("actor: {principal}"),
            _ => format!("callerPrincipal: {principal}, callerResource: {resource}, requestId: \"q{number}\", sessionId: \"s\""),
        };
        log.push_str(&format!(
            "@{at} scope(principal: {principal}, resource: {resource}) {context}Desk::Action::\"{action}\"::{kind}({input}, {output}{reserved})\n"
        ));
    }
    log
}

/// An example: what it shows, its clauses or, if it starts with `*`, its whole text, its events, and their verdicts.
type Example = (&'static str, &'static str, &'static [&'static str], &'static str);

fn run(tally: &mut Tally, event_schema: Option<&str>, examples: &[Example]) {
    let service = service(event_schema, Some(DEFAULT_MACROS));
    for (title, text, lines, verdicts) in examples {
        let text = match text.strip_prefix('*') {
            Some(whole) => whole.to_owned(),
            None => format!("permit (principal, action == #=Write, resource) {text};"),
        };
        let stated = verdicts.chars().map(|verdict| verdict == '+').collect();
        let trace = Trace { name: "events".to_owned(), log: events(lines), stated: Some(stated) };
        tally.case(title, &written(&text, "Desk"), SCHEMA, &service, &[trace]);
    }
}

fn finish(tally: &Tally, cases: usize) {
    assert!(tally.refused.is_empty(), "{:#?}", tally.refused);
    assert_eq!((tally.cases, tally.provided), (cases, 0));
    assert!(tally.allowed >= cases && tally.decisions - tally.allowed >= cases / 2);
    println!("{cases} examples, {} decisions, {} of them allowed", tally.decisions, tally.allowed);
}

#[rustfmt::skip]
const TEMPORAL: &[Example] = &[
    ("formerly: a window is closed",
     "when temporal { formerly within 1h #Read{ input.user: context.input.user, input.item: context.input.item } }",
     &["0 Write ann a 0", "10 Read ann a 0", "20 Write ann a 0", "30 Write ann b 0", "40 Write bob a 0", "3610 Write ann a 0", "3611 Write ann a 0"],
     "--+--+-"),
    ("unless formerly: absence",
     "unless temporal { formerly within 1h #Read{ input.item: context.input.item } }",
     &["0 Write ann a 0", "10 Read ann a 0", "20 Write ann a 0", "3610 Write ann a 0", "3611 Write ann a 0"], "+---+"),
    ("previous: the event just before, within the window",
     "when temporal { previous within 1h #Read{ input.user: context.input.user } }",
     &["0 Write ann a 0", "10 Read ann a 0", "20 Write ann a 0", "30 Write ann a 0", "40 Read ann a 0", "50 Read bob a 0", "60 Write ann a 0",
       "70 Read ann a 0", "4000 Write ann a 0"], "--+------"),
    ("previous: a response and its result",
     "when temporal { previous within 1h #Read!{ input.user: context.input.user, output.ok: true } }",
     &["0 Read ann a 0", "1 Read! ann a 0 true 0", "2 Write ann a 0", "3 Read! ann a 0 false 0", "4 Write ann a 0"], "-+-"),
    ("previous: a conjunction in parentheses",
     "when temporal { previous within 1h (#Read{ input.user: context.input.user } && #Read{ input.item: \"a\" }) }",
     &["0 Read ann b 0", "1 Write ann a 0", "2 Read ann a 0", "3 Write ann a 0"], "---+"),
    ("since: held at every step",
     "when temporal { #Write{ input.user: context.input.user } since within 1h #Open{ input.user: context.input.user } }",
     &["0 Open ann a 0", "1 Write ann a 0", "2 Write ann a 0", "3 Read ann a 0", "4 Write ann a 0"], "-++--"),
    ("since: nothing of the kind since the anchor",
     "when temporal { !#Shut{ input.user: context.input.user } since within 1h #Open{ input.user: context.input.user } }",
     &["0 Write ann a 0", "1 Open ann a 0", "2 Write ann a 0", "3 Shut bob a 0", "4 Write ann a 0", "5 Shut ann a 0", "6 Write ann a 0",
       "7 Open ann a 0", "8 Write ann a 0", "3607 Write ann a 0", "3608 Write ann a 0"], "--+-+---++-"),
    ("conjunction",
     "when temporal { formerly within 1h #Open{ input.user: context.input.user } && formerly within 30m #Read{ input.user: context.input.user } }",
     &["0 Open ann a 0", "1 Write ann a 0", "2 Read ann a 0", "3 Write ann a 0", "1802 Write ann a 0", "1803 Write ann a 0"], "---++-"),
    ("but not",
     "when temporal { formerly within 1h #Open{ input.user: context.input.user } && !formerly within 1h #Shut{ input.user: context.input.user } }",
     &["0 Open ann a 0", "1 Write ann a 0", "2 Shut ann a 0", "3 Write ann a 0"], "-+--"),
    ("no !=, but a negated equality: somebody else has read it",
     "when temporal { exists (u: String). (formerly within 1h #Read{ input.item: context.input.item, input.user: u } && !(u == context.input.user)) }",
     &["0 Read ann a 0", "1 Write ann a 0", "2 Read bob a 0", "3 Write ann a 0", "4 Write bob a 0"], "---++"),
    ("an inequality, which the guide doesn't have yet and this version takes",
     "when temporal { exists (u: String). (formerly within 1h #Read{ input.item: context.input.item, input.user: u } && u != context.input.user) }",
     &["0 Read ann a 0", "1 Write ann a 0", "2 Read bob a 0", "3 Write ann a 0", "4 Write bob a 0"], "---++"),
    ("exists: one user did both",
     "when temporal { exists (u: String). (formerly within 1h #Open{ input.user: u } && formerly within 1h #Pay{ input.user: u }) }",
     &["0 Open ann a 0", "1 Pay bob a 0", "2 Write cy a 0", "3 Pay ann a 0", "4 Write cy a 0"], "----+"),
    ("exists: two that have nothing to do with each other",
     "when temporal { (exists (u: String). formerly within 1h #Open{ input.user: u }) && exists (v: String). formerly within 1h #Pay{ input.user: v } }",
     &["0 Open ann a 0", "1 Write cy a 0", "2 Pay bob a 0", "3 Write cy a 0"], "---+"),
    ("exists within exists, and a threshold",
     "when temporal { exists (u: String). (formerly within 1h #Open{ input.user: u } && exists (a: Long). (formerly within 1h #Pay{ input.user: u, input.amount: a } && a > 100)) }",
     &["0 Open ann a 0", "1 Pay ann a 100", "2 Write cy a 0", "3 Pay bob a 500", "4 Write cy a 0", "5 Pay ann a 101", "6 Write cy a 0"], "------+"),
    ("exists: an entity",
     "when temporal { exists (p: Desk::Person). (formerly within 1h #Open{ callerPrincipal: p } && formerly within 1h #Pay{ callerPrincipal: p }) }",
     &["0 Open ann a 0", "1 Pay bob a 0", "2 Write cy a 0", "3 Pay ann a 0", "4 Write cy a 0"], "----+"),
    ("the request's principal and resource",
     "when temporal { formerly within 1h #Open{ callerPrincipal: principal, callerResource: resource } }",
     &["0 Open ann a 0", "1 Write bob a 0", "2 Write ann a 0"], "--+"),
    ("literals and wildcards",
     "when temporal { formerly within 1h #Open{ input.item: \"a\", input.user: _, input.amount: * } && formerly within 1h #Open{ input.amount: -1 } }",
     &["0 Open ann b -1", "1 Write cy x 0", "2 Open bob a 9", "3 Write cy x 0"], "---+"),
    ("an amount against the request's own",
     "when temporal { exists (a: Long). (formerly within 1h #Pay{ input.user: context.input.user, input.amount: a } && a >= context.input.amount) }",
     &["0 Pay ann a 5", "1 Write ann a 5", "2 Write ann a 6", "3 Write bob a 1"], "-+--"),
    ("count: so many times",
     "when temporal { exists (n: Long). ((count for (t: Timepoint). where (formerly within 1h (#Pay{ input.user: context.input.user } && tp(t)))) == n && n == 2) }",
     &["0 Pay ann a 5", "1 Write ann a 0", "2 Pay ann a 5", "3 Write ann a 0", "4 Pay ann a 5", "5 Write ann a 0", "3601 Write ann a 0"], "---+--+"),
    ("count: of the request alone, without an operator that looks back",
     "when temporal { exists (n: Long). ((count for (t: Timepoint). where (#Write{ input.item: \"a\" } && tp(t))) == n && n > 0) }",
     &["0 Write ann a 0", "1 Write ann b 0"], "+-"),
    ("count: different values",
     "when temporal { exists (n: Long). ((count for (i: String). where (formerly within 1h #Read{ input.item: i })) == n && n >= 2) }",
     &["0 Read ann a 0", "1 Read ann a 0", "2 Write ann a 0", "3 Read ann b 0", "4 Write ann a 0"], "----+"),
    ("count against count: something is pending",
     "when temporal { (count for (t: Timepoint). where (formerly within 1h (#Pay!{ requestId: _ } && tp(t)))) < count for (t: Timepoint). where (formerly within 1h (#Pay{ requestId: _ } && tp(t))) }",
     &["0 Write ann a 0", "1 Pay ann a 5", "2 Write ann a 0", "3 Pay! ann a 5 true 5", "4 Write ann a 0"], "--+-"),
    ("count of one who is bound before",
     "when temporal { exists (u: String). (formerly within 1h #Open{ input.user: u } && exists (n: Long). ((count for (t: Timepoint). where (formerly within 1h (#Pay{ input.user: u } && tp(t)))) == n && n >= 2)) }",
     &["0 Open ann a 0", "1 Pay ann a 0", "2 Pay bob a 0", "3 Write cy a 0", "4 Pay ann a 0", "5 Write cy a 0"], "-----+"),
    ("sum: every time counts",
     "when temporal { exists (s: Long). ((sum a for (a: Long), (t: Timepoint). where (formerly within 1h (#Pay{ input.amount: a } && tp(t)))) == s && s > 100) }",
     &["0 Pay ann a 60", "1 Write ann a 0", "2 Pay ann a 60", "3 Write ann a 0"], "---+"),
    ("sum: equal amounts count once",
     "when temporal { exists (s: Long). ((sum a for (a: Long). where (formerly within 1h #Pay{ input.amount: a })) == s && s > 100) }",
     &["0 Pay ann a 60", "1 Pay ann a 60", "2 Write ann a 0", "3 Pay ann a 50", "4 Write ann a 0"], "----+"),
    ("sum: of results, within a range",
     "when temporal { exists (s: Long). ((sum a for (a: Long), (t: Timepoint). where (formerly within 1h (#Pay!{ output.amount: a } && a > 100 && a < 500 && tp(t)))) == s && s >= 200) }",
     &["0 Pay! ann a 0 true 100", "1 Pay! ann a 0 true 500", "2 Write ann a 0", "3 Pay! ann a 0 true 200", "4 Write ann a 0"], "-+"),
    ("within a Cedar expression",
     "when { context.input.amount < 10 && temporal { formerly within 1h #Open{ input.user: context.input.user } } }",
     &["0 Write ann a 1", "1 Open ann a 0", "2 Write ann a 9", "3 Write ann a 10"], "--+-"),
    ("in a branch",
     "when { if context.input.amount < 10 then true else temporal { formerly within 1h #Open{ input.user: context.input.user } } }",
     &["0 Write ann a 1", "1 Write ann a 10", "2 Open ann a 0", "3 Write ann a 10"], "+--+"),
    ("several clauses, all of which must agree",
     "when { context.input.amount < 10 } when temporal { formerly within 1h #Open{ input.user: context.input.user } } unless temporal { formerly within 1h #Shut{ input.user: context.input.user } }",
     &["0 Write ann a 1", "1 Open ann a 0", "2 Write ann a 1", "3 Write ann a 10", "4 Shut ann a 0", "5 Write ann a 1"], "--+---"),
    ("a forbid that looks back",
     "*permit (principal, action, resource); forbid (principal, action == #=Write, resource) when temporal { formerly within 5m #Shut{ input.item: context.input.item } };",
     &["0 Write ann a 0", "1 Shut bob a 0", "2 Write ann a 0", "3 Write ann b 0", "301 Write ann a 0", "302 Write ann a 0"], "++-+-+"),
    ("either of two rules",
     "*permit (principal, action == #=Write, resource) when temporal { formerly within 1h #Open{ input.user: context.input.user } }; permit (principal, action == #=Write, resource) when temporal { formerly within 1h #Read{ input.user: context.input.user } };",
     &["0 Write ann a 0", "1 Read ann a 0", "2 Write ann a 0", "3 Open bob a 0", "4 Write bob a 0"], "--+-+"),
];

#[test]
fn temporal_expressions_agree() {
    let mut tally = Tally::default();
    run(&mut tally, None, TEMPORAL);
    finish(&tally, TEMPORAL.len());
}

#[rustfmt::skip]
const MACROS: &[Example] = &[
    ("a Cedar expression", "*def cedar modest(?n) { ?n <= 10 }; permit (principal, action, resource) when { modest(context.input.amount) };",
     &["0 Write ann a 10", "1 Write ann a 11"], "+-"),
    ("several, one an argument of another",
     "*def cedar range(?a, ?b) { { low: ?a, high: ?b } }; def cedar between(?n, ?r) { ?r.low <= ?n && ?n <= ?r.high }; def cedar plain(?i) { !(?i like \"x*\") }; permit (principal, action, resource) when { between(context.input.amount, range(2, 4)) && plain(context.input.item) };",
     &["0 Write ann a 1", "1 Write ann a 2", "2 Write ann a 4", "3 Write ann a 5", "4 Write ann xa 3"], "-++--"),
    ("a window and a condition",
     "*def temporal once(?w, ?s) { formerly within ?w ?s }; permit (principal, action == #=Write, resource) when temporal { once(5m, #Open{ input.user: context.input.user }) };",
     &["0 Open ann a 0", "300 Write ann a 0", "301 Write ann a 0"], "-+-"),
    ("two conditions together, with a Cedar macro",
     "*def temporal opened(?u) { formerly within 1h #Open{ input.user: ?u } }; def temporal has_read(?u, ?i) { formerly within 1h #Read{ input.user: ?u, input.item: ?i } }; def cedar modest(?n) { ?n <= 10 }; permit (principal, action == #=Write, resource) when { modest(context.input.amount) && temporal { opened(context.input.user) && has_read(context.input.user, context.input.item) } };",
     &["0 Open ann a 0", "1 Write ann a 0", "2 Read ann a 0", "3 Write ann a 0", "4 Write ann b 0", "5 Write ann a 11"], "---+--"),
    ("an aggregation with a binder of its own",
     "*def temporal times(?w, ?s) { count for ($t: Timepoint). where (formerly within ?w (?s && tp($t))) }; permit (principal, action == #=Write, resource) when temporal { exists (n: Long). ((times(1h, #Pay{ input.user: _ })) == n && n > 1) };",
     &["0 Pay ann a 0", "1 Write ann a 0", "2 Pay ann a 0", "3 Write ann a 0"], "---+"),
    ("a binder that the caller names",
     "*def temporal total(?a, ?w, ?s) { sum ?a for (?a: Long), ($t: Timepoint). where (formerly within ?w (?s && tp($t))) }; permit (principal, action == #=Write, resource) when temporal { exists (s: Long). ((total(x, 1h, #Pay{ input.amount: x })) == s && s > 100) };",
     &["0 Pay ann a 60", "1 Write ann a 0", "2 Pay ann a 60", "3 Write ann a 0"], "---+"),
    ("fields put into the caller's event",
     "*def temporal of_item(?w, ?s) { formerly within ?w (?s{ input.item: context.input.item }) }; permit (principal, action == #=Write, resource) when temporal { of_item(1h, #Read{ input.user: context.input.user }) };",
     &["0 Read ann a 0", "1 Write ann b 0", "2 Write ann a 0"], "--+"),
    ("one macro twice: their binders aren't one",
     "*def temporal times(?w, ?s) { count for ($t: Timepoint). where (formerly within ?w (?s && tp($t))) }; permit (principal, action == #=Write, resource) when temporal { exists (n: Long). ((times(1h, #Pay{ input.user: _ })) == n && n > 0) && exists (m: Long). ((times(1h, #Read{ input.user: _ })) == m && m > 1) };",
     &["0 Pay ann a 0", "1 Read ann a 0", "2 Write ann a 0", "3 Read ann a 0", "4 Write ann a 0"], "----+"),
    ("the library: count_within and bind", "when temporal { bind(n, count_within(1h, #Pay{ input.user: context.input.user }), n >= 2) }",
     &["0 Pay ann a 0", "1 Pay bob a 0", "2 Write ann a 0", "3 Pay ann a 0", "4 Write ann a 0"], "----+"),
    ("the library: sum_within", "when temporal { bind(s, sum_within(a, 1h, #Pay{ input.amount: a }), s > 100) }",
     &["0 Pay ann a 60", "1 Write ann a 0", "2 Pay ann a 60", "3 Write ann a 0"], "---+"),
    ("the library: count_distinct_within", "when temporal { bind(n, count_distinct_within(i, 1h, #Read{ input.item: i }), n > 1) }",
     &["0 Read ann a 0", "1 Read ann a 0", "2 Write ann a 0", "3 Read ann b 0", "4 Write ann a 0"], "----+"),
    ("a definition of one's own before the library's",
     "*def temporal count_within(?w, ?s) { count for ($t: Timepoint). where (formerly within ?w (?s{ input.item: \"a\" } && tp($t))) }; permit (principal, action == #=Write, resource) when temporal { bind(n, count_within(1h, #Pay{ input.user: _ }), n > 0) };",
     &["0 Pay ann b 0", "1 Write ann a 0", "2 Pay ann a 0", "3 Write ann a 0"], "---+"),
];

#[test]
fn macros_agree() {
    let mut tally = Tally::default();
    run(&mut tally, None, MACROS);
    finish(&tally, MACROS.len());
}

#[rustfmt::skip]
const POLICIES: &[Example] = &[
    ("nothing permits, so it is denied", "*forbid (principal, action == #=Read, resource); permit (principal, action == #=Write, resource);",
     &["0 Write ann a 0", "1 Read ann a 0", "2 Pay ann a 0"], "+--"),
    ("a forbid wins, wherever it stands", "*forbid (principal, action, resource) when { context.input.item == \"x\" }; permit (principal, action, resource);",
     &["0 Write ann a 0", "1 Write ann x 0"], "+-"),
    ("a forbid with an exception", "*permit (principal, action, resource); forbid (principal, action, resource) when { context.input.amount > 100 } unless { context.input.item == \"a\" };",
     &["0 Pay ann b 100", "1 Pay ann b 101", "2 Pay ann a 101"], "+-+"),
    ("clauses and annotations", "*@id(\"some\") @reviewed permit (principal, action == #=Pay, resource) when { context.input.amount < 100 } when { context.input.item == \"a\" } unless { context.input.user == \"bob\" };",
     &["0 Pay ann a 99", "1 Pay ann a 100", "2 Pay ann b 99", "3 Pay bob a 99"], "+---"),
    ("a scope in any order, some of it left out", "*permit (resource, action in [#=Read, #=Pay], principal); permit (action == #=Open);",
     &["0 Read ann a 0", "1 Pay ann a 0", "2 Open ann a 0", "3 Shut ann a 0"], "+++-"),
    ("entities in a scope and in an expression", "*permit (principal == Desk::Person::\"ann\", action, resource is Desk::Room); permit (principal is Desk::Person, action == #=Read, resource) when { principal != Desk::Person::\"cy\" && resource in Desk::Room::\"r\" };",
     &["0 Pay ann a 0", "1 Pay bob a 0", "2 Read bob a 0", "3 Read cy a 0"], "+-+-"),
    ("branches within a comparison", "when { context.input.amount <= (if context.input.item == \"a\" then 10 else if context.input.item == \"b\" then 50 else 1000) }",
     &["0 Write ann a 10", "1 Write ann a 11", "2 Write ann b 50", "3 Write ann b 51", "4 Write ann c 1000", "5 Write ann c 1001"], "+-+-+-"),
    ("or, and, not", "when { (context.input.amount < 100 || context.input.item == \"a\") && !(context.input.item == \"x\") }",
     &["0 Write ann b 99", "1 Write ann b 100", "2 Write ann a 100", "3 Write ann x 1"], "+-+-"),
    ("arithmetic", "when { context.input.amount * 2 + 1 - 3 > -10 && context.input.amount != 7 }",
     &["0 Write ann a -4", "1 Write ann a -3", "2 Write ann a 7"], "-+-"),
    ("like, with a star of its own", "when { context.input.item like \"a*z\" || context.input.item like \"\\*\" }",
     &["0 Write ann az 0", "1 Write ann abcz 0", "2 Write ann abc 0", "3 Write ann * 0"], "++-+"),
    ("has, and what may be missing", "*permit (principal, action, resource) when { context has output && context.output.ok == true }; permit (principal, action == #=Write, resource) when { if context has output then false else true };",
     &["0 Write ann a 0", "1 Read ann a 0"], "+-"),
    ("access by key", "when { context[\"input\"][\"amount\"] == 3 && context.input has item }", &["0 Write ann a 3", "1 Write ann a 4"], "+-"),
    ("sets", "when { [\"a\", \"b\"].contains(context.input.item) && ![context.input.amount].containsAny([1, 2]) && [1, 2, 3].containsAll([context.input.amount]) }",
     &["0 Write ann a 3", "1 Write ann c 3", "2 Write ann b 2", "3 Write ann b 4"], "+---"),
    ("decimals, dates, durations and addresses",
     "when { decimal(\"1.5\").lessThan(decimal(\"2.0\")) && ip(\"10.0.0.7\").isInRange(ip(\"10.0.0.0/24\")) && datetime(\"2026-01-01T00:00:00Z\").offset(duration(\"1h30m\")) > datetime(\"2026-01-01T01:00:00Z\") && duration(\"1h\").toMinutes() == context.input.amount }",
     &["0 Write ann a 60", "1 Write ann a 61"], "+-"),
];

#[test]
fn policies_agree() {
    let mut tally = Tally::default();
    run(&mut tally, None, POLICIES);
    finish(&tally, POLICIES.len());
}

#[rustfmt::skip]
const PINNED: &[Example] = &[
    ("previous is this principal's", "when temporal { previous within 1h #Read{ input.item: context.input.item } }",
     &["0 Read ann a 0", "1 Read bob b 0", "2 Write ann a 0", "3 Write bob a 0"], "--+-"),
    ("since asks this principal's steps", "when temporal { #Write{ input.item: \"a\" } since within 1h #Open{ input.item: \"a\" } }",
     &["0 Open ann a 0", "1 Shut bob a 0", "2 Write ann a 0", "3 Shut ann a 0", "4 Write ann a 0"], "--+--"),
    ("a pin isn't widened by a wildcard", "when temporal { formerly within 1h #Read{ callerPrincipal: _ } }",
     &["0 Read ann a 0", "1 Write bob a 0", "2 Write ann a 0"], "--+"),
    ("what failed is told too", "unless temporal { formerly within 1h #Pay::error{ input.item: context.input.item } }",
     &["0 Write ann a 0", "1 Pay:error ann a 0", "2 Write ann a 0", "3 Write ann b 0", "4 Write bob a 0"], "+-++"),
];

#[rustfmt::skip]
const GLOBAL: &[Example] = &[
    ("without pins, another's event is the previous one", "when temporal { previous within 1h #Read{ input.item: context.input.item } }",
     &["0 Read ann a 0", "1 Read bob b 0", "2 Write ann a 0", "3 Read ann a 0", "4 Write bob a 0"], "----+"),
    ("without pins, another's step breaks it", "when temporal { #Write{ input.item: \"a\" } since within 1h #Open{ input.item: \"a\" } }",
     &["0 Open ann a 0", "1 Write bob a 0", "2 Shut bob a 0", "3 Write ann a 0"], "-+--"),
];

const OWN_KINDS: &str = "
max_window = 48h
decision event <A>::attempt { ...inputs(A), actor: principalType(A) }
event <A>::outcome { ...inputs(A), ...outputs(A), actor: principalType(A) }
";

#[rustfmt::skip]
const KINDS: &[Example] = &[
    ("kinds and fields of one's own, and a longer window",
     "when temporal { formerly within 30h #Open::outcome{ actor: principal, output.ok: true } }",
     &["0 Open:attempt ann a 0", "1 Open:outcome ann a 0 true 0", "2 Write:attempt bob a 0", "108001 Write:attempt ann a 0", "108002 Write:attempt ann a 0"],
     "--+-"),
];

#[test]
fn event_schemas_agree() {
    let mut tally = Tally::default();
    run(&mut tally, Some(DEFAULT_EVENT_SCHEMA), PINNED);
    run(&mut tally, None, GLOBAL);
    run(&mut tally, Some(OWN_KINDS), KINDS);
    finish(&tally, PINNED.len() + GLOBAL.len() + KINDS.len());
}

/// What the guide says is refused, each in a set of a gateway's own vocabulary.
#[rustfmt::skip]
const REFUSED: &[(&str, &str)] = &[
    ("a free variable", "when temporal { formerly within 1h #Read{ input.user: u } }"),
    ("a free variable in a filter", "when temporal { formerly within 1h #Pay{ input.amount: a } && a > 100 }"),
    ("a variable that only filters restrict", "when temporal { exists (x: Long). (0 < x && x < 2) }"),
    ("a variable that only a negation restricts", "when temporal { exists (u: String). !#Read{ input.user: u } }"),
    ("one that two negations restrict", "when temporal { exists (u: String). !(!#Read{ input.user: u }) }"),
    ("a filter before what it filters", "when temporal { exists (a: Long). (a > 100 && formerly within 1h #Pay{ input.amount: a }) }"),
    ("a variable of a since's left", "when temporal { exists (u: String). ((#Read{ input.user: u } since within 1h #Open{ input.item: _ }) && formerly within 1h #Pay{ input.user: u }) }"),
    ("a column that nothing binds", "when temporal { exists (s: Long). ((sum a for (a: Long), (t: Timepoint). where (#Pay{ input.user: p, input.amount: a } && tp(t))) == s && s > 1) }"),
    ("a sum of what isn't in its domain", "when temporal { exists (s: Long). ((sum b for (a: Long). where #Pay{ input.amount: a }) == s && s > 1) }"),
    ("a domain without an end", "when temporal { exists (n: Long). ((count for (x: String). where (!(formerly within 1h #Read{ input.user: x }))) == n && n > 1) }"),
    ("an aggregate in an event", "when temporal { formerly within 1h #Pay{ input.amount: count for (t: Timepoint). where tp(t) } }"),
    ("a disjunction", "when temporal { formerly within 1h #Read{ input.user: _ } || formerly within 1h #Open{ input.user: _ } }"),
    ("no window", "when temporal { formerly #Read{ input.user: _ } }"),
    ("a unit that there isn't", "when temporal { formerly within 1w #Read{ input.user: _ } }"),
    ("a window longer than the longest", "when temporal { formerly within 31d #Read{ input.user: _ } }"),
    ("no kind", "when temporal { formerly within 1h AgentCore::Action::\"Read\"{ input.user: _ } }"),
    ("a kind that there isn't", "when temporal { formerly within 1h #Read::attempt{ input.user: _ } }"),
    ("a field that there isn't", "when temporal { formerly within 1h #Read{ input.colour: _ } }"),
    ("a type that can't be", "when temporal { formerly within 1h #Read{ input.user: 5 } }"),
    ("a variable of another type", "when temporal { exists (x: Long). (formerly within 1h #Read{ input.user: x }) }"),
    ("nothing that hangs on time", "when temporal { formerly within 1h (context.input.user == \"ann\") }"),
    ("no type", "when temporal { exists (u). formerly within 1h #Read{ input.user: u } }"),
    ("arithmetic", "when temporal { exists (a: Long). (formerly within 1h #Pay{ input.amount: a } && context.input.amount <= a + 50) }"),
    ("a macro that there isn't", "when temporal { often(1h, #Read{ input.user: _ }) }"),
    ("a window that says within", "when temporal { bind(n, count_within(within 1h, #Read{ input.user: _ }), n > 1) }"),
    ("too few arguments", "when temporal { bind(n, count_within(1h), n > 1) }"),
    ("an aggregation for a condition", "when temporal { count_within(1h, #Read{ input.user: _ }) }"),
    ("a temporal macro in Cedar", "when { count_within(1h, context.input.user) > 1 }"),
    ("a binder that is no name", "when temporal { bind(s, sum_within(5, 1h, #Pay{ input.amount: 5 }), s > 1) }"),
    ("division", "when { context.input.amount / 2 > 1 }"),
    ("an equals sign", "when { context.input.amount = 2 }"),
    ("an order of decimals", "when { decimal(\"1.0\") < decimal(\"2.0\") }"),
    ("a method that there isn't", "when { context.input.item.startsWith(\"a\") }"),
    ("a key that isn't a literal", "when { context.input[context.input.item] == 1 }"),
    ("a provider", "when guardrails { Risk::Score(context.input.item).high == false }"),
];

#[test]
fn what_the_guide_refuses_is_refused() {
    let definition = r#"{"inputSchema":{"type":"object","required":["user","item","amount"],"properties":{"user":{"type":"string"},"item":{"type":"string"},"amount":{"type":"integer"}}}}"#;
    let tools = ["Open", "Shut", "Read", "Write", "Pay"].map(|id| Tool { id, server: "desk", definition });
    let empty = Arc::new(Source::read(Mode::Active, Vec::new()).unwrap());
    let service = &empty.service;
    let mut faults = Vec::new();
    for (title, clause) in REFUSED {
        let text = written(&format!("permit (principal, action == #=Write, resource) {clause};"), "AgentCore");
        let schema = PolicySet::compile(&empty, &tools, "gateway").schema().to_owned();
        let reference = ParsedPolicySet::parse(&text, service)
            .and_then(|parsed| parsed.lower(&PolicySchema::from_cedarschema_str(&schema).unwrap()))
            .is_ok_and(|lowered| Validator::new().validate(&lowered).validation_passed());
        let file = File { path: "policy.dw".to_owned(), text, mode: Mode::Active };
        let ours = Source::read(Mode::Active, vec![file])
            .is_ok_and(|source| PolicySet::compile(&Arc::new(source), &tools, "gateway").findings().is_empty());
        if reference || ours {
            faults.push(format!("{title}: taken by {}", if ours { "us" } else { "the reference alone" }));
        }
    }
    assert!(faults.is_empty(), "{faults:#?}");
    println!("{} refused", REFUSED.len());
}

/// What is refused above is so for its fault, not for the words around it.
#[test]
fn what_lacks_the_fault_is_taken() {
    let definition = r#"{"inputSchema":{"type":"object","required":["user","item","amount"],"properties":{"user":{"type":"string"},"item":{"type":"string"},"amount":{"type":"integer"}}}}"#;
    let tools = ["Open", "Shut", "Read", "Write", "Pay"].map(|id| Tool { id, server: "desk", definition });
    let mut faults = Vec::new();
    let mut taken = 0;
    for (title, clause, ..) in TEMPORAL.iter().chain(MACROS).chain(POLICIES) {
        // Of tools that declare no results nothing can be said of results; and these name what the desk's own vocabulary has.
        if clause.contains("output") || clause.contains("Desk::") {
            continue;
        }
        let text = match clause.strip_prefix('*') {
            Some(whole) => whole.to_owned(),
            None => format!("permit (principal, action == #=Write, resource) {clause};"),
        };
        let file = File { path: "policy.dw".to_owned(), text: written(&text, "AgentCore"), mode: Mode::Active };
        match Source::read(Mode::Active, vec![file]) {
            Err(refused) => faults.push(format!("{title}: {}", refused[0].what)),
            Ok(source) => {
                let set = PolicySet::compile(&Arc::new(source), &tools, "gateway");
                faults.extend(set.findings().first().map(|finding| format!("{title}: {}", finding.fault.what)));
                taken += 1;
            }
        }
    }
    assert!(faults.is_empty(), "{faults:#?}");
    assert!(taken >= 45, "{taken}");
}
