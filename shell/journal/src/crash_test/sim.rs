//! A disk in memory that loses what was not flushed, tears what was being written, and fails on demand.

use std::any::Any;
use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard};

use crate::files::{Files, Handle, Identity};

const SECTOR: usize = 512;

/// A xorshift generator: the same seed, the same world.
pub(super) struct Random(u64);

impl Random {
    pub(super) fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    pub(super) fn below(&mut self, limit: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 11) % limit
    }
}

/// What goes wrong, and at which operation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fault {
    /// The power fails while the operation runs.
    PowerCut,
    /// The operation fails; a write is half done, and a flush forgets what it should have written.
    Error(ErrorKind),
}

#[derive(Default)]
struct Inode {
    cached: Vec<u8>,
    durable: Vec<u8>,
    dirty: BTreeSet<usize>,
}

impl Inode {
    fn sector(&self, sector: usize) -> &[u8] {
        let start = (sector * SECTOR).min(self.cached.len());
        &self.cached[start..(start + SECTOR).min(self.cached.len())]
    }

    fn persist(&mut self, sector: usize, bytes: usize) {
        let data: Vec<u8> = self.sector(sector).iter().take(bytes).copied().collect();
        let start = sector * SECTOR;
        if self.durable.len() < start + data.len() {
            self.durable.resize(start + data.len(), 0);
        }
        self.durable[start..start + data.len()].copy_from_slice(&data);
    }
}

pub(super) struct World {
    inodes: Vec<Inode>,
    names: BTreeMap<PathBuf, usize>,
    durable_names: BTreeMap<PathBuf, usize>,
    /// Names as they were after each change that is not durable yet.
    changes: Vec<BTreeMap<PathBuf, usize>>,
    locked: bool,
    pub(super) operations: u64,
    pub(super) segment_syncs: u64,
    pub(super) fault: Option<(u64, Fault)>,
    /// How many more bytes files may grow by.
    pub(super) space: u64,
    /// Whether a flush says that it is done, and does nothing.
    pub(super) lying: bool,
    dead: bool,
}

/// Handles to one world; clones share it.
#[derive(Clone)]
pub(super) struct Sim(Arc<Mutex<World>>);

impl Sim {
    pub(super) fn new() -> Self {
        Self(Arc::new(Mutex::new(World {
            inodes: Vec::new(),
            names: BTreeMap::new(),
            durable_names: BTreeMap::new(),
            changes: Vec::new(),
            locked: false,
            operations: 0,
            segment_syncs: 0,
            fault: None,
            space: u64::MAX,
            lying: false,
            dead: false,
        })))
    }

    pub(super) fn world(&self) -> MutexGuard<'_, World> {
        self.0.lock().unwrap()
    }

    /// The power comes back: each sector that was not flushed is there, gone, or torn. Where nothing had ever been flushed, a sector of a
    /// segment may show what an older segment has in that place, as it does on a disk that gives used blocks out again.
    pub(super) fn power_cycle(&self, random: &mut Random) -> Left {
        let mut world = self.world();
        let kept = usize::try_from(random.below(world.changes.len() as u64 + 1)).unwrap();
        if let Some(names) = kept.checked_sub(1).map(|last| world.changes[last].clone()) {
            world.durable_names = names;
        }
        world.changes.clear();
        world.names = world.durable_names.clone();
        let (odds, stale) = (random.below(5), random.below(2) == 0);
        let mut left = Left::default();
        for place in 0..world.inodes.len() {
            let older = if stale { world.older_segment(place) } else { None };
            let mut gone = false;
            for sector in std::mem::take(&mut world.inodes[place].dirty) {
                let bytes = match random.below(4) {
                    luck if luck < odds => SECTOR,
                    0 => usize::try_from(random.below(SECTOR as u64)).unwrap(),
                    _ => 0,
                };
                left.torn += u64::from(bytes > 0 && bytes < SECTOR);
                left.dropped += u64::from(bytes == 0);
                left.reordered += u64::from(bytes == SECTOR && gone);
                gone |= bytes == 0;
                let shown = older.filter(|_| bytes == 0).is_some_and(|older| world.show_stale(place, older, sector));
                left.stale += u64::from(shown);
                world.inodes[place].persist(sector, bytes);
            }
            world.inodes[place].cached = world.inodes[place].durable.clone();
        }
        world.revive();
        left
    }

    /// Only the process is new; the page cache is as it was.
    pub(super) fn process_restart(&self) {
        self.world().revive();
    }

    pub(super) fn names(&self) -> Vec<String> {
        self.world().names.keys().map(|path| path.file_name().unwrap().to_string_lossy().into_owned()).collect()
    }

    /// Changes a byte of a file behind everyone's back.
    pub(super) fn flip(&self, path: &Path, offset: usize) {
        let mut world = self.world();
        let inode = world.names[path];
        world.inodes[inode].cached[offset] ^= 1;
        world.inodes[inode].durable[offset] ^= 1;
    }
}

/// What a power cut left of the sectors that were not flushed.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Left {
    pub(super) torn: u64,
    pub(super) dropped: u64,
    /// There, though an earlier one of its file is not.
    pub(super) reordered: u64,
    /// Not there; what an older segment has in its place is.
    pub(super) stale: u64,
}

impl World {
    /// The segment before the one that is at `place`, if that is one.
    fn older_segment(&self, place: usize) -> Option<usize> {
        let (path, _) = self.names.iter().find(|(_, inode)| **inode == place)?;
        let is_segment = |path: &Path| path.extension().is_some_and(|extension| extension == "segment");
        let before = self.names.range(..path.clone()).next_back().filter(|(before, _)| is_segment(before) && is_segment(path))?;
        Some(*before.1)
    }

    /// Shows a sector of another file in the place of one that was never flushed.
    fn show_stale(&mut self, place: usize, older: usize, sector: usize) -> bool {
        let range = sector * SECTOR..(sector + 1) * SECTOR;
        let Some(bytes) = self.inodes[older].durable.get(range.clone()).map(<[u8]>::to_vec) else { return false };
        let unused = self.inodes[place].durable.get_mut(range).filter(|sector| sector.iter().all(|byte| *byte == 0));
        let Some(sector) = unused.filter(|_| bytes.iter().any(|byte| *byte != 0)) else { return false };
        sector.copy_from_slice(&bytes);
        true
    }

    fn revive(&mut self) {
        self.locked = false;
        self.dead = false;
        self.fault = None;
        self.space = u64::MAX;
    }

    /// Counts an operation; says whether it fails, and whether it does so half done.
    fn operation(&mut self) -> Result<(), io::Error> {
        if self.dead {
            return Err(ErrorKind::BrokenPipe.into());
        }
        self.operations += 1;
        match self.fault {
            Some((at, fault)) if at == self.operations => {
                self.dead = fault == Fault::PowerCut;
                Err(match fault {
                    Fault::PowerCut => ErrorKind::BrokenPipe,
                    Fault::Error(kind) => kind,
                }
                .into())
            }
            _ => Ok(()),
        }
    }

    fn write(&mut self, inode: usize, bytes: &[u8], offset: usize) {
        let inode = &mut self.inodes[inode];
        if inode.cached.len() < offset + bytes.len() {
            inode.cached.resize(offset + bytes.len(), 0);
        }
        inode.cached[offset..offset + bytes.len()].copy_from_slice(bytes);
        if !bytes.is_empty() {
            inode.dirty.extend(offset / SECTOR..=(offset + bytes.len() - 1) / SECTOR);
        }
    }

    fn renamed(&mut self) {
        self.changes.push(self.names.clone());
    }

    fn find(&self, path: &Path) -> io::Result<usize> {
        self.names.get(path).copied().ok_or_else(|| ErrorKind::NotFound.into())
    }
}

struct SimFile {
    sim: Sim,
    inode: usize,
    segment: bool,
}

struct SimLock(Sim);

impl Drop for SimLock {
    fn drop(&mut self) {
        self.0.world().locked = false;
    }
}

impl Files for Sim {
    fn dir_create(&self, _: &Path) -> io::Result<()> {
        Ok(())
    }

    fn dir_list(&self, _: &Path) -> io::Result<Vec<String>> {
        Ok(self.names())
    }

    fn dir_sync(&self, _: &Path) -> io::Result<()> {
        let mut world = self.world();
        world.operation()?;
        world.changes.clear();
        world.durable_names = world.names.clone();
        Ok(())
    }

    fn open(&self, path: &Path, _: bool) -> io::Result<Box<dyn Handle>> {
        let inode = self.world().find(path)?;
        let segment = path.extension().is_some_and(|extension| extension == "segment");
        Ok(Box::new(SimFile { sim: self.clone(), inode, segment }))
    }

    fn create(&self, path: &Path) -> io::Result<Box<dyn Handle>> {
        let mut world = self.world();
        world.operation()?;
        let inode = world.inodes.len();
        world.inodes.push(Inode::default());
        world.names.insert(path.to_owned(), inode);
        world.renamed();
        Ok(Box::new(SimFile { sim: self.clone(), inode, segment: false }))
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        let mut world = self.world();
        world.operation()?;
        let inode = world.find(from)?;
        world.names.remove(from);
        world.names.insert(to.to_owned(), inode);
        world.renamed();
        Ok(())
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        let mut world = self.world();
        world.operation()?;
        world.find(path)?;
        world.names.remove(path);
        world.renamed();
        Ok(())
    }

    fn identity(&self, path: &Path) -> io::Result<Identity> {
        self.world().find(path).map(|inode| Identity { device: 1, inode: inode as u64 })
    }

    fn lock(&self, _: &Path) -> io::Result<Box<dyn Any + Send>> {
        let mut world = self.world();
        if std::mem::replace(&mut world.locked, true) {
            return Err(ErrorKind::WouldBlock.into());
        }
        Ok(Box::new(SimLock(self.clone())))
    }
}

impl Handle for SimFile {
    fn read_at(&self, bytes: &mut [u8], offset: u64) -> io::Result<usize> {
        let world = self.sim.world();
        let cached = &world.inodes[self.inode].cached;
        let rest = cached.get(usize::try_from(offset).unwrap()..).unwrap_or_default();
        let count = rest.len().min(bytes.len());
        bytes[..count].copy_from_slice(&rest[..count]);
        Ok(count)
    }

    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
        let mut world = self.sim.world();
        let offset = usize::try_from(offset).unwrap();
        let growth = (offset + bytes.len()).saturating_sub(world.inodes[self.inode].cached.len()) as u64;
        if growth > world.space {
            return Err(ErrorKind::StorageFull.into());
        }
        world.space -= growth;
        if let Err(error) = world.operation() {
            let done = if world.dead && world.operations.is_multiple_of(2) { bytes.len() } else { bytes.len() / 2 };
            world.write(self.inode, &bytes[..done], offset);
            return Err(error);
        }
        world.write(self.inode, bytes, offset);
        Ok(())
    }

    fn sync(&self) -> io::Result<()> {
        let mut world = self.sim.world();
        world.segment_syncs += u64::from(self.segment);
        let result = world.operation();
        let (dead, lying) = (world.dead, world.lying);
        let inode = &mut world.inodes[self.inode];
        if dead || lying {
            return result;
        }
        // After an error the kernel takes the pages for clean: they are shown, and never written.
        let dirty = std::mem::take(&mut inode.dirty);
        if result.is_ok() {
            inode.durable.resize(inode.cached.len(), 0);
            for sector in dirty {
                inode.persist(sector, SECTOR);
            }
        }
        result
    }

    fn length(&self) -> io::Result<u64> {
        Ok(self.sim.world().inodes[self.inode].cached.len() as u64)
    }

    fn identity(&self) -> io::Result<Identity> {
        Ok(Identity { device: 1, inode: self.inode as u64 })
    }
}
