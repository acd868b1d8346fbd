//! The user's request as the program that the user talks to signs it: a JWT (RFC 7519) beside the text, for one agent in one space.
//!
//! | claim | what |
//! |---|---|
//! | `sub` | the agent |
//! | `aud` | the address of the space, as in its tokens |
//! | `iat`, `exp` | when it was signed and until when it is good: [`LIFE_SECS_MAX`] later at most |
//! | `jti` | its own id: it is good in the one session that it was first shown in |
//! | `session` | that session, if the signer names it |
//! | `request_sha256` | the SHA-256 of the text's UTF-8, in base64url without padding (RFC 4648, section 5) |
//!
//! The type is [`TYP`], so that no other token of the same key can be taken for one (RFC 8725, section 3.11).

use aws_lc_rs::digest::{SHA256, digest};
use remit_model::RequestStanding;

use crate::base64url_encode;
use crate::jwk::JwkSet;
use crate::jwt::{self, JwtError};

/// The type of such a token.
pub const TYP: &str = "remit-request+jwt";
/// The longest life, in seconds.
pub const LIFE_SECS_MAX: u64 = 600;
/// The longest `jti`, in bytes.
pub const JTI_BYTES_MAX: usize = 128;

/// What a signature must be for.
#[derive(Debug, Clone, Copy)]
pub struct Shown<'a> {
    /// The agent that shows it.
    pub agent: &'a str,
    /// The address of the space.
    pub audience: &'a str,
    /// The session.
    pub session: &'a str,
    /// The text.
    pub text: &'a str,
}

/// A signature that is right.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Signed {
    /// Its id.
    pub jti: String,
    /// When it was signed, in seconds since the epoch.
    pub issued_at_secs: u64,
    /// Until when it is good.
    pub expires_at_secs: u64,
}

/// Checks a signature; an error says how the request stands without it.
pub fn verify(token: &str, keys: &JwkSet, shown: &Shown<'_>, now_secs: u64) -> Result<Signed, RequestStanding> {
    let broken = |error: JwtError| match error {
        JwtError::Expired => RequestStanding::Expired,
        JwtError::Key | JwtError::KeyAmbiguous => RequestStanding::UnknownKey,
        _ => RequestStanding::Broken,
    };
    let token = jwt::parse(token).and_then(|token| token.verify(keys)).map_err(broken)?;
    token.typ_is(&[Some(TYP)]).map_err(broken)?;
    let times = token.times(now_secs).map_err(broken)?;
    let issued_at_secs = times.issued_at_secs.ok_or(RequestStanding::Broken)?;
    if times.expires_at_secs.saturating_sub(issued_at_secs) > LIFE_SECS_MAX {
        return Err(RequestStanding::Broken);
    }
    if token.text("sub").map_err(broken)? != shown.agent {
        return Err(RequestStanding::OtherAgent);
    }
    if !token.audiences().map_err(broken)?.contains(&shown.audience) {
        return Err(RequestStanding::OtherSpace);
    }
    if token.text_if_any("session").map_err(broken)?.is_some_and(|session| session != shown.session) {
        return Err(RequestStanding::OtherSession);
    }
    if token.text("request_sha256").map_err(broken)? != request_sha256(shown.text) {
        return Err(RequestStanding::OtherText);
    }
    let jti = token.text("jti").map_err(broken)?;
    if jti.len() > JTI_BYTES_MAX {
        return Err(RequestStanding::Broken);
    }
    Ok(Signed { jti: jti.to_owned(), issued_at_secs, expires_at_secs: times.expires_at_secs })
}

/// A text as a signature names it.
pub fn request_sha256(text: &str) -> String {
    base64url_encode(digest(&SHA256, text.as_bytes()).as_ref())
}
