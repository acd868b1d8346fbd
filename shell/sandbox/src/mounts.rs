//! Where folders really are: one that is mounted at two places is the same at both, and nothing in its path tells.

use std::ffi::OsString;
use std::io;
use std::os::unix::ffi::OsStringExt as _;
use std::path::{Path, PathBuf};

/// A folder of a file system, wherever it is mounted.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Place {
    /// The file system, as the kernel numbers it.
    system: Vec<u8>,
    /// From its root.
    within: PathBuf,
}

impl Place {
    fn overlaps(&self, other: &Self) -> bool {
        self.system == other.system && (self.within.starts_with(&other.within) || other.within.starts_with(&self.within))
    }
}

/// The mounts that this process sees.
#[derive(Debug)]
pub(crate) struct Mounts(Vec<(PathBuf, Place)>);

impl Mounts {
    pub(crate) fn read() -> io::Result<Self> {
        Ok(Self::parse(&std::fs::read("/proc/self/mountinfo")?))
    }

    /// proc_pid_mountinfo(5): the third to the fifth word of a line are file system, folder and place.
    fn parse(text: &[u8]) -> Self {
        let mount = |line: &[u8]| {
            let mut words = line.split(|byte| *byte == b' ').skip(2);
            let (system, within, at) = (words.next()?, words.next()?, words.next()?);
            Some((plain(at), Place { system: system.to_owned(), within: plain(within) }))
        };
        Self(text.split(|byte| *byte == b'\n').filter_map(mount).collect())
    }

    /// Whether one of two paths without links is or holds what the other is or holds, under whatever name.
    pub(crate) fn overlap(&self, one: &Path, other: &Path) -> bool {
        let others = self.places(other);
        one.starts_with(other)
            || other.starts_with(one)
            || self.places(one).iter().any(|one| others.iter().any(|other| one.overlaps(other)))
    }

    /// Where a path is, and what is mounted below it.
    fn places(&self, path: &Path) -> Vec<Place> {
        // Of those at one place the last lies on top.
        let on = self.0.iter().filter(|(at, _)| path.starts_with(at)).max_by_key(|(at, _)| at.components().count());
        let own = on.and_then(|(at, place)| {
            let within = place.within.join(path.strip_prefix(at).ok()?);
            Some(Place { system: place.system.clone(), within })
        });
        let below = self.0.iter().filter(|(at, _)| at != path && at.starts_with(path)).map(|(_, place)| place.clone());
        own.into_iter().chain(below).collect()
    }
}

/// A path as mountinfo writes it: white space and backslashes stand there as octal numbers.
fn plain(word: &[u8]) -> PathBuf {
    let mut plain = Vec::with_capacity(word.len());
    let mut rest = word;
    while let Some((first, after)) = rest.split_first() {
        let octal = after.get(..3).filter(|_| *first == b'\\').and_then(|digits| std::str::from_utf8(digits).ok());
        let (byte, next) = match octal.and_then(|digits| u8::from_str_radix(digits, 8).ok()) {
            Some(byte) => (byte, after.get(3..).unwrap_or_default()),
            None => (*first, after),
        };
        plain.push(byte);
        rest = next;
    }
    PathBuf::from(OsString::from_vec(plain))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_is_the_same_under_every_name() {
        let mounts = Mounts::parse(
            b"1 0 8:1 / / rw - ext4 a rw\n2 1 8:2 / /var rw - ext4 b rw\n3 1 8:2 /lib/remit /srv/my\\040own rw - ext4 b rw\n\
              4 1 8:1 / /mnt/all rw - ext4 a rw\n5 1 0:5 / /srv/tmp rw - tmpfs c rw\n",
        );
        let overlap = |one: &str, other: &str| mounts.overlap(Path::new(one), Path::new(other));
        assert!(overlap("/srv/my own", "/var/lib/remit"));
        assert!(overlap("/srv/my own/keys", "/var/lib/remit"));
        assert!(overlap("/srv", "/var/lib/remit"));
        assert!(overlap("/mnt", "/home/remit") && overlap("/mnt/all/home/remit/keys", "/home/remit"));
        assert!(!overlap("/srv/tmp", "/var/lib/remit") && !overlap("/mnt/all/home", "/var/lib/remit"));
        assert!(!overlap("/var/lib/other", "/var/lib/remit") && overlap("/var/lib", "/var/lib/remit"));
    }
}
