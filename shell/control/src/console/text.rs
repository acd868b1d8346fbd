//! Text of strangers as people may see it: as text, whatever it says, with everything in it that can't be seen made visible.

use maud::{Markup, PreEscaped, Render as _, html};
use serde_json::Value;

/// The most characters of one text that a page shows.
const CHARS_MAX: usize = 8_000;

/// What a character that can't be seen is; `None` for one that can.
fn hidden(c: char) -> Option<&'static str> {
    Some(match c {
        '\u{00AD}' => "soft hyphen",
        '\u{034F}' | '\u{115F}' | '\u{1160}' | '\u{17B4}' | '\u{17B5}' | '\u{180B}'..='\u{180F}' | '\u{3164}' | '\u{FFA0}' => {
            "invisible filler"
        }
        '\u{200B}' | '\u{200C}' | '\u{200D}' | '\u{2060}' | '\u{FEFF}' => "zero width",
        '\u{061C}' | '\u{200E}' | '\u{200F}' | '\u{202A}'..='\u{202E}' | '\u{2066}'..='\u{2069}' => "changes direction",
        '\u{2061}'..='\u{2065}' | '\u{206A}'..='\u{206F}' | '\u{FFF9}'..='\u{FFFB}' => "invisible format",
        '\u{2028}' | '\u{2029}' => "line separator",
        '\u{FE00}'..='\u{FE0F}' | '\u{E0100}'..='\u{E01EF}' => "variation selector",
        '\u{E0000}'..='\u{E007F}' => "invisible tag",
        '\u{E000}'..='\u{F8FF}' | '\u{F0000}'..='\u{FFFFD}' | '\u{100000}'..='\u{10FFFD}' => "private use",
        '\n' | '\t' => return None,
        c if c.is_control() => "control",
        _ => return None,
    })
}

/// A text, with what can't be seen in it made visible.
pub(super) fn shown(text: &str) -> Markup {
    let mut out = String::with_capacity(text.len() + 16);
    let mut plain = String::new();
    let mut chars = text.chars();
    for c in chars.by_ref().take(CHARS_MAX) {
        match hidden(c) {
            None => plain.push(c),
            Some(what) => {
                std::mem::take(&mut plain).as_str().render_to(&mut out);
                let code = format!("U+{:04X}", u32::from(c));
                html! { span.unseen title=(what) { (code) } }.render_to(&mut out);
            }
        }
    }
    plain.as_str().render_to(&mut out);
    let more = chars.count();
    if more > 0 {
        html! { span.unseen { "… " (more) " characters more" } }.render_to(&mut out);
    }
    PreEscaped(out)
}

/// How many characters of a text can't be seen.
pub(super) fn unseen(text: &str) -> usize {
    text.chars().filter(|c| hidden(*c).is_some()).count()
}

/// JSON as it was sent, to the letter, on lines of its own; `value` where the text isn't there.
pub(super) fn verbatim(text: &str, value: &Value) -> Markup {
    if text.is_empty() {
        return literal(value);
    }
    pre(&indented(text))
}

/// Breaks JSON into lines without reading it: no number loses a digit and no escape is undone.
fn indented(text: &str) -> String {
    let (mut out, mut depth, mut within, mut escaped) = (String::with_capacity(text.len() * 2), 0_usize, false, false);
    let line = |out: &mut String, depth: usize| {
        out.push('\n');
        out.extend(std::iter::repeat_n("  ", depth.min(32)));
    };
    for c in text.chars() {
        if within {
            within = escaped || c != '"';
            escaped = c == '\\' && !escaped;
            out.push(c);
            continue;
        }
        match c {
            '"' => {
                within = true;
                out.push(c);
            }
            '{' | '[' => {
                depth += 1;
                out.push(c);
                line(&mut out, depth);
            }
            '}' | ']' => {
                depth = depth.saturating_sub(1);
                line(&mut out, depth);
                out.push(c);
            }
            ',' => {
                out.push(c);
                line(&mut out, depth);
            }
            ':' => out.push_str(": "),
            c if c.is_ascii_whitespace() => {}
            c => out.push(c),
        }
    }
    out
}

/// A value as JSON, literally.
pub(super) fn literal(value: &Value) -> Markup {
    pre(&serde_json::to_string_pretty(value).unwrap_or_default())
}

fn pre(text: &str) -> Markup {
    let unseen = unseen(text) + escaped(text);
    html! {
        @if unseen > 0 {
            p.warning { "There are characters in this that can't be seen: they are shown by their code." }
        }
        pre.literal { (shown(text)) }
    }
}

/// Control characters that JSON already shows by their escapes.
fn escaped(text: &str) -> usize {
    text.matches("\\u00").count() + text.matches("\\u20").count()
}

/// A text of a value's field.
pub(super) fn text<'a>(value: &'a Value, key: &str) -> &'a str {
    value.get(key).and_then(Value::as_str).unwrap_or_default()
}

/// A number of a value's field.
pub(super) fn number(value: &Value, key: &str) -> u64 {
    value.get(key).and_then(Value::as_u64).unwrap_or_default()
}

/// A flag of a value's field.
pub(super) fn is(value: &Value, key: &str) -> bool {
    value.get(key).and_then(Value::as_bool).unwrap_or_default()
}

/// A list of a value's field.
pub(super) fn list<'a>(value: &'a Value, key: &str) -> &'a [Value] {
    value.get(key).and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default()
}

/// Texts in a list of a value's field.
pub(super) fn texts<'a>(value: &'a Value, key: &str) -> Vec<&'a str> {
    list(value, key).iter().filter_map(Value::as_str).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn markup_stays_text_and_the_unseen_is_seen() {
        let page = shown("<script>alert('x')</script>&\u{202E}fdp\u{200B}\u{E0041}\u{0}\n\u{FEFF}").into_string();
        assert!(!page.contains("<script") && page.contains("&lt;script&gt;") && page.contains("&amp;"), "{page}");
        for code in ["U+202E", "U+200B", "U+E0041", "U+0000", "U+FEFF"] {
            assert!(page.contains(&format!(">{code}<")), "{code}: {page}");
        }
        assert!(page.contains("fdp") && page.contains('\n'));
        assert!(!page.contains('\u{202E}') && !page.contains('\u{200B}') && !page.contains('\u{E0041}'));
        assert_eq!(unseen("a\u{200B}b\n"), 1);
        assert_eq!(shown("Zürich – 東京 🙂").into_string(), "Zürich – 東京 🙂");
    }

    #[test]
    fn a_text_of_any_length_makes_a_page_of_bounded_length() {
        let page = shown(&"<".repeat(1_000_000)).into_string();
        assert!(page.len() < 100_000 && page.contains("992000 characters more"));
    }

    #[test]
    fn what_is_sent_is_shown_to_the_letter() {
        let sent = r#"{"amount":12345678901234567890.10,"to":"a\"},{\u202e","list":[1,2],"none":{}}"#;
        let lines = indented(sent);
        assert_eq!(lines.split_whitespace().collect::<String>(), sent.split_whitespace().collect::<String>());
        assert!(lines.contains("\n  \"amount\": 12345678901234567890.10,\n") && lines.contains(r#""a\"},{\u202e""#), "{lines}");
        let page = verbatim(sent, &Value::Null).into_string();
        assert!(page.contains("can't be seen") && page.contains("\\u202e"), "{page}");
    }

    #[test]
    fn a_value_is_shown_literally() {
        let page = literal(&serde_json::json!({"to": "a\u{200B}b", "bell": "\u{7}"})).into_string();
        assert!(page.contains("can't be seen") && page.contains("U+200B") && page.contains("\\u0007"), "{page}");
    }
}
