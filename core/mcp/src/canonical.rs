//! The canonical form of a tool definition, and its digest: what a pin holds.
//!
//! The form is RFC 8785's: keys sorted by UTF-16 code units, no white space, the shortest escapes. One thing differs: a number
//! that is an integer keeps all its digits, so that two definitions that differ beyond 2^53 differ here too.

use std::collections::BTreeMap;

use aws_lc_rs::digest::{SHA256, digest};
use serde_json::Value;
use serde_json::value::RawValue;

/// Fields of a tool that say nothing about what it does: a server may change them without leaving its pin.
const NOT_PINNED: [&str; 1] = ["_meta"];

/// Writes a value in canonical form.
pub fn canonical(value: &Value) -> String {
    let mut out = String::new();
    write(value, &mut out);
    out
}

fn write(value: &Value, out: &mut String) {
    match value {
        Value::Object(map) => {
            let mut fields: Vec<(&String, &Value)> = map.iter().collect();
            fields.sort_by(|(a, _), (b, _)| a.encode_utf16().cmp(b.encode_utf16()));
            out.push('{');
            for (index, (key, field)) in fields.into_iter().enumerate() {
                if index > 0 {
                    out.push(',');
                }
                out.push_str(&crate::json::quote(key));
                out.push(':');
                write(field, out);
            }
            out.push('}');
        }
        Value::Array(items) => {
            out.push('[');
            for (index, item) in items.iter().enumerate() {
                if index > 0 {
                    out.push(',');
                }
                write(item, out);
            }
            out.push(']');
        }
        Value::Number(number) => match number.as_f64() {
            Some(float) if number.is_f64() && float.fract() == 0.0 && float.abs() < 1e15 => {
                out.push_str(&format!("{float:.0}").replace("-0", "0"));
            }
            _ => out.push_str(&number.to_string()),
        },
        other => out.push_str(&other.to_string()),
    }
}

/// The digest of a tool's definition: `sha256:` and the hexadecimal SHA-256 of its canonical form without `_meta`.
pub fn tool_digest(tool: &Value) -> String {
    let mut tool = tool.clone();
    if let Some(map) = tool.as_object_mut() {
        for key in NOT_PINNED {
            map.remove(key);
        }
    }
    format!("sha256:{}", hex(&sha256(canonical(&tool).as_bytes())))
}

/// The canonical form of JSON text that is known to be strict, such as a call's arguments: keys sorted, no white space, the shortest escapes,
/// and every number as it was written, so that no two that some reader tells apart become one. `None` if it is no JSON.
pub fn canonical_text(text: &str) -> Option<String> {
    let mut out = String::with_capacity(text.len());
    write_text(serde_json::from_str(text).ok()?, &mut out)?;
    Some(out)
}

fn write_text(raw: &RawValue, out: &mut String) -> Option<()> {
    let text = raw.get();
    match text.as_bytes().first()? {
        b'{' => {
            let map: BTreeMap<String, &RawValue> = serde_json::from_str(text).ok()?;
            let mut fields: Vec<(String, &RawValue)> = map.into_iter().collect();
            fields.sort_by(|(a, _), (b, _)| a.encode_utf16().cmp(b.encode_utf16()));
            out.push('{');
            for (index, (key, value)) in fields.into_iter().enumerate() {
                if index > 0 {
                    out.push(',');
                }
                out.push_str(&crate::json::quote(&key));
                out.push(':');
                write_text(value, out)?;
            }
            out.push('}');
        }
        b'[' => {
            let items: Vec<&RawValue> = serde_json::from_str(text).ok()?;
            out.push('[');
            for (index, item) in items.into_iter().enumerate() {
                if index > 0 {
                    out.push(',');
                }
                write_text(item, out)?;
            }
            out.push(']');
        }
        b'"' => out.push_str(&crate::json::quote(&serde_json::from_str::<String>(text).ok()?)),
        _ => out.push_str(text),
    }
    Some(())
}

/// SHA-256.
pub fn sha256(bytes: &[u8]) -> [u8; 32] {
    let mut out = [0; 32];
    out.copy_from_slice(digest(&SHA256, bytes).as_ref());
    out
}

/// Lower-case hexadecimal.
pub fn hex(bytes: &[u8]) -> String {
    let digit = |nibble: u8| if nibble < 10 { b'0' + nibble } else { b'a' + nibble - 10 };
    let digits: Vec<u8> = bytes.iter().flat_map(|byte| [digit(byte >> 4), digit(byte & 15)]).collect();
    String::from_utf8(digits).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    /// The example of RFC 8785, section 3.2.3, for the order of keys.
    #[test]
    fn keys_sort_as_rfc_8785_says() {
        let value = json!({"\u{20ac}": "Euro Sign", "\r": "Carriage Return", "\u{fb33}": "Hebrew Letter Dalet With Dagesh",
            "1": "One", "\u{1f600}": "Emoji: Grinning Face", "\u{80}": "Control", "\u{f6}": "Latin Small Letter O With Diaeresis"});
        let form = canonical(&value);
        let order: Vec<usize> = ["Carriage", "One", "Control", "Latin", "Euro", "Emoji", "Hebrew"]
            .iter()
            .map(|word| form.find(word).unwrap())
            .collect();
        assert!(order.is_sorted(), "{form}");
    }

    #[test]
    fn the_digest_sees_meaning_and_not_spelling() {
        let a: Value = serde_json::from_str(r#"{"name":"t","inputSchema":{"type":"object","maxItems":10}}"#).unwrap();
        let b: Value =
            serde_json::from_str(r#"{ "inputSchema": {"maxItems":10.0, "type":"obj\u0065ct"}, "name":"t", "_meta":{"v":2}}"#)
                .unwrap();
        let c: Value = serde_json::from_str(r#"{"name":"t","inputSchema":{"type":"object","maxItems":11}}"#).unwrap();
        assert_eq!(tool_digest(&a), tool_digest(&b));
        assert_ne!(tool_digest(&a), tool_digest(&c));
    }

    #[test]
    fn text_is_one_form_and_keeps_every_digit() {
        let form = |text: &str| canonical_text(text).unwrap();
        assert_eq!(form(r#" {"b" : [1, 2.50,{}], "a":"x\u0041\/" } "#), r#"{"a":"xA/","b":[1,2.50,{}]}"#);
        assert_ne!(form("{\"n\":12345678901234567890123}"), form("{\"n\":12345678901234567890124}"));
        assert_ne!(form("[1]"), form("[1.0]"));
        assert_ne!(form("[1]"), form("[\"1\"]"));
        assert_eq!(canonical_text("{"), None);
        assert_eq!(canonical_text(""), None);
    }
}
