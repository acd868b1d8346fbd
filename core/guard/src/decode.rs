//! What is encoded in a text: base64, hexadecimal and percent-encoded pieces that decode to readable text.

use std::ops::Range;

use crate::{assessment::Encoding, literals};

/// The shortest and the longest piece that is decoded, in bytes, and how many of a text.
const PIECE_BYTES_MIN: usize = 24;
const PIECE_BYTES_MAX: usize = 16 << 10;
const PIECES_MAX: usize = 64;
/// The shortest text that is worth a look.
const TEXT_BYTES_MIN: usize = 12;

/// A piece of a text, decoded.
pub(crate) struct Piece {
    pub(crate) range: Range<usize>,
    pub(crate) encoding: Encoding,
    pub(crate) text: String,
}

/// Every piece of a text that decodes.
pub(crate) fn all(text: &str) -> Vec<Piece> {
    let bytes = text.as_bytes();
    let mut pieces = Vec::new();
    let mut next = 0;
    while let Some(start) = candidate(bytes, next) {
        let length = bytes.get(start..).unwrap_or_default().iter().take(PIECE_BYTES_MAX).take_while(|&&b| continues(b)).count();
        let padding = bytes.get(start + length..).unwrap_or_default().iter().take(2).take_while(|&&b| b == b'=').count();
        let end = start + length + padding;
        if length >= PIECE_BYTES_MIN && pieces.len() < PIECES_MAX {
            let body = bytes.get(start..start + length).unwrap_or_default();
            if let Some((encoding, text)) =
                hex(body).map(|text| (Encoding::Hex, text)).or_else(|| base64(body).map(|text| (Encoding::Base64, text)))
            {
                pieces.push(Piece { range: start..end, encoding, text });
            }
        }
        next = end;
    }
    percent(text, &mut pieces);
    pieces
}

/// Where the first piece that is long enough begins, from a place on that no piece runs over.
pub(crate) fn candidate(bytes: &[u8], from: usize) -> Option<usize> {
    let mut at = from;
    while let Some(block) = bytes.get(at..).and_then(|rest| rest.first_chunk::<64>()) {
        // Each bit says that as many bytes from it on continue a piece: one, then two, four, eight, and PIECE_BYTES_MIN.
        let one = literals::places(block, |b| {
            let mark = u8::from(b == b'+') | u8::from(b == b'/') | u8::from(b == b'-') | u8::from(b == b'_');
            literals::alphanumeric(b) | mark
        });
        let two = one & one >> 1;
        let four = two & two >> 2;
        let eight = four & four >> 4;
        let long = eight & eight >> 8 & eight >> 16;
        if long != 0 {
            return Some(at + long.trailing_zeros() as usize);
        }
        // What reaches the end of the block may go on.
        at += 64 - one.leading_ones() as usize;
    }
    let rest = bytes.get(at..)?;
    let mut start = 0;
    for (place, &b) in rest.iter().enumerate() {
        if !continues(b) {
            start = place + 1;
        } else if place + 1 - start >= PIECE_BYTES_MIN {
            return Some(at + start);
        }
    }
    None
}

fn continues(b: u8) -> bool {
    b.is_ascii_alphanumeric() || matches!(b, b'+' | b'/' | b'-' | b'_')
}

/// RFC 4648, section 4 or 5, without padding.
fn base64(body: &[u8]) -> Option<String> {
    // Words and paths are of one case or have no digits: only what mixes is worth the work.
    let has = |fits: fn(&u8) -> bool| body.iter().any(fits);
    if !(has(u8::is_ascii_uppercase) && has(u8::is_ascii_lowercase)) {
        return None;
    }
    let mut output = Vec::with_capacity(body.len() * 3 / 4);
    let (mut bits, mut count) = (0u32, 0);
    for &b in body {
        let value = match b {
            b'A'..=b'Z' => b - b'A',
            b'a'..=b'z' => b - b'a' + 26,
            b'0'..=b'9' => b - b'0' + 52,
            b'+' | b'-' => 62,
            _ => 63,
        };
        bits = bits << 6 | u32::from(value);
        count += 6;
        if count >= 8 {
            count -= 8;
            output.push(u8::try_from(bits >> count & 0xff).unwrap_or(0));
        }
    }
    readable(output)
}

/// RFC 4648, section 8.
fn hex(body: &[u8]) -> Option<String> {
    if !body.len().is_multiple_of(2) || !body.iter().all(u8::is_ascii_hexdigit) {
        return None;
    }
    let digit = |b: u8| char::from(b).to_digit(16).and_then(|digit| u8::try_from(digit).ok()).unwrap_or(0);
    readable(body.chunks_exact(2).map(|pair| pair.iter().fold(0, |byte, &b| byte << 4 | digit(b))).collect())
}

/// Pieces without spaces that hold at least three escapes.
fn percent(text: &str, pieces: &mut Vec<Piece>) {
    let bytes = text.as_bytes();
    let mut next = 0;
    for at in memchr::memchr_iter(b'%', bytes) {
        if at < next || pieces.len() >= PIECES_MAX {
            continue;
        }
        let fits = |b: &u8| b.is_ascii_graphic() && !matches!(b, b'"' | b'<' | b'>' | b'\'' | b'`');
        let back = bytes.get(next..at).unwrap_or_default().iter().rev().take(256).take_while(|b| fits(b)).count();
        let start = at - back;
        let length = bytes.get(start..).unwrap_or_default().iter().take(PIECE_BYTES_MAX).take_while(|b| fits(b)).count();
        next = start + length;
        let (mut output, mut escapes, mut place) = (Vec::with_capacity(length), 0, start);
        while place < next {
            let b = bytes.get(place).copied().unwrap_or(0);
            let digits = bytes.get(place + 1..place + 3).filter(|digits| b == b'%' && digits.iter().all(u8::is_ascii_hexdigit));
            let value =
                digits.and_then(|digits| std::str::from_utf8(digits).ok()).and_then(|digits| u8::from_str_radix(digits, 16).ok());
            output.push(value.unwrap_or(if b == b'+' { b' ' } else { b }));
            escapes += usize::from(value.is_some());
            place += if value.is_some() { 3 } else { 1 };
        }
        if escapes >= 3
            && let Some(text) = readable(output)
        {
            pieces.push(Piece { range: start..next, encoding: Encoding::Percent, text });
        }
    }
}

/// Bytes that are text: UTF-8, hardly any controls, and mostly ASCII or letters.
fn readable(bytes: Vec<u8>) -> Option<String> {
    let text = String::from_utf8(bytes).ok()?;
    let strange = text.chars().filter(|c| c.is_control() && !c.is_whitespace()).count();
    let plain = text.chars().filter(|c| c.is_alphanumeric() || c.is_ascii_graphic() || c.is_whitespace()).count();
    (text.len() >= TEXT_BYTES_MIN && strange == 0 && plain * 10 >= text.chars().count() * 9).then_some(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The first run that is long enough, read byte by byte.
    fn plainly(bytes: &[u8]) -> Option<usize> {
        (0..bytes.len()).find(|&at| bytes.get(at..at + PIECE_BYTES_MIN).is_some_and(|piece| piece.iter().all(|&b| continues(b))))
    }

    #[test]
    fn a_piece_is_found_wherever_it_stands_among_blocks() {
        for before in 0..140 {
            for length in [0, 1, PIECE_BYTES_MIN - 1, PIECE_BYTES_MIN, PIECE_BYTES_MIN + 1, 63, 64, 65, 130] {
                for after in [0, 1, 40, 100] {
                    // Words of eleven letters around it, which are no pieces.
                    let around = |count: usize| (0..count).map(|at| if at % 12 == 11 { b' ' } else { b'w' });
                    let mut bytes: Vec<u8> = around(before).chain([b' ']).collect();
                    bytes.extend(std::iter::repeat_n(b'Z', length));
                    bytes.push(b'.');
                    bytes.extend(around(after));
                    let expected = (length >= PIECE_BYTES_MIN).then_some(before + 1);
                    assert_eq!(plainly(&bytes), expected);
                    assert_eq!(candidate(&bytes, 0), expected, "{before} {length} {after}");
                }
            }
        }
    }

    #[test]
    fn what_continues_a_piece_is_the_same_for_blocks() {
        for b in 0..=u8::MAX {
            let mut bytes = [b' '; 64];
            bytes[..PIECE_BYTES_MIN].fill(b);
            assert_eq!(candidate(&bytes, 0).is_some(), continues(b), "{b}");
        }
    }
}
