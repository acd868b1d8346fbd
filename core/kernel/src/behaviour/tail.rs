//! How large something usually is: a histogram over octaves, with a tail that goes on as steeply as it was seen to fall.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// How many bins an octave has.
const BINS: f64 = 4.0;
/// The most bins: 80 octaves.
const BIN_MAX: i16 = 240;
/// The fewest observations of which anything is said.
const LEAST: u32 = 20;
/// From so many on, the largest fiftieth of them isn't what is usual: nobody widens it by a few.
const ROBUST: u32 = 50;
/// After so many the past counts half.
const HALVED: u32 = 4_096;
/// By how many bits a size or a count is less surprising than it is: there are many of an agent, and one of them is always the largest so far.
pub(super) const MANY: f64 = 3.0;
/// How much steeper a tail is behind its edge than before it: a normal one one and a half times, an exponential one not at all.
const STEEPER: f64 = 1.25;
/// How quickly a tail may fall, as octaves between the middle and the edge.
const SPREAD: (f64, f64) = (0.5, 3.0);

/// A whole number as a real one.
#[expect(clippy::cast_precision_loss, reason = "counts, for logarithms and for people")]
pub(super) fn real(number: u64) -> f64 {
    number as f64
}

/// Of how surprising one of so many is, what is left where there are that many on so many days: what happens to one call in a thousand
/// happens every day to whoever makes a thousand.
pub(super) fn rarity(bits: f64, count: u64, days: u32) -> f64 {
    bits - (real(count) / f64::from(days.max(1))).max(1.0).log2()
}

/// How large a count is, in octaves. Small ones are close together: one is no surprise where none is usual.
pub(super) fn count_level(count: u64) -> f64 {
    (real(count) + 4.0).log2()
}

/// The count that is this large.
pub(super) fn level_count(level: f64) -> f64 {
    (level.exp2() - 4.0).max(0.0)
}

/// How large a number of an argument is, in octaves.
pub(super) fn number_level(number: f64) -> f64 {
    number.abs().log2().clamp(-20.0, 60.0)
}

/// How many bytes or characters, in octaves; a few more or less don't matter.
pub(super) fn size_level(size: u64) -> f64 {
    (real(size) + 8.0).log2()
}

/// The size that is this large.
pub(super) fn level_size(level: f64) -> f64 {
    (level.exp2() - 8.0).max(0.0)
}

/// What was seen, by size.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Tail {
    bins: BTreeMap<i16, u32>,
    /// How many there ever were.
    total: u64,
}

/// What is beyond what is usual.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Beyond {
    /// How surprising that is.
    pub(super) bits: f64,
    /// Where what is usual ends, in octaves.
    pub(super) edge: f64,
    /// How far from nothing it is, in quarters of an octave.
    pub(super) size: i16,
}

#[expect(clippy::cast_possible_truncation, reason = "a cast of a real number to a whole one ends at its bounds")]
fn bin(level: f64) -> i16 {
    ((level * BINS).floor() as i16).clamp(-BIN_MAX, BIN_MAX)
}

/// The upper edge of a bin.
fn upper(bin: i16) -> f64 {
    (f64::from(bin) + 1.0) / BINS
}

impl Tail {
    /// Takes one in.
    pub(super) fn add(&mut self, level: f64) {
        self.total += 1;
        let count = self.bins.entry(bin(level)).or_default();
        *count = count.saturating_add(1);
        if self.count() >= HALVED {
            self.bins.retain(|_, count| {
                *count /= 2;
                *count > 0
            });
        }
    }

    /// How many there were.
    pub(super) fn count(&self) -> u32 {
        self.bins.values().fold(0, |sum, count| sum.saturating_add(*count))
    }

    /// The bin below which this share of them is.
    fn quantile<'a>(bins: impl Iterator<Item = (i16, &'a u32)>, count: u32, share: f64) -> i16 {
        let wanted = (f64::from(count) * share).ceil();
        let mut sum = 0.0;
        let mut last = 0;
        for (bin, count) in bins {
            sum += f64::from(*count);
            last = bin;
            if sum >= wanted {
                break;
            }
        }
        last
    }

    /// The middle and the edge of what is usual, in octaves; for people.
    pub(super) fn usual(&self) -> Option<(f64, f64)> {
        let count = self.count();
        let at = |share: f64| upper(Self::quantile(self.bins.iter().map(|(bin, count)| (*bin, count)), count, share));
        (count > 0).then(|| (at(0.5), at(0.98)))
    }

    /// How surprising it is that something is so large; `None`: it isn't, or too little was seen. `least`: of how many it speaks; `days`: on how
    /// many they were seen.
    pub(super) fn above(&self, level: f64, least: u32, days: u32) -> Option<Beyond> {
        let bins = self.bins.iter().map(|(bin, count)| (*bin, count));
        let beyond = Self::beyond(bins, self.count(), bin(level), level, least)?;
        Some(Beyond { bits: rarity(beyond.bits, self.total, days), ..beyond })
    }

    /// The same for what is so small.
    pub(super) fn below(&self, level: f64, days: u32) -> Option<Beyond> {
        // Seen from the other side.
        let mirrored = self.bins.iter().rev().map(|(bin, count)| (-*bin - 1, count));
        let beyond = Self::beyond(mirrored, self.count(), -bin(level) - 1, -level, LEAST)?;
        Some(Beyond { bits: rarity(beyond.bits, self.total, days), edge: -beyond.edge, ..beyond })
    }

    fn beyond<'a>(
        all: impl Iterator<Item = (i16, &'a u32)> + Clone,
        count: u32,
        at: i16,
        level: f64,
        least: u32,
    ) -> Option<Beyond> {
        if count < least {
            return None;
        }
        let (share, part) = if count < ROBUST { (1.0, 1.0 / (f64::from(count) + 2.0)) } else { (0.98, 0.02) };
        let edge_bin = Self::quantile(all.clone(), count, share);
        let edge = upper(edge_bin);
        if at <= edge_bin || level <= edge {
            return None;
        }
        let middle = upper(Self::quantile(all.clone(), count, 0.5)) - 0.5 / BINS;
        let spread = (edge - middle).clamp(SPREAD.0, SPREAD.1);
        // From the edge on a little steeper than from the middle to the edge: most tails fall off.
        let bits = -part.log2() + STEEPER * (-part.log2() - 1.0) / spread * (level - edge);
        // What was seen is no more surprising than that.
        let as_large: u32 = all.filter(|(bin, _)| *bin >= at).map(|(_, count)| *count).sum();
        let seen = if as_large > 0 { ((f64::from(count) + 1.0) / f64::from(as_large)).log2() } else { f64::INFINITY };
        Some(Beyond { bits: bits.min(seen), edge, size: at })
    }
}

/// How often something happens in a window of time.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Rate {
    /// What windows that are over came to.
    pub(super) past: Tail,
    /// The number of the window that is open.
    window: u64,
    count: u64,
    /// It was alerted: it isn't learned.
    alerted: bool,
}

impl Rate {
    /// Goes on to the window of this time. What is over is learned, empty or not: somebody was there.
    pub(super) fn roll(&mut self, window: u64, level: fn(u64) -> f64) {
        if window <= self.window {
            return;
        }
        if self.window > 0 && !self.alerted {
            self.past.add(level(self.count));
        }
        (self.window, self.count, self.alerted) = (window, 0, false);
    }

    /// Counts into the open window: what it comes to.
    pub(super) fn add(&mut self, count: u64) -> u64 {
        self.count = self.count.saturating_add(count);
        self.count
    }

    /// The open window was alerted.
    pub(super) fn alert(&mut self) {
        self.alerted = true;
    }
}
