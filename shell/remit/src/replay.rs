//! `remit replay`: what was decided, decided again; and what of it would be otherwise under another configuration.

use std::collections::HashMap;
use std::io::IsTerminal as _;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use remit_control::Source;
use remit_control::versions::Versions;
use remit_gateway::{KeptFacts, NotKept, rfc3339};
use remit_journal::Reader;
use remit_kernel::Snapshot;
use remit_kernel::recorded::Recorded;
use remit_model::{Organization, time_ms};
use remit_trial::replay::{Line, Past, Replay, Tally, reproduce};
use serde_json::{Value, json};

use crate::audit::LOOK_BACK_MAX_MS;
use crate::cli::Replay as Options;
use crate::home::Home;
use crate::now_ms;
use crate::offline::Offline;
use crate::output::{FAILURE, Failure, Printer, warn};
use crate::told;

/// How many compiled configurations are held at a time.
const SNAPSHOTS_MAX: usize = 8;
/// How often the progress is told.
const PROGRESS: Duration = Duration::from_secs(2);
/// How many decisions that come out otherwise are told one by one, of those that are to be the same.
const TOLD_MAX: usize = 20;
/// What `remit plan` looks at where nobody says how far back: so many days, and at most so many entries.
pub(crate) const PLAN_DAYS: u64 = 7;
/// The most entries.
pub(crate) const PLAN_ENTRIES_MAX: u64 = 400_000;

/// Which decisions.
#[derive(Debug, Clone, Default)]
pub(crate) struct Range {
    /// From this time on, as RFC 3339.
    pub(crate) since: String,
    /// Before this one.
    pub(crate) until: Option<String>,
    /// The entry with this index alone.
    pub(crate) only: Option<u64>,
    pub(crate) agent: Option<String>,
    pub(crate) space: Option<String>,
    pub(crate) tool: Option<String>,
    /// The most entries that are looked at: the last ones.
    pub(crate) entries_max: Option<u64>,
}

impl Range {
    /// Whether this decision is one of them.
    fn has(&self, index: u64, past: &Past<'_>) -> bool {
        let is = |wanted: &Option<String>, found: Option<&str>| wanted.as_deref().is_none_or(|wanted| found == Some(wanted));
        self.only.is_none_or(|only| only == index)
            && *past.time >= *self.since
            && self.until.as_deref().is_none_or(|until| *past.time < *until)
            && is(&self.agent, past.agent.as_deref())
            && is(&self.space, Some(&past.space))
            && is(&self.tool, past.tool.as_deref())
    }
}

/// The journal and what is kept beside it.
struct Recordings<'a> {
    home: &'a Home,
    kept: KeptFacts,
}

fn fault(error: &dyn std::fmt::Display) -> Failure {
    Failure::new(error.to_string())
}

impl<'a> Recordings<'a> {
    fn open(home: &'a Home) -> Result<Self, Failure> {
        let key = home.existing_history_key()?;
        let kept = KeptFacts::open(&key, &home.facts(), &home.facts_shared(), &home.space_keys());
        Ok(Self { home, kept: kept.ok_or_else(|| Failure::new("the history key is not fit"))? })
    }

    fn reader(&self, from: u64) -> Result<Reader, Failure> {
        let opened = Reader::open(self.home.journal(), from).map(Reader::without_signatures);
        opened.map_err(|error| Failure::new(format!("the journal can't be read: {error}")))
    }

    /// The entry with this index.
    fn entry(&self, index: u64) -> Result<Option<Vec<u8>>, Failure> {
        let found = self.reader(index)?.next().map_err(|error| fault(&error))?;
        Ok(found.filter(|entry| entry.index == index).map(|entry| entry.bytes))
    }

    /// The first index whose entry is of this time or later; times in the journal rise, but for a clock that was set back.
    fn index_of(&self, time: &str) -> Result<u64, Failure> {
        let before = |index: u64| -> Result<Option<bool>, Failure> {
            let Some(entry) = self.entry(index)? else { return Ok(None) };
            let entry: Value = serde_json::from_slice(&entry).unwrap_or_default();
            Ok(Some(entry.get("time").and_then(Value::as_str).is_some_and(|at| at < time)))
        };
        let (mut low, mut high) = (0, 1);
        while before(high)? == Some(true) {
            (low, high) = (high, high * 2);
        }
        while low < high {
            let middle = low + (high - low) / 2;
            if before(middle)? == Some(true) { low = middle + 1 } else { high = middle }
        }
        Ok(low)
    }

    /// When the entry with this index was recorded, in milliseconds since the epoch; `None` if there is none.
    fn time_of(&self, index: u64) -> Result<Option<u64>, Failure> {
        let Some(entry) = self.entry(index)? else { return Ok(None) };
        let entry: Value = serde_json::from_slice(&entry).unwrap_or_default();
        Ok(Some(entry.get("time").and_then(Value::as_str).and_then(time_ms).unwrap_or_default()))
    }

    /// How many entries there are.
    fn size(&self) -> Result<u64, Failure> {
        self.index_of("9999")
    }

    /// The facts of a decision.
    fn facts(&mut self, index: u64, past: &Past<'_>) -> Result<Vec<u8>, String> {
        let Some(digest) = past.facts_digest.as_deref() else {
            return Err(match past.agent {
                None => "nobody was identified: of strangers no facts are kept".to_owned(),
                Some(_) => NotKept::Never.to_string(),
            });
        };
        self.kept.facts(index, &past.space, &past.id, digest).map_err(|error| error.to_string())
    }
}

/// Configurations compiled with what servers offered, by the basis of decisions.
struct Compiled<F> {
    snapshots: HashMap<String, Result<Arc<Snapshot>, String>>,
    last: Option<Arc<Snapshot>>,
    organization: F,
}

impl<F: FnMut(&str) -> Result<Arc<Organization>, String>> Compiled<F> {
    fn new(organization: F) -> Self {
        Self { snapshots: HashMap::new(), last: None, organization }
    }

    /// The snapshot for decisions under the basis of this digest.
    fn of(&mut self, kept: &KeptFacts, basis: &str) -> Result<Arc<Snapshot>, String> {
        if let Some(known) = self.snapshots.get(basis) {
            return known.clone();
        }
        let made = self.make(kept, basis);
        if self.snapshots.len() >= SNAPSHOTS_MAX {
            self.snapshots.clear();
        }
        self.snapshots.insert(basis.to_owned(), made.clone());
        made
    }

    fn make(&mut self, kept: &KeptFacts, basis: &str) -> Result<Arc<Snapshot>, String> {
        let (basis, catalogue) = kept.basis(basis).map_err(|error| match error {
            // One line for all of them.
            NotKept::Shared(_) => "what servers offered then was not kept".to_owned(),
            other => other.to_string(),
        })?;
        let organization = (self.organization)(&basis.configuration)?;
        let snapshot = Arc::new(Snapshot::compile_after(self.last.as_deref(), 0, organization, &catalogue));
        // Months of calls ask the same questions again and again.
        snapshot.remember();
        self.last = Some(Arc::clone(&snapshot));
        Ok(snapshot)
    }
}

/// Decides the recorded calls of a range again, under another organization.
pub(crate) fn against(home: &Home, organization: &Arc<Organization>, range: &Range) -> Result<(Tally, Duration), Failure> {
    let mut recordings = Recordings::open(home)?;
    let mut compiled = Compiled::new(|_: &str| Ok(Arc::clone(organization)));
    let mut replay = Replay::default();
    let first = match (range.only, range.entries_max) {
        (Some(only), _) => only,
        (None, None) => recordings.index_of(&range.since)?,
        (None, Some(most)) => recordings.index_of(&range.since)?.max(recordings.size()?.saturating_sub(most)),
    };
    let temporal = organization.spaces.values().filter_map(|space| space.policy_set.as_ref()).any(has_temporal);
    // Histories begin as far before the first call that counts as a condition may look back from it.
    let from = match recordings.time_of(first)?.filter(|_| temporal) {
        Some(first_ms) => recordings.index_of(&rfc3339(first_ms.saturating_sub(LOOK_BACK_MAX_MS)))?.min(first),
        None => first,
    };
    let mut reader = recordings.reader(from)?;
    let started = Instant::now();
    let mut progress = Progress::new();
    while let Some((index, entry)) = reader.next_lent().map_err(|error| fault(&error))? {
        if range.only.is_some_and(|only| index > only) {
            break;
        }
        match Line::read(entry, temporal && replay.waits()) {
            Line::Decision(past) => {
                let counts = index >= first && range.has(index, &past);
                if counts || temporal {
                    let done = again(&mut recordings, &mut compiled, &mut replay, index, &past, counts);
                    if let Err(why) = done {
                        replay.missing(&past);
                        if counts {
                            replay.tally_mut().undecided(&why);
                        }
                    }
                }
                progress.tell(replay.tally().decided, &past.time);
            }
            Line::Ended(ended) if temporal => {
                let sealed = ended.history_output.as_deref();
                let output = sealed.and_then(|sealed| recordings.kept.result(&ended.space, &ended.decision, sealed));
                replay.ended(&ended, output.as_ref());
            }
            Line::Ended(_) | Line::Other => {}
        }
    }
    Ok((replay.tally().clone(), started.elapsed()))
}

/// Whether a set may hold temporal conditions: each begins with this word.
fn has_temporal(set: &remit_model::PolicyTexts) -> bool {
    set.files.iter().any(|file| file.text.contains("temporal"))
}

fn again<F: FnMut(&str) -> Result<Arc<Organization>, String>>(
    recordings: &mut Recordings<'_>,
    compiled: &mut Compiled<F>,
    replay: &mut Replay,
    index: u64,
    past: &Past<'_>,
    counts: bool,
) -> Result<(), String> {
    let text = recordings.facts(index, past)?;
    let recorded = Recorded::read(&text).map_err(|error| error.to_string())?;
    let snapshot = compiled.of(&recordings.kept, recorded.basis())?;
    replay.decide(&snapshot, index, past, &recorded, counts).map_err(|error| error.to_string())
}

/// Tells on standard error how far it is, to a person.
struct Progress {
    told: Option<Instant>,
}

impl Progress {
    fn new() -> Self {
        Self { told: std::io::stderr().is_terminal().then(Instant::now) }
    }

    fn tell(&mut self, count: u64, time: &str) {
        if self.told.is_some_and(|told| told.elapsed() >= PROGRESS) {
            warn(&format!("… {count} decided again, at {time}"));
            self.told = Some(Instant::now());
        }
    }
}

/// What the replay of a range came to, as JSON.
pub(crate) fn told(tally: &Tally, range: &Range, took: Duration) -> Value {
    let groups = tally.groups();
    let mut told = json!(tally);
    crate::change::merge(
        &mut told,
        json!({"since": range.since, "until": range.until, "groups": groups, "took_ms": u64::try_from(took.as_millis()).unwrap_or(u64::MAX)}),
    );
    told
}

/// `remit replay`.
pub(crate) fn replay(options: &Options) -> Result<(), Failure> {
    let printer = Printer::new(options.common.json);
    let home = Home::existing(&options.common.data)?;
    let mut range = Range {
        since: since(options.since.as_deref().unwrap_or("30d"))?,
        until: options.until.as_deref().map(since).transpose()?,
        agent: options.agent.clone(),
        space: options.space.clone(),
        tool: options.tool.clone(),
        ..Range::default()
    };
    let one = match &options.entry {
        Some(entry) => {
            let found = find(&home, entry)?;
            range.only = Some(found.0);
            range.since = String::new();
            Some(found)
        }
        None => None,
    };
    let Some(directory) = &options.against else {
        return match one {
            Some((index, entry)) => reproduced(&home, index, &entry, printer),
            None => all(&home, &range, printer),
        };
    };
    let candidate = candidate(directory, printer)?;
    let (tally, took) = against(&home, &candidate, &range)?;
    let told = told(&tally, &range, took);
    if printer.json {
        printer.line(&told.to_string())?;
    } else {
        told::replay(&told).iter().try_for_each(|line| printer.line(line))?;
    }
    if options.expect_same && (tally.newly_allowed > 0 || tally.newly_denied > 0 || !tally.undecided.is_empty()) {
        return Err(Failure::said(FAILURE));
    }
    Ok(())
}

fn candidate(directory: &Path, printer: Printer) -> Result<Arc<Organization>, Failure> {
    match Offline::read(Some(directory)) {
        Ok(offline) => Ok(Arc::new(offline.source.loaded.organization)),
        Err(refused) => Err(refused.told(printer)?),
    }
}

/// A time: a span before now (`30d`, `12h`, `45m`, `90s`), or RFC 3339 in UTC.
pub(crate) fn since(text: &str) -> Result<String, Failure> {
    let units = [("s", 1), ("m", 60), ("h", 3600), ("d", 86_400)];
    let span =
        units.iter().find_map(|(unit, secs)| text.strip_suffix(unit)?.parse::<u32>().ok().map(|count| u64::from(count) * secs));
    if let Some(secs) = span {
        return Ok(rfc3339(now_ms().saturating_sub(secs.saturating_mul(1000))));
    }
    let dated = text.len() >= 10
        && text.bytes().zip(b"dddd-dd-ddTdd:dd:dd.dddZ").all(|(byte, shape)| match shape {
            b'd' => byte.is_ascii_digit(),
            other => byte == *other || (*other == b'.' && byte == b'Z'),
        });
    // Whole, since entries' times are compared as texts.
    if let Some(at_ms) = time_ms(text).filter(|_| dated) {
        return Ok(rfc3339(at_ms));
    }
    Err(Failure::invalid(format!(
        "`{text}` is no time: write a span such as 30d, 12h or 45m, or a time in UTC such as 2026-03-01T12:00:00Z"
    )))
}

/// The entry of this index, or of this decision.
fn find(home: &Home, entry: &str) -> Result<(u64, Vec<u8>), Failure> {
    let recordings = Recordings::open(home)?;
    let none =
        || Failure::invalid(format!("there is no entry `{entry}`: name one by its index, or a decision by its id (`remit log`)"));
    if let Ok(index) = entry.parse::<u64>()
        && entry.len() < 20
    {
        return recordings.entry(index)?.map(|bytes| (index, bytes)).ok_or_else(none);
    }
    // A decision's id begins with its time.
    let at_ms = entry.get(..12).and_then(|digits| u64::from_str_radix(digits, 16).ok()).ok_or_else(none)?;
    let (from, until) = (rfc3339(at_ms.saturating_sub(60_000)), rfc3339(at_ms.saturating_add(60_000)));
    let mut reader = recordings.reader(recordings.index_of(&from)?)?;
    while let Some(found) = reader.next().map_err(|error| fault(&error))? {
        if let Line::Decision(past) = Line::read(&found.bytes, false) {
            if past.id == entry {
                return Ok((found.index, found.bytes.clone()));
            }
            if *past.time > *until {
                break;
            }
        }
    }
    Err(none())
}

/// The configurations that the store keeps, by the digest of their files.
struct Kept {
    versions: Versions,
    known: HashMap<String, Arc<Organization>>,
}

impl Kept {
    fn open(home: &Home) -> Result<Self, Failure> {
        Ok(Self { versions: Versions::new(home.store()?), known: HashMap::new() })
    }

    fn organization(&mut self, digest: &str) -> Result<Arc<Organization>, String> {
        if let Some(known) = self.known.get(digest) {
            return Ok(Arc::clone(known));
        }
        let version = self.versions.find(digest).map_err(|error| error.to_string())?;
        let version = version.ok_or("the configuration of then is not among the stored versions")?;
        let files = self.versions.files(&version).map_err(|error| error.to_string())?;
        let source = Source::of(files)
            .map_err(|_| format!("version {} of the configuration has faults for this program", version.version))?;
        if source.digest != digest {
            return Err(format!("the stored version {} is not what it was", version.version));
        }
        let organization = Arc::new(source.loaded.organization);
        if self.known.len() >= SNAPSHOTS_MAX {
            self.known.clear();
        }
        self.known.insert(digest.to_owned(), Arc::clone(&organization));
        Ok(organization)
    }
}

/// Reproduces one decision.
fn reproduced(home: &Home, index: u64, entry: &[u8], printer: Printer) -> Result<(), Failure> {
    let Line::Decision(past) = Line::read(entry, false) else {
        return Err(Failure::invalid(format!("entry {index} is no decision: `remit log --type decision` shows those that are")));
    };
    let mut kept = Kept::open(home)?;
    let mut recordings = Recordings::open(home)?;
    let mut compiled = Compiled::new(|digest: &str| kept.organization(digest));
    let done = reproduce_one(&mut recordings, &mut compiled, index, &past);
    let (same, told) = match done {
        Ok(reproduced) => (reproduced.same, json!({"index": index, "id": past.id, "reproduced": reproduced})),
        Err(why) => (false, json!({"index": index, "id": past.id, "not_reproduced": why})),
    };
    if printer.json {
        printer.line(&told.to_string())?;
    } else {
        let value: Value = serde_json::from_slice(entry).unwrap_or_default();
        printer.line(&crate::audit::line(index, &value))?;
        told::reproduced(&told).iter().try_for_each(|line| printer.line(line))?;
    }
    if same { Ok(()) } else { Err(Failure::said(FAILURE)) }
}

fn reproduce_one<F: FnMut(&str) -> Result<Arc<Organization>, String>>(
    recordings: &mut Recordings<'_>,
    compiled: &mut Compiled<F>,
    index: u64,
    past: &Past<'_>,
) -> Result<remit_trial::replay::Reproduced, String> {
    let text = recordings.facts(index, past)?;
    let recorded = Recorded::read(&text).map_err(|error| error.to_string())?;
    let snapshot = compiled.of(&recordings.kept, recorded.basis())?;
    reproduce(&snapshot, past, &recorded).map_err(|error| error.to_string())
}

/// Reproduces every decision of a range, each under its own configuration.
fn all(home: &Home, range: &Range, printer: Printer) -> Result<(), Failure> {
    let mut kept = Kept::open(home)?;
    let mut recordings = Recordings::open(home)?;
    let mut compiled = Compiled::new(|digest: &str| kept.organization(digest));
    let mut reader = recordings.reader(recordings.index_of(&range.since)?)?;
    let (mut same, mut differ, mut tally) = (0_u64, 0_u64, Tally::default());
    let mut examples = Vec::new();
    let started = Instant::now();
    let mut progress = Progress::new();
    while let Some((index, entry)) = reader.next_lent().map_err(|error| fault(&error))? {
        let Line::Decision(past) = Line::read(entry, false) else { continue };
        if !range.has(index, &past) {
            continue;
        }
        match reproduce_one(&mut recordings, &mut compiled, index, &past) {
            Ok(reproduced) if reproduced.same => same += 1,
            Ok(reproduced) => {
                differ += 1;
                if examples.len() < TOLD_MAX {
                    examples.push(json!({"index": index, "id": past.id, "differences": reproduced.differences}));
                }
            }
            Err(why) => tally.undecided(&why),
        }
        progress.tell(same + differ, &past.time);
    }
    let took = u64::try_from(started.elapsed().as_millis()).unwrap_or(u64::MAX);
    let told = json!({
        "since": range.since, "until": range.until, "same": same, "different": differ, "not_reproduced": tally.undecided,
        "differences": examples, "took_ms": took,
    });
    if printer.json {
        printer.line(&told.to_string())?;
    } else {
        told::all_reproduced(&told).iter().try_for_each(|line| printer.line(line))?;
    }
    if differ == 0 { Ok(()) } else { Err(Failure::said(FAILURE)) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_without_thousandths_begins_its_second() {
        for text in ["2026-03-01T12:00:00Z", "2026-03-01T12:00:00.000Z"] {
            let bound = since(text).ok().unwrap();
            // Entries are held to it as texts: those of that very second aren't before it, and those before it are.
            for time in ["2026-03-01T12:00:00.000Z", "2026-03-01T12:00:00.500Z"] {
                assert!(time >= bound.as_str(), "{text} {time}");
            }
            assert!("2026-03-01T11:59:59.999Z" < bound.as_str(), "{text}");
        }
        for bad in ["2026-13-01", "2026-03-01T12:00:00+01:00", "yesterday"] {
            assert!(since(bad).is_err(), "{bad}");
        }
    }
}
