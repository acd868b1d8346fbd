//! The examples of Dogwood's own documentation through the slices and histories, read from the sources of the crates as cargo has them.
//!
//! Each is compared with the reference interpreter, and with the verdicts that its text states where it states any. What can't be run:
//!
//! - the corpus of information providers (`tests/passing/provider_only`) and the guardrail of the language crate's README: policy sets
//!   have no providers, so such a set is refused (a test holds that);
//! - the examples that only parse and never decide (`parse_probe.rs`, `parsed_policy_scope_and_args.rs`,
//!   `build_declarations_directly.rs`): they show the crate's interface, with providers that are never asked;
//! - arithmetic in temporal operands (`tests/experimental`): the language doesn't accept it yet, and neither do we (a test holds that);
//! - the bundles of the published guide: no published crate holds them. The module `guide` has examples of our own for what it names.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;

use dogwood_language::corpus::temporal_cases;
use dogwood_language::{DEFAULT_EVENT_SCHEMA, ParsedPolicySet, PolicySchema, ServiceSchema, Validator, mcp_to_cedar_schema};

use crate::check::Check;
use crate::corpus::{Tally, Trace, service};
use crate::excerpt::Parts;
use crate::set::PolicySet;
use crate::source::{File, Mode, Source};
use crate::vocabulary::Vocabulary;

/// Where cargo has the sources of a crate.
fn sources(of: &str) -> PathBuf {
    let output = Command::new("cargo")
        .args(["metadata", "--format-version", "1", "--locked", "--manifest-path"])
        .arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("Cargo.toml"))
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let metadata: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    let packages = metadata["packages"].as_array().unwrap();
    let package = packages.iter().find(|package| package["name"] == of).unwrap_or_else(|| panic!("no crate {of}"));
    Path::new(package["manifest_path"].as_str().unwrap()).parent().unwrap().to_owned()
}

fn text(path: impl AsRef<Path>) -> String {
    let path = path.as_ref();
    std::fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// The directories in a directory, by name.
fn directories(path: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    let mut found: Vec<_> = entries.map(|entry| entry.unwrap().path()).filter(|path| path.is_dir()).collect();
    found.sort();
    found
}

fn name(path: &Path) -> String {
    path.file_name().unwrap().to_string_lossy().into_owned()
}

/// The raw strings of a Rust source, in order.
fn raw_strings(source: &str) -> Vec<&str> {
    source.split("r#\"").skip(1).map(|rest| rest.split_once("\"#").unwrap().0).collect()
}

/// The policy files of a case of a corpus, by name.
fn policy_files(case: &Path) -> Vec<PathBuf> {
    let mut paths: Vec<_> = std::fs::read_dir(case).unwrap().map(|entry| entry.unwrap().path()).collect();
    paths.retain(|path| name(path).starts_with("policy_") && path.extension().is_some_and(|extension| extension == "dw"));
    paths.sort();
    paths
}

fn policies(case: &Path) -> String {
    policy_files(case).iter().map(text).collect::<Vec<_>>().join("\n")
}

/// Whether the reference takes a set, and whether we do: each with its first reason if it doesn't.
fn refusals(policies: &str, schema: &str, service: &ServiceSchema) -> (Option<String>, Option<String>) {
    let reference = || {
        let parsed = ParsedPolicySet::parse(policies, service).map_err(|error| error.to_string())?;
        let schema = PolicySchema::from_cedarschema_str(schema).map_err(|error| error.to_string())?;
        let lowered = parsed.lower(&schema).map_err(|error| error.to_string())?;
        let result = Validator::new().validate(&lowered);
        let error = result.validation_errors().next().map(ToString::to_string);
        error.map_or(Ok(()), Err)
    };
    let ours = || {
        let file = File { path: "policy.dw".to_owned(), text: policies.to_owned(), mode: Mode::Active };
        let source = Source::read_with(Mode::Active, vec![file], service.clone());
        let source = Arc::new(source.map_err(|faults| faults.first().unwrap().what.clone())?);
        let vocabulary = Vocabulary { actions: BTreeMap::new(), schema: schema.to_owned() };
        let set = PolicySet::compile_with(&source, vocabulary.clone(), "gateway", false);
        if let Some(finding) = set.findings().first() {
            return Err(finding.fault.what.clone());
        }
        // These schemas aren't made of tools, so there are no parts of them to check by; the law of parts is tested elsewhere.
        let parts = Parts::of(&source);
        let check = Check { source: &source, parts: &parts, vocabulary: &vocabulary, lowered: &set.lowered };
        let told = [true, false].into_iter().flat_map(|typed| check.in_one_go(typed)).find(|told| told.rules.len() == 1);
        told.map_or(Ok(()), |told| Err(told.what))
    };
    (reference().err(), ours().err())
}

/// A call of one of the stocks' tools, by alice.
fn stock_call(at: u64, action: &str, stock: &str, shares: u64) -> String {
    let input = match action {
        "GetStockInfo" => format!("stock: \"{stock}\""),
        _ => format!("shares: {shares}, stock: \"{stock}\""),
    };
    let (principal, resource) = ("Drupe::OAuthUser::\"alice\"", "Drupe::Gateway::\"gw1\"");
    format!(
        "@{at} scope(principal: {principal}, resource: {resource}) request_context(input: {{ {input} }}) \
         Drupe::Action::\"{action}\"::request(input: {{ {input} }}, callerPrincipal: {principal}, callerResource: {resource}, \
         requestId: \"r{at}\")\n"
    )
}

fn stated(log: String, verdicts: &[bool]) -> Vec<Trace> {
    vec![Trace { name: "1".to_owned(), log, stated: Some(verdicts.to_vec()) }]
}

#[test]
fn the_documentations_examples_agree() {
    let language = sources("dogwood-language");
    let documents = language.join("tests/docs_as_tests");
    let mut tally = Tally::default();
    let events = text(language.join("tests/fixtures/request_response.dwschema"));
    let global = service(Some(&events), None);

    // Bundles: a policy, a trace, the verdicts.
    let bundles = directories(&documents.join("temporal_cases"));
    for bundle in &bundles {
        let lines = text(bundle.join("expected_1.out"));
        let verdicts: Vec<bool> = lines.lines().map(|line| line.ends_with("true")).collect();
        let trace = stated(text(bundle.join("trace_1.log")), &verdicts);
        tally.case(&name(bundle), &policies(bundle), &text(bundle.join("schema.cedarschema")), &global, &trace);
    }
    let schema = text(bundles[0].join("schema.cedarschema"));

    // A policy and a trace each: the guard holds, the guard fails.
    let verdict = text(documents.join("authorize_verdict.rs"));
    let [holds, approved, fails, unapproved] = raw_strings(&verdict)[..] else { panic!("{verdict}") };
    tally.case("guard holds", holds, &schema, &global, &stated(approved.to_owned(), &[false, true]));
    tally.case("guard fails", fails, &schema, &global, &stated(unapproved.to_owned(), &[false]));

    // One request each: a small trade and a large one, with the events that the text builds in Rust.
    let request = text(documents.join("authorize_request.rs"));
    let [own_schema, policy] = raw_strings(&request)[..] else { panic!("{request}") };
    for (shares, allowed) in [(5, true), (500, false)] {
        let input = format!("input: {{ shares: {shares} }}");
        let log = format!(
            "@0 scope(principal: Drupe::OAuthUser::\"alice\", resource: Drupe::Gateway::\"gw1\") request_context({input}) \
             Drupe::Action::\"SellShares\"::request({input}, callerPrincipal: Drupe::OAuthUser::\"alice\", \
             callerResource: Drupe::Gateway::\"gw1\", requestId: \"r\")"
        );
        let default = service(Some(DEFAULT_EVENT_SCHEMA), None);
        tally.case(&format!("a trade of {shares}"), policy, own_schema, &default, &stated(log, &[allowed]));
    }

    // A temporal part within a Cedar expression: no events are told, so they are ours.
    let marker = text(documents.join("mid_expression_marker.rs"));
    let [conjoined, branch] = raw_strings(&marker)[..] else { panic!("{marker}") };
    for (title, policy) in [("conjoined", conjoined), ("in a branch", branch)] {
        let log = [
            stock_call(0, "SellShares", "AMZN", 5),
            stock_call(10, "ApproveSale", "AMZN", 5),
            stock_call(20, "SellShares", "AMZN", 5),
            stock_call(30, "SellShares", "AMZN", 100),
            stock_call(40, "SellShares", "MSFT", 5),
            stock_call(3611, "SellShares", "AMZN", 5),
        ];
        tally.case(title, policy, &schema, &global, &stated(log.concat(), &[false, false, true, false, false, false]));
    }

    // A vocabulary that is made of tools.
    let manifest = mcp_to_cedar_schema(&text(language.join("mcp_tools.json"))).unwrap();
    let generated = text(documents.join("mcp_schema_gen.rs"));
    let [policy] = raw_strings(&generated)[..] else { panic!("{generated}") };
    let log = [stock_call(0, "GetStockInfo", "AMZN", 0), stock_call(1, "GetStockInfo", "MSFT", 0)].concat();
    tally.case("of a manifest", policy, &manifest, &global, &stated(log, &[true, false]));

    // The engine's README: a login, its response, and a read within the hour.
    let readme = text(sources("dogwood-local-engine").join("README.md"));
    let [policy, own_schema] = raw_strings(&readme)[..] else { panic!("{readme}") };
    let event = |at: u64, action: &str, kind: &str| {
        let input = "input: { user: \"alice\" }";
        let context = if kind == "request" { format!("request_context({input}) ") } else { String::new() };
        format!(
            "@{at} scope(principal: Drupe::OAuthUser::\"alice\", resource: Drupe::Gateway::\"gw1\") {context}\
             Drupe::Action::\"{action}\"::{kind}({input}, callerPrincipal: Drupe::OAuthUser::\"alice\", \
             callerResource: Drupe::Gateway::\"gw1\", requestId: \"r{at}\")\n"
        )
    };
    let session = [event(0, "Login", "request"), event(1, "Login", "response"), event(2, "Read", "request")].concat();
    let default = service(Some(DEFAULT_EVENT_SCHEMA), None);
    tally.case("the engine's README", policy, own_schema, &default, &stated(session, &[true, true]));

    assert!(tally.refused.is_empty(), "{:#?}", tally.refused);
    assert_eq!((tally.cases, tally.provided), (9, 0));
    assert!(tally.decisions >= 24 && tally.allowed >= 8, "{} decisions, {} allowed", tally.decisions, tally.allowed);
    println!("{} examples, {} decisions, {} of them allowed", tally.cases, tally.decisions, tally.allowed);
}

/// The policies that need no history come without requests, so each decides requests of ours on either side of every value they name.
#[test]
fn the_examples_without_history_agree() {
    let language = sources("dogwood-language");
    let global = service(None, None);
    let mut log = String::new();
    let mut at = 0;
    for stock in ["AMZN", "MSFT", "BLOCKED", "TEST_A", "FOO", ""] {
        for action in ["GetStockInfo", "ApproveSale", "SellShares"] {
            for shares in [0, 1, 5, 10, 11, 49, 50, 51, 99, 100, 101, 777, 1000, 1001, 9999, 10_000, 10_001] {
                log.push_str(&stock_call(at, action, stock, shares));
                at += 1;
            }
        }
    }
    let mut tally = Tally::default();
    let mut told = 0;
    for case in directories(&language.join("tests/passing/cedar_only/corpus_handwritten")) {
        let schema = text(case.join("schema.cedarschema"));
        // One has a vocabulary of its own.
        let own = |at: u64, x: i64| {
            format!(
                "@{at} scope(principal: Ns::User::\"u\", resource: Ns::Res::\"r\") request_context(x: {x}) \
                 Ns::Action::\"Act\"::request(requestId: \"r{at}\")\n"
            )
        };
        let mut traces = if schema.contains("namespace Ns ") {
            stated([own(0, 0), own(1, 1)].concat(), &[false, true])
        } else {
            vec![Trace { name: "1".to_owned(), log: log.clone(), stated: None }]
        };
        // Two say of requests what is decided.
        if name(&case).starts_with("documentation_0001") {
            let log = [stock_call(0, "GetStockInfo", "GOOG", 0), stock_call(1, "ApproveSale", "GOOG", 5)];
            traces.extend(stated(log.concat(), &[true, false]));
            told += 1;
        } else if name(&case).starts_with("documentation_0003") {
            let calls = [("SellShares", "GOOG"), ("SellShares", "AMZN"), ("ApproveSale", "GOOG")];
            let log: Vec<_> = (0..).zip(calls).map(|(at, (action, stock))| stock_call(at, action, stock, 5)).collect();
            traces.extend(stated(log.concat(), &[true, false, false]));
            told += 1;
        }
        // Several files of a case are several ways to write it.
        for file in policy_files(&case) {
            tally.case(&format!("{}/{}", name(&case), name(&file)), &text(&file), &schema, &global, &traces);
        }
    }
    assert_eq!(told, 2);
    assert!(tally.refused.is_empty(), "{:#?}", tally.refused);
    assert!(tally.cases >= 39 && tally.allowed >= 1000 && tally.allowed < tally.decisions);
    println!("{} examples, {} decisions, {} of them allowed", tally.cases, tally.decisions, tally.allowed);
}

/// What the language refuses is refused here: what it no longer takes, what it doesn't take yet, what it has a provider for.
#[test]
fn what_the_reference_refuses_is_refused() {
    let language = sources("dogwood-language");
    let mut refused = 0;
    let mut faults = Vec::new();
    for case in temporal_cases().iter().filter(|case| case.is_parse_rejected()) {
        let (reference, ours) = refusals(&case.policy_src, &case.schema_src, &service(case.event_schema_src.as_deref(), None));
        match (reference, ours) {
            (Some(_), Some(_)) => refused += 1,
            (reference, ours) => faults.push(format!("{}: the reference: {reference:?}; we: {ours:?}", case.name)),
        }
    }
    assert!(faults.is_empty(), "{faults:#?}");
    let mut experimental = 0;
    for case in directories(&language.join("tests/experimental/corpus")) {
        let (reference, ours) = refusals(&policies(&case), &text(case.join("schema.cedarschema")), &service(None, None));
        assert!(reference.is_some() && ours.is_some(), "{}: {reference:?}, {ours:?}", name(&case));
        experimental += 1;
    }
    let mut provided = 0;
    // One asks no provider after all, so it is decided.
    let mut decided = Tally::default();
    let corpus = language.join("tests/passing/provider_only");
    let shared = text(corpus.join("shared_schema.cedarschema"));
    for case in directories(&corpus.join("corpus")) {
        let own = case.join("schema.cedarschema");
        let schema = if own.exists() { text(own) } else { shared.clone() };
        let (_, ours) = refusals(&policies(&case), &schema, &service(None, None));
        if ours.is_some() {
            provided += 1;
            continue;
        }
        let lines = text(case.join("expected_1.out"));
        let verdicts: Vec<bool> = lines.lines().map(|line| line.ends_with("true")).collect();
        let trace = stated(text(case.join("trace_1.log")), &verdicts);
        decided.case(&name(&case), &policies(&case), &schema, &service(None, None), &trace);
    }
    assert_eq!((decided.cases, decided.provided, decided.refused.len()), (1, 0, 0), "{:?}", decided.refused);
    assert!(refused >= 100 && experimental >= 16 && provided >= 42, "{refused}, {experimental}, {provided}");
    println!("{refused} that the language refuses, {experimental} with arithmetic, {provided} with providers");
}
