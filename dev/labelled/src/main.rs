//! Measures what is found: `remit-labelled [--seeds N] [--tune] [--json]`.

use std::io::Write as _;
use std::process::ExitCode;
use std::time::Instant;

use remit_kernel::behaviour::{Baseline, Event};
use remit_labelled::anomaly::Anomaly;
use remit_labelled::measure::{Measured, behaviour, fixed};
use remit_labelled::random::real;
use remit_labelled::{Set, set};
use remit_model::Behaviour;
use serde_json::{Value, json};

/// The first seed that thresholds are chosen on.
const TUNED_FROM: u64 = 1;
/// The first one that was never looked at while that was done.
const HELD_OUT_FROM: u64 = 10_001;
/// How many seeds there are of each.
const SEEDS: u64 = 20;
/// The fixed numbers: chosen on the seeds for tuning, so that as little is told of nothing as behaviour tells.
const FIXED: (u64, u64) = (30, 3);

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let has = |option: &str| arguments.iter().any(|argument| argument == option);
    let value = |option: &str| arguments.iter().position(|argument| argument == option).and_then(|at| arguments.get(at + 1));
    let seeds = value("--seeds").and_then(|seeds| seeds.parse().ok()).unwrap_or(SEEDS);
    if has("--tune") {
        tune(seeds, has("--told"));
        return ExitCode::SUCCESS;
    }
    let report = report(HELD_OUT_FROM, seeds);
    if has("--json") {
        say(&report.to_string());
    } else {
        table(&report);
    }
    ExitCode::SUCCESS
}

fn say(line: &str) {
    // Nothing is left to do if standard output is closed.
    let _ = writeln!(std::io::stdout(), "{line}");
}

/// The mean of some numbers and how far they are from it.
fn spread(numbers: &[f64]) -> (f64, f64) {
    let count = real(numbers.len() as u64).max(1.0);
    let mean = numbers.iter().sum::<f64>() / count;
    let far = numbers.iter().map(|number| (number - mean).powi(2)).sum::<f64>() / (count - 1.0).max(1.0);
    (mean, far.sqrt())
}

/// What each score finds on the seeds for tuning.
fn tune(seeds: u64, told: bool) {
    let sets: Vec<Set> = (0..seeds).map(|number| set(TUNED_FROM + number)).collect();
    say("score  recall  precision  false/agent/day");
    for score in 3..=6 {
        let settings = Behaviour { score, ..Behaviour::default() };
        let mut all = Measured::default();
        sets.iter().for_each(|set| all.add(behaviour(set, &settings)));
        let false_a_day = all.false_a_day() / real(seeds);
        say(&format!("{score:5}{:8.3}{:11.3}{false_a_day:17.3}", all.recall(), all.precision()));
        if score == Behaviour::SCORE {
            say(&format!("  false of {:?}; before {}", all.wrong_of, all.wrong_before));
            say(&format!("  found {:?}", all.episodes));
            say(&format!("  by {:?}", all.by));
            if told {
                all.told.iter().for_each(|line| say(&format!("  {line}")));
            }
        }
    }
    say("fixed: calls an hour, denials an hour");
    for calls in [30, 40, 60] {
        for denials in [3, 5] {
            let mut all = Measured::default();
            sets.iter().for_each(|set| all.add(fixed(set, calls, denials)));
            let false_a_day = all.false_a_day() / real(seeds);
            say(&format!("{calls:5}{denials:3}{:8.3}{:11.3}{false_a_day:17.3}", all.recall(), all.precision()));
        }
    }
}

/// What is found on seeds that nothing was chosen on.
fn report(from: u64, seeds: u64) -> Value {
    let settings = Behaviour::default();
    let (mut ours, mut theirs) = (Vec::new(), Vec::new());
    let (mut sums, mut entries, mut took) = ((Measured::default(), Measured::default()), 0_u64, 0.0);
    let mut bytes = 0;
    for seed in from..from + seeds {
        let set = set(seed);
        let started = Instant::now();
        let mut baseline = Baseline::new([7; 16]);
        for entry in &set.entries {
            if let Some(event) = Event::read(&entry.bytes) {
                baseline.observe(&settings, &event, entry.arguments.as_deref());
            }
        }
        took += started.elapsed().as_secs_f64();
        entries += set.entries.len() as u64;
        bytes = serde_json::to_vec(&baseline).map_or(0, |text| text.len());
        let (one, other) = (behaviour(&set, &settings), fixed(&set, FIXED.0, FIXED.1));
        sums.0.add(one.clone());
        sums.1.add(other.clone());
        ours.push(one);
        theirs.push(other);
    }
    let part = |all: &[Measured], sum: &Measured| {
        let of = |number: fn(&Measured) -> f64| {
            let (mean, far) = spread(&all.iter().map(number).collect::<Vec<_>>());
            json!({ "mean": mean, "deviation": far })
        };
        let kinds =
            sum.episodes.iter().map(|(kind, (found, all))| (kind.as_str().to_owned(), json!({"found": found, "of": all})));
        json!({
            "recall": of(Measured::recall), "precision": of(Measured::precision), "false_per_agent_day": of(Measured::false_a_day),
            "kinds": kinds.collect::<serde_json::Map<_, _>>(), "right": sum.right, "wrong": sum.wrong,
            "false_of": sum.wrong_of, "wrong_before": sum.wrong_before,
        })
    };
    json!({
        "seeds": [from, from + seeds - 1], "score": settings.score, "entries": entries, "entries_per_sec": real(entries) / took,
        "state_bytes": bytes, "fixed_alarms": { "calls_an_hour": FIXED.0, "denials_an_hour": FIXED.1 },
        "behaviour": part(&ours, &sums.0), "fixed": part(&theirs, &sums.1),
    })
}

fn table(report: &Value) {
    let number = |place: &str| report.pointer(place).and_then(Value::as_f64).unwrap_or_default();
    say(&format!(
        "seeds {} to {}, {} entries; score {}; {:.0} entries a second; {:.0} kB of state",
        number("/seeds/0"),
        number("/seeds/1"),
        number("/entries"),
        number("/score"),
        number("/entries_per_sec"),
        number("/state_bytes") / 1000.0,
    ));
    say("                            behaviour          fixed alarms");
    for (what, key) in [("recall", "recall"), ("precision", "precision"), ("false/agent/day", "false_per_agent_day")] {
        let of = |part: &str| {
            let (mean, far) = (number(&format!("/{part}/{key}/mean")), number(&format!("/{part}/{key}/deviation")));
            format!("{mean:.3} ± {far:.3}")
        };
        say(&format!("{what:20}{:>21}{:>21}", of("behaviour"), of("fixed")));
    }
    for kind in Anomaly::ALL {
        let of = |part: &str| {
            let of = |what: &str| number(&format!("/{part}/kinds/{}/{what}", kind.as_str()));
            format!("{} of {}", of("found"), of("of"))
        };
        say(&format!("  {:18}{:>21}{:>21}", kind.as_str(), of("behaviour"), of("fixed")));
    }
}
