//! Guardrails of Amazon Bedrock (API reference of Amazon Bedrock Runtime: `ApplyGuardrail`; REST-JSON, signed with SigV4 for `bedrock`).

use std::collections::HashMap;
use std::fmt::Write as _;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use remit_egress::Client;
use remit_model::{BedrockGuardrail, Network};
use rustls::ClientConfig;

use crate::ChannelError;
use crate::aws::{self, Endpoint};

/// The most endpoints whose connections are kept.
const ENDPOINTS_MAX: usize = 64;

/// Where guardrails are asked; connections are kept.
pub struct Runtime {
    tls: Arc<ClientConfig>,
    clients: Mutex<HashMap<(String, Network), Client>>,
}

impl std::fmt::Debug for Runtime {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Runtime")
    }
}

impl Runtime {
    /// Nothing is connected yet.
    pub fn new(tls: Arc<ClientConfig>) -> Self {
        Self { tls, clients: Mutex::default() }
    }

    /// Asks once: the body of the response. What is refused is not asked again, so that a call waits no longer than its guardrail says.
    pub async fn apply(
        &self,
        guardrail: &BedrockGuardrail,
        credentials: &str,
        body: String,
        now_secs: u64,
    ) -> Result<Vec<u8>, ChannelError> {
        let (base, path) = (base(guardrail), path(guardrail));
        let url = format!("{base}{path}");
        let (network, region) = (guardrail.network, guardrail.region.as_str());
        let to = Endpoint { url: &url, network, credentials, region, service: "bedrock" };
        let headers = [("content-type", "application/json"), ("accept", "application/json")];
        let request = aws::signed(to, &headers, body, now_secs)?;
        let timeout = Duration::from_millis(guardrail.timeout_ms);
        let client = self.client(base, network, timeout)?;
        Ok(aws::accepted(client.whole(timeout, request).await?)?.into_body().to_vec())
    }

    fn client(&self, base: String, network: Network, timeout: Duration) -> Result<Client, ChannelError> {
        let mut clients = self.clients.lock().unwrap_or_else(PoisonError::into_inner);
        if clients.len() >= ENDPOINTS_MAX {
            clients.clear();
        }
        let key = (base, network);
        if let Some(client) = clients.get(&key) {
            return Ok(client.clone());
        }
        let client = Client::new(&key.0, network, &self.tls, timeout)?;
        clients.insert(key, client.clone());
        Ok(client)
    }
}

/// The endpoint, without a slash at its end.
fn base(guardrail: &BedrockGuardrail) -> String {
    let own = || aws::regional("bedrock-runtime", &guardrail.region);
    guardrail.endpoint.as_ref().map_or_else(own, |endpoint| endpoint.trim_end_matches('/').to_owned())
}

/// The path: an ARN in it is percent-encoded, slash and colons too.
fn path(guardrail: &BedrockGuardrail) -> String {
    let mut identifier = String::new();
    for byte in guardrail.identifier.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            identifier.push(char::from(byte));
        } else {
            // To a text nothing fails.
            let _ = write!(identifier, "%{byte:02X}");
        }
    }
    format!("/guardrail/{identifier}/version/{}/apply", guardrail.version)
}

#[cfg(test)]
mod tests {
    use remit_model::{GuardrailVersion, Risk, SecretRef};

    use super::*;

    #[test]
    fn addresses_are_those_of_the_region_and_arns_are_one_segment() {
        let guardrail = BedrockGuardrail {
            identifier: "arn:aws:bedrock:us-east-1:111122223333:guardrail/a1b2".to_owned(),
            version: GuardrailVersion::Numbered(3),
            region: "us-east-1".to_owned(),
            endpoint: None,
            credentials: SecretRef::Stored("x".to_owned()),
            network: Network::Public,
            timeout_ms: 1000,
            risk_min: Risk::Low,
        };
        assert_eq!(base(&guardrail), "https://bedrock-runtime.us-east-1.amazonaws.com");
        let arn = "/guardrail/arn%3Aaws%3Abedrock%3Aus-east-1%3A111122223333%3Aguardrail%2Fa1b2/version/3/apply";
        assert_eq!(path(&guardrail), arn);
        let other =
            BedrockGuardrail { endpoint: Some("http://127.0.0.1:1/x/".to_owned()), region: "cn-north-1".to_owned(), ..guardrail };
        assert_eq!(base(&other), "http://127.0.0.1:1/x");
        assert_eq!(base(&BedrockGuardrail { endpoint: None, ..other }), "https://bedrock-runtime.cn-north-1.amazonaws.com.cn");
    }
}
