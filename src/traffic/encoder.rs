//! The encoder's rate law: how much smaller frames are made so that the path can carry them.
//!
//! [`EncoderKind`](super::EncoderKind) states the law. It is ours; its parts are common: a target below the estimate (as GCC and
//! SCReAM leave room), a share taken off so that what waits drains, a floor (no encoder makes nothing
//! of a picture), a fall at once and a slow rise.

use crate::time::{Duration, Time};
use crate::units::{Bitrate, ByteSize};

/// The state of the law.
#[derive(Debug)]
pub(super) struct RateLaw {
    /// What the source wants to send, in bits per second, with a memory of [`DEMAND_TIME`].
    demand: f64,
    scale: f64,
    last: Time,
}

impl RateLaw {
    pub(super) fn new() -> Self {
        Self { demand: 0.0, scale: 1.0, last: Time::ZERO }
    }

    /// The size of a frame whose source has `bytes` bytes: from a tenth of it to all of it.
    pub(super) fn size(&mut self, now: Time, bytes: u64, rate: Option<Bitrate>, backlog: ByteSize) -> u64 {
        let elapsed = now.since(self.last).as_secs_f64();
        self.last = now;
        let window = DEMAND_TIME.as_secs_f64();
        self.demand = self.demand * libm::exp(-elapsed / window) + bytes as f64 * 8.0 / window;
        let wanted = rate.map_or(1.0, |rate| {
            let draining = backlog.get() as f64 * 8.0 / DRAIN_TIME.as_secs_f64();
            let target = TARGET_SHARE * rate.bps() as f64 - draining;
            (target / self.demand.max(1.0)).clamp(SCALE_MIN, 1.0)
        });
        if wanted < self.scale {
            self.scale = wanted;
        } else {
            self.scale += (wanted - self.scale) * -libm::expm1(-elapsed / RISE_TIME.as_secs_f64());
        }
        libm::round(bytes as f64 * self.scale) as u64
    }
}

/// The share of the estimate to use; the rest is room for repair, headers and the estimate's errors.
const TARGET_SHARE: f64 = 0.85;

/// What waits is to be gone after this time.
const DRAIN_TIME: Duration = Duration::from_millis(500);

/// The memory of the demand: a burst may exceed the target by what passes in this time. Video buffers
/// of low-latency encoders hold a quarter of a second and less.
const DEMAND_TIME: Duration = Duration::from_millis(250);

/// The time constant with which the scale rises, so that it does not swing with the estimate.
const RISE_TIME: Duration = Duration::from_secs(1);

/// Below a tenth of its bytes a picture is not recognizable any more.
const SCALE_MIN: f64 = 0.1;

#[cfg(test)]
mod tests {
    use super::*;

    /// Frames of 10 kB, 50 a second (4 Mbit/s), for so many seconds; the rate of the last one's frames.
    fn produced(rate: Option<u64>, backlog: u64, seconds: u64) -> f64 {
        let mut law = RateLaw::new();
        let rate = rate.map(Bitrate::from_bps);
        let sizes = (0..seconds * 50)
            .map(|i| law.size(Time::from_millis(20 * i), 10_000, rate, ByteSize::new(backlog)));
        let sizes: Vec<u64> = sizes.collect();
        sizes.iter().rev().take(50).sum::<u64>() as f64 * 8.0
    }

    #[test]
    fn the_produced_rate_follows_the_estimate() {
        // The demand of equal frames swings around their rate by half a frame in a window of 12.5
        // frames, so the bound is 4 %.
        let got = produced(Some(2_000_000), 0, 20);
        assert!((got / 1_700_000.0 - 1.0).abs() < 0.04, "{got}");
        assert!((produced(Some(100_000_000), 0, 20) - 4e6).abs() < 1.0);
        assert!((produced(None, 0, 2) - 4e6).abs() < 1.0);
    }

    #[test]
    fn what_waits_lowers_the_rate() {
        // 50 kB within half a second are 0.8 Mbit/s less.
        let got = produced(Some(2_000_000), 50_000, 20);
        assert!((got / 900_000.0 - 1.0).abs() < 0.04, "{got}");
    }

    #[test]
    fn frames_never_shrink_below_a_tenth() {
        assert!((produced(Some(0), 0, 2) - 4e5).abs() < 1.0);
        assert!((produced(Some(1_000_000), u64::MAX, 2) - 4e5).abs() < 1.0);
    }

    #[test]
    fn the_scale_falls_at_once_and_rises_over_a_second() {
        let mut law = RateLaw::new();
        let mut size = |ms: u64, rate: u64| {
            law.size(Time::from_millis(ms), 10_000, Some(Bitrate::from_bps(rate)), ByteSize::ZERO)
        };
        for i in 0..100 {
            assert_eq!(size(20 * i, 100_000_000), 10_000);
        }
        let low = size(2000, 1_000_000);
        assert!(low < 2_200, "{low}");
        let first = size(2020, 100_000_000);
        assert!(first > low && first < low + 200, "{first} after {low}");
        // After a second, all but 1/e of the way is made.
        let last = (1..=50).map(|i| size(2020 + 20 * i, 100_000_000)).last().unwrap();
        assert!((last as f64 - (10_000.0 - 7_900.0 / std::f64::consts::E)).abs() < 150.0, "{last}");
    }
}
