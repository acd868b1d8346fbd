//! `cargo xtask bench`.

use std::process::Command;

use crate::{Outcome, build};

/// The options, as the usage shows them.
pub(crate) const OPTIONS: &str = "gateway [--rounds N] [--seconds S] [--connections 1,32,256] [--json]";

/// Builds what is measured for release, and measures it.
pub(crate) fn run(options: &[String]) -> Outcome {
    if options.first().map(String::as_str) != Some("gateway") {
        return Err("there is one benchmark: `cargo xtask bench gateway`".into());
    }
    let remit = build("remit", true)?;
    let bench = build("remit-bench", true)?;
    Ok(Command::new(bench).args(options).arg("--remit").arg(remit).status()?.success())
}
