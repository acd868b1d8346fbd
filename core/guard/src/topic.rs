//! Denied topics, by the words they share with their definition and examples.
//!
//! Lexical: a paraphrase without shared words is missed. Topics that need understanding need a model behind the guardrail.

#![allow(
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "scores: counts of words are far below 2^23, and the model's head holds small whole numbers"
)]

use std::{collections::BTreeSet, ops::Range, sync::Arc};

use crate::definition::{Action, Topic};

/// How many words are compared at a time, and by how many the window moves.
const WINDOW: usize = 24;
const STRIDE: usize = 8;
/// The least likeness that is a finding.
const LEAST: f32 = 0.5;

/// Words that say nothing about a topic.
const STOP: &[&str] = &[
    "a", "about", "above", "after", "again", "all", "also", "am", "an", "and", "any", "are", "as", "ask", "at", "be", "been",
    "being", "but", "by", "can", "could", "did", "do", "does", "for", "from", "get", "give", "had", "has", "have", "he", "her",
    "how", "i", "if", "in", "into", "is", "it", "its", "just", "me", "more", "my", "no", "not", "of", "on", "one", "or", "other",
    "our", "out", "over", "please", "should", "so", "some", "such", "tell", "than", "that", "the", "their", "them", "then",
    "there", "these", "they", "this", "those", "to", "up", "us", "want", "was", "we", "were", "what", "when", "where", "which",
    "who", "why", "will", "with", "would", "you", "your",
];

/// A word without the commonest endings of English, or none if it says nothing.
pub(crate) fn stem(word: &str) -> Option<String> {
    let lower = word.to_lowercase();
    if STOP.contains(&lower.as_str()) {
        return None;
    }
    for ending in [
        "ations", "ation", "ments", "ment", "ingly", "ings", "ing", "edly", "ies", "ied", "ers", "er", "ed", "es", "ly", "s",
        "e", "y",
    ] {
        if let Some(rest) = lower.strip_suffix(ending)
            && rest.chars().count() >= 3
        {
            return Some(rest.to_owned());
        }
    }
    Some(lower)
}

/// The words of a text and where they stand.
pub(crate) fn words(text: &str) -> impl Iterator<Item = (Range<usize>, &str)> {
    let mut at = 0;
    std::iter::from_fn(move || {
        let rest = text.get(at..)?;
        let start = at + rest.find(char::is_alphanumeric)?;
        let tail = text.get(start..)?;
        let length = tail.find(|c: char| !c.is_alphanumeric()).unwrap_or(tail.len());
        at = start + length;
        Some((start..at, tail.get(..length)?))
    })
}

/// A topic as the sets of words that speak of it.
struct Compiled {
    name: Arc<str>,
    action: Action,
    phrases: Vec<BTreeSet<String>>,
}

/// Every denied topic of a side.
pub(crate) struct Topics(Vec<Compiled>);

impl Topics {
    pub(crate) fn new(topics: &[Topic], action: impl Fn(&Topic) -> Action) -> Self {
        let set = |text: &str| words(text).filter_map(|(_, word)| stem(word)).collect::<BTreeSet<_>>();
        let compiled = |topic: &Topic| {
            let mut phrases: Vec<_> = topic.examples.iter().map(|example| set(example)).collect();
            phrases.push(set(&topic.definition));
            phrases.push(set(&topic.name));
            phrases.retain(|phrase| phrase.len() > 1);
            Compiled { name: topic.name.as_str().into(), action: action(topic), phrases }
        };
        Self(topics.iter().map(compiled).collect())
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The topics that a text speaks of: name, action, score and the window that speaks loudest.
    pub(crate) fn find(&self, text: &str) -> Vec<(&str, Action, f32, Range<usize>)> {
        let stems: Vec<(Range<usize>, String)> =
            words(text).filter_map(|(range, word)| stem(word).map(|stem| (range, stem))).collect();
        let mut best: Vec<(f32, Range<usize>)> = self.0.iter().map(|_| (0.0, 0..0)).collect();
        let mut from = 0;
        while from < stems.len() {
            let window = stems.get(from..(from + WINDOW).min(stems.len())).unwrap_or_default();
            let set: BTreeSet<&str> = window.iter().map(|(_, stem)| stem.as_str()).collect();
            for (topic, best) in self.0.iter().zip(&mut best) {
                let score = topic.phrases.iter().map(|phrase| likeness(phrase, &set)).fold(0.0, f32::max);
                if score > best.0 {
                    let start = window.first().map_or(0, |(range, _)| range.start);
                    *best = (score, start..window.last().map_or(start, |(range, _)| range.end));
                }
            }
            from += STRIDE;
        }
        self.0
            .iter()
            .zip(best)
            .filter(|(_, (score, _))| *score >= LEAST)
            .map(|(topic, (score, range))| (&*topic.name, topic.action, score.min(1.0), range))
            .collect()
    }
}

/// How much of a phrase a window holds, long phrases needing less of it.
fn likeness(phrase: &BTreeSet<String>, window: &BTreeSet<&str>) -> f32 {
    let shared = phrase.iter().filter(|stem| window.contains(stem.as_str())).count();
    if shared < 2 {
        return 0.0;
    }
    let needed = (phrase.len() as f32).powf(0.8);
    shared as f32 / needed
}
