//! Names that Cedar and Dogwood can write without quotes.
//!
//! Cedar writes any attribute as `context.input["account-id"]`, but a temporal condition of Dogwood names fields by identifiers alone.
//! A property whose name is none is therefore there under a second name too, from which the first can be told.

/// What stands before and after the number of a character that an identifier can't hold.
const ESCAPE: &str = "_u";

/// A name as an identifier: a character that an identifier can't hold becomes `_u` + its number in hexadecimal + `_`. A name that is an
/// identifier, and doesn't look like a mangled one, stays as it is.
///
/// ```
/// assert_eq!(remit_cedar::mangle("account-id"), "account_u2d_id");
/// assert_eq!(remit_cedar::mangle("account_id"), "account_id");
/// assert_eq!(remit_cedar::unmangle("account_u2d_id").as_deref(), Some("account-id"));
/// ```
pub fn mangle(name: &str) -> String {
    let mut mangled = String::with_capacity(name.len());
    let mut rest = name;
    while let Some(char) = rest.chars().next() {
        let fits = char == '_' || char.is_ascii_alphabetic() || (char.is_ascii_digit() && !mangled.is_empty());
        // What looks like an escape is escaped itself, so that there is one way back.
        if fits && !like_escape(rest) {
            mangled.push(char);
        } else {
            mangled.push_str(&format!("{ESCAPE}{:x}_", u32::from(char)));
        }
        rest = rest.get(char.len_utf8()..).unwrap_or_default();
    }
    if is_reserved(&mangled) {
        // `in` is no field name: its first letter is written as its number.
        let first = mangled.remove(0);
        mangled.insert_str(0, &format!("{ESCAPE}{:x}_", u32::from(first)));
    }
    mangled
}

/// The name that was mangled into this; `None` if nothing is mangled into it.
pub fn unmangle(mangled: &str) -> Option<String> {
    let mut name = String::with_capacity(mangled.len());
    let mut rest = mangled;
    while let Some(char) = rest.chars().next() {
        let (char, len) = if rest.starts_with(ESCAPE) { escape(rest) } else { None }.unwrap_or((char, char.len_utf8()));
        name.push(char);
        rest = rest.get(len..)?;
    }
    (mangle(&name) == mangled).then_some(name)
}

/// Whether a text begins as escapes do, whatever follows.
fn like_escape(text: &str) -> bool {
    text.strip_prefix(ESCAPE).is_some_and(|rest| rest.starts_with(|char: char| matches!(char, '0'..='9' | 'a'..='f')))
}

/// The escape that a text begins with: the character and the length of the escape.
fn escape(text: &str) -> Option<(char, usize)> {
    let (number, _) = text.strip_prefix(ESCAPE)?.split_once('_')?;
    let plain = !number.is_empty() && number.len() <= 6 && number.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'));
    let char = char::from_u32(u32::from_str_radix(number, 16).ok().filter(|_| plain)?)?;
    Some((char, ESCAPE.len() + number.len() + 1))
}

/// Whether a name is an identifier and no word of the languages.
pub(crate) fn is_plain(name: &str) -> bool {
    mangle(name) == name
}

fn is_reserved(name: &str) -> bool {
    matches!(
        name,
        "true"
            | "false"
            | "if"
            | "then"
            | "else"
            | "in"
            | "is"
            | "like"
            | "has"
            | "__cedar"
            | "exists"
            | "tp"
            | "count"
            | "sum"
            | "formerly"
            | "previous"
            | "since"
            | "within"
            | "where"
            | "for"
            | "def"
            | "principal"
            | "resource"
            | "context"
            | "action"
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn every_name_comes_back(name in "\\PC{0,24}|(_u|[a-f0-9]|_|-|in|is){0,10}") {
            let mangled = mangle(&name);
            prop_assert!(mangled.chars().all(|char| char == '_' || char.is_ascii_alphanumeric()));
            prop_assert!(!mangled.starts_with(|char: char| char.is_ascii_digit()));
            prop_assert_eq!(unmangle(&mangled), Some(name));
        }

        #[test]
        fn no_two_names_meet(a in "[_u0-9a-f-]{0,8}", b in "[_u0-9a-f-]{0,8}") {
            prop_assert_eq!(mangle(&a) == mangle(&b), a == b);
        }
    }

    #[test]
    fn names_as_people_meet_them() {
        for (name, mangled) in
            [("amount", "amount"), ("account-id", "account_u2d_id"), ("in", "_u69_n"), ("2fa", "_u32_fa"), ("_u2d_", "_u5f_u2d_")]
        {
            assert_eq!(mangle(name), mangled);
        }
    }
}
