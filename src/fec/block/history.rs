//! The source packets that a sender remembers: those of the open blocks, and those of closed ones as
//! long as a receiver may ask for fresh repair packets.
//!
//! ```text
//!     closed blocks            open ones
//!   ├────────────────────────┼───────────┤
//!  base                     open
//! ```

use std::collections::VecDeque;
use std::ops::{Range, RangeInclusive};

use super::{BLOCK_MAX, Coefficients};
use crate::fec::{Repair, RepairHeader, Symbol};

/// How many source packets of closed blocks are remembered at most: 400 ms of 100 Mbit/s in packets of
/// 1200 bytes, more than a question takes that comes in time.
const CLOSED_MAX: usize = 4_096;

/// The source packets, the last ones in any case.
#[derive(Debug)]
pub(in crate::fec) struct History<S> {
    coefficients: Coefficients,
    /// The distance of a block's source packets.
    stride: usize,
    /// The ESI of the first source packet that is remembered.
    base: u32,
    /// The ESI of the first source packet of the open blocks.
    open: u32,
    sources: VecDeque<S>,
    closed: VecDeque<Closed>,
    latest: Part,
}

/// A block that is closed.
#[derive(Clone, Copy, Debug)]
struct Closed {
    /// The ESI of the first source packet of those blocks that were open beside it.
    since: u32,
    first: u32,
    /// How many source packets it has.
    sources: usize,
    /// How many repair packets were sent with it.
    repair: usize,
    /// How many were sent by now.
    sent: usize,
}

/// The part of the code's matrix that was used last; most blocks need the same.
#[derive(Debug, Default)]
struct Part {
    rows: Range<usize>,
    columns: usize,
    matrix: Vec<u8>,
}

impl<S: Symbol> History<S> {
    /// An empty one for blocks whose source packets are `stride` apart.
    pub(in crate::fec) fn new(coefficients: Coefficients, stride: usize) -> Self {
        Self {
            coefficients,
            stride,
            base: 0,
            open: 0,
            sources: VecDeque::new(),
            closed: VecDeque::new(),
            latest: Part::default(),
        }
    }

    /// Adds a source packet to the open ones. Their ESIs rise by one; only closed blocks may be followed
    /// by a gap, and are forgotten then.
    pub(in crate::fec) fn push(&mut self, esi: u32, symbol: &S) {
        if self.open_len() == 0 && esi != self.open {
            self.closed.clear();
            self.sources.clear();
            (self.base, self.open) = (esi, esi);
        }
        debug_assert_eq!(esi as usize, self.base as usize + self.sources.len(), "ESIs rise by one");
        self.sources.push_back(symbol.clone());
    }

    /// The ESI of the first open source packet.
    pub(in crate::fec) const fn open_first(&self) -> u32 {
        self.open
    }

    /// How many source packets are open.
    pub(in crate::fec) fn open_len(&self) -> usize {
        self.sources.len() - (self.open - self.base) as usize
    }

    /// Makes a block of `sources` open source packets from the one at `offset` on, and puts its
    /// `repair` repair packets into `ready`.
    pub(in crate::fec) fn close(
        &mut self,
        offset: usize,
        sources: usize,
        repair: usize,
        ready: &mut VecDeque<Repair<S>>,
    ) {
        debug_assert!(sources + repair <= BLOCK_MAX, "checked constructors keep to it");
        let first = self.open + offset as u32;
        let block = Closed { since: self.open, first, sources, repair, sent: repair };
        self.protect(block, 0..repair, ready);
        if self.coefficients == Coefficients::Cauchy {
            self.closed.push_back(block);
        }
    }

    /// Ends the open blocks; what was not closed by then stays without protection.
    pub(in crate::fec) fn close_rest(&mut self) {
        self.open = self.base + self.sources.len() as u32;
        while self.closed.front().is_some_and(|oldest| (self.open - oldest.since) as usize > CLOSED_MAX) {
            self.closed.pop_front();
        }
        self.forget();
    }

    /// Puts up to `count` repair packets that were not sent before into `ready`, for the block whose
    /// source packets reach over `range`, and says how many. Fewer are left where the block has 255
    /// packets by then, and none of a block that is forgotten.
    pub(in crate::fec) fn request(
        &mut self,
        range: &RangeInclusive<u32>,
        count: u16,
        ready: &mut VecDeque<Repair<S>>,
    ) -> u16 {
        let stride = self.stride;
        let is_asked_for = |block: &Closed| {
            let last = block.first + ((block.sources - 1) * stride) as u32;
            (block.first, last) == (*range.start(), *range.end())
        };
        let Some(block) = self.closed.iter_mut().rev().find(|block| is_asked_for(block)) else { return 0 };
        let left = BLOCK_MAX - block.sources - block.sent;
        // No more can be missing than there are source packets.
        let fresh = usize::from(count).min(block.sources).min(left);
        let rows = block.sent..block.sent + fresh;
        block.sent = rows.end;
        let block = *block;
        self.protect(block, rows, ready);
        fresh as u16
    }

    /// Forgets the blocks whose source packets all are at most `esi`.
    pub(in crate::fec) fn acknowledge(&mut self, esi: u32) {
        let done = |block: &Closed| block.first + ((block.sources - 1) * self.stride) as u32 <= esi;
        while self.closed.front().is_some_and(done) {
            self.closed.pop_front();
        }
        self.forget();
    }

    /// Lets the source packets go that are in no block any more.
    fn forget(&mut self) {
        let needed = self.closed.front().map_or(self.open, |oldest| oldest.since);
        self.sources.drain(..(needed - self.base) as usize);
        self.base = needed;
    }

    /// Computes repair packets of a block.
    fn protect(&mut self, block: Closed, rows: Range<usize>, ready: &mut VecDeque<Repair<S>>) {
        if rows.is_empty() {
            return;
        }
        let from = (block.first - self.base) as usize;
        let sources: Vec<&S> = self.sources.range(from..).step_by(self.stride).take(block.sources).collect();
        let matrix = self.latest.matrix(self.coefficients, &rows, block.sources);
        let count = ((block.sources - 1) * self.stride + 1) as u16;
        for (row, symbol) in rows.zip(S::combine(matrix, &sources)) {
            let (row, parameter) = (row as u16, block.repair as u8);
            ready.push_back(Repair {
                header: RepairHeader { first: block.first, count, row, parameter },
                symbol,
            });
        }
    }
}

impl Part {
    fn matrix(&mut self, from: Coefficients, rows: &Range<usize>, columns: usize) -> &[u8] {
        if (&self.rows, self.columns) != (rows, columns) {
            let row = |row: usize| (0..columns).map(move |column| from.at(row, column));
            self.matrix.clear();
            self.matrix.extend(rows.clone().flat_map(row));
            (self.rows, self.columns) = (rows.clone(), columns);
        }
        &self.matrix
    }
}
