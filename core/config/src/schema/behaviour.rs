//! The shape of `behaviour`.

use remit_model::{Behaviour, Expectation};
use serde_json::{Value, json};

use super::{object, texts};

/// How the behaviour of agents is watched.
pub(super) fn behaviour() -> Value {
    let usual = Behaviour::default();
    let words: Vec<&str> = Expectation::ALL.into_iter().map(Expectation::as_str).collect();
    let number = |description: &str, max: u32, default: u32| json!({ "type": "integer", "minimum": 1, "maximum": max, "default": default, "description": description });
    object(
        "What is usual for each agent and its tools is learned from the journal, and what isn't is recorded; without it nothing is. `{}` is enough.",
        &[],
        &json!({
            "score": number("From which score on something is found, in bits: n is what chance brings once in 2^n days of an agent.", 32, usual.score),
            "learning_days": number("On how many days an agent must have been there before anything is said of it.", 90, usual.learning_days),
            "accepted_after_days": number("On how many days something must have been found before it counts as usual.", 30, usual.accepted_after_days),
            "agents": texts("Of these agents; without it of all."),
            "ignored": { "type": "array", "uniqueItems": true, "items": { "enum": words }, "description": "What isn't looked at." },
        }),
    )
}
