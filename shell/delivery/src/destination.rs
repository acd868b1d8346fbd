//! One batch for one destination.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::header::{AUTHORIZATION, CONTENT_TYPE, HeaderName, HeaderValue};
use http::{Request, StatusCode};
use http_body_util::Full;
use remit_bucket::{Bucket, Options, Put};
use remit_egress::fetch;
use remit_export::Record;
use remit_model::{Delivery, DeliveryFormat, Destination, SecretRef};
use rustls::ClientConfig;
use zeroize::Zeroizing;

use crate::{DeliveryError, Format, LakeFile, Partition, gzip, lines, syslog};

/// How long one request may take.
const TIMEOUT: Duration = Duration::from_secs(30);
/// How long an object may take to be written.
const OBJECT_TIMEOUT: Duration = Duration::from_mins(2);

/// What a secret is, as it is now: a rotated one is in use from the next batch on.
pub type Secrets = Arc<dyn Fn(&SecretRef) -> Result<Zeroizing<String>, String> + Send + Sync>;

/// How batches reach their destinations.
#[derive(Clone)]
pub struct Way {
    /// What is trusted.
    pub tls: Arc<ClientConfig>,
    /// Where secrets are.
    pub secrets: Secrets,
    /// The name of this machine in syslog messages.
    pub hostname: String,
}

impl std::fmt::Debug for Way {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Way").field("hostname", &self.hostname).finish_non_exhaustive()
    }
}

/// The words of a delivery's lines.
fn words(format: DeliveryFormat) -> Format {
    match format {
        DeliveryFormat::CloudTrail => Format::CloudTrail,
        DeliveryFormat::Ocsf | DeliveryFormat::Parquet => Format::Ocsf,
    }
}

impl Way {
    fn secret(&self, reference: &SecretRef) -> Result<Zeroizing<String>, DeliveryError> {
        (self.secrets)(reference).map_err(DeliveryError::Secret)
    }

    /// Sends a batch whose reading began at entry `from`. When this returns well, the destination has taken all of it.
    pub(crate) async fn send(
        &self,
        delivery: &Delivery,
        from: u64,
        records: &[Record],
        now_secs: u64,
    ) -> Result<(), DeliveryError> {
        let format = words(delivery.format);
        match &delivery.to {
            Destination::Syslog { address, network } => {
                let frames = syslog::frames(format, &syslog::hostname(&self.hostname), records);
                syslog::send(&self.tls, address, *network, &frames).await
            }
            Destination::Https { url, network, header, array } => {
                let (kind, body) = if *array {
                    let told: Vec<String> = records.iter().map(|record| format.tell(record).to_string()).collect();
                    ("application/json", format!("[{}]", told.join(",")))
                } else {
                    ("application/x-ndjson", lines(format, records))
                };
                let mut request = Request::post("/").header(CONTENT_TYPE, kind).body(Full::new(Bytes::from(body)))?;
                if let Some((name, secret)) = header {
                    let secret = self.secret(secret)?;
                    let bearer = name == AUTHORIZATION.as_str();
                    let text =
                        Zeroizing::new(if bearer { format!("Bearer {}", secret.trim()) } else { secret.trim().to_owned() });
                    let mut value = HeaderValue::from_str(&text)
                        .map_err(|_| DeliveryError::Secret("the secret holds what a header can't hold".to_owned()))?;
                    value.set_sensitive(true);
                    let name = HeaderName::try_from(name.as_str()).map_err(http::Error::from)?;
                    request.headers_mut().insert(name, value);
                }
                let answer = fetch(url, *network, &self.tls, TIMEOUT, request).await?;
                match answer.status() {
                    status if status.is_success() => Ok(()),
                    StatusCode::PAYLOAD_TOO_LARGE => Err(DeliveryError::TooLarge),
                    status => {
                        let said = String::from_utf8_lossy(answer.body()).chars().take(200).filter(|c| !c.is_control()).collect();
                        Err(DeliveryError::Refused { status: status.as_u16(), said })
                    }
                }
            }
            Destination::S3(to) => {
                let bucket = Bucket::new(&Options::of(to, self.secret(&to.credentials)?, OBJECT_TIMEOUT), &self.tls)?;
                for (path, body, put) in objects(delivery.format, from, records)? {
                    bucket.put(&format!("{}{path}", to.prefix), body, &put, now_secs).await?;
                }
                Ok(())
            }
        }
    }
}

/// A batch as objects. They are named by the entry at which reading began: a batch that is sent again, after an answer was lost, begins at
/// the same one and replaces them.
fn objects(format: DeliveryFormat, from: u64, records: &[Record]) -> Result<Vec<(String, Bytes, Put)>, DeliveryError> {
    if format == DeliveryFormat::Parquet {
        let mut files: BTreeMap<Partition, LakeFile<Vec<u8>>> = BTreeMap::new();
        for record in records {
            let partition = Partition::of(record);
            if !files.contains_key(&partition) {
                files.insert(partition.clone(), LakeFile::new(Vec::new())?);
            }
            if let Some(file) = files.get_mut(&partition) {
                file.push(record)?;
            }
        }
        let put = Put { content_type: Some("application/vnd.apache.parquet"), ..Put::default() };
        let object = |(partition, file): (Partition, LakeFile<Vec<u8>>)| {
            Ok((partition.path(from), Bytes::from(file.finish()?), put.clone()))
        };
        return files.into_iter().map(object).collect();
    }
    let Some(first) = records.first() else { return Ok(Vec::new()) };
    let day = Partition::of(first).folders();
    let body = gzip(lines(words(format), records).as_bytes()).map_err(DeliveryError::Gzip)?;
    let put = Put { content_type: Some("application/x-ndjson"), content_encoding: Some("gzip"), ..Put::default() };
    Ok(vec![(format!("{day}remit-{from:020}.ndjson.gz"), Bytes::from(body), put)])
}
