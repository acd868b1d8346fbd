//! What a sandbox adds to the start of a server: `/bin/true`, plain and sandboxed in turn, from the start to its end.
//!
//! `cargo xtask bench sandbox`, or `cargo bench -p remit-sandbox -- [--launcher PROGRAM] [--rounds N]`.
#![allow(missing_docs, reason = "a program")]

use std::error::Error;
use std::io::Write as _;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use remit_model::SandboxProfile;
use remit_sandbox::Spec;

/// What is started.
const PROGRAM: &str = "/bin/true";

fn main() -> Result<(), Box<dyn Error>> {
    let mut launcher = PathBuf::from(env!("CARGO_BIN_EXE_remit-sandbox"));
    let mut rounds = 300_usize;
    let mut arguments = std::env::args().skip(1);
    while let Some(argument) = arguments.next() {
        match argument.as_str() {
            "--launcher" => launcher = arguments.next().ok_or("--launcher wants a program")?.into(),
            "--rounds" => rounds = arguments.next().ok_or("--rounds wants a number")?.parse()?,
            // What `cargo bench` adds.
            _ => {}
        }
    }
    let spec = Spec::new(&[PROGRAM.to_owned()], Vec::new(), SandboxProfile::default(), Vec::new(), &launcher)?;
    let (mut plain, mut begun, mut ended) = (Vec::new(), Vec::new(), Vec::new());
    let mut held = Vec::new();
    for _ in 0..rounds {
        let at = Instant::now();
        let mut command = Command::new(PROGRAM);
        command.env_clear().stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
        command.spawn()?.wait()?;
        plain.push(at.elapsed());

        let at = Instant::now();
        let (mut child, report) = remit_sandbox::start(&launcher, &spec)?;
        begun.push(at.elapsed());
        if let Some(why) = report.failed {
            return Err(why.into());
        }
        held = report.held;
        child.wait()?;
        ended.push(at.elapsed());
    }
    let mut out = std::io::stdout().lock();
    let held: Vec<&str> = held.iter().map(|one| one.as_str()).collect();
    writeln!(out, "{rounds} starts of {PROGRAM} each, in turn; {} holds {}", launcher.display(), held.join(", "))?;
    let base = median(&mut plain, 0.5);
    writeln!(out, "{:<36} {:>10} {:>10} {:>10}", "", "median", "p95", "difference")?;
    let rows =
        [("plain, to its end", &mut plain), ("sandboxed, to its beginning", &mut begun), ("sandboxed, to its end", &mut ended)];
    for (name, all) in rows {
        let (middle, high) = (median(all, 0.5), median(all, 0.95));
        let more = millis(middle) - millis(base);
        writeln!(out, "{name:<36} {:>7.2} ms {:>7.2} ms {more:>7.2} ms", millis(middle), millis(high))?;
    }
    Ok(())
}

fn median(all: &mut [Duration], part: f64) -> Duration {
    all.sort();
    #[allow(
        clippy::cast_precision_loss,
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a rank of a short list"
    )]
    let at = (all.len() as f64 * part) as usize;
    all.get(at).copied().unwrap_or_default()
}

fn millis(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1000.0
}
