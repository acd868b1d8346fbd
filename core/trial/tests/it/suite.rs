//! The sample organization's own cases, and that each of them can fail.

use std::sync::Arc;
use std::time::Instant;

use remit_kernel::{Effect, Layer, Reason};
use remit_trial::cases::{self, Expected, Known};
use remit_trial::{Coverage, Trial};

use crate::{lock, organization, run, run_text, suite};

#[test]
fn acme_keeps_its_own_cases() {
    let (cases, outcomes, coverage) = run(&organization(), &lock(), &suite()).unwrap();
    assert!(cases.len() >= 25, "{}", cases.len());
    let failed: Vec<String> = cases
        .iter()
        .zip(&outcomes)
        .filter(|(_, outcome)| !outcome.mismatches.is_empty())
        .map(|(case, outcome)| format!("{}:{} {}: {:?}", case.file, case.line, case.name, outcome.mismatches))
        .collect();
    assert_eq!(failed, Vec::<String>::new());
    // What nobody may do isn't exercised by a call that is allowed, and what isn't about tools isn't by one about tools.
    let missed: Vec<&str> =
        coverage.units().into_iter().filter(|unit| unit.reachable && !unit.is_covered()).map(|unit| unit.name.as_str()).collect();
    assert_eq!(missed, ["resource-explorer: statement 1", "support lists publishing___publish"]);
}

#[test]
fn every_layer_that_acme_has_denies_in_some_case() {
    let (_, outcomes, _) = run(&organization(), &lock(), &suite()).unwrap();
    let denied =
        |layer: Layer| outcomes.iter().any(|outcome| outcome.decision.against().is_some_and(|denial| denial.layer == layer));
    // Acme has neither resource control policies nor a server with a resource policy, and attaches no guardrail.
    let never: Vec<&str> = Layer::ALL.iter().filter(|layer| !denied(**layer)).map(|layer| layer.as_str()).collect();
    assert_eq!(never, ["RESOURCE_CONTROL_POLICY", "RESOURCE", "GUARDRAIL"]);
}

#[test]
fn every_case_fails_when_the_opposite_is_expected() {
    let organization = organization();
    let lock = lock();
    let mut cases = cases::read(&suite(), &Known::new(&organization, Some(&lock))).unwrap();
    for case in &mut cases {
        let mut expect = (*case.expect).clone();
        expect.verdict = if expect.verdict == Expected::Allow { Expected::Deny } else { Expected::Allow };
        case.expect = Arc::new(expect);
    }
    let trial = Trial::new(&organization, Some(&lock), &cases);
    let mut coverage = Coverage::default();
    for case in &cases {
        assert!(!trial.run(case, &mut coverage).unwrap().mismatches.is_empty(), "{}", case.name);
    }
}

#[test]
fn every_key_of_an_expectation_can_fail() {
    let denied = "space: support, agent: agent-support-1, tool: helpdesk___close_ticket";
    let allowed = "space: prod-sre, agent: agent-ops-2, tool: helpdesk___get_ticket";
    for (call, right, wrong) in [
        (denied, "deny", "allow"),
        (denied, "risk_exceeds_policy", "tool_not_permitted"),
        (denied, "{ verdict: deny }", "{ verdict: allow }"),
        (denied, "{ reason: risk_exceeds_policy }", "{ reason: not_in_space }"),
        (denied, "{ layer: TOOL_POLICY }", "{ layer: SPACE }"),
        (denied, "{ effect: EXPLICIT_DENY }", "{ effect: IMPLICIT_DENY }"),
        (denied, "{ verdict: deny, statement: risk high is above }", "{ verdict: deny, statement: risk low is above }"),
        (denied, "{ verdict: deny, at: tool-policies.yaml }", "{ verdict: deny, at: policies.yaml }"),
        (denied, "{ verdict: deny, at: \"tool-policies.yaml:10\" }", "{ verdict: deny, at: \"tool-policies.yaml:1\" }"),
        (denied, "{ verdict: deny, risk: high }", "{ verdict: deny, risk: medium }"),
        (denied, "{ verdict: deny, remedy: [raise `max_risk`] }", "{ verdict: deny, remedy: [raise `max_risk`, remove] }"),
        (denied, "{ verdict: deny, layers: { SPACE: ALLOW } }", "{ verdict: deny, layers: { SPACE: NO_IMPACT } }"),
        (denied, "{ verdict: deny, layers: { TOOL_POLICY: EXPLICIT_DENY } }", "{ verdict: deny, layers: { SESSION: ALLOW } }"),
        (allowed, "allow", "deny"),
        (allowed, "{ verdict: allow, statement: ProdSreByExternalId }", "{ verdict: allow, statement: RaiseAndRestart }"),
        (allowed, "{ verdict: allow, at: trust-prod-sre.json }", "{ verdict: allow, at: prod-sre.json }"),
        (
            allowed,
            "{ verdict: allow, acts_as: arn:aws:sts::444455556666:assumed-role/DevOpsAgentSpaceRole/agent-ops-2 }",
            "{ verdict: allow, acts_as: arn:aws:sts::111122223333:assumed-role/DevOpsAgentSpaceRole/agent-ops-2 }",
        ),
    ] {
        for (expect, passes) in [(right, true), (wrong, false)] {
            let text = format!("cases: [{{ name: a, {call}, expect: {expect} }}]");
            let (_, outcomes, _) = run_text(&text).unwrap_or_else(|faults| panic!("{text}: {faults:?}"));
            assert_eq!(outcomes[0].mismatches.is_empty(), passes, "{text}: {:?}", outcomes[0].mismatches);
        }
    }
}

/// Each key of a case changes what is decided: what is accepted has effect.
#[test]
fn every_key_of_a_case_has_effect() {
    let base = "space: prod-sre, agent: agent-ops-2, tool: observability___search_logs";
    let signed = "session: { role: \"arn:aws:iam::111122223333:role/DevOpsAgentSpaceRole\" }";
    for (with, reason) in [
        ("user: riley", None),
        ("secure_transport: false", None),
        ("arguments: { query: a }", None),
        ("arguments: { query: 1 }", Some("arguments_invalid")),
        ("risk: critical", None),
        ("trust: supervised, risk: high", None),
        ("trust: probation, risk: low", None),
        ("trust: probation, risk: high", Some("trust_tier")),
        ("credential: none", Some("unauthenticated")),
        ("credential: { space: finance }", Some("audience")),
        ("credential: { expired: true }", Some("unauthenticated")),
        ("credential: { revoked: true }", Some("revoked")),
        ("credential: { issued_at: \"2026-01-15T11:00:00Z\" }", None),
        ("quota: { calls_concurrent: 5 }", Some("quota_exceeded")),
        ("quota: { calls_per_minute: 61 }", Some("quota_exceeded")),
        ("unknown: [quota]", Some("could_not_decide")),
        ("suppose: { mandate: READ_ONLY }", None),
        ("suppose: { organizational_unit: ou-no-agents }", Some("service_control_policy")),
        ("suppose: { role: \"arn:aws:iam::111122223333:role/IncidentReviewRole\" }", Some("role_trust")),
        ("suppose: { region: eu-west-3 }", Some("role_trust")),
        ("suppose: { external_id: another }", None),
    ] {
        let expect = reason.unwrap_or("allow");
        let text = format!("cases: [{{ name: a, {base}, {with}, expect: {expect} }}]");
        let (_, outcomes, _) = run_text(&text).unwrap_or_else(|faults| panic!("{text}: {faults:?}"));
        assert_eq!(outcomes[0].mismatches, Vec::new(), "{text}");
    }
    // Acme has no budget: there is none that could be used up.
    let faults =
        run_text(&format!("cases: [{{ name: a, {base}, budgets_used_up: calls, expect: budget_exceeded }}]")).unwrap_err();
    assert!(faults.iter().any(|fault| fault.what.contains("there is no budget `calls`")), "{faults:?}");
    let text = format!(
        "cases: [{{ name: a, space: prod-sre, tool: observability___search_logs, {signed}, expect: {{ verdict: allow, acts_as: arn:aws:sts::111122223333:assumed-role/DevOpsAgentSpaceRole/session }} }}]"
    );
    assert_eq!(run_text(&text).unwrap().1[0].mismatches, Vec::new());
}

/// Facts that only a policy can see: a control policy asks for each of them.
#[test]
fn policies_see_address_time_transport_and_tags() {
    let condition = |condition: &str| {
        let mut files = crate::sources();
        let policy = files.iter_mut().find(|file| file.path.ends_with("only-our-regions.json")).unwrap();
        policy.text = format!(
            r#"{{"Version":"2012-10-17","Statement":[{{"Sid":"S","Effect":"Deny","Action":"mcp:CallTool","Resource":"*","Condition":{condition}}}]}}"#
        );
        Arc::new(remit_config::read(&files).unwrap().organization)
    };
    let session = "session: { role: \"arn:aws:iam::111122223333:role/DevOpsAgentSpaceRole\"";
    for (asked, passes, denied) in [
        (r#"{"NotIpAddress":{"aws:SourceIp":"198.51.100.0/24"}}"#, "source_ip: 198.51.100.7", "source_ip: 203.0.113.7"),
        // An address that isn't named is unknown, and a condition that can't be told denies.
        (r#"{"NotIpAddress":{"aws:SourceIp":"198.51.100.0/24"}}"#, "source_ip: 198.51.100.8", "risk: low"),
        (r#"{"Bool":{"aws:SecureTransport":"false"}}"#, "secure_transport: true", "secure_transport: false"),
        (
            r#"{"DateGreaterThan":{"aws:CurrentTime":"2026-02-01T00:00:00Z"}}"#,
            "at: \"2026-01-31T23:59:59Z\"",
            "at: \"2026-02-01T00:00:01Z\"",
        ),
        (
            r#"{"DateLessThan":{"aws:TokenIssueTime":"2026-01-15T11:30:00Z"}}"#,
            "risk: low",
            "credential: { issued_at: \"2026-01-15T11:00:00Z\" }",
        ),
        (r#"{"StringNotEquals":{"mcp:User":"riley"}}"#, "user: riley", "user: sam"),
        (
            r#"{"StringEquals":{"aws:PrincipalTag/shift":"night"}}"#,
            &format!("{session}, tags: {{ shift: day }} }}"),
            &format!("{session}, tags: {{ shift: night }} }}"),
        ),
        (
            r#"{"StringEquals":{"aws:PrincipalTag/shift":"night"}}"#,
            &format!("{session} }}"),
            &format!("{session}, transitive_tags: {{ shift: night }} }}"),
        ),
        (
            r#"{"StringEquals":{"aws:SourceIdentity":"sam"}}"#,
            &format!("{session}, source_identity: riley }}"),
            &format!("{session}, source_identity: sam }}"),
        ),
    ] {
        let organization = condition(asked);
        for (with, expect) in [(passes, "allow"), (denied, "service_control_policy")] {
            let text = format!(
                "cases: [{{ name: a, space: prod-sre, agent: agent-ops-1, tool: observability___search_logs, {with}, expect: {expect} }}]"
            );
            let file = remit_config::SourceFile { path: "tests/a.yaml".to_owned(), text: text.clone() };
            let (_, outcomes, _) = run(&organization, &lock(), &[file]).unwrap_or_else(|faults| panic!("{text}: {faults:?}"));
            assert_eq!(outcomes[0].mismatches, Vec::new(), "{asked} {text}");
        }
    }
}

#[test]
fn every_word_of_the_kernel_can_be_expected() {
    // The derived readers know every variant; what they would take must be in the lists that cases are read by.
    fn known<T: serde::de::DeserializeOwned>() -> Vec<String> {
        let error = serde_json::from_str::<T>("\"?\"").map(|_| ()).unwrap_err().to_string();
        error.split('`').skip(3).step_by(2).map(str::to_owned).collect()
    }
    let words = |all: Vec<&str>| all.into_iter().map(str::to_owned).collect::<Vec<_>>();
    assert_eq!(known::<Layer>(), words(Layer::ALL.iter().map(|layer| layer.as_str()).collect()));
    assert_eq!(known::<Reason>(), words(Reason::ALL.iter().map(|reason| reason.as_str()).collect()));
    assert_eq!(known::<Effect>(), words(Effect::ALL.iter().map(|effect| effect.as_str()).collect()));
}

/// A table of many cases is read and run; with `--nocapture` it says how fast, which only an optimized build tells:
/// `cargo test -p remit-trial --profile quick --test it -- --nocapture many_cases`.
#[test]
fn many_cases_are_run_at_once() {
    let rows: String =
        (0..2_000).map(|n| format!("      - {{ name: n{n}, arguments: {{ query: \"q{n}\" }}, expect: allow }}\n")).collect();
    let text = format!(
        "cases:\n  - name: many\n    space: prod-sre\n    agent: agent-ops-2\n    tool: observability___search_logs\n    each:\n{rows}"
    );
    let file = remit_config::SourceFile { path: "tests/a.yaml".to_owned(), text };
    for (what, files) in [("alike", vec![file]), ("of Acme", suite())] {
        let (organization, lock) = (organization(), lock());
        let started = Instant::now();
        let cases = cases::read(&files, &Known::new(&organization, Some(&lock))).unwrap();
        let read = started.elapsed();
        let started = Instant::now();
        let trial = Trial::new(&organization, Some(&lock), &cases);
        let compiled = started.elapsed();
        let mut coverage = Coverage::of(&organization, &crate::sources());
        let (mut done, started) = (0_u32, Instant::now());
        while done < 2_000 {
            assert!(cases.iter().all(|case| trial.run(case, &mut coverage).unwrap().mismatches.is_empty()));
            done += u32::try_from(cases.len()).unwrap();
        }
        let rate = f64::from(done) / started.elapsed().as_secs_f64();
        println!("{} cases {what}: read in {read:?}, compiled in {compiled:?}, {rate:.0} decided a second", cases.len());
    }
}
