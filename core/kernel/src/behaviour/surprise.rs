//! What is surprising about a call, what that comes to, and what was told of it already.

use std::collections::{BTreeMap, BTreeSet};

use remit_model::{Behaviour, Expectation};
use serde::{Deserialize, Serialize};

use super::{BITS_MAX, BITS_MIN, Broken};

/// The most surprises of an agent that are remembered.
const TOLD_MAX: usize = 512;
/// By how many quarters of an octave something may be larger than what is accepted.
const SLACK: i16 = 2;
/// From which share of the score on what is new about a surprising call is worth telling, where the rest was told on the same day.
const ANEW: f64 = 0.6;

/// A window of time that is still open: if it is found, it isn't learned.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Open {
    /// Calls of the agent in an hour.
    Calls,
    /// Denials in an hour.
    Denials,
    /// Errors in an hour.
    Errors,
    /// Bytes in an hour.
    BytesHour,
    /// Bytes in a day.
    BytesDay,
    /// Calls of the tool in an hour.
    ToolHour,
    /// Calls of the tool in a day.
    ToolDay,
    /// Different values at this place in an hour.
    TargetsHour(String),
    /// The same in a day.
    TargetsDay(String),
}

impl Open {
    /// How long the window is.
    fn secs(&self) -> u64 {
        match self {
            Self::BytesDay | Self::ToolDay | Self::TargetsDay(_) => 86_400,
            Self::Calls | Self::Denials | Self::Errors | Self::BytesHour | Self::ToolHour | Self::TargetsHour(_) => 3_600,
        }
    }
}

/// A broken expectation.
#[derive(Debug, Clone)]
pub(super) struct Surprise {
    pub(super) expectation: Expectation,
    pub(super) bits: f64,
    pub(super) pointer: Option<String>,
    /// Tells it from others of the same expectation: what it is told and learned by.
    pub(super) item: u64,
    /// How large it is, where that is what is surprising.
    pub(super) size: i16,
    pub(super) told: String,
    pub(super) open: Option<Open>,
}

/// On which days something was found.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
struct Times {
    last_day: u64,
    /// How large it was on the last day.
    last_size: i16,
    /// How large it was on the days before: the largest ones, the largest first.
    before: Vec<i16>,
}

impl Times {
    /// Whether it was found, as large as this, on so many days before.
    fn accepts(&self, days: u32, day: u64, size: i16) -> bool {
        let large = |found: &&i16| **found + SLACK >= size;
        let last = (self.last_day != day).then_some(&self.last_size);
        let found = self.before.iter().chain(last).filter(large).count();
        u32::try_from(found).is_ok_and(|found| found >= days)
    }

    fn found(&mut self, days: u32, day: u64, size: i16) {
        if self.last_day == day {
            self.last_size = self.last_size.max(size);
            return;
        }
        if self.last_day > 0 {
            self.before.push(self.last_size);
            self.before.sort_unstable_by(|one, other| other.cmp(one));
            self.before.truncate(usize::try_from(days).unwrap_or(usize::MAX));
        }
        (self.last_day, self.last_size) = (day, size);
    }
}

/// What was found lately, by item.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub(super) struct Told(BTreeMap<u64, Times>);

/// What the surprises of a call come to.
pub(super) enum Verdict {
    /// All is as usual: learn it.
    Usual,
    /// It was told today.
    Repeated(Vec<Surprise>),
    /// It is found.
    Found(f64, Vec<Surprise>),
}

/// What goes together: a burst of calls is a burst of everything that calls do, and counts once.
fn family(expectation: Expectation) -> u8 {
    match expectation {
        Expectation::Rate | Expectation::Targets | Expectation::Denials | Expectation::Errors | Expectation::ResultSize => 0,
        Expectation::FirstUse | Expectation::Sequence => 1,
        Expectation::ArgumentShape | Expectation::ArgumentRange | Expectation::ArgumentValue | Expectation::ArgumentText => 2,
        Expectation::TimeOfDay => 3,
        Expectation::Origin => 4,
    }
}

/// The most bits of each family, together.
fn together<'a>(surprises: impl Iterator<Item = &'a Surprise>) -> f64 {
    let mut most: BTreeMap<u8, f64> = BTreeMap::new();
    for surprise in surprises {
        let most = most.entry(family(surprise.expectation)).or_default();
        *most = most.max(surprise.bits);
    }
    most.values().sum()
}

impl Told {
    /// Weighs the surprises of a call.
    pub(super) fn weigh(&mut self, settings: &Behaviour, day: u64, mut surprises: Vec<Surprise>) -> Verdict {
        surprises.retain_mut(|surprise| {
            surprise.bits = surprise.bits.min(BITS_MAX);
            let times = self.0.get(&surprise.item);
            let accepted = times.is_some_and(|times| times.accepts(settings.accepted_after_days, day, surprise.size));
            !accepted && surprise.bits >= BITS_MIN && !settings.ignored.contains(&surprise.expectation)
        });
        let score = together(surprises.iter());
        let least = f64::from(settings.score);
        if score < least {
            return Verdict::Usual;
        }
        let new = |surprise: &&Surprise| self.0.get(&surprise.item).is_none_or(|times| times.last_day != day);
        let anew = together(surprises.iter().filter(new));
        for surprise in &surprises {
            self.found(settings, surprise, day);
        }
        surprises.sort_by(|one, other| other.bits.total_cmp(&one.bits));
        if anew >= least * ANEW { Verdict::Found(score, surprises) } else { Verdict::Repeated(surprises) }
    }

    fn found(&mut self, settings: &Behaviour, surprise: &Surprise, day: u64) {
        if self.0.len() >= TOLD_MAX
            && !self.0.contains_key(&surprise.item)
            && let Some(oldest) = self.0.iter().min_by_key(|(_, times)| times.last_day).map(|(item, _)| *item)
        {
            self.0.remove(&oldest);
        }
        self.0.entry(surprise.item).or_default().found(settings.accepted_after_days, day, surprise.size);
    }
}

/// For the record: the most surprising of each expectation, bits to a tenth.
pub(super) fn broken(mut surprises: Vec<Surprise>) -> Vec<Broken> {
    let mut known = BTreeSet::new();
    surprises.retain(|surprise| known.insert(surprise.expectation));
    let one = |surprise: Surprise| Broken {
        expectation: surprise.expectation,
        bits: tenth(surprise.bits),
        pointer: surprise.pointer,
        window_secs: surprise.open.as_ref().map(Open::secs),
        told: surprise.told,
    };
    surprises.into_iter().map(one).collect()
}

/// To a tenth.
pub(super) fn tenth(number: f64) -> f64 {
    (number * 10.0).round() / 10.0
}

/// An item by what it is: FNV-1a, the same everywhere and for ever.
pub(super) fn item(parts: &[&str], number: u64) -> u64 {
    let mut hash = 0xcbf2_9ce4_8422_2325_u64;
    let mut take = |byte: u8| hash = (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
    for part in parts {
        part.bytes().for_each(&mut take);
        take(0);
    }
    number.to_be_bytes().into_iter().for_each(take);
    hash
}

/// A number for people, to two digits.
pub(super) fn about(number: f64) -> String {
    if number < 10.0 {
        return format!("{}", tenth(number));
    }
    let unit = 10f64.powf(number.log10().floor() - 1.0).max(1.0);
    format!("{}", (number / unit).round() * unit)
}
