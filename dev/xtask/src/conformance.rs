//! `cargo xtask conformance`: the MCP conformance suite, on a server alone and on the same server through Remit.
//!
//! The two legs belong together. What fails alone is the server's fault; what fails only through Remit is Remit's.

pub(crate) mod client;
mod report;
mod servers;
mod suite;

use std::{
    error::Error,
    io::{self, Write},
};

use self::{report::Run, servers::Server, suite::Suite};
use crate::Outcome;

/// The options, as the usage shows them.
pub(crate) const OPTIONS: &str = "[--upstream URL] [--only alone|through] [--spec REVISION]… [--debug] [--json]";

/// How the server is reached.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Leg {
    /// Directly.
    Alone,
    /// Through Remit.
    Through,
}

impl Leg {
    /// The leg's name, in options and reports.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Alone => "alone",
            Self::Through => "through",
        }
    }
}

/// A revision of MCP, and how the suite is asked for it.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Revision {
    /// A revision with a frozen set of requirements.
    Required(&'static str),
    /// An older one: every scenario that applies to it counts.
    Applicable(&'static str),
}

impl Revision {
    /// Those that are run, unless `--spec` picks some.
    const DEFAULT: [Self; 3] = [Self::Required("2025-11-25"), Self::Required("2026-07-28"), Self::Applicable("2025-06-18")];

    /// Those that `--spec` knows.
    const ALL: [Self; 4] = [
        Self::Required("2025-11-25"),
        Self::Required("2026-07-28"),
        Self::Applicable("2025-06-18"),
        Self::Applicable("2025-03-26"),
    ];

    /// The revision's date.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Required(name) | Self::Applicable(name) => name,
        }
    }
}

/// What the command line asks for.
#[derive(Default)]
struct Options {
    upstream: Option<String>,
    only: Option<Leg>,
    revisions: Vec<Revision>,
    json: bool,
    /// Builds without optimization: for the tests, which ask for answers and not for speed.
    debug: bool,
}

impl Options {
    fn parse(arguments: &[String]) -> Result<Self, Box<dyn Error>> {
        let mut options = Self::default();
        let mut arguments = arguments.iter();
        while let Some(argument) = arguments.next() {
            let mut value = || arguments.next().ok_or_else(|| format!("`{argument}` needs a value"));
            match argument.as_str() {
                "--upstream" => options.upstream = Some(value()?.clone()),
                "--only" => options.only = Some(leg(value()?)?),
                "--spec" => options.revisions.push(revision(value()?)?),
                "--json" => options.json = true,
                "--debug" => options.debug = true,
                _ => {
                    return Err(format!("unknown option `{argument}`; the options are {OPTIONS}").into());
                }
            }
        }
        if options.revisions.is_empty() {
            options.revisions = Revision::DEFAULT.to_vec();
        }
        Ok(options)
    }

    fn wants(&self, leg: Leg) -> bool {
        self.only.is_none_or(|only| only == leg)
    }
}

fn leg(name: &str) -> Result<Leg, String> {
    let leg = [Leg::Alone, Leg::Through].into_iter().find(|leg| leg.name() == name);
    leg.ok_or_else(|| format!("unknown leg `{name}`; there are `alone` and `through`"))
}

fn revision(name: &str) -> Result<Revision, String> {
    let revision = Revision::ALL.into_iter().find(|revision| revision.name() == name);
    revision.ok_or_else(|| {
        let known: Vec<_> = Revision::ALL.into_iter().map(Revision::name).collect();
        format!("unknown revision `{name}`; there are {}", known.join(", "))
    })
}

/// Runs the suite as `arguments` say. True if everything passed that counts.
pub(crate) fn run(arguments: &[String]) -> Outcome {
    let options = Options::parse(arguments)?;
    let suite = Suite::install()?;
    let upstream = match &options.upstream {
        Some(url) => Server::elsewhere(url),
        None => servers::fixture(!options.debug)?,
    };
    // Both are up before the first leg, so that a build that fails says so at once.
    let remit = options.wants(Leg::Through).then(|| servers::remit(&upstream, !options.debug)).transpose()?;
    let mut runs = Vec::new();
    if options.wants(Leg::Alone) {
        runs.extend(leg_run(&suite, Leg::Alone, &upstream, &options.revisions)?);
    }
    if let Some(remit) = &remit {
        runs.extend(leg_run(&suite, Leg::Through, remit, &options.revisions)?);
    }
    let text = if options.json { report::json(&runs).to_string() } else { report::table(&runs) };
    writeln!(io::stdout(), "{text}")?;
    Ok(runs.iter().all(Run::passed))
}

/// Runs every revision against `server`.
fn leg_run(suite: &Suite, leg: Leg, server: &Server, revisions: &[Revision]) -> Result<Vec<Run>, Box<dyn Error>> {
    let mut runs = Vec::new();
    for &revision in revisions {
        let name = revision.name();
        // Progress only; the report follows on standard output.
        let _ = writeln!(io::stderr(), "{name} {}: {}", leg.name(), server.url());
        runs.push(suite.run(leg, revision, server.url())?);
    }
    Ok(runs)
}
