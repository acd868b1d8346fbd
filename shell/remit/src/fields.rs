//! The fields of a question that came over the operator's interface.

use http::StatusCode;
use serde_json::Value;

/// Why a question came to nothing: the status, and what is to be said.
pub(crate) type Refused = (StatusCode, String);

/// Why nothing was done: the question's own fault, unless it says that what is needed is away.
#[derive(Debug)]
pub(crate) struct Fault(pub(crate) Refused);

impl Fault {
    /// Nothing of the question's: the store or the journal failed.
    pub(crate) fn away(why: impl ToString) -> Self {
        Self(away(why))
    }
}

impl<T: Into<String>> From<T> for Fault {
    fn from(what: T) -> Self {
        Self(bad(what))
    }
}

/// The question is not one that can be answered.
pub(crate) fn bad(what: impl Into<String>) -> Refused {
    (StatusCode::BAD_REQUEST, what.into())
}

/// What is needed is away: nothing of the question's.
#[expect(clippy::needless_pass_by_value, reason = "it takes what `map_err` gives")]
pub(crate) fn away(why: impl ToString) -> Refused {
    (StatusCode::SERVICE_UNAVAILABLE, why.to_string())
}

/// A text; an empty one is none.
pub(crate) fn text<'a>(field: Option<&'a Value>, key: &str) -> Result<Option<&'a str>, Refused> {
    match field {
        None | Some(Value::Null) => Ok(None),
        Some(Value::String(text)) => Ok(Some(text.as_str()).filter(|text| !text.is_empty())),
        Some(_) => Err(bad(format!("`{key}` is a text"))),
    }
}
