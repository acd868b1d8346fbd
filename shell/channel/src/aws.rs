//! Requests to AWS, signed with SigV4 (core/identity).

use std::sync::Arc;

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::Full;
use remit_egress::fetch;
use remit_identity::sigv4;
use remit_model::Network;
use rustls::ClientConfig;

use crate::{ChannelError, TIMEOUT, beginning};

/// Where a request goes, and what it is signed with.
#[derive(Clone, Copy)]
pub(crate) struct Endpoint<'a> {
    pub(crate) url: &'a str,
    pub(crate) network: Network,
    /// `ACCESS_KEY_ID:SECRET_ACCESS_KEY`, with `:SESSION_TOKEN` if there is one.
    pub(crate) credentials: &'a str,
    pub(crate) region: &'a str,
    pub(crate) service: &'a str,
}

/// The domain of AWS's services in the partition of an ARN.
pub(crate) fn suffix(arn: &str) -> &'static str {
    if arn.starts_with("arn:aws-cn:") { "amazonaws.com.cn" } else { "amazonaws.com" }
}

/// Where a service of AWS is in a region, without a slash at its end.
pub(crate) fn regional(service: &str, region: &str) -> String {
    let suffix = if region.starts_with("cn-") { "amazonaws.com.cn" } else { "amazonaws.com" };
    format!("https://{service}.{region}.{suffix}")
}

/// The region of an ARN.
pub(crate) fn region(arn: &str) -> &str {
    arn.split(':').nth(3).unwrap_or_default()
}

/// Posts a form, as services of the query protocol take it.
pub(crate) async fn post_form(
    tls: &Arc<ClientConfig>,
    to: Endpoint<'_>,
    form: String,
    now_secs: u64,
) -> Result<(), ChannelError> {
    let headers = [("content-type", "application/x-www-form-urlencoded; charset=utf-8")];
    post(tls, to, &headers, form, now_secs).await.map(drop)
}

/// Posts a body; an answer that is no success is a refusal.
pub(crate) async fn post(
    tls: &Arc<ClientConfig>,
    to: Endpoint<'_>,
    own: &[(&'static str, &str)],
    body: String,
    now_secs: u64,
) -> Result<Response<Bytes>, ChannelError> {
    let request = signed(to, own, body, now_secs)?;
    accepted(fetch(to.url, to.network, tls, TIMEOUT, request).await?)
}

/// An answer that is no success is a refusal.
pub(crate) fn accepted(answer: Response<Bytes>) -> Result<Response<Bytes>, ChannelError> {
    if !answer.status().is_success() {
        return Err(ChannelError::Refused { status: answer.status().as_u16(), said: beginning(answer.body()) });
    }
    Ok(answer)
}

/// A request that posts a body, signed; its URI is the endpoint's path.
pub(crate) fn signed(
    to: Endpoint<'_>,
    own: &[(&'static str, &str)],
    body: String,
    now_secs: u64,
) -> Result<Request<Full<Bytes>>, ChannelError> {
    let invalid = |error: &dyn std::fmt::Display| ChannelError::Invalid(error.to_string());
    let (_, rest) = to.url.split_once("://").ok_or_else(|| ChannelError::Invalid("the endpoint is no address".to_owned()))?;
    let host = rest.split('/').next().unwrap_or_default();
    let path = rest.strip_prefix(host).filter(|path| !path.is_empty()).unwrap_or("/");
    let mut parts = to.credentials.trim().splitn(3, ':');
    let (Some(id), Some(secret)) = (parts.next(), parts.next()) else {
        return Err(ChannelError::Invalid("the secret is not `ACCESS_KEY_ID:SECRET_ACCESS_KEY`".to_owned()));
    };
    let date = sigv4::timestamp(now_secs);
    let mut headers = vec![("host", host), ("x-amz-date", date.as_str())];
    headers.extend(own);
    headers.extend(parts.next().map(|token| ("x-amz-security-token", token)));
    let signed = sigv4::Request { method: "POST", path, query: "", headers: &headers, body: body.as_bytes() };
    let authorization = sigv4::sign(&signed, (id, secret), (to.region, to.service)).map_err(|error| invalid(&error))?;
    let mut request = Request::post(path).header("authorization", authorization);
    for (name, value) in headers {
        request = request.header(name, value);
    }
    request.body(Full::new(body.into())).map_err(|error| invalid(&error))
}
