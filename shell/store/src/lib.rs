//! The embedded store: immutable, versioned records with compare-and-swap, and sealed secrets.
//!
//! [`Store`] is the whole contract. [`SqliteStore`] keeps it in one file, [`MemoryStore`] in memory, [`FaultyStore`] breaks
//! another one on purpose, and [`conformance`] holds all of them, and every later one, to the same contract.

mod conformance;
mod contract;
mod faulty;
mod key;
mod memory;
mod replicate;
mod sqlite;

pub use conformance::conformance;
pub use contract::{Note, Record, SecretInfo, Store, StoreError, Write, check_secret};
pub use faulty::FaultyStore;
pub use key::{KeyError, MasterKey};
pub use memory::MemoryStore;
pub use replicate::Replicate;
pub use sqlite::SqliteStore;
