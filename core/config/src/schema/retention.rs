//! The shape of `retention`.

use serde_json::{Value, json};

use super::delivery::s3;
use super::{object, texts};

/// How long records of calls are kept.
pub(super) fn retention() -> Value {
    let days = |description: &str| json!({ "type": "integer", "minimum": 1, "maximum": 36525, "description": description });
    let framework = json!({
        "enum": ["HIPAA", "PCI_DSS", "SOC_2"],
        "description": "HIPAA: six years (45 CFR 164.316). PCI_DSS: twelve months (requirement 10.5.1). SOC_2 names no time: twelve months, what an audit of the second kind usually looks at.",
    });
    let rule = object(
        "For how long records of some calls are kept: `days`, or a `framework`.",
        &[],
        &json!({
            "spaces": texts("Of which spaces; without it of all."),
            "classes": { "type": "array", "uniqueItems": true, "items": { "enum": ["READ_ONLY", "MUTATIVE", "DESTRUCTIVE"] }, "description": "Of tools of which classes; without it of all." },
            "days": days("For how many days."),
            "framework": framework,
        }),
    );
    object(
        "How long records of calls are kept in the journal; without it for ever. What is over is erased, and its hashes stay: every proof holds. Records of anything else are kept for ever.",
        &[],
        &json!({
            "days": days("Where no rule fits: for how many days. Without it, and without a framework, for ever."),
            "framework": framework,
            "archive": object(
                "An archive: every full segment of the journal goes there, under Object Lock in mode COMPLIANCE, before anything of it is erased for its age.",
                &["s3"],
                &json!({
                    "s3": s3(),
                    "days": days("For how many days nobody can delete what is put there."),
                    "framework": framework,
                }),
            ),
            "rules": { "type": "array", "maxItems": 256, "items": rule, "description": "The first that fits a call counts." },
        }),
    )
}
