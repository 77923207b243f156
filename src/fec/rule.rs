//! Reed–Solomon blocks by frame whose protection follows a rule: what the codes share that are driven by
//! reports of losses.
//!
//! A [`Rule`] hears the receiver's reports, and is asked at the end of each frame how many repair packets
//! the open packets get. The receiver's half is that of [blocks by frame](super::reed_solomon), which
//! takes any protection.

use std::collections::VecDeque;
use std::fmt::Debug;
use std::ops::RangeInclusive;

use super::block::BlockDecoder;
use super::reed_solomon::{PerFrame, PerFrameEncoder};
use super::{Encoder, Flush, LossReport, Overhead, Protect, Repair, SourceMeta, Symbol};
use crate::frame::{FrameId, Priority};
use crate::time::{Duration, Time};

/// What decides how much frames are protected.
pub(super) trait Rule: Debug + Send + 'static {
    /// Takes the receiver's report.
    fn handle_report(&mut self, now: Time, report: &LossReport);

    /// A frame is over: how many repair packets the open packets get for each hundred, rounded up. None
    /// where they wait for the next frame to be protected with it.
    fn frame_over(&mut self, now: Time, open: &Open) -> Option<u8>;

    /// How many repair packets open packets of at most this class get for each hundred, rounded up, where
    /// they can wait no longer.
    fn share(&self, class: Priority) -> u8;

    /// Whether frames get repair packets now.
    fn protects(&self) -> bool;
}

/// The packets that are not protected yet.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Open {
    /// The frames that they are of.
    pub(super) frames: u32,
    /// How many there are.
    pub(super) packets: u32,
    /// How many of them are of the last frame.
    pub(super) of_last: u32,
    /// The bytes of those.
    pub(super) bytes_of_last: u32,
    /// The highest class among them.
    pub(super) class: Priority,
}

/// The sender's half.
#[derive(Debug)]
pub(super) struct RuledEncoder<S, R> {
    rule: R,
    /// It sees one frame that never ends, and is closed as the rule says.
    blocks: PerFrameEncoder<S>,
    open: Open,
    /// The frame that the last packet was of.
    frame: FrameId,
}

impl<S: Symbol, R: Rule> RuledEncoder<S, R> {
    pub(super) fn new(rule: R) -> Self {
        let mut blocks = any_protection().encoder();
        blocks.set_protection(0, 0);
        Self { rule, blocks, open: Open::default(), frame: FrameId::default() }
    }

    /// The last frame is over.
    fn end_frame(&mut self, now: Time) {
        self.open.frames += 1;
        let percent = self.rule.frame_over(now, &self.open);
        (self.open.of_last, self.open.bytes_of_last) = (0, 0);
        if let Some(percent) = percent {
            self.close(now, percent);
        }
    }

    /// Protects the open packets with so many repair packets for each hundred.
    fn close(&mut self, now: Time, percent: u8) {
        self.blocks.set_protection(percent, 0);
        self.blocks.flush(now, Flush::FrameEnd);
        self.open = Open::default();
    }
}

/// The receiver's half.
pub(super) fn decoder<S: Symbol>() -> BlockDecoder<S> {
    any_protection().decoder()
}

/// Parameters whose receiver takes any others.
fn any_protection() -> PerFrame {
    PerFrame::new(100, 0).expect("the parameters are in range")
}

impl<S: Symbol, R: Rule> Encoder<S> for RuledEncoder<S, R> {
    fn overhead(&self) -> Overhead {
        self.blocks.overhead()
    }

    fn protects(&self) -> bool {
        self.rule.protects()
    }

    fn push_source(&mut self, now: Time, meta: &SourceMeta, symbol: &S) -> Protect<S> {
        // A frame that was given up half way has no last packet.
        if self.open.of_last > 0 && meta.frame != self.frame {
            self.end_frame(now);
        }
        self.frame = meta.frame;
        self.open.packets += 1;
        self.open.of_last += 1;
        self.open.bytes_of_last += u32::from(meta.size);
        self.open.class = self.open.class.max(meta.priority);
        let endless = SourceMeta { frame: FrameId::default(), frame_end: false, ..*meta };
        let protect = self.blocks.push_source(now, &endless, symbol);
        if meta.frame_end {
            self.end_frame(now);
        }
        protect
    }

    fn poll_repair(&mut self, now: Time) -> Option<Repair<S>> {
        self.blocks.poll_repair(now)
    }

    /// The end of a frame was seen in its last packet. Between frames there is none that could be over,
    /// only packets of earlier ones that wait.
    fn flush(&mut self, now: Time, why: Flush) {
        if why == Flush::FrameEnd {
            return;
        }
        if self.open.of_last > 0 {
            self.end_frame(now);
        }
        if self.open.packets > 0 {
            self.close(now, self.rule.share(self.open.class));
        }
    }

    fn handle_report(&mut self, now: Time, report: &LossReport) {
        self.rule.handle_report(now, report);
    }

    fn request_repair(&mut self, now: Time, range: RangeInclusive<u32>, count: u16) -> Vec<Repair<S>> {
        self.blocks.request_repair(now, range, count)
    }

    fn handle_ack(&mut self, esi: u32) {
        self.blocks.handle_ack(esi);
    }
}

/// The share of packets lost, over windows of about a second: as long as RTCP's reports are apart.
/// Shorter reports are summed up to that, since of a few packets nothing is lost or very much.
#[derive(Clone, Debug, Default)]
pub(super) struct LossWindows {
    /// When the open window began, and the packets expected and lost in it.
    open: Option<(Time, u64, u64)>,
    /// The windows that are complete, the newest first.
    closed: VecDeque<Window>,
}

/// A window that is complete.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Window {
    /// When it ended.
    end: Time,
    /// The share of packets lost in it, from 0 to 1.
    pub(super) loss: f64,
}

impl LossWindows {
    /// How long a window is.
    const LENGTH: Duration = Duration::from_secs(1);
    /// How many are remembered.
    const HISTORY: u64 = 10;

    /// Takes a report. The window that it completes, if it does.
    pub(super) fn add(&mut self, now: Time, report: &LossReport) -> Option<Window> {
        let (began, mut expected, mut lost) = self.open.unwrap_or((now, 0, 0));
        expected += u64::from(report.expected);
        lost += u64::from(report.lost.min(report.expected));
        if now.since(began) < Self::LENGTH || expected == 0 {
            self.open = Some((began, expected, lost));
            return None;
        }
        self.open = Some((now, 0, 0));
        let window = Window { end: now, loss: lost as f64 / expected as f64 };
        self.closed.push_front(window);
        self.closed.retain(|window| now.since(window.end) < Self::LENGTH * Self::HISTORY);
        Some(window)
    }

    /// The highest loss of the last ten windows, from 0 to 1.
    pub(super) fn highest(&self) -> f64 {
        self.closed.iter().map(|window| window.loss).fold(0.0, f64::max)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fec::conformance::meta;

    /// Half as many repair packets as packets, two frames at a time.
    #[derive(Debug)]
    struct Pairs(Vec<Open>);

    impl Rule for Pairs {
        fn handle_report(&mut self, _now: Time, _report: &LossReport) {}

        fn frame_over(&mut self, _now: Time, open: &Open) -> Option<u8> {
            self.0.push(*open);
            (open.frames == 2).then_some(50)
        }

        fn share(&self, _class: Priority) -> u8 {
            50
        }

        fn protects(&self) -> bool {
            true
        }
    }

    /// First, count and number of the blocks that are ready.
    fn ready(encoder: &mut RuledEncoder<(), Pairs>) -> Vec<(u32, u16, u8)> {
        let all = std::iter::from_fn(|| encoder.poll_repair(Time::ZERO)).map(|repair| repair.header);
        let firsts = all.filter(|header| header.row == 0);
        firsts.map(|header| (header.first, header.count, header.parameter)).collect()
    }

    #[test]
    fn frames_wait_for_each_other_as_the_rule_says() {
        // By `meta`, frames of 1, 2, 3, … packets; the third one is a key.
        let mut encoder = RuledEncoder::<(), _>::new(Pairs(Vec::new()));
        for esi in 0..10 {
            encoder.push_source(Time::ZERO, &meta(esi), &());
            encoder.flush(Time::ZERO, Flush::FrameEnd);
        }
        assert_eq!(ready(&mut encoder), [(0, 3, 2), (3, 7, 4)]);
        let open = |frames, packets, of_last, class| {
            let bytes_of_last = of_last * u32::from(meta(0).size);
            Open { frames, packets, of_last, bytes_of_last, class }
        };
        let (delta, key) = (Priority::Delta, Priority::Key);
        let asked = [open(1, 1, 1, delta), open(2, 3, 2, delta), open(1, 3, 3, key), open(2, 7, 4, key)];
        assert_eq!(encoder.rule.0, asked);
    }

    #[test]
    fn a_frame_that_was_given_up_is_over_when_the_next_one_begins() {
        let mut encoder = RuledEncoder::<(), _>::new(Pairs(Vec::new()));
        for esi in 0..5 {
            encoder.push_source(Time::ZERO, &meta(esi), &());
        }
        // The third frame lacks its last packet, and the fourth begins.
        let next = SourceMeta { frame: FrameId(3), frame_end: false, ..meta(5) };
        encoder.push_source(Time::ZERO, &next, &());
        assert_eq!(encoder.rule.0.last().map(|open| (open.packets, open.of_last)), Some((2, 2)));
    }

    #[test]
    fn a_flush_between_frames_protects_what_waits_and_counts_no_frame() {
        let mut encoder = RuledEncoder::<(), _>::new(Pairs(Vec::new()));
        encoder.push_source(Time::ZERO, &meta(0), &());
        assert_eq!((ready(&mut encoder), encoder.rule.0.len()), (vec![], 1), "the first frame waits");
        encoder.flush(Time::ZERO, Flush::Shutdown);
        encoder.flush(Time::ZERO, Flush::Shutdown);
        assert_eq!((ready(&mut encoder), encoder.rule.0.len()), (vec![(0, 1, 1)], 1));
        assert_eq!(encoder.open, Open::default());
    }

    #[test]
    fn a_flush_within_a_frame_ends_it_and_protects_it() {
        let mut encoder = RuledEncoder::<(), _>::new(Pairs(Vec::new()));
        let frame = |esi| SourceMeta { frame_end: false, ..meta(esi) };
        (1..3).for_each(|esi| drop(encoder.push_source(Time::ZERO, &frame(esi), &())));
        encoder.flush(Time::ZERO, Flush::Shutdown);
        assert_eq!(encoder.rule.0.iter().map(|open| open.of_last).collect::<Vec<_>>(), [2]);
        assert_eq!(ready(&mut encoder), [(1, 2, 1)]);
        assert_eq!(encoder.open, Open::default());
    }

    fn report(expected: u32, lost: u32) -> LossReport {
        LossReport { expected, lost, ..LossReport::default() }
    }

    #[test]
    fn reports_are_summed_over_a_second_and_the_worst_of_ten_counts() {
        let mut windows = LossWindows::default();
        for tenth in 0..10 {
            assert_eq!(windows.add(Time::from_millis(tenth * 100), &report(10, 0)), None);
        }
        let window = windows.add(Time::from_millis(1_000), &report(10, 11)).unwrap();
        assert_eq!(window.loss, 10.0 / 110.0);
        for second in 2..=10 {
            windows.add(Time::from_millis(second * 1_000), &report(100, 1));
            assert_eq!(windows.highest(), 10.0 / 110.0);
        }
        windows.add(Time::from_millis(11_000), &report(100, 1));
        assert_eq!(windows.highest(), 0.01, "the bad second is ten seconds ago");
    }

    #[test]
    fn silence_closes_no_window() {
        let mut windows = LossWindows::default();
        for second in 0..100 {
            assert_eq!(windows.add(Time::from_millis(second * 1_000), &report(0, 0)), None);
        }
        assert_eq!(windows.highest(), 0.0);
    }
}
