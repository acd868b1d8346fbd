//! Sensitive information: AWS's 31 types, by fixed form, checksum and the words around.
//!
//! Everything here depends on at most [`REACH`] bytes before and after a match, so that a stream finds what the whole text holds.

pub(crate) mod checksum;
mod context;
mod number;
mod place;
mod token;

use std::ops::Range;

use serde::{Deserialize, Serialize};

use crate::literals::Shape;

pub(crate) use context::{CUES, Cue};

/// How far before a value the word that explains it may stand, and how far a match may reach, in bytes.
pub(crate) const REACH: usize = 64;
/// The longest match. A longer token is looked at up to here.
pub(crate) const MATCH_BYTES_MAX: usize = 4096;

macro_rules! pii_types {
    ($($(#[$doc:meta])* $variant:ident = $name:literal,)*) => {
        /// The kinds of sensitive information, in AWS's words.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
        pub enum PiiType {
            $($(#[$doc])* #[serde(rename = $name)] $variant,)*
        }

        impl PiiType {
            /// Every kind.
            pub const ALL: &[Self] = &[$(Self::$variant,)*];

            /// AWS's word for it; the mask is this in braces.
            #[must_use]
            pub fn name(self) -> &'static str {
                match self { $(Self::$variant => $name,)* }
            }
        }
    };
}

pii_types! {
    /// A street address. By form alone: number, words, kind of street. Misses many.
    Address = "ADDRESS",
    /// An age, with a word that says so.
    Age = "AGE",
    /// An AWS access key's identifier.
    AwsAccessKey = "AWS_ACCESS_KEY",
    /// An AWS secret key: 40 characters near a word that says so.
    AwsSecretKey = "AWS_SECRET_KEY",
    /// A Canadian health number.
    CaHealthNumber = "CA_HEALTH_NUMBER",
    /// A Canadian social insurance number (Luhn).
    CaSocialInsuranceNumber = "CA_SOCIAL_INSURANCE_NUMBER",
    /// A card's verification code.
    CreditDebitCardCvv = "CREDIT_DEBIT_CARD_CVV",
    /// A card's expiry.
    CreditDebitCardExpiry = "CREDIT_DEBIT_CARD_EXPIRY",
    /// A card's number (Luhn, issuer's prefix and length).
    CreditDebitCardNumber = "CREDIT_DEBIT_CARD_NUMBER",
    /// A driver's licence, with a word that says so.
    DriverId = "DRIVER_ID",
    /// An email address.
    Email = "EMAIL",
    /// An international bank account number (country's length, mod 97).
    InternationalBankAccountNumber = "INTERNATIONAL_BANK_ACCOUNT_NUMBER",
    /// An IPv4 or IPv6 address.
    IpAddress = "IP_ADDRESS",
    /// A vehicle's plate, with a word that says so.
    LicensePlate = "LICENSE_PLATE",
    /// A hardware address.
    MacAddress = "MAC_ADDRESS",
    /// A person's name: after a title, after "my name is", or a common first name and a capitalized word. Misses many.
    Name = "NAME",
    /// A password, with a word that says so.
    Password = "PASSWORD",
    /// A telephone number: international, in the North American form, or with a word that says so.
    Phone = "PHONE",
    /// A PIN, with a word that says so.
    Pin = "PIN",
    /// A bank's SWIFT code (ISO 9362), with a word that says so.
    SwiftCode = "SWIFT_CODE",
    /// An NHS number (mod 11), with a word that says so.
    UkNationalHealthServiceNumber = "UK_NATIONAL_HEALTH_SERVICE_NUMBER",
    /// A UK national insurance number.
    UkNationalInsuranceNumber = "UK_NATIONAL_INSURANCE_NUMBER",
    /// A UK taxpayer reference (mod 11), with a word that says so.
    UkUniqueTaxpayerReferenceNumber = "UK_UNIQUE_TAXPAYER_REFERENCE_NUMBER",
    /// A web address.
    Url = "URL",
    /// A user's name, with a word that says so.
    Username = "USERNAME",
    /// A US bank account, with a word that says so.
    UsBankAccountNumber = "US_BANK_ACCOUNT_NUMBER",
    /// A US bank's routing number (ABA checksum), with a word that says so.
    UsBankRoutingNumber = "US_BANK_ROUTING_NUMBER",
    /// A US taxpayer number.
    UsIndividualTaxIdentificationNumber = "US_INDIVIDUAL_TAX_IDENTIFICATION_NUMBER",
    /// A US passport, with a word that says so.
    UsPassportNumber = "US_PASSPORT_NUMBER",
    /// A US social security number.
    UsSocialSecurityNumber = "US_SOCIAL_SECURITY_NUMBER",
    /// A vehicle's number (ISO 3779, check digit).
    VehicleIdentificationNumber = "VEHICLE_IDENTIFICATION_NUMBER",
}

/// Something found in a text. The score says how certain the form is.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Hit {
    pub(crate) range: Range<usize>,
    pub(crate) kind: PiiType,
    pub(crate) score: f32,
}

impl Hit {
    pub(crate) fn new(range: Range<usize>, kind: PiiType, score: f32) -> Self {
        Self { range, kind, score }
    }
}

const fn any(_: u8) -> bool {
    true
}
fn edge(b: u8) -> bool {
    !b.is_ascii_alphanumeric() && b != b'_'
}
fn digit(b: u8) -> bool {
    b.is_ascii_digit()
}
fn more(b: u8) -> bool {
    b.is_ascii_digit() || matches!(b, b' ' | b'-' | b'.' | b'/' | b':')
}
fn separator(b: u8) -> bool {
    matches!(b, b'.' | b'-' | b' ')
}
fn upper(b: u8) -> bool {
    b.is_ascii_uppercase()
}
/// What may stand in a vehicle's number: I, O and Q never do.
fn vehicle(b: u8) -> bool {
    (upper(b) || digit(b)) && !matches!(b, b'I' | b'O' | b'Q')
}
fn hex(b: u8) -> bool {
    b.is_ascii_hexdigit()
}
fn local(b: u8) -> bool {
    b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-' | b'+' | b'.' | b'%')
}
fn host(b: u8) -> bool {
    b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-')
}
fn colon(b: u8) -> bool {
    b == b':'
}
fn alphanumeric(b: u8) -> bool {
    b.is_ascii_alphanumeric()
}

/// The shapes that begin something; the order is that of [`shape_at`].
pub(crate) fn shapes(wanted: impl Fn(PiiType) -> bool) -> Vec<Shape> {
    use PiiType as P;
    const NUMBERS: &[P] = &[
        P::CreditDebitCardNumber,
        P::UsSocialSecurityNumber,
        P::UsIndividualTaxIdentificationNumber,
        P::CaSocialInsuranceNumber,
        P::Phone,
        P::IpAddress,
    ];
    const ADDRESSES: &[P] = &[P::MacAddress, P::IpAddress];
    let shape = |[a, b, c, d, e]: [fn(u8) -> bool; 5], [f, g, h]: [fn(u8) -> bool; 3]| Shape { bytes: [a, b, c, d, e, f, g, h] };
    let all: [(&[P], Shape); 15] = [
        // No host is shorter than `b.co`.
        (&[P::Email], shape([local, |b| b == b'@', alphanumeric, host, host], [host, any, any])),
        // Four digits, or three and a separator, or two and a dot; and one digit before a group. Nothing of it is shorter than `1.1.1.1`.
        (NUMBERS, shape([edge, digit, digit, digit, |b| b.is_ascii_digit() || separator(b)], [|b| digit(b) || separator(b); 3])),
        (NUMBERS, shape([edge, digit, separator, digit, more], [|b| digit(b) || separator(b); 3])),
        (NUMBERS, shape([edge, digit, digit, |b| b == b'.', digit], [|b| digit(b) || separator(b); 3])),
        (&[P::Phone], shape([edge, |b| b == b'+', digit, more, more], [any; 3])),
        (&[P::Phone], shape([edge, |b| b == b'(', digit, digit, digit], [any; 3])),
        (
            &[P::InternationalBankAccountNumber, P::UkNationalInsuranceNumber],
            shape([edge, upper, upper, |b| b.is_ascii_digit() || b == b' ', digit], [any; 3]),
        ),
        (&[P::VehicleIdentificationNumber], shape([edge, vehicle, vehicle, vehicle, vehicle], [|b| upper(b) || digit(b); 3])),
        // A pair, a colon and something that goes on: a time of day ends here.
        (ADDRESSES, shape([edge, hex, hex, colon, hex], [|b| hex(b) || colon(b), |b| hex(b) || colon(b), any])),
        (&[P::IpAddress], shape([|b| edge(b) && !colon(b), colon, colon, hex, any], [any; 3])),
        (
            &[P::IpAddress],
            shape([edge, |b| matches!(b, b'f' | b'F'), |b| matches!(b, b'c'..=b'e' | b'C'..=b'E'), hex, colon], [any; 3]),
        ),
        (&[P::IpAddress], shape([|b| edge(b) && !colon(b), hex, hex, hex, hex], [colon, any, any])),
        (NUMBERS, shape([edge, digit, digit, digit, digit], [colon, any, any])),
        (ADDRESSES, shape([edge, hex, hex, |b| b == b'-', hex], [hex, |b| b == b'-', hex])),
        (ADDRESSES, shape([edge, hex, hex, colon, colon], [any; 3])),
    ];
    // What leads to nothing that is wanted never fits.
    let never = || Shape { bytes: [|_| false; 8] };
    all.into_iter().map(|(kinds, shape)| if kinds.iter().any(|&kind| wanted(kind)) { shape } else { never() }).collect()
}

/// What begins at a place where shapes were seen.
pub(crate) fn shape_at(text: &str, at: usize, bits: u16, hits: &mut Vec<Hit>) {
    let bytes = text.as_bytes();
    let is = |bit: u32| bits & (1 << bit) != 0;
    if is(0) {
        hits.extend(token::email(bytes, at));
    }
    if is(1) || is(2) || is(3) || is(12) {
        number::at(bytes, at, hits);
    }
    if is(4) || is(5) {
        hits.extend(number::phone(bytes, at));
    }
    if is(6) {
        hits.extend(token::iban(bytes, at).or_else(|| token::national_insurance(bytes, at)));
    }
    if is(7) {
        hits.extend(token::vehicle(bytes, at));
    }
    // A time or a date has such a beginning, too: one that goes on from a pair before it is none, nor is one without a second separator.
    if (is(8) || is(13) || is(14)) && !(at >= 2 && byte(bytes, at - 1) == byte(bytes, at + 2) && hex(byte(bytes, at - 2))) {
        let separator = byte(bytes, at + 2);
        let again = |from: usize, to: usize| (from..=to).any(|place| byte(bytes, at + place) == separator);
        if again(5, 5) {
            hits.extend(token::mac(bytes, at).or_else(|| token::ip_v6(bytes, at)));
        } else if separator == b':' && again(3, 7) {
            hits.extend(token::ip_v6(bytes, at));
        }
    }
    if is(9) || is(10) || is(11) {
        hits.extend(token::ip_v6(bytes, at));
    }
}

/// What a word that explains a value leads to: the value after it, or close before it.
pub(crate) fn cue_at(text: &str, range: Range<usize>, cue: Cue, hits: &mut Vec<Hit>) {
    context::at(text, range, cue, hits);
}

/// A byte, or 0 outside of the text.
fn byte(bytes: &[u8], at: usize) -> u8 {
    bytes.get(at).copied().unwrap_or(0)
}

/// The byte before a place, or 0.
fn before(bytes: &[u8], at: usize) -> u8 {
    at.checked_sub(1).map_or(0, |at| byte(bytes, at))
}

/// How many bytes from a place on fit, at most `max`.
fn run(bytes: &[u8], at: usize, max: usize, fits: impl Fn(u8) -> bool) -> usize {
    bytes.get(at..).unwrap_or_default().iter().take(max).take_while(|&&b| fits(b)).count()
}

/// How many bytes just before a place fit, at most `max`.
fn run_back(bytes: &[u8], at: usize, max: usize, fits: impl Fn(u8) -> bool) -> usize {
    bytes.get(..at).unwrap_or_default().iter().rev().take(max).take_while(|&&b| fits(b)).count()
}

#[cfg(test)]
#[allow(clippy::indexing_slicing, reason = "a test's helpers fail as its assertions do")]
mod tests {
    use proptest::prelude::{Just, ProptestConfig, prop, prop_assert_eq, prop_oneof, proptest};

    use super::*;

    type Five = [fn(u8) -> bool; 5];

    /// Wider shapes than are looked for, of what stands before and four bytes, each with the bit of what it leads to.
    const WIDE: &[(u32, Five)] = &[
        (0, [local, |b| b == b'@', alphanumeric, any, any]),
        (1, [edge, digit, digit, digit, |b| b.is_ascii_digit() || separator(b)]),
        (2, [edge, digit, separator, digit, more]),
        (3, [edge, digit, digit, |b| b == b'.', digit]),
        (4, [edge, |b| b == b'+', digit, more, more]),
        (5, [edge, |b| b == b'(', digit, digit, digit]),
        (6, [edge, upper, upper, |b| b.is_ascii_digit() || b == b' ', digit]),
        (7, [edge, vehicle, vehicle, vehicle, vehicle]),
        (8, [edge, hex, hex, |b| matches!(b, b':' | b'-'), |b| hex(b) || b == b':']),
        (9, [|b| edge(b) && b != b':', colon, colon, hex, any]),
        (
            10,
            [
                edge,
                |b| b.eq_ignore_ascii_case(&b'f'),
                |b| matches!(b.to_ascii_lowercase(), b'c'..=b'e'),
                hex,
                |b| hex(b) || b == b':',
            ],
        ),
        (11, [|b| edge(b) && b != b':', hex, hex, hex, hex]),
    ];

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(4000))]

        /// What the later bytes of a shape rule out leads to nothing.
        #[test]
        fn the_shapes_lose_nothing(pieces in prop::collection::vec(prop_oneof![
            "[0-9a-fA-F]{1,4}", "[0-9]{1,4}", "[:.@ -]{1,2}", "(:[0-9a-f]{1,4}){5,7}", "([0-9a-f]{2}[:-]){5}[0-9a-f]{2}", "[0-9]\\.[0-9]\\.[0-9]\\.[0-9]",
            Just("1HGCM82633A004352".to_owned()), Just("a@b.co".to_owned()), Just("a@b.c.io".to_owned()), Just("4111111111111111".to_owned()), "::", "[a-z0-9@.-]{1,6}", "[ -~]",
        ], 0..9)) {
            let text = pieces.concat();
            let at = |place: usize, i: usize| (place + i).checked_sub(1).and_then(|at| text.as_bytes().get(at)).copied().unwrap_or(b'\n');
            let shapes = shapes(|_| true);
            for place in 0..text.len() {
                let narrow = shapes.iter().enumerate().filter(|(_, shape)| (0..8).all(|i| shape.bytes[i](at(place, i))));
                let narrow = narrow.fold(0, |bits, (bit, _)| bits | 1 << bit);
                let wide = WIDE.iter().filter(|(_, bytes)| (0..5).all(|i| bytes[i](at(place, i)))).fold(0, |bits, (bit, _)| bits | 1 << bit);
                let (mut expected, mut found) = (Vec::new(), Vec::new());
                shape_at(&text, place, wide, &mut expected);
                shape_at(&text, place, narrow, &mut found);
                prop_assert_eq!(found, expected, "{:?} {}", text, place);
            }
        }
    }
}
