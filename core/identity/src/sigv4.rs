//! Signature Version 4: requests that are signed with a key pair that Remit issued.
//!
//! [`Claim::read`] takes apart what a request says of its signature, [`Claim::verify`] checks it against the secret. Rules and codes are
//! those of "AWS Signature Version 4 for API requests" (IAM User Guide) for every service but S3: the path is normalized and encoded
//! once more, the payload is always signed. [`sign`] knows S3's rule too. Stricter than AWS where AWS is silent: every `x-amz-*` header must be signed, a parameter or
//! a header of the signature may stand once only, and a signature is written in lower case.

use aws_lc_rs::{constant_time, digest, hmac};

use crate::form;

/// The only algorithm.
pub const ALGORITHM: &str = "AWS4-HMAC-SHA256";
/// How far a request's time may be from ours, in seconds.
pub const SKEW_MAX_SECS: u64 = 5 * 60;
/// The longest life of a presigned request, in seconds.
pub const EXPIRES_MAX_SECS: u64 = 604_800;
/// The most headers, signed headers and query parameters that are looked at.
const PARTS_MAX: usize = 200;
/// The longest session token, in bytes: with it, a request's head stays within what servers and proxies take.
pub const TOKEN_BYTES_MAX: usize = 12 * 1024;

/// A request as it was received.
#[derive(Debug, Clone, Copy)]
pub struct Request<'a> {
    /// The method, in upper case.
    pub method: &'a str,
    /// The path as it came, still encoded.
    pub path: &'a str,
    /// The query as it came, still encoded, without its `?`.
    pub query: &'a str,
    /// The headers in their order.
    pub headers: &'a [(&'a str, &'a str)],
    /// The body.
    pub body: &'a [u8],
}

/// Why a signed request is refused: a code of AWS's common errors with its message.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct SigError {
    /// The code, such as `SignatureDoesNotMatch`.
    pub code: &'static str,
    /// The HTTP status that goes with it.
    pub status: u16,
    /// What is wrong; never the secret, the signature that was expected or a session token.
    pub message: String,
    /// After how many milliseconds the same request, signed anew, may be tried again; `None` where that changes nothing.
    pub retry_after_ms: Option<u64>,
}

impl SigError {
    /// The request is signed, but not as the rules say.
    pub fn incomplete(message: impl Into<String>) -> Self {
        Self::new("IncompleteSignature", 400, message)
    }

    /// The signature isn't the one of this request, or no longer or not yet.
    pub fn mismatch(message: impl Into<String>) -> Self {
        Self::new("SignatureDoesNotMatch", 403, message)
    }

    /// Nobody has such a key.
    pub fn unknown_key() -> Self {
        Self::new("InvalidClientTokenId", 403, "The security token included in the request is invalid.")
    }

    /// The session has ended.
    pub fn expired() -> Self {
        Self::new("ExpiredToken", 403, "The security token included in the request is expired")
    }

    /// The signature is one that clients without malice make twice: they sign whole seconds, and nothing that tells two equal requests
    /// of one second apart. AWS's SDKs take this code as a word to wait, sign anew and try again.
    pub fn again(message: impl Into<String>, retry_after_ms: u64) -> Self {
        Self { retry_after_ms: Some(retry_after_ms), ..Self::new("Throttling", 400, message) }
    }

    fn new(code: &'static str, status: u16, message: impl Into<String>) -> Self {
        Self { code, status, message: message.into(), retry_after_ms: None }
    }
}

/// What a request says of its signature.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Claim {
    /// The key's id.
    pub access_key_id: String,
    /// The session's token, for temporary keys.
    pub session_token: Option<String>,
    /// The region of the scope.
    pub region: String,
    /// The service of the scope.
    pub service: String,
    /// When it was signed, in seconds since the epoch.
    pub signed_at_secs: u64,
    /// How long a presigned request is good, in seconds; `None` for one that is signed in its headers.
    pub expires_secs: Option<u64>,
    /// The signature.
    pub signature: [u8; 32],
    /// When it was signed, as the request writes it.
    date: String,
    signed_headers: Vec<String>,
}

impl Claim {
    /// Reads it. `None` if the request isn't signed at all, which is nobody's request.
    pub fn read(request: &Request<'_>) -> Result<Option<Self>, SigError> {
        if request.headers.len() > PARTS_MAX {
            return Err(SigError::incomplete("The request has too many headers."));
        }
        let authorization = once(request, "authorization")?.filter(|value| value.starts_with("AWS4"));
        let query = pairs(request.query)?;
        let presigned = query.iter().any(|(key, _)| key.eq_ignore_ascii_case("x-amz-signature"));
        match (authorization, presigned) {
            (None, false) => Ok(None),
            (Some(_), true) => Err(SigError::incomplete("The request is signed twice, in its headers and in its query.")),
            (Some(header), false) => Self::of_header(request, header).map(Some),
            (None, true) => Self::of_query(&query).map(Some),
        }
    }

    fn of_header(request: &Request<'_>, header: &str) -> Result<Self, SigError> {
        let Some(parameters) = header.strip_prefix(ALGORITHM).and_then(|rest| rest.strip_prefix(' ')) else {
            return Err(SigError::incomplete(format!("The algorithm must be {ALGORITHM}.")));
        };
        let [mut credential, mut signed, mut signature] = [None; 3];
        for parameter in parameters.split(',') {
            let (name, value) = parameter.trim().split_once('=').unwrap_or_default();
            let slot = match name {
                "Credential" => &mut credential,
                "SignedHeaders" => &mut signed,
                "Signature" => &mut signature,
                _ => return Err(SigError::incomplete("Authorization header holds a parameter that doesn't belong there.")),
            };
            if slot.replace(value).is_some() {
                return Err(SigError::incomplete(format!("Authorization header has '{name}' twice.")));
            }
        }
        let need = |value: Option<&'_ str>, name: &str| {
            let missing = || SigError::incomplete(format!("Authorization header requires '{name}' parameter."));
            value.map(str::to_owned).ok_or_else(missing)
        };
        let Some(date) = once(request, "x-amz-date")? else {
            return Err(SigError::incomplete("Authorization header requires existence of an 'X-Amz-Date' header."));
        };
        let parts = Parts {
            credential: need(credential, "Credential")?,
            signed: need(signed, "SignedHeaders")?,
            signature: need(signature, "Signature")?,
            date: date.to_owned(),
            token: once(request, "x-amz-security-token")?.map(str::to_owned),
            expires_secs: None,
        };
        parts.claim()
    }

    fn of_query(query: &[(String, String)]) -> Result<Self, SigError> {
        let get = |name: &str| {
            let mut found = query.iter().filter(|(key, _)| key.eq_ignore_ascii_case(name));
            match (found.next(), found.next()) {
                (Some((key, value)), None) if key == name => Ok(Some(value.clone())),
                (None, _) => Ok(None),
                _ => Err(SigError::incomplete(format!("'{name}' must stand once in the query, written so."))),
            }
        };
        let need = |name: &str| {
            let missing = || SigError::incomplete(format!("AWS query-string parameters must include '{name}'."));
            get(name)?.ok_or_else(missing)
        };
        if need("X-Amz-Algorithm")? != ALGORITHM {
            return Err(SigError::incomplete(format!("The algorithm must be {ALGORITHM}.")));
        }
        let expires = need("X-Amz-Expires")?;
        let expires_secs = expires.parse().ok().filter(|secs| (1..=EXPIRES_MAX_SECS).contains(secs));
        if expires_secs.is_none() {
            return Err(SigError::incomplete(format!("X-Amz-Expires must be 1 to {EXPIRES_MAX_SECS} seconds.")));
        }
        let parts = Parts {
            credential: need("X-Amz-Credential")?,
            signed: need("X-Amz-SignedHeaders")?,
            signature: need("X-Amz-Signature")?,
            date: need("X-Amz-Date")?,
            token: get("X-Amz-Security-Token")?,
            expires_secs,
        };
        parts.claim()
    }

    /// Whether the time of the signature is one at which it may be used.
    pub fn timely(&self, now_secs: u64) -> Result<(), SigError> {
        let last = self.signed_at_secs.saturating_add(self.expires_secs.unwrap_or(SKEW_MAX_SECS));
        if now_secs > last {
            return Err(SigError::mismatch(format!("Signature expired: {} is now too old.", self.date)));
        }
        if self.signed_at_secs > now_secs.saturating_add(SKEW_MAX_SECS) {
            return Err(SigError::mismatch(format!("Signature not yet current: {} is still later than now.", self.date)));
        }
        Ok(())
    }

    /// Verifies the signature. `now_secs` is the time in seconds since the epoch.
    pub fn verify(&self, request: &Request<'_>, secret: &str, now_secs: u64) -> Result<(), SigError> {
        self.timely(now_secs)?;
        let payload = payload_hash(request)?;
        self.covers(request)?;
        let canonical = canonical_request(request, &canonical_path(request.path), &self.signed_headers, &payload)?;
        let text = self.string_to_sign(&canonical);
        let key = signing_key(secret, self.day(), &self.region, &self.service);
        let expected = hmac::sign(&key, text.as_bytes());
        constant_time::verify_slices_are_equal(expected.as_ref(), &self.signature).map_err(|_| {
            SigError::mismatch(
                "The request signature we calculated does not match the signature you provided. Check your AWS Secret Access Key and \
                 signing method. Consult the service documentation for details.",
            )
        })
    }

    /// Every header that could change what is asked must be signed.
    fn covers(&self, request: &Request<'_>) -> Result<(), SigError> {
        let signed = |name: &str| self.signed_headers.iter().any(|other| other == name);
        if !signed("host") {
            return Err(SigError::mismatch("'Host' must be a 'SignedHeader' in the AWS Authorization."));
        }
        for (name, _) in request.headers {
            let name = name.to_ascii_lowercase();
            if name.starts_with("x-amz-") && !signed(&name) {
                return Err(SigError::mismatch(format!("'{name}' must be a 'SignedHeader' in the AWS Authorization.")));
            }
        }
        Ok(())
    }

    fn day(&self) -> &str {
        self.date.get(..8).unwrap_or_default()
    }

    fn string_to_sign(&self, canonical: &str) -> String {
        let scope = format!("{}/{}/{}/aws4_request", self.day(), self.region, self.service);
        format!("{ALGORITHM}\n{}\n{scope}\n{}", self.date, sha256_hex(canonical.as_bytes()))
    }
}

/// The parts of a claim as they are written.
struct Parts {
    credential: String,
    signed: String,
    signature: String,
    date: String,
    token: Option<String>,
    expires_secs: Option<u64>,
}

impl Parts {
    fn claim(self) -> Result<Claim, SigError> {
        let scope: Vec<&str> = self.credential.split('/').collect();
        let [key, day, region, service, "aws4_request"] = scope.as_slice() else {
            return Err(SigError::incomplete(
                "Credential must have exactly 5 slash-delimited elements, e.g. keyid/date/region/service/aws4_request.",
            ));
        };
        let word = |text: &str| (1..=128).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-');
        if !word(key) || !word(region) || !word(service) {
            return Err(SigError::incomplete("Credential holds an element that is no key id, region or service."));
        }
        let Some(signed_at_secs) = epoch_secs(&self.date) else {
            return Err(SigError::incomplete("Date must be in ISO-8601 'basic format'."));
        };
        if !self.date.starts_with(day) || day.len() != 8 {
            return Err(SigError::mismatch(
                "Date in Credential scope does not match YYYYMMDD from ISO-8601 version of date from HTTP.",
            ));
        }
        let signed_headers: Vec<String> = self.signed.split(';').map(str::to_owned).collect();
        let ordered = signed_headers.is_sorted_by(|a, b| a < b);
        if !ordered || signed_headers.len() > PARTS_MAX || signed_headers.iter().any(|name| !header_name(name)) {
            return Err(SigError::incomplete("SignedHeaders must be lower-case names in their order, none of them twice."));
        }
        let Some(signature) = unhex(&self.signature) else {
            return Err(SigError::incomplete("Signature must be 64 lower-case hexadecimal digits."));
        };
        if self.token.as_ref().is_some_and(|token| token.is_empty() || token.len() > TOKEN_BYTES_MAX) {
            return Err(SigError::unknown_key());
        }
        Ok(Claim {
            access_key_id: (*key).to_owned(),
            session_token: self.token,
            region: (*region).to_owned(),
            service: (*service).to_owned(),
            signed_at_secs,
            expires_secs: self.expires_secs,
            signature,
            date: self.date,
            signed_headers,
        })
    }
}

/// The `Authorization` header of a request signed with `access_key_id` and `secret`, over all of its headers: `host` and `x-amz-date` (as
/// [`timestamp`] writes it) must be among them, and `x-amz-security-token` where the key is temporary.
///
/// For the service `s3` the path is signed as it stands, once encoded and never normalized, because an object's key may hold anything
/// ("Signature Calculations for the Authorization Header", Amazon S3 API Reference); S3 wants `x-amz-content-sha256` besides.
pub fn sign(
    request: &Request<'_>,
    (access_key_id, secret): (&str, &str),
    (region, service): (&str, &str),
) -> Result<String, SigError> {
    let Some(date) = once(request, "x-amz-date")? else {
        return Err(SigError::incomplete("a request needs `x-amz-date` before it is signed"));
    };
    let mut names: Vec<String> = request.headers.iter().map(|(name, _)| name.to_ascii_lowercase()).collect();
    names.sort();
    names.dedup();
    let day = date.get(..8).unwrap_or_default();
    let parts = Parts {
        credential: format!("{access_key_id}/{day}/{region}/{service}/aws4_request"),
        signed: names.join(";"),
        signature: "0".repeat(64),
        date: date.to_owned(),
        token: None,
        expires_secs: None,
    };
    let (credential, claim) = (parts.credential.clone(), parts.claim()?);
    let path = if service == "s3" { request.path.to_owned() } else { canonical_path(request.path) };
    let canonical = canonical_request(request, &path, &claim.signed_headers, &sha256_hex(request.body))?;
    let key = signing_key(secret, day, region, service);
    let signature = hex(hmac::sign(&key, claim.string_to_sign(&canonical).as_bytes()).as_ref());
    Ok(format!("{ALGORITHM} Credential={credential}, SignedHeaders={}, Signature={signature}", names.join(";")))
}

/// The time as `x-amz-date` writes it: `20150830T123600Z`.
pub fn timestamp(secs: u64) -> String {
    let (days, second) = (secs / 86_400, secs % 86_400);
    let (year, month, day) = civil(days);
    format!("{year:04}{month:02}{day:02}T{:02}{:02}{:02}Z", second / 3600, second / 60 % 60, second % 60)
}

/// The time as AWS's answers write it: `2015-08-30T12:36:00Z`.
pub fn date_time(secs: u64) -> String {
    let (days, second) = (secs / 86_400, secs % 86_400);
    let (year, month, day) = civil(days);
    format!("{year:04}-{month:02}-{day:02}T{:02}:{:02}:{:02}Z", second / 3600, second / 60 % 60, second % 60)
}

/// The value of a header that may stand once only.
fn once<'a>(request: &Request<'a>, name: &str) -> Result<Option<&'a str>, SigError> {
    let mut found = request.headers.iter().filter(|(other, _)| other.eq_ignore_ascii_case(name)).map(|(_, value)| value.trim());
    match (found.next(), found.next()) {
        (first, None) => Ok(first),
        _ => Err(SigError::incomplete(format!("The header '{name}' stands more than once."))),
    }
}

/// The digest of the body. A request that says another one, or that it isn't signed, is refused.
fn payload_hash(request: &Request<'_>) -> Result<String, SigError> {
    let hash = sha256_hex(request.body);
    match once(request, "x-amz-content-sha256")? {
        Some(said) if said != hash => {
            Err(SigError::mismatch("The value of 'x-amz-content-sha256' is not the SHA-256 of the request's body."))
        }
        _ => Ok(hash),
    }
}

/// The canonical request: method, path, query, headers, their names, payload.
fn canonical_request(request: &Request<'_>, path: &str, signed: &[String], payload: &str) -> Result<String, SigError> {
    let mut query: Vec<(String, String)> = pairs(request.query)?
        .into_iter()
        .filter(|(key, _)| key != "X-Amz-Signature")
        .map(|(key, value)| (form::encode(&key), form::encode(&value)))
        .collect();
    query.sort();
    let query: Vec<String> = query.into_iter().map(|(key, value)| format!("{key}={value}")).collect();
    let mut headers = String::new();
    for name in signed {
        let of_name = request.headers.iter().filter(|(other, _)| other.eq_ignore_ascii_case(name));
        let values: Vec<String> = of_name.map(|(_, value)| trimmed(value)).collect();
        if values.is_empty() {
            return Err(SigError::mismatch(format!("'{name}' is signed and the request has no such header.")));
        }
        headers.push_str(&format!("{name}:{}\n", values.join(",")));
    }
    let method = request.method;
    Ok(format!("{method}\n{path}\n{}\n{headers}\n{}\n{payload}", query.join("&"), signed.join(";")))
}

/// The parameters of a query, decoded. A `+` is a space, as the forms that the same handler reads have it.
fn pairs(query: &str) -> Result<Vec<(String, String)>, SigError> {
    let mut found = Vec::new();
    for pair in query.split('&').filter(|pair| !pair.is_empty()) {
        let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
        let (Some(key), Some(value)) = (form::decode(key), form::decode(value)) else {
            return Err(SigError::incomplete("The query is not percent-encoded UTF-8."));
        };
        found.push((key, value));
        if found.len() > PARTS_MAX {
            return Err(SigError::incomplete("The query has too many parameters."));
        }
    }
    Ok(found)
}

/// The path without `.`, `..` and empty segments, encoded once more.
fn canonical_path(path: &str) -> String {
    let mut segments: Vec<&str> = Vec::new();
    for segment in path.split('/') {
        match segment {
            "" | "." => {}
            ".." => drop(segments.pop()),
            segment => segments.push(segment),
        }
    }
    let directory = path.ends_with('/') || path.ends_with("/.") || path.ends_with("/..");
    let end = if directory && !segments.is_empty() { "/" } else { "" };
    let encoded: Vec<String> = segments.into_iter().map(form::encode).collect();
    format!("/{}{end}", encoded.join("/"))
}

/// Without space at its ends, every run of spaces inside made one.
fn trimmed(value: &str) -> String {
    value.split_ascii_whitespace().collect::<Vec<_>>().join(" ")
}

fn header_name(name: &str) -> bool {
    !name.is_empty()
        && name.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"!#$%&'*+-.^_`|~".contains(&byte))
}

fn signing_key(secret: &str, day: &str, region: &str, service: &str) -> hmac::Key {
    let first = zeroize::Zeroizing::new(format!("AWS4{secret}"));
    let mut key = hmac::Key::new(hmac::HMAC_SHA256, first.as_bytes());
    for part in [day, region, service, "aws4_request"] {
        key = hmac::Key::new(hmac::HMAC_SHA256, hmac::sign(&key, part.as_bytes()).as_ref());
    }
    key
}

/// The lower-case hexadecimal SHA-256, as `x-amz-content-sha256` writes it.
pub fn sha256_hex(bytes: &[u8]) -> String {
    hex(digest::digest(&digest::SHA256, bytes).as_ref())
}

fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write as _;
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

fn unhex(text: &str) -> Option<[u8; 32]> {
    let digit = |byte: u8| match byte {
        b'0'..=b'9' => Some(byte - b'0'),
        b'a'..=b'f' => Some(byte - b'a' + 10),
        _ => None,
    };
    let bytes = text.as_bytes();
    if bytes.len() != 64 {
        return None;
    }
    let mut out = [0; 32];
    for (place, pair) in out.iter_mut().zip(bytes.chunks_exact(2)) {
        let [high, low] = pair else { return None };
        *place = digit(*high)? << 4 | digit(*low)?;
    }
    Some(out)
}

/// Seconds since the epoch of `20150830T123600Z`; `None` for any other text.
pub fn epoch_secs(text: &str) -> Option<u64> {
    let bytes = text.as_bytes();
    if bytes.len() != 16 || bytes.get(8) != Some(&b'T') || bytes.get(15) != Some(&b'Z') {
        return None;
    }
    let number = |range: std::ops::Range<usize>| -> Option<u64> {
        let digits = text.get(range)?;
        digits.bytes().all(|byte| byte.is_ascii_digit()).then(|| digits.parse().ok())?
    };
    let (year, month, day) = (number(0..4)?, number(4..6)?, number(6..8)?);
    let (hour, minute, second) = (number(9..11)?, number(11..13)?, number(13..15)?);
    if !(1970..=9999).contains(&year) || hour > 23 || minute > 59 || second > 59 {
        return None;
    }
    let days = days(year, month, day)?;
    Some(days * 86_400 + hour * 3600 + minute * 60 + second)
}

/// Days since the epoch of a date of the Gregorian calendar, if there is such a date.
fn days(year: u64, month: u64, day: u64) -> Option<u64> {
    let (y, m) = if month <= 2 { (year - 1, month + 9) } else { (year, month.checked_sub(3)?) };
    let of_year = (153 * m + 2) / 5 + day.checked_sub(1)?;
    let days = (y * 365 + y / 4 - y / 100 + y / 400 + of_year).checked_sub(719_468)?;
    (civil(days) == (year, month, day)).then_some(days)
}

/// Year, month and day of a day since the epoch.
fn civil(days: u64) -> (u64, u64, u64) {
    let z = days + 719_468;
    let (era, of_era) = (z / 146_097, z % 146_097);
    let year_of_era = (of_era - of_era / 1460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let m = (5 * of_year + 2) / 153;
    let (day, month) = (of_year - (153 * m + 2) / 5 + 1, if m < 10 { m + 3 } else { m - 9 });
    (year_of_era + era * 400 + u64::from(month <= 2), month, day)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_go_both_ways() {
        for (text, secs) in [("19700101T000000Z", 0), ("20150830T123600Z", 1_440_938_160), ("20240229T235959Z", 1_709_251_199)] {
            assert_eq!((epoch_secs(text), timestamp(secs)), (Some(secs), text.to_owned()));
        }
        for text in ["20150230T000000Z", "20151301T000000Z", "2015083T0123600Z", "20150830T246000Z", "20150830t123600Z", ""] {
            assert_eq!(epoch_secs(text), None, "{text}");
        }
        assert_eq!(date_time(1_440_938_160), "2015-08-30T12:36:00Z");
    }
}
