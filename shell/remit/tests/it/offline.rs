//! What works without a gateway: pins as code, an organization's own cases.

use std::path::{Path, PathBuf};

use crate::aws::acme;
use crate::client::json;
use crate::gateway::{Remit, Said, remit, until};

/// The sample organization, as it lies in the repository.
pub(crate) fn example() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples/acme")
}

fn check(directory: &Path) -> Said {
    remit(&["check", directory.to_str().unwrap()], None)
}

#[test]
fn the_lock_of_the_sample_organization_is_what_its_servers_show() {
    let place = acme(&[]);
    assert_eq!(place.cli_with(&["secret", "set", "ledger-api-key"], Some("any-value")).code, 0);
    let remit_up = Remit::up_at(place, &[]);
    let file = remit_up.place().root().join("tools.lock.json");
    until("every server is pinned", || {
        let said = remit_up.place().cli(&["pins", "--export", file.to_str().unwrap(), "--json"]);
        assert_eq!(said.code, 0, "{said:?}");
        json(&said.out)["servers"] == 5
    });
    let shown = std::fs::read_to_string(&file).unwrap();
    remit_up.stop();
    let kept = example().join("tools.lock.json");
    if std::env::var_os("UPDATE").is_some() {
        std::fs::write(&kept, &shown).unwrap();
    }
    assert!(
        std::fs::read_to_string(&kept).unwrap() == shown,
        "the sample servers show other tools: UPDATE=1 cargo nextest run -p remit -E 'test(the_lock_of_the_sample)'"
    );
    let said = check(&example());
    assert!(said.code == 0 && said.out.starts_with("ok: ") && said.out.contains("20 tools locked"), "{said:?}");
}

#[test]
fn a_lock_is_checked_with_its_directory() {
    let place = acme(&[]);
    let lock = place.config().join("tools.lock.json");
    let text = std::fs::read_to_string(&lock).unwrap();
    std::fs::write(&lock, text.replace("444455556666/helpdesk", "444455556666/helpdesk-2")).unwrap();
    let said = check(&place.config());
    assert_eq!(said.code, 0, "{said:?}");
    assert!(said.out.contains("warning: the directory has no server 444455556666/helpdesk-2"), "{}", said.out);
    assert!(said.out.contains("warning: server 444455556666/helpdesk is not in here"), "{}", said.out);
    // A tool that its server no longer has, and one whose class is above the mandate.
    std::fs::write(&lock, text.replace("search_logs", "search_traces").replace("\"sha256:", "\"sha256:0")).unwrap();
    let said = check(&place.config());
    assert!(
        said.code == 3 && said.out.contains("the digest doesn't fit the definition") && said.out.contains("remit pins --export"),
        "{said:?}"
    );
    std::fs::write(&lock, "{").unwrap();
    let said = remit(&["check", place.config().to_str().unwrap(), "--json"], None);
    assert!(said.code == 3 && json(&said.out)["faults"][0]["file"] == "tools.lock.json", "{said:?}");
    std::fs::remove_file(&lock).unwrap();
    let said = check(&place.config());
    assert!(said.code == 0 && !said.out.contains("locked"), "{said:?}");
}

/// A copy of the sample organization with one file of cases.
fn with_cases(cases: &str) -> crate::gateway::Place {
    let place = acme(&[]);
    std::fs::remove_dir_all(place.config().join("tests")).unwrap();
    std::fs::create_dir(place.config().join("tests")).unwrap();
    std::fs::write(place.config().join("tests/own.yaml"), cases).unwrap();
    place
}

fn tested(directory: &Path, more: &[&str]) -> Said {
    remit(&[&["test", directory.to_str().unwrap()], more].concat(), None)
}

#[test]
fn without_a_directory_the_sample_organizations_cases_run() {
    let said = remit(&["test", "--coverage-min", "90"], None);
    assert!(said.code == 0 && said.out.contains("0 failed") && said.out.contains("examples/acme/tests/support.yaml"), "{said:?}");
    assert!(said.out.contains("  ok    the knowledge base is searched\n"), "{}", said.out);
    // What is embedded is what lies in the repository: as many cases, as much of it exercised.
    let [embedded, read] = [remit(&["test", "--json"], None), tested(&example(), &["--json"])].map(|said| json(&said.out));
    assert!(embedded["passed"].as_u64() > Some(25) && embedded["ok"] == true, "{embedded}");
    assert_eq!((&embedded["passed"], &embedded["coverage"]), (&read["passed"], &read["coverage"]));
    assert_eq!(embedded["cases"].as_array().unwrap().len(), read["cases"].as_array().unwrap().len());
}

#[test]
fn a_case_that_fails_is_told_with_what_was_said_and_where() {
    let place = with_cases(
        "cases:\n  - name: closing\n    space: support\n    agent: agent-support-1\n    tool: helpdesk___close_ticket\n    expect: allow\n  - { name: drafting, space: support, agent: agent-support-2, tool: publishing___draft, expect: { verdict: deny, layer: SPACE } }\n  - { name: fine, space: support, agent: agent-support-2, tool: publishing___publish, expect: deny }\n",
    );
    let said = tested(&place.config(), &[]);
    assert_eq!(said.code, 1, "{said:?}");
    for line in [
        "own.yaml:2\n",
        "          expected: allow\n          said:     deny risk_exceeds_policy, by\n",
        "TOOL_POLICY             EXPLICIT_DENY risk high is above risk_max medium: tool policy (agent-support-1, helpdesk___close_ticket) allows, risk_max medium  [tool-policies.yaml:10]\n",
        "          to allow it: raise `max_risk` of the row to high, or have the tool's risk lowered  [tool-policies.yaml:10]\n",
        "own.yaml:7\n          expected: deny SPACE\n          said:     allow, by\n",
        "  ok    fine\n",
        "3 cases: 1 passed, 2 failed;",
    ] {
        assert!(said.out.contains(line), "{line}\n{}", said.out);
    }
    let told = json(&tested(&place.config(), &["--json"]).out);
    assert_eq!((&told["ok"], &told["passed"], &told["failed"]), (&false.into(), &1.into(), &2.into()), "{told}");
    let first = &told["cases"][0];
    assert_eq!((&first["line"], &first["verdict"], &first["reason"]), (&2.into(), &"deny".into(), &"risk_exceeds_policy".into()));
    assert!(first["mismatches"][0]["key"] == "verdict" && first["layers"].as_array().unwrap().len() > 5, "{first}");
    // Who stops reading doesn't make them pass.
    let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_remit"));
    let mut unread = command.arg("test").arg(place.config()).stdout(std::process::Stdio::piped()).spawn().unwrap();
    drop(unread.stdout.take());
    assert_eq!(unread.wait().unwrap().code(), Some(1));
    // A filter leaves the others out; one that fits nothing must not pass for everything passing.
    assert_eq!(tested(&place.config(), &["--filter", "fine"]).code, 0);
    let said = tested(&place.config(), &["--filter", "fein"]);
    assert!(said.code == 3 && said.err.contains("none of 3 cases holds `fein`"), "{said:?}");
}

#[test]
fn faulty_cases_and_none_at_all_are_invalid() {
    let place =
        with_cases("cases:\n  - { name: a, space: suport, agent: agent-support-1, tool: helpdesk___search_kb, expect: allow }\n");
    let said = tested(&place.config(), &[]);
    assert!(
        said.code == 3 && said.out.starts_with("tests/own.yaml:2:23: there is no space `suport`; did you mean `support`?"),
        "{said:?}"
    );
    let told = json(&tested(&place.config(), &["--json"]).out);
    assert!(told["ok"] == false && told["faults"][0]["pointer"] == "/cases/0/space", "{told}");
    std::fs::remove_file(place.config().join("tests/own.yaml")).unwrap();
    let said = tested(&place.config(), &[]);
    assert!(said.code == 3 && said.err.contains("there are no cases"), "{said:?}");
    // What lies in a folder of `tests/` is run too.
    std::fs::create_dir(place.config().join("tests/more")).unwrap();
    std::fs::write(
        place.config().join("tests/more/own.yml"),
        "cases: [{ name: a, space: support, agent: agent-support-1, tool: helpdesk___search_kb, expect: deny }]\n",
    )
    .unwrap();
    let said = tested(&place.config(), &[]);
    assert!(said.code == 1 && said.out.contains("tests/more/own.yml:1\n"), "{said:?}");
    std::fs::remove_dir_all(place.config().join("tests/more")).unwrap();
    std::fs::write(place.config().join("tests/own.yaml"), "cases: []\n").unwrap();
    assert_eq!(tested(&place.config(), &[]).code, 3);
    std::fs::remove_file(place.config().join("tools.lock.json")).unwrap();
    std::fs::write(
        place.config().join("tests/own.yaml"),
        "cases: [{ name: a, space: support, agent: agent-support-1, tool: helpdesk___search_kb, expect: deny }]\n",
    )
    .unwrap();
    let said = tested(&place.config(), &[]);
    assert!(said.code == 3 && said.out.contains("there is no `tools.lock.json` beside the configuration"), "{said:?}");
    // Cases are no configuration: a fault in them is none of it.
    assert_eq!(check(&place.config()).code, 0);
}

#[test]
fn coverage_is_shown_written_and_asked_for() {
    let place =
        with_cases("cases: [{ name: a, space: support, agent: agent-support-1, tool: helpdesk___search_kb, expect: allow }]\n");
    let (trace, whole) = (place.root().join("lcov.info"), place.root().join("coverage.json"));
    let files = ["--lcov", trace.to_str().unwrap(), "--coverage-json", whole.to_str().unwrap()];
    let said = tested(&place.config(), &[&files[..], &["--coverage", "--coverage-min", "50"]].concat());
    assert!(said.code == 1 && said.err.contains("% is less than --coverage-min 50"), "{said:?}");
    assert!(
        said.out.contains("✗       0        0   tool policy            (agent-support-1, helpdesk___get_ticket)"),
        "{}",
        said.out
    );
    assert!(
        said.out.contains("        1        0   tool policy            (agent-support-1, helpdesk___search_kb)"),
        "{}",
        said.out
    );
    let config = place.config();
    let lcov = std::fs::read_to_string(&trace).unwrap();
    assert!(
        lcov.contains(&format!("SF:{}/tool-policies.yaml\n", config.display())) && lcov.contains("DA:5,1\nDA:6,0\n"),
        "{lcov}"
    );
    // Each file of the trace is one that is there, and each line one that it has.
    for record in lcov.split("end_of_record\n").filter(|record| !record.is_empty()) {
        let file = record.lines().find_map(|line| line.strip_prefix("SF:")).unwrap();
        let lines = std::fs::read_to_string(file).unwrap().lines().count();
        let of = |line: &str| line.strip_prefix("DA:")?.split_once(',')?.0.parse::<usize>().ok();
        assert!(record.lines().filter_map(of).all(|line| line <= lines), "{record}");
    }
    let units = json(&std::fs::read_to_string(&whole).unwrap());
    let row =
        units["units"].as_array().unwrap().iter().find(|unit| unit["name"] == "(agent-support-1, helpdesk___search_kb)").unwrap();
    assert_eq!((&row["decided"], &row["kind"], &row["line"]), (&1.into(), &"tool policy".into(), &5.into()));
    assert_eq!(tested(&place.config(), &["--coverage-min", "1"]).code, 0);
}

#[test]
fn the_schemas_are_printed_and_written_as_they_are_published() {
    let place = acme(&[]);
    // A folder whose name begins with a dot is no part of the configuration beside which it lies.
    let into = place.config().join(".schemas");
    let said = remit(&["schema", "--write", into.to_str().unwrap(), "--json"], None);
    assert_eq!((said.code, json(&said.out)["written"].as_array().map(Vec::len)), (0, Some(3)), "{said:?}");
    let published = example().join("../../docs/schemas");
    for (which, name) in [("configuration", "configuration"), ("cases", "cases"), ("lock", "tools.lock")] {
        let name = format!("{name}.schema.json");
        let text = std::fs::read_to_string(published.join(&name)).unwrap();
        let stale = "stale: cargo run -- schema --write docs/schemas";
        assert!(std::fs::read_to_string(into.join(&name)).unwrap() == text, "{name}: {stale}");
        assert!(remit(&["schema", which], None).out == text, "{name}: {stale}");
    }
    assert!(remit(&["schema"], None).out.contains("Remit configuration"));
    assert_eq!(check(&place.config()).code, 0);
    let said = remit(&["schema", "cases.json"], None);
    assert!(said.code == 3 && said.err.contains("configuration, cases or lock"), "{said:?}");
}

/// Every agent and every tool of every space: what is decided offline, with what the lock knows of the tools, is what a gateway decides that
/// asked the servers themselves; every layer's word and its place too.
#[test]
fn what_is_decided_offline_is_what_the_gateway_decides() {
    let place = acme(&[]);
    assert_eq!(place.cli_with(&["secret", "set", "ledger-api-key"], Some("any-value")).code, 0);
    let agents: Vec<String> = ["support-1", "support-2", "ops-1", "ops-2", "review-1", "finance-1", "finance-2"]
        .map(|name| format!("agent-{name}"))
        .into();
    let tools = [
        (
            "support",
            [
                "helpdesk___search_kb",
                "helpdesk___close_ticket",
                "helpdesk___delete_ticket",
                "publishing___publish",
                "publishing___draft",
            ],
        ),
        (
            "prod-sre",
            [
                "observability___search_logs",
                "observability___restart_service",
                "deployments___apply",
                "deployments___rollback",
                "helpdesk___get_ticket",
            ],
        ),
        (
            "incident-review",
            [
                "observability___search_logs",
                "observability___get_metric",
                "observability___restart_service",
                "deployments___plan",
                "helpdesk___get_ticket",
            ],
        ),
        (
            "finance",
            [
                "ledger___get_account",
                "ledger___list_transactions",
                "ledger___refund",
                "ledger___transfer",
                "ledger___close_account",
            ],
        ),
    ];
    // Nothing is ever denied for this reason here: each case tells all that was said.
    let case = |space: &str, tools: &[&str]| {
        format!(
            "  - {{ name: {space}, space: {space}, agent: [{}], tool: [{}], expect: arguments_invalid }}\n",
            agents.join(", "),
            tools.join(", ")
        )
    };
    let cases: String = tools.iter().map(|(space, tools)| case(space, tools)).collect();
    std::fs::remove_dir_all(place.config().join("tests")).unwrap();
    std::fs::create_dir(place.config().join("tests")).unwrap();
    std::fs::write(place.config().join("tests/all.yaml"), format!("cases:\n{cases}")).unwrap();
    let offline = json(&tested(&place.config(), &["--json"]).out);
    let offline = offline["cases"].as_array().unwrap();
    assert_eq!(offline.len(), 4 * 7 * 5);
    let remit_up = Remit::up_at(place, &[]);
    for server in ["helpdesk", "publishing", "observability", "deployments", "ledger"] {
        remit_up.until_server(server, "ready");
    }
    let mut allowed = 0;
    for case in offline {
        let (space, tool) = (case["space"].as_str().unwrap(), case["asked"].as_str().unwrap());
        let agent = case["name"].as_str().unwrap().split_once('[').unwrap().1.split(',').next().unwrap();
        let said = remit_up.place().cli(&["explain", "--agent", agent, "--space", space, "--tool", tool, "--json"]);
        let online = json(&said.out);
        assert_eq!(
            online["verdict"].as_str().unwrap().to_ascii_lowercase(),
            case["verdict"],
            "{agent} {tool} in {space}: {said:?}"
        );
        assert!(case["layers"].as_array().is_some_and(|layers| layers.len() >= 4), "{case}");
        assert_eq!(online["layers"], case["layers"], "{agent} {tool} in {space}");
        allowed += usize::from(case["verdict"] == "allow");
    }
    assert!(allowed > 10, "{allowed}");
    remit_up.stop();
}
