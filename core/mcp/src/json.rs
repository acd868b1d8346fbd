//! A strict JSON scanner (RFC 8259, I-JSON's rules on keys and surrogates) that builds nothing but the spans of the fields
//! near the root.
//!
//! Two readers of one document must never see different things: so a duplicate key, at any level, escaped or not, is an
//! error here, and so is a lone surrogate. Depth and the number of keys are bounded.

use std::borrow::Cow;
use std::collections::HashSet;
use std::ops::Range;

/// Limits on a document.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// The deepest nesting of arrays and objects.
    pub depth_max: usize,
    /// The most keys in all objects together.
    pub keys_max: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self { depth_max: 64, keys_max: 100_000 }
    }
}

/// How deep fields are recorded: 1 is the root object's own fields.
const RECORD_DEPTH: usize = 4;

/// Objects with more keys than this use a hash set to find duplicates.
const LINEAR_KEYS_MAX: usize = 16;

/// Why a text is not the JSON that we accept.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{fault} at byte {offset}")]
pub struct JsonError {
    /// What is wrong.
    pub fault: Fault,
    /// Where, in bytes from the start.
    pub offset: usize,
}

/// What can be wrong with a document.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    /// The bytes are not UTF-8.
    #[error("invalid UTF-8")]
    Utf8,
    /// The grammar of RFC 8259 is broken.
    #[error("invalid JSON")]
    Syntax,
    /// The text ends too early.
    #[error("unexpected end of JSON")]
    End,
    /// An object has a key twice.
    #[error("duplicate key")]
    DuplicateKey,
    /// A `\u` escape of half a surrogate pair.
    #[error("lone surrogate")]
    Surrogate,
    /// Nesting deeper than the limit.
    #[error("nested too deeply")]
    Depth,
    /// More keys than the limit.
    #[error("too many keys")]
    Keys,
}

/// A field of an object near the root.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Field {
    /// 1 for a field of the root object; arrays count too.
    pub depth: usize,
    /// The key with its quotes.
    pub key: Range<usize>,
    /// The value.
    pub value: Range<usize>,
}

/// The spans of a document that passed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Spans {
    /// The root value, without the white space around it.
    pub root: Range<usize>,
    fields: Vec<Field>,
}

impl Spans {
    /// The value of the field `key` of the object that spans `object`, which stands at `depth - 1`.
    pub fn get(&self, text: &[u8], object: &Range<usize>, depth: usize, key: &str) -> Option<Range<usize>> {
        self.fields(object, depth).find(|field| key_is(text, &field.key, key)).map(|field| field.value.clone())
    }

    /// The fields of the object that spans `object`, in order, where its fields stand at `depth`.
    pub fn fields<'a>(&'a self, object: &'a Range<usize>, depth: usize) -> impl Iterator<Item = &'a Field> + 'a {
        self.fields
            .iter()
            .filter(move |field| field.depth == depth && field.key.start >= object.start && field.value.end <= object.end)
    }
}

/// Scans a whole document.
pub fn scan(text: &[u8], limits: Limits) -> Result<Spans, JsonError> {
    if let Err(error) = std::str::from_utf8(text) {
        return Err(JsonError { fault: Fault::Utf8, offset: error.valid_up_to() });
    }
    let mut scanner = Scanner { text, at: 0, limits, keys: Vec::new(), keys_seen: 0, fields: Vec::with_capacity(24) };
    scanner.space();
    let start = scanner.at;
    scanner.value(0)?;
    let root = start..scanner.at;
    scanner.space();
    if scanner.at != text.len() {
        return Err(scanner.fault(Fault::Syntax));
    }
    Ok(Spans { root, fields: scanner.fields })
}

/// The text of a JSON string that has been scanned, unescaped. `None` if the span is not a string.
pub fn string<'a>(text: &'a [u8], span: &Range<usize>) -> Option<Cow<'a, str>> {
    let raw = text.get(span.clone())?;
    let inner = raw.strip_prefix(b"\"")?.strip_suffix(b"\"")?;
    if inner.contains(&b'\\') {
        serde_json::from_slice::<String>(raw).ok().map(Cow::Owned)
    } else {
        std::str::from_utf8(inner).ok().map(Cow::Borrowed)
    }
}

/// Whether the key at this span, quotes included, is `key`.
fn key_is(text: &[u8], span: &Range<usize>, key: &str) -> bool {
    string(text, span).is_some_and(|text| text == key)
}

/// The text as a JSON string, quotes included.
pub fn quote(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

struct Scanner<'a> {
    text: &'a [u8],
    at: usize,
    limits: Limits,
    /// Keys of the objects that are open, the innermost last.
    keys: Vec<Cow<'a, [u8]>>,
    keys_seen: usize,
    fields: Vec<Field>,
}

impl<'a> Scanner<'a> {
    fn fault(&self, fault: Fault) -> JsonError {
        JsonError { fault, offset: self.at }
    }

    fn peek(&self) -> Option<u8> {
        self.text.get(self.at).copied()
    }

    fn space(&mut self) {
        while matches!(self.peek(), Some(b' ' | b'\t' | b'\n' | b'\r')) {
            self.at += 1;
        }
    }

    fn take(&mut self, byte: u8) -> Result<(), JsonError> {
        match self.peek() {
            Some(found) if found == byte => {
                self.at += 1;
                Ok(())
            }
            Some(_) => Err(self.fault(Fault::Syntax)),
            None => Err(self.fault(Fault::End)),
        }
    }

    fn value(&mut self, depth: usize) -> Result<(), JsonError> {
        match self.peek() {
            Some(b'{') => self.object(depth + 1),
            Some(b'[') => self.array(depth + 1),
            Some(b'"') => self.text_token().map(|_| ()),
            Some(b't') => self.word(b"true"),
            Some(b'f') => self.word(b"false"),
            Some(b'n') => self.word(b"null"),
            Some(b'-' | b'0'..=b'9') => self.number(),
            Some(_) => Err(self.fault(Fault::Syntax)),
            None => Err(self.fault(Fault::End)),
        }
    }

    fn word(&mut self, word: &[u8]) -> Result<(), JsonError> {
        let rest = self.text.get(self.at..).unwrap_or_default();
        if rest.starts_with(word) {
            self.at += word.len();
            Ok(())
        } else if word.starts_with(rest) {
            Err(self.fault(Fault::End))
        } else {
            Err(self.fault(Fault::Syntax))
        }
    }

    fn number(&mut self) -> Result<(), JsonError> {
        if self.peek() == Some(b'-') {
            self.at += 1;
        }
        match self.peek() {
            Some(b'0') => self.at += 1,
            _ => self.digits()?,
        }
        if self.peek() == Some(b'.') {
            self.at += 1;
            self.digits()?;
        }
        if matches!(self.peek(), Some(b'e' | b'E')) {
            self.at += 1;
            if matches!(self.peek(), Some(b'+' | b'-')) {
                self.at += 1;
            }
            self.digits()?;
        }
        Ok(())
    }

    fn digits(&mut self) -> Result<(), JsonError> {
        let start = self.at;
        while matches!(self.peek(), Some(b'0'..=b'9')) {
            self.at += 1;
        }
        if self.at > start { Ok(()) } else { Err(self.fault(if self.peek().is_none() { Fault::End } else { Fault::Syntax })) }
    }

    /// Scans a string; answers its span with the quotes and whether it holds an escape.
    fn text_token(&mut self) -> Result<(Range<usize>, bool), JsonError> {
        let start = self.at;
        self.take(b'"')?;
        let mut escaped = false;
        loop {
            match self.peek() {
                Some(b'"') => {
                    self.at += 1;
                    return Ok((start..self.at, escaped));
                }
                Some(b'\\') => {
                    escaped = true;
                    self.escape()?;
                }
                Some(0..=0x1f) => return Err(self.fault(Fault::Syntax)),
                Some(_) => self.at += 1,
                None => return Err(self.fault(Fault::End)),
            }
        }
    }

    fn escape(&mut self) -> Result<(), JsonError> {
        self.at += 1;
        match self.peek() {
            Some(b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't') => {
                self.at += 1;
                Ok(())
            }
            Some(b'u') => {
                self.at += 1;
                let unit = self.hex4()?;
                match unit {
                    0xd800..=0xdbff => {
                        if self.text.get(self.at..self.at + 2) != Some(b"\\u") {
                            return Err(self.fault(Fault::Surrogate));
                        }
                        self.at += 2;
                        match self.hex4()? {
                            0xdc00..=0xdfff => Ok(()),
                            _ => Err(self.fault(Fault::Surrogate)),
                        }
                    }
                    0xdc00..=0xdfff => Err(self.fault(Fault::Surrogate)),
                    _ => Ok(()),
                }
            }
            Some(_) => Err(self.fault(Fault::Syntax)),
            None => Err(self.fault(Fault::End)),
        }
    }

    fn hex4(&mut self) -> Result<u32, JsonError> {
        let mut unit = 0;
        for _ in 0..4 {
            let digit = match self.peek() {
                Some(byte) => char::from(byte).to_digit(16).ok_or_else(|| self.fault(Fault::Syntax))?,
                None => return Err(self.fault(Fault::End)),
            };
            unit = unit * 16 + digit;
            self.at += 1;
        }
        Ok(unit)
    }

    fn array(&mut self, depth: usize) -> Result<(), JsonError> {
        if depth > self.limits.depth_max {
            return Err(self.fault(Fault::Depth));
        }
        self.take(b'[')?;
        self.space();
        if self.peek() == Some(b']') {
            self.at += 1;
            return Ok(());
        }
        loop {
            self.space();
            self.value(depth)?;
            self.space();
            match self.peek() {
                Some(b',') => self.at += 1,
                _ => return self.take(b']'),
            }
        }
    }

    fn object(&mut self, depth: usize) -> Result<(), JsonError> {
        if depth > self.limits.depth_max {
            return Err(self.fault(Fault::Depth));
        }
        self.take(b'{')?;
        self.space();
        if self.peek() == Some(b'}') {
            self.at += 1;
            return Ok(());
        }
        let base = self.keys.len();
        let mut many: Option<HashSet<Cow<'a, [u8]>>> = None;
        loop {
            self.space();
            let key = self.key(base, &mut many)?;
            self.space();
            self.take(b':')?;
            self.space();
            let start = self.at;
            self.value(depth)?;
            if depth <= RECORD_DEPTH {
                self.fields.push(Field { depth, key, value: start..self.at });
            }
            self.space();
            match self.peek() {
                Some(b',') => self.at += 1,
                _ => break,
            }
        }
        self.keys.truncate(base);
        self.take(b'}')
    }

    fn key(&mut self, base: usize, many: &mut Option<HashSet<Cow<'a, [u8]>>>) -> Result<Range<usize>, JsonError> {
        let at = self.at;
        let (span, escaped) = self.text_token()?;
        self.keys_seen += 1;
        if self.keys_seen > self.limits.keys_max {
            return Err(JsonError { fault: Fault::Keys, offset: at });
        }
        let duplicate = JsonError { fault: Fault::DuplicateKey, offset: at };
        let raw = self.text.get(span.start + 1..span.end - 1).unwrap_or_default();
        let key: Cow<'a, [u8]> = if escaped {
            match string(self.text, &span) {
                Some(text) => Cow::Owned(text.into_owned().into_bytes()),
                None => return Err(JsonError { fault: Fault::Syntax, offset: at }),
            }
        } else {
            Cow::Borrowed(raw)
        };
        if let Some(set) = many {
            if !set.insert(key) {
                return Err(duplicate);
            }
            return Ok(span);
        }
        let open = self.keys.get(base..).unwrap_or_default();
        if open.contains(&key) {
            return Err(duplicate);
        }
        if open.len() >= LINEAR_KEYS_MAX {
            let mut set: HashSet<Cow<'a, [u8]>> = self.keys.drain(base..).collect();
            set.insert(key);
            *many = Some(set);
        } else {
            self.keys.push(key);
        }
        Ok(span)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn fault(text: &str) -> Option<Fault> {
        scan(text.as_bytes(), Limits::default()).err().map(|error| error.fault)
    }

    #[test]
    fn duplicate_keys_are_found_at_every_level_and_through_escapes() {
        assert_eq!(fault(r#"{"a":1,"a":2}"#), Some(Fault::DuplicateKey));
        assert_eq!(fault(r#"{"p":{"name":1,"na\u006de":2}}"#), Some(Fault::DuplicateKey));
        assert_eq!(fault(r#"[[[{"x":{"y":[{"z":1,"z":1}]}}]]]"#), Some(Fault::DuplicateKey));
        let wide: Vec<String> = (0..40).map(|n| format!("\"k{n}\":{n}")).collect();
        assert_eq!(fault(&format!("{{{}}}", wide.join(","))), None);
        assert_eq!(fault(&format!("{{{},\"k3\":0}}", wide.join(","))), Some(Fault::DuplicateKey));
        assert_eq!(fault(r#"{"a":{"b":1},"b":2}"#), None);
    }

    #[test]
    fn limits_and_surrogates() {
        assert_eq!(fault(&format!("{}{}", "[".repeat(65), "]".repeat(65))), Some(Fault::Depth));
        assert_eq!(fault(&format!("{}{}", "[".repeat(64), "]".repeat(64))), None);
        assert_eq!(fault(r#""\ud800""#), Some(Fault::Surrogate));
        assert_eq!(fault(r#""\ud83d\ude00""#), None);
        assert_eq!(fault(r#"{"a":1"#), Some(Fault::End));
        assert!(scan(b"\"\xff\"", Limits::default()).is_err());
    }

    #[test]
    fn spans_name_the_fields() {
        let text = br#" {"method":"tools/call","params":{"name":"x","arguments":{"a":{"deep":1}}}} "#;
        let spans = scan(text, Limits::default()).unwrap();
        let params = spans.get(text, &spans.root, 1, "params").unwrap();
        let name = spans.get(text, &params, 2, "name").unwrap();
        assert_eq!(string(text, &name).unwrap(), "x");
        let arguments = spans.get(text, &params, 2, "arguments").unwrap();
        assert_eq!(&text[arguments.clone()], br#"{"a":{"deep":1}}"#);
        assert_eq!(&text[spans.get(text, &arguments, 3, "a").unwrap()], br#"{"deep":1}"#);
        assert!(spans.get(text, &params, 2, "deep").is_none());
    }

    fn json() -> impl Strategy<Value = serde_json::Value> {
        let leaf = prop_oneof![
            Just(serde_json::Value::Null),
            any::<bool>().prop_map(Into::into),
            any::<i64>().prop_map(Into::into),
            any::<f64>().prop_map(Into::into),
            ".{0,12}".prop_map(Into::into),
        ];
        leaf.prop_recursive(5, 64, 20, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..6).prop_map(Into::into),
                prop::collection::btree_map(".{0,6}", inner, 0..20)
                    .prop_map(|map| serde_json::Value::Object(map.into_iter().collect())),
            ]
        })
    }

    proptest! {
        #[test]
        fn accepts_what_serde_json_writes(value in json()) {
            prop_assert!(scan(value.to_string().as_bytes(), Limits::default()).is_ok());
            prop_assert!(scan(serde_json::to_string_pretty(&value).unwrap().as_bytes(), Limits::default()).is_ok());
        }

        /// What the scanner accepts, `serde_json` accepts: so no reader behind us sees an error where we saw a call.
        #[test]
        fn never_laxer_than_serde_json(value in json(), at in any::<prop::sample::Index>(), byte in any::<u8>()) {
            let mut text = value.to_string().into_bytes();
            let at = at.index(text.len());
            text[at] = byte;
            if scan(&text, Limits::default()).is_ok() {
                let read = serde_json::from_slice::<&serde_json::value::RawValue>(&text);
                prop_assert!(read.is_ok(), "{:?}", String::from_utf8_lossy(&text));
            }
        }

        #[test]
        fn never_panics(text in prop::collection::vec(prop::sample::select(br#"{}[]":,\u0e1-.dtf "#.to_vec()), 0..60)) {
            let _ = scan(&text, Limits::default());
        }
    }
}
