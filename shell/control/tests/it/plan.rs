//! What a plan says, and that it stays a plan whatever the size of the change.

use remit_cedar::{Question, Reply};
use remit_control::Source;
use remit_control::plan::report;
use remit_kernel::Catalogue;

use crate::file;

/// None of these plans has a question.
fn unasked(_: &Question<'_>) -> Reply {
    panic!("nobody asks")
}

fn source(files: &[remit_config::SourceFile]) -> Source {
    Source::of(files.to_vec()).unwrap_or_else(|error| panic!("{error}: {error:.500?}"))
}

fn base(more: &str) -> Source {
    source(&[file(
        "a.yaml",
        &format!(
            "accounts: [{{ id: '111122223333', name: ops }}, {{ id: '444455556666', name: other }}]
agents: [{{ id: agent-1, account: '111122223333', owner: o@acme.example, credentials: [client_secret] }}]
servers: [{{ name: s, account: '111122223333', command: [x] }}]
spaces: [{{ id: ops, account: '111122223333', region: us-east-1, agents: [agent-1], servers: [{{ server: s, tools: all }}] }}]
{more}"
        ),
    )])
}

/// A role with one policy.
fn role(name: &str, actions: &str, trusted: &str) -> String {
    format!(
        "  - name: {name}
    account: '111122223333'
    trust_policy: {{ Version: '2012-10-17', Statement: [{{ Effect: Allow, Principal: {{ AWS: 'arn:aws:iam::{trusted}:root' }}, Action: sts:AssumeRole }}] }}
    inline_policies: {{ own: {{ Version: '2012-10-17', Statement: [{{ Sid: Own, Effect: Allow, Action: {actions}, Resource: '*' }}] }} }}
"
    )
}

#[test]
fn what_roles_newly_may_do_is_found_with_a_witness() {
    let roles = |actions: &str, trusted: &str| base(&format!("roles:\n{}", role("r", actions, trusted)));
    let told = |before: &Source, after: &Source| report(Some(before), after, &Catalogue::default(), &unasked, 1);
    let (narrow, wide) = (roles("['s3:GetObject']", "111122223333"), roles("['s3:*']", "111122223333"));
    let found = told(&narrow, &wide);
    assert_eq!(found["policies_count"], 1, "{found}");
    let witness = &found["policies"][0]["witness"];
    assert!(
        witness["action"].as_str().unwrap().starts_with("s3:") && witness["by"].as_str().unwrap().contains("Own"),
        "{witness}"
    );
    assert!(found["findings_count"].as_u64() > Some(0), "a star is a finding: {found}");
    assert_eq!(told(&wide, &narrow)["policies_count"], 0);
    let trusting = roles("['s3:GetObject']", "444455556666");
    let found = told(&narrow, &trusting);
    assert!(found["policies"][0]["what"].as_str().unwrap().starts_with("who may assume"), "{found}");
    // What says the same in other words, or elsewhere, is no change of access.
    assert_eq!(told(&wide, &roles("'s3:*'", "111122223333"))["policies_count"], 0);
    assert_eq!(found["unheard"][0]["server"], "111122223333/s", "nobody knows what it offers");
}

#[test]
fn who_can_prove_to_be_an_agent_is_told() {
    let open = base("");
    let mut files = open.files.clone();
    files[0].text = files[0].text.replace("credentials: [client_secret]", "credentials: []");
    let found = report(Some(&source(&files)), &open, &Catalogue::default(), &unasked, 1);
    assert_eq!(found["credentials_change"], serde_json::json!(["agent-1"]));
    assert_eq!(report(Some(&open), &open, &Catalogue::default(), &unasked, 1)["credentials_change_count"], 0);
}

#[test]
fn a_plan_of_any_size_can_be_told() {
    let rows: String = (0..4_000).map(|n| format!("  - {{ agent: agent-1, tool: s___tool_{n}, max_risk: low }}\n")).collect();
    let roles: String = (0..300).map(|n| role(&format!("r{n}"), "['s3:*']", "444455556666")).collect();
    let found =
        report(Some(&base("")), &base(&format!("tool_policies:\n{rows}roles:\n{roles}")), &Catalogue::default(), &unasked, 1);
    assert_eq!(found["changes_count"], 4_300);
    assert!(found["changes"].as_array().unwrap().len() < 4_300);
    let searched = found["policies"].as_array().unwrap();
    assert!(searched.last().unwrap()["why"].as_str().unwrap().contains("too many"), "what was not searched is said");
    assert!(found.to_string().len() < 1024 * 1024);
}
