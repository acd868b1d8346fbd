//! SHA-256 with RFC 6962's domain separation: a leaf can never be taken for a node.

use std::fmt;

use aws_lc_rs::digest::{Context, SHA256, digest};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

const LEAF: u8 = 0x00;
const NODE: u8 = 0x01;

/// A SHA-256 value: a leaf, a node or a root.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Hash(pub [u8; Hash::BYTES]);

impl Hash {
    /// The length of a hash in bytes.
    pub const BYTES: usize = 32;

    /// The bytes.
    pub fn as_bytes(&self) -> &[u8; Self::BYTES] {
        &self.0
    }

    /// Standard base64 with padding, as in a checkpoint.
    pub fn to_base64(&self) -> String {
        STANDARD.encode(self.0)
    }

    /// Reads [`Hash::to_base64`] strictly: exactly 32 bytes, canonical padding and trailing bits.
    pub fn from_base64(text: &str) -> Option<Self> {
        STANDARD.decode(text).ok().and_then(|bytes| bytes.try_into().ok()).map(Self)
    }

    fn of(bytes: &[u8]) -> Self {
        Self::from_digest(digest(&SHA256, bytes).as_ref())
    }

    fn from_digest(bytes: &[u8]) -> Self {
        let mut hash = [0; Self::BYTES];
        hash.iter_mut().zip(bytes).for_each(|(to, from)| *to = *from);
        Self(hash)
    }
}

impl Hash {
    /// Reads 64 hexadecimal digits, in lower case.
    pub fn from_hex(text: &str) -> Option<Self> {
        let digit = |byte: u8| match byte {
            b'0'..=b'9' => Some(byte - b'0'),
            b'a'..=b'f' => Some(byte - b'a' + 10),
            _ => None,
        };
        let pairs = text.as_bytes().as_chunks::<2>();
        let mut hash = [0; Self::BYTES];
        if pairs.0.len() != Self::BYTES || !pairs.1.is_empty() {
            return None;
        }
        for (byte, [high, low]) in hash.iter_mut().zip(pairs.0) {
            *byte = digit(*high)? << 4 | digit(*low)?;
        }
        Some(Self(hash))
    }
}

impl fmt::Display for Hash {
    /// Lower-case hexadecimal.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for Hash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Hash({self})")
    }
}

/// The root of the tree without leaves: the hash of nothing.
pub fn empty_root() -> Hash {
    Hash::of(&[])
}

/// The hash of an entry: `SHA-256(0x00 || entry)`.
pub fn leaf_hash(entry: &[u8]) -> Hash {
    let mut context = Context::new(&SHA256);
    context.update(&[LEAF]);
    context.update(entry);
    Hash::from_digest(context.finish().as_ref())
}

/// The hash of an inner node: `SHA-256(0x01 || left || right)`.
pub fn node_hash(left: &Hash, right: &Hash) -> Hash {
    let mut bytes = [NODE; 1 + 2 * Hash::BYTES];
    let children = left.0.iter().chain(&right.0);
    bytes.iter_mut().skip(1).zip(children).for_each(|(to, from)| *to = *from);
    Hash::of(&bytes)
}

/// The first four bytes of the SHA-256 of `parts` joined: a signed-note key ID.
pub(crate) fn short_hash(parts: &[&[u8]]) -> [u8; 4] {
    let mut context = Context::new(&SHA256);
    for part in parts {
        context.update(part);
    }
    let [a, b, c, d, ..] = Hash::from_digest(context.finish().as_ref()).0;
    [a, b, c, d]
}
