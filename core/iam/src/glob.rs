//! Patterns: literal text, wildcards and variables, classified once, matched in time bounded by length times length.

use crate::{
    bytes,
    keys::{Context, Keys, Slot},
    truth::Truth,
};

/// The longest text that is matched, in bytes: a longer one can't be told.
pub(crate) const SUBJECT_BYTES_MAX: usize = 8192;

/// A part of a pattern; `K` names the key of a variable.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Piece<K> {
    /// Itself.
    Text(Box<str>),
    /// The value of a context key, literally.
    Variable { key: K, default: Option<Box<str>> },
    /// `?`: one character.
    One,
    /// `*`: any characters.
    Run,
    /// A `?` within the first five parts of a resource's ARN: any character but a colon, as far as AWS says.
    OneInside,
    /// A `*` within the first five parts of a resource's ARN that isn't the last of its part, likewise.
    RunInside,
}

/// A pattern as a policy states it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Pattern(pub(crate) Vec<Piece<Box<str>>>);

/// How wildcards of a text are read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Wildcards {
    /// They are ordinary characters.
    Literal,
    /// They match everything.
    Free,
    /// Those before the `.0`-th byte stand within the first five parts of an ARN.
    Arn(usize),
}

impl Pattern {
    /// Reads a pattern. The error says what is wrong and how to mend it.
    pub(crate) fn read(text: &str, wildcards: Wildcards) -> Result<Self, (String, String)> {
        let mut pieces = Vec::new();
        let mut literal = String::new();
        let mut at = 0;
        while let Some(c) = text.get(at..).and_then(|rest| rest.chars().next()) {
            let rest = text.get(at..).unwrap_or_default();
            if let Some(inside) = rest.strip_prefix("${") {
                let Some(end) = inside.find('}') else {
                    return Err(("a variable isn't closed".into(), "write `${aws:username}`; a literal `$` is `${$}`".into()));
                };
                let name = inside.get(..end).unwrap_or_default();
                match name {
                    "*" | "?" | "$" => literal.push_str(name),
                    _ => {
                        flush(&mut literal, &mut pieces);
                        pieces.push(variable(name)?);
                    }
                }
                at += "${}".len() + name.len();
                continue;
            }
            let piece = match (c, wildcards) {
                (_, Wildcards::Literal) => None,
                ('?', Wildcards::Arn(head)) if at < head => Some(Piece::OneInside),
                ('?', _) => Some(Piece::One),
                ('*', Wildcards::Arn(head)) if at < head && !ends_part(rest) => Some(Piece::RunInside),
                ('*', _) => Some(Piece::Run),
                _ => None,
            };
            match piece {
                None => literal.push(c),
                Some(piece) => {
                    flush(&mut literal, &mut pieces);
                    push(&mut pieces, piece);
                }
            }
            at += c.len_utf8();
        }
        flush(&mut literal, &mut pieces);
        Ok(Self(pieces))
    }
}

/// Whether only stars stand before the next colon: "If the * wildcard is the last character of a resource ARN segment, it
/// can expand to match beyond the colon boundaries" (IAM JSON policy elements: Resource).
fn ends_part(rest: &str) -> bool {
    rest.trim_start_matches('*').starts_with(':')
}

/// Adds a piece; stars side by side are one.
fn push(pieces: &mut Vec<Piece<Box<str>>>, piece: Piece<Box<str>>) {
    let repeated = pieces.last().is_some_and(|last| matches!(piece, Piece::Run | Piece::RunInside) && *last == piece);
    if !repeated {
        pieces.push(piece);
    }
}

fn flush(literal: &mut String, pieces: &mut Vec<Piece<Box<str>>>) {
    if !literal.is_empty() {
        pieces.push(Piece::Text(std::mem::take(literal).into()));
    }
}

/// Reads what stands between the braces: `key` or `key, 'default'`.
fn variable(inside: &str) -> Result<Piece<Box<str>>, (String, String)> {
    let (name, default) = match inside.split_once(',') {
        None => (inside, None),
        Some((name, default)) => (name, Some(default)),
    };
    let key = crate::read::is_key(name).then(|| name.into());
    let default = match default {
        None => Some(None),
        Some(default) => default
            .strip_prefix(" '")
            .and_then(|default| default.strip_suffix('\''))
            .filter(|default| !default.is_empty() && !default.contains(['\'', '$', '{']))
            .map(|default| Some(default.into())),
    };
    match (key, default) {
        (Some(key), Some(default)) => Ok(Piece::Variable { key, default }),
        _ => Err((
            "this is no variable".into(),
            "write `${aws:username}` or `${aws:username, 'default'}`, the default not empty and without `'`, `$` and `{`".into(),
        )),
    }
}

/// A pattern ready to be matched.
#[derive(Debug, Clone)]
pub(crate) enum Glob {
    /// Everything.
    Any,
    /// Exactly this.
    Exact(Box<str>),
    /// What begins with this.
    Prefix(Box<str>),
    /// What ends with this.
    Suffix(Box<str>),
    /// What holds this.
    Contains(Box<str>),
    /// What begins with the first, ends with the last, and holds the others in between, in their order.
    Parts(Box<[Box<str>]>),
    /// Anything else.
    General(Box<[Piece<Slot>]>),
}

impl Glob {
    /// Classifies a pattern; its variables get their slots.
    pub(crate) fn compile(pattern: &Pattern, keys: &mut Keys) -> Self {
        match pattern.0.as_slice() {
            [] => Self::Exact("".into()),
            [Piece::Run] => Self::Any,
            [Piece::Text(text)] => Self::Exact(text.clone()),
            [Piece::Text(text), Piece::Run] => Self::Prefix(text.clone()),
            [Piece::Run, Piece::Text(text)] => Self::Suffix(text.clone()),
            [Piece::Run, Piece::Text(text), Piece::Run] => Self::Contains(text.clone()),
            pieces if pieces.iter().all(|piece| matches!(piece, Piece::Text(_) | Piece::Run)) => Self::Parts(parts(pieces)),
            pieces => Self::General(pieces.iter().map(|piece| bind(piece, keys)).collect()),
        }
    }

    /// The text that everything it matches begins with, and whether that is all of it.
    pub(crate) fn literal(&self) -> (&str, bool) {
        match self {
            Self::Any | Self::Suffix(_) | Self::Contains(_) => ("", false),
            Self::Exact(text) => (text, true),
            Self::Prefix(text) => (text, false),
            Self::Parts(parts) => (parts.first().map(AsRef::as_ref).unwrap_or_default(), false),
            Self::General(pieces) => match pieces.first() {
                Some(Piece::Text(text)) => (text, false),
                _ => ("", false),
            },
        }
    }

    /// Whether it holds a variable that has no value.
    pub(crate) fn is_unresolved(&self, context: &Context<'_>) -> bool {
        let Self::General(pieces) = self else { return false };
        pieces.iter().any(|piece| match piece {
            Piece::Variable { key, default } => context.variable(*key, default.as_deref()).is_none(),
            _ => false,
        })
    }

    /// Whether a text matches.
    #[inline]
    pub(crate) fn matches(&self, text: &str, context: &Context<'_>) -> Truth {
        match self {
            Self::Any => Truth::Yes,
            Self::Exact(exact) => bytes::same(text.as_bytes(), exact.as_bytes()).into(),
            Self::Prefix(prefix) => bytes::after(text.as_bytes(), prefix.as_bytes()).is_some().into(),
            _ => self.matches_pattern(text, context),
        }
    }

    /// Whether a text matches for certain that is ASCII, as the names of actions are.
    pub(crate) fn matches_ascii(&self, text: &[u8], context: &Context<'_>) -> bool {
        match self {
            Self::Any => true,
            Self::Exact(exact) => bytes::same(text, exact.as_bytes()),
            Self::Prefix(prefix) => bytes::after(text, prefix.as_bytes()).is_some(),
            _ => std::str::from_utf8(text).is_ok_and(|text| self.matches_pattern(text, context) == Truth::Yes),
        }
    }

    fn matches_pattern(&self, text: &str, context: &Context<'_>) -> Truth {
        match self {
            Self::Any => Truth::Yes,
            Self::Exact(exact) => (text == exact.as_ref()).into(),
            Self::Prefix(prefix) => bytes::after(text.as_bytes(), prefix.as_bytes()).is_some().into(),
            Self::Suffix(suffix) => text.ends_with(suffix.as_ref()).into(),
            Self::Contains(part) => text.contains(part.as_ref()).into(),
            Self::Parts(_) if text.len() > SUBJECT_BYTES_MAX => Truth::Maybe,
            Self::Parts(parts) => in_order(parts, text.as_bytes()).into(),
            Self::General(pieces) => general(pieces, text, context),
        }
    }

    /// Whether a text is this one, whatever the case. AWS doesn't say which letters beyond ASCII's have a case, so that two
    /// texts that only Unicode's rules call equal can't be told.
    pub(crate) fn equals_ignoring_case(&self, text: &str, context: &Context<'_>) -> Truth {
        match self {
            Self::Exact(exact) => folded(std::iter::once(exact.as_ref()), text),
            Self::General(pieces) if !self.is_unresolved(context) => {
                let parts = pieces.iter().filter_map(|piece| match piece {
                    Piece::Text(text) => Some(text.as_ref()),
                    Piece::Variable { key, default } => context.variable(*key, default.as_deref()),
                    _ => None,
                });
                folded(parts, text)
            }
            _ => Truth::Maybe,
        }
    }
}

/// The texts between stars; the first or the last is empty if a star stands there.
fn parts(pieces: &[Piece<Box<str>>]) -> Box<[Box<str>]> {
    let texts = pieces.split(|piece| *piece == Piece::Run);
    texts.map(|text| if let [Piece::Text(text)] = text { text.clone() } else { "".into() }).collect()
}

/// Whether a text begins with the first part, ends with the last, and holds the others in between, in their order: the
/// leftmost place of each leaves the most to the next.
#[inline]
fn in_order(parts: &[Box<str>], text: &[u8]) -> bool {
    let [first, middle @ .., last] = parts else { return false };
    let Some(rest) = bytes::after(text, first.as_bytes()) else { return false };
    let Some((mut rest, end)) = rest.len().checked_sub(last.len()).and_then(|at| rest.split_at_checked(at)) else { return false };
    if !bytes::same(end, last.as_bytes()) {
        return false;
    }
    for part in middle {
        let after = bytes::find_all(rest, part.as_bytes()).and_then(|at| rest.get(at + part.len()..));
        let Some(after) = after else { return false };
        rest = after;
    }
    true
}

fn bind(piece: &Piece<Box<str>>, keys: &mut Keys) -> Piece<Slot> {
    match piece {
        Piece::Text(text) => Piece::Text(text.clone()),
        Piece::Variable { key, default } => Piece::Variable { key: keys.intern(key), default: default.clone() },
        Piece::One => Piece::One,
        Piece::Run => Piece::Run,
        Piece::OneInside => Piece::OneInside,
        Piece::RunInside => Piece::RunInside,
    }
}

/// Whether the parts, one after the other, are the text, by ASCII's and by Unicode's rules of case.
fn folded<'a>(parts: impl Iterator<Item = &'a str>, text: &str) -> Truth {
    let (mut ascii, mut unicode) = (true, true);
    let mut rest = text.chars();
    for c in parts.flat_map(str::chars) {
        let Some(other) = rest.next() else { return Truth::No };
        ascii &= c.eq_ignore_ascii_case(&other);
        unicode &= c.to_lowercase().eq(other.to_lowercase()) || c.to_uppercase().eq(other.to_uppercase());
    }
    match (rest.next().is_none(), ascii, unicode) {
        (true, true, _) => Truth::Yes,
        (true, false, true) => Truth::Maybe,
        _ => Truth::No,
    }
}

/// Matches a pattern of any kind. A variable without a value might be anything: if even that can't match, nothing does.
///
/// Pattern and text are compared byte by byte: whole characters begin and end together in UTF-8.
fn general(pieces: &[Piece<Slot>], text: &str, context: &Context<'_>) -> Truth {
    if text.len() > SUBJECT_BYTES_MAX {
        return Truth::Maybe;
    }
    let text_bytes = text.as_bytes();
    let mut resolved = true;
    let mut inside = false;
    // Where the last star stands in the pattern, and how far it reaches in the text.
    let mut star: Option<(usize, usize)> = None;
    let (mut at, mut piece_at) = (0, 0);
    loop {
        let rest = text_bytes.get(at..).unwrap_or_default();
        let literal = match pieces.get(piece_at) {
            None if rest.is_empty() => break,
            None => None,
            Some(Piece::Text(literal)) => Some(literal.as_bytes()),
            Some(Piece::Run | Piece::RunInside) => {
                inside |= matches!(pieces.get(piece_at), Some(Piece::RunInside));
                star = Some((piece_at + 1, at));
                Some(&[][..])
            }
            Some(piece @ (Piece::One | Piece::OneInside)) => {
                inside |= *piece == Piece::OneInside;
                rest.first().and_then(|lead| rest.get(..char_len(*lead)))
            }
            Some(Piece::Variable { key, default }) => {
                let value = context.variable(*key, default.as_deref());
                if value.is_none() {
                    resolved = false;
                    star = Some((piece_at + 1, at));
                }
                Some(value.unwrap_or_default().as_bytes())
            }
        };
        if let Some(literal) = literal.filter(|literal| rest.starts_with(literal)) {
            at += literal.len();
            piece_at += 1;
            continue;
        }
        // The last star takes more; if there is nothing left, nothing matches.
        let Some((after, from)) = star else { return Truth::No };
        let Some(lead) = text_bytes.get(from) else { return Truth::No };
        let mut next = from + char_len(*lead);
        if let Some(first) = first_byte(pieces.get(after)) {
            let Some(skipped) = bytes::find(text_bytes.get(next..).unwrap_or_default(), first) else { return Truth::No };
            next += skipped;
        }
        star = Some((after, next));
        (piece_at, at) = (after, next);
    }
    if !resolved || (inside && !within_parts(pieces, text, context)) { Truth::Maybe } else { Truth::Yes }
}

/// How many bytes the character has that begins with this one.
fn char_len(lead: u8) -> usize {
    match lead {
        0..0x80 => 1,
        0x80..0xe0 => 2,
        0xe0..0xf0 => 3,
        0xf0.. => 4,
    }
}

/// The byte that literal text begins with.
fn first_byte(piece: Option<&Piece<Slot>>) -> Option<u8> {
    match piece {
        Some(Piece::Text(literal)) => literal.as_bytes().first().copied(),
        _ => None,
    }
}

/// Matches a pattern whose inner wildcards stop at colons: follows every place in the text that the pieces so far can reach.
fn within_parts(pieces: &[Piece<Slot>], text: &str, context: &Context<'_>) -> bool {
    const WORDS: usize = SUBJECT_BYTES_MAX / 64 + 1;
    let bytes = text.as_bytes();
    let mut reached = Places([0; WORDS]);
    reached.add(0);
    for piece in pieces {
        let mut next = Places([0; WORDS]);
        let mut open = false;
        for at in 0..=bytes.len() {
            let here = reached.has(at);
            let boundary = text.is_char_boundary(at);
            let rest = text.get(at..).unwrap_or_default();
            match piece {
                Piece::Run => {
                    open |= here;
                    if open && boundary {
                        next.add(at);
                    }
                }
                Piece::RunInside => {
                    open |= here;
                    if open && boundary {
                        next.add(at);
                    }
                    open &= bytes.get(at) != Some(&b':');
                }
                _ if !here => {}
                Piece::One | Piece::OneInside => {
                    if let Some(c) = rest.chars().next().filter(|c| *piece == Piece::One || *c != ':') {
                        next.add(at + c.len_utf8());
                    }
                }
                Piece::Text(literal) => {
                    if rest.starts_with(literal.as_ref()) {
                        next.add(at + literal.len());
                    }
                }
                Piece::Variable { key, default } => {
                    let value = context.variable(*key, default.as_deref());
                    if let Some(value) = value.filter(|value| rest.starts_with(value)) {
                        next.add(at + value.len());
                    }
                }
            }
        }
        reached = next;
    }
    reached.has(bytes.len())
}

/// A set of places in a text.
struct Places([u64; SUBJECT_BYTES_MAX / 64 + 1]);

impl Places {
    fn add(&mut self, at: usize) {
        if let Some(word) = self.0.get_mut(at / 64) {
            *word |= 1 << (at % 64);
        }
    }

    fn has(&self, at: usize) -> bool {
        self.0.get(at / 64).is_some_and(|word| word & (1 << (at % 64)) != 0)
    }
}
