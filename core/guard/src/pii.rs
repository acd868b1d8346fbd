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
    let all: [(&[P], Shape); 12] = [
        (&[P::Email], Shape { bytes: [local, |b| b == b'@', alphanumeric, any, any] }),
        // Four digits, or three and a separator, or two and a dot; and one digit before a group.
        (NUMBERS, Shape { bytes: [edge, digit, digit, digit, |b| b.is_ascii_digit() || separator(b)] }),
        (NUMBERS, Shape { bytes: [edge, digit, separator, digit, more] }),
        (NUMBERS, Shape { bytes: [edge, digit, digit, |b| b == b'.', digit] }),
        (&[P::Phone], Shape { bytes: [edge, |b| b == b'+', digit, more, more] }),
        (&[P::Phone], Shape { bytes: [edge, |b| b == b'(', digit, digit, digit] }),
        (
            &[P::InternationalBankAccountNumber, P::UkNationalInsuranceNumber],
            Shape { bytes: [edge, upper, upper, |b| b.is_ascii_digit() || b == b' ', digit] },
        ),
        (&[P::VehicleIdentificationNumber], Shape { bytes: [edge, vehicle, vehicle, vehicle, vehicle] }),
        (
            &[P::MacAddress, P::IpAddress],
            Shape { bytes: [edge, hex, hex, |b| matches!(b, b':' | b'-'), |b| hex(b) || b == b':'] },
        ),
        (&[P::IpAddress], Shape { bytes: [|b| edge(b) && b != b':', |b| b == b':', |b| b == b':', hex, any] }),
        (
            &[P::IpAddress],
            Shape {
                bytes: [
                    edge,
                    |b| matches!(b, b'f' | b'F'),
                    |b| matches!(b, b'c'..=b'e' | b'C'..=b'E'),
                    hex,
                    |b| hex(b) || b == b':',
                ],
            },
        ),
        (&[P::IpAddress], Shape { bytes: [|b| edge(b) && b != b':', hex, hex, hex, hex] }),
    ];
    // What leads to nothing that is wanted never fits.
    let never = || Shape { bytes: [|_| false; 5] };
    all.into_iter().map(|(kinds, shape)| if kinds.iter().any(|&kind| wanted(kind)) { shape } else { never() }).collect()
}

/// What begins at a place where shapes were seen.
pub(crate) fn shape_at(text: &str, at: usize, bits: u64, hits: &mut Vec<Hit>) {
    let bytes = text.as_bytes();
    let is = |bit: u32| bits & (1 << bit) != 0;
    if is(0) {
        hits.extend(token::email(bytes, at));
    }
    if is(1) || is(2) || is(3) {
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
    if is(8) && !(at >= 2 && byte(bytes, at - 1) == byte(bytes, at + 2) && hex(byte(bytes, at - 2))) {
        let separator = byte(bytes, at + 2);
        let again = |from: usize, to: usize| (from..=to).any(|place| byte(bytes, at + place) == separator);
        if again(5, 5) {
            hits.extend(token::mac(bytes, at).or_else(|| token::ip_v6(bytes, at)));
        } else if separator == b':' && again(3, 7) {
            hits.extend(token::ip_v6(bytes, at));
        }
    }
    if is(9) || is(10) || is(11) && byte(bytes, at + 4) == b':' {
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
