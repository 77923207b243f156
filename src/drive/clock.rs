//! The clock of the drivers in real time: nanoseconds since a start that the driver chooses.

use std::time::Instant;

use crate::time::{Duration, Time};

/// How long a steered clock takes to make up for what it is off by.
const CATCH_UP: Duration = Duration::from_secs(1);

/// The most by which a steered clock runs faster or slower to make up for something: what the kernel
/// gives a clock that NTP disciplines (adjtimex(2)).
const SLEW_MAX: f64 = 500e-6;

/// A monotonic clock that reads [`Time::ZERO`] until its start.
#[derive(Clone, Copy, Debug)]
pub struct Clock {
    /// When it read `reading`.
    anchor: Instant,
    reading: Time,
    /// How much faster than the machine's clock it has run since then, as a share.
    drift: f64,
}

impl Clock {
    /// A clock that starts now.
    #[expect(clippy::disallowed_methods, reason = "this is the clock")]
    pub fn start() -> Self {
        Self { anchor: Instant::now(), reading: Time::ZERO, drift: 0.0 }
    }

    /// A clock that starts when this one, which is not steered, reads `at`.
    pub fn starting(&self, at: Time) -> Self {
        let wait = std::time::Duration::from_nanos(at.since(self.reading).as_nanos());
        Self { anchor: self.anchor + wait, reading: Time::ZERO, drift: 0.0 }
    }

    /// The time since the start.
    #[expect(clippy::disallowed_methods, reason = "this is the clock")]
    pub fn now(&self) -> Time {
        self.read(Instant::now())
    }

    /// The time from now to `at`; zero where that has passed.
    pub fn until(&self, at: Time) -> Duration {
        at.since(self.now())
    }

    /// From now on it runs faster by the share `skew`, and makes up for `behind_ns` nanoseconds, or for as
    /// much of that as it can in a second. It never jumps and never goes back.
    #[expect(clippy::disallowed_methods, reason = "this is the clock")]
    pub fn steer(&mut self, behind_ns: i64, skew: f64) {
        let now = Instant::now();
        if now < self.anchor {
            return;
        }
        self.reading = self.read(now);
        self.anchor = now;
        let slew = behind_ns as f64 / CATCH_UP.as_nanos() as f64;
        self.drift = skew.clamp(-SLEW_MAX, SLEW_MAX) + slew.clamp(-SLEW_MAX, SLEW_MAX);
    }

    fn read(&self, now: Instant) -> Time {
        let elapsed = now.saturating_duration_since(self.anchor);
        let nanos = elapsed.as_secs() * 1_000_000_000 + u64::from(elapsed.subsec_nanos());
        let drifted = (nanos as f64 * self.drift) as i64;
        self.reading + Duration::from_nanos(nanos.saturating_add_signed(drifted))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(clock: &Clock, millis: u64) -> Time {
        clock.read(clock.anchor + std::time::Duration::from_millis(millis))
    }

    #[test]
    fn a_clock_reads_zero_until_its_start() {
        let clock = Clock::start();
        let later = clock.starting(Time::from_millis(40));
        assert_eq!(later.read(clock.anchor), Time::ZERO);
        let beyond = clock.anchor + std::time::Duration::from_millis(100);
        assert_eq!(later.read(beyond), Time::from_millis(60));
    }

    #[test]
    fn a_steered_clock_goes_on_from_where_it_was_at_a_rate_that_is_bounded() {
        let mut clock = Clock::start();
        clock.steer(100_000, 20e-6);
        let start = clock.reading;
        // 100 µs in a second, and 20 µs of skew.
        assert_eq!(at(&clock, 1000).since(start), Duration::from_nanos(1_000_120_000));
        clock.steer(-3_600_000_000_000, 0.0);
        assert!(clock.reading >= start);
        assert_eq!(at(&clock, 1000).since(clock.reading), Duration::from_nanos(999_500_000));
    }
}
