//! The suite's other leg: Remit is the client, and the suite plays the server and its authorization server.
//!
//! The suite starts a command with the address of its server. That command is this program again (`--as-client`): see [`play`].

mod agent;
mod person;
mod play;

use std::{
    collections::VecDeque,
    env,
    error::Error,
    fs,
    path::{Path, PathBuf},
    process::Stdio,
    sync::{Mutex, PoisonError},
    thread,
};

use serde_json::Value;

use super::suite::Suite;
use crate::{Outcome, build, say, target};

/// The options, as the usage shows them.
pub(crate) const OPTIONS: &str = "[--debug] [--scenario NAME]…";

/// The revisions whose scenarios are run, the older ones for what later ones dropped.
const REVISIONS: [&str; 3] = ["2025-03-26", "2025-11-25", "2026-07-28"];

/// How many scenarios run at once: most of the time each of them waits.
const AT_ONCE: usize = 4;

/// What can't apply to Remit, or is not built, and why.
const NOT_RUN: [(&str, &str); 9] = [
    ("auth/2025-03-26-oauth-endpoint-fallback", "a server without any metadata promises no PKCE, and Remit goes to none without"),
    ("auth/enterprise-managed-authorization", "never scored: Remit has no identity provider's token for a user to exchange"),
    ("auth/dpop", "never scored: Remit binds no tokens to keys (RFC 9449)"),
    ("auth/dpop-nonce", "never scored: Remit binds no tokens to keys (RFC 9449)"),
    ("auth/wif-jwt-bearer", "never scored: Remit has no workload identity of a platform to show"),
    ("sep-2640-client-no-prefetch", "what it checks is the agent's own client"),
    ("sep-2640-client-verify-digest", "what it checks is the agent's own client"),
    ("sep-2640-client-verify-size", "what it checks is the agent's own client"),
    ("sep-2640-client-verify-frontmatter", "what it checks is the agent's own client"),
];

/// Tells the command that the suite starts which Remit to start.
const REMIT: &str = "REMIT_CONFORMANCE_BINARY";

/// A scenario in a revision.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Case {
    name: String,
    revision: &'static str,
}

/// What a case came to.
struct Done {
    case: Case,
    passed: bool,
    /// Checks that hold, of how many.
    checks: (usize, usize),
    /// Checks that don't, warnings with them, as the suite words them.
    faults: Vec<String>,
    /// What was said, for a case that failed.
    log: String,
}

/// Runs the scenarios, or is the client in one.
pub(crate) fn run(options: &[String]) -> Outcome {
    match options {
        [first, rest @ ..] if first == "--as-client" => play::client(rest.last().ok_or("the suite gave no address")?),
        _ => leg(options),
    }
}

fn leg(options: &[String]) -> Outcome {
    let mut wanted = Vec::new();
    let mut release = true;
    let mut options = options.iter();
    while let Some(option) = options.next() {
        match option.as_str() {
            "--debug" => release = false,
            "--scenario" => wanted.push(options.next().ok_or("`--scenario` needs a value")?.clone()),
            _ => return Err(format!("unknown option `{option}`; the options are {OPTIONS}").into()),
        }
    }
    let suite = Suite::install()?;
    let remit = build("remit", release)?;
    let mut cases = Vec::new();
    for revision in REVISIONS {
        let output = suite.command().args(["list", "--client", "--spec-version", revision]).output()?;
        cases.extend(parse(&String::from_utf8_lossy(&output.stdout), revision));
    }
    // Extensions belong to no revision: once is enough.
    let output = suite.command().args(["list", "--client"]).output()?;
    cases.extend(parse_extensions(&String::from_utf8_lossy(&output.stdout)));
    if cases.is_empty() {
        return Err("the suite lists no scenario for clients".into());
    }
    if wanted.is_empty() {
        cases.retain(|case| !NOT_RUN.iter().any(|(name, _)| *name == case.name));
    } else {
        cases.retain(|case| wanted.contains(&case.name));
    }
    let results = target().join("conformance/results/client");
    match fs::remove_dir_all(&results) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(error.into()),
        _ => fs::create_dir_all(&results)?,
    }
    let all = cases.len();
    let queue = Mutex::new(VecDeque::from(cases));
    let ran: Result<Vec<bool>, String> = thread::scope(|scope| {
        let work = || -> Result<Vec<bool>, String> {
            let mut passed = Vec::new();
            loop {
                let next = queue.lock().unwrap_or_else(PoisonError::into_inner).pop_front();
                let Some(case) = next else { return Ok(passed) };
                let done = one(&suite, &remit, &results, case).map_err(|error| error.to_string())?;
                say(&told(&done));
                passed.push(done.passed);
            }
        };
        let workers: Vec<_> = (0..AT_ONCE).map(|_| scope.spawn(work)).collect();
        let mut all = Vec::new();
        for worker in workers {
            all.extend(worker.join().map_err(|_| "a worker broke off".to_owned())??);
        }
        Ok(all)
    });
    let ran = ran?;
    let passed = ran.iter().filter(|passed| **passed).count();
    let failed = all - passed;
    if wanted.is_empty() {
        for (name, why) in NOT_RUN {
            say(&format!("not run {name}: {why}"));
        }
    }
    let not_run = if wanted.is_empty() { NOT_RUN.len() } else { 0 };
    say(&format!("{passed} passed, {failed} failed, {not_run} not run"));
    Ok(failed == 0)
}

/// Runs one scenario.
fn one(suite: &Suite, remit: &Path, results: &Path, case: Case) -> Result<Done, Box<dyn Error>> {
    let folder = results.join(format!("{}-{}", case.revision, case.name.replace('/', "-")));
    let myself = format!("{} conformance-client --as-client", env::current_exe()?.display());
    let mut command = suite.command();
    command.args(["client", "--command", &myself, "--scenario", &case.name, "--output-dir"]).arg(&folder);
    if !case.revision.is_empty() {
        command.args(["--spec-version", case.revision]);
    }
    let output = command.env(REMIT, remit).current_dir(target()).stdin(Stdio::null()).output()?;
    let log = String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
    let checks = checks(&folder)?;
    let text = |check: &Value, field: &str| check.get(field).and_then(Value::as_str).unwrap_or_default().to_owned();
    let with = |status: &str| checks.iter().filter(|check| text(check, "status") == status).count();
    let faults = checks
        .iter()
        .filter(|check| matches!(text(check, "status").as_str(), "FAILURE" | "WARNING"))
        .map(|check| format!("{} {}: {}", text(check, "status"), text(check, "id"), text(check, "description")))
        .collect();
    // The suite's own word, and that it checked something at all.
    let passed = output.status.success() && log.contains("OVERALL: PASSED") && with("SUCCESS") > 0;
    Ok(Done { case, passed, checks: (with("SUCCESS"), with("SUCCESS") + with("FAILURE") + with("WARNING")), faults, log })
}

/// What the suite wrote down in its one folder under `folder`, or in the folder of a name that holds a slash.
fn checks(folder: &Path) -> Result<Vec<Value>, Box<dyn Error>> {
    let mut folders = vec![folder.to_owned()];
    while let Some(folder) = folders.pop() {
        let file = folder.join("checks.json");
        if file.exists() {
            let list: Value = serde_json::from_slice(&fs::read(file)?)?;
            return Ok(list.as_array().cloned().unwrap_or_default());
        }
        let Ok(entries) = fs::read_dir(&folder) else { continue };
        let below: Result<Vec<PathBuf>, _> = entries.map(|entry| entry.map(|entry| entry.path())).collect();
        folders.extend(below?.into_iter().filter(|path| path.is_dir()));
    }
    Ok(Vec::new())
}

fn told(done: &Done) -> String {
    let word = if done.passed { "ok    " } else { "FAILED" };
    let revision = if done.case.revision.is_empty() { "extension" } else { done.case.revision };
    let mut text = format!("{word} {revision:<10} {} ({}/{} checks)", done.case.name, done.checks.0, done.checks.1);
    if !done.passed {
        for fault in &done.faults {
            text.push_str(&format!("\n       {fault}"));
        }
        let tail: Vec<&str> =
            done.log.lines().filter(|line| !line.contains("[incoming") && !line.contains("[outgoing")).collect();
        for line in tail.iter().skip(tail.len().saturating_sub(40)) {
            text.push_str(&format!("\n       | {line}"));
        }
    }
    text
}

/// Reads what the suite's `list` prints: `- name [tags]`, below a heading.
fn parse(list: &str, revision: &'static str) -> Vec<Case> {
    let names = items(list).filter(|(_, tags)| tags.split(',').any(|tag| tag == revision));
    names.map(|(name, _)| Case { name: name.to_owned(), revision }).collect()
}

fn parse_extensions(list: &str) -> Vec<Case> {
    let names = items(list).filter(|(_, tags)| *tags == "extension");
    names.map(|(name, _)| Case { name: name.to_owned(), revision: "" }).collect()
}

fn items(list: &str) -> impl Iterator<Item = (&str, &str)> {
    let items = list.lines().filter_map(|line| line.trim_start().strip_prefix("- "));
    items.filter_map(|item| item.split_once(" [")).map(|(name, tags)| (name, tags.trim_end_matches(']')))
}

#[cfg(test)]
mod tests {
    use super::{parse, parse_extensions};

    const LIST: &str = "Client scenarios (test against a client):\n  - initialize [2025-06-18,2025-11-25]\n  \
                        - auth/basic-cimd [2025-11-25,2026-07-28]\n  - auth/dpop [extension]\n";

    #[test]
    fn scenarios_of_a_revision() {
        let names: Vec<String> = parse(LIST, "2025-11-25").into_iter().map(|case| case.name).collect();
        assert_eq!(names, ["initialize", "auth/basic-cimd"]);
        assert_eq!(parse(LIST, "2026-07-28").len(), 1);
        assert!(parse(LIST, "2025-03-26").is_empty());
    }

    #[test]
    fn extensions_are_of_no_revision() {
        let names: Vec<String> = parse_extensions(LIST).into_iter().map(|case| case.name).collect();
        assert_eq!(names, ["auth/dpop"]);
    }
}
