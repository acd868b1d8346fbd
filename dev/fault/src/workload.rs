//! The process that is tested: producers that append, and say what was acknowledged before they do anything else.
//!
//! `workload DIR RUN PRODUCERS ENTRIES SEGMENT_BYTES [--faulty]`: each producer appends ENTRIES entries one after the other, without end if
//! that is 0, and prints `ack INDEX TEXT` for each. Where one is refused it prints `refused TEXT WHY`, tries it once more, and prints `resumed
//! TEXT` if that is taken; then it ends. With `--faulty` it prints that before the entry is durable.

use std::io::Write as _;
use std::path::Path;
use std::process::{Command, ExitCode, Stdio};
use std::sync::Mutex;
use std::thread;

use remit_journal::{Append, Journal};

use crate::log::{key, options};
use crate::report::complain;

/// What a workload is to do.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Plan<'a> {
    pub(crate) dir: &'a Path,
    /// What tells its entries from those of other runs.
    pub(crate) run: u64,
    pub(crate) producers: u64,
    /// Of each producer; 0 for no end.
    pub(crate) entries: u64,
    pub(crate) segment_bytes: u64,
    pub(crate) faulty: bool,
}

impl Plan<'_> {
    /// Adds the plan to a command that runs this program, with its output piped.
    pub(crate) fn put(&self, command: &mut Command) {
        command.arg("workload").arg(self.dir);
        command.args([self.run, self.producers, self.entries, self.segment_bytes].map(|number| number.to_string()));
        if self.faulty {
            command.arg("--faulty");
        }
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null());
    }
}

/// Runs a workload to its end, if it has one.
pub(crate) fn run(options: &[String]) -> ExitCode {
    let [dir, rest @ ..] = options else { return ExitCode::from(2) };
    let faulty = rest.iter().any(|option| option == "--faulty");
    let numbers: Vec<u64> = rest.iter().filter_map(|option| option.parse().ok()).collect();
    let [run, producers, entries, segment_bytes] = *numbers.as_slice() else { return ExitCode::from(2) };
    let plan = Plan { dir: Path::new(dir), run, producers, entries, segment_bytes, faulty };
    match Journal::open(self::options(plan.dir, segment_bytes), key(), |_, _| {}) {
        Ok((journal, recovery)) => {
            produce(plan, &journal, recovery.entries);
            journal.close();
            ExitCode::SUCCESS
        }
        Err(error) => {
            complain(&format!("not opened: {error}"));
            ExitCode::from(4)
        }
    }
}

fn produce(plan: Plan<'_>, journal: &Journal, first: u64) {
    let next = Mutex::new(first);
    thread::scope(|scope| {
        for producer in 1..plan.producers {
            let next = &next;
            scope.spawn(move || produce_one(plan, producer, journal, next));
        }
        produce_one(plan, 0, journal, &next);
    });
}

fn produce_one(plan: Plan<'_>, producer: u64, journal: &Journal, next: &Mutex<u64>) {
    for number in 0.. {
        if number == plan.entries && number > 0 {
            break;
        }
        let text = format!("{}-{producer}-{number}", plan.run);
        // Sizes from one word to more than a sector.
        let entry = format!("{text} {}", "x".repeat(usize::try_from(number * 97 % 900).unwrap_or(0)));
        let append = || journal.append(entry.clone().into_bytes());
        let ended =
            if plan.faulty { too_early(append, next, &text) } else { append().wait().map(|done| acknowledge(done.index, &text)) };
        if let Err(error) = ended {
            say(&format!("refused {text} {error}\n"));
            // It must stay so.
            if let Ok(done) = append().wait() {
                acknowledge(done.index, &text);
                say(&format!("resumed {text}\n"));
            }
            break;
        }
    }
}

/// What must be found out: the entry is acknowledged, and then waited for.
fn too_early(append: impl FnOnce() -> Append, next: &Mutex<u64>, text: &str) -> Result<(), remit_journal::AppendError> {
    let pending = {
        let mut next = next.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        acknowledge(*next, text);
        *next += 1;
        append()
    };
    pending.wait().map(drop)
}

fn acknowledge(index: u64, text: &str) {
    say(&format!("ack {index} {text}\n"));
}

/// Tells the oracle. Who can't tell it has acknowledged nothing, so nothing more is done then.
fn say(line: &str) {
    let mut out = std::io::stdout().lock();
    if out.write_all(line.as_bytes()).and_then(|()| out.flush()).is_err() {
        std::process::exit(5);
    }
}
