//! The receiver's half of RaptorQ.

use std::collections::{BTreeMap, VecDeque};
use std::ops::RangeInclusive;

use ::raptorq::{EncodingPacket, PayloadId, SourceBlockDecoder};
use bytes::Bytes;

use super::{information, symbol_length};
use crate::fec::sources::Sources;
use crate::fec::{DecodeEvent, Decoder, RepairHeader, Symbol};
use crate::record::{Malformed, RepairFate};
use crate::time::Time;

/// The most repair packets that wait for others, over all blocks; beyond it the oldest block is given
/// up. As for block codes.
const HELD_MAX: usize = 8_192;

/// The receiver's half.
#[derive(Debug)]
pub(in crate::fec) struct RaptorQDecoder<S> {
    /// The most source packets that a block has.
    sources_max: u32,
    sources: Sources<S>,
    /// The blocks that wait, by the ESI of their first source packet.
    blocks: BTreeMap<u32, Block<S>>,
    /// The repair packets in all of them.
    held: usize,
    events: VecDeque<DecodeEvent<S>>,
}

/// A block of which repair packets arrived and source packets are missing.
#[derive(Debug)]
struct Block<S> {
    last: u32,
    /// Rows and symbols of its repair packets.
    repairs: Vec<(u16, S)>,
}

impl<S: Symbol> Decoder<S> for RaptorQDecoder<S> {
    fn push_source(&mut self, _now: Time, esi: u32, symbol: &S) {
        if self.sources.insert(esi, symbol) && !self.blocks.is_empty() {
            self.advance(vec![esi]);
        }
    }

    fn push_repair(&mut self, _now: Time, header: &RepairHeader, symbol: &S) -> Result<(), Malformed> {
        let last = self.last(header)?;
        let known = self.blocks.get(&header.first);
        if known.is_some_and(|block| block.last != last) {
            return Err(Malformed::InvalidField);
        }
        let esis = header.first..=last;
        if esis.clone().all(|esi| self.sources.has(esi)) {
            self.settle(1, RepairFate::Unneeded);
        } else if !esis.clone().any(|esi| self.sources.wants(esi)) {
            self.settle(1, RepairFate::Late);
        } else if known.is_some_and(|block| block.repairs.iter().any(|(row, _)| *row == header.row)) {
            // The second copy of a repair packet: the first one does all that it could.
            self.settle(1, RepairFate::Unneeded);
        } else {
            let block = self.blocks.entry(header.first).or_insert(Block { last, repairs: Vec::new() });
            block.repairs.push((header.row, symbol.clone()));
            self.held += 1;
            let learned = self.try_recover(header.first);
            self.advance(learned);
            self.keep_bound();
        }
        Ok(())
    }

    fn poll_event(&mut self) -> Option<DecodeEvent<S>> {
        self.events.pop_front()
    }

    /// One more where there are enough by count and they did not do: see the failure rates above.
    fn deficit(&self) -> Vec<(RangeInclusive<u32>, u16)> {
        let deficit = |(&first, block): (&u32, &Block<S>)| {
            let missing = (first..=block.last).filter(|&esi| !self.sources.has(esi)).count();
            let lacking = missing.saturating_sub(block.repairs.len()).max(1);
            (missing > 0).then_some((first..=block.last, lacking as u16))
        };
        self.blocks.iter().filter_map(deficit).collect()
    }

    fn expire(&mut self, esi: u32) {
        self.sources.expire(esi);
        // The last source packets are the likeliest to be wanted, so the search begins there.
        let hopeless = |first: u32, last: u32| !(first..=last).rev().any(|esi| self.sources.wants(esi));
        let below = self.blocks.range(..esi);
        let gone: Vec<u32> =
            below.filter(|&(&first, block)| hopeless(first, block.last)).map(|(&first, _)| first).collect();
        for first in gone {
            self.give_up(first);
        }
    }
}

impl<S: Symbol> RaptorQDecoder<S> {
    /// A decoder for blocks of at most `sources_max` source packets.
    pub(super) fn new(sources_max: u32) -> Self {
        Self {
            sources_max,
            sources: Sources::new(sources_max),
            blocks: BTreeMap::new(),
            held: 0,
            events: VecDeque::new(),
        }
    }

    /// Reads a header: the last source packet of the block, or what cannot be.
    fn last(&self, header: &RepairHeader) -> Result<u32, Malformed> {
        let count = u32::from(header.count);
        if header.parameter != 0 || !(1..=self.sources_max).contains(&count) {
            return Err(Malformed::InvalidField);
        }
        let last = header.first.checked_add(count - 1).filter(|&last| self.sources.reaches(last));
        last.ok_or(Malformed::OutOfRange)
    }

    /// Looks again at the blocks of source packets that are known now, until nothing moves.
    fn advance(&mut self, mut learned: Vec<u32>) {
        while let Some(esi) = learned.pop() {
            let near = self.blocks.range(esi.saturating_sub(self.sources_max - 1)..=esi);
            let touched: Vec<u32> =
                near.filter(|(_, block)| esi <= block.last).map(|(&first, _)| first).collect();
            for first in touched {
                learned.extend(self.try_recover(first));
            }
        }
    }

    /// Recovers what is missing of the block at `first` if that is possible, and says what it was.
    fn try_recover(&mut self, first: u32) -> Vec<u32> {
        let Some(block) = self.blocks.get(&first) else { return Vec::new() };
        let esis = first..=block.last;
        let missing: Vec<u32> = esis.filter(|&esi| !self.sources.has(esi)).collect();
        if block.repairs.len() < missing.len() {
            return Vec::new();
        }
        let Some(symbols) = self.solve(first, block, &missing) else { return Vec::new() };
        for (&esi, symbol) in missing.iter().zip(symbols) {
            let wanted = self.sources.wants(esi);
            self.sources.insert(esi, &symbol);
            if wanted {
                self.events.push_back(DecodeEvent::Recovered { esi, symbol });
            }
        }
        // What more than these there is was needed too where decoding failed before it came, but the
        // crate does not tell.
        let held = self.remove(first);
        let used = missing.len().min(held);
        self.settle(used, RepairFate::Used);
        self.settle(held - used, RepairFate::Unneeded);
        missing
    }

    /// The missing source packets of a block; none where the packets do not do, or where those that are
    /// there are no longer kept.
    fn solve(&self, first: u32, block: &Block<S>, missing: &[u32]) -> Option<Vec<S>> {
        if missing.is_empty() {
            return Some(Vec::new());
        }
        let known: Vec<(u32, Bytes)> = (first..=block.last)
            .filter_map(|esi| Some((esi - first, self.sources.get(esi)?.to_bytes())))
            .collect();
        let count = (block.last - first) as usize + 1;
        if known.len() + missing.len() < count {
            return None;
        }
        let of_repair = |(row, symbol): &(u16, S)| (count as u32 + u32::from(*row), symbol.to_bytes());
        let (esis, contents): (Vec<u32>, Vec<Bytes>) =
            known.into_iter().chain(block.repairs.iter().map(of_repair)).unzip();
        let length = symbol_length(&contents)?;
        let packets = esis.into_iter().zip(&contents).map(|(esi, bytes)| {
            let mut padded = bytes.to_vec();
            padded.resize(length, 0);
            EncodingPacket::new(PayloadId::new(0, esi), padded)
        });
        let mut decoder = SourceBlockDecoder::new(0, &information(count, length), (count * length) as u64);
        let decoded = Bytes::from(decoder.decode(packets)?);
        let of_esi = |&esi: &u32| {
            let start = (esi - first) as usize * length;
            S::from_bytes(decoded.slice(start..start + length))
        };
        Some(missing.iter().map(of_esi).collect())
    }

    /// Gives up the oldest blocks until what is held keeps to its bound.
    fn keep_bound(&mut self) {
        while self.held > HELD_MAX
            && let Some((&first, _)) = self.blocks.first_key_value()
        {
            self.give_up(first);
        }
    }

    fn give_up(&mut self, first: u32) {
        let unused = self.remove(first);
        self.settle(unused, RepairFate::Insufficient);
    }

    /// Forgets the block at `first`, and says how many repair packets it had.
    fn remove(&mut self, first: u32) -> usize {
        let repairs = self.blocks.remove(&first).map_or(0, |block| block.repairs.len());
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

    #[test]
    fn headers_that_lie_are_refused_with_a_reason() {
        let mut decoder = RaptorQDecoder::<()>::new(10);
        let header = RepairHeader { first: 0, count: 10, row: 0, parameter: 0 };
        assert_eq!(decoder.push_repair(Time::ZERO, &header, &()), Ok(()));
        for (header, reason) in [
            (RepairHeader { count: 0, ..header }, Malformed::InvalidField),
            (RepairHeader { count: 11, ..header }, Malformed::InvalidField),
            (RepairHeader { count: 9, ..header }, Malformed::InvalidField),
            (RepairHeader { parameter: 1, ..header }, Malformed::InvalidField),
            (RepairHeader { first: u32::MAX - 1, ..header }, Malformed::OutOfRange),
            (RepairHeader { first: 20_000, ..header }, Malformed::OutOfRange),
        ] {
            assert_eq!(decoder.push_repair(Time::ZERO, &header, &()), Err(reason), "{header:?}");
        }
    }

    #[test]
    fn beyond_the_bound_the_oldest_block_is_given_up() {
        let mut decoder = RaptorQDecoder::<()>::new(10);
        for first in 0..HELD_MAX as u32 + 3 {
            let header = RepairHeader { first, count: 10, row: 0, parameter: 0 };
            decoder.push_repair(Time::ZERO, &header, &()).unwrap();
        }
        assert_eq!((decoder.held, decoder.blocks.len()), (HELD_MAX, HELD_MAX));
        let given_up = std::iter::from_fn(|| decoder.poll_event());
        assert!(given_up.eq(vec![DecodeEvent::Settled(RepairFate::Insufficient); 3]));
    }
}
