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
    sources: u8,
    /// How many repair packets were sent with it.
    repair: u8,
    /// How many were sent by now.
    sent: u8,
}

impl Closed {
    fn last(&self, stride: usize) -> u32 {
        self.first + ((usize::from(self.sources) - 1) * stride) as u32
    }
}

/// The part of the code's matrix that was used last; most blocks need the same.
#[derive(Debug, Default)]
struct Part {
    rows: Range<u8>,
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
        let (sources, repair) = (sources as u8, repair as u8);
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

    /// Up to `count` repair packets that were not sent before, for the block whose source packets reach
    /// over `range`. Fewer are left where the block has 255 packets by then, and none of a block that is
    /// forgotten.
    pub(in crate::fec) fn request(&mut self, range: &RangeInclusive<u32>, count: u16) -> Vec<Repair<S>> {
        let stride = self.stride;
        let is_asked_for =
            |block: &&mut Closed| (block.first, block.last(stride)) == (*range.start(), *range.end());
        let Some(block) = self.closed.iter_mut().rev().find(is_asked_for) else {
            return Vec::new();
        };
        // No more can be missing than there are source packets.
        let left = BLOCK_MAX as u8 - block.sources - block.sent;
        let fresh = count.min(block.sources.min(left).into());
        let rows = block.sent..block.sent + fresh as u8;
        block.sent = rows.end;
        let block = *block;
        let mut fresh = VecDeque::new();
        self.protect(block, rows, &mut fresh);
        fresh.into()
    }

    /// Forgets the blocks whose source packets all are at most `esi`.
    pub(in crate::fec) fn acknowledge(&mut self, esi: u32) {
        let done = |block: &Closed| block.last(self.stride) <= esi;
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
    fn protect(&mut self, block: Closed, rows: Range<u8>, ready: &mut VecDeque<Repair<S>>) {
        if rows.is_empty() {
            return;
        }
        let from = (block.first - self.base) as usize;
        let columns = usize::from(block.sources);
        let sources: Vec<&S> =
            (0..columns).map(|column| &self.sources[from + column * self.stride]).collect();
        let matrix = self.latest.matrix(self.coefficients, &rows, columns);
        let count = (block.last(self.stride) - block.first + 1) as u16;
        for (row, symbol) in rows.zip(S::combine(matrix, &sources)) {
            let (first, row, parameter) = (block.first, u16::from(row), block.repair);
            ready.push_back(Repair { header: RepairHeader { first, count, row, parameter }, symbol });
        }
    }
}

impl Part {
    fn matrix(&mut self, from: Coefficients, rows: &Range<u8>, columns: usize) -> &[u8] {
        if (&self.rows, self.columns) != (rows, columns) {
            self.matrix.clear();
            rows.clone().for_each(|row| self.matrix.extend_from_slice(&from.row(row.into())[..columns]));
            (self.rows, self.columns) = (rows.clone(), columns);
        }
        &self.matrix
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NONE: [u16; 0] = [];

    /// Blocks of two source packets with one repair packet, closed up to `count` source packets.
    fn pairs(count: u32) -> History<()> {
        let mut history = History::new(Coefficients::Cauchy, 1);
        for esi in 0..count {
            history.push(esi, &());
            if history.open_len() == 2 {
                history.close(0, 2, 1, &mut VecDeque::new());
                history.close_rest();
            }
        }
        history
    }

    /// The rows of the repair packets that are made for a request.
    fn request(history: &mut History<()>, range: RangeInclusive<u32>, count: u16) -> Vec<u16> {
        history.request(&range, count).iter().map(|repair| repair.header.row).collect()
    }

    #[test]
    fn no_row_is_sent_twice() {
        let mut history = pairs(4);
        assert_eq!(request(&mut history, 0..=1, 1), [1]);
        assert_eq!(request(&mut history, 0..=1, 2), [2, 3]);
        assert_eq!(request(&mut history, 2..=3, 1), [1]);
    }

    #[test]
    fn no_more_are_made_than_can_be_missing_or_than_a_block_has() {
        let mut history = pairs(2);
        assert_eq!(request(&mut history, 0..=1, u16::MAX), [1, 2]);
        let rows: Vec<u16> = (0..200).flat_map(|_| request(&mut history, 0..=1, 2)).collect();
        assert_eq!(rows, (3..=252).collect::<Vec<_>>(), "two source packets and rows 0 to 252 are 255");
    }

    #[test]
    fn what_is_no_closed_block_has_none() {
        let mut history = pairs(5);
        for range in [1..=2, 0..=0, 0..=3, 4..=5, 4..=4, 100..=101, 0..=u32::MAX] {
            assert_eq!(request(&mut history, range.clone(), 1), NONE, "{range:?}");
        }
    }

    #[test]
    fn a_block_is_forgotten_when_its_last_packet_is_acknowledged() {
        let mut history = pairs(6);
        history.acknowledge(2);
        assert_eq!(request(&mut history, 0..=1, 1), NONE);
        assert_eq!(request(&mut history, 2..=3, 1), [1]);
        history.acknowledge(u32::MAX);
        assert_eq!(request(&mut history, 4..=5, 1), NONE);
        assert_eq!((history.sources.len(), history.closed.len()), (0, 0));
    }

    #[test]
    fn what_nobody_acknowledges_is_forgotten_in_time() {
        let mut history = pairs(100_000);
        assert!(history.sources.len() <= CLOSED_MAX && history.closed.len() <= CLOSED_MAX / 2);
        assert_eq!(request(&mut history, 0..=1, 1), NONE);
        assert_eq!(request(&mut history, 99_998..=99_999, 1), [1]);
    }

    #[test]
    fn a_gap_between_blocks_forgets_what_is_before_it() {
        let mut history = pairs(4);
        history.push(10, &());
        history.push(11, &());
        history.close(0, 2, 1, &mut VecDeque::new());
        history.close_rest();
        assert_eq!(request(&mut history, 2..=3, 1), NONE);
        assert_eq!(request(&mut history, 10..=11, 1), [1]);
    }
}
