//! Recorded calls under another configuration: what is not known is never guessed.

use std::borrow::Cow;
use std::sync::Arc;

use remit_config::SourceFile;
use remit_kernel::recorded::{Recorded, RecordedIdentity};
use remit_kernel::{
    Arguments, Call, Catalogue, Fact, Facts, Identity, Origin, PolicySession, Principal, QuotaUse, ServerCatalogue, Snapshot,
    Target,
};
use remit_model::{AgentId, time_ms};
use remit_trial::replay::{Ended, Past, Replay, Tally};
use serde_json::json;

/// 2026-07-28T00:00:00Z.
const NOW: u64 = 1_785_196_800_000;
const LOOKED: &str = r#"permit (principal, action == AgentCore::Action::"bank___look", resource);
permit (principal, action == AgentCore::Action::"bank___pay", resource)
when temporal { formerly within 10m AgentCore::Action::"bank___look"::response{ eventResource: resource } };"#;

fn snapshot(policies: &str) -> Snapshot {
    let text = "accounts: [{ id: '111122223333', name: bank }]
servers: [{ name: bank, command: [x] }]
agents: [{ id: agent-1, owner: o@acme.example, credentials: [client_secret] }]
spaces:
  - { id: bank, region: us-east-1, mandate: DESTRUCTIVE, agents: [agent-1], servers: [{ server: bank, tools: all }], policy_set: { policies: [{ file: bank.dw }] } }
tool_policies: [{ agent: agent-1, tool: '*', max_risk: critical }]
";
    let file = |path: &str, text: &str| SourceFile { path: path.into(), text: text.into() };
    let loaded = remit_config::read(&[file("remit.yaml", text), file("bank.dw", policies)]).unwrap();
    let mut catalogue = Catalogue::default();
    for key in loaded.organization.servers.keys() {
        let schema = json!({"type": "object", "properties": {"rate": {"type": "number"}}});
        let tools = ["pay", "look"].map(|name| json!({"name": name, "inputSchema": schema}).to_string().into());
        let live = ServerCatalogue { tools: tools.to_vec(), ..ServerCatalogue::default() };
        catalogue.pins.extend(Catalogue::first_pins(key, &live, &|_| true, 0));
        catalogue.servers.insert(key.clone(), Arc::new(live));
    }
    let snapshot = Snapshot::compile(1, Arc::new(loaded.organization), &catalogue);
    assert_eq!(snapshot.spaces["bank"].policy_set.as_ref().unwrap().findings(), []);
    snapshot
}

struct World {
    snapshot: Snapshot,
    replay: Replay,
    method: &'static str,
    session: Option<&'static str>,
}

impl World {
    fn new(policies: &str) -> Self {
        Self { snapshot: snapshot(policies), replay: Replay::default(), method: "tools/call", session: None }
    }

    /// A call that was allowed or denied so many seconds after `NOW`. `kept`: whether its facts are there.
    fn call(&mut self, id: &str, tool: &str, secs: u64, reason: Option<&str>, arguments: &str, kept: bool) {
        let at_ms = NOW + secs * 1000;
        let time = remit_cedar::datetime(at_ms);
        let verdict = if reason.is_some() { "DENY" } else { "ALLOW" };
        let entry = json!({"type": "decision", "id": id, "time": time, "agent": "agent-1", "space": "bank", "tool": tool,
            "method": self.method, "session": self.session, "verdict": verdict, "reason": reason, "layers": []})
        .to_string();
        let past = Past::read(&entry).unwrap();
        if !kept {
            return self.replay.missing(&past);
        }
        let principal = Principal {
            agent: AgentId::new("agent-1").unwrap(),
            user: None,
            credential_id: "token".into(),
            audiences: vec!["here".into()],
            expires_at_secs: NOW / 1000 + 90_000,
            class_max: None,
            issued_at_secs: NOW / 1000 - 10,
            session: None,
            claims: Arc::default(),
        };
        let facts = Facts {
            identity: Fact::Known(Identity::Authenticated(Arc::new(principal))),
            audience: "here".into(),
            quota: Fact::Known(QuotaUse { calls_concurrent: 1, calls_per_minute: 1 }),
            budgets: Fact::Known(Vec::new()),
            origin: Origin::default(),
            revocations: Fact::Known(Arc::default()),
            policy_session: PolicySession::default(),
            trust: Fact::Known(Arc::default()),
            approvals: Fact::Known(Vec::new()),
            provenance: Fact::Known(None),
            guardrails: Arc::default(),
        };
        let who = RecordedIdentity::of(&facts.identity).unwrap();
        let target = Target::Tool { name: tool, arguments: (!arguments.is_empty()).then(|| Arguments::scan(arguments).unwrap()) };
        let call = Call { space: "bank", target, risk_requested: None, explain: false };
        let text = serde_json::to_vec(&Recorded::of(&facts, &who, &call, "b", "s", at_ms).unwrap()).unwrap();
        self.replay.decide(&self.snapshot, 0, &past, &Recorded::read(&text).unwrap(), true).unwrap();
    }

    fn ended(&mut self, id: &str, secs: u64) {
        let time = remit_cedar::datetime(NOW + secs * 1000);
        let ended = Ended {
            history_event: None,
            decision: Cow::Borrowed(id),
            space: "bank".into(),
            outcome: "ok".into(),
            history_output: None,
            history_at_ms: 0,
            time: time.into(),
        };
        self.replay.ended(&ended, None);
    }

    fn tally(&self) -> (u64, u64, u64, u64) {
        let Tally { same, newly_allowed, newly_denied, undecided, .. } = self.replay.tally();
        (*same, *newly_allowed, *newly_denied, undecided.values().sum())
    }
}

#[test]
fn what_looks_back_on_a_call_that_was_not_kept_is_not_decided() {
    let mut world = World::new(LOOKED);
    world.call("1", "bank___look", 0, None, "{}", false);
    world.call("2", "bank___pay", 60, None, "{}", true);
    assert_eq!(world.tally(), (0, 0, 0, 1), "whether it looked isn't known");
    // A call that was denied then is no less open.
    world.call("3", "bank___pay", 120, Some("policy_set"), "{}", true);
    assert_eq!(world.tally(), (0, 0, 0, 2));
    // What doesn't look back is decided, and so is what looks back once the gap is out of every window.
    world.call("4", "bank___look", 180, Some("tool_policy"), "{}", true);
    world.call("5", "bank___pay", 4000, None, "{}", true);
    assert_eq!(world.tally(), (0, 1, 1, 2));
    // Calls of tools that no condition reads leave no gap, nor do refusals of those of whom nothing is ever kept.
    world.call("6", "bank___other", 4001, None, "{}", false);
    world.call("6", "bank___look", 4001, Some("unauthenticated"), "{}", false);
    world.call("7", "bank___pay", 4002, None, "{}", true);
    assert_eq!(world.tally(), (0, 1, 2, 2));
}

#[test]
fn a_result_has_the_time_of_its_end() {
    let mut world = World::new(LOOKED);
    // It takes a quarter of an hour: what came at its end is still in the window.
    world.call("1", "bank___look", 0, None, "{}", true);
    world.ended("1", 900);
    world.call("2", "bank___pay", 960, None, "{}", true);
    assert_eq!(world.tally(), (2, 0, 0, 0));
}

#[test]
fn what_the_candidate_itself_could_not_decide_is_newly_denied() {
    let mut world = World::new("permit (principal, action, resource);");
    // More digits than Cedar holds: the gateway would refuse it, whatever came before.
    world.call("1", "bank___pay", 0, None, r#"{"rate":0.000001}"#, true);
    world.call("2", "bank___pay", 1, None, r#"{"rate":0.01}"#, true);
    assert_eq!(world.tally(), (1, 0, 1, 0));
}

#[test]
fn times_are_read_as_they_are_written() {
    for at_ms in [0, NOW, NOW + 123, 951_782_400_000, 951_868_799_999, 4_102_444_800_000] {
        assert_eq!(time_ms(&remit_cedar::datetime(at_ms)), Some(at_ms));
    }
    assert_eq!(time_ms("2026-07-28"), Some(NOW));
    assert_eq!(time_ms("2026-07-28T00:00:00Z"), Some(NOW));
    for bad in ["2026-13-01", "soon", "2026-00-10T00:00:00Z", "20é6-07-28"] {
        assert_eq!(time_ms(bad), None, "{bad}");
    }
}

#[test]
fn whoever_only_asks_is_judged_as_a_gateway_would() {
    let mut world = World::new("permit (principal, action, resource) when { context.input has rate };");
    world.method = "authorize";
    // Without a policy set nobody judged arguments, and none were kept.
    world.call("1", "bank___pay", 0, None, "", true);
    world.call("2", "bank___pay", 1, None, r#"{"rate":1}"#, true);
    assert_eq!(world.tally(), (1, 0, 1, 0));
}

#[test]
fn sessions_of_a_space_that_had_no_policy_set_stay_apart() {
    let mut world = World::new(LOOKED);
    world.session = Some("a");
    world.call("1", "bank___look", 0, None, "{}", true);
    world.ended("1", 1);
    world.call("2", "bank___pay", 2, None, "{}", true);
    world.session = Some("b");
    world.call("3", "bank___pay", 3, None, "{}", true);
    assert_eq!(world.tally(), (2, 0, 1, 0));
}
