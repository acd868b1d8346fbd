//! Values of the typed operators, read once: exact decimals, dates, address ranges, truth values, base 64.

use std::{
    cmp::Ordering,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
};

/// The most significant digits of a number.
const DIGITS_MAX: usize = 64;
/// The longest number as it is written.
const NUMBER_BYTES_MAX: usize = 256;

/// A decimal number, exactly.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Decimal {
    /// An integer of at most [`SHORT_DIGITS`] digits, always in this form.
    Integer(i64),
    /// Any other.
    Exact(Digits),
}

/// The most digits of an integer that is kept as one.
const SHORT_DIGITS: usize = 18;

/// `0.d₁d₂… × 10^point`, without zeros at either end of the digits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Digits {
    negative: bool,
    point: i32,
    digits: [u8; DIGITS_MAX],
    len: usize,
}

impl Decimal {
    /// Reads "an integer or decimal value" (Numeric condition operators): JSON's notation, leading zeros allowed, exponents not.
    /// `None` for anything else, and for more digits than are kept exactly.
    pub(crate) fn read(text: &str) -> Option<Self> {
        if let Some(integer) = short_integer(text) {
            return Some(Self::Integer(integer));
        }
        let digits = Digits::read(text)?;
        Some(digits.integer().map_or(Self::Exact(digits), Self::Integer))
    }

    fn digits(&self) -> Option<Digits> {
        match self {
            Self::Integer(integer) => Digits::read(&integer.to_string()),
            Self::Exact(digits) => Some(*digits),
        }
    }
}

impl PartialOrd for Decimal {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Decimal {
    fn cmp(&self, other: &Self) -> Ordering {
        match (self, other) {
            (Self::Integer(one), Self::Integer(other)) => one.cmp(other),
            // Both have digits: an integer always reads back.
            _ => self.digits().cmp(&other.digits()),
        }
    }
}

/// An integer of few digits.
#[inline]
fn short_integer(text: &str) -> Option<i64> {
    let (negative, digits) = match text.as_bytes() {
        [b'-', digits @ ..] => (true, digits),
        digits => (false, digits),
    };
    if !(1..=SHORT_DIGITS).contains(&digits.len()) {
        return None;
    }
    let mut integer = 0;
    for digit in digits {
        let digit = digit.wrapping_sub(b'0');
        if digit > 9 {
            return None;
        }
        integer = integer * 10 + i64::from(digit);
    }
    Some(if negative { -integer } else { integer })
}

impl Digits {
    fn read(text: &str) -> Option<Self> {
        if text.len() > NUMBER_BYTES_MAX {
            return None;
        }
        let (negative, text) = text.strip_prefix('-').map_or((false, text), |text| (true, text));
        let (whole, fraction) = match text.split_once('.') {
            None => (text, None),
            Some((whole, fraction)) => (whole, Some(fraction)),
        };
        if !is_digits(whole) || fraction.is_some_and(|fraction| !is_digits(fraction)) {
            return None;
        }
        let all = || whole.bytes().chain(fraction.unwrap_or_default().bytes());
        let zeros = all().take_while(|digit| *digit == b'0').count();
        let mut number = Self { negative, point: 0, digits: [0; DIGITS_MAX], len: 0 };
        for (index, digit) in all().skip(zeros).enumerate() {
            match number.digits.get_mut(index) {
                Some(place) => *place = digit,
                None if digit == b'0' => continue,
                None => return None,
            }
            if digit != b'0' {
                number.len = index + 1;
            }
        }
        if number.len == 0 {
            return Some(Self { negative: false, point: 0, digits: [0; DIGITS_MAX], len: 0 });
        }
        for place in number.digits.iter_mut().skip(number.len) {
            *place = 0;
        }
        number.point = i32::try_from(whole.len()).ok()? - i32::try_from(zeros).ok()?;
        Some(number)
    }

    /// The integer it is, if it is a short one.
    fn integer(&self) -> Option<i64> {
        let places = usize::try_from(self.point).ok().filter(|places| *places >= self.len && *places <= SHORT_DIGITS)?;
        let digits = self.digits.iter().take(places).map(|digit| i64::from(digit.saturating_sub(b'0')));
        let magnitude = digits.fold(0, |integer, digit| integer * 10 + digit);
        Some(if self.negative { -magnitude } else { magnitude })
    }

    /// Compares what the numbers amount to, signs aside.
    fn magnitude(&self, other: &Self) -> Ordering {
        match (self.len, other.len) {
            (0, 0) => Ordering::Equal,
            (0, _) => Ordering::Less,
            (_, 0) => Ordering::Greater,
            _ => self.point.cmp(&other.point).then_with(|| self.digits.cmp(&other.digits)),
        }
    }
}

impl PartialOrd for Digits {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Digits {
    fn cmp(&self, other: &Self) -> Ordering {
        match (self.negative, other.negative) {
            (false, false) => self.magnitude(other),
            (true, true) => other.magnitude(self),
            (true, false) => Ordering::Less,
            (false, true) => Ordering::Greater,
        }
    }
}

#[inline]
fn is_digits(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit())
}

/// Reads a time as policies write it (`DateLessThan` and its like): whole seconds since the epoch. The W3C's profile of ISO 8601, such as
/// `2026-01-31` or `2026-01-31T12:30:05Z`, or the seconds themselves.
pub fn moment_secs(text: &str) -> Option<i64> {
    Moment::read(text).map(Moment::seconds)
}

/// A moment: seconds since the epoch and nanoseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Moment {
    seconds: i64,
    nanos: u32,
}

impl Moment {
    /// Whole seconds since the epoch.
    pub(crate) fn seconds(self) -> i64 {
        self.seconds
    }

    /// Reads a date of the W3C's profile of ISO 8601 (`2026-01`, `2026-01-31`, `2026-01-31T12:30Z`,
    /// `2026-01-31T12:30:05.25+01:00`) or whole seconds since the epoch. Four digits alone might be either: they are neither.
    pub(crate) fn read(text: &str) -> Option<Self> {
        if is_digits(text) {
            return (text.len() != 4 && text.len() <= 12)
                .then(|| text.parse().ok())
                .flatten()
                .map(|seconds| Self { seconds, nanos: 0 });
        }
        let (date, time) = match text.split_once('T') {
            None => (text, None),
            Some((date, time)) => (date, Some(time)),
        };
        let mut parts = date.split('-');
        let year = i64::from(number(parts.next()?, 4)?);
        let month = number(parts.next()?, 2).filter(|month| (1..=12).contains(month))?;
        let day = match parts.next() {
            None if time.is_none() => 1,
            day => number(day?, 2).filter(|day| (1..=days(year, month)).contains(day))?,
        };
        if parts.next().is_some() {
            return None;
        }
        let (seconds, nanos) = time.map_or(Some((0, 0)), read_time)?;
        Some(Self { seconds: day_number(year, month, day) * 86400 + seconds, nanos })
    }
}

/// Reads `hh:mm[:ss[.f]]` and the zone; seconds since midnight of UTC.
fn read_time(text: &str) -> Option<(i64, u32)> {
    let (clock, offset) = if let Some(clock) = text.strip_suffix('Z') {
        (clock, 0)
    } else {
        let at = text.rfind(['+', '-'])?;
        let (clock, zone) = text.split_at(at);
        let (hours, minutes) = zone.get(1..)?.split_once(':')?;
        let offset = i64::from(number(hours, 2).filter(|hours| *hours < 24)?) * 3600
            + i64::from(number(minutes, 2).filter(|minutes| *minutes < 60)?) * 60;
        (clock, if zone.starts_with('-') { -offset } else { offset })
    };
    let mut parts = clock.split(':');
    let hours = number(parts.next()?, 2).filter(|hours| *hours < 24)?;
    let minutes = number(parts.next()?, 2).filter(|minutes| *minutes < 60)?;
    let (seconds, nanos) = match parts.next() {
        None => (0, 0),
        Some(text) => {
            let (whole, fraction) = text.split_once('.').map_or((text, None), |(whole, fraction)| (whole, Some(fraction)));
            let nanos = match fraction {
                None => 0,
                Some(fraction) if is_digits(fraction) && fraction.len() <= 9 => format_nanos(fraction)?,
                Some(_) => return None,
            };
            (number(whole, 2).filter(|seconds| *seconds < 60)?, nanos)
        }
    };
    if parts.next().is_some() {
        return None;
    }
    Some((i64::from(hours) * 3600 + i64::from(minutes) * 60 + i64::from(seconds) - offset, nanos))
}

fn format_nanos(fraction: &str) -> Option<u32> {
    let scale = u32::try_from(9 - fraction.len()).ok()?;
    fraction.parse::<u32>().ok().map(|fraction| fraction * 10_u32.pow(scale))
}

fn number(text: &str, len: usize) -> Option<u32> {
    (text.len() == len && is_digits(text)).then(|| text.parse().ok()).flatten()
}

fn is_leap(year: i64) -> bool {
    year % 4 == 0 && (year % 100 != 0 || year % 400 == 0)
}

fn days(year: i64, month: u32) -> u32 {
    match month {
        2 if is_leap(year) => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

/// Days since the epoch.
fn day_number(year: i64, month: u32, day: u32) -> i64 {
    let before = year - 1;
    let to_year = before * 365 + before.div_euclid(4) - before.div_euclid(100) + before.div_euclid(400);
    let in_year: u32 = (1..month).map(|month| days(year, month)).sum();
    // 719162 days lie between 0001-01-01 and 1970-01-01.
    to_year - 719_162 + i64::from(in_year) + i64::from(day) - 1
}

/// A range of addresses.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Range {
    /// IPv4: network and mask.
    V4(u32, u32),
    /// IPv6: network and mask.
    V6(u128, u128),
}

impl Range {
    /// Reads a CIDR, or an IPv4 address alone, which is a `/32` (Condition operators: IP address).
    ///
    /// The error says what is wrong and how to mend it: AWS gives an address without a prefix the prefix `/32`, which of an
    /// IPv6 address would be a whole provider's range; so it has to be written.
    pub(crate) fn read(text: &str) -> Result<Self, (String, String)> {
        let wrong = || ("this is no range of addresses".to_owned(), "write `203.0.113.0/24` or `2001:db8::/32`".to_owned());
        let (address, prefix) = match text.split_once('/') {
            None => (text, None),
            Some((address, prefix)) if is_digits(prefix) && prefix.len() <= 3 && (prefix == "0" || !prefix.starts_with('0')) => {
                (address, Some(prefix.parse::<u32>().map_err(|_| wrong())?))
            }
            Some(_) => return Err(wrong()),
        };
        match address.parse().map_err(|_| wrong())? {
            IpAddr::V4(address) => {
                let prefix = prefix.unwrap_or(32);
                let mask = 32_u32.checked_sub(prefix).map(|bits| u32::MAX.checked_shl(bits).unwrap_or(0)).ok_or_else(wrong)?;
                Ok(Self::V4(u32::from(address) & mask, mask))
            }
            IpAddr::V6(address) if address.to_ipv4_mapped().is_some() => Err((
                "this is an IPv4 address in IPv6's notation".into(),
                "write it as an IPv4 range, like `203.0.113.0/24`".into(),
            )),
            IpAddr::V6(address) => {
                let Some(prefix) = prefix else {
                    return Err(("an IPv6 address needs a prefix".into(), format!("write `{address}/128` for this one address")));
                };
                let mask = 128_u32.checked_sub(prefix).map(|bits| u128::MAX.checked_shl(bits).unwrap_or(0)).ok_or_else(wrong)?;
                Ok(Self::V6(u128::from(address) & mask, mask))
            }
        }
    }

    /// Whether an address of IPv4 lies in it.
    pub(crate) fn has_v4(self, address: Ipv4Addr) -> bool {
        matches!(self, Self::V4(network, mask) if u32::from(address) & mask == network)
    }

    /// Whether an address of IPv6 lies in it.
    pub(crate) fn has_v6(self, address: Ipv6Addr) -> bool {
        matches!(self, Self::V6(network, mask) if u128::from(address) & mask == network)
    }
}

/// Reads `true` or `false`, whatever the case.
pub(crate) fn read_bool(text: &str) -> Option<bool> {
    if text.eq_ignore_ascii_case("true") { Some(true) } else { text.eq_ignore_ascii_case("false").then_some(false) }
}

/// Whether this is base 64 with padding in its one canonical form (RFC 4648, sections 3.5 and 4): then equal texts and equal
/// bytes are the same thing.
pub(crate) fn is_base64(text: &str) -> bool {
    let body = text.strip_suffix("==").or_else(|| text.strip_suffix('=')).unwrap_or(text);
    let sextet = |byte: u8| match byte {
        b'A'..=b'Z' => Some(byte - b'A'),
        b'a'..=b'z' => Some(byte - b'a' + 26),
        b'0'..=b'9' => Some(byte - b'0' + 52),
        b'+' => Some(62),
        b'/' => Some(63),
        _ => None,
    };
    let spare = match text.len() - body.len() {
        0 => 0,
        1 => 0b11,
        _ => 0b1111,
    };
    let last = body.bytes().last().and_then(sextet);
    text.len().is_multiple_of(4)
        && body.bytes().all(|byte| sextet(byte).is_some())
        && (spare == 0 || last.is_some_and(|last| last & spare == 0))
}
