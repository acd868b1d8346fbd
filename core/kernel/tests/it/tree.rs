//! Control policies down the tree, roles and their limits, from the seeds' own documents.

use std::net::IpAddr;

use remit_kernel::{Effect, Fact, Layer, Revocations};

use crate::{NOW, World, reason};

/// The second seed's policy, as it stands there.
const DENY_MCP: &str = r#"{ "Version": "2012-10-17", "Statement": [ { "Sid": "DenyWhenAccessedViaMCP", "Effect": "Deny", "Action": "*", "Resource": "*", "Condition": { "Bool": { "aws:ViaAWSMCPService": "true" } } } ] }"#;

fn control(name: &str, document: &str) -> String {
    format!("{{ name: {name}, type: SERVICE_CONTROL_POLICY, document: {document} }}")
}

pub(crate) fn deny(condition: &str) -> String {
    format!(
        r#"{{ Version: "2012-10-17", Statement: [{{ Sid: No, Effect: Deny, Action: "mcp:*", Resource: "*", Condition: {condition} }}] }}"#
    )
}

/// A world with one service control policy beside FullAWSAccess, attached to the unit.
pub(crate) fn world_with(document: &str) -> World {
    let mut world = World::new();
    world.policies = control("scp", document);
    world.unit = "service_control_policies: [FullAWSAccess, scp]".into();
    world
}

#[test]
fn without_policies_nothing_stands_in_the_way() {
    let world = World::new();
    for tool in ["ops___look", "ops___change", "ops___move_money"] {
        assert_eq!(world.ask(tool), Ok(()));
    }
    let decision = world.decide("ops___look");
    let acted = decision.acted_as.unwrap();
    assert_eq!(acted.principal_arn, "arn:aws:sts::111122223333:assumed-role/ops-role/agent-1");
}

#[test]
fn the_seeds_policy_denies_in_the_seeds_words_wherever_it_is_attached() {
    for node in ["root", "unit", "account"] {
        let mut world = World::new();
        world.policies = control("DenyMcp", DENY_MCP);
        let attached = "service_control_policies: [FullAWSAccess, DenyMcp]".to_owned();
        match node {
            "root" => world.organization = attached,
            "unit" => world.unit = attached,
            _ => world.account = attached,
        }
        let (reason, statement) = world.ask("ops___look").unwrap_err();
        assert_eq!(reason, "service_control_policy");
        let sentence = "User: arn:aws:sts::111122223333:assumed-role/ops-role/agent-1 is not authorized to perform: mcp:CallTool on \
                        resource: arn:aws:mcp:us-east-1:111122223333:server/ops/tool/look with an explicit deny in a service control \
                        policy (DenyMcp: DenyWhenAccessedViaMCP at ";
        assert!(statement.starts_with(sentence), "{statement}");
        let named = match node {
            "root" => "root r-test",
            "unit" => "organizational unit ou-top",
            _ => "account 111122223333",
        };
        assert!(statement.contains(named), "{statement}");
    }
}

#[test]
fn control_policies_of_real_organizations() {
    let cases = [
        (deny(r#"{ StringNotEquals: { "aws:RequestedRegion": ["eu-west-3"] } }"#), "service_control_policy"),
        (deny(r#"{ StringEquals: { "aws:RequestedRegion": "eu-west-3" } }"#), "allowed"),
        (deny(r#"{ StringEquals: { "aws:CalledViaAWSMCP": "ops" } }"#), "service_control_policy"),
        (deny(r#"{ StringEquals: { "aws:CalledViaAWSMCP": "eks-mcp.amazonaws.com" } }"#), "allowed"),
        (deny(r#"{ StringNotEquals: { "aws:PrincipalTag/team": "sre" } }"#), "service_control_policy"),
        (deny(r#"{ StringEquals: { "aws:ResourceTag/stage": "production" } }"#), "allowed"),
        (deny(r#"{ StringNotEquals: { "aws:PrincipalOrgID": "o-test" } }"#), "allowed"),
        (
            deny(r#"{ "ForAnyValue:StringLike": { "aws:PrincipalOrgPaths": "o-test/r-test/ou-top/*" } }"#),
            "service_control_policy",
        ),
        (deny(r#"{ "ForAnyValue:StringEquals": { "aws:PrincipalOrgPaths": "o-test/r-test/ou-other/" } }"#), "allowed"),
        (deny(r#"{ NotIpAddress: { "aws:SourceIp": "10.0.0.0/8" } }"#), "allowed"),
        (deny(r#"{ IpAddress: { "aws:SourceIp": "10.0.0.0/8" } }"#), "service_control_policy"),
        (deny(r#"{ Bool: { "aws:SecureTransport": "false" } }"#), "allowed"),
        (deny(r#"{ DateGreaterThan: { "aws:CurrentTime": "2026-07-01T00:00:00Z" } }"#), "service_control_policy"),
        (deny(r#"{ DateGreaterThan: { "aws:CurrentTime": "2026-08-01T00:00:00Z" } }"#), "allowed"),
        (deny(r#"{ ArnNotLike: { "aws:PrincipalArn": "arn:aws:iam::*:role/ops-*" } }"#), "allowed"),
        (deny(r#"{ StringEquals: { "mcp:ToolClass": "DESTRUCTIVE" } }"#), "allowed"),
        (deny(r#"{ StringEquals: { "mcp:Agent": "agent-1" } }"#), "service_control_policy"),
    ];
    for (document, expected) in cases {
        assert_eq!(reason(&world_with(&document), "ops___look"), expected, "{document}");
    }
}

#[test]
fn an_address_that_is_not_known_denies_where_it_counts() {
    let mut world = world_with(&deny(r#"{ NotIpAddress: { "aws:SourceIp": "10.0.0.0/8" } }"#));
    assert_eq!(reason(&world, "ops___look"), "allowed");
    world.origin.source_ip = Fact::Unknown("lost".into());
    assert_eq!(reason(&world, "ops___look"), "service_control_policy");
    world.origin.source_ip = Fact::Known("::ffff:10.9.9.9".parse::<IpAddr>().unwrap());
    assert_eq!(reason(&world, "ops___look"), "allowed");
}

#[test]
fn every_level_must_allow_and_an_empty_one_does_not() {
    let mut world = World::new();
    world.unit = "service_control_policies: []".into();
    let (reason, statement) = world.ask("ops___look").unwrap_err();
    assert_eq!(reason, "service_control_policy");
    assert!(
        statement.contains("because no service control policy at organizational unit ou-top allows the mcp:CallTool action"),
        "{statement}"
    );
    let mut world = World::new();
    world.policies =
        control("other", r#"{ Version: "2012-10-17", Statement: [{ Effect: Allow, Action: "s3:*", Resource: "*" }] }"#);
    world.account = "service_control_policies: [other]".into();
    assert_eq!(crate::reason(&world, "ops___look"), "service_control_policy");
}

#[test]
fn moving_an_account_moves_what_it_inherits() {
    let mut world = world_with(DENY_MCP);
    assert_eq!(reason(&world, "ops___look"), "service_control_policy");
    // The same account, hung directly below the root: a later key of the same mapping would be refused, so the unit goes.
    let organization = world.organization();
    let account = organization.accounts.values().find(|account| account.name == "ops").unwrap();
    assert_eq!(organization.path(&account.id), "o-test/r-test/ou-top/");
    world.unit = "parent: null".into();
    assert_eq!(reason(&world, "ops___look"), "allowed");
}

#[test]
fn the_management_account_is_exempt_from_control_policies() {
    let mut world = world_with(DENY_MCP);
    world.organization = "management_account: '111122223333'".into();
    assert_eq!(reason(&world, "ops___look"), "allowed");
}

#[test]
fn control_policies_reach_spaces_without_a_role() {
    let mut world = world_with(&deny(r#"{ StringEquals: { "mcp:Tool": "change" } }"#));
    world.role = String::new();
    assert_eq!(reason(&world, "ops___look"), "allowed");
    assert_eq!(reason(&world, "ops___change"), "service_control_policy");
}

#[test]
fn a_role_allows_by_class_and_by_resource() {
    let mut world = World::new();
    for (policies, allowed) in [
        ("policies: [McpReadAccess]", [true, false, false]),
        ("policies: [McpApplyAccess]", [true, true, false]),
        ("policies: [McpPlanAccess]", [false, false, false]),
        ("policies: []", [false, false, false]),
        ("policies: [AdministratorAccess]", [true, true, true]),
        (
            r#"inline_policies: { one: { Version: "2012-10-17", Statement: [{ Effect: Allow, Action: "mcp:CallTool", Resource: "arn:aws:mcp:*:111122223333:server/ops/tool/change" }] } }"#,
            [false, true, false],
        ),
    ] {
        world.role = policies.into();
        for (tool, allowed) in ["ops___look", "ops___change", "ops___move_money"].iter().zip(allowed) {
            assert_eq!(reason(&world, tool) == "allowed", allowed, "{policies}: {tool}");
        }
    }
}

#[test]
fn boundaries_cap_and_accounts_hand_theirs_down() {
    let mut world = World::new();
    world.policies = r#"{ name: cap, document: { Version: "2012-10-17", Statement: [{ Effect: Allow, Action: "mcp:*", Resource: "*", Condition: { StringEquals: { "mcp:ToolClass": "READ_ONLY" } } }] } }"#.into();
    world.account = "permissions_boundary: cap".into();
    assert_eq!(reason(&world, "ops___look"), "allowed");
    let (reason, statement) = world.ask("ops___change").unwrap_err();
    assert_eq!(reason, "permissions_boundary");
    assert!(statement.contains("because no permissions boundary allows the mcp:CallTool action"), "{statement}");
}

#[test]
fn a_trust_policy_is_asked_at_every_call() {
    let mut world = World::new();
    world.trust = world.trust.replace("agentspace/ops", "agentspace/other");
    let (reason, statement) = world.ask("ops___look").unwrap_err();
    assert_eq!(reason, "role_trust");
    assert!(statement.starts_with("User: aidevops.amazonaws.com is not authorized to perform: sts:AssumeRole"), "{statement}");
}

#[test]
fn a_server_of_another_account_is_called_in_a_role_there() {
    let arn = "arn:aws:iam::444455556666:role/desk-role";
    let trust = |external: &str| {
        format!(
            r#"{{ Version: "2012-10-17", Statement: [{{ Effect: Allow, Principal: {{ AWS: "arn:aws:iam::111122223333:role/ops-role" }}, Action: "sts:AssumeRole", Condition: {{ StringEquals: {{ "sts:ExternalId": "{external}" }} }} }}] }}"#
        )
    };
    let mut world = World::new();
    // Without a role there it is somebody else's resource, whose policy would have to allow it.
    assert_eq!(reason(&world, "desk___look"), "resource_policy");
    world.desk = format!("role: '{arn}'");
    let space = "arn:aws:aidevops:us-east-1:111122223333:agentspace/ops";
    let desk = |trust: &str| {
        format!("  - {{ name: desk-role, account: '444455556666', trust_policy: {trust}, policies: [McpReadAccess] }}\n")
    };
    world.more_roles = desk(&trust(space));
    assert_eq!(reason(&world, "desk___look"), "role_policy", "ops-role may not assume anything");
    world.role = format!(
        r#"policies: [McpReadAccess], inline_policies: {{ assume: {{ Version: "2012-10-17", Statement: [{{ Effect: Allow, Action: "sts:AssumeRole", Resource: "{arn}" }}] }} }}"#
    );
    assert_eq!(reason(&world, "desk___look"), "allowed");
    assert_eq!(
        world.decide("desk___look").acted_as.unwrap().principal_arn,
        "arn:aws:sts::444455556666:assumed-role/desk-role/agent-1"
    );
    assert_eq!(reason(&world, "desk___change"), "role_policy", "that role only reads");
    world.desk = format!("role: '{arn}', external_id: another-id");
    assert_eq!(reason(&world, "desk___look"), "role_trust");
    world.more_roles = desk(&trust("another-id"));
    assert_eq!(reason(&world, "desk___look"), "allowed");
}

#[test]
fn zones_are_held_apart_by_the_roles_that_act() {
    let may = "policies: [McpReadAccess]";
    let world = |server: Option<&str>, role: Option<&str>| {
        let zone = |zone: Option<&str>| zone.map(|zone| format!("zone: {zone}")).unwrap_or_default();
        let mut world = World::new();
        world.server = zone(server);
        world.role = [may.to_owned(), zone(role)].into_iter().filter(|part| !part.is_empty()).collect::<Vec<_>>().join(", ");
        world.more_roles = "trust_zones: [{ name: money }, { name: web }]\n".into();
        world
    };
    assert_eq!(reason(&world(Some("money"), Some("money")), "ops___look"), "allowed");
    assert_eq!(reason(&world(None, None), "ops___look"), "allowed");
    for (server, role, says) in [
        (Some("money"), Some("web"), "is of trust zone `money`, and role 111122223333/ops-role is of trust zone `web`"),
        (Some("money"), None, "is of trust zone `money`, and role 111122223333/ops-role is of no trust zone"),
        (None, Some("web"), "is of no trust zone, and role 111122223333/ops-role is of trust zone `web`"),
    ] {
        let (reason, statement) = world(server, role).ask("ops___look").unwrap_err();
        assert_eq!(reason, "role_trust");
        assert!(statement.contains(says), "{statement}");
    }
    // Nor does who acts in no role reach into a zone, whatever the account allows.
    let mut roleless = world(Some("money"), None);
    roleless.role = String::new();
    let (reason, statement) = roleless.ask("ops___look").unwrap_err();
    assert_eq!(reason, "role_trust");
    assert!(statement.contains("the agent acts in no role"), "{statement}");
}

#[test]
fn a_resource_policy_denies_and_allows_across_accounts() {
    let mut world = World::new();
    let policy = |effect: &str, principal: &str| {
        format!(
            r#"resource_policy: {{ Version: "2012-10-17", Statement: [{{ Sid: Mine, Effect: {effect}, Principal: {principal}, Action: "mcp:*", Resource: "*" }}] }}"#
        )
    };
    world.server = policy("Deny", r#"{ AWS: "arn:aws:iam::111122223333:role/ops-role" }"#);
    assert_eq!(reason(&world, "ops___look"), "resource_policy");
    world.server = policy("Deny", r#"{ AWS: "arn:aws:iam::111122223333:role/another" }"#);
    assert_eq!(reason(&world, "ops___look"), "allowed");
}

#[test]
fn the_agents_tags_and_user_are_the_sessions() {
    let mut world = world_with(&deny(r#"{ StringNotEquals: { "aws:PrincipalTag/Team": "sre" } }"#));
    world.agent = "tags: { team: sre }".into();
    assert_eq!(reason(&world, "ops___look"), "allowed");
    let mut world = world_with(&deny(r#"{ "Null": { "aws:SourceIdentity": "true" } }"#));
    assert_eq!(reason(&world, "ops___look"), "service_control_policy");
    world.user = Some("corp/alice".into());
    assert_eq!(reason(&world, "ops___look"), "allowed");
    assert_eq!(world.decide("ops___look").acted_as.unwrap().source_identity.as_deref(), Some("corp/alice"));
}

#[test]
fn what_is_revoked_is_out() {
    let revoked = |change: fn(&mut Revocations)| {
        let mut world = World::new();
        change(&mut world.revocations);
        reason(&world, "ops___look")
    };
    assert_eq!(revoked(|_| {}), "allowed");
    assert_eq!(
        revoked(|all| {
            let _ = all.credentials.insert("token-1".into(), NOW);
        }),
        "revoked"
    );
    assert_eq!(
        revoked(|all| {
            let _ = all.credentials.insert("token-2".into(), NOW);
        }),
        "allowed"
    );
    assert_eq!(
        revoked(|all| {
            let _ = all.agents.insert("agent-1".into(), NOW - 10);
        }),
        "revoked"
    );
    assert_eq!(
        revoked(|all| {
            let _ = all.agents.insert("agent-1".into(), NOW - 11);
        }),
        "allowed"
    );
    assert_eq!(
        revoked(|all| {
            let _ = all.roles.insert("111122223333/ops-role".into(), NOW);
        }),
        "revoked"
    );
    assert_eq!(
        revoked(|all| {
            let _ = all.roles.insert("111122223333/other".into(), NOW);
        }),
        "allowed"
    );
    assert_eq!(revoked(|all| all.everything = Some(NOW)), "revoked");
    assert_eq!(revoked(|all| all.everything = Some(NOW - 11)), "allowed");
}

#[test]
fn every_layer_speaks_when_explained() {
    let mut world = world_with(DENY_MCP);
    world.role = "policies: [McpReadAccess]".into();
    let decision = world.decide("ops___change");
    let said: Vec<(Layer, Effect)> = decision.layers.iter().map(|line| (line.layer, line.effect)).collect();
    assert_eq!(
        said,
        [
            (Layer::Identity, Effect::Allow),
            (Layer::Space, Effect::Allow),
            (Layer::RoleTrust, Effect::Allow),
            (Layer::ServiceControlPolicy, Effect::ExplicitDeny),
            (Layer::Principal, Effect::ImplicitDeny),
            (Layer::ToolPolicy, Effect::Allow),
            (Layer::ArgumentSchema, Effect::Allow),
        ]
    );
    let origin = decision.layers[3].origin.as_deref().unwrap();
    assert!(origin.starts_with("remit.yaml:"), "{origin}");
}
