//! The round trip as the sender measures it (RFC 6298 §2, RFC 9002 §5).
//!
//! | differs | RFC 9002 | here |
//! | --- | --- | --- |
//! | sample | from the sender's own book of packets | from the echo of the packet's time of sending, which needs no book (RFC 3550 §6.4.1) |
//! | time held back | subtracted unless the sample would fall below the minimum | always subtracted: the receiver says it exactly |

use crate::time::Duration;

/// The estimate of the round trip.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct RoundTrip {
    smoothed: Option<Duration>,
    variation: Duration,
    least: Option<Duration>,
}

impl RoundTrip {
    /// Takes a measurement.
    pub(super) fn update(&mut self, sample: Duration) {
        self.least = Some(self.least.map_or(sample, |least| least.min(sample)));
        let Some(smoothed) = self.smoothed else {
            self.smoothed = Some(sample);
            self.variation = sample / 2;
            return;
        };
        let difference = smoothed.saturating_sub(sample).max(sample.saturating_sub(smoothed));
        self.variation = (self.variation * 3 + difference) / 4;
        self.smoothed = Some((smoothed * 7 + sample) / 8);
    }

    /// The smoothed round trip, once something was measured.
    pub(super) fn smoothed(&self) -> Option<Duration> {
        self.smoothed
    }

    /// The least round trip measured; none at all before anything was.
    pub(super) fn least(&self) -> Duration {
        self.least.unwrap_or(Duration::ZERO)
    }

    /// How long an answer may take before it counts as missing, when the other end may hold it back for
    /// `held_max` (the probe timeout of RFC 9002 §6.2.1).
    pub(super) fn timeout(&self, held_max: Duration) -> Duration {
        let smoothed = self.smoothed.unwrap_or(INITIAL);
        smoothed + (self.variation * 4).max(GRANULARITY) + held_max
    }
}

/// What is assumed before the first measurement; with the variation of none this gives the same second
/// that RFC 9002 §6.2.2 gives.
const INITIAL: Duration = Duration::from_millis(999);

/// The least allowance for variation (RFC 9002 §6.1.2).
const GRANULARITY: Duration = Duration::from_millis(1);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_round_trip_is_smoothed_as_rfc_6298_says() {
        let mut round_trip = RoundTrip::default();
        assert_eq!(round_trip.timeout(Duration::ZERO), Duration::from_secs(1));
        round_trip.update(Duration::from_millis(80));
        assert_eq!(round_trip.timeout(Duration::from_millis(20)), Duration::from_millis(80 + 160 + 20));
        round_trip.update(Duration::from_millis(160));
        assert_eq!(round_trip.smoothed(), Some(Duration::from_millis(90)));
        assert_eq!(round_trip.least(), Duration::from_millis(80));
        // (3 × 40 + 80) / 4 = 50
        assert_eq!(round_trip.timeout(Duration::ZERO), Duration::from_millis(90 + 200));
    }
}
