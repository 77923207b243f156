//! RaptorQ: a fountain code, as many repair packets of a block as anybody asks for.
//!
//! Systematic, over GF(2) with some rows of GF(2^8), of RFC 6330; the arithmetic is that of the crate
//! `raptorq`. Any packets of a block will do, but a few more than the block has source packets may be
//! needed: K, K + 1 or K + 2 packets fail to decode in at most 1 of 10^2, 10^4, 10^6 cases (RFC 6330
//! §5.8). Blocks shorter than 10 packets are padded with zeros to 10 (§5.3.1, table 2).
//!
//! For blocks of up to some 64 packets it has nothing over [Reed–Solomon](super::reed_solomon), which
//! never needs the few more and takes about a fortieth of the time at 20 packets. What it has is that it
//! is rateless, so that a receiver that misses some is always answered with fresh ones, and that a large
//! frame is one block instead of several.
//!
//! | here | RFC 6330 and RFC 6681 |
//! | --- | --- |
//! | a block is named by its first source packet | a source block number |
//! | `row` is the ESI less the number of source packets | the ESI |
//! | a symbol is as long as the longest coded unit of the block | fixed for the stream |
//! | one sub-block, at most 1024 source packets a block | up to 56,403 packets |
//!
//! The twin without contents runs the same arithmetic on symbols of one byte, since what can be decoded
//! depends on the crate's matrices: sweeps with it are about as slow as with contents.

use std::collections::{BTreeMap, VecDeque};
use std::ops::RangeInclusive;

use ::raptorq::{
    EncodingPacket, ObjectTransmissionInformation, PayloadId, SourceBlockDecoder, SourceBlockEncoder,
};
use bytes::Bytes;

use super::block::UNIT_OVERHEAD;
use super::scheme::{InvalidScheme, within};
use super::sources::Sources;
use super::{
    DecodeEvent, Decoder, Encoder, Flush, Overhead, Protect, Repair, RepairHeader, SourceMeta, Symbol,
};
use crate::frame::FrameId;
use crate::record::{Malformed, RepairFate};
use crate::time::{Duration, Time};

/// The most source packets of a block: 1.2 MB, the largest frames of a screen. It bounds what one packet
/// can make the decoder do.
const SOURCES_MAX: u32 = 1_024;

/// The most source packets whose blocks the sender remembers to make fresh repair packets for: a second
/// of 40 Mbit/s.
const REMEMBERED_MAX: usize = 4_096;

/// The most repair packets that wait for others, over all blocks; beyond it the oldest block is given
/// up. As for [block codes](super::block).
const HELD_MAX: usize = 8_192;

/// The longest symbol, by the field of RFC 6330 §3.3.2; longer than any datagram of a path.
const SYMBOL_MAX: usize = u16::MAX as usize;

/// The parameters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RaptorQ {
    cut: Cut,
}

/// How blocks are cut.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Cut {
    Packets { source: u16, repair: u16, flush: Option<Duration> },
    Frames { percent: u16, minimum: u8 },
}

impl RaptorQ {
    /// `repair` (1 to 1024) repair packets for each `source` (1 to 1024) source packets. A block is
    /// closed early when its first packet has waited for `flush`, with repair packets in proportion,
    /// rounded up; it waits for ever without it.
    ///
    /// # Errors
    ///
    /// Where a parameter is out of its range.
    pub fn per_packets(source: u32, repair: u32, flush: Option<Duration>) -> Result<Self, InvalidScheme> {
        let source = within("source", source, 1..=SOURCES_MAX)? as u16;
        let repair = within("repair", repair, 1..=SOURCES_MAX)? as u16;
        Ok(Self { cut: Cut::Packets { source, repair, flush } })
    }

    /// `percent` (0 to 400) repair packets for each hundred source packets of a frame, rounded up, and
    /// at least `minimum` (0 to 100); not both 0. Frames of more than 1024 packets have several blocks.
    ///
    /// # Errors
    ///
    /// Where a parameter is out of its range.
    pub fn per_frame(percent: u32, minimum: u32) -> Result<Self, InvalidScheme> {
        within("percent plus minimum", percent.saturating_add(minimum), 1..=u32::MAX)?;
        let percent = within("percent", percent, 0..=400)? as u16;
        let minimum = within("minimum", minimum, 0..=100)? as u8;
        Ok(Self { cut: Cut::Frames { percent, minimum } })
    }

    pub(super) fn encoder<S: Symbol>(self) -> RaptorQEncoder<S> {
        RaptorQEncoder {
            cut: self.cut,
            first: 0,
            frame: FrameId::default(),
            open: Vec::new(),
            deadline: None,
            remembered: VecDeque::new(),
            ready: VecDeque::new(),
        }
    }

    pub(super) fn decoder<S: Symbol>(self) -> RaptorQDecoder<S> {
        let sources_max = self.cut.sources_max();
        RaptorQDecoder {
            sources_max,
            sources: Sources::new(sources_max),
            blocks: BTreeMap::new(),
            held: 0,
            events: VecDeque::new(),
        }
    }
}

impl std::fmt::Display for RaptorQ {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.cut {
            Cut::Packets { source, repair, .. } => write!(f, "raptorq {source}+{repair}"),
            Cut::Frames { percent, minimum } => {
                write!(f, "raptorq {percent} % of a frame, at least {minimum}")
            }
        }
    }
}

impl Cut {
    /// The most source packets of a block.
    fn sources_max(self) -> u32 {
        match self {
            Self::Packets { source, .. } => u32::from(source),
            Self::Frames { .. } => SOURCES_MAX,
        }
    }

    /// The repair packets of a block of `sources` source packets.
    fn repair_for(self, sources: usize) -> usize {
        match self {
            Self::Packets { source, repair, .. } => {
                (sources * usize::from(repair)).div_ceil(usize::from(source))
            }
            Self::Frames { percent, minimum } => {
                (sources * usize::from(percent)).div_ceil(100).max(usize::from(minimum))
            }
        }
    }
}

/// The sender's half.
#[derive(Debug)]
pub(super) struct RaptorQEncoder<S> {
    cut: Cut,
    /// The ESI of the first packet of the open block.
    first: u32,
    /// The frame that the open block began in.
    frame: FrameId,
    /// The packets of the open block.
    open: Vec<S>,
    /// When the open block is closed at the latest.
    deadline: Option<Time>,
    /// Blocks that were closed, the oldest first.
    remembered: VecDeque<Closed<S>>,
    ready: VecDeque<Repair<S>>,
}

/// A block that fresh repair packets can be made for.
#[derive(Debug)]
struct Closed<S> {
    first: u32,
    sources: Vec<S>,
    /// The row of the next repair packet.
    next: u16,
}

impl<S: Symbol> RaptorQEncoder<S> {
    fn close(&mut self) {
        self.deadline = None;
        if self.open.is_empty() {
            return;
        }
        let sources = std::mem::take(&mut self.open);
        let repair = self.cut.repair_for(sources.len()) as u16;
        let mut closed = Closed { first: self.first, sources, next: 0 };
        self.ready.extend(closed.make(repair));
        self.remembered.push_back(closed);
        let mut total: usize = self.remembered.iter().map(|block| block.sources.len()).sum();
        while total > REMEMBERED_MAX
            && let Some(oldest) = self.remembered.pop_front()
        {
            total -= oldest.sources.len();
        }
    }
}

impl<S: Symbol> Closed<S> {
    /// The next `count` repair packets, fewer where the rows are used up; none where the symbols are
    /// longer than any datagram.
    fn make(&mut self, count: u16) -> Vec<Repair<S>> {
        let contents: Vec<Bytes> = self.sources.iter().map(Symbol::to_bytes).collect();
        let Some(length) = symbol_length(&contents) else { return Vec::new() };
        let count = count.min(u16::MAX - self.next);
        let mut data = Vec::with_capacity(contents.len() * length);
        for (index, bytes) in contents.iter().enumerate() {
            data.extend_from_slice(bytes);
            data.resize((index + 1) * length, 0);
        }
        let encoder = SourceBlockEncoder::new(0, &information(contents.len(), length), &data);
        let packets = encoder.repair_packets(u32::from(self.next), u32::from(count));
        let header = RepairHeader {
            first: self.first,
            count: self.sources.len() as u16,
            row: self.next,
            parameter: 0,
        };
        self.next += count;
        let repairs = packets.into_iter().zip(header.row..).map(|(packet, row)| Repair {
            header: RepairHeader { row, ..header },
            symbol: S::from_bytes(packet.split().1.into()),
        });
        repairs.collect()
    }
}

impl<S: Symbol> Encoder<S> for RaptorQEncoder<S> {
    fn overhead(&self) -> Overhead {
        UNIT_OVERHEAD
    }

    fn push_source(&mut self, now: Time, meta: &SourceMeta, symbol: &S) -> Protect<S> {
        let by_frame = matches!(self.cut, Cut::Frames { .. });
        // A frame that was given up half way has no last packet.
        if by_frame && meta.frame != self.frame {
            self.close();
        }
        if self.open.is_empty() {
            (self.first, self.frame) = (meta.esi, meta.frame);
            if let Cut::Packets { flush, .. } = self.cut {
                self.deadline = flush.map(|flush| now + flush);
            }
        }
        self.open.push(symbol.clone());
        if self.open.len() == self.cut.sources_max() as usize || by_frame && meta.frame_end {
            self.close();
        }
        Protect::Send(Vec::new())
    }

    fn poll_repair(&mut self, _now: Time) -> Option<Repair<S>> {
        self.ready.pop_front()
    }

    fn flush(&mut self, _now: Time, why: Flush) {
        if why == Flush::Shutdown || matches!(self.cut, Cut::Frames { .. }) {
            self.close();
        }
    }

    fn poll_timeout(&self) -> Option<Time> {
        self.deadline
    }

    fn handle_timeout(&mut self, now: Time) {
        if self.deadline.is_some_and(|deadline| deadline <= now) {
            self.close();
        }
    }

    /// The next rows of the block: the code is rateless.
    fn request_repair(&mut self, _now: Time, range: RangeInclusive<u32>, count: u16) -> Vec<Repair<S>> {
        let is_meant = |block: &&mut Closed<S>| block.first == *range.start() && block.last() == *range.end();
        let block = self.remembered.iter_mut().find(is_meant);
        // No more can be missing than there are source packets.
        block.map_or_else(Vec::new, |block| block.make(count.min(block.sources.len() as u16)))
    }

    fn handle_ack(&mut self, esi: u32) {
        while self.remembered.front().is_some_and(|block| block.last() <= esi) {
            self.remembered.pop_front();
        }
    }
}

impl<S> Closed<S> {
    fn last(&self) -> u32 {
        self.first + (self.sources.len() as u32 - 1)
    }
}

/// The receiver's half.
#[derive(Debug)]
pub(super) struct RaptorQDecoder<S> {
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

/// How long the symbols of a block are: as its longest, and not empty. None where the crate cannot
/// compute with it.
fn symbol_length(contents: &[Bytes]) -> Option<usize> {
    let longest = contents.iter().map(Bytes::len).max()?.max(1);
    (longest <= SYMBOL_MAX).then_some(longest)
}

/// What the crate must know of a block: one source block of one sub-block.
fn information(sources: usize, length: usize) -> ObjectTransmissionInformation {
    ObjectTransmissionInformation::new((sources * length) as u64, length as u16, 1, 1, 1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fec::conformance::{Wire, decode, encode, meta};
    use crate::rng::{Seed, below};

    fn code(source: u32, repair: u32) -> RaptorQ {
        RaptorQ::per_packets(source, repair, None).unwrap()
    }

    fn push(encoder: &mut RaptorQEncoder<()>, esis: std::ops::Range<u32>) {
        for esi in esis {
            encoder.push_source(Time::from_millis(u64::from(esi)), &meta(esi), &());
        }
    }

    /// First, count and row of the repair packets that are ready.
    fn ready(encoder: &mut RaptorQEncoder<()>) -> Vec<(u32, u16, u16)> {
        let all = std::iter::from_fn(|| encoder.poll_repair(Time::ZERO));
        all.map(|Repair { header: h, .. }| (h.first, h.count, h.row)).collect()
    }

    /// How many of `trials` blocks of `source` packets fail to decode from `extra` more packets than
    /// that, any of them of 60 more repair packets than the block has source packets.
    fn failures(source: u32, extra: u32, trials: u64) -> usize {
        let wire = encode::<()>(&mut code(source, source + 60).encoder(), source, |_| ());
        let fails = |trial: &u64| {
            let mut draws = Seed(*trial).stream("raptorq").at(0);
            let mut places: Vec<usize> = (0..wire.len()).collect();
            let take = |_| places.swap_remove(below(&mut draws, places.len() as u64) as usize);
            let heard: Vec<usize> = (0..source + extra).map(take).collect();
            let (known, _) =
                decode(&mut code(source, source + 60).decoder(), heard.iter().map(|&i| &wire[i]));
            known.len() < source as usize
        };
        (0..trials).filter(fails).count()
    }

    #[test]
    fn decoding_fails_as_rarely_as_the_rfc_promises() {
        for source in [10, 26] {
            // At most 1 in 100: 30 of 3000, and four standard deviations of 5.4 more than that.
            assert!(failures(source, 0, 3_000) <= 52, "{source}");
            // At most 1 in 10,000: 0.3 of 3000, so that 4 or more have a probability below 3e-4.
            assert!(failures(source, 1, 3_000) <= 3, "{source}");
            // At most 1 in 1,000,000: one of 3000 has a probability of 3e-3.
            assert_eq!(failures(source, 2, 3_000), 0, "{source}");
        }
    }

    #[test]
    fn a_request_is_answered_with_rows_that_were_not_sent() {
        let mut encoder = code(10, 2).encoder::<()>();
        push(&mut encoder, 0..25);
        assert_eq!(ready(&mut encoder), [(0, 10, 0), (0, 10, 1), (10, 10, 0), (10, 10, 1)]);
        let mut rows = |range, count| -> Vec<u16> {
            let fresh = encoder.request_repair(Time::ZERO, range, count);
            fresh.iter().map(|repair| repair.header.row).collect()
        };
        assert_eq!(rows(10..=19, 2), [2, 3]);
        assert_eq!(rows(10..=19, u16::MAX), (4..14).collect::<Vec<_>>(), "more cannot be missing");
        assert!(rows(20..=24, 1).is_empty(), "the block is still open");
        assert!(rows(9..=19, 1).is_empty(), "there is no such block");
        encoder.handle_ack(19);
        assert!(encoder.request_repair(Time::ZERO, 10..=19, 1).is_empty(), "it was acknowledged");
    }

    #[test]
    fn fresh_rows_repair_what_the_first_ones_could_not() {
        let (mut encoder, mut decoder) = (code(10, 2).encoder::<()>(), code(10, 2).decoder::<()>());
        push(&mut encoder, 0..10);
        for esi in 0..5 {
            decoder.push_source(Time::ZERO, esi, &());
        }
        let mut fresh: Vec<_> = std::iter::from_fn(|| encoder.poll_repair(Time::ZERO)).collect();
        let mut recovered = 0;
        for _ in 0..3 {
            for Repair { header, symbol } in fresh.drain(..) {
                decoder.push_repair(Time::ZERO, &header, &symbol).unwrap();
            }
            let events = std::iter::from_fn(|| decoder.poll_event());
            recovered += events.filter(|event| matches!(event, DecodeEvent::Recovered { .. })).count();
            for (range, missing) in decoder.deficit() {
                fresh.extend(encoder.request_repair(Time::ZERO, range, missing));
            }
        }
        assert_eq!(recovered, 5);
        assert_eq!(decoder.deficit(), []);
    }

    #[test]
    fn the_timer_closes_a_block_with_repair_packets_in_proportion() {
        let flush = Some(Duration::from_millis(8));
        let mut encoder = RaptorQ::per_packets(10, 3, flush).unwrap().encoder::<()>();
        push(&mut encoder, 0..4);
        assert_eq!(encoder.poll_timeout(), flush.map(|flush| Time::ZERO + flush));
        encoder.handle_timeout(Time::from_millis(8));
        assert_eq!(ready(&mut encoder), [(0, 4, 0), (0, 4, 1)]);
        assert_eq!(encoder.poll_timeout(), None);
    }

    #[test]
    fn a_frame_is_one_block_and_has_its_percentage_or_the_minimum() {
        // By `meta`, frames of 1, 2, 3, … packets.
        let mut encoder = RaptorQ::per_frame(50, 1).unwrap().encoder::<()>();
        push(&mut encoder, 0..6);
        assert_eq!(ready(&mut encoder), [(0, 1, 0), (1, 2, 0), (3, 3, 0), (3, 3, 1)]);
        push(&mut encoder, 6..8);
        encoder.flush(Time::ZERO, Flush::FrameEnd);
        assert_eq!(ready(&mut encoder), [(6, 2, 0)], "a frame that was given up");
    }

    #[test]
    fn what_is_remembered_keeps_to_its_bound() {
        let mut encoder = code(100, 1).encoder::<()>();
        push(&mut encoder, 0..20_000);
        let kept: usize = encoder.remembered.iter().map(|block| block.sources.len()).sum();
        assert!((REMEMBERED_MAX - 100..=REMEMBERED_MAX).contains(&kept));
        assert_eq!(encoder.remembered.back().map(Closed::last), Some(19_999));
    }

    #[test]
    fn symbols_of_different_lengths_come_back_with_zeros_behind_them() {
        let symbol = |esi: u32| Bytes::from(vec![esi as u8 + 1; 40 * (esi as usize + 1)]);
        let wire = encode(&mut code(4, 4).encoder(), 4, symbol);
        let repairs = wire.iter().filter(|packet| matches!(packet, Wire::Repair(_)));
        let (known, _) = decode(&mut code(4, 4).decoder(), repairs.chain(&wire[..1]));
        for esi in 0..4 {
            let (contents, zeros) = known[&esi].split_at(symbol(esi).len());
            assert_eq!(contents, symbol(esi));
            assert!(zeros.iter().all(|&byte| byte == 0));
        }
    }

    #[test]
    fn headers_that_lie_are_refused_with_a_reason() {
        let mut decoder = code(10, 2).decoder::<()>();
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
        let mut decoder = code(10, 2).decoder::<()>();
        for first in 0..HELD_MAX as u32 + 3 {
            let header = RepairHeader { first, count: 10, row: 0, parameter: 0 };
            decoder.push_repair(Time::ZERO, &header, &()).unwrap();
        }
        assert_eq!((decoder.held, decoder.blocks.len()), (HELD_MAX, HELD_MAX));
        let given_up = std::iter::from_fn(|| decoder.poll_event());
        assert!(given_up.eq(vec![DecodeEvent::Settled(RepairFate::Insufficient); 3]));
    }

    #[test]
    fn a_parameter_out_of_its_range_is_refused() {
        assert!(RaptorQ::per_packets(0, 1, None).is_err() && RaptorQ::per_packets(1, 0, None).is_err());
        assert!(RaptorQ::per_packets(1025, 1, None).is_err() && RaptorQ::per_packets(1, 1025, None).is_err());
        assert!(RaptorQ::per_frame(0, 0).is_err() && RaptorQ::per_frame(401, 0).is_err());
        assert!(RaptorQ::per_frame(0, 101).is_err());
    }
}
