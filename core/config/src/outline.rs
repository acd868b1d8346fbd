//! What two configurations say differently, noun by noun and field by field, each with its place: for people who review a change.
//!
//! The texts are compared as trees, so that a noun that moves to another file or another line hasn't changed, and what is said of it is said
//! in the words of the file. A document that a noun names (`{ file: … }`, `jwks_file`) is part of the noun.

use std::cell::OnceCell;
use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;

use remit_mcp::canonical::{hex, sha256};
use serde::{Deserialize, Serialize};

use crate::item::{Sink, shown};
use crate::yaml::{self, Node, Parsed, Value, parse};
use crate::{SourceFile, draft, path};

/// The most values of a list, or lines of a text, that are shown.
const LINES_MAX: usize = 200;
/// The longest value that is shown, in characters.
const VALUE_CHARS_MAX: usize = 240;
/// How deep files are looked into that are named: a noun names documents, and documents name none.
const FILES_DEEP_MAX: usize = 1;

/// What happened to something.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Verb {
    /// It is new.
    Added,
    /// It is gone.
    Removed,
    /// It is there before and after, and says something else.
    Changed,
}

/// A noun that is not what it was.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Change {
    /// What happened to it.
    pub verb: Verb,
    /// What it is: `agent`, `space`, `role`, `tool policy`, …
    pub noun: String,
    /// Which one, such as `444455556666/helpdesk`; empty for what there is one of.
    pub name: String,
    /// Where it stands, or stood: `file:line`.
    pub at: String,
    /// What differs in it; for an added or removed noun everything that it says.
    pub fields: Vec<FieldChange>,
}

/// A field that is not what it was.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FieldChange {
    /// Where in the noun: `servers[helpdesk].tools`.
    pub field: String,
    /// Where it stands, or stood.
    pub at: String,
    /// What it was; of a list, the members that are gone. Empty: nothing.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub before: Vec<String>,
    /// What it is; of a list, the members that are new.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub after: Vec<String>,
    /// Whether it is a list: then `before` and `after` are what it lost and gained.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub list: bool,
}

/// Every noun that differs between two sets of files, by noun and name. Files that can't be read to their end are compared as far as they
/// can.
pub fn changes(before: &[SourceFile], after: &[SourceFile]) -> Vec<Change> {
    let (before, after) = Files::of_both(before, after);
    // A file that is the same, and so is everything that it names, says the same.
    let same = |path: &str| match (before.all.get(path), after.all.get(path)) {
        (Some(before), Some(after)) => before.text == after.text,
        (None, None) => true,
        _ => false,
    };
    let (mut old, new) = (outline(&before, &same), outline(&after, &same));
    let mut changes = Vec::new();
    for (key, entry) in new {
        let (verb, fields) = match old.remove(&key) {
            None => (Verb::Added, differing(&BTreeMap::new(), &entry.fields)),
            Some(was) if was.fields == entry.fields => continue,
            Some(was) => (Verb::Changed, differing(&was.fields, &entry.fields)),
        };
        if verb == Verb::Changed && fields.is_empty() {
            continue;
        }
        changes.push(Change { verb, noun: key.0, name: key.1, at: entry.at, fields });
    }
    let removed = old.into_iter().map(|((noun, name), entry)| Change {
        verb: Verb::Removed,
        noun,
        name,
        at: entry.at,
        fields: differing(&entry.fields, &BTreeMap::new()),
    });
    changes.extend(removed);
    changes.sort_by(|a, b| (&a.noun, &a.name, a.verb).cmp(&(&b.noun, &b.name, b.verb)));
    changes
}

type Fields = BTreeMap<String, Field>;

/// One noun of a configuration.
struct Entry {
    at: String,
    fields: Fields,
}

/// One field of a noun, down to where there are no further fields.
struct Field {
    at: String,
    values: Vec<String>,
    list: bool,
}

impl PartialEq for Field {
    fn eq(&self, other: &Self) -> bool {
        self.list == other.list && self.values == other.values
    }
}

fn differing(before: &Fields, after: &Fields) -> Vec<FieldChange> {
    let mut changed = Vec::new();
    let names: BTreeSet<&String> = before.keys().chain(after.keys()).collect();
    for name in names {
        let (was, is) = (before.get(name), after.get(name));
        if was == is {
            continue;
        }
        let list = was.or(is).is_some_and(|field| field.list) && is.or(was).is_some_and(|field| field.list);
        let values = |field: Option<&Field>| field.map(|field| field.values.clone()).unwrap_or_default();
        let (mut gone, mut gained) = (values(was), values(is));
        if list {
            (gone, gained) = lost_and_gained(&gone, &gained);
        }
        let at = is.or(was).map(|field| field.at.clone()).unwrap_or_default();
        changed.push(FieldChange { field: name.clone(), at, before: told(&gone), after: told(&gained), list });
    }
    changed
}

/// What a list lost and what it gained, each as often as it did. Where only the order differs, which says something (the first of two equal
/// names counts), the part that was turned round.
fn lost_and_gained(before: &[String], after: &[String]) -> (Vec<String>, Vec<String>) {
    let without = |all: &[String], other: &[String]| {
        let mut left: BTreeMap<&str, usize> = BTreeMap::new();
        for value in other {
            *left.entry(value).or_default() += 1;
        }
        let mut rest = all.to_vec();
        rest.retain(|value| match left.get_mut(value.as_str()) {
            Some(count) if *count > 0 => {
                *count -= 1;
                false
            }
            _ => true,
        });
        rest
    };
    let (gone, gained) = (without(before, after), without(after, before));
    if !gone.is_empty() || !gained.is_empty() {
        return (gone, gained);
    }
    let same = |pairs: &mut dyn Iterator<Item = (&String, &String)>| pairs.take_while(|(a, b)| a == b).count();
    let first = same(&mut before.iter().zip(after));
    let last = before.len().saturating_sub(same(&mut before.iter().rev().zip(after.iter().rev())));
    let part = |all: &[String]| all.get(first..last).unwrap_or_default().to_vec();
    (part(before), part(after))
}

/// Values as a review may show them.
fn told(values: &[String]) -> Vec<String> {
    let mut told: Vec<String> = values.iter().take(LINES_MAX).map(|text| value(text)).collect();
    if let Some(more) = values.len().checked_sub(LINES_MAX).filter(|more| *more > 0) {
        told.push(format!("… and {more} more"));
    }
    told
}

/// What a file says of one noun, for the history of it: its place, and each of its fields.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Said {
    /// Where it stands: `file:line`.
    pub at: String,
    /// Its fields in their order, each with its values.
    pub fields: Vec<(String, Vec<String>)>,
}

/// What the document of one file says of the nouns of one kind, such as `tool policy`, by name; several of one name as often as they stand
/// there.
pub fn said(file: &SourceFile, noun: &str) -> BTreeMap<String, Vec<Said>> {
    let mut found: BTreeMap<String, Vec<Said>> = BTreeMap::new();
    for ((_, name), entry) in
        outline(&Files::of(std::slice::from_ref(file)), &|_| false).into_iter().filter(|((kind, _), _)| kind == noun)
    {
        let fields = entry.fields.into_iter().map(|(field, said)| (field, told(&said.values))).collect();
        let own = name.rsplit_once(" (").filter(|(_, count)| count.strip_suffix(')').is_some_and(|n| n.parse::<usize>().is_ok()));
        let name = own.map_or(name.as_str(), |(name, _)| name).to_owned();
        found.entry(name).or_default().push(Said { at: entry.at, fields });
    }
    found
}

/// The files of one side, each parsed at most once, for both sides if it is the same on both.
struct Files<'a> {
    all: BTreeMap<&'a str, File<'a>>,
}

struct File<'a> {
    text: &'a str,
    parsed: Rc<OnceCell<Parsed>>,
}

impl<'a> Files<'a> {
    fn of(files: &'a [SourceFile]) -> Self {
        let file = |file: &'a SourceFile| (file.path.as_str(), File { text: &file.text, parsed: Rc::default() });
        Self { all: files.iter().map(file).collect() }
    }

    fn of_both(before: &'a [SourceFile], after: &'a [SourceFile]) -> (Self, Self) {
        let (before, mut after) = (Self::of(before), Self::of(after));
        for (path, file) in &mut after.all {
            if let Some(same) = before.all.get(path).filter(|old| old.text == file.text) {
                file.parsed = Rc::clone(&same.parsed);
            }
        }
        (before, after)
    }

    /// What a file says, if its form is one that is read here.
    fn parsed(&self, path: &str) -> Option<(&'a str, &Parsed)> {
        let (path, file) = self.all.get_key_value(path)?;
        let read = path::is_configuration(path) || path::is_key_set(path);
        read.then(|| (*path, file.parsed.get_or_init(|| parse(path, file.text, &Sink::default()))))
    }

    /// Whether a file is the same, and every file that it names, and so on.
    fn all_same(&self, path: &str, same: &dyn Fn(&str) -> bool, deep: usize) -> bool {
        let mut named = BTreeSet::new();
        if let Some((path, parsed)) = self.parsed(path) {
            parsed.documents.iter().for_each(|document| references(path, document, &mut named));
        }
        same(path) && (deep == FILES_DEEP_MAX || named.iter().all(|named| self.all_same(named, same, deep + 1)))
    }
}

/// The files that a node names, wherever it does: what [`Reader`] reads as part of it.
fn references(file: &str, node: &Node, named: &mut BTreeSet<String>) {
    match &node.value {
        Value::List(nodes) => nodes.iter().for_each(|node| references(file, node, named)),
        Value::Map(entries) => {
            for entry in entries {
                named.extend(reference(file, entry));
                references(file, &entry.value, named);
            }
        }
        _ => {}
    }
}

/// The file that an entry names, if it names one.
fn reference(file: &str, entry: &yaml::Entry) -> Option<String> {
    let Value::Text(text) = &entry.value.value else { return None };
    if entry.key == "file" || entry.key.ends_with("_file") { path::resolve(file, text) } else { None }
}

/// Every noun of a configuration, by noun and name; without those of files that are the `same` as everything that they name.
fn outline(files: &Files<'_>, same: &dyn Fn(&str) -> bool) -> BTreeMap<(String, String), Entry> {
    let mut named = BTreeSet::new();
    let mut documents: Vec<(&str, &Node)> = Vec::new();
    for (path, parsed) in files.all.keys().filter(|path| path::is_configuration(path)).filter_map(|path| files.parsed(path)) {
        let mut own = BTreeSet::new();
        parsed.documents.iter().for_each(|document| draft::named_files(path, document, &mut own));
        if !files.all_same(path, same, 0) {
            documents.extend(parsed.documents.iter().map(|document| (path, document)));
        }
        named.append(&mut own);
    }
    documents.retain(|(path, _)| !named.contains(*path));
    let mut entries = BTreeMap::new();
    let (mut unnamed, mut seen): (BTreeMap<String, usize>, BTreeMap<(String, String), usize>) = Default::default();
    for (file, document) in documents {
        let Value::Map(top) = &document.value else { continue };
        for entry in top.iter().filter(|entry| entry.key != "$schema") {
            let noun = singular(&entry.key);
            let mut add = |name: String, node: &Node| {
                let reader = Reader { files };
                let mut fields = Fields::new();
                reader.fields(file, node, "", 0, &mut fields);
                // Two of one name are refused when a configuration is read; here each is told.
                let count = seen.entry((noun.clone(), name.clone())).or_insert(0_usize);
                *count += 1;
                let name = if *count == 1 { name } else { format!("{name} ({count})") };
                let key = (noun.clone(), name);
                entries.insert(key, Entry { at: format!("{file}:{}", node.at.line), fields });
            };
            match &entry.value.value {
                Value::List(nodes) => {
                    for node in nodes {
                        let name = name_of(node).unwrap_or_else(|| {
                            let count = unnamed.entry(noun.clone()).or_default();
                            *count += 1;
                            format!("number {count}")
                        });
                        add(name, node);
                    }
                }
                Value::Null => {}
                _ => add(String::new(), &entry.value),
            }
        }
    }
    entries
}

/// The word for one of a list's members.
fn singular(key: &str) -> String {
    let word = match key.strip_suffix("ies") {
        Some(stem) => format!("{stem}y"),
        None => key.strip_suffix('s').unwrap_or(key).to_owned(),
    };
    word.replace('_', " ")
}

/// What tells a member of a list from the others.
fn name_of(node: &Node) -> Option<String> {
    let text = |key: &str| node.get(key).and_then(scalar);
    let own = text("id").or_else(|| text("name"));
    match (own, text("account")) {
        (Some(own), Some(account)) if node.get("name").is_some() => Some(format!("{account}/{own}")),
        (Some(own), _) => Some(own),
        (None, _) => match (text("agent"), text("tool")) {
            (Some(agent), Some(tool)) => Some(format!("{agent} → {tool}")),
            _ => ["server", "Sid", "kid", "claim", "file"].iter().find_map(|key| text(key)),
        },
    }
}

fn scalar(node: &Node) -> Option<String> {
    match &node.value {
        Value::Text(text) => Some(text.clone()),
        Value::Number(text) => Some(text.clone()),
        Value::Bool(flag) => Some(flag.to_string()),
        _ => None,
    }
}

/// A value as a review may show it: never one that looks like a secret, never longer than a line or two.
fn value(text: &str) -> String {
    let safe = shown(text);
    if !safe.starts_with('`') {
        return safe;
    }
    let plain: String = text.chars().map(|c| if c.is_control() { ' ' } else { c }).take(VALUE_CHARS_MAX + 1).collect();
    match plain.char_indices().nth(VALUE_CHARS_MAX) {
        // Two that differ further on don't look the same.
        Some((end, _)) => {
            let digest = hex(&sha256(text.as_bytes()));
            format!("{}… (sha256 {})", plain.get(..end).unwrap_or_default(), digest.get(..12).unwrap_or_default())
        }
        None => plain,
    }
}

struct Reader<'a> {
    files: &'a Files<'a>,
}

impl Reader<'_> {
    fn fields(&self, file: &str, node: &Node, prefix: &str, deep: usize, into: &mut Fields) {
        let mut leaf = |values: Vec<String>, list: bool| {
            into.insert(prefix.to_owned(), Field { at: format!("{file}:{}", node.at.line), values, list });
        };
        match &node.value {
            Value::Null | Value::Broken => {}
            Value::List(nodes) if nodes.iter().all(|node| scalar(node).is_some()) => {
                leaf(nodes.iter().filter_map(scalar).collect(), true);
            }
            Value::List(nodes) => {
                for (n, node) in nodes.iter().enumerate() {
                    let name = name_of(node).unwrap_or_else(|| n.to_string());
                    let inner = format!("{prefix}[{}]", value(&name));
                    // Of two equal names the second goes by its number.
                    let taken = into.range(inner.clone()..).next().is_some_and(|(key, _)| key.starts_with(&inner));
                    let inner = if taken { format!("{prefix}[{} {n}]", value(&name)) } else { inner };
                    self.fields(file, node, &inner, deep, into);
                }
            }
            Value::Map(entries) if entries.is_empty() => leaf(vec!["{}".to_owned()], false),
            Value::Map(entries) => {
                for entry in entries {
                    let inner = if prefix.is_empty() { entry.key.clone() } else { format!("{prefix}.{}", entry.key) };
                    self.fields(file, &entry.value, &inner, deep, into);
                    if let Some(path) = reference(file, entry).filter(|_| deep < FILES_DEEP_MAX) {
                        self.document(&path, if entry.key == "file" { prefix } else { &inner }, deep + 1, into);
                    }
                }
            }
            Value::Text(text) if text.trim_end().contains('\n') => leaf(text.lines().map(str::to_owned).collect(), true),
            _ => leaf(scalar(node).into_iter().collect(), false),
        }
    }

    /// What a named file says: as part of the noun that names it.
    fn document(&self, path: &str, prefix: &str, deep: usize, into: &mut Fields) {
        let Some((path, file)) = self.files.all.get_key_value(path) else { return };
        let (path, text) = (*path, file.text);
        let parsed = self.files.parsed(path).filter(|(.., parsed)| parsed.complete);
        if let Some(node) = parsed.and_then(|(.., parsed)| parsed.documents.first()) {
            return self.fields(path, node, prefix, deep, into);
        }
        let lines = text.lines().map(str::to_owned).collect();
        into.insert(format!("{prefix}.text"), Field { at: format!("{path}:1"), values: lines, list: true });
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::indexing_slicing, clippy::panic, reason = "a test that can't go on fails")]

    use super::*;

    fn file(path: &str, text: &str) -> SourceFile {
        SourceFile { path: path.to_owned(), text: text.to_owned() }
    }

    #[test]
    fn what_moves_has_not_changed() {
        let one = [file("a.yaml", "agents:\n  - { id: agent-1, owner: x }\nservers:\n  - { name: s, url: u }\n")];
        let other = [
            file("b.yaml", "\n\nservers:\n  - name: s\n    url: u\n"),
            file("c.yaml", "agents:\n  - { owner: x, id: agent-1 }\n"),
        ];
        assert_eq!(changes(&one, &other), []);
    }

    #[test]
    fn fields_are_told_with_their_places() {
        let one = [
            file(
                "a.yaml",
                "spaces:\n  - id: s\n    agents: [a, b]\n    servers:\n      - { server: x, tools: [t] }\nroles:\n  - { name: r, account: \"1\", trust_policy: { file: t.json } }\n",
            ),
            file("t.json", "{\"Statement\":[{\"Sid\":\"A\",\"Effect\":\"Deny\"}]}"),
        ];
        let mut other = one.clone();
        other[0].text = other[0].text.replace("[a, b]", "[b, c]").replace("[t]", "all");
        other[1].text = "{\"Statement\":[\n{\"Sid\":\"A\",\n\"Effect\":\"Allow\"}]}".to_owned();
        let told = changes(&one, &other);
        assert_eq!(told.len(), 2, "{told:?}");
        let role = &told[0];
        assert_eq!((role.noun.as_str(), role.name.as_str()), ("role", "1/r"));
        assert_eq!(role.fields[0].field, "trust_policy.Statement[A].Effect");
        assert_eq!((role.fields[0].before[0].as_str(), role.fields[0].after[0].as_str()), ("Deny", "Allow"));
        assert_eq!(role.fields[0].at, "t.json:3");
        let space = &told[1];
        assert_eq!(
            (space.fields[0].before.as_slice(), space.fields[0].after.as_slice()),
            (&["a".to_owned()][..], &["c".to_owned()][..])
        );
        assert!(space.fields[0].list && space.fields[0].at == "a.yaml:3");
        assert_eq!(space.fields[1].field, "servers[x].tools");
        // A file of another form than is read here is compared line by line, and is part of the noun that names it.
        let policy = |text: &str| {
            let space = "spaces:\n  - id: s\n    policy_set: { policies: [{ file: p/a.cedar }] }\n";
            [file("a.yaml", space), file("p/a.cedar", text)]
        };
        let told = changes(&policy("permit (\n  principal\n);\n"), &policy("permit (\n  principal,\n  action\n);\n"));
        let [space] = told.as_slice() else { panic!("{told:?}") };
        assert_eq!((space.name.as_str(), space.fields[0].field.as_str()), ("s", "policy_set.policies[p/a.cedar].text"));
        assert_eq!(
            (space.fields[0].before.join("|"), space.fields[0].after.join("|")),
            ("  principal".to_owned(), "  principal,|  action".to_owned())
        );
        let long = |end: char| [file("a.yaml", &format!("agents:\n  - {{ id: a, owner: {}{end} }}\n", "x".repeat(300)))];
        let told = changes(&long('1'), &long('2'));
        assert_ne!(told[0].fields[0].before, told[0].fields[0].after, "what differs looks different");
        let text = |lines: &str| [file("a.yaml", &format!("roles:\n  - name: r\n    text: |\n{lines}"))];
        let told = changes(&text("      a\n      b\n      a\n"), &text("      a\n      c\n      a\n      a\n"));
        let field = &told[0].fields[0];
        assert_eq!((field.before.join(" "), field.after.join(" ")), ("b".to_owned(), "c a".to_owned()), "line by line");
        let told = changes(&text("      a\n      b\n      c\n"), &text("      a\n      c\n      b\n"));
        assert_eq!(told[0].fields[0].after, ["c", "b"], "the order says something");
        let gone = changes(&one, &[]);
        assert!(gone.len() == 2 && gone.iter().all(|change| change.verb == Verb::Removed));
    }
}
