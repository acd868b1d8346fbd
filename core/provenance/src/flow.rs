//! What one session has touched, and what that says of the values of its next call.

use std::sync::Arc;

use base64::Engine as _;
use remit_model::{ArgumentRole, CallOrigin, Labels, Provenance, ResultLabels, ValueOrigin};
use serde_json::Value;

use crate::day::{Day, days};
use crate::index::{Found, Index, Words};
use crate::link::links;
use crate::record::{Asked, How, Records, short};
use crate::role::{Roles, by_name};
use crate::word::{self, Hasher};

/// The most values of a call that are judged one by one.
const VALUES_MAX: usize = 512;
/// The most addresses of a content that are judged one by one.
const LINKS_MAX: usize = 32;
/// The most different requests of one session; what further ones name is nothing that anybody asked for.
const REQUESTS_MAX: usize = 1_000;
/// The most days that the requests of one session name; of what they name beyond nobody asked for.
const REQUEST_DAYS_MAX: usize = 4_096;
/// How deep arguments and results are read.
const DEPTH_MAX: usize = 32;
/// How many words in a row of a content are somebody's text, and no coincidence.
const RUN: usize = 6;
/// A content of fewer words is a value.
const CONTENT_WORDS_MIN: usize = 4;
/// A word of fewer letters, or a number of no more digits, is an id only where something says so.
const SHORT: usize = 4;
/// The shortest word that may be a text in another form, in bytes.
const ENCODED_BYTES_MIN: usize = 16;
/// How many texts in other forms one result may hold.
const ENCODED_MAX: usize = 256;

/// What one session has touched. It holds hashes of words, never a text.
#[derive(Debug)]
pub struct Flow {
    hasher: Hasher,
    labels: Labels,
    /// The user's requests, as they stand there.
    request: Index,
    /// The same, parted at every mark: how people call things.
    request_loose: Index,
    /// The same of what they quote.
    request_quoted: Index,
    /// The days that they name.
    request_days: Vec<Day>,
    trusted: Index,
    untrusted: Index,
    /// What the session passed on of what nobody vouches for: a trusted result that holds it vouches for nothing.
    passed: Index,
    /// The parts of those words, and of what was read untrusted.
    passed_parts: Words,
    records: Records,
    /// Requests that are here already, by hash: clients send theirs with every call.
    requests: Words,
    /// The same for what nobody vouches for.
    doubts: Words,
    /// Words that say that an id follows.
    cues: Vec<u64>,
}

/// A result as it is read.
#[derive(Debug, Clone, Copy)]
pub struct Reading<'a> {
    /// The tool, as policies name it.
    pub tool: &'a str,
    /// What its results are.
    pub labels: ResultLabels,
    /// Whether the call changed something.
    pub changes: bool,
    /// The structured content.
    pub structured: Option<&'a Value>,
    /// The texts.
    pub texts: &'a [&'a str],
}

impl Flow {
    /// Of a session that has touched nothing. `seed` is random, and nobody else's.
    pub fn new(seed: [u8; 16]) -> Self {
        let hasher = Hasher::new(seed);
        Self {
            hasher,
            labels: Labels::default(),
            request: Index::default(),
            request_loose: Index::default(),
            request_quoted: Index::default(),
            request_days: Vec::new(),
            trusted: Index::default(),
            untrusted: Index::default(),
            passed: Index::default(),
            passed_parts: Words::default(),
            records: Records::default(),
            requests: Words::default(),
            doubts: Words::default(),
            cues: ["id", "ids", "number", "no", "nr", "num"].iter().map(|cue| hasher.of(cue)).collect(),
        }
    }

    /// Of a session of which no more is known than its labels: whatever it has read may have held anything.
    pub fn forgotten(seed: [u8; 16], labels: Labels) -> Self {
        let mut flow = Self::new(seed);
        flow.labels = labels;
        flow.untrusted.lose();
        flow.passed.lose();
        flow
    }

    /// What it has touched.
    pub fn labels(&self) -> Labels {
        self.labels
    }

    /// How many words it holds: what it weighs, by about 40 bytes each.
    pub fn words(&self) -> usize {
        let indexes = [&self.request, &self.request_loose, &self.request_quoted, &self.trusted, &self.untrusted, &self.passed];
        indexes.iter().map(|index| index.len()).sum::<usize>() + self.passed_parts.len() + self.records.words()
    }

    /// The user asks for something.
    pub fn asked(&mut self, text: &str) {
        if !self.requests.insert(self.hasher.of_whole(text)) || self.requests.len() > REQUESTS_MAX {
            return;
        }
        let source: Arc<str> = "request".into();
        self.request.add(&source, self.hasher.words(text));
        self.request_loose.add(&source, self.hasher.loose(text));
        for quoted in word::quoted(text) {
            self.request_quoted.add(&source, self.hasher.loose(quoted));
        }
        let room = REQUEST_DAYS_MAX.saturating_sub(self.request_days.len());
        self.request_days.extend(days(text).into_iter().take(room));
    }

    /// Somebody says that the user asks for something, and nobody vouches for it: it is read as what anybody could have written.
    pub fn doubted(&mut self, why: &str, text: &str) {
        let hash = self.hasher.of_whole(text);
        // Somebody has vouched for these very words in this session: that nobody does now takes nothing back.
        if self.requests.contains(&hash) {
            return;
        }
        self.labels.integrity = remit_model::Integrity::Untrusted;
        if !self.doubts.insert(hash) {
            return;
        }
        if self.doubts.len() > REQUESTS_MAX {
            // What more was said is no longer known.
            self.untrusted.lose();
            return;
        }
        self.text(&why.into(), text, true);
    }

    /// A result is read: its labels are the session's from now on.
    pub fn read(&mut self, reading: &Reading<'_>) {
        self.labels = self.labels.join(reading.labels.labels());
        let untrusted = reading.labels.integrity == remit_model::Integrity::Untrusted;
        let source: Arc<str> = reading.tool.into();
        if let Some(value) = reading.structured {
            self.structured(&source, value, untrusted, reading, true);
        }
        for text in reading.texts {
            // A text that is JSON is what it holds. What is said twice is held once.
            match serde_json::from_str::<Value>(text).ok().filter(|value| value.is_object() || value.is_array()) {
                Some(value) if reading.structured == Some(&value) => {}
                Some(value) => self.structured(&source, &value, untrusted, reading, false),
                None => self.text(&source, text, untrusted),
            }
        }
    }

    fn structured(&mut self, source: &Arc<str>, value: &Value, untrusted: bool, reading: &Reading<'_>, structured: bool) {
        leaves(value, DEPTH_MAX, &mut |path, leaf| {
            // What an object's keys are called may be data too, such as the addresses that something is shared with.
            if let Some(key) = path.last().and_then(|step| step.key()).filter(|key| links(key).next().is_some()) {
                self.text(source, key, untrusted);
            }
            if let Some(text) = scalar(leaf) {
                self.text(source, &text, untrusted);
            }
        });
        // A text that happens to be JSON may be a stranger's file: its records are nobody's word.
        let owned = reading.labels.own_identifiers || reading.labels.own_records;
        if (owned && structured) || !untrusted {
            let how = How { made: reading.changes, trusted: !untrusted, owned: !untrusted || reading.labels.own_records };
            self.records.add(&self.hasher, reading.tool, value, how);
        }
    }

    fn text(&mut self, source: &Arc<str>, text: &str, untrusted: bool) {
        if !untrusted {
            self.trusted.add(source, self.hasher.words(text));
            return;
        }
        let mut words = Vec::with_capacity(text.len() / 6);
        let mut others = Vec::new();
        for word in word::split(text) {
            words.push(self.hasher.of(word));
            if word.len() >= ENCODED_BYTES_MIN && others.len() < ENCODED_MAX {
                others.extend(decoded(word));
            }
        }
        self.untrusted.add(source, words);
        for decoded in others {
            self.untrusted.add(source, self.hasher.words(&decoded));
        }
    }

    /// Judges a call: what the session has touched before it, and what stands behind its values.
    pub fn judge(&self, roles: &Roles, arguments: &Value) -> CallOrigin {
        let mut values = Vec::new();
        let about: Vec<u64> = roles.about.iter().map(|noun| self.hasher.of(noun)).collect();
        let (mut overflow, mut requested) = (false, false);
        for (name, value) in arguments.as_object().into_iter().flatten() {
            let top = roles.role(name);
            let listed = |leaf: &Value| leaf.is_null() || leaf.is_boolean() || roles.lists(name, leaf);
            leaves(value, DEPTH_MAX, &mut |path, leaf| {
                if values.len() >= VALUES_MAX {
                    overflow = true;
                    return;
                }
                let mut pointer = format!("/{}", escaped(name));
                for step in path {
                    match step {
                        Step::Key(key) => pointer.push_str(&format!("/{}", escaped(key))),
                        Step::At(number) => pointer.push_str(&format!("/{number}")),
                    }
                }
                let keys = || path.iter().filter_map(|step| step.key());
                for link in keys().flat_map(links).take(LINKS_MAX) {
                    let (provenance, source) = self.behind(&[self.hasher.of(link)], None);
                    values.push(ValueOrigin { pointer: pointer.clone(), role: ArgumentRole::Link, provenance, source });
                }
                // Within an object the nearest name that says something does.
                let nearest = keys().rev().find(|key| !key.bytes().all(|b| b.is_ascii_digit()));
                let own = nearest.and_then(by_name);
                let role = own.unwrap_or(top);
                if leaf.is_object() || leaf.is_array() {
                    // Deeper than anything is read.
                    values.push(ValueOrigin { pointer, role, provenance: Provenance::Untrusted, source: None });
                    return;
                }
                if listed(leaf) {
                    values.push(ValueOrigin { pointer, role, provenance: Provenance::Declared, source: None });
                    return;
                }
                let Some(text) = scalar(leaf) else { return };
                let noun = own.and(nearest).unwrap_or(name);
                let judged = self.value(pointer, role, noun, &about, &text, &mut values);
                requested |= roles.knows(name) && tells(role, &text, judged);
            });
        }
        if overflow {
            let (role, provenance) = (ArgumentRole::Destination, Provenance::Untrusted);
            values.push(ValueOrigin { pointer: String::new(), role, provenance, source: None });
        }
        CallOrigin { labels: self.labels, values, requested, request: None }
    }

    /// Judges a value and the addresses in it; what stands behind the value itself.
    fn value(
        &self,
        pointer: String,
        role: ArgumentRole,
        name: &str,
        about: &[u64],
        text: &str,
        values: &mut Vec<ValueOrigin>,
    ) -> Provenance {
        let words = self.hasher.words(text);
        let prose = matches!(role, ArgumentRole::Content | ArgumentRole::Parameter | ArgumentRole::Time);
        if prose {
            for (number, link) in links(text).enumerate() {
                let (provenance, source) =
                    if number < LINKS_MAX { self.behind(&[self.hasher.of(link)], None) } else { (Provenance::Nowhere, None) };
                values.push(ValueOrigin { pointer: pointer.clone(), role: ArgumentRole::Link, provenance, source });
                if number >= LINKS_MAX {
                    break;
                }
            }
        }
        let (provenance, source) = if prose && words.len() >= CONTENT_WORDS_MIN {
            self.behind_prose(&words)
        } else if role == ArgumentRole::Identifier {
            let nouns = self.nouns_of(name, about);
            self.behind(&words, Some(Id { nouns: &nouns, short: is_short(text) }))
        } else if role == ArgumentRole::Time
            && let named = days(text)
            && !named.is_empty()
        {
            self.behind_days(&named, &words)
        } else {
            self.behind(&words, None)
        };
        values.push(ValueOrigin { pointer, role, provenance, source });
        provenance
    }

    /// What stands behind a time: what stands behind its days, the worst. At which hour something ends is made of how long it takes.
    fn behind_days(&self, named: &[Day], words: &[u64]) -> (Provenance, Option<String>) {
        let whole = self.behind(words, None);
        let one = |day: &Day| {
            if self.request_days.iter().any(|asked| asked.may_be(*day)) {
                return (Provenance::Request, None);
            }
            match (&whole, day.iso()) {
                ((Provenance::Nowhere, _), Some(iso)) => self.behind(&[self.hasher.of(&iso)], None),
                _ => whole.clone(),
            }
        };
        named.iter().map(one).max_by_key(|(provenance, _)| *provenance).unwrap_or(whole.clone())
    }

    /// What an id of this name is of: `file_id` of a file, `id` of what its tool is about.
    fn nouns_of(&self, name: &str, about: &[u64]) -> Vec<u64> {
        let own: Vec<u64> = crate::role::nouns(name).iter().map(|noun| self.hasher.of(noun)).collect();
        if own.is_empty() { about.to_vec() } else { own }
    }

    fn asked_for(&self) -> Asked<'_> {
        Asked { whole: &self.request, loose: &self.request_loose, quoted: &self.request_quoted }
    }

    /// What stands behind a value.
    fn behind(&self, words: &[u64], id: Option<Id<'_>>) -> (Provenance, Option<String>) {
        if words.is_empty() {
            return (Provenance::Declared, None);
        }
        let said = |at: usize| id.is_none_or(|id| self.is_said(words, at, id));
        if matches!(self.request.find_where(words, said), Found::At(_)) {
            return (Provenance::Request, None);
        }
        if let (Some(id), [word]) = (id, words) {
            match self.records.find(*word, id.nouns, self.asked_for()) {
                Some(Provenance::Request) => return (Provenance::Request, None),
                // A number stands in many texts; a long id that an untrusted one names may have been chosen by it.
                Some(provenance) if !self.has_passed(words) && (id.short || self.untrusted.find(words) == Found::No) => {
                    return (provenance, None);
                }
                _ => {}
            }
        }
        if !self.has_passed(words) && self.records.is_field(words, self.asked_for()) {
            return (Provenance::Named, None);
        }
        let source = |index: &Index, at: usize| index.source(at).map(ToString::to_string);
        // Digits that stand somewhere in a trusted result aren't the id of anything.
        let vouches = id.is_none_or(|id| !id.short) && !self.has_passed(words);
        match (self.untrusted.find(words), self.trusted.find(words)) {
            // Of all that a trusted result lists an untrusted one may have chosen this.
            (Found::At(at), _) => (Provenance::Untrusted, source(&self.untrusted, at)),
            (Found::Perhaps, _) => (Provenance::Untrusted, None),
            (Found::No, Found::At(at)) if vouches => (Provenance::Trusted, source(&self.trusted, at)),
            (Found::No, _) => (Provenance::Nowhere, None),
        }
    }

    /// Whether a place of the request means an id, and doesn't hold the same digits by chance: a day of the month is no file.
    fn is_said(&self, words: &[u64], at: usize, id: Id<'_>) -> bool {
        words.len() > 1
            || !id.short
            || self.request.preceding(at, 2).any(|before| self.cues.contains(&before) || id.nouns.contains(&before))
    }

    /// Whether the session itself may have put a value where a trusted result now shows it.
    fn has_passed(&self, words: &[u64]) -> bool {
        self.passed.find(words) != Found::No || words.iter().all(|word| self.passed_parts.contains(word)) && !words.is_empty()
    }

    /// What stands behind a text.
    fn behind_prose(&self, words: &[u64]) -> (Provenance, Option<String>) {
        if matches!(self.request.find(words), Found::At(_)) {
            return (Provenance::Request, None);
        }
        let source = |at: usize| self.untrusted.source(at).map(ToString::to_string);
        let whole = words.len() < RUN;
        for run in words.windows(if whole { words.len() } else { RUN }) {
            match self.untrusted.find(run) {
                Found::No => {}
                _ if matches!(self.request.find(run), Found::At(_)) => {}
                Found::At(at) => return (Provenance::Untrusted, source(at)),
                Found::Perhaps => return (Provenance::Untrusted, None),
            }
        }
        match self.trusted.find(words) {
            Found::At(at) if !self.has_passed(words) && self.untrusted.find(words) == Found::No => {
                (Provenance::Trusted, self.trusted.source(at).map(ToString::to_string))
            }
            _ => (Provenance::Nowhere, None),
        }
    }

    /// The call goes on: what nobody vouches for may come back in its result, or in another's.
    pub fn passed(&mut self, arguments: &Value, origin: &CallOrigin) {
        let source: Arc<str> = "passed".into();
        for value in &origin.values {
            if value.provenance < Provenance::Nowhere {
                continue;
            }
            match arguments.pointer(&value.pointer) {
                Some(leaf) => leaves(leaf, DEPTH_MAX, &mut |_, leaf| {
                    let Some(text) = scalar(leaf) else { return };
                    self.passed.add(&source, self.hasher.words(&text));
                    for word in word::split(&text) {
                        for part in word::parts(word) {
                            if self.passed_parts.len() < crate::index::WORDS_MAX {
                                self.passed_parts.insert(self.hasher.of(part));
                            } else {
                                self.passed.lose();
                            }
                        }
                    }
                }),
                None => self.passed.lose(),
            }
        }
    }
}

/// An id, as it is judged.
#[derive(Debug, Clone, Copy)]
struct Id<'a> {
    /// What it is of.
    nouns: &'a [u64],
    /// Whether it is so short that it stands in many texts by chance.
    short: bool,
}

/// Whether a value that the request names tells that the call was asked for: short ones and numbers stand in many texts by chance.
fn tells(role: ArgumentRole, text: &str, judged: Provenance) -> bool {
    match judged {
        Provenance::Request => {}
        // A field of the record that the user named, of which nobody else made one.
        Provenance::Named => return !matches!(role, ArgumentRole::Amount | ArgumentRole::Parameter | ArgumentRole::Content),
        _ => return false,
    }
    match role {
        ArgumentRole::Amount | ArgumentRole::Parameter => false,
        // One word stands in any request.
        ArgumentRole::Content => short(text).is_some(),
        // A short id is the request's only where something says that it is one.
        ArgumentRole::Time | ArgumentRole::Identifier => true,
        _ => !is_short(text),
    }
}

fn is_short(text: &str) -> bool {
    let chars = text.chars().count();
    chars < SHORT || (chars <= SHORT && text.bytes().all(|b| b.is_ascii_digit()))
}

/// A text in another form: base64, hexadecimal, percent-encoding.
fn decoded(word: &str) -> Option<String> {
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).ok().filter(|text| is_text(text));
    if word.contains('%') {
        return percent_decoded(word).and_then(text);
    }
    if !word.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'+' | b'/' | b'-' | b'_' | b'=')) {
        return None;
    }
    if word.len().is_multiple_of(2) && word.bytes().all(|b| b.is_ascii_hexdigit()) {
        let pair = |at: usize| word.get(at..at + 2).and_then(|pair| u8::from_str_radix(pair, 16).ok());
        return (0..word.len()).step_by(2).map(pair).collect::<Option<Vec<u8>>>().and_then(text);
    }
    let standard = word.replace('-', "+").replace('_', "/");
    base64::engine::general_purpose::STANDARD_NO_PAD.decode(standard.trim_end_matches('=')).ok().and_then(text)
}

fn is_text(text: &str) -> bool {
    !text.chars().any(|c| c.is_control() && !c.is_whitespace())
}

fn percent_decoded(word: &str) -> Option<Vec<u8>> {
    let mut bytes = Vec::with_capacity(word.len());
    let mut rest = word.as_bytes();
    while let [first, after @ ..] = rest {
        if *first == b'%'
            && let [high, low, after @ ..] = after
            && let (Some(high), Some(low)) = (char::from(*high).to_digit(16), char::from(*low).to_digit(16))
        {
            bytes.push(u8::try_from(high * 16 + low).ok()?);
            rest = after;
            continue;
        }
        bytes.push(*first);
        rest = after;
    }
    Some(bytes)
}

fn escaped(step: &str) -> String {
    step.replace('~', "~0").replace('/', "~1")
}

/// A text or a number, as text.
pub(crate) fn scalar(value: &Value) -> Option<std::borrow::Cow<'_, str>> {
    match value {
        Value::String(text) => Some(text.as_str().into()),
        Value::Number(number) => Some(number.to_string().into()),
        _ => None,
    }
}

/// A step into a value.
#[derive(Debug, Clone, Copy)]
enum Step<'a> {
    Key(&'a str),
    At(usize),
}

impl<'a> Step<'a> {
    fn key(self) -> Option<&'a str> {
        match self {
            Self::Key(key) => Some(key),
            Self::At(_) => None,
        }
    }
}

/// Visits what a value holds, each with its path.
fn leaves<'a>(value: &'a Value, depth: usize, visit: &mut impl FnMut(&[Step<'a>], &'a Value)) {
    fn walk<'a>(value: &'a Value, depth: usize, path: &mut Vec<Step<'a>>, visit: &mut impl FnMut(&[Step<'a>], &'a Value)) {
        match value {
            _ if depth == 0 => visit(path, value),
            Value::Array(values) => {
                for (number, value) in values.iter().enumerate() {
                    path.push(Step::At(number));
                    walk(value, depth - 1, path, visit);
                    path.pop();
                }
            }
            Value::Object(map) => {
                for (key, value) in map {
                    path.push(Step::Key(key));
                    walk(value, depth - 1, path, visit);
                    path.pop();
                }
            }
            _ => visit(path, value),
        }
    }
    walk(value, depth, &mut Vec::new(), visit);
}
