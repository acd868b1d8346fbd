//! Metrics for Amazon CloudWatch (API reference: `PutMetricData`; query protocol 2010-08-01, signed with SigV4).

use std::sync::Arc;

use remit_model::Network;
use rustls::ClientConfig;

use crate::ChannelError;
use crate::aws::{self, Endpoint};

/// Where metrics are put, and with what requests are signed.
#[derive(Clone, Copy)]
pub struct Metrics<'a> {
    /// The region.
    pub region: &'a str,
    /// The endpoint; `None` is AWS's own of the region.
    pub endpoint: Option<&'a str>,
    /// Which addresses the endpoint may resolve to.
    pub network: Network,
    /// `ACCESS_KEY_ID:SECRET_ACCESS_KEY`, with `:SESSION_TOKEN` if there is one.
    pub credentials: &'a str,
}

impl std::fmt::Debug for Metrics<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Metrics").field("region", &self.region).field("endpoint", &self.endpoint).finish_non_exhaustive()
    }
}

impl Metrics<'_> {
    fn url(&self) -> String {
        self.endpoint.map_or_else(|| format!("{}/", aws::regional("monitoring", self.region)), str::to_owned)
    }

    /// Puts the data of one form once. CloudWatch knows none again: one whose answer is lost counts twice if it is put again.
    pub async fn put(&self, tls: &Arc<ClientConfig>, form: String, now_secs: u64) -> Result<(), ChannelError> {
        let url = self.url();
        let (network, credentials, region) = (self.network, self.credentials, self.region);
        let to = Endpoint { url: &url, network, credentials, region, service: "monitoring" };
        aws::post_form(tls, to, form, now_secs).await
    }
}

/// Whether the very data are refused, so that putting them again is of no use. Who asks too often or too late is refused with 400, too.
pub fn is_final(error: &ChannelError) -> bool {
    let passes = ["Throttl", "RequestLimitExceeded", "RequestExpired", "ExpiredToken"];
    matches!(error, ChannelError::Refused { status: 400 | 413, said } if !passes.iter().any(|word| said.contains(word)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_those_of_the_region_and_no_secret_is_shown() {
        let metrics = Metrics { region: "us-east-1", endpoint: None, network: Network::Public, credentials: "AKIA:secret" };
        assert_eq!(metrics.url(), "https://monitoring.us-east-1.amazonaws.com/");
        assert_eq!(Metrics { region: "cn-north-1", ..metrics }.url(), "https://monitoring.cn-north-1.amazonaws.com.cn/");
        assert!(!format!("{metrics:?}").contains("secret"));
    }

    #[test]
    fn only_what_will_never_be_taken_is_given_up() {
        let refused = |status: u16, said: &str| is_final(&ChannelError::Refused { status, said: said.to_owned() });
        assert!(refused(400, "<Code>InvalidParameterValue</Code>") && refused(413, ""));
        assert!(
            !refused(400, "<Code>Throttling</Code>") && !refused(403, "<Code>InvalidClientTokenId</Code>") && !refused(500, "")
        );
        assert!(!is_final(&ChannelError::Invalid("no such secret".to_owned())));
    }
}
