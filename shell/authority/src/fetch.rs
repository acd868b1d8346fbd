//! Documents of others, fetched.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{Request, StatusCode};
use http_body_util::Full;
use remit_egress::EgressError;
use remit_model::Network;
use rustls::ClientConfig;

/// How long a document may take.
pub(crate) const FETCH_TIMEOUT: Duration = Duration::from_secs(10);

/// Why a document could not be had.
#[derive(Debug, thiserror::Error)]
pub(crate) enum FetchError {
    /// Nobody answered, or the address isn't permitted.
    #[error("{0}")]
    Egress(EgressError),
    /// Not 200.
    #[error("`{url}` answered {status}")]
    Status {
        /// What was asked.
        url: String,
        /// What it said.
        status: StatusCode,
    },
}

/// GETs a JSON document.
pub(crate) async fn document(url: &str, network: Network, tls: &Arc<ClientConfig>) -> Result<Bytes, FetchError> {
    let mut request = Request::new(Full::default());
    request.headers_mut().insert(http::header::ACCEPT, http::HeaderValue::from_static("application/json"));
    let response = remit_egress::fetch(url, network, tls, FETCH_TIMEOUT, request).await.map_err(FetchError::Egress)?;
    if response.status() == StatusCode::OK {
        Ok(response.into_body())
    } else {
        Err(FetchError::Status { url: url.to_owned(), status: response.status() })
    }
}
