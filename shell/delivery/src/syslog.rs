//! Syslog over TLS: messages as RFC 5424 has them, framed by octet counting as RFC 5425, section 4.3, has it.
//!
//! A message's text is JSON in ASCII, so that it needs no byte order mark (RFC 5424, section 6.4), and its structured data say where the
//! entry stands in the log. RFC 5425 has no acknowledgement. What stands in for one: a batch is a connection of its own, which is closed in
//! order, and counts as taken once the receiver has closed it in order too, which it does when it has read everything before.

use std::fmt::Write as _;
use std::sync::Arc;
use std::time::Duration;

use remit_egress::{EgressError, connect_tls};
use remit_export::Record;
use remit_model::Network;
use rustls::ClientConfig;
use serde_json::Value;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use crate::{DeliveryError, Format};

/// Facility 13, log audit (RFC 5424, table 1).
const FACILITY: u8 = 13;
/// The id of the structured data. 32473 is the number for examples (RFC 5612): Remit has none of its own.
const SD_ID: &str = "remit@32473";
/// How long one batch may take.
const TIMEOUT: Duration = Duration::from_secs(30);

/// Sends a batch and waits until the receiver has read it to its end.
pub(crate) async fn send(tls: &Arc<ClientConfig>, address: &str, network: Network, frames: &[u8]) -> Result<(), DeliveryError> {
    let exchange = async {
        let mut stream = connect_tls(address, network, tls, TIMEOUT).await?;
        let broke = |source| DeliveryError::Broke { to: address.to_owned(), source };
        stream.write_all(frames).await.map_err(broke)?;
        stream.shutdown().await.map_err(broke)?;
        // A receiver says nothing; an end without `close_notify` is an error here.
        let mut said = [0; 64];
        while stream.read(&mut said).await.map_err(broke)? > 0 {}
        Ok(())
    };
    let timeout = || DeliveryError::Egress(EgressError::Timeout(address.to_owned()));
    tokio::time::timeout(TIMEOUT, exchange).await.map_err(|_| timeout())?
}

/// A batch of messages, each with its length before it: `MSG-LEN SP SYSLOG-MSG`.
pub(crate) fn frames(format: Format, hostname: &str, records: &[Record]) -> Vec<u8> {
    let mut frames = Vec::new();
    for record in records {
        let message = message(format, hostname, record);
        frames.extend_from_slice(format!("{} {message}", message.len()).as_bytes());
    }
    frames
}

/// A record as a message.
fn message(format: Format, hostname: &str, record: &Record) -> String {
    let text = |key: &str| record.decision.entry.get(key).and_then(Value::as_str);
    let verdict = text("verdict").unwrap_or("-");
    let severity = match verdict {
        "DENY" => 4,
        "HOLD" => 5,
        _ => 6,
    };
    let (priority, time) = (FACILITY * 8 + severity, text("time").unwrap_or("-"));
    let place = format!(
        "[{SD_ID} origin=\"{}\" index=\"{}\" leafHash=\"{}\"]",
        escaped(&record.origin),
        record.decision.index,
        record.decision.hash
    );
    format!("<{priority}>1 {time} {hostname} remit - {verdict} {place} {}", ascii(&format.tell(record).to_string()))
}

/// A value of structured data (RFC 5424, section 6.3.3).
fn escaped(text: &str) -> String {
    text.chars().flat_map(|c| matches!(c, '"' | '\\' | ']').then_some('\\').into_iter().chain([c])).collect()
}

/// JSON without a character beyond ASCII (RFC 8259, section 7).
fn ascii(json: &str) -> String {
    let mut text = String::with_capacity(json.len());
    for c in json.chars() {
        if c.is_ascii() && c != '\u{7f}' {
            text.push(c);
            continue;
        }
        let mut units = [0; 2];
        for unit in c.encode_utf16(&mut units) {
            let _ = write!(text, "\\u{unit:04x}");
        }
    }
    text
}

/// A host's name as a message may have it (RFC 5424, section 6): printable ASCII without a space, or nothing.
pub(crate) fn hostname(text: &str) -> String {
    let name: String = text.chars().filter(char::is_ascii_graphic).take(255).collect();
    if name.is_empty() { "-".to_owned() } else { name }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_are_escaped_and_json_stays_what_it_was() {
        assert_eq!(escaped(r#"a"b\c]d"#), r#"a\"b\\c\]d"#);
        let value = serde_json::json!({"ü": "é😀\u{7f}\"\\", "a": 1});
        let text = ascii(&value.to_string());
        assert!(text.is_ascii() && !text.contains('\u{7f}'), "{text}");
        assert_eq!(serde_json::from_str::<Value>(&text).unwrap(), value);
        assert_eq!((hostname("a b\u{e9}"), hostname("")), ("ab".to_owned(), "-".to_owned()));
    }
}
