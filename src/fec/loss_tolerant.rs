//! Protection only where a link is lossy, long and fast at once, as Citrix's EDT has it.
//!
//! The loss tolerant mode for graphics of HDX (product documentation, "Loss tolerant mode for graphics":
//! on at 5 % loss, 300 ms and 30 Mbit/s) sends more, in proportion to the loss, where retransmission is
//! too slow and there is room to send more. Where it is off, lost packets are only sent again. How it
//! codes is not published: here frames have [Reed–Solomon](super::reed_solomon) blocks with twice the loss
//! in repair packets, so that at independent loss e the residual loss of a frame of k packets is
//! e·P(Bin(k + r − 1, e) ≥ r) with r = ⌈2·e·k⌉.
//!
//! | here | EDT |
//! | --- | --- |
//! | on when a second's loss, round trip and rate are all at their thresholds | the same thresholds, over what time is not said |
//! | off when one of them was below three quarters of its threshold in three seconds in a row | "when conditions improve" |
//! | twice the loss in repair packets | "in proportion to the loss" |
//! | the rate is what is sent and what congestion control leaves beside it | "available bandwidth" |
//! | without congestion control the rate is taken to be enough | it always has one |

use super::block::BlockDecoder;
use super::rule::{self, LossWindows, Open, Rule, RuledEncoder, Window};
use super::{LossReport, Symbol};
use crate::frame::Priority;
use crate::time::{Duration, Time};
use crate::units::{Bitrate, Probability};

/// The thresholds at which protection begins.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct LossTolerant {
    /// The share of packets lost, before repair.
    pub loss: Probability,
    /// The round trip.
    pub round_trip: Duration,
    /// The rate that the path has for the session, all headers counted.
    pub rate: Bitrate,
}

impl Default for LossTolerant {
    /// The defaults of the policy "Loss tolerant mode thresholds for graphics".
    fn default() -> Self {
        Self {
            loss: Probability::new(0.05).expect("it is a probability"),
            round_trip: Duration::from_millis(300),
            rate: Bitrate::from_bps(30_000_000),
        }
    }
}

impl LossTolerant {
    pub(super) fn encoder<S: Symbol>(self) -> RuledEncoder<S, Switch> {
        RuledEncoder::new(Switch { thresholds: self, windows: LossWindows::default(), on: None })
    }

    pub(super) fn decoder<S: Symbol>(self) -> BlockDecoder<S> {
        rule::decoder()
    }

    /// Whether all of a path's values are at `share` of their threshold or above.
    fn met_by(self, path: &Path, share: f64) -> bool {
        path.loss >= share * self.loss.get()
            && path.round_trip.as_secs_f64() >= share * self.round_trip.as_secs_f64()
            && path.bits_per_second.is_none_or(|bits| bits >= share * self.rate.bps() as f64)
    }
}

/// What a second's reports say of the path.
#[derive(Clone, Copy, Debug)]
struct Path {
    loss: f64,
    round_trip: Duration,
    /// None where nothing controls the rate.
    bits_per_second: Option<f64>,
}

/// The rule: protection is on or off.
#[derive(Clone, Debug)]
pub(super) struct Switch {
    thresholds: LossTolerant,
    windows: LossWindows,
    on: Option<On>,
}

/// What is known while protection is on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct On {
    /// Repair packets for each hundred source packets.
    percent: u8,
    /// How many seconds in a row the path was better than the mode is for.
    better: u32,
}

/// The share of a threshold below which a path counts as better.
const RELEASE: f64 = 0.75;
/// After how many seconds of that in a row protection ends.
const BETTER_MAX: u32 = 3;
/// Repair packets for each lost packet.
const PROPORTION: f64 = 2.0;

impl Rule for Switch {
    fn handle_report(&mut self, now: Time, report: &LossReport) {
        let Some(Window { loss, .. }) = self.windows.add(now, report) else { return };
        let path = Path {
            loss,
            round_trip: report.round_trip.unwrap_or(Duration::ZERO),
            bits_per_second: report.spare.map(|spare| (report.load.bps() + spare.bps()) as f64),
        };
        let better = match self.on {
            None if !self.thresholds.met_by(&path, 1.0) => return,
            Some(on) if !self.thresholds.met_by(&path, RELEASE) => on.better + 1,
            None | Some(_) => 0,
        };
        let percent = (100.0 * PROPORTION * loss).ceil().min(100.0) as u8;
        self.on = (better < BETTER_MAX).then_some(On { percent, better });
    }

    fn frame_over(&mut self, _now: Time, _open: &Open) -> Option<u8> {
        Some(self.percent())
    }

    fn share(&self, _class: Priority) -> u8 {
        self.percent()
    }

    fn protects(&self) -> bool {
        self.percent() > 0
    }
}

impl Switch {
    /// Repair packets for each hundred source packets.
    fn percent(&self) -> u8 {
        self.on.map_or(0, |on| on.percent)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The protection after each second with this loss in percent, round trip in milliseconds, and spare
    /// rate in Mbit/s beside the 9.6 that are sent.
    fn percents(seconds: &[(u32, u64, Option<u64>)]) -> Vec<u8> {
        let thresholds = LossTolerant::default();
        let mut switch = Switch { thresholds, windows: LossWindows::default(), on: None };
        switch.handle_report(Time::ZERO, &LossReport::default());
        let after = |(second, &(loss, round_trip, spare)): (u64, &(u32, u64, Option<u64>))| {
            let report = LossReport {
                expected: 1_000,
                lost: 10 * loss,
                round_trip: Some(Duration::from_millis(round_trip)),
                load: Bitrate::from_bps(9_600_000),
                spare: spare.map(|mbit| Bitrate::from_bps(mbit * 1_000_000)),
                ..LossReport::default()
            };
            let now = Time::from_millis(second * 1_000);
            switch.handle_report(now, &report);
            let percent = switch.frame_over(now, &Open::default()).expect("frames do not wait");
            assert_eq!(switch.protects(), percent > 0);
            percent
        };
        (1..).zip(seconds).map(after).collect()
    }

    #[test]
    fn protection_begins_where_loss_round_trip_and_rate_are_all_high() {
        assert_eq!(percents(&[(5, 300, Some(21)), (8, 300, Some(21)), (60, 300, Some(21))]), [10, 16, 100]);
        assert_eq!(percents(&[(4, 300, Some(21))]), [0], "too little is lost");
        assert_eq!(percents(&[(5, 299, Some(21))]), [0], "retransmission is quick enough");
        assert_eq!(percents(&[(5, 300, Some(20))]), [0], "there is no room");
        assert_eq!(percents(&[(5, 300, None)]), [10], "nothing says that there is no room");
    }

    #[test]
    fn protection_ends_after_three_better_seconds_in_a_row() {
        let on = (10, 400, Some(50));
        let still = (4, 225, Some(13));
        let better = (3, 400, Some(50));
        assert_eq!(
            percents(&[on, still, still, still, still]),
            [20, 8, 8, 8, 8],
            "at three quarters it stays"
        );
        assert_eq!(percents(&[on, better, better, still, better]), [20, 6, 6, 8, 6], "not in a row");
        assert_eq!(percents(&[on, better, better, better, still]), [20, 6, 6, 0, 0]);
        let quick = (10, 224, Some(50));
        assert_eq!(percents(&[on, quick, quick, quick]), [20, 20, 20, 0]);
    }
}
