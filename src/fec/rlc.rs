//! Sliding-window random linear codes: each repair packet is a random combination of the last packets.
//!
//! There is no block to wait for the end of: a single loss is repaired by the next repair packet, after
//! (step + 1) / 2 source packets on average, and a burst as soon as as many repair packets over it have
//! come as it has packets. At equal overhead and deadline that leaves less loss than MDS blocks and
//! repairs it several times sooner. The combination is random: of L losses and L repair packets over all
//! of them, the matrix is singular with probability 1 − Π(1 − 256^−i), i from 1 to L, which is 3.9e-3
//! for all L but 1; one repair packet more leaves 1.5e-5. For L = 1 nothing is left to chance at full
//! density, and half of the repair packets say nothing at density 7, so that anything but 15 is for
//! long windows only.
//!
//! Sources: RFC 8681 (window, coefficients, density threshold), RFC 8682 (generator), RFC 8680
//! (framework). Repair symbols are equal to those of RFC 8681 to the byte for the same source symbols,
//! window, key and density. Roca, Teibi, Burdinat, Tran-Thai, Thienot: "Block or convolutional AL-FEC
//! codes? A performance comparison for robust low-latency communications" (2017) compares both kinds.
//!
//! | here | RFC 8681 |
//! | --- | --- |
//! | GF(2^8) | or GF(2) |
//! | the coded unit of [`unit`](super::unit) | ADUI with a flow identifier and without a check |
//! | a repair symbol is as long as the longest unit in its window | all symbols have one length |
//! | one packet has one symbol | or several |
//! | packets leave the window when their deadline passes or the receiver has them | as the application says (appendix C.2) |
//! | where nothing follows for 10 ms, the repair packet that is due next leaves early | not said |

use std::collections::VecDeque;
use std::ops::RangeInclusive;

use super::block::UNIT_OVERHEAD;
use super::scheme::{InvalidScheme, within};
use super::sliding::{RandomLinear, WindowDecoder, WindowEncoder};
use super::{Encoder, Flush, Overhead, Protect, Repair, SourceMeta, Symbol};
use crate::time::{Duration, Time};

/// The most source packets of a window: a second of 10 Mbit/s in packets of 1200 bytes. RFC 8681 has
/// room for 4095.
const WINDOW_MAX: u16 = 1_024;

/// The most repair packets for each source packet.
const REPAIR_MAX: u32 = 16;

/// How long a repair packet waits for the source packets that it is to follow: longer than the gaps
/// between the packets of a frame, shorter than the 16.7 ms from frame to frame at 60 Hz.
const PAUSE: Duration = Duration::from_millis(10);

/// The parameters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rlc {
    window: u16,
    source: u32,
    repair: u32,
    density: u8,
}

impl Rlc {
    /// `repair` repair packets for each `source` source packets (both 1 to 10,000, at most 16 for one, in
    /// lowest terms from then on), spread evenly, each over the last `window` (1 to 1024) source packets.
    /// Of sixteen coefficients `density` + 1 are not zero (0 to 15, the density threshold of RFC 8681).
    ///
    /// # Errors
    ///
    /// Where a parameter is out of its range.
    pub fn new(window: u32, source: u32, repair: u32, density: u32) -> Result<Self, InvalidScheme> {
        let window = within("window", window, 1..=u32::from(WINDOW_MAX))? as u16;
        let source = within("source", source, 1..=10_000)?;
        let repair = within("repair", repair, 1..=10_000)?;
        within("repair for each source", repair.div_ceil(source), 1..=REPAIR_MAX)?;
        let density = within("density", density, 0..=15)? as u8;
        let common = gcd(source, repair);
        Ok(Self { window, source: source / common, repair: repair / common, density })
    }

    /// One repair packet after every `step` (1 to 10,000) source packets, at full density; `window` as in
    /// [`Rlc::new`].
    ///
    /// # Errors
    ///
    /// Where a parameter is out of its range.
    pub fn step(window: u32, step: u32) -> Result<Self, InvalidScheme> {
        within("step", step, 1..=10_000)?;
        Self::new(window, step, 1, 15)
    }

    /// How many source packets a repair packet covers.
    pub const fn window(self) -> u16 {
        self.window
    }

    /// To how many source packets there are [`Rlc::repair`] repair packets.
    pub const fn source(self) -> u32 {
        self.source
    }

    /// How many repair packets there are to [`Rlc::source`] source packets.
    pub const fn repair(self) -> u32 {
        self.repair
    }

    /// The density threshold; at 15 no coefficient is zero.
    pub const fn density(self) -> u8 {
        self.density
    }

    /// The same with so many tenths of a repair packet more for each source packet, or fewer, down to
    /// none.
    const fn adjusted(self, steps: i8) -> Self {
        let (source, steps) = (self.source as i64, steps as i64);
        let most = REPAIR_MAX as i64 * 10 * source;
        let wanted = 10 * self.repair as i64 + steps * source;
        let tenths = if wanted < 0 {
            0
        } else if wanted > most {
            most
        } else {
            wanted
        };
        let common = gcd(10 * self.source, tenths as u32);
        Self { source: 10 * self.source / common, repair: tenths as u32 / common, ..self }
    }

    /// The most source packets that a repair packet covers: a request may reach back further than the
    /// window, as the linear system of the receiver does (twice is what RFC 8681 recommends for it).
    const fn reach(self) -> u16 {
        2 * self.window
    }

    pub(super) fn encoder<S: Symbol>(self) -> RlcEncoder<S> {
        RlcEncoder {
            rlc: self,
            sources: WindowEncoder::new(RandomLinear, usize::from(WINDOW_MAX)),
            deadlines: VecDeque::new(),
            credit: 0,
            covered: 0,
            pause_ends: None,
            ready: VecDeque::new(),
        }
    }

    pub(super) fn decoder<S: Symbol>(self) -> WindowDecoder<S, RandomLinear> {
        WindowDecoder::new(RandomLinear, self.reach())
    }
}

/// The sender's half.
#[derive(Debug)]
pub(super) struct RlcEncoder<S> {
    rlc: Rlc,
    /// More than a window of source packets, for requests.
    sources: WindowEncoder<S, RandomLinear>,
    /// The deadlines of the last packets in there.
    deadlines: VecDeque<Time>,
    /// A repair packet is due when this is [`Rlc::source`]; each source packet adds [`Rlc::repair`]. It
    /// is below 0 where a pause made one leave early.
    credit: i64,
    /// Below this every source packet was in a repair packet.
    covered: u32,
    /// When the pause is over, if a repair packet waits.
    pause_ends: Option<Time>,
    ready: VecDeque<Repair<S>>,
}

impl<S: Symbol> RlcEncoder<S> {
    /// Sends a repair packet over the window; nothing where the receiver has all of it.
    fn protect(&mut self) {
        self.credit -= i64::from(self.rlc.source);
        let held = self.sources.held();
        let count = held.len().min(usize::from(self.rlc.window)) as u16;
        let repair = self.sources.repair(held.end - u32::from(count), count, self.rlc.density);
        self.ready.extend(repair);
        self.covered = held.end;
    }

    /// Lets go what is worth nothing any more.
    fn forget(&mut self, now: Time) {
        while self.deadlines.front().is_some_and(|&deadline| deadline <= now) {
            self.deadlines.pop_front();
            self.sources.advance(self.sources.held().end - self.deadlines.len() as u32);
        }
    }

    /// Whether there are source packets that were in no repair packet yet.
    fn is_open(&self) -> bool {
        let held = self.sources.held();
        !held.is_empty() && self.covered < held.end
    }
}

impl<S: Symbol> Encoder<S> for RlcEncoder<S> {
    fn overhead(&self) -> Overhead {
        UNIT_OVERHEAD
    }

    fn protects(&self) -> bool {
        self.rlc.repair > 0
    }

    fn push_source(&mut self, now: Time, meta: &SourceMeta, symbol: &S) -> Protect<S> {
        self.forget(now);
        self.sources.push(meta.esi, symbol.clone());
        self.deadlines.push_back(meta.deadline);
        let beyond = self.deadlines.len().saturating_sub(self.sources.held().len());
        self.deadlines.drain(..beyond);
        self.credit += i64::from(self.rlc.repair);
        while self.credit >= i64::from(self.rlc.source) {
            self.protect();
        }
        self.pause_ends = (self.credit > 0 && self.is_open()).then(|| now + PAUSE);
        Protect::Send(Vec::new())
    }

    fn poll_repair(&mut self, _now: Time) -> Option<Repair<S>> {
        self.ready.pop_front()
    }

    /// The end of a frame changes nothing, the pause behind it does.
    fn flush(&mut self, now: Time, why: Flush) {
        if why == Flush::Shutdown {
            self.forget(now);
            if self.is_open() {
                self.protect();
            }
            self.pause_ends = None;
        }
    }

    fn poll_timeout(&self) -> Option<Time> {
        self.pause_ends
    }

    /// The repair packet is early and the one after it so much later: the overhead stays what it is.
    fn handle_timeout(&mut self, now: Time) {
        if self.pause_ends.is_some_and(|end| end <= now) {
            self.forget(now);
            if self.is_open() {
                self.protect();
            }
            self.pause_ends = None;
        }
    }

    fn adjust_repair(&mut self, steps: i8) {
        let adjusted = self.rlc.adjusted(steps);
        // What is due keeps its share.
        self.credit = self.credit * i64::from(adjusted.source) / i64::from(self.rlc.source);
        self.rlc = adjusted;
    }

    fn request_repair(&mut self, now: Time, range: RangeInclusive<u32>, count: u16) -> Vec<Repair<S>> {
        self.forget(now);
        self.sources.answer(range, count, self.rlc.reach(), |_| self.rlc.density)
    }

    fn handle_ack(&mut self, esi: u32) {
        self.sources.advance(esi.saturating_add(1));
    }
}

const fn gcd(a: u32, b: u32) -> u32 {
    if b == 0 { a } else { gcd(b, a % b) }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;
    use crate::fec::conformance::meta;
    use crate::fec::reed_solomon::PerPackets;
    use crate::fec::{DecodeEvent, Decoder, RepairHeader, Scheme};
    use crate::rng::Seed;
    use crate::units::Probability;

    fn at(ms: u64) -> Time {
        Time::from_millis(ms)
    }

    /// First, count and key of the repair packets that are ready.
    fn ready(encoder: &mut RlcEncoder<()>, now: Time) -> Vec<(u32, u16, u16)> {
        let all = std::iter::from_fn(|| encoder.poll_repair(now));
        all.map(|repair| (repair.header.first, repair.header.count, repair.header.row)).collect()
    }

    /// The repair packets behind each of the source packets in `esis`, a millisecond apart.
    fn push(encoder: &mut RlcEncoder<()>, esis: std::ops::Range<u32>) -> Vec<Vec<(u32, u16, u16)>> {
        esis.map(|esi| {
            let now = at(u64::from(esi));
            encoder.push_source(now, &meta(esi), &());
            ready(encoder, now)
        })
        .collect()
    }

    #[test]
    fn a_repair_packet_follows_every_step_over_the_last_packets() {
        let mut encoder = Rlc::step(5, 3).unwrap().encoder();
        let none = Vec::new;
        let expected = [none(), none(), vec![(0, 3, 0)], none(), none(), vec![(1, 5, 1)]];
        assert_eq!(push(&mut encoder, 0..6), expected);
    }

    #[test]
    fn a_code_rate_is_kept_to_exactly_and_evenly() {
        let mut encoder = Rlc::new(8, 7_000, 3_000, 15).unwrap().encoder();
        let counts: Vec<usize> = push(&mut encoder, 0..20).iter().map(Vec::len).collect();
        assert_eq!(counts[..10], [0, 0, 1, 0, 1, 0, 1, 0, 0, 1]);
        assert_eq!(counts.iter().sum::<usize>(), 8);
        let mut encoder = Rlc::new(8, 2, 5, 15).unwrap().encoder();
        let counts: Vec<usize> = push(&mut encoder, 0..4).iter().map(Vec::len).collect();
        assert_eq!(counts, [2, 3, 2, 3]);
    }

    #[test]
    fn a_step_of_repair_is_a_tenth_of_a_packet_for_each() {
        let ratio = |rlc: Rlc| (rlc.repair, rlc.source);
        let code = Rlc::step(8, 4).unwrap();
        assert_eq!(ratio(code.adjusted(1)), (7, 20));
        assert_eq!(ratio(code.adjusted(1).adjusted(-1)), (1, 4));
        assert_eq!(ratio(code.adjusted(i8::MIN)), (0, 1));
        let most = (0..3).fold(code, |code, _| code.adjusted(i8::MAX));
        assert_eq!(ratio(most), (16, 1));
        let long = Rlc::new(8, 10_000, 9_999, 15).unwrap();
        assert_eq!(ratio(long.adjusted(1).adjusted(-1)), (9_999, 10_000));
        let mut encoder = code.encoder::<()>();
        encoder.adjust_repair(i8::MIN);
        assert!(!encoder.protects());
        assert_eq!(push(&mut encoder, 0..20).concat(), []);
        encoder.adjust_repair(5);
        assert_eq!(push(&mut encoder, 20..40).concat().len(), 10);
    }

    #[test]
    fn a_pause_makes_the_next_repair_packet_early_and_the_one_after_it_so_much_later() {
        let mut encoder = Rlc::step(8, 4).unwrap().encoder();
        push(&mut encoder, 0..5);
        let end = encoder.poll_timeout().unwrap();
        assert_eq!(end, at(4) + PAUSE);
        encoder.handle_timeout(at(13));
        assert_eq!(ready(&mut encoder, end), [], "the pause is not over");
        encoder.handle_timeout(end);
        assert_eq!(ready(&mut encoder, end), [(0, 5, 1)]);
        assert_eq!(encoder.poll_timeout(), None);
        let later: Vec<usize> = push(&mut encoder, 5..12).iter().map(Vec::len).collect();
        assert_eq!(later, [0, 0, 0, 0, 0, 0, 1]);
        assert_eq!(encoder.poll_timeout(), None, "everything is protected");
    }

    #[test]
    fn the_end_of_the_session_protects_what_no_repair_packet_had() {
        let mut encoder = Rlc::step(8, 4).unwrap().encoder();
        push(&mut encoder, 0..4);
        encoder.flush(at(9), Flush::Shutdown);
        assert_eq!(ready(&mut encoder, at(9)), []);
        push(&mut encoder, 4..5);
        encoder.flush(at(9), Flush::FrameEnd);
        assert_eq!(ready(&mut encoder, at(9)), []);
        encoder.flush(at(9), Flush::Shutdown);
        assert_eq!(ready(&mut encoder, at(9)), [(0, 5, 1)]);
        assert_eq!(encoder.poll_timeout(), None);
    }

    #[test]
    fn what_arrived_or_is_worth_nothing_leaves_the_window() {
        let mut encoder = Rlc::step(16, 4).unwrap().encoder();
        push(&mut encoder, 0..6);
        encoder.handle_ack(2);
        assert_eq!(push(&mut encoder, 6..8).concat(), [(3, 5, 1)]);
        for esi in 8..12 {
            let deadline = if esi < 10 { at(15) } else { Time::NEVER };
            encoder.push_source(at(u64::from(esi)), &SourceMeta { deadline, ..meta(esi) }, &());
        }
        assert_eq!(ready(&mut encoder, at(11)), [(3, 9, 2)]);
        // 3 to 7 have no deadline; nothing behind them leaves before they do.
        encoder.handle_ack(7);
        encoder.push_source(at(15), &meta(12), &());
        assert_eq!(encoder.sources.held(), 8..13);
        let mut encoder = Rlc::step(16, 4).unwrap().encoder::<()>();
        for esi in 0..4 {
            let now = at(10 * u64::from(esi));
            let deadline = now + Duration::from_millis(20);
            encoder.push_source(now, &SourceMeta { deadline, ..meta(esi) }, &());
        }
        assert_eq!(ready(&mut encoder, at(30)), [(2, 2, 0)]);
        encoder.handle_ack(3);
        encoder.flush(at(30), Flush::Shutdown);
        assert_eq!(ready(&mut encoder, at(30)), [], "the receiver has all of it");
    }

    #[test]
    fn a_request_is_answered_with_fresh_keys_over_its_range() {
        let mut encoder = Rlc::step(4, 4).unwrap().encoder();
        push(&mut encoder, 0..20);
        let fresh = encoder.request_repair(at(20), 3..=9, 2);
        let headers = fresh.iter().map(|r| (r.header.first, r.header.count, r.header.row));
        assert_eq!(headers.collect::<Vec<_>>(), [(3, 7, 5), (3, 7, 6)]);
        assert_eq!(encoder.request_repair(at(20), 40..=49, 2), []);
    }

    #[test]
    fn a_request_for_the_deficit_repairs_everything() {
        let rlc = Rlc::step(8, 8).unwrap();
        let (mut encoder, mut decoder) = (rlc.encoder::<()>(), rlc.decoder::<()>());
        for esi in 0..64 {
            encoder.push_source(Time::ZERO, &meta(esi), &());
            if esi % 16 >= 3 {
                decoder.push_source(Time::ZERO, esi, &());
            }
        }
        while let Some(repair) = encoder.poll_repair(Time::ZERO) {
            decoder.push_repair(Time::ZERO, &repair.header, &()).unwrap();
        }
        let deficit = decoder.deficit();
        assert_eq!(deficit, [(0..=2, 2), (16..=18, 2), (32..=34, 2), (48..=50, 2)]);
        for (range, count) in deficit {
            let fresh = encoder.request_repair(Time::ZERO, range, count);
            assert_eq!(fresh.len(), usize::from(count));
            for repair in fresh {
                decoder.push_repair(Time::ZERO, &repair.header, &()).unwrap();
            }
        }
        let events: Vec<_> = std::iter::from_fn(|| decoder.poll_event()).collect();
        let recovered = events.iter().filter(|event| matches!(event, DecodeEvent::Recovered { .. }));
        assert_eq!((recovered.count(), decoder.deficit()), (12, Vec::new()));
    }

    #[test]
    fn repair_symbols_are_those_of_another_implementation_of_rfc_8681() {
        const SIZE: usize = 40;
        for (window, density) in [(1_u16, 15), (5, 15), (64, 15), (5, 7), (64, 7), (64, 0)] {
            let field = cu_fec::Field::Gf256;
            let config = cu_fec::RlcConfig::new(SIZE, usize::from(window), field).unwrap();
            let mut theirs = cu_fec::RlcEncoder::<SIZE, 64>::new(config, 0.into()).unwrap();
            let rlc = Rlc::new(u32::from(window), 1, 1, density).unwrap();
            let mut ours = rlc.encoder::<Bytes>();
            for esi in 0..200 {
                let mut source = vec![0; SIZE];
                rand::Rng::fill_bytes(&mut Seed(1).stream("sources").at(u64::from(esi)), &mut source);
                theirs.push_source(&source).unwrap();
                ours.push_source(Time::ZERO, &meta(esi), &source.into());
                let repair = ours.poll_repair(Time::ZERO).unwrap();
                let RepairHeader { first, count, row, parameter } = repair.header;
                let density = cu_fec::DensityThreshold::new(parameter).unwrap();
                let mut expected = [0; SIZE];
                theirs.encode_repair(cu_fec::RepairParameters::new(row, density), &mut expected).unwrap();
                assert_eq!(theirs.window(), Some((first.into(), usize::from(count))));
                let mut symbol = repair.symbol.to_vec();
                symbol.resize(SIZE, 0);
                assert_eq!(symbol, expected, "window {window}, key {row}");
            }
        }
    }

    #[test]
    fn a_parameter_out_of_its_range_is_refused() {
        assert!(Rlc::step(0, 4).is_err() && Rlc::step(1_025, 4).is_err() && Rlc::step(4, 0).is_err());
        assert!(Rlc::new(4, 1, 17, 15).is_err() && Rlc::new(4, 4, 1, 16).is_err());
        let error = Rlc::step(4, 10_001).unwrap_err();
        assert_eq!(error.to_string(), "step must be 1 to 10000, not 10001");
    }

    /// What is left of a share `loss` of independent losses on a wire on which source and repair packets
    /// take turns, after 24 packets on it, and after how many packets what is repaired comes on average.
    fn constant_rate(scheme: &Scheme, sources: u32, loss: f64) -> (f64, f64) {
        const DEADLINE: u64 = 24;
        let (mut encoder, mut decoder) = (scheme.encoder::<()>(), scheme.decoder::<()>());
        let losses = Seed(1).stream("constant-rate");
        let loss = Probability::new(loss).unwrap();
        let mut slot = 0;
        let mut sent = VecDeque::new();
        let mut oldest = 0;
        let (mut lost, mut repaired, mut waited) = (0_u64, 0_u64, 0_u64);
        for esi in 0..sources {
            encoder.push_source(Time::ZERO, &SourceMeta { esi, ..meta(0) }, &());
            sent.push_back(slot);
            let gone = losses.chance(slot, loss);
            lost += u64::from(gone);
            if !gone {
                decoder.push_source(Time::ZERO, esi, &());
            }
            slot += 1;
            loop {
                while sent.front().is_some_and(|&at| at + DEADLINE < slot) {
                    sent.pop_front();
                    oldest += 1;
                    decoder.expire(oldest);
                }
                let Some(repair) = encoder.poll_repair(Time::ZERO) else { break };
                if !losses.chance(slot, loss) {
                    decoder.push_repair(Time::ZERO, &repair.header, &()).unwrap();
                }
                while let Some(event) = decoder.poll_event() {
                    if let DecodeEvent::Recovered { esi, .. } = event {
                        repaired += 1;
                        waited += slot - sent[(esi - oldest) as usize];
                    }
                }
                slot += 1;
            }
        }
        ((lost - repaired) as f64 / f64::from(sources), waited as f64 / repaired as f64)
    }

    #[test]
    fn at_equal_overhead_and_deadline_less_is_lost_than_with_blocks_and_repaired_sooner() {
        // At 25 % overhead and 5 % loss. Blocks: e·P(Bin(24, e) ≥ 5) exactly. The window: computed by an
        // independent simulation of 4e6 packets. Losses after repair come about three at a time, so that
        // a standard deviation is 6 % of 700 of them here; five of them are 30 %.
        let (window, wait) = constant_rate(&Scheme::Rlc(Rlc::step(16, 4).unwrap()), 4_000_000, 0.05);
        assert!((window / 1.7e-4 - 1.0).abs() < 0.3, "{window}");
        assert!((wait - 4.0).abs() < 0.1, "{wait}");
        let block = Scheme::ReedSolomon(PerPackets::new(20, 5, None).unwrap());
        let (blocks, wait) = constant_rate(&block, 4_000_000, 0.05);
        assert!((blocks / 2.8e-4 - 1.0).abs() < 0.3, "{blocks}");
        assert!((wait - 11.5).abs() < 0.2, "{wait}");
        assert!(window < blocks);
    }
}
