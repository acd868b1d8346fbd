//! Records of the journal, written as files and delivered elsewhere.
//!
//! | file | what |
//! |---|---|
//! | `format.rs` | a record as a line: OCSF or CloudTrail; many of them as one text, plain or compressed |
//! | `lake.rs` | a record as a row: Parquet files in Amazon Security Lake's layout |
//! | `shred.rs` | JSON values as columns of Parquet: definition and repetition levels |
//! | `deliver.rs` | one thread for each delivery: reads the journal's files, sends batches, moves the cursor |
//! | `cursor.rs` | how far a delivery is, on disk |
//! | `destination.rs` | one batch for one destination: HTTPS, S3 |
//! | `syslog.rs` | one batch for a syslog receiver over TLS |

mod cursor;
mod deliver;
mod destination;
mod format;
mod lake;
mod shred;
mod syslog;

use std::io;
use std::path::PathBuf;

pub use cursor::{Cursor, Kept, Trouble};
pub use deliver::{Deliveries, Standing};
pub use destination::{Secrets, Way};
pub use format::{Format, gzip, lines};
pub use lake::{LakeError, LakeFile, Partition, parquet_schema};

/// Why a delivery doesn't go on. Nothing of a secret is in it.
#[derive(Debug, thiserror::Error)]
pub enum DeliveryError {
    /// The destination could not be reached, or its answer not be read.
    #[error("{0}")]
    Egress(#[from] remit_egress::EgressError),
    /// The bucket didn't take it.
    #[error("{0}")]
    Bucket(#[from] remit_bucket::BucketError),
    /// The stream ended before everything was taken.
    #[error("`{to}` ended the connection before it had taken everything: {source}")]
    Broke {
        /// The destination.
        to: String,
        /// What the system said.
        source: io::Error,
    },
    /// The collector refused.
    #[error("it answered {status}: {said}")]
    Refused {
        /// The HTTP status.
        status: u16,
        /// The beginning of what it said.
        said: String,
    },
    /// The collector takes no batch of this size (413): the next one is half as large.
    #[error("it answered 413: the batch is too large for it")]
    TooLarge,
    /// A request can't be made of it.
    #[error("the request can't be made: {0}")]
    Http(#[from] http::Error),
    /// The secret isn't there.
    #[error("its secret can't be used: {0}")]
    Secret(String),
    /// The batch can't be written as Parquet.
    #[error("{0}")]
    Lake(#[from] LakeError),
    /// The batch can't be compressed.
    #[error("the batch can't be compressed: {0}")]
    Gzip(io::Error),
    /// The journal can't be read.
    #[error("the journal can't be read: {0}")]
    Journal(#[from] remit_journal::ReadError),
    /// The journal is another one, or was restored from before.
    #[error(
        "the journal has no entry, or another one, before {next}: it is not the one that was delivered; remove the cursor to deliver it from its beginning"
    )]
    Foreign {
        /// The index that the delivery is at.
        next: u64,
    },
    /// How far it is can't be read or kept.
    #[error("`{}`: {source}", path.display())]
    Cursor {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// A thread can't be started.
    #[error("the delivery can't be started: {0}")]
    Thread(io::Error),
}
