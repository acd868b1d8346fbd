//! What an organization's tree, roles and sessions come to, from the text of a configuration to the decision.

#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "a test's helpers fail as its assertions do")]

mod alarm;
mod approval;
mod assume;
mod behaviour;
mod chain;
mod compare;
mod definitions;
mod fixtures;

mod invariant;
mod recorded;
mod registry;
mod remedy;
mod said;
mod suspension;
mod tree;
mod trust;

use std::net::IpAddr;
use std::sync::Arc;

use remit_config::{SourceFile, read};
use remit_kernel::recorded::{Recorded, RecordedIdentity};
use remit_kernel::{
    Arguments, Call, Catalogue, Decision, Fact, Facts, Identity, Origin, Principal, QuotaUse, Revocations, ServerCatalogue,
    Session, Snapshot, Target, decide,
};
use remit_model::{AgentId, Organization};

/// When every call of these tests is made: 2026-07-28T00:00:00Z.
pub(crate) const NOW: u64 = 1_785_196_800;
/// Who may assume the role of space `ops`.
pub(crate) const TRUST: &str = r#"{ Version: "2012-10-17", Statement: [{ Sid: Space, Effect: Allow, Principal: { Service: aidevops.amazonaws.com }, Action: ["sts:AssumeRole", "sts:TagSession", "sts:SetSourceIdentity"], Condition: { StringEquals: { "aws:SourceAccount": "111122223333" }, ArnEquals: { "aws:SourceArn": "arn:aws:aidevops:us-east-1:111122223333:agentspace/ops" } } }] }"#;

/// An organization with one space, in which one agent may call three tools of one server and one of another account.
pub(crate) struct World {
    /// What stands under the keys of the organization, indented as YAML.
    pub(crate) organization: String,
    pub(crate) unit: String,
    pub(crate) account: String,
    pub(crate) policies: String,
    /// The space's role: its keys besides name, account and trust.
    pub(crate) role: String,
    pub(crate) trust: String,
    pub(crate) more_roles: String,
    pub(crate) agent: String,
    pub(crate) server: String,
    /// How the space uses the desk in the other account.
    pub(crate) desk: String,
    pub(crate) origin: Origin,
    pub(crate) revocations: Revocations,
    pub(crate) session: Option<Session>,
    pub(crate) user: Option<String>,
}

impl World {
    /// Everything is allowed but what a test changes.
    pub(crate) fn new() -> Self {
        Self {
            organization: String::new(),
            unit: String::new(),
            account: String::new(),
            policies: String::new(),
            role: "policies: [McpFullAccess]".into(),
            trust: TRUST.into(),
            more_roles: String::new(),
            agent: String::new(),
            server: String::new(),
            desk: String::new(),
            origin: Origin { source_ip: Fact::Known(IpAddr::from([10, 1, 2, 3])), secure_transport: true },
            revocations: Revocations::default(),
            session: None,
            user: None,
        }
    }

    pub(crate) fn text(&self) -> String {
        let Self { organization, unit, account, policies, role, trust, more_roles, agent, server, desk, .. } = self;
        let role = if role.is_empty() {
            String::new()
        } else {
            format!("  - {{ name: ops-role, account: '111122223333', trust_policy: {trust}, {role} }}\n")
        };
        let acts = if role.is_empty() { "" } else { "role: ops-role, " };
        format!(
            "organization: {{ id: o-test, root: r-test, {organization} }}
organizational_units: [{{ id: ou-top, name: Top, {unit} }}]
accounts:
  - {{ id: '111122223333', name: ops, organizational_unit: ou-top, {account} }}
  - {{ id: '444455556666', name: desk }}
policies: [{policies}]
roles:
{role}{more_roles}
servers:
  - {{ name: ops, account: '111122223333', command: [x], tools: {{ move_money: {{ categories: [transfer] }} }}, {server} }}
  - {{ name: desk, account: '444455556666', command: [x] }}
agents: [{{ id: agent-1, account: '111122223333', owner: o@acme.example, credentials: [client_secret], {agent} }}]
spaces:
  - id: ops
    account: '111122223333'
    region: us-east-1
    mandate: DESTRUCTIVE
    {acts_line}
    agents: [agent-1]
    servers:
      - {{ server: ops, tools: all }}
      - {{ server: desk, account: '444455556666', tools: all, {desk} }}
tool_policies: [{{ agent: agent-1, tool: '*', max_risk: critical }}]
",
            acts_line = if acts.is_empty() { "quotas: {}" } else { "role: ops-role" },
        )
    }

    pub(crate) fn organization(&self) -> Organization {
        let text = self.text();
        match read(&[SourceFile { path: "remit.yaml".into(), text: text.clone() }]) {
            Ok(loaded) => loaded.organization,
            Err(faults) => panic!("{}\n{text}", faults.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n")),
        }
    }

    pub(crate) fn snapshot(&self) -> Snapshot {
        self.snapshot_of(self.organization())
    }

    #[allow(clippy::unused_self, reason = "beside its kind")]
    pub(crate) fn snapshot_of(&self, organization: Organization) -> Snapshot {
        let tool = |name: &str, hints: &str| -> Arc<str> {
            format!(r#"{{"name":"{name}","inputSchema":{{"type":"object"}},"annotations":{hints}}}"#).into()
        };
        let tools = vec![
            tool("look", r#"{"readOnlyHint":true}"#),
            tool("change", r#"{"destructiveHint":false}"#),
            tool("move_money", "{}"),
        ];
        let mut catalogue = Catalogue::default();
        for key in organization.servers.keys() {
            let live = ServerCatalogue { tools: tools.clone(), ..ServerCatalogue::default() };
            catalogue.pins.extend(Catalogue::first_pins(key, &live, &|_| true, 0));
            catalogue.servers.insert(key.clone(), Arc::new(live));
        }
        Snapshot::compile(1, Arc::new(organization), &catalogue)
    }

    pub(crate) fn facts(&self) -> Facts {
        let principal = Principal {
            agent: AgentId::new("agent-1").unwrap(),
            user: self.user.clone(),
            credential_id: self.session.as_ref().map_or_else(|| "token-1".into(), |session| session.id.clone()),
            audiences: vec!["here".into()],
            expires_at_secs: NOW + 900,
            class_max: None,
            issued_at_secs: NOW - 10,
            session: self.session.clone().map(Arc::new),
            claims: Arc::default(),
        };
        Facts {
            identity: Fact::Known(Identity::Authenticated(Arc::new(principal))),
            audience: "here".into(),
            quota: Fact::Known(QuotaUse { calls_concurrent: 1, calls_per_minute: 1 }),
            budgets: Fact::Known(Vec::new()),
            origin: self.origin.clone(),
            revocations: Fact::Known(Arc::new(self.revocations.clone())),
            policy_session: remit_kernel::PolicySession::default(),
            trust: Fact::Known(Arc::default()),
            approvals: Fact::Known(Vec::new()),
            provenance: Fact::Known(None),
            guardrails: std::sync::Arc::default(),
        }
    }

    pub(crate) fn decide(&self, tool: &str) -> Decision {
        let target = Target::Tool { name: tool, arguments: Some(Arguments::scan("{}").unwrap()) };
        let (snapshot, facts) = (self.snapshot(), self.facts());
        let mut call = Call { space: "ops", target, risk_requested: None, explain: false };
        let short = decide(&snapshot, &facts, &call, NOW);
        call.explain = true;
        let whole = decide(&snapshot, &facts, &call, NOW);
        assert_eq!(outcome(&short), outcome(&whole), "explaining changes nothing");
        kept(&snapshot, &facts, &call, &whole);
        snapshot.remember();
        call.explain = false;
        for remembered in [(); 2].map(|()| decide(&snapshot, &facts, &call, NOW)) {
            assert_eq!(
                (outcome(&remembered), &remembered.layers),
                (outcome(&short), &short.layers),
                "remembering changes nothing"
            );
        }
        whole
    }

    /// The reason of the denial and its statement; `Ok` if it is allowed.
    pub(crate) fn ask(&self, tool: &str) -> Result<(), (&'static str, String)> {
        outcome(&self.decide(tool))
    }
}

/// What is kept of a call gives back the very facts, and so the very decision.
fn kept(snapshot: &Snapshot, facts: &Facts, call: &Call<'_>, decision: &Decision) {
    let identity = RecordedIdentity::of(&facts.identity).unwrap();
    let recorded = Recorded::of(facts, &identity, call, "sha256:basis", "salt", NOW * 1000 + 7).unwrap();
    let text = serde_json::to_vec(&recorded).unwrap();
    let read = Recorded::read(&text).unwrap();
    let again = read.facts(RecordedIdentity::read(read.identity_text()).unwrap());
    let revoked = |facts: &Facts| match &facts.revocations {
        Fact::Known(revocations) => revocations.agents.keys().cloned().collect::<Vec<_>>(),
        Fact::Unknown(why) => vec![why.clone()],
    };
    // Of revocations only what could concern the caller is kept.
    let whole = Facts { revocations: again.revocations.clone(), ..facts.clone() };
    assert_eq!((&again, revoked(&again)), (&whole, revoked(facts)));
    assert_eq!(
        (read.at_ms(), read.basis(), read.space(), read.call(true).unwrap()),
        (NOW * 1000 + 7, "sha256:basis", "ops", *call)
    );
    let same = decide(snapshot, &again, call, NOW);
    assert_eq!((outcome(&same), &same.layers), (outcome(decision), &decision.layers));
}

pub(crate) fn outcome(decision: &Decision) -> Result<(), (&'static str, String)> {
    match decision.against() {
        None => Ok(()),
        Some(denial) => Err((denial.reason.as_str(), denial.statement)),
    }
}

pub(crate) fn reason(world: &World, tool: &str) -> &'static str {
    world.ask(tool).map_or_else(|(reason, _)| reason, |()| "allowed")
}
