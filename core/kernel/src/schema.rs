//! Argument schemas: JSON Schema 2020-12 (or the dialect that `$schema` names), bounded, with no reference that leaves the
//! document.

use std::fmt;

use serde_json::Value;

/// The largest schema, as JSON text, in bytes.
pub const SCHEMA_BYTES_MAX: usize = 256 * 1024;
/// The deepest schema.
const SCHEMA_DEPTH_MAX: usize = 48;
/// The most faults that are named at once.
const FAULTS_MAX: usize = 5;

/// A compiled schema.
pub struct ArgumentSchema {
    validator: jsonschema::Validator,
}

impl fmt::Debug for ArgumentSchema {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ArgumentSchema")
    }
}

/// Why a schema can't be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SchemaError {
    /// It is over a limit.
    #[error("the input schema is {0}")]
    Limit(&'static str),
    /// It refers to another document.
    #[error("the input schema refers to `{0}` outside itself; references are never fetched")]
    Reference(String),
    /// It is no valid schema.
    #[error("the input schema is not valid: {0}")]
    Invalid(String),
}

impl ArgumentSchema {
    /// Compiles a schema.
    pub fn compile(schema: &Value) -> Result<Self, SchemaError> {
        if schema.to_string().len() > SCHEMA_BYTES_MAX {
            return Err(SchemaError::Limit("larger than 256 KiB"));
        }
        check(schema, 0)?;
        let validator = jsonschema::options()
            .with_pattern_options(jsonschema::PatternOptions::regex().size_limit(1 << 20).dfa_size_limit(1 << 20))
            .with_retriever(Nowhere)
            .should_validate_formats(false)
            .build(schema)
            .map_err(|error| SchemaError::Invalid(error.masked().to_string()))?;
        Ok(Self { validator })
    }

    /// What is wrong with the arguments: pointers and rules, never their values. Empty if nothing is.
    pub fn faults(&self, arguments: &Value) -> Vec<String> {
        if self.validator.is_valid(arguments) {
            return Vec::new();
        }
        self.validator
            .iter_errors(arguments)
            .take(FAULTS_MAX)
            .map(|error| {
                let pointer = error.instance_path().to_string();
                let place = if pointer.is_empty() { "(root)".to_owned() } else { pointer };
                format!("{place}: {}", error.masked())
            })
            .collect()
    }
}

/// Refuses depth, and references that leave the document before anything could try to follow them.
fn check(schema: &Value, depth: usize) -> Result<(), SchemaError> {
    if depth > SCHEMA_DEPTH_MAX {
        return Err(SchemaError::Limit("nested too deeply"));
    }
    match schema {
        Value::Object(map) => map.iter().try_for_each(|(key, value)| match (key.as_str(), value) {
            ("$ref" | "$dynamicRef" | "$recursiveRef", Value::String(target)) if leaves(target) => {
                Err(SchemaError::Reference(target.chars().take(200).collect()))
            }
            _ => check(value, depth + 1),
        }),
        Value::Array(items) => items.iter().try_for_each(|item| check(item, depth + 1)),
        _ => Ok(()),
    }
}

/// Whether a reference has a scheme or a host. The dialects' own meta-schemas are built in.
fn leaves(target: &str) -> bool {
    let known = target.starts_with("https://json-schema.org/") || target.starts_with("http://json-schema.org/");
    (target.contains("://") || target.starts_with("//") || target.starts_with("file:")) && !known
}

/// Answers no reference.
struct Nowhere;

impl jsonschema::Retrieve for Nowhere {
    fn retrieve(&self, uri: &jsonschema::Uri<String>) -> Result<Value, Box<dyn std::error::Error + Send + Sync>> {
        Err(format!("`{uri}` stands outside the schema; references are never fetched").into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn faults_name_the_place_and_never_the_value() {
        let schema = ArgumentSchema::compile(&json!({
            "type": "object", "required": ["ticket"], "additionalProperties": false,
            "properties": {"ticket": {"type": "string", "pattern": "^T-[0-9]+$"}, "n": {"type": "integer", "maximum": 3}}
        }))
        .unwrap();
        assert!(schema.faults(&json!({"ticket": "T-1"})).is_empty());
        let faults = schema.faults(&json!({"ticket": "hunter2", "n": 9})).join("\n");
        assert!(faults.contains("/ticket") && faults.contains("/n"), "{faults}");
        assert!(!faults.contains("hunter2"), "{faults}");
    }

    #[test]
    fn nothing_is_fetched_and_everything_is_bounded() {
        let refused = ArgumentSchema::compile(&json!({"properties": {"a": {"$ref": "http://127.0.0.1:1/x.json"}}}));
        assert!(matches!(refused, Err(SchemaError::Reference(_))));
        let relative = ArgumentSchema::compile(&json!({"properties": {"a": {"$ref": "other.json"}}}));
        assert!(relative.is_err());
        let based = ArgumentSchema::compile(&json!({"$id": "http://127.0.0.1:1/", "properties": {"a": {"$ref": "x.json"}}}));
        assert!(based.is_err());
        let mut deep = json!({});
        for _ in 0..60 {
            deep = json!({"properties": {"a": deep}});
        }
        assert!(matches!(ArgumentSchema::compile(&deep), Err(SchemaError::Limit(_))));
        // A pattern that would take a backtracking engine for ever.
        let slow = ArgumentSchema::compile(&json!({"type": "string", "pattern": "^(a+)+$"})).unwrap();
        assert_eq!(slow.faults(&json!(format!("{}b", "a".repeat(5000)))).len(), 1);
    }

    #[test]
    fn draft_2020_12_is_the_default_and_local_references_work() {
        let schema = ArgumentSchema::compile(&json!({
            "$defs": {"id": {"type": "string"}}, "type": "object",
            "properties": {"a": {"$ref": "#/$defs/id"}, "t": {"prefixItems": [{"type": "string"}]}}
        }))
        .unwrap();
        assert!(schema.faults(&json!({"a": 1})).join("").contains("/a"));
        assert!(schema.faults(&json!({"t": [1]})).join("").contains("/t/0"));
    }
}
