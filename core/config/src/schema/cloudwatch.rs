//! The shape of `cloudwatch`.

use serde_json::{Value, json};

use super::{object, refer, text};

/// Where metrics of decisions are put.
pub(super) fn cloudwatch() -> Value {
    object(
        "Metrics of decisions for Amazon CloudWatch, put there every ten seconds (PutMetricData), in the namespace AgentGovernance.",
        &["region", "credentials"],
        &json!({
            "region": text("The region."), "credentials": refer("secret"),
            "endpoint": text("Another endpoint than AWS's own of the region."), "network": refer("network"),
        }),
    )
}
