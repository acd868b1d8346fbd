//! A record as a line of JSON, and many of them as one text.

use std::io::Write as _;

use flate2::Compression;
use flate2::write::GzEncoder;
use remit_export::{Record, cloudtrail, ocsf};
use serde_json::Value;

/// In whose words a record is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// OCSF, API Activity.
    Ocsf,
    /// Shaped like CloudTrail's records.
    CloudTrail,
}

impl Format {
    /// A record in these words.
    pub fn tell(self, record: &Record) -> Value {
        match self {
            Self::Ocsf => ocsf(record),
            Self::CloudTrail => cloudtrail(record),
        }
    }
}

/// Records as JSON Lines: one object a line.
pub fn lines(format: Format, records: &[Record]) -> String {
    records.iter().map(|record| format!("{}\n", format.tell(record))).collect()
}

/// A text, compressed (RFC 1952). The same text gives the same bytes.
pub fn gzip(text: &[u8]) -> std::io::Result<Vec<u8>> {
    let mut encoder = GzEncoder::new(Vec::with_capacity(text.len() / 8), Compression::default());
    encoder.write_all(text)?;
    encoder.finish()
}
