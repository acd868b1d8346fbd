//! The sample organization, part of the binary: `remit up` works on a machine that has nothing else.

use remit_config::SourceFile;
use remit_control::{DirectoryError, Source};

macro_rules! files {
    ($($name:literal),* $(,)?) => {
        [$(($name, include_str!(concat!("../../../examples/acme/", $name)))),*]
    };
}

/// The files of `examples/acme`.
const FILES: [(&str, &str); 21] = files![
    "organization.yaml",
    "roles.yaml",
    "servers.yaml",
    "spaces.yaml",
    "agents.yaml",
    "approvals.yaml",
    "tool-policies.yaml",
    "trust.yaml",
    "invariants.yaml",
    "keys/agent-ops-2.json",
    "policies/deny-when-accessed-via-mcp.json",
    "policies/finance-boundary.json",
    "policies/finance.dw",
    "policies/only-our-regions.json",
    "policies/only-treasury-transfers.json",
    "policies/trust-finance.json",
    "policies/trust-incident-review.json",
    "policies/trust-operators.json",
    "policies/trust-prod-sre-from-support.json",
    "policies/trust-prod-sre.json",
    "policies/trust-support.json",
];

/// The accepted definitions of the sample servers' tools.
pub(crate) const LOCK: &str = include_str!("../../../examples/acme/tools.lock.json");

/// The sample organization's own cases.
const CASES: [(&str, &str); 8] = files![
    "tests/approvals.yaml",
    "tests/confinement.yaml",
    "tests/finance.yaml",
    "tests/operations.yaml",
    "tests/outsiders.yaml",
    "tests/risks.yaml",
    "tests/support.yaml",
    "tests/trust.yaml",
];

/// The sample organization's own cases.
pub(crate) fn cases() -> Vec<SourceFile> {
    CASES.iter().map(|(name, text)| SourceFile { path: format!("examples/acme/{name}"), text: (*text).to_owned() }).collect()
}

fn files() -> Vec<SourceFile> {
    let file = |(name, text): &(&str, &str)| SourceFile { path: format!("examples/acme/{name}"), text: (*text).to_owned() };
    let mut files: Vec<SourceFile> = FILES.iter().map(file).collect();
    files.sort();
    files
}

/// The sample organization.
pub(crate) fn acme() -> Result<Source, DirectoryError> {
    Source::of(files())
}

/// Whether a configuration with this digest is the sample organization.
pub(crate) fn is_acme(digest: &str) -> bool {
    remit_control::directory::digest(&files()) == digest
}
