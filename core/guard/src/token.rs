//! JSON text, read once: whether it is JSON, and what each of its names, strings and numbers says.
//!
//! It takes for JSON what RFC 8259 does, and lone surrogates, which many writers make, as `serde_json` does where it needs no string.

use std::ops::Range;

/// A name, string or number.
pub(crate) struct Token {
    pub(crate) kind: TokenKind,
    /// Its bytes in the text, quotes included.
    pub(crate) range: Range<usize>,
    /// Whether it is the value of the member that was named last.
    pub(crate) is_member: bool,
}

/// What a token is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum TokenKind {
    Name,
    String,
    Number,
}

/// The text isn't JSON.
#[derive(Debug)]
pub(crate) struct NotJson;

/// What may come next.
#[derive(Clone, Copy)]
enum Next {
    Value,
    /// The first element of a list, or its end.
    Element,
    Name,
    /// The first member of an object, or its end.
    Member,
    /// What follows a value: a comma or an end.
    Rest,
}

/// Reads token by token.
pub(crate) struct Tokens<'t> {
    bytes: &'t [u8],
    at: usize,
    /// For each open bracket, whether it is an object's.
    open: Vec<bool>,
    next: Next,
}

impl<'t> Tokens<'t> {
    pub(crate) fn new(text: &'t str) -> Self {
        Self { bytes: text.as_bytes(), at: 0, open: Vec::new(), next: Next::Value }
    }

    /// The next token, if there is another; what it says is appended to `says`, as UTF-8.
    pub(crate) fn next(&mut self, says: &mut Vec<u8>) -> Result<Option<Token>, NotJson> {
        loop {
            self.skip_space();
            let in_object = self.open.last().copied();
            match (self.next, self.byte()) {
                (Next::Rest, b',') if in_object == Some(true) => self.step(Next::Name),
                (Next::Rest, b',') if in_object == Some(false) => self.step(Next::Value),
                (Next::Rest | Next::Member, b'}') if in_object == Some(true) => self.close(),
                (Next::Rest | Next::Element, b']') if in_object == Some(false) => self.close(),
                (Next::Rest, _) if in_object.is_none() && self.at >= self.bytes.len() => return Ok(None),
                (Next::Name | Next::Member, b'"') => {
                    let range = self.string(says)?;
                    self.skip_space();
                    if self.byte() != b':' {
                        return Err(NotJson);
                    }
                    self.step(Next::Value);
                    return Ok(Some(Token { kind: TokenKind::Name, range, is_member: false }));
                }
                (Next::Rest | Next::Name | Next::Member, _) => return Err(NotJson),
                (_, b'{') => self.opened(true),
                (_, b'[') => self.opened(false),
                (_, b'"') => {
                    let range = self.string(says)?;
                    self.next = Next::Rest;
                    return Ok(Some(Token { kind: TokenKind::String, range, is_member: in_object == Some(true) }));
                }
                (_, b'-' | b'0'..=b'9') => {
                    let range = self.number()?;
                    append(says, self.bytes, &range);
                    self.next = Next::Rest;
                    return Ok(Some(Token { kind: TokenKind::Number, range, is_member: in_object == Some(true) }));
                }
                _ => self.literal()?,
            }
        }
    }

    /// The byte at this place, or 0, which stands nowhere in JSON.
    fn byte(&self) -> u8 {
        self.bytes.get(self.at).copied().unwrap_or(0)
    }

    fn skip_space(&mut self) {
        while matches!(self.byte(), b' ' | b'\n' | b'\t' | b'\r') {
            self.at += 1;
        }
    }

    fn step(&mut self, next: Next) {
        self.at += 1;
        self.next = next;
    }

    fn opened(&mut self, object: bool) {
        self.open.push(object);
        self.step(if object { Next::Member } else { Next::Element });
    }

    fn close(&mut self) {
        self.open.pop();
        self.step(Next::Rest);
    }

    fn literal(&mut self) -> Result<(), NotJson> {
        let rest = self.bytes.get(self.at..).unwrap_or_default();
        let word = ["true", "false", "null"].into_iter().find(|word| rest.starts_with(word.as_bytes())).ok_or(NotJson)?;
        self.at += word.len();
        self.next = Next::Rest;
        Ok(())
    }

    fn number(&mut self) -> Result<Range<usize>, NotJson> {
        let start = self.at;
        self.at += usize::from(self.byte() == b'-');
        if self.byte() == b'0' {
            self.at += 1;
        } else {
            self.digits()?;
        }
        if self.byte() == b'.' {
            self.at += 1;
            self.digits()?;
        }
        if matches!(self.byte(), b'e' | b'E') {
            self.at += 1;
            self.at += usize::from(matches!(self.byte(), b'+' | b'-'));
            self.digits()?;
        }
        Ok(start..self.at)
    }

    /// One digit at least.
    fn digits(&mut self) -> Result<(), NotJson> {
        let start = self.at;
        while self.byte().is_ascii_digit() {
            self.at += 1;
        }
        if self.at > start { Ok(()) } else { Err(NotJson) }
    }

    /// A string, from its quote on.
    fn string(&mut self, says: &mut Vec<u8>) -> Result<Range<usize>, NotJson> {
        let start = self.at;
        self.at += 1;
        loop {
            self.plain(says);
            match self.byte() {
                b'"' => {
                    self.at += 1;
                    return Ok(start..self.at);
                }
                b'\\' => self.escape(says)?,
                0..0x20 => return Err(NotJson),
                // The last bytes of the text.
                b => {
                    says.push(b);
                    self.at += 1;
                }
            }
        }
    }

    /// Takes what stands for itself, up to the next byte that doesn't, or nearly to the end of the text. Eight bytes are appended at a time
    /// and the rest taken back: that costs less than to copy as many as there are. What is longer is taken in blocks.
    #[inline]
    fn plain(&mut self, says: &mut Vec<u8>) {
        let mut first = true;
        while let Some(eight) = self.bytes.get(self.at..).and_then(|rest| rest.first_chunk::<8>()) {
            let stops = stops(u64::from_le_bytes(*eight));
            says.extend_from_slice(eight);
            if stops != 0 {
                let length = (stops.trailing_zeros() / 8) as usize;
                says.truncate((says.len() + length).saturating_sub(8));
                self.at += length;
                return;
            }
            self.at += 8;
            if std::mem::take(&mut first) {
                self.blocks(says);
            }
        }
    }

    /// Takes what stands for itself, block by block.
    fn blocks(&mut self, says: &mut Vec<u8>) {
        while let Some(block) = self.bytes.get(self.at..).and_then(|rest| rest.first_chunk::<32>())
            // Without a branch in it, the compiler makes this loop wide.
            && block.iter().fold(0, |any, &b| any | u8::from(b == b'"') | u8::from(b == b'\\') | u8::from(b < 0x20)) == 0
        {
            says.extend_from_slice(block);
            self.at += 32;
        }
    }

    fn escape(&mut self, says: &mut Vec<u8>) -> Result<(), NotJson> {
        let stands_for = match self.bytes.get(self.at + 1) {
            Some(&b @ (b'"' | b'\\' | b'/')) => b,
            Some(b'b') => 0x08,
            Some(b'f') => 0x0c,
            Some(b'n') => b'\n',
            Some(b'r') => b'\r',
            Some(b't') => b'\t',
            Some(b'u') => return self.unicode(says),
            _ => return Err(NotJson),
        };
        says.push(stands_for);
        self.at += 2;
        Ok(())
    }

    /// `\uXXXX`, or two that are a pair. A lone surrogate, which no Rust string can hold, is read as U+FFFD.
    fn unicode(&mut self, says: &mut Vec<u8>) -> Result<(), NotJson> {
        let unit = |at: usize| {
            let digits = self.bytes.get(at..at + 6)?.strip_prefix(b"\\u")?;
            digits.iter().try_fold(0, |unit, &b| Some(unit << 4 | char::from(b).to_digit(16)?))
        };
        let first = unit(self.at).ok_or(NotJson)?;
        let second = unit(self.at + 6).filter(|second| matches!(first, 0xd800..0xdc00) && matches!(second, 0xdc00..0xe000));
        let code = second.map_or(first, |second| 0x1_0000 + ((first - 0xd800) << 10 | (second - 0xdc00)));
        let c = char::from_u32(code).unwrap_or(char::REPLACEMENT_CHARACTER);
        says.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes());
        self.at += if second.is_some() { 12 } else { 6 };
        Ok(())
    }
}

/// The highest bit of each byte that doesn't stand for itself in a string: a quote, a backslash, a control character. Only the lowest of
/// the bits is exact: a borrow may set those above.
#[inline]
fn stops(eight: u64) -> u64 {
    const ONES: u64 = 0x0101_0101_0101_0101;
    let zero = |bytes: u64| bytes.wrapping_sub(ONES) & !bytes;
    let control = eight.wrapping_sub(ONES * 0x20) & !eight;
    (zero(eight ^ (ONES * u64::from(b'"'))) | zero(eight ^ (ONES * u64::from(b'\\'))) | control) & (ONES * 0x80)
}

/// Appends a short range of bytes.
#[inline]
fn append(says: &mut Vec<u8>, bytes: &[u8], range: &Range<usize>) {
    match bytes.get(range.start..).and_then(|rest| rest.first_chunk::<8>()) {
        Some(eight) if range.len() <= 8 => {
            says.extend_from_slice(eight);
            says.truncate((says.len() + range.len()).saturating_sub(8));
        }
        _ => says.extend_from_slice(bytes.get(range.clone()).unwrap_or_default()),
    }
}
