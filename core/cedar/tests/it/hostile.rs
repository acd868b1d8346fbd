//! What a hostile review found, and what must never come back.

use std::sync::Arc;

use remit_cedar::{Effect, EventKind, File, History, HistoryError, Mode, PolicySet, RuleEffect, Source, Tool};
use serde_json::json;

use crate::world::{Caller, GATEWAY, START_MS, TOOLS, World, answer, set};

const EVERYTHING: &str = "permit (principal, action, resource);\n";
const AFTER: &str = r#"forbid (principal, action == AgentCore::Action::"mail___send", resource)
    when temporal { formerly within 1h AgentCore::Action::"bank___lookup"::response{ output.secret: true } };"#;

#[test]
fn a_definition_that_refers_to_itself_stays_small() {
    let wide: String = (0..9).map(|n| format!("\"p{n}\":{{\"$ref\":\"#\"}}")).collect::<Vec<_>>().join(",");
    let deep: String = (0..9)
        .map(|n| format!("\"d{n}\":{{\"type\":\"object\",\"properties\":{{\"a\":{{\"$ref\":\"#/$defs/d{m}\"}},\"b\":{{\"$ref\":\"#/$defs/d{m}\"}},\"c\":{{\"$ref\":\"#/$defs/d{m}\"}},\"e\":{{\"$ref\":\"#/$defs/d{m}\"}}}}}}", m = n + 1))
        .collect::<Vec<_>>()
        .join(",");
    for input in [
        format!("{{\"type\":\"object\",\"properties\":{{{wide}}}}}"),
        format!(
            "{{\"type\":\"object\",\"properties\":{{\"x\":{{\"$ref\":\"#/$defs/d0\"}}}},\"$defs\":{{{deep},\"d9\":{{\"type\":\"string\"}}}}}}"
        ),
    ] {
        let definition = format!("{{\"inputSchema\":{input}}}");
        let tools = [Tool { id: "a___b", server: "a", definition: &definition }];
        let source = Arc::new(Source::read(Mode::Active, Vec::new()).unwrap());
        let set = PolicySet::compile(&source, &tools, GATEWAY);
        assert!(set.schema().len() < 512 * 1024, "{} bytes", set.schema().len());
    }
}

#[test]
fn however_annotations_are_written_a_rule_is_what_it_is() {
    let read = |text: &str| {
        Source::read(Mode::Active, vec![File { path: "a.dw".to_owned(), text: text.to_owned(), mode: Mode::Active }])
    };
    for text in [
        "@ id(\"f\") forbid (principal, action, resource);",
        "@id(\"f\") // c\rforbid (principal, action, resource);",
        "@ // c\n id /* */ (\"f\") forbid (principal, action, resource);",
        "@id\n(\n\"f\"\n)\nforbid (principal, action, resource);",
    ] {
        // Either it is read as what it is, or not at all.
        if let Ok(source) = read(text) {
            let [rule] = source.rules() else { panic!("one rule") };
            assert_eq!((rule.id.as_str(), rule.effect), ("f", RuleEffect::Forbid), "{text:?}");
        }
    }
    let logged = read("@id(\"x\") // c\r@mode(\"LOG_ONLY\")\nforbid (principal, action, resource);").unwrap();
    assert_eq!(logged.rules().first().unwrap().mode, Mode::LogOnly);
    for text in [
        "@id(\"a\\u{62}\") permit (principal, action, resource);",
        "@mode(\"ACTIVE\") @mode(\"LOG_ONLY\") permit (principal, action, resource);",
    ] {
        assert!(read(text).is_err(), "{text}");
    }
}

#[test]
fn a_forbid_that_does_not_fit_denies_in_every_file_that_holds_it() {
    let text = "forbid (principal, action == AgentCore::Action::\"mail___send\", resource) when { context.input.to == 5 };";
    let file = |path: &str, mode: Mode| File { path: path.to_owned(), text: text.to_owned(), mode };
    let all = File { path: "all.cedar".to_owned(), text: EVERYTHING.to_owned(), mode: Mode::Active };
    let source = Source::read(Mode::Active, vec![all, file("a.dw", Mode::LogOnly), file("b.dw", Mode::Active)]).unwrap();
    let set = PolicySet::compile(&Arc::new(source), TOOLS, GATEWAY);
    assert_eq!(answer(&set, &Caller::new("ann", "s"), "mail___send", &json!({"to": "x"})).enforced.effect, Effect::ExplicitDeny);
}

#[test]
fn a_doubt_lasts_as_long_as_the_window_whatever_others_do() {
    let mut world = World::new(&format!("{EVERYTHING}{AFTER}"));
    let (ann, bob) = (Caller::new("ann", "s"), Caller::new("bob", "s"));
    let input = json!({"name": "x"});
    let (_, id) = world.begin(&ann, "bank___lookup", &input).unwrap();
    world.wait(50 * 60);
    assert!(world.end(&ann, "bank___lookup", &input, &id, Some(&json!({"account-id": 1, "secret": true}))).is_err());
    world.wait(11 * 60);
    for _ in 0..9 {
        world.begin(&bob, "bank___lookup", &input).unwrap();
    }
    assert!(matches!(world.begin(&ann, "mail___send", &json!({"to": "x"})), Err(HistoryError::Doubt(_))));
    world.wait(50 * 60);
    assert!(world.begin(&ann, "mail___send", &json!({"to": "x"})).unwrap().0);
}

#[test]
fn a_rule_without_a_name_keeps_its_history_wherever_it_stands() {
    let rule = "permit (principal, action == AgentCore::Action::\"mail___send\", resource)\nwhen temporal { (count for (t: Timepoint). where (formerly within 1h (AgentCore::Action::\"mail___send\"::request{} && tp(t)))) <= 2 };\n";
    let mut world = World::new(rule);
    let ann = Caller::new("ann", "s");
    let send = |world: &mut World| world.call(&ann, "mail___send", &json!({"to": "x"}), &json!({}));
    assert!(send(&mut world) && send(&mut world) && !send(&mut world));
    world.set = set(&format!("forbid (principal, action, resource) when {{ false }};\n{rule}"));
    world.history.turn_to(&world.set);
    assert!(!send(&mut world));
}

#[test]
fn a_history_that_counts_has_room_for_so_many_events_and_no_more() {
    let rule = "permit (principal, action == AgentCore::Action::\"mail___send\", resource)\nwhen temporal { (count for (t: Timepoint). where (formerly within 1h (AgentCore::Action::\"mail___send\"::request{} && tp(t)))) <= 100000 };\n";
    let set = set(rule);
    let mut world = World::new(rule);
    world.history = History::new(Arc::clone(&set));
    let (ann, input) = (Caller::new("ann", "s"), json!({"to": "x"}));
    for number in 0..1000 {
        let id = format!("r{number}");
        let event = world.event(EventKind::Request, &ann, "mail___send", &input, None, &id);
        world.history.request(&event).unwrap();
    }
    let event = world.event(EventKind::Request, &ann, "mail___send", &input, None, "last");
    assert!(matches!(world.history.request(&event), Err(HistoryError::Full(_))));
    world.now_ms = START_MS + 3_601_000;
    let event = world.event(EventKind::Request, &ann, "mail___send", &input, None, "later");
    assert!(world.history.request(&event).is_ok(), "what is out of the window takes no room");
}

#[test]
fn what_is_only_logged_denies_nothing() {
    let trial = format!("{EVERYTHING}@mode(\"LOG_ONLY\")\n{AFTER}");
    let mut world = World::new(&trial);
    let ann = Caller::new("ann", "s");
    let (_, id) = world.begin(&ann, "bank___lookup", &json!({"name": "x"})).unwrap();
    assert!(
        world.end(&ann, "bank___lookup", &json!({"name": "x"}), &id, Some(&json!({"account-id": 1, "secret": true}))).is_err()
    );
    assert!(
        world.begin(&ann, "mail___send", &json!({"to": "x"})).unwrap().0,
        "its rule's history is in doubt, and is only logged"
    );
    let reads = |text: &str| set(text).reads_output("bank___lookup");
    assert!(!reads("@mode(\"LOG_ONLY\") forbid (principal, action, resource) when { context.isOutput && false };"));
    assert!(!reads("@id(\"no-output\") forbid (principal, action, resource) when { context.remit.agent == \"output\" };"));
    assert!(reads("forbid (principal, action, resource) when { context.isOutput && false };"));
    assert!(reads(
        "forbid (principal, action == AgentCore::Action::\"bank___lookup\", resource) when { context has output && context.output has secret && context.output.secret };"
    ));
}

#[test]
fn a_request_that_is_refused_in_doubt_is_in_no_history() {
    let rules = format!(
        "{EVERYTHING}{AFTER}\nforbid (principal, action == AgentCore::Action::\"mail___send\", resource)\nwhen temporal {{ (count for (t: Timepoint). where (formerly within 9h (AgentCore::Action::\"mail___send\"::request{{}} && tp(t)))) > 1 }};"
    );
    let mut world = World::new(&rules);
    let ann = Caller::new("ann", "s");
    let (_, id) = world.begin(&ann, "bank___lookup", &json!({"name": "x"})).unwrap();
    assert!(world.end(&ann, "bank___lookup", &json!({"name": "x"}), &id, Some(&json!({"account-id": 1}))).is_err());
    for _ in 0..5 {
        assert!(world.begin(&ann, "mail___send", &json!({"to": "x"})).is_err());
    }
    world.wait(3601);
    assert!(world.begin(&ann, "mail___send", &json!({"to": "x"})).unwrap().0);
}

#[test]
fn a_rule_whose_tool_is_gone_for_a_while_knows_what_happened() {
    let text = format!(
        "{EVERYTHING}@id(\"after\")\nforbid (principal, action == AgentCore::Action::\"mail___send\", resource)\nwhen temporal {{ formerly within 1h AgentCore::Action::\"ci___test\"::response{{ output.passed: false }} }}\nunless temporal {{ formerly within 1h AgentCore::Action::\"bank___lookup\"::response{{ output.secret: false }} }};"
    );
    let file = File { path: "a.dw".to_owned(), text, mode: Mode::Active };
    let source = Arc::new(Source::read(Mode::Active, vec![file]).unwrap());
    let without: Vec<Tool<'_>> = TOOLS.iter().copied().filter(|tool| tool.id != "bank___lookup").collect();
    let (whole, part) = (PolicySet::compile(&source, TOOLS, GATEWAY), PolicySet::compile(&source, &without, GATEWAY));
    assert!(whole.findings().is_empty() && !part.findings().is_empty());
    let (whole, part) = (Arc::new(whole), Arc::new(part));
    let [ann, bob, eve, kim] = ["ann", "bob", "eve", "kim"].map(|who| Caller::new(who, "s"));
    let mut world = World::new(EVERYTHING);
    let turn = |world: &mut World, set: &Arc<PolicySet>| {
        world.set = Arc::clone(set);
        world.history.turn_to(set);
    };
    let send = |world: &mut World, caller: &Caller| world.begin(caller, "mail___send", &json!({"to": "x"})).unwrap().0;
    turn(&mut world, &whole);
    assert!(send(&mut world, &ann) && send(&mut world, &bob) && send(&mut world, &eve));
    assert!(world.call(&ann, "ci___test", &json!({}), &json!({"passed": false})));
    assert!(world.call(&kim, "bank___lookup", &json!({"name": "x"}), &json!({"account-id": "a", "secret": false})));
    turn(&mut world, &part);
    assert!(!send(&mut world, &ann) && !send(&mut world, &eve), "it forbids its scope");
    assert!(part.watches("ci___test") && !part.needs_history("mail___send"));
    assert!(world.call(&bob, "ci___test", &json!({}), &json!({"passed": false})));
    assert!(world.call(&kim, "ci___test", &json!({}), &json!({"passed": false})));
    turn(&mut world, &whole);
    assert!(!send(&mut world, &ann), "what it had seen before");
    assert!(!send(&mut world, &bob), "and what it saw meanwhile");
    assert!(send(&mut world, &eve) && send(&mut world, &kim), "in full");
    world.wait(3601);
    assert!(send(&mut world, &ann) && send(&mut world, &bob));
}

#[test]
fn a_rule_that_is_only_logged_says_nothing_of_what_its_history_had_no_room_for() {
    let rule = format!(
        "{EVERYTHING}@mode(\"LOG_ONLY\")\nforbid (principal, action == AgentCore::Action::\"mail___send\", resource)\nwhen temporal {{ (count for (t: Timepoint). where (formerly within 1h (AgentCore::Action::\"mail___send\"::request{{}} && tp(t)))) > 1000 }};\n"
    );
    let mut world = World::new(&rule);
    let (ann, input) = (Caller::new("ann", "s"), json!({"to": "x"}));
    let mut ask = |number: u32, later_ms: u64| {
        world.now_ms += later_ms;
        let id = format!("r{number}");
        let event = world.event(EventKind::Request, &ann, "mail___send", &input, None, &id);
        world.history.request(&event).unwrap().len()
    };
    assert!((0..1000).all(|number| ask(number, 0) == 1));
    assert_eq!(ask(1000, 0), 0, "the next is missing there: it can't be told whether it is one too many");
    assert_eq!(ask(1001, 3_600_000), 0, "nor as long as the window reaches it");
    assert_eq!(ask(1002, 3_601_000), 1);
}

#[test]
fn histories_hold_so_many_bytes_and_no_more() {
    const MIB: usize = 1024 * 1024;
    let rule = "permit (principal, action == AgentCore::Action::\"mail___send\", resource)\nwhen temporal { (count for (t: Timepoint). where (formerly within 1h (AgentCore::Action::\"mail___send\"::request{} && tp(t)))) <= 100000 };\n";
    let mut world = World::new(rule);
    let large = json!({"to": "x".repeat(MIB)});
    let ask = |world: &mut World, who: &str| {
        let caller = Caller::new(who, "s");
        let event = world.event(EventKind::Request, &caller, "mail___send", &large, None, "r");
        world.history.request(&event)
    };
    let full = |told: Result<_, HistoryError>| matches!(told, Err(HistoryError::Full(why)) if why.contains("arguments"));
    for caller in 0..36 {
        let who = format!("caller-{caller}");
        for _ in 0..7 {
            assert!(ask(&mut world, &who).is_ok());
        }
        assert!(full(ask(&mut world, &who)), "8 MiB of one history");
    }
    // 252 MiB are held, and something for each event.
    let told: Vec<bool> = (0..5).map(|_| ask(&mut world, "another").is_ok()).collect();
    assert_eq!(told, [true, true, true, false, false], "256 MiB of a space");
    world.wait(3601);
    for _ in 0..7 {
        assert!(ask(&mut world, "caller-1").is_ok(), "what is out of the window takes no room");
    }
}
