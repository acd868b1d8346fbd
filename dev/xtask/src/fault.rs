//! `cargo xtask fault`: faults injected into the journal, and what was lost.

use std::process::Command;

use crate::{Outcome, build};

/// The options, as the usage shows them.
pub(crate) const OPTIONS: &str = "strace | kill | power | full | tamper | replicas | fuzz | all [--short] [--faulty]";

/// Builds the harness and runs it. The journal is optimized in every build, so the quick one will do.
pub(crate) fn run(options: &[String]) -> Outcome {
    let fault = build("remit-fault", false)?;
    let mut command = Command::new(fault);
    command.args(options);
    let fills = options.first().is_some_and(|name| name == "full" || name == "all");
    if fills && !options.iter().any(|option| option == "--short") {
        command.arg("--remit").arg(build("remit", false)?);
    }
    Ok(command.status()?.success())
}
