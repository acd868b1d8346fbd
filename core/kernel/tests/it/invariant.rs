//! Invariants: held only where no call could pass, violated only with a call that does, and open where neither is sure.

use std::net::IpAddr;

use remit_cedar::{Question, Reply};
use remit_kernel::invariant::{Checked, Standing, check};
use remit_kernel::{Fact, Origin, Snapshot};
use remit_model::{AgentCredential, AgentsMeant, Invariant, Organization, PolicyFile, PolicyTexts, RoleKey, ToolClass};

use crate::{NOW, TRUST, World};

const MANY: u64 = 10_000;

/// No agent ever calls the tools that this names.
fn never(tools: &[&str]) -> Invariant {
    Invariant {
        name: "never".into(),
        origin: "remit.yaml:1".into(),
        agents: AgentsMeant::All,
        tools: tools.iter().map(|tool| (*tool).to_owned()).collect(),
        categories: Vec::new(),
        classes: Vec::new(),
        spaces: Vec::new(),
        when: None,
        without_approval: false,
    }
}

fn with(mut organization: Organization, invariant: Invariant) -> Organization {
    organization.invariants = vec![invariant];
    organization
}

/// No symbolic analysis: what the kernel can show, it shows by itself.
fn unanswered(_: &Question<'_>) -> Reply {
    Reply::Unknown("nobody answers".into())
}

fn checked(snapshot: &Snapshot) -> Checked {
    let mut all = check(snapshot, |_| true, &unanswered, MANY, NOW);
    assert_eq!(all.len(), 1);
    all.remove(0)
}

fn checked_in(world: &World, invariant: Invariant) -> Checked {
    checked(&world.snapshot_of(with(world.organization(), invariant)))
}

/// A world whose unit says this of every call; `condition` is a JSON object.
fn denied_when(condition: &str) -> World {
    let mut world = World::new();
    world.policies = format!(
        r#"{{ name: scp, type: SERVICE_CONTROL_POLICY, document: {{ Version: "2012-10-17", Statement: [{{ Sid: No, Effect: Deny, Action: "mcp:CallTool", Resource: "arn:aws:mcp:*:*:server/ops/tool/move_money", Condition: {condition} }}] }} }}"#
    );
    world.unit = "service_control_policies: [FullAWSAccess, scp]".into();
    world
}

/// A role in which the agent signs.
fn signing(world: &mut World, policies: &str, session_name: Option<&str>) -> Organization {
    world.more_roles = format!("  - {{ name: signer, account: '111122223333', trust_policy: {TRUST}, {policies} }}\n");
    let mut organization = world.organization();
    let role: RoleKey = organization.roles.keys().find(|key| key.name.as_str() == "signer").unwrap().clone();
    let credential = AgentCredential::Role { role, session_name: session_name.map(str::to_owned) };
    organization.agents.values_mut().for_each(|agent| agent.credentials.push(credential.clone()));
    organization
}

#[test]
fn a_call_that_is_allowed_is_the_counterexample() {
    let world = World::new();
    let found = checked_in(&world, never(&["ops___move_money"]));
    assert_eq!((found.standing, found.examined), (Standing::Violated, 1), "{found:?}");
    let call = found.counterexample.unwrap();
    assert_eq!((call.agent.as_str(), call.space.as_str(), call.tool.as_str()), ("agent-1", "ops", "ops___move_money"));
    assert!(call.supposing.is_empty() && call.signs_as.is_none(), "{call:?}");
    assert!(call.because.iter().any(|line| line.statement.contains("tool policy (agent-1, *)") && line.at.is_some()), "{call:?}");
    assert!(world.ask("ops___move_money").is_ok(), "the call itself is allowed");
    // Whom and what it doesn't speak of, it doesn't look at.
    let agent = || remit_model::AgentId::new("agent-1").unwrap();
    let accounts = |account: &str| AgentsMeant::OutsideAccounts(vec![remit_model::AccountId::new(account).unwrap()]);
    let space = remit_model::SpaceId::new("ops").unwrap();
    for (agents, examined) in [
        (AgentsMeant::Except(vec![agent()]), 0),
        (AgentsMeant::Only(vec![agent()]), 1),
        (accounts("111122223333"), 0),
        (accounts("444455556666"), 1),
        (AgentsMeant::OutsideSpaces(vec![space]), 0),
    ] {
        let found = checked_in(&world, Invariant { agents: agents.clone(), ..never(&["ops___move_money"]) });
        let standing = if examined == 0 { Standing::Holds } else { Standing::Violated };
        assert_eq!((found.examined, found.standing), (examined, standing), "{agents:?}");
    }
    for (categories, classes, standing) in [
        (vec!["transfer"], vec![], Standing::Violated),
        (vec!["delete"], vec![], Standing::Holds),
        (vec!["transfer"], vec![ToolClass::ReadOnly], Standing::Holds),
        (vec![], vec![ToolClass::Destructive], Standing::Violated),
    ] {
        let categories = categories.into_iter().map(str::to_owned).collect();
        let found = checked_in(&world, Invariant { categories, classes, ..never(&[]) });
        assert_eq!(found.standing, standing, "{found:?}");
    }
}

#[test]
fn what_is_always_denied_is_shown_to_be() {
    // By a control policy, whatever the call is.
    let world = denied_when(r#"{ Bool: { "aws:ViaAWSMCPService": "true" } }"#);
    let found = checked_in(&world, never(&["ops___move_money"]));
    assert_eq!((found.standing, found.examined, found.open_count), (Standing::Holds, 1, 0), "{found:?}");
    // By the mandate.
    let mut organization = world.organization();
    organization.spaces.values_mut().for_each(|space| space.class_max = ToolClass::ReadOnly);
    let found = checked(&world.snapshot_of(with(organization, never(&["ops___change"]))));
    assert_eq!(found.standing, Standing::Holds, "{found:?}");
    // By the registry, and because the agent is suspended.
    for change in [
        |organization: &mut Organization| organization.tool_policies.clear(),
        |organization: &mut Organization| organization.agents.values_mut().for_each(|agent| agent.suspended = true),
    ] {
        let mut organization = World::new().organization();
        change(&mut organization);
        let found = checked(&World::new().snapshot_of(with(organization, never(&["*"]))));
        assert_eq!((found.standing, found.examined), (Standing::Holds, 6), "{found:?}");
    }
}

#[test]
fn what_a_caller_chooses_never_makes_an_invariant_hold() {
    let cases = [
        (r#"{ NotIpAddress: { "aws:SourceIp": "203.0.113.0/24" } }"#, Standing::Unknown, "aws:sourceip"),
        (r#"{ NotIpAddress: { "aws:SourceIp": "198.51.100.0/24" } }"#, Standing::Violated, "198.51.100.7"),
        (r#"{ IpAddress: { "aws:SourceIp": "0.0.0.0/0" } }"#, Standing::Unknown, "aws:sourceip"),
        (r#"{ DateGreaterThan: { "aws:CurrentTime": "2020-01-01T00:00:00Z" } }"#, Standing::Unknown, "aws:currenttime"),
        (r#"{ Bool: { "aws:SecureTransport": "false" } }"#, Standing::Violated, "over TLS"),
        (r#"{ "Null": { "aws:SourceIdentity": "true" } }"#, Standing::Violated, "a user"),
        (r#"{ StringNotEquals: { "mcp:User": "riley" } }"#, Standing::Unknown, "mcp:user"),
        // The agent's own tags are the configuration's.
        (r#"{ StringNotEquals: { "aws:PrincipalTag/team": "treasury" } }"#, Standing::Holds, ""),
    ];
    for (condition, standing, told) in cases {
        let found = checked_in(&denied_when(condition), never(&["ops___move_money"]));
        assert_eq!(found.standing, standing, "{condition}: {found:?}");
        let text = format!("{:?} {:?}", found.counterexample, found.open);
        assert!(text.contains(told), "{condition}: {text}");
    }
    // A session's tags are its caller's: what hangs on them is open.
    let mut world = denied_when(r#"{ StringNotEquals: { "aws:PrincipalTag/team": "treasury" } }"#);
    let organization = signing(&mut world, "policies: [McpFullAccess]", None);
    let found = checked(&world.snapshot_of(with(organization, never(&["ops___move_money"]))));
    assert_eq!(found.standing, Standing::Unknown, "{found:?}");
    assert!(found.open[0].why.contains("aws:principaltag/team"), "{found:?}");
}

/// Whatever a decision allows, no invariant that names it holds: over many conditions, with and without each being turned round.
#[test]
fn nothing_holds_that_some_decision_breaks() {
    let operators = [
        "StringEquals",
        "StringNotEquals",
        "StringLike",
        "StringEqualsIfExists",
        "ForAnyValue:StringEquals",
        "ForAllValues:StringEquals",
    ];
    let keys = [
        "aws:SourceIdentity",
        "mcp:User",
        "mcp:Agent",
        "aws:PrincipalTag/team",
        "aws:UserId",
        "mcp:ToolCategories",
        "aws:Nobody",
    ];
    let (mut allowed, mut held) = (0, 0);
    for operator in operators {
        for key in keys {
            for value in ["agent-1", "somebody", "transfer", "${mcp:User}", "*"] {
                let mut world = denied_when(&format!(r"{{ {operator:?}: {{ {key:?}: {value:?} }} }}"));
                let standing = checked_in(&world, never(&["ops___move_money"])).standing;
                for user in [None, Some("somebody"), Some("agent-1"), Some("riley")] {
                    for ip in [[10, 1, 2, 3], [198, 51, 100, 7]] {
                        world.user = user.map(str::to_owned);
                        world.origin = Origin { source_ip: Fact::Known(IpAddr::from(ip)), secure_transport: true };
                        let passes = world.ask("ops___move_money").is_ok();
                        assert!(!(passes && standing == Standing::Holds), "{operator} {key} {value} {user:?} {ip:?}");
                        allowed += u32::from(passes);
                    }
                }
                held += u32::from(standing == Standing::Holds);
            }
        }
    }
    assert!(allowed > 100 && held > 5, "both ends are met: {allowed} allowed, {held} held");
}

#[test]
fn a_session_that_a_policy_names_is_tried_under_its_name() {
    let mut world = World::new();
    // The signing role itself may nothing; the server lets one session of it in.
    world.server = r#"resource_policy: { Version: "2012-10-17", Statement: [{ Sid: Boss, Effect: Allow, Principal: { AWS: "arn:aws:sts::111122223333:assumed-role/signer/boss" }, Action: "mcp:CallTool", Resource: "*" }] }"#.into();
    world.unit = String::new();
    let organization = signing(&mut world, "policies: []", None);
    // By token it is denied: the space's role may nothing either.
    let mut organization = with(organization, never(&["ops___move_money"]));
    organization.roles.values_mut().filter(|role| role.key.name.as_str() == "ops-role").for_each(|role| role.policies.clear());
    let found = checked(&world.snapshot_of(organization.clone()));
    assert_eq!(found.standing, Standing::Violated, "{found:?}");
    assert!(found.counterexample.unwrap().signs_as.unwrap().ends_with("role/signer"));
    // Under another fixed name nothing is granted.
    for agent in organization.agents.values_mut() {
        for credential in &mut agent.credentials {
            if let AgentCredential::Role { session_name, .. } = credential {
                *session_name = Some("clerk".into());
            }
        }
    }
    let found = checked(&world.snapshot_of(organization));
    assert_eq!(found.standing, Standing::Holds, "{found:?}");
}

#[test]
fn a_policy_set_that_depends_leaves_it_open() {
    let cases = [
        ("", false, Standing::Holds),
        ("permit (principal, action, resource);", false, Standing::Violated),
        (r#"permit (principal, action == AgentCore::Action::"ops___look", resource);"#, false, Standing::Holds),
        (
            r#"permit (principal, action, resource); forbid (principal, action == AgentCore::Action::"ops___move_money", resource);"#,
            false,
            Standing::Holds,
        ),
        (
            r#"permit (principal, action, resource) when { context.system.now > datetime("2026-01-01") };"#,
            false,
            // It is so now, and a plain call shows it.
            Standing::Violated,
        ),
        (
            r#"@id("office-hours") permit (principal, action, resource) when { context.system.now > datetime("2030-01-01") };"#,
            false,
            Standing::Unknown,
        ),
        (r#"permit (principal, action, resource) when { principal.hasTag("team") };"#, false, Standing::Unknown),
        (r"permit (principal, action, resource) when { principal is AgentCore::IamEntity };", false, Standing::Unknown),
        // What is only recorded holds nothing up.
        ("", true, Standing::Violated),
    ];
    for (text, log_only, standing) in cases {
        let world = World::new();
        let mut organization = with(world.organization(), never(&["ops___move_money"]));
        let file = PolicyFile { path: "ops.cedar".into(), text: text.into(), log_only: false };
        organization
            .spaces
            .values_mut()
            .for_each(|space| space.policy_set = Some(PolicyTexts { log_only, files: vec![file.clone()] }));
        let found = checked(&world.snapshot_of(organization));
        assert_eq!(found.standing, standing, "{text}: {found:?}");
        assert!(!text.contains("office") || found.open[0].why.contains("`office-hours`"), "{found:?}");
    }
}

#[test]
fn what_isn_t_known_is_not_taken_for_denied() {
    let world = World::new();
    let organization = with(world.organization(), never(&["ops___move_money"]));
    // A server that nobody has heard of yet, and no row or a row for its tool.
    let snapshot = Snapshot::compile(1, organization.clone().into(), &remit_kernel::Catalogue::default());
    let found = check(&snapshot, |_| false, &unanswered, MANY, NOW).remove(0);
    assert_eq!((found.standing, found.open[0].tool.as_str()), (Standing::Unknown, "ops___*"), "{found:?}");
    // One whose tools were never accepted: it could be called once they are.
    let mut catalogue = remit_kernel::Catalogue::default();
    for key in organization.servers.keys() {
        let tools = vec![r#"{"name":"move_money","inputSchema":{"type":"object"}}"#.into()];
        catalogue.servers.insert(key.clone(), remit_kernel::ServerCatalogue { tools, ..Default::default() }.into());
    }
    let snapshot = Snapshot::compile(1, organization.clone().into(), &catalogue);
    let found = check(&snapshot, |_| true, &unanswered, MANY, NOW).remove(0);
    assert!(found.standing == Standing::Unknown && found.open[0].why.contains("quarantine"), "{found:?}");
    // More combinations than may be looked at.
    let found = check(&world.snapshot_of(organization), |_| true, &unanswered, 0, NOW).remove(0);
    assert!(found.standing == Standing::Unknown && found.open[0].why.contains("too many"), "{found:?}");
}
