//! Making the index, and keeping it: on a thread of its own, which nothing waits for.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use remit_journal::Reader;
use remit_tlog::{Frontier, Hash};
use rusqlite::Connection;

use crate::IndexError;
use crate::page::{signed, unsigned};
use crate::proof::TILE;
use crate::rows::{Memory, Writing};
use crate::tables;

/// How many entries a batch has before it is written at the next checkpoint.
const BATCH: usize = 50_000;
/// How long a follower waits before it looks for new entries.
const POLL: Duration = Duration::from_millis(200);
/// How long it waits before it tries again what failed.
const RETRY: Duration = Duration::from_secs(5);

/// Makes the index of a journal, batch by batch. Only one at a time can be open on a directory.
pub struct Builder {
    dir: PathBuf,
    journal: PathBuf,
    connection: Connection,
    memory: Memory,
    reader: Reader,
    /// How many entries are indexed.
    entries: u64,
    /// The roots of whole tiles, and the leaves of the one that isn't whole yet.
    tiles: Frontier,
    leaves: Frontier,
    file: Option<(u64, u64)>,
    _lock: std::fs::File,
}

impl Builder {
    /// Opens the index in `dir`, or makes it, to go on with the entries of the journal in `journal`. What is there and isn't of this journal,
    /// or runs ahead of it, is made anew.
    pub fn open(dir: impl AsRef<Path>, journal: impl AsRef<Path>) -> Result<Self, IndexError> {
        let (dir, journal) = (dir.as_ref(), journal.as_ref());
        let lock = tables::lock(dir)?;
        let opened = Self::resume(dir, journal, lock);
        match opened {
            Err((error, lock)) if error.is_spoilt() => {
                tables::wipe(dir)?;
                Self::resume(dir, journal, lock).map_err(|(error, _)| error)
            }
            other => other.map_err(|(error, _)| error),
        }
    }

    /// Removes what was indexed, so that it is made anew. Refused while it is being made.
    pub fn wipe(dir: impl AsRef<Path>) -> Result<(), IndexError> {
        let _lock = tables::lock(dir.as_ref())?;
        tables::wipe(dir.as_ref())
    }

    fn resume(dir: &Path, journal: &Path, lock: std::fs::File) -> Result<Self, (IndexError, std::fs::File)> {
        let begin = || -> Result<_, IndexError> {
            let connection = tables::open_writer(dir)?;
            let entries: i64 = connection.query_row("SELECT entries FROM progress", [], |row| row.get(0))?;
            let (entries, mut tiles, mut leaves) = (unsigned(entries), Frontier::new(), Frontier::new());
            let first = entries.saturating_sub(1) / TILE * TILE;
            let mut reader = Reader::open(journal, first)?.without_signatures();
            if entries > 0 {
                let whole = entries / TILE;
                let mut roots = connection.prepare("SELECT root FROM tile WHERE id < ?1 ORDER BY id")?;
                for root in roots.query_map([signed(whole)], |row| row.get(0))? {
                    tiles.append(Hash(root?));
                }
                for index in first..entries {
                    let Some(leaf) = reader.next_leaf()? else { return Err(IndexError::Foreign("it runs ahead of the journal")) };
                    if index >= whole * TILE {
                        leaves.append(leaf.hash);
                    }
                }
                // All that was indexed is the journal's, if the roots agree.
                let checkpoint = reader.checkpoint().filter(|checkpoint| checkpoint.size == entries);
                if tiles.size() != whole || checkpoint.is_none_or(|checkpoint| checkpoint.root != root(&tiles, &leaves)) {
                    return Err(IndexError::Foreign("the journal holds other entries"));
                }
            }
            Ok((connection, reader, entries, tiles, leaves))
        };
        match begin() {
            Ok((connection, reader, entries, tiles, leaves)) => Ok(Self {
                dir: dir.to_owned(),
                journal: journal.to_owned(),
                connection,
                memory: Memory::default(),
                reader,
                entries,
                tiles,
                leaves,
                file: tables::identity(dir),
                _lock: lock,
            }),
            Err(error) => Err((error, lock)),
        }
    }

    /// How many entries are indexed.
    pub fn entries(&self) -> u64 {
        self.entries
    }

    /// Indexes one batch: up to the end of what is durable, or the first checkpoint after enough entries. Says whether there may be more.
    /// What fails leaves the index as it was before; then only opening it again goes on.
    pub fn step(&mut self) -> Result<bool, IndexError> {
        if self.file.is_none() || tables::identity(&self.dir) != self.file {
            return Err(IndexError::Foreign("its file was removed"));
        }
        let done = self.batch();
        if done.is_err() {
            // What was given an id in it has none.
            self.memory = Memory::default();
        }
        done
    }

    /// Lets the database have at most so many pages, of 4 KiB each: past them a batch fails as on a full disk.
    pub fn pages_max(&self, pages: u32) -> Result<(), IndexError> {
        Ok(self.connection.pragma_update(None, "max_page_count", pages)?)
    }

    /// Indexes everything that is durable.
    pub fn catch_up(&mut self) -> Result<(), IndexError> {
        while self.step()? {}
        Ok(())
    }

    fn batch(&mut self) -> Result<bool, IndexError> {
        let Some(mut entry) = self.reader.next_leaf()? else { return Ok(false) };
        let mut writing = Writing::begin(&mut self.connection, &mut self.memory)?;
        let mut taken = 0;
        loop {
            if entry.index != self.entries {
                return Err(IndexError::Damaged("an entry is missing"));
            }
            if let Some(bytes) = &entry.bytes
                && let Some((first, end)) = writing.take(entry.index, bytes)?
            {
                writing.flush(self.entries)?;
                let mut again = Reader::open(&self.journal, first)?.without_signatures();
                while let Some(back) = again.next()?.filter(|back| back.index < end.min(entry.index)) {
                    writing.retake(back.index, &back.bytes)?;
                }
            }
            self.leaves.append(entry.hash);
            self.entries += 1;
            taken += 1;
            if self.leaves.size() == TILE {
                let whole = std::mem::take(&mut self.leaves).root();
                writing.tile(self.tiles.size(), whole);
                self.tiles.append(whole);
            }
            // A batch ends with a checkpoint, so that what is indexed can be told from another journal's.
            let mut ends = false;
            if let Some(checkpoint) = self.reader.checkpoint().filter(|checkpoint| checkpoint.size == self.entries) {
                if checkpoint.root != root(&self.tiles, &self.leaves) {
                    return Err(IndexError::Damaged("a checkpoint covers other entries than it holds"));
                }
                ends = true;
            }
            if ends && taken >= BATCH {
                let erased = writing.commit(self.entries)?;
                self.let_go(erased)?;
                return Ok(true);
            }
            let Some(next) = self.reader.next_leaf()? else {
                let erased = writing.commit(self.entries)?;
                self.let_go(erased)?;
                return Ok(false);
            };
            entry = next;
        }
    }

    /// Once rows were erased, what was written of them goes from the write-ahead log, too: pages of it stay until others take their place,
    /// which may be never. Where somebody reads meanwhile it is done with the next ones, or when the index is closed.
    fn let_go(&self, erased: bool) -> rusqlite::Result<()> {
        if erased { self.connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(())) } else { Ok(()) }
    }
}

impl fmt::Debug for Builder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Builder").field("dir", &self.dir).field("entries", &self.entries).finish_non_exhaustive()
    }
}

/// The root of all entries, from the roots of whole tiles and the leaves after them.
fn root(tiles: &Frontier, leaves: &Frontier) -> Hash {
    match (tiles.size(), leaves.size()) {
        (0, _) => leaves.root(),
        (_, 0) => tiles.root(),
        _ => {
            // A tree splits at powers of two, and a tile is one: what isn't whole is one more node on the right.
            let mut all = tiles.clone();
            all.append(leaves.root());
            all.root()
        }
    }
}

/// How a follower stands.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Standing {
    /// How many entries it has indexed.
    pub entries: u64,
    /// Why it doesn't go on, if it doesn't; it tries again by itself.
    pub broken: Option<String>,
}

/// Keeps the index of a journal on a thread of its own until it is dropped.
pub struct Follower {
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

#[derive(Default)]
struct Shared {
    state: Mutex<State>,
    /// The follower is to look for entries, or to stop.
    wake: Condvar,
    /// The standing has changed.
    moved: Condvar,
}

#[derive(Default)]
struct State {
    standing: Standing,
    asked: bool,
    stop: bool,
    rebuild: bool,
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn set(&self, standing: Standing) {
        self.state().standing = standing;
        self.moved.notify_all();
    }

    /// Waits until somebody asks, or for so long; whether to go on.
    fn wait(&self, longest: Duration) -> bool {
        let state = self.state();
        let idle = |state: &mut State| !state.asked && !state.stop;
        let mut state = self.wake.wait_timeout_while(state, longest, idle).unwrap_or_else(PoisonError::into_inner).0;
        state.asked = false;
        !state.stop
    }
}

impl Follower {
    /// Follows the journal in `journal` with the index in `dir`. What goes wrong is its [`Standing`], and nobody else's trouble.
    pub fn start(dir: impl Into<PathBuf>, journal: impl Into<PathBuf>) -> std::io::Result<Self> {
        let shared = Arc::new(Shared::default());
        let (dir, journal, following) = (dir.into(), journal.into(), Arc::clone(&shared));
        let thread = std::thread::Builder::new().name("index".to_owned()).spawn(move || run(&dir, &journal, &following))?;
        Ok(Self { shared, thread: Some(thread) })
    }

    /// How it stands.
    pub fn standing(&self) -> Standing {
        self.shared.state().standing.clone()
    }

    /// Waits until so many entries are indexed, but for no longer than this. Says how it stands then.
    pub fn reach(&self, entries: u64, longest: Duration) -> Standing {
        let mut state = self.shared.state();
        if state.standing.entries < entries {
            state.asked = true;
            self.shared.wake.notify_all();
            let behind = |state: &mut State| state.standing.entries < entries && state.standing.broken.is_none() && !state.stop;
            state = self.shared.moved.wait_timeout_while(state, longest, behind).unwrap_or_else(PoisonError::into_inner).0;
        }
        state.standing.clone()
    }

    /// Makes the index anew, beginning now.
    pub fn rebuild(&self) {
        let mut state = self.shared.state();
        (state.rebuild, state.asked) = (true, true);
        state.standing = Standing::default();
        self.shared.wake.notify_all();
    }
}

impl Drop for Follower {
    fn drop(&mut self) {
        self.shared.state().stop = true;
        self.shared.wake.notify_all();
        self.shared.moved.notify_all();
        if let Some(thread) = self.thread.take() {
            // A panic there has ended it already.
            let _ = thread.join();
        }
    }
}

impl fmt::Debug for Follower {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Follower").field("standing", &self.standing()).finish_non_exhaustive()
    }
}

/// Why following came to an end that is no failure.
enum End {
    /// It is told to stop.
    Stop,
    /// Somebody wants the index made anew.
    Anew,
}

fn run(dir: &Path, journal: &Path, shared: &Shared) {
    // Whether the index was made anew and hasn't caught up since: what is spoilt even so has its cause elsewhere.
    let mut fresh = false;
    loop {
        let spoilt = match follow(dir, journal, shared, &mut fresh) {
            Ok(End::Stop) => return,
            Ok(End::Anew) => None,
            Err(error) => Some(error),
        };
        let anew = spoilt.as_ref().is_none_or(|error| error.is_spoilt() && !fresh);
        if anew && Builder::wipe(dir).is_ok() {
            fresh = true;
            shared.set(Standing::default());
            continue;
        }
        fresh = false;
        let why = spoilt.map_or_else(|| "it can't be removed".to_owned(), |error| error.to_string());
        let entries = shared.state().standing.entries;
        shared.set(Standing { entries, broken: Some(why) });
        if !shared.wait(RETRY) {
            return;
        }
    }
}

fn follow(dir: &Path, journal: &Path, shared: &Shared, fresh: &mut bool) -> Result<End, IndexError> {
    let mut builder = Builder::open(dir, journal)?;
    loop {
        let began = Instant::now();
        let more = builder.step()?;
        if std::mem::take(&mut shared.state().rebuild) {
            return Ok(End::Anew);
        }
        *fresh &= more;
        shared.set(Standing { entries: builder.entries(), broken: None });
        // After much work at once, others come first for a while.
        if !shared.wait(if more { began.elapsed() / 4 } else { POLL }) {
            return Ok(End::Stop);
        }
    }
}
