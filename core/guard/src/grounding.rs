//! Contextual grounding, by the words and pairs of words that an answer shares with its source and its question.
//!
//! Lexical support, no understanding: an answer that turns the source's words around is supported, a free paraphrase isn't.

#![allow(
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "scores: counts of words are far below 2^23, and the model's head holds small whole numbers"
)]

use std::collections::BTreeSet;

use crate::topic::{stem, words};

/// The stems of a text, and each with the one after it.
fn sets(text: &str) -> (BTreeSet<String>, BTreeSet<(String, String)>) {
    let stems: Vec<String> = words(text).filter_map(|(_, word)| stem(word)).collect();
    let pairs = stems.windows(2).filter_map(|pair| Some((pair.first()?.clone(), pair.last()?.clone()))).collect();
    (stems.into_iter().collect(), pairs)
}

/// How much of an answer its source supports, from 0 to 1. A number that the source doesn't hold halves what its sentence counts.
pub(crate) fn support(answer: &str, source: &str) -> f32 {
    let (known, known_pairs) = sets(source);
    let (mut sum, mut count) = (0.0, 0.0);
    for sentence in answer.split_inclusive(['.', '!', '?', '\n']) {
        let stems: Vec<String> = words(sentence).filter_map(|(_, word)| stem(word)).collect();
        if stems.is_empty() {
            continue;
        }
        let size = stems.len() as f32;
        let found = stems.iter().filter(|stem| known.contains(*stem)).count() as f32 / size;
        let pairs = stems.windows(2).filter(|pair| match pair {
            [a, b] => known_pairs.contains(&(a.clone(), b.clone())),
            _ => false,
        });
        let joined = if stems.len() > 1 { pairs.count() as f32 / (size - 1.0) } else { found };
        let invented = stems.iter().any(|stem| stem.bytes().all(|b| b.is_ascii_digit()) && !known.contains(stem));
        let score = 0.75 * found + 0.25 * joined;
        sum += size * if invented { score / 2.0 } else { score };
        count += size;
    }
    if count == 0.0 { 1.0 } else { sum / count }
}

/// How much of a question its answer takes up, from 0 to 1.
pub(crate) fn relevance(answer: &str, query: &str) -> f32 {
    let (asked, _) = sets(query);
    let (said, _) = sets(answer);
    if asked.is_empty() {
        return 1.0;
    }
    asked.iter().filter(|stem| said.contains(*stem)).count() as f32 / asked.len() as f32
}
