//! What rules can tell of a value that they only compare: an amount with a limit, a text with a pattern, an owner with the user.
//!
//! Cedar's expressions are made of their parts' values: two calls for which every such comparison comes out alike are one call to the rules.

use std::collections::BTreeSet;

use serde_json::Value;

use crate::answer::ContextFact;

/// Remit's own facts about a call, by name.
pub(crate) type Facts<'a> = dyn Fn(&str) -> Option<ContextFact<'a>> + 'a;

/// How rules look at a value. What is looked at in any other way than by these comparisons is looked at whole.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Look {
    whole: bool,
    /// Integers that it is compared with.
    numbers: BTreeSet<i64>,
    /// Texts that it is or isn't.
    texts: BTreeSet<String>,
    /// Patterns that it is or isn't like.
    patterns: BTreeSet<Pattern>,
    /// Names of Remit's own facts that it is compared with, and of the caller's id: they are told by themselves.
    facts: BTreeSet<String>,
}

/// A pattern of `like`: the texts between its wildcards.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Pattern(Vec<String>);

impl Look {
    /// All of the value.
    pub(crate) fn whole() -> Self {
        Self { whole: true, ..Self::default() }
    }

    /// A comparison in a policy as JSON: the expression that is compared, with which other one, and how. `None` if that is neither what the
    /// policy itself says nor one of Remit's own facts, by the name that `fact` finds in an expression.
    pub(crate) fn of_comparison<'a>(
        operator: &str,
        operands: &'a Value,
        fact: impl Fn(&'a Value) -> Option<&'a str>,
    ) -> Option<(&'a Value, Option<&'a Value>, Self)> {
        let (left, right) = (operands.get("left")?, operands.get("right"));
        match operator {
            "like" => {
                let patterns = BTreeSet::from([Pattern::read(operands.get("pattern")?)?]);
                Some((left, None, Self { patterns, ..Self::default() }))
            }
            "contains" => {
                let mut look = Self::default();
                let said = left.get("Set").and_then(Value::as_array)?;
                said.iter().try_for_each(|said| look.add_literal(said, true))?;
                Some((right?, None, look))
            }
            "==" | "!=" | "<" | "<=" | ">" | ">=" => {
                let mut look = Self::default();
                let (is_equality, right) = (matches!(operator, "==" | "!="), right?);
                for (compared, with) in [(left, right), (right, left)] {
                    if let Some(name) = fact(with) {
                        look.facts.insert(name.to_owned());
                        return Some((compared, Some(with), look));
                    }
                }
                let compared = match look.add_literal(right, is_equality) {
                    Some(()) => left,
                    None => look.add_literal(left, is_equality).map(|()| right)?,
                };
                Some((compared, None, look))
            }
            _ => None,
        }
    }

    /// Adds a literal that a value is compared with; `None` if it isn't one, or not one that it can be compared with so.
    fn add_literal(&mut self, said: &Value, is_equality: bool) -> Option<()> {
        match said.get("Value")? {
            Value::String(text) if is_equality => drop(self.texts.insert(text.clone())),
            Value::Number(number) => drop(self.numbers.insert(number.as_i64()?)),
            _ => return None,
        }
        Some(())
    }

    /// Takes over how others look at it.
    pub(crate) fn add(&mut self, other: &Self) {
        self.whole |= other.whole;
        self.numbers.extend(&other.numbers);
        self.texts.extend(other.texts.iter().cloned());
        self.patterns.extend(other.patterns.iter().cloned());
        self.facts.extend(other.facts.iter().cloned());
    }

    /// Writes down what is told of a text in a call with these facts; `false` if that is all of it.
    pub(crate) fn text(&self, text: &str, fact: &Facts<'_>, into: &mut Vec<u8>) -> bool {
        // A text that is compared with a number is a fault of the rule's, and that is told in Cedar's words.
        if self.whole || !self.numbers.is_empty() {
            return false;
        }
        let said = if self.texts.contains(text) { text } else { "" };
        into.push(u8::from(self.texts.contains(text)));
        into.extend_from_slice(&(said.len() as u64).to_le_bytes());
        into.extend_from_slice(said.as_bytes());
        into.extend(self.patterns.iter().map(|pattern| u8::from(pattern.is_of(text))));
        self.facts.iter().all(|name| match fact(name) {
            Some(ContextFact::Text(other)) => {
                into.push(u8::from(text == other));
                true
            }
            // That it isn't there is told by itself.
            other => other.is_none(),
        })
    }

    /// Writes down what is told of an integer in a call with these facts; `false` if that is all of it.
    pub(crate) fn integer(&self, value: i64, fact: &Facts<'_>, into: &mut Vec<u8>) -> bool {
        if self.whole || !self.texts.is_empty() || !self.patterns.is_empty() {
            return false;
        }
        // Between which two of the numbers it lies, or which of them it is.
        let below = self.numbers.range(..value).next_back();
        into.extend([u8::from(below.is_some()), u8::from(self.numbers.contains(&value))]);
        into.extend_from_slice(&below.copied().unwrap_or_default().to_le_bytes());
        self.facts.iter().all(|name| match fact(name) {
            Some(ContextFact::Number(other)) => {
                into.extend([u8::from(value < other), u8::from(value == other)]);
                true
            }
            other => other.is_none(),
        })
    }
}

impl Pattern {
    /// Of a policy as JSON: `["Wildcard", {"Literal": "x"}]`.
    fn read(pattern: &Value) -> Option<Self> {
        let mut between = vec![String::new()];
        for part in pattern.as_array()? {
            match (part.as_str(), part.get("Literal").and_then(Value::as_str)) {
                (Some("Wildcard"), _) => between.push(String::new()),
                (None, Some(text)) => between.last_mut()?.push_str(text),
                _ => return None,
            }
        }
        Some(Self(between))
    }

    /// Whether a text is like it. A wildcard stands for any text, the empty one too.
    fn is_of(&self, text: &str) -> bool {
        let Some((first, rest)) = self.0.split_first() else { return false };
        let Some((last, inner)) = rest.split_last() else { return text == first };
        let Some(text) = text.strip_prefix(first.as_str()).and_then(|text| text.strip_suffix(last.as_str())) else {
            return false;
        };
        // The earliest place of each leaves the most for those behind it.
        inner.iter().try_fold(text, |text, part| text.split_once(part.as_str()).map(|(_, behind)| behind)).is_some()
    }
}

#[cfg(test)]
mod tests {
    use cedar_policy::{Context, Entities, EntityUid, EvalResult, Expression, Request, eval_expression};
    use proptest::prelude::*;

    use super::*;

    /// What Cedar says of it.
    fn evaluated(expression: &str) -> bool {
        let someone = || "A::\"x\"".parse::<EntityUid>().unwrap();
        let request = Request::new(someone(), someone(), someone(), Context::empty(), None).unwrap();
        eval_expression(&request, &Entities::empty(), &expression.parse::<Expression>().unwrap()).unwrap()
            == EvalResult::Bool(true)
    }

    proptest! {
        #[test]
        fn a_text_is_like_a_pattern_as_cedar_has_it(
            parts in proptest::collection::vec(proptest::sample::select(&["a", "b", "é", "\\*", "*", "*"][..]), 0..6),
            texts in proptest::collection::vec("[abé*]{0,7}", 8),
        ) {
            let pattern = parts.concat();
            let policy: cedar_policy::Policy =
                format!("permit (principal, action, resource) when {{ context.a like \"{pattern}\" }};").parse().unwrap();
            let policy = policy.to_json().unwrap();
            let read = Pattern::read(policy.pointer("/conditions/0/body/like/pattern").unwrap()).unwrap();
            for text in texts {
                prop_assert_eq!(read.is_of(&text), evaluated(&format!("\"{text}\" like \"{pattern}\"")), "{} like {}", text, pattern);
            }
        }

        #[test]
        fn integers_are_told_apart_as_the_numbers_tell_them_apart(
            numbers in proptest::collection::btree_set(-4..4_i64, 0..5),
            one in -5..5_i64,
            other in -5..5_i64,
        ) {
            let look = Look { numbers: numbers.clone(), ..Look::default() };
            let told = |value: i64| {
                let mut told = Vec::new();
                assert!(look.integer(value, &|_| None, &mut told));
                told
            };
            let alike = numbers.iter().all(|number| one.cmp(number) == other.cmp(number));
            prop_assert_eq!(told(one) == told(other), alike);
        }
    }
}
