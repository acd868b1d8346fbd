//! A file's text cut into its policies and definitions, with where each stands.

use std::ops::Range;

/// The most brackets within each other: parsers go down one by one, on a stack that ends.
pub(crate) const BRACKETS_DEEP_MAX: usize = 64;

/// How many brackets stand within each other at most, but for those in texts and comments.
pub(crate) fn brackets_deep(text: &str) -> usize {
    nested(text.as_bytes(), 0).map(|(_, _, depth)| depth).max().unwrap_or(0)
}

/// One policy or definition.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Unit {
    /// Where it stands, its semicolon with it.
    pub(crate) span: Range<usize>,
    /// The line of its first word after its annotations, from 1.
    pub(crate) line: usize,
    /// Whether it begins with a word of the language.
    pub(crate) is_known: bool,
    /// Whether it is a `def`.
    pub(crate) is_def: bool,
    /// `forbid` rather than `permit`.
    pub(crate) forbids: bool,
    /// Its annotations: name and value.
    pub(crate) annotations: Vec<(String, String)>,
}

/// Cuts. What can't be cut is one unit up to the end: the parser says what is wrong with it.
pub(crate) fn split(text: &str) -> Vec<Unit> {
    let bytes = text.as_bytes();
    let mut units = Vec::new();
    let (mut line, mut counted) = (1, 0);
    let mut at = blank(bytes, 0);
    while at < bytes.len() {
        let end = unit_end(bytes, at);
        let mut annotations = Vec::new();
        let mut word = at;
        while let Some((annotation, after)) = annotation(text, word, end) {
            annotations.push(annotation);
            word = blank(bytes, after);
        }
        let head = text.get(word..end).unwrap_or_default();
        line += bytes.get(counted..word).unwrap_or_default().split(|byte| *byte == b'\n').count() - 1;
        counted = word;
        units.push(Unit {
            span: at..end,
            line,
            is_known: ["permit", "forbid", "def"].iter().any(|word| head.starts_with(word)),
            is_def: head.starts_with("def")
                && !head.get(3..4).is_some_and(|next| next == "_" || next.bytes().all(|b| b.is_ascii_alphanumeric())),
            forbids: head.starts_with("forbid"),
            annotations,
        });
        at = blank(bytes, end);
    }
    units
}

/// The line of a place, from 1.
pub(crate) fn line_of(text: &str, at: usize) -> usize {
    text.as_bytes().get(..at).unwrap_or(text.as_bytes()).split(|byte| *byte == b'\n').count()
}

/// The column of a place, from 1, in characters.
pub(crate) fn column_of(text: &str, at: usize) -> usize {
    let before = text.get(..at).unwrap_or_default();
    before.chars().rev().take_while(|char| *char != '\n').count() + 1
}

/// The first place from here that is neither white nor in a comment.
fn blank(bytes: &[u8], mut at: usize) -> usize {
    loop {
        match (bytes.get(at), bytes.get(at + 1)) {
            (Some(byte), _) if byte.is_ascii_whitespace() => at += 1,
            (Some(0xef), Some(0xbb)) if at == 0 && bytes.get(2) == Some(&0xbf) => at += 3,
            (Some(b'/'), Some(b'/')) => at = line_end(bytes, at),
            _ => return at,
        }
    }
}

fn line_end(bytes: &[u8], at: usize) -> usize {
    bytes.iter().skip(at).position(|byte| matches!(byte, b'\n' | b'\r')).map_or(bytes.len(), |after| at + after)
}

/// After the semicolon that ends what begins here.
fn unit_end(bytes: &[u8], at: usize) -> usize {
    let end = nested(bytes, at).find(|(_, byte, depth)| *byte == b';' && *depth == 0);
    end.map_or(bytes.len(), |(at, ..)| at + 1)
}

/// The bytes from here that are neither in a text nor in a comment: the place of each, and in how many brackets it stands, one that it opens with
/// them.
fn nested(bytes: &[u8], mut at: usize) -> impl Iterator<Item = (usize, u8, usize)> {
    let mut depth = 0_usize;
    std::iter::from_fn(move || {
        loop {
            let byte = *bytes.get(at)?;
            match byte {
                b'"' => at = string_end(bytes, at),
                b'/' if bytes.get(at + 1) == Some(&b'/') => at = line_end(bytes, at),
                _ => {
                    match byte {
                        b'(' | b'{' | b'[' => depth += 1,
                        b')' | b'}' | b']' => depth = depth.saturating_sub(1),
                        _ => {}
                    }
                    at += 1;
                    return Some((at - 1, byte, depth));
                }
            }
        }
    })
}

/// After the string that begins here.
fn string_end(bytes: &[u8], from: usize) -> usize {
    let mut at = from + 1;
    while let Some(byte) = bytes.get(at) {
        match byte {
            b'\\' => at += 2,
            b'"' => return at + 1,
            _ => at += 1,
        }
    }
    bytes.len()
}

/// The annotation that begins here, and after it: `@id("…")`, `@id`.
fn annotation(text: &str, at: usize, end: usize) -> Option<((String, String), usize)> {
    let bytes = text.as_bytes();
    text.get(at..end)?.strip_prefix('@')?;
    let name_at = blank(bytes, at + 1);
    let rest = text.get(name_at..end)?;
    let name_len = rest.bytes().take_while(|byte| byte.is_ascii_alphanumeric() || *byte == b'_').count();
    let name = rest.get(..name_len).filter(|name| !name.is_empty())?.to_owned();
    let after_name = name_at + name_len;
    let open = blank(bytes, after_name);
    if bytes.get(open) != Some(&b'(') {
        return Some(((name, String::new()), after_name));
    }
    let start = blank(bytes, open + 1);
    if bytes.get(start) != Some(&b'"') {
        return None;
    }
    let stop = string_end(bytes, start);
    let close = blank(bytes, stop);
    if bytes.get(close) != Some(&b')') {
        return None;
    }
    let value = text.get(start + 1..stop.checked_sub(1)?)?;
    Some(((name, value.replace("\\\"", "\"").replace("\\\\", "\\")), close + 1))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn units_have_places_kinds_and_annotations() {
        let text = "// a comment; with a semicolon\n@id(\"one; \\\"two\\\"\") @mode(\"LOG_ONLY\")\npermit (principal, action, resource)\nwhen { context.input.text == \"a;b)\" };\ndef temporal f(?w) { formerly within ?w tp($t) };\n  forbid(principal, action, resource);\n// the end\n";
        let units = split(text);
        let seen: Vec<(usize, bool, bool)> = units.iter().map(|unit| (unit.line, unit.is_def, unit.forbids)).collect();
        assert_eq!(seen, [(3, false, false), (5, true, false), (6, false, true)]);
        assert_eq!(
            units.first().unwrap().annotations,
            [("id".to_owned(), "one; \"two\"".to_owned()), ("mode".to_owned(), "LOG_ONLY".to_owned())]
        );
        assert!(text.get(units.get(2).unwrap().span.clone()).unwrap().ends_with("resource);"));
        assert!(split(" \n// nothing").is_empty());
        assert_eq!(split("permit (").len(), 1);
    }
}
