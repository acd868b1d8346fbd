//! Values that only the words around them explain.

use std::ops::Range;

use super::{
    Hit, PiiType, REACH, before, byte, checksum,
    number::{card, digits, extension, social_security},
    place, run, token,
};

/// What a word announces.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Cue {
    /// A value of this kind stands after it, or just before.
    Value(PiiType),
    /// The word is itself the beginning of a web address.
    Scheme,
    /// The word is itself the beginning of an AWS key's identifier.
    AwsKey,
    /// A title: a name follows.
    Title,
    /// A phrase after which a name follows.
    Introduction,
    /// A common first name.
    FirstName,
    /// A kind of street: a number and words stand before.
    Street,
    /// A post office box: a number follows.
    Box,
}

impl Cue {
    /// The kinds that the cue may lead to: only the cues of kinds that a guardrail looks for are looked for.
    pub(crate) fn kinds(self) -> &'static [PiiType] {
        match self {
            Self::Scheme => &[PiiType::Url],
            Self::AwsKey => &[PiiType::AwsAccessKey, PiiType::AwsSecretKey],
            Self::Title | Self::Introduction | Self::FirstName => &[PiiType::Name],
            Self::Street | Self::Box => &[PiiType::Address],
            Self::Value(kind) => {
                let place = PiiType::ALL.iter().position(|other| *other == kind).unwrap_or(0);
                PiiType::ALL.get(place..=place).unwrap_or_default()
            }
        }
    }
}

use PiiType as P;

/// Every word that explains a value. In lower case; a space stands for any of space, `_` and `-`.
pub(crate) const CUES: &[(Cue, &[&str])] = &[
    (Cue::Scheme, &["http://", "https://", "ftp://", "ftps://", "sftp://", "ws://", "wss://", "s3://", "www."]),
    (Cue::AwsKey, &["AKIA", "ASIA", "ABIA", "ACCA"]),
    (
        Cue::Title,
        &["mr.", "mr ", "mrs", "ms.", "ms ", "dr.", "dr ", "prof.", "professor", "madam", "monsieur", "frau", "herr", "señor"],
    ),
    (
        Cue::Introduction,
        &[
            "my name is",
            "name is",
            "full name",
            "first name",
            "last name",
            "given name",
            "surname",
            "family name",
            "customer name",
            "patient name",
            "employee name",
            "cardholder name",
            "account holder",
            "dear",
            "sincerely,",
            "regards,",
            "signed by",
        ],
    ),
    (Cue::FirstName, place::FIRST_NAMES),
    (Cue::Street, place::STREETS),
    (Cue::Box, &["p.o. box", "po box", "p.o.box", "post office box"]),
    (Cue::Value(P::AwsSecretKey), &["aws secret", "secret access key", "secretaccesskey", "aws secret key", "awssecret"]),
    (
        Cue::Value(P::UsSocialSecurityNumber),
        &["ssn", "social security", "soc sec", "itin", "taxpayer identification", "individual taxpayer"],
    ),
    (Cue::Value(P::UsIndividualTaxIdentificationNumber), &["itin", "taxpayer identification", "individual taxpayer", "tax id"]),
    (Cue::Value(P::UsBankRoutingNumber), &["routing", "aba number", "aba no", "aba", "rtn", "transit number"]),
    (
        Cue::Value(P::UsBankAccountNumber),
        &[
            "account number",
            "account no",
            "account #",
            "acct",
            "bank account",
            "checking account",
            "savings account",
            "account num",
            "accountnumber",
        ],
    ),
    (Cue::Value(P::UkNationalHealthServiceNumber), &["nhs", "national health"]),
    (Cue::Value(P::UkUniqueTaxpayerReferenceNumber), &["utr", "unique taxpayer", "taxpayer reference", "tax reference"]),
    (Cue::Value(P::CaSocialInsuranceNumber), &["sin", "social insurance"]),
    (
        Cue::Value(P::CaHealthNumber),
        &["health card", "ohip", "health number", "health insurance number", "phn", "ramq", "health no"],
    ),
    (
        Cue::Value(P::CreditDebitCardCvv),
        &["cvv", "cvv2", "cvc", "cvc2", "csc", "security code", "card verification", "verification code"],
    ),
    (
        Cue::Value(P::CreditDebitCardExpiry),
        &["expiry", "expires", "exp date", "exp.", "exp:", "expiration", "valid thru", "valid until", "valid to", "good thru"],
    ),
    (Cue::Value(P::CreditDebitCardNumber), &["card number", "credit card", "debit card", "card no", "card #", "cardnumber"]),
    (Cue::Value(P::Pin), &["pin", "pin code", "pin number", "atm pin", "pincode"]),
    (Cue::Value(P::Age), &["age", "aged", "years old", "year old", "yrs old", "y/o", "turned", "turns"]),
    (
        Cue::Value(P::Phone),
        &[
            "phone",
            "telephone",
            "tel",
            "call",
            "mobile",
            "cell",
            "fax",
            "whatsapp",
            "contact number",
            "hotline",
            "dial",
            "text me",
            "reach me",
            "phone number",
        ],
    ),
    (Cue::Value(P::SwiftCode), &["swift", "bic", "swift code", "bic code", "swift/bic", "bic/swift"]),
    (
        Cue::Value(P::DriverId),
        &[
            "driver license",
            "drivers license",
            "driver's license",
            "driving licence",
            "driving license",
            "driver licence",
            "driver's licence",
            "drivers licence",
            "license number",
            "licence number",
            "dl number",
            "dl no",
            "dl#",
            "driver id",
        ],
    ),
    (
        Cue::Value(P::LicensePlate),
        &[
            "license plate",
            "licence plate",
            "number plate",
            "plate number",
            "registration plate",
            "plate no",
            "vehicle registration",
            "plates",
            "plate",
        ],
    ),
    (Cue::Value(P::UsPassportNumber), &["passport"]),
    (Cue::Value(P::VehicleIdentificationNumber), &["vin", "vehicle identification", "chassis number"]),
    (Cue::Value(P::Password), &["password", "passwd", "pwd", "passphrase", "passcode", "pass"]),
    (Cue::Value(P::Username), &["username", "user name", "login", "user id", "userid", "user", "login name", "account name"]),
];

/// What a cue leads to.
pub(super) fn at(text: &str, cue_range: Range<usize>, cue: Cue, hits: &mut Vec<Hit>) {
    let bytes = text.as_bytes();
    let (start, end) = (cue_range.start, cue_range.end);
    match cue {
        Cue::Scheme => hits.extend(token::url(bytes, start, end - start)),
        Cue::AwsKey => {
            if let Some(id) = token::aws_access_key(bytes, start) {
                let secret = (id.range.end..id.range.end + REACH).find_map(|at| secret_key(bytes, at));
                hits.extend(secret.map(|range| Hit::new(range, P::AwsSecretKey, 0.9)));
                hits.push(id);
            }
        }
        Cue::Title | Cue::Introduction | Cue::FirstName => hits.extend(place::name(text, cue_range, cue)),
        Cue::Street | Cue::Box => hits.extend(place::address(text, cue_range, cue)),
        Cue::Value(kind) => {
            let last = byte(bytes, end.saturating_sub(1));
            let after = byte(bytes, end);
            // `pin` in `pinning` announces nothing.
            let plural = after == b's' && !byte(bytes, end + 1).is_ascii_alphanumeric();
            if last.is_ascii_alphanumeric() && after.is_ascii_alphabetic() && !plural {
                return;
            }
            match kind {
                P::Password | P::Username => hits.extend(word_after(text, end, kind)),
                _ => hits.extend(value_near(bytes, start, end, kind)),
            }
        }
    }
}

/// How far after the cue a value of a kind may begin.
fn gap(kind: PiiType) -> usize {
    match kind {
        P::Age => 12,
        P::Pin => 32,
        P::CreditDebitCardCvv | P::CreditDebitCardExpiry => 24,
        P::LicensePlate => 20,
        _ => 40,
    }
}

/// The first value of a kind after the cue, or one just before it.
fn value_near(bytes: &[u8], start: usize, end: usize, kind: PiiType) -> Option<Hit> {
    let begins = |at: usize| {
        let before = before(bytes, at);
        byte(bytes, at).is_ascii_alphanumeric() && !before.is_ascii_alphanumeric() && before != b'_'
            || matches!(byte(bytes, at), b'+' | b'(')
    };
    let mut tokens = 0;
    for at in end..end + gap(kind) {
        // A sentence, a line or a record ends what the cue speaks of.
        let b = byte(bytes, at);
        let number = bytes.get(at.saturating_sub(2)..at).is_some_and(|word| word.eq_ignore_ascii_case(b"no"));
        if b == b'\n'
            || b == 0
            || matches!(b, b'.' | b';' | b'}') && byte(bytes, at + 1).is_ascii_whitespace() && at > end && !number
        {
            break;
        }
        if begins(at) {
            if let Some((range, score)) = value(bytes, at, kind) {
                return Some(range_hit(range, kind, score));
            }
            tokens += 1;
            if tokens > 6 {
                break;
            }
        }
    }
    // "42 years old", "4111 is the PIN".
    let first = start.saturating_sub(if kind == P::Age { 4 } else { 24 });
    if matches!(kind, P::Phone | P::CreditDebitCardExpiry | P::UsBankAccountNumber | P::DriverId) {
        return None;
    }
    (first..start).filter(|&at| begins(at)).find_map(|at| {
        let (range, score) = value(bytes, at, kind)?;
        let between = bytes.get(range.end..start)?;
        let near = between.len() <= 14 && !between.contains(&b'\n') && !between.contains(&b',') && !between.contains(&b':');
        near.then(|| range_hit(range, kind, score * 0.9))
    })
}

fn range_hit(range: Range<usize>, kind: PiiType, score: f32) -> Hit {
    Hit::new(range, kind, score)
}

/// Groups of digits with single separators that `fits` allows: where they end and how many digits there are.
fn grouped(bytes: &[u8], at: usize, max: usize, fits: impl Fn(u8) -> bool) -> (usize, usize) {
    let (mut end, mut count) = (at, 0);
    while end < at + max {
        let b = byte(bytes, end);
        if b.is_ascii_digit() {
            count += 1;
        } else if !(end > at && fits(b) && byte(bytes, end + 1).is_ascii_digit()) {
            break;
        }
        end += 1;
    }
    (end, count)
}

/// A value of a kind that begins at a place.
fn value(bytes: &[u8], at: usize, kind: PiiType) -> Option<(Range<usize>, f32)> {
    let separators = |b: u8| matches!(b, b' ' | b'-');
    let closed = |end: usize| !byte(bytes, end).is_ascii_alphanumeric() && byte(bytes, end) != b'_';
    let (end, count) = grouped(bytes, at, 24, separators);
    let numbers = digits(bytes, at..end).0;
    let checked = |length: usize, check: fn(&[u8]) -> bool| {
        (count == length && closed(end) && numbers.get(..length).is_some_and(check)).then_some((at..end, 0.95))
    };
    let some = |fits: bool, end: usize, score: f32| (fits && closed(end)).then_some((at..end, score));
    match kind {
        P::UsSocialSecurityNumber | P::UsIndividualTaxIdentificationNumber => {
            let (found, score) = (count == 9).then(|| social_security(bytes, &(at..end)))??;
            some(found == kind, end, score)
        }
        P::UsBankRoutingNumber => checked(9, checksum::routing),
        P::UkNationalHealthServiceNumber => checked(10, checksum::nhs),
        P::UkUniqueTaxpayerReferenceNumber => checked(10, checksum::taxpayer_reference),
        P::CaSocialInsuranceNumber => checked(9, checksum::luhn),
        P::CreditDebitCardNumber => some(card(bytes, &(at..end)), end, 0.95),
        P::UsBankAccountNumber => {
            let (plain, count) = grouped(bytes, at, 17, |b| b == b'-');
            some((6..=17).contains(&count), plain, 0.8)
        }
        P::CaHealthNumber => some(matches!(count, 9 | 10), end, 0.8),
        P::CreditDebitCardCvv | P::Pin | P::Age => short(bytes, at, kind).and_then(|end| some(true, end, 0.8)),
        P::CreditDebitCardExpiry => expiry(bytes, at).map(|end| (at..end, 0.8)),
        P::Phone => {
            let first = usize::from(matches!(byte(bytes, at), b'+' | b'('));
            let more = |b: u8| matches!(b, b' ' | b'-' | b'.' | b'/' | b'(' | b')');
            let (mut end, mut count) = (at + first, 0);
            while end < at + 24 {
                let b = byte(bytes, end);
                let pair = more(b)
                    && (byte(bytes, end + 1).is_ascii_digit()
                        || more(byte(bytes, end + 1)) && byte(bytes, end + 2).is_ascii_digit());
                if b.is_ascii_digit() {
                    count += 1;
                } else if !pair {
                    break;
                }
                end += 1;
            }
            some((7..=15).contains(&count), extension(bytes, end), 0.75)
        }
        P::AwsSecretKey => secret_key(bytes, at).map(|range| (range, 0.95)),
        _ => identifier(bytes, at, kind),
    }
}

/// Values of letters and digits.
fn identifier(bytes: &[u8], at: usize, kind: PiiType) -> Option<(Range<usize>, f32)> {
    let length = run(bytes, at, 24, |b| b.is_ascii_alphanumeric());
    let code = bytes.get(at..at + length)?;
    let numbers = code.iter().filter(|b| b.is_ascii_digit()).count();
    let upper = code.iter().all(|b| b.is_ascii_uppercase() || b.is_ascii_digit());
    let fits = match kind {
        P::SwiftCode => {
            let letters = code.get(..6).is_some_and(|bank| bank.iter().all(u8::is_ascii_uppercase));
            upper
                && letters
                && matches!(length, 8 | 11)
                && code.get(4..6).is_some_and(|country| COUNTRIES.as_bytes().chunks(3).any(|c| c.get(..2) == Some(country)))
        }
        P::UsPassportNumber => {
            let tail = code.get(1..).is_some_and(|tail| tail.iter().all(u8::is_ascii_digit));
            length == 9 && tail && code.first().is_some_and(|b| b.is_ascii_uppercase() || b.is_ascii_digit())
        }
        P::VehicleIdentificationNumber => length == 17 && upper && numbers > 0 && !code.iter().any(|b| b"IOQ".contains(b)),
        P::DriverId => {
            let (mut end, mut digits) = (at, 0);
            while end < at + 20 {
                let b = byte(bytes, end);
                let joined = matches!(b, b'-' | b' ') && byte(bytes, end + 1).is_ascii_digit() && digits > 0;
                if !(b.is_ascii_uppercase() || b.is_ascii_digit() || joined) {
                    break;
                }
                digits += usize::from(b.is_ascii_digit());
                end += 1;
            }
            let fits = digits >= 5 && end - at <= 18 && !byte(bytes, end).is_ascii_alphanumeric();
            return fits.then_some((at..end, 0.75));
        }
        P::LicensePlate => {
            let mut end = at + length;
            let mut numbers = numbers;
            if matches!(byte(bytes, end), b' ' | b'-') {
                let more = run(bytes, end + 1, 5, |b| b.is_ascii_uppercase() || b.is_ascii_digit());
                let tail = bytes.get(end + 1..end + 1 + more).unwrap_or_default();
                if more > 0
                    && !byte(bytes, end + 1 + more).is_ascii_alphanumeric()
                    && (numbers > 0 || tail.iter().any(u8::is_ascii_digit))
                {
                    numbers += tail.iter().filter(|b| b.is_ascii_digit()).count();
                    end += 1 + more;
                }
            }
            let fits = upper && numbers > 0 && (4..=9).contains(&(end - at));
            return fits.then_some((at..end, 0.75));
        }
        _ => false,
    };
    fits.then_some((at..at + length, 0.85))
}

/// Short numbers: a code, a PIN, an age.
fn short(bytes: &[u8], at: usize, kind: PiiType) -> Option<usize> {
    let length = run(bytes, at, 9, |b| b.is_ascii_digit());
    let end = at + length;
    let number = bytes.get(at..end)?.iter().fold(0u32, |n, b| n * 10 + u32::from(b - b'0'));
    let decimal = matches!(byte(bytes, end), b'.' | b',' | b':' | b'/' | b'%') && byte(bytes, end + 1).is_ascii_digit()
        || byte(bytes, end) == b'%';
    let fits = match kind {
        P::CreditDebitCardCvv => matches!(length, 3 | 4),
        P::Pin => (4..=8).contains(&length) && length != 7,
        _ => (1..=3).contains(&length) && (1..=120).contains(&number),
    };
    (fits && !decimal).then_some(end)
}

/// A month and a year.
fn expiry(bytes: &[u8], at: usize) -> Option<usize> {
    let month = run(bytes, at, 3, |b| b.is_ascii_digit());
    let number = bytes.get(at..at + month)?.iter().fold(0u32, |n, b| n * 10 + u32::from(b - b'0'));
    let mut next = at + month;
    next += run(bytes, next, 1, |b| b == b' ');
    if !(1..=2).contains(&month) || !(1..=12).contains(&number) || !matches!(byte(bytes, next), b'/' | b'-') {
        return None;
    }
    next += 1;
    next += run(bytes, next, 1, |b| b == b' ');
    let year = run(bytes, next, 5, |b| b.is_ascii_digit());
    let end = next + year;
    (matches!(year, 2 | 4) && !matches!(byte(bytes, end), b'/' | b'-')).then_some(end)
}

/// Forty characters of base64 with letters of both cases and digits.
fn secret_key(bytes: &[u8], at: usize) -> Option<Range<usize>> {
    let fits = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'/' | b'+');
    let before = before(bytes, at);
    if !fits(byte(bytes, at))
        || fits(before)
        || before == b'-'
        || run(bytes, at, 41, fits) != 40
        || matches!(byte(bytes, at + 40), b'=' | b'_' | b'-')
    {
        return None;
    }
    let code = bytes.get(at..at + 40)?;
    let mixed =
        code.iter().any(u8::is_ascii_uppercase) && code.iter().any(u8::is_ascii_lowercase) && code.iter().any(u8::is_ascii_digit);
    mixed.then(|| at..at + 40)
}

/// A password or user's name: after `:` or `=`, or after `is` if it looks like one.
fn word_after(text: &str, end: usize, kind: PiiType) -> Option<Hit> {
    let bytes = text.as_bytes();
    let mut at = end + run(bytes, end, 2, |b| matches!(b, b'"' | b'\''));
    at += run(bytes, at, 3, |b| b == b' ');
    let rest = bytes.get(at..)?;
    let mut strict = true;
    if rest.first() == Some(&b':') || rest.first() == Some(&b'=') {
        at += 1 + run(bytes, at + 1, 1, |b| matches!(b, b'=' | b'>'));
        // `::` and `==` are code.
        if byte(bytes, at) == b':' || byte(bytes, at - 1) == b'=' && byte(bytes, at - 2) == b'=' {
            return None;
        }
    } else if let Some(joint) = ["is now ", "is ", "was ", "set to "].into_iter().find(|joint| rest.starts_with(joint.as_bytes()))
    {
        at += joint.len() + usize::from(byte(bytes, at + joint.len()) == b':');
        strict = false;
    } else {
        return None;
    }
    at += run(bytes, at, 3, |b| b == b' ');
    let quote = byte(bytes, at);
    let quoted = matches!(quote, b'"' | b'\'' | b'`');
    at += usize::from(quoted);
    let mut length = run(bytes, at, 128, |b| {
        if quoted {
            b != quote && b != b'\n'
        } else {
            b.is_ascii_graphic() && !matches!(b, b',' | b';' | b'"' | b'\'' | b'<' | b'>' | b')' | b'}' | b']') || b >= 0x80
        }
    });
    if !quoted {
        while length > 0 && matches!(byte(bytes, at + length - 1), b'.' | b':' | b'?') {
            length -= 1;
        }
    }
    let value = text.get(at..at + length)?;
    let least = if kind == P::Password { 4 } else { 3 };
    let digit = value.bytes().any(|b| b.is_ascii_digit());
    let symbol = value.bytes().any(|b| b.is_ascii_punctuation() && b != b'-' && b != b'\'');
    let placeholder = value.starts_with(['$', '<', '{', '%', '[', '(', '*', '/'])
        || value.bytes().all(|b| matches!(b, b'*' | b'x' | b'X' | b'.' | b'-' | b'_'));
    let word = [
        "required",
        "null",
        "none",
        "true",
        "false",
        "string",
        "undefined",
        "incorrect",
        "invalid",
        "wrong",
        "optional",
        "hidden",
    ];
    let is_word = word.iter().any(|word| value.eq_ignore_ascii_case(word));
    let fine = value.len() >= least && !placeholder && !is_word && (strict || digit || quoted || symbol);
    fine.then(|| Hit::new(at..at + length, kind, if strict { 0.85 } else { 0.75 }))
}

/// ISO 3166-1's two letters, and Kosovo's.
const COUNTRIES: &str = "AD AE AF AG AI AL AM AO AR AT AU AW AX AZ BA BB BD BE BF BG BH BI BJ BM BN BO BR BS BT BW BY BZ CA CD CF CG CH CI CK CL CM CN CO CR CU CV CW CY CZ DE DJ DK DM DO DZ EC EE EG ER ES ET FI FJ FK FM FO FR GA GB GD GE GF GG GH GI GL GM GN GP GQ GR GT GW GY HK HN HR HT HU ID IE IL IM IN IQ IR IS IT JE JM JO JP KE KG KH KI KM KN KP KR KW KY KZ LA LB LC LI LK LR LS LT LU LV LY MA MC MD ME MG MH MK ML MM MN MO MQ MR MT MU MV MW MX MY MZ NA NC NE NG NI NL NO NP NR NZ OM PA PE PF PG PH PK PL PS PT PW PY QA RE RO RS RU RW SA SB SC SD SE SG SI SK SL SM SN SO SR SS ST SV SX SY SZ TC TD TG TH TJ TL TM TN TO TR TT TV TW TZ UA UG US UY UZ VA VC VE VG VI VN VU WS XK YE YT ZA ZM ZW ";
