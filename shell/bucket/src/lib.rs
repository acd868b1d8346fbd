//! Objects in an S3 bucket, of AWS or of anything that speaks its API: conditional writes, Object Lock, listings.
//!
//! Every function makes one request and says what came of it; when it is made, and how often again, is its caller's affair. Requests go
//! through [`remit_egress`], so only to addresses that the configuration permits, and are signed with Signature Version 4. Names and rules are
//! those of the Amazon S3 API Reference; each function names its operation.
//!
//! | file | what |
//! |---|---|
//! | `request.rs` | one signed request and its answer, within bounds |
//! | `object.rs` | `PutObject`, `GetObject`, `HeadObject`, `DeleteObject`, `PutObjectLegalHold`, `PutObjectRetention` |
//! | `list.rs` | `ListObjectsV2`, `ListObjectVersions` |

mod list;
mod object;
mod request;

use std::sync::Arc;
use std::time::Duration;

use remit_egress::{Client, EgressError};
use remit_model::{Network, S3Bucket};
use rustls::ClientConfig;
use zeroize::Zeroizing;

pub use list::{Listing, Object, Version, Versions};
pub use object::{Condition, Head, Put, Written};

/// How long a connection may take.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// The longest key, in UTF-8 bytes ("Naming Amazon S3 objects").
pub const KEY_BYTES_MAX: usize = 1024;
/// The largest object that one `PutObject` takes here: S3 itself takes 5 GiB, and nothing of Remit's needs that much at once.
pub const OBJECT_BYTES_MAX: usize = 512 * 1024 * 1024;

/// Why a bucket didn't do what it was asked. Nothing of a secret is in it.
#[derive(Debug, thiserror::Error)]
pub enum BucketError {
    /// The request could not be made, or its answer not be read.
    #[error("{0}")]
    Egress(#[from] EgressError),
    /// A condition of the write doesn't hold (412 `PreconditionFailed`): with [`Condition::Absent`] there is an object of this key already,
    /// which may be one's own write whose answer was lost.
    #[error("the condition of the write of `{key}` does not hold: there is another object")]
    Precondition {
        /// The object's key.
        key: String,
    },
    /// Somebody else wrote the same key at the same time (409 `ConditionalRequestConflict`): the write may be tried again.
    #[error("`{key}` is being written by somebody else at the same time")]
    Conflict {
        /// The object's key.
        key: String,
    },
    /// The bucket refused.
    #[error("the bucket answered {status} {code}: {said}")]
    Refused {
        /// The HTTP status.
        status: u16,
        /// S3's code, such as `AccessDenied`; empty if it said none.
        code: String,
        /// The beginning of its message.
        said: String,
    },
    /// The answer is none of S3's, or larger than what is taken.
    #[error("the bucket's answer can't be used: {0}")]
    Answer(String),
    /// It can't be asked like this.
    #[error("{0}")]
    Invalid(String),
}

impl BucketError {
    /// Whether the same may succeed later.
    pub fn may_pass(&self) -> bool {
        match self {
            Self::Egress(EgressError::Url(_) | EgressError::TooLarge(_)) => false,
            Self::Egress(_) | Self::Conflict { .. } | Self::Answer(_) => true,
            Self::Refused { status, code, .. } => *status == 429 || *status >= 500 || code == "RequestTimeout",
            Self::Precondition { .. } | Self::Invalid(_) => false,
        }
    }
}

/// A bucket as the configuration names it.
#[derive(Clone)]
pub struct Options {
    /// Its name.
    pub bucket: String,
    /// Its region, which signatures name.
    pub region: String,
    /// Another endpoint than AWS's own, such as `https://s3.example:8333`: then the bucket's name goes into the path.
    pub endpoint: Option<String>,
    /// Which addresses the endpoint may resolve to.
    pub network: Network,
    /// `ACCESS_KEY_ID:SECRET_ACCESS_KEY`, with `:SESSION_TOKEN` if there is one.
    pub credentials: Zeroizing<String>,
    /// How long one request may take, whatever it moves.
    pub timeout: Duration,
}

impl Options {
    /// A bucket of the configuration. `credentials` is what its secret holds.
    pub fn of(bucket: &S3Bucket, credentials: Zeroizing<String>, timeout: Duration) -> Self {
        Self {
            bucket: bucket.bucket.clone(),
            region: bucket.region.clone(),
            endpoint: bucket.endpoint.clone(),
            network: bucket.network,
            credentials,
            timeout,
        }
    }
}

impl std::fmt::Debug for Options {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { bucket, region, endpoint, network, .. } = self;
        let mut shown = f.debug_struct("Options");
        shown.field("bucket", bucket).field("region", region).field("endpoint", endpoint).field("network", network);
        shown.finish_non_exhaustive()
    }
}

/// A bucket: its connections are kept between requests.
#[derive(Clone)]
pub struct Bucket {
    client: Client,
    /// `Host`, as it is signed.
    host: String,
    /// What stands before every key in the path: `/` or `/<bucket>/`.
    base: String,
    name: String,
    region: String,
    credentials: Zeroizing<String>,
    timeout: Duration,
}

impl std::fmt::Debug for Bucket {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Bucket").field("name", &self.name).field("host", &self.host).finish_non_exhaustive()
    }
}

impl Bucket {
    /// A bucket. Nothing is connected yet.
    pub fn new(options: &Options, tls: &Arc<ClientConfig>) -> Result<Self, BucketError> {
        let Options { bucket, region, endpoint, network, credentials, timeout } = options;
        // A name with dots fits no wildcard certificate, so it goes into the path ("Virtual hosting of buckets").
        let suffix = if region.starts_with("cn-") { "amazonaws.com.cn" } else { "amazonaws.com" };
        let (url, base) = match endpoint {
            Some(endpoint) => (endpoint.trim_end_matches('/').to_owned(), format!("/{bucket}/")),
            None if bucket.contains('.') => (format!("https://s3.{region}.{suffix}"), format!("/{bucket}/")),
            None => (format!("https://{bucket}.s3.{region}.{suffix}"), "/".to_owned()),
        };
        let (_, host) = url.split_once("://").ok_or_else(|| BucketError::Invalid("the endpoint is no address".to_owned()))?;
        if host.contains(['/', '?', '#', '@']) {
            return Err(BucketError::Invalid("the endpoint must be a scheme, a host and a port, and nothing after".to_owned()));
        }
        let name_fits = (3..=63).contains(&bucket.len())
            && bucket.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b".-".contains(&byte));
        if !name_fits {
            return Err(BucketError::Invalid(format!("`{bucket}` is no name of a bucket")));
        }
        Ok(Self {
            client: Client::new(&url, *network, tls, CONNECT_TIMEOUT)?,
            host: host.to_owned(),
            base,
            name: bucket.clone(),
            region: region.clone(),
            credentials: credentials.clone(),
            timeout: *timeout,
        })
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.name
    }
}
