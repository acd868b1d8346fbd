//! What may bear a secret, and is wiped when it ends: questions, and the answers that are kept.

use bytes::Bytes;
use serde_json::Value;
use zeroize::{Zeroize as _, Zeroizing};

/// How long an answer is usually, in bytes: a shorter one leaves no copies behind while it is written.
const ANSWER_BYTES: usize = 2 * 1024;

/// A question. Whatever of it the data plane hasn't taken is wiped.
pub(crate) struct Question(pub(crate) Value);

impl Question {
    /// What the data plane is asked.
    pub(crate) fn take(&mut self) -> Value {
        self.0.take()
    }
}

impl Drop for Question {
    fn drop(&mut self) {
        wipe(&mut self.0);
    }
}

/// An answer as it is sent, wiped with its last copy.
pub(crate) fn answer(mut said: Value) -> Bytes {
    let mut text = Zeroizing::new(Vec::with_capacity(ANSWER_BYTES));
    // A value without keys that aren't texts is always written.
    let _ = serde_json::to_writer(&mut *text, &said);
    wipe(&mut said);
    Bytes::from_owner(text)
}

fn wipe(value: &mut Value) {
    match value {
        Value::String(text) => text.zeroize(),
        Value::Array(values) => values.iter_mut().for_each(wipe),
        Value::Object(fields) => fields.values_mut().for_each(wipe),
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn every_text_is_wiped_and_answers_are_whole() {
        let mut value = json!({"a": "secret", "b": [{"c": "secret"}, 7, null, true]});
        assert_eq!(answer(value.clone()), value.to_string());
        wipe(&mut value);
        assert_eq!(value, json!({"a": "", "b": [{"c": ""}, 7, null, true]}));
        let mut question = Question(value.clone());
        assert_eq!((question.take(), &question.0), (value, &Value::Null));
    }
}
