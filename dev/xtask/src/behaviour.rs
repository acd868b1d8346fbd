//! `cargo xtask behaviour`: measures what is found of anomalies that were injected into weeks of the sample organization.

use std::process::Command;

use serde_json::Value;

use crate::{Outcome, root, say, succeeds, target};

/// What the command takes.
pub(crate) const OPTIONS: &str = "[--seeds N] [--json] [--tune [--told]]";

/// The bars, on seeds that nothing was chosen on: what, where in the report, and the least.
const BARS: [(&str, &str, f64); 3] = [
    ("recall", "/behaviour/recall/mean", 0.90),
    ("precision", "/behaviour/precision/mean", 0.55),
    ("entries a second", "/entries_per_sec", 20_000.0),
];
/// The most findings about nothing for an agent and a day.
const FALSE_MAX: f64 = 0.12;

/// Measures, and says whether the bars are reached; with `--tune` shows what each score does on the seeds that it was chosen on.
pub(crate) fn run(options: &[String]) -> Outcome {
    if !succeeds("cargo", &["build", "--quiet", "--profile", "quick", "--package", "remit-labelled"])? {
        return Err("can't build `remit-labelled`".into());
    }
    let program = target().join("quick/remit-labelled");
    let call = |options: &[String]| {
        let output = Command::new(&program).args(options).current_dir(root()).stderr(std::process::Stdio::inherit()).output();
        output.map_err(|error| format!("can't run `{}`: {error}", program.display()))
    };
    let output = call(options)?;
    say(String::from_utf8_lossy(&output.stdout).trim_end());
    let has = |option: &str| options.iter().any(|other| other == option);
    if has("--tune") {
        return Ok(output.status.success());
    }
    let report: Value = if has("--json") {
        serde_json::from_slice(&output.stdout)?
    } else {
        let options: Vec<String> = options.iter().cloned().chain(["--json".to_owned()]).collect();
        serde_json::from_slice(&call(&options)?.stdout)?
    };
    let number = |place: &str| report.pointer(place).and_then(Value::as_f64).unwrap_or_default();
    let mut reached = true;
    for (what, place, least) in BARS.iter().filter(|(_, place, least)| number(place) < *least) {
        say(&format!("behaviour: {what} is {:.3}, less than {least}", number(place)));
        reached = false;
    }
    let wrong = number("/behaviour/false_per_agent_day/mean");
    if wrong > FALSE_MAX {
        say(&format!("behaviour: {wrong:.3} findings about nothing for an agent and a day, more than {FALSE_MAX}"));
        reached = false;
    }
    Ok(reached)
}
