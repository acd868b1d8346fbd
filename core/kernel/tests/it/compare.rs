//! What a change newly allows and denies: counted whole, told in part, with the statement that decides.

use remit_kernel::Layer;
use remit_kernel::compare::{Bounds, Compared, compare, unheard};

use crate::{NOW, TRUST, World};

const ALL: Bounds = Bounds { examined_max: 1_000, told_max: 100 };

fn compared(before: &World, after: &World, bounds: Bounds) -> Compared {
    compare(&before.snapshot(), &after.snapshot(), bounds, NOW)
}

/// A world whose unit forbids one tool.
fn forbidding(tool: &str) -> World {
    let mut world = World::new();
    world.policies = format!(
        r#"{{ name: scp, type: SERVICE_CONTROL_POLICY, document: {{ Version: "2012-10-17", Statement: [{{ Sid: No, Effect: Deny, Action: "mcp:CallTool", Resource: "arn:aws:mcp:*:*:server/{tool}" }}] }} }}"#
    );
    world.unit = "service_control_policies: [FullAWSAccess, scp]".into();
    world
}

#[test]
fn what_changes_is_told_with_its_statement() {
    let (open, closed) = (World::new(), forbidding("ops/tool/look"));
    let told = compared(&open, &closed, ALL);
    assert_eq!((told.granted_count, told.denied_count, told.unexamined), (0, 1, 0), "{told:?}");
    let denied = &told.denied[0];
    assert_eq!((denied.agent.as_str(), denied.space.as_str(), denied.target.as_str()), ("agent-1", "ops", "ops___look"));
    let [because] = denied.because.as_slice() else { panic!("{denied:?}") };
    assert_eq!(because.layer, Layer::ServiceControlPolicy);
    assert!(because.statement.contains("scp: No") && because.at.as_deref().unwrap().starts_with("remit.yaml:"), "{because:?}");
    // The other way round it is a grant, by the same layer; and what stays the same is neither.
    let back = compared(&closed, &open, ALL);
    assert_eq!((back.granted_count, back.denied_count), (1, 0));
    assert!(back.granted[0].allowed && back.granted[0].because[0].before.contains("scp: No"));
    let same = compared(&closed, &closed, ALL);
    assert_eq!((same.granted_count, same.denied_count, same.examined), (0, 0, told.examined));
    // Every difference is one that a call would meet.
    for tool in ["ops___look", "ops___change", "ops___move_money", "desk___look"] {
        let differs = open.ask(tool).is_ok() != closed.ask(tool).is_ok();
        assert_eq!(differs, told.denied.iter().any(|denied| denied.target == tool), "{tool}");
    }
}

#[test]
fn roles_in_which_an_agent_signs_are_compared_too() {
    let mut before = World::new();
    before.more_roles =
        format!("  - {{ name: signer, account: '111122223333', trust_policy: {TRUST}, policies: [McpReadAccess] }}\n");
    let mut after = World::new();
    after.more_roles = before.more_roles.replace("McpReadAccess", "McpFullAccess");
    let signing = |world: &World| {
        let organization = world.organization();
        let mut with = organization.clone();
        let role = with.roles.keys().find(|key| key.name.as_str() == "signer").unwrap().clone();
        let credential = remit_model::AgentCredential::Role { role, session_name: None };
        with.agents.values_mut().for_each(|agent| agent.credentials.push(credential.clone()));
        world.snapshot_of(with)
    };
    let told = compare(&signing(&before), &signing(&after), ALL, NOW);
    assert!(told.granted_count > 0 && told.denied_count == 0, "{told:?}");
    assert!(told.granted.iter().all(|one| one.signs_as.as_deref() == Some("arn:aws:iam::111122223333:role/signer")), "{told:?}");
    // A credential is a way in by itself: with it, calls can be made that couldn't.
    let told = compare(&before.snapshot(), &signing(&before), ALL, NOW);
    assert_eq!(
        (told.granted_count, told.denied_count),
        (0, 0),
        "ways are compared as if both had them; the credential is a change of its own"
    );
}

#[test]
fn limits_are_kept_and_told() {
    let (open, closed) = (World::new(), forbidding("*"));
    let whole = compared(&open, &closed, ALL);
    assert!(whole.denied_count >= 3);
    let part = compared(&open, &closed, Bounds { examined_max: 1_000, told_max: 1 });
    assert_eq!((part.denied_count, part.denied.len()), (whole.denied_count, 1));
    let cut = compared(&open, &closed, Bounds { examined_max: 2, told_max: 100 });
    assert_eq!((cut.examined, cut.unexamined), (2, whole.examined - 2));
    let waiting = unheard(&open.snapshot(), |server| server.name.as_str() == "ops");
    assert_eq!(waiting.len(), 1);
    assert_eq!((waiting[0].0.as_str(), waiting[0].1.as_str()), ("ops", "444455556666/desk"));
}
