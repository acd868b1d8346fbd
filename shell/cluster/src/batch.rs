//! What is in the log: batches of contents, and how they lie in an object.
//!
//! ```text
//! magic       "remit-batch/1\n"
//! number      u64     from 1
//! term        u64     from 1; never falls
//! node        16 bytes
//! before      32 bytes: the digest of the object before; zeros in the first
//! contents    u32     how many; none only in a batch that begins a term
//!   each      u8 kind, u32 length, as many bytes
//! ```
//!
//! All numbers are little-endian. Nothing may follow the last content.

use std::fmt;

use remit_tlog::Hash;

const MAGIC: &[u8] = b"remit-batch/1\n";
/// The most contents of one batch.
const CONTENTS_MAX: usize = 16 * 1024;
/// The most bytes of one content: a record of the store has at most 64 MiB, and comes in base64.
pub const CONTENT_BYTES_MAX: usize = 96 * 1024 * 1024;
/// The most entries of one content.
const ENTRIES_MAX: usize = 1 << 20;
/// The longest note: a signed checkpoint.
const NOTE_BYTES_MAX: usize = 16 * 1024;
/// The longest name of a file.
const NAME_BYTES_MAX: usize = 256;

/// One run of one node: a node that starts again is another.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct NodeId(pub [u8; 16]);

impl fmt::Display for NodeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for NodeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "NodeId({self})")
    }
}

/// One object of the log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Batch {
    /// Its place, from 1.
    pub number: u64,
    /// The term of its writer.
    pub term: u64,
    /// Its writer.
    pub node: NodeId,
    /// The digest of the object before it.
    pub before: Hash,
    /// What it says, in order. A batch without any begins a term.
    pub contents: Vec<Content>,
}

/// Something that every node has to have.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Content {
    /// Entries of the journal.
    Entries(Entries),
    /// A change of the store, as the store writes it.
    Change(Vec<u8>),
    /// A small file of the data directory.
    File(File),
}

/// Entries of the journal, with the signed checkpoint of the tree that ends with them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entries {
    /// The index of the first.
    pub first_index: u64,
    /// The signed checkpoint.
    pub note: String,
    /// The entries.
    pub entries: Vec<Vec<u8>>,
}

/// A small file of the data directory.
#[derive(Clone, PartialEq, Eq)]
pub struct File {
    /// Its path within the directory: parts of letters, digits, `.`, `_` and `-`, none of which begins with a `.`.
    pub name: String,
    /// What it holds; `None` where it is gone.
    pub bytes: Option<Vec<u8>>,
}

impl fmt::Debug for File {
    /// Keys are files, too.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("File").field("name", &self.name).field("bytes", &self.bytes.as_ref().map(Vec::len)).finish()
    }
}

/// Why bytes are no batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum BatchError {
    /// They don't begin like one.
    #[error("it does not begin like a batch of this version")]
    Magic,
    /// They end too early.
    #[error("it ends in the middle")]
    Short,
    /// Something follows.
    #[error("something follows its end")]
    Long,
    /// A number is over its limit.
    #[error("{0} is over its limit")]
    Limit(&'static str),
    /// A kind of content that this version doesn't know.
    #[error("it holds a content of the unknown kind {0}")]
    Kind(u8),
    /// A text isn't UTF-8, or a name isn't one.
    #[error("{0} is not what it must be")]
    Text(&'static str),
}

impl Batch {
    /// Whether it begins a term.
    pub fn begins_term(&self) -> bool {
        self.contents.is_empty()
    }

    /// The bytes of it.
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(128 + self.contents.iter().map(Content::bytes).sum::<usize>());
        out.extend_from_slice(MAGIC);
        out.extend_from_slice(&self.number.to_le_bytes());
        out.extend_from_slice(&self.term.to_le_bytes());
        out.extend_from_slice(&self.node.0);
        out.extend_from_slice(&self.before.0);
        length_put(&mut out, self.contents.len());
        for content in &self.contents {
            content.encode(&mut out);
        }
        out
    }

    /// Reads one.
    pub fn parse(bytes: &[u8]) -> Result<Self, BatchError> {
        let mut rest = Rest(bytes.strip_prefix(MAGIC).ok_or(BatchError::Magic)?);
        let (number, term) = (rest.word()?, rest.word()?);
        let node = NodeId(*rest.array()?);
        let before = Hash(*rest.array()?);
        let count = rest.length(CONTENTS_MAX, "the number of contents")?;
        let mut contents = Vec::new();
        for _ in 0..count {
            let [kind] = *rest.array()?;
            let length = rest.length(CONTENT_BYTES_MAX, "the length of a content")?;
            contents.push(Content::parse(kind, rest.take(length)?)?);
        }
        if rest.0.is_empty() { Ok(Self { number, term, node, before, contents }) } else { Err(BatchError::Long) }
    }
}

impl Content {
    /// About how many bytes it takes.
    pub(crate) fn bytes(&self) -> usize {
        match self {
            Self::Entries(entries) => entries.entries.iter().map(|entry| entry.len() + 4).sum::<usize>() + entries.note.len(),
            Self::Change(bytes) => bytes.len(),
            Self::File(file) => file.name.len() + file.bytes.as_ref().map_or(0, Vec::len),
        }
    }

    fn encode(&self, out: &mut Vec<u8>) {
        out.push(match self {
            Self::Entries(_) => 1,
            Self::Change(_) => 2,
            Self::File(_) => 3,
        });
        let at = out.len();
        length_put(out, 0);
        match self {
            Self::Entries(Entries { first_index, note, entries }) => {
                out.extend_from_slice(&first_index.to_le_bytes());
                bytes_put(out, note.as_bytes());
                length_put(out, entries.len());
                entries.iter().for_each(|entry| bytes_put(out, entry));
            }
            Self::Change(bytes) => out.extend_from_slice(bytes),
            Self::File(File { name, bytes }) => {
                bytes_put(out, name.as_bytes());
                out.push(u8::from(bytes.is_some()));
                out.extend_from_slice(bytes.as_deref().unwrap_or_default());
            }
        }
        let length = length_of(out.len() - at - 4);
        if let Some(place) = out.get_mut(at..at + 4) {
            place.copy_from_slice(&length);
        }
    }

    fn parse(kind: u8, bytes: &[u8]) -> Result<Self, BatchError> {
        let mut rest = Rest(bytes);
        let content = match kind {
            1 => {
                let first_index = rest.word()?;
                let note = rest.bytes(NOTE_BYTES_MAX, "the length of a note")?;
                let note = String::from_utf8(note.to_vec()).map_err(|_| BatchError::Text("a note"))?;
                let count = rest.length(ENTRIES_MAX, "the number of entries")?;
                let mut entries = Vec::new();
                for _ in 0..count {
                    entries.push(rest.bytes(CONTENT_BYTES_MAX, "the length of an entry")?.to_vec());
                }
                Self::Entries(Entries { first_index, note, entries })
            }
            2 => Self::Change(std::mem::take(&mut rest.0).to_vec()),
            3 => {
                let name = rest.bytes(NAME_BYTES_MAX, "the length of a name")?;
                let name =
                    std::str::from_utf8(name).ok().filter(|name| is_name(name)).ok_or(BatchError::Text("a file's name"))?;
                let [there] = *rest.array()?;
                let bytes = std::mem::take(&mut rest.0);
                let bytes = match there {
                    0 if bytes.is_empty() => None,
                    1 => Some(bytes.to_vec()),
                    _ => return Err(BatchError::Text("a file")),
                };
                Self::File(File { name: name.to_owned(), bytes })
            }
            kind => return Err(BatchError::Kind(kind)),
        };
        if rest.0.is_empty() { Ok(content) } else { Err(BatchError::Long) }
    }
}

/// Whether a file may be called so: nothing leaves the directory.
pub(crate) fn is_name(name: &str) -> bool {
    let fits = |byte: u8| byte.is_ascii_alphanumeric() || b"._-".contains(&byte);
    name.split('/').all(|part| !part.is_empty() && !part.starts_with('.') && part.bytes().all(fits))
}

fn length_of(length: usize) -> [u8; 4] {
    // Over a limit it is read back as too long, and refused.
    u32::try_from(length).unwrap_or(u32::MAX).to_le_bytes()
}

fn length_put(out: &mut Vec<u8>, length: usize) {
    out.extend_from_slice(&length_of(length));
}

fn bytes_put(out: &mut Vec<u8>, bytes: &[u8]) {
    length_put(out, bytes.len());
    out.extend_from_slice(bytes);
}

/// What is still to be read.
struct Rest<'a>(&'a [u8]);

impl<'a> Rest<'a> {
    fn take(&mut self, count: usize) -> Result<&'a [u8], BatchError> {
        let (taken, rest) = self.0.split_at_checked(count).ok_or(BatchError::Short)?;
        self.0 = rest;
        Ok(taken)
    }

    fn array<const N: usize>(&mut self) -> Result<&'a [u8; N], BatchError> {
        let (taken, rest) = self.0.split_first_chunk().ok_or(BatchError::Short)?;
        self.0 = rest;
        Ok(taken)
    }

    fn word(&mut self) -> Result<u64, BatchError> {
        self.array().map(|bytes| u64::from_le_bytes(*bytes))
    }

    fn length(&mut self, max: usize, what: &'static str) -> Result<usize, BatchError> {
        let length = usize::try_from(u32::from_le_bytes(*self.array()?)).unwrap_or(usize::MAX);
        if length <= max { Ok(length) } else { Err(BatchError::Limit(what)) }
    }

    fn bytes(&mut self, max: usize, what: &'static str) -> Result<&'a [u8], BatchError> {
        let length = self.length(max, what)?;
        self.take(length)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by it")]

    use remit_tlog::leaf_hash;

    use super::*;

    fn of(contents: Vec<Content>) -> Batch {
        Batch { number: 3, term: 2, node: NodeId([5; 16]), before: leaf_hash(b"before"), contents }
    }

    fn file(name: &str, bytes: Option<&[u8]>) -> Content {
        Content::File(File { name: name.to_owned(), bytes: bytes.map(<[u8]>::to_vec) })
    }

    #[test]
    fn batches_are_read_as_they_were_written_and_in_no_other_way() {
        let entries = Entries { first_index: 9, note: "note".to_owned(), entries: vec![b"one".to_vec(), Vec::new()] };
        let whole = of(vec![
            Content::Entries(entries),
            Content::Change(b"change".to_vec()),
            file("keys/a-b_c.key", Some(b"")),
            file("operator.token", None),
        ]);
        let bytes = whole.encode();
        assert_eq!(Batch::parse(&bytes), Ok(whole));
        for end in 0..bytes.len() {
            assert!(Batch::parse(bytes.get(..end).unwrap()).is_err(), "{end}");
        }
        assert_eq!(Batch::parse(&[bytes.as_slice(), b"x"].concat()), Err(BatchError::Long));
        assert!(of(Vec::new()).begins_term());
    }

    #[test]
    fn no_file_leaves_the_directory() {
        for name in ["../x", "/x", "a/../b", "", "a//b", ".hidden", "a/.b", "a b", "a\\b", "ä"] {
            let read = Batch::parse(&of(vec![file(name, Some(b"x"))]).encode());
            assert_eq!(read, Err(BatchError::Text("a file's name")), "{name:?}");
        }
        let long = "a".repeat(NAME_BYTES_MAX + 1);
        assert!(Batch::parse(&of(vec![file(&long, None)]).encode()).is_err());
        assert_eq!(
            format!("{:?}", file("history.key", Some(b"secret"))),
            r#"File(File { name: "history.key", bytes: Some(6) })"#
        );
    }
}
