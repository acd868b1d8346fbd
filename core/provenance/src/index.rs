//! An index of words in their order: whether a run of them has been seen, and where.

use std::collections::{HashMap, HashSet};
use std::hash::{BuildHasherDefault, Hasher};
use std::sync::Arc;

/// The most words that an index holds.
pub(crate) const WORDS_MAX: usize = 100_000;
/// How many places of a word are tried: a text that repeats one word for ever costs no more.
const PLACES_MAX: usize = 256;
/// No place.
const NONE: u32 = u32::MAX;

/// The words are hashes already.
#[derive(Debug, Default)]
pub(crate) struct Same(u64);

impl Hasher for Same {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.0 = self.0.rotate_left(8) ^ u64::from(*byte);
        }
    }

    fn write_u64(&mut self, word: u64) {
        self.0 = word;
    }
}

pub(crate) type ByWord<T> = HashMap<u64, T, BuildHasherDefault<Same>>;
pub(crate) type Words = HashSet<u64, BuildHasherDefault<Same>>;

/// Words of texts, one text after the other.
#[derive(Debug, Default)]
pub(crate) struct Index {
    words: Vec<u64>,
    /// The last place of each word.
    last: ByWord<u32>,
    /// The place of the same word before.
    before: Vec<u32>,
    /// Where texts begin, and whose they are.
    sources: Vec<(u32, Arc<str>)>,
    /// Whether anything that belonged here was left out.
    lost: bool,
}

/// Whether a run of words was found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Found {
    /// At this place.
    At(usize),
    /// It isn't here.
    No,
    /// It may have been here: something was left out, or there were too many places to try.
    Perhaps,
}

impl Index {
    /// Takes a text in.
    pub(crate) fn add(&mut self, source: &Arc<str>, words: Vec<u64>) {
        let room = words.len().min(WORDS_MAX.saturating_sub(self.words.len()));
        self.words.reserve(room + 1);
        self.before.reserve(room + 1);
        // Most texts repeat their words.
        self.last.reserve(room / 4);
        let Ok(start) = u32::try_from(self.words.len()) else { return };
        if self.sources.last().is_none_or(|(_, last)| last != source) {
            self.sources.push((start, Arc::clone(source)));
        }
        for word in words {
            if !self.push(word) {
                return;
            }
        }
        // No run goes from one text into the next.
        self.push(0);
    }

    fn push(&mut self, word: u64) -> bool {
        let Some(place) = u32::try_from(self.words.len()).ok().filter(|_| self.words.len() < WORDS_MAX) else {
            self.lost = true;
            return false;
        };
        self.words.push(word);
        self.before.push(if word == 0 { NONE } else { self.last.insert(word, place).unwrap_or(NONE) });
        true
    }

    /// Looks for a run of words.
    pub(crate) fn find(&self, run: &[u64]) -> Found {
        self.find_where(run, |_| true)
    }

    /// The same, at a place that serves.
    pub(crate) fn find_where(&self, run: &[u64], serves: impl Fn(usize) -> bool) -> Found {
        let absent = if self.lost { Found::Perhaps } else { Found::No };
        let Some(first) = run.first() else { return absent };
        // Whatever holds the run holds each of its words.
        if run.iter().any(|word| !self.last.contains_key(word)) {
            return absent;
        }
        let mut place = self.last.get(first).copied().unwrap_or(NONE);
        for _ in 0..PLACES_MAX {
            let Some(at) = usize::try_from(place).ok().filter(|_| place != NONE) else { return absent };
            if self.words.get(at..at + run.len()).is_some_and(|found| found == run) && serves(at) {
                return Found::At(at);
            }
            place = self.before.get(at).copied().unwrap_or(NONE);
        }
        Found::Perhaps
    }

    /// The words before a place, the nearest first.
    pub(crate) fn preceding(&self, at: usize, count: usize) -> impl Iterator<Item = u64> {
        self.words.get(at.saturating_sub(count)..at).unwrap_or_default().iter().rev().copied().take_while(|word| *word != 0)
    }

    /// Whose text holds a place.
    pub(crate) fn source(&self, at: usize) -> Option<&Arc<str>> {
        let at = u32::try_from(at).ok()?;
        let after = self.sources.partition_point(|(start, _)| *start <= at);
        self.sources.get(after.checked_sub(1)?).map(|(_, source)| source)
    }

    /// Something that belongs here isn't.
    pub(crate) fn lose(&mut self) {
        self.lost = true;
    }

    pub(crate) fn len(&self) -> usize {
        self.words.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn runs_are_found_within_a_text_and_not_across() {
        let (one, two): (Arc<str>, Arc<str>) = ("one".into(), "two".into());
        let mut index = Index::default();
        index.add(&one, vec![1, 2, 3]);
        index.add(&two, vec![4, 1, 2]);
        assert_eq!(index.find(&[1, 2]), Found::At(5));
        assert_eq!(index.find(&[2, 3]), Found::At(1));
        assert_eq!(index.find(&[3, 4]), Found::No);
        assert_eq!(index.find(&[]), Found::No);
        assert_eq!((index.source(1), index.source(5)), (Some(&one), Some(&two)));
        assert_eq!(index.preceding(6, 3).collect::<Vec<_>>(), [1, 4]);
    }

    #[test]
    fn what_did_not_fit_may_have_been_there() {
        let source: Arc<str> = "a".into();
        let mut index = Index::default();
        index.add(&source, vec![7; WORDS_MAX + 1]);
        assert_eq!(index.find(&[8]), Found::Perhaps);
        assert_eq!(index.find(&[7, 7]), Found::At(WORDS_MAX - 2));
    }

    #[test]
    fn a_word_that_is_everywhere_costs_no_more() {
        let source: Arc<str> = "a".into();
        let mut index = Index::default();
        index.add(&source, vec![7, 8]);
        index.add(&source, vec![7; PLACES_MAX + 1]);
        assert_eq!(index.find(&[7, 8]), Found::Perhaps);
    }
}
