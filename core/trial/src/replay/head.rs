//! The beginning of a decision's entry as Remit writes it, taken as far as it goes: what is written otherwise is read by a parser.

/// The members that a replay reads.
#[derive(Default)]
pub(super) struct Head<'a> {
    pub(super) id: Option<&'a str>,
    pub(super) time: Option<&'a str>,
    pub(super) agent: Option<&'a str>,
    pub(super) space: Option<&'a str>,
    pub(super) tool: Option<&'a str>,
    pub(super) method: Option<&'a str>,
    pub(super) session: Option<&'a str>,
    pub(super) verdict: Option<&'a str>,
    pub(super) reason: Option<&'a str>,
    pub(super) facts_digest: Option<&'a str>,
}

impl<'a> Head<'a> {
    /// The members of an object that ends where it goes on; `None` if one isn't as Remit writes them.
    pub(super) fn read(text: &'a str) -> Option<Self> {
        let mut head = Self::default();
        let mut rest = text.strip_prefix('{')?;
        loop {
            let (key, behind) = plain(rest)?;
            let (value, behind) = member(behind.strip_prefix(':')?)?;
            let field = match key {
                "id" => Some(&mut head.id),
                "time" => Some(&mut head.time),
                "agent" => Some(&mut head.agent),
                "space" => Some(&mut head.space),
                "tool" => Some(&mut head.tool),
                "method" => Some(&mut head.method),
                "session" => Some(&mut head.session),
                "verdict" => Some(&mut head.verdict),
                "reason" => Some(&mut head.reason),
                "facts_digest" => Some(&mut head.facts_digest),
                _ => None,
            };
            if let Some(field) = field {
                *field = Some(value?);
            }
            if behind.is_empty() {
                return Some(head);
            }
            rest = behind.strip_prefix(',')?;
        }
    }
}

/// A text without escapes, and what is behind it.
fn plain(text: &str) -> Option<(&str, &str)> {
    let text = text.strip_prefix('"')?;
    let (plain, rest) = text.split_at_checked(memchr::memchr2(b'"', b'\\', text.as_bytes())?)?;
    Some((plain, rest.strip_prefix('"')?))
}

/// A member's value, if it is such a text or something else without structure, and what is behind it. Of a list of texts there is no value.
fn member(text: &str) -> Option<(Option<&str>, &str)> {
    if text.starts_with('"') {
        return plain(text).map(|(value, rest)| (Some(value), rest));
    }
    if let Some(mut rest) = text.strip_prefix('[') {
        loop {
            rest = plain(rest)?.1;
            match rest.strip_prefix(']') {
                Some(behind) => return Some((None, behind)),
                None => rest = rest.strip_prefix(',')?,
            }
        }
    }
    let (word, rest) = text.split_at_checked(memchr::memchr(b',', text.as_bytes()).unwrap_or(text.len()))?;
    let is_word = !word.is_empty() && word.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"+-.".contains(&byte));
    is_word.then_some((None, rest))
}
