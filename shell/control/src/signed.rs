//! Requests that are signed (SigV4) instead of carrying the operator's token: in the role whose session's keys signed them.

use bytes::Bytes;
use http::header::{AUTHORIZATION, RETRY_AFTER, WWW_AUTHENTICATE};
use http::request::Parts;
use http::{HeaderMap, HeaderValue, Method, Response, StatusCode};
use remit_identity::sigv4::{ALGORITHM, Request, SigError};
use remit_kernel::{Origin, Snapshot};
use remit_model::RoleKey;

use crate::caller::Caller;
use crate::endpoints::Failed;
use crate::operator::{Operator, text};
use crate::reply::Reply;

/// Whether a request says that it is signed.
pub(crate) fn is_signed(headers: &HeaderMap) -> bool {
    headers.get(AUTHORIZATION).is_some_and(|value| value.as_bytes().starts_with(b"AWS4"))
}

/// Whether the key is one of a role that is the console's; `None` if it wasn't issued here or is no longer alive: a stranger's body isn't read.
pub(crate) fn claimed_role(operator: &Operator, parts: &Parts) -> Option<bool> {
    let session = with(parts, &[], |request| operator.plane.claimed(request)).flatten()?;
    Some(session.role().is_some_and(|role| is_consoles(&operator.plane.snapshot(), role)))
}

/// Whether a role may be taken where people operate.
pub(crate) fn is_consoles(snapshot: &Snapshot, role: &RoleKey) -> bool {
    snapshot.organization.console.as_ref().is_some_and(|console| console.roles.contains(role))
}

/// Who signed a request, its body with it. What may change something is signed once for each time.
pub(crate) fn signer(operator: &Operator, parts: &Parts, body: &Bytes, origin: &Origin) -> Result<Caller, Box<Response<Reply>>> {
    let once = parts.method != Method::GET;
    let verified = with(parts, body, |request| operator.plane.signed(request, once));
    let session = match verified {
        Some(Ok(session)) => session,
        Some(Err(error)) => return Err(Box::new(refused(&error))),
        None => return Err(Box::new(refused(&SigError::incomplete("a header is not text")))),
    };
    let ids: Vec<&str> = session.via.iter().chain([&session.id]).map(String::as_str).collect();
    let revocations = operator.plane.revocations();
    if revocations.find(&ids, None, session.role(), session.issued_at_secs).is_some() {
        return Err(Box::new(refused(&SigError::expired())));
    }
    Ok(Caller::signed(&operator.plane.snapshot(), &session, origin.clone()))
}

/// The answer to whoever isn't known by a signature.
pub(crate) fn refused(error: &SigError) -> Response<Reply> {
    let status = if error.retry_after_ms.is_some() { StatusCode::TOO_MANY_REQUESTS } else { StatusCode::UNAUTHORIZED };
    let said = Failed::new(status, &error.message).with("code", error.code.into()).1;
    let mut response = text(status, "application/problem+json", said.to_string());
    match error.retry_after_ms {
        Some(wait_ms) => drop(response.headers_mut().insert(RETRY_AFTER, HeaderValue::from(wait_ms.div_ceil(1000)))),
        None => drop(response.headers_mut().insert(WWW_AUTHENTICATE, HeaderValue::from_static(ALGORITHM))),
    }
    response
}

/// A request as it is verified; `None` if a header of it is no text.
fn with<T>(parts: &Parts, body: &[u8], then: impl FnOnce(&Request<'_>) -> T) -> Option<T> {
    let texts = parts.headers.iter().map(|(name, value)| Some((name.as_str(), std::str::from_utf8(value.as_bytes()).ok()?)));
    let headers: Vec<(&str, &str)> = texts.collect::<Option<_>>()?;
    let (method, path, query) = (parts.method.as_str(), parts.uri.path(), parts.uri.query().unwrap_or_default());
    Some(then(&Request { method, path, query, headers: &headers, body }))
}
