//! What is counted and printed.

use std::fmt;
use std::io::Write as _;

/// How many breaches are told; the others are counted.
const TOLD_MAX: usize = 20;

/// What a test came to.
#[derive(Debug, Default)]
pub(crate) struct Tally {
    /// How many faults were injected.
    pub(crate) injected: u64,
    /// How many records were lost, repeated or changed without anybody noticing.
    pub(crate) lost: u64,
    /// Whatever did not hold, in words.
    broken: Vec<String>,
    untold: u64,
}

impl Tally {
    /// Notes that something did not hold.
    pub(crate) fn broke(&mut self, what: String) {
        if self.broken.len() < TOLD_MAX {
            self.broken.push(what);
        } else {
            self.untold += 1;
        }
    }

    /// Whether everything held, and something was tried at all.
    pub(crate) fn holds(&self) -> bool {
        self.lost == 0 && self.broken.is_empty() && self.injected > 0
    }

    pub(crate) fn add(&mut self, other: Self) {
        self.injected += other.injected;
        self.lost += other.lost;
        self.untold += other.untold;
        other.broken.into_iter().for_each(|what| self.broke(what));
    }

    /// Says what did not hold.
    pub(crate) fn say_broken(&self) {
        for what in &self.broken {
            say(&format!("DOES NOT HOLD: {what}"));
        }
        if self.untold > 0 {
            say(&format!("and {} more", self.untold));
        }
    }
}

impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "faults injected: {}, records lost: {}", self.injected, self.lost)
    }
}

/// Prints a line.
pub(crate) fn say(text: &str) {
    let mut out = std::io::stdout().lock();
    let _ = writeln!(out, "{text}").and_then(|()| out.flush());
}

/// Says what went wrong.
pub(crate) fn complain(text: &str) {
    let _ = writeln!(std::io::stderr().lock(), "{text}");
}

/// Says how far a test is, at each tenth of it.
pub(crate) fn progress(what: &str, done: u64, total: u64) {
    let step = (total / 10).max(1);
    if done.is_multiple_of(step) && done > 0 {
        say(&format!("{what}: {done} of {total}"));
    }
}

/// A sentence for whatever could not be done.
pub(crate) fn cannot<E: fmt::Display>(what: &str) -> impl FnOnce(E) -> String + '_ {
    move |error| format!("can't {what}: {error}")
}
