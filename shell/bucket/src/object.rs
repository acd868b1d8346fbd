//! One object: written, read, looked at, held, deleted.

use bytes::Bytes;
use http::{Method, StatusCode};
use remit_identity::sigv4;

use crate::request::{Answer, Asked, checksum};
use crate::{Bucket, BucketError, OBJECT_BYTES_MAX};

/// What must be so for an object to be written ("Conditional requests", Amazon S3 User Guide).
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Condition {
    /// Nothing: what is there is replaced.
    #[default]
    None,
    /// There is no object of this key (`If-None-Match: *`).
    Absent,
    /// The object is the one with this entity tag (`If-Match`).
    Is(String),
}

/// How an object is written.
#[derive(Debug, Clone, Default)]
pub struct Put {
    /// What must be so.
    pub condition: Condition,
    /// `Content-Type`.
    pub content_type: Option<&'static str>,
    /// `Content-Encoding`, such as `gzip`.
    pub content_encoding: Option<&'static str>,
    /// Object Lock in mode `COMPLIANCE`: nobody, the account's root included, deletes this version before this time. The bucket must have been
    /// made with Object Lock.
    pub retain_until_secs: Option<u64>,
    /// Object Lock's legal hold: nobody deletes this version while it is on.
    pub legal_hold: bool,
}

/// What was written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Written {
    /// The entity tag.
    pub etag: String,
    /// The version, in a bucket that keeps versions.
    pub version: Option<String>,
}

/// What is known of an object without reading it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Head {
    /// Its length in bytes.
    pub bytes: u64,
    /// Its entity tag.
    pub etag: String,
    /// The version, in a bucket that keeps versions.
    pub version: Option<String>,
    /// Until when it is retained, as the bucket writes it, in mode `COMPLIANCE`.
    pub retain_until: Option<String>,
    /// Whether there is a legal hold on it.
    pub legal_hold: bool,
}

impl Bucket {
    /// Writes an object whole or not at all (`PutObject`). Its SHA-256 goes with it, so that the bucket takes nothing else.
    pub async fn put(&self, key: &str, body: Bytes, put: &Put, now_secs: u64) -> Result<Written, BucketError> {
        if body.len() > OBJECT_BYTES_MAX {
            return Err(BucketError::Invalid(format!("an object of {} bytes is larger than {OBJECT_BYTES_MAX}", body.len())));
        }
        let mut asked = Asked::new(Method::PUT, Some(key));
        // Object Lock wants a digest of the body, and any of the checksums will do ("Object Lock considerations").
        asked.headers.push(("x-amz-checksum-sha256", checksum(&body)));
        match &put.condition {
            Condition::None => {}
            Condition::Absent => asked.headers.push(("if-none-match", "*".to_owned())),
            Condition::Is(etag) => asked.headers.push(("if-match", etag.clone())),
        }
        asked.headers.extend(put.content_type.map(|kind| ("content-type", kind.to_owned())));
        asked.headers.extend(put.content_encoding.map(|encoding| ("content-encoding", encoding.to_owned())));
        if let Some(until) = put.retain_until_secs {
            asked.headers.push(("x-amz-object-lock-mode", "COMPLIANCE".to_owned()));
            asked.headers.push(("x-amz-object-lock-retain-until-date", sigv4::date_time(until)));
        }
        if put.legal_hold {
            asked.headers.push(("x-amz-object-lock-legal-hold", "ON".to_owned()));
        }
        asked.body = body;
        let answer = self.ask(asked, now_secs).await?;
        match answer.status {
            status if status.is_success() => {
                let etag = answer.header("etag").unwrap_or_default().to_owned();
                Ok(Written { etag, version: answer.header("x-amz-version-id").map(str::to_owned) })
            }
            StatusCode::PRECONDITION_FAILED => Err(BucketError::Precondition { key: key.to_owned() }),
            StatusCode::CONFLICT if put.condition != Condition::None => Err(BucketError::Conflict { key: key.to_owned() }),
            _ => Err(answer.refused()),
        }
    }

    /// Reads an object of at most `bytes_max` bytes (`GetObject`); `None` if there is none.
    pub async fn get(
        &self,
        key: &str,
        version: Option<&str>,
        bytes_max: usize,
        now_secs: u64,
    ) -> Result<Option<Bytes>, BucketError> {
        let mut asked = Asked::new(Method::GET, Some(key));
        asked.query.extend(version.map(|version| ("versionId", version)));
        asked.bytes_max = bytes_max.min(OBJECT_BYTES_MAX);
        let answer = self.ask(asked, now_secs).await?;
        Ok(found(answer)?.map(|answer| answer.body))
    }

    /// Reads an object of at most `bytes_max` bytes with its entity tag (`GetObject`); `None` if there is none.
    pub async fn get_tagged(&self, key: &str, bytes_max: usize, now_secs: u64) -> Result<Option<(Bytes, String)>, BucketError> {
        let mut asked = Asked::new(Method::GET, Some(key));
        asked.bytes_max = bytes_max.min(OBJECT_BYTES_MAX);
        let Some(answer) = found(self.ask(asked, now_secs).await?)? else { return Ok(None) };
        match answer.header("etag").map(str::to_owned) {
            Some(etag) => Ok(Some((answer.body, etag))),
            None => Err(BucketError::Answer("it says no entity tag of the object".to_owned())),
        }
    }

    /// Looks at an object (`HeadObject`); `None` if there is none.
    pub async fn head(&self, key: &str, version: Option<&str>, now_secs: u64) -> Result<Option<Head>, BucketError> {
        let mut asked = Asked::new(Method::HEAD, Some(key));
        asked.query.extend(version.map(|version| ("versionId", version)));
        let Some(answer) = found(self.ask(asked, now_secs).await?)? else { return Ok(None) };
        let text = |name: &str| answer.header(name).map(str::to_owned);
        let compliance = answer.header("x-amz-object-lock-mode") == Some("COMPLIANCE");
        let bytes = answer.header("content-length").and_then(|length| length.parse().ok());
        Ok(Some(Head {
            bytes: bytes.ok_or_else(|| BucketError::Answer("it says no length of the object".to_owned()))?,
            etag: text("etag").unwrap_or_default(),
            version: text("x-amz-version-id"),
            retain_until: text("x-amz-object-lock-retain-until-date").filter(|_| compliance),
            legal_hold: answer.header("x-amz-object-lock-legal-hold") == Some("ON"),
        }))
    }

    /// Deletes an object (`DeleteObject`): in a bucket that keeps versions, without `version`, a delete marker hides it and nothing is lost;
    /// with it that version is gone, unless Object Lock keeps it: then the bucket refuses with `AccessDenied`.
    pub async fn delete(&self, key: &str, version: Option<&str>, now_secs: u64) -> Result<(), BucketError> {
        let mut asked = Asked::new(Method::DELETE, Some(key));
        asked.query.extend(version.map(|version| ("versionId", version)));
        let answer = self.ask(asked, now_secs).await?;
        if answer.status.is_success() { Ok(()) } else { Err(answer.refused()) }
    }

    /// Puts a legal hold on a version of an object, or takes it away (`PutObjectLegalHold`).
    pub async fn set_legal_hold(&self, key: &str, version: Option<&str>, on: bool, now_secs: u64) -> Result<(), BucketError> {
        let status = if on { "ON" } else { "OFF" };
        let body = format!("<LegalHold xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\"><Status>{status}</Status></LegalHold>");
        self.set(key, version, "legal-hold", body, now_secs).await
    }

    /// Retains a version of an object until a later time than before, in mode `COMPLIANCE` (`PutObjectRetention`): it can't be shortened.
    pub async fn set_retention(
        &self,
        key: &str,
        version: Option<&str>,
        until_secs: u64,
        now_secs: u64,
    ) -> Result<(), BucketError> {
        let until = sigv4::date_time(until_secs);
        let body = format!(
            "<Retention xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\"><Mode>COMPLIANCE</Mode><RetainUntilDate>{until}</RetainUntilDate></Retention>"
        );
        self.set(key, version, "retention", body, now_secs).await
    }

    async fn set(&self, key: &str, version: Option<&str>, what: &str, body: String, now_secs: u64) -> Result<(), BucketError> {
        let mut asked = Asked::new(Method::PUT, Some(key));
        asked.query.push((what, ""));
        asked.query.extend(version.map(|version| ("versionId", version)));
        asked.headers.push(("x-amz-checksum-sha256", checksum(body.as_bytes())));
        asked.headers.push(("content-type", "application/xml".to_owned()));
        asked.body = body.into();
        let answer = self.ask(asked, now_secs).await?;
        if answer.status.is_success() { Ok(()) } else { Err(answer.refused()) }
    }
}

/// The answer about an object that is there.
fn found(answer: Answer) -> Result<Option<Answer>, BucketError> {
    match answer.status {
        status if status.is_success() => Ok(Some(answer)),
        StatusCode::NOT_FOUND => match answer.refused() {
            // That the bucket itself is missing is no word about the object. `HEAD` says no code.
            error @ BucketError::Refused { .. } if matches!(&error, BucketError::Refused { code, .. } if code == "NoSuchBucket") => {
                Err(error)
            }
            _ => Ok(None),
        },
        _ => Err(answer.refused()),
    }
}
