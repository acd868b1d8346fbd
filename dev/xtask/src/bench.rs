//! `cargo xtask bench`.

use std::process::Command;

use crate::{Outcome, build};

/// The options, as the usage shows them.
pub(crate) const OPTIONS: &str = "layers | gateway [--rounds N] [--seconds S] [--connections 1,32,256] [--json]";

/// Builds what is measured for release, and measures it.
pub(crate) fn run(options: &[String]) -> Outcome {
    let which = options.first().map(String::as_str);
    if !matches!(which, Some("gateway" | "layers")) {
        return Err("there are two: `cargo xtask bench gateway` and `cargo xtask bench layers`".into());
    }
    let remit = build("remit", true)?;
    let bench = build("remit-bench", true)?;
    Ok(Command::new(bench).args(options).arg("--remit").arg(remit).status()?.success())
}
