//! Symbolic analysis of policy sets: the questions of [`remit_cedar::Question`] put to an SMT solver.
//!
//! The translation is Cedar's own (`cedar-policy-symcc`, modelled and verified in Lean); the solver is cvc5, found when it is needed and
//! never required. Without one, and wherever it is late, silent or not understood, the answer is that nothing is known: it never is that
//! nothing can be. What it supposes to be possible is for the caller to decide; nothing here is trusted to be right about that.

mod process;

use std::ffi::{OsStr, OsString};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use cedar_policy_symcc::{CedarSymCompiler, CompiledPolicySet, disjoint_asserts, err::Error};
use remit_cedar::{Question, Reply};
use tokio::runtime::Runtime;

use crate::process::Process;

/// How one gets a solver.
pub const HOW: &str = "install cvc5 1.3.1 and name it in REMIT_CVC5 or put it on PATH (docs/guides/policy-as-code.md says how)";
/// The time for one question, and for all questions of one prover.
const LIMITS: Limits = Limits { question: Duration::from_secs(10), all: Duration::from_mins(1) };
/// The most rules of a set that are analysed: their translation takes time and memory.
const RULES_MAX: usize = 2_000;
/// The most expressions within each other, as Cedar writes them in JSON.
const NESTED_MAX: usize = 1_000;
/// The most choices within each other: their translation doubles with each, and nothing can interrupt it.
const CHOICES_MAX: usize = 10;
/// The stack of the thread that translates.
const STACK_BYTES: usize = 64 * 1024 * 1024;

/// How long an answer may take.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// For one question.
    pub question: Duration,
    /// For all questions of one prover.
    pub all: Duration,
}

/// A program that reads SMT-LIB from its standard input and answers as cvc5 does.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Solver {
    program: PathBuf,
    arguments: Vec<OsString>,
}

impl Solver {
    /// Finds one. `said` is the value of `REMIT_CVC5`: a program with its arguments, separated by spaces; without it, `cvc5` is looked for
    /// in `path`, the value of `PATH`. An error says why there is none.
    pub fn find(said: Option<&OsStr>, path: Option<&OsStr>) -> Result<Self, String> {
        let said = said.filter(|said| !said.is_empty());
        let Some(said) = said else {
            let program = on_path("cvc5", path).ok_or_else(|| format!("there is no solver: {HOW}"))?;
            return Ok(Self { program, arguments: Vec::new() });
        };
        let text = said.to_str().ok_or("REMIT_CVC5 isn't text")?;
        let mut words = text.split_whitespace();
        let first = words.next().ok_or_else(|| format!("REMIT_CVC5 names no program: {HOW}"))?;
        let program =
            if first.contains('/') { Some(PathBuf::from(first)).filter(|path| is_program(path)) } else { on_path(first, path) };
        let program = program.ok_or_else(|| format!("REMIT_CVC5 names `{first}`, which is no program here: {HOW}"))?;
        Ok(Self { program, arguments: words.map(OsString::from).collect() })
    }
}

fn on_path(name: &str, path: Option<&OsStr>) -> Option<PathBuf> {
    std::env::split_paths(path?)
        .filter(|directory| directory.is_absolute())
        .map(|directory| directory.join(name))
        .find(|path| is_program(path))
}

fn is_program(path: &Path) -> bool {
    path.metadata().is_ok_and(|found| found.is_file() && found.permissions().mode() & 0o111 != 0)
}

/// Answers questions, with one process of the solver for all of them.
#[derive(Debug)]
pub struct Prover {
    solver: Result<Solver, String>,
    limits: Limits,
    begun: Instant,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    runtime: Option<Runtime>,
    compiler: Option<CedarSymCompiler<Process>>,
}

impl Prover {
    /// With a solver, or with the reason that there is none. Its time begins now.
    pub fn new(solver: Result<Solver, String>) -> Self {
        Self::within(solver, LIMITS)
    }

    /// The same with other limits.
    pub fn within(solver: Result<Solver, String>, limits: Limits) -> Self {
        Self { solver, limits, begun: Instant::now(), state: Mutex::new(State { runtime: None, compiler: None }) }
    }

    /// Answers a question. It blocks, within its limits, and may be called from anywhere.
    pub fn answer(&self, question: &Question<'_>) -> Reply {
        let mut guard = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let state = &mut *guard;
        // On a thread of its own, since a runtime can't be driven on one that drives another.
        let answered = std::thread::scope(|scope| {
            let thread = std::thread::Builder::new().name("prove".to_owned()).stack_size(STACK_BYTES);
            let answering = thread.spawn_scoped(scope, || self.answer_here(state, question));
            answering.map_or_else(
                |error| Ok(Reply::Unknown(format!("symbolic analysis could not be started: {error}"))),
                std::thread::ScopedJoinHandle::join,
            )
        });
        answered.unwrap_or_else(|_| Reply::Unknown("symbolic analysis ended without an answer".to_owned()))
    }

    /// The translation counts towards the time for all questions as well: it is looked at before each.
    fn answer_here(&self, state: &mut State, question: &Question<'_>) -> Reply {
        let Some(left) = self.limits.all.checked_sub(self.begun.elapsed()).filter(|left| !left.is_zero()) else {
            return Reply::Unknown(format!("the {} seconds for symbolic analysis were over", self.limits.all.as_secs()));
        };
        let count = question.allowing.num_of_policies();
        if count > RULES_MAX {
            return Reply::Unknown(format!("{count} policies speak of the tool, and at most {RULES_MAX} are analysed"));
        }
        let (nested, choices) = question.nesting();
        if nested > NESTED_MAX || choices > CHOICES_MAX {
            let why = format!(
                "a policy or the condition is nested too deeply to be analysed ({nested} expressions, {choices} choices with `if`; at most {NESTED_MAX} and {CHOICES_MAX})"
            );
            return Reply::Unknown(why);
        }
        let translated = |set| CompiledPolicySet::compile(set, &question.request, question.schema).map_err(|error| told(&error));
        let (allowing, meant) = match (translated(&question.allowing), translated(&question.meant)) {
            (Ok(allowing), Ok(meant)) => (allowing, meant),
            (Err(why), _) | (_, Err(why)) => {
                return Reply::Unknown(format!("symbolic analysis doesn't take the policies: {why}"));
            }
        };
        // What the translation itself shows to be false needs no solver.
        if disjoint_asserts(&allowing, &meant).asserts().iter().any(|term| *term == false.into()) {
            return Reply::Nothing;
        }
        let solver = match &self.solver {
            Ok(solver) => solver,
            Err(why) => return Reply::Unknown(why.clone()),
        };
        let limit = left.min(self.limits.question);
        let runtime = match state.runtime.take().map_or_else(runtime, Ok) {
            Ok(runtime) => state.runtime.insert(runtime),
            Err(error) => return Reply::Unknown(format!("symbolic analysis could not be started: {error}")),
        };
        let kept = &mut state.compiler;
        let reply = runtime.block_on(async {
            let mut asked = match kept.take() {
                Some(asked) => asked,
                None => CedarSymCompiler::new(Process::start(&solver.program, &solver.arguments)?)?,
            };
            let answer = tokio::time::timeout(limit, asked.check_disjoint_with_counterexample_opt(&allowing, &meant)).await;
            match answer {
                // Only a process that answered is asked again.
                Ok(Ok(answer)) => {
                    *kept = Some(asked);
                    Ok(Some(answer))
                }
                Ok(Err(error)) => {
                    asked.solver_mut().end().await;
                    Err(error)
                }
                Err(_) => {
                    asked.solver_mut().end().await;
                    Ok(None)
                }
            }
        });
        match reply {
            Ok(Some(None)) => Reply::Nothing,
            Ok(Some(Some(found))) => Reply::Request(Box::new((found.request, found.entities))),
            Ok(None) => Reply::Unknown(format!("the solver had no answer within {} seconds", limit.as_secs_f32().ceil())),
            Err(Error::SolverUnknown) => Reply::Unknown("the solver answered that it doesn't know".to_owned()),
            Err(error) => Reply::Unknown(format!("the solver `{}` failed: {}", solver.program.display(), told(&error))),
        }
    }
}

impl Drop for Prover {
    fn drop(&mut self) {
        let state = self.state.get_mut().unwrap_or_else(PoisonError::into_inner);
        let (runtime, compiler) = (state.runtime.take(), state.compiler.take());
        if let Some(runtime) = runtime {
            std::thread::scope(|scope| {
                scope.spawn(move || {
                    if let Some(mut compiler) = compiler {
                        runtime.block_on(compiler.solver_mut().end());
                    }
                });
            });
        }
    }
}

fn runtime() -> std::io::Result<Runtime> {
    tokio::runtime::Builder::new_current_thread().enable_io().enable_time().build()
}

/// An error with its causes, clipped.
fn told(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let more = error.to_string();
        if !text.contains(&more) {
            text.push_str(": ");
            text.push_str(&more);
        }
        cause = error.source();
    }
    text.chars().take(300).collect()
}
