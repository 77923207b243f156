//! Protection as WebRTC chooses it: from the loss of the last ten seconds and the size of frames.
//!
//! The rules of libwebrtc (`media_opt_util.cc`, `ulpfec_generator.cc`), which come from RFC 8854 §8's
//! advice to send no more than the losses seen need:
//!
//! - The loss is the highest of the last ten seconds, each second's taken whole.
//! - Loss and the bits of a frame give the share of repair packets, at most as many as source packets. Any
//!   loss worth noting costs 25 % (20 % of what is sent) if frames have more than one packet.
//! - Below a round trip of 20 ms there is none for updates: retransmission is quicker.
//! - Key frames have twice the share.
//! - Frames below 1000 bytes have none while the round trip is below 200 ms.
//! - Packets of several frames, up to two round trips and six frames, share a block if rounding up would
//!   add too much otherwise.
//!
//! The residual loss of a block is that of [Reed–Solomon](super::reed_solomon) at the share in force.
//!
//! | here | libwebrtc |
//! | --- | --- |
//! | straight lines between 30 points of the table's outcome | a table of 50 rates × 129 losses |
//! | Reed–Solomon: any loss up to the number of repair packets | XOR by masks, for at most 48 packets |
//! | bits of a frame as they come | from the rate that the encoder is given |
//! | a picture of 1920 × 1080 | what the encoder says |
//! | the number of repair packets is rounded up | to the nearest |

use super::LossReport;
use super::block::BlockDecoder;
use super::rule::{self, LossWindows, Open, Rule, RuledEncoder};
use crate::frame::Priority;
use crate::time::{Duration, Time};

/// The sender's half.
pub(super) fn encoder<S: super::Symbol>() -> RuledEncoder<S, WebRtc> {
    RuledEncoder::new(WebRtc::default())
}

/// The receiver's half.
pub(super) fn decoder<S: super::Symbol>() -> BlockDecoder<S> {
    rule::decoder()
}

/// The rule.
#[derive(Clone, Debug, Default)]
pub(super) struct WebRtc {
    losses: LossWindows,
    round_trip: Duration,
    /// Packets and bytes of a frame that is no key, and seconds from frame to frame: moving averages.
    packets: Option<f64>,
    bytes: Option<f64>,
    interval: Option<f64>,
    /// When the last frame ended.
    ended: Option<Time>,
}

/// Below this round trip updates are not protected (`kLowRttNackMs`).
const ROUND_TRIP_LOW: Duration = Duration::from_millis(20);
/// Below this round trip small frames are not protected.
const ROUND_TRIP_HIGH: Duration = Duration::from_millis(200);
/// Frames below this many bytes are small, for pictures larger than 640 × 480.
const FRAME_SMALL: f64 = 1_000.0;
/// The least loss that counts, from 0 to 1: the table's first step above 0.
const LOSS_LEAST: f64 = 1.0 / 255.0;
/// The most repair packets for each hundred source packets: half of what is sent.
const PERCENT_MAX: f64 = 100.0;
/// Repair packets for each hundred source packets at any loss, where frames have more than one packet:
/// 51 of 255 of what is sent.
const PERCENT_FLOOR: f64 = 25.0;
/// What bits of a frame weigh: the picture's pixels as a multiple of 704 × 576, to the power −0.3.
const RESOLUTION: f64 = 0.613;
/// How much of a block rounding up may add, as a share of its source packets (`kMaxExcessOverhead`).
const EXCESS_MAX: f64 = 50.0 / 256.0;
/// Above this share of repair packets a block has at least [`PACKETS_LEAST`] packets.
const PERCENT_HIGH: f64 = 100.0 * 80.0 / 255.0;
/// The fewest source packets of a block of high protection, where more can be waited for.
const PACKETS_LEAST: u32 = 4;
/// The most frames that share a block.
const FRAMES_MAX: f64 = 6.0;
/// How much a frame changes the moving averages.
const WEIGHT: f64 = 1.0 / 16.0;

impl Rule for WebRtc {
    fn handle_report(&mut self, now: Time, report: &LossReport) {
        self.losses.add(now, report);
        self.round_trip = report.round_trip.unwrap_or(self.round_trip);
    }

    fn frame_over(&mut self, now: Time, open: &Open) -> Option<u8> {
        self.note_frame(now, open);
        let percent = self.percent(open.class);
        let enough = open.packets >= if percent > PERCENT_HIGH { PACKETS_LEAST } else { 1 };
        let closes = percent == 0.0
            || enough && excess(percent, open.packets) < EXCESS_MAX
            || f64::from(open.frames) >= self.frames_max();
        closes.then_some(percent as u8)
    }

    fn share(&self, class: Priority) -> u8 {
        self.percent(class) as u8
    }

    fn protects(&self) -> bool {
        self.percent(Priority::Delta) > 0.0
    }
}

impl WebRtc {
    fn note_frame(&mut self, now: Time, open: &Open) {
        let average =
            |mean: Option<f64>, value: f64| mean.map_or(value, |mean| mean + WEIGHT * (value - mean));
        if open.class != Priority::Key {
            self.packets = Some(average(self.packets, f64::from(open.of_last)));
            self.bytes = Some(average(self.bytes, f64::from(open.bytes_of_last)));
        }
        if let Some(ended) = self.ended.replace(now) {
            self.interval = Some(average(self.interval, now.since(ended).as_secs_f64()));
        }
    }

    /// Repair packets for each hundred source packets of a class, a whole number.
    fn percent(&self, class: Priority) -> f64 {
        let loss = self.losses.highest();
        let (packets, bytes) = (self.packets.unwrap_or(1.0), self.bytes.unwrap_or(0.0));
        if loss < LOSS_LEAST || bytes < FRAME_SMALL && self.round_trip < ROUND_TRIP_HIGH {
            return 0.0;
        }
        let outcome = outcome(RESOLUTION * bytes * 8.0 / 1_000.0, 100.0 * loss);
        // The points have the floor in them, which is not for frames of one packet.
        let update = if packets <= 1.0 && outcome <= PERCENT_FLOOR { 0.0 } else { outcome };
        match class {
            Priority::Key => (2.0 * update).min(PERCENT_MAX),
            _ if self.round_trip < ROUND_TRIP_LOW => 0.0,
            Priority::Delta | Priority::Input => update,
        }
    }

    /// The most frames that share a block: as many as two round trips have.
    fn frames_max(&self) -> f64 {
        let round_trips = 2.0 * self.round_trip.as_secs_f64();
        self.interval.map_or(1.0, |interval| (round_trips / interval + 0.5).floor().clamp(1.0, FRAMES_MAX))
    }
}

/// How much more than `percent` rounding up makes it for a block of `packets`, as a share of them.
fn excess(percent: f64, packets: u32) -> f64 {
    let wanted = f64::from(packets) * percent / 100.0;
    (wanted.ceil() - wanted) / f64::from(packets)
}

/// The loss of each column of [`OUTCOME`], in percent.
const LOSSES: [f64; 5] = [1.0, 2.0, 5.0, 10.0, 20.0];
/// The size of frames in each row of [`OUTCOME`], in kilobits, weighed with the resolution.
const SIZES: [f64; 6] = [10.0, 30.0, 50.0, 100.0, 200.0, 254.0];
/// Repair packets for each hundred source packets that libwebrtc's rules come to, floor and cap included.
const OUTCOME: [[f64; 5]; 6] = [
    [25.0, 25.0, 25.0, 25.0, 28.0],
    [25.0, 25.0, 25.0, 37.0, 71.0],
    [25.0, 25.0, 27.0, 52.0, 99.0],
    [25.0, 25.0, 48.0, 99.0, 99.0],
    [25.0, 30.0, 55.0, 99.0, 99.0],
    [25.0, 27.0, 50.0, 90.0, 99.0],
];

/// Between the points by straight lines, outside of them as at the nearest one; rounded to a whole number.
fn outcome(kilobits: f64, loss_percent: f64) -> f64 {
    let (row, down) = place(&SIZES, kilobits);
    let (column, right) = place(&LOSSES, loss_percent);
    let along = |row: &[f64; 5]| row[column] + right * (row[column + 1] - row[column]);
    let (above, below) = (along(&OUTCOME[row]), along(&OUTCOME[row + 1]));
    (above + down * (below - above)).round()
}

/// Between which of the rising `points` a value lies, as the place of the lower one and how far it is on
/// its way to the next, from 0 to 1.
fn place(points: &[f64], value: f64) -> (usize, f64) {
    let above = points[1..points.len() - 1].iter().take_while(|&&point| point <= value).count();
    let (low, high) = (points[above], points[above + 1]);
    (above, ((value - low) / (high - low)).clamp(0.0, 1.0))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fec::conformance::meta;
    use crate::fec::unequal::Unequal;
    use crate::fec::{Encoder, Scheme, SourceMeta};
    use crate::frame::FrameId;

    /// The rule after ten seconds of this loss and round trip, with frames of `packets` of 1200 bytes, the
    /// last one half full, 33 ms apart.
    fn rule(loss_percent: u32, round_trip: u64, packets: u32) -> WebRtc {
        let mut rule = WebRtc::default();
        for second in 0..=10 {
            let report = LossReport {
                expected: 10_000,
                lost: 100 * loss_percent,
                round_trip: Some(Duration::from_millis(round_trip)),
                ..LossReport::default()
            };
            rule.handle_report(Time::from_millis(second * 1_000), &report);
        }
        for frame in 0..300 {
            rule.frame_over(Time::from_millis(frame * 33), &open(1, packets));
        }
        rule
    }

    fn open(frames: u32, packets: u32) -> Open {
        let bytes_of_last = packets * 1_200 - 600;
        Open { frames, packets, of_last: packets, bytes_of_last, class: Priority::Delta }
    }

    #[test]
    fn the_points_of_the_table_are_met_and_lines_join_them() {
        for (row, size) in SIZES.into_iter().enumerate() {
            for (column, loss) in LOSSES.into_iter().enumerate() {
                assert_eq!(outcome(size, loss), OUTCOME[row][column], "{size} kbit, {loss} %");
            }
        }
        assert_eq!(outcome(75.0, 5.0), 38.0);
        assert_eq!(outcome(40.0, 7.5), (25.0_f64 + 27.0 + 37.0 + 52.0).mul_add(0.25, 0.0).round());
        assert_eq!((outcome(1.0, 0.5), outcome(1e6, 90.0)), (25.0, 99.0));
    }

    #[test]
    fn any_loss_costs_the_floor_and_no_loss_nothing() {
        // 10 packets are 91.2 kbit, of which 0.613 weigh 55.9.
        assert_eq!(rule(0, 50, 10).percent(Priority::Delta), 0.0);
        assert_eq!(rule(1, 50, 10).percent(Priority::Delta), PERCENT_FLOOR);
        assert_eq!(rule(5, 50, 10).percent(Priority::Delta), 29.0);
        assert_eq!(rule(20, 50, 10).percent(Priority::Delta), 99.0);
    }

    #[test]
    fn below_20_ms_only_keys_are_protected_and_they_have_twice_as_much() {
        assert_eq!(rule(5, 19, 10).percent(Priority::Delta), 0.0);
        assert!(!rule(5, 19, 10).protects() && rule(5, 20, 10).protects());
        assert_eq!(rule(5, 19, 10).percent(Priority::Key), 58.0);
        assert_eq!(rule(20, 50, 10).percent(Priority::Key), PERCENT_MAX);
    }

    #[test]
    fn small_frames_are_protected_only_where_the_round_trip_is_long() {
        assert_eq!(rule(20, 199, 1).percent(Priority::Delta), 0.0);
        assert_eq!(rule(20, 200, 1).percent(Priority::Delta), 28.0);
        assert_eq!(rule(5, 200, 1).percent(Priority::Delta), 0.0, "no floor for frames of one packet");
    }

    #[test]
    fn frames_wait_for_others_while_rounding_up_costs_too_much() {
        // At 25 % one repair packet for two packets is 25 points too many, for three 8.
        let mut patient = rule(1, 100, 2);
        assert_eq!(patient.frame_over(Time::from_millis(9_900), &open(1, 2)), None);
        assert_eq!(patient.frame_over(Time::from_millis(9_933), &open(2, 4)), Some(25));
        // Two round trips of 20 ms are one frame at 33 ms.
        let mut hasty = rule(1, 20, 2);
        assert_eq!(hasty.frame_over(Time::from_millis(9_900), &open(1, 2)), Some(25));
        assert_eq!(rule(1, 500, 2).frames_max(), FRAMES_MAX);
    }

    #[test]
    fn protection_stays_on_where_input_closes_each_frame_that_waits() {
        // Key strokes between frames of two packets, each of which would wait for the next one.
        let code = Unequal::new(Scheme::WebRtc, Scheme::None, Scheme::None).unwrap();
        let mut encoder = code.encoder::<()>();
        for second in 0..=1 {
            let report = LossReport {
                expected: 1_000,
                lost: 10,
                round_trip: Some(Duration::from_millis(100)),
                ..LossReport::default()
            };
            encoder.handle_report(Time::from_secs(second), &report);
        }
        let mut repairs = Vec::new();
        for frame in 0..300 {
            let now = Time::from_millis(1_000 + u64::from(frame) * 33);
            for packet in 0..3 {
                let priority = if packet == 2 { Priority::Input } else { Priority::Delta };
                let (esi, frame_end) = (3 * frame + packet, packet > 0);
                let frame = FrameId(2 * frame + packet / 2);
                let meta = SourceMeta { esi, frame, frame_end, priority, size: 1_200, ..meta(0) };
                encoder.push_source(now + Duration::from_millis(u64::from(packet) * 5), &meta, &());
            }
            repairs.push(std::iter::from_fn(|| encoder.poll_repair(now)).count());
        }
        assert_eq!(repairs, [1; 300], "25 % of two packets, rounded up");
    }

    #[test]
    fn the_worst_second_counts_for_ten() {
        let mut rule = rule(10, 50, 10);
        let clean = LossReport { expected: 1_000, ..LossReport::default() };
        for second in 11..20 {
            rule.handle_report(Time::from_millis(second * 1_000), &clean);
        }
        assert!(rule.protects());
        rule.handle_report(Time::from_millis(20_000), &clean);
        assert!(!rule.protects());
    }
}
