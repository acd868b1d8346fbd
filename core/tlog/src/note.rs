//! C2SP signed notes with Ed25519 keys: a text, a blank line, and one line for each signature.

use std::fmt;

use aws_lc_rs::signature::{ED25519, Ed25519KeyPair, KeyPair as _, UnparsedPublicKey};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use thiserror::Error;

use crate::hash::short_hash;

/// The signature type identifier of Ed25519 in a key.
const ED25519_TYPE: u8 = 0x01;
/// A note with more signatures is refused.
const SIGNATURES_MAX: usize = 64;
const SIGNATURE_PREFIX: &str = "— ";

/// Why a key or a note was refused.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum NoteError {
    /// A key name is empty, or has a space, a control character or a plus sign.
    #[error("key name `{0}` is not allowed in a signed note")]
    Name(String),
    /// A verifier key is not `<name>+<key ID>+<base64 of type and key>`.
    #[error("verifier key is malformed")]
    VerifierKey,
    /// The seed is not usable as a signing key.
    #[error("signing key is malformed")]
    SigningKey,
    /// The text is empty, lacks the final newline, or has a control character.
    #[error("note text is malformed")]
    Text,
    /// The note has no signature block, or a signature line is malformed.
    #[error("note signatures are malformed")]
    Signatures,
    /// A signature made by a trusted key's name and ID does not verify.
    #[error("signature of `{0}` does not verify")]
    Invalid(String),
    /// No signature is from a trusted key.
    #[error("note is not signed by a trusted key")]
    Untrusted,
}

/// A key that signs notes.
pub struct Signer {
    verifier: Verifier,
    pair: Ed25519KeyPair,
}

impl Signer {
    /// The signer named `name` with the Ed25519 seed `seed`.
    pub fn from_seed(name: &str, seed: &[u8; 32]) -> Result<Self, NoteError> {
        let pair = Ed25519KeyPair::from_seed_unchecked(seed).map_err(|_| NoteError::SigningKey)?;
        let key = pair.public_key().as_ref().try_into().map_err(|_| NoteError::SigningKey)?;
        Ok(Self { verifier: Verifier::new(name, key)?, pair })
    }

    /// The public half.
    pub fn verifier(&self) -> &Verifier {
        &self.verifier
    }

    /// Signs `text`, which ends with a newline.
    pub fn sign(&self, text: &str) -> Result<Note, NoteError> {
        check_text(text)?;
        let signature = NoteSignature {
            name: self.verifier.name.clone(),
            key_id: self.verifier.key_id,
            bytes: self.pair.sign(text.as_bytes()).as_ref().to_vec(),
        };
        Ok(Note { text: text.to_owned(), signatures: vec![signature] })
    }
}

impl fmt::Debug for Signer {
    /// Names the key; never shows it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Signer").field("verifier", &self.verifier).finish_non_exhaustive()
    }
}

/// A public key that verifies notes. `Display` and [`Verifier::parse`] use the vkey encoding.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verifier {
    name: String,
    key_id: [u8; 4],
    key: [u8; 32],
}

impl Verifier {
    /// The verifier named `name` with the Ed25519 public key `key`.
    pub fn new(name: &str, key: [u8; 32]) -> Result<Self, NoteError> {
        if !is_name(name) {
            return Err(NoteError::Name(name.to_owned()));
        }
        Ok(Self { name: name.to_owned(), key_id: key_id(name, ED25519_TYPE, &key), key })
    }

    /// Reads a vkey: `<name>+<key ID in hexadecimal>+<base64 of the type byte and the key>`.
    pub fn parse(vkey: &str) -> Result<Self, NoteError> {
        let (name, key) = vkey_parse(vkey, ED25519_TYPE)?;
        let verifier = Self::new(name, key)?;
        // One spelling only: this also checks the key ID.
        if verifier.to_string() == vkey { Ok(verifier) } else { Err(NoteError::VerifierKey) }
    }

    /// The key's name; for a log, its origin.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The key's short identifier, bound to its name and type.
    pub fn key_id(&self) -> [u8; 4] {
        self.key_id
    }

    /// The Ed25519 public key.
    pub fn key(&self) -> &[u8; 32] {
        &self.key
    }

    /// Whether `signature` is this key's signature of `text`.
    pub fn verifies(&self, text: &str, signature: &[u8]) -> bool {
        UnparsedPublicKey::new(&ED25519, &self.key).verify(text.as_bytes(), signature).is_ok()
    }
}

impl fmt::Display for Verifier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&vkey_format(&self.name, self.key_id, ED25519_TYPE, self.key))
    }
}

/// The short identifier of an Ed25519 key of this signature type.
pub(crate) fn key_id(name: &str, kind: u8, key: &[u8; 32]) -> [u8; 4] {
    short_hash(&[name.as_bytes(), b"\n", &[kind], key])
}

/// The name and the Ed25519 key of a vkey of this signature type; whether its key ID is right shows when it is written again.
pub(crate) fn vkey_parse(vkey: &str, kind: u8) -> Result<(&str, [u8; 32]), NoteError> {
    let (name, rest) = vkey.split_once('+').ok_or(NoteError::VerifierKey)?;
    let (_, encoded) = rest.split_once('+').ok_or(NoteError::VerifierKey)?;
    let bytes = STANDARD.decode(encoded).map_err(|_| NoteError::VerifierKey)?;
    match bytes.split_first() {
        Some((found, key)) if *found == kind => Ok((name, key.try_into().map_err(|_| NoteError::VerifierKey)?)),
        _ => Err(NoteError::VerifierKey),
    }
}

/// A vkey: `<name>+<key ID in hexadecimal>+<base64 of the type byte and the key>`.
pub(crate) fn vkey_format(name: &str, key_id: [u8; 4], kind: u8, key: [u8; 32]) -> String {
    let typed: Vec<u8> = std::iter::once(kind).chain(key).collect();
    format!("{name}+{:08x}+{}", u32::from_be_bytes(key_id), STANDARD.encode(typed))
}

/// One signature of a note.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NoteSignature {
    /// The name of the key.
    pub name: String,
    /// The short identifier of the key.
    pub key_id: [u8; 4],
    /// The signature, in the form its key's type demands.
    pub bytes: Vec<u8>,
}

/// A text with its signatures; `Display` writes the note.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Note {
    text: String,
    signatures: Vec<NoteSignature>,
}

impl Note {
    /// Reads a note. Its text must not be used before [`Note::verify`] agrees.
    pub fn parse(note: &str) -> Result<Self, NoteError> {
        let split = note.rfind("\n\n").ok_or(NoteError::Signatures)?;
        let (text, block) = note.split_at_checked(split + 1).ok_or(NoteError::Signatures)?;
        check_text(text)?;
        let lines = block.strip_prefix('\n').and_then(|lines| lines.strip_suffix('\n')).ok_or(NoteError::Signatures)?;
        let signatures = lines.split('\n').take(SIGNATURES_MAX + 1).map(parse_signature).collect::<Result<Vec<_>, _>>()?;
        if signatures.len() > SIGNATURES_MAX {
            return Err(NoteError::Signatures);
        }
        Ok(Self { text: text.to_owned(), signatures })
    }

    /// The signed text, with its final newline.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// The signatures, verified or not.
    pub fn signatures(&self) -> &[NoteSignature] {
        &self.signatures
    }

    /// The text, if `verifier` signed it; a bad signature under its name and ID spoils the note.
    pub fn verify(&self, verifier: &Verifier) -> Result<&str, NoteError> {
        let mut trusted = false;
        for signature in &self.signatures {
            if signature.name != verifier.name || signature.key_id != verifier.key_id {
                continue;
            }
            if !verifier.verifies(&self.text, &signature.bytes) {
                return Err(NoteError::Invalid(signature.name.clone()));
            }
            trusted = true;
        }
        if trusted { Ok(&self.text) } else { Err(NoteError::Untrusted) }
    }
}

impl Note {
    /// Adds signatures to it, verified or not; those that it has already once only.
    pub fn add(&mut self, signatures: impl IntoIterator<Item = NoteSignature>) {
        for signature in signatures {
            if self.signatures.len() < SIGNATURES_MAX && !self.signatures.contains(&signature) {
                self.signatures.push(signature);
            }
        }
    }
}

impl NoteSignature {
    /// Reads a signature line, without its newline.
    pub fn parse(line: &str) -> Result<Self, NoteError> {
        parse_signature(line)
    }
}

impl fmt::Display for NoteSignature {
    /// A signature line, without its newline.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut bytes = self.key_id.to_vec();
        bytes.extend_from_slice(&self.bytes);
        write!(f, "{SIGNATURE_PREFIX}{} {}", self.name, STANDARD.encode(bytes))
    }
}

impl fmt::Display for Note {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}", self.text)?;
        self.signatures.iter().try_for_each(|signature| writeln!(f, "{signature}"))
    }
}

fn parse_signature(line: &str) -> Result<NoteSignature, NoteError> {
    let rest = line.strip_prefix(SIGNATURE_PREFIX).ok_or(NoteError::Signatures)?;
    let (name, encoded) = rest.split_once(' ').ok_or(NoteError::Signatures)?;
    let bytes = STANDARD.decode(encoded).map_err(|_| NoteError::Signatures)?;
    match bytes.split_first_chunk::<4>() {
        Some((key_id, bytes)) if is_name(name) && !bytes.is_empty() => {
            Ok(NoteSignature { name: name.to_owned(), key_id: *key_id, bytes: bytes.to_vec() })
        }
        _ => Err(NoteError::Signatures),
    }
}

fn check_text(text: &str) -> Result<(), NoteError> {
    let controls = text.bytes().any(|byte| byte < b' ' && byte != b'\n');
    if controls || !text.ends_with('\n') { Err(NoteError::Text) } else { Ok(()) }
}

/// Whether `name` may name a key: not empty, no Unicode space, no control character, no plus sign.
pub(crate) fn is_name(name: &str) -> bool {
    !name.is_empty() && !name.chars().any(|c| c.is_whitespace() || c.is_control() || c == '+')
}
