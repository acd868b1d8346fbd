//! Inspection of JSON text: each string and long number for itself, everything else byte for byte as it was.

use std::{borrow::Cow, ops::Range};

use crate::{
    assessment::{Assessment, Coverage, Finding, Ran, Stage, matched},
    decode,
    definition::{Action, Source},
    guardrail::{Guardrail, Mark, Side},
    hidden,
    inspect::{Detected, FINDINGS_MAX, Seen, TEXT_BYTES_MAX, detect, detect_seen, has_cues, mask, stand},
    literals::Stands,
    token::{NotJson, TokenKind, Tokens},
};

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test's helpers fail as its assertions do")]
mod tests;

/// The longest value that is read together with its member's name.
const NAMED_BYTES_MAX: usize = 256;
/// The shortest number that may be sensitive, in bytes.
const NUMBER_BYTES_MIN: usize = 3;
/// How many values are looked at together, and about how many bytes: few enough to stay in the processor's cache.
const BATCH_VALUES: usize = 512;
const BATCH_BYTES: usize = 16 << 10;
/// The shortest value that is looked at for itself.
const LARGE_BYTES: usize = 4 << 10;
/// How many names are remembered.
const NAMES: usize = 256;

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
        let mut reader = Reader::new(side, text, heavy);
        if reader.read().is_err() {
            return self.undecided(source, "NOT_JSON", coverage);
        }
        if reader.findings.len() > FINDINGS_MAX {
            return self.undecided(source, "TOO_MANY_FINDINGS", coverage);
        }
        reader.point();
        let (mut findings, mut ran, masks) = (reader.findings, reader.ran, reader.masks);
        self.reason(text, source, &mut findings, &mut ran);
        let blocked = findings.iter().any(|finding| finding.action == Action::Block);
        let output = if blocked { Some(side.message.to_string()) } else { replaced(text, &masks) };
        Assessment { source, findings, blocked, output, stages: ran.list(), coverage }
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

/// A name, string or number that waits to be looked at.
struct Waiting {
    /// Its bytes in the text, quotes included.
    range: Range<usize>,
    /// What it says, in the batch, after the words that explain it.
    read: Range<usize>,
    /// How long those words are.
    lead: usize,
    is_name: bool,
}

impl Waiting {
    /// The value as it stands in the text, if that is what it says: an escape is longer than what it stands for.
    fn unescaped<'t>(&self, text: &'t str) -> Option<&'t str> {
        let raw = text.get(self.range.start + 1..self.range.end.saturating_sub(1))?;
        (raw.len() == self.read.len() && self.lead == 0).then_some(raw)
    }
}

/// A member's name that was met.
struct Name<'a> {
    key: [u64; 3],
    raw: &'a str,
    /// Whether nothing was found in it, so that it need not be looked at again.
    is_clean: bool,
    /// The name as words, if it may explain its value.
    lead: Option<String>,
}

/// Reads a text's values and looks at many of them in one pass: they stand in a batch with a line end after each, as each would stand alone,
/// and only those in which the pass saw something are looked at for themselves.
struct Reader<'a> {
    side: &'a Side,
    text: &'a str,
    heavy: bool,
    named: bool,
    findings: Vec<Finding>,
    masks: Vec<(Range<usize>, String)>,
    ran: Ran,
    /// Where a value begins in which something was found, and its first finding.
    places: Vec<(usize, usize)>,
    batch: Vec<u8>,
    waiting: Vec<Waiting>,
    /// Names that were met, each where its bytes say; empty before the first.
    names: Vec<Option<Name<'a>>>,
}

impl<'a> Reader<'a> {
    fn new(side: &'a Side, text: &'a str, heavy: bool) -> Self {
        Self {
            side,
            text,
            heavy,
            named: has_cues(side),
            findings: Vec::new(),
            masks: Vec::new(),
            ran: Ran::default(),
            places: Vec::new(),
            batch: Vec::new(),
            waiting: Vec::new(),
            names: Vec::new(),
        }
    }

    /// Reads the whole text.
    fn read(&mut self) -> Result<(), NotJson> {
        let mut tokens = Tokens::new(self.text);
        let mut name = 0;
        loop {
            let start = self.batch.len();
            let Some(token) = tokens.next(&mut self.batch)? else { break };
            let is_name = token.kind == TokenKind::Name;
            let mut lead = 0;
            if is_name {
                name = self.meet(&token.range, start)?;
                if self.names.get(name).and_then(Option::as_ref).is_some_and(|name| name.is_clean) {
                    self.batch.truncate(start);
                    continue;
                }
            } else if token.kind == TokenKind::Number && token.range.len() < NUMBER_BYTES_MIN {
                self.batch.truncate(start);
                continue;
            } else if token.is_member && self.batch.len() - start <= NAMED_BYTES_MAX {
                let words =
                    self.names.get(name).and_then(Option::as_ref).and_then(|name| name.lead.as_deref()).unwrap_or_default();
                if !words.is_empty() {
                    lead = words.len();
                    self.batch.splice(start..start, words.bytes());
                }
            }
            self.waiting.push(Waiting { range: token.range, read: start..self.batch.len(), lead, is_name });
            self.batch.push(b'\n');
            let large = self.batch.len() - start > LARGE_BYTES;
            if large || self.batch.len() >= BATCH_BYTES || self.waiting.len() >= BATCH_VALUES {
                self.look()?;
            }
        }
        self.look()
    }

    /// Remembers a name, which the batch ends with, and says where.
    fn meet(&mut self, range: &Range<usize>, start: usize) -> Result<usize, NotJson> {
        let text: &'a str = self.text;
        let range = range.start + 1..range.end.saturating_sub(1);
        let key = key(text.as_bytes(), &range);
        let place = place(key);
        if let Some(Some(name)) = self.names.get(place)
            && name.key == key
            && (range.len() <= 16 || text.get(range.clone()) == Some(name.raw))
        {
            return Ok(place);
        }
        if self.names.is_empty() {
            self.names.resize_with(NAMES, || None);
        }
        let raw = text.get(range).unwrap_or_default();
        let says = utf8(&self.batch, start..self.batch.len())?;
        let detected = detect(self.side, says, self.heavy, true);
        self.ran.join(detected.ran);
        let lead = self.named.then(|| self.lead(raw)).flatten();
        if let Some(slot) = self.names.get_mut(place) {
            *slot = Some(Name { key, raw, is_clean: detected.findings.is_empty(), lead });
        }
        Ok(place)
    }

    /// A member's name as words before its value, if it may explain it: `cardNumber` reads `card number: `.
    fn lead(&self, raw: &str) -> Option<String> {
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
        self.side.literals.scan(words.as_bytes(), |_, stands| explains |= matches!(stands, Stands::Word(_, Mark::Cue(_))));
        words.push_str(": ");
        explains.then_some(words)
    }

    /// Looks at what waits. A large value, which can only be the last, is looked at for itself.
    fn look(&mut self) -> Result<(), NotJson> {
        let (batch, mut waiting) = (std::mem::take(&mut self.batch), std::mem::take(&mut self.waiting));
        let large = waiting.pop_if(|value| value.read.len() >= LARGE_BYTES);
        let end = large.as_ref().map_or(batch.len(), |value| value.read.start);
        self.look_together(utf8(&batch, 0..end)?, &waiting);
        if let Some(value) = large
            && self.findings.len() <= FINDINGS_MAX
        {
            let read = match value.unescaped(self.text) {
                Some(raw) => raw,
                None => utf8(&batch, value.read.clone())?,
            };
            self.found(&value, read, detect(self.side, read, self.heavy, true));
        }
        (self.batch, self.waiting) = (batch, waiting);
        self.batch.clear();
        self.waiting.clear();
        Ok(())
    }

    /// Looks at a batch in one pass.
    fn look_together(&mut self, text: &str, waiting: &[Waiting]) {
        let mut looking = Looking::new(text, waiting);
        let side = self.side;
        side.literals.scan(text.as_bytes(), |at, stands| {
            while looking.waiting.get(looking.at).is_some_and(|value| value.read.end <= at) {
                self.settle(&mut looking);
            }
            looking.take(side, at, stands);
        });
        while looking.at < waiting.len() {
            self.settle(&mut looking);
        }
    }

    /// Is done with one value: with most of them at once.
    fn settle(&mut self, looking: &mut Looking<'_>) {
        let Some(value) = looking.waiting.get(looking.at) else { return };
        looking.at += 1;
        self.ran.add(Stage::Patterns);
        let strange = looking.strange(value.read.end);
        let each = self.heavy || !self.side.expressions.is_empty() || self.side.short_words.is_some();
        if strange == [false; 2] && !each && looking.seen.is_empty() {
            return;
        }
        let seen = std::mem::take(&mut looking.seen);
        if self.findings.len() <= FINDINGS_MAX {
            let read = looking.text.get(value.read.clone()).unwrap_or_default();
            let detected = detect_seen(self.side, read, seen, self.heavy, strange);
            self.found(value, read, detected);
        }
    }

    /// Takes what was found in a value.
    fn found(&mut self, value: &Waiting, read: &str, detected: Detected) {
        self.ran.join(detected.ran);
        if detected.findings.len() > FINDINGS_MAX {
            // More than can be told apart: the whole is blocked.
            self.findings = detected.findings;
            return;
        }
        if detected.findings.is_empty() {
            return;
        }
        let plain = read.get(value.lead..).unwrap_or_default();
        let mut findings: Vec<Finding> = detected.findings.into_iter().filter(|finding| finding.range.end > value.lead).collect();
        for finding in &mut findings {
            let range = finding.range.start.saturating_sub(value.lead)..finding.range.end - value.lead;
            if finding.range.start < value.lead {
                finding.matched = matched(plain.get(range.clone()).unwrap_or_default());
            }
            finding.range = range;
            if value.is_name && finding.action == Action::Anonymize {
                finding.action = Action::Block;
            }
        }
        let mut findings = stand(findings);
        if let Some(masked) = mask(plain, &findings) {
            let quoted = serde_json::to_string(&masked).unwrap_or_else(|_| "\"\"".to_owned());
            self.masks.push((value.range.clone(), quoted));
        }
        self.places.push((value.range.start, self.findings.len()));
        self.findings.append(&mut findings);
    }

    /// Gives each finding the pointer of its value.
    fn point(&mut self) {
        let (text, findings) = (self.text, &mut self.findings);
        let mut places = std::mem::take(&mut self.places).into_iter().peekable();
        if places.peek().is_none() {
            return;
        }
        walk(text, |path, value, _| {
            let Some((_, first)) = places.next_if(|(start, _)| *start == value.range.start) else { return };
            let next = places.peek().map_or(findings.len(), |(_, next)| *next);
            let pointer = pointer(text, path, value.is_name);
            for finding in findings.get_mut(first..next).unwrap_or_default() {
                finding.pointer = Some(pointer.clone());
            }
        });
    }
}

/// A pass over a batch: the value that it is at, and what it saw in it.
struct Looking<'b> {
    text: &'b str,
    waiting: &'b [Waiting],
    at: usize,
    seen: Seen,
    /// Where the next of each of [`SUSPECTS`] stands; beyond every place if there is none.
    suspects: [usize; SUSPECTS.len()],
}

impl<'b> Looking<'b> {
    fn new(text: &'b str, waiting: &'b [Waiting]) -> Self {
        let suspects = SUSPECTS.map(|next| next(text.as_bytes(), 0).unwrap_or(usize::MAX));
        Self { text, waiting, at: 0, seen: Seen::default(), suspects }
    }

    /// Whether something before a place may be hidden, and encoded; each is looked for from there on.
    #[inline]
    fn strange(&mut self, end: usize) -> [bool; 2] {
        let [hidden, piece, percent] = self.suspects.map(|at| at < end);
        if hidden || piece || percent {
            for (suspect, next) in self.suspects.iter_mut().zip(SUSPECTS).filter(|(suspect, _)| **suspect < end) {
                *suspect = next(self.text.as_bytes(), end).unwrap_or(usize::MAX);
            }
        }
        [hidden, piece || percent]
    }

    /// Takes in what stands in the value. What reaches over its end stands in no value.
    fn take(&mut self, side: &Side, at: usize, stands: Stands<Mark>) {
        let Some(value) = self.waiting.get(self.at).filter(|value| value.read.contains(&at)) else { return };
        let start = value.read.start;
        let stands = match stands {
            Stands::Word(end, _) if end > value.read.end => return,
            Stands::Word(end, mark) => Stands::Word(end - start, mark),
            shapes @ Stands::Shapes(_) => shapes,
        };
        self.seen.take(side, self.text.get(value.read.clone()).unwrap_or_default(), at - start, stands);
    }
}

/// What may hide or encode something: where its next byte stands, from a place on.
type Suspect = fn(&[u8], usize) -> Option<usize>;

/// Without any of these, a text reads as it is given, and nothing decodes.
const SUSPECTS: [Suspect; 3] = [hidden::suspect, decode::candidate, |bytes, from| {
    bytes.get(from..).and_then(|rest| memchr::memchr(b'%', rest)).map(|at| from + at)
}];

/// A part of a batch. What was read of a text is UTF-8, as the text is.
fn utf8(batch: &[u8], range: Range<usize>) -> Result<&str, NotJson> {
    batch.get(range).and_then(|bytes| std::str::from_utf8(bytes).ok()).ok_or(NotJson)
}

/// The first eight bytes of a name, the last eight, and its length: of up to sixteen bytes, the whole name.
fn key(bytes: &[u8], range: &Range<usize>) -> [u64; 3] {
    let eight = |at: usize| bytes.get(at..).and_then(|rest| rest.first_chunk()).map(|eight| u64::from_le_bytes(*eight));
    let length = range.len();
    let [first, last] = if length >= 8 {
        [eight(range.start), eight(range.end - 8)].map(Option::unwrap_or_default)
    } else if let Some(eight) = eight(range.start) {
        [eight & ((1 << (length * 8)) - 1), 0]
    } else {
        // Nearly at the end of the text.
        let short = bytes.get(range.clone()).unwrap_or_default();
        [short.iter().rev().fold(0, |all, &b| all << 8 | u64::from(b)), 0]
    };
    [first, last, length as u64]
}

/// The place of a name among those that are remembered.
fn place([first, last, length]: [u64; 3]) -> usize {
    let hash = (first ^ last.rotate_left(29) ^ length).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    usize::try_from(hash >> 40).unwrap_or(0) % NAMES
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
