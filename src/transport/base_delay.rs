//! How long packets wait in the queues of the path, told from one-way delays on unrelated clocks.
//!
//! What a delay has above the least one of the last ten seconds is taken for waiting (LEDBAT's base
//! delay, RFC 6817 §3.4.2).

use crate::time::{Duration, Time};

/// The least relative one-way delay of the last ten seconds.
#[derive(Debug, Default)]
pub(super) struct BaseDelay {
    /// The least delay of each of the last ten seconds, relative to `zero`, newest last; none for seconds
    /// without samples.
    least: [Option<i32>; SECONDS],
    /// The second of the last sample.
    second: u64,
    /// The first sample, which all others are relative to, so that they do not wrap.
    zero: Option<u32>,
}

impl BaseDelay {
    /// Takes a relative delay, in microseconds modulo 2^32, and gives the part of it that is above the
    /// base.
    pub(super) fn queue(&mut self, now: Time, delay: u32) -> Duration {
        let zero = *self.zero.get_or_insert(delay);
        let delay = delay.wrapping_sub(zero) as i32;
        let second = now.as_nanos() / 1_000_000_000;
        let passed = second.saturating_sub(self.second).min(SECONDS as u64) as usize;
        self.second = second;
        self.least.rotate_left(passed);
        self.least[SECONDS - passed..].fill(None);
        let newest = &mut self.least[SECONDS - 1];
        *newest = Some(newest.map_or(delay, |least| least.min(delay)));
        let base = self.least.iter().flatten().min().copied().unwrap_or(delay);
        Duration::from_micros(u64::from(delay.saturating_sub(base) as u32))
    }
}

/// Long enough to see an empty queue, short enough to follow a change of route.
const SECONDS: usize = 10;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_above_the_least_delay_of_ten_seconds_is_waiting() {
        let mut base = BaseDelay::default();
        let mut queue = |second, delay| base.queue(Time::from_secs(second), delay).as_micros();
        // The clocks are unrelated, so that the first delay may be anything, also just below the wrap.
        assert_eq!(queue(0, u32::MAX - 999), 0);
        assert_eq!(queue(1, 4_000), 5_000);
        assert_eq!(queue(2, u32::MAX - 1_999), 0, "a new least");
        assert_eq!(queue(3, u32::MAX - 999), 1_000);
        (4..12).for_each(|second| assert_eq!(queue(second, 4_000), 6_000));
        assert_eq!([12, 13].map(|second| queue(second, 4_000)), [5_000, 0], "the least ones fall out");
    }

    #[test]
    fn seconds_without_samples_are_seconds_too() {
        let mut base = BaseDelay::default();
        let mut queue = |second, delay| base.queue(Time::from_secs(second), delay).as_micros();
        // A sample every five seconds, as from a receiver that reports so seldom.
        assert_eq!([100, 105].map(|second| queue(second, 1_000 * (second as u32 - 99))), [0, 5_000]);
        assert_eq!(queue(110, 8_000), 2_000, "that of ten seconds ago counts no more");
        assert_eq!(queue(119, 9_000), 1_000, "that of nine seconds ago does");
        assert_eq!(queue(500, 50_000), 0, "after a long silence there is nothing to compare with");
    }
}
