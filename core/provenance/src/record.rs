//! Records in structured results: ids of a server's own making, and what people call what they are of.

use std::collections::HashMap;
use std::sync::Arc;

use remit_model::{ArgumentRole, Provenance};
use serde_json::{Map, Value};

use crate::flow::scalar;
use crate::index::{ByWord, Found, Index, WORDS_MAX, Words};
use crate::role::{by_name, name_words, nouns, singular};
use crate::word::Hasher;

/// The most records that are remembered.
const RECORDS_MAX: usize = 20_000;
/// How many names of a record are looked at.
const NAMES_MAX: usize = 6;
/// How many values of a record's fields are remembered.
const FIELDS_MAX: usize = 64;
/// A field of more words is prose.
const FIELD_WORDS_MAX: usize = 6;
/// The longest name, in bytes.
const NAME_BYTES_MAX: usize = 200;
/// The shortest name that says which record is meant, in letters and digits.
const NAME_CHARS_MIN: usize = 5;
/// The same of a trusted record: nobody calls it so to be taken for another.
const TRUSTED_NAME_CHARS_MIN: usize = 4;
/// The fewest digits of an amount that a record is called by.
const AMOUNT_DIGITS_MIN: usize = 2;
/// What a record may be called for short, of the beginning of its name: so many words, of so many letters and digits.
const SHORT_WORDS_MIN: usize = 2;
const SHORT_CHARS_MIN: usize = 8;
/// How deep results are read.
const DEPTH_MAX: usize = 16;

/// What people call a record.
#[derive(Debug)]
struct Name {
    /// A title or a name, in words parted at every mark; or an amount, as a word.
    words: Vec<u64>,
    /// Whether it is an amount, such as that of `the 54.90 that I paid`: others may have the same.
    amount: bool,
    /// Whether strangers may have made the record: then only a quoted name, or a whole file's, is meant.
    foreign: bool,
    /// Whether it is a file's whole name, with its end.
    whole: bool,
    /// How many of its words at least are enough to say which record is meant, if no other begins so; `None` if it is too short to be cut.
    short: Option<usize>,
}

/// The user's requests: as they stand there, and parted at every mark, which is how people call things.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Asked<'a> {
    pub(crate) whole: &'a Index,
    pub(crate) loose: &'a Index,
    pub(crate) quoted: &'a Index,
}

impl Name {
    fn is_in(&self, asked: Asked<'_>) -> bool {
        match self {
            Self { amount: true, .. } => is_in(asked.whole, &self.words),
            Self { foreign: true, whole: false, .. } => is_in(asked.quoted, &self.words),
            _ => is_in(asked.loose, &self.words),
        }
    }

    /// As much of its beginning as a request says, if that is enough.
    fn called(&self, asked: Asked<'_>) -> Option<&[u64]> {
        let mut starts = (self.short?..self.words.len()).rev().filter_map(|count| self.words.get(..count));
        starts.find(|start| is_in(asked.loose, start))
    }
}

#[derive(Debug)]
struct Record {
    /// What it is a record of, by hash.
    about: Vec<u64>,
    /// Its id, by hash; 0 if it has none.
    id: u64,
    names: Arc<[Name]>,
    /// Whether a trusted result holds it.
    trusted: bool,
}

/// The records of the results that were read.
#[derive(Debug, Default)]
pub(crate) struct Records {
    all: Vec<Record>,
    by_id: ByWord<Vec<u32>>,
    /// By the hash of the whole value of a field that is no prose.
    by_field: ByWord<Vec<u32>>,
    /// By the hash of a name.
    by_name: ByWord<Vec<u32>>,
    /// The ids of what this session itself has made.
    made: ByWord<Vec<u64>>,
    /// How many words all of it holds.
    words: usize,
    /// Whether there were more: which record is the only one of its name is no longer known.
    full: bool,
}

/// How a result is read.
#[derive(Debug, Clone, Copy)]
pub(crate) struct How {
    /// The call changed something, so what it answers with is what the session has made.
    pub(crate) made: bool,
    /// Nobody but the server wrote it.
    pub(crate) trusted: bool,
    /// Strangers make no records of it.
    pub(crate) owned: bool,
}

/// What a field's key says.
#[derive(Debug, Clone, Copy)]
struct Key {
    /// That it holds the id of a record; of which kind, by hash, 0 if the key doesn't say.
    id: Option<u64>,
    /// That it holds what the record is called.
    names: bool,
    /// What an argument of this name would do.
    role: Option<ArgumentRole>,
}

/// Reads the records of one result.
struct Walk<'a, 'r> {
    records: &'r mut Records,
    hasher: &'r Hasher,
    about: Vec<u64>,
    /// Most records have the same keys.
    keys: HashMap<&'a str, Key>,
    trusted: bool,
    owned: bool,
}

impl<'a> Walk<'a, '_> {
    fn key(&mut self, key: &'a str) -> Key {
        *self.keys.entry(key).or_insert_with(|| {
            let words = name_words(key);
            Key {
                id: id_of(&words).map(|noun| if noun.is_empty() { 0 } else { self.hasher.of(noun) }),
                names: is_name(&words),
                role: by_name(key),
            }
        })
    }

    fn walk(&mut self, value: &'a Value, made: bool, depth: usize) {
        if depth > DEPTH_MAX {
            return;
        }
        match value {
            Value::Array(values) => values.iter().for_each(|value| self.walk(value, made, depth + 1)),
            // Nothing but a wrapper.
            Value::Object(map) if map.len() == 1 && map.values().all(|value| value.is_array() || value.is_object()) => {
                map.values().for_each(|value| self.walk(value, made, depth + 1));
            }
            Value::Object(map) => {
                self.record(map, made);
                // Whatever a call that changes something names in passing isn't what it made.
                map.values().for_each(|value| self.walk(value, false, depth + 1));
            }
            _ => {}
        }
    }

    fn record(&mut self, map: &'a Map<String, Value>, made: bool) {
        let names: Arc<[Name]> = if made { Arc::default() } else { self.names(map).into() };
        let mut last = None;
        // The ids beside its own are of others.
        let ids: Vec<u64> = map.keys().filter_map(|key| self.key(key).id).collect();
        let is_own = |noun: u64| noun == 0 || ids.len() == 1 || !ids.contains(&0);
        for (key, value) in map {
            let Some(noun) = self.key(key).id else { continue };
            let names = if is_own(noun) { Arc::clone(&names) } else { Arc::default() };
            let Some(text) = scalar(value) else { continue };
            let &[id] = self.hasher.words(&text).as_slice() else { continue };
            let about = if noun == 0 { self.about.clone() } else { vec![noun] };
            if made {
                if self.records.takes(1 + about.len()) {
                    self.records.made.entry(id).or_default().extend(&about);
                }
            } else if let Some(number) = self.push(about, id, &names) {
                self.records.by_id.entry(id).or_default().push(number);
                last = if names.is_empty() { last } else { Some(number) };
            }
        }
        if names.is_empty() {
            return;
        }
        let Some(number) = last.or_else(|| self.push(self.about.clone(), 0, &names)) else { return };
        for name in names.iter() {
            if !self.records.takes(1 + name.words.len()) {
                return;
            }
            self.records.by_name.entry(run(&name.words)).or_default().push(number);
        }
        if self.owned {
            self.fields(map, number);
        }
    }

    fn push(&mut self, about: Vec<u64>, id: u64, names: &Arc<[Name]>) -> Option<u32> {
        self.records.push(Record { about, id, names: Arc::clone(names), trusted: self.trusted })
    }

    /// The values of a record that are no prose, and neither its names nor its ids: alone, or in a list.
    fn fields(&mut self, map: &'a Map<String, Value>, number: u32) {
        let mut left = FIELDS_MAX;
        for (key, value) in map {
            let key = self.key(key);
            if key.names || key.id.is_some() || key.role == Some(ArgumentRole::Content) {
                continue;
            }
            for value in value.as_array().map_or(std::slice::from_ref(value), Vec::as_slice) {
                let Some(text) = scalar(value) else { continue };
                if left == 0 {
                    return;
                }
                left -= 1;
                let words = self.hasher.words(&text);
                if (1..=FIELD_WORDS_MAX).contains(&words.len()) && self.records.takes(1) {
                    self.records.by_field.entry(run(&words)).or_default().push(number);
                }
            }
        }
    }

    fn names(&mut self, record: &'a Map<String, Value>) -> Vec<Name> {
        let mut names = Vec::new();
        let least = if self.trusted { TRUSTED_NAME_CHARS_MIN } else { NAME_CHARS_MIN };
        for (key, value) in record {
            let key = self.key(key);
            if names.len() >= NAMES_MAX {
                break;
            }
            match value {
                Value::Number(number) if self.owned && key.role == Some(ArgumentRole::Amount) => {
                    let text = number.to_string();
                    let text = text.strip_suffix(".0").unwrap_or(&text);
                    // A single digit stands in many texts.
                    if text.bytes().filter(u8::is_ascii_digit).count() >= AMOUNT_DIGITS_MIN {
                        let words = self.hasher.words(text);
                        names.push(Name { words, amount: true, foreign: false, whole: false, short: None });
                    }
                }
                Value::String(text) if key.names && text.len() <= NAME_BYTES_MAX => {
                    // What a file is called, with the end of its name and without.
                    let bare = text.rsplit_once('.').filter(|(_, end)| (1..=5).contains(&end.len())).map(|(bare, _)| bare);
                    let all = std::iter::once((text.as_str(), bare.is_some())).chain(bare.map(|bare| (bare, false)));
                    let long = all.filter(|(name, _)| name.chars().filter(|c| c.is_alphanumeric()).count() >= least);
                    let foreign = !self.owned;
                    names.extend(long.map(|(name, whole)| {
                        let short = short(name).filter(|_| !foreign);
                        Name { words: self.hasher.loose(name), amount: false, foreign, whole, short }
                    }));
                }
                _ => {}
            }
        }
        names
    }
}

impl Records {
    /// Takes the records of a result in.
    pub(crate) fn add(&mut self, hasher: &Hasher, tool: &str, result: &Value, how: How) {
        let about: Vec<u64> = nouns(tool).iter().map(|noun| hasher.of(noun)).collect();
        let How { trusted, owned, .. } = how;
        Walk { records: self, hasher, about, keys: HashMap::new(), trusted, owned }.walk(result, how.made, 0);
    }

    /// How many words it holds: what it weighs.
    pub(crate) fn words(&self) -> usize {
        self.words
    }

    /// Makes room for so many words more, if there is any.
    fn takes(&mut self, words: usize) -> bool {
        let takes = self.words.saturating_add(words) <= WORDS_MAX;
        self.words += if takes { words } else { 0 };
        self.full |= !takes;
        takes
    }

    fn push(&mut self, record: Record) -> Option<u32> {
        let number = u32::try_from(self.all.len()).ok().filter(|_| self.all.len() < RECORDS_MAX);
        let Some(number) = number.filter(|_| self.takes(1 + record.about.len())) else {
            self.full = true;
            return None;
        };
        self.all.push(record);
        Some(number)
    }

    fn get(&self, number: u32) -> Option<&Record> {
        self.all.get(usize::try_from(number).ok()?)
    }

    /// What stands behind an id of something of these kinds: a request that names its record, a trusted result, or the session itself,
    /// which has made it.
    pub(crate) fn find(&self, id: u64, about: &[u64], asked: Asked<'_>) -> Option<Provenance> {
        let records = self.by_id.get(&id).into_iter().flatten().filter_map(|number| self.get(*number));
        let records = records.filter(|record| record.about.iter().any(|noun| about.contains(noun)));
        let mut trusted = self.made.get(&id).is_some_and(|nouns| nouns.iter().any(|noun| about.contains(noun)));
        let mut told = Words::default();
        for record in records {
            // Of several that are called so, nobody can tell which is meant.
            let named = |name: &Name| name.is_in(asked) && (record.trusted && !name.amount || self.is_only(record, name));
            if record.names.iter().any(named) || self.is_called(record, asked, &mut told) {
                return Some(Provenance::Request);
            }
            trusted |= record.trusted;
        }
        trusted.then_some(Provenance::Trusted)
    }

    fn namesakes(&self, name: &Name) -> &[u32] {
        self.by_name.get(&run(&name.words)).map(Vec::as_slice).unwrap_or_default()
    }

    /// Whether no other record is called so.
    fn is_only(&self, record: &Record, name: &Name) -> bool {
        let others = self.namesakes(name).iter().filter_map(|number| self.get(*number));
        !self.full && others.into_iter().all(|other| other.id == record.id)
    }

    /// Whether a request calls a record by the beginning of its name, and no other record of this kind begins so.
    fn is_called(&self, record: &Record, asked: Asked<'_>, told: &mut Words) -> bool {
        !self.full
            && record.names.iter().filter_map(|name| name.called(asked)).filter(|start| told.insert(run(start))).any(|start| {
                let others = self.all.iter().filter(|other| other.id != record.id);
                let kin = |other: &&Record| other.about.iter().any(|noun| record.about.contains(noun));
                !others.filter(kin).any(|other| other.names.iter().any(|name| name.words.starts_with(start)))
            })
    }

    /// Whether a value is a field of a record that the request names, and every other record of that name holds it, too.
    pub(crate) fn is_field(&self, value: &[u64], asked: Asked<'_>) -> bool {
        let holders = self.by_field.get(&run(value)).map(Vec::as_slice).unwrap_or_default();
        let mut told = Words::default();
        // Numbers only rise, so that holders are in order; each name is looked at once.
        let mut agree = |name: &Name| {
            told.insert(run(&name.words))
                && name.is_in(asked)
                && self.namesakes(name).iter().all(|other| holders.binary_search(other).is_ok())
        };
        !self.full && holders.iter().filter_map(|number| self.get(*number)).any(|record| record.names.iter().any(&mut agree))
    }
}

fn is_in(request: &Index, words: &[u64]) -> bool {
    matches!(request.find(words), Found::At(_))
}

/// The hash of words in a row.
fn run(words: &[u64]) -> u64 {
    words.iter().fold(words.len() as u64, |hash, word| hash.rotate_left(7).wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ word)
}

/// Whether a key holds the id of a record, such as `id`, `file_id`, `eventId`; and of what; empty if it doesn't say.
fn id_of(key: &[String]) -> Option<&str> {
    let (last, before) = key.split_last()?;
    matches!(last.as_str(), "id" | "uuid" | "guid").then(|| before.last().map(|noun| singular(noun)).unwrap_or_default())
}

/// Whether a key holds what its record is called.
fn is_name(key: &[String]) -> bool {
    const NAMING: &[&str] = &["title", "name", "filename", "subject", "summary", "label"];
    // A display name is its bearer's word: `sender_name` names no record.
    let bare = |word: &str| !matches!(word, "name" | "label" | "summary") || key.len() == 1;
    key.last().is_some_and(|word| NAMING.contains(&word.as_str()) && bare(word))
}

/// How many words of a name are enough to call it by; `None` if all of them aren't.
pub(crate) fn short(name: &str) -> Option<usize> {
    let mut chars = 0;
    let parts = name.split(|c: char| !c.is_alphanumeric()).filter(|part| !part.is_empty());
    parts.map(|part| part.chars().count()).enumerate().find_map(|(number, count)| {
        chars += count;
        (number + 1 >= SHORT_WORDS_MIN && chars >= SHORT_CHARS_MIN).then_some(number + 1)
    })
}
