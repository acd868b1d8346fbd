//! Several nodes, one log. Of the nodes one is active and decides; the others stand by with everything that it wrote, and one of them takes
//! over when it is gone. All that they share is a bucket that keeps its conditions (`If-None-Match`, `If-Match`).
//!
//! # The log
//!
//! `<prefix>log/<number>` is a batch: numbered from 1 without gaps, written once, never changed. Whoever creates the object of a number
//! has written it, and nobody else can: that alone decides what is in the log, without clocks and without trust in who holds the lease. A
//! batch names its term, its node and the digest of the object before it, and is sealed under a key of the cluster: who can write to
//! the bucket and doesn't have the key can hide the end of the log, and nothing else.
//!
//! # Who writes
//!
//! `<prefix>lease` says who is active, and is kept fresh by it. Who finds it unchanged for its whole life takes the next term, reads the log
//! to its end, and writes a batch that begins its term. From then on whoever was active before finds the next number taken: it is
//! fenced, and stops for good. The lease only keeps nodes from disturbing each other; two that both believe to hold it still can't
//! both write.
//!
//! # What an answer that got lost means
//!
//! A write whose answer didn't come is sent again, byte for byte. If the object is there by then it is read back and compared: it may be
//! one's own. A conflict (409) says nothing, and is tried again. What is never known to have landed is never acknowledged, and the node
//! ends: it starts again as one that stands by, and finds in the log what became of it.
//!
//! # Where the log begins
//!
//! The base of number 0 is what the cluster begins with: nothing, or what a node that was alone has. It is created once, before the first batch,
//! so that nobody begins with anything else. Now and then the active node saves another: its files as of a place. A new node begins with the newest, and what lies before the last two is
//! deleted when an hour has passed.
//!
//! | file | what |
//! |---|---|
//! | `base.rs` | files as of a place, and what nobody needs any more |
//! | `batch.rs` | what is in the log, and how it lies in an object |
//! | `lease.rs` | who is active, and when that is over |
//! | `log.rs` | reading in order, writing once |
//! | `join.rs` | standing by, and taking over |
//! | `active.rs` | the active node's thread: what waits goes into one batch |
//! | `objects.rs` | the bucket and the clock, as traits: a test puts its own world there |

mod active;
mod base;
mod batch;
mod join;
mod lease;
mod log;
mod objects;

pub use active::Active;
pub use base::{BaseError, BaseFile, Pruner, newest, save};
pub use batch::{Batch, BatchError, CONTENT_BYTES_MAX, Content, Entries, File, NodeId};
pub use join::{JoinError, Options, Replica, join};
pub use lease::Lease;
pub use log::{Broken, Key, Place, Writer, WriterError, objects_of};
pub use objects::{BucketObjects, Clock, Condition, Objects, Refusal, SystemClock};
