//! Segments: files of frames, zero-filled ahead of use, numbered by generation from 1.
//!
//! A segment is one header frame and then batches; a batch is any number of entry frames and one checkpoint frame, written
//! at once. What follows the last batch is zeros. The header carries the edge of the tree at its first entry and the signed checkpoint of
//! that size, so that whoever trusts the key can begin there. In a segment that is full, entries may be erased: then their leaf
//! hashes stand in their place (`erase.rs`).

use std::io;
use std::ops::Range;
use std::path::{Path, PathBuf};

use remit_tlog::{Checkpoint, Frontier, Hash, Note, NoteError, Verifier, leaf_hash};

use crate::files::{Files, Handle, read_fully};
use crate::frame::{ALIGN, HEAD_BYTES, Head, Kind, frame_is_intact};

/// How much is read ahead at first: enough to see that the tail of a live log has not moved.
const AHEAD_BYTES_MIN: usize = 4 * 1024;
/// How much is read ahead in the end.
const AHEAD_BYTES_MAX: usize = 256 * 1024;
const SUFFIX: &str = ".segment";
/// The first line of a header's payload.
const HEADER_MAGIC: &str = "remit-journal/2";
/// The same of segments that carry no edge of the tree.
const HEADER_MAGIC_1: &str = "remit-journal/1";

/// A checkpoint with its signature.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SignedCheckpoint {
    /// How many entries the tree has.
    pub size: u64,
    /// The root of the tree.
    pub root: Hash,
    /// The C2SP signed note, ready to be published.
    pub note: String,
}

impl SignedCheckpoint {
    /// Reads a note, without verifying it.
    pub fn parse(note: &str) -> Option<Self> {
        let parsed = Note::parse(note).ok()?;
        let checkpoint: Checkpoint = parsed.text().parse().ok()?;
        Some(Self { size: checkpoint.size, root: checkpoint.root, note: note.to_owned() })
    }

    /// Whether `verifier` signed it for the log of its own name.
    pub fn verify(&self, verifier: &Verifier) -> Result<(), NoteError> {
        let note = Note::parse(&self.note)?;
        let text = note.verify(verifier)?;
        let checkpoint: Checkpoint = text.parse().map_err(|_| NoteError::Text)?;
        let same = checkpoint.size == self.size && checkpoint.root == self.root;
        if same && checkpoint.origin == verifier.name() { Ok(()) } else { Err(NoteError::Text) }
    }
}

/// Where the segment of `generation` lies.
pub(crate) fn segment_path(dir: &Path, generation: u64) -> PathBuf {
    dir.join(format!("{generation:020}{SUFFIX}"))
}

/// The generations in `dir`, in order.
pub(crate) fn segments_list(files: &dyn Files, dir: &Path) -> io::Result<Vec<u64>> {
    let names = files.dir_list(dir)?;
    let digits = names.iter().filter_map(|name| name.strip_suffix(SUFFIX));
    let mut generations: Vec<u64> = digits.filter_map(|digits| digits.parse().ok()).collect();
    generations.sort_unstable();
    Ok(generations)
}

/// The payload of a header frame: the magic, the key, the roots of the tree's perfect subtrees in hexadecimal, and, but for the first segment,
/// an empty line and the signed checkpoint of the tree.
pub(crate) fn header_payload(vkey: &str, frontier: &Frontier, checkpoint: Option<&SignedCheckpoint>) -> String {
    let mut text = format!("{HEADER_MAGIC}\n{vkey}\n");
    for root in frontier.roots() {
        text.push_str(&format!("{root}\n"));
    }
    if let Some(checkpoint) = checkpoint.filter(|_| frontier.size() > 0) {
        text.push('\n');
        text.push_str(&checkpoint.note);
    }
    text
}

/// How long such a payload is at most.
pub(crate) fn header_bytes_max(vkey: &str, checkpoint_bytes_max: usize) -> usize {
    HEADER_MAGIC.len() + vkey.len() + 3 + 64 * (2 * Hash::BYTES + 1) + checkpoint_bytes_max
}

/// What a segment says of itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Header {
    pub(crate) vkey: String,
    pub(crate) first_index: u64,
    /// The edge of the tree at the first entry with the checkpoint that signs it; `None` in segments that don't carry it.
    pub(crate) edge: Option<Edge>,
}

/// The tree at the beginning of a segment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Edge {
    pub(crate) frontier: Frontier,
    /// `None` for the empty tree, of which nothing was signed yet.
    pub(crate) checkpoint: Option<SignedCheckpoint>,
}

impl Header {
    fn parse(payload: &[u8], first_index: u64) -> Option<Self> {
        let text = std::str::from_utf8(payload).ok()?;
        if let Some(rest) = text.strip_prefix(HEADER_MAGIC_1) {
            let vkey = rest.strip_prefix('\n')?.strip_suffix('\n').filter(|vkey| !vkey.contains('\n'))?;
            return Some(Self { vkey: vkey.to_owned(), first_index, edge: None });
        }
        let rest = text.strip_prefix(HEADER_MAGIC)?.strip_prefix('\n')?;
        let (head, note) = match rest.split_once("\n\n") {
            Some((head, note)) => (head, Some(note)),
            None => (rest.strip_suffix('\n')?, None),
        };
        let mut lines = head.split('\n');
        let vkey = lines.next()?.to_owned();
        let roots: Option<Vec<Hash>> = lines.map(Hash::from_hex).collect();
        let frontier = Frontier::of(first_index, roots?)?;
        let checkpoint = note.map(|note| SignedCheckpoint::parse(note).ok_or(())).transpose().ok()?;
        let fits = checkpoint.as_ref().map_or(first_index == 0, |checkpoint| checkpoint.size == first_index);
        fits.then_some(Self { vkey, first_index, edge: Some(Edge { frontier, checkpoint }) })
    }
}

impl Edge {
    /// Whether `verifier` signed this very tree.
    pub(crate) fn verify(&self, verifier: &Verifier) -> bool {
        self.checkpoint.as_ref().map_or(self.frontier.size() == 0, |checkpoint| {
            checkpoint.root == self.frontier.root() && checkpoint.verify(verifier).is_ok()
        })
    }
}

/// A leaf of the tree as it lies in a segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Leaf<'a> {
    Entry(&'a [u8]),
    Erased(Hash),
}

impl Leaf<'_> {
    pub(crate) fn hash(&self) -> Hash {
        match self {
            Self::Entry(bytes) => leaf_hash(bytes),
            Self::Erased(hash) => *hash,
        }
    }
}

/// A batch that was read back: its frames are intact and in order; its root and signature are not checked yet.
#[derive(Debug, Default)]
pub(crate) struct Batch {
    bytes: Vec<u8>,
    /// Where its leaves lie in the bytes; of those that were erased their hashes.
    spans: Vec<(Range<usize>, bool)>,
    /// Where it lies in the segment.
    pub(crate) place: Range<u64>,
    pub(crate) first_index: u64,
    /// Its checkpoint; `None` where the reader was asked not to look into it.
    pub(crate) checkpoint: Option<SignedCheckpoint>,
    /// The note of that checkpoint.
    pub(crate) note: String,
}

impl Batch {
    pub(crate) fn len(&self) -> usize {
        self.spans.len()
    }

    pub(crate) fn leaf(&self, place: usize) -> Option<Leaf<'_>> {
        let bytes = self.bytes_of(place)?;
        Some(if self.is_entry(place) { Leaf::Entry(bytes) } else { Leaf::Erased(Hash(*bytes.first_chunk()?)) })
    }

    /// The bytes of a leaf, or of what stands for it.
    pub(crate) fn bytes_of(&self, place: usize) -> Option<&[u8]> {
        self.bytes.get(self.spans.get(place)?.0.clone())
    }

    /// Whether a leaf is there and wasn't erased.
    pub(crate) fn is_entry(&self, place: usize) -> bool {
        self.spans.get(place).is_some_and(|(_, is_erased)| !is_erased)
    }

    /// The leaves with their indexes.
    pub(crate) fn leaves(&self) -> impl Iterator<Item = (u64, Leaf<'_>)> {
        (self.first_index..).zip((0..self.spans.len()).filter_map(|place| self.leaf(place)))
    }

    fn start(&mut self, offset: u64, first_index: u64) {
        self.bytes.clear();
        self.spans.clear();
        self.place = offset..offset;
        self.first_index = first_index;
        self.checkpoint = None;
        self.note.clear();
    }

    fn push(&mut self, bytes: &[u8], is_erased: bool) {
        let start = self.bytes.len();
        self.bytes.extend_from_slice(bytes);
        self.spans.push((start..self.bytes.len(), is_erased));
    }

    pub(crate) fn next_index(&self) -> u64 {
        self.first_index.saturating_add(self.spans.len() as u64)
    }
}

/// What was found where something was expected.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Found<T> {
    /// What was expected.
    Some(T),
    /// Zeros, or the end of the file: nothing was written yet.
    Nothing,
    /// Something else; the segment is read from the same place again next time.
    Damage(&'static str),
}

/// Reads a segment from its start.
pub(crate) struct SegmentReader {
    file: Box<dyn Handle>,
    generation: u64,
    offset: u64,
    window: Vec<u8>,
    window_offset: u64,
    ahead_bytes: usize,
    payload: Range<usize>,
    /// Whether checkpoints are read, not only passed on as they lie there.
    checkpoints: bool,
}

impl SegmentReader {
    pub(crate) fn open(files: &dyn Files, dir: &Path, generation: u64) -> io::Result<Self> {
        Ok(Self::new(files.open(&segment_path(dir, generation), false)?, generation))
    }

    pub(crate) fn new(file: Box<dyn Handle>, generation: u64) -> Self {
        let (window, ahead_bytes) = (Vec::new(), AHEAD_BYTES_MIN);
        Self { file, generation, offset: 0, window, window_offset: 0, ahead_bytes, payload: 0..0, checkpoints: true }
    }

    /// The same without reading what checkpoints say.
    pub(crate) fn without_checkpoints(mut self) -> Self {
        self.checkpoints = false;
        self
    }

    pub(crate) fn generation(&self) -> u64 {
        self.generation
    }

    /// Where the next frame is expected.
    pub(crate) fn offset(&self) -> u64 {
        self.offset
    }

    pub(crate) fn length(&self) -> io::Result<u64> {
        self.file.length()
    }

    /// Reads the header frame, which is the first.
    pub(crate) fn header(&mut self) -> io::Result<Found<Header>> {
        let head = match self.frame()? {
            Found::Some(head) => head,
            Found::Nothing => return Ok(Found::Nothing),
            Found::Damage(what) => return Ok(Found::Damage(what)),
        };
        if let Some(header) = Header::parse(self.payload(), head.index).filter(|_| head.kind == Kind::Header) {
            return Ok(Found::Some(header));
        }
        self.rewind(0);
        Ok(Found::Damage("the segment does not begin with a header"))
    }

    /// The bytes of the first frame, as they lie there; the place isn't changed.
    pub(crate) fn first_frame(&mut self) -> io::Result<Vec<u8>> {
        let offset = self.offset;
        self.rewind(0);
        let found = self.frame()?;
        let end = usize::try_from(self.offset).ok().filter(|_| matches!(found, Found::Some(_)));
        let bytes = end.and_then(|end| self.window.get(..end)).map(<[u8]>::to_vec);
        self.rewind(offset);
        bytes.ok_or_else(|| io::ErrorKind::InvalidData.into())
    }

    /// Reads the next batch into `batch`; its first entry must have the index `first_index`.
    pub(crate) fn batch(&mut self, first_index: u64, batch: &mut Batch) -> io::Result<Found<()>> {
        let start = self.offset;
        batch.start(start, first_index);
        let what = loop {
            let head = match self.frame()? {
                Found::Some(head) => head,
                Found::Nothing if batch.len() == 0 => {
                    self.rewind(start);
                    return Ok(Found::Nothing);
                }
                Found::Nothing => break "the batch has no checkpoint",
                Found::Damage(what) => break what,
            };
            if head.index != batch.next_index() {
                break "the frame has the wrong index";
            }
            match head.kind {
                Kind::Header => break "a header in the middle of a segment",
                Kind::Entry => batch.push(self.payload(), false),
                Kind::Erased if head.length == 0 || head.length % Hash::BYTES != 0 => {
                    break "what stands for erased entries is malformed";
                }
                Kind::Erased => self.payload().chunks_exact(Hash::BYTES).for_each(|hash| batch.push(hash, true)),
                Kind::Checkpoint => {
                    let Ok(note) = std::str::from_utf8(self.payload()) else { break "the checkpoint is malformed" };
                    if self.checkpoints {
                        batch.checkpoint = SignedCheckpoint::parse(note).filter(|checkpoint| checkpoint.size == head.index);
                        if batch.checkpoint.is_none() {
                            break "the checkpoint is malformed";
                        }
                    }
                    batch.note.push_str(note);
                    batch.place = start..self.offset;
                    return Ok(Found::Some(()));
                }
            }
        };
        self.rewind(start);
        Ok(Found::Damage(what))
    }

    /// Whether an intact frame of this segment lies at the present place, which is kept.
    pub(crate) fn peek(&mut self) -> io::Result<bool> {
        let start = self.offset;
        let found = matches!(self.frame()?, Found::Some(_));
        self.rewind(start);
        Ok(found)
    }

    /// The end of the last byte that is not zero, from the present place on; `None` if there are only zeros.
    pub(crate) fn last_written(&self) -> io::Result<Option<u64>> {
        let (mut offset, mut last) = (self.offset, None);
        let rest = usize::try_from(self.file.length()?.saturating_sub(offset)).unwrap_or(AHEAD_BYTES_MAX);
        let mut bytes = vec![0; rest.clamp(1, AHEAD_BYTES_MAX)];
        loop {
            let count = read_fully(self.file.as_ref(), &mut bytes, offset)?;
            let read = bytes.get(..count).unwrap_or_default();
            if let Some(place) = read.iter().rposition(|byte| *byte != 0) {
                last = Some(offset + place as u64 + 1);
            }
            if count < bytes.len() {
                return Ok(last);
            }
            offset += count as u64;
        }
    }

    /// Whether a batch begins after the one that is damaged at the present place: an intact frame behind a checkpoint that
    /// `verifier` signed for more than `size` entries. One batch is flushed before the next is written, so a torn write
    /// cannot look like this; nor can an entry whose bytes imitate frames, for it cannot have such a signature.
    pub(crate) fn has_later_batch(&mut self, size: u64, verifier: &Verifier) -> io::Result<bool> {
        let (start, end) = (self.offset, self.last_written()?.unwrap_or(0));
        let (mut offset, mut after_checkpoint, mut later) = (start, false, false);
        while offset < end && !later {
            self.offset = offset;
            match self.frame()? {
                Found::Some(head) => {
                    later = after_checkpoint;
                    after_checkpoint = head.kind == Kind::Checkpoint && head.index > size && self.payload_verifies(verifier);
                    offset = self.offset;
                }
                Found::Nothing | Found::Damage(_) => offset += ALIGN as u64,
            }
        }
        self.rewind(start);
        Ok(later)
    }

    fn payload_verifies(&self, verifier: &Verifier) -> bool {
        let checkpoint = std::str::from_utf8(self.payload()).ok().and_then(SignedCheckpoint::parse);
        checkpoint.is_some_and(|checkpoint| checkpoint.verify(verifier).is_ok())
    }

    fn window_holds(&self, offset: u64) -> Option<usize> {
        let place = usize::try_from(offset.checked_sub(self.window_offset)?).ok()?;
        (place < self.window.len()).then_some(place)
    }

    /// Goes to `offset` and forgets what was read ahead: the file may have changed.
    pub(crate) fn rewind(&mut self, offset: u64) {
        self.offset = offset;
        self.window.clear();
        self.window_offset = offset;
        self.ahead_bytes = AHEAD_BYTES_MIN;
    }

    fn payload(&self) -> &[u8] {
        self.window.get(self.payload.clone()).unwrap_or_default()
    }

    /// Reads one frame and goes past it.
    fn frame(&mut self) -> io::Result<Found<Head>> {
        let Some(place) = self.fill(HEAD_BYTES)? else {
            // Less than a frame is left of the segment.
            let rest = self.window_holds(self.offset).and_then(|place| self.window.get(place..)).unwrap_or_default();
            let empty = rest.iter().all(|byte| *byte == 0);
            return Ok(if empty { Found::Nothing } else { Found::Damage("the segment ends inside of a frame") });
        };
        let head = self.window.get(place.clone()).unwrap_or_default();
        if head.iter().all(|byte| *byte == 0) {
            return Ok(Found::Nothing);
        }
        let Some(head) = Head::parse(head).filter(|head| head.generation == self.generation) else {
            return Ok(Found::Damage("not a frame of this segment"));
        };
        let Some(place) = self.fill(head.frame_bytes())? else {
            return Ok(Found::Damage("the segment ends inside of a frame"));
        };
        if !frame_is_intact(self.window.get(place.clone()).unwrap_or_default(), head.length) {
            return Ok(Found::Damage("the frame's CRC does not agree"));
        }
        let payload = place.start + HEAD_BYTES;
        self.payload = payload..payload + head.length;
        self.offset += head.frame_bytes() as u64;
        Ok(Found::Some(head))
    }

    /// Makes `need` bytes at the present place available in the window; `None` if the file is too short.
    fn fill(&mut self, need: usize) -> io::Result<Option<Range<usize>>> {
        let held = self.window_holds(self.offset).map(|place| place..place + need);
        if let Some(range) = held.filter(|range| range.end <= self.window.len()) {
            return Ok(Some(range));
        }
        self.window_offset = self.offset;
        self.window.resize(need.max(self.ahead_bytes), 0);
        self.ahead_bytes = AHEAD_BYTES_MAX.min(2 * self.ahead_bytes);
        let read = read_fully(self.file.as_ref(), &mut self.window, self.offset);
        // What else is in it was read elsewhere.
        self.window.truncate(*read.as_ref().unwrap_or(&0));
        let count = read?;
        Ok((need <= count).then_some(0..need))
    }
}
