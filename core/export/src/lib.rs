//! Recorded decisions in the words of others: OCSF API Activity for SIEMs and data lakes, CloudTrail records for what reads those.
//!
//! A [`Record`] is one decision with how it ended, and says where it stands in the log: the log's origin, the entry's index, its leaf hash.
//! [`Pairing`] makes records of entries as they come; [`ocsf`] and [`cloudtrail`] tell them. Nothing that an entry keeps sealed is told, and
//! entries hold no arguments, no results and no secrets.

mod cloudtrail;
mod filter;
mod ocsf;
mod pair;
mod record;

pub use cloudtrail::cloudtrail;
pub use filter::Filter;
pub use ocsf::{OCSF_VERSION, ocsf};
pub use pair::{OPEN_MAX, Open, Pairing};
pub use record::{Leaf, Place, Places, Record};
