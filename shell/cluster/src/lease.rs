//! Who is active, and when that is over.

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use crate::batch::NodeId;
use crate::log::Key;
use crate::objects::{Clock, Condition, Objects, Refusal};

/// The name under which it is sealed: whoever could write another address there would be sent what clients say.
const NAME: &str = "lease";

/// What the lease says. It keeps nodes from disturbing each other, and tells where the active one is; who writes the log is decided by the
/// log alone.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Lease {
    /// The term of its holder.
    pub term: u64,
    /// Its holder, in hexadecimal.
    pub node: String,
    /// Where the other nodes reach the holder.
    pub address: String,
    /// Rises with every renewal.
    pub beat: u64,
    /// Whether the holder gave it back.
    pub released: bool,
}

impl Lease {
    fn open(key: &Key, object: &[u8]) -> Option<Self> {
        serde_json::from_slice(&key.open_as(NAME, object)?).ok()
    }

    fn seal(&self, key: &Key) -> Option<Bytes> {
        key.seal_as(NAME, serde_json::to_vec(self).ok()?)
    }

    fn is_of(&self, node: NodeId) -> bool {
        self.node == node.to_string()
    }
}

/// How the lease is, for one who would take it.
#[derive(Debug)]
pub(crate) enum Look {
    /// Somebody holds it; `None` if nobody can read who.
    Held(Option<Lease>),
    /// Nobody does: it may be taken under this condition, for a term after this one.
    Free(Condition, u64),
}

/// Watches the lease of somebody else. It is over when it stood unchanged for its whole life, by the watcher's own clock.
#[derive(Debug, Default)]
pub(crate) struct Watch {
    seen: Option<(String, u64)>,
}

impl Watch {
    pub(crate) async fn look<O: Objects, C: Clock>(
        &mut self,
        (objects, clock): (&O, &C),
        (name, key): (&str, &Key),
        ttl_ms: u64,
    ) -> Result<Look, Refusal> {
        // It stood like this at the latest when it was asked for.
        let asked_ms = clock.now_ms();
        let Some((bytes, etag)) = objects.get(name).await? else {
            self.seen = None;
            return Ok(Look::Free(Condition::Absent, 0));
        };
        // What nobody can read is waited for like a lease, and then replaced.
        let lease = Lease::open(key, &bytes);
        let since = match &self.seen {
            Some((seen, since)) if *seen == etag => *since,
            _ => {
                // Only what is read from now on says how long it has stood.
                let now = clock.now_ms();
                self.seen = Some((etag.clone(), now));
                now
            }
        };
        let over = asked_ms.saturating_sub(since) >= ttl_ms;
        let released = lease.as_ref().is_some_and(|lease| lease.released);
        let term = lease.as_ref().map_or(0, |lease| lease.term);
        Ok(if over || released { Look::Free(Condition::Is(etag), term) } else { Look::Held(lease) })
    }
}

/// A lease that this node holds.
#[derive(Debug)]
pub(crate) struct Held {
    name: String,
    node: NodeId,
    lease: Lease,
    etag: String,
    ttl_ms: u64,
    /// When the latest renewal that is known to have landed was sent.
    renewed_at_ms: u64,
}

/// How long the holder trusts in it, of its life: those who wait for its end measure from later.
const TRUSTED: (u64, u64) = (3, 4);
/// How often it is renewed within its life.
const RENEWALS: u64 = 5;

impl Held {
    /// Takes the lease for a term; `None` if somebody else was faster.
    pub(crate) async fn take<O: Objects, C: Clock>(
        (objects, clock): (&O, &C),
        (name, key): (&str, &Key),
        (node, address): (NodeId, &str),
        (condition, term): (Condition, u64),
        ttl_ms: u64,
    ) -> Result<Option<Self>, Refusal> {
        let lease = Lease { term, node: node.to_string(), address: address.to_owned(), beat: 0, released: false };
        let renewed_at_ms = clock.now_ms();
        let object = lease.seal(key).ok_or_else(|| Refusal::Unknown("the system gave no random bytes".to_owned()))?;
        let etag = match objects.put(name, object, &condition).await {
            Ok(etag) => etag,
            Err(error @ (Refusal::Condition | Refusal::Unknown(_))) => {
                // It may be one's own write whose answer was lost.
                match objects.get(name).await? {
                    Some((bytes, etag)) if Lease::open(key, &bytes).as_ref() == Some(&lease) => etag,
                    _ => return Err(error),
                }
            }
            Err(error) => return Err(error),
        };
        Ok(Some(Self { name: name.to_owned(), node, lease, etag, ttl_ms, renewed_at_ms }))
    }

    pub(crate) fn term(&self) -> u64 {
        self.lease.term
    }

    /// Whether it is known to hold still.
    pub(crate) fn holds(&self, now_ms: u64) -> bool {
        now_ms.saturating_sub(self.renewed_at_ms) < self.ttl_ms * TRUSTED.0 / TRUSTED.1
    }

    /// How long until it should be renewed.
    pub(crate) fn due_in_ms(&self, now_ms: u64) -> u64 {
        (self.renewed_at_ms + self.ttl_ms / RENEWALS).saturating_sub(now_ms)
    }

    /// Renews it once. `false` if somebody else has it; what can't be told leaves it as it is.
    pub(crate) async fn renew<O: Objects, C: Clock>(&mut self, (objects, clock): (&O, &C), key: &Key) -> bool {
        let lease = Lease { beat: self.lease.beat + 1, ..self.lease.clone() };
        let sent_ms = clock.now_ms();
        let Some(object) = lease.seal(key) else { return true };
        match objects.put(&self.name, object, &Condition::Is(self.etag.clone())).await {
            Ok(etag) => {
                (self.lease, self.etag, self.renewed_at_ms) = (lease, etag, sent_ms);
                true
            }
            Err(Refusal::Condition) => match objects.get(&self.name).await {
                // An earlier renewal whose answer was lost: this one goes on from it.
                Ok(Some((bytes, etag))) => match Lease::open(key, &bytes).filter(|found| found.is_of(self.node)) {
                    Some(found) => {
                        (self.lease.beat, self.etag) = (found.beat, etag);
                        true
                    }
                    None => false,
                },
                Ok(None) => false,
                Err(_) => true,
            },
            Err(Refusal::Busy | Refusal::Unknown(_) | Refusal::Refused(_)) => true,
        }
    }

    /// Gives it back, so that nobody has to wait for its end.
    pub(crate) async fn release<O: Objects>(&mut self, objects: &O, key: &Key) {
        let lease = Lease { beat: self.lease.beat + 1, released: true, ..self.lease.clone() };
        if let Some(object) = lease.seal(key) {
            let _ = objects.put(&self.name, object, &Condition::Is(self.etag.clone())).await;
        }
    }
}
