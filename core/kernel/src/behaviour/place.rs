//! One place in the arguments of a tool: which kinds, numbers, values and texts are usual there, and how many different ones.

use remit_model::Expectation;
use serde::{Deserialize, Serialize};

use super::arguments::{CLASSES, Kind, Looks, Seen};
use super::novelty::{Different, Novelty};
use super::surprise::{Open, Surprise, about, item};
use super::tail::{MANY, Rate, Tail, count_level, level_count, level_size, rarity, real, size_level};

/// Of how many numbers or texts something is said.
const LEAST: u32 = 30;
/// Of how many days.
const LEAST_DAYS: u32 = 8;
/// Of how many hours.
const LEAST_HOURS: u32 = 15;

/// What is usual in one place.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Place {
    /// In how many calls it was there.
    pub(super) present: u64,
    pub(super) kinds: Novelty,
    pub(super) values: Novelty,
    pub(super) numbers: Tail,
    pub(super) lengths: Tail,
    runs: Tail,
    texts: u32,
    classes: [u32; CLASSES.len()],
    pub(super) hour: Rate,
    pub(super) day: Rate,
    in_hour: Different,
    in_day: Different,
}

impl Place {
    /// Counts different values in the hour and the day.
    pub(super) fn point(&mut self, hour: u64, seen: &Seen) -> Option<(u64, u64)> {
        let looks = seen.looks?;
        // What has no blanks and is short is a name for something.
        let digest = seen.digest.filter(|_| looks.length == looks.run)?;
        self.hour.roll(hour, count_level);
        self.day.roll(hour / 24, count_level);
        let in_hour = self.hour.add(u64::from(self.in_hour.is_new(hour, digest)));
        let in_day = self.day.add(u64::from(self.in_day.is_new(hour / 24, digest)));
        Some((in_hour, in_day))
    }

    /// What is surprising about a value.
    pub(super) fn judge(
        &self,
        (tool, days): (&str, u32),
        seen: &Seen,
        pointed: Option<(u64, u64)>,
        surprises: &mut Vec<Surprise>,
    ) {
        let mut say = |expectation: Expectation, (bits, size): (f64, i16), number: u64, told: String, open: Option<Open>| {
            let item = item(&[expectation.as_str(), tool, &seen.pointer], number);
            surprises.push(Surprise { expectation, bits, pointer: Some(seen.pointer.clone()), item, size, told, open });
        };
        let at = &seen.pointer;
        if let Some(bits) = self.kinds.bits(seen.kind as u64, days) {
            let told = format!("{at} of {tool} is {}; in {} calls it never was", seen.kind.as_str(), self.kinds.count());
            say(Expectation::ArgumentShape, (bits, 0), seen.kind as u64, told, None);
            return;
        }
        if let Some(level) = seen.level {
            let (above, below) = (self.numbers.above(level, LEAST, days), self.numbers.below(level, days));
            let of = self.numbers.count();
            // The power of two that it is above, and no more.
            let bucket = about(level.floor().exp2());
            if let Some(beyond) = above {
                let told =
                    format!("{at} of {tool} is above {bucket}; 98 of 100 are below {} ({of} seen)", about(beyond.edge.exp2()));
                say(Expectation::ArgumentRange, (beyond.bits, beyond.size), 0, told, None);
            } else if let Some(beyond) = below {
                let told = format!(
                    "{at} of {tool} is below {}; 98 of 100 are above {} ({of} seen)",
                    about((level.floor() + 1.0).exp2()),
                    about(beyond.edge.exp2())
                );
                say(Expectation::ArgumentRange, (beyond.bits, beyond.size), 1, told, None);
            }
        }
        if let Some((digest, bits)) = seen.digest.and_then(|digest| self.values.bits(digest, days).map(|bits| (digest, bits))) {
            let known = self.values.different().unwrap_or_default();
            let told =
                format!("{at} of {tool} has a value that it never had; {} calls had {known} different ones", self.values.count());
            say(Expectation::ArgumentValue, (bits, 0), digest, told, None);
        }
        if let Some(looks) = seen.looks {
            self.judge_text((tool, days), at, looks, &mut |bits, number, told| {
                say(Expectation::ArgumentText, bits, number, told, None);
            });
        }
        if let Some((in_hour, in_day)) = pointed {
            let spans = [
                (&self.hour, in_hour, LEAST_HOURS, "hour", Open::TargetsHour(at.clone())),
                (&self.day, in_day, LEAST_DAYS, "day", Open::TargetsDay(at.clone())),
            ];
            for (rate, count, least, span, open) in spans {
                let Some(beyond) = rate.past.above(count_level(count), least, days) else { continue };
                let told = format!(
                    "{at} of {tool} had {count} different values in this {span}; 98 of 100 have at most {} ({} seen)",
                    about(level_count(beyond.edge)),
                    rate.past.count()
                );
                let number = u64::from(span == "day");
                say(Expectation::Targets, (beyond.bits - MANY, beyond.size), number, told, Some(open));
            }
        }
    }

    fn judge_text(&self, (tool, days): (&str, u32), at: &str, looks: Looks, say: &mut impl FnMut((f64, i16), u64, String)) {
        let of = self.texts;
        let sizes =
            [(&self.lengths, looks.length, "characters", 100), (&self.runs, looks.run, "characters without a blank", 101)];
        for (tail, size, what, number) in sizes {
            if let Some(beyond) = tail.above(size_level(size), LEAST, days) {
                let usual = about(level_size(beyond.edge));
                let told = format!("{at} of {tool} has {} {what}; 98 of 100 have at most {usual} ({of} seen)", about(real(size)));
                say((beyond.bits - MANY, beyond.size), number, told);
            }
        }
        if of < LEAST {
            return;
        }
        for (class, (count, what)) in (0u32..).zip(self.classes.iter().zip(CLASSES)) {
            if looks.classes & (1 << class) != 0 && *count == 0 {
                let told = format!("{at} of {tool} has {what} in it; none of {of} texts had");
                let bits = rarity((f64::from(of) + 2.0).log2(), u64::from(of), days);
                say((bits, 0), u64::from(class), told);
            }
        }
    }

    /// Takes a value in.
    pub(super) fn learn(&mut self, seen: &Seen) {
        self.kinds.add(seen.kind as u64);
        if let Some(level) = seen.level {
            self.numbers.add(level);
        }
        if let Some(digest) = seen.digest {
            self.values.add(digest);
        }
        if let Some(looks) = seen.looks {
            self.lengths.add(size_level(looks.length));
            self.runs.add(size_level(looks.run));
            self.texts = self.texts.saturating_add(1);
            for (class, count) in (0u32..).zip(&mut self.classes) {
                *count = count.saturating_add(u32::from(looks.classes & (1 << class) != 0));
            }
        }
    }

    /// The kinds that are known.
    pub(super) fn known_kinds(&self) -> Vec<&'static str> {
        Kind::ALL.into_iter().filter(|kind| self.kinds.knows(*kind as u64)).map(Kind::as_str).collect()
    }
}
