//! Patterns of resources: an ARN's six parts, each matched alone, and together only where a star may go beyond a colon.

use crate::{
    bytes,
    glob::{Glob, Pattern, Piece},
    index::Marks,
    keys::{Context, Keys},
    truth::Truth,
};

/// The longest name of a resource, in bytes.
pub(crate) const SUBJECT_BYTES_MAX: usize = 2_048;

/// A request's resource, split once.
#[derive(Debug)]
pub(crate) struct Subject<'q> {
    /// All of it.
    text: &'q str,
    /// For the index.
    pub(crate) marks: Marks<'q>,
    /// The parts of its ARN after `arn`; none of `*`.
    parts: Option<[&'q str; 5]>,
    /// Whether its last part is of the form `type/id` or `type:id`.
    typed: bool,
    /// Whether its last part holds a colon.
    colons: bool,
}

impl<'q> Subject<'q> {
    /// An ARN, or `*`; `None` of anything else, and of what is too long. Partitions, services, regions and accounts are written in lower case, as in
    /// policies.
    pub(crate) fn read(text: &'q str) -> Option<Self> {
        if text.len() > SUBJECT_BYTES_MAX {
            return None;
        }
        let mut ends = [0; 5];
        let (mut seen, mut seen_before_last, mut count) = (0, 0, 0);
        let marks = Marks::of_seen(text, |at, is_colon| {
            seen += 1;
            if is_colon {
                if let Some(end) = ends.get_mut(count) {
                    *end = at;
                    seen_before_last = seen;
                }
                count += 1;
            }
        });
        let (typed, colons) = (seen > seen_before_last, count > ends.len());
        if text == "*" {
            return Some(Self { text, marks, parts: None, typed, colons });
        }
        if count < ends.len() {
            return None;
        }
        let [scheme, partition, service, region, account] = ends;
        let part = |before: usize, end: usize| text.get(before + 1..end);
        let last = text.get(account + 1..)?;
        let parts = [part(scheme, partition)?, part(partition, service)?, part(service, region)?, part(region, account)?, last];
        let [partition, service, ..] = parts;
        let whole = text.starts_with("arn:") && !partition.is_empty() && !service.is_empty() && !last.is_empty();
        let fits = whole && !bytes::has_capitals(text.as_bytes().get(..account)?);
        fits.then_some(Self { text, marks, parts: Some(parts), typed, colons })
    }
}

/// A pattern of resources.
#[derive(Debug, Clone)]
pub(crate) enum Target {
    /// `*`.
    All,
    /// The pattern of an ARN.
    Arn(Box<ArnTarget>),
}

/// The pattern of an ARN.
#[derive(Debug, Clone)]
pub(crate) struct ArnTarget {
    /// What stands before the first part with a wildcard or a variable, with its colon.
    head: Box<str>,
    /// How many parts after `arn` that is.
    head_parts: usize,
    /// The parts after `arn`.
    parts: [Glob; 5],
    /// All of it.
    whole: Glob,
    /// Whether a wildcard stands before the fifth colon.
    wild: bool,
    /// Whether one stands where the service is named.
    any_service: bool,
    /// Whether a wildcard or a variable stands where the resource's type is named.
    any_type: bool,
}

impl Target {
    pub(crate) fn compile(pattern: &Pattern, keys: &mut Keys) -> Self {
        let Some([partition, service, region, account, last]) = split(pattern) else { return Self::All };
        let is_wild = |part: &Pattern| part.0.iter().any(|piece| !matches!(piece, Piece::Text(_)));
        let wild = [&partition, &service, &region, &account].into_iter().any(is_wild);
        let any_service = is_wild(&service);
        // ARNs without region and account, as S3's, have no type; `*` alone stands for all types.
        let has_type = !(region.0.is_empty() && account.0.is_empty());
        let written = matches!(last.0.first(), Some(Piece::Text(text)) if text.contains([':', '/']));
        let any_type = has_type && is_wild(&last) && !written && last.0 != [Piece::Run];
        let parts = [&partition, &service, &region, &account, &last];
        let head_parts = parts.iter().take(4).take_while(|part| !is_wild(part)).count();
        let whole = Glob::compile(pattern, keys);
        let literal = whole.literal().0;
        let head_end = literal.match_indices(':').nth(head_parts).map_or(0, |(at, _)| at + 1);
        let head = literal.get(..head_end).unwrap_or_default().into();
        let parts = parts.map(|part| Glob::compile(part, keys));
        Self::Arn(Box::new(ArnTarget { head, head_parts, parts, whole, wild, any_service, any_type }))
    }

    /// The text that every resource it matches begins with, and whether that is all of it.
    pub(crate) fn literal(&self) -> (&str, bool) {
        match self {
            Self::All => ("", false),
            Self::Arn(arn) => arn.whole.literal(),
        }
    }

    /// Whether it holds a variable that has no value.
    pub(crate) fn is_unresolved(&self, context: &Context<'_>) -> bool {
        matches!(self, Self::Arn(arn) if arn.whole.is_unresolved(context))
    }

    #[inline]
    pub(crate) fn matches(&self, subject: &Subject<'_>, context: &Context<'_>) -> Truth {
        match (self, &subject.parts) {
            (Self::All, _) => Truth::Yes,
            (Self::Arn(_), None) => Truth::No,
            (Self::Arn(arn), Some(parts)) => arn.matches(subject, parts, context),
        }
    }
}

impl ArnTarget {
    /// "You can't use a wildcard in the service segment" (IAM JSON policy elements: Resource), nor "in the portion of the ARN
    /// that specifies the resource type" (IAM identifiers): what such a wildcard stands for can't be told.
    fn matches(&self, subject: &Subject<'_>, parts: &[&str; 5], context: &Context<'_>) -> Truth {
        let truth = if self.wild {
            if bytes::after(subject.text.as_bytes(), self.head.as_bytes()).is_none() {
                return Truth::No;
            }
            let pairs = self.parts.iter().zip(parts).skip(self.head_parts);
            let mut truth = Truth::Yes;
            for (glob, part) in pairs {
                truth = truth.and(glob.matches(part, context));
                if truth == Truth::No {
                    break;
                }
            }
            match truth {
                // Only if the last part holds a colon may a star before the fifth one stand for more than its part.
                Truth::No if subject.colons => self.whole.matches(subject.text, context),
                truth => truth,
            }
        } else {
            self.whole.matches(subject.text, context)
        };
        if self.any_service || (self.any_type && subject.typed) { truth.and(Truth::Maybe) } else { truth }
    }
}

/// The parts of an ARN's pattern after `arn`; `None` of `*`.
fn split(pattern: &Pattern) -> Option<[Pattern; 5]> {
    let mut parts = [const { Pattern(Vec::new()) }; 6];
    let mut at = 0;
    for piece in &pattern.0 {
        let piece = match piece {
            Piece::OneInside => Piece::One,
            Piece::RunInside => Piece::Run,
            other => other.clone(),
        };
        let Piece::Text(text) = piece else {
            parts.get_mut(at)?.0.push(piece);
            continue;
        };
        for (index, text) in text.splitn(6 - at, ':').enumerate() {
            at += usize::from(index > 0);
            if !text.is_empty() {
                parts.get_mut(at)?.0.push(Piece::Text(text.into()));
            }
        }
    }
    let [scheme, rest @ ..] = parts;
    (at == 5 && scheme.0 == [Piece::Text("arn".into())]).then_some(rest)
}
