//! Conditions: operators and their values, read at load, tested against the context of a request.
//!
//! The rules are those of [Condition operators] and [Single-valued vs. multivalued context keys].
//!
//! [Condition operators]: https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_elements_condition_operators.html
//! [Single-valued vs. multivalued context keys]: https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_condition-single-vs-multi-valued-context-keys.html

use std::{cmp::Ordering, net::IpAddr};

use crate::{
    bytes,
    document::Place,
    glob::{Glob, Pattern, SUBJECT_BYTES_MAX, Wildcards},
    keys::{Context, Keys, Slot, Value},
    scalar::{Decimal, Moment, Range, is_base64, read_bool},
    truth::Truth,
};

/// What an operator compares.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Family {
    Text,
    TextIgnoringCase,
    Like,
    Number(Comparison),
    Date(Comparison),
    Bool,
    Binary,
    Address,
    Arn,
    Null,
}

/// How two ordered values are compared, the request's first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Comparison {
    Equal,
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
}

impl Comparison {
    #[inline]
    fn holds(self, order: Ordering) -> bool {
        match self {
            Self::Equal => order.is_eq(),
            Self::Less => order.is_lt(),
            Self::LessOrEqual => order.is_le(),
            Self::Greater => order.is_gt(),
            Self::GreaterOrEqual => order.is_ge(),
        }
    }
}

/// `ForAllValues:` and `ForAnyValue:`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Set {
    All,
    Any,
}

/// An operator.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Operator {
    set: Option<Set>,
    family: Family,
    negated: bool,
    if_exists: bool,
}

/// Every base operator.
const OPERATORS: [(&str, Family, bool); 27] = [
    ("StringEquals", Family::Text, false),
    ("StringNotEquals", Family::Text, true),
    ("StringEqualsIgnoreCase", Family::TextIgnoringCase, false),
    ("StringNotEqualsIgnoreCase", Family::TextIgnoringCase, true),
    ("StringLike", Family::Like, false),
    ("StringNotLike", Family::Like, true),
    ("NumericEquals", Family::Number(Comparison::Equal), false),
    ("NumericNotEquals", Family::Number(Comparison::Equal), true),
    ("NumericLessThan", Family::Number(Comparison::Less), false),
    ("NumericLessThanEquals", Family::Number(Comparison::LessOrEqual), false),
    ("NumericGreaterThan", Family::Number(Comparison::Greater), false),
    ("NumericGreaterThanEquals", Family::Number(Comparison::GreaterOrEqual), false),
    ("DateEquals", Family::Date(Comparison::Equal), false),
    ("DateNotEquals", Family::Date(Comparison::Equal), true),
    ("DateLessThan", Family::Date(Comparison::Less), false),
    ("DateLessThanEquals", Family::Date(Comparison::LessOrEqual), false),
    ("DateGreaterThan", Family::Date(Comparison::Greater), false),
    ("DateGreaterThanEquals", Family::Date(Comparison::GreaterOrEqual), false),
    ("Bool", Family::Bool, false),
    ("BinaryEquals", Family::Binary, false),
    ("IpAddress", Family::Address, false),
    ("NotIpAddress", Family::Address, true),
    ("ArnEquals", Family::Arn, false),
    ("ArnLike", Family::Arn, false),
    ("ArnNotEquals", Family::Arn, true),
    ("ArnNotLike", Family::Arn, true),
    ("Null", Family::Null, false),
];

impl Operator {
    /// Reads an operator's name. The error says how to mend it.
    pub(crate) fn read(name: &str) -> Result<Self, String> {
        let (set, base) = match name.split_once(':') {
            Some(("ForAllValues", base)) => (Some(Set::All), base),
            Some(("ForAnyValue", base)) => (Some(Set::Any), base),
            Some(_) => return Err("only `ForAllValues:` and `ForAnyValue:` stand before an operator".into()),
            None => (None, name),
        };
        let (base, if_exists) = base.strip_suffix("IfExists").map_or((base, false), |base| (base, true));
        let found = OPERATORS.iter().find(|(name, ..)| *name == base);
        let Some((_, family, negated)) = found else {
            let near = OPERATORS.iter().find(|(name, ..)| name.eq_ignore_ascii_case(base));
            return Err(match near {
                Some((near, ..)) => format!("write `{near}`"),
                None => {
                    "use an operator of IAM, like `StringEquals`, `StringLike`, `NumericLessThan`, `DateGreaterThan`, `Bool`, \
                         `IpAddress`, `ArnLike` or `Null`"
                        .into()
                }
            });
        };
        if *family == Family::Null && (set.is_some() || if_exists) {
            return Err("`Null` already asks whether the key exists: write it alone".into());
        }
        Ok(Self { set, family: *family, negated: *negated, if_exists })
    }

    /// Whether it asks for a text or an ARN and holds only if the key is there: a statement for everyone that names
    /// principals in this way is limited to them.
    pub(crate) fn names(self) -> bool {
        matches!(self.family, Family::Text | Family::Like | Family::Arn) && !self.negated && !self.if_exists && self.set.is_none()
    }

    /// Reads a value. The error says what is wrong and how to mend it.
    pub(crate) fn read_value(self, text: &str) -> Result<Operand, (String, String)> {
        let wrong = |what: &str, mend: &str| (what.to_owned(), mend.to_owned());
        if !matches!(self.family, Family::Text | Family::TextIgnoringCase | Family::Like | Family::Arn) && text.contains("${") {
            return Err(wrong("no variable may stand here", "variables are for operators of strings and ARNs"));
        }
        match self.family {
            Family::Text | Family::TextIgnoringCase => Pattern::read(text, Wildcards::Literal).map(Operand::Pattern),
            Family::Like => Pattern::read(text, Wildcards::Free).map(Operand::Pattern),
            Family::Arn => arn_patterns(text).map(Operand::Arn),
            Family::Number(_) => Decimal::read(text)
                .map(Operand::Number)
                .ok_or_else(|| wrong("this is no number", "write an integer or a decimal number, like `10` or `0.5`")),
            Family::Date(_) => Moment::read(text).map(Operand::Date).ok_or_else(|| {
                wrong("this is no date", "write `2026-01-31T12:30:00Z`, `2026-01-31`, or seconds since the epoch")
            }),
            Family::Bool | Family::Null => {
                read_bool(text).map(Operand::Bool).ok_or_else(|| wrong("this is no truth value", "write `true` or `false`"))
            }
            Family::Binary if is_base64(text) => Ok(Operand::Binary(text.into())),
            Family::Binary => Err(wrong("this is no base 64", "write the bytes in base 64 with padding")),
            Family::Address => Range::read(text).map(Operand::Range),
        }
    }
}

/// Splits an ARN's pattern at its first five colons; those within variables don't count.
fn arn_patterns(text: &str) -> Result<[Pattern; 6], (String, String)> {
    let wrong = || ("this is no ARN".to_owned(), "write all six parts, like `arn:aws:iam::111122223333:role/*`".to_owned());
    let mut parts: Vec<&str> = Vec::with_capacity(6);
    let (mut start, mut braces) = (0, false);
    for (at, byte) in text.bytes().enumerate() {
        match byte {
            b'{' if at > 0 && text.as_bytes().get(at - 1) == Some(&b'$') => braces = true,
            b'}' => braces = false,
            b':' if !braces && parts.len() < 5 => {
                parts.push(text.get(start..at).unwrap_or_default());
                start = at + 1;
            }
            _ => {}
        }
    }
    parts.push(text.get(start..).unwrap_or_default());
    let [scheme, partition, service, region, account, resource] = parts.as_slice() else { return Err(wrong()) };
    if *scheme != "arn" || partition.is_empty() || service.is_empty() || resource.is_empty() {
        return Err(wrong());
    }
    let read = |part: &str| Pattern::read(part, Wildcards::Free);
    Ok([read(scheme)?, read(partition)?, read(service)?, read(region)?, read(account)?, read(resource)?])
}

/// A value of a condition, as read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Operand {
    Pattern(Pattern),
    Arn([Pattern; 6]),
    Number(Decimal),
    Date(Moment),
    Bool(bool),
    Binary(Box<str>),
    Range(Range),
}

/// One condition of a statement, as its policy states it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Condition {
    pub(crate) place: Place,
    pub(crate) name: Box<str>,
    pub(crate) operator: Operator,
    pub(crate) key: Box<str>,
    pub(crate) written: Vec<Box<str>>,
    pub(crate) operands: Vec<Operand>,
}

impl Condition {
    /// Where its key stands.
    pub fn place(&self) -> Place {
        self.place
    }

    pub(crate) fn says_as(&self, other: &Self) -> bool {
        (self.operator, &self.key, &self.operands) == (other.operator, &other.key, &other.operands)
    }

    /// The operator, as written: `ForAnyValue:StringLike`.
    pub fn operator(&self) -> &str {
        &self.name
    }

    /// The context key, as written.
    pub fn key(&self) -> &str {
        &self.key
    }

    /// The values, as written.
    pub fn values(&self) -> impl Iterator<Item = &str> {
        self.written.iter().map(AsRef::as_ref)
    }
}

/// A condition ready to be tested.
#[derive(Debug, Clone)]
pub(crate) struct Test {
    operator: Operator,
    slot: Slot,
    values: Values,
}

#[derive(Debug, Clone)]
enum Values {
    Texts(Box<[Glob]>),
    TextsIgnoringCase(Box<[Glob]>),
    Arns(Box<[[Glob; 6]]>),
    Numbers(Comparison, Box<[Decimal]>),
    Dates(Comparison, Box<[Moment]>),
    Bools { yes: bool, no: bool },
    Binaries(Box<[Box<str>]>),
    Ranges(Box<[Range]>),
}

impl Test {
    pub(crate) fn compile(condition: &Condition, keys: &mut Keys) -> Self {
        let slot = keys.intern(&condition.key);
        let operands = || condition.operands.iter();
        let mut globs = || {
            let patterns =
                operands().filter_map(|operand| if let Operand::Pattern(pattern) = operand { Some(pattern) } else { None });
            patterns.map(|pattern| Glob::compile(pattern, keys)).collect()
        };
        let values = match condition.operator.family {
            Family::Text | Family::Like => Values::Texts(globs()),
            Family::TextIgnoringCase => Values::TextsIgnoringCase(globs()),
            Family::Arn => {
                let arns = operands().filter_map(|operand| if let Operand::Arn(parts) = operand { Some(parts) } else { None });
                Values::Arns(arns.map(|parts| parts.each_ref().map(|part| Glob::compile(part, keys))).collect())
            }
            Family::Number(comparison) => {
                let number = |operand: &Operand| if let Operand::Number(number) = operand { Some(*number) } else { None };
                Values::Numbers(comparison, operands().filter_map(number).collect())
            }
            Family::Date(comparison) => {
                let date = |operand: &Operand| if let Operand::Date(date) = operand { Some(*date) } else { None };
                Values::Dates(comparison, operands().filter_map(date).collect())
            }
            Family::Bool | Family::Null => {
                let has = |flag| operands().any(|operand| *operand == Operand::Bool(flag));
                Values::Bools { yes: has(true), no: has(false) }
            }
            Family::Binary => {
                let bytes = |operand: &Operand| if let Operand::Binary(bytes) = operand { Some(bytes.clone()) } else { None };
                Values::Binaries(operands().filter_map(bytes).collect())
            }
            Family::Address => {
                let range = |operand: &Operand| if let Operand::Range(range) = operand { Some(*range) } else { None };
                Values::Ranges(operands().filter_map(range).collect())
            }
        };
        Self { operator: condition.operator, slot, values }
    }

    /// Tests the condition.
    pub(crate) fn holds(&self, context: &Context<'_>) -> Truth {
        let mut value = context.get(self.slot);
        if let (None, Value::One(text), false) = (self.operator.set, value, self.operator.family == Family::Null) {
            return self.one(text, context);
        }
        let empty = matches!(value, Value::Absent | Value::Many([]));
        if value == Value::Unknown {
            return Truth::Maybe;
        }
        if let (Family::Null, Values::Bools { yes, no }) = (self.operator.family, &self.values) {
            // A key without a value is null: "the key exists and its value is not null" is what `false` asks for.
            return (if empty { *yes } else { *no }).into();
        }
        if let (Some(_), Value::Many([text])) = (self.operator.set, value) {
            value = Value::One(text);
        }
        match (self.operator.set, value) {
            (Some(Set::All), _) if empty => Truth::Yes,
            // AWS says of `ForAnyValue` that a missing key is false and of `IfExists` that it is true; of both together, nothing.
            (Some(Set::Any), _) if empty => {
                if self.operator.if_exists {
                    Truth::Maybe
                } else {
                    Truth::No
                }
            }
            (Some(set), Value::One(text)) => {
                let literal = self.one(text, context);
                // An empty text is "a null dataset" to a set operator; where that and the text itself disagree, it can't be told.
                match (text.is_empty(), set) {
                    (true, Set::All) if literal != Truth::Yes => Truth::Maybe,
                    (true, Set::Any) if literal != Truth::No => Truth::Maybe,
                    _ => literal,
                }
            }
            (Some(set), Value::Many(texts)) => {
                let truths = texts.iter().map(|text| self.one(text, context));
                match set {
                    Set::All => truths.fold(Truth::Yes, Truth::and),
                    Set::Any => truths.fold(Truth::No, Truth::or),
                }
            }
            // "Multivalued context keys require a condition set operator."
            (None, Value::Many(_)) => Truth::Maybe,
            (None, Value::One(text)) => self.one(text, context),
            (_, Value::Absent | Value::Unknown) => (self.operator.if_exists || self.operator.negated).into(),
        }
    }

    /// Tests one value of the request: it must match one of the policy's values, or none if the operator is negated.
    #[inline]
    fn one(&self, text: &str, context: &Context<'_>) -> Truth {
        match self.any(text, context) {
            truth if !self.operator.negated => truth,
            // That nothing matches must not rest on a variable without a value.
            Truth::No if self.is_unresolved(context) => Truth::Maybe,
            truth => truth.negate(),
        }
    }

    fn is_unresolved(&self, context: &Context<'_>) -> bool {
        match &self.values {
            Values::Texts(globs) | Values::TextsIgnoringCase(globs) => globs.iter().any(|glob| glob.is_unresolved(context)),
            Values::Arns(patterns) => patterns.iter().flatten().any(|glob| glob.is_unresolved(context)),
            _ => false,
        }
    }

    /// Whether one value of the request matches some value of the policy. One that isn't of the operator's type can't be told.
    #[inline]
    fn any(&self, text: &str, context: &Context<'_>) -> Truth {
        if text.len() > SUBJECT_BYTES_MAX {
            return Truth::Maybe;
        }
        match &self.values {
            Values::Texts(globs) => some(globs, |glob| glob.matches(text, context)),
            Values::TextsIgnoringCase(globs) => some(globs, |glob| glob.equals_ignoring_case(text, context)),
            Values::Arns(patterns) => match split_arn(text) {
                None => Truth::Maybe,
                Some(parts) => some(patterns, |pattern| {
                    let pairs = pattern.iter().zip(parts);
                    pairs.fold(Truth::Yes, |truth, (glob, part)| truth.and(glob.matches(part, context)))
                }),
            },
            Values::Numbers(comparison, numbers) => match Decimal::read(text) {
                None => Truth::Maybe,
                Some(found) => some(numbers, |number| comparison.holds(found.cmp(number)).into()),
            },
            Values::Dates(comparison, dates) => match Moment::read(text) {
                None => Truth::Maybe,
                Some(found) => some(dates, |date| comparison.holds(found.cmp(date)).into()),
            },
            Values::Bools { yes, no } => match read_bool(text) {
                None => Truth::Maybe,
                Some(found) => (if found { *yes } else { *no }).into(),
            },
            Values::Binaries(binaries) if is_base64(text) => some(binaries, |binary| (binary.as_ref() == text).into()),
            Values::Binaries(_) => Truth::Maybe,
            Values::Ranges(ranges) => match text.parse() {
                Err(_) => Truth::Maybe,
                Ok(IpAddr::V4(address)) => some(ranges, |range| range.has_v4(address).into()),
                Ok(IpAddr::V6(address)) => {
                    let literal = ranges.iter().any(|range| range.has_v6(address));
                    match address.to_ipv4_mapped() {
                        // The same node has two addresses here: if it matters which, it can't be told.
                        Some(mapped) if ranges.iter().any(|range| range.has_v4(mapped)) != literal => Truth::Maybe,
                        _ => literal.into(),
                    }
                }
            },
        }
    }
}

#[inline]
fn some<T>(values: &[T], test: impl Fn(&T) -> Truth) -> Truth {
    let mut truth = Truth::No;
    for value in values {
        truth = truth.or(test(value));
        if truth == Truth::Yes {
            break;
        }
    }
    truth
}

/// The six parts of an ARN.
#[inline]
pub(crate) fn split_arn(text: &str) -> Option<[&str; 6]> {
    let mut rest = text;
    let mut part = || {
        let at = bytes::find(rest.as_bytes(), b':')?;
        let (part, after) = (rest.get(..at)?, rest.get(at + 1..)?);
        rest = after;
        Some(part)
    };
    let [scheme, partition, service, region, account] = [part()?, part()?, part()?, part()?, part()?];
    let fits = scheme == "arn" && !partition.is_empty() && !service.is_empty() && !rest.is_empty();
    fits.then_some([scheme, partition, service, region, account, rest])
}
