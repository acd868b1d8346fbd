//! Inspection of JSON text: each string and long number for itself, everything else byte for byte as it was.

mod batch;
#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test's helpers fail as its assertions do")]
mod tests;

use std::{borrow::Cow, ops::Range};

use batch::Reader;

use crate::{
    assessment::{Assessment, Coverage, Effort},
    definition::{Action, Source},
    guardrail::Guardrail,
    inspect::{FINDINGS_MAX, TEXT_BYTES_MAX},
};

/// The shortest number that may be sensitive, in bytes.
const NUMBER_BYTES_MIN: usize = 3;

/// A string or number in JSON text.
pub(crate) struct Value {
    /// Its bytes, quotes included.
    pub(crate) range: Range<usize>,
    pub(crate) is_name: bool,
    pub(crate) is_number: bool,
}

impl Value {
    /// What it says, as a model would read it.
    pub(crate) fn plain<'t>(&self, text: &'t str) -> Cow<'t, str> {
        let quoted = text.get(self.range.clone()).unwrap_or_default();
        if self.is_number {
            return Cow::Borrowed(quoted);
        }
        unescaped(quoted, quoted.get(1..quoted.len().saturating_sub(1)).unwrap_or_default())
    }
}

/// One step of a pointer: a member's name (its bytes in the text) or an element's index.
pub(crate) enum Step {
    Member(Range<usize>),
    Element(usize),
}

impl Guardrail {
    /// Inspects JSON text: tool arguments and results. Findings have a pointer; the output is JSON text with masked values. What isn't JSON
    /// is blocked. A number that is masked becomes a string; a member's name that would be masked is blocked, because it can't be replaced
    /// without changing the structure.
    #[must_use]
    pub fn inspect_json(&self, source: Source, text: &str, effort: impl Into<Effort>) -> Assessment {
        let effort = effort.into();
        let (side, lap) = (self.side(source), effort.lap());
        let characters = text.chars().count();
        let coverage = Coverage { guarded: characters, total: characters };
        if text.len() > TEXT_BYTES_MAX {
            return self.undecided(source, "TEXT_TOO_LONG", coverage);
        }
        let mut reader = Reader::new(side, text, effort);
        if reader.read().is_err() {
            return self.undecided(source, "NOT_JSON", coverage);
        }
        if reader.findings.len() > FINDINGS_MAX {
            return self.undecided(source, "TOO_MANY_FINDINGS", coverage);
        }
        reader.point();
        let (mut findings, mut ran, masks) = (reader.findings, reader.ran, reader.masks);
        self.reason(text, source, effort, &mut findings, &mut ran);
        let blocked = findings.iter().any(|finding| finding.action == Action::Block);
        let output = if blocked { Some(side.message.to_string()) } else { replaced(text, &masks) };
        Assessment { source, findings, blocked, output, stages: ran.whole(lap), coverage }
    }
}

/// The text with some values replaced.
pub(crate) fn replaced(text: &str, masks: &[(Range<usize>, String)]) -> Option<String> {
    if masks.is_empty() {
        return None;
    }
    let (mut output, mut at) = (String::with_capacity(text.len()), 0);
    for (range, value) in masks {
        output.push_str(text.get(at..range.start).unwrap_or_default());
        output.push_str(value);
        at = range.end;
    }
    output.push_str(text.get(at..).unwrap_or_default());
    Some(output)
}

/// Walks over the tokens. The text is known to be JSON, so that structure need not be checked, only followed.
pub(crate) fn walk(text: &str, mut each: impl FnMut(&[Step], &Value, Option<Range<usize>>)) {
    let bytes = text.as_bytes();
    let (mut at, mut path) = (0, Vec::new());
    // For each open bracket, whether it is an object's.
    let mut open: Vec<bool> = Vec::new();
    let mut name: Option<Range<usize>> = None;
    while let Some(&b) = bytes.get(at) {
        match b {
            b'{' => open.push(true),
            b'[' => {
                open.push(false);
                path.push(Step::Element(0));
            }
            b'}' | b']' => {
                open.pop();
                if b == b']' {
                    path.pop();
                }
                // The name of the member that was an object or list.
                if open.last() == Some(&true) {
                    path.pop();
                }
            }
            b',' => {
                if let (Some(false), Some(Step::Element(index))) = (open.last(), path.last_mut()) {
                    *index += 1;
                }
            }
            b'"' => {
                let end = string_end(bytes, at);
                let is_name = open.last() == Some(&true) && name.is_none();
                if is_name {
                    path.push(Step::Member(at..end));
                    each(&path, &Value { range: at..end, is_name, is_number: false }, None);
                    name = Some(at..end);
                } else {
                    each(&path, &Value { range: at..end, is_name, is_number: false }, name.take());
                    if open.last() == Some(&true) {
                        path.pop();
                    }
                }
                at = end;
                continue;
            }
            b' ' | b'\t' | b'\n' | b'\r' | b':' => {}
            _ => {
                let length = bytes
                    .get(at..)
                    .unwrap_or_default()
                    .iter()
                    .take_while(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'+' | b'-'))
                    .count();
                let end = at + length.max(1);
                let number = b == b'-' || b.is_ascii_digit();
                let of = name.take();
                if number && length >= NUMBER_BYTES_MIN {
                    each(&path, &Value { range: at..end, is_name: false, is_number: true }, of);
                }
                if open.last() == Some(&true) {
                    path.pop();
                }
                at = end;
                continue;
            }
        }
        if matches!(b, b'{' | b'[') {
            name = None;
        }
        at += 1;
    }
}

/// The path as an RFC 6901 pointer; of a name, with a `#` after it.
pub(crate) fn pointer(text: &str, path: &[Step], is_name: bool) -> String {
    let mut pointer = String::new();
    for step in path {
        pointer.push('/');
        match step {
            Step::Element(index) => pointer.push_str(&index.to_string()),
            Step::Member(range) => {
                let quoted = text.get(range.clone()).unwrap_or_default();
                let raw = quoted.get(1..quoted.len().saturating_sub(1)).unwrap_or_default();
                pointer.push_str(&unescaped(quoted, raw).replace('~', "~0").replace('/', "~1"));
            }
        }
    }
    if is_name {
        pointer.push('#');
    }
    pointer
}

/// Just after the quote that ends a string.
fn string_end(bytes: &[u8], start: usize) -> usize {
    let mut at = start + 1;
    while let Some(found) = bytes.get(at..).and_then(|rest| memchr::memchr2(b'"', b'\\', rest)) {
        at += found;
        if bytes.get(at) == Some(&b'"') {
            return at + 1;
        }
        at += 2;
    }
    bytes.len()
}

/// What a string says. A lone surrogate, which no Rust string can hold, is read as U+FFFD.
fn unescaped<'t>(quoted: &str, raw: &'t str) -> Cow<'t, str> {
    if memchr::memchr(b'\\', raw.as_bytes()).is_none() {
        return Cow::Borrowed(raw);
    }
    if let Ok(text) = serde_json::from_str::<String>(quoted) {
        return Cow::Owned(text);
    }
    let mut text = String::with_capacity(raw.len());
    let mut rest = raw;
    while let Some(at) = rest.find('\\') {
        text.push_str(rest.get(..at).unwrap_or_default());
        let length = if rest.as_bytes().get(at + 1) == Some(&b'u') { 6 } else { 2 };
        let pair = rest.get(at..at + 12).and_then(|pair| serde_json::from_str::<String>(&format!("\"{pair}\"")).ok());
        let pair = pair.filter(|says| length == 6 && says.chars().count() == 1).map(|says| (12, says));
        let (length, says) = pair.unwrap_or_else(|| {
            let one = rest.get(at..at + length).and_then(|one| serde_json::from_str(&format!("\"{one}\"")).ok());
            (length, one.unwrap_or_else(|| "\u{fffd}".to_owned()))
        });
        text.push_str(&says);
        rest = rest.get(at + length..).unwrap_or_default();
    }
    text.push_str(rest);
    Cow::Owned(text)
}
