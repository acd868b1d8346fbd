//! Where records of decisions are delivered: a SIEM, a collector, a data lake.

use crate::{Network, SecretRef};

/// Where records go, and in whose words.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Delivery {
    /// Its name: how far it is stays with it.
    pub name: String,
    /// Where to.
    pub to: Destination,
    /// In whose words.
    pub format: DeliveryFormat,
    /// How long records may gather before they go, in seconds.
    pub gather_secs: u64,
    /// Only decisions of these agents; none means all.
    pub agents: Vec<String>,
    /// Only decisions in these spaces; none means all.
    pub spaces: Vec<String>,
    /// Only decisions about these tools, by their names in policies; none means all.
    pub tools: Vec<String>,
    /// Only these verdicts; none means all.
    pub verdicts: Vec<String>,
}

/// In whose words records are delivered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum DeliveryFormat {
    /// OCSF, class API Activity.
    #[default]
    Ocsf,
    /// Shaped like CloudTrail's records.
    CloudTrail,
    /// Parquet files with OCSF's columns, in Amazon Security Lake's layout.
    Parquet,
}

/// A destination.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Destination {
    /// A syslog receiver over TLS (RFC 5424, RFC 5425).
    Syslog {
        /// `host:port`.
        address: String,
        /// Which addresses its name may resolve to.
        network: Network,
    },
    /// An HTTP collector, which takes batches.
    Https {
        /// The address.
        url: String,
        /// Which addresses its name may resolve to.
        network: Network,
        /// The header that proves who delivers: its name and the secret that is its value. `authorization` carries a bearer token.
        header: Option<(String, SecretRef)>,
        /// Whether a batch is one JSON array; else JSON Lines.
        array: bool,
    },
    /// A bucket.
    S3(S3Bucket),
}

/// A bucket of S3, or of what speaks its API.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct S3Bucket {
    /// The bucket's name.
    pub bucket: String,
    /// Its region.
    pub region: String,
    /// What stands before every key; empty or ending with `/`.
    pub prefix: String,
    /// The endpoint; `None` is AWS's own for the region.
    pub endpoint: Option<String>,
    /// The secret that holds the access key: `ACCESS_KEY_ID:SECRET_ACCESS_KEY`, with `:SESSION_TOKEN` if there is one.
    pub credentials: SecretRef,
    /// Which addresses the endpoint may resolve to.
    pub network: Network,
}
