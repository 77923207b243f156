//! Reed–Solomon: any k packets of a block of k + r are enough (an MDS code).
//!
//! Systematic, over GF(2^8), with a Cauchy matrix (Blömer, Kalfane, Karp, Karpinski, Luby, Zuckerman:
//! "An XOR-based erasure-resilient coding scheme", ICSI TR-95-048) whose columns are scaled so that its
//! first row is all ones: one repair packet is plain parity. At independent loss e the residual loss
//! is e·P(Bin(k + r − 1, e) ≥ r).
//!
//! Blocks are cut in one of two ways: every N packets, with a timer for slow flows (UDPspeeder, kcp-go),
//! or by frame, with a share of repair packets and a minimum (Sunshine). Blocks of packets can take
//! turns (interleaving): d of them divide a burst by about d and leave independent loss as it is, for d
//! times the wait. Receivers can ask for further rows of a block's matrix (hybrid ARQ, type II).
//!
//! | here | elsewhere |
//! | --- | --- |
//! | Cauchy | RFC 6865 and the programs named use Vandermonde matrices made systematic |
//! | a partial block has repair packets in proportion, rounded up, unless [`Partial`] says otherwise | kcp-go sends none for it |
//! | a frame too large for a block is split evenly, into any number of blocks unless limited | Sunshine: at most 4, or the frame is not protected |
//! | a frame's repair packets follow its last packet | Sunshine sends each block's behind it |

use std::collections::VecDeque;
use std::ops::RangeInclusive;

use super::block::{
    BLOCK_MAX, BlockDecoder, BlockEncoder, Coefficients, History, MATRIX_MAX, Shape, UNIT_OVERHEAD,
};
use super::scheme::{InvalidScheme, within};
use super::{Encoder, Flush, Overhead, Protect, Repair, SourceMeta, Symbol};
use crate::frame::FrameId;
use crate::time::{Duration, Time};

pub use super::block::Partial;

/// The most packets of a frame that are protected together, 1.2 MB; what follows counts as a frame of
/// its own, so that a frame without an end does not fill the memory. More than a frame of
/// [`BLOCKS_MAX`] blocks has, so that where blocks are limited, what is cut here is not protected.
pub(super) const FRAME_MAX: usize = 1_024;
/// The highest limit on the blocks of a frame.
const BLOCKS_MAX: u32 = 4;

/// Blocks of a number of packets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PerPackets {
    source: u8,
    repair: u8,
    flush: Option<Duration>,
    interleave: u8,
    partial: Partial,
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
        let (source, repair, partial) = (source as u8, repair as u8, Partial::Proportional);
        Ok(Self { source, repair, flush, interleave: 1, partial })
    }

    /// The same with `blocks` (1 to 255) blocks that take turns, so that a burst is divided among them;
    /// repairs are so much farther away. The timer is that of all of them together.
    ///
    /// # Errors
    ///
    /// Where `blocks` is out of its range, or the blocks have more than 4096 source packets together.
    pub fn interleaved(self, blocks: u32) -> Result<Self, InvalidScheme> {
        let blocks = within("interleave", blocks, 1..=255)?;
        within("interleave times source", blocks * u32::from(self.source), 1..=MATRIX_MAX)?;
        Ok(Self { interleave: blocks as u8, ..self })
    }

    /// The same with this rule for blocks that are closed early.
    #[must_use]
    pub const fn with_partial(self, partial: Partial) -> Self {
        Self { partial, ..self }
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

    /// How many blocks take turns; 1 without interleaving.
    pub const fn interleave(self) -> u8 {
        self.interleave
    }

    /// What becomes of blocks that are closed early.
    pub const fn partial(self) -> Partial {
        self.partial
    }

    pub(super) fn encoder<S: Symbol>(self) -> BlockEncoder<S> {
        BlockEncoder::new(Shape {
            columns: usize::from(self.interleave),
            rows: usize::from(self.source),
            repair: usize::from(self.repair),
            coefficients: Coefficients::Cauchy,
            flush: self.flush,
            partial: self.partial,
        })
    }

    /// Takes any number of repair packets, since that may change while the session runs.
    pub(super) fn decoder<S: Symbol>(self) -> BlockDecoder<S> {
        let [stride, sources] = [self.interleave, self.source].map(usize::from);
        BlockDecoder::new(Coefficients::Cauchy, stride, sources, BLOCK_MAX - sources)
    }
}

/// Blocks by frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PerFrame {
    percent: u8,
    minimum: u8,
    blocks: Option<u8>,
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
            blocks: None,
        };
        within("percent plus minimum", percent + minimum, 1..=u32::MAX)?;
        Ok(scheme)
    }

    /// The same where a frame that needs more than `blocks` (1 to 4) blocks has no repair packets at
    /// all, as it is with Sunshine.
    ///
    /// # Errors
    ///
    /// Where `blocks` is out of its range.
    pub fn at_most(self, blocks: u32) -> Result<Self, InvalidScheme> {
        Ok(Self { blocks: Some(within("blocks", blocks, 1..=BLOCKS_MAX)? as u8), ..self })
    }

    /// Repair packets for each hundred source packets.
    pub const fn percent(self) -> u8 {
        self.percent
    }

    /// The fewest repair packets of a block.
    pub const fn minimum(self) -> u8 {
        self.minimum
    }

    /// The most blocks of a frame; any number, where none.
    pub const fn blocks(self) -> Option<u8> {
        self.blocks
    }

    pub(super) fn encoder<S: Symbol>(self) -> PerFrameEncoder<S> {
        let sources_max = self.sources_max();
        PerFrameEncoder {
            scheme: self,
            sources_max,
            frame: FrameId::default(),
            is_cut: false,
            history: History::new(Coefficients::Cauchy, 1),
            ready: VecDeque::new(),
        }
    }

    /// Takes blocks of any protection, since that may change while the session runs.
    pub(super) fn decoder<S: Symbol>(self) -> BlockDecoder<S> {
        BlockDecoder::new(Coefficients::Cauchy, 1, BLOCK_MAX - 1, BLOCK_MAX - 1)
    }

    /// Source and repair packets of the blocks of a frame of so many packets (1 to [`FRAME_MAX`]), in
    /// order: those that the encoder makes.
    pub(super) fn cut(self, packets: usize) -> Vec<(usize, usize)> {
        let blocks = packets.div_ceil(self.sources_max());
        if self.blocks.is_some_and(|most| blocks > usize::from(most)) {
            return vec![(packets, 0)];
        }
        let end = |block: usize| packets * block / blocks;
        let sizes = (0..blocks).map(|block| end(block + 1) - end(block));
        sizes.map(|sources| (sources, self.repair_for(sources))).collect()
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
    /// The open frame.
    frame: FrameId,
    /// Whether its first packets were cut off.
    is_cut: bool,
    /// Its packets, and those that fresh repair packets may be asked for.
    history: History<S>,
    ready: VecDeque<Repair<S>>,
}

impl<S: Symbol> PerFrameEncoder<S> {
    /// Protects the open frame and those that follow with `percent` repair packets for each hundred
    /// source packets, and at least `minimum` (0 to 127) for each block; with none where both are 0. The
    /// receiver's half takes any such values.
    pub(super) fn set_protection(&mut self, percent: u8, minimum: u8) {
        debug_assert!(usize::from(minimum) <= BLOCK_MAX / 2, "a block needs room for source packets");
        self.scheme = PerFrame { percent, minimum, ..self.scheme };
        self.sources_max = self.scheme.sources_max();
    }

    /// Splits the open frame into blocks whose sizes differ by one packet at most.
    fn close(&mut self) {
        let sources = self.history.open_len();
        let blocks = sources.div_ceil(self.sources_max);
        let too_large = |most: u8| self.is_cut || blocks > usize::from(most);
        if !self.scheme.blocks.is_some_and(too_large) {
            let mut from = 0;
            for block in 0..blocks {
                let to = sources * (block + 1) / blocks;
                let repair = self.scheme.repair_for(to - from);
                self.history.close(from, to - from, repair, &mut self.ready);
                from = to;
            }
        }
        self.history.close_rest();
    }
}

impl<S: Symbol> Encoder<S> for PerFrameEncoder<S> {
    fn overhead(&self) -> Overhead {
        UNIT_OVERHEAD
    }

    fn protects(&self) -> bool {
        self.scheme.repair_for(1) > 0
    }

    fn push_source(&mut self, _now: Time, meta: &SourceMeta, symbol: &S) -> Protect<S> {
        // A frame that was given up half way has no last packet.
        if meta.frame != self.frame {
            self.close();
            (self.frame, self.is_cut) = (meta.frame, false);
        }
        self.history.push(meta.esi, symbol);
        let is_full = self.history.open_len() == FRAME_MAX;
        if meta.frame_end || is_full {
            self.close();
            self.is_cut = is_full && !meta.frame_end;
        }
        Protect::Send(Vec::new())
    }

    fn poll_repair(&mut self, _now: Time) -> Option<Repair<S>> {
        self.ready.pop_front()
    }

    fn flush(&mut self, _now: Time, _why: Flush) {
        self.close();
    }

    /// A step is ten repair packets for each hundred source packets.
    fn adjust_repair(&mut self, steps: i8) {
        let percent = (i16::from(self.scheme.percent) + 10 * i16::from(steps)).clamp(0, 255);
        self.set_protection(percent as u8, self.scheme.minimum);
    }

    fn request_repair(&mut self, _now: Time, range: RangeInclusive<u32>, count: u16) -> Vec<Repair<S>> {
        self.history.request(&range, count)
    }

    fn handle_ack(&mut self, esi: u32) {
        self.history.acknowledge(esi);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fec::conformance::{decode, encode};
    use crate::fec::{Decoder, RepairHeader};
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
    fn a_step_of_repair_is_a_tenth_of_the_frame() {
        let mut encoder = encoder(20, 0);
        encoder.adjust_repair(1);
        assert_eq!(send(&mut encoder, 0..10, 0, true), [(0, 10, 3)]);
        encoder.adjust_repair(i8::MIN);
        assert_eq!(send(&mut encoder, 10..20, 1, true), []);
        assert!(!encoder.protects());
        encoder.adjust_repair(i8::MAX);
        assert_eq!(send(&mut encoder, 20..30, 2, true), [(20, 10, 26)]);
    }

    #[test]
    fn a_frame_has_its_percentage_rounded_up_or_the_minimum() {
        let mut encoder = encoder(20, 2);
        assert_eq!(send(&mut encoder, 0..1, 0, true), [(0, 1, 2)]);
        assert_eq!(send(&mut encoder, 1..12, 1, true), [(1, 11, 3)]);
    }

    #[test]
    fn protection_may_change_from_frame_to_frame() {
        let mut encoder = encoder(20, 2);
        let mut decoder = PerFrame::new(20, 2).unwrap().decoder();
        let steps = [(100, 0, vec![(0, 10, 10)]), (0, 0, vec![]), (5, 1, vec![(20, 10, 1)])];
        for (frame, (percent, minimum, blocks)) in (0..).zip(steps) {
            encoder.set_protection(percent, minimum);
            assert_eq!(encoder.protects(), percent > 0);
            assert_eq!(send(&mut encoder, frame * 10..frame * 10 + 10, frame, true), blocks);
            for (first, count, parameter) in blocks {
                let header = RepairHeader { first, count, row: u16::from(parameter) - 1, parameter };
                assert_eq!(decoder.push_repair(Time::ZERO, &header, &()), Ok(()));
            }
        }
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
    fn a_frame_of_more_blocks_than_the_limit_is_not_protected() {
        // At 20 % a block holds 212 source packets, and four hold 848.
        let mut encoder = PerFrame::new(20, 2).unwrap().at_most(4).unwrap().encoder();
        assert_eq!(send(&mut encoder, 0..848, 0, true).len(), 4);
        assert_eq!(send(&mut encoder, 848..1_697, 1, true), []);
        assert_eq!(send(&mut encoder, 1_697..3_000, 2, true), [], "nor what is cut from a longer one");
        assert_eq!(send(&mut encoder, 3_000..3_010, 3, true), [(3_000, 10, 2)]);
    }

    #[test]
    fn a_frame_that_is_cut_is_always_above_the_limit() {
        let (percent, minimum, most) = (1, 0, BLOCKS_MAX as usize);
        assert!(PerFrame::new(percent, minimum).unwrap().sources_max() * most < FRAME_MAX);
        assert!((BLOCK_MAX - 1) * most < FRAME_MAX, "with any protection");
    }

    #[test]
    fn interleaved_blocks_divide_a_burst() {
        // Any burst as long as blocks take turns, over full matrices and one that is cut short.
        let code = PerPackets::new(10, 3, None).unwrap().interleaved(4).unwrap();
        let wire = encode::<()>(&mut code.encoder(), 107, |_| ());
        for start in 0..wire.len() {
            let arrived = wire.iter().enumerate().filter(|(i, _)| !(start..start + 4).contains(i));
            let (known, _) = decode(&mut code.decoder(), arrived.map(|(_, packet)| packet));
            assert_eq!(known.len(), 107, "a burst from {start} on");
        }
        let full = wire.iter().enumerate().filter(|(place, _)| !(20..32).contains(place));
        let (known, _) = decode(&mut code.decoder(), full.map(|(_, packet)| packet));
        assert_eq!(known.len(), 107, "a burst of twelve inside a matrix");
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
        assert!(encoder.history.open_len() < FRAME_MAX);
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
    fn interleaved_blocks_survive_bursts_of_their_number_times_their_repair_packets() {
        let block = PerPackets::new(4, 2, None).unwrap().interleaved(3).unwrap();
        let wire = encode::<()>(&mut block.encoder(), 36, |_| ());
        for start in 0..wire.len() {
            let heard = wire.iter().enumerate().filter(|(place, _)| !(start..start + 6).contains(place));
            let (known, _) = decode(&mut block.decoder(), heard.map(|(_, packet)| packet));
            assert_eq!(known.len(), 36, "a burst from {start} on");
        }
    }

    #[test]
    fn a_parameter_out_of_its_range_is_refused() {
        assert!(PerPackets::new(0, 1, None).is_err() && PerPackets::new(1, 0, None).is_err());
        assert!(PerPackets::new(250, 6, None).is_err() && PerPackets::new(250, 5, None).is_ok());
        assert!(PerFrame::new(0, 0).is_err() && PerFrame::new(20, 128).is_err());
        let (block, frame) = (PerPackets::new(64, 1, None).unwrap(), PerFrame::new(20, 2).unwrap());
        assert!(block.interleaved(0).is_err() && block.interleaved(64).is_ok());
        assert!(block.interleaved(65).is_err(), "more than 4096 source packets at once");
        assert!(frame.at_most(0).is_err() && frame.at_most(5).is_err() && frame.at_most(4).is_ok());
    }
}
