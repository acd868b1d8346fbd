//! JSON Web Keys (RFC 7517, RFC 7518, RFC 8037): public keys that verify, private keys that sign.

use aws_lc_rs::digest::{SHA256, digest};
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{
    self, ECDSA_P256_SHA256_FIXED_SIGNING, ECDSA_P384_SHA384_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair, KeyPair as _,
    RsaKeyPair, RsaPublicKeyComponents, UnparsedPublicKey,
};
use base64::Engine as _;
use remit_mcp::json::{Limits, scan};
use serde_json::{Map, Value, json};
use zeroize::Zeroizing;

use crate::{base64url, base64url_encode};

/// The most keys of a set that are looked at.
const KEYS_MAX: usize = 128;

/// A signature algorithm that we accept. `none` and the symmetric ones aren't among them, so no token can ask for them
/// (RFC 8725 sections 2.1 and 3.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Algorithm {
    /// RSASSA-PKCS1-v1_5 with SHA-256.
    Rs256,
    /// RSASSA-PSS with SHA-256.
    Ps256,
    /// ECDSA on P-256 with SHA-256.
    Es256,
    /// ECDSA on P-384 with SHA-384.
    Es384,
    /// Ed25519.
    EdDsa,
}

impl Algorithm {
    /// All of them.
    pub const ALL: [Self; 5] = [Self::Rs256, Self::Ps256, Self::Es256, Self::Es384, Self::EdDsa];

    /// The name in a JWS header.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Rs256 => "RS256",
            Self::Ps256 => "PS256",
            Self::Es256 => "ES256",
            Self::Es384 => "ES384",
            Self::EdDsa => "EdDSA",
        }
    }

    /// The algorithm with this name; names are case-sensitive (RFC 7515 section 4.1.1).
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|algorithm| algorithm.as_str() == name)
    }
}

/// Why a key can't be used. Holds no part of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum KeyError {
    /// Not a JWK set.
    #[error("the text is not a JSON Web Key Set")]
    Set,
    /// Not a private key in PEM form of a kind that fits the algorithm.
    #[error("the text is not a PEM private key for this algorithm")]
    Pem,
    /// The library refused to sign.
    #[error("signing failed")]
    Sign,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Material {
    Rsa { n: Vec<u8>, e: Vec<u8> },
    P256(Vec<u8>),
    P384(Vec<u8>),
    Ed25519(Vec<u8>),
}

/// A public key that verifies signatures.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PublicKey {
    kid: Option<String>,
    algorithm: Option<Algorithm>,
    material: Material,
}

impl PublicKey {
    /// Reads one JWK. `None` for what we have no use for: other types and curves, weak RSA, encryption keys, and any key
    /// that is published with its private half.
    pub fn from_jwk(jwk: &Value) -> Option<Self> {
        let text = |name: &str| jwk.get(name).and_then(Value::as_str);
        let bytes = |name: &str| text(name).and_then(base64url);
        if jwk.get("d").is_some() || text("use").is_some_and(|usage| usage != "sig") {
            return None;
        }
        if let Some(operations) = jwk.get("key_ops") {
            operations.as_array()?.iter().find(|operation| operation.as_str() == Some("verify"))?;
        }
        let material = match (text("kty")?, text("crv")) {
            ("RSA", _) => rsa(bytes("n")?, bytes("e")?)?,
            ("EC", Some("P-256")) => Material::P256(point(&bytes("x")?, &bytes("y")?, 32)?),
            ("EC", Some("P-384")) => Material::P384(point(&bytes("x")?, &bytes("y")?, 48)?),
            ("OKP", Some("Ed25519")) => Material::Ed25519(bytes("x").filter(|x| x.len() == 32)?),
            _ => return None,
        };
        let algorithm = match text("alg") {
            Some(name) => Some(Algorithm::parse(name)?),
            None => None,
        };
        Some(Self { kid: text("kid").map(str::to_owned), algorithm, material })
    }

    /// Whether the key may be used with this algorithm: the key decides, not the token (RFC 8725 section 3.1).
    pub fn fits(&self, algorithm: Algorithm) -> bool {
        let kind = match self.material {
            Material::Rsa { .. } => matches!(algorithm, Algorithm::Rs256 | Algorithm::Ps256),
            Material::P256(_) => algorithm == Algorithm::Es256,
            Material::P384(_) => algorithm == Algorithm::Es384,
            Material::Ed25519(_) => algorithm == Algorithm::EdDsa,
        };
        kind && self.algorithm.is_none_or(|own| own == algorithm)
    }

    /// Whether the signature is this key's on the message.
    pub fn verify(&self, algorithm: Algorithm, message: &[u8], signature: &[u8]) -> bool {
        if !self.fits(algorithm) {
            return false;
        }
        let verified = match (&self.material, algorithm) {
            (Material::Rsa { n, e }, Algorithm::Ps256) => {
                RsaPublicKeyComponents { n, e }.verify(&signature::RSA_PSS_2048_8192_SHA256, message, signature)
            }
            (Material::Rsa { n, e }, _) => {
                RsaPublicKeyComponents { n, e }.verify(&signature::RSA_PKCS1_2048_8192_SHA256, message, signature)
            }
            (Material::P256(point), _) => {
                UnparsedPublicKey::new(&signature::ECDSA_P256_SHA256_FIXED, point).verify(message, signature)
            }
            (Material::P384(point), _) => {
                UnparsedPublicKey::new(&signature::ECDSA_P384_SHA384_FIXED, point).verify(message, signature)
            }
            (Material::Ed25519(key), _) => UnparsedPublicKey::new(&signature::ED25519, key).verify(message, signature),
        };
        verified.is_ok()
    }
}

fn rsa(n: Vec<u8>, e: Vec<u8>) -> Option<Material> {
    let strip = |bytes: Vec<u8>| bytes.into_iter().skip_while(|byte| *byte == 0).collect::<Vec<u8>>();
    let (n, e) = (strip(n), strip(e));
    // The bounds of what aws-lc verifies; less than 2048 bits is weak (RFC 7518 section 3.3).
    ((256..=1024).contains(&n.len()) && (1..=8).contains(&e.len())).then_some(Material::Rsa { n, e })
}

/// An uncompressed point; coordinates have the full length (RFC 7518 section 6.2.1.2).
fn point(x: &[u8], y: &[u8], len: usize) -> Option<Vec<u8>> {
    (x.len() == len && y.len() == len).then(|| [&[4], x, y].concat())
}

/// A set of public keys.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct JwkSet {
    keys: Vec<PublicKey>,
}

impl JwkSet {
    /// Reads a set; keys that we have no use for are left out (RFC 7517 section 5).
    pub fn parse(text: &[u8]) -> Result<Self, KeyError> {
        scan(text, Limits { depth_max: 8, keys_max: 10_000 }).map_err(|_| KeyError::Set)?;
        let value: Value = serde_json::from_slice(text).map_err(|_| KeyError::Set)?;
        let keys = value.get("keys").and_then(Value::as_array).ok_or(KeyError::Set)?;
        Ok(Self { keys: keys.iter().take(KEYS_MAX).filter_map(PublicKey::from_jwk).collect() })
    }

    /// Whether there is none that we have a use for.
    pub fn is_empty(&self) -> bool {
        self.keys.is_empty()
    }

    /// The keys that may have signed a token with this header. A token without `kid` fits only a set in which one key can be
    /// meant: trying many keys would let a token choose.
    pub fn candidates(&self, kid: Option<&str>, algorithm: Algorithm) -> Vec<&PublicKey> {
        let fitting = self.keys.iter().filter(|key| key.fits(algorithm));
        match kid {
            Some(kid) => fitting.filter(|key| key.kid.as_deref() == Some(kid)).take(4).collect(),
            None => fitting.collect(),
        }
    }

    /// Adds the public half of a key of ours.
    pub fn add(&mut self, key: &SigningKey) {
        if let Some(public) = key.public_jwk().as_ref().and_then(PublicKey::from_jwk) {
            self.keys.push(public);
        }
    }
}

enum Pair {
    Ed25519(Box<Ed25519KeyPair>),
    Ecdsa(Box<EcdsaKeyPair>),
    Rsa(Box<RsaKeyPair>),
}

/// A private key that signs.
pub struct SigningKey {
    kid: Option<String>,
    algorithm: Algorithm,
    pair: Pair,
}

impl std::fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SigningKey").field("kid", &self.kid).field("algorithm", &self.algorithm).finish_non_exhaustive()
    }
}

impl SigningKey {
    /// The Ed25519 key of a random seed. Its id is its thumbprint (RFC 7638, RFC 8037 section 2).
    pub fn from_seed(seed: &[u8; 32]) -> Result<Self, KeyError> {
        let pair = Ed25519KeyPair::from_seed_unchecked(seed).map_err(|_| KeyError::Sign)?;
        let x = base64url_encode(pair.public_key().as_ref());
        let canonical = format!("{{\"crv\":\"Ed25519\",\"kty\":\"OKP\",\"x\":\"{x}\"}}");
        let kid = base64url_encode(digest(&SHA256, canonical.as_bytes()).as_ref());
        Ok(Self { kid: Some(kid), algorithm: Algorithm::EdDsa, pair: Pair::Ed25519(Box::new(pair)) })
    }

    /// A private key in PEM form: PKCS#8, SEC 1 or PKCS#1.
    pub fn from_pem(pem: &str, algorithm: Algorithm, kid: Option<String>) -> Result<Self, KeyError> {
        let der = pem_body(pem).ok_or(KeyError::Pem)?;
        let pair = match algorithm {
            Algorithm::EdDsa => Ed25519KeyPair::from_pkcs8_maybe_unchecked(&der).ok().map(|pair| Pair::Ed25519(Box::new(pair))),
            Algorithm::Rs256 | Algorithm::Ps256 => {
                let pair = RsaKeyPair::from_pkcs8(&der).or_else(|_| RsaKeyPair::from_der(&der));
                pair.ok().map(|pair| Pair::Rsa(Box::new(pair)))
            }
            Algorithm::Es256 | Algorithm::Es384 => {
                let (p256, p384) = (&ECDSA_P256_SHA256_FIXED_SIGNING, &ECDSA_P384_SHA384_FIXED_SIGNING);
                let curve = if algorithm == Algorithm::Es256 { p256 } else { p384 };
                let pair = EcdsaKeyPair::from_pkcs8(curve, &der).or_else(|_| EcdsaKeyPair::from_private_key_der(curve, &der));
                pair.ok().map(|pair| Pair::Ecdsa(Box::new(pair)))
            }
        };
        Ok(Self { kid, algorithm, pair: pair.ok_or(KeyError::Pem)? })
    }

    /// Its id, if it has one.
    pub fn kid(&self) -> Option<&str> {
        self.kid.as_deref()
    }

    /// Its algorithm.
    pub fn algorithm(&self) -> Algorithm {
        self.algorithm
    }

    /// The public half as a JWK; `None` for RSA, of which we publish none.
    pub fn public_jwk(&self) -> Option<Value> {
        let mut jwk = match &self.pair {
            Pair::Ed25519(pair) => json!({ "kty": "OKP", "crv": "Ed25519", "x": base64url_encode(pair.public_key().as_ref()) }),
            Pair::Ecdsa(pair) => {
                let (_, coordinates) = pair.public_key().as_ref().split_first()?;
                let (x, y) = coordinates.split_at_checked(coordinates.len() / 2)?;
                let curve = if self.algorithm == Algorithm::Es256 { "P-256" } else { "P-384" };
                json!({ "kty": "EC", "crv": curve, "x": base64url_encode(x), "y": base64url_encode(y) })
            }
            Pair::Rsa(_) => return None,
        };
        let object: &mut Map<String, Value> = jwk.as_object_mut()?;
        object.insert("use".into(), "sig".into());
        object.insert("alg".into(), self.algorithm.as_str().into());
        if let Some(kid) = &self.kid {
            object.insert("kid".into(), kid.as_str().into());
        }
        Some(jwk)
    }

    /// The signature on a message. Ed25519 and PKCS#1 are deterministic; the others draw their nonce inside the library.
    pub(crate) fn sign_bytes(&self, message: &[u8]) -> Result<Vec<u8>, KeyError> {
        match &self.pair {
            Pair::Ed25519(pair) => Ok(pair.sign(message).as_ref().to_vec()),
            Pair::Ecdsa(pair) => {
                let signature = pair.sign(&SystemRandom::new(), message).map_err(|_| KeyError::Sign)?;
                Ok(signature.as_ref().to_vec())
            }
            Pair::Rsa(pair) => {
                let padding: &dyn signature::RsaEncoding =
                    if self.algorithm == Algorithm::Ps256 { &signature::RSA_PSS_SHA256 } else { &signature::RSA_PKCS1_SHA256 };
                let mut signature = vec![0; pair.public_modulus_len()];
                pair.sign(padding, &SystemRandom::new(), message, &mut signature).map_err(|_| KeyError::Sign)?;
                Ok(signature)
            }
        }
    }
}

/// The bytes of the first private key block (RFC 7468).
fn pem_body(pem: &str) -> Option<Zeroizing<Vec<u8>>> {
    let (_, rest) = pem.split_once("-----BEGIN ")?;
    let (label, rest) = rest.split_once("-----")?;
    if !matches!(label, "PRIVATE KEY" | "EC PRIVATE KEY" | "RSA PRIVATE KEY") {
        return None;
    }
    let (body, _) = rest.split_once("-----END ")?;
    let body = Zeroizing::new(body.chars().filter(|c| !c.is_ascii_whitespace()).collect::<String>());
    base64::engine::general_purpose::STANDARD.decode(body.as_bytes()).ok().map(Zeroizing::new)
}
