//! Injects faults into the journal and counts what was lost: `remit-fault NAME`, or all of them.
//!
//! Each test is run against the journal's public face, by a harness that doesn't trust it: what was acknowledged is noted outside of the
//! process that acknowledges. The last line says how many faults were injected and how many records were lost; the exit code is 0 only if
//! everything held. With `--faulty` a test is run on a workload or an auditor that is wrong on purpose, and must not hold.

mod full;
mod fuzz;
mod kill;
mod log;
mod mutate;
mod oracle;
mod power;
mod random;
mod replicas;
mod report;
mod strace;
mod tamper;
mod workload;

use std::process::ExitCode;

use report::{Tally, complain, say};

/// How a test is run.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Mode {
    /// Some seconds instead of some minutes.
    short: bool,
    /// With something in the harness that is wrong on purpose: the test must find it.
    faulty: bool,
}

/// One test: its name, what it does, and the function that runs it.
struct Test {
    name: &'static str,
    about: &'static str,
    run: fn(Mode) -> Result<Tally, String>,
}

const TESTS: &[Test] = &[
    Test { name: "strace", about: "EIO, ENOSPC and SIGKILL at every system call of a run", run: strace::run },
    Test { name: "kill", about: "500 times SIGKILL under 64 producers", run: kill::run },
    Test { name: "power", about: "100,000 simulated power cuts: torn, dropped, reordered, stale frames", run: power::run },
    Test { name: "full", about: "a small file system that fills up, and has room again", run: full::run },
    Test { name: "tamper", about: "10,000 flipped bits, rollbacks and truncations", run: tamper::run },
    Test {
        name: "replicas",
        about: "8 nodes and a bucket that loses answers; nodes stopped, killed and emptied",
        run: replicas::run,
    },
    Test { name: "fuzz", about: "every parser of the tree and of the journal, on what nobody wrote", run: fuzz::run },
];

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let Some((name, options)) = arguments.split_first() else { return usage() };
    let flag = |name: &str| options.iter().any(|option| option == name);
    let mode = Mode { short: flag("--short"), faulty: flag("--faulty") };
    match name.as_str() {
        "workload" => workload::run(options),
        "full-inside" => ended(full::inside(mode)),
        "all" => all(mode),
        name => match TESTS.iter().find(|test| test.name == name) {
            Some(test) => ended((test.run)(mode)),
            None => usage(),
        },
    }
}

/// Says what a test came to, the figures last.
fn ended(result: Result<Tally, String>) -> ExitCode {
    match result {
        Ok(tally) => {
            tally.say_broken();
            say(&tally.to_string());
            if tally.holds() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
        }
        Err(error) => {
            complain(&format!("error: {error}"));
            ExitCode::from(2)
        }
    }
}

fn all(mode: Mode) -> ExitCode {
    let mut total = Tally::default();
    let mut states = Vec::new();
    for test in TESTS {
        say(&format!("{}: {}", test.name, test.about));
        match (test.run)(mode) {
            Ok(tally) => {
                tally.say_broken();
                say(&tally.to_string());
                states.push(format!("{} {}", test.name, if tally.holds() { "holds" } else { "DOES NOT HOLD" }));
                total.add(tally);
            }
            Err(error) => {
                states.push(format!("{} COULD NOT RUN", test.name));
                total.broke(format!("{}: {error}", test.name));
            }
        }
    }
    say(&states.join(", "));
    ended(Ok(total))
}

fn usage() -> ExitCode {
    complain("usage: remit-fault NAME [--short] [--faulty]\n");
    for test in TESTS {
        complain(&format!("  {:9}{}", test.name, test.about));
    }
    complain("  all      all of them, one after the other");
    ExitCode::from(2)
}
