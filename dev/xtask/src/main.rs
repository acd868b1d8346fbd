//! The workspace's chores, as `cargo xtask <command>`.
//!
//! Light on purpose, because everyone compiles it first: the standard library and `serde_json`, no runtime.

mod agentdojo;
mod behaviour;
mod bench;
mod conformance;
mod fault;
mod guard;
mod iam_diff;
mod test;
mod tidy;

use std::{
    env,
    error::Error,
    io::{self, Write},
    path::{Path, PathBuf},
    process::{self, ExitCode},
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
const COMMANDS: &[Command] = &[
    Command {
        name: "test",
        about: "install what the tests need and run all of them, the conformance suite included",
        options: test::OPTIONS,
        run: test::run,
    },
    Command { name: "ci", about: "what continuous integration runs: format, lints, tidy, test", options: "", run: test::ci },
    Command {
        name: "tidy",
        about: "check the rules of the tree: who may depend on whom, sizes, words",
        options: "",
        run: tidy::run,
    },
    Command {
        name: "bench",
        about: "measure: `gateway` compares a governed call with a direct one and a bare proxy",
        options: bench::OPTIONS,
        run: bench::run,
    },
    Command {
        name: "fault",
        about: "inject faults into the journal: failing system calls, kills, power cuts, full disks, changed files",
        options: fault::OPTIONS,
        run: fault::run,
    },
    Command {
        name: "conformance",
        about: "run the MCP conformance suite on the fixture, alone and through Remit",
        options: conformance::OPTIONS,
        run: conformance::run,
    },
    Command {
        name: "conformance-client",
        about: "run the suite's client leg with Remit as the client",
        options: conformance::client::OPTIONS,
        run: conformance::client::run,
    },
    Command {
        name: "agentdojo",
        about: "stream AgentDojo's traces through Remit: what its policy costs, and what an attack still can do",
        options: agentdojo::OPTIONS,
        run: agentdojo::run,
    },
    Command {
        name: "behaviour",
        about: "measure what is found of anomalies in weeks of the sample organization, on seeds that nothing was chosen on",
        options: behaviour::OPTIONS,
        run: behaviour::run,
    },
    Command {
        name: "guard",
        about: "measure the guardrails' detectors; `--definitions` measures the scan of servers' definitions; `--train` trains the classifier first",
        options: guard::OPTIONS,
        run: guard::run,
    },
    Command {
        name: "iam-diff",
        about: "compare the IAM engine with another one",
        options: iam_diff::OPTIONS,
        run: iam_diff::run,
    },
];

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
        let _ = writeln!(stderr, "  {} {}\n      {}", command.name, command.options, command.about);
    }
    ExitCode::from(2)
}

/// Runs a command in the workspace's root; whether it ended well.
fn succeeds(program: &str, arguments: &[&str]) -> Result<bool, Box<dyn Error>> {
    let program = if program == "cargo" { env::var_os("CARGO").unwrap_or_else(|| "cargo".into()) } else { program.into() };
    let mut command = process::Command::new(&program);
    let status = command.args(arguments).current_dir(root()).status();
    Ok(status.map_err(|error| format!("can't run `{}`: {error}", program.to_string_lossy()))?.success())
}

/// Builds a binary of the workspace and says where it is.
fn build(package: &str, release: bool) -> Result<PathBuf, Box<dyn Error>> {
    let (profile, folder) = if release { ("release", "release") } else { ("dev", "debug") };
    if !succeeds("cargo", &["build", "--quiet", "--profile", profile, "--package", package])? {
        return Err(format!("can't build `{package}`").into());
    }
    Ok(target().join(folder).join(package))
}

/// Says what happens now.
fn say(text: &str) {
    let _ = writeln!(io::stdout(), "{text}");
}

/// The workspace's root.
fn root() -> PathBuf {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    here.ancestors().nth(2).unwrap_or(here).to_path_buf()
}

/// Where cargo builds.
fn target() -> PathBuf {
    env::var_os("CARGO_TARGET_DIR").map_or_else(|| root().join("target"), |target| root().join(target))
}
