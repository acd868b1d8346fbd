//! Headers of 2026-07-28 that repeat what the body says: `Mcp-Method`, `Mcp-Name`, `Mcp-Param-*` (SEP-2243).
//!
//! A value that a header can't hold travels as `=?base64?…?=`. Everything is compared after decoding, and what contradicts
//! the body is refused before any policy looks at it: an intermediary that trusts the header must never see another call.

use std::borrow::Cow;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use crate::message::Message;

/// The prefix of an encoded value.
const ENCODED_START: &str = "=?base64?";
/// Its suffix.
const ENCODED_END: &str = "?=";

/// Decodes a header's value. `None` if it claims to be encoded and isn't, properly.
pub fn decode(value: &str) -> Option<Cow<'_, str>> {
    let value = value.trim_matches([' ', '\t']);
    match value.strip_prefix(ENCODED_START).and_then(|rest| rest.strip_suffix(ENCODED_END)) {
        Some(encoded) => String::from_utf8(STANDARD.decode(encoded).ok()?).ok().map(Cow::Owned),
        None => Some(Cow::Borrowed(value)),
    }
}

/// Encodes a value for a header: as it is where that is safe and reads back the same, else as base64.
pub fn encode(value: &str) -> Cow<'_, str> {
    let plain = value.bytes().all(|byte| (0x20..0x7f).contains(&byte))
        && value == value.trim_matches([' ', '\t'])
        && !value.starts_with(ENCODED_START);
    if plain { Cow::Borrowed(value) } else { Cow::Owned(format!("{ENCODED_START}{}{ENCODED_END}", STANDARD.encode(value))) }
}

/// What `Mcp-Name` must say for this message; `None` where the method has no name.
pub fn name(message: &Message) -> Option<Cow<'_, str>> {
    match message.method() {
        "tools/call" | "prompts/get" => message.param_str("name"),
        "resources/read" => message.param_str("uri"),
        method if method.starts_with("tasks/") => message.param_str("taskId"),
        _ => None,
    }
}

/// How a header's value is compared with the value in the body, which is JSON text: a string by its text, an integer or a
/// boolean by its spelling, `null` as absent. `None` for what no header can carry.
pub fn param_text(json: &str) -> Option<Cow<'_, str>> {
    match json.as_bytes().first()? {
        b'"' => serde_json::from_str::<String>(json).ok().map(Cow::Owned),
        b't' | b'f' | b'-' | b'0'..=b'9' => Some(Cow::Borrowed(json)),
        _ => None,
    }
}

/// Whether a header's decoded value says the same as the value in the body. Numbers are compared as numbers, so that `42`
/// and `42.0` agree (SEP-2243, "Value comparison").
pub fn param_agrees(header: &str, json: &str) -> bool {
    let Some(body) = param_text(json) else { return false };
    if body == header {
        return true;
    }
    if json.starts_with('"') {
        return false;
    }
    match (header.parse::<f64>(), body.parse::<f64>()) {
        (Ok(a), Ok(b)) => a.is_finite() && (a - b).abs() == 0.0,
        _ => false,
    }
}

/// A parameter that its schema asks to be repeated in a header.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ParamHeader {
    /// The header's name without `Mcp-Param-`.
    pub header: String,
    /// Where the value stands in the arguments, from the root.
    pub path: Vec<String>,
}

impl ParamHeader {
    /// The value in these arguments; `None` where there is none.
    pub fn value<'a>(&self, arguments: &'a serde_json::Value) -> Option<&'a serde_json::Value> {
        self.path.iter().try_fold(arguments, |value, key| value.as_object()?.get(key))
    }
}

/// The parameters that an input schema marks with `x-mcp-header`. An unfit mark makes the whole tool unfit (SEP-2243), and the
/// error says why.
pub fn param_headers(schema: &serde_json::Value) -> Result<Vec<ParamHeader>, String> {
    let mut found = Vec::new();
    collect(schema, &mut Vec::new(), &mut found, 0)?;
    Ok(found)
}

fn collect(schema: &serde_json::Value, path: &mut Vec<String>, found: &mut Vec<ParamHeader>, depth: usize) -> Result<(), String> {
    let Some(properties) = schema.get("properties").and_then(serde_json::Value::as_object) else { return Ok(()) };
    if depth > 16 {
        return Ok(());
    }
    for (key, property) in properties {
        path.push(key.clone());
        if let Some(mark) = property.get("x-mcp-header") {
            let name = mark.as_str().unwrap_or_default();
            let token = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
            if name.is_empty() || !name.bytes().all(token) {
                return Err(format!("`x-mcp-header` of `{key}` is no header name"));
            }
            let kind = property.get("type").and_then(serde_json::Value::as_str);
            if !matches!(kind, Some("string" | "integer" | "boolean")) {
                return Err(format!("`x-mcp-header` of `{key}` stands on a type that no header can carry"));
            }
            if found.iter().any(|other| other.header.eq_ignore_ascii_case(name)) {
                return Err(format!("`x-mcp-header` `{name}` is used twice"));
            }
            found.push(ParamHeader { header: name.to_owned(), path: path.clone() });
        }
        collect(property, path, found, depth + 1)?;
        path.pop();
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn values() {
        assert_eq!(decode(" a b ").as_deref(), Some("a b"));
        assert_eq!(decode("=?base64?SGVsbG8=?=").as_deref(), Some("Hello"));
        assert_eq!(decode("=?base64?SGVsbG8?="), None);
        assert_eq!(decode("=?base64?SGVs!!!bG8=?="), None);
        assert_eq!(encode("größe"), "=?base64?Z3LDtsOfZQ==?=");
        assert!(param_agrees("42", "42.0"));
        assert!(param_agrees("true", "true"));
        assert!(!param_agrees("42", "\"43\""));
        assert!(!param_agrees("1", "\"01\""));
    }

    proptest! {
        #[test]
        fn round_trip(value in ".{0,40}") {
            let header = encode(&value);
            prop_assert_eq!(decode(&header).unwrap(), value.as_str());
        }
    }
}
