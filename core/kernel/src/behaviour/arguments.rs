//! What is looked at in the arguments of a call: shapes, sizes and digests. No value leaves this file.

use remit_mcp::canonical::sha256;
use remit_model::plain_pointer;
use serde_json::Value;

use super::tail::number_level;

/// The most values of a call that are looked at.
const VALUES_MAX: usize = 128;
/// The deepest that is looked into.
const DEPTH_MAX: usize = 8;
/// The longest pointer, in bytes.
const POINTER_BYTES_MAX: usize = 128;
/// The longest text of which a digest is made; longer ones are prose.
const DIGESTED_BYTES_MAX: usize = 128;
/// How much of a text is looked at, in bytes.
const LOOKED_AT_BYTES_MAX: usize = 64 * 1024;

/// What kind of value it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub(super) enum Kind {
    /// `null`.
    Null,
    /// `true` or `false`.
    Bool,
    /// A number, not less than zero.
    Number,
    /// A number less than zero.
    Negative,
    /// A text.
    Text,
    /// An array.
    Array,
    /// An object.
    Object,
}

impl Kind {
    /// Every one.
    pub(super) const ALL: [Self; 7] =
        [Self::Null, Self::Bool, Self::Number, Self::Negative, Self::Text, Self::Array, Self::Object];

    /// The word for it.
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::Null => "null",
            Self::Bool => "a boolean",
            Self::Number => "a number",
            Self::Negative => "a negative number",
            Self::Text => "a text",
            Self::Array => "an array",
            Self::Object => "an object",
        }
    }
}

/// Kinds of characters, by what they are told as.
pub(super) const CLASSES: [&str; 9] = [
    "small letters",
    "capital letters",
    "digits",
    "blanks",
    "the punctuation of prose",
    "slashes",
    "`@` or `#`",
    "characters of markup, shells or encodings",
    "characters beyond ASCII",
];

/// What a text looks like.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Looks {
    /// How many characters.
    pub(super) length: u64,
    /// The longest run without a blank.
    pub(super) run: u64,
    /// Which of [`CLASSES`] are in it, a bit each.
    pub(super) classes: u16,
}

/// One value.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Seen {
    /// Where, with `*` for places in arrays and for names that may be data.
    pub(super) pointer: String,
    /// What kind.
    pub(super) kind: Kind,
    /// How large, if it is a number.
    pub(super) level: Option<f64>,
    /// A keyed digest, if it is a boolean or a short text.
    pub(super) digest: Option<u64>,
    /// How it looks, if it is a text.
    pub(super) looks: Option<Looks>,
}

/// Looks at arguments: JSON text. `None` if it is none.
pub(super) fn look(salt: &[u8; 16], text: &str) -> Option<Vec<Seen>> {
    let value: Value = serde_json::from_str(text).ok()?;
    let mut all = Vec::new();
    walk(salt, &value, "", 0, &mut all);
    // The arguments themselves are no argument.
    all.retain(|seen| !seen.pointer.is_empty());
    Some(all)
}

fn walk(salt: &[u8; 16], value: &Value, pointer: &str, depth: usize, all: &mut Vec<Seen>) {
    if all.len() >= VALUES_MAX || depth > DEPTH_MAX || pointer.len() > POINTER_BYTES_MAX {
        return;
    }
    let mut seen = Seen { pointer: pointer.to_owned(), kind: Kind::Null, level: None, digest: None, looks: None };
    match value {
        Value::Null => {}
        Value::Bool(flag) => {
            (seen.kind, seen.digest) = (Kind::Bool, Some(u64::from(*flag)));
        }
        Value::Number(number) => {
            let number = number.as_f64().unwrap_or_default();
            seen.kind = if number < 0.0 { Kind::Negative } else { Kind::Number };
            seen.level = Some(number_level(number));
        }
        Value::String(text) => {
            seen.kind = Kind::Text;
            seen.digest = (text.len() <= DIGESTED_BYTES_MAX).then(|| digest(salt, pointer, text));
            seen.looks = Some(looks(text));
        }
        Value::Array(_) => seen.kind = Kind::Array,
        Value::Object(_) => seen.kind = Kind::Object,
    }
    all.push(seen);
    match value {
        Value::Array(items) => items.iter().for_each(|item| walk(salt, item, &format!("{pointer}/*"), depth + 1, all)),
        Value::Object(map) => {
            for (key, value) in map {
                let key = key.replace('~', "~0").replace('/', "~1");
                walk(salt, value, &plain_pointer(&format!("{pointer}/{key}")), depth + 1, all);
            }
        }
        _ => {}
    }
}

/// Nobody who has no salt guesses a value from it.
fn digest(salt: &[u8; 16], pointer: &str, text: &str) -> u64 {
    let mut bytes = salt.to_vec();
    bytes.extend_from_slice(pointer.as_bytes());
    bytes.push(0);
    bytes.extend_from_slice(text.as_bytes());
    let [a, b, c, d, e, f, g, h, ..] = sha256(&bytes);
    u64::from_be_bytes([a, b, c, d, e, f, g, h])
}

fn looks(text: &str) -> Looks {
    let mut looks = Looks { length: 0, run: 0, classes: 0 };
    let mut run = 0;
    let end = text.floor_char_boundary(LOOKED_AT_BYTES_MAX);
    for c in text.get(..end).unwrap_or_default().chars() {
        looks.length += 1;
        run = if c.is_whitespace() { 0 } else { run + 1 };
        looks.run = looks.run.max(run);
        let class = match c {
            'a'..='z' => 0,
            'A'..='Z' => 1,
            '0'..='9' => 2,
            _ if c.is_whitespace() => 3,
            '.' | ',' | ';' | ':' | '!' | '?' | '\'' | '"' | '-' | '_' | '(' | ')' => 4,
            '/' => 5,
            '@' | '#' => 6,
            _ if c.is_ascii() => 7,
            _ => 8,
        };
        looks.classes |= 1 << class;
    }
    // What wasn't looked at counts.
    looks.length += (text.len() - end) as u64;
    looks
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_value_is_in_what_is_seen_of_it() {
        let text = r#"{"to":"ann@example.com","amounts":[12.5,-3],"shared":{"bob@example.com":true},"deep":{"a/b":null}}"#;
        let seen = look(&[7; 16], text).unwrap();
        let told = format!("{seen:?}");
        assert!(!told.contains("ann") && !told.contains("bob"), "{told}");
        let mut pointers: Vec<&str> = seen.iter().map(|seen| seen.pointer.as_str()).collect();
        pointers.sort_unstable();
        assert_eq!(pointers, ["/amounts", "/amounts/*", "/amounts/*", "/deep", "/deep/*", "/shared", "/shared/*", "/to"]);
        // Another salt, another digest.
        let digest = |salt: u8| look(&[salt; 16], r#"{"to":"ann"}"#).unwrap()[0].digest.unwrap();
        assert_ne!(digest(7), digest(8));
        assert_eq!(digest(7), digest(7));
        assert!(look(&[7; 16], "{").is_none());
    }

    #[test]
    fn what_is_looked_at_has_an_end() {
        let many = format!("[{}]", vec!["1"; 5000].join(","));
        assert_eq!(look(&[0; 16], &many).unwrap().len(), VALUES_MAX - 1);
        let deep = format!("{}1{}", "[".repeat(60), "]".repeat(60));
        assert_eq!(look(&[0; 16], &deep).unwrap().len(), DEPTH_MAX);
        let long = serde_json::json!({ "text": "é".repeat(1_000_000) }).to_string();
        let seen = look(&[0; 16], &long).unwrap();
        assert_eq!(seen[0].digest, None);
        assert!(seen[0].looks.unwrap().length > 1_000_000);
    }
}
