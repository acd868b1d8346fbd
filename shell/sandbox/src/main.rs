//! The launcher without the rest of Remit: what the tests and the measurement start.
//!
//! `remit-sandbox run PROFILE FORBIDDEN COMMAND…` runs a command under a profile, as JSON, with this process's input and output; what holds is
//! said on standard error.

use std::io::Write as _;
use std::path::PathBuf;
use std::process::ExitCode;

fn main() -> ExitCode {
    remit_sandbox::launched().unwrap_or_else(|| match run() {
        Ok(code) => ExitCode::from(code),
        Err(why) => {
            let _ = writeln!(std::io::stderr(), "{why}");
            ExitCode::FAILURE
        }
    })
}

fn run() -> Result<u8, String> {
    let mut arguments = std::env::args().skip(1);
    if arguments.next().as_deref() != Some("run") {
        return Err("usage: remit-sandbox run PROFILE FORBIDDEN COMMAND…".to_owned());
    }
    let (profile, forbidden) = (arguments.next().ok_or("no profile")?, arguments.next().ok_or("no folder")?);
    let profile = serde_json::from_str(&profile).map_err(|error| error.to_string())?;
    let command: Vec<String> = arguments.collect();
    let program = std::env::current_exe().map_err(|error| error.to_string())?;
    let spec = remit_sandbox::Spec::new(&command, Vec::new(), profile, vec![PathBuf::from(forbidden)], &program)?;
    let told = |report: &remit_sandbox::Report, _| {
        let _ = writeln!(std::io::stderr(), "{}", serde_json::to_string(report).unwrap_or_default());
    };
    remit_sandbox::run(&spec, told).map_err(|error| error.to_string())
}
