//! One of several nodes: it stands by until it is its turn, and shares what it writes when it is.
//!
//! While it stands by it has all of it on its own disk: the journal, the store, keys and cursors, as the active node wrote them. Taking over is
//! then what a start is, on another machine.

mod files;

use std::collections::BTreeMap;
use std::fs::{self, File as DiskFile};
use std::io;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use remit_bucket::Bucket;
use remit_cluster::{
    Active, BaseFile, BucketObjects, Content, Entries, File, Key, Lease, NodeId, Options, Place, Pruner, Replica, SystemClock,
    WriterError,
};
use remit_gateway::ShareFile;
use remit_journal::{Follower, Health, Journal};
use remit_model::Network;
use remit_store::{SqliteStore, StoreError};
use rustls::ClientConfig;
use tokio::net::TcpListener;
use tokio::sync::watch;
use zeroize::Zeroizing;

use crate::cli::{self, Up};
use files::{KEY_FILES, SLOW_FILES, base_files, is_shared, listed, moving, put_file, take_file, take_file_away};

use crate::home::{Home, key_new, write_private};
use crate::output::{Failure, warn};
use crate::retention::{erase_on_standby, tells_of_erased};
use crate::standby::{Forwarding, stand_by};
use crate::upkeep::Stops;

/// How often cursors are shared that have moved.
const SHARE: Duration = Duration::from_secs(5);
/// How often what is derived is shared.
const SHARE_SLOW: Duration = Duration::from_mins(10);
/// How often it is looked whether the node ends.
const PACE: Duration = Duration::from_millis(250);
/// The largest file that is shared.
const FILE_BYTES_MAX: u64 = 16 * 1024 * 1024;
/// How often it is looked whether a base is due, and what nobody needs any more.
const BASES: Duration = Duration::from_secs(5);
/// How old the newest base becomes, if anything is written: what was erased leaves the bucket with those before.
const BASE_AGE_MAX: Duration = Duration::from_hours(24);
/// The same for a node that has become active and can't tell how old the newest one is.
const BASE_FIRST: Duration = Duration::from_hours(1);
/// How long something has to be unneeded before it is deleted from the bucket.
const UNNEEDED_MS: u64 = 3_600_000;
/// How often it is written down how far this node is.
const PLACE: Duration = Duration::from_secs(1);
/// How long one request to the bucket may take that the lease waits for: short enough for another within its life.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(3);
/// How long one may take that moves a part of a base.
const PART_TIMEOUT: Duration = Duration::from_secs(30);

/// What a node is that has become active.
pub(crate) struct Joined {
    /// Where the other nodes pass on what reaches them.
    pub(crate) forwarded: TcpListener,
    pub(crate) forwarding: Arc<Forwarding>,
    pub(crate) bases: Bases,
}

/// Stands by until this node is the active one. `Ok(None)`: it was told to stop before.
pub(crate) async fn join(
    options: &Up,
    home: &Home,
    (listener, control): (&TcpListener, &TcpListener),
    tls: &Arc<ClientConfig>,
    stops: &mut Stops,
) -> Result<Option<Joined>, Failure> {
    let fault = |error: &dyn std::fmt::Display| Failure::new(error.to_string());
    let lock = taken(home)?;
    let master = home.master_key()?.ok_or_else(|| {
        Failure::invalid(
            "the nodes of a cluster have one master key: set REMIT_MASTER_KEY to 32 bytes in base64, the same on each of them",
        )
    })?;
    let asked = &options.cluster;
    let (forwarded, address) = listening(asked).await?;
    let mut node = [0; 16];
    aws_lc_rs::rand::fill(&mut node).map_err(|_| Failure::new("the system has no randomness"))?;
    let (bucket, prefix) = named(options, tls, REQUEST_TIMEOUT)?;
    let (parts, _) = named(options, tls, PART_TIMEOUT)?;
    let joining = Options {
        // What is sealed under one prefix is nothing under another.
        key: Key::new(master.derive(&format!("remit cluster log v1\0{prefix}"))),
        prefix,
        node: NodeId(node),
        address,
        ttl_ms: asked.cluster_lease_secs * 1000,
    };
    let [here, operated] = [listener, control].map(TcpListener::local_addr);
    let (here, operated) = (here.map_err(|error| fault(&error))?, operated.map_err(|error| fault(&error))?);
    warn(&format!("cluster: this node is at {here}, for operators at {operated}, for other nodes at {}", joining.address));
    let forwarding = Arc::new(Forwarding::new(&master.derive("remit cluster forward v1")));
    let (tell, told) = watch::channel(None);
    let (joined_as, address) = (joining.node.to_string(), joining.address.clone());
    let (prefix, key) = (joining.prefix.clone(), joining.key.clone());
    home.clear_running();
    let mut member = Member::new(home, options, tell.clone())?;
    let followed = Arc::clone(&member.followed);
    let joined = tokio::task::spawn_blocking(move || -> Result<Active, String> {
        let world = (BucketObjects(bucket), SystemClock::start());
        // A runtime of its own: what waits for the log elsewhere must not keep it from going on.
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(|error| error.to_string())?;
        let writer = runtime.block_on(remit_cluster::join(world, &joining, &mut member)).map_err(|error| error.to_string())?;
        // The journal's lock is let go, and the store closed.
        member.keep_place(true)?;
        drop(member);
        Active::start(writer, runtime).map_err(|error| error.to_string())
    });
    let active = tokio::select! {
        joined = joined => joined.map_err(|error| fault(&error))?.map_err(Failure::new)?,
        stopped = stand_by((listener, control), &forwarding, (told, &followed), stops) => {
            stopped?;
            return Ok(None);
        }
    };
    let term = active.term();
    // Whoever waits for an active node is passed on to this one.
    let own = Lease { term, node: joined_as, address, beat: 0, released: false };
    tell.send_replace(Some(own));
    share_keys(home, &active)?;
    home.share(active.clone());
    let bases = Bases {
        home: home.clone(),
        active,
        objects: BucketObjects(parts),
        prefix,
        key,
        clock: SystemClock::start(),
        pruner: Pruner::new(UNNEEDED_MS),
        batches: asked.cluster_base_batches,
        due_at: Instant::now() + BASE_FIRST,
        _lock: lock,
    };
    warn(&format!("cluster: this node is active, in term {term}"));
    Ok(Some(Joined { forwarded, forwarding, bases }))
}

/// Where the other nodes pass on what reaches them, and how they reach that.
async fn listening(asked: &cli::Cluster) -> Result<(TcpListener, String), Failure> {
    let at = asked.cluster_listen;
    if asked.cluster_address.is_none() && at.ip().is_unspecified() {
        let what = format!("other nodes can't connect to {at}: say where they reach this one with --cluster-address");
        return Err(Failure::invalid(what));
    }
    let fault = |error: io::Error| Failure::new(error.to_string());
    let listener = TcpListener::bind(at).await.map_err(fault)?;
    let bound = listener.local_addr().map_err(fault)?;
    Ok((listener, asked.cluster_address.clone().unwrap_or_else(|| bound.to_string())))
}

/// Takes the directory: no other process may have it.
fn taken(home: &Home) -> Result<DiskFile, Failure> {
    let path = home.root().join("cluster.lock");
    let lock = DiskFile::create(&path).map_err(|error| Failure::io(&path, &error))?;
    lock.try_lock().map_err(|_| Failure::new(format!("another Remit runs on `{}`", home.root().display())))?;
    Ok(lock)
}

/// The bucket that is named, and what stands before each key.
fn named(options: &Up, tls: &Arc<ClientConfig>, timeout: Duration) -> Result<(Bucket, String), Failure> {
    let asked = &options.cluster;
    let named = asked.cluster.as_deref().unwrap_or_default();
    let (bucket, prefix) = named
        .strip_prefix("s3://")
        .map(|named| named.split_once('/').unwrap_or((named, "")))
        .filter(|(bucket, _)| !bucket.is_empty())
        .ok_or_else(|| Failure::invalid(format!("`{named}` names no bucket: say --cluster s3://BUCKET/PREFIX")))?;
    let variable = |name: &str| std::env::var(name).ok().filter(|value| !value.is_empty()).map(Zeroizing::new);
    let missing = "the access key of the cluster's bucket is missing: set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY";
    let id = variable("AWS_ACCESS_KEY_ID").ok_or_else(|| Failure::invalid(missing))?;
    let secret = variable("AWS_SECRET_ACCESS_KEY").ok_or_else(|| Failure::invalid(missing))?;
    let mut credentials = Zeroizing::new(format!("{}:{}", *id, *secret));
    if let Some(token) = variable("AWS_SESSION_TOKEN") {
        credentials.push(':');
        credentials.push_str(&token);
    }
    let network = match asked.cluster_endpoint.as_deref() {
        None => Network::Public,
        Some(endpoint) if endpoint.contains("//127.0.0.1") || endpoint.contains("//localhost") => Network::Loopback,
        Some(_) => Network::Private,
    };
    let options = remit_bucket::Options {
        bucket: bucket.to_owned(),
        region: asked.cluster_region.clone(),
        endpoint: asked.cluster_endpoint.clone(),
        network,
        credentials,
        timeout,
    };
    let prefix = prefix.trim_matches('/');
    let prefix = if prefix.is_empty() { String::new() } else { format!("{prefix}/") };
    let bucket = Bucket::new(&options, tls).map_err(|error| Failure::invalid(error.to_string()))?;
    Ok((bucket, prefix))
}

/// Makes the keys that no node has made yet: the others have them before this one does.
fn share_keys(home: &Home, active: &Active) -> Result<(), Failure> {
    for name in KEY_FILES {
        let path = home.root().join(name);
        if path.exists() {
            continue;
        }
        // Another one would open nothing, and sign another log.
        if ["journal.key", "history.key"].contains(&name) && home.journal_vkey().exists() {
            let why = format!("`{}` is missing: begin with an empty directory, which gets it from the cluster", path.display());
            return Err(Failure::new(why));
        }
        let (_, text) = key_new()?;
        let place = append_file(active, name, text.as_bytes()).map_err(|error| Failure::new(error.to_string()))?;
        apply_here(active, place, || write_private(&path, text.as_bytes()))?;
    }
    Ok(())
}

/// A node that stands by, as the log's reader writes to it.
struct Member {
    home: Home,
    /// Whether the directory is one of a Remit that was alone: only a log that nobody wrote yet can go on from it.
    was_alone: bool,
    store: Option<Arc<SqliteStore>>,
    journal: Option<Follower>,
    segment_bytes: u64,
    place: Place,
    /// The number of that, for whoever asks meanwhile.
    followed: Arc<AtomicU64>,
    kept: (Option<Place>, Instant),
    /// Whether the active node erased entries that this one has still, as far as it knows.
    to_erase: bool,
    erasing: Option<JoinHandle<()>>,
    tell: watch::Sender<Option<Lease>>,
    trouble: Option<String>,
}

impl Member {
    fn new(home: &Home, options: &Up, tell: watch::Sender<Option<Lease>>) -> Result<Self, Failure> {
        let path = home.cluster_place();
        let place = match fs::read_to_string(&path) {
            Ok(text) => Place::parse(text.trim())
                .ok_or_else(|| Failure::new(format!("`{}` can't be read: begin with an empty directory", path.display())))?,
            Err(error) if error.kind() == io::ErrorKind::NotFound => Place::START,
            Err(error) => return Err(Failure::io(&path, &error)),
        };
        let has_journal = !listed(home.root(), "journal", ".segment").is_empty();
        let was_alone = !path.exists() && (has_journal || home.root().join("remit.db").exists());
        if !was_alone {
            write_private(&path, place.to_json().as_bytes())?;
        }
        Ok(Self {
            home: home.clone(),
            was_alone,
            store: None,
            journal: None,
            segment_bytes: u64::from(options.journal_segment_kib) * 1024,
            place,
            followed: Arc::new(AtomicU64::new(place.number)),
            kept: ((!was_alone).then_some(place), Instant::now()),
            // Whatever an earlier run left.
            to_erase: true,
            erasing: None,
            tell,
            trouble: None,
        })
    }

    fn take(&mut self, content: Content) -> Result<(), String> {
        match content {
            Content::Entries(entries) => self.take_entries(entries),
            Content::Change(change) => self.store()?.apply(&change).map_err(|error| error.to_string()),
            Content::File(File { name, bytes }) => take_file(self.home.root(), &name, bytes.as_deref()),
        }
    }

    fn store(&mut self) -> Result<&SqliteStore, String> {
        if self.store.is_none() {
            self.store = Some(self.home.store().map_err(|failure| failure.message)?);
        }
        self.store.as_deref().ok_or_else(|| "the store is gone".to_owned())
    }

    fn is_member(&self) -> Result<(), String> {
        if !self.was_alone {
            return Ok(());
        }
        Err(format!(
            "`{}` holds a journal and a store of its own, and the cluster has others: a node begins with an empty directory, and gets everything from the cluster",
            self.home.root().display()
        ))
    }

    fn take_entries(&mut self, entries: Entries) -> Result<(), String> {
        let Entries { first_index, note, entries } = entries;
        self.to_erase |= entries.iter().any(|entry| tells_of_erased(entry));
        let journal = if let Some(journal) = &mut self.journal {
            journal
        } else {
            let origin = note.lines().next().unwrap_or_default();
            let options = remit_journal::Options {
                segment_bytes: self.segment_bytes,
                ..remit_journal::Options::new(self.home.journal(), origin)
            };
            let key = self.home.journal_key().map_err(|failure| failure.message)?;
            let vkey = key.verifier_key(origin).map_err(|error| error.to_string())?;
            let opened = Follower::open(options, key).map_err(|error| error.to_string())?;
            fs::write(self.home.journal_vkey(), vkey).map_err(|error| error.to_string())?;
            self.journal.insert(opened)
        };
        journal.append(first_index, &note, entries).map_err(|error| error.to_string())
    }

    /// Erases here what the active node erased, beside what is read.
    fn erase(&mut self) {
        let is_busy = self.erasing.as_ref().is_some_and(|erasing| !erasing.is_finished());
        if !self.to_erase || is_busy || self.journal.is_none() {
            return;
        }
        let home = self.home.clone();
        self.to_erase = false;
        self.erasing = Some(std::thread::spawn(move || {
            if let Err(why) = erase_on_standby(&home) {
                warn(&format!(
                    "cluster: what the active node erased is still here: {why}: it goes with the next erasure, or start"
                ));
            }
        }));
    }

    /// Writes down how far this node is.
    fn keep_place(&mut self, now: bool) -> Result<(), String> {
        let (kept, at) = self.kept;
        if kept != Some(self.place) && (now || at.elapsed() >= PLACE) {
            write_private(&self.home.cluster_place(), self.place.to_json().as_bytes()).map_err(|failure| failure.message)?;
            self.kept = (Some(self.place), Instant::now());
        }
        Ok(())
    }
}

impl Replica for Member {
    fn place(&self) -> Place {
        self.place
    }

    fn apply(&mut self, contents: Vec<Content>) -> Result<(), String> {
        self.is_member()?;
        contents.into_iter().try_for_each(|content| self.take(content))
    }

    fn is_alone(&self) -> bool {
        self.was_alone
    }

    fn own(&mut self) -> Result<Vec<BaseFile>, String> {
        base_files(&self.home)
    }

    fn restore(&mut self, name: &str, length: u64, at: u64, bytes: &[u8]) -> Result<(), String> {
        let is_segment =
            |name: &str| name.strip_suffix(".segment").is_some_and(|name| name.bytes().all(|byte| byte.is_ascii_digit()));
        let is_part = is_shared(name)
            || ["remit.db", "journal.vkey"].contains(&name)
            || name.strip_prefix("journal/").is_some_and(is_segment);
        if !is_part {
            return Err(format!("the file `{name}` is none that nodes share"));
        }
        if name == "remit.db" && bytes.is_empty() {
            // What an earlier opening wrote ahead belongs to the file that was there.
            for end in ["-wal", "-shm"] {
                take_file_away(&self.home.root().join(format!("{name}{end}")))?;
            }
        }
        put_file(&self.home.root().join(name), length, at, bytes).map_err(|error| format!("`{name}`: {error}"))
    }

    fn reached(&mut self, place: Place) -> Result<(), String> {
        // From now on it is a node's.
        let now = std::mem::take(&mut self.was_alone);
        self.place = place;
        self.followed.store(place.number, Ordering::Relaxed);
        self.keep_place(now)
    }

    fn stands_by(&mut self, lease: &Lease) {
        self.trouble = None;
        let moved = self.tell.borrow().as_ref().is_none_or(|known| known.node != lease.node);
        if moved {
            warn(&format!("cluster: this node stands by; active, in term {}, is {}", lease.term, lease.address));
            self.tell.send_replace(Some(lease.clone()));
        }
        if let Err(error) = self.keep_place(false) {
            self.troubled(&error);
        }
        self.erase();
    }

    fn troubled(&mut self, what: &str) {
        if self.trouble.as_deref() != Some(what) {
            warn(&format!("cluster: {what}: it is tried again"));
            self.trouble = Some(what.to_owned());
        }
    }
}

/// What the active node's journal and store share through.
#[derive(Debug)]
pub(crate) struct Share {
    active: Active,
    /// The journal's batch before: it is on disk when the next one comes.
    before: Mutex<Option<Place>>,
}

impl Share {
    pub(crate) fn new(active: Active) -> Self {
        Self { active, before: Mutex::default() }
    }
}

impl remit_journal::Replicate for Share {
    fn replicate(&self, first_index: u64, note: &str, entries: &[&[u8]]) -> Result<(), String> {
        let mut before = self.before.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(before) = before.take() {
            self.active.applied(before);
        }
        let entries = entries.iter().map(|entry| entry.to_vec()).collect();
        let content = Content::Entries(Entries { first_index, note: note.to_owned(), entries });
        *before = Some(self.active.append(content).map_err(|error| error.to_string())?);
        Ok(())
    }
}

impl remit_store::Replicate for Share {
    fn replicate(&self, change: &[u8], commit: &mut dyn FnMut() -> Result<(), StoreError>) -> Result<(), StoreError> {
        let place = self.active.append(Content::Change(change.to_vec()));
        let place = place.map_err(|error| StoreError::Unavailable(error.to_string()))?;
        apply_here(&self.active, place, commit)
    }
}

/// Lets the others have a small file.
fn append_file(active: &Active, name: &str, bytes: &[u8]) -> Result<Place, WriterError> {
    active.append(Content::File(File { name: name.to_owned(), bytes: Some(bytes.to_vec()) }))
}

/// Does here what the others know of. A node that can't is not where they are, and ends.
fn apply_here<E>(active: &Active, place: Place, apply: impl FnOnce() -> Result<(), E>) -> Result<(), E> {
    let done = apply();
    match done {
        Ok(()) => active.applied(place),
        Err(_) => active.release(),
    }
    done
}

/// A store of a node that stands by, or that isn't up: nothing may be written to it here.
pub(crate) struct StandsBy;

impl remit_store::Replicate for StandsBy {
    fn replicate(&self, _change: &[u8], _commit: &mut dyn FnMut() -> Result<(), StoreError>) -> Result<(), StoreError> {
        let what = "this directory is a node's of a cluster: only the active node writes, and it has to be up";
        Err(StoreError::Unavailable(what.to_owned()))
    }
}

/// How the keys of spaces are shared.
pub(crate) fn share_space_keys(active: Active) -> ShareFile {
    Arc::new(move |name, bytes, write| {
        let place = append_file(&active, &format!("keys/{name}"), bytes).map_err(io::Error::other)?;
        apply_here(&active, place, write)
    })
}

/// Small files that change while the gateway is up, and what of them the other nodes have.
pub(crate) struct Files {
    home: Home,
    active: Active,
    shared: BTreeMap<String, Vec<u8>>,
    slow_at: Instant,
    kept: Option<Place>,
}

impl Files {
    pub(crate) fn new(home: &Home, active: Active) -> Self {
        Self { home: home.clone(), active, shared: BTreeMap::new(), slow_at: Instant::now(), kept: None }
    }

    /// Shares what has changed, and writes down how far this node is. `last` shares what is derived, too.
    pub(crate) fn share(&mut self, last: bool) -> Result<(), String> {
        let root = self.home.root();
        let mut names = moving(root);
        if last || self.slow_at.elapsed() >= SHARE_SLOW {
            self.slow_at = Instant::now();
            names.extend(SLOW_FILES.map(str::to_owned));
        }
        for name in names {
            let path = root.join(&name);
            let fits = fs::metadata(&path).is_ok_and(|found| found.len() <= FILE_BYTES_MAX);
            let Some(bytes) = fits.then(|| fs::read(&path).ok()).flatten() else { continue };
            if self.shared.get(&name) == Some(&bytes) {
                continue;
            }
            let place = append_file(&self.active, &name, &bytes).map_err(|error| error.to_string())?;
            self.active.applied(place);
            self.shared.insert(name, bytes);
        }
        let place = self.active.place();
        if self.kept != Some(place) {
            write_private(&self.home.cluster_place(), place.to_json().as_bytes()).map_err(|failure| failure.message)?;
            self.kept = Some(place);
        }
        Ok(())
    }
}

/// Saves bases, and cuts away what nobody needs any more.
pub(crate) struct Bases {
    home: Home,
    active: Active,
    objects: BucketObjects,
    prefix: String,
    key: Key,
    clock: SystemClock,
    pruner: Pruner,
    /// How many batches come between two bases.
    batches: u64,
    /// When the next one is saved, if anything is written by then.
    due_at: Instant,
    /// Held as long as this process has the directory.
    _lock: DiskFile,
}

impl Bases {
    async fn round(&mut self) -> Result<(), String> {
        let fault = |error: remit_cluster::BaseError| error.to_string();
        // What lies before it is in the files, which are read afterwards.
        let place = self.active.place();
        let world = (&self.objects, &self.clock);
        let keyed = (self.prefix.as_str(), &self.key);
        let newest = remit_cluster::newest(&self.objects, &self.prefix).await.map_err(fault)?.unwrap_or(0);
        let is_old = place.number > newest && Instant::now() >= self.due_at;
        if is_old || place.number >= newest.saturating_add(self.batches) {
            remit_cluster::save(world, keyed, place, base_files(&self.home)?).await.map_err(fault)?;
            self.due_at = Instant::now() + BASE_AGE_MAX;
        }
        let active = &self.active;
        self.pruner.prune(world, keyed, || !active.is_over()).await.map(drop).map_err(fault)
    }

    /// Blocks until the node ends.
    fn keep(mut self, handle: &tokio::runtime::Handle) {
        let mut looked_at = None::<Instant>;
        while !self.active.is_over() {
            if looked_at.is_none_or(|at| at.elapsed() >= BASES) {
                looked_at = Some(Instant::now());
                if let Err(why) = handle.block_on(self.round()) {
                    warn(&format!("cluster: no base was saved: {why}: it is tried again"));
                }
            }
            std::thread::park_timeout(PACE);
        }
    }
}

/// Shares small files until the end, and resolves when this node may not be active any more, with why.
pub(crate) async fn keep(home: &Home, journal: &Journal, bases: Option<Bases>) -> String {
    let (Some(active), Some(bases)) = (home.shared(), bases) else { return std::future::pending().await };
    let handle = tokio::runtime::Handle::current();
    tokio::task::spawn_blocking(move || bases.keep(&handle));
    let mut files = Files::new(home, active.clone());
    let sharing = tokio::task::spawn_blocking({
        let active = active.clone();
        move || {
            let mut shared_at = None::<Instant>;
            while !active.is_over() {
                if shared_at.is_none_or(|at| at.elapsed() >= SHARE) {
                    shared_at = Some(Instant::now());
                    if let Err(why) = files.share(false) {
                        return why;
                    }
                }
                std::thread::park_timeout(PACE);
            }
            "the node ends".to_owned()
        }
    });
    let stopped = async {
        loop {
            if let Health::Stopped { reason } = journal.health() {
                return format!("the journal stopped: {reason}");
            }
            tokio::time::sleep(Duration::from_millis(500)).await;
        }
    };
    tokio::select! {
        why = active.ended() => why.to_string(),
        why = stopped => why,
        why = sharing => why.unwrap_or_else(|error| error.to_string()),
    }
}

/// Shares what is left to share, and gives the lease back: another node takes over at once.
pub(crate) fn release(home: &Home) -> Result<(), Failure> {
    let Some(active) = home.shared() else { return Ok(()) };
    Files::new(home, active.clone()).share(true).map_err(Failure::new)?;
    active.release();
    Ok(())
}

/// How a node stands, as Prometheus reads it. One that is alone is active, and has read no batch.
pub(crate) fn metrics(active: bool, batches: u64) -> String {
    let active = u8::from(active);
    format!(
        "# HELP remit_active Whether this node decides: of several one does\n# TYPE remit_active gauge\nremit_active {active}\n# HELP remit_cluster_batches How far this node has the cluster's log\n# TYPE remit_cluster_batches gauge\nremit_cluster_batches {batches}\n"
    )
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use bytes::Bytes;
    use remit_cluster::{Condition, Objects, Refusal};

    use super::*;

    #[test]
    fn a_base_that_is_read_while_the_journal_is_written_is_whole() {
        let (here, there) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let home = Home::create(here.path()).unwrap();
        let open = |dir: PathBuf| {
            let options =
                remit_journal::Options { segment_bytes: 16 * 1024, ..remit_journal::Options::new(dir, "base.example/log") };
            Journal::open(options, home.journal_key().unwrap(), |_, _| {})
        };
        let (journal, _) = open(home.journal()).unwrap();
        let write = || {
            for _ in 0..100 {
                journal.append(vec![b'x'; 100]).wait().unwrap();
            }
        };
        write();
        // The one that is written, and the one that is prepared.
        let is_unused = |name: &String| fs::read(here.path().join(name)).unwrap().iter().all(|byte| *byte == 0);
        while !listed(here.path(), "journal", ".segment").last().is_some_and(is_unused) {
            std::thread::yield_now();
        }
        let segments = listed(here.path(), "journal", ".segment");
        let last = &segments[segments.len() - 2..];
        fs::create_dir(there.path().join("journal")).unwrap();
        for (name, mut file) in base_files(&home).unwrap() {
            let mut bytes = Vec::new();
            file.read_to_end(&mut bytes).unwrap();
            if name.starts_with("journal/") {
                fs::write(there.path().join(&name), bytes).unwrap();
            }
            if last.contains(&name) {
                write();
            }
        }
        let (_, read) = open(there.path().join("journal")).unwrap();
        assert_eq!(read.entries, 100);
    }

    /// A bucket in memory, for one node.
    #[derive(Clone, Default)]
    struct Memory(Arc<Mutex<BTreeMap<String, Bytes>>>);

    impl Objects for Memory {
        async fn put(&self, key: &str, body: Bytes, _condition: &Condition) -> Result<String, Refusal> {
            self.0.lock().unwrap().insert(key.to_owned(), body);
            Ok(key.to_owned())
        }

        async fn get(&self, key: &str) -> Result<Option<(Bytes, String)>, Refusal> {
            Ok(self.0.lock().unwrap().get(key).map(|body| (body.clone(), key.to_owned())))
        }

        async fn list(&self, prefix: &str, _count: usize) -> Result<Vec<String>, Refusal> {
            Ok(self.0.lock().unwrap().keys().filter(|key| key.starts_with(prefix)).cloned().collect())
        }

        async fn delete(&self, _key: &str) -> Result<(), Refusal> {
            Ok(())
        }
    }

    struct Nothing;

    impl Replica for Nothing {
        fn place(&self) -> Place {
            Place::START
        }

        fn apply(&mut self, _contents: Vec<Content>) -> Result<(), String> {
            Ok(())
        }

        fn is_alone(&self) -> bool {
            false
        }

        fn own(&mut self) -> Result<Vec<BaseFile>, String> {
            Ok(Vec::new())
        }

        fn restore(&mut self, _name: &str, _length: u64, _at: u64, _bytes: &[u8]) -> Result<(), String> {
            Ok(())
        }

        fn reached(&mut self, _place: Place) -> Result<(), String> {
            Ok(())
        }

        fn stands_by(&mut self, _lease: &Lease) {}

        fn troubled(&mut self, _what: &str) {}
    }

    #[test]
    fn a_node_that_can_t_do_what_the_others_know_of_is_not_active_any_more() {
        let key = Key::new(Zeroizing::new([1; 32]));
        let options = Options { prefix: String::new(), key, node: NodeId([1; 16]), address: String::new(), ttl_ms: 60_000 };
        let mut nothing = Nothing;
        let joining = remit_cluster::join((Memory::default(), SystemClock::start()), &options, &mut nothing);
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let writer = runtime.block_on(joining).unwrap();
        let active = Active::start(writer, runtime).unwrap();
        let share = Share::new(active.clone());
        let change = |commit: &mut dyn FnMut() -> Result<(), StoreError>| remit_store::Replicate::replicate(&share, b"x", commit);
        let place = active.place();
        change(&mut || Ok(())).unwrap();
        assert_eq!(active.place().number, place.number + 1);
        assert!(change(&mut || Err(StoreError::Unavailable("the disk is full".to_owned()))).is_err());
        assert!(active.is_over());
        assert_eq!(active.place().number, place.number + 1, "it is done when the node begins again");
        assert!(change(&mut || Ok(())).is_err());
    }
}
