//! Standing by, and taking over.

use crate::base::{self, BaseError, BaseFile};
use crate::batch::{Batch, Content, NodeId};
use crate::lease::{Held, Lease, Look, Watch};
use crate::log::{Broken, Key, Keys, Landed, Place, Writer, WriterError, write};
use crate::objects::{Clock, Objects, Refusal};

/// How often one that stands by looks for the next batch where there was none.
const POLL_MS: u64 = 200;
/// How often the lease is looked at within its life.
const LOOKS: u64 = 5;
/// How long nothing comes before one that stands by asks whether the log was cut behind it.
const CHECK_MS: u64 = 60_000;

/// How a node takes part.
#[derive(Debug, Clone)]
pub struct Options {
    /// What stands before every key of the cluster's objects.
    pub prefix: String,
    /// The key that seals batches, the same on every node.
    pub key: Key,
    /// This run of this node: random.
    pub node: NodeId,
    /// Where the other nodes reach this one.
    pub address: String,
    /// The life of a lease in milliseconds: how long nobody is active when the active node is suddenly gone.
    pub ttl_ms: u64,
}

/// What a node makes of the log.
pub trait Replica: Send {
    /// How far it is: what lies before is here, durably.
    fn place(&self) -> Place;

    /// Takes over what a batch says. What was taken over before may come again, and must come to the same.
    fn apply(&mut self, contents: Vec<Content>) -> Result<(), String>;

    /// Whether it has something of its own that no log knows of: a node that was alone.
    fn is_alone(&self) -> bool;

    /// What that is. It becomes what the cluster begins with.
    fn own(&mut self) -> Result<Vec<BaseFile>, String>;

    /// Puts a part of a file of a base: the file's name and length, where in it, and the bytes. It is zero where nothing is put.
    fn restore(&mut self, name: &str, length: u64, at: u64, bytes: &[u8]) -> Result<(), String>;

    /// All that lies before this place has been applied.
    fn reached(&mut self, place: Place) -> Result<(), String>;

    /// Who is active now, as far as the lease says.
    fn stands_by(&mut self, lease: &Lease);

    /// Something passes, such as a bucket that doesn't answer: it goes on.
    fn troubled(&mut self, what: &str);
}

/// Why a node can't take part.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum JoinError {
    /// The log isn't what it must be.
    #[error("the cluster's log can't be followed: {0}")]
    Broken(#[from] Broken),
    /// What the log says could not be taken over.
    #[error("what the cluster's log says can't be taken over: {0}")]
    Replica(String),
    /// The bucket refuses.
    #[error("the bucket refuses: {0}")]
    Refused(String),
    /// This node knows of batches that the bucket doesn't have.
    #[error("the log in the bucket ends before batch {0}, which this node has: it was rolled back, or it is another one")]
    RolledBack(u64),
    /// The log was cut behind what this node knows.
    #[error("this node was away for longer than the log is kept, and stands at batch {0}: begin with an empty directory")]
    Away(u64),
    /// What the cluster begins with could not be read, or not be written.
    #[error(transparent)]
    Base(#[from] BaseError),
    /// The system has no random bytes.
    #[error("the system gave no random bytes")]
    Random,
}

struct Joining<'a, O, C> {
    world: (O, C),
    keys: Keys,
    options: &'a Options,
    replica: &'a mut dyn Replica,
    place: Place,
    /// Whether it is known what the log goes on from.
    based: bool,
}

/// Follows the log until this node is to write it, and then gives what it writes with.
pub async fn join<O: Objects, C: Clock>(
    world: (O, C),
    options: &Options,
    replica: &mut dyn Replica,
) -> Result<Writer<O, C>, JoinError> {
    let place = replica.place();
    let mut joining = Joining { world, keys: Keys::new(&options.prefix), options, replica, place, based: place != Place::START };
    joining.restore().await?;
    joining.check_place().await?;
    let mut watch = Watch::default();
    let mut look_at_ms = 0;
    let mut checked = (joining.place.number, joining.world.1.now_ms());
    loop {
        while joining.follow().await? {}
        let now_ms = joining.world.1.now_ms();
        if joining.place.number != checked.0 {
            checked = (joining.place.number, now_ms);
        } else if now_ms.saturating_sub(checked.1) >= CHECK_MS {
            joining.check_place().await?;
            checked.1 = now_ms;
        }
        if now_ms >= look_at_ms {
            look_at_ms = now_ms + options.ttl_ms / LOOKS;
            if let Some(held) = joining.look(&mut watch).await?
                && let Some(held) = joining.take_over(held).await?
            {
                let Joining { world, keys, place, .. } = joining;
                return Ok(Writer::new(world, (keys, options.key.clone()), options.node, place, held));
            }
        }
        joining.world.1.sleep(POLL_MS).await;
    }
}

impl<O: Objects, C: Clock> Joining<'_, O, C> {
    fn world(&self) -> (&O, &C) {
        (&self.world.0, &self.world.1)
    }

    /// Begins with the newest base, where this node has nothing.
    async fn restore(&mut self) -> Result<bool, JoinError> {
        if self.based || self.replica.is_alone() {
            return Ok(false);
        }
        let replica = &mut *self.replica;
        let mut put = |name: &str, length, at, bytes: &[u8]| replica.restore(name, length, at, bytes);
        let world = (&self.world.0, &self.world.1);
        match base::restore(world, (&self.keys, &self.options.key), &mut put).await? {
            None => Ok(false),
            Some(place) => {
                self.replica.reached(place).map_err(JoinError::Replica)?;
                self.place = place;
                self.based = true;
                Ok(true)
            }
        }
    }

    /// That the log still has the batch that this node read last, or begins right behind it.
    async fn check_place(&mut self) -> Result<(), JoinError> {
        if self.place.number == 0 {
            // A log whose beginning is gone has a base.
            return self.restore().await.map(drop);
        }
        loop {
            match self.world.0.get(&self.keys.batch(self.place.number)).await {
                Ok(Some((object, _))) if remit_tlog::leaf_hash(&object) == self.place.digest => return Ok(()),
                Ok(Some(_)) => {
                    let what = "it is another one than this node has read";
                    return Err(Broken::Chain { number: self.place.number, what }.into());
                }
                Ok(None) => match self.log_begins_with().await {
                    Ok(next) => return next,
                    Err(error) => self.pass(error)?,
                },
                Err(error) => self.pass(error)?,
            }
            self.world.1.sleep(POLL_MS).await;
        }
    }

    /// Whether the log goes on from here, where the batch of this place is gone: what comes next names it.
    async fn log_begins_with(&self) -> Result<Result<(), JoinError>, Refusal> {
        let here = self.place.number;
        let first = self.world.0.list(&self.keys.batches(), 1).await?.into_iter().next();
        Ok(match first {
            Some(first) if first == self.keys.batch(here + 1) => Ok(()),
            Some(first) if first > self.keys.batch(here) => Err(JoinError::Away(here)),
            // Nothing was written since the last base.
            None if self.world.0.get(&self.keys.base(here)).await?.is_some() => Ok(()),
            _ => Err(JoinError::RolledBack(here)),
        })
    }

    /// What is refused ends it; the rest passes.
    fn pass(&mut self, error: Refusal) -> Result<(), JoinError> {
        match error {
            Refusal::Refused(why) => Err(JoinError::Refused(why)),
            Refusal::Unknown(why) => {
                self.replica.troubled(&why);
                Ok(())
            }
            Refusal::Condition | Refusal::Busy => Ok(()),
        }
    }

    /// Reads the next batch, if there is one.
    async fn follow(&mut self) -> Result<bool, JoinError> {
        match self.world.0.get(&self.keys.batch(self.place.number + 1)).await {
            // A cluster that goes on from a node that was alone has its base before its first batch.
            Ok(Some(_)) if self.restore().await? => Ok(true),
            Ok(Some((object, _))) => {
                self.based = true;
                self.take(&object).map(|_| true)
            }
            Ok(None) => Ok(false),
            Err(error) => self.pass(error).map(|()| false),
        }
    }

    fn take(&mut self, object: &[u8]) -> Result<Batch, JoinError> {
        let (place, mut batch) = self.place.next(&self.options.key, object)?;
        self.replica.apply(std::mem::take(&mut batch.contents)).map_err(JoinError::Replica)?;
        self.replica.reached(place).map_err(JoinError::Replica)?;
        self.place = place;
        Ok(batch)
    }

    /// Takes the lease if nobody has it.
    async fn look(&mut self, watch: &mut Watch) -> Result<Option<Held>, JoinError> {
        let (name, key, ttl_ms) = (self.keys.lease(), &self.options.key, self.options.ttl_ms);
        let (condition, term) = match watch.look(self.world(), (&name, key), ttl_ms).await {
            Ok(Look::Free(condition, term)) => (condition, term),
            Ok(Look::Held(lease)) => {
                // A lease of this node's own is one that it could not use.
                if let Some(lease) = lease.filter(|lease| lease.node != self.options.node.to_string()) {
                    self.replica.stands_by(&lease);
                }
                return Ok(None);
            }
            Err(error) => return self.pass(error).map(|()| None),
        };
        let by = (self.options.node, self.options.address.as_str());
        // The lease may have been deleted: the log remembers its terms.
        let term = term.max(self.place.term) + 1;
        match Held::take(self.world(), (&name, key), by, (condition, term), ttl_ms).await {
            Ok(held) => Ok(held),
            Err(error) => self.pass(error).map(|()| None),
        }
    }

    /// Reads the log to its end and begins the term there. `None` if another node was faster.
    async fn take_over(&mut self, mut held: Held) -> Result<Option<Held>, JoinError> {
        loop {
            while self.follow().await? {}
            if self.place.term >= held.term() {
                return Ok(None);
            }
            // This node may have been stopped or cut off for so long that the next number is free because it was deleted.
            self.check_place().await?;
            let now_ms = self.world.1.now_ms();
            if !held.holds(now_ms) || held.due_in_ms(now_ms) == 0 && !held.renew(self.world(), &self.options.key).await {
                return Ok(None);
            }
            if !self.based && !self.begin(&mut held).await? {
                continue;
            }
            let by = (held.term(), self.options.node);
            let keyed = (&self.keys, &self.options.key);
            let written = write(self.world(), keyed, &self.place, by, Vec::new(), |now_ms| held.holds(now_ms)).await;
            match written {
                Ok(Landed::Own(place)) => {
                    self.replica.reached(place).map_err(JoinError::Replica)?;
                    self.place = place;
                    return Ok(Some(held));
                }
                Ok(Landed::Other(object)) => drop(self.take(&object)?),
                Err(WriterError::LeaseLost | WriterError::Late(_) | WriterError::Fenced) => return Ok(None),
                Err(WriterError::Refused(why)) => return Err(JoinError::Refused(why)),
                Err(WriterError::Random) => return Err(JoinError::Random),
            }
        }
    }

    /// Begins the log. What it begins with is its first base, which is written once: nothing, or what a node has of its own. `false` if another
    /// node was faster.
    async fn begin(&mut self, held: &mut Held) -> Result<bool, JoinError> {
        match self.save_own(held).await {
            Err(JoinError::Base(BaseError::There(_))) if !self.replica.is_alone() => return self.restore().await.map(|_| false),
            saved => saved?,
        }
        self.replica.reached(Place::START).map_err(JoinError::Replica)?;
        self.based = true;
        Ok(true)
    }

    /// It may take a while, and the lease is renewed meanwhile.
    async fn save_own(&mut self, held: &mut Held) -> Result<(), JoinError> {
        let own = if self.replica.is_alone() { self.replica.own().map_err(JoinError::Replica)? } else { Vec::new() };
        let (world, key) = (self.world(), &self.options.key);
        let mut saving = std::pin::pin!(base::save(world, (&self.options.prefix, key), Place::START, own));
        loop {
            let due_ms = held.due_in_ms(world.1.now_ms());
            tokio::select! {
                saved = saving.as_mut() => return Ok(saved?),
                () = world.1.sleep(due_ms) => drop(held.renew(world, key).await),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test fails by them")]

    use std::collections::BTreeMap;
    use std::sync::{Arc, Mutex};

    use bytes::Bytes;
    use zeroize::Zeroizing;

    use super::*;
    use crate::objects::Condition;

    const PREFIX: &str = "c/";
    const NODE: NodeId = NodeId([7; 16]);

    type Happens = Box<dyn FnOnce(&mut BTreeMap<String, (Bytes, String)>) + Send>;

    /// A bucket whose time goes on when somebody sleeps, and where things happen at their times.
    #[derive(Clone, Default)]
    struct World(Arc<Mutex<State>>);

    #[derive(Default)]
    struct State {
        objects: BTreeMap<String, (Bytes, String)>,
        etags: u64,
        now_ms: u64,
        happens: Vec<(u64, Happens)>,
        read_only: bool,
    }

    impl World {
        fn at(&self, ms: u64, what: impl FnOnce(&mut BTreeMap<String, (Bytes, String)>) + Send + 'static) {
            self.0.lock().unwrap().happens.push((ms, Box::new(what)));
        }

        fn has(&self, name: &str) -> bool {
            self.0.lock().unwrap().objects.contains_key(name)
        }

        async fn join(&self, member: &mut Member) -> Result<Place, JoinError> {
            let options =
                Options { prefix: PREFIX.to_owned(), key: key(), node: NODE, address: "node".to_owned(), ttl_ms: 10_000 };
            join((self.clone(), self.clone()), &options, member).await.map(|writer| writer.place())
        }
    }

    impl Objects for World {
        async fn put(&self, key: &str, body: Bytes, condition: &Condition) -> Result<String, Refusal> {
            let mut state = self.0.lock().unwrap();
            if state.read_only {
                return Err(Refusal::Refused("403 AccessDenied".to_owned()));
            }
            let there = state.objects.get(key).map(|(_, etag)| etag.clone());
            let holds = match condition {
                Condition::None => true,
                Condition::Absent => there.is_none(),
                Condition::Is(etag) => there.as_ref() == Some(etag),
            };
            if !holds {
                return Err(Refusal::Condition);
            }
            state.etags += 1;
            let etag = state.etags.to_string();
            state.objects.insert(key.to_owned(), (body, etag.clone()));
            Ok(etag)
        }

        async fn get(&self, key: &str) -> Result<Option<(Bytes, String)>, Refusal> {
            Ok(self.0.lock().unwrap().objects.get(key).cloned())
        }

        async fn list(&self, prefix: &str, _count: usize) -> Result<Vec<String>, Refusal> {
            Ok(self.0.lock().unwrap().objects.keys().filter(|key| key.starts_with(prefix)).cloned().collect())
        }

        async fn delete(&self, key: &str) -> Result<(), Refusal> {
            self.0.lock().unwrap().objects.remove(key);
            Ok(())
        }
    }

    impl Clock for World {
        fn now_ms(&self) -> u64 {
            self.0.lock().unwrap().now_ms
        }

        async fn sleep(&self, ms: u64) {
            let state = &mut *self.0.lock().unwrap();
            state.now_ms += ms;
            assert!(state.now_ms < 600_000, "it goes on for ever");
            let (due, later) = std::mem::take(&mut state.happens).into_iter().partition(|(at, _)| *at <= state.now_ms);
            state.happens = later;
            let due: Vec<(u64, Happens)> = due;
            due.into_iter().for_each(|(_, what)| what(&mut state.objects));
        }
    }

    #[derive(Default)]
    struct Member {
        place: Option<Place>,
        own: Option<&'static str>,
        restored: Vec<String>,
        troubles: Vec<String>,
    }

    impl Replica for Member {
        fn place(&self) -> Place {
            self.place.unwrap_or(Place::START)
        }

        fn apply(&mut self, _contents: Vec<Content>) -> Result<(), String> {
            Ok(())
        }

        fn is_alone(&self) -> bool {
            self.own.is_some()
        }

        fn own(&mut self) -> Result<Vec<BaseFile>, String> {
            let own = self.own.unwrap_or_default();
            Ok(vec![("own".to_owned(), Box::new(std::io::Cursor::new(own)))])
        }

        fn restore(&mut self, name: &str, _length: u64, _at: u64, _bytes: &[u8]) -> Result<(), String> {
            self.restored.push(name.to_owned());
            Ok(())
        }

        fn reached(&mut self, place: Place) -> Result<(), String> {
            self.place = Some(place);
            self.own = None;
            Ok(())
        }

        fn stands_by(&mut self, _lease: &Lease) {}

        fn troubled(&mut self, what: &str) {
            self.troubles.push(what.to_owned());
        }
    }

    fn key() -> Key {
        Key::new(Zeroizing::new([1; 32]))
    }

    fn keys() -> Keys {
        Keys::new(PREFIX)
    }

    /// A log of so many batches, by another node.
    fn log(count: u64) -> (BTreeMap<String, (Bytes, String)>, Vec<Place>) {
        let (mut objects, mut places) = (BTreeMap::new(), vec![Place::START]);
        for number in 1..=count {
            let before = *places.last().unwrap();
            let contents = if number == 1 { Vec::new() } else { vec![Content::Change(vec![1])] };
            let batch = Batch { number, term: 1, node: NodeId([1; 16]), before: before.digest, contents };
            let object = key().seal(&batch).unwrap();
            places.push(before.next(&key(), &object).unwrap().0);
            objects.insert(keys().batch(number), (object, format!("log-{number}")));
        }
        (objects, places)
    }

    fn lease_of_another(beat: u64) -> (Bytes, String) {
        let lease = Lease { term: 1, node: "another".to_owned(), address: String::new(), beat, released: false };
        (key().seal_as("lease", serde_json::to_vec(&lease).unwrap()).unwrap(), format!("lease-{beat}"))
    }

    #[tokio::test]
    async fn a_node_that_was_cut_off_for_longer_than_the_log_is_kept_never_writes() {
        let (objects, places) = log(9);
        let world = World::default();
        // What it can see ends where it stands; when it sees the bucket again, what came next is gone already.
        world.0.lock().unwrap().objects = objects.clone().into_iter().filter(|(name, _)| *name <= keys().batch(3)).collect();
        world.at(5_000, move |seen| *seen = objects.into_iter().filter(|(name, _)| *name > keys().batch(6)).collect());
        world.0.lock().unwrap().objects.insert(keys().lease(), lease_of_another(0));
        let mut member = Member { place: Some(places[2]), ..Member::default() };
        assert_eq!(world.join(&mut member).await, Err(JoinError::Away(3)));
        assert!(!world.has(&keys().batch(4)), "it would write where the log was cut");
    }

    #[tokio::test]
    async fn a_node_whose_log_was_cut_behind_it_says_so_while_another_is_active() {
        let (objects, places) = log(9);
        let world = World::default();
        world.0.lock().unwrap().objects = objects.clone().into_iter().filter(|(name, _)| *name <= keys().batch(3)).collect();
        world.at(1_000, move |seen| *seen = objects.into_iter().filter(|(name, _)| *name > keys().batch(6)).collect());
        for beat in 0..300 {
            world.at(beat * 2_000, move |seen| drop(seen.insert(keys().lease(), lease_of_another(beat))));
        }
        world.0.lock().unwrap().objects.insert(keys().lease(), lease_of_another(0));
        let mut member = Member { place: Some(places[3]), ..Member::default() };
        assert_eq!(world.join(&mut member).await, Err(JoinError::Away(3)));
    }

    #[tokio::test]
    async fn a_node_with_nothing_begins_with_what_one_that_was_alone_has_saved() {
        // It was killed after it had saved all of it, and before it wrote anything.
        let alone = World::default();
        alone.join(&mut Member { own: Some("all of it"), ..Member::default() }).await.unwrap();
        let world = World::default();
        let saved = alone.0.lock().unwrap().objects.clone();
        let saved = saved.into_iter().filter(|(name, _)| *name != keys().lease() && *name != keys().batch(1));
        let saved: Vec<_> = saved.collect();
        assert_eq!(saved.len(), 2);
        let later = saved.clone();
        world.0.lock().unwrap().objects.insert(keys().lease(), lease_of_another(0));
        world.at(3_000, move |seen| seen.extend(later));
        let mut member = Member::default();
        assert_eq!(world.join(&mut member).await.unwrap().number, 1);
        assert_eq!(member.restored, ["own", "own"]);
        // The one that was alone goes on with it, too, and one that has something else doesn't.
        for (own, goes_on) in [("all of it", true), ("something else", false)] {
            let world = World::default();
            world.0.lock().unwrap().objects.extend(saved.clone());
            let joined = world.join(&mut Member { own: Some(own), ..Member::default() }).await;
            assert_eq!(joined.is_ok(), goes_on, "{joined:?}");
            assert_eq!(world.has(&keys().batch(1)), goes_on);
        }
    }

    #[tokio::test]
    async fn what_is_saved_after_another_node_has_begun_is_nobody_s() {
        let world = World::default();
        world.join(&mut Member::default()).await.unwrap();
        let late = vec![("own".to_owned(), Box::new(std::io::Cursor::new("late")) as _)];
        let late = base::save((&world, &world), (PREFIX, &key()), Place::START, late).await;
        assert_eq!(late, Err(BaseError::There(0)));
    }

    #[tokio::test]
    async fn a_node_that_may_not_write_says_so() {
        let world = World::default();
        world.0.lock().unwrap().read_only = true;
        let joined = world.join(&mut Member::default()).await;
        assert_eq!(joined, Err(JoinError::Refused("403 AccessDenied".to_owned())));
    }
}
