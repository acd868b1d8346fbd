//! Which of a few things it usually is.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::tail::{rarity, real};

/// The most values that are told apart; where there are more, nothing is said of new ones.
pub(super) const VALUES_MAX: usize = 64;
/// The fewest observations of which anything is said.
const LEAST: u64 = 30;
/// How often each value must have come, on the average: else a new one is nothing new.
const OFTEN: u64 = 5;
/// After so many the past counts half.
const HALVED: u64 = 8_192;

/// How many times rarer than others an hour must be.
const RARE: f64 = 8.0;

/// The values that were seen, as digests, and how often.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Novelty {
    seen: BTreeMap<u64, u32>,
    count: u64,
    /// There are too many to tell them apart.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    many: bool,
}

impl Novelty {
    /// How surprising a value is that was not seen on so many days (Good and Turing: as likely as those that were seen once); `None`: it was, or
    /// too little is known.
    pub(super) fn bits(&self, value: u64, days: u32) -> Option<f64> {
        if self.many || self.count < LEAST || self.seen.contains_key(&value) {
            return None;
        }
        if self.seen.len() as u64 * OFTEN > self.count {
            return None;
        }
        let once = self.seen.values().filter(|count| **count == 1).count() as u64;
        Some(rarity((real(self.count + 2) / real(once + 1)).log2(), self.count, days))
    }

    /// Takes one in.
    pub(super) fn add(&mut self, value: u64) {
        self.count += 1;
        if self.many {
            return;
        }
        if self.seen.len() >= VALUES_MAX && !self.seen.contains_key(&value) {
            self.many = true;
            self.seen.clear();
            return;
        }
        let count = self.seen.entry(value).or_default();
        *count = count.saturating_add(1);
        if self.count >= HALVED {
            self.count /= 2;
            self.seen.retain(|_, count| {
                *count /= 2;
                *count > 0
            });
        }
    }

    /// How many observations.
    pub(super) fn count(&self) -> u64 {
        self.count
    }

    /// How many different values; `None`: too many to tell them apart.
    pub(super) fn different(&self) -> Option<usize> {
        (!self.many).then_some(self.seen.len())
    }

    /// Whether this one is known.
    pub(super) fn knows(&self, value: u64) -> bool {
        self.seen.contains_key(&value)
    }
}

/// Different values in a window of time.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Different {
    seen: std::collections::BTreeSet<u32>,
    window: u64,
}

impl Different {
    /// The most that are told apart; beyond it everything counts as new.
    const MAX: usize = 128;

    /// Whether this value is new in this window.
    #[expect(clippy::cast_possible_truncation, reason = "half of a digest is a digest")]
    pub(super) fn is_new(&mut self, window: u64, value: u64) -> bool {
        if window > self.window {
            self.seen.clear();
            self.window = window;
        }
        if self.seen.len() >= Self::MAX {
            return !self.seen.contains(&(value as u32));
        }
        self.seen.insert(value as u32)
    }
}

/// In which hours of the week somebody is there.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub(super) struct Hours {
    /// Of days of the week, and of weekends: in how many hours of all days, by the hour of the day (UTC).
    of: [[u32; 24]; 2],
    /// The last hour that was counted, since the epoch.
    last: u64,
}

impl Hours {
    /// The fewest hours of which anything is said.
    const LEAST: u32 = 40;
    /// After so many the past counts half.
    const HALVED: u32 = 4_096;

    /// Weekend or not, and the hour of the day. The epoch began on a Thursday.
    fn place(hour: u64) -> (usize, usize) {
        let weekend = matches!((hour / 24 + 3) % 7, 5 | 6);
        (usize::from(weekend), usize::try_from(hour % 24).unwrap_or_default())
    }

    fn at(&self, weekend: usize, hour: usize) -> f64 {
        f64::from(self.of.get(weekend).and_then(|hours| hours.get(hour % 24)).copied().unwrap_or_default())
    }

    fn count(&self) -> u32 {
        self.of.iter().flatten().fold(0, |sum, count| sum.saturating_add(*count))
    }

    /// How surprising it is that somebody is there in this hour since the epoch; the hours around it count a little.
    pub(super) fn bits(&self, hour: u64, days: u32) -> Option<f64> {
        let count = self.count();
        if count < Self::LEAST {
            return None;
        }
        let (weekend, hour) = Self::place(hour);
        let around = (self.at(weekend, hour + 23) + self.at(weekend, hour + 1)) / 4.0;
        let here = self.at(weekend, hour).max(around);
        // As many as there would be if all hours were the same.
        let even = f64::from(count) * if weekend == 1 { 2.0 } else { 5.0 } / (7.0 * 24.0);
        (here < even / RARE).then(|| rarity(((f64::from(count) + 1.0) / (here + 0.5)).log2(), u64::from(count), days))
    }

    /// Somebody is there in this hour.
    pub(super) fn add(&mut self, hour: u64) {
        if hour <= self.last {
            return;
        }
        self.last = hour;
        let (weekend, of_day) = Self::place(hour);
        if let Some(count) = self.of.get_mut(weekend).and_then(|hours| hours.get_mut(of_day)) {
            *count = count.saturating_add(1);
        }
        if self.count() >= Self::HALVED {
            self.of.iter_mut().flatten().for_each(|count| *count /= 2);
        }
    }

    /// The hours of the day (UTC) that are usual on days of the week, and at weekends.
    pub(super) fn usual(&self) -> [Vec<u8>; 2] {
        let count = f64::from(self.count());
        self.of.map(|hours| {
            (0u8..).zip(hours).filter(|(_, in_it)| f64::from(*in_it) * 100.0 >= count.max(1.0)).map(|(hour, _)| hour).collect()
        })
    }

    /// In how many hours somebody was there.
    pub(super) fn seen(&self) -> u32 {
        self.count()
    }
}
