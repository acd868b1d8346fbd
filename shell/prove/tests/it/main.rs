//! Invariants about arguments, with a solver and without one: from the text of a configuration to how the invariant stands.

#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "a test's helpers fail as its assertions do")]

mod hostile;
mod proved;
mod random;
mod solvers;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Arc, OnceLock};

use remit_config::{SourceFile, read};
use remit_kernel::invariant::{Checked, check};
use remit_kernel::{
    Arguments, Call, Catalogue, Fact, Facts, Identity, Origin, PolicySession, Principal, QuotaUse, ServerCatalogue, Snapshot,
    Target, decide,
};
use remit_model::AgentId;
use remit_prove::{Prover, Solver};
use serde_json::{Value, json};

/// When every call of these tests is made: 2026-07-28T00:00:00Z.
pub(crate) const NOW: u64 = 1_785_196_800;

/// The solver as the guide installs it: cvc5's Python module and the script that makes a program of it.
pub(crate) fn solver() -> Solver {
    static INSTALLED: OnceLock<PathBuf> = OnceLock::new();
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples/solver");
    let python = INSTALLED.get_or_init(|| {
        let root = Path::new(env!("CARGO_TARGET_TMPDIR")).join("peers-solver");
        std::fs::create_dir_all(&root).unwrap();
        let lock = std::fs::File::create(root.join("lock")).unwrap();
        lock.lock().unwrap();
        let wanted = std::fs::read_to_string(source.join("requirements.txt")).unwrap();
        let marker = root.join("installed");
        if !std::fs::read_to_string(&marker).is_ok_and(|installed| installed == wanted) {
            let requirements = source.join("requirements.txt");
            for arguments in [
                vec!["python3", "-m", "venv", "--clear", "venv"],
                vec!["venv/bin/pip", "install", "--quiet", "--disable-pip-version-check", "-r", requirements.to_str().unwrap()],
            ] {
                let done = Command::new(arguments[0]).args(&arguments[1..]).current_dir(&root).output().unwrap();
                assert!(done.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&done.stderr));
            }
            std::fs::write(marker, wanted).unwrap();
        }
        root.join("venv/bin/python")
    });
    let said = format!("{} {}", python.display(), source.join("solve.py").canonicalize().unwrap().display());
    Solver::find(Some(said.as_ref()), None).unwrap()
}

/// An organization with one space, in which two agents may call one tool.
pub(crate) struct World {
    /// The space's policies; `None`: it has no set.
    pub(crate) policies: Option<String>,
    /// The condition of its invariant.
    pub(crate) when: String,
    /// The tool's input schema.
    pub(crate) schema: Value,
    /// The session under which the first agent signs in a role; `None`: it doesn't sign.
    pub(crate) signs: Option<&'static str>,
}

impl World {
    pub(crate) fn new(policies: &str, when: &str) -> Self {
        let schema = json!({"type": "object", "additionalProperties": false, "properties": {
            "amount": {"type": "integer", "minimum": 0, "maximum": 1000},
            "to": {"type": "string", "pattern": "^ACC-[0-9]{2}$"},
            "note": {"type": "string"},
            "urgent": {"type": "boolean"},
            "labels": {"type": "array", "items": {"type": "string"}},
            "rate": {"type": "number"},
            "deep": {"type": "object", "properties": {"level": {"type": "integer"}}, "required": ["level"]}
        }, "required": ["amount", "to", "urgent"]});
        Self { policies: Some(policies.to_owned()), when: when.to_owned(), schema, signs: None }
    }

    pub(crate) fn snapshot(&self) -> Snapshot {
        let set = if self.policies.is_some() { "policy_set: { policies: [{ file: bank.dw }] }" } else { "" };
        let (role, credential) = match self.signs {
            None => (String::new(), String::new()),
            Some(name) => (
                r#"roles: [{ name: signer, policies: [McpFullAccess], trust_policy: { Version: "2012-10-17", Statement: [{ Effect: Allow, Principal: { AWS: "arn:aws:iam::111122223333:root" }, Action: "sts:AssumeRole" }] } }]"#.to_owned(),
                format!(", {{ role: {{ arn: 'arn:aws:iam::111122223333:role/signer', session_name: {name} }} }}"),
            ),
        };
        let text = format!(
            "accounts: [{{ id: '111122223333', name: bank }}]
servers: [{{ name: bank, command: [x] }}]
{role}
agents:
  - {{ id: agent-1, owner: o@acme.example, credentials: [client_secret{credential}] }}
  - {{ id: agent-2, owner: o@acme.example, credentials: [client_secret] }}
spaces:
  - id: bank
    region: us-east-1
    mandate: DESTRUCTIVE
    agents: [agent-1, agent-2]
    servers: [{{ server: bank, tools: all }}]
    {set}
tool_policies:
  - {{ agent: agent-1, tool: '*', max_risk: critical }}
  - {{ agent: agent-2, tool: '*', max_risk: critical }}
invariants: [{{ name: never, never: {{ tools: [bank___pay], when: {} }} }}]
",
            json!(self.when)
        );
        let mut files = vec![SourceFile { path: "remit.yaml".into(), text }];
        files.extend(self.policies.iter().map(|text| SourceFile { path: "bank.dw".into(), text: text.clone() }));
        let loaded = read(&files).unwrap_or_else(|faults| {
            panic!("{}", faults.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n"));
        });
        let mut catalogue = Catalogue::default();
        for key in loaded.organization.servers.keys() {
            let tools = ["pay", "look"].map(|name| json!({"name": name, "inputSchema": self.schema}).to_string().into());
            let live = ServerCatalogue { tools: tools.to_vec(), ..ServerCatalogue::default() };
            catalogue.pins.extend(Catalogue::first_pins(key, &live, &|_| true, 0));
            catalogue.servers.insert(key.clone(), Arc::new(live));
        }
        Snapshot::compile(1, Arc::new(loaded.organization), &catalogue)
    }

    pub(crate) fn check(&self, solver: Result<Solver, String>) -> Checked {
        checked(&self.snapshot(), &Prover::new(solver))
    }
}

pub(crate) fn checked(snapshot: &Snapshot, prover: &Prover) -> Checked {
    let mut all = check(snapshot, |_| true, &|question| prover.answer(question), 1_000, NOW);
    assert_eq!(all.len(), 1);
    all.remove(0)
}

/// Whether a call is allowed, by token, with nothing before it.
pub(crate) fn allowed(snapshot: &Snapshot, agent: &str, arguments: &Value, claims: &BTreeMap<String, String>) -> bool {
    let principal = Principal {
        agent: AgentId::new(agent).unwrap(),
        user: None,
        credential_id: "token".into(),
        audiences: vec!["here".into()],
        expires_at_secs: NOW + 900,
        class_max: None,
        issued_at_secs: NOW - 10,
        session: None,
        claims: Arc::new(claims.clone()),
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
        guardrails: std::sync::Arc::default(),
    };
    let text = arguments.to_string();
    let target = Target::Tool { name: "bank___pay", arguments: Some(Arguments::scan(&text).unwrap()) };
    decide(snapshot, &facts, &Call { space: "bank", target, risk_requested: None, explain: false }, NOW).allows()
}
