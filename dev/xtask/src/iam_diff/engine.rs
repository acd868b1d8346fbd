//! An engine as a process that lives as long as it is needed: cases in, decisions out, a line each.

use std::{
    error::Error,
    io::{BufRead, BufReader, Write},
    process::{Child, ChildStdin, ChildStdout, Command, Stdio},
    thread,
};

use serde_json::Value;

/// What an engine says of a case: a decision, or why it has none.
pub(crate) type Answer = Result<String, String>;

/// A process that decides cases.
pub(crate) struct Engine {
    child: Child,
    input: ChildStdin,
    output: BufReader<ChildStdout>,
}

impl Engine {
    pub(crate) fn start(command: &mut Command) -> Result<Self, Box<dyn Error>> {
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn()?;
        let (Some(input), Some(output)) = (child.stdin.take(), child.stdout.take()) else {
            return Err("a process without pipes".into());
        };
        Ok(Self { child, input, output: BufReader::new(output) })
    }

    /// Asks about cases; the answers come in their order.
    pub(crate) fn ask(&mut self, cases: &[Value]) -> Result<Vec<Answer>, Box<dyn Error>> {
        let Self { input, output, .. } = self;
        thread::scope(|scope| {
            let writer = scope.spawn(move || {
                for case in cases {
                    writeln!(input, "{case}")?;
                }
                input.flush()
            });
            let mut answers = Vec::with_capacity(cases.len());
            for case in cases {
                let mut line = String::new();
                output.read_line(&mut line)?;
                let said: Value = serde_json::from_str(&line).map_err(|error| format!("not an answer: `{line}`: {error}"))?;
                if said.get("id") != case.get("id") {
                    return Err(format!("an answer to another case: {said}").into());
                }
                let text = |key: &str| said.get(key).and_then(Value::as_str).map(str::to_owned);
                answers.push(text("decision").ok_or_else(|| text("error").unwrap_or_default()));
            }
            writer.join().map_err(|_| "the writer failed")??;
            Ok(answers)
        })
    }
}

impl Drop for Engine {
    fn drop(&mut self) {
        // It has nothing to lose: its input ends here.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
