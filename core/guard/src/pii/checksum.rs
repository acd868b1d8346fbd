//! The check digits of numbers that have one.

/// ISO/IEC 7812-1, annex B (Luhn): cards, Canadian social insurance numbers.
pub(crate) fn luhn(digits: &[u8]) -> bool {
    let sum: u32 = digits
        .iter()
        .rev()
        .enumerate()
        .map(|(place, &digit)| match (place % 2, u32::from(digit)) {
            (0, digit) => digit,
            (_, digit) if digit > 4 => digit * 2 - 9,
            (_, digit) => digit * 2,
        })
        .sum();
    digits.len() > 1 && sum.is_multiple_of(10)
}

/// ISO 13616 and ISO 7064 (MOD 97-10): an IBAN in upper case without spaces.
pub(crate) fn iban(code: &[u8]) -> bool {
    if code.len() < 15 || code.len() > 34 {
        return false;
    }
    let (head, tail) = code.split_at(4);
    let mut rest = 0u32;
    for &byte in tail.iter().chain(head) {
        rest = match byte {
            b'0'..=b'9' => rest * 10 + u32::from(byte - b'0'),
            b'A'..=b'Z' => rest * 100 + u32::from(byte - b'A') + 10,
            _ => return false,
        } % 97;
    }
    rest == 1
}

/// The length of a country's IBANs (SWIFT's IBAN registry).
pub(crate) fn iban_length(country: [u8; 2]) -> Option<usize> {
    const LENGTHS: &[(usize, &str)] = &[
        (15, "NO"),
        (16, "BE"),
        (18, "DK FK FI FO GL NL SD"),
        (19, "MK SI"),
        (20, "AT BA EE KZ LT LU XK"),
        (21, "HR LV LI CH"),
        (22, "BH BG CR DE GB GE IE ME RS VA"),
        (23, "AE GI IL IQ OM SO TL"),
        (24, "AD CZ MD PK RO SA ES SE SK TN VG"),
        (25, "LY PT ST"),
        (26, "IS TR"),
        (27, "BI DJ FR GR IT MC MR SM"),
        (28, "AL AZ BY CY DO GT HU LB NI PL SV"),
        (29, "BR EG PS QA UA"),
        (30, "JO KW MU"),
        (31, "MT SC"),
        (32, "LC"),
        (33, "RU"),
    ];
    LENGTHS.iter().find(|(_, countries)| countries.split(' ').any(|other| other.as_bytes() == country)).map(|(length, _)| *length)
}

/// The ABA's routing number: weights 3, 7, 1, and a first pair that is in use.
pub(crate) fn routing(digits: &[u8]) -> bool {
    let [a, b, c, d, e, f, g, h, i] = *digits else { return false };
    let [a, b, c, d, e, f, g, h, i] = [a, b, c, d, e, f, g, h, i].map(u32::from);
    let district = a * 10 + b;
    let known = matches!(district, 1..=12 | 21..=32 | 61..=72 | 80);
    known && (3 * (a + d + g) + 7 * (b + e + h) + c + f + i).is_multiple_of(10)
}

/// The NHS data dictionary's modulus 11.
pub(crate) fn nhs(digits: &[u8]) -> bool {
    let Some((&check, rest)) = digits.split_last().filter(|(_, rest)| rest.len() == 9) else { return false };
    let sum: u32 = rest.iter().zip((2..=10).rev()).map(|(&digit, weight)| u32::from(digit) * weight).sum();
    match 11 - sum % 11 {
        11 => check == 0,
        10 => false,
        other => other == u32::from(check),
    }
}

/// HMRC's modulus 11 check of a unique taxpayer reference: the first digit checks the others.
pub(crate) fn taxpayer_reference(digits: &[u8]) -> bool {
    const WEIGHTS: [u32; 9] = [6, 7, 8, 9, 10, 5, 4, 3, 2];
    const CHECKS: [u8; 11] = [2, 1, 9, 8, 7, 6, 5, 4, 3, 2, 1];
    let Some((&check, rest)) = digits.split_first().filter(|(_, rest)| rest.len() == 9) else { return false };
    let sum: u32 = rest.iter().zip(WEIGHTS).map(|(&digit, weight)| u32::from(digit) * weight).sum();
    CHECKS.get((sum % 11) as usize) == Some(&check)
}

/// 49 CFR 565.15: a vehicle's number, the ninth place checks the others.
pub(crate) fn vehicle(code: &[u8]) -> bool {
    const WEIGHTS: [u32; 17] = [8, 7, 6, 5, 4, 3, 2, 10, 0, 9, 8, 7, 6, 5, 4, 3, 2];
    let value = |byte: u8| {
        Some(match byte {
            b'0'..=b'9' => u32::from(byte - b'0'),
            b'A'..=b'H' => u32::from(byte - b'A') + 1,
            b'J'..=b'N' => u32::from(byte - b'J') + 1,
            b'P' => 7,
            b'R' => 9,
            b'S'..=b'Z' => u32::from(byte - b'S') + 2,
            _ => return None,
        })
    };
    if code.len() != 17 {
        return false;
    }
    let mut sum = 0;
    for (&byte, weight) in code.iter().zip(WEIGHTS) {
        let Some(value) = value(byte) else { return false };
        sum += value * weight;
    }
    let check = match sum % 11 {
        10 => b'X',
        rest => b'0' + u8::try_from(rest).unwrap_or(0),
    };
    code.get(8) == Some(&check)
}

/// Whether a card issuer uses the prefix with this many digits (ISO/IEC 7812 ranges that the networks publish).
pub(crate) fn card_prefix(digits: &[u8]) -> bool {
    let number = |places: usize| digits.iter().take(places).fold(0u32, |number, &digit| number * 10 + u32::from(digit));
    let (one, two, three, four, six) = (number(1), number(2), number(3), number(4), number(6));
    let length = digits.len();
    match length {
        13 => one == 4,
        14 => (300..=305).contains(&three) || three == 309 || matches!(two, 36 | 38 | 39),
        15 => matches!(two, 34 | 37) || matches!(four, 2131 | 1800),
        16..=19 => {
            let visa = one == 4 && length != 17 && length != 18;
            let mastercard = length == 16 && ((51..=55).contains(&two) || (2221..=2720).contains(&four));
            let discover = four == 6011 || (644..=649).contains(&three) || two == 65 || (622_126..=622_925).contains(&six);
            let others = (3528..=3589).contains(&four) || two == 62 || two == 81;
            let maestro = matches!(four, 5018 | 5020 | 5038 | 5893 | 6304 | 6759 | 6761..=6763);
            visa || mastercard || discover || others || maestro
        }
        _ => length == 12 && matches!(four, 5018 | 5020 | 5038 | 5893 | 6304 | 6759 | 6761..=6763),
    }
}
