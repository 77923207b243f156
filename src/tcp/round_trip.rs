//! Round trips and the retransmission timeout.
//!
//! RFC 6298 as Linux does it (`tcp_rtt_estimator`, `tcp_set_rto`):
//!
//! | | RFC 6298 | here and Linux |
//! | --- | --- | --- |
//! | minimum | timeout ≥ 1 s | the variance term ≥ 200 ms, so timeout ≥ srtt + 200 ms |
//! | variance | one filter | its largest value within a round trip rises at once and decays by a quarter each |
//! | a falling sample | counts fully | counts an eighth, so that a shrinking queue raises no timeout |
//! | granularity | clock tick | none (Linux: 4 ms at 250 Hz) |

use crate::time::Duration;

/// The least that the variance term adds to the smoothed round trip (`tcp_rto_min_us`).
const VARIANCE_MIN: Duration = Duration::from_millis(200);
/// The longest timeout (`TCP_RTO_MAX`).
const TIMEOUT_MAX: Duration = Duration::from_secs(120);
/// The timeout before the first sample (RFC 6298, section 2).
const TIMEOUT_INITIAL: Duration = Duration::from_secs(1);

/// The estimate of the round trip.
#[derive(Clone, Debug, Default)]
pub(super) struct RoundTrip {
    /// Eight times the smoothed round trip, in ns; 0 before the first sample.
    smoothed8: i64,
    /// Four times the mean deviation, in ns.
    deviation4: i64,
    /// The largest `deviation4` of this round trip.
    deviation4_max: i64,
    /// The variance term of the timeout, in ns.
    variance: i64,
    /// The sequence number whose acknowledgment ends this round trip.
    round_end: u64,
    /// How often the timeout has been doubled since the last sample.
    backoff: u32,
}

impl RoundTrip {
    /// Takes a sample of the round trip. `acknowledged` and `next` are the sequence numbers up to which
    /// all is acknowledged and sent.
    pub(super) fn sample(&mut self, sample: Duration, acknowledged: u64, next: u64) {
        let floor = VARIANCE_MIN.as_nanos() as i64;
        let mut error = (sample.as_nanos() as i64).max(1);
        self.backoff = 0;
        if self.smoothed8 == 0 {
            self.smoothed8 = error << 3;
            self.deviation4 = error << 1;
            self.variance = self.deviation4.max(floor);
            self.deviation4_max = self.variance;
            self.round_end = next;
            return;
        }
        error -= self.smoothed8 >> 3;
        self.smoothed8 += error;
        if error < 0 {
            error = -error - (self.deviation4 >> 2);
            if error > 0 {
                error >>= 3;
            }
        } else {
            error -= self.deviation4 >> 2;
        }
        self.deviation4 += error;
        self.deviation4_max = self.deviation4_max.max(self.deviation4);
        self.variance = self.variance.max(self.deviation4_max);
        if acknowledged > self.round_end {
            if self.deviation4_max < self.variance {
                self.variance -= (self.variance - self.deviation4_max) >> 2;
            }
            self.round_end = next;
            self.deviation4_max = floor;
        }
    }

    /// The smoothed round trip; none before the first sample.
    pub(super) fn smoothed(&self) -> Option<Duration> {
        (self.smoothed8 > 0).then(|| Duration::from_nanos((self.smoothed8 >> 3) as u64))
    }

    /// How long to wait for an acknowledgment before everything outstanding counts as lost.
    pub(super) fn timeout(&self) -> Duration {
        let base = match self.smoothed() {
            Some(smoothed) => smoothed + Duration::from_nanos(self.variance as u64),
            None => TIMEOUT_INITIAL,
        };
        (base * (1 << self.backoff.min(16))).min(TIMEOUT_MAX)
    }

    /// Doubles the timeout until the next sample (RFC 6298, section 5.5).
    pub(super) fn back_off(&mut self) {
        self.backoff += 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_steady_round_trip_gives_a_timeout_200_ms_above_it() {
        let mut round_trip = RoundTrip::default();
        assert_eq!(round_trip.timeout(), TIMEOUT_INITIAL);
        for n in 0..200 {
            round_trip.sample(Duration::from_millis(50), n, n + 10);
        }
        let timeout = round_trip.timeout().as_millis_f64();
        assert!((timeout - 250.0).abs() < 1.0, "{timeout}");
    }

    #[test]
    fn the_timeout_doubles_until_a_sample_comes() {
        let mut round_trip = RoundTrip::default();
        round_trip.sample(Duration::from_millis(50), 0, 1);
        let timeout = round_trip.timeout();
        round_trip.back_off();
        round_trip.back_off();
        assert_eq!(round_trip.timeout(), timeout * 4);
        round_trip.sample(Duration::from_millis(50), 1, 2);
        assert!(round_trip.timeout() <= timeout);
    }

    #[test]
    fn backing_off_for_ever_ends_at_two_minutes() {
        let mut round_trip = RoundTrip::default();
        (0..100).for_each(|_| round_trip.back_off());
        assert_eq!(round_trip.timeout(), TIMEOUT_MAX);
    }
}
