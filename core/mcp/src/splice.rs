//! Edits of a JSON text that leave every other byte as it was.

use std::ops::Range;

/// Edits to be made to one text, in any order, never overlapping.
#[derive(Debug, Default)]
pub struct Splice {
    edits: Vec<(Range<usize>, Vec<u8>)>,
}

impl Splice {
    /// No edit yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Replaces the bytes of `span`.
    pub fn replace(&mut self, span: Range<usize>, with: impl Into<Vec<u8>>) -> &mut Self {
        self.edits.push((span, with.into()));
        self
    }

    /// Inserts `field` (as `"key":value`) first into the object that spans `object`.
    pub fn insert_field(&mut self, text: &[u8], object: &Range<usize>, field: &str) -> &mut Self {
        let inside = text.get(object.start + 1..object.end.saturating_sub(1)).unwrap_or_default();
        let empty = inside.iter().all(u8::is_ascii_whitespace);
        let at = object.start + 1;
        self.edits.push((at..at, format!("{field}{}", if empty { "" } else { "," }).into_bytes()));
        self
    }

    /// Whether nothing is to be done.
    pub fn is_empty(&self) -> bool {
        self.edits.is_empty()
    }

    /// The text of `within` with the edits inside it made.
    pub fn apply(mut self, text: &[u8], within: Range<usize>) -> Vec<u8> {
        self.edits.sort_by_key(|(span, _)| span.start);
        let added: usize = self.edits.iter().map(|(_, with)| with.len()).sum();
        let mut out = Vec::with_capacity(within.len() + added);
        let mut at = within.start;
        for (span, with) in &self.edits {
            debug_assert!(span.start >= at && span.end <= within.end, "edits overlap or leave the text");
            out.extend_from_slice(text.get(at..span.start).unwrap_or_default());
            out.extend_from_slice(with);
            at = span.end;
        }
        out.extend_from_slice(text.get(at..within.end).unwrap_or_default());
        out
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn leaves_the_rest_alone() {
        let text = br#"{ "id" : 7, "params":{"name":"a___b","x":1e400} }"#;
        let mut splice = Splice::new();
        splice.replace(29..36, b"\"b\"".to_vec()).replace(9..10, b"8".to_vec());
        assert_eq!(
            String::from_utf8(splice.apply(text, 0..text.len())).unwrap(),
            r#"{ "id" : 8, "params":{"name":"b","x":1e400} }"#
        );
        let mut splice = Splice::new();
        splice.insert_field(b"{ }", &(0..3), "\"a\":1");
        assert_eq!(splice.apply(b"{ }", 0..3), b"{\"a\":1 }");
    }
}
