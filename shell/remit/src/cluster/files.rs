//! The files of the data directory that nodes share, and what a base is made of.

use std::fs::{self, File as DiskFile};
use std::io::{self, Read};
use std::os::unix::fs::{DirBuilderExt as _, FileExt as _, OpenOptionsExt as _};
use std::path::Path;

use remit_cluster::BaseFile;

use crate::home::{Home, write_private};

/// What every node has to have before it can be active: made by the first one.
pub(super) const KEY_FILES: [&str; 4] = ["journal.key", "history.key", "seal.key", "operator.token"];
/// What is derived or may lag, and spares the next node work: shared now and then.
pub(super) const SLOW_FILES: [&str; 2] = ["journal.recap", "journal.behaviour"];

/// The largest checkpoint that enough witnesses cosigned.
const COSIGNED: &str = "journal.cosigned";

/// Those that move while the gateway is up, and are shared as they do.
pub(super) fn moving(root: &Path) -> Vec<String> {
    let mut names = vec![COSIGNED.to_owned()];
    names.extend(listed(root, "deliveries", ".json"));
    names
}

/// Whether a small file of the data directory is one that nodes share.
pub(super) fn is_shared(name: &str) -> bool {
    KEY_FILES.contains(&name)
        || SLOW_FILES.contains(&name)
        || name == COSIGNED
        || name.split_once('/').is_some_and(|(dir, _)| dir == "keys" || dir == "deliveries")
}

/// Puts a part of a file there; its first one makes it anew.
pub(super) fn put_file(path: &Path, length: u64, at: u64, bytes: &[u8]) -> io::Result<()> {
    let dir = path.parent().ok_or(io::ErrorKind::InvalidInput)?;
    fs::DirBuilder::new().recursive(true).mode(0o700).create(dir)?;
    let mut options = DiskFile::options();
    options.write(true).create(true).truncate(bytes.is_empty()).mode(0o600);
    let file = options.open(path)?;
    file.set_len(length)?;
    file.write_all_at(bytes, at)?;
    file.sync_all()?;
    DiskFile::open(dir)?.sync_all()
}

/// The files of a directory within the data directory, by the end of their names, in order.
pub(super) fn listed(root: &Path, dir: &str, end: &str) -> Vec<String> {
    let found = fs::read_dir(root.join(dir)).into_iter().flatten().flatten();
    let found = found.filter_map(|file| file.file_name().into_string().ok()).filter(|name| name.ends_with(end));
    let mut found: Vec<String> = found.map(|name| format!("{dir}/{name}")).collect();
    found.sort();
    found
}

/// What a base is made of: everything but what each node makes for itself.
pub(super) fn base_files(home: &Home) -> Result<Vec<BaseFile>, String> {
    let root = home.root();
    let copy = root.join("remit.db.copy");
    let fault = |path: &Path, error: io::Error| format!("`{}`: {error}", path.display());
    take_file_away(&copy)?;
    home.store().map_err(|failure| failure.message)?.copy_to(&copy).map_err(|error| error.to_string())?;
    // Opened before its name goes: it goes with its last reader.
    let opened = DiskFile::open(&copy).map_err(|error| fault(&copy, error))?;
    fs::remove_file(&copy).map_err(|error| fault(&copy, error))?;
    let mut files: Vec<BaseFile> = vec![("remit.db".to_owned(), Box::new(opened))];
    let mut names: Vec<String> = KEY_FILES.iter().chain(&SLOW_FILES).map(|name| (*name).to_owned()).collect();
    names.push("journal.vkey".to_owned());
    names.extend(listed(root, "keys", ".key"));
    names.extend(moving(root));
    // Last: what is known of them elsewhere lies before. The newest first: what is in one is all behind what was in the one before.
    let segments = listed(root, "journal", ".segment");
    names.extend(segments.into_iter().rev());
    for name in names {
        let is_segment = name.ends_with(".segment");
        let opened = DiskFile::open(root.join(&name))
            .and_then(|file| Ok::<Box<dyn Read + Send>, _>(if is_segment { Box::new(as_of_now(file)?) } else { Box::new(file) }));
        match opened {
            Ok(file) => files.push((name, file)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(fault(&root.join(&name), error)),
        }
    }
    Ok(files)
}

/// A segment as it is now, however late it is read: what is written meanwhile is zeros still. Otherwise it would have gaps, as no crash leaves them.
fn as_of_now(segment: DiskFile) -> io::Result<impl Read + Send> {
    let length = segment.metadata()?.len();
    let (mut end, mut block) = (length, vec![0; 64 * 1024]);
    while end > 0 {
        let at = end.saturating_sub(block.len() as u64);
        block.truncate(usize::try_from(end - at).map_err(io::Error::other)?);
        segment.read_exact_at(&mut block, at)?;
        if let Some(last) = block.iter().rposition(|byte| *byte != 0) {
            end = at + last as u64 + 1;
            break;
        }
        end = at;
    }
    Ok(segment.take(end).chain(io::repeat(0).take(length - end)))
}

pub(super) fn take_file_away(path: &Path) -> Result<(), String> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(format!("`{}`: {error}", path.display())),
        _ => Ok(()),
    }
}

/// Takes over a file of the active node, if it is one that nodes share.
pub(super) fn take_file(root: &Path, name: &str, bytes: Option<&[u8]>) -> Result<(), String> {
    if !is_shared(name) {
        return Err(format!("the file `{name}` is none that nodes share"));
    }
    let path = root.join(name);
    let fault = |error: io::Error| format!("`{}`: {error}", path.display());
    let Some(bytes) = bytes else { return take_file_away(&path) };
    if let Some(dir) = path.parent().filter(|dir| !dir.is_dir()) {
        fs::create_dir_all(dir).map_err(fault)?;
    }
    if name.starts_with("keys/") && fs::read(&path).is_ok_and(|before| before != bytes) {
        remit_gateway::overwrite(&path).map_err(fault)?;
    }
    write_private(&path, bytes).map_err(|failure| failure.message)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_segment_is_saved_as_it_was_when_its_base_began() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("1.segment");
        let file = DiskFile::options().create_new(true).read(true).write(true).open(&path).unwrap();
        file.set_len(200_000).unwrap();
        file.write_all_at(&[1; 100], 0).unwrap();
        let (mut early, mut was) = (as_of_now(DiskFile::open(&path).unwrap()).unwrap(), Vec::new());
        file.write_all_at(&vec![2; 150_000], 100).unwrap();
        early.read_to_end(&mut was).unwrap();
        assert_eq!(was.len(), 200_000);
        assert!(was[..100].iter().all(|byte| *byte == 1) && was[100..].iter().all(|byte| *byte == 0));
        let (mut late, mut is) = (as_of_now(DiskFile::open(&path).unwrap()).unwrap(), Vec::new());
        late.read_to_end(&mut is).unwrap();
        assert_eq!(is, std::fs::read(&path).unwrap());
        file.set_len(0).unwrap();
        let mut none = Vec::new();
        as_of_now(DiskFile::open(&path).unwrap()).unwrap().read_to_end(&mut none).unwrap();
        assert!(none.is_empty());
    }

    #[test]
    fn the_key_of_a_space_that_another_comes_after_is_overwritten() {
        let dir = tempfile::tempdir().unwrap();
        take_file(dir.path(), "keys/one.key", Some(b"before")).unwrap();
        let mut before = DiskFile::open(dir.path().join("keys/one.key")).unwrap();
        take_file(dir.path(), "keys/one.key", Some(b"after")).unwrap();
        let mut read = Vec::new();
        before.read_to_end(&mut read).unwrap();
        assert_eq!(read, [0; 6]);
        assert_eq!(fs::read(dir.path().join("keys/one.key")).unwrap(), b"after");
    }
}
