//! What of a JSON Schema a policy can see, and values in that shape.
//!
//! The types are AgentCore's: `string` is `String`, `integer` is `Long`, `number` is `decimal`, `boolean` is `Bool`, an array is a `Set`,
//! an object a record. What has no type there (unions, free objects, tuples) is not in the vocabulary, so no policy can speak of it.

use std::collections::{BTreeMap, BTreeSet};

use cedar_policy::RestrictedExpression;
use dogwood_language::Value as Term;
use serde_json::Value;

use crate::look::{Facts, Look};
use crate::name::{is_plain, mangle};

/// The deepest shape.
const DEPTH_MAX: usize = 16;
/// The most types of one definition: references can make few bytes mean very many.
const SHAPES_MAX: usize = 4_096;
/// The most properties of a record.
const PROPERTIES_MAX: usize = 512;
/// The largest integer that JSON's numbers hold for certain (RFC 8259, section 6).
const EXACT_MAX: f64 = 9_007_199_254_740_991.0;
/// A decimal of Cedar has four digits after the point.
const DECIMAL_DIGITS: usize = 4;

/// The most facts that are told of the values of one schema.
const FACTS_MAX: usize = 64;
/// The longest list of texts that is told.
const NAMED_MAX: usize = 64;

/// A type.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Shape {
    String,
    Long,
    Decimal,
    Bool,
    Set(Box<Shape>),
    Record(Record),
}

/// Properties by name; each may be required.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Record(BTreeMap<String, Property>);

#[derive(Debug, Clone, PartialEq, Eq)]
struct Property {
    shape: Shape,
    required: bool,
    /// Its name in temporal conditions, where its own can't stand.
    alias: Option<String>,
}

/// A value that is there and that Cedar can't hold: policies would take it for absent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Unheld(pub(crate) String);

impl std::fmt::Display for Unheld {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "a value at `{}` can't be held by Cedar's types: it is too large, too precise or of another type", self.0)
    }
}

impl Record {
    /// What a tool's input or output schema shows. A schema of anything but an object shows nothing.
    pub(crate) fn of_schema(schema: &Value) -> Self {
        match (Reading { root: schema, left: SHAPES_MAX, path: Vec::new() }).read(schema, 0) {
            Some((Shape::Record(record), _)) => record,
            _ => Self::default(),
        }
    }

    /// As a type in Cedar's schema syntax.
    pub(crate) fn to_cedar(&self) -> String {
        let mut fields = Vec::new();
        for (name, property) in &self.0 {
            let mark = if property.required { "" } else { "?" };
            let shape = property.shape.to_cedar();
            fields.push(format!("{}{mark}: {shape}", quote(name)));
            if let Some(alias) = &property.alias {
                fields.push(format!("{}{mark}: {shape}", quote(alias)));
            }
        }
        format!("{{{}}}", fields.join(", "))
    }

    /// The type of what stands behind its properties: a word for each.
    pub(crate) fn origins_to_cedar(&self) -> String {
        let fields: Vec<String> = self.names().map(|name| format!("{}: __cedar::String", quote(name))).collect();
        format!("{{{}}}", fields.join(", "))
    }

    /// What stands behind its properties, each by the word that `of` has for the property's own name.
    pub(crate) fn origins(&self, of: impl Fn(&str) -> &'static str) -> Vec<(String, RestrictedExpression)> {
        let mut origins = Vec::new();
        for (name, property) in &self.0 {
            let word = of(name);
            for name in std::iter::once(name).chain(&property.alias) {
                origins.push((name.clone(), RestrictedExpression::new_string(word.to_owned())));
            }
        }
        origins
    }

    /// The names of its properties, the second ones too.
    pub(crate) fn names(&self) -> impl Iterator<Item = &str> {
        self.0.iter().flat_map(|(name, property)| std::iter::once(name.as_str()).chain(property.alias.as_deref()))
    }

    /// The types of some properties, in their order; two records that say the same here are the same to whoever reads these alone.
    pub(crate) fn profile(&self, names: &BTreeSet<String>) -> String {
        let mut profile = String::new();
        for name in names {
            let property = self.0.get(name).or_else(|| self.0.values().find(|property| property.alias.as_ref() == Some(name)));
            match property {
                Some(property) => profile.push_str(&format!("{}{};", property.shape.to_cedar(), property.required)),
                None => profile.push(';'),
            }
        }
        profile
    }

    /// Each property of an object: its name here, and its value for Cedar and for Dogwood. `pointer` leads to the object.
    fn values<T>(
        &self,
        object: &Value,
        pointer: &str,
        hold: impl Fn(&Shape, &Value, &str) -> Result<Option<T>, Unheld>,
    ) -> Result<Vec<(String, T)>, Unheld>
    where
        T: Clone,
    {
        let mut values = Vec::new();
        for (name, property) in &self.0 {
            let Some(value) = object.get(name).filter(|value| !value.is_null()) else { continue };
            let Some(kept) = hold(&property.shape, value, &format!("{pointer}/{name}"))? else { continue };
            if let Some(alias) = &property.alias {
                values.push((alias.clone(), kept.clone()));
            }
            values.push((name.clone(), kept));
        }
        Ok(values)
    }

    /// An object without what isn't in the vocabulary.
    pub(crate) fn pruned(&self, object: &Value) -> Value {
        let kept = self.0.iter().filter_map(|(name, property)| Some((name.clone(), property.shape.pruned(object.get(name)?))));
        Value::Object(kept.collect())
    }

    /// What a schema says of values beyond their types, in Cedar's words: bounds of numbers and lists of texts. `at` is the expression of the
    /// object, `guard` what must be true for it to be there. What isn't understood is left out.
    pub(crate) fn facts(&self, schema: &Value, at: &str, guard: &str, facts: &mut Vec<String>) {
        // Of a reference or a choice it isn't known here which words are in force.
        let open = |schema: &Value| ["$ref", "anyOf", "oneOf"].iter().any(|key| schema.get(key).is_some());
        let properties = schema.get("properties").filter(|_| !open(schema));
        for (name, property) in &self.0 {
            let Some(told) = properties.and_then(|properties| properties.get(name)).filter(|told| !open(told)) else { continue };
            let value = format!("{at}[{}]", quote(name));
            let guard = if property.required {
                guard.to_owned()
            } else {
                let and = if guard.is_empty() { "" } else { " && " };
                format!("{guard}{and}{at} has {}", quote(name))
            };
            let mut add = |fact: String| {
                if facts.len() < FACTS_MAX {
                    facts.push(if guard.is_empty() { fact } else { format!("(if {guard} then {fact} else true)") });
                }
            };
            let bound = |key: &str| told.get(key).and_then(Value::as_i64);
            match &property.shape {
                Shape::Long => {
                    bound("minimum").into_iter().for_each(|least| add(format!("{value} >= {least}")));
                    bound("maximum").into_iter().for_each(|most| add(format!("{value} <= {most}")));
                }
                Shape::Decimal => {
                    let bound = |key: &str| told.get(key).and_then(decimal);
                    if let Some(least) = bound("minimum") {
                        add(format!("{value}.greaterThanOrEqual(decimal({}))", quote(&least)));
                    }
                    if let Some(most) = bound("maximum") {
                        add(format!("{value}.lessThanOrEqual(decimal({}))", quote(&most)));
                    }
                }
                Shape::String => {
                    if let Some(Value::Array(named)) = told.get("enum").filter(|_| told.get("const").is_none()) {
                        let texts: Vec<String> = named.iter().filter_map(Value::as_str).map(quote).collect();
                        if (1..=NAMED_MAX).contains(&texts.len()) {
                            add(format!("[{}].contains({value})", texts.join(", ")));
                        }
                    }
                    if let Some(start) = told.get("pattern").and_then(Value::as_str).and_then(beginning) {
                        add(format!("{value} like \"{start}*\""));
                    }
                }
                Shape::Record(record) => record.facts(told, &value, &guard, facts),
                Shape::Bool | Shape::Set(_) => {}
            }
        }
    }

    /// An object of Cedar's JSON as arguments, under the names that the tool knows.
    pub(crate) fn arguments(&self, object: &Value) -> Value {
        let told = self.0.iter().filter_map(|(name, property)| {
            let alias = || property.alias.as_ref().and_then(|alias| object.get(alias));
            Some((name.clone(), property.shape.argument(object.get(name).or_else(alias)?)?))
        });
        Value::Object(told.collect())
    }

    /// Writes down what the answers of rules hang on that look at properties so: at most all of [`Record::expression`], and whether every
    /// value can be held.
    pub(crate) fn told<'a>(&self, object: &Value, fact: &Facts<'_>, look: impl Fn(&str) -> Option<&'a Look>, into: &mut Vec<u8>) {
        let nothing = Look::default();
        for (name, property) in &self.0 {
            let Some(value) = object.get(name).filter(|value| !value.is_null()) else {
                into.push(0);
                continue;
            };
            let start = into.len();
            into.push(1);
            // A rule may know it by both of its names: then all of it is told.
            let look = match (look(name), property.alias.as_deref().and_then(&look)) {
                (Some(_), Some(_)) => None,
                (look, of_alias) => Some(look.or(of_alias).unwrap_or(&nothing)),
            };
            let is_told = look.is_some_and(|look| match (&property.shape, value) {
                (Shape::String, Value::String(text)) => look.text(text, fact, into),
                (Shape::Long, value) => long(value).is_some_and(|value| look.integer(value, fact, into)),
                (shape, value) => *look == nothing && shape.holds(value),
            });
            if !is_told {
                into.truncate(start);
                let text = value.to_string();
                into.push(2);
                into.extend_from_slice(&(text.len() as u64).to_le_bytes());
                into.extend_from_slice(text.as_bytes());
            }
        }
    }

    /// For Cedar.
    pub(crate) fn expression(&self, object: &Value, pointer: &str) -> Result<RestrictedExpression, Unheld> {
        let fields = self.values(object, pointer, |shape, value, pointer| shape.expression(value, pointer).map(Some))?;
        RestrictedExpression::new_record(fields).map_err(|_| Unheld(pointer.to_owned()))
    }

    /// For Dogwood.
    pub(crate) fn terms(&self, object: &Value, pointer: &str) -> Result<BTreeMap<String, Term>, Unheld> {
        Ok(self.values(object, pointer, |shape, value, pointer| shape.term(value, pointer).map(Some))?.into_iter().collect())
    }
}

/// One definition being read.
struct Reading<'a> {
    root: &'a Value,
    /// How many types it may still have.
    left: usize,
    /// The references that led here: one that leads to itself has no end.
    path: Vec<&'a str>,
}

impl<'a> Reading<'a> {
    /// A schema's shape and whether null is admitted beside it; `None` if it has none.
    fn read(&mut self, schema: &'a Value, depth: usize) -> Option<(Shape, bool)> {
        self.left = self.left.checked_sub(1)?;
        if depth > DEPTH_MAX {
            return None;
        }
        if let Some(reference) = schema.get("$ref").and_then(Value::as_str) {
            if self.path.contains(&reference) {
                return None;
            }
            let target = self.root.pointer(reference.strip_prefix('#')?)?;
            self.path.push(reference);
            let read = self.read(target, depth + 1);
            self.path.pop();
            return read;
        }
        for union in ["anyOf", "oneOf"] {
            if let Some(choices) = schema.get(union).and_then(Value::as_array) {
                return self.read_choice(choices, depth);
            }
        }
        let (word, nullable) = match schema.get("type") {
            Some(Value::String(word)) => (word.as_str(), false),
            Some(Value::Array(words)) => {
                let mut others = words.iter().filter_map(Value::as_str).filter(|word| *word != "null");
                let word = others.next()?;
                (others.next().is_none().then_some(word)?, words.iter().any(|word| word == "null"))
            }
            None => (Self::told_otherwise(schema)?, false),
            Some(_) => return None,
        };
        let shape = match word {
            "string" => Shape::String,
            "integer" => Shape::Long,
            "number" => Shape::Decimal,
            "boolean" => Shape::Bool,
            "array" => {
                let (items, null_too) = self.read(schema.get("items")?, depth + 1)?;
                (!null_too).then(|| Shape::Set(Box::new(items)))?
            }
            "object" => Shape::Record(self.read_record(schema, depth)?),
            _ => return None,
        };
        Some((shape, nullable))
    }

    /// A union of one thing and null is that thing, optional.
    fn read_choice(&mut self, choices: &'a [Value], depth: usize) -> Option<(Shape, bool)> {
        let is_null = |choice: &&Value| choice.get("type").is_some_and(|word| word == "null");
        let mut others = choices.iter().filter(|choice| !is_null(choice));
        let (shape, nullable) = self.read(others.next()?, depth + 1)?;
        others.next().is_none().then_some((shape, nullable || choices.iter().any(|choice| is_null(&choice))))
    }

    /// The type of a schema that doesn't state it.
    fn told_otherwise(schema: &Value) -> Option<&'static str> {
        let values: Vec<&Value> = match (schema.get("enum"), schema.get("const")) {
            (Some(Value::Array(values)), _) => values.iter().collect(),
            (_, Some(value)) => vec![value],
            _ => return schema.get("properties").map(|_| "object"),
        };
        let all = |is: fn(&Value) -> bool| !values.is_empty() && values.iter().all(|value| is(value));
        if all(Value::is_string) {
            Some("string")
        } else if all(Value::is_i64) {
            Some("integer")
        } else if all(Value::is_boolean) {
            Some("boolean")
        } else {
            None
        }
    }

    fn read_record(&mut self, schema: &'a Value, depth: usize) -> Option<Record> {
        let properties = schema.get("properties").and_then(Value::as_object)?;
        if properties.len() > PROPERTIES_MAX {
            return None;
        }
        let required: Vec<&str> =
            schema.get("required").and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_str).collect();
        let mut record = BTreeMap::new();
        for (name, property) in properties {
            let Some((shape, nullable)) = self.read(property, depth + 1) else { continue };
            let alias = Some(mangle(name)).filter(|alias| !is_plain(name) && !properties.contains_key(alias));
            let required = required.contains(&name.as_str()) && !nullable;
            record.insert(name.clone(), Property { shape, required, alias });
        }
        Some(Record(record))
    }
}

impl Shape {
    fn to_cedar(&self) -> String {
        match self {
            Self::String => "__cedar::String".to_owned(),
            Self::Long => "__cedar::Long".to_owned(),
            Self::Decimal => "__cedar::decimal".to_owned(),
            Self::Bool => "__cedar::Bool".to_owned(),
            Self::Set(items) => format!("Set<{}>", items.to_cedar()),
            Self::Record(record) => record.to_cedar(),
        }
    }

    fn pruned(&self, value: &Value) -> Value {
        match (self, value) {
            (Self::Record(record), Value::Object(_)) => record.pruned(value),
            (Self::Set(items), Value::Array(values)) => Value::Array(values.iter().map(|value| items.pruned(value)).collect()),
            _ => value.clone(),
        }
    }

    /// A value of Cedar's JSON as an argument; `None` if it is none of this shape.
    fn argument(&self, value: &Value) -> Option<Value> {
        match (self, value) {
            (Self::Record(record), Value::Object(_)) => Some(record.arguments(value)),
            (Self::Set(items), Value::Array(values)) => values.iter().map(|value| items.argument(value)).collect(),
            (Self::Decimal, _) => {
                let text = value.pointer("/__extn/arg").or_else(|| value.get("arg"))?.as_str()?;
                // A whole number is written as one.
                match text.split_once('.') {
                    Some((whole, rest)) if rest.bytes().all(|byte| byte == b'0') => whole.parse::<i64>().ok().map(Value::from),
                    _ => serde_json::Number::from_f64(text.parse().ok()?).map(Value::Number),
                }
            }
            (Self::String, Value::String(_)) | (Self::Bool, Value::Bool(_)) => Some(value.clone()),
            (Self::Long, Value::Number(number)) => number.is_i64().then(|| value.clone()),
            _ => None,
        }
    }

    /// Whether Cedar can hold a value: then [`Shape::expression`] makes something of it.
    fn holds(&self, value: &Value) -> bool {
        match (self, value) {
            (Self::String, Value::String(_)) | (Self::Bool, Value::Bool(_)) => true,
            (Self::Long, _) => long(value).is_some(),
            (Self::Decimal, _) => decimal(value).is_some(),
            (Self::Set(items), Value::Array(values)) => values.iter().all(|value| items.holds(value)),
            (Self::Record(record), Value::Object(object)) => record
                .0
                .iter()
                .all(|(name, property)| object.get(name).is_none_or(|value| value.is_null() || property.shape.holds(value))),
            _ => false,
        }
    }

    fn expression(&self, value: &Value, pointer: &str) -> Result<RestrictedExpression, Unheld> {
        let unheld = || Unheld(pointer.to_owned());
        Ok(match (self, value) {
            (Self::String, Value::String(text)) => RestrictedExpression::new_string(text.clone()),
            (Self::Bool, Value::Bool(yes)) => RestrictedExpression::new_bool(*yes),
            (Self::Long, _) => RestrictedExpression::new_long(long(value).ok_or_else(unheld)?),
            (Self::Decimal, _) => RestrictedExpression::new_decimal(decimal(value).ok_or_else(unheld)?),
            (Self::Set(items), Value::Array(values)) => {
                let values: Result<Vec<_>, _> =
                    values.iter().enumerate().map(|(at, value)| items.expression(value, &format!("{pointer}/{at}"))).collect();
                RestrictedExpression::new_set(values?)
            }
            (Self::Record(record), Value::Object(_)) => record.expression(value, pointer)?,
            _ => return Err(unheld()),
        })
    }

    fn term(&self, value: &Value, pointer: &str) -> Result<Term, Unheld> {
        let unheld = || Unheld(pointer.to_owned());
        Ok(match (self, value) {
            (Self::String, Value::String(text)) => Term::String(text.clone()),
            (Self::Bool, Value::Bool(yes)) => Term::Bool(*yes),
            (Self::Long, _) => Term::Int(long(value).ok_or_else(unheld)?),
            (Self::Decimal, _) => Term::Decimal(decimal(value).ok_or_else(unheld)?),
            (Self::Set(items), Value::Array(values)) => {
                let values: Result<Vec<_>, _> =
                    values.iter().enumerate().map(|(at, value)| items.term(value, &format!("{pointer}/{at}"))).collect();
                Term::Array(values?)
            }
            (Self::Record(record), Value::Object(_)) => Term::Object(record.terms(value, pointer)?),
            _ => return Err(unheld()),
        })
    }
}

/// The letters, digits and marks with which every text begins that a pattern admits.
fn beginning(pattern: &str) -> Option<&str> {
    let rest = pattern.strip_prefix('^').filter(|rest| !rest.contains('|'))?;
    let plain = |char: char| char.is_ascii_alphanumeric() || "-_/: ".contains(char);
    let len = rest.find(|char| !plain(char)).unwrap_or(rest.len());
    // What may be repeated may be absent.
    let repeated = rest.get(len..)?.starts_with(['*', '?', '{']);
    rest.get(..if repeated { len.checked_sub(1)? } else { len }).filter(|start| !start.is_empty())
}

/// An integer; JSON Schema counts `3.0` as one (2020-12, Validation, section 6.1.1).
fn long(value: &Value) -> Option<i64> {
    let whole = |number: f64| {
        #[allow(clippy::cast_possible_truncation, reason = "it is whole and within what is exact")]
        (number.fract() == 0.0 && number.abs() <= EXACT_MAX).then_some(number as i64)
    };
    value.as_i64().or_else(|| if value.is_f64() { value.as_f64().and_then(whole) } else { None })
}

/// A decimal's text, if Cedar holds this number exactly.
fn decimal(value: &Value) -> Option<String> {
    // Cedar's largest is 922337203685477.5807.
    const WHOLE_MAX: u64 = 922_337_203_685_476;
    if let Some(whole) = value.as_i64() {
        return (whole.unsigned_abs() <= WHOLE_MAX).then(|| format!("{whole}.0"));
    }
    let number = value.as_f64().filter(|_| value.is_f64())?;
    #[allow(clippy::cast_precision_loss, reason = "it is a bound")]
    let within = number.abs() <= WHOLE_MAX as f64;
    let text = within.then(|| format!("{number:.DECIMAL_DIGITS$}"))?;
    #[allow(clippy::float_cmp, reason = "it must be the very number")]
    (text.parse::<f64>().ok()? == number).then_some(text)
}

/// As a string of Cedar's.
pub(crate) fn quote(text: &str) -> String {
    let mut quoted = String::with_capacity(text.len() + 2);
    quoted.push('"');
    for char in text.chars() {
        match char {
            '"' => quoted.push_str("\\\""),
            '\\' => quoted.push_str("\\\\"),
            ' '..='~' => quoted.push(char),
            other => quoted.push_str(&format!("\\u{{{:x}}}", u32::from(other))),
        }
    }
    quoted.push('"');
    quoted
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn record(properties: &Value) -> Record {
        Record::of_schema(&json!({"type": "object", "properties": properties, "required": ["a"]}))
    }

    #[test]
    fn schemas_become_types() {
        let schema = json!({
            "a": {"type": "string"}, "b": {"type": ["integer", "null"]}, "c": {"type": "number"}, "d": {"enum": ["x", "y"]},
            "e": {"type": "array", "items": {"type": "string"}}, "f": {"type": "object", "properties": {"g": {"type": "boolean"}}},
            "h": {"anyOf": [{"type": "string"}, {"type": "integer"}]}, "i": {"anyOf": [{"type": "string"}, {"type": "null"}]},
            "j": {"type": "object"}, "k-l": {"type": "integer"}, "m": {"$ref": "#/properties/a"}, "n": {"$ref": "#/properties/n"}
        });
        assert_eq!(
            record(&schema).to_cedar(),
            "{\"a\": __cedar::String, \"b\"?: __cedar::Long, \"c\"?: __cedar::decimal, \"d\"?: __cedar::String, \"e\"?: Set<__cedar::String>, \"f\"?: {\"g\"?: __cedar::Bool}, \"i\"?: __cedar::String, \"k-l\"?: __cedar::Long, \"k_u2d_l\"?: __cedar::Long, \"m\"?: __cedar::String}"
        );
        assert_eq!(Record::of_schema(&json!({"type": "string"})), Record::default());
        assert_eq!(Record::of_schema(&json!(true)), Record::default());
    }

    #[test]
    fn what_cedar_cant_hold_is_told_and_not_taken_for_absent() {
        let record = record(
            &json!({"a": {"type": "integer"}, "b": {"type": "number"}, "c": {"type": "array", "items": {"type": "number"}}}),
        );
        for (good, held) in [
            (json!({"a": 1, "b": 1.25}), [("a", Term::Int(1)), ("b", Term::Decimal("1.2500".to_owned()))]),
            (json!({"a": 3.0, "b": 7}), [("a", Term::Int(3)), ("b", Term::Decimal("7.0".to_owned()))]),
        ] {
            let held: BTreeMap<String, Term> = held.into_iter().map(|(name, term)| (name.to_owned(), term)).collect();
            assert_eq!(record.terms(&good, "").unwrap(), held);
        }
        for (bad, at) in [
            (json!({"a": 1e300}), "/a"),
            (json!({"a": 18_446_744_073_709_551_615_u64}), "/a"),
            (json!({"b": 0.00001}), "/b"),
            (json!({"b": 1e17}), "/b"),
            (json!({"b": i64::MIN}), "/b"),
            (json!({"c": [1, 0.12345]}), "/c/1"),
            (json!({"a": "1"}), "/a"),
        ] {
            assert_eq!(record.terms(&bad, ""), Err(Unheld(at.to_owned())), "{bad}");
            assert_eq!(record.expression(&bad, "").map(|_| ()), Err(Unheld(at.to_owned())), "{bad}");
        }
        assert_eq!(record.terms(&json!({"a": null, "x": 1e300}), ""), Ok(BTreeMap::new()));
    }
}
