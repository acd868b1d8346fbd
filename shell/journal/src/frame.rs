//! Frames: how a record lies in a segment.
//!
//! ```text
//! 0   u32  CRC32C of all that follows, padding included
//! 4   u32  kind in the upper byte, length of the payload in the lower three
//! 8   u64  generation of the segment: a frame copied from another segment is not a frame
//! 16  u64  index: of the entry; of the next entry in a header; the tree size in a checkpoint
//! 24       payload, then zeros up to a multiple of eight
//! ```
//!
//! All numbers are little-endian. Twenty-four zeros where a frame could begin mean that nothing was written there.

/// The bytes before the payload.
pub(crate) const HEAD_BYTES: usize = 24;
/// Frames begin at multiples of this.
pub(crate) const ALIGN: usize = 8;
/// The longest payload.
pub(crate) const PAYLOAD_BYTES_MAX: usize = crate::ENTRY_BYTES_MAX;
const CRC_BYTES: usize = 4;

/// What a frame carries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// The first frame of a segment: the key that signs it.
    Header,
    /// One entry.
    Entry,
    /// The end of a batch: a signed checkpoint that covers everything before it.
    Checkpoint,
    /// Entries that were erased: their leaf hashes, one after the other. The index is the first one's.
    Erased,
}

/// The fields before the payload.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Head {
    pub(crate) kind: Kind,
    pub(crate) length: usize,
    pub(crate) generation: u64,
    pub(crate) index: u64,
}

impl Head {
    /// Reads the fields; `None` if they are impossible.
    pub(crate) fn parse(bytes: &[u8]) -> Option<Self> {
        let word = u32::from_le_bytes(*bytes.get(4..)?.first_chunk()?);
        let kind = match word >> 24 {
            1 => Kind::Header,
            2 => Kind::Entry,
            3 => Kind::Checkpoint,
            4 => Kind::Erased,
            _ => return None,
        };
        let length = usize::try_from(word & 0x00ff_ffff).ok()?;
        let generation = u64::from_le_bytes(*bytes.get(8..)?.first_chunk()?);
        let index = u64::from_le_bytes(*bytes.get(16..)?.first_chunk()?);
        (length <= PAYLOAD_BYTES_MAX).then_some(Self { kind, length, generation, index })
    }

    /// How many bytes the whole frame takes.
    pub(crate) fn frame_bytes(&self) -> usize {
        frame_bytes(self.length)
    }
}

/// How many bytes a frame with a payload of `length` takes.
pub(crate) const fn frame_bytes(length: usize) -> usize {
    (HEAD_BYTES + length).next_multiple_of(ALIGN)
}

/// Appends a frame to `buffer`.
pub(crate) fn frame_encode(buffer: &mut Vec<u8>, kind: Kind, generation: u64, index: u64, payload: &[u8]) {
    let kind: u32 = match kind {
        Kind::Header => 1,
        Kind::Entry => 2,
        Kind::Checkpoint => 3,
        Kind::Erased => 4,
    };
    // Callers have checked the length against `PAYLOAD_BYTES_MAX`; a longer one would not be read back.
    let word = kind << 24 | u32::try_from(payload.len()).unwrap_or(0x00ff_ffff);
    let start = buffer.len();
    buffer.extend_from_slice(&[0; CRC_BYTES]);
    buffer.extend_from_slice(&word.to_le_bytes());
    buffer.extend_from_slice(&generation.to_le_bytes());
    buffer.extend_from_slice(&index.to_le_bytes());
    buffer.extend_from_slice(payload);
    buffer.resize(start + frame_bytes(payload.len()), 0);
    if let Some((crc, covered)) = buffer.get_mut(start..).and_then(|frame| frame.split_at_mut_checked(CRC_BYTES)) {
        crc.copy_from_slice(&crc32c::crc32c(covered).to_le_bytes());
    }
}

/// Whether `frame`, which is whole, is what was written: the CRC agrees and the padding is zero.
pub(crate) fn frame_is_intact(frame: &[u8], length: usize) -> bool {
    let Some((crc, covered)) = frame.split_first_chunk::<CRC_BYTES>() else {
        return false;
    };
    let padding_is_zero = frame.get(HEAD_BYTES + length..).is_some_and(|rest| rest.iter().all(|byte| *byte == 0));
    padding_is_zero && crc32c::crc32c(covered) == u32::from_le_bytes(*crc)
}
