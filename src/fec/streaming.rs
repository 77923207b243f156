//! A streaming code over several frames: a burst that takes whole frames is repaired some frames later.
//!
//! At the end of each frame leave its repair packets, a share of its packets. If they protected that
//! frame alone, a burst over the whole frame would be beyond repair; if they protected all of the last
//! frames alike, its packets would all be unknowns of every repair packet after the burst. So a
//! fixed part of all packets is *deferred*: the repair packets of frame i combine the other packets of the
//! frames i − τ to i, but the deferred ones of frame i − τ only. The repair packets between the burst and
//! frame i + τ then find the others, and those of frame i + τ the deferred ones, just in time. With
//! repair packets at a share p of the source packets, and p of these deferred, bursts of B ≤ p·τ whole
//! frames of equal size are repaired with delay τ, which is the best that any code can do (rate
//! τ/(τ + B), up to singular random matrices). The price: a deferred packet that is lost alone waits for τ
//! frames too.
//!
//! Sources: Martinian and Sundberg, "Burst erasure correction codes with low decoding delay", IEEE
//! Trans. Inf. Theory 50 (2004); Rudow, Yan, Kumar, Ananthanarayanan, Ellis, Rashmi: "Tambur: efficient
//! loss recovery for videoconferencing via streaming codes", NSDI 2023; coefficients as in RFC 8681.
//!
//! | here | Tambur |
//! | --- | --- |
//! | whole packets are deferred or not, every so many by their ESI | each frame is cut in two parts |
//! | the share of deferred packets is that of repair packets | the parts are chosen by frame sizes |
//! | the share of repair packets is constant | a learned model sets it from the receiver's reports |
//! | random coefficients, as of RFC 8681 | Cauchy matrices, systematic |
//! | a frame of over 255 packets counts as several | one frame |
//! | where nothing follows for 50 ms, each of the last τ frames is protected again on its own | frames never stop |

use std::collections::VecDeque;
use std::ops::{Range, RangeInclusive};

use super::block::UNIT_OVERHEAD;
use super::scheme::{InvalidScheme, within};
use super::sliding::{Deferring, WindowDecoder, WindowEncoder};
use super::{Encoder, Flush, Overhead, Protect, Repair, SourceMeta, Symbol};
use crate::frame::FrameId;
use crate::time::{Duration, Time};

/// The most packets of a frame: what the header can say. What follows counts as a frame of its own.
const FRAME_MAX: u32 = 255;

/// The highest delay in frames. Windows have up to 9·255 packets then.
const DELAY_MAX: u32 = 8;

/// How long the deferred packets of the last frames wait for the next frame: longer than the 33.3 ms from
/// frame to frame at 30 Hz.
const PAUSE: Duration = Duration::from_millis(50);

/// The parameters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Streaming {
    delay: u8,
    percent: u8,
    minimum: u8,
}

impl Streaming {
    /// `percent` (0 to 255) repair packets for each hundred source packets of a frame, rounded up, and at
    /// least `minimum` (0 to 127), not both 0; lost packets are to be found at the end of the frame
    /// `delay` (0 to 8) frames later. A share of `percent`, at most all, is deferred to it.
    ///
    /// # Errors
    ///
    /// Where a parameter is out of its range.
    pub fn new(delay: u32, percent: u32, minimum: u32) -> Result<Self, InvalidScheme> {
        let scheme = Self {
            delay: within("delay", delay, 0..=DELAY_MAX)? as u8,
            percent: within("percent", percent, 0..=255)? as u8,
            minimum: within("minimum", minimum, 0..=127)? as u8,
        };
        within("percent plus minimum", percent + minimum, 1..=u32::MAX)?;
        Ok(scheme)
    }

    /// The frames after which everything is to be repaired.
    pub const fn delay(self) -> u8 {
        self.delay
    }

    /// Repair packets for each hundred source packets.
    pub const fn percent(self) -> u8 {
        self.percent
    }

    /// The fewest repair packets of a frame.
    pub const fn minimum(self) -> u8 {
        self.minimum
    }

    pub(super) fn rule(self) -> Deferring {
        Deferring { percent: self.percent.min(100) }
    }

    fn repair_for(self, sources: u32) -> u32 {
        (sources * u32::from(self.percent)).div_ceil(100).max(u32::from(self.minimum))
    }

    /// The most packets of a window.
    fn window_max(self) -> u16 {
        (u16::from(self.delay) + 1) * FRAME_MAX as u16
    }

    pub(super) fn encoder<S: Symbol>(self) -> StreamingEncoder<S> {
        StreamingEncoder {
            scheme: self,
            sources: WindowEncoder::new(self.rule(), usize::from(self.window_max())),
            frames: VecDeque::new(),
            open: 0..0,
            frame: FrameId::default(),
            pause_ends: None,
            ready: VecDeque::new(),
        }
    }

    pub(super) fn decoder<S: Symbol>(self) -> WindowDecoder<S, Deferring> {
        WindowDecoder::new(self.rule(), self.window_max())
    }
}

/// The sender's half.
#[derive(Debug)]
pub(super) struct StreamingEncoder<S> {
    scheme: Streaming,
    sources: WindowEncoder<S, Deferring>,
    /// The ESIs of the last frames, at most as many as the delay: their deferred packets were in no
    /// repair packet yet.
    frames: VecDeque<Range<u32>>,
    /// The ESIs of the open frame.
    open: Range<u32>,
    frame: FrameId,
    /// When the deferred packets have waited long enough.
    pause_ends: Option<Time>,
    ready: VecDeque<Repair<S>>,
}

impl<S: Symbol> StreamingEncoder<S> {
    /// Closes the open frame: its repair packets combine it with the frames before.
    fn close(&mut self) {
        if self.open.is_empty() {
            return;
        }
        let repair = self.scheme.repair_for(self.open.len() as u32);
        let end = self.open.end;
        self.frames.push_back(std::mem::replace(&mut self.open, end..end));
        let oldest = self.frames[0].clone();
        let due = self.frames.len() > usize::from(self.scheme.delay);
        let whole = if due { oldest.end } else { oldest.start };
        self.protect(oldest.start..end, whole, repair);
        if due {
            self.frames.pop_front();
        }
    }

    /// Protects each frame whose deferred packets wait on its own: no frame follows that would.
    fn close_all(&mut self) {
        self.close();
        for frame in std::mem::take(&mut self.frames) {
            let repair = self.scheme.repair_for(frame.len() as u32);
            self.protect(frame.clone(), frame.end, repair);
        }
        self.pause_ends = None;
    }

    /// Sends `repair` repair packets over a window, deferred packets below `whole` included, without what
    /// the receiver has.
    fn protect(&mut self, window: Range<u32>, whole: u32, repair: u32) {
        let first = window.start.max(self.sources.held().start);
        let count = window.end.saturating_sub(first) as u16;
        let whole = whole.saturating_sub(first) as u8;
        for _ in 0..repair {
            self.ready.extend(self.sources.repair(first, count, whole));
        }
    }
}

impl<S: Symbol> Encoder<S> for StreamingEncoder<S> {
    fn overhead(&self) -> Overhead {
        UNIT_OVERHEAD
    }

    fn push_source(&mut self, now: Time, meta: &SourceMeta, symbol: &S) -> Protect<S> {
        // A frame that was given up half way has no last packet.
        if meta.frame != self.frame {
            self.close();
        }
        if self.open.is_empty() {
            (self.open, self.frame) = (meta.esi..meta.esi, meta.frame);
        }
        self.sources.push(meta.esi, symbol.clone());
        self.open.end = meta.esi + 1;
        if meta.frame_end || self.open.len() as u32 == FRAME_MAX {
            self.close();
        }
        self.pause_ends = (self.scheme.delay > 0).then(|| now + PAUSE);
        Protect::Send(Vec::new())
    }

    fn poll_repair(&mut self, _now: Time) -> Option<Repair<S>> {
        self.ready.pop_front()
    }

    fn flush(&mut self, _now: Time, why: Flush) {
        match why {
            Flush::FrameEnd => self.close(),
            Flush::Shutdown => self.close_all(),
        }
    }

    fn poll_timeout(&self) -> Option<Time> {
        self.pause_ends
    }

    fn handle_timeout(&mut self, now: Time) {
        if self.pause_ends.is_some_and(|end| end <= now) {
            self.close_all();
        }
    }

    fn request_repair(&mut self, _now: Time, range: RangeInclusive<u32>, count: u16) -> Vec<Repair<S>> {
        self.sources.answer(range, count, FRAME_MAX as u16, |sources| sources as u8)
    }

    fn handle_ack(&mut self, esi: u32) {
        self.sources.advance(esi.saturating_add(1));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fec::conformance::{Wire, decode};
    use crate::fec::reed_solomon::PerFrame;
    use crate::fec::{DecodeEvent, Decoder};
    use crate::frame::Priority;

    /// Frames of `packets` packets each through an encoder, each frame with what leaves behind it.
    fn frames(encoder: &mut dyn Encoder<()>, packets: u32, count: u32) -> Vec<Vec<Wire<()>>> {
        let send = |frame: u32| {
            let mut wire = Vec::new();
            for esi in frame * packets..(frame + 1) * packets {
                let meta = SourceMeta {
                    esi,
                    frame: FrameId(frame),
                    frame_end: esi + 1 == (frame + 1) * packets,
                    priority: Priority::Delta,
                    deadline: Time::NEVER,
                    size: 1200,
                };
                encoder.push_source(Time::ZERO, &meta, &());
                wire.push(Wire::Source(esi, ()));
                wire.extend(std::iter::from_fn(|| encoder.poll_repair(Time::ZERO)).map(Wire::Repair));
            }
            wire
        };
        (0..count).map(send).collect()
    }

    fn count_of(decoder: &mut dyn Decoder<()>, wire: &[Wire<()>]) -> usize {
        decode(decoder, wire).0.len()
    }

    #[test]
    fn a_burst_over_a_whole_frame_is_repaired_with_the_delay_and_a_code_per_frame_cannot() {
        let (packets, lost) = (10, 5);
        let streaming = Streaming::new(3, 40, 0).unwrap();
        let per_frame = PerFrame::new(40, 0).unwrap();
        let wire = frames(&mut streaming.encoder::<()>(), packets, 12);
        let heard = |until: usize| -> Vec<Wire<()>> {
            let all = wire.iter().take(until).enumerate().filter(|(frame, _)| *frame != lost);
            all.flat_map(|(_, frame)| frame.clone()).collect()
        };
        for until in 0..12 {
            let known = count_of(&mut streaming.decoder::<()>(), &heard(until + 1));
            let whole = until < lost || until >= lost + 3;
            assert_eq!(known == (until + 1) * packets as usize, whole, "at the end of frame {until}");
        }
        let block = frames(&mut per_frame.encoder::<()>(), packets, 12);
        let overhead = |wire: &[Vec<Wire<()>>]| wire.iter().map(Vec::len).sum::<usize>();
        assert_eq!(overhead(&wire), overhead(&block));
        let heard: Vec<_> = block.iter().enumerate().filter(|(frame, _)| *frame != lost).collect();
        let heard: Vec<Wire<()>> = heard.into_iter().flat_map(|(_, frame)| frame.clone()).collect();
        assert_eq!(count_of(&mut per_frame.decoder::<()>(), &heard), 110);
    }

    #[test]
    fn bursts_up_to_the_bound_of_theory_are_repaired_and_no_longer_ones_in_time() {
        // Share 2/3 and delay 3: two whole frames, at rate 3/5. Five percent more than two thirds, since
        // a random matrix without a spare row is singular once in 255 times.
        let streaming = Streaming::new(3, 70, 0).unwrap();
        let wire = frames(&mut streaming.encoder::<()>(), 30, 12);
        for burst in 1..=3 {
            let heard = wire[..4].iter().chain(&wire[4 + burst..4 + 3 + burst]).flatten();
            let heard: Vec<Wire<()>> = heard.cloned().collect();
            let known = count_of(&mut streaming.decoder::<()>(), &heard);
            assert_eq!(known == (7 + burst) * 30, burst <= 2, "{burst} frames");
        }
    }

    #[test]
    fn a_single_loss_is_repaired_by_its_own_frame_unless_it_is_deferred() {
        let streaming = Streaming::new(3, 40, 0).unwrap();
        let wire = frames(&mut streaming.encoder::<()>(), 10, 9).concat();
        for lost in 40..50 {
            let mut decoder = streaming.decoder::<()>();
            let mut found = None;
            let heard = wire.iter().filter(|packet| !matches!(packet, Wire::Source(esi, ()) if *esi == lost));
            let mut latest = 0;
            for packet in heard {
                if let Some((esi, ())) = packet.source() {
                    latest = esi;
                    decoder.push_source(Time::ZERO, esi, &());
                }
                for repair in packet.repairs() {
                    decoder.push_repair(Time::ZERO, &repair.header, &()).unwrap();
                }
                let events = std::iter::from_fn(|| decoder.poll_event());
                if events.into_iter().any(|e| e == DecodeEvent::Recovered { esi: lost, symbol: () }) {
                    found = found.or(Some(latest / 10));
                }
            }
            let expected = if streaming.rule().defers(lost) { 7 } else { 4 };
            assert_eq!(found, Some(expected), "{lost}");
        }
    }

    #[test]
    fn where_nothing_follows_deferred_packets_are_protected_after_a_pause() {
        let streaming = Streaming::new(2, 50, 0).unwrap();
        let mut encoder = streaming.encoder::<()>();
        let mut wire = frames(&mut encoder, 4, 3).concat();
        let end = encoder.poll_timeout().unwrap();
        assert_eq!(end, Time::ZERO + PAUSE);
        encoder.handle_timeout(end);
        let rest: Vec<_> = std::iter::from_fn(|| encoder.poll_repair(end)).collect();
        let windows: Vec<(u32, u16, u8)> =
            rest.iter().map(|r| (r.header.first, r.header.count, r.header.parameter)).collect();
        assert_eq!(windows, [(4, 4, 4), (4, 4, 4), (8, 4, 4), (8, 4, 4)]);
        assert_eq!(encoder.poll_timeout(), None);
        wire.extend(rest.into_iter().map(Wire::Repair));
        wire.retain(|packet| !matches!(packet, Wire::Source(8..=11, ())));
        assert_eq!(count_of(&mut streaming.decoder::<()>(), &wire), 12);
    }

    #[test]
    fn a_frame_of_more_packets_than_a_header_can_say_counts_as_several() {
        let streaming = Streaming::new(1, 10, 0).unwrap();
        let wire = frames(&mut streaming.encoder::<()>(), 600, 2).concat();
        let headers = wire.iter().flat_map(Wire::repairs).map(|repair| repair.header);
        let mut windows: Vec<_> = headers.map(|h| (h.first, h.count, h.parameter)).collect();
        windows.dedup();
        let expected =
            [(0, 255, 0), (0, 510, 255), (255, 345, 255), (510, 345, 90), (600, 510, 255), (855, 345, 255)];
        assert_eq!(windows, expected);
    }

    #[test]
    fn a_parameter_out_of_its_range_is_refused() {
        assert!(Streaming::new(9, 50, 0).is_err() && Streaming::new(3, 0, 0).is_err());
        assert!(Streaming::new(3, 256, 0).is_err() && Streaming::new(3, 50, 128).is_err());
    }
}
