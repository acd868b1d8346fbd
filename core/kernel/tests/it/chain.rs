//! What goes over from one role to the next, and what doesn't; what can't be got round.

use remit_identity::sts::{AssumeRole, Tag};
use remit_kernel::assume::{Caller, assume_role};
use remit_kernel::{Call, Session, SessionOf, Target, decide};
use remit_model::{AccountId, Risk, RoleKey, RoleName};

use crate::{NOW, World, reason};

fn key(account: &str, name: &str) -> RoleKey {
    RoleKey { account: AccountId::new(account).unwrap(), name: RoleName::new(name).unwrap() }
}

/// A session of the space's role, with a source identity and a tag that goes on.
pub(crate) fn session() -> Session {
    Session {
        id: "ASIATEST".into(),
        who: SessionOf::Role(key("111122223333", "ops-role")),
        name: "test".into(),
        issued_at_secs: NOW - 10,
        expires_at_secs: NOW + 3600,
        chained: false,
        tags: vec![
            Tag { key: "team".into(), value: "contractor".into(), transitive: true },
            Tag { key: "local".into(), value: "x".into(), transitive: false },
        ],
        source_identity: Some("mallory".into()),
        policies: Vec::new(),
        policy_documents: Vec::new(),
        user: None,
        via: vec!["AKIAFIRST".into()],
    }
}

/// `far`, the role of the other account: tagged `level: read`, trusting `ops-role` for these actions, with one more policy.
pub(crate) fn far(actions: &str, policy: &str) -> World {
    let mut world = World::new();
    world.role = r#"policies: [McpReadAccess], inline_policies: { assume: { Version: "2012-10-17", Statement: [{ Effect: Allow, Action: "sts:*", Resource: "*" }] } }"#.into();
    world.more_roles = format!(
        r#"  - {{ name: far, account: '444455556666', tags: {{ level: read }}, policies: [McpFullAccess], inline_policies: {{ p: {policy} }}, trust_policy: {{ Version: "2012-10-17", Statement: [{{ Effect: Allow, Principal: {{ AWS: "arn:aws:iam::111122223333:role/ops-role" }}, Action: [{actions}] }}] }} }}"#
    );
    world.desk = "role: 'arn:aws:iam::444455556666:role/far'".into();
    world
}

const ASSUME: &str = r#""sts:AssumeRole""#;
pub(crate) const ALL: &str = r#""sts:AssumeRole", "sts:TagSession", "sts:SetSourceIdentity""#;

fn deny(condition: &str) -> String {
    format!(
        r#"{{ Version: "2012-10-17", Statement: [{{ Effect: Deny, Action: "mcp:*", Resource: "*", Condition: {condition} }}] }}"#
    )
}

#[test]
fn an_agents_tags_stay_in_its_account() {
    let level = deny(r#"{ StringEquals: { "aws:PrincipalTag/level": "read" } }"#);
    let mut world = far(ASSUME, &level);
    assert_eq!(reason(&world, "desk___change"), "role_policy");
    world.agent = "tags: { level: admin }".into();
    assert_eq!(reason(&world, "desk___change"), "role_policy", "the other account's own tag still counts");
}

#[test]
fn tags_of_a_session_need_the_roles_word() {
    let mut world = World::new();
    world.agent = "tags: { team: sre }".into();
    assert_eq!(reason(&world, "ops___look"), "allowed");
    world.trust = world.trust.replace(r#", "sts:TagSession""#, "");
    let (refused, statement) = world.ask("ops___look").unwrap_err();
    assert!(refused == "role_trust" && statement.contains("sts:TagSession"), "{statement}");
    world.agent = String::new();
    world.user = Some("corp/alice".into());
    assert_eq!(reason(&world, "ops___look"), "allowed");
    world.trust = world.trust.replace(r#", "sts:SetSourceIdentity""#, "");
    let (refused, statement) = world.ask("ops___look").unwrap_err();
    assert!(refused == "role_trust" && statement.contains("sts:SetSourceIdentity"), "{statement}");
}

#[test]
fn source_identity_and_transitive_tags_go_into_the_other_account() {
    let nothing = r#"{ Version: "2012-10-17", Statement: [{ Effect: Allow, Action: "s3:*", Resource: "*" }] }"#;
    for (condition, expected) in [
        (r#"{ StringEquals: { "aws:SourceIdentity": "mallory" } }"#, "role_policy"),
        (r#"{ StringEquals: { "aws:PrincipalTag/team": "contractor" } }"#, "role_policy"),
        (r#"{ StringEquals: { "aws:PrincipalTag/local": "x" } }"#, "allowed"),
    ] {
        let mut world = far(ALL, &deny(condition));
        world.session = Some(session());
        assert_eq!(reason(&world, "desk___look"), expected, "{condition}");
    }
    let mut world = far(ALL, nothing);
    world.session = Some(session());
    let acted = world.decide("desk___look").acted_as.unwrap();
    assert_eq!(acted.source_identity.as_deref(), Some("mallory"));
    assert_eq!(acted.session_tags, [("team".to_owned(), "contractor".to_owned())]);
    let mut world = far(ASSUME, nothing);
    world.session = Some(session());
    assert_eq!(reason(&world, "desk___look"), "role_trust", "neither may go over without being allowed");
}

#[test]
fn what_is_inherited_needs_permission_as_what_is_asked_for_does() {
    let nothing = r#"{ Version: "2012-10-17", Statement: [{ Effect: Allow, Action: "s3:*", Resource: "*" }] }"#;
    let asked = AssumeRole {
        role_arn: "arn:aws:iam::444455556666:role/far".into(),
        session_name: "test".into(),
        duration_secs: None,
        policy: None,
        policy_arns: Vec::new(),
        tags: Vec::new(),
        external_id: None,
        source_identity: None,
    };
    let own = session();
    let ask = |world: &World| assume_role(&world.snapshot(), Caller::Session(&own), &asked, &world.origin, NOW).outcome;
    let refused = ask(&far(ASSUME, nothing)).unwrap_err();
    assert!(refused.code == "AccessDenied" && refused.message.contains("sts:TagSession"), "{refused}");
    assert_eq!(ask(&far(ALL, nothing)).unwrap().source_identity.as_deref(), Some("mallory"));
}

#[test]
fn a_space_without_a_role_keeps_the_accounts_boundary() {
    for role in ["policies: [McpFullAccess]", ""] {
        let mut world = World::new();
        world.account = "permissions_boundary: McpReadAccess".into();
        world.role = role.into();
        assert_eq!(reason(&world, "ops___look"), "allowed", "{role}");
        assert_eq!(reason(&world, "ops___change"), "permissions_boundary", "{role}");
    }
}

#[test]
fn a_stated_risk_never_changes_what_policies_see() {
    let mut world = World::new();
    world.policies = format!(
        "{{ name: scp, type: SERVICE_CONTROL_POLICY, document: {} }}",
        deny(r#"{ StringEquals: { "mcp:ToolRisk": ["low", "medium", "high"] } }"#)
    );
    world.unit = "service_control_policies: [FullAWSAccess, scp]".into();
    let snapshot = world.snapshot();
    for risk_requested in [None, Some(Risk::Low), Some(Risk::Critical)] {
        let target = Target::Tool { name: "ops___look", arguments: None };
        let call = Call { space: "ops", target, risk_requested, explain: false };
        assert!(!decide(&snapshot, &world.facts(), &call, NOW).allows(), "{risk_requested:?}");
    }
}

#[test]
fn revocations_reach_roles_elsewhere_and_keys_before() {
    let nothing = r#"{ Version: "2012-10-17", Statement: [{ Effect: Allow, Action: "s3:*", Resource: "*" }] }"#;
    let mut world = far(ALL, nothing);
    assert_eq!(reason(&world, "desk___look"), "allowed");
    world.revocations.roles.insert("444455556666/far".into(), NOW);
    assert_eq!(reason(&world, "desk___look"), "revoked");
    assert_eq!(reason(&world, "ops___look"), "allowed");
    let mut world = World::new();
    world.session = Some(Session { tags: Vec::new(), source_identity: None, ..session() });
    assert_eq!(reason(&world, "ops___look"), "allowed");
    world.revocations.credentials.insert("AKIAFIRST".into(), NOW);
    assert_eq!(reason(&world, "ops___look"), "revoked");
}

/// Explained, a decision knows every statement that applied on the way: also the one by which a role may be assumed, which has no line.
#[test]
fn what_applied_is_kept_where_it_is_explained() {
    let mut world = far(ASSUME, &deny(r#"{ StringEquals: { "mcp:Tool": "change" } }"#));
    world.account = "service_control_policies: [FullAWSAccess, Far]".into();
    world.policies = r#"{ name: Far, type: SERVICE_CONTROL_POLICY, document: { Version: "2012-10-17", Statement: [{ Sid: Money, Effect: Deny, Action: "mcp:*", Resource: "*", Condition: { StringEquals: { "mcp:Tool": "move_money" } } }] } }"#.into();
    let labels = |tool: &str| {
        let mut labels: Vec<String> = world.decide(tool).applied.iter().map(|statement| statement.label().to_string()).collect();
        labels.sort();
        labels.dedup();
        labels
    };
    let by_trust = ["McpFullAccess: statement 1", "assume: statement 1", "far: statement 1", "ops-role: Space"];
    let with = |more: &[&str]| {
        let mut all: Vec<String> = by_trust.iter().chain(more).map(|&label| label.to_owned()).collect();
        all.sort();
        all
    };
    assert_eq!(labels("desk___look"), with(&["FullAWSAccess: statement 1"]));
    assert_eq!(labels("desk___change"), with(&["FullAWSAccess: statement 1", "p: statement 1"]));
    let call = Call {
        space: "ops",
        target: Target::Tool { name: "desk___look", arguments: None },
        risk_requested: None,
        explain: false,
    };
    assert!(
        decide(&world.snapshot(), &world.facts(), &call, NOW).applied.is_empty(),
        "a call that isn't explained pays for nothing"
    );
}
