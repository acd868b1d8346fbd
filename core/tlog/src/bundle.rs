//! C2SP entry bundles: entries one after the other, each behind its length in two big-endian bytes.

use thiserror::Error;

use crate::tile::TILE_WIDTH;

/// The longest entry in bytes.
pub const ENTRY_BYTES_MAX: usize = u16::MAX as usize;

/// Why entries make no bundle, or bytes are none.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum BundleError {
    /// An entry is longer than [`ENTRY_BYTES_MAX`].
    #[error("entry of `{0}` bytes is too long for a bundle")]
    EntryLength(usize),
    /// There are more than 256 entries.
    #[error("bundle has more than 256 entries")]
    Count,
    /// The bytes end inside of an entry.
    #[error("bundle is cut off")]
    CutOff,
}

/// Writes a bundle of at most 256 entries.
pub fn bundle_encode<'a>(entries: impl IntoIterator<Item = &'a [u8]>) -> Result<Vec<u8>, BundleError> {
    let mut bundle = Vec::new();
    for (count, entry) in entries.into_iter().enumerate() {
        if count >= usize::from(TILE_WIDTH) {
            return Err(BundleError::Count);
        }
        let length = u16::try_from(entry.len()).map_err(|_| BundleError::EntryLength(entry.len()))?;
        bundle.extend_from_slice(&length.to_be_bytes());
        bundle.extend_from_slice(entry);
    }
    Ok(bundle)
}

/// Reads a bundle of at most 256 entries.
pub fn bundle_parse(bundle: &[u8]) -> Result<Vec<&[u8]>, BundleError> {
    let (mut entries, mut rest) = (Vec::new(), bundle);
    while !rest.is_empty() {
        if entries.len() >= usize::from(TILE_WIDTH) {
            return Err(BundleError::Count);
        }
        let (length, after) = rest.split_first_chunk::<2>().ok_or(BundleError::CutOff)?;
        let length = usize::from(u16::from_be_bytes(*length));
        let (entry, after) = after.split_at_checked(length).ok_or(BundleError::CutOff)?;
        entries.push(entry);
        rest = after;
    }
    Ok(entries)
}
