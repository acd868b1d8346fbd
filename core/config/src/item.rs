//! Typed reading of the tree. Whatever doesn't fit becomes a fault at its place, and the reading goes on.

use std::cell::RefCell;
use std::collections::HashSet;

use remit_model::IdError;

use crate::fault::{Fault, Severity};
use crate::secret::looks_secret;
use crate::suggest::did_you_mean;
use crate::yaml::{At, Entry, Node, Value, cut};

/// The most faults that one run tells.
const FAULTS_MAX: usize = 1000;

/// Where faults go.
#[derive(Debug, Default)]
pub struct Sink(RefCell<Vec<Fault>>);

impl Sink {
    /// Takes a fault.
    pub fn push(&self, fault: Fault) {
        let mut faults = self.0.borrow_mut();
        // What several cases have in common is told once.
        if faults.len() < FAULTS_MAX && !faults.contains(&fault) {
            faults.push(fault);
        }
    }

    /// Takes a fault that refuses the configuration.
    pub fn error(&self, file: &str, at: At, pointer: String, what: String, mend: String) {
        let At { line, column } = at;
        self.push(Fault { severity: Severity::Error, file: file.to_owned(), line, column, pointer, what, mend });
    }

    /// All of them, in the order of the files.
    pub fn into_faults(self) -> Vec<Fault> {
        let mut faults = self.0.into_inner();
        faults.sort_by(|a, b| a.order().cmp(&b.order()));
        faults.dedup();
        faults
    }
}

/// Adds a part to a JSON pointer.
pub fn push(pointer: &mut String, part: &str) {
    pointer.push('/');
    let part = if looks_secret(part) { "(secret)" } else { part };
    pointer.push_str(&cut(part).replace('~', "~0").replace('/', "~1"));
}

/// A text as a message may show it: never one that looks like a secret.
pub fn shown(text: &str) -> String {
    if looks_secret(text) { "(a text that looks like a secret)".to_owned() } else { format!("`{}`", cut(text)) }
}

/// A value with its place.
#[derive(Debug, Clone)]
pub struct Item<'a> {
    /// Where its faults go.
    pub sink: &'a Sink,
    /// The file that it stands in.
    pub file: &'a str,
    /// The value.
    pub node: &'a Node,
    /// Where in the document: a JSON pointer (RFC 6901).
    pub pointer: String,
}

impl<'a> Item<'a> {
    /// Tells that this is wrong.
    pub fn error(&self, what: impl Into<String>, mend: impl Into<String>) {
        self.sink.error(self.file, self.node.at, self.pointer.clone(), what.into(), mend.into());
    }

    /// Tells that this is probably not meant.
    pub fn warn(&self, what: impl Into<String>, mend: impl Into<String>) {
        let At { line, column } = self.node.at;
        let (file, pointer) = (self.file.to_owned(), self.pointer.clone());
        self.sink.push(Fault { severity: Severity::Warning, file, line, column, pointer, what: what.into(), mend: mend.into() });
    }

    /// `file:line`.
    pub fn origin(&self) -> String {
        format!("{}:{}", self.file, self.node.at.line)
    }

    fn inner(&self, part: &str, node: &'a Node) -> Self {
        let mut pointer = self.pointer.clone();
        push(&mut pointer, part);
        Self { sink: self.sink, file: self.file, node, pointer }
    }

    fn unfit(&self, expected: &str) {
        let found = match &self.node.value {
            Value::Null => "nothing",
            Value::Bool(_) => "true or false",
            Value::Number(_) => "a number",
            Value::Text(_) => "a text",
            Value::List(_) => "a list",
            Value::Map(_) => "a mapping",
            Value::Broken => return,
        };
        let quotes = expected.starts_with("a text") && matches!(self.node.value, Value::Number(_) | Value::Bool(_));
        let mend = match expected {
            _ if quotes => "put it in quotes".to_owned(),
            _ if expected.starts_with("a mapping") => "write `{ key: value, … }`, or lines of `key: value`".to_owned(),
            _ if expected.starts_with("a list") => "write `[…, …]`, or lines that begin with `- `".to_owned(),
            _ => format!("write {expected}"),
        };
        self.error(format!("{expected} is expected here, and this is {found}"), mend);
    }

    /// A mapping with keys of this list only.
    pub fn object(&self, noun: &'static str, keys: &'static [&'static str]) -> Option<Object<'a>> {
        let entries = self.entries(&format!("a mapping ({noun})"))?;
        for entry in entries.iter().filter(|entry| !keys.contains(&entry.key.as_str())) {
            let what = format!("{noun} has no key {}{}", shown(&entry.key), did_you_mean(&entry.key, keys.iter().copied()));
            let mut pointer = self.pointer.clone();
            push(&mut pointer, &entry.key);
            self.sink.error(self.file, entry.at, pointer, what, format!("its keys are {}", keys.join(", ")));
        }
        Some(Object { item: self.clone(), noun, entries })
    }

    fn entries(&self, expected: &str) -> Option<&'a [Entry]> {
        if let Value::Map(entries) = &self.node.value {
            Some(entries)
        } else {
            self.unfit(expected);
            None
        }
    }

    /// A mapping with keys of its own: each key with its item; the first item stands for the key's place.
    pub fn pairs(&self, expected: &str) -> Vec<(&'a str, Self)> {
        let entries = self.entries(expected).unwrap_or_default();
        entries.iter().map(|entry| (entry.key.as_str(), self.inner(&entry.key, &entry.value))).collect()
    }

    /// The members of a list.
    pub fn list(&self, of: &str) -> Vec<Self> {
        if let Value::List(nodes) = &self.node.value {
            nodes.iter().enumerate().map(|(n, node)| self.inner(&n.to_string(), node)).collect()
        } else {
            self.unfit(&format!("a list of {of}"));
            Vec::new()
        }
    }

    /// A text that isn't empty.
    pub fn text(&self) -> Option<&'a str> {
        match &self.node.value {
            Value::Text(text) if text.trim().is_empty() => {
                self.error("the text is empty", "write something, or leave the key out");
                None
            }
            Value::Text(text) if text.contains('\0') || text.len() > 64 * 1024 => {
                self.error("the text is longer than 64 KiB or holds a NUL character", "shorten it");
                None
            }
            Value::Text(text) => Some(text),
            _ => {
                self.unfit("a text");
                None
            }
        }
    }

    /// The text, if it is one; no fault if it isn't.
    pub fn as_text(&self) -> Option<&'a str> {
        match &self.node.value {
            Value::Text(text) => Some(text),
            _ => None,
        }
    }

    /// Texts, each with its place, none of them twice.
    pub fn texts(&self, of: &str) -> Vec<(&'a str, Self)> {
        let mut texts: Vec<(&'a str, Self)> = Vec::new();
        let mut seen: HashSet<&str> = HashSet::new();
        for item in self.list(of) {
            let Some(text) = item.text() else { continue };
            if seen.insert(text) {
                texts.push((text, item));
            } else {
                item.error(format!("{} stands twice in this list", shown(text)), "keep one");
            }
        }
        texts
    }

    /// True or false.
    pub fn flag(&self) -> Option<bool> {
        if let Value::Bool(flag) = &self.node.value {
            Some(*flag)
        } else {
            self.unfit("true or false");
            None
        }
    }

    /// A whole number from 1 to `max`.
    pub fn count(&self, max: u64) -> Option<u64> {
        self.whole(1, max)
    }

    /// A whole number from `min` to `max`.
    pub fn whole(&self, min: u64, max: u64) -> Option<u64> {
        let Value::Number(text) = &self.node.value else {
            self.unfit("a whole number");
            return None;
        };
        let count = text.parse::<u64>().ok().filter(|count| (min..=max).contains(count));
        if count.is_none() {
            self.error(format!("`{}` is not a whole number from {min} to {max}", cut(text)), "write one, or leave the key out");
        }
        count
    }

    /// One of a few words.
    pub fn choice<T: Copy>(&self, words: &[(&'static str, T)]) -> Option<T> {
        let text = self.text()?;
        let found = words.iter().find(|(word, _)| *word == text).map(|(_, value)| *value);
        if found.is_none() {
            let known: Vec<&str> = words.iter().map(|(word, _)| *word).collect();
            let what = format!("{} is none of the words for this{}", shown(text), did_you_mean(text, known.iter().copied()));
            self.error(what, format!("write one of {}", known.join(", ")));
        }
        found
    }

    /// An identifier.
    pub fn id<T>(&self, make: fn(&str) -> Result<T, IdError>) -> Option<T> {
        if let Value::Number(_) = self.node.value {
            self.unfit("a text");
            return None;
        }
        let text = self.text()?;
        match make(text) {
            Ok(id) => Some(id),
            Err(error) => {
                self.error(format!("{} is not {}: {}", shown(text), error.kind, error.rule), "correct it");
                None
            }
        }
    }
}

/// A mapping whose keys are known.
#[derive(Debug, Clone)]
pub struct Object<'a> {
    /// The mapping itself.
    pub item: Item<'a>,
    noun: &'static str,
    entries: &'a [Entry],
}

impl<'a> Object<'a> {
    /// The value of a key; an empty one is absent.
    pub fn get(&self, key: &str) -> Option<Item<'a>> {
        let entry = self.entries.iter().find(|entry| entry.key == key)?;
        (!matches!(entry.value.value, Value::Null)).then(|| self.item.inner(key, &entry.value))
    }

    /// Whether a key is there.
    pub fn has(&self, key: &str) -> bool {
        self.get(key).is_some()
    }

    /// The value of a key that has to be there.
    pub fn need(&self, key: &str) -> Option<Item<'a>> {
        let found = self.get(key);
        if found.is_none() {
            self.item.error(format!("{} needs `{key}`", self.noun), format!("add `{key}: …`"));
        }
        found
    }

    /// The keys of this list that are there.
    pub fn present(&self, keys: &[&'static str]) -> Vec<&'static str> {
        keys.iter().copied().filter(|key| self.has(key)).collect()
    }
}
