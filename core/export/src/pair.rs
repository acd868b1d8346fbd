//! Decisions and their outcomes, brought together as the log is read.
//!
//! A decision that let nothing through is told at its own entry, one that allowed at the entry of its outcome. So what has been told is a
//! function of how far the log was read and of which decisions were open there: [`Pairing::standing`] is all that must be kept to go on.

use std::collections::{BTreeMap, HashMap};

use remit_tlog::{Hash, leaf_hash};
use serde_json::Value;

use crate::{Filter, Leaf, Places, Record};

/// The most decisions that wait for their outcomes at once. Of more the oldest are told without: the log says how they ended later.
pub const OPEN_MAX: usize = 10_000;

/// How far the log was read, and which decisions were open there.
#[derive(Debug, Clone, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Open {
    /// The index of the next entry.
    pub next: u64,
    /// The indexes of the decisions before it whose outcomes are still to come.
    pub open: Vec<u64>,
}

impl Open {
    /// Where reading must begin to go on.
    pub fn from(&self) -> u64 {
        // One earlier, for the hash of the entry before.
        self.open.first().copied().unwrap_or(self.next).min(self.next).saturating_sub(1)
    }
}

/// Makes records of entries.
#[derive(Debug)]
pub struct Pairing {
    origin: String,
    filter: Filter,
    places: Places,
    resumed: Open,
    next: u64,
    previous: Option<Hash>,
    /// Decisions without an outcome yet, by their ids.
    open: HashMap<String, Leaf>,
    /// Their ids in the order of the log.
    order: BTreeMap<u64, String>,
}

impl Pairing {
    /// Goes on where `resumed` was; feed it the entries from [`Open::from`] on, without a gap.
    pub fn new(origin: &str, filter: Filter, places: Places, resumed: Open) -> Self {
        let next = resumed.from();
        let (open, order) = (HashMap::new(), BTreeMap::new());
        Self { origin: origin.to_owned(), filter, places, resumed, next, previous: None, open, order }
    }

    /// Which decisions are told from now on, and where spaces stand. A decision that is open keeps its place in the line.
    pub fn change(&mut self, filter: Filter, places: Places) {
        (self.filter, self.places) = (filter, places);
    }

    /// How far it is.
    pub fn standing(&self) -> Open {
        Open { next: self.next.max(self.resumed.next), open: self.order.keys().copied().collect() }
    }

    /// Takes the next entry; answers the record that it completes, if it completes one that the filter lets through.
    pub fn take(&mut self, index: u64, bytes: &[u8]) -> Option<Record> {
        let hash = leaf_hash(bytes);
        let previous = self.previous.replace(hash);
        let told_before = index < self.resumed.next;
        self.next = index + 1;
        if told_before && self.resumed.open.binary_search(&index).is_err() {
            return None;
        }
        // Most entries of other types are told apart without reading them.
        let has = |key: &[u8]| bytes.windows(key.len()).any(|window| window == key);
        if !has(b"\"type\":\"decision\"") && !has(b"\"type\":\"outcome\"") {
            return None;
        }
        let mut entry: Value = serde_json::from_slice(bytes).ok()?;
        match entry.get("type").and_then(Value::as_str)? {
            "decision" => {
                if !self.filter.tells(&entry) {
                    return None;
                }
                // What an entry keeps sealed is nobody else's.
                if let Some(entry) = entry.as_object_mut() {
                    entry.remove("history");
                }
                let allows = entry.get("verdict").and_then(Value::as_str) == Some("ALLOW");
                let id = entry.get("id").and_then(Value::as_str).unwrap_or_default().to_owned();
                let leaf = Leaf { index, hash, previous, entry };
                if !allows {
                    return Some(self.record(leaf, None));
                }
                self.order.insert(index, id.clone());
                self.open.insert(id, leaf);
                if self.order.len() > OPEN_MAX {
                    return self.oldest();
                }
                None
            }
            "outcome" => {
                let decision = self.open.remove(entry.get("decision").and_then(Value::as_str)?)?;
                self.order.remove(&decision.index);
                if let Some(entry) = entry.as_object_mut() {
                    entry.remove("history_output");
                }
                let outcome = Leaf { index, hash, previous, entry };
                Some(self.record(decision, Some(outcome)))
            }
            _ => None,
        }
    }

    /// Takes the next entry where it was erased: its hash is all that is left, and the entry after it names that.
    pub fn pass(&mut self, index: u64, hash: Hash) {
        self.previous = Some(hash);
        self.next = index + 1;
    }

    /// The decisions that are still open, without outcomes, in the order of the log: for who reads the log once.
    pub fn rest(&mut self) -> Vec<Record> {
        std::iter::from_fn(|| self.oldest()).collect()
    }

    fn oldest(&mut self) -> Option<Record> {
        let (_, id) = self.order.pop_first()?;
        let decision = self.open.remove(&id)?;
        Some(self.record(decision, None))
    }

    fn record(&self, decision: Leaf, outcome: Option<Leaf>) -> Record {
        Record::new(&self.origin, &self.places, decision, outcome)
    }
}
