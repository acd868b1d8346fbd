//! Many values of JSON text, looked at in one pass.

use std::ops::Range;

use super::{NUMBER_BYTES_MIN, pointer, walk};
use crate::{
    assessment::{Effort, Finding, Ran, Stage, matched},
    decode,
    definition::Action,
    guardrail::{Mark, Side},
    hidden,
    inspect::{Detected, FINDINGS_MAX, Seen, detect, detect_seen, has_cues, mask, stand},
    literals::Stands,
    token::{NotJson, TokenKind, Tokens},
};

/// The longest value that is read together with its member's name.
pub(super) const NAMED_BYTES_MAX: usize = 256;
/// How many values are looked at together, and about how many bytes: few enough to stay in the processor's cache.
pub(super) const BATCH_VALUES: usize = 512;
const BATCH_BYTES: usize = 16 << 10;
/// The shortest value that is looked at for itself.
const LARGE_BYTES: usize = 4 << 10;
/// How many names are remembered.
const NAMES: usize = 256;

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
pub(super) struct Reader<'a> {
    side: &'a Side,
    text: &'a str,
    effort: Effort,
    named: bool,
    pub(super) findings: Vec<Finding>,
    pub(super) masks: Vec<(Range<usize>, String)>,
    pub(super) ran: Ran,
    /// Where a value begins in which something was found, and its first finding.
    places: Vec<(usize, usize)>,
    batch: Vec<u8>,
    waiting: Vec<Waiting>,
    /// Names that were met, each where its bytes say; empty before the first.
    names: Vec<Option<Name<'a>>>,
}

impl<'a> Reader<'a> {
    pub(super) fn new(side: &'a Side, text: &'a str, effort: Effort) -> Self {
        Self {
            side,
            text,
            effort,
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
    pub(super) fn read(&mut self) -> Result<(), NotJson> {
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
        let detected = detect(self.side, says, self.effort, true);
        self.ran.join(detected.ran);
        let lead = self.named.then(|| self.lead(raw)).flatten();
        if let Some(slot) = self.names.get_mut(place) {
            *slot = Some(Name { key, raw, is_clean: detected.findings.is_empty(), lead });
        }
        Ok(place)
    }

    /// A member's name as words before its value, if it may explain it: `cardNumber` reads `card number: `.
    pub(super) fn lead(&self, raw: &str) -> Option<String> {
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
            self.found(&value, read, detect(self.side, read, self.effort, true));
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
        let each = self.effort.heavy || !self.side.expressions.is_empty() || self.side.short_words.is_some();
        if strange == [false; 2] && !each && looking.seen.is_empty() {
            return;
        }
        let seen = std::mem::take(&mut looking.seen);
        if self.findings.len() <= FINDINGS_MAX {
            let read = looking.text.get(value.read.clone()).unwrap_or_default();
            let detected = detect_seen(self.side, read, seen, self.effort, strange);
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
    pub(super) fn point(&mut self) {
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
