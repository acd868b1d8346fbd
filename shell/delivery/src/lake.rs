//! Records as rows of Parquet files, in the layout of Amazon Security Lake ("Collecting data from custom sources", Amazon Security Lake User
//! Guide): `region=…/accountId=…/eventDay=YYYYMMDD/…parquet`, each file of one class of OCSF, its rows shaped like the event.

use std::io::Write;
use std::sync::Arc;

use parquet::basic::Compression;
use parquet::errors::ParquetError;
use parquet::file::metadata::KeyValue;
use parquet::file::properties::WriterProperties;
use parquet::file::writer::SerializedFileWriter;
use parquet::schema::parser::parse_message_type;
use parquet::schema::types::TypePtr;
use remit_export::{OCSF_VERSION, Record, ocsf};

use crate::shred::{Column, columns, row};

/// How many rows a row group has.
const GROUP_ROWS: usize = 10_000;
/// The account of what belongs to none: what Security Lake's guide proposes for sources outside of AWS.
const NO_ACCOUNT: &str = "external";

/// Why a file can't be written.
#[derive(Debug, thiserror::Error)]
#[error("the Parquet file can't be written: {0}")]
pub struct LakeError(#[from] ParquetError);

/// The partition that a record belongs to.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Partition {
    region: String,
    account: String,
    day: String,
}

impl Partition {
    /// The partition of a record: its day is the one of the decision, in UTC.
    pub fn of(record: &Record) -> Self {
        let time = record.decision.entry.get("time").and_then(serde_json::Value::as_str).unwrap_or_default();
        Self {
            region: record.region.clone(),
            account: record.account.clone().unwrap_or_else(|| NO_ACCOUNT.to_owned()),
            day: time.chars().take(10).filter(char::is_ascii_digit).collect(),
        }
    }

    /// The day's folders, as plain years, months and days: `2026/01/31/`.
    pub(crate) fn folders(&self) -> String {
        let part = |range: std::ops::Range<usize>| self.day.get(range).unwrap_or("0");
        format!("{}/{}/{}/", part(0..4), part(4..6), part(6..8))
    }

    /// The path of a file in it that holds records from this index of the log on.
    pub fn path(&self, first_index: u64) -> String {
        let Self { region, account, day } = self;
        format!("region={region}/accountId={account}/eventDay={day}/remit-{first_index:020}.parquet")
    }
}

/// The schema of the rows, as Parquet writes it.
pub fn parquet_schema() -> Result<TypePtr, LakeError> {
    Ok(Arc::new(parse_message_type(MESSAGE)?))
}

/// A Parquet file that rows are written to.
pub struct LakeFile<W: Write + Send> {
    writer: SerializedFileWriter<W>,
    schema: TypePtr,
    columns: Vec<Column>,
    rows: usize,
}

impl<W: Write + Send> std::fmt::Debug for LakeFile<W> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("LakeFile").field("rows", &self.rows).finish_non_exhaustive()
    }
}

impl<W: Write + Send> LakeFile<W> {
    /// Begins a file.
    pub fn new(to: W) -> Result<Self, LakeError> {
        let schema = parquet_schema()?;
        let said = vec![KeyValue::new("ocsf.version".to_owned(), OCSF_VERSION.to_owned())];
        let properties = WriterProperties::builder()
            .set_compression(Compression::GZIP(parquet::basic::GzipLevel::default()))
            .set_created_by("remit".to_owned())
            .set_key_value_metadata(Some(said));
        let writer = SerializedFileWriter::new(to, Arc::clone(&schema), Arc::new(properties.build()))?;
        let columns = columns(&schema)?;
        Ok(Self { writer, schema, columns, rows: 0 })
    }

    /// Writes a record as a row.
    pub fn push(&mut self, record: &Record) -> Result<(), LakeError> {
        row(&self.schema, &ocsf(record), &mut self.columns)?;
        self.rows += 1;
        if self.rows >= GROUP_ROWS { self.flush() } else { Ok(()) }
    }

    fn flush(&mut self) -> Result<(), LakeError> {
        if self.rows == 0 {
            return Ok(());
        }
        let mut group = self.writer.next_row_group()?;
        for column in &mut self.columns {
            let Some(mut writer) = group.next_column()? else { break };
            column.flush(&mut writer)?;
            writer.close()?;
        }
        group.close()?;
        self.rows = 0;
        Ok(())
    }

    /// Ends the file; what it was written to.
    pub fn finish(mut self) -> Result<W, LakeError> {
        self.flush()?;
        Ok(self.writer.into_inner()?)
    }
}

/// What [`ocsf`] tells, as columns. Times are milliseconds since the epoch, as OCSF's `timestamp_t` is.
const MESSAGE: &str = "message ocsf_api_activity {
  optional int32 activity_id; optional binary activity_name (STRING);
  optional int32 action_id; optional binary action (STRING);
  optional int32 disposition_id; optional binary disposition (STRING);
  optional int32 status_id; optional binary status (STRING);
  optional binary status_code (STRING); optional binary status_detail (STRING);
  optional int32 severity_id; optional binary severity (STRING);
  optional int32 category_uid; optional binary category_name (STRING);
  optional int32 class_uid; optional binary class_name (STRING);
  optional int64 type_uid; optional binary type_name (STRING);
  optional int64 time; optional int64 start_time; optional int64 end_time; optional int64 duration;
  optional int32 risk_level_id; optional binary risk_level (STRING);
  optional binary message (STRING);
  optional group actor {
    optional binary app_name (STRING); optional binary app_uid (STRING);
    optional group user {
      optional binary uid (STRING); optional binary name (STRING); optional int32 type_id; optional binary type (STRING);
      optional binary uid_alt (STRING);
    }
    optional group session { optional binary uid (STRING); optional binary credential_uid (STRING); }
  }
  optional group api {
    optional binary operation (STRING); optional binary version (STRING);
    optional group request { optional binary uid (STRING); }
    optional group service { optional binary name (STRING); optional binary uid (STRING); }
    optional group response {
      optional binary error (STRING); optional binary error_message (STRING); optional binary message (STRING);
    }
  }
  optional group src_endpoint { optional binary ip (STRING); optional binary name (STRING); }
  optional group resources (LIST) { repeated group list { optional group element {
    optional binary name (STRING); optional binary type (STRING); optional int32 role_id; optional binary role (STRING);
    optional binary region (STRING); optional binary uid (STRING); optional binary version (STRING);
    optional group labels (LIST) { repeated group list { optional binary element (STRING); } }
  } } }
  optional group authorizations (LIST) { repeated group list { optional group element {
    optional binary decision (STRING);
    optional group policy { optional binary name (STRING); optional binary type (STRING); optional binary uid (STRING); }
  } } }
  optional group policy {
    optional binary name (STRING); optional binary type (STRING); optional binary uid (STRING); optional boolean is_applied;
  }
  optional group message_context {
    optional int32 ai_role_id; optional binary ai_role (STRING); optional binary uid (STRING);
    optional group application { optional binary name (STRING); optional binary uid (STRING); }
  }
  optional group trace { optional binary uid (STRING); }
  optional group cloud {
    optional binary provider (STRING); optional binary region (STRING);
    optional group account { optional binary uid (STRING); optional int32 type_id; optional binary type (STRING); }
  }
  optional group metadata {
    optional binary version (STRING); optional binary uid (STRING); optional binary original_event_uid (STRING);
    optional binary correlation_uid (STRING);
    optional group profiles (LIST) { repeated group list { optional binary element (STRING); } }
    optional group product { optional binary name (STRING); optional binary vendor_name (STRING); }
    optional binary log_name (STRING); optional binary log_provider (STRING); optional binary log_version (STRING);
    optional int64 sequence; optional int64 logged_time;
  }
  optional group unmapped {
    optional group log {
      optional binary origin (STRING); optional int64 index; optional binary leaf_hash (STRING);
      optional binary previous_leaf_hash (STRING); optional int64 outcome_index; optional binary outcome_leaf_hash (STRING);
    }
    optional group attestation {
      optional binary uid (STRING); optional binary chain_uid (STRING);
      optional group fingerprint { optional int32 algorithm_id; optional binary algorithm (STRING); optional binary value (STRING); }
    }
    optional group remit {
      optional binary verdict (STRING); optional binary reason (STRING); optional binary risk (STRING); optional binary class (STRING);
      optional binary arguments_commitment (STRING); optional binary policy_flip (STRING); optional binary source_identity (STRING);
      optional binary integrity (STRING); optional binary confidentiality (STRING); optional int64 configuration;
      optional binary result_commitment (STRING); optional int64 result_bytes; optional int64 upstream_us;
    }
  }
}";
