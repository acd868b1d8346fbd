//! Power cuts, simulated below the journal: its own crash tests have the disk that forgets, and run here with other figures.

use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};

use crate::Mode;
use crate::report::{Tally, cannot, say};

const CUTS: u64 = 100_000;
const CUTS_SHORT: u64 = 4_000;
/// What the test is called, and what tells it how often the power fails, and that the disk lies.
const TEST: &str = "crash_test::power_test::many_power_cuts_lose_nothing_acknowledged";
const CUTS_VARIABLE: &str = "REMIT_FAULT_CUTS";
const LYING_VARIABLE: &str = "REMIT_FAULT_LYING_DISK";
/// What begins the line of figures.
const FIGURES: &str = "power cuts: ";

/// Runs the crash test of the journal with many cuts.
pub(crate) fn run(mode: Mode) -> Result<Tally, String> {
    let cuts = if mode.short { CUTS_SHORT } else { CUTS };
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut command = Command::new(cargo);
    command.args(["test", "--quiet", "--package", "remit-journal", "--lib", "--", TEST, "--exact", "--nocapture"]);
    command.current_dir(Path::new(env!("CARGO_MANIFEST_DIR"))).env(CUTS_VARIABLE, cuts.to_string());
    if mode.faulty {
        command.env(LYING_VARIABLE, "1");
    }
    let mut child = command.stdout(Stdio::piped()).spawn().map_err(cannot("start cargo"))?;
    let lines = child.stdout.take().map(BufReader::new).ok_or("cargo has no output")?.lines();
    let mut tally = Tally::default();
    let mut told = false;
    for line in lines.map_while(Result::ok) {
        // The test's harness may have begun the line.
        let Some((_, figures)) = line.split_once(FIGURES) else { continue };
        say(&format!("{FIGURES}{figures}"));
        let figure = |name: &str| {
            let rest = figures.split(", ").find_map(|part| part.strip_suffix(name))?;
            rest.trim().parse::<u64>().ok()
        };
        if let (Some(injected), Some(lost)) = (figure(" done"), figure(" records lost")) {
            (tally.injected, tally.lost, told) = (injected, lost, true);
        }
    }
    let status = child.wait().map_err(cannot("wait for cargo"))?;
    if !told {
        return Err(format!("the crash test says nothing: {status}"));
    }
    if !status.success() {
        tally.broke(format!("the crash test: {status}"));
    }
    if tally.injected < cuts {
        tally.broke(format!("the power failed {} times, not {cuts}", tally.injected));
    }
    Ok(tally)
}
