//! Block codes over source packets: what repetition, parity and Reed–Solomon share.
//!
//! A block is a set of source packets (`first`, `first + stride`, …) with up to 255 packets in all,
//! source and repair (RFC 6865 has the same bound for GF(2^8)). Codes are systematic: sources leave at
//! once, and the block is only remembered until its repair packets can be computed: when it is full,
//! when its time is up, or at the end.
//!
//! The header of a repair packet gives what the block really has: `count` from its first to its last
//! source packet, gaps included, and as `parameter` the number of repair packets that were sent with it.
//! Reed–Solomon blocks have further ones, rows `parameter` and up, for receivers that ask for them
//! (hybrid ARQ, type II); they are as good as the first ones.

mod decoder;
mod encoder;
mod history;
#[cfg(test)]
mod laws;
mod span;

use super::{Overhead, cauchy, unit};
use crate::time::Duration;

pub(super) use decoder::BlockDecoder;
pub(super) use encoder::BlockEncoder;
pub(super) use history::History;

/// The most packets that a block has, source and repair together.
pub(super) const BLOCK_MAX: usize = 255;

/// The most source packets of blocks that take turns: what waits at the sender, and the longest way to a
/// repair.
pub(super) const MATRIX_MAX: u32 = 4_096;

/// What every code that sends units as repair symbols adds to packets.
pub(super) const UNIT_OVERHEAD: Overhead = Overhead { copies: 0, repair: unit::OVERHEAD as u16 };

/// Where the coefficients of a code come from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Coefficients {
    /// All are 1: parity, and plain copies of single packets.
    Ones,
    /// A Cauchy matrix, each column divided by its first element.
    Cauchy,
}

impl Coefficients {
    /// The coefficients of a block's source packets in its repair packet `row`.
    pub(super) fn row(self, row: usize) -> &'static [u8; BLOCK_MAX] {
        match self {
            Self::Ones => &[1; BLOCK_MAX],
            Self::Cauchy => cauchy::row(row),
        }
    }
}

/// The size and shape of blocks that are closed by count or time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Shape {
    /// How many blocks take turns: packet i of the matrix belongs to the block i mod `columns`.
    pub(super) columns: usize,
    /// Source packets of a full block.
    pub(super) rows: usize,
    /// Repair packets of a full block.
    pub(super) repair: usize,
    /// Where the coefficients come from.
    pub(super) coefficients: Coefficients,
    /// How long the first source packet of a block waits for the last; for ever, where none.
    pub(super) flush: Option<Duration>,
    /// What becomes of blocks that are closed before they are full.
    pub(super) partial: Partial,
}

/// What becomes of blocks that are closed before they are full.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Partial {
    /// They keep the code rate, rounded in favor of protection (UDPspeeder comes close).
    #[default]
    Proportional,
    /// They have no repair packets, since a flow that slow is taken to have time (kcp-go).
    Unprotected,
}

impl Shape {
    /// So many repair packets more for a full block, or fewer, as far as a block has room. Where all
    /// coefficients are 1, further ones would say the same.
    pub(super) fn adjust(&mut self, steps: i8) {
        if self.coefficients == Coefficients::Cauchy {
            let most = BLOCK_MAX - self.rows;
            self.repair = self.repair.saturating_add_signed(steps.into()).min(most);
        }
    }

    /// The repair packets of a block that was closed with `sources` packets.
    pub(super) fn repair_for(&self, sources: usize) -> usize {
        match self.partial {
            Partial::Unprotected if sources < self.rows => 0,
            _ => (sources * self.repair).div_ceil(self.rows),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_partial_block_keeps_the_code_rate_rounded_in_favor_of_protection_or_has_none() {
        let repairs = |partial| {
            let coefficients = Coefficients::Cauchy;
            let shape = Shape { columns: 1, rows: 10, repair: 3, coefficients, flush: None, partial };
            [1, 3, 4, 7, 10].map(|sources| shape.repair_for(sources))
        };
        assert_eq!(repairs(Partial::Proportional), [1, 1, 2, 3, 3]);
        assert_eq!(repairs(Partial::Unprotected), [0, 0, 0, 0, 3]);
    }
}
