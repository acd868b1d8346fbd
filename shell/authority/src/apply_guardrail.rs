//! Guardrails by themselves, as Bedrock Runtime's `ApplyGuardrail` (REST-JSON): `POST /guardrail/{id}/version/{version}/apply`.
//!
//! Source: the model of `bedrock-runtime` (botocore 1.44): the path, the errors and `x-amzn-errortype`.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use remit_identity::form;
use remit_identity::sigv4::Request;
use remit_identity::sts::AwsError;
use remit_kernel::assume::authorize;
use remit_kernel::{Applied, Fact, Found, Guard, Origin, Snapshot};
use remit_model::{Guardrail, GuardrailKey, GuardrailVersion};
use serde_json::{Value, json};

use crate::sts::{AwsRequest, Done, Signer, TokenService, claimed, header_list};

/// The service that a request is signed for.
pub(crate) const SERVICE: &str = "bedrock";
/// The operation.
const OPERATION: &str = "ApplyGuardrail";
/// The action that must be allowed.
const ACTION: &str = "bedrock:ApplyGuardrail";
/// The longest identifier, in bytes.
const IDENTIFIER_BYTES_MAX: usize = 2048;
/// What stands around the identifier and the version in a path.
const WHERE: (&str, &str, &str) = ("/guardrail/", "/version/", "/apply");

/// The identifier and the version in a path, as they stand there; `None` if it is no path of this operation.
pub(crate) fn named(path: &str) -> Option<(&str, &str)> {
    let (identifier, version) = path.strip_prefix(WHERE.0)?.strip_suffix(WHERE.2)?.split_once(WHERE.1)?;
    let one = |part: &str| !part.is_empty() && !part.contains('/');
    (one(identifier) && one(version)).then_some((identifier, version))
}

/// The guardrails that were asked for, compiled: they need not be attached anywhere.
#[derive(Debug, Default)]
pub(crate) struct Compiled(Mutex<BTreeMap<GuardrailKey, Arc<Guard>>>);

impl Compiled {
    fn of(&self, snapshot: &Snapshot, said: &Guardrail) -> Result<Arc<Guard>, AwsError> {
        let kept = self.lock().get(&said.key).filter(|guard| guard.is(said)).cloned();
        if let Some(guard) = kept {
            return Ok(guard);
        }
        let fault = |why: String| AwsError::new(500, "InternalServerException", why);
        let guard = Arc::new(Guard::compile(said).map_err(fault)?);
        let mut all = self.lock();
        all.retain(|key, _| snapshot.organization.guardrails.versions.contains_key(key));
        all.insert(said.key.clone(), Arc::clone(&guard));
        Ok(guard)
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, BTreeMap<GuardrailKey, Arc<Guard>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl TokenService {
    /// The response of `ApplyGuardrail`.
    pub(crate) async fn apply_guardrail(
        &self,
        request: &AwsRequest<'_>,
        (identifier, version): (&str, &str),
        done: &mut Done,
        now_secs: u64,
    ) -> Result<String, AwsError> {
        OPERATION.clone_into(&mut done.action);
        let headers = header_list(request.headers)?;
        let signed =
            Request { method: request.method, path: request.path, query: request.query, headers: &headers, body: request.body };
        let claim = claimed(&signed, done)?;
        self.in_scope(&claim, SERVICE, true)?;
        if claim.expires_secs.is_some() {
            return Err(AwsError::new(
                400,
                "IncompleteSignature",
                "A guardrail takes no presigned request: sign it in its headers.",
            ));
        }
        let Signer { session, snapshot, account: own, .. } = self.signer(&signed, &claim, false, done, now_secs)?;

        let invalid = |what: &str| AwsError::new(400, "ValidationException", what);
        let text = |part: &str| form::decode(part).ok_or_else(|| invalid("The path is not text."));
        let (identifier, version) = (text(identifier)?, text(version)?);
        let partition = &snapshot.organization.partition;
        let id = identifier.rsplit_once(":guardrail/").map_or(identifier.as_str(), |(_, id)| id);
        let version = GuardrailVersion::parse(&version).ok_or_else(|| invalid("A version is `DRAFT` or a number from 1."))?;
        if !GuardrailKey::is_id(id) || identifier.len() > IDENTIFIER_BYTES_MAX {
            return Err(invalid("An identifier is a guardrail's id or its ARN."));
        }
        let key = GuardrailKey { id: id.to_owned(), version };
        let of = |account: &str| format!("arn:{partition}:bedrock:{}:{account}:guardrail/{id}", claim.region);
        let found = snapshot.organization.guardrails.versions.get(&key);
        // A name without an account is one of the caller's own account.
        let found =
            found.filter(|said| if identifier == id { said.account == own } else { identifier == of(said.account.as_str()) });
        let account = found.map_or(&own, |said| &said.account);
        let origin = Origin { source_ip: Fact::Known(request.peer.to_canonical()), secure_transport: request.secure_transport };
        let resource = if identifier == id { of(account.as_str()) } else { identifier.clone() };
        let (allowed, layers) = authorize(&snapshot, &session, ACTION, (&resource, account, None), &origin, now_secs);
        done.layers = serde_json::to_value(&layers).unwrap_or_default();
        done.detail("resource", resource);
        done.detail("guardrail", key.to_string());
        allowed?;
        let missing = || {
            AwsError::new(
                404,
                "ResourceNotFoundException",
                "The guardrail identifier or version provided in the request does not exist.",
            )
        };
        let guard = self.compiled.of(&snapshot, found.ok_or_else(missing)?)?;
        let body: Value = serde_json::from_slice(request.body).map_err(|_| invalid("The body is not JSON."))?;
        let applied = guard.apply(&body, Some(self.in_effect.clock())).map_err(|why| invalid(&why))?;
        let (response, found) = self.answered_guardrail(&guard, applied, done).await?;
        done.detail("intervened", response.get("action") == Some(&json!("GUARDRAIL_INTERVENED")));
        done.detail("found", serde_json::to_value(found).unwrap_or_default());
        Ok(response.to_string())
    }

    /// The response, and what is told of it: of the guardrail's own definition, or of the one of Amazon Bedrock behind it.
    async fn answered_guardrail(
        &self,
        guard: &Guard,
        applied: Applied,
        done: &mut Done,
    ) -> Result<(Value, Vec<Found>), AwsError> {
        let Applied { own, then } = applied;
        let Some(ask) = then else {
            return own.ok_or_else(|| AwsError::new(500, "InternalServerException", "There is nothing behind this guardrail."));
        };
        let mut undecided = |why: &str| {
            done.detail("undecided", why);
            AwsError::new(503, "ServiceUnavailable", "The guardrail of Amazon Bedrock behind this one could not be asked.")
        };
        let body = self.in_effect.ask_guardrail(&ask).await.map_err(|why| undecided(&why))?;
        guard.joined(own, &body).map_err(undecided)
    }
}

/// The type of an error as services of JSON name it.
fn error_type(code: &'static str) -> &'static str {
    match code {
        "AccessDenied" => "AccessDeniedException",
        "SignatureDoesNotMatch" => "InvalidSignatureException",
        "InvalidClientTokenId" => "UnrecognizedClientException",
        "ExpiredToken" => "ExpiredTokenException",
        "IncompleteSignature" => "IncompleteSignatureException",
        "MissingAuthenticationToken" => "MissingAuthenticationTokenException",
        "Throttling" => "ThrottlingException",
        "ServiceUnavailable" => "ServiceUnavailableException",
        other => other,
    }
}

/// An error's type and body.
pub(crate) fn error(error: &AwsError) -> (&'static str, String) {
    (error_type(error.code), json!({"message": error.message}).to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_paths_of_the_operation() {
        assert_eq!(named("/guardrail/baseline/version/1/apply"), Some(("baseline", "1")));
        assert_eq!(named("/guardrail/arn%3Aaws%3Ax%2Fy/version/DRAFT/apply"), Some(("arn%3Aaws%3Ax%2Fy", "DRAFT")));
        for other in [
            "/",
            "/guardrail//version/1/apply",
            "/guardrail/a/version//apply",
            "/guardrail/a/b/version/1/apply",
            "/guardrail/a/version/1",
            "/guardrail/a/version/1/apply/",
        ] {
            assert_eq!(named(other), None, "{other}");
        }
    }
}
