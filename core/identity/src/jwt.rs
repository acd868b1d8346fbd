//! JSON Web Tokens (RFC 7519, RFC 7515, RFC 8725): parsed strictly, verified against a key set and a given time.
//!
//! A token goes through types: [`parse`] gives [`Unverified`], of which nothing but what chooses the key can be read;
//! [`Unverified::verify`] gives [`Token`], whose claims were signed.

use remit_mcp::json::{JsonError, Limits, scan};
use serde_json::{Map, Value};

use crate::jwk::{Algorithm, JwkSet, KeyError, SigningKey};
use crate::{LEEWAY_SECS, base64url, base64url_encode};

/// The largest token that is looked at, in bytes.
pub const TOKEN_BYTES_MAX: usize = 16 * 1024;

/// Why a token is refused. Says what is wrong with it without repeating it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum JwtError {
    /// Too large to look at.
    #[error("the token is larger than {TOKEN_BYTES_MAX} bytes")]
    TooLarge,
    /// Not three parts of base64url (RFC 7515 section 7.1).
    #[error("the token is no signed JWT")]
    Form,
    /// A part is not strict JSON.
    #[error("the token's {part} is refused: {fault}")]
    Json {
        /// The header or the payload.
        part: &'static str,
        /// What is wrong.
        fault: JsonError,
    },
    /// A part is not an object.
    #[error("the token's {0} is not an object")]
    Object(&'static str),
    /// Signed in a way that we don't accept.
    #[error("the token's algorithm is not accepted")]
    Algorithm,
    /// An extension that must be understood (RFC 7515 section 4.1.11).
    #[error("the token has critical header parameters")]
    Critical,
    /// A token made for another purpose (RFC 8725 section 3.11).
    #[error("the token's type is not accepted here")]
    Type,
    /// No key of the issuer has this id and fits the algorithm.
    #[error("the token's key is not known")]
    Key,
    /// No `kid`, and several keys that could be meant.
    #[error("the token names no key, and several fit")]
    KeyAmbiguous,
    /// The signature isn't that key's.
    #[error("the token's signature is wrong")]
    Signature,
    /// A claim that must be there isn't.
    #[error("the token has no `{0}`")]
    Missing(&'static str),
    /// A claim of the wrong form.
    #[error("the token's `{0}` is malformed")]
    Claim(&'static str),
    /// `exp` has passed.
    #[error("the token has expired")]
    Expired,
    /// `nbf` lies ahead.
    #[error("the token is not valid yet")]
    NotYet,
    /// `iat` lies ahead.
    #[error("the token was issued in the future")]
    Future,
    /// From someone else.
    #[error("the token is from another issuer")]
    Issuer,
    /// For someone else.
    #[error("the token is for another audience")]
    Audience,
}

/// A token whose signature hasn't been checked.
#[derive(Debug)]
pub struct Unverified<'a> {
    algorithm: Algorithm,
    kid: Option<String>,
    typ: Option<String>,
    claims: Map<String, Value>,
    signed: &'a str,
    signature: Vec<u8>,
}

/// Takes a token apart.
pub fn parse(token: &str) -> Result<Unverified<'_>, JwtError> {
    if token.len() > TOKEN_BYTES_MAX {
        return Err(JwtError::TooLarge);
    }
    let (signed, signature) = token.rsplit_once('.').ok_or(JwtError::Form)?;
    let (header, payload) = signed.split_once('.').ok_or(JwtError::Form)?;
    let header = object("header", header)?;
    if header.contains_key("crit") {
        return Err(JwtError::Critical);
    }
    let algorithm = header.get("alg").and_then(Value::as_str).and_then(Algorithm::parse).ok_or(JwtError::Algorithm)?;
    let text = |name: &'static str| match header.get(name) {
        None => Ok(None),
        Some(value) => value.as_str().map(|text| Some(text.to_owned())).ok_or(JwtError::Claim(name)),
    };
    let (kid, typ) = (text("kid")?, text("typ")?);
    let claims = object("payload", payload)?;
    let signature = base64url(signature).filter(|bytes| !bytes.is_empty()).ok_or(JwtError::Form)?;
    Ok(Unverified { algorithm, kid, typ, claims, signed, signature })
}

fn object(part: &'static str, encoded: &str) -> Result<Map<String, Value>, JwtError> {
    let bytes = base64url(encoded).ok_or(JwtError::Form)?;
    // Two readers must see the same claims: duplicate keys are refused at every level (RFC 7519 section 4 leaves the choice).
    scan(&bytes, Limits { depth_max: 16, keys_max: 1000 }).map_err(|fault| JwtError::Json { part, fault })?;
    match serde_json::from_slice(&bytes) {
        Ok(Value::Object(object)) => Ok(object),
        _ => Err(JwtError::Object(part)),
    }
}

impl Unverified<'_> {
    /// Who the token says it is from: only good for choosing whose keys to verify it with.
    pub fn issuer(&self) -> Option<&str> {
        self.claims.get("iss").and_then(Value::as_str)
    }

    /// Who the token says it is about: only good for choosing whose keys to verify it with (RFC 7523 section 3).
    pub fn subject(&self) -> Option<&str> {
        self.claims.get("sub").and_then(Value::as_str)
    }

    /// Whether a set has a key that could have signed it.
    pub fn key_in(&self, keys: &JwkSet) -> bool {
        !keys.candidates(self.kid.as_deref(), self.algorithm).is_empty()
    }

    /// Checks the signature.
    pub fn verify(self, keys: &JwkSet) -> Result<Token, JwtError> {
        let candidates = keys.candidates(self.kid.as_deref(), self.algorithm);
        if candidates.is_empty() {
            return Err(JwtError::Key);
        }
        if self.kid.is_none() && candidates.len() > 1 {
            return Err(JwtError::KeyAmbiguous);
        }
        if candidates.iter().any(|key| key.verify(self.algorithm, self.signed.as_bytes(), &self.signature)) {
            Ok(Token { typ: self.typ, claims: self.claims })
        } else {
            Err(JwtError::Signature)
        }
    }
}

/// A token whose signature is right. Its times, issuer and audience are still to be checked.
#[derive(Debug, Clone, PartialEq)]
pub struct Token {
    typ: Option<String>,
    claims: Map<String, Value>,
}

/// The times of a token, in seconds since the epoch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Times {
    /// Until when it is good.
    pub expires_at_secs: u64,
    /// When it was issued, if it says so.
    pub issued_at_secs: Option<u64>,
}

impl Token {
    /// Its claims.
    pub fn claims(&self) -> &Map<String, Value> {
        &self.claims
    }

    /// Checks that the type is one of these, compared as media types: case-insensitive, `application/` left out
    /// (RFC 7515 section 4.1.9). `None` among them admits a token without a type.
    pub fn typ_is(&self, accepted: &[Option<&str>]) -> Result<(), JwtError> {
        let typ = self.typ.as_deref().map(|typ| {
            let lower = typ.to_ascii_lowercase();
            lower.strip_prefix("application/").map_or(lower.clone(), str::to_owned)
        });
        let fits = accepted.iter().any(|one| one.map(str::to_ascii_lowercase) == typ);
        if fits { Ok(()) } else { Err(JwtError::Type) }
    }

    /// Checks the issuer, exactly.
    pub fn issuer_is(&self, issuer: &str) -> Result<(), JwtError> {
        if self.text("iss")? == issuer { Ok(()) } else { Err(JwtError::Issuer) }
    }

    /// Checks `exp`, which must be there, `nbf` and `iat` against the time, with [`LEEWAY_SECS`].
    pub fn times(&self, now_secs: u64) -> Result<Times, JwtError> {
        let expires_at_secs = self.date("exp")?.ok_or(JwtError::Missing("exp"))?;
        if now_secs >= expires_at_secs.saturating_add(LEEWAY_SECS) {
            return Err(JwtError::Expired);
        }
        if self.date("nbf")?.is_some_and(|nbf| nbf > now_secs.saturating_add(LEEWAY_SECS)) {
            return Err(JwtError::NotYet);
        }
        let issued_at_secs = self.date("iat")?;
        if issued_at_secs.is_some_and(|iat| iat > now_secs.saturating_add(LEEWAY_SECS)) {
            return Err(JwtError::Future);
        }
        Ok(Times { expires_at_secs, issued_at_secs })
    }

    /// A text that must be there and isn't empty.
    pub fn text(&self, name: &'static str) -> Result<&str, JwtError> {
        self.text_if_any(name)?.ok_or(JwtError::Missing(name))
    }

    /// A text that may be there.
    pub fn text_if_any(&self, name: &'static str) -> Result<Option<&str>, JwtError> {
        match self.claims.get(name) {
            None => Ok(None),
            Some(Value::String(text)) if !text.is_empty() => Ok(Some(text)),
            Some(_) => Err(JwtError::Claim(name)),
        }
    }

    /// The audiences: one text or a list of texts (RFC 7519 section 4.1.3).
    pub fn audiences(&self) -> Result<Vec<&str>, JwtError> {
        match self.claims.get("aud") {
            None => Err(JwtError::Missing("aud")),
            Some(Value::String(one)) => Ok(vec![one]),
            Some(Value::Array(many)) if !many.is_empty() => {
                many.iter().map(|one| one.as_str().ok_or(JwtError::Claim("aud"))).collect()
            }
            Some(_) => Err(JwtError::Claim("aud")),
        }
    }

    /// A `NumericDate` (RFC 7519 section 2), which may have a fraction.
    fn date(&self, name: &'static str) -> Result<Option<u64>, JwtError> {
        let Some(value) = self.claims.get(name) else { return Ok(None) };
        if let Some(secs) = value.as_u64() {
            return Ok(Some(secs));
        }
        // Beyond 2^53 a float no longer counts seconds.
        let secs = value.as_f64().filter(|secs| (0.0..9_007_199_254_740_992.0).contains(secs)).ok_or(JwtError::Claim(name))?;
        secs.trunc().to_string().parse().map(Some).map_err(|_| JwtError::Claim(name))
    }
}

/// Signs claims.
pub fn sign(key: &SigningKey, typ: &str, claims: &Map<String, Value>) -> Result<String, KeyError> {
    let mut header = Map::new();
    header.insert("alg".into(), key.algorithm().as_str().into());
    header.insert("typ".into(), typ.into());
    if let Some(kid) = key.kid() {
        header.insert("kid".into(), kid.into());
    }
    let json = |object: &Map<String, Value>| serde_json::to_vec(object).map_err(|_| KeyError::Sign);
    let part = |object: &Map<String, Value>| json(object).map(|json| base64url_encode(&json));
    let signed = format!("{}.{}", part(&header)?, part(claims)?);
    let signature = key.sign_bytes(signed.as_bytes())?;
    Ok(format!("{signed}.{}", base64url_encode(&signature)))
}
