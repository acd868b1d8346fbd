//! A document as a tree in which every node knows its place, and a strict reader of JSON text (RFC 8259) into such a tree.
//!
//! A policy that stands inline in another format is handed over as the same tree: build [`Node`]s by hand.

use std::{collections::HashSet, fmt};

/// The largest text, in bytes.
pub const TEXT_BYTES_MAX: usize = 256 * 1024;
/// The deepest nesting of lists and mappings.
pub const DEPTH_MAX: usize = 32;
/// The most values of one document, keys not counted.
pub const NODES_MAX: usize = 50_000;
/// The most faults that are told of one document.
pub const FAULTS_MAX: usize = 100;

/// A place in a text.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Place {
    /// From 1.
    pub line: usize,
    /// From 1, in characters.
    pub column: usize,
}

impl Place {
    /// The start of a text.
    pub const START: Self = Self { line: 1, column: 1 };
}

/// A value and where it stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Node {
    /// Where it begins.
    pub place: Place,
    /// What it is.
    pub data: Data,
}

/// What a node is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Data {
    /// Nothing.
    Null,
    /// A truth value.
    Bool(bool),
    /// A number as it was written.
    Number(String),
    /// A text.
    Text(String),
    /// Several values.
    List(Vec<Node>),
    /// Keys and values, in the order of the text. A key that stands twice is a fault.
    Map(Vec<Entry>),
    /// Something that a fault was already told of: the document is refused without another.
    Broken,
}

/// A key and its value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Where the key begins.
    pub place: Place,
    /// The key.
    pub key: String,
    /// The value.
    pub value: Node,
}

impl Node {
    /// The value of a key, if this is a mapping that has it.
    pub fn get(&self, key: &str) -> Option<&Self> {
        match &self.data {
            Data::Map(entries) => entries.iter().find(|entry| entry.key == key).map(|entry| &entry.value),
            _ => None,
        }
    }

    /// The text, if this is one.
    pub fn text(&self) -> Option<&str> {
        match &self.data {
            Data::Text(text) => Some(text),
            _ => None,
        }
    }

    /// Whether it is within [`DEPTH_MAX`] and [`NODES_MAX`], as everything is that [`parse`] reads.
    pub fn is_bounded(&self) -> bool {
        fn within(node: &Node, depth: usize, nodes: &mut usize) -> bool {
            *nodes += 1;
            depth <= DEPTH_MAX
                && *nodes <= NODES_MAX
                && match &node.data {
                    Data::List(list) => list.iter().all(|node| within(node, depth + 1, nodes)),
                    Data::Map(entries) => entries.iter().all(|entry| within(&entry.value, depth + 1, nodes)),
                    _ => true,
                }
        }
        within(self, 0, &mut 0)
    }

    /// The document as JSON without white space. [`Data::Broken`] becomes `null`.
    pub fn to_json(&self) -> String {
        let mut json = String::new();
        write(self, &mut json);
        json
    }
}

/// What is wrong with a document, where, and how to mend it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    /// Where.
    pub place: Place,
    /// Where in the document: a JSON pointer (RFC 6901).
    pub pointer: String,
    /// What is wrong.
    pub what: String,
    /// How to mend it.
    pub mend: String,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { place, pointer, what, mend } = self;
        write!(f, "{}:{}: {what} (at `{pointer}`)\n  mend: {mend}", place.line, place.column)
    }
}

/// Adds a step to a JSON pointer.
pub(crate) fn step(pointer: &str, part: &str) -> String {
    format!("{pointer}/{}", part.replace('~', "~0").replace('/', "~1"))
}

/// The first 80 characters of a text, control characters replaced, for faults.
pub(crate) fn cut(text: &str) -> String {
    let mut cut: String = text.chars().take(80).map(|c| if c.is_control() { '\u{fffd}' } else { c }).collect();
    if text.chars().nth(80).is_some() {
        cut.push('…');
    }
    cut
}

/// The text as a JSON string, with its quotes.
pub fn quote(text: &str) -> String {
    let mut json = String::with_capacity(text.len() + 2);
    write_text(text, &mut json);
    json
}

fn write_text(text: &str, json: &mut String) {
    json.push('"');
    for c in text.chars() {
        match c {
            '"' => json.push_str("\\\""),
            '\\' => json.push_str("\\\\"),
            '\n' => json.push_str("\\n"),
            '\r' => json.push_str("\\r"),
            '\t' => json.push_str("\\t"),
            c if c < ' ' => json.push_str(&format!("\\u{:04x}", u32::from(c))),
            c => json.push(c),
        }
    }
    json.push('"');
}

fn write(node: &Node, json: &mut String) {
    match &node.data {
        Data::Null | Data::Broken => json.push_str("null"),
        Data::Bool(flag) => json.push_str(if *flag { "true" } else { "false" }),
        Data::Number(text) => json.push_str(text),
        Data::Text(text) => write_text(text, json),
        Data::List(nodes) => {
            json.push('[');
            for (index, node) in nodes.iter().enumerate() {
                if index > 0 {
                    json.push(',');
                }
                write(node, json);
            }
            json.push(']');
        }
        Data::Map(entries) => {
            json.push('{');
            for (index, entry) in entries.iter().enumerate() {
                if index > 0 {
                    json.push(',');
                }
                write_text(&entry.key, json);
                json.push(':');
                write(&entry.value, json);
            }
            json.push('}');
        }
    }
}

/// Reads JSON text: RFC 8259, no duplicate keys, no lone surrogates, bounded in size, depth and number of values.
///
/// Every duplicate key is told of; a breach of the grammar ends the reading.
pub fn parse(text: &str) -> Result<Node, Vec<Fault>> {
    let mut reader = Reader { text, at: 0, line: 1, counted: (0, 1), nodes: 0, pointer: Vec::new(), faults: Vec::new() };
    if text.len() > TEXT_BYTES_MAX {
        let what = format!("the document is larger than {} KiB", TEXT_BYTES_MAX / 1024);
        reader.fault(Place::START, what, "no policy needs that".into());
        return Err(reader.faults);
    }
    let node = reader.document();
    match node {
        Some(node) if reader.faults.is_empty() => Ok(node),
        _ => Err(reader.faults),
    }
}

struct Reader<'a> {
    text: &'a str,
    at: usize,
    line: usize,
    /// A place in the line, in bytes, and its column, so that no line is counted twice.
    counted: (usize, usize),
    nodes: usize,
    pointer: Vec<String>,
    faults: Vec<Fault>,
}

impl Reader<'_> {
    fn document(&mut self) -> Option<Node> {
        self.space();
        let node = self.value(0)?;
        self.space();
        if self.at < self.text.len() {
            return self.syntax("something stands after the document", "end the text after its last bracket");
        }
        Some(node)
    }

    fn place(&mut self) -> Place {
        let (from, column) = self.counted;
        let column = column + self.text.get(from..self.at).unwrap_or_default().chars().count();
        self.counted = (self.at, column);
        Place { line: self.line, column }
    }

    fn fault(&mut self, place: Place, what: String, mend: String) {
        if self.faults.len() < FAULTS_MAX {
            let pointer = self.pointer.iter().fold(String::new(), |pointer, part| step(&pointer, part));
            self.faults.push(Fault { place, pointer, what, mend });
        }
    }

    /// A fault of the grammar: the reading ends.
    fn syntax<T>(&mut self, what: &str, mend: &str) -> Option<T> {
        let place = self.place();
        self.fault(place, format!("this is no JSON: {what}"), mend.to_owned());
        None
    }

    fn peek(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    fn space(&mut self) {
        while let Some(byte) = self.peek() {
            match byte {
                b' ' | b'\t' | b'\r' => self.at += 1,
                b'\n' => {
                    self.at += 1;
                    self.line += 1;
                    self.counted = (self.at, 1);
                }
                _ => break,
            }
        }
    }

    fn value(&mut self, depth: usize) -> Option<Node> {
        let place = self.place();
        self.nodes += 1;
        if self.nodes > NODES_MAX {
            self.fault(place, format!("the document has more than {NODES_MAX} values"), "split it".into());
            return None;
        }
        if depth > DEPTH_MAX {
            self.fault(place, format!("nested deeper than {DEPTH_MAX}"), "no policy needs that".into());
            return None;
        }
        let data = match self.peek() {
            Some(b'{') => self.map(depth)?,
            Some(b'[') => self.list(depth)?,
            Some(b'"') => Data::Text(self.string()?),
            Some(b't') => self.word("true", Data::Bool(true))?,
            Some(b'f') => self.word("false", Data::Bool(false))?,
            Some(b'n') => self.word("null", Data::Null)?,
            Some(b'-' | b'0'..=b'9') => Data::Number(self.number()?),
            Some(_) => return self.syntax("a value was expected", "put texts in double quotes"),
            None => return self.syntax("the text ends too early", "close every bracket and quote"),
        };
        Some(Node { place, data })
    }

    fn word(&mut self, word: &str, data: Data) -> Option<Data> {
        if self.text.get(self.at..).is_some_and(|rest| rest.starts_with(word)) {
            self.at += word.len();
            Some(data)
        } else {
            self.syntax("a value was expected", "put texts in double quotes")
        }
    }

    fn number(&mut self) -> Option<String> {
        let start = self.at;
        self.take_if(b'-');
        if !self.take_if(b'0') && !self.digits() {
            return self.syntax("digits were expected", "write a number like `10` or `0.5`");
        }
        if self.take_if(b'.') && !self.digits() {
            return self.syntax("digits were expected", "write a number like `10` or `0.5`");
        }
        if self.take_if(b'e') || self.take_if(b'E') {
            let _ = self.take_if(b'+') || self.take_if(b'-');
            if !self.digits() {
                return self.syntax("digits were expected", "write a number like `10` or `0.5`");
            }
        }
        self.text.get(start..self.at).map(str::to_owned)
    }

    fn take_if(&mut self, byte: u8) -> bool {
        let found = self.peek() == Some(byte);
        self.at += usize::from(found);
        found
    }

    fn digits(&mut self) -> bool {
        let start = self.at;
        while matches!(self.peek(), Some(b'0'..=b'9')) {
            self.at += 1;
        }
        self.at > start
    }

    fn string(&mut self) -> Option<String> {
        self.at += 1;
        let mut text = String::new();
        loop {
            let start = self.at;
            while self.peek().is_some_and(|byte| !matches!(byte, b'"' | b'\\' | 0..=0x1f)) {
                self.at += 1;
            }
            text.push_str(self.text.get(start..self.at).unwrap_or_default());
            match self.peek() {
                Some(b'"') => {
                    self.at += 1;
                    return Some(text);
                }
                Some(b'\\') => text.push(self.escape()?),
                Some(_) => return self.syntax("a control character stands in a text", "write it as an escape, like `\\n`"),
                None => return self.syntax("a text isn't closed", "close it with a double quote"),
            }
        }
    }

    fn escape(&mut self) -> Option<char> {
        self.at += 1;
        let plain = match self.peek() {
            Some(b'"') => '"',
            Some(b'\\') => '\\',
            Some(b'/') => '/',
            Some(b'b') => '\u{8}',
            Some(b'f') => '\u{c}',
            Some(b'n') => '\n',
            Some(b'r') => '\r',
            Some(b't') => '\t',
            Some(b'u') => return self.unicode(),
            _ => return self.syntax("an unknown escape", "a backslash is written `\\\\`"),
        };
        self.at += 1;
        Some(plain)
    }

    fn unicode(&mut self) -> Option<char> {
        self.at += 1;
        let unit = self.hex4()?;
        let code = if (0xd800..0xdc00).contains(&unit) {
            let low = if self.text.get(self.at..).is_some_and(|rest| rest.starts_with("\\u")) {
                self.at += 2;
                self.hex4()?
            } else {
                0
            };
            if !(0xdc00..0xe000).contains(&low) {
                return self.syntax("half a surrogate pair", "write both halves, or the character itself");
            }
            0x10000 + ((unit - 0xd800) << 10) + (low - 0xdc00)
        } else {
            unit
        };
        match char::from_u32(code) {
            Some(c) => Some(c),
            None => self.syntax("half a surrogate pair", "write both halves, or the character itself"),
        }
    }

    fn hex4(&mut self) -> Option<u32> {
        let digits = self.text.get(self.at..self.at + 4).filter(|digits| digits.bytes().all(|byte| byte.is_ascii_hexdigit()));
        match digits.and_then(|digits| u32::from_str_radix(digits, 16).ok()) {
            Some(unit) => {
                self.at += 4;
                Some(unit)
            }
            None => self.syntax("four hexadecimal digits were expected", "write `\\u00e9`, or the character itself"),
        }
    }

    fn list(&mut self, depth: usize) -> Option<Data> {
        self.at += 1;
        let mut nodes = Vec::new();
        self.space();
        if self.take_if(b']') {
            return Some(Data::List(nodes));
        }
        loop {
            self.space();
            self.pointer.push(nodes.len().to_string());
            nodes.push(self.value(depth + 1)?);
            self.pointer.pop();
            self.space();
            if self.take_if(b']') {
                return Some(Data::List(nodes));
            }
            if !self.take_if(b',') {
                return self.syntax("a comma or `]` was expected", "separate the values with commas");
            }
        }
    }

    fn map(&mut self, depth: usize) -> Option<Data> {
        self.at += 1;
        let mut entries: Vec<Entry> = Vec::new();
        let mut seen = HashSet::new();
        self.space();
        if self.take_if(b'}') {
            return Some(Data::Map(entries));
        }
        loop {
            self.space();
            let place = self.place();
            if self.peek() != Some(b'"') {
                return self.syntax("a key was expected", "put keys in double quotes, and no comma after the last value");
            }
            let key = self.string()?;
            self.space();
            if !self.take_if(b':') {
                return self.syntax("a colon was expected", "write `\"key\": value`");
            }
            self.space();
            self.pointer.push(key.clone());
            let value = self.value(depth + 1)?;
            if seen.insert(key.clone()) {
                entries.push(Entry { place, key, value });
            } else {
                let mend = format!("keep one `{}`", cut(&key));
                self.fault(place, "this key stands twice in one mapping".into(), mend);
            }
            self.pointer.pop();
            self.space();
            if self.take_if(b'}') {
                return Some(Data::Map(entries));
            }
            if !self.take_if(b',') {
                return self.syntax("a comma or `}` was expected", "separate the entries with commas");
            }
        }
    }
}
