//! The master key and what it seals: AES-256-GCM with a random nonce, the secret's name as additional data, so that a value
//! can't be moved to another name.

use std::fmt;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use aws_lc_rs::aead::{AES_256_GCM, Aad, NONCE_LEN, Nonce, RandomizedNonceKey};
use aws_lc_rs::{hmac, rand};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use zeroize::{Zeroize as _, Zeroizing};

/// Why there is no master key.
#[derive(Debug, thiserror::Error)]
pub enum KeyError {
    /// The file can't be read or written.
    #[error("the master key file `{path}` can't be used: {error}", path = .path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// What the system said.
        error: io::Error,
    },
    /// Others than its owner may read the file.
    #[error("the master key file `{}` has mode {mode:o}; only its owner may read it: `chmod 600` it", .path.display())]
    Mode {
        /// The file.
        path: PathBuf,
        /// Its permission bits.
        mode: u32,
    },
    /// It isn't 32 bytes in base64.
    #[error("the master key is not 32 bytes in base64")]
    Malformed,
    /// The system has no random bytes.
    #[error("the system gave no random bytes")]
    Random,
}

/// The key under which secrets are sealed: wiped from memory when dropped, never shown.
#[derive(Clone)]
pub struct MasterKey(Zeroizing<[u8; MasterKey::BYTES]>);

impl MasterKey {
    /// Its length in bytes.
    pub const BYTES: usize = 32;

    /// A new one from the system's random source.
    pub fn generate() -> Result<Self, KeyError> {
        let mut bytes = Zeroizing::new([0; Self::BYTES]);
        rand::fill(bytes.as_mut()).map_err(|_| KeyError::Random)?;
        Ok(Self(bytes))
    }

    /// The key that a text holds, such as an environment variable's value: 32 bytes in base64.
    pub fn from_base64(text: &str) -> Result<Self, KeyError> {
        let bytes = Zeroizing::new(STANDARD.decode(text.trim()).map_err(|_| KeyError::Malformed)?);
        let mut key = Zeroizing::new([0; Self::BYTES]);
        if bytes.len() != Self::BYTES {
            return Err(KeyError::Malformed);
        }
        key.copy_from_slice(&bytes);
        Ok(Self(key))
    }

    /// The key of a file. Refuses a file that others than its owner may read.
    pub fn open(path: &Path) -> Result<Self, KeyError> {
        let failed = |error| KeyError::File { path: path.to_owned(), error };
        let mut file = File::open(path).map_err(failed)?;
        let mode = file.metadata().map_err(failed)?.mode() & 0o7777;
        if mode & 0o077 != 0 {
            return Err(KeyError::Mode { path: path.to_owned(), mode });
        }
        let mut text = Zeroizing::new(String::with_capacity(128));
        (&mut file).take(128).read_to_string(&mut text).map_err(failed)?;
        Self::from_base64(&text)
    }

    /// The key of a file; where there is none, a new key in a new file that only its owner may read.
    pub fn open_or_create(path: &Path) -> Result<Self, KeyError> {
        match Self::open(path) {
            Err(KeyError::File { error, .. }) if error.kind() == io::ErrorKind::NotFound => {}
            found => return found,
        }
        let key = Self::generate()?;
        match key.create(path) {
            // Another process was faster: its key counts.
            Err(KeyError::File { error, .. }) if error.kind() == io::ErrorKind::AlreadyExists => Self::open(path),
            Err(error) => Err(error),
            Ok(()) => Ok(key),
        }
    }

    /// Writes the key to a new file, whole or not at all, that only its owner may read.
    pub fn create(&self, path: &Path) -> Result<(), KeyError> {
        let failed = |error| KeyError::File { path: path.to_owned(), error };
        let directory = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
        let text = Zeroizing::new(format!("{}\n", STANDARD.encode(self.0.as_slice())));
        let draft = Self::draft(path)?;
        let written = (|| {
            let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&draft)?;
            file.write_all(text.as_bytes())?;
            file.sync_all()?;
            // Unlike a rename, a link never replaces a key that is there already.
            fs::hard_link(&draft, path)?;
            File::open(directory)?.sync_all()
        })();
        let _ = fs::remove_file(&draft);
        written.map_err(failed)
    }

    fn draft(path: &Path) -> Result<PathBuf, KeyError> {
        let mut random = [0_u8; 8];
        rand::fill(&mut random).map_err(|_| KeyError::Random)?;
        let mut name = path.as_os_str().to_owned();
        name.push(format!(".{:016x}", u64::from_le_bytes(random)));
        Ok(name.into())
    }

    /// A key of its own for another purpose (HMAC-SHA-256 of the purpose): who has it doesn't have this one.
    pub fn derive(&self, purpose: &str) -> Zeroizing<[u8; Self::BYTES]> {
        let tag = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, self.0.as_slice()), purpose.as_bytes());
        let mut key = Zeroizing::new([0; Self::BYTES]);
        key.copy_from_slice(tag.as_ref());
        key
    }

    fn aead(&self) -> Option<RandomizedNonceKey> {
        RandomizedNonceKey::new(&AES_256_GCM, self.0.as_slice()).ok()
    }

    /// Seals: nonce, ciphertext, tag. `None` if the system has no random bytes.
    pub(crate) fn seal(&self, name: &str, value: &[u8]) -> Option<Vec<u8>> {
        let mut sealed = value.to_vec();
        let nonce = self.aead()?.seal_in_place_append_tag(Aad::from(aad(name)), &mut sealed);
        let Ok(nonce) = nonce else {
            sealed.zeroize();
            return None;
        };
        let mut out = nonce.as_ref().to_vec();
        out.extend_from_slice(&sealed);
        Some(out)
    }

    /// Opens. `None` if it was sealed under another key or name, or was changed.
    pub(crate) fn open_sealed(&self, name: &str, sealed: &[u8]) -> Option<Zeroizing<Vec<u8>>> {
        let (nonce, sealed) = sealed.split_at_checked(NONCE_LEN)?;
        let nonce = Nonce::try_assume_unique_for_key(nonce).ok()?;
        let mut value = Zeroizing::new(sealed.to_vec());
        let len = self.aead()?.open_in_place(nonce, Aad::from(aad(name)), &mut value).ok()?.len();
        value.truncate(len);
        Some(value)
    }
}

impl fmt::Debug for MasterKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("MasterKey(redacted)")
    }
}

fn aad(name: &str) -> Vec<u8> {
    format!("remit secret v1\0{name}").into_bytes()
}
