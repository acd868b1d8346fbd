//! The token service's decisions: trust, external ids, chains, tags, durations.

use remit_identity::sts::{AssumeRole, Tag};
use remit_kernel::assume::{Assumption, Caller, WebIdentity, assume_role, caller_identity, session_policy};
use remit_kernel::{Session, SessionOf};
use remit_model::{AccountId, RoleKey, RoleName, UserKey};

use crate::{NOW, World, reason};

const ROLE: &str = "arn:aws:iam::444455556666:role/far";

fn key(account: &str, name: &str) -> RoleKey {
    RoleKey { account: AccountId::new(account).unwrap(), name: RoleName::new(name).unwrap() }
}

fn session(who: SessionOf) -> Session {
    Session {
        id: "ASIATEST".into(),
        who,
        name: "test".into(),
        issued_at_secs: NOW - 10,
        expires_at_secs: NOW + 3600,
        chained: false,
        tags: Vec::new(),
        source_identity: None,
        policies: Vec::new(),
        policy_documents: Vec::new(),
        user: None,
        via: Vec::new(),
    }
}

fn asked() -> AssumeRole {
    AssumeRole {
        role_arn: ROLE.into(),
        session_name: "test".into(),
        duration_secs: None,
        policy: None,
        policy_arns: Vec::new(),
        tags: Vec::new(),
        external_id: Some("the-id".into()),
        source_identity: None,
    }
}

/// `far` in another account trusts `ops-role` by external id, and a user of its own account.
fn world() -> World {
    let mut world = World::new();
    world.role = format!(
        r#"policies: [McpReadAccess], inline_policies: {{ assume: {{ Version: "2012-10-17", Statement: [{{ Effect: Allow, Action: ["sts:AssumeRole", "sts:TagSession", "sts:SetSourceIdentity"], Resource: "{ROLE}" }}] }} }}"#
    );
    world.more_roles = r#"  - { name: far, account: '444455556666', max_session_duration_secs: 7200, policies: [McpFullAccess], trust_policy: { Version: "2012-10-17", Statement: [
      { Effect: Allow, Principal: { AWS: "arn:aws:iam::111122223333:role/ops-role" }, Action: "sts:AssumeRole", Condition: { StringEquals: { "sts:ExternalId": "the-id" } } },
      { Effect: Allow, Principal: { AWS: "arn:aws:iam::111122223333:role/ops-role" }, Action: ["sts:TagSession", "sts:SetSourceIdentity"] },
      { Effect: Allow, Principal: { AWS: "arn:aws:iam::444455556666:user/kim" }, Action: "sts:AssumeRole" },
      { Effect: Allow, Principal: { Federated: "arn:aws:iam::444455556666:oidc-provider/login.acme.example" }, Action: "sts:AssumeRoleWithWebIdentity", Condition: { StringEquals: { "login.acme.example:aud": "remit" }, StringLike: { "login.acme.example:sub": "sre-*" } } }] } }
users: [{ name: kim, account: '444455556666' }]
"#
    .into();
    world
}

fn assume(world: &World, session: &Session, asked: &AssumeRole) -> Assumption {
    assume_role(&world.snapshot(), Caller::Session(session), asked, &world.origin, NOW)
}

fn code(assumption: Assumption) -> &'static str {
    assumption.outcome.map_or_else(|error| error.code, |_| "ok")
}

#[test]
fn the_right_external_id_and_no_other() {
    let world = world();
    let caller = session(SessionOf::Role(key("111122223333", "ops-role")));
    let granted = assume(&world, &caller, &asked()).outcome.unwrap();
    assert_eq!(granted.arn, "arn:aws:sts::444455556666:assumed-role/far/test");
    assert_eq!((granted.expires_at_secs, granted.chained), (NOW + 3600, true));
    for wrong in [Some("another-id"), Some("THE-ID"), None] {
        let asked = AssumeRole { external_id: wrong.map(str::to_owned), ..asked() };
        let error = assume(&world, &caller, &asked).outcome.unwrap_err();
        assert_eq!((error.code, error.status), ("AccessDenied", 403));
        assert!(error.message.starts_with("User: arn:aws:sts::111122223333:assumed-role/ops-role/test is not authorized to perform: sts:AssumeRole on resource: arn:aws:iam::444455556666:role/far"), "{error}");
    }
}

#[test]
fn what_is_not_trusted_and_what_is_not_there_read_alike() {
    let world = world();
    let caller = session(SessionOf::Role(key("111122223333", "ops-role")));
    for arn in [
        "arn:aws:iam::444455556666:role/nobody",
        "arn:aws:iam::444455556666:role/path/far",
        "arn:aws-cn:iam::444455556666:role/far",
        "arn:aws:iam::999999999999:role/far",
        "arn:aws:iam::444455556666:role/FAR",
        "arn:aws:iam::444455556666:user/kim",
        "something that is no arn",
    ] {
        let error = assume(&world, &caller, &AssumeRole { role_arn: arn.into(), ..asked() }).outcome.unwrap_err();
        assert_eq!(error.code, "AccessDenied", "{arn}");
        assert!(error.message.contains("is not authorized to perform: sts:AssumeRole on resource: "), "{error}");
    }
}

#[test]
fn a_role_that_may_not_assume_is_refused_though_it_is_trusted() {
    let mut world = world();
    world.role = "policies: [McpReadAccess]".into();
    let caller = session(SessionOf::Role(key("111122223333", "ops-role")));
    assert_eq!(code(assume(&world, &caller, &asked())), "AccessDenied");
    // In the same account being named is enough.
    let kim = session(SessionOf::User(UserKey::of_arn("arn:aws:iam::444455556666:user/kim").unwrap()));
    assert_eq!(code(assume(&world, &kim, &asked())), "ok");
}

#[test]
fn durations_have_an_end() {
    let world = world();
    let chain = session(SessionOf::Role(key("111122223333", "ops-role")));
    let kim = session(SessionOf::User(UserKey::of_arn("arn:aws:iam::444455556666:user/kim").unwrap()));
    let of = |caller: &Session, secs: u64| assume(&world, caller, &AssumeRole { duration_secs: Some(secs), ..asked() }).outcome;
    assert_eq!(of(&kim, 7200).unwrap().expires_at_secs, NOW + 7200);
    assert!(of(&kim, 7201).unwrap_err().message.contains("MaxSessionDuration"));
    assert_eq!(of(&chain, 3600).unwrap().expires_at_secs, NOW + 3600);
    assert!(of(&chain, 3601).unwrap_err().message.contains("1 hour session limit for roles assumed by role chaining"));
}

#[test]
fn tags_and_source_identity_need_their_own_permission_and_go_down_the_chain() {
    let world = world();
    let mut caller = session(SessionOf::Role(key("111122223333", "ops-role")));
    let tag = |key: &str, transitive| Tag { key: key.into(), value: "v".into(), transitive };
    caller.tags = vec![tag("team", true), tag("local", false)];
    caller.source_identity = Some("alice".into());
    let granted = assume(&world, &caller, &AssumeRole { tags: vec![tag("more", false)], ..asked() }).outcome.unwrap();
    let keys: Vec<&str> = granted.tags.iter().map(|tag| tag.key.as_str()).collect();
    assert_eq!((keys, granted.source_identity.as_deref()), (vec!["team", "more"], Some("alice")));
    assert_eq!(code(assume(&world, &caller, &AssumeRole { tags: vec![tag("TEAM", false)], ..asked() })), "InvalidParameterValue");
    let other = AssumeRole { source_identity: Some("mallory".into()), ..asked() };
    assert_eq!(code(assume(&world, &caller, &other)), "AccessDenied");
    // Nobody lets kim tag.
    let kim = session(SessionOf::User(UserKey::of_arn("arn:aws:iam::444455556666:user/kim").unwrap()));
    let error = assume(&world, &kim, &AssumeRole { tags: vec![tag("more", false)], ..asked() }).outcome.unwrap_err();
    assert!(error.message.contains("sts:TagSession"), "{error}");
    let error = assume(&world, &kim, &AssumeRole { source_identity: Some("kim".into()), ..asked() }).outcome.unwrap_err();
    assert!(error.message.contains("sts:SetSourceIdentity"), "{error}");
}

#[test]
fn session_policies_are_read_and_narrow() {
    let world = world();
    let kim = session(SessionOf::User(UserKey::of_arn("arn:aws:iam::444455556666:user/kim").unwrap()));
    let with = |policy: &str| assume(&world, &kim, &AssumeRole { policy: Some(policy.into()), ..asked() });
    assert_eq!(code(with("{")), "MalformedPolicyDocument");
    assert_eq!(
        code(with(r#"{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":"*","Action":"*","Resource":"*"}]}"#)),
        "MalformedPolicyDocument"
    );
    let narrow = r#"{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"mcp:CallTool","Resource":"arn:aws:mcp:*:*:server/ops/tool/look"}]}"#;
    assert_eq!(with(narrow).outcome.unwrap().policies, [narrow]);
    let named = |arn: &str| assume(&world, &kim, &AssumeRole { policy_arns: vec![arn.into()], ..asked() });
    assert_eq!(code(named("arn:aws:iam::aws:policy/McpReadAccess")), "ok");
    assert_eq!(code(named("arn:aws:iam::aws:policy/Nothing")), "ValidationError");
    assert_eq!(code(named("arn:aws:iam::111122223333:policy/McpReadAccess")), "ValidationError");
    // What a session is limited to holds for the call.
    let mut world = World::new();
    let mut own = session(SessionOf::Role(key("111122223333", "ops-role")));
    own.policies = vec![session_policy(narrow).unwrap()];
    own.policy_documents = vec![narrow.into()];
    world.session = Some(own);
    assert_eq!((reason(&world, "ops___look"), reason(&world, "ops___change")), ("allowed", "session_policy"));
}

#[test]
fn an_agent_acts_in_the_session_that_it_signs_with() {
    let mut world = world();
    world.session = Some(session(SessionOf::Role(key("111122223333", "ops-role"))));
    assert_eq!(reason(&world, "ops___look"), "allowed");
    assert_eq!(reason(&world, "ops___change"), "role_policy");
    // A role of another account needs the resource's word as well.
    world.session = Some(session(SessionOf::Role(key("444455556666", "far"))));
    assert_eq!(reason(&world, "ops___look"), "resource_policy");
    world.session = Some(session(SessionOf::Role(key("111122223333", "gone"))));
    assert_eq!(reason(&world, "ops___look"), "role_trust");
    world.session = Some(session(SessionOf::User(UserKey::of_arn("arn:aws:iam::444455556666:user/kim").unwrap())));
    assert_eq!(reason(&world, "ops___look"), "role_trust");
}

#[test]
fn people_come_by_an_identity_provider() {
    let world = world();
    let identity = |subject: &str, audience: &str| WebIdentity {
        provider: "login.acme.example".into(),
        subject: subject.into(),
        audience: audience.into(),
        claims: vec![
            ("login.acme.example:sub".into(), vec![subject.into()]),
            ("login.acme.example:aud".into(), vec![audience.into()]),
        ],
    };
    let ask = |identity: &WebIdentity| {
        code(assume_role(&world.snapshot(), Caller::WebIdentity(identity), &asked(), &world.origin, NOW))
    };
    assert_eq!(ask(&identity("sre-alice", "remit")), "ok");
    assert_eq!(ask(&identity("dev-bob", "remit")), "AccessDenied");
    assert_eq!(ask(&identity("sre-alice", "other")), "AccessDenied");
    assert_eq!(ask(&WebIdentity { provider: "evil.example".into(), ..identity("sre-alice", "remit") }), "AccessDenied");
}

#[test]
fn callers_are_named() {
    let world = world();
    let organization = world.organization();
    let (arn, id, account) = caller_identity(&organization, &session(SessionOf::Role(key("444455556666", "far")))).unwrap();
    assert_eq!((arn.as_str(), account.as_str()), ("arn:aws:sts::444455556666:assumed-role/far/test", "444455556666"));
    assert!(id.starts_with("AROA") && id.ends_with(":test"));
    assert_eq!(caller_identity(&organization, &session(SessionOf::Role(key("444455556666", "gone")))), None);
}
