//! A solver's process: what is read of it has limits, and it gets nothing of ours.

use std::ffi::OsString;
use std::path::Path;
use std::process::Stdio;

use cedar_policy_symcc::SmtLibScript;
use cedar_policy_symcc::solver::{Decision, DecisionWithModel, Solver, SolverError};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader, BufWriter};
use tokio::process::{Child, ChildStdin, ChildStdout, Command};

/// The most bytes of one answer.
const ANSWER_BYTES_MAX: usize = 1024 * 1024;
/// How much of an answer that isn't understood is told.
const TOLD_CHARS_MAX: usize = 200;

/// A solver that is running.
#[derive(Debug)]
pub(crate) struct Process {
    child: Child,
    stdin: BufWriter<ChildStdin>,
    stdout: BufReader<ChildStdout>,
}

impl Process {
    /// Starts one, with an empty environment.
    pub(crate) fn start(program: &Path, arguments: &[OsString]) -> Result<Self, SolverError> {
        let mut child = Command::new(program)
            .args(arguments)
            .args(["--lang", "smt"])
            .env_clear()
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .kill_on_drop(true)
            .spawn()?;
        let (Some(stdin), Some(stdout)) = (child.stdin.take(), child.stdout.take()) else {
            return Err(SolverError::Solver("it has no standard input and output".to_owned()));
        };
        Ok(Self { child, stdin: BufWriter::new(stdin), stdout: BufReader::new(stdout) })
    }

    /// Ends it, and waits until it has ended.
    pub(crate) async fn end(&mut self) {
        // One that has ended already is what is wanted.
        let _ = self.child.kill().await;
    }

    /// Reads a line of at most so many bytes onto the end of a text.
    async fn line(&mut self, text: &mut Vec<u8>) -> Result<(), SolverError> {
        loop {
            let read = self.stdout.fill_buf().await?;
            if read.is_empty() {
                return Err(SolverError::Solver("it ended before it answered".to_owned()));
            }
            let end = read.iter().position(|byte| *byte == b'\n').map(|at| at + 1);
            let taken = end.unwrap_or(read.len());
            text.extend(read.iter().take(taken));
            self.stdout.consume(taken);
            if text.len() > ANSWER_BYTES_MAX {
                return Err(SolverError::Solver(format!("its answer has more than {ANSWER_BYTES_MAX} bytes")));
            }
            if end.is_some() {
                return Ok(());
            }
        }
    }

    /// A line that isn't empty.
    async fn word(&mut self) -> Result<String, SolverError> {
        let mut line = Vec::new();
        while line.trim_ascii().is_empty() {
            self.line(&mut line).await?;
        }
        Ok(String::from_utf8_lossy(&line).trim().to_owned())
    }
}

fn strange(said: &str) -> SolverError {
    SolverError::UnrecognizedSolverOutput(said.chars().take(TOLD_CHARS_MAX).collect())
}

impl Solver for Process {
    fn smtlib_input(&mut self) -> &mut (dyn tokio::io::AsyncWrite + Unpin + Send) {
        &mut self.stdin
    }

    async fn enable_models(&mut self) -> Result<(), SolverError> {
        Ok(self.smtlib_input().set_option("produce-models", "true").await?)
    }

    async fn check_sat(&mut self) -> Result<Decision, SolverError> {
        self.smtlib_input().check_sat().await?;
        self.stdin.flush().await?;
        match self.word().await?.as_str() {
            "sat" => Ok(Decision::Sat),
            "unsat" => Ok(Decision::Unsat),
            "unknown" => Ok(Decision::Unknown),
            said => Err(strange(said)),
        }
    }

    async fn check_sat_with_model(&mut self) -> Result<DecisionWithModel, SolverError> {
        match self.check_sat().await? {
            Decision::Unsat => return Ok(DecisionWithModel::Unsat),
            Decision::Unknown => return Ok(DecisionWithModel::Unknown),
            Decision::Sat => {}
        }
        self.smtlib_input().get_model().await?;
        self.stdin.flush().await?;
        let first = self.word().await?;
        if first != "(" {
            return Err(strange(&first));
        }
        let mut model = b"(\n".to_vec();
        loop {
            let start = model.len();
            self.line(&mut model).await?;
            if model.get(start..).is_some_and(|line| line.trim_ascii() == b")") {
                break;
            }
        }
        match String::from_utf8(model) {
            Ok(model) => Ok(DecisionWithModel::Sat { model }),
            Err(_) => Err(SolverError::Solver("its model isn't UTF-8".to_owned())),
        }
    }
}
