//! `cargo xtask bench`.

use std::process::Command;

use crate::{Outcome, build};

/// The options, as the usage shows them.
pub(crate) const OPTIONS: &str =
    "sandbox [--rounds N] | layers | gateway [--rounds N] [--seconds S] [--connections 1,32,256] [--json]";

/// Builds what is measured for release, and measures it.
pub(crate) fn run(options: &[String]) -> Outcome {
    let which = options.first().map(String::as_str);
    if which == Some("sandbox") {
        let remit = build("remit", true)?;
        let mut bench = Command::new("cargo");
        bench.args(["bench", "--quiet", "-p", "remit-sandbox", "--bench", "start", "--", "--launcher"]).arg(remit);
        return Ok(bench.args(options.iter().skip(1)).status()?.success());
    }
    if !matches!(which, Some("gateway" | "layers")) {
        return Err(
            "there are three: `cargo xtask bench gateway`, `cargo xtask bench layers` and `cargo xtask bench sandbox`".into()
        );
    }
    let remit = build("remit", true)?;
    let bench = build("remit-bench", true)?;
    Ok(Command::new(bench).args(options).arg("--remit").arg(remit).status()?.success())
}
