//! What the runs found, for people and for programs.

use std::{fmt::Write, path::PathBuf};

use serde_json::{Value, json};

/// One revision over one leg.
pub(crate) struct Run {
    pub(crate) leg: &'static str,
    pub(crate) revision: &'static str,
    pub(crate) scenarios: Vec<Scenario>,
    /// Where the suite left its own words.
    pub(crate) results: PathBuf,
}

/// One scenario of the suite.
pub(crate) struct Scenario {
    pub(crate) name: String,
    /// True if the revision requires it.
    pub(crate) scored: bool,
    /// What was checked; nothing if the scenario left no result.
    pub(crate) checks: Option<Vec<Check>>,
}

/// One check of a scenario.
pub(crate) struct Check {
    id: String,
    status: String,
    message: String,
}

impl Check {
    /// Reads an entry of `checks.json`.
    pub(crate) fn from_json(check: &Value) -> Self {
        let text = |field: &str| check.get(field).and_then(Value::as_str).unwrap_or_default().to_owned();
        let message = text("errorMessage");
        Self { id: text("id"), status: text("status"), message: if message.is_empty() { text("description") } else { message } }
    }

    fn json(&self) -> Value {
        json!({ "id": self.id, "message": self.message })
    }
}

impl Scenario {
    /// True if it left a result without a failure, which is what the suite counts as passed.
    pub(crate) fn passed(&self) -> bool {
        self.checks.is_some() && self.with("FAILURE").is_empty()
    }

    fn with(&self, status: &str) -> Vec<&Check> {
        self.checks.iter().flatten().filter(|check| check.status == status).collect()
    }
}

impl Run {
    /// True if everything passed that counts.
    pub(crate) fn passed(&self) -> bool {
        self.scenarios.iter().all(|scenario| scenario.passed() || !scenario.scored)
    }

    /// How many passed, of how many.
    fn count(&self, scored: bool) -> (usize, usize) {
        let counted: Vec<_> = self.scenarios.iter().filter(|scenario| scenario.scored == scored).collect();
        (counted.iter().filter(|scenario| scenario.passed()).count(), counted.len())
    }

    /// The scenarios with a warning, which the suite doesn't hold against anyone but a regression often shows in.
    fn warned(&self) -> impl Iterator<Item = &Scenario> {
        self.scenarios.iter().filter(|scenario| !scenario.with("WARNING").is_empty())
    }

    fn failed(&self) -> impl Iterator<Item = &Scenario> {
        self.scenarios.iter().filter(|scenario| !scenario.passed())
    }
}

/// A table of counts, and below it every failure and warning.
pub(crate) fn table(runs: &[Run]) -> String {
    let mut text = String::from("leg      revision    scored   unscored  warnings\n");
    for run in runs {
        let (scored, unscored) = (fraction(run.count(true)), fraction(run.count(false)));
        let warned = run.warned().count();
        // Writing to a string can't fail.
        let _ = writeln!(text, "{:<8} {:<11} {scored:<8} {unscored:<9} {warned}", run.leg, run.revision);
    }
    for run in runs {
        for scenario in run.failed() {
            let scored = if scenario.scored { "scored" } else { "not scored" };
            let _ = writeln!(text, "\nFAILED {} ({}, {}, {scored})", scenario.name, run.leg, run.revision);
            if scenario.checks.is_none() {
                let log = run.results.join("log.txt");
                let _ = writeln!(text, "  it left no result; see {}", log.display());
            }
            lines(&mut text, &scenario.with("FAILURE"));
        }
        for scenario in run.warned() {
            let _ = writeln!(text, "\nwarning: {} ({}, {})", scenario.name, run.leg, run.revision);
            lines(&mut text, &scenario.with("WARNING"));
        }
    }
    text.truncate(text.trim_end().len());
    text
}

/// The same, as JSON.
pub(crate) fn json(runs: &[Run]) -> Value {
    let count = |(passed, total)| json!({ "passed": passed, "total": total });
    let runs: Vec<Value> = runs
        .iter()
        .map(|run| {
            json!({
                "leg": run.leg,
                "revision": run.revision,
                "scored": count(run.count(true)),
                "unscored": count(run.count(false)),
                "failed": run.failed().map(|scenario| scenario_json(scenario, "FAILURE")).collect::<Vec<_>>(),
                "warned": run.warned().map(|scenario| scenario_json(scenario, "WARNING")).collect::<Vec<_>>(),
            })
        })
        .collect();
    json!({ "runs": runs })
}

fn scenario_json(scenario: &Scenario, status: &str) -> Value {
    let checks: Vec<Value> = scenario.with(status).into_iter().map(Check::json).collect();
    json!({
        "scenario": scenario.name,
        "scored": scenario.scored,
        "finished": scenario.checks.is_some(),
        "checks": checks,
    })
}

fn fraction((passed, total): (usize, usize)) -> String {
    format!("{passed}/{total}")
}

fn lines(text: &mut String, checks: &[&Check]) {
    for check in checks {
        let _ = writeln!(text, "  {}: {}", check.id, check.message.replace('\n', "\n    "));
    }
}

#[cfg(test)]
mod tests {
    use super::{Check, Run, Scenario, json, table};
    use serde_json::json as value;

    fn run(scored: bool, status: &str) -> Run {
        let check = value!({ "id": "a-check", "status": status, "errorMessage": "it broke" });
        let checks = Some(vec![Check::from_json(&check)]);
        let scenario = Scenario { name: "a-scenario".to_owned(), scored, checks };
        Run { leg: "alone", revision: "2026-07-28", scenarios: vec![scenario], results: "results".into() }
    }

    #[test]
    fn only_what_is_scored_decides() {
        assert!(run(true, "SUCCESS").passed());
        assert!(run(true, "WARNING").passed());
        assert!(run(false, "FAILURE").passed());
        assert!(!run(true, "FAILURE").passed());
    }

    #[test]
    fn a_scenario_without_result_has_failed() {
        let mut run = run(true, "SUCCESS");
        run.scenarios[0].checks = None;
        assert!(!run.passed());
        assert!(table(&[run]).contains("it left no result; see results/log.txt"));
    }

    #[test]
    fn failures_are_named() {
        let runs = [run(true, "FAILURE"), run(false, "SUCCESS")];
        let text = table(&runs);
        assert!(text.contains("alone    2026-07-28  0/1      0/0       0"), "{text}");
        assert!(text.contains("FAILED a-scenario (alone, 2026-07-28, scored)\n  a-check: it broke"), "{text}");
        let json = json(&runs);
        assert_eq!(json["runs"][0]["failed"][0]["checks"][0]["id"], "a-check");
        assert_eq!(json["runs"][1]["unscored"], value!({ "passed": 1, "total": 1 }));
    }
}
