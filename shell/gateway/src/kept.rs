//! The facts of decisions, kept sealed beside the journal: so that what was decided can be decided again.
//!
//! A decision's entry carries the digest of its facts, which lie in its attachment. What many decisions share, a configuration's digest and
//! what servers offered, is a file of its own, named by its digest. Nothing waits for any of it, and nothing is denied for want of it.

use std::collections::HashSet;
use std::fs;
use std::io::{self, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD_NO_PAD;
use remit_journal::Attachments;
use remit_kernel::recorded::{self, Basis, Recorded, RecordedIdentity};
use remit_kernel::{Call, Catalogue, Facts, Target};
use remit_mcp::canonical::{hex, sha256};

use crate::record::digest;
use crate::session::lock;
use crate::space_key::{Sealer, SpaceKeys};

/// The largest arguments that are kept, in bytes.
const ARGUMENTS_BYTES_MAX: usize = 4 * 1024 * 1024;
/// The largest file of what decisions share.
const SHARED_BYTES_MAX: u64 = 512 * 1024 * 1024;
/// The most such files.
const SHARED_MAX: usize = 20_000;
/// The most bytes of all of them: a server may show other tools as often as it likes, and the journal needs the disk.
const SHARED_TOTAL_BYTES_MAX: u64 = 2 * 1024 * 1024 * 1024;

/// Facts, sealed, and the digest by which their entry is held to them.
pub(crate) struct Sealed {
    pub(crate) digest: String,
    pub(crate) bytes: Vec<u8>,
}

/// Keeps facts.
pub(crate) struct Keeper {
    /// The keys of spaces, under which their calls' facts are sealed.
    keys: Arc<SpaceKeys>,
    /// Seals what decisions of many spaces share.
    sealer: Arc<Sealer>,
    /// Where shared parts are; without it nothing is kept.
    dir: Option<PathBuf>,
    /// The parts that are there, or on the way.
    known: Arc<Mutex<Known>>,
    /// The most bytes of them.
    bytes_max: u64,
    lost: Arc<AtomicU64>,
}

/// The parts that are there: their digests, and how many bytes they take.
#[derive(Default)]
struct Known {
    digests: HashSet<String>,
    bytes: u64,
}

impl Keeper {
    pub(crate) fn new(key: &[u8; 32], keys: Arc<SpaceKeys>, dir: Option<PathBuf>) -> Option<Self> {
        let sealer = Arc::new(Sealer::new(key)?);
        let known = dir.as_deref().map(known).unwrap_or_default();
        Some(Self {
            keys,
            sealer,
            dir,
            known: Arc::new(Mutex::new(known)),
            bytes_max: SHARED_TOTAL_BYTES_MAX,
            lost: Arc::default(),
        })
    }

    /// How many shared parts could not be kept.
    pub(crate) fn lost(&self) -> u64 {
        self.lost.load(Ordering::Relaxed)
    }

    /// Keeps what decisions under a configuration and a catalogue will share; its digest. The files are written behind the caller's back.
    /// `None`: there is no room for it, and so nothing is kept of those decisions.
    pub(crate) fn basis(&self, configuration: &str, catalogue: &Catalogue) -> Option<Arc<str>> {
        let dir = self.dir.clone()?;
        let mut parts: Vec<(String, Vec<u8>)> = Vec::new();
        let mut servers = std::collections::BTreeMap::new();
        for (server, text) in recorded::offered(catalogue) {
            let name = digest(text.as_bytes());
            servers.insert(server.to_string(), name.clone());
            parts.push((name, text.into_bytes()));
        }
        let text = serde_json::to_vec(&Basis::new(configuration.to_owned(), servers)).ok()?;
        let name = digest(&text);
        parts.push((name.clone(), text));
        {
            let mut known = lock(&self.known);
            parts.retain(|(name, _)| !known.digests.contains(name));
            let bytes = parts.iter().map(|(_, text)| text.len() as u64).sum::<u64>();
            if known.digests.len() + parts.len() > SHARED_MAX || known.bytes.saturating_add(bytes) > self.bytes_max {
                self.lost.fetch_add(parts.len() as u64, Ordering::Relaxed);
                return None;
            }
            known.digests.extend(parts.iter().map(|(name, _)| name.clone()));
            known.bytes += bytes;
        }
        if !parts.is_empty() {
            let (sealer, known, lost) = (Arc::clone(&self.sealer), Arc::clone(&self.known), Arc::clone(&self.lost));
            let write = move || {
                for (name, text) in parts {
                    let bytes = text.len() as u64;
                    if sealer
                        .seal(text, &shared_aad(&name))
                        .and_then(|sealed| write(&dir, &path(&dir, &name), &sealed).ok())
                        .is_none()
                    {
                        let mut known = lock(&known);
                        known.digests.remove(&name);
                        known.bytes = known.bytes.saturating_sub(bytes);
                        lost.fetch_add(1, Ordering::Relaxed);
                    }
                }
            };
            // Where no thread can be had, the parts are missing and a replay says so.
            let _ = std::thread::Builder::new().name("facts-write".to_owned()).spawn(write);
        }
        Some(name.into())
    }

    /// Seals the facts of a decision, bound to it.
    pub(crate) fn seal(&self, basis: &str, facts: &Facts, call: &Call<'_>, decision_id: &str, at_ms: u64) -> Option<Sealed> {
        if let Target::Tool { arguments: Some(arguments), .. } = call.target
            && arguments.as_str().len() > ARGUMENTS_BYTES_MAX
        {
            return None;
        }
        let mut salt = [0; 16];
        aws_lc_rs::rand::fill(&mut salt).ok()?;
        let salt = STANDARD_NO_PAD.encode(salt);
        let identity = RecordedIdentity::of(&facts.identity)?;
        let recorded = Recorded::of(facts, &identity, call, basis, &salt, at_ms)?;
        let mut text = Vec::with_capacity(1024);
        serde_json::to_writer(&mut text, &recorded).ok()?;
        let digest = digest(&text);
        let bytes = self.keys.of(call.space).ok()?.seal(text, &facts_aad(call.space, decision_id))?;
        Some(Sealed { digest, bytes })
    }
}

/// The parts that are there.
fn known(dir: &Path) -> Known {
    let mut known = Known::default();
    for entry in fs::read_dir(dir).into_iter().flatten().flatten() {
        known.bytes += entry.metadata().map_or(0, |found| found.len());
        known.digests.extend(entry.file_name().to_str().map(|name| format!("sha256:{name}")));
    }
    known
}

fn path(dir: &Path, digest: &str) -> PathBuf {
    dir.join(digest.trim_start_matches("sha256:"))
}

/// Writes a file whole, or not at all.
pub(crate) fn write(dir: &Path, path: &Path, bytes: &[u8]) -> io::Result<()> {
    fs::DirBuilder::new().recursive(true).mode(0o700).create(dir)?;
    let coming = path.with_extension("coming");
    let mut file = fs::OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&coming)?;
    file.write_all(bytes)?;
    file.sync_all()?;
    fs::rename(&coming, path)
}

fn facts_aad(space: &str, decision_id: &str) -> Vec<u8> {
    format!("remit facts v1\n{space}\n{decision_id}").into_bytes()
}

fn shared_aad(digest: &str) -> Vec<u8> {
    format!("remit shared facts v1\n{digest}").into_bytes()
}

/// Why the facts of a decision aren't to be had.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NotKept {
    /// Its entry names none: they were not kept, or couldn't be.
    #[error("the entry names no facts: none were kept")]
    Never,
    /// The attachment isn't there.
    #[error("the facts are not there any more: their time is over, or they were lost in a crash")]
    Gone,
    /// The attachment is there and isn't what the entry names.
    #[error("the facts can't be opened: the key of their space was destroyed since, or is another one, or they are damaged")]
    Sealed,
    /// They say something else than the entry is held to.
    #[error("the facts are not those that the entry names")]
    Digest,
    /// What many decisions share is missing.
    #[error("what servers offered then (`{0}`) was not kept")]
    Shared(String),
    /// It can't be read.
    #[error("{0}")]
    Unreadable(String),
}

/// Reads the facts of decisions.
pub struct KeptFacts {
    keys: Arc<SpaceKeys>,
    sealer: Sealer,
    attachments: Attachments,
    shared: PathBuf,
}

impl std::fmt::Debug for KeptFacts {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("KeptFacts")
    }
}

impl KeptFacts {
    /// Those that a gateway with this history key keeps: attachments in one directory, what they share in another, the keys of spaces in a third.
    pub fn open(history_key: &[u8; 32], attachments: &Path, shared: &Path, keys: &Path) -> Option<Self> {
        let keys = Arc::new(SpaceKeys::reading(history_key, keys.to_owned())?);
        Self::with_keys(history_key, attachments, shared, keys)
    }

    /// The same beside a gateway, with its own keys: what it destroys is destroyed here as well.
    pub fn with_keys(history_key: &[u8; 32], attachments: &Path, shared: &Path, keys: Arc<SpaceKeys>) -> Option<Self> {
        let sealer = Sealer::new(history_key)?;
        Some(Self { keys, sealer, attachments: Attachments::open(attachments), shared: shared.to_owned() })
    }

    /// The facts of the decision with this index, space, id and digest of facts: JSON text for [`Recorded::read`].
    pub fn facts(&mut self, index: u64, space: &str, decision_id: &str, facts_digest: &str) -> Result<Vec<u8>, NotKept> {
        let unreadable = |error: io::Error| NotKept::Unreadable(format!("the facts can't be read: {error}"));
        let sealed = self.attachments.get(index).map_err(unreadable)?.ok_or(NotKept::Gone)?;
        let key = self.keys.existing(space).map_err(|error| NotKept::Unreadable(error.to_string()))?;
        let text = key.and_then(|key| key.open(sealed, &facts_aad(space, decision_id)).ok()).ok_or(NotKept::Sealed)?;
        let is_same = facts_digest.strip_prefix("sha256:").is_some_and(|digits| digits == hex(&sha256(&text)));
        if is_same { Ok(text) } else { Err(NotKept::Digest) }
    }

    /// A result that a temporal condition of then read, as its outcome's entry holds it, sealed; `None` if it can't be opened.
    pub fn result(&self, space: &str, decision_id: &str, sealed: &str) -> Option<serde_json::Value> {
        crate::history::open(&self.keys, sealed, space, decision_id).ok()
    }

    /// The keys of spaces.
    pub fn keys(&self) -> &SpaceKeys {
        &self.keys
    }

    /// The result that was kept beside the outcome's entry with this index.
    pub fn kept_result(&mut self, index: u64, space: &str, decision_id: &str) -> Result<Vec<u8>, NotKept> {
        let unreadable = |error: io::Error| NotKept::Unreadable(format!("the result can't be read: {error}"));
        let sealed = self.attachments.get(index).map_err(unreadable)?.ok_or(NotKept::Gone)?;
        let opened = self.keys.open_result(space, decision_id, sealed).map_err(|error| NotKept::Unreadable(error.to_string()))?;
        opened.ok_or(NotKept::Sealed)
    }

    /// The basis of this digest, and what servers offered under it.
    pub fn basis(&self, digest: &str) -> Result<(Basis, Catalogue), NotKept> {
        let unusable = |error: recorded::Unusable| NotKept::Unreadable(error.to_string());
        let basis = Basis::read(&self.part(digest)?).map_err(unusable)?;
        let texts = basis.servers.values().map(|digest| self.part(digest)).collect::<Result<Vec<_>, _>>()?;
        let catalogue = recorded::catalogue(texts.iter().map(Vec::as_slice)).map_err(unusable)?;
        Ok((basis, catalogue))
    }

    fn part(&self, name: &str) -> Result<Vec<u8>, NotKept> {
        let missing = || NotKept::Shared(name.to_owned());
        let path = path(&self.shared, name);
        let is_plain = name.strip_prefix("sha256:").is_some_and(|digits| digits.bytes().all(|byte| byte.is_ascii_hexdigit()));
        if !is_plain || fs::metadata(&path).map_err(|_| missing())?.len() > SHARED_BYTES_MAX {
            return Err(missing());
        }
        let sealed = fs::read(&path).map_err(|_| missing())?;
        let text = self.sealer.open(sealed, &shared_aad(name)).ok_or(NotKept::Sealed)?;
        if digest(&text) == name { Ok(text) } else { Err(NotKept::Digest) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_decisions_share_has_an_end() {
        let dir = tempfile::tempdir().unwrap();
        let keys = Arc::new(SpaceKeys::new(&[7; 32], dir.path().join("keys")).unwrap());
        let mut keeper = Keeper::new(&[7; 32], keys, Some(dir.path().join("shared"))).unwrap();
        keeper.bytes_max = 8 * 1024;
        // Whoever changes what is shared again and again fills no disk.
        let basis = |number: u32| keeper.basis(&format!("sha256:{number:064}"), &Catalogue::default());
        let kept: Vec<Option<Arc<str>>> = (0..200).map(basis).collect();
        let count = kept.iter().flatten().count();
        assert!((10..100).contains(&count), "{count}");
        assert_eq!((kept.len() - count) as u64, keeper.lost());
        assert!(lock(&keeper.known).bytes <= 8 * 1024);
        // What is known stays of use.
        assert_eq!(basis(0), kept[0]);
        assert!(basis(199).is_none());
    }
}
