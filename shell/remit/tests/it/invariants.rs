//! Invariants: the sample organization's own hold; what breaks one is refused everywhere, with the call that shows it.

use std::path::Path;
use std::process::Command;

use serde_json::{Value, json};

use crate::aws::{acme, python_environment};
use crate::client::json as parsed;
use crate::gateway::{Place, Remit, config, remit as run};
use crate::offline::example;
use crate::upstream::{Era, Upstream};

fn check(directory: &Path) -> (i32, Value) {
    check_with("/nowhere/cvc5", directory)
}

/// The same, with a solver.
fn check_with(solver: &str, directory: &Path) -> (i32, Value) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_remit"));
    let done = command.args(["check", directory.to_str().unwrap(), "--json"]).env("REMIT_CVC5", solver).output().unwrap();
    assert!(!done.stdout.is_empty(), "{done:?}");
    (done.status.code().unwrap(), parsed(&String::from_utf8(done.stdout).unwrap()))
}

/// The solver as the guide installs it, as `REMIT_CVC5` names it.
fn solver() -> String {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples/solver").canonicalize().unwrap();
    let root = Path::new(env!("CARGO_TARGET_TMPDIR")).join("peers-solver");
    std::fs::create_dir_all(&root).unwrap();
    let lock = std::fs::File::create(root.join("lock")).unwrap();
    lock.lock().unwrap();
    python_environment(&root, &source.join("requirements.txt"), &[]);
    format!("{} {}", root.join("venv/bin/python").display(), source.join("solve.py").display())
}

/// Changes a text in a file of a copy; it must be there.
fn change(place: &Place, file: &str, from: &str, to: &str) {
    let path = place.config().join(file);
    let text = std::fs::read_to_string(&path).unwrap();
    assert!(text.contains(from), "{file} has no `{from}`");
    std::fs::write(path, text.replace(from, to)).unwrap();
}

fn found<'a>(told: &'a Value, name: &str) -> &'a Value {
    let all = told["invariants"].as_array().unwrap();
    all.iter().find(|one| one["invariant"] == name).unwrap_or_else(|| panic!("{told}"))
}

const MONEY: &str = "only the treasury's agent moves money";
const CAP: &str = "nobody moves more than 50,000.00 at once";
const BACK: &str = "nobody pulls money back by a transfer";
const ROWS: &str = "tool_policies:\n";

#[test]
fn the_sample_organization_s_invariants_hold() {
    let (code, told) = check(&example());
    assert_eq!((code, &told["invariants_violated"]), (0, &json!(0)), "{told}");
    let all = told["invariants"].as_array().unwrap();
    assert_eq!(all.len(), 5);
    let held = |one: &&Value| one["standing"] == "holds";
    let open: Vec<&Value> = all.iter().filter(|one| !held(one)).map(|one| &one["invariant"]).collect();
    assert_eq!(open, [CAP, BACK], "what takes a solver is unknown without one: {told}");
    assert!(found(&told, CAP)["open"][0]["why"].as_str().unwrap().contains("install cvc5 1.3.1"), "{told}");
    let (code, told) = check_with(&solver(), &example());
    assert_eq!(code, 0, "{told}");
    assert!(told["invariants"].as_array().unwrap().iter().all(|one| one["standing"] == "holds"), "{told}");
    assert_eq!(found(&told, CAP)["proved"], 1, "{told}");
    assert_eq!(found(&told, MONEY)["examined"], 2, "one agent, two tools: {told}");
    let said = run(&["check", example().to_str().unwrap()], None);
    assert!(said.out.contains(&format!("ok {MONEY}: none of 2 combinations")), "{}", said.out);
    // Without the lock nobody knows the tools, so what no row rules out isn't shown.
    let place = acme(&[]);
    std::fs::remove_file(place.config().join("tools.lock.json")).unwrap();
    let (code, told) = check(&place.config());
    assert_eq!(code, 0, "what is unknown is told, and is no violation: {told}");
    assert_eq!(found(&told, MONEY)["standing"], "holds", "no row of another agent names such a tool: {told}");
    change(
        &place,
        "tool-policies.yaml",
        ROWS,
        "tool_policies:\n  - { agent: agent-finance-2, tool: ledger___refund, max_risk: high }\n",
    );
    let (code, told) = check(&place.config());
    assert_eq!((code, &found(&told, MONEY)["standing"]), (0, &json!("unknown")), "{told}");
}

#[test]
fn money_is_kept_by_three_layers_and_lost_with_the_last() {
    let place = acme(&[]);
    let standing = |of: &str| {
        let (code, told) = check(&place.config());
        assert_eq!(found(&told, MONEY)["standing"], of, "{told}");
        assert_eq!(code, if of == "violated" { 3 } else { 0 });
        told
    };
    // A row: a service control policy asks for the treasury's tag.
    change(
        &place,
        "tool-policies.yaml",
        ROWS,
        "tool_policies:\n  - { agent: agent-finance-2, tool: \"ledger___*\", max_risk: critical }\n",
    );
    standing("holds");
    // The tag too: the policy set still decides by arguments and history.
    let tagged = "- id: agent-finance-2\n    tags: { team: treasury }\n";
    change(&place, "agents.yaml", "- id: agent-finance-2\n", tagged);
    let told = standing("violated");
    let call = &found(&told, MONEY)["counterexample"];
    assert_eq!(
        (&call["tool"], &call["arguments"]),
        (&json!("ledger___refund"), &json!({"transaction_id": "TXN-0000"})),
        "{call}"
    );
    // Without the permit of refunds, a transfer is left, which the past decides.
    let path = place.config().join("policies/finance.dw");
    let text = std::fs::read_to_string(&path).unwrap();
    let start = text.find("@id(\"three-refunds-an-hour\")").unwrap();
    let end = start + text[start..].find(';').unwrap() + 1;
    std::fs::write(&path, format!("{}{}", &text[..start], &text[end..])).unwrap();
    let told = standing("unknown");
    let open = found(&told, MONEY)["open"][0].clone();
    assert!(open["agent"] == "agent-finance-2" && open["why"].as_str().unwrap().contains("policy set"), "{open}");
    // The policy set loosened: it is possible.
    std::fs::write(place.config().join("policies/finance.dw"), "@id(\"anything\") permit (principal, action, resource);\n")
        .unwrap();
    let told = standing("violated");
    let call = &found(&told, MONEY)["counterexample"];
    assert_eq!((&call["agent"], &call["space"]), (&json!("agent-finance-2"), &json!("finance")), "{call}");
    assert!(["ledger___refund", "ledger___transfer"].contains(&call["tool"].as_str().unwrap()), "{call}");
    let at = call["because"].as_array().unwrap().iter().filter_map(|one| one["at"].as_str());
    assert!(at.into_iter().any(|at| at.starts_with("tool-policies.yaml:")), "{call}");
    let said = run(&["check", place.config().to_str().unwrap()], None);
    assert!(said.code == 3 && said.out.contains(&format!("! {MONEY} is VIOLATED  [invariants.yaml:")), "{said:?}");
    assert!(said.out.contains("agent-finance-2 in space finance calls ledger___"), "{}", said.out);
}

#[test]
fn what_is_said_of_arguments_is_broken_by_a_call_with_them() {
    let solver = solver();
    let policy = "when { context.input.amount_cents <= 5000000 }";
    let looked = "when temporal { formerly within 1h AgentCore::Action::\"ledger___get_account\"::response{ output.id: context.input.from } };";
    // The bound raised: such a call passes after its account was looked at, which nobody has done yet.
    let place = acme(&[]);
    change(&place, "policies/finance.dw", policy, "when { context.input.amount_cents <= 9000000 }");
    let (code, told) = check_with(&solver, &place.config());
    let why = found(&told, CAP)["open"][0]["why"].as_str().unwrap();
    assert_eq!((code, &found(&told, CAP)["standing"]), (0, &json!("unknown")), "{told}");
    assert!(why.contains("it depends on what came before") && why.contains("\"amount_cents\":5000001"), "{why}");
    // Without the look too it is possible, and told; it takes no solver to see.
    change(&place, "policies/finance.dw", looked, ";");
    for solver in [solver.as_str(), "/nowhere/cvc5"] {
        let (code, told) = check_with(solver, &place.config());
        let call = &found(&told, CAP)["counterexample"];
        let arguments = json!({"amount_cents": 5_000_001, "from": "ACC-0000", "memo": "x", "to": "ACC-0000"});
        assert_eq!((code, &call["agent"], &call["arguments"]), (3, &json!("agent-finance-1"), &arguments), "{told}");
    }
    let said = run(&["check", place.config().to_str().unwrap()], None);
    assert!(said.out.contains("with the arguments {") && said.out.contains("\"amount_cents\":5000001"), "{}", said.out);
    // Amounts below nothing: the tool's own schema denies them, until it doesn't.
    let place = acme(&[]);
    change(&place, "invariants.yaml", "when: context.input.amount_cents < 0", "when: context.input.amount_cents < 2");
    change(&place, "policies/finance.dw", looked, ";");
    let (code, told) = check_with(&solver, &place.config());
    let call = &found(&told, BACK)["counterexample"];
    assert_eq!((code, &call["arguments"]["amount_cents"]), (3, &json!(1)), "{told}");
    // A condition that doesn't fit the tool is told, and proves nothing.
    change(&place, "invariants.yaml", "when: context.input.amount_cents < 2", "when: context.input.amuont < 2");
    let (code, told) = check_with(&solver, &place.config());
    assert_eq!((code, &found(&told, BACK)["standing"]), (0, &json!("unknown")), "{told}");
    assert!(found(&told, BACK)["open"][0]["why"].as_str().unwrap().contains("amuont"), "{told}");
}

#[test]
fn other_mutants_are_caught() {
    // A tool that destroys is listed and given to an agent.
    let place = acme(&[]);
    change(&place, "spaces.yaml", "update_ticket, close_ticket]", "update_ticket, close_ticket, delete_ticket]");
    assert_eq!(check(&place.config()).0, 0, "the row of agent-support-2 ends at high risk");
    change(
        &place,
        "tool-policies.yaml",
        ROWS,
        "tool_policies:\n  - { agent: agent-support-2, tool: helpdesk___delete_ticket, max_risk: critical }\n",
    );
    let (code, told) = check(&place.config());
    let call = &found(&told, "nobody deletes")["counterexample"];
    assert_eq!(
        (code, &call["agent"], &call["tool"]),
        (3, &json!("agent-support-2"), &json!("helpdesk___delete_ticket")),
        "{told}"
    );
    // Somebody of another account is let into production.
    let place = acme(&[]);
    change(&place, "spaces.yaml", "agents: [agent-ops-1, agent-ops-2]", "agents: [agent-ops-1, agent-ops-2, agent-support-1]");
    change(
        &place,
        "tool-policies.yaml",
        ROWS,
        "tool_policies:\n  - { agent: agent-support-1, tool: deployments___apply, max_risk: high }\n",
    );
    let (code, told) = check(&place.config());
    let call = &found(&told, "production is changed by operations alone")["counterexample"];
    assert_eq!((code, &call["agent"], &call["space"]), (3, &json!("agent-support-1"), &json!("prod-sre")), "{told}");
}

#[test]
fn a_change_that_breaks_an_invariant_is_refused() {
    let a = Upstream::start(Era::Modern);
    let mut good = config(&[a.server("a")]);
    good["tool_policies"].as_array_mut().unwrap().push(json!({"agent": "agent-2", "tool": "a___echo", "allowed": false}));
    good["invariants"] = json!([{"name": "one echoes", "never": {"agents_except": ["agent-1"], "tools": ["a___echo"]}}]);
    let remit = Remit::up(&good);
    assert_eq!(remit.client("agent-1", "a").call("a___echo", "{}")["result"]["isError"], Value::Null);
    let mut bad = good.clone();
    bad["tool_policies"].as_array_mut().unwrap().pop();
    let next = remit.place().root().join("next");
    std::fs::create_dir_all(&next).unwrap();
    std::fs::write(next.join("it.json"), bad.to_string()).unwrap();
    let next = next.to_str().unwrap();
    let version = || remit.status()["configuration"]["version"].clone();
    // Planned: it is told, and that it can't be applied.
    let said = remit.place().cli(&["plan", next]);
    assert!(
        said.code == 0 && said.out.contains("! one echoes is VIOLATED") && said.out.contains("It can't be applied"),
        "{said:?}"
    );
    assert!(said.out.contains("agent-2 in space a calls a___echo, and is allowed: it shows a token"), "{}", said.out);
    // Applied: refused with the same call, as text and as JSON; nothing changes.
    let said = remit.place().cli(&["apply", next, "--reason", "more"]);
    assert!(said.code == 3 && said.err.contains("one echoes is VIOLATED"), "{said:?}");
    let said = remit.place().cli(&["apply", next, "--reason", "more", "--json"]);
    let told = parsed(&said.out);
    assert_eq!((said.code, &told["invariants"][0]["counterexample"]["agent"]), (3, &json!("agent-2")), "{told}");
    assert_eq!(version(), 1);
    // A directory that drives is refused as well.
    remit.place().write(&bad);
    let (status, said) = remit.operator("POST /v1/reload", "");
    assert!(status != 200 && said.to_string().contains("one echoes"), "{status} {said}");
    assert_eq!(version(), 1);
    // One with a condition over the call is refused on every way too, with the call's arguments.
    bad["invariants"] = json!([{"name": "looking is not for two", "never":
        {"agents": ["agent-2"], "tools": ["a___*"], "when": "context.remit.class == \"READ_ONLY\" && context.isOutput == false"}}]);
    std::fs::write(format!("{next}/it.json"), bad.to_string()).unwrap();
    let said = remit.place().cli(&["apply", next, "--reason", "more", "--json"]);
    let told = parsed(&said.out);
    assert_eq!((said.code, &told["invariants"][0]["counterexample"]["arguments"]), (3, &json!({})), "{told}");
    remit.place().write(&bad);
    let (status, said) = remit.operator("POST /v1/reload", "");
    assert!(status != 200 && said.to_string().contains("looking is not for two"), "{status} {said}");
    assert_eq!(version(), 1);
    // Without the invariant, which is a change that can be seen, it is what it was.
    bad["invariants"] = json!([]);
    remit.configure(&bad);
    assert_eq!(version(), 2);
}
