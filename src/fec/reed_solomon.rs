//! Reed–Solomon: any k packets of a block of k + r are enough (an MDS code).
//!
//! Systematic, over GF(2^8), with a Cauchy matrix (Blömer, Kalfane, Karp, Karpinski, Luby, Zuckerman:
//! "An XOR-based erasure-resilient coding scheme", ICSI TR-95-048) whose columns are scaled so that its
//! first row is all ones: one repair packet is plain parity. At independent loss e the residual loss
//! is e·P(Bin(k + r − 1, e) ≥ r).
//!
//! Blocks are cut in one of two ways: every N packets, with a timer for slow flows (UDPspeeder, kcp-go),
//! or by frame, with a share of repair packets and a minimum (Sunshine).
//!
//! | here | elsewhere |
//! | --- | --- |
//! | Cauchy | RFC 6865 and the programs named use Vandermonde matrices made systematic |
//! | a partial block has repair packets in proportion, rounded up | kcp-go sends none for it |
//! | a frame too large for a block is split evenly, into any number of blocks | Sunshine: at most 4, then none |
//! | a frame's repair packets follow its last packet | Sunshine sends each block's behind it |

use std::collections::VecDeque;

use super::block::{BLOCK_MAX, BlockDecoder, BlockEncoder, Coefficients, Shape, UNIT_OVERHEAD, protect};
use super::scheme::{InvalidScheme, within};
use super::{Encoder, Flush, Overhead, Protect, Repair, SourceMeta, Symbol};
use crate::frame::FrameId;
use crate::time::{Duration, Time};

/// The most packets of a frame that are protected together, 1.2 MB; what follows counts as a frame of
/// its own, so that a frame without an end does not fill the memory.
const FRAME_MAX: usize = 1_024;

/// Blocks of a number of packets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PerPackets {
    source: u8,
    repair: u8,
    flush: Option<Duration>,
}

impl PerPackets {
    /// `repair` repair packets for each `source` source packets, both at least 1 and together at most
    /// 255. A block is closed early when its first packet has waited for `flush`, with repair packets
    /// in proportion; it waits for ever without it.
    ///
    /// # Errors
    ///
    /// Where a parameter is out of its range.
    pub fn new(source: u32, repair: u32, flush: Option<Duration>) -> Result<Self, InvalidScheme> {
        let most = BLOCK_MAX as u32;
        let (source, repair) =
            (within("source", source, 1..=most - 1)?, within("repair", repair, 1..=most - 1)?);
        within("source plus repair", source + repair, 2..=most)?;
        Ok(Self { source: source as u8, repair: repair as u8, flush })
    }

    /// Source packets of a full block.
    pub const fn source(self) -> u8 {
        self.source
    }

    /// Repair packets of a full block.
    pub const fn repair(self) -> u8 {
        self.repair
    }

    /// How long the first packet of a block waits for the last.
    pub const fn flush(self) -> Option<Duration> {
        self.flush
    }

    pub(super) fn encoder<S: Symbol>(self) -> BlockEncoder<S> {
        BlockEncoder::new(Shape {
            columns: 1,
            rows: usize::from(self.source),
            repair: usize::from(self.repair),
            coefficients: Coefficients::Cauchy,
            flush: self.flush,
        })
    }

    pub(super) fn decoder<S: Symbol>(self) -> BlockDecoder<S> {
        BlockDecoder::new(Coefficients::Cauchy, 1, usize::from(self.source), usize::from(self.repair))
    }
}

/// Blocks by frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PerFrame {
    percent: u8,
    minimum: u8,
}

impl PerFrame {
    /// `percent` (0 to 255) repair packets for each hundred source packets of a frame, rounded up, and
    /// at least `minimum` (0 to 127) for each block; not both 0. A frame is split into as few blocks
    /// of equal size as possible.
    ///
    /// # Errors
    ///
    /// Where a parameter is out of its range.
    pub fn new(percent: u32, minimum: u32) -> Result<Self, InvalidScheme> {
        let scheme = Self {
            percent: within("percent", percent, 0..=255)? as u8,
            minimum: within("minimum", minimum, 0..=BLOCK_MAX as u32 / 2)? as u8,
        };
        within("percent plus minimum", percent + minimum, 1..=u32::MAX)?;
        Ok(scheme)
    }

    /// Repair packets for each hundred source packets.
    pub const fn percent(self) -> u8 {
        self.percent
    }

    /// The fewest repair packets of a block.
    pub const fn minimum(self) -> u8 {
        self.minimum
    }

    pub(super) fn encoder<S: Symbol>(self) -> PerFrameEncoder<S> {
        let sources_max = self.sources_max();
        PerFrameEncoder {
            scheme: self,
            sources_max,
            first: 0,
            frame: FrameId::default(),
            open: Vec::new(),
            ready: VecDeque::new(),
        }
    }

    pub(super) fn decoder<S: Symbol>(self) -> BlockDecoder<S> {
        let sources_max = self.sources_max();
        BlockDecoder::new(Coefficients::Cauchy, 1, sources_max, self.repair_for(sources_max))
    }

    fn repair_for(self, sources: usize) -> usize {
        (sources * usize::from(self.percent)).div_ceil(100).max(usize::from(self.minimum))
    }

    /// The most source packets of a block.
    fn sources_max(self) -> usize {
        let fits = |&sources: &usize| sources + self.repair_for(sources) <= BLOCK_MAX;
        (1..BLOCK_MAX).rev().find(fits).unwrap_or(1)
    }
}

/// The sender's half for blocks by frame.
#[derive(Debug)]
pub(super) struct PerFrameEncoder<S> {
    scheme: PerFrame,
    /// The most source packets of a block.
    sources_max: usize,
    /// The ESI of the first packet of the open frame.
    first: u32,
    /// The open frame.
    frame: FrameId,
    /// Its packets.
    open: Vec<S>,
    ready: VecDeque<Repair<S>>,
}

impl<S: Symbol> PerFrameEncoder<S> {
    /// Splits the open frame into blocks whose sizes differ by one packet at most.
    fn close(&mut self) {
        let sources: Vec<&S> = self.open.iter().collect();
        let blocks = sources.len().div_ceil(self.sources_max);
        let mut from = 0;
        for block in 0..blocks {
            let to = sources.len() * (block + 1) / blocks;
            let (first, repair) = (self.first + from as u32, self.scheme.repair_for(to - from));
            protect(&sources[from..to], first, 1, repair, Coefficients::Cauchy, &mut self.ready);
            from = to;
        }
        self.open.clear();
    }
}

impl<S: Symbol> Encoder<S> for PerFrameEncoder<S> {
    fn overhead(&self) -> Overhead {
        UNIT_OVERHEAD
    }

    fn push_source(&mut self, _now: Time, meta: &SourceMeta, symbol: &S) -> Protect<S> {
        // A frame that was given up half way has no last packet.
        if meta.frame != self.frame {
            self.close();
        }
        if self.open.is_empty() {
            (self.first, self.frame) = (meta.esi, meta.frame);
        }
        self.open.push(symbol.clone());
        if meta.frame_end || self.open.len() == FRAME_MAX {
            self.close();
        }
        Protect::Send(Vec::new())
    }

    fn poll_repair(&mut self, _now: Time) -> Option<Repair<S>> {
        self.ready.pop_front()
    }

    fn flush(&mut self, _now: Time, _why: Flush) {
        self.close();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::frame::Priority;

    /// Sends a frame of `packets` packets, its last one left out if it is given up, and says first,
    /// count and number of repair packets of the blocks that this closes.
    fn send(
        encoder: &mut PerFrameEncoder<()>,
        esis: std::ops::Range<u32>,
        frame: u32,
        whole: bool,
    ) -> Vec<(u32, u16, u8)> {
        let end = esis.end - 1;
        for esi in esis {
            let meta = SourceMeta {
                esi,
                frame: FrameId(frame),
                frame_end: whole && esi == end,
                priority: Priority::Delta,
                deadline: Time::NEVER,
                size: 1200,
            };
            encoder.push_source(Time::ZERO, &meta, &());
        }
        let all = std::iter::from_fn(|| encoder.poll_repair(Time::ZERO));
        let firsts = all.filter(|repair| repair.header.row == 0).map(|repair| repair.header);
        firsts.map(|header| (header.first, header.count, header.parameter)).collect()
    }

    fn encoder(percent: u32, minimum: u32) -> PerFrameEncoder<()> {
        PerFrame::new(percent, minimum).unwrap().encoder()
    }

    #[test]
    fn a_frame_has_its_percentage_rounded_up_or_the_minimum() {
        let mut encoder = encoder(20, 2);
        assert_eq!(send(&mut encoder, 0..1, 0, true), [(0, 1, 2)]);
        assert_eq!(send(&mut encoder, 1..12, 1, true), [(1, 11, 3)]);
    }

    #[test]
    fn a_frame_too_large_for_a_block_is_split_evenly() {
        // At 20 % a block holds 212 packets and 43 repair packets, so 430 packets need three.
        let mut encoder = encoder(20, 0);
        let blocks = [(0, 143, 29), (143, 143, 29), (286, 144, 29)];
        assert_eq!(send(&mut encoder, 0..430, 0, true), blocks);
        assert_eq!(send(&mut encoder, 430..642, 1, true), [(430, 212, 43)]);
    }

    #[test]
    fn a_frame_without_an_end_is_closed_by_the_next_one() {
        let mut encoder = encoder(50, 0);
        assert_eq!(send(&mut encoder, 0..3, 0, false), []);
        assert_eq!(send(&mut encoder, 3..5, 1, true), [(0, 3, 2), (3, 2, 1)]);
        assert_eq!(send(&mut encoder, 5..6, 2, false), []);
        encoder.flush(Time::ZERO, Flush::FrameEnd);
        assert_eq!(encoder.poll_repair(Time::ZERO).map(|repair| repair.header.first), Some(5));
    }

    #[test]
    fn a_frame_without_any_end_does_not_fill_the_memory() {
        let mut encoder = encoder(10, 0);
        send(&mut encoder, 0..100_000, 0, false);
        assert!(encoder.open.len() < FRAME_MAX);
    }

    #[test]
    fn a_block_never_has_more_than_255_packets() {
        for (percent, minimum) in [(0, 1), (20, 2), (100, 0), (255, 0), (255, 127), (0, 127)] {
            let scheme = PerFrame::new(percent, minimum).unwrap();
            let most = scheme.sources_max();
            assert!(most + scheme.repair_for(most) <= BLOCK_MAX, "{percent} %, {minimum}");
            assert!(most + 1 + scheme.repair_for(most + 1) > BLOCK_MAX, "{percent} %, {minimum}");
        }
    }

    #[test]
    fn a_parameter_out_of_its_range_is_refused() {
        assert!(PerPackets::new(0, 1, None).is_err() && PerPackets::new(1, 0, None).is_err());
        assert!(PerPackets::new(250, 6, None).is_err() && PerPackets::new(250, 5, None).is_ok());
        assert!(PerFrame::new(0, 0).is_err() && PerFrame::new(20, 128).is_err());
    }
}
