//! The shape of `witnessing`.

use serde_json::{Value, json};

use super::{object, text};

/// Who cosigns the log's checkpoints.
pub(super) fn witnessing() -> Value {
    let witness = object(
        "A witness (C2SP tlog-witness), such as `remit witness` on another machine.",
        &["url", "key"],
        &json!({
            "url": text("The submission prefix of its interface."),
            "network": { "enum": ["public", "private", "loopback"], "default": "public", "description": "Which addresses its name may resolve to." },
            "key": text("Its public key, as it prints it: a vkey of the type for cosignatures."),
        }),
    );
    object(
        "Witnesses to which the log's checkpoints are brought. Each cosigns only what extends all that it has seen: so a log that is rewritten or shown otherwise to others is found out.",
        &["witnesses"],
        &json!({
            "witnesses": { "type": "array", "minItems": 1, "maxItems": 32, "items": witness, "description": "The witnesses, each once." },
            "quorum": { "type": "integer", "minimum": 1, "maximum": 32, "description": "How many must have cosigned a checkpoint for it to count as witnessed; without it all." },
            "interval_secs": { "type": "integer", "minimum": 1, "maximum": 86400, "default": 60, "description": "How often a new checkpoint is brought to them." },
        }),
    )
}
