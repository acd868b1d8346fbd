//! What each agent uses of each tool: counted before the decision, this call included, so that two calls at once can't both
//! take the last place.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use remit_kernel::{Fact, QuotaUse};

/// How many (agent, tool) pairs are counted.
const PAIRS_MAX: usize = 100_000;

/// Counts of all pairs.
#[derive(Debug, Default, Clone)]
pub(crate) struct Quotas {
    pairs: Arc<Mutex<HashMap<Key, Use>>>,
}

type Key = (Arc<str>, Arc<str>, Arc<str>);

#[derive(Debug, Default)]
struct Use {
    concurrent: u32,
    /// The minute that `current` counts, as minutes since the epoch.
    minute: u64,
    current: u32,
    previous: u32,
}

/// A place that is taken until this is dropped.
#[derive(Debug)]
pub(crate) struct Place {
    pairs: Arc<Mutex<HashMap<Key, Use>>>,
    key: Key,
}

impl Quotas {
    /// Takes a place and says what is used with it. The minute is a sliding one: the last whole minute counts by the part of it
    /// that is still within sixty seconds.
    pub(crate) fn take(&self, space: &str, agent: &str, tool: &str, now_ms: u64) -> (Fact<QuotaUse>, Option<Place>) {
        let key: Key = (space.into(), agent.into(), tool.into());
        let mut pairs = self.pairs.lock().unwrap_or_else(PoisonError::into_inner);
        if pairs.len() >= PAIRS_MAX && !pairs.contains_key(&key) {
            let minute = now_ms / 60_000;
            pairs.retain(|_, used| used.concurrent > 0 || used.minute + 1 >= minute);
            if pairs.len() >= PAIRS_MAX {
                return (Fact::Unknown("too many agents and tools are being counted".to_owned()), None);
            }
        }
        let used = pairs.entry(key.clone()).or_default();
        used.turn(now_ms / 60_000);
        used.concurrent = used.concurrent.saturating_add(1);
        used.current = used.current.saturating_add(1);
        let part_left = 60_000 - now_ms % 60_000;
        let previous = u64::from(used.previous) * part_left / 60_000;
        let fact = QuotaUse {
            calls_concurrent: used.concurrent,
            calls_per_minute: used.current.saturating_add(u32::try_from(previous).unwrap_or(u32::MAX)),
        };
        drop(pairs);
        (Fact::Known(fact), Some(Place { pairs: Arc::clone(&self.pairs), key }))
    }
}

impl Use {
    fn turn(&mut self, minute: u64) {
        if minute > self.minute {
            self.previous = if minute == self.minute + 1 { self.current } else { 0 };
            self.current = 0;
            self.minute = minute;
        }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut pairs = self.pairs.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(used) = pairs.get_mut(&self.key) {
            used.concurrent = used.concurrent.saturating_sub(1);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn used(fact: &Fact<QuotaUse>) -> (u32, u32) {
        match fact {
            Fact::Known(used) => (used.calls_concurrent, used.calls_per_minute),
            Fact::Unknown(why) => panic!("{why}"),
        }
    }

    #[test]
    fn places_are_given_back_and_minutes_slide() {
        let quotas = Quotas::default();
        let (first, place) = quotas.take("s", "a", "t", 60_000);
        assert_eq!(used(&first), (1, 1));
        assert_eq!(used(&quotas.take("s", "a", "t", 60_000).0), (2, 2));
        drop(place);
        assert_eq!(used(&quotas.take("s", "b", "t", 60_000).0), (1, 1));
        assert_eq!(used(&quotas.take("s", "a", "t", 150_000).0).1, 2);
        assert_eq!(used(&quotas.take("s", "a", "t", 300_000).0).1, 1);
    }
}
