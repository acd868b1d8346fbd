//! A configuration directory with what lies beside it: the lock of tools and the organization's own cases. Nothing is started.

use std::path::Path;
use std::sync::Arc;

use remit_config::{Fault, LOCK_FILE, SourceFile, TESTS_FOLDER};
use remit_control::{DirectoryError, Source};
use remit_kernel::Snapshot;
use remit_kernel::invariant::Checked;
use remit_trial::{Lock, cases, lock};
use serde_json::json;

use crate::output::{Failure, INVALID, Printer, warn};
use crate::{files, sample};

/// The most files with cases.
const CASES_FILES_MAX: usize = 1000;
/// The deepest folder of them below `tests/`.
const CASES_DEPTH_MAX: usize = 8;

/// A directory, as far as it has no fault.
pub(crate) struct Offline {
    pub(crate) source: Source,
    /// The accepted definitions, if the directory holds any.
    pub(crate) lock: Option<Lock>,
}

/// Why a directory can't be used.
pub(crate) enum Refused {
    /// Its faults.
    Faults(Vec<Fault>),
    /// It can't be read.
    Other(Failure),
}

impl From<DirectoryError> for Refused {
    fn from(error: DirectoryError) -> Self {
        match error {
            DirectoryError::Faults(faults) => Self::Faults(faults),
            other => Self::Other(Failure::invalid(other.to_string())),
        }
    }
}

impl Refused {
    /// Tells what is wrong; answers how the command ends.
    pub(crate) fn told(self, printer: Printer) -> Result<Failure, Failure> {
        match self {
            Self::Faults(faults) => {
                if printer.json {
                    printer.line(&json!({"ok": false, "faults": faults}).to_string())?;
                } else {
                    faults.iter().try_for_each(|fault| printer.line(&fault.to_string()))?;
                    warn(&format!("{} faults", faults.len()));
                }
                Ok(Failure::said(INVALID))
            }
            Self::Other(failure) => Ok(failure),
        }
    }
}

impl Offline {
    /// Reads a directory, or the sample organization that is part of the binary.
    pub(crate) fn read(directory: Option<&Path>) -> Result<Self, Refused> {
        let Some(directory) = directory else {
            let locked = Lock::read(&format!("examples/acme/{LOCK_FILE}"), sample::LOCK).map_err(Refused::Faults)?;
            return Ok(Self { source: sample::acme()?, lock: Some(locked) });
        };
        let source = remit_control::read(directory)?;
        let path = directory.join(LOCK_FILE);
        let lock = if path.exists() {
            let text = files::read(&path, lock::BYTES_MAX).map_err(Refused::Other)?;
            Some(Lock::read(LOCK_FILE, &text).map_err(Refused::Faults)?)
        } else {
            None
        };
        Ok(Self { source, lock })
    }

    /// What the directory and its lock come to.
    pub(crate) fn snapshot(&self) -> Snapshot {
        let catalogue = self.lock.as_ref().map(Lock::catalogue).unwrap_or_default();
        Snapshot::compile(1, Arc::new(self.source.loaded.organization.clone()), &catalogue)
    }

    /// How the invariants stand, with what the lock says of the tools.
    pub(crate) fn invariants(&self) -> Vec<Checked> {
        let catalogue = self.lock.as_ref().map(Lock::catalogue).unwrap_or_default();
        let organization = Arc::new(self.source.loaded.organization.clone());
        let prover = crate::prover();
        remit_control::plan::invariants(&organization, &catalogue, &|question| prover.answer(question), crate::now_secs())
    }

    /// Everything that is allowed but probably not meant.
    pub(crate) fn warnings(&self) -> Vec<Fault> {
        let mut warnings = self.source.loaded.warnings.clone();
        if let Some(lock) = &self.lock {
            warnings.extend(policy_warnings(&self.snapshot()));
            warnings.extend(lock.warnings(LOCK_FILE, &self.source.loaded.organization, &self.snapshot().findings));
        }
        warnings
    }
}

/// Policies that don't fit the tools as they are locked.
fn policy_warnings(snapshot: &Snapshot) -> Vec<Fault> {
    let sets = snapshot.spaces.values().filter_map(|view| view.policy_set.as_ref());
    let fault = |finding: &remit_cedar::Finding| Fault {
        severity: remit_config::Severity::Warning,
        file: finding.fault.path.clone(),
        line: finding.fault.line,
        column: finding.fault.column,
        pointer: String::new(),
        what: format!("{}: the policy permits nothing, and a forbid forbids all of its scope", finding.fault.what),
        mend: finding.fault.mend.clone().unwrap_or_else(|| format!("correct it, or renew `{LOCK_FILE}`")),
    };
    let mut faults: Vec<Fault> = sets.flat_map(|set| set.findings()).map(fault).collect();
    faults.sort_by(|a, b| (&a.file, a.line, &a.what).cmp(&(&b.file, b.line, &b.what)));
    faults.dedup();
    faults
}

/// The files of cases, in the order of their names. Without a directory those of the sample organization.
pub(crate) fn cases(directory: Option<&Path>) -> Result<Vec<SourceFile>, Failure> {
    let Some(directory) = directory else { return Ok(sample::cases()) };
    let mut found = Vec::new();
    if directory.join(TESTS_FOLDER).is_dir() {
        collect(directory, TESTS_FOLDER, 0, &mut found)?;
    }
    found.sort();
    Ok(found)
}

/// Every file of cases in a folder and below. One that was passed over would be one whose cases pass.
fn collect(directory: &Path, folder: &str, depth: usize, found: &mut Vec<SourceFile>) -> Result<(), Failure> {
    let path = directory.join(folder);
    let fault = |error: std::io::Error| Failure::invalid(format!("`{}`: {error}", path.display()));
    if depth > CASES_DEPTH_MAX {
        return Err(Failure::invalid(format!("`{}` is nested deeper than {CASES_DEPTH_MAX} folders", path.display())));
    }
    for entry in std::fs::read_dir(&path).map_err(fault)? {
        let entry = entry.map_err(fault)?;
        let below = format!("{folder}/{}", entry.file_name().to_string_lossy());
        if entry.file_name().to_string_lossy().starts_with('.') {
            continue;
        }
        if entry.file_type().map_err(fault)?.is_dir() {
            collect(directory, &below, depth + 1, found)?;
        } else if remit_config::is_cases(&below) {
            if found.len() >= CASES_FILES_MAX {
                return Err(Failure::invalid(format!("`{}` holds more than {CASES_FILES_MAX} files", path.display())));
            }
            found.push(SourceFile { text: files::read(&entry.path(), cases::BYTES_MAX)?, path: below });
        }
    }
    Ok(())
}
