//! One signed request and its answer, within bounds.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use http::{HeaderMap, Method, Request, StatusCode};
use http_body_util::{BodyExt as _, Full, LengthLimitError, Limited};
use remit_egress::EgressError;
use remit_identity::{form, sigv4};

use crate::{Bucket, BucketError, KEY_BYTES_MAX};

/// The largest answer that is no object, in bytes: a full page of a listing with long keys.
const DOCUMENT_BYTES_MAX: usize = 8 * 1024 * 1024;

/// What is asked of a bucket.
pub(crate) struct Asked<'a> {
    pub(crate) method: Method,
    /// `None` is the bucket itself.
    pub(crate) key: Option<&'a str>,
    /// Names and values, not encoded yet.
    pub(crate) query: Vec<(&'a str, &'a str)>,
    /// Further headers, in lower case.
    pub(crate) headers: Vec<(&'static str, String)>,
    pub(crate) body: Bytes,
    /// The largest answer that is taken, in bytes.
    pub(crate) bytes_max: usize,
}

impl<'a> Asked<'a> {
    pub(crate) fn new(method: Method, key: Option<&'a str>) -> Self {
        let (query, headers) = (Vec::new(), Vec::new());
        Self { method, key, query, headers, body: Bytes::new(), bytes_max: DOCUMENT_BYTES_MAX }
    }
}

/// What a bucket answered.
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
}

impl Answer {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).and_then(|value| value.to_str().ok())
    }

    /// The error that it is, if it is one.
    pub(crate) fn refused(&self) -> BucketError {
        let text = String::from_utf8_lossy(&self.body);
        let document = roxmltree::Document::parse(&text).ok();
        let said = |name: &str| {
            let found = document.as_ref()?.descendants().find(|node| node.has_tag_name(name))?;
            found.text().map(beginning)
        };
        let code = said("Code").unwrap_or_default();
        BucketError::Refused { status: self.status.as_u16(), code, said: said("Message").unwrap_or_default() }
    }
}

/// The beginning of a text, on one line.
fn beginning(text: &str) -> String {
    const CHARS_MAX: usize = 200;
    text.chars().take(CHARS_MAX).map(|c| if c.is_control() { ' ' } else { c }).collect()
}

/// The base64 SHA-256 of a body, as `x-amz-checksum-sha256` has it.
pub(crate) fn checksum(body: &[u8]) -> String {
    STANDARD.encode(aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, body))
}

impl Bucket {
    /// Sends one request, signed. `now_secs` is the time in seconds since the epoch.
    pub(crate) async fn ask(&self, asked: Asked<'_>, now_secs: u64) -> Result<Answer, BucketError> {
        let path = self.path(asked.key)?;
        let mut query = asked.query;
        query.sort_unstable();
        let query = form::write(query);
        let request = self.signed(&asked.method, &path, &query, &asked.headers, asked.body, now_secs)?;
        let exchange = async {
            let fetched = self.client.send(request).await?;
            let (response, lease) = fetched.into_parts();
            let (parts, body) = response.into_parts();
            let bytes_max = if parts.status.is_success() { asked.bytes_max } else { DOCUMENT_BYTES_MAX };
            let body = Limited::new(body, bytes_max).collect().await.map_err(|error| self.broke(error))?;
            lease.finish();
            Ok(Answer { status: parts.status, headers: parts.headers, body: body.to_bytes() })
        };
        let timeout = || BucketError::Egress(EgressError::Timeout(self.host.clone()));
        tokio::time::timeout(self.timeout, exchange).await.map_err(|_| timeout())?
    }

    fn broke(&self, error: Box<dyn std::error::Error + Send + Sync>) -> BucketError {
        if error.is::<LengthLimitError>() {
            return BucketError::Egress(EgressError::TooLarge(self.host.clone()));
        }
        match error.downcast::<hyper::Error>() {
            Ok(source) => BucketError::Egress(EgressError::Http { host: self.host.clone(), source: *source }),
            Err(error) => BucketError::Answer(error.to_string()),
        }
    }

    fn path(&self, key: Option<&str>) -> Result<String, BucketError> {
        let Some(key) = key else {
            let bucket = self.base.trim_end_matches('/');
            return Ok(if bucket.is_empty() { "/".to_owned() } else { bucket.to_owned() });
        };
        if key.is_empty() || key.len() > KEY_BYTES_MAX {
            return Err(BucketError::Invalid(format!("a key has 1 to {KEY_BYTES_MAX} bytes")));
        }
        // Proxies and some servers take such segments for ways to another object.
        if key.split('/').any(|segment| matches!(segment, "." | "..")) {
            return Err(BucketError::Invalid("a key may have no segment `.` or `..`".to_owned()));
        }
        let segments: Vec<String> = key.split('/').map(form::encode).collect();
        Ok(format!("{}{}", self.base, segments.join("/")))
    }

    fn signed(
        &self,
        method: &Method,
        path: &str,
        query: &str,
        headers: &[(&'static str, String)],
        body: Bytes,
        now_secs: u64,
    ) -> Result<Request<Full<Bytes>>, BucketError> {
        let invalid = |error: &dyn std::fmt::Display| BucketError::Invalid(error.to_string());
        let mut parts = self.credentials.trim().splitn(3, ':');
        let (Some(id), Some(secret)) = (parts.next(), parts.next()) else {
            return Err(invalid(&"the secret is not `ACCESS_KEY_ID:SECRET_ACCESS_KEY`"));
        };
        let (date, hash) = (sigv4::timestamp(now_secs), sigv4::sha256_hex(&body));
        let mut all = vec![("host", self.host.as_str()), ("x-amz-date", date.as_str()), ("x-amz-content-sha256", hash.as_str())];
        all.extend(parts.next().map(|token| ("x-amz-security-token", token)));
        all.extend(headers.iter().map(|(name, value)| (*name, value.as_str())));
        let signed = sigv4::Request { method: method.as_str(), path, query, headers: &all, body: &body };
        let authorization = sigv4::sign(&signed, (id, secret), (&self.region, "s3")).map_err(|error| invalid(&error))?;
        let uri = if query.is_empty() { path.to_owned() } else { format!("{path}?{query}") };
        let mut request = Request::builder().method(method).uri(uri).header("authorization", authorization);
        for (name, value) in all {
            request = request.header(name, value);
        }
        request.body(Full::new(body)).map_err(|error| invalid(&error))
    }
}
