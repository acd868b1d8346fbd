//! The published schemas are those of the code, fit what lies in the repository, and are found by editors.

use std::fs;
use std::path::{Path, PathBuf};

use jsonschema::Validator;
use remit_config::SourceFile;
use remit_trial::{cases, schema};
use serde_json::Value;

use crate::{acme, json_of_text, suite};

fn published() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/schemas")
}

fn validator(name: &str) -> Validator {
    let (_, schema) = schema::all().into_iter().find(|(known, _)| *known == name).unwrap();
    assert!(jsonschema::draft202012::meta::is_valid(&schema), "{name}");
    jsonschema::draft202012::new(&schema).unwrap()
}

#[track_caller]
fn fits(validator: &Validator, what: &str, value: &Value) {
    let faults: Vec<String> = validator.iter_errors(value).map(|fault| format!("{}: {fault}", fault.instance_path())).collect();
    assert_eq!(faults, Vec::<String>::new(), "{what}");
}

#[test]
fn the_published_schemas_are_current() {
    for (name, schema) in schema::all() {
        let text = format!("{schema:#}\n");
        let path = published().join(name);
        if std::env::var_os("UPDATE").is_some() {
            fs::write(&path, &text).unwrap();
        }
        let found = fs::read_to_string(&path).unwrap_or_default();
        assert!(found == text, "docs/schemas/{name} is stale: cargo run -- schema --write docs/schemas");
    }
}

#[test]
fn the_sample_organizations_files_fit() {
    let cases = validator("cases.schema.json");
    let files = suite();
    assert!(files.len() >= 5);
    for file in files {
        fits(&cases, &file.path, &json_of_text(&file.text));
    }
    let lock = fs::read_to_string(acme().join("tools.lock.json")).unwrap();
    fits(&validator("tools.lock.schema.json"), "the lock", &serde_json::from_str(&lock).unwrap());
    let configuration = validator("configuration.schema.json");
    let yaml = crate::sources().into_iter().filter(|file| Path::new(&file.path).extension().is_some_and(|end| end == "yaml"));
    for file in yaml {
        fits(&configuration, &file.path, &json_of_text(&file.text));
    }
}

/// What the guide shows is read, and fits the schema.
#[test]
fn the_guides_cases_are_read() {
    let guide = fs::read_to_string(published().join("../guides/testing-policies.md")).unwrap();
    let blocks = guide.split("```yaml\n").skip(1).filter_map(|part| part.split_once("```"));
    let mut shown = 0;
    for (text, _) in blocks {
        fits(&validator("cases.schema.json"), text, &json_of_text(text));
        let (cases, outcomes, _) = crate::run_text(text).unwrap_or_else(|faults| panic!("{faults:?}\n{text}"));
        for (case, outcome) in cases.iter().zip(&outcomes) {
            assert_eq!(outcome.mismatches, Vec::new(), "{}", case.name);
        }
        shown += cases.len();
    }
    assert!(shown >= 6, "{shown}");
}

/// What the reader refuses for its shape alone, the schema refuses too, and the other way round.
#[test]
fn schema_and_reader_agree_on_shapes() {
    let validator = validator("cases.schema.json");
    let organization = crate::organization();
    let lock = crate::lock();
    let known = cases::Known::new(&organization, Some(&lock));
    let base = "space: support, agent: agent-support-1, tool: helpdesk___search_kb";
    for (more, good) in [
        ("expect: allow", true),
        ("expect: quota_exceeded", true),
        ("expect: { verdict: allow, statement: [a, b], at: a, acts_as: b, risk: low, layers: { SPACE: ALLOW } }", true),
        ("expect: { reason: revoked, layer: IDENTITY, effect: EXPLICIT_DENY, remedy: x }", true),
        ("expect: allow, credential: none", true),
        (
            "expect: allow, credential: { scopes: [mcp:read, mcp:write], space: support, expired: true, revoked: false, issued_at: \"2026-01-15T12:00:00Z\" }",
            true,
        ),
        (
            "expect: allow, quota: { calls_concurrent: 2 }, unknown: quota, source_ip: 10.0.0.1, secure_transport: false, risk: high, user: a",
            true,
        ),
        (
            "expect: allow, suppose: { region: eu-west-1, mandate: MUTATIVE, organizational_unit: ou-money, tools: helpdesk___delete_ticket }",
            true,
        ),
        ("expect: allow, each: [{ name: a, arguments: {} }]", true),
        ("expect: allowed", false),
        ("expect: {}", false),
        ("expect: { statement: a }", false),
        ("expect: { layer: A }", false),
        ("expect: { effect: ALLOW }", false),
        ("expect: { verdict: deny, layers: { A: ALLOW } }", false),
        ("expect: { verdict: deny, layers: { SPACE: YES } }", false),
        ("expect: allow, trust: probation", true),
        ("expect: allow, trust: some", false),
        ("expect: allow, credential: some", false),
        ("expect: allow, credential: { scopes: [mcp:all] }", false),
        ("expect: allow, quota: { calls_concurrent: 0 }", false),
        ("expect: allow, quota: { calls: 1 }", false),
        ("expect: allow, unknown: moon", false),
        ("expect: allow, at: today", false),
        ("expect: allow, risk: severe", false),
        ("expect: allow, arguments: [1]", false),
        ("expect: allow, suppose: { class: a }", false),
        ("expect: allow, suppose: { mandate: ALL }", false),
        ("expect: allow, each: []", false),
        ("expect: allow, each: [{ each: [] }]", false),
        ("expect: allow, after: []", true),
        ("expect: allow, after: [{}]", false),
        ("expect: allow, after: [{ tool: ledger___get_account, ended: soon }]", false),
        ("expect: allow, claims: { a: b }", true),
        ("expect: allow, claims: [a]", false),
        ("expect: allow, session: { name: a }", false),
    ] {
        let text = format!("cases: [{{ name: a, {base}, {more} }}]");
        assert_eq!(validator.is_valid(&json_of_text(&text)), good, "the schema: {text}");
        let file = SourceFile { path: "tests/a.yaml".to_owned(), text: text.clone() };
        let read = cases::read(&[file], &known);
        assert_eq!(read.is_ok(), good, "the reader: {text}: {:?}", read.err());
    }
    for text in ["cases: [{ expect: allow }]", "case: []", "defaults: {}", "defaults: { name: a }\ncases: []"] {
        assert!(!validator.is_valid(&json_of_text(text)), "{text}");
        let file = SourceFile { path: "tests/a.yaml".to_owned(), text: text.to_owned() };
        assert!(cases::read(&[file], &known).is_err(), "{text}");
    }
}

/// Each example's first line leads an editor to the schema of its kind.
#[test]
fn editors_find_the_schema_of_every_example() {
    let mut folders = vec![acme().join("..").canonicalize().unwrap()];
    let mut found = 0;
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
                continue;
            }
            if path.extension().is_none_or(|end| end != "yaml") {
                continue;
            }
            let text = fs::read_to_string(&path).unwrap();
            let line = text.lines().next().unwrap();
            let named =
                line.strip_prefix("# yaml-language-server: $schema=").unwrap_or_else(|| panic!("{}: {line}", path.display()));
            let schema = folder.join(named).canonicalize().unwrap_or_else(|error| panic!("{}: {named}: {error}", path.display()));
            let wanted = if folder.ends_with("tests") { "cases.schema.json" } else { "configuration.schema.json" };
            assert_eq!(schema, published().canonicalize().unwrap().join(wanted), "{}", path.display());
            found += 1;
        }
    }
    assert!(found >= 12, "{found}");
}
