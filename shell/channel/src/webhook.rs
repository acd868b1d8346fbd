//! Signed webhooks, as the Standard Webhooks specification (1.0.0) has them: `webhook-id`, `webhook-timestamp`, and `webhook-signature`, which
//! is `v1,` and the base 64 of the HMAC-SHA256 of `id.timestamp.body` under the shared secret. A receiver takes each id once.

use std::sync::Arc;

use aws_lc_rs::hmac;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::Request;
use http::header::CONTENT_TYPE;
use http_body_util::Full;
use remit_egress::fetch;
use remit_model::Network;
use rustls::ClientConfig;
use serde_json::Value;

use crate::{ChannelError, TIMEOUT, beginning};

/// Where a webhook goes.
#[derive(Debug, Clone, Copy)]
pub struct Target<'a> {
    /// The address.
    pub url: &'a str,
    /// Which addresses its name may resolve to.
    pub network: Network,
    /// The shared secret: as it is, or `whsec_` and its base 64.
    pub secret: &'a str,
}

/// The signature of a message.
pub fn signature(secret: &str, id: &str, at_secs: u64, body: &[u8]) -> String {
    let decoded = secret.strip_prefix("whsec_").and_then(|text| STANDARD.decode(text).ok()).map(zeroize::Zeroizing::new);
    let bytes = decoded.as_ref().map_or(secret.as_bytes(), |decoded| decoded.as_slice());
    let mut context = hmac::Context::with_key(&hmac::Key::new(hmac::HMAC_SHA256, bytes));
    context.update(format!("{id}.{at_secs}.").as_bytes());
    context.update(body);
    format!("v1,{}", STANDARD.encode(context.sign()))
}

/// Delivers a message once. `id` tells it from all others, and is the same when it is delivered again.
pub async fn deliver(
    tls: &Arc<ClientConfig>,
    target: &Target<'_>,
    id: &str,
    at_secs: u64,
    message: &Value,
) -> Result<(), ChannelError> {
    let body = message.to_string().into_bytes();
    let request = Request::post("/")
        .header(CONTENT_TYPE, "application/json")
        .header("webhook-id", id)
        .header("webhook-timestamp", at_secs.to_string())
        .header("webhook-signature", signature(target.secret, id, at_secs, &body))
        .body(Full::new(body.into()))
        .map_err(|error| ChannelError::Invalid(error.to_string()))?;
    let answer = fetch(target.url, target.network, tls, TIMEOUT, request).await?;
    if answer.status().is_success() {
        return Ok(());
    }
    Err(ChannelError::Refused { status: answer.status().as_u16(), said: beginning(answer.body()) })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The example of the specification's own libraries.
    #[test]
    fn the_signature_is_the_standards() {
        let body = br#"{"test": 2432232314}"#;
        let signed = signature("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", "msg_p5jXN8AQM9LWM0D4loKWxJek", 1_614_265_330, body);
        assert_eq!(signed, "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=");
        assert_ne!(
            signed,
            signature("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", "msg_p5jXN8AQM9LWM0D4loKWxJek", 1_614_265_331, body)
        );
    }
}
