//! Cases, coverage and forms of an organization, on the sample organization and on small ones.

#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "a test's helpers fail as its assertions do")]

mod coverage;
mod egress;
mod faults;
mod mutants;
mod registry;
mod replay;
mod schemas;
mod server_json;
mod shapes;
mod suite;

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use remit_config::item::Sink;
use remit_config::yaml::{Node, Value as Yaml};
use remit_config::{Fault, SourceFile, is_cases, is_source};
use remit_model::Organization;
use remit_trial::cases::{self, Case, Known};
use remit_trial::{Coverage, Lock, Outcome, Trial};
use serde_json::{Value, json};

/// The sample organization's directory.
pub(crate) fn acme() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples/acme")
}

/// Every file of the sample organization that `wanted` asks for.
pub(crate) fn files(wanted: fn(&str) -> bool) -> Vec<SourceFile> {
    fn collect(root: &Path, directory: &Path, wanted: fn(&str) -> bool, files: &mut Vec<SourceFile>) {
        for entry in fs::read_dir(directory).unwrap() {
            let path = entry.unwrap().path();
            let name = path.strip_prefix(root).unwrap().to_str().unwrap().to_owned();
            if path.is_dir() {
                collect(root, &path, wanted, files);
            } else if wanted(&name) {
                files.push(SourceFile { path: name, text: fs::read_to_string(&path).unwrap() });
            }
        }
    }
    let mut files = Vec::new();
    collect(&acme(), &acme(), wanted, &mut files);
    files.sort();
    files
}

pub(crate) fn sources() -> Vec<SourceFile> {
    files(is_source)
}

pub(crate) fn suite() -> Vec<SourceFile> {
    files(is_cases)
}

pub(crate) fn organization() -> Arc<Organization> {
    Arc::new(remit_config::read(&sources()).unwrap().organization)
}

pub(crate) fn lock() -> Lock {
    Lock::read("tools.lock.json", &fs::read_to_string(acme().join("tools.lock.json")).unwrap()).unwrap()
}

/// Runs cases of files, or answers their faults.
pub(crate) fn run(
    organization: &Arc<Organization>,
    lock: &Lock,
    files: &[SourceFile],
) -> Result<(Vec<Case>, Vec<Outcome>, Coverage), Vec<Fault>> {
    let cases = cases::read(files, &Known::new(organization, Some(lock)))?;
    let trial = Trial::new(organization, Some(lock), &cases);
    let mut coverage = Coverage::of(organization, &sources());
    let outcomes = cases.iter().map(|case| trial.run(case, &mut coverage).unwrap()).collect();
    Ok((cases, outcomes, coverage))
}

/// Runs one file of cases on the sample organization.
pub(crate) fn run_text(text: &str) -> Result<(Vec<Case>, Vec<Outcome>, Coverage), Vec<Fault>> {
    let file = SourceFile { path: "tests/a.yaml".to_owned(), text: text.to_owned() };
    run(&organization(), &lock(), &[file])
}

/// What is told of faulty cases: line, pointer, what and how to mend it.
pub(crate) fn told(text: &str) -> String {
    let faults = run_text(text).map(|(cases, ..)| cases.len()).unwrap_err();
    faults.iter().map(|fault| format!("{}:{} {} / {}\n", fault.line, fault.pointer, fault.what, fault.mend)).collect()
}

/// A YAML text as JSON.
pub(crate) fn json_of_text(text: &str) -> Value {
    json_of(&remit_config::yaml::parse("a.yaml", text, &Sink::default()).documents[0])
}

fn json_of(node: &Node) -> Value {
    match &node.value {
        Yaml::Null | Yaml::Broken => Value::Null,
        Yaml::Bool(flag) => json!(flag),
        Yaml::Number(text) => serde_json::from_str(text).unwrap(),
        Yaml::Text(text) => json!(text),
        Yaml::List(nodes) => nodes.iter().map(json_of).collect(),
        Yaml::Map(entries) => entries.iter().map(|entry| (entry.key.clone(), json_of(&entry.value))).collect(),
    }
}
