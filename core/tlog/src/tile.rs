//! C2SP tile paths: `tile/<level>/<index>[.p/<width>]` and `tile/entries/<index>[.p/<width>]`.

use std::fmt;
use std::str::FromStr;

use thiserror::Error;

use crate::checkpoint::parse_decimal;

/// How many hashes a full tile, or entries a full bundle, holds.
pub const TILE_WIDTH: u16 = 256;
/// The highest level a path may name.
pub const LEVEL_MAX: u8 = 63;

/// Why a path names no tile.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum TilePathError {
    /// The path does not start with `tile/`, or has too few elements.
    #[error("tile path is malformed")]
    Form,
    /// The level is not a number of 0 to 63 without leading zeros.
    #[error("tile level is malformed")]
    Level,
    /// The index is not in groups of three digits, all but the last marked with `x`, or exceeds 64 bits.
    #[error("tile index is malformed")]
    Index,
    /// The width is not a number of 1 to 255 without leading zeros.
    #[error("tile width is malformed")]
    Width,
}

/// What a path leads to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum TileKind {
    /// Hashes of the nodes at height `8 * level`.
    Hashes {
        /// The tile level, at most [`LEVEL_MAX`].
        level: u8,
    },
    /// The entries themselves: a bundle.
    Entries,
}

/// The name of a tile or an entry bundle.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TilePath {
    kind: TileKind,
    index: u64,
    width: u16,
}

impl TilePath {
    /// Names a tile of `width` hashes, 1 to 256; `None` if the level or the width is out of range.
    pub fn new(kind: TileKind, index: u64, width: u16) -> Option<Self> {
        let level_ok = !matches!(kind, TileKind::Hashes { level } if level > LEVEL_MAX);
        (level_ok && (1..=TILE_WIDTH).contains(&width)).then_some(Self { kind, index, width })
    }

    /// The tile at `index` as a tree of `size` leaves has it: full, partial, or absent.
    pub fn of_tree(kind: TileKind, index: u64, size: u64) -> Option<Self> {
        let height = match kind {
            TileKind::Hashes { level } => 8 * u32::from(level),
            TileKind::Entries => 0,
        };
        let hashes = size.checked_shr(height).unwrap_or(0);
        let rest = hashes.saturating_sub(index.checked_mul(u64::from(TILE_WIDTH))?);
        Self::new(kind, index, u16::try_from(rest.min(u64::from(TILE_WIDTH))).ok()?)
    }

    /// Hashes or entries.
    pub fn kind(&self) -> TileKind {
        self.kind
    }

    /// The position within its level, from the left.
    pub fn index(&self) -> u64 {
        self.index
    }

    /// How many hashes or entries it has, 1 to 256.
    pub fn width(&self) -> u16 {
        self.width
    }

    /// Whether it will still grow.
    pub fn is_partial(&self) -> bool {
        self.width < TILE_WIDTH
    }
}

impl fmt::Display for TilePath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.kind {
            TileKind::Hashes { level } => write!(f, "tile/{level}/")?,
            TileKind::Entries => f.write_str("tile/entries/")?,
        }
        let mut groups = vec![self.index % 1000];
        let mut rest = self.index / 1000;
        while rest > 0 {
            groups.push(rest % 1000);
            rest /= 1000;
        }
        let last = groups.len() - 1;
        for (place, group) in groups.iter().rev().enumerate() {
            if place < last {
                write!(f, "x{group:03}/")?;
            } else {
                write!(f, "{group:03}")?;
            }
        }
        if self.is_partial() { write!(f, ".p/{}", self.width) } else { Ok(()) }
    }
}

impl FromStr for TilePath {
    type Err = TilePathError;

    fn from_str(path: &str) -> Result<Self, TilePathError> {
        let rest = path.strip_prefix("tile/").ok_or(TilePathError::Form)?;
        let (kind, rest) = rest.split_once('/').ok_or(TilePathError::Form)?;
        let kind = if kind == "entries" {
            TileKind::Entries
        } else {
            let level = parse_decimal(kind).and_then(|level| u8::try_from(level).ok());
            TileKind::Hashes { level: level.filter(|level| *level <= LEVEL_MAX).ok_or(TilePathError::Level)? }
        };
        let (index, width) = match rest.split_once(".p/") {
            None => (rest, TILE_WIDTH),
            Some((index, width)) => {
                let width = parse_decimal(width).and_then(|width| u16::try_from(width).ok());
                (index, width.filter(|width| (1..TILE_WIDTH).contains(width)).ok_or(TilePathError::Width)?)
            }
        };
        let tile = Self { kind, index: parse_index(index)?, width };
        // One spelling only: this refuses superfluous leading groups.
        if tile.to_string() == path { Ok(tile) } else { Err(TilePathError::Index) }
    }
}

fn parse_index(text: &str) -> Result<u64, TilePathError> {
    let mut index: u64 = 0;
    for group in text.split('/') {
        let digits = group.strip_prefix('x').unwrap_or(group);
        if digits.len() != 3 || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
            return Err(TilePathError::Index);
        }
        let group: u64 = digits.parse().map_err(|_| TilePathError::Index)?;
        index = index.checked_mul(1000).and_then(|index| index.checked_add(group)).ok_or(TilePathError::Index)?;
    }
    Ok(index)
}
