//! Text to a tree in which every node knows its place.
//!
//! YAML 1.2 with the core schema, and so JSON, less what lets two readers see different things or a small text grow large:
//! duplicate keys at any level, anchors, aliases and tags are refused, and size, depth and count are bounded.

use std::collections::HashSet;

use saphyr_parser::{Event, Marker, Parser, ScalarStyle, Span};

use crate::item::Sink;

/// The largest file, in bytes.
pub const FILE_BYTES_MAX: usize = 1024 * 1024;
/// The deepest nesting.
const DEPTH_MAX: usize = 32;
/// The most nodes of one file.
const NODES_MAX: usize = 100_000;

/// A place in a text.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct At {
    /// From 1.
    pub line: usize,
    /// From 1, in characters.
    pub column: usize,
}

impl At {
    /// The start of a file.
    pub const START: Self = Self { line: 1, column: 1 };

    fn of(mark: Marker) -> Self {
        Self { line: mark.line().max(1), column: mark.col() + 1 }
    }
}

/// A value and where it stands.
#[derive(Debug)]
pub struct Node {
    /// Where it begins.
    pub at: At,
    /// What it is.
    pub value: Value,
}

/// A value.
#[derive(Debug)]
pub enum Value {
    /// Nothing: empty, `~` or `null`.
    Null,
    /// True or false.
    Bool(bool),
    /// A number as it was written.
    Number(String),
    /// A text.
    Text(String),
    /// A list.
    List(Vec<Node>),
    /// A mapping, in its order; no key stands twice.
    Map(Vec<Entry>),
    /// Something that a fault was already told of.
    Broken,
}

/// A key and its value.
#[derive(Debug)]
pub struct Entry {
    /// Where the key begins.
    pub at: At,
    /// The key.
    pub key: String,
    /// The value.
    pub value: Node,
}

impl Node {
    /// The value of a key, if this is a mapping that has it.
    pub fn get(&self, key: &str) -> Option<&Self> {
        match &self.value {
            Value::Map(entries) => entries.iter().find(|entry| entry.key == key).map(|entry| &entry.value),
            _ => None,
        }
    }

    /// The nodes of a list; nothing if it is none.
    pub fn nodes(&self) -> &[Self] {
        match &self.value {
            Value::List(nodes) => nodes,
            _ => &[],
        }
    }
}

/// A file's documents.
#[derive(Debug)]
pub struct Parsed {
    /// Its documents, in order.
    pub documents: Vec<Node>,
    /// Whether the text was read to its end.
    pub complete: bool,
}

/// Reads all documents of a file.
pub fn parse(file: &str, text: &str, sink: &Sink) -> Parsed {
    let mut builder = Builder { file, sink, frames: Vec::new(), documents: Vec::new(), nodes: 0 };
    if text.len() > FILE_BYTES_MAX {
        let what = format!("the file is larger than {} KiB", FILE_BYTES_MAX / 1024);
        builder.fault(At::START, what, "split it: all files of the directory are read together".into());
        return Parsed { documents: Vec::new(), complete: false };
    }
    let mut parser = Parser::new_from_str(text);
    while let Some(next) = parser.next_event() {
        match next {
            Ok((Event::StreamEnd, _)) => break,
            Ok((event, span)) => {
                if !builder.event(event, span) {
                    return Parsed { documents: builder.documents, complete: false };
                }
            }
            Err(error) => {
                let at = At::of(*error.marker());
                let line = text.lines().nth(at.line - 1).unwrap_or_default();
                let mend = if line.trim_start_matches(' ').starts_with('\t') {
                    "YAML indents with spaces, never with tabs"
                } else {
                    "check the indentation, the quotes and the brackets up to this place"
                };
                builder.fault(at, format!("this is no YAML: {}", error.info()), mend.into());
                return Parsed { documents: builder.documents, complete: false };
            }
        }
    }
    Parsed { documents: builder.documents, complete: true }
}

enum Frame {
    List { at: At, nodes: Vec<Node> },
    Map { at: At, entries: Vec<Entry>, seen: HashSet<String>, key: Option<Key> },
}

struct Key {
    at: At,
    /// `None` for a key that was refused: its value is dropped.
    text: Option<String>,
}

struct Builder<'a> {
    file: &'a str,
    sink: &'a Sink,
    frames: Vec<Frame>,
    documents: Vec<Node>,
    nodes: usize,
}

impl Builder<'_> {
    fn fault(&self, at: At, what: String, mend: String) {
        self.sink.error(self.file, at, self.pointer(), what, mend);
    }

    fn pointer(&self) -> String {
        let parts = self.frames.iter().map(|frame| match frame {
            Frame::List { nodes, .. } => nodes.len().to_string(),
            Frame::Map { key, .. } => key.as_ref().and_then(|key| key.text.clone()).unwrap_or_default(),
        });
        let mut pointer = String::new();
        for part in parts {
            if part.is_empty() {
                break;
            }
            crate::item::push(&mut pointer, &part);
        }
        pointer
    }

    /// Takes one event. `false` ends the reading of the file.
    fn event(&mut self, event: Event<'_>, span: Span) -> bool {
        let at = At::of(span.start);
        self.nodes += 1;
        if self.nodes > NODES_MAX {
            self.fault(at, format!("the file has more than {NODES_MAX} values"), "split it into several files".into());
            return false;
        }
        match event {
            Event::Alias(_) => {
                self.fault(at, "an alias is not allowed".into(), "write the value out".into());
                self.done(Node { at, value: Value::Broken });
            }
            Event::Scalar(text, style, anchor, tag) => {
                self.marks(at, anchor, tag.is_some());
                let value = if style == ScalarStyle::Plain { plain(&text) } else { Value::Text(text.into_owned()) };
                self.done(Node { at, value });
            }
            Event::SequenceStart(anchor, tag) => {
                self.marks(at, anchor, tag.is_some());
                return self.open(at, Frame::List { at, nodes: Vec::new() });
            }
            Event::MappingStart(anchor, tag) => {
                self.marks(at, anchor, tag.is_some());
                return self.open(at, Frame::Map { at, entries: Vec::new(), seen: HashSet::new(), key: None });
            }
            Event::SequenceEnd | Event::MappingEnd => self.close(),
            _ => {}
        }
        true
    }

    fn marks(&self, at: At, anchor: usize, tag: bool) {
        if anchor > 0 {
            self.fault(at, "an anchor is not allowed".into(), "write the value out where it is needed".into());
        }
        if tag {
            self.fault(at, "a tag is not allowed".into(), "leave the `!…` out; put a text in quotes instead".into());
        }
    }

    fn open(&mut self, at: At, frame: Frame) -> bool {
        if self.frames.len() >= DEPTH_MAX {
            self.fault(at, format!("nested deeper than {DEPTH_MAX}"), "nothing in a configuration needs that".into());
            return false;
        }
        self.frames.push(frame);
        true
    }

    fn close(&mut self) {
        let node = match self.frames.pop() {
            Some(Frame::List { at, nodes }) => Node { at, value: Value::List(nodes) },
            Some(Frame::Map { at, entries, .. }) => Node { at, value: Value::Map(entries) },
            None => return,
        };
        self.done(node);
    }

    /// Puts a finished node where it belongs.
    fn done(&mut self, node: Node) {
        let pointer = self.pointer();
        match self.frames.last_mut() {
            None => self.documents.push(node),
            Some(Frame::List { nodes, .. }) => nodes.push(node),
            Some(Frame::Map { entries, seen, key, .. }) => match key.take() {
                Some(Key { at, text: Some(text) }) => entries.push(Entry { at, key: text, value: node }),
                Some(_) => {}
                None => {
                    let at = node.at;
                    let (text, refused) = match node.value {
                        Value::Text(text) | Value::Number(text) => (text, None),
                        Value::Bool(flag) => (flag.to_string(), None),
                        _ => (String::new(), Some("a key must be a text")),
                    };
                    let refused = refused.or_else(|| seen.contains(&text).then_some("this key stands twice in one mapping"));
                    if let Some(what) = refused {
                        let mend =
                            if text.is_empty() { "write `key: value`".into() } else { format!("keep one `{}`", cut(&text)) };
                        *key = Some(Key { at, text: None });
                        self.sink.error(self.file, at, pointer, what.into(), mend);
                    } else {
                        seen.insert(text.clone());
                        *key = Some(Key { at, text: Some(text) });
                    }
                }
            },
        }
    }
}

/// The first 80 characters, control characters replaced.
pub fn cut(text: &str) -> String {
    text.chars().take(80).map(|c| if c.is_control() { '\u{fffd}' } else { c }).collect()
}

/// A plain scalar by YAML's core schema.
fn plain(text: &str) -> Value {
    match text {
        "" | "~" | "null" | "Null" | "NULL" => Value::Null,
        "true" | "True" | "TRUE" => Value::Bool(true),
        "false" | "False" | "FALSE" => Value::Bool(false),
        _ if number(text) => Value::Number(text.to_owned()),
        _ => Value::Text(text.to_owned()),
    }
}

fn number(text: &str) -> bool {
    let digits = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    if let Some(hex) = text.strip_prefix("0x") {
        return !hex.is_empty() && hex.bytes().all(|byte| byte.is_ascii_hexdigit());
    }
    if let Some(octal) = text.strip_prefix("0o") {
        return digits(octal);
    }
    let text = text.strip_prefix(['-', '+']).unwrap_or(text);
    if matches!(text, ".inf" | ".Inf" | ".INF" | ".nan" | ".NaN" | ".NAN") {
        return true;
    }
    let (mantissa, exponent) = text.split_once(['e', 'E']).map_or((text, None), |(a, b)| (a, Some(b)));
    let exponent_fits = exponent.is_none_or(|exponent| digits(exponent.strip_prefix(['-', '+']).unwrap_or(exponent)));
    let mantissa_fits = match mantissa.split_once('.') {
        None => digits(mantissa),
        Some((whole, rest)) => (digits(whole) && (rest.is_empty() || digits(rest))) || (whole.is_empty() && digits(rest)),
    };
    exponent_fits && mantissa_fits
}
