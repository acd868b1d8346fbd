//! Where metrics of decisions are put in Amazon CloudWatch.

use crate::{Network, SecretRef};

/// Where metrics go, and with what requests are signed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CloudWatch {
    /// The region.
    pub region: String,
    /// The endpoint; `None` is AWS's own for the region.
    pub endpoint: Option<String>,
    /// The secret that holds the access key: `ACCESS_KEY_ID:SECRET_ACCESS_KEY`, with `:SESSION_TOKEN` if there is one.
    pub credentials: SecretRef,
    /// Which addresses the endpoint may resolve to.
    pub network: Network,
}
