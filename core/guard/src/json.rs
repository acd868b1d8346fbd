//! Inspection of JSON text: each string and long number for itself, everything else byte for byte as it was.

use std::{borrow::Cow, collections::HashMap, ops::Range};

use serde::de::IgnoredAny;

use crate::{
    assessment::{Assessment, Coverage, Finding, Ran, matched},
    definition::{Action, Source},
    guardrail::{Guardrail, Side},
    inspect::{FINDINGS_MAX, TEXT_BYTES_MAX, detect, has_cues, mask, stand},
};

/// The longest value that is read together with its member's name.
const NAMED_BYTES_MAX: usize = 256;
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
    pub fn inspect_json(&self, source: Source, text: &str, heavy: bool) -> Assessment {
        let side = self.side(source);
        let characters = text.chars().count();
        let coverage = Coverage { guarded: characters, total: characters };
        if text.len() > TEXT_BYTES_MAX {
            return self.undecided(source, "TEXT_TOO_LONG", coverage);
        }
        if serde_json::from_str::<IgnoredAny>(text).is_err() {
            return self.undecided(source, "NOT_JSON", coverage);
        }
        let mut reader = Reader {
            side,
            text,
            heavy,
            findings: Vec::new(),
            masks: Vec::new(),
            ran: Ran::default(),
            names: HashMap::new(),
            named: has_cues(side),
        };
        walk(text, |path, value, name| reader.value(path, value, name));
        if reader.findings.len() > FINDINGS_MAX {
            return self.undecided(source, "TOO_MANY_FINDINGS", coverage);
        }
        let (mut findings, mut ran, masks) = (reader.findings, reader.ran, reader.masks);
        self.reason(text, source, &mut findings, &mut ran);
        let blocked = findings.iter().any(|finding| finding.action == Action::Block);
        let output = if blocked { Some(side.message.to_string()) } else { replaced(text, &masks) };
        Assessment { source, findings, blocked, output, stages: ran.list(), coverage }
    }
}

/// The text with some values replaced.
pub(crate) fn replaced(text: &str, masks: &[(Range<usize>, String)]) -> Option<String> {
    let (mut output, mut at) = (String::with_capacity(text.len()), 0);
    for (range, value) in masks {
        output.push_str(text.get(at..range.start).unwrap_or_default());
        output.push_str(value);
        at = range.end;
    }
    output.push_str(text.get(at..).unwrap_or_default());
    (!masks.is_empty()).then_some(output)
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

struct Reader<'a> {
    side: &'a Side,
    text: &'a str,
    heavy: bool,
    findings: Vec<Finding>,
    masks: Vec<(Range<usize>, String)>,
    ran: Ran,
    /// Members' names as words, for those that may explain a value.
    names: HashMap<&'a str, Option<String>>,
    named: bool,
}

impl<'a> Reader<'a> {
    /// Inspects one value.
    fn value(&mut self, path: &[Step], value: &Value, name: Option<Range<usize>>) {
        if self.findings.len() > FINDINGS_MAX {
            return;
        }
        let plain = value.plain(self.text);
        let lead = name.filter(|_| self.named && plain.len() <= NAMED_BYTES_MAX).and_then(|name| self.lead(name));
        let lead_length = lead.as_ref().map_or(0, String::len);
        let read = match lead {
            Some(lead) => Cow::Owned(lead + &plain),
            None => Cow::Borrowed(&*plain),
        };
        let detected = detect(self.side, &read, self.heavy, true);
        self.ran.join(detected.ran);
        if detected.findings.len() > FINDINGS_MAX {
            // More than can be told apart: the whole is blocked.
            self.findings = detected.findings;
            return;
        }
        if detected.findings.is_empty() {
            return;
        }
        let mut findings: Vec<Finding> =
            detected.findings.into_iter().filter(|finding| finding.range.end > lead_length).collect();
        for finding in &mut findings {
            let range = finding.range.start.saturating_sub(lead_length)..finding.range.end - lead_length;
            if finding.range.start < lead_length {
                finding.matched = matched(plain.get(range.clone()).unwrap_or_default());
            }
            finding.range = range;
            if value.is_name && finding.action == Action::Anonymize {
                finding.action = Action::Block;
            }
        }
        let mut findings = stand(findings);
        let pointer = pointer(self.text, path, value.is_name);
        for finding in &mut findings {
            finding.pointer = Some(pointer.clone());
        }
        if let Some(masked) = mask(&plain, &findings) {
            let quoted = serde_json::to_string(&masked).unwrap_or_else(|_| "\"\"".to_owned());
            self.masks.push((value.range.clone(), quoted));
        }
        self.findings.append(&mut findings);
    }

    /// A member's name as words before its value, if it may explain it: `cardNumber` reads `card number: `.
    fn lead(&mut self, name: Range<usize>) -> Option<String> {
        let text: &'a str = self.text;
        let raw = text.get(name.start + 1..name.end.saturating_sub(1))?;
        let side = self.side;
        self.names
            .entry(raw)
            .or_insert_with(|| {
                let mut words = String::with_capacity(raw.len() + 4);
                let mut lower = false;
                for c in raw.chars().take(64) {
                    if c == '_' || c == '-' || c == '.' {
                        words.push(' ');
                    } else {
                        if c.is_uppercase() && lower {
                            words.push(' ');
                        }
                        words.extend(c.to_lowercase());
                    }
                    lower = c.is_lowercase();
                }
                let mut explains = false;
                side.literals.scan(
                    words.as_bytes(),
                    |_, _| {},
                    |_, _, mark| explains |= matches!(mark, crate::guardrail::Mark::Cue(_)),
                );
                words.push_str(": ");
                explains.then_some(words)
            })
            .clone()
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
