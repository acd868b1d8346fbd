//! What begins with a digit: runs of digits in groups, read as cards, social security numbers, telephones and addresses of hosts.

use super::{Hit, PiiType, before, byte, checksum, run, token};

/// The most groups and digits that are looked at.
const GROUPS_MAX: usize = 10;
const DIGITS_MAX: usize = 40;

/// Digits in groups, with what separates them.
struct Groups {
    /// Each group's first byte and length.
    places: [(usize, usize); GROUPS_MAX],
    separators: [u8; GROUPS_MAX],
    count: usize,
}

impl Groups {
    fn read(bytes: &[u8], at: usize) -> Self {
        let mut groups = Self { places: [(0, 0); GROUPS_MAX], separators: [0; GROUPS_MAX], count: 0 };
        let mut next = at;
        for (place, separator) in groups.places.iter_mut().zip(&mut groups.separators) {
            let length = run(bytes, next, DIGITS_MAX, |b| b.is_ascii_digit());
            if length == 0 {
                break;
            }
            *place = (next, length);
            groups.count += 1;
            next += length;
            let stands = byte(bytes, next);
            if !matches!(stands, b' ' | b'-' | b'.') || !byte(bytes, next + 1).is_ascii_digit() {
                break;
            }
            *separator = stands;
            next += 1;
        }
        groups
    }

    /// The lengths of up to five groups from one on, and the separator if it is the same between all.
    fn shape(&self, from: usize, count: usize) -> Option<([usize; 5], u8)> {
        let mut lengths = [0; 5];
        for (length, (_, stands)) in lengths.iter_mut().zip(self.places.get(from..from + count)?) {
            *length = *stands;
        }
        let separators = self.separators.get(from..from + count - 1)?;
        let first = separators.first().copied().unwrap_or(0);
        separators.iter().all(|&other| other == first).then_some((lengths, first))
    }

    fn range(&self, from: usize, count: usize) -> std::ops::Range<usize> {
        let start = self.places.get(from).map_or(0, |place| place.0);
        let end = self.places.get(from + count - 1).map_or(start, |place| place.0 + place.1);
        start..end
    }
}

/// The digits of a range, as numbers, at most 19 of them.
pub(super) fn digits(bytes: &[u8], range: std::ops::Range<usize>) -> ([u8; 20], usize) {
    let (mut digits, mut count) = ([0; 20], 0);
    for &b in bytes.get(range).unwrap_or_default().iter().filter(|b| b.is_ascii_digit()) {
        if let Some(place) = digits.get_mut(count) {
            *place = b - b'0';
            count += 1;
        }
    }
    (digits, count)
}

/// Everything that a run of digits at a place holds.
pub(super) fn at(bytes: &[u8], at: usize, hits: &mut Vec<Hit>) {
    // The rest of a decimal or of an address.
    if before(bytes, at) == b'.' && at >= 2 && byte(bytes, at - 2).is_ascii_digit() {
        return;
    }
    let first = run(bytes, at, DIGITS_MAX, |b| b.is_ascii_digit());
    let joined = matches!(byte(bytes, at + first), b' ' | b'-' | b'.' | b':') && byte(bytes, at + first + 1).is_ascii_hexdigit();
    // A short number alone, or a part of a time.
    if first < 9 && (!joined && byte(bytes, at + first) != b':' || first == 2 && before(bytes, at) == b':') {
        return;
    }
    if first <= 3
        && byte(bytes, at + first) == b'.'
        && let Some(hit) = token::ip_v4(bytes, at)
    {
        hits.push(hit);
        return;
    }
    if first <= 4
        && byte(bytes, at + first) == b':'
        && let Some(hit) = token::ip_v6(bytes, at)
    {
        hits.push(hit);
        return;
    }
    // Most numbers are dates, counts and times: they are done with before anything is put into groups.
    let reach = bytes.get(at..).unwrap_or_default().iter().take(DIGITS_MAX);
    let digits =
        reach.take_while(|&&b| b.is_ascii_digit() || matches!(b, b' ' | b'-' | b'.')).filter(|b| b.is_ascii_digit()).count();
    if digits < 9 {
        return;
    }
    let groups = Groups::read(bytes, at);
    let total: usize = groups.places.iter().map(|place| place.1).sum();
    if total < 9 {
        return;
    }
    let mut from = 0;
    while from < groups.count {
        match group(bytes, &groups, from) {
            Some((hit, count)) => {
                hits.push(hit);
                from += count;
            }
            None => from += 1,
        }
    }
}

/// What begins with a group, and how many groups it takes.
fn group(bytes: &[u8], groups: &Groups, from: usize) -> Option<(Hit, usize)> {
    let left = groups.count - from;
    // A letter just after the last digit makes it another kind of token.
    let closed = |range: &std::ops::Range<usize>| {
        let after = byte(bytes, range.end);
        !after.is_ascii_alphanumeric() && after != b'_'
    };
    // What stands after a point is a fraction.
    let fraction = from.checked_sub(1).and_then(|last| groups.separators.get(last)) == Some(&b'.');
    for count in [4, 3, 5, 1].into_iter().filter(|&count| count <= left) {
        let Some((lengths, separator)) = groups.shape(from, count) else { continue };
        let range = groups.range(from, count);
        let kind = match (count, lengths) {
            (4, [4, 4, 4, 4, _]) | (3, [4, 6, 4 | 5, ..]) | (5, [4, 4, 4, 4, 3]) if separator != b'.' => {
                card(bytes, &range).then_some((PiiType::CreditDebitCardNumber, 0.99))
            }
            (1, [12..=19, ..]) if !fraction => card(bytes, &range).then_some((PiiType::CreditDebitCardNumber, 0.95)),
            (3, [3, 2, 4, ..]) if separator == b'-' => social_security(bytes, &range),
            (3, [3, 3, 4, ..]) if separator != 0 => {
                north_american(bytes, &range).then_some((PiiType::Phone, if separator == b' ' { 0.6 } else { 0.85 }))
            }
            (4, [1, 3, 3, 4, _]) if byte(bytes, range.start) == b'1' => {
                north_american(bytes, &(range.start + 1..range.end)).then_some((PiiType::Phone, 0.85))
            }
            (3, [3, 3, 3, ..]) if separator == b'-' => {
                let (digits, count) = digits(bytes, range.clone());
                let valid = digits.get(..count).is_some_and(checksum::luhn) && !matches!(digits.first(), Some(0 | 8));
                valid.then_some((PiiType::CaSocialInsuranceNumber, 0.8))
            }
            _ => None,
        };
        if let Some((kind, score)) = kind
            && closed(&range)
        {
            return Some((Hit::new(range, kind, score), count));
        }
    }
    None
}

/// Luhn, prefix, length, and not one digit throughout.
pub(super) fn card(bytes: &[u8], range: &std::ops::Range<usize>) -> bool {
    let (digits, count) = digits(bytes, range.clone());
    let Some(digits) = digits.get(..count) else { return false };
    count >= 12
        && checksum::card_prefix(digits)
        && checksum::luhn(digits)
        && digits.iter().any(|digit| digits.first() != Some(digit))
}

/// The Social Security Administration's rules since 2011; numbers from 9 on are the IRS's.
pub(super) fn social_security(bytes: &[u8], range: &std::ops::Range<usize>) -> Option<(PiiType, f32)> {
    let (digits, count) = digits(bytes, range.clone());
    let number =
        |part: std::ops::Range<usize>| digits.get(part).unwrap_or_default().iter().fold(0u32, |n, &d| n * 10 + u32::from(d));
    let (area, group, serial) = (number(0..3), number(3..5), number(5..9));
    if count != 9 || serial == 0 && area < 900 {
        return None;
    }
    match area {
        900.. => {
            matches!(group, 50..=65 | 70..=88 | 90..=92 | 94..=99).then_some((PiiType::UsIndividualTaxIdentificationNumber, 0.9))
        }
        0 | 666 => None,
        _ => (group != 0).then_some((PiiType::UsSocialSecurityNumber, 0.9)),
    }
}

/// The North American numbering plan: area and exchange begin with 2 to 9, and neither is N11.
fn north_american(bytes: &[u8], range: &std::ops::Range<usize>) -> bool {
    let (digits, count) = digits(bytes, range.clone());
    let code = |at: usize| digits.get(at..at + 3).is_some_and(|code| code.first() >= Some(&2) && !code.ends_with(&[1, 1]));
    count == 10 && code(0) && code(3)
}

/// A telephone number that begins with `+` or a parenthesis.
pub(super) fn phone(bytes: &[u8], at: usize) -> Option<Hit> {
    let plus = byte(bytes, at) == b'+';
    let length = run(bytes, at + 1, 24, |b| b.is_ascii_digit() || matches!(b, b' ' | b'-' | b'.' | b'(' | b')'));
    let mut end = at + 1 + length;
    while end > at + 1 && !byte(bytes, end - 1).is_ascii_digit() {
        end -= 1;
    }
    if plus {
        let (_, mut count) = digits(bytes, at..end);
        // What follows after a space may be another number.
        while count > 15 {
            end -= 1;
            while end > at && byte(bytes, end).is_ascii_digit() {
                end -= 1;
            }
            while end > at && !byte(bytes, end - 1).is_ascii_digit() {
                end -= 1;
            }
            count = digits(bytes, at..end).1;
        }
        let zero = byte(bytes, at + 1) == b'0';
        let open = byte(bytes, end).is_ascii_alphanumeric();
        let fine = (8..=15).contains(&count) && !zero && !open;
        return fine.then(|| Hit::new(at..extension(bytes, end), PiiType::Phone, 0.9));
    }
    // (NXX) NXX-XXXX
    let area = run(bytes, at + 1, 4, |b| b.is_ascii_digit()) == 3 && byte(bytes, at + 4) == b')';
    let exchange = at + 5 + run(bytes, at + 5, 1, |b| matches!(b, b' ' | b'-'));
    let three = run(bytes, exchange, 4, |b| b.is_ascii_digit()) == 3 && matches!(byte(bytes, exchange + 3), b' ' | b'-' | b'.');
    let four = run(bytes, exchange + 4, 5, |b| b.is_ascii_digit()) == 4;
    let end = exchange + 8;
    (area && three && four && north_american(bytes, &(at..end))).then(|| Hit::new(at..extension(bytes, end), PiiType::Phone, 0.9))
}

/// Where a telephone number ends, its extension included.
pub(super) fn extension(bytes: &[u8], end: usize) -> usize {
    let space = run(bytes, end, 1, |b| b == b' ');
    let rest = bytes.get(end + space..).unwrap_or_default();
    let mark = ["ext. ", "ext.", "ext ", "x"].into_iter().find(|mark| rest.starts_with(mark.as_bytes()));
    let Some(mark) = mark else { return end };
    let first = end + space + mark.len();
    let length = run(bytes, first, 6, |b| b.is_ascii_digit());
    if (2..=5).contains(&length) { first + length } else { end }
}
