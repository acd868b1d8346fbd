//! Where people are told elsewhere of what waits for them.
//!
//! - [`webhook`]: a signed request to an address (Standard Webhooks);
//! - [`step_functions`]: a state machine that is started with an approval, and whose result decides it;
//! - [`sns`]: a message to a topic of Amazon SNS;
//! - [`pagerduty`]: an event for PagerDuty, and its end;
//! - [`cloudwatch`]: metrics for Amazon CloudWatch;
//! - [`bedrock`]: guardrails of Amazon Bedrock, which are asked and not told.
//!
//! Each function here makes one request and says what came of it; when it is made, and how often again, is its caller's affair.

mod aws;
pub mod bedrock;
pub mod cloudwatch;
pub mod pagerduty;
pub mod sns;
pub mod step_functions;
pub mod webhook;

use std::time::Duration;

use remit_egress::EgressError;

/// How long one request may take.
const TIMEOUT: Duration = Duration::from_secs(15);

/// Why somebody could not be told. Nothing of a secret is in it.
#[derive(Debug, thiserror::Error)]
pub enum ChannelError {
    /// The request could not be made, or its answer not be read.
    #[error("{0}")]
    Egress(#[from] EgressError),
    /// It was refused.
    #[error("it answered {status}: {said}")]
    Refused {
        /// The HTTP status.
        status: u16,
        /// The beginning of what it said.
        said: String,
    },
    /// It can't be told like this.
    #[error("{0}")]
    Invalid(String),
}

impl ChannelError {
    /// Whether the same may succeed later.
    pub fn may_pass(&self) -> bool {
        match self {
            Self::Egress(_) => true,
            Self::Refused { status, .. } => *status == 429 || *status >= 500,
            Self::Invalid(_) => false,
        }
    }
}

/// The beginning of an answer, on one line.
fn beginning(body: &[u8]) -> String {
    const CHARS_MAX: usize = 200;
    String::from_utf8_lossy(body).chars().take(CHARS_MAX).map(|c| if c.is_control() { ' ' } else { c }).collect()
}
