//! What has a form of its own and no spaces, or fixed ones.

use std::net::{Ipv4Addr, Ipv6Addr};

use super::{Hit, MATCH_BYTES_MAX, PiiType, before, byte, checksum, run, run_back};

/// A byte that continues a word.
fn word(b: u8) -> bool {
    b.is_ascii_alphanumeric() || b == b'_'
}

/// An address around an `@` (RFC 5321's lengths; the common part of its grammar).
pub(super) fn email(bytes: &[u8], at: usize) -> Option<Hit> {
    let local =
        |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-' | b'+' | b'%' | b'\'' | b'&' | b'~' | b'=' | b'*');
    let mut start = at - run_back(bytes, at, 64, local);
    while start < at && !byte(bytes, start).is_ascii_alphanumeric() && byte(bytes, start) != b'_' {
        start += 1;
    }
    let mut end = at + 1 + run(bytes, at + 1, 253, |b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-'));
    while end > at + 1 && !byte(bytes, end - 1).is_ascii_alphanumeric() {
        end -= 1;
    }
    let domain = bytes.get(at + 1..end)?;
    let dot = domain.iter().rposition(|&b| b == b'.')?;
    let top = domain.get(dot + 1..)?;
    let labels = domain
        .split(|&b| b == b'.')
        .all(|label| !label.is_empty() && label.first() != Some(&b'-') && label.last() != Some(&b'-'));
    let fine = start < at
        && dot > 0
        && labels
        && top.len() >= 2
        && (top.iter().all(u8::is_ascii_alphabetic) || top.starts_with(b"xn--"));
    // The user of a URL or an ssh address isn't an address of mail.
    fine.then(|| Hit::new(start..end, PiiType::Email, 0.95))
}

/// ISO 13616, in one piece or in groups of four.
pub(super) fn iban(bytes: &[u8], at: usize) -> Option<Hit> {
    let country = [byte(bytes, at), byte(bytes, at + 1)];
    if !byte(bytes, at + 2).is_ascii_digit() || !byte(bytes, at + 3).is_ascii_digit() {
        return None;
    }
    let length = checksum::iban_length(country)?;
    let (mut code, mut end) = (Vec::with_capacity(length), at);
    while code.len() < length {
        let b = byte(bytes, end);
        let space = matches!(b, b' ' | b'-') && code.len().is_multiple_of(4) && byte(bytes, end - 1) != b;
        if b.is_ascii_alphanumeric() {
            code.push(b.to_ascii_uppercase());
        } else if !space {
            return None;
        }
        end += 1;
    }
    (!word(byte(bytes, end)) && checksum::iban(&code)).then(|| Hit::new(at..end, PiiType::InternationalBankAccountNumber, 0.99))
}

/// HMRC's form of a national insurance number (NIM39110): the prefixes that are never given out are left out.
pub(super) fn national_insurance(bytes: &[u8], at: usize) -> Option<Hit> {
    let prefix = bytes.get(at..at + 2)?;
    let (first, second) = (byte(bytes, at), byte(bytes, at + 1));
    let never = [b"BG", b"GB", b"KN", b"NK", b"NT", b"TN", b"ZZ"].iter().any(|never| prefix == *never);
    if never || b"DFIQUV".contains(&first) || b"DFIOQUV".contains(&second) {
        return None;
    }
    let mut end = at + 2;
    let spaced = byte(bytes, end) == b' ';
    for pair in 0..3 {
        if (spaced || pair > 0) && byte(bytes, end) == b' ' {
            end += 1;
        }
        if run(bytes, end, 2, |b| b.is_ascii_digit()) != 2 {
            return None;
        }
        end += 2;
    }
    if byte(bytes, end) == b' ' {
        end += 1;
    }
    let suffix = matches!(byte(bytes, end), b'A'..=b'D');
    (suffix && !word(byte(bytes, end + 1))).then(|| Hit::new(at..end + 1, PiiType::UkNationalInsuranceNumber, 0.95))
}

/// A vehicle's number with a right check digit, letters and digits.
pub(super) fn vehicle(bytes: &[u8], at: usize) -> Option<Hit> {
    let code = bytes.get(at..)?.first_chunk::<17>()?;
    // Most words in capitals end early. Without a branch in it, the compiler makes this loop wide.
    let fits = |b: u8| u8::from(b.wrapping_sub(b'0') < 10) | u8::from(b.wrapping_sub(b'A') < 26);
    if code.iter().fold(1, |all, &b| all & fits(b)) == 0 || word(byte(bytes, at + 17)) {
        return None;
    }
    let mixed = code.iter().any(u8::is_ascii_digit) && code.iter().filter(|b| b.is_ascii_alphabetic()).count() > 1;
    (mixed && checksum::vehicle(code)).then(|| Hit::new(at..at + 17, PiiType::VehicleIdentificationNumber, 0.95))
}

/// IEEE 802: six pairs with one separator.
pub(super) fn mac(bytes: &[u8], at: usize) -> Option<Hit> {
    let separator = byte(bytes, at + 2);
    let pairs = (0..6).all(|pair| {
        let start = at + pair * 3;
        run(bytes, start, 2, |b| b.is_ascii_hexdigit()) == 2 && (pair == 5 || byte(bytes, start + 2) == separator)
    });
    let after = byte(bytes, at + 17);
    // A seventh pair makes it something else: a fingerprint.
    let open = word(after) || after == separator && byte(bytes, at + 18).is_ascii_hexdigit();
    let earlier = before(bytes, at) == separator && at >= 2 && byte(bytes, at - 2).is_ascii_hexdigit();
    (pairs && !open && !earlier).then(|| Hit::new(at..at + 17, PiiType::MacAddress, 0.95))
}

/// Four numbers with dots; after `v` or `version` they are a version.
pub(super) fn ip_v4(bytes: &[u8], at: usize) -> Option<Hit> {
    let length = run(bytes, at, 16, |b| b.is_ascii_digit() || b == b'.');
    let text = std::str::from_utf8(bytes.get(at..at + length)?).ok()?;
    let text = text.strip_suffix('.').unwrap_or(text);
    text.parse::<Ipv4Addr>().ok()?;
    let end = at + text.len();
    let lead = bytes.get(at.saturating_sub(9)..at).unwrap_or_default().to_ascii_lowercase();
    let version = lead.ends_with(b"version ") || lead.ends_with(b"version: ") || lead.ends_with(b"version=");
    let after = byte(bytes, end);
    let open =
        word(after) || after == b'-' && word(byte(bytes, end + 1)) || after == b'.' && byte(bytes, end + 1).is_ascii_digit();
    (!version && !open).then(|| Hit::new(at..end, PiiType::IpAddress, 0.9))
}

/// RFC 4291, two colons at least.
pub(super) fn ip_v6(bytes: &[u8], at: usize) -> Option<Hit> {
    let length = run(bytes, at, 46, |b| b.is_ascii_hexdigit() || matches!(b, b':' | b'.'));
    let text = std::str::from_utf8(bytes.get(at..at + length)?).ok()?;
    let text = text.trim_end_matches('.');
    let text = if text.ends_with("::") { text } else { text.trim_end_matches(':') };
    let colons = text.bytes().filter(|&b| b == b':').count();
    // A time of day has two; an address has six or more, or two together that stand for the rest.
    if colons < 2 || text.len() < 3 || colons < 6 && !text.contains("::") {
        return None;
    }
    text.parse::<Ipv6Addr>().ok()?;
    let end = at + text.len();
    let plain = text.bytes().filter(u8::is_ascii_hexdigit).count() >= 4 || text == "::1";
    let part = before(bytes, at) == b':' || byte(bytes, end) == b':' && byte(bytes, end + 1).is_ascii_hexdigit();
    (plain && !part && !word(byte(bytes, end))).then(|| Hit::new(at..end, PiiType::IpAddress, 0.9))
}

/// Identifiers of AWS keys: users' and sessions' (IAM's reference of unique identifiers).
pub(super) fn aws_access_key(bytes: &[u8], at: usize) -> Option<Hit> {
    let length = run(bytes, at, 22, |b| b.is_ascii_uppercase() || b.is_ascii_digit());
    (length == 20 && !word(byte(bytes, at + 20))).then(|| Hit::new(at..at + 20, PiiType::AwsAccessKey, 0.98))
}

/// RFC 3986 from the scheme on; what closes a sentence or a bracket isn't part of it.
pub(super) fn url(bytes: &[u8], at: usize, scheme: usize) -> Option<Hit> {
    let fits =
        |b: u8| b.is_ascii_graphic() && !matches!(b, b'"' | b'<' | b'>' | b'\\' | b'^' | b'`' | b'{' | b'}' | b'|') || b >= 0x80;
    let host = byte(bytes, at + scheme);
    if !host.is_ascii_alphanumeric() && host != b'[' {
        return None;
    }
    let mut end = at + scheme + run(bytes, at + scheme, MATCH_BYTES_MAX / 2, fits);
    while end > at && matches!(byte(bytes, end - 1), b'.' | b',' | b';' | b':' | b'!' | b'?' | b'\'' | b'*' | b'_') {
        end -= 1;
    }
    for (close, open) in [(b')', b'('), (b']', b'[')] {
        let inside = bytes.get(at..end).unwrap_or_default();
        let count = |bracket: u8| memchr::memchr_iter(bracket, inside).count();
        if inside.last() == Some(&close) && count(close) > count(open) {
            end -= 1;
        }
    }
    // Never in the middle of a character.
    while end < bytes.len() && byte(bytes, end) & 0xc0 == 0x80 {
        end += 1;
    }
    (end > at + scheme).then(|| Hit::new(at..end, PiiType::Url, 0.95))
}
