//! The states that the journal has recorded, and what was done about each: a restart goes on with them.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};

use remit_model::time_ms;
use serde::{Deserialize, Serialize};

use super::State;

/// The most groups whose states are kept.
const KEPT_MAX: usize = 20_000;
/// The longest reason that is kept, in bytes.
const REASON_BYTES_MAX: usize = 512;
/// The most actions of an alarm.
const ACTIONS_MAX: u64 = 16;

/// A state that was recorded.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Kept {
    /// The state.
    pub state: State,
    /// The one before.
    pub from: State,
    /// Since when, in milliseconds since the epoch.
    pub since_ms: u64,
    /// Why.
    pub reason: String,
    /// The numbers of the actions that were done, or given up: the others may have been under way when the gateway ended.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub done: BTreeSet<u64>,
}

/// The last state of every group of which something is known, or of whose end somebody may still have to be told.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct States(BTreeMap<String, BTreeMap<String, Kept>>);

/// The fields that are read.
#[derive(Deserialize)]
struct Entry<'a> {
    #[serde(borrow, rename = "type")]
    kind: Cow<'a, str>,
    #[serde(borrow, default)]
    time: Cow<'a, str>,
    alarm: String,
    #[serde(default)]
    group: String,
    #[serde(default)]
    from: State,
    to: State,
    #[serde(default)]
    at_ms: Option<u64>,
    #[serde(default)]
    reason: String,
    #[serde(default)]
    number: u64,
}

impl States {
    /// Takes the next entry of the journal.
    pub fn take(&mut self, entry: &[u8]) {
        let Ok(entry) = serde_json::from_slice::<Entry<'_>>(entry) else { return };
        match &*entry.kind {
            "alarm" => self.changed(entry),
            "alarm_action" | "alarm_action_failed" => {
                let kept = self.0.get_mut(&entry.alarm).and_then(|groups| groups.get_mut(&entry.group));
                if let Some(kept) = kept.filter(|kept| kept.state == entry.to && entry.number < ACTIONS_MAX) {
                    kept.done.insert(entry.number);
                }
            }
            _ => {}
        }
    }

    fn changed(&mut self, entry: Entry<'_>) {
        let over = entry.to == State::InsufficientData && entry.from != State::Alarm;
        if over {
            if let Some(groups) = self.0.get_mut(&entry.alarm) {
                groups.remove(&entry.group);
                if groups.is_empty() {
                    self.0.remove(&entry.alarm);
                }
            }
            return;
        }
        let known = self.0.get(&entry.alarm).is_some_and(|groups| groups.contains_key(&entry.group));
        if !known && self.0.values().map(BTreeMap::len).sum::<usize>() >= KEPT_MAX {
            return;
        }
        let mut reason = entry.reason;
        reason.truncate(reason.floor_char_boundary(REASON_BYTES_MAX));
        let since_ms = entry.at_ms.or_else(|| time_ms(&entry.time)).unwrap_or_default();
        let kept = Kept { state: entry.to, from: entry.from, since_ms, reason, done: BTreeSet::new() };
        self.0.entry(entry.alarm).or_default().insert(entry.group, kept);
    }

    /// The groups of an alarm.
    pub fn of(&self, alarm: &str) -> impl Iterator<Item = (&str, &Kept)> {
        self.0.get(alarm).into_iter().flatten().map(|(group, kept)| (group.as_str(), kept))
    }
}
