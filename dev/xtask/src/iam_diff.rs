//! `cargo xtask iam-diff`: the IAM engine against another one, on cases at random.
//!
//! The other engine is AGPL's: it is installed from npm under the target folder, runs as a process of its own, and is no part
//! of anything that is shipped. Every disagreement is shrunk and must be explained by a rule of
//! `docs/reference/iam-deviations.md`; one that isn't fails the run, and so does a case of that document that isn't decided as
//! it says.

mod cases;
mod document;
mod engine;
mod random;
mod rules;
mod shrink;
mod text;

use std::{
    collections::BTreeMap,
    error::Error,
    fs,
    process::{Command, Stdio},
    thread,
};

use serde_json::Value;

use crate::{Outcome, root, say, succeeds, target};
use engine::{Answer, Engine};
use rules::RULES;

/// The options, as the usage shows them.
pub(crate) const OPTIONS: &str = "[--seed N] [--count N]";

/// How many cases are asked about at once.
const BATCH: usize = 500;
/// How many smaller cases are tried at once.
const SHRINK_BATCH: usize = 12;

/// Compares the engines.
pub(crate) fn run(options: &[String]) -> Outcome {
    let (mut seed, mut count) = (1, 20_000);
    let mut options = options.iter();
    while let Some(option) = options.next() {
        let value = options.next().ok_or_else(|| format!("`{option}` needs a number"))?;
        match option.as_str() {
            "--seed" => seed = value.parse()?,
            "--count" => count = value.parse()?,
            _ => return Err(format!("unknown option `{option}`").into()),
        }
    }
    let mut pair = Pair { remit: remit()?, oracle: oracle()? };
    let faithful = pair.replay()?;
    let mut report = Report::default();
    let mut disputed = Vec::new();
    for start in (0..count).step_by(BATCH) {
        let cases: Vec<Value> = (start..(start + BATCH).min(count)).map(|number| cases::case(seed, number)).collect();
        let answers = pair.ask(&cases)?;
        for (case, (ours, theirs)) in cases.into_iter().zip(answers) {
            report.count(&ours);
            if ours != theirs {
                disputed.push((case, ours, theirs));
            }
        }
    }
    say(&format!("seed {seed}: {count} cases, {} agree, {} don't", count - disputed.len(), disputed.len()));
    report.distribution();
    for (case, ours, theirs) in disputed {
        let small = pair.shrink(case, &ours, &theirs)?;
        let why = pair.explain(&small, &ours, &theirs)?;
        report.settle(&small, &ours, &theirs, why);
    }
    Ok(report.print() && faithful)
}

/// A case as rules say it in other words: their names, the case, what the other engine decides.
type Rewritten = (String, Value, Answer);

/// Both engines.
struct Pair {
    remit: Engine,
    oracle: Engine,
}

impl Pair {
    fn ask(&mut self, cases: &[Value]) -> Result<Vec<(Answer, Answer)>, Box<dyn Error>> {
        let Self { remit, oracle } = self;
        let (ours, theirs) = thread::scope(|scope| {
            let ours = scope.spawn(|| remit.ask(cases).map_err(|error| error.to_string()));
            let theirs = oracle.ask(cases);
            (ours.join(), theirs)
        });
        let ours = ours.map_err(|_| "the engine's thread failed")??;
        Ok(ours.into_iter().zip(theirs?).collect())
    }

    /// Whether the cases of the document are decided as it says, each for the reason it gives.
    fn replay(&mut self) -> Result<bool, Box<dyn Error>> {
        let told = document::told()?;
        let cases: Vec<Value> = told.iter().map(|told| told.case.clone()).collect();
        let answers = self.ask(&cases)?;
        let mut faithful = true;
        for (told, (ours, theirs)) in told.iter().zip(answers) {
            let why = self.explain(&told.case, &ours, &theirs)?;
            let as_told = spelled(&ours) == told.ours && spelled(&theirs) == told.theirs && why.as_deref() == Some(&*told.rule);
            if !as_told {
                say(&format!("the document on {}: not so, but by {}", told.rule, why.as_deref().unwrap_or("no rule")));
                Dispute { case: told.case.to_string(), ours: spelled(&ours), theirs: spelled(&theirs) }.print();
            }
            faithful &= as_told;
        }
        Ok(faithful)
    }

    /// The smallest case found on which the engines differ in the same way.
    fn shrink(&mut self, mut case: Value, ours: &Answer, theirs: &Answer) -> Result<Value, Box<dyn Error>> {
        loop {
            let mut found = None;
            for smaller in shrink::smaller(&case).chunks(SHRINK_BATCH) {
                let answers = self.ask(smaller)?;
                found = smaller.iter().zip(answers).find(|(_, (a, b))| a == ours && b == theirs).map(|(case, _)| case.clone());
                if found.is_some() {
                    break;
                }
            }
            match found {
                Some(smaller) => case = smaller,
                None => return Ok(case),
            }
        }
    }

    /// The rule, or the two rules, that explain a dispute.
    fn explain(&mut self, case: &Value, ours: &Answer, theirs: &Answer) -> Result<Option<String>, Box<dyn Error>> {
        let (Ok(decided), Ok(_)) = (ours, theirs) else { return Ok(None) };
        let once = self.rewritten("", case, decided, theirs)?;
        if let Some((name, ..)) = once.iter().find(|(.., answer)| answer == ours) {
            return Ok(Some(name.clone()));
        }
        for (name, case, theirs) in once {
            let twice = self.rewritten(&format!("{name} and "), &case, decided, &theirs)?;
            if let Some((name, ..)) = twice.into_iter().find(|(.., answer)| answer == ours) {
                return Ok(Some(name));
            }
        }
        Ok(None)
    }

    /// What the rules that may explain a dispute make of its case, and what the other engine decides then. While Remit is the
    /// less strict of the two, only those are asked by which it may be.
    fn rewritten(
        &mut self,
        before: &str,
        case: &Value,
        decided: &str,
        theirs: &Answer,
    ) -> Result<Vec<Rewritten>, Box<dyn Error>> {
        let lenient = theirs.as_ref().is_ok_and(|other| strictness(decided) < strictness(other));
        let rules = RULES.iter().filter(|rule| rule.may_grant || !lenient);
        let (mut names, mut cases) = (Vec::new(), Vec::new());
        for rule in rules {
            let rewritten = (rule.rewrite)(case);
            if rewritten != *case {
                names.push(format!("{before}{}", rule.name));
                cases.push(rewritten);
            }
        }
        let answers = self.oracle.ask(&cases)?;
        Ok(names.into_iter().zip(cases).zip(answers).map(|((name, case), answer)| (name, case, answer)).collect())
    }
}

/// What was found.
#[derive(Default)]
struct Report {
    decisions: BTreeMap<String, usize>,
    /// By rule: how many, and the smallest case.
    explained: BTreeMap<String, (usize, Dispute)>,
    unexplained: Vec<Dispute>,
}

/// A case on which the engines differ.
#[derive(Default, Clone)]
struct Dispute {
    case: String,
    ours: String,
    theirs: String,
}

impl Report {
    fn count(&mut self, ours: &Answer) {
        *self.decisions.entry(ours.clone().unwrap_or_else(|_| "error".to_owned())).or_default() += 1;
    }

    fn distribution(&self) {
        let all: usize = self.decisions.values().sum();
        for (decision, count) in &self.decisions {
            say(&format!("  {decision}: {count} ({} %)", count * 100 / all.max(1)));
        }
    }

    fn settle(&mut self, case: &Value, ours: &Answer, theirs: &Answer, why: Option<String>) {
        let dispute = Dispute { case: case.to_string(), ours: spelled(ours), theirs: spelled(theirs) };
        match why {
            None => self.unexplained.push(dispute),
            Some(name) => {
                let (count, smallest) = self.explained.entry(name).or_insert_with(|| (0, dispute.clone()));
                *count += 1;
                if dispute.case.len() < smallest.case.len() {
                    *smallest = dispute;
                }
            }
        }
    }

    /// Prints everything; whether all is explained.
    fn print(&self) -> bool {
        for (name, (count, dispute)) in &self.explained {
            say(&format!("{name}: {count}"));
            dispute.print();
        }
        say(&format!("unexplained: {}", self.unexplained.len()));
        for dispute in &self.unexplained {
            dispute.print();
        }
        self.unexplained.is_empty()
    }
}

impl Dispute {
    fn print(&self) {
        say(&format!("  Remit: {}, the other: {}\n  {}", self.ours, self.theirs, self.case));
    }
}

/// How far a decision is from granting.
fn strictness(decision: &str) -> usize {
    ["Allowed", "ImplicitlyDenied", "ExplicitlyDenied"].iter().position(|known| *known == decision).unwrap_or(usize::MAX)
}

fn spelled(answer: &Answer) -> String {
    match answer {
        Ok(decision) => decision.clone(),
        Err(error) => format!("error: {error}"),
    }
}

/// Remit's engine, optimized.
fn remit() -> Result<Engine, Box<dyn Error>> {
    if !succeeds("cargo", &["build", "--quiet", "--profile", "quick", "--package", "remit-iam", "--example", "simulate"])? {
        return Err("can't build the simulator".into());
    }
    Engine::start(&mut Command::new(target().join("quick/examples/simulate")))
}

/// The other engine, installed under the target folder.
fn oracle() -> Result<Engine, Box<dyn Error>> {
    let source = root().join("dev/peers/iam");
    let home = target().join("iam-oracle");
    fs::create_dir_all(&home)?;
    let manifest = fs::read(source.join("package-lock.json"))?;
    if fs::read(home.join("installed.json")).ok().as_deref() != Some(&manifest) {
        for name in ["package.json", "package-lock.json"] {
            fs::copy(source.join(name), home.join(name))?;
        }
        let mut npm = Command::new("npm");
        npm.args(["ci", "--no-audit", "--no-fund", "--loglevel=error"]).current_dir(&home).stdout(Stdio::null());
        let status = npm.status().map_err(|error| format!("can't run `npm`: {error}"))?;
        if !status.success() {
            return Err(format!("`npm ci` in `{}` failed: {status}", home.display()).into());
        }
        fs::write(home.join("installed.json"), manifest)?;
    }
    Engine::start(Command::new("node").arg(source.join("driver.mjs")).arg(&home))
}
