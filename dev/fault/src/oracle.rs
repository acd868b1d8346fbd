//! What was acknowledged, noted outside of the process that acknowledged it.

use std::collections::{BTreeMap, BTreeSet};

use crate::report::Tally;

/// The acknowledged entries by their indexes.
#[derive(Default)]
pub(crate) struct Oracle {
    acknowledged: BTreeMap<u64, String>,
}

impl Oracle {
    /// Takes a line of a workload; whether it was an acknowledgement.
    pub(crate) fn hear(&mut self, line: &str, tally: &mut Tally) -> bool {
        let told = line.strip_prefix("ack ").and_then(|rest| rest.split_once(' '));
        let Some((index, text)) = told.and_then(|(index, text)| Some((index.parse().ok()?, text))) else {
            return false;
        };
        if let Some(before) = self.acknowledged.insert(index, text.to_owned()) {
            tally.lost += 1;
            tally.broke(format!("index {index} was given to {before} and to {text}"));
        }
        true
    }

    /// How many entries were acknowledged.
    pub(crate) fn count(&self) -> u64 {
        self.acknowledged.len() as u64
    }

    /// Compares what a journal has with what was acknowledged: everything is there, in its place, once.
    pub(crate) fn check(&self, entries: &[Vec<u8>], when: &str, tally: &mut Tally) {
        for (index, text) in &self.acknowledged {
            let found = usize::try_from(*index).ok().and_then(|index| entries.get(index));
            // An entry is its text and something that makes it long.
            let same = found.is_some_and(|entry| entry.split(|byte| *byte == b' ').next() == Some(text.as_bytes()));
            if !same {
                tally.lost += 1;
                tally.broke(format!("{when}: entry {index} was acknowledged and is lost: {text}"));
            }
        }
        let distinct: BTreeSet<&Vec<u8>> = entries.iter().collect();
        let repeated = (entries.len() - distinct.len()) as u64;
        if repeated > 0 {
            tally.lost += repeated;
            tally.broke(format!("{when}: {repeated} entries are there twice"));
        }
    }
}
