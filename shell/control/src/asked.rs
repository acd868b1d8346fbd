//! What each endpoint is asked with: one table, of which the document is made and to which requests are held. A field that nobody reads is
//! refused, since a filter or a name that is misspelt must not look like one that held.

use remit_identity::form;
use serde_json::{Map, Value, json};

use crate::endpoints::Endpoint;

/// What a field is.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Kind {
    /// A text of at most so many characters.
    Text(usize),
    /// One of these words.
    Word(&'static [&'static str]),
    /// A whole number in this range.
    Number(u64, u64),
    /// A whole multiple of the first up to the second.
    Steps(u64, u64),
    Truth,
    Object,
    /// The files of a configuration.
    Files,
}

/// A field's name, with a `!` at its end if it is needed.
pub(crate) type Field = (&'static str, Kind);

/// A name, or what a person says.
const TEXT: Kind = Kind::Text(1024);
/// The name of a secret.
const NAME: Kind = Kind::Text(64);
/// What a person says of an approval.
const REASON: Kind = Kind::Text(2000);
/// A signed note.
const NOTE: Kind = Kind::Text(32 * 1024);
/// Seconds since the epoch, up to the year 9999.
const TIME: Kind = Kind::Number(0, 253_402_300_799);
/// The number of a version.
const VERSION: Kind = Kind::Number(0, i64::MAX as u64);
const RISKS: Kind = Kind::Word(&["low", "medium", "high", "critical"]);
/// Who asks: taken from whoever shows the operator's token, and from nobody else.
const BY: Field = ("by", Kind::Text(256));

/// The fields of an endpoint, apart from its path.
pub(crate) fn fields(endpoint: &Endpoint) -> Vec<Field> {
    let own = match of_changes(endpoint.path) {
        [] => of_records(endpoint.path),
        own => own,
    };
    own.iter().copied().chain(endpoint.changes.then_some(BY)).collect()
}

fn of_changes(path: &str) -> &'static [Field] {
    match path {
        "/v1/explain" => &[("agent!", TEXT), ("tool!", TEXT), ("space", TEXT), ("risk", RISKS), ("arguments", Kind::Object)],
        "/v1/ways" => &[("action!", TEXT), ("resource!", Kind::Text(2048)), ("who", Kind::Text(2048))],
        "/v1/effective" => &[("space!", TEXT)],
        "/v1/credentials" => {
            &[("principal!", Kind::Text(2048)), ("session_name", TEXT), ("duration_secs", Kind::Number(1, 43_200))]
        }
        // The largest secret has 64 KiB, in base64 a third more.
        "/v1/secrets/put" => &[("name!", NAME), ("value", Kind::Text(65_536)), ("value_base64", Kind::Text(87_384))],
        "/v1/secrets/delete" => &[("name!", NAME)],
        "/v1/agents/secret" => &[("agent!", TEXT)],
        "/v1/revoke" => &[
            ("credential", TEXT),
            ("agent", TEXT),
            ("role", Kind::Text(2048)),
            ("everything", Kind::Truth),
            ("before_secs", TIME),
            ("reason!", TEXT),
        ],
        "/v1/suspend" => &[
            ("agent", TEXT),
            ("space", TEXT),
            ("server", TEXT),
            ("tool", TEXT),
            ("user", TEXT),
            ("resume", Kind::Truth),
            ("reason!", TEXT),
        ],
        "/v1/pins/accept" => &[("server!", TEXT), ("tool", TEXT)],
        "/v1/servers/submit" => &[("server!", TEXT), ("registration", TEXT), ("reason!", Kind::Text(255))],
        "/v1/servers/reached" => &[
            ("finding!", Kind::Word(&["REGISTERED", "UNKNOWN"])),
            ("server", TEXT),
            ("source!", Kind::Text(64)),
            ("host!", Kind::Text(255)),
            ("path", Kind::Text(1024)),
            ("count!", Kind::Number(1, 9_007_199_254_740_991)),
            ("first_secs!", TIME),
            ("last_secs!", TIME),
            ("log!", Kind::Text(255)),
        ],
        "/v1/servers/status" => &[
            ("server!", TEXT),
            ("status!", Kind::Word(&["APPROVED", "REJECTED", "DEPRECATED", "DRAFT"])),
            ("registration", TEXT),
            ("reason!", Kind::Text(255)),
        ],
        "/v1/connections" | "/v1/connections/forget" => &[("server!", TEXT)],
        "/v1/configuration/plan" => &[("files!", Kind::Files), ("source", TEXT), ("reason", TEXT)],
        "/v1/configuration/apply" => {
            &[("files", Kind::Files), ("plan", TEXT), ("expect", TEXT), ("source", TEXT), ("reason", TEXT)]
        }
        "/v1/configuration/rollback" => &[("version!", VERSION), ("base", VERSION), ("reason!", TEXT)],
        "/v1/configuration/plans" => &[("plan", TEXT)],
        "/v1/configuration/review" => &[("plan!", TEXT), ("note!", NOTE)],
        "/v1/configuration/withdraw" => &[("plan!", TEXT)],
        "/v1/configuration/history" => &[("before", VERSION), ("count", Kind::Number(1, 1000)), ("agent", TEXT), ("tool", TEXT)],
        "/v1/configuration/diff" => &[("from!", VERSION), ("to!", VERSION)],
        "/v1/configuration/files" => &[("path!", TEXT)],
        _ => &[],
    }
}

/// The same for approvals, decisions and trust.
fn of_records(path: &str) -> &'static [Field] {
    match path {
        "/v1/approvals" => &[("state", TEXT), ("limit", Kind::Number(1, 200)), ("cursor", TEXT)],
        "/v1/approvals/{id}/approve" => &[
            ("reason", REASON),
            ("single_use", Kind::Truth),
            ("ttl_secs", Kind::Number(1, 14_400)),
            ("pins", Kind::Object),
            ("break_glass", Kind::Truth),
            ("note", NOTE),
        ],
        // What a command says of either answer.
        "/v1/approvals/{id}/reject" => &[("reason!", REASON), ("note", NOTE)],
        "/v1/approvals/{id}/revoke" | "/v1/approvals/{id}/review" => &[("reason!", REASON)],
        "/v1/decisions" => &[
            ("agent", TEXT),
            ("user", TEXT),
            ("space", TEXT),
            ("tool", TEXT),
            ("verdict", Kind::Word(&["ALLOW", "DENY", "HOLD", "allow", "deny", "hold"])),
            ("reason", TEXT),
            ("statement", TEXT),
            ("layer", TEXT),
            ("trace_id", TEXT),
            ("approval", TEXT),
            ("decision", TEXT),
            ("since_secs", TIME),
            ("until_secs", TIME),
            ("limit", Kind::Number(1, 500)),
            ("cursor", TEXT),
        ],
        "/v1/decisions/counts" => &[
            ("since_secs!", TIME),
            ("until_secs!", TIME),
            ("step_secs!", Kind::Steps(300, 253_402_300_500)),
            ("by", Kind::Word(&["space", "agent", "tool", "verdict"])),
        ],
        "/v1/alarms" => &[("state", Kind::Word(&["OK", "ALARM", "INSUFFICIENT_DATA"]))],
        "/v1/behaviour" => &[("agent", TEXT)],
        "/v1/usage" => &[("time_unit", Kind::Word(&["DAILY", "MONTHLY"]))],
        "/v1/trust/explain" => &[("agent!", TEXT), ("category", TEXT)],
        "/v1/trust/promote" => &[("agent!", TEXT), ("category!", TEXT), ("reason!", TEXT)],
        "/v1/retention/sweep" => &[("dry_run", Kind::Truth), ("reason!", TEXT)],
        "/v1/retention/holds" => &[
            ("name!", TEXT),
            ("agent", TEXT),
            ("user", TEXT),
            ("space", TEXT),
            ("tool", TEXT),
            ("since_secs", TIME),
            ("until_secs", TIME),
            ("reason!", TEXT),
        ],
        "/v1/archive/restore" => &[("segment!", Kind::Number(1, 9_007_199_254_740_991)), ("reason!", TEXT)],
        "/v1/retention/release" => &[("name!", TEXT), ("reason!", TEXT)],
        "/v1/reveal" => &[("entry!", TEXT), ("reason!", TEXT)],
        "/v1/space-keys/destroy" => &[("space!", TEXT), ("reason!", TEXT)],
        "/v1/retention/erase" => &[("user!", TEXT), ("dry_run", Kind::Truth), ("reason!", TEXT)],
        "/v1/incidents" => &[("agent!", TEXT), ("category", TEXT), ("severity!", RISKS), ("reason!", TEXT)],
        _ => &[],
    }
}

/// A field's own name, and whether it is needed.
pub(crate) fn name(field: &'static str) -> (&'static str, bool) {
    field.strip_suffix('!').map_or((field, false), |name| (name, true))
}

/// The parameters of a query as a question: each once, numbers as numbers.
pub(crate) fn of_query(endpoint: &Endpoint, query: Option<&str>) -> Result<Value, String> {
    let pairs = form::parse(query.unwrap_or_default().as_bytes()).map_err(|error| format!("the query is malformed: {error}"))?;
    let fields = fields(endpoint);
    let mut question = Map::new();
    for (key, value) in pairs {
        let kind = fields.iter().find(|(field, _)| name(field).0 == key).map(|(_, kind)| kind);
        let value = match kind {
            Some(Kind::Number(..) | Kind::Steps(..)) => {
                number(&value).map(Value::from).ok_or_else(|| format!("`{key}` is a whole number"))?
            }
            _ => value.into(),
        };
        question.insert(key, value);
    }
    Ok(question.into())
}

/// A number as JSON writes it.
fn number(text: &str) -> Option<u64> {
    let digits = text.bytes().all(|byte| byte.is_ascii_digit()) && (text == "0" || !text.starts_with('0'));
    digits.then(|| text.parse().ok())?
}

/// Refuses a question that isn't one for this endpoint. What is null isn't there.
pub(crate) fn check(endpoint: &Endpoint, question: &Value) -> Result<(), String> {
    let Some(asked) = question.as_object() else { return Err("the body is no JSON object".to_owned()) };
    let fields = fields(endpoint);
    if let Some(key) = asked.keys().find(|key| !fields.iter().any(|(field, _)| name(field).0 == key.as_str())) {
        return Err(format!("there is no `{}` here", key.chars().take(64).collect::<String>()));
    }
    for (field, kind) in &fields {
        let (name, needed) = name(field);
        match asked.get(name).filter(|value| !value.is_null()) {
            None if needed => return Err(format!("`{name}` is missing")),
            None => {}
            Some(value) if kind.fits(value, needed) => {}
            Some(_) => return Err(format!("`{name}` is {}", kind.told(needed))),
        }
    }
    Ok(())
}

fn is_file(file: &Value) -> bool {
    let Some(file) = file.as_object() else { return false };
    let text = |key: &str| file.get(key).and_then(Value::as_str);
    file.len() == 2 && text("text").is_some() && text("path").is_some_and(|path| (1..=1024).contains(&path.chars().count()))
}

impl Kind {
    fn fits(self, value: &Value, needed: bool) -> bool {
        match self {
            Self::Text(chars_max) => {
                value.as_str().is_some_and(|text| text.chars().count() <= chars_max && !(needed && text.is_empty()))
            }
            Self::Word(words) => value.as_str().is_some_and(|text| words.contains(&text)),
            Self::Number(least, most) => value.as_u64().is_some_and(|number| (least..=most).contains(&number)),
            Self::Steps(step, most) => value.as_u64().is_some_and(|number| (step..=most).contains(&number) && number % step == 0),
            Self::Truth => value.is_boolean(),
            Self::Object => value.is_object(),
            Self::Files => value.as_array().is_some_and(|files| files.iter().all(is_file)),
        }
    }

    fn told(self, needed: bool) -> String {
        match self {
            Self::Text(chars_max) if needed => format!("a text of 1 to {chars_max} characters"),
            Self::Text(chars_max) => format!("a text of at most {chars_max} characters"),
            Self::Word(words) => format!("one of {}", words.join(", ")),
            Self::Number(least, most) => format!("a whole number from {least} to {most}"),
            Self::Steps(step, most) => format!("a multiple of {step} up to {most}"),
            Self::Truth => "true or false".to_owned(),
            Self::Object => "an object".to_owned(),
            Self::Files => "a list of `path` and `text`".to_owned(),
        }
    }

    /// The JSON Schema of a field. In a body what isn't needed may be null as well.
    pub(crate) fn schema(self, needed: bool, in_body: bool) -> Value {
        let mut schema = match self {
            Self::Text(chars_max) if needed => json!({"type": "string", "minLength": 1, "maxLength": chars_max}),
            Self::Text(chars_max) => json!({"type": "string", "maxLength": chars_max}),
            Self::Word(words) => json!({"type": "string", "enum": words}),
            Self::Number(least, most) => json!({"type": "integer", "minimum": least, "maximum": most}),
            Self::Steps(step, most) => json!({"type": "integer", "minimum": step, "maximum": most, "multipleOf": step}),
            Self::Truth => json!({"type": "boolean"}),
            Self::Object => json!({"type": "object"}),
            Self::Files => json!({"type": "array", "items": {
                "type": "object", "required": ["path", "text"], "additionalProperties": false,
                "properties": {"path": {"type": "string", "minLength": 1, "maxLength": 1024}, "text": {"type": "string"}},
            }}),
        };
        if let (false, true, Some(schema)) = (needed, in_body, schema.as_object_mut()) {
            if let Some(kind) = schema.get("type").cloned() {
                schema.insert("type".to_owned(), json!([kind, "null"]));
            }
            if let Some(words) = schema.get_mut("enum").and_then(Value::as_array_mut) {
                words.push(Value::Null);
            }
        }
        schema
    }
}
