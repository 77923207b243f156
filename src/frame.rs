//! The unit of meaning: one application message with a deadline.
//!
//! A frame is an application data unit (ADU, RFC 6363): an update of the screen, a key stroke, a piece
//! of a download. Transports carry frames and know nothing of what is in them; the application's own
//! words travel in [`Frame::head`], the rest is filler whose bytes every end can compute.

use serde::{Deserialize, Serialize};

use std::ops::{BitAnd, BitOr, BitOrAssign, Not};

use bytes::Bytes;

use crate::time::Time;

/// A frame's number within its session and direction, counted from 0 in the order of capture.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct FrameId(pub u32);

/// One application message, as the sending application hands it over.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Frame {
    /// Its number; the next frame offered has the next one.
    pub id: FrameId,
    /// When it was captured: its age counts from here.
    pub captured: Time,
    /// When it is worth nothing any more.
    pub deadline: Time,
    /// How much a loss of it hurts.
    pub priority: Priority,
    /// Its whole size in bytes, `head` included; at least 1.
    pub size: u32,
    /// Its first bytes, which only the applications at both ends understand; at most
    /// [`Frame::HEAD_MAX`] and at most `size` bytes.
    pub head: Bytes,
}

impl Frame {
    /// The longest head, in bytes; short enough to fit every packet with room to spare.
    pub const HEAD_MAX: usize = 32;
}

/// How much the loss of a frame hurts, for protection by class (RFC 5109 calls it uneven protection).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Priority {
    /// An update that a later one will overwrite.
    #[default]
    Delta,
    /// An update that others refer to.
    Key,
    /// A person's input: small, rare and precious.
    Input,
}

/// A frame as it arrives whole at the other end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Delivered {
    /// Its number.
    pub id: FrameId,
    /// Its whole size in bytes.
    pub size: u32,
    /// The application's own bytes at its front, as they were offered.
    pub head: Bytes,
}

/// A set of screen regions: the tiles of a grid of [`Regions::COLUMNS`] × [`Regions::ROWS`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Regions(pub u128);

impl Regions {
    /// Tiles side by side; with [`Regions::ROWS`] this makes nearly square tiles of a 16:9 screen.
    pub const COLUMNS: u32 = 16;
    /// Tiles one above the other.
    pub const ROWS: u32 = 8;
    /// How many tiles the whole screen has.
    pub const COUNT: u32 = Self::COLUMNS * Self::ROWS;
    /// No tile.
    pub const NONE: Self = Self(0);
    /// The whole screen.
    pub const ALL: Self = Self(u128::MAX);

    /// How many tiles are in the set.
    pub const fn count(self) -> u32 {
        self.0.count_ones()
    }

    /// Whether no tile is in the set.
    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// Whether the tile numbered `tile` (row by row, below [`Regions::COUNT`]) is in the set.
    pub const fn contains(self, tile: u32) -> bool {
        self.0 >> tile & 1 == 1
    }

    /// The set with the tile numbered `tile` in it.
    pub const fn with(self, tile: u32) -> Self {
        Self(self.0 | 1 << tile)
    }

    /// The tiles' numbers, lowest first.
    pub fn iter(self) -> impl Iterator<Item = u32> {
        let mut rest = self.0;
        std::iter::from_fn(move || {
            let tile = rest.trailing_zeros();
            (rest != 0).then(|| {
                rest &= rest - 1;
                tile
            })
        })
    }
}

impl BitOr for Regions {
    type Output = Self;
    fn bitor(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }
}

impl BitOrAssign for Regions {
    fn bitor_assign(&mut self, other: Self) {
        self.0 |= other.0;
    }
}

impl BitAnd for Regions {
    type Output = Self;
    fn bitand(self, other: Self) -> Self {
        Self(self.0 & other.0)
    }
}

impl Not for Regions {
    type Output = Self;
    fn not(self) -> Self {
        Self(!self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn regions_list_their_tiles_lowest_first() {
        let regions = Regions::NONE.with(127).with(0).with(64);
        assert_eq!(regions.iter().collect::<Vec<_>>(), [0, 64, 127]);
        assert_eq!((regions.count(), regions.contains(64), regions.contains(63)), (3, true, false));
        assert_eq!((Regions::ALL & !regions).count(), 125);
    }
}
