//! `remit iam lint`: what is allowed in policies and probably not meant.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use remit_control::DirectoryError;
use remit_control::plan::{findings, policies};
use remit_iam::lint::Severity;
use remit_iam::{Policy, PolicyKind, document};
use remit_model::Organization;
use serde_json::{Value, json};

use crate::output::{FAILURE, Failure, INVALID, Printer, warn};

/// The largest policy file, in bytes.
const FILE_BYTES_MAX: u64 = 1024 * 1024;

/// The kinds of policy that a file may hold.
pub(crate) const KINDS: [(&str, PolicyKind); 7] = [
    ("identity", PolicyKind::Identity),
    ("boundary", PolicyKind::Boundary),
    ("trust", PolicyKind::Trust),
    ("resource", PolicyKind::Resource),
    ("session", PolicyKind::Session),
    ("service-control", PolicyKind::ServiceControl),
    ("resource-control", PolicyKind::ResourceControl),
];

/// Lints files and configuration directories.
pub(crate) fn run(paths: &[PathBuf], kind: &str, as_json: bool) -> Result<(), Failure> {
    let printer = Printer::new(as_json);
    let mut all: Vec<Value> = Vec::new();
    let mut policies = 0;
    for path in paths {
        let found = if path.is_dir() { directory(path)? } else { vec![Arc::new(file(path, kind)?)] };
        policies += found.len();
        for policy in found {
            all.extend(findings(&policy));
        }
    }
    all.sort_by_key(|finding| (text(finding, "file"), number(finding, "line"), number(finding, "column")));
    let grave = all.iter().any(|finding| text(finding, "severity") != Severity::Suggestion.name());
    if as_json {
        printer.line(&json!({"policies": policies, "findings": all}).to_string())?;
    } else {
        for finding in &all {
            let of = |key: &str| text(finding, key);
            printer.line(&format!(
                "{}:{}:{}: {} {}: {}: {}\n  mend: {}",
                of("file"),
                number(finding, "line"),
                number(finding, "column"),
                of("severity"),
                of("code"),
                of("statement"),
                of("what"),
                of("mend")
            ))?;
        }
        printer.line(&format!("{policies} policies, {} findings", all.len()))?;
    }
    if grave { Err(Failure::said(FAILURE)) } else { Ok(()) }
}

fn text(finding: &Value, key: &str) -> String {
    finding.get(key).and_then(Value::as_str).unwrap_or_default().to_owned()
}

fn number(finding: &Value, key: &str) -> u64 {
    finding.get(key).and_then(Value::as_u64).unwrap_or_default()
}

/// Reads a policy of a file. Its faults are told, all of them.
pub(crate) fn file(path: &Path, kind: &str) -> Result<Policy, Failure> {
    let kind = KINDS.iter().find(|(name, _)| *name == kind).map(|(_, kind)| *kind);
    let kind = kind.ok_or_else(|| {
        Failure::invalid("--type is one of identity, boundary, trust, resource, session, service-control, resource-control")
    })?;
    let length = std::fs::metadata(path).map_err(|error| Failure::io(path, &error))?.len();
    if length > FILE_BYTES_MAX {
        return Err(Failure::invalid(format!("`{}` is larger than {FILE_BYTES_MAX} bytes", path.display())));
    }
    let text = std::fs::read_to_string(path).map_err(|error| Failure::io(path, &error))?;
    let shown = path.display().to_string();
    let name = path.file_stem().map(|stem| stem.to_string_lossy().into_owned()).unwrap_or_default();
    document::parse(&text).and_then(|node| Policy::read(kind, &name, &shown, &node)).map_err(|faults| {
        for fault in faults {
            warn(&format!("{shown}:{}:{}: {}\n  mend: {}", fault.place.line, fault.place.column, fault.what, fault.mend));
        }
        Failure::said(INVALID)
    })
}

/// Reads a configuration. Its faults are told, all of them.
pub(crate) fn organization(path: &Path) -> Result<Organization, Failure> {
    match remit_control::read(path) {
        Ok(source) => Ok(source.loaded.organization),
        Err(DirectoryError::Faults(faults)) => {
            faults.iter().for_each(|fault| warn(&fault.to_string()));
            Err(Failure::said(INVALID))
        }
        Err(error) => Err(Failure::invalid(error.to_string())),
    }
}

/// Every policy of a configuration, each once; those that are shipped with Remit are not its own.
fn directory(path: &Path) -> Result<Vec<Arc<Policy>>, Failure> {
    Ok(policies(&organization(path)?))
}
