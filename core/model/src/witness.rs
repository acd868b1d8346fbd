//! Who watches over the log: witnesses that cosign its checkpoints.

use crate::Network;

/// A witness (C2SP tlog-witness).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Witness {
    /// The submission prefix of its interface.
    pub url: String,
    /// Which addresses its name may resolve to.
    pub network: Network,
    /// Its public key, as a vkey of the type for cosignatures.
    pub key: String,
}

/// How the log is witnessed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Witnessing {
    /// The witnesses, each by another key.
    pub witnesses: Vec<Witness>,
    /// How many of them must have cosigned a checkpoint for it to count as witnessed.
    pub quorum: usize,
    /// How often a new checkpoint is brought to them.
    pub interval_secs: u64,
}
