//! A key per space, made on first use: what is kept of the space's calls is sealed under it, and the commitments of its entries are salted
//! from it.
//!
//! Who destroys it destroys all of that at once, in every copy and backup that doesn't hold the key, and leaves the journal and its proofs
//! whole: what an entry commits to can't be opened any more, nor guessed.

use std::collections::HashMap;
use std::fs;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError, RwLock};

use aws_lc_rs::aead::{AES_256_GCM, Aad, NONCE_LEN, Nonce, RandomizedNonceKey};
use aws_lc_rs::{digest, hmac};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD_NO_PAD;
use remit_mcp::canonical::hex;
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use crate::Gateway;
use crate::clock::now_ms;
use crate::kept::write;

/// How long the salt of a commitment is, in bytes.
pub const SALT_BYTES: usize = 16;
/// The largest file of a key.
const FILE_BYTES_MAX: u64 = 4096;
/// How long a key's id is, in bytes.
const ID_BYTES: usize = 8;

/// Seals bytes with AES-256-GCM.
pub(crate) struct Sealer(RandomizedNonceKey);

impl Sealer {
    pub(crate) fn new(key: &[u8; 32]) -> Option<Self> {
        RandomizedNonceKey::new(&AES_256_GCM, key).ok().map(Self)
    }

    /// Nonce, ciphertext and tag, bound to `aad`.
    pub(crate) fn seal(&self, mut bytes: Vec<u8>, aad: &[u8]) -> Option<Vec<u8>> {
        let nonce = self.0.seal_in_place_append_tag(Aad::from(aad), &mut bytes).ok()?;
        let mut sealed = Vec::with_capacity(NONCE_LEN + bytes.len());
        sealed.extend_from_slice(nonce.as_ref());
        sealed.append(&mut bytes);
        Some(sealed)
    }

    pub(crate) fn open(&self, sealed: Vec<u8>, aad: &[u8]) -> Option<Vec<u8>> {
        self.open_after(sealed, 0, aad)
    }

    /// The same of what follows the first `skipped` bytes.
    fn open_after(&self, mut sealed: Vec<u8>, skipped: usize, aad: &[u8]) -> Option<Vec<u8>> {
        let (nonce, rest) = sealed.get_mut(skipped..)?.split_at_mut_checked(NONCE_LEN)?;
        let nonce = Nonce::try_assume_unique_for_key(nonce).ok()?;
        let length = self.0.open_in_place(nonce, Aad::from(aad), rest).ok()?.len();
        sealed.drain(..skipped + NONCE_LEN);
        sealed.truncate(length);
        Some(sealed)
    }
}

/// The key of one space.
pub(crate) struct SpaceKey {
    sealer: Sealer,
    salting: hmac::Key,
    /// What is sealed begins with it: so that it is known of what can't be opened whether its key is gone.
    id: [u8; ID_BYTES],
    /// Whether another one was before it, and is destroyed.
    follows: bool,
}

/// Why something that was sealed can't be opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Unopened {
    /// It was sealed under a key that is destroyed.
    Destroyed,
    /// It was sealed under a key that isn't here, or is damaged.
    Foreign,
}

/// What an entry commits itself to without telling it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Committed {
    /// The arguments of a call, byte for byte as they came.
    Arguments,
    /// A result, byte for byte as it goes on to the caller, but for a receipt that is put into it.
    Result,
}

impl Committed {
    fn as_str(self) -> &'static str {
        match self {
            Self::Arguments => "arguments",
            Self::Result => "result",
        }
    }
}

/// The commitment to `bytes` under a salt, as entries hold it: SHA-256 of both, in hexadecimal.
pub fn commitment(salt: &[u8; SALT_BYTES], bytes: &[u8]) -> String {
    let mut context = digest::Context::new(&digest::SHA256);
    context.update(salt);
    context.update(bytes);
    format!("sha256:{}", hex(context.finish().as_ref()))
}

impl SpaceKey {
    fn new(bytes: &[u8; 32], follows: bool) -> Option<Self> {
        let master = hmac::Key::new(hmac::HMAC_SHA256, bytes);
        let derived = |purpose: &str| hmac::sign(&master, purpose.as_bytes());
        let sealing = Zeroizing::new(<[u8; 32]>::try_from(derived("remit space seal v1").as_ref()).ok()?);
        let salting = hmac::Key::new(hmac::HMAC_SHA256, derived("remit space salt v1").as_ref());
        let id = derived("remit space key id v1").as_ref().first_chunk().copied()?;
        Some(Self { sealer: Sealer::new(&sealing)?, salting, id, follows })
    }

    /// The key's id, nonce, ciphertext and tag, bound to `aad`.
    pub(crate) fn seal(&self, bytes: Vec<u8>, aad: &[u8]) -> Option<Vec<u8>> {
        let mut sealed = self.sealer.seal(bytes, aad)?;
        sealed.splice(..0, self.id);
        Some(sealed)
    }

    pub(crate) fn open(&self, sealed: Vec<u8>, aad: &[u8]) -> Result<Vec<u8>, Unopened> {
        if sealed.starts_with(&self.id) {
            return self.sealer.open_after(sealed, ID_BYTES, aad).ok_or(Unopened::Foreign);
        }
        Err(if self.follows { Unopened::Destroyed } else { Unopened::Foreign })
    }

    /// The salt of what a decision's entries commit to: whoever has it can tell whether something is what was committed to.
    pub(crate) fn salt(&self, what: Committed, decision: &str) -> [u8; SALT_BYTES] {
        let tag = hmac::sign(&self.salting, format!("{}\n{decision}", what.as_str()).as_bytes());
        tag.as_ref().first_chunk().copied().unwrap_or_default()
    }

    pub(crate) fn commitment(&self, what: Committed, decision: &str, bytes: &[u8]) -> String {
        commitment(&self.salt(what, decision), bytes)
    }
}

/// A key as its file holds it.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Kept {
    v: u32,
    /// When the one before it was destroyed, in milliseconds since the epoch; 0: it is the first.
    since_ms: u64,
    /// The key, sealed under the root key.
    sealed: String,
}

/// Told of a key's file before it is written: its name, and what it is to hold. What it refuses isn't written.
pub type ShareFile = Arc<dyn Fn(&str, &[u8], &mut dyn FnMut() -> io::Result<()>) -> io::Result<()> + Send + Sync>;

/// The keys of all spaces: a file each, sealed under one root key.
pub struct SpaceKeys {
    root: Sealer,
    dir: PathBuf,
    /// Whether keys are made and destroyed here, and not only read.
    makes: bool,
    /// Where other nodes have the files from.
    share: Option<ShareFile>,
    known: RwLock<HashMap<String, Arc<SpaceKey>>>,
}

impl std::fmt::Debug for SpaceKeys {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SpaceKeys").field("dir", &self.dir).finish_non_exhaustive()
    }
}

/// Why the key of a space can't be had.
#[derive(Debug, Clone, thiserror::Error)]
#[error("the key of space `{space}` can't be had: {why}")]
pub struct NoKey {
    space: String,
    why: String,
}

impl SpaceKeys {
    /// Those in `dir`, sealed under `root`; `None` if that is no key.
    pub fn new(root: &[u8; 32], dir: PathBuf) -> Option<Self> {
        Some(Self { root: Sealer::new(root)?, dir, makes: true, share: None, known: RwLock::default() })
    }

    /// The same for one of several nodes: the others have each file before it is written here.
    #[must_use]
    pub fn shared_by(self, share: Option<ShareFile>) -> Self {
        Self { share, ..self }
    }

    /// The same for who only reads what was kept: nothing is written.
    pub fn reading(root: &[u8; 32], dir: PathBuf) -> Option<Self> {
        Some(Self { makes: false, ..Self::new(root, dir)? })
    }

    /// The key of a space; made, durably, where there is none yet.
    pub(crate) fn of(&self, space: &str) -> Result<Arc<SpaceKey>, NoKey> {
        self.find(space, self.makes)?.ok_or_else(|| no_key(space, &"there is none"))
    }

    /// The same, without making the first one: for who only reads what was kept.
    pub(crate) fn existing(&self, space: &str) -> Result<Option<Arc<SpaceKey>>, NoKey> {
        self.find(space, false)
    }

    fn find(&self, space: &str, first: bool) -> Result<Option<Arc<SpaceKey>>, NoKey> {
        if let Some(known) = self.known.read().unwrap_or_else(PoisonError::into_inner).get(space) {
            return Ok(Some(Arc::clone(known)));
        }
        // Read and remembered under one lock: a key that is destroyed meanwhile must not come back.
        let mut known = self.known.write().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = known.get(space) {
            return Ok(Some(Arc::clone(known)));
        }
        let key = match self.read(space)? {
            Some(key) => key,
            // One was overwritten and none came in its place: that is done now.
            None if self.makes && self.path(space)?.exists() => self.make(space, now_ms())?,
            None if first => self.make(space, 0)?,
            None => return Ok(None),
        };
        let key = Arc::new(key);
        known.insert(space.to_owned(), Arc::clone(&key));
        Ok(Some(key))
    }

    /// The spaces whose keys can't be opened, as where the root key is lost.
    pub fn unopened(&self) -> Result<Vec<String>, NoKey> {
        let files = match fs::read_dir(&self.dir) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            other => other.map_err(|error| no_key("*", &error))?,
        };
        let mut unopened = Vec::new();
        for file in files {
            let name = file.map_err(|error| no_key("*", &error))?.file_name();
            let Some(space) = name.to_str().and_then(|name| name.strip_suffix(".key")) else { continue };
            if self.read(space).is_err() {
                unopened.push(space.to_owned());
            }
        }
        unopened.sort();
        Ok(unopened)
    }

    /// The salt of what a decision of this space committed to, if that was under the key that there is; `None` if there is no key.
    pub fn salt(&self, space: &str, what: Committed, decision: &str) -> Result<Option<[u8; SALT_BYTES]>, NoKey> {
        Ok(self.existing(space)?.map(|key| key.salt(what, decision)))
    }

    /// Opens what was kept of a decision's result beside the outcome's entry; `None` if it was sealed under another key.
    pub fn open_result(&self, space: &str, decision: &str, sealed: Vec<u8>) -> Result<Option<Vec<u8>>, NoKey> {
        Ok(self.existing(space)?.and_then(|key| key.open(sealed, &result_aad(space, decision)).ok()))
    }

    /// Destroys the key of a space: its bytes are overwritten, and another one takes its place. What was sealed under it is sealed for ever.
    pub fn destroy(&self, space: &str) -> Result<(), NoKey> {
        let mut known = self.known.write().unwrap_or_else(PoisonError::into_inner);
        known.remove(space);
        let key = Arc::new(self.make(space, now_ms())?);
        known.insert(space.to_owned(), key);
        Ok(())
    }

    fn path(&self, space: &str) -> Result<PathBuf, NoKey> {
        // Spaces' ids are plain words; what comes out of a journal is asked again.
        let plain =
            !space.is_empty() && space.len() <= 128 && space.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_".contains(&b));
        if plain { Ok(self.dir.join(format!("{space}.key"))) } else { Err(no_key(space, &"it is no space's id")) }
    }

    fn read(&self, space: &str) -> Result<Option<SpaceKey>, NoKey> {
        let fault = |why: &dyn std::fmt::Display| no_key(space, why);
        let path = self.path(space)?;
        let text = match fs::metadata(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(fault(&error)),
            Ok(found) if found.len() > FILE_BYTES_MAX => return Err(fault(&"its file is too large")),
            Ok(_) => fs::read(&path).map_err(|error| fault(&error))?,
        };
        // Another one comes in its place right after.
        if !text.is_empty() && text.iter().all(|byte| *byte == 0) {
            return Ok(None);
        }
        let kept: Kept = serde_json::from_slice(&text).map_err(|error| fault(&error))?;
        let sealed = STANDARD_NO_PAD.decode(&kept.sealed).map_err(|error| fault(&error))?;
        let opened = self.root.open(sealed, &aad(space, kept.since_ms)).map(Zeroizing::new);
        let opened = opened.ok_or_else(|| fault(&"`history.key` is not the one that sealed it"))?;
        let bytes = opened.as_slice().try_into().map_err(|_| fault(&"it has another length"))?;
        SpaceKey::new(bytes, kept.since_ms > 0).map(Some).ok_or_else(|| fault(&"it is not fit"))
    }

    fn make(&self, space: &str, since_ms: u64) -> Result<SpaceKey, NoKey> {
        let fault = |why: &dyn std::fmt::Display| no_key(space, why);
        let path = self.path(space)?;
        let mut bytes = Zeroizing::new([0; 32]);
        aws_lc_rs::rand::fill(&mut *bytes).map_err(|_| fault(&"the system has no random bytes"))?;
        let sealed = self.root.seal(bytes.to_vec(), &aad(space, since_ms)).ok_or_else(|| fault(&"it can't be sealed"))?;
        let kept = Kept { v: 1, since_ms, sealed: STANDARD_NO_PAD.encode(sealed) };
        let text = serde_json::to_vec(&kept).map_err(|error| fault(&error))?;
        // The one before is overwritten when the other nodes have this one: until then they go on with it, and so does this one.
        let mut durably = || {
            overwrite(&path)?;
            write(&self.dir, &path, &text)?;
            fs::File::open(&self.dir)?.sync_all()
        };
        let written = match &self.share {
            Some(share) => share(&format!("{space}.key"), &text, &mut durably),
            None => durably(),
        };
        written.map_err(|error| fault(&error))?;
        SpaceKey::new(&bytes, since_ms > 0).ok_or_else(|| fault(&"it is not fit"))
    }
}

impl Gateway {
    /// Destroys the key of a space, and with it what was kept of its calls: arguments and other facts, results, what temporal conditions look back
    /// on, and approvals that have ended. Conditions that would look back on it deny until none reaches back so far. `Err` says why not:
    /// approvals of the space are open, or the key's file can't be written. It blocks: not to be called on the runtime's own threads.
    pub fn destroy_space_key(&self, space: &str) -> Result<(), String> {
        // Nobody asks for one, or answers, until it is done.
        let _still = self.inner.approvals.still();
        let open = self.inner.approvals.open_in(space);
        if open > 0 {
            return Err(format!("{open} approvals of `{space}` are open: decide them or take them back first"));
        }
        self.inner.recorder.keys().destroy(space).map_err(|error| error.to_string())?;
        self.inner.histories.forget(space, now_ms());
        self.inner.approvals.forget(space);
        Ok(())
    }

    /// The keys of spaces.
    pub fn space_keys(&self) -> Arc<SpaceKeys> {
        Arc::clone(self.inner.recorder.keys())
    }

    /// How many approvals of a space may still be decided or used.
    pub fn approvals_open_in(&self, space: &str) -> usize {
        self.inner.approvals.open_in(space)
    }
}

/// Overwrites the key in a file, if it is there.
pub fn overwrite(path: &Path) -> io::Result<()> {
    let mut file = match fs::OpenOptions::new().write(true).open(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        other => other?,
    };
    let length = usize::try_from(file.metadata()?.len().min(FILE_BYTES_MAX)).unwrap_or(0);
    file.write_all(&vec![0; length])?;
    file.sync_all()
}

fn no_key(space: &str, why: &dyn std::fmt::Display) -> NoKey {
    NoKey { space: space.chars().take(128).collect(), why: why.to_string() }
}

fn aad(space: &str, since_ms: u64) -> Vec<u8> {
    format!("remit space key v1\n{space}\n{since_ms}").into_bytes()
}

/// What a result that is kept is bound to.
pub(crate) fn result_aad(space: &str, decision: &str) -> Vec<u8> {
    format!("remit result v1\n{space}\n{decision}").into_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn keys(dir: &Path) -> SpaceKeys {
        SpaceKeys::new(&[7; 32], dir.join("keys")).unwrap()
    }

    #[test]
    fn what_is_sealed_is_opened_by_the_space_s_own_key_alone() {
        let dir = tempfile::tempdir().unwrap();
        let first = keys(dir.path());
        let sealed = first.of("one").unwrap().seal(b"secret".to_vec(), b"a").unwrap();
        assert!(first.of("two").unwrap().open(sealed.clone(), b"a") == Err(Unopened::Foreign), "another space");
        // The next start has the same keys.
        let again = keys(dir.path());
        assert_eq!(again.existing("one").unwrap().unwrap().open(sealed.clone(), b"a").unwrap(), b"secret");
        assert!(again.existing("three").unwrap().is_none());
        // Nobody opens them under another root.
        let other = SpaceKeys::new(&[8; 32], dir.path().join("keys")).unwrap();
        assert!(other.of("one").err().unwrap().to_string().contains("`history.key` is not the one"));
        // Nor under another space's name.
        fs::copy(dir.path().join("keys/one.key"), dir.path().join("keys/four.key")).unwrap();
        assert!(keys(dir.path()).of("four").is_err());
        assert!(first.of("../one").is_err());
    }

    #[test]
    fn a_key_that_other_nodes_could_not_be_told_is_destroyed_stays() {
        let dir = tempfile::tempdir().unwrap();
        let sealed = keys(dir.path()).of("one").unwrap().seal(b"secret".to_vec(), b"a").unwrap();
        let share: ShareFile = Arc::new(|_, _, _| Err(io::Error::other("the bucket is away")));
        let shared = keys(dir.path()).shared_by(Some(share));
        assert!(shared.destroy("one").is_err());
        for keys in [&shared, &keys(dir.path())] {
            assert_eq!(keys.of("one").unwrap().open(sealed.clone(), b"a").unwrap(), b"secret");
        }
    }

    #[test]
    fn a_key_that_is_destroyed_opens_nothing_any_more() {
        let dir = tempfile::tempdir().unwrap();
        let all = keys(dir.path());
        let (one, two) = (all.of("one").unwrap(), all.of("two").unwrap());
        let told = one.commitment(Committed::Arguments, "d", b"{}");
        assert_eq!(told, one.commitment(Committed::Arguments, "d", b"{}"));
        assert_ne!(told, one.commitment(Committed::Arguments, "e", b"{}"), "equal arguments can't be told from others");
        assert_ne!(told, one.commitment(Committed::Result, "d", b"{}"));
        assert_eq!(told, commitment(&all.salt("one", Committed::Arguments, "d").unwrap().unwrap(), b"{}"));
        let sealed = one.seal(b"secret".to_vec(), b"a").unwrap();
        let before = fs::read(dir.path().join("keys/one.key")).unwrap();
        all.destroy("one").unwrap();
        let files = || fs::read_dir(dir.path().join("keys")).unwrap().map(|file| fs::read(file.unwrap().path()).unwrap());
        assert!(files().all(|file| file != before));
        for keys in [&all, &keys(dir.path())] {
            let next = keys.of("one").unwrap();
            assert_eq!(next.open(sealed.clone(), b"a"), Err(Unopened::Destroyed));
            let mut damaged = next.seal(b"secret".to_vec(), b"a").unwrap();
            *damaged.last_mut().unwrap() ^= 1;
            assert_eq!(next.open(damaged, b"a"), Err(Unopened::Foreign));
            assert_ne!(told, next.commitment(Committed::Arguments, "d", b"{}"));
            assert_eq!(keys.of("two").unwrap().salt(Committed::Result, "d"), two.salt(Committed::Result, "d"));
        }
    }

    #[test]
    fn a_key_whose_overwriting_was_cut_short_is_made_anew() {
        let dir = tempfile::tempdir().unwrap();
        let sealed = keys(dir.path()).of("one").unwrap().seal(b"secret".to_vec(), b"a").unwrap();
        let path = dir.path().join("keys/one.key");
        fs::write(&path, [0; 90]).unwrap();
        let reading = SpaceKeys::reading(&[7; 32], dir.path().join("keys")).unwrap();
        assert!(reading.existing("one").unwrap().is_none() && reading.of("one").is_err());
        assert_eq!(fs::read(&path).unwrap(), [0; 90], "who only reads writes nothing");
        let next = keys(dir.path()).existing("one").unwrap().unwrap();
        assert_eq!(next.open(sealed, b"a"), Err(Unopened::Destroyed), "a start goes on");
        for damaged in [&b"{"[..], b""] {
            fs::write(&path, damaged).unwrap();
            assert!(keys(dir.path()).of("one").is_err(), "what is damaged is no reason to forget it");
        }
    }

    #[test]
    fn a_key_that_is_destroyed_never_comes_back() {
        let dir = tempfile::tempdir().unwrap();
        keys(dir.path()).of("one").unwrap();
        for _ in 0..200 {
            // Nobody has read it yet: one reads it while another destroys it.
            let all = keys(dir.path());
            let barrier = std::sync::Barrier::new(2);
            std::thread::scope(|scope| {
                scope.spawn(|| {
                    barrier.wait();
                    all.existing("one").unwrap();
                });
                scope.spawn(|| {
                    barrier.wait();
                    all.destroy("one").unwrap();
                });
            });
            let kept = keys(dir.path()).of("one").unwrap().salt(Committed::Result, "d");
            assert_eq!(all.of("one").unwrap().salt(Committed::Result, "d"), kept);
        }
    }

    #[test]
    fn keys_whose_root_is_lost_are_given_up_and_no_others() {
        let dir = tempfile::tempdir().unwrap();
        let sealed = keys(dir.path()).of("one").unwrap().seal(b"secret".to_vec(), b"a").unwrap();
        let other = SpaceKeys::new(&[8; 32], dir.path().join("keys")).unwrap();
        let salt = other.of("two").unwrap().salt(Committed::Result, "d");
        assert!(other.of("one").is_err());
        assert_eq!(other.unopened().unwrap(), ["one"]);
        other.destroy("one").unwrap();
        assert_eq!(other.of("one").unwrap().open(sealed, b"a"), Err(Unopened::Destroyed));
        assert_eq!(other.of("two").unwrap().salt(Committed::Result, "d"), salt);
        assert_eq!(other.unopened().unwrap(), [""; 0]);
    }

    #[test]
    fn many_threads_make_one_key() {
        let dir = tempfile::tempdir().unwrap();
        let all = keys(dir.path());
        let salts: Vec<_> = std::thread::scope(|scope| {
            let made: Vec<_> = (0..8).map(|_| scope.spawn(|| all.of("one").unwrap().salt(Committed::Result, "d"))).collect();
            made.into_iter().map(|thread| thread.join().unwrap()).collect()
        });
        assert!(salts.iter().all(|salt| *salt == salts[0]));
    }
}
