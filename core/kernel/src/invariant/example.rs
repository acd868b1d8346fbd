//! Arguments that fit a schema, as people would write them: the plainest ones, and the values at which something may turn.
//!
//! Nothing here is relied on: what is made is decided like any other call, and a schema that asks for more than is looked at here refuses it.

use remit_cedar::Literals;
use serde_json::{Map, Value};

/// The deepest value.
const DEPTH_MAX: usize = 6;
/// The most places of one schema that are looked at.
const PLACES_MAX: usize = 64;
/// The most values that are offered for one place.
const VALUES_MAX: usize = 24;
/// The longest text that is made.
const TEXT_CHARS_MAX: usize = 64;

/// A place in arguments, with the values that are worth trying there.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Place {
    /// The names that lead to it.
    pub(crate) path: Vec<String>,
    /// Whether it may be left out.
    pub(crate) optional: bool,
    /// The values, the plainest first.
    pub(crate) values: Vec<Value>,
}

/// The plainest value of a schema: what it requires, no more.
pub(crate) fn plain(root: &Value) -> Value {
    plain_of(root, root, 0)
}

fn plain_of(root: &Value, schema: &Value, depth: usize) -> Value {
    let schema = followed(root, schema);
    for key in ["const", "default"] {
        if let Some(value) = schema.get(key) {
            return value.clone();
        }
    }
    for key in ["enum", "examples"] {
        if let Some(value) = schema.get(key).and_then(Value::as_array).and_then(|values| values.first()) {
            return value.clone();
        }
    }
    match kind(schema) {
        "object" if depth < DEPTH_MAX => {
            let properties = schema.get("properties");
            let value = |name: &&str| Some(((*name).to_owned(), plain_of(root, properties?.get(name)?, depth + 1)));
            Value::Object(required(schema).iter().filter_map(value).collect())
        }
        "array" if depth < DEPTH_MAX => {
            let least = schema.get("minItems").and_then(Value::as_u64).unwrap_or_default().min(4);
            let item = schema.get("items").map_or(Value::Null, |items| plain_of(root, items, depth + 1));
            Value::Array((0..least).map(|_| item.clone()).collect())
        }
        "array" => Value::Array(Vec::new()),
        "integer" | "number" => {
            let (least, most) = bounds(schema);
            Value::from(1.clamp(least, most.max(least)))
        }
        "boolean" => Value::Bool(false),
        "string" => Value::String(text(schema)),
        "null" => Value::Null,
        _ => Value::Object(Map::new()),
    }
}

/// The places of a schema, with what is worth trying in each.
pub(crate) fn places(root: &Value, literals: &Literals) -> Vec<Place> {
    let mut found = Vec::new();
    collect(root, root, literals, &mut Vec::new(), false, &mut found);
    found
}

/// Puts a value where a path leads, with the objects on the way.
pub(crate) fn put(input: &mut Value, path: &[String], value: Value) {
    let mut at = input;
    for name in path {
        if !at.is_object() {
            *at = Value::Object(Map::new());
        }
        let Some(map) = at.as_object_mut() else { return };
        at = map.entry(name.clone()).or_insert(Value::Null);
    }
    *at = value;
}

fn collect(root: &Value, schema: &Value, literals: &Literals, path: &mut Vec<String>, optional: bool, found: &mut Vec<Place>) {
    let schema = followed(root, schema);
    if found.len() >= PLACES_MAX || path.len() > DEPTH_MAX {
        return;
    }
    if !path.is_empty() {
        found.push(Place { path: path.clone(), optional, values: values(root, schema, literals) });
    }
    if let Some(properties) = schema.get("properties").and_then(Value::as_object) {
        let required = required(schema);
        for (name, property) in properties {
            path.push(name.clone());
            collect(root, property, literals, path, !required.contains(&name.as_str()), found);
            path.pop();
        }
    }
}

/// What is worth trying: what the schema itself names, then what rules name and what lies beside it.
fn values(root: &Value, schema: &Value, literals: &Literals) -> Vec<Value> {
    let mut values = vec![plain_of(root, schema, 0)];
    let mut add = |value: Value| {
        if values.len() < VALUES_MAX && !values.contains(&value) {
            values.push(value);
        }
    };
    if let Some(named) = schema.get("enum").and_then(Value::as_array) {
        named.iter().cloned().for_each(add);
        return values;
    }
    match kind(schema) {
        "integer" | "number" => {
            let (least, most) = bounds(schema);
            let beside = |long: &i64| [long.saturating_sub(1), *long, long.saturating_add(1)];
            for long in literals.longs.iter().flat_map(beside).filter(|long| (least..=most).contains(long)) {
                add(Value::from(long));
            }
            if kind(schema) == "number" {
                for number in literals.texts.iter().filter_map(|text| text.parse::<f64>().ok()) {
                    for near in [number, number + 1.0, number - 1.0] {
                        let whole = near.fract() == 0.0 && near.abs() < 1e15;
                        #[allow(clippy::cast_possible_truncation, reason = "it is whole and small enough")]
                        let value = if whole {
                            Some(Value::from(near as i64))
                        } else {
                            serde_json::Number::from_f64(near).map(Value::Number)
                        };
                        value.into_iter().for_each(&mut add);
                    }
                }
            }
            let ends = [most, least].into_iter().filter(|end| *end != i64::MAX && *end != i64::MIN);
            ends.chain([0]).filter(|long| (least..=most).contains(long)).for_each(|long| add(Value::from(long)));
        }
        "boolean" => add(Value::Bool(true)),
        "string" => {
            // A text that is too short for a pattern is filled up with what fits it.
            let fitting: Vec<char> = text(schema).chars().collect();
            for text in &literals.texts {
                add(Value::String(text.clone()));
                let rest: String = fitting.iter().skip(text.chars().count()).collect();
                if !rest.is_empty() {
                    add(Value::String(format!("{text}{rest}")));
                }
            }
        }
        "array" => {
            let of = |value: &Value| Value::Array(vec![value.clone()]);
            if let Some(items) = schema.get("items").map(|items| followed(root, items)).filter(|items| kind(items) != "array") {
                self::values(root, items, literals).iter().map(of).for_each(&mut add);
                add(Value::Array(Vec::new()));
            }
        }
        _ => {}
    }
    values
}

/// The schema that a reference within the document leads to; of a choice the first that is more than null.
fn followed<'a>(root: &'a Value, schema: &'a Value) -> &'a Value {
    let mut schema = schema;
    for _ in 0..DEPTH_MAX {
        let reference =
            schema.get("$ref").and_then(Value::as_str).and_then(|reference| root.pointer(reference.strip_prefix('#')?));
        let choices = ["anyOf", "oneOf"].iter().find_map(|key| schema.get(*key)?.as_array());
        let choice = choices.and_then(|choices| choices.iter().find(|choice| kind(choice) != "null"));
        match reference.or(choice) {
            Some(next) => schema = next,
            None => break,
        }
    }
    schema
}

fn kind(schema: &Value) -> &str {
    match schema.get("type") {
        Some(Value::String(word)) => word,
        Some(Value::Array(words)) => words.iter().filter_map(Value::as_str).find(|word| *word != "null").unwrap_or("null"),
        _ if schema.get("properties").is_some() => "object",
        _ => "",
    }
}

fn required(schema: &Value) -> Vec<&str> {
    schema.get("required").and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_str).collect()
}

/// The least and the most of a number, as whole numbers.
fn bounds(schema: &Value) -> (i64, i64) {
    let of = |key: &str, beside: i64| {
        let bound = schema.get(key)?;
        #[allow(clippy::cast_possible_truncation, reason = "a bound that is none of these is judged by the schema itself")]
        let bound = bound.as_i64().or_else(|| bound.as_f64().map(|bound| bound as i64))?;
        Some(bound.saturating_add(beside))
    };
    let least = of("minimum", 0).into_iter().chain(of("exclusiveMinimum", 1)).max().unwrap_or(i64::MIN);
    let most = of("maximum", 0).into_iter().chain(of("exclusiveMaximum", -1)).min().unwrap_or(i64::MAX);
    (least, most)
}

/// A short text that fits a string's schema, as far as its pattern is understood here.
fn text(schema: &Value) -> String {
    let least = schema.get("minLength").and_then(Value::as_u64).unwrap_or_default();
    let least = usize::try_from(least).unwrap_or(usize::MAX).clamp(1, TEXT_CHARS_MAX);
    let made = schema.get("pattern").and_then(Value::as_str).and_then(of_pattern);
    made.unwrap_or_else(|| "x".repeat(least))
}

/// A text that matches a pattern of literals, classes, `.`, `\d`, `\w`, `\s` and counts; `None` for anything else.
fn of_pattern(pattern: &str) -> Option<String> {
    let mut made = String::new();
    let mut rest = pattern.strip_prefix('^').unwrap_or(pattern).chars().peekable();
    while let Some(char) = rest.next() {
        let one = match char {
            '$' if rest.peek().is_none() => break,
            '(' | ')' | '|' | '*' | '+' | '?' | '{' | '}' | '^' | '$' => return None,
            '.' => 'x',
            '[' => {
                let first = match rest.next()? {
                    '^' => return None,
                    '\\' => escaped(rest.next()?)?,
                    first => first,
                };
                while rest.next()? != ']' {}
                first
            }
            '\\' => escaped(rest.next()?)?,
            plain => plain,
        };
        let count = match rest.peek() {
            Some('*' | '?') => {
                rest.next();
                0
            }
            Some('+') => {
                rest.next();
                1
            }
            Some('{') => {
                rest.next();
                let mut digits = String::new();
                loop {
                    match rest.next()? {
                        '}' => break,
                        char => digits.push(char),
                    }
                }
                digits.split(',').next()?.parse().ok()?
            }
            _ => 1,
        };
        made.extend(std::iter::repeat_n(one, count));
        if made.len() > TEXT_CHARS_MAX {
            return None;
        }
    }
    Some(made)
}

fn escaped(char: char) -> Option<char> {
    match char {
        'd' => Some('1'),
        'w' => Some('a'),
        's' => Some(' '),
        char if !char.is_ascii_alphanumeric() => Some(char),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn plain_arguments_fit() {
        let schema = json!({"type": "object", "properties": {
            "from": {"type": "string", "pattern": "^ACC-[0-9]{4}$"}, "cents": {"type": "integer", "minimum": 5}, "memo": {"type": "string", "minLength": 3},
            "sort": {"enum": ["up", "down"]}, "note": {"type": "string"}, "deep": {"$ref": "#/$defs/deep"}
        }, "required": ["from", "cents", "memo", "sort", "deep"], "$defs": {"deep": {"type": "object", "properties": {"yes": {"type": "boolean"}}, "required": ["yes"]}}});
        let plain = plain(&schema);
        assert_eq!(plain, json!({"from": "ACC-0000", "cents": 5, "memo": "xxx", "sort": "up", "deep": {"yes": false}}));
        assert!(crate::schema::ArgumentSchema::compile(&schema).unwrap().faults(&plain).is_empty());
        let literals = Literals { longs: [10].into(), texts: ["gold".to_owned()].into(), ..Literals::default() };
        let places = places(&schema, &literals);
        let at = |path: &[&str]| places.iter().find(|place| place.path == path).unwrap();
        assert_eq!(at(&["cents"]).values, [json!(5), json!(9), json!(10), json!(11)]);
        assert!(at(&["note"]).optional && at(&["note"]).values.contains(&json!("gold")));
        assert_eq!(at(&["deep", "yes"]).values, [json!(false), json!(true)]);
    }

    #[test]
    fn patterns_that_arent_understood_make_nothing() {
        for (pattern, made) in
            [("^[a-z]{2,4}-\\d+$", Some("aa-1")), ("x.y\\.z", Some("xxy.z")), ("a|b", None), ("[^a]", None), ("(a)", None)]
        {
            assert_eq!(of_pattern(pattern).as_deref(), made, "{pattern}");
        }
    }
}
