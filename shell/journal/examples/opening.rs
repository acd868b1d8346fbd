//! How long it takes to open a journal, and how much memory: `cargo run --release -p remit-journal --example opening [ENTRIES] [DIR]`.
//!
//! Entries are 860 bytes, a decision's usual length. Opened is what follows a known place that is 200,000 entries before the end (as after a
//! crash; after an orderly stop it is nothing), and all of it; then everything is verified with the public key alone.

#![allow(clippy::cast_precision_loss, reason = "figures for people")]

use std::error::Error;
use std::io::Write as _;
use std::path::PathBuf;
use std::time::Instant;

use remit_journal::{Journal, Known, Options, SigningKey, verify};
use remit_tlog::{Frontier, leaf_hash};

/// How many entries one batch has.
const BATCH: u64 = 64;
const ORIGIN: &str = "example.com/opening";

fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    let entries: u64 = arguments.next().map_or(Ok(10_000_000), |text| text.parse())?;
    let dir = arguments.next().map_or_else(|| std::env::temp_dir().join("remit-opening"), PathBuf::from);
    let options = || Options::new(&dir, ORIGIN);
    let key = SigningKey::from_seed(&[7; 32]);
    let mut out = std::io::stdout();
    let (journal, _) = Journal::open(options(), key.clone(), |_, _| {})?;
    let known_size = entries.saturating_sub(200_000) / BATCH * BATCH;
    let (mut tree, mut known, mut number) = (Frontier::new(), None, 0);
    let started = Instant::now();
    while number < entries {
        let batch: Vec<Vec<u8>> = (number..(number + BATCH).min(entries)).map(entry).collect();
        batch.iter().for_each(|entry| tree.append(leaf_hash(entry)));
        number += batch.len() as u64;
        journal.append_many(batch).wait()?;
        if number == known_size {
            known = Some(Known { size: number, root: tree.root() });
        }
    }
    journal.close();
    let bytes: u64 =
        std::fs::read_dir(&dir)?.map(|file| file.and_then(|file| file.metadata()).map_or(0, |meta| meta.len())).sum();
    writeln!(out, "{entries} entries, {} MiB, written in {:.1} s", bytes >> 20, started.elapsed().as_secs_f64())?;
    let known = known.ok_or("the known place was not passed")?;

    let told = |out: &mut std::io::Stdout, what: &str, started: Instant, read: u64| -> Result<(), Box<dyn Error>> {
        let secs = started.elapsed().as_secs_f64();
        let rate = read as f64 / secs;
        writeln!(out, "{what:<32} {secs:7.2} s, {read} read, {rate:9.0}/s, {} MiB at most", peak_mib()?)?;
        Ok(())
    };
    reset_peak()?;
    let started = Instant::now();
    let (journal, recovery) = Journal::open_after(options(), key.clone(), known, |_, _| {})?;
    told(&mut out, "opened after a known place", started, recovery.read)?;
    journal.close();
    reset_peak()?;
    let started = Instant::now();
    let (journal, recovery) = Journal::open(options(), key.clone(), |_, _| {})?;
    told(&mut out, "opened whole", started, recovery.read)?;
    let vkey = journal.verifier_key();
    journal.close();
    reset_peak()?;
    let started = Instant::now();
    let report = verify(&dir, &vkey, |_, _| {}, |_, _| {})?;
    told(&mut out, "verified", started, report.entries)?;
    if report.entries != entries || !report.findings.is_empty() {
        return Err(format!("not as it was written: {:?}", report.findings).into());
    }
    std::fs::remove_dir_all(&dir)?;
    Ok(())
}

fn entry(number: u64) -> Vec<u8> {
    format!("{{\"v\":1,\"type\":\"decision\",\"id\":\"{number:032x}\",\"text\":\"{}\"}}", "x".repeat(780)).into_bytes()
}

/// The most memory that this process has had since it was last asked to forget it (proc(5)).
fn peak_mib() -> Result<u64, Box<dyn Error>> {
    let status = std::fs::read_to_string("/proc/self/status")?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).ok_or("no VmHWM")?;
    Ok(line.trim().trim_end_matches(" kB").parse::<u64>()? / 1024)
}

fn reset_peak() -> Result<(), Box<dyn Error>> {
    Ok(std::fs::write("/proc/self/clear_refs", "5")?)
}
