//! What the sample organization doesn't have: names of a space's own, spaces that admit everything, spaces without a role, policies of servers
//! and of resources.

use std::sync::Arc;

use remit_config::SourceFile;
use remit_kernel::catalogue::ToolDefinition;
use remit_kernel::{Pin, PinKey};
use remit_model::Organization;
use remit_trial::cases::{self, Known};
use remit_trial::{Coverage, Lock, Trial};

const ORGANIZATION: &str = r#"
organization: { id: o-small, root: r-small, resource_control_policies: [RCPFullAWSAccess, NoSecrets] }
accounts: [{ id: "111122223333", name: only }]
policies:
  - name: NoSecrets
    type: RESOURCE_CONTROL_POLICY
    document:
      Version: "2012-10-17"
      Statement:
        - { Sid: Secrets, Effect: Deny, Principal: "*", Action: "mcp:CallTool", Resource: "*", Condition: { StringEquals: { "mcp:Tool": secrets } } }
servers:
  - name: docs
    url: https://docs.example.com/mcp
    tools: { "look.up": { expose_as: look_up } }
  - name: vault
    url: https://vault.example.com/mcp
    resource_policy:
      Version: "2012-10-17"
      Statement:
        - { Sid: Readers, Effect: Allow, Principal: "*", Action: "mcp:*", Resource: "*" }
        - { Sid: NoWrites, Effect: Deny, Principal: "*", Action: "mcp:CallTool", Resource: "*", Condition: { StringEquals: { "mcp:Tool": write } } }
agents: [{ id: agent-one, owner: me, credentials: [client_secret] }]
spaces:
  - id: team
    region: us-east-1
    mandate: DESTRUCTIVE
    agents: [agent-one]
    servers:
      - { server: docs, tools: [look.up, search], prefix: false, prompts: true }
      - { server: vault, tools: all, resources: true }
tool_policies: [{ agent: agent-one, tool: "*", max_risk: critical }]
"#;

fn lock(organization: &Organization) -> Lock {
    let mut pins = Vec::new();
    for (server, tools) in [("docs", ["look.up", "search"].as_slice()), ("vault", &["read", "write", "secrets"])] {
        let key = organization.servers.keys().find(|key| key.name.as_str() == server).unwrap();
        for tool in tools {
            let definition = format!(r#"{{"name":"{tool}","inputSchema":{{"type":"object"}}}}"#);
            let digest = ToolDefinition::read(&definition).unwrap().digest;
            let pin = Pin { digest, definition, accepted_by: "me".to_owned(), accepted_at_secs: 0 };
            pins.push((PinKey { server: key.clone(), tool: (*tool).to_owned() }, pin));
        }
    }
    Lock::of(pins).unwrap()
}

/// Runs cases; answers what went otherwise than expected, and what was exercised.
fn run(text: &str) -> (Vec<String>, Vec<String>) {
    let files = [SourceFile { path: "remit.yaml".to_owned(), text: ORGANIZATION.to_owned() }];
    let loaded = remit_config::read(&files).unwrap_or_else(|faults| panic!("{faults:?}"));
    let organization = Arc::new(loaded.organization);
    let lock = lock(&organization);
    let file = SourceFile { path: "tests/a.yaml".to_owned(), text: text.to_owned() };
    let cases = cases::read(&[file], &Known::new(&organization, Some(&lock))).unwrap_or_else(|faults| panic!("{faults:?}"));
    let trial = Trial::new(&organization, Some(&lock), &cases);
    let mut coverage = Coverage::of(&organization, &files);
    let mut otherwise = Vec::new();
    for case in &cases {
        otherwise.extend(
            trial.run(case, &mut coverage).unwrap().mismatches.iter().map(|mismatch| format!("{}: {mismatch:?}", case.name)),
        );
    }
    let exercised = coverage.units().into_iter().filter(|unit| unit.is_covered());
    (otherwise, exercised.map(|unit| format!("{}: {} {}/{}", unit.kind, unit.name, unit.decided, unit.contributed)).collect())
}

#[test]
fn tools_go_by_the_names_of_the_space() {
    let (otherwise, exercised) = run("
defaults: { space: team, agent: agent-one, expect: allow }
cases:
  - { name: by its other name, tool: look_up }
  - { name: without a prefix, tool: search }
  - { name: with one, tool: vault___read }
  - { name: a prompt without a prefix, prompt: greet }
  - { name: a resource, resource: \"vault://a\" }
");
    assert_eq!(otherwise, Vec::<String>::new());
    assert_eq!(
        exercised,
        [
            "resource policy: vault: Readers 2/0",
            "listed tool: team lists docs___look_up 1/0",
            "listed tool: team lists docs___search 1/0",
            "listed tool: team lists every tool of vault 1/0",
            "tool policy: (agent-one, *) 5/0",
        ]
    );
}

#[test]
fn policies_of_servers_and_of_resources_decide() {
    let (otherwise, exercised) = run("
defaults: { space: team, agent: agent-one }
cases:
  - { name: a, tool: vault___write, expect: { reason: resource_policy, layer: RESOURCE, statement: NoWrites } }
  - { name: b, tool: vault___secrets, expect: { reason: resource_control_policy, layer: RESOURCE_CONTROL_POLICY, statement: \"NoSecrets: Secrets\" } }
");
    assert_eq!(otherwise, Vec::<String>::new());
    assert_eq!(exercised, ["resource control policy: NoSecrets: Secrets 1/0", "resource policy: vault: NoWrites 1/0"]);
}

#[test]
fn names_that_would_be_another_spaces_are_unknown() {
    let organization = Arc::new(
        remit_config::read(&[SourceFile { path: "remit.yaml".to_owned(), text: ORGANIZATION.to_owned() }]).unwrap().organization,
    );
    let lock = lock(&organization);
    let known = Known::new(&organization, Some(&lock));
    for tool in ["look.up", "docs___look.up", "read", "vault___look_up"] {
        let text = format!("cases: [{{ name: a, space: team, agent: agent-one, tool: {tool}, expect: deny }}]");
        let faults = cases::read(&[SourceFile { path: "tests/a.yaml".to_owned(), text }], &known).unwrap_err();
        assert!(faults[0].what.starts_with("no server has a tool"), "{tool}: {faults:?}");
    }
}
