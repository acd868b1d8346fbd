//! `cargo xtask agentdojo`: AgentDojo's traces, streamed through Remit and judged by AgentDojo's own checkers.
//!
//! AgentDojo (MIT) is installed from PyPI under the target folder and runs as a process of its own. Nothing asks a model for anything: the
//! calls that carry each task out are known, so the figures are the same every time.

use std::{fs, process::Command};

use crate::{Outcome, build, root, target};

/// The options, as the usage shows them.
pub(crate) const OPTIONS: &str = "[--suites NAME,…] [--attacks NAME,…] [--unguarded] [--detectors] [--json] [--debug]";

/// Installs AgentDojo where it isn't yet, builds Remit, and runs the traces.
pub(crate) fn run(options: &[String]) -> Outcome {
    let (debug, options): (Vec<&String>, Vec<&String>) = options.iter().partition(|option| *option == "--debug");
    let source = root().join("dev/peers/agentdojo");
    let wanted = source.join("requirements.txt");
    let venv = target().join("agentdojo");
    let installed = venv.join("installed.txt");
    if fs::read(&installed).ok() != fs::read(&wanted).ok() {
        ran(Command::new("python3").args(["-m", "venv", "--clear"]).arg(&venv))?;
        let mut pip = Command::new(venv.join("bin/pip"));
        ran(pip.args(["install", "--quiet", "--disable-pip-version-check", "--no-deps", "-r"]).arg(&wanted))?;
        fs::copy(&wanted, &installed)?;
    }
    let remit = build("remit", debug.is_empty())?;
    let mut python = Command::new(venv.join("bin/python"));
    python.arg("run.py").arg("--remit").arg(remit).args(options).current_dir(source).env("PYTHONDONTWRITEBYTECODE", "1");
    Ok(python.status()?.success())
}

fn ran(command: &mut Command) -> Result<(), Box<dyn std::error::Error>> {
    if command.status()?.success() { Ok(()) } else { Err(format!("{command:?} failed").into()) }
}
