//! Bases: what a node is made of as of a place in the log, so that nobody has to read it from its beginning, and so that it can be cut there.
//!
//! `<prefix>base/<number>` names the files and what they are made of; `<prefix>parts/<digest>` is a part of one, shared by all bases that have
//! the same. A base may hold more than its place says: what a node takes over twice comes to the same. All of it is sealed.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Read;

use remit_tlog::{Hash, leaf_hash};
use serde::{Deserialize, Serialize};

use crate::batch::is_name;
use crate::log::{Key, Keys, Place, PlaceText};
use crate::objects::{Clock, Condition, Objects, Refusal};

/// How large a part is.
const PART_BYTES: usize = 4 * 1024 * 1024;
/// How often something is tried again that passes.
const TRIES: usize = 20;
/// How long is waited in between.
const AGAIN_MS: u64 = 250;
/// How many bases are kept.
const BASES_KEPT: usize = 2;
/// How many objects are looked at in one round, and deleted.
const ROUND: usize = 10_000;
/// The most files of a base.
const FILES_MAX: usize = 100_000;

/// What a base says.
#[derive(Debug, Serialize, Deserialize)]
struct Manifest {
    place: PlaceText,
    files: Vec<FileText>,
}

#[derive(Debug, Serialize, Deserialize)]
struct FileText {
    name: String,
    length: u64,
    /// The digests of its parts; an empty one is zeros.
    parts: Vec<String>,
}

/// Why a base could not be saved, read or cut away.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BaseError {
    /// A file could not be read.
    #[error("`{name}` can't be read: {why}")]
    File {
        /// The file.
        name: String,
        /// What the system said.
        why: String,
    },
    /// The bucket doesn't do it.
    #[error("the bucket: {0}")]
    Bucket(String),
    /// There is a base of this place already, and it is another one.
    #[error("there is a base of batch {0} already")]
    There(u64),
    /// What is there isn't what it must be.
    #[error("the base of batch {number} can't be used: {what}")]
    Broken {
        /// Its number.
        number: u64,
        /// What is wrong.
        what: String,
    },
}

fn bucket(error: Refusal) -> BaseError {
    BaseError::Bucket(match error {
        Refusal::Condition => "a condition does not hold".to_owned(),
        Refusal::Busy => "an object is being written".to_owned(),
        Refusal::Unknown(why) | Refusal::Refused(why) => why,
    })
}

/// Asks until there is an answer, or too often.
async fn patiently<C: Clock, T>(clock: &C, mut ask: impl AsyncFnMut() -> Result<T, Refusal>) -> Result<T, BaseError> {
    let mut last = Refusal::Busy;
    for _ in 0..TRIES {
        match ask().await {
            Ok(answer) => return Ok(answer),
            Err(error @ Refusal::Refused(_)) => return Err(bucket(error)),
            Err(error) => last = error,
        }
        clock.sleep(AGAIN_MS).await;
    }
    Err(bucket(last))
}

/// Writes an object that nobody else writes otherwise; `false` if it is there.
async fn put<O: Objects, C: Clock>((objects, clock): (&O, &C), name: &str, object: &bytes::Bytes) -> Result<bool, BaseError> {
    let ask = async || match objects.put(name, object.clone(), &Condition::Absent).await {
        Err(Refusal::Condition) => Ok(false),
        written => written.map(|_| true),
    };
    patiently(clock, ask).await
}

/// Reads an object.
async fn get<O: Objects, C: Clock>((objects, clock): (&O, &C), name: &str) -> Result<Option<bytes::Bytes>, BaseError> {
    patiently(clock, async || Ok(objects.get(name).await?.map(|(object, _)| object))).await
}

/// A file of a base, while it is saved.
pub type BaseFile = (String, Box<dyn Read + Send>);

/// Saves a base as of a place. The files hold all that lies before it, and may hold more.
pub async fn save<O: Objects, C: Clock>(
    world: (&O, &C),
    (prefix, key): (&str, &Key),
    place: Place,
    files: Vec<BaseFile>,
) -> Result<(), BaseError> {
    let keys = Keys::new(prefix);
    let random = || BaseError::Bucket("the system gave no random bytes".to_owned());
    let mut told = Vec::new();
    for (name, mut reader) in files {
        let mut file = FileText { name, length: 0, parts: Vec::new() };
        loop {
            let mut part = Vec::new();
            let read = reader.by_ref().take(PART_BYTES as u64).read_to_end(&mut part);
            let read = read.map_err(|error| BaseError::File { name: file.name.clone(), why: error.to_string() })?;
            if read == 0 {
                break;
            }
            file.length += read as u64;
            if part.iter().all(|byte| *byte == 0) {
                file.parts.push(String::new());
                continue;
            }
            let digest = leaf_hash(&part).to_string();
            let object = key.seal_as(&format!("part {digest}"), part).ok_or_else(random)?;
            put(world, &keys.part(&digest), &object).await?;
            file.parts.push(digest);
        }
        told.push(file);
    }
    let manifest = Manifest { place: place.text(), files: told };
    let text = serde_json::to_vec(&manifest).map_err(|error| BaseError::Bucket(error.to_string()))?;
    let sealing = format!("base {}", place.number);
    let object = key.seal_as(&sealing, text.clone()).ok_or_else(random)?;
    let name = keys.base(place.number);
    if put(world, &name, &object).await? {
        return Ok(());
    }
    // It may be one's own, of this attempt or of one before.
    let found = get(world, &name).await?.and_then(|found| key.open_as(&sealing, &found));
    if found.is_some_and(|found| *found == text) { Ok(()) } else { Err(BaseError::There(place.number)) }
}

/// Where a node puts what a base holds: a file's name and length, where in it, and the bytes there. Files are zero where nothing is put.
pub(crate) type PutFile<'a> = dyn FnMut(&str, u64, u64, &[u8]) -> Result<(), String> + Send + 'a;

/// The number of the newest base, if there is one.
pub async fn newest<O: Objects>(objects: &O, prefix: &str) -> Result<Option<u64>, BaseError> {
    Ok(numbers(objects, &Keys::new(prefix)).await.map_err(bucket)?.into_iter().max())
}

/// The numbers of the bases that there are.
async fn numbers<O: Objects>(objects: &O, keys: &Keys) -> Result<Vec<u64>, Refusal> {
    let names = objects.list(&keys.bases(), ROUND).await?;
    let prefix = keys.bases();
    Ok(names.iter().filter_map(|name| name.strip_prefix(&prefix)?.parse().ok()).collect())
}

async fn manifest<O: Objects, C: Clock>(
    world: (&O, &C),
    (keys, key): (&Keys, &Key),
    number: u64,
) -> Result<Option<Manifest>, BaseError> {
    let broken = |what: &str| BaseError::Broken { number, what: what.to_owned() };
    let Some(object) = get(world, &keys.base(number)).await? else { return Ok(None) };
    let text =
        key.open_as(&format!("base {number}"), &object).ok_or_else(|| broken("it is not sealed under this cluster's key"))?;
    let manifest: Manifest = serde_json::from_slice(&text).map_err(|error| broken(&error.to_string()))?;
    if manifest.place.number != number || manifest.files.len() > FILES_MAX {
        return Err(broken("it lies in another one's place, or is too large"));
    }
    Ok(Some(manifest))
}

/// Reads the newest base, if there is one, and answers its place.
pub(crate) async fn restore<O: Objects, C: Clock>(
    world: (&O, &C),
    (keys, key): (&Keys, &Key),
    put_file: &mut PutFile<'_>,
) -> Result<Option<Place>, BaseError> {
    let numbers = patiently(world.1, async || numbers(world.0, keys).await).await?;
    let Some(number) = numbers.into_iter().max() else { return Ok(None) };
    let broken = |what: String| BaseError::Broken { number, what };
    let Some(manifest) = manifest(world, (keys, key), number).await? else { return Err(broken("it is gone".to_owned())) };
    for FileText { name, length, parts } in &manifest.files {
        let covers = parts.len() as u64 == length.div_ceil(PART_BYTES as u64);
        if !is_name(name) || !covers {
            return Err(broken(format!("the file `{name}` is none")));
        }
        put_file(name, *length, 0, &[]).map_err(broken)?;
        for (digest, at) in parts.iter().zip((0..).step_by(PART_BYTES)) {
            if digest.is_empty() {
                continue;
            }
            let gone = || broken(format!("a part of `{name}` is gone, or not sealed under this cluster's key"));
            let hash = Hash::from_hex(digest).ok_or_else(gone)?;
            let object = get(world, &keys.part(digest)).await?.ok_or_else(gone)?;
            let part = key.open_as(&format!("part {digest}"), &object).ok_or_else(gone)?;
            if leaf_hash(&part) != hash || at + part.len() as u64 > *length {
                return Err(gone());
            }
            put_file(name, *length, at, &part).map_err(broken)?;
        }
    }
    manifest.place.place().map(Some).ok_or_else(|| broken("its place can't be read".to_owned()))
}

/// What nobody needs any more, and since when.
#[derive(Debug)]
pub struct Pruner {
    unneeded_ms: u64,
    unneeded: BTreeMap<String, u64>,
}

impl Pruner {
    /// One that deletes what has been unneeded for so many milliseconds: for longer than a write may take in all (a minute), so that nothing
    /// that is late takes the place of what was deleted and is believed, and than whoever was active before may take to end.
    pub fn new(unneeded_ms: u64) -> Self {
        Self { unneeded_ms, unneeded: BTreeMap::new() }
    }

    /// Deletes what has been unneeded for long enough: bases but for the newest two, what of the log lies before both, and parts that neither has.
    /// Answers how much it deleted. `still` says whether this node is the active one still; nothing is deleted when it isn't.
    pub async fn prune<O: Objects, C: Clock>(
        &mut self,
        (objects, clock): (&O, &C),
        (prefix, key): (&str, &Key),
        still: impl Fn() -> bool,
    ) -> Result<usize, BaseError> {
        let keys = Keys::new(prefix);
        let mut bases = numbers(objects, &keys).await.map_err(bucket)?;
        bases.sort_unstable();
        let kept = bases.split_off(bases.len().saturating_sub(BASES_KEPT));
        let Some(first) = kept.first().copied().filter(|_| kept.len() == BASES_KEPT) else { return Ok(0) };
        let mut needed = BTreeSet::new();
        for number in &kept {
            // Without all of them nothing is known to be unneeded.
            let Some(manifest) = manifest((objects, clock), (&keys, key), *number).await? else { return Ok(0) };
            needed.extend(manifest.files.into_iter().flat_map(|file| file.parts).map(|digest| keys.part(&digest)));
        }
        let logs = objects.list(&keys.batches(), ROUND).await.map_err(bucket)?;
        let parts = objects.list(&keys.parts(), usize::MAX).await.map_err(bucket)?;
        let limit = keys.batch(first);
        let unneeded: BTreeSet<String> = (bases.iter().map(|number| keys.base(*number)))
            .chain(logs.into_iter().filter(|name| *name <= limit))
            .chain(parts.into_iter().filter(|name| !needed.contains(name)))
            .collect();
        let now_ms = clock.now_ms();
        self.unneeded.retain(|name, _| unneeded.contains(name));
        for name in unneeded {
            self.unneeded.entry(name).or_insert(now_ms);
        }
        let due = self.unneeded.iter().filter(|(_, since)| now_ms.saturating_sub(**since) >= self.unneeded_ms);
        let due: Vec<String> = due.map(|(name, _)| name.clone()).take(ROUND).collect();
        let mut deleted = 0;
        for name in due {
            if !still() {
                break;
            }
            objects.delete(&name).await.map_err(bucket)?;
            self.unneeded.remove(&name);
            deleted += 1;
        }
        Ok(deleted)
    }
}
