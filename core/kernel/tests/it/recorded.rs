//! What is kept of calls: it gives back what was, or says that it can't.

use std::collections::BTreeMap;
use std::sync::Arc;

use remit_kernel::definitions::{DefinitionFinding, Gravest, Severity};
use remit_kernel::recorded::{Basis, Recorded, RecordedIdentity, catalogue, offered};
use remit_kernel::registry::Record;
use remit_kernel::{
    Arguments, Call, Catalogue, Fact, Identity, Listed, PinState, PolicySession, ServerCatalogue, Snapshot, Target,
};

use remit_model::{RegistryStatus, ServerKey};

use crate::{NOW, World};

#[test]
fn facts_that_are_not_known_stay_so() {
    let mut facts = World::new().facts();
    facts.quota = Fact::Unknown("the counter is away".into());
    facts.revocations = Fact::Unknown("the store is away".into());
    facts.origin.source_ip = Fact::Unknown("no address".into());
    facts.policy_session = PolicySession { id: "s-1".into(), bindings: Fact::Unknown("in doubt".into()) };
    for identity in
        [Fact::Unknown("the issuer is away".into()), Fact::Known(Identity::Rejected("expired".into())), facts.identity.clone()]
    {
        facts.identity = identity;
        for bindings in [
            facts.policy_session.bindings.clone(),
            Fact::Known(None),
            Fact::Known(Some(Arc::new(BTreeMap::from([("p1".into(), true)])))),
        ] {
            facts.policy_session.bindings = bindings;
            let text = "{\"b\": [1.50, \"\\u0000\"],\n \"a\":{}}";
            let target = Target::Tool { name: "ops___look", arguments: Some(Arguments::scan(text).unwrap()) };
            let call = Call { space: "ops", target, risk_requested: Some(remit_model::Risk::High), explain: false };
            let who = RecordedIdentity::of(&facts.identity).unwrap();
            let kept = serde_json::to_vec(&Recorded::of(&facts, &who, &call, "b", "s", NOW).unwrap()).unwrap();
            let read = Recorded::read(&kept).unwrap();
            assert_eq!(read.facts(RecordedIdentity::read(read.identity_text()).unwrap()), facts);
            assert_eq!(read.call(false).unwrap(), call, "arguments are kept to the byte");
        }
    }
}

#[test]
fn what_is_not_understood_is_not_used() {
    let facts = World::new().facts();
    let who = RecordedIdentity::of(&facts.identity).unwrap();
    let call = Call { space: "ops", target: Target::Resource("a://b"), risk_requested: None, explain: false };
    let kept = serde_json::to_string(&Recorded::of(&facts, &who, &call, "b", "s", NOW).unwrap()).unwrap();
    assert!(Recorded::read(kept.as_bytes()).is_ok());
    let newer = kept.replacen("\"v\":1", "\"v\":2", 1);
    assert!(Recorded::read(newer.as_bytes()).unwrap_err().to_string().contains("form 2"));
    let more = kept.replacen("\"v\":1", "\"v\":1,\"labels\":[]", 1);
    assert!(Recorded::read(more.as_bytes()).is_err(), "what a newer program keeps may have decided");
    for cut in 0..kept.len() {
        assert!(Recorded::read(&kept.as_bytes()[..cut]).is_err());
    }
    // A session whose policies aren't there as they were written can't be kept, rather than kept without them.
    let mut world = World::new();
    let mut session = crate::chain::session();
    session.policies = vec![remit_kernel::assume::session_policy(r#"{"Version":"2012-10-17","Statement":[]}"#.replace("[]", r#"[{"Effect":"Allow","Action":"*","Resource":"*"}]"#).as_str()).unwrap()];
    world.session = Some(session);
    assert!(RecordedIdentity::of(&world.facts().identity).is_none());
}

#[test]
fn a_catalogue_comes_back_as_far_as_decisions_hang_on_it() {
    let world = World::new();
    let organization = Arc::new(world.organization());
    let mut all = Catalogue::default();
    for key in organization.servers.keys() {
        let listed = |name: &str| vec![Listed { name: name.into(), json: format!("{{\"name\":\"{name}\"}}").into() }];
        let tool = |name: &str, more: &str| format!(r#"{{"name":"{name}","inputSchema":{{"type":"object"}}{more}}}"#).into();
        let mut live = ServerCatalogue { tools: vec![tool("look", ""), tool("gone", "")], ..ServerCatalogue::default() };
        all.pins.extend(Catalogue::first_pins(key, &live, &|_| true, 0));
        live.tools = vec![tool("look", r#","description":"drifted""#), tool("new", "")];
        live.prompts = listed("ask");
        live.templates = listed("a://{b}");
        all.servers.insert(key.clone(), Arc::new(live));
    }
    // In one of them more was found than is admitted: what was accepted at first sight there doesn't count.
    let found = |tool: Option<&str>, severity| DefinitionFinding {
        server: organization.servers.keys().next().unwrap().to_string(),
        tool: tool.map(str::to_owned),
        severity,
        rule: "INSTRUCTION",
        pointer: String::new(),
        reason: String::new(),
    };
    all.gravest =
        Gravest::of_all(organization.servers.keys(), &[found(Some("look"), Severity::High), found(None, Severity::Medium)]);
    // Another one is refused in the registry.
    let second = organization.servers.values().nth(1).unwrap();
    let nobody = String::new;
    let (by, proof, reason) = (nobody(), nobody(), nobody());
    let refused = Record {
        registration: second.registration.clone(),
        status: RegistryStatus::Rejected,
        by,
        proof,
        reason,
        at_secs: 0,
        submitted_by: None,
    };
    all.records.insert(ServerKey { account: second.account.clone(), name: second.name.clone() }, refused);
    let texts = offered(&all);
    let again = catalogue(texts.values().map(String::as_bytes)).unwrap();
    let states = |catalogue: &Catalogue| {
        let snapshot = Snapshot::compile(1, Arc::clone(&organization), catalogue);
        let view = &snapshot.spaces["ops"];
        let tools: Vec<_> =
            view.tools_listed.iter().map(|tool| (tool.id.clone(), tool.pin.clone(), tool.definition.clone())).collect();
        let listed = |all: &[remit_kernel::snapshot::ListedView]| {
            all.iter().map(|one| (one.exposed.clone(), one.id.clone())).collect::<Vec<_>>()
        };
        (tools, listed(&view.prompts), listed(&view.templates), (snapshot.findings.clone(), view.statuses.clone()))
    };
    assert_eq!(states(&again), states(&all));
    assert_eq!(states(&all).0.len(), 6, "drifted, new and gone, of two servers");
    assert_eq!(
        states(&all).0.iter().filter(|(_, pin, _)| *pin == PinState::New).count(),
        3,
        "two that are new, and one that is grave"
    );
    assert_eq!(offered(&again), texts, "and so does its digest");
    let basis = Basis::new("sha256:c".into(), BTreeMap::from([("1/ops".into(), "sha256:o".into())]));
    assert_eq!(Basis::read(&serde_json::to_vec(&basis).unwrap()).unwrap(), basis);
    assert!(Basis::read(br#"{"v":1,"configuration":"c","servers":{},"more":1}"#).is_err());
}
