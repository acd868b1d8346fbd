//! Texts in the store, by their SHA-256: a short one whole, a long one as the list of its parts, so that a line that changes in it costs a
//! part and not the text.
//!
//! Where a part ends follows from the lines themselves, so that lines which come or go move no other part.

use std::collections::BTreeSet;

use remit_mcp::canonical::{hex, sha256};
use remit_store::{Store, StoreError, Write};

/// Texts, and parts of texts.
const TEXT_KIND: &str = "configuration_text";
/// Lists of parts: the digest of each on a line.
const PARTS_KIND: &str = "configuration_parts";
/// A text of so many bytes is kept whole.
const WHOLE_BYTES_MAX: usize = 16 * 1024;
/// A part has so many lines at least, unless its lines are long.
const LINES_MIN: usize = 16;
/// And at most.
const LINES_MAX: usize = 256;
/// A part ends after so many bytes.
const BYTES_MAX: usize = 32 * 1024;
/// One in so many lines may end a part.
const ONE_IN: u64 = 32;

/// The name of a text: its SHA-256, hexadecimal.
pub(crate) fn key(text: &str) -> String {
    hex(&sha256(text.as_bytes()))
}

/// Something that the store is to have.
pub(crate) struct Part {
    kind: &'static str,
    key: String,
    body: String,
}

impl Part {
    pub(crate) fn write(&self) -> Write<'_> {
        Write { kind: self.kind, key: &self.key, expected: None, body: self.body.as_bytes() }
    }
}

/// What the store doesn't have yet.
pub(crate) struct Absent<'a> {
    store: &'a dyn Store,
    /// What it has, or is to have.
    known: BTreeSet<String>,
    parts: Vec<Part>,
}

impl<'a> Absent<'a> {
    pub(crate) fn new(store: &'a dyn Store) -> Self {
        Self { store, known: BTreeSet::new(), parts: Vec::new() }
    }

    /// Texts that the store is known to have.
    pub(crate) fn known(&mut self, digests: impl IntoIterator<Item = String>) {
        self.known.extend(digests);
    }

    /// Whether the store has a text.
    pub(crate) fn has(&self, digest: &str) -> Result<bool, StoreError> {
        Ok(self.known.contains(digest)
            || self.store.get(TEXT_KIND, digest)?.is_some()
            || self.store.get(PARTS_KIND, digest)?.is_some())
    }

    /// Adds what the store needs to have a text.
    pub(crate) fn add(&mut self, digest: &str, text: &str) -> Result<(), StoreError> {
        if self.has(digest)? {
            return Ok(());
        }
        self.known.insert(digest.to_owned());
        let split = split(text);
        // What is a part of one text and by itself another is kept once: cut by itself it is one part, too.
        if text.len() <= WHOLE_BYTES_MAX || split.len() == 1 {
            self.parts.push(Part { kind: TEXT_KIND, key: digest.to_owned(), body: text.to_owned() });
            return Ok(());
        }
        let mut list = String::new();
        for part in split {
            let key = key(part);
            list.push_str(&key);
            list.push('\n');
            if !self.known.contains(&key) && self.store.get(TEXT_KIND, &key)?.is_none() {
                self.parts.push(Part { kind: TEXT_KIND, key: key.clone(), body: part.to_owned() });
            }
            self.known.insert(key);
        }
        self.parts.push(Part { kind: PARTS_KIND, key: digest.to_owned(), body: list });
        Ok(())
    }

    pub(crate) fn into_parts(self) -> Vec<Part> {
        self.parts
    }
}

/// A text by its digest; `None` if the store doesn't have it, or no longer has what has this digest.
pub(crate) fn text(store: &dyn Store, digest: &str) -> Result<Option<String>, StoreError> {
    let body = |kind: &str, key: &str| -> Result<Option<String>, StoreError> {
        Ok(store.get(kind, key)?.and_then(|record| String::from_utf8(record.body).ok()))
    };
    let mut whole = String::new();
    if let Some(text) = body(TEXT_KIND, digest)? {
        whole = text;
    } else {
        let Some(list) = body(PARTS_KIND, digest)? else { return Ok(None) };
        for part in list.lines() {
            let Some(part) = body(TEXT_KIND, part)? else { return Ok(None) };
            whole.push_str(&part);
        }
    }
    Ok(Some(whole).filter(|whole| key(whole) == digest))
}

/// The parts of a text, in order; together they are the text.
fn split(text: &str) -> Vec<&str> {
    let (mut parts, mut start, mut end, mut lines) = (Vec::new(), 0, 0, 0);
    for line in text.split_inclusive('\n') {
        end += line.len();
        lines += 1;
        let ends = lines >= LINES_MIN && fnv(line).is_multiple_of(ONE_IN);
        if ends || lines >= LINES_MAX || end - start >= BYTES_MAX {
            parts.extend(text.get(start..end));
            (start, lines) = (end, 0);
        }
    }
    parts.extend(text.get(start..end).filter(|rest| !rest.is_empty()));
    parts
}

/// FNV-1a of 64 bits (Fowler, Noll, Vo): it tells lines apart, and nothing hangs on its being hard to steer.
fn fnv(line: &str) -> u64 {
    line.bytes().fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_make_the_text_and_are_short() {
        let lines: Vec<String> = (0..5_000).map(|n| format!("line {n} {}\n", "x".repeat(n % 120))).collect();
        let texts = [String::new(), "\n".repeat(10_000), "x".repeat(100_000), lines.concat(), lines.concat() + "no end"];
        for text in &texts {
            let parts = split(text);
            assert_eq!(parts.concat(), *text);
            assert!(parts.iter().all(|part| !part.is_empty() && (part.len() < BYTES_MAX + 40 || parts.len() == 1)));
            // A part is what it is by itself, too.
            assert!(parts.iter().all(|part| split(part).len() == 1));
        }
        assert!(split(&texts[3]).len() > 20);
    }
}
