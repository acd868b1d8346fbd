//! What the journal's entries come to, folded in their order; and the same kept beside the journal, so that a start reads only what came after.
//!
//! The recap is derived: missing, spoilt, of another journal or ahead of it, it is left aside and the whole journal is read. It is signed with
//! the journal's key under a name of its own, and bound to a place in the log by the root of its tree, which the journal checks.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::io::Read as _;
use std::path::PathBuf;

use remit_gateway::Touched;
use remit_journal::{Known, SigningKey};
use remit_kernel::alarm::States;
use remit_kernel::budget::Spending;
use remit_kernel::retention::{Hold, Holds};
use remit_kernel::trust::{Event, Ledger};
use remit_tlog::{Hash, Note, Signer, leaf_hash};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

/// The name of the key when it signs a recap: no checkpoint has it.
const NAME: &str = "remit/recap";
/// The first line of what is signed.
const MAGIC: &str = "remit-recap/3";
/// The largest recap that is read.
const BYTES_MAX: u64 = 512 * 1024 * 1024;
/// How many days a temporal condition can look back.
const DAYS: usize = 31;

/// What entries come to so far.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Fold {
    /// How many entries are in it.
    pub(crate) entries: u64,
    /// The records of all agents.
    pub(crate) ledger: Ledger,
    /// What sessions have touched.
    pub(crate) touched: Touched,
    /// What calls used up.
    pub(crate) spending: Spending,
    /// Calls that were allowed and have not ended, by decision.
    pub(crate) open: BTreeMap<String, Left>,
    /// Legal holds.
    pub(crate) holds: Holds,
    /// The last segment that is archived, with all before it; 0 if none is.
    pub(crate) archived: u64,
    /// Whether any entries were erased.
    #[serde(default)]
    pub(crate) erased: bool,
    /// The states of alarms.
    #[serde(default)]
    pub(crate) alarms: States,
    /// Of the last days the first entry that temporal conditions may look back on, by day.
    past: BTreeMap<String, u64>,
}

/// A decision that waits for its outcome: its names, as JSON.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Left {
    pub(crate) agent: Box<RawValue>,
    pub(crate) space: Box<RawValue>,
    pub(crate) tool: Box<RawValue>,
}

/// What an entry says that matters here.
#[derive(Deserialize)]
struct Brief<'a> {
    #[serde(borrow, rename = "type")]
    kind: Cow<'a, str>,
    #[serde(borrow, default)]
    time: Cow<'a, str>,
    #[serde(borrow, default)]
    id: Option<Cow<'a, str>>,
    #[serde(borrow, default)]
    verdict: Option<Cow<'a, str>>,
    #[serde(borrow, default)]
    decision: Option<Cow<'a, str>>,
    #[serde(borrow, default)]
    agent: Option<&'a RawValue>,
    #[serde(borrow, default)]
    space: Option<&'a RawValue>,
    #[serde(borrow, default)]
    tool: Option<&'a RawValue>,
    #[serde(borrow, default)]
    name: Option<Cow<'a, str>>,
    #[serde(borrow, default)]
    hold: Option<&'a RawValue>,
    #[serde(default)]
    segment: u64,
    #[serde(borrow, default)]
    history: Option<&'a RawValue>,
    #[serde(borrow, default)]
    history_event: Option<&'a RawValue>,
}

impl Fold {
    /// Takes the next entry. Says whose standing it may have changed.
    pub(crate) fn take(&mut self, index: u64, entry: &[u8]) -> Option<String> {
        self.entries = index + 1;
        self.brief(index, entry);
        self.touched.take(entry);
        self.spending.take(entry);
        Event::read(entry).and_then(|event| self.ledger.fold(&event))
    }

    fn brief(&mut self, index: u64, entry: &[u8]) {
        let Ok(brief) = serde_json::from_slice::<Brief<'_>>(entry) else { return };
        match &*brief.kind {
            "decision" if brief.verdict.as_deref() == Some("ALLOW") => {
                let name = |value: Option<&RawValue>| value.unwrap_or(RawValue::NULL).to_owned();
                let left = Left { agent: name(brief.agent), space: name(brief.space), tool: name(brief.tool) };
                self.open.extend(brief.id.map(|id| (id.into_owned(), left)));
            }
            "outcome" => drop(brief.decision.and_then(|decision| self.open.remove(&*decision))),
            "alarm" | "alarm_action" | "alarm_action_failed" => self.alarms.take(entry),
            // One that can't be read keeps everything.
            "legal_hold" => {
                let hold = brief.hold.and_then(|hold| serde_json::from_str::<Hold>(hold.get()).ok()).unwrap_or_default();
                self.holds.extend(brief.name.map(|name| (name.into_owned(), hold)));
            }
            "legal_hold_released" => drop(brief.name.and_then(|name| self.holds.remove(&*name))),
            "segment_archived" => self.archived = self.archived.max(brief.segment),
            "entries_erased" => self.erased = true,
            // What an operator gave up stays given up.
            "history_forgotten" => self.past.clear(),
            _ => {}
        }
        if (brief.history.is_some() || brief.history_event.is_some())
            && let Some(day) = brief.time.get(..10)
            && !self.past.contains_key(day)
        {
            self.past.insert(day.to_owned(), index);
            while self.past.len() > DAYS {
                self.past.pop_first();
            }
        }
    }

    /// As it is kept, on one line.
    pub(crate) fn to_json(&self) -> String {
        // Names and numbers alone: nothing in it can't be written.
        serde_json::to_string(self).unwrap_or_default()
    }

    /// The first entry that a temporal condition may look back on, of those from this time on (RFC 3339).
    pub(crate) fn past_from(&self, since: &str) -> Option<u64> {
        let day = since.get(..10)?;
        self.past.range(day.to_owned()..).map(|(_, index)| *index).min()
    }
}

/// A file that is derived from the journal: a line, and what is said of it under the journal's key.
#[derive(Debug, Clone)]
pub(crate) struct Signed {
    path: PathBuf,
    key: SigningKey,
    /// The name of the key when it signs this: no checkpoint has it.
    name: &'static str,
    /// The first line of what is signed.
    magic: &'static str,
}

impl Signed {
    pub(crate) fn new(path: PathBuf, key: SigningKey, name: &'static str, magic: &'static str) -> Self {
        Self { path, key, name, magic }
    }

    /// What was kept, and what was said of it; `None` if there is none that can be used.
    pub(crate) fn read(&self) -> Option<(String, String)> {
        let mut text = String::new();
        let file = std::fs::File::open(&self.path).ok()?;
        file.take(BYTES_MAX).read_to_string(&mut text).ok()?;
        let (body, note) = text.split_once('\n')?;
        let signer = Signer::from_seed(self.name, self.key.seed()).ok()?;
        let note = Note::parse(note).ok()?;
        let text = note.verify(signer.verifier()).ok()?;
        let said = text.strip_prefix(self.magic)?.strip_prefix('\n')?.strip_suffix('\n')?;
        let (said, hash) = said.rsplit_once('\n')?;
        (hash == leaf_hash(body.as_bytes()).to_string()).then(|| (body.to_owned(), said.to_owned()))
    }

    /// Keeps a line, and what is to be said of it.
    pub(crate) fn write(&self, body: &str, said: &str) -> std::io::Result<()> {
        let signer = Signer::from_seed(self.name, self.key.seed()).map_err(std::io::Error::other)?;
        let text = format!("{}\n{said}\n{}\n", self.magic, leaf_hash(body.as_bytes()));
        let note = signer.sign(&text).map_err(std::io::Error::other)?;
        crate::home::write_private(&self.path, format!("{body}\n{note}").as_bytes())
            .map_err(|failure| std::io::Error::other(failure.message))
    }
}

/// Where a recap is kept.
#[derive(Debug, Clone)]
pub(crate) struct Recap(Signed);

impl Recap {
    pub(crate) fn new(path: PathBuf, key: SigningKey) -> Self {
        Self(Signed::new(path, key, NAME, MAGIC))
    }

    /// What was kept, with the place in the log that it was made at; `None` if there is none that can be used.
    pub(crate) fn read(&self) -> Option<(Fold, Known)> {
        let (body, said) = self.0.read()?;
        let (root, size) = said.split_once('\n')?;
        let (root, size) = (Hash::from_hex(root)?, size.parse::<u64>().ok()?);
        let fold: Fold = serde_json::from_str(&body).ok()?;
        (fold.entries == size).then_some((fold, Known { size, root }))
    }

    /// Keeps what the log comes to at this place.
    pub(crate) fn write(&self, body: &str, known: Known) -> std::io::Result<()> {
        self.0.write(body, &format!("{}\n{}", known.root, known.size))
    }
}
