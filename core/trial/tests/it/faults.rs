//! Faulty cases: each fault with its place and how to mend it, all of them in one run.

use proptest::prelude::*;
use remit_config::SourceFile;
use remit_trial::Lock;
use remit_trial::cases::{self, Known};

use crate::{organization, run_text, told};

#[test]
fn every_fault_is_told_in_one_run() {
    let said = told(
        r"defaults: { space: suport, expects: allow }
cases:
  - { name: a, agent: agent-support-1, tool: helpdesk___search_kb, expect: allow }
",
    );
    assert_eq!(
        said,
        "1:/defaults/space there is no space `suport`; did you mean `support`? / name a space of this configuration\n\
         1:/defaults/expects what cases have in common has no key `expects`; did you mean `expect`? / its keys are space, agent, user, claims, credential, session, policy_session, tool, prompt, resource, arguments, risk, request, source_ip, secure_transport, at, quota, budgets_used_up, unknown, trust, after, approved, suppose, expect\n"
    );
    let said = told(
        r#"cases:
  - { name: a, space: support, agent: agent-suport-1, tool: helpdesk___search_kb, expect: allow }
  - { name: a, space: support, agent: agent-support-1, tool: helpdesk___search_kb, expect: allow }
  - { name: b, space: support, agent: agent-support-1, tool: helpdesk___serch_kb, expect: deny }
  - { name: c, space: support, agent: agent-support-1, tool: helpdesk___search_kb, expect: risk_exceed_policy }
  - { name: d, space: support, agent: agent-support-1, expect: allow }
  - { name: e, space: support, agent: agent-support-1, tool: helpdesk___search_kb, prompt: x, expect: allow }
  - { name: f, space: support, agent: agent-support-1, tool: helpdesk___search_kb }
  - { name: g, space: support, tool: helpdesk___search_kb, expect: allow }
  - { name: h, agent: agent-support-1, tool: helpdesk___search_kb, expect: allow }
  - { name: i, space: support, agent: agent-support-1, tool: helpdesk___search_kb, at: yesterday, expect: allow }
  - { name: j, space: support, agent: agent-support-1, tool: helpdesk___search_kb, source_ip: "1.2.3", expect: allow }
  - { name: k, space: support, agent: agent-support-1, tool: helpdesk___search_kb, arguments: [1], expect: allow }
  - { name: l, space: support, agent: agent-support-1, tool: helpdesk___search_kb, arguments: { limit: .inf }, expect: allow }
  - { name: m, space: support, agent: agent-support-1, prompt: helpdesk___p, arguments: { a: b }, expect: allow }
  - { name: n, space: support, agent: agent-support-1, prompt: nowhere___p, expect: allow }
  - { name: o, space: support, agent: agent-support-1, tool: helpdesk___search_kb, unknown: moon, expect: allow }
  - { name: p, space: support, agent: agent-support-1, tool: helpdesk___search_kb, credential: some, expect: allow }
  - { name: q, space: support, agent: agent-support-1, tool: helpdesk___search_kb, credential: { scopes: [mcp:all] }, expect: allow }
  - { name: r, space: support, agent: agent-support-1, tool: helpdesk___search_kb, each: [], expect: allow }
  - { name: s, space: support, agent: [], tool: helpdesk___search_kb, expect: allow }
"#,
    );
    let lines: Vec<&str> = said.lines().collect();
    for (n, begin) in [
        "2:/cases/0/agent there is no agent `agent-suport-1`; did you mean `agent-support-1`?",
        "3:/cases/1 the case on line 2 has this name already",
        "4:/cases/2/tool no server has a tool `helpdesk___serch_kb` in `tools.lock.json`; did you mean `helpdesk___search_kb`?",
        "5:/cases/3/expect `risk_exceed_policy` is nothing that can be expected; did you mean `risk_exceeds_policy`?",
        "6:/cases/4 a case asks for exactly one of `tool`, `prompt` and `resource`",
        "7:/cases/5 a case asks for exactly one of `tool`, `prompt` and `resource`",
        "8:/cases/6 this doesn't say what is expected",
        "9:/cases/7 this doesn't say who calls",
        "10:/cases/8 this doesn't say in which space it happens",
        "11:/cases/9/at `yesterday` is no time",
        "12:/cases/10/source_ip `1.2.3` is no IP address",
        "13:/cases/11/arguments arguments are a mapping",
        "14:/cases/12/arguments `.inf` is no number of JSON",
        "15:/cases/13/arguments only tools have arguments",
        "16:/cases/14/prompt no space has a server whose prompt `nowhere___p` could be",
        "17:/cases/15/unknown `moon` is no fact that a case can take away",
        "18:/cases/16/credential `some` is no credential",
        "19:/cases/17/credential/scopes/0 `mcp:all` is no scope",
        "20:/cases/18/each an empty table makes no case",
        "21:/cases/19/agent an empty list makes no case",
    ]
    .iter()
    .enumerate()
    {
        assert!(lines.get(n).is_some_and(|line| line.starts_with(begin)), "{begin}\n{said}");
    }
    assert_eq!(lines.len(), 20, "{said}");
}

#[test]
fn what_is_expected_and_supposed_must_make_sense() {
    let base = "space: prod-sre, agent: agent-ops-2, tool: observability___search_logs";
    for (with, fault) in [
        ("expect: { verdict: allow, reason: revoked }", "`reason` is said of denials"),
        ("expect: { statement: x }", "this doesn't say what the verdict must be"),
        ("expect: { effect: ALLOW }", "a layer that denies says IMPLICIT_DENY or EXPLICIT_DENY"),
        ("expect: { layer: TOOL }", "`TOOL` is no layer"),
        ("expect: { verdict: deny, layers: { SPAC: ALLOW } }", "`SPAC` is no layer; did you mean `SPACE`?"),
        ("trust: some, expect: allow", "`some` is no tier"),
        ("suppose: { mandate: SOME }, expect: allow", "`SOME` is none of the words for this"),
        (
            "suppose: { organizational_unit: ou-no-agent }, expect: allow",
            "there is no organizational unit `ou-no-agent`; did you mean `ou-no-agents`?",
        ),
        ("suppose: { role: \"arn:aws:iam::111122223333:role/None\" }, expect: allow", "is no role's ARN here"),
        (
            "suppose: { tools: observability___search_logs }, expect: allow",
            "space `prod-sre` lists `observability___search_logs` already",
        ),
        ("suppose: { tools: observability___drop }, expect: allow", "server 111122223333/observability has no tool `drop`"),
        (
            "suppose: { tools: ledger___transfer }, expect: allow",
            "`ledger___transfer` is no tool of a server of space `prod-sre`",
        ),
        ("suppose: { tools: [] }, expect: allow", "an empty list makes no case"),
        ("session: { role: x }, expect: allow", "`x` is no role's ARN"),
        ("session: { role: \"arn:aws:iam::111122223333:role/Non\" }, expect: allow", "there is no role 111122223333/Non"),
        (
            "session: { role: \"arn:aws:iam::111122223333:role/DevOpsAgentSpaceRole\" }, expect: allow",
            "sessions of role 111122223333/DevOpsAgentSpaceRole are agent `agent-ops-1`'s",
        ),
        (
            "session: { role: \"arn:aws:iam::111122223333:role/IncidentReviewRole\" }, expect: allow",
            "no agent is known by sessions of role 111122223333/IncidentReviewRole",
        ),
        ("quota: { calls_concurrent: 0 }, expect: allow", "`0` is not a whole number from 1"),
    ] {
        let said = told(&format!("cases:\n  - {{ name: a, {base}, {with} }}\n"));
        assert!(said.starts_with("2:/cases/0") && said.contains(fault), "{with}: {said}");
    }
    let session = "session: { role: \"arn:aws:iam::111122223333:role/DevOpsAgentSpaceRole\", policy: { Version: x } }";
    let said = told(&format!(
        "cases:\n  - {{ name: a, space: prod-sre, tool: observability___search_logs, {session}, expect: allow }}\n"
    ));
    assert!(said.contains("/cases/0/session/policy"), "{said}");
    let said = told(
        "cases:\n  - { name: a, space: support, agent: agent-support-1, tool: helpdesk___search_kb, suppose: { external_id: aa }, expect: allow }\n",
    );
    assert!(said.contains("space `support` assumes no role of another account"), "{said}");
    let session = "credential: { scopes: mcp:read }, session: { role: \"arn:aws:iam::111122223333:role/DevOpsAgentSpaceRole\" }";
    let said = told(&format!(
        "cases:\n  - {{ name: a, space: prod-sre, tool: observability___search_logs, {session}, expect: allow }}\n"
    ));
    assert!(said.contains("a signed request has no scopes"), "{said}");
}

#[test]
fn no_name_stands_twice_in_a_list() {
    let case = "space: support, agent: agent-support-1, tool: [helpdesk___search_kb, helpdesk___search_kb], expect: allow";
    assert!(told(&format!("cases: [{{ name: a, {case} }}]")).contains("`helpdesk___search_kb` stands twice in this list"));
}

#[test]
fn without_a_lock_no_tool_is_known() {
    let organization = organization();
    let file = |text: &str| [remit_config::SourceFile { path: "tests/a.yaml".to_owned(), text: text.to_owned() }];
    let case = "cases: [{ name: a, space: support, agent: agent-support-1, tool: helpdesk___search_kb, expect: deny }]";
    let faults = cases::read(&file(case), &Known::new(&organization, None)).unwrap_err();
    assert!(faults[0].what.starts_with("there is no `tools.lock.json`") && faults[0].mend.contains("remit pins --export"));
    let case = "cases: [{ name: a, space: support, agent: agent-support-1, resource: \"kb://a\", expect: allow }]";
    assert_eq!(cases::read(&file(case), &Known::new(&organization, None)).unwrap().len(), 1);
}

#[test]
fn what_is_no_yaml_is_told_where() {
    assert!(told("cases: [").contains("this is no YAML"));
    assert!(told("cases: [{ name: \"a\\nb\", expect: allow }]").contains("the name holds a line break"));
    assert!(told("cases: {}").contains("a list of cases is expected here"));
    assert!(told("- a").contains("a mapping (a file of cases) is expected here"));
    assert_eq!(run_text("cases: []").unwrap().0.len(), 0);
    assert_eq!(run_text("").unwrap().0.len(), 0);
}

#[test]
fn more_cases_than_a_run_may_have_are_refused() {
    let tools = "[observability___search_logs, observability___get_metric, observability___open_incident, observability___restart_service]";
    let rows: String = (0..2_600).map(|n| format!("      - {{ name: n{n} }}\n")).collect();
    let text = format!(
        "cases:\n  - name: many\n    space: [support, prod-sre, finance, incident-review]\n    agent: [agent-ops-1, agent-ops-2, agent-review-1]\n    tool: {tools}\n    expect: deny\n    each:\n{rows}"
    );
    assert!(told(&text).contains("there are more than 100000 cases"));
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, cases: 128, ..ProptestConfig::default() })]

    /// A good text that is cut, or in which something else stands, is read or refused with a place in it.
    #[test]
    fn nothing_panics(at in 0.0..1.0_f64, with in "[-{}\\[\\]:,\"'a-z0-9 \n_.*]{0,12}", rest in any::<bool>()) {
        static WORLD: std::sync::LazyLock<(std::sync::Arc<remit_model::Organization>, Lock, Vec<SourceFile>)> =
            std::sync::LazyLock::new(|| (organization(), crate::lock(), crate::suite()));
        let (organization, lock, suite) = &*WORLD;
        let known = Known::new(organization, Some(lock));
        let changed = |text: &str| {
            #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, clippy::cast_precision_loss, reason = "a place, about")]
            let at = text.floor_char_boundary((text.len() as f64 * at) as usize);
            format!("{}{with}{}", &text[..at], if rest { &text[at..] } else { "" })
        };
        for file in suite {
            let text = changed(&file.text);
            // What is missing at the end is missing on the line after the last.
            let lines = text.split('\n').count() + 1;
            if let Err(faults) = cases::read(&[SourceFile { path: file.path.clone(), text }], &known) {
                prop_assert!(!faults.is_empty() && faults.iter().all(|fault| fault.line <= lines && !fault.mend.is_empty()), "{:?}", faults);
            }
        }
        if let Err(faults) = Lock::read("tools.lock.json", &changed(&lock.to_text())) {
            prop_assert!(!faults.is_empty());
        }
    }
}
