//! What is remembered of IAM's answers is what IAM would say.

use std::net::IpAddr;

use proptest::prelude::*;
use remit_kernel::{Arguments, Call, Decision, Fact, Facts, Identity, Principal, Revocations, Snapshot, Target, decide};
use remit_model::AgentId;

use crate::chain::{ALL, far, session};
use crate::tree::{deny, world_with};
use crate::{NOW, World, outcome};

const CONDITIONS: [&str; 12] = [
    r#"{ IpAddress: { "aws:SourceIp": "10.1.0.0/16" } }"#,
    r#"{ Bool: { "aws:SecureTransport": "false" } }"#,
    r#"{ DateGreaterThan: { "aws:CurrentTime": "2026-07-28T00:10:00Z" } }"#,
    r#"{ NumericGreaterThan: { "aws:EpochTime": "1785197400" } }"#,
    r#"{ DateGreaterThan: { "aws:TokenIssueTime": "2026-07-27T23:59:50Z" } }"#,
    r#"{ StringEquals: { "mcp:User": "ann" } }"#,
    r#"{ StringEquals: { "aws:SourceIdentity": "ann" } }"#,
    r#"{ StringEquals: { "mcp:Agent": "agent-1" } }"#,
    r#"{ StringLike: { "aws:userid": "*:agent-1" } }"#,
    r#"{ StringEquals: { "mcp:ToolClass": "READ_ONLY" } }"#,
    r#"{ "ForAnyValue:StringEquals": { "mcp:ToolCategories": "transfer" } }"#,
    r#"{ IpAddress: { "aws:SourceIp": "10.1.0.0/16" }, StringEquals: { "mcp:User": "ann" } }"#,
];

/// One call of a world: what it differs in, by numbers.
fn facts(world: &World, known: &[Facts], pick: [usize; 5]) -> Facts {
    let [who, ip, transport, revoked, _] = pick;
    // Callers that come again, and others that are gone after their call.
    let mut facts = known.get(who).cloned().unwrap_or_else(|| of(world, who));
    facts.origin.source_ip = match ip {
        0 => Fact::Unknown("lost".into()),
        1 => Fact::Known(IpAddr::from([10, 1, 2, 3])),
        _ => Fact::Known(IpAddr::from([192, 0, 2, 1])),
    };
    facts.origin.secure_transport = transport > 0;
    if revoked == 0 {
        let roles = [("444455556666/far".to_owned(), NOW)].into();
        facts.revocations = Fact::Known(Revocations { roles, ..Revocations::default() }.into());
    }
    facts
}

fn of(world: &World, who: usize) -> Facts {
    let mut facts = world.facts();
    let Fact::Known(Identity::Authenticated(principal)) = &facts.identity else { panic!("somebody calls") };
    let principal = Principal {
        user: [None, Some("ann"), Some("ben")][who % 3].map(str::to_owned),
        issued_at_secs: NOW - [5, 20][who % 2],
        expires_at_secs: NOW + 90_000,
        agent: AgentId::new("agent-1").unwrap(),
        session: (who % 4 == 3).then(|| session().into()),
        ..(**principal).clone()
    };
    facts.identity = Fact::Known(Identity::Authenticated(principal.into()));
    facts
}

fn decided(snapshot: &Snapshot, facts: &Facts, pick: [usize; 5]) -> Decision {
    let name = ["ops___look", "ops___move_money", "desk___look"][pick[4] % 3];
    let target = Target::Tool { name, arguments: Some(Arguments::scan("{}").unwrap()) };
    let call = Call { space: "ops", target, risk_requested: None, explain: false };
    decide(snapshot, facts, &call, NOW + 1_200 * (pick[4] as u64 / 3))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn what_is_remembered_is_what_iam_would_say(
        condition in proptest::sample::select(&CONDITIONS[..]),
        in_trust in any::<bool>(),
        far_away in any::<bool>(),
        picks in proptest::collection::vec((0..9_usize, 0..3_usize, 0..3_usize, 0..8_usize, 0..6_usize), 120),
    ) {
        let mut world = if in_trust { World::new() } else { world_with(&deny(condition)) };
        let nothing = r#"{ Version: "2012-10-17", Statement: [{ Effect: Allow, Action: "s3:*", Resource: "*" }] }"#;
        if far_away {
            // The desk is called in a role of its account, which may be revoked.
            let far = far(ALL, nothing);
            (world.role, world.more_roles, world.desk) = (far.role, far.more_roles, far.desk);
        }
        if in_trust {
            // The role can't be assumed where it holds.
            let no = format!(r#"{{ Sid: No, Effect: Deny, Principal: "*", Action: "sts:*", Condition: {condition} }}"#);
            world.trust = world.trust.replacen("Statement: [", &format!("Statement: [{no}, "), 1);
        }
        let (plain, remembering) = (world.snapshot(), world.snapshot());
        remembering.remember();
        let known: Vec<Facts> = (0..6).map(|who| of(&world, who)).collect();
        for (who, ip, transport, revoked, tool) in picks {
            let pick = [who, ip, transport, revoked, tool];
            let facts = facts(&world, &known, pick);
            let (was, is) = (decided(&plain, &facts, pick), decided(&remembering, &facts, pick));
            prop_assert_eq!((outcome(&is), &is.layers, &is.acted_as), (outcome(&was), &was.layers, &was.acted_as), "{} {:?}", condition, pick);
        }
    }
}
