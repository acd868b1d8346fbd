//! Arguments of a call, checked against the tool's own schema: as much of JSON Schema as these tools use.

use serde_json::{Map, Value};

/// The arguments of a call.
#[derive(Clone, Copy)]
pub(crate) struct Arguments<'a>(Option<&'a Map<String, Value>>);

impl<'a> Arguments<'a> {
    /// Of a call's `arguments`; none are an empty object.
    pub(crate) fn new(value: Option<&'a Value>) -> Self {
        Self(value.and_then(Value::as_object))
    }

    /// A text; empty if it is absent.
    pub(crate) fn text(self, key: &str) -> &'a str {
        self.optional(key).unwrap_or_default()
    }

    /// A text, if it is there.
    pub(crate) fn optional(self, key: &str) -> Option<&'a str> {
        self.0?.get(key)?.as_str()
    }

    /// A whole number, if it is there.
    pub(crate) fn count(self, key: &str) -> Option<i64> {
        self.0?.get(key)?.as_i64()
    }
}

/// What is wrong with the arguments, for the model; `None` if nothing is.
pub(crate) fn fault(schema: &Value, arguments: Option<&Value>) -> Option<String> {
    let empty = Value::Object(Map::new());
    let Some(map) = arguments.unwrap_or(&empty).as_object() else { return Some("the arguments are no object".to_owned()) };
    let properties = schema.get("properties").and_then(Value::as_object)?;
    let required = schema.get("required").and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_str);
    if let Some(missing) = required.into_iter().find(|name| !map.contains_key(*name)) {
        return Some(format!("`{missing}` is missing"));
    }
    for (name, value) in map {
        let Some(property) = properties.get(name) else { return Some(format!("there is no argument `{name}`")) };
        if let Some(rule) = broken(property, value) {
            return Some(format!("`{name}` {rule}"));
        }
    }
    None
}

fn broken(property: &Value, value: &Value) -> Option<String> {
    let rule = |key: &str| property.get(key);
    match rule("type").and_then(Value::as_str)? {
        "string" => {
            let Some(text) = value.as_str() else { return Some("must be a text".to_owned()) };
            let length = text.chars().count() as u64;
            let bounds = |key: &str| rule(key).and_then(Value::as_u64);
            if bounds("minLength").is_some_and(|min| length < min) || bounds("maxLength").is_some_and(|max| length > max) {
                return Some("is too short or too long".to_owned());
            }
            if let Some(words) = rule("enum").and_then(Value::as_array).filter(|words| !words.contains(value)) {
                let words: Vec<&str> = words.iter().filter_map(Value::as_str).collect();
                return Some(format!("must be one of {}", words.join(", ")));
            }
            let pattern = rule("pattern").and_then(Value::as_str)?;
            (!matches_id(pattern, text)).then(|| format!("must match {pattern}"))
        }
        "integer" => {
            let Some(number) = value.as_i64() else { return Some("must be a whole number".to_owned()) };
            let bounds = |key: &str| rule(key).and_then(Value::as_i64);
            let outside = bounds("minimum").is_some_and(|min| number < min) || bounds("maximum").is_some_and(|max| number > max);
            outside.then(|| "is out of range".to_owned())
        }
        "boolean" => (!value.is_boolean()).then(|| "must be true or false".to_owned()),
        _ => None,
    }
}

/// Patterns here are all `^PREFIX-[0-9]{4}$`.
fn matches_id(pattern: &str, text: &str) -> bool {
    let prefix = pattern.strip_prefix('^').and_then(|rest| rest.strip_suffix("[0-9]{4}$"));
    let digits = prefix.and_then(|prefix| text.strip_prefix(prefix));
    digits.is_some_and(|digits| digits.len() == 4 && digits.bytes().all(|byte| byte.is_ascii_digit()))
}
