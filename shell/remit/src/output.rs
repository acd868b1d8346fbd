//! What a command prints and how it ends.

use std::io::Write as _;
use std::path::Path;

/// How a command ended, when it didn't end well.
#[derive(Debug)]
pub(crate) struct Failure {
    pub(crate) code: u8,
    pub(crate) message: String,
    /// What was printed already and needs no message.
    pub(crate) quiet: bool,
}

/// Failure.
pub(crate) const FAILURE: u8 = 1;
/// The policy says no.
pub(crate) const DENIED: u8 = 2;
/// What was given can't be used.
pub(crate) const INVALID: u8 = 3;
/// It waits for somebody's agreement.
pub(crate) const HELD: u8 = 4;

impl Failure {
    pub(crate) fn new(message: impl Into<String>) -> Self {
        Self { code: FAILURE, message: message.into(), quiet: false }
    }

    pub(crate) fn invalid(message: impl Into<String>) -> Self {
        Self { code: INVALID, message: message.into(), quiet: false }
    }

    pub(crate) fn io(path: &Path, error: &std::io::Error) -> Self {
        Self::new(format!("`{}`: {error}", path.display()))
    }

    /// Ends with a code after everything has been said.
    pub(crate) fn said(code: u8) -> Self {
        Self { code, message: String::new(), quiet: true }
    }
}

/// Standard output, for people or as JSON.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Printer {
    pub(crate) json: bool,
}

impl Printer {
    pub(crate) fn new(json: bool) -> Self {
        Self { json }
    }

    /// Prints a line. Whoever stopped reading has heard enough: that ends the command.
    #[allow(clippy::unused_self, reason = "beside its kind")]
    pub(crate) fn line(self, text: &str) -> Result<(), Failure> {
        let mut out = std::io::stdout().lock();
        match writeln!(out, "{text}").and_then(|()| out.flush()) {
            Ok(()) => Ok(()),
            Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => {
                Err(Failure { code: 0, message: String::new(), quiet: true })
            }
            Err(error) => Err(Failure::new(format!("standard output: {error}"))),
        }
    }

    /// Prints a line for people only.
    pub(crate) fn say(self, text: &str) -> Result<(), Failure> {
        if self.json { Ok(()) } else { self.line(text) }
    }
}

/// Says something on standard error.
pub(crate) fn warn(text: &str) {
    let _ = writeln!(std::io::stderr().lock(), "{text}");
}
