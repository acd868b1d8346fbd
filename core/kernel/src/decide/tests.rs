use std::collections::BTreeMap;

use proptest::prelude::*;
use remit_model::*;

use super::*;
use crate::catalogue::{Catalogue, ServerCatalogue};
use crate::context::Origin;
use crate::facts::{Arguments, PolicySession, QuotaUse};

const SPACE: &str = "support";
const AUDIENCE: &str = "http://remit/spaces/support/mcp";

fn account() -> AccountId {
    AccountId::new("111122223333").unwrap()
}

fn agent(id: &str) -> AgentId {
    AgentId::new(id).unwrap()
}

fn server_key() -> ServerKey {
    ServerKey { account: account(), name: ServerName::new("desk").unwrap() }
}

fn tool_json(name: &str, annotations: &str) -> Arc<str> {
    format!(
        r#"{{"name":"{name}","x":1,"inputSchema":{{"type":"object","properties":{{"id":{{"type":"integer"}}}},"required":["id"]}},"annotations":{annotations}}}"#
    )
    .into()
}

fn row(agent_id: &str, tool: &str, allowed: bool, risk_max: Risk) -> ToolPolicy {
    ToolPolicy { agent: agent(agent_id), tool: tool.into(), allowed, risk_max, origin: "rows.yaml:1".into() }
}

fn transport() -> Transport {
    let (command, env) = (vec!["x".into()], BTreeMap::new());
    Transport::Stdio { command, env, protocol: ProtocolChoice::Auto, sandbox: remit_model::Sandbox::default() }
}

struct World {
    organization: Organization,
    catalogue: Catalogue,
}

fn server() -> Server {
    Server {
        account: account(),
        name: server_key().name,
        transport: transport(),
        limits: ServerLimits::default(),
        tools: BTreeMap::new(),
        results: remit_model::ResultWord::default(),
        tags: BTreeMap::new(),
        resource_policy: None,
        service_principal: None,
        zone: None,
        status: remit_model::RegistryStatus::Approved,
        registration: String::new(),
        cost: None,
    }
}

fn registered(id: &str) -> Agent {
    Agent {
        id: agent(id),
        account: account(),
        owner: String::new(),
        credentials: vec![],
        suspended: false,
        tags: BTreeMap::new(),
        request_keys: None,
        signed_requests_required: false,
    }
}

impl World {
    fn new() -> Self {
        let mut organization = Organization { id: "o-acme".into(), partition: "aws".into(), ..Organization::default() };
        organization.servers.insert(server_key(), server());
        for id in ["agent-a", "agent-b", "agent-none"] {
            organization.agents.insert(agent(id), registered(id));
        }
        let id = SpaceId::new(SPACE).unwrap();
        organization.spaces.insert(
            id.clone(),
            Space {
                id,
                account: account(),
                region: Region::new("us-east-1").unwrap(),
                agents: vec![agent("agent-a"), agent("agent-none")],
                servers: vec![SpaceServer {
                    server: server_key().name,
                    account: None,
                    role: None,
                    external_id: None,
                    tools: ToolAdmission::Listed(vec!["read".into(), "write".into(), "drop".into()]),
                    prompts: false,
                    resources: false,
                    prefix: true,
                }],
                class_max: ToolClass::Mutative,
                quotas: Quotas { calls_concurrent_max: Some(2), calls_per_minute_max: Some(9), sessions_max: None },
                role: None,
                operator_role: None,
                policy_set: None,
                keep_results: false,
                signed_requests_required: false,
            },
        );
        organization.tool_policies = vec![row("agent-a", "desk___*", true, Risk::Medium)];
        let live = ServerCatalogue {
            tools: vec![
                tool_json("read", r#"{"readOnlyHint":true}"#),
                tool_json("write", r#"{"destructiveHint":false}"#),
                tool_json("drop", "{}"),
                tool_json("secret", r#"{"readOnlyHint":true}"#),
            ],
            ..ServerCatalogue::default()
        };
        let pins = Catalogue::first_pins(&server_key(), &live, &|_| true, 0).into_iter().collect();
        let mut catalogue = Catalogue { pins, ..Catalogue::default() };
        catalogue.servers.insert(server_key(), Arc::new(live));
        Self { organization, catalogue }
    }

    fn snapshot(&self) -> Snapshot {
        Snapshot::compile(1, Arc::new(self.organization.clone()), &self.catalogue)
    }

    fn space(&mut self) -> &mut Space {
        self.organization.spaces.get_mut(SPACE).unwrap()
    }

    fn ask(&self, facts: &Facts, name: &str, arguments: &str) -> Result<(), Reason> {
        let call = Call {
            space: SPACE,
            target: Target::Tool { name, arguments: Some(Arguments::scan(arguments).map_err(|_| Reason::ArgumentsInvalid)?) },
            risk_requested: None,
            explain: false,
        };
        outcome(decide(&self.snapshot(), facts, &call, 100))
    }
}

fn outcome(decision: Decision) -> Result<(), Reason> {
    match decision.verdict {
        Verdict::Hold(_) => Err(Reason::ApprovalRequired),
        Verdict::Allow(_) => Ok(()),
        Verdict::Deny(denial) => Err(denial.reason),
    }
}

fn principal(id: &str) -> Principal {
    Principal {
        agent: agent(id),
        user: None,
        credential_id: "t1".into(),
        audiences: vec![AUDIENCE.into()],
        expires_at_secs: 200,
        class_max: None,
        issued_at_secs: 90,
        session: None,
        claims: Arc::default(),
    }
}

fn facts(id: &str) -> Facts {
    Facts {
        identity: Fact::Known(Identity::Authenticated(Arc::new(principal(id)))),
        audience: AUDIENCE.into(),
        quota: Fact::Known(QuotaUse { calls_concurrent: 1, calls_per_minute: 1 }),
        budgets: Fact::Known(Vec::new()),
        origin: Origin::default(),
        revocations: Fact::Known(Arc::default()),
        policy_session: PolicySession::default(),
        trust: Fact::Known(Arc::default()),
        approvals: Fact::Known(Vec::new()),
        provenance: Fact::Known(None),
        guardrails: std::sync::Arc::default(),
    }
}

#[test]
fn each_layer_can_deny() {
    let world = World::new();
    let ask = |facts: &Facts, tool: &str| world.ask(facts, tool, r#"{"id":1}"#);
    assert_eq!(ask(&facts("agent-a"), "desk___read"), Ok(()));
    assert_eq!(ask(&facts("agent-a"), "desk___write"), Ok(()));
    assert_eq!(ask(&facts("agent-a"), "desk___drop"), Err(Reason::ClassExceedsMandate));
    assert_eq!(ask(&facts("agent-a"), "desk___secret"), Err(Reason::ToolNotListed));
    assert_eq!(ask(&facts("agent-a"), "read"), Err(Reason::ToolNotListed));
    assert_eq!(ask(&facts("agent-b"), "desk___read"), Err(Reason::NotInSpace));
    assert_eq!(ask(&facts("agent-none"), "desk___read"), Err(Reason::UnknownAgent));
    assert_eq!(ask(&facts("agent-zzz"), "desk___read"), Err(Reason::UnknownAgent));
    assert_eq!(world.ask(&facts("agent-a"), "desk___read", r#"{"id":"x"}"#), Err(Reason::ArgumentsInvalid));
    assert_eq!(world.ask(&facts("agent-a"), "desk___read", r#"{"id":1,"id":2}"#), Err(Reason::ArgumentsInvalid));
}

#[test]
fn what_could_not_be_found_out_denies() {
    let world = World::new();
    let mut unknown = facts("agent-a");
    unknown.identity = Fact::Unknown("issuer away".into());
    assert_eq!(world.ask(&unknown, "desk___read", r#"{"id":1}"#), Err(Reason::CouldNotDecide));
    let mut unknown = facts("agent-a");
    unknown.quota = Fact::Unknown("store away".into());
    assert_eq!(world.ask(&unknown, "desk___read", r#"{"id":1}"#), Err(Reason::CouldNotDecide));
    assert_eq!(world.ask(&facts("agent-a"), "desk___read", r#"{"id":1e999}"#), Err(Reason::CouldNotDecide));
}

#[test]
fn identity_is_checked_against_time_audience_and_suspension() {
    let mut world = World::new();
    let with = |change: fn(&mut Principal)| {
        let mut who = principal("agent-a");
        change(&mut who);
        Facts { identity: Fact::Known(Identity::Authenticated(Arc::new(who))), ..facts("agent-a") }
    };
    let args = r#"{"id":1}"#;
    assert_eq!(world.ask(&with(|who| who.expires_at_secs = 100), "desk___read", args), Err(Reason::Unauthenticated));
    assert_eq!(world.ask(&with(|who| who.audiences = vec!["http://other".into()]), "desk___read", args), Err(Reason::Audience));
    let narrow = with(|who| who.class_max = Some(ToolClass::ReadOnly));
    assert_eq!(world.ask(&narrow, "desk___read", args), Ok(()));
    assert_eq!(world.ask(&narrow, "desk___write", args), Err(Reason::InsufficientScope));
    world.organization.agents.get_mut("agent-a").unwrap().suspended = true;
    assert_eq!(world.ask(&facts("agent-a"), "desk___read", args), Err(Reason::AgentSuspended));
}

#[test]
fn quotas_count_this_call() {
    let world = World::new();
    let with = |calls_concurrent, calls_per_minute| Facts {
        quota: Fact::Known(QuotaUse { calls_concurrent, calls_per_minute }),
        ..facts("agent-a")
    };
    assert_eq!(world.ask(&with(2, 9), "desk___read", r#"{"id":1}"#), Ok(()));
    assert_eq!(world.ask(&with(3, 9), "desk___read", r#"{"id":1}"#), Err(Reason::QuotaExceeded));
    assert_eq!(world.ask(&with(2, 10), "desk___read", r#"{"id":1}"#), Err(Reason::QuotaExceeded));
}

#[test]
fn a_drifted_tool_is_quarantined_and_a_new_one_waits() {
    let mut world = World::new();
    let mut live = (*world.catalogue.servers[&server_key()]).clone();
    live.tools[0] = tool_json("read", r#"{"readOnlyHint":true,"title":"other"}"#);
    live.tools.push(tool_json("late", r#"{"readOnlyHint":true}"#));
    world.catalogue.servers.insert(server_key(), Arc::new(live));
    world.space().servers[0].tools = ToolAdmission::All;
    assert_eq!(world.ask(&facts("agent-a"), "desk___read", r#"{"id":1}"#), Err(Reason::ToolQuarantined));
    assert_eq!(world.ask(&facts("agent-a"), "desk___late", r#"{"id":1}"#), Err(Reason::ToolQuarantined));
    assert_eq!(world.ask(&facts("agent-a"), "desk___write", r#"{"id":1}"#), Ok(()));
}

#[test]
fn risk_is_only_ever_raised_by_the_caller() {
    let mut world = World::new();
    let ask = |world: &World, risk_requested| {
        let call =
            Call { space: SPACE, target: Target::Tool { name: "desk___write", arguments: None }, risk_requested, explain: false };
        outcome(decide(&world.snapshot(), &facts("agent-a"), &call, 100))
    };
    assert_eq!(ask(&world, None), Ok(()));
    assert_eq!(ask(&world, Some(Risk::High)), Err(Reason::RiskExceedsPolicy));
    world.organization.tool_policies = vec![row("agent-a", "desk___write", true, Risk::Low)];
    assert_eq!(ask(&world, Some(Risk::Low)), Err(Reason::RiskExceedsPolicy));
}

#[test]
fn explain_asks_every_layer_and_gives_the_same_verdict() {
    let world = World::new();
    let mut call = Call {
        space: SPACE,
        target: Target::Tool { name: "desk___drop", arguments: Arguments::scan(r#"{"id":"x"}"#).ok() },
        risk_requested: None,
        explain: false,
    };
    let short = decide(&world.snapshot(), &facts("agent-a"), &call, 100);
    call.explain = true;
    let whole = decide(&world.snapshot(), &facts("agent-a"), &call, 100);
    assert_eq!(short.layers.len(), 2);
    // Identity, space, the two of an organization without policies, tool policy, schema.
    assert_eq!(whole.layers.len(), 6);
    assert_eq!(outcome(short), outcome(whole));
}

#[test]
fn exposed_definitions_keep_every_byte_but_the_name() {
    let world = World::new();
    let snapshot = world.snapshot();
    let tool = &snapshot.spaces[SPACE].tools["desk___read"];
    let expected = world.catalogue.servers[&server_key()].tools[0].replace(r#""name":"read""#, r#""name":"desk___read""#);
    assert_eq!(&*tool.definition, expected);
}

#[test]
fn unfit_and_taken_names_are_reported() {
    let mut world = World::new();
    let mut live = (*world.catalogue.servers[&server_key()]).clone();
    live.tools.push(tool_json("has space", "{}"));
    live.tools.push(tool_json(&"n".repeat(60), "{}"));
    live.tools.push(tool_json("read", "{}"));
    world.catalogue.pins.extend(Catalogue::first_pins(&server_key(), &live, &|_| true, 0));
    world.catalogue.servers.insert(server_key(), Arc::new(live));
    world.space().servers[0].tools = ToolAdmission::All;
    let said: Vec<String> = world.snapshot().findings.into_iter().map(|finding| finding.fault).collect();
    assert!(said.iter().any(|fault| fault.contains("`desk___has space`")), "{said:?}");
    assert!(said.iter().any(|fault| fault.contains("nnnn")), "{said:?}");
    assert!(said.iter().any(|fault| fault.contains("two tools of this name")), "{said:?}");
}

fn rows() -> impl Strategy<Value = Vec<ToolPolicy>> {
    let tools = prop::sample::select(vec!["desk___read", "desk___write", "desk___*", "*", "desk___drop", "other___*"]);
    let agents = prop::sample::select(vec!["agent-a", "agent-b", "agent-none"]);
    let risks = prop::sample::select(Risk::ALL.to_vec());
    prop::collection::vec((agents, tools, any::<bool>(), risks).prop_map(|(a, t, allowed, risk)| row(a, t, allowed, risk)), 0..8)
}

proptest! {
    /// A row that forbids never grants, wherever it stands, and the order of rows never matters.
    #[test]
    fn rows_obey_their_laws(rows in rows(), deny in rows(), tool in prop::sample::select(vec!["desk___read", "desk___write"])) {
        let mut world = World::new();
        world.organization.tool_policies = rows.clone();
        let before = world.ask(&facts("agent-a"), tool, r#"{"id":1}"#);
        world.organization.tool_policies.reverse();
        prop_assert_eq!(before.is_ok(), world.ask(&facts("agent-a"), tool, r#"{"id":1}"#).is_ok());
        world.organization.tool_policies.extend(deny.into_iter().map(|row| ToolPolicy { allowed: false, ..row }));
        if before.is_err() {
            let after = world.ask(&facts("agent-a"), tool, r#"{"id":1}"#);
            prop_assert!(after.is_err());
        }
    }

    /// What is listed can be called with fitting arguments, and what isn't can't.
    #[test]
    fn the_list_agrees_with_the_call(rows in rows(), who in prop::sample::select(vec!["agent-a", "agent-b", "agent-none"])) {
        let mut world = World::new();
        world.organization.tool_policies = rows;
        let snapshot = world.snapshot();
        for name in ["desk___read", "desk___write", "desk___drop", "desk___secret", "desk___zzz"] {
            let target = Target::Tool { name, arguments: None };
            let listed = visible(&snapshot, &facts(who), &snapshot.spaces[SPACE], &principal(who), target, 100);
            prop_assert_eq!(listed, world.ask(&facts(who), name, r#"{"id":1}"#).is_ok());
        }
    }
}

/// A policy set of one file.
#[allow(clippy::unnecessary_wraps, reason = "as a space has it")]
fn set_of(log_only: bool, text: &str) -> Option<PolicyTexts> {
    Some(PolicyTexts { log_only, files: vec![PolicyFile { path: "p.cedar".into(), text: text.into(), log_only: false }] })
}

#[test]
fn a_policy_set_judges_beside_all_other_layers() {
    let mut world = World::new();
    let with = |world: &mut World, text: &str| world.space().policy_set = set_of(false, text);
    with(&mut world, "");
    assert_eq!(
        world.ask(&facts("agent-a"), "desk___read", r#"{"id":1}"#),
        Err(Reason::PolicySet),
        "an empty set permits nothing"
    );
    with(&mut world, "permit (principal, action in AgentCore::Action::\"desk\", resource) when { context.input.id < 10 };");
    assert_eq!(world.ask(&facts("agent-a"), "desk___read", r#"{"id":9}"#), Ok(()));
    assert_eq!(world.ask(&facts("agent-a"), "desk___read", r#"{"id":10}"#), Err(Reason::PolicySet));
    assert_eq!(
        world.ask(&facts("agent-a"), "desk___read", r#"{"id":"9"}"#),
        Err(Reason::ArgumentsInvalid),
        "the schema comes first"
    );
    assert_eq!(
        world.ask(&facts("agent-a"), "desk___drop", r#"{"id":1}"#),
        Err(Reason::ClassExceedsMandate),
        "it opens no other layer"
    );
    with(
        &mut world,
        "permit (principal is AgentCore::OAuthUser, action, resource == AgentCore::Gateway::\"arn:aws:mcp:us-east-1:111122223333:space/other\");",
    );
    assert_eq!(world.ask(&facts("agent-a"), "desk___read", r#"{"id":1}"#), Err(Reason::PolicySet), "another gateway's");
}

#[test]
fn claims_are_tags_and_signers_are_iam_entities() {
    let mut world = World::new();
    world.space().policy_set = set_of(
        false,
        "permit (principal is AgentCore::OAuthUser, action, resource) when { principal.hasTag(\"team\") && principal.getTag(\"team\") == \"red\" && principal.id == \"u-1\" };",
    );
    let ask = |world: &World, claims: &[(&str, &str)]| {
        let claims = claims.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        let who = Principal { claims: Arc::new(claims), ..principal("agent-a") };
        let facts = Facts { identity: Fact::Known(Identity::Authenticated(Arc::new(who))), ..facts("agent-a") };
        world.ask(&facts, "desk___read", r#"{"id":1}"#)
    };
    assert_eq!(ask(&world, &[("sub", "u-1"), ("team", "red")]), Ok(()));
    assert_eq!(ask(&world, &[("sub", "u-2"), ("team", "red")]), Err(Reason::PolicySet));
    assert_eq!(ask(&world, &[("sub", "u-1")]), Err(Reason::PolicySet));
}

#[test]
fn a_history_that_is_not_known_denies() {
    let mut world = World::new();
    world.space().policy_set = set_of(
        false,
        "permit (principal, action == AgentCore::Action::\"desk___read\", resource);\npermit (principal, action == AgentCore::Action::\"desk___write\", resource) when temporal { formerly within 1h AgentCore::Action::\"desk___read\"::response{} };",
    );
    let with = |bindings| Facts { policy_session: PolicySession { id: "s".into(), bindings }, ..facts("agent-a") };
    let snapshot = world.snapshot();
    let set = snapshot.spaces.get(SPACE).unwrap().policy_set.as_ref().unwrap();
    assert!(set.needs_history("desk___write") && !set.needs_history("desk___read") && set.watches("desk___read"));
    let ask = |facts: &Facts, tool: &str| world.ask(facts, tool, r#"{"id":1}"#);
    assert_eq!(ask(&with(Fact::Known(None)), "desk___write"), Err(Reason::CouldNotDecide), "nobody asked for it");
    assert_eq!(ask(&with(Fact::Unknown("full".into())), "desk___write"), Err(Reason::CouldNotDecide));
    assert_eq!(ask(&with(Fact::Unknown("full".into())), "desk___read"), Err(Reason::CouldNotDecide), "it would be missing later");
    assert_eq!(ask(&with(Fact::Known(None)), "desk___read"), Ok(()));
    let told = |holds: bool| Fact::Known(Some(Arc::new([("f0_1__temporal_0".to_owned(), holds)].into_iter().collect())));
    assert_eq!(ask(&with(told(true)), "desk___write"), Ok(()));
    assert_eq!(ask(&with(told(false)), "desk___write"), Err(Reason::PolicySet));
}

#[test]
fn what_is_only_logged_is_told_and_changes_nothing() {
    let mut world = World::new();
    world.space().policy_set = set_of(true, "forbid (principal, action, resource);");
    let call = |arguments| Call {
        space: SPACE,
        target: Target::Tool { name: "desk___read", arguments: Some(Arguments::scan(arguments).unwrap()) },
        risk_requested: None,
        explain: false,
    };
    let decision = decide(&world.snapshot(), &facts("agent-a"), &call(r#"{"id":1}"#), 100);
    assert!(decision.allows());
    assert_eq!(decision.policy_flip.as_deref(), Some("EXPLICIT_DENY: policy `p#1` forbids"));
    let line = decision.layers.last().unwrap();
    assert_eq!((line.layer, line.effect, line.origin.as_deref()), (Layer::PolicySet, Effect::NoImpact, Some("p.cedar:1")));
    world.space().policy_set = set_of(
        false,
        "permit (principal, action, resource);\n@id(\"trial\") @mode(\"LOG_ONLY\") forbid (principal, action, resource) when { context.input.id > 5 };",
    );
    let decision = |arguments| decide(&world.snapshot(), &facts("agent-a"), &call(arguments), 100);
    assert!(decision(r#"{"id":6}"#).allows() && decision(r#"{"id":5}"#).policy_flip.is_none());
    assert_eq!(decision(r#"{"id":6}"#).policy_flip.as_deref(), Some("EXPLICIT_DENY: policy `trial` forbids"));
}

#[test]
fn lists_hide_what_no_argument_could_make_allowed() {
    let mut world = World::new();
    world.space().policy_set = set_of(
        false,
        "permit (principal, action == AgentCore::Action::\"desk___read\", resource) when { context.input.id < 10 };",
    );
    let snapshot = world.snapshot();
    let space = snapshot.spaces.get(SPACE).unwrap();
    let facts = facts("agent-a");
    let seen = |name| visible(&snapshot, &facts, space, &principal("agent-a"), Target::Tool { name, arguments: None }, 100);
    assert!(seen("desk___read") && !seen("desk___write"));
}

#[test]
fn sets_are_taken_over_where_nothing_of_theirs_changed() {
    let mut world = World::new();
    world.space().policy_set = set_of(false, "permit (principal, action, resource);");
    let one = world.snapshot();
    let set = |snapshot: &Snapshot| Arc::clone(snapshot.spaces.get(SPACE).unwrap().policy_set.as_ref().unwrap());
    let again = Snapshot::compile_after(Some(&one), 2, Arc::new(world.organization.clone()), &world.catalogue);
    assert!(Arc::ptr_eq(&set(&one), &set(&again)));
    world.space().policy_set = set_of(false, "permit (principal, action, resource) when { true };");
    let other = Snapshot::compile_after(Some(&again), 3, Arc::new(world.organization.clone()), &world.catalogue);
    assert!(!Arc::ptr_eq(&set(&again), &set(&other)));
    world.space().policy_set = None;
    assert!(
        Snapshot::compile_after(Some(&other), 4, Arc::new(world.organization.clone()), &world.catalogue).spaces[SPACE]
            .policy_set
            .is_none()
    );
}

#[test]
fn a_trust_tier_limits_risk_and_calls_and_what_is_unknown_denies() {
    use remit_model::{DemotionRules, TierLimits, TrustRules, TrustTier};

    let mut world = World::new();
    let args = r#"{"id":1}"#;
    let with = |trust| Facts { trust, ..facts("agent-a") };
    let tiers = |tier| with(Fact::Known(Arc::new(crate::trust::Tiers::every(tier))));
    let unknown = with(Fact::Unknown("the journal is away".into()));
    // Without rules nobody has a tier.
    assert_eq!(world.ask(&unknown, "desk___write", args), Ok(()));
    let limits = |risk_max, calls_per_minute_max| TierLimits { risk_max, calls_per_minute_max };
    world.organization.trust = Some(TrustRules {
        initial: TrustTier::Probation,
        tiers: BTreeMap::from([
            (TrustTier::Probation, limits(Some(Risk::Low), None)),
            (TrustTier::Supervised, limits(None, Some(2))),
        ]),
        promotions: BTreeMap::new(),
        demotions: DemotionRules::default(),
    });
    assert_eq!(world.ask(&unknown, "desk___read", args), Err(Reason::CouldNotDecide));
    let (begins, supervised) = (with(Fact::Known(Arc::default())), tiers(TrustTier::Supervised));
    assert_eq!(world.ask(&begins, "desk___read", args), Ok(()));
    assert_eq!(world.ask(&begins, "desk___write", args), Err(Reason::TrustTier));
    assert_eq!(world.ask(&supervised, "desk___write", args), Ok(()));
    let calls =
        |calls_per_minute| Facts { quota: Fact::Known(QuotaUse { calls_concurrent: 1, calls_per_minute }), ..supervised.clone() };
    assert_eq!(world.ask(&calls(2), "desk___write", args), Ok(()));
    assert_eq!(world.ask(&calls(3), "desk___write", args), Err(Reason::QuotaExceeded));
    let trusted = tiers(TrustTier::Trusted);
    assert_eq!(world.ask(&Facts { quota: calls(9).quota, ..trusted }, "desk___write", args), Ok(()));
}
