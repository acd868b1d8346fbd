//! What a sample server is made of.

use serde_json::{Value, json};

use crate::arguments::Arguments;

/// What a call came to.
pub(crate) enum Outcome {
    /// It was carried out: a text for the model, and the same as data.
    Done(String, Value),
    /// The user has to say something first.
    Ask(Question),
}

/// A question to the user.
#[derive(Debug, Clone)]
pub(crate) struct Question {
    /// What is asked.
    pub(crate) message: String,
    /// The schema of the answer.
    pub(crate) schema: Value,
}

/// What the user answered.
#[derive(Debug, Clone)]
pub(crate) enum Answer {
    /// The form was filled in.
    Accepted(Value),
    /// The user said no, or closed the question.
    Refused,
}

impl Answer {
    /// Reads the result of `elicitation/create`.
    pub(crate) fn read(result: &Value) -> Self {
        match result.get("action").and_then(Value::as_str) {
            Some("accept") => Self::Accepted(result.get("content").cloned().unwrap_or_default()),
            _ => Self::Refused,
        }
    }
}

/// One sample server, without the protocol.
pub(crate) trait World: Send {
    /// Its title and what clients should know of it.
    fn about(&self) -> (&'static str, &'static str);

    /// Its tools.
    fn tools(&self) -> Vec<Value>;

    /// Carries a call out. The arguments fit the tool's schema. The error is for the model.
    fn call(&mut self, tool: &str, arguments: Arguments<'_>, answer: Option<&Answer>) -> Result<Outcome, String>;

    /// Its prompts.
    fn prompts(&self) -> Vec<Value> {
        Vec::new()
    }

    /// A prompt's description and text.
    fn prompt(&self, _name: &str, _arguments: Arguments<'_>) -> Option<(String, String)> {
        None
    }

    /// Its resources.
    fn resources(&self) -> Vec<Value> {
        Vec::new()
    }

    /// Its resource templates.
    fn templates(&self) -> Vec<Value> {
        Vec::new()
    }

    /// A resource's media type and text.
    fn read(&self, _uri: &str) -> Option<(&'static str, String)> {
        None
    }
}

/// What a tool may do, as it says so itself.
#[derive(Clone, Copy)]
pub(crate) enum Effect {
    /// Reads.
    Reads,
    /// Changes something that can be changed back.
    Changes,
    /// Destroys, or can't be taken back.
    Destroys,
}

/// The definition of a tool. `input` and `output` are the properties of its argument and result schemas, and which are required.
#[expect(clippy::needless_pass_by_value, reason = "the schemas are written where the tool is")]
pub(crate) fn tool(name: &str, texts: (&str, &str), effect: Effect, input: (Value, &[&str]), output: (Value, &[&str])) -> Value {
    let reads = matches!(effect, Effect::Reads);
    let mut annotations = json!({ "title": texts.0, "readOnlyHint": reads, "openWorldHint": false });
    if !reads {
        set(&mut annotations, "destructiveHint", matches!(effect, Effect::Destroys).into());
        set(&mut annotations, "idempotentHint", false.into());
    }
    json!({
        "name": name, "title": texts.0, "description": texts.1, "annotations": annotations,
        "inputSchema": object(&input.0, input.1), "outputSchema": object(&output.0, output.1),
    })
}

/// Sets a field of an object.
pub(crate) fn set(object: &mut Value, key: &str, value: Value) {
    if let Some(map) = object.as_object_mut() {
        map.insert(key.to_owned(), value);
    }
}

/// The schema of an object with these properties and no others.
pub(crate) fn object(properties: &Value, required: &[&str]) -> Value {
    json!({
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "type": "object", "properties": properties, "required": required, "additionalProperties": false,
    })
}

/// The schema of a text.
pub(crate) fn text(description: &str) -> Value {
    json!({ "type": "string", "description": description, "minLength": 1, "maxLength": 2000 })
}

/// The schema of an id: a prefix and four digits.
pub(crate) fn id(prefix: &str) -> Value {
    json!({ "type": "string", "description": format!("Such as {prefix}-1001"), "pattern": format!("^{prefix}-[0-9]{{4}}$") })
}

/// The schema of a whole number.
pub(crate) fn count(description: &str, min: i64, max: i64) -> Value {
    json!({ "type": "integer", "description": description, "minimum": min, "maximum": max })
}
