//! Quantiles of times, some of which may never end.

use hdrhistogram::Histogram;

use super::metrics::{NEVER_ARRIVED, Value};
use crate::time::Duration;

/// A distribution of times: HdrHistogram with three significant digits, in microseconds.
#[derive(Clone, Debug)]
pub(super) struct Times {
    histogram: Histogram<u64>,
    max: Duration,
    infinite: u64,
}

impl Times {
    pub(super) fn new() -> Self {
        let histogram = Histogram::new(3).expect("three digits are within the range of one to five");
        Self { histogram, max: Duration::ZERO, infinite: 0 }
    }

    /// Counts `count` values of `time`.
    pub(super) fn record(&mut self, time: Duration, count: u64) {
        if count == 0 {
            return;
        }
        let micros = (time.as_nanos() / 500).div_ceil(2);
        // The histogram grows with its values, so that none is out of its range.
        let recorded = self.histogram.record_n(micros, count);
        debug_assert!(recorded.is_ok(), "{recorded:?}");
        self.max = self.max.max(time);
    }

    /// Counts `count` values that are larger than any other.
    pub(super) fn record_infinite(&mut self, count: u64) {
        self.infinite += count;
    }

    /// Adds all values of `other`.
    pub(super) fn add(&mut self, other: &Self) {
        let added = self.histogram.add(&other.histogram);
        debug_assert!(added.is_ok(), "{added:?}");
        self.max = self.max.max(other.max);
        self.infinite += other.infinite;
    }

    /// How many values end.
    pub(super) fn len(&self) -> u64 {
        self.histogram.len()
    }

    /// The smallest value that at least the share `q` of all values does not exceed, in milliseconds;
    /// `none` says why there is none where nothing was counted.
    pub(super) fn quantile_ms(&self, q: f64, none: &'static str) -> Value {
        let finite = self.histogram.len();
        let total = finite + self.infinite;
        if total == 0 {
            return Value::Absent(none);
        }
        let rank = (libm::ceil(q * total as f64) as u64).clamp(1, total);
        if rank > finite {
            return Value::Absent(NEVER_ARRIVED);
        }
        // Half a rank below, so that rounding cannot reach the next one.
        let micros = self.histogram.value_at_quantile((rank as f64 - 0.5) / finite as f64);
        // The histogram answers with the end of a bucket; its middle is nearer to what was recorded.
        Value::Number(self.histogram.median_equivalent(micros) as f64 / 1e3)
    }

    /// The largest value, exactly, in milliseconds.
    pub(super) fn max_ms(&self, none: &'static str) -> Value {
        match (self.infinite, self.histogram.is_empty()) {
            (1.., _) => Value::Absent(NEVER_ARRIVED),
            (0, true) => Value::Absent(none),
            (0, false) => Value::Number(self.max.as_millis_f64()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_are_exact_to_three_digits() {
        let mut times = Times::new();
        for millis in 1..=1000 {
            times.record(Duration::from_millis(millis), 1);
        }
        for (q, expected) in [(0.5, 500.0), (0.95, 950.0), (0.99, 990.0), (1.0, 1000.0)] {
            let Value::Number(got) = times.quantile_ms(q, "none") else { panic!("a number") };
            assert!((got / expected - 1.0).abs() < 0.001, "{q}: {got}");
        }
        assert_eq!(times.max_ms("none"), Value::Number(1000.0));
    }

    #[test]
    fn a_quantile_among_the_infinite_is_absent() {
        let mut times = Times::new();
        assert_eq!(times.quantile_ms(0.5, "none"), Value::Absent("none"));
        times.record(Duration::from_millis(1), 50);
        times.record_infinite(50);
        assert_eq!(times.quantile_ms(0.5, "none"), Value::Number(1.0));
        assert_eq!(times.quantile_ms(0.51, "none"), Value::Absent(NEVER_ARRIVED));
        assert_eq!(times.max_ms("none"), Value::Absent(NEVER_ARRIVED));
    }

    #[test]
    fn microseconds_are_rounded_to_the_nearest() {
        for (nanos, micros) in [(499, 0.0), (500, 1.0), (1_499, 1.0), (1_500, 2.0)] {
            let mut times = Times::new();
            times.record(Duration::from_nanos(nanos), 1);
            assert_eq!(times.quantile_ms(0.5, "none"), Value::Number(micros / 1e3), "{nanos} ns");
        }
    }
}
