//! Exchanges with servers of the session era that wait for a client of 2026-07-28 to come back with answers.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use crate::relay::{Held, Sent};
use crate::session::lock;
use crate::upstream::{Incoming, Upstream};

/// How many exchanges wait for their client's next round.
const PARKED_MAX: usize = 10_000;
/// How many of them may be one principal's.
const PARKED_OWN_MAX: usize = 64;

/// An exchange with a server of the session era that waits for a client of 2026-07-28 to come back.
#[derive(Debug)]
pub(crate) struct Parked {
    pub(crate) sent: Sent,
    pub(crate) incoming: Incoming,
    /// The server's request by the key under which the client was asked: its id there.
    pub(crate) asked: HashMap<String, String>,
    pub(crate) upstream: Arc<Upstream>,
    pub(crate) until_secs: u64,
    /// Whose it is, and for which request: nobody else's state opens it.
    pub(crate) who: String,
    pub(crate) what: [u8; 32],
    /// What the call holds goes on being held.
    #[allow(dead_code, reason = "held, not read")]
    pub(crate) held: Held,
}

/// All of them.
#[derive(Debug, Default)]
pub(crate) struct ParkingLot {
    all: Mutex<HashMap<u64, Parked>>,
}

impl ParkingLot {
    pub(crate) fn park(&self, parked: Parked, now_secs: u64) -> Option<u64> {
        // Random, so that a state of another life of this process names nobody's exchange.
        let number = u64::from_be_bytes(crate::clock::random::<8>()?);
        self.sweep(now_secs);
        let mut all = lock(&self.all);
        let own = all.values().filter(|waits| waits.who == parked.who).count();
        if all.len() >= PARKED_MAX || own >= PARKED_OWN_MAX || all.contains_key(&number) {
            return None;
        }
        all.insert(number, parked);
        Some(number)
    }

    pub(crate) fn take(&self, number: u64, who: &str, what: &[u8; 32]) -> Option<Parked> {
        let mut all = lock(&self.all);
        all.get(&number).filter(|waits| waits.who == who && waits.what == *what)?;
        all.remove(&number)
    }

    /// Ends exchanges whose client didn't come back.
    pub(crate) fn sweep(&self, now_secs: u64) {
        lock(&self.all).retain(|_, waits| waits.until_secs > now_secs);
    }
}
