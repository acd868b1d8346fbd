//! Prompt attacks: a linear model over hashed words and pieces of words, in windows.
//!
//! The weights are trained by `dev/guard/train.py`; the features here and there are the same to the bit. A score raises suspicion; it is
//! no proof, and who writes against it gets past it (`docs/reference/guardrails.md` says how often).

#![allow(
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "scores: counts of words are far below 2^23, and the model's head holds small whole numbers"
)]

use std::ops::Range;

use crate::{assessment::PromptAttack, signal::Signals};

/// The model: magic, version, window and stride in words, weight scale, bias, slope and offset of the score; then one byte a weight.
const MODEL: &[u8] = include_bytes!("../weights/attack.bin");
/// The bytes before the weights.
const HEAD: usize = 32;
/// Fewer words than this are no sentence, and no attack.
const WORDS_MIN: usize = 4;
/// The longest part of a word that is read.
const WORD_BYTES_MAX: usize = 24;

/// A stretch of text and how much it looks like an attack.
#[derive(Clone, Debug, PartialEq)]
pub struct Scored {
    /// Its bytes.
    pub range: Range<usize>,
    /// From 0 to 1: 0.7 is where the development data's harmless windows give way, see the model's card.
    pub score: f32,
}

/// One number of the model's head.
fn head(place: usize) -> f32 {
    MODEL.get(place..place + 4).and_then(|four| four.first_chunk::<4>()).map_or(0.0, |four| f32::from_le_bytes(*four))
}

/// How many weights there are: a power of two.
const fn size() -> usize {
    MODEL.len() - HEAD
}

fn weight(feature: u32) -> i32 {
    let place = HEAD + (feature as usize & (size() - 1));
    MODEL.get(place).map_or(0, |&byte| i32::from(i8::from_le_bytes([byte])))
}

/// FNV-1a, 32 bits.
fn hash(bytes: impl IntoIterator<Item = u8>) -> u32 {
    bytes.into_iter().fold(0x811c_9dc5, |hash, byte| (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193))
}

/// Two features together.
fn pair(a: u32, b: u32) -> u32 {
    let mixed = a.wrapping_mul(0x9e37_79b1) ^ b.rotate_left(15);
    (mixed ^ (mixed >> 15)).wrapping_mul(0x85eb_ca6b)
}

/// Spreads a hash over the weights.
fn spread(feature: u32) -> u32 {
    let mixed = (feature ^ (feature >> 16)).wrapping_mul(0x7feb_352d);
    mixed ^ (mixed >> 15)
}

/// A word, what its features weigh, and how many there are.
struct Weighed {
    range: Range<usize>,
    weight: i32,
    features: u32,
}

fn in_word(b: u8) -> bool {
    b.is_ascii_alphanumeric() || b == b'\'' || b >= 0x80
}

/// Reads a text as words with the features that end in them.
fn weigh(text: &str) -> Vec<Weighed> {
    let bytes = text.as_bytes();
    let mut words = Vec::with_capacity(bytes.len() / 5);
    let (mut at, mut gap) = (0, 0);
    let (mut last, mut earlier) = (0u32, 0u32);
    let mut letters = [0u8; WORD_BYTES_MAX + 2];
    while at < bytes.len() {
        let skip = bytes.get(at..).unwrap_or_default().iter().take_while(|&&b| !in_word(b)).count();
        at += skip;
        let length = bytes.get(at..).unwrap_or_default().iter().take_while(|&&b| in_word(b)).count();
        if length == 0 {
            break;
        }
        let word = bytes.get(at..at + length.min(WORD_BYTES_MAX)).unwrap_or_default();
        let lower = |b: u8| if b.is_ascii_digit() { b'0' } else { b.to_ascii_lowercase() };
        let id = hash(word.iter().map(|&b| lower(b)));
        let mut sum = weight(spread(id)) + weight(spread(pair(last, id))) + weight(spread(pair(pair(earlier, last), id)));
        let mut features = 3;
        if word.len() > 1 && word.iter().all(u8::is_ascii_uppercase) {
            sum += weight(spread(pair(id, 1)));
            features += 1;
        }
        // What stands between two words, without spaces and commas, at most three bytes.
        let mark = bytes
            .get(gap..at)
            .unwrap_or_default()
            .iter()
            .copied()
            .filter(|b| !matches!(b, b' ' | b'\n' | b'\r' | b'\t' | b',' | b'.'))
            .take(3);
        let mark = hash(mark);
        if mark != 0x811c_9dc5 {
            sum += weight(spread(pair(mark, 2))) + weight(spread(pair(mark, id))) + weight(spread(pair(pair(last, 3), mark)));
            features += 3;
        }
        if word.len() >= 4 {
            let marked = std::iter::once(b'^').chain(word.iter().map(|&b| lower(b))).chain(std::iter::once(b'$'));
            for (place, b) in letters.iter_mut().zip(marked) {
                *place = b;
            }
            let padded = letters.get(..word.len() + 2).unwrap_or_default();
            for size in 3..=5u32 {
                for piece in padded.windows(size as usize) {
                    sum += weight(spread(pair(hash(piece.iter().copied()), size + 16)));
                    features += 1;
                }
            }
        }
        words.push(Weighed { range: at..at + length, weight: sum, features });
        (earlier, last) = (last, id);
        at += length;
        gap = at;
    }
    words
}

/// How near to being a finding a window must be for its phrases to be read, and what a signal and a whole instruction add.
const NEAR: f32 = 5.0;
const SIGNAL: f32 = 0.6;
const INSTRUCTION: f32 = 1.2;
/// What a whole instruction scores at least.
const INSTRUCTION_SCORE: f32 = 0.72;

/// Scores every window of a text: the model's margin, and what telling phrases add to it where it is near.
pub(crate) fn windows(text: &str, offset: usize) -> Vec<Scored> {
    let (slope, shift) = (head(24), head(28));
    let scored = margins(text).into_iter().map(|(range, mut margin)| {
        let mut least = 0.0;
        if margin > shift - NEAR {
            let signals = Signals::of(text.get(range.clone()).unwrap_or_default());
            margin += SIGNAL * signals.count() as f32;
            if signals.instruction().is_some() {
                margin += INSTRUCTION;
                least = INSTRUCTION_SCORE;
            }
        }
        Scored { range: offset + range.start..offset + range.end, score: logistic((margin - shift) * slope).max(least) }
    });
    scored.collect()
}

fn logistic(value: f32) -> f32 {
    1.0 / (1.0 + (-value).exp())
}

/// The model's own score of a text, without what phrases add: what the training script computes.
#[must_use]
pub fn model_score(text: &str) -> f32 {
    let (slope, shift) = (head(24), head(28));
    margins(text).iter().map(|(_, margin)| logistic((margin - shift) * slope)).fold(0.0, f32::max)
}

/// The model's margin of every window.
fn margins(text: &str) -> Vec<(Range<usize>, f32)> {
    let words = weigh(text);
    if words.len() < WORDS_MIN {
        return Vec::new();
    }
    let (window, stride) = (head(8) as usize, (head(12) as usize).max(1));
    let (scale, bias) = (head(16), head(20));
    let mut sums = Vec::with_capacity(words.len() + 1);
    let (mut weight, mut features) = (0i64, 0u64);
    sums.push((weight, features));
    for word in &words {
        weight += i64::from(word.weight);
        features += u64::from(word.features);
        sums.push((weight, features));
    }
    let mut margins = Vec::with_capacity(words.len() / stride + 1);
    let mut from = 0;
    while from < words.len() {
        let to = (from + window).min(words.len());
        if let (Some(first), Some(last)) = (sums.get(from), sums.get(to)) {
            let (weight, features) = ((last.0 - first.0) as f32, (last.1 - first.1).max(1) as f32);
            let start = words.get(from).map_or(0, |word| word.range.start);
            let end = words.get(to - 1).map_or(start, |word| word.range.end);
            margins.push((start..end, weight * scale / features.sqrt() + bias));
        }
        if to == words.len() {
            break;
        }
        from += stride;
    }
    margins
}

/// The highest score of a text's windows; 0 without words.
#[must_use]
pub fn score(text: &str) -> f32 {
    windows(text, 0).iter().map(|window| window.score).fold(0.0, f32::max)
}

/// The stretches of a text that score at least `least`: windows that touch are one.
pub(crate) fn stretches(text: &str, offset: usize, least: f32) -> Vec<Scored> {
    let mut stretches: Vec<Scored> = Vec::new();
    for window in windows(text, offset).into_iter().filter(|window| window.score >= least) {
        match stretches.last_mut() {
            Some(known) if window.range.start <= known.range.end => {
                known.range.end = known.range.end.max(window.range.end);
                known.score = known.score.max(window.score);
            }
            _ => stretches.push(window),
        }
    }
    stretches
}

/// What an attack attempts, by its words: whoever speaks of the prompt wants to see it, whoever speaks of limits wants to lose them.
pub(crate) fn attempt(text: &str) -> PromptAttack {
    const LEAKAGE: &[&str] = &[
        "system prompt",
        "your prompt",
        "your instructions",
        "initial prompt",
        "initial instructions",
        "prompt above",
        "text above",
        "words above",
        "everything above",
        "your rules",
        "original instructions",
        "hidden instructions",
        "your configuration",
    ];
    const ASKS: &[&str] = &[
        "reveal",
        "repeat",
        "print",
        "show",
        "output",
        "tell me",
        "what are",
        "what is",
        "display",
        "summarize",
        "leak",
        "copy",
        "write out",
    ];
    const JAILBREAK: &[&str] = &[
        "pretend",
        "roleplay",
        "role play",
        "act as",
        "dan mode",
        "do anything now",
        "developer mode",
        "no restrictions",
        "unrestricted",
        "unfiltered",
        "jailbreak",
        "without any restrictions",
        "content policy",
        "evil",
        "amoral",
        "from now on you are",
        "you are no longer",
        "no ethical",
        "stay in character",
        "freed from",
        "hypothetical",
    ];
    let lower = text.to_lowercase();
    let holds = |words: &[&str]| words.iter().filter(|word| lower.contains(**word)).count();
    if holds(LEAKAGE) > 0 && holds(ASKS) > 0 {
        PromptAttack::PromptLeakage
    } else if holds(JAILBREAK) > 0 {
        PromptAttack::Jailbreak
    } else {
        PromptAttack::PromptInjection
    }
}
