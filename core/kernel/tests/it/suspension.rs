//! What is stopped: denied with who and why, hidden from lists, and nothing else.

use remit_kernel::{Fact, Suspended, Suspension, Target, enter, visible};
use remit_model::{AccountId, ServerKey, ServerName};

use crate::{NOW, World, reason};

fn server(account: &str, name: &str) -> ServerKey {
    ServerKey { account: AccountId::new(account).unwrap(), name: ServerName::new(name).unwrap() }
}

fn suspension() -> Suspension {
    Suspension { by: "ana".into(), reason: "incident 7".into(), at_secs: NOW }
}

#[test]
fn each_switch_stops_its_own_and_nothing_else() {
    let ops = server("111122223333", "ops");
    let cases = [
        (Suspended::Agent("agent-1".into()), ["suspended"; 3]),
        (Suspended::Agent("agent-2".into()), ["allowed"; 3]),
        (Suspended::Space("ops".into()), ["suspended"; 3]),
        (Suspended::Space("other".into()), ["allowed"; 3]),
        (Suspended::Server(ops.clone()), ["suspended"; 3]),
        (Suspended::Server(server("111122223333", "desk")), ["allowed"; 3]),
        (Suspended::Tool(ops.clone(), "look".into()), ["suspended", "allowed", "allowed"]),
        (Suspended::Tool(server("444455556666", "ops"), "look".into()), ["allowed"; 3]),
        (Suspended::User("corp/alice".into()), ["suspended"; 3]),
        (Suspended::User("corp/bob".into()), ["allowed"; 3]),
    ];
    for (what, wanted) in cases {
        let mut world = World::new();
        world.user = Some("corp/alice".into());
        world.revocations.suspended.suspend(&what, suspension());
        // Said again, it stays as it was said first.
        world.revocations.suspended.suspend(&what, Suspension { by: "bob".into(), ..suspension() });
        let tools = ["ops___look", "ops___change", "ops___move_money"];
        assert_eq!(tools.map(|tool| reason(&world, tool)), wanted, "{what}");
        let (snapshot, facts) = (world.snapshot(), world.facts());
        let Fact::Known(remit_kernel::Identity::Authenticated(principal)) = &facts.identity else { unreachable!() };
        let entered = enter(&snapshot, &facts, "ops", NOW).is_ok();
        for (tool, wanted) in tools.into_iter().zip(wanted) {
            let shown =
                visible(&snapshot, &facts, &snapshot.spaces["ops"], principal, Target::Tool { name: tool, arguments: None }, NOW);
            assert_eq!(entered && shown, wanted == "allowed", "{what}: the list says what the call says of {tool}");
        }
        if let Some(stopped) = tools.into_iter().find(|tool| reason(&world, tool) == "suspended") {
            let (_, statement) = world.ask(stopped).unwrap_err();
            assert_eq!(statement, format!("{what} was suspended by ana: incident 7"));
        }
        assert_eq!(world.revocations.suspended.resume(&what), Some(suspension()));
        assert_eq!(world.revocations.suspended.resume(&what), None);
        assert!(world.revocations.suspended.is_empty());
        assert_eq!(tools.map(|tool| reason(&world, tool)), ["allowed"; 3]);
    }
}

#[test]
fn what_can_not_be_looked_up_stops_everything() {
    let world = World::new();
    let mut facts = world.facts();
    facts.revocations = Fact::Unknown("the store is away".into());
    assert!(enter(&world.snapshot(), &facts, "ops", NOW).is_err());
}
