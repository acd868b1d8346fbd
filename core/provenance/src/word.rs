//! Words: what texts and values are compared by.
//!
//! A word is a run of letters, digits and the marks that addresses, paths and numbers are written with. Case, width (NFKC) and the way a
//! number is written make no difference; what is within an address does.

use std::borrow::Cow;
use std::hash::Hasher as _;

use siphasher::sip::SipHasher13;
use unicode_normalization::UnicodeNormalization as _;

/// The longest word that is looked at, in bytes: what is longer is cut, on both sides alike.
const WORD_BYTES_MAX: usize = 4096;

/// Hashes words under a key that nobody outside knows, so that no two are made to collide.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Hasher {
    key: (u64, u64),
}

impl Hasher {
    pub(crate) fn new(seed: [u8; 16]) -> Self {
        let both = u128::from_le_bytes(seed);
        #[allow(clippy::cast_possible_truncation, reason = "the two halves")]
        let key = (both as u64, (both >> 64) as u64);
        Self { key }
    }

    /// The hash of a word as it was normalized.
    fn hash(&self, word: &[u8]) -> u64 {
        let mut hasher = SipHasher13::new_with_keys(self.key.0, self.key.1);
        hasher.write(word);
        // Zero stands for the end of a text.
        hasher.finish().max(1)
    }

    /// The hash of a word in lower case, such as a cue.
    pub(crate) fn of(&self, word: &str) -> u64 {
        self.hash(normal(word).as_bytes())
    }

    /// The hash of a text as it stands.
    pub(crate) fn of_whole(&self, text: &str) -> u64 {
        self.hash(text.as_bytes())
    }

    /// The words of a text.
    pub(crate) fn words(&self, text: &str) -> Vec<u64> {
        split(text).map(|word| self.of(word)).collect()
    }

    /// The words of a name, parted wherever it isn't a letter or a digit: `grocery-list` is what somebody calls the grocery list.
    pub(crate) fn loose(&self, text: &str) -> Vec<u64> {
        text.split(|c: char| !c.is_alphanumeric()).filter(|part| !part.is_empty()).map(|part| self.of(part)).collect()
    }
}

/// Marks that stand within words.
fn is_mark(c: char) -> bool {
    matches!(c, '@' | '.' | '_' | '-' | '+' | '/' | ':' | '%' | '#' | '&' | '=' | '?' | '~')
}

/// What a character is to words.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Class {
    /// A letter or a digit: words begin and end with one.
    Letter,
    /// A mark that stands within words.
    Mark,
    /// What groups digits, and else parts words.
    Comma,
    /// Anything else.
    Other,
}

/// The class of the character that begins at a byte, and its length in bytes. Most texts are ASCII.
fn class(text: &str, at: usize) -> Option<(Class, usize)> {
    let byte = *text.as_bytes().get(at)?;
    if byte.is_ascii_alphanumeric() {
        return Some((Class::Letter, 1));
    }
    if byte.is_ascii() {
        let class = match byte {
            b',' => Class::Comma,
            byte if is_mark(char::from(byte)) => Class::Mark,
            _ => Class::Other,
        };
        return Some((class, 1));
    }
    let c = text.get(at..)?.chars().next()?;
    Some((if c.is_alphanumeric() { Class::Letter } else { Class::Other }, c.len_utf8()))
}

/// The words of a text as they stand there. A comma between digits groups them.
pub(crate) fn split(text: &str) -> impl Iterator<Item = &str> {
    let mut at = 0;
    std::iter::from_fn(move || {
        let start = loop {
            match class(text, at)? {
                (Class::Letter, _) => break at,
                (_, length) => at += length,
            }
        };
        // Marks at the end are no part of it.
        let mut end = start;
        let digit = |at: usize| text.as_bytes().get(at).is_some_and(u8::is_ascii_digit);
        while let Some((class, length)) = class(text, at) {
            match class {
                Class::Letter => end = at + length,
                Class::Mark => {}
                Class::Comma if end == at && at > 0 && digit(at - 1) && digit(at + 1) => {}
                Class::Comma | Class::Other => break,
            }
            at += length;
        }
        text.get(start..end)
    })
}

/// A word as it is compared.
pub(crate) fn normal(word: &str) -> Cow<'_, str> {
    let word = cut(word);
    let word = without_scheme(word);
    if let Some(number) = number(word) {
        return number;
    }
    if word.is_ascii() {
        return if word.bytes().any(|b| b.is_ascii_uppercase()) { word.to_ascii_lowercase().into() } else { word.into() };
    }
    word.nfkc().flat_map(char::to_lowercase).collect::<String>().into()
}

fn cut(word: &str) -> &str {
    let mut end = word.len().min(WORD_BYTES_MAX);
    while !word.is_char_boundary(end) {
        end -= 1;
    }
    word.get(..end).unwrap_or_default()
}

/// An address means the same with its scheme or without.
fn without_scheme(word: &str) -> &str {
    if !word.contains(':') {
        return word;
    }
    for scheme in ["https://", "http://", "mailto:", "tel:"] {
        if let (Some(start), Some(rest)) = (word.get(..scheme.len()), word.get(scheme.len()..))
            && start.eq_ignore_ascii_case(scheme)
            && !rest.is_empty()
        {
            return rest;
        }
    }
    word
}

/// A decimal number without groups and without what doesn't count after the point; `None` for anything else.
fn number(word: &str) -> Option<Cow<'_, str>> {
    if !word.as_bytes().first().is_some_and(u8::is_ascii_digit) {
        return None;
    }
    let (whole, fraction) = word.split_once('.').unwrap_or((word, ""));
    let digits = |text: &str| text.bytes().all(|b| b.is_ascii_digit());
    if whole.is_empty() || !digits(fraction) {
        return None;
    }
    let grouped = whole.contains(',');
    let mut groups = whole.split(',');
    let first = groups.next().unwrap_or_default();
    let fits = !first.is_empty()
        && digits(first)
        && (!grouped || (first.len() <= 3 && groups.all(|group| group.len() == 3 && digits(group))));
    if !fits {
        return None;
    }
    let fraction = fraction.trim_end_matches('0');
    if !grouped && fraction.len() + whole.len() + usize::from(!fraction.is_empty()) == word.len() {
        return Some(word.into());
    }
    let whole = whole.replace(',', "");
    Some(if fraction.is_empty() { whole } else { format!("{whole}.{fraction}") }.into())
}

/// The parts of a word that joins several, such as `to:bob@example.com` or an address with a query.
pub(crate) fn parts(word: &str) -> impl Iterator<Item = &str> {
    let joined = word.contains([':', '/', '=', '?', '&', '#', ',']);
    word.split([':', '/', '=', '?', '&', '#', ','])
        .map(|part| part.trim_matches(is_mark))
        .filter(move |part| joined && !part.is_empty())
}

/// What a text quotes, between marks of one kind. An apostrophe within a word quotes nothing.
pub(crate) fn quoted(text: &str) -> impl Iterator<Item = &str> {
    const MARKS: [(char, char); 6] =
        [('"', '"'), ('\'', '\''), ('`', '`'), ('\u{201c}', '\u{201d}'), ('\u{2018}', '\u{2019}'), ('«', '»')];
    let mut rest = text;
    let mut before = ' ';
    std::iter::from_fn(move || {
        loop {
            let first = rest.chars().next()?;
            let after = rest.get(first.len_utf8()..).unwrap_or_default();
            let opens = MARKS.iter().find(|(open, _)| *open == first && !before.is_alphanumeric());
            (before, rest) = (first, after);
            let Some((_, close)) = opens else { continue };
            let ends = |(at, mark): &(usize, &str)| {
                let next = after.get(at + mark.len()..).and_then(|rest| rest.chars().next());
                !next.is_some_and(char::is_alphanumeric)
            };
            let mut closing = [0; 4];
            let closing = &*close.encode_utf8(&mut closing);
            if let Some((at, _)) = after.match_indices(closing).find(ends) {
                let quoted = after.get(..at).unwrap_or_default();
                rest = after.get(at + closing.len()..).unwrap_or_default();
                return Some(quoted);
            }
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(text: &str) -> Vec<String> {
        split(text).map(|word| normal(word).into_owned()).collect()
    }

    #[test]
    fn addresses_stay_whole_and_what_surrounds_them_goes() {
        assert_eq!(
            words("Write to 'Bob@Example.com', <https://x.example/a?b=c>. IBAN: GB29NWBK60161331926819."),
            ["write", "to", "bob@example.com", "x.example/a?b=c", "iban", "gb29nwbk60161331926819"]
        );
    }

    #[test]
    fn a_number_is_one_however_it_is_written() {
        assert_eq!(words("1,200.00 1200 1200.0 0.50 .5"), ["1200", "1200", "1200", "0.5", "5"]);
        // Neither versions nor lists of numbers are numbers.
        assert_eq!(words("1.2.3 1,2,3 007"), ["1.2.3", "1,2,3", "007"]);
    }

    #[test]
    fn quotes_are_told_from_apostrophes() {
        let of = |text: &'static str| quoted(text).collect::<Vec<_>>();
        assert_eq!(
            of("the 'Introductory meeting', today's \"notes\" and \u{201c}more\u{201d}"),
            ["Introductory meeting", "notes", "more"]
        );
        assert_eq!(of("Ann's and Bob's 'plan' isn't 'Eve's list'"), ["plan", "Eve's list"]);
        assert_eq!(of("it isn't so"), Vec::<&str>::new());
    }

    #[test]
    fn width_and_case_make_no_difference() {
        assert_eq!(words("ＢＯＢ Straße ÉCOLE"), ["bob", "straße", "école"]);
    }

    #[test]
    fn parts_of_joined_words() {
        let of = |word: &'static str| parts(word).collect::<Vec<_>>();
        assert_eq!(of("to:bob@example.com"), ["to", "bob@example.com"]);
        assert_eq!(of("bob@example.com"), Vec::<&str>::new());
    }
}
