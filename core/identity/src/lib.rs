//! Identity without I/O: keys, the time and randomness are arguments, and nothing here reads a clock or asks a network.
//!
//! - [`jwt`]: parse, verify and sign; [`jwk`]: keys (RFC 7517);
//! - [`access`]: Remit's own access tokens (RFC 9068) and their scopes; [`rule`]: claim rules, from an external token to an agent;
//! - [`token`]: the token endpoint (OAuth 2.1, RFC 7523, RFC 8693, RFC 8707), with [`form`] and [`secret`];
//! - [`challenge`]: `WWW-Authenticate`, built and parsed; [`metadata`]: RFC 8414 and RFC 9728 documents, built and checked;
//! - [`sigv4`]: requests that are signed with key pairs of ours; [`sts`]: the Query protocol of STS and IAM;
//! - [`user_request`]: what a user asked for, signed by the program that the user talks to;
//! - [`host`]: the name under which a request was made;
//! - [`client`]: Remit as a client of an upstream's authorization server; [`openid`]: people who are signed in by a provider.

pub mod access;
pub mod challenge;
pub mod client;
pub mod form;
pub mod host;
pub mod jwk;
pub mod jwt;
pub mod metadata;
pub mod openid;
pub mod rule;
pub mod secret;
pub mod sigv4;
pub mod sts;
pub mod token;
pub mod user_request;

/// How far two clocks may be apart, in seconds.
pub const LEEWAY_SECS: u64 = 30;

/// base64url without padding, strictly (RFC 7515 section 2).
pub(crate) fn base64url(text: &str) -> Option<Vec<u8>> {
    use base64::Engine as _;
    base64::engine::general_purpose::URL_SAFE_NO_PAD.decode(text).ok()
}

/// The bytes as base64url without padding.
pub fn base64url_encode(bytes: &[u8]) -> String {
    use base64::Engine as _;
    base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(bytes)
}
