//! Cases that people write: what holds and why, and the call that breaks what doesn't.

use remit_kernel::invariant::{Checked, Standing};
use remit_prove::Solver;
use serde_json::json;

use crate::{World, solver};

const CAP: &str = "@id(\"small\") permit (principal, action, resource) when { context.input.amount <= 500 };";

fn none() -> Result<Solver, String> {
    Solver::find(None, None)
}

fn why(found: &Checked) -> String {
    found.open.iter().map(|open| open.why.clone()).collect::<Vec<_>>().join("\n")
}

#[test]
fn a_bound_is_proved_and_its_loosening_is_told_as_a_call() {
    let found = World::new(CAP, "context.input.amount > 500").check(Ok(solver()));
    assert_eq!((found.standing, found.examined, found.proved), (Standing::Holds, 2, 2), "{found:?}");
    // At the bound and one above it: the counterexample stands at the edge, and its other arguments are plain.
    for (policies, amount) in [(CAP, 500), (CAP.replace("500", "501").as_str(), 501)] {
        let found = World::new(policies, &format!("context.input.amount >= {amount}")).check(Ok(solver()));
        let call = found.counterexample.unwrap();
        assert_eq!(call.arguments, Some(json!({"amount": amount, "to": "ACC-00", "urgent": false})), "{call:?}");
        assert_eq!((call.agent.as_str(), call.tool.as_str()), ("agent-1", "bank___pay"));
        assert!(
            call.because.iter().any(|line| line.statement.contains("`small`") && line.at.as_deref() == Some("bank.dw:1")),
            "{call:?}"
        );
    }
    // A plain call needs no solver to be found.
    let found = World::new(CAP, "context.input.amount >= 500").check(none());
    assert_eq!(found.standing, Standing::Violated, "{found:?}");
    // What isn't there can't be proved; it is told how it could be.
    let found = World::new(CAP, "context.input.amount > 500").check(none());
    assert_eq!((found.standing, found.proved), (Standing::Unknown, 0), "{found:?}");
    assert!(why(&found).contains("there is no solver: install cvc5 1.3.1") && why(&found).contains("`small`"), "{found:?}");
}

#[test]
fn what_needs_no_solver_gets_none() {
    for (policies, when) in [
        // Nothing permits the tool at all.
        ("permit (principal, action == AgentCore::Action::\"bank___look\", resource);", "context.input.amount > 5"),
        // The condition can't be true of this tool.
        (CAP, "context.input has nowhere && context.remit.risk == \"high\""),
    ] {
        let found = World::new(policies, when).check(none());
        assert_eq!(found.standing, Standing::Holds, "{when}: {found:?}");
    }
}

#[test]
fn every_rule_that_counts_counts() {
    let all = "permit (principal, action, resource);";
    for (policies, when, standing) in [
        // Two rules that leave nothing between them, and two that do.
        (
            "permit (principal, action, resource) when { context.input.amount < 10 || context.input.amount > 20 };
             forbid (principal, action, resource) when { context.input.amount > 20 };",
            "context.input.amount >= 10",
            Standing::Holds,
        ),
        (
            "permit (principal, action, resource) when { context.input.amount < 10 || context.input.amount > 20 };
             forbid (principal, action, resource) when { context.input.amount > 30 };",
            "context.input.amount >= 10",
            Standing::Violated,
        ),
        // A rule that is only logged forbids nothing.
        (
            "permit (principal, action, resource); @mode(\"LOG_ONLY\") forbid (principal, action, resource) when { context.input.urgent };",
            "context.input.urgent",
            Standing::Violated,
        ),
        // The schema denies what the policies would let through.
        (all, "context.input.amount > 1000", Standing::Holds),
        (all, "context.input.amount > 999", Standing::Violated),
        (all, "context.input.to like \"B*\"", Standing::Holds),
        // Who the agent is, and what a token must claim.
        (
            "permit (principal, action, resource) when { context.remit.agent == \"agent-9\" };",
            "context.input.urgent",
            Standing::Holds,
        ),
        (
            "permit (principal, action, resource) when { context.remit.agent == \"agent-2\" && principal.hasTag(\"team\") && principal.getTag(\"team\") == \"treasury\" };",
            "context.input.urgent",
            Standing::Violated,
        ),
        // What a caller claims is the caller's: it never makes an invariant hold.
        (
            "permit (principal, action, resource) when { principal.hasTag(\"team\") && principal.getTag(\"team\") like \"t*y\" };",
            "principal.hasTag(\"team\") && principal.getTag(\"team\") != \"treasury\"",
            Standing::Violated,
        ),
        // Later is a time too; what is over is over.
        (
            "permit (principal, action, resource) when { context.system.now > datetime(\"2030-01-01\") };",
            "context.input.urgent",
            Standing::Violated,
        ),
        (
            "permit (principal, action, resource) when { context.system.now < datetime(\"2020-01-01\") };",
            "context.input.urgent",
            Standing::Holds,
        ),
    ] {
        let found = World::new(policies, when).check(Ok(solver()));
        assert_eq!(found.standing, standing, "{policies} / {when}: {found:?}");
    }
    let world = World::new(
        "permit (principal, action, resource) when { context.remit.agent == \"agent-2\" && principal.hasTag(\"team\") && principal.getTag(\"team\") == \"treasury\" };",
        "context.input.urgent",
    );
    let call = world.check(Ok(solver())).counterexample.unwrap();
    assert_eq!((call.agent.as_str(), call.claims.get("team").map(String::as_str)), ("agent-2", Some("treasury")), "{call:?}");
}

#[test]
fn a_space_without_a_policy_set_lets_all_arguments_through() {
    let mut world = World::new("", "context.input.amount > 5 && context.input.urgent");
    world.policies = None;
    let found = world.check(Ok(solver()));
    let call = found.counterexample.unwrap();
    assert_eq!(call.arguments, Some(json!({"amount": 6, "to": "ACC-00", "urgent": true})));
    world.when = "context.input.amount > 5000".to_owned();
    assert_eq!(world.check(Ok(solver())).standing, Standing::Holds);
}

#[test]
fn what_hangs_on_the_past_is_not_called_violated() {
    let looked = "@id(\"looked\") permit (principal, action == AgentCore::Action::\"bank___pay\", resource)
        when temporal { formerly within 1h AgentCore::Action::\"bank___look\"::response{ input.amount: context.input.amount } };";
    let found = World::new(looked, "context.input.amount > 500").check(Ok(solver()));
    assert_eq!(found.standing, Standing::Unknown, "{found:?}");
    assert!(why(&found).contains("it depends on what came before") && why(&found).contains("`looked`"), "{found:?}");
    assert!(why(&found).contains(r#""amount":501"#), "{found:?}");
    // Whatever came before, the other rule denies.
    let both = format!("{looked}\nforbid (principal, action, resource) when {{ context.input.amount > 500 }};");
    assert_eq!(World::new(&both, "context.input.amount > 500").check(Ok(solver())).standing, Standing::Holds);
    // A first call is one: what it may do, it may.
    let few = "def temporal paid(?w) { count for ($q: String). where (formerly within ?w AgentCore::Action::\"bank___pay\"::request{ requestId: $q }) };
        permit (principal, action == AgentCore::Action::\"bank___pay\", resource) when temporal { (paid(1h)) <= 3 };";
    assert_eq!(World::new(few, "context.input.amount > 500").check(Ok(solver())).standing, Standing::Violated);
}

#[test]
fn a_condition_that_doesn_t_fit_is_told() {
    for (when, told) in [
        ("context.input.amuont > 5", "amuont"),
        ("context.input.note == \"x\"", "ask first, as in `context.input has"),
        ("context.input.amount > \"five\"", "doesn't fit the tool"),
        ("context.input.amount", "doesn't fit the tool"),
    ] {
        let found = World::new(CAP, when).check(Ok(solver()));
        assert_eq!(found.standing, Standing::Unknown, "{when}: {found:?}");
        assert!(why(&found).contains(told), "{when}: {}", why(&found));
    }
}

#[test]
fn an_invariant_without_a_condition_is_proved_too() {
    let one = "permit (principal, action, resource) when { context.input.amount > 2000 };";
    let found = World::new(one, "true").check(Ok(solver()));
    assert_eq!((found.standing, found.proved), (Standing::Holds, 2), "{found:?}");
    assert_eq!(World::new(one, "true").check(none()).standing, Standing::Unknown);
}

#[test]
fn who_signs_is_asked_as_it_signs() {
    let arn = "arn:aws:sts::111122223333:assumed-role/signer";
    let by = |name: &str| {
        format!(
            "permit (principal == AgentCore::IamEntity::\"{arn}/{name}\", action, resource)
             when {{ context.remit has role && context.remit.role like \"*role/signer\" }};"
        )
    };
    for (policies, standing) in [
        (by("clerk"), Standing::Violated),
        // The configuration fixes the session's name: nobody is called boss.
        (by("boss"), Standing::Holds),
        ("permit (principal is AgentCore::IamEntity, action, resource) when { principal.id like \"*/boss\" };".to_owned(), Standing::Holds),
        (
            "permit (principal is AgentCore::IamEntity, action, resource) when { principal.hasTag(\"team\") && principal.getTag(\"team\") == \"desk\" };"
                .to_owned(),
            Standing::Violated,
        ),
        // Of a role that may be absent it isn't asked so: such a rule is told, and permits nothing.
        ("permit (principal is AgentCore::IamEntity, action, resource) when { context.remit.role == \"other\" };".to_owned(), Standing::Holds),
        (
            "permit (principal is AgentCore::IamEntity, action, resource) when { context.remit has role && context.remit.role == \"other\" };"
                .to_owned(),
            Standing::Holds,
        ),
    ] {
        let world = World { signs: Some("clerk"), ..World::new(&policies, "context.input.amount > 5") };
        let found = world.check(Ok(solver()));
        assert_eq!(found.standing, standing, "{policies}: {found:?}");
        if standing == Standing::Violated {
            let call = found.counterexample.unwrap();
            assert_eq!(call.signs_as.as_deref(), Some("arn:aws:iam::111122223333:role/signer"), "{call:?}");
        }
    }
}
