//! What cases exercised, and only that.

use remit_trial::Coverage;
use remit_trial::cover::Unit;

use crate::{organization, run_text, sources};

fn counted(coverage: &Coverage) -> Vec<String> {
    let told = |unit: &&Unit| format!("{} {}:{} {}/{}", unit.name, unit.file, unit.line, unit.decided, unit.contributed);
    coverage.units().iter().filter(|unit| unit.is_covered()).map(told).collect()
}

#[test]
fn an_allowed_call_exercises_every_statement_that_allows_it() {
    let (_, _, coverage) =
        run_text("cases: [{ name: a, space: prod-sre, agent: agent-ops-2, tool: helpdesk___get_ticket, expect: allow }]")
            .unwrap();
    assert_eq!(
        counted(&coverage),
        [
            "DevOpsAgentSpaceRole: ProdSreByExternalId policies/trust-prod-sre-from-support.json:4 1/0",
            "DevOpsAgentSpaceRole: OnlyThisSpace policies/trust-prod-sre.json:4 1/0",
            "act-in-incidents: ReadTicketsOfSupport roles.yaml:22 0/1",
            "prod-sre lists helpdesk___get_ticket spaces.yaml:34 1/0",
            "(agent-ops-2, helpdesk___*) tool-policies.yaml:28 1/0",
        ]
    );
}

#[test]
fn a_denied_call_exercises_what_denies_and_nothing_that_would_have_allowed() {
    let (_, _, coverage) =
        run_text("cases: [{ name: a, space: finance, agent: agent-finance-2, tool: ledger___transfer, expect: deny }]").unwrap();
    assert_eq!(counted(&coverage), ["OnlyTreasuryTransfers: DenyTransfersToOthers policies/only-treasury-transfers.json:4 1/0"]);
    // A later layer's statement that denies too applied, and didn't decide.
    let (_, _, coverage) = run_text(
        "cases: [{ name: a, space: support, agent: agent-support-2, tool: publishing___publish, risk: critical, suppose: { organizational_unit: ou-no-agents }, expect: deny }]",
    )
    .unwrap();
    assert_eq!(
        counted(&coverage),
        [
            "DenyWhenAccessedViaMCP: DenyWhenAccessedViaMCP policies/deny-when-accessed-via-mcp.json:4 1/0",
            "(agent-support-2, publishing___publish) tool-policies.yaml:19 0/1"
        ]
    );
}

#[test]
fn nothing_is_exercised_without_a_case() {
    let coverage = Coverage::of(&organization(), &sources());
    let (covered, all) = coverage.counts();
    assert_eq!((covered, coverage.share()), (0, 0));
    assert!(all > 50, "{all}");
    assert!(
        coverage.units().iter().any(|unit| !unit.reachable && unit.name == "operate: Operate"),
        "nobody calls tools as a user"
    );
    assert_eq!(Coverage::default().share(), 10_000);
}

#[test]
fn the_trace_file_names_lines_of_the_configuration() {
    let (_, _, coverage) = run_text(
        "cases: [{ name: a, space: support, agent: agent-support-1, tool: [helpdesk___get_ticket, helpdesk___search_kb], expect: allow }]",
    )
    .unwrap();
    let lcov = coverage.lcov("acme/");
    let of = |file: &str| {
        lcov.split("end_of_record\n").find(|record| record.contains(&format!("SF:acme/{file}\n"))).unwrap().to_owned()
    };
    let rows = of("tool-policies.yaml");
    assert!(
        rows.contains("FN:5,tool policy (agent-support-1, helpdesk___search_kb)\n") && rows.contains("DA:5,1\nDA:6,1\nDA:7,0\n"),
        "{rows}"
    );
    assert!(rows.ends_with("LF:19\nLH:2\n"), "{rows}");
    // Several tools stand on one line: it was reached as often as all of them together.
    assert!(of("spaces.yaml").contains("DA:13,2\n"));
    assert!(!lcov.contains("operate: Operate"), "what no call reaches is no line that was missed");
    for record in lcov.split_inclusive("end_of_record\n") {
        assert!(record.starts_with("TN:remit\nSF:acme/"), "{record}");
    }
}

#[test]
fn policies_of_a_set_count_where_they_decide_where_they_apply_and_nowhere_else() {
    let of_set = |cases: &str| -> Vec<String> {
        let (_, outcomes, coverage) =
            run_text(&format!("defaults: {{ space: finance, agent: agent-finance-1, approved: true }}\ncases:\n{cases}"))
                .unwrap();
        for outcome in outcomes {
            assert!(outcome.mismatches.is_empty(), "{:?}", outcome.mismatches);
        }
        let units = coverage.units().into_iter().filter(|unit| unit.kind == "policy set" && unit.is_covered());
        units.map(|unit| format!("{} {} {}/{}", unit.name, unit.denies, unit.decided, unit.contributed)).collect()
    };
    let known = "after: [{ tool: ledger___get_account, arguments: { account_id: ACC-2001 }, result: { id: ACC-2001 } }]";
    let transfer = |after: &str, cents: u64, expect: &str| {
        format!(
            "  - {{ name: a, tool: ledger___transfer, {after}arguments: {{ from: ACC-2001, to: ACC-2002, amount_cents: {cents}, memo: rent }}, expect: {expect} }}\n"
        )
    };
    assert_eq!(of_set(&transfer(&format!("{known}, "), 100, "allow")), ["transfer-from-a-known-account false 1/0"]);
    let cases = transfer(&format!("{known}, "), 100, "allow");
    let (_, _, coverage) =
        run_text(&format!("defaults: {{ space: finance, agent: agent-finance-1, approved: true }}\ncases:\n{cases}")).unwrap();
    let lcov = coverage.lcov("");
    let policy = coverage.units().into_iter().find(|unit| unit.name == "transfer-from-a-known-account").unwrap();
    let of_file = lcov.split("end_of_record\n").find(|record| record.contains("SF:policies/finance.dw\n")).unwrap();
    assert!(
        of_file.contains("FNDA:1,policy set transfer-from-a-known-account\n") && of_file.contains("FNF:5\nFNH:1\n"),
        "{of_file}"
    );
    assert!(of_file.contains(&format!("DA:{},1\n", policy.line)), "{of_file}");
    // What is only logged never decides, and counts where it applied.
    assert_eq!(
        of_set(&transfer(&format!("{known}, "), 1_000_001, "allow")),
        ["transfer-from-a-known-account false 1/0", "trial-no-large-transfers true 0/1"]
    );
    // Nothing permits: no policy is why.
    assert_eq!(of_set(&transfer("", 100, "deny")), Vec::<String>::new());
    // Without arguments there is nothing to judge, so nothing is exercised.
    assert_eq!(of_set("  - { name: a, tool: ledger___get_account, expect: allow }"), Vec::<String>::new());
    // A permit of a call that another layer denies had no way to go.
    let denied =
        "  - { name: a, agent: agent-finance-2, tool: ledger___refund, arguments: { transaction_id: TXN-3001 }, expect: deny }";
    assert_eq!(of_set(denied), Vec::<String>::new());
    let day = format!(
        "after: [{{ tool: ledger___get_account, arguments: {{ account_id: ACC-2001 }}, result: {{ id: ACC-2001 }} }}{}], ",
        ", { tool: ledger___transfer, arguments: { from: ACC-2001, to: ACC-2002, amount_cents: 5000000, memo: rent } }".repeat(4)
    );
    assert_eq!(of_set(&transfer(&day, 100, "deny")), ["a-day's-total true 1/0"]);
}
