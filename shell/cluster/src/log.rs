//! The log: read in order, written once.

use aws_lc_rs::aead::{AES_256_GCM, Aad, NONCE_LEN, Nonce, RandomizedNonceKey};
use bytes::Bytes;
use remit_tlog::{Hash, leaf_hash};
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use crate::batch::{Batch, BatchError, Content, NodeId};
use crate::lease::Held;
use crate::objects::{Clock, Condition, Objects, Refusal};

/// How long a write may take in all; whoever got no word by then will not believe a late one.
const WRITE_MAX_MS: u64 = 60_000;
/// How long is waited before a write is tried again.
const AGAIN_MS: u64 = 50;

/// The keys of a cluster's objects under a prefix.
#[derive(Debug, Clone)]
pub(crate) struct Keys(String);

impl Keys {
    pub(crate) fn new(prefix: &str) -> Self {
        Self(prefix.to_owned())
    }

    pub(crate) fn lease(&self) -> String {
        format!("{}lease", self.0)
    }

    pub(crate) fn batches(&self) -> String {
        format!("{}log/", self.0)
    }

    pub(crate) fn batch(&self, number: u64) -> String {
        format!("{}{number:020}", self.batches())
    }

    pub(crate) fn bases(&self) -> String {
        format!("{}base/", self.0)
    }

    pub(crate) fn base(&self, number: u64) -> String {
        format!("{}{number:020}", self.bases())
    }

    pub(crate) fn parts(&self) -> String {
        format!("{}parts/", self.0)
    }

    pub(crate) fn part(&self, digest: &str) -> String {
        format!("{}{digest}", self.parts())
    }
}

/// The key of the lease and of the batch of a number under a prefix, for whoever looks at the bucket from outside.
pub fn objects_of(prefix: &str, number: u64) -> (String, String) {
    let keys = Keys::new(prefix);
    (keys.lease(), keys.batch(number))
}

/// The key under which a cluster's batches are sealed: AES-256-GCM with random nonces, the name of what
/// is sealed as additional data.
#[derive(Clone)]
pub struct Key(Zeroizing<[u8; 32]>);

impl Key {
    /// Thirty-two secret bytes, the same on every node.
    pub fn new(bytes: Zeroizing<[u8; 32]>) -> Self {
        Self(bytes)
    }

    fn aead(&self) -> Option<RandomizedNonceKey> {
        RandomizedNonceKey::new(&AES_256_GCM, self.0.as_slice()).ok()
    }

    /// Nonce, ciphertext, tag, bound to a name. `None` if the system has no random bytes.
    pub(crate) fn seal_as(&self, name: &str, mut bytes: Vec<u8>) -> Option<Bytes> {
        let nonce = self.aead()?.seal_in_place_append_tag(Aad::from(aad(name)), &mut bytes).ok()?;
        let mut out = Vec::with_capacity(NONCE_LEN + bytes.len());
        out.extend_from_slice(nonce.as_ref());
        out.extend_from_slice(&bytes);
        Some(out.into())
    }

    /// Opens what was sealed under a name.
    pub(crate) fn open_as(&self, name: &str, object: &[u8]) -> Option<Zeroizing<Vec<u8>>> {
        let (nonce, sealed) = object.split_at_checked(NONCE_LEN)?;
        let nonce = Nonce::try_assume_unique_for_key(nonce).ok()?;
        let mut bytes = Zeroizing::new(sealed.to_vec());
        let length = self.aead()?.open_in_place(nonce, Aad::from(aad(name)), &mut bytes).ok()?.len();
        bytes.truncate(length);
        Some(bytes)
    }

    /// Seals a batch. `None` if the system has no random bytes.
    pub fn seal(&self, batch: &Batch) -> Option<Bytes> {
        self.seal_as(&batch.number.to_string(), batch.encode())
    }

    /// Opens the object of a number.
    pub fn open(&self, number: u64, object: &[u8]) -> Result<Batch, Broken> {
        let bytes = self.open_as(&number.to_string(), object).ok_or(Broken::Sealed { number })?;
        let batch = Batch::parse(&bytes).map_err(|error| Broken::Batch { number, error })?;
        if batch.number == number { Ok(batch) } else { Err(Broken::Number { number, found: batch.number }) }
    }
}

impl std::fmt::Debug for Key {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Key(redacted)")
    }
}

fn aad(name: &str) -> Vec<u8> {
    format!("remit cluster v1\0{name}").into_bytes()
}

/// What is wrong with a log.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Broken {
    /// An object isn't sealed under the cluster's key.
    #[error("batch {number} is not sealed under this cluster's key: another master key, or somebody else's object")]
    Sealed {
        /// Its number.
        number: u64,
    },
    /// What is in an object is no batch.
    #[error("batch {number}: {error}")]
    Batch {
        /// Its number.
        number: u64,
        /// Why.
        error: BatchError,
    },
    /// An object lies in another one's place.
    #[error("batch {found} lies in the place of batch {number}")]
    Number {
        /// The place.
        number: u64,
        /// What it says of itself.
        found: u64,
    },
    /// A batch doesn't go on from the one before.
    #[error("batch {number} does not go on from the batch before: {what}")]
    Chain {
        /// Its number.
        number: u64,
        /// What is wrong.
        what: &'static str,
    },
}

/// How far a node has read, or written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    /// The number of the last batch; 0 before the first.
    pub number: u64,
    /// The digest of its object.
    pub digest: Hash,
    /// Its term.
    pub term: u64,
    /// Its writer.
    pub node: NodeId,
}

/// A place as a file has it.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct PlaceText {
    pub(crate) number: u64,
    digest: String,
    term: u64,
    node: String,
}

impl PlaceText {
    pub(crate) fn place(&self) -> Option<Place> {
        let mut id = [0; 16];
        for (n, byte) in id.iter_mut().enumerate() {
            *byte = u8::from_str_radix(self.node.get(2 * n..2 * n + 2)?, 16).ok()?;
        }
        Some(Place { number: self.number, digest: Hash::from_hex(&self.digest)?, term: self.term, node: NodeId(id) })
    }
}

impl Place {
    /// Before the first batch.
    pub const START: Self = Self { number: 0, digest: Hash([0; Hash::BYTES]), term: 0, node: NodeId([0; 16]) };

    pub(crate) fn text(&self) -> PlaceText {
        let Self { number, digest, term, node } = self;
        PlaceText { number: *number, digest: digest.to_string(), term: *term, node: node.to_string() }
    }

    /// A line of JSON.
    pub fn to_json(&self) -> String {
        serde_json::to_string(&self.text()).unwrap_or_default()
    }

    /// Reads that line.
    pub fn parse(text: &str) -> Option<Self> {
        serde_json::from_str::<PlaceText>(text).ok()?.place()
    }

    /// The place after the next object, with what it says.
    pub(crate) fn next(&self, key: &Key, object: &[u8]) -> Result<(Self, Batch), Broken> {
        let number = self.number + 1;
        let batch = key.open(number, object)?;
        let wrong = |what| Err(Broken::Chain { number, what });
        if batch.before != self.digest {
            return wrong("it names another object before it");
        }
        if batch.begins_term() {
            if batch.term <= self.term {
                return wrong("its term does not rise");
            }
        } else if (batch.term, batch.node) != (self.term, self.node) {
            return wrong("its writer did not begin the term");
        }
        let place = Self { number, digest: leaf_hash(object), term: batch.term, node: batch.node };
        Ok((place, batch))
    }
}

/// Why a node doesn't write any more. All of them are for good.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum WriterError {
    /// Another node has taken over.
    #[error("another node has taken over")]
    Fenced,
    /// The lease ran out, or somebody else has it.
    #[error("the lease is lost")]
    LeaseLost,
    /// A write was not known to have landed in time. It may have.
    #[error("a batch could not be written in time: {0}")]
    Late(String),
    /// The bucket refuses.
    #[error("the bucket refuses: {0}")]
    Refused(String),
    /// The system has no random bytes.
    #[error("the system gave no random bytes")]
    Random,
}

/// What became of a write.
pub(crate) enum Landed {
    /// It is in the log.
    Own(Place),
    /// Another one has its number.
    Other(Bytes),
}

/// Writes a batch in the next place, once.
pub(crate) async fn write<O: Objects, C: Clock>(
    (objects, clock): (&O, &C),
    (keys, key): (&Keys, &Key),
    place: &Place,
    (term, node): (u64, NodeId),
    contents: Vec<Content>,
    holds: impl Fn(u64) -> bool,
) -> Result<Landed, WriterError> {
    let batch = Batch { number: place.number + 1, term, node, before: place.digest, contents };
    let object = key.seal(&batch).ok_or(WriterError::Random)?;
    let landed = Place { number: batch.number, digest: leaf_hash(&object), term, node };
    let name = keys.batch(batch.number);
    let began_ms = clock.now_ms();
    let mut last = "no answer came".to_owned();
    loop {
        // Nothing is sent after the lease ran out: somebody else may be at work, and what is late isn't believed either.
        if !holds(clock.now_ms()) {
            return Err(WriterError::LeaseLost);
        }
        if clock.now_ms().saturating_sub(began_ms) > WRITE_MAX_MS {
            return Err(WriterError::Late(last));
        }
        match objects.put(&name, object.clone(), &Condition::Absent).await {
            Ok(_) => break,
            Err(Refusal::Condition) => match objects.get(&name).await {
                Ok(Some((found, _))) if found == object => break,
                Ok(Some((found, _))) => return Ok(Landed::Other(found)),
                Ok(None) => "an object that was there is gone".clone_into(&mut last),
                Err(Refusal::Refused(why)) => return Err(WriterError::Refused(why)),
                Err(error) => last = format!("{error:?}"),
            },
            Err(Refusal::Busy) => "the object is being written".clone_into(&mut last),
            Err(Refusal::Unknown(why)) => last = why,
            Err(Refusal::Refused(why)) => return Err(WriterError::Refused(why)),
        }
        clock.sleep(AGAIN_MS).await;
    }
    if clock.now_ms().saturating_sub(began_ms) > WRITE_MAX_MS {
        return Err(WriterError::Late("the answer came too late to be believed".to_owned()));
    }
    Ok(Landed::Own(landed))
}

/// The one node that writes. What fails, fails for good.
#[derive(Debug)]
pub struct Writer<O, C> {
    pub(crate) objects: O,
    pub(crate) clock: C,
    keys: Keys,
    key: Key,
    node: NodeId,
    place: Place,
    held: Held,
    over: Option<WriterError>,
}

impl<O: Objects, C: Clock> Writer<O, C> {
    pub(crate) fn new((objects, clock): (O, C), (keys, key): (Keys, Key), node: NodeId, place: Place, held: Held) -> Self {
        Self { objects, clock, keys, key, node, place, held, over: None }
    }

    /// How far the log is.
    pub fn place(&self) -> Place {
        self.place
    }

    /// The term that this node writes in.
    pub fn term(&self) -> u64 {
        self.held.term()
    }

    /// Writes contents as one batch. When it answers well they are in the log for good, and no other node can have written meanwhile.
    pub async fn append(&mut self, contents: Vec<Content>) -> Result<Place, WriterError> {
        if let Some(over) = &self.over {
            return Err(over.clone());
        }
        let done = self.append_once(contents).await;
        if let Err(error) = &done {
            self.over = Some(error.clone());
        }
        done
    }

    async fn append_once(&mut self, contents: Vec<Content>) -> Result<Place, WriterError> {
        let (world, keyed) = ((&self.objects, &self.clock), (&self.keys, &self.key));
        let by = (self.held.term(), self.node);
        let held = &self.held;
        match write(world, keyed, &self.place, by, contents, |now_ms| held.holds(now_ms)).await? {
            Landed::Own(place) => self.place = place,
            Landed::Other(_) => return Err(WriterError::Fenced),
        }
        Ok(self.place)
    }

    /// Whether this node is the active one, as far as it can know.
    pub fn holds(&self) -> bool {
        self.over.is_none() && self.held.holds(self.clock.now_ms())
    }

    /// How long until the lease should be renewed, in milliseconds.
    pub fn renewal_due_in_ms(&self) -> u64 {
        self.held.due_in_ms(self.clock.now_ms())
    }

    /// Renews the lease once.
    pub async fn renew(&mut self) -> Result<(), WriterError> {
        if let Some(over) = &self.over {
            return Err(over.clone());
        }
        let renewed = self.held.renew((&self.objects, &self.clock), &self.key).await;
        if renewed && self.held.holds(self.clock.now_ms()) {
            return Ok(());
        }
        self.over = Some(WriterError::LeaseLost);
        Err(WriterError::LeaseLost)
    }

    /// Ends, and gives the lease back so that another node needn't wait.
    pub async fn release(mut self) {
        if self.over.is_none() {
            self.held.release(&self.objects, &self.key).await;
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test fails by them")]

    use super::*;

    fn key(byte: u8) -> Key {
        Key::new(Zeroizing::new([byte; 32]))
    }

    fn batch(place: &Place, term: u64, node: u8, contents: Vec<Content>) -> Batch {
        Batch { number: place.number + 1, term, node: NodeId([node; 16]), before: place.digest, contents }
    }

    fn change() -> Vec<Content> {
        vec![Content::Change(vec![1])]
    }

    #[test]
    fn a_log_goes_on_only_as_its_writers_may() {
        let key = key(1);
        let next = |place: &Place, batch: &Batch| place.next(&key, &key.seal(batch).unwrap()).map(|(place, _)| place);
        let chain = |what| Err(Broken::Chain { number: 2, what });
        let one = next(&Place::START, &batch(&Place::START, 1, 1, Vec::new())).unwrap();
        assert!(next(&one, &batch(&one, 1, 1, change())).is_ok());
        assert!(next(&one, &batch(&one, 2, 2, Vec::new())).is_ok());
        // Nobody writes in a term that another one began, nor in one that nobody did; no term comes twice.
        assert_eq!(next(&one, &batch(&one, 1, 2, change())), chain("its writer did not begin the term"));
        assert_eq!(next(&one, &batch(&one, 2, 1, change())), chain("its writer did not begin the term"));
        assert_eq!(next(&one, &batch(&one, 1, 2, Vec::new())), chain("its term does not rise"));
        let elsewhere = Place { digest: leaf_hash(b"another"), ..one };
        assert_eq!(next(&one, &batch(&elsewhere, 1, 1, change())), chain("it names another object before it"));
    }

    #[test]
    fn what_is_moved_changed_or_of_another_cluster_is_not_read() {
        let (ours, theirs) = (key(1), key(2));
        let first = batch(&Place::START, 1, 1, Vec::new());
        let object = ours.seal(&first).unwrap();
        assert_eq!(ours.open(1, &object), Ok(first.clone()));
        assert_eq!(ours.open(2, &object), Err(Broken::Sealed { number: 2 }));
        assert_eq!(theirs.open(1, &object), Err(Broken::Sealed { number: 1 }));
        for place in 0..object.len() {
            let mut changed = object.to_vec();
            changed[place] ^= 1;
            assert_eq!(ours.open(1, &changed), Err(Broken::Sealed { number: 1 }));
        }
        assert_eq!(ours.open(1, b"short"), Err(Broken::Sealed { number: 1 }));
        assert_eq!(format!("{ours:?}"), "Key(redacted)");
    }

    #[test]
    fn a_place_is_read_as_it_was_written() {
        let place = Place { number: 7, digest: leaf_hash(b"x"), term: 3, node: NodeId([9; 16]) };
        assert_eq!(Place::parse(&place.to_json()), Some(place));
        assert_eq!(Place::parse(&Place::START.to_json()), Some(Place::START));
        assert_eq!(Place::parse("{}"), None);
    }
}
