//! Guardrails of Amazon Bedrock, asked for the gateway and for whoever asks ours by itself.

use std::sync::Arc;
use std::time::Duration;

use remit_authority::UpstreamCredentials;
use remit_channel::ChannelError;
use remit_channel::bedrock::Runtime;
use remit_gateway::{AskGuardrails, Boxed};
use remit_kernel::Ask;
use rustls::ClientConfig;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

use crate::now_secs;

/// How many requests are under way at once.
const UNDER_WAY_MAX: usize = 64;
/// How often a request is made, as AWS's SDKs do in their standard mode: the first time, and again where it was throttled or the service
/// wasn't there. What it asks changes nothing, so that asking twice does no harm.
const TRIES: u32 = 3;
/// How long is waited at most before it is made again, doubled each time.
const WAIT_MS: u64 = 100;

/// Asks with the secrets that are kept here.
pub(crate) struct Asker {
    runtime: Arc<Runtime>,
    credentials: Arc<UpstreamCredentials>,
    places: Arc<Semaphore>,
}

impl Asker {
    pub(crate) fn new(tls: Arc<ClientConfig>, credentials: Arc<UpstreamCredentials>) -> Self {
        Self { runtime: Arc::new(Runtime::new(tls)), credentials, places: Arc::new(Semaphore::new(UNDER_WAY_MAX)) }
    }

    /// One request, within the time that its guardrail says, the wait for a place included.
    fn one(&self, ask: &Ask) -> impl Future<Output = Result<Vec<u8>, String>> + Send + use<> {
        let (runtime, places) = (Arc::clone(&self.runtime), Arc::clone(&self.places));
        let secret = self.credentials.secret(&ask.bedrock.credentials).map_err(|error| error.to_string());
        let (behind, body) = (Arc::clone(&ask.bedrock), ask.body.to_string());
        async move {
            let secret = secret?;
            let asked = async {
                let _place = places.acquire().await.map_err(|error| error.to_string())?;
                for made in 1..TRIES {
                    match runtime.apply(&behind, &secret, body.clone(), now_secs()).await {
                        Err(error) if passes(&error) => tokio::time::sleep(wait(made)).await,
                        came => return came.map_err(|error| said(&error)),
                    }
                }
                runtime.apply(&behind, &secret, body, now_secs()).await.map_err(|error| said(&error))
            };
            let late = || Err("it did not answer in time".to_owned());
            tokio::time::timeout(Duration::from_millis(behind.timeout_ms), asked).await.unwrap_or_else(|_| late())
        }
    }
}

/// Whether what went wrong may be over in a moment.
fn passes(error: &ChannelError) -> bool {
    match error {
        ChannelError::Refused { status, .. } => matches!(status, 429 | 500 | 502 | 503 | 504),
        ChannelError::Egress(_) => true,
        ChannelError::Invalid(_) => false,
    }
}

/// A random part of the time that may be waited, so that not all come back at once.
fn wait(made: u32) -> Duration {
    let most = WAIT_MS << (made - 1);
    let mut random = [0; 8];
    let part = aws_lc_rs::rand::fill(&mut random).map_or(most, |()| u64::from_le_bytes(random) % most);
    Duration::from_millis(part)
}

/// Why there is no answer. What a server says may repeat the text that it was asked about, and isn't told.
fn said(error: &ChannelError) -> String {
    match error {
        ChannelError::Refused { status, .. } => format!("it answered {status}"),
        ChannelError::Egress(error) => error.to_string(),
        ChannelError::Invalid(why) => why.clone(),
    }
}

impl AskGuardrails for Asker {
    fn ask<'a>(&'a self, asks: &'a [Ask]) -> Boxed<'a, Vec<Result<Vec<u8>, String>>> {
        // Dropped with its caller, it drops what is under way.
        let mut all = JoinSet::new();
        for (i, ask) in asks.iter().enumerate() {
            let one = self.one(ask);
            all.spawn(async move { (i, one.await) });
        }
        let mut came: Vec<Result<Vec<u8>, String>> = asks.iter().map(|_| Err("it was not asked".to_owned())).collect();
        Box::pin(async move {
            while let Some(done) = all.join_next().await {
                if let Ok((i, answer)) = done
                    && let Some(place) = came.get_mut(i)
                {
                    *place = answer;
                }
            }
            came
        })
    }
}
