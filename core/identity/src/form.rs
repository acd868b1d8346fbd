//! `application/x-www-form-urlencoded`, read strictly and written.

use std::collections::BTreeMap;
use std::fmt::Write as _;

/// The largest form that is read, in bytes: two tokens of the largest size, twice over for their encoding.
pub const FORM_BYTES_MAX: usize = 64 * 1024;

/// Why a form is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FormError {
    /// Too large, or not the encoding that it claims to be.
    #[error("the body is no form of at most {FORM_BYTES_MAX} bytes")]
    Malformed,
    /// A parameter twice (RFC 6749 section 3.2).
    #[error("`{0}` is given more than once")]
    Duplicate(String),
}

/// The parameters of a form. Those without a value count as absent (RFC 6749 section 3.2).
pub fn parse(body: &[u8]) -> Result<BTreeMap<String, String>, FormError> {
    if body.len() > FORM_BYTES_MAX {
        return Err(FormError::Malformed);
    }
    let text = std::str::from_utf8(body).map_err(|_| FormError::Malformed)?;
    let mut form = BTreeMap::new();
    let mut seen = std::collections::BTreeSet::new();
    for pair in text.split('&').filter(|pair| !pair.is_empty()) {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        let (name, value) = (decode(name).ok_or(FormError::Malformed)?, decode(value).ok_or(FormError::Malformed)?);
        if !seen.insert(name.clone()) {
            return Err(FormError::Duplicate(name.chars().take(64).collect()));
        }
        if !value.is_empty() {
            form.insert(name, value);
        }
    }
    Ok(form)
}

/// Decodes one name or value.
pub fn decode(text: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        bytes.push(match byte {
            b'+' => b' ',
            b'%' => {
                let digit = |byte: u8| char::from(byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
                let (high, low) = (digit(rest.next()?)?, digit(rest.next()?)?);
                high * 16 + low
            }
            byte => byte,
        });
    }
    String::from_utf8(bytes).ok()
}

/// Encodes one name or value.
pub fn encode(text: &str) -> String {
    let mut encoded = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => encoded.push(char::from(byte)),
            byte => {
                let _ = write!(encoded, "%{byte:02X}");
            }
        }
    }
    encoded
}

/// Writes a form.
pub fn write<'a>(pairs: impl IntoIterator<Item = (&'a str, &'a str)>) -> String {
    let pairs: Vec<String> = pairs.into_iter().map(|(name, value)| format!("{}={}", encode(name), encode(value))).collect();
    pairs.join("&")
}
