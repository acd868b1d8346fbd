//! What would have to change, and that it does.

use remit_kernel::remedy::{Remedy, remedies};
use remit_kernel::{Call, Layer, Target, decide};

use crate::{NOW, World, reason};

fn asked(world: &World, tool: &str) -> Vec<Remedy> {
    let (snapshot, facts) = (world.snapshot(), world.facts());
    let call = Call { space: "ops", target: Target::Tool { name: tool, arguments: None }, risk_requested: None, explain: true };
    let decision = decide(&snapshot, &facts, &call, NOW);
    remedies(&snapshot, &facts, &call, &decision)
}

#[test]
fn what_is_allowed_needs_none() {
    assert_eq!(asked(&World::new(), "ops___look"), []);
}

#[test]
fn a_statement_that_nearly_allows_is_named_and_mending_it_allows() {
    let mut world = World::new();
    let policy = |resource: &str| {
        format!(
            r#"inline_policies: {{ one: {{ Version: "2012-10-17", Statement: [{{ Sid: Some, Effect: Allow, Action: "mcp:CallTool", Resource: [{resource}] }}] }} }}"#
        )
    };
    let look = r#""arn:aws:mcp:us-east-1:111122223333:server/ops/tool/look""#;
    world.role = policy(look);
    let [remedy] = asked(&world, "ops___change").try_into().unwrap();
    assert_eq!(remedy.change, "add arn:aws:mcp:us-east-1:111122223333:server/ops/tool/change to the `Resource` of one: Some");
    assert!(remedy.at.unwrap().starts_with("remit.yaml:"));
    assert_eq!(remedy.by, "an administrator of account 111122223333 (ops)");
    // Done as it says, the call is allowed.
    world.role = policy(&format!(r#"{look}, "arn:aws:mcp:us-east-1:111122223333:server/ops/tool/change""#));
    assert_eq!(reason(&world, "ops___change"), "allowed");
}

#[test]
fn a_condition_that_does_not_hold_is_told() {
    let mut world = World::new();
    world.role = "policies: [McpReadAccess]".into();
    world.account = "owner: ops@acme.example".into();
    let [remedy] = asked(&world, "ops___change").try_into().unwrap();
    assert_eq!(remedy.change, "McpReadAccess: ReadTools would allow it if this held: mcp:ToolClass StringEquals [READ_ONLY]");
    assert_eq!(remedy.by, "ops@acme.example, who administers account 111122223333 (ops)");
}

#[test]
fn a_statement_is_proposed_where_none_is_near_and_it_allows() {
    let mut world = World::new();
    world.role = "policies: []".into();
    let [remedy] = asked(&world, "ops___look").try_into().unwrap();
    let statement =
        r#"{"Effect":"Allow","Action":"mcp:CallTool","Resource":"arn:aws:mcp:us-east-1:111122223333:server/ops/tool/look"}"#;
    assert_eq!(remedy.change, format!("add a statement to the role's policies: {statement}"));
    world.role = format!(r#"inline_policies: {{ one: {{ Version: "2012-10-17", Statement: [{statement}] }} }}"#);
    assert_eq!(reason(&world, "ops___look"), "allowed");
}

#[test]
fn every_layer_that_denies_has_its_own_and_whoever_may_make_it() {
    let mut world = World::new();
    world.policies = r#"{ name: scp, type: SERVICE_CONTROL_POLICY, document: { Version: "2012-10-17", Statement: [{ Sid: No, Effect: Deny, Action: "*", Resource: "*" }] } }"#.into();
    world.organization = "owner: security@acme.example, service_control_policies: [FullAWSAccess, scp]".into();
    world.role = "policies: []".into();
    let all = asked(&world, "ops___look");
    let by: Vec<(Layer, &str)> = all.iter().map(|remedy| (remedy.layer, remedy.by.as_str())).collect();
    assert_eq!(
        by,
        [
            (Layer::ServiceControlPolicy, "security@acme.example, who administers organization o-test"),
            (Layer::Principal, "an administrator of account 111122223333 (ops)"),
        ]
    );
    assert!(all[0].at.as_deref().unwrap().starts_with("remit.yaml:"));
    let unlisted = asked(&world, "ops___nothing");
    assert_eq!(unlisted[0].change, "no server of space `ops` offers `ops___nothing`: name one that it has");
}
