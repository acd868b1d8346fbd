//! `remit test`: an organization's own cases, run offline.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use remit_kernel::{Decision, LayerLine, Verdict};
use remit_trial::cases::Expected;
use remit_trial::cases::{self, Case, Known};
use remit_trial::run::deciding;
use remit_trial::{Coverage, Outcome, Trial};
use serde_json::{Value, json};

use crate::cli::Test;
use crate::files;
use crate::offline::{self, Offline, Refused};
use crate::output::{FAILURE, Failure, Printer, warn};

/// Runs the cases.
pub(crate) fn test(options: &Test) -> Result<(), Failure> {
    let printer = Printer::new(options.json);
    let directory = options.directory.as_deref();
    let (offline, cases) = match read(directory) {
        Ok(read) => read,
        Err(refused) => return Err(refused.told(printer)?),
    };
    let cases = chosen(cases, options.filter.as_deref())?;
    let organization = Arc::new(offline.source.loaded.organization.clone());
    let mut coverage = Coverage::of(&organization, &offline.source.files);
    let started = Instant::now();
    let trial = Trial::new(&organization, offline.lock.as_ref(), &cases);
    let compiled = started.elapsed();
    let folder = directory.map(|directory| format!("{}/", directory.display())).unwrap_or_default();
    let (mut failed, mut took, mut all, mut file) = (0, Duration::ZERO, Vec::new(), "");
    for case in &cases {
        let started = Instant::now();
        let outcome = trial.run(case, &mut coverage);
        took += started.elapsed();
        let outcome = outcome.map_err(|error| Failure::new(format!("{}:{}: {error}", case.file, case.line)))?;
        failed += usize::from(!outcome.mismatches.is_empty());
        if printer.json {
            all.push(as_json(case, &outcome, &trial));
            continue;
        }
        if file != case.file {
            file = &case.file;
            line(printer, &format!("{folder}{file}"))?;
        }
        line(printer, &told(case, &outcome, &trial, &folder))?;
    }
    written(options, &coverage, &folder)?;
    let least = options.coverage_min.map(|percent| usize::from(percent) * 100);
    let short = least.is_some_and(|least| coverage.share() < least);
    let passed = cases.len() - failed;
    if printer.json {
        let units = options.coverage.then(|| covered(&coverage, ""));
        let whole = json!({
            "ok": failed == 0 && !short, "passed": passed, "failed": failed, "cases": all,
            "coverage": {"percent": percent(&coverage), "units": units},
            "compiled_us": micros(compiled), "decided_us": micros(took),
        });
        line(printer, &whole.to_string())?;
    } else {
        if options.coverage {
            line(printer, &table(&coverage))?;
        }
        let (hit, of) = coverage.counts();
        line(
            printer,
            &format!(
                "\n{} cases: {passed} passed, {failed} failed; {hit} of {of} statements, policies of sets, rows and listed tools exercised ({} %); decided in {} ms",
                cases.len(),
                percent(&coverage),
                took.as_millis(),
            ),
        )?;
    }
    if short {
        let least = options.coverage_min.unwrap_or_default();
        warn(&format!("{} % is less than --coverage-min {least}: `--coverage` shows what no case exercises", percent(&coverage)));
    }
    if failed > 0 || short { Err(Failure::said(FAILURE)) } else { Ok(()) }
}

/// Prints a line. Whether cases pass doesn't hang on who still reads.
fn line(printer: Printer, text: &str) -> Result<(), Failure> {
    match printer.line(text) {
        Err(Failure { code: 0, .. }) => Ok(()),
        said => said,
    }
}

fn read(directory: Option<&Path>) -> Result<(Offline, Vec<Case>), Refused> {
    let offline = Offline::read(directory)?;
    let files = offline::cases(directory).map_err(Refused::Other)?;
    if files.is_empty() {
        let folder = directory.unwrap_or(Path::new(".")).join(remit_config::TESTS_FOLDER);
        let what = format!("there are no cases in `{}`: `remit test` alone runs Acme's, to learn from", folder.display());
        return Err(Refused::Other(Failure::invalid(what)));
    }
    let known = Known::new(&offline.source.loaded.organization, offline.lock.as_ref());
    let cases = cases::read(&files, &known).map_err(Refused::Faults)?;
    Ok((offline, cases))
}

/// The cases that are asked for. None at all would pass for every case passing.
fn chosen(mut cases: Vec<Case>, filter: Option<&str>) -> Result<Vec<Case>, Failure> {
    let all = cases.len();
    if let Some(filter) = filter {
        cases.retain(|case| format!("{}: {}", case.file, case.name).contains(filter));
    }
    match (cases.is_empty(), filter) {
        (false, _) => Ok(cases),
        (true, Some(filter)) => Err(Failure::invalid(format!("none of {all} cases holds `{filter}` in its file or name"))),
        (true, None) => Err(Failure::invalid("the files hold no cases: write one under `cases`")),
    }
}

/// A case's line, and for one that failed what was expected and what was said.
fn told(case: &Case, outcome: &Outcome, trial: &Trial, folder: &str) -> String {
    if outcome.mismatches.is_empty() {
        return format!("  ok    {}", case.name);
    }
    let mut out = format!("  FAIL  {}   {folder}{}:{}\n", case.name, case.file, case.line);
    out.push_str(&format!("          expected: {}\n", case.expect.brief()));
    out.push_str(&format!("          said:     {}", said(&outcome.decision)));
    for line in deciding(&outcome.decision, outcome.verdict == Expected::Allow) {
        out.push_str(&format!("\n            {}", layer(line)));
    }
    for mismatch in outcome.mismatches.iter().filter(|mismatch| mismatch.key != "verdict") {
        // The statements that were said, with their places, stand above.
        let told = matches!(mismatch.key, "statement" | "at");
        let said = if told { "not among these".to_owned() } else { format!("was {}", mismatch.said) };
        out.push_str(&format!("\n          {}: expected {}, {said}", mismatch.key, mismatch.expected));
    }
    if case.expect.verdict == Expected::Allow && outcome.verdict != Expected::Allow {
        for remedy in trial.remedies(case, &outcome.decision) {
            let at = remedy.at.map(|at| format!("  [{at}]")).unwrap_or_default();
            out.push_str(&format!("\n          to allow it: {}{at}", remedy.change));
        }
    }
    out
}

/// The verdict in a few words.
fn said(decision: &Decision) -> String {
    match &decision.verdict {
        Verdict::Allow(_) => "allow, by".to_owned(),
        Verdict::Hold(_) => "hold, by".to_owned(),
        Verdict::Deny(denial) => format!("deny {}, by", denial.reason.as_str()),
    }
}

fn layer(line: &LayerLine) -> String {
    let origin = line.origin.as_ref().map(|origin| format!("  [{origin}]")).unwrap_or_default();
    format!("{:<23} {:<13} {}{origin}", line.layer.as_str(), line.effect.as_str(), line.statement.as_str())
}

fn as_json(case: &Case, outcome: &Outcome, trial: &Trial) -> Value {
    let verdict = outcome.verdict.as_str();
    let (reason, layer) = outcome.decision.against().map(|denial| (denial.reason, denial.layer)).unzip();
    let passed = outcome.mismatches.is_empty();
    let mut value = json!({
        "file": case.file, "line": case.line, "name": case.name, "space": case.space, "asked": case.wanted.name(), "passed": passed,
        "expected": case.expect.brief(), "verdict": verdict, "reason": reason, "layer": layer,
    });
    if let Some(map) = value.as_object_mut().filter(|_| !passed) {
        map.insert("mismatches".to_owned(), json!(outcome.mismatches));
        map.insert("layers".to_owned(), json!(outcome.decision.layers));
        map.insert("remedies".to_owned(), json!(trial.remedies(case, &outcome.decision)));
    }
    value
}

/// Writes what was asked for to files.
fn written(options: &Test, coverage: &Coverage, folder: &str) -> Result<(), Failure> {
    if let Some(file) = &options.coverage_json {
        let whole = json!({"percent": percent(coverage), "units": covered(coverage, folder)});
        files::write(file, &format!("{whole:#}\n"))?;
    }
    match &options.lcov {
        Some(file) => files::write(file, &coverage.lcov(folder)),
        None => Ok(()),
    }
}

fn covered(coverage: &Coverage, folder: &str) -> Vec<Value> {
    let unit = |unit: &remit_trial::cover::Unit| {
        let mut value = json!(unit);
        if let Some(file) = value.get_mut("file") {
            *file = json!(format!("{folder}{}", unit.file));
        }
        value
    };
    coverage.units().into_iter().map(unit).collect()
}

/// What was exercised, for people: the least exercised of each kind first, and at the end what no call reaches.
fn table(coverage: &Coverage) -> String {
    let mut out = String::from("\n  decided  applied");
    let mut units = coverage.units();
    units.sort_by_key(|unit| (unit.kind, unit.is_covered()));
    for unit in units.iter().filter(|unit| unit.reachable) {
        let mark = if unit.is_covered() { ' ' } else { '✗' };
        let (kind, name) = (unit.kind, &unit.name);
        let counts = format!("{:>8} {:>8}", unit.decided, unit.contributed);
        out.push_str(&format!("\n{mark}{counts}   {kind:<22} {name}  [{}:{}]", unit.file, unit.line));
    }
    for unit in units.iter().filter(|unit| !unit.reachable) {
        out.push_str(&format!("\n {:>17}   {:<22} {}  [{}:{}]", "no call", unit.kind, unit.name, unit.file, unit.line));
    }
    out
}

/// The share in percent.
fn percent(coverage: &Coverage) -> f64 {
    f64::from(u32::try_from(coverage.share()).unwrap_or_default()) / 100.0
}

fn micros(took: Duration) -> u64 {
    u64::try_from(took.as_micros()).unwrap_or(u64::MAX)
}
