//! Addresses within texts: what a reader can be led to, and what data can be carried away in.

use crate::word::split;

/// The words of a text that are addresses: of mail, of pages, of accounts.
pub(crate) fn links(text: &str) -> impl Iterator<Item = &str> {
    split(text).filter(|word| is_link(word))
}

fn is_link(word: &str) -> bool {
    is_mail(word) || is_page(word) || is_account(word)
}

fn is_mail(word: &str) -> bool {
    word.split_once('@').is_some_and(|(name, host)| !name.is_empty() && host.contains('.'))
}

/// An address with a scheme, or a host name that begins so or goes on with a path.
fn is_page(word: &str) -> bool {
    if word.contains("://") {
        return true;
    }
    let host = word.split(['/', '?', '#']).next().unwrap_or_default();
    let labels: Vec<&str> = host.split('.').collect();
    let named = |label: &&str| !label.is_empty() && label.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-');
    let top = labels.last().is_some_and(|top| top.len() >= 2 && top.bytes().all(|b| b.is_ascii_alphabetic()));
    let host_like = labels.len() >= 2 && top && labels.iter().all(named);
    host_like && (labels.first().is_some_and(|first| first.eq_ignore_ascii_case("www")) || host.len() < word.len())
}

/// As long as an IBAN (ISO 13616): two letters, two digits, eleven to thirty more.
fn is_account(word: &str) -> bool {
    let bytes = word.as_bytes();
    matches!(bytes, [a, b, c, d, rest @ ..]
        if a.is_ascii_uppercase() && b.is_ascii_uppercase() && c.is_ascii_digit() && d.is_ascii_digit()
            && (11..=30).contains(&rest.len()) && rest.iter().all(u8::is_ascii_alphanumeric))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_found_and_prose_is_not() {
        let text = "See https://bit.ly/x, www.example.com or shop.example.com/offer; mail a.b@example.org, pay GB29NWBK60161331926819. \
                    Not 3.5, v1.2/3, e.g. this, file.txt, 2024-05-15, and/or.";
        let found: Vec<&str> = links(text).collect();
        assert_eq!(
            found,
            ["https://bit.ly/x", "www.example.com", "shop.example.com/offer", "a.b@example.org", "GB29NWBK60161331926819"]
        );
    }
}
