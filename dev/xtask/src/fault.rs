//! `cargo xtask fault`: faults injected into the journal, and what was lost.

use std::process::Command;

use crate::{Outcome, build};

/// The options, as the usage shows them.
pub(crate) const OPTIONS: &str = "strace | kill | power | full | tamper | replicas | fuzz | all [--short] [--faulty]";

/// Builds the harness and runs it. The journal is optimized in every build, so the quick one will do.
pub(crate) fn run(options: &[String]) -> Outcome {
    let fault = build("remit-fault", false)?;
    Ok(Command::new(fault).args(options).status()?.success())
}
