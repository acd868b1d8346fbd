//! Requests that are signed (SigV4) instead of carrying a token.

use std::sync::Arc;

use bytes::Bytes;
use http::HeaderMap;
use http::request::Parts;
use remit_kernel::{Fact, Identity};

use crate::Inner;

/// What a signed request is verified with besides its headers and its body.
#[derive(Debug, Clone)]
pub(crate) struct Signed {
    method: String,
    path: String,
    query: String,
    audience: Arc<str>,
}

/// A signed request, as whoever proves identities sees it.
#[derive(Debug, Clone, Copy)]
pub struct SignedRequest<'a> {
    /// The method.
    pub method: &'a str,
    /// The path, as it came.
    pub path: &'a str,
    /// The query, as it came.
    pub query: &'a str,
    /// The headers.
    pub headers: &'a HeaderMap,
    /// The body.
    pub body: &'a [u8],
    /// The address of the space that the request was sent to: what it is good for.
    pub audience: &'a str,
}

impl Signed {
    /// `None` if the `Authorization` header is no signature.
    pub(crate) fn of(authorization: &str, parts: &Parts, audience: &Arc<str>) -> Option<Self> {
        authorization.starts_with("AWS4").then(|| Self {
            method: parts.method.as_str().to_owned(),
            path: parts.uri.path().to_owned(),
            query: parts.uri.query().unwrap_or_default().to_owned(),
            audience: Arc::clone(audience),
        })
    }

    fn request<'a>(&'a self, headers: &'a HeaderMap, body: &'a [u8]) -> SignedRequest<'a> {
        let Self { method, path, query, audience } = self;
        SignedRequest { method, path, query, headers, body, audience }
    }

    /// Whether the key is one that was issued here: a stranger's body is read only so far.
    pub(crate) fn has_key(&self, gateway: &Inner, headers: &HeaderMap) -> bool {
        gateway.authenticate.has_key(&self.request(headers, &[]), crate::clock::now_ms() / 1000)
    }

    /// Who signed. A POST is verified with its body only; without one it is nobody's yet.
    pub(crate) fn verify(&self, gateway: &Inner, headers: &HeaderMap, body: Option<&Bytes>) -> Fact<Identity> {
        let body = match body {
            Some(body) => &body[..],
            None if self.method == "POST" => {
                return Fact::Known(Identity::Rejected("the request's body was not read".to_owned()));
            }
            None => &[],
        };
        gateway.authenticate.signed(&self.request(headers, body), crate::clock::now_ms() / 1000)
    }
}
