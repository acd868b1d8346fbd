//! What has happened lately: a window in parts, of which periods are put together.

use std::collections::BTreeMap;

use remit_model::{Alarm, Statistic, Threshold};

/// Into how many parts a period of minutes is split.
const PARTS: u64 = 20;

/// How long a part of the alarm's window is, in milliseconds. It divides the period.
fn part_ms(alarm: &Alarm) -> u64 {
    let secs = if alarm.period_secs.is_multiple_of(PARTS) { alarm.period_secs / PARTS } else { 1 };
    secs.max(1).saturating_mul(1000)
}

/// The part that a time falls into.
pub(super) fn part(alarm: &Alarm, at_ms: u64) -> u64 {
    at_ms / part_ms(alarm)
}

/// What happened in one part.
#[derive(Debug, Clone, Copy, Default)]
struct Part {
    /// Whatever the alarm is about.
    all: u64,
    /// What of it counts.
    counted: u64,
    sum: u64,
    maximum: u64,
}

/// The last parts.
#[derive(Debug, Default)]
pub(super) struct Window(BTreeMap<u64, Part>);

/// What a period comes to.
#[derive(Debug, Clone, Copy)]
pub(super) struct Period {
    /// When it begins, in milliseconds since the epoch.
    pub(super) begins_ms: u64,
    /// `None`: nothing happened in it.
    pub(super) value: Option<f64>,
    /// Whether that is beyond the threshold.
    pub(super) breaching: bool,
}

impl Window {
    /// Parts of one period, and of all.
    fn parts(alarm: &Alarm) -> (u64, u64) {
        let period = (alarm.period_secs.saturating_mul(1000) / part_ms(alarm)).max(1);
        // One more: what is expected is looked for in parts that are over.
        (period, period.saturating_mul(alarm.evaluation_periods).saturating_add(1))
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(super) fn add(&mut self, alarm: &Alarm, at_ms: u64, counts: bool, value: u64) {
        let part = self.0.entry(part(alarm, at_ms)).or_default();
        part.all = part.all.saturating_add(1);
        if counts {
            part.counted = part.counted.saturating_add(1);
            part.sum = part.sum.saturating_add(value);
            part.maximum = part.maximum.max(value);
        }
        // Clocks may be set back or ahead: never more parts than a window has.
        let most = usize::try_from(Self::parts(alarm).1).unwrap_or(usize::MAX);
        while self.0.len() > most {
            self.0.pop_first();
        }
    }

    /// Forgets what no period reaches any more.
    pub(super) fn forget(&mut self, alarm: &Alarm, now_ms: u64) {
        let first = part(alarm, now_ms).saturating_add(1).saturating_sub(Self::parts(alarm).1);
        while self.0.first_key_value().is_some_and(|(part, _)| *part < first) {
            self.0.pop_first();
        }
    }

    /// The period with this number, the latest first.
    pub(super) fn period(&self, alarm: &Alarm, number: u64, now_ms: u64) -> Period {
        let (length, _) = Self::parts(alarm);
        // What is missing is only missing once a part is over.
        let over = u64::from(matches!(alarm.threshold, Threshold::FewerThan(_)));
        let end = (part(alarm, now_ms) + 1).saturating_sub(over).saturating_sub(number.saturating_mul(length));
        let begin = end.saturating_sub(length);
        let mut sum = Part::default();
        for part in self.0.range(begin..end).map(|(_, part)| part) {
            sum.all = sum.all.saturating_add(part.all);
            sum.counted = sum.counted.saturating_add(part.counted);
            sum.sum = sum.sum.saturating_add(part.sum);
            sum.maximum = sum.maximum.max(part.maximum);
        }
        let (value, breaching) = sum.value(alarm).unzip();
        Period { begins_ms: begin.saturating_mul(part_ms(alarm)), value, breaching: breaching.unwrap_or_default() }
    }
}

impl Part {
    /// What it comes to, and whether that is beyond the threshold.
    #[expect(clippy::cast_precision_loss, reason = "for people; the threshold is held against whole numbers")]
    fn value(&self, alarm: &Alarm) -> Option<(f64, bool)> {
        if self.all == 0 {
            return None;
        }
        if let Threshold::Ratio { percent, of_at_least } = alarm.threshold {
            let (counted, all) = (u128::from(self.counted) * 100, u128::from(self.all));
            let breaching = self.all >= of_at_least && counted >= u128::from(percent) * all;
            return Some((100.0 * self.counted as f64 / self.all as f64, breaching));
        }
        // As a fraction: whole numbers all the way.
        let (value, of) = match alarm.statistic {
            Statistic::Sum => (self.counted, 1),
            Statistic::Maximum => (self.maximum, 1),
            Statistic::Average => (self.sum, self.counted.max(1)),
        };
        let (exact, of) = (u128::from(value), u128::from(of));
        let breaching = match alarm.threshold {
            Threshold::AtLeast(threshold) => exact >= u128::from(threshold) * of,
            Threshold::FewerThan(threshold) => exact < u128::from(threshold) * of,
            Threshold::Ratio { .. } => false,
        };
        Some((value as f64 / of as f64, breaching))
    }
}
