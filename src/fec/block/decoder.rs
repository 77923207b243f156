//! The receiver's half of block codes.
//!
//! It keeps the source packets that arrived and the repair packets that cannot be used yet. As soon as
//! as many repair packets of a block are there as source packets are missing, it inverts the part of
//! the code's matrix that belongs to the missing ones, and computes them in one product over everything
//! that arrived. What is recovered may complete another block, so it looks again until nothing moves.
//!
//! A repair packet that nothing is missing for is settled without touching its symbol.

use std::collections::{BTreeMap, VecDeque};

use super::Coefficients;
use super::span::{Extent, Layout, Span};
use crate::fec::matrix::recovery;
use crate::fec::sources::Sources;
use crate::fec::{DecodeEvent, Decoder, RepairHeader, Symbol};
use crate::record::{Malformed, RepairFate};
use crate::time::Time;

/// The most repair packets that wait for others, over all blocks; beyond it the oldest block is given
/// up. Half of what the window of sources allows at one repair packet per source packet.
const HELD_MAX: usize = 8_192;

/// The receiver's half.
#[derive(Debug)]
pub(in crate::fec) struct BlockDecoder<S> {
    layout: Layout,
    sources: Sources<S>,
    /// The blocks that wait.
    blocks: BTreeMap<Key, Block<S>>,
    /// The repair packets in all of them.
    held: usize,
    /// Source packets that are known now, whose blocks are to be looked at again.
    learned: Vec<u32>,
    events: VecDeque<DecodeEvent<S>>,
}

/// The stride of a block and the ESI of its first source packet.
type Key = (u32, u32);

/// A block of which repair packets arrived and source packets are missing.
#[derive(Debug)]
struct Block<S> {
    span: Span,
    /// Rows and symbols of its repair packets; fewer than there are source packets missing.
    repairs: Vec<(u16, S)>,
}

impl<S: Symbol> Decoder<S> for BlockDecoder<S> {
    fn push_source(&mut self, _now: Time, esi: u32, symbol: &S) {
        if self.sources.insert(esi, symbol) && !self.blocks.is_empty() {
            self.learned.push(esi);
            self.advance();
        }
    }

    fn push_repair(&mut self, _now: Time, header: &RepairHeader, symbol: &S) -> Result<(), Malformed> {
        let span = self.layout.span(header)?;
        if !self.sources.reaches(span.last()) {
            return Err(Malformed::OutOfRange);
        }
        let key = (span.stride, span.first);
        let known = self.blocks.get(&key);
        if known.is_some_and(|block| block.span != span) {
            return Err(Malformed::InvalidField);
        }
        if span.esis().all(|esi| self.sources.has(esi)) {
            self.settle(1, RepairFate::Unneeded);
        } else if !span.esis().any(|esi| self.sources.wants(esi)) {
            self.settle(1, RepairFate::Late);
        } else if known.is_some_and(|block| block.repairs.iter().any(|(row, _)| *row == header.row)) {
            // The second copy of a repair packet: the first one does all that it could.
            self.settle(1, RepairFate::Unneeded);
        } else {
            let block = self.blocks.entry(key).or_insert(Block { span, repairs: Vec::new() });
            block.repairs.push((header.row, symbol.clone()));
            self.held += 1;
            self.try_recover(key);
            self.advance();
            self.keep_bound();
        }
        Ok(())
    }

    fn poll_event(&mut self) -> Option<DecodeEvent<S>> {
        self.events.pop_front()
    }

    fn deficit(&self) -> Vec<(std::ops::RangeInclusive<u32>, u16)> {
        let missing = |span: Span| span.esis().filter(|&esi| !self.sources.has(esi)).count();
        self.blocks
            .values()
            .map(|block| (block.span, missing(block.span) - block.repairs.len()))
            .map(|(span, deficit)| (span.first..=span.last(), deficit as u16))
            .collect()
    }

    fn expire(&mut self, esi: u32) {
        self.sources.expire(esi);
        if self.blocks.is_empty() {
            return;
        }
        // The last source packets are the likeliest to be wanted, so the search begins there.
        let hopeless = |span: Span| !span.esis().rev().any(|esi| self.sources.wants(esi));
        let extents = self.layout.extents().iter().map(|extent| extent.stride);
        let begun = extents.flat_map(|stride| self.blocks.range((stride, 0)..(stride, esi)));
        let gone = begun.filter(|(_, block)| hopeless(block.span));
        let gone: Vec<Key> = gone.map(|(&key, _)| key).collect();
        for key in gone {
            self.give_up(key);
        }
    }
}

impl<S: Symbol> BlockDecoder<S> {
    /// A decoder for blocks of at most `sources_max` source packets, `stride` apart, and at most
    /// `repair_max` repair packets before anybody asks for more. One of both is 1 where all
    /// coefficients are, or else there would be repair packets that say the same.
    pub(in crate::fec) fn new(
        coefficients: Coefficients,
        stride: usize,
        sources_max: usize,
        repair_max: usize,
    ) -> Self {
        debug_assert!(coefficients == Coefficients::Cauchy || sources_max == 1 || repair_max == 1);
        let extent = Extent { stride: stride as u32, sources_max: sources_max as u32 };
        Self::of(Layout::Single { extent, repair_max: repair_max as u8, coefficients })
    }

    /// A decoder for a matrix with a parity packet for each row of `columns` source packets and for
    /// each column of `rows`.
    pub(in crate::fec) fn crossed(columns: usize, rows: usize) -> Self {
        let along_row = Extent { stride: 1, sources_max: columns as u32 };
        let along_column = Extent { stride: columns as u32, sources_max: rows as u32 };
        Self::of(Layout::Crossed([along_row, along_column]))
    }

    fn of(layout: Layout) -> Self {
        let keep = layout.extents().iter().map(|extent| extent.stride * extent.sources_max).max();
        Self {
            layout,
            sources: Sources::new(keep.unwrap_or(0)),
            blocks: BTreeMap::new(),
            held: 0,
            learned: Vec::new(),
            events: VecDeque::new(),
        }
    }

    /// Looks again at the blocks of source packets that are known now, until nothing moves.
    fn advance(&mut self) {
        let layout = self.layout;
        while let Some(esi) = self.learned.pop() {
            for extent in layout.extents() {
                let from = (extent.stride, esi.saturating_sub(extent.reach()));
                let near = self.blocks.range(from..=(extent.stride, esi));
                let touched = near.filter(|(_, block)| block.span.contains(esi));
                let touched: Vec<Key> = touched.map(|(&key, _)| key).collect();
                for key in touched {
                    self.try_recover(key);
                }
            }
        }
    }

    /// Recovers what is missing of a block if that is possible.
    fn try_recover(&mut self, key: Key) {
        let Some(block) = self.blocks.get(&key) else { return };
        let missing = block.span.esis().filter(|&esi| !self.sources.has(esi));
        if block.repairs.len() < missing.clone().count() {
            return;
        }
        let missing: Vec<u32> = missing.collect();
        let Some(symbols) = self.solve(block, &missing) else { return };
        let superfluous = block.repairs.len() - missing.len();
        for (&esi, symbol) in missing.iter().zip(symbols) {
            let wanted = self.sources.wants(esi);
            self.sources.insert(esi, &symbol);
            if wanted {
                self.events.push_back(DecodeEvent::Recovered { esi, symbol });
            }
        }
        self.remove(key);
        self.settle(missing.len(), RepairFate::Used);
        self.settle(superfluous, RepairFate::Unneeded);
        self.learned.extend(missing);
    }

    /// The missing source packets of a block, from as many of its repair packets and all that arrived.
    fn solve(&self, block: &Block<S>, missing: &[u32]) -> Option<Vec<S>> {
        if missing.is_empty() {
            return Some(Vec::new());
        }
        let (span, coefficients) = (block.span, self.layout.coefficients());
        let repairs = &block.repairs[..missing.len()];
        let arrived = span.esis().filter_map(|esi| Some((span.column(esi), self.sources.get(esi)?)));
        let (known, sources): (Vec<usize>, Vec<&S>) = arrived.unzip();
        let missing: Vec<usize> = missing.iter().map(|&esi| span.column(esi)).collect();
        let rows = repairs.iter().map(|(row, _)| &coefficients.row(usize::from(*row))[..]);
        let matrix = recovery(rows, &missing, &known)?;
        let mut terms: Vec<&S> = repairs.iter().map(|(_, symbol)| symbol).collect();
        terms.extend(sources);
        Some(S::combine(&matrix, &terms))
    }

    /// Gives up the oldest blocks until what is held keeps to its bound.
    fn keep_bound(&mut self) {
        while self.held > HELD_MAX
            && let Some(oldest) = self.oldest()
        {
            self.give_up(oldest);
        }
    }

    fn oldest(&self) -> Option<Key> {
        let layout = self.layout;
        let of_extent =
            |extent: &Extent| self.blocks.range((extent.stride, 0)..=(extent.stride, u32::MAX)).next();
        let firsts = layout.extents().iter().filter_map(of_extent).map(|(&key, _)| key);
        firsts.min_by_key(|&(_, first)| first)
    }

    fn give_up(&mut self, key: Key) {
        let unused = self.remove(key);
        self.settle(unused, RepairFate::Insufficient);
    }

    /// Forgets a block, and says how many repair packets it had.
    fn remove(&mut self, key: Key) -> usize {
        let repairs = self.blocks.remove(&key).map_or(0, |block| block.repairs.len());
        self.held -= repairs;
        repairs
    }

    fn settle(&mut self, count: usize, fate: RepairFate) {
        self.events.extend((0..count).map(|_| DecodeEvent::Settled(fate)));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A decoder of (3, 2) blocks.
    fn decoder() -> BlockDecoder<()> {
        BlockDecoder::new(Coefficients::Cauchy, 1, 3, 2)
    }

    fn header(first: u32, row: u16) -> RepairHeader {
        RepairHeader { first, count: 3, row, parameter: 2 }
    }

    fn arrive(decoder: &mut BlockDecoder<()>, sources: &[u32], repairs: &[(u32, u16)]) {
        for &esi in sources {
            decoder.push_source(Time::ZERO, esi, &());
        }
        for &(first, row) in repairs {
            decoder.push_repair(Time::ZERO, &header(first, row), &()).unwrap();
        }
    }

    fn events(decoder: &mut BlockDecoder<()>) -> Vec<DecodeEvent<()>> {
        std::iter::from_fn(|| decoder.poll_event()).collect()
    }

    fn settled(fate: RepairFate) -> DecodeEvent<()> {
        DecodeEvent::Settled(fate)
    }

    fn recovered(esi: u32) -> DecodeEvent<()> {
        DecodeEvent::Recovered { esi, symbol: () }
    }

    #[test]
    fn repair_packets_wait_until_there_are_as_many_as_losses() {
        let mut decoder = decoder();
        arrive(&mut decoder, &[1], &[(0, 1)]);
        assert_eq!(events(&mut decoder), []);
        assert_eq!(decoder.deficit(), [(0..=2, 1)]);
        arrive(&mut decoder, &[], &[(0, 0)]);
        let used = settled(RepairFate::Used);
        assert_eq!(events(&mut decoder), [recovered(0), recovered(2), used.clone(), used]);
        assert_eq!(decoder.deficit(), []);
    }

    #[test]
    fn a_source_packet_that_comes_after_the_repair_completes_the_block() {
        let mut decoder = decoder();
        arrive(&mut decoder, &[0], &[(0, 0)]);
        arrive(&mut decoder, &[2], &[]);
        assert_eq!(events(&mut decoder), [recovered(1), settled(RepairFate::Used)]);
        arrive(&mut decoder, &[1], &[(0, 1)]);
        assert_eq!(events(&mut decoder), [settled(RepairFate::Unneeded)]);
    }

    #[test]
    fn what_waits_is_insufficient_when_its_last_loss_is_given_up_and_late_afterwards() {
        let mut decoder = decoder();
        arrive(&mut decoder, &[0], &[(0, 0)]);
        decoder.expire(2);
        assert_eq!(events(&mut decoder), [], "packet 2 may still come");
        decoder.expire(3);
        assert_eq!(events(&mut decoder), [settled(RepairFate::Insufficient)]);
        arrive(&mut decoder, &[], &[(0, 1)]);
        assert_eq!(events(&mut decoder), [settled(RepairFate::Late)]);
    }

    #[test]
    fn a_packet_that_was_given_up_still_helps_but_is_not_announced() {
        let mut decoder = decoder();
        arrive(&mut decoder, &[1], &[(0, 0)]);
        decoder.expire(2);
        arrive(&mut decoder, &[], &[(0, 1)]);
        let used = settled(RepairFate::Used);
        assert_eq!(events(&mut decoder), [recovered(2), used.clone(), used]);
    }

    #[test]
    fn a_repair_packet_long_after_a_whole_block_was_not_needed() {
        let mut decoder = decoder();
        arrive(&mut decoder, &(0..500).collect::<Vec<_>>(), &[]);
        decoder.expire(500);
        arrive(&mut decoder, &[], &[(0, 0)]);
        assert_eq!(events(&mut decoder), [settled(RepairFate::Unneeded)]);
    }

    #[test]
    fn a_second_copy_of_a_repair_packet_counts_for_nothing() {
        let mut decoder = decoder();
        arrive(&mut decoder, &[0], &[(0, 0), (0, 0)]);
        assert_eq!(events(&mut decoder), [settled(RepairFate::Unneeded)]);
        assert_eq!(decoder.deficit(), [(0..=2, 1)]);
    }

    #[test]
    fn headers_that_lie_are_refused_with_a_reason() {
        let mut decoder = decoder();
        arrive(&mut decoder, &[], &[(0, 0)]);
        let refused = [
            (RepairHeader { count: 0, ..header(9, 0) }, Malformed::InvalidField),
            (RepairHeader { count: 4, ..header(9, 0) }, Malformed::InvalidField),
            (RepairHeader { parameter: 3, ..header(9, 0) }, Malformed::InvalidField),
            (header(9, 252), Malformed::InvalidField),
            (RepairHeader { count: 2, ..header(0, 1) }, Malformed::InvalidField),
            (header(u32::MAX - 1, 0), Malformed::OutOfRange),
            (header(20_000, 0), Malformed::OutOfRange),
        ];
        for (header, reason) in refused {
            assert_eq!(decoder.push_repair(Time::ZERO, &header, &()), Err(reason), "{header:?}");
        }
        let mut interleaved = BlockDecoder::new(Coefficients::Ones, 4, 3, 1);
        let between = RepairHeader { first: 0, count: 6, row: 0, parameter: 1 };
        let second = RepairHeader { first: 0, count: 5, row: 1, parameter: 2 };
        for header in [between, second] {
            assert_eq!(interleaved.push_repair(Time::ZERO, &header, &()), Err(Malformed::InvalidField));
        }
    }

    #[test]
    fn beyond_the_bound_the_oldest_block_is_given_up() {
        let mut decoder = decoder();
        let over = 100;
        for first in 0..HELD_MAX as u32 + over {
            arrive(&mut decoder, &[], &[(first, 0)]);
        }
        assert_eq!((decoder.held, decoder.blocks.len()), (HELD_MAX, HELD_MAX));
        assert_eq!(decoder.blocks.first_key_value().map(|(&key, _)| key), Some((1, over)));
        assert_eq!(events(&mut decoder), vec![settled(RepairFate::Insufficient); over as usize]);
    }

    #[test]
    fn what_is_recovered_completes_other_blocks() {
        // Overlapping blocks, as in parity over rows and columns: 1 comes from 0 and 2, then 3 from 1.
        let mut decoder = decoder();
        arrive(&mut decoder, &[2], &[(1, 0), (0, 0)]);
        assert_eq!(events(&mut decoder), []);
        arrive(&mut decoder, &[0], &[]);
        let used = settled(RepairFate::Used);
        assert_eq!(events(&mut decoder), [recovered(1), used.clone(), recovered(3), used]);
    }
}
