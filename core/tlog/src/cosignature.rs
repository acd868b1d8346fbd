//! C2SP tlog-cosignature, the Ed25519 form: what a witness says of a checkpoint.

use std::fmt;

use crate::note::{Note, NoteError, NoteSignature, is_name, key_id, vkey_format, vkey_parse};
use aws_lc_rs::signature::{ED25519, Ed25519KeyPair, KeyPair as _, UnparsedPublicKey};

/// The signature type identifier of an Ed25519 cosignature in a key.
const COSIGNATURE_TYPE: u8 = 0x04;
/// The bytes of the time before the signature.
const TIME_BYTES: usize = 8;
/// The bytes of the signature.
const SIGNATURE_BYTES: usize = 64;

/// The public key of a witness. `Display` and [`WitnessKey::parse`] use the vkey encoding with the type of cosignatures.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WitnessKey {
    name: String,
    key_id: [u8; 4],
    key: [u8; 32],
}

impl WitnessKey {
    /// The key of the witness named `name`.
    pub fn new(name: &str, key: [u8; 32]) -> Result<Self, NoteError> {
        if !is_name(name) {
            return Err(NoteError::Name(name.to_owned()));
        }
        Ok(Self { name: name.to_owned(), key_id: key_id(name, COSIGNATURE_TYPE, &key), key })
    }

    /// Reads a vkey: `<name>+<key ID in hexadecimal>+<base64 of the type byte and the key>`.
    pub fn parse(vkey: &str) -> Result<Self, NoteError> {
        let (name, key) = vkey_parse(vkey, COSIGNATURE_TYPE)?;
        let parsed = Self::new(name, key)?;
        // One spelling only: this also checks the key ID.
        if parsed.to_string() == vkey { Ok(parsed) } else { Err(NoteError::VerifierKey) }
    }

    /// The witness's name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// When the witness cosigned `note`, in seconds since the epoch; `None` if it didn't. A bad signature under its name and ID spoils the note.
    pub fn cosigned_at(&self, note: &Note) -> Result<Option<u64>, NoteError> {
        let mut newest = None;
        for signature in note.signatures().iter().filter(|one| one.name == self.name && one.key_id == self.key_id) {
            let at_secs = self.verify(note.text(), &signature.bytes).ok_or_else(|| NoteError::Invalid(self.name.clone()))?;
            newest = newest.max(Some(at_secs));
        }
        Ok(newest)
    }

    /// When this key cosigned `text`, if `signature` is its cosignature.
    fn verify(&self, text: &str, signature: &[u8]) -> Option<u64> {
        let (time, signature) = signature.split_first_chunk::<TIME_BYTES>()?;
        let at_secs = u64::from_be_bytes(*time);
        let is_fit = signature.len() == SIGNATURE_BYTES && i64::try_from(at_secs).is_ok();
        let key = UnparsedPublicKey::new(&ED25519, &self.key);
        (is_fit && key.verify(message(text, at_secs).as_bytes(), signature).is_ok()).then_some(at_secs)
    }
}

impl fmt::Display for WitnessKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&vkey_format(&self.name, self.key_id, COSIGNATURE_TYPE, self.key))
    }
}

/// The key of a witness that signs.
pub struct Cosigner {
    key: WitnessKey,
    pair: Ed25519KeyPair,
}

impl Cosigner {
    /// The witness named `name` with the Ed25519 seed `seed`. A key is for one witness: what is signed doesn't name it.
    pub fn from_seed(name: &str, seed: &[u8; 32]) -> Result<Self, NoteError> {
        let pair = Ed25519KeyPair::from_seed_unchecked(seed).map_err(|_| NoteError::SigningKey)?;
        let key = pair.public_key().as_ref().try_into().map_err(|_| NoteError::SigningKey)?;
        Ok(Self { key: WitnessKey::new(name, key)?, pair })
    }

    /// The public half.
    pub fn key(&self) -> &WitnessKey {
        &self.key
    }

    /// Says of the checkpoint `text` that it is the largest that is known, and that it extends all before; at `now_secs`, seconds since the
    /// epoch.
    pub fn cosign(&self, text: &str, now_secs: u64) -> NoteSignature {
        let mut bytes = now_secs.to_be_bytes().to_vec();
        bytes.extend_from_slice(self.pair.sign(message(text, now_secs).as_bytes()).as_ref());
        NoteSignature { name: self.key.name.clone(), key_id: self.key.key_id, bytes }
    }
}

impl fmt::Debug for Cosigner {
    /// Names the key; never shows it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Cosigner").field("key", &self.key).finish_non_exhaustive()
    }
}

fn message(text: &str, at_secs: u64) -> String {
    format!("cosignature/v1\ntime {at_secs}\n{text}")
}
