//! The states that the journal has recorded: a restart goes on with them.

use std::borrow::Cow;
use std::collections::BTreeMap;

use remit_model::time_ms;
use serde::{Deserialize, Serialize};

use super::State;

/// The most groups whose states are kept.
const KEPT_MAX: usize = 20_000;

/// A state that was recorded.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Kept {
    /// The state.
    pub state: State,
    /// Since when, in milliseconds since the epoch.
    pub since_ms: u64,
}

/// The last state of every group that isn't without data.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct States(BTreeMap<String, BTreeMap<String, Kept>>);

impl States {
    /// Takes the next entry of the journal.
    pub fn take(&mut self, entry: &[u8]) {
        #[derive(Deserialize)]
        struct Entry<'a> {
            #[serde(borrow, rename = "type")]
            kind: Cow<'a, str>,
            #[serde(borrow, default)]
            time: Cow<'a, str>,
            alarm: String,
            #[serde(default)]
            group: String,
            to: State,
        }
        let Ok(entry) = serde_json::from_slice::<Entry<'_>>(entry) else { return };
        if entry.kind != "alarm" {
            return;
        }
        let since_ms = time_ms(&entry.time).unwrap_or_default();
        if entry.to == State::InsufficientData {
            if let Some(groups) = self.0.get_mut(&entry.alarm) {
                groups.remove(&entry.group);
                if groups.is_empty() {
                    self.0.remove(&entry.alarm);
                }
            }
            return;
        }
        let known = self.0.get(&entry.alarm).is_some_and(|groups| groups.contains_key(&entry.group));
        if known || self.0.values().map(BTreeMap::len).sum::<usize>() < KEPT_MAX {
            self.0.entry(entry.alarm).or_default().insert(entry.group, Kept { state: entry.to, since_ms });
        }
    }

    /// The groups of an alarm.
    pub fn of(&self, alarm: &str) -> impl Iterator<Item = (&str, Kept)> {
        self.0.get(alarm).into_iter().flatten().map(|(group, kept)| (group.as_str(), *kept))
    }
}
