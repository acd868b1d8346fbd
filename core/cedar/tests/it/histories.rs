//! Rules that look back.

use std::fmt::Write as _;
use std::sync::Arc;

use proptest::prelude::*;
use remit_cedar::{EventKind, History, HistoryError};
use serde_json::json;

use crate::world::{Caller, World, set};

const EVERYTHING: &str = "permit (principal, action, resource);\n";

#[test]
fn only_an_account_that_was_looked_up_in_this_session() {
    let mut world = World::new(
        r#"permit (principal, action == AgentCore::Action::"bank___lookup", resource);
           permit (principal, action == AgentCore::Action::"bank___refund", resource)
           when temporal { formerly within 1h AgentCore::Action::"bank___lookup"::response{ output.account_u2d_id: context.input.account } };"#,
    );
    let (ann, other) = (Caller::new("ann", "s-1"), Caller::new("ann", "s-2"));
    assert!(!world.refund(&ann, "acc-7", 10));
    assert!(world.call(&ann, "bank___lookup", &json!({"name": "x"}), &json!({"account-id": "acc-7"})));
    assert!(world.refund(&ann, "acc-7", 10));
    assert!(!world.refund(&ann, "acc-8", 10), "another account");
    assert!(!world.refund(&other, "acc-7", 10), "another session");
    assert!(!world.refund(&Caller::new("bob", "s-1"), "acc-7", 10), "another caller's session of the same name");
    world.wait(3601);
    assert!(!world.refund(&ann, "acc-7", 10), "too long ago");
}

/// Three an hour and 1,000 in total, counting those in flight: a request counts until it has ended in an error.
const LIMITS: &str = r#"
def temporal refunds(?w) {
    count for ($q: String). where (formerly within ?w AgentCore::Action::"bank___refund"::request{ requestId: $q }
        && !exists ($t: Timepoint). formerly within ?w (AgentCore::Action::"bank___refund"::error{ requestId: $q } && tp($t)))
};
def temporal refunded(?w) {
    sum $a for ($a: Long), ($q: String). where (formerly within ?w AgentCore::Action::"bank___refund"::request{ requestId: $q, input.amount: $a }
        && !exists ($t: Timepoint). formerly within ?w (AgentCore::Action::"bank___refund"::error{ requestId: $q } && tp($t)))
};
@id("three-an-hour") @history("principal")
permit (principal, action == AgentCore::Action::"bank___refund", resource)
when temporal { (refunds(1h)) <= 3 && (refunded(24h)) <= 1000 };
"#;

#[test]
fn three_refunds_an_hour_and_a_thousand_in_total_counting_those_in_flight() {
    let mut world = World::new(LIMITS);
    let (ann, bob) = (Caller::new("ann", "s-1"), Caller::new("bob", "s-1"));
    let input = json!({"account": "a", "amount": 100});
    let (first, one) = world.begin(&ann, "bank___refund", &input).unwrap();
    let (second, _) = world.begin(&ann, "bank___refund", &input).unwrap();
    let (third, _) = world.begin(&Caller::new("ann", "s-2"), "bank___refund", &input).unwrap();
    assert!(first && second && third);
    assert!(!world.begin(&ann, "bank___refund", &input).unwrap().0, "three are in flight");
    assert!(!world.begin(&ann, "bank___refund", &input).unwrap().0, "and what was denied doesn't count");
    world.end(&ann, "bank___refund", &input, &one, None).unwrap();
    assert!(world.begin(&ann, "bank___refund", &input).unwrap().0, "one failed: there is room for another");
    assert!(world.refund(&bob, "a", 900) && world.refund(&bob, "a", 100) && !world.refund(&bob, "a", 1), "a thousand are out");
    world.wait(3601);
    assert!(!world.refund(&bob, "a", 1), "the total is of a day");
    world.wait(24 * 3600);
    assert!(world.refund(&bob, "a", 1000));
}

#[test]
fn nothing_external_after_reading_a_secret() {
    let mut world = World::new(&format!(
        "{EVERYTHING}{}",
        r#"forbid (principal, action == AgentCore::Action::"mail___send", resource)
           when temporal { formerly within 24h AgentCore::Action::"bank___lookup"::response{ output.secret: true } }
           unless { context.input.to like "*@acme.example" };"#
    ));
    let ann = Caller::new("ann", "s-1");
    let external = json!({"to": "eve@evil.example"});
    assert!(world.call(&ann, "bank___lookup", &json!({"name": "x"}), &json!({"account-id": "a", "secret": false})));
    assert!(world.call(&ann, "mail___send", &external, &json!({})));
    assert!(world.call(&ann, "bank___lookup", &json!({"name": "y"}), &json!({"account-id": "b", "secret": true})));
    assert!(!world.call(&ann, "mail___send", &external, &json!({})));
    assert!(world.call(&ann, "mail___send", &json!({"to": "bob@acme.example"}), &json!({})));
}

#[test]
fn deploy_only_after_the_tests_passed_and_nothing_failed_since() {
    let mut world = World::new(
        r#"permit (principal, action == AgentCore::Action::"ci___test", resource);
           permit (principal, action == AgentCore::Action::"ci___deploy", resource)
           when temporal {
               !AgentCore::Action::"ci___test"::error{} since within 8h AgentCore::Action::"ci___test"::response{ output.passed: true }
           };"#,
    );
    let ann = Caller::new("ann", "s-1");
    let deploy = |world: &mut World| world.call(&ann, "ci___deploy", &json!({}), &json!({}));
    assert!(!deploy(&mut world));
    assert!(world.call(&ann, "ci___test", &json!({}), &json!({"passed": false})));
    assert!(!deploy(&mut world));
    assert!(world.call(&ann, "ci___test", &json!({}), &json!({"passed": true})));
    assert!(deploy(&mut world));
    let (_, id) = world.begin(&ann, "ci___test", &json!({})).unwrap();
    world.end(&ann, "ci___test", &json!({}), &id, None).unwrap();
    assert!(!deploy(&mut world), "a run has failed since");
}

#[test]
fn a_change_of_policies_keeps_what_unchanged_rules_had_gathered() {
    let two = |limit: u32| {
        format!(
            "@id(\"calm\") permit (principal, action == AgentCore::Action::\"mail___send\", resource)\nwhen temporal {{ (count for (t: Timepoint). where (formerly within 1h (AgentCore::Action::\"mail___send\"::request{{}} && tp(t)))) <= {limit} }};\n"
        )
    };
    let mut world = World::new(&format!("{LIMITS}{}", two(2)));
    let ann = Caller::new("ann", "s-1");
    let send = |world: &mut World| world.call(&ann, "mail___send", &json!({"to": "x"}), &json!({}));
    assert!(world.refund(&ann, "a", 1) && world.refund(&ann, "a", 1) && world.refund(&ann, "a", 1));
    assert!(send(&mut world) && send(&mut world) && !send(&mut world));
    // Another rule before it, another number in the second one, a name that is another's.
    let changed = format!("@id(\"new\") forbid (principal, action, resource) when {{ false }};\n{LIMITS}{}", two(3));
    world.set = set(&changed);
    world.history.turn_to(&world.set);
    assert!(!world.refund(&ann, "a", 1), "the limit of refunds is as it was, and so is what it counted");
    assert!(send(&mut world), "a condition that is another one begins anew");
    world.set = set(&format!("{changed}permit (principal, action == AgentCore::Action::\"ci___test\", resource);"));
    world.history.turn_to(&world.set);
    assert!(!world.refund(&ann, "a", 1));
}

#[test]
fn what_could_not_be_understood_denies_until_no_window_reaches_it() {
    let text = format!(
        "{EVERYTHING}{}",
        r#"forbid (principal, action == AgentCore::Action::"mail___send", resource)
           when temporal { formerly within 1h AgentCore::Action::"bank___lookup"::response{ output.secret: true } };"#
    );
    let mut world = World::new(&text);
    let ann = Caller::new("ann", "s-1");
    let (allowed, id) = world.begin(&ann, "bank___lookup", &json!({"name": "x"})).unwrap();
    assert!(allowed);
    let error = world
        .end(&ann, "bank___lookup", &json!({"name": "x"}), &id, Some(&json!({"account-id": 7, "secret": "yes"})))
        .unwrap_err();
    assert_eq!(error, HistoryError::Unheld("/output/account-id".to_owned()));
    let doubt = world.begin(&ann, "mail___send", &json!({"to": "x"})).unwrap_err();
    assert!(matches!(&doubt, HistoryError::Doubt(what) if what.contains("bank___lookup")), "{doubt}");
    assert!(
        world.begin(&ann, "bank___refund", &json!({"account": "a", "amount": 1})).unwrap().0,
        "what doesn't depend on it goes on"
    );
    let changed = set(&format!("{text}// another text\n"));
    world.history.turn_to(&changed);
    world.set = changed;
    assert!(world.begin(&ann, "mail___send", &json!({"to": "x"})).is_err(), "a change of policies doesn't lift it");
    world.wait(3601);
    assert!(world.begin(&ann, "mail___send", &json!({"to": "x"})).unwrap().0);
}

#[test]
fn too_many_sessions_are_refused_and_old_ones_forgotten() {
    let mut world = World::new(
        r#"permit (principal, action == AgentCore::Action::"mail___send", resource)
           when temporal { (count for (t: Timepoint). where (formerly within 1m (AgentCore::Action::"mail___send"::request{} && tp(t)))) <= 1 };"#,
    );
    let mut name = String::new();
    for number in 0..1000 {
        name.clear();
        write!(name, "s-{number}").unwrap();
        assert!(world.begin(&Caller::new("ann", &name), "mail___send", &json!({"to": "x"})).unwrap().0);
    }
    let full = world.begin(&Caller::new("ann", "another"), "mail___send", &json!({"to": "x"})).unwrap_err();
    assert!(matches!(full, HistoryError::Full(_)), "{full}");
    assert!(
        !world.begin(&Caller::new("ann", "s-1"), "mail___send", &json!({"to": "x"})).unwrap().0,
        "known sessions go on, and are remembered"
    );
    assert!(
        world.begin(&Caller::new("bob", "another"), "mail___send", &json!({"to": "x"})).unwrap().0,
        "another caller isn't in the way"
    );
    world.wait(61);
    for _ in 0..300 {
        world.begin(&Caller::new("bob", "another"), "mail___send", &json!({"to": "x"})).unwrap();
    }
    assert_eq!(world.history.len(), 1);
    assert!(world.begin(&Caller::new("ann", "another"), "mail___send", &json!({"to": "x"})).unwrap().0);
}

#[test]
fn tools_without_temporal_rules_pay_nothing() {
    let world = World::new(&format!("{EVERYTHING}{LIMITS}"));
    for (tool, needs, watches) in [
        ("bank___refund", true, true),
        ("bank___lookup", false, false),
        ("mail___send", false, false),
        ("ci___test", false, false),
    ] {
        assert_eq!((world.set.needs_history(tool), world.set.watches(tool)), (needs, watches), "{tool}");
    }
    let all = set(
        r#"permit (principal, action == AgentCore::Action::"ci___deploy", resource) when temporal { previous within 1h AgentCore::Action::"ci___test"::response{} };"#,
    );
    assert!(all.watches("mail___send") && !all.needs_history("mail___send"), "what was just before can be anything");
    assert_eq!(all.window_secs(), 3600);
}

proptest! {
    /// One admitted at a time: whatever is asked for and answered in whatever order, never are two in flight.
    #[test]
    fn a_limit_holds_under_any_interleaving(steps in proptest::collection::vec((0_usize..4, any::<bool>()), 1..40)) {
        let one = LIMITS.replace("<= 3", "<= 1");
        let mut world = World::new(&one.replace("!exists ($t: Timepoint). formerly within ?w (AgentCore::Action::\"bank___refund\"::error{ requestId: $q } && tp($t))",
            "!(exists ($t: Timepoint). formerly within ?w (AgentCore::Action::\"bank___refund\"::error{ requestId: $q } && tp($t))) && !(exists ($u: Timepoint). formerly within ?w (AgentCore::Action::\"bank___refund\"::response{ requestId: $q } && tp($u)))"));
        let input = json!({"account": "a", "amount": 1});
        let mut flying: Vec<(String, String)> = Vec::new();
        for (session, asks) in steps {
            world.now_ms += 1;
            let caller = Caller::new("ann", &format!("s-{session}"));
            if asks {
                let (allowed, id) = world.begin(&caller, "bank___refund", &input).unwrap();
                prop_assert_eq!(allowed, flying.is_empty());
                if allowed {
                    flying.push((caller.session.clone(), id));
                }
            } else if let Some((session, id)) = flying.pop() {
                world.end(&Caller::new("ann", &session), "bank___refund", &input, &id, Some(&json!({}))).unwrap();
            }
        }
    }

    /// The same events give the same answers, as a restart needs it.
    #[test]
    fn replayed_events_give_the_same_history(calls in proptest::collection::vec((0_usize..3, 0_i64..500, any::<bool>()), 1..30)) {
        let mut world = World::new(LIMITS);
        let mut recorded = Vec::new();
        for (session, amount, fails) in calls {
            let caller = Caller::new("ann", &format!("s-{session}"));
            let input = json!({"account": "a", "amount": amount});
            world.wait(400);
            let at_ms = world.now_ms;
            let (allowed, id) = world.begin(&caller, "bank___refund", &input).unwrap();
            recorded.push((EventKind::Request, caller.clone(), input.clone(), id.clone(), at_ms));
            let kind = if allowed && !fails { EventKind::Response } else { EventKind::Error };
            if allowed {
                world.end(&caller, "bank___refund", &input, &id, (!fails).then_some(&json!({}))).unwrap();
            }
            recorded.push((kind, caller, input, id, world.now_ms));
        }
        let mut again = History::new(Arc::clone(&world.set));
        for (kind, caller, input, id, at_ms) in &recorded {
            let output = json!({});
            let output = (*kind == EventKind::Response).then_some(&output);
            let event = remit_cedar::HistoryEvent { now_ms: *at_ms, ..world.event(*kind, caller, "bank___refund", input, output, id) };
            if *kind == EventKind::Request { again.request(&event).map(|_| ()).unwrap() } else { again.outcome(&event).unwrap() }
        }
        let (caller, input) = (Caller::new("ann", "s-0"), json!({"account": "a", "amount": 1}));
        let event = world.event(EventKind::Request, &caller, "bank___refund", &input, None, "last");
        prop_assert_eq!(again.request(&event), world.history.request(&event));
    }
}
