//! The fields of a question that came over the operator's interface.

use http::StatusCode;
use serde_json::Value;

/// Why a question came to nothing: the status, and what is to be said.
pub(crate) type Refused = (StatusCode, String);

/// The question is not one that can be answered.
pub(crate) fn bad(what: impl Into<String>) -> Refused {
    (StatusCode::BAD_REQUEST, what.into())
}

/// A text; an empty one is none.
pub(crate) fn text<'a>(field: Option<&'a Value>, key: &str) -> Result<Option<&'a str>, Refused> {
    match field {
        None | Some(Value::Null) => Ok(None),
        Some(Value::String(text)) => Ok(Some(text.as_str()).filter(|text| !text.is_empty())),
        Some(_) => Err(bad(format!("`{key}` is a text"))),
    }
}
