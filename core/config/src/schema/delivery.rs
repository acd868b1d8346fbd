//! The shape of deliveries.

use serde_json::{Value, json};

use super::{count, object, one_of, refer, text, texts};
use crate::delivery::GATHER_SECS_MAX;

/// One of `deliveries`.
pub(super) fn delivery() -> Value {
    let syslog = object(
        "A syslog receiver over TLS: RFC 5424 messages, framed as RFC 5425 says.",
        &["address"],
        &json!({ "address": text("host:port; 6514 is the port of RFC 5425."), "network": refer("network") }),
    );
    let header = object(
        "A header that proves who delivers.",
        &["name", "value"],
        &json!({ "name": text("Its name, such as x-api-key."), "value": refer("secret") }),
    );
    let https = object(
        "An HTTP collector: each batch is one POST.",
        &["url"],
        &json!({
            "url": text("The address."), "network": refer("network"), "bearer": refer("secret"), "header": header,
            "body": { "enum": ["lines", "array"], "default": "lines", "description": "JSON Lines, or one JSON array." },
        }),
    );
    let verdicts = json!({ "type": "array", "uniqueItems": true, "items": { "enum": ["ALLOW", "DENY", "HOLD"] }, "description": "Only these verdicts." });
    let properties = json!({
        "name": { "type": "string", "pattern": "^[a-z0-9-]{1,64}$", "description": "Its name; how far it is stays with it." },
        "syslog": syslog, "https": https, "s3": s3(),
        "format": { "enum": ["ocsf", "cloudtrail", "parquet"], "default": "ocsf", "description": "In whose words; parquet is for s3." },
        "gather_secs": count("How long records may gather before they go; 1 where nothing is said, 300 for s3.", GATHER_SECS_MAX),
        "agents": texts("Only decisions of these agents."), "spaces": texts("Only decisions in these spaces."),
        "tools": texts("Only decisions about these tools, server___tool."), "verdicts": verdicts,
    });
    one_of(object("Where records of decisions go.", &["name"], &properties), &["syslog", "https", "s3"])
}

/// A bucket.
pub(super) fn s3() -> Value {
    object(
        "A bucket of S3, or of what speaks its API.",
        &["bucket", "region", "credentials"],
        &json!({
            "bucket": { "type": "string", "pattern": "^[a-z0-9.-]{3,63}$" }, "region": text("Its region."),
            "prefix": text("What stands before every key, such as ext/remit/."),
            "endpoint": text("Another endpoint than AWS's own of the region: a scheme, a host and a port."),
            "credentials": refer("secret"), "network": refer("network"),
        }),
    )
}
