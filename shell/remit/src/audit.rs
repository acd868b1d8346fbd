//! The journal of this gateway: opened with its key, put right after a crash, read and proved.

use std::collections::HashSet;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use remit_journal::{AttachmentOptions, Journal, OpenError, Options, Reader, SigningKey};
use serde_json::Value;

use crate::cli::Up;
use crate::cluster::Share;
use crate::home::Home;
use crate::output::{Failure, Printer};
use crate::recap::{Fold, Recap};
use crate::trust::Book;

/// The name that a log's checkpoints carry unless it was given another one when it began.
pub(crate) const ORIGIN: &str = "remit/journal";

/// The name of this home's log: it stands in the log's public key, once there is one.
pub(crate) fn origin(home: &Home) -> Option<String> {
    let vkey = std::fs::read_to_string(home.journal_vkey()).ok()?;
    Some(vkey.split_once('+')?.0.to_owned())
}

/// Opens the journal for writing. A decision that allowed and has no outcome is what a crash left: it gets one that says so.
///
/// `book` gets what all entries come to.
pub(crate) fn open(
    home: &Home,
    options: &Up,
    facts: Option<&AttachmentOptions>,
    book: &Book,
) -> Result<(Journal, Recovered), Failure> {
    let directory = home.journal();
    let known = origin(home);
    if let (Some(known), Some(asked)) = (&known, options.log_origin.as_ref())
        && known != asked
    {
        return Err(Failure::invalid(format!(
            "the log of `{}` is named `{known}` in every checkpoint, and keeps that name: leave --log-origin away",
            directory.display()
        )));
    }
    let origin = known.or_else(|| options.log_origin.clone()).unwrap_or_else(|| ORIGIN.to_owned());
    let segment_kib = options.journal_segment_kib;
    let replicate = home.shared().map(|active| Arc::new(Share::new(active.clone())) as Arc<dyn remit_journal::Replicate>);
    let options = || Options {
        attachments: facts.cloned(),
        replicate: replicate.clone(),
        segment_bytes: u64::from(segment_kib) * 1024,
        ..Options::new(&directory, &*origin)
    };
    let fault = |error: &dyn std::fmt::Display| {
        Failure::new(format!("the journal in `{}` can't be opened: {error}", directory.display()))
    };
    let mut kept = 0;
    let mut opened = None;
    let mut fold = fresh()?;
    if let Some((known, at)) = home_recap(home)?.read() {
        fold = known;
        match Journal::open_after(options(), home.journal_key()?, at, |index, entry| drop(fold.take(index, entry))) {
            Ok(done) => (opened, kept) = (Some(done), at.size),
            Err(OpenError::Unknown { .. }) => fold = fresh()?,
            Err(error) => return Err(fault(&error)),
        }
    }
    let (journal, recovery) = match opened {
        Some(opened) => opened,
        None => Journal::open(options(), home.journal_key()?, |index, entry| drop(fold.take(index, entry)))
            .map_err(|error| fault(&error))?,
    };
    let past = Past::read(&directory, &fold)?;
    let mut recovered = Recovered {
        entries: recovery.entries,
        read: recovery.read,
        unknown: 0,
        stopped: recovery.stopped,
        past,
        touched: fold.touched.clone(),
        spending: fold.spending.clone(),
    };
    for (decision, left) in &fold.open {
        let entry = serde_json::json!({
            "v": 1, "type": "outcome", "time": remit_gateway::rfc3339(crate::now_ms()), "decision": decision,
            "agent": left.agent, "space": left.space, "tool": left.tool, "outcome": "unknown",
        });
        journal.append(entry.to_string().into_bytes()).wait().map_err(|error| Failure::new(error.to_string()))?;
        recovered.unknown += 1;
    }
    // The outcomes come to it as whatever follows.
    book.begin(fold, kept);
    std::fs::write(home.journal_vkey(), journal.verifier_key()).map_err(|error| Failure::io(&home.journal_vkey(), &error))?;
    Ok((journal, recovered))
}

/// What is kept of the journal, beside it.
pub(crate) fn home_recap(home: &Home) -> Result<Recap, Failure> {
    Ok(Recap::new(home.recap(), home.journal_key()?))
}

/// What entries come to before the first.
fn fresh() -> Result<Fold, Failure> {
    let mut salt = [0; 16];
    aws_lc_rs::rand::fill(&mut salt).map_err(|_| Failure::new("the system has no randomness"))?;
    let mut fold = Fold::default();
    fold.spending = remit_kernel::budget::Spending::new(salt);
    Ok(fold)
}

/// What opening found.
#[derive(Debug)]
pub(crate) struct Recovered {
    pub(crate) entries: u64,
    /// How many entries were read: the others were known.
    pub(crate) read: u64,
    pub(crate) unknown: usize,
    pub(crate) stopped: Option<String>,
    /// The entries that temporal conditions may look back on, in order.
    pub(crate) past: Vec<Vec<u8>>,
    /// What sessions have touched.
    pub(crate) touched: remit_gateway::Touched,
    /// What calls used up.
    pub(crate) spending: remit_kernel::budget::Spending,
}

/// How far a temporal condition can look back: 30 days.
pub(crate) const LOOK_BACK_MAX_MS: u64 = 30 * 24 * 3600 * 1000;

/// Gathers entries of histories.
struct Past {
    since: String,
    entries: Vec<Vec<u8>>,
}

impl Past {
    /// Those that temporal conditions may look back on, in order.
    fn read(journal: &Path, fold: &Fold) -> Result<Vec<Vec<u8>>, Failure> {
        let since = remit_gateway::rfc3339(crate::now_ms().saturating_sub(LOOK_BACK_MAX_MS));
        let Some(from) = fold.past_from(&since) else { return Ok(Vec::new()) };
        let fault = |error: remit_journal::ReadError| Failure::new(format!("the journal can't be read: {error}"));
        let mut past = Self { since, entries: Vec::new() };
        let mut reader = Reader::open(journal, from).map_err(fault)?.without_signatures();
        while let Some(entry) = reader.next().map_err(fault)? {
            past.take(&entry.bytes);
        }
        Ok(past.entries)
    }

    fn take(&mut self, entry: &[u8]) {
        #[derive(serde::Deserialize)]
        struct Dated {
            #[serde(default)]
            time: String,
        }
        let has = |key: &[u8]| entry.windows(key.len()).any(|window| window == key);
        // What an operator gave up stays given up.
        if has(b"\"type\":\"history_forgotten\"") {
            self.entries.clear();
        }
        if !has(b"\"history\":\"") && !has(b"\"history_event\":\"") {
            return;
        }
        // Times are in UTC and of one shape: their texts are in their order.
        if serde_json::from_slice::<Dated>(entry).is_ok_and(|dated| dated.time >= self.since) {
            self.entries.push(entry.to_vec());
        }
    }
}

/// Which entries to show.
#[derive(Debug, Default)]
pub(crate) struct Filter {
    pub(crate) fields: Vec<(&'static str, String)>,
    pub(crate) decision: Option<String>,
}

impl Filter {
    fn shows(&self, entry: &Value) -> bool {
        let is = |key: &str, wanted: &str| entry.get(key).and_then(Value::as_str) == Some(wanted);
        let ends = |key: &str, end: &str| entry.get(key).and_then(Value::as_str).is_some_and(|id| id.ends_with(end));
        let of_decision = self.decision.as_ref().is_none_or(|end| ends("id", end) || ends("decision", end));
        of_decision && self.fields.iter().all(|(key, wanted)| is(key, wanted))
    }
}

/// Prints entries, the last `last` of them, and goes on with new ones if asked.
pub(crate) fn log(
    home: &Home,
    filter: &Filter,
    from: u64,
    last: Option<usize>,
    follow: bool,
    printer: Printer,
) -> Result<(), Failure> {
    let fault = |error: remit_journal::ReadError| Failure::new(format!("the journal can't be read: {error}"));
    let mut reader = Reader::open(home.journal(), from).map_err(fault)?;
    let mut kept: std::collections::VecDeque<(u64, Value)> = std::collections::VecDeque::new();
    while let Some(entry) = reader.next().map_err(fault)? {
        let value: Value = serde_json::from_slice(&entry.bytes).unwrap_or(Value::Null);
        if !filter.shows(&value) {
            continue;
        }
        match last {
            None => print(entry.index, &value, printer)?,
            Some(last) => {
                kept.push_back((entry.index, value));
                if kept.len() > last {
                    kept.pop_front();
                }
            }
        }
    }
    for (index, value) in kept {
        print(index, &value, printer)?;
    }
    if !follow {
        return Ok(());
    }
    let wait = || {
        std::thread::sleep(std::time::Duration::from_millis(100));
        true
    };
    while let Some(entry) = reader.follow(wait).map_err(fault)? {
        let value: Value = serde_json::from_slice(&entry.bytes).unwrap_or(Value::Null);
        if filter.shows(&value) {
            print(entry.index, &value, printer)?;
        }
    }
    Ok(())
}

fn print(index: u64, entry: &Value, printer: Printer) -> Result<(), Failure> {
    if printer.json {
        return printer.line(&serde_json::json!({"index": index, "entry": entry}).to_string());
    }
    printer.line(&line(index, entry))
}

/// One entry as one line for people. What came from an agent or a server is shown without control characters.
pub(crate) fn line(index: u64, entry: &Value) -> String {
    let text = |key: &str| entry.get(key).and_then(Value::as_str).unwrap_or("-");
    let number = |key: &str| entry.get(key).and_then(Value::as_u64).unwrap_or_default();
    let body = match text("type") {
        "decision" => {
            let who = match entry.get("user").and_then(Value::as_str) {
                Some(user) => format!("{} for {user}", text("agent")),
                None => text("agent").to_owned(),
            };
            let why = entry.get("reason").and_then(Value::as_str).map(|why| format!(" ({why})")).unwrap_or_default();
            format!(
                "{:5} {who} in {}: {} {}{why}  #{}",
                text("verdict"),
                text("space"),
                text("method"),
                text("tool"),
                short(text("id"))
            )
        }
        "outcome" => {
            let took = number("latency_us");
            format!(
                "  {:11} {} in {} µs, {} µs of it upstream  #{}",
                text("outcome"),
                text("tool"),
                took,
                number("upstream_us"),
                short(text("decision"))
            )
        }
        kind => {
            let mut rest = entry.clone();
            if let Some(map) = rest.as_object_mut() {
                for key in ["v", "type", "time"] {
                    map.remove(key);
                }
            }
            format!("{kind} {rest}")
        }
    };
    let body: String = body.chars().map(|c| if c.is_control() { '\u{fffd}' } else { c }).collect();
    format!("{index:>7}  {}  {body}", text("time"))
}

fn short(id: &str) -> &str {
    id.get(id.len().saturating_sub(12)..).unwrap_or(id)
}

/// What was proved.
#[derive(Debug, serde::Serialize)]
pub(crate) struct Proof {
    pub(crate) entries: u64,
    pub(crate) decisions: u64,
    pub(crate) allowed: u64,
    pub(crate) outcomes: u64,
    /// How many entries were erased, as the journal says.
    pub(crate) erased: u64,
    pub(crate) unpaired: Vec<String>,
    pub(crate) checkpoints: u64,
    pub(crate) root: String,
    pub(crate) findings: Vec<String>,
}

/// Proves the journal. A gateway that is up may have decisions under way: their outcomes are still to come.
pub(crate) fn verify(
    home: &Home,
    key: Option<String>,
    saved: &[PathBuf],
    running: bool,
    progress: impl FnMut(u64, u64),
) -> Result<Proof, Failure> {
    let vkey = key.map_or_else(|| self::vkey(home), Ok)?;
    let mut notes: Vec<String> = saved.iter().map(|path| read(path)).collect::<Result<_, _>>()?;
    // What witnesses cosigned is kept here, too: a log that was cut or written anew doesn't hold to it.
    notes.extend(read(&home.cosigned()).ok());
    let mut open: HashSet<String> = HashSet::new();
    let (mut decisions, mut allowed, mut outcomes) = (0, 0, 0);
    let mut findings = Vec::new();
    let mut told: Vec<Range<u64>> = Vec::new();
    let mut alone = Vec::new();
    let report = remit_journal::verify_against(home.journal(), vkey.trim(), &notes, progress, |index, bytes| {
        let Ok(entry) = serde_json::from_slice::<Value>(bytes) else {
            findings.push(format!("entry {index} is not JSON"));
            return;
        };
        match entry.get("type").and_then(Value::as_str) {
            Some("decision") => {
                decisions += 1;
                if entry.get("verdict").and_then(Value::as_str) == Some("ALLOW") {
                    allowed += 1;
                    open.extend(entry.get("id").and_then(Value::as_str).map(str::to_owned));
                }
            }
            Some("entries_erased") => {
                let ranges = entry.get("ranges").and_then(|ranges| serde_json::from_value::<Vec<[u64; 2]>>(ranges.clone()).ok());
                told.extend(ranges.unwrap_or_default().into_iter().map(|[first, end]| first..end));
            }
            Some("outcome") => {
                outcomes += 1;
                let decision = entry.get("decision").and_then(Value::as_str).unwrap_or_default();
                if !open.remove(decision) {
                    alone.push(index);
                }
            }
            _ => {}
        }
    })
    .map_err(|error| Failure::new(format!("the journal can't be verified: {error}")))?;
    findings.extend(report.findings.iter().map(|finding| format!("{}: {}", finding.where_, finding.what)));
    let erased: u64 = report.erased.iter().map(|range| range.end - range.start).sum();
    // An outcome stays alone where its decision was erased before it; else there is none without.
    let first = report.erased.first().map_or(u64::MAX, |range| range.start);
    let alone = alone.iter().filter(|index| **index < first);
    findings.extend(alone.map(|index| format!("entry {index} is the outcome of no open decision")));
    findings.extend(
        untold(&report.erased, told)
            .into_iter()
            .map(|range| format!("entries {} to {} were erased, and the journal doesn't say so", range.start, range.end - 1)),
    );
    let unpaired: Vec<String> = open.into_iter().collect();
    if !running {
        findings.extend(unpaired.iter().map(|id| format!("decision {id} has no outcome")));
    }
    Ok(Proof {
        entries: report.entries,
        decisions,
        allowed,
        outcomes,
        erased,
        unpaired,
        checkpoints: report.checkpoints,
        root: remit_mcp::canonical::hex(report.root.as_bytes()),
        findings,
    })
}

/// The log's public key, as it lies beside the journal.
pub(crate) fn vkey(home: &Home) -> Result<String, Failure> {
    let path = home.journal_vkey();
    std::fs::read_to_string(&path).map_err(|error| Failure::io(&path, &error))
}

/// What was erased and isn't told of.
fn untold(erased: &[Range<u64>], mut told: Vec<Range<u64>>) -> Vec<Range<u64>> {
    told.sort_by_key(|range| range.start);
    let mut untold = Vec::new();
    for range in erased {
        let mut at = range.start;
        for told in told.iter().filter(|told| told.end > range.start && told.start < range.end) {
            if told.start > at {
                untold.push(at..told.start);
            }
            at = at.max(told.end);
        }
        if at < range.end {
            untold.push(at..range.end);
        }
    }
    untold
}

fn read(path: &Path) -> Result<String, Failure> {
    std::fs::read_to_string(path).map_err(|error| Failure::io(path, &error))
}

/// A signing key from its seed.
pub(crate) fn signing_key(seed: &[u8; 32]) -> SigningKey {
    SigningKey::from_seed(seed)
}
