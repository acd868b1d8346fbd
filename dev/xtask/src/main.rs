//! The workspace's chores, as `cargo xtask <command>`.
//!
//! Light on purpose, because everyone compiles it first: the standard library and `serde_json`, no runtime.

mod conformance;

use std::{
    env,
    error::Error,
    io::{self, Write},
    path::{Path, PathBuf},
    process::ExitCode,
};

/// What a chore comes to: whether all is well, or why it could not find out.
type Outcome = Result<bool, Box<dyn Error>>;

/// One command: its name, what it does, its options, and the function that runs it.
struct Command {
    name: &'static str,
    about: &'static str,
    options: &'static str,
    run: fn(&[String]) -> Outcome,
}

/// Every command. A new chore is a module and a line here.
const COMMANDS: &[Command] = &[Command {
    name: "conformance",
    about: "run the MCP conformance suite on the fixture, alone and through Remit",
    options: conformance::OPTIONS,
    run: conformance::run,
}];

fn main() -> ExitCode {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let Some((name, options)) = arguments.split_first() else {
        return usage();
    };
    let Some(command) = COMMANDS.iter().find(|command| command.name == name) else {
        return usage();
    };
    match (command.run)(options) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            // Nothing is left to do if standard error is closed.
            let _ = writeln!(io::stderr(), "error: {error}");
            ExitCode::from(2)
        }
    }
}

/// Says which commands there are.
fn usage() -> ExitCode {
    let mut stderr = io::stderr();
    let _ = writeln!(stderr, "usage: cargo xtask <command> [options]\n");
    for command in COMMANDS {
        let _ = writeln!(
            stderr,
            "  {} {}\n      {}",
            command.name, command.options, command.about
        );
    }
    ExitCode::from(2)
}

/// The workspace's root.
fn root() -> PathBuf {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    here.ancestors().nth(2).unwrap_or(here).to_path_buf()
}

/// Where cargo builds.
fn target() -> PathBuf {
    env::var_os("CARGO_TARGET_DIR")
        .map_or_else(|| root().join("target"), |target| root().join(target))
}
