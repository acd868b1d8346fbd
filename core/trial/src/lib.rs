//! A configuration tried offline, as the running gateway would decide by it: nothing is started, called or recorded.
//!
//! - [`lock`]: the accepted definitions of servers' tools as a file beside the configuration.

pub mod lock;

pub use lock::Lock;
