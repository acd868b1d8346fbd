//! Records in structured results: ids of a server's own making, and what people call what they are of.

use remit_model::Provenance;
use serde_json::Value;

use crate::index::{ByWord, Found, Index};
use crate::role::{name_words, nouns, singular};
use crate::word::Hasher;

/// The most records that are remembered.
const RECORDS_MAX: usize = 20_000;
/// How many names of a record are looked at.
const NAMES_MAX: usize = 4;
/// The longest name, in bytes.
const NAME_BYTES_MAX: usize = 200;
/// The shortest name that says which record is meant, in letters and digits.
const NAME_CHARS_MIN: usize = 5;
/// How deep results are read.
const DEPTH_MAX: usize = 16;

#[derive(Debug)]
struct Record {
    /// What it is a record of, by hash.
    about: Vec<u64>,
    /// What it is called, in words parted at every mark.
    names: Vec<Vec<u64>>,
    /// Whether a trusted result holds it.
    trusted: bool,
}

/// The records of the results that were read.
#[derive(Debug, Default)]
pub(crate) struct Records {
    all: Vec<Record>,
    by_id: ByWord<Vec<u32>>,
    /// The ids of what this session itself has made.
    made: ByWord<Vec<u64>>,
}

impl Records {
    /// Takes the records of a result in. `made`: the call changed something, so what it answers with is what the session has made.
    pub(crate) fn add(&mut self, hasher: &Hasher, tool: &str, result: &Value, made: bool, trusted: bool) {
        let about: Vec<u64> = nouns(tool).iter().map(|noun| hasher.of(noun)).collect();
        self.walk(hasher, &about, result, (made, trusted), 0);
    }

    fn walk(&mut self, hasher: &Hasher, about: &[u64], value: &Value, (made, trusted): (bool, bool), depth: usize) {
        if depth > DEPTH_MAX || self.all.len() >= RECORDS_MAX {
            return;
        }
        match value {
            Value::Array(values) => values.iter().for_each(|value| self.walk(hasher, about, value, (made, trusted), depth + 1)),
            // Nothing but a wrapper.
            Value::Object(map) if map.len() == 1 && map.values().all(|value| value.is_array() || value.is_object()) => {
                map.values().for_each(|value| self.walk(hasher, about, value, (made, trusted), depth + 1));
            }
            Value::Object(map) => {
                for (key, value) in map {
                    if let Some(named) = id_of(key)
                        && let Some(text) = scalar(value)
                        && let [id] = hasher.words(&text).as_slice()
                    {
                        let about = if named.is_empty() { about.to_vec() } else { vec![hasher.of(&named)] };
                        if made {
                            self.made.entry(*id).or_default().extend(&about);
                        } else {
                            let names = names(hasher, map);
                            if let Ok(number) = u32::try_from(self.all.len()) {
                                self.by_id.entry(*id).or_default().push(number);
                                self.all.push(Record { about, names, trusted });
                            }
                        }
                    }
                    // Whatever a call that changes something names in passing isn't what it made.
                    self.walk(hasher, about, value, (false, trusted), depth + 1);
                }
            }
            _ => {}
        }
    }

    /// What stands behind an id of something of these kinds: a request that names its record, a trusted result, or the session itself,
    /// which has made it.
    pub(crate) fn find(&self, id: u64, about: &[u64], request: &Index) -> Option<Provenance> {
        let records = self.by_id.get(&id).into_iter().flatten().filter_map(|number| self.all.get(usize::try_from(*number).ok()?));
        let records = records.filter(|record| record.about.iter().any(|noun| about.contains(noun)));
        let mut trusted = self.made.get(&id).is_some_and(|nouns| nouns.iter().any(|noun| about.contains(noun)));
        for record in records {
            if record.names.iter().any(|name| matches!(request.find(name), Found::At(_))) {
                return Some(Provenance::Request);
            }
            trusted |= record.trusted;
        }
        trusted.then_some(Provenance::Trusted)
    }
}

/// Whether a key holds the id of a record, such as `id`, `file_id`, `eventId`; and of what, as far as it says so.
fn id_of(key: &str) -> Option<String> {
    let words = name_words(key);
    let (last, before) = words.split_last()?;
    matches!(last.as_str(), "id" | "uuid" | "guid")
        .then(|| before.last().map(|noun| singular(noun).to_owned()).unwrap_or_default())
}

fn scalar(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        _ => None,
    }
}

fn names(hasher: &Hasher, record: &serde_json::Map<String, Value>) -> Vec<Vec<u64>> {
    const NAMING: &[&str] = &["title", "name", "filename", "subject", "summary", "label"];
    let mut names = Vec::new();
    for (key, value) in record {
        let naming = name_words(key).last().is_some_and(|word| NAMING.contains(&word.as_str()));
        let Some(text) = value.as_str().filter(|text| naming && text.len() <= NAME_BYTES_MAX) else { continue };
        // What a file is called, with the end of its name and without.
        let bare = text.rsplit_once('.').filter(|(_, end)| (1..=5).contains(&end.len())).map(|(bare, _)| bare);
        for name in std::iter::once(text).chain(bare) {
            if name.chars().filter(|c| c.is_alphanumeric()).count() >= NAME_CHARS_MIN && names.len() < NAMES_MAX {
                names.push(hasher.loose(name));
            }
        }
    }
    names
}
