//! The archive: full segments of the journal in a bucket, under Object Lock in mode `COMPLIANCE`, and back.
//!
//! An object is a segment's bytes, named by the log and the segment's number: whoever has it, and the log's key, can read and verify it without
//! Remit's help. What is archived is recorded (`segment_archived`), and with an archive nothing is erased for its age before that.

use std::sync::PoisonError;
use std::time::Duration;

use bytes::Bytes;
use http::{Method, StatusCode};
use remit_bucket::{Bucket, BucketError, Condition, Options, Put};
use remit_gateway::rfc3339;
use remit_journal::{Eraser, FullSegment, list_full_segments, read_full_segment};
use remit_mcp::canonical::{hex, sha256};
use remit_model::{Archive, Person};
use remit_tlog::leaf_hash;
use serde_json::{Value, json};

use crate::cli::{self, ArchiveOf};
use crate::commands::operator;
use crate::fields::{Refused, away};
use crate::home::Home;
use crate::now_secs;
use crate::output::{Failure, Printer, warn};
use crate::up::World;

/// How long a segment may take on its way.
const TIMEOUT: Duration = Duration::from_mins(5);
/// The largest segment that is read back, in bytes.
const SEGMENT_BYTES_MAX: usize = 1024 * 1024 * 1024;
const DAY_SECS: u64 = 86_400;

impl World {
    /// Archives what is full and not archived. What fails is said once and tried again.
    pub(crate) async fn archive_when_due(&self) {
        let Some(archive) = self.gateway.snapshot().organization.retention.archive.clone() else { return };
        let failed = self.archive(&archive).await.err();
        let mut standing = self.retention.unarchived.lock().unwrap_or_else(PoisonError::into_inner);
        if let (Some(why), true) = (&failed, *standing != failed) {
            warn(&format!("the journal isn't archived: {why}"));
        }
        *standing = failed;
    }

    async fn archive(&self, archive: &Archive) -> Result<(), String> {
        let bucket = self.bucket(archive)?;
        loop {
            let (journal, done) = (self.retention.journal.clone(), self.book.archived());
            let next = move || -> Result<Option<(FullSegment, Vec<u8>)>, String> {
                let full = list_full_segments(&journal).map_err(|error| error.to_string())?;
                let Some(next) = full.into_iter().find(|segment| segment.generation > done) else { return Ok(None) };
                Ok(Some((next, read_full_segment(&journal, next).map_err(|error| error.to_string())?)))
            };
            // A segment isn't written anew while it is read and sent.
            let _turn = self.retention.turn.lock().await;
            let next = tokio::task::spawn_blocking(next).await.map_err(|error| error.to_string())??;
            let Some((segment, bytes)) = next else { return Ok(()) };
            let key = self.key(archive, segment.generation);
            let digest = hex(&sha256(&bytes));
            let size = bytes.len();
            let until_secs = now_secs().saturating_add(u64::from(archive.days) * DAY_SECS);
            let put = Put {
                condition: Condition::Absent,
                content_type: Some("application/octet-stream"),
                retain_until_secs: Some(until_secs),
                ..Put::default()
            };
            let bytes = Bytes::from(bytes);
            match bucket.put(&key, bytes.clone(), &put, now_secs()).await {
                Ok(_) => {}
                // Perhaps our own write, whose answer was lost.
                Err(BucketError::Precondition { .. }) => {
                    let there = bucket.get(&key, None, SEGMENT_BYTES_MAX, now_secs()).await.map_err(|error| error.to_string())?;
                    if there.as_deref() != Some(&*bytes) {
                        return Err(format!("`{key}` is in the bucket already, and holds something else"));
                    }
                }
                Err(error) => return Err(error.to_string()),
            }
            let kept = bucket.head(&key, None, now_secs()).await.map_err(|error| error.to_string())?;
            let Some(retained) = kept.and_then(|kept| kept.retain_until) else {
                return Err(format!("the bucket doesn't retain `{key}`: it must be one with Object Lock"));
            };
            let event = json!({
                "segment": segment.generation, "first_index": segment.first_index, "end_index": segment.end_index, "bucket": bucket.name(),
                "key": key, "bytes": size, "sha256": digest, "retain_until": retained,
            });
            self.recorded("segment_archived", event).await.map_err(|(_, why)| why)?;
        }
    }

    /// How far it is, and what is full.
    pub(crate) async fn archive_standing(&self) -> Result<Value, Refused> {
        let journal = self.retention.journal.clone();
        let full = tokio::task::spawn_blocking(move || list_full_segments(journal));
        let full = full.await.map_err(away)?.map_err(away)?;
        let archived = self.book.archived();
        let one = |segment: &FullSegment| {
            json!({
                "segment": segment.generation, "first_index": segment.first_index, "end_index": segment.end_index,
                "bytes": segment.bytes, "archived": segment.generation <= archived,
            })
        };
        let failed = self.retention.unarchived.lock().unwrap_or_else(PoisonError::into_inner).clone();
        Ok(json!({"archived": archived, "segments": full.iter().map(one).collect::<Vec<_>>(), "failed": failed}))
    }

    /// Puts back what was erased of a segment.
    pub(crate) async fn restore(&self, number: u64, person: &Person, reason: &str) -> Result<Value, Refused> {
        let archive = self.gateway.snapshot().organization.retention.archive.clone();
        let archive =
            archive.ok_or_else(|| (StatusCode::CONFLICT, "the configuration has no `archive` in `retention`".to_owned()))?;
        let bucket = self.bucket(&archive).map_err(away)?;
        let key = self.key(&archive, number);
        let bytes = bucket.get(&key, None, SEGMENT_BYTES_MAX, now_secs()).await.map_err(away)?;
        let bytes = bytes.ok_or_else(|| {
            (StatusCode::NOT_FOUND, format!("segment {number} isn't archived: `remit archive` lists those that are"))
        })?;
        let _turn = self.retention.turn.lock().await;
        let journal = self.retention.journal.clone();
        let restore = move || -> Result<Option<(FullSegment, u64)>, remit_journal::EraseError> {
            let eraser = Eraser::open(journal)?;
            let segment = eraser.full_segments()?.into_iter().find(|segment| segment.generation == number);
            segment.map(|segment| Ok((segment, eraser.restore(segment, &bytes)?))).transpose()
        };
        let restored = tokio::task::spawn_blocking(restore).await.map_err(away)?;
        let restored = restored.map_err(|error| (StatusCode::CONFLICT, error.to_string()))?;
        let restored = restored.ok_or_else(|| (StatusCode::NOT_FOUND, format!("the journal has no full segment {number}")))?;
        let (FullSegment { first_index: first, end_index: end, .. }, restored) = restored;
        let event = json!({
            "segment": number, "first_index": first, "end_index": end, "restored": restored, "reason": reason, "by": person.id,
            "proof": person.proof,
        });
        self.recorded("segment_restored", event).await?;
        Ok(json!({"segment": number, "restored": restored}))
    }

    fn bucket(&self, archive: &Archive) -> Result<Bucket, String> {
        let options = Options::of(&archive.to, self.secret(&archive.to.credentials)?, TIMEOUT);
        Bucket::new(&options, &self.tls).map_err(|error| error.to_string())
    }

    /// A segment's key: by the log, whose own key names it, so that two logs never meet.
    fn key(&self, archive: &Archive, number: u64) -> String {
        let log: String = leaf_hash(self.journal.verifier_key().as_bytes()).to_string().chars().take(16).collect();
        format!("{}{log}/{number:020}.segment", archive.to.prefix)
    }
}

/// `remit archive`.
pub(crate) async fn run(options: &ArchiveOf) -> Result<(), Failure> {
    if let Some(cli::Archive::Restore { segment, because }) = &options.command {
        let request = json!({"segment": segment, "by": because.by, "reason": because.reason});
        let home = Home::existing(&because.common.data)?;
        let told = operator(&home, Method::POST, "/v1/archive/restore", Some(&request)).await?;
        let printer = Printer::new(because.common.json);
        let restored = told.get("restored").and_then(Value::as_u64).unwrap_or_default();
        let line = format!("{restored} entries of segment {segment} are back");
        return printer.line(&if printer.json { told.to_string() } else { line });
    }
    let told = operator(&Home::existing(&options.common.data)?, Method::GET, "/v1/archive", None).await?;
    let printer = Printer::new(options.common.json);
    if printer.json {
        return printer.line(&told.to_string());
    }
    for segment in told.get("segments").and_then(Value::as_array).into_iter().flatten() {
        let number = |key: &str| segment.get(key).and_then(Value::as_u64).unwrap_or_default();
        let state = if segment.get("archived") == Some(&json!(true)) { "archived" } else { "here only" };
        printer.line(&format!(
            "segment {:>6}  entries {} to {}  {:>8} KiB  {state}",
            number("segment"),
            number("first_index"),
            number("end_index").saturating_sub(1),
            number("bytes") / 1024
        ))?;
    }
    match told.get("failed").and_then(Value::as_str) {
        Some(why) => printer.line(&format!("not archived at {}: {why}", rfc3339(crate::now_ms()))),
        None => Ok(()),
    }
}
