//! A message to a topic of Amazon SNS (API reference: `Publish`; query protocol 2010-03-31, signed with SigV4).

use std::sync::Arc;

use remit_identity::form;
use remit_model::Network;
use rustls::ClientConfig;

use crate::ChannelError;
use crate::aws::{self, Endpoint};

/// The longest subject, in characters: less than 100, of ASCII, beginning with a letter, digit or punctuation mark.
const SUBJECT_CHARS_MAX: usize = 99;
/// The largest message, in bytes.
const MESSAGE_BYTES_MAX: usize = 256 * 1024;

/// A topic, and with what requests to it are signed.
#[derive(Clone, Copy)]
pub struct Topic<'a> {
    /// Its ARN.
    pub arn: &'a str,
    /// The endpoint; `None` is AWS's own of its region.
    pub endpoint: Option<&'a str>,
    /// Which addresses the endpoint may resolve to.
    pub network: Network,
    /// `ACCESS_KEY_ID:SECRET_ACCESS_KEY`, with `:SESSION_TOKEN` if there is one.
    pub credentials: &'a str,
}

impl std::fmt::Debug for Topic<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Topic").field("arn", &self.arn).field("endpoint", &self.endpoint).finish_non_exhaustive()
    }
}

impl Topic<'_> {
    /// The region that it is in.
    pub fn region(&self) -> &str {
        aws::region(self.arn)
    }

    fn url(&self) -> String {
        self.endpoint.map_or_else(|| format!("https://sns.{}.{}/", self.region(), aws::suffix(self.arn)), str::to_owned)
    }

    /// Publishes a message once. SNS knows none again: one whose answer is lost may come twice.
    pub async fn publish(
        &self,
        tls: &Arc<ClientConfig>,
        subject: &str,
        message: &str,
        now_secs: u64,
    ) -> Result<(), ChannelError> {
        if message.len() > MESSAGE_BYTES_MAX {
            return Err(ChannelError::Invalid("the message is larger than 256 KiB".to_owned()));
        }
        let subject = fitting(subject);
        let fields = [
            ("Action", "Publish"),
            ("Version", "2010-03-31"),
            ("TopicArn", self.arn),
            ("Subject", &subject),
            ("Message", message),
        ];
        let url = self.url();
        let (network, credentials, region) = (self.network, self.credentials, self.region());
        let to = Endpoint { url: &url, network, credentials, region, service: "sns" };
        aws::post_form(tls, to, form::write(fields), now_secs).await
    }
}

/// A subject as SNS takes it.
fn fitting(subject: &str) -> String {
    let plain = |c: char| if c.is_ascii_graphic() || c == ' ' { c } else { '?' };
    subject.trim_start().chars().take(SUBJECT_CHARS_MAX).map(plain).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_those_of_the_region_and_no_secret_is_shown() {
        let arn = "arn:aws:sns:us-east-1:123456789012:agent-governance-alerts";
        let topic = Topic { arn, endpoint: None, network: Network::Public, credentials: "AKIA:secret" };
        assert_eq!(topic.url(), "https://sns.us-east-1.amazonaws.com/");
        let china = Topic { arn: "arn:aws-cn:sns:cn-north-1:123456789012:a", ..topic };
        assert_eq!(china.url(), "https://sns.cn-north-1.amazonaws.com.cn/");
        assert!(!format!("{topic:?}").contains("secret"));
    }

    #[test]
    fn subjects_are_short_and_plain() {
        assert_eq!(fitting(" ALARM: \"über\n\" in us-east-1"), "ALARM: \"?ber?\" in us-east-1");
        assert_eq!(fitting(&"x".repeat(200)).len(), 99);
    }
}
